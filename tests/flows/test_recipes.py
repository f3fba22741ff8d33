"""Recipes of a dataset: tried, kept with the version, replayed on the next upload, and dropped again."""

import pytest

from core.errors import NotFound, UsageError
from core.values import User
from storage.postgres import Postgres
from tests import factories
from tests.flows.conftest import Product

HOURS = b'when,site,temp\n2024-01-01 00:00,a,1\n2024-01-01 00:30,a,3\n2024-01-01 02:00,a,6\n2024-01-01 02:10,a,999\n'
LATER = b'when,site,temp\n2024-01-01 02:30,a,8\n'
STEPS = [
    {'do': 'filter', 'where': 'temp < 100'},
    {'do': 'resample', 'every': 'h', 'how': 'mean'},
    {'do': 'fill', 'how': 'linear'},
]


async def temps(product: Product, user: User, dataset_id: object) -> list[float]:
    version = await product.datasets.version(user.id, dataset_id)  # type: ignore[arg-type]
    page = await product.datasets.preview(user.id, version)
    return [row[list(page.columns).index('temp')] for row in page.rows]


async def test_a_recipe_is_tried_kept_and_replayed_on_what_comes_later(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', HOURS)
    version = await product.datasets.version(user.id, dataset.id)
    tried = await product.datasets.try_recipe(user.id, version, STEPS, series='a')
    assert [one.rows_after for one in tried.report] == [3, 3, 3]
    assert await temps(product, user, dataset.id) == [1, 3, 6, 999]
    await product.uploads.correct(user.id, dataset.id, {'recipe': STEPS})
    await product.work_off(user)
    assert await temps(product, user, dataset.id) == [2, 4, 6]
    await product.bring(user, 'b.csv', LATER, dataset_id=dataset.id)
    assert await temps(product, user, dataset.id) == [2, 4.5, 7]
    version = await product.datasets.version(user.id, dataset.id)
    assert [one['do'] for one in version.manifest['recipe']] == ['filter', 'resample', 'fill']
    # A role that is corrected leaves the recipe alone.
    await product.uploads.correct(user.id, dataset.id, {'roles': {'when': 'time', 'temp': 'measure'}})
    await product.work_off(user)
    assert await temps(product, user, dataset.id) == [2, 4.5, 7]
    # What is tried starts from the rows before the recipe, so that its steps can be changed.
    version = await product.datasets.version(user.id, dataset.id)
    tried = await product.datasets.try_recipe(user.id, version, [], series=version.manifest['series']['first'][0])
    assert len(tried.before) == 5
    await product.uploads.correct(user.id, dataset.id, {'recipe': []})
    await product.work_off(user)
    assert await temps(product, user, dataset.id) == [1, 3, 6, 999, 8]


async def test_a_recipe_that_cannot_be_followed_is_refused_and_the_version_stays(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', HOURS)
    version = await product.datasets.version(user.id, dataset.id)
    with pytest.raises(UsageError, match='Step 1: There is no column "nope"'):
        await product.datasets.try_recipe(user.id, version, [{'do': 'drop', 'column': 'nope'}], series='a')
    with pytest.raises(UsageError, match='Step 1: There is no column "nope"'):
        await product.uploads.correct(user.id, dataset.id, {'recipe': [{'do': 'drop', 'column': 'nope'}]})
    assert await product.jobs.running(user.id) == []


async def test_nobody_tries_a_recipe_on_the_data_of_others(product: Product, user: User, database: Postgres) -> None:
    dataset = await product.bring(user, 'a.csv', HOURS)
    version = await product.datasets.version(user.id, dataset.id)
    other = await factories.user(database)
    with pytest.raises(NotFound):
        await product.datasets.try_recipe(other.id, version, STEPS, series='a')


async def test_a_hint_is_dismissed_for_a_dataset_and_brought_back(
    product: Product, user: User, database: Postgres
) -> None:
    dataset = await product.bring(user, 'a.csv', HOURS)
    datasets = product.datasets
    assert await datasets.dismissed_hints(user.id, dataset.id) == ()
    assert await datasets.dismiss_hint(user.id, dataset.id, 'one') == ('one',)
    assert await datasets.dismiss_hint(user.id, dataset.id, 'two') == ('one', 'two')
    assert await datasets.dismiss_hint(user.id, dataset.id, 'one') == ('two', 'one')
    assert await datasets.dismiss_hint(user.id, dataset.id, 'two', dismissed=False) == ('one',)
    for number in range(120):
        await datasets.dismiss_hint(user.id, dataset.id, str(number))
    kept = await datasets.dismissed_hints(user.id, dataset.id)
    assert list(kept) == [str(number) for number in range(20, 120)]
    other = await factories.user(database)
    with pytest.raises(NotFound):
        await datasets.dismissed_hints(other.id, dataset.id)
    with pytest.raises(NotFound):
        await datasets.dismiss_hint(other.id, dataset.id, 'one')
