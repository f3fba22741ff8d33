"""How values, steps and dates of data are written on pages, in the number format of the page's user.

Times of data are told by the clock of their `zone`, as charts tell them; amounts and ages are in `times`.
"""

import math
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ui.preferences import written

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
STEPS = {
    'YS': 'yearly', 'YE': 'yearly', 'QS': 'quarterly', 'QE': 'quarterly', 'MS': 'monthly', 'ME': 'monthly',
    'W': 'weekly', 'D': 'daily', 'B': 'every business day', 'h': 'hourly', 'min': 'every minute', 's': 'every second',
}  # fmt: skip

SPANS = {'MS': '%b %Y', 'ME': '%b %Y', 'QS': '%b %Y', 'QE': '%b %Y', 'YS': '%Y', 'YE': '%Y'}


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
    """Return a share of 1 as a percentage; what is not all is never written as 100%."""
    if share is None:
        return '–'
    most = 100 - 10.0**-places
    return f'{written(f"{min(100 * share, most) if most < 100 * share < 100 else 100 * share:.{places}f}")}%'


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
    """Return how often a series is sampled, in words; without a `freq`, `seconds` are what most rows lie apart."""
    base = (freq or '').split('-')[0]
    if base in STEPS:
        return STEPS[base]
    if freq and seconds:
        return f'every {length(seconds)}'
    return f'irregular, median gap {length(seconds)}' if seconds else 'irregular'


def day(stamp: datetime | str | None, zone: str = '') -> str:
    """Return a date such as `8 Aug 2026`."""
    stamp = local(stamp, zone)
    return '–' if stamp is None else f'{stamp.day} {stamp:%b %Y}'


def moment(stamp: datetime | str | None, zone: str = '') -> str:
    """Return a date and time, such as `8 Aug 2026, 02:30`."""
    stamp = local(stamp, zone)
    return '–' if stamp is None else f'{stamp.day} {stamp:%b %Y, %H:%M}'


def span(start: datetime | str | None, end: datetime | str | None, zone: str = '', freq: str | None = None) -> str:
    """Return from when to when, by day; within one day by the minute: `1 Jan 2024, 00:00 to 23:00`; months and years
    of a `freq` by their names."""
    first, last = local(start, zone), local(end, zone)
    if (form := SPANS.get((freq or '').split('-')[0].lstrip('0123456789'))) and first and last:
        return f'{first:{form}} to {last:{form}}'
    if first is None or last is None or first.date() != last.date():
        return f'{day(first)} to {day(last)}'
    return moment(first) if first == last else f'{moment(first)} to {last:%H:%M}'


def local(stamp: datetime | str | None, zone: str) -> datetime | None:
    """Return a time on the clock of a zone, on its own where none is known; one without an offset is in UTC."""
    at = datetime.fromisoformat(stamp) if isinstance(stamp, str) and stamp else stamp or None
    if not isinstance(at, datetime):
        return None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    try:
        return at.astimezone(ZoneInfo(zone)) if zone else at
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return at
