"""A Postgres at an address, directly and behind a transaction pooler, through its first start and its failures."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

import psutil
import psycopg
import pytest
import pytest_asyncio
from pydantic import SecretStr

from core.errors import Misconfigured, NotFound, Unavailable
from core.settings import Settings
from storage.adapters import Opened, migrate
from storage.postgres import LEFT, Postgres
from storage.server import ServerPostgres
from tests import factories
from tests.counterparts.postgres import PASSWORD, Bouncer, ServerCounterpart, server_postgres

pytestmark = pytest.mark.xdist_group('server postgres')

GOOD = 'postgresql://postgres.abcd:s3cret-word@aws-0-eu.pooler.supabase.com:5432/postgres'
POOLED = 'postgresql://postgres.abcd:s3cret-word@aws-0-eu.pooler.supabase.com:6543/postgres'


def parts(dsn: str) -> dict[str, str]:
    """What an address says."""
    return psycopg.conninfo.conninfo_to_dict(dsn)


@pytest.mark.parametrize(
    ('url', 'message'),
    [
        ('mysql://a:s3cret-word@host/x', 'must begin with postgresql://'),
        ('host=x password=s3cret-word', 'must begin with postgresql://'),
        ('postgresql+psycopg://a:s3cret-word@host/x', 'must begin with postgresql://'),
        ('postgresql://a:s3cret-word@/x', 'names no host'),
        ('postgresql://a@host/x', 'names no password'),
        ('postgresql://a:s3cret-word@host', 'names no database'),
        ('postgresql://host/x', 'names no user and no password'),
        ('postgresql://a:s3cret-word@word@host/x', '%40'),
        ('postgresql://a:s3cret-word/b@host/x', '%2F'),
        ('postgresql://a:s3cret-word%zz@host/x', '%25'),
        ('postgresql://a:s3cret-word@host/x?pgbouncer=true', 'parameters of libpq'),
        ('postgresql://postgres.abcd:[YOUR-PASSWORD]@host/x', 'still says'),
        (POOLED, 'session pooler'),
    ],
)
def test_an_address_that_cannot_work_is_refused_in_one_line_without_its_password(url: str, message: str) -> None:
    with pytest.raises(Misconfigured, match=message) as caught:
        ServerPostgres(url)
    assert 's3cret-word' not in str(caught.value)
    assert '\n' not in str(caught.value)
    assert 'DATABASE_URL' in str(caught.value)


def test_a_pool_address_that_cannot_work_is_refused_by_its_name() -> None:
    with pytest.raises(Misconfigured, match='DATABASE_POOL_URL'):
        ServerPostgres(GOOD, 'https://host')


def test_logins_carry_the_project_where_a_pooler_tells_projects_apart() -> None:
    server = ServerPostgres(GOOD, POOLED)
    assert parts(server.dsn('migrate'))['user'] == 'postgres.abcd'
    assert parts(server.dsn('worker'))['user'] == 'variosync_worker.abcd'
    assert parts(server.pooled('app'))['user'] == 'variosync_app.abcd'
    assert [parts(server.pooled('app'))['port'], parts(server.dsn('app'))['port']] == ['6543', '5432']
    direct = ServerPostgres('postgres://john.doe:s3cret-word@db.example.com/x')
    assert parts(direct.dsn('app'))['user'] == 'variosync_app'


def test_what_the_address_asks_for_is_kept() -> None:
    server = ServerPostgres('postgresql://a:b@host/x?sslmode=verify-full&connect_timeout=3')
    found = parts(server.dsn('app'))
    assert (found['sslmode'], found['connect_timeout'], found['keepalives_idle']) == ('verify-full', '3', '15')


def test_passwords_of_the_logins_follow_from_the_owners_and_tell_nothing_of_it() -> None:
    server = ServerPostgres(GOOD, POOLED)
    passwords = {parts(server.dsn(role))['password'] for role in ('app', 'worker', 'migrate')}
    assert len(passwords) == 3
    assert parts(server.pooled('app'))['password'] == parts(ServerPostgres(GOOD).dsn('app'))['password']
    assert server.logins() == ServerPostgres(GOOD).logins()
    for login, stored in server.logins().items():
        assert stored.startswith('SCRAM-SHA-256$')
        assert login in ('variosync_app', 'variosync_worker')
    assert 's3cret' not in f'{server.name}{server.logins()}'
    assert server.name.endswith(':5432, pooled at aws-0-eu.pooler.supabase.com:6543')


@pytest.fixture(scope='module')
def server() -> Iterator[ServerCounterpart]:
    """A plain Postgres 18 that nothing was migrated in at first."""
    with server_postgres(major=18) as server:
        yield server


@pytest.fixture(scope='module')
def pooler(server: ServerCounterpart) -> Iterator[Bouncer]:
    """A transaction pooler before it."""
    with Bouncer(server) as bouncer:
        yield bouncer


@pytest.fixture
def settings(server: ServerCounterpart, pooler: Bouncer, tmp_path: Path) -> Settings:
    """Settings of a process in production on that server."""
    return Settings(
        VARIOSYNC_HOME=tmp_path / 'home',
        DATABASE_URL=server.url,
        DATABASE_POOL_URL=pooler.url,
        VARIOSYNC_ENV='production',
        VARIOSYNC_PUBLIC_URL='https://app.example.com',
        VARIOSYNC_OWNER_EMAIL='owner@example.com',
    )


def ask(server: ServerCounterpart, query: str) -> list[tuple[object, ...]]:
    """Run a query as superuser."""
    with psycopg.connect(server.dsn('superuser'), autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


async def test_a_server_is_migrated_first_and_by_its_own_command(settings: Settings, server: ServerCounterpart) -> None:
    with pytest.raises(Misconfigured, match='run `variosync migrate`'):
        await Opened(settings).__aenter__()
    with pytest.raises(Misconfigured, match='variosync_app cannot sign in: run `variosync migrate`'):
        ServerPostgres(server.url).check_logins()
    assert (await migrate(settings))[-1] == 'procrastinate/schema.sql'
    stored = ask(server, "select rolpassword from pg_authid where rolname like 'variosync%' order by rolname")
    assert await migrate(settings) == []
    assert stored == ask(server, "select rolpassword from pg_authid where rolname like 'variosync%' order by rolname")
    async with Opened(settings) as opened:
        user = await factories.user(opened.database)
        async with opened.database.transaction(user.id) as tx:
            assert await tx.one('notices_unread') == {'count': 0}
        await opened.database.examine()


@pytest.fixture
async def migrated(settings: Settings) -> Settings:
    """The same with every migration, remembering nothing."""
    await migrate(settings)
    with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as owner:
        owner.execute('delete from installation.places')
    return settings


def elsewhere(settings: Settings, home: Path, **changes: object) -> Settings:
    """Settings of another process, with another home."""
    return settings.model_copy(update={'home': home, **changes})


async def test_a_look_changes_nothing(server: ServerCounterpart, tmp_path: Path) -> None:
    ask(server, 'create database looked_at owner variosync_migrate')
    url = server.url.removesuffix('/variosync') + '/looked_at'
    opened = Opened(Settings(VARIOSYNC_HOME=tmp_path, DATABASE_URL=url))
    opened.build()
    try:
        with pytest.raises(Misconfigured, match='run `variosync migrate`'):
            await opened.look()
    finally:
        await opened.close()
    with psycopg.connect(url) as connection:
        found = connection.execute("select to_regclass('public.profiles'), to_regclass('installation.places')")
        assert found.fetchall() == [(None, None)]


async def test_instances_of_one_home_start_at_once_and_one_of_another_home_is_refused(
    migrated: Settings, server: ServerCounterpart, tmp_path: Path
) -> None:
    async def start(settings: Settings) -> None:
        async with Opened(settings) as opened:
            await opened.database.ping()

    development = elsewhere(migrated, migrated.home, environment='development')
    await asyncio.gather(*(start(settings) for settings in (migrated, development, development)))
    stranger = elsewhere(migrated, tmp_path / 'other')
    with pytest.raises(
        Misconfigured, match=r'objects of this database lie at home:\w+ since .* not at home:\w+: set AWS'
    ):
        await start(stranger)
    ask(server, 'delete from installation.places')
    await start(stranger)
    with pytest.raises(Misconfigured, match='lie at home:'):
        await start(migrated)
    with pytest.raises(Misconfigured, match=r'not at s3:https://s3\.example\.com/b: '):
        keys = {'bucket_key': SecretStr('id'), 'bucket_secret': SecretStr('secret')}
        await start(elsewhere(stranger, stranger.home, bucket='b', bucket_endpoint='https://S3.example.com/', **keys))


def test_a_server_that_refuses_its_owner_is_told_from_one_that_is_away(server: ServerCounterpart) -> None:
    with pytest.raises(Misconfigured, match='DATABASE_URL is not accepted'):
        ServerPostgres(server.url.replace('variosync_migrate', 'x')).start()
    with pytest.raises(Misconfigured, match='database "nowhere" does not exist'):
        ServerPostgres(server.url.removesuffix('/variosync') + '/nowhere').start()
    with pytest.raises(Unavailable, match=r'Postgres at 127\.0\.0\.1:1 does not answer'):
        ServerPostgres('postgresql://a:b@127.0.0.1:1/x').start(patience=0)


@pytest.mark.usefixtures('migrated')
def test_sessions_of_the_logins_are_in_utc_whatever_the_zone_of_the_database(
    server: ServerCounterpart, pooler: Bouncer
) -> None:
    assert ask(server, 'show timezone') == [('Asia/Kathmandu',)]
    for dsn in (pooler.pooled('app'), pooler.pooled('worker'), server.dsn('worker')):
        with psycopg.connect(dsn, prepare_threshold=None) as connection:
            assert connection.execute('show timezone').fetchone() == ('UTC',)


@pytest.mark.usefixtures('migrated')
async def test_a_login_that_row_level_security_does_not_bind_is_told(
    server: ServerCounterpart, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(server) as database:
        await database.examine()
        monkeypatch.setattr('storage.postgres.CLOCKS_APART', -1)
        with pytest.raises(Misconfigured, match='clock'):
            await database.examine()
        ask(server, 'alter role variosync_app bypassrls')
        try:
            with pytest.raises(Misconfigured, match='variosync_app bypasses row-level security'):
                await database.examine()
        finally:
            ask(server, 'alter role variosync_app nobypassrls')


@asynccontextmanager
async def connected(place: ServerCounterpart | Bouncer, **options: object) -> AsyncIterator[Postgres]:
    """The database of a place."""
    database = await Postgres.open(place.pooled('app'), place.pooled('worker'), pooled=place.pooling, **options)
    try:
        yield database
    finally:
        await database.close()


@pytest_asyncio.fixture(loop_scope='session')
async def database(migrated: Settings, pooler: Bouncer) -> AsyncIterator[Postgres]:
    """The database through the pooler, for those who wait half a second."""
    await until_open(pooler)
    async with connected(pooler, size=2, patience=0.5) as database:
        yield database


async def until_open(pooler: Bouncer) -> None:
    """Return when the pooler lets in: on a busy machine that takes longer than half a second after it was killed."""
    async with connected(pooler, patience=20):
        pass


async def use(database: Postgres) -> None:
    """Read something as a user."""
    async with database.transaction(uuid4()) as tx:
        await tx.one('notices_unread')


async def until_back(database: Postgres) -> None:
    """Return when the database serves again; whatever it raises until then is our own."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await use(database)
            except Unavailable:
                await asyncio.sleep(0.05)


