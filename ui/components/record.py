"""What became of issued forecasts, beside what they promised: figures, bars of what was held, and by steps ahead."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ui.components import formats
from ui.components.parts import card, tag
from ui.preferences import written

FEW = 10


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
    return f'{figures.first:,}' if figures.first == figures.last else f'{figures.first:,}–{figures.last:,}'


def score(value: float | None) -> str:
    """A scaled error in three decimals."""
    return '–' if value is None else written(f'{value:.3f}')


def verdict(figures: Figures, horizons: Sequence[Figures]) -> tuple[str, str]:
    """Say whether bands held what they promised (a text and the kind of its badge): within two standard errors of it.

    Errors of one series' forecast are alike, so the standard error counts forecasts of a series and not their points;
    fewer than ten of them are not judged. `horizons` are the same figures by steps ahead.
    """
    forecasts = max((row.points / ((row.last or 1) - (row.first or 1) + 1) for row in horizons), default=0.0)
    if forecasts < FEW or not figures.coverage:
        return 'too few to judge', 'line'
    gaps = []
    for level, share in figures.coverage.items():
        promise = float(level) / 100
        gaps.append((share - promise) / (promise * (1 - promise) / forecasts) ** 0.5)
    if min(gaps) < -2:
        return 'too narrow', 'warn'
    return ('too wide', 'warn') if max(gaps) > 2 else ('hold', 'ok')


def track_receipt(
    overall: Figures | None,
    horizons: Sequence[Figures] = (),
    *,
    sub: str = '',
    actions: Callable[[], Any] | None = None,
) -> None:
    """A card: the share that each level held of what has come, with a mark at what was promised, and by `horizons`."""
    with card('Promised and held', sub, actions=actions, classes='receipt'), tag('div', classes='body vs gap-s'):
        if overall is None:
            tag('p', 'No value that was forecast has come yet.', 't2')
            return
        for level, share in overall.coverage.items():
            _gauge(level, share, overall.points)
        if len(horizons) > 1:
            _by_steps(horizons)
        tag('p', f'Of {overall.points:,} values that came after they were forecast.', 't12 t3')


def _gauge(level: str, share: float, points: int) -> None:
    with tag('div', classes='hold'):
        with tag('div', classes='kv'):
            tag('span', f'{level}% band held {formats.percent(share)}', 'w5')
            tag('span', f'{round(share * points):,} of {points:,}', 't12 t3')
        label = f'{level}% promised, {formats.percent(share)} held'
        with tag('div', classes='gauge', role='img', aria_label=label):
            tag('i').style(f'width: {100 * share:.1f}%')
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
