"""Forecasts: the list, and the form that asks for one."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from nicegui import ui

from core.analysis.forecasting.registry import MODELS
from core.analysis.panel import AGGREGATES, STEPS
from core.errors import NotFound
from core.forecasts import HORIZONS, Ask, defaults
from core.services import Services
from core.values import Balance, Dataset, Forecast, JobState, Version
from ui.components import formats
from ui.components.hours import Price
from ui.components.parts import badge, button, card, chip, field, page_head, tag
from ui.components.states import empty_state
from ui.components.table import Column, table
from ui.components.times import when
from ui.live import follow
from ui.session import current
from ui.theme import frame

AS_SAMPLED = 'as sampled'
STEP_NAMES = {
    AS_SAMPLED: AS_SAMPLED,
    'h': 'hours',
    'D': 'days',
    'W-MON': 'weeks',
    'MS': 'months',
    'QS': 'quarters',
    'YS': 'years',
}
MOST_LABELS = 1000
LEVELS = (50, 80, 90, 95)
MODEL_NAMES = {
    'auto': 'Auto', 'seasonal_naive': 'Seasonal naive', 'ets': 'ETS', 'theta': 'Theta', 'mstl': 'MSTL',
    'prophet': 'Prophet', 'lightgbm': 'LightGBM',
}  # fmt: skip
STATE_BADGES = {'succeeded': 'ok', 'failed': 'bad', 'cancelled': 'line', 'queued': 'line', 'running': 'acc'}


def model_name(name: str) -> str:
    """What a model is called on pages."""
    return MODEL_NAMES.get(name, name)


def register(services: Services) -> None:
    """Serve `/forecasts` and `/forecasts/new`."""

    @ui.page('/forecasts')
    async def forecasts() -> None:
        with frame(services, 'Forecasts', active='/forecasts') as session:
            page_head('Forecasts', 'Each one is kept as it was issued.', actions=_new_button)
            box = tag('div')

            async def refresh() -> None:
                found = await services.forecasts.list(session.user.id)
                box.clear()
                with box, card():
                    if found:
                        _list(found)
                    else:
                        empty_state(
                            'No forecasts yet',
                            'Choose a dataset and a horizon. The forecast shows its bands, and how well they held.',
                            actions=_new_button,
                        )

            await refresh()

            async def changed(message: Mapping[str, Any]) -> None:
                if message.get('forecast') and message.get('state') != JobState.RUNNING:
                    await refresh()

            follow(services.events, f'{session.user.id}/jobs', changed, within=box, on_ready=refresh)

    @ui.page('/forecasts/new')
    async def new(dataset: str = '', target: str = '', series: str = '') -> None:
        user_id = current().user.id
        ready = [data for data in await services.datasets.list(user_id) if data.version is not None]
        chosen = next((data for data in ready if str(data.id) == dataset), None)
        if dataset and chosen is None:
            raise NotFound('There is no such dataset, or it has not been converted yet.')
        with frame(services, ('Forecasts', '/forecasts'), 'New forecast', active='/forecasts') as session:
            page_head('New forecast')
            if not ready:
                with card():
                    empty_state(
                        'No data to forecast yet',
                        'Upload a file first; its measures can then be forecast.',
                        actions=lambda: button('Go to datasets', kind='pri', href='/datasets'),
                    )
                return
            chosen = chosen or ready[0]
            version = await services.datasets.version(user_id, chosen.id)
            labels = await services.datasets.labels(user_id, version, limit=MOST_LABELS)
            form = Form(services, ready, chosen, version, labels, target, series)
            form.draw(await services.hours.balance(user_id))
            if form.price:
                form.price.follow(services, session)


def _new_button() -> None:
    button('New forecast', icon_name='plus', kind='pri', href='/forecasts/new')


def _list(found: Sequence[Forecast]) -> None:
    def name(forecast: Forecast) -> None:
        with tag('div', classes='vs'):
            tag('span', forecast.name, 'w5 cut')
            tag('span', f'{forecast.dataset_name} v{forecast.version}', 't12 t3 cut')

    table(
        [
            Column[Forecast](label='Name', cell=name, width='34%'),
            Column[Forecast](label='Steps', cell=lambda f: str(f.request['h']), num=True, width='10%'),
            Column[Forecast](
                label='Models',
                cell=lambda f: ', '.join(map(model_name, f.request['models'])),
                classes='t2 pad-l',
                phone=False,
            ),
            Column[Forecast](label='State', cell=lambda f: badge(f.state.value, STATE_BADGES[f.state]) and None),
            Column[Forecast](label='Asked', cell=lambda f: when(f.created_at) and None, num=True, phone=False),
        ],
        found,
        href=lambda f: f'/forecasts/{f.id}',
        label='Forecasts',
    )


class Form:
    """What to forecast, how far and by which models."""

    def __init__(
        self,
        services: Services,
        ready: Sequence[Dataset],
        chosen: Dataset,
        version: Version,
        labels: Sequence[str],
        target: str,
        series: str,
    ) -> None:
        self.services = services
        self.ready = ready
        self.dataset = chosen
        self.version = version
        self.start = defaults(version)
        self.measures: list[str] = version.manifest['measures']
        self.target = target if target in self.measures else self.start.target
        self.labels = list(labels)
        self.series = [series] if series in self.labels and len(self.labels) > 1 else []
        self.models = {'auto'}
        self.levels = {80, 95}
        self.price: Price | None = None

    def draw(self, balance: Balance) -> None:
        """Draw the form, with what it costs beside its button."""
        if not self.measures:
            with card():
                empty_state(
                    'This dataset has no measure',
                    'Make a numeric column a measure first.',
                    actions=lambda: button('Its columns', kind='pri', href=f'/datasets/{self.dataset.id}?tab=columns'),
                )
            return
        with card('What to forecast', classes='form-card'), tag('div', classes='vs body form'):
            with field('Dataset'):
                self._dataset_select()
            with tag('div', classes='form-2'):
                with field('Measure'):
                    measure = ui.select(self.measures, value=self.target, on_change=self._reckon)
                    self.target_select = measure.classes('target')
                with field('Series'):
                    self.series_select = self._series_select()
            with tag('div', classes='form-3'):
                with field('Steps ahead'):
                    self.h = (
                        ui.number(value=self.start.h, min=1, max=5000, precision=0, on_change=self._reckon)
                        .classes('horizon')
                        .props('aria-label="Steps ahead"')
                    )
                with field('Each step is'):
                    steps = {key: STEP_NAMES[key] for key in (AS_SAMPLED, *STEPS)}
                    self.step = ui.select(steps, value=AS_SAMPLED, on_change=self._suit_horizon)
                with field('Values of a step'):
                    self.aggregate = ui.select(list(AGGREGATES), value='mean').bind_enabled_from(
                        self.step, 'value', backward=lambda value: value != AS_SAMPLED
                    )
            self._chips('Models', {name: model_name(name) for name in MODELS}, self.models)
            self._chips('Bands', {level: f'{level}%' for level in LEVELS}, self.levels)
            with field('Name'):
                self.name = ui.input(placeholder='Optional').props('maxlength=255')
            with tag('div', classes='vs quote-box'):
                self.price = Price(balance)
                tag('span', 'What is not used comes back when it ends.', 't12 t3')
            with tag('div', classes='hs'):
                self.price.guard(button('Run forecast', kind='pri', icon_name='play', on_click=self.submit))
            tag('span', self._sampling(), 't12 t3')
        self._reckon()

    def _suit_horizon(self) -> None:
        """48 hours are a good horizon, 48 months are not."""
        step = self.step.value
        self.h.value = self.start.h if step == AS_SAMPLED else HORIZONS[step[0]]

    def _dataset_select(self) -> None:
        names = {str(data.id): data.name for data in self.ready}
        ui.select(
            names,
            value=str(self.dataset.id),
            on_change=lambda event: ui.navigate.to(f'/forecasts/new?dataset={event.value}'),
        )

    def _series_select(self) -> ui.select:
        if len(self.labels) < 2:
            return ui.select({'': 'The only one'}, value='').props('disable')
        select = ui.select(self.labels, value=self.series, multiple=True, with_input=True, on_change=self._reckon)
        return select.props('use-chips placeholder="All of them"')

    def _chips(self, label: str, options: Mapping[Any, str], chosen: set[Any]) -> None:
        with tag('fieldset', classes='chips-field'):
            tag('legend', label)
            with tag('div', classes='hs chips wrap'):
                for key, text in options.items():
                    self._chip(key, text, chosen)

    def _chip(self, key: Any, text: str, chosen: set[Any]) -> None:
        def toggle() -> None:
            # Changed in place: a click on a neighbour may be on its way already.
            chosen.symmetric_difference_update({key})
            element.props['aria-pressed'] = str(key in chosen).lower()
            self._reckon()

        element = chip(text, on=key in chosen, on_click=toggle)

    def _sampling(self) -> str:
        span = self.version.manifest['time']
        return f'Sampled {formats.step(span["freq"], span["step_seconds"])} until {formats.moment(span["end"])}.'

    def _ask(self) -> Ask:
        order = list(MODELS)
        return Ask(
            target=self.target_select.value,
            h=int(self.h.value or 0),
            series=tuple(self.series_select.value or ()) if len(self.labels) > 1 else (),
            models=tuple(sorted(self.models, key=order.index)),
            levels=tuple(sorted(self.levels)),
            step=None if self.step.value == AS_SAMPLED else self.step.value,
            aggregate=self.aggregate.value,
            name=self.name.value or '',
        )

    def _reckon(self) -> None:
        """Say what the forecast would cost as the form stands."""
        if self.price is None:
            return
        if not self.models:
            self.price.show(None, why_not='Choose a model.')
            return
        self.price.show(self.services.forecasts.quote(self.version, self._ask()))

    async def submit(self) -> None:
        """Ask for the forecast and open its page."""
        user_id: UUID = current().user.id
        forecast = await self.services.forecasts.request(user_id, self.version, self._ask())
        ui.navigate.to(f'/forecasts/{forecast.id}')
