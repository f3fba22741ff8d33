"""Pages and exports of our own Parquet files, for lists and downloads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.analysis import duck, versions

if TYPE_CHECKING:
    import duckdb

MEMORY = 256 * 2**20
FORMULA = '^[=+@\\t\\r-]'
Lines = tuple[int | None, int | None]
"""The first and the last line of some, None for no bound."""
AWARE = 'TIMESTAMP WITH TIME ZONE'
FORMULA_STARTS = ('=', '+', '-', '@', '\t', '\r')


def guarded(text: str) -> str:
    """SQL: whether a text begins with the apostrophe that `export` puts before what a spreadsheet would run.

    In a text with a second apostrophe to it, such as `'-ing' form`, it is a quotation mark.
    """
    starts = "'=', '+', '-', '@', chr(9), chr(13)"
    odd = f"(length({text}) - length(replace({text}, '''', ''))) % 2 = 1"
    return f"(starts_with({text}, '''') AND {text}[2] IN ({starts}) AND {odd})"


def unguarded(name: str) -> str:
    """Return a column's name without that apostrophe."""
    guards = name.startswith("'") and name[1:2] in FORMULA_STARTS and name.count("'") % 2
    return name[1:] if guards and name[1:] else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows `offset` … of `total`, each a tuple in the order of `columns`."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]
    offset: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Faults of one kind in one column (None: the record) that were met alike; `first_line` is where they begin."""

    kind: str
    column: str | None
    action: str
    count: int
    first_line: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How a dataset's times are written: `kind` is `date`, `timestamp` (by the clock of `zone`) or `timestamptz`."""

    kind: str
    zone: str

    def told(self, column: str) -> tuple[str, str]:
        """SQL: times in UTC as these are written, and the type that they then have."""
        instant = f"timezone('UTC', {column})"
        if self.kind == 'timestamptz':
            return instant, AWARE
        if self.kind == 'date':
            return f'{column}::date', 'DATE'
        return (column if self.zone == 'UTC' else f'timezone({duck.text(self.zone)}, {instant})'), 'TIMESTAMP'


def by_clock(connection: 'duckdb.DuckDBPyConnection', source: str, times: Sequence[str], zone: str) -> list[str]:
    """SQL: columns of times in UTC as CSV has clock times of a zone: with their offset, unless all begin a day.

    Hours need it, as clocks show some of them twice. Days and months have none, so that they are the same where they
    are read without the zone; where clocks skip a midnight, its day is told by it all the same.
    The search for a time that begins no day ends at the first.
    """

    def day(time: str) -> str:
        return f"timezone({duck.text(zone)}, timezone('UTC', {time}))::date"

    within = ' or '.join(f'{day(time)} = {day(f"({time} - interval 1 microsecond)")}' for time in times)
    if times and connection.execute(f'select 1 from {source} where {within} limit 1').fetchone() is None:
        return [f'{day(time)}::timestamp' for time in times]
    return [duck.stamped(f"timezone('UTC', {time})", zone) for time in times]


def page(
    parts: Sequence[Path | str],
    *,
    offset: int = 0,
    limit: int = 100,
    order: Sequence[str] = (),
    where: Mapping[str, Any] | None = None,
    lines: Lines = (None, None),
    system: Any = None,
) -> Page:
    """Return rows in file order, or sorted by the columns `order`, rows without a value last.

    With `where` (column → value or None), only rows that hold these are counted and returned; with `lines`, only those
    whose column `line` lies there. Parts that are addresses are opened by the fsspec file system `system`.
    """
    condition, wanted = _chosen(where or {}, lines)
    source = f'{duck.files(parts)}{condition}'
    with duck.told(), duck.connect(memory=MEMORY, allow=parts, system=system) as connection:
        (total,) = duck.single(connection, f'select count(*) from {source}', wanted)
        keys = ', '.join(f'{duck.identifier(name)} nulls last' for name in order)
        ordering = f'order by {keys}' if keys else ''
        query = f'select * from {source} {ordering} limit ? offset ?'
        result = connection.execute(query, [*wanted, max(0, limit), max(0, offset)])
        columns = tuple(column[0] for column in result.description or ())
        return Page(columns=columns, rows=result.fetchall(), offset=offset, total=total)


def at_lines(faults: Path, lines: Sequence[int], *, limit: int = 1000) -> Page:
    """Return the faults on these lines, in their order."""
    where = f'from {duck.files([faults])} where list_contains(?, line)'
    with duck.told(), duck.connect(memory=MEMORY, allow=[faults]) as connection:
        (total,) = duck.single(connection, f'select count(*) {where}', [list(lines)])
        ordering = 'order by line, "column" nulls first limit ?'
        result = connection.execute(f'select * {where} {ordering}', [list(lines), limit])
        columns = tuple(column[0] for column in result.description or ())
        return Page(columns=columns, rows=result.fetchall(), offset=0, total=total)


def fault_groups(faults: Path, *, limit: int = 1000) -> tuple[Group, ...]:
    """Return faults by kind, column and action, the most frequent first, each with up to three values as written."""
    with duck.told(), duck.connect(memory=MEMORY, allow=[faults]) as connection:
        found = connection.execute(
            f"""
            select kind, "column", action, count(*), min(line), min_by(value, line, 3) filter (value is not null)
            from {duck.files([faults])} group by all order by 4 desc, 5, 1, 2 nulls first, 3 limit ?
            """,
            [limit],
        ).fetchall()
    return tuple(
        Group(
            kind=row[0],
            column=row[1],
            action=row[2],
            count=row[3],
            first_line=row[4],
            examples=tuple(dict.fromkeys(row[5] or ())),
        )
        for row in found
    )


