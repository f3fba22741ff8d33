"""The recipe of a dataset: cleaning steps in order, what each of them does, and a new version made by them."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from nicegui import ui

from core.analysis import alike, recipes
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
from ui.pages.dataset.state import Shown, View, cost, say_making
from ui.session import actor, current

Step = dict[str, Any]
MOST_IN_ADDRESS = 3000  # characters
ROWS_DRAWN = 5000
ROWS_LISTED = 8
EVERY = {
    '1min': '1 minute', '5min': '5 minutes', '15min': '15 minutes', '30min': '30 minutes', 'h': 'hour', 'D': 'day',
    'W': 'week', 'MS': 'month', 'QS': 'quarter', 'YS': 'year',
}  # fmt: skip
KINDS: Mapping[str, tuple[str, str, Step]] = {
    'merge': ('Merge series', 'One name for a series that is spelled in several ways.', {'values': [], 'to': ''}),
    'filter': ('Filter rows', 'Keep the rows that meet a condition.', {'where': ''}),
    'resample': ('Resample', 'One row a step of time, for each series.', {'every': 'D', 'how': 'mean'}),
    'fill': ('Fill gaps', 'Give empty cells a value.', {'how': 'linear'}),
    'clip': (
        'Empty outliers',
        'Empty values beyond bounds, or bring them to the bound.',
        {'how': 'iqr', 'k': 3.0, 'action': 'empty'},
    ),
    'derive': ('Derive a column', 'A new column, or other values for one.', {'column': '', 'as': ''}),
    'rename': ('Rename a column', '', {'column': '', 'to': ''}),
    'cast': ('Change a type', '', {'column': '', 'type': 'number'}),
    'drop': ('Remove a column', '', {'column': ''}),
}
FILLS = {'linear': 'on a line between neighbours', 'forward': 'with the last value', 'seasonal': 'from other seasons',
         'none': 'leave empty'}  # fmt: skip
ACTIONS = {'clip': 'become the bound', 'empty': 'are emptied'}
SAME_TIME = {'last': 'the last is kept', 'first': 'the first is kept', 'mean': 'their mean is kept'}
NUMBERS = ('low', 'high', 'k', 'limit', 'season')
STEP = re.compile(r'Step (\d+)(.*)', re.DOTALL)
ASKED = re.compile(r'(?:The step (\w+) needs "(\w+)"\.|"(values)" of the step (merge) is a list of texts\.)$')
LABELS = {
    ('merge', 'to'): 'Become', ('merge', 'values'): 'Spellings', ('filter', 'where'): 'Keep rows where',
    ('derive', 'column'): 'Column', ('derive', 'as'): 'Is', ('rename', 'to'): 'New name',
}  # fmt: skip
"""What the form calls what a step needs, where that is another word than the recipe's."""
IN_THE_FORM = {
    'Clipping at fixed bounds needs "low", "high" or both.': 'Fill in "Lower", "Upper" or both.',
    'Filling by season needs "season": ': 'Fill in "Rows in a season": ',
}
CLIPS = {'iqr': 'quartiles', 'mad': 'median and deviation', 'quantile': 'quantiles', 'fixed': 'fixed bounds'}


