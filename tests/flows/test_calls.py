"""Calls that outlive us: whoever dies when, there is one result and one charge."""

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from core.ask import Ask
from core.errors import (
    AmbiguousDates,
    Conflict,
    Misconfigured,
    SeriesTooShort,
    TaskFailed,
    TaskKilled,
    TaskOverLimit,
    Unavailable,
    UsageError,
    VariosyncError,
    from_words,
)
from core.values import JobState, User
from storage.cloud.compute import ModalCompute
from storage.objects import Objects
from tests.fakes.modal import FakeModal
from tests.flows.doubles import DurableCompute
from tests.flows.test_jobs import World

AIR = Path(__file__).resolve().parents[1] / 'data' / 'air_passengers.csv'
TWO = {'models': ['theta', 'mstl'], 'h': 1}


class Killed(BaseException):
    """The worker is gone, here and now."""


def done(seconds: float = 0.0, **manifest: Any) -> dict[str, Any]:
    return {'prefix': 'p', 'objects': [], 'manifest': manifest, 'seconds': seconds}


def forecast(model: str, seconds: float) -> dict[str, Any]:
    """What a task that forecasts by one model returns, but for its prefix."""
    models = [{'name': model, 'file': f'forecast-{model}.parquet', 'rows': 1, 'cutoff': '1960-12-01', 'warnings': []}]
    return done(seconds, models=models, scores=[{'model': model}], series=['air'])


class Workers(World):
    """Several workers over one database, and one Compute that outlives them; `kill` says where the next one dies."""

    def __init__(self, database: Any, postgres: Any, folder: Any, script: Callable[..., Any]) -> None:
        super().__init__(database, postgres, folder, script, compute=DurableCompute(script))
        self.results: list[Any] = []
        self.refuses: VariosyncError | None = None

    async def complete(self, tx, job, result) -> None:
        if self.refuses:
            raise self.refuses
        await super().complete(tx, job, result)
        self.results.append(result)

    async def order(self, user: User, kind: str = 'convert', *, quote: int = 100, **payload: Any) -> UUID:
        async with self.database.transaction(user.id) as tx:
            job = await self.queue.enqueue(tx, user_id=user.id, kind=kind, title='Work', payload=payload, quote=quote)
        return job.id

    async def killed_at(self, point: str, job_id: UUID) -> None:
        """Have a worker die at a point of Compute's: before or after it took the question."""
        self.compute.dies = (point, Killed())
        with pytest.raises(Killed):
            await self.jobs.advance(job_id)
        self.compute.dies = None

    async def calls(self, job_id: UUID) -> list[Any]:
        async with self.database.system() as tx:
            return list(await tx.all('calls_of_attempt', job_id=job_id, attempt=1))


@pytest.fixture
async def workers(database, postgres, tmp_path):
    made: list[Workers] = []

    def make(script) -> Workers:
        made.append(Workers(database, postgres, tmp_path / 'objects', script))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.fixture
def sql(postgres) -> Iterator[Callable[..., Any]]:
    """A statement past every rule, for what a test cannot wait for."""
    with psycopg.connect(postgres.dsn('superuser'), autocommit=True) as connection:
        connection.execute('set search_path to procrastinate')
        yield lambda query, *values: connection.execute(query, values)


async def charges(here: Workers, user: User) -> list[int]:
    """What stood in the ledger for jobs: what was held, and what came back."""
    entries = await here.hours.ledger(user.id)
    return [entry.seconds for entry in reversed(entries) if entry.job_id]


async def test_a_running_call_holds_no_worker(workers, user):
    here = workers(lambda task, payload: None if len(here.compute.calls) < 5 else done())
    ids = [await here.order(user) for _ in range(5)]
    working = asyncio.create_task(here.jobs.work(concurrency=1))
    async with asyncio.timeout(20):
        while len(here.completed) < 5:
            await asyncio.sleep(0.02)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert {(await here.jobs.get(user.id, job_id)).attempt for job_id in ids} == {1}


