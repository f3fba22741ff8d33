"""Times: the some eighty ways in which dates, clocks and instants are written."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from core.analysis import duck
from core.analysis.ingest.reading import ISO_NAME, Reading

_CLOCK: Final = r'\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?'
_CLOCK_12: Final = r'\d{1,2}(?::\d{2}(?::\d{2}(?:\.\d{1,6})?)?)? ?(?:[AaPp][Mm]|[AaPp]\.[Mm]\.)'
_ZONES: Final = {
    'EST': -300, 'EDT': -240, 'CDT': -300, 'MST': -420, 'MDT': -360, 'PST': -480, 'PDT': -420, 'CET': 60, 'CEST': 120,
    'WET': 0, 'WEST': 60, 'EET': 120, 'EEST': 180, 'MSK': 180, 'JST': 540, 'AEST': 600, 'AEDT': 660,
}  # fmt: skip
"""Minutes ahead of UTC of the abbreviations that mean one thing; CST, IST and BST mean several."""
OFFSET: Final = rf'(?: ?(?:[Zz]|UTC|GMT|[+-]\d{{2}}(?::?\d{{2}})?)| (?:{"|".join(_ZONES)}))(?:\[[A-Za-z_/+-]+\])?'
_MONTHS: Final = {
    1: 'january januar jänner janvier enero gennaio janeiro januari jan jän janv ene gen',
    2: 'february februar feber février fevrier febrero febbraio fevereiro februari feb févr fevr fév fev',
    3: 'march märz maerz mars marzo março maart mar mär mrz mrt',
    4: 'april avril abril aprile apr avr abr',
    5: 'may mai mayo maggio maio mei mag',
    6: 'june juni juin junio giugno junho jun giu',
    7: 'july juli juillet julio luglio julho jul juil lug',
    8: 'august août aout agosto augustus aug aoû ago',
    9: 'september septembre septiembre setiembre settembre setembro sept sep set',
    10: 'october oktober octobre octubre ottobre outubro oct okt ott out',
    11: 'november novembre noviembre novembro nov',
    12: 'december dezember décembre decembre diciembre dicembre dezembro dec dez déc dic',
}
"""Names of months in English, German, French, Spanish, Italian, Portuguese and Dutch."""
_MONTH: Final = rf'(?:{"|".join(sorted(" ".join(_MONTHS.values()).split(), key=len, reverse=True))})\.?'
_WEEKDAYS: Final = (
    'monday|tuesday|wednesday|thursday|friday|saturday|sunday|montag|dienstag|mittwoch|donnerstag|freitag|samstag|'
    'sonnabend|sonntag|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|lunes|martes|miércoles|jueves|viernes|sábado|'
    'domingo|mon|tues|tue|wed|thurs|thur|thu|fri|sat|sun|mo|di|mi|do|fr|sa|so|lun|mar|mer|jeu|ven|sam|dim|mié|jue|vie|'
    'sáb|dom'
)
_WEEKDAY: Final = rf'(?:(?:{_WEEKDAYS})\.?,? +)?'


def _once(name: str, value: str, read: Callable[[str], str]) -> str:
    """SQL: what `read` makes of a value of which it speaks several times: a name, or one given to it here.

    Were each step written out wherever the next one speaks of it, a month by its name would be 200 KB, planned in half
    a second. SQL has no names within an expression but those of a lambda, which costs 60 ns a cell.
    """
    return read(value) if value.isidentifier() else f'list_transform([{value}], lambda {name}: {read(name)})[1]'


def _number_of(word: str, numbers: Mapping[str, int]) -> str:
    """SQL: the number of a word, NULL when it has none."""
    return f'{list(numbers.values())}[list_position({duck.texts(list(numbers))}, {word})]'


def _strptime(x: str, formats: Sequence[str]) -> str:
    listed = ', '.join(duck.text(form) for form in formats)
    return f'try_strptime({x}, [{listed}])'


def _clocks(date: str) -> list[str]:
    clocks = ('%H:%M:%S', '%H:%M', '%H:%M:%S.%f', '%I:%M:%S %p', '%I:%M %p', '%I:%M:%S.%f %p', '%I %p')
    return [date, *(f'{date} {clock}' for clock in clocks)]


def _spaced(x: str) -> str:
    """SQL: date and clock joined by one space, fractions by a point, AM or PM in capitals behind a space."""
    joined = r'[ ,T]+(\d{1,2}(?::| ?[AaPp]))'
    # The replacement must not touch the date's own commas, so only those before a clock are.
    spaced = f"replace(regexp_replace({x}, {duck.text(joined)}, ' \\1'), ',', '.')"
    half = duck.text(r'(\d) ?([AaPp])\.?([Mm])\.?$')
    return f"CASE WHEN length({x}) > 7 THEN regexp_replace({spaced}, {half}, '\\1 \\2\\3') ELSE {x} END"


def _has_offset(x: str) -> str:
    clock = r':[0-9.,]+(?: ?[AaPp]\.?[Mm]\.?)?'
    return f'(length({x}) > 10 AND regexp_matches({x}, {duck.text(clock + OFFSET + "$")}))'


def _offset_parts(x: str) -> tuple[str, str]:
    """SQL: `x` without its offset, and the offset as an interval."""
    wall = f'regexp_replace({x}, {duck.text(OFFSET + "$")}, {duck.text("")})'
    letters = f"regexp_extract({x}, ' ([A-Z]+)(?:\\[.*)?$', 1)"

    def minutes(o: str) -> str:
        ahead = f'CAST({o}.h AS BIGINT) * 60 + coalesce(TRY_CAST({o}.m AS BIGINT), 0)'
        # No clock is further from UTC than this, and what is further is no offset.
        signed = f"CASE WHEN {o}.h < '16' AND {o}.m < '60' THEN CASE {o}.s WHEN '-' THEN -1 ELSE 1 END * ({ahead}) END"
        return f"CASE WHEN {o}.s <> '' THEN {signed} ELSE coalesce({_number_of(letters, _ZONES)}, 0) END"

    return wall, f'to_minutes({_once("ahead", _signed_offset(x), minutes)})'


def _signed_offset(x: str) -> str:
    """SQL: the sign `s`, hours `h` and minutes `m` of an offset, '' each without one."""
    return f"regexp_extract({x}, '([+-])(\\d{{2}}):?(\\d{{2}})?(?:\\[.*)?$', ['s', 'h', 'm'])"


def zone_of(x: str) -> str:
    """SQL: the zone or the offset that a time names as it is shown: `UTC`, `+02:00`, `Europe/Berlin`, `CET`, or ''."""
    place = f"regexp_extract({x}, '\\[([A-Za-z_/+-]+)\\]$', 1)"
    signed = "o.s || o.h || ':' || coalesce(nullif(o.m, ''), '00')"
    word = f"regexp_extract({x}, '(?:[Zz]|UTC|GMT|[A-Z]{{3,4}})$')"
    return f"""(SELECT CASE WHEN p <> '' THEN p WHEN o.s <> '' THEN {signed}
        WHEN upper(w) IN ('Z', 'UTC', 'GMT') THEN 'UTC' ELSE w END
        FROM (SELECT {place} AS p, {_signed_offset(x)} AS o, {word} AS w))"""


def _zoned(wall_time: Callable[[str], str]) -> tuple[Callable[[str], str], Callable[[str], str]]:
    """Value and instant of times to which an offset may be added."""

    def instant(x: str) -> str:
        wall, offset = _offset_parts(x)
        return f'CASE WHEN {_has_offset(x)} THEN {wall_time(wall)} - {offset} END'

    return lambda x: f'CASE WHEN NOT {_has_offset(x)} THEN {wall_time(x)} END', instant


def _iso_wall(x: str) -> str:
    return f"TRY_CAST(upper(replace({x}, ',', '.')) AS TIMESTAMP)"


_FINE: Final = '[.,][0-9]{6}[0-9]*[1-9]'
_iso_value, _iso_instant = _zoned(_iso_wall)
ISO: Final = Reading(
    family='time',
    fine=_FINE,
    name=ISO_NAME,
    shape=rf'\d{{4}}-\d{{1,2}}-\d{{1,2}}(?:[Tt ]{{1,2}}{_CLOCK}(?:{OFFSET})?)?',
    value=_iso_value,
    naive=_iso_wall,
    instant=_iso_instant,
)


def _or_midnight(text: str, read: Callable[[str], str]) -> str:
    """SQL: a time as `read` reads it; 24:00, as meters write the end of a day, is the beginning of the next one."""
    begins = read(f"replace({text}, ' 24:00', ' 00:00')")
    ends = f"regexp_matches({text}, ' 24:00(:00([.,]0+)?)?$')"
    return f'coalesce({read(text)}, CASE WHEN {ends} THEN {begins} + INTERVAL 1 DAY END)'


def _wall(date: str) -> Callable[[str], str]:
    """SQL: the time of a text that is a date of this form, alone or with a clock."""

    def dated(x: str) -> str:
        return _or_midnight(_spaced(x), lambda text: _strptime(text, _clocks(date)))

    return lambda x: _once('dated', x, dated)


def _dated(name: str, date: str, shape: str, *, clock: str = rf'(?:{_CLOCK}|{_CLOCK_12})') -> Reading:
    """A date in some order, alone or with a clock of 24 or 12 hours, which an offset may follow."""
    wall = _wall(date)
    value, instant = _zoned(wall)
    return Reading(
        family='time',
        name=name,
        shape=rf'{shape}(?:[ ,T]{{1,2}}{clock}(?:{OFFSET})?)?',
        value=value,
        naive=wall,
        instant=instant,
        fine=_FINE,
        form=date,
    )


def _ordered(first: str, second: str, mark: str, year: int) -> Reading:
    letters = {'d': 'DD', 'm': 'MM'}
    y, name = ('%Y', 'YYYY') if year == 4 else ('%y', 'YY')
    return _dated(
        f'{letters[first]}{mark}{letters[second]}{mark}{name}',
        f'%{first}{mark}%{second}{mark}{y}',
        rf'\d{{1,2}}{re.escape(mark)}\d{{1,2}}{re.escape(mark)}\d{{{year}}}',
    )


def _until(reading: Reading) -> Reading:
    """Stretches of time such as `01.01.2024 00:00 - 01.01.2024 01:00`, which are read as their start."""

    def start(read: Callable[[str], str]) -> Callable[[str], str]:
        return lambda x: _once('start', f"regexp_replace({x}, ' [-–] .*$', '')", read)

    return replace(
        reading,
        name=f'{reading.name} - {reading.name}',
        shape=rf'{reading.shape} [-–] {reading.shape}',
        value=start(reading.value),
        naive=start(reading.naive or reading.value),
        instant=start(reading.instant) if reading.instant else None,
        form='',
    )


_DATES: Final = tuple(
    (_ordered('d', 'm', mark, year), _ordered('m', 'd', mark, year)) for mark in '/.-' for year in (4, 2)
)
ORDERS: Final = _DATES + tuple((_until(day), _until(month)) for day, month in _DATES if day.form.endswith('%Y'))


def _either(pair: tuple[Reading, Reading]) -> Reading:
    """Dates of which only one order of day and month is possible, or both are the same day."""
    day, month = pair

    def value(x: str) -> str:
        first, second = (f'({reading.naive(x)})' for reading in pair if reading.naive)

        def chosen(a: str, b: str) -> str:
            return f'CASE WHEN {a} IS NULL THEN {b} WHEN coalesce({b} = {a}, true) THEN {a} END'

        return _once('a', first, lambda a: _once('b', second, lambda b: chosen(a, b)))

    return Reading(family='time', name=f'{day.name} or {month.name}', shape=day.shape, value=value)


def month_of(word: str) -> int | None:
    """Return the number of the month that a word in small letters names, None when it names none."""
    return next((month for month, names in _MONTHS.items() if word in names.split()), None)


def month_number(word: str) -> str:
    """SQL: the number of the month that a word names."""
    return _number_of(word, {name: month for month, names in _MONTHS.items() for name in names.split()})


def _named(name: str, shape: str, places: tuple[int, int, int], *, coarse: bool = False, clock: int = 0) -> Reading:
    """A date with the month's name; `places` are the groups of year, month and day in `shape`, 0 where there is none.

    A clock may follow, with an offset; `clock` is its group when it stands inside.
    """
    tail = '' if coarse or clock else rf'(?:[ ,T:]{{1,2}}({_CLOCK}|{_CLOCK_12}))?'
    whole = rf'(?i){_WEEKDAY}{shape}{tail}'
    groups = dict(zip(places, 'ymd', strict=True))

    def date(p: str) -> str:
        century = f"CASE WHEN strlen({p}.y) = 4 THEN '' WHEN {p}.y < '69' THEN '20' ELSE '19' END"
        month = month_number(f"rtrim(lower({p}.m), '.')")
        return f"{century} || {p}.y || '-' || {month} || '-' || {f'{p}.d' if places[2] else 1}"

    def wall(x: str) -> str:
        # Not before it is asked for: to compile all of these shapes takes 14 ms.
        named = [groups.get(place, 'c') for place in range(1, re.compile(whole).groups + 1)]
        parts = f'regexp_extract({x}, {duck.text(f"^{whole}$")}, {duck.texts(named)})'
        if coarse:
            return _once('parts', parts, lambda p: _strptime(date(p), ['%Y-%m-%d']))
        return _once('parts', parts, lambda p: _wall('%Y-%m-%d')(f"trim({date(p)} || ' ' || {p}.c)"))

    if coarse:
        return Reading(family='time', name=name, shape=whole, value=wall, unit='day', coarse=True)
    value, instant = _zoned(wall)
    return Reading(
        family='time', name=name, shape=rf'{whole}(?:{OFFSET})?', value=value, naive=wall, instant=instant, fine=_FINE
    )


def _parts(
    name: str, shape: str, build: Callable[[Callable[[int], str]], str], *, coded: bool = False, coarse: bool = True
) -> Reading:
    """A period whose parts are the groups of its shape."""

    def value(x: str) -> str:
        return build(lambda place: f'CAST(regexp_extract({x}, {duck.text(f"^{shape}$")}, {place}) AS BIGINT)')

    return Reading(family='time', name=name, shape=shape, value=value, unit='day', coded=coded, coarse=coarse)


def _month(year: str, month: str) -> str:
    return f'CASE WHEN {month} BETWEEN 1 AND 12 THEN make_timestamp({year}, {month}, 1, 0, 0, 0) END'


def _century(year: str) -> str:
    return f'({year} + CASE WHEN {year} < 69 THEN 2000 ELSE 1900 END)'


def _quarter(year: str, quarter: str) -> str:
    return _month(year, f'({quarter} * 3 - 2)')


def _week(year: str, week: str, day: str = '1') -> str:
    # ISO 8601: week 1 is the week that holds January 4th, and a year has a week 53 when that still begins in it.
    first = f"date_trunc('week', make_date({year}, 1, 4))"
    start = f'{first} + to_days(CAST(7 * ({week} - 1) AS INTEGER))'
    real = f'{week} BETWEEN 1 AND 53 AND isoyear({start}) = {year}'
    return f'CASE WHEN {real} THEN CAST({start} + to_days(CAST({day} - 1 AS INTEGER)) AS TIMESTAMP) END'


def _day_of_year(year: str, day: str) -> str:
    date = f'make_date({year}, 1, 1) + to_days(CAST({day} - 1 AS INTEGER))'
    return f'CASE WHEN {day} >= 1 AND year({date}) = {year} THEN CAST({date} AS TIMESTAMP) END'


def _epoch(unit: str, digits: str, factor: str, fine: str = '') -> Reading:
    micros = f'CAST(trunc(CAST({{}} AS DECIMAL(38, 9)) {factor}) AS BIGINT)'
    return Reading(
        family='time',
        name=f'epoch {unit}',
        shape=digits,
        value=lambda x: 'NULL::TIMESTAMP',
        instant=lambda x: f'make_timestamp({micros.format(x)})',
        coded=True,
        fine=fine,
    )


EPOCHS: Final = (
    _epoch('s', r'-?[1-9]\d{8,9}(?:\.\d{1,9})?', '* 1000000', _FINE),
    _epoch('ms', r'-?[1-9]\d{11,12}(?:\.\d{1,6})?', '* 1000', '[.][0-9]{3}[0-9]*[1-9]'),
    _epoch('us', r'-?[1-9]\d{14,15}', ''),
    _epoch('ns', r'-?[1-9]\d{17,18}', '/ 1000', '[1-9][0-9]{0,2}$'),
)


def _serial(name: str, shape: str, unit: str) -> Reading:
    # Excel counts days from 1900 and takes that year for a leap year: from March 1900 on, day 0 is 30 December 1899.
    # A time of day is a share of a day; with few decimals it is meant to the second.
    fine = "CASE WHEN length(regexp_extract({0}, '[.,](.*)', 1)) > 9 THEN 3 ELSE 0 END"
    days = "CAST(replace({0}, ',', '.') AS DOUBLE) - 25569"
    return Reading(
        family='time',
        name=name,
        shape=shape,
        value=lambda x: f'make_timestamp(CAST(1000000 * round(86400 * ({days}), {fine}) AS BIGINT))'.format(x),
        unit=unit,
        coded=True,
        clocked=unit != 'day',
    )


SERIALS: Final = (
    _serial('days since 1900', r'[3-5]\d{4}(?:[.,]0+)?', 'day'),
    _serial('days since 1900 with a time', r'[3-5]\d{4}(?:[.,]\d{1,12})?', 'second'),
)
"""Days as Excel counts them, of the years 1982 to 2064; below are days since 1970 and codes of a year and its day.

