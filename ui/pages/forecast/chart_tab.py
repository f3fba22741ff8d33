"""The chart of one series with several models over each other, how well their bands held, and the rows."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from nicegui import ui
from nicegui.element import Element

from core.analysis.tables import Page
from core.errors import Unavailable
from core.track import Track
from ui.components import formats
from ui.components.chart import ForecastChart, asked
from ui.components.parts import Tag, badge, card, chip, tag
from ui.components.record import forecasts_of, judge, track_receipt
from ui.components.shares import parts_of
from ui.components.table import Column, table
from ui.components.times import count
from ui.pages.forecast import leaderboard_tab
from ui.pages.forecast.more_cutoffs import MoreCutoffs
from ui.pages.forecast.receipt import receipt, sentence, since, warnings_card
from ui.pages.forecast.state import Shown, View, windowed
from ui.pages.forecast.what_if import what_if_card
from ui.pages.forecast_words import model_name

ROWS = 60
STATUS_HINTS = {
    'ok': 'Forecast by the model itself',
    'fallback': 'Something simpler stood in for the model: the warnings say why',
    'failed': 'No forecast: the warnings say why',
}
FLOOR = 'seasonal_naive'
ALONE = (
    'Auto took Seasonal naive, which repeats the last season: at past cutoffs no mean of its other members came nearer '
    'to the values that followed. Where a history holds few seasons, that is often so.'
)
ALONE_LATE = (
    'Auto took Seasonal naive, which repeats the last season: the time of this forecast was too short for its other '
    'members, or they came no nearer to the values that followed past cutoffs.'
)
NOTES_NAMED = {'anomaly': ('anomaly', 'anomalies'), 'changepoint': ('changepoint', 'changepoints')}


class ChartTab(View):
    """The chart, and what follows the models that are switched on it."""

    def __init__(self, shown: Shown) -> None:
        super().__init__(shown)
        self.notes: Sequence[Mapping[str, Any]] = ()
        self.page: Page | None = None
        self.came: Track | None = None
        self.arrived: Mapping[str, Any] | None = None
        self.by_horizon: dict[str, Sequence[Mapping[str, Any]]] = {}
        self.chart: ForecastChart | None = None
        self._more = MoreCutoffs(shown)
        self._chips: dict[str, Tag] = {}
        self._receipt: Element | None = None
        self._sentence: Tag | None = None
        self._since: Tag | None = None
        self._bands: ui.select | None = None

    async def load(self) -> None:
        """Read what the tab shows, first what the database knows."""
        forecasts, user, of = self.shown.services.forecasts, self.shown.session.user.id, self.shown.forecast.id
        self.came, _ = await self.shown.services.track.of_forecast(user, of)
        await self._more.load(self.shown.banded)
        self.notes = await forecasts.notes(user, of, series=self.shown.series)
        self.page = await forecasts.rows(user, of, limit=ROWS)
        self.arrived = await forecasts.came(user, of, series=self.shown.series)
        await self._measure(self.shown.banded)

    async def _measure(self, model: str) -> None:
        """Read how a model did by step ahead, once."""
        if model not in self.by_horizon:
            forecasts, user = self.shown.services.forecasts, self.shown.session.user.id
            self.by_horizon[model] = await forecasts.leaderboard(
                user, self.shown.forecast.id, by='horizon', model=model
            )

    async def draw(self) -> None:
        """Draw the tab; the panel that asks for a what-if reads what it costs."""
        self._models()
        with tag('div', classes='g12'):
            with tag('div', classes='c8 vs gap'):
                self._card()
                leaderboard_tab.short(self.shown)
            with tag('div', classes='c4 vs gap'):
                self._receipt = tag('div', classes='vs gap')
                self._draw_receipt()
                weights_card(self.shown)
                await what_if_card(self.shown)
                warnings_card(self.shown)
        if self.away:
            self.out_of_reach()
        elif self.page is not None:
            rows_card(self.page, self.shown)

    def _models(self) -> None:
        if len(self.shown.usable) < 2:
            return
        with tag('div', classes='hs chips wrap', role='group', aria_label='Models on the chart'):
            for name in self.shown.usable:
                self._chips[name] = chip(
                    model_name(name),
                    on=name in self.shown.drawn,
                    colour=self.shown.colour(name),
                    on_click=lambda name=name: self._toggle(name),
                )

    def _card(self) -> None:
        shown, forecast = self.shown, self.shown.forecast
        with tag('section', classes='card'):
            if shown.n_series > 1 or len(shown.usable) > 1 or self.notes:
                with tag('header', classes='two chart-of'):
                    self._series_select()
                    with tag('div', classes='acts'):
                        self._bands_select()
                        self._marks_switch()
            self.chart = ForecastChart(
                str(forecast.id),
                dataset=str(forecast.dataset_id),
                asked=asked(forecast.request),
                series=shown.series,
                shown=shown.drawn,
                chosen=shown.banded,
                noted=bool(shown.state.marks),
                zone=shown.times.zone,
                name=f'{forecast.dataset_name}, {forecast.name}',
                on_range=self._window,
            )
            with tag('div', classes='held t12 t2', role='status'):
                self._since = tag('p', classes='w5')
                self._sentence = tag('p')
            self._say_held()

    def _series_select(self) -> None:
        known = list(self.shown.result['series'])
        if self.shown.n_series < 2:
            return
        if self.shown.series not in known:
            known.insert(0, self.shown.series)
        ui.select(
            known,
            value=self.shown.series,
            with_input=True,
            on_change=lambda event: ui.navigate.to(self.shown.address(series=event.value)) if event.value else None,
        ).props('aria-label=Series').classes('series-select')

    def _bands_select(self) -> None:
        if len(self.shown.usable) < 2:
            return
        tag('span', 'Bands of', 't12 t3 nowrap wide-only', id='bands-of')
        self._bands = ui.select(
            {name: model_name(name) for name in self.shown.drawn},
            value=self.shown.banded,
            on_change=lambda event: self._choose(event.value),
        )
        self._bands.props('aria-label="Bands of"').classes('bands-select')

    def _marks_switch(self) -> None:
        if not self.notes:
            return
        counts = {kind: sum(note['kind'] == kind for note in self.notes) for kind in NOTES_NAMED}
        named = [formats.counted(number, *NOTES_NAMED[kind]) for kind, number in counts.items() if number]

        def toggle() -> None:
            self._change(marks=0 if self.shown.state.marks else 1)
            on = bool(self.shown.state.marks)
            element.props['aria-pressed'] = str(on).lower()
            assert self.chart is not None
            self.chart.note(on)

        element = chip('', on=bool(self.shown.state.marks), on_click=toggle)
        text = ', '.join(named)
        element.props['aria-label'] = element.props['title'] = text
        with element:
            tag('span', text, 'wide-only lead')
            tag('span', f'{formats.counted(len(self.notes), "mark")}', 'phone-only lead')

    # what the switches do

    def _change(self, **changed: Any) -> None:
        self.shown = replace(self.shown, state=replace(self.shown.state, **changed))
        ui.navigate.history.replace(self.shown.address())
        self.on_change(self.shown)

    def _window(self, told: Mapping[str, str]) -> None:
        """Keep what the chart has put into the address of its window, wherever this page leads to itself."""
        window = windowed(told)
        if window != self.shown.state.window:
            self.shown = replace(self.shown, state=replace(self.shown.state, window=window))
            self.on_change(self.shown)

    async def _toggle(self, name: str) -> None:
        drawn = [other for other in self.shown.usable if (other in self.shown.drawn) != (other == name)]
        if not drawn:
            return
        model = self.shown.model if self.shown.model in drawn else drawn[0]
        self._change(models=tuple(drawn), model=model)
        self._chips[name].props['aria-pressed'] = str(name in drawn).lower()
        if self._bands is not None:
            self._bands.set_options({other: model_name(other) for other in drawn}, value=model)
        await self._show()

    async def _choose(self, model: str) -> None:
        if model and model != self.shown.banded:
            self._change(model=model)
            await self._show()

    async def _show(self) -> None:
        assert self.chart is not None
        assert self._receipt is not None
        self.chart.compare(self.shown.drawn, self.shown.banded)
        self._say_held()
        model = self.shown.banded
        await self._more.load(model)
        # By step ahead nothing is drawn while that is out of reach; all else is known.
        with suppress(Unavailable):
            await self._measure(model)
        # Another model may have been chosen meanwhile: its own call draws it.
        if model == self.shown.banded and not self._receipt.is_deleted:
            self._receipt.clear()
            self._draw_receipt()

    def _draw_receipt(self) -> None:
        shown, model = self.shown, self.shown.banded
        assert self._receipt is not None
        with self._receipt:
            receipt(
                model,
                shown.score(model),
                self.by_horizon.get(model, ()),
                shown.colour(model),
                adapted=(shown.forecast.request.get('adapted') or {}).get(model) or {},
                more=lambda: self._more.draw(model),
            )
            came_card(self.came, model, shown.colour(model))

    def _say_held(self) -> None:
        assert self._sentence is not None
        assert self._since is not None
        model, arrived = self.shown.banded, self.arrived
        self._sentence.text = f'{model_name(model)}: {sentence(self.shown.score(model))}'
        said = since(arrived, model)
        self._since.text = (
            f'Since it was issued, {said} Version {arrived["version"]} has them.' if arrived and said else ''
        )
        self._since.set_visibility(bool(said))


def came_card(track: Track | None, model: str, colour: str) -> None:
    """What a model's bands held of what has come since they were issued, nothing as long as nothing has."""
    figures = next((row for row in track.models if row.model == model), None) if track else None
    if track is None or figures is None:
        return
    horizons = [row for row in track.parts if row.model == model]
    track_receipt(
        figures,
        horizons,
        sub=model_name(model),
        colour=colour,
        actions=lambda: judge(figures.coverage, forecasts_of(horizons), alone=True),
    )


