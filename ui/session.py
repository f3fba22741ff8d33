"""Who is signed in: our own cookie, resolved once per request, and the session behind the page that is being used."""

from datetime import UTC, datetime
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from nicegui import context
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from core.errors import NotAllowed, NotSignedIn
from core.values import Actor, Session

COOKIE = 'variosync_session'
BROWSER = 'variosync_browser'  # which browser began to sign in by a provider or a mailed link
HOME = '/'


def current() -> Session:
    """The live session of the page that is being built or used. Raise NotSignedIn when it has ended.

    The guard asks the accounts before it lets an event through; a timer or a background task asks by `confirm`.
    """
    return live(context.client.request.scope)


async def confirm(accounts: Any) -> Session:
    """Like `current`, asked of the accounts again: for timers and background tasks of a page."""
    session = current()
    scope = context.client.request.scope
    if await accounts.session(scope['state']['session_token']) is None:
        end(scope)
        raise NotSignedIn('You are signed out. Sign in again.')
    return session


def address() -> str:
    """The address of the browser whose page is being used, for the audit log."""
    client = context.client.request.client
    return client.host if client else ''


def actor(request: Request | None = None) -> Actor:
    """Who acts, for the audit log: by a request, or by the page that is being used."""
    asked = context.client.request if request is None else request
    session = live(asked.scope)
    key = None if session.scopes is None else session.id
    return Actor(address=asked.client.host if asked.client else '', key=key)


def signed_in(request: Request, scope: str | None = None) -> Session:
    """The live session of an HTTP request, for routes. Raise NotSignedIn when there is none.

    An API key must hold `scope`, else NotAllowed; a route that names no scope is closed to every key.
    """
    session = live(request.scope)
    if session.scopes is None:
        return session
    if scope is None:
        raise NotAllowed('API keys are not accepted here. Sign in instead.')
    if scope not in session.scopes:
        raise NotAllowed(f'This API key lacks the scope "{scope}". Make a key that has it.')
    return session


def live(scope: Scope) -> Session:
    """The session that the guard attached to a request. Raise NotSignedIn when there is none or it has ended."""
    session: Session | None = scope.get('state', {}).get('session')
    if session is None or session.expires_at <= datetime.now(UTC):
        raise NotSignedIn('Sign in to see this.')
    return session


def end(scope: Scope) -> None:
    """Forget the session that was attached to a request."""
    scope['state']['session'] = None


def token_of(cookie_header: str | None, name: str = COOKIE) -> str | None:
    """The session token in a Cookie header, or the value of another cookie, or None."""
    try:
        cookies = SimpleCookie(cookie_header or '')
    except CookieError:
        return None
    morsel = cookies.get(name)
    return morsel.value if morsel and morsel.value else None


def bearer_of(authorization: str | None) -> str | None:
    """The token in an Authorization header of the scheme Bearer (RFC 6750), maybe empty, or None."""
    scheme, _, token = (authorization or '').strip().partition(' ')
    return token.strip() if scheme.lower() == 'bearer' else None


def set_cookie(response: Response, token: str, session: Session, *, secure: bool) -> None:
    """Give the browser its session."""
    seconds = max(0, int((session.expires_at - datetime.now(UTC)).total_seconds()))
    response.set_cookie(COOKIE, token, max_age=seconds, path='/', secure=secure, httponly=True, samesite='lax')


def set_browser(response: Response, token: str, *, secure: bool) -> None:
    """Give the browser what it must bring when a provider or a mailed link leads it back."""
    response.set_cookie(BROWSER, token, max_age=3600, path='/', secure=secure, httponly=True, samesite='lax')


def clear_cookie(response: Response, name: str = COOKIE, *, secure: bool) -> None:
    """Take the session, or another cookie, from the browser."""
    response.delete_cookie(name, path='/', secure=secure, httponly=True, samesite='lax')


def safe_next(target: str | None) -> str:
    """A path of ours to go on to after sign-in; anything else, such as `//evil` or `https:…`, becomes the home page."""
    if not target or not target.startswith('/') or target.startswith(('//', '/auth/', '/sign-in')) or '\\' in target:
        return HOME
    if any(ord(letter) < 33 or ord(letter) == 127 for letter in target):
        return HOME
    try:
        parts = urlsplit(target)
    except ValueError:
        return HOME
    return HOME if parts.scheme or parts.netloc else target
