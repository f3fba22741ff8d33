"""Append: a file joins the version before it. Its rows win where series and time are the same; all others stay.

Rows that a number of their own tells apart, such as an order's, are no rows of one another: of one series and time, the
same number alone gives way. Where the sum of all is stored, those of other numbers are added up; a sum knows the number
of its last record alone, so it is told where one gives way to records that do not add up to it. A number that stands at
other times in both counts the rows of each file, and tells none apart.

The file is read as the dataset was: columns meet by their name in the file (else by their stored name, whatever its
case) and keep their roles, day or month stay first, and what was stored as text stays text. A column that the file does
not have keeps its value in the rows that are replaced and has none in the rows that are new. `_source` tells each row's
file by its place in the manifest's `sources`.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from core.analysis import duck
from core.analysis.ingest import duplicates, readings
from core.analysis.ingest.manifest import ColumnProfile, Manifest, Source
from core.analysis.ingest.profile import unit_of
from core.analysis.ingest.roles import NUMBERS, labels
from core.analysis.ingest.types import Column, stored_names
from core.errors import UnusableData

if TYPE_CHECKING:
    import duckdb

MOST_SOURCES: Final = 32_767
EXACT: Final = 2**53
CALENDAR: Final = ('date', 'integer')
FEWEST: Final = 5  # numbers of which the size tells anything
ROUNDED: Final = 1e-9
"""Sums of floats in another order differ by less than this share of them."""
APART: Final = 100.0  # times as large as before: hardly the same unit
TIMES: Final = ('date', 'timestamp', 'timestamptz')


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The version that a file extends: its manifest, its parts in order, and the files that its rows came from."""

    manifest: Manifest
    parts: tuple[Path, ...]

    @property
    def sources(self) -> tuple[Source, ...]:
        """The files of its rows; a version that was stored before files were told apart has one."""
        own, faults = self.manifest.source, self.manifest.faults_total
        first = Source(name=own.name, bytes=own.bytes, origin=self.parts[0].parent.name, rows=self.rows, faults=faults)
        # Versions of before faults were counted by file tell those of the last one.
        *rest, last = self.manifest.sources or (first,)
        return (*rest, last if last.faults else replace(last, faults=faults))

    @property
    def columns(self) -> tuple[ColumnProfile, ...]:
        """The columns of the parts: where there is a recipe, those before it."""
        return self.manifest.base or self.manifest.columns

    @property
    def rows(self) -> int:
        """How many rows the parts hold."""
        names = {part.name for part in self.parts}
        return sum(file.rows for file in self.manifest.files if file.name in names)

    def zone(self, read: str) -> str:
        """The zone of the joined rows where a file's times were `read` in that one: clock times keep theirs."""
        kind = next((column.type for column in self.columns if column.role == 'time'), '')
        return self.manifest.time.zone if kind == 'timestamp' else read

    @property
    def day_first(self) -> bool | None:
        """Whether its times had the day before the month, as far as their writing tells."""
        reason = next((c.reason for c in self.columns if c.role == 'time'), '')
        # What is told first is how most of them are written.
        first = re.search(r'as (DD|MM)', reason)
        return first[1] == 'DD' if first else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended:
    """Both versions' rows in one: `rows` is SQL that gives `_series, _time, _line, _source, _row` and `columns`.

    `kept` rows are those of the version before, `replaced` those of it that gave way; `added` are the file's.
    `warnings` say what did not go on as it was, `notes` what else became of earlier rows.
    """

    rows: str
    columns: tuple[Column, ...]
    kept: int
    replaced: int
    added: int
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def opened(paths: Sequence[Path]) -> Before | None:
    """Return the version of which `paths` are the manifest and the parts, None when there are none.

    Where rows before a recipe are stored, they are what is extended: the recipe runs again over all of them.
    """
    if not paths:
        return None
    (told,) = [path for path in paths if path.suffix == '.json']
    manifest = Manifest.from_json(json.loads(told.read_text(encoding='utf-8')))
    kind = 'base-' if manifest.base else 'data-'
    return Before(manifest=manifest, parts=tuple(sorted(path for path in paths if path.name.startswith(kind))))


