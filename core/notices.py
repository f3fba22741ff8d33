"""Notices: what a user should know, kept until read and told at once."""

from collections.abc import Collection, Sequence
from uuid import UUID

from core.errors import storable
from core.ports import Database, Events, Row, Transaction
from core.values import Notice

SHOWN = 300  # characters of a title or a text that pages are told; the notice itself holds all of it


class Notices:
    """Notices of a user, newest first."""

    def __init__(self, database: Database, events: Events) -> None:
        self._database = database
        self._events = events

    async def add(
        self, tx: Transaction, user_id: UUID, *, level: str, title: str, text: str = '', link: str | None = None
    ) -> Notice:
        """Record a notice in a worker transaction; call `tell` once it is committed."""
        row = await tx.one('notice_insert', user_id=user_id, level=level, title=title, text=text, link=link)
        return _notice(row)

    async def add_once(
        self, tx: Transaction, user_id: UUID, *, key: str, level: str, title: str, text: str, link: str
    ) -> Notice | None:
        """Like `add`, or None when the user has a notice with this key already."""
        row = await tx.first(
            'notice_insert_once', user_id=user_id, level=level, title=title, text=text, link=link, key=key
        )
        return None if row is None else _notice(row)

    async def tell(self, notice: Notice) -> None:
        """Tell the user's open pages about a committed notice."""
        message = {
            'id': str(notice.id),
            'level': notice.level,
            'title': storable(notice.title, most=SHOWN),
            'text': storable(notice.text, most=SHOWN),
            'link': notice.link,
        }
        await self._events.publish(f'{notice.user_id}/notices', message)

    async def latest(
        self, user_id: UUID, *, limit: int = 20, before: UUID | None = None, unread: bool = False
    ) -> Sequence[Notice]:
        """Return the newest notices, or those that came before a notice; with `unread` only what is not read."""
        async with self._database.transaction(user_id) as tx:
            rows = await tx.all('notices_latest', limit=limit, before=before, unread=unread)
        return [_notice(row) for row in rows]

    async def unread(self, user_id: UUID) -> int:
        """Return how many notices are unread."""
        async with self._database.transaction(user_id) as tx:
            return int((await tx.one('notices_unread'))['count'])

    async def read(self, user_id: UUID, notice_id: UUID) -> None:
        """Mark a notice as read; reading it twice changes nothing. Raise NotFound when it is not this user's."""
        async with self._database.transaction(user_id) as tx:
            await tx.one('notice_read', id=notice_id)
        await self._changed(user_id)

    async def read_listed(self, user_id: UUID, ids: Collection[UUID]) -> None:
        """Mark these notices as read; those that are not this user's are left out."""
        async with self._database.transaction(user_id) as tx:
            await tx.run('notices_read_listed', ids=sorted(ids, key=str))
        await self._changed(user_id)

    async def read_all(self, user_id: UUID) -> None:
        """Mark every notice as read."""
        async with self._database.transaction(user_id) as tx:
            await tx.run('notices_read')
        await self._changed(user_id)

    async def untold(self, user_id: UUID) -> Sequence[Notice]:
        """Return what no page has told yet, the newest first, and count it as told."""
        async with self._database.transaction(user_id) as tx:
            return [_notice(row) for row in await tx.all('notices_untold')]

    async def told(self, user_id: UUID, notice_id: UUID) -> None:
        """Count a notice as told, because an open page has just shown it."""
        async with self._database.transaction(user_id) as tx:
            await tx.run('notice_told', id=notice_id)

    async def _changed(self, user_id: UUID) -> None:
        await self._events.publish(f'{user_id}/notices', {})


def _notice(row: Row) -> Notice:
    return Notice(**row)