class RecipeTab(View):
    """The tab `Recipe`."""

    def __init__(self, shown: Shown) -> None:
        super().__init__(shown)
        self.fields = recipes.fields_of(shown.manifest)
        self.stored = recipes.steps_of(shown.manifest)
        draft = _read(shown.asked.recipe)
        self.steps: list[Step] = [dict(step) for step in self.stored] if draft is None else draft
        labels = shown.manifest['series']['first']
        wanted = (*shown.asked.series, shown.version.opens, *labels)
        self.series = next((name for name in wanted if name in labels), '')
        self.measure = ''
        self.cost: tuple[Quote, Balance] | None = None
        self.list: Tag | None = None
        self.result: Tag | None = None
        self.complaint: Complaint | None = None
        self.complaints: list[Complaint] = []  # one a step
        self.words: dict[str, Mapping[str, int]] = {}  # by key what it holds, and in how many rows
        self.turn = 0

    async def load(self) -> None:
        """Read what a new version costs, and what a step that is there can merge."""
        self.cost = await cost(self.shown.services, self.shown.session, self.shown.data)
        if any(step['do'] == 'merge' for step in self.steps):
            await self._read_words()

    @property
    def _keys(self) -> list[str]:
        """The columns whose values a step can merge."""
        return [field.name for field in self.fields if field.role == 'series' and field.type == 'text']

    async def _read_words(self) -> None:
        user, datasets = self.shown.session.user.id, self.shown.services.datasets
        for name in self._keys:
            if name not in self.words:
                self.words[name] = await datasets.spellings(user, self.shown.version, name)

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
        self.complaints.clear()
        with self.list:
            if not self.steps:
                empty_state('No steps yet', 'Rows are stored as they were read. Add a step to clean them further.')
            for place, step in enumerate(self.steps):
                self._draw_step(place, step)
            with tag('div', classes='hs wrap', role='group', aria_label='Add a step'):
                for do, (name, _, start) in KINDS.items():
                    if do == 'merge' and not self._keys:
                        continue
                    button(
                        name,
                        kind='small',
                        icon_name='plus',
                        on_click=lambda _, do=do, start=start: self._add(do, start),
                    )
            if not self._keys and len(self.shown.manifest['measures']) > 1:
                with tag('p', classes='t12 t3'):
                    tag(
                        'span', 'No series can be merged: no column names series, each measure is a column of its own. '
                    )
                    tag('span', 'To make each of them a series, choose "Columns of a wide table are: series" ')
                    tag('a', 'on the tab Columns', 'link', href=self.shown.address('columns'))
                    tag('span', '.')

    def _draw_step(self, place: int, step: Step) -> None:
        _, about, _ = KINDS[step['do']]
        name = title(step)
        with tag('section', classes='card step', aria_label=f'Step {place + 1}: {name}') as section:
            with tag('header'):
                heading = tag('h2', f'{place + 1}. {name}')
                with tag('div', classes='acts'):
                    if place:
                        icon_button('chevron-up', 'Move up', small=True, on_click=lambda: self._move(place, -1))
                    if place + 1 < len(self.steps):
                        icon_button('chevron-down', 'Move down', small=True, on_click=lambda: self._move(place, 1))
                    icon_button('trash-2', 'Remove step', small=True, on_click=lambda: self._remove(place))
            with tag('div', classes='body vs gap-s'):
                if about:
                    tag('p', about, 't12 t3')
                if self.steps[: place + 1] == self.stored[: place + 1]:
                    did = done(self.shown.manifest['recipe'][place]).partition(': ')[2]
                    if did:
                        tag('p', f'In v{self.shown.version.number}: {did}', 't12 t2')

                async def changed() -> None:
                    heading.text = f'{place + 1}. {title(step)}'
                    section.props['aria-label'] = f'Step {place + 1}: {title(step)}'
                    await self._changed()

                _Form(step, self._columns(place), changed, self.words).draw()
                self.complaints.append(Complaint(f'step-{place + 1}'))

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
        step = {'do': do, **start}
        if do == 'merge':
            step = {'do': do, 'column': self._keys[0], **start}
            try:
                await self._read_words()
            except Unavailable as error:
                self._complain(error.message)
                return
        self.steps[:] = [dict(one) for one in recipes.with_step(self.steps, step)]
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
                {label: alike.visible(label) for label in labels},
                value=self.series,
                with_input=True,
                on_change=lambda e: self._look_at(e.value),
            )
            select.props['aria-label'] = 'Series of the preview'

    async def _look_at(self, series: str | None) -> None:
        self.series = series or self.series
        await self._try()

    async def _try(self) -> None:
        """Show what the steps do to one series."""
        assert self.result is not None
        places = [place for place, step in enumerate(self.steps) if _is_whole(step)]
        steps = [self.steps[place] for place in places]
        self.turn += 1
        turn = self.turn
        try:
            found = await self.shown.services.datasets.try_recipe(
                self.shown.session.user.id, self.shown.version, steps, series=self.series, limit=ROWS_DRAWN
            )
        except (UsageError, Unavailable) as error:
            if turn == self.turn:
                self._complain(error.message, places)
            return
        if turn != self.turn:
            return  # an older draft, which took longer than the newer one
        self._complain('')
        self.result.clear()
        with self.result:
            self._draw_preview(found, steps)

    def _complain(self, text: str, places: Sequence[int] = (), *, look: bool = False) -> None:
        """Say what is wrong at the step that it names, else at the foot; nothing is said anywhere else.

        `places` are those of the steps that were tried, in their order. To `look` is to bring the words into view.
        """
        assert self.complaint is not None
        for one in (self.complaint, *self.complaints):
            one.say('')
        named = STEP.match(text)
        number = int(named[1]) if named else 0
        place = places[number - 1] if 0 < number <= len(places) else None
        at = self.complaint if place is None or place >= len(self.complaints) else self.complaints[place]
        at.say(text if place is None or named is None else f'Step {place + 1}{in_the_form(named[2])}')
        if look:
            at.look()

    def _draw_preview(self, found: recipes.Preview, steps: Sequence[Step]) -> None:
        measures = [f.name for f in recipes.check(steps, self.fields) if f.role == 'measure' and f.numeric]
        if self.measure not in measures:
            self.measure = measures[0] if measures else ''
        if len(measures) > 1:
            with tag('div', classes='hs'):
                select = ui.select(measures, value=self.measure, on_change=lambda e: self._choose_measure(e.value))
                select.props['aria-label'] = 'Measure of the preview'
        after = _lines(found.columns_after, found.after, self.measure, 'series-1', 1.5)
        before = _lines(found.columns_before, found.before, self.measure, 'text-3', 1.0)
        lines = [*(before if steps else ()), *after]
        if lines:
            low, high = (end(end(line.x) for line in lines) for end in (min, max))
            label = f'{self.measure} of {self.series or "the series"} before and after the recipe'
            plot(lines, label=label, height=220, x_ticks=time_ticks(low, high))
            if before and steps:
                tag('p', 'Grey: before. Blue: after.', 't12 t3')
        if found.report:
            _report(found.report, steps, series=self.series)
            if self.shown.manifest['series']['count'] > 1:
                tag('p', f'Counted for {self.series}; the new version tells it of all series.', 't12 t3')
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
        if self.steps == self.stored:
            self._complain('This is the recipe of the version that you see. Change a step first.')
            return
        try:
            recipes.check(self.steps, self.fields, zone=self.shown.manifest['time']['zone'])
        except UsageError as error:
            self._complain(error.message, range(len(self.steps)), look=True)
            return
        await self.shown.services.uploads.correct(
            current().user.id, self.shown.data.id, {'recipe': self.steps}, by=actor()
        )
        say_making('The version you see stays until it is ready.')


