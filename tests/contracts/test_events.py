"""What every Events does."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from core.errors import TooLarge, Unavailable
from core.ports import Events
from storage.cloud.realtime import RealtimeEvents
from storage.embedded.server import EmbeddedPostgres
from storage.events import BACKLOG, Listener, PostgresEvents
from storage.postgres import Postgres
from storage.redis import Redis, RedisEvents
from tests.counterparts.postgres import Bouncer
from tests.counterparts.redis import RedisServer
from tests.fakes.supabase import FakeSupabase
from tests.homes import copy_home

Make = Callable[[], Events]
SOON = 30.0  # seconds that a busy machine may take


@pytest.fixture
def make_postgres(postgres: EmbeddedPostgres, database: Postgres) -> Make:
    """Events on LISTEN and NOTIFY."""
    return lambda: PostgresEvents(database, postgres.dsn('worker'))


@pytest_asyncio.fixture(loop_scope='session')
async def make_redis(
    make_postgres: Make, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Make]:
    """Events on a Redis that was just connected, so that Postgres carries each message too."""
    # Where connecting takes longer than this, listening begins without Redis.
    monkeypatch.setattr('storage.redis.client.PATIENCE', SOON)
    monkeypatch.setattr('storage.redis.events.PATIENCE', SOON)
    connected: list[Redis] = []

    def make() -> RedisEvents:
        connected.append(Redis(redis_server.url))
        return RedisEvents(connected[-1], make_postgres())

    yield make
    for redis in connected:
        await redis.close()


@pytest.fixture
def make_settled_redis(make_redis: Make, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Events on a Redis that carries every message alone."""
    monkeypatch.setattr('storage.redis.client.SETTLED', 0)
    return make_redis


@pytest_asyncio.fixture(loop_scope='session')
async def make_pooled(bouncer: Bouncer) -> AsyncIterator[Make]:
    """What is published goes through a transaction pooler; what listens goes past it."""
    database = await Postgres.open(bouncer.pooled('app'), bouncer.pooled('worker'), pooled=True)
    yield lambda: PostgresEvents(database, bouncer.dsn('worker'))
    await database.close()


POOLED = pytest.param('pooled', marks=pytest.mark.xdist_group('server postgres'))


@pytest.fixture
def make_realtime(supabase: FakeSupabase) -> Make:
    """Events on Supabase Realtime."""
    keys = supabase.project
    return lambda: RealtimeEvents(supabase.url, secret=keys.secret, publishable=keys.publishable)


@pytest.fixture(params=['postgres', POOLED, 'redis', 'settled_redis', 'realtime'])
def make_one(request: pytest.FixtureRequest) -> Make:
    """Each adapter in turn."""
    return request.getfixturevalue(f'make_{request.param}')


@pytest_asyncio.fixture(loop_scope='session')
async def make(make_one: Make) -> AsyncIterator[Make]:
    """Make the events of a process; nothing is shared but the servers."""
    made: list[Events] = []

    def make() -> Events:
        made.append(make_one())
        return made[-1]

    yield make
    for events in made:
        await events.close()


@pytest.fixture
def events(make: Make) -> Events:
    """Events of this process."""
    return make()


@pytest.fixture
def elsewhere(make: Make) -> Events:
    """Events of another process."""
    return make()


async def test_a_message_reaches_everyone_who_listens(events: Events, elsewhere: Events) -> None:
    async with (
        events.subscribe('t/jobs') as one,
        events.subscribe('t/jobs') as two,
        elsewhere.subscribe('t/jobs') as far,
    ):
        await elsewhere.publish('t/jobs', {'job': 'ü', 'progress': 0.5, 'dataset': None})
        async with asyncio.timeout(SOON):
            for messages in (one, two, far):
                assert await anext(messages) == {'job': 'ü', 'progress': 0.5, 'dataset': None}


async def test_nobody_listening_is_no_error(events: Events) -> None:
    assert await events.publish('t/jobs', {'n': 1}) is None


async def test_a_channel_hears_only_its_own_messages_in_order(events: Events) -> None:
    async with events.subscribe('a/jobs') as messages:
        for n in range(20):
            await events.publish('b/jobs', {'other': n})
            await events.publish('a/jobs', {'n': n})
        async with asyncio.timeout(SOON):
            assert [await anext(messages) for _ in range(20)] == [{'n': n} for n in range(20)]


