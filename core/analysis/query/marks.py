"""Faults and repairs of a version where they stand among its points, for charts that mark them.

What was wrong with a cell that is stored stands at the time of its row. A record that was rejected has no row: it
stands at the row whose line in the file is nearest to its own, however far that is. Of a table that was melted, a
fault names the column of the file, which is a series or a time of the rows that came of it.

The rows are read a few times, a column or three of them, and never joined to more than they are themselves: which
lines lie nearest is found by a merge, and of a line one row is kept.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from core.analysis import duck
from core.analysis.arrays import Ints, arrow, fixed
from core.analysis.query.pieces import EARLIEST, LATEST
from core.analysis.query.stored import JOINT
from core.errors import TooLarge

if TYPE_CHECKING:
    import duckdb

MOST: Final = 200_000  # faults of a version that are held
SHOWN: Final = 300  # marks of an answer
VALUE: Final = 80  # characters of a cell
MEMORY: Final = 256 * 2**20
PATIENCE: Final = 20.0  # seconds that the faults of a version are looked for
AGAIN: Final = 0.1  # seconds after which a query that goes on is stopped again
FIGURES: Final = 20  # measures of which the values are read along
AT_ONCE: Final = 122_880  # rows
A_SOURCE: Final = 48  # bits above those of a line
A_TIME: Final = r'\d{4}(-\d\d(-\d\d( \d\d(:\d\d(:\d\d(\.\d+)?)?)?)?)?)?'
# A source and a line of it in one number.
KEY: Final = f'(({{0}}._source::BIGINT << {A_SOURCE}) | {{0}}._line)'


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A fault among the points of a chart: `t` in ms, and what it stands at, None where no value is stored there.

    `measure` is '' where the fault is of the whole record or of another column; `of` is the line of the chart that it
    belongs to. `line` is that of the file which the conversion `origin` read, '' for the version's own one. `became` is
    what is stored of the cell's `value`, '' where that is nothing or not known.
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
    became: str = ''


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """The faults of one file of a version: `place` is what `_source` holds in its rows; see `Mark` for `origin`."""

    place: int
    path: Path
    origin: str


class Marks:
    """The marks of a version; one of `share` faults is among them. `note` says what is not, '' where all are."""

    def __init__(self, table: Any, *, share: int, note: str = '') -> None:
        """Hold an Arrow table that is sorted by series and time, None for no marks."""
        self.share, self.note, self._table = share, note, table
        self.nbytes = 0 if table is None else table.nbytes
        self._spans: dict[str, tuple[int, int]] = {}
        self._t: Ints = np.empty(0, np.int64)
        self._measure: Ints = self._t
        self._measures: list[str] = []
        if table is not None:
            self._sort()

    @property
    def given_up(self) -> bool:
        """Whether they were not found in time."""
        return self._table is None

    def _sort(self) -> None:
        table = self._table
        self._t = fixed(table['t'].combine_chunks())
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
        if not len(places):
            return (), 0
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


def read(
    parts: Sequence[Path | str],
    faults: Sequence[Faults],
    manifest: Mapping[str, Any],
    *,
    holds: Callable[[str], bool],
    system: Any,
) -> Marks:
    """Find the faults of a version among its rows; parts that are addresses are opened by the fsspec `system`.

    `holds` tells whether the version has a series. What takes more than PATIENCE or MEMORY is given up: `Marks` without
    any then, whose note says why.
    """
    allowed = [*parts, *(one.path for one in faults)]
    try:
        with (
            duck.told(),
            duck.connect(memory=MEMORY, threads=1, allow=allowed, system=system) as connection,
            bounded(connection),
        ):
            return _Seeking(connection, parts, faults, manifest, holds).marks()
    except TooLarge as error:
        return Marks(None, share=1, note=f'Faults not marked: {error.message}')


@contextmanager
def bounded(connection: 'duckdb.DuckDBPyConnection') -> 'Iterator[None]':
    """Stop what a connection does after PATIENCE; raise TooLarge then, and when its memory is too small."""
    import duckdb
    import pyarrow as pa

    late, ended = Event(), Event()

    def watch() -> None:
        patience = PATIENCE
        while not ended.wait(patience):  # what is between two queries is not stopped by the first time
            late.set()
            connection.interrupt()
            patience = AGAIN

    watching = Thread(target=watch, name='the time for marks', daemon=True)
    watching.start()
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:  # Arrow tells what DuckDB met while it streams
        if late.is_set():
            raise TooLarge(f'looking for them takes longer than {PATIENCE:g} seconds.') from error
        if isinstance(error, duckdb.OutOfMemoryException) or 'Out of Memory' in str(error):
            raise TooLarge('looking for them takes more memory than there is for it.') from error
        if isinstance(error, duckdb.Error):
            raise
        raise duckdb.IOException(str(error)) from error
    finally:
        ended.set()
        watching.join()


class _Seeking:
    """The faults of a version on their way to rows."""

    def __init__(
        self,
        connection: 'duckdb.DuckDBPyConnection',
        parts: Sequence[Path | str],
        faults: Sequence[Faults],
        manifest: Mapping[str, Any],
        holds: Callable[[str], bool],
    ) -> None:
        self._connection, self._holds = connection, holds
        rows = duck.files(parts)
        described = connection.execute(f'DESCRIBE SELECT * FROM {rows}').fetchall()
        # Rows that were stored before rows told their file are of one.
        self._rows = (
            rows if any(name == '_source' for name, *_ in described) else f'(SELECT *, 0 AS _source FROM {rows})'
        )
        self._listed = ' UNION ALL '.join(
            f'SELECT {one.place} AS _source, {duck.text(one.origin)} AS origin, line AS _line, "column", kind, action, '
            f'left(value, {VALUE}) AS value, left({became}, {VALUE}) AS became, reason FROM {duck.files([one.path])}'
            for one in faults
            for became in [self._became(one.path)]
        )
        # Faults name a column as it is stored, or as the file does.
        self._known = {
            name: column['name'] if column['role'] == 'measure' else ''
            for column in manifest['columns']
            for name in (column['source'], column['name'])
        }
        measures = manifest['measures']
        self._melted = measures[0] if len(measures) == 1 else ''
        met = connection.execute(f'SELECT DISTINCT "column" FROM ({self._listed}) WHERE "column" <> \'\'').fetchall()
        self._met = [name for (name,) in met]

    def _became(self, path: Path) -> str:
        """SQL: what is stored of a cell; files of before that was told do not have it."""
        described = self._connection.execute(f'DESCRIBE SELECT * FROM {duck.files([path])}').fetchall()
        return 'became' if any(name == 'became' for name, *_ in described) else 'NULL::VARCHAR'

    def marks(self) -> Marks:
        """All marks, or so many evenly that they are MOST."""
        (total,) = duck.single(self._connection, f'SELECT count(*) FROM ({self._listed})')
        share = max(1, -(-total // MOST))
        while True:
            self._take(share)
            self._tell_times()
            self._place()
            table = self._stand()
            if table.num_rows <= MOST:
                break
            share *= self._too_many()
        taken, told = duck.single(
            self._connection, 'SELECT (SELECT count(*) FROM faults), (SELECT count(DISTINCT id) FROM standing)'
        )
        lost = (taken - told) * share
        notes = []
        if share > 1:
            notes.append(f'Faults are so many that 1 of {share:,} is looked at; how many there are is near.')
        if lost:
            about = 'About ' if share > 1 else ''
            which = 'fault is of a row that is' if lost == 1 else 'faults are of rows that are'
            notes.append(f'{about}{lost:,} more {which} not stored.')
        return Marks(table, share=share, note=' '.join(notes))

    def _take(self, share: int) -> None:
        """`faults`: one of `share` of them; `own` are those of a column that is stored, or of a whole record."""
        names = ', '.join(
            f'({duck.text(name)}, {duck.text(self._known.get(name, self._melted))}, {name in self._known})'
            for name in self._met
        )
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE faults AS
            SELECT f.*, {KEY.format('f')} AS key, action NOT IN ('rejected', 'left_out') AS kept,
                coalesce(measure, '') AS measure, coalesce(own, true) AS own
            FROM (SELECT *, row_number() OVER () AS id FROM ({self._listed})) f
                LEFT JOIN (VALUES {names or "('', '', true)"}) n("column", measure, own) USING ("column")
            WHERE id % {share} = 0"""
        )

    def _tell_times(self) -> None:
        """`times`: what times the columns of a table stand for that was melted to times."""
        times = sorted({name for name in self._met if name not in self._known and re.fullmatch(A_TIME, name)})
        sizes = sorted({len(name) for name in times})
        cut = ' UNION ALL '.join(
            f'SELECT _source, left(CAST(_time AS VARCHAR), {size}) AS name, epoch_us(_time) AS t FROM moments'
            for size in sizes
        )
        moments = f'SELECT DISTINCT _source, _time FROM {self._rows}'
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE times AS
            WITH moments AS MATERIALIZED ({moments}) SELECT _source, name, min(t) AS t FROM ({cut})
            WHERE list_contains({duck.texts(times)}, name) GROUP BY ALL"""
            if times
            else 'CREATE OR REPLACE TEMP TABLE times (_source BIGINT, name VARCHAR, t BIGINT)'
        )

    def _place(self) -> None:
        """`placed`: where those stand that have no row, or one of several that their line has."""
        import pyarrow as pa

        keys = self._ints(
            'SELECT DISTINCT key FROM faults WHERE NOT (kept AND own) AND key IS NOT NULL ORDER BY key', 'key'
        )
        near = self._nearest(keys) if len(keys) else keys
        there = near >= 0
        self._connection.register('nearest', pa.table({'key': arrow(keys[there]), 'near': arrow(near[there])}))
        # Of a line the first row is enough: those of a melted table differ in what the fault tells itself.
        found = self._connection.sql(
            f"""WITH beside AS (
                SELECT near, min((r._series, epoch_us(r._time))) AS first
                FROM {self._rows} r JOIN (SELECT DISTINCT near FROM nearest) n ON {KEY.format('r')} = n.near
                GROUP BY near)
            SELECT id, first[1] AS series, coalesce(m.t, first[2]) AS t, CASE WHEN NOT own THEN "column" END AS named
            FROM faults f JOIN nearest USING (key) JOIN beside USING (near)
                LEFT JOIN times m ON NOT f.own AND m._source = f._source AND m.name = f."column"
            WHERE NOT kept OR (NOT own AND near = key)"""
        ).to_arrow_table()
        pairs = list(zip(found['series'].to_pylist(), found['named'].to_pylist(), strict=True))
        labels = {pair: self._series(*pair) for pair in set(pairs)}
        series = pa.array([labels[pair] for pair in pairs], pa.string())
        self._connection.register('placed', pa.table({'id': found['id'], 'series': series, 't': found['t']}))

    def _series(self, label: str, name: str | None) -> str:
        """The series of a fault: that of the row beside it, with the name of its own column if it is a melted cell."""
        if name is None:
            return label
        cells = label.split(JOINT)
        tried = [JOINT.join([*cells[:at], name, *cells[at + 1 :]]) for at in range(len(cells))]
        return next((one for one in tried if self._holds(one)), label)

    def _nearest(self, keys: Ints) -> Ints:
        """The key of the nearest row of the same source for each of some keys in order, that before it first; else -1.

        Each row lies between two of the keys: the last before and the first behind each of them is found in one go.
        """
        below, above = np.full(len(keys) + 1, EARLIEST), np.full(len(keys) + 1, LATEST)
        reader = self._connection.sql(
            f'SELECT {KEY.format("r")} AS key FROM {self._rows} r WHERE r._line IS NOT NULL'
        ).to_arrow_reader(AT_ONCE)
        for batch in reader:
            here = fixed(batch['key'])
            np.maximum.at(below, np.searchsorted(keys, here), here)
            np.minimum.at(above, np.searchsorted(keys, here, side='right'), here)
        below = np.maximum.accumulate(below)[:-1]
        above = np.minimum.accumulate(above[::-1])[::-1][1:]
        before, behind = below >> A_SOURCE == keys >> A_SOURCE, above >> A_SOURCE == keys >> A_SOURCE
        nearer = before & (~behind | (keys - below <= above - keys))
        return np.where(nearer, below, np.where(behind, above, -1))

    def _stand(self) -> Any:
        """All of them in an Arrow table, sorted; more than MOST rows when there are too many."""
        named = sorted({self._known.get(name, self._melted) for name in self._met} - {''})[:FIGURES]
        cases = ' '.join(f'WHEN {duck.text(one)} THEN CAST(r.{duck.identifier(one)} AS DOUBLE)' for one in named)
        value = f'CASE f.measure {cases} END' if cases else 'NULL::DOUBLE'
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE standing AS
            WITH cells AS (
                SELECT f.id, {value} AS y FROM {self._rows} r
                JOIN (SELECT id, key, measure, p.series, p.t FROM faults JOIN placed p USING (id) WHERE kept) f
                ON {KEY.format('r')} = f.key AND r._series = f.series AND epoch_us(r._time) = f.t)
            (SELECT f.id, r._series AS series, epoch_us(r._time) AS t, {value} AS y
            FROM {self._rows} r JOIN (FROM faults WHERE kept AND own) f ON {KEY.format('r')} = f.key
            LIMIT {MOST + 1})
            UNION ALL SELECT id, series, t, y FROM placed LEFT JOIN cells USING (id)"""
        )
        return self._connection.sql(
            """SELECT t, CASE WHEN isfinite(y) THEN y END AS y, series, measure, _line AS line,
                coalesce("column", '') AS "column", kind, action, coalesce(value, '') AS value,
                coalesce(reason, '') AS reason, origin, coalesce(became, '') AS became
            FROM standing JOIN faults USING (id) WHERE t IS NOT NULL ORDER BY series, t, line, "column" """
        ).to_arrow_table()

    def _too_many(self) -> int:
        """How many times fewer faults would have no more than MOST marks: a record of a wide table stands at many."""
        (points,) = duck.single(
            self._connection,
            f"""SELECT coalesce(sum(n), 0)::BIGINT + (SELECT count(*) FROM placed) FROM {self._rows} r
                JOIN (SELECT key, count(*) AS n FROM faults WHERE kept AND own GROUP BY key) f
                ON {KEY.format('r')} = f.key""",
        )
        return max(2, -(-int(points) // MOST))

    def _ints(self, query: str, column: str) -> Ints:
        return fixed(self._connection.sql(query).to_arrow_table()[column].combine_chunks())
