"""The columns of a version, how the file was read, what was repaired, and a reading that is corrected."""

from collections.abc import Mapping
from typing import Any

from nicegui import ui
from nicegui.element import Element

from core.errors import UsageError
from core.orders import ROLES
from core.values import Balance, Quote
from ui.components import formats
from ui.components.hours import Price
from ui.components.options import Complaint
from ui.components.parts import badge, button, card, facts, tag
from ui.components.table import Column, table
from ui.components.times import count, size
from ui.pages.dataset.reading import Reading, roles_to_send
from ui.pages.dataset.state import Shown, View, cost, say_making, type_name
from ui.session import actor, current

TEXTS = ('csv', 'json', 'jsonl')
"""Formats whose text may be read in several ways."""


class ColumnsTab(View):
    """The tab `Columns`."""

    def __init__(self, shown: Shown) -> None:
        super().__init__(shown)
        self.cost: tuple[Quote, Balance] | None = None
        self.asked: Mapping[str, Any] = {}
        self.choices: dict[str, str] = {}

    async def load(self) -> None:
        """Read what a new version costs, and what this one was told."""
        self.cost = await cost(
            self.shown.services, self.shown.session, self.shown.data, version=self.shown.version.number
        )
        number = self.shown.version.number
        user, data = self.shown.session.user.id, self.shown.data.id
        order = (await self.shown.services.datasets.orders(user, data, [number])).get(number)
        self.asked = {} if order is None else order.options

    def draw(self) -> None:
        """Draw the columns, the reading, the repairs and what a new version costs."""
        manifest = self.shown.manifest
        source = manifest['source']
        found = source.get('reading') or {}
        reading = Reading(found=found, asked=self.asked, zone=manifest['time']['zone'])
        self._columns()
        with card('How the file was read', 'Each choice can be overruled; what is left as found is found out again'):
            with tag('div', classes='body'):
                facts(_file(source))
            if found or source['format'] in TEXTS:
                reading.draw_file()
            else:
                tag('p', 'Nothing is left to choose: the file itself tells its columns and their types.', 'body t2')
        with card('What rows and cells mean'):
            reading.draw_values()
        off = 'Switched off, such cells are listed and left empty; duplicates are stored'
        with card('Repairs', off), tag('div', classes='body'):
            reading.draw_repairs(manifest.get('repairs') or {})
        self._foot(reading)

    @property
    def _read(self) -> list[Mapping[str, Any]]:
        """The columns as they were read, before the recipe."""
        return list(self.shown.manifest.get('base') or self.shown.manifest['columns'])

    @property
    def _again(self) -> str:
        """What is read again: of several files the last one."""
        if not (earlier := self.shown.earlier_files):
            return 'The same file is read again. The version you see is kept.'
        name, others = self.shown.manifest['source']['name'], formats.counted(earlier, 'earlier file')
        return f'Only {name} is read again; rows of {others} stay as they are. The version you see is kept.'

    def _columns(self) -> None:
        roles = {column['name']: column['role'] for column in self._read}

        def choose(name: str) -> Element:
            select = ui.select(list(ROLES), value=roles[name], on_change=lambda e: self.choices.update({name: e.value}))
            select.props['aria-label'] = f'Role of column {list(roles).index(name) + 1}'
            return select.classes('role-select')

        before = ' Those of the recipe are on its tab.' if self.shown.manifest.get('base') else ''
        with card('Columns', f'What each is for; a change makes a new version.{before}'):
            table(
                [
                    Column[Any](label='Column', cell=lambda c: c['name'], classes='mono', width='26%'),
                    Column[Any](label='Type', cell=lambda c: badge(type_name(c['type'])), width='12%', phone=False),
                    Column[Any](label='Role', cell=lambda c: choose(c['name']), width='18%'),
                    Column[Any](label='Why', cell=lambda c: c.get('reason', ''), classes='t2 sub full'),
                    Column[Any](
                        label='Missing', cell=lambda c: count(c['missing']), num=True, width='10%', phone=False
                    ),
                ],
                self._read,
                label='Columns',
            )
            with tag('p', classes='body t12 t3'):
                tag('span', 'A type follows from the cells. To give a column another one, ')
                tag('a', 'change it in the recipe', 'link', href=self.shown.address('recipe'))
                tag('span', '.')

    def _foot(self, reading: Reading) -> None:
        complaint: list[Complaint] = []

        async def apply() -> None:
            changes = reading.changes()
            shown = {column['name']: column['role'] for column in self._read}
            chosen = {name: role for name, role in self.choices.items() if role != shown[name]}
            if not changes and not chosen:
                complaint[0].say('This is how the file was read. Change something first.')
                return
            try:
                options = changes | roles_to_send(shown, chosen, changes)
                await self.shown.services.uploads.correct(
                    current().user.id, self.shown.data.id, options, version=self.shown.version.number, by=actor()
                )
            except UsageError as error:
                complaint[0].say(error.message)
                return
            complaint[0].say('')
            say_making('The version you see stays until it is ready, and can be shown again after that.')

        with card(), tag('div', classes='body hs wrap apply'):
            with tag('div', classes='vs grow'):
                tag('span', self._again, 't2')
                complaint.append(Complaint('reading'))
            with tag('div', classes='hs spend'):
                place = tag('div')
                make = button('Make a new version', kind='pri', on_click=apply)
            if self.cost is not None:
                with place:
                    quote, balance = self.cost
                    price = Price(balance, quote)
                price.guard(make)
                price.follow(self.shown.services, self.shown.session)


def _file(source: Mapping[str, Any]) -> dict[str, str]:
    packed = f', {source["compression"]}' if source.get('compression') else ''
    rows = {'File': f'{source["name"]}, {source["format"]}{packed}, {size(source["bytes"])}'}
    if source.get('header_line'):
        rows['Header'] = f'line {count(source["header_line"])}'
    return rows | {'Notes': ' '.join(source.get('notes') or ()) or 'none'}
