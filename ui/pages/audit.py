"""Audit log: what was done with the account, when, and from which address."""

from collections.abc import Sequence

from nicegui import ui

from core.services import Services
from core.values import AuditEntry
from ui.components.agents import agent
from ui.components.parts import button, card, page_head, tag
from ui.components.states import empty_state
from ui.components.table import Column, table
from ui.components.times import dated
from ui.preferences import preferences
from ui.session import current
from ui.theme import frame

AT_ONCE = 100
CSV = '/api/v1/audit.csv'


def register(services: Services) -> None:
    """Serve `/audit`."""

    @ui.page('/audit')
    async def audit() -> None:
        with frame(services, ('Settings', '/settings'), 'Audit log', active='/settings'):
            page = Audit(services)
            page_head('Audit log', f'Entries are never changed. Times are in {preferences().time_zone}.', actions=_csv)
            await page.draw()


def _csv() -> None:
    button('CSV', icon_name='download', href=CSV, download='')


class Audit:
    """The entries of one user, a page at a time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._entries: list[AuditEntry] = []

    async def draw(self) -> None:
        """Draw the newest entries."""
        with card():
            self._box = tag('div', classes='audit')
            self._foot = tag('div', classes='hs more-row')
        with self._foot:
            button('Show more', kind='ghost', on_click=self._next)
        await self._next()

    async def _next(self) -> None:
        last = self._entries[-1].id if self._entries else None
        found = await self._services.accounts.audit(current().user.id, limit=AT_ONCE + 1, before=last)
        self._entries.extend(found[:AT_ONCE])
        self._foot.set_visibility(len(found) > AT_ONCE)
        self._box.clear()
        with self._box:
            if self._entries:
                _table(self._entries)
            else:
                empty_state('Nothing yet', 'Sign-ins, keys and changes of the account are written here.')


def _table(entries: Sequence[AuditEntry]) -> None:
    table(
        [
            Column(label='When', cell=_at, width='26%'),
            Column(label='Action', cell=_action, width='24%', classes='w5'),
            Column(label='Subject', cell=_subject, classes='t2 sub'),
            Column(label='Address', cell=lambda entry: entry.address, width='18%', classes='mono sub'),
        ],
        entries,
        classes='cards',
        label='Audit log',
    )


def _action(entry: AuditEntry) -> str:
    return entry.action[:1].upper() + entry.action[1:]


def _subject(entry: AuditEntry) -> str:
    return agent(entry.subject) if entry.action == 'session revoked' and entry.subject else entry.subject


def _at(entry: AuditEntry) -> None:
    dated(entry.at)