async def test_progress_is_told_and_the_next_look_is_later_and_later(workers, user, sql):
    here = workers(lambda task, payload: None)
    here.jobs._calls._timeout = 1000
    job_id = await here.order(user)
    for age, expected in ((0, 0.5), (20, 2.0), (900, 5.0)):
        sql('delete from procrastinate_jobs where lock = %s', str(job_id))
        sql("update public.calls set dispatched_at = now() - %s * interval '1 second' where job_id = %s", age, job_id)
        await here.jobs.advance(job_id)
        (due,) = sql('select scheduled_at from procrastinate_jobs where lock = %s', str(job_id)).fetchone()
        assert (due - datetime.now(UTC)).total_seconds() == pytest.approx(expected, abs=0.4)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.progress, job.message, job.attempt) == (JobState.RUNNING, 0.5, 'Half way', 1)


@pytest.mark.parametrize(('point', 'spawned'), [('before submit', 1), ('after submit', 2), ('before collect', 1)])
async def test_a_worker_that_dies_leaves_one_result_and_one_charge(workers, user, point, spawned):
    here = workers(lambda task, payload: done(3.9))
    job_id = await here.order(user)
    if point == 'before collect':
        await here.jobs.advance(job_id)
    await here.killed_at(point, job_id)
    for _ in range(3):
        await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.attempt, job.charged) == (JobState.SUCCEEDED, 1, 3)
    assert len(here.completed) == 1
    assert len(here.compute.calls) == spawned
    assert len({payload['prefix'] for _, payload in here.compute.calls}) == 1, 'the same keys'
    assert await charges(here, user) == [-100, 97]


async def test_of_two_calls_for_one_part_the_first_that_is_known_counts(workers, user):
    here = workers(lambda task, payload: None)
    job_id = await here.order(user)
    await here.killed_at('before submit', job_id)
    here.compute.gate = asyncio.Event()
    both = [asyncio.create_task(here.jobs.advance(job_id)) for _ in range(2)]
    async with asyncio.timeout(5):
        while len(here.compute.calls) < 2:
            await asyncio.sleep(0.01)
    here.compute.gate.set()
    await asyncio.gather(*both)
    (row,) = await here.calls(job_id)
    assert {row['call_id'], *here.compute.cancelled} == {'0', '1'}
    assert len(here.compute.cancelled) == 1


async def test_what_was_left_running_goes_on_and_is_no_new_attempt(workers, user, sql):
    here = workers(lambda task, payload: done() if here.ready else None)
    here.ready = False
    job_id = await here.order(user)
    await here.jobs.advance(job_id)
    sql('delete from procrastinate_jobs where lock = %s', str(job_id))
    assert await here.jobs.recover() >= 1
    here.ready = True
    await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.attempt, len(here.compute.calls)) == (JobState.SUCCEEDED, 1, 1)


async def test_cancelling_stops_the_call_now(workers, user, sql):
    here = workers(lambda task, payload: None)
    job_id = await here.order(user)
    sql('delete from procrastinate_jobs where lock = %s', str(job_id))
    await here.jobs.advance(job_id)
    await here.jobs.cancel(user.id, job_id)
    due = sql("select scheduled_at from procrastinate_jobs where lock = %s and status = 'todo'", str(job_id))
    assert [row[0] for row in due] == [None], 'its delivery does not wait for its turn'
    await here.jobs.advance(job_id)
    assert (await here.jobs.get(user.id, job_id)).state == JobState.CANCELLED
    assert here.compute.cancelled == ['0']
    assert await charges(here, user) == [-100, 100]


async def test_a_late_result_of_an_attempt_before_is_never_taken(workers, user):
    answers: list[Any] = [TaskKilled('The machine was lost.')]
    here = workers(lambda task, payload: answers[-1])
    job_id = await here.order(user)
    await here.jobs.advance(job_id)
    first = await here.jobs.get(user.id, job_id)
    await here.jobs.advance(job_id)
    assert (await here.jobs.get(user.id, job_id)).state == JobState.QUEUED
    answers.append(None)
    await here.jobs.advance(job_id)
    await here.jobs._take(first, done())
    await here.jobs._look(first)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.attempt, here.completed) == (JobState.RUNNING, 2, [])
    assert [payload['prefix'][-2:] for _, payload in here.compute.calls] == ['-1', '-2']
    answers.append(done())
    await here.jobs.advance(job_id)
    assert [done.attempt for done in here.completed] == [2]


