"""The fast path against the real Prophet, and what the real one cannot do."""

import logging
import warnings

import numpy as np
import pytest

from core.analysis.forecasting import fast_prophet
from core.analysis.forecasting.base import NORMAL_80
from core.analysis.forecasting.frequency import Array
from core.analysis.forecasting.naive import scale
from tests.unit.analysis.forecasting.frames import air

pytestmark = pytest.mark.xdist_group('forecasting')

H = 14
CLOSE = 0.06
"""How far the fast path may lie from Prophet on average, in MASE scales: Prophet stops so far short of its mode."""
WIDTH = 0.05
"""How far the mean width of the 80% band may differ from Prophet's, as a share of it; Prophet draws its band."""


def stamps(size: int, step: str, start: str = '2018-03-05') -> Array:
    return np.datetime64(start, 'us') + np.arange(size) * np.timedelta64(int(step[:-1]), step[-1])


def waves(size: int, *periods: int, level: float = 50.0, trend: float = 0.02, seed: int = 4) -> Array:
    steps = np.arange(size)
    rng = np.random.default_rng(seed)
    bend = np.maximum(steps - size // 2, 0) * -2 * trend
    seasons = sum(5 * np.sin(2 * np.pi * steps / period) + 2 * np.cos(4 * np.pi * steps / period) for period in periods)
    return level + trend * steps + bend + seasons + rng.standard_normal(size)


def airline() -> tuple[Array, Array]:
    frame = air()
    return frame['ds'].to_numpy().astype('datetime64[us]'), frame['y'].to_numpy()


def holed(size: int) -> Array:
    return np.where(np.random.default_rng(2).random(size) < 0.25, np.nan, waves(size, 7))


CASES = {
    'monthly': (*airline(), 12),
    'daily': (stamps(800, '1D'), waves(800, 7, 365), 7),
    'daily with gaps': (stamps(400, '1D'), holed(400), 7),
    'hourly': (stamps(24 * 20, '1h'), waves(24 * 20, 24, 168), 24),
    'weekly': (stamps(160, '7D'), waves(160, 52), 52),
    'negative': (stamps(120, '1D'), waves(120, 7, level=-80.0), 7),
}


@pytest.mark.parametrize('name', CASES)
@pytest.mark.slow
def test_it_gives_what_prophet_gives_and_a_posterior_no_lower(name: str):
    at, y, season = CASES[name]
    past, future = slice(None, -H), slice(-H, None)
    fitted = fast_prophet.fit(at[past], y[past])
    center, spread = fast_prophet.forecast(at[past], y[past], at[future])
    real_center, real_width, real_cost = real(at[past], y[past], at[future])
    known = np.isfinite(y[past])
    assert np.abs(center - real_center).mean() / scale(y[past][known], season) < CLOSE
    width = 2 * NORMAL_80 * spread
    assert width.mean() == pytest.approx(real_width.mean(), rel=WIDTH)
    rest = (y[past] - fast_prophet.predict(fitted, at[past]))[known] / fitted.size
    own_cost = cost(rest, fitted.slopes[:2], fitted.slopes[2:], fitted.waves, fitted.noise)
    assert own_cost < real_cost + 0.02


def real(at: Array, y: Array, future: Array) -> tuple[Array, Array, float]:
    """Return the real package's forecast, the width of its 80% band, and the cost of its parameters."""
    import pandas
    from prophet import Prophet

    for name in ('prophet', 'cmdstanpy'):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    np.random.seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        model = Prophet()
        model.fit(pandas.DataFrame({'ds': at.astype('datetime64[ns]'), 'y': y}), seed=1)
        found = model.predict(pandas.DataFrame({'ds': future.astype('datetime64[ns]')}))
        past = model.predict(model.history[['ds']])['yhat'].to_numpy()
    own = {name: values.ravel() for name, values in model.params.items()}
    rest = (model.history['y'].to_numpy() - past) / model.y_scale
    total = cost(rest, np.append(own['k'], own['m']), own['delta'], own['beta'], float(own['sigma_obs'][0]))
    return found['yhat'].to_numpy(), (found['yhat_upper'] - found['yhat_lower']).to_numpy(), total


def cost(rest: Array, line: Array, changes: Array, waves: Array, noise: float) -> float:
    """Return minus the log posterior of Prophet's model, but for a constant, from its scaled residuals."""
    fit = len(rest) * np.log(noise) + (rest**2).sum() / (2 * noise**2)
    priors = (line**2).sum() / 50 + np.abs(changes).sum() / 0.05 + (waves**2).sum() / 200 + 2 * noise**2
    return float(fit + priors)


@pytest.mark.parametrize(
    ('size', 'step', 'names'),
    [
        (731, '1D', ('yearly', 'weekly')),
        (730, '1D', ('weekly',)),
        (15, '1D', ('weekly',)),
        (14, '1D', ()),
        (105, '7D', ()),
        (106, '7D', ('yearly',)),
        (49, '1h', ('daily',)),
        (48, '1h', ()),
        (337, '1h', ('weekly', 'daily')),
        (30, '12h', ('weekly', 'daily')),
        (57, '6D', ('weekly',)),
    ],
)
def test_seasons_are_found_by_prophets_rules(size: int, step: str, names: tuple[str, ...]):
    assert tuple(season.name for season in fast_prophet.seasonalities(stamps(size, step))) == names


def test_a_series_without_noise_is_fitted_and_its_band_is_thin():
    at = stamps(228, '1h')
    y = 100 + 10 * np.sin(2 * np.pi * np.arange(228) / 24)
    center, spread = fast_prophet.forecast(at[:-24], y[:-24], at[-24:])
    assert np.abs(center - y[-24:]).max() < 0.1
    assert spread.max() < 0.5


def test_components_sum_to_the_forecast_over_history_and_future():
    at, y = stamps(900, '1D'), waves(900, 7, 365)
    fitted = fast_prophet.fit(at[:850], y[:850])
    parts = fast_prophet.components(fitted, at)
    assert list(parts) == ['trend', 'yearly', 'weekly']
    assert sum(parts.values()) == pytest.approx(fast_prophet.predict(fitted, at))
    assert np.std(y[:850] - fast_prophet.predict(fitted, at[:850])) < 1.2


@pytest.mark.parametrize(
    'y',
    [
        [3.0, 5.0],
        [2.0, 4.0, 4.5],
        [7.0] * 10,
        [0.0] * 10,
        [0.0, np.nan, 1e12, 2e12, np.nan, 4e12],
        [1e-9, 2e-9, 0, 3e-9],
    ],
)
def test_short_still_and_huge_series_are_forecast(y: list[float]):
    at = stamps(len(y) + 3, '1D')
    center, spread = fast_prophet.forecast(at[:-3], np.array(y), at[-3:])
    assert np.isfinite(center).all()
    assert (spread > 0).all()
    assert np.abs(center).max() <= 3 * np.nanmax(np.abs(y))


def test_the_forecast_does_not_depend_on_the_unit_or_on_what_ran_before():
    at, y = stamps(80, '1D'), waves(80, 7)
    first = fast_prophet.forecast(at[:70], y[:70], at[70:])
    fast_prophet.forecast(at[:60], y[:60], at[60:65], seed=9)
    again = fast_prophet.forecast(at[:70], 1e6 * y[:70], at[70:])
    assert again[0] == pytest.approx(1e6 * first[0])
    assert again[1] == pytest.approx(1e6 * first[1])


def test_one_step_ahead_has_a_spread():
    at, y = stamps(60, '1D'), waves(60, 7)
    assert fast_prophet.forecast(at[:59], y[:59], at[59:])[1].shape == (1,)
