"""What one question may cost: memory, rows, points, time; each limit says what to do."""

from collections.abc import Iterator
from pathlib import Path
from weakref import ref

import numpy as np
import pytest

from core.analysis.query import Filter, Overlay, Query, answer, buckets, engine
from core.analysis.query.row_groups import File
from core.analysis.query.stored import Stored
from core.errors import TooLarge, UsageError
from tests.unit.analysis.query.versions import BEGUN, MINUTE, Version, version, walk

FIRST = -62_135_596_800_000_000  # the year 1 begins


@pytest.fixture(scope='module')
def made(tmp_path_factory: pytest.TempPathFactory) -> Version:
    held = {label: walk(n, seed=n) for label, n in {'a · x': 9000, 'a · y': 7000, 'b · x': 6000}.items()}
    return version(tmp_path_factory.mktemp('limits'), held)


def test_of_many_series_one_is_held_beside_the_sums() -> None:
    begun: list[ref[np.ndarray]] = []

    def series() -> Iterator[buckets.Counted]:
        for number in range(9):
            assert sum(one() is not None for one in begun) <= 2  # `enumerate` holds the one before
            one = buckets.Counted(n=np.array([1, 0, 1]), value=np.array([number, np.nan, number if number else np.nan]))
            begun.append(ref(one.value))
            yield one
            del one

    total = buckets.across(series(), 'sum')
    assert total.n.tolist() == [9, 0, 9]
    assert total.value.tolist() == pytest.approx([36, np.nan, 36], nan_ok=True)
    assert buckets.across(series(), 'mean').value.tolist() == pytest.approx([4, np.nan, 4.5], nan_ok=True)


@pytest.mark.parametrize('aggregation', ['mean', 'sum', 'min', 'max', 'first', 'last', 'count'])
def test_figures_of_some_rows_at_a_time_are_those_of_all(aggregation: str) -> None:
    t, v = np.arange(100), np.random.default_rng(1).normal(size=100)
    cuts = np.array([0, 7, 33, 33, 90, 140, 150])
    folded = buckets.Folded(len(cuts) - 1, aggregation)
    for at in range(0, 100, 13):
        folded.add(t[at : at + 13], v[at : at + 13], cuts)
    expected = buckets.aggregated(t, v, cuts, aggregation)
    assert folded.counted.n.tolist() == expected.n.tolist()
    assert folded.counted.value == pytest.approx(expected.value, nan_ok=True)


def test_series_times_buckets_are_limited(made: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, 'MOST_CELLS', 100)
    asked = {'kind': 'buckets', 'group': '*', 'start': BEGUN, 'end': BEGUN + 34 * 60 * MINUTE - 1, 'every': 'PT1H'}
    with pytest.raises(TooLarge, match='3 series in 34 buckets are 102 figures'):
        answer(made.stored, Query(measures=('y',), **asked))
    assert answer(made.stored, Query(measures=('y',), **asked | {'every': 'P1D'})).lines
    with pytest.raises(TooLarge, match='204 figures'):
        answer(made.stored, Query(measures=('y', 'other'), **asked))


