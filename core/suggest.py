"""A dashboard of a dataset from what its version says of itself: what stands where and drawn how.

The profile decides: price columns become candles, quantities that are counted are summed in bars, a step of minutes or
hours asks for the hours of a week, a step of days for a calendar, and several series for the greatest of them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from core.panels import parsed, placed

TEMPLATES: Final = {'auto': 'What fits best', 'sales': 'Sales', 'energy': 'Energy', 'prices': 'Prices'}
PRICES: Final = ('open', 'high', 'low', 'close')
SUMMED: Final = re.compile(
    r'sales|qty|quantity|units|count|orders|revenue|amount|volume|energy|kwh|mwh|rain|trips', re.I
)
MOST_LINES: Final = 8
SECONDS_DAY: Final = 86_400
WIDE, HALF, THIRD = 12, 6, 4

Json = dict[str, Any]


def dashboard(dataset_id: str, manifest: Mapping[str, Any], *, template: str = 'auto') -> Json:
    """Return the specification of a dashboard over one dataset; `template` is one of TEMPLATES.

    `manifest` is a version's. A dataset without measures gives an empty dashboard.
    """
    measures = list(manifest['measures'])
    if not measures:
        return parsed({})
    chosen = _template(measures) if template == 'auto' else template
    made = {'prices': _prices, 'energy': _energy, 'sales': _sales}.get(chosen, _general)(_Facts(manifest))
    sizes = [(panel.pop('w'), panel.pop('h')) for panel in made]
    panels = [
        {'id': f'p{at}', 'dataset': dataset_id, 'x': x, 'y': y, 'w': w, 'h': h, **panel}
        for at, (panel, (w, h), (x, y)) in enumerate(zip(made, sizes, placed(sizes), strict=True), start=1)
    ]
    return parsed({'panels': panels})


class _Facts:
    """What matters of a manifest."""

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        self.measures: Sequence[str] = manifest['measures']
        self.series = int(manifest['series']['count'])
        self.keys: Sequence[str] = manifest['series'].get('columns') or ()
        self.step = float(manifest['time'].get('step_seconds') or 0)

    @property
    def several(self) -> Json:
        """How the lines of several series are kept few."""
        return {'top': MOST_LINES} if self.series > MOST_LINES else {}

    @property
    def within_days(self) -> bool:
        """Whether there are values at several hours of a day."""
        return 0 < self.step <= SECONDS_DAY / 4

    def aggregation(self, measure: str) -> Json:
        """How several values of a measure become one."""
        return {'aggregation': 'sum'} if SUMMED.search(measure) else {}


def _template(measures: Sequence[str]) -> str:
    names = {name.lower() for name in measures}
    if all(any(price in name for name in names) for price in PRICES):
        return 'prices'
    return ''


def _line(facts: _Facts, measure: str, w: int, h: int = 4, **more: Any) -> Json:
    return {'kind': 'line', 'title': measure, 'w': w, 'h': h, 'query': {'measures': [measure], **facts.several, **more}}


def _figure(facts: _Facts, measure: str) -> Json:
    query = {'measures': [measure], **facts.aggregation(measure)}
    if facts.series > 1:
        query |= {'top': 1}
    return {'kind': 'figure', 'title': measure, 'w': THIRD, 'h': 2, 'query': query}


def _spread(measure: str, facts: _Facts, w: int = THIRD) -> Json:
    return {
        'kind': 'histogram',
        'title': f'{measure}, distribution',
        'w': w,
        'h': 4,
        'query': {'measures': [measure], **({'top': 3} if facts.series > 3 else {})},
    }


def _rhythm(measure: str, facts: _Facts, w: int = THIRD) -> Json:
    query = {'measures': [measure], **facts.aggregation(measure), **({'top': 1} if facts.series > 1 else {})}
    if facts.within_days:
        return {'kind': 'heat', 'title': f'{measure} by hour and weekday', 'w': w, 'h': 4, 'query': query}
    if facts.step and facts.step <= SECONDS_DAY * 1.01:
        return {'kind': 'calendar', 'title': f'{measure} by day', 'w': w, 'h': 4, 'query': query}
    return {
        'kind': 'box',
        'title': f'{measure}, spread',
        'w': w,
        'h': 4,
        'query': {'measures': [measure], **facts.several},
    }


def _general(facts: _Facts) -> list[Json]:
    first, *others = facts.measures
    made = [_figure(facts, measure) for measure in facts.measures[:3]]
    made.append(_line(facts, first, WIDE))
    made += [_line(facts, measure, HALF) for measure in others[:2]]
    made += [_rhythm(first, facts, HALF), _spread(first, facts, HALF)]
    return made


def _sales(facts: _Facts) -> list[Json]:
    first, *others = facts.measures
    total = {'measures': [first], 'aggregation': 'sum'}
    return [
        _figure(facts, first),
        *(_figure(facts, measure) for measure in others[:2]),
        {
            'kind': 'bar',
            'title': first,
            'w': WIDE,
            'h': 4,
            'query': {**total, **facts.several},
            'show': {'stacked': True},
        },
        {
            'kind': 'line',
            'title': f'{first} beside the year before',
            'w': HALF,
            'h': 4,
            'query': {**total, 'every': 'P1M', 'compare': 'P1Y', 'top': 1},
        },
        _rhythm(first, facts, HALF),
    ]


def _energy(facts: _Facts) -> list[Json]:
    first, *others = facts.measures
    return [
        *(_figure(facts, measure) for measure in facts.measures[:3]),
        _line(facts, first, WIDE),
        _rhythm(first, facts, HALF),
        {
            'kind': 'area',
            'title': f'{first} by day',
            'w': HALF,
            'h': 4,
            'query': {'measures': [first], 'every': 'P1D', **facts.several},
            'show': {'stacked': facts.series > 1},
        },
        *(_line(facts, measure, HALF) for measure in others[:2]),
    ]


def _prices(facts: _Facts) -> list[Json]:
    found = [next((name for name in facts.measures if price in name.lower()), '') for price in PRICES]
    four = found if all(found) else [facts.measures[0]]
    volume = next((name for name in facts.measures if 'volume' in name.lower()), '')
    query = {'measures': four, **({'volume': volume} if volume else {}), **({'top': 1} if facts.series > 1 else {})}
    close = four[-1]
    return [
        {'kind': 'candles', 'title': 'Price', 'w': WIDE, 'h': 5, 'query': query},
        {
            'kind': 'line',
            'title': f'{close} with its bands',
            'w': HALF,
            'h': 4,
            'query': {
                'measures': [close],
                'every': 'P1D',
                'aggregation': 'last',
                'overlays': ['bollinger~20~2'],
                'top': 1,
            },
        },
        _spread(close, facts, HALF),
        _figure(facts, close),
    ]
