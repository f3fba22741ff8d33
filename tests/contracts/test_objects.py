"""What every ObjectStore promises (`core.ports.ObjectStore`): on local files, in memory and on two servers of S3.

moto is right on ranges and conditional puts but takes any secret. rclone enforces signatures and checksums, but answers
a range with the status of a whole object, which obstore refuses, and ignores conditions.
"""

import asyncio
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import LocalStore, MemoryStore

from core.analysis import duck, tables
from core.errors import Conflict, Misconfigured, NotFound, Unavailable, UsageError
from core.settings import Settings
from core.values import ObjectInfo
from storage import objects as module
from storage.embedded.compute import ChildProcesses
from storage.embedded.nursery import Nursery
from storage.object_cache import ObjectCache
from storage.object_faults import Patience
from storage.objects import Objects, ObjectsAt, task_objects

LIMIT = 2**30
ROWS = 300_000
TENANT = UUID('00000000-0000-4000-8000-000000000001')
KEY = f't/{TENANT}/u/source'
OTHER = f't/{uuid4()}/u/source'
WRONG = [
    '',
    '/',
    't',
    f't/{TENANT}',
    f't/{TENANT}/',
    f't/{TENANT}//x',
    f't/{TENANT}/../{TENANT}/x',
    f't/{TENANT}/./x',
    f't/{TENANT}/...',
    f't/{TENANT}/x/',
    f'/t/{TENANT}/x',
    f't/{TENANT}/a b',
    f't/{TENANT}/a%2e',
    f't/{TENANT}/a\\b',
    f't/{TENANT}/a\x00',
    f't/{TENANT}/a\n',
    f't/{TENANT}/ä',
    f't/{TENANT}/x#1',
    f't/{str(TENANT).upper().replace("0", "A")}/x',
    't/someone/x',
    f'u/{TENANT}/x',
    'ping/x',
    f't/{TENANT}/' + 'x' * 201,
    f't/{TENANT}/' + 'x/' * 500 + 'x',
]


QUICK = Patience(tries=4, first=0.001, longest=0.002, timeout=20, total=60)


@pytest.fixture(params=['files', 'memory', 'moto', 'rclone'])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Objects]:
    """Make a store whose local copies have so many bytes of room."""

    def make(limit: int = LIMIT) -> Objects:
        match request.param:
            case 'files':
                return Objects.local(tmp_path / 'objects')
            case 'memory':
                return Objects(MemoryStore(), cache=ObjectCache(tmp_path / 'cache', limit=limit))
            case server:
                at = request.getfixturevalue(server).make(f'bucket-{uuid4().hex}')
                return Objects.s3(at, cache=ObjectCache(tmp_path / 'cache', limit=limit), patience=QUICK)

    return make


@pytest.fixture
def objects(make: Callable[..., Objects]) -> Objects:
    return make()


def without_rclone(why: str) -> pytest.MarkDecorator:
    """Run a test on the stores that can do what it needs; `why` says what rclone does instead."""
    return pytest.mark.parametrize('make', ['files', 'memory', 'moto'], indirect=True)


@pytest.fixture
def local(tmp_path: Path) -> Objects:
    return Objects.local(tmp_path / 'objects')


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / 'source.csv'
    path.write_bytes(b'ds,y\n' * 1000)
    return path


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    path = tmp_path / 'rows.parquet'
    with duck.connect(memory=2**28) as connection:
        connection.execute(f'copy (select i, i % 7 as v from range({ROWS}) t(i)) to {duck.text(str(path))}')
    return path


def info(key: str, data: bytes) -> ObjectInfo:
    return ObjectInfo(key=key, size=len(data), sha256=hashlib.sha256(data).hexdigest())


async def test_put_returns_size_and_checksum(objects: Objects) -> None:
    assert await objects.put(KEY, b'data') == info(KEY, b'data')
    assert await objects.get(KEY) == b'data'
    assert await objects.size(KEY) == 4


async def test_an_empty_object_is_an_object(objects: Objects) -> None:
    assert await objects.put(KEY, b'') == info(KEY, b'')
    assert await objects.get(KEY) == b''


