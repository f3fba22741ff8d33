"""Readings: the ways in which a cell of text can be a number, a time or a truth value.

A reading has a `shape`, the regular expression that a whole cell must match, and SQL that turns a matching cell into a
value. DuckDB's casts alone take `1_000`, `infinity`, `epoch` and `0x10`, drop offsets and overflow to infinity: the
shape keeps them out. The same shapes serve Python (on a sample) and DuckDB (on every cell).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final

from core.analysis import duck

BLANK: Final = ' \t\u00a0\u2007\u202f\ufeff'
MISSING: Final = (
    'na', 'n/a', '#n/a', '<na>', 'nan', 'null', '(null)', 'none', 'nil', 'nat', 'missing', '\\n', '-', '--', '?', '.',
)  # fmt: skip
MOST_SCALE: Final = 6
MOST_DIGITS: Final = 18

_CLOCK: Final = r'\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?'
_CLOCK_12: Final = r'\d{1,2}(?::\d{2}(?::\d{2})?)? ?[AaPp][Mm]'
_OFFSET: Final = r' ?(?:[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)'
_MONTH: Final = r'(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*'
_WEEKDAY: Final = r'(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*[ ,]+)?'


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One way to read the cells of a column.

    `value(x)` is SQL over a text expression that matches `shape`. A time reading gives wall-clock times by `value` and
    instants by `instant`; each is NULL where the other holds. `unit` is `day` when no cell can tell a time of day.
    """

    family: str  # number | time | boolean | text
    name: str
    shape: str = ''
    value: Callable[[str], str] = field(default=lambda x: x, compare=False, repr=False)
    instant: Callable[[str], str] | None = field(default=None, compare=False, repr=False)
    naive: Callable[[str], str] | None = field(default=None, compare=False, repr=False)
    unit: str = 'second'
    coded: bool = False  # a time written as a plain number
    fine: str = ''  # a regular expression of what is finer than a microsecond
    decimal: str = '.'
    group: str = ''
    affix: str = ''

    def matches(self, cell: str) -> bool:
        """Whether a cell has the shape."""
        return _compiled(self.shape).fullmatch(cell) is not None

    def fits(self, x: str) -> str:
        """SQL: whether the text `x` has the shape."""
        return f'regexp_full_match({x}, {duck.text(self.shape)})'

    def read(self, x: str) -> str:
        """SQL: the value of `x`, NULL when it cannot be read."""
        return f'CASE WHEN {self.fits(x)} THEN {self.value(x)} END'

    def read_naive(self, x: str) -> str:
        """SQL: the value of `x` in a column where no cell names an instant."""
        return f'CASE WHEN {self.fits(x)} THEN {(self.naive or self.value)(x)} END'

    def plain(self, x: str) -> str:
        """SQL: a number in the form that DuckDB casts."""
        return _plain_number(x, decimal=self.decimal, group=self.group, affix=self.affix)

    def read_instant(self, x: str) -> str | None:
        """SQL: the instant of `x` as a TIMESTAMP in UTC, NULL when it names none; None when no cell can."""
        return f"CASE WHEN {self.fits(x)} THEN timezone('UTC', {self.instant(x)}) END" if self.instant else None


@cache
def _compiled(shape: str) -> re.Pattern[str]:
    return re.compile(shape, re.ASCII)


def trimmed(column: str) -> str:
    """SQL: a cell without the blanks around it, NULL when nothing is left."""
    around = duck.text(f'^[{BLANK}]|[{BLANK}]$')
    bare = f'trim({column}, {duck.text(BLANK)})'
    return f"nullif(CASE WHEN regexp_matches({column}, {around}) THEN {bare} ELSE {column} END, '')"


def present(x: str) -> str:
    """SQL: a trimmed cell, NULL when it spells a missing value."""
    # A regular expression, because DuckDB turns a long IN list into a join, one for each column.
    spelled = duck.text(f'(?i)(?:{"|".join(re.escape(word) for word in MISSING)})')
    longest = max(map(len, MISSING))
    return f'CASE WHEN length({x}) > {longest} OR NOT regexp_full_match({x}, {spelled}) THEN {x} END'


def is_missing(cell: str) -> bool:
    """Whether a trimmed cell is empty or spells a missing value."""
    return not cell or cell.lower() in MISSING


# numbers


