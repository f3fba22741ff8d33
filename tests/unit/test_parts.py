"""How a task is split into calls, how their answers become one, and how they run where calls end with us."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from core.analysis.forecasting import backtest
from core.errors import (
    SeriesTooShort,
    TaskCancelled,
    TaskFailed,
    TaskKilled,
    TaskOverLimit,
    Unavailable,
    VariosyncError,
)
from core.parts import (
    MOST_PARTS,
    WHOLE,
    Kept,
    SideBySide,
    chunks,
    holding,
    listed,
    merge,
    released,
    split,
    standing,
    width,
)
from storage.objects import Objects
from tests.flows.doubles import ScriptedCompute

PAYLOAD = {'prefix': 't/a/forecast/j-1', 'parts': ['p'], 'request': {'models': ['theta', 'mstl'], 'h': 2}}


def many(n_series: int, *models: str, **request: Any) -> dict[str, Any]:
    """A payload that asks for the forecast of many series."""
    return {**PAYLOAD, 'n_series': n_series, 'request': {'models': list(models), 'h': 2, **request}}


# splitting


def test_a_forecast_is_split_by_model() -> None:
    parts = split('forecast', PAYLOAD)
    assert {name: (part['prefix'], part['request']) for name, part in parts.items()} == {
        model: (f't/a/forecast/j-1/{model}', {'models': [model], 'h': 2}) for model in ('theta', 'mstl')
    }
    assert all(part['parts'] == ['p'] for part in parts.values())


@pytest.mark.parametrize(
    'payload',
    [
        {},
        {'request': None},
        {'request': {'models': 'theta'}},
        {'request': {'models': ['theta']}},
        {'request': {'models': ['theta', {}]}},
        {'request': {'models': ['theta', '../mstl']}},
        {'request': {'models': ['theta']}, 'n_series': '900'},
        {'request': {'models': ['theta']}, 'n_series': True},
        {'request': {'models': ['theta']}, 'n_series': -900},
    ],
)
def test_what_cannot_be_split_stays_whole(payload: dict[str, Any]) -> None:
    assert split('forecast', payload) == {WHOLE: payload}


def test_only_forecasts_are_split() -> None:
    assert split('convert', PAYLOAD) == {WHOLE: PAYLOAD}


@pytest.mark.parametrize(
    ('model', 'n_series', 'expected'),
    [
        *(('theta', 200, 1), ('theta', 201, 2), ('prophet', 1000, 5), ('croston', 10_000, 50)),
        *(('auto', 2000, 1), ('auto', 2001, 2), ('lightgbm', 100_000, 1), ('tft', 100_000, 1), ('theta', 0, 1)),
    ],
)
def test_models_that_take_each_series_by_itself_run_in_chunks(model: str, n_series: int, expected: int) -> None:
    assert chunks(model, n_series) == expected


def test_each_chunk_is_a_call_of_its_own() -> None:
    parts = split('forecast', many(401, 'theta', 'lightgbm'))
    assert [(name, part.get('chunk'), part['prefix'][17:]) for name, part in parts.items()] == [
        ('theta.1-of-3', [0, 3], 'theta.1-of-3'),
        ('theta.2-of-3', [1, 3], 'theta.2-of-3'),
        ('theta.3-of-3', [2, 3], 'theta.3-of-3'),
        ('lightgbm', None, 'lightgbm'),
    ]
    assert all(part['request']['models'] == [name.partition('.')[0]] for name, part in parts.items())


def test_notes_about_history_are_made_once() -> None:
    parts = split('forecast', many(401, 'lightgbm', 'theta', 'ets'))
    assert {name.partition('.')[0] for name, part in parts.items() if part.get('notes', True)} == {'theta'}
    assert [part.get('notes', True) for part in split('forecast', PAYLOAD).values()] == [True, False]


def test_named_series_are_shared_by_the_chunks() -> None:
    labels = [f's{number:03}' for number in reversed(range(300))]
    parts = split('forecast', many(300, 'theta', series=labels))
    shares = [part['request']['series'] for part in parts.values()]
    assert [len(share) for share in shares] == [150, 150]
    assert [label for share in shares for label in share] == sorted(labels)
    assert not any('chunk' in part for part in parts.values())


def test_the_budget_of_auto_is_shared_by_its_chunks() -> None:
    parts = split('forecast', many(4000, 'auto', budget=60))
    assert [part['request']['budget'] for part in parts.values()] == [30, 15, 15]


def test_what_learns_from_all_series_is_trained_once_for_all_chunks() -> None:
    parts = split('forecast', many(5000, 'theta', 'auto'))
    first, *chunks = (name for name in parts if name.startswith('auto'))
    assert (first, chunks) == ('auto.learnt', [f'auto.{number}-of-3' for number in (1, 2, 3)])
    assert (parts[first]['learn'], 'chunk' in parts[first], 'after' in parts[first]) == (2000, False, False)
    assert [parts[name]['after'] for name in chunks] == [first] * 3
    assert not any('after' in part for name, part in parts.items() if name.startswith('theta'))
    assert list(split('forecast', many(2000, 'auto'))) == [WHOLE]


def test_a_chunk_starts_with_what_was_learnt_before_it() -> None:
    payload = split('forecast', many(4000, 'auto'))['auto.1-of-2']
    assert released(payload, {}) is None
    asked = released(payload, {'auto.learnt': learning()})
    assert asked is not None
    assert [item['key'] for item in asked['learnt']] == ['t/a/forecast/j-1/auto.learnt/learnt-panels.json']
    assert 'after' not in asked
    for answer in (TaskOverLimit('Too slow.'), {'manifest': None}):
        alone = released(payload, {'auto.learnt': answer})
        assert alone is not None
        assert not {'after', 'learnt'} & alone.keys()


def test_there_are_never_too_many_calls() -> None:
    parts = split('forecast', many(10**9, 'theta', 'ets', 'mstl'))
    assert len(parts) == MOST_PARTS // 3 * 3


# merging


def sums(mase: float, inside: int, *, weight: int, wql: tuple[float, float] = (0.0, 0.0)) -> dict[str, Any]:
    """What a chunk's score is made of (`backtest.sums`), for `weight` windows with ten points in all."""
    figures = {'mase': [mase * weight, weight], 'rmsse': [0.0, 0], 'smape': [0.0, 0], 'sql': [0.0, 0], 'wql': wql}
    counts = {'points': 10, 'n_series': weight, 'n_windows': weight, 'seconds': 1.0}
    return {'figures': figures, 'coverage': {'80': [inside, 10]}, 'width': {'80': [0.0, 0]}, **counts}


