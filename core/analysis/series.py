"""Points in the forms of `/series`: what the query engine finds of envelopes, plain, as Arrow, or in binary.

The binary form (`encode`):

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
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.analysis.query import Answer

Floats = NDArray[np.float64]
Interval = tuple[float, float]

MAGIC: Final = b'VSP1'


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


def points(answer: Answer) -> Points:
    """Return what a query of kind `envelope` found as points; a line of which every value is drawn has no envelope."""
    lines = []
    for part in answer.lines:
        t, y, low, high = (part.columns[name] for name in ('t', 'y', 'low', 'high'))
        every = part.n == int(np.count_nonzero(~np.isnan(y)))
        lines.append(
            Line(
                name=part.name,
                series=part.series,
                measure=part.measure,
                t=t,
                y=y,
                lo=None if every else low,
                hi=None if every else high,
            )
        )
    shared = {field.name: getattr(answer, field.name) for field in fields(Points) if field.name != 'lines'}
    return Points(lines=tuple(lines), **shared)


def encode(points: Points) -> bytes:
    """Return the binary form; the module's docstring describes it."""
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
