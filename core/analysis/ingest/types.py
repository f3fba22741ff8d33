"""Types: what the cells of each column are, decided by the majority and counted on every cell.

A sample suggests readings; one pass over the whole table counts how many cells each can read; what a reading missed is
looked at again, so that a format that first appears in the last row still counts.

A column has a type when at most a tenth of its cells (or one of at least four) cannot be read. A quarter may be no
numbers when they are few different words, unless the column is called an id. Whole numbers are
`integer`. Others are `decimal` when they are written with at most six decimals and fit 18 digits, and `double`
otherwise; what a double rounds is counted (see `digits`). Numbers with leading zeros and one length, or of more than 18
digits, are names: `text`. They are numbers
after all when one of them has a sign, or when the table pads its numbers: those of another column have leading zeros
and decimals.
"""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from core.analysis import duck
from core.analysis.ingest import digits, durations, readings
from core.analysis.ingest.day_month import REPAIR, Orders, either_way, proven
from core.analysis.ingest.rawtable import RawTable
from core.analysis.ingest.readings import Reading
from core.analysis.ingest.tallies import Tally, repairs_of, rows_of, tallied
from core.errors import AmbiguousDates, UsageError

if TYPE_CHECKING:
    import duckdb

SAMPLE: Final = 5000
CELLS: Final = 400
FIRST: Final = 24
TIME_NAME: Final = re.compile(
    r'(?i)(^|[^a-z])(ds|date|dates|datetime|time|times|timestamp|ts|day|week|month|quarter|year|yr|period|epoch|unix|utc|'
    r'datum|zeit|jahr|monat|tag|fecha|data|ano|année|annee|jour|mois|when|stamp)s?([^a-z]|$)|date|timestamp|yyyy|^t$'
)
SERIAL_NAME: Final = re.compile(r'(?i)(date|dates|datetime|datum|day|dato|fecha|data|dag|jour|giorno|ds|when)')
"""The whole name of a column whose numbers may be days as Excel counts them."""
YEAR_NAME: Final = re.compile(r'(?i)(^|[^a-z])(year|yr|jahr|ann[ée]e|a[ñn]o|anno|date|time|ds|period)s?([^a-z]|$)')
ID_NAME: Final = re.compile(
    r'(?i)^(unique_?id|series(_?id)?|item(_?id)?|store(_?(id|nbr|nr))?|symbol|ticker|sensor(_?id)?|station(_?id)?|'
    r'device(_?id)?|meter(_?id)?|sku|product(_?id)?|site(_?id)?|region|country|location|city|state|entity|asset|instrument|'
    r'dept|department|family|category|metric|variable|kpi|tag|id|key|group|zone|channel|.*[_ .](id|key|code|nbr))$'
)
OWN: Final = (
    '_series', '_time', '_line', '_source', '_row', '_status', '_record', '_column', '_key', '_label', '_content',
    '_place', '_many', '_other', '_flag', '_odd', '_fine', '_twice', '_skipped', '_doubled',
)  # fmt: skip
"""Names that no stored column has: those of ours, and those of the queries that make it."""
ROLES: Final = ('time', 'series', 'measure', 'attribute')


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of the raw table and how it is stored.

    `source` is its name in the file, `name` the one it is stored under (unique whatever the case). `unread` counts
    cells that hold something which is not of the type. `repaired` counts the cells that are read with a repair, by
    its name (see `rejects.REPAIRS`); what many cells share is how the column is written and no repair. `off` are the
    repairs that are not to be made. `blank` is a key that may be empty. `zone` is the zone or the offset that every
    time of the column names, else ''.
    """

    index: int
    source: str
    name: str
    type: str = 'text'
    reading: Reading = readings.TEXT
    role: str = 'attribute'
    reason: str = ''
    scale: int = 0
    filled: int = 0
    unread: int = 0
    distinct: int = 0
    figures: Mapping[str, Any] = field(default_factory=dict)
    repaired: Mapping[str, int] = field(default_factory=dict)
    off: tuple[str, ...] = ()
    zone: str = ''
    blank: bool = False

    @property
    def cell(self) -> str:
        """SQL: the raw cell."""
        return f'c{self.index}'

    @property
    def is_quick(self) -> bool:
        """Whether every cell that is not missing is in the commonest form of the reading, as it was counted."""
        form = self.reading.quickly(self.cell)
        return form is not None and self.figures.get('form') == form and self.figures.get('quick') == self.filled


def choose_types(
    connection: 'duckdb.DuckDBPyConnection',
    raw: RawTable,
    *,
    roles: Mapping[str, str],
    decimal: str | None = None,
    day_first: bool | None = None,
    off: Sequence[str] = (),
) -> list[Column]:
    """Give every column of the raw table its type and reading. `roles` are the user's, by column name, and `off` the
    repairs that are not to be made.

    Raises UsageError when a column that the user calls a time or a measure holds none.
    """
    columns = [
        Column(index=i, source=s, name=n)
        for i, (s, n) in enumerate(zip(raw.names, stored_names(raw.names), strict=True))
    ]
    given = {column.index: roles.get(column.name) or roles.get(column.source) or '' for column in columns}
    raw = _untyped(raw)
    samples = _samples(connection, raw, len(columns))
    mark = decimal or _file_decimal(samples.values(), delimiter=raw.dialect.delimiter)
    asked = _Asked(
        connection=connection,
        raw=raw,
        decimal=decimal,
        mark=mark,
        day_first=day_first,
        roles=given,
        off=frozenset(off),
        padded=_padded(samples),
    )
    candidates = {c.index: asked.candidates(c, samples[c.index]) for c in columns}
    spare = {c.index: _spare(candidates[c.index], samples[c.index]) for c in columns}
    plainest = {i: [r for r in known if r not in spare[i]] for i, known in candidates.items()}
    hopeful = {i for i, known in plainest.items() if known and all(map(known[0].matches, samples[i]))}
    tallies = tallied(connection, raw, plainest, hopeful=hopeful)
    missed = {i: rest for i, rest in spare.items() if rest and next(t for r, t in tallies[i].items() if _dated(r)).bad}
    for index, found in tallied(connection, raw, missed).items():
        both = tallies[index] | found
        tallies[index] = {reading: both[reading] for reading in candidates[index]}
    again = {index: more for index, more in asked.second_look(candidates, tallies) if more}
    for index, found in tallied(connection, raw, again).items():
        tallies[index] = {**tallies[index], **found}
    for index, found in tallied(connection, raw, dict(asked.third_look(tallies))).items():
        for reading, tally in found.items():
            # Readings are equal whatever others they have: the richer one takes the place of the plain one.
            tallies[index].pop(reading, None)
            tallies[index][reading] = tally
    decided = [asked.zoned(asked.decide(column, tallies[column.index])) for column in columns]
    lost = digits.counted(connection, raw, decided)
    decided = [asked.told(column, lost[column.index]) if column.index in lost else column for column in decided]
    return [asked.dated(column, tallies[column.index]) for column in decided] if asked.has_no_time(decided) else decided


def stored_names(names: Sequence[str]) -> list[str]:
    """Return names that are unique whatever their case, none of them one of ours."""
    taken = set(OWN)
    out = []
    for name in names:
        free, count = name, 1
        while free.lower() in taken or _FOLD.fullmatch(free.lower()):
            count += 1
            free = f'{name}_{count}'
        taken.add(free.lower())
        out.append(free)
    return out


def _spare(known: Sequence[Reading], cells: Sequence[str]) -> list[Reading]:
    """Return the readings of times that tell nothing where the first one reads a whole column, as it does these cells:
    to plan a count of one takes longer than to count a small file."""
    dated = [reading for reading in known if _dated(reading)]
    if len(dated) < 2 or not all(dated[0].matches(cell) for cell in cells):
        return []
    return [reading for reading in dated[1:] if reading != readings.twin(dated[0])]


def _dated(reading: Reading) -> bool:
    return reading.family == 'time' and not reading.coded


_FOLD: Final = re.compile(r'_fold\d+')


def _samples(connection: 'duckdb.DuckDBPyConnection', raw: RawTable, width: int) -> dict[int, list[str]]:
    """Return distinct cells of every column from rows spread over the table."""
    wanted = max(50, min(SAMPLE, 2_000_000 // max(1, width)))
    step = max(1, raw.rows // wanted)
    listed = ', '.join(f'c{i}' for i in range(width))
    if not width:
        return {}
    rows = connection.execute(
        f'SELECT {listed} FROM {rows_of(raw, numbered=True)} '
        f'WHERE hash(file_row_number) % {step} = 0 AND _flag < 2 LIMIT {wanted}'
    ).fetchall()
    return {i: _cells(row[i] for row in rows) for i in range(width)}


def _cells(values: Iterator[str | None]) -> list[str]:
    found: dict[str, None] = {}
    for value in values:
        cell = (value or '').strip(readings.BLANK)
        if not readings.is_missing(cell):
            found[cell] = None
            if len(found) >= CELLS:
                break
    return list(found)


def _untyped(raw: RawTable) -> RawTable:
    """A typed file in which every column is text was written by something that typed nothing: its cells decide."""
    typed_nothing = len(raw.names) > 1 and all(raw.hints.get(name) == 'text' for name in raw.names)
    return replace(raw, hints={}) if typed_nothing else raw


_PADDED: Final = re.compile(r'[+-]?0\d+[.,]\d+')
_SIGNED_PADDED: Final = re.compile(r'[+-]0\d+')


def _padded(samples: Mapping[int, Sequence[str]]) -> frozenset[int]:
    """Return the columns in which zeros in front are padding, as no name has a sign, nor has a table names only that
    pads numbers with decimals too."""
    measured = any(2 * sum(bool(_PADDED.fullmatch(cell)) for cell in cells) > len(cells) for cells in samples.values())
    return frozenset(
        index for index, cells in samples.items() if measured or any(_SIGNED_PADDED.fullmatch(cell) for cell in cells)
    )


def _file_decimal(samples: Any, *, delimiter: str | None) -> str:
    votes = [readings.decimal_votes(cells) for cells in samples]
    points, commas = sum(v[0] for v in votes), sum(v[1] for v in votes)
    if points == commas:
        return (
            ',' if delimiter == ';' and not points and any(',' in cell for cells in samples for cell in cells) else '.'
        )
    return '.' if points > commas else ','


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One decision over a raw table."""

    connection: 'duckdb.DuckDBPyConnection'
    raw: RawTable
    decimal: str | None
    mark: str
    day_first: bool | None
    roles: Mapping[int, str]
    off: Set[str]
    padded: Set[int]
    orders: dict[int, Orders] = field(default_factory=dict)
    looked: dict[str, list[str]] = field(default_factory=dict)

    # which readings to count

    def candidates(self, column: Column, cells: Sequence[str]) -> list[Reading]:
        """Return the readings that a sample of a column's cells suggests."""
        hint = self.raw.hints.get(column.source)
        if hint == 'boolean':
            return [readings.BOOLEANS[0]]
        if hint in ('date', 'timestamp', 'timestamptz'):
            return [readings.ISO]
        found = [] if hint else self._alike(readings.BOOLEANS, cells)[:1]
        # Times of several styles: each of them is worth a count, where the name promises times.
        least = 0.2 if TIME_NAME.search(column.source) or self.roles.get(column.index) == 'time' else 0.5
        known = _possible_times(cells)
        if SERIAL_NAME.fullmatch(column.source.strip()) or self.roles.get(column.index) == 'time':
            known = (*known, *readings.SERIALS)
        times = [reading.quickened(cells) for reading in self._alike(known, cells, least=least)]
        if hint:
            times = [reading for reading in times if reading.coded == (hint in ('integer', 'double', 'decimal'))]
        found += times
        if not hint:
            asked = self.roles.get(column.index) == 'measure'
            found += durations.durations(column.source, cells, asked=asked)
        if hint != 'text':
            found += self._numbers(cells, typed=hint is not None)
        return found

    def _numbers(self, cells: Sequence[str], *, typed: bool) -> list[Reading]:
        if typed:
            return [readings.PLAIN]
        points, commas = readings.decimal_votes(cells)
        mark = self.decimal or ('.' if points > commas else ',' if commas > points else self.mark)
        plainest = readings.number(decimal=mark)
        alike = [r for r in self._alike(readings.numbers_like(cells, decimal=mark), cells) if r != plainest]
        return ([plainest] if cells and self._share(plainest, cells) > 0 else []) + alike[:2]

    def _alike(self, known: Sequence[Reading], cells: Sequence[str], *, least: float = 0.5) -> list[Reading]:
        """Return the readings that fit at least this share of the cells, the best first."""
        first = cells[:FIRST]
        likely = [reading for reading in known if any(reading.matches(cell) for cell in first)]
        shares = {reading.name: self._share(reading, cells) for reading in likely}
        fitting = [reading for reading in likely if shares[reading.name] >= least]
        return sorted(fitting, key=lambda reading: -shares[reading.name])[:4]

    @staticmethod
    def _share(reading: Reading, cells: Sequence[str]) -> float:
        return sum(reading.matches(cell) for cell in cells) / len(cells)

    def second_look(
        self, candidates: Mapping[int, Sequence[Reading]], tallies: Mapping[int, Mapping[Reading, Tally]]
    ) -> Iterator[tuple[int, list[Reading]]]:
        """Yield further readings of columns that no reading so far reads completely, by the cells they missed."""
        for index, known in candidates.items():
            found = tallies[index]
            best = max(found.values(), key=lambda tally: tally.ok, default=Tally())
            if not best.bad or (known and not best.enough and best.ok < best.filled / 2):
                continue
            column = Column(index=index, source=self.raw.names[index], name='')
            missed = next((reading for reading, tally in found.items() if tally is best), readings.TEXT)
            if missed.family == 'time' and best.enough:
                # Another way to write times reads few of these cells: what is left is for the third look.
                other = readings.twin(missed)
                yield index, [other] if other is not None and other not in found else []
                continue
            cells = self._missed(column, missed)
            suggested = self.candidates(column, cells)
            suggested += [r for r in readings.numbers_like(cells, decimal=missed.decimal) if missed.family == 'number']
            yield index, [reading for reading in dict.fromkeys(suggested) if reading not in found][:12]

    def third_look(self, tallies: Mapping[int, dict[Reading, Tally]]) -> Iterator[tuple[int, list[Reading]]]:
        """Yield readings of columns with cells that are written otherwise than the rest and can mean one thing only."""
        for index, found in tallies.items():
            main = self._to_mend(found) or self._one_of_several(found) or self._in_two_units(found)
            if main is None or self.raw.hints.get(self.raw.names[index]):
                continue
            for reading in [r for r in found if r.family == main.family and len(r.affix) > len(main.affix)]:
                # A sign that a few cells have is no format of the column: those are read by repair, or not at all.
                found.pop(reading)
            cells = self._missed(Column(index=index, source=self.raw.names[index], name=''), main)
            others = readings.odd_numbers(cells, main) if main.family == 'number' else readings.odd_times(cells, main)
            others = [] if main in durations.ALL else others
            kept = tuple(reading for reading in others if reading.repair not in self.off)
            either = [replace(r, others=(*r.others, *kept)) for r in self._in_either_order(index, main, found)]
            if richer := [reading for reading in either if reading.others]:
                yield index, richer

    def _in_either_order(self, index: int, main: Reading, found: Mapping[Reading, Tally]) -> list[Reading]:
        """Return the reading and the one with day and month exchanged; if dates prove both, each reads those too that
        only the other one can."""
        other = readings.twin(main)
        if other is None or other not in found:
            return [main]
        day, month = (main, other) if main.name.startswith('DD') else (other, main)
        orders = proven(self.connection, self.raw, f'c{index}', day=day, month=month)
        if orders is not None and REPAIR not in self.off:
            orders = replace(orders, day=either_way(day, month), month=either_way(month, day))
        if orders is None:
            return [main, other]
        self.orders[index] = orders
        return [orders.day, orders.month]

    @staticmethod
    def _to_mend(found: Mapping[Reading, Tally]) -> Reading | None:
        """Return the reading of most cells of a column when some are left; the plainest that reads nine tenths."""
        known = [(r, t) for r, t in found.items() if r.family in ('number', 'time') and t.ok * 2 >= t.filled]
        best = max(known, key=lambda pair: pair[1].ok, default=None)
        if best is None:
            return None
        plainer = [
            (r, t) for r, t in known if r.family == best[0].family == 'number' and len(r.affix) < len(best[0].affix)
        ]
        plainer = [(r, t) for r, t in plainer if t.ok * 10 >= best[1].ok * 9]
        reading, tally = min([best, *plainer], key=lambda pair: len(pair[0].affix))
        return reading if tally.bad else None

    @staticmethod
    def _one_of_several(found: Mapping[Reading, Tally]) -> Reading | None:
        """Return the commonest of several styles of times, none of which most cells have."""
        known = [(r, t) for r, t in found.items() if r.family == 'time' and not r.coded and 0 < t.ok * 2 < t.filled]
        few = sum(tally.ok for _, tally in known) * 2 < max((tally.filled for _, tally in known), default=1)
        return None if few else max(known, key=lambda pair: pair[1].ok)[0]

    @staticmethod
    def _in_two_units(found: Mapping[Reading, Tally]) -> Reading | None:
        """Return the commoner unit of times since 1970 when half of a column's cells are counted in it."""
        known = [(r, t) for r, t in found.items() if r in readings.EPOCHS and t.bad and t.ok * 2 >= t.filled]
        return max(known, key=lambda pair: pair[1].ok)[0] if known else None

    def zoned(self, column: Column) -> Column:
        """The column with the one zone or offset that all of its times name."""
        if column.type != 'timestamptz' or column.reading.coded or column.figures['instants'] < column.filled:
            return column
        if column.reading.quick.endswith('Z') and column.figures.get('quick') == column.filled:
            return _in_zone(column, 'UTC')
        x = readings.present(readings.trimmed(column.cell))
        rows = self.connection.execute(
            f'SELECT DISTINCT {readings.zone_of("x")} AS z FROM (SELECT {x} AS x FROM {rows_of(self.raw)} '
            'WHERE _flag < 2) WHERE x IS NOT NULL LIMIT 2'
        ).fetchall()
        return _in_zone(column, rows[0][0]) if len(rows) == 1 and rows[0][0] else column

    def _missed(self, column: Column, reading: Reading) -> list[str]:
        quick = reading.quickly(column.cell)
        odd = f' AND ({quick}) IS NULL' if quick else ''
        trimmed = f'SELECT {readings.trimmed(column.cell)} AS t FROM {rows_of(self.raw)} WHERE _flag < 2{odd}'
        condition = f'NOT {reading.fits("x")}' if reading.shape else 'true'
        query = (
            f'SELECT x FROM (SELECT {readings.present("t")} AS x FROM ({trimmed})) '
            f'WHERE x IS NOT NULL AND {condition} LIMIT {CELLS}'
        )
        if query not in self.looked:  # the third look is often at what the second one saw
            self.looked[query] = _cells(row[0] for row in self.connection.execute(query).fetchall())
        return self.looked[query]

    # deciding

    def decide(self, column: Column, found: Mapping[Reading, Tally]) -> Column:
        """Choose the reading and the type of one column."""
        known = next(iter(found.values()), Tally())
        column = replace(
            column,
            filled=known.filled,
            distinct=int(known.figures.get('distinct') or 0),
            figures=known.figures,
            off=tuple(sorted(self.off)),
        )
        column = replace(column, repaired=_repaired(column))
        role = self.roles[column.index]
        if role and role not in ROLES:
            raise UsageError(f'"{role}" is no role for column "{column.source}". Roles are {", ".join(ROLES)}.')
        hint = self.raw.hints.get(column.source)
        if role == 'time':
            return self._must(column, self._time(column, found, forced=True), 'time')
        if role == 'measure':
            return self._must(column, self._number(column, found, forced=True), 'number')
        if not column.filled:
            return replace(column, type=hint or 'text', reason='empty')
        decided = self._time(column, found) or self._boolean(column, found) or self._number(column, found)
        return decided or replace(column, reason=self._mixed_times(column, found) or _text_reason(found), figures={})

    def _mixed_times(self, column: Column, found: Mapping[Reading, Tally]) -> str:
        """Tell the forms of a column that holds times of several kinds, each with its first line; '' of another one."""
        known = {r: t for r, t in found.items() if r.family == 'time' and not r.coded and t.ok * 10 >= t.filled}
        if not known or not TIME_NAME.search(column.source):
            return ''
        x = readings.trimmed(column.cell)
        firsts = (f'min(CASE WHEN {replace(r, others=()).fits(x)} THEN _line END)' for r in known)
        lines = duck.single(self.connection, f'SELECT {", ".join(firsts)} FROM {rows_of(self.raw)}')
        own = {r.name: _own(t) for r, t in known.items()}
        told: dict[int, str] = {}  # of forms with one first line the commonest, and the plainest of these
        for name, line in sorted(zip(own, lines, strict=True), key=lambda pair: (-own[pair[0]], len(pair[0]))):
            told.setdefault(line, f'{own[name]:,} as {name} (line {line})')
        filled = max(tally.filled for tally in known.values())
        return f'text, though some of {filled:,} cells hold times: {", ".join(told.values())}'

    def _must(self, column: Column, decided: Column | None, what: str) -> Column:
        if decided is None:
            raise UsageError(
                f'Column "{column.source}" holds nothing that can be read as a {what}. Choose another role for it.'
            )
        return decided

    def has_no_time(self, columns: Sequence[Column]) -> bool:
        """Whether no column can be the time, nor is called so."""
        return 'time' not in self.roles.values() and all(column.reading.family != 'time' for column in columns)

    def dated(self, column: Column, found: Mapping[Reading, Tally]) -> Column:
        """The column with days as Excel counts them, if it is called a date, and they are all in order and end with
        next year at the latest."""
        known = [pair for pair in _best(found, 'time') if pair[0] in readings.SERIALS and not pair[1].bad]
        if not known or self.roles[column.index]:
            return column
        reading, tally = known[0]
        days = f"CAST(replace({readings.trimmed(column.cell)}, ',', '.') AS DOUBLE)"
        up, down, last = duck.single(
            self.connection,
            f'SELECT count(*) FILTER (d > p), count(*) FILTER (d < p), max(d) FROM (SELECT d, lag(d) OVER (ORDER BY n) '
            f'AS p FROM (SELECT {days} AS d, file_row_number AS n FROM {rows_of(self.raw, numbered=True)} '
            f'WHERE _flag < 2 AND {reading.fits(readings.trimmed(column.cell))}))',
        )
        latest = (date(datetime.now(UTC).year + 2, 1, 1) - date(1899, 12, 30)).days
        # Days of several series stand in order within each of them.
        if last >= latest or min(up, down) * 10 > up + down or not up + down:
            return column
        return _decided(column, reading, tally, _time_type(reading, tally), f'times written as {reading.name}')

    def told(self, column: Column, lost: tuple[int, int]) -> Column:
        """The column with what it loses as numbers (see `digits.counted`); text where it is said to be no measure."""
        if self.roles[column.index] in ('series', 'attribute'):
            return digits.as_written(column)
        return replace(column, figures={**column.figures, 'lost': lost})

    def _boolean(self, column: Column, found: Mapping[Reading, Tally]) -> Column | None:
        for reading, tally in _best(found, 'boolean'):
            if tally.enough:
                return _decided(column, reading, tally, 'boolean', f'{reading.name} in every cell')
        return None

    def _time(self, column: Column, found: Mapping[Reading, Tally], *, forced: bool = False) -> Column | None:
        named = forced or bool(TIME_NAME.search(column.source))
        usable = [
            (reading, tally)
            for reading, tally in _best(found, 'time')
            if (tally.enough or (named and tally.ok * 2 >= tally.filled) or (forced and tally.ok))
            and (forced or _plausible(reading, tally, column.source))
        ]
        if not usable:
            return None
        reading, tally = self._day_or_month(column.index, usable, found)
        kind = _time_type(reading, tally)
        others = dict.fromkeys(other.name for other in reading.others if tally.figures.get(other.repair))
        also = f', some as {" or ".join(others)}' if others else ''
        return _decided(column, reading, tally, kind, f'times written as {reading.name}{also}')

    def _day_or_month(
        self, index: int, usable: Sequence[tuple[Reading, Tally]], found: Mapping[Reading, Tally]
    ) -> tuple[Reading, Tally]:
        reading, tally = usable[0]
        orders = self.orders.get(index)
        if orders is not None:
            days, months, _ = orders.counts
            day_first = (days >= months or orders.is_asked) if self.day_first is None else self.day_first
            chosen = next(r for r in found if r == (orders.day if day_first else orders.month))
            told = {'orders': orders, 'undecided': self.day_first is None and orders.is_asked}
            return chosen, replace(found[chosen], figures={**found[chosen].figures, **told})
        other = readings.twin(reading)
        if other is None or other not in found:
            return reading, tally
        if self.day_first is not None:
            chosen = next(r for r in found if r in (reading, other) and r.name.startswith('DD') == self.day_first)
            return chosen, found[chosen]
        # Cells that are read as another form tell nothing of the order of day and month in this one.
        clear = _own(found[other]) < _own(tally)
        return reading, replace(tally, figures={**tally.figures, 'undecided': not clear, 'other': found[other].ok})

    def _number(self, column: Column, found: Mapping[Reading, Tally], *, forced: bool = False) -> Column | None:
        coded = bool(ID_NAME.match(column.source.strip()))
        usable = [
            (reading, tally)
            for reading, tally in _best(found, 'number')
            if (tally.enough or (forced and tally.ok) or (tally.most and not coded)) and _consistent(reading, tally)
        ]
        if not usable:
            return None
        reading, tally = usable[0]
        hint = self.raw.hints.get(column.source)
        padding = not coded and column.index in self.padded and bool(tally.figures['zeros'])
        if hint in (None, 'integer') and not forced and _is_code(tally, padding=padding):
            return replace(column, reason=_code_reason(tally, coded=coded))
        kind, scale = _number_type(tally, hint)
        unread = tally.filled - tally.figures['whole'] if kind == 'integer' else tally.bad
        reason = 'numbers, padded with zeros as others of this table are' if padding else 'numbers'
        reason = f'seconds, as a {reading.name} each' if reading in durations.ALL else reason
        return replace(_decided(column, reading, tally, kind, reason, unread=unread), scale=scale)


