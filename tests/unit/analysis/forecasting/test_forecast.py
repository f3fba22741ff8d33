import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.analysis.forecasting import MODELS, Request, cross_validation, forecast, quantiles, run
from core.errors import UnusableData, UsageError
from tests.unit.analysis.forecasting.frames import air, frame, wave

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group('forecasting')]

QUICK = ('seasonal_naive', 'ets', 'theta', 'mstl', 'lightgbm')
FEW_ROUNDS = {'lightgbm': {'rounds': 40, 'learning_rate': 0.15}}
COLUMNS = ['unique_id', 'ds', 'cutoff', 'horizon', 'model', 'model_used', 'mean']
BANDS = ['q0.025', 'q0.1', 'q0.5', 'q0.9', 'q0.975']


def one(rows: pl.DataFrame, name: str, model: str = 'theta') -> pl.DataFrame:
    return rows.filter((pl.col('unique_id') == name) & (pl.col('model') == model))


def test_airline_passengers_are_forecast_by_every_quick_model_in_the_contracts_form():
    history = air()
    told: list[float] = []
    asked = Request(h=12, models=(*QUICK, 'auto'))
    rows = forecast(history[:-12], asked, progress=lambda part, _: told.append(part))
    assert rows.columns == [*COLUMNS, *BANDS, 'status', 'warning', 'flags']
    assert rows.height == 12 * len(asked.models)
    assert rows['ds'].dtype == pl.Datetime('us')
    assert rows['ds'].unique().sort().to_list() == history['ds'][-12:].to_list()
    assert rows['cutoff'].unique().to_list() == [datetime(1959, 12, 1)]
    assert set(rows['status']) == {'ok'}
    assert set(rows['warning']) == {''}
    bands = rows.select(BANDS).to_numpy()
    assert (np.diff(bands, axis=1) >= 0).all()
    actual = history['y'][-12:].to_numpy()
    for model, most in {'theta': 6, 'mstl': 7, 'lightgbm': 7, 'ets': 9, 'seasonal_naive': 11, 'auto': 5}.items():
        mean = one(rows, 'air', model)['mean'].to_numpy()
        assert 100 * np.mean(np.abs(mean - actual) / actual) < most
    assert {'lightgbm', 'theta'} <= set(one(rows, 'air', 'auto')['model_used'][0].split('+'))
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_levels_name_the_quantile_columns():
    assert quantiles((80, 95)) == (0.025, 0.1, 0.5, 0.9, 0.975)
    rows = forecast(frame(wave(30)), Request(h=2, models=('seasonal_naive',), levels=(50,)))
    assert [name for name in rows.columns if name.startswith('q')] == ['q0.25', 'q0.5', 'q0.75']
    assert 'q0.5' in forecast(frame(wave(30)), Request(h=2, models=('seasonal_naive',), levels=())).columns


def test_the_same_seed_gives_the_same_forecast():
    asked = Request(h=3, models=('lightgbm', 'theta'), options=FEW_ROUNDS)
    assert forecast(frame(wave(80)), asked).equals(forecast(frame(wave(80)), asked))


def test_a_model_that_cannot_be_fitted_says_what_stood_in():
    rows = forecast(frame(wave(3)), Request(h=2, models=('ets', 'theta', 'mstl', 'lightgbm'), freq='D'))
    assert set(rows['status']) == {'fallback'}
    assert set(rows['model_used']) == {'naive'}
    for model in ('ets', 'theta', 'mstl', 'lightgbm'):
        assert model in one(rows, 'a', model)['warning'][0]


def test_gaps_of_a_third_change_little():
    values = wave(99)
    holed = np.where(np.random.default_rng(5).random(99) < 0.3, np.nan, values)
    truth = wave(106, noise=0.0)[99:]
    left_out = frame(holed, name='left out').filter(pl.col('y').is_not_nan())
    asked = Request(h=7, models=('ets', 'theta', 'mstl', 'lightgbm'), options=FEW_ROUNDS)
    rows = forecast(pl.concat([frame(holed), left_out]), asked)
    assert rows.height == 2 * 4 * 7
    assert set(rows['status']) == {'ok'}
    assert np.abs(rows['mean'].to_numpy() - np.tile(truth, 8)).max() < 5
    assert rows['warning'].str.contains('No value at').all()


def test_duplicates_and_disorder_do_not_move_the_forecast():
    clean = frame(wave(60))
    wrong = clean.head(5).with_columns(pl.col('y') * 100)
    mixed = pl.concat([wrong, clean]).sample(fraction=1.0, shuffle=True, seed=1)
    ordered = pl.concat([wrong, clean])
    asked = Request(h=4, models=('theta',))
    assert forecast(ordered, asked)['mean'].to_list() == forecast(clean, asked)['mean'].to_list()
    assert '5 values shared a step' in forecast(ordered, asked)['warning'][0]
    assert forecast(mixed, asked)['ds'].to_list() == forecast(clean, asked)['ds'].to_list()


