"""Clean files in one pass: a large text whose cells all are what its samples promise is typed while it is read.

Slices from all over the file tell the types, by the same rules as a whole table does. Then one pass reads the file
strictly and types every cell by the cheapest way that is certain: a cast that gives the cell's own text when it is
written out again. A cell for which that fails is looked at closely. Where one cell is anything but a value in the
column's usual form or a missing one, or a record is more or less than a row of the table, nothing of this stands: the
file is read with all care instead. So this module knows no faults; what it stores is accepted as read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from core.analysis import duck
from core.analysis.ingest import digits, readings
from core.analysis.ingest.parts import Stored
from core.analysis.ingest.rawtable import RawTable, Unread
from core.analysis.ingest.readings import Reading
from core.analysis.ingest.roles import CHECKED, labels
from core.analysis.ingest.tallies import rows_of, within
from core.analysis.ingest.types import Column
from core.analysis.tables import guarded
from core.errors import VariosyncError

if TYPE_CHECKING:
    import duckdb

SLICES: Final = 24
SLICE_BYTES: Final = 2**16
WIDEST: Final = 64
ODD: Final = 1000
PRINTED: Final = 20
"""So many characters most float64 take that are written out: a sign, a zero, a point and 17 digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clean:
    """A file that was read in one pass. `rows` is SQL that gives `_row, _line, _time, _status` and the columns.

    `missing` counts the cells in which a word spells that the value is missing.
    """

    raw: RawTable
    columns: list[Column]
    rows: str
    count: int
    missing: int


