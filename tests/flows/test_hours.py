"""Hours: what viewing and jobs cost, and when they stop. Time passes by moving the marks in the database."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from core.errors import Conflict, NotEnoughHours, NotFound, TaskFailed, UsageError
from core.hours import HOUR, Hours
from core.settings import Prices
from core.values import Balance, JobState, User
from storage.embedded.server import EmbeddedPostgres
from storage.postgres import Postgres
from tests import factories
from tests.flows.conftest import Product, pieces
from tests.flows.doubles import ScriptedCompute

CSV = b'ds,y\n' + b''.join(f'2026-01-{day:02},{day}\n'.encode() for day in range(1, 29))


@pytest.fixture
async def poor(database: Postgres) -> User:
    """Somebody with an account and no hours."""
    return await factories.user(database, hours=0)


@pytest.fixture
def hours(product: Product) -> Hours:
    """The hours of the product."""
    return product.hours


class Clock:
    """Lets time pass for a user's usage session and grants."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def passes(self, user: User, **by: float) -> None:
        """As if everything about a user's viewing had happened earlier."""
        with psycopg.connect(self._dsn) as connection:
            connection.execute(
                'update public.usage_sessions set started_at = started_at - %(by)s, seen_at = seen_at - %(by)s,'
                ' billed_through = billed_through - %(by)s, active_at = active_at - %(by)s'
                ' where user_id = %(user)s and ended_at is null',
                {'by': timedelta(**by), 'user': user.id},
            )

    def one(self, query: str, user: User) -> Any:
        """The only value of a query about a user."""
        with psycopg.connect(self._dsn) as connection:
            return connection.execute(query, {'user': user.id}).fetchone()[0]

    def expires(self, user: User, **by: float) -> None:
        """As if every grant of a user had expired so long ago."""
        with psycopg.connect(self._dsn) as connection:
            connection.execute(
                'update public.hour_grants set expires_at = clock_timestamp() - %s where user_id = %s',
                (timedelta(**by), user.id),
            )


@pytest.fixture
def clock(postgres: EmbeddedPostgres) -> Clock:
    return Clock(postgres.dsn('superuser'))


async def total(hours: Hours, user: User) -> int:
    """Σ ledger, which must be the balance."""
    lines = await hours.ledger(user.id, limit=1000, grouped=False)
    assert lines[0].balance == sum(line.seconds for line in lines)
    return lines[0].balance


# viewing


async def test_viewing_is_charged_to_the_second(hours: Hours, user: User, clock: Clock) -> None:
    assert (await hours.beat(user.id)).state == 'running'
    clock.passes(user, seconds=30)
    after = await hours.beat(user.id)
    assert after == Balance(seconds=10 * HOUR - 30, state='running')
    clock.passes(user, seconds=0.7)
    assert (await hours.beat(user.id)).seconds == 10 * HOUR - 30
    clock.passes(user, seconds=0.7)
    assert (await hours.beat(user.id)).seconds == 10 * HOUR - 31
    assert await total(hours, user) == 10 * HOUR - 31


async def test_many_tabs_cost_as_much_as_one(hours: Hours, user: User, clock: Clock) -> None:
    await asyncio.gather(*(hours.beat(user.id) for _ in range(8)))
    for _ in range(4):
        clock.passes(user, seconds=30)
        await asyncio.gather(*(hours.beat(user.id, idle=idle) for idle in (0, 20, 200, 1000)))
    assert 10 * HOUR - 122 <= (await hours.balance(user.id)).seconds <= 10 * HOUR - 120
    assert clock.one('select count(*) from public.usage_sessions where user_id = %(user)s', user) == 1


async def test_idle_after_five_minutes_and_back_on_activity(hours: Hours, user: User, clock: Clock) -> None:
    await hours.beat(user.id)
    for minute in range(1, 8):
        clock.passes(user, seconds=60)
        state = (await hours.beat(user.id, idle=60 * minute)).state
        assert state == ('running' if minute < 5 else 'idle')
    assert (await hours.balance(user.id)).seconds == 10 * HOUR - 300
    assert (await hours.beat(user.id, idle=2)).state == 'running'
    clock.passes(user, seconds=30)
    assert 10 * HOUR - 333 <= (await hours.beat(user.id)).seconds <= 10 * HOUR - 330


