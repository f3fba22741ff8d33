"""The page that stands where metered pages would, once the hours are used up."""

from collections.abc import Mapping
from shlex import quote
from typing import Any

from nicegui import ui

from core.services import Services
from core.values import Balance
from ui.components.parts import button, card, icon, page_head, tag
from ui.components.times import amount
from ui.live import follow
from ui.meter import OUT_OF_HOURS
from ui.session import safe_next
from ui.theme import PATIENCE, frame

KEPT = {
    'What is kept': 'All of your data: datasets, their versions, forecasts, and uploads on their way.',
    'What still works': 'Billing, Settings with the export of your data, and reading through REST.',
}


def register(services: Services) -> None:
    """Serve the page at `ui.meter.OUT_OF_HOURS`."""

    @ui.page(OUT_OF_HOURS, response_timeout=PATIENCE)
    async def out_of_hours(next: str = '/') -> None:
        target = safe_next(next)
        with frame(services, 'Out of hours', active='/billing', metered=False) as session:
            box = tag('div', classes='stack')

            async def show(_: Mapping[str, Any] | None = None) -> None:
                balance = await services.hours.balance(session.user.id)
                box.clear()
                with box:
                    if balance.state == 'exhausted':
                        _used_up(session.user.email)
                    else:
                        _go_on(balance, target)

            await show()
            follow(services.events, f'{session.user.id}/hours', show, within=box, on_ready=show)


def _used_up(email: str) -> None:
    page_head('Your hours are used up')
    with card(classes='form-card'), tag('div', classes='fault', role='status'):
        with tag('div', classes='hs').style('gap: 12px; align-items: flex-start'):
            with tag('span', classes='sign-i'):
                icon('timer')
            with tag('div', classes='vs').style('gap: 2px'):
                tag('h2', 'Charts, tables and forms are closed until hours arrive')
                tag(
                    'p',
                    'Nothing below zero is ever charged. This page tells you as soon as hours arrive.',
                    't2',
                )
        with tag('dl', classes='facts'):
            for name, words in KEPT.items():
                tag('dt', name)
                tag('dd', words)
            tag('dt', 'How to go on')
            with tag('dd', 'The operator can grant hours: '):
                tag('code', f'variosync hours grant {quote(email)} 10', 'mono')
        with tag('div', classes='hs'):
            button('See Billing', kind='pri', icon_name='credit-card', href='/billing')
            button('Export your data', icon_name='download', href='/settings?tab=account')


def _go_on(balance: Balance, target: str) -> None:
    page_head('You have hours')
    with card(classes='form-card'), tag('div', classes='fault', role='status'):
        with tag('div', classes='hs').style('gap: 12px; align-items: flex-start'):
            with tag('span', classes='sign-i good'):
                icon('timer')
            with tag('div', classes='vs').style('gap: 2px'):
                tag('h2', f'{amount(balance.seconds)} can be used now')
                tag('p', 'Everything is where you left it.', 't2')
        with tag('div', classes='hs'):
            button('Go on', kind='pri', icon_name='play', href=target)
            button('See Billing', href='/billing')
