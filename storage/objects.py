"""Immutable objects under tenant-first keys: local files, or any store that obstore speaks to, by the same code."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import cache as once
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store
from obstore.store import ObjectStore as Store

from core import ports
from core.errors import Conflict, Misconfigured, NotFound, NotSupported, Unavailable, UsageError, VariosyncError
from core.values import ObjectInfo, Readable
from storage.object_cache import ObjectCache
from storage.object_faults import Patience, code_of, told
from storage.object_files import LocalFiles, describe, same
from storage.object_reader import Opened, Reader

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Credential

    from core.settings import Settings

PIECE = 4 * 2**20  # bytes of one request to a bucket
AHEAD = 4  # requests on their way while a piece is used
LOCAL_PIECE = 2**20
WHOLE = 16 * 2**20  # larger files are sent in parts, without reading them into memory
PART = 8 * 2**20
COPIED = 64 * 2**20  # objects that are read together are copied to the disk first up to this size
TAIL = 256 * 2**10  # of a Parquet file: the footer of 150 row groups of 15 columns
AT_ONCE = 16
SIZES_KEPT = 100_000
PING = 5.0  # seconds
READING = Patience(tries=5, silence=3.5, total=4.5)  # with what a page waits for: eight seconds at most
LONGEST_KEY = 900
_SEGMENT = re.compile(r'[A-Za-z0-9._-]{1,200}')
_TENANT = re.compile(r't/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/')

T = TypeVar('T')


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectsAt:
    """Where objects are: below a local `folder`, or in a bucket of an S3-compatible store.

    `endpoint` is None for AWS itself. Its JSON holds the secret, so it travels by private channels only.
    """

    folder: str | None = None
    bucket: str | None = None
    endpoint: str | None = None
    region: str = 'us-east-1'
    key: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (self.folder is None) == (self.bucket is None):
            raise Misconfigured('Objects are in a folder or in a bucket: name one of them.')
        if self.bucket is not None and not (self.key and self.secret):
            raise Misconfigured('A bucket needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.')
        if self.endpoint is not None and not _is_address(self.endpoint):
            raise Misconfigured('AWS_ENDPOINT_URL looks like https://s3.eu-central-1.wasabisys.com.')

    @classmethod
    def of(cls, settings: 'Settings') -> Self:
        """Return what the settings say: the bucket when one is named, else the home's `objects`."""
        if settings.bucket is None:
            return cls(folder=str(settings.home_path / 'objects'))
        return cls(
            bucket=settings.bucket,
            endpoint=settings.bucket_endpoint,
            region=settings.bucket_region,
            key=settings.bucket_key.get_secret_value() if settings.bucket_key else None,
            secret=settings.bucket_secret.get_secret_value() if settings.bucket_secret else None,
        )

    def to_json(self) -> dict[str, str | None]:
        """Return plain values, the secret among them."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Return what `to_json` told. Raise Misconfigured when it is something else."""
        try:
            return cls(**told)
        except TypeError as error:
            raise Misconfigured('This is no description of an object store.') from error


