"""The services that every way in (page, REST, command) calls."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog

from core import logs
from core.accounts import Accounts
from core.analysis import duck
from core.archive import Archive
from core.charts import Charts
from core.dashboards import Dashboards
from core.datasets import Datasets
from core.demo import Demo
from core.errors import VariosyncError
from core.forecasts import Forecasts
from core.hours import Hours
from core.jobs import Jobs
from core.messages import BestEffort
from core.metrics import CountedCache, Metrics
from core.notices import Notices
from core.ports import Cache, Compute, Database, Events, Identity, JobQueue, ObjectStore, Staging
from core.removal import Removal
from core.settings import Settings, parse_bytes
from core.track import TrackRecord
from core.uploads import Uploads
from core.values import Health

log = structlog.get_logger()

HEALTH_TTL = 5.0
ANSWERED = 6.0  # seconds until a service that says nothing is away, whatever patience its adapter has
SWEEP = 5.0
STOPPING = 10.0  # seconds that workers have to give their jobs back
SWEEP_UPLOADS = 60.0
SWEEP_OLD = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """One adapter a port."""

    database: Database
    queue: JobQueue
    objects: ObjectStore
    staging: Staging
    compute: Compute
    events: Events
    cache: Cache
    identity: Identity


class HealthCheck:
    """Asks the services behind us, at most every five seconds."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters
        self._lock = asyncio.Lock()
        self._known: tuple[float, Health] | None = None
        self.stopping = False  # then whoever sends requests here should send them elsewhere

    async def check(self) -> Health:
        """Return `stopping` once this process was told to stop, `down` when Postgres or the object store fails,
        `degraded` when only the rest does, else `ok`."""
        if self.stopping:
            return Health(state='stopping', services={})
        async with self._lock:
            if self._known is None or time.monotonic() - self._known[0] > HEALTH_TTL:
                self._known = (time.monotonic(), await self._ask())
            return self._known[1]

    async def _ask(self) -> Health:
        vital = {'database': self._adapters.database.ping, 'objects': self._adapters.objects.ping}
        rest = {'cache': self._adapters.cache.ping, 'events': self._events}
        pings = vital | rest
        answers = dict(zip(pings, await asyncio.gather(*map(_answer, pings.values())), strict=True))
        failed = {name for name, answer in answers.items() if answer != 'ok'}
        state = 'down' if failed & set(vital) else 'degraded' if failed else 'ok'
        return Health(state=state, services=answers)

    async def _events(self) -> None:
        await self._adapters.events.publish('health/ping', {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything a page may ask."""

    settings: Settings
    accounts: Accounts
    archive: Archive
    charts: Charts
    dashboards: Dashboards
    datasets: Datasets
    demo: Demo
    forecasts: Forecasts
    hours: Hours
    jobs: Jobs
    metrics: Metrics
    notices: Notices
    removal: Removal
    track: TrackRecord
    uploads: Uploads
    events: Events
    cache: Cache
    health: HealthCheck
    _tasks: list['asyncio.Task[None]'] = field(default_factory=list, repr=False)

    @classmethod
    def open(cls, settings: Settings, adapters: Adapters) -> 'Services':
        """Wire the services to their adapters."""
        a = adapters
        cache, events = CountedCache(a.cache), BestEffort(a.events)
        notices = Notices(a.database, events)
        hours = Hours(
            a.database, events=events, notices=notices, prices=settings.prices, trial_hours=settings.trial_hours
        )
        datasets = Datasets(a.database, objects=a.objects, events=events)
        uploads = Uploads(
            a.database,
            queue=a.queue,
            staging=a.staging,
            objects=a.objects,
            events=events,
            hours=hours,
            notices=notices,
            max_upload=parse_bytes(settings.max_upload),
        )
        forecasts = Forecasts(
            a.database,
            queue=a.queue,
            objects=a.objects,
            events=events,
            hours=hours,
            elsewhere=settings.modal_token_id is not None,
        )
        dashboards = Dashboards(a.database, events)
        track = TrackRecord(a.database, queue=a.queue)
        jobs = Jobs(
            a.database,
            queue=a.queue,
            compute=a.compute,
            objects=a.objects,
            events=events,
            notices=notices,
            hours=hours,
            completions={
                'convert': track.after(uploads.converted),
                'forecast': track.after(forecasts.forecasted),
                'score': track.scored,
            },
            failures={'score': track.failed},
            preparations={'convert': uploads.prepared},
            memory=parse_bytes(settings.memory),
            timeout=settings.task_timeout,
        )
        return cls(
            settings=settings,
            accounts=Accounts(
                a.database,
                a.identity,
                cache,
                objects=a.objects,
                staging=a.staging,
                events=events,
                hours=hours,
                notices=notices,
            ),
            archive=Archive(a.database, forecasts, a.objects),
            charts=Charts(a.objects, cache=cache),
            dashboards=dashboards,
            datasets=datasets,
            demo=Demo(
                a.database,
                datasets=datasets,
                uploads=uploads,
                forecasts=forecasts,
                dashboards=dashboards,
                jobs=jobs,
                notices=notices,
                events=events,
            ),
            forecasts=forecasts,
            hours=hours,
            jobs=jobs,
            metrics=Metrics(a.database, cache=cache),
            notices=notices,
            removal=Removal(a.database, objects=a.objects, events=events),
            track=track,
            uploads=uploads,
            events=events,
            cache=cache,
            health=HealthCheck(a),
        )

    async def start(self, *, workers: int) -> None:
        """Recover what an earlier process left, then work in the background until `stop`; 0 workers only accept."""
        if not self.uploads.origins:  # else there is a service to ask, which must not delay us: `work` does that
            await self.uploads.recover()
        if workers:
            task = asyncio.create_task(self._keep_working(workers), name='worker')
            task.add_done_callback(_report)
            self._tasks.append(task)

    async def work(self, *, concurrency: int) -> None:
        """Work on jobs and sweep up what dead workers left, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.jobs.work(concurrency=concurrency))
            group.create_task(_repeat(SWEEP, self.jobs.recover, self.hours.sweep))
            group.create_task(_repeat(SWEEP_OLD, self.removal.sweep, self.accounts.sweep, self.uploads.give_up))
            if self.uploads.origins:
                group.create_task(_repeat(SWEEP_UPLOADS, self.uploads.sweep))

    async def drain(self) -> None:
        """Say in `health` that this process stops, and give the jobs that run back to the queue; go on answering."""
        logs.leave()
        self.health.stopping = True
        await self.demo.stop()
        for task in self._tasks:
            task.cancel()
        if self._tasks:  # whoever waits for a service that hangs is left behind; the queue gives its job to another
            await asyncio.wait(self._tasks, timeout=STOPPING)
        self._tasks.clear()

    async def stop(self) -> None:
        """Stop working; jobs that run are given back to the queue, what is being read for nobody any more ends."""
        await self.drain()
        for reads in (self.charts, self.datasets, self.forecasts):
            reads.close()
        duck.interrupt()

    async def _keep_working(self, workers: int) -> None:
        while True:
            try:
                await self.work(concurrency=workers)
            except* VariosyncError as group:
                log.error('worker stopped, starting again', errors=[str(error) for error in group.exceptions])
            await asyncio.sleep(1)


async def _repeat(pause: float, *sweeps: Callable[[], Awaitable[object]]) -> None:
    while True:
        for sweep in sweeps:
            try:
                await sweep()
            except VariosyncError as error:
                log.warning('a sweep failed', sweep=sweep.__qualname__, error=error.message)
        await asyncio.sleep(pause)


def _report(task: 'asyncio.Task[None]') -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical('the worker has ended: restart the server', exc_info=error)


async def _answer(ping: Callable[[], Coroutine[Any, Any, None]]) -> str:
    asked = asyncio.create_task(ping())
    ended, _ = await asyncio.wait({asked}, timeout=ANSWERED)
    if not ended:  # it is not waited for: a database that hangs takes half a minute to let go of who gives up
        asked.cancel()
        asked.add_done_callback(_forget)
        return f'There was no answer within {ANSWERED:g} s.'
    try:
        asked.result()
    except VariosyncError as error:
        return error.message
    return 'ok'


def _forget(task: 'asyncio.Task[None]') -> None:
    if not task.cancelled():
        task.exception()  # too late to be told