def test_naive_in_naive_out_and_zones_become_utc():
    hours = frame(wave(24 * 20, season=24), every='1h')
    asked = Request(h=3, models=('seasonal_naive',))
    assert forecast(hours, asked)['ds'].dtype == pl.Datetime('us')
    aware = forecast(hours.with_columns(pl.col('ds').dt.replace_time_zone('UTC')), asked)
    assert aware['ds'].dtype == pl.Datetime('us', 'UTC')
    assert aware['cutoff'][0] == hours['ds'][-1].replace(tzinfo=UTC)
    days = frame(wave(40)).with_columns(pl.col('ds').cast(pl.Date))
    assert forecast(days, asked)['ds'][0].date() == date(2020, 2, 10)


def test_hours_run_on_over_daylight_saving():
    start = datetime(2024, 3, 20, tzinfo=UTC)
    stamps = [start + timedelta(hours=n) for n in range(24 * 11)]
    local = pl.DataFrame({'unique_id': 'a', 'ds': stamps, 'y': wave(24 * 11, season=24)})
    local = local.with_columns(pl.col('ds').dt.convert_time_zone('Europe/Paris'))
    rows = forecast(local, Request(h=24, models=('theta',)))
    assert rows['ds'].to_list() == [stamps[-1] + timedelta(hours=n) for n in range(1, 25)]
    assert set(rows['status']) == {'ok'}
    assert rows['warning'][0] == ''


def test_counts_are_not_forecast_below_zero_but_negatives_are():
    rng = np.random.default_rng(2)
    demand = rng.poisson(0.4, 120) * rng.poisson(3, 120)
    series = pl.concat([frame(demand, name='demand'), frame(wave(120, level=-5.0), name='temperature')])
    rows = forecast(series, Request(h=7, models=QUICK, options=FEW_ROUNDS))
    assert rows.filter(pl.col('unique_id') == 'demand').select('mean', *BANDS).to_numpy().min() >= 0
    below = rows.filter(pl.col('unique_id') == 'temperature').select(pl.col('mean').min()).item()
    assert below < -8


@pytest.mark.parametrize('model', ['prophet', 'lightgbm'])
def test_explanations_sum_up_to_a_forecast_that_was_lifted_to_zero(model: str):
    values = np.maximum(120 - 1.5 * np.arange(80) + np.random.default_rng(2).normal(0, 2, 80), 0.5)
    found = run(frame(values), Request(h=30, models=(model,)), explain=1)
    parts = [part for part in found.explained[model] if part.kind in ('component', 'contribution')]
    assert (found.rows['mean'] == 0).any()
    assert 'not below zero' in {part.name for part in parts}
    total = sum(part.value[-30:] for part in parts)
    assert total == pytest.approx(found.rows['mean'].to_numpy(), abs=1e-6)
    assert all(part.ds is not None and len(part.ds) == len(part.value) for part in parts)


def test_each_series_keeps_its_own_frequency():
    series = pl.concat(
        [
            frame(wave(50), name='day'),
            frame(wave(50, season=12), every='1mo', name='month'),
            frame(wave(24 * 10, season=24), every='1h', name='hour'),
            frame([4.0], name='alone'),
        ]
    )
    rows = forecast(series, Request(h=2, models=('theta', 'lightgbm'), options=FEW_ROUNDS))
    assert set(rows.filter(pl.col('unique_id') != 'alone')['status']) == {'ok'}
    assert one(rows, 'day')['ds'].to_list() == [datetime(2020, 2, 20), datetime(2020, 2, 21)]
    assert one(rows, 'month')['ds'].to_list() == [datetime(2024, 3, 1), datetime(2024, 4, 1)]
    assert one(rows, 'hour')['ds'].to_list() == [datetime(2020, 1, 11, 0), datetime(2020, 1, 11, 1)]
    assert one(rows, 'alone').height == 2


def test_a_frequency_that_changes_is_told():
    both = pl.concat([frame(wave(60)), frame(wave(20), start=datetime(2020, 3, 7), every='1w')])
    rows = forecast(both, Request(h=3, models=('theta',)))
    assert rows['status'][0] == 'ok'
    assert 'No value at' in rows['warning'][0]


def test_rows_after_the_cutoff_are_never_used():
    history = air()
    changed = history.with_columns(pl.when(pl.int_range(pl.len()) >= 120).then(1e9).otherwise(pl.col('y')).alias('y'))
    asked = Request(h=6, models=('theta', 'lightgbm'), options={'lightgbm': {'rounds': 20}})
    assert forecast(history[:120], asked).equals(forecast(changed[:120], asked))


