"""Local copies of objects: bounded, shared, whole or not there."""

import asyncio
import errno
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest
from obstore.store import MemoryStore

from core.errors import Unavailable
from storage.object_cache import ObjectCache
from storage.objects import Objects

TENANT = UUID('00000000-0000-4000-8000-000000000001')
SIZE = 1000
LIMIT = 10 * SIZE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / 'cache'


@pytest.fixture
def cache(folder: Path) -> ObjectCache:
    return ObjectCache(folder, limit=LIMIT, grace=0)


def key(number: int) -> str:
    return f't/{TENANT}/{number}'


def writing(data: bytes = b'x' * SIZE) -> Callable[[Path], Awaitable[None]]:
    async def download(path: Path) -> None:
        await asyncio.to_thread(path.write_bytes, data)

    return download


def held(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob('*') if path.is_file())


async def test_it_stays_within_its_limit(cache: ObjectCache, folder: Path) -> None:
    for number in range(50):
        await cache.fetch(key(number), writing())
        cache.keep_piece(key(number), 0, 100, b'x' * 100)
        assert held(folder) <= LIMIT


async def test_what_was_asked_for_last_stays(cache: ObjectCache) -> None:
    for number in range(10):
        path = await cache.fetch(key(number), writing())
        os.utime(path, (0, time.time() - 100 + number))
    assert cache.find(key(0))
    for number in range(10, 14):
        await cache.fetch(key(number), writing())
    kept = [number for number in range(14) if cache.find(key(number))]
    assert kept == [0, *range(5, 14)]


async def test_what_is_lent_stays_over_the_limit(folder: Path) -> None:
    cache = ObjectCache(folder, limit=LIMIT, grace=600)
    paths = [await cache.fetch(key(number), writing()) for number in range(20)]
    for number in range(20):
        cache.keep_piece(key(number), 0, 100, b'x' * 100)
    assert all(path.exists() for path in paths)
    assert held(folder) == 20 * SIZE, 'pieces are not lent'
    for path in paths[:15]:
        os.utime(path, (0, time.time() - 601))
    await cache.fetch(key(20), writing())
    assert held(folder) <= LIMIT
    assert all(path.exists() for path in paths[15:])


