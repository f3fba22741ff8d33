"""What pages and programs read out of the files of a forecast, of one file a model or of one a chunk."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.analysis import results
from core.analysis.forecasting.backtest import leaderboard
from core.errors import UsageError

START = datetime(2024, 1, 1)
DAY = timedelta(days=1)
LEVELS = (80, 95)
QUANTILES = {'q0.025': -4.0, 'q0.1': -2.0, 'q0.5': 0.0, 'q0.9': 2.0, 'q0.975': 4.0}


def ms(day: int) -> int:
    return int((START + day * DAY - datetime(1970, 1, 1)).total_seconds() * 1000)


@pytest.fixture
def history(tmp_path: Path) -> list[Path]:
    """Two chunks: `a` with a gap and a regressor that goes on, `b` of 100 days."""
    a = pl.DataFrame(
        {
            'unique_id': ['a'] * 6,
            'ds': [START + day * DAY for day in range(6)],
            'y': [1.0, None, 3.0, float('nan'), 5.0, None],
            'price': [1.0] * 6,
        }
    )
    b = pl.DataFrame(
        {
            'unique_id': ['B%'] * 100,
            'ds': [START + day * DAY for day in range(100)],
            'y': [float(day) for day in range(100)],
            'price': [1.0] * 100,
        }
    )
    return [_stored(a, tmp_path / 'history-0.parquet'), _stored(b, tmp_path / 'history-1.parquet')]


def forecast(label: str, *, model: str = 'theta', status: str = 'ok', h: int = 3) -> pl.DataFrame:
    values = [10.0 + step if status != 'failed' else None for step in range(h)]
    return pl.DataFrame(
        {
            'unique_id': [label] * h,
            'ds': [START + (5 + step) * DAY for step in range(h)],
            'cutoff': [START + 4 * DAY] * h,
            'horizon': list(range(1, h + 1)),
            'model': [model] * h,
            'model_used': ['seasonal_naive' if status == 'fallback' else model] * h,
            'mean': values,
            **{name: [value if value is None else value + off for value in values] for name, off in QUANTILES.items()},
            'status': [status] * h,
            'warning': ['Too short.' if status == 'fallback' else ''] * h,
            'flags': ['short,irregular' if status == 'fallback' else ''] * h,
        },
        schema_overrides={'mean': pl.Float64, **dict.fromkeys(QUANTILES, pl.Float64)},
    )


def backtest(label: str, *, model: str = 'theta', wrong: float = 1.0) -> pl.DataFrame:
    """Two windows of three steps: forecasts that are `wrong` by that much; the last value is missing."""
    rows = 6
    y = [float(step) for step in range(rows - 1)]
    return pl.DataFrame(
        {
            'unique_id': [label] * rows,
            'ds': [START + day * DAY for day in range(rows)],
            'cutoff': [START - DAY] * 3 + [START + 2 * DAY] * 3,
            'horizon': [1, 2, 3] * 2,
            'model': [model] * rows,
            'model_used': [model] * rows,
            'y': [*y, None],
            'mean': [step + wrong for step in range(rows)],
            **{name: [step + wrong + off for step in range(rows)] for name, off in QUANTILES.items()},
            'status': ['ok'] * rows,
            'scale': [2.0] * rows,
            'scale2': [4.0] * rows,
        }
    )


def _stored(frame: pl.DataFrame, path: Path) -> Path:
    frame.write_parquet(path)
    return path


@pytest.fixture
def theta(tmp_path: Path) -> list[Path]:
    return [
        _stored(forecast('a'), tmp_path / 'forecast-0.parquet'),
        _stored(forecast('B%', status='fallback'), tmp_path / 'forecast-1.parquet'),
    ]


@pytest.fixture
def measured(tmp_path: Path) -> list[Path]:
    return [
        _stored(backtest('a', wrong=1.0), tmp_path / 'backtest-0.parquet'),
        _stored(backtest('B%', wrong=-3.0), tmp_path / 'backtest-1.parquet'),
    ]


NOTES = pl.DataFrame(
    {
        'unique_id': ['a', 'a', 'b'],
        'kind': ['changepoint', 'anomaly', 'anomaly'],
        'ds': [START + 2 * DAY, START + DAY, START],
        'y': [3.0, 9.0, 1.0],
        'expected': [None, 2.0, 1.0],
        'low': [1.0, 1.5, 1.0],
        'high': [3.0, 2.5, 1.0],
        'score': [None, 7.0, 5.0],
    }
)


def test_a_chart_ends_its_history_at_the_last_value(history: list[Path], theta: list[Path], tmp_path: Path) -> None:
    notes = [_stored(NOTES, tmp_path / 'notes.parquet')]
    drawn = results.chart(history, {'theta': theta}, series='a', notes=notes)
    assert drawn['history'] == {'t': [ms(day) for day in range(5)], 'y': [1.0, None, 3.0, None, 5.0]}
    (line,) = drawn['models']
    assert (line['name'], line['t'], line['mean']) == ('theta', [ms(5), ms(6), ms(7)], [10.0, 11.0, 12.0])
    assert (drawn['cutoff'], sorted(line['q'])) == (ms(4), ['0.025', '0.1', '0.5', '0.9', '0.975'])
    assert [(note['kind'], note['t']) for note in drawn['notes']] == [('anomaly', ms(1)), ('changepoint', ms(2))]


def test_missing_rows_interrupt_the_history(tmp_path: Path) -> None:
    days = [0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12]
    rows = pl.DataFrame(
        {'unique_id': ['a'] * len(days), 'ds': [START + day * DAY for day in days], 'y': map(float, days)}
    )
    drawn = results.chart([_stored(rows, tmp_path / 'history.parquet')], {}, series='a')['history']
    assert drawn['t'][:5] == [ms(0), ms(1), ms(2), (ms(2) + ms(5)) / 2, ms(5)]
    assert drawn['y'][:5] == [0.0, 1.0, 2.0, None, 5.0]
    assert None not in drawn['y'][4:]


def came(parts: list[Path], forecasts: dict[str, list[Path]], *, series: str = 'a', step: str | None = None) -> Any:
    return results.came(parts, forecasts, target='sold', series=series, step=step, aggregate='sum')


def version(tmp_path: Path, values: dict[float, float | None]) -> list[Path]:
    """The rows of a later version of `a`, by day."""
    rows = pl.DataFrame(
        {
            '_series': ['a'] * len(values),
            '_time': [START + day * DAY for day in values],
            '_line': list(range(len(values))),
            'sold': list(values.values()),
        },
        schema_overrides={'sold': pl.Float64},
    )
    return [_stored(rows, tmp_path / 'rows.parquet')]


def test_what_came_stands_at_the_steps_that_were_forecast(theta: list[Path], tmp_path: Path) -> None:
    parts = version(tmp_path, {3: 1.0, 4: 1.0, 5.1: 11.5, 6: None, 6.9: 8.5, 7.2: 15.9, 9: 0.0})
    found = came(parts, {'theta': theta})
    assert (found['t'], found['y']) == ([ms(5), ms(6), ms(7)], [11.5, None, 15.9])
    assert found['held'] == {'theta': {'80': {'inside': 1, 'points': 2}, '95': {'inside': 2, 'points': 2}}}
    assert came(version(tmp_path, {4: 1.0, 9: 1.0}), {'theta': theta}) is None
    assert came(parts, {'theta': theta}, series='nowhere') is None


def test_of_a_failed_model_nothing_is_held(theta: list[Path], tmp_path: Path) -> None:
    failed = [_stored(forecast('a', model='ets', status='failed'), tmp_path / 'ets.parquet')]
    found = came(version(tmp_path, {5: 10.0}), {'theta': theta, 'ets': failed})
    assert found['held']['ets']['80'] == {'inside': 0, 'points': 0}
    assert found['held']['theta']['80'] == {'inside': 1, 'points': 1}


def test_what_came_is_folded_as_it_was_forecast(theta: list[Path], tmp_path: Path) -> None:
    hours = {4 + hour / 24: 0.5 for hour in range(24 * 2 + 6)}
    found = came(version(tmp_path, hours), {'theta': theta}, step='D')
    assert (found['t'], found['y']) == ([ms(5)], [12.0]), 'the last day has only begun'


def test_a_chart_shows_the_last_points_of_a_long_history(history: list[Path]) -> None:
    drawn = results.chart(history, {}, series='B%', points=10)
    assert drawn['history']['y'] == [float(day) for day in range(90, 100)]
    assert (drawn['models'], drawn['cutoff'], drawn['notes']) == ([], None, [])


@pytest.mark.parametrize('label', ['nowhere', "a' or true --"])
def test_a_series_that_is_nowhere_draws_nothing(history: list[Path], theta: list[Path], label: str) -> None:
    drawn = results.chart(history, {'theta': theta}, series=label)
    assert (drawn['history'], drawn['models'][0]['t'], drawn['models'][0]['status']) == ({'t': [], 'y': []}, [], None)


def test_without_a_file_that_may_hold_a_series_nothing_is_drawn() -> None:
    drawn = results.chart([], {'theta': []}, series='a')
    assert (drawn['history'], drawn['models'][0]['mean'], drawn['cutoff']) == ({'t': [], 'y': []}, [], None)
    assert results.lines({'theta': []}, series='a')[0]['t'] == []
    assert came([], {'theta': []}) is None


def test_a_chart_of_a_model_that_failed_says_why(history: list[Path], tmp_path: Path) -> None:
    failed = forecast('a', status='failed').with_columns(warning=pl.lit('Too short.'))
    drawn = results.chart(history, {'ets': [_stored(failed, tmp_path / 'failed.parquet')]}, series='a')
    (line,) = drawn['models']
    assert (line['status'], line['warning'], line['mean']) == ('failed', 'Too short.', [None] * 3)


def test_a_chart_of_stamps_with_a_zone_is_in_utc(tmp_path: Path) -> None:
    stamp = pl.Series([START]).dt.replace_time_zone('UTC')
    history = pl.DataFrame({'unique_id': ['a'], 'ds': stamp, 'y': [1.0]})
    rows = pl.DataFrame(
        {'unique_id': ['a'], 'ds': stamp, 'cutoff': stamp, 'horizon': [1], 'mean': [1.0], 'q0.5': [1.0]}
    )
    files = [_stored(rows, tmp_path / 'forecast.parquet')]
    drawn = results.chart([_stored(history, tmp_path / 'history.parquet')], {'theta': files}, series='a')
    assert drawn['history']['t'] == drawn['models'][0]['t'] == [drawn['cutoff']] == [ms(0)]


def test_what_is_odd_is_told_of_its_series_alone(tmp_path: Path) -> None:
    notes = [_stored(NOTES, tmp_path / 'notes.parquet')]
    (anomaly,) = results.noted(notes, series='b')
    assert (anomaly['expected'], anomaly['score']) == (1.0, 5.0)
    assert results.noted([], series='b') == []


def test_what_a_forecast_rests_on_is_told_by_name(tmp_path: Path) -> None:
    rows = [
        *(('a', 'component', 'trend', START + day * DAY, float(day)) for day in (1, 0)),
        ('a', 'contribution', 'calendar', START, 0.5),
        ('b', 'component', 'trend', START, 9.0),
        ('', 'importance', 'lags', None, 0.2),
        ('', 'importance', 'calendar', None, 0.8),
    ]
    names = ('unique_id', 'kind', 'name', 'ds', 'value')
    schema = {'unique_id': pl.String, 'kind': pl.String, 'name': pl.String, 'ds': pl.Datetime, 'value': pl.Float64}
    first = _stored(pl.DataFrame(rows, schema=schema, orient='row'), tmp_path / 'explained-0.parquet')
    other = pl.DataFrame([('', 'importance', 'lags', None, 0.4)], schema=schema, orient='row')
    second = _stored(other, tmp_path / 'explained-1.parquet')
    assert tuple(other.columns) == names
    assert results.explained([first, second], series='a') == [
        {'kind': 'component', 'name': 'trend', 't': [ms(0), ms(1)], 'value': [0.0, 1.0]},
        {'kind': 'contribution', 'name': 'calendar', 't': [ms(0)], 'value': [0.5]},
        {'kind': 'importance', 'name': 'calendar', 't': [], 'value': [0.8]},
        {'kind': 'importance', 'name': 'lags', 't': [], 'value': [pytest.approx(0.3)]},
    ]
    assert results.explained([], series='a') == []


def test_scores_are_those_of_the_backtest_rows(measured: list[Path]) -> None:
    rows = pl.concat([pl.read_parquet(path) for path in reversed(measured)])
    for by in (None, 'horizon', 'series'):
        assert results.leaderboard(measured, LEVELS, by=by) == leaderboard(rows, LEVELS, by)
    (one,) = results.leaderboard(measured, LEVELS, by='series', labels=['a'])
    assert (one['unique_id'], one['points'], one['mase']) == ('a', 5, 0.5)
    assert one['coverage'] == {'80': 1.0, '95': 1.0}
    assert results.leaderboard([], LEVELS, by='series') == []
    with pytest.raises(UsageError, match='horizon or series'):
        results.leaderboard(measured, LEVELS, by='moon')


def test_residuals_are_of_one_series_or_of_all(measured: list[Path]) -> None:
    found = results.residuals(measured)
    assert (found['points'], found['bias']) == (10, pytest.approx(0.5))
    found = results.residuals(measured, series='a')
    assert (found['points'], found['bias'], found['spread']) == (5, -0.5, 0.0)
    assert np.isclose(sum(found['histogram']['counts']), 5)
    assert results.residuals(measured, series='nowhere')['points'] == 0


def test_the_grid_tells_each_series(history: list[Path], theta: list[Path], measured: list[Path]) -> None:
    found = results.grid(history, theta, measured, levels=LEVELS)
    assert (found['total'], [item['unique_id'] for item in found['items']]) == (2, ['B%', 'a'])
    b, a = found['items']
    assert (a['status'], a['warning'], a['flags'], a['history']) == ('ok', '', [], [1.0, None, 3.0, None, 5.0])
    assert (b['status'], b['model_used'], b['flags']) == ('fallback', 'seasonal_naive', ['short', 'irregular'])
    assert len(b['history']) == 60
    assert (a['forecast'], a['low'], a['high']) == ([10.0, 11.0, 12.0], [6.0, 7.0, 8.0], [14.0, 15.0, 16.0])
    assert (a['mase'], b['mase'], b['coverage']['80']) == (0.5, 1.5, 0.0)


def test_the_grid_finds_series_by_a_part_of_their_label(history: list[Path], theta: list[Path]) -> None:
    found = results.grid(history, theta, [], levels=LEVELS, search='b%')
    assert (found['total'], found['items'][0]['unique_id'], found['items'][0]['mase']) == (1, 'B%', None)
    assert results.grid(history, theta, [], levels=LEVELS, search='%%')['total'] == 0
    page = results.grid(history, theta, [], levels=LEVELS, offset=1, limit=1)
    assert ([item['unique_id'] for item in page['items']], page['total']) == (['a'], 2)


def test_series_whose_chunk_failed_are_in_the_grid_all_the_same(history: list[Path], theta: list[Path]) -> None:
    a = results.grid(history, theta[1:], [], levels=LEVELS)['items'][1]
    assert (a['status'], a['forecast'], a['warning']) == ('failed', [], 'There is no forecast of this series.')


def test_results_without_flags_are_read(history: list[Path], tmp_path: Path) -> None:
    old = [_stored(forecast('a').drop('flags'), tmp_path / 'old.parquet')]
    assert results.grid(history, old, [], levels=LEVELS, search='a')['items'][0]['flags'] == []