async def test_a_call_that_hangs_ends_by_the_databases_clock(workers, user, sql):
    here = workers(lambda task, payload: None)
    job_id = await here.order(user)
    for _ in range(2):
        await here.jobs.advance(job_id)
    sql("update public.calls set started_at = now() - interval '6 seconds' where job_id = %s", job_id)
    await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.error['code'], job.charged) == (JobState.FAILED, TaskOverLimit().code, 0)
    assert here.compute.cancelled == ['0']


async def test_the_time_that_a_call_waited_for_a_machine_is_not_its_own(workers, user, sql):
    here = workers(lambda task, payload: None)
    here.compute.words = None
    job_id = await here.order(user)
    await here.jobs.advance(job_id)
    sql("update public.calls set dispatched_at = now() - interval '4 seconds' where job_id = %s", job_id)
    await here.jobs.advance(job_id)
    here.compute.words = 'Half way'
    await here.jobs.advance(job_id)
    sql("update public.calls set dispatched_at = now() - interval '9 seconds' where job_id = %s", job_id)
    await here.jobs.advance(job_id)
    assert (await here.jobs.get(user.id, job_id)).state == JobState.RUNNING


async def test_a_call_that_waits_too_long_for_a_machine_is_made_again(workers, user, sql):
    here = workers(lambda task, payload: None)
    here.compute.words = None
    job_id = await here.order(user)
    await here.jobs.advance(job_id)
    sql("update public.calls set dispatched_at = now() - interval '6 seconds' where job_id = %s", job_id)
    await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.message) == (
        JobState.QUEUED,
        'The task waited too long for a free machine. Trying again.',
    )
    assert here.compute.cancelled == ['0']


async def test_a_call_that_is_stopped_by_somebody_else_is_made_again(workers, user):
    here = workers(lambda task, payload: None)
    job_id = await here.order(user)
    await here.jobs.advance(job_id)
    await here.compute.cancel('0')
    await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.attempt) == (JobState.QUEUED, 1)
    assert 'stopped from outside' in job.message
    await here.jobs.advance(job_id)
    assert (await here.jobs.get(user.id, job_id)).attempt == 2


@pytest.mark.parametrize('error', [TaskFailed('No.'), Unavailable(), Misconfigured()])
async def test_a_job_is_cancelled_though_its_call_cannot_be_stopped(workers, user, error):
    here = workers(lambda task, payload: None)
    job_id = await here.order(user)
    await here.jobs.advance(job_id)
    here.compute.dies = ('before cancel', error)
    await here.jobs.cancel(user.id, job_id)
    await here.jobs.advance(job_id)
    assert (await here.jobs.get(user.id, job_id)).state == JobState.CANCELLED


async def test_a_job_that_is_cancelled_while_it_is_given_back_is_ended(workers, user, database):
    here = workers(lambda task, payload: None)
    job_id = await here.order(user)
    await here.jobs.advance(job_id)
    await here.jobs.cancel(user.id, job_id)
    async with database.system() as tx:
        assert await tx.first('job_release', id=job_id, attempt=1, spare=0, message='')
    await here.jobs.advance(job_id)
    assert (await here.jobs.get(user.id, job_id)).state == JobState.CANCELLED
    assert await charges(here, user) == [-100, 100]


@pytest.mark.parametrize('point', ['before submit', 'before collect'])
async def test_compute_that_does_not_answer_costs_no_attempt(workers, user, point):
    here = workers(lambda task, payload: done())
    job_id = await here.order(user)
    if point == 'before collect':
        await here.jobs.advance(job_id)
    here.compute.dies = (point, Unavailable('Modal does not answer.'))
    for _ in range(5):
        await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.attempt, job.message) == (JobState.RUNNING, 1, 'Modal does not answer. Trying again.')
    here.compute.dies = None
    for _ in range(2):
        await here.jobs.advance(job_id)
    assert (await here.jobs.get(user.id, job_id)).state == JobState.SUCCEEDED


async def test_compute_that_is_set_up_wrongly_is_told(workers, user):
    here = workers(lambda task, payload: done())
    job_id = await here.order(user)
    here.compute.dies = ('before submit', Misconfigured('Deploy it.'))
    await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.error) == (JobState.FAILED, {'code': 'misconfigured', 'message': 'Deploy it.'})


async def test_a_call_that_nobody_knows_any_more_is_made_again(workers, user):
    here = workers(lambda task, payload: done())
    job_id = await here.order(user)
    await here.jobs.advance(job_id)
    known, here.compute.calls = here.compute.calls, []
    await here.jobs.advance(job_id)
    here.compute.calls = known
    for _ in range(2):
        await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)