def number(*, decimal: str = '.', group: str = '', affix: str = '') -> Reading:
    """Numbers with this decimal mark and thousands separator; `affix` is a currency sign, or `%` that every cell has.

    A percentage keeps the figure as written: `12.5%` is 12.5.
    """
    digits = rf'(?:\d{{1,3}}(?:{re.escape(group)}\d{{3}})+|\d+)' if group else r'\d+'
    mark = re.escape(decimal)
    body = rf'(?:{digits}(?:{mark}\d*)?|{mark}\d+)(?:[eE][+-]?\d{{1,4}})?'
    shape = rf'[+\-−]?{body}'
    if affix == '%':
        shape = rf'{shape} ?%'
    elif affix == '()':
        shape = rf'(?:{shape}|\({body}\))'
    elif affix:
        sign = re.escape(affix)
        shape = rf'(?:[+\-−]?(?:{sign} ?)?[+\-−]?{body}(?: ?{sign})?|\((?:{sign} ?)?{body}\))'
    name = f'number {decimal}{group}{affix}'
    return Reading(
        family='number',
        name=name,
        shape=shape,
        value=lambda x: _finite(_plain_number(x, decimal=decimal, group=group, affix=affix)),
        decimal=decimal,
        group=group,
        affix=affix,
    )


def _plain_number(x: str, *, decimal: str, group: str, affix: str) -> str:
    """SQL: a number as written, in the form that DuckDB casts."""
    plain = x
    for sign in affix if affix != '()' else '':
        plain = f'replace({plain}, {duck.text(sign)}, {duck.text("")})'
    if group:
        plain = f'replace({plain}, {duck.text(group)}, {duck.text("")})'
    if decimal != '.':
        plain = f'replace({plain}, {duck.text(decimal)}, {duck.text(".")})'
    if affix and affix != '%':
        plain = f"CASE WHEN {plain}[1] = '(' THEN '-' || trim({plain}, '() ') ELSE {plain} END"
    # A minus sign of typographers is three bytes long: text without it is left alone.
    return f"replace(replace({plain}, '−', '-'), ' ', '')" if affix else f"replace({plain}, '−', '-')"


def _finite(plain: str) -> str:
    number = f'TRY_CAST({plain} AS DOUBLE)'
    return f'CASE WHEN isfinite({number}) THEN {number} END'


PLAIN: Final = number()
GROUPS: Final = (',', '.', ' ', '\u00a0', '\u202f', "'", '’')
SIGNS: Final = ('$', '€', '£', '¥', '%', '()')


def numbers_like(cells: Sequence[str], *, decimal: str) -> list[Reading]:
    """Return the number readings that these cells suggest, the plainest first."""
    text = ''.join(cells)
    groups = ['', *(mark for mark in GROUPS if mark in text and mark != decimal)]
    affixes = ['', *(sign for sign in SIGNS if sign[0] in text)]
    return [number(decimal=decimal, group=group, affix=affix) for group in groups for affix in affixes]


def decimal_votes(cells: Sequence[str]) -> tuple[int, int]:
    """Count the cells that can only have a decimal point, and those that can only have a decimal comma."""
    return sum(bool(_POINT.fullmatch(cell)) for cell in cells), sum(bool(_COMMA.fullmatch(cell)) for cell in cells)


def _only(mark: str, other: str) -> re.Pattern[str]:
    around = r'[$€£¥%() +\-−]*'
    sole = rf'\d+{mark}(?:\d{{1,2}}|\d{{4,}})(?:[eE][+-]?\d+)?|0{mark}\d+|\d{{4,}}{mark}\d*'
    grouped = rf'\d{{1,3}}(?:{other}\d{{3}})+{mark}\d+|\d{{1,3}}(?:{other}\d{{3}}){{2,}}'
    return re.compile(rf'{around}(?:{sole}|{grouped}){around}', re.ASCII)


_POINT: Final = _only(r'\.', ',')
_COMMA: Final = _only(',', r'\.')

# truth values


def _words(*, true: Sequence[str], false: Sequence[str]) -> Reading:
    listed = ', '.join(duck.text(word) for word in true)
    return Reading(
        family='boolean',
        name=f'{true[0]}/{false[0]}',
        shape=f'(?i)(?:{"|".join([*true, *false])})',
        value=lambda x: f'lower({x}) IN ({listed})',
    )


BOOLEANS: Final = (
    _words(true=('true',), false=('false',)),
    _words(true=('yes',), false=('no',)),
    _words(true=('t', 'true'), false=('f', 'false')),
    _words(true=('y', 'yes'), false=('n', 'no')),
    _words(true=('on',), false=('off',)),
)

# times


def _strptime(x: str, formats: Sequence[str]) -> str:
    listed = ', '.join(duck.text(form) for form in formats)
    return f'try_strptime({x}, [{listed}])'


def _clocks(date: str) -> list[str]:
    clocks = ('%H:%M:%S', '%H:%M', '%H:%M:%S.%f', '%I:%M:%S %p', '%I:%M %p', '%I:%M:%S%p', '%I:%M%p', '%I %p', '%I%p')
    return [date, *(f'{date} {clock}' for clock in clocks)]


