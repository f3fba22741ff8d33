"""How values, steps and dates of data are written on pages, in the number format of the page's user.

Dates of data stay in UTC, as charts draw them; amounts and ages are in `times`.
"""

import math
from datetime import datetime
from typing import Any

from ui.preferences import written

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
STEPS = {
    'YS': 'yearly', 'YE': 'yearly', 'QS': 'quarterly', 'QE': 'quarterly', 'MS': 'monthly', 'ME': 'monthly',
    'W': 'weekly', 'D': 'daily', 'B': 'every business day', 'h': 'hourly', 'min': 'every minute', 's': 'every second',
}  # fmt: skip


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun, such as `1 series` or `12 faults`."""
    return f'{written(f"{number:,}")} {one if number == 1 else many or one + "s"}'


def number(value: Any) -> str:
    """Return a value in at most five significant figures, with a true minus sign."""
    if value is None:
        return '–'
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if not math.isfinite(value):
        return '–'
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e15):
        text = f'{int(value):,}'
    elif 1e-4 <= abs(value) < 1e9:
        places = max(0, min(6, 4 - math.floor(math.log10(abs(value)))))
        text = f'{value:,.{places}f}'
        text = text.rstrip('0').rstrip('.') if '.' in text else text
    else:
        text = f'{value:.3g}'
    return written(text).replace('-', '−')


def percent(share: float | None, places: int = 1) -> str:
    """Return a share of 1 as a percentage."""
    return '–' if share is None else f'{written(f"{100 * share:.{places}f}")}%'


def length(seconds: float | None) -> str:
    """Return a length of time in its largest fitting unit, such as `4.2 days`."""
    if seconds is None:
        return '–'
    for unit, length in (('days', DAY), ('h', HOUR), ('min', MINUTE)):
        if seconds >= length:
            value = f'{seconds / length:.1f}'.removesuffix('.0')
            return f'{written(value)} {"day" if unit == "days" and value == "1" else unit}'
    return f'{written(f"{seconds:.3g}")} s'


def step(freq: str | None, seconds: float | None) -> str:
    """Return how often a series is sampled, in words."""
    if freq:
        base = freq.split('-')[0]
        if base in STEPS:
            return STEPS[base]
    return f'every {length(seconds)}' if seconds else 'irregular'


def day(stamp: datetime | str | None) -> str:
    """Return a date such as `8 Aug 2026`."""
    stamp = _stamp(stamp)
    return '–' if stamp is None else f'{stamp.day} {stamp:%b %Y}'


def moment(stamp: datetime | str | None) -> str:
    """Return a date and time, such as `8 Aug 2026, 02:30`, in UTC."""
    stamp = _stamp(stamp)
    return '–' if stamp is None else f'{stamp.day} {stamp:%b %Y, %H:%M}'


def span(start: datetime | str | None, end: datetime | str | None) -> str:
    """Return from when to when, by day; within one day by the minute: `1 Jan 2024, 00:00 to 23:00`."""
    first, last = _stamp(start), _stamp(end)
    if first is None or last is None or first.date() != last.date():
        return f'{day(first)} to {day(last)}'
    return moment(first) if first == last else f'{moment(first)} to {last:%H:%M}'


def _stamp(stamp: datetime | str | None) -> datetime | None:
    return datetime.fromisoformat(stamp) if isinstance(stamp, str) and stamp else stamp or None
