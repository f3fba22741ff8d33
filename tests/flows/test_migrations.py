"""Migrations on a database that Supabase shapes, by our command and by Supabase's own: both come to the same."""

import asyncio
import json
import tomllib
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

from core.errors import Misconfigured, Unavailable
from core.settings import Settings, parse_bytes
from storage.embedded.server import EmbeddedPostgres
from storage.migrate import FOLDER, QUEUE_SCHEMA, migrate, missing, statements
from storage.server import ServerPostgres
from tests import factories
from tests.counterparts.postgres import ServerCounterpart, server_postgres

pytestmark = pytest.mark.xdist_group('server postgres')

FILES = sorted(FOLDER.glob('*.sql'))
# As https://github.com/supabase/cli (pkg/migration/history.go) makes and fills the history.
CLI_TABLE = (
    'create schema if not exists supabase_migrations',
    'create table if not exists supabase_migrations.schema_migrations (version text not null primary key)',
    'alter table supabase_migrations.schema_migrations add column if not exists statements text[]',
    'alter table supabase_migrations.schema_migrations add column if not exists name text',
)
CLI_INSERT = 'insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)'
HISTORY = 'select version, name, statements from supabase_migrations.schema_migrations order by version'
# Whoever may do something to something of ours, Supabase's service role and the owner excepted.
RIGHTS = """
with roles (role) as (values ('anon'), ('authenticated'), ('variosync_app'), ('variosync_worker')),
ours as (select oid, nspname from pg_namespace
         where nspname in ('public', 'hours', 'installation', 'procrastinate', 'sign_in', 'supabase_migrations'))
select role, nspname || '.' || relname || '.' || coalesce(attname, '*') as thing, privilege
from roles, ours join pg_class c on c.relnamespace = ours.oid and c.relkind in ('r', 'v', 'S', 'p')
left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and c.relkind <> 'S',
lateral (values ('SELECT'), ('INSERT'), ('UPDATE'), ('REFERENCES')) p (privilege)
where a.attname is not null and has_column_privilege(role, c.oid, a.attname, privilege)
union all
select role, nspname || '.' || relname, privilege
from roles, ours join pg_class c on c.relnamespace = ours.oid and c.relkind in ('r', 'v', 'p'),
lateral (values ('DELETE'), ('TRUNCATE'), ('TRIGGER')) p (privilege)
where has_table_privilege(role, c.oid, privilege)
union all
select role, nspname || '.' || proname || '(' || pg_get_function_identity_arguments(f.oid) || ')', 'EXECUTE'
from roles, ours join pg_proc f on f.pronamespace = ours.oid
where has_schema_privilege(role, ours.oid, 'usage') and has_function_privilege(role, f.oid, 'execute')
order by 1, 2, 3
"""


