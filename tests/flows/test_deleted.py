"""What was deleted is listed until it is brought back, and the audit log tells who did what with datasets."""

from uuid import UUID

import psycopg
import pytest

from core.errors import NotFound
from core.jobs import Standing
from core.values import KEPT, Actor, JobState, User
from storage.embedded.server import EmbeddedPostgres
from tests import factories
from tests.flows.conftest import Product, pieces

FILE = b'ds,y\n2024-01-01,1\n2024-01-02,2\n'
HOME = Actor(address='127.0.0.1')


async def send(
    product: Product, user: User, name: str, *, content: bytes = FILE, by: Actor = HOME, **into: str
) -> UUID:
    upload = await product.uploads.begin_upload(user.id, name=name, size=len(content), **into)
    upload, _ = await product.uploads.append(user.id, upload.id, 0, pieces(content), by=by)
    assert upload.dataset_id is not None
    return upload.dataset_id


async def key_of(product: Product, user: User) -> Actor:
    _, key = await product.accounts.create_key(user.id, name='nightly', scopes=['datasets:write'])
    return Actor(address='10.0.0.7', key=key.id)


async def told(product: Product, user: User) -> list[tuple[str, str, str, str]]:
    """What the audit log says of data, the oldest first: action, subject, API key, address."""
    entries = await product.accounts.audit(user.id)
    return [(e.action, e.subject, e.api_key, e.address) for e in reversed(entries) if not e.action.startswith('API')]


async def test_deleted_datasets_are_listed_with_who_deleted_them(product: Product, user: User) -> None:
    key = await key_of(product, user)
    stranger = await factories.user(product.database)
    foreign = await send(product, stranger, 'foreign.csv')
    await product.datasets.delete(stranger.id, foreign)
    first, second, stays = [await send(product, user, f'{name}.csv') for name in ('first', 'second', 'stays')]
    await product.datasets.delete(user.id, first, by=HOME)
    await product.datasets.delete(user.id, second, by=key)

    found = await product.datasets.deleted(user.id)
    assert [(one.name, one.by, one.size, one.rows, one.until - one.deleted_at) for one in found] == [
        ('second', 'nightly', len(FILE), None, KEPT),
        ('first', '', len(FILE), None, KEPT),
    ]
    counts = await product.datasets.count(user.id)
    assert (counts.found, counts.total, counts.deleted) == (1, 1, 2)
    assert await product.datasets.kept_until(user.id, first) == found[1].until
    assert await product.datasets.kept_until(user.id, stays) is None
    assert await product.datasets.kept_until(user.id, foreign) is None

    await product.datasets.undelete(user.id, first, by=HOME)
    assert [one.name for one in await product.datasets.deleted(user.id)] == ['second']
    with pytest.raises(NotFound):
        await product.datasets.undelete(user.id, first, by=HOME)
    assert [action for action, *_ in await told(product, user)].count('dataset restored') == 1


async def test_deleted_datasets_come_a_page_at_a_time(product: Product, user: User) -> None:
    for number in range(5):
        await product.datasets.delete(user.id, await send(product, user, f'{number}.csv'))
    pages = [await product.datasets.deleted(user.id, offset=offset, limit=2) for offset in (0, 2, 4, 6)]
    assert [[one.name for one in page] for page in pages] == [['4', '3'], ['2', '1'], ['0'], []]
    assert len(await product.datasets.deleted(user.id)) == 5


async def test_deleted_dashboards_tell_when_they_are_removed_for_good(product: Product, user: User) -> None:
    made = await product.dashboards.create(user.id, 'Load')
    await product.dashboards.delete(user.id, made.id, by=await key_of(product, user))
    (found,) = await product.dashboards.deleted(user.id)
    assert (found.id, found.name, found.by, found.panels) == (made.id, 'Load', 'nightly', 0)
    assert (found.until - found.deleted_at).days == 30
    assert await product.dashboards.kept_until(user.id, made.id) == found.until
    await product.dashboards.undelete(user.id, made.id, by=HOME)
    assert await product.dashboards.deleted(user.id) == []
    assert (await told(product, user))[1:] == [
        ('dashboard deleted', 'Load', 'nightly', '10.0.0.7'),
        ('dashboard restored', 'Load', '', '127.0.0.1'),
    ]


