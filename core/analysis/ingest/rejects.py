"""Rejects: which rows are stored as read, stored with a listed change, or not stored, and the list of faults.

`stage` writes every row of the raw table once, typed, with `_row` (its number), `_time` (UTC) and `_status`; the list
of faults is taken from the same expressions, so the two cannot disagree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.analysis import duck
from core.analysis.ingest.rawtable import FaultAction, Flag, RawTable
from core.analysis.ingest.tallies import FEW_CELLS
from core.analysis.ingest.types import Column
from core.analysis.ingest.values import text_rows, typed_rows, utc

if TYPE_CHECKING:
    import duckdb

SHOWN: Final = 200
REPAIRS: Final[Mapping[str, str]] = {
    'padding': 'Blanks around a cell are taken off.',
    'number_format': 'A number written otherwise than its column, such as 1.234,5 among 1234.5, is read as meant.',
    'null_spelling': 'A word that spells a missing value, such as NA, is a missing value.',
    'unit': 'A unit after a number, such as 5 kg, is taken off.',
    'duplicate': 'Of the records of one series and time, one is stored.',
    'date_format': 'A time written otherwise than its column is read as meant.',
    'guard': 'The apostrophe that downloads put before a text such as =1+1, against spreadsheets, is taken off.',
}
"""What is put right on the way, by the name that switches it off. Without it, the cell is a fault of its kind."""


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
    """A record of a table with measures in which every measure is missing, and no cell of them is listed itself. Action
    `rejected`."""
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
    PADDING = 'padding'
    """Blanks around a cell of a column without; they were taken off. Action `repaired`."""
    NUMBER_FORMAT = 'number_format'
    """A number written otherwise than its column, of which it is sure what it means. Action `repaired`."""
    NULL_SPELLING = 'null_spelling'
    """A word that spells a missing value in a column that does not use it much. Action `repaired`."""
    UNIT = 'unit'
    """A number with a unit in a column without, or the reverse. Action `repaired`."""
    DATE_FORMAT = 'date_format'
    """A time written otherwise than its column, of which it is sure what it means. Action `repaired`."""
    GUARD = 'guard'
    """A text with the apostrophe that our downloads put before what a spreadsheet would run. Action `repaired`."""
    DUPLICATE = 'duplicate'
    """A record of a series and time that another record has too. Action `rejected`, or `repaired` for the one that is
    stored with the mean of all."""


_KINDS: Final = {
    'number': (CellFault.NOT_A_NUMBER, 'not a number'),
    'boolean': (CellFault.NOT_A_BOOLEAN, 'not a truth value'),
    'time': (CellFault.NOT_A_TIME, 'not a time'),
}
_REASONS: Final = {
    CellFault.PADDING: 'blanks around it were taken off',
    CellFault.NUMBER_FORMAT: 'a number written otherwise than its column',
    CellFault.NULL_SPELLING: 'spells a missing value',
    CellFault.UNIT: 'with a unit, unlike its column, or without one',
    CellFault.DATE_FORMAT: 'a time written otherwise than its column',
    CellFault.GUARD: 'an apostrophe against spreadsheets, as downloads have it, was taken off',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """The typed rows in `path` (file order not kept; `_row` holds it) and how many have which status.

    `points` is how many rows are stored, which is more than the records that are where a wide table was melted. `typed`
    is SQL over a table of what `typed_rows` gives of all columns, where they are so few that it is kept.
    `rows` is SQL that gives them. Columns: `_row`, `_line`, `_time` TIMESTAMP (UTC; NULL without a time column),
    `_status` (0 accepted, 1 repaired, 2 rejected), then the stored columns.
    """

    path: Path
    rows: str
    accepted: int
    repaired: int
    rejected: int
    points: int | None = None
    typed: str = ''


def stage(
    connection: 'duckdb.DuckDBPyConnection',
    raw: RawTable,
    columns: Sequence[Column],
    *,
    zone: str,
    out: Path,
    keep_unmeasured: bool = False,
) -> Staged:
    """Type every row of the raw table and decide what becomes of it; `keep_unmeasured` stores rows without measure."""
    _read_clocks(connection, raw, columns, zone=zone)
    cells, typed = typed_rows(raw, columns, zone=zone), ''
    if raw.rows * len(columns) <= FEW_CELLS and any(column.unread or column.repaired for column in columns):
        # The faults of few cells are listed in less time than it takes to plan for each of them how it was typed.
        connection.execute(f'CREATE OR REPLACE TEMP TABLE typed AS {cells}')
        cells = typed = 'FROM typed'
    rows = _staged(raw, columns, cells, zone=zone, keep_unmeasured=keep_unmeasured)
    connection.execute(f'COPY ({rows}) TO {duck.text(str(out))} (FORMAT parquet, COMPRESSION lz4)')
    return replace(counted(connection, raw, out), typed=typed)


def counted(connection: 'duckdb.DuckDBPyConnection', raw: RawTable, out: Path) -> Staged:
    """Count the records of the staged rows in `out` by what becomes of them."""
    staged = duck.files([out])
    if raw.is_melted:
        # A record is rejected when all of its points are, and repaired when any was repaired or lost.
        kept = 'count(*) FILTER (_status < 2)'
        worst = f'CASE WHEN {kept} = 0 THEN 2 WHEN max(_status) > 0 THEN 1 ELSE 0 END'
        staged = f'(SELECT {worst} AS _status, {kept} AS points FROM {staged} GROUP BY _record)'
    rows = connection.execute(
        f'SELECT _status, count(*), {"sum(points)" if raw.is_melted else "count(*)"} FROM {staged} GROUP BY _status'
    ).fetchall()
    counts = {int(status): int(count) for status, count, _ in rows}
    points = sum(int(many) for status, _, many in rows if status < Flag.REJECTED)
    stored = counts.get(Flag.AS_READ, 0) + counts.get(Flag.REPAIRED, 0)
    return Staged(
        path=out,
        rows=f'SELECT * FROM {duck.files([out])}',
        accepted=counts.get(Flag.AS_READ, 0),
        repaired=counts.get(Flag.REPAIRED, 0),
        # The reader gives no row for a record that has no cell to show.
        rejected=raw.rows_read - stored,
        points=points,
    )


def list_faults(
    connection: 'duckdb.DuckDBPyConnection',
    raw: RawTable,
    columns: Sequence[Column],
    staged: Staged,
    *,
    zone: str,
    out: Path,
    keep_unmeasured: bool = False,
    more: Sequence[str] = (),
) -> dict[str, int]:
    """Write the faults, structural ones included, to `out` sorted by line; return how many there are of each kind.

    `more` is SQL that lists faults of other origin.
    """
    if staged.accepted == raw.rows_read and raw.faults_path is None and not more:
        return no_faults(connection, out)
    parts = [*more]
    if raw.faults_path is not None:
        parts.append(_record_shape_faults(raw.faults_path, staged))
    causes = _causes(columns, keep_unmeasured=keep_unmeasured)
    parts += [
        _cell_faults(raw, column, staged, causes, zone=zone)
        for column in columns
        if column.unread and column.role != 'time'
    ]
    parts += [_repaired(raw, column, staged, causes, zone=zone) for column in columns if column.repaired]
    parts += _record_faults(connection, raw, columns, staged, zone=zone, keep_unmeasured=keep_unmeasured)
    union = ' UNION ALL '.join([_NOTHING, *parts])
    return _write_faults(connection, union, out)


def repairs(kinds: Mapping[str, int], columns: Sequence[Column]) -> dict[str, int]:
    """Return how much was put right by each repair: what is listed, and the cells of columns that are written so."""
    found = {name: kinds.get(name, 0) for name in REPAIRS}
    for column in columns:
        for repair, figure in (('padding', 'padded'), ('null_spelling', 'spelled')):
            if repair not in column.repaired:
                found[repair] += int(column.figures.get(figure) or 0)
    return {name: count for name, count in found.items() if count}


def add_faults(connection: 'duckdb.DuckDBPyConnection', faults: str, out: Path) -> dict[str, int]:
    """Add faults that SQL lists to those in `out`; return how many there are of each kind."""
    held = out.with_name(f'{out.name}.held')
    out.replace(held)
    kinds = _write_faults(connection, f'SELECT * FROM {duck.files([held])} UNION ALL BY NAME {faults}', out)
    held.unlink()
    return kinds


def no_faults(connection: 'duckdb.DuckDBPyConnection', out: Path) -> dict[str, int]:
    """Write an empty list of faults to `out`."""
    connection.execute(f'COPY ({_NOTHING}) TO {duck.text(str(out))} (FORMAT parquet, COMPRESSION zstd)')
    return {}


def _write_faults(connection: 'duckdb.DuckDBPyConnection', union: str, out: Path) -> dict[str, int]:
    target = duck.text(str(out))
    # What joins hold is free before the sort begins: of many faults it takes all that there is, and would fail.
    loose = out.with_name(f'{out.name}.loose')
    connection.execute(f'COPY ({union}) TO {duck.text(str(loose))} (FORMAT parquet, COMPRESSION lz4)')
    connection.execute(
        f'COPY (SELECT * FROM {duck.files([loose])} ORDER BY line, "column" NULLS FIRST, kind, byte, value) '
        f'TO {target} (FORMAT parquet, COMPRESSION zstd)'
    )
    loose.unlink()
    counted = connection.execute(f'SELECT kind, count(*) FROM read_parquet({target}) GROUP BY kind ORDER BY 2 DESC, 1')
    return {str(kind): int(count) for kind, count in counted.fetchall()}


_NOTHING: Final = (
    'SELECT 0::BIGINT AS line, NULL::BIGINT AS byte, NULL::VARCHAR AS "column", NULL::VARCHAR AS kind, '
    'NULL::VARCHAR AS value, NULL::VARCHAR AS became, NULL::VARCHAR AS action, NULL::VARCHAR AS reason, '
    'NULL::BIGINT AS other_line WHERE false'
)


def _time_of(columns: Sequence[Column]) -> Column | None:
    return next((column for column in columns if column.role == 'time'), None)


def _is_calendar(time: Column) -> bool:
    """Whether the times are days, months or years: they are kept at 00:00 UTC whatever the zone."""
    return time.type in ('date', 'integer')


def _moves(time: Column | None, zone: str) -> bool:
    return time is not None and zone != 'UTC' and not _is_calendar(time)


def _staged(raw: RawTable, columns: Sequence[Column], cells: str, *, zone: str, keep_unmeasured: bool) -> str:
    """SQL: every row, with `_row`, `_line`, `_time`, `_status`, of the typed `cells` (SQL)."""
    time = _time_of(columns)
    values = ''.join(f', v{column.index}' for column in columns)
    marks = ''.join(f', {_unread(column)} AS u{column.index}' for column in columns if column.unread)
    marks += ''.join(f', r{column.index} IS NOT NULL AS m{column.index}' for column in columns if column.repaired)
    moved = _moves(time, zone)
    own = f', {_utc_time(time, moved=moved)} AS _time{_changes(time, moved=moved)}' if time else ''
    joined = _clocks(time) if time and moved else ''
    record = ', _record' if raw.is_melted else ''
    source = f'SELECT _row, _line, _flag{record}{own}{values}{marks} FROM ({cells}) r{joined}'
    named = ''.join(f', v{column.index} AS {duck.identifier(column.name)}' for column in columns)
    kept = '_time' if time else 'NULL::TIMESTAMP AS _time'
    status = _status(columns, moved=moved, keep_unmeasured=keep_unmeasured)
    return f'SELECT _row, _line{record}, {kept}, {status} AS _status{named} FROM ({source})'


def _utc_time(time: Column, *, moved: bool) -> str:
    i = time.index
    return f'coalesce(i{i}, _twice, w{i} + to_microseconds(shift))' if moved else f'coalesce(i{i}, w{i})'


def _changes(time: Column, *, moved: bool) -> str:
    """SQL: marks of times that are read with a listed change."""
    marks = f', {_odd(time)} AS _odd, {_fine(time)} AS _fine'
    return f'{marks}, coalesce(skipped, false) AS _skipped, _twice IS NOT NULL AS _doubled' if moved else marks


def _odd(time: Column) -> str:
    """SQL: whether a time has an offset in a column without, or none in a column with."""
    if time.reading.coded or not time.figures.get('instants'):
        return 'false'
    return f'{"w" if time.type == "timestamptz" else "i"}{time.index} IS NOT NULL'


def _fine(time: Column) -> str:
    if not time.figures.get('fine'):
        return 'false'
    return f'coalesce(regexp_matches(x{time.index}, {duck.text(time.reading.fine)}), false)'


def _is_skipped(time: Column) -> str:
    return f'{_half(f"w{time.index}")} IN (SELECT half FROM clocks WHERE skipped)'


def _clocks(time: Column) -> str:
    return f' LEFT JOIN doubled USING (_row) LEFT JOIN clocks ON {_half(f"w{time.index}")} = half'


def _status(columns: Sequence[Column], *, moved: bool, keep_unmeasured: bool) -> str:
    bad = [f'_flag >= {int(Flag.REJECTED)}', *_fatal(columns, keep_unmeasured=keep_unmeasured)]
    changed = [f'_flag = {int(Flag.REPAIRED)}', *(f'u{c.index}' for c in columns if c.unread and c.role != 'time')]
    changed += [f'm{column.index}' for column in columns if column.repaired]
    if _time_of(columns) is not None:
        changed += ['_odd', '_fine']
    if moved:
        changed += ['_skipped', '_doubled']
    return f'CASE WHEN {" OR ".join(bad)} THEN 2 WHEN {" OR ".join(changed)} THEN 1 ELSE 0 END::UTINYINT'


def _fatal(columns: Sequence[Column], *, keep_unmeasured: bool) -> list[str]:
    """SQL: conditions over typed rows under which a record cannot be stored."""
    conditions = [f'v{column.index} IS NULL' for column in columns if column.role == 'series']
    if _time_of(columns) is None:
        return conditions
    conditions.append('_time IS NULL')
    measures = [f'v{column.index} IS NULL' for column in columns if column.role == 'measure']
    return [*conditions, f'({" AND ".join(measures)})'] if measures and not keep_unmeasured else conditions


def _unread(column: Column) -> str:
    """SQL: whether a cell holds something that is not of the column's type."""
    return f'(x{column.index} IS NOT NULL AND v{column.index} IS NULL)'


