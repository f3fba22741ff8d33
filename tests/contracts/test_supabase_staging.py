"""What staging in Supabase Storage promises beside `core.ports.Staging`."""

import asyncio
import base64
import gc
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from core.errors import Conflict, Misconfigured, NotFound, Unavailable
from core.values import Direct
from storage.cloud import staging as module
from storage.cloud.staging import BATCH, SupabaseStaging
from storage.objects import Objects
from storage.work import work_folder
from tests.contracts.staging import LIMIT, SOON, begun, pieces, supabase_staging
from tests.fakes.supabase import FakeSupabase, Project
from tests.fakes.supabase.project import legacy_key

TUS = {'Tus-Resumable': '1.0.0'}


@pytest.fixture
def make(supabase: FakeSupabase, http: httpx.AsyncClient) -> Callable[..., SupabaseStaging]:
    return lambda **changed: supabase_staging(supabase, http, **changed)


@pytest.fixture
def staging(make: Callable[..., SupabaseStaging]) -> SupabaseStaging:
    return make()


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects.local(tmp_path / 'objects')


@pytest.fixture
def key() -> str:
    return f't/{uuid4()}/source'


class Browser:
    """Sends a file by tus as tus-js-client does with what `direct` answered; nothing else of ours is known to it."""

    def __init__(self, http: httpx.AsyncClient, ticket: Direct) -> None:
        self._http, self._ticket = http, ticket
        self.url = ''

    async def begin(self, size: int, **changed: str) -> httpx.Response:
        told = {**self._ticket.metadata, **changed}
        metadata = ','.join(f'{key} {base64.b64encode(value.encode()).decode()}' for key, value in told.items())
        headers = {**TUS, **self._ticket.headers, 'Upload-Length': str(size), 'Upload-Metadata': metadata}
        answer = await self._http.post(self._ticket.url, headers=headers)
        self.url = answer.headers.get('location', '')
        return answer

    async def send(self, data: bytes, offset: int) -> httpx.Response:
        part = {'Upload-Offset': str(offset), 'Content-Type': 'application/offset+octet-stream'}
        return await self._http.patch(self.url, headers=TUS | dict(self._ticket.headers) | part, content=data)

    async def send_all(self, data: bytes) -> None:
        assert (await self.begin(len(data))).status_code == 201
        for start in range(0, len(data), self._ticket.chunk):
            assert (await self.send(data[start : start + self._ticket.chunk], start)).status_code == 204


async def ticket_for(staging: SupabaseStaging, upload: UUID) -> Direct:
    ticket = await staging.direct(upload, LIMIT)
    assert ticket is not None
    return ticket


@pytest_asyncio.fixture(loop_scope='session')
async def outside() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