async def test_only_what_was_published_after_the_block_was_entered(events: Events) -> None:
    for n in range(20):
        await events.publish('t/jobs', {'before': n})
        async with events.subscribe('t/jobs') as messages:
            await events.publish('t/jobs', {'after': n})
            async with asyncio.timeout(SOON):
                assert await anext(messages) == {'after': n}


async def test_nothing_is_kept_when_the_block_has_ended(events: Events) -> None:
    async with events.subscribe('t/jobs'):
        assert len(events.subscribers) == 1
    assert len(events.subscribers) == 0
    assert events._marks == {}


async def test_a_subscriber_that_does_not_read_keeps_the_newest(events: Events) -> None:
    async with events.subscribe('t/jobs') as messages, events.subscribe('t/jobs') as reader:
        for n in range(BACKLOG + 10):
            await events.publish('t/jobs', {'n': n})
            await anext(reader)
        assert await anext(messages) == {'n': 10}


async def test_a_message_that_is_too_large_is_refused(events: Events) -> None:
    async with events.subscribe('t/jobs') as messages:
        await events.publish('t/jobs', {'text': 'ü' * 1300})
        assert len((await anext(messages))['text']) == 1300
        with pytest.raises(TooLarge):
            await events.publish('t/jobs', {'text': 'ü' * 1400})


UNREADABLE = ['x', '[' * 3000, 'null', '[]', '{}', '{"mark": []}', '{"id": [], "channel": "t/a", "message": {}}']


async def test_a_note_that_cannot_be_read_ends_no_listening(make_postgres: Make, postgres: EmbeddedPostgres) -> None:
    events = make_postgres()
    async with asyncio.timeout(SOON), events.subscribe('t/a') as messages:
        with psycopg.connect(postgres.dsn('superuser'), autocommit=True) as connection:
            for note in UNREADABLE:
                connection.execute("select pg_notify('variosync_events', %s)", (note,))
        await events.publish('t/a', {'n': 1})
        assert await anext(messages) == {'n': 1}
    await events.close()


async def test_a_note_on_redis_that_cannot_be_read_ends_no_listening(
    make_settled_redis: Make, redis_server: RedisServer
) -> None:
    events = make_settled_redis()
    async with asyncio.timeout(SOON), events.subscribe('t/a') as messages:
        for note in [*UNREADABLE, b'\xff']:
            assert redis_server.run('PUBLISH', 'variosync:events:all', note) == 1
        await events.publish('t/a', {'n': 1})
        assert await anext(messages) == {'n': 1}
        assert events._connection is not None, 'it came this way'
    await events.close()


async def test_who_stops_as_listening_begins_has_stopped(events: Events) -> None:
    """The cancellation comes in the same breath as the answer that listening has begun."""

    async def listen() -> None:
        async with events.subscribe('t/jobs') as messages:
            async for _ in messages:
                pass

    task = asyncio.create_task(listen())
    async with asyncio.timeout(SOON):
        while not events._marks:
            await asyncio.sleep(0)
        (passed,) = events._marks.values()
        await passed.wait()
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=SOON)
    assert task in done
    assert task.cancelled()


async def test_after_a_good_connection_the_next_one_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('storage.events.STEADY', 0)
    times, many = 0, asyncio.Event()

    async def listen() -> None:
        nonlocal times
        times += 1
        if times == 20:
            many.set()

    listener = Listener(listen, name='listener', pauses=(0.001, 60))
    listener.start()
    async with asyncio.timeout(SOON):
        await many.wait()
    await listener.close()


async def test_listening_comes_back_when_postgres_was_killed(new_postgres, migrated_home: Path) -> None:
    server = new_postgres()
    copy_home(migrated_home, server.home)
    await asyncio.to_thread(server.start)
    database = await Postgres.open(server.dsn('app'), server.dsn('worker'))
    events = PostgresEvents(database, server.dsn('worker'))
    try:
        async with events.subscribe('t/jobs') as messages:
            os.kill(server.pid, signal.SIGKILL)
            async with asyncio.timeout(60):
                message = asyncio.ensure_future(anext(messages))
                while not message.done():
                    await _publish(events)
                    await asyncio.wait([message], timeout=0.05)
            assert await message == {'back': True}
    finally:
        await events.close()
        await database.close()


async def _publish(events: PostgresEvents) -> None:
    try:
        await events.publish('t/jobs', {'back': True})
    except Unavailable:
        await asyncio.sleep(0)
