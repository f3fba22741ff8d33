"""Jobs end exactly once, whatever compute does."""

import asyncio
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from core.errors import Conflict, NotFound, TaskKilled, TaskOverLimit, UnreadableFile
from core.hours import Hours
from core.jobs import Jobs
from core.notices import Notices
from core.settings import Prices
from core.values import Job, JobState, User
from storage.events import PostgresEvents
from storage.objects import Objects
from storage.queue import Queue
from tests import factories
from tests.flows.doubles import ScriptedCompute

DONE = {'objects': [], 'manifest': {}}


class World:
    """Jobs over a real database, queue and object store, and a compute that follows a script."""

    def __init__(self, database, postgres, folder: Path, script, *, compute: ScriptedCompute | None = None) -> None:
        self.database = database
        self.queue = Queue(database, postgres.dsn('worker'))
        self.events = PostgresEvents(database, postgres.dsn('worker'))
        self.objects = Objects.local(folder)
        self.compute = compute or ScriptedCompute(script)
        self.completed: list[Job] = []
        self.notices = Notices(database, self.events)
        self.hours = Hours(database, events=self.events, notices=self.notices, prices=Prices(), trial_hours=0)
        self.jobs = Jobs(
            database,
            queue=self.queue,
            compute=self.compute,
            objects=self.objects,
            events=self.events,
            notices=self.notices,
            hours=self.hours,
            completions={'convert': self.complete, 'forecast': self.complete},
            memory=2**30,
            timeout=5,
        )

    async def complete(self, tx, job, result) -> None:
        self.completed.append(job)

    async def request(self, user: User) -> UUID:
        async with self.database.transaction(user.id) as tx:
            job = await self.queue.enqueue(tx, user_id=user.id, kind='convert', title='Convert x', payload={'a': 1})
        return job.id

    async def close(self) -> None:
        await self.queue.close()
        await self.events.close()


@pytest.fixture
async def world(database, postgres, tmp_path):
    made: list[World] = []

    def make(script) -> World:
        made.append(World(database, postgres, tmp_path / 'objects', script))
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def test_job_succeeds_and_completes_once(world, user):
    here = world(lambda task, payload: DONE)
    job_id = await here.request(user)
    await here.jobs.advance(job_id)
    await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.progress, job.attempt) == (JobState.SUCCEEDED, 1.0, 1)
    assert len(here.completed) == len(here.compute.calls) == 1


async def test_an_end_is_said_aloud_when_something_failed(world, user):
    answers = iter([DONE, TaskKilled('The task crashed.'), UnreadableFile('No table here.')])
    here = world(lambda task, payload: next(answers))
    with capture_logs() as said:
        for attempts in (1, 2):
            job_id = await here.request(user)
            for _ in range(attempts):
                await here.jobs.advance(job_id)
    ends = [(one['end'], one['log_level']) for one in said if one['event'] == 'an attempt at a job ended']
    assert ends == [('succeeded', 'debug'), ('again', 'info'), ('failed', 'info')]


async def test_objects_of_an_attempt_lie_under_tenant_job_and_attempt(world, user):
    here = world(lambda task, payload: DONE)
    job_id = await here.request(user)
    await here.jobs.advance(job_id)
    (_, payload) = here.compute.calls[0]
    assert payload['prefix'] == f't/{user.id}/convert/{job_id}-1'


async def test_crash_is_tried_again_and_then_fails(world, user):
    here = world(lambda task, payload: TaskKilled('The task crashed.'))
    job_id = await here.request(user)
    for _ in range(3):
        await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.attempt) == (JobState.FAILED, 3)
    assert job.error == {'code': 'task_killed', 'message': 'The task crashed.'}


@pytest.mark.parametrize('error', [UnreadableFile('No table here.'), TaskOverLimit('Too much memory.')])
async def test_hopeless_error_fails_at_once_with_its_message(world, user, error):
    here = world(lambda task, payload: error)
    job_id = await here.request(user)
    await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.attempt, job.error['message']) == (JobState.FAILED, 1, error.message)


async def test_missing_object_is_no_success(world, user):
    lost = {'objects': [{'key': f't/{user.id}/convert/x', 'size': 3, 'sha256': '0' * 64}], 'manifest': {}}
    here = world(lambda task, payload: lost)
    job_id = await here.request(user)
    await here.jobs.advance(job_id)
    assert (await here.jobs.get(user.id, job_id)).state == JobState.FAILED
    assert here.completed == []


