from datetime import datetime

import numpy as np
import polars as pl
import pytest

from core.analysis.forecasting import Request, check, frequency, repair
from core.errors import UnusableData, UsageError
from tests.unit.analysis.forecasting.frames import wave


def days(*texts: str) -> np.ndarray:
    return np.array(texts, dtype='datetime64[us]')


def grid(start: str, count: int, every: str) -> np.ndarray:
    number, unit = int(every[:-1]), every[-1]
    return (np.datetime64(start, 'us') + np.arange(count) * np.timedelta64(number, unit)).astype('datetime64[us]')


def months(start: str, count: int, every: int = 1) -> np.ndarray:
    return (np.datetime64(start, 'M') + every * np.arange(count)).astype('datetime64[us]')


@pytest.mark.parametrize(
    ('stamps', 'name', 'season_length'),
    [
        (months('2020-01', 30), 'MS', 12),
        (months('2020-02', 30) - np.timedelta64(1, 'D'), 'ME', 12),
        (months('2020-01', 9, 3), 'QS', 4),
        (months('2020-04', 9, 3) - np.timedelta64(1, 'D'), 'QE', 4),
        (months('2000-01', 9, 12), 'YS', 1),
        (months('2020-01', 30) + np.timedelta64(14, 'D'), 'MS', 12),
        (months('2020-01', 30) - np.timedelta64(1, 'h'), 'ME', 12),
        (grid('2024-01-07', 20, '7D'), 'W-SUN', 52),
        (grid('2024-01-01', 20, '1D'), 'D', 7),
        (grid('2024-01-01T00:00', 50, '1h'), 'h', 24),
        (grid('2024-01-01T00:00', 50, '15m'), '15min', 96),
        (grid('2024-01-01T00:00', 50, '5m'), '5min', 288),
        (grid('2024-01-01T00:00', 50, '1m'), 'min', 60),
        (grid('2024-01-01T00:00', 50, '10s'), '10s', 6),
    ],
)
def test_the_step_is_read_from_stamps(stamps: np.ndarray, name: str, season_length: int):
    step = frequency.infer(stamps)
    assert step is not None
    assert step.name == name
    assert step.season_length == season_length


def test_the_step_survives_gaps_of_a_third():
    rng = np.random.default_rng(1)
    for stamps in (months('2020-01', 60), grid('2024-01-01', 60, '1D'), grid('2024-01-01T00:00', 60, '15m')):
        kept = np.sort(rng.choice(60, 40, replace=False))
        assert frequency.infer(stamps[kept]) == frequency.infer(stamps)


def test_business_days_have_no_weekends():
    stamps = np.busday_offset('2024-01-01', np.arange(40), roll='forward').astype('datetime64[us]')
    step = frequency.infer(stamps)
    assert step is not None
    assert (step.name, step.season_length) == ('B', 5)
    after = step.after(stamps[-1], np.arange(1, 11))
    assert np.is_busday(after.astype('datetime64[D]')).all()
    assert after[0] > stamps[-1]


def weekdays(*kept: int, weeks: int = 40) -> np.ndarray:
    """Those days of weeks from Monday, 2024-01-01, on."""
    every = grid('2024-01-01', 7 * weeks, '1D')
    return every[np.isin(np.arange(len(every)) % 7, kept)]


@pytest.mark.parametrize(('kept', 'name'), [((0, 2, 4), 'B'), ((1, 3), 'B'), ((5, 6), 'D'), ((0, 2, 5), 'D')])
@pytest.mark.parametrize('share', [1, 0.7])
def test_days_of_the_week_share_no_step(kept: tuple[int, ...], name: str, share: float):
    stamps = weekdays(*kept)
    stamps = np.sort(np.random.default_rng(1).choice(stamps, int(share * len(stamps)), replace=False))
    step = frequency.infer(stamps)
    assert step is not None
    assert step.name == name
    places, off = step.positions(stamps, stamps[-1])
    assert (off == 0).all()
    assert len(np.unique(places)) == len(stamps)


