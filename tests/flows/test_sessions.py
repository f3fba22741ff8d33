"""Sessions that Redis keeps for two processes: a look-up is cheap, and what has ended opens nothing anywhere."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from core import accounts as module
from core.accounts import Accounts
from core.values import Session
from storage.embedded.server import EmbeddedPostgres
from storage.redis import Redis, RedisCache
from tests.counterparts.redis import RedisServer
from tests.flows.conftest import Product

EMAIL = 'ada@example.com'
PASSWORD = 'analytical engine'
LENT = 0.5


class Processes:
    """Two processes over one Postgres and one Redis, and a user who is signed in and known to both."""

    def __init__(self, product: Product, server: RedisServer) -> None:
        self.server = server
        self._redis = [Redis(server.url), Redis(server.url)]
        self.here, self.there = (product.accounts_with(RedisCache(redis)) for redis in self._redis)
        self.token = ''
        self.session: Session

    async def begin(self) -> 'Processes':
        self.token, self.session = await self.here.sign_up(EMAIL, PASSWORD, address='')
        for accounts in (self.here, self.there):
            assert await accounts.session(self.token) == self.session
        return self

    async def close(self) -> None:
        for redis in self._redis:
            await redis.close()


@pytest_asyncio.fixture(loop_scope='session')
async def processes(product: Product, redis_server: RedisServer) -> AsyncIterator[Processes]:
    redis_server.run('FLUSHALL')
    processes = await Processes(product, redis_server).begin()
    yield processes
    await processes.close()


@pytest_asyncio.fixture(loop_scope='session')
async def fragile(product: Product, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Processes]:
    """Two processes with a Redis of their own; what is short in production is shorter."""
    monkeypatch.setattr('storage.redis.client.PATIENCE', LENT / 2)
    monkeypatch.setattr(module, 'LENT', LENT)
    with RedisServer() as server:
        processes = await Processes(product, server).begin()
        yield processes
        await processes.close()


@pytest.fixture
def asked(product: Product, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often Postgres was asked, since the fixture was made."""
    asked: list[str] = []
    begin = product.database.system

    def noted() -> Any:
        asked.append('system')
        return begin()

    monkeypatch.setattr(product.database, 'system', noted)
    return asked


async def end_by_sign_out(accounts: Accounts, token: str, session: Session) -> None:
    await accounts.sign_out(token)


async def end_by_revoking(accounts: Accounts, token: str, session: Session) -> None:
    await accounts.revoke_session(session.user.id, session.id)


async def end_by_rotation(accounts: Accounts, token: str, session: Session) -> None:
    fresh, _ = await accounts.refresh(token)
    assert await accounts.session(fresh) is not None


async def end_by_deletion(accounts: Accounts, token: str, session: Session) -> None:
    await accounts.delete(session.user.id, confirmation=EMAIL)


End = Callable[[Accounts, str, Session], Awaitable[None]]
ENDS = [end_by_sign_out, end_by_revoking, end_by_rotation, end_by_deletion]


async def test_who_is_known_is_not_looked_up_again(processes: Processes, asked: list[str]) -> None:
    for accounts in (processes.here, processes.there):
        assert await accounts.session(processes.token) == processes.session
        assert await accounts.principal(processes.token) == processes.session
    assert asked == []


async def test_a_session_is_noted_as_seen_when_it_is_looked_up(
    processes: Processes, postgres: EmbeddedPostgres
) -> None:
    with psycopg.connect(postgres.dsn('superuser'), autocommit=True) as connection:
        connection.execute("update public.sessions set seen_at = now() - interval '2 minutes'")
        processes.server.run('FLUSHALL')
        assert await processes.there.session(processes.token) == processes.session
        seen = connection.execute("select seen_at > now() - interval '1 minute' from public.sessions").fetchone()
    assert seen == (True,)


@pytest.mark.parametrize('end', ENDS)
async def test_a_session_that_ended_opens_nothing_anywhere(processes: Processes, end: End) -> None:
    await end(processes.here, processes.token, processes.session)
    for accounts in (processes.there, processes.here):
        assert await accounts.session(processes.token) is None
        assert await accounts.principal(processes.token) is None


