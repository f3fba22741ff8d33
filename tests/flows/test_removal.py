"""What was deleted is removed for good after thirty days, and nothing else is."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from core.ask import Ask
from core.errors import Conflict, NotFound, Unavailable, UsageError
from core.values import KEPT, Actor, Dataset, User
from storage.embedded.server import EmbeddedPostgres
from storage.objects import Objects
from tests import factories
from tests.flows.conftest import Product
from tests.flows.test_track import HISTORY, Tasks, forecast_of, more, table

HERE = Actor(address='127.0.0.1')
FILE = b'ds,y\n2024-01-01,1\n2024-01-02,2\n'


@pytest.fixture
def product(open_product: Callable[..., Product], tmp_path: Path) -> Product:
    """The product with its real tasks, but for models."""
    return open_product(Tasks(tmp_path))


def ask(postgres: EmbeddedPostgres, statement: str, *values: Any) -> list[Any]:
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        found = connection.execute(statement, values)
        return found.fetchall() if found.description else []


def age(postgres: EmbeddedPostgres, dataset: UUID, days: int) -> None:
    ask(postgres, 'update datasets set deleted_at = now() - make_interval(days => %s) where id = %s', days, dataset)


def age_forecast(postgres: EmbeddedPostgres, forecast: UUID, days: int) -> None:
    ask(postgres, 'update forecasts set deleted_at = now() - make_interval(days => %s) where id = %s', days, forecast)


def rows_of(postgres: EmbeddedPostgres, user: User) -> dict[str, int]:
    """How many rows the user has in each table that tells of data."""
    tables = ('datasets', 'data_sources', 'dataset_versions', 'jobs', 'hour_reservations', 'forecasts', 'notices')
    more = ('issued_forecasts', 'forecast_scores', 'version_changes')
    return {
        name: ask(postgres, f'select count(*) from public.{name} where user_id = %s', user.id)[0][0]
        for name in (*tables, *more)
    }


async def deleted(product: Product, postgres: EmbeddedPostgres, user: User, dataset: Dataset, *, days: int) -> None:
    await product.datasets.delete(user.id, dataset.id, by=HERE)
    age(postgres, dataset.id, days)


async def test_a_dataset_is_removed_with_all_that_came_of_it(
    product: Product, user: User, postgres: EmbeddedPostgres
) -> None:
    dataset = await product.bring(user, 'shops.csv', table(HISTORY))
    await forecast_of(product, user, dataset)
    await more(product, user, dataset, table(HISTORY + 4))
    failed = await product.send(user, 'shops.csv', b'nothing,of,it\n', dataset_id=dataset.id)
    assert [job.state for job in await product.work_off(user)] == ['failed']
    assert all(count for name, count in rows_of(postgres, user).items() if name != 'version_changes')
    kinds = {key.split('/')[2] for key in await product.objects.list(f't/{user.id}/')}
    assert kinds == {'convert', 'forecast', 'u'}
    ledger, balance = await product.hours.ledger(user.id), await product.hours.balance(user.id)

    await deleted(product, postgres, user, dataset, days=31)
    assert await product.removal.sweep() == 1
    assert await product.objects.list(f't/{user.id}/') == []
    assert not any(rows_of(postgres, user).values())
    left = ask(
        postgres, 'select distinct name, object_key, sha256, state, dataset_id from uploads where user_id = %s', user.id
    )
    assert left == [('removed', None, None, 'discarded', None)]
    assert await product.datasets.deleted(user.id) == []
    assert (await product.datasets.count(user.id)).deleted == 0
    with pytest.raises(NotFound):
        await product.datasets.undelete(user.id, dataset.id, by=HERE)
    entry, *_ = await product.accounts.audit(user.id)
    assert (entry.action, entry.subject, entry.address) == ('dataset removed', 'shops', '')
    assert await product.hours.ledger(user.id) == ledger, 'what was spent was spent'
    assert await product.hours.balance(user.id) == balance
    assert await product.removal.sweep() == 0
    assert failed.dataset_id == dataset.id


async def test_what_is_kept_is_not_touched(product: Product, user: User, postgres: EmbeddedPostgres) -> None:
    stranger = await factories.user(product.database)
    stays, recent, back, gone, foreign = [
        await product.bring(who, f'{name}.csv', FILE + f'2024-02-0{place + 1},3\n'.encode())
        for place, (who, name) in enumerate(
            [(user, 'stays'), (user, 'recent'), (user, 'back'), (user, 'gone'), (stranger, 'foreign')]
        )
    ]
    await deleted(product, postgres, user, recent, days=29)
    await deleted(product, postgres, user, back, days=31)
    await product.datasets.undelete(user.id, back.id, by=HERE)
    await deleted(product, postgres, user, gone, days=31)
    before = set(await product.objects.list(f't/{user.id}/'))
    theirs = await product.objects.list(f't/{stranger.id}/')
    assert await product.removal.sweep() == 1
    went = before - set(await product.objects.list(f't/{user.id}/'))
    assert {key.split('/')[2] for key in went} == {'convert', 'u'}
    assert await product.objects.list(f't/{stranger.id}/') == theirs
    await product.datasets.undelete(user.id, recent.id, by=HERE)
    for who, one in ((user, stays), (user, recent), (user, back), (stranger, foreign)):
        version = await product.datasets.version(who.id, one.id)
        assert (await product.datasets.preview(who.id, version)).total == 3
        assert (await product.uploads.correct(who.id, one.id, {'day_first': True})).state == 'queued'
    assert [job.state for job in await product.work_off(user)] == ['succeeded'] * 3


async def test_a_forecast_that_was_issued_goes_on_counting_and_cannot_be_brought_back(
    product: Product, user: User, postgres: EmbeddedPostgres
) -> None:
    dataset = await product.bring(user, 'shops.csv', table(HISTORY))
    gone, stays = [await forecast_of(product, user, dataset, name=name) for name in ('gone', 'stays')]
    await more(product, user, dataset, table(HISTORY + 2))
    before = await product.objects.list(f't/{user.id}/')
    await product.forecasts.delete(user.id, gone.id, by=HERE)
    (one,) = await product.track.forecasts(user.id, model='theta', limit=1)
    age_forecast(postgres, gone.id, 31)
    assert await product.removal.sweep() == 0
    assert await product.objects.list(f't/{user.id}/') == before

    assert await product.forecasts.deleted(user.id) == []
    assert (await product.forecasts.count(user.id)).deleted == 0
    assert await product.forecasts.kept_until(user.id, gone.id) is None
    with pytest.raises(NotFound):
        await product.forecasts.undelete(user.id, gone.id)
    with pytest.raises(NotFound, match='goes on counting'):
        await product.forecasts.get(user.id, gone.id)

    assert len(await product.forecasts.measured(user.id)) == 2, 'Home counts it too'
    assert (await product.track.track(user.id)).issued == 2
    await more(product, user, dataset, table(HISTORY + 4))
    found = await product.track.forecasts(user.id, model='theta')
    assert {(row.name, row.deleted, row.opens, row.points, row.version) for row in found} == {
        ('gone', True, False, 8, 3),
        ('stays', False, True, 8, 3),
    }
    assert one.points == 4
    assert [entry for entry in await product.accounts.audit(user.id) if 'removed' in entry.action] == []
    assert (await product.forecasts.get(user.id, stays.id)).state == 'succeeded'

    await deleted(product, postgres, user, dataset, days=31)
    assert await product.removal.sweep() == 1
    assert await product.objects.list(f't/{user.id}/') == []
    assert not any(rows_of(postgres, user).values())


async def test_a_forecast_that_was_never_issued_is_removed(
    product: Product, user: User, postgres: EmbeddedPostgres
) -> None:
    dataset = await product.bring(user, 'shops.csv', table(HISTORY))
    version = await product.datasets.version(user.id, dataset.id)
    gone, recent = [
        await product.forecasts.request(user.id, version, Ask(target='sold', h=6, models=('theta',), name=name))
        for name in ('gone', 'recent')
    ]
    left = f't/{user.id}/forecast/{gone.job_id}-1/forecast-theta.parquet'
    await product.objects.put(left, b'what a failed attempt left')
    ask(postgres, 'update jobs set attempt = 1 where id = %s', gone.job_id)
    for forecast, days in ((gone, 31), (recent, 29)):
        assert forecast.job_id is not None
        await product.jobs.cancel(user.id, forecast.job_id)
        await product.forecasts.delete(user.id, forecast.id, by=HERE)
        age_forecast(postgres, forecast.id, days)
    assert await product.removal.sweep() == 1
    assert left not in await product.objects.list(f't/{user.id}/')
    assert ask(postgres, 'select name from forecasts') == [('recent',)]
    assert [notice.link for notice in await product.notices.latest(user.id)].count(f'/forecasts/{gone.id}') == 0
    with pytest.raises(NotFound, match='no such'):
        await product.forecasts.get(user.id, gone.id)
    await product.forecasts.undelete(user.id, recent.id)
    told = [entry.subject for entry in await product.accounts.audit(user.id) if 'removed' in entry.action]
    assert told == ['gone']


async def test_a_deleted_forecast_is_kept_no_longer_than_its_dataset(
    product: Product, user: User, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await product.bring(user, 'shops.csv', table(HISTORY))
    forecast = await forecast_of(product, user, dataset)
    await product.forecasts.delete(user.id, forecast.id, by=HERE)
    await deleted(product, postgres, user, dataset, days=29)
    (gone,) = await product.datasets.deleted(user.id)
    (kept,) = await product.forecasts.deleted(user.id)
    assert kept.until == gone.until == await product.forecasts.kept_until(user.id, forecast.id)
    assert kept.until < kept.deleted_at + KEPT

    age(postgres, dataset.id, 31)
    assert await product.forecasts.deleted(user.id) == []
    with monkeypatch.context() as patched:
        patched.setattr(Objects, 'delete', Away.delete)
        assert await product.removal.sweep() == 0
    assert (await product.forecasts.count(user.id)).deleted == 0
    with pytest.raises(NotFound):
        await product.forecasts.undelete(user.id, forecast.id)


async def test_a_job_of_what_was_deleted_is_not_run_again(product: Product, user: User) -> None:
    upload = await product.send(user, 'broken.csv', b'nothing,of,it\n')
    (failed,) = await product.work_off(user)
    assert upload.dataset_id is not None
    await product.datasets.delete(user.id, upload.dataset_id, by=HERE)
    with pytest.raises(Conflict, match='deleted'):
        await product.jobs.retry(user.id, failed.id)
    await product.datasets.undelete(user.id, upload.dataset_id, by=HERE)
    await product.jobs.retry(user.id, failed.id)


async def test_a_forecast_that_is_run_again_at_the_same_time_is_not_deleted(
    product: Product, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await product.bring(user, 'shops.csv', table(HISTORY))
    version = await product.datasets.version(user.id, dataset.id)
    forecast = await product.forecasts.request(user.id, version, Ask(target='sold', h=6, models=('theta',)))
    assert forecast.job_id is not None
    await product.jobs.cancel(user.id, forecast.job_id)
    again, deleting = product.queue.again, []

    async def meanwhile(*given: Any, **named: Any) -> None:
        await again(*given, **named)
        deleting.append(asyncio.create_task(product.forecasts.delete(user.id, forecast.id)))
        await asyncio.wait(deleting, timeout=0.2)

    monkeypatch.setattr(product.queue, 'again', meanwhile)
    await product.jobs.retry(user.id, forecast.job_id)
    with pytest.raises(Conflict, match='is being made'):
        await deleting[0]
    assert await product.forecasts.deleted(user.id) == []


class Away(Objects):
    """An object store that lets nothing be removed."""

    async def delete(self, prefix: str) -> int:
        raise Unavailable('The object store is away.')


async def test_a_removal_that_was_interrupted_goes_on_and_cannot_be_undone(
    product: Product, user: User, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await product.bring(user, 'meters.csv', FILE)
    await product.send(user, 'broken.csv', b'nothing,of,it\n', dataset_id=dataset.id)
    (failed,) = await product.work_off(user)
    await deleted(product, postgres, user, dataset, days=31)
    with monkeypatch.context() as patched:
        patched.setattr(Objects, 'delete', Away.delete)
        assert await product.removal.sweep() == 0
    assert (await product.datasets.count(user.id)).deleted == 0, 'half of it may be gone'
    assert await product.datasets.kept_until(user.id, dataset.id) is None
    with pytest.raises(NotFound):
        await product.datasets.undelete(user.id, dataset.id, by=HERE)
    with pytest.raises(Conflict):
        await product.jobs.retry(user.id, failed.id)
    assert await product.removal.sweep() == 1
    assert await product.objects.list(f't/{user.id}/') == []


async def test_a_dataset_with_a_job_waits_for_its_end(product: Product, user: User, postgres: EmbeddedPostgres) -> None:
    upload = await product.send(user, 'meters.csv', FILE)
    assert upload.dataset_id is not None
    await product.datasets.delete(user.id, upload.dataset_id, by=HERE)
    age(postgres, upload.dataset_id, 31)
    assert await product.removal.sweep() == 0
    assert (await product.datasets.count(user.id)).deleted == 1
    await product.work_off(user)
    assert await product.removal.sweep() == 1
    assert await product.objects.list(f't/{user.id}/') == []


async def test_a_dashboard_over_what_was_removed_is_saved_and_copied(
    product: Product, user: User, postgres: EmbeddedPostgres
) -> None:
    dataset = await product.bring(user, 'meters.csv', FILE)
    panel = {'id': 'p', 'kind': 'line', 'dataset': str(dataset.id), 'query': {'measures': ['y']}}
    made = await product.dashboards.create(user.id, 'Load', {'panels': [panel]})
    await deleted(product, postgres, user, dataset, days=31)
    await product.removal.sweep()
    note = {'id': 'n', 'kind': 'note', 'show': {'text': 'Moved'}}
    saved = await product.dashboards.save(user.id, made.id, {'panels': [panel, note]}, revision=1)
    without = await product.dashboards.save(user.id, made.id, {'panels': [note]}, revision=saved.revision)
    assert (await product.dashboards.duplicate(user.id, made.id)).spec['panels'][0]['id'] == 'n'
    restored = await product.dashboards.restore(user.id, made.id, 1)
    assert (restored.revision, len(restored.spec['panels'])) == (without.revision + 1, 1)
    with pytest.raises(UsageError):
        await product.dashboards.create(user.id, 'Other', {'panels': [panel]})
