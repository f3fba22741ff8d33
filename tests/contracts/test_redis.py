"""What Redis' adapters promise beyond their ports: only speed is lost with it, and nothing old comes back."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import pytest_asyncio

from core.errors import Misconfigured, Unavailable
from core.values import Allowance
from storage.embedded.server import EmbeddedPostgres
from storage.events import PostgresEvents
from storage.postgres import Postgres
from storage.redis import Redis, RedisCache, RedisEvents, client, events
from tests.counterparts.redis import RedisServer

PATIENCE = 0.25
PASSWORD = 'geheim-und-lang'
SOON = 30.0  # seconds that a busy machine may take

Connect = Callable[[RedisServer], Redis]


class Killable(RedisServer):
    """While it is held, commands fail sooner than in production; else a busy machine has as long as it needs."""

    def hold(self) -> None:
        client.PATIENCE = PATIENCE
        super().hold()

    def resume(self) -> None:
        client.PATIENCE = SOON
        super().resume()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (client, events):
        monkeypatch.setattr(module, 'PATIENCE', SOON)


@pytest.fixture
def server() -> Iterator[Killable]:
    """A server to kill."""
    with Killable(password=PASSWORD) as server:
        yield server


@pytest_asyncio.fixture(loop_scope='session')
async def connect() -> AsyncIterator[Connect]:
    """Connect as a process of its own."""
    made: list[Redis] = []

    def connect(server: RedisServer) -> Redis:
        made.append(Redis(server.url))
        return made[-1]

    yield connect
    for redis in made:
        await redis.close()


@pytest_asyncio.fixture(loop_scope='session')
async def redis(connect: Connect, server: RedisServer) -> Redis:
    """Redis that has answered."""
    redis = connect(server)
    await RedisCache(redis).ping()
    return redis


@pytest.fixture
def cache(redis: Redis) -> RedisCache:
    """The cache of this process."""
    return RedisCache(redis)


@pytest.fixture
def elsewhere(connect: Connect, server: RedisServer) -> RedisCache:
    """The cache of another process."""
    return RedisCache(connect(server))


async def back(redis: Redis) -> None:
    """Return when Redis is not away; that takes seconds at most, and nobody has to ask."""
    async with asyncio.timeout(SOON):
        await redis.back()


async def loaded(value: bytes = b'value') -> bytes | None:
    return value


async def use(cache: RedisCache) -> None:
    """Use every method that has an answer whether Redis is there or not."""
    await cache.set('key', b'value', ttl=10)
    assert await cache.get('key') == b'value'
    await cache.delete('key')
    assert await cache.get('key') is None
    assert (await cache.hit('limit', limit=1, window=60)).wait == 0
    assert (await cache.hit('limit', limit=1, window=60)).wait > 59
    assert await cache.lend('loan', loaded, ttl=10) == b'value'
    await cache.recall(['loan'], ttl=0.001)


# being away


async def test_no_error_of_redis_escapes_when_it_was_killed(cache: RedisCache, server: RedisServer) -> None:
    await cache.ping()
    server.kill()
    await use(cache)
    with pytest.raises(Unavailable):
        await cache.ping()


async def test_no_error_of_redis_escapes_from_a_first_command(connect: Connect, server: RedisServer) -> None:
    server.kill()
    commands: list[Callable[[RedisCache], Awaitable[object]]] = [
        lambda cache: cache.get('key'),
        lambda cache: cache.set('key', b'value', ttl=10),
        lambda cache: cache.delete('key'),
        lambda cache: cache.hit('key', limit=1, window=60),
        lambda cache: cache.lend('key', loaded, ttl=10),
        lambda cache: cache.recall(['key'], ttl=0.01),
    ]
    for command in commands:
        await command(RedisCache(connect(server)))
    with pytest.raises(Unavailable):
        await RedisCache(connect(server)).ping()


async def test_it_may_be_away_from_the_start_and_come_later(connect: Connect) -> None:
    server = RedisServer()
    redis = connect(server)
    cache = RedisCache(redis)
    await use(cache)
    with server:
        await back(redis)
        await cache.set('key', b'value', ttl=10)
        assert server.run('GET', 'variosync:values:key') == b'value'


async def test_a_password_that_is_refused_is_told(server: RedisServer) -> None:
    redis = Redis(server.url.replace(PASSWORD, 'another'))
    cache = RedisCache(redis)
    with pytest.raises(Unavailable, match='password'):
        await cache.ping()
    await use(cache)
    await redis.close()


@pytest.mark.parametrize(
    'url', ['', 'http://localhost', 'redis://localhost?unknown=1', 'rediss://x?ssl_cert_reqs=maybe']
)
async def test_an_address_that_cannot_be_is_refused_at_once(url: str) -> None:
    with pytest.raises(Misconfigured, match='REDIS_URL'):
        Redis(url)


async def test_by_tls_its_certificate_is_checked(connect: Connect) -> None:
    with RedisServer(password=PASSWORD, tls=True) as server:
        await use(RedisCache(connect(server)))
        assert server.run('KEYS', '*')
        stranger = Redis(server.url.partition('?')[0])
        with pytest.raises(Unavailable):
            await RedisCache(stranger).ping()
        await stranger.close()


async def test_nobody_waits_twice_for_one_that_hangs(cache: RedisCache, server: RedisServer) -> None:
    await cache.ping()
    server.hold()
    began = time.monotonic()
    await asyncio.gather(*(cache.get(str(number)) for number in range(100)))
    await use(cache)
    for number in range(100):
        await cache.get(str(number))
    assert time.monotonic() - began < 50 * PATIENCE, 'of 208 that might have waited'


async def test_who_asked_later_does_not_wait_longer(
    cache: RedisCache, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cache.ping()
    server.hold()
    first = asyncio.create_task(cache.get('first'))
    await asyncio.sleep(0)
    monkeypatch.setattr('storage.redis.client.PATIENCE', 60)
    async with asyncio.timeout(SOON):
        await asyncio.gather(first, *(cache.get(str(number)) for number in range(100)))


async def test_one_that_takes_no_writes_is_away(cache: RedisCache, redis: Redis, server: RedisServer) -> None:
    await use(cache)
    server.run('CONFIG', 'SET', 'maxmemory', '1')
    await cache.set('key', b'value', ttl=10)
    assert await cache.get('key') == b'value'
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.4):
            await redis.back()
    server.run('CONFIG', 'SET', 'maxmemory', '0')
    await back(redis)
    await cache.ping()


async def test_no_connection_of_before_is_used_when_it_is_back(
    cache: RedisCache, redis: Redis, server: RedisServer
) -> None:
    """What stands between may have forgotten them without a word."""
    await asyncio.gather(*(cache.get('key') for _ in range(10)))
    before = {client['id'] for client in server.run('CLIENT LIST')}
    assert len(before) > 5
    server.hold()
    await cache.get('key')
    server.resume()
    await back(redis)
    assert len(before & {client['id'] for client in server.run('CLIENT LIST')}) == 0


@pytest.mark.parametrize('fault', ['kill', 'hold'])
async def test_it_comes_back_by_itself_and_is_told_once(
    fault: str, cache: RedisCache, redis: Redis, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await cache.ping()
    for _ in range(2):
        getattr(server, fault)()
        for _ in range(20):
            await cache.get('key')
        assert redis.away
        (server.start if fault == 'kill' else server.resume)()
        await back(redis)
        await cache.ping()
    said = [record.getMessage() for record in caplog.records if record.name.startswith('storage.redis')]
    assert [text.split(',')[0].split(' after')[0] for text in said] == ['Redis is away', 'Redis is back'] * 2
    assert PASSWORD not in caplog.text


# what is kept


async def test_every_key_names_its_use_and_expires(cache: RedisCache, server: RedisServer) -> None:
    await cache.set('tenant/points', b'value', ttl=10)
    await cache.lend('session/hash', loaded, ttl=10)
    await cache.recall(['session/other'], ttl=10)
    await cache.hit('tenant/limit', limit=3, window=60)
    lives = {key.decode(): server.run('PTTL', key) for key in server.run('KEYS', '*')}
    assert sorted(lives) == [
        'variosync:limits:tenant/limit',
        'variosync:loans:session/hash',
        'variosync:loans:session/other',
        'variosync:values:tenant/points',
    ]
    assert all(0 < life <= 60_000 for life in lives.values())


async def test_an_attempt_is_one_command_and_little_memory(cache: RedisCache, server: RedisServer) -> None:
    for _ in range(50):
        await cache.hit('key', limit=5, window=60)
    calls = server.run('INFO', 'commandstats')
    assert calls['cmdstat_evalsha']['calls'] <= 52
    assert calls['cmdstat_script|load']['calls'] == 1
    assert server.run('LLEN', 'variosync:limits:key') == 5


async def test_limits_hold_when_it_goes_away(cache: RedisCache, server: RedisServer) -> None:
    for _ in range(3):
        await cache.hit('key', limit=3, window=60)
    server.kill()
    assert await cache.hit('key', limit=3, window=60) == Allowance(
        limit=3, remaining=0, reset=pytest.approx(60, abs=1), wait=pytest.approx(60, abs=1)
    )


async def test_an_answer_that_nobody_awaits_any_more_is_given_to_nobody_else(cache: RedisCache) -> None:
    names = [str(number) for number in range(50)]
    for name in names:
        await cache.set(name, name.encode(), ttl=10)
    for steps, name in enumerate(names):
        asking = asyncio.create_task(cache.get('0'))
        for _ in range(steps % 12):
            await asyncio.sleep(0)
        asking.cancel()
        assert await cache.get(name) == name.encode()
        await asyncio.gather(asking, return_exceptions=True)


# nothing old comes back


@pytest.mark.parametrize('change', ['set', 'delete'])
async def test_what_was_changed_meanwhile_is_not_read_as_it_was(
    change: str, cache: RedisCache, elsewhere: RedisCache, redis: Redis, server: RedisServer
) -> None:
    await cache.set('key', b'old', ttl=60)
    server.hold()
    if change == 'set':
        await cache.set('key', b'new', ttl=60)
        assert await cache.get('key') == b'new'
    else:
        await cache.delete('key')
        assert await cache.get('key') is None
    server.resume()
    await back(redis)
    assert await cache.get('key') is None
    assert await elsewhere.get('key') is None


async def test_a_command_that_is_carried_out_late_changes_nothing(
    cache: RedisCache, redis: Redis, server: RedisServer
) -> None:
    await cache.ping()
    server.hold()
    await cache.set('key', b'sent, and given up', ttl=60)
    await cache.set('key', b'new', ttl=60)
    server.resume()
    await back(redis)
    assert await cache.get('key') is None


async def test_what_was_kept_alone_is_forgotten(
    cache: RedisCache, elsewhere: RedisCache, redis: Redis, server: RedisServer
) -> None:
    server.hold()
    await cache.set('key', b'kept alone', ttl=60)
    server.resume()
    await back(redis)
    await elsewhere.set('key', b'new', ttl=60)
    server.hold()
    assert await cache.get('key') is None


async def test_every_value_goes_when_more_was_changed_than_is_remembered(
    cache: RedisCache, redis: Redis, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('storage.redis.cache.CHANGES', 10)
    monkeypatch.setattr('storage.redis.cache.BATCH', 7)
    for number in range(30):
        await cache.set(str(number), b'old', ttl=60)
    await cache.hit('limit', limit=1, window=60)
    server.hold()
    for number in range(30):
        await cache.delete(str(number))
    server.resume()
    await back(redis)
    assert server.run('KEYS', 'variosync:values:*') == []
    assert (await cache.hit('limit', limit=1, window=60)).wait > 0
    await cache.set('key', b'value', ttl=60)
    assert await cache.get('key') == b'value'


@pytest.mark.parametrize('fault', ['kill', 'hold'])
async def test_what_is_recalled_without_it_does_not_come_back(
    fault: str, cache: RedisCache, elsewhere: RedisCache, server: RedisServer
) -> None:
    life = 2 * PATIENCE
    await elsewhere.lend('key', lambda: loaded(b'old'), ttl=life)
    getattr(server, fault)()
    await cache.recall(['key'], ttl=life)
    (server.start if fault == 'kill' else server.resume)()
    assert await elsewhere.lend('key', lambda: loaded(b'new'), ttl=life) == b'new'


async def test_what_is_lent_late_is_not_lent_longer(
    cache: RedisCache, elsewhere: RedisCache, server: RedisServer
) -> None:
    life = 2 * PATIENCE

    async def load() -> bytes:
        server.hold()
        return b'old'

    await elsewhere.lend('key', load, ttl=life)
    await cache.recall(['key'], ttl=life)
    server.resume()
    assert server.run('GET', 'variosync:loans:key') in (None, b''), 'nothing, or the mark of the recall'


@pytest.mark.parametrize('fault', ['kill', 'hold'])
async def test_a_recall_may_wait_for_less_than_a_loan(
    fault: str, cache: RedisCache, elsewhere: RedisCache, server: RedisServer
) -> None:
    life = 4 * PATIENCE
    await elsewhere.lend('key', lambda: loaded(b'old'), ttl=life)
    getattr(server, fault)()
    async with asyncio.timeout(SOON):
        await cache.recall(['key'], ttl=PATIENCE)
    (server.start if fault == 'kill' else server.resume)()
    async with asyncio.timeout(life + SOON):
        while await elsewhere.lend('key', lambda: loaded(b'new'), ttl=life) != b'new':
            await asyncio.sleep(0.02)


async def test_a_recall_ends_as_soon_as_the_others_can_be_told(
    cache: RedisCache, elsewhere: RedisCache, server: RedisServer
) -> None:
    await elsewhere.lend('key', lambda: loaded(b'old'), ttl=60)
    server.hold()
    recall = asyncio.create_task(cache.recall(['key'], ttl=60))
    await asyncio.wait({recall}, timeout=2 * PATIENCE)
    assert not recall.done()
    server.resume()
    async with asyncio.timeout(SOON):
        await recall
    assert await elsewhere.lend('key', lambda: loaded(b'new'), ttl=60) == b'new'


# messages


@pytest_asyncio.fixture(loop_scope='session')
async def make_events(
    connect: Connect,
    server: RedisServer,
    postgres: EmbeddedPostgres,
    database: Postgres,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Callable[[], RedisEvents]]:
    """Make the events of a process. It believes in Redis after 0.8 s, and listens again somewhat sooner."""
    monkeypatch.setattr('storage.redis.client.SETTLED', 0.8)
    monkeypatch.setattr('storage.redis.events.PAUSES', (0.2, 0.2))
    made: list[RedisEvents] = []

    def make() -> RedisEvents:
        made.append(RedisEvents(connect(server), PostgresEvents(database, postgres.dsn('worker'))))
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def settle(events: RedisEvents) -> None:
    """Return when messages go by Redis alone."""
    async with asyncio.timeout(SOON):
        await events.publish('a/settle', {})
        while not events._redis.settled:
            await asyncio.sleep(0.01)


async def test_no_message_is_lost_and_none_comes_twice_whatever_happens_to_redis(
    make_events: Callable[[], RedisEvents], server: RedisServer
) -> None:
    here, there = make_events(), make_events()
    async with here.subscribe('t/jobs') as messages:
        told = 0

        async def tell(times: int = 10) -> None:
            nonlocal told
            for _ in range(times):
                await there.publish('t/jobs', {'n': told})
                told += 1

        await settle(there)
        await settle(here)
        await tell()
        server.kill()
        await tell()
        await asyncio.to_thread(server.start)
        await tell()
        await back(there._redis)
        await tell()
        await settle(there)
        await settle(here)
        await tell()
        server.hold()
        await tell()
        server.resume()
        await tell()
        await back(there._redis)
        await settle(there)
        await settle(here)
        await tell()
        async with asyncio.timeout(SOON):
            heard = [(await anext(messages))['n'] for _ in range(told)]
        assert sorted(heard) == list(range(told))
        await here.publish('t/jobs', {'n': 'last'})
        async with asyncio.timeout(SOON):
            assert await anext(messages) == {'n': 'last'}


async def test_who_has_not_noticed_a_restart_loses_no_message_either(
    make_events: Callable[[], RedisEvents], server: RedisServer
) -> None:
    here, there = make_events(), make_events()
    async with here.subscribe('t/jobs') as messages:
        await settle(there)
        server.kill()
        server.start()
        await there.publish('t/jobs', {'n': 1})
        async with asyncio.timeout(SOON):
            assert await anext(messages) == {'n': 1}


async def test_redis_alone_carries_messages_when_it_has_settled(
    make_events: Callable[[], RedisEvents], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = make_events(), make_events()

    async def refuse(note: str) -> None:
        raise Unavailable(note)

    async with here.subscribe('t/jobs') as messages:
        await settle(there)
        monkeypatch.setattr(there._postgres, 'send', refuse)
        await there.publish('t/jobs', {'n': 1})
        async with asyncio.timeout(SOON):
            assert await anext(messages) == {'n': 1}


@pytest.mark.parametrize('fault', ['kill', 'hold'])
async def test_listening_begins_without_redis(
    fault: str, make_events: Callable[[], RedisEvents], server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, 'PATIENCE', PATIENCE)
    here, there = make_events(), make_events()
    getattr(server, fault)()
    async with here.subscribe('t/jobs') as messages:
        await there.publish('t/jobs', {'n': 1})
        async with asyncio.timeout(SOON):
            assert await anext(messages) == {'n': 1}
