"""Frequencies: what step a series has, and the stamps that lie on it.

Names follow pandas' offset aliases (`h`, `15min`, `D`, `B`, `W-SUN`, `MS`, `ME`, `QS`, `YS` …).
"""

import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from core.errors import UsageError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

SECOND = 1_000_000
DAY = 86_400 * SECOND
WEEKDAYS = ('MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT', 'SUN')
FIXED = (('D', DAY), ('h', 3600 * SECOND), ('min', 60 * SECOND), ('s', SECOND), ('ms', 1000))
ALIASES = {
    'M': 'ME', 'Q': 'QE', 'Y': 'YE', 'A': 'YE', 'AS': 'YS', 'H': 'h', 'T': 'min', 'S': 's', 'd': 'D', 'L': 'ms',
    'hour': 'h', 'day': 'D', 'week': 'W', 'month': 'MS', 'quarter': 'QS', 'year': 'YS',
}  # fmt: skip
MONTHS = {'MS': 1, 'ME': 1, 'QS': 3, 'QE': 3, 'YS': 12, 'YE': 12}
NAME = re.compile(r'(\d{0,9})([A-Za-z]+)(?:-([A-Za-z]{3}))?')
YEAR = 365.2425 * DAY
LONGEST = 7000  # years from today to about the last one that a date has
MOST_STEPS_A_POINT = 20
"""A grid may hold this many steps a point: beyond, the step was read from stray stamps."""

REGULAR = 0.9
"""Of regular stamps, at least so many distances are multiples of the commonest one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The distance between two stamps: `size` months, business days, or microseconds."""

    name: str
    unit: Literal['month', 'business', 'fixed']
    size: int
    season_length: int

    @property
    def long_season(self) -> int:
        """The second season: a week, where the first is a day; else 0."""
        if self.unit == 'fixed' and self.size < DAY and self.season_length * self.size == DAY:
            return 7 * self.season_length
        return 0

    @property
    def years(self) -> float:
        """About how many years a step takes."""
        return self.size / {'month': 12, 'business': 261, 'fixed': YEAR}[self.unit]

    def positions(self, stamps: Array, origin: np.datetime64) -> tuple[Array, Array]:
        """Return each stamp's whole number of steps from `origin` and how far off that it is (share of a step)."""
        if self.unit == 'month':
            months = (_month(stamps) - _month(np.array([origin]))[0]) / self.size
            place = np.rint(months).astype(np.int64)
            off_day = np.abs(stamps - self.after(origin, place)) > np.timedelta64(3 * DAY, 'us')
            return place, np.maximum(np.abs(months - place), 0.2 * off_day)
        if self.unit == 'business':
            days = stamps.astype('datetime64[D]')
            place = np.busday_count(origin.astype('datetime64[D]'), days) // self.size
            return place.astype(np.int64), np.where(np.is_busday(days), 0.0, 0.5)
        steps = (stamps - origin).astype(np.int64) / self.size
        place = np.rint(steps).astype(np.int64)
        return place, np.abs(steps - place)

    def after(self, origin: np.datetime64, places: Array) -> Array:
        """Return the stamps that lie `places` steps from `origin`."""
        if self.unit == 'month':
            return _add_months(origin, places * self.size)
        if self.unit == 'business':
            day = np.busday_offset(origin.astype('datetime64[D]'), places * self.size, roll='backward')
            return np.asarray(day.astype('datetime64[us]') + (origin - origin.astype('datetime64[D]')))
        return np.asarray(origin + (places * self.size).astype('timedelta64[us]'))


def parse(name: str, *, h: int = 1) -> Step:
    """Return the step that a frequency name such as `MS`, `W-SUN` or `15min` means. Raise UsageError for others, and
    for steps so long that `h` of them pass any date."""
    step = _named(name)
    if step.years * h > LONGEST:
        many = f'1 step of "{name}" takes' if h == 1 else f'{h:,} steps of "{name}" take'
        raise UsageError(f'{many} more than {LONGEST:,} years. Name a finer frequency or a shorter horizon.')
    return step


def _named(name: str) -> Step:
    match = NAME.fullmatch(name.strip())
    if match is None:
        raise _unknown(name)
    times, unit, anchor = int(match[1] or 1), match[2], (match[3] or '').upper()
    unit = ALIASES.get(unit, unit)
    if times < 1 or (anchor and unit not in ('W', 'QS', 'QE', 'YS', 'YE')):
        raise _unknown(name)
    if unit in MONTHS:
        return _months(MONTHS[unit] * times, name=name)
    if unit == 'B':
        return Step(name=name, unit='business', size=times, season_length=5 if times == 1 else 1)
    if unit == 'W' and (not anchor or anchor in WEEKDAYS):
        return _fixed(7 * DAY * times, name=name)
    sizes = dict(FIXED)
    if unit not in sizes:
        raise _unknown(name)
    return _fixed(sizes[unit] * times, name=name)


