"""What stands before every request: whose it is, where it comes from, and the headers that every answer carries."""

import secrets
from typing import Any
from urllib.parse import quote

import structlog
from nicegui import Client
from nicegui.version import __version__ as nicegui_version
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from core.errors import NotAllowed, NotFound, NotSignedIn, VariosyncError
from core.values import Session
from ui.errors import address, respond, wants_page
from ui.limits import ROOT, Limits, limited, tell
from ui.origins import Origins
from ui.session import bearer_of, live, token_of

log = structlog.get_logger()

SAFE = frozenset({'GET', 'HEAD', 'OPTIONS'})
OPEN = (
    '/sign-in',
    '/health',
    '/health/live',
    '/metrics',  # asks for a token of its own
    '/favicon.ico',
    f'{ROOT}/openapi.json',
    f'{ROOT}/auth/register',
    f'{ROOT}/auth/login',
    f'{ROOT}/auth/verify',
)
OPEN_FOLDERS = ('/auth/', '/static/', f'/_nicegui/{nicegui_version}/')
ASSETS = ('/static/', f'/_nicegui/{nicegui_version}/', '/favicon.ico')
SOCKET = '/_nicegui_ws/'
# Asked by machines that call us by whatever name they know.
UNNAMED = ('/health', '/health/live', '/metrics')