async def test_queued_job_is_cancelled_at_once(world, user):
    here = world(lambda task, payload: DONE)
    job_id = await here.request(user)
    await here.jobs.cancel(user.id, job_id)
    assert (await here.jobs.get(user.id, job_id)).state == JobState.CANCELLED
    await here.jobs.advance(job_id)
    assert here.compute.calls == []


async def test_running_job_is_cancelled_within_a_second(world, user):
    here = world(lambda task, payload: None)
    job_id = await here.request(user)
    running = asyncio.create_task(here.jobs.advance(job_id))
    async with asyncio.timeout(5):
        while (await here.jobs.get(user.id, job_id)).progress < 0.5:
            await asyncio.sleep(0.02)
    await here.jobs.cancel(user.id, job_id)
    async with asyncio.timeout(1):
        await running
    assert (await here.jobs.get(user.id, job_id)).state == JobState.CANCELLED
    assert here.compute.cancelled == ['0']


async def test_stopped_worker_gives_the_job_back_and_costs_no_attempt(world, user):
    here = world(lambda task, payload: None)
    job_id = await here.request(user)
    running = asyncio.create_task(here.jobs.advance(job_id))
    async with asyncio.timeout(5):
        while not here.compute.calls:
            await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.max_attempts - job.attempt) == (JobState.QUEUED, 3)


async def test_after_a_stop_only_the_parts_without_an_answer_run_again(world, user):
    hanging = True

    def script(task, payload):
        if hanging and '2-of-2' in payload['prefix']:
            return None
        model = {'name': 'theta', 'files': [], 'backtests': [], 'explained': [], 'rows': 0, 'cutoff': None}
        manifest = {'models': [model], 'scores': [], 'series': [], 'history': [], 'notes': []}
        return {'prefix': payload['prefix'], 'objects': [], 'manifest': manifest}

    here = world(script)
    asked = {'parts': [], 'n_series': 400, 'request': {'models': ['theta'], 'h': 2}}
    async with here.database.transaction(user.id) as tx:
        job_id = (await here.queue.enqueue(tx, user_id=user.id, kind='forecast', title='x', payload=asked)).id
    running = asyncio.create_task(here.jobs.advance(job_id))
    async with asyncio.timeout(5):
        while not any(key.endswith('answer.json') for key in await here.objects.list(f't/{user.id}/')):
            await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    hanging, before = False, len(here.compute.calls)
    await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
    again = [payload['prefix'].rpartition('/')[2] for _, payload in here.compute.calls[before:]]
    assert again == ['theta.2-of-2']


async def test_late_attempt_is_fenced_off(world, user):
    answers: list[object] = [None]
    here = world(lambda task, payload: answers[-1])
    job_id = await here.request(user)
    late = asyncio.create_task(here.jobs.advance(job_id))
    async with asyncio.timeout(5):
        while not here.compute.calls:
            await asyncio.sleep(0.02)
    second = asyncio.create_task(here.jobs.advance(job_id))
    async with asyncio.timeout(5):
        while len(here.compute.calls) < 2:
            await asyncio.sleep(0.02)
        answers.append(DONE)
        await asyncio.gather(late, second)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.attempt, len(here.completed)) == (JobState.SUCCEEDED, 2, 1)


async def test_job_that_kills_its_worker_ends_as_failed(world, user):
    here = world(lambda task, payload: DONE)
    job_id = await here.request(user)
    async with here.database.system() as tx:
        for _ in range(3):
            await tx.first('job_claim', id=job_id)
    await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert job.state == JobState.FAILED
    assert here.compute.calls == []


async def test_cancelled_job_of_a_dead_worker_ends_as_cancelled(world, user):
    here = world(lambda task, payload: DONE)
    job_id = await here.request(user)
    async with here.database.system() as tx:
        await tx.first('job_claim', id=job_id)
    await here.jobs.cancel(user.id, job_id)
    assert (await here.jobs.get(user.id, job_id)).state == JobState.RUNNING
    await here.jobs.advance(job_id)
    assert (await here.jobs.get(user.id, job_id)).state == JobState.CANCELLED
    assert here.compute.calls == []


async def test_failed_job_runs_again_when_asked(world, user):
    answers: list[object] = [UnreadableFile('No table here.')]
    here = world(lambda task, payload: answers[-1])
    job_id = await here.request(user)
    await here.jobs.advance(job_id)
    answers.append(DONE)
    await here.jobs.retry(user.id, job_id)
    await here.jobs.advance(job_id)
    assert (await here.jobs.get(user.id, job_id)).state == JobState.SUCCEEDED
    with pytest.raises(Conflict):
        await here.jobs.retry(user.id, job_id)
    with pytest.raises(Conflict):
        await here.jobs.cancel(user.id, job_id)


