"""One Redis that may be away: a command is answered in time or raises Unavailable, and nobody waits for it twice."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import redis.asyncio as vendor
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from core.errors import Misconfigured, Unavailable

PATIENCE = 0.5  # seconds that a command may take, with connecting
PROBING = 2.0  # seconds that may be spent on asking whether Redis is back, since nobody waits for that
PAUSES = (0.1, 1.0)  # seconds between two of those questions: the first, doubled up to the last
SETTLED = 5.0  # seconds a connection has to stand before it is believed that every process has one
CONNECTIONS = 16
LOG = logging.getLogger(__name__)

Run = Callable[..., Awaitable[Any]]


class Redis:
    """A Redis that is shared by all processes. Nothing connects before the first command.

    The first command that fails, or that is not answered in half a second, opens the breaker: those that wait then
    and all that follow raise Unavailable at once, and one task asks in the background until Redis takes writes again.
    """

    def __init__(self, url: str, *, prefix: str = 'variosync') -> None:
        """Every key and channel starts with `prefix`. Raise Misconfigured when `url` is none that Redis can have."""
        self._prefix = prefix
        self._pool: Any = self._make_pool(url)
        self._client: Any = vendor.Redis(connection_pool=self._pool)  # its commands have no types
        self._present = asyncio.Event()
        self._present.set()
        self._probe: asyncio.Task[None] | None = None
        self._catch_up: Callable[[Run], Awaitable[None]] = _nothing
        self._settled_at = 0.0
        self._waiting: set[asyncio.Timeout] = set()

    @property
    def away(self) -> bool:
        """Whether commands are refused because Redis did not answer."""
        return not self._present.is_set()

    @property
    def settled(self) -> bool:
        """Whether Redis is there and no connection is so new that other processes may still be without one."""
        return not self.away and time.monotonic() >= self._settled_at

    def key(self, use: str, name: str) -> bytes:
        """The key of `name`, which starts with the tenant and may be any text, among those of one use."""
        return f'{self._prefix}:{use}:{name}'.encode('utf-8', 'surrogatepass')

    async def run(self, *command: Any) -> Any:
        """Return the answer to a command. Raise Unavailable when there is none in time, at once while Redis is away."""
        return await self._ask(lambda: self._client.execute_command(*command))

    async def call(self, script: AsyncScript, key: bytes, *values: Any) -> Any:
        """Return the answer of a script, as `run` does. After the first call it costs one command."""
        return await self._ask(lambda: script([key], values))

    def script(self, text: str) -> AsyncScript:
        """A Lua script to `call`."""
        return AsyncScript(self._client, text)

    def before_return(self, catch_up: Callable[[Run], Awaitable[None]]) -> None:
        """Have `catch_up` called with a way to run commands when Redis answers again, before anybody else may ask it.

        Nothing happens between its end and the return. When it raises Unavailable, Redis stays away.
        """
        self._catch_up = catch_up

    async def back(self) -> None:
        """Return when Redis is not away."""
        await self._present.wait()

    @asynccontextmanager
    async def subscription(self, channel: bytes) -> AsyncIterator[vendor.client.PubSub]:
        """A connection that listens on a channel. What breaks inside the block raises Unavailable."""
        listener = self._client.pubsub()
        with translated():
            try:
                async with asyncio.timeout(PROBING):
                    await listener.subscribe(channel)
                yield listener
            finally:
                await listener.aclose()

    async def close(self) -> None:
        """Close every connection."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
        with suppress(Unavailable), translated():
            await self._pool.aclose()

    def _make_pool(self, url: str) -> Any:
        try:
            pool: Any = vendor.BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=PATIENCE,
                # Time is kept here, around a whole command: the library uses asyncio.wait_for, which in Python 3.11
                # loses a cancellation that comes with the answer. A command is never sent twice either.
                socket_timeout=None,
                socket_connect_timeout=PROBING,
                retry=Retry(NoBackoff(), 0),
                # One command less for each connection: no greeting, no name of the library.
                protocol=2,
                driver_info=None,
                redis_connect_func=self._connected,
            )
            pool.make_connection()  # an option that does not exist is refused here, not by the first command
        except (ValueError, TypeError, RedisError) as error:
            raise Misconfigured('REDIS_URL is no address of a Redis: write one such as rediss://…:6379.') from error
        return pool

    async def _connected(self, connection: AbstractConnection) -> None:
        await connection.on_connect()
        self._settled_at = time.monotonic() + SETTLED

    async def _ask(self, command: Callable[[], Awaitable[Any]]) -> Any:
        if self.away:
            raise Unavailable('Redis does not answer, so each process goes on alone.')
        try:
            with translated():
                async with asyncio.timeout(PATIENCE) as limit:
                    self._waiting.add(limit)
                    try:
                        return await command()
                    finally:
                        self._waiting.discard(limit)
        except Unavailable as error:
            self._leave(error)
            raise

    def _leave(self, error: Unavailable) -> None:
        if self.away:
            return
        self._present.clear()
        for limit in self._waiting:
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())
        LOG.warning('Redis is away, this process goes on alone: %s', _reason(error.__cause__))
        self._probe = asyncio.create_task(self._await_return(), name='await Redis')

    async def _await_return(self) -> None:
        began = time.monotonic()
        with suppress(Unavailable), translated():
            await self._pool.disconnect(inuse_connections=False)
        pause, longest = PAUSES
        while self.away:
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)
            with suppress(Unavailable):
                # A server that is full, or a copy that only reads, answers but is of no use.
                await self._run_anyway('SET', self.key('probe', 'write'), b'1', 'PX', 1000)
                await self._catch_up(self._run_anyway)
                self._present.set()
        LOG.warning('Redis is back after %.1f s', time.monotonic() - began)

    async def _run_anyway(self, *command: Any) -> Any:
        with translated():
            async with asyncio.timeout(PROBING):
                return await self._client.execute_command(*command)


async def _nothing(run: Run) -> None:
    return


@contextmanager
def translated() -> Iterator[None]:
    """Raise Unavailable for whatever the library raises; the message names no address."""
    try:
        yield
    except (AuthenticationError, NoPermissionError) as error:
        raise Unavailable('Redis refuses our name or password. Check REDIS_URL.') from error
    except ResponseError as error:
        raise Unavailable(f'Redis refuses a command ({_code(error)}).') from error
    except (RedisError, OSError) as error:
        raise Unavailable('Redis does not answer, so each process goes on alone.') from error


def _code(error: ResponseError) -> str:
    """What kind of refusal it is; the rest of the text may repeat values."""
    return str(error).partition(' ')[0] or type(error).__name__


def _reason(error: BaseException | None) -> str:
    if isinstance(error, ResponseError):
        return _code(error)
    if isinstance(error, TimeoutError):
        return f'no answer within {PATIENCE} s'
    return str(error)
