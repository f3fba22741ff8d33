"""Who may do what to whose rows: every table × command × role, with two tenants."""

from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import errors, sql

from storage.embedded.server import EmbeddedPostgres
from storage.postgres import load_statements
from tests import factories
from tests.factories import Tenant

Connection = psycopg.Connection[Any]
Matrix = dict[tuple[str, str, str], int | str]

REFUSED = 'refused'
COMMANDS = ('select', 'insert', 'update', 'delete')
# What a signed-in user may do to their own rows, by the first letters of the commands.
GRANTS = {
    'api_keys': 'siu',
    'audit_logs': 'si',
    'calls': '',
    'dashboard_revisions': 'sid',
    'dashboards': 'siud',
    'data_sources': 'si',
    'dataset_versions': 's',
    'datasets': 'siu',
    'forecast_scores': 's',
    'forecasts': 'siud',
    'hour_grants': 's',
    'hour_ledger': 's',
    'hour_reservations': 's',
    'issued_forecasts': 's',
    'jobs': 'siu',
    'notices': 'su',
    'profiles': 'su',
    'sessions': 'sd',
    'settings': 'siu',
    'sign_in_links': '',
    'uploads': 'siu',
    'usage_sessions': 's',
    'version_changes': 's',
}
WORKER_GRANTS = dict.fromkeys(GRANTS, 'siud') | {
    'audit_logs': 'si',
    'dashboard_revisions': 'sid',
    'dataset_versions': 'sid',
    'forecast_scores': 'si',
    'issued_forecasts': 'si',
    'version_changes': 'si',
    **dict.fromkeys(('hour_grants', 'hour_ledger', 'hour_reservations', 'usage_sessions'), 's'),
}
# Each reference from one user's row to another could smuggle in a row of somebody else.
REFERENCES = [
    ('calls', 'job_id', 'jobs'),
    ('dashboard_revisions', 'dashboard_id', 'dashboards'),
    ('data_sources', 'upload_id', 'uploads'),
    ('dataset_versions', 'dataset_id', 'datasets'),
    ('dataset_versions', 'upload_id', 'uploads'),
    ('datasets', 'current_version', 'dataset_versions'),
    ('datasets', 'source_id', 'data_sources'),
    ('forecast_scores', 'issued_id', 'issued_forecasts'),
    ('forecast_scores', 'version_id', 'dataset_versions'),
    ('forecasts', 'dataset_id', 'datasets'),
    ('forecasts', 'job_id', 'jobs'),
    ('forecasts', 'version_id', 'dataset_versions'),
    ('hour_ledger', 'grant_id', 'hour_grants'),
    ('hour_reservations', 'job_id', 'jobs'),
    ('issued_forecasts', 'forecast_id', 'forecasts'),
    ('jobs', 'dataset_id', 'datasets'),
    ('jobs', 'forecast_id', 'forecasts'),
    ('uploads', 'dataset_id', 'datasets'),
    ('version_changes', 'base_id', 'dataset_versions'),
    ('version_changes', 'version_id', 'dataset_versions'),
]


@pytest.fixture
def connection(postgres: EmbeddedPostgres) -> Iterator[Connection]:
    """A superuser's connection whose changes are rolled back."""
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def tenants(connection: Connection) -> tuple[Tenant, Tenant]:
    """Two users, each with one row in every table."""
    return factories.tenant(connection), factories.tenant(connection)


def reached(connection: Connection, role: str, me: Tenant, table: str, command: str, owner: Tenant) -> int | str:
    """How many of the owner's rows the role reaches with a command, or REFUSED. Nothing of it remains."""
    queries: dict[str, LiteralString] = {
        'select': 'select 1 from {table} where {owner} = %(owner)s',
        'insert': 'insert into {table} ({owner}) values (%(owner)s)',
        'update': 'update {table} set {column} = {column} where {owner} = %(owner)s',
        'delete': 'delete from {table} where {owner} = %(owner)s',
    }
    query = sql.SQL(queries[command]).format(
        table=sql.Identifier('public', table),
        owner=sql.Identifier('id' if table == 'profiles' else 'user_id'),
        column=sql.Identifier(_updatable(connection, role, table)),
    )
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(
                "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
                (role, f'{{"sub": "{me.user_id}", "role": "authenticated"}}'),
            )
            return connection.execute(query, {'owner': owner.user_id}).rowcount
    except errors.InsufficientPrivilege:
        return REFUSED
    except errors.IntegrityError:  # constraints are checked after the policies: these let the row pass
        return 1


