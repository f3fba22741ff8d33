"""The Events port on the broadcast of Supabase Realtime (https://supabase.com/docs/guides/realtime/broadcast)."""

import asyncio
import hashlib
import hmac
import itertools
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from pydantic import BaseModel, ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from core.errors import Misconfigured, TooLarge, Unavailable, VariosyncError
from storage.events import PAUSES, Listener, Marks, Subscribers, pack

PATIENCE = 5.0  # seconds for a connection, and for each answer
HEARTBEAT = 20.0  # seconds; Realtime asks for one every 25
# Codes with which Realtime begins the reason of a refusal that stays. Others pass: too many joins, messages or
# connections, a restart, a database that is not ready (https://supabase.com/docs/guides/realtime/error_codes).
LASTING = {
    'Unauthorized',
    'InvalidJWTToken',
    'InvalidJWTExpiration',
    'MalformedJWT',
    'JwtSignatureError',
    'JwtSignerError',
    'PrivateOnly',
    'TenantNotFound',
    'RealtimeDisabledForTenant',
    'RealtimeDisabledForConfiguration',
}
TOO_LARGE = 'payload_size_exceeded'
_SILENT = 'Supabase Realtime does not answer. Try again in a moment.'
LOG = logging.getLogger(__name__)


class RealtimeEvents:
    """Messages to whoever listens now, across processes. A channel starts with the tenant.

    All of them go over one private channel of Realtime, which this process has joined by one connection that comes
    back by itself; what is published while it is away is lost, so a page reads the database when it opens and does not
    live on messages alone. A private channel opens to the secret key and to whom a policy on `realtime.messages` lets
    in; for the case that a project has one that lets everybody in, the name of the channel cannot be guessed: it
    follows from the secret key.
    """

    def __init__(self, url: str, *, secret: str, publishable: str, patience: float = PATIENCE) -> None:
        self._address = f'{url.rstrip("/").replace("http", "ws", 1)}/realtime/v1/websocket'
        self._secret = secret
        self._publishable = publishable
        self._patience = patience
        name = hmac.new(secret.encode(), b'variosync events', hashlib.sha256).hexdigest()[:32]
        self._topic = f'realtime:variosync-{name}'
        self.subscribers = Subscribers()
        self._marks = Marks()
        self._joined = asyncio.Event()
        self._channel: _Channel | None = None
        self._trouble = Unavailable(_SILENT)
        self._listener = Listener(self._listen, name='Realtime events listener', pauses=PAUSES)

    async def close(self) -> None:
        """Stop listening."""
        await self._listener.close()

    async def publish(self, channel: str, message: Mapping[str, Any]) -> None:
        """Tell everyone who listens on channel. Nobody listening is no error.

        Raise TooLarge when channel and message pass 8 kB as JSON or what the project takes, Unavailable when Realtime
        does not answer or has too much to do.
        """
        await self._send(json.loads(pack(channel, message)))

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[AsyncIterator[Mapping[str, Any]]]:
        """Messages published on this channel after the block was entered, in order.

        Raise Unavailable when Realtime does not answer.
        """
        await self._reach_now()
        with self.subscribers.listening(channel) as messages:
            yield messages

    async def check(self) -> str:
        """Hear a message of our own, and see a browser's key refused. Raise Misconfigured or Unavailable if not so."""
        channel = f'doctor/{uuid4()}'
        async with self.subscribe(channel) as messages:
            await self.publish(channel, {})
            try:
                async with asyncio.timeout(self._patience):
                    await anext(messages)
            except TimeoutError as error:
                raise Unavailable('Supabase Realtime does not pass messages on.') from error
        async with self._connected(self._publishable, lambda content: None) as stranger:
            try:
                await stranger.join()
            except Misconfigured:
                return 'a private channel that only the secret key opens'
        raise Misconfigured(
            'The publishable key opens the private channel of Supabase Realtime: remove the policies on '
            'realtime.messages that allow it.'
        )

    async def _reach_now(self) -> None:
        """Return when everything published so far has passed, by publishing a mark and meeting it."""
        try:
            with self._marks.made() as (mark, passed):
                await self._send({'mark': mark})
                async with asyncio.timeout(self._patience):
                    await passed.wait()
        except TimeoutError as error:
            raise Unavailable('Supabase Realtime does not pass messages on. Try again in a moment.') from error

    async def _send(self, content: Mapping[str, Any]) -> None:
        self._listener.start()
        try:
            async with asyncio.timeout(self._patience):
                await self._joined.wait()
        except TimeoutError as error:
            raise type(self._trouble)(self._trouble.message) from error
        if self._channel is None:
            raise Unavailable(_SILENT)
        await self._channel.push('broadcast', {'type': 'broadcast', 'event': 'note', 'payload': content})

    async def _listen(self) -> None:
        try:
            async with self._connected(self._secret, self._heard) as self._channel:
                await self._channel.join()
                self._joined.set()
                await self._channel.stay()
        except Unavailable as error:
            if self._joined.is_set() or error.message != self._trouble.message:
                LOG.warning('events do not pass: %s', error)
            self._trouble = error
        finally:
            self._joined.clear()
            self._channel = None

    @asynccontextmanager
    async def _connected(self, key: str, heard: Callable[[Mapping[str, Any]], None]) -> AsyncIterator['_Channel']:
        """A connection with a key, and the channel on it, which is not joined yet."""
        address = f'{self._address}?{urlencode({"apikey": key, "vsn": "1.0.0"})}'
        try:
            async with connect(
                address, open_timeout=self._patience, close_timeout=1, ping_interval=None, max_size=2**20
            ) as socket:
                channel = _Channel(socket, self._topic, key, patience=self._patience)
                reading = asyncio.create_task(channel.read(heard), name='Realtime events reader')
                try:
                    yield channel
                finally:
                    reading.cancel()
                    await asyncio.wait({reading})
        except InvalidStatus as error:
            if error.response.status_code in (401, 403):
                raise Misconfigured('Supabase Realtime refuses our key, or is turned off in the project.') from error
            raise Unavailable(_SILENT) from error
        except (WebSocketException, OSError) as error:
            raise Unavailable(_SILENT) from error

    def _heard(self, content: Mapping[str, Any]) -> None:
        if 'mark' in content:
            self._marks.met(content['mark'])
        else:
            self.subscribers.pass_on(content)


