"""Uploads on their way in, as objects of a private bucket of Supabase Storage.

See https://supabase.com/docs/guides/storage and https://supabase.com/docs/reference/self-hosting-storage.
"""

import asyncio
import base64
import errno
import hashlib
import re
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from core.errors import Misconfigured, NotFound, TooLarge, Unavailable, VariosyncError
from core.ports import ObjectStore
from core.values import Direct, ObjectInfo
from storage.staging import complete, gone, misplaced, store, stored, too_many
from storage.work import remove_leftovers, work_folder

BATCH = 6 * 2**20  # bytes: the size of a part, and of a browser's piece, which Supabase prescribes
PIECE = 2**20
PAGE = 1000  # objects that one answer lists, or one request deletes
PATIENCE = 30.0  # seconds without a byte
COPIES = 2  # uploads that are copied at a time, so that they do not fill the disk
BEGUN, WHOLE = 'begun', 'whole'
CONTENT = b'begun'

T = TypeVar('T')


class SupabaseStaging:
    """Staging in a bucket (`core.ports.Staging`); its objects are named after the upload, whose id is random.

    `<id>/begun` says that the upload exists, `<id>/whole` is the file as a browser sent it, `<id>/<offset>-<random>`
    holds bytes that came by `append`. Storage has no write that fails because somebody else was first, so parts have
    names of their own: two senders at the same offset leave two parts, and what has arrived is the longest unbroken
    run of parts. It never gets shorter, so what was acknowledged stays.

    An upload is copied by way of `folder`, where only folders of `storage.work` may be; without one, by way of the
    system's folder for temporary files, where what a killed process leaves stays.
    """

    def __init__(
        self,
        url: str,
        *,
        secret: str,
        publishable: str,
        bucket: str,
        http: httpx.AsyncClient,
        largest: int | None = None,
        folder: Path | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._url = url.rstrip('/')
        self._publishable = publishable
        self._keys = _headers(secret)
        self._bucket = bucket
        self._http = http
        self._largest = largest
        self._patience = patience
        self._folder = folder or Path(gettempdir())
        self._copies = asyncio.Semaphore(COPIES)
        self._accepting: dict[tuple[UUID, str], asyncio.Task[ObjectInfo]] = {}
        self._ending: set[asyncio.Task[Any]] = set()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            remove_leftovers(folder)

    @property
    def origins(self) -> Sequence[str]:
        """Where a browser sends to, and where Storage may send it on."""
        return tuple(dict.fromkeys((_direct_host(self._url), self._url)))

    async def create(self, upload_id: UUID) -> None:
        """Begin an empty upload. Beginning it twice changes nothing."""
        await self._put(upload_id, BEGUN, CONTENT, replace=True)

    async def direct(self, upload_id: UUID, size: int) -> Direct | None:
        """Return where a browser may send the bytes itself: the one object of this upload, for two hours.

        Raise NotFound for an unknown upload, Conflict when its bytes are there already. The size is not bound by the
        signature: whoever accepts compares it.
        """
        if (await self._look(upload_id)).whole is not None:
            raise complete()
        name = f'{upload_id}/{WHOLE}'
        signed = _read(_SIGNED, await self._ask('POST', f'/object/upload/sign/{self._bucket}/{name}', json={}))
        return Direct(
            url=f'{_direct_host(self._url)}/storage/v1/upload/resumable/sign',
            headers={'x-signature': signed.token, 'apikey': self._publishable},
            metadata={
                'bucketName': self._bucket,
                'objectName': name,
                'contentType': 'application/octet-stream',
                'cacheControl': '0',
            },
            chunk=BATCH,
            expires_in=signed.expires_in,
        )

    async def offset(self, upload_id: UUID) -> int:
        """Return how many bytes have arrived. Raise NotFound when the upload was never begun or is gone."""
        return (await self._look(upload_id)).size

    async def append(self, upload_id: UUID, offset: int, pieces: AsyncIterable[bytes], *, limit: int) -> int:
        """Append from `offset` up to `limit` bytes in all; return the new offset. What arrived is kept in any case.

        Raise Conflict for another offset and when a browser has sent the whole; TooLarge for bytes past the limit, of
        which none is kept.
        """
        arrived = await self._look(upload_id)
        if arrived.whole is not None:
            raise complete()
        if arrived.size != offset:
            raise misplaced(offset, arrived=arrived.size)
        writer = _Writer(lambda start, data: self._put(upload_id, f'{start:020d}-{uuid4().hex}', data), offset)
        try:
            async for piece in pieces:
                room = limit - writer.offset
                await writer.add(piece[:room])
                if len(piece) > room:
                    raise too_many(limit)
        finally:
            # To its end, whoever cancels us; not awaited itself: its failure must not take a cancellation's place.
            last = self._to_its_end(writer.close())
            await asyncio.wait({last})
        last.result()
        return writer.offset

    async def accept(self, upload_id: UUID, objects: ObjectStore, key: str) -> ObjectInfo:
        """Move the bytes to the object store under key, verified. Accepting again returns the same.

        Large files take a while, so whoever asks meanwhile waits for the same copy, and a copy goes on when its asker
        has gone. Raise NotFound for an unknown upload, Conflict when the key holds something else.
        """
        copying = self._accepting.get((upload_id, key))
        if copying is None:
            copying = self._to_its_end(self._copy(upload_id, objects, key))
            self._accepting[upload_id, key] = copying
            copying.add_done_callback(lambda _: self._accepting.pop((upload_id, key)))
        return await asyncio.shield(copying)

    async def discard(self, upload_id: UUID) -> None:
        """Forget the bytes. Discarding twice changes nothing."""
        names = [f'{upload_id}/{entry.name}' for entry in await self._list(upload_id)]
        # The mark goes first: what is left behind by a broken connection is then no upload any more.
        names.sort(key=lambda name: not name.endswith(f'/{BEGUN}'))
        for start in range(0, len(names), PAGE):
            await self._ask('DELETE', f'/object/{self._bucket}', json={'prefixes': names[start : start + PAGE]})

    async def check(self) -> str:
        """Try everything for real and say what was found. Raise Misconfigured or Unavailable with what is wrong."""
        limit = await self._check_bucket()
        upload = uuid4()
        await self.create(upload)
        try:
            await self.direct(upload, 1)
            await self._put(upload, WHOLE, b'probe')
            async with self._open(f'{upload}/{WHOLE}') as answer:
                if await answer.aread() != b'probe':
                    raise Unavailable('Supabase Storage returned something else than was stored.')
            await self._check_privacy(f'{upload}/{WHOLE}')
        finally:
            await self.discard(upload)
        return f'bucket {self._bucket} is private and takes files up to {limit:,} bytes; browsers send to it directly'

    async def _check_bucket(self) -> int:
        """Return how large a file may be. Raise Misconfigured unless the bucket exists, is private and takes enough."""
        bucket = _read(_BUCKET, await self._ask('GET', f'/bucket/{self._bucket}'))
        if bucket.public:
            raise Misconfigured(f'Everybody may read the bucket "{self._bucket}" of Supabase Storage: make it private.')
        answer = await self._send('OPTIONS', f'{_direct_host(self._url)}/storage/v1/upload/resumable/sign', {})
        told = answer.headers.get('tus-max-size', '')
        limits = [bucket.file_size_limit, int(told) if told.isdigit() else None]
        limit = min((limit for limit in limits if limit is not None), default=0)
        if self._largest is not None and limit < self._largest:
            raise Misconfigured(
                f'Supabase Storage takes files up to {limit:,} bytes, VARIOSYNC_MAX_UPLOAD allows {self._largest:,}: '
                'raise the upload limit of the project and of the bucket, or lower the setting.'
            )
        return limit

    async def _check_privacy(self, name: str) -> None:
        """Raise Misconfigured when a browser's key opens an object."""
        url = f'{self._url}/storage/v1/object/authenticated/{self._bucket}/{name}'
        answer = await self._send('GET', url, _headers(self._publishable))
        if answer.is_success:
            raise Misconfigured(
                f'The publishable key reads the bucket "{self._bucket}" of Supabase Storage: remove the policies on '
                'storage.objects that allow it.'
            )

    async def _copy(self, upload_id: UUID, objects: ObjectStore, key: str) -> ObjectInfo:
        try:
            arrived = await self._look(upload_id)
            async with self._copies:
                with _local_file(self._folder) as path:
                    await self._download(upload_id, arrived.sources, path)
                    return await store(objects, key, path)
        except NotFound:
            return await stored(objects, key)

    async def _download(self, upload_id: UUID, sources: Sequence['_Source'], path: Path) -> None:
        with path.open('xb') as file:
            for source in sources:
                before, digest = file.tell(), hashlib.md5(usedforsecurity=False)
                async with self._open(f'{upload_id}/{source.name}') as answer:
                    async for piece in answer.aiter_bytes(PIECE):
                        await asyncio.to_thread(file.write, piece)
                        await asyncio.to_thread(digest.update, piece)
                if file.tell() - before != source.size or source.md5 not in (None, digest.hexdigest()):
                    raise Unavailable('Supabase Storage sent other bytes than it holds. Try again.')

    async def _look(self, upload_id: UUID) -> '_Arrived':
        there = {entry.name: entry.metadata for entry in await self._list(upload_id) if entry.metadata}
        if BEGUN not in there:
            raise gone()
        # An eTag is the MD5 of an object that was stored at once by a service that keeps it so. Whether this one does
        # is seen from the object whose content we know. Of other objects the size is all that can be compared.
        told = there[BEGUN].md5 == hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
        sources = [_Source(name, about.size, about.md5 if told else None) for name, about in there.items()]
        whole = next((source for source in sources if source.name == WHOLE), None)
        return _Arrived(whole, _longest_run([source for source in sources if _PART.fullmatch(source.name)]))

    async def _list(self, upload_id: UUID) -> Sequence['_Entry']:
        entries: list[_Entry] = []
        while True:
            asked = {
                'prefix': str(upload_id),
                'limit': PAGE,
                'offset': len(entries),
                'sortBy': {'column': 'name', 'order': 'asc'},
            }
            page = _read(_ENTRIES, await self._ask('POST', f'/object/list/{self._bucket}', json=asked))
            entries += page
            if len(page) < PAGE:
                return entries

    async def _put(self, upload_id: UUID, name: str, data: bytes, *, replace: bool = False) -> None:
        headers = {'content-type': 'application/octet-stream', 'x-upsert': 'true' if replace else 'false'}
        await self._ask('POST', f'/object/{self._bucket}/{upload_id}/{name}', content=data, headers=headers)

    async def _ask(
        self, method: str, path: str, *, headers: Mapping[str, str] = MappingProxyType({}), **content: Any
    ) -> httpx.Response:
        answer = await self._send(method, f'{self._url}/storage/v1{path}', self._keys | dict(headers), **content)
        if not answer.is_success:
            raise self._refusal(answer)
        return answer

    async def _send(self, method: str, url: str, headers: dict[str, str], **content: Any) -> httpx.Response:
        with _told():
            return await self._http.request(method, url, headers=headers, timeout=self._patience, **content)

    @asynccontextmanager
    async def _open(self, name: str) -> AsyncIterator[httpx.Response]:
        url = f'{self._url}/storage/v1/object/authenticated/{self._bucket}/{name}'
        headers = self._keys | {'accept-encoding': 'identity'}
        with _told():
            async with self._http.stream('GET', url, headers=headers, timeout=self._patience) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise self._refusal(answer)
                yield answer

    def _refusal(self, answer: httpx.Response) -> VariosyncError:
        """Return what an error of Storage means here: its real status stands in the body, under HTTP 400."""
        try:
            said = _Refusal.model_validate_json(answer.content)
        except ValidationError:
            said = _Refusal()
        status = int(said.status) if said.status.isdigit() else answer.status_code
        if said.error == 'Bucket not found':
            return Misconfigured(f'There is no bucket "{self._bucket}" in Supabase Storage: create it, private.')
        if status == 404:
            return gone()
        if status == 409:
            return complete()
        if status == 413:
            return TooLarge('Supabase Storage refuses a part of this size: raise the upload limit of its bucket.')
        if status in (400, 401, 403):
            return Misconfigured(f'Supabase Storage refuses our key or our request: {said.message or status}.')
        return Unavailable(f'Supabase Storage has trouble ({status}). Try again in a moment.')

    def _to_its_end(self, work: Coroutine[Any, Any, T]) -> 'asyncio.Task[T]':
        """Start work that nobody's leaving ends."""
        task = asyncio.create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: 'asyncio.Task[Any]') -> None:
        self._ending.discard(task)
        if not task.cancelled():
            task.exception()  # who waited has it; when nobody did, the next request meets the same trouble