def count_flagged(raw: Path) -> int:
    """Return how many records of a raw table the reader has repaired."""
    with duck.connect(memory=MEMORY, allow=[raw]) as connection:
        return int(duck.single(connection, f'select count(*) from {duck.files([raw])} where _flag = 1')[0])


def search(path: Path, *, column: str, query: str, limit: int) -> Sequence[str]:
    """Return values of a text column that contain `query`, whatever their case, in order."""
    name = duck.identifier(column)
    with duck.told(), duck.connect(memory=MEMORY, allow=[path]) as connection:
        found = connection.execute(
            f'select {name} from {duck.files([path])} where contains(lower({name}), lower(?)) order by 1 limit ?',
            [query, limit],
        )
        return [row[0] for row in found.fetchall()]


def values(parts: Sequence[Path | str], *, column: str, limit: int, system: Any = None) -> Mapping[str, int]:
    """Return what a text column holds, in order, each with its rows, without what is missing; parts as for `page`."""
    name = duck.identifier(column)
    with duck.told(), duck.connect(memory=MEMORY, allow=parts, system=system) as connection:
        found = connection.execute(
            f'select {name}, count(*) from {duck.files(parts)} where {name} is not null '
            f'group by 1 order by lower({name}), 1 limit ?',
            [limit],
        )
        return dict(found.fetchall())


def export(
    parts: Sequence[Path | str],
    out: Path,
    *,
    where: Mapping[str, str | None] | None = None,
    lines: Lines = (None, None),
    guarded: bool = True,
    clock: Clock | None = None,
    time: str = '',
    zone: str = 'UTC',
    system: Any = None,
) -> None:
    """Write the rows without our own columns (`_series`, `_time`, `_line`, `_source`) as CSV or Parquet, by suffix.

    With `where` and `lines`, only those rows are written that `page` returns.
    CSV guards text cells that a spreadsheet would run as a formula (`= + - @`, tab, return) with an apostrophe, unless
    not `guarded`: then text is written as it is. Instants stand there with the offset of `zone`, and so do clock times
    where a zone is known (UTC counts as none) and not all begin a day: those of the column `time`, of which `_time`
    holds the instants, or of a `clock`. With a `clock`, times that do not say so are in UTC and are written as the
    times of a dataset are: as dates, by the clock of its zone, or with its offset. Parts that are addresses are opened
    by the fsspec file system `system`.
    """
    source = duck.files(parts)
    csv = out.suffix == '.csv'
    guards = csv and guarded
    allowed = [*parts, out.parent]
    with duck.told(), duck.connect(memory=MEMORY, workdir=out.parent, allow=allowed, system=system) as connection:
        described = connection.execute(f'describe select * from {source}').fetchall()
        shown = [(name, kind) for name, kind, *_ in described if name not in versions.OWN]
        place = clock.zone if clock else zone
        local: dict[str, str] = {}
        if csv and place != 'UTC' and (clock is None or clock.kind == 'timestamp'):
            named = [name for name, kind in shown if kind == 'TIMESTAMP' and (clock or name == time)]
            times = [duck.identifier(name) if clock else '_time' for name in named]
            local = dict(zip(named, by_clock(connection, source, times, place), strict=True))
        columns = ', '.join(
            _written(*one, csv=csv, guards=guards, clock=clock, local=local, zone=place) for one in shown
        )
        form = '(format csv, header)' if csv else '(format parquet, compression zstd)'
        condition, wanted = _chosen(where or {}, lines)
        connection.execute(f'copy (select {columns} from {source}{condition}) to {duck.text(str(out))} {form}', wanted)


def _chosen(where: Mapping[str, Any], lines: Lines) -> tuple[str, list[Any]]:
    """SQL: the condition that leaves these rows, '' for all, and the values of its parameters."""
    tests: list[tuple[str, Any]] = [
        (f'{duck.identifier(name)} is not distinct from ?', value) for name, value in where.items()
    ]
    bounds = zip(('line >= ?', 'line <= ?'), lines, strict=True)
    tests += [(test, bound) for test, bound in bounds if bound is not None]
    condition = ' and '.join(test for test, _ in tests)
    return f' where {condition}' if tests else '', [value for _, value in tests]


def _written(
    name: str, kind: str, *, csv: bool, guards: bool, clock: Clock | None, local: Mapping[str, str], zone: str
) -> str:
    """SQL: a column as a file shows it. A guarded one begins like a formula neither in its name nor in its cells."""
    column = duck.identifier(name)
    title = duck.identifier(f"'{name}" if guards and name[:1] in FORMULA_STARTS else name)
    if name in local:
        return f'{local[name]} as {title}'
    if clock is not None and kind == 'TIMESTAMP':
        column, kind = clock.told(column)
    if csv and kind == AWARE:
        column = duck.stamped(column, zone)
    if guards and kind == 'VARCHAR':
        begins = f'regexp_matches({column}, {duck.text(FORMULA)})'
        column = f"case when {begins} then '''' || {column} else {column} end"
    return f'{column} as {title}'
