"""Lines for a screen: every value where few lie in the range, else those that MinMaxLTTB chooses.

A range that holds at most two values a pixel is answered by the values. Otherwise the least and the greatest value of
each bucket are taken, from the coarsest level of the pyramid whose buckets are no wider than a pixel or from the rows,
and LTTB chooses among them. Pyramid buckets that the range cuts are read from the rows, so nothing outside it is
counted. The least and the greatest value of the range are always among the points.

Sources: S. Steinarsson, Downsampling Time Series for Visual Representation (2013); J. Van Der Donckt et al.,
MinMaxLTTB: Leveraging MinMax-Preselection to Scale LTTB for Time Series Visualization (2023).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np

from core.analysis.query.arrays import Floats, Ints
from core.analysis.query.gaps import interruption
from core.analysis.query.pieces import EARLIEST, LATEST, Buckets, Level, Line, Rows
from core.analysis.query.stored import Stored

A_PIXEL: Final = 2
PRESELECTED: Final = 2
MOST_ROWS: Final = 400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A range in µs, both ends included, on `width` pixels."""

    start: int
    end: int
    width: int

    @property
    def pixel(self) -> float:
        """How many µs a pixel is wide."""
        return (self.end - self.start + 1) / self.width


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """Points of one line: times in µs and values, NaN where it is interrupted; `n` values stand behind them.

    `exact` says that every value is a point.
    """

    t: Floats
    y: Floats
    n: int
    exact: bool


def lines(stored: Stored, measures: Sequence[str], series: str, view: View) -> list[Drawn]:
    """Return the points of measures of a series."""
    known = {measure: stored.pyramid.line(measure, series) for measure in measures}
    levels = {measure: _level(one, view) for measure, one in known.items() if one is not None}
    # Columns that are read together are read faster: those of whole ranges, and those of what a bucket is cut to.
    whole = _Together(stored, series, [measure for measure in measures if levels.get(measure) is None])
    edges = _Together(stored, series, [measure for measure in measures if levels.get(measure) is not None])
    found = []
    for measure in measures:
        one, together = known[measure], edges if levels.get(measure) is not None else whole
        if one is None:
            rows = finite(together.rows(EARLIEST, LATEST), measure)
            t = rows.first
            inside = slice(np.searchsorted(t, view.start), np.searchsorted(t, view.end, side='right'))
            found.append(chosen(rows.where(inside), view, gap=interruption(t)))
        else:
            found.append(chosen(_within(together, one, measure, view, totals=False), view, gap=one.gap))
    return found


def within(stored: Stored, known: Line, measure: str, series: str, view: View) -> Buckets:
    """Return what a range holds of a line: values, or buckets no wider than a pixel when there are many."""
    return _within(_Together(stored, series, [measure]), known, measure, view, totals=True)


class _Together:
    """Reads measures of a series that are wanted for the same ranges, each range once."""

    def __init__(self, stored: Stored, series: str, measures: Sequence[str]) -> None:
        self.stored, self.series, self._measures = stored, series, list(measures)
        self._read: dict[tuple[int, int], Rows] = {}

    def rows(self, start: int, end: int) -> Rows:
        """Return the rows from start to end (µs, both included)."""
        if (start, end) not in self._read:
            self._read[start, end] = self.stored.rows(self.series, self._measures, start=start, end=end)
        return self._read[start, end]

    def values(self, measure: str, view: View) -> Buckets:
        """Return the finite values of a range; buckets half a pixel wide when there are very many rows."""
        start, end = view.start, view.end
        if (start, end) in self._read or (
            self.stored.size(self.series, start=start, end=end, wanted=self._measures) <= MOST_ROWS
        ):
            return finite(self.rows(start, end), measure)
        found, rows = [], 0
        for piece in self.stored.pieces(self.series, [measure], start=view.start, end=view.end):
            found.append(finite(piece, measure))
            rows += len(piece.t)
            if rows > MOST_ROWS:
                found = [folded(Buckets.join(found), view)]
        return Buckets.join(found)


def _within(together: _Together, known: Line, measure: str, view: View, *, totals: bool) -> Buckets:
    level = _level(known, view)
    if level is None:
        return together.values(measure, view)
    start, buckets = together.stored.pyramid.level(level, start=view.start, end=view.end, totals=totals)
    if buckets.n.sum() <= A_PIXEL * view.width:
        return together.values(measure, view)
    return _uncut(together, level, start, buckets, measure, view)