def _read_clocks(
    connection: 'duckdb.DuckDBPyConnection', raw: RawTable, columns: Sequence[Column], *, zone: str
) -> None:
    """Read the zone's clock once for each half hour that occurs, and find the rows whose hour the zone has twice.

    Makes `clocks` (`half`, `shift` to UTC in microseconds, `skipped`) and `doubled` (`_row`, `_twice` its instant).
    """
    time = _time_of(columns)
    if time is None or not _moves(time, zone):
        return
    place = duck.text(zone)
    own = [time, *(column for column in columns if column.role == 'series')]
    keys = ''.join(f', v{column.index}' for column in own[1:])
    rows = f'SELECT _row, w{time.index} AS w{keys} FROM ({typed_rows(raw, own, zone=zone)}) WHERE _flag < 2'
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE clocks AS
        WITH halves AS (SELECT DISTINCT {_half('w')} AS half FROM ({rows}) WHERE w IS NOT NULL),
        instants AS (SELECT half, {utc('half', zone)} AS u FROM halves),
        shifts AS (SELECT unnest([INTERVAL 30 MINUTE, INTERVAL 1 HOUR]) AS shift),
        others AS (SELECT half, u, unnest([u - shift, u + shift]) AS o FROM instants, shifts),
        twice AS (SELECT half, min(least(u, o)) AS early, max(greatest(u, o)) AS late FROM others
            WHERE timezone({place}, timezone('UTC', o)) = half GROUP BY half)
        SELECT half, epoch_us(u) - epoch_us(half) AS shift, timezone({place}, timezone('UTC', u)) <> half AS skipped,
            epoch_us(early) - epoch_us(half) AS early, epoch_us(late) - epoch_us(half) AS late
        FROM instants LEFT JOIN twice USING (half)"""
    )
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE doubled AS
        WITH numbered AS (SELECT *, row_number() OVER (PARTITION BY w{keys} ORDER BY _row) AS place
            FROM ({rows}) JOIN clocks ON {_half('w')} = half WHERE early IS NOT NULL)
        SELECT _row, w + to_microseconds(CASE WHEN place = 1 THEN early ELSE late END) AS _twice FROM numbered"""
    )