def answer(part: str, model: str, labels: list[str], told: Any = None, **score: Any) -> dict[str, Any]:
    """What the task answers for a part: one model, some series."""
    prefix = f't/a/forecast/j-1/{part}'
    rows = 2 * len(labels)
    about = {
        'name': model,
        'files': [f'forecast-{model}.parquet'],
        'backtests': [f'backtest-{model}.parquet'],
        'explained': [],
        'rows': rows,
        'cutoff': f'2024-01-0{len(labels)}',
        'first_cutoff': '2023-12-31',
        'series': {'ok': len(labels)},
        'warnings': [f'about {part}'],
        'about': {'Gaps.': {'series': len(labels), 'first': labels[:3]}},
        'weights': {'theta': 1 / len(labels)},
        'seconds': 1.5,
    }
    scored = {'model': model, 'points': 10, 'n_series': len(labels), 'n_windows': len(labels), 'seconds': 1.0, **score}
    return {
        'prefix': prefix,
        'objects': [{'key': f'{prefix}/forecast-{model}.parquet', 'size': 1, 'sha256': '0' * 64}],
        'manifest': {
            'models': [about],
            'scores': [scored],
            'sums': {model: told},
            'series': labels,
            'n_series': len(labels),
            'history': ['history.parquet'],
            'notes': [] if model == 'lightgbm' else ['notes.parquet'],
        },
        'seconds': 2.0,
    }


