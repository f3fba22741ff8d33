"""Hours used by day, as stacked bars."""

import html
import math
from collections.abc import Mapping, Sequence
from datetime import date

from nicegui.element import Element

from core.values import UsageDay
from ui.components.parts import Tag, tag
from ui.components.times import amount
from ui.preferences import written

KINDS = {
    'viewing': ('Viewing', 'series-1'),
    'forecast': ('Forecasts', 'series-2'),
    'convert': ('Conversion', 'series-3'),
}
MOST_BARS = 120
MOST_LABELS = 5
UNITS = ((3600, 'h', 720), (60, 'min', 120), (1, 's', 0))
FLOOR = 60


class UsageBars(Tag):
    """The element that `usage_bars` makes; `show` moves it to other days."""

    def __init__(self, height: int, kinds: Mapping[str, tuple[str, str]]) -> None:
        super().__init__('div', classes='usage')
        self.style(f'min-height: {height}px')
        self.props['role'] = 'img'
        self._kinds = kinds

    def show(self, days: Sequence[UsageDay]) -> None:
        """Draw days, oldest first; more than `MOST_BARS` are drawn as weeks."""
        spans = _weeks(days) if len(days) > MOST_BARS else [(day,) for day in days]
        self.props['aria-label'] = _summary(days, weekly=len(spans) < len(days))
        self.props['innerHTML'] = _drawing(spans, self._kinds)


def usage_bars(
    days: Sequence[UsageDay], *, height: int = 232, kinds: Mapping[str, tuple[str, str]] = KINDS
) -> UsageBars:
    """Bars of `days` (oldest first, none left out), stacked by kind; a bar's title tells its day and its seconds.

    `kinds` names what is stacked, from below: a field of `UsageDay` with its name and its colour's token.
    """
    element = UsageBars(height, kinds)
    element.show(days)
    return element


def usage_key(kinds: Mapping[str, tuple[str, str]] = KINDS) -> Element:
    """The legend of `usage_bars`, for the head of its card."""
    with tag('div', classes='key') as key:
        for name, colour in kinds.values():
            with tag('span', name):
                tag('i', classes='bx lead').style(f'background: var(--{colour})')
    return key


def since_first_use(days: Sequence[UsageDay]) -> Sequence[UsageDay]:
    """The days from the first one on which anything was used: what a pace is reckoned from."""
    first = next((place for place, day in enumerate(days) if used(day)), len(days))
    return days[first:]


def used(day: UsageDay) -> int:
    """Seconds that a day took in all."""
    return day.viewing + day.convert + day.forecast


def _weeks(days: Sequence[UsageDay]) -> list[tuple[UsageDay, ...]]:
    """Seven days each, the last ending today."""
    first = len(days) % 7
    starts = ([0] if first else []) + list(range(first, len(days), 7))
    return [tuple(days[start:end]) for start, end in zip(starts, [*starts[1:], len(days)], strict=True)]


def _drawing(spans: Sequence[Sequence[UsageDay]], kinds: Mapping[str, tuple[str, str]]) -> str:
    """Markup of numbers and constants alone; nothing that a user wrote."""
    top, step, unit, word = _scale(max((sum(map(used, span)) for span in spans), default=0))
    lines = ''.join(
        f'<div class="tick" style="bottom: {100 * value / top:.2f}%"><span>{_tick(value / unit, step / unit)} {word}'
        '</span></div>'
        for value in range(0, top + 1, step)
    )
    bars = ''.join(_bar(span, kinds, top) for span in spans)
    empty = '' if any(used(day) for span in spans for day in span) else '<p class="t3">Nothing used in this time</p>'
    return (
        f'<div class="plot">{lines}<div class="bars">{bars}</div>{empty}</div><div class="days">{_dates(spans)}</div>'
    )


def _bar(span: Sequence[UsageDay], kinds: Mapping[str, tuple[str, str]], top: int) -> str:
    amounts = {key: sum(getattr(day, key) for day in span) for key in kinds}
    named = [f'{kinds[key][0]} {amount(seconds)}' for key, seconds in amounts.items() if seconds]
    title = html.escape('\n'.join([_named(span), *(named or ['Nothing used'])]))
    parts = ''.join(
        f'<i style="height: {100 * seconds / top:.3f}%; background: var(--{kinds[key][1]})"></i>'
        for key, seconds in reversed(amounts.items())
        if seconds
    )
    return f'<div title="{title}">{parts}</div>'


def _dates(spans: Sequence[Sequence[UsageDay]]) -> str:
    """A few dates below their bars, in equal steps back from the last."""
    step = max(1, math.ceil(len(spans) / MOST_LABELS))
    step = 7 * math.ceil(step / 7) if step > 4 and len(spans[0]) == 1 else step
    places = range((len(spans) - 1) % step, len(spans), step)
    return ''.join(
        # A date at the very edge would stick out of the card: the last one stands a little beside its bar.
        f'<span style="left: {min(97.5, 100 * (place + 0.5) / len(spans)):.2f}%">{_short(spans[place][0].day)}</span>'
        for place in places
        if (place + 0.5) / len(spans) >= 0.04
    )


def _scale(most: int) -> tuple[int, int, int, str]:
    """The top of the axis, the step of its lines and its unit, all in seconds, and the unit's name."""
    unit, word = next((unit, word) for unit, word, least in UNITS if most >= least)
    rough = max(most, FLOOR) / 5 / unit
    power = 10.0 ** math.floor(math.log10(rough))
    step = max(1, round(unit * next(power * factor for factor in (1, 2, 5, 10) if rough <= power * factor * 1.001)))
    return step * math.ceil(max(most, FLOOR) / step), step, unit, word


def _tick(value: float, step: float) -> str:
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    return written(f'{value:,.{places}f}')


def _summary(days: Sequence[UsageDay], *, weekly: bool) -> str:
    if not days:
        return 'Usage by day: no days'
    busiest = max(days, key=used)
    text = f'Usage by {"week" if weekly else "day"}, {_short(days[0].day)} to {_short(days[-1].day)}: '
    if not used(busiest):
        return text + 'nothing used'
    return text + f'{amount(sum(map(used, days)))} in all, most on {_short(busiest.day)}: {amount(used(busiest))}'


def _named(span: Sequence[UsageDay]) -> str:
    first, last = span[0].day, span[-1].day
    return f'{first:%A} {_short(first)}' if first == last else f'{_short(first)} to {_short(last)}'


def _short(day: date) -> str:
    return f'{day.day} {day:%b}'