class _Writer:
    """Collects bytes and stores them in batches, each to its end even when its sender is cancelled."""

    def __init__(self, put: Callable[[int, bytes], Awaitable[None]], offset: int) -> None:
        self.offset = offset
        self._put = put
        self._waiting = bytearray()
        self._sending: asyncio.Future[None] | None = None

    async def add(self, piece: bytes) -> None:
        """Take bytes; store what fills a batch."""
        self._waiting += piece
        self.offset += len(piece)
        while len(self._waiting) >= BATCH:
            self._sending = asyncio.ensure_future(self._store(BATCH))
            await asyncio.shield(self._sending)

    async def close(self) -> None:
        """Store the rest, after what is on its way; a batch that failed leaves nothing to store behind it."""
        if self._sending is not None:
            await self._sending
        if self._waiting:
            await self._store(len(self._waiting))

    async def _store(self, size: int) -> None:
        start = self.offset - len(self._waiting)
        batch = bytes(self._waiting[:size])
        del self._waiting[:size]
        await self._put(start, batch)


@dataclass(frozen=True, slots=True)
class _Source:
    """An object that holds bytes of an upload; the name of a part begins with where it starts."""

    name: str
    size: int
    md5: str | None

    @property
    def start(self) -> int:
        return int(self.name[:20])


