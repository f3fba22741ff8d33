"""Applies the migrations of `supabase/migrations` and the queue's own schema, in order and once."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg

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
)
"""

Connection = psycopg.AsyncConnection[tuple[object, ...]]


async def migrate(dsn: str, *, folder: Path = FOLDER, shim: bool) -> list[str]:
    """Bring a database up to date and return the file names that were applied; `shim` adds what Supabase brings along.

    Each file is one transaction, and callers at the same time wait for each other. Raise Misconfigured when a
    migration fails (nothing of it remains), Unavailable when the database does not answer.
    """
    files = migration_files(folder)
    try:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            await connection.execute("select pg_advisory_lock(hashtext('variosync.migrate'))")
            if shim:
                await _apply(connection, SHIM.name, SHIM.read_text())
            await _apply(connection, 'the migration history', HISTORY)
            cursor = await connection.execute('select version from supabase_migrations.schema_migrations')
            known = {version for (version,) in await cursor.fetchall()}
            fresh = [file for file in files if _parts(file)[0] not in known]
            for file in fresh:
                await _apply_file(connection, file)
            return [file.name for file in fresh] + await _migrate_queue(connection)
    except psycopg.OperationalError as error:
        raise Unavailable(f'The database did not answer while migrating: {_first_line(error)}') from error


def migration_files(folder: Path) -> list[Path]:
    """Return the migrations in order. Raise Misconfigured when there are none or a name is not `<UTC14>_<name>.sql`."""
    files = sorted(folder.glob('*.sql'))
    if not files:
        raise Misconfigured(f'{folder} holds no migrations: run from a checkout.')
    for file in files:
        _parts(file)
    return files


def statements(sql: str) -> list[str]:
    """Split SQL into its statements at semicolons outside strings, comments and dollar quotes."""
    found, current = [], ''
    for token in TOKEN.finditer(sql + ';'):
        if token.group() != ';':
            current += token.group()
            continue
        if re.sub(r'--[^\n]*|/\*.*?\*/', '', current, flags=re.DOTALL).strip():
            found.append(current.strip())
        current = ''
    return found


async def _apply_file(connection: Connection, file: Path) -> None:
    version, name = _parts(file)
    sql = file.read_text()
    async with connection.transaction():
        await _apply(connection, file.name, sql)
        await connection.execute(
            'insert into supabase_migrations.schema_migrations (version, statements, name) values (%s, %s, %s)',
            (version, statements(sql), name),
        )


async def _migrate_queue(connection: Connection) -> list[str]:
    """Bring procrastinate's tables up to its installed version, in a schema that only the worker may use."""
    async with connection.transaction():
        await connection.execute('create schema if not exists procrastinate')
        await connection.execute('set local search_path to procrastinate')
        cursor = await connection.execute("select to_regclass('procrastinate_jobs')")
        empty = await cursor.fetchone() == (None,)
        await connection.execute('create table if not exists applied (name text primary key)')
        cursor = await connection.execute('select name from applied')
        known = {name for (name,) in await cursor.fetchall()}
        fresh = [(name, sql) for name, sql in _queue_migrations() if name not in known]
        if empty:
            await _apply(connection, 'procrastinate', _queue_schema())
        for name, sql in fresh:
            if not empty:
                await _apply(connection, name, sql)
            await connection.execute('insert into applied (name) values (%s)', (name,))
        await connection.execute('grant usage on schema procrastinate to variosync_worker')
        await connection.execute('grant all on all tables in schema procrastinate to variosync_worker')
        await connection.execute('grant all on all sequences in schema procrastinate to variosync_worker')
    return ['procrastinate/schema.sql'] if empty else [f'procrastinate/{name}' for name, _ in fresh]


def _queue_schema() -> str:
    from procrastinate.schema import SchemaManager

    return SchemaManager.get_schema()


def _queue_migrations() -> Iterator[tuple[str, str]]:
    from procrastinate.schema import SchemaManager

    for file in sorted(Path(SchemaManager.get_migrations_path()).glob('*.sql')):
        yield file.name, file.read_text()


async def _apply(connection: Connection, name: str, sql: str) -> None:
    try:
        async with connection.transaction():
            await connection.execute(sql)
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        raise Misconfigured(f'{name} could not be applied: {_first_line(error)}') from error


def _parts(file: Path) -> tuple[str, str]:
    match = FILE_NAME.fullmatch(file.name)
    if not match:
        raise Misconfigured(f'{file} is not named <14 digits of UTC time>_<name>.sql.')
    return match['version'], match['name']


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