def _updatable(connection: Connection, role: str, table: str) -> str:
    cursor = connection.execute(
        'select attname from pg_attribute where attrelid = %(table)s::regclass and attnum > 0 and not attisdropped'
        " order by has_column_privilege(%(role)s, attrelid, attnum, 'update') desc, attnum desc limit 1",
        {'table': f'public.{table}', 'role': role},
    )
    return str(cursor.fetchone()[0])


def user_matrix(connection: Connection, me: Tenant, other: Tenant, tables: Iterator[str] | list[str]) -> Matrix:
    """What the signed-in user `me` reaches of their own rows and of somebody else's."""
    return {
        (table, command, whose): reached(connection, 'authenticated', me, table, command, owner)
        for table in tables
        for command in COMMANDS
        for whose, owner in (('own', me), ('foreign', other))
    }


def expected_for_user(tables: list[str]) -> Matrix:
    """The same as it should be."""
    foreign = {'select': 0, 'insert': REFUSED, 'update': 0, 'delete': 0}
    return {
        (table, command, whose): (
            REFUSED if command[0] not in GRANTS[table] else 1 if whose == 'own' else foreign[command]
        )
        for table in tables
        for command in COMMANDS
        for whose in ('own', 'foreign')
    }


def worker_matrix(connection: Connection, owner: Tenant, tables: list[str]) -> Matrix:
    """What the worker reaches of a user's rows."""
    return {
        (table, command, 'any'): reached(connection, 'variosync_worker', owner, table, command, owner)
        for table in tables
        for command in COMMANDS
    }


def expected_for_worker(tables: list[str]) -> Matrix:
    """The same as it should be."""
    return {
        (table, command, 'any'): 1 if command[0] in WORKER_GRANTS[table] else REFUSED
        for table in tables
        for command in COMMANDS
    }


def test_a_user_reaches_their_rows_and_nobody_elses(connection: Connection, tenants: tuple[Tenant, Tenant]) -> None:
    me, other = tenants
    tables = sorted(GRANTS)
    assert user_matrix(connection, me, other, tables) == expected_for_user(tables)
    assert user_matrix(connection, other, me, tables) == expected_for_user(tables)


def test_the_worker_reaches_every_row_but_rewrites_no_record(
    connection: Connection, tenants: tuple[Tenant, Tenant]
) -> None:
    tables = sorted(GRANTS)
    for owner in tenants:
        assert worker_matrix(connection, owner, tables) == expected_for_worker(tables)


@pytest.mark.parametrize('role', ['anon', 'variosync_app'])
def test_who_is_not_signed_in_reaches_nothing(
    connection: Connection, tenants: tuple[Tenant, Tenant], role: str
) -> None:
    answers = {
        reached(connection, role, tenants[0], table, command, tenants[0]) for table in GRANTS for command in COMMANDS
    }
    assert answers == {REFUSED}


def test_the_matrix_fails_without_any_one_policy(connection: Connection, tenants: tuple[Tenant, Tenant]) -> None:
    policies = connection.execute(
        "select tablename, policyname from pg_policies where schemaname = 'public'"
    ).fetchall()
    assert {table for table, _ in policies} == set(GRANTS)
    unnoticed = []
    for table, policy in policies:
        with connection.transaction(force_rollback=True):
            connection.execute(
                sql.SQL('drop policy {} on {}').format(sql.Identifier(policy), sql.Identifier('public', table))
            )
            if not _differs(connection, tenants, table):
                unnoticed.append((table, policy))
    assert unnoticed == []


