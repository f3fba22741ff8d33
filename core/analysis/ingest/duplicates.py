"""Duplicates: of the records of one series and time one is stored, chosen by their order in the source.

`last` and `first` store that record as it is. `mean` and `sum` store the last one with the mean or the sum of every
measure. `auto` is `last`, unless most records would go though they differ: those are events of series that nothing
tells apart, so all stay, and a note says it, as it does where more than a few go. Records that a number of their own
tells apart, such as an order's, are events too, and no duplicates of one another. What is not stored is rejected and
listed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.analysis import alike, duck
from core.analysis.ingest.rawtable import RawTable
from core.analysis.ingest.rejects import CellFault, Staged, counted, fault
from core.analysis.ingest.roles import labels, numbers_things
from core.analysis.ingest.tallies import rows_of
from core.analysis.ingest.types import Column

if TYPE_CHECKING:
    import duckdb

MOST: Final = 0.5
SOME: Final = 3
SHARE: Final = 0.02
"""So many others of the same times, and this share of the stored rows, are hardly corrections of them."""
OWN: Final = 0.9
"""Numbers of things that happen once differ in so much of the rows; those that do not are the same thing again."""
FOLDED: Final = {'mean': 'avg', 'sum': 'sum'}
"""The rules by which a measure becomes something of all records, in SQL."""
CLOCKS: Final = ('Europe/Berlin', 'Europe/London', 'America/New_York', 'Europe/Athens', 'Australia/Sydney')
"""Zones that go back by an hour at different hours or days; others keep the clock of one of them on those days."""
FEW_TIMES: Final = 2000
SERIES: Final = 3
"""So many times as many series are there twice in such an hour as at any other time."""
YEAR: Final = 8766  # hours
LUCK: Final = 0.02
"""So seldom may duplicates that lie anywhere meet such an hour, where that alone speaks for a clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deduplicated:
    """The staged rows with the duplicates rejected; `faults` is SQL that lists them, `dropped` counts them."""

    staged: Staged
    columns: list[Column]
    faults: tuple[str, ...] = ()
    dropped: int = 0
    note: str = ''


def has_duplicates(connection: 'duckdb.DuckDBPyConnection', rows: str, columns: Sequence[Column]) -> bool:
    """Whether two of the rows that are to be stored share series and time."""
    found = duck.single(
        connection,
        f"""CREATE OR REPLACE TEMP TABLE repeated AS
        SELECT key FROM (SELECT {_key(columns)} AS key FROM ({rows}) WHERE _status < 2)
        GROUP BY key HAVING count(*) > 1""",
    )
    return found != (0,)


def own_number(connection: 'duckdb.DuckDBPyConnection', columns: Sequence[Column], rows: str) -> Column | None:
    """The column that numbers what happened, such as orders: called so, never empty, different in nearly all rows."""
    for column in columns:
        if column.role != 'attribute' or column.type not in ('integer', 'text') or not numbers_things(column.source):
            continue
        own = duck.identifier(column.name)
        many, filled, different = duck.single(
            connection,
            f'SELECT count(*), count({own}), count(DISTINCT {own}) FROM ({rows}) WHERE _status < 2',
        )
        if filled == many and different >= OWN * many:
            return column
    return None


