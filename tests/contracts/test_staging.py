"""What every Staging promises (`core.ports.Staging`)."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import Conflict, NotFound, TooLarge, Unavailable
from storage.embedded.staging import LocalStaging
from storage.objects import Objects

LIMIT = 10_000_000
SOON = 10.0


@pytest.fixture
def staging(tmp_path: Path) -> LocalStaging:
    return LocalStaging(tmp_path / 'staging')


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects.local(tmp_path / 'objects')


@pytest.fixture
def key() -> str:
    return f't/{uuid4()}/source'


async def begun(staging: LocalStaging, data: bytes = b'') -> UUID:
    upload = uuid4()
    await staging.create(upload)
    if data:
        await staging.append(upload, 0, pieces(data), limit=LIMIT)
    return upload


async def pieces(*given: bytes, error: BaseException | None = None) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece
    if error is not None:
        raise error


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


async def test_an_upload_begins_empty_and_beginning_it_twice_changes_nothing(staging: LocalStaging) -> None:
    upload = await begun(staging)
    assert await staging.offset(upload) == 0
    await staging.append(upload, 0, pieces(b'kept'), limit=LIMIT)
    await staging.create(upload)
    assert await staging.offset(upload) == 4


async def test_an_unknown_upload_is_not_found(staging: LocalStaging, objects: Objects, key: str) -> None:
    for use in (
        staging.offset(uuid4()),
        staging.append(uuid4(), 0, pieces(b'x'), limit=LIMIT),
        staging.accept(uuid4(), objects, key),
    ):
        with pytest.raises(NotFound):
            await use


async def test_bytes_arrive_in_order(staging: LocalStaging, objects: Objects, key: str) -> None:
    upload = await begun(staging)
    assert await staging.append(upload, 0, pieces(b'one', b'', b'two'), limit=LIMIT) == 6
    assert await staging.append(upload, 6, pieces(b'three'), limit=LIMIT) == 11
    assert await staging.append(upload, 11, pieces(), limit=LIMIT) == 11
    await staging.accept(upload, objects, key)
    assert await objects.get(key) == b'onetwothree'


@pytest.mark.parametrize('offset', [0, 3, 5])
async def test_another_offset_is_a_conflict(staging: LocalStaging, offset: int) -> None:
    upload = await begun(staging, b'four')
    with pytest.raises(Conflict, match='4 bytes have arrived'):
        await staging.append(upload, offset, pieces(b'x'), limit=LIMIT)
    assert await staging.offset(upload) == 4


async def test_bytes_past_the_limit_are_too_many(staging: LocalStaging) -> None:
    upload = await begun(staging)
    assert await staging.append(upload, 0, pieces(b'12345'), limit=5) == 5
    with pytest.raises(TooLarge):
        await staging.append(upload, 5, pieces(b'6'), limit=5)
    other = await begun(staging)
    with pytest.raises(TooLarge):
        await staging.append(other, 0, pieces(b'123', b'456'), limit=5)
    assert [await staging.offset(each) for each in (upload, other)] == [5, 5]


async def test_bytes_that_arrived_before_the_sender_broke_off_are_kept(staging: LocalStaging) -> None:
    upload = await begun(staging)
    with pytest.raises(ConnectionResetError):
        await staging.append(upload, 0, pieces(b'kept', error=ConnectionResetError()), limit=LIMIT)
    assert await staging.offset(upload) == 4
    assert await staging.append(upload, 4, pieces(b'more'), limit=LIMIT) == 8


@pytest.mark.parametrize('size', [10, 3 * 2**20])
async def test_bytes_that_arrived_before_a_cancellation_are_kept(staging: LocalStaging, size: int) -> None:
    upload, sender = await begun(staging), Sender(os.urandom(size))
    appending = asyncio.create_task(staging.append(upload, 0, aiter(sender), limit=LIMIT))
    await asyncio.wait_for(sender.sent.wait(), SOON)
    appending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await appending
    assert await resumed(staging, upload, size) == size + 1


async def resumed(staging: LocalStaging, upload: UUID, offset: int) -> int:
    """Append one more byte as soon as the cancelled request has let go."""
    async with asyncio.timeout(SOON):
        while True:
            try:
                return await staging.append(upload, offset, pieces(b'x'), limit=LIMIT)
            except Conflict:
                await asyncio.sleep(0)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(sizes=st.lists(st.integers(0, 700_000), min_size=1, max_size=8), turns=st.integers(0, 12))
async def test_a_cancellation_at_any_moment_keeps_a_prefix(staging: LocalStaging, sizes: list[int], turns: int) -> None:
    data = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    upload = await begun(staging)

    async def slow() -> AsyncIterator[bytes]:
        for piece in data:
            yield piece
            await asyncio.sleep(0)

    appending = asyncio.create_task(staging.append(upload, 0, slow(), limit=LIMIT))
    for _ in range(turns):
        await asyncio.sleep(0)
    appending.cancel()
    await asyncio.gather(appending, return_exceptions=True)
    async with asyncio.timeout(SOON):
        while True:
            kept = await staging.offset(upload)
            try:
                await staging.append(upload, kept, pieces(), limit=LIMIT)
                break
            except Conflict:
                await asyncio.sleep(0)
    [file] = list(staging._folder.glob(f'{upload}*'))
    assert b''.join(data).startswith(file.read_bytes())


async def test_one_sender_at_a_time(staging: LocalStaging, objects: Objects, key: str) -> None:
    upload, sender = await begun(staging), Sender(b'first')
    appending = asyncio.create_task(staging.append(upload, 0, aiter(sender), limit=LIMIT))
    await asyncio.wait_for(sender.sent.wait(), SOON)
    with pytest.raises(Conflict, match='Another request'):
        await staging.append(upload, 0, pieces(b'second'), limit=LIMIT)
    with pytest.raises(Conflict, match='Another request'):
        await staging.accept(upload, objects, key)
    sender.go.set()
    assert await appending == 5
    assert await staging.append(upload, 5, pieces(b'third'), limit=LIMIT) == 10


async def test_accept_moves_the_bytes_verified_and_again_returns_the_same(
    staging: LocalStaging, objects: Objects, key: str
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


async def test_accepting_at_the_same_time_returns_the_same(staging: LocalStaging, objects: Objects, key: str) -> None:
    upload = await begun(staging, b'data' * 10_000)
    infos = await asyncio.gather(*(staging.accept(upload, objects, key) for _ in range(5)))
    assert len(set(infos)) == 1


class Rival:
    """An object store where somebody else has accepted the upload, and discarded its bytes, a moment before us."""

    def __init__(self, objects: Objects, staging: LocalStaging, upload: UUID, data: bytes) -> None:
        self._objects, self._staging, self._upload, self._data = objects, staging, upload, data
        self.stream = objects.stream

    async def put_file(self, key: str, path: Path, *, move: bool = False) -> None:
        await self._objects.put(key, self._data)
        await self._staging.discard(self._upload)
        raise Conflict


async def test_accepting_after_somebody_has_discarded_the_bytes_returns_the_object(
    staging: LocalStaging, objects: Objects, key: str
) -> None:
    upload = await begun(staging, b'the same bytes')
    info = await staging.accept(upload, Rival(objects, staging, upload, b'the same bytes'), key)  # type: ignore[arg-type]
    assert (info.key, info.size) == (key, 14)
    assert info.sha256 == hashlib.sha256(b'the same bytes').hexdigest()


async def test_accept_copies_nothing(staging: LocalStaging, objects: Objects, key: str, tmp_path: Path) -> None:
    upload = await begun(staging, b'data')
    node = (tmp_path / 'staging' / str(upload)).stat().st_ino
    await staging.accept(upload, objects, key)
    assert (await objects.fetch(key)).stat().st_ino == node


async def test_a_key_that_holds_something_else_is_a_conflict(staging: LocalStaging, objects: Objects, key: str) -> None:
    upload = await begun(staging, b'mine')
    await objects.put(key, b'theirs')
    with pytest.raises(Conflict):
        await staging.accept(upload, objects, key)
    assert await staging.offset(upload) == 4
    assert await objects.get(key) == b'theirs'


async def test_an_accepted_upload_is_complete_until_it_is_discarded(
    staging: LocalStaging, objects: Objects, key: str
) -> None:
    upload = await begun(staging, b'data')
    await staging.accept(upload, objects, key)
    assert await staging.offset(upload) == 4, 'a crash before the row is committed loses nothing'
    await staging.create(upload)
    with pytest.raises(Conflict, match='complete'):
        await staging.append(upload, 4, pieces(b'x'), limit=LIMIT)
    assert await objects.get(key) == b'data'


async def test_discard_forgets_and_discarding_twice_changes_nothing(staging: LocalStaging, tmp_path: Path) -> None:
    upload, other = await begun(staging, b'data'), await begun(staging, b'other')
    await staging.discard(upload)
    await staging.discard(upload)
    with pytest.raises(NotFound):
        await staging.offset(upload)
    assert await staging.offset(other) == 5
    assert len(list((tmp_path / 'staging').iterdir())) == 1


async def test_the_event_loop_goes_on_while_the_disk_is_slow(
    staging: LocalStaging, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, go, write = threading.Event(), threading.Event(), os.write

    def slow(descriptor: int, data: bytes) -> int:
        writing.set()
        assert go.wait(SOON)
        return write(descriptor, data)

    upload = await begun(staging)
    monkeypatch.setattr(os, 'write', slow)
    appending = asyncio.create_task(staging.append(upload, 0, pieces(b'x' * 2**20), limit=LIMIT))
    async with asyncio.timeout(SOON):
        while not writing.is_set():
            await asyncio.sleep(0.001)
    assert await staging.offset(upload) == 0
    go.set()
    assert await appending == 2**20


async def test_a_full_disk_is_told_and_leaves_no_gap(staging: LocalStaging, monkeypatch: pytest.MonkeyPatch) -> None:
    upload, write = await begun(staging), os.write

    def full(descriptor: int, data: bytes) -> int:
        if os.fstat(descriptor).st_size >= 2**20:
            raise OSError(28, 'No space left on device')
        return write(descriptor, data[: 2**19])

    monkeypatch.setattr(os, 'write', full)
    with pytest.raises(Unavailable, match='space'):
        await staging.append(upload, 0, pieces(b'1' * 2**20, b'2' * 2**20, b'3' * 2**20), limit=LIMIT)
    monkeypatch.undo()
    assert await staging.append(upload, 2**20, pieces(b'2'), limit=LIMIT) == 2**20 + 1


KILLED = """
import asyncio, sys
from pathlib import Path
from uuid import UUID
from storage.embedded.staging import LocalStaging

async def main():
    staging, upload = LocalStaging(Path(sys.argv[1])), UUID(sys.argv[2])

    async def pieces():
        yield b'x' * 2**20

    await staging.create(upload)
    offset = 0
    while True:
        offset = await staging.append(upload, offset, pieces(), limit=2**40)
        print(offset, flush=True)

asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_a_kill(staging: LocalStaging, tmp_path: Path) -> None:
    upload = uuid4()
    command = [sys.executable, '-c', KILLED, str(tmp_path / 'staging'), str(upload)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(5):
        acknowledged = int(await asyncio.wait_for(process.stdout.readline(), SOON))
    process.send_signal(signal.SIGKILL)
    await process.wait()
    kept = await staging.offset(upload)
    assert kept >= acknowledged
    assert await staging.append(upload, kept, pieces(b'x'), limit=2**40) == kept + 1