class _Form:
    """The fields of one step."""

    def __init__(
        self,
        step: Step,
        columns: Sequence[recipes.Field],
        on_change: Callable[[], Awaitable[None]],
        words: Mapping[str, Mapping[str, int]],
    ) -> None:
        self.step = step
        self.columns = columns
        self.on_change = on_change
        self.words = words
        self.guess = ''  # what the spellings were said to become without being asked

    def draw(self) -> None:
        """Draw what the step takes."""
        self.box = tag('div', classes='vs gap-s')
        self._fields()

    def _fields(self) -> None:
        self.box.clear()
        with self.box:
            getattr(self, f'_{self.step["do"]}')()

    async def _set(self, key: str, value: Any) -> None:
        if value in (None, '', []):
            self.step.pop(key, None)
        else:
            self.step[key] = value
        await self.on_change()

    def _text(self, label: str, key: str, hint: str = '') -> ui.input:
        with field(label):
            box = ui.input(value=self.step.get(key, ''), placeholder=hint).props('debounce=500 maxlength=1000')
            box.classes('mono').props['aria-label'] = label
            box.on_value_change(lambda event: self._set(key, (event.value or '').strip()))
        return box

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

        async def choose(value: Any) -> None:
            await self._set(key, value)
            if again:
                self._fields()

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

    def _merge(self) -> None:
        keys = [c.name for c in self.columns if c.role == 'series' and c.type == 'text']
        if len(keys) > 1:
            self._choice('Column', 'column', keys, again=True)
        chosen = list(self.step.get('values') or ())
        rows = self.words.get(self.step.get('column', ''), {})
        with field('Spellings'):
            select = ui.select(
                {name: alike.visible(name) for name in [*rows, *chosen]},
                value=chosen,
                multiple=True,
                with_input=True,
                new_value_mode='add-unique',
                key_generator=lambda name: name,
            )
            select.props('use-chips').props['aria-label'] = 'Spellings'
        with tag('div', classes='form-2'):
            become = self._text('Become', 'to', chosen[0] if chosen else 'Berlin')
            self._choice('Of rows with the same time', 'how', SAME_TIME, default='last')

        async def choose(names: list[str]) -> None:
            """Of two spellings and more, the one of most rows is what they become, until another is written."""
            if len(names) > 1 and self.step.get('to', '') in ('', self.guess):
                self.guess = max(names, key=lambda name: rows.get(name, 0)).strip()
                self.step['to'] = self.guess
                become.value = self.guess
            await self._set('values', names)

        select.on_value_change(lambda event: choose(list(event.value or ())))

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
        with tag('div', classes='form-2'):
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


