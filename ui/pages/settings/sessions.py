"""Settings, sessions: where the user is signed in, and ended from here."""

from collections.abc import Sequence
from contextlib import suppress

from nicegui import app

from core.errors import NotFound
from core.services import Services
from core.values import Session, SignedIn
from ui.components.agents import agent
from ui.components.formats import counted
from ui.components.parts import badge, button, card, icon, tag
from ui.components.table import Column, table
from ui.components.times import when
from ui.pages.settings.shared import AT_ONCE, confirmation, rest
from ui.session import address, current


class Sessions:
    """Where the user is signed in."""

    def __init__(self, services: Services, session: Session) -> None:
        self._services = services
        self._session = session
        self._shown = AT_ONCE

    async def draw(self) -> None:
        """Draw the list."""
        self._box = tag('div')
        await self._refresh()

    async def _refresh(self) -> None:
        found = await self._services.accounts.sessions(self._session.user.id, current=self._session.id)
        others = [one for one in found if not one.current]

        async def more() -> None:
            self._shown += AT_ONCE
            await self._refresh()

        self._box.clear()
        with (
            self._box,
            card('Where you are signed in', actions=lambda: self._end_others(others) if others else None),
        ):
            table(
                [
                    Column(label='Browser', cell=_browser, width='34%'),
                    Column(label='Address', cell=lambda one: one.address, classes='mono sub'),
                    Column(label='Signed in', cell=_since, width='16%', phone=False),
                    Column(label='Last seen', cell=_seen, width='16%', classes='sub'),
                    Column(label='', cell=self._revocation, num=True, width='112px'),
                ],
                found[: self._shown],
                label='Sessions',
            )
            rest(len(found) - self._shown, more)

    def _end_others(self, others: Sequence[SignedIn]) -> None:
        async def end() -> None:
            for one in others:
                await self._end(one)
            await self._refresh()

        words = f'{counted(len(others), "other session")} will have to sign in again.'
        button(
            'Sign out all others',
            kind='ghost small',
            on_click=confirmation('Sign out everywhere else?', words, 'Sign out all others', end),
        )

    def _revocation(self, one: SignedIn) -> None:
        async def revoke() -> None:
            await self._end(one)
            await self._refresh()

        if not one.current:
            button('Sign out', kind='small', on_click=revoke, aria_label=f'Sign out {agent(one.user_agent)}')

    async def _end(self, one: SignedIn) -> None:
        with suppress(NotFound):  # it has ended meanwhile
            ended = await self._services.accounts.revoke_session(current().user.id, one.id, address=address())
            await app.state.sockets.end_session(ended)


def _browser(one: SignedIn) -> None:
    with tag('div', classes='hs'):
        icon('monitor', classes='t3')
        tag('span', agent(one.user_agent), 'w5 cut', title=one.user_agent)
        if one.current:
            badge('This one', 'acc')


def _since(one: SignedIn) -> None:
    when(one.created_at)


def _seen(one: SignedIn) -> None:
    when(one.seen_at)
