"""Faults and repairs of a version where they stand among its points, for charts that mark them.

What was wrong with a cell that is stored stands at the time of its row. A record that was rejected has no row: it
stands at the row whose line in the file is nearest to its own, `NEAR` lines away or so at most. Of a table that was
melted, a fault names the column of the file, which is a series or a time of the rows that came of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from core.analysis import duck
from core.analysis.query.stored import Ints, arrow, fixed

if TYPE_CHECKING:
    import duckdb

MOST: Final = 200_000  # faults of a version that are held
SHOWN: Final = 300  # marks of an answer
NEAR: Final = 16
VALUE: Final = 80  # characters of a cell
MEMORY: Final = 256 * 2**20
A_MARK: Final = 100  # bytes
FIGURES: Final = 20  # measures of which the values are read along


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A fault among the points of a chart: `t` in ms, and what it stands at, None where no value is stored there.

    `measure` is '' where the fault is of the whole record or of another column; `of` is the line of the chart that it
    belongs to. `line` is that of the file which the conversion `origin` read, '' for the version's own one.
    """

    t: float
    y: float | None
    series: str
    of: str
    measure: str
    line: int
    column: str
    kind: str
    action: str
    value: str
    reason: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """The faults of one file of a version: `place` is what `_source` holds in its rows; see `Mark` for `origin`."""

    place: int
    path: Path
    origin: str


class Marks:
    """The marks of a version; one of `share` faults is among them."""

    def __init__(self, table: Any, *, share: int) -> None:
        """Hold an Arrow table that is sorted by series and time."""
        self.share, self.nbytes = share, A_MARK * table.num_rows
        self._table = table
        self._t: Ints = fixed(table['t'].combine_chunks())
        words = {name: table[name].combine_chunks().dictionary_encode() for name in ('series', 'measure')}
        self._measure, self._measures = fixed(words['measure'].indices), words['measure'].dictionary.to_pylist()
        begins = np.flatnonzero(np.diff(fixed(words['series'].indices), prepend=-1)).tolist()
        ends = [*begins[1:], table.num_rows][: len(begins)]
        labels = words['series'].dictionary.to_pylist()
        self._spans = dict(zip(labels, zip(begins, ends, strict=True), strict=True))

    def within(
        self, lines: Mapping[str, str], measures: Sequence[str], *, start: int, end: int, most: int = SHOWN
    ) -> tuple[tuple[Mark, ...], int]:
        """Return marks of series from start to end (µs, both included), `most` at most, and how many there are.

        `lines` tells for each series the line that it is part of. Those that are left out are spread evenly.
        """
        known = np.isin(self._measure, [at for at, name in enumerate(self._measures) if name in ('', *measures)])
        found = [np.empty(0, np.int64)]
        for label in lines:
            begin, stop = self._spans.get(label, (0, 0))
            low = begin + int(np.searchsorted(self._t[begin:stop], start))
            high = begin + int(np.searchsorted(self._t[begin:stop], end, side='right'))
            found.append(low + np.flatnonzero(known[low:high]))
        places = np.concatenate(found)
        places = places[np.argsort(self._t[places], kind='stable')]
        total = len(places)
        if total > most:
            places = places[np.linspace(0, total - 1, most).round().astype(np.int64)]
        rows = self._table.take(arrow(places)).to_pylist()
        marks = (Mark(**(row | {'t': row['t'] / 1000, 'of': lines[row['series']]})) for row in rows)
        return tuple(marks), total * self.share


def files(manifest: Mapping[str, Any]) -> list[tuple[int, str]]:
    """The files of a version in which faults were found: the place of each, and its conversion, '' for its own one."""
    if not (sources := manifest.get('sources')):
        return [(0, '')] if manifest['faults_total'] else []
    last = len(sources) - 1
    found = [manifest['faults_total'] if at == last else one.get('faults', 0) for at, one in enumerate(sources)]
    return [(at, '' if at == last else one['origin']) for at, one in enumerate(sources) if found[at]]


