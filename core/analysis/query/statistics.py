"""How values are spread: histograms and boxes."""

from dataclasses import dataclass

import numpy as np

from core.analysis.query.stored import Floats, Ints

WHISKER = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Quartiles, whiskers at the last values within 1.5 interquartile ranges, mean, and how many values lie outside."""

    n: int
    least: float
    whisker_low: float
    lower: float
    median: float
    upper: float
    whisker_high: float
    greatest: float
    mean: float
    outside: int


def histogram(v: Floats, bins: int) -> tuple[Floats, Ints]:
    """Return the edges of equally wide bins and how many values lie in each; every value is in one."""
    if not len(v):
        return np.empty(0), np.empty(0, np.int64)
    low, high = float(v.min()), float(v.max())
    if low == high:
        return np.array([low, high]), np.array([len(v)])
    edges = low / 2 * (2 - 2 * np.arange(bins + 1) / bins) + high * (np.arange(bins + 1) / bins)
    edges[-1] = high
    places = np.clip(np.searchsorted(edges, v, side='right') - 1, 0, bins - 1)
    return edges, np.bincount(places, minlength=bins)


def box(v: Floats) -> Box | None:
    """Return the box of values (Tukey 1977), None when there are none."""
    if not len(v):
        return None
    least, lower, median, upper, greatest = (float(one) for one in np.quantile(v, [0, 0.25, 0.5, 0.75, 1]))
    reach = WHISKER * (upper - lower)
    inside = v[(v >= lower - reach) & (v <= upper + reach)]
    return Box(
        n=len(v),
        least=least,
        whisker_low=float(inside.min()),
        lower=lower,
        median=median,
        upper=upper,
        whisker_high=float(inside.max()),
        greatest=greatest,
        mean=float(v.mean()),
        outside=len(v) - len(inside),
    )