def _half(time: str) -> str:
    """SQL: the half hour in which a time lies; zones change their clocks at such times only."""
    return f"time_bucket(INTERVAL 30 MINUTE, {time}, TIMESTAMP '2000-01-01')"


# faults


def fault(
    *,
    column: str,
    kind: str,
    value: str,
    action: str,
    reason: str,
    became: str = 'NULL::VARCHAR',
    other: str = 'NULL::BIGINT',
) -> str:
    """SQL: the columns of one fault, over a row with `_line`; `became` is what is stored of the value, `other` the line
    of the record that is stored in its place."""
    return (
        f'_line AS line, NULL::BIGINT AS byte, {column} AS "column", {kind} AS kind, left({value}, {SHOWN}) AS value, '
        f'left({became}, {SHOWN}) AS became, {action} AS action, {reason} AS reason, {other} AS other_line'
    )


def _fault(raw: RawTable, column: Column | None, kind: str, value: str, action: str, reason: str, **more: str) -> str:
    """SQL: such columns for a cell of `column`, or for a record."""
    named = duck.text(column.name) if column is not None else 'NULL::VARCHAR'
    if raw.is_melted and (column is None or column.index >= raw.shape['value_place'] - 1):
        # Of several measures, each is named.
        measure = max(1, column.index - raw.shape['value_place'] + 1) if column is not None else 1
        named = f'split_part(_column, chr(31), {measure})'
    return fault(column=named, kind=kind, value=value, action=action, reason=reason, **more)


