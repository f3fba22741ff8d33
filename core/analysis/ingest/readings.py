"""Readings: the ways in which a cell of text can be a number, a time or a truth value.

A reading has a `shape`, the regular expression that a whole cell must match, and SQL that turns a matching cell into a
value. DuckDB's casts alone take `1_000`, `infinity`, `epoch` and `0x10`, drop offsets and overflow to infinity: the
shape keeps them out. The same shapes serve Python (on a sample) and DuckDB (on every cell). What most files are full
of, plain numbers and ISO times, is read by a cheaper test that lets nothing through which the shape would not.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final

from core.analysis import duck

BLANK: Final = ' \t\u00a0\u2007\u202f\ufeff'
MISSING: Final = (
    'na', 'n/a', 'n.a.', '#n/a', '<na>', 'nan', '-nan', 'null', '(null)', '<null>', 'none', 'nil', 'nat', 'missing',
    '\\n', '-', '--', '---', '\u2013', '\u2014', '?', '.', '..', '...', ':', 'n.d.', 'nd', 'no data', 'not available',
    'undefined', '#value!', '#div/0!', '#ref!', '#name?', '#num!', '#null!',
)  # fmt: skip
_MISSING_STARTS: Final = ''.join(sorted({mark for word in MISSING for mark in (word[0], word[0].upper())}))
MOST_SCALE: Final = 6
MOST_DIGITS: Final = 18

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One way to read the cells of a column.

    `value(x)` is SQL over a text expression that matches `shape`. A time reading gives wall-clock times by `value` and
    instants by `instant`; each is NULL where the other holds. A number reading gives text that DuckDB casts by `bare`.
    `unit` is `day` when no cell can tell a time of day. `others` are readings of cells that are written otherwise than
    their column; each names the `repair` that it is. `quick` is the regular expression of the commonest form of a time,
    `quick_form` its format.
    """

    family: str  # number | time | boolean | text
    name: str
    shape: str = ''
    value: Callable[[str], str] = field(default=lambda x: x, compare=False, repr=False)
    instant: Callable[[str], str] | None = field(default=None, compare=False, repr=False)
    naive: Callable[[str], str] | None = field(default=None, compare=False, repr=False)
    bare: Callable[[str], str] = field(default=lambda x: x, compare=False, repr=False)
    unit: str = 'second'
    coded: bool = False  # a time written as a plain number
    clocked: bool = False  # a time of day in every cell, though no colon
    coarse: bool = False  # a time that names a week or more
    fine: str = ''  # a regular expression of what is finer than a microsecond
    decimal: str = '.'
    group: str = ''
    affix: str = ''
    repair: str = ''
    form: str = ''  # the format of a date that a clock may follow
    quick: str = field(default='', compare=False)
    quick_form: str = field(default='', compare=False)
    others: tuple['Reading', ...] = field(default=(), compare=False)

    def matches(self, cell: str) -> bool:
        """Whether a cell has the shape."""
        return _compiled(self.shape).fullmatch(cell) is not None

    def fits(self, x: str) -> str:
        """SQL: whether the text `x` has the shape, or that of one of the others."""
        any_of = ' OR '.join(f'regexp_full_match({x}, {duck.text(r.shape)})' for r in (self, *self.others))
        return f'({any_of})'

    def read(self, x: str) -> str:
        """SQL: the value of `x`, NULL when it cannot be read."""
        return self._chosen(x, lambda reading: reading.value(x))

    def read_naive(self, x: str) -> str:
        """SQL: the value of `x` in a column where no cell names an instant."""
        return self._chosen(x, lambda reading: (reading.naive or reading.value)(x))

    def read_instant(self, x: str) -> str | None:
        """SQL: the instant of `x` as a TIMESTAMP in UTC, NULL when it names none; None when no cell can."""
        if not any(reading.instant for reading in (self, *self.others)):
            return None
        return self._chosen(x, lambda reading: reading.instant(x) if reading.instant else 'NULL::TIMESTAMP')

    def plain(self, x: str) -> str:
        """SQL: a number in the form that DuckDB casts, NULL when it is none."""
        return self._chosen(x, lambda reading: reading.bare(x))

    def repaired(self, x: str) -> str:
        """SQL: the repair by which `x` is read, NULL when it is written as its column or cannot be read."""
        return self._chosen(x, lambda reading: duck.text(reading.repair) if reading.repair else 'NULL::VARCHAR')

    def _chosen(self, x: str, sql: Callable[['Reading'], str]) -> str:
        """SQL: what `sql` makes of the first reading whose shape `x` has."""
        cases = ' '.join(
            f'WHEN regexp_full_match({x}, {duck.text(reading.shape)}) THEN {sql(reading)}'
            for reading in (self, *self.others)
        )
        return f'CASE {cases} END'

    # the cheap test

    def quickly(self, cell: str) -> str | None:
        """SQL: the value of a raw cell in the commonest form, NULL when it is written otherwise; None without one.

        A number gives a DOUBLE, a time a TIMESTAMP (in UTC when it `is_quick_instant`).
        """
        if self == PLAIN:
            # The cast also takes blanks at either end, `1_000`, `inf` and `nan`; `isfinite` sees to the last two.
            tight = f"{cell} >= '-' AND {cell} < ':' AND {cell}[-1] >= '.' AND NOT contains({cell}, '_')"
            return f'CASE WHEN {tight} THEN TRY_CAST({cell} AS DOUBLE) END'
        if not self.quick:
            return None
        read = f'TRY_CAST({cell} AS TIMESTAMP)'
        if self.is_quick_instant:
            read = f'make_timestamp(epoch_us(TRY_CAST({cell} AS TIMESTAMPTZ)))'
        elif self.quick_form:
            read = f'try_strptime({cell}, {duck.text(self.quick_form)})'
        return f'CASE WHEN regexp_full_match({cell}, {duck.text(self.quick)}) THEN {read} END'

    @property
    def is_quick_instant(self) -> bool:
        """Whether the commonest form names an instant."""
        return self.quick.endswith(('Z', _SIGNED_OFFSET))

    def quickened(self, cells: Sequence[str]) -> 'Reading':
        """This reading with the form that most of these cells have, when there is a cheap test for it."""
        if self != ISO and not self.form:
            return self
        skeletons = Counter(re.sub(r'[0-9]', '0', cell) for cell in cells)
        for skeleton, _ in skeletons.most_common(1):
            if self == ISO and (found := _QUICK_ISO.fullmatch(skeleton)):
                zone = '' if not found['zone'] else 'Z' if found['zone'] == 'Z' else _SIGNED_OFFSET
                return replace(self, quick=_digits(found['wall']) + zone)
            forms = _quick_forms(self.form) if self.form else {}
            if skeleton in forms:
                return replace(self, quick=_digits(skeleton), quick_form=forms[skeleton])
        return self