def kept_roles(names: Sequence[str], before: Before | None, usual: Mapping[str, str]) -> dict[str, str]:
    """Return the roles that a file's columns `names` had so far: those of the version before, else the `usual` ones.

    Columns that the file does not have are left out, so that nothing is asked of them.
    """
    stored = stored_names(names)
    if before is None:
        known = {*names, *stored}
        return {name: role for name, role in usual.items() if name in known}
    return {stored[place]: old.role for place, old in _met(names, before, said=usual).items()}


def aligned(
    columns: Sequence[Column], before: Before, *, name: str, said: Mapping[str, str] = MappingProxyType({})
) -> list[Column]:
    """Return a file's columns under the names of the version before, text where that has text.

    A column that is `said` to be the time (or the one key that is missing) goes on as the version's, whatever its name.
    Raise UnusableData when the file `name` cannot extend the version: its time, a series key or a number is missing.
    """
    met = _met([column.source for column in columns], before, said=said)
    _check(columns, met, before, name=name)
    taken = {old.name.lower() for old in before.columns}
    out = []
    for place, column in enumerate(columns):
        old = met.get(place)
        if old is None:
            free = _free(column.name, taken)
            taken.add(free.lower())
            out.append(replace(column, name=free))
            continue
        column = replace(column, name=old.name)
        if old.type == 'text' and column.role not in ('time', 'measure'):
            column = replace(column, type='text', reading=readings.TEXT, unread=0)
        out.append(column)
    return out


def extended(
    connection: 'duckdb.DuckDBPyConnection',
    rows: str,
    columns: Sequence[Column],
    before: Before,
    *,
    records: str,
    rule: str,
    zone: str,
    workdir: Path,
) -> Extended:
    """Join a file's stored rows (SQL that gives `_row, _line, _time` and its `aligned` columns) to those of `before`.

    `records` are all of the file, those that `rule` (see `duplicates`) has made one too. The file's times were read in
    `zone`; clock times are joined by the clock of `before.zone(zone)`. The joined rows are written to
    `workdir` unsorted: a join and a sort in one statement do not share their memory well. The connection must be
    allowed to read the parts and to write there.
    """
    if len(before.sources) >= MOST_SOURCES:
        raise UnusableData('The dataset holds rows of too many files. Upload one file with all of them instead.')
    pairs = list(_pairs(columns, before))
    merged = tuple(_column(index, mine, old) for index, (mine, old) in enumerate(pairs))
    warnings = [
        note for pair, column in zip(pairs, merged, strict=True) for note in _notes(connection, rows, pair, column)
    ]
    home = before.zone(zone)
    warnings += _of_zones(columns, zone, home)
    mine = ', '.join(
        _mine(new, old, column, zone=zone, home=home) for (new, old), column in zip(pairs, merged, strict=True)
    )
    theirs = ', '.join(_theirs(new, old, column, zone=home) for (new, old), column in zip(pairs, merged, strict=True))

    def named(chosen: str) -> str:
        return (
            f'SELECT {labels(merged)} AS _series, _time, _line, {len(before.sources)}::SMALLINT AS _source, _row, '
            f'{_listed(merged)} FROM (SELECT _row, _line, _time, {mine} FROM ({chosen}))'
        )

    stored = f'read_parquet({duck.texts([str(part) for part in before.parts])}, file_row_number = true)'
    source = '_source' if before.manifest.sources[1:] else '0::SMALLINT AS _source'
    old = f'SELECT _series, _time, _line, {source}, file_row_number AS _row, {theirs} FROM {stored}'
    one = '_series, _time'
    numbers = list(_numbers(connection, rows, pairs, before)) if rule in ('auto', 'sum') else []
    counters = [
        column for column in numbers if _counts(connection, rows, column, mine=named(records), old=old, before=before)
    ]
    number = next((column for column in numbers if column not in counters), None)
    own = f'{one}, {duck.identifier(number.name)}' if number else one
    absent = [column for (mine_, _), column in zip(pairs, merged, strict=True) if mine_ is None]
    new = _filled(named(rows), old, merged, absent, one=one if rule == 'sum' else own)
    notes = []
    if rule == 'sum':
        warnings += _of_sums(
            connection,
            f'SELECT * FROM ({old}) SEMI JOIN ({named(records)}) USING ({own})',
            whole=named(rows),
            parts=named(f'SELECT * FROM ({records}) WHERE _status >= 2'),
            merged=[column for column in merged if column not in absent],
            number=number,
        )
    if number and rule == 'sum':
        again = f'SELECT DISTINCT {own} FROM ({named(records)})'
        others = f'SELECT * FROM ({old}) ANTI JOIN ({again}) USING ({own})'
        new, merged, many = _summed(connection, new, others, merged, absent)
        notes += [_told_summed(many, number)] if many else []
        own = one
    keys = f'SELECT DISTINCT {own} FROM ({named(rows)})'
    kept = f'SELECT * FROM ({old}) ANTI JOIN ({keys}) USING ({own})'
    whole = workdir / 'merged.parquet'
    connection.execute(f'COPY ({new} UNION ALL {kept}) TO {duck.text(str(whole))} (FORMAT parquet, COMPRESSION lz4)')
    count, added = duck.single(
        connection,
        f'SELECT count(*), count(*) FILTER (_source = {len(before.sources)}) FROM {duck.files([whole])}',
    )
    if number and own != one:
        (beside,) = duck.single(
            connection,
            f'SELECT count(*) FROM {duck.files([whole])} SEMI JOIN (SELECT {one} FROM ({named(rows)})) USING ({one}) '
            f'WHERE _source < {len(before.sources)}',
        )
        notes += [_told_beside(beside, number)] if beside else []
    kept_rows, replaced = count - added, before.rows - (count - added)
    if counters and not number:
        (warnings if replaced > added else notes).append(_told_counter(counters[0], more=replaced > added))
    return Extended(
        rows=f'SELECT * FROM {duck.files([whole])}',
        columns=merged,
        kept=kept_rows,
        replaced=replaced,
        added=added,
        warnings=tuple(warnings),
        notes=tuple(notes),
    )


