"""Answers in binary: a header that tells what follows, and columns of numbers.

    offset  size  content
    0       4     the letters VSQ1
    4       4     H, the length of the header in bytes, uint32 little-endian, a multiple of 8
    8       H     the header, JSON in UTF-8, filled up with spaces
    8 + H         float64 little-endian, each column of each line after the other, in the order of the header

    header: {"kind", "start", "end", "width", "rows_behind", "points_per_pixel", "exact", "note",
             "span": [first, last] or null, "gaps": [[start, end], …],
             "marked": how many marks there are,
             "marks": [{"t", "y", "series", "of", "measure", "line", "column", "kind", "action", "value", "reason",
                        "origin", "became"}, …],
             "lines": [{"name", "series", "measure", "role", "of", "n", "columns": [[name, length], …]}, …]}

Times (`start`, `end`, `span`, the columns `t`, `until`) are milliseconds since 1970 UTC. NaN in any other column is no
value; a NaN in `y` between two points interrupts the line.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import numpy as np

from core.analysis.arrays import Floats
from core.analysis.query.marks import Mark
from core.errors import UsageError

MAGIC: Final = b'VSQ1'


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One line of an answer: its columns by name, and how many source values `n` stand behind it.

    `role` is `value`, the name of an indicator's line, or `before` for an earlier period; `of` names the line that it
    belongs to.
    """

    name: str
    series: str
    measure: str
    columns: Mapping[str, Floats]
    n: int
    role: str = 'value'
    of: str = ''


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What a query found; times in ms. `rows_behind` source values stand behind what is drawn.

    `note` says in words what is only near, '' where nothing is. `gaps` are interruptions of all lines of an envelope
    together that are wide enough to be seen, `marks` some of the `marked` faults and repairs of these lines.
    """

    kind: str
    start: float
    end: float
    width: int
    rows_behind: int
    points_per_pixel: float
    exact: bool
    span: tuple[float, float] | None
    lines: tuple[Part, ...]
    note: str = ''
    gaps: tuple[tuple[float, float], ...] = ()
    marked: int = 0
    marks: tuple[Mark, ...] = ()


def encode(answer: Answer) -> bytes:
    """Return the binary form of an answer."""
    header: dict[str, Any] = {field.name: getattr(answer, field.name) for field in fields(answer)}
    header['marks'] = [asdict(mark) for mark in answer.marks]
    header['lines'] = [
        {field.name: getattr(line, field.name) for field in fields(line)}
        | {'columns': [[name, len(column)] for name, column in line.columns.items()]}
        for line in answer.lines
    ]
    text = json.dumps(header, separators=(',', ':'), ensure_ascii=False, allow_nan=False).encode()
    text += b' ' * (-len(text) % 8)
    blocks = [
        np.ascontiguousarray(column, dtype='<f8').tobytes() for line in answer.lines for column in line.columns.values()
    ]
    return b''.join([MAGIC, struct.pack('<I', len(text)), text, *blocks])


def decode(data: bytes) -> Answer:
    """Return the answer of a binary form; UsageError when it is none."""
    if data[:4] != MAGIC or len(data) < 8:
        raise UsageError('These bytes are no answer: they do not start with VSQ1.')
    (length,) = struct.unpack_from('<I', data, 4)
    try:
        header = json.loads(data[8 : 8 + length])
        offset, lines = 8 + length, []
        for line in header.pop('lines'):
            columns = {}
            for name, count in line.pop('columns'):
                columns[name] = np.frombuffer(data, dtype='<f8', count=count, offset=offset).astype(np.float64)
                offset += 8 * count
            lines.append(Part(columns=columns, **line))
        if offset != len(data):
            raise ValueError(f'{len(data) - offset} bytes more than the header names')
        span, marks = header.pop('span'), header.pop('marks', ())
        return Answer(
            lines=tuple(lines),
            span=tuple(span) if span else None,
            gaps=tuple((gap[0], gap[1]) for gap in header.pop('gaps', ())),
            marks=tuple(Mark(**mark) for mark in marks),
            **header,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError('These bytes are no answer: they are cut off or damaged.') from error


def plain(answer: Answer) -> dict[str, Any]:
    """Return plain dicts, lists and numbers for JSON, None where there is no value."""
    told: dict[str, Any] = {field.name: getattr(answer, field.name) for field in fields(answer)}
    told['marks'] = [asdict(mark) for mark in answer.marks]
    told['lines'] = [
        {field.name: getattr(line, field.name) for field in fields(line)}
        | {
            'columns': {
                name: [value if value == value else None for value in column.tolist()]
                for name, column in line.columns.items()
            }
        }
        for line in answer.lines
    ]
    return told