_SIGNED_OFFSET: Final = r'[+\-](?:0\d|1[0-5]):[0-5]\d'
_QUICK_ISO: Final = re.compile(
    r'(?P<wall>0000-00-00(?:[T ]00:00(?::00(?:\.000(?:000)?)?)?)?)(?P<zone>(?:(?<=:00)|(?<=\.000)|(?<=\.000000))'
    r'(?:Z|[+-]00:00))?'
)


def _digits(skeleton: str) -> str:
    """A regular expression of the cells that have this skeleton, in which 0 stands for a digit."""
    return re.sub('0+', lambda run: rf'\d{{{len(run[0])}}}', re.escape(skeleton))


@cache
def _quick_forms(date: str) -> dict[str, str]:
    """Return the formats of dates written in full, alone and with a clock, by their skeletons."""
    bare = date.replace('%Y', '0000').replace('%y', '00').replace('%d', '00').replace('%m', '00')
    clocks = {'': '', ' 00:00': ' %H:%M', ' 00:00:00': ' %H:%M:%S', 'T00:00:00': 'T%H:%M:%S'}
    return {bare + written: date + form for written, form in clocks.items()}


@cache
def _compiled(shape: str) -> re.Pattern[str]:
    return re.compile(shape, re.ASCII)


def trimmed(column: str) -> str:
    """SQL: a cell without the blanks around it, NULL when nothing is left."""
    around = duck.text(f'^[{BLANK}]|[{BLANK}]$')
    bare = f'trim({column}, {duck.text(BLANK)})'
    # Most cells begin and end with a printable character of ASCII: to compare two bytes is cheaper than a search.
    tight = f"{column} >= '!' AND {column} < '\x7f' AND {column}[-1] >= '!' AND {column}[-1] < '\x7f'"
    slow = f"nullif(CASE WHEN regexp_matches({column}, {around}) THEN {bare} ELSE {column} END, '')"
    return f'CASE WHEN {tight} THEN {column} ELSE {slow} END'


