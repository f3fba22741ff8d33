"""What every Cache promises (`core.ports.Cache`)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from uuid import uuid4

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.ports import Cache
from core.values import Allowance
from storage.cache import MemoryCache
from storage.redis import Redis, RedisCache
from tests.counterparts.redis import RedisServer

EXACT = 4.0  # seconds that a test may take between two looks at a clock that also runs by itself
AGE = """
for _, key in ipairs(redis.call('KEYS', '*')) do
    if redis.call('TYPE', key).ok == 'list' then
        for place, at in ipairs(redis.call('LRANGE', key, 0, -1)) do
            redis.call('LSET', key, place - 1, string.format('%.0f', at - ARGV[1] * 1000))
        end
    end
    if redis.call('PTTL', key) <= tonumber(ARGV[1]) then
        redis.call('DEL', key)
    else
        redis.call('PEXPIRE', key, redis.call('PTTL', key) - ARGV[1])
    end
end
"""


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class RedisClock:
    """Time passes in a Redis when everything in it grows older; it runs by itself too, a little."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    def advance(self, seconds: float) -> None:
        self._server.run('EVAL', AGE, 0, round(seconds * 1000))


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A cache under test, its clock, and another process' cache of the same values."""

    cache: Cache
    clock: Clock | RedisClock
    elsewhere: Cache


