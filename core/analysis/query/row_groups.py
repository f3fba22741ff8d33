"""Parquet files of ours, read by row group: columns become arrays once, and are kept while there is room."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, local
from typing import Any, ClassVar, Final

import numpy as np

from core.analysis.arrays import Floats, Ints, decimals, fixed, numbers
from core.analysis.query.pieces import Piece
from core.errors import Unavailable

KEPT_BYTES: Final = 96 * 2**20


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
            self._size += _bytes(columns) - sum(before[name].nbytes for name in columns if name in before)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """Times (µs) that lie apart by one step, from the first one until before `end`: a slice of them is an array."""

    begin: int
    end: int
    step: int
    nbytes: ClassVar[int] = 0  # none to speak of

    @classmethod
    def of(cls, t: Ints) -> 'Steady | None':
        """Return times as such, None when they lie apart by several steps."""
        steps = np.diff(t)
        if not len(steps) or steps[0] <= 0 or (steps != steps[0]).any():
            return None
        return cls(begin=int(t[0]), end=int(t[-1] + steps[0]), step=int(steps[0]))

    def __getitem__(self, choice: slice) -> Ints:
        return np.arange(self.begin + choice.start * self.step, self.begin + choice.stop * self.step, self.step)

    def places(self, at: int) -> int:
        """Return how many of them lie before a time."""
        return max(0, -(-(min(at, self.end) - self.begin) // self.step))


class File:
    """One Parquet file of ours: its footer, and its row groups as arrays."""

    def __init__(self, path: Path | str, system: Any, blocks: Blocks, *, words: Sequence[str] = ()) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path, self._system, self._blocks, self._words = str(path), system, blocks, list(words)
        self._far = system is not None and '://' in self.path
        self._pa = pa
        with self._source() as source:
            self._footer = pq.read_metadata(source)
        self.told: Mapping[bytes, bytes] = self._footer.metadata or {}
        self.sizes = [self._footer.row_group(at).num_rows for at in range(self._footer.num_row_groups)]
        schema = self._footer.schema.to_arrow_schema()
        self.kinds = {field.name: str(field.type) for field in schema}
        self._index = {self._footer.schema.column(at).path: at for at in range(len(self._footer.schema))}
        self._steady: dict[int, Steady] = {}
        self._key = object()
        self._opened = local()

    @contextmanager
    def _source(self) -> Iterator[Any]:
        # A path would be looked at for what file system it belongs to, each time.
        with self._system.open(self.path, 'rb') if self._far else self._pa.OSFile(self.path) as file:
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
        words = [name for name in self._words if name in columns and self._coded(at, name)]
        if not words and (open_ := getattr(self._opened, 'file', None)) is not None:
            return open_.read_row_group(at, columns=list(columns), use_threads=False)
        with self._reader(words) as file:
            return file.read_row_group(at, columns=list(columns), use_threads=False)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Open the file once for all that this thread reads inside."""
        with self._reader() as file:
            self._opened.file = file
            try:
                yield
            finally:
                self._opened.file = None

    @contextmanager
    def _reader(self, words: Sequence[str] = ()) -> Iterator[Any]:
        import pyarrow.parquet as pq

        with self._source() as source:
            yield pq.ParquetFile(source, metadata=self._footer, pre_buffer=self._far, read_dictionary=list(words))

    def _coded(self, at: int, name: str) -> bool:
        """Whether a column of words is stored as codes; where that takes no less room, the words themselves are."""
        encodings = self._footer.row_group(at).column(self._index[name]).encodings
        return not any(one.startswith('DELTA_') for one in encodings)

    def blocks(self, at: int, columns: Sequence[str]) -> Mapping[str, Any]:
        """Return columns of a row group, among others perhaps: times in µs, numbers as doubles, words as codes.

        What words a code stands for is told under the name that `words_of` gives.
        """
        found = self._blocks.get((self._key, at))
        if at in self._steady:  # what is that little is not read again
            found = {**found, '_time': self._steady[at]}
        if missing := [name for name in columns if name not in found]:
            table, new = self.group(at, missing), {}
            for name, column in zip(table.column_names, table.itercolumns(), strict=True):
                if name in self._words:
                    coded = _encoded(column)
                    new[name] = self._array(name, coded)
                    new[words_of(name)] = np.array(coded.combine_chunks().dictionary.to_pylist(), dtype=object)
                    continue
                new[name] = self._array(name, column)
                if name == '_time' and (steady := Steady.of(new[name])) is not None:
                    new[name] = self._steady[at] = steady
            found = {**found, **self._blocks.put((self._key, at), new)}
        return found

    def ordered(self, at: int, name: str, piece: Piece, *, keep: bool) -> Floats:
        """Return the finite numbers of some rows of a row group by size, kept for the next who asks if wanted."""
        key = self._key, at, piece.begin, piece.end
        known: Floats | None = self._blocks.get(key).get(name)
        if known is not None:
            return known
        values = self._blocks.get((self._key, at)).get(name)
        if values is None:
            values = self._array(name, self.group(at, [name])[name])
        values = values[piece.begin : piece.end]
        found: Floats = np.sort(values[~np.isnan(values)])
        if keep:
            self._blocks.put(key, {name: found})
        return found

    def _array(self, name: str, column: Any) -> Any:
        pa = self._pa
        chunk = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        if name in self._words:
            return fixed(chunk.indices)
        own = bool(self._words)  # every column of the pyramid is
        if (own or name == '_time') and not pa.types.is_floating(chunk.type):
            return fixed(chunk).astype(np.int64, copy=False)
        return numbers(chunk) if (stored := decimals(chunk)) is None else stored


@contextmanager
def told() -> Iterator[None]:
    """Say in our own error that stored data cannot be read."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise Unavailable('The stored data could not be read. Try again in a moment.') from error


def words_of(column: str) -> str:
    return f'the words of {column}'


def _encoded(column: Any) -> Any:
    import pyarrow as pa

    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode()


def _micros(value: Any) -> int:
    return int(np.datetime64(value.replace(tzinfo=None), 'us').astype(np.int64))