@pytest.mark.parametrize(
    'garbage',
    [
        {},
        {'\x00': '\ud800'},
        {'objects': 3},
        {'objects': [{}]},
        {'objects': [], 'seconds': 'x'},
        {'objects': [], 'seconds': math.inf},
    ],
)
async def test_an_answer_that_is_no_result_fails_once(workers, user, garbage):
    here = workers(lambda task, payload: garbage)
    job_id = await here.order(user)
    for _ in range(2):
        await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.error['code'], here.completed) == (JobState.FAILED, 'task_failed', [])


UNSTORABLE = ['d\x00x', 'd\ud800x']


@pytest.mark.parametrize('name', UNSTORABLE)
async def test_an_error_whose_text_cannot_be_stored_ends_its_job(workers, user, name):
    said = from_words('AmbiguousDates', f'Say how to read "{name}".', {'self': 1, 'message': 2})
    here = workers(lambda task, payload: said)
    job_id = await here.order(user)
    for _ in range(2):
        await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.error['code']) == (JobState.FAILED, AmbiguousDates().code)
    assert job.error['message'] in ('Say how to read "dx".', 'Say how to read "d?x".')
    assert await charges(here, user) == [-100, 100]


@pytest.mark.parametrize('name', UNSTORABLE)
async def test_progress_whose_text_cannot_be_stored_is_told_all_the_same(workers, user, name):
    here = workers(lambda task, payload: None)
    here.compute.words = f'Reading {name}'
    job_id = await here.order(user)
    for _ in range(2):
        await here.jobs.advance(job_id)
    assert (await here.jobs.get(user.id, job_id)).message in ('Reading dx', 'Reading d?x')


async def test_a_column_that_cannot_be_stored_is_named_all_the_same(product, user):
    lines = b''.join(b'{"d\\u0000x": "01/%02d/2024", "y": %d}\n' % (day, day) for day in range(1, 13))
    await product.send(user, 'a.jsonl', lines)
    (job,) = await product.work_off(user)
    assert (job.state, job.attempt, job.error['code']) == (JobState.FAILED, 1, AmbiguousDates().code)


async def test_a_file_whose_names_hold_nul_becomes_a_dataset(product, user):
    lines = b''.join(b'{"ds": "2024-01-%02d", "s": "k\\u0000", "y\\u0000": %d}\n' % (day, day) for day in range(1, 13))
    await product.send(user, 'a.jsonl', lines)
    (job,) = await product.work_off(user)
    assert (job.state, job.error) == (JobState.SUCCEEDED, None)


@pytest.mark.parametrize('error', [Conflict('Somebody was first.'), UsageError(), VariosyncError(), TypeError()])
async def test_an_end_that_is_refused_for_good_fails_once(workers, user, error):
    here = workers(lambda task, payload: done())
    here.refuses = error
    job_id = await here.order(user)
    for _ in range(2):
        await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert job.state == JobState.FAILED
    assert await charges(here, user) == [-100, 100]


async def test_an_end_that_cannot_be_reached_now_is_tried_until_it_is_too_late(workers, user, sql):
    here = workers(lambda task, payload: done())
    here.refuses = Unavailable('The object store does not answer.')
    job_id = await here.order(user)
    await here.jobs.advance(job_id)
    with pytest.raises(Unavailable):
        await here.jobs.advance(job_id)
    assert (await here.jobs.get(user.id, job_id)).state == JobState.RUNNING
    sql("update public.calls set dispatched_at = now() - interval '11 seconds' where job_id = %s", job_id)
    await here.jobs.advance(job_id)
    assert (await here.jobs.get(user.id, job_id)).state == JobState.FAILED


async def test_a_deploy_that_splits_otherwise_goes_on_with_the_calls_there_are(workers, user, monkeypatch):
    here = workers(by_model(theta=forecast('theta', 1.0), mstl=forecast('mstl', 1.0)))
    job_id = await here.order(user, 'forecast', request=TWO)
    await here.killed_at('before submit', job_id)
    monkeypatch.setattr('core.calls.split', lambda task, payload: {'other': payload})
    for _ in range(2):
        await here.jobs.advance(job_id)
    assert (await here.jobs.get(user.id, job_id)).state == JobState.SUCCEEDED
    assert [model['name'] for model in here.results[0]['manifest']['models']] == ['theta', 'mstl']


