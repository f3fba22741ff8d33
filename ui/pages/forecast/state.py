"""What the page of a forecast shows, as its address says it, and what all of its parts read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from core.forecasts import Times, best
from core.services import Services
from core.values import Forecast, Session
from ui.components import formats
from ui.components.parts import card
from ui.components.states import out_of_reach

TABS = ('chart', 'leaderboard', 'series', 'residuals', 'explain')
BY = ('overall', 'horizon', 'series')
WINDOW = ('from', 'to', 'last')
COLOURS = 8
MOST_AT_FIRST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The open tab, the series and the model that are looked at, which models are drawn, and places in lists.

    What is empty is chosen by the page: the first series, the best model, the best few models. `window` is what the
    address says of the times that the chart shows, as the chart has written it.
    """

    tab: str = 'chart'
    series: str = ''
    model: str = ''
    models: tuple[str, ...] = ()
    marks: int = 1
    by: str = 'overall'
    q: str = ''
    page: int = 1
    step: int = 0
    window: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A forecast with its result, as one request sees it; `times` is how times of its data are told.

    `dataset_until` is until when its dataset can be brought back, where that was deleted.
    """

    services: Services
    session: Session
    forecast: Forecast
    result: Mapping[str, Any]
    state: State
    times: Times = field(default_factory=lambda: Times(zone=''))
    dataset_until: datetime | None = None

    @property
    def names(self) -> Sequence[str]:
        """The models, in the order of the request."""
        return [model['name'] for model in self.result['models']]

    @property
    def usable(self) -> Sequence[str]:
        """The models that gave rows."""
        return [model['name'] for model in self.result['models'] if model['rows']]

    @property
    def best(self) -> str:
        """The usable model with the lowest MASE, the first one where nothing was measured."""
        return best(self.result)

    @property
    def model(self) -> str:
        """The model that is looked at."""
        return self.state.model if self.state.model in self.names else self.best

    @property
    def drawn(self) -> Sequence[str]:
        """The models that are drawn."""
        if asked := [name for name in self.usable if name in self.state.models]:
            return asked
        mase = {score['model']: score['mase'] for score in self.result['scores'] if score['mase'] is not None}
        ranked = sorted(self.usable, key=lambda name: (name != self.model, mase.get(name, float('inf'))))
        return [name for name in self.usable if name in ranked[:MOST_AT_FIRST]]

    @property
    def banded(self) -> str:
        """The model whose bands are drawn: the one that is looked at, if it is drawn itself."""
        return self.model if self.model in self.drawn or not self.drawn else self.drawn[0]

    @property
    def series(self) -> str:
        """The series that is looked at: any that the address names, since a result lists its first thousand alone."""
        known = self.result['series']
        if self.state.series and (self.state.series in known or self.n_series > len(known)):
            return self.state.series
        return known[0] if known else ''

    @property
    def n_series(self) -> int:
        """How many series were forecast."""
        return int(self.result.get('n_series') or len(self.result['series']))

    @property
    def cutoffs(self) -> tuple[str, str]:
        """The first and the last cutoff of any series in words, both the same where all end together; '' for none."""
        known = [model for model in self.result['models'] if model['cutoff']]
        if not known:
            return '', ''
        first = min(model.get('first_cutoff') or model['cutoff'] for model in known)
        return self.at(first), self.at(max(model['cutoff'] for model in known))

    def at(self, stamp: datetime | str | None) -> str:
        """A time of the data in words, by the clock of the data; of an hour that comes twice, which one it is."""
        at = formats.local(stamp, self.times.zone)
        if at is None or self.times.days:
            return formats.day(at)
        twice = at.replace(fold=0).utcoffset() != at.replace(fold=1).utcoffset()
        return f'{formats.moment(at)} {at:%Z}' if twice else formats.moment(at)

    def score(self, model: str) -> Mapping[str, Any] | None:
        """How a model did on the past, None when it was not measured."""
        return next((score for score in self.result['scores'] if score['model'] == model), None)

    def colour(self, model: str) -> str:
        """The token of a model's colour: the same wherever it is drawn."""
        return f'series-{self.names.index(model) % COLOURS + 1}' if model in self.names else 'series-8'

    def address(self, **changed: Any) -> str:
        """The address of this page with some of it changed."""
        return address(self.forecast, replace(self.state, **changed))


class View:
    """A tab: it loads what it shows, then draws it; `on_change` is told when what is chosen changes in place.

    `away` says why what is stored cannot be read now: what `load` had not read yet is as it was made then.
    """

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self.away = ''
        self.on_change: Callable[[Shown], None] = lambda shown: None

    async def load(self) -> None:
        """Read what the tab shows. Raise Unavailable while what is stored is out of reach."""

    async def draw(self) -> None:
        """Draw the tab."""

    def out_of_reach(self) -> None:
        """Say that what would stand here cannot be read now."""
        with card():
            out_of_reach(self.away, kept='The forecast, as it was issued.')


def address(forecast: Forecast, state: State) -> str:
    """The address that shows a state; what stands there anyhow is left out."""
    pairs = []
    for one in fields(State):
        value = getattr(state, one.name)
        if one.name != 'window' and value != one.default:
            pairs.append((one.name, ','.join(value) if isinstance(value, tuple) else str(value)))
    pairs += state.window
    return f'/forecasts/{forecast.id}' + (f'?{urlencode(pairs)}' if pairs else '')


def read(query: Mapping[str, str]) -> State:
    """A state from an address; what makes no sense there is left out."""
    tab, by = query.get('tab', ''), query.get('by', '')
    return State(
        tab=tab if tab in TABS else TABS[0],
        series=query.get('series', ''),
        model=query.get('model', ''),
        models=tuple(name for name in query.get('models', '').split(',') if name),
        marks=0 if query.get('marks') == '0' else 1,
        by=by if by in BY else BY[0],
        q=query.get('q', ''),
        page=_whole(query.get('page', ''), 1),
        step=_whole(query.get('step', ''), 0),
        window=windowed(query),
    )


def windowed(query: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What an address says of the window of the chart."""
    return tuple((name, str(query[name])) for name in WINDOW if query.get(name))


def _whole(text: str, otherwise: int) -> int:
    return max(otherwise, int(text)) if text.isdecimal() and len(text) < 8 else otherwise