def _own(tally: Tally) -> int:
    """How many cells are read as the column is written."""
    return tally.ok - int(tally.figures.get('date_format') or 0)


def _in_zone(column: Column, zone: str) -> Column:
    return replace(column, zone=zone, reason=f'{column.reason}, all in {zone}')


def settle_day_or_month(connection: 'duckdb.DuckDBPyConnection', raw: RawTable, column: Column) -> Column:
    """Settle a time column whose cells fit both orders of day and month: by the one that gives a regular step.

    Raises AmbiguousDates when both do, or neither, or when some of the cells prove one order and some the other.
    """
    if not column.figures.get('undecided'):
        return column
    orders: Orders | None = column.figures.get('orders')
    if orders is not None:
        raise AmbiguousDates(orders.question(column.source), column=column.source)
    other = readings.twin(column.reading)
    assert other is not None
    other = replace(other, others=column.reading.others)
    if '.' in column.reading.name:
        day = column.reading if column.reading.name.startswith('DD') else other
        return _settled(column, day, 'day first, as dates with points are')
    shares = {
        reading: _regular(connection, raw, replace(column, reading=reading)) for reading in (column.reading, other)
    }
    best, rest = sorted(shares, key=lambda reading: -shares[reading])
    if shares[best] >= 0.9 and shares[best] - shares[rest] >= 0.02:
        return _settled(column, best, 'the other order of day and month gives no regular step')
    raise AmbiguousDates(
        f'Column "{column.source}" can be read as {best.name} or as {rest.name}. '
        'Say whether the day or the month comes first.',
        column=column.source,
    )


