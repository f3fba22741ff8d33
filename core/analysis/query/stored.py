"""The rows and summaries of one stored version, read by row group.

What a window needs is found by arithmetic: rows are sorted by series and time, and `series.parquet` tells how many rows
each series has, so a series is a range of row numbers. Footers are read once, columns of row groups are decoded when
they are needed and kept as arrays in `Blocks`, which all versions share.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from itertools import islice, pairwise
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from core.analysis.query.places import KEY, Places
from core.analysis.query.warmth import Warmth
from core.errors import Unavailable, UsageError

if TYPE_CHECKING:
    from core.analysis.query.marks import Marks

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

KEPT_BYTES: Final = 96 * 2**20
KEPT_LINES: Final = 8192
KEPT_RUNS: Final = 20_000
A_LABEL: Final = 200  # bytes of a series: its name as a string, its entry in a dict, its place and its span
A_CHUNK: Final = 1000  # bytes of what a footer tells of a column of a row group
FAR_AT_ONCE: Final = 8  # requests for what lies far away
JOINT: Final = ' · '
EARLIEST: Final = -(2**62)
LATEST: Final = 2**62
# Times of buckets, which older versions tell as they are, and what tells them as what has passed since `start`.
SINCE: Final = {'low_at': 'low_after', 'high_at': 'high_after', 'first': 'first_after', 'last': 'last_after'}


class Blocks:
    """Decoded columns of row groups, at most `limit` bytes of them: the groups used last. Threads share it."""

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[object, ...], Mapping[str, Any]] = OrderedDict()
        self._size = 0
        self._lock = Lock()

    def get(self, key: tuple[object, ...]) -> Mapping[str, Any]:
        """Return the columns that are kept of a row group."""
        with self._lock:
            if (found := self._kept.get(key)) is None:
                return {}
            self._kept.move_to_end(key)
            return found

    def put(self, key: tuple[object, ...], columns: Mapping[str, Any]) -> Mapping[str, Any]:
        """Keep columns beside those that are kept of a row group, and return all of them.

        Groups that have not been used for longest are let go of.
        """
        with self._lock:
            before = self._kept.pop(key, {})
            self._kept[key] = found = {**before, **columns}
            self._size += _bytes(found) - _bytes(before)
            while self._size > self._limit:
                self._size -= _bytes(self._kept.popitem(last=False)[1])
            return found

    @property
    def size(self) -> int:
        """How many bytes are kept."""
        return self._size


def _bytes(columns: Mapping[str, Any]) -> int:
    return sum(column.nbytes for column in columns.values())


BLOCKS: Final = Blocks()


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """Buckets in order of time; a value alone is a bucket of one. Times in µs."""

    first: Ints
    last: Ints
    n: Ints
    total: Floats
    low: Floats
    low_at: Ints
    high: Floats
    high_at: Ints

    @classmethod
    def of(cls, t: Ints, v: Floats) -> 'Buckets':
        """Each value as a bucket."""
        return cls(t, t, np.ones(len(t), np.int64), v, v, t, v, t)

    @classmethod
    def join(cls, several: Sequence['Buckets']) -> 'Buckets':
        """Several in one, those of each after those of the one before."""
        if len(several) == 1:
            return several[0]
        return cls(*(np.concatenate([getattr(part, name) for part in several]) for name in OF_BUCKETS))

    def where(self, choice: Any) -> 'Buckets':
        """Those that are chosen by a slice, a mask or indexes."""
        return Buckets(*(getattr(self, name)[choice] for name in OF_BUCKETS))

    @property
    def plain(self) -> bool:
        """Whether each is a value alone."""
        return int(self.n.sum()) == len(self.n)


OF_BUCKETS: Final = tuple(field.name for field in fields(Buckets))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Rows of one series in order of time: `t` in µs, and columns of numbers in which NaN is a missing value."""

    t: Ints
    columns: Mapping[str, Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Rows `begin` to `end` of a row group."""

    group: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Where one level of a line lies, and the width of its buckets in µs."""

    width: int
    pieces: tuple[Piece, ...]

    @property
    def size(self) -> int:
        """How many buckets it has."""
        return sum(piece.end - piece.begin for piece in self.pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What the pyramid knows of one measure of a series: the gap limit in µs, levels upwards."""

    gap: int
    levels: tuple[Level, ...]


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
            open_ = partial(_File, system=system, blocks=blocks)
            # The footers of files far away come together: each is a request or two.
            self._parts = list(_far_threads().map(open_, parts)) if self.far else [open_(part) for part in parts]
            self._pyramid = _File(pyramid, system, blocks, words=('measure', 'series'))
            self._since = {name: since for name, since in SINCE.items() if since in self._pyramid.kinds}
            listed = _File(series, system, blocks).table(['series', 'rows', 'start', 'end'])
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
        self._buckets = np.concatenate([[0], np.cumsum(self._pyramid.sizes)]).astype(np.int64)
        self._placed = self._places()
        # Older pyramids do not tell where lines lie: their groups tell which words they hold.
        self._words = [
            tuple(self._pyramid.reach(name, at) for name in ('measure', 'series'))
            for at in range(len(self._pyramid.sizes) if self._placed is None else 0)
        ]
        self._known_runs: OrderedDict[int, dict[tuple[str, str], list[_Run]]] = OrderedDict()
        self._kept_runs = 0
        self._lines: OrderedDict[tuple[str, str], Line | None] = OrderedDict()
        # About how many bytes of memory this holds while nothing is read: labels above all.
        self.nbytes = sum(map(len, self.labels)) + A_LABEL * len(self.labels)
        self.nbytes += A_CHUNK * sum(len(file.sizes) * len(file.kinds) for file in (*self._parts, self._pyramid))
        self.nbytes += 0 if self._placed is None else self._placed.nbytes
        self._warmth = None if self.far else Warmth([Path(file) for file in (series, pyramid, *parts)])
        self.marks: Marks | None = None  # whoever wants them reads them
        self._keys_told: dict[str, tuple[str, ...]] | None = None
        self._lock, self._keys_lock = Lock(), Lock()

    def warm(self) -> None:
        """Have the system keep the files at hand."""
        if self._warmth is not None:
            self._warmth.keep()

    def _places(self) -> Places | None:
        if (text := self._pyramid.told.get(KEY)) is None:
            return None
        try:
            placed = Places(text)
        except ValueError as error:
            raise Unavailable('The stored data could not be read. Convert the file again.') from error
        if placed.rows != self._buckets[-1]:
            raise Unavailable('The stored data could not be read: a summary is incomplete. Convert the file again.')
        return placed

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
        return int(np.median((self._spans[1][places] - self._spans[0][places]) / (rows - 1)))

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
        places = self._within(series, start, end, columns)
        while batch := list(islice(places, FAR_AT_ONCE if self.far else 1)):
            if len(batch) > 1:
                list(_far_threads().map(lambda one: self._read(one[0], columns), batch))
            for place, group in batch:
                found = self._read(place, columns)
                cut = slice(group.begin, group.end)
                yield Rows(t=found['_time'][cut], columns={name: _numbers(found[name], cut) for name in columns})

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
            found.append(Rows(t=blocks['_time'][cut], columns={name: _numbers(blocks[name], cut) for name in columns}))
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

    def line(self, measure: str, series: str) -> Line | None:
        """Return where the pyramid holds a line, None when it has too few values to be there."""
        key = measure, series
        with self._lock:
            if key in self._lines:
                self._lines.move_to_end(key)
                return self._lines[key]
        with told():
            line = self._look_up(measure, series)
        with self._lock:
            self._lines[key] = line
            while len(self._lines) > KEPT_LINES:
                self._lines.popitem(last=False)
        return line

    def level(self, level: Level, *, start: int, end: int, totals: bool = True) -> tuple[Ints, Buckets]:
        """Return the buckets of a level that hold times from `start` to `end`, with where each begins.

        Without `totals`, whose reading takes longest, the column `total` tells the least values once more.
        """
        names = [name for name in OF_BUCKETS if totals or name != 'total']
        found = self.figures(level, ['start', *names], start=start, end=end)
        starts = found.pop('start')
        return starts, Buckets(**{'total': found['low'], **found})

    def figures(self, level: Level, names: Sequence[str], *, start: int, end: int) -> dict[str, Any]:
        """Return some columns of a level's buckets that hold times from `start` to `end`.

        They are called as in `Buckets`, and `start` is where buckets begin.
        """
        found: dict[str, list[Any]] = {name: [] for name in names}
        read = ['start', *(self._since.get(name, name) for name in names if name != 'start')]
        for piece in self._holding(level, read, start=start, end=end):
            with told():
                blocks = self._pyramid.blocks(piece.group, read)
            cut = slice(piece.begin, piece.end)
            begins = blocks['start'][cut]
            for name in names:
                column = blocks[self._since.get(name, name)][cut]
                found[name].append(begins + column if name in self._since else column)
        return {name: columns[0] if len(columns) == 1 else np.concatenate(columns) for name, columns in found.items()}

    def _holding(self, level: Level, columns: Sequence[str], *, start: int, end: int) -> Sequence[Piece]:
        """Return the buckets of a level that hold times from `start` to `end`, one empty piece when there are none.

        The columns that are wanted next are read along, unless some pieces of the level may lie beside the range.
        """
        found = []
        wanted = columns if len(level.pieces) == 1 or self.far else ['start']
        for piece in level.pieces:
            with told():
                begins = self._pyramid.blocks(piece.group, wanted)['start'][piece.begin : piece.end]
            low, high = begins.searchsorted(start - level.width, 'right'), begins.searchsorted(end, 'right')
            found.append(replace(piece, begin=piece.begin + int(low), end=piece.begin + int(high)))
        return [piece for piece in found if piece.begin < piece.end] or found[:1]

    def ends(self, line: Line) -> tuple[int, int]:
        """Return the times of the first and the last value of a line."""
        told = self.figures(line.levels[-1], ('start', 'first', 'last'), start=EARLIEST, end=LATEST)
        return int(told['first'][0]), int(told['last'][-1])

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
        begin, stop = int(self._starts[at]), int(self._starts[at + 1])
        first = int(np.searchsorted(self._group_starts, begin, side='right')) - 1
        last = int(np.searchsorted(self._group_starts, stop - 1, side='right')) - 1
        earliest, latest = self._bounds(at, first, last)
        for step in np.flatnonzero((latest >= start) & (earliest <= end)).tolist():
            place = first + step
            offset = int(self._group_starts[place])
            low, high = max(begin - offset, 0), min(stop - offset, int(self._group_starts[place + 1]) - offset)
            if earliest[step] < start or latest[step] > end:
                times = self._read(place, columns)['_time'][low:high]
                high = low + int(np.searchsorted(times, end, side='right'))
                low += int(np.searchsorted(times, start))
            if low < high:
                yield place, Piece(group=place, begin=low, end=high)

    def _bounds(self, at: int, first: int, last: int) -> tuple[Ints, Ints]:
        """Return times that none of a series' rows in its row groups `first` to `last` lies before, and none after.

        A footer tells of a whole row group: where that holds other series too, the neighbours of the same series tell.
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
        return earliest, latest

    def _look_up(self, measure: str, series: str) -> Line | None:
        if self._placed is not None:
            placed = self._placed.runs(measure, series)
            levels = tuple(Level(width=run.width, pieces=self._pieces_of(run.begin, run.end)) for run in placed)
            return Line(gap=placed[0].gap, levels=levels) if placed else None
        return self._looked_up(measure, series)

    def _pieces_of(self, begin: int, end: int) -> tuple[Piece, ...]:
        """Rows of the pyramid, row group by row group."""
        first, last = (np.searchsorted(self._buckets, [begin, end - 1], side='right') - 1).tolist()
        starts = self._buckets[first : last + 2].tolist()
        return tuple(
            Piece(group=first + at, begin=max(begin - low, 0), end=min(end, high) - low)
            for at, (low, high) in enumerate(pairwise(starts))
        )

    def _looked_up(self, measure: str, series: str) -> Line | None:
        """Where a line lies by the rows of the pyramid themselves."""
        runs: list[_Run] = []
        for at, (measures, labels) in enumerate(self._words):
            if _may_hold(measures, measure) and _may_hold(labels, series):
                runs += self._runs(at).get((measure, series), [])
        if not runs:
            return None
        levels = {
            level: Level(
                width=next(run.width for run in runs if run.level == level),
                pieces=tuple(run.piece for run in runs if run.level == level),
            )
            for level in sorted({run.level for run in runs})
        }
        return Line(gap=runs[0].gap, levels=tuple(levels.values()))

    def _runs(self, at: int) -> dict[tuple[str, str], list['_Run']]:
        """Return the levels of all lines in a row group of the pyramid: who asks for one soon asks for others."""
        with self._lock:
            if at in self._known_runs:
                return self._known_runs[at]
        blocks = self._pyramid.blocks(at, ['measure', 'series', 'level', 'width', 'gap'])
        words = [blocks[_words_of(name)] for name in ('measure', 'series')]
        changes = np.zeros(len(blocks['level']), bool)
        changes[0] = True
        for name in ('measure', 'series', 'level'):
            changes[1:] |= np.diff(blocks[name]) != 0
        begins = np.flatnonzero(changes)
        ends = np.append(begins[1:], len(changes))
        found: dict[tuple[str, str], list[_Run]] = {}
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            key = words[0][blocks['measure'][begin]], words[1][blocks['series'][begin]]
            run = _Run(
                level=int(blocks['level'][begin]),
                piece=Piece(group=at, begin=begin, end=end),
                width=int(blocks['width'][begin]),
                gap=int(blocks['gap'][begin]),
            )
            found.setdefault(key, []).append(run)
        with self._lock:
            if at in self._known_runs:
                return self._known_runs[at]
            self._known_runs[at] = found
            self._kept_runs += sum(map(len, found.values()))
            while self._kept_runs > KEPT_RUNS and len(self._known_runs) > 1:
                self._kept_runs -= sum(map(len, self._known_runs.popitem(last=False)[1].values()))
        return found


@cache
def _far_threads() -> ThreadPoolExecutor:
    """Threads that wait for what lies far away."""
    return ThreadPoolExecutor(FAR_AT_ONCE, thread_name_prefix='far')


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One level of a line in one row group of the pyramid."""

    level: int
    piece: Piece
    width: int
    gap: int


class _File:
    """One Parquet file of ours: its footer, and its row groups as arrays."""

    def __init__(self, path: Path | str, system: Any, blocks: Blocks, *, words: Sequence[str] = ()) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._path, self._system, self._blocks, self._words = str(path), system, blocks, list(words)
        self._far = system is not None and '://' in self._path
        self._pa = pa
        with self._source() as source:
            self._footer = pq.read_metadata(source)
        self.told: Mapping[bytes, bytes] = self._footer.metadata or {}
        self.sizes = [self._footer.row_group(at).num_rows for at in range(self._footer.num_row_groups)]
        schema = self._footer.schema.to_arrow_schema()
        self.kinds = {field.name: str(field.type) for field in schema}
        self._index = {self._footer.schema.column(at).path: at for at in range(len(self._footer.schema))}
        self._key = object()

    @contextmanager
    def _source(self) -> Iterator[Any]:
        # A path would be looked at for what file system it belongs to, each time.
        with self._system.open(self._path, 'rb') if self._far else self._pa.OSFile(self._path) as file:
            yield file

    def reach(self, column: str, group: int) -> tuple[Any, Any] | None:
        """Return the least and the greatest value of a column in a row group, None when the footer does not tell."""
        statistics = self._footer.row_group(group).column(self._index[column]).statistics
        if statistics is None or not statistics.has_min_max:
            return None
        if column != '_time':
            return statistics.min, statistics.max
        if self.kinds[column].startswith('timestamp[us'):
            return statistics.min_raw, statistics.max_raw
        return _micros(statistics.min), _micros(statistics.max)

    def table(self, columns: Sequence[str]) -> Any:
        """Return columns of the whole file as an Arrow table."""
        import pyarrow.parquet as pq

        with self._source() as source:
            file = pq.ParquetFile(source, metadata=self._footer, pre_buffer=self._far)
            return file.read(columns=list(columns), use_threads=False)

    def group(self, at: int, columns: Sequence[str]) -> Any:
        """Return columns of a row group as an Arrow table."""
        import pyarrow.parquet as pq

        with self._source() as source:
            file = pq.ParquetFile(
                source,
                metadata=self._footer,
                pre_buffer=self._far,
                read_dictionary=[name for name in self._words if self._coded(at, name)],
            )
            return file.read_row_group(at, columns=list(columns), use_threads=False)

    def _coded(self, at: int, name: str) -> bool:
        """Whether a column of words is stored as codes; where that takes no less room, the words themselves are."""
        encodings = self._footer.row_group(at).column(self._index[name]).encodings
        return not any(one.startswith('DELTA_') for one in encodings)

    def blocks(self, at: int, columns: Sequence[str]) -> Mapping[str, Any]:
        """Return columns of a row group, among others perhaps: times in µs, numbers as doubles, words as codes.

        What words a code stands for is told under the name that `_words_of` gives.
        """
        found = self._blocks.get((self._key, at))
        if missing := [name for name in columns if name not in found]:
            table, new = self.group(at, missing), {}
            for name in missing:
                column = _encoded(table[name]) if name in self._words else table[name]
                new[name] = self._array(name, column)
                if name in self._words:
                    words = column.combine_chunks().dictionary.to_pylist()
                    new[_words_of(name)] = np.array(words, dtype=object)
            found = {**found, **self._blocks.put((self._key, at), new)}
        return found

    def _array(self, name: str, column: Any) -> Any:
        pa = self._pa
        chunk = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        if name in self._words:
            return fixed(chunk.indices)
        own = bool(self._words)  # every column of the pyramid is
        if (own or name == '_time') and not pa.types.is_floating(chunk.type):
            return fixed(chunk).astype(np.int64, copy=False)
        # Of a column of the rows a few are wanted at a time: these are made numbers when they are.
        return numbers(chunk) if own else chunk


def _words_of(column: str) -> str:
    return f'the words of {column}'


def _encoded(column: Any) -> Any:
    import pyarrow as pa

    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode()


def _numbers(block: Any, cut: slice) -> Floats:
    return numbers(block.slice(cut.start, cut.stop - cut.start))


def fixed(chunk: Any) -> NDArray[Any]:
    """Return an Arrow array of numbers or of times (µs then) as it lies in memory; what is missing is any number.

    Arrow's own ways to NumPy and from it import pandas, which the web process has no room for.
    """
    import pyarrow as pa

    if pa.types.is_timestamp(chunk.type):
        chunk = chunk.cast(pa.timestamp('us', tz=chunk.type.tz), safe=False).view(pa.int64())
    kind = np.dtype(str(chunk.type).replace('halffloat', 'float16').replace('double', 'float64'))
    if not len(chunk):
        return np.empty(0, kind)
    return np.frombuffer(chunk.buffers()[1], kind)[chunk.offset : chunk.offset + len(chunk)]


def there(chunk: Any) -> NDArray[np.bool_]:
    """Return which values of an Arrow array are not missing."""
    bits, until = chunk.buffers()[0], chunk.offset + len(chunk)
    if bits is None:
        return np.ones(len(chunk), bool)
    return np.unpackbits(np.frombuffer(bits, np.uint8), bitorder='little', count=until)[chunk.offset :].astype(bool)


def arrow(values: NDArray[Any]) -> Any:
    """Return whole numbers (int64) or doubles as an Arrow array, NaN as a missing value."""
    import pyarrow as pa

    kind = pa.int64() if values.dtype == np.int64 else pa.float64()
    missing = np.isnan(values)
    bits = pa.py_buffer(np.packbits(~missing, bitorder='little')) if missing.any() else None
    return pa.Array.from_buffers(kind, len(values), [bits, pa.py_buffer(np.ascontiguousarray(values))])


def numbers(chunk: Any) -> Floats:
    """Return an Arrow array of numbers as doubles, NaN where a value is missing or not finite."""
    import pyarrow as pa

    kind = chunk.type
    if pa.types.is_decimal128(kind) and kind.precision <= 18:
        # Both halves of 16 bytes lie side by side; the lower one holds all of these. A quotient rounds once only.
        halves = np.frombuffer(chunk.buffers()[1], np.int64)[2 * chunk.offset : 2 * (chunk.offset + len(chunk)) : 2]
        values: Floats = halves / 10.0**kind.scale
    elif pa.types.is_floating(kind) or pa.types.is_integer(kind):
        values = fixed(chunk).astype(np.float64, copy=False)
    elif pa.types.is_decimal(kind):
        values = fixed(chunk.cast(pa.float64()))
    elif pa.types.is_boolean(kind):
        values = fixed(chunk.cast(pa.uint8())).astype(np.float64)
    else:
        raise UsageError(f'A column of the type {kind} holds no numbers.')
    if chunk.null_count:
        values = np.where(there(chunk), values, np.nan)
    if pa.types.is_floating(kind) and not (finite := np.isfinite(values)).all():
        values = np.where(finite, values, np.nan)
    return values


def joined(pieces: Sequence[Rows], columns: Sequence[str]) -> Rows:
    """Return several runs of rows as one."""
    if len(pieces) == 1:
        return pieces[0]
    if not pieces:
        return Rows(t=np.empty(0, np.int64), columns=dict.fromkeys(columns, np.empty(0)))
    return Rows(
        t=np.concatenate([piece.t for piece in pieces]),
        columns={name: np.concatenate([piece.columns[name] for piece in pieces]) for name in columns},
    )


@contextmanager
def told() -> Iterator[None]:
    """Say in our own error that stored data cannot be read."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise Unavailable('The stored data could not be read. Try again in a moment.') from error


def _may_hold(reach: tuple[Any, Any] | None, text: str) -> bool:
    return reach is None or reach[0] <= text <= reach[1]


def _micros(value: Any) -> int:
    return int(np.datetime64(value.replace(tzinfo=None), 'us').astype(np.int64))