def weights_card(shown: Shown) -> None:
    """What `auto` is made of, nothing for results that do not tell."""
    weights = next((model.get('weights') for model in shown.result['models'] if model.get('weights')), None)
    if not weights:
        return
    with card('What Auto is made of', 'share of each member'), tag('div', classes='body'):
        if list(weights) == [FLOOR]:
            late = any(
                'left no time for' in warning for model in shown.result['models'] for warning in model['warnings']
            )
            tag('p', ALONE_LATE if late else ALONE, 't12 t2')
        parts_of({model_name(name): share for name, share in weights.items()}, shown.colour('auto'), 'Weights of Auto')


def rows_card(page: Page, shown: Shown) -> None:
    """The first rows as they are exported."""
    rows = [dict(zip(page.columns, row, strict=True)) for row in page.rows]
    quantiles = [name for name in page.columns if name.startswith('q')]
    first, last = shown.cutoffs
    columns = [
        Column[Any](label='Time', cell=lambda row: shown.at(row['ds']), width='152px'),
        Column[Any](label='Model', cell=lambda row: model_name(row['model']), classes='t2'),
        *([Column[Any](label='Series', cell=_series, classes='t2')] if shown.n_series > 1 else []),
        *(
            [Column[Any](label='Cutoff', cell=lambda row: shown.at(row['cutoff']), classes='t2', phone=False)]
            if first != last
            else []
        ),
        Column[Any](label='Step', cell=lambda row: str(row['horizon']), num=True, phone=False),
        *[
            Column[Any](
                label=_quantile(name),
                hint=f'{formats.percent(float(name[1:]))} of what comes is expected to lie below',
                cell=lambda row, name=name: formats.number(row[name]),
                num=True,
                phone=name == 'q0.5',
            )
            for name in quantiles
        ],
        Column[Any](label='Status', cell=_status, phone=False),
    ]
    counted = (
        f'{count(len(rows))} of {count(page.total)} rows'
        if page.total > len(rows)
        else formats.counted(page.total, 'row')
    )
    with card('Rows', f'{counted}, times in {shown.times.said}' if shown.times.said else counted):
        table(columns, rows, classes='tight cards labelled', label='Forecast rows', height=420)


def _quantile(name: str) -> str:
    """A quantile as a percentage: `2.5%`; the one in the middle by its name."""
    return 'Median' if name == 'q0.5' else formats.percent(float(name[1:])).replace('.0%', '%')


def _series(row: Mapping[str, Any]) -> None:
    tag('span', row['unique_id'], 'cut', title=row['unique_id'])


def _status(row: Mapping[str, Any]) -> None:
    shown = badge(row['status'], {'ok': 'ok', 'fallback': 'warn', 'failed': 'bad'}[row['status']])
    shown.props['title'] = STATUS_HINTS[row['status']]