def _once(raw: RawTable, column: Column | None, faults: str) -> str:
    """SQL: the faults of a column; one for each record where a melted table repeats its cells."""
    kept = raw.is_melted and column is not None and column.index < raw.shape['value_place'] - 1
    return f'SELECT DISTINCT * FROM ({faults})' if kept else faults


def _record_shape_faults(faults: Path, staged: Staged) -> str:
    """SQL: the reader's own faults; where no record of a line is stored, nothing that was repaired is."""
    source = duck.files([faults])
    lost = (
        f'SELECT _line AS line, bool_and(_status = 2) AS lost FROM {duck.files([staged.path])} '
        f'WHERE _line IN (SELECT line FROM {source}) GROUP BY _line'
    )
    rejected, left_out = duck.text(FaultAction.REJECTED), duck.text(FaultAction.LEFT_OUT)
    action = f'CASE WHEN lost AND action <> {rejected} THEN {left_out} ELSE action END AS action'
    return (
        f'SELECT line, byte, "column", kind, value, NULL::VARCHAR AS became, {action}, reason, '
        f'NULL::BIGINT AS other_line '
        f'FROM {source} LEFT JOIN ({lost}) USING (line)'
    )


def _cell_faults(raw: RawTable, column: Column, staged: Staged, causes: Mapping[int, str], *, zone: str) -> str:
    """SQL: the unreadable cells of one column; `causes` tells when such a cell is why its record is rejected."""
    kind, reason = _KINDS[column.reading.family]
    kinds, reasons = duck.text(kind), duck.text(f'{reason} ({column.reading.name})')
    if column.reading.family == 'number':
        fits = column.reading.fits(f'x{column.index}')
        kinds = f'CASE WHEN {fits} THEN {duck.text(CellFault.OUT_OF_RANGE)} ELSE {kinds} END'
        reasons = f"CASE WHEN {fits} THEN 'too large to be stored' ELSE 'not a number' END"
    typed = staged.typed or typed_rows(raw, [column], zone=zone)
    cells = f'SELECT * FROM ({typed}) WHERE _flag < 2 AND {_unread(column)}'
    action = _action(FaultAction.EMPTIED)
    told = _fault(raw, column, kinds, column.cell, action, reasons)
    statuses = _statuses(staged, causes.get(column.index, 'false'))
    return _once(raw, column, f'SELECT {told} FROM ({cells}) JOIN ({statuses}) USING (_row)')