async def test_what_nobody_saw_is_not_charged(hours: Hours, user: User, clock: Clock) -> None:
    await hours.beat(user.id)
    clock.passes(user, seconds=30)
    await hours.beat(user.id)
    clock.passes(user, hours=2)
    assert (await hours.balance(user.id)).state == 'off'
    assert (await hours.beat(user.id)).seconds == 10 * HOUR - 30
    assert clock.one('select count(*) from public.usage_sessions where user_id = %(user)s', user) == 2


async def test_nothing_is_due_while_every_page_is_closed(hours: Hours, user: User, clock: Clock) -> None:
    page, other, later = uuid4(), uuid4(), uuid4()
    await hours.beat(user.id, page=page, opening=True)
    clock.passes(user, seconds=5)
    await hours.beat(user.id, page=other, opening=True)
    clock.passes(user, seconds=5)
    await hours.beat(user.id, page=page, leaving=True)
    assert (await hours.balance(user.id)).state == 'running', 'another page is open'
    clock.passes(user, seconds=5)
    left = await hours.beat(user.id, page=other, leaving=True)
    assert (left.state, left.seconds) == ('off', 10 * HOUR - 15)
    clock.passes(user, seconds=40)
    assert (await hours.beat(user.id, page=later, opening=True)).seconds == 10 * HOUR - 15
    clock.passes(user, seconds=5)
    assert (await hours.beat(user.id, page=later)).seconds == 10 * HOUR - 20
    assert clock.one('select count(*) from public.usage_sessions where user_id = %(user)s', user) == 1


async def test_going_from_page_to_page_is_charged(hours: Hours, user: User, clock: Clock) -> None:
    """The next page is asked for before the last one says that it closes."""
    page = uuid4()
    await hours.beat(user.id, page=page, opening=True)
    for _ in range(6):
        clock.passes(user, seconds=10)
        page, before = uuid4(), page
        await hours.beat(user.id, page=page, opening=True)
        assert (await hours.beat(user.id, page=before, leaving=True)).state == 'running'
    assert (await hours.balance(user.id)).seconds == 10 * HOUR - 60


async def test_page_that_nobody_knew_of_goes_on(hours: Hours, user: User, clock: Clock) -> None:
    """A tab whose session had ended while its computer slept beats on after another was closed."""
    page, unknown = uuid4(), uuid4()
    await hours.beat(user.id, page=page, opening=True)
    await hours.beat(user.id, page=page, leaving=True)
    clock.passes(user, seconds=20)
    assert (await hours.beat(user.id, page=unknown)).seconds == 10 * HOUR - 20
    assert (await hours.beat(user.id, page=page, leaving=True)).state == 'running'


async def test_leaving_begins_nothing(hours: Hours, user: User, clock: Clock) -> None:
    assert (await hours.beat(user.id, page=uuid4(), leaving=True)).state == 'off'
    await hours.pause(user.id)
    assert (await hours.beat(user.id, page=uuid4(), leaving=True)).state == 'paused'
    assert (await hours.balance(user.id)).seconds == 10 * HOUR


async def test_pause_by_hand_lasts_until_resumed(hours: Hours, user: User, clock: Clock) -> None:
    await hours.beat(user.id)
    clock.passes(user, seconds=20)
    paused = await hours.pause(user.id)
    assert (paused.state, paused.seconds) == ('paused', 10 * HOUR - 20)
    for _ in range(3):
        clock.passes(user, minutes=10)
        assert (await hours.beat(user.id)).state == 'paused'
    assert (await hours.balance(user.id)).seconds == 10 * HOUR - 20
    assert (await hours.resume(user.id)).state == 'running'
    clock.passes(user, seconds=10)
    assert (await hours.beat(user.id)).seconds == 10 * HOUR - 30


async def test_pause_before_anything_was_opened(hours: Hours, user: User) -> None:
    assert (await hours.pause(user.id)).state == 'paused'
    assert (await hours.beat(user.id)).state == 'paused'


