"""Who may do what to whose rows: every table × command × role, for two tenants."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from storage.embedded.server import EmbeddedPostgres
from tests import factories
from tests.factories import Tenant

Connection = psycopg.Connection[Any]

KEYS = {'settings': 'user_id', 'sign_in_links': 'token_hash'}
# What the app's user may do: select, insert, update, delete. `u` stands for a grant on some columns only.
GRANTS = {
    'profiles': 's-u-',
    'settings': 'siu-',
    'sessions': 's--d',
    'sign_in_links': '----',
    'uploads': 'siu-',
    'data_sources': 'si--',
    'datasets': 'siu-',
    'dataset_versions': 's---',
    'jobs': 'siu-',
    'forecasts': 'siud',
    'issued_forecasts': 's---',
    'notices': 's-u-',
    'audit_logs': 'si--',
}
TABLES = sorted(GRANTS)
COMMANDS = ('select', 'insert', 'update', 'delete')
WORKER_NEVER = {('issued_forecasts', 'update'), ('issued_forecasts', 'delete'), ('audit_logs', 'update'),
                ('audit_logs', 'delete'), ('dataset_versions', 'update')}  # fmt: skip
# References from one user table to another; each could smuggle a row of another tenant in.
REFERENCES = [
    ('uploads', 'dataset_id', 'datasets'),
    ('data_sources', 'upload_id', 'uploads'),
    ('datasets', 'source_id', 'data_sources'),
    ('datasets', 'current_version', 'dataset_versions'),
    ('jobs', 'dataset_id', 'datasets'),
    ('jobs', 'forecast_id', 'forecasts'),
    ('forecasts', 'dataset_id', 'datasets'),
    ('forecasts', 'version_id', 'dataset_versions'),
    ('forecasts', 'job_id', 'jobs'),
    ('issued_forecasts', 'forecast_id', 'forecasts'),
    ('dataset_versions', 'dataset_id', 'datasets'),
    ('dataset_versions', 'upload_id', 'uploads'),
]


@pytest.fixture
def connection(postgres: EmbeddedPostgres) -> Iterator[Connection]:
    """A superuser's connection whose changes are rolled back."""
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def tenants(connection: Connection) -> tuple[Tenant, Tenant]:
    """Two users with one row in every table each."""
    return factories.tenant(connection), factories.tenant(connection)


def allowed(table: str, command: str) -> bool:
    """Whether the app's user may use this command on their own rows."""
    return command[0] in GRANTS[table]


def become(connection: Connection, role: str, user: Tenant | None = None) -> None:
    """Act as one of our logins does: the app as `authenticated` with claims, the worker as itself."""
    claims = f'{{"sub": "{user.user_id}", "role": "authenticated"}}' if user else ''
    connection.execute('select set_config(%s, %s, true)', ('request.jwt.claims', claims))
    connection.execute(sql.SQL('set local role {}').format(sql.Identifier(role)))


def touched(connection: Connection, table: str, command: str, owner: Tenant, other: Tenant) -> int | None:
    """How many rows of `owner` the current role reaches with a command; None when it is refused."""
    key = KEYS.get(table, 'id')
    name, column = sql.Identifier('public', table), sql.Identifier(key)
    values = {'key': owner.ids[table], 'other': other.ids[table]}
    queries = {
        'select': sql.SQL('select {column} from {table} where {column} = %(key)s'),
        'update': sql.SQL('update {table} set {writable} = {writable} where {column} = %(key)s'),
        'delete': sql.SQL('delete from {table} where {column} = %(key)s'),
        'insert': sql.SQL('insert into {table} select * from pg_temp.{copy}'),
    }
    query = queries[command].format(
        table=name, column=column, writable=sql.Identifier(writable(connection, table)), copy=sql.Identifier(table)
    )
    try:
        with connection.transaction(force_rollback=True):
            return connection.execute(query, values).rowcount
    except psycopg.errors.InsufficientPrivilege:
        return None


def writable(connection: Connection, table: str) -> str:
    """A column that the app's user may update, or any."""
    cursor = connection.execute(
        "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 order by"
        " has_column_privilege('authenticated', attrelid, attnum, 'update') desc, attnum desc limit 1",
        (f'public.{table}',),
    )
    return str(cursor.fetchone()[0])


def copies(connection: Connection, owner: Tenant) -> None:
    """Give every table a temporary twin with one new row of this owner, for inserts by another role."""
    fresh = {
        'settings': None,
        'sign_in_links': "token_hash = sha256(token_hash)",
        'sessions': 'id = gen_random_uuid(), token_hash = sha256(token_hash)',
        'uploads': 'id = gen_random_uuid(), object_key = gen_random_uuid()',
        'dataset_versions': 'id = gen_random_uuid(), number = 2, job_id = gen_random_uuid(), prefix = gen_random_uuid()',
        'issued_forecasts': "id = gen_random_uuid(), model = 'theta'",
        'audit_logs': None,
        'profiles': 'id = gen_random_uuid(), email = gen_random_uuid()',
    }
    for table in TABLES:
        key = KEYS.get(table, 'id')
        connection.execute(f'drop table if exists pg_temp.{table}')
        connection.execute(
            sql.SQL('create temporary table {0} as select * from {1} where {2} = %s').format(
                sql.Identifier(table), sql.Identifier('public', table), sql.Identifier(key)
            ),
            (owner.ids[table],),
        )
        if change := fresh.get(table, 'id = gen_random_uuid()'):
            connection.execute(f'update pg_temp.{table} set {change}')
        connection.execute(f'grant select on pg_temp.{table} to public')


def matrix(connection: Connection, user: Tenant, other: Tenant) -> dict[tuple[str, str], tuple[int | None, int | None]]:
    """For every table and command: how many of the user's own rows and of the other's rows the app's user reaches."""
    found = {}
    for owner in (user, other):
        copies(connection, owner)
        become(connection, 'authenticated', user)
        for table in TABLES:
            for command in ('select', 'update', 'delete'):
                found[table, command] = (*found.get((table, command), ()), touched(connection, table, command, owner, user))
        connection.execute('reset role')
    return found