def infer(stamps: Array) -> Step | None:
    """Return the step of sorted, distinct stamps (datetime64[us]), or None for fewer than two.

    Months are found from their first or last days even with gaps; otherwise the commonest distance decides. Days that
    come now after two, now after three, as Mondays, Wednesdays and Fridays do, are days: no value shares a step then.
    """
    if len(stamps) < 2:
        return None
    gaps = np.diff(stamps).astype(np.int64)
    if gaps.min() >= 27 * DAY and (monthly := _infer_months(stamps)) is not None:
        return monthly
    sizes, counts = np.unique(gaps, return_counts=True)
    size = int(sizes[counts.argmax()])
    if counts.max() * 2 < len(gaps):
        median = int(np.median(gaps))
        size = median if abs(size - median) > 0.1 * median else size
    span = int((stamps[-1] - stamps[0]).astype(np.int64))
    if span // size > MOST_STEPS_A_POINT * len(stamps):
        size = max(int(np.median(gaps)), span // (MOST_STEPS_A_POINT * len(stamps)))
    size = _tidy(size)
    if DAY < size < 7 * DAY and not (gaps % DAY).any() and (gaps % size == 0).mean() < REGULAR:
        size = DAY
    if (
        size == DAY
        and len(stamps) >= 6
        and bool(np.all(np.is_busday(stamps.astype('datetime64[D]'))))
        and span > 7 * DAY
    ):
        return Step(name='B', unit='business', size=1, season_length=5)
    return _fixed(size, weekday=int(((stamps[-1].astype('datetime64[D]').astype(np.int64)) + 3) % 7))


def _infer_months(stamps: Array) -> Step | None:
    days = stamps.astype('datetime64[D]')
    months = days.astype('datetime64[M]')
    day = (days - months.astype('datetime64[D]')).astype(np.int64)
    end = ((months + 1).astype('datetime64[D]') - days).astype(np.int64) == 1
    if not ((day == day[-1]) | (end & (end[-1] | (day[-1] > 27)))).all():
        return None
    size = int(np.gcd.reduce(np.diff(months).astype(np.int64)))
    size = max(part for part in (1, 2, 3, 4, 6, 12) if size % part == 0)
    suffix = 'E' if end.all() else 'S'
    return _months(size, name={1: f'M{suffix}', 3: f'Q{suffix}', 12: f'Y{suffix}'}.get(size, f'{size}M{suffix}'))


def _months(size: int, *, name: str) -> Step:
    return Step(name=name, unit='month', size=size, season_length=12 // size if 12 % size == 0 else 1)


def _fixed(size: int, *, name: str | None = None, weekday: int | None = None) -> Step:
    if name is None and size == 7 * DAY:
        name = f'W-{WEEKDAYS[weekday]}' if weekday is not None else 'W'
    return Step(name=name or _name(size), unit='fixed', size=size, season_length=_season(size))


def _season(size: int) -> int:
    """Return the steps of the season that a fixed step shows first: a minute, an hour, a day, a week or a year."""
    if size >= 7 * DAY:
        return 52 if size == 7 * DAY else 1
    if size >= DAY:
        return 7 if size == DAY else 1
    for period in (DAY, 3600 * SECOND, 60 * SECOND):
        if period % size == 0 and period // size <= 288:
            return period // size
    return 1


def _name(size: int) -> str:
    for unit, length in FIXED:
        if size % length == 0:
            times = size // length
            return unit if times == 1 else f'{times}{unit}'
    return f'{size}us'


def _tidy(size: int) -> int:
    """Return the size rounded to whole days, hours, minutes or seconds, when that moves it by less than 5%."""
    for _, length in FIXED[:4]:
        rounded = round(size / length) * length
        if rounded and abs(rounded - size) <= 0.05 * size:
            return rounded
    return size


def _month(stamps: Array) -> Array:
    return stamps.astype('datetime64[M]').astype(np.int64)


def _add_months(origin: np.datetime64, months: Array) -> Array:
    """Return `origin` moved by whole months: a last day stays a last day."""
    day = origin.astype('datetime64[D]')
    month = day.astype('datetime64[M]')
    target = month + months
    inside = (day - month.astype('datetime64[D]')).astype(np.int64)
    length = ((target + 1).astype('datetime64[D]') - target.astype('datetime64[D]')).astype(np.int64)
    is_end = day + np.timedelta64(1, 'D') == (month + 1).astype('datetime64[D]')
    inside = length - 1 if is_end else np.minimum(inside, length - 1)
    return np.asarray((target.astype('datetime64[D]') + inside).astype('datetime64[us]') + (origin - day))


def _unknown(name: str) -> UsageError:
    return UsageError(f'"{name}" is no frequency. Use a name such as h, 15min, D, B, W-SUN, MS, QS or YS.')
