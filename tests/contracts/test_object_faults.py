"""Objects when the network or the store is at fault: none is unverified, errors are ours, all ends in bounded time."""

import asyncio
import hashlib
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from moto.s3 import models

from core.analysis import duck, tables
from core.errors import Conflict, Misconfigured, NotFound, Unavailable, VariosyncError
from core.settings import Settings
from core.values import ObjectInfo
from storage import objects as module
from storage.object_cache import ObjectCache
from storage.object_faults import Patience
from storage.objects import Objects, ObjectsAt, task_objects
from tests.counterparts.fault_proxy import RATE_LIMIT, Fault, FaultProxy
from tests.counterparts.moto import Moto
from tests.counterparts.rclone import Rclone

TENANT = UUID('00000000-0000-4000-8000-000000000001')
KEY = f't/{TENANT}/u/source'
DATA = os.urandom(300_000)
QUICK = Patience(tries=4, first=0.001, longest=0.002, timeout=5, total=20)
DOWN = Fault(kind='answer', status=503, code='ServiceUnavailable')
RESET = Fault(kind='reset')
LOST = Fault(kind='lost')
SLOW = Fault(kind='slow', seconds=5)
TORN = Fault(kind='torn', after=1000)
PASSING = [DOWN, RATE_LIMIT, RESET, LOST, TORN]
LASTING = [
    *PASSING,
    SLOW,
    Fault(kind='answer', status=500, code='InternalError'),
    Fault(kind='answer', status=400, code='AuthorizationHeaderMalformed'),
    Fault(kind='answer', status=403, code='SignatureDoesNotMatch'),
    Fault(kind='answer', status=404, code='NoSuchBucket'),
]


def name(fault: Fault) -> str:
    return fault.code if fault.kind == 'answer' else fault.kind


@pytest.fixture
def proxy(broken_moto: FaultProxy) -> Iterator[FaultProxy]:
    yield broken_moto
    broken_moto.heal()


@pytest.fixture
def at(proxy: FaultProxy, moto: Moto) -> ObjectsAt:
    return replace(moto.make(f'bucket-{uuid4().hex}'), endpoint=proxy.url)


@pytest.fixture
def objects(at: ObjectsAt, proxy: FaultProxy, tmp_path: Path) -> Objects:
    proxy.heal()
    return Objects.s3(at, cache=ObjectCache(tmp_path / 'cache', limit=2**30), patience=QUICK)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / 'file'
    path.write_bytes(DATA)
    return path