def ask(dsn: str, query: str) -> list[tuple[object, ...]]:
    """Run a query."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope='module')
def pushed() -> Iterator[ServerCounterpart]:
    """Postgres 18 as Supabase shapes it, in which `supabase db push` applied every migration, and nobody else any."""
    with server_postgres(major=18, shape='supabase') as server:
        with psycopg.connect(server.url, autocommit=True) as owner:
            for statement in CLI_TABLE:
                owner.execute(statement)
            for file in FILES:
                version, _, name = file.stem.partition('_')
                with owner.transaction():
                    for statement in statements(file.read_text()):
                        owner.execute(statement)
                    owner.execute(CLI_INSERT, (version, name, statements(file.read_text())))
        yield server


def test_what_supabases_own_command_applied_is_known_and_the_rest_is_added(pushed: ServerCounterpart) -> None:
    assert asyncio.run(missing(pushed.dsn('migrate'))) == [QUEUE_SCHEMA]
    with pytest.raises(Misconfigured, match='run `variosync migrate`'):
        ServerPostgres(pushed.url).check_logins()
    assert pushed.migrate() == [QUEUE_SCHEMA]
    assert asyncio.run(missing(pushed.dsn('migrate'))) == []
    ServerPostgres(pushed.url).check_logins()


def test_both_write_the_same_history(pushed: ServerCounterpart, supabase_postgres: ServerCounterpart) -> None:
    ours, theirs = (ask(server.dsn('migrate'), HISTORY) for server in (supabase_postgres, pushed))
    assert ours == theirs
    assert [f'{version}_{name}.sql' for version, name, _ in ours] == [file.name for file in FILES]


def test_everybody_may_do_the_same_as_in_the_embedded_database(
    pushed: ServerCounterpart, supabase_postgres: ServerCounterpart, embedded_postgres: EmbeddedPostgres
) -> None:
    """Although Supabase grants its API roles everything in `public` by default."""
    pushed.migrate()
    expected = ask(embedded_postgres.dsn('superuser'), RIGHTS)
    assert len(expected) > 200
    assert [right for right in expected if right[0] == 'anon'] == [('anon', 'public.refuse_change()', 'EXECUTE')]
    for server in (supabase_postgres, pushed):
        assert ask(server.dsn('superuser'), RIGHTS) == expected


def test_the_owner_is_no_superuser_and_no_login_is_more_than_it_needs(supabase_postgres: ServerCounterpart) -> None:
    assert ask(
        supabase_postgres.dsn('superuser'),
        'select rolname, rolsuper, rolcreaterole, rolbypassrls, rolinherit, rolcanlogin from pg_roles'
        " where rolname like 'variosync%' order by rolname",
    ) == [
        ('variosync_app', False, False, False, False, True),
        ('variosync_migrate', False, True, True, True, True),
        ('variosync_worker', False, False, False, False, True),
    ]


def test_an_owner_that_lacks_a_right_is_told_which(pushed: ServerCounterpart) -> None:
    ask(pushed.dsn('superuser'), 'alter role variosync_migrate nobypassrls')
    try:
        with pytest.raises(Misconfigured, match='alter role variosync_migrate createrole bypassrls'):
            pushed.migrate()
    finally:
        ask(pushed.dsn('superuser'), 'alter role variosync_migrate bypassrls')


def test_who_may_not_read_the_history_is_told_so_and_nobody_answering_too(pushed: ServerCounterpart) -> None:
    pushed.migrate()
    with pytest.raises(Misconfigured, match='may not read or write its migrations'):
        asyncio.run(missing(pushed.dsn('worker')))
    with pytest.raises(Unavailable):
        asyncio.run(missing('host=/nowhere'))


def test_an_identity_of_our_own_beside_supabases_is_refused(pushed: ServerCounterpart) -> None:
    with pytest.raises(Misconfigured, match='set SUPABASE_URL'):
        asyncio.run(migrate(pushed.dsn('migrate'), shim=True))


def test_whoever_waits_for_another_migration_is_told_of_it(
    pushed: ServerCounterpart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('storage.migrate.PATIENCE', 1)
    with psycopg.connect(pushed.dsn('superuser')) as other:
        other.execute("select pg_advisory_lock(hashtext('variosync.migrate'))")
        with pytest.raises(Unavailable, match='Another process has been migrating'):
            pushed.migrate()
    assert pushed.migrate() == []


def test_a_login_that_somebody_else_made_is_told(pushed: ServerCounterpart) -> None:
    ask(pushed.dsn('superuser'), 'create role variosync_guest login')
    with pytest.raises(Misconfigured, match='variosync_guest could not be applied'):
        asyncio.run(migrate(pushed.dsn('migrate'), shim=False, logins={'variosync_guest': 'x'}))


def test_panels_that_were_saved_with_marks_by_themselves_have_none(embedded_postgres: EmbeddedPostgres) -> None:
    (file,) = FOLDER.glob('*_marks_are_chosen.sql')

    def shown(*marks: object) -> dict[str, object]:
        return {'variables': {}, 'panels': [{'id': f'p{at}', 'show': {'marks': one}} for at, one in enumerate(marks)]}

    foreign = [{'panels': {'show': {'marks': True}}}, {'panels': [1, {'show': 2}, {}]}, {'panels': []}, {}]
    with psycopg.connect(embedded_postgres.dsn('superuser')) as connection:
        one = factories.tenant(connection)
        for spec in (shown(True, False, True), *foreign):
            connection.execute(
                'insert into dashboards (user_id, name, spec) values (%s, %s, %s)', (one.user_id, 'b', json.dumps(spec))
            )
        connection.execute(
            'insert into dashboard_revisions (user_id, dashboard_id, revision, spec) values (%s, %s, 9, %s)',
            (one.user_id, one.ids['dashboards'], json.dumps(shown(True, 'x'))),
        )
        for statement in statements(file.read_text()):
            connection.execute(statement)
        kept = connection.execute("select spec from dashboards where user_id = %s and name = 'b'", (one.user_id,))
        found = [spec for (spec,) in kept.fetchall()]
        assert shown(False, False, False) in found
        assert all(spec in found for spec in foreign)
        assert len(found) == 5
        mine = 'from dashboard_revisions where revision = 9 and user_id = %s'
        assert connection.execute(f'select spec {mine}', (one.user_id,)).fetchall() == [(shown(False, 'x'),)]
        with pytest.raises(psycopg.Error, match='dashboard_revisions'):
            connection.execute('update dashboard_revisions set spec = spec where revision = 9')
        connection.rollback()


def test_the_project_for_supabases_command_fits_the_settings() -> None:
    text = (FOLDER.parent / 'config.toml').read_text()
    config = tomllib.loads(text)
    bucket = config['storage']['buckets'][Settings.model_fields['supabase_bucket'].default]
    limit = parse_bytes(Settings.model_fields['max_upload'].default)
    assert bucket['public'] is False
    assert parse_bytes(bucket['file_size_limit']) == parse_bytes(config['storage']['file_size_limit']) == limit
    assert config['db']['seed']['enabled'] is False
    assert config['auth']['email']['enable_confirmations'] is True
    assert config['auth']['enable_anonymous_sign_ins'] is False
    for provider in ('google', 'github'):
        assert config['auth']['external'][provider]['secret'].startswith('env(')
    assert not [word for word in text.split() if urlsplit(word.strip('"')).password]
