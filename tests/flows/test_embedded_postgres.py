"""The embedded Postgres through starts, stops, kills and odd homes."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from core.errors import Conflict, Misconfigured, Unavailable
from core.settings import Settings
from storage.adapters import Opened
from storage.embedded.server import LOG_LIMIT, EmbeddedPostgres, _end, binaries
from storage.migrate import FOLDER, migrate, statements
from tests.homes import copy_home

OWN = """
import sys, time
from pathlib import Path
from storage.embedded.server import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""

MakePostgres = Callable[..., EmbeddedPostgres]


def wait_for(condition: Callable[[], object], *, within: float = 30) -> object:
    """Return what condition says once that is true."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.01)
    raise AssertionError(f'{condition} did not become true')


def ask(server: EmbeddedPostgres, query: str) -> list[tuple[object, ...]]:
    """Run a query as the owner of the database."""
    with psycopg.connect(server.dsn('migrate'), autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


class Writer:
    """Inserts numbers one by one and remembers those whose commit was answered."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self.acknowledged: list[int] = []

    def __enter__(self) -> 'Writer':
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        n = 0
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._server.dsn('migrate'), autocommit=True) as connection:
                    while not self._stop.is_set():
                        n += 1
                        connection.execute('insert into written values (%s)', (n,))
                        self.acknowledged.append(n)
            except psycopg.OperationalError:
                time.sleep(0.01)


@pytest.fixture
def fresh(new_postgres: MakePostgres) -> EmbeddedPostgres:
    """A server that was never started."""
    return new_postgres()


@pytest.fixture(scope='module')
def made() -> Iterator[Path]:
    """A home whose database was made by a start, and stopped."""
    home = Path(tempfile.mkdtemp(prefix='vs-'))
    server = EmbeddedPostgres(home)
    try:
        server.start()
        server.stop()
        yield home
    finally:
        server.stop()
        shutil.rmtree(home)


@pytest.fixture
def server(fresh: EmbeddedPostgres, made: Path) -> EmbeddedPostgres:
    """A server that does not run, and whose database was made before."""
    copy_home(made, fresh.home)
    return fresh


@pytest.fixture
def owner(server: EmbeddedPostgres) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the server's home and runs it."""
    with subprocess.Popen([sys.executable, '-c', OWN, str(server.home)], stdout=subprocess.PIPE, text=True) as process:
        assert int(process.stdout.readline())
        yield process
        process.kill()


def test_it_starts_stops_and_keeps_its_data(fresh: EmbeddedPostgres) -> None:
    fresh.start()
    ask(fresh, 'create table kept as select 42 as n')
    fresh.stop()
    assert fresh.pid is None
    with pytest.raises(Unavailable):
        fresh.attach(patience=0)
    fresh.stop()
    fresh.start()
    assert ask(fresh, 'select n from kept') == [(42,)]


def test_every_role_needs_its_own_password(server: EmbeddedPostgres) -> None:
    server.start()
    for role in ('app', 'worker', 'migrate', 'superuser'):
        dsn = server.dsn(role)
        with psycopg.connect(dsn) as connection:
            user = connection.info.user
        with pytest.raises(psycopg.OperationalError, match='password'):
            psycopg.connect(dsn, password='wrong')
        assert user in psycopg.conninfo.conninfo_to_dict(dsn).values()


def test_nothing_listens_on_tcp_and_nobody_else_may_enter(fresh: EmbeddedPostgres) -> None:
    fresh.start()
    listening = [c for c in psutil.Process(fresh.pid).net_connections('inet') if c.status == psutil.CONN_LISTEN]
    assert listening == []
    with socket.socket() as probe:
        assert probe.connect_ex(('127.0.0.1', 5432)) != 0
    assert fresh.socket_folder.stat().st_mode & 0o777 == 0o700
    assert fresh.data.stat().st_mode & 0o777 == 0o700
    for file in (fresh.home / 'secrets').iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
    assert os.getsid(fresh.pid) == fresh.pid
    assert psutil.Process(fresh.pid).uids().real != 0


