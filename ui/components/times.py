"""Points in time and amounts, as they are shown: in the time zone and the number format of the page's user."""

from datetime import UTC, datetime, timedelta

from core.hours import amount as in_words
from core.values import Preferences
from ui.components.parts import Tag, tag
from ui.preferences import local, written


def ago(moment: datetime, now: datetime | None = None, *, wanted: Preferences | None = None) -> str:
    """How long ago, in words: `just now`, `4 min ago`, `3 h ago`, `yesterday`, `12 Nov`, `12 Nov 2024`."""
    now, moment = local(now or datetime.now(UTC), wanted), local(moment, wanted)
    seconds = (now - moment).total_seconds()
    if seconds < 60:
        return 'just now'
    if seconds < 3600:
        return f'{seconds // 60:.0f} min ago'
    if seconds < 86400:
        return f'{seconds // 3600:.0f} h ago'
    if moment.date() == (now - timedelta(days=1)).date():
        return 'yesterday'
    return f'{moment.day} {moment:%b}' if moment.year == now.year else f'{moment.day} {moment:%b %Y}'


def when(moment: datetime, classes: str = 't3') -> Tag:
    """A `<time>` that says how long ago, with the exact time as its tooltip."""
    return _time(moment, ago(moment), classes)


def dated(moment: datetime, classes: str = '') -> Tag:
    """A `<time>` that says when, to the second."""
    return _time(moment, stamp(moment), classes)


def on_day(moment: datetime, classes: str = '') -> Tag:
    """A `<time>` that says on which day, with the exact time as its tooltip."""
    return _time(moment, day(moment), classes)


def day(moment: datetime) -> str:
    """The day of a moment: `12 Nov 2026`."""
    moment = local(moment)
    return f'{moment.day} {moment:%b %Y}'


def stamp(moment: datetime) -> str:
    """A moment with its zone: `12 Nov 2026, 14:03:20 CET`."""
    moment = local(moment)
    return f'{moment.day} {moment:%b %Y, %H:%M:%S %Z}'


def _time(moment: datetime, text: str, classes: str) -> Tag:
    at = moment.astimezone(UTC).isoformat(timespec='seconds')
    return tag('time', text, classes, datetime=at, title=stamp(moment))


def count(number: int | None, wanted: Preferences | None = None) -> str:
    """A number with thousands separated, or a dash when there is none."""
    return '–' if number is None else written(f'{number:,}', wanted)


def size(amount: float) -> str:
    """Bytes in the unit that keeps the number short: `412 MB`, `2.86 GB` (powers of 1024)."""
    for unit in ('B', 'KB', 'MB', 'GB'):
        if amount < 1000:
            return f'{amount:.0f} {unit}' if amount >= 100 or unit == 'B' else f'{written(f"{amount:.3g}")} {unit}'
        amount /= 1024
    return f'{written(f"{amount:.3g}")} TB'


def duration(seconds: float) -> str:
    """A length of time: `< 1 s`, `41 s`, `6 min 12 s`, `2 h 5 min`."""
    if seconds < 1:
        return '< 1 s'
    if seconds < 60:
        return f'{seconds:.0f} s'
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f'{minutes} min {rest} s' if rest else f'{minutes} min'
    hours, minutes = divmod(minutes, 60)
    return f'{hours} h {minutes} min' if minutes else f'{hours} h'


def amount(seconds: int, *, sign: bool = False) -> str:
    """An amount of hours to the second: `11 s`, `12 h 34 min 8 s`, `−7 min 11 s`; with `sign` a gain has its plus."""
    mark = '−' if seconds < 0 else '+' if sign and seconds > 0 else ''
    return mark + written(in_words(abs(seconds)))


def hours(seconds: int) -> str:
    """An amount of hours at a glance: `1,000 h`, `12.6 h`, `24 min` below an hour, to the second below five minutes."""
    seconds = max(0, seconds)
    if seconds < 300:
        return amount(seconds)
    if seconds < 3600:
        return f'{seconds // 60} min'
    return f'{written(f"{seconds / 3600:,.{0 if seconds >= 99.95 * 3600 else 1}f}")} h'