@pytest_asyncio.fixture(loop_scope='session', params=['memory', 'redis'])
async def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Each adapter in turn, empty. Nobody else shares the memory of a process."""
    if request.param == 'memory':
        clock = Clock()
        cache = MemoryCache(clock=clock)
        yield World(cache=cache, clock=clock, elsewhere=cache)
        return
    server: RedisServer = request.getfixturevalue('redis_server')
    server.run('FLUSHALL')
    monkeypatch.setattr('storage.redis.client.PATIENCE', 30)  # no busy machine is a Redis that is away
    here, there = Redis(server.url), Redis(server.url)
    yield World(cache=RedisCache(here), clock=RedisClock(server), elsewhere=RedisCache(there))
    await here.close()
    await there.close()


@pytest.fixture
def cache(world: World) -> Cache:
    return world.cache


@pytest.fixture
def clock(world: World) -> Clock | RedisClock:
    return world.clock


def allowance(limit: int, remaining: int, *, reset: float, wait: float = 0.0) -> Allowance:
    """What is expected, with times that are as exact as a running clock can be."""
    return Allowance(
        limit=limit,
        remaining=remaining,
        reset=pytest.approx(reset, abs=EXACT),
        wait=pytest.approx(wait, abs=EXACT) if wait else 0.0,
    )


async def test_one_that_is_there_answers(cache: Cache) -> None:
    await cache.ping()


async def test_a_value_is_kept_until_it_expires(cache: Cache, clock: Clock | RedisClock) -> None:
    assert await cache.get('key') is None
    await cache.set('key', b'value', ttl=100)
    clock.advance(90)
    assert await cache.get('key') == b'value'
    clock.advance(10)
    assert await cache.get('key') is None


async def test_setting_again_replaces_value_and_life(cache: Cache, clock: Clock | RedisClock) -> None:
    await cache.set('key', b'old', ttl=100)
    clock.advance(50)
    await cache.set('key', b'new', ttl=100)
    clock.advance(60)
    assert await cache.get('key') == b'new'
    await cache.set('key', b'newest', ttl=0)
    assert await cache.get('key') is None


async def test_a_deleted_value_is_forgotten(cache: Cache) -> None:
    await cache.set('key', b'value', ttl=60)
    await cache.delete('key')
    await cache.delete('key')
    assert await cache.get('key') is None


async def test_any_bytes_are_a_value(cache: Cache) -> None:
    for value in (b'', b'\x00\xff\r\n', b'x' * 2**20):
        await cache.set('key', value, ttl=60)
        assert await cache.get('key') == value


@pytest.mark.parametrize('key', ['', 'a b\r\nc*?[x]', 'ü@example.com', '\ud800', 'x' * 10_000])
async def test_any_text_is_a_key(cache: Cache, key: str) -> None:
    await cache.set(key, b'value', ttl=60)
    assert await cache.get(key) == b'value'
    assert (await cache.hit(key, limit=1, window=60)).wait == 0
    assert await cache.lend(key, loader(b'loan'), ttl=60) == b'loan'


async def test_attempts_within_the_limit_pass_and_the_next_waits(cache: Cache, clock: Clock | RedisClock) -> None:
    for _ in range(3):
        assert (await cache.hit('key', limit=3, window=60)).wait == 0
        clock.advance(10)
    assert (await cache.hit('key', limit=3, window=60)).wait == pytest.approx(30, abs=EXACT)
    assert (await cache.hit('another', limit=3, window=60)).wait == 0


async def test_what_is_left_is_told(cache: Cache, clock: Clock | RedisClock) -> None:
    assert await cache.hit('key', limit=2, window=60) == allowance(2, 1, reset=60)
    clock.advance(20)
    assert await cache.hit('key', limit=2, window=60) == allowance(2, 0, reset=60)
    clock.advance(10)
    assert await cache.hit('key', limit=2, window=60) == allowance(2, 0, reset=50, wait=30)
    clock.advance(50)
    assert await cache.hit('key', limit=2, window=60) == allowance(2, 1, reset=60)


async def test_a_limit_of_nothing_refuses_at_once(cache: Cache) -> None:
    assert await cache.hit('key', limit=0, window=60) == allowance(0, 0, reset=60, wait=60)


async def test_the_window_slides(cache: Cache, clock: Clock | RedisClock) -> None:
    assert (await cache.hit('key', limit=2, window=60)).wait == 0
    clock.advance(40)
    assert (await cache.hit('key', limit=2, window=60)).wait == 0
    clock.advance(20)
    assert (await cache.hit('key', limit=2, window=60)).wait == 0, 'the first attempt has left the window'
    assert (await cache.hit('key', limit=2, window=60)).wait == pytest.approx(40, abs=EXACT)


async def test_a_refused_attempt_does_not_prolong_the_wait(cache: Cache, clock: Clock | RedisClock) -> None:
    await cache.hit('key', limit=1, window=60)
    for wait in (50, 40, 30, 20, 10):
        clock.advance(10)
        assert (await cache.hit('key', limit=1, window=60)).wait == pytest.approx(wait, abs=EXACT)
    clock.advance(10)
    assert (await cache.hit('key', limit=1, window=60)).wait == 0


async def test_attempts_at_the_same_time_are_counted_one_by_one(cache: Cache) -> None:
    answers = await asyncio.gather(*(cache.hit('key', limit=7, window=60) for _ in range(20)))
    assert sorted(answer.remaining for answer in answers if not answer.wait) == [0, 1, 2, 3, 4, 5, 6]
    assert sum(answer.wait > 0 for answer in answers) == 13


async def test_a_value_and_a_limit_may_have_the_same_name(cache: Cache) -> None:
    await cache.set('key', b'value', ttl=60)
    assert (await cache.hit('key', limit=1, window=60)).wait == 0
    assert await cache.lend('key', loader(b'loan'), ttl=60) == b'loan'
    assert await cache.get('key') == b'value'


async def test_limits_hold_whatever_is_stored(cache: Cache) -> None:
    await cache.hit('limit', limit=1, window=60)
    for number in range(100):
        await cache.set(str(number), b'x' * 100, ttl=60)
        await cache.delete(str(number))
    assert (await cache.hit('limit', limit=1, window=60)).wait > 0


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.sampled_from(range(0, 31, 5)), min_size=1, max_size=30), st.integers(1, 5))
async def test_no_window_ever_holds_more_than_the_limit(world: World, pauses: list[int], limit: int) -> None:
    key, now, passed = uuid4().hex, 0, []
    for pause in pauses:
        world.clock.advance(pause)
        now += pause
        allowance = await world.cache.hit(key, limit=limit, window=60)
        assert allowance.remaining == 0 or allowance.wait == 0
        if allowance.wait == 0:
            passed.append(now)
    assert all(sum(at - 60 < other <= at for other in passed) <= limit for at in passed)


def loader(*values: bytes | None) -> Callable[[], AsyncIterator[bytes | None]]:
    """What `lend` loads, one value after another; it fails when asked once more."""
    left = list(values)

    async def load() -> bytes | None:
        return left.pop(0)

    return load


async def test_what_is_lent_was_loaded_by_somebody(world: World) -> None:
    assert await world.cache.lend('key', loader(b'value'), ttl=60) == b'value'
    assert await world.elsewhere.lend('key', loader(b'value'), ttl=60) == b'value'


async def test_nothing_is_lent_when_nothing_is_found(world: World) -> None:
    assert await world.cache.lend('key', loader(None), ttl=60) is None
    assert await world.elsewhere.lend('key', loader(b'made meanwhile'), ttl=60) == b'made meanwhile'


async def test_a_loan_ends(world: World) -> None:
    await world.cache.lend('key', loader(b'old'), ttl=60)
    world.clock.advance(60)
    assert await world.elsewhere.lend('key', loader(b'new'), ttl=60) == b'new'


async def test_what_is_recalled_is_lent_nowhere(world: World) -> None:
    await world.cache.lend('key', loader(b'old'), ttl=60)
    await world.cache.lend('another', loader(b'old'), ttl=60)
    await world.elsewhere.recall(['key', 'another', 'unknown'], ttl=60)
    for cache in (world.cache, world.elsewhere):
        assert await cache.lend('key', loader(b'new'), ttl=60) == b'new'
        assert await cache.lend('another', loader(None), ttl=60) is None


async def test_who_loaded_before_a_recall_lends_it_to_nobody_after(world: World) -> None:
    async def load() -> bytes:
        await world.elsewhere.recall(['key'], ttl=60)
        return b'old'

    await world.cache.lend('key', load, ttl=60)
    assert await world.elsewhere.lend('key', loader(b'new'), ttl=60) == b'new'


async def test_a_loader_that_fails_is_heard(cache: Cache) -> None:
    with pytest.raises(IndexError):
        await cache.lend('key', loader(), ttl=60)
    assert await cache.lend('key', loader(b'value'), ttl=60) == b'value'


class TestMemory:
    """What the cache of a process does with its memory."""

    @pytest.fixture
    def cache(self) -> MemoryCache:
        return MemoryCache(size=1000, counters=10)

    async def test_the_least_recently_used_values_go_first(self, cache: MemoryCache) -> None:
        for name in 'abc':
            await cache.set(name, b'x' * 300, ttl=60)
        await cache.get('a')
        await cache.set('d', b'x' * 300, ttl=60)
        assert [await cache.get(name) is not None for name in 'abcd'] == [True, False, True, True]
        await cache.set('huge', b'x' * 1000, ttl=60)
        assert await cache.get('huge') is None
        assert await cache.get('a') is not None

    async def test_a_flood_of_values_does_not_reset_limits(self, cache: MemoryCache) -> None:
        await cache.hit('limit', limit=1, window=60)
        for number in range(1000):
            await cache.set(str(number), b'x' * 100, ttl=60)
        assert (await cache.hit('limit', limit=1, window=60)).wait > 0
        for number in range(1000):
            await cache.hit(str(number), limit=1, window=60)
        assert len(cache._hits) == 10

    async def test_nothing_is_lent_that_another_process_could_not_recall(self, cache: MemoryCache) -> None:
        assert await cache.lend('key', loader(b'one'), ttl=60) == b'one'
        assert await cache.lend('key', loader(b'two'), ttl=60) == b'two'
