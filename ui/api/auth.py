"""Sign-up, sign-in, sign-out and the owner's link: form posts that answer with a page or a redirect."""

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import app
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import VariosyncError
from core.values import Session
from ui.errors import error_page
from ui.origins import Origins
from ui.pages.sign_in import sign_in_page
from ui.session import clear_cookie, safe_next, set_cookie, token_of
from ui.sockets import SocketGuard

Enter = Callable[..., Awaitable[tuple[str, Session]]]

MOST = 16_384  # bytes of a form


def register(services: Any, *, sockets: SocketGuard, origins: Origins) -> None:
    """Serve `/auth/…`."""

    async def admit(request: Request, token: str, session: Session, target: str) -> Response:
        await leave(request)  # a browser has one session: what it had before ends here
        response = RedirectResponse(safe_next(target), 303)
        set_cookie(response, token, session, secure=origins.https)
        return response

    async def leave(request: Request) -> None:
        session: Session | None = request.state.session
        if session is None:
            return
        await services.accounts.sign_out(request.state.session_token, address=_sender(request)['address'])
        await sockets.end_session(session.id)

    async def by_form(request: Request, enter: Enter, *, create: bool) -> Response:
        form = await _form(request)
        email, password, target = (form.get(name, '') for name in ('email', 'password', 'next'))
        try:
            token, session = await enter(email, password, **_sender(request))
        except VariosyncError as error:
            return sign_in_page(create=create, target=target, email=email, message=error.message, status=error.status)
        return await admit(request, token, session, target)

    @app.post('/auth/sign-in', max_body_size=MOST)
    async def sign_in(request: Request) -> Response:
        return await by_form(request, services.accounts.sign_in, create=False)

    @app.post('/auth/sign-up', max_body_size=MOST)
    async def sign_up(request: Request) -> Response:
        return await by_form(request, services.accounts.sign_up, create=True)

    @app.post('/auth/sign-out', max_body_size=MOST)
    async def sign_out(request: Request) -> Response:
        await leave(request)
        response = RedirectResponse('/sign-in', 303)
        if token_of(request.headers.get('cookie')):
            clear_cookie(response, secure=origins.https)
        return response

    @app.get('/auth/link')
    async def link(request: Request, token: str = '') -> Response:
        try:
            session_token, session = await services.accounts.redeem(token, **_sender(request))
        except VariosyncError as error:
            return error_page(error.status, error.message, request_id=request.state.request_id)
        return await admit(request, session_token, session, '/')


async def _form(request: Request) -> dict[str, str]:
    """The text fields of a small form; files and anything beyond a few are refused by the parser."""
    async with request.form(max_files=0, max_fields=8, max_part_size=4_096) as form:
        return {name: value for name, value in form.items() if isinstance(value, str)}


def _sender(request: Request) -> dict[str, str]:
    """Who asks: the peer of the socket, since no forwarded header can be trusted without a verified edge."""
    return {
        'address': request.client.host if request.client else '',
        'user_agent': request.headers.get('user-agent', '')[:300],
    }
