"""A real server on loopback with doubles behind it, in this process, and sockets to knock on it."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import socketio
import uvicorn
from nicegui import Client, app, ui
from nicegui.testing.general import nicegui_reset_globals, prepare_simulation

from core.settings import Settings
from tests.ui import fields
from tests.ui.doubles import Services
from ui.app import mount
from ui.components.parts import button
from ui.session import COOKIE, current
from ui.theme import frame

fields.remember()


@dataclass
class Site:
    """The server's address, what stands behind it, and what its probe page was asked to do."""

    url: str
    services: Services
    pressed: list[str] = field(default_factory=list)
    refusals: list[Any] = field(default_factory=list)

    def forget(self) -> None:
        """Begin a test as if nobody had been here."""
        self.services.accounts.forget()
        self.pressed.clear()
        self.refusals.clear()

    def browser(self, token: str | None = None, **headers: str) -> httpx.AsyncClient:
        """A client that behaves as a browser on a page of this site."""
        given = {'Origin': self.url, 'Sec-Fetch-Site': 'same-origin', 'Accept': 'text/html', **headers}
        cookies = {COOKIE: token} if token else {}
        return httpx.AsyncClient(base_url=self.url, headers=given, cookies=cookies)

    async def open_probe(self, token: str) -> Client:
        """Fetch the probe page as the session's owner and return NiceGUI's client behind it."""
        async with self.browser(token) as browser:
            answer = await browser.get('/probe')
        found = re.search(r"'client_id': '([0-9a-f-]+)'", answer.text)
        assert answer.status_code == 200
        assert found
        return Client.instances[found[1]]

    @asynccontextmanager
    async def socket(
        self, client_id: str, token: str | None, *, origin: str | None = None, implicit: bool = True
    ) -> AsyncIterator[socketio.AsyncClient]:
        """A socket for a page, with a cookie and an Origin of one's choice. Raise ConnectionError when refused."""
        headers = {'Origin': origin or self.url} | ({'Cookie': f'{COOKIE}={token}'} if token else {})
        query = f'client_id={client_id}&tab_id={uuid4()}&document_id={uuid4()}&next_message_id=0'
        query += f'&implicit_handshake={str(implicit).lower()}'
        connection = socketio.AsyncClient(reconnection=False)
        connection.on('connect_error', self.refusals.append)
        try:
            await connection.connect(
                f'{self.url}/?{query}',
                headers=headers,
                transports=['websocket'],
                socketio_path='/_nicegui_ws/socket.io',
                wait_timeout=30,
            )
            yield connection
        finally:
            await connection.disconnect()


@asynccontextmanager
async def open_site(**settings: Any) -> AsyncIterator[Site]:
    """Start the site on a free port; it ends with the block."""
    with nicegui_reset_globals():
        prepare_simulation()
        listener = socket.create_server(('127.0.0.1', 0))
        port = listener.getsockname()[1]
        services = Services(Settings(VARIOSYNC_PORT=port, **settings))
        mount(services)
        site = Site(f'http://127.0.0.1:{port}', services)
        add_probe(services, site.pressed)
        config = uvicorn.Config(
            app, log_level='warning', log_config=None, access_log=False, ws='wsproto', proxy_headers=False
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve([listener]))
        await until(lambda: server.started)
        try:
            yield site
        finally:
            server.should_exit = True
            await task


def add_probe(services: Services, pressed: list[str]) -> None:
    """A page with one button, which notes whose session pressed it."""

    @ui.page('/probe')
    def probe() -> None:
        with frame(services, 'Probe', active='/'):
            button('Press', on_click=lambda: pressed.append(current().user.email))


def press(client: Client) -> dict[str, Any]:
    """The message by which a browser tells that the probe's button was pressed."""
    element = next(e for e in client.elements.values() if getattr(e, 'text', None) == 'Press')
    listener = next(iter(element._event_listeners.values()))
    return {'id': element.id, 'client_id': client.id, 'listener_id': listener.id, 'args': ['{}']}


async def until(condition: Callable[[], Any], *, within: float = 30.0) -> None:
    """Wait for a condition, or fail."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)