async def test_whoever_finds_no_free_connection_is_told_that_it_is_busy(
    database: Postgres, server: ServerCounterpart
) -> None:
    async with database.system(), database.system():
        with pytest.raises(Unavailable):
            async with database.system():
                pass
    with Bouncer(server, size=1) as narrow:
        async with connected(narrow, patience=0.5) as one, connected(narrow, patience=0.5) as two, one.system() as tx:
            await tx.all('places')
            with pytest.raises(Unavailable):
                async with two.system():
                    pass


async def test_a_killed_pooler_is_unavailable_and_comes_back(database: Postgres, pooler: Bouncer) -> None:
    with pytest.raises(Unavailable):
        async with database.system() as tx:
            pooler.kill()
            await tx.all('places')
    with pytest.raises(Unavailable):
        await use(database)
    with pytest.raises(Unavailable):
        await database.ping()
    await asyncio.to_thread(pooler.start)
    await until_back(database)


async def test_a_killed_server_is_unavailable_and_comes_back(database: Postgres, server: ServerCounterpart) -> None:
    with pytest.raises(Unavailable):
        async with database.system() as tx:
            await tx.all('places')  # else the pooler begins it once the server is back
            os.kill(server.pid, signal.SIGKILL)
            while True:
                await tx.all('places')
    await until_back(database)


