"""How values are spread: histograms and boxes, of values or, when there are very many, of summaries of them.

A summary knows how many values it stands for, the least, their mean and the greatest. Its values are taken to lie
evenly below and evenly above the mean, in the proportion that makes it their mean. So numbers, extremes and means are
those of the values; what lies between them is near: an outlier moves none of its neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.analysis.arrays import Floats, Ints
from core.analysis.query.pieces import Buckets

WHISKER: Final = 1.5
FINE: Final = 20_000
EVEN: Final = 100  # whole numbers in a bin, from which on one more or less makes no difference
MOST_HALVES: Final = 2.0**51  # above it there is nothing half-way between whole numbers
SOME: Final = 1000  # values that mostly tell whether all are whole


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
    """Return the edges of equally wide bins and how many values lie in each; every value is in one.

    There are fewer than `bins` where values are whole: each bin then holds equally many of them, around its middle.
    """
    return counted([np.sort(v)], bins)


def counted(ordered: Sequence[Floats], bins: int) -> tuple[Floats, Ints]:
    """Return the histogram of several runs of values, each of which is in order: only edges are looked for in them."""
    known = [v for v in ordered if len(v)]
    if not known:
        return np.empty(0), np.empty(0, np.int64)
    low, high = float(min(v[0] for v in known)), float(max(v[-1] for v in known))
    n = sum(map(len, known))
    if low == high:
        return np.array([low, high]), np.array([n])
    whole = high - low < EVEN * bins and max(-low, high) < MOST_HALVES and all(_is_whole(v) for v in known)
    edges = _around(low, high, bins) if whole else _edges(low, high, bins)
    below = sum(v.searchsorted(edges[1:-1]) for v in known)
    return edges, np.diff(below, prepend=0, append=n)


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


def spread_histogram(summaries: Buckets, bins: int) -> tuple[Floats, Ints]:
    """Return about what `histogram` returns for the values behind summaries; the counts add up to their number."""
    low, high = float(summaries.low.min()), float(summaries.high.max())
    if low == high:
        return np.array([low, high]), np.array([summaries.n.sum()], dtype=np.int64)
    fine = -(-FINE // bins) * bins
    below = _below(summaries, low, high, fine)[:: fine // bins]
    counts: Ints = np.diff(np.rint(below)).astype(np.int64)
    return _edges(low, high, bins), counts


def spread_box(summaries: Buckets) -> Box:
    """Return about what `box` returns for the values behind summaries; number, mean and extremes are exact."""
    low, high, n = float(summaries.low.min()), float(summaries.high.max()), int(summaries.n.sum())
    edges = _edges(low, high, FINE)
    below = _below(summaries, low, high, FINE) if low < high else np.linspace(0, n, FINE + 1)
    lower, median, upper = (float(one) for one in np.interp(np.array([0.25, 0.5, 0.75]) * n, below, edges))
    reach = WHISKER * (upper - lower)
    whiskers = max(low, lower - reach), min(high, upper + reach)
    outside = n - float(np.diff(np.interp(whiskers, edges, below))[0]) if low < high else 0
    with np.errstate(over='ignore', invalid='ignore'):
        mean = float(summaries.total.sum() / n)
    return Box(
        n=n,
        least=low,
        whisker_low=whiskers[0],
        lower=lower,
        median=median,
        upper=upper,
        whisker_high=whiskers[1],
        greatest=high,
        mean=mean if np.isfinite(mean) else np.nan,
        outside=max(0, round(outside)),
    )


def _is_whole(v: Floats) -> bool:
    return all(bool((some == np.floor(some)).all()) for some in (v[:SOME], v))


def _around(low: float, high: float, bins: int) -> Floats:
    """Return edges that lie half-way between whole numbers."""
    values = high - low + 1
    width = np.ceil(values / bins)
    edges: Floats = low - 0.5 + width * np.arange(np.ceil(values / width) + 1)
    return edges


def _edges(low: float, high: float, bins: int) -> Floats:
    shares = np.arange(bins + 1) / bins
    edges: Floats = low / 2 * (2 - 2 * shares) + high * shares
    edges[-1] = high
    return edges


def _below(summaries: Buckets, low: float, high: float, bins: int) -> Floats:
    """Return how many values lie below each edge of `bins` equal bins between the extremes.

    In units of a bin, what lies evenly from a to b rises from a on and no more from b on, by a slope: the slopes that
    begin in a bin, and those times where they begin, are summed once for all edges after it.
    """
    with np.errstate(over='ignore', invalid='ignore'):
        scale = bins / (high - low)
        mean = np.clip(np.nan_to_num(summaries.total / summaries.n), summaries.low, summaries.high)
        least, middle, most = ((one - low) * scale for one in (summaries.low, mean, summaries.high))
    wide = np.maximum(most - least, 1e-300)
    share = np.where(most > least, (most - middle) / wide, 1.0)
    begin, end = np.concatenate([least, middle]), np.concatenate([middle, most])
    mass = np.concatenate([share, 1 - share]) * np.tile(summaries.n, 2)
    point = end - begin < 0.5
    there = np.minimum(((begin[point] + end[point]) / 2).astype(np.int64), bins - 1)
    below = np.concatenate([[0.0], np.cumsum(np.bincount(there, mass[point], bins))])
    begin, end, mass = begin[~point], end[~point], mass[~point]
    slope, edges = mass / (end - begin), np.arange(bins + 1)
    for at, sign in ((begin, 1), (end, -1)):
        place = np.minimum(at.astype(np.int64), bins - 1)
        slopes, moments = (np.cumsum(np.bincount(place, weight, bins)) for weight in (slope, slope * at))
        below[1:] += sign * (edges[1:] * slopes - moments)
    # Rounding must not let it fall.
    return np.maximum.accumulate(np.clip(below, 0, float(summaries.n.sum())))
