"""ETS, Theta, MSTL, ARIMA and Croston by statsforecast, one series at a time, and what stands in where one fails.

Sources: ETS, Hyndman et al. 2002, doi:10.1016/S0169-2070(01)00110-8; the dynamic optimised Theta method, Fiorucci et
al. 2016, doi:10.1016/j.ijforecast.2016.02.005; MSTL, Bandara, Hyndman & Bergmeir 2021, arXiv:2107.13462; the choice of
ARIMA, Hyndman & Khandakar 2008, doi:10.18637/jss.v027.i03; Croston's method without its bias, Syntetos & Boylan 2005,
doi:10.1016/j.ijforecast.2004.10.001.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from core.analysis.forecasting import windows, workers
from core.analysis.forecasting.base import NORMAL_80, Origin, Raw, Run
from core.analysis.forecasting.frequency import Array
from core.analysis.forecasting.naive import repeat
from core.analysis.forecasting.options import check
from core.analysis.forecasting.repair import Series

HISTORY = {
    'ets': (366, 40, 2000),
    'theta': (366, 10, 2000),
    'mstl': (2000, 10, 10_000),
    'arima': (250, 8, 1000),
    'croston': (2000, 10, 10_000),
}
MONTHLY_HISTORY = {'ets': (60, 12, 2000), 'theta': (60, 8, 2000)}
"""How much of its past a model learns from: so many steps, or so many seasons where that is more, but never more than
so many steps; the second where a step is months. More costs time and, for Theta, whose trend is a line through all of
it, accuracy.
"""
LONGEST_SEASON = {'ets': 24, 'arima': 24}
"""The longest season that a model holds as a state (steps)."""
MOST_JUMP = 10
"""STL smooths its trend at every so many steps and interpolates between: three times as fast for hours, as accurate."""
LEAST_MONTHLY = 13
"""Fewer values than these show no damped trend."""
MONTHLY_TRENDS = (('ZZN', None), ('AAN', True))
"""Exponential smoothing with a trend if information criteria want one, and with a damped one."""
HARMONICS = 5
"""Fourier terms that carry a season too long for ARIMA (Hyndman & Athanasopoulos, 3rd ed., 10.5)."""
LARGEST_ARIMA = {'max_p': 3, 'max_q': 3, 'max_P': 1, 'max_Q': 1, 'max_d': 1, 'nmodels': 15}
SIMPLER = dict.fromkeys(('prophet', 'arima', 'mstl', 'ets', 'croston'), 'theta')
"""The model that stands in for one that fails; below Theta it is the last season, or the last value."""
HELD_SERIES = {'theta': 400, 'croston': 400, 'arima': 40}
FAILURES = (ValueError, ArithmeticError, NotImplementedError, IndexError, RuntimeError, np.linalg.LinAlgError)


class Statistical:
    """The member `ets`, `theta`, `mstl`, `arima` or `croston`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held_series = HELD_SERIES.get(name, 60)

    def predict(self, panel: Sequence[Series], *, h: int, run: Run) -> list[Raw]:
        """Return each series' forecast; a simpler model stands in where this one cannot be fitted."""
        return self._each([self._task(one, len(one.filled), h, run) for one in panel], run)

    def hold_out(self, panel: Sequence[Series], origins: Sequence[Origin], *, h: int, run: Run) -> list[Raw]:
        """Return the forecasts from each origin, refitted on what lies before it."""
        return self._each([self._task(panel[at.place], at.size, h, run) for at in origins], run)

    def _each(self, tasks: Sequence[dict[str, Any]], run: Run) -> list[Raw]:
        check(self.name, run.options.get(self.name, {}))
        return workers.each(f'{__name__}:fit', tasks, run=run, stand_in=stand_in)

    def _task(self, series: Series, size: int, h: int, run: Run) -> dict[str, Any]:
        lengths = HISTORY | MONTHLY_HISTORY if series.step.unit == 'month' else HISTORY
        steps, seasons, most = lengths[self.name]
        start = max(0, size - min(most, max(steps, seasons * series.step.season_length)))
        return {
            'name': self.name,
            'y': series.past(size)[start:],
            'h': h,
            'season_length': series.step.season_length,
            'long_season': series.step.long_season,
            'monthly': series.step.unit == 'month',
            'regressors': series.regressors[start : size + h] if self.name == 'arima' and run.regressors else None,
        }


def fit(task: dict[str, Any]) -> Raw:
    """Return the forecast that a task asks for; that of a simpler model, with the reason, when it cannot be fitted."""
    name = task['name']
    y = np.ascontiguousarray(task['y'], dtype=np.float64)
    size = float(np.abs(y).max()) or 1.0
    try:
        with warnings.catch_warnings(), np.errstate(all='ignore'):
            warnings.simplefilter('ignore', RuntimeWarning)
            warnings.simplefilter('ignore', UserWarning)
            center, spread = FITS[name](task, y / size)
    except FAILURES as error:
        return stand_in(task, f'It could not be fitted ({error}).')
    except Exception as error:
        if type(error) is not Exception:  # statsforecast raises bare Exception where no model can be fitted
            raise
        return stand_in(task, f'It could not be fitted ({error}).')
    if not (np.isfinite(center).all() and np.abs(center).max() <= 100):
        return stand_in(task, 'It gave no finite forecast.')
    return Raw(center=size * center, spread=size * np.nan_to_num(spread, nan=0.0, posinf=0.0), used=name)


