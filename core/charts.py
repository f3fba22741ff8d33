"""What charts show of datasets: a question to a version, answered in binary, asked once however many ask at a time."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

from core.analysis.query import Query, Stored, answer, encode
from core.errors import NotFound
from core.ports import Cache, ObjectStore
from core.values import Version

T = TypeVar('T')

AT_ONCE = 4
OPEN = 16  # versions of which the footers are kept
KEPT = 3600.0  # seconds that an answer is kept
MOST_SERIES = 20_000
MOST_LABELS = 1000


class Charts:
    """Answers questions to versions, which never change: from the cache, else from the files.

    It reads on threads of its own, beside those of `Datasets`: an export may take minutes, and charts must not wait for
    it. What is decoded is kept by `core.analysis.query.stored.BLOCKS`, which is bounded for all versions together.
    """

    def __init__(self, objects: ObjectStore, *, cache: Cache) -> None:
        self._objects = objects
        self._cache = cache
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix='charts')
        self._opening: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._open: OrderedDict[UUID, tuple[Sequence[Any], Stored]] = OrderedDict()
        self._asked: dict[str, asyncio.Task[bytes]] = {}

    async def answer(self, user_id: UUID, version: Version, query: Query) -> bytes:
        """Return the answer in the form of `core.analysis.query.wire`; UsageError for what the version cannot answer.

        Whoever asks the same at the same time waits for one reading.
        """
        if version.user_id != user_id:
            raise NotFound('There is no such version.')
        key = f'{user_id}/charts/{version.id}/{query.key}'
        if (kept := await self._cache.get(key)) is not None:
            return kept
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(self._find(key, version, query), name='answer a chart')
            task.add_done_callback(lambda done: self._answered(key, done))
        # A reader that leaves takes nothing away from the others.
        return await asyncio.shield(task)

    async def keys(self, user_id: UUID, version: Version) -> Mapping[str, Sequence[str]]:
        """Return what each key column holds, in order: MOST_LABELS of each at most, of the first MOST_SERIES series."""
        if version.user_id != user_id:
            raise NotFound('There is no such version.')
        stored = await self._stored(version)
        return await self._read(lambda: _values(stored))

    def close(self) -> None:
        """Begin nothing more; what is being read ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._open.clear()

    def _answered(self, key: str, task: 'asyncio.Task[bytes]') -> None:
        self._asked.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever still waits is told; when all have left, nobody needs to be

    async def _find(self, key: str, version: Version, query: Query) -> bytes:
        stored = await self._stored(version)
        found = await self._read(lambda: encode(answer(stored, query)))
        await self._cache.set(key, found, ttl=KEPT)
        return found

    async def _stored(self, version: Version) -> Stored:
        """The version's files, opened each time so that nobody takes them away, and their footers, read once."""
        names = [*version.parts, f'{version.prefix}/pyramid.parquet', f'{version.prefix}/series.parquet']
        opened = await self._objects.open(names)
        opening = self._opening.setdefault(version.id, asyncio.Lock())
        async with opening:
            paths, stored = self._open.get(version.id, (None, None))
            if stored is None or paths != opened.paths:
                *parts, pyramid, series = opened.paths
                manifest = version.manifest
                measures, keys = manifest['measures'], manifest['series'].get('columns') or ()
                stored = await self._read(
                    lambda: Stored(parts, pyramid, series, measures=measures, keys=keys, system=opened.files)
                )
                self._open[version.id] = opened.paths, stored
            self._open.move_to_end(version.id)
            while len(self._open) > OPEN:
                self._open.popitem(last=False)
            return stored

    async def _read(self, read: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, read)


def _values(stored: Stored) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {key: set() for key in stored.keys}
    for label in stored.labels[:MOST_SERIES] if stored.keys else ():
        for key, value in stored.key_values(label).items():
            found[key].add(value)
    return {key: sorted(values)[:MOST_LABELS] for key, values in found.items()}