async def test_viewing_stops_at_zero_and_never_goes_below(hours: Hours, poor: User, clock: Clock) -> None:
    assert await hours.grant(poor.id, 50, source='gift', label='A little', key='a')
    await hours.beat(poor.id)
    clock.passes(poor, seconds=70)
    assert await hours.beat(poor.id) == Balance(seconds=0, state='exhausted')
    assert (await hours.beat(poor.id)).state == 'exhausted'
    assert await total(hours, poor) == 0
    await hours.grant(poor.id, 100, source='gift', label='More', key='b')
    assert (await hours.beat(poor.id)).state == 'running'


async def test_idle_must_be_a_length_of_time(hours: Hours, user: User) -> None:
    for idle in (-1.0, float('nan'), float('inf')):
        with pytest.raises(UsageError):
            await hours.beat(user.id, idle=idle)
    await hours.beat(user.id, idle=1e300)


# grants


async def test_grants_are_used_by_priority_expiry_and_age(hours: Hours, poor: User, clock: Clock) -> None:
    soon, later = (datetime.now(UTC) + timedelta(days=days) for days in (1, 30))
    for label, expires, priority in (
        ('old', None, 50),
        ('later', later, 50),
        ('soon', soon, 50),
        ('first', None, 10),
        ('new', None, 50),
    ):
        await hours.grant(poor.id, 10, source='gift', label=label, key=label, expires_at=expires, priority=priority)
    order = ['first', 'soon', 'later', 'old', 'new']
    assert [grant.label for grant in await hours.grants(poor.id)] == order
    await hours.beat(poor.id)
    clock.passes(poor, seconds=35)
    await hours.beat(poor.id)
    left = {grant.label: grant.remaining for grant in await hours.grants(poor.id)}
    assert left == {'old': 5, 'new': 10}
    assert (await hours.ledger(poor.id))[0].seconds == -35


async def test_grant_is_given_once_for_a_key(hours: Hours, poor: User) -> None:
    given = await asyncio.gather(*(hours.grant(poor.id, 60, source='gift', label='Gift', key='same') for _ in range(5)))
    assert sorted(given) == [False] * 4 + [True]
    assert await total(hours, poor) == 60


async def test_expired_hours_are_written_off(hours: Hours, user: User, clock: Clock) -> None:
    clock.expires(user, seconds=1)
    assert await hours.balance(user.id) == Balance(seconds=0, state='exhausted')
    await hours.sweep()
    last = (await hours.ledger(user.id))[0]
    assert (last.kind, last.seconds, last.balance) == ('expiry', -10 * HOUR, 0)
    await hours.sweep()
    assert len(await hours.ledger(user.id)) == 2


async def test_new_accounts_have_trial_hours_and_the_owner_more(product: Product) -> None:
    _, session = await product.accounts.sign_up('anna@example.com', 'correct horse battery', address='127.0.0.1')
    assert (await product.hours.balance(session.user.id)).seconds == 2 * HOUR
    await product.accounts.sign_in('anna@example.com', 'correct horse battery', address='127.0.0.1')
    assert (await product.hours.balance(session.user.id)).seconds == 2 * HOUR
    for _ in range(2):
        token = await product.accounts.owner_link('owner@localhost')
    _, session = await product.accounts.redeem(token, address='127.0.0.1')
    assert (await product.hours.balance(session.user.id)).seconds == 1000 * HOUR


async def test_no_amount_that_makes_no_sense(hours: Hours, user: User) -> None:
    for seconds in (0, -5, 10**12):
        with pytest.raises(UsageError):
            await hours.grant(user.id, seconds, source='gift', label='x', key='x')
    with pytest.raises(NotFound):
        await hours.account('nobody@example.com')


# jobs


async def test_job_holds_its_quote_and_returns_what_it_did_not_use(product: Product, user: User) -> None:
    upload = await product.send(user, 'a.csv', CSV)
    quote = product.hours.quote_convert(upload.size, upload.name).seconds
    assert await product.hours.balance(user.id) == Balance(seconds=10 * HOUR - quote, reserved=quote)
    (job,) = await product.work_off(user)
    assert (job.state, job.quote) == (JobState.SUCCEEDED, quote)
    assert job.charged is not None
    assert 0 <= job.charged < quote
    assert await product.hours.balance(user.id) == Balance(seconds=10 * HOUR - job.charged)
    assert await total(product.hours, user) == 10 * HOUR - job.charged
    held, returned = (line for line in reversed(await product.hours.ledger(user.id)) if line.job_id == job.id)
    assert (held.kind, held.seconds, returned.kind) == ('job', -quote, 'refund')