def test_no_password_is_logged(fresh: EmbeddedPostgres) -> None:
    fresh.start()
    with pytest.raises(psycopg.Error):
        ask(fresh, 'select nothing')
    fresh.stop()
    log = fresh.log.read_text()
    assert 'select nothing' in log
    for password in json.loads((fresh.home / 'secrets' / 'postgres.json').read_text()).values():
        assert password not in log


def test_a_home_in_use_gives_one_clear_line(server: EmbeddedPostgres, new_postgres: MakePostgres) -> None:
    server.start()
    with pytest.raises(Conflict, match=rf'{server.home} is in use by process {os.getpid()}'):
        EmbeddedPostgres(server.home).start()
    assert ask(server, 'select 1') == [(1,)]


@pytest.mark.usefixtures('owner')
def test_another_process_attaches_and_leaves_it_running(server: EmbeddedPostgres) -> None:
    with pytest.raises(Conflict):
        server.start()
    server.attach()
    assert ask(server, 'select 1') == [(1,)]
    server.stop()
    server.attach()
    assert ask(server, 'select 1') == [(1,)]


def test_there_is_nothing_to_attach_to_in_an_empty_home(fresh: EmbeddedPostgres) -> None:
    with pytest.raises(Unavailable, match='variosync serve'):
        fresh.attach()


def test_kills_under_load_lose_no_acknowledged_write(server: EmbeddedPostgres) -> None:
    server.start()
    ask(server, 'create table written (n integer primary key)')
    with Writer(server) as writer:
        for _ in range(6):
            count = len(writer.acknowledged)
            wait_for(lambda count=count: len(writer.acknowledged) > count + 20)
            killed = server.pid
            os.kill(killed, signal.SIGKILL)
            wait_for(lambda killed=killed: server.pid not in (None, killed))
            server.attach(patience=60)
    found = {n for (n,) in ask(server, 'select n from written')}
    assert len(writer.acknowledged) > 120
    assert set(writer.acknowledged) <= found


def test_the_kill_of_a_backend_is_survived(server: EmbeddedPostgres) -> None:
    server.start()
    ask(server, 'create table kept as select 42 as n')
    with psycopg.connect(server.dsn('migrate')) as connection:
        os.kill(connection.info.backend_pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            connection.execute('select 1')
    server.attach()
    assert ask(server, 'select n from kept') == [(42,)]


def test_a_killed_owner_is_succeeded(server: EmbeddedPostgres, owner: subprocess.Popen[str]) -> None:
    server.attach()
    ask(server, 'create table written (n integer primary key)')
    with Writer(server) as writer:
        wait_for(lambda: len(writer.acknowledged) > 50)
        owner.kill()
        owner.wait()
        server.start()
        count = len(writer.acknowledged)
        wait_for(lambda: len(writer.acknowledged) > count + 10)
    assert set(writer.acknowledged) <= {n for (n,) in ask(server, 'select n from written')}


def test_an_orphan_that_outlived_its_owner_is_ended(server: EmbeddedPostgres, owner: subprocess.Popen[str]) -> None:
    server.attach()
    orphan = int((server.data / 'postmaster.pid').read_text().splitlines()[0])
    os.kill(orphan, signal.SIGSTOP)
    owner.kill()
    owner.wait()
    os.kill(orphan, signal.SIGCONT)
    server.start()
    assert server.pid != orphan
    assert ask(server, 'select 1') == [(1,)]


async def test_a_start_outlives_a_database_that_starts_anew(migrated_home: Path, tmp_path: Path) -> None:
    """What answered a moment before is killed: our own server and a worker beside it connect all the same."""
    copy_home(migrated_home, tmp_path)
    settings = Settings(VARIOSYNC_HOME=tmp_path)
    own, beside = Opened(settings), Opened(settings, attach=True, own=False)
    own.start()
    try:
        beside.start()
        for opened in (own, beside):
            os.kill(int((tmp_path / 'postgres' / 'postmaster.pid').read_text().splitlines()[0]), signal.SIGKILL)
            await opened.connect()
            await opened.database.ping()
    finally:
        for opened in (beside, own):
            await opened.close()
            opened.stop()


def test_a_stale_pid_file_that_names_a_living_stranger_is_forgotten(server: EmbeddedPostgres) -> None:
    server.start()
    pid_file = server.data / 'postmaster.pid'
    lines = pid_file.read_text().splitlines()
    server.stop()
    pid_file.write_text('\n'.join([str(os.getpid()), *lines[1:]]) + '\n')
    os.chown(pid_file, server.data.stat().st_uid, server.data.stat().st_gid)
    server.start()
    assert ask(server, 'select 1') == [(1,)]


def test_the_home_may_lie_below_a_private_folder_with_a_long_name(new_postgres: MakePostgres, tmp_path: Path) -> None:
    private = tmp_path / ('long' * 30)
    private.mkdir(mode=0o700)
    server = new_postgres(private / 'home with "quotes" and ü')
    server.start()
    assert ask(server, 'select 1') == [(1,)]
    assert len(str(server.socket_folder)) < 60
    server.stop()
    assert not server.socket_folder.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason='only root runs Postgres as somebody else')