@dataclass(frozen=True, slots=True)
class _Arrived:
    """What is there of an upload: the whole, or parts without a gap."""

    whole: _Source | None
    parts: Sequence[_Source]

    @property
    def size(self) -> int:
        return sum(source.size for source in self.sources)

    @property
    def sources(self) -> Sequence[_Source]:
        """The objects whose bytes make up the upload, in order."""
        return self.parts if self.whole is None else [self.whole]


def _longest_run(parts: Sequence[_Source]) -> Sequence[_Source]:
    """Return the parts that lead furthest from offset 0, each beginning where the one before it ends."""
    ends: dict[int, _Source] = {}
    for part in sorted(parts, key=lambda part: (part.start, part.name)):
        if part.start == 0 or part.start in ends:
            ends.setdefault(part.start + part.size, part)
    run: list[_Source] = []
    end = max(ends, default=0)
    while end:
        run.append(ends[end])
        end = ends[end].start
    return run[::-1]


class _Metadata(BaseModel):
    size: int
    etag: str = Field('', validation_alias='eTag')

    @property
    def md5(self) -> str | None:
        """The MD5 that the eTag may be, if it looks like one."""
        digest = self.etag.strip('"').lower()
        return digest if _MD5.fullmatch(digest) else None


class _Entry(BaseModel):
    name: str
    metadata: _Metadata | None = None


