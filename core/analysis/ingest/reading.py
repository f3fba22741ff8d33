"""A reading: one way in which the cells of a column are read, as a shape and as SQL.

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
    'undefined', 'k.a.', 'k. a.', 'keine angabe', '#value!', '#div/0!', '#ref!', '#name?', '#num!', '#null!',
)  # fmt: skip
_MISSING_STARTS: Final = ''.join(sorted({mark for word in MISSING for mark in (word[0], word[0].upper())}))
ISO_NAME: Final = 'YYYY-MM-DD'
"""What the reading of ISO 8601 is called."""


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
    bare_cast: bool = False  # a number in the form that DuckDB casts
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
        if self.bare_cast and not self.repair:
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
        is_iso = self.name == ISO_NAME and not self.repair
        if not is_iso and not self.form:
            return self
        skeletons = Counter(re.sub(r'[0-9]', '0', cell) for cell in cells)
        for skeleton, _ in skeletons.most_common(1):
            if is_iso and (found := _QUICK_ISO.fullmatch(skeleton)):
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


TEXT: Final = Reading(family='text', name='text')
