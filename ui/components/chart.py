"""Charts of a dataset's series and of a forecast, each by a panel that fetches what it draws by URL."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ui.components.panels import Charting

EVERY = {'h': 'PT1H', 'D': 'P1D', 'W-MON': 'P1W', 'MS': 'P1M', 'QS': 'P3M', 'YS': 'P1Y'}
"""Steps of forecasts as those of panels."""
STATIC = Path(__file__).parent.parent / 'static'


class SeriesPanel(Charting, component=STATIC / 'series.js'):
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
        super().__init__(dataset=dataset, known=dict(known), name=name, faulty=faulty)
        self.on('point', lambda event: on_point(event.args))


class ForecastChart(Charting, component=STATIC / 'forecast.js'):
    """The chart of a forecast: actuals, a line a model, the bands of one of them, the cutoff, and what came since.

    It draws what `GET /forecasts/{forecast}/chart` answers for `series` (the first one if none is named); its exports
    are the rows of the forecast. `shown` tells which models are drawn (none: all) and `chosen` whose bands; `compare`
    changes both. `asked` is what draws its target in Explore, over `dataset`. Times are told by the clock of `zone`.
    `on_range` gets what the address says of the window after each choice. `data-ready="1"` when drawn, `data-fetches`
    counts drawings of an answer.
    """

    def __init__(
        self,
        forecast: str,
        *,
        dataset: str,
        asked: Mapping[str, Any],
        series: str = '',
        shown: Sequence[str] = (),
        chosen: str = '',
        noted: bool = True,
        zone: str = '',
        name: str = 'Forecast',
        on_range: Callable[[Mapping[str, str]], Any] | None = None,
    ) -> None:
        super().__init__(
            **{'id': forecast, 'series': series, 'name': name, 'dataset': dataset, 'asked': dict(asked)},
            **{'shown': list(shown), 'chosen': chosen, 'noted': noted, 'zone': zone or 'UTC'},
        )
        if on_range is not None:
            self.on('range', lambda event: on_range(event.args))

    def compare(self, shown: Sequence[str], chosen: str) -> None:
        """Draw these models of a forecast, with the bands of `chosen`."""
        self.props.update({'shown': list(shown), 'chosen': chosen})

    def note(self, on: bool) -> None:
        """Mark what stands out in the history of a forecast, or do not."""
        self.props['noted'] = on


def asked(request: Mapping[str, Any]) -> dict[str, Any]:
    """What draws the target of a forecast in a panel, in the steps that it was forecast in."""
    every = EVERY.get(request.get('step') or '')
    if not every:
        return {'measures': [request['target']]}
    return {'measures': [request['target']], 'every': every, 'aggregation': request.get('aggregate') or 'mean'}