def present(x: str) -> str:
    """SQL: a trimmed cell, NULL when it spells a missing value."""
    # A regular expression, because DuckDB turns a long IN list into a join, one for each column.
    spelled = duck.text(f'(?i)(?:{"|".join(re.escape(word) for word in MISSING)})')
    longest = max(len(word.encode()) for word in MISSING)
    other = f'strlen({x}) > {longest} OR NOT contains({duck.text(_MISSING_STARTS)}, {x}[1])'
    return f'CASE WHEN {other} OR NOT regexp_full_match({x}, {spelled}) THEN {x} END'


def is_missing(cell: str) -> bool:
    """Whether a trimmed cell is empty or spells a missing value."""
    return not cell or cell.lower() in MISSING


# numbers


def number(*, decimal: str = '.', group: str = '', affix: str = '') -> Reading:
    """Numbers with this decimal mark and thousands separator.

    `affix` is a currency sign before or after; `%` that every cell has; `()` for minus signs of accountants; or `KMB`
    for thousands, millions and billions. A percentage keeps the figure as written: `12.5%` is 12.5.
    """
    body = _body(decimal, group)
    shape = rf'[+\-−]?{body}'
    if affix == '%':
        shape = rf'{shape} ?%'
    elif affix == '()':
        shape = rf'(?:{shape}|\({body}\)|{body} ?-)'
    elif affix == 'KMB':
        shape = rf'{shape} ?[KkMmBbTt]?'
    elif affix:
        sign = re.escape(affix)
        shape = rf'(?:[+\-−]?(?:{sign} ?)?[+\-−]?{body}(?: ?{sign})?|\((?:{sign} ?)?{body}\))'
    return _number(f'number {decimal}{group}{affix}', shape, decimal=decimal, group=group, affix=affix)


def measured(unit: str, *, decimal: str = '.', group: str = '') -> Reading:
    """Numbers with this unit behind each, such as `12.5 kg`."""
    shape = rf'[+\-−]?{_body(decimal, group)} ?{re.escape(unit)}'
    name = f'number {decimal}{group} {unit}'
    return _number(name, shape, decimal=decimal, group=group, affix=unit, strip=len(unit))


def _body(decimal: str, group: str) -> str:
    digits = rf'(?:\d{{1,3}}(?:{re.escape(group)}\d{{3}})+|\d+)' if group else r'\d+'
    mark = re.escape(decimal)
    return rf'(?:{digits}(?:{mark}\d*)?|{mark}\d+)(?:[eE][+-]?\d+)?'


def _number(name: str, shape: str, *, decimal: str, group: str, affix: str, strip: int = 0) -> Reading:
    def bare(x: str) -> str:
        kept = f'rtrim(left({x}, length({x}) - {strip}))' if strip else x
        return _plain_number(kept, decimal=decimal, group=group, affix='' if strip else affix)

    return Reading(
        family='number',
        name=name,
        shape=shape,
        bare=bare,
        value=lambda x: _finite(bare(x)),
        decimal=decimal,
        group=group,
        affix=affix,
    )