async def test_a_browser_sends_the_bytes_itself(
    staging: SupabaseStaging, objects: Objects, key: str, outside: httpx.AsyncClient, supabase: FakeSupabase
) -> None:
    data = os.urandom(13_000_000)
    upload = await begun(staging)
    ticket = await ticket_for(staging, upload)
    assert 7000 < ticket.expires_in <= 7200
    browser = Browser(outside, ticket)
    await browser.begin(len(data))
    await browser.send(data[:BATCH], 0)
    assert await staging.offset(upload) == 0, 'none count before all are there'
    assert (await browser.send(data[BATCH : BATCH + 10], BATCH)).status_code == 400, 'the documented size of a piece'
    await browser.send(data[BATCH : 2 * BATCH], BATCH)
    assert (await browser.send(data[2 * BATCH :], 2 * BATCH)).headers['tus-complete'] == '1'
    assert await staging.offset(upload) == len(data)
    with pytest.raises(Conflict, match='complete'):
        await staging.append(upload, len(data), pieces(b'x'), limit=2 * LIMIT)
    with pytest.raises(Conflict, match='complete'):
        await staging.direct(upload, len(data))
    info = await staging.accept(upload, objects, key)
    assert (info.size, info.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    await staging.discard(upload)
    assert not [name for name in supabase.storage.names() if str(upload) in name]


async def test_more_bytes_than_announced_are_told(staging: SupabaseStaging, outside: httpx.AsyncClient) -> None:
    upload = await begun(staging)
    await Browser(outside, await ticket_for(staging, upload)).send_all(b'12345')
    assert await staging.offset(upload) == 5


async def test_what_a_browser_sent_replaces_parts(
    staging: SupabaseStaging, objects: Objects, key: str, outside: httpx.AsyncClient
) -> None:
    upload = await begun(staging, b'half')
    await Browser(outside, await ticket_for(staging, upload)).send_all(b'the whole')
    await staging.accept(upload, objects, key)
    assert await objects.get(key) == b'the whole'


async def test_a_ticket_opens_one_object_for_its_time(
    staging: SupabaseStaging, outside: httpx.AsyncClient, supabase: FakeSupabase
) -> None:
    mine, theirs = await begun(staging), await begun(staging)
    ticket = await ticket_for(staging, mine)
    browser = Browser(outside, ticket)
    other = await browser.begin(5, objectName=f'{theirs}/whole')
    assert (other.status_code, other.text) == (400, 'Invalid signature')
    name = f'{supabase.url}/storage/v1/object/authenticated/uploads/{theirs}/begun'
    assert not (await outside.get(name, headers=dict(ticket.headers))).is_success
    listed = await outside.post(
        f'{supabase.url}/storage/v1/object/list/uploads', headers=dict(ticket.headers), json={'prefix': ''}
    )
    assert listed.json() == []
    await browser.begin(5)
    supabase.project.ahead = ticket.expires_in + 1
    try:
        late = await browser.send(b'12345', 0)
        assert (late.status_code, late.text) == (400, '"exp" claim timestamp check failed')
    finally:
        supabase.project.ahead = 0
    assert (await browser.send(b'12345', 0)).status_code == 204


@pytest.mark.parametrize('late', ['first', 'second'])
async def test_acknowledged_bytes_stay_when_another_sender_stores_at_the_same_offset(
    staging: SupabaseStaging, objects: Objects, key: str, supabase: FakeSupabase, late: str
) -> None:
    """Both senders saw that nothing had arrived; the part of one of them is on its way for long."""
    data = os.urandom(3 * BATCH)
    upload, held, go = await begun(staging), asyncio.Event(), asyncio.Event()
    loop, waits = asyncio.get_running_loop(), iter([True])

    async def hold_one_part(request: Request) -> None:
        if f'{upload}/0' in request.url.path and next(waits, False):
            loop.call_soon_threadsafe(held.set)
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(go.wait(), loop))

    supabase.storage.before = hold_one_part
    sizes = {'first': (BATCH, 2 * BATCH), 'second': (100, 3 * BATCH)}[late]
    slow = asyncio.create_task(staging.append(upload, 0, pieces(data[: sizes[0]]), limit=len(data)))
    async with asyncio.timeout(SOON):
        await held.wait()
        acknowledged = await staging.append(upload, 0, pieces(data[:50]), limit=len(data))
        acknowledged = await staging.append(upload, acknowledged, pieces(data[50 : sizes[1]]), limit=len(data))
        go.set()
        assert await slow == sizes[0]
        assert await staging.offset(upload) == max(acknowledged, sizes[0]) == sizes[1]
    await staging.append(upload, sizes[1], pieces(data[sizes[1] :]), limit=len(data))
    await staging.accept(upload, objects, key)
    assert await objects.get(key) == data


async def test_many_parts_and_foreign_objects_between_them(
    staging: SupabaseStaging, objects: Objects, key: str, supabase: FakeSupabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'PAGE', 3)
    upload = await begun(staging)
    for offset in range(0, 14, 2):
        await staging.append(upload, offset, pieces(b'%02d' % offset), limit=LIMIT)
    await staging._put(upload, '.emptyFolderPlaceholder', b'')
    assert await staging.offset(upload) == 14
    await staging.accept(upload, objects, key)
    assert await objects.get(key) == b'00020406081012'
    await staging.discard(upload)
    assert not [name for name in supabase.storage.names() if str(upload) in name]


async def test_parts_that_come_after_a_discard_are_no_upload(staging: SupabaseStaging) -> None:
    upload = await begun(staging, b'data')
    await staging.discard(upload)
    await staging._put(upload, f'{4:020d}-{uuid4().hex}', b'late')
    with pytest.raises(NotFound):
        await staging.offset(upload)
    await staging.create(upload)
    assert await staging.offset(upload) == 0, 'what does not lead on from 0 does not count'


async def test_one_copy_serves_all_who_ask_and_goes_on_when_they_leave(
    staging: SupabaseStaging, objects: Objects, key: str, supabase: FakeSupabase
) -> None:
    upload, started, go = await begun(staging, b'data'), asyncio.Event(), asyncio.Event()
    loop, copies = asyncio.get_running_loop(), []

    async def hold_copies(request: Request) -> None:
        if request.method == 'GET':
            copies.append(request.url.path)
            loop.call_soon_threadsafe(started.set)
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(go.wait(), loop))

    supabase.storage.before = hold_copies
    impatient = asyncio.create_task(staging.accept(upload, objects, key))
    async with asyncio.timeout(SOON):
        await started.wait()
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        later = asyncio.create_task(staging.accept(upload, objects, key))
        go.set()
        assert (await later).size == 4
    assert len(copies) == 1