async def test_failed_and_cancelled_jobs_cost_nothing(open_product: Any, user: User) -> None:
    product = open_product(ScriptedCompute(lambda task, payload: TaskFailed('No.')))
    await product.send(user, 'a.csv', CSV)
    (job,) = await product.work_off(user)
    assert (job.state, job.charged) == (JobState.FAILED, 0)
    assert await product.hours.balance(user.id) == Balance(seconds=10 * HOUR)

    await product.jobs.retry(user.id, job.id)
    assert (await product.hours.balance(user.id)).reserved == job.quote
    await product.jobs.cancel(user.id, job.id)
    with pytest.raises(Conflict):
        await product.jobs.cancel(user.id, job.id)
    assert await product.hours.balance(user.id) == Balance(seconds=10 * HOUR)
    assert await total(product.hours, user) == 10 * HOUR


async def test_charge_is_at_most_the_quote(database: Postgres, open_product: Any, user: User, clock: Clock) -> None:
    product = open_product()
    await product.send(user, 'a.csv', CSV)
    (job,) = await product.jobs.running(user.id)
    async with database.system() as tx:
        await tx.one('job_claim', id=job.id)
    with psycopg.connect(clock._dsn) as connection:
        connection.execute("update public.jobs set claimed_at = claimed_at - interval '1 day'")
    async with database.system() as tx:
        row = await tx.one('job_finish', id=job.id, attempt=1, state='succeeded', error=None, message='')
    assert row['charged'] == job.quote


async def test_short_balance_refuses_with_the_shortfall(product: Product, poor: User) -> None:
    quote = product.hours.quote_convert(len(CSV), 'a.csv').seconds
    await product.hours.grant(poor.id, quote - 3, source='gift', label='A little', key='a')
    with pytest.raises(NotEnoughHours) as refused:
        await product.send(poor, 'a.csv', CSV)
    assert refused.value.details == {'quote': quote, 'shortfall': 3, 'balance': quote - 3}
    assert refused.value.status == 402


async def test_upload_that_arrived_waits_for_hours(product: Product, poor: User, clock: Clock) -> None:
    await product.hours.grant(poor.id, HOUR, source='gift', label='An hour', key='a')
    upload = await product.uploads.begin_upload(poor.id, name='a.csv', size=len(CSV))
    clock.expires(poor, seconds=1)

    async def whole() -> Any:
        yield CSV

    with pytest.raises(NotEnoughHours):
        await product.uploads.append(poor.id, upload.id, 0, whole())
    assert await product.datasets.list(poor.id) == []
    assert await product.uploads.recover() == 0
    assert await product.objects.list(f't/{poor.id}/') == [], 'what waits is not copied at every look'
    await product.hours.grant(poor.id, HOUR, source='gift', label='Another', key='b')
    accepted, _ = await product.uploads.received(poor.id, upload.id)
    assert accepted.state == 'accepted'


async def test_what_changes_nothing_takes_no_hours(product: Product, poor: User, clock: Clock) -> None:
    await product.hours.grant(poor.id, HOUR, source='gift', label='An hour', key='a')
    dataset = await product.bring(poor, 'a.csv', CSV)
    upload = await product.uploads.begin_upload(poor.id, name='a.csv', size=len(CSV), dataset_id=dataset.id)
    clock.expires(poor, seconds=1)
    same, _ = await product.uploads.append(poor.id, upload.id, 0, pieces(CSV))
    assert same.state == 'unchanged'


async def test_concurrent_jobs_never_spend_the_same_second(database: Postgres, product: Product, poor: User) -> None:
    await product.hours.grant(poor.id, 100, source='gift', label='Few', key='a')

    async def order() -> bool:
        try:
            async with database.transaction(poor.id) as tx:
                await product.queue.enqueue(tx, user_id=poor.id, kind='convert', title='x', payload={}, quote=30)
        except NotEnoughHours:
            return False
        return True

    assert sorted(await asyncio.gather(*(order() for _ in range(8)))) == [False] * 5 + [True] * 3
    assert await product.hours.balance(poor.id) == Balance(seconds=10, reserved=90)


