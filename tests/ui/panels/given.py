"""What tests of panels hand to the modules: lines, answers, panels, and what all of them begin with."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from core.panels import parsed

Told = Callable[..., Any]
DAY = 86_400_000
HOUR = 3_600_000
WEEK = 7 * DAY
# A page without a document, for modules that bring their style with them.
PAGE = """
globalThis.CSSStyleSheet = class { replaceSync() {} };
globalThis.document = { adoptedStyleSheets: [] };
"""
EXPLORE = f"{PAGE}const explore = await import('./explore.js');\n"
# Answers come as typed arrays in which NaN is no value; JSON knows neither.
READ = """
const numbers = (values) => Float64Array.from(values, (value) => value ?? NaN);
for (const one of given.answer.lines) for (const [name,
        values] of Object.entries(one.columns)) one.columns[name] = numbers(values);
"""
SCENE = f"""{READ}
const made = scene.scene(given.panel, given.answer, given.context, {{ hidden: new Set(given.hidden ?? []),
        forecast: given.forecast ?? null }});
"""


def ms(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp() * 1000


def line(name: str, t: list[float], y: list[float | None], **more: Any) -> dict[str, Any]:
    columns = {'t': t, 'y': y, **more.pop('columns', {})}
    return (
        {'name': name, 'series': name, 'measure': 'load', 'role': 'value', 'of': '', 'n': len(t)}
        | more
        | {'columns': columns}
    )


def buckets(cuts: list[float], n: list[int], **more: Any) -> dict[str, Any]:
    columns = {'until': cuts[1:], 'n': n}
    return line('a', cuts[:-1], [1.0] * len(n), columns=columns, **more)


def weekly(values: list[float | None], *, name: str = 'a', at: float = 0, back: str = '') -> dict[str, Any]:
    """Weeks from a Monday on, or what was `back` before them, whose weeks begin `at` days aside."""
    t = [ms(2026, 1, 5) + at * DAY + n * WEEK for n in range(len(values))]
    columns = {'until': [one + WEEK for one in t], 'n': [7] * len(t)}
    more = {'role': 'before', 'of': name} if back else {}
    return line(f'{name} {back} before' if back else name, t, values, columns=columns, **more)


def answer(*lines: dict[str, Any]) -> dict[str, Any]:
    return {'kind': 'line', 'start': 0, 'end': 10 * DAY, 'width': 100, 'exact': True, 'lines': list(lines)}


def panel(kind: str, *, show: dict[str, Any] | None = None, **query: Any) -> dict[str, Any]:
    dataset = '00000000-0000-4000-8000-000000000001'
    spec = {'panels': [{'id': 'p', 'kind': kind, 'dataset': dataset, 'query': query, 'show': show or {}}]}
    return parsed(spec)['panels'][0]


def context(**more: Any) -> dict[str, Any]:
    dataset = {'series': 3, 'keys': ['site'], 'units': {'load': 'MW'}, 'measures': ['load']}
    known = {'00000000-0000-4000-8000-000000000001': dataset | more.pop('dataset', {})}
    return {'datasets': known, 'range': None, 'series': {}, 'every': 'auto', 'compare': '', 'zone': 'UTC'} | more