def in_the_form(text: str) -> str:
    """What is wrong with a step, with the names that the form has for what a recipe calls otherwise."""
    if (found := ASKED.search(text)) is not None:
        do, key = found[1] or found[4], found[2] or found[3]
        return f'{text[: found.start()]}Fill in "{LABELS.get((do, key), key.capitalize())}".'
    for words, own in IN_THE_FORM.items():
        text = text.replace(words, own)
    return text


def _is_whole(step: Step) -> bool:
    """Whether a step has all that it cannot do without; one that has not is being written."""
    return all(step.get(key) for key, value in KINDS[step['do']][2].items() if value in ('', []))


def _read(text: str) -> list[Step] | None:
    """The draft in an address, None where there is none that makes sense."""
    try:
        steps = json.loads(text) if text else None
    except ValueError:
        return None
    if not isinstance(steps, list):
        return None
    return [step for step in steps if isinstance(step, dict) and str(step.get('do')) in KINDS and _in_shape(step)]


def _in_shape(step: Step) -> bool:
    """Whether the form can show what a step holds: texts, numbers, names of columns; whether it can be done is told."""

    def fits(name: str, value: Any) -> bool:
        if name == 'columns':
            names = value.values() if isinstance(value, dict) else value
            kind = dict if step['do'] == 'resample' else list
            return isinstance(value, kind) and all(isinstance(one, str) for one in names)
        if name == 'values':
            return isinstance(value, list) and all(isinstance(one, str) for one in value)
        if name in NUMBERS:
            return isinstance(value, int | float) and not isinstance(value, bool)
        return isinstance(value, str)

    return all(value is None or fits(name, value) for name, value in step.items())


def _lines(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], measure: str, colour: str, width: float
) -> list[Line]:
    """A measure over time, a line for each series: there are several before they are merged."""
    at = list(columns).index('_series')
    series: dict[str, list[Sequence[Any]]] = {}
    for row in rows:
        series.setdefault(row[at], []).append(row)
    lines = [_line(columns, own, measure, colour, width) for own in series.values()]
    return [line for line in lines if line is not None]


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
    return Line(x=x, y=y, colour=colour, width=width, dots=sum(value is not None for value in y) < 2)


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return f'{value:%Y-%m-%d %H:%M}'
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return formats.number(float(value))
    return '' if value is None else str(value)


def _both(before: Any, after: Any) -> str:
    """A cell, with what it held where that is another value."""
    old, new = _cell(before), _cell(after)
    return new if old == new else f'{alike.visible(old) or "–"} → {alike.visible(new) or "–"}'


