"""The Events port on Redis' publish and subscribe, with Postgres' LISTEN and NOTIFY under it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from redis.asyncio.client import PubSub

from core.errors import Unavailable
from storage.events import Listener, Marks, PostgresEvents, pack, unpack
from storage.redis.client import PATIENCE, Redis, translated

PAUSES = (0.1, 1.0)  # seconds between two tries to listen again: the first, doubled up to the last
LOG = logging.getLogger(__name__)


class RedisEvents:
    """Messages to whoever listens now, across processes. A channel starts with the tenant.

    Every process listens on Redis and on Postgres; a message goes by Redis alone while that is there and settled, and
    by Postgres whenever somebody may not hear it on Redis. What comes twice is passed on once. So nothing is lost when
    Redis goes away or comes back; two messages may change places only at that moment. A process that alone is cut off
    from Redis misses what others publish until it is back, as it would if its connection to Postgres broke.
    """

    def __init__(self, redis: Redis, postgres: PostgresEvents) -> None:
        """`postgres` is used by nobody else, and closed with this."""
        self._redis = redis
        self._postgres = postgres
        self.subscribers = postgres.subscribers
        self._channel = redis.key('events', 'all')
        self._marks = Marks()
        self._listening = asyncio.Event()
        self._connection: PubSub | None = None
        self._listener = Listener(self._listen, name='Redis events listener', pauses=PAUSES)

    async def close(self) -> None:
        """Stop listening; Redis itself stays connected."""
        await self._listener.close()
        await self._postgres.close()

    async def publish(self, channel: str, message: Mapping[str, Any]) -> None:
        """Tell everyone who listens on channel. Nobody listening is no error.

        Raise TooLarge when channel and message pass 8 kB as JSON, Unavailable when neither Redis nor the database
        answers.
        """
        note = pack(channel, message)
        if not await self._everyone_hears(note):
            await self._postgres.send(note)

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[AsyncIterator[Mapping[str, Any]]]:
        """Messages published on this channel after the block was entered, in order.

        Raise Unavailable when the database does not answer.
        """
        await self._reach_now()
        async with self._postgres.subscribe(channel) as messages:
            yield messages

    async def _everyone_hears(self, note: str) -> bool:
        """Publish on Redis and tell whether that is enough."""
        try:
            await self._redis.run('PUBLISH', self._channel, note)
        except Unavailable:
            return False
        return self._redis.settled

    async def _reach_now(self) -> None:
        """Return when everything published on Redis so far has passed: what a mark sent after it has come back.

        Without an answer in time this goes on: where Redis is away for all, everybody publishes by Postgres. Where only
        this process does not hear it, what others publish by Redis alone is missed until it does.
        """
        self._listener.start()
        if self._redis.away:
            return
        with self._marks.made() as (mark, passed), suppress(Unavailable), translated():
            async with asyncio.timeout(PATIENCE):
                await self._listening.wait()
                if self._connection is not None:
                    await self._connection.ping(mark)
                    await passed.wait()

    async def _listen(self) -> None:
        with suppress(Unavailable):
            async with self._redis.subscription(self._channel) as self._connection:
                async for said in self._connection.listen():
                    self._heard(said)
        if self._listening.is_set():
            LOG.warning('the connection that listens for events on Redis broke')
            self._listening.clear()
        self._connection = None

    def _heard(self, said: Mapping[str, Any]) -> None:
        match said['type']:
            case 'subscribe':
                self._listening.set()
            case 'pong':
                self._marks.met(said['data'].decode())
            case 'message':
                self.subscribers.pass_on(unpack(said['data']))