async def test_sweep_leaves_the_last_seconds_before_an_expiry_to_viewing(
    hours: Hours, user: User, clock: Clock
) -> None:
    await hours.beat(user.id)
    clock.passes(user, seconds=30)
    clock.expires(user, seconds=1)
    clock.one(
        'insert into public.hour_grants (user_id, source, label, seconds, remaining, key)'
        " values (%(user)s, 'gift', 'Later', 100, 100, 'later') returning 1",
        user,
    )
    await hours.sweep()
    assert (await hours.beat(user.id)).seconds == 100
    assert [grant.label for grant in await hours.grants(user.id)] == ['Later']
    clock.passes(user, seconds=80)
    await hours.sweep()
    assert clock.one('select count(*) from public.hour_grants where user_id = %(user)s and remaining > 0', user) == 1


async def test_what_comes_back_after_its_grant_expired_is_good_for_a_week(
    product: Product, user: User, clock: Clock
) -> None:
    await product.send(user, 'a.csv', CSV)
    (job,) = await product.jobs.running(user.id)
    clock.expires(user, seconds=1)
    await product.jobs.cancel(user.id, job.id)
    (grant,) = await product.hours.grants(user.id)
    assert (grant.source, grant.remaining) == ('refund', job.quote)
    assert timedelta(days=6) < grant.expires_at - datetime.now(UTC) < timedelta(days=8)
    await product.hours.sweep()
    assert await total(product.hours, user) == job.quote


# what is told


async def test_low_hours_are_told_once_a_threshold(product: Product, poor: User, clock: Clock) -> None:
    await product.hours.grant(poor.id, 31 * 60, source='gift', label='Half an hour', key='a')
    await product.hours.beat(poor.id)
    told = []
    for _ in range(40):
        clock.passes(poor, seconds=60)
        await asyncio.gather(product.hours.beat(poor.id), product.hours.beat(poor.id))
        told = [notice.title for notice in await product.notices.latest(poor.id, limit=100)]
    assert [title for title in told if 'used up' in title] == ['Your hours are used up']
    assert len([title for title in told if 'left' in title]) == 2


async def test_open_pages_hear_of_each_change(product: Product, user: User) -> None:
    async with product.events.subscribe(f'{user.id}/hours') as messages:
        await product.hours.pause(user.id)
        async with asyncio.timeout(5):
            assert (await anext(messages))['state'] == 'paused'
        await product.send(user, 'a.csv', CSV)
        async with asyncio.timeout(5):
            message = await anext(messages)
        assert message['reserved'] > 0
        assert message['seconds'] == 10 * HOUR - message['reserved']


# what is shown


async def test_ledger_pages_and_groups(product: Product, user: User, clock: Clock) -> None:
    await product.hours.beat(user.id)
    for _ in range(3):
        clock.passes(user, seconds=30)
        await product.hours.beat(user.id)
    await product.bring(user, 'a.csv', CSV)
    clock.passes(user, seconds=30)
    await product.hours.beat(user.id)
    lines = await product.hours.ledger(user.id)
    assert [line.kind for line in lines] == ['viewing', 'refund', 'job', 'viewing', 'grant']
    assert lines[3].seconds == -90
    for newer, older in itertools.pairwise(lines):
        assert older.balance == newer.balance - newer.seconds
    pages = []
    before = None
    while page := await product.hours.ledger(user.id, limit=2, before=before):
        pages += page
        before = page[-1].id
    assert [(line.kind, line.seconds) for line in pages] == [(line.kind, line.seconds) for line in lines]
    assert [line.kind for line in await product.hours.ledger(user.id, kind='job')] == ['job']


async def test_ledger_goes_on_behind_months_of_viewing(product: Product, user: User, clock: Clock) -> None:
    clock.one(
        'with days as (select gen_random_uuid() as id, day from generate_series(1, 22) as day), added as ('
        ' insert into public.hour_ledger (user_id, grant_id, kind, label, seconds, balance, key, session_id)'
        " select %(user)s, g.id, 'viewing', 'Viewing', -1, g.seconds - (d.day - 1) * 1000 - beat,"
        " 'viewing:' || d.id || ':' || beat, d.id"
        ' from days d, generate_series(1, 1000) as beat, public.hour_grants g where g.user_id = %(user)s'
        ' order by d.day, beat returning 1) select count(*) from added',
        user,
    )
    lines = await product.hours.ledger(user.id, limit=100)
    assert sum(line.seconds for line in lines) == 10 * HOUR - 22_000
    assert lines[-1].kind == 'grant'


