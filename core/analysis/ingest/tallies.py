"""Tallies: what each of several readings makes of a column, counted over all rows in one pass."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from core.analysis import duck
from core.analysis.ingest import readings
from core.analysis.ingest.rawtable import RawTable
from core.analysis.ingest.readings import Reading
from core.analysis.tables import guarded

if TYPE_CHECKING:
    import duckdb

AT_ONCE: Final = 40
FEW_CELLS: Final = 2**14
"""So many cells are counted in less time than it takes to plan how they are read where they are not in the commonest
form."""
EARLIEST: Final = "TIMESTAMP '1000-01-01'"
LATEST: Final = "TIMESTAMP '2999-12-31 23:59:59.999999'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What one reading makes of a column: cells that hold something, and how many of them it reads."""

    filled: int = 0
    ok: int = 0
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bad(self) -> int:
        """Cells that it cannot read."""
        return self.filled - self.ok

    @property
    def most(self) -> bool:
        """Whether three quarters are read and the others are few different words."""
        strange = int(self.figures.get('strange') or 0)
        return self.ok * 4 >= self.filled * 3 and strange <= max(3, self.filled // 100)

    @property
    def enough(self) -> bool:
        """Whether the column may be read this way."""
        return self.ok > 0 and self.bad <= max(self.filled // 10, 1 if self.filled >= 4 else 0)


def tallied(
    connection: 'duckdb.DuckDBPyConnection',
    raw: RawTable,
    candidates: Mapping[int, Sequence[Reading]],
    *,
    hopeful: Set[int] = frozenset(),
) -> dict[int, dict[Reading, Tally]]:
    """Count, over all rows, what each reading makes of its column. A column without readings is counted as text.

    Few cells of columns that are `hopeful` are first looked at as if all were in the commonest form.
    """
    pairs = [(index, r) for index, known in candidates.items() for r in (known or [readings.TEXT])]
    out: dict[int, dict[Reading, Tally]] = {index: {} for index in candidates}
    for start in range(0, len(pairs), AT_ONCE):
        part = pairs[start : start + AT_ONCE]
        hoped = hopeful if raw.rows * len(candidates) <= FEW_CELLS else frozenset()
        for (index, reading), figures in zip(part, _count_hopefully(connection, raw, part, hoped), strict=True):
            filled, ok = figures.pop('filled'), figures.pop('ok')
            form = reading.quickly(f'c{index}')
            out[index][reading] = Tally(filled=filled, ok=ok, figures={**figures, 'form': form})
    return out


def _count_hopefully(
    connection: 'duckdb.DuckDBPyConnection', raw: RawTable, part: Sequence[tuple[int, Reading]], hopeful: Set[int]
) -> list[dict[str, Any]]:
    """Count hopeful columns as if each cell were in the commonest form or empty, and those where one is not again."""
    hoped = {index for index, reading in part if index in hopeful and reading.quickly(f'c{index}')}
    found = _count(connection, raw, part, only=hoped)
    odd = {index for (index, _), figures in zip(part, found, strict=True) if figures.pop('odd', 0)}
    again = iter(_count(connection, raw, [pair for pair in part if pair[0] in odd]) if odd else ())
    return [next(again) if index in odd else figures for (index, _), figures in zip(part, found, strict=True)]


def _count(
    connection: 'duckdb.DuckDBPyConnection',
    raw: RawTable,
    part: Sequence[tuple[int, Reading]],
    *,
    only: Set[int] = frozenset(),
) -> list[dict[str, Any]]:
    """Return the figures of each reading; for columns in `only`, which are told to be in the commonest form, with the
    number of cells `odd` that are not."""
    cells = list(dict.fromkeys(index for index, _ in part))
    quick: dict[int, str] = {}
    swift = []  # which of the readings is the quick one of its column
    for index, reading in part:
        sql = None if index in quick else reading.quickly(f'c{index}')
        swift.append(sql is not None)
        quick |= {index: sql} if sql else {}
    each = [(reading, index, k, swift[k]) for k, (index, reading) in enumerate(part)]
    prepared = [sql for r, i, k, mine in each for sql in _prepared(r, i, k, quick=mine, only=mine and i in only)]
    bounded = [sql for r, i, k, mine in each for sql in _bounded(r, i, k, quick=mine, only=mine and i in only)]
    figures = [_figures(r, i, k, quick=mine, only=mine and i in only) for r, i, k, mine in each]
    own = [f'{letter}{i}' for i in cells for letter in ('ctxf' if i in quick else 'ctx')]
    source = texts_of(f'{rows_of(raw)} WHERE _flag < 2', cells, quick, only=only)
    source = f'SELECT {", ".join([*own, *prepared])} FROM ({source})'
    source = f'SELECT {", ".join([*own, *bounded])} FROM ({source})'
    # Readings of one column share some figures.
    asked = list(dict.fromkeys(sql for mine in figures for sql in mine.values()))
    found = dict(zip(asked, duck.single(connection, f'SELECT {", ".join(asked)} FROM ({source})'), strict=True))
    return [{name: found[sql] for name, sql in mine.items()} for mine in figures]


def rows_of(raw: RawTable, *, numbered: bool = False) -> str:
    """SQL: the raw table's rows, with `file_row_number` when asked."""
    return f'read_parquet({duck.text(str(raw.path))}{", file_row_number = true" if numbered else ""})'


def within(value: str) -> str:
    """SQL: a time, NULL outside the years 1000 to 2999."""
    return f'CASE WHEN {value} BETWEEN {EARLIEST} AND {LATEST} THEN {value} END'


def texts_of(
    rows: str,
    indexes: Sequence[int],
    quick: Mapping[int, str],
    *,
    more: str = '',
    whole: Set[int] = frozenset(),
    kept: Set[int] = frozenset(),
    spelled: Set[int] = frozenset(),
    only: Set[int] = frozenset(),
) -> str:
    """SQL: over `rows`, the texts of columns `i`: `c{i}` as written, `t{i}` without blanks around it (NULL when nothing
    is left), `x{i}` without spellings of missing values, and `f{i}`, the value of a cell in the commonest form, where
    `quick` has SQL for it: what has one needs no further look.

    Columns in `whole` are text in which nothing spells a missing value; in `kept` blanks stay, in `spelled` the words.
    In `only` what is not in the commonest form is missing.
    """

    def unless_read(i: int, slow: str, text: str) -> str:
        if i in only:
            return f'CASE WHEN f{i} IS NOT NULL THEN {text} END' if text == f'c{i}' else text
        return f'CASE WHEN f{i} IS NOT NULL THEN {text} ELSE {slow} END' if i in quick else slow

    def bare(i: int) -> str:
        text = readings.trimmed(f'c{i}')
        return f'CASE WHEN ({text}) IS NOT NULL THEN c{i} END' if i in kept else text

    cells = [f'c{i}' for i in indexes]
    found = [f'f{i}' for i in indexes if i in quick]
    source = f'SELECT {", ".join([*([more] if more else []), *cells, *(f"{sql} AS f{i}" for i, sql in quick.items())])}'
    names = ', '.join(word.split(' AS ')[-1] for word in more.split(', ')) if more else ''
    head = [names] if names else []
    source = f'{source} FROM {rows}'
    bounded = [f'CASE WHEN {_is_real(i, quick)} THEN f{i} END AS f{i}' for i in indexes if i in quick]
    source = f'SELECT {", ".join([*head, *cells, *bounded])} FROM ({source})'
    trimmed = [f'{unless_read(i, bare(i), f"c{i}")} AS t{i}' for i in indexes]
    source = f'SELECT {", ".join([*head, *cells, *found, *trimmed])} FROM ({source})'
    present = [
        f'{unless_read(i, f"t{i}" if i in whole | spelled else readings.present(f"t{i}"), f"t{i}")} AS x{i}'
        for i in indexes
    ]
    texts = [f't{i}' for i in indexes]
    return f'SELECT {", ".join([*head, *cells, *found, *texts, *present])} FROM ({source})'


def _is_real(i: int, quick: Mapping[int, str]) -> str:
    """SQL: whether a quick value is one that can be stored."""
    return f'isfinite(f{i})' if quick[i].endswith('AS DOUBLE) END') else f'f{i} BETWEEN {EARLIEST} AND {LATEST}'


def quick_or(i: int, slow: str, value: str, *, quick: bool, only: bool = False) -> str:
    """SQL: `value` where the cell of column `i` is in the commonest form, else `slow`; where it is in no other one,
    `value`, which is NULL as the cell is."""
    if only:
        return value
    return f'CASE WHEN f{i} IS NOT NULL THEN {value} ELSE {slow} END' if quick else slow


def _prepared(reading: Reading, i: int, k: int, *, quick: bool, only: bool) -> list[str]:
    """SQL: what a reading makes of the text `x{i}`, before it is bounded."""
    x = f'x{i}'
    if reading.family == 'number':
        return [f'{quick_or(i, reading.plain(x), x, quick=quick, only=only)} AS p{k}']
    if reading.family == 'time':
        walls, instants = ('NULL::TIMESTAMP', f'f{i}') if reading.is_quick_instant else (f'f{i}', 'NULL::TIMESTAMP')
        instant = reading.read_instant(x) or 'NULL::TIMESTAMP'
        return [
            f'{quick_or(i, reading.read(x), walls, quick=quick, only=only)} AS v{k}',
            f'{quick_or(i, instant, instants, quick=quick, only=only)} AS i{k}',
        ]
    return [f'{reading.read(x)} AS v{k}'] if reading.family == 'boolean' else []


def _bounded(reading: Reading, i: int, k: int, *, quick: bool, only: bool) -> list[str]:
    if reading.family == 'number':
        number = f'TRY_CAST(p{k} AS DOUBLE)'
        slow = f'CASE WHEN isfinite({number}) THEN {number} END'
        return [
            f'{quick_or(i, slow, f"f{i}", quick=quick, only=only)} AS v{k}',
            f'p{k}',
            f"instr(p{k}, '.') AS d{k}",
            f"(contains(p{k}, 'e') OR contains(p{k}, 'E')) AS e{k}",
        ]
    if reading.family == 'time':
        return [f'{f"{v}{k}" if only else within(f"{v}{k}")} AS {v}{k}' for v in 'vi']
    return [f'v{k}'] if reading.family == 'boolean' else []


def _figures(reading: Reading, i: int, k: int, *, quick: bool, only: bool) -> dict[str, str]:
    """SQL: the figures to count for a reading. Conditions stand inside, as DuckDB is slow with FILTER."""
    x = f'x{i}'
    if only:
        return _quick_figures(reading, i, k)
    figures = {
        'filled': f'count({x})',
        'distinct': f'approx_count_distinct({x})',
        'ok': f'count(v{k})',
        'padded': _how_many(f't{i} <> c{i}'),
        'spelled': f'count(t{i}) - count({x})',
        'quick': f'count(f{i})' if quick else '0',
        **{name: _how_many(f'({reading.repaired(x)}) = {duck.text(name)}') for name in repairs_of(reading)},
    }
    if reading.family == 'text':
        return {**figures, 'ok': f'count({x})', 'guard': _how_many(guarded(x))}
    if reading.family == 'time':
        return figures | _time_figures(reading, i, k, quick=quick)
    return figures | _number_figures(reading, x, k) if reading.family == 'number' else figures


def _quick_figures(reading: Reading, i: int, k: int) -> dict[str, str]:
    """SQL: the figures where a cell that is not in the commonest form is missing, or one of those that are `odd`."""
    known = {
        'filled': f'count(f{i})',
        'distinct': f'approx_count_distinct(x{i})',
        'ok': f'count(f{i})',
        'padded': '0',
        'spelled': '0',
        'quick': f'count(f{i})',
        **dict.fromkeys(repairs_of(reading), '0'),
        'odd': _how_many(f"f{i} IS NULL AND c{i} <> ''"),
    }
    if reading.family == 'number':
        return known | _number_figures(reading, f'x{i}', k) | {'strange': '0'}
    clocks = known['ok'] if ':' in reading.quick else '0'
    return known | {'instants': f'count(i{k})', 'clocks': clocks, 'fine': '0'}


def _how_many(condition: str) -> str:
    return f'count(CASE WHEN {condition} THEN 1 END)'


def _time_figures(reading: Reading, i: int, k: int, *, quick: bool) -> dict[str, str]:
    x = f'x{i}'
    clock = f"v{k} IS NOT NULL AND (contains({x}, ':') OR ends_with(lower({x}), 'm'))"
    # No time in the commonest form is finer than a microsecond.
    fine = f'regexp_matches({x}, {duck.text(reading.fine)})' if reading.fine else 'false'
    return {
        'ok': f'count(coalesce(v{k}, i{k}))',
        'instants': f'count(i{k})',
        'clocks': _how_many(quick_or(i, clock, f'{":" in reading.quick}', quick=quick)),
        'fine': _how_many(quick_or(i, fine, 'false', quick=quick)) if reading.fine else '0',
    }


def _number_figures(reading: Reading, x: str, k: int) -> dict[str, str]:
    plain = f'v{k} IS NOT NULL AND d{k} = 0 AND NOT e{k}'
    group = duck.text(reading.group)
    grouped = {
        'grouped': _how_many(f'v{k} IS NOT NULL AND contains({x}, {group})'),
        'ungrouped': _how_many(f'abs(v{k}) >= 1000 AND NOT contains({x}, {group})'),
    }
    return {
        'strange': f'approx_count_distinct(CASE WHEN v{k} IS NULL THEN {x} END)',
        'whole': f'count(CASE WHEN {plain} THEN TRY_CAST(p{k} AS BIGINT) END)',
        'plain': _how_many(plain),
        'exponents': _how_many(f'v{k} IS NOT NULL AND e{k}'),
        'scale': f'max(CASE WHEN d{k} > 0 AND v{k} IS NOT NULL THEN strlen(p{k}) - d{k} END)',
        'largest': f'max(abs(v{k}))',
        'zeros': f"count(CASE WHEN {plain} THEN CASE WHEN regexp_matches(p{k}, '^[+-]?0[0-9]') THEN 1 END END)",
        'shortest': f'min(CASE WHEN v{k} IS NOT NULL THEN strlen({x}) END)',
        'longest': f'max(CASE WHEN v{k} IS NOT NULL THEN strlen({x}) END)',
        **(grouped if reading.group else dict.fromkeys(grouped, '0')),
    }


def repairs_of(reading: Reading) -> list[str]:
    """The names of the repairs by which a reading reads some cells, in order."""
    return sorted({other.repair for other in reading.others})
