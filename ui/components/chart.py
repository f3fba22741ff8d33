"""Charts of series and of forecasts: a component that fetches its points by URL and draws them with Plotly."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from ui.assets import asset_url, icon_shapes, vendor_url

SCRIPT = Path(__file__).parent.parent / 'static' / 'chart.js'
ICONS = {'down': 'chevron-down', 'image': 'image', 'table': 'table', 'link': 'link', 'check': 'check'}


class SeriesChart(ui.element, component=SCRIPT):
    """The browser's side is `static/chart.js`; `data-ready="1"` when drawn, `data-fetches` counts answers."""

    def __init__(self, **props: Any) -> None:
        super().__init__()
        icons = {key: icon_shapes(name) for key, name in ICONS.items()}
        shared = {'plotly': vendor_url('plotly.min.js'), 'template_url': asset_url('plotly_template.json')}
        self.props.update({**shared, 'icons': icons, 'most': 20, **props})

    def set_range(self, preset: str) -> None:
        """Show the last `1D`, `1W`, `1M`, `1Y`, `5Y`, or `All`."""
        self.run_method('setRange', preset)

    def compare(self, shown: Sequence[str], chosen: str) -> None:
        """Draw these models of a forecast, with the bands of `chosen`."""
        self.props.update({'shown': list(shown), 'chosen': chosen})

    def mark(self, on: bool) -> None:
        """Mark what stands out in the history of a forecast, or do not."""
        self.props['marks'] = on


def series_chart(
    url: str,
    *,
    measures: Sequence[str],
    chosen: Sequence[str] = (),
    labels: Sequence[str] = ('',),
    series: Sequence[str] = (),
    name: str = 'Chart',
    height: int = 360,
    address: bool = True,
    on_view: Callable[[Mapping[str, Any]], Any] | None = None,
) -> SeriesChart:
    """A chart of `measures` × `labels` (the series' names, `''` alone when there is one), first of `chosen` × `series`.

    `url` answers `?from&to&width&measure&series` with points (`core.analysis.series`), and with a CSV file on
    `&format=csv`. With `address`, the page's address holds the view. `on_view` gets `from` and `to` (epoch ms,
    None = all), `measure` and `series` whenever the view changes.
    """
    known = list(labels) or ['']
    chart = SeriesChart(
        mode='series',
        url=url,
        height=height,
        label=f'Chart of {name}',
        name=name,
        measures=list(measures),
        series=known,
        chosen_measures=list(chosen) or list(measures[:1]),
        chosen_series=list(series) or known[:1],
        labels={},
        csv='',
        address=address,
    )
    if on_view:
        chart.on('view', lambda event: on_view(event.args))
    return chart


def forecast_chart(
    url: str,
    *,
    labels: Mapping[str, str] | None = None,
    series: str | None = None,
    shown: Sequence[str] = (),
    chosen: str = '',
    marks: bool = True,
    csv: str = '',
    name: str = 'Forecast',
    height: int = 360,
) -> SeriesChart:
    """A chart of a forecast: actuals, a line a model, the bands of one of them, the cutoff, and what came since.

    `url` answers `?series` with `{history: {t, y}, cutoff, models: [{name, t, mean, q: {"0.1": […]}}], notes, base,
    came}`, times in epoch ms; `notes` (`kind`, `t`, `y`, `low`, `high`) are marked on the history with `marks`, `base`
    are the lines (`name`, `t`, `mean`) that a what-if started from, drawn for `chosen`, and `came` is None or what came
    after the cutoff (`t`, `y`). `labels` gives models their shown names, `shown` tells which are
    drawn (none: all) and `chosen` whose bands; `compare` changes both. `csv` is where the rows are downloaded.
    """
    return SeriesChart(
        mode='forecast',
        url=f'{url}?{urlencode({"series": series})}' if series is not None else url,
        height=height,
        label=f'Chart of {name}',
        name=name,
        measures=[],
        series=[],
        chosen_measures=[],
        chosen_series=[],
        labels=dict(labels or {}),
        shown=list(shown),
        chosen=chosen,
        marks=marks,
        csv=csv,
        address=False,
    )
