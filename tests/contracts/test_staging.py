"""What every Staging promises (`core.ports.Staging`)."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import Conflict, NotFound, TooLarge
from core.ports import Staging
from storage.embedded.staging import LocalStaging
from storage.objects import Objects
from tests.contracts.staging import LIMIT, SOON, begun, pieces, supabase_staging
from tests.fakes.supabase import FakeSupabase


@pytest.fixture(params=['local', 'supabase'])
def open_staging(request: pytest.FixtureRequest) -> Callable[[], Staging]:
    """Open the staging as one process after the other, or beside the other, would."""
    return request.getfixturevalue(f'open_{request.param}')


@pytest.fixture
def open_local(tmp_path: Path) -> Callable[[], Staging]:
    return lambda: LocalStaging(tmp_path / 'staging')


@pytest.fixture
def open_supabase(supabase: FakeSupabase, http: httpx.AsyncClient) -> Callable[[], Staging]:
    return lambda: supabase_staging(supabase, http)


@pytest.fixture
def staging(open_staging: Callable[[], Staging]) -> Staging:
    return open_staging()


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects.local(tmp_path / 'objects')


@pytest.fixture
def key() -> str:
    return f't/{uuid4()}/source'


class Sender:
    """Sends one piece, then waits until it is told to go on."""

    def __init__(self, piece: bytes) -> None:
        self.piece = piece
        self.sent = asyncio.Event()
        self.go = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.piece
        self.sent.set()
        await self.go.wait()


async def test_an_upload_begins_empty_and_beginning_it_twice_changes_nothing(staging: Staging) -> None:
    upload = await begun(staging)
    assert await staging.offset(upload) == 0
    await staging.append(upload, 0, pieces(b'kept'), limit=LIMIT)
    await staging.create(upload)
    assert await staging.offset(upload) == 4


async def test_an_unknown_upload_is_not_found(staging: Staging, objects: Objects, key: str) -> None:
    for use in (
        staging.offset(uuid4()),
        staging.append(uuid4(), 0, pieces(b'x'), limit=LIMIT),
        staging.accept(uuid4(), objects, key),
    ):
        with pytest.raises(NotFound):
            await use


async def test_bytes_arrive_in_order(staging: Staging, objects: Objects, key: str) -> None:
    upload = await begun(staging)
    assert await staging.append(upload, 0, pieces(b'one', b'', b'two'), limit=LIMIT) == 6
    assert await staging.append(upload, 6, pieces(b'three'), limit=LIMIT) == 11
    assert await staging.append(upload, 11, pieces(), limit=LIMIT) == 11
    await staging.accept(upload, objects, key)
    assert await objects.get(key) == b'onetwothree'


async def test_large_pieces_arrive_whole(staging: Staging, objects: Objects, key: str) -> None:
    data = os.urandom(15 * 2**20)
    upload = await begun(staging)
    assert await staging.append(upload, 0, pieces(data[: 13 * 2**20]), limit=len(data)) == 13 * 2**20
    assert await staging.append(upload, 13 * 2**20, pieces(data[13 * 2**20 :]), limit=len(data)) == len(data)
    info = await staging.accept(upload, objects, key)
    assert (info.size, info.sha256) == (len(data), hashlib.sha256(data).hexdigest())


async def test_another_process_goes_on_where_one_has_stopped(open_staging: Callable[[], Staging]) -> None:
    upload = await begun(open_staging(), b'kept')
    assert await open_staging().offset(upload) == 4
    assert await open_staging().append(upload, 4, pieces(b'more'), limit=LIMIT) == 8


@pytest.mark.parametrize('offset', [0, 3, 5])
async def test_another_offset_is_a_conflict(staging: Staging, offset: int) -> None:
    upload = await begun(staging, b'four')
    with pytest.raises(Conflict, match='4 bytes have arrived'):
        await staging.append(upload, offset, pieces(b'x'), limit=LIMIT)
    assert await staging.offset(upload) == 4


async def test_bytes_past_the_limit_are_too_many(staging: Staging) -> None:
    upload = await begun(staging)
    assert await staging.append(upload, 0, pieces(b'12345'), limit=5) == 5
    with pytest.raises(TooLarge):
        await staging.append(upload, 5, pieces(b'6'), limit=5)
    other = await begun(staging)
    with pytest.raises(TooLarge):
        await staging.append(other, 0, pieces(b'123', b'456'), limit=5)
    assert [await staging.offset(each) for each in (upload, other)] == [5, 5]


async def test_bytes_that_arrived_before_the_sender_broke_off_are_kept(staging: Staging) -> None:
    upload = await begun(staging)
    with pytest.raises(ConnectionResetError):
        await staging.append(upload, 0, pieces(b'kept', error=ConnectionResetError()), limit=LIMIT)
    assert await staging.offset(upload) == 4
    assert await staging.append(upload, 4, pieces(b'more'), limit=LIMIT) == 8


@pytest.mark.parametrize('size', [10, 8 * 2**20])
async def test_bytes_that_arrived_before_a_cancellation_are_kept(staging: Staging, size: int) -> None:
    upload, sender = await begun(staging), Sender(os.urandom(size))
    appending = asyncio.create_task(staging.append(upload, 0, aiter(sender), limit=LIMIT))
    async with asyncio.timeout(SOON):
        await sender.sent.wait()
    appending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await appending
    assert await resumed(staging, upload, size) == size + 1


async def resumed(staging: Staging, upload: UUID, offset: int) -> int:
    """Append one more byte as soon as the cancelled request has let go."""
    async with asyncio.timeout(SOON):
        while True:
            try:
                return await staging.append(upload, offset, pieces(b'x'), limit=LIMIT)
            except Conflict:
                await asyncio.sleep(0)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(sizes=st.lists(st.integers(0, 1_500_000), min_size=1, max_size=8), turns=st.integers(0, 60))
async def test_a_cancellation_at_any_moment_keeps_a_prefix(
    staging: Staging, objects: Objects, sizes: list[int], turns: int
) -> None:
    data = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    upload, key = await begun(staging), f't/{uuid4()}/source'

    async def slow() -> AsyncIterator[bytes]:
        for piece in data:
            yield piece
            await asyncio.sleep(0)

    appending = asyncio.create_task(staging.append(upload, 0, slow(), limit=2 * LIMIT))
    for _ in range(turns):
        await asyncio.sleep(0)
    appending.cancel()
    await asyncio.gather(appending, return_exceptions=True)
    # The sender comes back with the rest, as often as what it had sent before turns out to have arrived after all.
    whole = b''.join(data)
    async with asyncio.timeout(SOON):
        while (kept := await staging.offset(upload)) < len(whole):
            with suppress(Conflict):
                await staging.append(upload, kept, pieces(whole[kept:]), limit=2 * LIMIT)
            await asyncio.sleep(0)
    assert (await staging.accept(upload, objects, key)).size == len(whole)
    assert await objects.get(key) == whole


async def test_two_senders_of_one_file_leave_one_file(staging: Staging, objects: Objects, key: str) -> None:
    """As when a client tries again while its first request still hangs somewhere."""
    data = os.urandom(10)
    upload, slow = await begun(staging), Sender(data[:4])
    first = asyncio.create_task(staging.append(upload, 0, aiter(slow), limit=LIMIT))
    async with asyncio.timeout(SOON):
        await slow.sent.wait()
    answers = await asyncio.gather(staging.append(upload, 0, pieces(data), limit=LIMIT), return_exceptions=True)
    slow.go.set()
    answers += await asyncio.gather(first, return_exceptions=True)
    acknowledged = [answer for answer in answers if isinstance(answer, int)]
    assert acknowledged
    assert all(isinstance(answer, int | Conflict) for answer in answers)
    kept = await staging.offset(upload)
    assert kept == max(acknowledged)
    await staging.append(upload, kept, pieces(data[kept:]), limit=LIMIT)
    await staging.accept(upload, objects, key)
    assert await objects.get(key) == data


async def test_accept_moves_the_bytes_verified_and_again_returns_the_same(
    staging: Staging, objects: Objects, key: str
) -> None:
    data = os.urandom(100_000)
    upload = await begun(staging, data)
    info = await staging.accept(upload, objects, key)
    assert (info.key, info.size, info.sha256) == (key, len(data), hashlib.sha256(data).hexdigest())
    assert await objects.get(key) == data
    assert await staging.accept(upload, objects, key) == info
    await staging.discard(upload)
    assert await staging.accept(upload, objects, key) == info
    assert await objects.get(key) == data


async def test_accepting_at_the_same_time_returns_the_same(
    open_staging: Callable[[], Staging], objects: Objects, key: str
) -> None:
    upload = await begun(open_staging(), b'data' * 10_000)
    one, other = open_staging(), open_staging()
    infos = await asyncio.gather(*(each.accept(upload, objects, key) for each in (one, one, other, one, other)))
    assert len(set(infos)) == 1


class Rival:
    """An object store where somebody else has accepted the upload, and discarded its bytes, a moment before us."""

    def __init__(self, objects: Objects, staging: Staging, upload: UUID, data: bytes) -> None:
        self._objects, self._staging, self._upload, self._data = objects, staging, upload, data
        self.stream = objects.stream

    async def put_file(self, key: str, path: Path, *, move: bool = False) -> None:
        await self._objects.put(key, self._data)
        await self._staging.discard(self._upload)
        raise Conflict


async def test_accepting_after_somebody_has_discarded_the_bytes_returns_the_object(
    staging: Staging, objects: Objects, key: str
) -> None:
    upload = await begun(staging, b'the same bytes')
    info = await staging.accept(upload, Rival(objects, staging, upload, b'the same bytes'), key)  # type: ignore[arg-type]
    assert (info.key, info.size) == (key, 14)
    assert info.sha256 == hashlib.sha256(b'the same bytes').hexdigest()


async def test_a_key_that_holds_something_else_is_a_conflict(staging: Staging, objects: Objects, key: str) -> None:
    upload = await begun(staging, b'mine')
    await objects.put(key, b'theirs')
    with pytest.raises(Conflict):
        await staging.accept(upload, objects, key)
    assert await staging.offset(upload) == 4
    assert await objects.get(key) == b'theirs'


async def test_an_accepted_upload_is_there_until_it_is_discarded(staging: Staging, objects: Objects, key: str) -> None:
    upload = await begun(staging, b'data')
    await staging.accept(upload, objects, key)
    assert await staging.offset(upload) == 4, 'a crash before the row is committed loses nothing'
    await staging.create(upload)
    assert await staging.offset(upload) == 4
    with pytest.raises((Conflict, TooLarge)):
        await staging.append(upload, 4, pieces(b'x'), limit=4)
    assert await objects.get(key) == b'data'


async def test_discard_forgets_and_discarding_twice_changes_nothing(staging: Staging) -> None:
    upload, other = await begun(staging, b'data'), await begun(staging, b'other')
    await staging.discard(upload)
    await staging.discard(upload)
    with pytest.raises(NotFound):
        await staging.offset(upload)
    with pytest.raises(NotFound):
        await staging.append(upload, 4, pieces(b'x'), limit=LIMIT)
    assert await staging.offset(other) == 5


async def test_who_sends_directly_is_told_where_and_the_page_may_go_there(staging: Staging) -> None:
    ticket = await staging.direct(await begun(staging), 10)
    assert (ticket is None) == (not staging.origins)
    if ticket is not None:
        assert ticket.url.startswith(tuple(f'{origin}/' for origin in staging.origins))
