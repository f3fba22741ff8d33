"""What every Cache promises (`core.ports.Cache`)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.values import Allowance
from storage.cache import MemoryCache


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> MemoryCache:
    return MemoryCache(size=1000, counters=10, clock=clock)


async def test_a_value_is_kept_until_it_expires(cache: MemoryCache, clock: Clock) -> None:
    assert await cache.get('key') is None
    await cache.set('key', b'value', ttl=10)
    clock.now += 9.9
    assert await cache.get('key') == b'value'
    clock.now += 0.1
    assert await cache.get('key') is None


async def test_setting_again_replaces_value_and_life(cache: MemoryCache, clock: Clock) -> None:
    await cache.set('key', b'old', ttl=10)
    clock.now += 5
    await cache.set('key', b'new', ttl=10)
    clock.now += 6
    assert await cache.get('key') == b'new'
    await cache.set('key', b'newest', ttl=0)
    assert await cache.get('key') is None


async def test_a_deleted_value_is_forgotten(cache: MemoryCache) -> None:
    await cache.set('key', b'value', ttl=10)
    await cache.delete('key')
    await cache.delete('key')
    assert await cache.get('key') is None


async def test_an_empty_value_is_a_value(cache: MemoryCache) -> None:
    await cache.set('key', b'', ttl=10)
    assert await cache.get('key') == b''


async def test_the_least_recently_used_values_go_first(cache: MemoryCache) -> None:
    for name in 'abc':
        await cache.set(name, b'x' * 300, ttl=10)
    await cache.get('a')
    await cache.set('d', b'x' * 300, ttl=10)
    assert [await cache.get(name) is not None for name in 'abcd'] == [True, False, True, True]
    await cache.set('huge', b'x' * 1000, ttl=10)
    assert await cache.get('huge') is None
    assert await cache.get('a') is not None


async def test_attempts_within_the_limit_pass_and_the_next_waits(cache: MemoryCache, clock: Clock) -> None:
    for _ in range(3):
        assert (await cache.hit('key', limit=3, window=60)).wait == 0
        clock.now += 10
    assert (await cache.hit('key', limit=3, window=60)).wait == 30
    assert (await cache.hit('another', limit=3, window=60)).wait == 0


async def test_what_is_left_is_told(cache: MemoryCache, clock: Clock) -> None:
    assert await cache.hit('key', limit=2, window=60) == Allowance(limit=2, remaining=1, reset=60)
    clock.now += 20
    assert await cache.hit('key', limit=2, window=60) == Allowance(limit=2, remaining=0, reset=60)
    clock.now += 10
    assert await cache.hit('key', limit=2, window=60) == Allowance(limit=2, remaining=0, reset=50, wait=30)
    clock.now += 50
    assert await cache.hit('key', limit=2, window=60) == Allowance(limit=2, remaining=1, reset=60)


async def test_a_limit_of_nothing_refuses_at_once(cache: MemoryCache) -> None:
    assert await cache.hit('key', limit=0, window=60) == Allowance(limit=0, remaining=0, reset=60, wait=60)


async def test_the_window_slides(cache: MemoryCache, clock: Clock) -> None:
    assert (await cache.hit('key', limit=2, window=60)).wait == 0
    clock.now += 40
    assert (await cache.hit('key', limit=2, window=60)).wait == 0
    clock.now += 20
    assert (await cache.hit('key', limit=2, window=60)).wait == 0, 'the first attempt has left the window'
    assert (await cache.hit('key', limit=2, window=60)).wait == 40


async def test_a_refused_attempt_does_not_prolong_the_wait(cache: MemoryCache, clock: Clock) -> None:
    await cache.hit('key', limit=1, window=60)
    for _ in range(5):
        clock.now += 10
        assert (await cache.hit('key', limit=1, window=60)).wait == pytest.approx(1060 - clock.now)
    clock.now += 10
    assert (await cache.hit('key', limit=1, window=60)).wait == 0


async def test_a_flood_of_values_does_not_reset_limits(cache: MemoryCache) -> None:
    await cache.hit('limit', limit=1, window=60)
    for number in range(1000):
        await cache.set(str(number), b'x' * 100, ttl=10)
    assert (await cache.hit('limit', limit=1, window=60)).wait > 0
    for number in range(1000):
        await cache.hit(str(number), limit=1, window=60)
    assert len(cache._hits) == 10


@given(st.lists(st.floats(0, 30), min_size=1, max_size=60), st.integers(1, 5))
async def test_no_window_ever_holds_more_than_the_limit(pauses: list[float], limit: int) -> None:
    clock = Clock()
    cache, passed = MemoryCache(clock=clock), []
    for pause in pauses:
        clock.now += pause
        allowance = await cache.hit('key', limit=limit, window=60)
        assert allowance.remaining == 0 or allowance.wait == 0
        if allowance.wait == 0:
            passed.append(clock.now)
    assert all(sum(at - 60 < other <= at for other in passed) <= limit for at in passed)
