"""Rejects: which rows are stored as read, stored with a listed change, or not stored, and the list of faults.

`stage` writes every row of the raw table once, typed, with `_row` (its number), `_time` (UTC) and `_status`; the list
of faults is taken from the same expressions, so the two cannot disagree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.analysis import duck
from core.analysis.ingest import readings
from core.analysis.ingest.rawtable import Flag, RawTable
from core.analysis.ingest.types import Column, instant, rows_of, wall

if TYPE_CHECKING:
    import duckdb

SHOWN: Final = 200


class CellFault(StrEnum):
    """What was wrong with a cell, or with a record as a point of a series. Structural faults are in `FaultKind`."""

    NOT_A_NUMBER = 'not_a_number'
    """A cell of a numeric column that is not a number. Action `emptied`."""
    NOT_A_BOOLEAN = 'not_a_boolean'
    """A cell of a column of truth values that is none. Action `emptied`."""
    NOT_A_TIME = 'not_a_time'
    """A cell of a date or time column that is no such time, such as 30 February. In the time column: action `rejected`;
    elsewhere `emptied`."""
    OUT_OF_RANGE = 'out_of_range'
    """A number that is too large to be stored, such as 1e400. Action `emptied`."""
    MISSING_TIME = 'missing_time'
    """A record whose time is missing. Action `rejected`."""
    MISSING_KEY = 'missing_key'
    """A record whose series key is missing. Action `rejected`."""
    NO_MEASURE = 'no_measure'
    """A record of a table with measures in which every measure is missing or unreadable. Action `rejected`."""
    MIXED_ZONE = 'mixed_zone'
    """A time with an offset in a column without, or the reverse (then it is read in the zone asked for). Action
    `repaired`."""
    LOST_PRECISION = 'lost_precision'
    """A time that is finer than a microsecond; it was cut. Action `repaired`."""
    DST_GAP = 'dst_gap'
    """A wall-clock time that its zone skipped when clocks went forward; it was read as one hour later. Action
    `repaired`."""
    DST_OVERLAP = 'dst_overlap'
    """A wall-clock time that its zone had twice when clocks went back; the first of a series is read as the earlier,
    the next as the later. Action `repaired`."""


_KINDS: Final = {
    'number': (CellFault.NOT_A_NUMBER, 'not a number'),
    'boolean': (CellFault.NOT_A_BOOLEAN, 'not a truth value'),
    'time': (CellFault.NOT_A_TIME, 'not a time'),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """The typed rows in `path` (file order not kept; `_row` holds it) and how many have which status.

    Columns: `_row`, `_line`, `_time` TIMESTAMP (UTC; NULL without a time column), `_status` (0 accepted, 1 repaired,
    2 rejected), then the stored columns.
    """

    path: Path
    accepted: int
    repaired: int
    rejected: int


def stage(
    connection: 'duckdb.DuckDBPyConnection', raw: RawTable, columns: Sequence[Column], *, zone: str, out: Path
) -> Staged:
    """Type every row of the raw table and decide what becomes of it."""
    _overlaps(connection, raw, columns, zone=zone)
    connection.execute(
        f'COPY ({_typed(raw, columns, zone=zone)}) TO {duck.text(str(out))} (FORMAT parquet, COMPRESSION lz4)'
    )
    rows = connection.execute(
        f'SELECT _status, count(*) FROM read_parquet({duck.text(str(out))}) GROUP BY _status'
    ).fetchall()
    counts = {int(status): int(count) for status, count in rows}
    stored = counts.get(Flag.AS_READ, 0) + counts.get(Flag.REPAIRED, 0)
    return Staged(
        path=out,
        accepted=counts.get(Flag.AS_READ, 0),
        repaired=counts.get(Flag.REPAIRED, 0),
        # The reader gives no row for a record that has no cell to show.
        rejected=raw.rows_read - stored,
    )


def list_faults(
    connection: 'duckdb.DuckDBPyConnection',
    raw: RawTable,
    columns: Sequence[Column],
    staged: Staged,
    *,
    zone: str,
    out: Path,
) -> dict[str, int]:
    """Write the faults, structural ones included, to `out` sorted by line; return how many there are of each kind."""
    parts = []
    if raw.faults_path is not None:
        parts.append(f'SELECT line, byte, "column", kind, value, action, reason FROM {duck.files([raw.faults_path])}')
    parts += [_cell_faults(raw, column, staged) for column in columns if column.unread and column.role != 'time']
    parts += _record_faults(raw, columns, staged, zone=zone)
    nothing = (
        'SELECT 0::BIGINT AS line, NULL::BIGINT AS byte, NULL::VARCHAR AS "column", NULL::VARCHAR AS kind, '
        'NULL::VARCHAR AS value, NULL::VARCHAR AS action, NULL::VARCHAR AS reason WHERE false'
    )
    union = ' UNION ALL '.join([nothing, *parts])
    target = duck.text(str(out))
    connection.execute(
        f'COPY (SELECT * FROM ({union}) ORDER BY line, "column" NULLS FIRST, kind) TO {target} (FORMAT parquet, COMPRESSION zstd)'
    )
    counted = connection.execute(f'SELECT kind, count(*) FROM read_parquet({target}) GROUP BY kind ORDER BY 2 DESC, 1')
    return {str(kind): int(count) for kind, count in counted.fetchall()}


def value_of(column: Column, *, zone: str) -> str:
    """SQL: the stored value of a raw cell."""
    x = column.text
    if column.type == 'integer' and column.reading.family == 'time':
        return f'TRY_CAST(regexp_extract({x}, {duck.text("^[0-9]+")}) AS BIGINT)'
    if column.type == 'integer':
        return readings.integers(column.reading, f'CASE WHEN {column.reading.fits(x)} THEN {x} END')
    if column.type == 'decimal':
        return readings.decimals(column.reading, x, scale=column.scale)
    if column.type in ('double', 'boolean'):
        return column.reading.read(x) if column.reading.family != 'text' else f'NULL::{column.type}'
    if column.type == 'text':
        return f'CASE WHEN {readings.trimmed(column.cell)} IS NOT NULL THEN {column.cell} END'
    return _time_value(column, zone=zone) if column.reading.family == 'time' else f'NULL::{_sql_type(column.type)}'


def _sql_type(kind: str) -> str:
    return {'text': 'VARCHAR', 'integer': 'BIGINT', 'timestamptz': 'TIMESTAMPTZ', 'decimal': 'DECIMAL(18, 0)'}.get(
        kind, kind.upper()
    )


def _time_value(column: Column, *, zone: str) -> str:
    naive, fixed = wall(column), instant(column)
    if column.type == 'timestamptz':
        return f"timezone('UTC', coalesce({fixed}, {_utc(naive, zone)}))"
    if column.type == 'date':
        return f'CAST(coalesce({naive}, {_local(fixed, zone)}) AS DATE)'
    return f'coalesce({naive}, {_local(fixed, zone)})'


def _utc(naive: str, zone: str) -> str:
    return naive if zone == 'UTC' else f"timezone('UTC', timezone({duck.text(zone)}, {naive}))"


def _local(fixed: str, zone: str) -> str:
    return fixed if zone == 'UTC' else f"timezone({duck.text(zone)}, timezone('UTC', {fixed}))"


def _time_of(columns: Sequence[Column]) -> Column | None:
    return next((column for column in columns if column.role == 'time'), None)


def _is_calendar(time: Column) -> bool:
    """Whether the times are days, months or years: they are kept at 00:00 UTC whatever the zone."""
    return time.type in ('date', 'integer')


def _moves(time: Column | None, zone: str) -> bool:
    return time is not None and zone != 'UTC' and not _is_calendar(time)


def _typed(raw: RawTable, columns: Sequence[Column], *, zone: str) -> str:
    """SQL: every row, typed, with `_row`, `_line`, `_time`, `_status`."""
    time = _time_of(columns)
    values = ''.join(f', {value_of(column, zone=zone)} AS {duck.identifier(column.name)}' for column in columns)
    marks = ''.join(f', {_unread(column)} AS u{column.index}' for column in columns if column.unread)
    clocks = f', {wall(time)} AS _wall, {instant(time)} AS _instant' if time else ''
    source = (
        f'SELECT file_row_number AS _row, _line, _flag{clocks}{_mixed(time)}{values}{marks} '
        f'FROM {rows_of(raw, numbered=True)}'
    )
    moved = _moves(time, zone)
    utc = _utc_time(time, zone, moved=moved)
    timed = f'SELECT *, {utc} AS _time{_skipped(zone) if moved else ""} FROM ({source}) r{" LEFT JOIN overlaps USING (_row)" if moved else ""}'
    listed = ''.join(f', {duck.identifier(column.name)}' for column in columns)
    return f'SELECT _row, _line, _time, {_status(columns, moved=moved)} AS _status{listed} FROM ({timed})'


def _utc_time(time: Column | None, zone: str, *, moved: bool) -> str:
    if time is None:
        return 'NULL::TIMESTAMP'
    naive = '_wall' if _is_calendar(time) else _utc('_wall', zone)
    return f'coalesce(_instant, {"_twice, " if moved else ""}{naive})'


def _skipped(zone: str) -> str:
    place = duck.text(zone)
    return f', coalesce(timezone({place}, timezone({place}, _wall)) <> _wall, false) AS _skipped, coalesce(_twice IS NOT NULL, false) AS _doubled'


def _mixed(time: Column | None) -> str:
    """SQL: marks of times that are read with a listed change."""
    if time is None:
        return ''
    odd = 'false'
    if time.reading.instant is not None and not time.reading.coded and time.figures.get('instants'):
        one = instant(time) if time.type != 'timestamptz' else wall(time)
        odd = f'({one}) IS NOT NULL'
    fine = f'coalesce({_cut(time)}, false)' if _is_fine(time) else 'false'
    return f', {odd} AS _odd, {fine} AS _fine'


def _is_fine(time: Column) -> bool:
    return bool(time.figures.get('fine'))


def _cut(time: Column) -> str:
    return f'regexp_matches({time.text}, {duck.text(time.reading.fine)})'


def _status(columns: Sequence[Column], *, moved: bool) -> str:
    bad = [f'_flag >= {int(Flag.REJECTED)}', *_fatal(columns)]
    changed = [f'_flag = {int(Flag.REPAIRED)}', *(f'u{c.index}' for c in columns if c.unread and c.role != 'time')]
    if _time_of(columns) is not None:
        changed += ['_odd', '_fine']
    if moved:
        changed += ['_skipped', '_doubled']
    return f'CASE WHEN {" OR ".join(bad)} THEN 2 WHEN {" OR ".join(changed)} THEN 1 ELSE 0 END::UTINYINT'


def _fatal(columns: Sequence[Column]) -> list[str]:
    """SQL: conditions over typed rows under which a record cannot be stored."""
    measures = [duck.identifier(column.name) for column in columns if column.role == 'measure']
    conditions = [f'{duck.identifier(column.name)} IS NULL' for column in columns if column.role == 'series']
    if _time_of(columns) is not None:
        conditions.append('_time IS NULL')
        if measures:
            conditions.append(f'coalesce({", ".join(f"CAST({name} AS VARCHAR)" for name in measures)}) IS NULL')
    return conditions


def _unread(column: Column) -> str:
    """SQL: whether a raw cell holds something that is not of the column's type."""
    return f'(({column.text}) IS NOT NULL AND ({value_of(column, zone="UTC")}) IS NULL)'


