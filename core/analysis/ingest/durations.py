"""Durations: cells such as 00:01:34 that say how long something took. They are read as seconds."""

import re
from collections.abc import Sequence
from typing import Final

from core.analysis import duck
from core.analysis.ingest.reading import Reading

LASTING: Final = {
    'duration', 'durations', 'durée', 'duree', 'duración', 'duracion', 'durata', 'duur', 'elapsed', 'runtime',
    'uptime', 'downtime', 'playtime', 'length', 'avg', 'average', 'mean', 'median', 'total', 'session', 'sessions',
    'engagement', 'handle', 'handling', 'wait', 'waiting', 'hold', 'talk', 'lap', 'split', 'pace', 'spent', 'per',
    'processing', 'response', 'travel', 'watch', 'idle', 'delay', 'delays', 'latency', 'took', 'overtime', 'dauer',
    'länge', 'laenge', 'ø',
}  # fmt: skip
"""Words of a name that make its times of day lengths of time."""
LASTING_ENDS: Final = (
    *('dauer', 'laufzeit', 'wartezeit', 'fahrzeit', 'reisezeit', 'arbeitszeit', 'bearbeitungszeit', 'standzeit'),
    *('sprechzeit', 'antwortzeit', 'reaktionszeit', 'betriebszeit', 'stillstandszeit', 'länge'),
)
MOMENTS: Final = {
    'start', 'started', 'starts', 'begin', 'begins', 'beginning', 'from', 'end', 'ended', 'ends', 'until', 'till',
    'at', 'clock', 'timestamp', 'hhmm', 'hms', 'von', 'ab', 'bis', 'beginn', 'ende', 'anfang', 'uhrzeit', 'uhr',
    'début', 'debut', 'fin', 'inicio', 'inizio', 'fine',
}  # fmt: skip
"""Words of a name that make it a moment whatever else it says: the end of a session is none of how long it took."""
_MINUTES: Final = re.compile(r'(?i)mm:ss|m:s+|(?:^|[^a-z])(?:min|mins|minutes?|minuten|lap|split|pace)(?:[^a-z]|$)')
_HOURS: Final = re.compile(r'(?i)hh?:mm|(?:^|[^a-z])(?:h|hrs?|hours?|stunden|std)(?:[^a-z]|$)')
_DAYS: Final = r'(?:\d{1,5} days?,? )?'
_FRACTION: Final = r'(?:[.,]\d{1,6}0*)?'
_THREE: Final = rf'-?{_DAYS}\d{{1,6}}:[0-5]\d:[0-5]\d{_FRACTION}'
_TWO: Final = rf'-?\d{{1,6}}:[0-5]\d{_FRACTION}'
_PARTS: Final = r'^(-?)(?:(\d+) days?,? )?(?:(\d+):)?(\d+):(\d+)((?:[.,]\d*[1-9])?)[.,]?0*$'
_BEYOND: Final = re.compile(rf'{_DAYS}(?:2[5-9]|[3-9]\d|\d{{3,6}}):[0-5]\d:[0-5]\d{_FRACTION}|\d+ days?,? \d.*')


def words(name: str) -> list[str]:
    """The words of a name: `AvgHandle_time` → avg, handle, time."""
    return re.findall(r'[^\W\d_]+', re.sub(r'(?<=[a-z])(?=[A-Z])', ' ', name).lower())


def is_lasting(name: str) -> bool:
    """Whether a name says that its cells are lengths of time and no times of day."""
    own = {*words(name)}
    return not own & MOMENTS and (bool(own & LASTING) or any(word.endswith(LASTING_ENDS) for word in own))


def _duration(name: str, shape: str, parts: Sequence[str]) -> Reading:
    """Durations whose last two numbers are `parts`: minutes and seconds, or hours and minutes."""

    def bare(x: str) -> str:
        names = duck.texts(['sign', 'd', 'more', *parts, 'fraction'])
        found = f'regexp_extract({x}, {duck.text(_PARTS)}, {names})'
        sizes = {'d': 86_400, 'more': 3600, 'h': 3600, 'm': 60, 's': 1}
        whole = ' + '.join(
            f'coalesce(TRY_CAST(p.{part} AS BIGINT), 0) * {sizes[part]}' for part in ('d', 'more', *parts)
        )
        text = f"p.sign || ({whole})::VARCHAR || replace(p.fraction, ',', '.')"
        return f'list_transform([{found}], lambda p: {text})[1]'

    return Reading(
        family='number',
        name=name,
        shape=shape,
        bare=bare,
        value=lambda x: f'TRY_CAST({bare(x)} AS DOUBLE)',
        affix='s',
    )


FULL: Final = _duration('duration H:MM:SS', _THREE, ('m', 's'))
MINUTES: Final = _duration('duration MM:SS', rf'(?:{_THREE}|{_TWO})', ('m', 's'))
HOURS: Final = _duration('duration H:MM', rf'-?{_DAYS}\d{{1,6}}:[0-5]\d', ('h', 'm'))
ALL: Final = (FULL, MINUTES, HOURS)


def durations(name: str, cells: Sequence[str], *, asked: bool = False) -> list[Reading]:
    """Return the reading of durations that the cells of a column of this name suggest, [] for none.

    What goes beyond a day needs no name that says so, nor what the user has `asked` to be measured. Two numbers are
    minutes and seconds, or hours and minutes, where the name or another cell says which.
    """
    first = cells[:100]
    if not first or ':' not in ''.join(first[:3]):
        return []
    if not asked and not is_lasting(name) and not any(_BEYOND.fullmatch(cell) for cell in first):
        return []
    three = sum(re.fullmatch(_THREE, cell) is not None for cell in first)
    two = [cell for cell in first if re.fullmatch(_TWO, cell)]
    if len(two) + three < 0.9 * len(first):
        return []
    if not two:
        return [FULL]
    if three or _MINUTES.search(name) or any(mark in cell for cell in two for mark in '.,'):
        return [MINUTES]
    return [HOURS] if _HOURS.search(name) else []


def note(name: str, reading: Reading) -> str:
    """Tell how a column of durations is read, '' of another one."""
    if reading not in ALL:
        return ''
    return f'Column "{name}" holds durations ({reading.name.removeprefix("duration ")}): they are stored as seconds.'
