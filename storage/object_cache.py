"""Local copies of objects on a disk: bounded, the least recently used given up first; processes may share a folder."""

import asyncio
import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from storage.object_faults import told

GRACE = 600.0  # seconds that a file which was lent stays at least
ABANDONED = 3600.0  # seconds without a write after which nobody is at work on a part any more
SLACK = 20  # a folder is looked through again when it has grown by 1/SLACK of its limit


class ObjectCache:
    """Objects, and pieces of objects too large to be copied whole, in `folder` up to `limit` bytes.

    A whole object is lent as a path. It stays for `grace` seconds after it was last asked for, over the limit if need
    be, so that its reader never loses it; asking again prolongs that. Pieces are read at once and may go at any time.
    """

    def __init__(self, folder: Path, *, limit: int, grace: float = GRACE) -> None:
        self._folder = folder
        self._limit = limit
        self._grace = grace
        self._used = limit  # unknown yet: the first copy looks
        self._unseen = 0
        self._sweeping = threading.Lock()
        self._loading: dict[str, asyncio.Task[Path]] = {}
        with told('the cache'):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._remove_abandoned()

    @property
    def limit(self) -> int:
        """Bytes it may hold."""
        return self._limit

    def find(self, key: str) -> Path | None:
        """Return the copy of an object, if there is one, and keep it for a while."""
        path = self._path(key)
        # What the disk refuses to look up is asked of the store again.
        with suppress(OSError), self._alone():
            os.utime(path)
            return path
        return None

    async def fetch(self, key: str, download: Callable[[Path], Awaitable[None]]) -> Path:
        """Return the copy of an object; when there is none, `download` writes it, once for all who ask meanwhile."""
        if (task := self._loading.get(key)) is None:
            task = self._loading[key] = asyncio.create_task(self._load(key, download))
            task.add_done_callback(lambda done: self._loaded(key, done))
        # Shielded: whoever asked first may be cancelled, and the others still wait.
        return await asyncio.shield(task)

    def piece(self, key: str, start: int, end: int) -> bytes | None:
        """Return the bytes from start to end, if this very piece was kept."""
        path = self._path(key, f'.{start}-{end}')
        with suppress(OSError):
            data = path.read_bytes()
            os.utime(path)
            # A machine that lost its power may have kept the name and not the bytes.
            return data if len(data) == end - start else None
        return None

    def keep_piece(self, key: str, start: int, end: int, data: bytes) -> None:
        """Keep a piece, unless the disk refuses."""
        path = self._path(key, f'.{start}-{end}')
        part = self._part(path)
        # What cannot be kept is read from the store again.
        with suppress(OSError):
            path.parent.mkdir(exist_ok=True, mode=0o700)
            part.write_bytes(data)
            part.replace(path)
            self._grown(len(data))
        part.unlink(missing_ok=True)

    def forget(self, keys: Iterable[str]) -> None:
        """Remove the copies of these objects, pieces as well."""
        for key in keys:
            path = self._path(key)
            for copy in path.parent.glob(f'{path.name}*'):
                copy.unlink(missing_ok=True)

    async def _load(self, key: str, download: Callable[[Path], Awaitable[None]]) -> Path:
        if (found := await asyncio.to_thread(self.find, key)) is not None:
            return found
        path = self._path(key)
        part = self._part(path)
        with told(key):
            await asyncio.to_thread(path.parent.mkdir, exist_ok=True, mode=0o700)
            try:
                await download(part)
                size = await asyncio.to_thread(_finish, part, path)
            finally:
                part.unlink(missing_ok=True)
        await asyncio.to_thread(self._grown, size)
        return path

    def _loaded(self, key: str, task: 'asyncio.Task[Path]') -> None:
        self._loading.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever waits is told; when nobody does any more, that is no fault

    def _path(self, key: str, piece: str = '') -> Path:
        # A key may be the beginning of another one, which no file can be of a folder.
        name = hashlib.sha256(key.encode()).hexdigest()
        return self._folder / name[:2] / f'{name[2:]}{piece}'

    def _part(self, path: Path) -> Path:
        return path.with_name(f'{uuid4().hex}.part')

    def _grown(self, size: int) -> None:
        with self._sweeping:
            self._used += size
            self._unseen += size
            # Others may share the folder, so what it holds is looked up now and then.
            if self._used > self._limit or self._unseen > self._limit // SLACK:
                self._sweep()

    def _sweep(self) -> None:
        found = sorted(self._copies())
        self._used, self._unseen = sum(size for _, size, _ in found), 0
        recent = time.time() - self._grace
        for stamp, size, path in found:
            if self._used <= self._limit:
                break
            lent = '.' not in path.name and stamp > recent
            if not lent and self._removed(path, stamp):
                self._used -= size

    def _removed(self, path: Path, stamp: float) -> bool:
        """Remove a copy and return True, unless somebody has asked for it since it had this stamp."""
        with self._alone(), suppress(FileNotFoundError):
            if path.stat().st_mtime != stamp:
                return False
            path.unlink()
        return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else lends or removes while the block lasts, no other process either; it is let go of by the dead."""
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _copies(self) -> Iterable[tuple[float, int, Path]]:
        for path in self._folder.glob('??/*'):
            if path.suffix != '.part':
                with suppress(FileNotFoundError):
                    stat = path.stat()
                    yield stat.st_mtime, stat.st_size, path

    def _remove_abandoned(self) -> None:
        """Remove what a process that died was writing."""
        for part in self._folder.glob('??/*.part'):
            with suppress(FileNotFoundError):
                if time.time() - part.stat().st_mtime > ABANDONED:
                    part.unlink()


def _finish(part: Path, path: Path) -> int:
    """Give a written file its name, and return its size; its bytes are on the disk first, whatever happens then."""
    descriptor = os.open(part, os.O_RDONLY)
    try:
        os.fchmod(descriptor, 0o444)
        os.fsync(descriptor)
        size = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    part.replace(path)
    return size
