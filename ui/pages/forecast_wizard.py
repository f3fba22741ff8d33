"""The form that asks for a forecast: what, how far, with what beside it, by which models, and what it costs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import time
from typing import Any
from uuid import UUID

from nicegui import ui
from nicegui.element import Element

from core.analysis.ahead import Ahead
from core.analysis.forecasting.registry import MODELS
from core.analysis.panel import AGGREGATES, STEPS
from core.ask import DAY, HORIZONS, STEP_SECONDS, Ask, Reach, defaults, in_steps, windows_of
from core.countries import COUNTRIES
from core.forecasts import times_of
from core.services import Services
from core.values import Balance, Dataset, Session, Version
from ui.components import formats
from ui.components.finder import Find, finder
from ui.components.hours import Price
from ui.components.options import Complaint, explained, group, option
from ui.components.parts import Tag, button, card, chip, field, icon, tag
from ui.components.terms import Marked, term
from ui.components.times import count
from ui.pages import forecast_choices as choosing
from ui.pages.forecast_choices import LEVELS, SEASONALITIES, Choices
from ui.pages.forecast_words import model_name, takes
from ui.session import current

AS_SAMPLED = 'as sampled'
STEP_NAMES = {'h': 'hours', 'D': 'days', 'W-MON': 'weeks', 'MS': 'months', 'QS': 'quarters', 'YS': 'years'}
NO_HOLIDAYS = ''


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """What may be forecast: datasets and how to `find` others; of the chosen one its version, its series, what is known
    ahead, and the models.

    `models` maps those that can run here to their descriptions. `away` says that what is stored is out of reach: then
    nothing is known ahead.
    """

    datasets: Sequence[Dataset]
    find: Find
    dataset: Dataset
    version: Version
    labels: Sequence[str]
    ahead: Mapping[str, Ahead]
    models: Mapping[str, str]
    away: bool = False

    @property
    def n_series(self) -> int:
        """How many series the version has; `labels` are the first ones."""
        return int(self.version.manifest['series']['count'])

    @property
    def all_listed(self) -> bool:
        """Whether `labels` are all of the series."""
        return len(self.labels) >= self.n_series

    def problems(self, choices: Choices) -> dict[str, str]:
        """What has to be mended in choices, by field."""
        return choosing.problems(choices, self.ahead, labels=self.labels if self.all_listed else None)


class Wizard:
    """The form. Its address holds every choice, so that a link to it brings the same form."""

    def __init__(self, services: Services, matter: Matter, choices: Choices) -> None:
        self.services = services
        self.matter = matter
        self.choices = choices
        self.price: Price | None = None
        self._complaints: dict[str, Complaint] = {}
        self._regressors: Element | None = None
        self._facts: dict[str, Tag] = {}
        self._said: list[str] | None = None
        self._reach: Reach | None = None
        self._made: tuple[Ask, UUID] | None = None

    def draw(self, balance: Balance, session: Session) -> None:
        """Draw the sections, and beside them what is asked for and what it costs."""
        with tag('div', classes='wizard'):
            with tag('div', classes='stack'):
                self._what()
                self._how_far()
                self._beside()
                self._models()
                self._advanced()
            with tag('aside', classes='vs gap', aria_label='What you ask for'):
                self._summary(balance)
        self._reckon()
        assert self.price is not None
        self.price.follow(self.services, session)

    # sections

    def _what(self) -> None:
        matter, choices = self.matter, self.choices
        with card('1. What to forecast'), tag('div', classes='vs body form'):
            with tag('div', classes='form-2'):
                with field('Dataset'):
                    finder(
                        matter.datasets,
                        matter.find,
                        value=str(matter.dataset.id),
                        also={str(matter.dataset.id): matter.dataset.name},
                        on_change=lambda event: ui.navigate.to(f'/forecasts/new?dataset={event.value}'),
                    )
                with field('Measure'):
                    ui.select(
                        list(matter.version.manifest['measures']), value=choices.target, on_change=self._other_target
                    ).classes('target')
            with tag('div', classes='vs'):
                with field('Series'):
                    select = self._series_select()
                self._complain('series', select)
                if not matter.all_listed:
                    tag(
                        'span',
                        f'The first {count(len(matter.labels))} of {count(matter.n_series)} are listed.',
                        't12 t3',
                    )
            tag('span', self._sampling(), 't12 t3')
            self._remarks = tag('div', classes='vs', role='status')

    def _series_select(self) -> ui.select:
        matter = self.matter
        if matter.n_series < 2:
            return ui.select({'': 'The only one'}, value='').props('disable')
        return ui.select(
            list(dict.fromkeys([*self.choices.series, *matter.labels])),
            value=list(self.choices.series),
            multiple=True,
            with_input=True,
            on_change=lambda event: self._choose(series=tuple(event.value or ())),
        ).props('use-chips placeholder="All of them" aria-label=Series')

    def _how_far(self) -> None:
        choices = self.choices
        with card('2. How far'), tag('div', classes='vs body form'), tag('div', classes='form-3'):
            with tag('div', classes='vs'):
                with field('Steps ahead', word='horizon'):
                    self._h = self._number(choices.h, 'Steps ahead', lambda value: self._choose(h=_whole(value)))
                    self._h.classes('horizon')
                self._complain('h', self._h)
            with field('Each step is'):
                ui.select(
                    {AS_SAMPLED: AS_SAMPLED, **{key: STEP_NAMES[key] for key in STEPS}},
                    value=choices.step or AS_SAMPLED,
                    on_change=lambda event: self._other_step(event.value),
                )
            with field('Values of a step'):
                self._aggregate = ui.select(
                    list(AGGREGATES),
                    value=choices.aggregate,
                    on_change=lambda event: self._choose(aggregate=event.value),
                )
                self._aggregate.set_enabled(choices.step is not None)

    def _beside(self) -> None:
        matter, choices = self.matter, self.choices
        regressors = choosing.possible_regressors(matter.version, choices.target)
        static = choosing.possible_static(matter.version)
        with card('3. What else is known', 'optional'), tag('div', classes='vs body form', id='known'):
            with tag('div', classes='vs gap-s'):
                tag('span', Marked('{Numbers that are known ahead|regressor}, such as a price or a plan'), 't12 w5 t2')
                if regressors:
                    self._regressors = group('Regressors')
                    self._draw_regressors()
                    self._complain('regressors')
                self._how_to_know()
            with tag('div', classes='form-2'):
                with explained('Holidays', 'days on which more or less is sold, used or made'):
                    ui.select(
                        {NO_HOLIDAYS: 'None', **COUNTRIES},
                        value=choices.holidays or NO_HOLIDAYS,
                        with_input=True,
                        on_change=lambda event: self._choose(holidays=event.value or None),
                    ).props('aria-label="Holidays of a country"')
                with explained('Categories of a series', 'such as a region: series of one kind are alike'):
                    self._static_select(static)

    def _how_to_know(self) -> None:
        """Say what it takes where nothing is known ahead: only that makes a what-if possible."""
        matter, target = self.matter, self.choices.target
        if matter.away or any(known.steps for known in matter.ahead.values()):
            return
        with tag('p', classes='t12 t3'):
            tag('span', f'Nothing is known ahead of {target} yet. Add rows after its last value that hold the number ')
            tag('span', f'and leave {target} empty, as the ')
            tag('a', 'next file of the dataset', 'link', href=f'/datasets/{matter.dataset.id}?tab=versions')
            tag('span', '. Then you can also ask what if that number were another one.')

    def _draw_regressors(self) -> None:
        """Whether they are known far enough depends on the horizon."""
        if self._regressors is None:
            return
        self._regressors.clear()
        with self._regressors:
            for name in choosing.possible_regressors(self.matter.version, self.choices.target):
                self._regressor(name)

    def _regressor(self, name: str) -> None:
        known = self.matter.ahead.get(name)
        sampled = self.matter.version.manifest['time']['step_seconds']
        text, kind = ('out of reach', 'line') if self.matter.away else _known(known, self.choices, sampled)
        option(
            name,
            ''
            if known is None or known.series in (0, known.of)
            else f'in {count(known.series)} of {count(known.of)} series',
            on=name in self.choices.regressors,
            state=(text, kind),
            on_change=lambda on: self._toggle('regressors', name, on),
        )

    def _static_select(self, static: Sequence[str]) -> None:
        if not static:
            ui.select({'': 'The dataset has none'}, value='').props('disable')
            return
        ui.select(
            list(static),
            value=list(self.choices.static),
            multiple=True,
            with_input=True,
            on_change=lambda event: self._choose(static=tuple(event.value or ())),
        ).props('use-chips placeholder=None aria-label="Categories of a series"')

    def _models(self) -> None:
        with card('4. Models', 'each is measured on the past'), tag('div', classes='vs body form'):
            with group('Models'):
                for name, text in self.matter.models.items():
                    option(
                        model_name(name),
                        text,
                        on=name in self.choices.models,
                        on_change=lambda on, name=name: self._toggle('models', name, on),
                    )
            self._complain('models')

    def _advanced(self) -> None:
        choices = self.choices
        with tag('details', classes='card more', open=True if self._has_advanced() else None):
            with tag('summary'):
                tag('h2', '5. Advanced')
                tag('span', 'bands, backtest, time, name', 't12 t3 cut')
            with tag('div', classes='vs body form'):
                self._bands()
                with tag('div', classes='form-3'):
                    with tag('div', classes='vs'):
                        with explained('Past cutoffs', 'models are measured from each of them'):
                            self._windows = self._number(
                                choices.windows, 'Past cutoffs', lambda value: self._choose(windows=_whole(value))
                            ).props('clearable')
                        self._complain('windows', self._windows)
                    with tag('div', classes='vs'):
                        with explained('Time in minutes', 'Auto leaves out what is too slow'):
                            self._budget = self._number(
                                choices.budget, 'Time in minutes', lambda value: self._choose(budget=_whole(value))
                            ).props('placeholder="no limit" clearable')
                        self._complain('budget', self._budget)
                    with explained('Name', 'for the list of forecasts'):
                        ui.input(
                            value=choices.name,
                            placeholder='Optional',
                            on_change=lambda event: self._choose(name=event.value or ''),
                        ).props('maxlength=255 aria-label="Name"')
                self._prophet()

    def _bands(self) -> None:
        with tag('fieldset', classes='chips-field'):
            with tag('legend'):
                term('band', 'Bands')
            with tag('div', classes='hs chips wrap'):
                for level in sorted({*LEVELS, *self.choices.levels}):
                    self._band(level)
            self._complain('levels')

    def _band(self, level: int) -> None:
        def toggle() -> None:
            on = level not in self.choices.levels
            element.props['aria-pressed'] = str(on).lower()
            self._toggle('levels', level, on)

        element = chip(f'{level}%', on=level in self.choices.levels, on_click=toggle)

    def _prophet(self) -> None:
        choices = self.choices
        with tag('div', classes='form-3 of-prophet') as self._for_prophet:
            with explained('Prophet: seasons', 'multiplicative: they grow with the level'):
                ui.select(
                    list(SEASONALITIES),
                    value=choices.seasonality,
                    on_change=lambda event: self._choose(seasonality=event.value),
                )
            with tag('div', classes='vs'):
                with explained('Prophet: flexible trend', '0.05 is usual, more bends sooner'):
                    scale = ui.number(
                        value=choices.changes, step=0.01, on_change=lambda event: self._choose(changes=event.value)
                    ).props('aria-label="Changepoint scale of Prophet"')
                self._complain('changes', scale)

    def _has_advanced(self) -> bool:
        untouched = choosing.start(self.matter.version)
        names = ('levels', 'windows', 'budget', 'name', 'seasonality', 'changes')
        return any(getattr(self.choices, name) != getattr(untouched, name) for name in names)

    def _summary(self, balance: Balance) -> None:
        with card('You ask for'), tag('div', classes='vs body gap-s'):
            with tag('dl', classes='facts asked'):
                for name in ('Forecast', 'Series', 'Also known', 'Models', 'Measured'):
                    tag('dt', name)
                    self._facts[name] = tag('dd')
            self._verdict = tag('div', classes='vs gap-s', role='status')
            with tag('div', classes='vs quote-box'):
                self.price = Price(balance)
                tag('span', 'What is not used comes back when it ends.', 't12 t3')
            self.price.guard(button('Run forecast', kind='pri', icon_name='play', on_click=self.submit))

    # small parts

    def _number(self, value: float | None, label: str, on_change: Callable[[Any], None]) -> ui.number:
        number = ui.number(value=value, precision=0, on_change=lambda event: on_change(event.value))
        number.props['aria-label'] = label
        return number

    def _complain(self, name: str, *inputs: Any) -> None:
        self._complaints[name] = Complaint(name).about(*inputs)

    def _sampling(self) -> str:
        span = self.matter.version.manifest['time']
        end = formats.local(span['end'], self.matter.version.zone)
        by_day = (span['step_seconds'] or 0) >= DAY and end is not None and end.time() == time()
        until = formats.day(end) if by_day else formats.moment(end)
        said = times_of(self.matter.version).said
        clock = f' ({said})' if said else ''
        if span['freq'] is None and span['step_seconds']:
            return f'Rows are about {formats.length(span["step_seconds"])} apart, until {until}{clock}.'
        return f'Rows are {formats.step(span["freq"], span["step_seconds"])}, until {until}{clock}.'

    # changes

    def _choose(self, **changed: Any) -> None:
        self.choices = replace(self.choices, **changed)
        ui.navigate.history.replace(self.address)
        if changed.keys() & {'h', 'step'}:
            self._draw_regressors()
        self._reckon()

    def _toggle(self, name: str, value: Any, on: bool) -> None:
        """Keep the order of what is offered: clicks on neighbours may be on their way already."""
        kept = [other for other in getattr(self.choices, name) if other != value]
        self._choose(**{name: _ordered(name, [*kept, value] if on else kept)})

    def _other_target(self, event: Any) -> None:
        """What is known ahead depends on the measure: the page is built anew, with the other choices kept."""
        kept = tuple(name for name in self.choices.regressors if name != event.value)
        choices = choosing.of_target(self.choices, self.matter.version, event.value)
        self.choices = replace(choices, regressors=kept)
        ui.navigate.to(self.address)

    def _other_step(self, step: str) -> None:
        """48 hours are a good horizon, 48 months are not."""
        sampled, version = step == AS_SAMPLED, self.matter.version
        h = defaults(version).h if sampled else HORIZONS[step[0]]
        # What was chosen for one step goes for another.
        usual = self.choices.step is None and not sampled
        aggregate = choosing.usual_aggregate(version, self.choices.target) if usual else self.choices.aggregate
        self._aggregate.set_enabled(not sampled)
        self._choose(step=None if sampled else step, h=h, aggregate=aggregate)
        self._h.value, self._aggregate.value = h, aggregate

    @property
    def address(self) -> str:
        """The address that brings this form with its choices."""
        return choosing.write(self.choices, self.matter.version, dataset=str(self.matter.dataset.id))

    def _reckon(self) -> None:
        """Say what is asked for as the form stands, what it would cost and what has to be mended."""
        wrong = self.matter.problems(self.choices)
        for name, complaint in self._complaints.items():
            complaint.say(wrong.get(name, ''))
        self._for_prophet.set_visibility('prophet' in self.choices.models)
        for name, text in _told(self.choices, self.matter).items():
            self._facts[name].text = text
        said = choosing.remarks(self.matter.version, self.choices)
        if said != self._said:
            self._said = said
            self._remarks.clear()
            with self._remarks:
                for text in said:
                    with tag('div', classes='hs t12 amber'):
                        icon('triangle-alert', 12)
                        tag('span', text)
            self._remarks.set_visibility(bool(said))
        self._tell_reach(None if wrong else choosing.reach(self.matter.version, self.choices))
        assert self.price is not None
        if wrong:
            self.price.show(None, why_not='The price follows once what is marked red is mended.')
        else:
            self.price.show(self.services.forecasts.quote(self.matter.version, self.choices.ask()))

    def _tell_reach(self, reach: Reach | None) -> None:
        """Say why the bands would get no verdict, with what would help at hand."""
        if not self.choices.windows:
            self._windows.props['placeholder'] = f'{windows_of(self.matter.version, self.choices.ask())}, as it takes'
        if reach == self._reach:
            return
        self._reach = reach
        self._verdict.clear()
        if reach is None:
            return
        with self._verdict:
            tag('p', Marked(takes(reach, marked=True)), 't12 t2')
            with tag('div', classes='hs wrap'):
                if reach.offered:
                    button(f'Measure from {reach.offered}', kind='small', on_click=self._measure_enough)
                if reach.room is not None and reach.room < reach.needed and reach.shorter:
                    steps = formats.counted(reach.shorter, 'step')
                    button(f'Ask for {steps}', kind='small', on_click=lambda: self._ask_for(reach.shorter))

    def _measure_enough(self) -> None:
        self._windows.value = None
        self._budget.value = None

    def _ask_for(self, h: int) -> None:
        self._h.value = h

    async def submit(self) -> None:
        """Ask for the forecast and open its page."""
        if self.matter.problems(self.choices):
            return
        ask = self.choices.ask()
        # This page stands until that of the forecast comes: asked for once more, the same is not ordered again.
        if self._made is None or self._made[0] != ask:
            forecast = await self.services.forecasts.request(current().user.id, self.matter.version, ask)
            self._made = ask, forecast.id
        ui.navigate.to(f'/forecasts/{self._made[1]}')


def _told(choices: Choices, matter: Matter) -> dict[str, str]:
    """What is asked for, in words."""
    n_series = matter.n_series
    freq = choices.step or matter.version.manifest['time']['freq']
    steps = '– steps' if choices.h is None else in_steps(choices.h, freq)
    beside = [*choices.regressors, *choices.static]
    if choices.holidays:
        beside.append(f'holidays of {COUNTRIES[choices.holidays]}')
    several = f'all {count(n_series)}' if n_series > 1 else '1'
    if choices.series:
        several = f'{count(len(choices.series))} of {count(n_series)}'
    bands = ' and '.join(f'{level}%' for level in choices.levels)
    windows, room = windows_of(matter.version, choices.ask()), choosing.room(matter.version, choices)
    cutoffs = formats.counted(windows, 'past cutoff')
    if room is not None and 0 < room < windows:
        cutoffs = f'{room} of {cutoffs}, for more the history is too short'
    return {
        'Forecast': f'{choices.target}, {steps} ahead',
        'Series': several,
        'Also known': ', '.join(beside) or 'no other column, no holidays',
        'Models': ', '.join(map(model_name, choices.models)) or 'none',
        'Measured': f'bands {bands or "none"}, {cutoffs}',
    }


def _known(known: Ahead | None, choices: Choices, sampled: float | None) -> tuple[str, str]:
    """How far a column is known, and the kind of its badge; `sampled` are the seconds between rows."""
    if known is None or not known.steps:
        return 'not known ahead', 'line'
    steps = known.steps
    if choices.step is not None and sampled:
        steps = int(known.steps * sampled / STEP_SECONDS[choices.step])
    if choices.h and steps < choices.h:
        return f'known {count(steps)} of {count(choices.h)} steps', 'warn'
    return f'known {formats.counted(steps, "step")} ahead', 'ok'


def _ordered(name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    order = list(MODELS) if name == 'models' else sorted(values)
    return tuple(sorted(set(values), key=order.index))


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
