"""Figures that the database knows: what is open now, and totals that only ever grow."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from core import metrics
from core.metrics import CountedCache, Metrics
from core.values import User
from storage.cache import MemoryCache
from storage.embedded.server import EmbeddedPostgres
from storage.postgres import Postgres, load_statements
from tests import factories

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
AGES = {'old': timedelta(hours=1), 'new': timedelta(seconds=5)}


class Rows:
    """Writes rows as if things had happened, past every rule of the database."""

    def __init__(self, connection: psycopg.Connection[Any], user: User) -> None:
        self.connection = connection
        self.user = user

    def job(self, kind: str, state: str, *, ago: timedelta = AGES['new'], took: float = 2, charged: int = 0) -> UUID:
        """A job that was recorded `ago`, started then, and ended after `took` seconds when its state is final."""
        began = datetime.now(UTC) - ago - timedelta(seconds=took)
        ended = None if state in ('queued', 'running') else began + timedelta(seconds=took)
        row = self.connection.execute(
            'insert into public.jobs (user_id, kind, title, state, payload, created_at, started_at, finished_at, '
            "quote, charged) values (%s, %s, 'x', %s, '{}', %s, %s, %s, %s, %s) returning id",
            (self.user.id, kind, state, began, None if state == 'queued' else began, ended, charged, charged),
        ).fetchone()
        assert row is not None
        return UUID(str(row[0]))

    def viewing(self, seconds: int, *, ago: timedelta = AGES['new']) -> None:
        """A charge for viewing."""
        at, key = datetime.now(UTC) - ago, uuid4().hex
        self.connection.execute(
            'with given as (insert into public.hour_grants (user_id, source, label, seconds, remaining, key) '
            "values (%(user)s, 'gift', 'x', 9999, 9999, %(key)s) returning id) "
            'insert into public.hour_ledger (user_id, grant_id, kind, label, seconds, balance, key, at) '
            "select %(user)s, id, 'viewing', 'Viewing', -%(seconds)s, 1, %(key)s, %(at)s from given",
            {'user': self.user.id, 'key': key, 'seconds': seconds, 'at': at},
        )


@pytest.fixture
def rows(database: Postgres, postgres: EmbeddedPostgres, user: User):
    with psycopg.connect(postgres.dsn('superuser'), autocommit=True) as connection:
        yield Rows(connection, user)


@pytest.fixture
def figures(database: Postgres) -> Metrics:
    return Metrics(database, cache=CountedCache(MemoryCache()), since=LONG_AGO)


async def test_nothing_has_happened(figures: Metrics) -> None:
    found = await figures.read()
    kinds = ('convert', 'forecast', 'score')
    assert found.jobs == dict.fromkeys([(state, kind) for state in ('queued', 'running') for kind in kinds], 0)
    assert found.oldest == {'queued': 0, 'running': 0}
    assert len(found.ended) == 9
    assert not any(found.ended.values())
    assert (found.rows_converted, found.forecast_seconds) == (0, 0)
    assert found.charged == {'viewing': 0, 'convert': 0, 'forecast': 0}
    assert found.cache == {'hit': 0, 'miss': 0}


async def test_open_jobs_and_their_age(rows: Rows, figures: Metrics) -> None:
    rows.job('convert', 'queued', ago=timedelta(seconds=98))
    rows.job('convert', 'queued', ago=timedelta(seconds=5))
    rows.job('forecast', 'running', ago=timedelta(seconds=18))
    found = await figures.read()
    assert found.jobs['queued', 'convert'] == 2
    assert found.jobs['running', 'forecast'] == 1
    assert found.oldest == {'queued': pytest.approx(100, abs=2), 'running': pytest.approx(20, abs=2)}


@pytest.mark.parametrize('age', AGES)
async def test_what_ended_counts_once_however_often_it_is_read(rows: Rows, figures: Metrics, age: str) -> None:
    rows.job('forecast', 'succeeded', ago=AGES[age], took=7, charged=6)
    rows.job('forecast', 'failed', ago=AGES[age], took=3)
    rows.job('convert', 'cancelled', ago=AGES[age])
    rows.viewing(30, ago=AGES[age])
    rows.viewing(25, ago=AGES[age])
    for _ in range(3):
        found = await figures.read()
        assert {pair: number for pair, number in found.ended.items() if number} == {
            ('forecast', 'succeeded'): 1,
            ('forecast', 'failed'): 1,
            ('convert', 'cancelled'): 1,
        }
        assert found.forecast_seconds == pytest.approx(10, abs=0.01)
        assert found.charged == {'viewing': 55, 'convert': 0, 'forecast': 6}


async def test_what_comes_between_two_reads_is_added(rows: Rows, figures: Metrics) -> None:
    rows.job('convert', 'succeeded', ago=AGES['old'], charged=4)
    rows.viewing(10, ago=AGES['old'])
    await figures.read()
    rows.job('convert', 'succeeded', charged=5)
    rows.viewing(20)
    found = await figures.read()
    assert found.ended['convert', 'succeeded'] == 2
    assert found.charged == {'viewing': 30, 'convert': 9, 'forecast': 0}


async def test_what_is_young_settles_in_time(rows: Rows, figures: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    rows.job('convert', 'succeeded', charged=5)
    rows.viewing(20)
    await figures.read()
    monkeypatch.setattr(metrics, 'SETTLING', timedelta(0))
    for _ in range(2):
        found = await figures.read()
        assert (found.ended['convert', 'succeeded'], found.charged['convert'], found.charged['viewing']) == (1, 5, 20)


@pytest.mark.parametrize('age', AGES)
async def test_totals_do_not_fall_when_an_account_is_deleted(
    rows: Rows, figures: Metrics, user: User, age: str
) -> None:
    rows.job('convert', 'succeeded', ago=AGES[age], charged=4)
    rows.viewing(10, ago=AGES[age])
    before = await figures.read()
    rows.connection.execute('delete from public.profiles where id = %s', (user.id,))
    assert await figures.read() == before


async def test_totals_begin_with_the_process(database: Postgres, rows: Rows) -> None:
    rows.job('convert', 'succeeded', ago=AGES['old'], charged=4)
    rows.viewing(10, ago=AGES['old'])
    figures = Metrics(database, cache=CountedCache(MemoryCache()))
    found = await figures.read()
    assert found.ended['convert', 'succeeded'] == found.charged['viewing'] == 0
    rows.job('convert', 'succeeded', ago=timedelta(0), took=-0.5)
    assert (await figures.read()).ended['convert', 'succeeded'] == 1


async def test_converted_rows_are_counted(postgres: EmbeddedPostgres, rows: Rows, figures: Metrics) -> None:
    made = factories.tenant(rows.connection)
    rows.connection.execute(
        "update public.jobs set state = 'succeeded', started_at = now(), finished_at = now() where id = %s",
        (made.ids['jobs'],),
    )
    for _ in range(2):
        assert (await figures.read()).rows_converted == 1


async def test_the_cache_counts_what_it_finds() -> None:
    cache = CountedCache(MemoryCache())
    await cache.set('tenant/a', b'1', ttl=60)
    assert await cache.get('tenant/a') == b'1'
    assert await cache.get('tenant/b') is None
    await cache.delete('tenant/a')
    assert await cache.get('tenant/a') is None
    assert (cache.hits, cache.misses) == (1, 2)


def test_a_scrape_is_cheap_with_a_hundred_thousand_jobs(postgres: EmbeddedPostgres) -> None:
    """All in one transaction that is not kept."""
    sql = load_statements()['metrics_read'].sql
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        many(connection)
        connection.execute('set local role variosync_worker')
        asked = {'since': datetime.now(UTC) - timedelta(seconds=75), 'until': datetime.now(UTC) - timedelta(seconds=60)}
        explained = connection.execute(f'explain (analyze, buffers, format json) {sql}', asked).fetchone()
        assert explained is not None
        connection.rollback()
    plan = explained[0][0]
    assert list(scanned(plan['Plan'])) == []
    assert plan['Execution Time'] < 50, 'milliseconds; measured 1 to 3'


def many(connection: psycopg.Connection[Any]) -> None:
    """100,000 jobs and as many charges, one a second; the last ones are open."""
    user_id = uuid4()
    connection.execute("insert into public.profiles (id, email) values (%s, 'many@example.com')", (user_id,))
    connection.execute('set local session_replication_role = replica')  # no trigger looks at each row
    connection.execute(
        'insert into public.jobs (user_id, kind, title, state, payload, created_at, started_at, finished_at) '
        "select %s, 'convert', 'x', case when n > 20 then 'succeeded' else 'queued' end, "
        "jsonb_build_object('options', repeat('x', 300)), at, at, case when n > 20 then at end "
        "from (select n, now() - n * interval '1 second' as at from generate_series(1, 100000) n) past",
        (user_id,),
    )
    connection.execute(
        'with given as (insert into public.hour_grants (user_id, source, label, seconds, remaining, key) '
        "values (%(user)s, 'gift', 'x', 9999, 9999, 'many') returning id) "
        'insert into public.hour_ledger (user_id, grant_id, kind, label, seconds, balance, key, at) '
        "select %(user)s, id, 'viewing', 'Viewing', -30, 1, n::text, now() - (100000 - n) * interval '1 second' "
        'from given, generate_series(1, 100000) n',
        {'user': user_id},
    )
    connection.execute('analyze public.jobs')
    connection.execute('analyze public.hour_ledger')


def scanned(plan: dict[str, Any]):
    """Names of the large tables that a plan reads whole."""
    if plan['Node Type'] == 'Seq Scan' and plan['Relation Name'] in ('jobs', 'hour_ledger'):
        yield plan['Relation Name']
    for child in plan.get('Plans', []):
        yield from scanned(child)