@pytest.mark.parametrize(
    'change',
    [
        'alter policy owner on {} using (true)',
        'alter policy owner on {} with check (true)',
        'alter table {} disable row level security',
        'create policy open on {} to public using (true)',
    ],
)
def test_the_matrix_fails_when_a_policy_is_loosened(
    connection: Connection, tenants: tuple[Tenant, Tenant], change: LiteralString
) -> None:
    unnoticed = []
    for table, grants in GRANTS.items():
        matters = 'i' in grants if 'check' in change else bool(grants)
        if not matters:
            continue
        with connection.transaction(force_rollback=True):
            connection.execute(sql.SQL(change).format(sql.Identifier('public', table)))
            if not _differs(connection, tenants, table):
                unnoticed.append(table)
    assert unnoticed == []


def _differs(connection: Connection, tenants: tuple[Tenant, Tenant], table: str) -> bool:
    me, other = tenants
    return (
        user_matrix(connection, me, other, [table]) != expected_for_user([table])
        or worker_matrix(connection, me, [table]) != expected_for_worker([table])
    )  # fmt: skip


def test_every_table_forces_row_level_security(connection: Connection) -> None:
    rows = connection.execute(
        'select relname, relrowsecurity, relforcerowsecurity from pg_class'
        " where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'm', 'f')"
    ).fetchall()
    assert sorted(rows) == [(table, True, True) for table in sorted(GRANTS)]


@pytest.mark.parametrize(('table', 'column', 'target'), REFERENCES)
def test_no_row_can_point_at_somebody_elses(
    connection: Connection, tenants: tuple[Tenant, Tenant], table: str, column: str, target: str
) -> None:
    me, other = tenants
    name = sql.Identifier('public', table)
    connection.execute(sql.SQL('alter table {} disable trigger user').format(name))
    change = sql.SQL('update {} set {} = %s where id = %s').format(name, sql.Identifier(column))
    connection.execute(change, (me.ids[target], me.ids[table]))
    with pytest.raises(errors.ForeignKeyViolation):
        connection.execute(change, (other.ids[target], me.ids[table]))


def test_every_reference_between_user_tables_is_known(connection: Connection) -> None:
    rows = connection.execute(
        'select c.conrelid::regclass::text, a.attname, c.confrelid::regclass::text from pg_constraint c'
        ' join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]'
        " where c.contype = 'f' and c.connamespace = 'public'::regnamespace"
        " and c.confrelid <> 'public.profiles'::regclass"
    ).fetchall()
    assert sorted(rows) == sorted(REFERENCES)


def test_a_user_cannot_give_a_row_away(connection: Connection, tenants: tuple[Tenant, Tenant]) -> None:
    me, other = tenants
    for table in ('settings', 'uploads'):
        change = sql.SQL('update {} set user_id = %s').format(sql.Identifier('public', table))
        with connection.transaction(force_rollback=True):
            connection.execute(
                "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)",
                (f'{{"sub": "{me.user_id}"}}',),
            )
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(change, (other.user_id,))


def test_an_account_goes_with_all_its_rows_and_leaves_the_audit(
    connection: Connection, tenants: tuple[Tenant, Tenant]
) -> None:
    me, other = tenants
    connection.execute('set local role variosync_worker')
    connection.execute('delete from public.profiles where id = %s', (me.user_id,))
    connection.execute('reset role')
    for table in GRANTS.keys() - {'audit_logs'}:
        owner = sql.Identifier('id' if table == 'profiles' else 'user_id')
        rows = connection.execute(
            sql.SQL('select {} from {}').format(owner, sql.Identifier('public', table))
        ).fetchall()
        owners = {row[0] for row in rows}
        assert me.user_id not in owners
        assert other.user_id in owners
    audit = connection.execute(
        'select user_id from public.audit_logs where id = %s', (me.ids['audit_logs'],)
    ).fetchone()
    assert audit == (None,)


def test_our_logins_bypass_nothing_and_become_nobody_else(connection: Connection) -> None:
    rows = connection.execute(
        'select rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolinherit from pg_roles'
        " where rolname in ('variosync_app', 'variosync_worker', 'authenticated', 'anon') order by rolname"
    ).fetchall()
    assert [any(row[1:]) for row in rows] == [False] * 4
    memberships = connection.execute(
        'select member::regrole::text, roleid::regrole::text from pg_auth_members where member in'
        " ('variosync_app'::regrole, 'variosync_worker'::regrole, 'authenticated'::regrole, 'anon'::regrole)"
    ).fetchall()
    assert memberships == [('variosync_app', 'authenticated')]


