"""Points of stored series for a chart: a window of time at the resolution of a screen.

A window that holds few values is answered by the values themselves. Otherwise each line is cut into one bucket a pixel,
with mean, minimum and maximum, from the coarsest level of the pyramid (`core.analysis.ingest.pyramid`) that is no
coarser than a pixel. Buckets that the window cuts are read from the data, so nothing outside the window is counted and
no extreme inside it is missing.

The binary form of an answer (`encode`, `decode`):

    offset  size  content
    0       4     the letters VSP1
    4       4     H, the length of the header in bytes, uint32 little-endian, a multiple of 8
    8       H     the header, JSON in UTF-8, filled up with spaces
    8 + H         float64 little-endian blocks, each line after the other: t, y, and when it has an envelope lo, hi

    header: {"start", "end", "width", "rows_behind", "points_per_pixel", "span": [first, last] or null,
             "gaps": [[start, end], …], "lines": [{"name", "series", "measure", "points", "envelope"}, …]}

Each block holds `points` numbers. Times are milliseconds since 1970 UTC. A NaN in y, lo and hi interrupts the line.
"""

import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from core.analysis import duck
from core.analysis.ingest.pyramid import GAP_IRREGULAR, GAP_REGULAR
from core.errors import UsageError

if TYPE_CHECKING:
    import duckdb

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Interval = tuple[float, float]

