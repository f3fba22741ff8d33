"""Postgres that somebody else runs: on loopback TCP, plain or shaped as Supabase shapes it, and pgbouncer before it.

The servers are those of the embedded Postgres' wheel, kept alive by its own supervisor, so that tests may kill them.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from storage.embedded.server import NOBODY, EmbeddedPostgres, Role
from storage.migrate import migrate
from storage.server import Login, ServerPostgres

Shape = Literal['plain', 'supabase']

OWNER = 'variosync_migrate'
PASSWORD = 'p@ss/w%rd:#1 ü'  # each sign of it has a meaning in a URL
# The logins that the embedded server brings along are for `variosync migrate` to make here.
PLAIN = """
drop owned by variosync_app, variosync_worker;
drop role variosync_app, variosync_worker;
grant connect on database variosync to public;
alter database variosync set timezone = 'Asia/Kathmandu';
"""
# What https://github.com/supabase/postgres (migrations/db) makes of a database, as far as ours meets it: an owner who
# is no superuser, the API roles with what they are granted by default, and the schema auth of Supabase Auth.
SUPABASE = """
alter role variosync_migrate createdb replication;
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
grant anon, authenticated, service_role to variosync_migrate with admin option;
grant usage on schema public to anon, authenticated, service_role;
alter default privileges for role variosync_migrate in schema public
    grant all on tables to anon, authenticated, service_role;
alter default privileges for role variosync_migrate in schema public
    grant all on functions to anon, authenticated, service_role;
alter default privileges for role variosync_migrate in schema public
    grant all on sequences to anon, authenticated, service_role;
create role supabase_auth_admin login noinherit createrole;
create schema auth authorization supabase_auth_admin;
grant usage on schema auth to anon, authenticated, service_role, variosync_migrate;
set role supabase_auth_admin;
create function auth.uid() returns uuid language sql stable as $$
    select coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
                    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;