def _plain_number(x: str, *, decimal: str, group: str, affix: str) -> str:
    """SQL: a number as written, in the form that DuckDB casts."""
    plain = x
    if affix not in ('', '()', 'KMB'):
        plain = f'replace({plain}, {duck.text(affix)}, {duck.text("")})'
    if group:
        plain = f'replace({plain}, {duck.text(group)}, {duck.text("")})'
    if decimal != '.':
        plain = f'replace({plain}, {duck.text(decimal)}, {duck.text(".")})'
    if affix == 'KMB':
        powers = "WHEN 'k' THEN 'e3' WHEN 'm' THEN 'e6' WHEN 'b' THEN 'e9' WHEN 't' THEN 'e12'"
        letter = f"lower(regexp_extract({plain}, '[A-Za-z]$'))"
        plain = f"rtrim({plain}, 'KkMmBbTt ') || CASE {letter} {powers} ELSE '' END"
    elif affix and affix != '%':
        plain = (
            f"CASE WHEN {plain}[1] = '(' THEN '-' || trim({plain}, '() ') "
            f"WHEN {plain}[-1] = '-' THEN '-' || rtrim({plain}, '- ') ELSE {plain} END"
        )
    # A minus sign of typographers is three bytes long: text without it is left alone.
    return f"replace(replace({plain}, '−', '-'), ' ', '')" if affix else f"replace({plain}, '−', '-')"


def _finite(plain: str) -> str:
    number = f'TRY_CAST({plain} AS DOUBLE)'
    return f'CASE WHEN isfinite({number}) THEN {number} END'


PLAIN: Final = number()
GROUPS: Final = (',', '.', ' ', '\u00a0', '\u202f', "'", '’')
SIGNS: Final = ('$', '€', '£', '¥', '₹', '₩', '₽', 'US$', 'R$', 'EUR', 'USD', 'GBP', 'CHF', 'Fr.', 'Rs.', 'kr', 'zł')
_UNIT_NAME: Final = r'[A-Za-zµμΩ°℃℉‰][A-Za-zµμΩ°²³/·^0-9-]{0,11}'
_UNIT: Final = re.compile(
    r"[+\-−]?(?:\d[\d.,' \u00a0\u202f’]*?|[.,]\d+)(?:[eE][+-]?\d+(?= ?[^\d.,]))?(?P<gap> ?)(?P<unit>" + _UNIT_NAME + ')'
)
_KNOWN_UNITS: Final = re.compile(
    'kg|g|mg|[µμu]g|t|lbs?|oz|[kcm]?m|[µμ]m|mi|ft|yd|in|nm|[°]?[CF]|℃|℉|°|K|s|sec|ms|[µμ]s|ns|min|h|hrs?|[mk]?V|m?A|'
    '[mkMG]?W|[kMG]?Wh|k?VA|[kMG]?J|[hkM]?Pa|m?bar|psi|atm|[kMG]?Hz|[mcdh]?[lL]|c?m[²³23]|km[²2]|ha|km/h|mph|m/s|kn|kt|'
    'pp[mb]|‰|dBm?|lx|lm|cd|mol|mmol/[lL]|(?:m|[µμu])?g/(?:[lL]|m[³3])|NTU|rpm|bpm|k?cal|[kKMGT]?B|bit|px|[kM]?Ω|µF|k?N|'
    'Nm|[kMG]?bps|x|pp|bps?'
)
"""Units that may follow a number without a blank; behind a blank any word may."""


def numbers_like(cells: Sequence[str], *, decimal: str) -> list[Reading]:
    """Return the number readings that these cells suggest, the plainest first."""
    text = '\n'.join(cells)
    groups = ['', *(mark for mark in GROUPS if mark in text and mark != decimal)]
    affixes = ['', *(sign for sign in SIGNS if sign in text)]
    affixes += ['%'] if '%' in text else []
    affixes += ['()'] if _ACCOUNTED.search(text) else []
    units = [*_units(cells)]
    # Volumes in K, M and B; M alone is millions too, while K alone may be kelvin and B bytes.
    powers = set(units) <= _POWERS and (len({unit.lower() for unit in units}) > 1 or units == ['M'])
    affixes += ['KMB'] if powers else []
    found = [number(decimal=decimal, group=group, affix=affix) for group in groups for affix in affixes]
    known = [] if powers else units[:2]
    return found + [measured(unit, decimal=decimal, group=group) for unit in known for group in groups]


