"""What is known ahead, regressors and holidays, and what it adds to a series in proportion.

The effects are read from differences over a season: scaled by series and pooled over the panel, then let each series
lean away from the panel as far as its own history shows (ridge regression towards a common mean, an empirical Bayes
estimate; Efron & Morris 1975, doi:10.1080/01621459.1975.10479864).
"""

from collections.abc import Sequence

import numpy as np

from core.analysis.forecasting import calendars
from core.analysis.forecasting.base import Run
from core.analysis.forecasting.frequency import Array
from core.analysis.forecasting.repair import Series

OWN = 20.0
"""As many points as the panel's mean effect weighs in that of a series."""
REACH = 5.0
"""Scaled differences are clipped here: what lies beyond no regressor explains."""


def columns(
    panel: Sequence[Series], ends: Sequence[int], stamps: Array, *, h: int, run: Run
) -> tuple[tuple[str, ...], Array]:
    """Return the names and the values (N × names, scaled by series) of what is known ahead; 0 where it is not."""
    names, parts = [], []
    if run.regressors:
        names += list(run.regressors)
        scaled = [_scaled(_table(series, h, len(run.regressors)), end) for series, end in zip(panel, ends, strict=True)]
        parts.append(np.concatenate(scaled))
    if run.holidays:
        flags = calendars.holiday_columns(stamps, run.holidays, step=panel[0].step)
        names += list(flags)
        parts.append(np.stack(list(flags.values()), axis=1))
    if not parts:
        return (), np.zeros((len(stamps), 0))
    return tuple(names), np.concatenate(parts, axis=1)


def effects(y: Array, values: Array, starts: Array, ends: Sequence[int], *, season: int) -> Array:
    """Return how much of each place (N) comes from each column (N × names), in units of `y`."""
    found = np.zeros(values.shape)
    count = values.shape[1]
    if count == 0:
        return found
    stops = np.append(starts[1:], len(y))
    read = [_differences(y[a : a + end], values[a : a + end], season) for a, end in zip(starts, ends, strict=True)]
    grams = [rows.T @ rows for rows, _, _ in read]
    products = [rows.T @ apart for rows, apart, _ in read]
    common = np.linalg.solve(np.sum(grams, axis=0) + np.eye(count), np.sum(products, axis=0))
    for a, stop, gram, product, (_, _, scale) in zip(starts, stops, grams, products, read, strict=True):
        own = np.linalg.solve(gram + OWN * np.eye(count), product + OWN * common)
        found[a:stop] = scale * own * values[a:stop]
    return found


def _table(series: Series, h: int, count: int) -> Array:
    if series.regressors.shape == (len(series.filled) + h, count):
        return series.regressors
    return np.full((len(series.filled) + h, count), np.nan)


def _scaled(table: Array, end: int) -> Array:
    """Return a series' regressors, centred and scaled by its past; one that is not known ahead is 0 throughout."""
    absent = ~np.isfinite(table).all(axis=0)
    table = np.where(absent, 0.0, table)
    past = table[: max(end, 1)]
    spread = past.std(axis=0)
    small = 1e-9 * np.abs(past).max(axis=0)
    return np.asarray(
        np.where(spread > small, (table - past.mean(axis=0)) / np.where(spread > small, spread, 1.0), 0.0)
    )


def _differences(y: Array, values: Array, season: int) -> tuple[Array, Array, float]:
    """Return differences over a season of the columns (n × names) and of `y` (n, scaled and clipped), and the scale."""
    if len(y) < 2 * season + 1:
        season = 1
    apart = y[season:] - y[:-season]
    at = np.isfinite(apart)
    if not at.any():
        return np.zeros((0, values.shape[1])), np.zeros(0), 0.0
    scale = float(np.mean(np.abs(apart[at]))) or 1.0
    scaled = np.clip(apart[at] / scale, -REACH, REACH)
    rows = (values[season:] - values[:-season])[at]
    return rows - rows.mean(axis=0), scaled - scaled.mean(), scale