def _repaired(raw: RawTable, column: Column, staged: Staged, causes: Mapping[int, str], *, zone: str) -> str:
    """SQL: the cells of one column that are read with a repair."""
    mark = f'r{column.index}'
    reasons = ' '.join(f'WHEN {duck.text(kind)} THEN {duck.text(reason)}' for kind, reason in _REASONS.items())
    typed = staged.typed or typed_rows(raw, [column], zone=zone)
    cells = f'SELECT * FROM ({typed}) WHERE _flag < 2 AND {mark} IS NOT NULL'
    told = _fault(
        raw,
        column,
        mark,
        column.cell,
        _action(FaultAction.REPAIRED),
        f'CASE {mark} {reasons} END',
        became=f'CASE WHEN _status < 2 THEN {_became(column, zone=zone)} END',
    )
    statuses = _statuses(staged, causes.get(column.index, 'false'))
    return _once(raw, column, f'SELECT {told} FROM ({cells}) JOIN ({statuses}) USING (_row)')


def _statuses(staged: Staged, cause: str) -> str:
    """SQL: what becomes of each record, and whether a cell without a value is why (`cause`, over its columns)."""
    return f'SELECT _row, _status, _time, {cause} AS _cause FROM {duck.files([staged.path])}'


def _action(kept: FaultAction) -> str:
    """SQL: what became of a cell: `kept` where its record is stored."""
    lost = f'CASE WHEN _cause THEN {duck.text(FaultAction.REJECTED)} ELSE {duck.text(FaultAction.LEFT_OUT)} END'
    return f'CASE WHEN _status < 2 THEN {duck.text(kept)} ELSE {lost} END'