async def test_usage_by_day_has_every_day(product: Product, user: User, clock: Clock) -> None:
    await product.hours.beat(user.id)
    clock.passes(user, seconds=30)
    await product.hours.beat(user.id)
    await product.bring(user, 'a.csv', CSV)
    days = await product.hours.usage(user.id, days=7, time_zone='Pacific/Auckland')
    assert len(days) == 7
    assert [day.viewing for day in days] == [0] * 6 + [30]
    (job,) = await product.jobs.list(user.id)
    assert days[-1].convert == job.charged
    assert days[-1].forecast == 0
    assert {b.day - a.day for a, b in itertools.pairwise(days)} == {timedelta(days=1)}
    with pytest.raises(UsageError):
        await product.hours.usage(user.id, days=0)


async def test_other_tenants_hours_do_not_exist(product: Product, user: User, poor: User) -> None:
    await product.hours.beat(user.id)
    assert await product.hours.ledger(poor.id) == []
    assert await product.hours.grants(poor.id) == []
    assert (await product.hours.balance(poor.id)).seconds == 0


# prices


def pricing(**prices: Any) -> Hours:
    """Hours of which only the prices are asked."""
    return Hours(None, events=None, notices=None, prices=Prices(**prices), trial_hours=0)  # type: ignore[arg-type]


def test_conversion_is_priced_by_rows() -> None:
    hours = pricing(convert=10, convert_rows=15)
    assert hours.quote_convert(100).seconds == 11
    assert hours.quote_convert(100_000_000).seconds == 40
    assert hours.quote_convert(100_000_000, 'x.csv.gz').seconds == 250
    assert hours.quote_convert(18_400).basis == 'a file of 18 KB', 'its rows are not known before it is read'
    assert hours.quote_convert(1_030_000).basis == 'a file of 0.982 MB'
    assert hours.quote_convert(1_048_575).basis == 'a file of 1 MB'
    assert hours.quote_convert(700 * 2**20).basis == 'a file of 700 MB'
    assert hours.quote_convert(100_000_000, rows=1_234_000).basis == '1.23M rows'


def test_forecast_is_priced_by_series_and_models() -> None:
    hours = pricing(forecast=20, models={'auto': 6, 'ets': 2})
    assert hours.quote_forecast(series=10, models=['auto', 'ets']).seconds == 100
    assert hours.quote_forecast(series=10, models=['ets'], rows=50_000).seconds == 120
    assert hours.quote_forecast(series=1, models=['unheard of']).seconds == 26
    assert hours.quote_forecast(series=1, models=['ets']).basis == '1 series × 1 model'


def test_past_cutoffs_count() -> None:
    hours = pricing(forecast=20, models={'auto': 6, 'ets': 2})
    more = hours.quote_forecast(series=10, models=['ets'], windows=7)
    assert (more.seconds, more.basis) == (60, '10 series × 1 model × 7 past cutoffs')
    assert hours.quote_forecast(series=10, models=['ets'], windows=1).basis == '10 series × 1 model × 1 past cutoff'


def test_a_budget_bounds_what_auto_costs_and_no_other_model() -> None:
    hours = pricing(forecast=20, models={'auto': 6, 'ets': 2})
    bounded = hours.quote_forecast(series=1000, models=['auto'], budget=90)
    assert (bounded.seconds, bounded.basis) == (110, '1,000 series × 1 model, auto within 1 min 30 s')
    assert hours.quote_forecast(series=10, models=['auto'], budget=90).seconds == 80
    ets = hours.quote_forecast(series=1000, models=['ets'])
    assert hours.quote_forecast(series=1000, models=['ets'], budget=90) == ets
    assert hours.quote_forecast(series=1000, models=['ets', 'auto'], budget=90).seconds == ets.seconds + 90
