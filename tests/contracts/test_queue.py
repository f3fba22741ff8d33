"""What every JobQueue does."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio
from psycopg import waiting

from core.errors import Conflict, NotAllowed, UsageError
from core.values import Job, JobState, User
from storage.embedded.server import EmbeddedPostgres
from storage.postgres import Postgres
from storage.queue import Queue
from tests import factories
from tests.counterparts.places import run_on
from tests.homes import copy_home


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    run_on(metafunc, 'embedded', 'pooled')


HOLD_ONE = """
import asyncio, sys
from storage.postgres import Postgres
from storage.queue import Queue

async def main(app, worker):
    async def advance(job_id):
        print(job_id, flush=True)
        await asyncio.Event().wait()
    await Queue(await Postgres.open(app, worker), worker, heartbeat=0.2).work(advance, concurrency=1)

asyncio.run(main(*sys.argv[1:]))
"""
SILENT = "select id from procrastinate_workers where last_heartbeat < now() - interval '1 minute'"
HELD = 'select id from procrastinate_jobs where lock = %s'


@pytest_asyncio.fixture(loop_scope='session')
async def queue(postgres: EmbeddedPostgres, database: Postgres) -> AsyncIterator[Queue]:
    """A queue with short intervals."""
    queue = Queue(database, postgres.dsn('worker'), heartbeat=0.2, stalled_after=1, polling=0.2)
    yield queue
    await queue.close()


@asynccontextmanager
async def working(
    queue: Queue, advance: Callable[[UUID], Awaitable[None]], *, concurrency: int = 2
) -> AsyncIterator[asyncio.Task[None]]:
    """A worker that runs inside the block and has stopped after it."""
    task = asyncio.create_task(queue.work(advance, concurrency=concurrency))
    try:
        yield task
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


class Deliveries:
    """Notes what is delivered; `behave` may wait or raise."""

    def __init__(self, behave: Callable[[], Awaitable[None]] | None = None) -> None:
        self.seen: asyncio.Queue[UUID] = asyncio.Queue()
        self._behave = behave

    async def __call__(self, job_id: UUID) -> None:
        self.seen.put_nowait(job_id)
        if self._behave:
            await self._behave()

    async def next(self, *, within: float = 30) -> UUID:
        """Return the next job id that is delivered."""
        return await asyncio.wait_for(self.seen.get(), within)


async def enqueue(database: Postgres, queue: Queue, user: User, **values: object) -> Job:
    """Enqueue a job as its user would."""
    async with database.transaction(user.id) as tx:
        return await queue.enqueue(tx, user_id=user.id, kind='convert', title='a', payload={'k': 1}, **values)


async def forever() -> None:
    """Wait until cancelled."""
    await asyncio.Event().wait()


async def deliveries_left(postgres: EmbeddedPostgres) -> int:
    """How many deliveries the database knows of."""
    async with await psycopg.AsyncConnection.connect(postgres.dsn('superuser')) as connection:
        cursor = await connection.execute('select count(*) from procrastinate.procrastinate_jobs')
        return (await cursor.fetchone())[0]


async def test_enqueue_records_a_job(database: Postgres, queue: Queue, user: User) -> None:
    job_id = uuid4()
    job = await enqueue(database, queue, user, job_id=job_id)
    assert (job.id, job.user_id, job.state, dict(job.payload)) == (job_id, user.id, JobState.QUEUED, {'k': 1})
    async with database.transaction(user.id) as tx:
        assert (await tx.one('job_by_id', id=job_id))['title'] == 'a'


async def test_neither_job_nor_delivery_exists_after_a_roll_back(
    postgres: EmbeddedPostgres, database: Postgres, queue: Queue, user: User
) -> None:
    with pytest.raises(KeyError):
        async with database.transaction(user.id) as tx:
            await queue.enqueue(tx, user_id=user.id, kind='convert', title='a', payload={})
            raise KeyError
    async with database.system() as tx:
        assert await tx.all('jobs_unqueued') == []
    assert await deliveries_left(postgres) == 0


async def test_a_job_is_delivered_after_the_commit_and_not_before(
    postgres: EmbeddedPostgres, database: Postgres, queue: Queue, user: User
) -> None:
    deliveries = Deliveries()
    async with working(queue, deliveries):
        first = await enqueue(database, queue, user)
        assert await deliveries.next() == first.id
        async with database.transaction(user.id) as tx:
            job = await queue.enqueue(tx, user_id=user.id, kind='convert', title='a', payload={})
            with pytest.raises(TimeoutError):
                await deliveries.next(within=0.5)
        assert await deliveries.next() == job.id
    assert await deliveries_left(postgres) == 0


async def test_a_job_that_exists_cannot_be_enqueued_under_its_id_again(
    database: Postgres, queue: Queue, user: User
) -> None:
    job = await enqueue(database, queue, user)
    with pytest.raises(Conflict):
        await enqueue(database, queue, user, job_id=job.id)


async def test_nobody_enqueues_for_somebody_else(database: Postgres, queue: Queue, user: User) -> None:
    other = await factories.user(database)
    job = await enqueue(database, queue, user)
    with pytest.raises(NotAllowed):
        async with database.transaction(other.id) as tx:
            await queue.enqueue(tx, user_id=user.id, kind='convert', title='a', payload={})
    with pytest.raises(NotAllowed):
        async with database.transaction(other.id) as tx:
            await queue.again(tx, job.id)
    with pytest.raises(NotAllowed):
        async with database.transaction(user.id) as tx:
            await queue.again(tx, uuid4())
    with pytest.raises(UsageError):
        async with database.transaction(user.id) as tx:
            await queue.enqueue(tx, user_id=user.id, kind='mystery', title='a', payload={})


async def test_concurrency_is_the_number_of_deliveries_at_once(database: Postgres, queue: Queue, user: User) -> None:
    jobs = {(await enqueue(database, queue, user)).id for _ in range(3)}
    deliveries = Deliveries(forever)
    async with working(queue, deliveries, concurrency=2):
        assert {await deliveries.next(), await deliveries.next()} < jobs
        with pytest.raises(TimeoutError):
            await deliveries.next(within=0.5)


async def test_again_delivers_a_recorded_job_once_more(database: Postgres, queue: Queue, user: User) -> None:
    deliveries = Deliveries()
    async with working(queue, deliveries):
        job = await enqueue(database, queue, user)
        assert await deliveries.next() == job.id
        async with database.transaction(user.id) as tx:
            await queue.again(tx, job.id)
        assert await deliveries.next() == job.id


async def test_again_waits_for_its_delay(database: Postgres, queue: Queue, user: User) -> None:
    deliveries = Deliveries()
    async with working(queue, deliveries):
        job = await enqueue(database, queue, user)
        await deliveries.next()
        begin = asyncio.get_running_loop().time()
        async with database.system() as tx:
            await queue.again(tx, job.id, delay=1)
        assert await deliveries.next() == job.id
        assert asyncio.get_running_loop().time() - begin > 0.9


async def test_again_brings_a_waiting_delivery_forward_instead_of_doubling_it(
    postgres: EmbeddedPostgres, database: Postgres, queue: Queue, user: User
) -> None:
    job = await enqueue(database, queue, user)
    async with database.system() as tx:
        await queue.again(tx, job.id, delay=60)
    assert await deliveries_left(postgres) == 1
    deliveries = Deliveries()
    async with working(queue, deliveries):
        assert await deliveries.next() == job.id
        async with database.system() as tx:
            await queue.again(tx, job.id, delay=60)
        async with database.system() as tx:
            await queue.again(tx, job.id)
        assert await deliveries.next() == job.id


async def test_again_while_it_is_delivered_follows_when_that_has_ended(
    database: Postgres, queue: Queue, user: User
) -> None:
    go_on = asyncio.Event()
    deliveries = Deliveries(go_on.wait)
    async with working(queue, deliveries):
        job = await enqueue(database, queue, user)
        await deliveries.next()
        async with database.system() as tx:
            await queue.again(tx, job.id)
        with pytest.raises(TimeoutError):
            await deliveries.next(within=0.5)
        go_on.set()
        assert await deliveries.next() == job.id


async def test_a_cancelled_delivery_comes_again(database: Postgres, queue: Queue, user: User) -> None:
    job = await enqueue(database, queue, user)
    first, second = Deliveries(forever), Deliveries()
    async with working(queue, first):
        assert await first.next() == job.id
    async with working(queue, second):
        assert await second.next() == job.id


async def test_a_delivery_that_raised_comes_again_later(database: Postgres, queue: Queue, user: User) -> None:
    async def fail() -> None:
        raise ValueError('the first time')

    job = await enqueue(database, queue, user)
    deliveries = Deliveries(fail)
    async with working(queue, deliveries):
        assert await deliveries.next() == job.id
        assert await deliveries.next() == job.id


async def test_what_a_dead_worker_held_is_rescued_and_delivered(
    postgres: EmbeddedPostgres, database: Postgres, queue: Queue, user: User
) -> None:
    job = await enqueue(database, queue, user)
    command = [sys.executable, '-c', HOLD_ONE, postgres.dsn('app'), postgres.dsn('worker')]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as dead:
        assert await asyncio.to_thread(dead.stdout.readline) == f'{job.id}\n'
        assert await queue.rescue() == []
        dead.kill()
    deliveries = Deliveries(forever)
    async with working(queue, deliveries), asyncio.timeout(30):
        while deliveries.seen.empty():
            assert await queue.rescue() == []
            await asyncio.sleep(0.2)
        assert await deliveries.next() == job.id


async def test_rescue_leaves_alone_what_a_live_worker_holds(
    postgres: EmbeddedPostgres, database: Postgres, queue: Queue, user: User
) -> None:
    queue._stalled_after = 60  # longer than any load holds up a heart
    await enqueue(database, queue, user)
    deliveries = Deliveries(forever)
    async with working(queue, deliveries):
        await deliveries.next()
        async with await psycopg.AsyncConnection.connect(postgres.dsn('superuser'), autocommit=True) as connection:
            await connection.execute('set search_path to procrastinate')
            await connection.execute("update procrastinate_workers set last_heartbeat = now() - interval '1 hour'")
            async with asyncio.timeout(30):
                while await (await connection.execute(SILENT)).fetchone():
                    await asyncio.sleep(0.02)
        assert await queue.rescue() == []
        with pytest.raises(TimeoutError):
            await deliveries.next(within=0.5)


async def test_rescue_takes_back_a_delivery_that_its_own_worker_never_got(
    postgres: EmbeddedPostgres, database: Postgres, queue: Queue, user: User
) -> None:
    deliveries = Deliveries()
    async with working(queue, deliveries), asyncio.timeout(30):
        job = await enqueue(database, queue, user)
        await deliveries.next()
        async with await psycopg.AsyncConnection.connect(postgres.dsn('superuser')) as connection:
            await connection.execute('set search_path to procrastinate')
            while await (await connection.execute(HELD, (str(job.id),))).fetchone():
                await asyncio.sleep(0.02)
            await connection.execute(
                'insert into procrastinate_jobs (queue_name, task_name, lock, args, status, worker_id)'
                " select 'jobs', 'advance', %s, %s, 'doing', max(id) from procrastinate_workers",
                (str(job.id), psycopg.types.json.Jsonb({'job_id': str(job.id)})),
            )
        while deliveries.seen.empty():
            await queue.rescue()
            await asyncio.sleep(0.2)
        assert await deliveries.next() == job.id


async def test_rescue_returns_jobs_that_are_open_but_in_no_queue(
    postgres: EmbeddedPostgres, database: Postgres, queue: Queue, user: User
) -> None:
    lost, waiting = await enqueue(database, queue, user), await enqueue(database, queue, user)
    async with await psycopg.AsyncConnection.connect(postgres.dsn('superuser')) as connection:
        await connection.execute('set search_path to procrastinate')
        await connection.execute('delete from procrastinate_jobs where lock = %s', (str(lost.id),))
    assert await queue.rescue() == [lost.id]
    async with database.system() as tx:
        await queue.again(tx, lost.id)
    assert await queue.rescue() == []
    assert waiting.state == JobState.QUEUED


async def test_a_killed_postgres_neither_stops_the_worker_nor_what_it_runs(new_postgres, migrated_home: Path) -> None:
    server = new_postgres()
    copy_home(migrated_home, server.home)
    await asyncio.to_thread(server.start)
    database = await Postgres.open(server.dsn('app'), server.dsn('worker'), patience=30)
    queue = Queue(database, server.dsn('worker'), heartbeat=0.2, stalled_after=1, polling=0.2)
    go_on = asyncio.Event()
    deliveries = Deliveries(go_on.wait)
    try:
        user = await factories.user(database)
        async with working(queue, deliveries):
            first = await enqueue(database, queue, user)
            assert await deliveries.next() == first.id
            killed = server.pid
            os.kill(killed, signal.SIGKILL)
            async with asyncio.timeout(30):
                while server.pid in (None, killed):
                    await asyncio.sleep(0.02)
                await asyncio.to_thread(server.attach, patience=30)
            go_on.set()
            second = await enqueue(database, queue, user)
            assert await deliveries.next() == second.id
            assert deliveries.seen.empty()
    finally:
        await queue.close()
        await database.close()


async def test_work_and_rescue_may_begin_at_once(database, postgres):
    queue = Queue(database, postgres.dsn('worker'))
    try:
        found = await asyncio.gather(*(queue.rescue() for _ in range(4)))
        assert found == [[]] * 4
    finally:
        await queue.close()


@pytest.mark.parametrize('answer', range(1, 9))
async def test_a_worker_ends_though_it_is_cancelled_as_the_database_answers(
    database: Postgres, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, answer: int
) -> None:
    """In Python 3.11 `asyncio.wait_for`, which the pool uses as it opens, swallows such a cancellation."""
    answered, wait = 0, waiting.wait_async

    async def wait_async(*arguments: Any, **options: Any) -> Any:
        nonlocal answered
        result = await wait(*arguments, **options)
        answered += 1
        if answered == answer:
            asyncio.get_running_loop().call_soon(task.cancel)
        return result

    monkeypatch.setattr(waiting, 'wait_async', wait_async)
    queue = Queue(database, postgres.dsn('worker'))
    task = asyncio.create_task(queue.work(Deliveries()))
    ended, _ = await asyncio.wait({task}, timeout=20)
    await queue.close()
    assert ended
    assert task.cancelled()
