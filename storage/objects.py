"""Immutable objects under tenant-first keys: local files, or any store that obstore speaks to, by the same code."""

import asyncio
import errno
import hashlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, S3Store
from obstore.store import ObjectStore as Store

from core import ports
from core.errors import Conflict, Misconfigured, NotFound, Unavailable, UsageError
from core.settings import Settings
from core.values import ObjectInfo

PIECE = 2**20
WHOLE = 32 * 2**20
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

    @classmethod
    def of(cls, settings: Settings) -> Self:
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

    With `folder` the store's objects are files below it, written durably and lent without copying;
    without it `cache` is where fetched objects are kept.
    """

    def __init__(self, store: Store, *, folder: Path | None = None, cache: Path | None = None) -> None:
        self._store = store
        self._files = _Files(folder) if folder else None
        self._cache = cache

    @classmethod
    def local(cls, folder: Path) -> 'Objects':
        """Open the store in a local folder, which is made when it is absent."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return cls(LocalStore(folder, automatic_cleanup=True), folder=folder)

    @classmethod
    def s3(cls, at: ObjectsAt, *, cache: Path | None = None) -> 'Objects':
        """Open a bucket; nothing is asked of it yet."""
        return cls(_bucket(at), cache=cache)

    async def put(self, key: str, data: bytes) -> ObjectInfo:
        """Store bytes, verified by reading them back. Raise Conflict when the key is taken."""
        return await self._put(_key(key), data)

    async def put_file(self, key: str, path: Path, *, move: bool = False) -> ObjectInfo:
        """Store a file, verified. With `move` a file on the same disk is renamed, whatever its size."""
        _key(key)
        with _told(key):
            if self._files:
                return await asyncio.to_thread(self._files.put_file, key, path, move=move)
        return await self._put_file(key, path, replace=False)

    async def _put_file(self, key: str, path: Path, *, replace: bool) -> ObjectInfo:
        with _told(key):
            expected = await asyncio.to_thread(_describe, key, path)
            if expected.size <= WHOLE:
                data = await asyncio.to_thread(path.read_bytes)
                await obstore.put_async(self._store, key, data, mode='overwrite' if replace else 'create')
            else:
                await self._put_large(key, path, replace=replace)
            return _same(expected, await self._read_back(key))

    async def _put(self, key: str, data: bytes) -> ObjectInfo:
        with _told(key):
            if self._files:
                return await asyncio.to_thread(self._files.put, key, data)
            expected = ObjectInfo(key=key, size=len(data), sha256=hashlib.sha256(data).hexdigest())
            await obstore.put_async(self._store, key, data, mode='create')
            return _same(expected, await self._read_back(key))

    async def _put_large(self, key: str, path: Path, *, replace: bool) -> None:
        # A conditional put cannot be made of parts, so a large object is guarded by a look; keys are single-use anyway.
        with suppress(FileNotFoundError):
            if not replace:
                await obstore.head_async(self._store, key)
                raise Conflict(f'There is an object under {key} already.')
        await obstore.put_async(self._store, key, path, use_multipart=True)

    async def _read_back(self, key: str) -> ObjectInfo:
        digest, size = hashlib.sha256(), 0
        async for piece in await self._stream(key):
            digest.update(piece)
            size += len(piece)
        return ObjectInfo(key=key, size=size, sha256=digest.hexdigest())

    async def get(self, key: str) -> bytes:
        """Return the bytes. Raise NotFound when nothing is stored under key."""
        with _told(_key(key)):
            answer = await obstore.get_async(self._store, key)
            return bytes(await answer.bytes_async())

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """Return the object in pieces of about a megabyte. Raise NotFound when nothing is stored under key."""
        return await self._stream(_key(key))

    async def _stream(self, key: str) -> AsyncIterator[bytes]:
        with _told(key):
            answer = await obstore.get_async(self._store, key)

        async def pieces() -> AsyncIterator[bytes]:
            with _told(key):
                async for piece in answer.stream(min_chunk_size=PIECE):
                    yield bytes(piece)

        return pieces()

    async def fetch(self, key: str) -> Path:
        """Return a local, read-only file with the object's content. Raise NotFound when nothing is stored under key."""
        if self._files:
            return await asyncio.to_thread(self._files.fetch, _key(key))
        if self._cache is None:
            raise UsageError('This object store has no folder to fetch into.')
        path = self._cache / _key(key)
        if not path.exists():
            await self._download(key, path)
        return path

    async def _download(self, key: str, path: Path) -> None:
        pieces = await self._stream(key)
        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
        part = path.with_name(f'{uuid4().hex}.part')
        try:
            with await asyncio.to_thread(part.open, 'xb') as file:
                async for piece in pieces:
                    await asyncio.to_thread(file.write, piece)
            part.chmod(0o444)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    async def size(self, key: str) -> int:
        """Return the size in bytes. Raise NotFound when nothing is stored under key."""
        with _told(_key(key)):
            return (await obstore.head_async(self._store, key))['size']

    async def list(self, prefix: str) -> Sequence[str]:
        """Return the keys that start with prefix, sorted. The prefix names a tenant at least."""
        folder = _prefix(prefix).rpartition('/')[0]
        with _told(prefix):
            batches = [batch async for batch in obstore.list(self._store, folder, chunk_size=1000)]
        return sorted(meta['path'] for batch in batches for meta in batch if meta['path'].startswith(prefix))

    async def delete(self, prefix: str) -> int:
        """Remove every object whose key starts with prefix and return how many there were."""
        keys = await self.list(prefix)
        with _told(prefix):
            for start in range(0, len(keys), 1000):
                await self._delete(keys[start : start + 1000])
        return len(keys)

    async def _delete(self, keys: Sequence[str]) -> None:
        try:
            await obstore.delete_async(self._store, keys)
        except FileNotFoundError:
            for key in keys:
                with suppress(FileNotFoundError):
                    await obstore.delete_async(self._store, key)

    async def ping(self) -> None:
        """Write, read and remove a small object. Raise Unavailable when that fails."""
        key = f'ping/{uuid4()}'
        try:
            await self._put(key, b'ping')
            with _told(key):
                await obstore.delete_async(self._store, key)
        except (NotFound, Conflict) as error:
            raise Unavailable('The object store does not keep what is written to it.') from error