def _changed(found: recipes.Preview) -> list[tuple[Sequence[Any], Sequence[Any]]]:
    """The rows before and after where a cell differs, and those that give way (before, and nothing in each cell).

    None where rows after are not those before, or are not told apart by their lines.
    """
    fewer = any(one.rows_after != one.rows_before and one.do != 'merge' for one in found.report)
    if found.columns_before != found.columns_after or len(found.before) < len(found.after) or fewer:
        return []
    places = [found.columns_after.index(name) for name in ('_line', '_time', '_source') if name in found.columns_after]
    after = {tuple(row[place] for place in places): row for row in found.after}
    pairs, left = [], len(after)
    for row in found.before:
        same = after.get(tuple(row[place] for place in places))
        left -= same is not None
        pairs.append((row, same or (None,) * len(row)))
    if left or len(after) != len(found.after):
        return []
    return [(before, row) for before, row in pairs if not all(map(_same, before, row))]


def _same(before: Any, after: Any) -> bool:
    """Whether two cells hold one value; a decimal that has become a float is the same figure."""
    numbers = isinstance(before, Decimal) and isinstance(after, float)
    return bool(float(before) == after if numbers else before == after)


def _ms(moment: datetime) -> float:
    return moment.replace(tzinfo=UTC).timestamp() * 1000


def title(step: Mapping[str, Any]) -> str:
    """What a step does, in two words."""
    clips = step['do'] == 'clip' and step.get('action') != 'empty'
    return 'Clip outliers' if clips else KINDS[step['do']][0]


def done(step: Mapping[str, Any]) -> str:
    """What a step of a version's recipe did, such as "Empty outliers: 14 of 10,482 values"."""
    name = title(step)
    said = []
    if step.get('rows_before') != step.get('rows_after'):
        said.append(f'{count(step["rows_before"])} \u2192 {count(step["rows_after"])} rows')
    if step.get('cells_changed') or (step.get('cells') and not said):
        said.append(f'{_share(step)} {"empty cells" if step["do"] == "fill" else "values"}')
    return f'{name}: {", ".join(said)}' if said else name


def _share(step: Mapping[str, Any]) -> str:
    """How many cells a step changed, and of how many where that was counted."""
    return count(step['cells_changed']) + (f' of {count(step["cells"])}' if step.get('cells') else '')


def _report(report: Sequence[recipes.Report], steps: Sequence[Step], *, series: str) -> None:
    table(
        [
            Column[recipes.Report](label='Step', cell=lambda r: f'{r.step}. {title(steps[r.step - 1])}'),
            Column[recipes.Report](
                label='Rows',
                cell=lambda r: (
                    count(r.rows_after)
                    if r.rows_after == r.rows_before
                    else f'{count(r.rows_before)} → {count(r.rows_after)}'
                ),
                num=True,
            ),
            Column[recipes.Report](label='Cells changed', cell=lambda r: _share(asdict(r)), num=True),
        ],
        report,
        classes='tight',
        label=f'What each step does to {series or "the series"}',
    )


def _rows(found: recipes.Preview) -> None:
    """The rows in which cells change, with both values; the first rows where none does, or all are made anew."""
    own = ('_series', '_time', '_line', '_source')
    shown = [(place, name) for place, name in enumerate(found.columns_after) if name not in own]
    pairs = sorted(_changed(found), key=lambda pair: pair[1][0] is not None)
    away = sum(after[0] is None for _, after in pairs)
    listed = pairs[:ROWS_LISTED] or [(row, row) for row in found.after[:ROWS_LISTED]]
    if pairs:
        some = f'{len(listed)} of {count(len(pairs))} rows' if len(pairs) > len(listed) else 'Rows'
        tag('p', f'{some} in which cells change{f"; {count(away)} of them give way (→ –)" if away else ""}:', 't12 t2')
    table(
        [
            Column[Any](
                label=name,
                cell=lambda pair, place=place: _both(pair[0][place], pair[1][place]),
                num=any(isinstance(row[place], int | float | Decimal) for pair in listed for row in pair),
            )
            for place, name in shown[:12]
        ],
        listed,
        classes='tight',
        label='Rows that the recipe changes' if pairs else 'First rows after the recipe',
        height=360,
    )
    if not found.after:
        with tag('p', classes='note warn'):
            icon('triangle-alert')
            tag('span', 'No row of this series is left.')
