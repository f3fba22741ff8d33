"""What charts show of datasets: a question to a version, answered in binary, asked once however many ask at a time."""

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

from core.analysis import query as queries
from core.analysis.query import Query
from core.errors import NotFound, TooMany
from core.ports import Cache, ObjectStore
from core.values import Version

if TYPE_CHECKING:
    from core.analysis.query import Stored
    from core.analysis.query.marks import Marks

T = TypeVar('T')

AT_ONCE = 4
A_USER = 2  # of them, so that others always find a thread
WAITING = 100  # questions of a user that wait for a thread: more than a dashboard has panels
OPEN = 16  # versions of which the footers are kept
OPEN_BYTES = 256 * 2**20  # that they take together; the one used last is kept whatever it takes
MOST_KEPT = 2**20  # bytes of an answer that is kept: greater ones would push out those of others
KEPT = 3600.0  # seconds that an answer is kept
GIVEN_UP = 1000  # versions of which it is known that their faults are not found in time
MOST_SERIES = 20_000
MOST_LABELS = 1000


@dataclass(slots=True, weakref_slot=True, eq=False)
class _Lane:
    """The threads that one user may hold, and how many questions wait for them; apart from these, for faults."""

    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(A_USER))
    waiting: int = 0
    seeking: asyncio.Lock = field(default_factory=asyncio.Lock)
    unmarked: int = 0


@dataclass(slots=True, eq=False)
class _Asked:
    """A question on its way: who waits for it, and whether its reading has begun."""

    task: 'asyncio.Task[bytes] | None' = None
    askers: int = 0
    begun: bool = False


