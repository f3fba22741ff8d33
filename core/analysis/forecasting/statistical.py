"""ETS, Theta and MSTL by statsforecast, one series at a time.

Sources: ETS, Hyndman et al. 2002, doi:10.1016/S0169-2070(01)00110-8; the dynamic optimised Theta method, Fiorucci et
al. 2016, doi:10.1016/j.ijforecast.2016.02.005; MSTL, Bandara, Hyndman & Bergmeir 2021, arXiv:2107.13462.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from core.analysis.forecasting import workers
from core.analysis.forecasting.base import Origin, Raw, Run
from core.analysis.forecasting.frequency import Array
from core.analysis.forecasting.naive import repeat
from core.analysis.forecasting.repair import Series

LONGEST_HISTORY = 2000
LONGEST_ETS_SEASON = 24
FAILURES = (ValueError, ArithmeticError, NotImplementedError, IndexError, RuntimeError, np.linalg.LinAlgError)
NORMAL_80 = 1.2815515655446004


class Statistical:
    """The member `ets`, `theta` or `mstl`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held_series = 400 if name == 'theta' else 60

    def predict(self, panel: Sequence[Series], *, h: int, run: Run) -> list[Raw]:
        """Return each series' forecast; seasonal naive stands in where the model cannot be fitted."""
        tasks = [self._task(one, len(one.filled), h) for one in panel]
        return workers.each(f'{__name__}:fit', tasks, run=run, stand_in=_stand_in)

    def hold_out(self, panel: Sequence[Series], origins: Sequence[Origin], *, h: int, run: Run) -> list[Raw]:
        """Return the forecasts from each origin, refitted on what lies before it."""
        tasks = [self._task(panel[at.place], at.size, h) for at in origins]
        return workers.each(f'{__name__}:fit', tasks, run=run, stand_in=_stand_in)

    def _task(self, series: Series, size: int, h: int) -> dict[str, Any]:
        most = max(LONGEST_HISTORY, 10 * series.step.season_length)
        return {
            'name': self.name,
            'y': series.filled[max(0, size - most) : size],
            'h': h,
            'season_length': series.step.season_length,
            'long_season': series.step.long_season,
        }


def fit(task: dict[str, Any]) -> Raw:
    """Return the forecast that a task asks for; seasonal naive with the reason when statsforecast cannot fit."""
    y = np.ascontiguousarray(task['y'], dtype=np.float64)
    size = float(np.abs(y).max()) or 1.0
    try:
        with warnings.catch_warnings(), np.errstate(all='ignore'):
            warnings.simplefilter('ignore', RuntimeWarning)
            warnings.simplefilter('ignore', UserWarning)
            found = _fitted(task, y / size)
    except FAILURES as error:
        return _stand_in(task, f'{task["name"]} could not be fitted ({error}).')
    except Exception as error:
        if type(error) is not Exception:  # statsforecast raises bare Exception where no model can be fitted
            raise
        return _stand_in(task, f'{task["name"]} could not be fitted ({error}).')
    center = found['mean'] * size
    spread = (found['hi-80'] - found['lo-80']) * size / (2 * NORMAL_80)
    if not (np.isfinite(center).all() and np.abs(center).max() <= 100 * size):
        return _stand_in(task, f'{task["name"]} gave no finite forecast.')
    return Raw(center=center, spread=np.nan_to_num(spread, nan=0.0, posinf=0.0), used=task['name'])


def _fitted(task: dict[str, Any], y: Array) -> dict[str, Array]:
    from statsforecast.models import MSTL, AutoETS, DynamicOptimizedTheta

    season = task['season_length'] if len(y) >= 2 * task['season_length'] + 1 else 1
    if task['name'] == 'ets':
        model = AutoETS(season_length=season if season <= LONGEST_ETS_SEASON else 1)
    elif task['name'] == 'theta':
        model = DynamicOptimizedTheta(season_length=season, decomposition_type=_decomposition(y))
    else:
        seasons = [s for s in (season, task['long_season']) if s > 1 and len(y) >= 2 * s + 1]
        trend = AutoETS(model='ZZN')
        model = MSTL(season_length=seasons, trend_forecaster=trend) if seasons else trend
    result: dict[str, Array] = model.forecast(y=y, h=task['h'], level=[80])
    return result


def _decomposition(y: Array) -> str:
    return 'multiplicative' if y.min() > 0 else 'additive'


def _stand_in(task: dict[str, Any], reason: str) -> Raw:
    return repeat(task['y'], h=task['h'], season_length=task['season_length'], warning=reason)
