import sys
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.analysis.forecasting import Request, forecast, repair, workers
from core.analysis.forecasting.base import Origin, Run
from core.analysis.forecasting.prophet import ProphetModel, checked, mode
from core.errors import UsageError
from tests.unit.analysis.forecasting.frames import air, frame, wave

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group('forecasting')]

MULTIPLICATIVE = {'prophet': {'seasonality_mode': 'multiplicative'}}


def panel(rows: pl.DataFrame, h: int, *regressors: str) -> list[repair.Series]:
    typed = rows.with_columns(pl.col('ds').cast(pl.Datetime('us')))
    return repair.prepare(typed, freq=None, h=h, season_length=None, regressors=regressors)


def with_load(size: int, h: int, *, known: int | None = None) -> pl.DataFrame:
    """Return a daily series that follows a load, which is known for `known` (default h) of the h steps ahead."""
    load = np.random.default_rng(8).standard_normal(size + h)
    values = np.append(wave(size, noise=0.3) + 20 * load[:size], np.full(h, np.nan))
    rows = frame(values).with_columns(load=pl.Series(load))
    return rows[: size + (h if known is None else known)]


def test_prophet_keeps_the_week_with_gaps_and_a_zone():
    values = np.where(np.random.default_rng(1).random(150) < 0.2, np.nan, wave(150, level=1e6))
    series = frame(values).with_columns(pl.col('ds').dt.replace_time_zone('UTC'))
    rows = forecast(series, Request(h=7, models=('prophet',)))
    assert set(rows['status']) == {'ok'}
    assert set(rows['model_used']) == {'prophet'}
    truth = wave(157, level=1e6, noise=0.0)[150:]
    assert np.abs(rows['mean'].to_numpy() - truth).max() < 6
    assert (rows['q0.975'] > rows['q0.025']).all()


def test_the_default_runs_here_and_every_other_setting_apart(monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[int, bool]] = []

    def told(function: str, tasks: Any, *, apart: bool = False, **rest: Any) -> list[None]:
        asked.append((len(tasks), apart))
        return [None] * len(tasks)

    monkeypatch.setattr(workers, 'each', told)
    member, series = ProphetModel(), panel(frame(wave(60)), 3)
    defaults = {'prophet': {'seasonality_mode': 'additive', 'growth': 'linear', 'n_changepoints': 25}}
    member.predict(series, h=3, run=Run(options=defaults))
    assert asked == [(1, False), (0, True)]
    asked.clear()
    member.predict(series, h=3, run=Run(options={'prophet': {'growth': 'flat'}}))
    assert asked == [(0, False), (1, True)]


def test_a_prophet_that_takes_too_long_is_stopped_and_a_simpler_model_stands_in(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workers, 'START_TIME', 0.0)
    run = Run(timeout=0.001, options=MULTIPLICATIVE)
    [raw] = ProphetModel().predict(panel(frame(wave(30)), 2), h=2, run=run)
    assert raw.used == 'theta'
    assert raw.warning == 'prophet: It took longer than 0.001 s and was stopped.'


def test_too_few_values_fall_down_the_ladder_with_reasons():
    [raw] = ProphetModel().predict(panel(frame([3.0, 9.0]), 2), h=2, run=Run())
    assert raw.used == 'naive'
    assert 'prophet: It needs at least 5 values.' in raw.warning
    assert 'theta' in raw.warning


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'seasonality': 'additive'}, 'seasonality_mode, changepoint_prior_scale, n_changepoints, growth'),
        ({'seasonality_mode': 'both'}, 'additive, multiplicative, auto'),
        ({'growth': 'logistic'}, 'linear, flat'),
        ({'changepoint_prior_scale': 0}, 'above 0'),
        ({'changepoint_prior_scale': 'high'}, 'above 0'),
        ({'changepoint_prior_scale': True}, 'above 0'),
        ({'changepoint_prior_scale': float('nan')}, 'above 0'),
        ({'n_changepoints': 2.5}, 'whole number'),
        ({'n_changepoints': -1}, 'whole number'),
        ({'n_changepoints': 100_000}, 'whole number'),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_allowed(options: dict[str, Any], words: str):
    with pytest.raises(UsageError, match=words):
        checked(options)
    with pytest.raises(UsageError, match=words):
        ProphetModel().predict(panel(frame(wave(30)), 2), h=2, run=Run(options={'prophet': options}))


def test_an_unknown_country_is_refused():
    with pytest.raises(UsageError, match='holidays of "XX"'):
        ProphetModel().predict(panel(frame(wave(30)), 2), h=2, run=Run(holidays='XX'))


def test_mode_is_multiplicative_when_seasons_grow_with_the_level():
    passengers = air()['y'].to_numpy()
    steps = np.arange(120)
    assert mode(passengers, 12) == 'multiplicative'
    assert mode(wave(120, season=12), 12) == 'additive'
    assert mode(steps + 20 + 10 * np.sin(2 * np.pi * steps / 12), 12) == 'additive'
    assert mode(passengers - 300, 12) == 'additive'
    assert mode(passengers[:30], 12) == 'additive'
    assert mode(passengers, 1) == 'additive'