def without_duplicates(
    connection: 'duckdb.DuckDBPyConnection',
    raw: RawTable,
    columns: Sequence[Column],
    staged: Staged,
    *,
    rule: str,
    zone: str,
    out: Path,
) -> Deduplicated:
    """Reject what is there twice for one series and time, by `rule` (see above), and write what is left to `out`."""
    plain = Deduplicated(staged=staged, columns=list(columns))
    if not any(c.role == 'time' for c in columns) or not has_duplicates(connection, staged.rows, columns):
        return plain
    values = ', '.join(duck.identifier(column.name) for column in columns)
    order = alike.order(rule)
    number = own_number(connection, columns, staged.rows) if rule == 'auto' else None
    one = f'_label, _time{f", {duck.identifier(number.name)}" if number else ""}'
    _keep(
        connection,
        'repeats',
        f"""WITH alike AS (SELECT *, {_key(columns)} AS _key, {labels(columns)} AS _label, hash({values}) AS _content
            FROM ({staged.rows}) WHERE _status < 2)
        SELECT _row, _line, row_number() OVER same AS _place, count(*) OVER (PARTITION BY {one}) AS _many,
            row_number() OVER (PARTITION BY _label, _time) > 1 AS _beside,
            _content <> first_value(_content) OVER same AS _other, first_value(_row) OVER same AS _kept,
            first_value(_line) OVER same AS _kept_line, _time{_folded(columns, rule)}
        FROM alike SEMI JOIN repeated ON alike._key = repeated.key
        WINDOW same AS (PARTITION BY {one} ORDER BY _row {order})""",
        out.with_name('repeats.parquet'),
    )
    dropped, other, beside = duck.single(
        connection,
        'SELECT count(*) FILTER (_place > 1), count(*) FILTER (_other), count(*) FILTER (_beside) FROM repeats',
    )
    stored = staged.accepted + staged.repaired if staged.points is None else staged.points
    if rule == 'auto' and other > MOST * stored:
        return replace(
            plain,
            note=f'{dropped:,} of {stored:,} rows repeat a series and time with other values. All are stored: name the '
            'column that tells them apart as a series, or choose what to store of them, such as the sum.',
        )
    kept = beside - dropped
    own = ''
    if number and kept:
        own = (
            f'{kept:,} of {stored:,} rows share series and time with another one. Each has its own "{number.source}", '
            'so none is a repeat: all are stored. To store one row a time, choose the sum of all.'
        )
    if not dropped:
        return replace(plain, note=own)
    changed = list(columns)
    if rule in FOLDED:
        changed = [_holding(connection, column) for column in columns]
    sets = ['(CASE WHEN _place > 1 THEN 2 ELSE _status END)::UTINYINT AS _status']
    if rule in FOLDED:
        merged = 'WHEN _many > 1 THEN greatest(_status, 1)'
        sets[0] = f'(CASE WHEN _place > 1 THEN 2 {merged} ELSE _status END)::UTINYINT AS _status'
        sets += [
            f'CAST(CASE WHEN _place = 1 THEN _fold{c.index} ELSE {duck.identifier(c.name)} END AS {_kind(c)}) '
            f'AS {duck.identifier(c.name)}'
            for c in _measures(changed, rule)
        ]
    extra = ', _place, _many' + ''.join(f', _fold{c.index}' for c in _measures(columns, rule))
    source = f'SELECT r.*{extra} FROM ({staged.rows}) r LEFT JOIN repeats USING (_row)'
    connection.execute(
        f'COPY (SELECT * EXCLUDE ({extra[2:]}) REPLACE ({", ".join(sets)}) FROM ({source})) '
        f'TO {duck.text(str(out))} (FORMAT parquet, COMPRESSION lz4)'
    )
    which = alike.which(rule)
    faults = []
    if dropped > other:
        faults.append(_listed(raw, _copies(which)))
    if other:
        _keep(connection, 'conflicts', _conflicts(columns, staged, which), out.with_name('conflicts.parquet'))
        faults.append(_listed(raw, 'SELECT * FROM conflicts'))
    if rule in FOLDED:
        faults.append(_listed(raw, _stored(rule), action='repaired'))
    note = own or (_of_clocks(connection, columns, staged.rows, zone) if other else '')
    if rule == 'auto' and not note and other >= max(SOME, SHARE * stored):
        note = (
            f'{other:,} of {stored:,} rows say something else than the last row of their series and time, which is the '
            'one that is stored. If they correct nothing, as several orders of a day do not, store the sum of all, or '
            'name the column that tells them apart as a series.'
        )
    return Deduplicated(
        staged=replace(counted(connection, raw, out), typed=staged.typed if changed == [*columns] else ''),
        columns=changed,
        faults=tuple(faults),
        dropped=int(dropped),
        note=note,
    )


def _of_clocks(connection: 'duckdb.DuckDBPyConnection', columns: Sequence[Column], rows: str, zone: str) -> str:
    """Tell of times that are there twice because clocks went back, '' where they are not: the zone is known, or fewer
    than nine tenths of the repeated wall-clock times lie in such an hour, no more series there than elsewhere, and the
    hours beside it are repeated too, or so many hours are that one may lie there by chance."""
    time = next(column for column in columns if column.role == 'time')
    if zone != 'UTC' or time.type != 'timestamp':
        return ''
    times = (
        f'SELECT _time AS w, count(*) AS n FROM repeats WHERE _other GROUP BY w ORDER BY n DESC, w LIMIT {FEW_TIMES}'
    )
    places = ', '.join(map(duck.text, CLOCKS))
    row = connection.execute(
        f"""WITH times AS ({times}), zones AS (SELECT unnest([{places}]) AS place),
        instants AS (SELECT w, n, place, timezone(place, w) AS u FROM times, zones),
        twice AS (SELECT * FROM instants
            WHERE timezone(place, u + INTERVAL 1 HOUR) = w OR timezone(place, u - INTERVAL 1 HOUR) = w)
        SELECT place, count(*) AS n, min(w), min(n) AS least,
            (SELECT max(n) FROM times WHERE w NOT IN (SELECT w FROM twice AS own WHERE own.place = twice.place)),
            bool_and(w - INTERVAL 1 HOUR NOT IN (SELECT w FROM times)
                AND w + INTERVAL 1 HOUR NOT IN (SELECT w FROM times))
        FROM twice GROUP BY place ORDER BY count(*) DESC, list_position([{places}], place) LIMIT 1"""
    ).fetchone()
    if row is None:
        return ''
    (many,) = duck.single(connection, f'SELECT count(*) FROM ({times})')
    (hours,) = duck.single(connection, f"SELECT date_diff('hour', min(_time), max(_time)) + 1 FROM ({rows})")
    place, found, first, least, most, alone = row
    every = found * 10 >= many * 9
    # Of several series all are there twice in that hour, where other duplicates are of one or the other.
    shared = least >= SERIES * (most or 0)
    seldom = alone and many * max(1, hours / YEAR) <= LUCK * hours
    if not (every or shared or seldom):
        return ''
    return (
        f'{"The" if every else "Some"} duplicates lie in the hour that a clock shows twice when it goes back, as in '
        f'{place} on {first:%d %b %Y}: the times look like local ones. Name the zone of the times, and each record has '
        'its own instant.'
    )