class _Bucket(BaseModel):
    public: bool
    file_size_limit: int | None = None


class _Signed(BaseModel):
    token: str

    @property
    def expires_in(self) -> int:
        """Seconds for which the token holds, as it says itself: it is a JWT."""
        body = self.token.split('.')[1] if self.token.count('.') == 2 else ''
        try:
            claims = _Claims.model_validate_json(base64.urlsafe_b64decode(body + '=' * (-len(body) % 4)))
        except ValueError as error:
            raise _not_understood() from error
        return max(0, int(claims.exp - time.time()))


class _Claims(BaseModel):
    exp: float


class _Refusal(BaseModel):
    status: str = Field('', validation_alias='statusCode')
    error: str = ''
    message: str = ''


_ENTRIES, _BUCKET, _SIGNED = TypeAdapter(list[_Entry]), TypeAdapter(_Bucket), TypeAdapter(_Signed)
_PART = re.compile(r'\d{20}-[0-9a-f]{32}')
_MD5 = re.compile(r'[0-9a-f]{32}')


def _read(kind: TypeAdapter[T], answer: httpx.Response) -> T:
    try:
        return kind.validate_json(answer.content)
    except ValidationError as error:
        raise _not_understood() from error


def _not_understood() -> Unavailable:
    return Unavailable('Supabase Storage answered something that is not understood. Is SUPABASE_URL right?')


def _headers(key: str) -> dict[str, str]:
    return {'apikey': key, 'authorization': f'Bearer {key}'}


def _direct_host(url: str) -> str:
    """Return the address for large uploads, which projects of supabase.com have beside their own."""
    parts = urlsplit(url)
    project, _, domain = (parts.hostname or '').partition('.')
    return f'{parts.scheme}://{project}.storage.{domain}' if domain == 'supabase.co' else url


@contextmanager
def _local_file(base: Path) -> Iterator[Path]:
    """A name for a file that is gone afterwards."""
    try:
        with work_folder(base, f'variosync-{uuid4().hex}') as folder:
            yield folder / 'upload'
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unavailable('No space is left to accept uploads. Free some on the server, then resume.') from error
        raise Unavailable('The folder for copies of uploads cannot be used.') from error


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except httpx.InvalidURL as error:
        raise Misconfigured('SUPABASE_URL is no address.') from error
    except httpx.HTTPError as error:
        raise Unavailable('Supabase Storage does not answer. Try again in a moment.') from error