def learning(by: str = '0') -> dict[str, Any]:
    """What the part answers that learns for the chunks of `auto`: scores, and no forecast."""
    prefix = 't/a/forecast/j-1/auto.learnt'
    made = answer('auto.learnt', 'auto', ['a', 'd'], sums(1.5, 8, weight=4), mase=1.5)
    made['manifest']['models'][0] |= {'files': [], 'rows': 0, 'cutoff': None, 'series': {}, 'weights': {'theta': 1.0}}
    made['manifest'] |= {'history': [], 'notes': [], 'learnt': ['learnt-panels.json'], 'span': ['a', 'd']}
    names = ('learnt-panels.json', 'backtest-auto.parquet')
    return made | {'objects': [{'key': f'{prefix}/{name}', 'size': 3, 'sha256': by * 64} for name in names]}


def after_learning(first: Any) -> dict[str, Any]:
    """Two chunks of auto that were not measured, after what they learnt from."""
    answers: dict[str, Any] = {'auto.learnt': first}
    for number, labels in ((1, ['a']), (2, ['b', 'c', 'd'])):
        part = f'auto.{number}-of-2'
        answers[part] = answer(part, 'auto', labels)
        answers[part]['manifest'] |= {'scores': [], 'sums': {}}
        answers[part]['manifest']['models'][0]['backtests'] = []
    return answers


def chunked(**replaced: VariosyncError) -> dict[str, Any]:
    """Two chunks of theta and all of lightgbm; some of them failed."""
    answers: dict[str, Any] = {
        'theta.1-of-2': answer('theta.1-of-2', 'theta', ['a'], sums(1.0, 5, weight=1, wql=(1.0, 10.0))),
        'theta.2-of-2': answer('theta.2-of-2', 'theta', ['b', 'c', 'd'], sums(2.0, 9, weight=3)),
        'lightgbm': answer('lightgbm', 'lightgbm', ['a', 'b', 'c', 'd'], mase=3.0),
    }
    return answers | {name.replace('_', '.', 1).replace('_', '-'): error for name, error in replaced.items()}


def test_a_whole_answer_is_the_result() -> None:
    answer = {'prefix': 'p', 'objects': [], 'manifest': {}, 'seconds': 1.0}
    assert merge(PAYLOAD, {WHOLE: answer}) == answer


def test_chunks_of_a_model_become_one() -> None:
    result = merge(PAYLOAD, chunked())
    theta, lightgbm = result['manifest']['models']
    assert result['prefix'] == 't/a/forecast'
    assert theta['files'] == [f'j-1/theta.{number}-of-2/forecast-theta.parquet' for number in (1, 2)]
    assert theta['backtests'] == [f'j-1/theta.{number}-of-2/backtest-theta.parquet' for number in (1, 2)]
    assert [(part['rows'], part['cutoff']) for part in theta['parts']] == [(2, '2024-01-01'), (6, '2024-01-03')]
    assert (theta['rows'], theta['cutoff'], theta['series']) == (8, '2024-01-03', {'ok': 4})
    assert theta['weights'] == {'theta': pytest.approx(0.5)}
    assert theta['warnings'] == ['about theta.1-of-2', 'about theta.2-of-2']
    assert (theta['first_cutoff'], lightgbm['first_cutoff']) == ('2023-12-31', '2023-12-31')
    assert theta['about'] == {'Gaps.': {'series': 4, 'first': ['a', 'b', 'c']}}
    assert lightgbm['files'] == ['j-1/lightgbm/forecast-lightgbm.parquet']
    assert (result['missing'], result['seconds'], len(result['objects'])) == ({}, 6.0, 3)