def _stored(rule: str) -> str:
    """SQL: the records that are stored with the mean or the sum of all."""
    reason = f'its measures are the {rule} of all records of its series and time'
    return (
        f'SELECT _row, _line, NULL::VARCHAR AS value, NULL::BIGINT AS other_line, {duck.text(reason)} AS reason '
        'FROM repeats WHERE _place = 1 AND _many > 1'
    )


def _copies(which: str) -> str:
    """SQL: of each equal copy, where the record stands that it is a copy of."""
    return (
        "SELECT _row, _line, NULL::VARCHAR AS value, _kept_line AS other_line, 'an equal copy of line ' || _kept_line "
        f'|| {duck.text(f"; {which}")} AS reason FROM repeats WHERE _place > 1 AND NOT _other'
    )


def _conflicts(columns: Sequence[Column], staged: Staged, which: str) -> str:
    """SQL: of each record with other values than the stored one, both lines and what each of them says."""
    compared = [column.name for column in columns if column.role not in ('time', 'series')]
    mark = ';' if len(compared) > 1 else ','
    reason = f"'line ' || _line || ' says ' || here || '{mark} line ' || other_line || ' says ' || there"
    return f"""
        WITH cells AS (SELECT p._row, p._line, p._kept_line AS other_line, {alike.said(compared, 'd', 'k')} AS own,
            {alike.said(compared, 'k', 'd')} AS others
            FROM (SELECT _row, _line, _kept, _kept_line FROM repeats WHERE _place > 1 AND _other) p
            JOIN ({staged.rows}) d ON d._row = p._row JOIN ({staged.rows}) k ON k._row = p._kept),
        said AS (SELECT *, {alike.told('own')} AS here, {alike.told('others')} AS there FROM cells)
        SELECT _row, _line, here AS value, other_line, {reason} || {duck.text(f': {which}')} AS reason FROM said"""


def _listed(raw: RawTable, rows: str, *, action: str = 'rejected') -> str:
    """SQL: a fault for each of these rows; of a melted table it names the column that the point has there."""
    column, source = 'NULL::VARCHAR', f'({rows})'
    if raw.is_melted:
        column = 'split_part(_column, chr(31), 1)'
        source += f' JOIN (SELECT file_row_number AS _row, _column FROM {rows_of(raw, numbered=True)}) USING (_row)'
    told = fault(
        column=column,
        kind=duck.text(CellFault.DUPLICATE),
        value='value',
        action=duck.text(action),
        reason='reason',
        other='other_line',
    )
    return f'SELECT {told} FROM {source}'


def _keep(connection: 'duckdb.DuckDBPyConnection', name: str, rows: str, out: Path) -> None:
    """Write rows to the file `out` and call them `name` in SQL: a table, or another step of one long statement, takes
    memory for as long as what reads it."""
    connection.execute(f'COPY ({rows}) TO {duck.text(str(out))} (FORMAT parquet, COMPRESSION lz4)')
    connection.execute(f'CREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM {duck.files([out])}')


def _key(columns: Sequence[Column]) -> str:
    return f'hash({labels(columns)}, _time)'


def _measures(columns: Sequence[Column], rule: str) -> list[Column]:
    return [column for column in columns if column.role == 'measure' and rule in FOLDED]


def _folded(columns: Sequence[Column], rule: str) -> str:
    """SQL: what each measure is of all records of a series and time; sums of whole numbers and decimals are exact."""
    kinds = {'integer': 'HUGEINT', 'decimal': 'DECIMAL(38, {})'} if rule == 'sum' else {}
    return ''.join(
        f', {FOLDED[rule]}(CAST({duck.identifier(c.name)} AS {kinds.get(c.type, "DOUBLE").format(c.scale)})) '
        f'OVER (PARTITION BY _label, _time) AS _fold{c.index}'
        for c in _measures(columns, rule)
    )


def _kind(column: Column) -> str:
    return {'integer': 'BIGINT', 'decimal': f'DECIMAL(18, {column.scale})'}.get(column.type, 'DOUBLE')


def _holding(connection: 'duckdb.DuckDBPyConnection', column: Column) -> Column:
    """A column in a type that holds its means or sums."""
    if column.role != 'measure' or column.type == 'double':
        return column
    folded = f'_fold{column.index}'
    kept = f'CAST(TRY_CAST({folded} AS {_kind(column)}) AS DOUBLE) IS NOT DISTINCT FROM CAST({folded} AS DOUBLE)'
    (lost,) = duck.single(connection, f'SELECT count(*) FROM repeats WHERE NOT ({kept})')
    return replace(column, type='double', scale=0) if lost else column
