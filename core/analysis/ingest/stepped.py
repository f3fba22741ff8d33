"""Steps of time from a start: names that end with a number, and rows of a table without a time."""

import re
from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.analysis import duck
from core.analysis.ingest.looked import month_of
from core.analysis.ingest.rawtable import RawTable, free_name
from core.errors import UsageError

if TYPE_CHECKING:
    import duckdb

STEPS: Final = ('minute', 'hour', 'day', 'week', 'month', 'quarter', 'year')
_SECONDS: Final = {'minute': 60, 'hour': 3600, 'day': 86_400, 'week': 604_800}
_MONTHS: Final = {'month': 1, 'quarter': 3, 'year': 12}
AFFIXED: Final = re.compile(r'^(?P<stem>.*?)(?P<digits>\d+)$')


def counted(
    connection: 'duckdb.DuckDBPyConnection', raw: RawTable, melt: Mapping[str, Any], *, workdir: Path
) -> RawTable:
    """A table without a time, whose records are equal steps from a start, with that time in front of its columns.

    Raises UsageError when the column that numbers them is not there or holds no whole number, or time runs out.
    """
    start, step, order = start_of(melt['start']), melt.get('step', 'day'), next(iter(melt.get('columns', ())), None)
    if order is not None and order not in raw.names:
        raise UsageError(f'There is no column "{order}" to count by. Columns are {", ".join(raw.names[:20])}.')
    number = 'file_row_number' if order is None else _last_number(raw.names.index(order))
    source = f'read_parquet({duck.text(str(raw.path))}, file_row_number = true)'
    least, most = duck.single(connection, f'SELECT min({number}), max({number}) FROM {source} WHERE _flag < 2')
    if least is None:
        raise UsageError(
            'There is no record to count.'
            if order is None
            else f'Column "{order}" holds no whole numbers to count by. Name another one.'
        )
    try:
        _moved(start, int(most) - int(least), step)
    except (OverflowError, ValueError):
        raise UsageError(f'{most - least:,} times one {step} after {melt["start"]} is later than any date.') from None
    many = f'({number} - {least})'
    length = (
        f'to_seconds({_SECONDS[step]} * {many}::BIGINT)'
        if step in _SECONDS
        else f'to_months({_MONTHS[step]} * {many}::INTEGER)'
    )
    time = f"TIMESTAMP '{start:%Y-%m-%d %H:%M:%S}' + {length}"
    whole = step not in ('minute', 'hour') and start.time() == datetime.min.time()
    shown = f'strftime({time}, {duck.text("%Y-%m-%d" if whole else "%Y-%m-%d %H:%M:%S")})'
    cells = ''.join(f', c{place} AS c{place + 1}' for place in range(len(raw.names)))
    path, name = workdir / f'counted-{raw.path.name}', free_name(melt.get('name') or 'time', raw.names)
    connection.execute(
        f'COPY (SELECT _line, _flag, {shown} AS c0{cells} FROM {source} ORDER BY file_row_number) '
        f'TO {duck.text(str(path))} (FORMAT parquet, COMPRESSION lz4)'
    )
    told = 'in their order' if order is None else f'numbered by "{order}"'
    note = f'Rows are steps of one {step} from {melt["start"]}, {told}, as asked: they became the column "{name}".'
    return replace(
        raw,
        path=path,
        names=(name, *raw.names),
        header=(name, *raw.header) if raw.header else (),
        notes=(*raw.notes, note),
        shape={**raw.shape, 'time': name},
    )


def _last_number(place: int) -> str:
    """SQL: the whole number at the end of a cell, such as 7 or t7, NULL when there is none."""
    return f"TRY_CAST(regexp_extract(c{place}, '^[^0-9-]*(-?[0-9]{{1,9}})(?:\\.0*)?\\s*$', 1) AS BIGINT)"


_PERIOD: Final = re.compile(
    r'(?P<year>\d{4})[ ./-]?(?P<part>\D.*|\d{1,2})?|(?P<first>.*?\D|\d{1,2})[ ./-]?(?P<last>\d{4})'
)
_PARTS: Final = (
    (re.compile(r'q([1-4])|([1-4])q'), 3),
    (re.compile(r'h([12])|([12])h'), 6),
    (re.compile(r'm(\d\d?)'), 1),
)


def start_of(text: str) -> datetime:
    """Return the time that a user writes as the start, of a period such as Q1 1998, Feb 2024, 2024-02 or 2024 the first
    day. Raises UsageError when it is none."""
    bare = text.strip()
    period = _PERIOD.fullmatch(bare)
    try:
        if period and (month := _month_of(period['part'] or period['first'] or '1')):
            return datetime(int(period['year'] or period['last']), month, 1)
        return datetime.fromisoformat(bare)
    except ValueError:
        raise UsageError(
            f'The start "{text}" is no time. Write it as 2024-01-31, 2024-01-31 13:00, 2024-01, Q1 2024 or 2024.'
        ) from None


def _month_of(part: str) -> int | None:
    """The first month of a part of a year, such as Q3, H2, M02, 2 or Feb; None of anything else."""
    bare = part.strip(' ./-').lower()
    for shape, months in _PARTS:
        if found := shape.fullmatch(bare):
            return (int(found[found.lastindex or 1]) - 1) * months + 1
    return month_of(bare)


def stepped(labels: Sequence[str], melt: Mapping[str, Any]) -> tuple[str, ...]:
    """Return times in the place of the numbers at the end of labels, the least of which is the start."""
    numbers = []
    for label in labels:
        match = AFFIXED.match(label)
        if match is None:
            raise UsageError(f'Column "{label}" has no number at its end, so its step from the start is not known.')
        numbers.append(int(match['digits']))
    start, step, first = start_of(melt['start']), melt.get('step', 'day'), min(numbers)
    return tuple(_written(_moved(start, number - first, step), step) for number in numbers)


def _moved(start: datetime, steps: int, step: str) -> datetime:
    """The time so many steps after a start; the last day of a month that lacks its day."""
    if step in _SECONDS:
        return start + timedelta(seconds=steps * _SECONDS[step])
    place = start.year * 12 + start.month - 1 + steps * _MONTHS[step]
    year, month = divmod(place, 12)
    return start.replace(year=year, month=month + 1, day=min(start.day, monthrange(year, month + 1)[1]))


def _written(time: datetime, step: str) -> str:
    return (
        str(time)
        if step in ('minute', 'hour') or time.time() != datetime.min.time()
        else str(date(time.year, time.month, time.day))
    )