def told(kept: int, replaced: int) -> str:
    """Tell how many rows of the version before stay and how many gave way."""
    if not kept or not replaced:
        return f'All {kept + replaced:,} rows of earlier files {"stay" if kept else "were replaced"}.'
    return f'{_rows(kept)} of earlier files {"stays" if kept == 1 else "stay"}; {_rows(replaced)} gave way to the file.'


def _told_beside(count: int, number: Column) -> str:
    many = f'{_rows(count)} of earlier files {"shares" if count == 1 else "share"}'
    return f'{many} series and time with rows of the file. Each has its own "{number.source}", so all are stored.'


def _told_summed(count: int, number: Column) -> str:
    many = f'{_rows(count)} of the file {"was" if count == 1 else "were"}'
    return (
        f'{many} added to what earlier files hold of the same series and time, as each has its own "{number.source}". '
        'What was in such a sum before and is sent again without the last of it counts twice.'
    )


def _told_counter(number: Column, *, more: bool) -> str:
    return (
        f'Numbers of "{number.source}" stand at other times than in earlier files, as where each file counts its rows: '
        'rows were met by series and time alone.'
    ) + (
        ' More rows of earlier files gave way than came. If they were others, let a file with all rows replace them.'
        if more
        else ''
    )


def _rows(count: int) -> str:
    return f'{count:,} {"row" if count == 1 else "rows"}'


def sources(
    connection: 'duckdb.DuckDBPyConnection', parts: Sequence[Path], before: Before, *, own: Source
) -> tuple[Source, ...]:
    """Return the files of the rows in `parts`, the newest last, each with how many rows are left of it."""
    found = connection.execute(f'SELECT _source, count(*) FROM {duck.files(parts)} GROUP BY _source').fetchall()
    rows = {int(place): int(count) for place, count in found}
    return tuple(replace(one, rows=rows.get(place, 0)) for place, one in enumerate([*before.sources, own]))


