"""Notices: what a user should know, kept until read and told at once."""

from collections.abc import Sequence
from uuid import UUID

from core.ports import Database, Events, Row, Transaction
from core.values import Notice


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

    async def tell(self, notice: Notice) -> None:
        """Tell the user's open pages about a committed notice."""
        message = {'id': str(notice.id), 'level': notice.level, 'title': notice.title}
        await self._events.publish(f'{notice.user_id}/notices', message | {'text': notice.text, 'link': notice.link})

    async def latest(self, user_id: UUID, *, limit: int = 20) -> Sequence[Notice]:
        """Return the newest notices."""
        async with self._database.transaction(user_id) as tx:
            return [_notice(row) for row in await tx.all('notices_latest', limit=limit)]

    async def unread(self, user_id: UUID) -> int:
        """Return how many notices are unread."""
        async with self._database.transaction(user_id) as tx:
            return int((await tx.one('notices_unread'))['count'])

    async def read_all(self, user_id: UUID) -> None:
        """Mark every notice as read."""
        async with self._database.transaction(user_id) as tx:
            await tx.run('notices_read')


def _notice(row: Row) -> Notice:
    return Notice(**row)
