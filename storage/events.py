"""The Events port on Postgres' LISTEN and NOTIFY, for processes that share nothing else."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Self
from uuid import uuid4

import psycopg

from core.errors import TooLarge, Unavailable
from core.ports import Database

LIMIT = 7999  # bytes of a notification's payload that Postgres takes
BACKLOG = 256  # messages kept for a subscriber that does not read; then the oldest go
PATIENCE = 10.0
LOG = logging.getLogger(__name__)


class _Messages:
    """What a subscriber iterates over; it ends with the block that made it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(BACKLOG)

    def put(self, message: Mapping[str, Any]) -> None:
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(message)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Mapping[str, Any]:
        return await self._queue.get()


class PostgresEvents:
    """Messages to whoever listens now, across processes. A channel starts with the tenant.

    One connection listens for this process and comes back by itself; what is published while it is away is lost, so a
    page reads the database when it opens and does not live on messages alone.
    """

    def __init__(self, database: Database, worker_dsn: str) -> None:
        self._database = database
        self._dsn = worker_dsn
        self._subscribers: dict[str, set[_Messages]] = {}
        self._marks: dict[str, asyncio.Event] = {}
        self._listening = asyncio.Event()
        self._listener: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Stop listening."""
        if self._listener:
            self._listener.cancel()
            with suppress(asyncio.CancelledError):
                await self._listener
            self._listener = None

    async def publish(self, channel: str, message: Mapping[str, Any]) -> None:
        """Tell everyone who listens on channel. Nobody listening is no error.

        Raise TooLarge when channel and message pass 8 kB as JSON, Unavailable when the database does not answer.
        """
        await self._notify({'channel': channel, 'message': dict(message)})

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[AsyncIterator[Mapping[str, Any]]]:
        """Messages published on this channel after the block was entered, in order.

        Raise Unavailable when the database does not answer.
        """
        await self._reach_now()
        messages = _Messages()
        self._subscribers.setdefault(channel, set()).add(messages)
        try:
            yield messages
        finally:
            self._subscribers[channel].discard(messages)
            if not self._subscribers[channel]:
                del self._subscribers[channel]

    async def _reach_now(self) -> None:
        """Return when everything published so far has passed, by publishing a mark and meeting it."""
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen(), name='events listener')
        mark, passed = uuid4().hex, asyncio.Event()
        self._marks[mark] = passed
        try:
            async with asyncio.timeout(PATIENCE):
                while not passed.is_set():
                    await self._listening.wait()
                    await self._notify({'mark': mark})
                    with suppress(TimeoutError):
                        # Not wait_for: in Python 3.11 it loses a cancellation that comes with the answer.
                        async with asyncio.timeout(1):
                            await passed.wait()
        except TimeoutError as error:
            raise Unavailable('The database does not pass messages on. Try again in a moment.') from error
        finally:
            del self._marks[mark]

    async def _notify(self, content: Mapping[str, Any]) -> None:
        payload = json.dumps(content, separators=(',', ':'))
        if len(payload) > LIMIT:  # json.dumps writes ASCII: characters are bytes
            raise TooLarge(f'A message of {len(payload):,} bytes cannot be sent: {LIMIT:,} is the limit.')
        async with self._database.system() as tx:
            await tx.run('event_publish', payload=payload)

    async def _listen(self) -> None:
        pause = 0.1
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._dsn, autocommit=True, keepalives_idle=20, keepalives_interval=5, keepalives_count=3
                ) as connection:
                    await connection.execute('listen variosync_events')
                    self._listening.set()
                    pause = 0.1
                    async for notification in connection.notifies():
                        self._pass_on(json.loads(notification.payload))
            except psycopg.OperationalError as error:
                LOG.warning('the connection that listens for events broke: %s', error)
            finally:
                self._listening.clear()
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2)

    def _pass_on(self, content: Mapping[str, Any]) -> None:
        if 'mark' in content:
            if passed := self._marks.get(content['mark']):
                passed.set()
            return
        for messages in self._subscribers.get(content['channel'], ()):
            messages.put(content['message'])
