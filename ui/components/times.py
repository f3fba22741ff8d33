"""Points in time and amounts, as they are shown: in the time zone and the number format of the page's user."""

from datetime import UTC, datetime, timedelta

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


def clock(seconds: int, *, sign: bool = False) -> str:
    """Seconds as on a clock: `0:02:10`, `12:34:08`, `−0:07:11`; with `sign` a gain carries its plus too."""
    minutes, rest = divmod(abs(seconds), 60)
    whole, minutes = divmod(minutes, 60)
    mark = '−' if seconds < 0 else '+' if sign and seconds > 0 else ''
    return f'{mark}{count(whole)}:{minutes:02}:{rest:02}'


def hours(seconds: int) -> str:
    """An amount of hours at a glance: `1,000 h`, `12.6 h`, `24 min` below an hour, `4:12` below five minutes."""
    seconds = max(0, seconds)
    if seconds < 300:
        return f'{seconds // 60}:{seconds % 60:02}'
    if seconds < 3600:
        return f'{seconds // 60} min'
    return f'{written(f"{seconds / 3600:,.{0 if seconds >= 99.95 * 3600 else 1}f}")} h'


def to_the_second(seconds: int) -> str:
    """An amount of hours in words: `12 h 34 min 08 s`, `4 min 12 s`, `9 s`."""
    minutes, rest = divmod(max(0, seconds), 60)
    whole, minutes = divmod(minutes, 60)
    if whole:
        return f'{count(whole)} h {minutes:02} min {rest:02} s'
    return f'{minutes} min {rest:02} s' if minutes else f'{rest} s'
