"""Roles: which column is the time, which name the series, which are measured."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from core.analysis import alike, duck
from core.analysis.ingest.durations import words
from core.analysis.ingest.rawtable import RawTable
from core.analysis.ingest.readings import trimmed
from core.analysis.ingest.tallies import rows_of
from core.analysis.ingest.types import ID_NAME, TIME_NAME, Column
from core.errors import UsageError

if TYPE_CHECKING:
    import duckdb

NUMBERS: Final = ('integer', 'decimal', 'double')
TIMES: Final = ('date', 'timestamp', 'timestamptz')
BEST_TIME_NAMES: Final = ('ds', 'timestamp', 'datetime', 'date', 'time', 'ts')
LOOSE_ID_NAME: Final = re.compile(
    r'(?i)^(region|state|family|category|metric|variable|kpi|tag|group|zone|channel|department|dept)$'
)
ROW_NAME: Final = re.compile(r'(?i)^(|unnamed: ?\d+|index|idx|row(_?(id|nr|num|number))?|no\.?|nr|#|id)$')
NUMBERED: Final = {'id', 'key', 'no', 'nr', 'number', 'uuid', 'guid'}
RECORDED: Final = {'row', 'line', 'record', 'reading', 'measurement', 'sample', 'log', 'index', 'unnamed'}
"""Numbers of rows tell no row from its copy."""
CHECKED: Final = 200_000
MOST_KEYS: Final = 4
OFTEN_EMPTY: Final = 0.1
PANEL: Final = 0.3
MOST_CANDIDATES: Final = 12
FEW_ROWS: Final = 2000
"""So many rows are compared in less time here than the database takes to plan it."""


def choose_roles(
    connection: 'duckdb.DuckDBPyConnection', raw: RawTable, columns: Sequence[Column], *, roles: Mapping[str, str]
) -> list[Column]:
    """Give every column its role and the reason for it. `roles` are the user's and win.

    At most one column is the time. Raises UsageError when the user names a column that is not there, or two times.
    """
    known = {name for column in columns for name in (column.name, column.source)}
    unknown = [name for name in roles if name not in known]
    if unknown:
        raise UsageError(f'There is no column "{unknown[0]}". Columns are {", ".join(c.source for c in columns[:20])}.')
    given = {c.index: roles.get(c.name) or roles.get(c.source) or '' for c in columns}
    time = _time(columns, given)
    out = [_plain(column, given[column.index], time, raw) for column in columns]
    if time is not None:
        keys = _keys(connection, raw, out, time, given)
        out = [_keyed(c, keys[c.index], raw, given) if c.index in keys else c for c in out]
    if not roles:
        return out
    # A page sends all roles that it shows: what would be so anyway was not chosen.
    found = choose_roles(connection, raw, columns, roles={})
    return [own if own.role == c.role and own.reason else c for c, own in zip(out, found, strict=True)]


def _keyed(column: Column, reason: str, raw: RawTable, given: Mapping[int, str]) -> Column:
    """The column as a key; one that is often left empty, such as a province, names a series by being empty too."""
    empty = raw.rows - column.filled
    often = not given[column.index] and column.type == 'text' and empty > max(2, OFTEN_EMPTY * raw.rows)
    return replace(column, role='series', reason=reason, blank=often)


def _time(columns: Sequence[Column], given: Mapping[int, str]) -> Column | None:
    named = [column for column in columns if given[column.index] == 'time']
    if len(named) > 1:
        raise UsageError(f'Columns "{named[0].source}" and "{named[1].source}" are both called the time. Choose one.')
    if named:
        return named[0]
    free = [c for c in columns if not given[c.index] and (c.type in TIMES or c.reading.family == 'time')]
    return max(free, key=_time_score, default=None)


def _time_score(column: Column) -> tuple[float, int]:
    name = column.source.strip().lower()
    score = 2.0 if name in BEST_TIME_NAMES else 1.0 if TIME_NAME.search(column.source) else 0.0
    score += (
        0.5 * (column.type in TIMES) + 0.25 * (column.type != 'date') - 2.0 * (column.distinct <= 1 < column.filled)
    )
    return score, -column.index


def _plain(column: Column, given: str, time: Column | None, raw: RawTable) -> Column:
    """The role of a column by its type alone."""
    if time is not None and column.index == time.index:
        return replace(column, role='time', reason='chosen by you' if given else column.reason)
    if given:
        return replace(column, role=given, reason='chosen by you')
    if column.type in NUMBERS and column.reading.family != 'time' and column.filled:
        if _is_running_number(column):
            return replace(column, role='attribute', reason='a running number of rows')
        if _is_number_of_things(column):
            return replace(column, role='attribute', reason='numbers that are names, by what the column is called')
        if _is_beside_periods(column, raw):
            return replace(column, role='attribute', reason='one number for all times of a record, such as a total')
        return replace(column, role='measure', reason=column.reason or 'numbers')
    return column


def _is_running_number(column: Column) -> bool:
    whole = column.type == 'integer' and column.filled > 2 and not column.unread
    return whole and bool(ROW_NAME.match(column.source.strip())) and column.distinct >= 0.9 * column.filled


def _is_number_of_things(column: Column) -> bool:
    """Whether whole numbers name things, as in `store_id`; words such as `state` may as well be measured."""
    if column.type != 'integer' or LOOSE_ID_NAME.match(column.source.strip()):
        return False
    return _is_id(column) or (numbers_things(column.source) and column.distinct >= 0.9 * column.filled)


def numbers_things(name: str) -> bool:
    """Whether a name is that of a number which each thing, such as an order, has of its own: `Doc no.`, `orderId`."""
    told = words(name)
    named = len(told) > 1 and told[-1] in NUMBERED and not RECORDED & {*told}
    return named or any(len(word) > 6 and word.endswith('nummer') for word in told)


def _keys(
    connection: 'duckdb.DuckDBPyConnection',
    raw: RawTable,
    columns: Sequence[Column],
    time: Column,
    given: Mapping[int, str],
) -> dict[int, str]:
    """Return the columns that name the series, with reasons: those that make (series, time) unique."""
    chosen = {index: 'chosen by you' for index, role in given.items() if role == 'series'}
    if chosen:
        return chosen
    free = [c for c in columns if not given[c.index] and _may_be_key(c) and not _is_melted_value(c, raw)]
    melted = [c for c in free if _is_melted_name(c, raw)]
    certain = [c for c in free if _is_id(c)]
    free = sorted(free, key=lambda c: (not _is_id(c), c.type in NUMBERS, c.index))[:MOST_CANDIDATES]
    if not free:
        return {}
    check = _Repeats(connection, raw, time, free)
    repeats = check.share([])
    named = {c.index: 'named as a key' for c in certain if c.type not in NUMBERS or _is_number_of_things(c)}
    named = dict([*named.items()][:1])
    if melted:
        repeats = check.share(melted)
        named = {column.index: 'the names of columns' for column in melted}
    if repeats <= 0.02:
        return named
    keys: list[Column] = [*melted]
    while repeats > 0.001 and len(keys) < MOST_KEYS:
        better = _better(check, keys, free, repeats)
        if better is None:
            break
        key, repeats = better
        keys.append(key)
    # Rows that repeat whatever the key do not speak against a column that is called one.
    needed = melted + [key for key in _needed(keys, check, repeats) if key not in melted]
    return {key.index: 'tells rows of the same time apart' for key in needed} | (named if melted or not needed else {})


def _is_melted_value(column: Column, raw: RawTable) -> bool:
    return raw.is_melted and column.index >= raw.shape['value_place']


def _is_beside_periods(column: Column, raw: RawTable) -> bool:
    """Whether a column stands once a record whose periods became rows."""
    return raw.is_melted and raw.shape['into'] == 'period' and column.index < raw.shape['value_place'] - 1


def _is_melted_name(column: Column, raw: RawTable) -> bool:
    return raw.is_melted and raw.shape['into'] == 'series' and column.index == raw.shape['value_place'] - 1


def _better(
    check: '_Repeats', keys: Sequence[Column], free: Sequence[Column], repeats: float
) -> tuple[Column, float] | None:
    """Return the column that takes away most of the repeats, and what is left of them."""
    rest = [column for column in free if column not in keys]
    # Numbers that merely differ would also tell rows apart: they count only as a last resort, where many rows share
    # their time as those of a panel do.
    last = rest if repeats >= PANEL else []
    for tier in ([c for c in rest if _is_id(c)], [c for c in rest if c.type not in NUMBERS], last):
        shares = [(round(check.share([*keys, column]), 3), column.index, column) for column in tier]
        if shares and min(shares)[0] <= 0.8 * repeats:
            best = min(shares)
            return best[2], best[0]
    return None


def _needed(keys: Sequence[Column], check: '_Repeats', repeats: float) -> list[Column]:
    needed = list(keys)
    for key in keys:
        rest = [k for k in needed if k is not key]
        if rest and check.share(rest) <= repeats + 0.001:
            needed = rest
    return needed


def _is_id(column: Column) -> bool:
    return bool(ID_NAME.match(column.source.strip()))


def _may_be_key(column: Column) -> bool:
    if column.role == 'time' or not column.filled or column.reading.family == 'time':
        return False
    if column.type in ('decimal', 'double'):
        return False
    if column.type == 'integer' and not _is_id(column):
        return 1 < column.distinct <= min(1000, column.filled / 4)
    return (_is_id(column) and column.distinct * 1.5 <= column.filled) or 1 < column.distinct * 2 <= column.filled


class _Repeats:
    """How many rows share time and key with an earlier row, measured on whole times so that a sample is fair."""

    def __init__(
        self, connection: 'duckdb.DuckDBPyConnection', raw: RawTable, time: Column, free: Sequence[Column]
    ) -> None:
        self._connection = connection
        every = max(1, raw.rows // CHECKED)
        # A cell may be long, and here they are only compared.
        cells = ', '.join(f'hash({column.cell}) AS k{column.index}' for column in free)
        checked = (
            f'SELECT * FROM (SELECT {trimmed(time.cell)} AS t, {cells} '
            f'FROM {rows_of(raw)} WHERE _flag < 2) WHERE t IS NOT NULL AND hash(t) % {every} = 0 LIMIT {4 * CHECKED}'
        )
        self._few: list[tuple[Any, ...]] | None = None
        if raw.rows <= FEW_ROWS:
            self._few = connection.execute(checked).fetchall()
            self._places = {column.index: place for place, column in enumerate(free, 1)}
        else:
            connection.execute(f'CREATE OR REPLACE TEMP TABLE checked AS {checked}')

    def share(self, keys: Sequence[Column]) -> float:
        """Return the share of rows that another row with the same time and keys precedes."""
        if self._few is not None:
            own = [0, *(self._places[key.index] for key in keys)]
            different = {tuple(row[place] for place in own) for row in self._few}
            return 1 - len(different) / max(len(self._few), 1)
        listed = ''.join(f', k{key.index}' for key in keys)
        row = self._connection.execute(
            f'SELECT 1 - count(DISTINCT hash(t{listed})) / greatest(count(*), 1) FROM checked'
        ).fetchone()
        return float(row[0]) if row else 0.0


def labels(columns: Sequence[Column]) -> str:
    """SQL: the name of a row's series from its stored key columns, '' when there are none."""
    return alike.label([duck.identifier(column.name) for column in columns if column.role == 'series'])