async def test_an_existing_key_is_a_conflict_and_stays_as_it_is(objects: Objects, file: Path) -> None:
    await objects.put(KEY, b'first')
    with pytest.raises(Conflict):
        await objects.put(KEY, b'second')
    for move in (False, True):
        with pytest.raises(Conflict):
            await objects.put_file(KEY, file, move=move)
    assert await objects.get(KEY) == b'first'
    assert file.exists()


@without_rclone('it ignores the condition If-None-Match')
async def test_one_of_many_who_put_the_same_key_wins(objects: Objects) -> None:
    puts = [objects.put(KEY, str(number).encode()) for number in range(10)]
    answers = await asyncio.gather(*puts, return_exceptions=True)
    [won] = [answer for answer in answers if isinstance(answer, ObjectInfo)]
    assert sum(isinstance(answer, Conflict) for answer in answers) == 9
    assert hashlib.sha256(await objects.get(KEY)).hexdigest() == won.sha256


@pytest.mark.parametrize('whole', [2**20, 100])
async def test_put_file_stores_a_copy(
    objects: Objects, file: Path, whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'WHOLE', whole)
    data = file.read_bytes()
    assert await objects.put_file(KEY, file) == info(KEY, data)
    file.write_bytes(b'changed afterwards')
    assert await objects.get(KEY) == data
    with pytest.raises(Conflict):
        await objects.put_file(KEY, file)


async def test_put_file_may_move(objects: Objects, file: Path) -> None:
    data = file.read_bytes()
    assert await objects.put_file(KEY, file, move=True) == info(KEY, data)
    assert await objects.get(KEY) == data
    assert not file.exists()


async def test_what_is_not_there_is_not_found(objects: Objects) -> None:
    await objects.put(KEY, b'data')
    for key in (f'{KEY}2', KEY.rpartition('/')[0], f't/{TENANT}/none'):
        for reading in (objects.get, objects.stream, objects.fetch, objects.size):
            with pytest.raises(NotFound):
                await reading(key)


@without_rclone('it answers a range with 200 instead of 206')
async def test_stream_returns_the_object_in_pieces(objects: Objects) -> None:
    data = os.urandom(3 * 2**20 + 7)
    await objects.put(KEY, data)
    pieces = [piece async for piece in await objects.stream(KEY)]
    assert b''.join(pieces) == data


async def test_fetch_returns_a_read_only_file(objects: Objects) -> None:
    await objects.put(KEY, b'data')
    path = await objects.fetch(KEY)
    assert path.read_bytes() == b'data'
    assert path.stat().st_mode & 0o777 == 0o444
    assert await objects.fetch(KEY) == path


async def test_open_returns_what_reads_parts_of_objects(objects: Objects, parquet: Path) -> None:
    for key in (KEY, OTHER):
        await objects.put_file(key, parquet)
    opened = await objects.open([OTHER, KEY])
    assert len(opened.paths) == 2
    assert tables.page(opened.paths, limit=2, system=opened.files).total == 2 * ROWS
    assert (await objects.open([OTHER, KEY])).paths == opened.paths
    with pytest.raises(NotFound):
        await objects.open([KEY, f'{KEY}2'])


async def test_what_was_fetched_or_opened_last_stays_for_ten_minutes(
    make: Callable[..., Objects], tmp_path: Path
) -> None:
    objects = make(limit=3000)
    for key in (KEY, OTHER):
        await objects.put(key, b'x' * 1000)
    fetched, opened = await objects.fetch(KEY), await objects.open([OTHER])
    almost = time.time() - 599
    for path in tmp_path.rglob('*'):
        os.utime(path, (almost, almost))
    for number in range(5):
        await objects.put(f'{KEY}{number}', b'y' * 1000)
        await objects.fetch(f'{KEY}{number}')
    for kept in (fetched, *map(Path, opened.paths)):
        assert kept.read_bytes() == b'x' * 1000