def _spaced(x: str) -> str:
    """SQL: date and clock joined by one space, fractions by a point, AM or PM in capitals."""
    joined = r'[ ,T]+(\d{1,2}(?::| ?[AaPp]))'
    # The replacement must not touch the date's own commas, so only those before a clock are.
    spaced = f"regexp_replace({x}, {duck.text(joined)}, ' \\1')"
    return f"CASE WHEN length({x}) > 10 THEN replace({spaced}, ',', '.') ELSE {x} END"


def _iso_naive(x: str) -> str:
    return f"TRY_CAST(replace({x}, ',', '.') AS TIMESTAMP)"


def _iso_wall(x: str) -> str:
    return f"CASE WHEN NOT {_has_offset(x)} THEN TRY_CAST(replace({x}, ',', '.') AS TIMESTAMP) END"


def _iso_instant(x: str) -> str:
    spelled = f"regexp_replace(replace({x}, ',', '.'), ' ?(?:[Zz]|UTC|GMT)$', '+00')"
    joined = f"regexp_replace({spelled}, ' ([+-][0-9:]+)$', '\\1')"
    return f'CASE WHEN {_has_offset(x)} THEN TRY_CAST({joined} AS TIMESTAMPTZ) END'


def _has_offset(x: str) -> str:
    return f'(length({x}) > 10 AND regexp_matches({x}, {duck.text(f":[0-9.,]+{_OFFSET}$")}))'


_FINE: Final = '[.,][0-9]{6}[0-9]*[1-9]'
ISO: Final = Reading(
    family='time',
    fine=_FINE,
    name='YYYY-MM-DD',
    shape=rf'\d{{4}}-\d{{1,2}}-\d{{1,2}}(?:[Tt ]{{1,2}}{_CLOCK}(?:{_OFFSET})?)?',
    value=_iso_wall,
    naive=_iso_naive,
    instant=_iso_instant,
)


def _dated(name: str, date: str, shape: str) -> Reading:
    """A date in some order, alone or with a clock of 24 or 12 hours."""
    return Reading(
        family='time',
        name=name,
        shape=rf'{shape}(?:[ ,T]{{1,2}}(?:{_CLOCK}|{_CLOCK_12}))?',
        value=lambda x: _strptime(_spaced(x), _clocks(date)),
        fine=_FINE,
    )


def _ordered(first: str, second: str, mark: str, year: int) -> Reading:
    letters = {'d': 'DD', 'm': 'MM'}
    y, name = ('%Y', 'YYYY') if year == 4 else ('%y', 'YY')
    return _dated(
        f'{letters[first]}{mark}{letters[second]}{mark}{name}',
        f'%{first}{mark}%{second}{mark}{y}',
        rf'\d{{1,2}}{re.escape(mark)}\d{{1,2}}{re.escape(mark)}\d{{{year}}}',
    )


ORDERS: Final = tuple(
    (_ordered('d', 'm', mark, year), _ordered('m', 'd', mark, year)) for mark in '/.-' for year in (4, 2)
)


def _named(name: str, date: str, shape: str, *, unit: str = 'second') -> Reading:
    """A date with the month's English name; marks between its parts do not matter."""

    def value(x: str) -> str:
        bare = f"regexp_replace({x}, {duck.text('(?i)^' + _WEEKDAY)}, '')"
        long = duck.text('(?i)(^|[^a-z])([a-z]{3})[a-z]{1,6}')
        short = f"regexp_replace({bare}, {long}, '\\1\\2')"
        head = f'regexp_replace({short}, {duck.text(r"^([^:]*?[a-zA-Z][^:]*?)[ ,./-]+")}, {duck.text(chr(92) + "1 ")})'
        return _strptime(f"trim(regexp_replace({head}, '[ ,/-]+', ' ', 'g'))", _clocks(date))

    clock = rf'(?:[ ,T]{{1,2}}(?:{_CLOCK}|{_CLOCK_12}))?' if unit == 'second' else ''
    return Reading(family='time', name=name, shape=f'(?i){_WEEKDAY}{shape}{clock}', value=value, unit=unit)


def _parts(name: str, shape: str, build: Callable[[Callable[[int], str]], str], *, coded: bool = False) -> Reading:
    """A period whose parts are the groups of its shape."""

    def value(x: str) -> str:
        return build(lambda place: f'CAST(regexp_extract({x}, {duck.text(f"^{shape}$")}, {place}) AS BIGINT)')

    return Reading(family='time', name=name, shape=shape, value=value, unit='day', coded=coded)


def _month(year: str, month: str) -> str:
    return f'CASE WHEN {month} BETWEEN 1 AND 12 THEN make_timestamp({year}, {month}, 1, 0, 0, 0) END'


