"""Figures of wide buckets from the pyramid: rows are read only where an edge cuts a bucket of its finest level.

The coarsest level goes first. Its buckets that lie wholly in one of the wanted ones count as they are; those that an
edge cuts are told by the next finer level, and at last by the rows. So the figures are those of all values.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from core.analysis.arrays import Floats, Ints
from core.analysis.query.pieces import Buckets, Level, Line
from core.analysis.query.points import finite
from core.analysis.query.stored import Stored

AGGREGATES: Final = ('mean', 'sum', 'min', 'max', 'count')
A_READING: Final = 4096  # rows whose reading takes as long as it takes to begin one
FIGURE: Final = {'mean': 'total', 'sum': 'total', 'min': 'low', 'max': 'high', 'count': 'total'}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gathered:
    """In which wanted bucket of which line parts of lines lie, how many values each has, and what they amount to."""

    line: Ints
    place: Ints
    n: Ints
    value: Floats

    def where(self, choice: Any) -> 'Gathered':
        """Those parts that are chosen."""
        return Gathered(**{field.name: getattr(self, field.name)[choice] for field in fields(self)})


def gathered(
    stored: Stored,
    measure: str,
    labels: Sequence[str],
    place: Callable[[Ints], Ints],
    *,
    start: int,
    end: int,
    length: int,
    aggregation: str,
) -> tuple[Gathered, Sequence[int]]:
    """Return lines from start to end (µs, both included) in parts that lie in one bucket each; lines count from 0.

    `place` numbers the buckets of times so that equal numbers of two times mean that all between are in it; times of
    one line are sorted. `length` is about how long the buckets are in µs. Beside them are told the lines of which there
    are no parts: the pyramid does not know them, or they have so many edges that reading all rows is cheaper.
    """
    alike: dict[tuple[int, ...], list[_Known]] = {}
    parts, left = [], []
    for at, label in enumerate(labels):
        known = stored.pyramid.line(measure, label)
        levels = sorted((one for one in known.levels if one.width <= length), key=_width) if known else []
        if levels:
            alike.setdefault(tuple(map(_width, levels)), []).append(_Known(at=at, label=label, levels=levels))
        else:
            left.append(at)
    for lines in alike.values():
        several, others = _alike(stored, measure, lines, place, start=start, end=end, figure=FIGURE[aggregation])
        parts += several
        left += others
    return joined(parts), sorted(left)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A line that the pyramid knows: its number, its series and its levels upwards."""

    at: int
    label: str
    levels: Sequence[Level]


def _width(level: Level) -> int:
    return level.width


def _alike(
    stored: Stored,
    measure: str,
    lines: Sequence[_Known],
    place: Callable[[Ints], Ints],
    *,
    start: int,
    end: int,
    figure: str,
) -> tuple[list[Gathered], list[int]]:
    """Do as `gathered` does with lines whose levels are as wide; lines that are left are told by their numbers."""
    parts, at = [], np.array([line.at for line in lines])
    places, cut, width = np.arange(len(lines)), np.full(len(lines), start), end - start + 1
    for depth in range(len(lines[0].levels) - 1, -1, -1):
        own = lines[0].levels[depth].width
        # Buckets that hold times of the range, and of those only the ones in a bucket that was cut.
        begins, ends = np.maximum(cut, start - own + 1), np.minimum(cut + width, end + 1)
        if depth == len(lines[0].levels) - 1:
            begins -= own - 1
        firsts = np.flatnonzero(np.diff(places, prepend=-1))  # those of a line lie together
        numbers = places[firsts]
        told, counts = stored.pyramid.beginning(
            [lines[number].levels[depth] for number in numbers.tolist()],
            ('start', 'n', 'first', 'last', figure),
            np.split(begins, firsts[1:]),
            np.split(ends, firsts[1:]),
        )
        places = np.repeat(numbers, counts)
        inside = place(told['first'])
        whole = (inside == place(told['last'])) & (told['first'] >= start) & (told['last'] <= end)
        parts.append(
            Gathered(line=at[places[whole]], place=inside[whole], n=told['n'][whole], value=told[figure][whole])
        )
        cut, places, width = told['start'][~whole], places[~whole], own
        if not len(cut):
            return parts, []
    return _with_rows(stored, measure, lines, place, parts, cut=cut, places=places, width=width, start=start, end=end)


def _with_rows(
    stored: Stored,
    measure: str,
    lines: Sequence[_Known],
    place: Callable[[Ints], Ints],
    parts: list[Gathered],
    *,
    cut: Ints,
    places: Ints,
    width: int,
    start: int,
    end: int,
) -> tuple[list[Gathered], list[int]]:
    """Add the rows of buckets of the finest level that an edge cuts: they begin at `cut` in the line at `places`."""
    edges = np.bincount(places, minlength=len(lines))
    dear = [
        number
        for number in np.flatnonzero(edges).tolist()
        if edges[number] * A_READING > stored.about(lines[number].label, start=start, end=end)
    ]
    found = [
        (
            lines[number].at,
            finite(stored.rows(lines[number].label, [measure], start=max(begin, start), end=until), measure),
        )
        for number, begin, until in zip(
            places.tolist(), cut.tolist(), np.minimum(cut + width - 1, end).tolist(), strict=True
        )
        if number not in dear
    ]
    if found:
        values = Buckets.join([one for _, one in found])
        line = np.repeat([at for at, _ in found], [len(one.n) for _, one in found])
        parts.append(Gathered(line=line, place=place(values.first), n=values.n, value=values.total))
    left = [lines[number].at for number in dear]
    if left:
        parts = [part.where(~np.isin(part.line, left)) for part in parts]
    return parts, left


def joined(parts: Sequence[Gathered]) -> Gathered:
    """Return several parts as one."""
    if not parts:
        none = np.empty(0, np.int64)
        return Gathered(line=none, place=none, n=none, value=np.empty(0))
    return Gathered(
        **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Gathered)}
    )


def folded(parts: Gathered, count: int, aggregation: str, *, lines: int = 1) -> tuple[Ints, Floats]:
    """Return how many values lie in each of `count` buckets of some lines, and their figure, NaN where there is none.

    Both have a row a line.
    """
    cells, at = lines * count, parts.line * count + parts.place
    n = np.bincount(at, parts.n, cells).astype(np.int64)
    value: Floats
    if aggregation == 'count':
        value = n.astype(np.float64)
    elif aggregation in ('min', 'max'):
        value = np.full(cells, np.inf if aggregation == 'min' else -np.inf)
        (np.minimum if aggregation == 'min' else np.maximum).at(value, at, parts.value)
    else:
        with np.errstate(over='ignore', invalid='ignore'):
            value = np.bincount(at, parts.value, cells).astype(np.float64, copy=False)
            value = value / np.maximum(n, 1) if aggregation == 'mean' else value
    if aggregation != 'count':
        value = np.where((n > 0) & np.isfinite(value), value, np.nan)
    return n.reshape(lines, count), value.reshape(lines, count)


def finest(known: Line, most: int) -> Level:
    """Return the finest level of a line that has at most `most` buckets, else its coarsest."""
    fitting = [level for level in known.levels if level.size <= most]
    return min(fitting, key=lambda one: one.width) if fitting else max(known.levels, key=lambda one: one.width)
