"""REST for signing in: register, log in, refresh, log out, and who a token is."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter
from fastapi import Path as InPath
from pydantic import AfterValidator, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from core import values
from core.errors import NotAllowed
from core.services import Services
from ui.api.auth import by_mail, by_provider
from ui.api.contract import Answer, Anybody, Body, Password, Person, clean, problems, router, sender
from ui.origins import Origins
from ui.session import bearer_of, safe_next, set_browser
from ui.sockets import SocketGuard

Email = Annotated[str, StringConstraints(min_length=3, max_length=320), AfterValidator(clean)]
Next = Annotated[str, StringConstraints(max_length=2000), AfterValidator(clean)]
Provider = Annotated[str, InPath(max_length=40, description='A provider, such as google.')]
BEARER: Literal['bearer'] = 'bearer'


class Credentials(Body):
    """Who signs in."""

    email: Email
    password: Password


class Link(Body):
    """Whom to mail a sign-in link, and the path of ours that it leads to."""

    email: Email
    next: Next = '/'


class Mailed(Answer):
    """A mail is on its way."""

    email: str


class Beginning(Body):
    """The path of ours to go on to."""

    next: Next = '/'


class Begun(Answer):
    """Where to send the browser."""

    url: str


class User(Answer):
    """A person with an account."""

    id: UUID
    email: str
    name: str
    owner: bool


class Token(Answer):
    """A session: send the token as `Authorization: Bearer …`."""

    token: str
    token_type: Literal['bearer']
    expires_at: datetime
    user: User


class Principal(Answer):
    """Who asks. `scopes` is null for a person, who may do everything, and what an API key may do otherwise."""

    kind: Literal['session', 'api_key']
    user: User
    scopes: list[str] | None
    expires_at: datetime


def routes(services: Services, *, sockets: SocketGuard, origins: Origins) -> APIRouter:
    """The routes of signing in."""
    api = router('auth')
    open_to_all: dict[str, Any] = {'openapi_extra': {'security': []}}

    async def enter(
        request: Request, by: Callable[..., Awaitable[tuple[str, values.Session]]], who: Credentials
    ) -> Token:
        return _token(*await by(who.email, who.password, **sender(request)))

    @api.post(
        '/auth/register',
        status_code=201,
        summary='Make an account and sign in',
        responses=problems(409, 413, 415),
        **open_to_all,
    )
    async def register(request: Request, who: Credentials) -> Token:
        return await enter(request, services.accounts.sign_up, who)

    @api.post('/auth/login', summary='Sign in', responses=problems(413, 415), **open_to_all)
    async def login(request: Request, who: Credentials) -> Token:
        return await enter(request, services.accounts.sign_in, who)

    @api.post(
        '/auth/refresh',
        summary='Get a new token',
        description='The token that asks ends at once; the new one lasts as long as that of a sign-in.',
    )
    async def refresh(request: Request, session: Person) -> Token:
        if bearer_of(request.headers.get('authorization')) is None:
            raise NotAllowed('A browser keeps its session; only a token sent as Authorization: Bearer is refreshed.')
        return _token(*await services.accounts.refresh(request.state.session_token, **sender(request)))

    @api.post('/auth/logout', status_code=204, summary='End the session')
    async def logout(request: Request, session: Person) -> None:
        await services.accounts.sign_out(request.state.session_token, address=sender(request)['address'])
        await sockets.end_session(session.id)

    @api.get('/auth/verify', summary='Who the token is')
    async def verify(session: Anybody) -> Principal:
        return Principal(
            kind='session' if session.scopes is None else 'api_key',
            user=User.model_validate(session.user),
            scopes=None if session.scopes is None else sorted(session.scopes),
            expires_at=session.expires_at,
        )

    @api.post(
        '/auth/magic',
        status_code=202,
        summary='Mail a sign-in link',
        description='The same answer whether there is an account. The link opens in the browser that takes the cookie '
        'of this answer, once, within an hour.',
        responses=problems(404, 413, 415),
        **open_to_all,
    )
    async def mail_link(request: Request, response: Response, wanted: Link) -> Mailed:
        browser = await by_mail(services, origins, request, email=wanted.email, target=safe_next(wanted.next))
        set_browser(response, browser, secure=origins.https)
        return Mailed(email=wanted.email)

    @api.post(
        '/auth/{provider}',
        summary='Begin to sign in by a provider',
        description='Send the browser that takes the cookie of this answer to `url`; it comes back signed in.',
        responses=problems(404, 413, 415),
        **open_to_all,
    )
    async def begin_sign_in(request: Request, response: Response, provider: Provider, wanted: Beginning) -> Begun:
        url, browser = await by_provider(services, origins, request, provider=provider, target=safe_next(wanted.next))
        set_browser(response, browser, secure=origins.https)
        return Begun(url=url)

    return api


def _token(token: str, session: values.Session) -> Token:
    return Token(token=token, token_type=BEARER, expires_at=session.expires_at, user=User.model_validate(session.user))