# calls whose job is gone


async def gone(here: Workers, user: User, sql: Callable[..., Any]) -> str:
    """Have an account end while a call of it runs, which goes on storing; return where."""
    job_id = await here.order(user)
    await here.jobs.advance(job_id)
    sql('delete from public.profiles where id = %s', user.id)
    prefix = here.compute.calls[0][1]['prefix']
    await here.objects.put(f'{prefix}/late', b'x')
    return prefix


async def test_a_call_whose_account_is_gone_is_stopped_and_leaves_nothing(workers, user, sql):
    here = workers(lambda task, payload: None)
    prefix = await gone(here, user, sql)
    await here.jobs.recover()
    assert here.compute.cancelled == ['0']
    assert await here.objects.list(prefix) == []
    assert sql('select user_id, job_id, payload from public.calls').fetchall() == [(None, None, None)]
    await here.objects.put(f'{prefix}/later', b'x')
    await here.jobs.recover()
    assert here.compute.cancelled == ['0'], 'once'
    sql("update public.calls set dispatched_at = now() - interval '11 seconds'")
    await here.jobs.recover()
    assert await here.objects.list(prefix) == []
    assert sql('select count(*) from public.calls').fetchone() == (0,)


async def test_a_call_whose_account_is_gone_is_stopped_once_compute_answers(workers, user, sql):
    here = workers(lambda task, payload: None)
    await gone(here, user, sql)
    here.compute.dies = ('before cancel', Unavailable())
    await here.jobs.recover()
    here.compute.dies = None
    await here.jobs.recover()
    assert here.compute.cancelled == ['0']


async def test_a_call_that_is_spawned_while_its_account_ends_is_stopped(workers, user, sql):
    here = workers(lambda task, payload: None)
    job_id = await here.order(user)
    here.compute.gate = asyncio.Event()
    advancing = asyncio.create_task(here.jobs.advance(job_id))
    async with asyncio.timeout(5):
        while not here.compute.calls:
            await asyncio.sleep(0.01)
    sql('delete from public.profiles where id = %s', user.id)
    here.compute.gate.set()
    await advancing
    assert '0' in here.compute.cancelled


# several models


def by_model(**answers: Any) -> Callable[..., Any]:
    """A script that answers for each model; of several answers, one an attempt."""

    def answer(task: str, payload: Mapping[str, Any]) -> Any:
        (model,) = payload['request']['models']
        given = answers[model]
        if isinstance(given, list):
            given = given[int(payload['prefix'].split('/')[-2].rpartition('-')[2]) - 1]
        return given | {'prefix': payload['prefix']} if isinstance(given, dict) else given

    return answer


async def test_models_run_side_by_side_and_are_charged_for_what_they_ran(workers, user):
    here = workers(by_model(theta=forecast('theta', 2.6), mstl=forecast('mstl', 3.6)))
    job_id = await here.order(user, 'forecast', request=TWO)
    await here.jobs.advance(job_id)
    assert [payload['request']['models'] for _, payload in here.compute.calls] == [['theta'], ['mstl']]
    prefixes = [payload['prefix'] for _, payload in here.compute.calls]
    assert prefixes == [f't/{user.id}/forecast/{job_id}-1/{model}' for model in TWO['models']]
    await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.charged) == (JobState.SUCCEEDED, 6)
    (result,) = here.results
    assert result['prefix'] == f't/{user.id}/forecast'
    assert [model['files'] for model in result['manifest']['models']] == [
        [f'{job_id}-1/theta/forecast-theta.parquet'],
        [f'{job_id}-1/mstl/forecast-mstl.parquet'],
    ]
    assert result['manifest']['history'] == [f'{job_id}-1/theta/history.parquet']
    assert [score['model'] for score in result['manifest']['scores']] == TWO['models']


