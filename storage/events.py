"""The Events port on Postgres' LISTEN and NOTIFY, for processes that share nothing else."""

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from secrets import token_urlsafe
from typing import Any, Self
from uuid import uuid4

import psycopg

from core.errors import TooLarge, Unavailable
from core.ports import Database

LIMIT = 7999  # bytes of a notification's payload that Postgres takes
REMEMBERED = 4096  # notes, so that one that comes again is known
BACKLOG = 256  # messages kept for a subscriber that does not read; then the oldest go
PATIENCE = 10.0
PAUSES = (0.1, 2.0)  # seconds between two tries to listen: the first, doubled up to the last
STEADY = 5.0  # seconds after which a connection that ends was a good one
LOG = logging.getLogger(__name__)


class Messages:
    """What a subscriber iterates over; it ends with the block that made it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(BACKLOG)

    def put(self, message: Mapping[str, Any]) -> None:
        """Keep a message until it is read; the oldest goes when there are too many."""
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(message)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Mapping[str, Any]:
        return await self._queue.get()


class Subscribers:
    """Who listens in this process, by channel. A message that comes twice, on two ways, is passed on once."""

    def __init__(self) -> None:
        self._by_channel: dict[str, set[Messages]] = {}
        self._seen: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._by_channel.values()))

    @contextmanager
    def listening(self, channel: str) -> Iterator[Messages]:
        """What is passed on for a channel while the block lasts."""
        messages = Messages()
        self._by_channel.setdefault(channel, set()).add(messages)
        try:
            yield messages
        finally:
            self._by_channel[channel].discard(messages)
            if not self._by_channel[channel]:
                del self._by_channel[channel]

    def pass_on(self, note: object) -> None:
        """Give a note that `pack` made to those who listen on its channel; what is none is logged and passed over."""
        match note:
            case {'id': str(name), 'channel': str(channel), 'message': dict(message)}:
                if self._is_new(name):
                    for messages in self._by_channel.get(channel, ()):
                        messages.put(message)
            case _:
                LOG.warning('a message between processes cannot be read')

    def _is_new(self, name: str) -> bool:
        if name in self._seen:
            return False
        self._seen[name] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True


class Marks(dict[str, asyncio.Event]):
    """Marks that a process sends to itself: when one comes back, all that was sent before it has passed."""

    @contextmanager
    def made(self) -> Iterator[tuple[str, asyncio.Event]]:
        """A new mark, and what is set when it has come back while the block lasts."""
        mark, passed = uuid4().hex, asyncio.Event()
        self[mark] = passed
        try:
            yield mark, passed
        finally:
            del self[mark]

    def met(self, mark: object) -> None:
        """Say that a mark has come back; it may be somebody else's, or none."""
        if isinstance(mark, str) and (passed := self.get(mark)):
            passed.set()


class Listener:
    """A task that listens on one connection after the other; `listen` returns when its connection has ended.

    The pauses between them grow from the first to the last of `pauses`, and are short again after a good connection.
    """

    def __init__(self, listen: Callable[[], Awaitable[None]], *, name: str, pauses: tuple[float, float]) -> None:
        self._listen = listen
        self._name = name
        self._pauses = pauses
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen until `close`, unless that is so already."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=self._name)

    async def close(self) -> None:
        """Stop listening."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        pause, longest = self._pauses
        while True:
            begun = time.monotonic()
            await self._listen()
            if time.monotonic() - begun > STEADY:
                pause = self._pauses[0]
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)


def pack(channel: str, message: Mapping[str, Any]) -> str:
    """A message as JSON on its way between processes. Raise TooLarge when it passes what Postgres takes."""
    note = {'id': token_urlsafe(9), 'channel': channel, 'message': dict(message)}
    packed = json.dumps(note, separators=(',', ':'))
    if len(packed) > LIMIT:  # json.dumps writes ASCII: characters are bytes
        raise TooLarge(f'A message of {len(packed):,} bytes cannot be sent: {LIMIT:,} is the limit.')
    return packed


def unpack(text: str | bytes) -> object:
    """What `pack` made, or whatever else came; None when that is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


class PostgresEvents:
    """Messages to whoever listens now, across processes. A channel starts with the tenant.

    One connection listens for this process and comes back by itself; what is published while it is away is lost, so a
    page reads the database when it opens and does not live on messages alone. Whoever else receives notes, on another
    way, passes them on to the same `subscribers`.
    """

    def __init__(self, database: Database, worker_dsn: str) -> None:
        self._database = database
        self._dsn = worker_dsn
        self.subscribers = Subscribers()
        self._marks = Marks()
        self._listening = asyncio.Event()
        self._listener = Listener(self._listen, name='events listener', pauses=PAUSES)

    async def close(self) -> None:
        """Stop listening."""
        await self._listener.close()

    async def publish(self, channel: str, message: Mapping[str, Any]) -> None:
        """Tell everyone who listens on channel. Nobody listening is no error.

        Raise TooLarge when channel and message pass 8 kB as JSON, Unavailable when the database does not answer.
        """
        await self.send(pack(channel, message))

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[AsyncIterator[Mapping[str, Any]]]:
        """Messages published on this channel after the block was entered, in order.

        Raise Unavailable when the database does not answer.
        """
        await self._reach_now()
        with self.subscribers.listening(channel) as messages:
            yield messages

    async def send(self, note: str) -> None:
        """Publish what `pack` made. Raise Unavailable when the database does not answer."""
        async with self._database.system() as tx:
            await tx.run('event_publish', payload=note)

    async def _reach_now(self) -> None:
        """Return when everything published so far has passed, by publishing a mark and meeting it."""
        self._listener.start()
        try:
            with self._marks.made() as (mark, passed):
                async with asyncio.timeout(PATIENCE):
                    while not passed.is_set():
                        await self._listening.wait()
                        await self.send(json.dumps({'mark': mark}))
                        with suppress(TimeoutError):
                            # Not wait_for: in Python 3.11 it loses a cancellation that comes with the answer.
                            async with asyncio.timeout(1):
                                await passed.wait()
        except TimeoutError as error:
            raise Unavailable('The database does not pass messages on. Try again in a moment.') from error

    async def _listen(self) -> None:
        try:
            async with await psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, keepalives_idle=20, keepalives_interval=5, keepalives_count=3
            ) as connection:
                await connection.execute('listen variosync_events')
                self._listening.set()
                async for notification in connection.notifies():
                    self._heard(unpack(notification.payload))
        except psycopg.Error as error:
            LOG.warning('the connection that listens for events broke: %s', error)
        finally:
            self._listening.clear()

    def _heard(self, content: object) -> None:
        match content:
            case {'mark': mark}:
                self._marks.met(mark)
            case _:
                self.subscribers.pass_on(content)