def task_objects(at: ObjectsAt) -> ports.TaskObjects:
    """Return the object store as a task sees it, in either world."""
    if at.folder is not None:
        return LocalTaskObjects(Path(at.folder))
    return BucketTaskObjects(Objects.s3(at))


class LocalTaskObjects:
    """A local object store as a task sees it (`core.ports.TaskObjects`), blocking."""

    def __init__(self, folder: Path) -> None:
        self._files = _Files(folder)

    def fetch(self, key: str, into: Path) -> Path:
        """Return the object's own file. Raise NotFound when nothing is stored under key."""
        return self._files.fetch(_key(key))

    def put_file(self, key: str, path: Path) -> ObjectInfo:
        """Store a copy of a file, verified, replacing what was there."""
        with _told(_key(key)):
            return self._files.put_file(key, path, replace=True)


class BucketTaskObjects:
    """A bucket as a task sees it (`core.ports.TaskObjects`), blocking, on whatever thread it is called."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def fetch(self, key: str, into: Path) -> Path:
        """Return a file below `into` with the object's content. Raise NotFound when nothing is stored under key."""
        path = into / 'objects' / _key(key)
        if not path.exists():
            _blocking(self._objects._download(key, path))
        return path

    def put_file(self, key: str, path: Path) -> ObjectInfo:
        """Store a file, verified, replacing what was there."""
        return _blocking(self._objects._put_file(_key(key), path, replace=True))


def _blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a thread of its own: the caller may be inside an event loop itself."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _bucket(at: ObjectsAt) -> S3Store:
    return S3Store(
        at.bucket,
        endpoint=at.endpoint,
        region=at.region,
        access_key_id=at.key,
        secret_access_key=at.secret,
        virtual_hosted_style_request=False,
        client_options={'allow_http': (at.endpoint or '').startswith('http://')},
    )


class _Files:
    """Objects as files below a folder: made under another name, on disk before they are visible, then read-only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unfinished = folder / '.unfinished'

    def put(self, key: str, data: bytes) -> ObjectInfo:
        with self._temporary() as path:
            with path.open('xb') as file:
                file.write(data)
            expected = ObjectInfo(key=key, size=len(data), sha256=hashlib.sha256(data).hexdigest())
            return self._publish(path, expected, replace=False)

    def put_file(self, key: str, source: Path, *, move: bool = False, replace: bool = False) -> ObjectInfo:
        if move:
            try:
                info = self._publish(source, _describe(key, source), replace=replace, verify=False)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
            else:
                source.unlink(missing_ok=True)
                return info
        with self._temporary() as path:
            info = self._publish(path, _copy(key, source, path), replace=replace)
        if move:
            source.unlink(missing_ok=True)
        return info

    def fetch(self, key: str) -> Path:
        path = self._folder / key
        if not path.is_file():
            raise NotFound(f'There is no object under {key}.')
        return path

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        self._unfinished.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._unfinished / uuid4().hex
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _publish(self, path: Path, expected: ObjectInfo, *, replace: bool, verify: bool = True) -> ObjectInfo:
        """Make a file visible under its key. A file that was just read needs no `verify`."""
        path.chmod(0o444)
        _to_disk(path)
        target = self._folder / expected.key
        self._link(path, target, replace=replace)
        for folder in (target.parent, *target.parent.relative_to(self._folder).parents):
            _to_disk(self._folder / folder)
        try:
            return _same(expected, _describe(expected.key, target)) if verify else _same_size(expected, target)
        except Unavailable:
            target.unlink(missing_ok=True)
            raise

    def _link(self, path: Path, target: Path, *, replace: bool) -> None:
        while True:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                if replace:
                    path.replace(target)
                else:
                    os.link(path, target)
            except FileNotFoundError:
                # A deletion next door may take the empty folder away between the two calls.
                if not path.exists():
                    raise
            else:
                return


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


def _describe(key: str, path: Path) -> ObjectInfo:
    with path.open('rb') as file:
        digest = hashlib.file_digest(file, 'sha256')
        return ObjectInfo(key=key, size=file.tell(), sha256=digest.hexdigest())


def _copy(key: str, source: Path, target: Path) -> ObjectInfo:
    shutil.copyfile(source, target)
    return _describe(key, source)


def _same(expected: ObjectInfo, stored: ObjectInfo) -> ObjectInfo:
    if stored != expected:
        raise Unavailable(f'The object store returned something else than was stored under {expected.key}. Try again.')
    return stored


def _same_size(expected: ObjectInfo, path: Path) -> ObjectInfo:
    return _same(expected, ObjectInfo(key=expected.key, size=path.stat().st_size, sha256=expected.sha256))


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _told(key: str) -> Iterator[None]:
    """Say in our own errors what the store or the disk says."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError) as error:
        raise NotFound(f'There is no object under {key}.') from error
    except (AlreadyExistsError, FileExistsError, NotADirectoryError) as error:
        raise Conflict(f'There is an object under {key} already.') from error
    except (BaseError, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unavailable('The object store is full. Free some space, then try again.') from error
        raise Unavailable(f'The object store does not answer for {key}. Try again in a moment.') from error
