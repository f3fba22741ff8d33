"""Values: the SQL that turns the raw table's cells into typed ones, in layers.

Each layer only names what the one below computed: SQL has no variables, and an expression that is written twice runs
twice. Per column i the layers give `t{i}` (trimmed text), `x{i}` (NULL where a missing value is spelled), `p{i}` (a
number in plain form, a truth value), `w{i}` and `i{i}` (wall-clock time, instant in UTC) and `v{i}` (the value).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from core.analysis import duck
from core.analysis.ingest import readings
from core.analysis.ingest.rawtable import RawTable
from core.analysis.ingest.readings import Reading
from core.analysis.ingest.types import Column, rows_of, within

SQL_TYPES: Final = {
    'text': 'VARCHAR',
    'integer': 'BIGINT',
    'double': 'DOUBLE',
    'boolean': 'BOOLEAN',
    'date': 'DATE',
    'timestamp': 'TIMESTAMP',
    'timestamptz': 'TIMESTAMPTZ',
}


def typed_rows(raw: RawTable, columns: Sequence[Column], *, zone: str) -> str:
    """SQL: `_row, _line, _flag` and, for every column i, `c{i}`, `x{i}` and `v{i}`; for times `w{i}` and `i{i}` too.

    Wall-clock times are read in `zone` where an instant is stored, and instants are shown in it where a wall-clock time
    is stored.
    """
    head = '_row, _line, _flag'
    raw_cells = _list(column.cell for column in columns)
    source = f'SELECT file_row_number AS _row, _line, _flag{raw_cells} FROM {rows_of(raw, numbered=True)}'
    trimmed = _list(f'{readings.trimmed(c.cell)} AS t{c.index}' for c in columns)
    source = f'SELECT {head}{raw_cells}{trimmed} FROM ({source})'
    present = _list(f'{_present(c)} AS x{c.index}' for c in columns)
    source = f'SELECT {head}{raw_cells}{present} FROM ({source})'
    texts = raw_cells + _list(f'x{c.index}' for c in columns)
    prepared = [sql for column in columns for sql in _prepared(column)]
    source = f'SELECT {head}{texts}{_list(prepared)} FROM ({source})'
    bounded = [sql for column in columns for sql in _bounded(column)]
    source = f'SELECT {head}{texts}{_list(bounded)} FROM ({source})'
    times = _list(f'{letter}{c.index}' for c in columns if c.reading.family == 'time' for letter in 'wi')
    final = _list(f'{_value(c, zone=zone)} AS v{c.index}' for c in columns)
    return f'SELECT {head}{texts}{times}{final} FROM ({source})'


def utc(naive: str, zone: str) -> str:
    """SQL: the instant, as a TIMESTAMP in UTC, of a wall-clock time in `zone`."""
    return naive if zone == 'UTC' else f"timezone('UTC', timezone({duck.text(zone)}, {naive}))"


def _list(items: Iterable[str]) -> str:
    return ''.join(f', {item}' for item in items)


def _present(column: Column) -> str:
    x = f't{column.index}'
    return x if column.reading.family == 'text' else readings.present(x)


def _prepared(column: Column) -> list[str]:
    reading, i = column.reading, column.index
    x = f'x{i}'
    if reading.family == 'number':
        return [f'CASE WHEN {reading.fits(x)} THEN {reading.plain(x)} END AS p{i}']
    if reading.family == 'boolean':
        return [f'{reading.read(x)} AS p{i}']
    if reading.family == 'time':
        return [f'{sql} AS {letter}{i}' for letter, sql in zip('wi', _times(column, reading, x), strict=True)]
    return []


def _times(column: Column, reading: Reading, x: str) -> tuple[str, str]:
    fixed = reading.read_instant(x)
    if not column.figures.get('instants'):
        return reading.read_naive(x), 'NULL::TIMESTAMP'
    return reading.read(x), fixed or 'NULL::TIMESTAMP'


def _bounded(column: Column) -> list[str]:
    i = column.index
    if column.reading.family == 'time':
        return [f'{within(f"{letter}{i}")} AS {letter}{i}' for letter in 'wi']
    if column.reading.family == 'number' and column.type == 'double':
        return [f'TRY_CAST(p{i} AS DOUBLE) AS p{i}']
    return [f'p{i}'] if column.reading.family in ('number', 'boolean') else []


def _value(column: Column, *, zone: str) -> str:
    family, i = column.reading.family, column.index
    if family == 'time':
        return _time_value(column, zone=zone)
    if column.type == 'text':
        return f'CASE WHEN x{i} IS NOT NULL THEN {column.cell} END'
    if family == 'text':
        return f'NULL::{SQL_TYPES.get(column.type, "DECIMAL(18, 0)")}'
    if column.type == 'integer':
        return f"CASE WHEN NOT contains(p{i}, '.') AND NOT contains(lower(p{i}), 'e') THEN TRY_CAST(p{i} AS BIGINT) END"
    if column.type == 'decimal':
        return f'TRY_CAST(p{i} AS DECIMAL({readings.MOST_DIGITS}, {column.scale}))'
    if column.type == 'double':
        return f'CASE WHEN isfinite(p{i}) THEN p{i} END'
    return f'p{i}'


def _time_value(column: Column, *, zone: str) -> str:
    i = column.index
    shown = f'i{i}' if zone == 'UTC' else f"timezone({duck.text(zone)}, timezone('UTC', i{i}))"
    if column.type == 'integer':
        return f'year(w{i})'
    if column.type == 'timestamptz':
        return f"timezone('UTC', coalesce(i{i}, {utc(f'w{i}', zone)}))"
    if column.type == 'date':
        return f'CAST(coalesce(w{i}, {shown}) AS DATE)'
    return f'coalesce(w{i}, {shown})'