class Charts:
    """Answers questions to versions, which never change: from the cache, else from the files.

    It reads on threads of its own, beside those of `Datasets`: an export may take minutes, and charts must not wait for
    it. What is decoded is kept by `core.analysis.query.row_groups.BLOCKS`, which is bounded for all versions together.
    Faults are sought on one more thread, of one version after the other and of each user's in turn: no line waits for
    them. Whoever asks meanwhile waits for the same search, which goes on when all have left.
    """

    def __init__(self, objects: ObjectStore, *, cache: Cache) -> None:
        self._objects = objects
        self._cache = cache
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix='charts')
        self._seeker = ThreadPoolExecutor(1, thread_name_prefix='faults')
        self._sought: dict[UUID, asyncio.Task[Marks | None]] = {}
        self._given_up: OrderedDict[UUID, Marks] = OrderedDict()
        self._opening: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._open: OrderedDict[UUID, tuple[Sequence[Any], Stored]] = OrderedDict()
        self._asked: dict[str, _Asked] = {}
        self._lanes: WeakValueDictionary[UUID, _Lane] = WeakValueDictionary()

    async def answer(self, user_id: UUID, version: Version, query: Query) -> bytes:
        """Return the answer in the form of `core.analysis.query.wire`; UsageError for what the version cannot answer.

        Whoever asks the same at the same time waits for one reading. TooMany when too many questions of a user wait.
        A question whose askers have all left is dropped unless its reading has begun.
        """
        if version.user_id != user_id:
            raise NotFound('There is no such version.')
        key = f'{user_id}/charts/{version.id}/{query.key}'
        if (kept := await self._cache.get(key)) is not None:
            return kept
        asked = self._asked.get(key)
        if asked is None or asked.task is None:
            asked = self._asked[key] = _Asked()
            asked.task = asyncio.create_task(self._find(asked, key, version, query), name='answer a chart')
            asked.task.add_done_callback(lambda done: self._answered(key, done))
        asked.askers += 1
        try:
            # A reader that leaves takes nothing away from the others.
            return await asyncio.shield(asked.task)
        finally:
            asked.askers -= 1
            if not asked.askers and not asked.begun and self._asked.get(key) is asked:
                del self._asked[key]
                asked.task.cancel()

    async def keys(self, user_id: UUID, version: Version) -> Mapping[str, Sequence[str]]:
        """Return what each key column holds, in order: MOST_LABELS of each at most, of the first MOST_SERIES series."""
        if version.user_id != user_id:
            raise NotFound('There is no such version.')
        key = f'{user_id}/charts/{version.id}/keys'
        if (kept := await self._cache.get(key)) is not None:
            return dict(json.loads(kept))
        async with self._turn(user_id):
            stored = await self._stored(version)
            told = await self._read(lambda: json.dumps(_values(stored)).encode())
        await self._keep(key, told)
        return dict(json.loads(told))

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._seeker.shutdown(wait=False, cancel_futures=True)
        self._open.clear()

    def _answered(self, key: str, task: 'asyncio.Task[bytes]') -> None:
        if (asked := self._asked.get(key)) is not None and asked.task is task:
            del self._asked[key]
        if not task.cancelled():
            task.exception()  # whoever still waits is told; when all have left, nobody needs to be

    async def _find(self, asked: _Asked, key: str, version: Version, query: Query) -> bytes:
        def read() -> bytes:
            asked.begun = True
            return queries.encode(queries.answer(stored, query))

        known = await self._marks(version) if query.kind == 'marks' else None
        async with self._turn(version.user_id):
            stored = await self._stored(version)
            self._mark(stored, known)
            found = await self._read(read)
        await self._keep(key, found)
        return found

    async def _keep(self, key: str, found: bytes) -> None:
        if len(found) <= MOST_KEPT:
            await self._cache.set(key, found, ttl=KEPT)

    @asynccontextmanager
    async def _turn(self, user_id: UUID) -> AsyncIterator[None]:
        """One of the threads that a user may hold; TooMany when very many questions wait for them already."""
        lane = self._lanes.setdefault(user_id, _Lane())
        if lane.waiting >= WAITING:
            raise TooMany('Too many charts wait to be drawn. Wait until some are there, then try again.')
        lane.waiting += 1
        try:
            await lane.turns.acquire()
        finally:
            lane.waiting -= 1
        try:
            yield
        finally:
            lane.turns.release()

    async def _stored(self, version: Version) -> 'Stored':
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
                    lambda: queries.Stored(parts, pyramid, series, measures=measures, keys=keys, system=opened.files)
                )
                self._open[version.id] = opened.paths, stored
            self._open.move_to_end(version.id)
            self._let_go()
            return stored

    async def _marks(self, version: Version) -> 'Marks | None':
        """The faults of a version among its rows, None when it has none; sought once, however many ask or leave."""
        from core.analysis.query import marks

        if not marks.files(version.manifest):
            return None
        if (given_up := self._given_up.get(version.id)) is not None:
            return given_up
        _, stored = self._open.get(version.id, (None, None))
        if stored is not None and stored.marks is not None:
            return stored.marks
        lane = self._lanes.setdefault(version.user_id, _Lane())
        if lane.unmarked >= WAITING:
            raise TooMany('Too many charts wait for their faults. Wait until some are there, then try again.')
        if (task := self._sought.get(version.id)) is None:
            task = self._sought[version.id] = asyncio.create_task(self._seek(version, lane), name='seek faults')
            task.add_done_callback(lambda done: self._found(version.id, done))
        lane.unmarked += 1
        try:
            return await asyncio.shield(task)
        finally:
            lane.unmarked -= 1

    async def _seek(self, version: Version, lane: _Lane) -> 'Marks | None':
        from core.analysis.query import marks

        async with lane.seeking:  # so those of other users come between
            stored = await self._stored(version)
            folder, faults = version.prefix.rpartition('/')[0], []
            for place, origin in marks.files(version.manifest):
                prefix = f'{folder}/{origin}' if origin else version.prefix
                with suppress(NotFound):  # an earlier version's, which may be gone
                    path = await self._objects.fetch(f'{prefix}/faults.parquet')
                    faults.append(marks.Faults(place=place, path=path, origin=origin))
            if not faults:
                return None
            opened = await self._objects.open(version.parts)
            manifest, system = version.manifest, opened.files
            found = await asyncio.get_running_loop().run_in_executor(
                self._seeker,
                lambda: marks.read(
                    opened.paths, faults, manifest, holds=lambda label: stored.count(label) > 0, system=system
                ),
            )
        if found.given_up:
            self._given_up[version.id] = found
            while len(self._given_up) > GIVEN_UP:
                self._given_up.popitem(last=False)
        self._mark(stored, found)
        return found

    def _found(self, version_id: UUID, task: 'asyncio.Task[Marks | None]') -> None:
        del self._sought[version_id]
        if not task.cancelled():
            task.exception()  # whoever waits is told

    def _mark(self, stored: 'Stored', found: 'Marks | None') -> None:
        """Keep the faults of a version with what else is open of it."""
        if found is not None and stored.marks is None:
            stored.marks = found
            stored.nbytes += found.nbytes
            self._let_go()

    def _let_go(self) -> None:
        """Close the versions not used for longest, until the others are few and take little memory."""
        size = sum(stored.nbytes for _, stored in self._open.values())
        while len(self._open) > OPEN or (size > OPEN_BYTES and len(self._open) > 1):
            size -= self._open.popitem(last=False)[1][1].nbytes

    async def _read(self, read: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, read)


def _values(stored: 'Stored') -> dict[str, list[str]]:
    found: dict[str, set[str]] = {key: set() for key in stored.keys}
    for label in stored.labels[:MOST_SERIES] if stored.keys else ():
        for key, value in stored.key_values(label).items():
            found[key].add(value)
    return {key: sorted(values)[:MOST_LABELS] for key, values in found.items()}