def order_note(column: Column) -> str:
    """Tell of a column that is read though its dates prove both orders of day and month; '' of another one."""
    orders: Orders | None = column.figures.get('orders')
    told = orders is not None and column.reading.family == 'time' and not column.figures['undecided']
    return orders.note(column.source, column.reading) if orders is not None and told else ''


def _settled(column: Column, reading: Reading, why: str) -> Column:
    return replace(
        column,
        reading=reading,
        reason=f'times written as {reading.name}: {why}',
        figures={**column.figures, 'undecided': False},
    )


def _regular(connection: 'duckdb.DuckDBPyConnection', raw: RawTable, column: Column) -> float:
    """Return the share of steps between neighbouring times that equal the commonest step."""
    x = readings.present(readings.trimmed(column.cell))
    row = connection.execute(
        f"""WITH cells AS (SELECT DISTINCT {x} AS x FROM {rows_of(raw)} WHERE _flag < 2),
        times AS (SELECT DISTINCT {column.reading.read('x')} AS t FROM cells),
        steps AS (SELECT t, lag(t) OVER (ORDER BY t) AS p FROM times WHERE t IS NOT NULL),
        named AS (SELECT CASE WHEN day(t) = day(p) AND t - p >= INTERVAL 28 DAY THEN 'm' || datediff('month', p, t)
            ELSE 's' || datediff('second', p, t) END AS step FROM steps WHERE p IS NOT NULL),
        counted AS (SELECT count(*) AS n FROM named GROUP BY step)
        SELECT coalesce(max(n) / sum(n), 0) FROM counted"""
    ).fetchone()
    return float(row[0]) if row else 0.0