@pytest.mark.parametrize(
    'asked',
    [
        Query(kind='buckets', measures=('y',), series=('a · x',), every='P1D', aggregation='p50'),
        Query(kind='top', measures=('y',), by='p50'),
        Query(measures=('y',), series=('a · x',), filters=(Filter(column='word', relation='eq', values=('odd',)),)),
        Query(measures=('y',), series=('a · x',), overlays=(Overlay(name='mean'),)),
        Query(kind='histogram', measures=('y',), series=('a · x',)),
    ],
    ids=['percentile', 'ranked', 'filtered', 'indicator', 'histogram'],
)
def test_a_series_too_long_is_not_read(made: Version, asked: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('core.analysis.query.asked.MOST_VALUES', 5000)
    monkeypatch.setattr(Stored, 'pieces', lambda *_, **__: pytest.fail('it is read'))
    with pytest.raises(TooLarge, match='Choose'):
        answer(made.stored, asked)


@pytest.mark.parametrize('kind', ['buckets', 'ohlc'])
def test_first_and_last_of_a_series_of_any_length_are_told(
    made: Version, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Query(kind=kind, measures=('y',), series=('a · x',), every='P1D', aggregation='last')
    expected = answer(made.stored, asked).lines[0].columns
    monkeypatch.setattr('core.analysis.query.asked.MOST_VALUES', 5000)
    found = answer(made.stored, asked).lines[0].columns
    assert all(found[name] == pytest.approx(expected[name], nan_ok=True) for name in expected)


@pytest.mark.parametrize(
    'asked',
    [
        Query(measures=('y',)),
        Query(kind='envelope', measures=('y',)),
        Query(kind='buckets', measures=('y',), group='*', every='P1D'),
        Query(kind='ohlc', measures=('y',), every='P1D'),
        Query(kind='hours', measures=('y',)),
        Query(kind='box', measures=('y',)),
        Query(kind='top', measures=('y',), by='last'),
        Query(measures=('y',), filters=(Filter(column='kind', relation='eq', values=('x',)),)),
    ],
    ids=lambda one: one.kind + ' filtered' * bool(one.filters),
)
def test_what_takes_too_long_is_stopped(made: Version, asked: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('core.analysis.query.asked.PATIENCE', -1.0)
    with pytest.raises(TooLarge, match='Choose a shorter range'):
        answer(made.stored, asked)


def test_the_points_of_an_answer_are_limited(made: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, 'MOST_POINTS', 1000)
    with pytest.raises(TooLarge, match='at most 1,000 points'):
        answer(made.stored, Query(measures=('y',), width=400))
    assert len(answer(made.stored, Query(measures=('y',), width=100)).lines) == 3


@pytest.mark.parametrize('zone', ['UTC', 'Europe/Berlin', 'America/New_York'])
@pytest.mark.parametrize(('start', 'compare'), [(BEGUN, 'P1000000D'), (FIRST, 'P2D')])
def test_an_earlier_period_before_the_calendar_is_refused(made: Version, zone: str, start: int, compare: str) -> None:
    asked = Query(measures=('y',), start=start, end=BEGUN + MINUTE, zone=zone, compare=compare)
    with pytest.raises(UsageError) as caught:
        answer(made.stored, asked)
    assert caught.value.details['place'] == 'query.compare'


def test_keys_that_labels_do_not_tell_are_read_once_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = {f'a · {number:03} · x': walk(60, seed=number) for number in range(200)}
    stored = version(tmp_path, held | {'b · y': walk(60, seed=1)}).stored
    read: list[int] = []
    group = File.group
    monkeypatch.setattr(File, 'group', lambda self, at, columns: read.append(at) or group(self, at, columns))
    found = [stored.key_values(label) for label in stored.labels]
    assert found[0] == {'place': 'a', 'kind': '000'}  # as the rows say
    assert found[199] == {'place': 'a', 'kind': '199'}
    assert found[200] == {'place': 'b', 'kind': 'y'}
    assert 0 < len(read) <= 4  # groups of rows, and not labels
    assert stored.nbytes > 200 * 200


def test_a_few_values_among_very_many_rows_are_read_in_the_range_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rare = walk(9000, seed=5)
    rare['other'][np.arange(9000) % 900 > 0] = np.nan
    made = version(tmp_path, {'a · x': rare})
    assert made.stored.pyramid.line('other', 'a · x') is None
    start, end = int(rare['t'][880]), int(rare['t'][2000])
    asked = Query(measures=('other',), start=start, end=end)
    monkeypatch.setattr('core.analysis.query.asked.MOST_VALUES', 5000)
    (line,) = answer(made.stored, asked).lines
    assert line.columns['y'].tolist() == pytest.approx(made.values('a · x', 'other', start, end)[1].tolist())
    with pytest.raises(TooLarge, match='Choose a shorter range'):
        answer(made.stored, Query(measures=('other',)))
