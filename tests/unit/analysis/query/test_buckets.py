"""Calendar buckets begin where the calendar of their zone says, and hold what lies in them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analysis.query import Query, answer
from core.analysis.query.buckets import aggregated, edges, fitting, later, offsets, shifted
from core.errors import UsageError
from tests.unit.analysis.query.versions import BEGUN, DAY, HOUR, MINUTE, Version, version, walk

BERLIN = ZoneInfo('Europe/Berlin')
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIGURES: dict[str, Callable[[np.ndarray], float]] = {
    'mean': np.mean,
    'sum': np.sum,
    'min': np.min,
    'max': np.max,
    'first': lambda v: v[0],
    'last': lambda v: v[-1],
    'count': len,
    'p90': lambda v: np.percentile(v, 90),
}


@pytest.fixture(scope='module')
def made(tmp_path_factory: pytest.TempPathFactory) -> Version:
    held = {label: walk(n, seed=n) for label, n in {'a · x': 9000, 'a · y': 7000, 'b · x': 6000}.items()}
    return version(tmp_path_factory.mktemp('query'), held)


def micros(text: str) -> int:
    return (datetime.fromisoformat(text).astimezone(UTC) - EPOCH) // timedelta(microseconds=1)


def local(cuts: np.ndarray, zone: ZoneInfo = BERLIN) -> list[str]:
    return [(EPOCH + timedelta(microseconds=int(at))).astimezone(zone).isoformat() for at in cuts]


@pytest.mark.parametrize(
    ('every', 'start', 'end', 'begins'),
    [
        ('P1D', '2024-03-30T12:00+01:00', '2024-03-31T12:00+02:00',
         ['2024-03-30T00:00:00+01:00', '2024-03-31T00:00:00+01:00', '2024-04-01T00:00:00+02:00']),
        ('P1W', '2024-05-01T00:00+02:00', '2024-05-06T00:00+02:00',
         ['2024-04-29T00:00:00+02:00', '2024-05-06T00:00:00+02:00', '2024-05-13T00:00:00+02:00']),
        ('P1M', '2024-02-29T23:00+01:00', '2024-03-01T00:00+01:00',
         ['2024-02-01T00:00:00+01:00', '2024-03-01T00:00:00+01:00', '2024-04-01T00:00:00+02:00']),
        ('P3M', '2024-05-01T00:00+02:00', '2024-05-02T00:00+02:00',
         ['2024-04-01T00:00:00+02:00', '2024-07-01T00:00:00+02:00']),
        ('P1Y', '1969-12-31T12:00+01:00', '1970-01-01T12:00+01:00',
         ['1969-01-01T00:00:00+01:00', '1970-01-01T00:00:00+01:00', '1971-01-01T00:00:00+01:00']),
        ('PT1H', '2024-10-27T01:30+02:00', '2024-10-27T03:10+01:00',
         ['2024-10-27T01:00:00+02:00', '2024-10-27T02:00:00+02:00', '2024-10-27T02:00:00+01:00',
          '2024-10-27T03:00:00+01:00', '2024-10-27T04:00:00+01:00']),
        ('PT15M', '2024-03-31T01:50+01:00', '2024-03-31T03:05+02:00',
         ['2024-03-31T01:45:00+01:00', '2024-03-31T03:00:00+02:00', '2024-03-31T03:15:00+02:00']),
    ],
)  # fmt: skip
def test_buckets_follow_the_calendar_of_their_zone(every: str, start: str, end: str, begins: list[str]) -> None:
    assert local(edges(micros(start), micros(end), every, BERLIN)) == begins


@settings(deadline=None)
@given(
    start=st.integers(micros('1900-01-01T00:00+00:00'), micros('2100-01-01T00:00+00:00')),
    days=st.integers(0, 400),
    every=st.sampled_from(['PT7M', 'PT6H', 'P1D', 'P2D', 'P1W', 'P1M', 'P3M', 'P1Y', 'PT1H']),
    zone=st.sampled_from(['UTC', 'Europe/Berlin', 'America/St_Johns', 'Australia/Lord_Howe', 'Asia/Kathmandu']),
)
def test_buckets_cover_the_range_without_overlap(start: int, days: int, every: str, zone: str) -> None:
    end = start + min(days * DAY, 40_000 * 7 * MINUTE)
    cuts = edges(start, end, every, ZoneInfo(zone))
    assert cuts[0] <= start < cuts[1]
    assert cuts[-2] <= end < cuts[-1]
    assert np.all(np.diff(cuts) > 0)
    assert edges(int(cuts[0]), int(cuts[-1]) - 1, every, ZoneInfo(zone)).tolist() == cuts.tolist()


@settings(deadline=None, max_examples=60)
@given(
    start=st.integers(micros('1890-01-01T00:00+00:00'), micros('2050-01-01T00:00+00:00')),
    days=st.integers(0, 900),
    every=st.sampled_from(['P1D', 'P2D', 'P1W', 'P1M']),
    # Days that did not take place, midnights that did not, and such that came twice.
    zone=st.sampled_from(['Pacific/Apia', 'America/Sao_Paulo', 'America/Havana', 'Asia/Manila', 'Africa/Cairo', 'UTC']),
)
def test_days_begin_when_the_calendar_says(start: int, days: int, every: str, zone: str) -> None:
    cuts = edges(start, start + days * DAY, every, ZoneInfo(zone)).tolist()
    for at in cuts:
        day = (EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(zone)).date()
        begun = {
            (datetime.combine(day + timedelta(days=by), time(), tzinfo=ZoneInfo(zone)) - EPOCH)
            // timedelta(microseconds=1)
            for by in (-1, 0, 1)
        }
        assert at in begun


def test_too_many_buckets_are_refused() -> None:
    with pytest.raises(UsageError, match='50,000'):
        edges(0, 60_000 * MINUTE, 'PT1M', BERLIN)


@pytest.mark.parametrize('aggregation', FIGURES)
def test_figures_are_those_of_the_values_of_each_bucket(aggregation: str) -> None:
    draw = np.random.default_rng(2)
    t = np.sort(draw.integers(0, 1000, 400))
    v = draw.normal(size=400)
    cuts = np.array([0, 10, 300, 305, 306, 700, 1000])
    found = aggregated(t, v, cuts, aggregation)
    for begin, end, n, value in zip(cuts, cuts[1:], found.n, found.value, strict=False):
        inside = v[(begin <= t) & (t < end)]
        assert n == len(inside)
        if len(inside) or aggregation == 'count':
            assert value == pytest.approx(FIGURES[aggregation](inside), rel=1e-12)
        else:
            assert np.isnan(value)


def test_a_bucket_that_the_range_cuts_holds_what_is_left_of_it(made: Version) -> None:
    start, end = BEGUN + 5 * HOUR, BEGUN + 60 * HOUR
    asked = Query(
        kind='buckets', measures=('y',), series=('a · x',), start=start, end=end, every='P1D', zone='Europe/Berlin'
    )
    found = answer(made.stored, asked)
    (line,) = found.lines
    cuts = np.append(line.columns['t'], line.columns['until'][-1]) * 1000
    assert (cuts[0], cuts[-1]) == (start, end + 1)
    for begin, until, y, n in zip(cuts, cuts[1:], line.columns['y'], line.columns['n'], strict=False):
        _, v = made.values('a · x', 'y', int(begin), int(until) - 1)
        assert n == len(v)
        assert y == pytest.approx(v.mean())
    assert found.rows_behind == line.n == len(made.values('a · x', 'y', start, end)[0])


@pytest.mark.parametrize('across', ['sum', 'mean'])
def test_series_of_a_key_become_one_line(made: Version, across: str) -> None:
    asked = Query(kind='buckets', measures=('other',), every='PT6H', group='place', across=across)
    first, second = answer(made.stored, asked).lines
    assert (first.series, second.series) == ('a', 'b')
    for at, (begin, until) in enumerate(zip(first.columns['t'], first.columns['until'], strict=True)):
        means = [
            v.mean()
            for label in ('a · x', 'a · y')
            if len(v := made.values(label, 'other', round(begin * 1000), round(until * 1000) - 1)[1])
        ]
        if means:
            expected = sum(means) / (len(means) if across == 'mean' else 1)
            assert first.columns['y'][at] == pytest.approx(expected)


@pytest.mark.parametrize('by', ['sum', 'mean', 'max', 'min', 'count', 'last', 'p50'])
def test_the_greatest_series_come_first(made: Version, by: str) -> None:
    start, end = BEGUN + 3 * HOUR, BEGUN + 70 * HOUR
    found = answer(made.stored, Query(kind='top', measures=('y',), start=start, end=end, top=2, by=by)).lines
    figure = FIGURES['p90'] if by == 'p90' else (np.median if by == 'p50' else FIGURES[by])
    expected = sorted(((figure(made.values(s, 'y', start, end)[1]), s) for s in made.held), reverse=True)[:2]
    assert [line.columns['value'][0] for line in found] == pytest.approx([value for value, _ in expected])
    assert {line.series for line in found} == {series for _, series in expected}


def test_candles_of_one_measure_and_of_four(made: Version) -> None:
    one = Query(kind='ohlc', measures=('y',), series=('a · x',), every='P1D', volume='other')
    (candle,) = answer(made.stored, one).lines
    for at, (begin, until) in enumerate(zip(candle.columns['t'], candle.columns['until'], strict=True)):
        _, v = made.values('a · x', 'y', round(begin * 1000), round(until * 1000) - 1)
        _, volume = made.values('a · x', 'other', round(begin * 1000), round(until * 1000) - 1)
        if len(v):
            assert [candle.columns[name][at] for name in ('open', 'high', 'low', 'close')] == [
                v[0], v.max(), v.min(), v[-1]
            ]  # fmt: skip
            assert candle.columns['volume'][at] == pytest.approx(volume.sum())
    four = Query(kind='ohlc', measures=('y', 'other', 'cents', 'y'), series=('a · x',), every='P1D')
    (candle,) = answer(made.stored, four).lines
    _, v = made.values(
        'a · x', 'other', round(candle.columns['t'][0] * 1000), round(candle.columns['until'][0] * 1000) - 1
    )
    assert candle.columns['high'][0] == v.max()


def test_hours_of_a_week_are_those_of_the_zone(made: Version) -> None:
    asked = Query(kind='hours', measures=('other',), series=('a · x',), zone='America/St_Johns')
    (line,) = answer(made.stored, asked).lines
    t, v = made.values('a · x', 'other', -(2**60), 2**60)
    zone = ZoneInfo('America/St_Johns')
    walls = [(EPOCH + timedelta(microseconds=int(at))).astimezone(zone) for at in t]
    hours = np.array([wall.weekday() * 24 + wall.hour for wall in walls])
    assert line.columns['n'].tolist() == np.bincount(hours, minlength=168).tolist()
    for hour in np.unique(hours):
        assert line.columns['value'][hour] == pytest.approx(v[hours == hour].mean())


def test_offsets_change_when_clocks_do() -> None:
    change = micros('2024-10-27T01:00+00:00')
    t = np.array([change - 90 * DAY, change - 1_000_000, change, change + DAY])
    assert (offsets(t, BERLIN) // HOUR).tolist() == [2, 2, 1, 1]


@pytest.mark.parametrize(
    ('at', 'by', 'before'),
    [
        ('2024-03-31T12:00+02:00', 'P1D', '2024-03-30T12:00+01:00'),
        ('2024-03-31T12:00+02:00', 'P1M', '2024-02-29T12:00+01:00'),
        ('2024-02-29T12:00+01:00', 'P1Y', '2023-02-28T12:00+01:00'),
        ('2024-03-31T12:00+02:00', 'PT23H', '2024-03-30T12:00+01:00'),
    ],
)
def test_an_earlier_period_follows_the_clock(at: str, by: str, before: str) -> None:
    assert shifted(micros(at), by, BERLIN) == micros(before)


@pytest.mark.parametrize('by', ['P500Y', 'P6000M', 'P200000D'])
def test_no_earlier_period_lies_before_the_year_1(by: str) -> None:
    with pytest.raises(UsageError, match='before the year 1'):
        shifted(micros('0500-06-01T00:00+00:00'), by, BERLIN)


def test_steps_for_a_screen_are_the_shortest_that_fit() -> None:
    assert fitting(0, DAY - 1, 24, step=0) == 'PT1H'
    assert fitting(0, DAY - 1, 23, step=0) == 'PT3H'
    assert fitting(0, 365 * DAY, 400) == 'P1D'


def test_the_last_bucket_of_all_there_is_is_a_whole_one(tmp_path: Path) -> None:
    """Monthly values stand on the first of their month: the bar of the newest month is as wide as the others."""
    t = np.array(['2024-10-01', '2024-11-01', '2024-12-01'], dtype='datetime64[us]').view(np.int64)
    made = version(tmp_path, {'a · x': {'t': t, 'y': np.array([1.0, 2.0, 3.0])}})
    asked = Query(kind='buckets', measures=('y',), every='P1M')
    line = answer(made.stored, asked).lines[0]
    assert [ms // 86_400_000 for ms in np.diff([*line.columns['t'], line.columns['until'][-1]])] == [31, 30, 31]
    cut = answer(made.stored, replace(asked, start=int(t[0]), end=int(t[2]))).lines[0]
    assert cut.columns['until'][-1] * 1000 == pytest.approx(int(t[2]) + 1, abs=1)
    assert list(cut.columns['y']) == list(line.columns['y']) == [1.0, 2.0, 3.0]


def test_buckets_for_the_screen_are_no_shorter_than_the_step_of_the_data(tmp_path: Path) -> None:
    months = np.arange('2022-01', '2025-01', dtype='datetime64[M]').astype('datetime64[us]').view(np.int64)
    made = version(tmp_path, {'a · x': {'t': months, 'y': np.arange(36.0)}})
    (line,) = answer(made.stored, Query(kind='buckets', measures=('y',), every='auto', width=1400)).lines
    assert list(line.columns['y']) == list(np.arange(36.0))


def test_beside_a_whole_week_stands_a_whole_week_of_the_year_before(tmp_path: Path) -> None:
    """Weeks of another year begin on other days; a week that the range cuts stands beside one cut likewise."""
    days = np.arange('2024-01-01', '2026-01-12', dtype='datetime64[D]').astype('datetime64[us]').view(np.int64)
    made = version(tmp_path, {'a · x': {'t': days, 'y': np.ones(len(days))}})
    asked = Query(kind='buckets', measures=('y',), every='P1W', aggregation='sum', compare='P1Y')
    # From a Monday to the end of a Sunday.
    whole = micros('2025-12-29T00:00+00:00'), micros('2026-01-12T00:00+00:00') - 1000
    for start, end in (whole, (None, None)):
        now, before = answer(made.stored, replace(asked, start=start, end=end)).lines
        assert now.columns['y'][-1] == before.columns['y'][-1] == 7
    assert before.columns['until'][-1] - before.columns['t'][-1] == 7 * DAY / 1000
    now, before = answer(made.stored, replace(asked, start=whole[0], end=whole[1] - 3 * DAY)).lines
    assert now.columns['y'][-1] == 4
    assert before.columns['y'][-1] < 7


@pytest.mark.parametrize(
    ('by', 'before', 'now'),
    [
        ('P1Y', '2024-03-01T00:00+01:00', '2025-03-01T00:00+01:00'),
        ('P1Y', '2024-02-29T12:00+01:00', None),
        ('P1Y', '2023-02-28T12:00+01:00', '2024-02-28T12:00+01:00'),
        ('P1Y', '2023-10-29T02:30+02:00', '2024-10-29T02:30+01:00'),
        ('P1Y', '2023-03-31T02:30+02:00', None),  # an hour that clocks leapt over in 2024
        ('P1M', '2024-01-30T00:00+01:00', None),
        ('P1M', '2024-03-01T09:00+01:00', '2024-04-01T09:00+02:00'),
        ('P7D', '2024-03-25T09:00+01:00', '2024-04-01T09:00+02:00'),
        ('P1Y', '2024-10-27T02:30+01:00', None),  # the second of two
        ('PT36H', '2024-03-30T09:00+01:00', '2024-03-31T22:00+02:00'),
    ],
)
def test_a_time_of_an_earlier_period_goes_to_its_day_and_hour_of_now(by: str, before: str, now: str | None) -> None:
    moved, there = later(np.array([micros(before)]), by, BERLIN)
    assert (local(moved) == local(np.array([micros(now)]))) if now else not there[0]


@pytest.mark.slow
@settings(deadline=None)
@given(
    start=st.integers(micros('1960-01-01T00:00+00:00'), micros('2040-01-01T00:00+00:00')),
    by=st.sampled_from(['P1M', 'P3M', 'P1Y', 'P4Y', 'P1D', 'P52W']),
    zone=st.sampled_from(['UTC', 'Europe/Berlin', 'Australia/Lord_Howe', 'America/Sao_Paulo', 'Pacific/Apia']),
)
def test_times_that_are_moved_ahead_lie_there_by_the_clock(start: int, by: str, zone: str) -> None:
    t, known = start + np.arange(0, 45 * DAY, 13 * MINUTE), ZoneInfo(zone)
    moved, there = later(t, by, known)
    for at in np.flatnonzero(there).tolist()[::17]:
        back = shifted(int(moved[at]), by, known)
        assert back == t[at]
    assert (np.diff(moved) >= 0).all()
    assert (np.diff(moved[there]) > 0).all()


def test_what_was_a_year_before_stands_at_its_own_day_after_a_leap_day(tmp_path: Path) -> None:
    """Of two years the 29 February of the first one has no place in the other, and all after it lies where it did."""
    hours = np.arange('2023-12-31T23', '2025-06-01T00', dtype='datetime64[h]').astype('datetime64[us]').view(np.int64)
    days = np.arange(len(hours)) // 24
    made = version(tmp_path, {'a · x': {'t': hours, 'y': days.astype(float)}})
    start, end = micros('2025-02-27T00:00+01:00'), micros('2025-04-01T00:00+02:00') - 1000
    asked = Query(measures=('y',), start=start, end=end, width=2000, zone='Europe/Berlin', compare='P1Y')
    before = answer(made.stored, asked).lines[1]
    told = dict(zip(local((before.columns['t'] * 1000).astype(np.int64)), before.columns['y'].tolist(), strict=True))
    assert (np.diff(before.columns['t']) > 0).all()
    assert (before.columns['t'] >= start / 1000).all()
    leap = (datetime(2024, 3, 1) - datetime(2024, 1, 1)).days
    assert (told['2025-02-28T23:00:00+01:00'], told['2025-03-01T00:00:00+01:00']) == (leap - 2, leap)
    bars = answer(made.stored, replace(asked, kind='buckets', every='P1D')).lines
    now, then = ({name: one.columns[name].tolist() for name in ('t', 'until', 'y')} for one in bars)
    assert now['t'] == then['t']  # midnights, before clocks change on another day of March and after that
    assert then['y'][:3] == [leap - 3, leap - 2, leap]
    assert (np.diff(then['until']) > 0).all()


@pytest.mark.parametrize('asked', [Query(), Query(kind='buckets', every='PT1H'), Query(kind='envelope')])
@pytest.mark.parametrize(
    ('shown', 'days'), [('2025-03-31', 0), ('2025-03-30', 0), ('2025-03-28', 1), ('2025-03-01', 1)]
)
def test_an_earlier_period_counts_the_values_that_have_a_place_now(
    tmp_path: Path, asked: Query, shown: str, days: int
) -> None:
    """The month before 31 March has no such day: a line without a point tells of no values either."""
    hours = np.arange('2025-01-01', '2025-05-01', dtype='datetime64[h]').astype('datetime64[us]').view(np.int64)
    made = version(tmp_path, {'a · x': {'t': hours, 'y': np.ones(len(hours))}})
    start = micros(f'{shown}T00:00+00:00')
    whole = replace(asked, measures=('y',), start=start, end=start + DAY - 1000, width=2000, compare='P1M')
    then = answer(made.stored, whole).lines[1]
    assert (then.role, then.n, len(then.columns['t'])) == ('before', 24 * days, 24 * days)


@pytest.fixture(scope='module')
def leap(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """Every five minutes from a leap day to a year later."""
    t = np.arange(micros('2024-02-20T00:00+00:00'), micros('2025-03-10T00:00+00:00'), 5 * MINUTE)
    return version(tmp_path_factory.mktemp('leap'), {'a · x': {'t': t, 'y': np.arange(len(t)) % 7.0}})


@pytest.mark.parametrize('kind', ['line', 'envelope'])
@pytest.mark.parametrize(('width', 'apart'), [(4000, 0), (100, 0.1)])
def test_an_earlier_period_with_a_leap_day_counts_the_share_that_has_a_place_now(
    leap: Version, kind: str, width: int, apart: float
) -> None:
    start, end = micros('2025-02-28T00:00+00:00'), micros('2025-03-02T00:00+00:00') - 1000
    asked = Query(kind=kind, measures=('y',), start=start, end=end, width=width, compare='P1Y')
    now, then = answer(leap.stored, asked).lines
    assert now.n == 2 * DAY // (5 * MINUTE)
    assert then.n == pytest.approx(now.n, rel=apart)