MAGIC: Final = b'VSP1'
MAX_LINES: Final = 20
MAX_WIDTH: Final = 10_000
EXACT: Final = 2
SEEN: Final = 2.0
RAW_ROWS: Final = 400_000
KEPT_LINES: Final = 256
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What a chart shows: measures × series from `start` to `end` (UTC, both included, None = all), `width` pixels."""

    measures: tuple[str, ...]
    series: tuple[str, ...] = ('',)
    start: datetime | None = None
    end: datetime | None = None
    width: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """One series of one measure: times `t` in ms, values or means `y`; `lo`, `hi` are None when every value is drawn.

    A NaN in `y` (and `lo`, `hi`) interrupts the line.
    """

    name: str
    series: str
    measure: str
    t: Floats
    y: Floats
    lo: Floats | None = None
    hi: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Points:
    """The answer to a window; times in ms.

    `gaps` are interruptions of all lines together that are wide enough to be seen, `rows_behind` the values inside the
    window over all lines, `span` the first and last time of these lines, whatever the window.
    """

    lines: tuple[Line, ...]
    start: float
    end: float
    width: int
    gaps: tuple[Interval, ...]
    rows_behind: int
    points_per_pixel: float
    span: Interval | None

    @property
    def exact(self) -> bool:
        """Whether every value inside the window is drawn."""
        return all(line.lo is None for line in self.lines)


class SeriesReader:
    """Reads windows of one stored version. Threads may share it."""

    def __init__(
        self,
        parts: Sequence[Path | str],
        pyramid: Path | str,
        *,
        measures: Sequence[str],
        memory: int = 256 * 2**20,
        system: Any = None,
    ) -> None:
        """Open `parts` (the version's data in order) and its pyramid under `memory` bytes, closed to other files.

        Those that are addresses are opened by the fsspec file system `system`.
        """
        self._measures = tuple(measures)
        self._data = duck.files(parts)
        self._pyramid = duck.files([pyramid])
        self._kept: dict[tuple[str, str], _Source] = {}
        self._connection = duck.connect(memory=memory, threads=1, allow=[*parts, pyramid], system=system)

    def window(self, window: Window) -> Points:
        """Return the points of a window; UsageError when it asks for what is not there or for over 20 lines."""
        self._check(window)
        with duck.told(), self._connection.cursor() as cursor:
            return self._window(cursor, window)

    def close(self) -> None:
        """Let go of the files; a window that is being read still ends well."""
        self._connection.close()
        self._kept.clear()

    def _check(self, window: Window) -> None:
        if not window.measures or not window.series:
            raise UsageError('A chart needs at least one measure and one series.')
        if unknown := [name for name in window.measures if name not in self._measures]:
            raise UsageError(f'"{unknown[0]}" is no measure of this dataset.')
        if (count := len(window.measures) * len(window.series)) > MAX_LINES:
            raise UsageError(f'A chart shows at most {MAX_LINES} lines, not {count}. Choose fewer series or measures.')
        if not 1 <= window.width <= MAX_WIDTH:
            raise UsageError(f'A chart is between 1 and {MAX_WIDTH} pixels wide, not {window.width}.')
        if window.start and window.end and _micros(window.start) > _micros(window.end):
            raise UsageError('The start of the window lies after its end.')

    def _window(self, cursor: 'duckdb.DuckDBPyConnection', window: Window) -> Points:
        sources = [self._source(cursor, m, s) for s in window.series for m in window.measures]
        filled = [source for source in sources if source.n]
        first = min((source.first for source in filled), default=0)
        last = max((source.last for source in filled), default=0)
        start = first if window.start is None else _micros(window.start)
        view = _View(start, max(start, last) if window.end is None else _micros(window.end), window.width)
        if window.start is None:
            view = _View(min(first, view.end), view.end, window.width)
        drawn = [_draw(source, self._buckets(cursor, source, view), view) for source in sources]
        rows = sum(part.rows for part in drawn)
        return Points(
            lines=tuple(part.line for part in drawn),
            start=view.start / 1000,
            end=view.end / 1000,
            width=view.width,
            gaps=_common([part.gaps for part in drawn if part.rows or part.gaps]),
            rows_behind=rows,
            points_per_pixel=rows / view.width,
            span=(first / 1000, last / 1000) if filled else None,
        )

    def _source(self, cursor: 'duckdb.DuckDBPyConnection', measure: str, series: str) -> '_Source':
        key = measure, series
        if (source := self._kept.get(key)) is None:
            source = self._from_pyramid(cursor, measure, series) or self._from_data(cursor, measure, series)
            if len(self._kept) >= KEPT_LINES:
                self._kept.clear()
            self._kept[key] = source
        return source

    def _from_pyramid(self, cursor: 'duckdb.DuckDBPyConnection', measure: str, series: str) -> '_Source | None':
        sql = f"""
            SELECT level, any_value(width), any_value(gap), sum(n)::BIGINT, min(first), max(last)
            FROM {self._pyramid} WHERE measure = ? AND series = ? GROUP BY level ORDER BY level
        """
        rows = cursor.execute(sql, [measure, series]).fetchall()
        if not rows:
            return None
        _, _, gap, n, first, last = rows[0]
        return _Source(measure, series, n, first, last, gap, levels=tuple((row[0], row[1]) for row in rows))

    def _from_data(self, cursor: 'duckdb.DuckDBPyConnection', measure: str, series: str) -> '_Source':
        value = f'CAST({duck.identifier(measure)} AS DOUBLE)'
        sql = f"""
            SELECT epoch_us(_time) AS t, {value} AS v FROM {self._data} WHERE _series = ? AND isfinite({value})
        """
        t, v = _columns(cursor.execute(sql, [series]), 't', 'v')
        if not len(t):
            return _Source(measure, series, 0, 0, 0, 0)
        return _Source(measure, series, len(t), int(t[0]), int(t[-1]), interruption(t), values=_Buckets.of(t, v))

    def _buckets(self, cursor: 'duckdb.DuckDBPyConnection', source: '_Source', view: '_View') -> '_Buckets':
        if source.values is not None:
            return source.values.between(view.start, view.end)
        level = max((level for level in source.levels if level[1] <= view.pixel), default=None)
        if not source.n or view.start > source.last or view.end < source.first:
            return _Buckets.of(np.empty(0, np.int64), np.empty(0))
        if level is None:
            return self._raw(cursor, source, view, view.start, view.end)
        buckets = self._level(cursor, source, view, *level)
        if buckets.n.sum() <= EXACT * view.width:
            return self._raw(cursor, source, view, view.start, view.end)
        return buckets

    def _level(
        self, cursor: 'duckdb.DuckDBPyConnection', source: '_Source', view: '_View', level: int, width: int
    ) -> '_Buckets':
        """Return one level's buckets inside the view, those that it cuts read again from the data."""
        names = [field.name for field in fields(_Buckets)]
        sql = f"""
            SELECT start, {', '.join(names)} FROM {self._pyramid}
            WHERE measure = ? AND series = ? AND level = ? AND start BETWEEN ? AND ? ORDER BY start
        """
        bound = [source.measure, source.series, level, view.start - width + 1, view.end]
        start, *columns = _columns(cursor.execute(sql, bound), 'start', *names)
        stored = _Buckets(*columns)
        cut = (stored.first < view.start) | (stored.last > view.end)
        edges = [
            self._raw(cursor, source, view, max(begin, view.start), min(begin + width - 1, view.end))
            for begin in start[cut].tolist()
        ]
        return _Buckets.join([stored.where(~cut), *edges])

    def _raw(
        self, cursor: 'duckdb.DuckDBPyConnection', source: '_Source', view: '_View', start: int, end: int
    ) -> '_Buckets':
        """Return the values from start to end; when there are very many, half-pixel buckets of them."""
        value = f'CAST({duck.identifier(source.measure)} AS DOUBLE)'
        rows = f"""
            SELECT epoch_us(_time) AS t, {value} AS v FROM {self._data}
            WHERE _series = ? AND _time BETWEEN make_timestamp(?::BIGINT) AND make_timestamp(?::BIGINT)
                AND isfinite({value})
        """
        bound = [source.series, start, end]
        t, v = _columns(cursor.execute(f'{rows} LIMIT {RAW_ROWS + 1}', bound), 't', 'v')
        if len(t) <= RAW_ROWS:
            return _Buckets.of(t, v)
        sql = f"""
            SELECT min(t) AS first, max(t) AS last, count(*) AS n, sum(v) AS total,
                min(v) AS low, max(v) AS high
            FROM ({rows}) GROUP BY (t - ?) // ? ORDER BY first
        """
        names = [field.name for field in fields(_Buckets)]
        half = max(1, int(view.pixel / 2))
        return _Buckets(*_columns(cursor.execute(sql, [*bound, view.start, half]), *names))


def encode(points: Points) -> bytes:
    """Return the binary form that the browser reads; the module's docstring describes it."""
    header = {field.name: getattr(points, field.name) for field in fields(points) if field.name != 'lines'}
    header['lines'] = [
        {
            'name': line.name,
            'series': line.series,
            'measure': line.measure,
            'points': len(line.t),
            'envelope': line.lo is not None,
        }
        for line in points.lines
    ]
    text = json.dumps(header, separators=(',', ':'), ensure_ascii=False, allow_nan=False).encode()
    text += b' ' * (-len(text) % 8)
    blocks = [
        np.ascontiguousarray(block, dtype='<f8').tobytes()
        for line in points.lines
        for block in (line.t, line.y, line.lo, line.hi)
        if block is not None
    ]
    return b''.join([MAGIC, struct.pack('<I', len(text)), text, *blocks])


def plain(points: Points) -> dict[str, Any]:
    """Return plain dicts, lists and numbers for JSON: times in ms, None where a NaN interrupts a line."""
    told: dict[str, Any] = {field.name: getattr(points, field.name) for field in fields(points)}
    told['lines'] = [
        {
            'name': line.name,
            'series': line.series,
            'measure': line.measure,
            't': line.t.tolist(),
            **{name: _known(block) for name, block in (('y', line.y), ('lo', line.lo), ('hi', line.hi))},
        }
        for line in points.lines
    ]
    return told | {'exact': points.exact}


def _known(block: Floats | None) -> list[float | None] | None:
    return None if block is None else [value if value == value else None for value in block.tolist()]


def arrow(points: Points) -> bytes:
    """Return the points as an Arrow IPC stream: time (µs, UTC), series, measure, value, min, max, one row a point.

    What interrupts a line is no row; min and max equal the value where every value is drawn.
    """
    import pyarrow as pa

    text = pa.dictionary(pa.int32(), pa.string())
    kinds = {'time': pa.timestamp('us', tz='UTC'), 'series': text, 'measure': text}
    schema = pa.schema(kinds | dict.fromkeys(('value', 'min', 'max'), pa.float64()))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        # One dictionary for all lines: a stream whose dictionaries change cannot become a file.
        names = [list(dict.fromkeys(getattr(line, name) for line in points.lines)) for name in ('series', 'measure')]
        for line in points.lines:
            drawn = np.isfinite(line.y)
            micros = np.round(line.t[drawn] * 1000).astype(np.int64)
            labels = [
                pa.DictionaryArray.from_arrays(
                    pa.array(np.full(len(micros), known.index(label)), pa.int32()), pa.array(known, pa.string())
                )
                for label, known in zip((line.series, line.measure), names, strict=True)
            ]
            values = [(line.y if block is None else block)[drawn] for block in (line.y, line.lo, line.hi)]
            columns = [pa.array(micros, kinds['time']), *labels, *(pa.array(value, pa.float64()) for value in values)]
            stream.write_batch(pa.record_batch(columns, schema=schema))
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decode(data: bytes) -> Points:
    """Return the points of a binary answer; UsageError when it is none."""
    if data[:4] != MAGIC or len(data) < 8:
        raise UsageError('These bytes are no points: they do not start with VSP1.')
    (length,) = struct.unpack_from('<I', data, 4)
    try:
        header = json.loads(data[8 : 8 + length])
        lines, used = _lines(header.pop('lines'), data, 8 + length)
        if used != len(data):
            raise ValueError(f'{len(data) - used} bytes more than the header names')
        gaps = tuple((gap[0], gap[1]) for gap in header.pop('gaps'))
        span = header.pop('span')
        return Points(lines=lines, gaps=gaps, span=(span[0], span[1]) if span else None, **header)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError('These bytes are no points: they are cut off or damaged.') from error


def _lines(headers: Iterable[dict[str, Any]], data: bytes, offset: int) -> tuple[tuple[Line, ...], int]:
    lines = []
    for header in headers:
        points, names = header['points'], ['t', 'y', *(['lo', 'hi'] if header['envelope'] else [])]
        blocks: dict[str, Floats] = {}
        for name in names:
            blocks[name] = np.frombuffer(data, dtype='<f8', count=points, offset=offset).astype(np.float64)
            offset += 8 * points
        lines.append(Line(name=header['name'], series=header['series'], measure=header['measure'], **blocks))
    return tuple(lines), offset


@dataclass(frozen=True, slots=True)
class _View:
    """The window in µs, both ends included, and its width in pixels."""

    start: int
    end: int
    width: int

    @property
    def pixel(self) -> float:
        return (self.end - self.start + 1) / self.width

    def column(self, t: Ints) -> Ints:
        """Return the pixel column of each time."""
        column: Ints = ((t - self.start) / self.pixel).astype(np.int64)
        return np.clip(column, 0, self.width - 1)

    def centre(self, column: Ints) -> Floats:
        """Return the time in ms at the middle of each pixel column."""
        centre: Floats = np.minimum(self.start + (column + 0.5) * self.pixel, self.end) / 1000
        return centre


@dataclass(frozen=True, slots=True, eq=False)
class _Buckets:
    """Buckets in order of time; a value alone is a bucket of one. Times in µs."""

    first: Ints
    last: Ints
    n: Ints
    total: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(cls, t: Ints, v: Floats) -> '_Buckets':
        return cls(t, t, np.ones(len(t), np.int64), v, v, v)

    @classmethod
    def join(cls, several: Sequence['_Buckets']) -> '_Buckets':
        joined = [np.concatenate([getattr(part, field.name) for part in several]) for field in fields(cls)]
        return cls(*joined).where(np.argsort(joined[0], kind='stable'))

    def where(self, choice: Any) -> '_Buckets':
        return _Buckets(*(getattr(self, field.name)[choice] for field in fields(self)))

    def between(self, start: int, end: int) -> '_Buckets':
        return self.where(slice(np.searchsorted(self.first, start), np.searchsorted(self.first, end, side='right')))


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """What is known of one line: its size, span (µs), gap limit (µs) and pyramid levels, or all of its few values."""

    measure: str
    series: str
    n: int
    first: int
    last: int
    gap: int
    levels: tuple[tuple[int, int], ...] = ()
    values: _Buckets | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    line: Line
    gaps: list[Interval]
    rows: int


def _draw(source: _Source, buckets: _Buckets, view: _View) -> _Drawn:
    rows = int(buckets.n.sum())
    # Several values are never one bucket here: below this limit only values themselves come in.
    if rows <= EXACT * view.width and rows == len(buckets.n):
        t, y, envelope = _values(source, buckets)
    else:
        t, y, envelope = _columns_of_pixels(source, buckets, view)
    low, high = envelope or (None, None)
    name = ' · '.join(part for part in (source.series, source.measure) if part)
    line = Line(name=name, series=source.series, measure=source.measure, t=t, y=y, lo=low, hi=high)
    return _Drawn(line, _gaps(source, buckets, view), rows)


def _values(source: _Source, buckets: _Buckets) -> tuple[Floats, Floats, None]:
    t = buckets.first / 1000
    after = np.flatnonzero(np.diff(buckets.first) > source.gap)
    middle = (t[after] + t[after + 1]) / 2
    return np.insert(t, after + 1, middle), np.insert(buckets.total, after + 1, np.nan), None


def _columns_of_pixels(source: _Source, buckets: _Buckets, view: _View) -> tuple[Floats, Floats, tuple[Floats, Floats]]:
    """Return t, mean and envelope of one bucket a pixel, with a NaN at each gap that leaves a pixel empty."""
    column = view.column(buckets.first + (buckets.last - buckets.first) // 2)
    with np.errstate(over='ignore', invalid='ignore'):
        weight = np.bincount(column, weights=buckets.n)
        total = np.bincount(column, weights=buckets.total)
        used = np.flatnonzero(weight)
        mean = total[used] / weight[used]
    low, high = np.full(view.width, np.inf), np.full(view.width, -np.inf)
    np.minimum.at(low, column, buckets.low)
    np.maximum.at(high, column, buckets.high)
    low, high = low[used], high[used]
    # A sum may overflow, and rounding may carry a mean past every value.
    mean = np.clip(np.where(np.isfinite(mean), mean, low / 2 + high / 2), low, high)

    broken = np.flatnonzero(buckets.first[1:] - buckets.last[:-1] > source.gap)
    broken = broken[column[broken + 1] - column[broken] > 1]
    places = np.searchsorted(used, column[broken + 1])
    t = view.centre(used)
    t = np.insert(t, places, (view.centre(column[broken]) + view.centre(column[broken + 1])) / 2)
    mean, low, high = (np.insert(block, places, np.nan) for block in (mean, low, high))
    return t, mean, (low, high)


def interruption(t: Ints) -> int:
    """Return the step (µs) beyond which a line of sorted times is interrupted, by the pyramid's rule."""
    steps = np.diff(t)
    steps = steps[steps > 0]
    if not len(steps):
        return 0
    median, upper = np.quantile(steps, [0.5, 0.9], method='inverted_cdf')
    return int(np.ceil((GAP_IRREGULAR if upper > GAP_REGULAR * median else GAP_REGULAR) * upper))


def _gaps(source: _Source, buckets: _Buckets, view: _View) -> list[Interval]:
    """Return the interruptions inside the view (ms), those that its edges cut included."""
    begin, end = buckets.last, buckets.first
    # A line that goes on outside the view, yet has no value near its edge, is interrupted there.
    if source.n and source.first < view.start:
        begin = np.concatenate([[view.start], begin])
    else:
        end = end[1:]
    if source.n and source.last > view.end:
        end = np.concatenate([end, [view.end]])
    else:
        begin = begin[: len(end)]
    wide = (end - begin > source.gap) & (end - begin >= SEEN * view.pixel)
    starts, ends = begin[wide] / 1000, end[wide] / 1000
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _common(several: Sequence[list[Interval]]) -> tuple[Interval, ...]:
    """Return the intervals that all lists share; each list is sorted and free of overlaps."""
    if not several:
        return ()
    shared = several[0]
    for other in several[1:]:
        shared = _shared(shared, other)
    return tuple(shared)


def _shared(some: list[Interval], other: list[Interval]) -> list[Interval]:
    shared, i, j = [], 0, 0
    while i < len(some) and j < len(other):
        start, end = max(some[i][0], other[j][0]), min(some[i][1], other[j][1])
        if start < end:
            shared.append((start, end))
        if some[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return shared


def _columns(answer: 'duckdb.DuckDBPyConnection', *names: str) -> list[Any]:
    # NumPy masks what may be NULL; nothing selected here is.
    found = answer.fetchnumpy()
    return [np.asarray(found[name]) for name in names]


def _micros(time: datetime) -> int:
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    return (aware - _EPOCH) // timedelta(microseconds=1)