def test_windows_of_chunks_are_counted_together() -> None:
    def told(part: str, label: str, counts: dict[str, int]) -> dict[str, Any]:
        made = answer(part, 'theta', [label], sums(1.0, 5, weight=1))
        about = {'windows': {'asked': 3, 'series': counts}, 'warnings': [backtest.shortfall(counts, 3), 'Gaps.']}
        made['manifest']['models'][0] |= about
        return made

    answers = {
        'theta.1-of-2': told('theta.1-of-2', 'a', {'3': 50, '0': 1}),
        'theta.2-of-2': told('theta.2-of-2', 'b', {'3': 40, '2': 2}),
    }
    (model,) = merge(many(400, 'theta'), answers)['manifest']['models']
    assert model['windows'] == {'asked': 3, 'series': {'3': 90, '0': 1, '2': 2}}
    assert model['warnings'] == [backtest.shortfall({'3': 90, '2': 2, '0': 1}, 3), 'Gaps.']


def test_each_series_is_in_the_history_once() -> None:
    manifest = merge(PAYLOAD, chunked())['manifest']
    assert manifest['history'] == ['j-1/lightgbm/history.parquet'], 'one file that holds them all'
    assert manifest['notes'] == [f'j-1/theta.{number}-of-2/notes.parquet' for number in (1, 2)], 'by theta alone'
    assert (manifest['series'], manifest['n_series']) == (['a', 'b', 'c', 'd'], 4)
    lost = TaskFailed('No.')
    assert merge(PAYLOAD, chunked(theta_1_of_2=lost, theta_2_of_2=lost))['manifest']['notes'] == []
    manifest = merge(PAYLOAD, chunked(lightgbm=lost))['manifest']
    assert manifest['history'] == [f'j-1/theta.{number}-of-2/history.parquet' for number in (1, 2)]
    assert (manifest['series'], manifest['n_series']) == (['a', 'b', 'c', 'd'], 4)


def test_scores_of_chunks_become_one_by_their_sums() -> None:
    theta, lightgbm = merge(PAYLOAD, chunked())['manifest']['scores']
    assert (theta['mase'], theta['coverage'], theta['wql']) == (1.75, {'80': pytest.approx(0.7)}, 0.1)
    assert (theta['points'], theta['n_series'], theta['n_windows'], theta['seconds']) == (20, 4, 4, 2.0)
    assert theta['rmsse'] is None
    assert lightgbm['mase'] == 3.0


def test_chunks_that_failed_leave_the_others() -> None:
    result = merge(PAYLOAD, chunked(theta_2_of_2=TaskOverLimit('Too slow.')))
    theta = result['manifest']['models'][0]
    assert result['missing'] == {
        'theta for 1 of 2 chunks of series': 'Too slow.',
        'notes about history for 1 of 2 chunks of series': 'Too slow.',
    }
    assert theta['warnings'][0] == '1 of 2 chunks of series have no forecast by this model. Too slow.'
    assert (theta['rows'], theta['series']) == (2, {'ok': 1})


def test_notes_that_nobody_made_are_told_and_others_are_not_missed() -> None:
    lost = TaskKilled('Lost.')
    missing = merge(PAYLOAD, {'theta': lost, 'mstl': answer('mstl', 'mstl', ['a'])})['missing']
    assert missing == {'theta': 'Lost.', 'notes about history': 'Lost.'}
    missing = merge(PAYLOAD, {'theta': answer('theta', 'theta', ['a']), 'mstl': lost})['missing']
    assert missing == {'mstl': 'Lost.'}


