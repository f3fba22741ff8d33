"""Whose address a request comes from when proxies of ours stand before the server."""

import ipaddress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send


class Edge:
    """Puts the address of the browser where the server has that of its peer, `proxies` being those that we run.

    Each of them adds whom it was asked by at the right end of X-Forwarded-For, so the browser is that many from the
    right. What stands further left was sent along by whoever asks, and is not believed.
    """

    def __init__(self, app: ASGIApp, *, proxies: int) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._proxies and scope['type'] in ('http', 'websocket'):
            told = ','.join(Headers(scope=scope).getlist('x-forwarded-for')).split(',')
            address = _address(told[-self._proxies]) if len(told) >= self._proxies else None
            if address is not None:
                scope = {**scope, 'client': (address, 0)}
        await self._app(scope, receive, send)


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return None