def of_level(stored: Stored, level: Level, measure: str, series: str, view: View) -> Buckets:
    """Return what a range holds of a line by one level, and by rows where the range cuts a bucket."""
    start, buckets = stored.pyramid.level(level, start=view.start, end=view.end)
    return _uncut(_Together(stored, series, [measure]), level, start, buckets, measure, view)


def _uncut(together: _Together, level: Level, start: Ints, buckets: Buckets, measure: str, view: View) -> Buckets:
    """Return the buckets of a level with rows in the place of those that the range cuts."""
    cut = (buckets.first < view.start) | (buckets.last > view.end)
    if not cut.any():
        return buckets
    parts, done = [], 0
    for place in np.flatnonzero(cut).tolist():
        begin = int(start[place])
        parts.append(buckets.where(slice(done, place)))
        edge = together.rows(max(begin, view.start), min(begin + level.width - 1, view.end))
        parts.append(finite(edge, measure))
        done = place + 1
    return Buckets.join([*parts, buckets.where(slice(done, None))])


def finite(rows: Rows, measure: str) -> Buckets:
    """Return the values of a measure that are there, each as a bucket."""
    v = rows.columns[measure]
    there = ~np.isnan(v)
    return Buckets.of(rows.t, v) if there.all() else Buckets.of(rows.t[there], v[there])


def folded(buckets: Buckets, view: View) -> Buckets:
    """Return buckets half a pixel wide of those in order of time."""
    half = max(1, int(view.pixel / 2))
    column = (buckets.first - view.start) // half
    begins = np.flatnonzero(np.diff(column, prepend=column[:1] - 1))
    if len(begins) == len(column):
        return buckets
    low, high = extremes(buckets.low, begins, np.less), extremes(buckets.high, begins, np.greater)
    return Buckets(
        buckets.first[begins],
        buckets.last[np.append(begins[1:], len(column)) - 1],
        np.add.reduceat(buckets.n, begins),
        np.add.reduceat(buckets.total, begins),
        buckets.low[low],
        buckets.low_at[low],
        buckets.high[high],
        buckets.high_at[high],
    )


def extremes(v: Floats, begins: Ints, better: np.ufunc) -> Ints:
    """Return where each run of values that starts at `begins` has its least (`np.less`) or greatest, the first one."""
    best = (np.minimum if better is np.less else np.maximum).reduceat(v, begins)
    run = np.repeat(np.arange(len(begins)), np.diff(begins, append=len(v)))
    hits = np.flatnonzero(v == best[run])
    places: Ints = hits[np.searchsorted(run[hits], np.arange(len(begins)))]
    return places


