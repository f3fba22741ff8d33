"""An answer as a table: what a panel shows, for spreadsheets and programs."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from core.analysis.arrays import Floats, arrow, texts
from core.analysis.query.wire import Answer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = ('t', 'until')
NAMES = {'t': 'time', 'y': 'value'}


def columns(answer: Answer) -> list[str]:
    """The names of the table's columns: what tells lines apart, then what any line holds."""
    told: dict[str, None] = {}
    for line in answer.lines:
        told.update(dict.fromkeys(line.columns))
    return ['series', 'measure', 'what', *(NAMES.get(name, name) for name in told)]


def rows(answer: Answer, zone: str = 'UTC') -> Iterator[Sequence[object]]:
    """Yield the table's rows; None where a line has no value. Interruptions of lines are left out.

    Times are those of clocks in `zone`, with their distance from UTC; where all are midnights, they are dates.
    """
    clocks = ZoneInfo(zone)
    told: dict[str, None] = {}
    for line in answer.lines:
        told.update(dict.fromkeys(line.columns))
    times = [column for line in answer.lines for name, column in line.columns.items() if name in TIMES]
    dates = all(clocked(at, clocks).time() == time() for column in times for at in column[~np.isnan(column)].tolist())
    for line in answer.lines:
        longest = max((len(column) for column in line.columns.values()), default=0)
        for at in range(longest):
            cells = [
                _cell(float(line.columns[name][at]), (clocks, dates) if name in TIMES else None)
                if name in line.columns and at < len(line.columns[name])
                else None
                for name in told
            ]
            if any(cell is not None for name, cell in zip(told, cells, strict=True) if name not in TIMES):
                yield line.series, line.measure, line.role, *cells


def write_parquet(answer: Answer, out: Path) -> None:
    """Write the table as Parquet, times as UTC timestamps."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = columns(answer)
    told = list(dict.fromkeys(name for line in answer.lines for name in line.columns))
    found: dict[str, list[Floats]] = {name: [np.empty(0)] for name in told}
    counts = []
    for line in answer.lines:
        longest = max(map(len, line.columns.values()), default=0)
        cells = {name: _filled(line.columns.get(name), longest) for name in told}
        shown = np.zeros(longest, bool)
        for name in told:
            if name not in TIMES:
                shown |= ~np.isnan(cells[name])
        for name in told:
            found[name].append(cells[name][shown])
        counts.append(int(shown.sum()))
    line_of = arrow(np.repeat(np.arange(len(counts)), counts))
    made = [texts(getattr(line, name) for line in answer.lines).take(line_of) for name in ('series', 'measure', 'role')]
    for name in told:
        values = np.concatenate(found[name])
        made.append(_times(values) if name in TIMES else arrow(values))
    pq.write_table(pa.Table.from_arrays(made, names), out, compression='zstd')


def _filled(column: Floats | None, count: int) -> Floats:
    filled = np.full(count, np.nan)
    if column is not None:
        filled[: len(column)] = column
    return filled


def _times(values: Floats) -> Any:
    """Milliseconds as timestamps."""
    import pyarrow as pa

    whole = np.where(np.isnan(values), 0, np.floor(values)).astype(np.int64)
    kind = pa.timestamp('ms', tz='UTC')
    return pa.Array.from_buffers(kind, len(whole), [arrow(values).buffers()[0], pa.py_buffer(whole)])


def _cell(value: float, told: tuple[ZoneInfo, bool] | None) -> object:
    if value != value:
        return None
    if told is None:
        return value
    clocks, dates = told
    at = clocked(value, clocks)
    return at.date() if dates else at


def clocked(ms: float, clocks: ZoneInfo) -> datetime:
    """Return what clocks show; in UTC at the ends of the calendar, which other zones' clocks may pass."""
    at = _EPOCH + timedelta(milliseconds=ms)
    try:
        return at.astimezone(clocks)
    except OverflowError:
        return at