_MARKS: Final = frozenset('bcdefnprsuz')
_POWERS: Final = frozenset('KkMmBbTt')
_ACCOUNTED: Final = re.compile(r'(?m)^\(|\d ?-$')


def _units(cells: Sequence[str]) -> dict[str, int]:
    """Return the units behind numbers, the commonest first, and how many cells have them."""
    found: Counter[str] = Counter()
    for cell in cells:
        match = _UNIT.fullmatch(cell)
        if (
            match
            and match['unit'] not in SIGNS
            and (match['gap'] or match['unit'] in _POWERS or _KNOWN_UNITS.fullmatch(match['unit']))
        ):
            found[match['unit']] += 1
    return dict(found.most_common())


def odd_numbers(cells: Sequence[str], main: Reading) -> list[Reading]:
    """Return readings of numbers that are written otherwise than their column, which can mean one thing only.

    `1,234` among numbers with a decimal point may be 1234 or 1.234, and `5%` may be 5 or 0.05: they are in none.
    """
    bare = number(decimal=main.decimal, group=main.group)
    signs = [sign for sign in SIGNS if any(sign in cell for cell in cells)]
    units = list(_units(cells))
    # Offices of statistics mark a figure as provisional, estimated or broken by a letter behind it.
    units = units if len(units) > 1 and set(units) <= _MARKS else units[:1]
    # One unit among bare numbers is theirs; another one among units is another size.
    units = units if main.affix in ('', '%', '()', *SIGNS) else []
    known = [
        *(replace(reading, repair='number_format') for reading in _written_otherwise(main)),
        *(replace(number(decimal=main.decimal, affix=sign), repair='number_format') for sign in (*signs, '()')),
        *(replace(measured(unit, decimal=main.decimal), repair='unit') for unit in units),
        *(replace(reading, repair='unit') for unit in units for reading in _written_otherwise(main, unit=unit)),
    ]
    if main.affix and main.affix not in ('%', 'KMB'):
        known.insert(0, replace(bare, repair='number_format' if main.affix in (*SIGNS, '()') else 'unit'))
    fitting = [r for r in known if r != main and any(r.matches(c) and not main.matches(c) for c in cells)]
    return fitting[:6]


def _written_otherwise(main: Reading, *, unit: str = '') -> list[Reading]:
    """Numbers with other marks than the column's, of a shape that leaves no doubt about which mark is which; with a
    unit behind, when one is given."""
    behind, strip = (f' ?{re.escape(unit)}', len(unit)) if unit else ('', 0)
    found = []
    for decimal in '.,':
        for group in ('', *GROUPS):
            if group == decimal or (decimal, group) == (main.decimal, main.group):
                continue
            mark, other = re.escape(decimal), re.escape(group)
            sole = rf'\d+{mark}(?:\d{{1,2}}|\d{{4,}})|0{mark}\d+|\d{{4,}}{mark}\d+'
            if group in ('', '.', ','):
                grouped = rf'\d{{1,3}}(?:{other}\d{{3}})+{mark}\d+|\d{{1,3}}(?:{other}\d{{3}}){{2,}}'
            else:
                grouped = rf'\d{{1,3}}(?:{other}\d{{3}})+(?:{mark}\d+)?'
            shape = rf'[+\-−]?(?:{grouped if group else sole}){behind}'
            name = f'number {decimal}{group} {unit} for certain'
            found.append(_number(name, shape, decimal=decimal, group=group, affix='', strip=strip))
    return found


def decimal_votes(cells: Sequence[str]) -> tuple[int, int]:
    """Count the cells that can only have a decimal point, and those that can only have a decimal comma."""
    bare = [_BLANK_GROUPS.sub('', cell) for cell in cells]
    return sum(bool(_POINT.fullmatch(cell)) for cell in bare), sum(bool(_COMMA.fullmatch(cell)) for cell in bare)


