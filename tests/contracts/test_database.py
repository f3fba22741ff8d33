"""What every Database does."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from core.errors import Conflict, Misconfigured, NotAllowed, NotFound, Unavailable, UsageError, VariosyncError
from core.values import JobState, User
from storage.postgres import Postgres, Statement, _translated, load_statements
from tests import factories
from tests.counterparts.places import run_on
from tests.homes import copy_home


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    run_on(metafunc, 'embedded', 'server', 'pooled')


TRIAL = {
    'echo': 'select %(value)s::jsonb as value, %(id)s::uuid as id, %(at)s::timestamptz as at',
    'state': 'select %(state)s::text as state',
    'three': 'select n from generate_series(1, 3) as n order by n',
    'none': 'select 1 as n where false',
    'rename': 'update public.profiles set name = %(name)s where id = %(id)s',
    'rename_all': "update public.profiles set name = 'everybody'",
    'names': 'select name from public.profiles',
    'profiles': 'select id from public.profiles',
    'settings': 'insert into public.settings (user_id, theme) values (%(id)s, %(theme)s)',
    'own': 'insert into public.data_sources (user_id, kind, name) values (%(id)s, %(kind)s, %(name)s)',
    'by_text': 'select id from public.profiles where id::text = %(id)s and id = %(id)s::uuid',
    'boom': 'select 1 / %(zero)s::integer',
    'wrong': 'select nothing from nowhere',
    'whoami': "select current_user::text as role, coalesce(current_setting('request.jwt.claims', true), '') as claims",
    'slow': 'select pg_sleep(3)',
}


@pytest.fixture
def trial(database: Postgres, monkeypatch: pytest.MonkeyPatch) -> Postgres:
    """The database with statements made for these tests."""
    statements = {name: Statement(name=name, purpose='A trial.', sql=sql) for name, sql in TRIAL.items()}
    monkeypatch.setattr(database, '_statements', load_statements() | statements)
    return database


async def test_one_returns_the_only_row(trial: Postgres, user: User) -> None:
    async with trial.transaction(user.id) as tx:
        assert await tx.one('profiles') == {'id': user.id}


async def test_one_raises_not_found_when_there_is_none(trial: Postgres, user: User) -> None:
    async with trial.transaction(user.id) as tx:
        with pytest.raises(NotFound):
            await tx.one('none')


async def test_first_returns_the_first_row_or_none(trial: Postgres, user: User) -> None:
    async with trial.transaction(user.id) as tx:
        assert await tx.first('three') == {'n': 1}
        assert await tx.first('none') is None


async def test_all_returns_every_row(trial: Postgres, user: User) -> None:
    async with trial.transaction(user.id) as tx:
        assert await tx.all('three') == [{'n': 1}, {'n': 2}, {'n': 3}]
        assert await tx.all('none') == []


async def test_run_returns_how_many_rows_it_touched(trial: Postgres, user: User) -> None:
    await factories.user(trial)
    async with trial.system() as tx:
        assert await tx.run('rename_all') == 2
        assert await tx.run('rename', name='x', id=uuid4()) == 0


async def test_values_come_back_as_they_went_in(trial: Postgres, user: User) -> None:
    values = {'value': {'a': [1, None, 'ü'], 'b': {'c': 1.5}}, 'id': user.id, 'at': datetime(2026, 1, 2, 3, tzinfo=UTC)}
    async with trial.transaction(user.id) as tx:
        row = await tx.one('echo', **values)
        state = await tx.one('state', state=JobState.QUEUED)
    assert dict(row) == values
    assert isinstance(row['id'], UUID)
    assert row['at'].utcoffset().total_seconds() == 0
    assert state['state'] == 'queued'


async def test_a_transaction_commits_when_its_block_ends(trial: Postgres, user: User) -> None:
    async with trial.system() as tx:
        await tx.run('rename', name='new', id=user.id)
    async with trial.system() as tx:
        assert await tx.one('names') == {'name': 'new'}


async def test_a_transaction_rolls_back_when_its_block_raises(trial: Postgres, user: User) -> None:
    with pytest.raises(KeyError):
        async with trial.system() as tx:
            await tx.run('rename', name='new', id=user.id)
            raise KeyError
    async with trial.system() as tx:
        assert await tx.one('names') == {'name': ''}


async def test_a_transaction_rolls_back_when_it_is_cancelled(trial: Postgres, user: User) -> None:
    async def rename_slowly() -> None:
        async with trial.system() as tx:
            await tx.run('rename', name='new', id=user.id)
            await tx.run('slow')

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(rename_slowly(), 0.1)
    async with trial.system() as tx:
        assert await tx.one('names') == {'name': ''}


async def test_a_transaction_is_one_after_others_were_cancelled_at_every_step(
    trial: Postgres, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a busy process psycopg lets others run between any two steps, so a cancellation may come at each of them."""
    monkeypatch.setattr('psycopg.waiting.MAX_BUSY_TIME', 0)

    async def rename() -> None:
        async with trial.transaction(user.id) as tx:
            await tx.run('rename', name='new', id=user.id)
            await asyncio.sleep(60)

    for steps in range(40):
        task = asyncio.create_task(rename())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        async with trial.transaction(user.id) as tx:
            assert (await tx.one('whoami'))['role'] == 'authenticated', f'after {steps} steps'
            assert (await tx.one('names'))['name'] == '', f'after {steps} steps'


async def test_a_swallowed_failure_is_not_taken_for_a_commit(trial: Postgres, user: User) -> None:
    with pytest.raises(Conflict, match='nothing of this transaction was kept'):
        async with trial.system() as tx:
            await tx.run('rename', name='new', id=user.id)
            with pytest.raises(UsageError):
                await tx.one('boom', zero=0)