def test_the_app_without_claims_sees_nothing(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.dsn('app')) as app:
        for table in GRANTS.keys() - {'calls', 'sign_in_links'}:
            with app.transaction():
                app.execute('set local role authenticated')
                assert app.execute(sql.SQL('select 1 from {}').format(sql.Identifier(table))).fetchall() == []
        for role in ('variosync_worker', 'variosync_migrate', 'service_role', 'postgres'):
            with pytest.raises(errors.InsufficientPrivilege), app.transaction():
                app.execute(sql.SQL('set role {}').format(sql.Identifier(role)))
        for schema in ('procrastinate', 'auth', 'supabase_migrations', 'installation', 'sign_in'):
            rows = app.execute(
                'select relname from pg_class where relnamespace = to_regnamespace(%s) and relkind in (%s, %s)'
                " and (has_table_privilege(oid, 'select') or has_table_privilege('authenticated', oid, 'select'))",
                (schema, 'r', 'v'),
            ).fetchall()
            assert rows == []


def test_functions_with_their_owners_rights_are_closed(connection: Connection) -> None:
    rows = connection.execute(
        'select proname, proconfig is not null, array(select r from unnest(array[%s, %s, %s]) r'
        " where has_function_privilege(r, oid, 'execute') and has_schema_privilege(r, pronamespace, 'usage'))"
        ' from pg_proc'
        " where prosecdef and pronamespace::regnamespace::text in ('public', 'auth', 'hours') order by proname",
        ('anon', 'authenticated', 'variosync_worker'),
    ).fetchall()
    both, worker = ['authenticated', 'variosync_worker'], ['variosync_worker']
    assert rows == [
        ('beat_hours', True, both),
        ('enqueue_job', True, both),
        ('give_hours', True, worker),
        ('leave_hours', True, both),
        ('lock_usage', True, worker),
        ('look_again', True, []),
        ('pause_hours', True, both),
        ('reserve_hours', True, both),
        ('resume_hours', True, both),
        ('settle_job', True, []),
        ('sweep_hours', True, worker),
    ]


def test_nobody_calls_the_functions_that_take_the_time(connection: Connection) -> None:
    open_ones = connection.execute(
        'select proname, r from pg_proc, unnest(array[%s, %s, %s, %s]) r'
        " where pronamespace = 'hours'::regnamespace and has_schema_privilege(r, pronamespace, 'usage')",
        ('anon', 'authenticated', 'variosync_app', 'variosync_worker'),
    ).fetchall()
    assert open_ones == []


def test_nobody_moves_the_hours_of_somebody_else(connection: Connection, tenants: tuple[Tenant, Tenant]) -> None:
    me, other = tenants
    calls = {
        'select public.beat_hours(%s, 0)': other.user_id,
        'select public.leave_hours(%s, 0, gen_random_uuid())': other.user_id,
        'select public.pause_hours(%s)': other.user_id,
        'select public.resume_hours(%s)': other.user_id,
        'select public.reserve_hours(%s, 1)': other.ids['jobs'],
    }
    for call, argument in calls.items():
        with pytest.raises(errors.InsufficientPrivilege), connection.transaction():
            connection.execute(
                "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)",
                (f'{{"sub": "{me.user_id}"}}',),
            )
            connection.execute(call, (argument,))


def test_an_upload_names_an_object_of_its_own_tenant(connection: Connection, tenants: tuple[Tenant, Tenant]) -> None:
    me, other = tenants
    change = 'update public.uploads set object_key = %s where id = %s'
    for stolen in (f't/{other.user_id}/convert/x/data-0.parquet', f't/{me.user_id}', f'/t/{me.user_id}/x'):
        with pytest.raises(errors.CheckViolation), connection.transaction():
            connection.execute(
                "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)",
                (f'{{"sub": "{me.user_id}"}}',),
            )
            connection.execute(change, (stolen, me.ids['uploads']))