def _only(mark: str, other: str) -> re.Pattern[str]:
    around = r'[$€£¥%() +\-−]*'
    sole = rf'\d+{mark}(?:\d{{1,2}}|\d{{4,}})(?:[eE][+-]?\d+)?|0{mark}\d+|\d{{4,}}{mark}\d*'
    grouped = rf'\d{{1,3}}(?:{other}\d{{3}})+{mark}\d+|\d{{1,3}}(?:{other}\d{{3}}){{2,}}'
    return re.compile(rf'{around}(?:{sole}|{grouped}){around}(?: ?{_UNIT_NAME})?', re.ASCII)


_BLANK_GROUPS: Final = re.compile(r"(?<=\d)[ \u00a0\u202f'’](?=\d{3}(?!\d))")
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
    _words(true=('ja', 'wahr'), false=('nein', 'falsch')),
    _words(true=('oui', 'vrai'), false=('non', 'faux')),
    _words(true=('sí', 'si', 'verdadero'), false=('no', 'falso')),
)

# times


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
    parts = duck.text(r'([+-])(\d{2}):?(\d{2})?(?:\[.*)?$')
    sign, hours, minutes = (f'regexp_extract({x}, {parts}, {place})' for place in (1, 2, 3))
    ahead = f'CAST({hours} AS BIGINT) * 60 + coalesce(TRY_CAST({minutes} AS BIGINT), 0)'
    # No clock is further from UTC than this, and what is further is no offset.
    signed = (
        f"CASE WHEN {hours} < '16' AND {minutes} < '60' THEN CASE {sign} WHEN '-' THEN -1 ELSE 1 END * ({ahead}) END"
    )
    named = ' '.join(f"WHEN '{zone}' THEN {ahead}" for zone, ahead in _ZONES.items())
    letters = f"regexp_extract({x}, ' ([A-Z]+)(?:\\[.*)?$', 1)"
    return wall, f"to_minutes(CASE WHEN {sign} <> '' THEN {signed} ELSE coalesce(CASE {letters} {named} END, 0) END)"


def zone_of(x: str) -> str:
    """SQL: the zone or the offset that a time names as it is shown: `UTC`, `+02:00`, `Europe/Berlin`, `CET`, or ''."""
    place = f"regexp_extract({x}, '\\[([A-Za-z_/+-]+)\\]$', 1)"
    offset = f"regexp_extract({x}, '([+-])(\\d{{2}}):?(\\d{{2}})?(?:\\[.*)?$', ['s', 'h', 'm'])"
    signed = "o.s || o.h || ':' || coalesce(nullif(o.m, ''), '00')"
    word = f"regexp_extract({x}, '(?:[Zz]|UTC|GMT|[A-Z]{{3,4}})$')"
    return f"""(SELECT CASE WHEN p <> '' THEN p WHEN o.s <> '' THEN {signed}
        WHEN upper(w) IN ('Z', 'UTC', 'GMT') THEN 'UTC' ELSE w END
        FROM (SELECT {place} AS p, {offset} AS o, {word} AS w))"""


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
    name='YYYY-MM-DD',
    shape=rf'\d{{4}}-\d{{1,2}}-\d{{1,2}}(?:[Tt ]{{1,2}}{_CLOCK}(?:{OFFSET})?)?',
    value=_iso_value,
    naive=_iso_wall,
    instant=_iso_instant,
)


def _dated(name: str, date: str, shape: str, *, clock: str = rf'(?:{_CLOCK}|{_CLOCK_12})') -> Reading:
    """A date in some order, alone or with a clock of 24 or 12 hours, which an offset may follow."""

    def wall(x: str) -> str:
        return _strptime(_spaced(x), _clocks(date))

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
        return lambda x: read(f"regexp_replace({x}, ' [-–] .*$', '')")

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
        return f'CASE WHEN {first} IS NULL THEN {second} WHEN coalesce({second} = {first}, true) THEN {first} END'

    return Reading(family='time', name=f'{day.name} or {month.name}', shape=day.shape, value=value)