async def test_a_user_sees_their_rows_and_nobody_elses(trial: Postgres, user: User) -> None:
    other = await factories.user(trial)
    async with trial.transaction(user.id) as tx:
        assert await tx.all('profiles') == [{'id': user.id}]
        assert await tx.run('rename', name='stolen', id=other.id) == 0
    async with trial.system() as tx:
        assert {row['id'] for row in await tx.all('profiles')} == {user.id, other.id}


async def test_claims_and_role_end_with_the_transaction(trial: Postgres, user: User) -> None:
    async with trial.transaction(user.id) as tx:
        inside = await tx.one('whoami')
    assert inside['role'] == 'authenticated'
    assert str(user.id) in inside['claims']
    async with AsyncExitStack() as all_of_them:
        for _ in range(trial._app.get_stats()['pool_size']):
            connection = await all_of_them.enter_async_context(trial._app.connection())
            cursor = await connection.execute(TRIAL['whoami'])
            assert await cursor.fetchone() == {'role': 'variosync_app', 'claims': ''}


async def test_concurrent_users_do_not_see_each_other(trial: Postgres) -> None:
    users = [await factories.user(trial) for _ in range(20)]

    async def seen(user_id: UUID) -> list[UUID]:
        async with trial.transaction(user_id) as tx:
            return [row['id'] for row in await tx.all('profiles')]

    assert await asyncio.gather(*(seen(user.id) for user in users)) == [[user.id] for user in users]


async def test_a_unique_violation_raises_conflict(trial: Postgres, user: User) -> None:
    with pytest.raises(Conflict):
        async with trial.transaction(user.id) as tx:
            await tx.run('settings', id=user.id, theme='dark')
            await tx.run('settings', id=user.id, theme='light')


async def test_a_refused_row_raises_not_allowed(trial: Postgres, user: User) -> None:
    other = await factories.user(trial)
    with pytest.raises(NotAllowed):
        async with trial.transaction(user.id) as tx:
            await tx.run('own', id=other.id, kind='upload', name='x')
    with pytest.raises(NotAllowed):
        async with trial.transaction(user.id) as tx:
            await tx.run('link_insert', token_hash=b'x' * 32, user_id=user.id, expires_at=datetime.now(UTC))


@pytest.mark.parametrize(
    ('name', 'values'),
    [
        ('settings', {'theme': 'pink'}),
        ('own', {'kind': 'upload', 'name': None}),
        ('own', {'kind': 'upload', 'name': 'nul\0'}),
        ('by_text', {'id': 'no-uuid'}),
        ('boom', {'zero': 0}),
        ('echo', {'value': {'a': float('nan')}, 'at': None}),
    ],
)
async def test_a_value_that_cannot_be_stored_raises_usage_error(
    trial: Postgres, user: User, name: str, values: dict[str, object]
) -> None:
    with pytest.raises(UsageError) as caught:
        async with trial.transaction(user.id) as tx:
            await tx.all(name, **{'id': user.id} | values)
    assert 'pink' not in str(caught.value)


async def test_no_error_of_the_driver_leaves_the_adapter(trial: Postgres, user: User) -> None:
    with pytest.raises(VariosyncError):
        async with trial.transaction(user.id) as tx:
            await tx.one('wrong')
    with pytest.raises(Misconfigured, match='no statement named missing'):
        async with trial.transaction(user.id) as tx:
            await tx.one('missing')


async def test_ping_answers(database: Postgres) -> None:
    assert await database.ping() is None


async def test_lost_connections_raise_unavailable_and_come_back(new_postgres, migrated_home: Path) -> None:
    server = new_postgres()
    copy_home(migrated_home, server.home)
    await asyncio.to_thread(server.start)
    database = await Postgres.open(server.dsn('app'), server.dsn('worker'), patience=30)
    try:
        user = await factories.user(database)
        with pytest.raises(Unavailable):
            async with database.transaction(user.id) as tx:
                os.kill(server.pid, signal.SIGKILL)
                while True:
                    await tx.one('notices_unread')
        async with database.transaction(user.id) as tx:
            assert await tx.one('notices_unread') == {'count': 0}
        await asyncio.to_thread(server.stop)
        begin = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable):
            await database.ping()
        assert asyncio.get_running_loop().time() - begin < 20, 'a statement would wait for 30 s'
        await asyncio.to_thread(server.start)
        async with database.transaction(user.id) as tx:
            assert await tx.one('notices_unread') == {'count': 0}
    finally:
        await database.close()
    with pytest.raises(Unavailable):
        await database.ping()


async def test_open_raises_unavailable_when_nothing_answers(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        await Postgres.open(f'host={tmp_path}', f'host={tmp_path}', patience=0.2)


async def test_cancellation_that_got_lost_inside_is_delivered_at_the_end(database: Postgres) -> None:
    inside = asyncio.Event()

    async def work() -> None:
        async with database.system():
            inside.set()
            with suppress(asyncio.CancelledError):  # as the pool may, where an answer comes in the same moment
                await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=30)
    assert task in done
    assert task.cancelled()
    async with database.system() as tx:
        assert await tx.all('uploads_receiving') == []


def test_an_answer_that_psycopg_cannot_make_sense_of_is_none() -> None:
    """It says so when a connection breaks on its way to `begin` and a statement, sent together."""
    with pytest.raises(Unavailable), _translated('x'):
        raise psycopg.InternalError("received 2 results from command 'BEGIN'")