def _met(names: Sequence[str], before: Before, *, said: Mapping[str, str]) -> dict[int, ColumnProfile]:
    """Return, by its place in the file, the stored column that each of the file's columns goes on.

    Where the time or a single key is met by no name, the column that is `said` to be it is meant.
    """
    by_source = {column.source: column for column in before.columns}
    by_name = {column.name.lower(): column for column in before.columns}
    met = {place: by_source[name] for place, name in enumerate(names) if name in by_source}
    taken = {column.name for column in met.values()}
    for place, name in enumerate(names):
        old = by_name.get(name.lower())
        if place not in met and old is not None and old.name not in taken:
            met[place] = old
            taken.add(old.name)
    stored = stored_names(names)
    for role in ('time', 'series'):
        missing = [old for old in before.columns if old.role == role and old.name not in taken]
        meant = [
            place
            for place, name in enumerate(names)
            if place not in met and role in (said.get(name), said.get(stored[place]))
        ]
        if len(missing) == len(meant) == 1:
            met[meant[0]] = missing[0]
    return met


def _check(columns: Sequence[Column], met: Mapping[int, ColumnProfile], before: Before, *, name: str) -> None:
    there = {old.name for old in met.values()}
    for old in before.columns:
        if old.role in ('time', 'series') and old.name not in there:
            what = 'the time' if old.role == 'time' else 'a key of the series'
            raise UnusableData(
                f'{name} has no column "{old.source}", {what} of this dataset. '
                f'Name it so, say which column is {what}, or let the file replace all rows.'
            )
    for place, column in enumerate(columns):
        old_column = met.get(place)
        if column.role == 'series' and (old_column is None or old_column.role != 'series'):
            raise UnusableData(
                f'{name} tells series apart by "{column.source}", which this dataset does not. Make it an attribute, '
                'or let the file replace all rows.'
            )
        strange = column.filled and column.type not in NUMBERS
        if old_column is not None and old_column.role == 'measure' and strange:
            raise UnusableData(
                f'Column "{column.source}" is a measure of this dataset and holds no numbers in {name}. '
                'Correct the file, or let it replace all rows.'
            )


def _free(name: str, taken: set[str]) -> str:
    free, count = name, 1
    while free.lower() in taken:
        count += 1
        free = f'{name}_{count}'
    return free


def _pairs(
    columns: Sequence[Column], before: Before
) -> Iterator[tuple[Column | None, ColumnProfile] | tuple[Column, ColumnProfile | None]]:
    """Yield the file's column and the stored one under each name, the stored ones first."""
    mine = {column.name: column for column in columns}
    for old in before.columns:
        yield mine.pop(old.name, None), old
    for column in mine.values():
        yield column, None


def _column(index: int, mine: Column | None, old: ColumnProfile | None) -> Column:
    """The column that holds both."""
    if old is None:
        assert mine is not None
        return replace(mine, index=index)
    base = mine or Column(index=index, source=old.source, name=old.name)
    unit = (mine and unit_of(mine)) or old.unit
    kind = old.type if mine is None or not mine.filled else _type(mine.type, old.type, time=old.role == 'time')
    return replace(
        base,
        index=index,
        source=old.source,
        name=old.name,
        type=kind,
        role=old.role,
        reason=old.reason,
        reading=replace(base.reading, family='number', affix=unit) if unit else base.reading,
    )


def _type(mine: str, old: str, *, time: bool) -> str:
    """The type that holds values of both."""
    if mine == old:
        return old
    pair = {mine, old}
    if time:
        if 'timestamptz' in pair:
            return old if old not in CALENDAR else 'timestamptz'
        return 'timestamp' if 'timestamp' in pair else 'date'
    if pair <= set(NUMBERS):
        return 'double' if 'double' in pair else 'decimal'
    if pair <= set(TIMES):
        return 'timestamptz' if 'timestamptz' in pair else 'timestamp'
    return 'text'


