"""What became of issued forecasts, beside what they promised: figures, bars of what was held, and by steps ahead."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ui.components import formats
from ui.components.parts import badge, card, tag
from ui.components.terms import explained
from ui.components.times import count
from ui.preferences import written

FEW = 10
TOLD = 2 - 1e-9
"""So many misses must be promised before missing less than half of them says anything."""
FEWER = 'too few to judge'
MORE = 1.5 + 1e-9  # times as many misses as promised, which few forecasts may show by chance
NARROW = 'perhaps too narrow'
NARROW_SAYS = (
    'They missed over one and a half times as often as promised. So few forecasts may do so by chance: '
    'more past cutoffs, or more values that come, will tell.'
)
WIDE = 'hold, but wide'
WIDE_SAYS = (
    'They missed less than half as often as promised: true, but narrower bands would have told more. '
    'Values far beyond the others in the history, such as a sentinel of -9999, widen bands.'
)

SAYS = {WIDE: WIDE_SAYS, NARROW: NARROW_SAYS}


class Figures(Protocol):
    """What is drawn of `core.track.Figures`."""

    @property
    def first(self) -> int | None:
        """The first step ahead that it is about."""

    @property
    def last(self) -> int | None:
        """The last one."""

    @property
    def points(self) -> int:
        """How many values have come."""

    @property
    def coverage(self) -> Mapping[str, float]:
        """The share that each band held, by level in percent."""


def steps_of(figures: Figures) -> str:
    """The steps ahead of a block of the horizon, such as `4–6`."""
    return count(figures.first) if figures.first == figures.last else f'{count(figures.first)}–{count(figures.last)}'


def score(value: float | None) -> str:
    """A scaled error in three decimals."""
    return '–' if value is None else written(f'{value:.3f}')


def forecasts_of(horizons: Sequence[Figures]) -> float:
    """How many forecasts of a series figures are of; `horizons` are those figures by steps ahead."""
    return max((row.points / ((row.last or 1) - (row.first or 1) + 1) for row in horizons), default=0.0)


def verdict(coverage: Mapping[str, float | None], forecasts: float) -> tuple[str, str]:
    """Say whether bands held what they promised (a text and the kind of its badge): within two standard errors of it.

    `coverage` is the share held by level in percent, `forecasts` how many forecasts of a series it was measured on.
    Errors of one such forecast are alike, so the standard error counts forecasts and not their points; fewer than ten
    of them are not judged. Within them, bands that miss over one and a half times as often as promised are perhaps too
    narrow, and those that miss less than half as often, where so many forecasts can show that, hold but are wide.
    """
    held = {float(level) / 100: share for level, share in coverage.items() if share is not None}
    if not held or len(held) < len(coverage):
        return 'not measured', 'line'
    if forecasts < FEW:
        return FEWER, 'line'
    gaps = [(share - promise) / (promise * (1 - promise) / forecasts) ** 0.5 for promise, share in held.items()]
    if min(gaps) < -2:
        return 'too narrow', 'warn'
    if max(gaps) > 2:
        return 'too wide', 'warn'
    if any(1 - share > MORE * (1 - promise) for promise, share in held.items()):
        return NARROW, 'line'
    # of two misses that were promised, none or one can be told from half
    wide = any(share > (1 + promise) / 2 and forecasts * (1 - promise) >= TOLD for promise, share in held.items())
    return (WIDE, 'line') if wide else ('hold', 'ok')


def judge(coverage: Mapping[str, float | None], forecasts: float, *, alone: bool = False) -> None:
    """A badge with the verdict, which can be asked how many forecasts it rests on.

    Below it stands how many there are where they are too few, unless it is to stand `alone`, as in the head of a card.
    """
    text, kind = verdict(coverage, forecasts)
    if alone or text != FEWER:
        _verdict(text, kind, forecasts)
        return
    with tag('div', classes='vs').style('align-items: start; padding-block: var(--s1)'):
        _verdict(text, kind, forecasts)
        tag('span', f'{int(forecasts)} of {FEW} forecasts of a series', 't12 t3')


def _verdict(text: str, kind: str, forecasts: float) -> None:
    with badge('', kind):
        says = ' '.join([*([SAYS[text]] if text in SAYS else []), enough(forecasts)])
        explained(f'Bands {text}' if text in ('hold', WIDE) else text.capitalize(), says)


def enough(forecasts: float) -> str:
    """How many scored forecasts a verdict rests on, and how many it takes."""
    scored = (
        f'{formats.counted(int(forecasts), "forecast")} of a series {"was" if int(forecasts) == 1 else "were"} scored'
    )
    return f'{scored}; whether bands hold is told from {FEW} on.' if forecasts < FEW else f'{scored}.'


def track_receipt(
    overall: Figures | None,
    horizons: Sequence[Figures] = (),
    *,
    sub: str = '',
    colour: str = 'series-1',
    actions: Callable[[], Any] | None = None,
) -> None:
    """A card: the share that each level held of what has come, with a mark at what was promised, and by `horizons`."""
    with card('Promised and held', sub, actions=actions, classes='receipt'), tag('div', classes='body vs gap-s'):
        if overall is None:
            tag('p', 'No value that was forecast has come yet.', 't2')
            return
        for level, share in overall.coverage.items():
            gauge(level, share, overall.points, colour)
        if len(horizons) > 1:
            _by_steps(horizons)
        tag('p', f'Of {count(overall.points)} values that came after they were forecast.', 't12 t3')


def gauge(level: str, share: float | None, points: int, colour: str = 'series-1') -> None:
    """A bar of the share that a level held of `points`, with a mark at what was promised."""
    with tag('div', classes='hold'):
        with tag('div', classes='kv'):
            tag('span', f'{level}% band held {formats.percent(share)}', 'w5')
            tag('span', f'{count(round((share or 0) * points))} of {count(points)}', 't12 t3')
        label = f'{level}% promised, {formats.percent(share)} held'
        with tag('div', classes='gauge', role='img', aria_label=label):
            tag('i').style(f'width: {100 * (share or 0):.1f}%; background: var(--{colour})')
            tag('u').style(f'left: calc({float(level):.1f}% - 1px)')


def _by_steps(horizons: Sequence[Figures]) -> None:
    levels = sorted({level for row in horizons for level in row.coverage}, key=float)
    with tag('table', classes='tight', aria_label='Held by steps ahead'):
        with tag('thead'), tag('tr'):
            tag('th', 'Steps ahead', scope='col')
            for level in levels:
                tag('th', f'{level}% held', 'num', scope='col')
        with tag('tbody'):
            for row in horizons:
                with tag('tr'):
                    tag('td', steps_of(row), 'tn')
                    for level in levels:
                        tag('td', formats.percent(row.coverage.get(level)), 'num')