def _week(year: str, week: str) -> str:
    # ISO 8601: week 1 is the week that holds January 4th.
    first = f"date_trunc('week', make_date({year}, 1, 4))"
    start = f'{first} + to_days(CAST(7 * ({week} - 1) AS INTEGER))'
    return f'CASE WHEN {week} BETWEEN 1 AND 53 THEN CAST({start} AS TIMESTAMP) END'


def _epoch(unit: str, digits: str, factor: str, fine: str = '') -> Reading:
    return Reading(
        family='time',
        name=f'epoch {unit}',
        shape=digits,
        value=lambda x: 'NULL::TIMESTAMP',
        instant=lambda x: f'make_timestamptz(CAST(trunc(CAST({x} AS DECIMAL(38, 9)) {factor}) AS BIGINT))',
        coded=True,
        fine=fine,
    )


EPOCHS: Final = (
    _epoch('s', r'[1-9]\d{8,9}(?:\.\d{1,9})?', '* 1000000', _FINE),
    _epoch('ms', r'[1-9]\d{11,12}', '* 1000'),
    _epoch('us', r'[1-9]\d{14,15}', ''),
    _epoch('ns', r'[1-9]\d{17,18}', '/ 1000', '[1-9][0-9]{0,2}$'),
)
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
COMPACT_CLOCK: Final = Reading(
    family='time',
    name='YYYYMMDDHHMMSS',
    shape=r'(?:1[89]|2[01])\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[T ]?(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?',
    value=lambda x: _strptime(f"replace(replace({x}, 'T', ''), ' ', '')", ('%Y%m%d%H%M%S', '%Y%m%d%H%M')),
)
COMPACT_UTC: Final = Reading(
    family='time',
    name='YYYYMMDDTHHMMSSZ',
    shape=COMPACT_CLOCK.shape + 'Z',
    value=lambda x: 'NULL::TIMESTAMP',
    instant=lambda x: f"timezone('UTC', {COMPACT_CLOCK.value(f'rtrim({x}, {duck.text(chr(90))})')})",
)

TIMES: Final[tuple[Reading, ...]] = (
    ISO,
    _dated('YYYY/MM/DD', '%Y/%m/%d', r'\d{4}/\d{1,2}/\d{1,2}'),
    _dated('YYYY.MM.DD', '%Y.%m.%d', r'\d{4}\.\d{1,2}\.\d{1,2}'),
    *(reading for pair in ORDERS for reading in pair),
    _named('D Mon YYYY', '%d %b %Y', rf'\d{{1,2}}[ ./-]{{1,2}}{_MONTH}[ .,/-]{{1,2}}\d{{4}}'),
    _named('D Mon YY', '%d %b %y', rf'\d{{1,2}}[ ./-]{{1,2}}{_MONTH}[ .,/-]{{1,2}}\d{{2}}'),
    _named('Mon D YYYY', '%b %d %Y', rf'{_MONTH}[ .-]{{1,2}}\d{{1,2}}[ ,-]{{1,2}}\d{{4}}'),
    _named('YYYY Mon D', '%Y %b %d', rf'\d{{4}}[ .-]{_MONTH}[ .-]\d{{1,2}}'),
    _named('Mon YYYY', '%b %Y', rf'{_MONTH}[ ,./-]{{1,2}}\d{{4}}', unit='day'),
    _named('YYYY Mon', '%Y %b', rf'\d{{4}}[ ./-]?{_MONTH}', unit='day'),
    _named('Mon YY', '%b %y', rf'{_MONTH}[ /-]\d{{2}}', unit='day'),
    _parts('YYYY-MM', r'(\d{4})[-/](\d{1,2})', lambda part: _month(part(1), part(2))),
    _parts('YYYYMmm', r'(\d{4})-?[Mm](\d{1,2})', lambda part: _month(part(1), part(2))),
    _parts('MM/YYYY', r'(\d{1,2})[-/](\d{4})', lambda part: _month(part(2), part(1))),
    _parts('YYYY-Qn', r'(\d{4})[ -]?[Qq]([1-4])', lambda part: _month(part(1), f'({part(2)} * 3 - 2)')),
    _parts('Qn YYYY', r'[Qq]([1-4])[ /-]?(\d{4})', lambda part: _month(part(2), f'({part(1)} * 3 - 2)')),
    _parts('YYYY-Www', r'(\d{4})-?W(\d{2})', lambda part: _week(part(1), part(2))),
    YEAR,
    YEAR_MONTH,
    COMPACT,
    COMPACT_CLOCK,
    COMPACT_UTC,
    *EPOCHS,
)


def twin(reading: Reading) -> Reading | None:
    """Return the reading with day and month exchanged, for one in which they can be told apart only by their sizes."""
    for pair in ORDERS:
        if reading in pair:
            return pair[1] if reading is pair[0] else pair[0]
    return None


TEXT: Final = Reading(family='text', name='text')