def month_of(word: str) -> int | None:
    """Return the number of the month that a word in small letters names, None when it names none."""
    return next((month for month, names in _MONTHS.items() if word in names.split()), None)


def month_number(word: str) -> str:
    """SQL: the number of the month that a word names."""
    cases = ' '.join(
        f'WHEN {word} IN ({", ".join(duck.text(name) for name in names.split())}) THEN {month}'
        for month, names in _MONTHS.items()
    )
    return f'CASE {cases} END'


def _named(name: str, shape: str, places: tuple[int, int, int], *, coarse: bool = False, clock: int = 0) -> Reading:
    """A date with the month's name; `places` are the groups of year, month and day in `shape`, 0 where there is none.

    A clock may follow, with an offset; `clock` is its group when it stands inside.
    """
    tail = '' if coarse or clock else rf'(?:[ ,T:]{{1,2}}({_CLOCK}|{_CLOCK_12}))?'
    whole = rf'(?i){_WEEKDAY}{shape}{tail}'
    last = clock or re.compile(whole).groups
    year, month, day = places

    def wall(x: str) -> str:
        part = [f'regexp_extract({x}, {duck.text(f"^{whole}$")}, {place})' for place in (year, month, day, last)]
        century = f"CASE WHEN strlen({part[0]}) = 4 THEN '' WHEN {part[0]} < '69' THEN '20' ELSE '19' END"
        y = f'{century} || {part[0]}'
        d = part[2] if day else "'1'"
        word = f"rtrim(lower({part[1]}), '.')"
        date = f"{y} || '-' || ({month_number(word)}) || '-' || {d}"
        return _strptime(date if coarse else _spaced(f"trim({date} || ' ' || {part[3]})"), _clocks('%Y-%m-%d'))

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
    _epoch('s', r'[1-9]\d{8,9}(?:\.\d{1,9})?', '* 1000000', _FINE),
    _epoch('ms', r'[1-9]\d{11,12}(?:\.\d{1,6})?', '* 1000', '[.][0-9]{3}[0-9]*[1-9]'),
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


def _compact_wall(x: str) -> str:
    forms = ('%Y%m%d%H%M%S', '%Y%m%d%H%M', '%Y%m%d%H%M%S.%f', '%Y%m%d%H')
    return _strptime(f"replace(replace(replace({x}, 'T', ''), ' ', ''), ',', '.')", forms)


_compact_value, _compact_instant = _zoned(_compact_wall)
_COMPACT_DAY: Final = COMPACT.shape
COMPACT_CLOCK: Final = Reading(
    family='time',
    name='YYYYMMDDHHMMSS',
    shape=rf'{_COMPACT_DAY}(?:[T ]?(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d(?:[.,]\d{{1,9}})?)?|[T ](?:[01]\d|2[0-3]))',
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
    shape=r'\d{4}-\d{2}-\d{2}[T ](?:[01]\d|2[0-3])',
    value=lambda x: f"try_strptime(replace({x}, 'T', ' '), '%Y-%m-%d %H')",
    clocked=True,
)

_DAY: Final = r'(\d{1,2})(?:st|nd|rd|th|er|º|\.)?'
_GAP: Final = r'(?:[ ./,-]{1,2}| de | del | of )'
TIMES: Final[tuple[Reading, ...]] = (
    ISO,
    _until(ISO),
    _dated('YYYY-MM-DD, 12 hours', '%Y-%m-%d', r'\d{4}-\d{1,2}-\d{1,2}', clock=_CLOCK_12),
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


def odd_times(cells: Sequence[str], main: Reading) -> list[Reading]:
    """Return readings of times that are written otherwise than their column, which can mean one thing only.

    A date whose day and month could be exchanged is in none, unless enough of its kind tell which comes first; nor is a
    time that names a week or more.
    """
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


def twin(reading: Reading) -> Reading | None:
    """Return the reading with day and month exchanged, for one in which they can be told apart only by their sizes."""
    for pair in ORDERS:
        if reading in pair:
            return pair[1] if reading == pair[0] else pair[0]
    return None


TEXT: Final = Reading(family='text', name='text')
