"""The track record of forecasts: what the bands held beside what they promised, in figures and over time."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from core.forecasts import Measured
from ui.components.formats import percent
from ui.components.parts import Tag, tag
from ui.preferences import local, written

LEVELS = {'95': 'series-6', '80': 'series-1'}
MOST_POINTS = 24
LOWEST = 0.7
ROOM = 20  # percent of the height that a name below its line takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What the bands of one forecast held, over all of its models: level in percent → share of the points measured."""

    at: datetime
    held: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """What was measured of all forecasts: each model of a forecast is scored by itself.

    `held` are shares of all points that were measured, `mase` is the median over the scored; both are about the past
    that each forecast was tried on before it was issued, not about what came afterwards.
    """

    scored: int
    held: Mapping[str, float]
    mase: float | None
    points: Sequence[Point]


def track_of(issued: Sequence[Measured]) -> Track | None:
    """Return the track record of a user's forecasts, None when none of them was scored."""
    scored = [(one.at, found) for one in issued if (found := [s for s in one.scores if s['points']])]
    every = [score for _, found in scored for score in found]
    if not every:
        return None
    known = [score['mase'] for score in every if score['mase'] is not None]
    points = [Point(at=at, held=_held(found)) for at, found in sorted(scored, key=lambda one: one[0])]
    return Track(scored=len(every), held=_held(every), mase=median(known) if known else None, points=points)


def _held(scores: Sequence[Mapping[str, Any]]) -> Mapping[str, float]:
    found = {}
    for level in LEVELS:
        measured = [(s['coverage'][level], s['points']) for s in scores if s['coverage'].get(level) is not None]
        if total := sum(points for _, points in measured):
            found[level] = sum(share * points for share, points in measured) / total
    return found


class TrackChart(Tag):
    """Lines of what each level held, forecast by forecast, over the promised shares."""

    def __init__(self) -> None:
        super().__init__('div', classes='track')
        self.props['role'] = 'img'

    def show(self, points: Sequence[Point]) -> None:
        """Draw points, the oldest first; of more than `MOST_POINTS` the newest."""
        shown = points[-MOST_POINTS:]
        self.props['aria-label'] = _summary(shown)
        self.props['innerHTML'] = _drawing(shown)


def track_chart(points: Sequence[Point]) -> TrackChart:
    """What the bands held over time, oldest first."""
    element = TrackChart()
    element.show(points)
    return element


def figures(track: Track) -> None:
    """What the bands held and the median error, as large figures."""
    with tag('div', classes='stats'):
        for level in reversed(LEVELS):
            _figure(percent(track.held.get(level)), f'{level}% band held')
        _figure('–' if track.mase is None else written(f'{track.mase:.2f}'), 'median MASE')


def _figure(value: str, label: str) -> None:
    with tag('div', classes='s'):
        tag('span', value, 'metric small')
        tag('span', label, 't12 t3')


def _drawing(points: Sequence[Point]) -> str:
    """Markup of numbers, dates and constants alone; nothing that a user wrote."""
    least = min((share for point in points for share in point.held.values()), default=1.0)
    floor = min(LOWEST, int(10 * least) / 10)
    ticks = ''.join(
        f'<div class="tick{" promise" if share != floor else ""}" style="bottom: {_height(share, floor):.2f}%">'
        f'<span>{share:.0%}</span></div>'
        for share in (floor, *(int(level) / 100 for level in LEVELS))
    )
    lines = ''.join(_line(points, level, colour, floor) for level, colour in LEVELS.items())
    dots = ''.join(_dots(points, level, colour, floor) for level, colour in LEVELS.items())
    drawing = f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{lines}</svg>'
    names = ''.join(_name(points, level, floor) for level in LEVELS)
    return f'<div class="plot">{ticks}{drawing}{dots}{names}</div><div class="ends">{ends(points)}</div>'


def _line(points: Sequence[Point], level: str, colour: str, floor: float) -> str:
    places = ' '.join(
        f'{100 * _place(at, points):.2f},{100 - _height(point.held[level], floor):.2f}'
        for at, point in enumerate(points)
        if level in point.held
    )
    return (
        f'<polyline points="{places}" fill="none" stroke="var(--{colour})" stroke-width="1.5" '
        'vector-effect="non-scaling-stroke"/>'
    )


def _dots(points: Sequence[Point], level: str, colour: str, floor: float) -> str:
    return ''.join(
        f'<i style="left: {100 * _place(at, points):.2f}%; bottom: {_height(point.held[level], floor):.2f}%; '
        f'border-color: var(--{colour})" title="{_date(point.at)}: {html.escape(percent(point.held[level]))} held"></i>'
        for at, point in enumerate(points)
        if level in point.held
    )


def _name(points: Sequence[Point], level: str, floor: float) -> str:
    """A band’s name at its line’s end: the wider band never holds less, so one name stands above, the other below."""
    last = next((point.held[level] for point in reversed(points) if level in point.held), None)
    if last is None:
        return ''
    height = _height(last, floor)
    low = level == min(LEVELS) and height > ROOM
    return f'<em{" class=low" if low else ""} style="bottom: {height:.2f}%">{level}% band</em>'


def _place(at: int, points: Sequence[Point]) -> float:
    """Forecasts stand side by side in their order: those of one morning would hide each other on a line of time."""
    return 0.04 + 0.92 * at / max(1, len(points) - 1)


def _height(share: float, floor: float) -> float:
    return 100 * (share - floor) / (1.02 - floor)


def ends(points: Sequence[Point]) -> str:
    """The days of the first and of the last forecast, with the clock where they are of one day."""
    if not points:
        return ''
    first, last = points[0].at, points[-1].at
    clock = len(points) > 1 and _date(first) == _date(last)
    return ''.join(f'<span>{_date(at, clock=clock)}</span>' for at in dict.fromkeys((first, last)))


def _date(moment: datetime, *, clock: bool = False) -> str:
    moment = local(moment)
    return f'{moment.day} {moment:%b}' + (f', {moment:%H:%M}' if clock else '')


def _summary(points: Sequence[Point]) -> str:
    latest = ', '.join(
        f'the {level}% band {percent(share)}' for level, share in (points[-1].held.items() if points else ())
    )
    return f'What the bands held in {len(points)} forecasts; in the latest, {latest}'
