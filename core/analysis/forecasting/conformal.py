"""Bands from held-out origins: pooled scaled residuals by block of the horizon (split conformal prediction).

Source: Vovk, Gammerman & Shafer 2005, Algorithmic Learning in a Random World; scaled scores as in Lei et al. 2018,
doi:10.1080/01621459.2017.1307116. Pooling assumes that scaled residuals of a panel's series are alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from core.analysis.forecasting.base import Origin, Raw
from core.analysis.forecasting.frequency import Array
from core.analysis.forecasting.naive import scale
from core.analysis.forecasting.repair import Series

ORIGINS = 4
MOST_ORIGINS = 8
ENOUGH_WINDOWS = 40
"""From this many held-out windows on, quantiles are read from residuals by block; below, they widen a normal shape."""
BLOCKS = 6
UNMEASURED = 1.3
"""How far a normal shape is widened when nothing could be held out: bands of short series are too narrow otherwise."""


@dataclass(frozen=True, slots=True)
class Held:
    """Forecasts that were made from past origins."""

    origins: tuple[Origin, ...]
    raws: tuple[Raw, ...]

    def by_origin(self) -> Mapping[Origin, Raw]:
        """Return the forecasts by origin."""
        return dict(zip(self.origins, self.raws, strict=True))


def choose(panel: Sequence[Series], *, h: int, most: int, seed: int) -> tuple[Origin, ...]:
    """Return the past origins of at most `most` series: the same order for every model, so that few are part of many.

    Origins lie a third of the horizon apart and never a whole season, so that a calendar effect does not sit at the
    same step of each. A short series gives fewer of them, of fewer steps.
    """
    order = np.random.default_rng(seed).permutation(len(panel))[:most]
    count = int(np.clip(-(-24 // max(1, len(panel))), ORIGINS, MOST_ORIGINS))
    found: list[Origin] = []
    for place in order:
        series = panel[place]
        season = series.step.season_length
        size = len(series.filled)
        stride = max(1, -(-h // 3))
        stride += 1 if season > 1 and stride % season == 0 else 0
        least = 2 * season + 4 if size >= 2 * season + 4 + max(1, h // 2) else max(4, size // 2)
        first = size - min(h, max(1, size - least))
        found += [Origin(int(place), first - k * stride) for k in range(count) if first - k * stride >= least]
    return tuple(found)


def floor(raw: Raw, y: Array, season_length: int) -> Raw:
    """Return the forecast with a spread of no less than a tenth of the series' own seasonal scale."""
    least = 0.1 * scale(y, season_length)
    spread = np.where(np.isfinite(raw.spread), raw.spread, least)
    return Raw(center=raw.center, spread=np.maximum(spread, least), used=raw.used, warning=raw.warning)


def residuals(panel: Sequence[Series], held: Held, *, h: int) -> Array:
    """Return the scaled residuals (origins × h) of what was held out, NaN where no value was observed."""
    table = np.full((len(held.origins), h), np.nan)
    for row, (at, raw) in enumerate(zip(held.origins, held.raws, strict=True)):
        actual = panel[at.place].y[at.size : at.size + h]
        spread = raw.spread[: len(actual)]
        with np.errstate(invalid='ignore', divide='ignore'):
            table[row, : len(actual)] = np.where(spread > 0, (actual - raw.center[: len(actual)]) / spread, np.nan)
    return table


def shape(table: Array, quantiles: Sequence[float], *, h: int) -> Array:
    """Return how many spreads each quantile lies from the centre (h × quantiles), learnt from scaled residuals."""
    normal = np.array([NormalDist().inv_cdf(q) for q in quantiles])
    windows = int(np.isfinite(table).any(axis=1).sum())
    if windows == 0:
        return np.tile(normal * UNMEASURED, (h, 1))
    if windows < ENOUGH_WINDOWS:
        growth = _growth(table, windows)
        return np.outer(growth, normal * _widening(table / growth, quantiles, windows))
    found = np.zeros((h, len(quantiles)))
    known = np.flatnonzero(np.isfinite(table).sum(axis=0) >= ENOUGH_WINDOWS // 2)
    if len(known) == 0:
        known = np.flatnonzero(np.isfinite(table).any(axis=0))
    for block in np.array_split(known, min(len(known), BLOCKS)):
        values = table[:, block]
        values = values[np.isfinite(values)]
        found[block] = _spread_out(values, quantiles)
    found[known[-1] + 1 :] = found[known[-1]]
    return found


def apply(raw: Raw, factors: Array) -> Array:
    """Return the quantiles (h × quantiles) of a forecast, never crossing."""
    return np.asarray(np.sort(raw.center[:, None] + raw.spread[:, None] * factors, axis=1))


def _spread_out(values: Array, quantiles: Sequence[float]) -> Array:
    """Return quantiles of residuals about their median, a finite-sample step further out than the sample's own."""
    count = len(values)
    levels = [min(1.0, max(0.0, 0.5 + (q - 0.5) * (1 + 1 / count))) for q in quantiles]
    found: Array = np.quantile(values, levels) - np.median(values)
    return found


def _growth(table: Array, windows: int) -> Array:
    """Return how residuals grow along the horizon (h), about 1: by thirds, never falling, leaning towards none."""
    h = table.shape[1]
    parts = np.array_split(np.arange(h), min(3, h))
    sizes = [np.abs(table[:, part][np.isfinite(table[:, part])]) for part in parts]
    whole = float(np.median(np.concatenate(sizes)))
    if whole <= 0 or any(len(part) < 2 for part in sizes):
        return np.ones(h)
    measured = np.clip([np.median(part) / whole for part in sizes], 0.25, 4.0) ** (windows / (windows + 4))
    middles = [float(part.mean()) for part in parts]
    return np.asarray(np.interp(np.arange(h), middles, np.maximum.accumulate(measured)))


def _widening(table: Array, quantiles: Sequence[float], windows: int) -> Array:
    """Return a factor for each quantile of the normal shape, from the absolute residuals of few windows.

    Few windows say little: the factor leans towards UNMEASURED by the weight of four windows.
    """
    values = np.abs(table[np.isfinite(table)])
    weight = windows / (windows + 4)
    factors = []
    for q in quantiles:
        level = abs(2 * q - 1)
        if level < 1e-9:
            factors.append(1.0)
            continue
        measured = np.quantile(values, min(1.0, level * (1 + 1 / len(values)))) / NormalDist().inv_cdf(0.5 + level / 2)
        factors.append(float(max(0.5, measured) ** weight * UNMEASURED ** (1 - weight)))
    return np.array(factors)