def _causes(columns: Sequence[Column], *, keep_unmeasured: bool) -> dict[int, str]:
    """SQL, by column: whether a record cannot be stored because its cell is NULL (over a staged row)."""
    measures = [column for column in columns if column.role == 'measure']
    nothing = ' AND '.join(f'{duck.identifier(column.name)} IS NULL' for column in measures)
    found = {column.index: f'({nothing})' for column in measures if not keep_unmeasured}
    return found | {c.index: f'({duck.identifier(c.name)} IS NULL)' for c in columns if c.role == 'series'}


def _became(column: Column, *, zone: str, offset: bool = False) -> str:
    """SQL: what is stored of a cell, as text: over its typed row beside `_time`. A time tells its `offset` if asked."""
    value = f'v{column.index}'
    if column.role == 'time' and column.type in ('timestamp', 'timestamptz'):
        instant = "timezone('UTC', _time)"
        if offset or column.type == 'timestamptz':
            return duck.stamped(instant, zone)
        return f'timezone({duck.text(zone)}, {instant})::VARCHAR'
    if column.type == 'timestamptz':
        return duck.stamped(value, zone)
    return f"regexp_replace({value}::VARCHAR, '\\.0$', '')" if column.type == 'double' else f'{value}::VARCHAR'


def _record_faults(
    connection: 'duckdb.DuckDBPyConnection',
    raw: RawTable,
    columns: Sequence[Column],
    staged: Staged,
    *,
    zone: str,
    keep_unmeasured: bool,
) -> list[str]:
    """SQL: the records that cannot be stored, and the times that are read with a change."""
    stored = duck.files([staged.path])
    time = _time_of(columns)
    keys = {f'_status = 2 AND {duck.identifier(c.name)} IS NULL': c for c in columns if c.role == 'series'}
    late = '_time IS NULL'
    measures = [column for column in columns if column.role == 'measure' and time and not keep_unmeasured]
    bare = ' AND '.join(['_status = 2', *(f'{duck.identifier(column.name)} IS NULL' for column in measures)])
    # To plan the list of what there is none of takes longer than to look.
    causes = [*keys, *([late] if time else []), *([bare] if measures else [])]
    asked = ', '.join(f'count(*) FILTER ({cause})' for cause in causes)
    counts = duck.single(connection, f'SELECT {asked} FROM {stored}') if causes else ()
    lost = {cause: f'SELECT _row FROM {stored} WHERE {cause}' for cause, n in zip(causes, counts, strict=True) if n}
    listed = partial(_listed, raw, typed=staged.typed)
    parts = [
        listed(key, lost[cause], CellFault.MISSING_KEY, 'the series key is missing', where=f'x{key.index} IS NULL')
        for cause, key in keys.items()
        if cause in lost
    ]
    if time is None:
        return parts
    if late in lost:
        x, unread = f'x{time.index}', f'not a time written as {time.reading.name}'
        parts += [
            listed(time, lost[late], CellFault.MISSING_TIME, 'the time is missing', where=f'{x} IS NULL'),
            listed(time, lost[late], CellFault.NOT_A_TIME, unread, where=f'{x} IS NOT NULL'),
        ]
    if bare in lost:
        # A cell that is listed itself tells why already.
        told = [column for column in measures if column.unread or column.repaired]
        silent = [f'NOT {_unread(column)}' for column in told if column.unread]
        silent += [f'r{column.index} IS NULL' for column in told if column.repaired]
        where, why = ' AND '.join(silent) or 'true', 'no measure holds a value'
        parts.append(listed(None, lost[bare], CellFault.NO_MEASURE, why, where=where, beside=told, zone=zone))
    return parts + _time_changes(raw, time, staged, zone=zone)