class Objects:
    """The object store (`core.ports.ObjectStore`).

    With `files` objects are files of a folder, written durably and lent without copying. Without them they are in
    `store`, behind a network: it is asked again as `patience` says, and `cache` keeps local copies. `parts` is the
    store to which large files are sent in parts; it asks again for each part by itself. `reads` is the store for those
    who wait for what they read, which is asked again as `reading` says.
    """

    def __init__(
        self,
        store: Store,
        *,
        files: LocalFiles | None = None,
        cache: ObjectCache | None = None,
        parts: Callable[[], Store] | None = None,
        patience: Patience | None = None,
        reads: Store | None = None,
        reading: Patience | None = None,
    ) -> None:
        self._store = store
        self._files = files
        self._cache = cache
        self._parts = parts or (lambda: store)
        self._patience = patience or Patience()
        piece, ahead = (LOCAL_PIECE, 1) if files else (PIECE, AHEAD)
        self._patient = Reader(store, self._patience, piece=piece, ahead=ahead)
        self._prompt = Reader(reads or store, reading or self._patience, piece=piece, ahead=ahead)
        self._conditional = True
        self._sizes: dict[str, int] = {}

    @classmethod
    def of(cls, settings: 'Settings') -> 'Objects':
        """Open what the settings say."""
        from core.settings import parse_bytes  # a quarter of a second that tasks, which have none, do not wait for

        at, home = ObjectsAt.of(settings), settings.home_path
        if at.folder is not None:
            return cls.local(Path(at.folder))
        return cls.s3(at, cache=ObjectCache(home / 'cache', limit=parse_bytes(settings.object_cache)), reading=READING)

    @classmethod
    def local(cls, folder: Path) -> 'Objects':
        """Open the store in a local folder, which is made when it is absent."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        store = LocalStore(folder, automatic_cleanup=True)
        return cls(store, files=LocalFiles(folder), patience=Patience(tries=1))

    @classmethod
    def s3(
        cls,
        at: ObjectsAt,
        *,
        cache: ObjectCache | None = None,
        patience: Patience | None = None,
        reading: Patience | None = None,
    ) -> 'Objects':
        """Open a bucket; nothing is asked of it yet. `reading` is the patience with what is opened, fetched or got."""
        patience = patience or Patience()
        return cls(
            _bucket(at, patience, retries=0),
            cache=cache,
            parts=once(lambda: _bucket(at, patience, retries=patience.tries - 1)),  # few send what is so large
            patience=patience,
            reads=_bucket(at, reading, retries=0) if reading else None,
            reading=reading,
        )

    # writing

    async def put(self, key: str, data: bytes) -> ObjectInfo:
        """Store bytes, verified by reading them back. Raise Conflict when the key is taken."""
        return await self._put(_key(key), data)

    async def put_file(self, key: str, path: Path, *, move: bool = False) -> ObjectInfo:
        """Store a file, verified. With `move` it is gone then: renamed, whatever its size, or removed."""
        with told(_key(key)):
            if self._files:
                return await asyncio.to_thread(self._files.put_file, key, path, move=move)
            info = await self.upload(key, path, replace=False)
            if move:
                await asyncio.to_thread(path.unlink, missing_ok=True)
            return info

    async def upload(self, key: str, path: Path, *, replace: bool) -> ObjectInfo:
        """Store a copy of a file behind the network, verified; `replace` takes the place of what is there."""
        with told(_key(key)):
            expected = await asyncio.to_thread(describe, key, path)
            source = await asyncio.to_thread(path.read_bytes) if expected.size <= WHOLE else path
        return await self._send(expected, source, replace=replace)

    async def _put(self, key: str, data: bytes) -> ObjectInfo:
        if self._files:
            with told(key):
                return await asyncio.to_thread(self._files.put, key, data)
        expected = ObjectInfo(key=key, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        return await self._send(expected, data, replace=False)

    async def _send(self, expected: ObjectInfo, source: bytes | Path, *, replace: bool) -> ObjectInfo:
        key, tries = expected.key, 0

        async def send() -> None:
            nonlocal tries
            tries += 1
            await self._send_once(expected, source, replace=replace)

        if not replace:
            await self._see_that_free(key)
        try:
            await self._patience.ask(key, send)
        except Conflict:
            # A try that was not answered may have succeeded all the same: then what is there is ours.
            if tries == 1 or await self._read_back(key) != expected:
                raise
            return expected
        stored = await self._read_back(key)
        if stored != expected:
            await self._remove([key])
        return same(expected, stored)

    async def _see_that_free(self, key: str) -> None:
        # A large object cannot be put conditionally, and some stores ignore or refuse conditions. Keys are used once.
        with suppress(NotFound):
            await self._patient.size(key)
            raise Conflict(f'There is an object under {key} already.')

    async def _send_once(self, expected: ObjectInfo, source: bytes | Path, *, replace: bool) -> None:
        attributes = {'sha256': expected.sha256}
        if isinstance(source, Path):
            await obstore.put_async(
                self._parts(),
                expected.key,
                source,
                attributes=attributes,
                use_multipart=True,
                chunk_size=PART,
                max_concurrency=AHEAD,
            )
            return
        if replace or not self._conditional:
            await obstore.put_async(self._store, expected.key, source, attributes=attributes)
            return
        try:
            await obstore.put_async(self._store, expected.key, source, attributes=attributes, mode='create')
        except BaseError as error:
            if code_of(error) != 'NotImplemented':
                raise
            self._conditional = False
            await self._send_once(expected, source, replace=False)

    async def _read_back(self, key: str) -> ObjectInfo:
        opened = await self._patient.open(key)
        digest = hashlib.sha256()
        async for piece in self._patient.pieces(key, opened):
            await asyncio.to_thread(digest.update, piece)
        return ObjectInfo(key=key, size=opened.size, sha256=digest.hexdigest())

    # reading

    async def get(self, key: str) -> bytes:
        """Return the bytes. Raise NotFound when nothing is stored under key."""
        return b''.join([piece async for piece in await self.stream(key)])

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """Return the object in pieces of one megabyte, from a bucket of four. Raise NotFound when there is none.

        After the last piece Unavailable is raised when they are not what was stored.
        """
        return self._checked(key, await self._prompt.open(_key(key)))

    async def _checked(self, key: str, opened: Opened) -> AsyncIterator[bytes]:
        digest, size = hashlib.sha256(), 0
        async for piece in self._prompt.pieces(key, opened):
            if opened.sha256 is not None:
                await asyncio.to_thread(digest.update, piece)
            size += len(piece)
            yield piece
        if size != opened.size or opened.sha256 not in (None, digest.hexdigest()):
            raise Unavailable(f'The object store returned something else than was stored under {key}. Try again.')

    async def fetch(self, key: str) -> Path:
        """Return a local, read-only file with the object's content. Raise NotFound when nothing is stored under key.

        The file of a bucket's object stays for ten minutes after it was last fetched.
        """
        if self._files:
            return await asyncio.to_thread(self._files.fetch, _key(key))
        return await self._copies().fetch(_key(key), lambda path: self.download(key, path))

    async def download(self, key: str, path: Path) -> None:
        """Write an object to a new file. Raise NotFound when nothing is stored under key."""
        pieces = await self.stream(key)
        with told(key):
            await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
            with await asyncio.to_thread(path.open, 'xb') as file:
                async for piece in pieces:
                    await asyncio.to_thread(file.write, piece)

    async def open(self, keys: Sequence[str]) -> Readable:
        """Return what reads parts of these objects. Raise NotFound when nothing is stored under one of the keys.

        Objects of a bucket that are not on this disk yet are copied first when they have 64 MB or less together, or
        half the cache if that is less; otherwise what is read of them is fetched, and kept in the cache.
        """
        look = self._files.fetch if self._files else self._copies().find
        found = await asyncio.to_thread(lambda: {key: look(_key(key)) for key in keys})
        missing = [key for key, path in found.items() if path is None]
        if not missing:
            return Readable(paths=tuple(str(found[key]) for key in keys))
        cache, sizes = self._copies(), await self._sizes_of(missing)
        if sum(sizes.values()) <= min(COPIED, cache.limit // 2):
            return Readable(paths=tuple(map(str, await _together([self.fetch(key) for key in keys]))))
        from storage.object_reads import ObjectReads, address  # fsspec takes a start longer than all else here

        await _together([self._keep_tail(key, size) for key, size in sizes.items()])
        paths = [address(key) if (path := found[key]) is None else str(path) for key in keys]
        return Readable(paths=tuple(paths), files=ObjectReads(self._read, sizes))

    async def _sizes_of(self, keys: Sequence[str]) -> dict[str, int]:
        # What is known is taken along: others may forget it while we ask for the rest.
        known = {key: self._sizes[key] for key in keys if key in self._sizes}
        unknown = [key for key in keys if key not in known]
        known |= zip(unknown, await _together([self._prompt.size(key) for key in unknown]), strict=True)
        if len(self._sizes) > SIZES_KEPT:
            self._sizes.clear()
        self._sizes |= known
        return {key: known[key] for key in keys}

    async def _keep_tail(self, key: str, size: int) -> None:
        # Readers ask for the ends of all files one after the other, and of a great one twice; here they come together.
        start = max(0, size - TAIL)
        if await asyncio.to_thread(self._copies().piece, key, start, size) is None:
            data = await self._prompt.range(key, start, size)
            await asyncio.to_thread(self._copies().keep_piece, key, start, size, data)

    def _read(self, key: str, start: int, end: int) -> bytes:
        """Return bytes of an object, on a thread that may wait."""
        cache, size = self._copies(), self._sizes.get(key, 0)
        tail = max(0, size - TAIL)
        if tail <= start and end <= size and (data := cache.piece(key, tail, size)) is not None:
            return data[start - tail : end - tail]
        if (data := cache.piece(key, start, end)) is None:
            data = self._prompt.range_blocking(key, start, end)
            cache.keep_piece(key, start, end, data)
        return data

    def _copies(self) -> ObjectCache:
        if self._cache is None:
            raise UsageError('This object store has no cache to copy objects to.')
        return self._cache

    async def size(self, key: str) -> int:
        """Return the size in bytes. Raise NotFound when nothing is stored under key."""
        return await self._patient.size(_key(key))

    async def list(self, prefix: str) -> Sequence[str]:
        """Return the keys that start with prefix, sorted. The prefix names a tenant at least."""
        folder = _prefix(prefix).rpartition('/')[0]

        async def ask() -> Sequence[str]:
            batches = [batch async for batch in obstore.list(self._store, folder, chunk_size=1000)]
            return sorted(meta['path'] for batch in batches for meta in batch if meta['path'].startswith(prefix))

        return await self._patience.ask(prefix, ask)

    async def delete(self, prefix: str) -> int:
        """Remove every object whose key starts with prefix, and its copy here; return how many there were."""
        keys = await self.list(prefix)
        for start in range(0, len(keys), 1000):
            await self._delete(keys[start : start + 1000])
        return len(keys)

    async def _delete(self, keys: Sequence[str]) -> None:
        try:
            await self._remove(keys)
        except NotFound:
            for key in keys:
                with suppress(NotFound):
                    await self._remove([key])
        if self._cache:
            await asyncio.to_thread(self._cache.forget, keys)

    async def _remove(self, keys: Sequence[str]) -> None:
        await self._patience.ask(keys[0], lambda: obstore.delete_async(self._store, keys))

    async def presigned(self, key: str, *, seconds: float) -> str:
        """Return an address from which the object of a bucket can be read without a key for so long.

        Raise NotSupported for a store that signs nothing.
        """
        if not isinstance(self._store, S3Store):
            raise NotSupported('Local objects have no addresses of their own.')
        with told(_key(key)):
            return await obstore.sign_async(self._store, 'GET', key, timedelta(seconds=seconds))

    async def ping(self) -> None:
        """Raise Unavailable unless the store answers; a local one is written to, a bucket is only asked.

        Wasabi bills whatever is written for ninety days.
        """
        key = f'ping/{uuid4()}'
        if self._files is None:
            await self._ask_for_a_sign()
            return
        try:
            await self._put(key, b'ping')
            await self._remove([key])
        except (NotFound, Conflict) as error:
            raise Unavailable('The object store does not keep what is written to it.') from error

    async def _ask_for_a_sign(self) -> None:
        try:
            async with asyncio.timeout(PING):
                await self._patience.ask('ping', lambda: obstore.list_with_delimiter_async(self._store, 'ping/'))
        except TimeoutError as error:
            raise Unavailable(f'The object store does not answer within {PING:g} s.') from error


def task_objects(at: ObjectsAt) -> ports.TaskObjects:
    """Return the object store as a task sees it, in either world."""
    if at.folder is not None:
        return LocalTaskObjects(Path(at.folder))
    return BucketTaskObjects(Objects.s3(at))


class LocalTaskObjects:
    """A local object store as a task sees it (`core.ports.TaskObjects`), blocking."""

    def __init__(self, folder: Path) -> None:
        self._files = LocalFiles(folder)

    def fetch(self, key: str, into: Path) -> Path:
        """Return the object's own file. Raise NotFound when nothing is stored under key."""
        return self._files.fetch(_key(key))

    def put_file(self, key: str, path: Path) -> ObjectInfo:
        """Store a copy of a file, verified, replacing what was there."""
        with told(_key(key)):
            return self._files.put_file(key, path, replace=True)


