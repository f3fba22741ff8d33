"""Uploads on their way in, as files of this machine: appended in order, on disk before they are acknowledged."""

import asyncio
import errno
import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import AsyncIterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

from core.errors import Conflict, Unavailable
from core.ports import ObjectStore
from core.values import Direct, ObjectInfo
from storage.disk import to_disk
from storage.staging import complete, gone, misplaced, store, stored, too_many

BATCH = 2**20
TURN = 0.2  # seconds that another process may take to close an upload


class LocalStaging:
    """Staging in a folder (`core.ports.Staging`). An upload is one file; its size is the offset.

    A complete upload is renamed before it moves to the object store, so that nothing can be appended any more, and
    keeps that name until `discard`, so that a crash on the way leaves enough to accept it again.
    """

    origins: Sequence[str] = ()

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._renaming = threading.Lock()

    async def create(self, upload_id: UUID) -> None:
        """Begin an empty upload. Beginning it twice changes nothing."""
        with _told():
            await asyncio.to_thread(self._create, upload_id)

    async def direct(self, upload_id: UUID, size: int) -> Direct | None:
        """Return None: bytes come by `append` only."""
        return None

    async def offset(self, upload_id: UUID) -> int:
        """Return how many bytes have arrived. Raise NotFound when the upload was never begun or is gone."""
        for path in (self._whole(upload_id), self._open(upload_id)):
            if path.exists():
                return path.stat().st_size
        raise gone()

    async def append(self, upload_id: UUID, offset: int, pieces: AsyncIterable[bytes], *, limit: int) -> int:
        """Append from `offset` up to `limit` bytes in all; return the new offset. What arrived is kept in any case.

        Raise Conflict for another offset, while somebody else appends and when the upload is complete already;
        TooLarge for bytes past the limit, of which none is kept.
        """
        if self._whole(upload_id).exists():
            raise complete()
        writer = _Writer(self._open(upload_id), offset)
        try:
            with _told():
                await asyncio.to_thread(writer.open)
            await _write(writer, pieces, limit)
        finally:
            with _told():
                # Shielded: a sender that breaks off cancels us, and its bytes are to be kept all the same.
                await asyncio.shield(asyncio.to_thread(writer.close))
        return writer.offset

    async def accept(self, upload_id: UUID, objects: ObjectStore, key: str) -> ObjectInfo:
        """Move the bytes to the object store under key, verified. Accepting again returns the same.

        Raise NotFound for an unknown upload, Conflict while somebody appends or when the key holds something else.
        """
        with _told():
            moving = await asyncio.to_thread(self._second_name, upload_id)
        if moving is None:
            return await stored(objects, key)
        try:
            return await store(objects, key, moving)
        finally:
            await asyncio.to_thread(moving.unlink, missing_ok=True)

    async def discard(self, upload_id: UUID) -> None:
        """Forget the bytes. Discarding twice changes nothing."""
        with _told():
            await asyncio.to_thread(self._remove, upload_id)

    def _open(self, upload_id: UUID) -> Path:
        return self._folder / str(upload_id)

    def _whole(self, upload_id: UUID) -> Path:
        return self._folder / f'{upload_id}.whole'

    def _create(self, upload_id: UUID) -> None:
        if not self._whole(upload_id).exists():
            self._open(upload_id).touch(mode=0o600)
            to_disk(self._folder)

    def _second_name(self, upload_id: UUID) -> Path | None:
        """Close the upload to further bytes and return another name of its file, or None when the bytes are gone.

        The first name stays until `discard`: a crash after the move leaves the upload complete, not lost.
        """
        path, whole = self._open(upload_id), self._whole(upload_id)
        with self._renaming:
            until = time.monotonic() + TURN
            # Another process may be closing it at this moment.
            while path.exists() and not whole.exists() and not self._close(path, whole, last=time.monotonic() > until):
                time.sleep(0.005)
        moving = self._folder / f'{upload_id}.{uuid4().hex}'
        try:
            os.link(whole, moving)
        except FileNotFoundError:
            return None
        return moving

    def _close(self, path: Path, whole: Path, *, last: bool) -> bool:
        """Rename an upload's file, unless somebody else holds it; the `last` try says so by its error."""
        try:
            writer = _Writer(path, path.stat().st_size)
            try:
                writer.open()
                path.rename(whole)
                to_disk(self._folder)
            finally:
                writer.close()
        except (Conflict, FileNotFoundError):
            if last:
                raise
            return False
        return True

    def _remove(self, upload_id: UUID) -> None:
        for path in self._folder.glob(f'{upload_id}*'):
            path.unlink(missing_ok=True)


async def _write(writer: '_Writer', pieces: AsyncIterable[bytes], limit: int) -> None:
    async for piece in pieces:
        room = limit - writer.offset
        if writer.add(piece[:room]):
            with _told():
                await asyncio.to_thread(writer.flush)
        if len(piece) > room:
            raise too_many(limit)


class _Writer:
    """The one writer of an upload's file. `open`, `flush` and `close` block; they may run on any thread.

    Each may still be running when its caller is cancelled, so they take turns and `close` has the last word.
    """

    def __init__(self, path: Path, offset: int) -> None:
        self.offset = offset
        self._path = path
        self._file: int | None = None
        self._closed = False
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._lock = threading.Lock()

    def open(self) -> None:
        """Take the file for ourselves. Raise NotFound, or Conflict when it is taken or has another size."""
        with self._lock:
            if self._closed:
                return
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Conflict('Another request is sending this upload. Try again when it has ended.') from error
            if not self._path.exists():
                raise complete()
            if (size := os.fstat(self._file).st_size) != self.offset:
                raise misplaced(self.offset, arrived=size)

    def add(self, piece: bytes) -> bool:
        """Take a piece; return whether enough wait to be flushed."""
        self._waiting.append(piece)
        self._size += len(piece)
        self.offset += len(piece)
        return self._size >= BATCH

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            if self._file is not None:
                self._write(self._file)

    def close(self) -> None:
        """Write what waits, bring it to the disk and let the next writer in."""
        with self._lock:
            self._closed = True
            if self._file is None:
                return
            try:
                if self._waiting:
                    self._write(self._file)
                os.fsync(self._file)
            finally:
                os.close(self._file)
                self._file = None

    def _write(self, file: int) -> None:
        while self._waiting:
            piece = memoryview(self._waiting.popleft())
            self._size -= len(piece)
            try:
                while piece:
                    piece = piece[os.write(file, piece) :]
            except OSError:
                self._waiting.clear()  # what follows a gap is not the upload
                raise


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unavailable('No space is left for uploads. Free some on the server, then resume.') from error
        if isinstance(error, FileNotFoundError):
            raise gone() from error
        raise Unavailable('The upload folder cannot be used. Look at its permissions on the server.') from error