def _mine(mine: Column | None, old: ColumnProfile | None, column: Column, *, zone: str, home: str) -> str:
    """SQL: the column over the file's rows, whose clock times are those of `zone`, by the clock of `home`."""
    name = duck.identifier(column.name)
    if mine is None:
        return f'NULL AS {name}'
    if zone != home and mine.type == column.type == 'timestamp':
        instant = "timezone('UTC', _time)" if column.role == 'time' else f'timezone({duck.text(zone)}, {name})'
        return f'timezone({duck.text(home)}, {instant}) AS {name}'
    if old is None:
        return name
    value = 'NULL' if not mine.filled else _cast(mine.type, column, zone=zone, home=home)
    return f'{value} AS {name}'


def _theirs(mine: Column | None, old: ColumnProfile | None, column: Column, *, zone: str) -> str:
    """SQL: the column over the rows of the version before."""
    name = duck.identifier(column.name)
    if old is None:
        return f'NULL AS {name}'
    return f'{_cast(old.type, column, zone=zone, home=zone)} AS {name}'


def _cast(kind: str, column: Column, *, zone: str, home: str) -> str:
    """SQL: a stored column of the type `kind`, in clock times of `zone`, as one of `column`, in those of `home`."""
    name = duck.identifier(column.name)
    if kind == column.type or {kind, column.type} <= set(NUMBERS):
        return name  # the union finds the number that holds both
    if column.type == 'text':
        return f'CAST({name} AS VARCHAR)'
    if column.role == 'time':
        name = '_time' if kind in CALENDAR or kind == 'timestamptz' else name
        if column.type == 'date':
            return 'CAST(_time AS DATE)'
        if column.type == 'timestamptz':
            return "timezone('UTC', _time)"
        return f"timezone({duck.text(home)}, timezone('UTC', _time))" if kind == 'timestamptz' else name
    if column.type == 'timestamptz':
        return f'timezone({duck.text(zone)}, CAST({name} AS TIMESTAMP))'
    return f'CAST({name} AS TIMESTAMP)'


def _listed(columns: Sequence[Column]) -> str:
    return ', '.join(duck.identifier(column.name) for column in columns)


def _numbers(
    connection: 'duckdb.DuckDBPyConnection',
    rows: str,
    pairs: Sequence[tuple[Column | None, ColumnProfile | None]],
    before: Before,
) -> Iterator[Column]:
    """Yield the columns that number what happened in both: `duplicates` tells rows of one file apart by such a one."""
    for mine, old in pairs:
        if mine is None or old is None or old.role != 'attribute' or old.missing:
            continue
        if old.distinct >= duplicates.OWN * before.rows and duplicates.own_number(connection, [mine], rows):
            yield mine


def _counts(
    connection: 'duckdb.DuckDBPyConnection', rows: str, number: Column, *, mine: str, old: str, before: Before
) -> bool:
    """Whether a number counts the rows of each file: most of those that both have stand at another series or time.

    A few of many say nothing: the time of an order may have changed.
    """
    name = duck.identifier(number.name)
    many, common, same = duck.single(
        connection,
        f"""WITH mine AS (SELECT DISTINCT _series, _time, {name} FROM ({mine})),
        common AS (SELECT _series, _time, {name} FROM ({old}) SEMI JOIN mine USING ({name}))
        SELECT (SELECT count(*) FROM ({rows})), count(*), count(mine._time)
        FROM common LEFT JOIN mine USING (_series, _time, {name})""",
    )
    moved = common - same
    return bool(moved > same and 2 * moved >= min(many, before.rows))


def _filled(new: str, old: str, merged: Sequence[Column], absent: Sequence[Column], *, one: str) -> str:
    """SQL: the file's rows, with what the rows that they replace (the same in `one`) hold in the `absent` columns."""
    if not absent:
        return new
    names = [duck.identifier(column.name) for column in absent]
    lost = ', '.join(f'first({name} ORDER BY _line DESC) AS {name}' for name in names)
    shown = ', '.join(
        f'o.{name}' if name in names else f'n.{name}' for name in (duck.identifier(c.name) for c in merged)
    )
    return (
        f'SELECT n._series, n._time, n._line, n._source, n._row, {shown} FROM ({new}) n '
        f'LEFT JOIN (SELECT {one}, {lost} FROM ({old}) GROUP BY {one}) o USING ({one})'
    )


