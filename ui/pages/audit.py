"""Audit log: what was done with the account, when, and from which address."""

import asyncio
from collections.abc import Sequence

from nicegui import ui

from core.services import Services
from core.values import AuditEntry
from ui.components.agents import agent
from ui.components.parts import button, card, page_head, tag
from ui.components.states import empty_state
from ui.components.table import Column, table
from ui.components.times import dated
from ui.session import current
from ui.theme import PATIENCE, frame

AT_ONCE = 100
CSV = '/api/v1/audit.csv'


def register(services: Services) -> None:
    """Serve `/audit`."""

    @ui.page('/audit', response_timeout=PATIENCE)
    async def audit() -> None:
        with frame(services, ('Settings', '/settings'), 'Audit log', active='/settings'):
            page = Audit(services)
            page_head('Audit log', 'Who did what, when and from where. Entries are never changed.', actions=_csv)
            await page.draw()


def _csv() -> None:
    button('Save as CSV', icon_name='download', href=CSV, download='')


class Audit:
    """The entries of one user, a page at a time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._last: AuditEntry | None = None
        self._alone = asyncio.Lock()

    async def draw(self) -> None:
        """Draw the newest entries."""
        with card():
            self._box = tag('div', classes='audit')
            self._foot = tag('div', classes='hs more-row')
        with self._foot:
            button('Show more', kind='ghost', on_click=self._next)
        await self._next()

    async def _next(self) -> None:
        async with self._alone:
            before = self._last.id if self._last else None
            found = await self._services.accounts.audit(current().user.id, limit=AT_ONCE + 1, before=before)
            entries = found[:AT_ONCE]
            self._foot.set_visibility(len(found) > AT_ONCE)
            with self._box:
                if entries:
                    _table(entries, headed=self._last is None)
                elif self._last is None:
                    empty_state(
                        'Nothing yet',
                        'Sign-ins, keys, settings, what becomes of datasets, which dashboards are made, and what is '
                        'deleted or restored are written here.',
                    )
            self._last = entries[-1] if entries else self._last


def _table(entries: Sequence[AuditEntry], *, headed: bool) -> None:
    """Entries below those that are there; the head is seen once, and holds the columns where they are."""
    drawn = table(
        [
            Column(label='When', cell=_at, width='22%'),
            Column(label='Action', cell=_action, width='20%', classes='w5'),
            Column(label='Subject', cell=_subject, classes='t2 sub'),
            Column(label='By', cell=_by, width='26%', classes='sub'),
        ],
        entries,
        classes='cards',
        label='Audit log' if headed else 'Audit log, further back',
    )
    if not headed:
        next(element for element in drawn.descendants() if element.tag == 'thead').style('visibility: collapse')


def _action(entry: AuditEntry) -> str:
    return entry.action[:1].upper() + entry.action[1:]


def _subject(entry: AuditEntry) -> str:
    return agent(entry.subject) if entry.action == 'session revoked' and entry.subject else entry.subject


def _by(entry: AuditEntry) -> None:
    with tag('div', classes='hs wrap'):
        tag('span', who(entry), 't2')
        tag('span', entry.address, 'mono t12 t3')


def who(entry: AuditEntry) -> str:
    """Who acted: the user, a key, or the product by itself."""
    if entry.api_key:
        return f'API key “{entry.api_key}”'
    return 'You' if entry.address else 'VARIOSYNC'


def _at(entry: AuditEntry) -> None:
    dated(entry.at)