def read_clean(
    connection: 'duckdb.DuckDBPyConnection',
    raw: RawTable,
    *,
    zone: str,
    workdir: Path,
    typed: Callable[[RawTable], list[Column]],
    roles: Callable[[RawTable, Sequence[Column]], list[Column]],
) -> Clean | None:
    """Read and type the unread text of `raw`; None when it is not clean throughout.

    `typed` gives a table's columns with their types, `roles` gives them their roles.
    """
    unread = raw.unread
    if unread is None or len(raw.names) > WIDEST:
        return None
    staged = workdir / 'clean.parquet'
    try:
        sample = _sample(connection, raw, unread, workdir)
        columns = typed(sample)
        forms = _forms(connection, sample, columns)
        if forms is None:
            return None
        query = _typed(forms, columns, unread.rows(unread.path, unread.first - 1))
        connection.execute(
            f'COPY ({query}) TO {duck.text(str(staged))} '
            '(FORMAT parquet, COMPRESSION uncompressed, PARQUET_VERSION v2, ROW_GROUP_SIZE 122880)'
        )
        count, odd, missing, columns = _counted(connection, staged, columns)
    except VariosyncError:
        return None
    except failures():
        return None
    if odd or count != unread.last - unread.first + 1 or 0 < missing <= max(3, count // 10):
        return None
    read = replace(raw, rows_read=count, unread=None)
    columns = roles(_checked(connection, read, columns, staged, workdir), columns)
    time = next((column for column in columns if column.role == 'time'), None)
    if time is None or _moves(time, zone) or lacks(connection, [staged], columns):
        return None
    listed = ', '.join(duck.identifier(column.name) for column in columns)
    rows = (
        f'SELECT file_row_number AS _row, file_row_number + {unread.first} AS _line, {_instant(time)} AS _time, '
        f'0::UTINYINT AS _status, {listed} FROM read_parquet({duck.text(str(staged))}, file_row_number = true)'
    )
    return Clean(raw=read, columns=columns, rows=rows, count=count, missing=missing)


def read_at_once(
    connection: 'duckdb.DuckDBPyConnection',
    raw: RawTable,
    *,
    zone: str,
    workdir: Path,
    typed: Callable[[RawTable], list[Column]],
    roles: Callable[[RawTable, Sequence[Column]], list[Column]],
) -> Stored | None:
    """Return the rows of the unread text of `raw` for one statement that reads, types, sorts and stores them.

    That statement fails (see `failures`) at the first cell that is not in its column's usual form, or is a word that
    the samples do not have. None when there is no hope. `read_clean` takes more.
    """
    unread = raw.unread
    if unread is None or len(raw.names) > WIDEST:
        return None
    try:
        sample = _sample(connection, raw, unread, workdir)
        columns = typed(sample)
        forms = _forms(connection, sample, columns)
        if forms is None:
            return None
        columns = roles(sample, columns)
        few = _typed(forms, columns, rows_of(sample), strict=True)
        (rows,) = duck.single(connection, f'SELECT count(*) FROM ({few})')
    except VariosyncError:
        return None
    except failures():
        return None
    time = next((column for column in columns if column.role == 'time'), None)
    if time is None or _moves(time, zone) or rows != sample.rows_read:
        return None
    query = _typed(forms, columns, unread.rows(unread.path, unread.first - 1), strict=True)
    label = labels(columns)
    numbered = f'SELECT row_number() OVER () - 1 AS _row, * FROM ({query})'
    own = f'{label} AS _series, {_instant(time)} AS _time, _row + {unread.first} AS _line'
    return Stored(
        rows=f'SELECT *, {own} FROM ({numbered})',
        columns=columns,
        count=unread.last - unread.first + 1,
        sample=f'SELECT *, {label} AS _series FROM ({few})',
        first=unread.first,
    )


def failures() -> tuple[type[Exception], ...]:
    """Return what DuckDB raises when a text is not as clean as it seemed, or needs more memory."""
    import duckdb

    return (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.OutOfMemoryException)


def lacks(connection: 'duckdb.DuckDBPyConnection', parts: Sequence[Path], columns: Sequence[Column]) -> bool:
    """Whether a stored record lacks its time, a key or every measure."""
    asked = [c.name for c in columns if c.role in ('time', 'series')] + [
        c.name for c in columns if c.role == 'measure'
    ][:1]
    (known, missing) = duck.single(
        connection,
        f'SELECT count(stats_null_count) = count(*), sum(stats_null_count) FROM parquet_metadata(['
        f'{", ".join(duck.text(str(part)) for part in parts)}]) WHERE path_in_schema IN (SELECT unnest(?))',
        [asked],
    )
    if known and missing == 0:
        return False
    needed = [f'{duck.identifier(c.name)} IS NULL' for c in columns if c.role in ('time', 'series')]
    measures = [duck.identifier(c.name) for c in columns if c.role == 'measure']
    if measures:
        needed.append('(' + ' AND '.join(f'{name} IS NULL' for name in measures) + ')')
    found = connection.execute(f'SELECT 1 FROM {duck.files(parts)} WHERE {" OR ".join(needed)} LIMIT 1').fetchall()
    return bool(found)


def _forms(connection: 'duckdb.DuckDBPyConnection', sample: RawTable, columns: Sequence[Column]) -> 'list[Form] | None':
    """Return the form of every column, None when one has none or there is no time."""
    if any(column.repaired or column.figures.get('lost') for column in columns):
        return None
    joined = _joined(connection, sample, columns)
    tails = {column.index: _tail(connection, sample, column) for column in columns if column.zone}
    forms = [_form(column, joined=column.index in joined, tail=tails.get(column.index, '')) for column in columns]
    known = [form for form in forms if form]
    timed = any(column.reading.family == 'time' for column in columns)
    return known if timed and len(known) == len(forms) else None


def _sample(connection: 'duckdb.DuckDBPyConnection', raw: RawTable, unread: Unread, workdir: Path) -> RawTable:
    """Write whole lines from slices all over the file, the first and the last of them included, as a raw table."""
    text, table = workdir / 'sample.csv', workdir / 'sample.parquet'
    newline = unread.newline.encode()
    with unread.path.open('rb') as file, text.open('wb') as out:
        file.seek(unread.offset)
        for _ in range(unread.first - 1):
            _skip_line(file, newline)
        start, size = file.tell(), unread.path.stat().st_size
        for number in range(SLICES):
            place = start + (size - start - SLICE_BYTES) * number // (SLICES - 1)
            file.seek(max(place, start))
            block = file.read(SLICE_BYTES)
            begin = 0 if place <= start else block.find(newline) + len(newline)
            end = len(block) if number == SLICES - 1 else block.rfind(newline) + len(newline)
            out.write(block[begin:end])
    connection.execute(
        f'COPY (SELECT row_number() OVER () AS _line, 0::UTINYINT AS _flag, * FROM {unread.rows(text, 0)}) '
        f'TO {duck.text(str(table))} (FORMAT parquet, COMPRESSION lz4)'
    )
    (rows,) = duck.single(connection, f'SELECT count(*) FROM {duck.files([table])}')
    return replace(raw, path=table, rows_read=rows, unread=None)


def _skip_line(file: BinaryIO, newline: bytes) -> None:
    """Read on to the next line, also where lines end with a return."""
    if newline != b'\r':
        file.readline()
        return
    while (byte := file.read(1)) and byte != b'\r':
        pass


def _joined(connection: 'duckdb.DuckDBPyConnection', sample: RawTable, columns: Sequence[Column]) -> set[int]:
    """Return the places of the columns that join date and clock by a T."""
    asked = ', '.join(f"count(*) FILTER (contains({column.cell}, 'T'))" for column in columns)
    counts = duck.single(connection, f'SELECT {asked} FROM {duck.files([sample.path])}')
    return {column.index for column, count in zip(columns, counts, strict=True) if count}


# one column


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How the cells of one column are typed: SQL over its text `c`, in layers that name what the one below computed.

    `value` is a first value `f`; `sure` tells, of `c` and `f`, that it is right, and `close` does so at more cost, of
    cells that are neither empty nor missing where `sure` does not hold. What is `stored` is `f` unless given.
    """

    value: str
    sure: str
    close: str
    stored: str = ''


def _tail(connection: 'duckdb.DuckDBPyConnection', sample: RawTable, column: Column) -> str:
    """Return how the one zone of a column's times is written behind each of them, '' where that differs."""
    if '/' in column.zone:
        return f'[{column.zone}]'
    tail = f'nullif(regexp_extract({column.cell}, {duck.text(readings.OFFSET + "$")}), {duck.text("")})'
    least, most = duck.single(connection, f'SELECT min({tail}), max({tail}) FROM {duck.files([sample.path])}')
    return least if least == most and least else ''


def _form(column: Column, *, joined: bool, tail: str) -> Form | None:
    """Return the form of a column, None where only the careful way can read it; `joined` tells that it has a T, `tail`
    how its one zone is written."""
    c, f, reading = column.cell, f'f{column.index}', column.reading
    if reading.family == 'text':
        return _text(column)
    if reading.family == 'boolean':
        return Form(value=reading.read(c), sure=f'{f} IS NOT NULL', close='false')
    if reading.family == 'number':
        return _number(column)
    if reading == readings.ISO and not column.figures.get('instants') and column.type in ('date', 'timestamp'):
        return _iso(column, joined=joined)
    return _time(column, tail) if reading.family == 'time' and not column.figures.get('undecided') else None


def _text(column: Column) -> Form | None:
    c = column.cell
    if column.type != 'text':
        return None
    if not column.filled:
        return Form(value='NULL::VARCHAR', sure=f"{c} IS NULL OR {c} = ''", close='false')
    blank = f'{readings.trimmed(c)} IS NULL'
    value = f"CASE WHEN {c} >= '!' AND {c} < '\x7f' THEN {c} WHEN {blank} THEN NULL ELSE {c} END"
    if column.distinct * 4 <= column.filled:
        # Blanks around one of few words make another word, which is looked for among them.
        return Form(value=value, sure=f"{c} < '''' OR {c} >= '('", close=f'NOT {guarded(c)}')
    tight = f"({c} < '''' OR {c} >= '(') AND {c} >= '!' AND {c} < '\x7f' AND {c}[-1] >= '!' AND {c}[-1] < '\x7f'"
    return Form(value=value, sure=tight, close=f'({readings.trimmed(c)} = {c} AND NOT {guarded(c)})')


def _number(column: Column) -> Form | None:
    c, f, reading = column.cell, f'f{column.index}', column.reading
    if reading.group or reading.affix:
        return None
    plain = c if reading.decimal == '.' else f"replace({c}, {duck.text(reading.decimal)}, '.')"
    foreign = '' if reading.decimal == '.' else f" AND NOT contains({c}, '.')"
    if column.type == 'integer':
        return Form(value=f'TRY_CAST({c} AS BIGINT)', sure=f'{f}::VARCHAR = {c}', close='false')
    mark = r'\.' if reading.decimal == '.' else reading.decimal
    if column.type == 'decimal':
        shape = rf'-?(?:(?:0|[1-9]\d*)(?:{mark}\d{{0,{column.scale}}})?|{mark}\d{{1,{column.scale}}})'
        return Form(
            value=f'TRY_CAST({plain} AS DECIMAL({readings.MOST_DIGITS}, {column.scale}))',
            sure=f'{f}::VARCHAR = {plain}{foreign}',
            close=f'({f} IS NOT NULL AND regexp_full_match({c}, {duck.text(shape)}))',
        )
    # DuckDB also casts 1_000, nan, and cells with blanks around them: two bytes and a search tell those apart.
    ends = f"{c} >= '+' AND {c} < ':' AND {c}[-1] >= '.' AND {c}[-1] < ':'"
    shape = rf'[+-]?(?:\d+(?:{mark}\d*)?|{mark}\d+)(?:[eE][+-]?\d{{1,4}})?'
    known = f'WHEN strlen({c}) <= {digits.HELD} THEN true'
    if int(column.figures.get('longest') or 0) > digits.HELD:
        # The samples have long numbers and none that loses a digit: a program's float64, written out.
        known += f' WHEN strlen({c}) <= {PRINTED} AND abs({f}) < 1e9 THEN true'
    same = f'CASE {known} ELSE {f}::VARCHAR = {plain} END'
    return Form(
        value=f'TRY_CAST({plain} AS DOUBLE)',
        sure=f"isfinite({f}) AND {ends} AND NOT contains({c}, '_'){foreign} AND {same}",
        close=f'(isfinite({f}) AND regexp_full_match({c}, {duck.text(shape)}) AND NOT {digits.are_lost(plain, f)})',
        stored=f'CASE WHEN isfinite({f}) THEN {f} END',
    )


def _iso(column: Column, *, joined: bool) -> Form:
    c, f = column.cell, f'f{column.index}'
    if column.type == 'date':
        return Form(
            value=f'TRY_CAST({c} AS DATE)', sure=f'{f}::VARCHAR = {c} AND {within(f)} IS NOT NULL', close='false'
        )
    spaced = f"replace({c}, 'T', ' ')" if joined else c
    slow = f'({within(f"({column.reading.read(c)})")} = {f} AND NOT {_is_fine(column.reading, c)})'
    return Form(
        value=f'TRY_CAST({c} AS TIMESTAMP)', sure=f'{f}::VARCHAR = {spaced} AND {within(f)} IS NOT NULL', close=slow
    )


def _time(column: Column, tail: str) -> Form | None:
    """Any other time: by its own reading, cell by cell, as long as all are alike (all with an offset, or none)."""
    c, reading, f = column.cell, column.reading, f'f{column.index}'
    instants = bool(column.figures.get('instants'))
    if instants != (column.type == 'timestamptz'):
        return None
    value = within(f'({reading.read_instant(c) if instants else reading.read(c)})')
    sure = f'{f} IS NOT NULL AND NOT {_is_fine(reading, c)}'
    if column.zone and not tail:
        return None
    if column.zone:
        # The zone that the samples name is told of every time, so every one must name it.
        sure += f' AND ends_with({c}, {duck.text(tail)})'
    if column.type == 'date' and reading.unit == 'second':
        sure += f" AND NOT contains({c}, ':') AND NOT ends_with(lower({c}), 'm')"
    if instants:
        value = f"timezone('UTC', {value})"
    elif column.type == 'date':
        value = f'CAST({value} AS DATE)'
    elif column.type == 'integer':
        value = f'year({value})'
    return Form(value=value, sure=sure, close='false')


def _is_fine(reading: Reading, x: str) -> str:
    return f'regexp_matches({x}, {duck.text(reading.fine)})' if reading.fine else 'false'


# the pass


def _typed(forms: Sequence[Form], columns: Sequence[Column], source: str, *, strict: bool = False) -> str:
    """SQL: the columns, and `_state`: 0, or how many cells spell a missing value, and `ODD` more for each odd cell.

    A `strict` one has no `_state`: it fails where that is not 0.
    """
    pairs = [(form, column) for form, column in zip(forms, columns, strict=True)]
    cells = ', '.join(column.cell for column in columns)
    first = ', '.join(f'{form.value} AS f{column.index}' for form, column in pairs)
    unsure = [(form, column) for form, column in pairs if form.sure != 'true']
    known = ''.join(f', coalesce({form.sure}, false) AS k{column.index}' for form, column in unsure)
    states = ' + '.join(_state(form, column) for form, column in unsure)
    sure = ' AND '.join(f'k{column.index}' for _, column in unsure)
    named = ', '.join(
        f'{form.stored or f"f{column.index}"} AS {duck.identifier(column.name)}' for form, column in pairs
    )
    source = f'SELECT {cells}, {first} FROM {source}'
    source = f'SELECT *{known} FROM ({source})'
    if strict:
        clean = f"CASE WHEN {sure} THEN true WHEN {states} = 0 THEN true ELSE error('not clean') END"
        return f'SELECT {named} FROM ({source}) WHERE {clean}'
    return f'SELECT {named}, (CASE WHEN {sure} THEN 0 ELSE {states} END)::UINTEGER AS _state FROM ({source})'


def _state(form: Form, column: Column) -> str:
    c = column.cell
    x = readings.present(readings.trimmed(c))
    close = f'WHEN {form.close} THEN 0 ' if form.close != 'false' else ''
    missing = f"WHEN {c} IS NULL OR {c} = '' THEN 0 WHEN {x} IS NULL THEN 1"
    return f'CASE WHEN k{column.index} THEN 0 {missing} {close}ELSE {ODD} END'


def _counted(
    connection: 'duckdb.DuckDBPyConnection', staged: Path, columns: Sequence[Column]
) -> tuple[int, int, int, list[Column]]:
    """Return the number of rows, of odd and of missing cells, and the columns with their counts over all rows."""
    source = duck.files([staged])
    asked = ''.join(
        f', count({duck.identifier(c.name)}), approx_count_distinct({duck.identifier(c.name)})' for c in columns
    )
    texts = [duck.identifier(c.name) for c in columns if c.type == 'text']
    padded = ''.join(f' + count(CASE WHEN {readings.trimmed(name)} <> {name} THEN 1 END)' for name in texts)
    sums = f'coalesce(sum(_state // {ODD}), 0)::BIGINT{padded}, coalesce(sum(_state % {ODD}), 0)::BIGINT'
    count, odd, missing, *counts = duck.single(connection, f'SELECT count(*), {sums}{asked} FROM {source}')
    filled = [
        replace(column, filled=counts[2 * place], distinct=counts[2 * place + 1], unread=0)
        for place, column in enumerate(columns)
    ]
    return int(count), int(odd), int(missing), filled


def _checked(
    connection: 'duckdb.DuckDBPyConnection', raw: RawTable, columns: Sequence[Column], staged: Path, workdir: Path
) -> RawTable:
    """Return some of the typed rows as a raw table: those of some times, but all of each time's."""
    table = workdir / 'checked.parquet'
    times = [column for column in columns if column.reading.family == 'time'] or columns[:1]
    best = max(times, key=lambda column: column.distinct)
    every = max(1, raw.rows_read // CHECKED)
    cells = ', '.join(f'CAST({duck.identifier(column.name)} AS VARCHAR) AS {column.cell}' for column in columns)
    connection.execute(
        f'COPY (SELECT file_row_number AS _line, 0::UTINYINT AS _flag, {cells} '
        f'FROM read_parquet({duck.text(str(staged))}, file_row_number = true) '
        f'WHERE hash({duck.identifier(best.name)}) % {every} = 0 LIMIT {4 * CHECKED}) '
        f'TO {duck.text(str(table))} (FORMAT parquet, COMPRESSION lz4)'
    )
    (rows,) = duck.single(connection, f'SELECT count(*) FROM {duck.files([table])}')
    return replace(raw, path=table, rows_read=min(rows, CHECKED))


def _moves(time: Column, zone: str) -> bool:
    """Whether wall-clock times have to be read in a zone whose clock may change."""
    return zone != 'UTC' and time.type == 'timestamp'


def _instant(time: Column) -> str:
    """SQL: the time as a TIMESTAMP in UTC."""
    name = duck.identifier(time.name)
    if time.type == 'timestamptz':
        return f"timezone('UTC', {name})"
    if time.type == 'integer':
        return f'make_timestamp({name}, 1, 1, 0, 0, 0)'
    return f'CAST({name} AS TIMESTAMP)'