def _summed(
    connection: 'duckdb.DuckDBPyConnection', new: str, others: str, merged: Sequence[Column], absent: Sequence[Column]
) -> tuple[str, tuple[Column, ...], int]:
    """SQL: the file's rows with the measures of the `others` of their series and time added, the columns that hold
    these sums, and to how many rows something was added."""
    described = connection.execute(f'DESCRIBE {new} UNION ALL {others}').fetchall()
    kinds = {name: kind for name, kind, *_ in described}
    sums, totals = [], {}
    for place, column in enumerate(merged):
        if column.role == 'measure':
            name, kind = duck.identifier(column.name), kinds[column.name]
            scale = re.fullmatch(r'DECIMAL\(\d+,(\d+)\)', kind)
            wide = f'DECIMAL(38,{scale[1]})' if scale else 'HUGEINT' if column.type == 'integer' else 'DOUBLE'
            sums.append(f', sum(CAST({name} AS {wide})) AS {name}')
            # What the file does not have stands in its rows as it was.
            mine = 'NULL' if column in absent else f'CAST(n.{name} AS {wide})'
            totals[place] = f'coalesce({mine} + o.{name}, o.{name}, CAST(n.{name} AS {wide}))', kind
    earlier = f'SELECT _series, _time{"".join(sums)} FROM ({others}) GROUP BY _series, _time'
    lost = ''.join(
        f', count(*) FILTER (TRY_CAST({total} AS {kind}) IS NULL AND {total} IS NOT NULL)'
        for total, kind in totals.values()
    )
    many, *beyond = duck.single(
        connection, f'SELECT count(*){lost} FROM ({new}) n JOIN ({earlier}) o USING (_series, _time)'
    )
    larger = {place for place, count in zip(totals, beyond, strict=True) if count}
    held = tuple(
        replace(column, type='double', scale=0) if place in larger else column for place, column in enumerate(merged)
    )
    shown = ', '.join(
        f'CAST({totals[place][0]} AS {"DOUBLE" if place in larger else totals[place][1]}) AS {duck.identifier(c.name)}'
        if place in totals
        else f'n.{duck.identifier(c.name)}'
        for place, c in enumerate(merged)
    )
    joined = (
        f'SELECT n._series, n._time, n._line, n._source, n._row, {shown} FROM ({new}) n '
        f'LEFT JOIN ({earlier}) o USING (_series, _time)'
    )
    return joined, held, many


def _of_sums(
    connection: 'duckdb.DuckDBPyConnection',
    gone: str,
    *,
    whole: str,
    parts: str,
    merged: Sequence[Column],
    number: Column | None,
) -> Iterator[str]:
    """Yield that stored sums (`gone`) gave way which may hold records that the file lacks.

    None is lacking where those of its time in the file add up to the sum, all of them (`whole`) or the first (`parts`).
    """
    (time,) = (duck.identifier(column.name) for column in merged if column.role == 'time')
    kinds = {
        duck.identifier(c.name): {'integer': 'HUGEINT', 'decimal': f'DECIMAL(38, {c.scale})'}.get(c.type, 'DOUBLE')
        for c in merged
        if c.role == 'measure'
    }
    alike = ''.join(
        f' AND (g.{name} IS NOT DISTINCT FROM s.{name}'
        + (f' OR abs(g.{name} - s.{name}) <= {ROUNDED} * abs(g.{name}))' if kind == 'DOUBLE' else ')')
        for name, kind in kinds.items()
    )
    first = ''.join(
        f', sum(CAST({name} AS {kind})) OVER (PARTITION BY _series, _time ORDER BY _row) AS {name}'
        for name, kind in kinds.items()
    )
    listed = ''.join(f', {name}' for name in kinds)
    count, earliest = duck.single(
        connection,
        f"""WITH gone AS MATERIALIZED (SELECT _series, _time, {time}{listed} FROM ({gone})),
        sums AS (SELECT _series, _time{listed} FROM ({whole})
            UNION ALL SELECT _series, _time{first} FROM ({parts}) SEMI JOIN gone USING (_series, _time))
        SELECT count(*), CAST(min({time}) AS VARCHAR) FROM gone g
        ANTI JOIN sums s ON g._series = s._series AND g._time = s._time{alike}""",
    )
    if count:
        sums, others, when = ('sum', 'one', 'that time') if count == 1 else ('sums', 'some', 'those times')
        yield (
            f'{count:,} {sums} of earlier files gave way to {others} of the file with other values, the first at '
            f'{earliest}. Records of {when} that the file lacks are not counted any more: if it lacks some, add a file '
            f'with all of {when}. A file with all records of a time{", or with new ones alone," if number else ""} '
            'loses none.'
        )


