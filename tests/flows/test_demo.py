"""The sample workspace: filled once, wherever it was left, by ordinary jobs; what the user took away stays away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from core.analysis import demo as files
from core.demo import SAMPLES, Demo, price
from core.errors import NotEnoughHours
from core.values import JobState, User
from storage.postgres import Postgres
from tests import factories
from tests.flows.conftest import Product, pieces

NAMES = ['Grid load', 'Shop sales']


def demo_of(product: Product) -> Demo:
    return Demo(
        product.database,
        datasets=product.datasets,
        forecasts=product.forecasts,
        jobs=product.jobs,
        notices=product.notices,
        events=product.events,
    )


@pytest.fixture
async def demo(product: Product) -> AsyncIterator[Demo]:
    made = demo_of(product)
    yield made
    await made.stop()


async def convert(product: Product, user: User) -> None:
    """Work off the conversions that wait; forecasts are left in the queue."""
    for job in await product.jobs.running(user.id):
        if job.kind == 'convert':
            await product.jobs.advance(job.id)


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.02)


async def fill(product: Product, demo: Demo, user: User) -> None:
    """Fill to the end, while conversions are worked off."""
    work = asyncio.create_task(demo.fill(user.id))
    async with asyncio.timeout(60):
        while not work.done():
            await convert(product, user)
            await asyncio.sleep(0.02)
        await work


async def uploads(product: Product) -> list[str]:
    async with product.database.system() as tx:
        return [row['name'] for row in await tx.all('uploads_receiving')]


async def is_filled(product: Product, user: User) -> bool:
    """Whether nothing is left to resume."""
    async with product.database.system() as tx:
        return user.id not in [row['id'] for row in await tx.all('demo_waiting', owner=True)]


async def test_workspace_is_uploaded_converted_and_forecast_like_anybodys(product: Product, demo: Demo, user: User):
    await fill(product, demo, user)

    datasets = sorted(await product.datasets.list(user.id), key=lambda dataset: dataset.name)
    assert [dataset.name for dataset in datasets] == NAMES
    assert [dataset.faults for dataset in datasets] == [0, 166]
    assert [dataset.rows for dataset in datasets] == [26269, 13127]
    forecasts = {forecast.name: forecast for forecast in await product.forecasts.list(user.id)}
    assert set(forecasts) == {'Bakery units, 28 days', 'Load, 48 hours'}
    assert forecasts['Bakery units, 28 days'].request['series'] == [f'{shop} · Bakery' for shop in files.SHOPS]
    jobs = await product.jobs.list(user.id)
    assert sorted(job.kind for job in jobs) == ['convert', 'convert', 'forecast', 'forecast']
    assert sum(job.quote for job in jobs) == price(product.hours).seconds


async def test_filling_twice_changes_nothing(product: Product, demo: Demo, user: User):
    await fill(product, demo, user)
    await demo.fill(user.id)
    await demo_of(product).fill(user.id)
    assert len(await product.jobs.list(user.id)) == 4


async def test_two_processes_fill_one_workspace(product: Product, demo: Demo, user: User):
    other = demo_of(product)
    work = asyncio.gather(demo.fill(user.id), other.fill(user.id))
    async with asyncio.timeout(60):
        while not work.done():
            await convert(product, user)
            await asyncio.sleep(0.02)
        await work
    assert len(await product.jobs.list(user.id)) == 4
    assert await uploads(product) == []


async def test_a_new_process_goes_on_where_the_last_one_stopped(product: Product, user: User):
    """Every step is the last one of a process once."""
    first = demo_of(product)
    first.begin(user.id)

    async def sent() -> bool:
        return len(await product.jobs.running(user.id)) == 2

    await until(sent)
    await first.stop()
    assert not await is_filled(product, user)
    await convert(product, user)
    assert await product.forecasts.list(user.id) == []

    second = demo_of(product)
    await second.resume(owner=False)

    async def filled() -> bool:
        return await is_filled(product, user)

    await until(filled)
    await second.stop()
    assert len(await product.forecasts.list(user.id)) == 2
    assert len(await product.jobs.list(user.id)) == 4


async def test_upload_that_a_crash_left_is_finished(product: Product, demo: Demo, user: User):
    """One upload was begun and not marked, the other had arrived in part."""
    shops, grid = SAMPLES
    await product.datasets.begin_upload(user.id, name=shops.file, size=shops.size)
    half = await product.datasets.begin_upload(user.id, name=grid.file, size=grid.size)
    async with product.database.transaction(user.id) as tx:
        await tx.run('demo_mark', id=half.id, sample=grid.key)
    await product.datasets.append(user.id, half.id, 0, pieces(grid.make()[:5000]))

    await fill(product, demo, user)
    assert await uploads(product) == []
    assert sorted(dataset.name for dataset in await product.datasets.list(user.id)) == NAMES
    assert {dataset.faults for dataset in await product.datasets.list(user.id)} == {0, 166}


async def test_deleted_sample_stays_away(product: Product, demo: Demo, user: User):
    await fill(product, demo, user)
    for dataset in await product.datasets.list(user.id):
        await product.datasets.delete(user.id, dataset.id)
    await demo.fill(user.id)
    await demo.resume(owner=True)
    assert await product.datasets.list(user.id) == []
    assert await demo.made(user.id) == []
    assert len(await product.jobs.list(user.id)) == 4


async def test_sample_deleted_on_its_way_stays_away(product: Product, demo: Demo, user: User):
    demo.begin(user.id)

    async def sent() -> bool:
        return len(await product.datasets.list(user.id)) == 2

    await until(sent)
    for dataset in await product.datasets.list(user.id):
        await product.datasets.delete(user.id, dataset.id)
    await convert(product, user)

    async def filled() -> bool:
        return await is_filled(product, user)

    await until(filled)
    assert await product.forecasts.list(user.id) == []


async def test_cancelled_conversion_ends_the_filling(product: Product, demo: Demo, user: User):
    work = asyncio.create_task(demo.fill(user.id))

    async def sent() -> bool:
        return len(await product.jobs.running(user.id)) == 2

    await until(sent)
    for job in await product.jobs.running(user.id):
        await product.jobs.cancel(user.id, job.id)
    async with asyncio.timeout(30):
        await work
    assert await product.forecasts.list(user.id) == []
    assert {job.state for job in await product.jobs.list(user.id)} == {JobState.CANCELLED}


async def test_reset_makes_everything_anew(product: Product, demo: Demo, user: User):
    await fill(product, demo, user)
    before = {dataset.id for dataset in await product.datasets.list(user.id)}
    own = (await product.send(user, 'own.csv', b'ds,y\n2024-01-01,1\n2024-01-02,2\n')).dataset_id
    waiting = [job for job in await product.jobs.list(user.id) if job.dataset_id in before and not job.state.final]

    work = asyncio.create_task(demo.reset(user.id))
    async with asyncio.timeout(60):
        while not work.done():
            await convert(product, user)
            await asyncio.sleep(0.02)
        await work
    after = {dataset.id: dataset for dataset in await product.datasets.list(user.id)}
    assert sorted(dataset.name for dataset in after.values()) == ['Grid load', 'Shop sales', 'own']
    assert not before & set(after)
    assert own in after
    for job in waiting:
        assert (await product.jobs.get(user.id, job.id)).state == JobState.CANCELLED
    assert [dataset.id for dataset, _ in await demo.made(user.id)] != []
    assert {len(forecasts) for _, forecasts in await demo.made(user.id)} == {1}
    steps = await demo.first_steps(user.id)
    assert steps.samples == before | (set(after) - {own})


async def test_first_start_fills_the_owners_workspace_once(product: Product, demo: Demo, database: Postgres):
    owner = await factories.user(database, 'owner@localhost', owner=True)
    other = await factories.user(database)
    await demo.resume(owner=False)
    assert await product.datasets.list(owner.id) == []
    await demo.resume(owner=True)

    async def filled() -> bool:
        await convert(product, owner)
        return await is_filled(product, owner)

    await until(filled)
    assert len(await product.datasets.list(owner.id)) == 2
    assert await product.datasets.list(other.id) == []
    assert await demo.made(other.id) == []


async def test_owner_who_brought_data_gets_no_samples(product: Product, demo: Demo, database: Postgres):
    owner = await factories.user(database, 'owner@localhost', owner=True)
    await product.bring(owner, 'own.csv', b'ds,y\n2024-01-01,1\n2024-01-02,2\n')
    await demo.resume(owner=True)
    await demo.stop()
    assert [dataset.name for dataset in await product.datasets.list(owner.id)] == ['own']


async def test_who_has_no_hours_is_told_once(product: Product, demo: Demo, database: Postgres):
    poor = await factories.user(database, hours=0)
    with pytest.raises(NotEnoughHours):
        await demo.fill(poor.id)
    demo.begin(poor.id)

    async def told() -> bool:
        return bool(await product.notices.latest(poor.id))

    await until(told)
    (notice,) = await product.notices.latest(poor.id)
    assert (notice.level, notice.title) == ('warn', 'The sample was not filled')
    await demo.resume(owner=True)
    assert await product.datasets.list(poor.id) == []


async def test_first_steps_are_remembered(product: Product, demo: Demo, user: User):
    steps = await demo.first_steps(user.id)
    assert (steps.faults_seen, steps.dismissed, steps.samples) == (False, False, frozenset())
    await fill(product, demo, user)
    for dataset, _ in await demo.made(user.id):
        await demo.saw_faults(user.id, dataset.id)
    assert not (await demo.first_steps(user.id)).faults_seen
    own = (await product.send(user, 'own.csv', b'ds,y\n2024-01-01,1\n2024-01-02,2\n')).dataset_id
    assert own is not None
    await demo.saw_faults(user.id, own)
    await demo.saw_faults(user.id, own)
    assert (await demo.first_steps(user.id)).faults_seen
    await demo.dismiss(user.id)
    assert (await demo.first_steps(user.id)).dismissed
    stranger = await factories.user(product.database)
    assert not (await demo.first_steps(stranger.id)).dismissed
