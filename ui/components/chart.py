"""Charts of a dataset's series, by a panel, and of forecasts, by Plotly; both fetch what they draw by URL."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from ui.assets import asset_url, icon_shapes, vendor_url
from ui.components.panels import shared

STATIC = Path(__file__).parent.parent / 'static'
ICONS = {'image': 'image', 'lines': 'chart-line', 'table': 'table', 'link': 'link', 'check': 'check'}


class SeriesPanel(ui.element, component=STATIC / 'series.js'):
    """The chart of a version: its measures and series in one panel, every choice in the page's address.

    `known` is what `described` tells of the dataset, `faulty` whether it has faults that can be marked. `on_point` gets
    `t` (epoch ms), `series` and `measure` of a point that was pressed.
    """

    def __init__(
        self,
        dataset: str,
        known: Mapping[str, Any],
        *,
        name: str,
        faulty: bool,
        on_point: Callable[[Mapping[str, Any]], Any],
    ) -> None:
        super().__init__()
        self.props.update({**shared(), 'dataset': dataset, 'known': dict(known), 'name': name, 'faulty': faulty})
        self.on('point', lambda event: on_point(event.args))


class ForecastChart(ui.element, component=STATIC / 'chart.js'):
    """The browser's side is `static/chart.js`; `data-ready="1"` when drawn, `data-fetches` counts answers."""

    def __init__(self, **props: Any) -> None:
        super().__init__()
        icons = {key: icon_shapes(name) for key, name in ICONS.items()}
        sources = {'plotly': vendor_url('plotly.min.js'), 'template_url': asset_url('plotly_template.json')}
        self.props.update({**sources, 'icons': icons, **props})

    def compare(self, shown: Sequence[str], chosen: str) -> None:
        """Draw these models of a forecast, with the bands of `chosen`."""
        self.props.update({'shown': list(shown), 'chosen': chosen})

    def mark(self, on: bool) -> None:
        """Mark what stands out in the history of a forecast, or do not."""
        self.props['marks'] = on


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
) -> ForecastChart:
    """A chart of a forecast: actuals, a line a model, the bands of one of them, the cutoff, and what came since.

    `url` answers `?series` with `{history: {t, y}, cutoff, models: [{name, t, mean, q: {"0.1": […]}}], notes, base,
    came}`, times in epoch ms; `notes` (`kind`, `t`, `y`, `low`, `high`) are marked on the history with `marks`, `base`
    are the lines (`name`, `t`, `mean`) that a what-if started from, drawn for `chosen`, and `came` is None or what came
    after the cutoff (`t`, `y`). `labels` gives models their shown names, `shown` tells which are
    drawn (none: all) and `chosen` whose bands; `compare` changes both. `csv` is where the rows are downloaded.
    """
    return ForecastChart(
        url=f'{url}?{urlencode({"series": series})}' if series is not None else url,
        height=height,
        label=f'Chart of {name}',
        name=name,
        labels=dict(labels or {}),
        shown=list(shown),
        chosen=chosen,
        marks=marks,
        csv=csv,
    )