@pytest.mark.parametrize(
    ('request_', 'words'),
    [
        (Request(h=0), 'horizon'),
        (Request(h=True), 'horizon'),
        (Request(h=3, models=('oracle',)), 'oracle'),
        (Request(h=3, models=()), 'at least one'),
        (Request(h=3, models=('ets', 'ets')), 'once'),
        (Request(h=3, freq='fortnight'), 'fortnight'),
        (Request(h=3, levels=(100,)), 'percentages'),
        (Request(h=3, season_length=0), 'season_length'),
        (Request(h=3, cores=0), 'cores'),
        (Request(h=3, timeout=0.0), 'timeout'),
        (Request(h=3, budget=0.0), 'budget'),
        (Request(h=3, regressors=('y',)), 'twice'),
        (Request(h=3, regressors=('a',), static=('a',)), 'twice'),
        (Request(h=3, options={'oracle': {}}), 'oracle'),
    ],
)
def test_a_wrong_request_is_refused(request_: Request, words: str):
    with pytest.raises(UsageError, match=words):
        forecast(frame(wave(20)), request_)


@pytest.mark.parametrize(
    ('wrong', 'words'),
    [
        (frame(wave(9)).drop('y'), 'no column "y"'),
        (frame(wave(9)).with_columns(pl.col('y').cast(pl.String)), 'must hold numbers'),
        (frame(wave(9)).with_columns(pl.lit('x').alias('ds')), 'dates or times'),
        (frame(wave(9)).clear(), 'no rows'),
        (frame(wave(9)).with_columns(pl.lit(None, pl.Datetime).alias('ds')), 'No row'),
    ],
)
def test_a_wrong_table_is_refused(wrong: pl.DataFrame, words: str):
    with pytest.raises(UnusableData, match=words):
        forecast(wrong, Request(h=3))


def test_the_names_of_models_cost_no_model_library():
    program = (
        'import sys\n'
        'from core.analysis.forecasting import MODELS\n'
        'heavy = {"pandas", "polars", "lightgbm", "prophet", "statsforecast", "scipy"} & set(sys.modules)\n'
        'assert not heavy, heavy\n'
    )
    subprocess.run([sys.executable, '-c', program], check=True)
    assert next(iter(MODELS)) == 'auto'


STRAY = datetime(2999, 12, 31)


def _forecast_of(rows: pl.DataFrame, **asked: Any) -> pl.DataFrame:
    return forecast(rows, Request(h=3, models=('seasonal_naive',), **asked))


@pytest.mark.parametrize(
    'far', [[STRAY], [STRAY, datetime(2999, 12, 30)], [datetime(1900, 1, 1)], [datetime(1900, 1, 1), STRAY]]
)
@pytest.mark.parametrize('every', ['1h', '1d', '1mo'])
def test_stamps_that_stand_for_no_date_move_no_forecast(far: list[datetime], every: str) -> None:
    sound = frame(wave(60), every=every)
    stray = pl.DataFrame({'unique_id': 'a', 'ds': far, 'y': [50.0] * len(far)})
    found, plain = _forecast_of(pl.concat([stray, sound])), _forecast_of(sound)
    assert found.drop('warning').equals(plain.drop('warning'))
    days = f'{min(far):%Y-%m-%d}' + (f' to {max(far):%Y-%m-%d}' if len(far) > 1 else '')
    assert all(f'at {days}, far beyond all other times,' in text for text in found['warning'])


def test_times_after_a_long_pause_are_times_of_the_series() -> None:
    early = frame(wave(60), every='1d')
    for later in (
        frame(wave(8), start=datetime(2035, 1, 1)),  # more than a few
        frame([100.0], start=datetime(2024, 1, 1)),  # not so long a pause
    ):
        found = _forecast_of(pl.concat([early, later]))
        assert found['cutoff'][0] == later['ds'].max()
    years = frame(wave(30), every='1y')
    assert _forecast_of(pl.concat([years, frame([9.0], start=datetime(2061, 1, 1))]))['cutoff'][0].year == 2061
    few = frame(wave(10))
    assert _forecast_of(pl.concat([few, frame([9.0], start=STRAY)]), freq='YS')['cutoff'][0] == STRAY


def test_the_past_of_a_series_is_measured_without_stamps_that_stand_for_no_date() -> None:
    sound = frame(wave(40))
    stray = pl.DataFrame({'unique_id': 'a', 'ds': [datetime(1900, 1, 1), STRAY], 'y': [50.0, 50.0]})
    request = Request(h=7, models=('seasonal_naive',))

    found = cross_validation(pl.concat([stray, sound]), request)
    assert found.drop('warning').equals(cross_validation(sound, request).drop('warning'))
    assert found['cutoff'].n_unique() == 3