def test_what_was_learnt_brings_the_scores_of_its_chunks() -> None:
    answers = after_learning(learning())
    result = merge(many(4000, 'auto'), dict(reversed(answers.items())))
    (auto,) = result['manifest']['models']
    assert auto['files'] == [f'j-1/auto.{number}-of-2/forecast-auto.parquet' for number in (1, 2)]
    assert auto['backtests'] == ['j-1/auto.learnt/backtest-auto.parquet']
    assert (auto['rows'], auto['series'], auto['weights']) == (8, {'ok': 4}, {'theta': pytest.approx(0.5)})
    assert [score['mase'] for score in result['manifest']['scores']] == [1.5]
    assert (result['manifest']['n_series'], result['missing'], result['seconds']) == (4, {}, 6.0)
    assert result['manifest']['history'] == [f'j-1/auto.{number}-of-2/history.parquet' for number in (1, 2)]
    assert result['manifest']['spans']['j-1/auto.learnt'] == ['a', 'd']


def test_chunks_that_had_to_learn_by_themselves_say_so() -> None:
    result = merge(many(4000, 'auto'), after_learning(TaskOverLimit('Too slow.')))
    (auto,) = result['manifest']['models']
    assert 'learnt by itself, because learning for all of them failed. Too slow.' in auto['warnings'][0]
    assert (result['missing'], auto['rows']) == ({}, 8)


def test_what_was_learnt_is_no_forecast() -> None:
    lost = TaskKilled('Lost.')
    with pytest.raises(TaskKilled, match='Lost'):
        merge(many(4000, 'auto'), {'auto.learnt': learning(), 'auto.1-of-2': lost, 'auto.2-of-2': lost})


def test_a_model_without_any_chunk_is_left_out() -> None:
    lost = TaskKilled('Lost.')
    result = merge(PAYLOAD, chunked(theta_1_of_2=lost, theta_2_of_2=lost))
    theta = result['manifest']['models'][0]
    assert (theta['files'], theta['rows'], theta['cutoff'], theta['weights']) == ([], 0, None, None)
    assert theta['warnings'] == ['There is no forecast by this model. Lost.']
    assert [score['model'] for score in result['manifest']['scores']] == ['lightgbm']


def test_when_every_part_failed_the_first_reason_is_raised() -> None:
    with pytest.raises(SeriesTooShort, match='first'):
        merge(PAYLOAD, {'theta': SeriesTooShort('first'), 'mstl': TaskFailed('second')})


def test_results_that_were_stored_before_chunks_are_read() -> None:
    assert listed({'file': 'forecast-theta.parquet'}, 'files') == ['forecast-theta.parquet']
    assert listed({'file': None}, 'files') == []
    assert listed({'history': 'a/history.parquet'}, 'history') == ['a/history.parquet']
    assert listed({}, 'history') == ['history.parquet']
    assert listed({}, 'notes') == []


def test_only_files_that_may_hold_a_series_are_opened() -> None:
    answers = chunked()
    for part, span in (('theta.1-of-2', ['a', 'a']), ('theta.2-of-2', ['b', 'd']), ('lightgbm', ['a', 'd'])):
        answers[part]['manifest']['span'] = span
    manifest = merge(many(400, 'theta', 'lightgbm'), answers)['manifest']
    theta, lightgbm = (listed(model, 'files') for model in manifest['models'])
    assert holding(manifest, theta, 'c') == ['j-1/theta.2-of-2/forecast-theta.parquet']
    assert holding(manifest, manifest['notes'], 'a') == ['j-1/theta.1-of-2/notes.parquet']
    assert holding(manifest, lightgbm, 'c') == lightgbm
    assert holding(manifest, theta, 'e') == theta[:1], 'somebody must say that it is not there'
    assert holding({}, theta, 'c') == theta


def test_progress_is_told_by_chunk() -> None:
    assert standing(['theta.1-of-2', 'theta.2-of-2', 'lightgbm'], {'theta.2-of-2'}) == '1 of 3 chunks'
    assert standing(['theta', 'lightgbm'], {'theta'}) == ''
    assert standing(['auto.learnt', 'auto.1-of-2', 'auto.2-of-2'], {'auto.learnt'}) == '0 of 2 chunks'


# running


Script = Callable[[str, Mapping[str, Any]], Any]
PARTS = {name: {'prefix': name} for name in ('a', 'b', 'c', 'd')}


