"""Figures of wide buckets by the pyramid are those of all values, and rows are read only where an edge cuts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.analysis.query import Filter, Query, answer, encode
from core.analysis.query.stored import Stored
from tests.unit.analysis.query.versions import BEGUN, DAY, HOUR, MINUTE, Version, version, walk

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIGURES = {'mean': np.mean, 'sum': np.sum, 'min': np.min, 'max': np.max, 'count': len}
ZONES = ('UTC', 'Europe/Berlin', 'Asia/Kathmandu', 'Australia/Lord_Howe')


@pytest.fixture(scope='module')
def made(tmp_path_factory: pytest.TempPathFactory) -> Version:
    begun = BEGUN + 90 * DAY  # so that clocks change on the way
    steady = {'t': begun + MINUTE * np.arange(60_000), 'y': np.sin(np.arange(60_000) / 700) + np.arange(60_000) % 7}
    few = {'t': begun + HOUR * np.arange(900), 'y': np.arange(900.0) % 11}
    uneven = walk(20_000, seed=4, begun=begun)
    del uneven['other']
    return version(tmp_path_factory.mktemp('coarse'), {'few': few, 'steady': steady, 'uneven': uneven}, keys=('place',))


ranges = st.tuples(st.integers(0, 40 * DAY), st.integers(HOUR, 40 * DAY)).map(
    lambda one: (BEGUN + 90 * DAY + one[0], BEGUN + 90 * DAY + one[0] + one[1])
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    span=st.one_of(st.none(), ranges),
    every=st.sampled_from(['PT1H', 'PT6H', 'PT7H', 'P1D', 'P1W', 'P1M', 'P1Y']),
    zone=st.sampled_from(ZONES),
    aggregation=st.sampled_from(sorted(FIGURES)),
    series=st.sampled_from(['few', 'steady', 'uneven']),
)
def test_buckets_hold_what_lies_in_them(
    made: Version, span: tuple[int, int] | None, every: str, zone: str, aggregation: str, series: str
) -> None:
    start, end = span or (None, None)
    asked = Query(
        kind='buckets', measures=('y',), series=(series,), every=every, zone=zone, aggregation=aggregation,
        start=start, end=end,
    )  # fmt: skip
    (line,) = answer(made.stored, asked).lines
    cuts = np.append(line.columns['t'], line.columns['until'][-1])
    t, v = made.values(series, 'y', -(2**62) if start is None else start, 2**62 if end is None else end)
    assert line.n == len(t)
    places = np.searchsorted(t, np.rint(cuts * 1000).astype(np.int64))
    for begin, until, y, n in zip(places, places[1:], line.columns['y'], line.columns['n'], strict=False):
        assert n == until - begin
        if n:
            assert y == pytest.approx(FIGURES[aggregation](v[begin:until]), rel=1e-9, abs=1e-9)
        else:
            assert y == 0 if aggregation == 'count' else np.isnan(y)


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    span=ranges,
    zone=st.sampled_from(ZONES),
    aggregation=st.sampled_from(sorted(FIGURES)),
    series=st.sampled_from([('steady',), ('uneven',), ('few', 'steady')]),
    across=st.sampled_from(['sum', 'mean']),
)
def test_hours_of_a_week_hold_what_lies_in_them(
    made: Version, span: tuple[int, int], zone: str, aggregation: str, series: tuple[str, ...], across: str
) -> None:
    start, end = span
    asked = Query(
        kind='hours', measures=('y',), series=series, zone=zone, aggregation=aggregation, group='*', across=across,
        start=start, end=end,
    )  # fmt: skip
    (line,) = answer(made.stored, asked).lines
    known, n = ZoneInfo(zone), np.zeros(168, np.int64)
    figures: dict[int, list[float]] = {}
    for one in series:
        t, v = made.values(one, 'y', start, end)
        walls = [(EPOCH + timedelta(microseconds=int(at))).astimezone(known) for at in t]
        hours = np.array([wall.weekday() * 24 + wall.hour for wall in walls], dtype=np.int64)
        n += np.bincount(hours, minlength=168)
        for hour in np.unique(hours):
            figures.setdefault(int(hour), []).append(FIGURES[aggregation](v[hours == hour]))
    assert line.columns['n'].tolist() == n.tolist()
    for hour, found in figures.items():
        # A series without a value in an hour is counted as 0 there.
        several = len(series) if aggregation == 'count' else len(found)
        expected = sum(found) if across == 'sum' else sum(found) / several
        assert line.columns['value'][hour] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    span=ranges,
    every=st.sampled_from(['PT1H', 'PT7H', 'P1D', 'P1W', 'P1M']),
    aggregation=st.sampled_from([*sorted(FIGURES), 'first', 'p50']),
    across=st.sampled_from(['sum', 'mean']),
)
def test_series_found_together_are_those_found_alone(
    made: Version, span: tuple[int, int], every: str, aggregation: str, across: str
) -> None:
    start, end = span
    asked = Query(
        kind='buckets', measures=('y',), group='*', every=every, aggregation=aggregation, across=across,
        zone='Europe/Berlin', start=start, end=end,
    )  # fmt: skip
    (line,) = answer(made.stored, asked).lines
    alone = [answer(made.stored, replace(asked, group='', series=(label,))).lines[0] for label in made.held]
    shown = {column: np.array([one.columns[column] for one in alone]) for column in ('y', 'n')}
    known = ~np.isnan(shown['y'])
    total = np.where(known, shown['y'], 0).sum(axis=0)
    value = total if across == 'sum' else total / np.maximum(known.sum(axis=0), 1)
    assert line.columns['n'].tolist() == shown['n'].sum(axis=0).tolist()
    expected = np.where(known.any(axis=0), value, np.nan)
    assert line.columns['y'] == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)


def test_many_series_are_found_some_at_a_time(made: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [
        Query(kind='buckets', measures=('y',), group='*', every='P1D', aggregation='sum', end=BEGUN + 120 * DAY + 7),
        Query(kind='top', measures=('y',), top=3, by='mean', start=BEGUN + 91 * DAY + 5),
        Query(kind='top', measures=('y',), group='place', by='max'),
    ]
    together = [encode(answer(made.stored, one)) for one in asked]
    monkeypatch.setattr('core.analysis.query.asked.TOGETHER', 2)
    assert [encode(answer(made.stored, one)) for one in asked] == together
    monkeypatch.setattr('core.analysis.query.asked.CELLS_TOGETHER', 1)
    assert [encode(answer(made.stored, one)) for one in asked] == together


def test_no_row_is_read_where_buckets_end_together(made: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    pieces = Stored.pieces
    monkeypatch.setattr(
        Stored, 'pieces', lambda self, series, *a, **k: read.append(series) or pieces(self, series, *a, **k)
    )
    asked = Query(kind='buckets', measures=('y',), series=('steady',), every='P1D', zone='Europe/Berlin')
    answer(made.stored, asked)
    assert read == []
    answer(made.stored, Query(kind='buckets', measures=('y',), series=('steady',), every='P1M', zone='Asia/Kathmandu'))
    assert 0 < len(read) <= 3  # months begin at a quarter past an hour
    read.clear()
    answer(made.stored, Query(kind='buckets', measures=('y',), series=('steady',), every='PT1H', zone='Asia/Kathmandu'))
    assert read == ['steady']  # so many edges that all rows are read at once


@pytest.mark.parametrize('kind', ['histogram', 'box'])
def test_the_spread_of_very_many_values_says_that_it_is_near(
    made: Version, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Query(kind=kind, measures=('y',), group='*', start=BEGUN + 91 * DAY, end=BEGUN + 130 * DAY + 7)
    exact = answer(made.stored, asked)
    monkeypatch.setattr('core.analysis.query.asked.MOST_READ', 1000)
    near = answer(made.stored, asked)
    assert exact.note == ''
    assert near.note.startswith(f'{exact.rows_behind:,} values are told by ')
    (left,), (right,) = exact.lines, near.lines
    assert right.n == left.n
    if kind == 'histogram':
        assert right.columns['edges'].tolist() == left.columns['edges'].tolist()
        assert right.columns['count'].sum() == left.columns['count'].sum()
        assert np.abs(right.columns['count'] - left.columns['count']).sum() < 0.2 * left.n
    else:
        for name in ('n', 'least', 'greatest'):
            assert right.columns[name][0] == left.columns[name][0]
        assert right.columns['mean'][0] == pytest.approx(left.columns['mean'][0])
        spread = left.columns['upper'][0] - left.columns['lower'][0]
        for name in ('lower', 'median', 'upper'):
            assert right.columns[name][0] == pytest.approx(left.columns[name][0], abs=0.1 * spread)


def test_few_values_are_told_exactly(made: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('core.analysis.query.asked.MOST_READ', 1000)
    short = answer(made.stored, Query(kind='box', measures=('y',), series=('steady',), end=BEGUN + 90 * DAY + HOUR))
    assert (short.note, short.lines[0].n) == ('', 61)
    above = Filter(column='y', relation='gt', values=('3',))
    filtered = Query(kind='box', measures=('y',), series=('steady',), filters=(above,))
    _, v = made.values('steady', 'y', -(2**62), 2**62)
    found = answer(made.stored, filtered)
    assert (found.note, found.lines[0].n) == ('', int((v > 3).sum()))