They are none of `TIMES`, as any number of five digits may be one.
"""
YEAR: Final = replace(
    _parts('YYYY', r'(1[5-9]\d\d|2[01]\d\d)(?:\.0)?', lambda part: f'make_timestamp({part(1)}, 1, 1, 0, 0, 0)'),
    coded=True,
)
YEAR_MONTH: Final = _parts(
    'YYYYMM', r'(1[89]\d\d|20\d\d|21\d\d)(0[1-9]|1[0-2])', lambda part: _month(part(1), part(2)), coded=True
)
COMPACT: Final = Reading(
    family='time',
    name='YYYYMMDD',
    shape=r'(?:1[89]|2[01])\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])',
    value=lambda x: f"try_strptime({x}, '%Y%m%d')",
    unit='day',
    coded=True,
)


def _compact_wall(x: str) -> str:
    forms = ('%Y%m%d%H%M%S', '%Y%m%d%H%M', '%Y%m%d%H%M%S.%f', '%Y%m%d%H')
    bare = f"replace(replace(replace({x}, 'T', ''), ' ', ''), ',', '.')"
    ends = f"regexp_matches({bare}, '^[0-9]{{8}}24(00){{0,2}}$')"
    next_day = f"try_strptime(left({bare}, 8), '%Y%m%d') + INTERVAL 1 DAY"
    return f'coalesce({_strptime(bare, forms)}, CASE WHEN {ends} THEN {next_day} END)'


_compact_value, _compact_instant = _zoned(_compact_wall)
_COMPACT_DAY: Final = COMPACT.shape
COMPACT_CLOCK: Final = Reading(
    family='time',
    name='YYYYMMDDHHMMSS',
    shape=rf'{_COMPACT_DAY}(?:[T ]?(?:(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d(?:[.,]\d{{1,9}})?)?|2400(?:00)?)'
    r'|[T ](?:[01]\d|2[0-4]))',
    value=_compact_wall,
    clocked=True,
    fine=_FINE,
)


def _compact_utc(x: str) -> str:
    wall, offset = _offset_parts(x)
    return f'{_compact_wall(wall)} - {offset}'


ISO_JOINED: Final = Reading(
    family='time',
    name='YYYY-MM-DD_HH:MM',
    shape=rf'\d{{4}}-\d{{2}}-\d{{2}}[_:]{_CLOCK}',
    value=lambda x: _iso_wall(f"left({x}, 10) || ' ' || substr({x}, 12)"),
    fine=_FINE,
)
COMPACT_UTC: Final = Reading(
    family='time',
    name='YYYYMMDDTHHMMSSZ',
    shape=COMPACT_CLOCK.shape + r'(?:Z|[+-]\d{2}(?::?\d{2})?)',
    value=lambda x: 'NULL::TIMESTAMP',
    instant=_compact_utc,
    clocked=True,
    fine=_FINE,
)
ISO_HOUR: Final = Reading(
    family='time',
    name='YYYY-MM-DDTHH',
    shape=r'\d{4}-\d{2}-\d{2}[T ](?:[01]\d|2[0-4])',
    value=lambda x: _iso_wall(f"replace({x}, 'T', ' ') || ':00'"),
    clocked=True,
)

_DAY: Final = r'(\d{1,2})(?:st|nd|rd|th|er|º|\.)?'
_GAP: Final = r'(?:[ ./,-]{1,2}| de | del | of )'
ISO_12: Final = _dated('YYYY-MM-DD, 12 hours', '%Y-%m-%d', r'\d{4}-\d{1,2}-\d{1,2}', clock=_CLOCK_12)
TIMES: Final[tuple[Reading, ...]] = (
    ISO,
    _until(ISO),
    ISO_12,
    _dated('YYYY/MM/DD', '%Y/%m/%d', r'\d{4}/\d{1,2}/\d{1,2}'),
    _dated('YYYY.MM.DD', '%Y.%m.%d', r'\d{4}\.\d{1,2}\.\d{1,2}'),
    *(reading for pair in ORDERS for reading in pair),
    _named('D Mon YYYY', rf'{_DAY}{_GAP}({_MONTH}){_GAP}(\d{{4}})', (3, 2, 1)),
    _named('D Mon YY', rf'{_DAY}{_GAP}({_MONTH}){_GAP}(\d{{2}})', (3, 2, 1)),
    _named('Mon D YYYY', rf'({_MONTH})[ .-]{{1,2}}{_DAY}[ ,-]{{1,2}}(\d{{4}})', (3, 1, 2)),
    _named('YYYY Mon D', rf'(\d{{4}})[ .-]({_MONTH})[ .-]{_DAY}', (1, 2, 3)),
    _named('DMonYYYY', rf'(\d{{1,2}})({_MONTH})(\d{{4}})', (3, 2, 1)),
    _named('Mon D HH:MM:SS YYYY', rf'({_MONTH}) +(\d{{1,2}}) ({_CLOCK}) (\d{{4}})', (4, 1, 2), clock=3),
    _named('Mon YYYY', rf'({_MONTH}){_GAP}(\d{{4}})', (2, 1, 0), coarse=True),
    _named('YYYY Mon', rf'(\d{{4}})[ ./-]?({_MONTH})', (1, 2, 0), coarse=True),
    _named('Mon YY', rf"({_MONTH})[ /'-]{{1,2}}(\d{{2}})", (2, 1, 0), coarse=True),
    _parts('YYYY-MM', r'(\d{4})[-/](\d{1,2})', lambda part: _month(part(1), part(2))),
    _parts('YYYYMmm', r'(\d{4})[- ]?[Mm](\d{1,2})', lambda part: _month(part(1), part(2))),
    _parts('Mmm YYYY', r'[Mm](\d{1,2})[- /]?(\d{4})', lambda part: _month(part(2), part(1))),
    _parts('MM/YYYY', r'(\d{1,2})[-/](\d{4})', lambda part: _month(part(2), part(1))),
    _parts('YYYY-Qn', r'(\d{4})[ /:-]?[QqT]([1-4])', lambda part: _quarter(part(1), part(2))),
    _parts('Qn YYYY', r'[QqT]([1-4])[ /-]?(\d{4})', lambda part: _quarter(part(2), part(1))),
    _parts('nQ YYYY', r'([1-4])[QqT][ /-]?(\d{4})', lambda part: _quarter(part(2), part(1))),
    _parts('Qn YY', r"[Qq]([1-4])[ /'-]{0,2}(\d{2})", lambda part: _quarter(_century(part(2)), part(1))),
    _parts('nQYY', r'([1-4])[Qq](\d{2})', lambda part: _quarter(_century(part(2)), part(1))),
    _parts('YYYY-Hn', r'(\d{4})[ -]?[HhS]([12])', lambda part: _month(part(1), f'({part(2)} * 6 - 5)')),
    _parts('Hn YYYY', r'[Hh]([12])[ /-]?(\d{4})', lambda part: _month(part(2), f'({part(1)} * 6 - 5)')),
    _parts('YYYY-Www', r'(\d{4})[- ]?[Ww](\d{2})', lambda part: _week(part(1), part(2))),
    _parts('YYYY week n', r'(?i)(\d{4})[ /-]?(?:week|wk|kw|w)[ .-]?(\d{1,2})', lambda part: _week(part(1), part(2))),
    _parts(
        'week n YYYY', r'(?i)(?:week|wk|kw|w)[ .-]?(\d{1,2})[ ,/-]{1,2}(\d{4})', lambda part: _week(part(2), part(1))
    ),
    _parts('YYYY-Www-D', r'(\d{4})-?W(\d{2})-?([1-7])', lambda part: _week(part(1), part(2), part(3)), coarse=False),
    _parts('YYYY-DDD', r'(\d{4})-(\d{3})', lambda part: _day_of_year(part(1), part(2)), coded=True, coarse=False),
    YEAR,
    YEAR_MONTH,
    COMPACT,
    COMPACT_CLOCK,
    COMPACT_UTC,
    ISO_HOUR,
    ISO_JOINED,
    *EPOCHS,
)
_BLANKS: Final = '\u00a0\u2007\u202f'
_POINTED_CLOCK: Final = r'\d{1,2}\.\d{2}(?:\.\d{2}(?:\.\d{1,9})?)?'
_LETTERED_CLOCK: Final = r'\d{1,2} ?h(?: ?\d{2})?|\d{1,2}(?::\d{2}){1,2} Uhr|\d{1,2} Uhr'
_HALF_DAY: Final = r' ?[AaPp][Mm]'
_STYLED_CLOCK: Final = rf'(?:{_POINTED_CLOCK}(?:{_HALF_DAY})?|{_LETTERED_CLOCK})'
STYLED: Final = re.compile(rf'[{_BLANKS}]|^\[.*\]$|\d[ ,T]{{1,2}}{_STYLED_CLOCK}$')
"""What tells that a time may be written in a style of `STYLES`."""


def _with_blanks(shape: str) -> str:
    """A regular expression that takes blanks of typesetters where `shape` takes a space."""
    out, inside = [], False
    for place, sign in enumerate(shape):
        inside = (inside or sign == '[') and sign != ']' if shape[place - 1 : place] != '\\' else inside
        out.append(sign if sign != ' ' else f' {_BLANKS}' if inside else f'[ {_BLANKS}]')
    return ''.join(out)


def _styled(reading: Reading, name: str, shape: str, bare: str, *, clocked: bool) -> Reading:
    """Times of a reading in another style: `bare` is SQL that makes `{0}` as the reading has it."""

    def of(read: Callable[[str], str] | None) -> Callable[[str], str] | None:
        return None if read is None else lambda x: _once('bare', bare.format(x), read)

    return replace(
        reading,
        name=f'{reading.name} {name}',
        shape=shape,
        value=of(reading.value) or reading.value,
        naive=of(reading.naive),
        instant=of(reading.instant),
        form='',
        clocked=clocked or reading.clocked,
    )


def _styles(reading: Reading, date: str, *, clock: str = _STYLED_CLOCK) -> tuple[Reading, ...]:
    """A reading with no-break blanks, in brackets, and with a `clock` of another style behind its `date`."""
    flag = '(?i)' if reading.shape.startswith('(?i)') else ''
    blanks = f'translate({{0}}, {duck.text(_BLANKS)}, {duck.text(" " * len(_BLANKS))})'
    bare = '{0}'
    for found, made in (
        (r'(?i) Uhr$', ''),
        (r'([ ,T])(\d{{1,2}}) ?h ?(\d{{2}})$', r'\1\2:\3'),
        (r'([ ,T])(\d{{1,2}})(?: ?h)?$', r'\1\2:00'),
        (r'([ ,T]\d{{1,2}})\.(\d{{2}})(?:\.(\d{{2}}))?([^\d]|\.\d|$)', r'\1:\2:\3\4'),
        (r':(\D*)$', r'\1'),
        (r'(\.\d{{6}})\d+', r'\1'),
    ):
        bare = f'regexp_replace({bare}, {duck.text(found)}, {duck.text(made)})'
    return (
        _styled(reading, 'with no-break blanks', _with_blanks(reading.shape), blanks, clocked=False),
        _styled(reading, 'in brackets', flag + rf'\[{reading.shape.removeprefix(flag)}\]', '{0}[2:-2]', clocked=False),
        _styled(reading, 'and a clock of its own style', rf'{date}[ ,T]{{1,2}}{clock}', bare, clocked=True),
    )


_STYLED_ORDERS: Final[tuple[tuple[Reading, Reading], ...]] = tuple(
    (day, month)
    for pair in _DATES
    for day, month in zip(*(_styles(one, one.shape.split('(?:[ ,T]')[0]) for one in pair), strict=True)
)
STYLES: Final = (
    # A cast to a timestamp takes no heed of AM and PM.
    *_styles(ISO, r'\d{4}-\d{1,2}-\d{1,2}', clock=rf'(?:{_POINTED_CLOCK}|{_LETTERED_CLOCK})'),
    *_styles(ISO_12, r'\d{4}-\d{1,2}-\d{1,2}', clock=rf'{_POINTED_CLOCK}{_HALF_DAY}'),
    *(reading for pair in _STYLED_ORDERS for reading in pair),
    *(
        style
        for reading in TIMES
        if reading.name in ('D Mon YYYY', 'D Mon YY', 'Mon D YYYY')
        for style in _styles(reading, reading.shape.split('(?:[ ,T:]')[0])
    ),
)
"""Dates with a clock as others write them, such as `[2024-01-31 13:05]`, `31.01.2024 13.05` or `31/01/2024 13h05`."""
_ODD_TIMES: Final = tuple(
    replace(reading, repair='date_format')
    for reading in (
        *(
            r
            for r in TIMES
            if not r.coarse and not r.coded and r.name != 'D Mon YY' and all(r not in p for p in ORDERS)
        ),
        *(_either(pair) for pair in _DATES if pair[0].name.endswith('YYYY')),
        COMPACT,
    )
)


_ODD_EPOCHS: Final = tuple(replace(reading, repair='date_format') for reading in EPOCHS)


def odd_times(cells: Sequence[str], main: Reading) -> list[Reading]:
    """Return readings of times that are written otherwise than their column, which can mean one thing only.

    A date whose day and month could be exchanged is in none, unless enough of its kind tell which comes first; nor is a
    time that names a week or more.
    """
    if main in EPOCHS:
        # Their numbers of digits tell seconds, milliseconds and so on apart.
        return [r for r in _ODD_EPOCHS if any(r.matches(cell) and not main.matches(cell) for cell in cells)]
    if main.coded and main not in (COMPACT, COMPACT_CLOCK):
        return []
    found = [r for r in _ODD_TIMES if any(r.matches(cell) and not main.matches(cell) for cell in cells)]
    return [_in_order(reading, cells) for reading in found][:4]


def _in_order(reading: Reading, cells: Sequence[str]) -> Reading:
    """A reading of dates in either order of day and month as one of the order that the cells prove: at least three, a
    tenth of them, and none the other one."""
    pair = next((pair for pair in _DATES if _either(pair).name == reading.name), None)
    if pair is None:
        return reading
    parts = [re.match(r'(\d+)\D(\d+)', cell) for cell in cells if reading.matches(cell)]
    first, second = (sum(bool(part and int(part[place]) > 12) for part in parts) for place in (1, 2))
    if bool(first) == bool(second) or max(first, second) < max(3, len(parts) / 10):
        return reading
    return replace(pair[0] if first else pair[1], repair=reading.repair)


def is_time(cell: str) -> bool:
    """Whether a cell is a time that is written as more than a number, or counted since 1970."""
    known = (*TIMES, *STYLES) if STYLED.search(cell) else TIMES
    return any((not reading.coded or reading in EPOCHS) and reading.matches(cell) for reading in known)


def twin(reading: Reading) -> Reading | None:
    """Return the reading with day and month exchanged, for one in which they can be told apart only by their sizes."""
    for pair in (*ORDERS, *_STYLED_ORDERS):
        if reading in pair:
            return pair[1] if reading == pair[0] else pair[0]
    return None
