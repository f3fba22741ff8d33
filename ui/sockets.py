"""Every socket belongs to the session that fetched its page.

NiceGUI takes the client id of a message as the only proof of who sends it. Here a socket is bound to one page when it
shakes hands, by the cookie it came with; its messages are heard only for that page and while the session lives. What a
page is told without asking goes the same way: `follow` (`ui.live`) asks the guard first.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import nicegui.nicegui as framework
import socketio
import structlog
from nicegui import Client, background_tasks, core

from core.errors import NotSignedIn, VariosyncError
from core.values import Session
from ui.session import end, live

log = structlog.get_logger()

# NiceGUI's script reloads the page at these words, and the page then asks to sign in.
REFUSAL = 'Implicit handshake failed'
MESSAGES = ('event', 'javascript_response', 'ack', 'log')
PAUSE = 5.0  # seconds before listening begins again where it broke off


@dataclass(slots=True)
class Binding:
    """One socket, the page it speaks for, and the session that fetched that page."""

    client_id: str
    user_id: UUID
    session_id: UUID
    token: str
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class SocketGuard:
    """Stands between Socket.IO and NiceGUI's handlers (their names and signatures: `tests/test_nicegui_canary.py`)."""

    def __init__(self, services: Any) -> None:
        self._services = services
        self._bound: dict[str, Binding] = {}
        self._watched: dict[UUID, asyncio.Task[None]] = {}

    def install(self) -> None:
        """Put this guard before NiceGUI's own handlers; installing again replaces an earlier guard."""
        core.sio.on('connect', self._connect)
        core.sio.on('handshake', self._handshake)
        core.sio.on('disconnect', self._disconnect)
        for name in MESSAGES:
            core.sio.on(name, functools.partial(self._message, getattr(framework, f'_on_{name}')))
        # A polling transport would spread one connection over many requests, each to be checked.
        core.sio.eio.transports = ['websocket']
        core.app.config.socket_io_js_transports = ['websocket']

    async def end_session(self, session_id: UUID) -> None:
        """Send every open page of a session to the sign-in page and cut its sockets."""
        bound = [(sid, binding) for sid, binding in self._bound.items() if binding.session_id == session_id]
        for client in list(Client.instances.values()):
            if _session_id(client) == session_id:
                end(client.request.scope)
        for sid, _ in bound:
            await self._cut(sid)

    async def admits(self, client: Client) -> bool:
        """Return whether a page's session lives, asked of the accounts; when it does not, its sockets are cut."""
        state = client.request.scope['state']
        session: Session | None = state.get('session')
        if session is None:
            return False
        asked = await self._services.accounts.session(state['session_token'])
        if asked is None or asked.id != session.id:
            await self.end_session(session.id)
            return False
        return True

    async def move(self) -> None:
        """Ask every open page to build itself anew as soon as a server that does not stop answers (`static/app.js`)."""
        await core.sio.emit('run_javascript', {'code': 'setTimeout(variosyncMove)'})

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        query = {key: values[0] for key, values in parse_qs(environ.get('QUERY_STRING', '')).items()}
        implicit = query.get('implicit_handshake') == 'true'
        if not _has_session(environ) or (implicit and not self._bind(sid, query.get('client_id'), environ)):
            raise socketio.exceptions.ConnectionRefusedError(REFUSAL)
        try:
            await framework._on_connect(sid, environ, auth)
        except socketio.exceptions.ConnectionRefusedError:
            self._release(sid)
            raise

    async def _handshake(self, sid: str, *sent: Any) -> bool:
        data = _only_dict(sent)
        if data is None or not self._bind(sid, data.get('client_id'), core.sio.get_environ(sid) or {}):
            return False
        if await self._lives(self._bound[sid]) and await framework._on_handshake(sid, data):
            return True
        self._release(sid)
        return False

    def _bind(self, sid: str, client_id: Any, environ: dict[str, Any]) -> bool:
        client = Client.instances.get(client_id) if isinstance(client_id, str) else None
        if client is None or sid in self._bound:
            return False
        scope = environ.get('asgi.scope', {})
        try:
            session = live(scope)
            if live(client.request.scope).id != session.id:
                raise NotSignedIn('A socket for the page of another session.')
        except NotSignedIn as error:
            log.info('handshake refused', reason=error.message)
            return False
        self._bound[sid] = Binding(client.id, session.user.id, session.id, scope['state']['session_token'])
        if session.user.id not in self._watched:
            watch = background_tasks.create(self._watch(session.user.id), name='sessions of a user')
            self._watched[session.user.id] = watch
        return True

    def _release(self, sid: str) -> None:
        binding = self._bound.pop(sid, None)
        if binding is not None and not self._sockets_of(binding.user_id):
            self._watched.pop(binding.user_id).cancel()

    def _sockets_of(self, user_id: UUID) -> list[Binding]:
        return [binding for binding in self._bound.values() if binding.user_id == user_id]

    async def _watch(self, user_id: UUID) -> None:
        """End here what any process says has ended, and whatever ended before this one listened."""
        while True:
            try:
                async with self._services.events.subscribe(f'{user_id}/sessions') as messages:
                    for binding in self._sockets_of(user_id):
                        if not await self._lives(binding):
                            self._end_aside(binding.session_id)
                    async for message in messages:
                        for ended in message['ended']:
                            self._end_aside(UUID(ended))
            except VariosyncError as error:
                log.warning('ends of sessions are not heard', error=error.message)
            await asyncio.sleep(PAUSE)

    def _end_aside(self, session_id: UUID) -> None:
        # Not in the task that watches: it is cancelled with the last socket, before that is cut.
        background_tasks.create(self.end_session(session_id), name='end of a session')

    def _disconnect(self, sid: str, *_: Any) -> None:
        self._release(sid)
        framework._on_disconnect(sid)

    async def _message(self, handler: Callable[[str, Any], Awaitable[None] | None], sid: str, *sent: Any) -> None:
        binding, message = self._bound.get(sid), _only_dict(sent)
        if binding is None or message is None or message.get('client_id') != binding.client_id:
            return
        # Asking the accounts takes a moment; the turn keeps messages in the order in which they were sent.
        async with binding.turn:
            try:
                lives = await self._lives(binding)
            except VariosyncError as error:
                if client := Client.instances.get(binding.client_id):
                    client.handle_exception(error)
                return
            if not lives:
                await self.end_session(binding.session_id)
            elif sid in self._bound:
                handler(sid, message)

    async def _lives(self, binding: Binding) -> bool:
        session = await self._services.accounts.session(binding.token)
        return session is not None and session.id == binding.session_id

    async def _cut(self, sid: str) -> None:
        self._release(sid)
        await core.sio.emit('open', {'path': '/sign-in?ended=1', 'new_tab': False}, to=sid)
        await core.sio.disconnect(sid)


def _only_dict(sent: tuple[Any, ...]) -> dict[str, Any] | None:
    """What NiceGUI's script sends is one object; whatever else arrives is not its doing."""
    return sent[0] if len(sent) == 1 and isinstance(sent[0], dict) else None


def _has_session(environ: dict[str, Any]) -> bool:
    try:
        live(environ.get('asgi.scope', {}))
    except NotSignedIn:
        return False
    return True


def _session_id(client: Client) -> UUID | None:
    try:
        return live(client.request.scope).id
    except (NotSignedIn, RuntimeError):
        return None