@without_rclone('it answers a range with 200 instead of 206')
async def test_large_objects_are_read_in_parts(
    objects: Objects, parquet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'COPIED', 0)
    await objects.put_file(KEY, parquet)
    await objects.put_file(OTHER, parquet)
    opened = await objects.open([KEY])
    rows = tables.page(opened.paths, offset=1000, limit=5, system=opened.files)
    assert rows == tables.page([parquet], offset=1000, limit=5)
    out = tmp_path / 'out.csv'
    tables.export(opened.paths, out, system=opened.files)
    assert out.read_text().startswith('i,v\n0,0\n1,1\n')
    if opened.files is not None:
        assert sum(path.stat().st_size for path in (tmp_path / 'cache').rglob('*')) < parquet.stat().st_size * 2
        for path in ('objects://' + OTHER, '/etc/passwd'):
            with pytest.raises(Unavailable), duck.told():
                connection = duck.connect(memory=2**28, allow=opened.paths, system=opened.files)
                connection.execute(f'select * from read_parquet({duck.texts([path])})')


async def test_list_returns_the_keys_that_start_with_prefix_sorted(objects: Objects) -> None:
    names = ['b/2', 'b/1', 'a', 'b2/1', 'c/d/e']
    for name in names:
        await objects.put(f't/{TENANT}/{name}', b'')
    await objects.put(OTHER, b'')
    assert await objects.list(f't/{TENANT}/') == sorted(f't/{TENANT}/{name}' for name in names)
    assert await objects.list(f't/{TENANT}/b/') == [f't/{TENANT}/b/1', f't/{TENANT}/b/2']
    assert await objects.list(f't/{TENANT}/b') == [f't/{TENANT}/b/1', f't/{TENANT}/b/2', f't/{TENANT}/b2/1']
    assert await objects.list(f't/{TENANT}/none/') == []


async def test_delete_removes_what_starts_with_prefix_and_counts(objects: Objects) -> None:
    for name in ('b/2', 'b/1', 'b2/1'):
        await objects.put(f't/{TENANT}/{name}', b'')
    await objects.put(OTHER, b'')
    assert await objects.delete(f't/{TENANT}/b/') == 2
    assert await objects.delete(f't/{TENANT}/b/') == 0
    assert await objects.list(f't/{TENANT}/') == [f't/{TENANT}/b2/1']
    assert await objects.size(OTHER) == 0
    await objects.put(f't/{TENANT}/b/1', b'again')


@pytest.mark.parametrize('key', WRONG)
async def test_a_key_that_could_leave_the_store_is_refused(objects: Objects, file: Path, key: str) -> None:
    for use in (objects.get, objects.stream, objects.fetch, objects.size):
        with pytest.raises(UsageError):
            await use(key)
    with pytest.raises(UsageError):
        await objects.put(key, b'')
    with pytest.raises(UsageError):
        await objects.put_file(key, file)


@pytest.mark.parametrize('prefix', ['', '/', 't', 't/', f't/{TENANT}', f't/{TENANT}/../', f't/{TENANT}/..', 'ping/'])
async def test_a_prefix_names_one_tenant(objects: Objects, prefix: str) -> None:
    await objects.put(KEY, b'')
    with pytest.raises(UsageError):
        await objects.list(prefix)
    with pytest.raises(UsageError):
        await objects.delete(prefix)
    assert await objects.get(KEY) == b''


@given(st.text(alphabet='abt/._-%\\\x00 #', max_size=30))
async def test_no_accepted_key_leaves_the_tenants_folder(name: str) -> None:
    root = Path('/store')
    try:
        key = module._key(f't/{TENANT}/{name}')
    except UsageError:
        return
    path = Path(os.path.normpath(root / key))
    assert path.is_relative_to(root / 't' / str(TENANT))
    assert str(path) == f'{root}/{key}', 'one key, one path'


async def test_ping_leaves_nothing(objects: Objects, tmp_path: Path) -> None:
    await objects.ping()
    await objects.ping()
    assert not [path for path in tmp_path.rglob('*') if path.is_file()]


# local files


