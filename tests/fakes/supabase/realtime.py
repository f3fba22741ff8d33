"""Supabase Realtime as it is documented: broadcast on public and private channels, by WebSocket and by REST.

The protocol is https://supabase.com/docs/guides/realtime/protocol in its version 1.0.0 (JSON objects), who may join
https://supabase.com/docs/guides/realtime/authorization, limits https://supabase.com/docs/guides/realtime/limits.
"""

import asyncio
import json
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.fakes.supabase.project import Project, no_key

ROOT = '/realtime/v1'
UNAUTHORIZED = 'Unauthorized: You do not have permissions to read from this Channel topic: '


@dataclass(eq=False)
class Socket:
    """A client, and the channels that it has joined: topic → what it asked for when it joined."""

    socket: WebSocket
    role: str
    joined: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def send(self, topic: str, event: str, payload: Any, ref: str | None = None) -> None:
        """Send a message; who has gone hears nothing."""
        async with self.lock:
            with suppress(RuntimeError, WebSocketDisconnect):
                await self.socket.send_json({'topic': topic, 'event': event, 'payload': payload, 'ref': ref})

    async def reply(self, message: dict[str, Any], response: dict[str, Any], *, status: str = 'ok') -> None:
        """Answer a message."""
        payload = {'status': status, 'response': response}
        await self.send(message['topic'], 'phx_reply', payload, message.get('ref'))


class Realtime:
    """The state of the fake. `largest` is in bytes; a `silent` server takes everything and answers nothing.

    With `refusal` nobody may join, for that reason; a `fickle` server closes each channel as soon as it is joined.

    A private channel is joined, and written to, by the service role, and by whom a policy on `realtime.messages` lets:
    by default there is none, with `open_to_all` everybody with a key may.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.sockets: set[Socket] = set()
        self.beats = 0
        self.joins = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self.begin()

    def begin(self) -> None:
        """Become the Realtime of a new project."""
        self.largest = 256_000
        self.silent = False
        self.refusal = ''
        self.fickle = False
        self.open_to_all = False

    @property
    def routes(self) -> list[Route | WebSocketRoute]:
        """Every route below `/realtime/v1`."""
        return [
            WebSocketRoute(f'{ROOT}/websocket', self.websocket),
            Route(f'{ROOT}/api/broadcast', self.broadcast, methods=['POST']),
        ]

    async def websocket(self, socket: WebSocket) -> None:
        """https://supabase.com/docs/guides/realtime/protocol#websocket-connection-setup"""
        role = self.project.role(socket.query_params.get('apikey', ''))
        if role is None:
            await socket.send_denial_response(JSONResponse({'error': 'API key is missing'}, 401))
            return
        self._loop = asyncio.get_running_loop()
        await socket.accept()
        client = Socket(socket, role)
        self.sockets.add(client)
        try:
            while True:
                message = json.loads(await socket.receive_text())
                if not self.silent:
                    await self._answer(client, message)
        except WebSocketDisconnect:
            pass
        finally:
            self.sockets.discard(client)

    async def broadcast(self, request: Request) -> Response:
        """https://supabase.com/docs/guides/realtime/broadcast#broadcast-using-the-rest-api

        What may not be written to a private channel is left out in silence.
        """
        bearer = request.headers.get('authorization', '').removeprefix('Bearer ')
        role = self.project.role(bearer or request.headers.get('apikey', ''))
        if role is None:
            return no_key(request)
        messages = (await request.json()).get('messages', [])
        if any(_size(message.get('payload')) > self.largest for message in messages):
            return JSONResponse({'errors': {'messages': [{'payload': ['Payload size exceeds tenant limit']}]}}, 422)
        for message in messages:
            private = message.get('private', False)
            if self._may(role, private=private):
                payload = {'type': 'broadcast', 'event': message['event'], 'payload': message['payload']}
                await self._pass_on(f'realtime:{message["topic"]}', payload, private=private)
        return Response(status_code=202)

    def drop(self) -> 'Future[None]':
        """Close every socket, as a restart does. May be called from another thread."""

        async def drop() -> None:
            for client in list(self.sockets):
                await client.socket.close(1012)

        return self._from_outside(drop())

    def close_channels(self) -> 'Future[None]':
        """Close every channel, as when a token expires. May be called from another thread."""

        async def close() -> None:
            for client in list(self.sockets):
                for topic in list(client.joined):
                    del client.joined[topic]
                    await client.send(topic, 'phx_close', {})

        return self._from_outside(close())

    def _from_outside(self, work: Coroutine[Any, Any, None]) -> 'Future[None]':
        assert self._loop is not None, 'nobody has ever connected'
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _answer(self, client: Socket, message: dict[str, Any]) -> None:
        topic, event, payload = message['topic'], message['event'], message['payload']
        if (topic, event) == ('phoenix', 'heartbeat'):
            self.beats += 1
            await client.reply(message, {})
        elif event == 'phx_join':
            await self._join(client, message)
        elif event == 'phx_leave':
            client.joined.pop(topic, None)
            await client.reply(message, {})
        elif topic not in client.joined:
            await client.reply(message, {'reason': 'unmatched topic'}, status='error')
        elif event == 'broadcast':
            await self._broadcast(client, message, payload)

    async def _join(self, client: Socket, message: dict[str, Any]) -> None:
        """https://supabase.com/docs/guides/realtime/protocol#phx_join"""
        config = message['payload'].get('config', {})
        topic = message['topic']
        allowed = self._may(client.role, private=config.get('private', False))
        refusal = self.refusal or ('' if allowed else UNAUTHORIZED + topic.removeprefix('realtime:'))
        if refusal:
            await client.reply(message, {'reason': refusal}, status='error')
            return
        client.joined[topic] = config
        self.joins += 1
        await client.reply(message, {'postgres_changes': []})
        if self.fickle:
            del client.joined[topic]
            await client.send(topic, 'phx_close', {})

    async def _broadcast(self, client: Socket, message: dict[str, Any], payload: dict[str, Any]) -> None:
        """https://supabase.com/docs/guides/realtime/protocol#broadcast; an answer comes to who asked for `ack`."""
        topic, config = message['topic'], client.joined[message['topic']]
        asked = config.get('broadcast', {})
        private = config.get('private', False)
        if not self._may(client.role, private=private):
            return
        if _size(payload) > self.largest:
            if asked.get('ack'):
                await client.reply(message, {'reason': 'payload_size_exceeded'}, status='error')
            return
        await self._pass_on(topic, payload, private=private, but=None if asked.get('self') else client)
        if asked.get('ack'):
            await client.reply(message, {})

    async def _pass_on(self, topic: str, payload: Any, *, private: bool, but: Socket | None = None) -> None:
        for client in list(self.sockets - {but} if but else self.sockets):
            if topic in client.joined and client.joined[topic].get('private', False) == private:
                await client.send(topic, 'broadcast', payload)

    def _may(self, role: str, *, private: bool) -> bool:
        return not private or role == 'service_role' or self.open_to_all


def _size(payload: Any) -> int:
    return len(json.dumps(payload))
