"""The browser's side of dashboards and of Explore, over the modules of `static/panels`."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from nicegui import ui
from nicegui.dependencies import register_importmap_override

from core.values import Version
from ui.assets import icon_shapes, panels_url, vendor_url
from ui.preferences import MARKS, preferences
from ui.standing import HOLDS

STATIC = Path(__file__).parent.parent / 'static'
EXPLORE = '/explore'
NAME = 'variosync-panels'
ICONS = """
    arrow-down arrow-up box calendar calendar-days chart-area chart-bar-big chart-candlestick chart-column chart-line
    chart-scatter check chevron-down chevron-left chevron-right copy crosshair database ellipsis filter flag gauge
    grid-3x3 grip-vertical hash history image layout-dashboard link maximize message-square move plus radio redo-2
    refresh-cw search sigma sliders-horizontal square table trash-2 undo-2 unplug wand-sparkles x zoom-in zoom-out
""".split()  # noqa: SIM905 (a list of forty quoted words hides what is missing)


def find_modules() -> None:
    """Tell every page where the modules of `static/panels` are; `mount` calls this once."""
    register_importmap_override(NAME, panels_url())


class BoardLink(ui.element, component=STATIC / 'board.js'):
    """The socket's end of a dashboard's page, whose markup is `ui/templates/dashboard.html`.

    It passes `version`, `changed` and `hears` on to the board; `on_left` is called when the browser leaves the page,
    `on_back` when it comes back to it as it was.
    """

    def __init__(self, *, on_left: Callable[[], Any], on_back: Callable[[], Any]) -> None:
        super().__init__()
        self.on('left', on_left, args=[])
        self.on('back', on_back, args=[])


class Charting(ui.element):
    """A component made of panels; its scripts are fetched while the framework's are."""

    def __init__(self, **props: Any) -> None:
        super().__init__()
        ui.add_head_html(_fetched())
        self.props.update({**shared(), **props})


class Explorer(Charting, component=STATIC / 'explore.js'):
    """A panel with what it draws beside it; `data-ready="1"` when it is drawn."""


def preloads() -> str:
    """What a dashboard's head says: its script comes at once and asks for points as soon as the board is read."""
    return f'{HOLDS}{_fetched()}<script type="module" async>import {{ begin }} from "{NAME}"; begin();</script>'


def _fetched() -> str:
    """What panels are drawn by; uPlot is only run while points are on their way."""
    return (
        f'<link rel="modulepreload" href="{panels_url()}">'
        f'<link rel="preload" as="script" href="{vendor_url("uplot.min.js")}">'
    )


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
        'zone': version.zone,
        'dates': version.dates,
        'step': float(time.get('step_seconds') or 0) * 1000,
        'measures': list(manifest['measures']),
        'keys': list(series.get('columns') or ()),
        'series': series['count'],
        'first': list(series.get('first') or ()),
        'opens': version.opens,
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