class Slow(ScriptedCompute):
    """Remembers how many calls ran at once."""

    most = 0

    async def collect(self, call_id: str, **asked: Any) -> Mapping[str, Any] | None:
        running = len(self.calls) - self.ended
        self.most = max(self.most, running)
        for _ in range(10):
            await asyncio.sleep(0)
        answer = await super().collect(call_id, **asked)
        self.ended += answer is not None
        return answer

    ended = 0


def together(script: Script, *, spare: int = 2, parts: Mapping[str, Any] = PARTS) -> tuple[SideBySide, Slow]:
    compute = Slow(script)
    return SideBySide(compute, 'forecast', parts, spare=asyncio.Semaphore(spare), timeout=5), compute


@pytest.mark.parametrize(('spare', 'most'), [(0, 1), (2, 3)])
async def test_parts_run_side_by_side_as_far_as_there_is_room(spare: int, most: int) -> None:
    running, compute = together(lambda task, payload: dict(payload), spare=spare)
    async with asyncio.timeout(5):
        assert await running.run() == PARTS
    assert compute.most == most


CHAIN = {'a': {'prefix': 'a'}, 'b': {'prefix': 'b', 'after': 'a'}, 'c': {'prefix': 'c', 'after': 'a'}, 'd': {}}


async def test_a_part_starts_once_the_one_before_it_has_answered() -> None:
    ready = asyncio.Event()

    def script(task: str, payload: Mapping[str, Any]) -> Any:
        return dict(payload) if payload.get('prefix') != 'a' or ready.is_set() else None

    running, compute = together(script, parts=CHAIN)
    task = asyncio.create_task(running.run())
    async with asyncio.timeout(5):
        while running.standing()[0] < 0.375:
            await asyncio.sleep(0.01)
        assert [payload for _, payload in compute.calls] == [CHAIN['a'], CHAIN['d']]
        ready.set()
        answers = await task
    assert {part: payload.get('prefix') for part, payload in answers.items()} == {
        'a': 'a',
        'b': 'b',
        'c': 'c',
        'd': None,
    }
    assert compute.most == 2


async def test_what_waits_for_another_part_holds_no_place() -> None:
    running, compute = together(lambda task, payload: None, parts=CHAIN)
    task = asyncio.create_task(running.run())
    async with asyncio.timeout(5):
        while len(compute.calls) < 2:
            await asyncio.sleep(0.01)
        await running._spare.acquire()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert sorted(compute.cancelled) == ['0', '1']


@pytest.mark.parametrize('spare', [0, 2])
async def test_where_nothing_came_of_a_part_those_after_it_go_on_without(spare: int) -> None:
    failed = TaskOverLimit('Too slow.')
    running, compute = together(
        lambda task, payload: failed if payload.get('prefix') == 'a' else dict(payload), parts=CHAIN, spare=spare
    )
    async with asyncio.timeout(5):
        assert await running.run() == {'a': failed, 'b': {'prefix': 'b'}, 'c': {'prefix': 'c'}, 'd': {}}
    assert len(compute.calls) == 4


async def test_a_part_that_fails_leaves_the_others() -> None:
    failed = TaskOverLimit('Too slow.')
    running, _ = together(lambda task, payload: failed if payload['prefix'] == 'b' else dict(payload))
    assert await running.run() == PARTS | {'b': failed}


async def test_a_part_whose_process_was_lost_is_run_again() -> None:
    lost = TaskKilled('Lost.')
    tried: list[str] = []

    def script(task: str, payload: Mapping[str, Any]) -> Any:
        tried.append(payload['prefix'])
        return lost if payload['prefix'] == 'b' and tried.count('b') < 3 else dict(payload)

    running, _ = together(script)
    assert await running.run() == PARTS
    assert tried.count('b') == 3