def test_where_most_days_have_no_value_longer_steps_are_advised():
    told = {}
    for kept in ((0, 2, 4), (1,), (1, 3)):
        stamps = np.delete(weekdays(*kept), [10, 21])
        frame = pl.DataFrame({'unique_id': 'a', 'ds': stamps, 'y': np.arange(len(stamps), dtype=float)})
        (series,) = repair.prepare(frame, freq=None, h=3, season_length=None)
        told[kept] = [note for note in series.notes if 'weeks or months, make a surer forecast' in note]
    assert {kept: len(notes) for kept, notes in told.items()} == {(0, 2, 4): 0, (1,): 0, (1, 3): 1}


def test_what_comes_every_other_day_or_week_keeps_its_step():
    for every in ('2D', '3D', '7D', '14D'):
        stamps = np.delete(grid('2024-01-01', 60, every), [20, 21, 40])
        assert frequency.infer(stamps) == frequency.infer(grid('2024-01-01', 60, every))
    moved = grid('2024-01-01', 60, '7D')
    moved[::7] -= np.timedelta64(1, 'D')
    assert frequency.infer(moved) == frequency.infer(grid('2024-01-01', 60, '7D'))


@pytest.mark.parametrize(
    ('name', 'origin', 'after'),
    [
        ('ME', '2024-01-31', ['2024-02-29', '2024-03-31', '2024-04-30']),
        ('MS', '2024-11-01', ['2024-12-01', '2025-01-01', '2025-02-01']),
        ('QS', '2024-10-01', ['2025-01-01', '2025-04-01', '2025-07-01']),
        ('YE', '2024-12-31', ['2025-12-31', '2026-12-31', '2027-12-31']),
        ('W-SUN', '2024-12-29', ['2025-01-05', '2025-01-12', '2025-01-19']),
        ('6h', '2024-12-31T18:00', ['2025-01-01T00:00', '2025-01-01T06:00', '2025-01-01T12:00']),
        ('MS', '2024-01-31T23:00', ['2024-02-29T23:00', '2024-03-31T23:00', '2024-04-30T23:00']),
    ],
)
def test_stamps_follow_the_calendar(name: str, origin: str, after: list[str]):
    found = frequency.parse(name).after(np.datetime64(origin, 'us'), np.arange(1, 4))
    assert list(found) == list(days(*after))


@pytest.mark.parametrize('name', ['', 'fortnight', 'D-MON', '0D', 'W-FOO', '-1h', '9' * 5000 + 'D'])
def test_an_unknown_frequency_is_refused(name: str):
    with pytest.raises(UsageError, match='is no frequency'):
        frequency.parse(name)


@pytest.mark.parametrize('name', ['999999999D', '999999999MS', '999999999B', '7001YS'])
def test_a_step_that_passes_any_date_is_refused(name: str):
    with pytest.raises(UsageError, match=f'1 step of "{name}" takes more than 7,000 years. Name a finer frequency'):
        frequency.parse(name)


def test_a_horizon_that_passes_any_date_is_refused():
    assert frequency.parse('YS', h=7000).size == 12
    with pytest.raises(UsageError, match=r'7,001 steps of "YS" take more than 7,000 years. .* or a shorter horizon'):
        check(Request(h=7001, freq='YS', models=('seasonal_naive',)))


def test_a_step_far_too_fine_is_refused():
    stamps = days('2000-01-01', '2024-01-01')
    with pytest.raises(UnusableData, match='coarser'):
        repair.regular('a', stamps, np.ones(2), step=frequency.parse('s'), h=1, season_length=None)


def test_disorder_duplicates_gaps_and_infinities_are_repaired_and_told():
    stamps = days('2024-01-03', '2024-01-01', '2024-01-05', '2024-01-03', '2024-01-06')
    values = np.array([9.0, 1.0, np.inf, 3.0, 6.0])
    values.setflags(write=False)
    found = repair.regular('a', stamps, values, step=frequency.parse('D'), h=2, season_length=None)
    np.testing.assert_allclose(found.y, [1, np.nan, 3, np.nan, np.nan, 6])
    np.testing.assert_allclose(found.filled, [1, 2, 3, 4, 5, 6])
    assert list(found.future) == list(days('2024-01-07', '2024-01-08'))
    text = ' '.join(found.notes)
    assert '1 infinite value' in text
    assert '1 value shared a step' in text
    assert 'No value at 3 of 6 steps' in text


