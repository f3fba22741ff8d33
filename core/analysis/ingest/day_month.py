"""Orders of day and month in one column: what its dates prove, and a reading of those that are in the other order."""

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from core.analysis import duck
from core.analysis.ingest import readings
from core.analysis.ingest.rawtable import RawTable
from core.analysis.ingest.readings import Reading
from core.analysis.ingest.tallies import rows_of, within

if TYPE_CHECKING:
    import duckdb

REPAIR: Final = 'date_format'
_ANY: Final = r'\d{1,2}'
_MONTH: Final = r'(?:0?\d|1[0-2])'
_NO_MONTH: Final = r'(?:1[3-9]|[2-9]\d)'
_PLACES: Final = re.compile(r'\\d\{1,2\}(?P<mark>/|\\\.|\\-)\\d\{1,2\}(?P=mark)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """A column with dates of both orders, each proven: the readings `day` and `month` first, how many dates are only
    day first, only month first, or may be either, and the first of each with its line."""

    day: Reading
    month: Reading
    counts: tuple[int, int, int]
    firsts: tuple[str, str, str]

    @property
    def is_asked(self) -> bool:
        """Whether dates that fit both are to be asked for: at least three, and a tenth, prove the rarer order."""
        days, months, either = self.counts
        return either > 0 and min(days, months) >= max(3, max(days, months) / 10)

    def question(self, column: str) -> str:
        """Say what is known of the column, and ask for what is not."""
        return (
            f'{self._told(column)} What {self._others()} mean cannot be known. Say whether the day or the month comes '
            'first in those; the others are read as what they can mean.'
        )

    def note(self, column: str, chosen: Reading) -> str:
        """Say what is known of the column, and how the dates that fit both are read."""
        if not self.counts[2]:
            return self._told(column)
        first = 'day' if chosen.name.startswith('DD') else 'month'
        return (
            f'{self._told(column)} In {self._others()} the {first} is taken to come first, which may be wrong in some.'
        )

    def _told(self, column: str) -> str:
        days, months, _ = self.counts
        return (
            f'Column "{column}" has dates of both orders: in {days:,} only the day can come first, such as '
            f'{self.firsts[0]}, in {months:,} only the month, such as {self.firsts[1]}.'
        )

    def _others(self) -> str:
        return f'the {self.counts[2]:,} that fit both, such as {self.firsts[2]},'


def proven(
    connection: 'duckdb.DuckDBPyConnection', raw: RawTable, cell: str, *, day: Reading, month: Reading
) -> Orders | None:
    """Return what the dates of a column prove; None unless some can only be day first, and some only month first."""
    days, a = _counted(connection, raw, cell, f'{_fits(day, _NO_MONTH, _MONTH)} AND {_time(day)} IS NOT NULL')
    months, b = _counted(connection, raw, cell, f'{_fits(day, _MONTH, _NO_MONTH)} AND {_time(month)} IS NOT NULL')
    if not days or not months:
        return None
    both = f'{_fits(day, _MONTH, _MONTH)} AND {_time(day)} <> {_time(month)}'
    either, c = _counted(connection, raw, cell, both)
    return Orders(day=day, month=month, counts=(days, months, either), firsts=(a, b, c))


def either_way(reading: Reading, other: Reading) -> Reading:
    """A reading of dates that also reads those that only the `other` order of day and month fits, as a repair."""
    day_first = reading.name.startswith('DD')
    rest = replace(other, repair=REPAIR, shape=_shaped(other.shape, *_only(not day_first)))
    own = (_ANY, _MONTH) if day_first else (_MONTH, _ANY)
    return replace(reading, shape=_shaped(reading.shape, *own), others=(rest, *reading.others))


def _only(day_first: bool) -> tuple[str, str]:
    return (_NO_MONTH, _MONTH) if day_first else (_MONTH, _NO_MONTH)


def _shaped(shape: str, first: str, second: str) -> str:
    """A shape whose first two numbers are these."""
    return _PLACES.sub(lambda found: f'{first}{found["mark"]}{second}{found["mark"]}', shape)


def _fits(reading: Reading, first: str, second: str) -> str:
    return f'regexp_full_match(x, {duck.text(_shaped(reading.shape, first, second))})'


def _time(reading: Reading) -> str:
    return within(f'coalesce({reading.read("x")}, {reading.read_instant("x") or "NULL"})')


def _counted(connection: 'duckdb.DuckDBPyConnection', raw: RawTable, cell: str, condition: str) -> tuple[int, str]:
    """Return how many cells meet a condition over their text `x`, and the first of them."""
    x = readings.present(readings.trimmed(cell))
    count, first = duck.single(
        connection,
        f'SELECT count(*), min_by(x, _line) FROM (SELECT {x} AS x, _line FROM {rows_of(raw)} WHERE _flag < 2) '
        f'WHERE {condition}',
    )
    return count, first
