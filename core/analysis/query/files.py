"""An answer as a table: what a panel shows, for spreadsheets and programs."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

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


def rows(answer: Answer) -> Iterator[Sequence[object]]:
    """Yield the table's rows; None where a line has no value. Interruptions of lines are left out."""
    told: dict[str, None] = {}
    for line in answer.lines:
        told.update(dict.fromkeys(line.columns))
    for line in answer.lines:
        longest = max((len(column) for column in line.columns.values()), default=0)
        for at in range(longest):
            cells = [
                _cell(name, float(line.columns[name][at]))
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

    names, found = columns(answer), list(rows(answer))
    made = {}
    for at, name in enumerate(names):
        values = [row[at] for row in found]
        kind = pa.string() if at < 3 else pa.timestamp('ms', tz='UTC') if name in ('time', 'until') else pa.float64()
        made[name] = pa.array(values, type=kind)
    pq.write_table(pa.table(made), out, compression='zstd')


def _cell(name: str, value: float) -> object:
    if value != value:
        return None
    return _EPOCH + timedelta(milliseconds=value) if name in TIMES else value
