"""A time that is split over several columns, such as day and clock or year and month, becomes one column."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.analysis import duck
from core.analysis.ingest import durations, readings
from core.analysis.ingest.looked import MONTH_NAMES, Looked, are_whole_years, month_of, share_of
from core.analysis.ingest.rawtable import RawTable, free_name
from core.analysis.ingest.types import TIME_NAME

if TYPE_CHECKING:
    import duckdb

JOINED_AT_MOST: Final = 1500
_YEAR_NAMES: Final = re.compile(r'(?i)(year|yr|yyyy|jahr|ann[ée]e|an|a[ñn]o|anno|ano)')
_DAY_NAMES: Final = re.compile(r'(?i)(day|dy|dd|dom|mday|day_?of_?month|tag|jour|d[ií]a|giorno)')
_WEEK_NAMES: Final = re.compile(r'(?i)(week|wk|epi_?week|iso_?week|week_?(nr|no|num|number)|woche|kw|semaine|semana)')
_QUARTER_NAMES: Final = re.compile(r'(?i)(quarter|qtr|quartal|trimestre|q)')
_ENDING_NAMES: Final = re.compile(r'(?i)((hour|hr)[ _-]?(end|ends|ended|ending)|he)')
_HOUR_NAMES: Final = re.compile(rf'(?i)(hour|hr|hh|stunde|heure|hora|hour[ _]?of[ _]?day|{_ENDING_NAMES.pattern[4:]})')
_CLOCK_NAMES: Final = re.compile(
    r'(?i)(time|clock|uhrzeit|zeit|heure|hora|ora|tijd|time ?of ?day|hour|local ?time|utc|'
    r'time ?\(?(utc|gmt|local|lst|utc time)\)?)'
)
_LETTERED_NAMES: Final = re.compile(r'(?i)(heures?|horaire|hora|ora|uhrzeit|zeit|clock|time ?of ?day|local ?time)')
_TIME_OF_DAY_NAMES: Final = re.compile(r'(?i)(clock|uhrzeit|time ?of ?day|local ?time)')
_ENDING: Final = ' (1 to 24 are read as the hours that end then)'
_BEGINNING: Final = ' (without a 0 and a 24, they are read as the hours that begin then)'
_OTHERWISE: Final = ', though hours of earlier files were read as those that begin then'
_PERIOD_CODE: Final = re.compile(r'M(?:0[1-9]|1[0-3])|Q0[1-5]')


@dataclass(frozen=True, slots=True, kw_only=True)
class _Join:
    """Columns that make one time together: their places, the SQL of the text that they make, and why; and whether its
    hours are those that end, None where it has none."""

    places: tuple[int, ...]
    text: str
    reason: str
    ending: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hours:
    """A column of hours: the SQL of their text, whether they are those that end, and what is told of that."""

    text: str
    ending: bool
    told: str
    both: bool


def may_join(names: Sequence[str]) -> bool:
    """Whether columns of these names may be the parts of one time."""
    bare = [name.strip() for name in names]
    parts = (_CLOCK_NAMES, _HOUR_NAMES)
    moments = [not durations.MOMENTS.isdisjoint(durations.words(name)) for name in bare]
    timed = [bool(TIME_NAME.search(name) or any(part.fullmatch(name) for part in parts)) for name in bare]
    if not any(timed) or sum(map(max, timed, moments)) < 2:
        return False
    if any(moments):
        return True
    years = any(_YEAR_NAMES.fullmatch(name) for name in bare)
    periods = (MONTH_NAMES, _WEEK_NAMES, _QUARTER_NAMES)
    if years and any(period.fullmatch(name) for period in periods for name in bare):
        return True
    if years and any(re.fullmatch(r'(?i)period', name) for name in bare):
        return True
    return any(part.fullmatch(name) for part in parts for name in bare)


def with_one_time(
    connection: 'duckdb.DuckDBPyConnection',
    raw: RawTable,
    columns: Sequence[Looked],
    *,
    workdir: Path,
    ending: bool | None = None,
) -> RawTable:
    """Return the table with its split time in one column, at the place of the first of its parts.

    `ending` tells whether hours of the dataset that the table joins are those that end; `shape` of the result tells it
    of the table's own, as `ending`.
    """
    if len(raw.names) > JOINED_AT_MOST:
        return raw
    join = _join(columns, lambda column: _hours(connection, raw, column, usual=ending))
    if join is None:
        return raw
    taken = [raw.names[place] for place in join.places]
    first = min(join.places)
    kept = [place for place in range(len(raw.names)) if place == first or place not in join.places]
    name = free_name(' '.join(part.strip() for part in taken), [raw.names[place] for place in kept if place != first])
    cells = ', '.join(
        f'{join.text if place == first else f"c{place}"} AS c{number}' for number, place in enumerate(kept)
    )
    path = workdir / f'joined-{raw.path.name}'
    connection.execute(
        f'COPY (SELECT _line, _flag, {cells} FROM read_parquet({duck.text(str(raw.path))})) '
        f'TO {duck.text(str(path))} (FORMAT parquet, COMPRESSION lz4)'
    )
    names = tuple(name if place == first else raw.names[place] for place in kept)
    hints = {known: kind for known, kind in raw.hints.items() if known in names and known != name}
    return replace(
        raw,
        path=path,
        names=names,
        header=names if raw.header else (),
        hints=hints,
        notes=(*raw.notes, f'{join.reason}: they became the column "{name}".'),
        shape={**raw.shape, 'joined': taken, 'time': name, 'ending': join.ending},
    )


def _hours(connection: 'duckdb.DuckDBPyConnection', raw: RawTable, column: Looked, *, usual: bool | None) -> _Hours:
    """Read hours as those that begin where any record of the table has a 0, as those that end where any has a 24: some
    cells alone do not tell. A part of a day may have neither: then the name or what is `usual` does."""
    counted = ', '.join(f'count(*) FILTER (hour = {hour}) > 0' for hour in (0, 24))
    hour = _whole(column.place)
    hours = f'SELECT {hour} AS hour FROM read_parquet({duck.text(str(raw.path))}) WHERE _flag < 2'
    first, last = duck.single(connection, f'SELECT {counted} FROM ({hours})')
    ending = not first and bool(last or usual or _ENDING_NAMES.fullmatch(column.name.strip()))
    told = _ENDING if ending else '' if first else _BEGINNING
    return _Hours(
        text=f"lpad(({hour} - {int(ending)})::VARCHAR, 2, '0') || ':00'",
        ending=ending,
        told=told + (_OTHERWISE if ending and usual is False else ''),
        both=bool(first and last),
    )


def _join(columns: Sequence[Looked], read: Callable[[Looked], _Hours]) -> _Join | None:
    whole = [column for column in columns if _is_date(column) and not _is_dotted_clock(column)]
    if any(_has_clock(column) for column in whole):
        return None
    clocks = [column for column in columns if _is_clock(column)]
    clock = next(iter(clocks), None)
    if whole:
        day = whole[0]
        clock = next((column for column in clocks if _is_of(day, column)), None)
        if clock is not None:
            reason = f'Columns "{day.name}" and "{clock.name}" are the day and the time of day'
            return _Join(places=(day.place, clock.place), text=_both(day.place, clock.place, ' '), reason=reason)
        hours = next((column for column in columns if _named_number(column, _HOUR_NAMES, 0, 24)), None)
        if hours is None or (len(set(hours.cells)) < 2 and len(day.cells) > 1):
            return None
        found = read(hours)
        if found.both:
            return None
        reason = f'Columns "{day.name}" and "{hours.name}" are the day and the hour{found.told}'
        text = f"trim(c{day.place}) || ' ' || {found.text}"
        return _Join(places=(day.place, hours.place), text=text, reason=reason, ending=found.ending)
    return _calendar(columns, clock, read)


def _calendar(columns: Sequence[Looked], clock: Looked | None, read: Callable[[Looked], _Hours]) -> _Join | None:
    """Year and month, day, quarter or week in columns of their own."""
    year = next((c for c in columns if _YEAR_NAMES.fullmatch(c.name.strip()) and are_whole_years(c)), None)
    if year is None:
        return None
    month = next(
        (c for c in columns if MONTH_NAMES.fullmatch(c.name.strip()) and c.cells and all(map(month_of, c.cells))),
        None,
    )
    y = f'({_whole(year.place)})::VARCHAR'
    if month is not None:
        day = next((c for c in columns if _named_number(c, _DAY_NAMES, 1, 31)), None)
        text, parts = f"{y} || '-' || {_month_text(month)}", [year, month]
        if day is not None:
            text, parts = f"{text} || '-' || lpad(({_whole(day.place)})::VARCHAR, 2, '0')", [year, month, day]
            hours = next((c for c in columns if _named_number(c, _HOUR_NAMES, 0, 24)), None)
            if clock is not None:
                text, parts = f"{text} || ' ' || trim(c{clock.place})", [*parts, clock]
            elif hours is not None and len(set(hours.cells)) > 1:
                found = read(hours)
                join = _parts_of(f"{text} || ' ' || {found.text}", [*parts, hours], told=found.told)
                return replace(join, ending=found.ending)
        return _parts_of(text, parts)
    coded = next((c for c in columns if c.cells and all(map(_PERIOD_CODE.fullmatch, c.cells))), None)
    if coded is not None:
        # The Bureau of Labor Statistics writes M01 or Q01; what is no month, such as M13, is found to be no time.
        return _parts_of(f"{y} || regexp_replace(trim(c{coded.place}), '^Q0', 'Q')", [year, coded])
    quarter = next((c for c in columns if _named_number(c, _QUARTER_NAMES, 1, 4)), None)
    if quarter is not None:
        return _parts_of(f"{y} || '-Q' || ({_whole(quarter.place)})", [year, quarter])
    week = next((c for c in columns if _named_number(c, _WEEK_NAMES, 1, 53)), None)
    if week is not None:
        return _parts_of(f"{y} || '-W' || lpad(({_whole(week.place)})::VARCHAR, 2, '0')", [year, week])
    return None


def _parts_of(text: str, parts: Sequence[Looked], *, told: str = '') -> _Join:
    named = [f'"{part.name}"' for part in parts]
    reason = f'Columns {", ".join(named[:-1])} and {named[-1]} are the parts of one time{told}'
    # What is no part of a time is shown as it is written, and found to be none.
    written = " || ' ' || ".join(f'trim(c{part.place})' for part in parts)
    missing = ' OR '.join(f'{readings.present(readings.trimmed(f"c{part.place}"))} IS NULL' for part in parts)
    whole = f'CASE WHEN {missing} THEN NULL ELSE coalesce({text}, {written}) END'
    return _Join(places=tuple(part.place for part in parts), text=whole, reason=reason)


def _both(first: int, second: int, mark: str) -> str:
    """SQL: two cells in one, NULL when one is missing."""
    cells = [readings.present(readings.trimmed(f'c{place}')) for place in (first, second)]
    # Spreadsheets write midnight behind a day that has no time of day.
    midnight = duck.text(r'[T ]0{1,2}:00(:00([.]0+)?)?$')
    dotted = duck.text(r'^(\d{1,2})\.(\d\d)(?:\.(\d\d))?$')
    clock = f"rtrim(regexp_replace({cells[1]}, {dotted}, '\\1:\\2:\\3'), ':')"
    # 14h30 and 14 Uhr
    parts = [f'regexp_extract({clock}, {duck.text(f"^{_LETTERED.pattern}$")}, {place})' for place in (1, 2)]
    bare = f"regexp_replace({clock}, {duck.text('(?i) ?Uhr$')}, '')"
    clock = (
        f"CASE WHEN {parts[0]} <> '' THEN {parts[0]} || ':' || coalesce(nullif({parts[1]}, ''), '00') ELSE {bare} END"
    )
    return f"regexp_replace(({cells[0]}), {midnight}, '') || {duck.text(mark)} || ({clock})"


def _whole(place: int) -> str:
    """SQL: a whole number, also where it is written as 3.0 or Q3."""
    return f"TRY_CAST(regexp_extract(c{place}, '^ *[A-Za-z]*([0-9]{{1,4}})(?:\\.0)? *$', 1) AS INTEGER)"


def _month_text(month: Looked) -> str:
    if all(cell.replace('.0', '').isdigit() for cell in month.cells):
        return f"lpad(({_whole(month.place)})::VARCHAR, 2, '0')"
    return f"lpad(({readings.month_number(f'lower(trim(c{month.place}))')})::VARCHAR, 2, '0')"


def _named_number(column: Looked, names: re.Pattern[str], least: int, most: int) -> bool:
    """Whether a column is called so and holds whole numbers in these bounds."""
    if not names.fullmatch(column.name.strip()) or not column.cells:
        return False
    found = [re.fullmatch(r'[A-Za-z]*(\d{1,2})(?:\.0)?', cell) for cell in column.cells]
    return all(match is not None and least <= int(match[1]) <= most for match in found)


_CLOCK: Final = re.compile(
    r'(?:[01]?\d|2[0-4]):\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?: ?[AaPp]\.?[Mm]\.?)?(?: ?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?'
)
_LETTERED: Final = re.compile(r'(?i)(\d{1,2})(?: ?h ?| ?Uhr ?)([0-5]\d)?')
_MINUTE: Final = re.compile(r'(\d{1,2})[:.hH ]*([0-5]\d)')
_SPREAD: Final = 12 * 60
_DOTTED: Final = re.compile(r'(?:[01]?\d|2[0-3])\.[0-5]\d(?P<seconds>\.[0-5]\d)?')


def _is_clock(column: Looked) -> bool:
    if durations.is_lasting(column.name):
        return False
    clocks = sum(bool(_CLOCK.fullmatch(cell)) for cell in column.cells)
    if _LETTERED_NAMES.fullmatch(column.name.strip()):
        # Under another name 1h30 may as well be a duration.
        clocks += sum(bool(_LETTERED.fullmatch(cell)) or cell.lower().endswith('uhr') for cell in column.cells)
    return (bool(column.cells) and clocks >= 0.9 * len(column.cells)) or _is_dotted_clock(column)


def _is_of(day: Looked, clock: Looked) -> bool:
    """Whether times of day belong to the days: by what their column is called; else they stand beside these and are
    spread over a day, or do not go back within one."""
    name = clock.name.strip()
    if (
        TIME_NAME.search(name)
        or _CLOCK_NAMES.fullmatch(name)
        or not durations.MOMENTS.isdisjoint(durations.words(name))
    ):
        return True
    minutes = [60 * int(found[1]) + int(found[2]) for cell in clock.cells if (found := _MINUTE.match(cell))]
    if abs(clock.place - day.place) != 1 or not minutes:
        return False
    if max(minutes) - min(minutes) >= _SPREAD:
        return True
    of_rows = zip(day.cells, minutes, strict=False) if len(day.cells) == len(minutes) else ()
    steps = [b[1] - a[1] for a, b in pairwise(of_rows) if a[0] == b[0]]
    return any(step > 0 for step in steps) and sum(step < 0 for step in steps) * 10 <= len(steps)


def _is_dotted_clock(column: Looked) -> bool:
    """Whether a column holds times such as 18.00.00, or 18.30 under a name that means no duration. Dates with points
    look so too: it has the name of a clock, or an hour or a minute that is no day and no month."""
    found = [_DOTTED.fullmatch(cell) for cell in column.cells]
    if not found or sum(match is not None for match in found) < 0.9 * len(found):
        return False
    if not all(match['seconds'] for match in found if match):
        return bool(_TIME_OF_DAY_NAMES.fullmatch(column.name.strip()))
    parts = [match[0].split('.') for match in found if match]
    no_date = any('00' in (f'{part[0]:0>2}', part[1]) or int(part[1]) > 31 for part in parts)
    return no_date or bool(_CLOCK_NAMES.fullmatch(column.name.strip()))


def _is_date(column: Looked) -> bool:
    """Whether a column holds days, with or without a time of day."""
    days = [r for r in readings.TIMES if not r.coarse and (not r.coded or r in (readings.COMPACT, *readings.EPOCHS))]
    return bool(column.cells) and any(
        (not reading.coded or TIME_NAME.search(column.name)) and share_of(reading, column.cells) >= 0.9
        for reading in days
    )


def _has_clock(column: Looked) -> bool:
    """Whether times of day are told by a column of days: not where all are midnight."""
    clocks = [
        cell
        for cell in column.cells
        if ':' in cell or re.fullmatch(r'-?\d{9,}(?:\.\d+)?', cell) or re.search(r'\d[Tt]\d', cell)
    ]
    midnight = [cell for cell in clocks if re.search(r'[T ]0{1,2}:00(:00(\.0+)?)?', cell)]
    return len(clocks) > len(column.cells) / 2 and len(midnight) < len(clocks)
