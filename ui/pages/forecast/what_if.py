"""What if: another forecast, with what is known ahead changed."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from nicegui import ui

from core.errors import NotFound
from ui.components import formats
from ui.components.hours import Price
from ui.components.options import Complaint
from ui.components.parts import button, card, tag
from ui.pages import forecast_choices as choosing
from ui.pages.forecast.state import Shown
from ui.pages.forecast_choices import DEAF, HEARING, told_models
from ui.session import current

KEEP = ''
HOW = {KEEP: 'as it is', 'scale': 'times', 'shift': 'plus', 'set': 'set to'}
AT_FIRST = {'scale': 1.1, 'shift': 0.0, 'set': 0.0}
MARKS = {'scale': '×', 'shift': '+', 'set': '='}


async def what_if_card(shown: Shown) -> None:
    """The card: what a what-if needs, for forecasts that know no numbers ahead."""
    names = shown.forecast.request.get('regressors') or ()
    if not names:
        _needs(shown)
        return
    card_of = _WhatIf(shown)
    with card('What if', 'change what is known ahead'), tag('div', classes='body vs gap-s'):
        for name in names:
            card_of.row(name)
        if set(shown.names) <= DEAF:
            tag(
                'p',
                f'{told_models(shown.names)} no such numbers: nothing would change. Ask for {HEARING}.',
                't12 amber',
            )
        await card_of.foot()


def _needs(shown: Shown) -> None:
    target = shown.forecast.request['target']
    ask = choosing.write(choosing.again(shown.forecast), dataset=str(shown.forecast.dataset_id))
    with card('What if', 'something known ahead were different'), tag('div', classes='body vs gap-s'):
        tag('p', f'This forecast knows no numbers ahead of {target} that could be changed.', 't2')
        tag('p', 'Choose one under “What else is known” when you ask; there it also says how to add one.', 't12 t3')
        with tag('div', classes='hs'):
            button('Choose what is known ahead', kind='small', icon_name='sliders-horizontal', href=f'{ask}#known')


class _WhatIf:
    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self.how: dict[str, str] = {}
        self.values: dict[str, ui.number] = {}
        self.complaint: Complaint | None = None
        self._made: tuple[Mapping[str, Any], UUID] | None = None

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
        # This page stands until that of the forecast comes: asked for once more, the same is not ordered again.
        if self._made is None or self._made[0] != changes:
            made = await self.shown.services.forecasts.what_if(current().user.id, self.shown.forecast.id, changes)
            self._made = changes, made.id
        ui.navigate.to(f'/forecasts/{self._made[1]}')

    def changes(self) -> dict[str, dict[str, Any]]:
        """What differs, as the service takes it."""
        return {name: {'how': how, 'value': self.values[name].value} for name, how in self.how.items() if how != KEEP}


def told(changes: Mapping[str, Mapping[str, Any]]) -> str:
    """Changes in words: `price × 1.1, plan = 0`."""
    return ', '.join(
        f'{name} {MARKS[change["how"]]} {formats.number(change["value"])}' for name, change in changes.items()
    )