async def test_a_model_that_fails_is_named_and_the_others_are_delivered(workers, user):
    failed = SeriesTooShort('Series air has 3 points.')
    here = workers(by_model(theta=failed, mstl=forecast('mstl', 1.0)))
    job_id = await here.order(user, 'forecast', request=TWO)
    for _ in range(2):
        await here.jobs.advance(job_id)
    assert (await here.jobs.get(user.id, job_id)).state == JobState.SUCCEEDED
    models = here.results[0]['manifest']['models']
    assert [(model['name'], model['rows']) for model in models] == [('theta', 0), ('mstl', 1)]
    assert models[0]['warnings'] == ['There is no forecast by this model. Series air has 3 points.']
    (notice,) = await here.notices.latest(user.id)
    assert (notice.level, notice.title) == ('warn', 'Work: done in part')
    reason = failed.message
    assert notice.text == f'Without theta: {reason} Without notes about history: {reason}'


LOST = TaskKilled('The machine was lost.')


async def test_a_model_that_was_lost_is_called_again_and_the_others_are_kept(workers, user):
    here = workers(by_model(theta=[LOST, forecast('theta', 2.0)], mstl=[forecast('mstl', 1.0)]))
    job_id = await here.order(user, 'forecast', request=TWO)
    for _ in range(2):
        await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.message, here.results) == (
        JobState.QUEUED,
        'The machine was lost. Trying again.',
        [],
    )
    for _ in range(2):
        await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.attempt, job.charged) == (JobState.SUCCEEDED, 2, 3)
    folders = [payload['prefix'].split('/', 3)[-1] for _, payload in here.compute.calls]
    assert folders == [f'{job_id}-1/theta', f'{job_id}-1/mstl', f'{job_id}-2/theta']
    (result,) = here.results
    files = [model['files'][0] for model in result['manifest']['models']]
    assert [file.rpartition('/')[0] for file in files] == [folders[2], folders[1]]
    assert result['missing'] == {}


async def test_a_model_that_is_lost_in_every_attempt_is_named_and_the_others_are_delivered(workers, user):
    here = workers(by_model(theta=[LOST] * 3, mstl=[forecast('mstl', 1.0)]))
    job_id = await here.order(user, 'forecast', request=TWO)
    for _ in range(6):
        await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.attempt, len(here.compute.calls)) == (JobState.SUCCEEDED, 3, 4)
    assert here.results[0]['missing'] == dict.fromkeys(['theta', 'notes about history'], 'The machine was lost.')


async def test_a_model_that_cannot_succeed_is_not_called_again_for_another_that_may(workers, user):
    here = workers(by_model(theta=[SeriesTooShort('Too short.')], mstl=[LOST, forecast('mstl', 1.0)]))
    job_id = await here.order(user, 'forecast', request=TWO)
    for _ in range(4):
        await here.jobs.advance(job_id)
    assert (await here.jobs.get(user.id, job_id)).state == JobState.SUCCEEDED
    assert here.results[0]['missing'] == dict.fromkeys(['theta', 'notes about history'], 'Too short.')
    assert len(here.compute.calls) == 3


async def test_a_result_that_is_not_whole_is_made_anew_whole(workers, user):
    lacking = forecast('theta', 1.0) | {'objects': [{'key': f't/{user.id}/forecast/x', 'size': 3, 'sha256': '0' * 64}]}
    here = workers(by_model(theta=lacking, mstl=forecast('mstl', 1.0)))
    await here.objects.put(f't/{user.id}/forecast/x', b'x')
    job_id = await here.order(user, 'forecast', request=TWO)
    for _ in range(3):
        await here.jobs.advance(job_id)
    assert len(here.compute.calls) == 4


async def test_reasons_are_told_however_long_they_are(workers, user):
    told = from_words('SeriesTooShort', 'ö' * 5000, {})
    here = workers(by_model(theta=told, mstl=forecast('mstl', 1.0)))
    job_id = await here.order(user, 'forecast', request=TWO)
    async with here.events.subscribe(f'{user.id}/notices') as messages:
        for _ in range(2):
            await here.jobs.advance(job_id)
        async with asyncio.timeout(5):
            message = await anext(messages)
    assert message['title'] == 'Work: done in part'
    assert message['text'].startswith('Without theta: ööö')


async def test_when_all_models_fail_the_job_does_for_the_first_reason(workers, user):
    here = workers(by_model(theta=SeriesTooShort('Too short.'), mstl=TaskOverLimit('Too slow.')))
    job_id = await here.order(user, 'forecast', request=TWO)
    for _ in range(2):
        await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.error['code'], job.attempt) == (JobState.FAILED, 'series_too_short', 1)


