"""Signing up, in and out by forms, providers and links: answers are pages and redirects."""

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import app
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import NotFound, NotSignedIn, Unconfirmed, VariosyncError
from core.values import Session
from ui.api.contract import sender
from ui.errors import error_page
from ui.origins import Origins
from ui.pages.sign_in import confirm_page, leaving_page, mailed_page, sign_in_page, ways_of
from ui.session import BROWSER, clear_cookie, safe_next, set_browser, set_cookie, token_of
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
        await services.accounts.sign_out(request.state.session_token, address=sender(request)['address'])
        await sockets.end_session(session.id)

    def page(**options: Any) -> Response:
        return sign_in_page(ways_of(services), **options)

    async def by_form(request: Request, enter: Enter, *, create: bool) -> Response:
        form = await _form(request)
        email, password, target = (form.get(name, '') for name in ('email', 'password', 'next'))
        try:
            token, session = await enter(email, password, **sender(request))
        except Unconfirmed:
            return confirm_page(email=email, target=target)
        except VariosyncError as error:
            return page(create=create, target=target, email=email, message=error.message, status=error.status)
        return await admit(request, token, session, target)

    @app.post('/auth/sign-in', max_body_size=MOST)
    async def sign_in(request: Request) -> Response:
        return await by_form(request, services.accounts.sign_in, create=False)

    @app.post('/auth/sign-up', max_body_size=MOST)
    async def sign_up(request: Request) -> Response:
        return await by_form(request, services.accounts.sign_up, create=True)

    @app.post('/auth/magic', max_body_size=MOST)
    async def magic(request: Request) -> Response:
        form = await _form(request)
        email, target = form.get('email', ''), safe_next(form.get('next'))
        try:
            browser = await by_mail(services, origins, request, email=email, target=target)
        except VariosyncError as error:
            return page(target=target, email=email, message=error.message, status=error.status)
        response = mailed_page(ways_of(services), email=email, target=target)
        set_browser(response, browser, secure=origins.https)
        return response

    @app.get('/auth/callback')
    async def callback(request: Request) -> Response:
        answer = dict(request.query_params)
        try:
            entered = await services.accounts.finish(
                answer.pop('state', ''),
                answer,
                browser=token_of(request.headers.get('cookie'), BROWSER) or '',
                redirect_to=callback_of(origins, request),
                **sender(request),
            )
        except VariosyncError as error:
            return page(message=error.message, status=error.status)
        for ended in entered.ended:
            await sockets.end_session(ended)
        response = await admit(request, entered.token, entered.session, entered.target)
        clear_cookie(response, BROWSER, secure=origins.https)
        return response

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
            session_token, session = await services.accounts.redeem(token, **sender(request))
        except VariosyncError as error:
            if request.state.session is not None:
                return RedirectResponse('/', 303)  # whoever is signed in needs no link
            spent = 'This link signs nobody in any more' if isinstance(error, NotSignedIn) else ''
            return error_page(error.status, error.message, request_id=request.state.request_id, title=spent)
        return await admit(request, session_token, session, '/')

    # Last, since its path takes what no route before it did.
    @app.post('/auth/{provider}', max_body_size=MOST)
    async def begin(request: Request, provider: str) -> Response:
        target = safe_next((await _form(request)).get('next'))
        try:
            url, browser = await by_provider(services, origins, request, provider=provider, target=target)
        except VariosyncError as error:
            return page(target=target, message=error.message, status=error.status)
        response = leaving_page(provider, url)
        set_browser(response, browser, secure=origins.https)
        return response


async def by_provider(
    services: Any, origins: Origins, request: Request, *, provider: str, target: str
) -> tuple[str, str]:
    """Begin a sign-in by a provider: where to send the browser, and the token to give it."""
    begun: tuple[str, str] = await services.accounts.begin(provider, target=target, **_beginning(origins, request))
    return begun


async def by_mail(services: Any, origins: Origins, request: Request, *, email: str, target: str) -> str:
    """Mail a sign-in link and return the token to give the browser. Raise NotFound when no mail is sent here."""
    if services.settings.mailed_links is None:
        raise NotFound('No mail is sent here. Sign in another way.')
    browser: str = await services.accounts.send_link(email, target=target, **_beginning(origins, request))
    return browser


def callback_of(origins: Origins, request: Request) -> str:
    """Where a provider or a mailed link leads back to."""
    return f'{origins.home(request.headers.get("host", ""))}/auth/callback'


def _beginning(origins: Origins, request: Request) -> dict[str, str]:
    return {
        'redirect_to': callback_of(origins, request),
        'address': sender(request)['address'],
        'browser': token_of(request.headers.get('cookie'), BROWSER) or '',
    }


async def _form(request: Request) -> dict[str, str]:
    """The text fields of a small form; files and anything beyond a few are refused by the parser."""
    async with request.form(max_files=0, max_fields=8, max_part_size=4_096) as form:
        return {name: value for name, value in form.items() if isinstance(value, str)}
