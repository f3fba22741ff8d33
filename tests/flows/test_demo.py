"""The sample workspace: filled once, wherever it was left, by ordinary jobs; what the user took away stays away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import cache
from typing import Any
from uuid import UUID

import pytest

from core import ask
from core import demo as samples
from core.analysis import demo as files
from core.demo import SAMPLES, SHOPS, Demo, Sample, price
from core.errors import NotEnoughHours, Unavailable
from core.values import JobState, User
from storage.postgres import Postgres
from tests import factories
from tests.flows.conftest import Product, pieces

NAMES = ['Grid load', 'Shop sales']
GRID = SAMPLES[1]
LINES = 1440
"""Of the last ones of the shops' file before September: 120 days."""


def demo_of(product: Product) -> Demo:
    return Demo(
        product.database,
        datasets=product.datasets,
        uploads=product.uploads,
        forecasts=product.forecasts,
        dashboards=product.dashboards,
        jobs=product.jobs,
        notices=product.notices,
        events=product.events,
    )


@pytest.fixture(autouse=True)
def _short_files(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are long for their forecasts: where those are not made, some months of each are as good."""
    if request.node.get_closest_marker('slow'):
        return
    monkeypatch.setattr(samples, 'SAMPLES', _shortened())


@cache
def _shortened() -> tuple[Sample, Sample]:
    shops, grid = samples.SAMPLES
    head, *days = shops.make().splitlines(keepends=True)
    sales, load = b''.join([head, *days[-LINES:]]), b''.join(grid.make().splitlines(keepends=True)[:721])
    return (replace(shops, make=lambda: sales, size=len(sales)), replace(grid, make=lambda: load, size=len(load)))


def planted(*defects: str) -> int:
    """Return how many of those lines have such a defect, or any."""
    last = len(files.shop_sales_before().splitlines())
    every = files.planted_lines()
    return sum(last - LINES < line <= last for defect in defects or every for line in every[defect])


@pytest.fixture
async def demo(product: Product) -> AsyncIterator[Demo]:
    made = demo_of(product)
    yield made
    await made.stop()


async def convert(product: Product, user: User) -> None:
    """Work off the conversions that wait; the forecast that more would follow on is taken back, others are left."""
    for job in await product.jobs.running(user.id):
        if job.kind == 'convert':
            await product.jobs.advance(job.id)
        elif SHOPS.ask.name in job.title:
            await product.jobs.cancel(user.id, job.id)


async def both_arrived(product: Product, user: User) -> bool:
    return len(await product.jobs.running(user.id)) == 2


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


@pytest.mark.slow
async def test_workspace_tells_its_story_by_ordinary_jobs(
    product: Product, demo: Demo, user: User, monkeypatch: pytest.MonkeyPatch
):
    """A dirty file; a forecast that is issued before September comes, and scored by it; a dashboard of both.

    Its bands are measured from the fewest cutoffs: how many it takes has its own tests.
    """
    monkeypatch.setattr(ask, 'MOST_WINDOWS', ask.FEWEST_WINDOWS)
    work = asyncio.create_task(demo.fill(user.id))
    async with asyncio.timeout(120):
        while not work.done():
            for job in await product.jobs.running(user.id):
                if GRID.ask.name not in job.title:
                    await product.jobs.advance(job.id)
            await asyncio.sleep(0.02)
        await work
    # That of the other sample is nothing that this story waits for, and takes as long.
    for job in await product.jobs.running(user.id):
        await (product.jobs.cancel(user.id, job.id) if job.kind == 'forecast' else product.jobs.advance(job.id))

    datasets = {dataset.name: dataset for dataset in await product.datasets.list(user.id)}
    assert sorted(datasets) == NAMES
    assert [datasets[name].faults for name in NAMES] == [0, 166]
    assert [datasets[name].rows for name in NAMES] == [26269, 13127]
    shops = datasets['Shop sales']
    assert [version.number for version in await product.datasets.versions(user.id, shops.id)] == [2, 1]
    (listed,) = await product.forecasts.list(user.id, dataset_id=shops.id)
    forecast = await product.forecasts.get(user.id, listed.id)
    assert (forecast.name, forecast.version) == ('Bakery units in September', 1)
    assert forecast.request['series'] == [f'{shop} · Bakery' for shop in files.SHOPS]
    jobs = await product.jobs.list(user.id)
    assert sorted(job.kind for job in jobs) == ['convert'] * 3 + ['forecast'] * 2 + ['score']
    assert sum(job.quote for job in jobs) == price(product.hours).seconds
    news = next(job for job in jobs if job.title == 'Convert Shop sales September.csv')
    assert forecast.issued_at is not None
    assert forecast.issued_at < news.created_at

    track, _ = await product.track.of_forecast(user.id, forecast.id)
    assert track.overall is not None
    assert track.overall.points == 2 * (6 * 30 - 1)  # two models; one cell of September says n/a
    story = await demo.story(user.id)
    assert story is not None
    assert (story.faults, story.forecast_id, story.issued, story.scored) == (160, forecast.id, True, True)
    assert story.dashboard_id is not None
    assert story.over
    board = await product.dashboards.get(user.id, story.dashboard_id)
    panels = {panel['id']: panel for panel in board.spec['panels']}
    assert panels['story']['show']['forecast'] == str(forecast.id)
    assert panels['note']['show']['text'].startswith(
        'Six shops write their sales down by hand. The first file had 160 faults'
    )
    assert len({(panel['x'], panel['y']) for panel in panels.values()}) == len(panels)


async def test_without_its_forecast_the_story_ends_with_a_dashboard_of_the_file(
    product: Product, demo: Demo, user: User
):
    await fill(product, demo, user)
    (board,) = await product.dashboards.list(user.id)
    panels = {panel['id']: panel for panel in (await product.dashboards.get(user.id, board.id)).spec['panels']}
    assert panels['story']['show']['forecast'] == ''
    assert 'forecast' not in panels['note']['show']['text']
    (shops,) = [dataset for dataset in await product.datasets.list(user.id) if dataset.name == 'Shop sales']
    assert shops.rows == LINES - planted('no such date', 'duplicate'), 'September is not there'


async def test_a_forecast_of_the_story_is_waited_for_by_the_rest_and_by_the_next_sample(
    product: Product, demo: Demo, user: User
):
    work = asyncio.create_task(demo.fill(user.id))

    async def asked() -> bool:
        for job in await product.jobs.running(user.id):
            if job.kind == 'convert':
                await product.jobs.advance(job.id)
        converted = [dataset for dataset in await product.datasets.list(user.id) if dataset.rows]
        return len(converted) == 2 and len(await product.forecasts.list(user.id)) > 0

    await until(asked)
    await product.events.publish(f'{user.id}/jobs', {'state': 'succeeded'})
    (forecast,) = await product.forecasts.list(user.id)
    assert forecast.name == SHOPS.ask.name
    assert await product.dashboards.list(user.id) == []
    story = await demo.story(user.id)
    assert story is not None
    assert (story.issued, story.scored, story.dashboard_id, story.over) == (False, False, None, False)
    assert not work.done()
    (job,) = await product.jobs.running(user.id)
    await product.jobs.cancel(user.id, job.id)

    async def both() -> bool:
        return len(await product.forecasts.list(user.id)) == 2

    await until(both)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def test_a_dashboard_that_was_deleted_stays_away(product: Product, demo: Demo, user: User):
    await fill(product, demo, user)
    (board,) = await product.dashboards.list(user.id)
    await product.dashboards.delete(user.id, board.id)
    async with product.database.system() as tx:
        await tx.run('demo_filled', user_id=user.id, filled=False)
    await fill(product, demo, user)
    assert await product.dashboards.list(user.id) == []
    story = await demo.story(user.id)
    assert story is not None
    assert (story.dashboard_id, story.over) == (None, True)
    # So it does before the other samples are filled to their end, and in a workspace that never had one.
    async with product.database.system() as tx:
        await tx.run('demo_filled', user_id=user.id, filled=False)
    assert (await demo.story(user.id)) == story


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

    async def over() -> bool:
        await convert(product, user)
        return await filled()

    await until(over)
    await second.stop()
    assert len(await product.forecasts.list(user.id)) == 2
    assert len(await product.dashboards.list(user.id)) == 1
    assert len(await product.jobs.list(user.id)) == 4


class Crash(Exception):
    """The process ends."""


async def test_a_crash_right_after_the_first_upload_began_is_recovered_from(
    product: Product, database: Postgres, monkeypatch: pytest.MonkeyPatch
):
    owner = await factories.user(database, 'owner@localhost', owner=True)
    begin = product.uploads.begin_upload

    async def begin_and_crash(*told: Any, **more: Any) -> None:
        await begin(*told, **more)
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(product.uploads, 'begin_upload', begin_and_crash)
        with pytest.raises(Crash):
            await demo_of(product).fill(owner.id)
    assert await uploads(product) == [SHOPS.file]

    later = demo_of(product)
    await later.resume(owner=True)

    await until(lambda: both_arrived(product, owner))
    await later.stop()
    assert await uploads(product) == []


async def test_a_crash_between_an_upload_and_its_place_is_recovered_from(
    product: Product, demo: Demo, database: Postgres, monkeypatch: pytest.MonkeyPatch
):
    """The row is there, and staging has never heard of it."""
    owner = await factories.user(database, 'owner@localhost', owner=True)

    async def crash(*told: Any, **more: Any) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(product.staging, 'create', crash)
        with pytest.raises(Crash):
            await demo_of(product).fill(owner.id)
    assert await uploads(product) == [SHOPS.file]

    await demo.resume(owner=True)
    await until(lambda: both_arrived(product, owner))
    assert await uploads(product) == []
    assert await product.notices.latest(owner.id) == []


@pytest.mark.parametrize('restarted', [False, True])
async def test_storage_that_is_away_for_a_moment_takes_no_sample_away(
    product: Product, demo: Demo, database: Postgres, monkeypatch: pytest.MonkeyPatch, restarted: bool
):
    owner = await factories.user(database, 'owner@localhost', owner=True)
    monkeypatch.setattr(samples, 'POLL', 0.01)
    create, asked = product.staging.create, []

    async def away_once(upload_id: UUID) -> None:
        asked.append(upload_id)
        if len(asked) == 1:
            raise Unavailable('The storage is away.')
        await create(upload_id)

    monkeypatch.setattr(product.staging, 'create', away_once)
    if restarted:
        with pytest.raises(Unavailable):
            await demo_of(product).fill(owner.id)
    await demo.resume(owner=True)
    await until(lambda: both_arrived(product, owner))
    assert sorted(dataset.name for dataset in await product.datasets.list(owner.id)) == NAMES
    assert len(asked) == 3
    assert not await is_filled(product, owner)


async def test_an_upload_that_the_user_discarded_stays_away(product: Product, demo: Demo, user: User):
    shops, _ = samples.SAMPLES
    begun = await product.uploads.begin_upload(user.id, name=shops.file, size=shops.size, sample=shops.key)
    await product.uploads.discard(user.id, begun.id)
    await fill(product, demo, user)
    assert [dataset.name for dataset in await product.datasets.list(user.id)] == ['Grid load']


async def test_a_crash_right_after_a_reset_has_cleared_is_recovered_from(
    product: Product, demo: Demo, user: User, monkeypatch: pytest.MonkeyPatch
):
    demo.begin(user.id)

    async def begun() -> bool:
        return len(await product.datasets.list(user.id)) == 2

    await until(begun)
    await demo.stop()

    async def crash(*told: Any, **more: Any) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(product.uploads, 'begin_upload', crash)
        with pytest.raises(Crash):
            await demo.reset(user.id)
    assert await product.datasets.list(user.id) == []
    later = demo_of(product)
    await later.resume(owner=False)

    async def sent() -> bool:
        return len(await product.datasets.list(user.id)) == 2

    await until(sent)
    await later.stop()


async def test_upload_that_a_crash_left_is_finished(product: Product, demo: Demo, user: User):
    """One upload was begun, the other had arrived in part."""
    shops, grid = samples.SAMPLES
    await product.uploads.begin_upload(user.id, name=shops.file, size=shops.size, sample=shops.key)
    half = await product.uploads.begin_upload(user.id, name=grid.file, size=grid.size, sample=grid.key)
    await product.uploads.append(user.id, half.id, 0, pieces(grid.make()[:5000]))

    await fill(product, demo, user)
    assert await uploads(product) == []
    assert sorted(dataset.name for dataset in await product.datasets.list(user.id)) == NAMES
    assert planted() > 0
    assert {dataset.faults for dataset in await product.datasets.list(user.id)} == {0, planted()}


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
    boards = {board.id for board in await product.dashboards.list(user.id)}
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
    (board,) = await product.dashboards.list(user.id)
    assert board.id not in boards
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
        return len(await product.datasets.list(owner.id)) == 2 and await is_filled(product, owner)

    await until(filled)
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
    assert not (await demo.first_steps(user.id)).sample_dismissed
    await demo.dismiss_sample(user.id)
    assert (await demo.first_steps(user.id)).sample_dismissed
    stranger = await factories.user(product.database)
    assert not (await demo.first_steps(stranger.id)).dismissed