async def test_other_tenants_jobs_do_not_exist(world, user, database):
    here = world(lambda task, payload: DONE)
    job_id = await here.request(user)
    stranger = await factories.user(database)
    for refused in (here.jobs.get, here.jobs.cancel, here.jobs.retry):
        with pytest.raises(NotFound):
            await refused(stranger.id, job_id)
    with pytest.raises(NotFound):
        await here.jobs.get(user.id, uuid4())
    assert await here.jobs.list(stranger.id) == []


async def test_jobs_come_a_page_at_a_time_by_their_state(world, user, database):
    here = world(lambda task, payload: DONE)
    asked = [await here.request(user) for _ in range(5)]
    for job_id in asked[:2]:
        await here.jobs.cancel(user.id, job_id)
    listed = [job.id for job in await here.jobs.list(user.id)]
    assert listed == asked[::-1]
    assert [job.id for job in await here.jobs.list(user.id, limit=2, before=listed[1])] == listed[2:4]
    gone = await here.jobs.list(user.id, states={JobState.CANCELLED, JobState.FAILED})
    assert [job.id for job in gone] == [asked[1], asked[0]]
    assert [job.id for job in await here.jobs.list(user.id, states={JobState.CANCELLED}, before=asked[1])] == asked[:1]
    assert await here.jobs.list(user.id, before=listed[-1]) == []
    stranger = await factories.user(database)
    for who, lost in ((stranger, listed[0]), (user, uuid4())):
        with pytest.raises(NotFound):  # an empty page would say that there are no more
            await here.jobs.list(who.id, before=lost)


async def test_end_is_told_within_a_second(world, user):
    here = world(lambda task, payload: DONE)
    job_id = await here.request(user)
    async with here.events.subscribe(f'{user.id}/jobs') as messages:
        await here.jobs.advance(job_id)
        async with asyncio.timeout(1):
            async for message in messages:
                if message['state'] == 'succeeded':
                    break
    (notice,) = await here.jobs._notices.latest(user.id)
    assert (notice.level, notice.title) == ('good', 'Convert x: done')


async def test_worker_delivers_to_the_end(world, user):
    here = world(lambda task, payload: DONE)
    working = asyncio.create_task(here.jobs.work(concurrency=2))
    ids = [await here.request(user) for _ in range(5)]
    async with asyncio.timeout(20):
        while not all([(await here.jobs.get(user.id, job_id)).state.final for job_id in ids]):
            await asyncio.sleep(0.05)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert len(here.completed) == 5


@pytest.mark.parametrize(
    'payload', [{'source': 't/{other}/u/x/source'}, {'parts': ['t/{user}/convert/x/data-0.parquet', 't/{other}/y']}]
)
async def test_jobs_read_objects_of_their_own_tenant_only(world, database, user: User, payload):
    """A user may record a job in the database with their own token and any payload."""
    names = {'user': str(user.id), 'other': str(uuid4())}
    keys = {
        name: [key.format_map(names) for key in value] if isinstance(value, list) else value.format_map(names)
        for name, value in payload.items()
    }
    here = world(lambda task, payload: DONE)
    async with database.transaction(user.id) as tx:
        job = await here.queue.enqueue(tx, user_id=user.id, kind='convert', title='Convert x', payload=keys)
    await here.jobs.advance(job.id)
    assert (await here.jobs.get(user.id, job.id)).state == JobState.FAILED
    assert here.compute.calls == []


@pytest.mark.parametrize(
    'payload',
    [
        {'issued': [{'key': 't/x'}]},
        {'issued': [None]},
        {'issued': 7},
        {'issued': [{'key': 't/x', 'history': 7}]},
        {'issued': 'text'},
        {'parts': 7},
        {'compare': [1]},
        {'source': 't/somebody/else'},
    ],
)
async def test_a_payload_that_names_no_own_data_fails_and_reads_nothing(world, user, payload):
    here = world(lambda task, payload: DONE)
    async with here.database.transaction(user.id) as tx:
        job = await here.queue.enqueue(tx, user_id=user.id, kind='convert', title='Convert x', payload=payload)
    await here.jobs.advance(job.id)
    ended = await here.jobs.get(user.id, job.id)
    assert (ended.state, here.compute.calls) == (JobState.FAILED, [])
    assert 'not yours' in ended.message