create function auth.role() returns text language sql stable as $$
    select coalesce(nullif(current_setting('request.jwt.claim.role', true), ''),
                    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role')
$$;
create function auth.jwt() returns jsonb language sql stable as $$
    select coalesce(nullif(current_setting('request.jwt.claim', true), ''),
                    nullif(current_setting('request.jwt.claims', true), ''))::jsonb
$$;
create table auth.users (
    instance_id uuid, id uuid primary key, aud varchar(255), role varchar(255), email varchar(255) unique,
    encrypted_password varchar(255), email_confirmed_at timestamptz, last_sign_in_at timestamptz,
    raw_app_meta_data jsonb, raw_user_meta_data jsonb, created_at timestamptz, updated_at timestamptz
);
create table auth.refresh_tokens (
    instance_id uuid, id bigserial primary key, token varchar(255) unique, user_id varchar(255), revoked boolean,
    created_at timestamptz, updated_at timestamptz, parent varchar(255), session_id uuid
);
grant select, insert, update, delete on all tables in schema auth to variosync_migrate;
reset role;
"""
BOUNCER = """
[databases]
variosync = host=127.0.0.1 port={server} dbname=variosync

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 200
auth_type = scram-sha-256
auth_file = {folder}/users.txt
auth_user = postgres
auth_query = select usename, passwd from pg_catalog.pg_shadow where usename = $1
logfile = {folder}/pgbouncer.log
server_login_retry = 0.5
"""


class ServerCounterpart(EmbeddedPostgres):
    """Postgres on a TCP port of loopback, whose owner is no superuser and where no login of ours exists yet."""

    def __init__(self, home: Path, *, major: int = 18, shape: Shape = 'plain') -> None:
        super().__init__(home, major=major)
        self.port = free_port()
        self.shape = shape

    def start(self, *, patience: float = 60, ending: float = 30) -> None:
        """Run it; the first time, give it its shape."""
        fresh = not (self.data / 'PG_VERSION').exists()
        super().start(patience=patience, ending=ending)
        if fresh:
            self._give_shape()

    @property
    def url(self) -> str:
        """What somebody would write into DATABASE_URL."""
        return owner_url(self.port)

    def dsn(self, role: Role) -> str:
        """The address for a role; the logins' are those that follow from the owner's."""
        if role == 'superuser':
            return make_conninfo(super().dsn(role), host='127.0.0.1', port=self.port)
        return ServerPostgres(self.url).dsn(role)

    def pooled(self, role: Login) -> str:
        """The same: nothing pools here."""
        return self.dsn(role)

    def migrate(self) -> list[str]:
        """Apply the migrations as `variosync migrate` does."""
        logins = ServerPostgres(self.url).logins()
        return asyncio.run(migrate(self.dsn('migrate'), shim=self.shape == 'plain', logins=logins))

    def _give_shape(self) -> None:
        with psycopg.connect(self.dsn('superuser'), autocommit=True) as connection:
            connection.execute(PLAIN)
            connection.execute(sql.SQL('alter role {} password {}').format(sql.Identifier(OWNER), PASSWORD))
            if self.shape == 'supabase':
                connection.execute(SUPABASE)

    def _create(self) -> None:
        super()._create()
        with (self.data / 'pg_hba.conf').open('a') as hba:
            hba.write('host all all 127.0.0.1/32 scram-sha-256\n')

    def _wait_until_ready(self, patience: float, *, ending: float) -> None:
        wait_until_open(self.dsn('superuser'), patience=patience)

    def _command(self, program: str, *arguments: str) -> Sequence[str]:
        listens = program == 'postgres' and '-D' in arguments and '--single' not in arguments
        tcp = ('-c', 'listen_addresses=127.0.0.1', '-c', f'port={self.port}') if listens else ()
        return super()._command(program, *arguments, *tcp)


class Bouncer:
    """Debian's pgbouncer in transaction mode before a counterpart; `size` connections a login reach the server."""

    pooling = True

    def __init__(self, server: ServerCounterpart, *, size: int = 10) -> None:
        self.port = free_port()
        self.server = server
        self._size = size
        self._folder = Path(tempfile.mkdtemp(prefix='vs-bouncer-'))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._folder)

    @property
    def url(self) -> str:
        """What somebody would write into DATABASE_POOL_URL."""
        return owner_url(self.port)

    def dsn(self, role: Role) -> str:
        """The address past the bouncer, at which a session lasts."""
        return self.server.dsn(role)

    def pooled(self, role: Login) -> str:
        """The address through the bouncer."""
        return ServerPostgres(self.server.url, self.url).pooled(role)

    @property
    def pid(self) -> int:
        """The process id while it runs."""
        assert self._process
        return self._process.pid

    def start(self) -> None:
        """Run it and return when a connection through it answers."""
        superuser = self.server._passwords()['superuser']
        (self._folder / 'users.txt').write_text(f'"postgres" "{superuser}"\n')
        (self._folder / 'pgbouncer.ini').write_text(
            BOUNCER.format(server=self.server.port, port=self.port, size=self._size, folder=self._folder)
        )
        identity = {}
        if os.geteuid() == 0:  # it refuses to run as root
            identity = {'user': NOBODY, 'group': NOBODY, 'extra_groups': []}
            for path in (self._folder, *self._folder.iterdir()):
                os.chown(path, NOBODY, NOBODY)
        self._process = subprocess.Popen(
            ['pgbouncer', '-q', str(self._folder / 'pgbouncer.ini')],
            env={'PATH': '/usr/sbin:/usr/bin'},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **identity,
        )
        wait_until_open(self.url, patience=20)

    def kill(self) -> None:
        """End it at once, with every connection through it."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def server_postgres(*, major: int = 18, shape: Shape = 'plain') -> Iterator[ServerCounterpart]:
    """A running server in a home of its own, that nothing was ever migrated in."""
    home = Path(tempfile.mkdtemp(prefix='vs-'))
    server = ServerCounterpart(home, major=major, shape=shape)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)


def owner_url(port: int) -> str:
    """The address of the database on a port of loopback, as its owner."""
    return f'postgresql://{OWNER}:{quote(PASSWORD, safe="")}@127.0.0.1:{port}/variosync'


def wait_until_open(dsn: str, *, patience: float) -> None:
    """Return when a connection answers."""
    deadline = time.monotonic() + patience
    while True:
        try:
            with psycopg.connect(dsn, connect_timeout=5, prepare_threshold=None) as connection:
                connection.execute('select 1')
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.03)
        else:
            return


def free_port() -> int:
    """A port of loopback that nothing uses just now."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port: int = probe.getsockname()[1]
    return port