HEADERS = {
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
    'Referrer-Policy': 'same-origin',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Permissions-Policy': 'camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()',
}
STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Guard:
    """Pure ASGI, so that streams of any length pass untouched. Everything is private unless it is listed as open."""

    def __init__(self, app: ASGIApp, *, services: Any, origins: Origins) -> None:
        self._app = app
        self._services = services
        self._origins = origins
        self._limits = Limits(services)
        by_link = (f'{ROOT}/auth/{name}' for name in ('magic', *services.accounts.providers))
        self._open = frozenset({*OPEN, *by_link})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it here."""
        if scope['type'] == 'http':
            await self._http(scope, receive, send)
        elif scope['type'] == 'websocket':
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        state = scope.setdefault('state', {})
        state['request_id'] = secrets.token_hex(6)
        send = self._with_headers(scope, headers.get('host', ''), send)
        # Never unbound: whoever speaks of a request that broke stands outside of us, in the same task.
        clear_contextvars()
        bind_contextvars(request_id=state['request_id'])
        try:
            answer = await self._check(scope, headers)
        except VariosyncError as error:
            answer = respond(scope, error)
        await (answer or self._app)(scope, receive, send)

    async def _check(self, scope: Scope, headers: Headers) -> Response | None:
        path: str = scope['path']
        rest = limited(path)
        bearer = bearer_of(headers.get('authorization')) if rest else None
        token = token_of(headers.get('cookie')) if bearer is None else None
        try:
            self._check_place(scope, headers, bearer=bearer is not None, cookie=token is not None)
        except NotAllowed:
            if rest:
                await self._limits.count(scope)
            raise
        if path.startswith(ASSETS):
            return None
        if bearer is None:
            await self._attach(scope, token)
        else:
            await self._attach_bearer(scope, bearer)
        if rest:
            await self._limits.count(scope, guessed=bearer is not None and scope['state']['session'] is None)
        if path.startswith(SOCKET):
            raise NotFound('Only WebSockets are served here.')
        if path in self._open or path.startswith(OPEN_FOLDERS):
            return None
        session = scope['state']['session']
        if bearer is not None and session is None:
            raise NotSignedIn('This token opens nothing: it is unknown, has expired or was revoked.')
        if session is None:
            return _ask_to_sign_in(scope)
        if path.startswith('/_nicegui/client/'):
            _only_own_page(path, scope)
        return None

    def _check_place(self, scope: Scope, headers: Headers, *, bearer: bool, cookie: bool) -> None:
        """Raise NotAllowed for a name that is not ours, and for a change that a foreign page asks for.

        Browsers add no bearer token by themselves, but a foreign page has no business with one either.
        """
        unnamed = scope['path'] in UNNAMED or scope['path'].startswith(ASSETS)
        if not unnamed and not self._origins.knows(headers.get('host', '')):
            raise NotAllowed('This address is not known here. Set VARIOSYNC_PUBLIC_URL to the address users see.')
        if (scope['method'] not in SAFE or bearer) and not self._origins.accepts(headers, cookie=cookie):
            raise NotAllowed('This request does not come from a page of this server, so it was refused.')

    async def _attach_bearer(self, scope: Scope, token: str) -> None:
        """Only routes of the REST interface get here: an API key reaches no page and no socket."""
        await self._limits.guess(scope)
        session = await self._services.accounts.principal(token)
        _bind_tenant(session)
        state = scope['state']
        state['session'] = session
        state['session_token'] = token if session is not None and session.scopes is None else None

    async def _attach(self, scope: Scope, token: str | None) -> None:
        state = scope.setdefault('state', {})
        state['session_token'] = token
        state['session'] = await self._services.accounts.session(token) if token else None
        _bind_tenant(state['session'])

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a foreign socket before it opens. One without a session goes on to `SocketGuard`, whose refusal makes
        the page reload and ask to sign in; refused here, the page would try again for ever."""
        headers = Headers(scope=scope)
        try:
            if not self._origins.allows(headers.get('origin', ''), headers.get('host', '')):
                raise NotAllowed('A socket from a foreign origin.')
            await self._attach(scope, token_of(headers.get('cookie')))
        except VariosyncError as error:
            log.info('socket refused', reason=error.code)
            await receive()
            await send({'type': 'websocket.close', 'code': 1008})
            return
        await self._app(scope, receive, send)

    def _with_headers(self, scope: Scope, host: str, send: Send) -> Send:
        async def send_with_headers(message: Message) -> None:
            if message['type'] == 'http.response.start':
                headers = MutableHeaders(scope=message)
                # Vue compiles templates in the page and the framework starts by inline scripts; plain pages do not.
                if headers.get('x-nicegui-content') == 'page':
                    headers['Content-Security-Policy'] = self._policy(host)
                if self._origins.https:
                    headers.setdefault('Strict-Transport-Security', 'max-age=31536000; includeSubDomains')
                if not scope['path'].startswith(ASSETS):
                    headers.setdefault('Cache-Control', 'private, no-cache')
                if self._services.health.stopping:
                    # The connection ends with its answer, so that none is used when we are gone.
                    headers['Connection'] = 'close'
                if message['status'] == 401 and limited(scope['path']):
                    headers.setdefault('WWW-Authenticate', 'Bearer')
                secure(headers, scope)
            await send(message)

        return send_with_headers

    def _policy(self, host: str) -> str:
        socket = f'{"wss" if self._origins.https else "ws"}://{host}'
        reached = ' '.join(("'self'", socket, *self._services.uploads.origins))
        return (
            "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
            f"img-src 'self' data: blob:; font-src 'self'; connect-src {reached}; worker-src 'self' blob:; "
            "manifest-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
        )


def secure(headers: MutableHeaders, scope: Scope) -> None:
    """Add what every answer carries, whoever gives it."""
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    headers.setdefault('Content-Security-Policy', STRICT)
    headers['X-Request-ID'] = scope['state']['request_id']
    tell(headers, scope)


def _bind_tenant(session: Session | None) -> None:
    """Every log line of this request or socket, and of what it sets going, names whose it is."""
    if session is not None:
        bind_contextvars(tenant=str(session.user.id))


def _ask_to_sign_in(scope: Scope) -> Response:
    if scope['method'] not in SAFE or not wants_page(scope):
        return respond(scope, NotSignedIn())
    return sign_in_redirect(scope)


def sign_in_redirect(scope: Scope) -> RedirectResponse:
    """Send a browser to the sign-in page and back afterwards."""
    wanted = address(scope)
    target = '/sign-in' if wanted == '/' else f'/sign-in?next={quote(wanted, safe="/")}'
    return RedirectResponse(target, 303)


def _only_own_page(path: str, scope: Scope) -> None:
    """A page's own routes (`/_nicegui/client/<id>/…`) answer to the session that fetched the page."""
    client = Client.instances.get(path.split('/')[3])
    if client is None or live(client.request.scope).id != live(scope).id:
        raise NotFound()
