"""The browser's side of dashboards and of Explore, over the modules of `static/panels`."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from nicegui import __version__, ui
from nicegui.dependencies import esm_modules, register_esm

from core.values import Version
from ui.assets import icon_shapes, vendor_url
from ui.preferences import MARKS, preferences

STATIC = Path(__file__).parent.parent / 'static'
MODULES = STATIC / 'panels'
EXPLORE = '/explore'
NAME = 'variosync-panels'
ICONS = """
    arrow-down arrow-up box calendar calendar-days chart-area chart-bar-big chart-candlestick chart-column chart-line
    chart-scatter check chevron-down chevron-left chevron-right copy crosshair database ellipsis filter flag gauge
    grid-3x3 grip-vertical hash history image layout-dashboard link maximize message-square move plus radio redo-2
    refresh-cw search sigma sliders-horizontal square table trash-2 undo-2 unplug wand-sparkles x zoom-in zoom-out
""".split()  # noqa: SIM905 (a list of forty quoted words hides what is missing)

# Their addresses change whenever one of them does, so that browsers may keep them for a year.
register_esm(NAME, MODULES, max_time=max(file.stat().st_mtime for file in MODULES.iterdir()))


class BoardLink(ui.element, component=STATIC / 'board.js'):
    """The socket's end of a dashboard's page, whose markup is `ui/templates/dashboard.html`.

    It passes `version`, `changed` and `hears` on to the board; `on_left` is called when the browser leaves the page,
    `on_back` when it comes back to it as it was.
    """

    def __init__(self, *, on_left: Callable[[], Any], on_back: Callable[[], Any]) -> None:
        super().__init__()
        self.on('left', on_left, args=[])
        self.on('back', on_back, args=[])


class Explorer(ui.element, component=STATIC / 'explore.js'):
    """A panel with what it draws beside it; `data-ready="1"` when it is drawn."""

    def __init__(self, **props: Any) -> None:
        super().__init__()
        self.props.update({**shared(), **props})


def preloads() -> str:
    """What a dashboard's head says: its scripts come at once, side by side, and draw as soon as the board is read."""
    key = next(key for key, module in esm_modules.items() if module.name == NAME)
    others = ('explore.js', 'series.js', 'strip.js')
    modules = [file.name for file in sorted(MODULES.glob('*.js')) if file.name not in others]
    links = [f'<script async fetchpriority="high" src="{source}"></script>' for source in _engines().values()]
    links += [f'<link rel="modulepreload" href="/_nicegui/{__version__}/esm/{key}/{name}">' for name in modules]
    begin = f'<script type="module" async>import {{ begin }} from "{NAME}/page.js"; begin();</script>'
    return ''.join(links) + begin


def described(name: str, version: Version | None) -> dict[str, Any]:
    """What the browser knows of a dataset: its name, its version, and what there is to draw and to choose by."""
    if version is None:
        return {'name': name, 'version': None}
    manifest = version.manifest
    time, series = manifest['time'], manifest['series']
    known = {column['name']: column.get('distinct') for column in manifest['columns']}
    return {
        'name': name,
        'version': version.number,
        'span': [_ms(time['start']), _ms(time['end'])] if time.get('start') else None,
        'zone': time.get('zone') or '',
        'step': float(time.get('step_seconds') or 0) * 1000,
        'measures': list(manifest['measures']),
        'keys': list(series.get('columns') or ()),
        'series': series['count'],
        'first': list(series.get('first') or ()),
        'distinct': {name: known[name] for name in series.get('columns') or () if known.get(name)},
        'units': {column['name']: column.get('unit') or '' for column in manifest['columns']},
    }


def _ms(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp() * 1000


def shared() -> dict[str, Any]:
    """What both pages need: scripts by their addresses, icons, and how the user writes numbers and times."""
    wanted = preferences()
    return {
        'engines': _engines(),
        'icons': {name: icon_shapes(name) for name in ICONS},
        'marks': list(MARKS.get(wanted.number_format, (',', '.'))),
        'zone': wanted.time_zone,
        'explore': EXPLORE,
    }


def _engines() -> dict[str, str]:
    return {'uplot': vendor_url('uplot.min.js'), 'gridstack': vendor_url('gridstack.min.js')}