def _time_changes(raw: RawTable, time: Column, staged: Staged, *, zone: str) -> list[str]:
    read = f'SELECT _row, _time, _status FROM {duck.files([staged.path])} WHERE _time IS NOT NULL'
    action = f'CASE WHEN _status < 2 THEN {duck.text(FaultAction.REPAIRED)} ELSE {duck.text(FaultAction.LEFT_OUT)} END'
    offset = f'without an offset; read in {zone}' if time.type == 'timestamptz' else 'with an offset, unlike the others'
    changes = [
        (CellFault.MIXED_ZONE, offset, _odd(time)),
        (CellFault.LOST_PRECISION, 'cut to the microsecond', _fine(time)),
    ]
    if _moves(time, zone):
        changes += [
            (CellFault.DST_GAP, f'skipped in {zone}; read an hour later', _is_skipped(time)),
            (CellFault.DST_OVERLAP, f'twice in {zone}; taken by order', '_row IN (SELECT _row FROM doubled)'),
        ]
    return [
        _listed(
            raw,
            time,
            read,
            kind,
            reason,
            action=action,
            where=where,
            became=f'CASE WHEN _status < 2 THEN {became} END',
            zone=zone,
            typed=staged.typed,
        )
        for kind, reason, where in changes
        for became in [_became(time, zone=zone, offset=kind in (CellFault.DST_GAP, CellFault.DST_OVERLAP))]
        if where != 'false'
    ]


def _listed(
    raw: RawTable,
    column: Column | None,
    rows: str,
    kind: str,
    reason: str,
    *,
    typed: str,
    zone: str | None = None,
    action: str = "'rejected'",
    where: str = 'true',
    beside: Sequence[Column] = (),
    became: str = 'NULL::VARCHAR',
) -> str:
    """SQL: a fault for the cell of `column` in each of these rows that the reader did not reject itself.

    `where` may speak of `column` and of those `beside` it, `action` and `became` of what the rows tell too. Without
    `typed` cells (see `Staged`) and a `zone`, cells are texts alone: to plan how a time is read takes as long as to
    list a small file's faults.
    """
    own = [*([column] if column else []), *beside]
    read = typed or (typed_rows(raw, own, zone=zone) if zone else text_rows(raw, own))
    cells = f'SELECT * FROM ({read}) WHERE _flag < 2 AND {where}'
    value = column.cell if column else 'NULL::VARCHAR'
    told = _fault(raw, column, duck.text(kind), value, action, duck.text(reason), became=became)
    return _once(raw, column, f'SELECT {told} FROM ({cells}) JOIN ({rows}) USING (_row)')