def read(parts: Sequence[Path | str], faults: Sequence[Faults], manifest: Mapping[str, Any], *, system: Any) -> Marks:
    """Find the faults of a version among its rows; parts that are addresses are opened by the fsspec `system`."""
    allowed = [*parts, *(one.path for one in faults)]
    with duck.told(), duck.connect(memory=MEMORY, allow=allowed, system=system) as connection:
        listed = ' UNION ALL '.join(
            f'SELECT {one.place} AS source, {duck.text(one.origin)} AS origin, * FROM {duck.files([one.path])}'
            for one in faults
        )
        total, *_ = duck.single(connection, f'SELECT count(*) FROM ({listed})')
        share = max(1, -(-total // MOST))
        while True:
            table = _found(connection, parts, listed, manifest, share=share)
            if table.num_rows <= MOST:
                return Marks(table, share=share)
            share *= 4  # a record of a wide table stands at many points


def _found(
    connection: 'duckdb.DuckDBPyConnection',
    parts: Sequence[Path | str],
    listed: str,
    manifest: Mapping[str, Any],
    *,
    share: int,
) -> Any:
    described = connection.execute(f'DESCRIBE SELECT * FROM {duck.files(parts)}').fetchall()
    rows = duck.files(parts)
    if not any(name == '_source' for name, *_ in described):  # it was stored before rows told their file
        rows = f'(SELECT *, 0 AS _source FROM {rows})'
    # Faults name a column as it is stored, or as the file does.
    known = {
        name: column['name'] if column['role'] == 'measure' else ''
        for column in manifest['columns']
        for name in (column['source'], column['name'])
    }
    measures, keys = manifest['measures'], manifest['series'].get('columns') or ()
    melted = measures[0] if len(measures) == 1 else ''
    met = [name for (name,) in connection.execute(f'SELECT DISTINCT "column" FROM ({listed})').fetchall() if name]
    named = ', '.join(f'({duck.text(name)}, {duck.text(known.get(name, melted))}, {name in known})' for name in met)
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE faults AS
        SELECT f.*, coalesce(measure, '') AS measure, coalesce(own, true) AS own FROM
            (SELECT *, row_number() OVER () AS id FROM ({listed})) f
            LEFT JOIN (VALUES {named or "('', '', true)"}) n("column", measure, own) USING ("column")
        WHERE id % {share} = 0"""
    )
    wanted = sorted({known.get(name, melted) for name in met} - {''})[:FIGURES]
    cases = ' '.join(f'WHEN {duck.text(one)} THEN CAST(r.{duck.identifier(one)} AS DOUBLE)' for one in wanted)
    value = f'CASE f.measure {cases} END' if cases else 'NULL::DOUBLE'
    cells = ', '.join(f'CAST(r.{duck.identifier(key)} AS VARCHAR)' for key in keys)
    is_series = f'list_contains([{cells}], f."column")' if keys else 'false'
    is_time = 'starts_with(CAST(r._time AS VARCHAR), f."column")'
    # Lines before come first among those that are as near.
    apart = '2 * abs(r._line - f.line) + (r._line > f.line)::INT'
    lost = f"""SELECT f.id,
            arg_min(r._series, CASE WHEN f.own OR {is_series} THEN {apart} ELSE {apart} + 1000 END) AS series,
            arg_min(epoch_us(r._time), CASE WHEN f.own OR {is_time} THEN {apart} ELSE {apart} + 1000 END) AS t
        FROM {rows} r JOIN (SELECT *, unnest([line // {NEAR} - 1, line // {NEAR}, line // {NEAR} + 1]) AS bin
            FROM faults WHERE action = 'rejected') f ON r._line // {NEAR} = f.bin AND r._source = f.source
        GROUP BY f.id"""
    kept = f"""SELECT f.id, r._series AS series, epoch_us(r._time) AS t, {value} AS y
        FROM {rows} r JOIN (FROM faults WHERE action <> 'rejected') f ON r._line = f.line AND r._source = f.source
        WHERE f.own OR {is_series} OR {is_time} LIMIT {MOST + 1}"""
    return connection.sql(
        f"""SELECT t, CASE WHEN isfinite(y) THEN y END AS y, series, measure, line, coalesce("column", '') AS "column",
            kind, action, coalesce(left(value, {VALUE}), '') AS value, coalesce(reason, '') AS reason, origin
        FROM (SELECT * FROM ({kept}) UNION ALL SELECT *, NULL FROM ({lost})) JOIN faults USING (id)
        WHERE t IS NOT NULL ORDER BY series, t, line, "column" """
    ).to_arrow_table()
