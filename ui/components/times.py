"""Points in time and amounts, as they are shown."""

from datetime import UTC, datetime, timedelta

from ui.components.parts import Tag, tag


def ago(moment: datetime, now: datetime | None = None) -> str:
    """How long ago, in words: `just now`, `4 min ago`, `3 h ago`, `yesterday`, `12 Nov`, `12 Nov 2024`."""
    now = now or datetime.now(UTC)
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
    """A `<time>` that says how long ago; the page's script adds the exact time in the reader's zone as its tooltip."""
    return tag('time', ago(moment), classes, datetime=moment.astimezone(UTC).isoformat(timespec='seconds'))


def count(number: int | None) -> str:
    """A number with thousands separated, or a dash when there is none."""
    return '–' if number is None else f'{number:,}'


def size(amount: float) -> str:
    """Bytes in the unit that keeps the number short: `412 MB`, `2.86 GB` (powers of 1024)."""
    for unit in ('B', 'KB', 'MB', 'GB'):
        if amount < 1000:
            return f'{amount:.0f} {unit}' if amount >= 100 or unit == 'B' else f'{amount:.3g} {unit}'
        amount /= 1024
    return f'{amount:.3g} TB'


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
