"""The rows of one stored version, read by row group.

What a window needs is found by arithmetic: rows are sorted by series and time, and `series.parquet` tells how many rows
each series has, so a series is a range of row numbers. Footers are read once, columns of row groups are decoded when
they are needed and kept as arrays in `Blocks`, which all versions share.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from core.analysis.arrays import Floats, Ints, arrow, fixed
from core.analysis.query.pieces import EARLIEST, LATEST, Piece, Rows, joined
from core.analysis.query.pyramid import Pyramid
from core.analysis.query.row_groups import BLOCKS, Blocks, File, Steady, told
from core.analysis.query.warmth import Warmth
from core.errors import Unavailable

if TYPE_CHECKING:
    from core.analysis.query.marks import Marks

T = TypeVar('T')

KEPT_PLACES: Final = 10_000  # row groups of series, some 110 bytes each
A_LABEL: Final = 200  # bytes of a series: its name as a string, its entry in a dict, its place and its span
A_CHUNK: Final = 1000  # bytes of what a footer tells of a column of a row group
FAR_AT_ONCE: Final = 8  # requests for what lies far away
JOINT: Final = ' · '


class Stored:
    """One version for reading. Threads may share it; nothing stays open between two reads."""

    def __init__(
        self,
        parts: Sequence[Path | str],
        pyramid: Path | str,
        series: Path | str,
        *,
        measures: Sequence[str],
        keys: Sequence[str] = (),
        system: Any = None,
        blocks: Blocks | None = None,
    ) -> None:
        """Read what the footers tell. Paths that are addresses are opened by the fsspec file system `system`.

        `measures` and `keys` are names from the manifest. Raise Unavailable when a file cannot be read.
        """
        self.measures, self.keys, self.far = tuple(measures), tuple(keys), system is not None
        blocks = BLOCKS if blocks is None else blocks
        with told():
            open_ = partial(File, system=system, blocks=blocks)
            # The footers of files far away come together: each is a request or two.
            self._parts = list(_far_threads().map(open_, parts)) if self.far else [open_(part) for part in parts]
            self.pyramid = Pyramid(File(pyramid, system, blocks, words=('measure', 'series')), far=self.far)
            listed = File(series, system, blocks).table(['series', 'rows', 'start', 'end'])
        self.labels: tuple[str, ...] = tuple(listed['series'].to_pylist())
        self._place = {label: at for at, label in enumerate(self.labels)}
        self._starts = np.concatenate([[0], np.cumsum(fixed(listed['rows'].combine_chunks()))]).astype(np.int64)
        self._spans = [fixed(listed[name].combine_chunks()) for name in ('start', 'end')]
        groups = [(part, at) for part, file in enumerate(self._parts) for at in range(len(file.sizes))]
        self._groups = groups
        sizes = [self._parts[part].sizes[at] for part, at in groups]
        self._group_starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        if self._group_starts[-1] != self._starts[-1]:
            raise Unavailable('The stored data could not be read: rows and series differ. Convert the file again.')
        reach = [self._parts[part].reach('_time', at) for part, at in groups]
        self._reach = None if None in reach else np.array(reach, dtype=np.int64).reshape(-1, 2)
        self._known_places: dict[int, _Lies] = {}
        self._kept_places = 0
        # About how many bytes of memory this holds while nothing is read: labels above all.
        self.nbytes = sum(map(len, self.labels)) + A_LABEL * len(self.labels)
        self.nbytes += A_CHUNK * sum(len(file.sizes) * len(file.kinds) for file in (*self._parts, self.pyramid.file))
        self.nbytes += self.pyramid.nbytes
        self._warmth = None if self.far else Warmth([Path(file) for file in (series, pyramid, *parts)])
        self.marks: Marks | None = None  # whoever wants them reads them
        self._keys_told: dict[str, tuple[str, ...]] | None = None
        self._lock, self._keys_lock = Lock(), Lock()

    def warm(self) -> None:
        """Have the system keep the files at hand."""
        if self._warmth is not None:
            self._warmth.keep()

    def count(self, series: str) -> int:
        """Return how many rows a series has; 0 when there is no such series."""
        at = self._place.get(series)
        return 0 if at is None else int(self._starts[at + 1] - self._starts[at])

    def step(self, labels: Sequence[str]) -> int:
        """Return how far the rows of some series lie apart (µs), in the middle of them; 0 when none has two rows."""
        places = np.array([self._place[label] for label in labels if self.count(label) > 1], dtype=np.int64)
        if not len(places):
            return 0
        rows = self._starts[places + 1] - self._starts[places]
        steps = np.sort((self._spans[1][places] - self._spans[0][places]) / (rows - 1))
        return int((steps[(len(steps) - 1) // 2] + steps[len(steps) // 2]) / 2)  # `median` would import masked arrays

    def span(self, labels: Sequence[str]) -> tuple[int, int] | None:
        """Return the times of the first and the last row of some series, None when they have no rows."""
        places = [self._place[label] for label in labels if self.count(label)]
        if not places:
            return None
        return int(self._spans[0][places].min()), int(self._spans[1][places].max())

    def key_values(self, label: str) -> Mapping[str, str]:
        """Return what the key columns hold in a series."""
        if len(self.keys) == 1:
            return {self.keys[0]: label}
        parts = label.split(JOINT)
        if len(parts) == len(self.keys):
            return dict(zip(self.keys, parts, strict=True))
        # A key holds what joins keys: the rows themselves tell.
        return dict(zip(self.keys, self._told_keys()[label], strict=True))

    def _told_keys(self) -> Mapping[str, tuple[str, ...]]:
        """What the key columns hold in all series whose labels do not tell: each row group is read once."""
        with self._keys_lock:
            if self._keys_told is None:
                unclear = [at for at, label in enumerate(self.labels) if label.count(JOINT) + 1 != len(self.keys)]
                begins = self._starts[unclear]
                places = np.searchsorted(self._group_starts, begins, side='right') - 1
                found: dict[str, tuple[str, ...]] = {}
                for place in np.unique(places).tolist():
                    here = np.flatnonzero(places == place)
                    part, at = self._groups[place]
                    with told():
                        table = (
                            self._parts[part].group(at, self.keys).take(arrow(begins[here] - self._group_starts[place]))
                        )
                    rows = zip(*(map(str, table[name].to_pylist()) for name in self.keys), strict=True)
                    found |= {self.labels[unclear[one]]: row for one, row in zip(here.tolist(), rows, strict=True)}
                self._keys_told = found
            return self._keys_told

    def kinds(self) -> Mapping[str, str]:
        """Return the columns with their types as Arrow names them."""
        return self._parts[0].kinds if self._parts else {}

    def pieces(
        self, series: str, columns: Sequence[str], *, start: int = EARLIEST, end: int = LATEST
    ) -> Iterator[Rows]:
        """Yield the rows of a series from `start` to `end` (µs, both included), one row group after the other."""

        def rows(place: int, group: Piece) -> Rows:
            found, cut = self._read(place, columns), slice(group.begin, group.end)
            return Rows(t=found['_time'][cut], columns={name: found[name][cut] for name in columns})

        yield from self._each(self._within(series, start, end, columns), rows)

    def ordered(self, series: str, measure: str, *, start: int = EARLIEST, end: int = LATEST) -> Iterator[Floats]:
        """Yield the finite values of a series from `start` to `end` (µs, both included), those of a row group by size.

        Those of all rows that the series has in a row group are kept in that order.
        """

        def values(place: int, group: Piece) -> Floats:
            part, at = self._groups[place]
            whole = group == self._lies(self._place[series]).piece(place)
            with told():
                return self._parts[part].ordered(at, measure, group, keep=whole)

        yield from self._each(self._within(series, start, end, [measure]), values)

    def _each(self, places: Iterator[tuple[int, Piece]], read: Callable[[int, Piece], T]) -> Iterator[T]:
        """Yield what is read of row groups, of several at a time where they lie far away."""
        while batch := list(islice(places, FAR_AT_ONCE if self.far else 1)):
            if len(batch) > 1:
                yield from _far_threads().map(read, *zip(*batch, strict=True))
            else:
                yield read(*batch[0])

    def size(self, series: str, *, start: int, end: int, wanted: Sequence[str] = ()) -> int:
        """Return how many rows of a series lie from `start` to `end` (µs, both included).

        The columns that are `wanted` next are read along where rows are read.
        """
        return sum(group.end - group.begin for _, group in self._within(series, start, end, wanted))

    def rows(self, series: str, columns: Sequence[str], *, start: int = EARLIEST, end: int = LATEST) -> Rows:
        """Return the rows of a series from `start` to `end` (µs, both included)."""
        return joined(list(self.pieces(series, columns, start=start, end=end)), columns)

    def before(self, series: str, columns: Sequence[str], *, start: int, count: int) -> Rows:
        """Return the last `count` rows of a series that lie before `start` (µs)."""
        found: list[Rows] = []
        for place, group in reversed(list(self._within(series, EARLIEST, start - 1))):
            cut = slice(max(group.begin, group.end - count), group.end)
            blocks = self._read(place, columns)
            found.append(Rows(t=blocks['_time'][cut], columns={name: blocks[name][cut] for name in columns}))
            count -= cut.stop - cut.start
            if count <= 0:
                break
        return joined(found[::-1], columns)

    def words(self, series: str, column: str, *, start: int, end: int) -> Iterator[Any]:
        """Yield a column's stored values as Arrow arrays, piece by piece as `pieces` does."""
        for place, group in self._within(series, start, end):
            part, at = self._groups[place]
            with told():
                table = self._parts[part].group(at, [column])
            yield table[column].combine_chunks().slice(group.begin, group.end - group.begin)

    def _read(self, place: int, columns: Sequence[str]) -> Mapping[str, Any]:
        """Return columns of a row group, the times among them."""
        part, at = self._groups[place]
        with told():
            return self._parts[part].blocks(at, ['_time', *columns])

    def _within(self, series: str, start: int, end: int, columns: Sequence[str] = ()) -> Iterator[tuple[int, Piece]]:
        """Yield the row groups, with the rows in them, that hold a series from start to end.

        Where times must be looked at, the columns that are wanted next are read along.
        """
        at = self._place.get(series)
        if at is None or self._starts[at] == self._starts[at + 1]:
            return
        lies = self._lies(at)
        first, last = bisect_left(lies.latest, start), bisect_right(lies.earliest, end)
        for step in range(first, last):
            place = lies.first + step
            low, high = lies.rows(step)
            if lies.earliest[step] < start or lies.latest[step] > end:
                times = self._read(place, columns)['_time']
                if not isinstance(times, Steady):  # other series before this one
                    low, high = (
                        low + int(times[low:high].searchsorted(*at)) for at in ((start, 'left'), (end, 'right'))
                    )
                else:
                    low, high = max(low, times.places(start)), min(high, times.places(end + 1))
            if low < high:
                yield place, Piece(group=place, begin=low, end=high)

    def about(self, series: str, *, start: int, end: int) -> int:
        """Return how many rows of a series the row groups hold that may hold some from `start` to `end` (µs)."""
        at = self._place.get(series)
        if at is None or self._starts[at] == self._starts[at + 1]:
            return 0
        lies = self._lies(at)
        return min(
            self.count(series), sum(lies.sizes[bisect_left(lies.latest, start) : bisect_right(lies.earliest, end)])
        )

    def _lies(self, at: int) -> '_Lies':
        """Return where a series lies among the row groups."""
        if (known := self._known_places.get(at)) is not None:
            return known
        begin, stop = int(self._starts[at]), int(self._starts[at + 1])
        first = int(np.searchsorted(self._group_starts, begin, side='right')) - 1
        last = int(np.searchsorted(self._group_starts, stop - 1, side='right')) - 1
        earliest, latest = self._bounds(at, first, last)
        known = _Lies(
            first=first,
            begin=begin - int(self._group_starts[first]),
            stop=stop - int(self._group_starts[last]),
            sizes=np.diff(self._group_starts[first : last + 2]).tolist(),
            earliest=earliest.tolist(),
            latest=latest.tolist(),
        )
        with self._lock:
            if self._kept_places + last - first > KEPT_PLACES:
                self._known_places.clear()
                self._kept_places = 0
            self._known_places[at] = known
            self._kept_places += last - first + 1
        return known

    def _bounds(self, at: int, first: int, last: int) -> tuple[Ints, Ints]:
        """Return times that none of a series' rows in its row groups `first` to `last` lies before, and none after.

        A footer tells of a whole row group: where that holds other series too, the neighbours of the same series tell.
        Both are in order.
        """
        if self._reach is None:
            return np.full(last - first + 1, EARLIEST), np.full(last - first + 1, LATEST)
        earliest, latest = self._reach[first : last + 1].T.copy()
        earliest[0], latest[-1] = (span[at] for span in self._spans)
        if last > first:
            begins = self._group_starts[first] == self._starts[at]
            ends = self._group_starts[last + 1] == self._starts[at + 1]
            if last - first > 1 or ends:
                latest[0] = min(latest[0], earliest[1])
            if last - first > 1 or begins:
                earliest[-1] = max(earliest[-1], latest[-2])
        return np.maximum(earliest, earliest[0]), np.minimum(latest, latest[-1])


@cache
def _far_threads() -> ThreadPoolExecutor:
    """Threads that wait for what lies far away."""
    return ThreadPoolExecutor(FAR_AT_ONCE, thread_name_prefix='far')


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lies:
    """Where a series lies: from row `begin` of the row group `first` to `stop` of the last one, whose `sizes` follow.

    None of its rows in a row group lies before `earliest` and none after `latest` (µs); both are in order.
    """

    first: int
    begin: int
    stop: int
    sizes: list[int]
    earliest: list[int]
    latest: list[int]

    def rows(self, step: int) -> tuple[int, int]:
        """Return which rows of a row group are the series' own; the first row group is step 0."""
        return self.begin if step == 0 else 0, self.stop if step == len(self.sizes) - 1 else self.sizes[step]

    def piece(self, place: int) -> Piece:
        """Return all rows that it has in a row group."""
        begin, end = self.rows(place - self.first)
        return Piece(group=place, begin=begin, end=end)