async def test_the_audit_log_tells_what_was_done_with_data(product: Product, user: User) -> None:
    key = await key_of(product, user)
    dataset = await send(product, user, 'sales.csv')
    await product.work_off(user)
    await send(product, user, 'sales.csv', dataset_id=dataset, by=key)  # shown already: nothing is ordered
    await send(product, user, 'may.csv', content=FILE + b'2024-01-03,3\n', dataset_id=dataset, by=key)
    await product.work_off(user)
    await product.datasets.restore(user.id, dataset, 1, by=HOME)
    await product.datasets.rename(user.id, dataset, 'Shops', by=HOME)
    await product.uploads.correct(user.id, dataset, {'day_first': True}, by=HOME)
    await send(product, user, 'all.csv', content=FILE + b'2024-01-09,3\n', dataset_id=dataset, how='replace')
    await product.datasets.delete(user.id, dataset, by=key)
    assert await told(product, user) == [
        ('dataset made', 'sales: sales.csv', '', '127.0.0.1'),
        ('file added', 'sales: may.csv', 'nightly', '10.0.0.7'),
        ('version shown', 'sales: version 1', '', '127.0.0.1'),
        ('dataset renamed', 'sales: now Shops', '', '127.0.0.1'),
        ('file read anew', 'Shops: sales.csv', '', '127.0.0.1'),
        ('file replaced', 'Shops: all.csv', '', '127.0.0.1'),
        ('dataset deleted', 'Shops', 'nightly', '10.0.0.7'),
    ]


async def test_the_audit_log_tells_who_made_dashboards(product: Product, user: User) -> None:
    key = await key_of(product, user)
    dataset = await send(product, user, 'sales.csv')
    await product.work_off(user)
    made = await product.dashboards.create(user.id, ' Load ', by=key)
    await product.dashboards.duplicate(user.id, made.id, by=HOME)
    await product.dashboards.build(user.id, dataset, by=key)
    await product.dashboards.build(user.id, dataset, name='Shops', by=key)
    assert (await told(product, user))[1:] == [
        ('dashboard made', 'Load', 'nightly', '10.0.0.7'),
        ('dashboard made', 'Load (copy)', '', '127.0.0.1'),
        ('dashboard made', 'sales', 'nightly', '10.0.0.7'),
        ('dashboard made', 'Shops', 'nightly', '10.0.0.7'),
    ]


async def test_what_failed_is_not_in_the_audit_log(product: Product, user: User) -> None:
    stranger = await factories.user(product.database)
    foreign = await send(product, stranger, 'foreign.csv')
    for act in (product.datasets.delete, product.datasets.undelete):
        with pytest.raises(NotFound):
            await act(user.id, foreign, by=HOME)
    assert await told(product, user) == []


async def test_names_of_data_leave_the_audit_log_with_the_account(product: Product, postgres: EmbeddedPostgres) -> None:
    user = await factories.user(product.database)
    await send(product, user, 'secret plans.csv', by=await key_of(product, user))
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        connection.execute('delete from public.profiles where id = %s', (user.id,))
        left = connection.execute(
            "select user_id, subject, about, api_key from public.audit_logs where action = 'dataset made'"
        ).fetchall()
    assert left == [(None, '', None, '')]


async def test_lists_are_searched_and_come_a_page_at_a_time(product: Product, user: User) -> None:
    for name in ('Meter 1', 'Meter 2', 'Shop', '100% Meter'):
        await send(product, user, f'{name}.csv', content=FILE + name.encode() + b',1\n')

    async def found(**asked: object) -> list[str]:
        return [data.name for data in await product.datasets.list(user.id, **asked)]

    assert await found() == ['100% Meter', 'Shop', 'Meter 2', 'Meter 1']
    assert await found(query='METER', limit=2) == ['100% Meter', 'Meter 2']
    assert await found(query='meter', limit=2, offset=2) == ['Meter 1']
    assert await found(query='0%') == ['100% Meter']
    assert await found(query='_') == []
    counts = await product.datasets.count(user.id, query=' meter ')
    assert (counts.found, counts.total) == (3, 4)
    named = await product.datasets.named(user.id)
    assert [(one.name, one.version) for one in named] == [(name, None) for name in await found()]
    assert await found(ids=[named[1].id]) == ['Shop']
    assert set((await product.jobs.states(user.id, [one.id for one in named])).values()) == {
        Standing(state=JobState.QUEUED, outside=1)
    }
    assert await product.jobs.states(user.id, []) == {}
