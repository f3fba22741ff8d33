"""Prophet by the real package, in a process that can be killed: its optimiser hangs now and then.

Source: Taylor & Letham 2018, doi:10.1080/00031305.2017.1380080.
"""

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from core.analysis.forecasting import workers
from core.analysis.forecasting.base import Origin, Raw, Run
from core.analysis.forecasting.naive import repeat
from core.analysis.forecasting.repair import Series

LONGEST_HISTORY = 3000
LEAST_VALUES = 5
SAMPLES = 300
FAILURES = (ValueError, RuntimeError, ArithmeticError, np.linalg.LinAlgError)
NORMAL_80 = 1.2815515655446004


class ProphetModel:
    """The member `prophet`."""

    name = 'prophet'
    held_series = 6

    def predict(self, panel: Sequence[Series], *, h: int, run: Run) -> list[Raw]:
        """Return each series' forecast; seasonal naive stands in where Prophet fails or takes too long."""
        tasks = [_task(series, len(series.filled), h, run.seed) for series in panel]
        return workers.each(f'{__name__}:fit', tasks, run=run, stand_in=_stand_in, apart=True)

    def hold_out(self, panel: Sequence[Series], origins: Sequence[Origin], *, h: int, run: Run) -> list[Raw]:
        """Return the forecasts from each origin, refitted on what lies before it."""
        tasks = [_task(panel[at.place], at.size, h, run.seed) for at in origins]
        return workers.each(f'{__name__}:fit', tasks, run=run, stand_in=_stand_in, apart=True)


def _task(series: Series, size: int, h: int, seed: int) -> dict[str, Any]:
    start = max(0, size - LONGEST_HISTORY)
    future = series.step.after(series.cutoff, np.arange(1, h + 1) + size - len(series.y))
    return {
        'y': series.y[start:size],
        'filled': series.filled[start:size],
        'stamps': series.stamps[start:size],
        'future': future,
        'h': h,
        'seed': seed,
        'season_length': series.step.season_length,
    }


def fit(task: dict[str, Any]) -> Raw:
    """Return Prophet's forecast of one series with its default settings; gaps stay missing, stamps are naive."""
    values = task['y']
    if np.isfinite(values).sum() < LEAST_VALUES:
        return _stand_in(task, f'prophet needs at least {LEAST_VALUES} values.')
    size = float(np.nanmax(np.abs(values))) or 1.0
    try:
        center, spread = _fitted(task, values / size)
    except FAILURES as error:
        return _stand_in(task, f'prophet could not be fitted ({error}).')
    if not (np.isfinite(center).all() and np.abs(center).max() <= 100):
        return _stand_in(task, 'prophet gave no finite forecast.')
    return Raw(center=center * size, spread=spread * size, used='prophet')


def _fitted(task: dict[str, Any], values: Any) -> tuple[Any, Any]:
    for name in ('prophet', 'prophet.plot', 'cmdstanpy'):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    import pandas
    from prophet import Prophet

    np.random.seed(task['seed'])  # Prophet draws its trend from NumPy's global state
    with warnings.catch_warnings(), np.errstate(all='ignore'):
        for category in (FutureWarning, DeprecationWarning, RuntimeWarning, UserWarning):
            warnings.simplefilter('ignore', category)
        model = Prophet(uncertainty_samples=SAMPLES)
        model.fit(pandas.DataFrame({'ds': task['stamps'].astype('datetime64[ns]'), 'y': values}), seed=task['seed'])
        future = pandas.DataFrame({'ds': task['future'].astype('datetime64[ns]')})
        drawn = model.predictive_samples(future)['yhat']
        center = model.predict(future)['yhat'].to_numpy()
    low, high = np.quantile(drawn, [0.1, 0.9], axis=1)
    return center, (high - low) / (2 * NORMAL_80)


def _stand_in(task: dict[str, Any], reason: str) -> Raw:
    return repeat(task['filled'], h=task['h'], season_length=task['season_length'], warning=f'prophet: {reason}')
