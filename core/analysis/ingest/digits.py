"""Digits: numbers that are written with more of them than a float64 holds are told, and none is rounded unseen."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.analysis import duck
from core.analysis.ingest import readings
from core.analysis.ingest.rawtable import RawTable
from core.analysis.ingest.tallies import AT_ONCE, quick_or, rows_of, texts_of

if TYPE_CHECKING:
    import duckdb
    import pyarrow.parquet as pq

    from core.analysis.ingest.types import Column

HELD: Final = 15
"""So many digits of any number a float64 holds; a text that is no longer needs no look."""
LONGEST: Final = 800  # no float64 has more digits than 767, written out to the last
LONG_NAMES: Final = 'numbers that are names: more than 18 digits'
"""The reason of a column that is text for its numbers are so long."""


def are_lost(plain: str, value: str) -> str:
    """SQL: whether `value`, the finite DOUBLE of a number in `plain` form, is another number than is written.

    It is not where the text is that of a DOUBLE: the shortest one, or one of more digits, as `%.18e` writes them.
    """
    # `savetxt` of numpy writes so; to find that for any number of places takes three times as long.
    written = f"trim(replace(regexp_extract({plain}, '^[+-]?([0-9.]+)', 1), '.', ''), '0')"
    places = f'least({LONGEST}, greatest(0, strlen(w) - 1))::INTEGER'
    held = f"replace(split_part(printf('%.*e', {places}, abs({value})), 'e', 1), '.', '')"
    other = f"list_transform([{written}], lambda w: w <> '' AND w <> {held})[1]"
    return (
        f'CASE WHEN strlen({plain}) <= {HELD} THEN false WHEN ({value})::VARCHAR = {plain} THEN false '
        f"WHEN printf('%.18e', {value}) = {plain} THEN false ELSE coalesce({other}, false) END"
    )


def counted(
    connection: 'duckdb.DuckDBPyConnection', raw: RawTable, columns: Sequence['Column']
) -> dict[int, tuple[int, int]]:
    """Return how many cells of a column lose digits as a DOUBLE, and the line of the first, by its place; those of
    which none does are left out."""
    asked = [c for c in columns if c.type == 'double' and c.reading.family == 'number' and _may_lose(c, raw)]
    found: dict[int, tuple[int, int]] = {}
    for start in range(0, len(asked), AT_ONCE):
        part = asked[start : start + AT_ONCE]
        figures = ', '.join(f'count(*) FILTER (l{c.index}), min(_line) FILTER (l{c.index})' for c in part)
        flat = iter(duck.single(connection, f'SELECT {figures} FROM ({_lost(raw, part)})'))
        found |= {c.index: (count, line) for c in part for count, line in [(next(flat), next(flat))] if count}
    return found


def _lost(raw: RawTable, columns: Sequence['Column']) -> str:
    """SQL: `_line`, and of each column i whether a cell loses digits, `l{i}`."""
    quick = {c.index: sql for c in columns if (sql := c.reading.quickly(c.cell))}
    plain, values, lost = [], [], []
    for i, reading in ((c.index, c.reading) for c in columns):
        plain.append(f'{quick_or(i, reading.plain(f"x{i}"), f"x{i}", quick=i in quick)} AS p{i}')
        values.append(f'{quick_or(i, f"TRY_CAST(p{i} AS DOUBLE)", f"f{i}", quick=i in quick)} AS v{i}')
        lost.append(f'isfinite(v{i}) AND {are_lost(f"p{i}", f"v{i}")} AS l{i}')
    source = texts_of(f'{rows_of(raw)} WHERE _flag < 2', [c.index for c in columns], quick, more='_line')
    source = f'SELECT {", ".join(["_line", *(f"f{i}" for i in quick), *plain])} FROM ({source})'
    source = f'SELECT _line, {", ".join([*(f"p{c.index}" for c in columns), *values])} FROM ({source})'
    return f'SELECT _line, {", ".join(lost)} FROM ({source})'


def as_written(column: 'Column') -> 'Column':
    """The column as text, each number as it is written."""
    kept = {name: count for name, count in column.repaired.items() if name in ('padding', 'null_spelling')}
    return replace(
        column,
        type='text',
        reading=readings.TEXT,
        reason='text, as its numbers have more digits than a number holds',
        scale=0,
        unread=0,
        figures={},
        repaired=kept,
    )


def notes(
    connection: 'duckdb.DuckDBPyConnection', files: Sequence[Path], columns: Sequence['Column'], *, where: str = 'true'
) -> Iterator[str]:
    """Yield what a reader should know of numbers that are too long for a float64. `files` hold the typed rows, in
    columns called as these."""
    held = _rounded(connection, files, [c for c in columns if c.role == 'measure'], where=where)
    for column in columns:
        name = f'column "{column.source}"'
        if column.figures.get('lost') and column.type == 'double':
            count, line = column.figures['lost']
            yield (
                f'{_numbers(count)} of {name} {"has" if count == 1 else "have"} more digits than are stored (about '
                f'16): {"it was" if count == 1 else "they were"} rounded, the first in line {line:,}. '
                'The role attribute or series keeps the column as text, as it is written.'
            )
        elif count := held.get(column.name, 0):
            yield (
                f'{_numbers(count)} of {name} {"is" if count == 1 else "are"} stored as written, but charts, '
                'statistics and forecasts round to about 16 digits. If they name something, the role attribute or '
                'series is theirs.'
            )
        elif column.type == 'text' and column.role == 'attribute' and column.reason == LONG_NAMES:
            yield (
                f'Column "{column.source}" is text, as its numbers have more than 18 digits. If they are measured, the '
                'role measure makes numbers of them, rounded to about 16 digits.'
            )


def _numbers(count: int) -> str:
    return f'{count:,} {"number" if count == 1 else "numbers"}'


def _may_lose(column: 'Column', raw: RawTable) -> bool:
    """Whether a column has cells so long; what a typed file had as a DOUBLE is written with no more than that holds."""
    return raw.hints.get(column.source) != 'double' and int(column.figures.get('longest') or 0) > HELD


def _rounded(
    connection: 'duckdb.DuckDBPyConnection', files: Sequence[Path], columns: Sequence['Column'], *, where: str
) -> dict[str, int]:
    """Return how many whole numbers and decimals of columns are none that a float64 holds, by name."""
    named = [column.name for column in columns if column.type in ('integer', 'decimal')]
    if not named:
        return {}
    long = _long(connection, files, named)
    asked = [column for column in columns if column.name in long]
    if not asked:
        return {}
    lost = ', '.join(f'count(*) FILTER ({_is_other(column)})' for column in asked)
    found = duck.single(connection, f'SELECT {lost} FROM {duck.files(files)} WHERE {where}')
    return {column.name: int(count) for column, count in zip(asked, found, strict=True) if count}


def _long(connection: 'duckdb.DuckDBPyConnection', files: Sequence[Path], names: Sequence[str]) -> set[str]:
    """Return which columns may have numbers of more digits than a float64 holds, by the least and greatest of each row
    group. What has no such figures at all is empty, or may have."""
    import pyarrow.parquet as pq

    if len(files) == 1 and (footer := pq.read_metadata(files[0])).num_row_groups == 1:
        # To plan the question takes longer than to look.
        group = footer.row_group(0)
        found = (group.column(place) for place in range(group.num_columns))
        return {one.path_in_schema for one in found if one.path_in_schema in names and not _is_short(one)}
    listed = ', '.join(duck.text(str(file)) for file in files)
    short = ' AND '.join(
        f"strlen(regexp_replace(stats_{end}_value, '[^0-9]', '', 'g')) <= {HELD}" for end in ('min', 'max')
    )
    rows = connection.execute(
        f'SELECT path_in_schema, bool_and(coalesce({short}, stats_null_count = num_values, false)) '
        f'FROM parquet_metadata([{listed}]) WHERE path_in_schema IN (SELECT unnest(?)) GROUP BY 1',
        [names],
    ).fetchall()
    return {str(name) for name, is_short in rows if not is_short}


def _is_short(chunk: 'pq.ColumnChunkMetaData') -> bool:
    told = chunk.statistics
    if told is None or not told.has_min_max:
        return told is not None and told.has_null_count and told.null_count == chunk.num_values
    return all(sum(map(str.isdigit, f'{end:f}')) <= HELD for end in (told.min, told.max))


def _is_other(column: 'Column') -> str:
    """SQL: whether a stored whole number or decimal is another one as a DOUBLE."""
    x = duck.identifier(column.name)
    if column.type == 'integer':
        return f'{x} <> CAST(CAST({x} AS DOUBLE) AS HUGEINT)'
    return are_lost(f'CAST({x} AS VARCHAR)', f'CAST({x} AS DOUBLE)')