class _Said(BaseModel):
    """A message of the protocol, version 1.0.0 (https://supabase.com/docs/guides/realtime/protocol)."""

    topic: str
    event: str
    payload: dict[str, Any]
    ref: str | None = None


class _Channel:
    """One channel on one connection; what is pushed is answered. Once anything has gone wrong, it is of no more use."""

    def __init__(self, socket: ClientConnection, topic: str, key: str, *, patience: float) -> None:
        self._socket = socket
        self._topic = topic
        self._key = key
        self._patience = patience
        self._refs = itertools.count(1)
        self._answers: dict[str, asyncio.Future[Mapping[str, Any]]] = {}
        self._ended = asyncio.Event()

    async def join(self) -> None:
        """Join, so that broadcasts are heard, our own among them. Raise Misconfigured when we may not."""
        config = {
            'broadcast': {'ack': True, 'self': True},
            'presence': {'enabled': False},
            'postgres_changes': [],
            'private': True,
        }
        await self.push('phx_join', {'config': config, 'access_token': self._key})

    async def stay(self) -> None:
        """Keep the connection alive. Raise Unavailable as soon as it is not."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT):
                    await self._ended.wait()
                    raise Unavailable(_SILENT)
            await self.push('heartbeat', {}, topic='phoenix')

    async def push(self, event: str, payload: Mapping[str, Any], *, topic: str | None = None) -> None:
        """Send a message and wait for its answer. Raise Unavailable without one, and what a refusal means."""
        if self._ended.is_set():
            raise Unavailable(_SILENT)
        ref = str(next(self._refs))
        answer = self._answers[ref] = asyncio.get_running_loop().create_future()
        message = {'topic': topic or self._topic, 'event': event, 'payload': payload, 'ref': ref, 'join_ref': '1'}
        try:
            async with asyncio.timeout(self._patience):
                await self._socket.send(json.dumps(message))
                said = await answer
        except (TimeoutError, WebSocketException) as error:
            self._ended.set()
            raise Unavailable(_SILENT) from error
        finally:
            del self._answers[ref]
        if said.get('status') != 'ok':
            raise _refusal(said.get('response'))

    async def read(self, heard: Callable[[Mapping[str, Any]], None]) -> None:
        """Pass on answers and broadcasts until the connection or the channel ends."""
        try:
            async for text in self._socket:
                said = _Said.model_validate_json(text)
                match said.event:
                    case 'phx_reply' if (answer := self._answers.get(said.ref or '')) and not answer.done():
                        answer.set_result(said.payload)
                    case 'broadcast' if said.topic == self._topic:
                        heard(said.payload['payload'])
                    case 'phx_close' | 'phx_error':
                        return
        except (WebSocketException, ValidationError, KeyError) as error:
            LOG.info('Supabase Realtime ended the conversation: %s', error)
        finally:
            self._ended.set()
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(Unavailable(_SILENT))


def _refusal(response: Any) -> VariosyncError:
    reason = str(response['reason']) if isinstance(response, dict) and 'reason' in response else str(response)
    if reason == TOO_LARGE:
        return TooLarge(f'The project takes no message of this size in Supabase Realtime ({reason}).')
    if reason.partition(':')[0] in LASTING:
        return Misconfigured(f'Supabase Realtime refuses us: {reason}')
    return Unavailable(f'Supabase Realtime cannot serve us now ({reason}). Try again in a moment.')
