"""NiceGUI's own two middlewares as plain ASGI.

Its own ones are tasks and streams around every request, for a header that few answers carry: a third of what a small
answer costs.
"""

from nicegui import core, ui_run
from nicegui.version import __version__
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FOREVER = f'/_nicegui/{__version__}/'
CHANGING = f'{FOREVER}dynamic_resources/'


def install() -> None:
    """Have `ui.run` take these."""
    vars(ui_run).update(RedirectWithPrefixMiddleware=Prefixed, SetCacheControlMiddleware=Kept)


class Prefixed:
    """Sends a browser to an address below the prefix that a proxy took away."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        prefix = Headers(scope=scope).get('x-forwarded-prefix', '') if scope['type'] == 'http' else ''

        async def send_below(message: Message) -> None:
            if message['type'] == 'http.response.start':
                headers = MutableHeaders(scope=message)
                if headers.get('location', '').startswith('/'):
                    headers['location'] = prefix + headers['location']
            await send(message)

        await self._app(scope, receive, send_below if prefix else send)


class Kept:
    """Has browsers keep the framework's files, whose address names its release."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        path = scope.get('path', '')

        async def send_kept(message: Message) -> None:
            if message['type'] == 'http.response.start':
                MutableHeaders(scope=message)['cache-control'] = core.app.config.cache_control_directives
            await send(message)

        kept = scope['type'] == 'http' and path.startswith(FOREVER) and not path.startswith(CHANGING)
        await self._app(scope, receive, send_kept if kept else send)
