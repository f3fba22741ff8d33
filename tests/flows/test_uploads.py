"""Uploads: the very same file is taken again and told, and what ends without a dataset leaves no object behind."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from core.errors import NotFound, TooLarge
from core.ports import ObjectStore
from core.values import ObjectInfo, Upload, User
from storage.objects import Objects
from tests import factories
from tests.flows.conftest import Product, pieces

FILE = b'ds,y\n2024-01-01,1\n2024-01-02,2\n'


async def told(product: Product, user: User) -> list[tuple[str, str, str | None]]:
    notices = await product.notices.latest(user.id)
    return [(one.title, one.text, one.link) for one in notices if 'uploaded before' in one.title]


async def test_the_same_bytes_are_taken_again_and_told(product: Product, user: User) -> None:
    first = await product.bring(user, 'sales.csv', FILE)
    upload = await product.send(user, 'sales copy.csv', FILE)
    assert upload.dataset_id not in (None, first.id)
    twin = await product.uploads.twin(user.id, upload_id=upload.id)
    assert twin is not None
    assert (twin.dataset_id, twin.name, twin.version) == (first.id, 'sales', 1)
    assert await product.uploads.twin(user.id, dataset_id=upload.dataset_id) == twin
    assert await product.uploads.twin(user.id, dataset_id=first.id) is None, 'it came first'
    notice = (
        'sales copy.csv was uploaded before',
        'These bytes are already in sales (version 1).',
        f'/datasets/{first.id}',
    )
    assert await told(product, user) == [notice]
    assert [job.state for job in await product.work_off(user)] == ['succeeded']


async def test_a_second_dataset_of_one_name_gets_a_number(product: Product, user: User) -> None:
    for name in ('sales.csv', 'sales.csv', 'sales.csv'):
        await product.send(user, name, FILE)
    stranger = await factories.user(product.database)
    await product.send(stranger, 'sales.csv', FILE)
    assert {data.name for data in await product.datasets.list(user.id)} == {'sales', 'sales 2', 'sales 3'}
    assert [data.name for data in await product.datasets.list(stranger.id)] == ['sales']


async def test_files_of_one_name_that_arrive_at_once_make_datasets_of_different_names(
    product: Product, user: User
) -> None:
    begun = [await product.uploads.begin_upload(user.id, name='sales.csv', size=len(FILE)) for _ in range(4)]
    await asyncio.gather(*(product.uploads.append(user.id, one.id, 0, pieces(FILE)) for one in begun))
    names = sorted(data.name for data in await product.datasets.list(user.id))
    assert names == ['sales', 'sales 2', 'sales 3', 'sales 4']


async def test_a_file_that_made_no_version_is_told_too(product: Product, user: User) -> None:
    broken = b'nothing,of,it\n'
    await product.send(user, 'broken.csv', broken)
    await product.work_off(user)
    await product.send(user, 'again.csv', broken)
    ((_, text, _),) = await told(product, user)
    assert text == 'These bytes are already in broken (not read so far).'


async def test_a_file_of_the_same_dataset_is_no_twin(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'sales.csv', FILE)
    again = await product.send(user, 'sales.csv', FILE, dataset_id=dataset.id, options={'day_first': True})
    assert again.state == 'accepted'
    assert await product.uploads.twin(user.id, upload_id=again.id) is None
    assert await told(product, user) == []


async def test_what_was_deleted_or_is_of_somebody_else_is_no_twin(product: Product, user: User) -> None:
    stranger = await factories.user(product.database)
    await product.bring(stranger, 'theirs.csv', FILE)
    mine = await product.bring(user, 'mine.csv', FILE)
    await product.datasets.delete(user.id, mine.id)
    upload = await product.send(user, 'again.csv', FILE)
    assert await product.uploads.twin(user.id, upload_id=upload.id) is None
    assert await product.uploads.twin(stranger.id, upload_id=upload.id) is None
    assert await told(product, user) == []


class Copies:
    """Moves bytes as staging does, counts how often, and lets something happen before it says that it is done."""

    def __init__(self, product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._accept = product.staging.accept
        self._discard = product.uploads.discard
        self._user: User | None = None
        monkeypatch.setattr(product.staging, 'accept', self.accept)

    def discard_for(self, user: User) -> None:
        self._user = user

    async def accept(self, upload_id: UUID, objects: ObjectStore, key: str) -> ObjectInfo:
        self.count += 1
        info = await self._accept(upload_id, objects, key)
        if self._user is not None:
            await self._discard(self._user.id, upload_id)
            if not await objects.list(key):
                await objects.put(key, FILE)  # the copy may end after the discard
        return info


async def whole(product: Product, user: User, **into: str | UUID) -> Upload:
    """An upload that is there whole, and that nobody has accepted."""
    upload = await product.uploads.begin_upload(user.id, name='a.csv', size=len(FILE), **into)  # type: ignore[arg-type]
    await product.staging.append(upload.id, 0, pieces(FILE), limit=len(FILE))
    return upload


async def test_more_bytes_than_were_announced_make_no_dataset(product: Product, user: User) -> None:
    upload = await product.uploads.begin_upload(user.id, name='a.csv', size=len(FILE))

    async def more() -> AsyncIterator[bytes]:
        for piece in (FILE[:9], FILE[9:], b'and more'):
            yield piece

    with pytest.raises(TooLarge):
        await product.uploads.append(user.id, upload.id, 0, more())
    found, offset = await product.uploads.received(user.id, upload.id)
    assert (found.state, offset) == ('receiving', 9)
    with pytest.raises(TooLarge):
        await product.uploads.append(user.id, upload.id, 9, pieces(FILE[9:] + b'and more'))
    ended, arrived = await product.uploads.append(user.id, upload.id, 9, pieces(FILE[9:]))
    assert (ended.state, arrived) == ('accepted', len(FILE))


async def test_what_is_discarded_while_its_bytes_are_moved_leaves_no_object(
    product: Product, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    Copies(product, monkeypatch).discard_for(user)
    upload = await whole(product, user)
    assert (await product.uploads.accept(user.id, upload.id)).state == 'discarded'
    assert await product.objects.list(f't/{user.id}/') == []


async def test_what_lay_there_after_a_failed_acceptance_goes_when_it_is_discarded(
    product: Product, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await whole(product, user)
    key = f't/{user.id}/u/{upload.id}/source'
    await product.staging.accept(upload.id, product.objects, key)

    async def away(*_: object) -> int:
        raise NotFound('The object store is away.')

    with monkeypatch.context() as patched:
        patched.setattr(Objects, 'delete', away)
        await product.uploads.discard(user.id, upload.id)
    assert await product.objects.list(f't/{user.id}/') == [key]
    await product.uploads.recover()
    assert await product.objects.list(f't/{user.id}/') == []


async def test_an_upload_to_what_was_deleted_is_not_copied_and_goes_on_when_that_is_back(
    product: Product, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await product.bring(user, 'sales.csv', FILE)
    copies = Copies(product, monkeypatch)
    upload = await whole(product, user, dataset_id=dataset.id, how='replace')
    await product.datasets.delete(user.id, dataset.id)
    await product.uploads.sweep()
    await product.uploads.sweep()
    with pytest.raises(NotFound):
        await product.uploads.accept(user.id, upload.id)
    assert copies.count == 0
    await product.datasets.undelete(user.id, dataset.id)
    await product.uploads.sweep()
    assert copies.count == 1
    assert (await product.uploads.upload(user.id, upload.id)).state == 'unchanged'
    assert f't/{user.id}/u/{upload.id}/source' not in await product.objects.list(f't/{user.id}/u/')
