"""Applies the migrations of `supabase/migrations` and the queue's own schema, in order and once.

The history is the one of Supabase's own command line, so that it does not matter which of the two applied a migration.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import errors, sql

from core.errors import Misconfigured, Unavailable

FOLDER = Path(__file__).resolve().parent.parent / 'supabase' / 'migrations'
SHIM = Path(__file__).resolve().parent / 'embedded' / 'shim.sql'
FILE_NAME = re.compile(r'(?P<version>\d{14})_(?P<name>\w+)\.sql')
TOKEN = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|(?P<tag>\$\w*\$).*?(?P=tag)|;|[^-/'\"$;]+|.", re.DOTALL
)
HISTORY = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
    version text primary key,
    statements text[],
    name text
);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
"""
QUEUE_SCHEMA = 'procrastinate/schema.sql'
NO_LOGINS: Mapping[str, str] = {}
PATIENCE = 60  # seconds to wait for another process that migrates

Connection = psycopg.AsyncConnection[tuple[object, ...]]


async def migrate(dsn: str, *, folder: Path = FOLDER, shim: bool, logins: Mapping[str, str] = NO_LOGINS) -> list[str]:
    """Bring a database up to date and return the file names that were applied; `shim` adds what Supabase brings along.

    `logins` are made or renewed with their passwords, as plain text or as Postgres stores them. Each file is one
    transaction, and callers at the same time wait a minute for each other. Raise Misconfigured when a migration fails
    (nothing of it remains) or the owner lacks a right, Unavailable when the database does not answer or is not free.
    """
    files = migration_files(folder)
    try:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            await _wait_for_turn(connection)
            await _check_owner(connection)
            for login, password in logins.items():
                await _make_login(connection, login, password)
            if shim:
                await _apply_shim(connection)
            await _apply(connection, 'the migration history', HISTORY)
            fresh = await _fresh_files(connection, files)
            for file in fresh:
                await _apply_file(connection, file)
            return [file.name for file in fresh] + await _migrate_queue(connection)
    except psycopg.Error as error:
        raise _own_error(error) from error


async def missing(dsn: str, *, folder: Path = FOLDER) -> list[str]:
    """Return the names that `migrate` would apply, and change nothing.

    Raise Misconfigured when the folder holds no migrations, Unavailable when the database does not answer.
    """
    files = migration_files(folder)
    try:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            if await _exists(connection, 'supabase_migrations.schema_migrations'):
                files = await _fresh_files(connection, files)
            if not await _exists(connection, 'procrastinate.procrastinate_jobs'):
                return [file.name for file in files] + [QUEUE_SCHEMA]
            known = await _column(connection, 'select name from procrastinate.applied')
            return [file.name for file in files] + [
                f'procrastinate/{name}' for name, _ in _queue_migrations() if name not in known
            ]
    except psycopg.Error as error:
        raise _own_error(error) from error


def migration_files(folder: Path) -> list[Path]:
    """Return the migrations in order. Raise Misconfigured when there are none or a name is not `<UTC14>_<name>.sql`."""
    files = sorted(folder.glob('*.sql'))
    if not files:
        raise Misconfigured(f'{folder} holds no migrations: run from a checkout.')
    for file in files:
        _parts(file)
    return files


def statements(text: str) -> list[str]:
    """Split SQL into its statements at semicolons outside strings, comments and dollar quotes."""
    found, current = [], ''
    for token in TOKEN.finditer(text + ';'):
        if token.group() != ';':
            current += token.group()
            continue
        if re.sub(r'--[^\n]*|/\*.*?\*/', '', current, flags=re.DOTALL).strip():
            found.append(current.strip())
        current = ''
    return found


def first_line(error: Exception) -> str:
    """Return what an error says first: what follows may repeat values."""
    return next(iter(str(error).splitlines()), type(error).__name__)


async def _wait_for_turn(connection: Connection) -> None:
    await connection.execute("select set_config('lock_timeout', %s, false)", (f'{PATIENCE}s',))
    try:
        await connection.execute("select pg_advisory_lock(hashtext('variosync.migrate'))")
    except errors.LockNotAvailable as error:
        raise Unavailable(
            f'Another process has been migrating this database for {PATIENCE} s. Try again when it is done, or end it.'
        ) from error
    await connection.execute('reset lock_timeout')


