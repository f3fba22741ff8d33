"""The Cache port on Redis, with one of this process in its place while Redis is away."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from itertools import islice

from core.errors import Unavailable
from core.values import Allowance
from storage.cache import MemoryCache
from storage.redis.client import Redis, Run

CHANGES = 100_000  # keys changed while Redis is away that are remembered; with more, every value is dropped
BATCH = 500

# The log of a limit is a list of the times of admitted attempts, in microseconds of Redis' clock, the oldest first. It
# holds `limit` entries at most and expires when its newest leaves the window.
HIT = """
local time = redis.call('TIME')
local now, limit, window = time[1] * 1000000 + time[2], tonumber(ARGV[1]), tonumber(ARGV[2])
local first = tonumber(redis.call('LINDEX', KEYS[1], 0))
while first and first <= now - window do
    redis.call('LPOP', KEYS[1])
    first = tonumber(redis.call('LINDEX', KEYS[1], 0))
end
local count = redis.call('LLEN', KEYS[1])
local allowed = count < limit
if allowed then
    count = redis.call('RPUSH', KEYS[1], string.format('%.0f', now))
    redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
end
local last = tonumber(redis.call('LINDEX', KEYS[1], -1)) or now
return {allowed and 1 or 0, count, (first or now) + window - now, last + window - now}
"""
# What is kept under a key, and the time in milliseconds of Redis' clock.
LOOK = """
local time = redis.call('TIME')
return {redis.call('GET', KEYS[1]), time[1] * 1000 + math.floor(time[2] / 1000)}
"""
RECALLED = b''


class RedisCache:
    """Values and limits in Redis (`core.ports.Cache`), every key with a life of its own.

    While Redis is away, this process keeps values and counts attempts alone. It counts on from what it has admitted
    itself, so an outage frees nobody from a limit in the process that knows them. What it has changed meanwhile is
    deleted in Redis before Redis is asked again.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._alone = MemoryCache()
        self._attempts = MemoryCache()
        self._changed: set[str] = set()
        self._hit = redis.script(HIT)
        self._look = redis.script(LOOK)
        redis.before_return(self._catch_up)

    async def ping(self) -> None:
        """Raise Unavailable when Redis is away; this process goes on alone."""
        await self._redis.run('PING')

    async def get(self, key: str) -> bytes | None:
        """Return the value, or None when it is absent or expired."""
        try:
            kept: bytes | None = await self._redis.run('GET', self._value(key))
        except Unavailable:
            return await self._alone.get(key)
        return kept

    async def set(self, key: str, value: bytes, *, ttl: float) -> None:
        """Keep the value for `ttl` seconds at most."""
        life = round(ttl * 1000)
        if life <= 0:
            return await self.delete(key)
        try:
            await self._redis.run('SET', self._value(key), value, 'PX', life)
        except Unavailable:
            self._note_change(key)
            await self._alone.set(key, value, ttl=ttl)

    async def delete(self, key: str) -> None:
        """Forget the value."""
        try:
            await self._redis.run('UNLINK', self._value(key))
        except Unavailable:
            self._note_change(key)
            await self._alone.delete(key)

    async def hit(self, key: str, *, limit: int, window: float) -> Allowance:
        """Count one attempt and say what is left; `wait` is 0 while at most `limit` fell within `window` seconds.

        A refused attempt does not count, so that the wait ends for who keeps trying.
        """
        name = self._redis.key('limits', key)
        try:
            allowed, count, first, last = await self._redis.call(self._hit, name, limit, round(window * 1e6))
        except Unavailable:
            return await self._attempts.hit(key, limit=limit, window=window)
        if allowed:
            await self._attempts.hit(key, limit=limit, window=window)
        return Allowance(
            limit=limit,
            remaining=max(0, limit - count),
            reset=last / 1e6,
            wait=0.0 if allowed else max(0.001, first / 1e6),
        )

    async def lend(self, key: str, load: Callable[[], Awaitable[bytes | None]], *, ttl: float) -> bytes | None:
        """Return what was loaded under this key within the last `ttl` seconds, else what `load` returns.

        The loan ends `ttl` seconds after Redis was asked, by its own clock: a command that a halted Redis carries out
        late makes it no longer.
        """
        name = self._redis.key('loans', key)
        try:
            kept, now = await self._redis.call(self._look, name)
        except Unavailable:
            return await load()
        if kept:
            return bytes(kept)
        value = await load()
        if value and kept is None:
            with suppress(Unavailable):
                await self._redis.run('SET', name, value, 'NX', 'PXAT', now + round(ttl * 1000))
        return value

    async def recall(self, keys: Iterable[str], *, ttl: float) -> None:
        """Return when nothing is lent any more that was loaded before this call.

        A mark under each key keeps a loader that has begun before from lending what it found. Who cannot reach Redis
        cannot know who else can, and waits until every loan has ended by itself.
        """
        names = [self._redis.key('loans', key) for key in keys]
        with suppress(TimeoutError):
            async with asyncio.timeout(ttl):
                while not await self._marked(names, ttl=ttl):
                    await self._redis.back()

    async def _marked(self, names: list[bytes], *, ttl: float) -> bool:
        try:
            for name in names:
                await self._redis.run('SET', name, RECALLED, 'PX', max(1, round(ttl * 1000)))
        except Unavailable:
            return False
        return True

    def _value(self, key: str) -> bytes:
        return self._redis.key('values', key)

    def _note_change(self, key: str) -> None:
        if len(self._changed) <= CHANGES:
            self._changed.add(key)

    async def _catch_up(self, run: Run) -> None:
        """Delete in Redis what was changed without it, and forget what was kept alone."""
        if len(self._changed) > CHANGES:
            await self._drop_values(run)
            self._changed.clear()
        while self._changed:
            done = list(islice(self._changed, BATCH))
            await run('UNLINK', *map(self._value, done))
            self._changed.difference_update(done)
        self._alone = MemoryCache()

    async def _drop_values(self, run: Run) -> None:
        cursor = b'0'
        while True:
            cursor, names = await run('SCAN', cursor, 'MATCH', self._value('*'), 'COUNT', BATCH)
            if names:
                await run('UNLINK', *names)
            if int(cursor) == 0:
                return
