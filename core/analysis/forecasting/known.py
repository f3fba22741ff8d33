"""What is known ahead, regressors and holidays, and what it adds to a series in proportion.

The effects are read from differences over a season, relative to a series' size, and pooled over the panel; categories
and then each series lean away from what is common as far as their own history shows (ridge regression towards a common
mean, an empirical Bayes estimate; Efron & Morris 1975, doi:10.1080/01621459.1975.10479864).
"""

from collections.abc import Sequence

import numpy as np

from core.analysis.forecasting import calendars
from core.analysis.forecasting.base import Run
from core.analysis.forecasting.frequency import Array
from core.analysis.forecasting.repair import Series

OWN = 20.0
"""As many points as the panel's mean effect weighs in that of a series."""
REACH = 15.0
"""Scaled differences are clipped here: beyond lie breaks in level that no regressor explains."""


def columns(
    panel: Sequence[Series], ends: Sequence[int], stamps: Array, *, h: int, run: Run
) -> tuple[tuple[str, ...], Array]:
    """Return the names and the values (N × names, scaled by series) of what is known ahead; 0 where it is not."""
    names, parts = [], []
    if run.regressors:
        names += list(run.regressors)
        parts.append(_scaled([_table(series, h, len(run.regressors)) for series in panel], ends))
    if run.holidays:
        flags = calendars.holiday_columns(stamps, run.holidays, step=panel[0].step)
        names += list(flags)
        parts.append(np.stack(list(flags.values()), axis=1))
    if not parts:
        return (), np.zeros((len(stamps), 0))
    return tuple(names), np.concatenate(parts, axis=1)


def effects(
    y: Array, values: Array, starts: Array, ends: Sequence[int], *, season: int,
    logged: Array, kinds: Array,
) -> Array:  # fmt: skip
    """Return how much of each place (N) comes from each column (N × names), in units of `y`.

    Effects are in proportion to a series' size, or as they are in series that are `logged` (S). `kinds` (S × c) are
    categories of the series: what the panel has in common is refined by each of them in turn.
    """
    found = np.zeros(values.shape)
    count = values.shape[1]
    if count == 0:
        return found
    stops = np.append(starts[1:], len(y))
    read = [
        _differences(y[a : a + end], values[a : a + end], season, logged=bool(one))
        for a, end, one in zip(starts, ends, logged, strict=True)
    ]
    grams = np.stack([rows.T @ rows for rows, _, _ in read])
    products = np.stack([rows.T @ apart for rows, apart, _ in read])
    prior = np.tile(np.linalg.solve(grams.sum(axis=0) + np.eye(count), products.sum(axis=0)), (len(read), 1))
    for codes in kinds.T:
        for code in np.unique(codes):
            prior[codes == code] += _correction(grams, products, prior, codes == code)
    for place, (a, stop) in enumerate(zip(starts, stops, strict=True)):
        own = prior[place] + _correction(grams, products, prior, np.array([place]))
        found[a:stop] = read[place][2] * own * values[a:stop]
    return found


def _correction(grams: Array, products: Array, prior: Array, chosen: Array) -> Array:
    """Return how far the effects of the chosen series lie from their prior ones, drawn to them."""
    left = products[chosen] - np.einsum('sij,sj->si', grams[chosen], prior[chosen])
    found: Array = np.linalg.solve(grams[chosen].sum(axis=0) + OWN * np.eye(grams.shape[1]), left.sum(axis=0))
    return found


def _table(series: Series, h: int, count: int) -> Array:
    if series.regressors.shape == (len(series.filled) + h, count):
        return series.regressors
    return np.full((len(series.filled) + h, count), np.nan)


def _scaled(tables: Sequence[Array], ends: Sequence[int]) -> Array:
    """Return the regressors (N × names), centred and scaled by each series' past; 0 throughout if not known ahead.

    Marks (0 or 1) stay as they are. One that has not varied so far takes the usual scale of the other series.
    """
    absent = [~np.isfinite(table).all(axis=0) for table in tables]
    filled = [np.where(gone, 0.0, table) for gone, table in zip(absent, tables, strict=True)]
    past = [table[: max(end, 1)] for table, end in zip(filled, ends, strict=True)]
    marks = np.isin(np.concatenate(past), (0.0, 1.0)).all(axis=0)
    centers = np.stack([one.mean(axis=0) for one in past])
    spreads = np.stack([one.std(axis=0) for one in past])
    varied = spreads > 1e-9 * np.abs(centers)
    usual = [
        np.median(column[seen]) if seen.any() else np.inf for column, seen in zip(spreads.T, varied.T, strict=True)
    ]
    spreads = np.where(varied, spreads, usual)
    found = [
        np.where(gone, 0.0, np.where(marks, table, (table - center) / spread))
        for gone, table, center, spread in zip(absent, filled, centers, spreads, strict=True)
    ]
    return np.concatenate(found)


def _differences(y: Array, values: Array, season: int, *, logged: bool) -> tuple[Array, Array, float]:
    """Return seasonal differences of the columns (n × names) and of `y` (n, clipped, by its size), and that size."""
    if len(y) < 2 * season + 1:
        season = 1
    apart = y[season:] - y[:-season]
    at = np.isfinite(apart)
    if not at.any():
        return np.zeros((0, values.shape[1])), np.zeros(0), 0.0
    size = 1.0 if logged else float(np.nanmean(np.abs(y))) or 1.0
    most = REACH * float(np.mean(np.abs(apart[at])))
    clipped = np.clip(apart[at], -most, most) / size
    rows = (values[season:] - values[:-season])[at]
    return rows - rows.mean(axis=0), clipped - clipped.mean(), size