def _repaired(column: Column) -> dict[str, int]:
    """Return how many cells are read with which repair; what more than a tenth share is how the column is written."""
    figures = column.figures
    counts = {'padding': figures.get('padded'), 'null_spelling': figures.get('spelled')}
    counts |= {repair: figures.get(repair) for repair in repairs_of(column.reading)}
    counts['guard'] = 0 if 'guard' in column.off else figures.get('guard')
    few = max(3, (column.filled + int(figures.get('spelled') or 0)) // 10)
    own = ('padding', 'null_spelling')
    return {repair: int(n) for repair, n in counts.items() if n and (n <= few or repair not in own)}


def _possible_times(cells: Sequence[str]) -> Sequence[Reading]:
    """Return the readings of times that cells may have: a number with a point is no date."""
    if cells and all(readings.PLAIN.matches(cell) for cell in cells[:FIRST]):
        return [
            reading for reading in readings.TIMES if reading.coded or reading in (readings.COMPACT_CLOCK, *_POINTED)
        ]
    if any(readings.STYLED.search(cell) for cell in cells[:FIRST]):
        return (*readings.TIMES, *readings.STYLES)
    return readings.TIMES


_POINTED: Final = tuple(reading for reading in readings.TIMES if reading.name == 'YYYY.MM.DD')


def _best(found: Mapping[Reading, Tally], family: str) -> list[tuple[Reading, Tally]]:
    """Return the readings of a family, those that read most first; of equals the plainer one."""
    mine = [(reading, tally) for reading, tally in found.items() if reading.family == family]
    return sorted(mine, key=lambda pair: (-pair[1].ok, len(pair[0].group + pair[0].affix)))


def _consistent(reading: Reading, tally: Tally) -> bool:
    # Where most large numbers carry no separator, `1,234` is not 1234 for certain: such a cell is listed instead.
    return not reading.group or int(tally.figures['grouped']) >= int(tally.figures['ungrouped'])


def _plausible(reading: Reading, tally: Tally, name: str) -> bool:
    """Whether numbers may be taken for times: by the column's name, or because every one is a date."""
    if not reading.coded:
        return True
    if reading is readings.YEAR:
        return bool(YEAR_NAME.search(name))
    if reading in readings.SERIALS:
        return False  # they are the last resort, see `dated`
    if reading is readings.COMPACT and not tally.bad:
        return tally.ok >= 2
    return bool(TIME_NAME.search(name))


def _time_type(reading: Reading, tally: Tally) -> str:
    if reading is readings.YEAR:
        return 'integer'
    if tally.figures['instants'] * 2 >= tally.ok:
        return 'timestamptz'
    return 'timestamp' if tally.figures['clocks'] or reading.clocked else 'date'


def _is_code(tally: Tally, *, padding: bool = False) -> bool:
    """Whether numbers are names: by leading zeros, unless these are `padding`, or by too many digits."""
    figures = tally.figures
    if figures['plain'] < tally.ok:
        return False
    same = figures['shortest'] == figures['longest']
    padded = not padding and figures['zeros'] and (same or figures['zeros'] * 20 >= tally.ok)
    return bool(padded or not _mostly_whole(tally))


def _mostly_whole(tally: Tally) -> bool:
    """Whether numbers fit whole ones of 64 bits, but for a few."""
    return replace(tally, filled=tally.ok, ok=tally.figures['whole']).enough


def _code_reason(tally: Tally, *, coded: bool) -> str:
    figures = tally.figures
    if not figures['zeros']:
        return 'numbers that are names, by what the column is called' if coded else digits.LONG_NAMES
    length = f', all of {figures["longest"]} characters' if figures['shortest'] == figures['longest'] else ''
    return f'numbers that are names: {figures["zeros"]:,} have leading zeros{length}; as a measure they are numbers'


def _text_reason(found: Mapping[Reading, Tally]) -> str:
    _, numbers = next(iter(_best(found, 'number')), (None, Tally()))
    if not numbers.ok or numbers.ok * 2 < numbers.filled:
        return 'text'
    return f'text, though {numbers.ok:,} of {numbers.filled:,} cells are numbers'


def _number_type(tally: Tally, hint: str | None) -> tuple[str, int]:
    figures = tally.figures
    scale = int(figures['scale'] or 0)
    whole = figures['whole'] == tally.ok if hint else _mostly_whole(tally)
    if figures['plain'] == tally.ok and hint in (None, 'integer') and whole:
        return 'integer', 0
    room = float(figures['largest'] or 0) < 10 ** (readings.MOST_DIGITS - scale)
    short = not figures['exponents'] and scale <= readings.MOST_SCALE
    if room and hint in (None, 'decimal') and (short or hint == 'decimal'):
        return 'decimal', scale
    return 'double', 0


def _decided(
    column: Column, reading: Reading, tally: Tally, kind: str, reason: str, *, unread: int | None = None
) -> Column:
    column = replace(
        column,
        type=kind,
        reading=reading,
        reason=reason,
        filled=tally.filled,
        unread=tally.bad if unread is None else unread,
        figures=tally.figures,
    )
    repaired = _repaired(column)
    # What is not to be repaired cannot be read: blanks and words that stay make a cell that is of no type.
    kept = sum(count for repair, count in repaired.items() if repair in column.off)
    return replace(column, repaired=repaired, unread=column.unread + kept)