class BucketTaskObjects:
    """A bucket as a task sees it (`core.ports.TaskObjects`), blocking, on whatever thread it is called."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def fetch(self, key: str, into: Path) -> Path:
        """Return a file below `into` with the object's content. Raise NotFound when nothing is stored under key."""
        path = into / 'objects' / _key(key)
        if not path.exists():
            _blocking(self._fetch(key, path))
        return path

    async def _fetch(self, key: str, path: Path) -> None:
        part = path.with_name(f'{path.name}.{uuid4().hex}')
        try:
            await self._objects.download(key, part)
            part.rename(path)
        finally:
            part.unlink(missing_ok=True)

    def put_file(self, key: str, path: Path) -> ObjectInfo:
        """Store a file, verified, replacing what was there."""
        return _blocking(self._objects.upload(key, path, replace=True))


def _blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a thread of its own: the caller may be inside an event loop itself."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _together(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines, a few at a time, and return what they return in order; the first error stops all."""
    few = asyncio.Semaphore(AT_ONCE)

    async def one(each: Coroutine[Any, Any, T]) -> T:
        async with few:
            return await each

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(each)) for each in work]
    except* VariosyncError as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def _bucket(at: ObjectsAt, patience: Patience, *, retries: int) -> S3Store:
    # Neither checksums nor anything else that a store which is only compatible with S3 may lack.
    # Said although it is the default: obstore would let AWS_… of the environment, or a token left there, say otherwise.
    config: S3Config = {
        'region': at.region,
        'virtual_hosted_style_request': False,
        'skip_signature': False,
        'unsigned_payload': False,
        'conditional_put': 'etag',
    }
    credential: S3Credential = {
        'access_key_id': at.key or '',
        'secret_access_key': at.secret or '',
        'token': None,
        'expires_at': None,
    }
    if at.endpoint:
        config['endpoint'] = at.endpoint.rstrip('/')
    return S3Store(
        at.bucket,
        config=config,
        credential_provider=lambda: credential,
        client_options={
            'allow_http': (at.endpoint or '').startswith('http://'),
            'connect_timeout': timedelta(seconds=min(5, patience.timeout)),
            'read_timeout': timedelta(seconds=patience.silence),
            'timeout': timedelta(seconds=patience.timeout),
        },
        retry_config={
            'max_retries': retries,
            'retry_timeout': timedelta(seconds=patience.total),
            'backoff': {
                'init_backoff': timedelta(seconds=patience.first),
                'max_backoff': timedelta(seconds=patience.longest),
                'base': 2,
            },
        },
    )


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ('http', 'https') and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _key(key: str) -> str:
    if not (_TENANT.match(key) and len(key) <= LONGEST_KEY and all(_sound(part) for part in key.split('/'))):
        raise UsageError(f'"{key[:100]}" is no object key. Keys look like t/<tenant>/<name>.')
    return key


def _prefix(prefix: str) -> str:
    *folders, last = prefix.split('/')
    if not (_TENANT.match(prefix) and all(_sound(part) for part in folders) and (not last or _sound(last))):
        raise UsageError(f'"{prefix[:100]}" is no prefix of object keys. Prefixes start with t/<tenant>/.')
    return prefix


def _sound(segment: str) -> bool:
    return bool(_SEGMENT.fullmatch(segment) and segment.strip('.'))
