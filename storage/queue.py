"""The JobQueue port on procrastinate, in the database that holds the jobs."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, LiteralString, TypeVar
from uuid import UUID

import psycopg
from procrastinate import App, BaseRetryStrategy, JobContext, PsycopgConnector, RetryDecision
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import DeleteJobCondition, Status
from procrastinate.jobs import Job as Delivery
from procrastinate.manager import JobManager
from procrastinate.worker import Worker

from core.errors import Unavailable
from core.hours import short_of
from core.ports import Database, Transaction
from core.values import Job, JobState
from storage.postgres import Connection, connection_pool, deliver_cancellation

QUEUE = 'jobs'
TASK = 'advance'
MAX_BACKOFF = 16
T = TypeVar('T')
LOG = logging.getLogger(__name__)


class Queue:
    """Jobs on the same database: recorded and enqueued in one transaction, delivered at least once.

    A worker says every `heartbeat` seconds that it lives; `rescue` takes what it held when it has been silent for
    `stalled_after` seconds. A delivery whose `advance` raised comes again after 1, 2, 4, … 16 seconds.
    """

    def __init__(
        self,
        database: Database,
        worker_dsn: str,
        *,
        heartbeat: float = 5,
        stalled_after: float = 20,
        polling: float = 1,
    ) -> None:
        self._database = database
        self._heartbeat = heartbeat
        self._stalled_after = stalled_after
        self._polling = polling
        self._pool = connection_pool('queue', worker_dsn, size=4, patience=10, configure=_configure)
        self._opening = asyncio.Lock()
        self._worker: Worker | None = None
        self._held: set[int] = set()
        self._suspects: dict[int, float] = {}

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    async def enqueue(
        self,
        tx: Transaction,
        *,
        user_id: UUID,
        kind: str,
        title: str,
        payload: Mapping[str, Any],
        dataset_id: UUID | None = None,
        forecast_id: UUID | None = None,
        job_id: UUID | None = None,
        quote: int = 0,
    ) -> Job:
        """Record a job, hold its quote in seconds and enqueue it; nothing exists when the transaction rolls back.

        Raise NotEnoughHours when the balance is short of the quote.
        """
        row = await tx.one(
            'job_insert',
            id=job_id,
            user_id=user_id,
            kind=kind,
            title=title,
            payload=dict(payload),
            dataset_id=dataset_id,
            forecast_id=forecast_id,
        )
        await self.again(tx, row['id'], quote=quote)
        return Job(**{**row, 'state': JobState(row['state']), 'quote': quote})

    async def again(self, tx: Transaction, job_id: UUID, *, delay: float = 0, quote: int | None = None) -> None:
        """Enqueue a recorded job once more, `delay` seconds from now; with a quote, hold that many seconds first.

        Raise NotEnoughHours when the balance is short of the quote.
        """
        if quote is not None:
            missing = (await tx.one('hours_reserve', job_id=job_id, seconds=quote))['missing']
            if missing:
                raise short_of(quote, missing=missing)
        await tx.one('job_enqueue', id=job_id, delay=delay)

    async def work(self, advance: Callable[[UUID], Awaitable[None]], *, concurrency: int = 2) -> None:
        """Deliver job ids to `advance` until cancelled; a delivery that was cancelled is delivered again later."""
        connector = _Connector()
        app = App(connector=connector)

        @app.task(name=TASK, queue=QUEUE, retry=_Backoff(), pass_context=True)
        async def deliver(context: JobContext, job_id: str) -> None:
            delivery = context.job.id or 0
            self._held.add(delivery)
            try:
                await advance(UUID(job_id))
            finally:
                self._held.discard(delivery)

        while True:
            with suppress(Unavailable):
                await self._open()
                await app.open_async(self._pool)
                deliver_cancellation()
                await self._run(Worker(app, **self._options(concurrency)), connector)
            await asyncio.sleep(self._polling)

    async def rescue(self) -> Sequence[UUID]:
        """Deliver again what a dead worker held, and return the ids of jobs that are open but in no queue.

        Raise Unavailable when the database does not answer.
        """
        await self._open()
        connector = _Connector(patience=0)
        await connector.open_async(self._pool)  # type: ignore[arg-type]  # it sets the form of its rows itself
        manager = JobManager(connector)
        try:
            stalled = await manager.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=self._stalled_after)
            for delivery in [*stalled, *await self._dropped(manager)]:
                await _deliver_again(manager, delivery)
        except ConnectorException as error:
            raise Unavailable('The job queue does not answer. Try again in a moment.') from error
        async with self._database.system() as tx:
            return [row['id'] for row in await tx.all('jobs_unqueued')]

    async def _open(self) -> None:
        try:
            async with self._opening:  # the pool cannot be opened by two tasks at once
                await self._pool.open(wait=True, timeout=10)
        except psycopg.OperationalError as error:
            raise Unavailable('The job queue does not answer. Try again in a moment.') from error

    async def _run(self, worker: Worker, connector: '_Connector') -> None:
        """Run one procrastinate worker; it returns by itself only when something went wrong."""
        self._worker = worker
        running = asyncio.create_task(worker.run(), name='queue worker')  # type: ignore[no-untyped-call]
        try:
            await asyncio.shield(running)
            LOG.warning('the queue worker stopped and is started again')
        except asyncio.CancelledError:
            connector.patience = 0
            worker.stop()  # type: ignore[no-untyped-call]  # a cancellation may get lost on its way to the database
            running.cancel()
            with suppress(asyncio.CancelledError, ConnectorException):
                await running
            raise
        except ConnectorException as error:
            LOG.warning('the queue worker lost its database and is started again: %s', error.__cause__ or error)
        finally:
            self._worker = None

    def _options(self, concurrency: int) -> dict[str, Any]:
        return {
            'queues': [QUEUE],
            'concurrency': concurrency,
            'wait': True,
            'fetch_job_polling_interval': self._polling,
            'shutdown_graceful_timeout': 0.2,
            'delete_jobs': DeleteJobCondition.ALWAYS,
            'install_signal_handlers': False,
            'update_heartbeat_interval': self._heartbeat,
            'stalled_worker_timeout': self._stalled_after,
        }

    async def _dropped(self, manager: JobManager) -> list[Delivery]:
        """Deliveries that the database counts as ours although nothing here has run them for a while.

        That happens when a connection breaks between Postgres' commit and its answer.
        """
        worker_id = self._worker.worker_id if self._worker else None
        if worker_id is None:
            return []
        ours = await manager.list_jobs_async(queue=QUEUE, status=Status.DOING.value, worker_id=worker_id)
        idle = {delivery.id: delivery for delivery in ours if delivery.id and delivery.id not in self._held}
        now = time.monotonic()
        self._suspects = {delivery_id: self._suspects.get(delivery_id, now) for delivery_id in idle}
        return [idle[i] for i, since in self._suspects.items() if now - since >= self._stalled_after]


class _Backoff(BaseRetryStrategy):
    """Deliver again: at once what was cancelled, later and later what raised."""

    def get_retry_decision(self, *, exception: BaseException, job: Delivery) -> RetryDecision:
        if isinstance(exception, asyncio.CancelledError):
            return RetryDecision()
        return RetryDecision(retry_in={'seconds': min(2**job.attempts, MAX_BACKOFF)})


class _Connector(PsycopgConnector):
    """Waits while Postgres restarts: a worker that gave up would cancel jobs that run well."""

    def __init__(self, *, patience: float = 60) -> None:
        super().__init__()
        self.patience = patience

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        await self._patiently(super().execute_query_async, query, arguments)

    async def execute_query_one_async(self, query: LiteralString, **arguments: Any) -> dict[str, Any]:
        return await self._patiently(super().execute_query_one_async, query, arguments)

    async def execute_query_all_async(self, query: LiteralString, **arguments: Any) -> list[dict[str, Any]]:
        return await self._patiently(super().execute_query_all_async, query, arguments)

    async def listen_notify(self, on_notification: Any, channels: Iterable[str]) -> None:
        channels = list(channels)
        while True:
            try:
                await super().listen_notify(on_notification, channels)
            except ConnectorException:
                await asyncio.sleep(0.5)

    async def _patiently(
        self, execute: Callable[..., Awaitable[T]], query: LiteralString, arguments: Mapping[str, Any]
    ) -> T:
        begin = time.monotonic()
        while True:
            try:
                return await execute(query, **arguments)
            except ConnectorException as error:
                lost = isinstance(error.__cause__, psycopg.OperationalError)
                if not lost or time.monotonic() - begin >= self.patience:
                    raise
            await asyncio.sleep(0.2)


async def _deliver_again(manager: JobManager, delivery: Delivery) -> None:
    try:
        await manager.retry_job(delivery)
    except ConnectorException as error:
        if not isinstance(error.__cause__, psycopg.errors.RaiseException):
            raise
        LOG.info('delivery %s ended before it was rescued', delivery.id)


async def _configure(connection: Connection) -> None:
    await connection.set_autocommit(True)
    await connection.execute('set search_path to procrastinate')
