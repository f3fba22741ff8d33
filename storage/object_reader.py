"""Reading objects of a store in pieces: the next ones are on their way while one is used, each asked for again."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import obstore
from obstore.store import ObjectStore as Store

from core.errors import Unavailable
from storage.object_faults import Patience


@dataclass(frozen=True, slots=True)
class Opened:
    """An object that is being read: its size, what was told of it when it was stored, and the first of its bytes."""

    size: int
    sha256: str | None
    first: bytes = field(repr=False)


class Reader:
    """Reads `store` as `patience` says, `piece` bytes a request, `ahead` requests at a time."""

    def __init__(self, store: Store, patience: Patience, *, piece: int, ahead: int) -> None:
        self._store = store
        self._patience = patience
        self._piece = piece
        self._ahead = ahead

    async def open(self, key: str) -> Opened:
        """Ask for an object. Raise NotFound when there is none."""

        async def ask() -> Opened:
            answer = await obstore.get_async(self._store, key)
            size, first = answer.meta['size'], b''
            async for piece in answer.stream(min_chunk_size=self._piece):
                first = bytes(piece)
                break
            return Opened(size, answer.attributes.get('sha256'), first)

        return await self._patience.ask(key, ask)

    async def pieces(self, key: str, opened: Opened) -> AsyncIterator[bytes]:
        """Yield the object in order; the next few requests are on their way while a piece is used."""
        ahead: deque[asyncio.Task[bytes]] = deque()
        try:
            yield opened.first
            for start in range(len(opened.first), opened.size, self._piece):
                ahead.append(asyncio.create_task(self.range(key, start, min(start + self._piece, opened.size))))
                if len(ahead) == self._ahead:
                    yield await ahead.popleft()
            while ahead:
                yield await ahead.popleft()
        finally:
            for task in ahead:
                task.cancel()
            await asyncio.gather(*ahead, return_exceptions=True)

    async def range(self, key: str, start: int, end: int) -> bytes:
        """Return the bytes from start to end."""

        async def ask() -> bytes:
            return _all(await obstore.get_range_async(self._store, key, start=start, end=end), end - start)

        return await self._patience.ask(key, ask)

    def range_blocking(self, key: str, start: int, end: int) -> bytes:
        """Do as `range` does, on a thread that may wait."""
        return self._patience.ask_blocking(
            key, lambda: _all(obstore.get_range(self._store, key, start=start, end=end), end - start)
        )

    async def size(self, key: str) -> int:
        """Return the size in bytes. Raise NotFound when there is no such object."""
        return (await self._patience.ask(key, lambda: obstore.head_async(self._store, key)))['size']


def _all(data: obstore.Bytes, size: int) -> bytes:
    if len(data) != size:
        raise Unavailable('The object store returned less than was asked for. Try again in a moment.')
    return bytes(data)
