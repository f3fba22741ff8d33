"""Lines for a screen: every value where few lie in the range, else those that MinMaxLTTB chooses.

A range that holds at most two values a pixel is answered by the values. Otherwise the least and the greatest value of
each bucket are taken, from the coarsest level of the pyramid whose buckets are no wider than a pixel or from the rows,
and LTTB chooses among them. Pyramid buckets that the range cuts are read from the rows, so nothing outside it is
counted. The least and the greatest value of the range are always among the points.

Sources: S. Steinarsson, Downsampling Time Series for Visual Representation (2013); J. Van Der Donckt et al.,
MinMaxLTTB: Leveraging MinMax-Preselection to Scale LTTB for Time Series Visualization (2023).
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np

from core.analysis.arrays import Floats, Ints
from core.analysis.query.gaps import interruption
from core.analysis.query.pieces import EARLIEST, LATEST, Buckets, Level, Line, Rows
from core.analysis.query.stored import Stored

A_PIXEL: Final = 2
PRESELECTED: Final = 2
MOST_ROWS: Final = 400_000
Values = tuple[Ints, Floats]  # sorted times in µs, and finite values
NO_VALUES: Final[Values] = (np.empty(0, np.int64), np.empty(0))


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
    with stored.pyramid.file.open() if any(levels.values()) else nullcontext():
        for measure in measures:
            one, level = known[measure], levels.get(measure)
            if one is None:
                t, v = there(whole.rows(EARLIEST, LATEST), measure)
                inside = slice(np.searchsorted(t, view.start), np.searchsorted(t, view.end, side='right'))
                found.append(_of_values(t[inside], v[inside], view, gap=interruption(t)))
            elif level is None:
                found.append(_of_range(whole, measure, view, gap=one.gap))
            else:
                start, buckets = stored.pyramid.level(level, start=view.start, end=view.end, totals=False)
                if buckets.n.sum() <= A_PIXEL * view.width:
                    found.append(_of_range(edges, measure, view, gap=one.gap))
                else:
                    found.append(_of_parts(*_cut(edges, level, start, buckets, measure, view), view, gap=one.gap))
    return found


def within(stored: Stored, known: Line, measure: str, series: str, view: View) -> Buckets:
    """Return what a range holds of a line: values, or buckets no wider than a pixel when there are many."""
    together, level = _Together(stored, series, [measure]), _level(known, view)
    if level is None:
        return together.values(measure, view)
    start, buckets = stored.pyramid.level(level, start=view.start, end=view.end)
    if buckets.n.sum() <= A_PIXEL * view.width:
        return together.values(measure, view)
    return _joined(*_cut(together, level, start, buckets, measure, view))


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

    def few(self, view: View) -> bool:
        """Whether the rows of a range are read at once."""
        start, end = view.start, view.end
        return (start, end) in self._read or (
            self.stored.size(self.series, start=start, end=end, wanted=self._measures) <= MOST_ROWS
        )

    def values(self, measure: str, view: View) -> Buckets:
        """Return the finite values of a range; buckets half a pixel wide when there are very many rows."""
        if self.few(view):
            return finite(self.rows(view.start, view.end), measure)
        found, rows = [], 0
        for piece in self.stored.pieces(self.series, [measure], start=view.start, end=view.end):
            found.append(finite(piece, measure))
            rows += len(piece.t)
            if rows > MOST_ROWS:
                found = [folded(Buckets.join(found), view)]
        return Buckets.join(found)


def of_level(stored: Stored, level: Level, measure: str, series: str, view: View) -> Buckets:
    """Return what a range holds of a line by one level, and by rows where the range cuts a bucket."""
    start, buckets = stored.pyramid.level(level, start=view.start, end=view.end)
    return _joined(*_cut(_Together(stored, series, [measure]), level, start, buckets, measure, view))


def _cut(
    together: _Together, level: Level, start: Ints, buckets: Buckets, measure: str, view: View
) -> tuple[Values, Buckets, Values]:
    """Return the buckets of a level, with rows before and after them in the place of those that the range cuts.

    They are apart, in order, and each overlaps the range: it cuts none but the first and the last.
    """

    def values(place: int) -> Values:
        begin = int(start[place])
        return there(together.rows(max(begin, view.start), min(begin + level.width - 1, view.end)), measure)

    before = after = NO_VALUES
    low, high = 0, len(buckets.n)
    if high and buckets.first[0] < view.start:
        before, low = values(0), 1
    if high > low and buckets.last[-1] > view.end:
        after, high = values(-1), high - 1
    return before, buckets.where(slice(low, high)), after


def _joined(before: Values, buckets: Buckets, after: Values) -> Buckets:
    return Buckets.join([Buckets.of(*before), buckets, Buckets.of(*after)])


def there(rows: Rows, measure: str) -> Values:
    """Return the values of a measure that are there."""
    v = rows.columns[measure]
    known = ~np.isnan(v)
    return (rows.t, v) if known.all() else (rows.t[known], v[known])


def finite(rows: Rows, measure: str) -> Buckets:
    """Return the values of a measure that are there, each as a bucket."""
    return Buckets.of(*there(rows, measure))


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
    t, v = t[places], v[places]
    kept = np.zeros(len(places), bool)
    kept[_lttb(t, v, count)] = True
    kept[[v.argmin(), v.argmax()]] = True
    return places[kept]


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
        t, y = interrupted(buckets.first, buckets.total, gaps=_gaps(buckets.first, buckets.last, gap, 0))
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
    return _of_parts(NO_VALUES, buckets, NO_VALUES, view, gap=gap)


def _of_range(together: _Together, measure: str, view: View, *, gap: int) -> Drawn:
    """Return the points of a range by its rows."""
    if together.few(view):
        return _of_values(*there(together.rows(view.start, view.end), measure), view, gap=gap)
    return chosen(together.values(measure, view), view, gap=gap)


def _of_values(t: Ints, v: Floats, view: View, *, gap: int) -> Drawn:
    return _drawn(t, v, t, t, len(t), view, gap=gap)


def _of_parts(before: Values, buckets: Buckets, after: Values, view: View, *, gap: int) -> Drawn:
    """Return the points of buckets and of the values before and after them."""
    n = len(before[0]) + int(buckets.n.sum()) + len(after[0])
    t, v = (np.concatenate(columns) for columns in zip(before, _candidates(buckets), after, strict=True))
    first, last = (np.concatenate([before[0], one, after[0]]) for one in (buckets.first, buckets.last))
    return _drawn(t, v, first, last, n, view, gap=gap)


def _drawn(t: Ints, v: Floats, first: Ints, last: Ints, n: int, view: View, *, gap: int) -> Drawn:
    """Return the points of candidates, which stand for `n` values in buckets from `first` to `last`."""
    exact = n == len(first) and n <= A_PIXEL * view.width
    gaps = _gaps(first, last, gap, 0 if exact else int(view.pixel))
    if not exact:
        places = reduced(t, v, A_PIXEL * view.width)
        t, v = t[places], v[places]
    t_drawn, y_drawn = interrupted(t, v, gaps=gaps)
    return Drawn(t=t_drawn, y=y_drawn, n=n, exact=exact)


def _gaps(first: Ints, last: Ints, gap: int, least: int) -> list[tuple[int, int]]:
    if not gap:
        return []
    wide = np.flatnonzero(first[1:] - last[:-1] > max(gap, least))
    return list(zip(last[wide].tolist(), first[wide + 1].tolist(), strict=True))


def _candidates(buckets: Buckets) -> Values:
    """Return the extremes of buckets in order of time, once where both are the same value."""
    if buckets.plain:
        return buckets.first, buckets.low
    swapped = buckets.low_at > buckets.high_at
    t, v = np.empty((len(swapped), 2), np.int64), np.empty((len(swapped), 2))
    np.minimum(buckets.low_at, buckets.high_at, out=t[:, 0])
    np.maximum(buckets.low_at, buckets.high_at, out=t[:, 1])
    v[:, 0] = np.where(swapped, buckets.high, buckets.low)
    v[:, 1] = np.where(swapped, buckets.low, buckets.high)
    same = (t[:, 0] == t[:, 1]) & (v[:, 0] == v[:, 1])
    if not same.any():
        return t.ravel(), v.ravel()
    several = np.stack([np.ones(len(same), bool), ~same], axis=1)
    return t[several], v[several]


def _preselected(v: Floats, bins: int) -> Ints:
    """Return the places of the least and the greatest value in each of `bins` runs of about equally many, in order.

    The first and the last value are among them.
    """
    if len(v) <= 2 * bins:
        return np.arange(len(v))
    places = np.empty(2 * bins + 2, np.int64)
    # The sums of the lengths of runs are rounded, so that the last one may end before the last value.
    places[0], places[1:-1], places[-1] = 0, _downsampler('MinMax').downsample_f64(v, 2 * bins), len(v) - 1
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
    return np.asarray(_downsampler('LTTB').downsample_i64_f64(t, scaled, count)).astype(np.int64)


@cache
def _downsampler(name: str) -> Any:
    """The compiled functions of a downsampler, called as they are: we know of what type our numbers are."""
    import tsdownsample

    return getattr(tsdownsample, f'{name}Downsampler')().mod_single_core
