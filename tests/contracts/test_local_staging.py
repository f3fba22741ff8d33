"""What staging in files of this machine promises beside `core.ports.Staging`."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from core.errors import Conflict, Unavailable
from storage.embedded.staging import LocalStaging
from storage.objects import Objects
from tests.contracts.staging import LIMIT, SOON, begun, pieces


@pytest.fixture
def staging(tmp_path: Path) -> LocalStaging:
    return LocalStaging(tmp_path / 'staging')


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects.local(tmp_path / 'objects')


@pytest.fixture
def key() -> str:
    return f't/{uuid4()}/source'


async def test_one_sender_at_a_time(staging: LocalStaging, objects: Objects, key: str) -> None:
    sent, go = asyncio.Event(), asyncio.Event()

    async def held() -> AsyncIterator[bytes]:
        yield b'first'
        sent.set()
        await go.wait()

    upload = await begun(staging)
    appending = asyncio.create_task(staging.append(upload, 0, held(), limit=LIMIT))
    async with asyncio.timeout(SOON):
        await sent.wait()
    with pytest.raises(Conflict, match='Another request'):
        await staging.append(upload, 0, pieces(b'second'), limit=LIMIT)
    with pytest.raises(Conflict, match='Another request'):
        await staging.accept(upload, objects, key)
    go.set()
    assert await appending == 5
    assert await staging.append(upload, 5, pieces(b'third'), limit=LIMIT) == 10


async def test_accept_copies_nothing(staging: LocalStaging, objects: Objects, key: str, tmp_path: Path) -> None:
    upload = await begun(staging, b'data')
    node = (tmp_path / 'staging' / str(upload)).stat().st_ino
    await staging.accept(upload, objects, key)
    assert (await objects.fetch(key)).stat().st_ino == node


async def test_an_accepted_upload_takes_no_more(staging: LocalStaging, objects: Objects, key: str) -> None:
    upload = await begun(staging, b'data')
    await staging.accept(upload, objects, key)
    with pytest.raises(Conflict, match='complete'):
        await staging.append(upload, 4, pieces(b'x'), limit=LIMIT)
    assert await objects.get(key) == b'data'


async def test_discard_leaves_no_file(staging: LocalStaging, tmp_path: Path) -> None:
    upload, other = await begun(staging, b'data'), await begun(staging, b'other')
    await staging.discard(upload)
    assert [path.name for path in (tmp_path / 'staging').iterdir()] == [str(other)]


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
    async with asyncio.timeout(SOON):
        for _ in range(5):
            acknowledged = int(await process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    await process.wait()
    kept = await staging.offset(upload)
    assert kept >= acknowledged
    assert await staging.append(upload, kept, pieces(b'x'), limit=2**40) == kept + 1