async def test_ping_fails_when_the_folder_cannot_be_written(tmp_path: Path) -> None:
    objects = Objects.local(tmp_path / 'objects')
    (tmp_path / 'objects' / '.unfinished').touch()
    with pytest.raises(Unavailable):
        await objects.ping()


async def test_fetch_lends_the_files_own_path(local: Objects, tmp_path: Path) -> None:
    await local.put(KEY, b'data')
    assert await local.fetch(KEY) == tmp_path / 'objects' / KEY


async def test_a_large_file_is_streamed_piece_by_piece(local: Objects) -> None:
    await local.put(KEY, bytes(5 * 2**20))
    assert max([len(piece) async for piece in await local.stream(KEY)]) <= 2 * module.LOCAL_PIECE


async def test_move_renames_on_the_same_disk(local: Objects, file: Path) -> None:
    node = file.stat().st_ino
    await local.put_file(KEY, file, move=True)
    assert (await local.fetch(KEY)).stat().st_ino == node
    assert not file.exists()


async def test_move_from_another_disk_copies(local: Objects, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def refuse(source: Path, target: Path) -> None:
        if Path(source) == file:
            raise OSError(18, 'Invalid cross-device link')
        link(source, target)

    monkeypatch.setattr(os, 'link', refuse)
    data = file.read_bytes()
    assert await local.put_file(KEY, file, move=True) == info(KEY, data)
    assert not file.exists()


async def test_an_object_is_whole_and_on_disk_before_it_is_visible(
    local: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync, link = os.fsync, os.link

    def watch_sync(descriptor: int) -> None:
        synced.append(str(Path(f'/proc/self/fd/{descriptor}').readlink()))
        sync(descriptor)

    def watch_link(source: Path, target: Path) -> None:
        assert synced == [str(source)]
        assert Path(source).read_bytes() == b'data'
        link(source, target)

    monkeypatch.setattr(os, 'fsync', watch_sync)
    monkeypatch.setattr(os, 'link', watch_link)
    await local.put(KEY, b'data')
    folder = tmp_path / 'objects' / KEY
    assert set(synced[1:]) == {str(path) for path in folder.parents if path.is_relative_to(tmp_path / 'objects')}


async def test_what_is_stored_wrong_is_found_out_and_taken_away(
    local: Objects, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tear(source: Path, target: Path) -> None:
        Path(target).write_bytes(Path(source).read_bytes()[:-1])

    monkeypatch.setattr(os, 'link', tear)
    for put in (local.put(KEY, b'data'), local.put_file(KEY, file), local.put_file(KEY, file, move=True)):
        with pytest.raises(Unavailable):
            await put
        with pytest.raises(NotFound):
            await local.size(KEY)
    assert file.exists()


async def test_a_full_disk_is_told(local: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(Unavailable, match='full'):
        await local.put(KEY, b'data')
    with pytest.raises(NotFound):
        await local.size(KEY)


async def test_no_disk_work_is_done_on_the_event_loop(
    local: Objects, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    sync = os.fsync
    monkeypatch.setattr(os, 'fsync', lambda descriptor: (threads.append(threading.current_thread()), sync(descriptor)))
    await local.put_file(KEY, file, move=True)
    assert threads
    assert threading.main_thread() not in threads


@pytest.fixture(params=['files', 'moto', 'rclone'])
def at(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectsAt:
    if request.param == 'files':
        return ObjectsAt(folder=str(tmp_path / 'objects'))
    made: ObjectsAt = request.getfixturevalue(request.param).make(f'bucket-{uuid4().hex}')
    return made


def test_a_task_stores_and_replaces(at: ObjectsAt, tmp_path: Path, file: Path) -> None:
    objects = task_objects(at)
    data = file.read_bytes()
    assert objects.put_file(KEY, file) == info(KEY, data)
    file.write_bytes(b'of the next run')
    assert objects.put_file(KEY, file) == info(KEY, b'of the next run')
    assert file.exists()
    path = objects.fetch(KEY, tmp_path)
    assert path.read_bytes() == b'of the next run'
    assert path == objects.fetch(KEY, tmp_path) == tmp_path / 'objects' / KEY


def test_a_task_replaces_a_large_file(
    at: ObjectsAt, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'WHOLE', 100)
    objects = task_objects(at)
    for data in (file.read_bytes(), b'of the next run' * 1000):
        file.write_bytes(data)
        assert objects.put_file(KEY, file) == info(KEY, data)
    assert objects.fetch(KEY, tmp_path).read_bytes() == data


async def test_a_task_may_be_inside_an_event_loop(at: ObjectsAt, tmp_path: Path, file: Path) -> None:
    objects = task_objects(at)
    objects.put_file(KEY, file)
    assert objects.fetch(KEY, tmp_path).read_bytes() == file.read_bytes()


async def test_a_task_in_a_child_process_gets_them(at: ObjectsAt, tmp_path: Path, light_nursery: Nursery) -> None:
    tasks = 'tests.contracts.tasks_for_tests'
    compute = ChildProcesses(tmp_path, objects=at, memory=2**29, timeout=60, tasks=tasks, nursery=light_nursery)

    async def result(task: str, **payload: str) -> Mapping[str, Any]:
        call = await compute.submit(task, payload)
        while (answer := await compute.collect(call, progress=lambda part, text: None, timeout=60)) is None:
            pass
        return answer

    try:
        assert await result('echo', key=KEY, text='stored') == {
            'sha256': hashlib.sha256(b'stored').hexdigest(),
            'text': 'stored',
        }
        seen = await result('here')
    finally:
        await compute.close()
    assert task_objects(at).fetch(KEY, tmp_path).read_bytes() == b'stored'
    assert at.secret is None or at.secret not in str(seen), 'the secret came by the request alone'


def test_where_objects_are_travels_as_json(at: ObjectsAt) -> None:
    assert ObjectsAt.from_json(json.loads(json.dumps(at.to_json()))) == at
    with pytest.raises(Misconfigured):
        ObjectsAt.from_json({'bucket': 'bucket'})
    with pytest.raises(Misconfigured):
        ObjectsAt.from_json({'elsewhere': 'bucket'})
    with pytest.raises(Misconfigured):
        ObjectsAt()


def test_settings_say_where_objects_are(tmp_path: Path) -> None:
    settings = {'VARIOSYNC_HOME': tmp_path, 'AWS_ACCESS_KEY_ID': 'key', 'AWS_SECRET_ACCESS_KEY': 'secret'}
    assert ObjectsAt.of(Settings(**settings)) == ObjectsAt(folder=str(tmp_path / 'objects'))
    at = ObjectsAt.of(Settings(**settings, AWS_BUCKET_NAME='bucket', AWS_REGION='eu-1'))
    assert at == ObjectsAt(bucket='bucket', region='eu-1', key='key', secret='secret')


@pytest.mark.parametrize('address', ['', 'nonsense', 'ftp://store', 'http://', 'http://a:b', 'http://[::1'])
def test_an_address_of_a_store_that_is_none_is_told(address: str) -> None:
    with pytest.raises(Misconfigured, match='AWS_ENDPOINT_URL'):
        ObjectsAt(bucket='bucket', endpoint=address, key='key', secret='secret')


def test_a_task_reaches_nothing_else(at: ObjectsAt, tmp_path: Path, file: Path) -> None:
    objects = task_objects(at)
    with pytest.raises(NotFound):
        objects.fetch(KEY, tmp_path)
    for key in WRONG:
        with pytest.raises(UsageError):
            objects.fetch(key, tmp_path)
        with pytest.raises(UsageError):
            objects.put_file(key, file)


async def test_no_error_of_the_store_comes_through(tmp_path: Path) -> None:
    folder = tmp_path / 'objects'
    objects = Objects(LocalStore(folder, mkdir=True), patience=QUICK)
    (folder / 't').touch()
    for use in (objects.get, objects.size, objects.stream):
        with pytest.raises((NotFound, Conflict, Unavailable)):
            await use(KEY)