def info(data: bytes) -> ObjectInfo:
    return ObjectInfo(key=KEY, size=len(data), sha256=hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize('fault', PASSING, ids=name)
async def test_what_passes_by_itself_is_waited_for(objects: Objects, proxy: FaultProxy, fault: Fault) -> None:
    for method in ('HEAD', 'PUT', 'GET'):
        proxy.fail(replace(fault, method=method))
    assert await objects.put(KEY, DATA) == info(DATA)
    uses: list[Callable[[], Awaitable[object]]] = [
        lambda: objects.get(KEY),
        lambda: objects.fetch(KEY),
        lambda: objects.size(KEY),
        lambda: objects.list(f't/{TENANT}/'),
        lambda: objects.delete(f't/{TENANT}/'),
    ]
    for use in uses:
        proxy.fail(fault)
        assert await use()
    with pytest.raises(NotFound):
        await objects.get(KEY)


async def test_a_slow_answer_is_asked_for_again(at: ObjectsAt, proxy: FaultProxy) -> None:
    objects = Objects.s3(at, patience=replace(QUICK, tries=8, timeout=1))
    for method in ('PUT', 'GET'):
        proxy.fail(replace(SLOW, method=method))
    assert await objects.put(KEY, DATA) == info(DATA)
    assert await objects.get(KEY) == DATA


@pytest.mark.parametrize('fault', [DOWN, RATE_LIMIT, RESET, LOST], ids=name)
@pytest.mark.parametrize('which', ['begin', 'first part', 'last part', 'complete'])
async def test_a_large_file_survives_a_fault_in_any_of_its_requests(
    at: ObjectsAt, proxy: FaultProxy, tmp_path: Path, fault: Fault, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'WHOLE', 1000)
    monkeypatch.setattr(module, 'PART', 2**16)
    monkeypatch.setattr(models, 'S3_UPLOAD_PART_MIN_SIZE', module.PART)  # of all but the last: else 5 MB
    data = os.urandom(module.PART + 1)
    (tmp_path / 'file').write_bytes(data)
    objects = Objects.s3(at, patience=QUICK)
    method = 'PUT' if 'part' in which else 'POST'
    if which in ('last part', 'complete'):
        proxy.fail(Fault(method=method))
    proxy.fail(replace(fault, method=method))
    assert await objects.put_file(KEY, tmp_path / 'file') == info(data)
    assert await objects.get(KEY) == data


async def test_a_large_file_is_stored_when_its_completion_was_not_heard(
    at: ObjectsAt, proxy: FaultProxy, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'WHOLE', 1000)
    objects = Objects.s3(at, patience=QUICK)
    for fault in (Fault(), LOST, Fault(kind='answer', status=404, code='NoSuchUpload')):
        proxy.fail(replace(fault, method='POST'))
    assert await objects.put_file(KEY, file) == info(DATA)


@pytest.mark.parametrize('fault', LASTING, ids=name)
async def test_what_does_not_pass_is_told_in_our_words_and_soon(
    at: ObjectsAt, proxy: FaultProxy, file: Path, tmp_path: Path, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience = replace(QUICK, tries=2, timeout=0.1, total=1)
    await Objects.s3(at, patience=QUICK).put(KEY, DATA)
    objects = Objects.s3(at, cache=ObjectCache(tmp_path / 'cache', limit=2**30), patience=patience)
    new = [f't/{TENANT}/new/{number}' for number in range(3)]
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: objects.put(new[0], b'data'),
        lambda: objects.put_file(new[1], file),
        lambda: objects.put_file(new[2], file),
        lambda: objects.get(KEY),
        lambda: objects.fetch(KEY),
        lambda: objects.open([KEY]),
        lambda: objects.size(KEY),
        lambda: objects.list(f't/{TENANT}/'),
        lambda: objects.delete(f't/{TENANT}/'),
        lambda: objects.ping(),
    ]
    proxy.fail(fault, times=None)
    started = time.monotonic()
    answers = []
    for number, call in enumerate(calls):
        monkeypatch.setattr(module, 'WHOLE', 1000 if number == 2 else 2**20)
        answers.append(await _outcome(call))
    assert time.monotonic() - started < len(calls) * 2
    proxy.heal()
    # The answer to a HEAD says no more than its status, and an answer without a body cannot be torn.
    lasting = {Misconfigured, NotFound, Unavailable} if fault.kind == 'answer' and fault.status < 500 else {Unavailable}
    told = [answer for answer in answers if answer is not None]
    assert set(told) <= lasting
    assert len(told) >= (4 if fault == TORN else 8)
    assert await Objects.s3(at, patience=QUICK).get(KEY) == DATA, 'nothing was removed'
    assert not [path for path in tmp_path.rglob('*') if path.is_file() and path.parent != tmp_path], 'nothing is kept'


async def _outcome(call: Callable[[], Awaitable[object]]) -> type[Exception] | None:
    try:
        await call()
    except VariosyncError as error:
        return type(error)
    return None


async def test_a_put_whose_answer_was_lost_is_no_conflict(objects: Objects, proxy: FaultProxy) -> None:
    proxy.fail(Fault(kind='lost', method='PUT'))
    assert await objects.put(KEY, DATA) == info(DATA)
    assert [method for method, _ in proxy.requests].count('PUT') == 2
    with pytest.raises(Conflict):
        await objects.put(KEY, DATA)


@pytest.mark.parametrize('code', ['ConditionalRequestConflict', 'OperationAborted'])
async def test_a_conflict_of_requests_is_no_conflict_of_objects(objects: Objects, proxy: FaultProxy, code: str) -> None:
    busy = Fault(kind='answer', method='PUT', status=409, code=code)
    proxy.fail(busy)
    assert await objects.put(KEY, DATA) == info(DATA)
    proxy.fail(busy, times=None)
    with pytest.raises(Unavailable, match='does not answer'):
        await objects.put(f'{KEY}2', DATA)


async def test_one_of_many_wins_whatever_is_lost(at: ObjectsAt, proxy: FaultProxy) -> None:
    objects = Objects.s3(at, patience=replace(QUICK, tries=7))  # one of them may meet all six faults
    for fault in (LOST, DOWN, RESET):
        proxy.fail(replace(fault, method='PUT'), times=2)
    puts = [objects.put(KEY, str(number).encode()) for number in range(6)]
    answers = await asyncio.gather(*puts, return_exceptions=True)
    [won] = [answer for answer in answers if isinstance(answer, ObjectInfo)]
    assert sum(isinstance(answer, Conflict) for answer in answers) == 5
    assert hashlib.sha256(await objects.get(KEY)).hexdigest() == won.sha256


async def test_a_store_without_conditional_puts_is_guarded_by_a_look(objects: Objects, proxy: FaultProxy) -> None:
    proxy.fail(Fault(kind='answer', method='PUT', status=501, code='NotImplemented'))
    assert await objects.put(KEY, DATA) == info(DATA)
    with pytest.raises(Conflict):
        await objects.put(KEY, b'other')
    assert await objects.get(KEY) == DATA


@pytest.mark.parametrize('server', ['moto', 'rclone'])
async def test_what_is_stored_wrong_is_found_out_and_taken_away(
    server: str, file: Path, request: pytest.FixtureRequest
) -> None:
    proxy: FaultProxy = request.getfixturevalue(f'broken_{server}')
    at = replace(request.getfixturevalue(server).make(f'bucket-{uuid4().hex}'), endpoint=proxy.url)
    objects = Objects.s3(at, patience=QUICK)
    for put in (lambda: objects.put(KEY, DATA), lambda: objects.put_file(KEY, file)):
        proxy.heal()
        proxy.fail(Fault(kind='corrupt', method='PUT'))
        with pytest.raises(Unavailable, match='something else'):
            await put()
        with pytest.raises(NotFound):
            await objects.size(KEY)


async def test_what_arrives_wrong_is_not_kept(objects: Objects, proxy: FaultProxy, tmp_path: Path) -> None:
    await objects.put(KEY, DATA)
    for read in (objects.get, objects.fetch):
        proxy.fail(Fault(kind='garbled', method='GET'))
        with pytest.raises(Unavailable, match='something else'):
            await read(KEY)
    assert not [path for path in (tmp_path / 'cache').rglob('*') if path.is_file()]
    assert (await objects.fetch(KEY)).read_bytes() == DATA


async def test_a_large_object_goes_on_where_it_was_torn(
    at: ObjectsAt, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'PIECE', 2**16)
    small = Objects.s3(at, patience=QUICK)
    await small.put(KEY, DATA)
    proxy.requests.clear()
    proxy.fail(TORN, times=3)
    assert await small.get(KEY) == DATA
    assert len(proxy.requests) <= len(range(0, len(DATA), 2**16)) + 3


async def test_a_wrong_secret_is_named(rclone: Rclone) -> None:
    at = rclone.make(f'bucket-{uuid4().hex}')
    objects = Objects.s3(replace(at, secret='wrong'), patience=QUICK)
    for call in (objects.put(KEY, b''), objects.get(KEY), objects.size(KEY), objects.ping()):
        with pytest.raises(Misconfigured, match='AWS_ACCESS_KEY_ID'):
            await call


async def test_the_environment_changes_nothing(rclone: Rclone, monkeypatch: pytest.MonkeyPatch) -> None:
    at = rclone.make(f'bucket-{uuid4().hex}')
    others = {'AWS_SESSION_TOKEN': 'theirs', 'AWS_ACCESS_KEY_ID': 'theirs', 'AWS_SKIP_SIGNATURE': 'true'}
    for variable, value in others.items():
        monkeypatch.setenv(variable, value)
    objects = Objects.s3(at, patience=QUICK)
    assert await objects.put(KEY, b'data')
    assert await objects.get(KEY) == b'data'
    assert 'theirs' not in await objects.presigned(KEY, seconds=60)


def test_aws_itself_needs_no_endpoint() -> None:
    Objects.s3(ObjectsAt(bucket='bucket', region='eu-central-1', key='key', secret='secret'))


async def test_what_is_read_in_parts_survives_faults_too(
    at: ObjectsAt, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'COPIED', 0)
    source = tmp_path / 'rows.parquet'
    with duck.connect(memory=2**28) as connection:
        connection.execute(f'copy (select i from range(300_000) t(i)) to {duck.text(str(source))}')
    patience = replace(QUICK, tries=2)
    objects = Objects.s3(at, cache=ObjectCache(tmp_path / 'cache', limit=2**30), patience=patience)
    await objects.put_file(KEY, source)
    opened = await objects.open([KEY])

    def read(first: int) -> list[tuple[int]]:
        return list(tables.page(opened.paths, offset=first, limit=1, system=opened.files).rows)

    proxy.fail(RATE_LIMIT)
    assert await asyncio.to_thread(read, 1000) == [(1000,)]
    proxy.fail(DOWN, times=None)
    assert await asyncio.to_thread(read, 1000) == [(1000,)], 'what was read once is kept'
    with pytest.raises(Unavailable):
        await asyncio.to_thread(read, 200_000)
    proxy.heal()
    assert await asyncio.to_thread(read, 200_000) == [(200_000,)]


async def test_a_missing_bucket_is_named(moto: Moto, rclone: Rclone) -> None:
    for server in (moto, rclone):
        objects = Objects.s3(server.at('no-such-bucket'), patience=QUICK)
        for call in (objects.put(KEY, b''), objects.get(KEY), objects.list(f't/{TENANT}/'), objects.ping()):
            with pytest.raises(Misconfigured, match='bucket init'):
                await call


async def test_ping_does_not_wait_for_long(at: ObjectsAt, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, 'PING', 0.1)
    proxy.fail(SLOW, times=None)
    with pytest.raises(Unavailable, match=r'within 0\.1 s'):
        await Objects.s3(at).ping()


async def test_who_waits_for_what_a_hanging_store_holds_is_told_soon(
    at: ObjectsAt, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module.READING.silence + module.READING.total <= 8, 'seconds'
    monkeypatch.setattr(module, 'READING', replace(module.READING, silence=0.1, total=0.15))
    monkeypatch.setattr(module, 'COPIED', 0)
    names = {'AWS_BUCKET_NAME': at.bucket, 'AWS_ENDPOINT_URL': at.endpoint}
    keys = {'AWS_ACCESS_KEY_ID': at.key, 'AWS_SECRET_ACCESS_KEY': at.secret}
    objects = Objects.of(Settings(VARIOSYNC_HOME=tmp_path, **names, **keys))
    await objects.put(KEY, DATA)
    await objects.put(f'{KEY}2', DATA)
    opened = await objects.open([KEY])
    assert opened.files is not None
    proxy.fail(Fault(kind='slow', seconds=60), times=None)
    reads: list[Callable[[], Awaitable[object]]] = [
        lambda: objects.get(KEY),
        lambda: objects.stream(KEY),
        lambda: objects.fetch(KEY),
        lambda: objects.open([f'{KEY}2']),
        lambda: asyncio.to_thread(opened.files.open(opened.paths[0]).read, 10),
    ]
    started = time.monotonic()
    for read in reads:
        with pytest.raises(Unavailable):
            await read()
    assert time.monotonic() - started < len(reads) * 2


async def test_a_store_that_is_not_there_is_unavailable_soon(moto: Moto) -> None:
    objects = Objects.s3(replace(moto.at('bucket'), endpoint='http://127.0.0.1:9'), patience=QUICK)
    started = time.monotonic()
    with pytest.raises(Unavailable):
        await objects.ping()
    with pytest.raises(Unavailable):
        await objects.put(KEY, DATA)
    assert time.monotonic() - started < QUICK.timeout, 'nothing has to be waited for'


@pytest.mark.parametrize('fault', [DOWN, RATE_LIMIT, RESET, LOST, TORN], ids=name)
def test_a_task_asks_again(at: ObjectsAt, proxy: FaultProxy, file: Path, tmp_path: Path, fault: Fault) -> None:
    objects = task_objects(at)
    proxy.heal()
    for method in ('PUT', 'GET'):
        proxy.fail(replace(fault, method=method))
    assert objects.put_file(KEY, file) == info(DATA)
    proxy.fail(fault)
    assert objects.fetch(KEY, tmp_path).read_bytes() == DATA


def test_no_secret_is_shown(moto: Moto) -> None:
    at = moto.at('bucket')
    assert at.secret
    assert at.secret not in repr(at)
    assert at.secret not in repr(Objects.s3(at))


async def test_presigned_addresses_open_without_a_key(rclone: Rclone) -> None:
    import httpx

    objects = Objects.s3(rclone.make(f'bucket-{uuid4().hex}'), patience=QUICK)
    await objects.put(KEY, b'data')
    url = await objects.presigned(KEY, seconds=60)
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(url)).content == b'data'
        assert (await client.get(url.replace('Signature=', 'Signature=0'))).status_code == 403
