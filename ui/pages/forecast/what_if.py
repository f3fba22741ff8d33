"""What if: another forecast, with what is known ahead changed."""

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from core.errors import NotFound
from ui.components import formats
from ui.components.hours import Price
from ui.components.options import Complaint
from ui.components.parts import button, card, tag
from ui.pages.forecast.state import Shown
from ui.session import current

KEEP = ''
HOW = {KEEP: 'as it is', 'scale': 'times', 'shift': 'plus', 'set': 'set to'}
AT_FIRST = {'scale': 1.1, 'shift': 0.0, 'set': 0.0}
MARKS = {'scale': '×', 'shift': '+', 'set': '='}


async def what_if_card(shown: Shown) -> None:
    """The card, for forecasts that know numbers ahead."""
    names = shown.forecast.request.get('regressors') or ()
    if not names:
        return
    card_of = _WhatIf(shown)
    with card('What if', 'change what is known ahead'), tag('div', classes='body vs gap-s'):
        for name in names:
            card_of.row(name)
        await card_of.foot()


class _WhatIf:
    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self.how: dict[str, str] = {}
        self.values: dict[str, ui.number] = {}
        self.complaint: Complaint | None = None

    def row(self, name: str) -> None:
        """A regressor: how it differs, and by how much."""

        def choose(how: str) -> None:
            self.how[name] = how
            number.set_visibility(how != KEEP)
            if how != KEEP:
                number.value = AT_FIRST[how]

        with tag('div', classes='what-if', role='group', aria_label=name):
            tag('span', name, 'mono cut', title=name)
            select = ui.select(HOW, value=KEEP, on_change=lambda event: choose(event.value))
            # Not by `props(…)`: that reads a small language, in which a name could add attributes that are run.
            select.props['aria-label'] = f'How {name} changes'
            with tag('div', classes='value'):
                number = ui.number(value=1.0)
                number.props['aria-label'] = f'Value for {name}'
                number.set_visibility(False)
        self.values[name] = number

    async def foot(self) -> None:
        """What it costs, and the button."""
        shown = self.shown
        self.complaint = Complaint('what-if').about(*self.values.values())
        go = button('Forecast with this', icon_name='play', on_click=self.submit)
        try:
            quote = await shown.services.forecasts.quote_again(shown.session.user.id, shown.forecast.id)
        except NotFound:  # the dataset is gone: asking says so
            return
        price = Price(await shown.services.hours.balance(shown.session.user.id), quote)
        price.guard(go)
        price.follow(shown.services, shown.session)

    async def submit(self) -> None:
        """Ask for the changed forecast and open it."""
        changes = self.changes()
        assert self.complaint is not None
        if not changes:
            self.complaint.say('Change at least one of them.')
            return
        if any(change['value'] is None for change in changes.values()):
            self.complaint.say('Write a number for each change.')
            return
        made = await self.shown.services.forecasts.what_if(current().user.id, self.shown.forecast.id, changes)
        ui.navigate.to(f'/forecasts/{made.id}')

    def changes(self) -> dict[str, dict[str, Any]]:
        """What differs, as the service takes it."""
        return {name: {'how': how, 'value': self.values[name].value} for name, how in self.how.items() if how != KEEP}


def told(changes: Mapping[str, Mapping[str, Any]]) -> str:
    """Changes in words: `price × 1.1, plan = 0`."""
    return ', '.join(
        f'{name} {MARKS[change["how"]]} {formats.number(change["value"])}' for name, change in changes.items()
    )