async def test_what_is_asked_for_while_room_is_made_stays(
    folder: Path, cache: ObjectCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, copies, lent = ObjectCache(folder, limit=LIMIT), ObjectCache._copies, list[Path | None]()
    for number in range(10):
        os.utime(await cache.fetch(key(number), writing()), (0, number))

    def asked_meanwhile(cache: ObjectCache) -> Iterable[tuple[float, int, Path]]:
        yield from copies(cache)
        lent.append(other.find(key(0)))

    monkeypatch.setattr(ObjectCache, '_copies', asked_meanwhile)
    await cache.fetch(key(10), writing())
    [path] = lent
    assert path
    assert path.exists()
    assert held(folder) <= LIMIT, 'the next one went instead'


async def test_what_is_being_removed_is_not_lent(
    folder: Path, cache: ObjectCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, unlink, asked = ObjectCache(folder, limit=LIMIT), Path.unlink, list[Future[Path | None]]()
    path = await cache.fetch(key(0), writing())
    os.utime(path, (0, 0))
    with ThreadPoolExecutor() as threads:

        def asked_meanwhile(removed: Path, *, missing_ok: bool = False) -> None:
            if removed == path:
                asked.append(threads.submit(other.find, key(0)))
                with suppress(TimeoutError):
                    asked[0].result(0.05)
            unlink(removed, missing_ok=missing_ok)

        monkeypatch.setattr(Path, 'unlink', asked_meanwhile)
        await cache.fetch(key(1), writing(b'x' * LIMIT))
        assert not path.exists()
        assert asked[0].result() is None


async def test_asking_again_prolongs_the_loan(folder: Path) -> None:
    cache = ObjectCache(folder, limit=LIMIT, grace=600)
    path = await cache.fetch(key(0), writing())
    os.utime(path, (0, 0))
    assert await cache.fetch(key(0), writing(b'')) == path
    for number in range(1, 20):
        await cache.fetch(key(number), writing())
    assert path.stat().st_size == SIZE


async def test_many_who_ask_at_once_cause_one_download(cache: ObjectCache) -> None:
    begun, loading, may = 0, asyncio.Event(), asyncio.Event()

    async def download(path: Path) -> None:
        nonlocal begun
        begun += 1
        loading.set()
        await may.wait()
        await asyncio.to_thread(path.write_bytes, b'data')

    first = asyncio.create_task(cache.fetch(key(0), download))
    await loading.wait()
    asking = [asyncio.create_task(cache.fetch(key(0), download)) for _ in range(10)]
    first.cancel()
    may.set()
    paths = await asyncio.gather(*asking)
    assert begun == 1
    assert len(set(paths)) == 1
    assert paths[0].read_bytes() == b'data'


async def test_a_download_that_fails_leaves_nothing(cache: ObjectCache, folder: Path) -> None:
    async def fail(path: Path) -> None:
        await asyncio.to_thread(path.write_bytes, b'half')
        raise Unavailable

    with pytest.raises(Unavailable):
        await cache.fetch(key(0), fail)
    assert held(folder) == 0
    assert (await cache.fetch(key(0), writing())).stat().st_size == SIZE


async def test_a_full_disk_is_told(cache: ObjectCache, folder: Path) -> None:
    async def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')

    with pytest.raises(Unavailable, match='full'):
        await cache.fetch(key(0), full)
    assert held(folder) == 0


def test_a_piece_that_cannot_be_kept_is_no_fault(
    cache: ObjectCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, 'No space left on device')

    cache.keep_piece(key(0), 0, 4, b'data')
    monkeypatch.setattr(Path, 'write_bytes', full)
    cache.keep_piece(key(0), 4, 8, b'more')
    assert cache.piece(key(0), 0, 4) == b'data'
    assert cache.piece(key(0), 4, 8) is None
    assert cache.piece(key(0), 0, 3) is None, 'other pieces are other pieces'


def test_a_piece_that_lost_its_bytes_is_none(cache: ObjectCache, folder: Path) -> None:
    cache.keep_piece(key(0), 0, 4, b'data')
    [path] = [path for path in folder.rglob('*') if path.is_file()]
    path.write_bytes(b'')
    assert cache.piece(key(0), 0, 4) is None


async def test_a_copy_is_on_the_disk_before_it_has_its_name(
    cache: ObjectCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(os, 'fsync', lambda file: synced.append(Path(f'/proc/self/fd/{file}').readlink()))
    await cache.fetch(key(0), writing())
    assert [path.suffix for path in synced] == ['.part']


async def test_what_a_dead_process_was_writing_is_removed(cache: ObjectCache, folder: Path) -> None:
    path = await cache.fetch(key(0), writing())
    old, new = path.with_name('old.part'), path.with_name('new.part')
    for part in (old, new):
        part.write_bytes(b'half')
    os.utime(old, (0, time.time() - 3601))
    ObjectCache(folder, limit=LIMIT)
    assert not old.exists()
    assert new.exists(), 'somebody may be writing it'
    assert path.exists()


async def test_processes_share_a_folder(cache: ObjectCache, folder: Path) -> None:
    other = ObjectCache(folder, limit=LIMIT, grace=0)
    path = await cache.fetch(key(0), writing())
    assert other.find(key(0)) == path
    for number in range(1, 40):
        await (cache, other)[number % 2].fetch(key(number), writing())
        assert held(folder) <= LIMIT


async def test_a_deleted_object_has_no_copy(folder: Path) -> None:
    cache = ObjectCache(folder, limit=LIMIT)
    objects = Objects(MemoryStore(), cache=cache)
    await objects.put(key(1), b'data')
    await objects.put(key(12), b'data')
    await objects.fetch(key(1))
    cache.keep_piece(key(1), 0, 4, b'data')
    kept = await objects.fetch(key(12))
    await objects.delete(key(1))
    assert not kept.exists()
    assert held(folder) == 0
