"""Why a forecast is as it is: components, contributions, importances and attention, as its model tells them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from nicegui import ui

from ui.components import formats
from ui.components.parts import card, panel, segment, tag
from ui.components.plot import Line, plot, thinned, time_ticks
from ui.components.shares import Share, parts_of, share_bars
from ui.components.states import empty_state
from ui.pages.forecast.state import Shown, View
from ui.pages.forecast_words import model_name

MOST_SHARES = 14
EXPLAINING = 'Prophet, LightGBM and TFT explain their forecasts'
Row = Mapping[str, Any]


class ExplainTab(View):
    """What one model tells about one series."""

    def __init__(self, shown: Shown) -> None:
        super().__init__(shown)
        self.rows: Sequence[Row] = ()
        self.models = [model['name'] for model in shown.result['models'] if model.get('explained')]
        # Auto tells its members' weights alone; a member tells more.
        telling = sorted(self.models, key=lambda name: name == 'auto')
        self.model = shown.state.model if shown.state.model in self.models else (telling or [''])[0]

    async def load(self) -> None:
        """Read what the model tells."""
        shown = self.shown
        if self.model:
            self.rows = await shown.services.forecasts.explained(
                shown.session.user.id, shown.forecast.id, model=self.model, series=shown.series
            )

    async def draw(self) -> None:
        """Draw each kind of explanation that there is."""
        if not self.models:
            with card():
                empty_state(
                    'No explanation was kept',
                    f'{EXPLAINING}; ask for another forecast by one of them.',
                )
            return
        self._choices()
        if self.away:
            self.out_of_reach()
            return
        if not self.rows:
            with card():
                empty_state(
                    'Nothing about this series',
                    f'{model_name(self.model)} tells nothing about "{self.shown.series}": it may have been given by '
                    'another model, or lies beyond the series that are explained.',
                )
            return
        of = {kind: [row for row in self.rows if row['kind'] == kind] for kind in dict.fromkeys(_kinds(self.rows))}
        if components := of.get('component'):
            self._components(components)
        if contributions := of.get('contribution'):
            self._contributions(contributions)
        with tag('div', classes='g12'):
            if importances := of.get('importance'):
                self._importances(importances)
            if attention := of.get('attention'):
                self._attention(attention)

    def _choices(self) -> None:
        shown = self.shown
        if len(self.models) < 2 and shown.n_series < 2:
            return
        with tag('div', classes='hs wrap'):
            if len(self.models) > 1:
                segment(
                    {name: model_name(name) for name in self.models},
                    self.model,
                    label='Model',
                    on_change=lambda model: ui.navigate.to(shown.address(model=model)),
                )
            if shown.n_series > 1:
                ui.select(
                    list(dict.fromkeys([shown.series, *shown.result['series']])),
                    value=shown.series,
                    with_input=True,
                    on_change=lambda event: ui.navigate.to(shown.address(series=event.value)) if event.value else None,
                ).props('aria-label=Series').classes('series-select')

    def _components(self, rows: Sequence[Row]) -> None:
        with tag('div', classes='g12'):
            for row in rows:
                x, y = thinned(row['t'], row['value'])
                with panel(_named(row['name']), model_name(self.model)):
                    plot(
                        [Line(x=x, y=y, colour=self.shown.colour(self.model))],
                        label=f'Component {row["name"]} over time',
                        height=150,
                        x_ticks=time_ticks(x[0], x[-1], zone=self.shown.times.zone),
                    )

    def _contributions(self, rows: Sequence[Row]) -> None:
        shown = self.shown
        steps = len(rows[0]['value'])
        step = shown.state.step if 1 <= shown.state.step <= steps else 0
        options = {'0': 'Averaged'} | {str(place): f'step {place}' for place in range(1, steps + 1)}

        def choose() -> None:
            select = ui.select(
                options,
                value=str(step),
                on_change=lambda event: ui.navigate.to(shown.address(step=int(event.value))),
            )
            select.props('aria-label="Step ahead"').classes('bands-select')

        about = 'size of what moves the forecast, averaged over all steps'
        if step:
            about = _moment(rows[0], step, shown)
        with card('What moves the forecast', about, actions=choose), tag('div', classes='body'):
            share_bars(
                _shares(rows, step, shown.colour(self.model)),
                label='Contributions by group of features',
                signed=bool(step),
            )

    def _importances(self, rows: Sequence[Row]) -> None:
        """Each group of importances adds up to one: TFT weighs what is static, past and future by themselves."""
        if self.model == 'auto':
            weights = {model_name(row['name']): row['value'][0] for row in rows}
            self._weights('What Auto is made of', 'share of each member', weights)
            if self.models == ['auto']:
                tag('p', f'Auto tells what it is made of. {EXPLAINING}: ask for one by them, too.', 't2 c6')
            return
        groups: dict[str, dict[str, float]] = {}
        for row in rows:
            group, parted, name = row['name'].partition(': ')
            groups.setdefault(group if parted else '', {})[_named(name if parted else group)] = row['value'][0]
        for group, weights in groups.items():
            self._weights(f'What it looks at{f", {group}" if group else ""}', 'importance over all series', weights)

    def _weights(self, title: str, sub: str, weights: Mapping[str, float]) -> None:
        with panel(title, sub):
            parts_of(weights, self.shown.colour(self.model), title, most=MOST_SHARES)

    def _attention(self, rows: Sequence[Row]) -> None:
        row = rows[0]
        with panel('Which past it attends to', 'share of the attention'):
            plot(
                [Line(x=row['t'], y=row['value'], colour=self.shown.colour(self.model))],
                label='Attention to past steps',
                height=200,
                x_ticks=time_ticks(row['t'][0], row['t'][-1], zone=self.shown.times.zone),
                y_text=lambda share: formats.percent(share, 1),
            )


def _shares(rows: Sequence[Row], step: int, colour: str) -> list[Share]:
    """Of one step what each group adds or takes away, or of all steps how much it moves the forecast."""
    values = {
        row['name']: row['value'][step - 1] if step else sum(map(abs, row['value'])) / max(1, len(row['value']))
        for row in rows
    }
    ranked = sorted(values.items(), key=lambda item: -abs(item[1]))[:MOST_SHARES]
    return [
        Share(
            name=_named(name),
            value=value,
            text=('+' if step and value > 0 else '') + formats.number(float(f'{value:.4g}')),
            colour='red' if step and value < 0 else colour,
        )
        for name, value in ranked
    ]


def _moment(row: Row, step: int, shown: Shown) -> str:
    at = row['t'][step - 1] if row['t'] else None
    if at is None:
        return f'step {step}'
    return f'step {step}, {shown.at(datetime.fromtimestamp(at / 1000, UTC))}'


def _kinds(rows: Sequence[Row]) -> list[str]:
    return [row['kind'] for row in rows]


def _named(name: str) -> str:
    """A name as a model gives it, as words."""
    text = name.replace('_', ' ')
    return text[:1].upper() + text[1:]
