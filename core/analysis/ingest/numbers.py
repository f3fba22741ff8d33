"""Numbers: the marks, signs and units with which they are written, and truth values."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from core.analysis import duck
from core.analysis.ingest.reading import Reading

MOST_SCALE: Final = 6
MOST_DIGITS: Final = 18


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
        shape = rf'(?:[+\-−]?(?:{sign} ?)?[+\-−]?{body}(?: ?{sign})?|\((?:{sign} ?)?{body}(?: ?{sign})?\))'
    made = _number(f'number {decimal}{group}{affix}', shape, decimal=decimal, group=group, affix=affix)
    return replace(made, bare_cast=decimal == '.' and not group and not affix)


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


_NAMED: Final = re.compile(
    rf'(?:{_KNOWN_UNITS.pattern}|[kMGT]?W[hp]?|[kMGT]Wh|[kM]?VAr?|[kM]?var|[kM]?(?:EUR|USD|GBP|CHF|€|\$|£)|T€|TEUR|%|ct|'
    r'deg ?[CF]|degrees?|days?|hours?|minutes?|mins|secs?|seconds?|inch(?:es)?|feet|miles|pcs|Stk|Stück|t ?CO2e?)'
    r'(?:\^?-?[1-4]|[²³])?'
)
_BARE: Final = re.compile(
    r'[kMGT]?Wh|[kMG]W|kWp|[kM]?VAr|°[CF]|℃|km/h|m/s|mph|[hkM]Pa|m?bar|km|kg|mm|cm|[kMG]?Hz|kV|k?VA|%|€|\$|£|EUR|USD|GBP|CHF|'
    r'ppm|ppb|W/m[²2]|(?:m|[µμu])g/(?:l|m[³3])|m[³3](?:/[hs])?|l/(?:s|min|h)|(?:EUR|€|USD|\$|£|ct)/[kMG]?Wh'
)
_BRACKETS: Final = re.compile(r'[\[(] ?([^\[\]()]{1,14}?) ?[\])]$')


def unit_in(name: str) -> str:
    """Return the unit that ends the name of a column: `Load [MW]`, `Wind (m/s)`, `Leistung kW`; '' for none.

    What can be something else is none: `Temp (min)` is a minimum, and `x (t)` is x at the time t.
    """
    bare = name.strip()
    if found := _BRACKETS.search(bare):
        unit = found[1]
        known = all(_NAMED.fullmatch(part) for part in re.split(r'[/·*]', unit))
        return unit if known and unit not in ('x', 'B', 't', 'n', 'T', 'min') else ''
    head, _, last = bare.rpartition(' ')
    return last if head and _BARE.fullmatch(last) else ''


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
        *(replace(r, repair='number_format') for sign in signs for r in _written_otherwise(main, unit=sign)),
        *(replace(measured(unit, decimal=main.decimal, group=main.group), repair='unit') for unit in units),
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