@pytest.mark.usefixtures('prophet_here')
def test_multiplicative_airline_passengers_are_forecast_better_and_their_components_sum():
    history = air()
    series = panel(history[:-12], 12)
    member, run = ProphetModel(), Run(options={'prophet': {'seasonality_mode': 'auto', 'changepoint_prior_scale': 0.1}})
    actual = history['y'][-12:].to_numpy()
    [raw] = member.predict(series, h=12, run=run)
    [plain] = member.predict(series, h=12, run=Run())
    assert np.abs(raw.center - actual).mean() < 0.8 * np.abs(plain.center - actual).mean()
    parts = {part.name: part for part in member.explain(series, [0], h=12, run=run)}
    assert list(parts) == ['trend', 'yearly']
    total = sum(part.value for part in parts.values())
    assert total[-12:] == pytest.approx(raw.center, rel=1e-6)
    assert np.abs(total[:-12] - history['y'][:-12].to_numpy()).mean() < 15
    assert np.ptp(parts['yearly'].value[-12:]) > 2 * np.ptp(parts['yearly'].value[:12])
    assert parts['trend'].ds is not None
    assert parts['trend'].ds[-1] == series[0].future[-1]


def test_components_of_the_fast_path_sum_to_its_forecast():
    series = panel(frame(wave(100)), 5)
    member = ProphetModel()
    [raw] = member.predict(series, h=5, run=Run())
    parts = member.explain(series, [0], h=5, run=Run())
    assert [(part.unique_id, part.kind, part.name) for part in parts] == [
        ('a', 'component', 'trend'), ('a', 'component', 'weekly'),
    ]  # fmt: skip
    assert sum(part.value for part in parts)[-5:] == pytest.approx(raw.center)
    assert all(len(part.value) == 105 for part in parts)


def test_a_series_that_prophet_did_not_forecast_is_not_explained():
    assert ProphetModel().explain(panel(frame([3.0, 9.0]), 2), [0], h=2, run=Run()) == []


def test_regressors_and_holidays_move_the_forecast_and_are_explained(request: pytest.FixtureRequest):
    size, h = 400, 10
    rows = with_load(size, h)
    at_christmas = pl.col('ds').dt.month().eq(12) & pl.col('ds').dt.day().eq(25)
    rows = rows.with_columns(ds=pl.col('ds') + timedelta(days=329))  # from 25 November: Christmas twice in the history
    rows = rows.with_columns(y=pl.col('y') + pl.when(at_christmas).then(60.0).otherwise(0.0))
    series = panel(rows, h, 'load')
    member, run = ProphetModel(), Run(regressors=('load',), holidays='DE')
    [apart] = member.predict(series, h=h, run=run)
    request.getfixturevalue('prophet_here')
    [raw] = member.predict(series, h=h, run=run)
    assert raw.center == pytest.approx(apart.center)
    assert raw.spread == pytest.approx(apart.spread)
    load = rows['load'].to_numpy()
    truth = wave(size + h, noise=0.0)[size:] + 20 * load[size:]
    assert np.abs(raw.center - truth).max() < 4
    parts = {part.name: part.value for part in member.explain(series, [0], h=h, run=run)}
    assert set(parts) == {'trend', 'weekly', 'holidays', 'load'}
    assert sum(parts.values())[-h:] == pytest.approx(raw.center, rel=1e-6)
    assert parts['load'] == pytest.approx(20 * (load - load[:size].mean()), abs=2)
    days = rows['ds'].dt.strftime('%m-%d').to_list()
    assert parts['holidays'][days.index('12-25')] > 20


@pytest.mark.usefixtures('prophet_here')
def test_a_regressor_not_known_ahead_for_a_series_is_left_out_of_it():
    rows = pl.concat([
        with_load(120, 5), with_load(120, 5, known=2).with_columns(unique_id=pl.lit('b')),
    ])  # fmt: skip
    found = forecast(rows, Request(h=5, models=('prophet',), regressors=('load',)))
    assert set(found['status']) == {'ok'}
    error = {name: own['mean'] - wave(125, noise=0.0)[120:] for (name,), own in found.group_by('unique_id')}
    load = with_load(120, 5)['load'].to_numpy()[120:]
    assert np.abs(error['a'].to_numpy() - 20 * load).max() < 4
    assert np.abs(error['b'].to_numpy() - 20 * load).max() > 10
    assert 'load' in found.filter(pl.col('unique_id') == 'b')['warning'][0]


@pytest.mark.usefixtures('prophet_here')
def test_what_draws_is_not_loaded_and_may_be_later(monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.partition('.')[0] in ('prophet', 'matplotlib')]:
        monkeypatch.delitem(sys.modules, name)
    [raw] = ProphetModel().predict(panel(frame(wave(30)), 2), h=2, run=Run(options=MULTIPLICATIVE))
    assert raw.used == 'prophet'
    assert 'prophet' in sys.modules
    assert 'matplotlib' not in sys.modules


def test_holidays_are_left_out_of_months_and_that_is_told():
    [raw] = ProphetModel().predict(panel(air(), 3), h=3, run=Run(holidays='DE'))
    assert raw.used == 'prophet'
    assert 'holidays' in raw.warning


@pytest.mark.usefixtures('prophet_here')
def test_held_out_forecasts_know_nothing_of_what_follows():
    rows = with_load(90, 4)
    later = pl.int_range(pl.len()).is_between(80, 89)
    changed = rows.with_columns(y=pl.when(later).then(1e4).otherwise(pl.col('y')))
    member = ProphetModel()
    for run in (Run(), Run(regressors=('load',))):
        [one] = member.hold_out(panel(rows, 4, 'load'), [Origin(0, 80)], h=4, run=run)
        [two] = member.hold_out(panel(changed, 4, 'load'), [Origin(0, 80)], h=4, run=run)
        assert one.center == pytest.approx(two.center)


def test_a_series_without_noise_is_forecast_at_once():
    hours = 50 + 5 * np.sin(2 * np.pi * np.arange(24 * 20) / 24)
    rows = forecast(frame(hours, start=datetime(2024, 1, 1), every='1h'), Request(h=24, models=('prophet',)))
    assert set(rows['model_used']) == {'prophet'}
    assert np.abs(rows['mean'].to_numpy() - hours[:24]).max() < 0.1
