"""What every Staging does at the end of an upload, wherever its bytes arrived."""

import asyncio
import hashlib
from contextlib import suppress
from pathlib import Path

from core.errors import Conflict, NotFound, TooLarge
from core.ports import ObjectStore
from core.values import ObjectInfo


async def store(objects: ObjectStore, key: str, path: Path) -> ObjectInfo:
    """Move a file to the object store under key, verified; one that holds the same already is left as it is.

    Raise Conflict when the key holds something else.
    """
    try:
        return await objects.put_file(key, path, move=True)
    except (Conflict, NotFound):
        # Somebody else accepts the same upload; when they are done, they discard its bytes under our hands.
        info = await stored(objects, key)
        with suppress(FileNotFoundError):
            if await asyncio.to_thread(_sha256, path) != info.sha256:
                raise
        return info


async def stored(objects: ObjectStore, key: str) -> ObjectInfo:
    """Return what the object store holds under the key of an upload. Raise NotFound when there is nothing."""
    try:
        pieces = await objects.stream(key)
    except NotFound as error:
        raise gone() from error
    digest, size = hashlib.sha256(), 0
    async for piece in pieces:
        await asyncio.to_thread(digest.update, piece)
        size += len(piece)
    return ObjectInfo(key=key, size=size, sha256=digest.hexdigest())


def _sha256(path: Path) -> str:
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def gone() -> NotFound:
    """Say that there is no such upload."""
    return NotFound('There is no such upload, or it was discarded. Drop the file again.')


def complete() -> Conflict:
    """Say that no more bytes are taken."""
    return Conflict('This upload is complete already.')


def misplaced(offset: int, *, arrived: int) -> Conflict:
    """Say that bytes are not the next ones."""
    return Conflict(f'{arrived} bytes have arrived, so the next one is not {offset}.', offset=arrived)


def too_many(limit: int) -> TooLarge:
    """Say that more bytes came than were announced."""
    return TooLarge(f'More than the announced {limit:,} bytes arrived. Upload the file anew.')