async def test_progress_is_the_mean_of_the_models(workers, user):
    here = workers(by_model(theta=forecast('theta', 1.0), mstl=None))
    job_id = await here.order(user, 'forecast', request=TWO)
    for _ in range(2):
        await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.progress, job.message) == (JobState.RUNNING, 0.75, 'Half way')


async def test_two_workers_that_begin_at_once_leave_one_attempt(workers, user):
    here = workers(lambda task, payload: None)
    job_id = await here.order(user)
    here.compute.gate = asyncio.Event()
    both = [asyncio.create_task(here.jobs.advance(job_id)) for _ in range(2)]
    async with asyncio.timeout(5):
        while len(here.compute.calls) < 2:
            await asyncio.sleep(0.01)
    here.compute.gate.set()
    await asyncio.gather(*both)
    job = await here.jobs.get(user.id, job_id)
    # The second begins an attempt of its own, or goes on with the first one's if that has been recorded by then.
    (left,) = [p for place, (_, p) in enumerate(here.compute.calls) if str(place) not in here.compute.cancelled]
    assert left['prefix'].endswith(f'-{job.attempt}')


# the functions themselves, at a Modal of this machine


async def test_a_file_is_converted_and_forecast_by_the_functions(open_product, user, tmp_path):
    fake = FakeModal(tmp_path / 'modal')
    compute = ModalCompute(
        'variosync',
        environment=None,
        token_id='ak-test',
        token_secret='as-test',
        objects=Objects.local(tmp_path / 'objects'),
        memory=2**30,
        timeout=120,
    )
    with fake.installed(), fake.working(env={'VARIOSYNC_HOME': str(tmp_path)}):
        product = open_product(compute)
        working = asyncio.create_task(product.jobs.work(concurrency=1))
        upload = await product.send(user, 'air.csv', AIR.read_bytes())
        await ended(product, user)
        dataset = await product.datasets.get(user.id, upload.dataset_id)
        version = await product.datasets.version(user.id, dataset.id)
        ask = Ask(target=version.manifest['measures'][0], h=6, models=('seasonal_naive', 'linear'), windows=3)
        made = await product.forecasts.request(user.id, version, ask)
        await ended(product, user)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert len(fake.spawned('convert')) == 1
    assert len(fake.spawned('forecast')) == 2
    forecast = await product.forecasts.get(user.id, made.id)
    assert forecast.state == JobState.SUCCEEDED
    assert [score['model'] for score in forecast.result['scores']] == ['seasonal_naive', 'linear']
    assert {row.model for row in await product.forecasts.issued(user.id, made.id)} == {'seasonal_naive', 'linear'}
    chart = await product.forecasts.chart(user.id, made.id)
    assert len(chart['models']) == 2


async def ended(product: Any, user: User) -> None:
    async with asyncio.timeout(60):
        while await product.jobs.running(user.id):
            await asyncio.sleep(0.05)


# parts that build upon another one


def learnt(task: str, payload: Any) -> Any:
    """Answers of `auto` in chunks: the first part leaves an object, the others one row each."""
    name = payload['prefix'].rpartition('/')[2]
    about = {'name': 'auto', 'files': [], 'backtests': [], 'explained': [], 'rows': 1, 'cutoff': None, 'warnings': []}
    manifest: dict[str, Any] = {'models': [about], 'scores': [], 'series': [name], 'history': [], 'notes': []}
    objects = []
    if 'learn' in payload:
        manifest['learnt'] = ['learnt-panels.json']
        objects = [{'key': f'{payload["prefix"]}/learnt-panels.json', 'size': 3, 'sha256': '0' * 64}]
    else:
        about['files'] = ['forecast-auto.parquet']
    return {'prefix': payload['prefix'], 'objects': objects, 'manifest': manifest, 'seconds': 1.0}


CHUNKED = {'kind': 'forecast', 'request': {'models': ['auto'], 'h': 1}, 'n_series': 4000}


def names(here: Workers) -> list[str]:
    return [payload['prefix'].rpartition('/')[2] for _, payload in here.compute.calls]


async def stored(here: Workers, user: User, job_id: UUID, *attempts: int) -> None:
    for attempt in attempts:
        await here.objects.put(f't/{user.id}/forecast/{job_id}-{attempt}/auto.learnt/learnt-panels.json', b'abc')


