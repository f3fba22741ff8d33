"""The recipe of a dataset: cleaning steps in order, what each of them does, and a new version made by them."""

import json
import re
from collections.abc import Mapping, Sequence

from nicegui import ui

from core.analysis import alike, recipes
from core.errors import Unavailable, UsageError
from core.values import Balance, Quote
from ui.components.hours import Price
from ui.components.options import Complaint
from ui.components.parts import Tag, button, card, icon_button, tag
from ui.components.plot import plot, time_ticks
from ui.components.states import empty_state
from ui.pages.dataset.recipe_form import StepForm
from ui.pages.dataset.recipe_preview import draw_report, draw_rows, lines_of
from ui.pages.dataset.recipe_steps import KINDS, MOST_IN_ADDRESS, Step, done, in_the_form, is_whole, read, title
from ui.pages.dataset.state import Shown, View, cost, say_making
from ui.session import actor, current

ROWS_DRAWN = 5000
STEP = re.compile(r'Step (\d+)(.*)', re.DOTALL)


class RecipeTab(View):
    """The tab `Recipe`."""

    def __init__(self, shown: Shown) -> None:
        super().__init__(shown)
        self.fields = recipes.fields_of(shown.manifest)
        self.stored = recipes.steps_of(shown.manifest)
        draft = read(shown.asked.recipe)
        self.steps: list[Step] = [dict(step) for step in self.stored] if draft is None else draft
        labels = shown.manifest['series']['first']
        wanted = (*shown.asked.series, shown.version.opens, *labels)
        self.series = next((name for name in wanted if name in labels), '')
        self.measure = ''
        self.cost: tuple[Quote, Balance] | None = None
        self.price: Price | None = None
        self.list: Tag | None = None
        self.result: Tag | None = None
        self.complaint: Complaint | None = None
        self.complaints: list[Complaint] = []  # one a step
        self.words: dict[str, Mapping[str, int]] = {}  # by key what it holds, and in how many rows
        self.turn = 0

    async def load(self) -> None:
        """Read what a new version costs, and what a step that is there can merge."""
        self.cost = await cost(
            self.shown.services, self.shown.session, self.shown.data, version=self.shown.version.number
        )
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

                StepForm(step, self._columns(place), changed, self.words).draw()
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
        self._offer()
        text = json.dumps(self.steps, separators=(',', ':'), ensure_ascii=False)
        more = {'recipe': text} if self.steps != self.stored and len(text) <= MOST_IN_ADDRESS else {}
        self.shown.carry(more.get('recipe', ''))
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
        places = [place for place, step in enumerate(self.steps) if is_whole(step)]
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
        after = lines_of(found.columns_after, found.after, self.measure, 'series-1', 1.5)
        before = lines_of(found.columns_before, found.before, self.measure, 'text-3', 1.0)
        lines = [*(before if steps else ()), *after]
        if lines:
            low, high = (end(end(line.x) for line in lines) for end in (min, max))
            label = f'{self.measure} of {self.series or "the series"} before and after the recipe'
            plot(lines, label=label, height=220, x_ticks=time_ticks(low, high))
            if before and steps:
                tag('p', 'Grey: before. Blue: after.', 't12 t3')
        if found.report:
            draw_report(found.report, steps, series=self.series)
            if self.shown.manifest['series']['count'] > 1:
                tag('p', f'Counted for {self.series}; the new version tells it of all series.', 't12 t3')
        draw_rows(found)

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
                    self.price = Price(self.cost[1])
                self.price.guard(make)
                self.price.follow(self.shown.services, self.shown.session)
                self._offer()

    def _offer(self) -> None:
        """Let a version be made of what differs from the recipe that is there."""
        if self.price is None or self.cost is None:
            return
        if self.steps != self.stored:
            self.price.show(self.cost[0])
        else:
            self.price.show(None, why_not='A new version takes another step, or a change to one.')

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
            current().user.id,
            self.shown.data.id,
            {'recipe': self.steps},
            version=self.shown.version.number,
            by=actor(),
        )
        say_making('The version you see stays until it is ready.')
