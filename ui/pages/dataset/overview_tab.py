"""A dataset at a glance: its chart, its columns in figures and its first faults."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from core import suggest
from core.analysis import alike, recipes
from core.analysis.query import marks
from core.analysis.tables import Page
from ui.components import formats
from ui.components.chart import SeriesPanel
from ui.components.panels import described
from ui.components.parts import Tag, badge, button, card, icon, icon_button, labelled, tag
from ui.components.spark import bars, spark
from ui.components.states import empty_state
from ui.components.terms import says
from ui.components.times import count
from ui.pages.dataset.faults_tab import faults_card, linked
from ui.pages.dataset.origin import Origins
from ui.pages.dataset.recipe_steps import MOST_IN_ADDRESS, done, title
from ui.pages.dataset.state import Shown, View, type_name
from ui.session import current

FIRST_FAULTS = 5
MOST_CARDS = 24  # of measures: hundreds of them, each with its drawing, keep a browser busy for seconds
NAMED = 4  # names that are spelled in several ways
COLOURS = [f'series-{place}' for place in range(1, 9)]


class OverviewTab(View):
    """The tab `Overview`."""

    def __init__(self, shown: Shown) -> None:
        super().__init__(shown)
        self.page: Page | None = None
        self.first_told: int | None = None
        self.dismissed: Sequence[str] = ()
        self.box: Tag | None = None
        self.all_hints = False
        self.each_pair = False

    async def load(self) -> None:
        """Read which version told the notes first, which hints were dismissed, and the first faults."""
        datasets, user = self.shown.services.datasets, self.shown.session.user.id
        if self.shown.manifest.get('hints'):
            self.dismissed = await datasets.dismissed_hints(user, self.shown.data.id)
        if self.shown.manifest['source']['notes']:
            self.first_told = await datasets.first_told(user, self.shown.version)
        self.page = await datasets.faults(user, self.shown.version, offset=0, limit=FIRST_FAULTS)

    def draw(self) -> None:
        """Draw notes on the source, the chart, the cards and the first faults."""
        if notes := self.shown.manifest['source']['notes']:
            with tag('div', classes='note', role='note'):
                icon('info')
                first = self.first_told
                tag('span', (f'As for v{first}: ' if first else '') + ' '.join(notes), 'grow')
                tag('a', 'Change how it is read', 'link', href=self.shown.address('columns'))
        if steps := self.shown.manifest.get('recipe'):
            with tag('div', classes='note', role='note'):
                icon('wand-sparkles')
                tag('span', f'The recipe did: {"; ".join(map(done, steps))}.', 'grow')
                tag('a', 'See the recipe', 'link', href=self.shown.address('recipe'))
        if self.shown.manifest.get('hints'):
            self.box = tag('div', classes='vs', role='group', aria_label='Hints').style('gap: var(--s4)')
            self._hints()
        self._chart()
        measures = [column for column in self.shown.manifest['columns'] if column['role'] == 'measure']
        with tag('div', classes='g12 prof-row', tabindex='0', role='group', aria_label='Column profiles'):
            for place, column in enumerate(measures[:MOST_CARDS]):
                self._measure_card(column, COLOURS[place % len(COLOURS)])
            self._time_card()
        if len(measures) > MOST_CARDS:
            said = f'{MOST_CARDS} of {count(len(measures))} measures'
            with tag('p', classes='t2'):
                tag('span', f'{said} are shown here; ')
                tag('a', 'Columns lists them all', 'link', href=self.shown.address('columns'))
                tag('span', '.')
        faults_card(self.shown, self.page, away=self.away, short=True)

    def _hints(self) -> None:
        """Draw the hints, and below them how many were dismissed: those are drawn too when they are asked for."""
        assert self.box is not None
        self.box.clear()
        every = self.shown.manifest['hints']
        away = [hint for hint in every if _key(hint) in self.dismissed]
        pairs = [hint for hint in every if hint not in away and hint['step'] and hint['step']['do'] == 'merge']
        with self.box:
            for hint in every:
                if (hint not in away or self.all_hints) and (len(pairs) < 2 or hint not in pairs):
                    self._hint(hint)
            if len(pairs) > 1:
                self._pairs(pairs)
            if away:
                said = 'Hide' if self.all_hints else 'Show'
                button(
                    f'{said} {formats.counted(len(away), "dismissed hint")}', kind='ghost small', on_click=self._turn
                )

    def _pairs(self, pairs: Sequence[Mapping[str, Any]]) -> None:
        """Lead to a recipe that merges all names that are spelled in several ways; below it each of them alone."""
        steps: list[Mapping[str, Any]] = [*recipes.steps_of(self.shown.manifest)]
        held = 0
        for pair in pairs:
            longer = recipes.with_step(steps, pair['step'])
            if len(_draft(longer)) > MOST_IN_ADDRESS or len(longer) > recipes.MOST_STEPS:
                break
            steps, held = longer, held + 1
        with tag('div', classes='note', role='note'):
            icon('eye')
            names = ', '.join(f'"{alike.visible(pair["step"]["to"])[:24]}"' for pair in pairs[:NAMED])
            more = f' and {len(pairs) - NAMED} more' if len(pairs) > NAMED else ''
            said = f'{len(pairs)} names are spelled in several ways that may mean the same: {names}{more}.'
            tag('span', f'{said} Steps of the recipe would merge them, in later files too.', 'grow')
            if held > 1:
                which = f'all {held} pairs' if held == len(pairs) else f'the first {held} of {len(pairs)} pairs'
                button(f'Merge {which}', kind='small', href=self.shown.address('recipe', recipe=_draft(steps)))
        with tag('details', classes='card more') as each:
            each.props['open'] = self.each_pair
            tag('summary', 'Each pair alone', 'w6')
            with tag('div', classes='body vs').style('gap: var(--s4)'):
                for pair in pairs:
                    self._hint(pair)

    def _turn(self) -> None:
        self.all_hints = not self.all_hints
        self._hints()

    async def _dismiss(self, hint: Mapping[str, Any], *, dismissed: bool) -> None:
        """Dismiss a hint or bring it back, for this dataset, whoever looks at it."""
        self.dismissed = await self.shown.services.datasets.dismiss_hint(
            current().user.id, self.shown.data.id, _key(hint), dismissed=dismissed
        )
        self.all_hints = self.all_hints and not dismissed
        self.each_pair = (
            dismissed and bool(hint['step']) and hint['step']['do'] == 'merge'
        )  # one of a list that is open
        self._hints()

    def _hint(self, hint: Mapping[str, Any]) -> None:
        """Tell what may be wrong, and lead to what would help: a step of the recipe, or another upload."""
        with tag('div', classes='note', role='note'):
            icon('eye')
            linked(
                hint['text'],
                {f'line {count(line)}': self.shown.address('rows', line=line) for line in hint.get('lines') or ()},
            )
            if step := hint['step']:
                draft = _draft(recipes.with_step(recipes.steps_of(self.shown.manifest), step))
                series = {'series': label} if (label := (hint.get('series') or [''])[0]) else {}
                does = f'Merge into {alike.visible(step["to"])[:24]}' if step['do'] == 'merge' else title(step)
                button(does, kind='small', href=self.shown.address('recipe', **series, recipe=draft))
            else:
                button('Replace the rows', kind='small', href=self.shown.address('versions', how='replace'))
            if _key(hint) in self.dismissed:
                button('Bring back', kind='small', on_click=lambda: self._dismiss(hint, dismissed=False))
            else:
                icon_button('x', 'Dismiss hint', small=True, on_click=lambda: self._dismiss(hint, dismissed=True))

    def _chart(self) -> None:
        if not self.shown.manifest['measures']:
            with card():
                empty_state('No measure to draw', 'Make a numeric column a measure on the Columns tab.')
            return
        origins = Origins(self.shown)
        origins.draw()
        SeriesPanel(
            str(self.shown.data.id),
            {**described(self.shown.data.name, self.shown.version), 'opening': suggest.opening(self.shown.manifest)},
            name=self.shown.data.name,
            faulty=bool(marks.files(self.shown.manifest)),
            on_point=origins.point,
        )

    def _measure_card(self, column: Mapping[str, Any], colour: str) -> None:
        rows = max(1, self.shown.version.rows)
        with tag('section', classes='card prof c3'):
            with tag('div', classes='hs'):
                tag('span', column['name'], 'mono w6 cut', title=column['name'])
                badge(type_name(column['type']) + (f', {unit}' if (unit := column.get('unit')) else ''))
                lost = rejected(self.shown.manifest, column['name'])
                said = missing(column['missing'] / rows, lost=lost)
                told = tag('span', said, 't12 t3').style('margin-left:auto; white-space:nowrap')
                if lost:
                    told.props['title'] = f'{formats.counted(lost, "record")} without a value here: rejected'
            if any(value is not None for value in column.get('sparkline') or ()):
                spark(column['sparkline'], height=32, colour=colour)
            elif column.get('histogram'):
                bars(column['histogram']['counts'], colour=colour)
            _figures({name: formats.number(column.get(name)) for name in ('min', 'median', 'p99', 'max')})

    def _time_card(self) -> None:
        span = self.shown.manifest['time']
        with tag('section', classes='card prof c3'):
            with tag('div', classes='hs'):
                tag('span', span['column'], 'mono w6 cut', title=span['column'])
                badge('time')
                tag('span', formats.counted(span['duplicates'], 'duplicate'), 't12 t3').style('margin-left:auto')
            _figures(
                {
                    'step': formats.step(span['freq'], span['step_seconds']).removeprefix('every '),
                    'zone': span['zone'],
                    'gaps': count(span['gaps']),
                    'longest': formats.length(span['longest_gap_seconds']),
                }
            )


def _draft(steps: Sequence[Mapping[str, Any]]) -> str:
    """Steps as the address of a recipe has them."""
    return json.dumps(steps, separators=(',', ':'), ensure_ascii=False)


def _key(hint: Mapping[str, Any]) -> str:
    """What a hint is dismissed by; those of before there were keys by what they tell."""
    return str(hint.get('key') or hint['text'][:1000])


def rejected(manifest: Mapping[str, Any], column: str) -> int:
    """How many records of the file that was read last are not stored, as they have no value in a measure."""
    groups = manifest.get('faults_summary') or ()
    lost = [g for g in groups if g['kind'] == 'no_measure' or (g['column'] == column and g['action'] == 'rejected')]
    return sum(int(g['count']) for g in lost)


def missing(share: float, *, lost: int = 0) -> str:
    """How much of a column is missing; some is never told as none, nor nearly all as all. Where nothing stored is
    missing, the records that were `lost` for it are told."""
    if lost and not share:
        return f'{count(lost)} missing, rejected'
    if share in (0, 1):
        return 'none missing' if share == 0 else 'all missing'
    return f'{formats.percent(min(max(share, 0.0001), 0.9999), 2 if share < 0.01 or share > 0.99 else 1)} missing'


def _figures(values: Mapping[str, str]) -> None:
    with tag('dl'):
        for name, value in values.items():
            with tag('div'):
                labelled('dt', name, hint=says('gap') if name == 'gaps' else '')
                tag('dd', value)
