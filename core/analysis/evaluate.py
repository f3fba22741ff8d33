"""Scores of forecasts: MASE, RMSSE, sMAPE, OWA against Naive2, quantile losses, coverage. Missing actuals are left out.

Sources: MASE, Hyndman & Koehler 2006, doi:10.1016/j.ijforecast.2006.03.001; sMAPE, OWA and Naive2 as in the M4
competition, Makridakis, Spiliotis & Assimakopoulos 2020, doi:10.1016/j.ijforecast.2019.04.014; RMSSE as in the M5
accuracy competition, doi:10.1016/j.ijforecast.2021.11.013, with the seasonal naive method for its scale; weighted and
scaled quantile losses as in the M5 uncertainty competition, doi:10.1016/j.ijforecast.2021.10.009, and GluonTS.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
NORMAL_90 = 1.6448536269514722


def scale(history: Array, season_length: int) -> float:
    """Return the mean absolute seasonal difference of a history (n), NaN when it is no longer than a season."""
    if len(history) <= season_length:
        return float('nan')
    return _mean(np.abs(history[season_length:] - history[:-season_length]))


def mase(actual: Array, predicted: Array, history: Array, season_length: int) -> float:
    """Return the mean absolute scaled error of one series; NaN when its history does not vary."""
    size = scale(history, season_length)
    return _mean(np.abs(actual - predicted)) / size if size > 0 else float('nan')


def scale2(history: Array, season_length: int) -> float:
    """Return the mean squared seasonal difference of a history (n), NaN when it is no longer than a season."""
    if len(history) <= season_length:
        return float('nan')
    return _mean(np.square(history[season_length:] - history[:-season_length]))


def rmsse(actual: Array, predicted: Array, history: Array, season_length: int) -> float:
    """Return the root mean squared scaled error of one series; NaN when its history does not vary."""
    size = scale2(history, season_length)
    return float(np.sqrt(_mean(np.square(actual - predicted)) / size)) if size > 0 else float('nan')


def smape(actual: Array, predicted: Array) -> float:
    """Return the symmetric mean absolute percentage error, 0 to 200; a point where both are zero counts as 0."""
    both = np.abs(actual) + np.abs(predicted)
    return _mean(200 * np.abs(actual - predicted) / np.where(both == 0, 1.0, both))


def owa(mean_mase: float, mean_smape: float, *, naive2_mase: float, naive2_smape: float) -> float:
    """Return the overall weighted average of a set: the mean of MASE and sMAPE, each relative to Naive2's."""
    return 0.5 * (mean_mase / naive2_mase + mean_smape / naive2_smape)


def naive2(history: Array, h: int, season_length: int) -> Array:
    """Return M4's benchmark (h): the last value after multiplicative deseasonalisation, when a season is found."""
    known = history[np.isfinite(history)]
    index = np.ones(season_length)
    if season_length > 1 and len(known) >= 3 * season_length and known.min() > 0 and _seasonal(known, season_length):
        index = _seasonal_index(known, season_length)
    phase = (len(known) + np.arange(h)) % season_length
    forecast: Array = known[-1] / index[(len(known) - 1) % season_length] * index[phase]
    return forecast


def pinball(actual: Array, predicted: Array, quantiles: Sequence[float]) -> Array:
    """Return twice the pinball loss (points × quantiles) of quantile forecasts (points × quantiles)."""
    apart = np.asarray(actual)[:, None] - predicted
    levels = np.asarray(quantiles)
    loss: Array = 2 * np.maximum(levels * apart, (levels - 1) * apart)
    return loss


def wql(actual: Array, predicted: Array, quantiles: Sequence[float]) -> float:
    """Return the weighted quantile loss of a set of points: summed loss over summed absolute actuals, by quantile."""
    total = float(np.nansum(np.abs(actual)))
    lost = float(np.nansum(pinball(actual, predicted, quantiles)))
    return lost / (len(quantiles) * total) if total > 0 else float('nan')


def sql(actual: Array, predicted: Array, quantiles: Sequence[float], history: Array, season_length: int) -> float:
    """Return the scaled quantile loss of one series: mean loss over the MASE scale; NaN when that is zero."""
    size = scale(history, season_length)
    return _mean(pinball(actual, predicted, quantiles)) / size if size > 0 else float('nan')


def coverage(actual: Array, lower: Array, upper: Array) -> float:
    """Return the share of actuals (0 to 1) that lie in [lower, upper]; NaN when there is none."""
    known = np.isfinite(actual) & np.isfinite(lower) & np.isfinite(upper)
    return float(np.mean((actual >= lower)[known] & (actual <= upper)[known])) if known.any() else float('nan')


def _seasonal(y: Array, season_length: int) -> bool:
    """Return whether the autocorrelation at the season passes M4's 90% test."""
    apart = y - y.mean()
    power = float(np.sum(apart**2))
    if power <= 0:
        return False
    lags = [float(np.sum(apart[lag:] * apart[:-lag])) / power for lag in range(1, season_length + 1)]
    limit = NORMAL_90 * np.sqrt((1 + 2 * np.sum(np.square(lags[:-1]))) / len(y))
    return bool(abs(lags[-1]) > limit)


def _seasonal_index(y: Array, season_length: int) -> Array:
    """Return the seasonal indices (season) of the classical multiplicative decomposition, with mean 1."""
    weights = np.ones(season_length)
    if season_length % 2 == 0:
        weights = np.concatenate([[0.5], np.ones(season_length - 1), [0.5]])
    trend = np.convolve(y, weights / weights.sum(), 'valid')
    start = (len(y) - len(trend)) // 2
    phase = np.arange(start, start + len(trend)) % season_length
    sums = np.bincount(phase, y[start : start + len(trend)] / trend, season_length)
    index = sums / np.maximum(np.bincount(phase, minlength=season_length), 1)
    normed: Array = index / index.mean()
    return normed


def _mean(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float('nan')
