"""Settings, display: theme, zone and how numbers are written."""

import re
from datetime import UTC, datetime
from functools import cache
from zoneinfo import available_timezones

from nicegui import context, ui

from core.accounts import NUMBER_FORMATS, ZONE
from core.services import Services
from core.values import Preferences, Session
from ui.components.parts import button, card, field, icon, tag
from ui.pages.settings.shared import remember
from ui.preferences import local, written
from ui.session import address, current
from ui.theme import THEMES

EXAMPLE = 1_234_567.8
BROWSER_ZONE = 'Intl.DateTimeFormat().resolvedOptions().timeZone'


class Display:
    """Theme, time zone and number format; each choice is kept at once."""

    def __init__(self, services: Services, session: Session) -> None:
        self._services = services
        self._chosen = session.user.preferences

    async def draw(self) -> None:
        """Draw the choices, with what they make of an example."""
        with (
            card('How pages look', 'Every choice is kept at once.', classes='form-card'),
            tag('div', classes='body vs form'),
        ):
            with tag('div', classes='field'):
                tag('span', 'Theme')
                self._theme()
            with field('Time zone'):
                self._zone = ui.select(list(zones()), value=self._chosen.time_zone, with_input=True)
                self._zone.props('aria-label="Time zone"').on_value_change(self._zone_chosen)
            self._offer = tag('div', classes='hs offer')
            with field('Numbers'):
                formats = {name: written(f'{EXAMPLE:,}', Preferences(number_format=name)) for name in NUMBER_FORMATS}
                self._format = ui.select(formats, value=self._chosen.number_format)
                self._format.props('aria-label="Numbers"').on_value_change(self._format_chosen)
            with tag('div', classes='note'):
                icon('info')
                self._example = tag('span', classes='tn', role='status')
        self._show()
        context.client.on_connect(self._ask_browser)

    def _theme(self) -> None:
        async def keep(theme: str) -> None:
            await self._keep(theme=theme)

        with tag('div', classes='seg', role='group', aria_label='Theme').style('align-self: flex-start'):
            for value, label, _ in THEMES:
                pressed = str(value == self._chosen.theme).lower()
                choice = tag('button', label, type='button', aria_pressed=pressed, data_theme_set=value)
                choice.on('click', lambda _, value=value: keep(value))

    async def _ask_browser(self) -> None:
        """Offer the zone of the browser when it is another one."""
        zone = await ui.run_javascript(BROWSER_ZONE, timeout=5)
        self._offer.clear()
        if zone not in zones() or zone == self._chosen.time_zone or self._offer.is_deleted:
            return
        with self._offer:
            tag('span', f'This browser is in {zone}.', 't12 t3')
            button('Use it', kind='small', on_click=lambda: self._zone.set_value(zone))

    async def _zone_chosen(self) -> None:
        if self._zone.value and self._zone.value != self._chosen.time_zone:
            await self._keep(time_zone=self._zone.value)
            self._offer.clear()

    async def _format_chosen(self) -> None:
        if self._format.value != self._chosen.number_format:
            await self._keep(number_format=self._format.value)

    async def _keep(self, **change: str) -> None:
        accounts = self._services.accounts
        self._chosen = await accounts.set_preferences(current().user.id, **change, address=address())
        remember(preferences=self._chosen)
        self._show()

    def _show(self) -> None:
        now = local(datetime.now(UTC), self._chosen)
        number = written(f'{EXAMPLE:,}', self._chosen)
        self._example.text = f'It is {now:%H:%M} on {now.day} {now:%B}, and a number looks like {number}.'


@cache
def zones() -> tuple[str, ...]:
    """Every IANA zone that may be chosen, UTC first."""
    return ('UTC', *sorted(name for name in available_timezones() if re.fullmatch(ZONE, name) and name != 'UTC'))