def stand_in(task: dict[str, Any], reason: str) -> Raw:
    """Return the forecast of the next simpler model than `task['name']`, which failed for `reason`."""
    reason = f'{task["name"]}: {reason}'
    below = SIMPLER.get(task['name'])
    if below is None:
        return repeat(task['y'], h=task['h'], season_length=task['season_length'], warning=reason)
    found = fit({**task, 'name': below})
    return replace(found, warning=f'{reason} {found.warning}'.strip())


def _ets(task: dict[str, Any], y: Array) -> tuple[Array, Array]:
    from statsforecast.models import AutoETS

    season = _season(task, y)
    return _bands(AutoETS(season_length=season if season <= LONGEST_SEASON['ets'] else 1), task, y)


def _theta(task: dict[str, Any], y: Array) -> tuple[Array, Array]:
    from statsforecast.models import DynamicOptimizedTheta

    decomposition = 'multiplicative' if y.min() > 0 else 'additive'
    return _bands(DynamicOptimizedTheta(season_length=_season(task, y), decomposition_type=decomposition), task, y)


def _mstl(task: dict[str, Any], y: Array) -> tuple[Array, Array]:
    from statsforecast.models import MSTL, AutoETS

    seasons = [s for s in (_season(task, y), task['long_season']) if s > 1 and len(y) >= 2 * s + 1]
    if task['monthly'] and len(y) >= LEAST_MONTHLY:
        return _monthly(task, y, seasons)
    trend = AutoETS(model='ZZN')
    if not seasons:
        return _bands(trend, task, y)
    return _bands(MSTL(season_length=seasons, trend_forecaster=trend, stl_kwargs=_jumps(seasons)), task, y)


def _monthly(task: dict[str, Any], y: Array, seasons: Sequence[int]) -> tuple[Array, Array]:
    """Return the mean of two forecasts, by a chosen and by a damped trend, of what is left without the season.

    Series well above zero are taken apart in logarithms, as their seasons grow with their level. Chosen trends alone
    were measured worse: they run too far.
    """
    from statsforecast.models import AutoETS
    from statsforecast.mstl import mstl

    logged = windows.positive(y)
    adjusted, ahead = (np.log(y) if logged else y), np.zeros(task['h'])
    if seasons:
        table = mstl(adjusted, seasons[0], stl_kwargs=_jumps(seasons))
        seasonal = table['seasonal'].to_numpy()
        adjusted, ahead = adjusted - seasonal, np.resize(seasonal[-seasons[0] :], task['h'])
    found = [_bands(AutoETS(model=model, damped=damped), task, adjusted) for model, damped in MONTHLY_TRENDS]
    center, spread = (np.mean([part[side] for part in found], axis=0) for side in (0, 1))
    center = center + ahead
    if logged:
        center = np.exp(np.minimum(center, windows.FARTHEST))
        spread = spread * center
    return center, spread


def _jumps(seasons: Sequence[int]) -> dict[str, int]:
    jump = max(1, min(MOST_JUMP, seasons[0] // 2))
    return {'trend_jump': jump, 'low_pass_jump': jump}


def _arima(task: dict[str, Any], y: Array) -> tuple[Array, Array]:
    """Return ARIMA's forecast, with the regressors that are known ahead and say something."""
    from statsforecast.models import AutoARIMA

    n, season = len(y), _season(task, y)
    columns = [np.zeros((n + task['h'], 0))]
    if task['regressors'] is not None:
        columns.append(_standard(task['regressors'], n))
    if season > LONGEST_SEASON['arima']:
        columns.append(_waves(n + task['h'], season))
        season = 1
    table = np.hstack(columns)
    known = {'X': table[:n], 'X_future': table[n:]} if table.shape[1] else {}
    return _bands(AutoARIMA(season_length=season, approximation=True, **LARGEST_ARIMA), task, y, **known)


def _croston(task: dict[str, Any], y: Array) -> tuple[Array, Array]:
    """Return the rate of demand a step, and how far demand of a step lies from it (the root mean square)."""
    from statsforecast.models import CrostonSBA

    if y.min() < 0:
        raise ValueError('demand is never below zero')
    rate: Array = CrostonSBA().forecast(y=y, h=task['h'])['mean']
    return rate, np.full(task['h'], np.sqrt(np.mean((y - rate[0]) ** 2)))


FITS = {'ets': _ets, 'theta': _theta, 'mstl': _mstl, 'arima': _arima, 'croston': _croston}


def _bands(model: Any, task: dict[str, Any], y: Array, **known: Array) -> tuple[Array, Array]:
    found = model.forecast(y=y, h=task['h'], level=[80], **known)
    return found['mean'], (found['hi-80'] - found['lo-80']) / (2 * NORMAL_80)


def _season(task: dict[str, Any], y: Array) -> int:
    season: int = task['season_length']
    return season if len(y) >= 2 * season + 1 else 1


def _standard(table: Array, n: int) -> Array:
    """Return the columns (n + h × …) that are known, vary in the past (n) and are no sums of others, in deviations."""
    kept = [np.ones(n)]
    found = np.zeros((len(table), 0))
    for column in table[:, np.isfinite(table).all(axis=0)].T:
        if np.ptp(column[:n]) == 0:
            continue
        standard = (column - column[:n].mean()) / column[:n].std()
        if np.linalg.matrix_rank(np.stack([*kept, standard[:n]])) > len(kept):
            kept.append(standard[:n])
            found = np.hstack([found, standard[:, None]])
    return found


def _waves(size: int, season: int) -> Array:
    turns = 2 * np.pi * np.outer(np.arange(size), np.arange(1, HARMONICS + 1)) / season
    return np.hstack([np.sin(turns), np.cos(turns)])