def reduced(t: Ints, v: Floats, count: int) -> Ints:
    """Return the places of about `count` of the points that MinMaxLTTB chooses, both extremes among them.

    `t` is sorted, `v` finite.
    """
    if len(t) <= count:
        return np.arange(len(t))
    places = _preselected(v, count * PRESELECTED // 2)
    chosen = places[_lttb(t[places], v[places], count)]
    return _sorted(np.append(chosen, [int(np.argmin(v)), int(np.argmax(v))]))


def interrupted(t: Ints, y: Floats, *, gaps: Sequence[tuple[int, int]]) -> tuple[Floats, Floats]:
    """Return points with a NaN in the middle of each gap (µs)."""
    if not gaps:
        return t.astype(np.float64), y
    begin, end = np.array(gaps, dtype=np.float64).T
    places = np.searchsorted(t, begin, side='right')
    return np.insert(t.astype(np.float64), places, (begin + end) / 2), np.insert(y, places, np.nan)


def envelope(buckets: Buckets, view: View, *, gap: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return times, means, least and greatest values of one bucket a pixel, NaN where a gap leaves pixels empty."""
    if buckets.plain and len(buckets.n) <= A_PIXEL * view.width:
        t, y = interrupted(buckets.first, buckets.total, gaps=_gaps(buckets, gap, 0.0))
        return t, y, y, y
    middle = buckets.first + (buckets.last - buckets.first) // 2
    column = ((middle - view.start) / view.pixel).astype(np.int64)
    begins = np.flatnonzero(np.diff(column, prepend=column[:1] - 1))
    low = buckets.low[extremes(buckets.low, begins, np.less)]
    high = buckets.high[extremes(buckets.high, begins, np.greater)]
    with np.errstate(over='ignore', invalid='ignore'):
        mean = np.add.reduceat(buckets.total, begins) / np.add.reduceat(buckets.n, begins)
    mean = np.clip(np.where(np.isfinite(mean), mean, low / 2 + high / 2), low, high)
    used = column[begins]
    broken = np.flatnonzero(buckets.first[1:] - buckets.last[:-1] > gap)
    broken = broken[column[broken + 1] - column[broken] > 1]
    places = np.searchsorted(used, column[broken + 1])
    t, before, after = (
        np.minimum(view.start + (one + 0.5) * view.pixel, view.end)
        for one in (used, column[broken], column[broken + 1])
    )
    mean, low, high = (np.insert(one, places, np.nan) for one in (mean, low, high))
    return np.insert(t, places, (before + after) / 2), mean, low, high


def _level(known: Line, view: View) -> Level | None:
    """Return the coarsest level whose buckets are no wider than a pixel, None when a pixel is finer than all."""
    return max((level for level in known.levels if level.width <= view.pixel), key=lambda one: one.width, default=None)


def chosen(buckets: Buckets, view: View, *, gap: int) -> Drawn:
    """Return the points of what a range holds of a line, whose totals do not matter."""
    n = int(buckets.n.sum())
    exact = n == len(buckets.n) and n <= A_PIXEL * view.width
    if exact:
        t, y, least = buckets.first, buckets.low, 0.0
    else:
        t, y = _candidates(buckets)
        places = reduced(t, y, A_PIXEL * view.width)
        t, y, least = t[places], y[places], view.pixel
    t_drawn, y_drawn = interrupted(t, y, gaps=_gaps(buckets, gap, least))
    return Drawn(t=t_drawn, y=y_drawn, n=n, exact=exact)


def _gaps(buckets: Buckets, gap: int, least: float) -> list[tuple[int, int]]:
    if not gap or len(buckets.n) < 2:
        return []
    steps = buckets.first[1:] - buckets.last[:-1]
    wide = np.flatnonzero((steps > gap) & (steps > least))
    return list(zip(buckets.last[wide].tolist(), buckets.first[wide + 1].tolist(), strict=True))


def _candidates(buckets: Buckets) -> tuple[Ints, Floats]:
    """Return the extremes of buckets in order of time, once where both are the same value."""
    if buckets.plain:
        return buckets.first, buckets.low
    swapped = buckets.low_at > buckets.high_at
    t = np.stack(
        [np.where(swapped, buckets.high_at, buckets.low_at), np.where(swapped, buckets.low_at, buckets.high_at)]
    )
    v = np.stack([np.where(swapped, buckets.high, buckets.low), np.where(swapped, buckets.low, buckets.high)])
    several = np.ones(v.shape, bool)
    several[1] = (t[0] != t[1]) | (v[0] != v[1])
    return t.T[several.T], v.T[several.T]


def _preselected(v: Floats, bins: int) -> Ints:
    """Return the places of the least and the greatest value in each of `bins` runs of equally many, in order.

    Their lengths differ by one value at most.
    """
    if len(v) <= 2 * bins:
        return np.arange(len(v))
    size, more = divmod(len(v), bins)
    places: list[Any] = [[0, len(v) - 1]]
    # The first runs take one value more each, so that the last of them is as short as all others.
    for begin, end, each in ((0, more * (size + 1), size + 1), (more * (size + 1), len(v), size)):
        runs = v[begin:end].reshape(-1, each)
        offset = begin + np.arange(len(runs)) * each
        places += [offset + runs.argmin(axis=1), offset + runs.argmax(axis=1)]
    return _sorted(np.concatenate(places).astype(np.int64))


def _sorted(places: Ints) -> Ints:
    """Return places in order, each once; on runs that are nearly sorted this beats hashing them."""
    places = np.sort(places, kind='stable')
    once: Ints = places[np.diff(places, prepend=-1) > 0]
    return once


def _lttb(t: Ints, v: Floats, count: int) -> Ints:
    """Return the places of `count` points by largest triangles; the first and the last point are among them.

    The mean of a bucket lies at the middle of its times, which are those of Steinarsson's where points are regular.
    """
    if count < 3:
        return np.array([0, len(t) - 1])
    # Areas are products: greater numbers would be infinite, and all triangles alike.
    scaled = v / max(1.0, float(np.abs(v).max()))
    return np.asarray(_downsampler().downsample(t, scaled, n_out=count)).astype(np.int64)


@cache
def _downsampler() -> Any:
    """LTTB that does not look by regular expressions, each time, whether our numbers are numbers."""
    from tsdownsample import LTTBDownsampler

    made = LTTBDownsampler()
    made.x_dtype_regex_list = made.y_dtype_regex_list = None
    return made
