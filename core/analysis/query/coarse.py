"""Figures of wide buckets from the pyramid: rows are read only where an edge cuts a bucket of its finest level.

The coarsest level goes first. Its buckets that lie wholly in one of the wanted ones count as they are; those that an
edge cuts are told by the next finer level, and at last by the rows. So the figures are those of all values.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.analysis.query.points import finite
from core.analysis.query.stored import Floats, Ints, Level, Line, Stored

AGGREGATES: Final = ('mean', 'sum', 'min', 'max', 'count')
A_READING: Final = 4096  # rows whose reading takes as long as it takes to begin one
FIGURE: Final = {'mean': 'total', 'sum': 'total', 'min': 'low', 'max': 'high', 'count': 'total'}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gathered:
    """In which wanted bucket parts of a line lie (`place`), how many values each has, and what they amount to."""

    place: Ints
    n: Ints
    value: Floats


def gathered(
    stored: Stored,
    measure: str,
    series: str,
    place: Callable[[Ints], Ints],
    *,
    start: int,
    end: int,
    length: int,
    aggregation: str,
) -> Gathered | None:
    """Return a line from start to end (µs, both included) in parts that lie in one bucket each.

    `place` numbers the buckets of sorted times so that equal numbers of two times mean that all between are in it;
    `length` is about how long the buckets are in µs. None when the pyramid does not know the line or when there are so
    many edges that reading all rows is cheaper.
    """
    known = stored.line(measure, series)
    if known is None:
        return None
    figure, parts = FIGURE[aggregation], []
    levels = sorted((level for level in known.levels if level.width <= length), key=lambda one: -one.width)
    if not levels:
        return None
    cut, width = np.array([start]), end - start + 1
    for level in levels:
        told = stored.figures(level, ('start', 'n', 'first', 'last', figure), start=start, end=end)
        if level is not levels[0]:
            before = np.searchsorted(cut, told['start'], side='right') - 1
            inside = (before >= 0) & (told['start'] < cut[before] + width)
            told = {name: column[inside] for name, column in told.items()}
        places = place(told['first'])
        whole = (places == place(told['last'])) & (told['first'] >= start) & (told['last'] <= end)
        parts.append(Gathered(place=places[whole], n=told['n'][whole], value=told[figure][whole]))
        cut, width = told['start'][~whole], level.width
        if not len(cut):
            break
    if len(cut) and len(cut) * A_READING > stored.size(series, start=start, end=end):
        return None
    for begin in cut.tolist():
        rows = stored.rows(series, [measure], start=max(begin, start), end=min(begin + width - 1, end))
        values = finite(rows, measure)
        parts.append(Gathered(place=place(values.first), n=values.n, value=values.total))
    return joined(parts)


def joined(parts: Sequence[Gathered]) -> Gathered:
    """Return several parts as one."""
    return Gathered(
        place=np.concatenate([part.place for part in parts]),
        n=np.concatenate([part.n for part in parts]),
        value=np.concatenate([part.value for part in parts]),
    )


def folded(parts: Gathered, count: int, aggregation: str) -> tuple[Ints, Floats]:
    """Return how many values lie in each of `count` buckets, and their figure, NaN where there is none."""
    n = np.bincount(parts.place, parts.n, count).astype(np.int64)
    if aggregation == 'count':
        return n, n.astype(np.float64)
    if aggregation in ('min', 'max'):
        value = np.full(count, np.inf if aggregation == 'min' else -np.inf)
        (np.minimum if aggregation == 'min' else np.maximum).at(value, parts.place, parts.value)
    else:
        with np.errstate(over='ignore', invalid='ignore'):
            value = np.bincount(parts.place, parts.value, count)
            value = value / np.maximum(n, 1) if aggregation == 'mean' else value
    return n, np.where((n > 0) & np.isfinite(value), value, np.nan)


def finest(known: Line, most: int) -> Level:
    """Return the finest level of a line that has at most `most` buckets, else its coarsest."""
    fitting = [level for level in known.levels if level.size <= most]
    return min(fitting, key=lambda one: one.width) if fitting else max(known.levels, key=lambda one: one.width)
