"""Which pages cost hours: every page does, unless it is listed here as free."""

from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from core.errors import VariosyncError
from core.values import Balance
from ui.errors import respond

OUT_OF_HOURS = '/out-of-hours'
FREE = frozenset(
    {
        '/billing',
        '/settings',
        '/audit',
        '/notices',
        '/help',
        '/sign-in',
        '/health',
        '/health/live',
        '/metrics',
        OUT_OF_HOURS,
    }
)
FREE_FOLDERS = ('/api/', '/auth/', '/static/', '/_nicegui/', '/_nicegui_ws/', '/favicon', '/settings/', '/help/')


class Meter:
    """Pure ASGI, inside the guard: a metered page that is asked for beats first, and is not drawn at zero.

    The balance found on the way waits in the request's state for `balance_of`.
    """

    def __init__(self, app: ASGIApp, *, services: Any) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or send it to the page that explains."""
        session = scope.get('state', {}).get('session')
        if scope['type'] != 'http' or scope['method'] != 'GET' or session is None or not is_metered(scope['path']):
            await self._app(scope, receive, send)
            return
        try:
            page = uuid4()
            balance = await self._services.hours.beat(session.user.id, page=page, opening=True)
        except VariosyncError as error:
            await respond(scope, error)(scope, receive, send)
            return
        if balance.state == 'exhausted':
            await RedirectResponse(_out_of_hours(scope), 303)(scope, receive, send)
            return
        scope['state'] |= {'balance': balance, 'page': page}
        await self._app(scope, receive, send)


def is_metered(path: str) -> bool:
    """Whether a page at this path costs hours while it is open."""
    return path not in FREE and not path.startswith(FREE_FOLDERS)


def balance_of(scope: Scope) -> Balance | None:
    """What the meter found when this page was asked for; None on free pages."""
    balance: Balance | None = scope.get('state', {}).get('balance')
    return balance


def page_of(scope: Scope) -> UUID | None:
    """What the page that was asked for is called in its beats; None on free pages."""
    page: UUID | None = scope.get('state', {}).get('page')
    return page


def _out_of_hours(scope: Scope) -> str:
    query = scope.get('query_string', b'').decode('latin-1')
    wanted = scope['path'] + (f'?{query}' if query else '')
    return OUT_OF_HOURS if wanted == '/' else f'{OUT_OF_HOURS}?next={quote(wanted, safe="/")}'