async def _check_owner(connection: Connection) -> None:
    """Tables hide their rows even from their owner, but not from the functions that work for it: hence BYPASSRLS."""
    cursor = await connection.execute(
        'select rolname, rolsuper or (rolcreaterole and rolbypassrls) from pg_roles where rolname = current_user'
    )
    owner, able = await cursor.fetchone() or ('', False)
    if not able:
        raise Misconfigured(
            f'The role {owner} cannot own the tables: as a superuser, run `alter role {owner} createrole bypassrls`.'
        )


async def _apply_shim(connection: Connection) -> None:
    cursor = await connection.execute(
        "select exists (select from pg_namespace where nspname = 'auth' and not pg_has_role(nspowner, 'usage'))"
    )
    if await cursor.fetchone() == (True,):
        raise Misconfigured('The schema auth belongs to somebody else, as in Supabase’s databases: set SUPABASE_URL.')
    await _apply(connection, SHIM.name, SHIM.read_text())


async def _make_login(connection: Connection, login: str, password: str) -> None:
    """Have a login with this password; its sessions are in UTC, whatever the database's own zone is."""
    cursor = await connection.execute('select exists (select from pg_roles where rolname = %s)', (login,))
    verb = 'alter' if await cursor.fetchone() == (True,) else 'create'
    name = sql.Identifier(login)
    statement = sql.SQL("{} role {} login noinherit password {}; alter role {} set timezone to 'UTC'")
    await _apply(connection, login, statement.format(sql.SQL(verb), name, password, name))


async def _fresh_files(connection: Connection, files: list[Path]) -> list[Path]:
    known = await _column(connection, 'select version from supabase_migrations.schema_migrations')
    return [file for file in files if _parts(file)[0] not in known]


async def _exists(connection: Connection, table: str) -> bool:
    cursor = await connection.execute('select to_regclass(%s)', (table,))
    return await cursor.fetchone() != (None,)


async def _column(connection: Connection, query: LiteralString) -> set[object]:
    cursor = await connection.execute(query)
    return {value for (value,) in await cursor.fetchall()}


async def _apply_file(connection: Connection, file: Path) -> None:
    version, name = _parts(file)
    text = file.read_text()
    async with connection.transaction():
        await _apply(connection, file.name, text)
        await connection.execute(
            'insert into supabase_migrations.schema_migrations (version, statements, name) values (%s, %s, %s)',
            (version, statements(text), name),
        )


async def _migrate_queue(connection: Connection) -> list[str]:
    """Bring procrastinate's tables up to its installed version, in a schema that only the worker may use."""
    async with connection.transaction():
        await connection.execute('create schema if not exists procrastinate')
        await connection.execute('set local search_path to procrastinate')
        empty = not await _exists(connection, 'procrastinate.procrastinate_jobs')
        await connection.execute('create table if not exists applied (name text primary key)')
        known = await _column(connection, 'select name from applied')
        fresh = [(name, text) for name, text in _queue_migrations() if name not in known]
        if empty:
            await _apply(connection, 'procrastinate', _queue_schema())
        for name, text in fresh:
            if not empty:
                await _apply(connection, name, text)
            await connection.execute('insert into applied (name) values (%s)', (name,))
        await connection.execute('grant usage on schema procrastinate to variosync_worker')
        await connection.execute('grant all on all tables in schema procrastinate to variosync_worker')
        await connection.execute('grant all on all sequences in schema procrastinate to variosync_worker')
    return [QUEUE_SCHEMA] if empty else [f'procrastinate/{name}' for name, _ in fresh]


def _queue_schema() -> str:
    from procrastinate.schema import SchemaManager

    return SchemaManager.get_schema()


def _queue_migrations() -> Iterator[tuple[str, str]]:
    from procrastinate.schema import SchemaManager

    for file in sorted(Path(SchemaManager.get_migrations_path()).glob('*.sql')):
        yield file.name, file.read_text()


async def _apply(connection: Connection, name: str, statement: str | sql.Composed) -> None:
    try:
        async with connection.transaction():
            await connection.execute(statement)
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        raise Misconfigured(f'{name} could not be applied: {first_line(error)}') from error


def _own_error(error: psycopg.Error) -> Unavailable:
    if isinstance(error, psycopg.OperationalError):
        return Unavailable(f'The database did not answer about its migrations: {first_line(error)}')
    return Misconfigured(f'The owner of the database may not read or write its migrations: {first_line(error)}')


def _parts(file: Path) -> tuple[str, str]:
    match = FILE_NAME.fullmatch(file.name)
    if not match:
        raise Misconfigured(f'{file} is not named <14 digits of UTC time>_<name>.sql.')
    return match['version'], match['name']
