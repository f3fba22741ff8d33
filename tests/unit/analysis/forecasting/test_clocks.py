from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from core.analysis.forecasting import Request, cross_validation, diagnose, explained, forecast, run
from tests.unit.analysis.forecasting.frames import wave

pytestmark = pytest.mark.xdist_group('forecasting')

ZONES = ('America/New_York', 'Europe/Berlin')
EVERY = {'1d': 'D', '1w': 'W', '1mo': 'MS', '1q': 'QS'}


def local(zone: str, start: datetime, every: str, size: int) -> list[datetime]:
    """The local starts of days, weeks, months or quarters, as the wall clock of a zone shows them."""
    naive = pl.datetime_range(start, start + timedelta(days=100 * size), every, eager=True)[:size]
    return naive.dt.replace_time_zone(zone).to_list()


def table(stamps: list[datetime], zone: str, name: str = 'a', season: int = 7) -> pl.DataFrame:
    return pl.DataFrame({'unique_id': name, 'ds': stamps, 'y': wave(len(stamps), season=season)}).with_columns(
        pl.col('ds').dt.convert_time_zone(zone)
    )


@pytest.mark.parametrize('zone', ZONES)
@pytest.mark.parametrize('every', list(EVERY))
@pytest.mark.parametrize('change', [datetime(2024, 3, 4), datetime(2024, 10, 21)])
@pytest.mark.parametrize('told', [False, True])
def test_local_starts_stay_local_starts_across_a_change_of_the_clock(
    zone: str, every: str, change: datetime, told: bool
):
    size, h = 40, 8
    first = {'1d': change - timedelta(days=35), '1w': change - timedelta(weeks=36)}.get(every)
    start = first or datetime(2014, 1 if every == '1q' else change.month, 1)
    stamps = local(zone, start, every, size + h)
    freq = EVERY[every] if told else None
    rows = forecast(table(stamps[:size], zone), Request(h=h, freq=freq, models=('seasonal_naive',)))
    assert rows['ds'].dtype == pl.Datetime('us', 'UTC')
    assert rows['ds'].to_list() == [stamp.astimezone(UTC) for stamp in stamps[size:]]
    assert set(rows['cutoff']) == {stamps[size - 1].astimezone(UTC)}
    assert set(rows['flags']) <= {'', 'short'}


@pytest.mark.parametrize('zone', ZONES)
@pytest.mark.parametrize('change', [datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 10, 20, tzinfo=UTC)])
def test_hours_go_on_hour_by_hour_across_a_change_of_the_clock(zone: str, change: datetime):
    stamps = [change + timedelta(hours=step) for step in range(24 * 16)]
    rows = forecast(table(stamps[: 24 * 6], zone, season=24), Request(h=240, models=('seasonal_naive',)))
    assert rows['ds'].to_list() == stamps[24 * 6 :]
    assert set(rows['flags']) == {''}


def test_days_of_another_clock_than_their_zone_stay_on_it():
    stamps = [datetime(2024, 2, 20, tzinfo=UTC) + timedelta(days=step) for step in range(68)]
    rows = forecast(table(stamps[:60], 'America/New_York'), Request(h=8, models=('seasonal_naive',)))
    assert rows['ds'].to_list() == stamps[60:]


def test_each_series_has_its_own_clock():
    days = local('Europe/Berlin', datetime(2024, 2, 20), '1d', 48)
    hours = [datetime(2024, 3, 29, tzinfo=UTC) + timedelta(hours=step) for step in range(72)]
    both = pl.concat([table(days[:40], 'Europe/Berlin'), table(hours[:60], 'Europe/Berlin', 'b', 24)])
    rows = forecast(both, Request(h=8, models=('seasonal_naive',)))
    assert rows.filter(unique_id='a')['ds'].to_list() == [stamp.astimezone(UTC) for stamp in days[40:]]
    assert rows.filter(unique_id='b')['ds'].to_list() == hours[60:68]


def test_a_midnight_that_the_clock_skips_is_the_moment_after_it():
    zone = 'America/Havana'  # clocks go from 0:00 to 1:00
    days = [datetime(2024, 1, 20, tzinfo=ZoneInfo(zone)) + timedelta(days=step) for step in range(45)]
    rows = forecast(table(days, zone), Request(h=8, models=('seasonal_naive',)))
    assert rows['ds'].null_count() == 0
    assert datetime(2024, 3, 10, 5, tzinfo=UTC) in rows['ds'].to_list()
    assert rows['ds'].is_sorted()


@pytest.mark.parametrize('zone', ZONES)
def test_what_came_stands_beside_what_was_forecast_across_a_change_of_the_clock(zone: str):
    stamps = local(zone, datetime(2024, 2, 5), '1d', 60)
    rows = cross_validation(table(stamps, zone), Request(h=7, models=('seasonal_naive',)), n_windows=3)
    assert rows.height == 21
    assert rows['y'].null_count() == 0
    assert set(rows['ds']) == {stamp.astimezone(UTC) for stamp in stamps[-21:]}


def test_notes_name_the_moment_of_an_anomaly():
    stamps = local('America/New_York', datetime(2024, 2, 5), '1d', 80)
    values = wave(80)
    values[70] += 500.0
    frame = pl.DataFrame({'unique_id': 'a', 'ds': stamps, 'y': values})
    found = diagnose.notes(frame.with_columns(pl.col('ds').dt.convert_time_zone('America/New_York')), Request(h=7))
    assert stamps[70].astimezone(UTC) in found.filter(kind='anomaly')['ds'].to_list()


def test_rows_of_regressors_ahead_meet_the_local_days():
    zone = 'America/New_York'
    stamps = local(zone, datetime(2024, 2, 5), '1d', 48)
    known = np.arange(48) % 5 == 0
    y = np.where(np.arange(48) < 40, wave(48) + 50 * known, np.nan)
    frame = pl.DataFrame({'unique_id': 'a', 'ds': stamps, 'y': y, 'x': known.astype(float)})
    rows = forecast(
        frame.with_columns(pl.col('ds').dt.convert_time_zone(zone)),
        Request(h=8, models=('linear',), regressors=('x',)),
    )
    assert rows['ds'].to_list() == [stamp.astimezone(UTC) for stamp in stamps[40:]]
    assert not rows['warning'].str.contains('Regressor').any()


def test_what_explains_a_forecast_stands_at_its_moments():
    zone = 'America/New_York'
    stamps = local(zone, datetime(2024, 2, 5), '1d', 48)
    found = run(table(stamps[:40], zone), Request(h=8, models=('prophet',)), explain=1)
    parts = explained(found.explained['prophet']).filter(pl.col('ds').is_not_null())
    told = set(parts['ds'].dt.replace_time_zone('UTC').to_list())
    assert told == {stamp.astimezone(UTC) for stamp in stamps}