def _notes(
    connection: 'duckdb.DuckDBPyConnection',
    rows: str,
    pair: tuple[Column | None, ColumnProfile | None],
    column: Column,
) -> Iterator[str]:
    """Yield what a reader should know of a column that is not in both alike."""
    mine, old = pair
    if mine is None:
        yield f'The file has no column "{column.source}": rows that it replaced keep theirs, new rows have none.'
    elif old is None:
        yield f'Column "{column.source}" is new: rows of earlier files have no value in it.'
    elif mine.filled and mine.type != old.type:
        if column.type != old.type:
            yield f'Column "{column.source}" is {column.type} now: it was {old.type} and is {mine.type} in this file.'
        if column.type == 'double' and _rounds(connection, rows, mine, old):
            yield f'Column "{column.source}" holds whole numbers beyond 2^53, which were rounded.'
    if mine is not None and old is not None and mine.filled and old.role == 'measure':
        yield from _scale(connection, rows, mine, old)


def _of_zones(columns: Sequence[Column], zone: str, home: str) -> Iterator[str]:
    """Yield that a file's clock times are of another zone than the dataset's, and what to do if that is not so."""
    if zone == home or not any(column.role == 'time' and column.type == 'timestamp' for column in columns):
        return
    yield (
        f'Times of the file are those of {zone}, and are told by the clock of the dataset, '
        + (f'that of {home}.' if home != 'UTC' else 'UTC.')
        + (
            ' Earlier times were read in UTC, as where no zone is named: if they are of another zone, let a file with '
            'all rows replace them, read in that zone.'
            if home == 'UTC'
            else ''
        )
    )


def _scale(connection: 'duckdb.DuckDBPyConnection', rows: str, mine: Column, old: ColumnProfile) -> Iterator[str]:
    """Yield what tells that a measure may be in another unit: what its numbers bear, or their size."""
    unit = unit_of(mine)
    if unit and old.unit and unit != old.unit:
        yield (
            f'Column "{old.source}" is written in {unit} here and was in {old.unit}: numbers are kept as written. '
            'If the unit is another one, correct the file.'
        )
        return
    name = duck.identifier(mine.name)
    count, median = duck.single(connection, f'SELECT count({name}), median(abs({name}))::DOUBLE FROM ({rows})')
    if count < FEWEST or not median or not old.median:
        return
    times = median / abs(old.median)
    if not 1 / APART < times < APART:
        much = f'{times:,.0f} times' if times > 1 else f'one {1 / times:,.0f}th of'
        yield f'Numbers of column "{old.source}" are about {much} those of before. Is the unit another one?'


def _rounds(connection: 'duckdb.DuckDBPyConnection', rows: str, mine: Column, old: ColumnProfile) -> bool:
    """Whether whole numbers of a column are too large for a double to hold every one."""
    if old.type == 'integer':
        return any(isinstance(value, int | float) and abs(value) >= EXACT for value in (old.min, old.max))
    if mine.type != 'integer':
        return False
    name = duck.identifier(mine.name)
    return bool(
        duck.single(connection, f'SELECT coalesce(max(abs({name}::HUGEINT)) > {EXACT}, false) FROM ({rows})')[0]
    )