def test_the_programs_may_lie_below_a_private_folder(
    new_postgres: MakePostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of a clone in /root do."""
    installed = binaries(18).parent
    private = tmp_path / 'private'
    private.mkdir(mode=0o700)
    for folder in (installed, *installed.parent.parent.glob(f'{installed.parent.name}.libs')):
        copied = private / folder.relative_to(installed.parent.parent)
        shutil.copytree(folder, copied, ignore=shutil.ignore_patterns('include'))
    monkeypatch.setattr(
        'storage.embedded.server.binaries', lambda major: private / installed.parent.name / installed.name / 'bin'
    )
    server = new_postgres(tmp_path / 'home')
    server.start()
    assert ask(server, 'select 1') == [(1,)]


def test_a_half_made_database_is_made_anew(fresh: EmbeddedPostgres) -> None:
    leftover = fresh.home / 'postgres.new-dead'
    leftover.mkdir()
    (leftover / 'PG_VERSION').write_text('18\n')
    fresh.start()
    assert not leftover.exists()
    assert ask(fresh, 'select 1') == [(1,)]


def test_a_home_keeps_the_version_that_made_it(fresh: EmbeddedPostgres, new_postgres: MakePostgres) -> None:
    older = new_postgres(fresh.home, major=16)
    older.start()
    older.stop()
    fresh.start()
    assert ask(fresh, 'show server_version_num')[0][0].startswith('16')


def test_secrets_that_do_not_fit_give_a_clear_line(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    file = server.home / 'secrets' / 'postgres.json'
    right = file.read_text()
    file.write_text(json.dumps(dict.fromkeys(json.loads(right), 'wrong')))
    with pytest.raises(Misconfigured, match='does not match'):
        server.start()
    file.unlink()
    with pytest.raises(Misconfigured, match='is missing'):
        server.start()
    file.write_text(right)
    server.start()
    assert ask(server, 'select 1') == [(1,)]


def test_a_signal_while_the_supervisor_starts_ends_it(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(threading.Thread):
        def start(self) -> None:
            threading.Timer(0.1, super().start).start()
            raise SystemExit(130)

    server.start()
    server.stop()
    with monkeypatch.context() as patch:
        patch.setattr('storage.embedded.server.threading.Thread', Interrupted)
        with pytest.raises(SystemExit):
            server.start()
    assert server.pid is None
    assert not server.lock.held
    server.start()
    assert ask(server, 'select 1') == [(1,)]


def test_what_postgres_says_is_told_when_it_cannot_start(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    control = server.data / 'global' / 'pg_control'
    control.rename(control.with_suffix('.away'))
    with pytest.raises(Unavailable, match='does not answer'):
        server.start(ending=1)
    assert not server.lock.held


def test_the_log_stays_small(server: EmbeddedPostgres) -> None:
    server.start()
    with server.log.open('ab') as log:
        log.write(b'x' * (LOG_LIMIT + 1))
    wait_for(lambda: server.log.stat().st_size < LOG_LIMIT)
    with pytest.raises(psycopg.Error):
        ask(server, 'select nothing')
    assert 'select nothing' in server.log.read_text()
    assert (server.home / 'postgres.log.1').stat().st_size > LOG_LIMIT


@pytest.mark.parametrize('major', [16, 18])
def test_migrations_apply_once_in_order_and_are_recorded(new_postgres: MakePostgres, major: int) -> None:
    server = new_postgres(major=major)
    server.start()
    files = sorted(file.name for file in FOLDER.glob('*.sql'))
    applied = asyncio.run(migrate(server.dsn('migrate'), shim=True))
    assert applied == [*files, 'procrastinate/schema.sql']
    assert asyncio.run(migrate(server.dsn('migrate'), shim=True)) == []
    recorded = ask(server, "select version || '_' || name || '.sql', cardinality(statements)"
                           ' from supabase_migrations.schema_migrations order by version')  # fmt: skip
    assert [name for name, _ in recorded] == files
    assert all(count >= 1 for _, count in recorded)
    assert recorded[0][1] > 20


async def test_migrations_at_the_same_time_wait_for_each_other(server: EmbeddedPostgres) -> None:
    await asyncio.to_thread(server.start)
    applied = await asyncio.gather(*(migrate(server.dsn('migrate'), shim=True) for _ in range(3)))
    assert sorted(map(len, applied))[:2] == [0, 0]


def test_a_failing_migration_leaves_nothing_behind(server: EmbeddedPostgres, tmp_path: Path) -> None:
    server.start()
    (tmp_path / '20260101000000_good.sql').write_text('create table good (n integer);')
    (tmp_path / '20260101000001_bad.sql').write_text('create table half (n integer); select nothing;')
    with pytest.raises(Misconfigured, match=r'20260101000001_bad\.sql'):
        asyncio.run(migrate(server.dsn('migrate'), folder=tmp_path, shim=True))
    assert ask(server, "select to_regclass('good')::text, to_regclass('half')::text") == [('good', None)]
    assert ask(server, 'select version from supabase_migrations.schema_migrations') == [('20260101000000',)]


def test_a_signal_that_came_before_the_server_listens_is_sent_again() -> None:
    deaf = """
import signal, sys
heard = []
signal.signal(signal.SIGINT, lambda *_: sys.exit(7) if heard else heard.append(1))
print(flush=True)
while True:
    signal.pause()
"""
    with subprocess.Popen([sys.executable, '-c', deaf], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        _end(child)
    assert child.returncode == 7


@pytest.mark.parametrize('name', ['1_short.sql', 'no_version.sql', '20260101000000-dash.sql'])
def test_a_misnamed_migration_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('select 1;')
    with pytest.raises(Misconfigured, match='is not named'):
        asyncio.run(migrate('host=/nowhere', folder=tmp_path, shim=False))


def test_no_migrations_and_no_database_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match='holds no migrations'):
        asyncio.run(migrate('host=/nowhere', folder=tmp_path, shim=False))
    with pytest.raises(Unavailable):
        asyncio.run(migrate(f'host={tmp_path}', shim=False))


def test_statements_are_split_outside_strings_comments_and_dollar_quotes() -> None:
    sql = """
    -- it's; a comment
    select 'a;''b', "c;d"; /* more; */
    create function f() returns text as $body$ begin; return $$x;y$$; end; $body$ language plpgsql;
    select 1 - 2 / 3
    -- the end;
    """
    quoted, function, arithmetic = statements(sql)
    assert quoted.endswith("""select 'a;''b', "c;d\"""")
    assert function.startswith('/* more; */')
    assert function.endswith('$$x;y$$; end; $body$ language plpgsql')
    assert arithmetic.startswith('select 1 - 2 / 3')