async def test_a_look_up_that_began_before_the_end_brings_nothing_back(
    processes: Processes, product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes.server.run('FLUSHALL')
    find = processes.there._stored_session

    async def slow(token_hash: bytes) -> Session | None:
        found = await find(token_hash)
        await processes.here.sign_out(processes.token)
        return found

    monkeypatch.setattr(processes.there, '_stored_session', slow)
    await processes.there.session(processes.token)
    assert await processes.here.session(processes.token) is None


async def test_what_the_user_changes_is_seen_everywhere(processes: Processes) -> None:
    user_id = processes.session.user.id
    await processes.here.rename(user_id, 'Ada')
    known = await processes.there.session(processes.token)
    assert known is not None
    assert known.user.name == 'Ada'
    await processes.here.set_preferences(user_id, theme='dark', time_zone='Europe/Paris')
    known = await processes.there.session(processes.token)
    assert known is not None
    assert (known.user.preferences.theme, known.user.preferences.time_zone) == ('dark', 'Europe/Paris')


async def test_a_key_is_looked_up_each_time(processes: Processes) -> None:
    key, made = await processes.here.create_key(processes.session.user.id, name='a', scopes=['jobs:read'])
    found = await processes.there.principal(key)
    assert found is not None
    assert found.scopes == {'jobs:read'}
    await processes.here.revoke_key(processes.session.user.id, made.id)
    assert await processes.there.principal(key) is None


async def test_redis_holds_no_token_and_nothing_for_long(processes: Processes) -> None:
    (key,) = (key for key in processes.server.run('KEYS', 'variosync:loans:*'))
    assert key == f'variosync:loans:session/{module._hash(processes.token).hex()}'.encode()
    kept = processes.server.run('GET', key)
    assert json.loads(kept)['user']['email'] == EMAIL
    assert processes.token.encode() not in kept
    assert 0 < processes.server.run('PTTL', key) <= 5000


@pytest.mark.parametrize('change', [{'user': None}, {'expires_at': '2001-01-01T00:00:00Z'}])
async def test_what_is_kept_is_believed_only_as_a_live_session(processes: Processes, change: dict[str, Any]) -> None:
    (key,) = processes.server.run('KEYS', 'variosync:loans:*')
    processes.server.run('SET', key, json.dumps(json.loads(processes.server.run('GET', key)) | change), 'PX', 5000)
    found = await processes.there.session(processes.token)
    assert found == (processes.session if 'user' in change else None)


@pytest.mark.parametrize('fault', ['kill', 'hold'])
async def test_nobody_is_signed_out_when_redis_goes_away(fragile: Processes, fault: str) -> None:
    getattr(fragile.server, fault)()
    for accounts in (fragile.here, fragile.there):
        assert await accounts.session(fragile.token) == fragile.session


@pytest.mark.parametrize('fault', ['kill', 'hold'])
@pytest.mark.parametrize('end', ENDS[:3])
async def test_a_session_that_ended_without_redis_does_not_come_back(fragile: Processes, end: End, fault: str) -> None:
    getattr(fragile.server, fault)()
    await end(fragile.here, fragile.token, fragile.session)
    (fragile.server.start if fault == 'kill' else fragile.server.resume)()
    assert await fragile.there.session(fragile.token) is None
    assert await fragile.here.session(fragile.token) is None


@pytest.mark.parametrize('fault', ['kill', 'hold'])
async def test_nobody_waits_for_a_name_or_a_theme_to_be_seen_everywhere(
    fragile: Processes, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'LENT', 30)
    user_id = fragile.session.user.id
    getattr(fragile.server, fault)()
    async with asyncio.timeout(5):
        await fragile.here.rename(user_id, 'Ada')
        await fragile.here.set_preferences(user_id, theme='dark')
    known = await fragile.there.session(fragile.token)
    assert known is not None
    assert (known.user.name, known.user.preferences.theme) == ('Ada', 'dark'), 'without Redis nothing is lent'


async def test_a_session_that_is_ended_while_many_look_it_up_is_gone_for_all(processes: Processes) -> None:
    async def look(accounts: Accounts) -> list[bool]:
        return [await accounts.session(processes.token) is not None for _ in range(50)]

    looks = [asyncio.create_task(look(accounts)) for accounts in (processes.here, processes.there) for _ in range(4)]
    await asyncio.sleep(0)
    await processes.here.sign_out(processes.token)
    assert await processes.there.session(processes.token) is None
    for known in await asyncio.gather(*looks):
        assert known == sorted(known, reverse=True), 'once gone, it stays gone'
