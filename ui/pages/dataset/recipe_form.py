"""The form of one step of a recipe."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from nicegui import ui

from core.analysis import alike, recipes
from ui.components.options import explained
from ui.components.parts import field, tag
from ui.pages.dataset.recipe_steps import Step

EVERY = {
    '1min': '1 minute', '5min': '5 minutes', '15min': '15 minutes', '30min': '30 minutes', 'h': 'hour', 'D': 'day',
    'W': 'week', 'MS': 'month', 'QS': 'quarter', 'YS': 'year',
}  # fmt: skip
FILLS = {'linear': 'on a line between neighbours', 'forward': 'with the last value', 'seasonal': 'from other seasons',
         'none': 'leave empty'}  # fmt: skip
ACTIONS = {'clip': 'become the bound', 'empty': 'are emptied'}
SAME_TIME = {'last': 'the last is kept', 'first': 'the first is kept', 'mean': 'their mean is kept'}
CLIPS = {'iqr': 'quartiles', 'mad': 'median and deviation', 'quantile': 'quantiles', 'fixed': 'fixed bounds'}


class StepForm:
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
