"""Duplicates: of the records of one series and time one is stored, chosen by their order in the source.

`last` and `first` store that record as it is. `mean` stores the last one with the mean of every measure. `auto` is
`last`, unless most records would go though they differ: those are events of series that nothing tells apart, so all
stay, and a note says it. What is not stored is rejected and listed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.analysis import duck
from core.analysis.ingest.rawtable import RawTable
from core.analysis.ingest.rejects import CellFault, Staged, counted, listed
from core.analysis.ingest.roles import labels
from core.analysis.ingest.types import Column

if TYPE_CHECKING:
    import duckdb

MOST: Final = 0.5


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
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE repeated AS
        SELECT key FROM (SELECT {_key(columns)} AS key FROM ({rows}) WHERE _status < 2)
        GROUP BY key HAVING count(*) > 1"""
    )
    return duck.single(connection, 'SELECT count(*) FROM repeated') != (0,)


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
    order = 'ASC' if rule == 'first' else 'DESC'
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE repeats AS
        WITH alike AS (SELECT *, {_key(columns)} AS _key, {labels(columns)} AS _label, hash({values}) AS _content
            FROM ({staged.rows}) WHERE _status < 2)
        SELECT _row, row_number() OVER same AS _place, count(*) OVER (PARTITION BY _label, _time) AS _many,
            _content <> first_value(_content) OVER same AS _other{_means(columns)}
        FROM alike SEMI JOIN repeated ON _key = key WINDOW same AS (PARTITION BY _label, _time ORDER BY _row {order})"""
    )
    dropped, other = duck.single(
        connection, 'SELECT count(*) FILTER (_place > 1), count(*) FILTER (_other) FROM repeats'
    )
    stored = staged.accepted + staged.repaired if staged.points is None else staged.points
    if rule == 'auto' and other > MOST * stored:
        return replace(
            plain,
            note=f'{dropped:,} of {stored:,} rows repeat a series and time with other values. All are stored: name the '
            'column that tells them apart as a series, or choose which of them to store.',
        )
    if not dropped:
        return plain
    changed = list(columns)
    if rule == 'mean':
        changed = [_holding(connection, column) for column in columns]
    sets = ['(CASE WHEN _place > 1 THEN 2 ELSE _status END)::UTINYINT AS _status']
    if rule == 'mean':
        merged = 'WHEN _many > 1 THEN greatest(_status, 1)'
        sets[0] = f'(CASE WHEN _place > 1 THEN 2 {merged} ELSE _status END)::UTINYINT AS _status'
        sets += [
            f'CAST(CASE WHEN _place = 1 THEN _mean{c.index} ELSE {duck.identifier(c.name)} END AS {_kind(c)}) '
            f'AS {duck.identifier(c.name)}'
            for c in changed
            if c.role == 'measure'
        ]
    extra = ', _place, _many' + ''.join(f', _mean{c.index}' for c in columns if c.role == 'measure')
    source = f'SELECT r.*{extra} FROM ({staged.rows}) r LEFT JOIN repeats USING (_row)'
    connection.execute(
        f'COPY (SELECT * EXCLUDE ({extra[2:]}) REPLACE ({", ".join(sets)}) FROM ({source})) '
        f'TO {duck.text(str(out))} (FORMAT parquet, COMPRESSION lz4)'
    )
    which = {'first': 'the first is stored', 'mean': 'their mean is stored'}.get(rule, 'the last is stored')
    kinds = (
        (dropped - other, 'NOT _other', 'an equal copy of another record'),
        (other, '_other', 'other values at the series and time of another record'),
    )
    faults = [
        listed(
            raw,
            None,
            f'SELECT _row FROM repeats WHERE _place > 1 AND {condition}',
            CellFault.DUPLICATE,
            f'{why}; {which}',
            zone=zone,
        )
        for count, condition, why in kinds
        if count
    ]
    if rule == 'mean':
        kept = 'SELECT _row FROM repeats WHERE _place = 1 AND _many > 1'
        why = 'its measures are the mean of all records of its series and time'
        faults.append(listed(raw, None, kept, CellFault.DUPLICATE, why, zone=zone, action='repaired'))
    return Deduplicated(
        staged=counted(connection, raw, out), columns=changed, faults=tuple(faults), dropped=int(dropped)
    )


def _key(columns: Sequence[Column]) -> str:
    return f'hash({labels(columns)}, _time)'


def _means(columns: Sequence[Column]) -> str:
    return ''.join(
        f', avg(CAST({duck.identifier(c.name)} AS DOUBLE)) OVER (PARTITION BY _label, _time) AS _mean{c.index}'
        for c in columns
        if c.role == 'measure'
    )


def _kind(column: Column) -> str:
    return {'integer': 'BIGINT', 'decimal': f'DECIMAL(18, {column.scale})'}.get(column.type, 'DOUBLE')


def _holding(connection: 'duckdb.DuckDBPyConnection', column: Column) -> Column:
    """A column in a type that holds its means."""
    if column.role != 'measure' or column.type == 'double':
        return column
    mean = f'_mean{column.index}'
    (lost,) = duck.single(
        connection, f'SELECT count(*) FROM repeats WHERE CAST(CAST({mean} AS {_kind(column)}) AS DOUBLE) <> {mean}'
    )
    return replace(column, type='double', scale=0) if lost else column
