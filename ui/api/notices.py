"""REST for notices: what the user should know."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter

from core.services import Services
from ui.api.contract import Answer, Limit, NoticesRead, NoticesWrite, problems, router


class Notice(Answer):
    """Something the user should know; `level` is info, good, warn or bad, `link` a page."""

    id: UUID
    level: str
    title: str
    text: str
    link: str | None
    created_at: datetime
    read_at: datetime | None


class Notices(Answer):
    """The newest notices, and how many of all are unread."""

    unread: int
    items: list[Notice]


def routes(services: Services) -> APIRouter:
    """The routes of notices."""
    api = router('notices')

    @api.get('/notices', summary='The newest notices')
    async def list_notices(session: NoticesRead, limit: Limit = 50) -> Notices:
        found = await services.notices.latest(session.user.id, limit=limit)
        unread = await services.notices.unread(session.user.id)
        return Notices(unread=unread, items=[Notice.model_validate(notice) for notice in found])

    @api.post('/notices/read', status_code=204, summary='Mark every notice as read')
    async def read_notices(session: NoticesWrite) -> None:
        await services.notices.read_all(session.user.id)

    @api.post('/notices/{notice_id}/read', status_code=204, summary='Mark one notice as read', responses=problems(404))
    async def read_notice(session: NoticesWrite, notice_id: UUID) -> None:
        await services.notices.read(session.user.id, notice_id)

    return api