async def test_a_chunk_is_called_once_what_it_builds_upon_has_answered(workers, user, sql):
    here = workers(lambda task, payload: None if 'learn' in payload and not here.ready else learnt(task, payload))
    here.ready = False
    job_id = await here.order(user, **CHUNKED)
    await stored(here, user, job_id, 1)
    for _ in range(3):
        await here.jobs.advance(job_id)
    assert names(here) == ['auto.learnt'], 'the others wait'
    sql("update public.calls set dispatched_at = now() - interval '4 seconds' where job_id = %s", job_id)
    here.ready = True
    await here.jobs.advance(job_id)
    assert (await here.jobs.get(user.id, job_id)).message == '0 of 2 chunks'
    await here.jobs.advance(job_id)
    rows = {row['part']: row for row in await here.calls(job_id)}
    assert [payload['learnt'] for _, payload in here.compute.calls[1:]] == [
        [{'key': f't/{user.id}/forecast/{job_id}-1/auto.learnt/learnt-panels.json', 'size': 3, 'sha256': '0' * 64}]
    ] * 2
    assert rows['auto.learnt']['age'] > 4 > rows['auto.2-of-2']['age'], 'what waited for it has all its time'
    await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.attempt, job.charged, len(here.compute.calls)) == (JobState.SUCCEEDED, 1, 3, 3)


@pytest.mark.parametrize('point', ['before submit', 'after submit'])
async def test_a_worker_that_dies_between_two_parts_leaves_one_result(workers, user, point):
    here = workers(learnt)
    job_id = await here.order(user, **CHUNKED)
    await stored(here, user, job_id, 1)
    for _ in range(2):
        await here.jobs.advance(job_id)
    await here.killed_at(point, job_id)
    for _ in range(3):
        await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.attempt, job.charged) == (JobState.SUCCEEDED, 1, 3)
    assert len(here.completed) == 1


async def test_cancelling_calls_nothing_that_waits(workers, user):
    here = workers(lambda task, payload: None)
    job_id = await here.order(user, **CHUNKED)
    for _ in range(2):
        await here.jobs.advance(job_id)
    await here.jobs.cancel(user.id, job_id)
    await here.jobs.advance(job_id)
    await here.jobs.advance(job_id)
    assert (await here.jobs.get(user.id, job_id)).state == JobState.CANCELLED
    assert (here.compute.cancelled, len(here.compute.calls)) == (['0'], 1)


async def test_where_learning_was_lost_it_is_called_again_and_what_waited_with_it(workers, user):
    lost = [TaskKilled('The machine was lost.')]
    here = workers(lambda task, payload: lost.pop() if 'learn' in payload and lost else learnt(task, payload))
    job_id = await here.order(user, **CHUNKED)
    await stored(here, user, job_id, 2)
    for _ in range(3):
        await here.jobs.advance(job_id)
    assert (await here.jobs.get(user.id, job_id)).state == JobState.QUEUED
    for _ in range(5):
        await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.attempt, len(here.compute.calls)) == (JobState.SUCCEEDED, 2, 4)


async def test_a_chunk_that_was_lost_is_called_again_with_what_was_learnt_before(workers, user):
    lost = [TaskKilled('The machine was lost.')]
    here = workers(
        lambda task, payload: lost.pop() if '2-of-2' in payload['prefix'] and lost else learnt(task, payload)
    )
    job_id = await here.order(user, **CHUNKED)
    await stored(here, user, job_id, 1)
    for _ in range(8):
        await here.jobs.advance(job_id)
    job = await here.jobs.get(user.id, job_id)
    assert (job.state, job.attempt, len(here.compute.calls)) == (JobState.SUCCEEDED, 2, 4)
    assert '-1/auto.learnt' in here.compute.calls[-1][1]['learnt'][0]['key']


async def test_chunks_learn_by_themselves_where_learning_failed(workers, user):
    failed = TaskOverLimit('Too slow.')
    here = workers(lambda task, payload: failed if 'learn' in payload else learnt(task, payload))
    job_id = await here.order(user, **CHUNKED)
    for _ in range(5):
        await here.jobs.advance(job_id)
    assert (await here.jobs.get(user.id, job_id)).state == JobState.SUCCEEDED
    assert not any('learnt' in payload for _, payload in here.compute.calls)
    (result,) = here.results
    assert 'Too slow.' in result['manifest']['models'][0]['warnings'][0]