async def reset(request: Request) -> Response:
    async def broken() -> AsyncIterator[bytes]:
        yield b'['
        raise ConnectionResetError

    return StreamingResponse(broken(), headers={'content-length': '10'})


async def hang(request: Request) -> Response:
    while not await request.is_disconnected():
        await asyncio.sleep(0.01)
    return Response()


def always(status: int, body: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return Response(body, status, media_type='application/json')

    return answer


FAULTS: dict[str, Callable[[Request], Awaitable[Response]]] = {
    'hangs': hang,
    'breaks off': reset,
    'fails': always(500, '{"statusCode":"500","error":"Internal","message":"Internal Server Error"}'),
    'is overloaded': always(429, '{"statusCode":"429","error":"too_many_connections","message":"Too many"}'),
    'is a gateway without a service': always(502, '<html>Bad Gateway</html>'),
    'redirects': always(302, ''),
    'is something else': always(200, '<html>Welcome</html>'),
    'answers in another form': always(200, '{"data": [1, null]}'),
}


def uses(staging: SupabaseStaging, upload: UUID, objects: Objects, key: str) -> dict[str, Callable[[], Awaitable[Any]]]:
    return {
        'create': lambda: staging.create(upload),
        'direct': lambda: staging.direct(upload, 1),
        'offset': lambda: staging.offset(upload),
        'append': lambda: staging.append(upload, 4, pieces(b'x'), limit=LIMIT),
        'accept': lambda: staging.accept(upload, objects, key),
        'discard': lambda: staging.discard(upload),
        'check': staging.check,
    }


@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
@pytest.mark.parametrize('fault', FAULTS)
async def test_a_service_in_trouble_is_unavailable(
    make: Callable[..., SupabaseStaging], objects: Objects, key: str, supabase: FakeSupabase, fault: str
) -> None:
    staging = make()
    upload = await begun(staging, b'data')
    supabase.storage.before = FAULTS[fault]
    impatient = make(patience=0.2)
    harmless = {'create'} if fault in ('is something else', 'answers in another form') else set()
    for name, use in uses(impatient, upload, objects, key).items():
        if name not in harmless:
            with pytest.raises(Unavailable):
                await use()
    supabase.storage.before = None
    assert await staging.append(upload, 4, pieces(b'!'), limit=LIMIT) == 5
    await staging.accept(upload, objects, key)
    assert await objects.get(key) == b'data!'


async def test_a_service_that_is_not_there_is_unavailable(
    make: Callable[..., SupabaseStaging], objects: Objects, key: str
) -> None:
    with socket.socket() as nobody:
        nobody.bind(('127.0.0.1', 0))
        staging = make(url=f'http://127.0.0.1:{nobody.getsockname()[1]}')
        for use in uses(staging, uuid4(), objects, key).values():
            with pytest.raises(Unavailable):
                await use()


@pytest.mark.parametrize('sent', [b'dat', b'dato', b'data!'])
async def test_a_copy_with_other_bytes_is_not_accepted(
    staging: SupabaseStaging, objects: Objects, key: str, supabase: FakeSupabase, sent: bytes
) -> None:
    upload = await begun(staging, b'data')

    async def other(request: Request) -> Response | None:
        return Response(sent) if request.method == 'GET' else None

    supabase.storage.before = other
    with pytest.raises(Unavailable, match='other bytes'):
        await staging.accept(upload, objects, key)
    assert not await objects.list(key)


async def test_etags_of_another_kind_say_nothing(
    staging: SupabaseStaging, objects: Objects, key: str, supabase: FakeSupabase
) -> None:
    """As those of objects that the store encrypts, or of a service that keeps files."""
    for number, etag in enumerate(('"' + 'a' * 32 + '"', '"19c1d8-4"', '')):
        supabase.storage.etag = lambda path, etag=etag: etag
        upload = await begun(staging, b'data')
        assert (await staging.accept(upload, objects, f'{key}{number}')).size == 4


async def test_few_uploads_are_copied_at_a_time_and_nothing_stays(
    make: Callable[..., SupabaseStaging], objects: Objects, key: str, supabase: FakeSupabase, tmp_path: Path
) -> None:
    staging, held, go = make(folder=tmp_path / 'work'), asyncio.Semaphore(0), asyncio.Event()
    uploads = [await begun(staging, b'data') for _ in range(module.COPIES + 2)]
    loop = asyncio.get_running_loop()

    async def hold_copies(request: Request) -> None:
        if request.method == 'GET':
            loop.call_soon_threadsafe(held.release)
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(go.wait(), loop))

    supabase.storage.before = hold_copies
    accepting = [
        asyncio.create_task(staging.accept(upload, objects, f'{key}{number}')) for number, upload in enumerate(uploads)
    ]
    async with asyncio.timeout(SOON):
        for _ in range(module.COPIES):
            await held.acquire()
        for upload in uploads:
            await staging.offset(upload)
        assert len(list((tmp_path / 'work').iterdir())) == module.COPIES
        assert held.locked()
        go.set()
        await asyncio.gather(*accepting)
    assert not list((tmp_path / 'work').iterdir())