def _overlaps(connection: 'duckdb.DuckDBPyConnection', raw: RawTable, columns: Sequence[Column], *, zone: str) -> None:
    """Find the wall-clock times that the zone has twice and give each row its instant."""
    time = _time_of(columns)
    if time is None or not _moves(time, zone):
        return
    place = duck.text(zone)
    keys = ''.join(f', {column.cell}' for column in columns if column.role == 'series')
    # Where a wall-clock time has two instants, DuckDB gives one; the other lies up to an hour before or after it.
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE overlaps AS
        WITH times AS (SELECT file_row_number AS _row, {wall(time)} AS w{keys} FROM {rows_of(raw, numbered=True)}),
        days AS (SELECT DISTINCT w FROM times WHERE w IS NOT NULL),
        shifts AS (SELECT unnest([INTERVAL 30 MINUTE, INTERVAL 1 HOUR]) AS shift),
        instants AS (SELECT w, timezone('UTC', timezone({place}, w)) AS u FROM days),
        both_ways AS (SELECT w, u, unnest([u - shift, u + shift]) AS o FROM instants, shifts),
        twice AS (SELECT w, min(least(u, o)) AS early, max(greatest(u, o)) AS late FROM both_ways
            WHERE timezone({place}, timezone('UTC', o)) = w GROUP BY w)
        SELECT _row, CASE WHEN row_number() OVER (PARTITION BY w{keys} ORDER BY _row) = 1 THEN early ELSE late END AS _twice
        FROM times JOIN twice USING (w)"""
    )


# faults


def _fault(column: str | None, kind: str, value: str, action: str, reason: str) -> str:
    """SQL: the columns of one fault, over a row with `_line`."""
    named = duck.text(column) if column is not None else 'NULL::VARCHAR'
    return (
        f'_line AS line, NULL::BIGINT AS byte, {named} AS "column", {kind} AS kind, '
        f'left({value}, {SHOWN}) AS value, {action} AS action, {reason} AS reason'
    )


def _cell_faults(raw: RawTable, column: Column, staged: Staged) -> str:
    """SQL: the unreadable cells of one column."""
    kind, reason = _KINDS[column.reading.family]
    kinds, reasons = duck.text(kind), duck.text(f'{reason} ({column.reading.name})')
    if column.reading.family == 'number':
        fits = column.reading.fits('x')
        kinds = f'CASE WHEN {fits} THEN {duck.text(CellFault.OUT_OF_RANGE)} ELSE {kinds} END'
        reasons = f"CASE WHEN {fits} THEN 'too large to be stored' ELSE 'not a number' END"
    cells = f'SELECT file_row_number AS _row, _line, {column.cell} AS c, {column.text} AS x FROM {rows_of(raw, numbered=True)} WHERE _flag < 2 AND {_unread(column)}'
    action = "CASE WHEN _status = 2 THEN 'rejected' ELSE 'emptied' END"
    statuses = f'SELECT _row, _status FROM {duck.files([staged.path])}'
    return f'SELECT {_fault(column.name, kinds, "c", action, reasons)} FROM ({cells}) JOIN ({statuses}) USING (_row)'


def _record_faults(raw: RawTable, columns: Sequence[Column], staged: Staged, *, zone: str) -> list[str]:
    """SQL: the records that cannot be stored, and the times that are stored with a change."""
    time = _time_of(columns)
    stored = f'SELECT * FROM {duck.files([staged.path])}'
    parts = []
    for key in (column for column in columns if column.role == 'series'):
        bad = f'SELECT _row FROM ({stored}) WHERE {duck.identifier(key.name)} IS NULL'
        parts.append(_listed(raw, key, bad, CellFault.MISSING_KEY, 'the series key is missing', 'rejected'))
    if time is None:
        return parts
    lost = f'SELECT _row FROM ({stored}) WHERE _time IS NULL'
    missing = f'({time.text}) IS NULL'
    parts.append(_listed(raw, time, lost, CellFault.MISSING_TIME, 'the time is missing', 'rejected', where=missing))
    unread = f'not a time written as {time.reading.name}'
    parts.append(_listed(raw, time, lost, CellFault.NOT_A_TIME, unread, 'rejected', where=f'NOT ({missing})'))
    measures = [duck.identifier(column.name) for column in columns if column.role == 'measure']
    if measures:
        nothing = ' AND '.join(f'{name} IS NULL' for name in measures)
        parts.append(
            f'SELECT {_fault(None, duck.text(CellFault.NO_MEASURE), "NULL::VARCHAR", duck.text("rejected"), duck.text("no measure holds a value"))} '
            f'FROM (SELECT s._line FROM ({stored}) s JOIN (SELECT file_row_number AS _row, _flag FROM {rows_of(raw, numbered=True)}) USING (_row) WHERE _flag < 2 AND {nothing})'
        )
    return parts + _time_changes(raw, time, staged, zone=zone)


def _time_changes(raw: RawTable, time: Column, staged: Staged, *, zone: str) -> list[str]:
    kept = f'SELECT _row FROM {duck.files([staged.path])} WHERE _status < 2'
    parts = []
    if time.reading.instant is not None and not time.reading.coded and time.figures.get('instants'):
        odd = f'({instant(time) if time.type != "timestamptz" else wall(time)}) IS NOT NULL'
        why = (
            f'without an offset; read in {zone}' if time.type == 'timestamptz' else 'with an offset, unlike the others'
        )
        parts.append(_listed(raw, time, kept, CellFault.MIXED_ZONE, why, 'repaired', where=odd))
    if _is_fine(time):
        parts.append(
            _listed(raw, time, kept, CellFault.LOST_PRECISION, 'cut to the microsecond', 'repaired', where=_cut(time))
        )
    if _moves(time, zone):
        place, naive = duck.text(zone), wall(time)
        gap = f'timezone({place}, timezone({place}, {naive})) <> ({naive})'
        parts.append(
            _listed(raw, time, kept, CellFault.DST_GAP, f'skipped in {zone}; read an hour later', 'repaired', where=gap)
        )
        twice = f'{kept} AND _row IN (SELECT _row FROM overlaps)'
        parts.append(
            _listed(raw, time, twice, CellFault.DST_OVERLAP, f'twice in {zone}; by order in the file', 'repaired')
        )
    return parts


def _listed(
    raw: RawTable, column: Column, rows: str, kind: str, reason: str, action: str, *, where: str = 'true'
) -> str:
    """SQL: a fault for the cell of `column` in each of these rows."""
    cells = f'SELECT file_row_number AS _row, _line, {column.cell} AS c FROM {rows_of(raw, numbered=True)} WHERE _flag < 2 AND {where}'
    fault = _fault(column.name, duck.text(kind), 'c', duck.text(action), duck.text(reason))
    return f'SELECT {fault} FROM ({cells}) SEMI JOIN ({rows}) USING (_row)'
