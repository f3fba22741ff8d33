"""The columns of a version: their types and roles, how the file was read, and a reading that is corrected."""

from typing import Any

from nicegui import ui
from nicegui.element import Element

from core.datasets import ROLES
from core.values import Balance, Quote
from ui.components.hours import Price
from ui.components.parts import badge, button, card, field, tag
from ui.components.table import Column, table
from ui.components.times import count
from ui.components.toast import toast
from ui.pages.dataset.state import Shown, View, cost
from ui.session import current

ZONES = ('UTC', 'Europe/London', 'Europe/Paris', 'Europe/Berlin', 'America/New_York', 'America/Chicago',
         'America/Los_Angeles', 'Asia/Tokyo', 'Asia/Kolkata', 'Australia/Sydney')  # fmt: skip
GUESS = 'as read'


class ColumnsTab(View):
    """The tab `Columns`."""

    def __init__(self, shown: Shown) -> None:
        super().__init__(shown)
        self.cost: tuple[Quote, Balance] | None = None

    async def load(self) -> None:
        """Read what a new version costs."""
        self.cost = await cost(self.shown.services, self.shown.session, self.shown.data)

    def draw(self) -> None:
        """Draw the columns and the source."""
        roles = {column['name']: column['role'] for column in self.shown.manifest['columns']}
        choices: dict[str, str] = {}
        reading: dict[str, str] = {'time_zone': self.shown.manifest['time']['zone'], 'dates': GUESS, 'decimal': GUESS}

        async def apply() -> None:
            options: dict[str, Any] = {'time_zone': reading['time_zone'], 'roles': roles | choices}
            if reading['dates'] != GUESS:
                options['day_first'] = reading['dates'] == 'day first'
            if reading['decimal'] != GUESS:
                options['decimal'] = reading['decimal']
            await self.shown.services.datasets.correct(current().user.id, self.shown.data.id, options)
            toast('A new version is being made', 'The version you see stays until it is ready.', level='info')

        def choose(name: str) -> Element:
            select = ui.select(list(ROLES), value=roles[name], on_change=lambda e: choices.update({name: e.value}))
            select.props['aria-label'] = f'Role of column {list(roles).index(name) + 1}'
            return select.classes('role-select')

        with card('Columns', 'What each is for; a change makes a new version'):
            table(
                [
                    Column[Any](label='Column', cell=lambda c: c['name'], classes='mono', width='26%'),
                    Column[Any](label='Type', cell=lambda c: badge(c['type']) and None, width='12%', phone=False),
                    Column[Any](label='Role', cell=lambda c: choose(c['name']) and None, width='18%'),
                    Column[Any](label='Why', cell=lambda c: c.get('reason', ''), classes='t2 sub full'),
                    Column[Any](label='Missing', cell=lambda c: count(c['missing']), num=True, phone=False),
                ],
                self.shown.manifest['columns'],
                label='Columns',
            )
            with tag('div', classes='hs body form-row'):
                zone = self.shown.manifest['time']['zone']
                with field('Zone of stamps that name none'):
                    zones = list(dict.fromkeys([zone, *ZONES]))
                    ui.select(zones, value=zone, with_input=True).bind_value_to(reading, 'time_zone').props(
                        'aria-label="Zone of stamps that name none"'
                    )
                with field('Dates such as 03/04/2025'):
                    ui.select([GUESS, 'day first', 'month first'], value=GUESS).bind_value_to(reading, 'dates')
                with field('Decimal mark'):
                    ui.select([GUESS, '.', ','], value=GUESS).bind_value_to(reading, 'decimal')
                with tag('div', classes='hs spend'):
                    place = tag('div')
                    make = button('Make a new version', kind='pri', on_click=apply)
                if self.cost is not None:
                    with place:
                        quote, balance = self.cost
                        price = Price(balance, quote)
                    price.guard(make)
                    price.follow(self.shown.services, self.shown.session)
        self._source()

    def _source(self) -> None:
        source = self.shown.manifest['source']
        dialect = source.get('dialect') or {}
        rows = {
            'File': f'{source["name"]}, {source["format"]}'
            + (f', {source["compression"]}' if source.get('compression') else ''),
            'Encoding': source.get('encoding') or 'none',
            'Delimiter': repr(dialect['delimiter']) if dialect.get('delimiter') else 'none',
            'Header': f'line {source["header_line"]}' if source.get('header_line') else 'none',
            'Notes': ' '.join(source.get('notes') or ()) or 'none',
        }
        with card('How the file was read'), tag('dl', classes='facts body'):
            for name, value in rows.items():
                tag('dt', name)
                tag('dd', value)