async def test_a_part_that_is_lost_again_and_again_is_given_up() -> None:
    lost = TaskKilled('Lost.')
    running, compute = together(lambda task, payload: lost if payload['prefix'] == 'b' else dict(payload))
    assert await running.run() == PARTS | {'b': lost}
    assert len(compute.calls) == 6


async def test_the_only_part_is_not_run_again_here() -> None:
    lost = TaskKilled('Lost.')
    running, compute = together(lambda task, payload: lost, parts={WHOLE: {}})
    assert await running.run() == {WHOLE: lost}
    assert len(compute.calls) == 1


@pytest.mark.parametrize('error', [TaskCancelled('Stopped.'), Unavailable('Stopping.')])
async def test_what_stops_one_part_stops_all(error: VariosyncError) -> None:
    running, compute = together(lambda task, payload: error if payload['prefix'] == 'b' else None)
    with pytest.raises(type(error)):
        await running.run()
    assert sorted(compute.cancelled) == ['0', '1', '2']


async def test_cancelling_stops_every_call() -> None:
    running, compute = together(lambda task, payload: None)
    task = asyncio.create_task(running.run())
    async with asyncio.timeout(5):
        while len(compute.calls) < 3:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(compute.cancelled) == ['0', '1', '2']


async def test_a_part_that_never_ends_is_stopped() -> None:
    compute = Slow(lambda task, payload: None)
    running = SideBySide(compute, 'forecast', {WHOLE: {}}, spare=asyncio.Semaphore(0), timeout=0.1)
    (outcome,) = (await running.run()).values()
    assert isinstance(outcome, TaskOverLimit)
    assert compute.cancelled == ['0']


async def test_progress_is_the_mean_of_the_parts() -> None:
    running, compute = together(lambda task, payload: dict(payload) if payload['prefix'] == 'a' else None, spare=0)
    task = asyncio.create_task(running.run())
    async with asyncio.timeout(5):
        while len(compute.calls) < 2 or running.standing()[0] < 0.375:
            await asyncio.sleep(0.01)
    assert running.standing() == (0.375, 'Half way')
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_machine_runs_as_many_tasks_as_fit_into_its_memory() -> None:
    assert width(2**80) == 1
    assert 1 <= width(1) <= 16


# answers of earlier attempts


JOB = f't/{UUID(int=1)}/forecast/j'


def kept(objects: Objects, attempt: int) -> Kept:
    return Kept(objects, f'{JOB}-{attempt}')


async def attempted(objects: Objects, attempt: int, script: Script, **asked: Any) -> tuple[Mapping[str, Any], Slow]:
    """Run an attempt at two chunks by a script whose answers name an object that it stores."""
    parts = split('forecast', {**many(400, 'theta', **asked), 'prefix': f'{JOB}-{attempt}'})
    compute = Slow(script)
    spare = asyncio.Semaphore(2)
    running = SideBySide(compute, 'forecast', parts, spare=spare, timeout=5, kept=kept(objects, attempt))
    async with asyncio.timeout(5):
        return await running.run(), compute


@pytest.fixture
async def objects(tmp_path: Path) -> Objects:
    store = Objects.local(tmp_path)
    for attempt in (1, 2):
        for part in ('theta.1-of-2', 'theta.2-of-2'):
            await store.put(f'{JOB}-{attempt}/{part}/rows', b'abc')
    return store


