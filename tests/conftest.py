"""One embedded Postgres for a whole test run; each test that asks for `database` finds it empty."""

import asyncio
import contextlib
import gc
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
import pytest_asyncio
import structlog
from httpx._transports import default

from core.values import User
from storage.embedded.compute import ONE_THREAD, READY
from storage.embedded.nursery import Nursery
from storage.embedded.server import EmbeddedPostgres
from storage.migrate import migrate
from storage.postgres import Postgres
from tests import factories
from tests.counterparts.postgres import Bouncer, ServerCounterpart, server_postgres
from tests.counterparts.redis import RedisServer
from tests.homes import copy_home
from ui.vendor import pack

MEMORY = Path('/dev/shm')
ROOM = 8 * 2**30  # bytes; a run takes about one
EMPTY = """
set search_path to procrastinate;
delete from public.profiles;
delete from public.calls;
-- Nothing else removes what the audit log holds.
set session_replication_role = replica;
delete from public.audit_logs;
set session_replication_role = origin;
delete from auth.users;
delete from sign_in.flows;
delete from procrastinate_jobs;
delete from procrastinate_workers;
"""
ABANDONED = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and state like 'idle in transaction%'
"""


def pytest_configure(config: pytest.Config) -> None:
    """Compute with one thread, as children do: of a second one matrices of tests make mere waiting at full speed.

    And keep what tests write in memory where there is room: a disk makes each commit of a database wait. And load the
    certificates of authorities once, which takes as long as a small test: each client of HTTP would load them anew.
    """
    os.environ.update({f'{library}_NUM_THREADS': '1' for library in ONE_THREAD})
    default.create_ssl_context = cache(httpx.create_ssl_context)
    if not hasattr(config, 'workerinput') and 'TMPDIR' not in os.environ and _has_room(MEMORY):
        os.environ['TMPDIR'] = str(MEMORY)
        tempfile.tempdir = None


def _has_room(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(folder).free
        programs_may_lie_there = not os.statvfs(folder).f_flag & os.ST_NOEXEC
        return programs_may_lie_there and min(free, psutil.virtual_memory().available, *_limits()) > ROOM
    return False


def _limits() -> Iterator[int]:
    """What a container grants us of memory, in bytes, where it sets a limit."""
    for file in ('memory.max', 'memory/memory.limit_in_bytes'):
        with contextlib.suppress(OSError, ValueError):
            yield int(Path('/sys/fs/cgroup', file).read_text())


def pytest_sessionstart(session: pytest.Session) -> None:
    """Pack the browser's modules as they are now, once for all workers."""
    if not hasattr(session.config, 'workerinput'):
        pack()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of a group on one worker: pytest-xdist 3.8 names groups where pytest 9.2 does not look."""
    if not config.getoption('loadgroup', False):
        return
    for item in items:
        groups = sorted({str(mark.args[0]) for mark in item.iter_markers('xdist_group')})
        if groups and '@' not in item.nodeid.rpartition(']')[2]:
            item._id = type(item.id).parse(f'{item.nodeid}@{"_".join(groups)}')  # type: ignore[attr-defined]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is imported and collected stays for good: garbage is looked for neither among it nor while it comes.

    That spares every later `gc.collect`, which a page's test makes twice, most of its work.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.fixture(scope='session')
def migrated_home() -> Iterator[Path]:
    """A home whose database is made, migrated, empty and shut down: a server that begins with a copy spares both."""
    home = Path(tempfile.mkdtemp(prefix='vs-'))
    server = EmbeddedPostgres(home)
    try:
        server.start()
        asyncio.run(migrate(server.dsn('migrate'), shim=True))
        server.stop()
        yield home
    finally:
        server.stop()
        shutil.rmtree(home)


@pytest.fixture(scope='session')
def embedded_postgres(migrated_home: Path) -> Iterator[EmbeddedPostgres]:
    """A migrated Postgres that lives as long as the test run."""
    home = Path(tempfile.mkdtemp(prefix='vs-'))
    copy_home(migrated_home, home)
    server = EmbeddedPostgres(home)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)


@pytest.fixture(scope='session')
def supabase_postgres() -> Iterator[ServerCounterpart]:
    """Postgres 16 as Supabase shapes it, migrated, at a TCP port; it lives as long as the test run."""
    with server_postgres(major=16, shape='supabase') as server:
        server.migrate()
        yield server


@pytest.fixture(scope='session')
def bouncer(supabase_postgres: ServerCounterpart) -> Iterator[Bouncer]:
    """A transaction pooler before that."""
    with Bouncer(supabase_postgres) as bouncer:
        yield bouncer


@pytest.fixture(scope='session')
def postgres(request: pytest.FixtureRequest) -> EmbeddedPostgres | Bouncer:
    """The embedded Postgres, or for a module that says so (`run_on`) another."""
    fixtures = {'embedded': 'embedded_postgres', 'server': 'supabase_postgres', 'pooled': 'bouncer'}
    return request.getfixturevalue(fixtures[getattr(request, 'param', 'embedded')])


@pytest.fixture
def new_postgres() -> Iterator[Callable[..., EmbeddedPostgres]]:
    """Make servers with homes of their own, for tests that kill them."""
    servers: list[EmbeddedPostgres] = []

    def make(home: Path | None = None, *, major: int = 18) -> EmbeddedPostgres:
        servers.append(EmbeddedPostgres(home or Path(tempfile.mkdtemp(prefix='vs-')), major=major))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()
        shutil.rmtree(server.home, ignore_errors=True)


@pytest.fixture(scope='session')
def redis_server() -> Iterator[RedisServer]:
    """A Redis that lives as long as the test run. Tests that kill one make their own."""
    with RedisServer() as server:
        yield server


@pytest_asyncio.fixture(scope='session', loop_scope='session')
async def pools(postgres: EmbeddedPostgres) -> AsyncIterator[Postgres]:
    """Connections that live as long as the test run."""
    database = await Postgres.open(postgres.pooled('app'), postgres.pooled('worker'), pooled=postgres.pooling)
    yield database
    await database.close()


@pytest.fixture(scope='session')
def emptying(postgres: EmbeddedPostgres) -> Iterator[dict[str, psycopg.Connection[Any]]]:
    """Connections by which databases are emptied."""
    kept: dict[str, psycopg.Connection[Any]] = {}
    yield kept
    for connection in kept.values():
        connection.close()


@pytest_asyncio.fixture(loop_scope='session')
async def database(
    postgres: EmbeddedPostgres, pools: Postgres, emptying: dict[str, psycopg.Connection[Any]]
) -> Postgres:
    """The Database port on an empty, migrated Postgres."""
    # In a thread: what the test before has left may need the event loop to end its transaction.
    await asyncio.to_thread(_empty, postgres.dsn('superuser'), emptying)
    return pools


def _empty(dsn: str, kept: dict[str, psycopg.Connection[Any]]) -> None:
    """Delete every row; a transaction that was left open for five seconds is ended by force.

    The connection is kept for the next time: to open one costs forty times what its statements do.
    """
    if dsn not in kept or kept[dsn].broken:
        kept[dsn] = psycopg.connect(dsn, autocommit=True, options='-c lock_timeout=5s')
    try:
        kept[dsn].execute(EMPTY)
    except psycopg.errors.LockNotAvailable:
        kept[dsn].execute(ABANDONED)
        kept[dsn].execute(EMPTY)
    except psycopg.OperationalError:  # the server was started anew
        kept.pop(dsn).close()
        _empty(dsn, kept)


@pytest.fixture(scope='session')
def nursery() -> Iterator[Nursery]:
    """Where the children of all tests are born, so that what tasks need is imported once."""
    nursery = Nursery(READY)
    yield nursery
    nursery.close()


@pytest.fixture
def logging_kept() -> Iterator[None]:
    """Whatever a test does to the logs ends with it."""
    root = logging.getLogger()
    before, level, hook = root.handlers[:], root.level, sys.excepthook
    libraries = {logging.getLogger(name): logging.getLogger(name).level for name in ('psycopg', 'psycopg.pool')}
    yield
    for library, told in libraries.items():
        library.setLevel(told)
    root.handlers[:] = before
    root.setLevel(level)
    sys.excepthook = hook
    structlog.reset_defaults()


@pytest_asyncio.fixture(loop_scope='session')
async def user(database: Postgres) -> User:
    """Somebody with an account."""
    return await factories.user(database)
