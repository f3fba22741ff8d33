"""Versions side by side: which rows a later one added, changed or dropped, and where a point came from."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from core.analysis import duck

if TYPE_CHECKING:
    import duckdb

OWN: Final = ('_series', '_time', '_line', '_source')
MEMORY: Final = 256 * 2**20
SHOWN: Final = 100
BUCKET: Final = 2**41  # microseconds, about 25 days
NUMBERS: Final = ('BIGINT', 'DOUBLE', 'DECIMAL')


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The rows of a version: files or addresses in order, and the fsspec file system that opens addresses."""

    parts: Sequence[Path | str]
    system: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row that differs; `before` and `after` hold its cells by column, None where the version has no such row.

    Of a row that changed, only the cells that differ are held.
    """

    series: str
    time: datetime  # UTC
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesChange:
    """How many rows of a series differ."""

    series: str
    added: int
    changed: int
    gone: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a later version made of an earlier one. Rows meet by series and time, those that share both by their order.

    `series` lists those that differ most first, of `n_series` in all. `rows` has the first rows by series and time of
    each kind (added, changed, gone). Cells are those of at most 100 columns; `columns_added` and `columns_gone` name
    columns that one of the two lacks, which alone do not make a row differ.
    """

    added: int
    changed: int
    gone: int
    same: int
    n_series: int
    series: tuple[SeriesChange, ...]
    columns_added: tuple[str, ...]
    columns_gone: tuple[str, ...]
    rows: Mapping[str, tuple[Row, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A stored row: its line in the file (None where a step of cleaning made it), the file's place, and its cells."""

    line: int | None
    source: int
    cells: Mapping[str, Any]


def difference(before: Stored, after: Stored, *, limit: int = 20, series: int = 100) -> Difference:
    """Compare two versions, within 256 MB of memory; what does not fit is spilled to disk.

    `limit` bounds the rows of each kind, `series` the series that are listed.
    """
    with _opened(before, after) as connection:
        old, new = (_columns(connection, stored) for stored in (before, after))
        both = [name for name in new if name in old]
        _compare(connection, before, after, [(name, old[name], new[name]) for name in both])
        counts = duck.single(
            connection,
            "SELECT count(*) FILTER (kind = 'added'), count(*) FILTER (kind = 'changed'), "
            "count(*) FILTER (kind = 'gone'), count(DISTINCT _series) FROM differs",
        )
        (total,) = duck.single(connection, f'SELECT count(*) FROM {duck.files(before.parts)}')
        added, changed, gone, n_series = (int(count) for count in counts)
        return Difference(
            added=added,
            changed=changed,
            gone=gone,
            same=int(total) - changed - gone,
            n_series=n_series,
            series=_by_series(connection, limit=series),
            columns_added=tuple(name for name in new if name not in old),
            columns_gone=tuple(name for name in old if name not in new),
            rows={
                'added': _rows(connection, 'added', [None, (after, list(new))], limit=limit),
                'changed': _changed(connection, before, after, both, limit=limit),
                'gone': _rows(connection, 'gone', [(before, list(old)), None], limit=limit),
            },
        )


def points(stored: Stored, *, series: str, time: datetime, limit: int = 100) -> tuple[Point, ...]:
    """Return the rows of a series at a time, in their order; none when there is no such point."""
    with duck.told(), duck.connect(memory=MEMORY, allow=stored.parts, system=stored.system) as connection:
        result = connection.execute(
            f'SELECT * FROM {duck.files(stored.parts)} WHERE _series = ? AND _time = ?::TIMESTAMPTZ::TIMESTAMP '
            f'ORDER BY _line LIMIT ?',
            [series, time.isoformat(), limit],
        )
        names = [column[0] for column in result.description or ()]
        found = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    return tuple(
        Point(
            line=row['_line'],
            source=row.get('_source') or 0,
            cells={name: row[name] for name in names if name not in OWN},
        )
        for row in found
    )


@contextmanager
def _opened(before: Stored, after: Stored) -> Iterator['duckdb.DuckDBPyConnection']:
    with TemporaryDirectory(prefix='variosync-diff-') as folder, duck.told():
        allow = [*dict.fromkeys([*before.parts, *after.parts])]
        system = before.system or after.system
        with duck.connect(memory=MEMORY, workdir=Path(folder), allow=allow, system=system) as connection:
            yield connection


def _columns(connection: 'duckdb.DuckDBPyConnection', stored: Stored) -> dict[str, str]:
    """The version's own columns with their SQL types."""
    described = connection.execute(f'DESCRIBE SELECT * FROM {duck.files(stored.parts)}').fetchall()
    return {name: kind for name, kind, *_ in described if name not in OWN}


def _compare(
    connection: 'duckdb.DuckDBPyConnection', before: Stored, after: Stored, both: Sequence[tuple[str, str, str]]
) -> None:
    """Make `differs`: `_series, _time, _nth, kind` of every row that is not the same in both.

    Stretches of about 25 days of a series whose rows add up to the same hash are left out first: most versions share
    most rows, and what is joined must be held.
    """
    shares = []
    for stored, place in ((before, 1), (after, 2)):
        cells = ', '.join(_alike(name, kinds, kinds[place - 1]) for name, *kinds in both)
        rows = f'SELECT _series, _time, _line, hash({cells or "0"}) AS h FROM {duck.files(stored.parts)}'
        summed = f'epoch_us(_time) // {BUCKET} AS stretch, count(*) AS n, sum(hash(_time, h)) AS h'
        shares.append((rows, f'SELECT _series, {summed} FROM ({rows}) GROUP BY ALL'))
    (old_rows, old), (new_rows, new) = shares
    connection.execute(
        f'CREATE TEMP TABLE stretches AS SELECT DISTINCT _series, stretch FROM '
        f'(((SELECT * FROM ({old})) EXCEPT (SELECT * FROM ({new}))) UNION ALL '
        f'((SELECT * FROM ({new})) EXCEPT (SELECT * FROM ({old}))))'
    )
    numbered = (
        'SELECT _series, _time, h, row_number() OVER (PARTITION BY _series, _time ORDER BY _line) AS _nth '
        'FROM ({rows}) r SEMI JOIN stretches s '
        f'ON s._series = r._series AND s.stretch = epoch_us(r._time) // {BUCKET}'
    )
    connection.execute(
        'CREATE TEMP TABLE differs AS SELECT _series, _time, _nth, '
        "CASE WHEN o.h IS NULL THEN 'added' WHEN n.h IS NULL THEN 'gone' ELSE 'changed' END AS kind "
        f'FROM ({numbered.format(rows=old_rows)}) o FULL JOIN ({numbered.format(rows=new_rows)}) n '
        'USING (_series, _time, _nth) WHERE o.h IS DISTINCT FROM n.h'
    )


def _alike(name: str, kinds: Sequence[str], own: str) -> str:
    """SQL: a column in a form that can be compared with that of the other version."""
    column = duck.identifier(name)
    if kinds[0] == kinds[1]:
        return column
    if all(kind.partition('(')[0] in NUMBERS for kind in kinds):
        return f'CAST({column} AS DOUBLE)'
    if set(kinds) <= {'DATE', 'TIMESTAMP'}:
        return f'CAST({column} AS TIMESTAMP)'
    return column if own == 'VARCHAR' else f'CAST({column} AS VARCHAR)'


def _by_series(connection: 'duckdb.DuckDBPyConnection', *, limit: int) -> tuple[SeriesChange, ...]:
    found = connection.execute(
        "SELECT _series, count(*) FILTER (kind = 'added'), count(*) FILTER (kind = 'changed'), "
        "count(*) FILTER (kind = 'gone') FROM differs GROUP BY _series ORDER BY count(*) DESC, _series LIMIT ?",
        [limit],
    ).fetchall()
    return tuple(SeriesChange(series=row[0], added=row[1], changed=row[2], gone=row[3]) for row in found)


def _rows(
    connection: 'duckdb.DuckDBPyConnection',
    kind: str,
    sides: Sequence[tuple[Stored, Sequence[str]] | None],
    *,
    limit: int,
) -> tuple[Row, ...]:
    """Return the first rows of a kind that only one of the two versions has."""
    out: list[Row] = []
    _first(connection, kind, limit)
    for place, side in enumerate(sides):
        if side is None:
            continue
        for series, time, cells in _cells(connection, *side):
            out.append(Row(series=series, time=time, before=None if place else cells, after=cells if place else None))
    return tuple(out)


def _changed(
    connection: 'duckdb.DuckDBPyConnection', before: Stored, after: Stored, both: Sequence[str], *, limit: int
) -> tuple[Row, ...]:
    """Return the first rows that changed, with the cells that differ."""
    _first(connection, 'changed', limit)
    sides = [_cells(connection, stored, both) for stored in (before, after)]
    out = []
    for (series, time, old), (_, _, new) in zip(*sides, strict=True):
        differ = [name for name in old if old[name] != new[name]]
        out.append(
            Row(
                series=series,
                time=time,
                before={name: old[name] for name in differ},
                after={name: new[name] for name in differ},
            )
        )
    return tuple(out)


def _first(connection: 'duckdb.DuckDBPyConnection', kind: str, limit: int) -> None:
    """Make `chosen`: the first rows of a kind."""
    connection.execute(
        'CREATE OR REPLACE TEMP TABLE chosen AS SELECT _series, _time, _nth FROM differs '
        f'WHERE kind = {duck.text(kind)} ORDER BY _series, _time, _nth LIMIT {int(limit)}'
    )


def _cells(
    connection: 'duckdb.DuckDBPyConnection', stored: Stored, names: Sequence[str]
) -> list[tuple[str, datetime, dict[str, Any]]]:
    """Return the cells of the chosen rows in one version, in order."""
    shown = list(names)[:SHOWN]
    listed = ''.join(f', {duck.identifier(name)}' for name in shown)
    keys = connection.execute('SELECT DISTINCT _series FROM chosen').fetchall()
    if not keys:
        return []
    # Named one by one, so that row groups without these series are not read.
    among = f'_series IN ({", ".join("?" for _ in keys)})'
    rows = connection.execute(
        f'SELECT c._series, c._time{listed} FROM (SELECT *, row_number() OVER (PARTITION BY _series, _time '
        f'ORDER BY _line) AS _nth FROM {duck.files(stored.parts)} WHERE {among} '
        'AND _time BETWEEN (SELECT min(_time) FROM chosen) AND (SELECT max(_time) FROM chosen)) r '
        'JOIN chosen c ON r._series = c._series AND r._time = c._time AND r._nth = c._nth '
        'ORDER BY c._series, c._time, c._nth',
        [key for (key,) in keys],
    ).fetchall()
    return [(row[0], row[1].replace(tzinfo=UTC), dict(zip(shown, row[2:], strict=True))) for row in rows]
