"""The report of faults: where each stands in the source, and a summary of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.analysis import duck
from core.analysis.ingest.rawtable import RawTable

if TYPE_CHECKING:
    import duckdb
    import numpy as np

BLOCK: Final = 2**20
GROUPS: Final = 200
COLUMNS: Final = ('line', 'byte', 'column', 'kind', 'value', 'became', 'action', 'reason', 'other_line')


def summary(connection: 'duckdb.DuckDBPyConnection', faults: Path) -> list[dict[str, Any]]:
    """Return the faults in groups of kind, column and action, the largest first, at most `GROUPS` of them.

    Each has its `count`, and the `line` and `value` of its first fault.
    """
    names = ('kind', 'column', 'action', 'count', 'line', 'value')
    rows = connection.execute(
        f"""SELECT kind, "column", action, count(*), min(line), arg_min(value, line)
        FROM {duck.files([faults])} GROUP BY kind, "column", action
        ORDER BY 4 DESC, 5, kind, "column" NULLS FIRST, action LIMIT {GROUPS}"""
    ).fetchall()
    # A database keeps no NUL in its JSON: the sign for it stands there.
    return [dict(zip(names, (*row[:-1], _shown(row[-1])), strict=True)) for row in rows]


def _shown(value: str | None) -> str | None:
    return value if value is None else value.replace('\0', '\u2400')


def locate(connection: 'duckdb.DuckDBPyConnection', faults: Path, source: Path, raw: RawTable) -> None:
    """Fill in the byte at which the record of each fault begins, in a file whose lines are those of the source itself.

    Files that were unpacked or are not UTF-8 keep faults without one: their bytes are not the user's.
    """
    plain = raw.compression is None and raw.encoding in ('utf-8', 'utf-8-sig') and raw.format in ('csv', 'jsonl')
    if not plain or raw.dialect.newline not in ('\n', '\r\n'):
        return
    wanted = connection.execute(
        f'SELECT DISTINCT line FROM {duck.files([faults])} WHERE byte IS NULL AND line > 0 ORDER BY line'
    ).fetchnumpy()['line']
    if not len(wanted):
        return
    import pyarrow as pa

    from core.analysis.arrays import arrow

    starts = _starts(source, wanted)
    places = pa.table([arrow(wanted[: len(starts)]), arrow(starts)], ['line', 'start'])
    connection.register('places', places)
    filled = faults.with_name(f'{faults.name}.filled')
    listed = ', '.join(
        'coalesce(f.byte, p.start) AS byte' if name == 'byte' else f'f.{duck.identifier(name)}' for name in COLUMNS
    )
    connection.execute(
        f"""COPY (SELECT {listed} FROM {duck.files([faults])} f LEFT JOIN places p USING (line)
        ORDER BY f.line, f."column" NULLS FIRST, f.kind, 2, f.value, f.reason)
        TO {duck.text(str(filled))} (FORMAT parquet, COMPRESSION zstd)"""
    )
    connection.unregister('places')
    filled.replace(faults)


def _starts(source: Path, lines: 'np.ndarray[Any, Any]') -> 'np.ndarray[Any, Any]':
    """Return of each of these lines (1-based, ascending, each once) the byte at which it begins, up to the last one
    that the file has."""
    import numpy as np

    starts = np.zeros(len(lines), dtype=np.int64)
    found = int(lines[0] == 1)
    line, done = 1, 0
    with source.open('rb') as file:
        while found < len(lines) and (block := file.read(BLOCK)):
            signs = np.frombuffer(block, dtype=np.uint8) == 10
            breaks = int(np.count_nonzero(signs))
            if lines[found] <= line + breaks:
                end = int(np.searchsorted(lines, line + breaks, side='right'))
                starts[found:end] = done + 1 + np.flatnonzero(signs)[lines[found:end] - line - 1]
                found = end
            line += breaks
            done += len(block)
    return starts[:found]
