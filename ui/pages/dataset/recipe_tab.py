"""The recipe of a dataset: cleaning steps in order, what each of them does, and a new version made by them."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from nicegui import ui

from core.analysis import recipes
from core.errors import Unavailable, UsageError
from core.values import Balance, Quote
from ui.components import formats
from ui.components.hours import Price
from ui.components.options import Complaint, explained
from ui.components.parts import Tag, button, card, field, icon, icon_button, tag
from ui.components.plot import Line, plot, thinned, time_ticks
from ui.components.states import empty_state
from ui.components.table import Column, table
from ui.components.times import count
from ui.components.toast import toast
from ui.pages.dataset.state import Shown, View, cost
from ui.session import current

Step = dict[str, Any]
MOST_IN_ADDRESS = 3000  # characters
ROWS_DRAWN = 5000
ROWS_LISTED = 8
EVERY = {
    '1min': '1 minute', '5min': '5 minutes', '15min': '15 minutes', '30min': '30 minutes', 'h': 'hour', 'D': 'day',
    'W': 'week', 'MS': 'month', 'QS': 'quarter', 'YS': 'year',
}  # fmt: skip
KINDS: Mapping[str, tuple[str, str, Step]] = {
    'filter': ('Filter rows', 'Keep the rows that meet a condition.', {'where': ''}),
    'resample': ('Resample', 'One row a step of time, for each series.', {'every': 'D', 'how': 'mean'}),
    'fill': ('Fill gaps', 'Give empty cells a value.', {'how': 'linear'}),
    'clip': ('Clip outliers', 'Bring values beyond bounds to them, or empty them.', {'how': 'iqr', 'k': 3.0}),
    'derive': ('Derive a column', 'A new column, or other values for one.', {'column': '', 'as': ''}),
    'rename': ('Rename a column', '', {'column': '', 'to': ''}),
    'cast': ('Change a type', '', {'column': '', 'type': 'number'}),
    'drop': ('Remove a column', '', {'column': ''}),
}
FILLS = {'linear': 'on a line between neighbours', 'forward': 'with the last value', 'seasonal': 'from other seasons',
         'none': 'leave empty'}  # fmt: skip
ACTIONS = {'clip': 'become the bound', 'empty': 'are emptied'}
CLIPS = {'iqr': 'quartiles', 'mad': 'median and deviation', 'quantile': 'quantiles', 'fixed': 'fixed bounds'}


class RecipeTab(View):
    """The tab `Recipe`."""

    def __init__(self, shown: Shown) -> None:
        super().__init__(shown)
        self.fields = recipes.fields_of(shown.manifest)
        self.stored = recipes.steps_of(shown.manifest)
        self.steps: list[Step] = _read(shown.asked.recipe) or [dict(step) for step in self.stored]
        labels = shown.manifest['series']['first']
        self.series = next((name for name in shown.asked.series if name in labels), labels[0] if labels else '')
        self.measure = ''
        self.cost: tuple[Quote, Balance] | None = None
        self.list: Tag | None = None
        self.result: Tag | None = None
        self.complaint: Complaint | None = None

    async def load(self) -> None:
        """Read what a new version costs."""
        self.cost = await cost(self.shown.services, self.shown.session, self.shown.data)

    def draw(self) -> None:
        """Draw the steps beside what they do."""
        with tag('div', classes='g12'):
            with tag('div', classes='c5'), card('Steps', 'done from top to bottom, on each upload anew'):
                self.list = tag('div', classes='body vs gap-s')
                self._foot()
            with tag('div', classes='c7'), card('Preview', actions=self._choose_series):
                self.result = tag('div', classes='body vs gap-s', aria_live='polite')
        self._draw_steps()
        ui.timer(0.01, self._try, once=True)

    # steps

    def _draw_steps(self) -> None:
        assert self.list is not None
        self.list.clear()
        with self.list:
            if not self.steps:
                empty_state('No steps yet', 'Rows are stored as they were read. Add a step to clean them further.')
            for place, step in enumerate(self.steps):
                self._draw_step(place, step)
            with tag('div', classes='hs wrap', role='group', aria_label='Add a step'):
                for do, (name, _, start) in KINDS.items():
                    button(
                        name,
                        kind='small',
                        icon_name='plus',
                        on_click=lambda _, do=do, start=start: self._add(do, start),
                    )

    def _draw_step(self, place: int, step: Step) -> None:
        name, about, _ = KINDS[step['do']]
        with tag('section', classes='card step', aria_label=f'Step {place + 1}: {name}'):
            with tag('header'):
                tag('h2', f'{place + 1}. {name}')
                with tag('div', classes='acts'):
                    if place:
                        icon_button('chevron-up', 'Move up', small=True, on_click=lambda: self._move(place, -1))
                    if place + 1 < len(self.steps):
                        icon_button('chevron-down', 'Move down', small=True, on_click=lambda: self._move(place, 1))
                    icon_button('trash-2', 'Remove step', small=True, on_click=lambda: self._remove(place))
            with tag('div', classes='body vs gap-s'):
                if about:
                    tag('p', about, 't12 t3')
                _Form(step, self._columns(place), self._changed).draw()

    def _columns(self, place: int) -> Sequence[recipes.Field]:
        """The columns that a step finds: those that the steps before it leave, as far as they can be done."""
        found = self.fields
        for step in self.steps[:place]:
            try:
                found = recipes.check([step], found)
            except UsageError:
                continue
        return found

    async def _add(self, do: str, start: Step) -> None:
        self.steps.append({'do': do, **start})
        self._draw_steps()
        await self._changed()

    async def _move(self, place: int, by: int) -> None:
        self.steps.insert(place + by, self.steps.pop(place))
        self._draw_steps()
        await self._changed()

    async def _remove(self, place: int) -> None:
        del self.steps[place]
        self._draw_steps()
        await self._changed()

    async def _changed(self) -> None:
        """Keep the draft in the address and show what it does."""
        text = json.dumps(self.steps, separators=(',', ':'), ensure_ascii=False)
        more = {'recipe': text} if self.steps != self.stored and len(text) <= MOST_IN_ADDRESS else {}
        assert self.result is not None
        with self.result:  # what was pressed may be gone by now
            ui.navigate.history.replace(self.shown.address('recipe', **more))
        await self._try()

    # what they do

    def _choose_series(self) -> None:
        labels = self.shown.manifest['series']['first']
        if len(labels) > 1:
            select = ui.select(
                list(labels), value=self.series, with_input=True, on_change=lambda e: self._look_at(e.value)
            )
            select.props['aria-label'] = 'Series of the preview'

    async def _look_at(self, series: str | None) -> None:
        self.series = series or self.series
        await self._try()

    async def _try(self) -> None:
        """Show what the steps do to one series."""
        assert self.result is not None
        assert self.complaint is not None
        steps = [step for step in self.steps if _is_whole(step)]
        try:
            found = await self.shown.services.datasets.try_recipe(
                self.shown.session.user.id, self.shown.version, steps, series=self.series, limit=ROWS_DRAWN
            )
        except (UsageError, Unavailable) as error:
            self.complaint.say(error.message)
            return
        self.complaint.say('')
        self.result.clear()
        with self.result:
            self._draw_preview(found, steps)

    def _draw_preview(self, found: recipes.Preview, steps: Sequence[Step]) -> None:
        measures = [f.name for f in recipes.check(steps, self.fields) if f.role == 'measure' and f.numeric]
        if self.measure not in measures:
            self.measure = measures[0] if measures else ''
        if len(measures) > 1:
            with tag('div', classes='hs'):
                select = ui.select(measures, value=self.measure, on_change=lambda e: self._choose_measure(e.value))
                select.props['aria-label'] = 'Measure of the preview'
        after = _line(found.columns_after, found.after, self.measure, 'series-1', 1.5)
        before = _line(found.columns_before, found.before, self.measure, 'text-3', 1.0)
        lines = [line for line in (before if steps else None, after) if line is not None]
        if lines:
            low, high = (end(end(line.x) for line in lines) for end in (min, max))
            label = f'{self.measure} of {self.series or "the series"} before and after the recipe'
            plot(lines, label=label, height=220, x_ticks=time_ticks(low, high))
            if before is not None and steps:
                tag('p', 'Grey: before. Blue: after.', 't12 t3')
        if found.report:
            _report(found.report, series=self.series)
        _rows(found)

    async def _choose_measure(self, measure: str) -> None:
        self.measure = measure
        await self._try()

    # a new version

    def _foot(self) -> None:
        with tag('div', classes='body vs gap-s'):
            self.complaint = Complaint('recipe')
            with tag('div', classes='hs spend'):
                place = tag('div')
                make = button('Make a new version', kind='pri', on_click=self._make)
            if self.cost is not None:
                with place:
                    quote, balance = self.cost
                    price = Price(balance, quote)
                price.guard(make)
                price.follow(self.shown.services, self.shown.session)

    async def _make(self) -> None:
        assert self.complaint is not None
        if self.steps == self.stored:
            self.complaint.say('This is the recipe of the version that you see. Change a step first.')
            return
        try:
            recipes.check(self.steps, self.fields, zone=self.shown.manifest['time']['zone'])
        except UsageError as error:
            self.complaint.say(error.message)
            return
        await self.shown.services.datasets.correct(current().user.id, self.shown.data.id, {'recipe': self.steps})
        toast('A new version is being made', 'The version you see stays until it is ready.', level='info')


class _Form:
    """The fields of one step."""

    def __init__(self, step: Step, columns: Sequence[recipes.Field], on_change: Callable[[], Awaitable[None]]) -> None:
        self.step = step
        self.columns = columns
        self.on_change = on_change

    def draw(self) -> None:
        """Draw what the step takes."""
        getattr(self, f'_{self.step["do"]}')()

    async def _set(self, key: str, value: Any) -> None:
        if value in (None, '', []):
            self.step.pop(key, None)
        else:
            self.step[key] = value
        await self.on_change()

    def _text(self, label: str, key: str, hint: str = '') -> None:
        with field(label):
            box = ui.input(value=self.step.get(key, ''), placeholder=hint).props('debounce=500 maxlength=1000')
            box.classes('mono').props['aria-label'] = label
            box.on_value_change(lambda event: self._set(key, (event.value or '').strip()))

    def _number(self, label: str, key: str, hint: str = '') -> None:
        with field(label):
            box = ui.number(value=self.step.get(key), placeholder=hint).props('debounce=500')
            box.props['aria-label'] = label
            box.on_value_change(lambda event: self._set(key, event.value))

    def _choice(
        self,
        label: str,
        key: str,
        options: Mapping[str, str] | Sequence[str],
        *,
        default: str | None = None,
        again: bool = False,
    ) -> None:
        shown = dict(options) if isinstance(options, Mapping) else {one: one for one in options}
        value = self.step.get(key, default)
        if value is not None and value not in shown:
            shown[value] = str(value)
        with field(label):
            select = ui.select(shown, value=value)
            select.props['aria-label'] = label
        box = ui.context.slot.parent

        async def choose(value: Any) -> None:
            await self._set(key, value)
            if again:
                box.clear()
                with box:
                    self.draw()

        select.on_value_change(lambda event: choose(event.value))

    def _column(self, *, free: bool = True) -> None:
        names = [c.name for c in self.columns if not free or c.role not in ('time', 'series')]
        self._choice('Column', 'column', names)

    def _measures(self) -> None:
        names = [c.name for c in self.columns if c.numeric and c.role not in ('time', 'series')]
        with explained('Columns', 'All measures, unless some are chosen.'):
            chosen = [name for name in self.step.get('columns') or () if name in names]
            select = ui.select(names, value=chosen, multiple=True).props('use-chips')
            select.props['aria-label'] = 'Columns'
        select.on_value_change(lambda event: self._set('columns', list(event.value or ())))

    def _filter(self) -> None:
        self._text('Keep rows where', 'where', 'price > 0 and site == "Oslo"')
        self._names()

    def _names(self) -> None:
        """What an expression may name."""
        names = ', '.join(c.name if c.name.isidentifier() else f'`{c.name}`' for c in self.columns[:12])
        tag('p', f'Columns: {names}', 't12 t3 mono')

    def _resample(self) -> None:
        with tag('div', classes='hs form-row'):
            self._choice('Every', 'every', EVERY)
            self._choice('Take the', 'how', tuple(recipes.AGGREGATES), default='mean')
        own = self.step.get('columns') or {}
        with tag('details'):
            tag('summary', 'Another aggregate for a column', 't12')
            for column in [c for c in self.columns if c.numeric and c.role == 'measure'][:24]:
                with field(column.name):
                    select = ui.select({'': 'as above', **{name: name for name in recipes.AGGREGATES}})
                    select.value = own.get(column.name, '')
                select.on_value_change(lambda event, name=column.name: self._aggregate(name, event.value))

    async def _aggregate(self, name: str, how: str) -> None:
        own = {**(self.step.get('columns') or {}), name: how}
        await self._set('columns', {key: value for key, value in own.items() if value} or None)

    def _fill(self) -> None:
        self._choice('Empty cells', 'how', FILLS, again=True)
        self._measures()
        if self.step.get('how') == 'seasonal':
            self._number('Rows in a season', 'season', '24')
        elif self.step.get('how') in ('linear', 'forward'):
            self._number('At most so many in a row', 'limit', 'any')

    def _clip(self) -> None:
        with tag('div', classes='hs form-row'):
            self._choice('Bounds by', 'how', CLIPS, default='fixed', again=True)
            self._choice('Values beyond', 'action', ACTIONS, default='clip')
        self._measures()
        with tag('div', classes='hs form-row'):
            if self.step.get('how') in ('iqr', 'mad'):
                self._number('Width (times the spread)', 'k', '3')
            else:
                share = self.step.get('how') == 'quantile'
                self._number('Lower', 'low', '0.01' if share else 'none')
                self._number('Upper', 'high', '0.99' if share else 'none')

    def _derive(self) -> None:
        self._text('Column', 'column', 'revenue')
        self._text('Is', 'as', 'price * quantity')
        self._names()

    def _rename(self) -> None:
        self._column(free=False)
        self._text('New name', 'to')

    def _cast(self) -> None:
        self._column()
        self._choice('Becomes', 'type', tuple(recipes.CASTS))

    def _drop(self) -> None:
        self._column()


def _is_whole(step: Step) -> bool:
    """Whether a step has all that it cannot do without; one that has not is being written."""
    return all(step.get(key) for key, value in KINDS[step['do']][2].items() if value == '')


def _read(text: str) -> list[Step] | None:
    """The draft in an address, None where there is none that makes sense."""
    try:
        steps = json.loads(text) if text else None
    except ValueError:
        return None
    if not isinstance(steps, list):
        return None
    return [step for step in steps if isinstance(step, dict) and step.get('do') in KINDS]


def _line(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], measure: str, colour: str, width: float
) -> Line | None:
    """A measure over time, None where it has no value."""
    if measure not in columns or not rows:
        return None
    at, time = list(columns).index(measure), list(columns).index('_time')
    x = [_ms(row[time]) for row in rows]
    y = [None if row[at] is None else float(row[at]) for row in rows]
    if all(value is None for value in y):
        return None
    x, y = thinned(x, y)
    return Line(x=x, y=y, colour=colour, width=width)


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return f'{value:%Y-%m-%d %H:%M}'
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return formats.number(float(value))
    return '' if value is None else str(value)


def _ms(moment: datetime) -> float:
    return moment.replace(tzinfo=UTC).timestamp() * 1000


def _report(report: Sequence[recipes.Report], *, series: str) -> None:
    table(
        [
            Column[recipes.Report](label='Step', cell=lambda r: f'{r.step}. {KINDS[r.do][0]}'),
            Column[recipes.Report](
                label='Rows',
                cell=lambda r: (
                    count(r.rows_after)
                    if r.rows_after == r.rows_before
                    else f'{count(r.rows_before)} → {count(r.rows_after)}'
                ),
                num=True,
            ),
            Column[recipes.Report](label='Cells changed', cell=lambda r: count(r.cells_changed), num=True),
        ],
        report,
        classes='tight',
        label=f'What each step does to {series or "the series"}',
    )


def _rows(found: recipes.Preview) -> None:
    own = ('_series', '_time', '_line', '_source')
    shown = [(place, name) for place, name in enumerate(found.columns_after) if name not in own]
    table(
        [
            Column[Any](
                label=name,
                cell=lambda row, place=place: _cell(row[place]),
                num=any(isinstance(row[place], int | float | Decimal) for row in found.after[:ROWS_LISTED]),
            )
            for place, name in shown[:12]
        ],
        found.after[:ROWS_LISTED],
        classes='tight',
        label='First rows after the recipe',
        height=360,
    )
    if not found.after:
        with tag('p', classes='note warn'):
            icon('triangle-alert')
            tag('span', 'No row of this series is left.')