def made(task: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    return {'objects': [{'key': f'{payload["prefix"]}/rows', 'size': 3}], 'by': payload['prefix']}


def second_is_lost(task: str, payload: Mapping[str, Any]) -> Any:
    return TaskOverLimit('Too long.') if '2-of-2' in payload['prefix'] else made(task, payload)


async def test_a_later_attempt_runs_only_parts_without_an_answer(objects: Objects) -> None:
    first, _ = await attempted(objects, 1, second_is_lost)
    assert isinstance(first['theta.2-of-2'], TaskOverLimit)
    second, compute = await attempted(objects, 2, made)
    assert [payload['prefix'] for _, payload in compute.calls] == [f'{JOB}-2/theta.2-of-2']
    assert {part: answer['by'] for part, answer in second.items()} == {
        'theta.1-of-2': f'{JOB}-1/theta.1-of-2',
        'theta.2-of-2': f'{JOB}-2/theta.2-of-2',
    }
    third, compute = await attempted(objects, 3, second_is_lost)
    assert compute.calls == []
    assert third == second


async def test_answers_to_another_question_by_other_code_or_without_their_objects_are_not_taken(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    await attempted(objects, 1, made)
    assert len((await attempted(objects, 2, made, seed=2))[1].calls) == 2
    await objects.delete(f'{JOB}-2/')
    with monkeypatch.context() as patch:
        patch.setattr('core.analysis.record.code_version', lambda: 'other')
        assert len((await attempted(objects, 2, second_is_lost))[1].calls) == 2
    await objects.delete(f'{JOB}-2/')
    await objects.delete(f'{JOB}-1/theta.1-of-2/rows')
    _, compute = await attempted(objects, 2, made)
    assert [payload['prefix'] for _, payload in compute.calls] == [f'{JOB}-2/theta.1-of-2']


async def test_a_later_attempt_reads_nothing_that_an_earlier_one_writes_after_it(objects: Objects) -> None:
    late = split('forecast', {**many(400, 'theta'), 'prefix': f'{JOB}-1'})['theta.1-of-2']
    second, _ = await attempted(objects, 2, made)
    await kept(objects, 1).keep('theta.1-of-2', late, made('forecast', late))
    third, compute = await attempted(objects, 3, made)
    assert (compute.calls, third) == ([], second), 'the newest attempt counts'


def of_auto(by: str, *, lost: str = '') -> Script:
    """Answers of `auto`, whose first part learns what it is told `by`; the part `lost` has none."""

    def script(task: str, payload: Mapping[str, Any]) -> Any:
        prefix = payload['prefix']
        if lost and prefix.endswith(lost):
            return TaskOverLimit('Too long.')
        objects = [{'key': f'{prefix}/rows', 'size': 3, 'sha256': by * 64}]
        return {'prefix': prefix, 'objects': objects, 'manifest': {'learnt': ['rows']}}

    return script


async def tried(objects: Objects, attempt: int, script: Script) -> list[str]:
    """Run an attempt at two chunks of `auto`, and return which parts it called."""
    parts = split('forecast', {**many(4000, 'auto'), 'prefix': f'{JOB}-{attempt}'})
    for part in parts:
        await objects.put(f'{JOB}-{attempt}/{part}/rows', b'abc')
    compute = Slow(script)
    running = SideBySide(compute, 'forecast', parts, spare=asyncio.Semaphore(2), timeout=5, kept=kept(objects, attempt))
    async with asyncio.timeout(5):
        await running.run()
    return [payload['prefix'].rpartition('/')[2] for _, payload in compute.calls]


async def test_a_later_attempt_forecasts_with_what_an_earlier_one_learnt(objects: Objects) -> None:
    await tried(objects, 1, of_auto('0', lost='auto.2-of-2'))
    assert await tried(objects, 2, of_auto('0')) == ['auto.2-of-2']
    assert await tried(objects, 3, of_auto('0')) == []


async def test_forecasts_with_what_was_learnt_otherwise_are_not_taken(objects: Objects) -> None:
    await tried(objects, 1, of_auto('0'))
    await objects.delete(f'{JOB}-1/auto.learnt/rows')
    assert await tried(objects, 2, of_auto('1')) == ['auto.learnt', 'auto.1-of-2', 'auto.2-of-2']
    await objects.delete(f'{JOB}-2/auto.learnt/rows')
    await objects.put(f'{JOB}-1/auto.learnt/rows', b'abc')
    assert await tried(objects, 3, of_auto('2')) == [], 'the first attempt learnt, and its chunks answered'
