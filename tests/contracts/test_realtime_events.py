"""What events on Supabase Realtime promise beside `core.ports.Events`."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect

from core.errors import Misconfigured, TooLarge, Unavailable
from storage.cloud import realtime as module
from storage.cloud.realtime import RealtimeEvents
from tests.fakes.supabase import FakeSupabase
from tests.fakes.supabase.project import legacy_key

SOON = 30.0  # seconds that a busy machine may take
SILENT = 'does not answer'
Make = Callable[..., RealtimeEvents]


@pytest_asyncio.fixture(loop_scope='session')
async def make(supabase: FakeSupabase) -> AsyncIterator[Make]:
    """Make the events of a process, closed at the end."""
    made: list[RealtimeEvents] = []

    def make(**changed: Any) -> RealtimeEvents:
        keys = {'secret': supabase.project.secret, 'publishable': supabase.project.publishable}
        made.append(RealtimeEvents(**{'url': supabase.url, **keys} | changed))
        return made[-1]

    yield make
    for events in made:
        await events.close()


@asynccontextmanager
async def joined(supabase: FakeSupabase, topic: str, *, private: bool) -> AsyncIterator[tuple[ClientConnection, Any]]:
    """A browser that has asked to join a channel with the publishable key, and the answer."""
    key = supabase.project.publishable
    address = f'{supabase.url.replace("http", "ws", 1)}/realtime/v1/websocket?{urlencode({"apikey": key})}'
    asked = {'topic': topic, 'event': 'phx_join', 'payload': {'config': {'private': private}}, 'ref': '1'}
    async with connect(address) as browser:
        await browser.send(json.dumps(asked))
        yield browser, json.loads(await browser.recv())['payload']


async def test_a_browsers_key_hears_nothing(make: Make, supabase: FakeSupabase, http: httpx.AsyncClient) -> None:
    events = make()
    topic = events._topic
    async with joined(supabase, topic, private=True) as (_, answer):
        assert answer['status'] == 'error'
        assert answer['response']['reason'].startswith('Unauthorized')
    async with joined(supabase, topic, private=False) as (browser, answer):
        assert answer['status'] == 'ok', 'a public channel of the same name is another one'
        await events.publish('t/jobs', {'n': 1})
        fence = {'topic': topic.removeprefix('realtime:'), 'event': 'note', 'payload': {'fence': True}}
        keys = {'apikey': supabase.project.publishable}
        sent = await http.post(f'{supabase.url}/realtime/v1/api/broadcast', json={'messages': [fence]}, headers=keys)
        assert sent.status_code == 202
        async with asyncio.timeout(SOON):
            assert json.loads(await browser.recv())['payload']['payload'] == {'fence': True}


async def test_a_browsers_key_tells_nothing(make: Make, supabase: FakeSupabase, http: httpx.AsyncClient) -> None:
    events = make()
    topic = events._topic.removeprefix('realtime:')
    note = {'id': 'forged', 'channel': 't/jobs', 'message': {'forged': True}}
    forged = [{'topic': topic, 'event': 'note', 'payload': note, 'private': private} for private in (True, False)]
    async with events.subscribe('t/jobs') as messages:
        keys = {'apikey': supabase.project.publishable}
        await http.post(f'{supabase.url}/realtime/v1/api/broadcast', json={'messages': forged}, headers=keys)
        await events.publish('t/jobs', {'true': True})
        async with asyncio.timeout(SOON):
            assert await anext(messages) == {'true': True}


async def test_another_secret_names_another_channel(make: Make) -> None:
    assert make()._topic != make(secret='another')._topic
    assert 'sb_secret' not in make()._topic


async def test_listening_comes_back_after_a_restart(make: Make, supabase: FakeSupabase) -> None:
    events = make()
    async with events.subscribe('t/jobs') as messages:
        await asyncio.wrap_future(supabase.realtime.drop())
        async with asyncio.timeout(SOON):
            await heard_again(events, messages)


async def heard_again(events: RealtimeEvents, messages: AsyncIterator[Any]) -> None:
    """Publish until a message has come through."""
    message = asyncio.ensure_future(anext(messages))
    while not message.done():
        try:
            await events.publish('t/jobs', {'back': True})
        except Unavailable:
            await asyncio.sleep(0)
        await asyncio.wait([message], timeout=0.02)
    assert await message == {'back': True}


async def test_a_connection_that_has_fallen_silent_is_replaced(
    make: Make, supabase: FakeSupabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'HEARTBEAT', 0.05)
    events = make(patience=SOON)
    async with events.subscribe('t/jobs') as messages:
        supabase.realtime.silent = True
        assert events._channel is not None
        events._channel._patience = 0.2
        with pytest.raises(Unavailable, match=SILENT):
            await events.publish('t/jobs', {'n': 1})
        supabase.realtime.silent = False
        async with asyncio.timeout(SOON):
            while True:
                try:
                    await events.publish('t/jobs', {'n': 2})
                    break
                except Unavailable:
                    await asyncio.sleep(0)
            while await anext(messages) != {'n': 2}:
                pass


async def test_a_heart_that_beats_keeps_the_connection(
    make: Make, supabase: FakeSupabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'HEARTBEAT', 0.01)
    events = make()
    async with events.subscribe('t/jobs'):
        before = set(supabase.realtime.sockets)
        beats = supabase.realtime.beats
        async with asyncio.timeout(SOON):
            while supabase.realtime.beats < beats + 3:
                await asyncio.sleep(0.01)
        assert before == supabase.realtime.sockets


async def test_a_channel_that_is_closed_is_joined_again(make: Make, supabase: FakeSupabase) -> None:
    """As when the token that the gateway made of our key expires."""
    events = make()
    async with events.subscribe('t/jobs') as messages:
        await asyncio.wrap_future(supabase.realtime.close_channels())
        async with asyncio.timeout(SOON):
            await heard_again(events, messages)


async def test_a_service_that_is_not_there_is_unavailable(make: Make) -> None:
    with socket.socket() as nobody:
        nobody.bind(('127.0.0.1', 0))
        events = make(url=f'http://127.0.0.1:{nobody.getsockname()[1]}', patience=0.2)
        with pytest.raises(Unavailable):
            await events.publish('t/jobs', {})
        with pytest.raises(Unavailable):
            async with events.subscribe('t/jobs'):
                pass
        with pytest.raises(Unavailable):
            await events.check()


async def test_a_service_that_takes_connections_and_says_nothing_is_unavailable(make: Make) -> None:
    with socket.create_server(('127.0.0.1', 0)) as silent:
        events = make(url=f'http://127.0.0.1:{silent.getsockname()[1]}', patience=0.2)
        with pytest.raises(Unavailable):
            await events.publish('t/jobs', {})


@pytest.mark.parametrize(
    'answer',
    [b'HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n', b'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi', b'\x00' * 100],
)
async def test_a_service_that_is_something_else_is_unavailable(make: Make, answer: bytes) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(other, '127.0.0.1', 0) as server:
        events = make(url=f'http://127.0.0.1:{server.sockets[0].getsockname()[1]}', patience=0.3)
        with pytest.raises(Unavailable):
            await events.publish('t/jobs', {})


async def refused(events: RealtimeEvents) -> Unavailable:
    """What is raised once the service has said why, for which a busy machine may take longer than the patience."""
    async with asyncio.timeout(SOON):
        while True:
            with pytest.raises(Unavailable) as caught:
                await events.publish('t/jobs', {})
            if SILENT not in caught.value.message:
                return caught.value


async def test_wrong_keys_are_named(make: Make, supabase: FakeSupabase) -> None:
    for secret in ('sb_secret_wrong', supabase.project.publishable):
        error = await refused(make(secret=secret, patience=0.3))
        assert isinstance(error, Misconfigured)
        assert 'refuses' in error.message


async def test_legacy_keys_open_the_channel(make: Make) -> None:
    events = make(secret=legacy_key('service_role'), publishable=legacy_key('anon'))
    assert 'private channel' in await events.check()


async def test_the_check_finds_a_project_that_lets_everybody_listen(make: Make, supabase: FakeSupabase) -> None:
    assert 'private channel' in await make().check()
    supabase.realtime.open_to_all = True
    with pytest.raises(Misconfigured, match=r'realtime\.messages'):
        await make().check()


async def test_what_the_project_finds_too_large_is_refused(make: Make, supabase: FakeSupabase) -> None:
    supabase.realtime.largest = 1000
    events = make()
    with pytest.raises(TooLarge, match='payload_size_exceeded'):
        await events.publish('t/jobs', {'text': 'x' * 2000})
    await events.publish('t/jobs', {'text': 'x'})


@pytest.mark.parametrize(
    ('reason', 'error'),
    [
        ('ClientJoinRateLimitReached: Too many joins per second', Unavailable),
        ('ConnectionRateLimitReached: Too many connected users', Unavailable),
        ('DatabaseLackOfConnections: Database can not accept more connections', Unavailable),
        ('RealtimeRestarting: Realtime is restarting, please standby', Unavailable),
        ('Unknown Error on Channel', Unavailable),
        ('InvalidJWTToken: Token expiration time is invalid', Misconfigured),
        ('RealtimeDisabledForTenant: Realtime disabled for this tenant', Misconfigured),
    ],
)
async def test_a_refusal_that_passes_is_no_fault_of_the_settings(
    make: Make, supabase: FakeSupabase, reason: str, error: type[Exception]
) -> None:
    supabase.realtime.refusal = reason
    told = await refused(make(patience=0.2))
    assert reason in told.message
    assert type(told) is error
    supabase.realtime.refusal = ''
    await make().publish('t/jobs', {})


async def test_a_service_that_closes_what_it_has_opened_is_not_pressed(make: Make, supabase: FakeSupabase) -> None:
    supabase.realtime.fickle = True
    before, started = supabase.realtime.joins, time.monotonic()
    events = make()
    with suppress(Unavailable):
        await events.publish('t/jobs', {})
    async with asyncio.timeout(SOON):
        while supabase.realtime.joins < before + 4:
            await asyncio.sleep(0.01)
    assert time.monotonic() - started > 0.1 + 0.2 + 0.4, 'seconds, each pause twice the one before'