async def test_a_server_that_hangs_behind_its_pooler_holds_nobody_up(
    database: Postgres, server: ServerCounterpart
) -> None:
    await use(database)
    with frozen(server):
        with answered_within(2.5), pytest.raises(Unavailable):
            await database.ping()
        with answered_within(2.5), pytest.raises(Unavailable):
            await use(database)
    await until_back(database)


@pytest.mark.parametrize('on_its_way', ['statement', 'commit', 'rollback'])
async def test_whoever_waits_for_a_server_that_hangs_is_told_in_time(
    database: Postgres, server: ServerCounterpart, monkeypatch: pytest.MonkeyPatch, on_its_way: str
) -> None:
    monkeypatch.setattr('storage.postgres.ANSWERED_WITHIN', 0.5)
    told = NotFound if on_its_way == 'rollback' else Unavailable
    with ExitStack() as ending, answered_within(2.5), pytest.raises(told):
        async with database.system() as tx:
            await tx.all('places')
            ending.enter_context(frozen(server))
            if on_its_way == 'statement':
                await tx.all('places')
            if on_its_way == 'rollback':
                raise NotFound
    async with asyncio.timeout(20):
        while LEFT:  # and nothing of it goes on for ever
            await asyncio.sleep(0.05)
    await until_back(database)


@contextmanager
def frozen(server: ServerCounterpart) -> Iterator[None]:
    """Nothing of the server moves while the block lasts."""
    processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children()]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in reversed(processes):
            process.resume()


@contextmanager
def answered_within(seconds: float) -> Iterator[None]:
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < seconds


def test_the_counterpart_asks_for_the_password_that_its_url_holds(server: ServerCounterpart) -> None:
    assert parts(server.url)['password'] == PASSWORD
    with pytest.raises(psycopg.OperationalError, match='password'):
        psycopg.connect(server.url, password='wrong')