async def test_what_a_killed_process_was_copying_is_removed(
    make: Callable[..., SupabaseStaging], tmp_path: Path
) -> None:
    left = tmp_path / 'work' / 'variosync-dead'
    left.mkdir(parents=True)
    (left / 'upload').write_bytes(b'half')
    with work_folder(tmp_path / 'work', 'in-use') as used:
        make(folder=tmp_path / 'work')
        assert not left.exists()
        assert used.exists()


async def test_a_failure_behind_a_leaving_sender_is_nobodys_error(
    staging: SupabaseStaging, supabase: FakeSupabase
) -> None:
    upload, sent, told = await begun(staging), asyncio.Event(), []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))

    async def held() -> AsyncIterator[bytes]:
        yield b'data'
        sent.set()
        await asyncio.Event().wait()

    appending = asyncio.create_task(staging.append(upload, 0, held(), limit=LIMIT))
    async with asyncio.timeout(SOON):
        await sent.wait()
        supabase.storage.before = FAULTS['fails']
        appending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await appending
    gc.collect()
    asyncio.get_running_loop().set_exception_handler(None)
    assert told == []


async def test_wrong_settings_are_named(make: Callable[..., SupabaseStaging], supabase: FakeSupabase) -> None:
    for changed, name in (
        ({'secret': 'sb_secret_wrong'}, 'key'),
        ({'secret': supabase.project.publishable}, 'key'),
        ({'bucket': 'nowhere'}, 'nowhere'),
        ({'url': 'http://a:b'}, 'SUPABASE_URL'),
    ):
        with pytest.raises(Misconfigured, match=name):
            await make(**changed).create(uuid4())


async def test_legacy_keys_open_the_bucket(make: Callable[..., SupabaseStaging]) -> None:
    staging = make(secret=legacy_key('service_role'), publishable=legacy_key('anon'))
    assert 'private' in await staging.check()


async def test_the_check_leaves_nothing_and_names_what_is_wrong(make: Callable[..., SupabaseStaging]) -> None:
    with FakeSupabase(project=Project()) as project:
        staging = make(url=project.url, largest=5 * 2**30)
        assert 'bucket uploads is private' in await staging.check()
        assert project.storage.names() == []
        project.storage.make_bucket('uploads', file_size_limit=50_000_000)
        with pytest.raises(Misconfigured, match='50,000,000 bytes, VARIOSYNC_MAX_UPLOAD allows'):
            await staging.check()
        project.storage.make_bucket('uploads', public=True)
        with pytest.raises(Misconfigured, match='private'):
            await staging.check()
        project.storage.remove_bucket('uploads')
        with pytest.raises(Misconfigured, match='no bucket "uploads"'):
            await staging.check()


@pytest.mark.parametrize(
    ('url', 'direct', 'origins'),
    [
        (
            'https://abc.supabase.co/',
            'https://abc.storage.supabase.co',
            ('https://abc.storage.supabase.co', 'https://abc.supabase.co'),
        ),
        ('https://supabase.example.com', 'https://supabase.example.com', ('https://supabase.example.com',)),
    ],
)
async def test_browsers_send_to_the_host_for_large_files(url: str, direct: str, origins: tuple[str, ...]) -> None:
    upload = uuid4()
    claims = base64.urlsafe_b64encode(b'{"exp": 99999999999}').decode().rstrip('=')

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith('/storage/v1/object/list/'):
            return httpx.Response(200, json=[{'name': 'begun', 'metadata': {'size': 5}}])
        return httpx.Response(200, json={'url': '/', 'token': f'a.{claims}.c'})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        staging = SupabaseStaging(url, secret='s', publishable='p', bucket='uploads', http=http)
        assert staging.origins == origins
        assert (await ticket_for(staging, upload)).url == f'{direct}/storage/v1/upload/resumable/sign'
