"""Values: the SQL that turns the raw table's cells into typed ones, in layers.

Each layer only names what the one below computed: SQL has no variables, and an expression that is written twice runs
twice. Per column i the layers give `t{i}` (trimmed text), `x{i}` (NULL where a missing value is spelled), `p{i}` (a
number in plain form, a truth value), `w{i}` and `i{i}` (wall-clock time, instant in UTC) and `v{i}` (the value). Where
cells of a column are read with repairs, `r{i}` names the one of each (see `rejects.REPAIRS`).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from core.analysis import duck
from core.analysis.ingest import readings
from core.analysis.ingest.rawtable import RawTable
from core.analysis.ingest.readings import Reading
from core.analysis.ingest.tallies import quick_or, rows_of, texts_of, within
from core.analysis.ingest.types import Column
from core.analysis.tables import guarded

SQL_TYPES: Final = {
    'text': 'VARCHAR',
    'integer': 'BIGINT',
    'double': 'DOUBLE',
    'boolean': 'BOOLEAN',
    'date': 'DATE',
    'timestamp': 'TIMESTAMP',
    'timestamptz': 'TIMESTAMPTZ',
}


def text_rows(raw: RawTable, columns: Sequence[Column]) -> str:
    """SQL: `_row, _line, _flag` (of a melted table also `_record, _column`) and, for every column i, `c{i}`, `t{i}` and
    `x{i}`, with `f{i}` where there is a cheap test."""
    only = _quick_only(raw, columns)
    return texts_of(
        rows_of(raw, numbered=True),
        [c.index for c in columns],
        {c.index: sql for c in columns if (sql := _quickly(c))},
        more=f'file_row_number AS {_head(raw)}',
        whole={c.index for c in columns if c.reading.family == 'text'},
        kept={c.index for c in columns if _is_left(c, 'padding')},
        spelled={c.index for c in columns if _is_left(c, 'null_spelling')},
        only=only,
    )


def typed_rows(raw: RawTable, columns: Sequence[Column], *, zone: str) -> str:
    """SQL: `_row, _line, _flag` (of a melted table also `_record, _column`) and, for every column i, `c{i}`, `x{i}` and
    `v{i}`; for times `w{i}` and `i{i}` too, for columns with repairs `r{i}`.

    Wall-clock times are read in `zone` where an instant is stored, and instants are shown in it where a wall-clock time
    is stored.
    """
    source, head, only = text_rows(raw, columns), _head(raw), _quick_only(raw, columns)
    read = _list(f'f{c.index}' for c in columns if _quickly(c))
    prepared = [sql for column in columns for sql in _prepared(column, only=column.index in only)]
    texts = _list(f'{letter}{c.index}' for c in columns for letter in 'cx')
    source = f'SELECT {head}{texts}{read}{_list(_marks(columns))}{_list(prepared)} FROM ({source})'
    texts += _list(f'{_mark(c)} AS r{c.index}' for c in columns if c.repaired)
    bounded = [sql for column in columns for sql in _bounded(column, only=column.index in only)]
    source = f'SELECT {head}{texts}{read}{_list(bounded)} FROM ({source})'
    texts = _list(f'{letter}{c.index}' for c in columns for letter in 'cx')
    texts += _list(f'r{c.index}' for c in columns if c.repaired)
    times = _list(f'{letter}{c.index}' for c in columns if c.reading.family == 'time' for letter in 'wi')
    final = _list(f'{_value(c, zone=zone)} AS v{c.index}' for c in columns)
    return f'SELECT {head}{texts}{times}{final} FROM ({source})'


def utc(naive: str, zone: str) -> str:
    """SQL: the instant, as a TIMESTAMP in UTC, of a wall-clock time in `zone`."""
    return naive if zone == 'UTC' else f"timezone('UTC', timezone({duck.text(zone)}, {naive}))"


def _head(raw: RawTable) -> str:
    return f'_row, _line, _flag{", _record, _column" if raw.is_melted else ""}'


def _list(items: Iterable[str]) -> str:
    return ''.join(f', {item}' for item in items)


def _quickly(column: Column) -> str | None:
    return column.reading.quickly(column.cell)


def _quick_only(raw: RawTable, columns: Sequence[Column]) -> set[int]:
    """The columns in which every cell is in the commonest form or missing, also in rows that the reader rejected."""
    return {c.index for c in columns if c.is_quick and not c.repaired} if raw.faults_path is None else set()


def _is_left(column: Column, repair: str) -> bool:
    """Whether a repair is not to be made, and there would be one."""
    return repair in column.off and repair in column.repaired


def _marks(columns: Sequence[Column]) -> list[str]:
    """SQL: by which repair each cell is read, NULL when it is written as its column."""
    marks = []
    for column in columns:
        if not column.repaired:
            continue
        i = column.index
        cases = [f'WHEN f{i} IS NOT NULL THEN NULL'] if _quickly(column) else []
        if 'null_spelling' in column.repaired:
            cases.append(f"WHEN x{i} IS NULL AND t{i} IS NOT NULL THEN 'null_spelling'")
        if column.reading.others:
            odd = column.reading.repaired(f'x{i}')
            cases.append(f'WHEN ({odd}) IS NOT NULL THEN {odd}')
        if 'guard' in column.repaired:
            cases.append(f"WHEN {guarded(f'x{i}')} THEN 'guard'")
        if 'padding' in column.repaired:
            cases.append(f"WHEN t{i} <> c{i} THEN 'padding'")
        marks.append(f'CASE {" ".join(cases)} END AS r{i}' if cases else f'NULL::VARCHAR AS r{i}')
    return marks


def _mark(column: Column) -> str:
    """SQL: the repair of a cell, unless it cannot be read even so."""
    i = column.index
    if column.reading.family == 'text':
        return f'r{i}'
    value = f'coalesce(w{i}, i{i})' if column.reading.family == 'time' else f'p{i}'
    return f'CASE WHEN x{i} IS NULL OR {value} IS NOT NULL THEN r{i} END'


def _prepared(column: Column, *, only: bool) -> list[str]:
    reading, i = column.reading, column.index
    x, quick = f'x{i}', _quickly(column) is not None
    if reading.family == 'number':
        return [f'{quick_or(i, reading.plain(x), x, quick=quick, only=only)} AS p{i}']
    if reading.family == 'boolean':
        return [f'{reading.read(x)} AS p{i}']
    if reading.family == 'time':
        walls, instants = ('NULL::TIMESTAMP', f'f{i}') if reading.is_quick_instant else (f'f{i}', 'NULL::TIMESTAMP')
        wall, instant = _times(column, reading, x)
        return [
            f'{quick_or(i, wall, walls, quick=quick, only=only)} AS w{i}',
            f'{quick_or(i, instant, instants, quick=quick, only=only)} AS i{i}',
        ]
    return []


def _times(column: Column, reading: Reading, x: str) -> tuple[str, str]:
    fixed = reading.read_instant(x)
    if not column.figures.get('instants'):
        return reading.read_naive(x), 'NULL::TIMESTAMP'
    return reading.read(x), fixed or 'NULL::TIMESTAMP'


def _bounded(column: Column, *, only: bool) -> list[str]:
    i = column.index
    if column.reading.family == 'time':
        return [f'{f"{v}{i}" if only else within(f"{v}{i}")} AS {v}{i}' for v in 'wi']
    if column.reading.family == 'number' and column.type == 'double':
        quick = _quickly(column) is not None
        return [f'{quick_or(i, f"TRY_CAST(p{i} AS DOUBLE)", f"f{i}", quick=quick, only=only)} AS p{i}']
    return [f'p{i}'] if column.reading.family in ('number', 'boolean') else []


def _value(column: Column, *, zone: str) -> str:
    family, i = column.reading.family, column.index
    if family == 'time':
        return _time_value(column, zone=zone)
    if column.type == 'text':
        text = f'x{i}' if 'padding' in column.repaired else f'CASE WHEN x{i} IS NOT NULL THEN {column.cell} END'
        if 'guard' in column.repaired:
            text = f'CASE WHEN {guarded(f"x{i}")} THEN x{i}[2:] ELSE {text} END'
        return f"coalesce({text}, '')" if column.blank else text
    if family == 'text':
        return f'NULL::{SQL_TYPES.get(column.type, "DECIMAL(18, 0)")}'
    if column.type == 'integer':
        whole = ' AND '.join(f"NOT contains(p{i}, '{mark}')" for mark in '.eE')
        return f'CASE WHEN {whole} THEN TRY_CAST(p{i} AS BIGINT) END'
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