def test_every_view_asks_as_its_reader(connection: Connection) -> None:
    views = connection.execute(
        'select relname, coalesce(array_to_string(reloptions, %s), %s) from pg_class'
        " where relnamespace = 'public'::regnamespace and relkind = 'v'",
        (',', ''),
    ).fetchall()
    assert sorted(views) == [(view, 'security_invoker=true') for view in ('forecast_record', 'hour_balances')]


def test_who_speaks_to_the_database_directly_orders_no_job(
    connection: Connection, tenants: tuple[Tenant, Tenant]
) -> None:
    me, _ = tenants
    connection.execute('create role a_gate login')
    connection.execute('grant authenticated to a_gate')
    connection.execute('set session authorization a_gate')
    connection.execute(
        "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)",
        (f'{{"sub": "{me.user_id}"}}',),
    )
    with pytest.raises(errors.InsufficientPrivilege, match='through the server'), connection.transaction():
        connection.execute('select public.reserve_hours(%s, 0)', (me.ids['jobs'],))
    connection.execute('select public.beat_hours(%s, 0)', (me.user_id,))
    connection.execute('reset session authorization')


@pytest.mark.parametrize(
    'query',
    [
        'insert into public.forecasts (user_id, dataset_id, version_id, name, request, issued_at)'
        " values (%(user)s, %(dataset)s, %(version)s, 'a', '{}', now())",
        'insert into public.forecasts (user_id, dataset_id, version_id, name, request, result)'
        " values (%(user)s, %(dataset)s, %(version)s, 'a', '{}', '{}')",
        'insert into public.jobs (user_id, kind, title, payload, dataset_id)'
        " values (%(user)s, 'score', 'a', '{}', %(dataset)s)",
    ],
)
def test_a_user_neither_issues_a_forecast_nor_orders_scoring(
    connection: Connection, tenants: tuple[Tenant, Tenant], query: LiteralString
) -> None:
    me, _ = tenants
    own = {'user': me.user_id, 'dataset': me.ids['datasets'], 'version': me.ids['dataset_versions']}
    with pytest.raises(errors.InsufficientPrivilege), connection.transaction():
        connection.execute(
            "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)",
            (f'{{"sub": "{me.user_id}"}}',),
        )
        connection.execute(query, own)


@pytest.mark.parametrize('table', ['dashboards', 'datasets', 'forecasts'])
def test_a_user_dates_no_deletion_back(connection: Connection, tenants: tuple[Tenant, Tenant], table: str) -> None:
    me, _ = tenants
    name = sql.Identifier(table)
    connection.execute(
        "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)",
        (f'{{"sub": "{me.user_id}"}}',),
    )

    def deleted(at: str) -> Any:
        change = sql.SQL('update public.{} set deleted_at = {} where id = %s returning deleted_at, now()')
        return connection.execute(change.format(name, sql.SQL(at)), (me.ids[table],)).fetchone()  # type: ignore[arg-type]

    assert deleted('null')[0] is None
    first, now = deleted("now() - interval '31 days'")
    assert first == now
    assert deleted("now() - interval '31 days'")[0] == first
    assert deleted("now() + interval '31 days'")[0] == first
    assert deleted('null')[0] is None


def test_a_job_without_a_reservation_is_never_begun(connection: Connection, tenants: tuple[Tenant, Tenant]) -> None:
    me, _ = tenants
    statements = load_statements()
    assert connection.execute(statements['job_claim'].sql, {'id': me.ids['jobs']}).fetchall() == []
    assert me.ids['jobs'] not in [row[0] for row in connection.execute(statements['jobs_unqueued'].sql).fetchall()]
    connection.execute('select hours.reserve(%s, 0, now())', (me.ids['jobs'],))
    assert len(connection.execute(statements['job_claim'].sql, {'id': me.ids['jobs']}).fetchall()) == 1


def test_an_ended_job_holds_no_hours(connection: Connection, tenants: tuple[Tenant, Tenant]) -> None:
    me, _ = tenants
    connection.execute("update public.jobs set state = 'failed', finished_at = now() where id = %s", (me.ids['jobs'],))
    with pytest.raises(errors.CheckViolation):
        connection.execute('select hours.reserve(%s, 1, now())', (me.ids['jobs'],))