def metered(*, hours: int = 80 * 24) -> np.ndarray:
    """Hours of a meter: a day's shape around 1,300 with a little noise."""
    rng = np.random.default_rng(1)
    return 1300 + 500 * np.sin(np.arange(hours) * 2 * np.pi / 24) + rng.normal(0, 20, hours)


@pytest.mark.parametrize('wrong', [-9999.0, 160_000.0])
def test_a_gap_is_filled_from_its_neighbours_and_season_whatever_sentinels_and_wrong_units_stand_elsewhere(
    wrong: float,
):
    y = metered()
    gap = 1900
    true, y[gap] = y[gap], np.nan
    y[[gap % 24 + 24 * day for day in (3, 20, 21, 40)]] = wrong
    y[1500:1508] = wrong
    assert repair.fill(y, 24)[gap] == pytest.approx(true, abs=80)
    y[gap + 1] = wrong
    found = repair.fill(y, 24)
    assert found[gap] == pytest.approx(true, abs=80), 'nor what stands right beside it'
    assert found[gap + 1] == wrong, 'what came is kept as it came'


def test_values_far_beyond_the_others_are_told_and_those_of_a_heavy_tail_are_not():
    stamps = np.datetime64('2025-09-01', 'us') + np.arange(1920) * np.timedelta64(1, 'h')
    y = metered()
    step = frequency.parse('h')

    def notes(values: np.ndarray) -> str:
        return ' '.join(repair.regular('a', stamps, values, step=step, h=2, season_length=None).notes)

    assert notes(y) == ''
    wrong = y.copy()
    wrong[100:117] = -9999
    assert notes(wrong).startswith('17 values lie far beyond the others and may widen the bands')
    wrong = y.copy()
    wrong[100] *= 100
    assert '1 value lies far beyond the others' in notes(wrong)
    many = y.copy()
    many[::40] *= 100
    assert 'far beyond' not in notes(many), 'one in forty is how this series is'
    steady = np.full(1920, 5.0)
    steady[7] = 6.0
    assert 'far beyond' not in notes(steady)


def test_irregular_stamps_are_told_and_do_not_blow_up_the_grid():
    rng = np.random.default_rng(0)
    stamps = np.sort(np.datetime64('2020-01-01', 'us') + rng.integers(0, 10**13, 60).astype('timedelta64[us]'))
    step = frequency.infer(stamps)
    assert step is not None
    found = repair.regular('a', stamps, np.arange(60.0), step=step, h=3, season_length=None)
    assert len(found.y) < 60 * (frequency.MOST_STEPS_A_POINT + 1)
    assert 'irregular' in ' '.join(found.notes)


def test_a_local_midnight_in_utc_is_one_day_over_daylight_saving():
    local = [datetime(2024, 3, day).astimezone().replace(tzinfo=None) for day in range(1, 29)]
    shift = np.where(np.arange(28) < 20, 1, 2).astype('timedelta64[h]')
    stamps = np.array(local, dtype='datetime64[us]') - shift
    found = repair.regular('a', stamps, np.arange(28.0), step=frequency.infer(stamps), h=1, season_length=None)
    assert found.step.name == 'D'
    np.testing.assert_allclose(found.y, np.arange(28.0))
    assert found.notes == ()


def test_gaps_are_filled_with_their_season():
    y = wave(140, noise=0.0)
    holed = y.copy()
    holed[50:57] = np.nan
    holed[::13] = np.nan
    np.testing.assert_allclose(repair.fill(holed, 7), y, atol=3.0)
    flat = np.interp(np.arange(140), np.flatnonzero(np.isfinite(holed)), holed[np.isfinite(holed)])
    assert np.abs(repair.fill(holed, 7) - y).sum() < 0.5 * np.abs(flat - y).sum()
