"""Helper: one column of text as a raw table, and what is read from it, without a file or a reader."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from core.analysis.ingest.rawtable import Dialect, RawTable
from core.analysis.ingest.types import Column, choose_types
from core.analysis.ingest.values import typed_rows


def raw_table(
    folder: Path, columns: dict[str, Sequence[str | None]], *, lines: Sequence[int] | None = None
) -> RawTable:
    """Write columns of text as a raw table; the first record is on line 2 unless `lines` says otherwise."""
    rows = len(next(iter(columns.values())))
    table = pa.table(
        {
            '_line': pa.array(lines or range(2, rows + 2), pa.int64()),
            '_flag': pa.array([0] * rows, pa.uint8()),
            **{f'c{i}': pa.array(cells, pa.string()) for i, cells in enumerate(columns.values())},
        }
    )
    path = folder / 'raw.parquet'
    pq.write_table(table, path)
    return RawTable(
        path=path,
        names=tuple(columns),
        named=True,
        header_line=1,
        encoding='utf-8',
        compression=None,
        format='delimited',
        dialect=Dialect(delimiter=','),
        rows_read=rows,
        rejected=0,
        faults_path=None,
        hints={},
        notes=(),
        header=tuple(columns),
    )


@cache
def instance() -> duckdb.DuckDBPyConnection:
    """One of DuckDB for all tests: to begin one takes as long as to read a column."""
    connection = duckdb.connect()
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    return connection


def read_cells(
    folder: Path, name: str, cells: Sequence[str | None], *, zone: str = 'UTC', **options: Any
) -> tuple[Column, list[Any]]:
    """Type one column; return it and its values: instants in UTC where it is a time, else what is stored."""
    raw = raw_table(folder, {name: cells})
    with instance().cursor() as connection:
        (column,) = choose_types(connection, raw, roles={}, **options)
        shown = 'coalesce(i0, w0)' if column.reading.family == 'time' else 'v0'
        rows = connection.execute(f'SELECT {shown} FROM ({typed_rows(raw, [column], zone=zone)}) ORDER BY _row')
        return column, [row[0] for row in rows.fetchall()]
