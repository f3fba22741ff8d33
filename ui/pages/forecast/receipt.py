"""How well bands held, beside what they promised; and what to know of a forecast."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nicegui.element import Element

from core.analysis.forecasting import said
from ui.components import formats
from ui.components.parts import card, tag
from ui.components.plot import Line, Rule, plot, whole_ticks
from ui.components.record import FEW, gauge, judge
from ui.components.times import count
from ui.pages.forecast.state import Shown
from ui.pages.forecast_words import in_words, model_name

MOST_WARNINGS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A warning with the models that gave it, and how many series it is about, the first of them by their labels."""

    text: str
    series: int = 0
    first: tuple[str, ...] = ()


def measured(score: Mapping[str, Any]) -> tuple[Mapping[str, float | None], int]:
    """What a score's bands held by level, and of how many forecasts: a series × a past cutoff is one."""
    return (score['coverage'] if score['points'] else {}), score['n_windows']


def sentence(score: Mapping[str, Any] | None) -> str:
    """What stands under a chart: `80% band held 79.1% of 1,284 backtest points`, for each level."""
    if score is None or not score['points']:
        return 'Too short to measure how often the bands held.'
    held = [
        f'{level}% band held {formats.percent(share)}'
        for level, share in sorted(score['coverage'].items(), key=lambda item: float(item[0]))
        if share is not None
    ]
    return f'{", ".join(held)} of {count(score["points"])} backtest points' if held else 'The bands were not measured.'


def since(came: Mapping[str, Any] | None, model: str) -> str:
    """What a model's bands held of the values of a series that came: `14 of 17 values came inside the 80% band`."""
    levels = (came or {}).get('held', {}).get(model, {})
    told: list[str] = []
    for level, held in sorted(levels.items(), key=lambda item: float(item[0])):
        if held['points']:
            of = count(held['points']) if told else f'{formats.counted(held["points"], "value")} came'
            told.append(f'{count(held["inside"])} of {of} inside the {level}% band')
    return f'{", ".join(told)}.' if told else ''


def receipt(
    model: str,
    score: Mapping[str, Any] | None,
    by_horizon: Sequence[Mapping[str, Any]],
    colour: str,
    *,
    adapted: Mapping[str, float] | None = None,
    more: Callable[[], object] = lambda: None,
) -> None:
    """The card: each level's share held with a mark at what was promised, by step ahead, and how it was counted.

    `adapted` are the levels that bands were drawn at in the place of those promised. `more` draws what a verdict takes.
    """

    def judged() -> None:
        if score is not None:
            judge(*measured(score), alone=True)

    head = card('Coverage receipt', model_name(model), actions=judged, classes='receipt')
    with head, tag('div', classes='body vs gap-s'):
        if score is None or not score['points']:
            tag('p', 'The series are too short to measure how often the bands held.', 't2')
            more()
            _drawn_at(adapted or {})
            return
        for level, share in sorted(score['coverage'].items(), key=lambda item: float(item[0])):
            gauge(level, share, score['points'], colour)
        _by_step(by_horizon, colour)
        counted = f'{formats.counted(score["n_windows"], "past forecast")} of {count(score["n_series"])} series'
        tag('p', f'{counted}, scored on data that the model had not seen.', 't12 t3')
        if score['n_windows'] < FEW:
            more()
        _drawn_at(adapted or {})


def told_adapted(adapted: Mapping[str, float]) -> str:
    """Say at which other levels bands were drawn, nothing when they are the promised ones."""
    moved = [
        f'the {level}% band at {formats.number(round(drawn, 1))}%'
        for level, drawn in sorted(adapted.items(), key=lambda item: float(item[0]))
        if round(drawn, 1) != float(level)
    ]
    return f'By what earlier forecasts held, this one draws {" and ".join(moved)}.' if moved else ''


def _drawn_at(adapted: Mapping[str, float]) -> None:
    if text := told_adapted(adapted):
        tag('p', text, 't12 t2')


def _by_step(rows: Sequence[Mapping[str, Any]], colour: str) -> None:
    levels = sorted({level for row in rows for level in row['coverage']}, key=float)
    if len(rows) < 2 or not levels:
        return
    level = '80' if '80' in levels else levels[0]
    held_by_step(rows, level, colour, height=112)


def held_by_step(rows: Sequence[Mapping[str, Any]], level: str, colour: str, *, height: int) -> Element:
    """A line of what a level held, by step ahead, over what it promised."""
    steps = [row['horizon'] for row in rows]
    held = [row['coverage'].get(level) for row in rows]
    known = [share for share in held if share is not None]
    promise = float(level) / 100
    low, high = min([*known, promise]), max([*known, promise])
    tag('span', f'Held by step ahead, {level}% band', 't12 t3')
    return plot(
        [Line(x=steps, y=held, colour=colour, dots=len(steps) <= 60)],
        label=f'What the {level}% band held by step ahead, from {formats.percent(low)} to {formats.percent(high)}',
        height=height,
        x_ticks=whole_ticks(steps[0], steps[-1]),
        y_text=lambda share: formats.percent(share, 0),
        y_range=(max(0.0, low - 0.06), min(1.03, high + 0.06)),
        rules=[Rule(y=promise)],
    )


def warnings(result: Mapping[str, Any]) -> list[Told]:
    """Say what to know of a forecast, each thing once with the models that it is about; who gave none comes first.

    What was said of many series, and differs only in how many, is one thing: `No value at 9 to 24 of 791 steps`.
    """
    models: dict[str, list[str]] = {}
    about: dict[str, Mapping[str, Any]] = {}
    for model in sorted(result['models'], key=lambda model: model['rows'] > 0):
        for kind, text in said.joined(model['warnings']).items():
            models.setdefault(text, []).append(model_name(model['name']))
            about.setdefault(text, (model.get('about') or {}).get(kind) or {})
    return [
        Told(
            text=f'{", ".join(named)}: {in_words(text)}',
            series=about[text].get('series', 0),
            first=tuple(about[text].get('first', ())),
        )
        for text, named in models.items()
    ]


def warnings_card(shown: Shown) -> None:
    """A card with the warnings and the series that they are about, none when there are none."""
    told = warnings(shown.result)
    if not told:
        return
    with card('Warnings'), tag('ul', classes='body vs gap-s plain'):
        for one in told[:MOST_WARNINGS]:
            with tag('li', classes='vs'):
                tag('span', one.text, 't2')
                _about(shown, one)
        if len(told) > MOST_WARNINGS:
            tag('li', f'and {len(told) - MOST_WARNINGS} more: see the exported rows', 't12 t3')


def _about(shown: Shown, one: Told) -> None:
    """The series of a warning, each with its chart behind its name; nothing where there is but one series."""
    if shown.n_series < 2 or not one.series:
        return
    if one.series >= shown.n_series:
        tag('span', f'All {count(shown.n_series)} series', 't12 t3')
        return
    with tag('span', classes='t12 t3'):
        for place, label in enumerate(one.first):
            if place:
                tag('span', ', ')
            tag('a', label, 'link', href=shown.address(tab='chart', series=label, page=1, q=''))
        if more := one.series - len(one.first):
            tag('span', f' and {count(more)} more')
