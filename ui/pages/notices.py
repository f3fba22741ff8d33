"""Notices: everything the user was told, newest first."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from nicegui import ui

from core.services import Services
from core.values import Notice, Session
from ui.components.jobs import Changes
from ui.components.notices import notice_line, settled
from ui.components.parts import button, card, icon_button, page_head, segment, tag
from ui.components.states import empty_state, skeleton_rows
from ui.live import follow
from ui.session import current
from ui.theme import PATIENCE, frame

FILTERS = {'all': 'All', 'unread': 'Unread'}
AT_ONCE = 50


def register(services: Services) -> None:
    """Serve `/notices`."""

    @ui.page('/notices', response_timeout=PATIENCE)
    async def notices(show: str = 'all') -> None:
        with frame(services, 'Notices', active='/notices') as session:
            page = Notices(services, session, unread=show == 'unread')
            page_head('Notices', 'What ended, what failed, and when hours run low.', actions=page.head)
            await page.draw()


class Notices:
    """The list of one user, which follows what arrives and what is read."""

    def __init__(self, services: Services, session: Session, *, unread: bool) -> None:
        self._services = services
        self._user_id = session.user.id
        self._unread = unread
        self._shown = AT_ONCE
        self._changes = Changes()

    def head(self) -> None:
        """The page's one action."""
        self._mark = button('Mark all as read', icon_name='check', on_click=self._read_all)
        self._mark.set_visibility(False)

    async def draw(self) -> None:
        """Draw the list and follow it."""
        with tag('div', classes='hs'):
            segment(
                FILTERS,
                'unread' if self._unread else 'all',
                label='Show',
                on_change=lambda value: ui.navigate.to(f'/notices?show={value}'),
            )
        self._box = tag('div')
        with self._box, card():
            skeleton_rows(3)
        await self._refresh()
        channel = f'{self._user_id}/notices'
        follow(self._services.events, channel, self._arrived, within=self._box, on_ready=self._refresh)

    async def _arrived(self, _: Mapping[str, Any]) -> None:
        await self._refresh()

    async def _refresh(self) -> None:
        found = await self._services.notices.latest(self._user_id, limit=self._shown + 1, unread=self._unread)
        right = await settled(self._services, self._user_id, found)
        if self._unread:
            found = [notice for notice in found if notice.id not in right]
        unread = await self._services.notices.unread(self._user_id)
        if self._box.is_deleted:
            return
        self._mark.set_visibility(unread > 0)
        if not self._changes.seen([(n.id, n.read_at is None) for n in found], self._shown, set(right)):
            return
        self._box.clear()
        with self._box, card():
            self._list(found, right)

    def _list(self, found: Sequence[Notice], right: Collection[UUID]) -> None:
        if not found:
            self._nothing()
        for notice in found[: self._shown]:
            new, corrected = notice.read_at is None, notice.id in right
            notice_line(notice, new=new, right=corrected, acts=lambda notice=notice: self._acts(notice))
        if len(found) > self._shown:
            with tag('div', classes='hs more-row'):
                button('Show more', kind='ghost', on_click=self._more)

    def _nothing(self) -> None:
        if self._unread:
            empty_state('All read', 'New notices show up here and at the bell.')
        else:
            empty_state(
                'No notices yet',
                'When a conversion or a forecast has ended, it is told here.',
                actions=lambda: button('Go to datasets', kind='pri', href='/datasets'),
            )

    def _acts(self, notice: Notice) -> None:
        if notice.link:
            button('Open', kind='small', href=notice.link).on('click', lambda: self._read(notice))
        if notice.read_at is None:
            icon_button('check', f'Mark as read: {notice.title}', small=True, on_click=lambda: self._read(notice))

    async def _read(self, notice: Notice) -> None:
        if notice.read_at is None:
            await self._services.notices.read(current().user.id, notice.id)
        await self._refresh()

    async def _read_all(self) -> None:
        await self._services.notices.read_all(current().user.id)
        await self._refresh()

    async def _more(self) -> None:
        self._shown += AT_ONCE
        await self._refresh()
