"""The Cache port inside this process: bounded, forgetful, gone at a restart."""

import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable

from core.values import Allowance


class MemoryCache:
    """Values and limits in memory (`core.ports.Cache`).

    At most `size` bytes of values are kept, the least recently used go first. Limits are counted apart, for at most
    `counters` keys, so that no flood of values can wipe them out; the counter that was idle longest goes first.
    """

    def __init__(
        self, *, size: int = 64 * 2**20, counters: int = 100_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._size = size
        self._counters = counters
        self._clock = clock
        self._values: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._held = 0
        self._hits: OrderedDict[str, deque[float]] = OrderedDict()

    async def ping(self) -> None:
        """Nothing is shared, so nothing is away."""

    async def get(self, key: str) -> bytes | None:
        """Return the value, or None when it is absent or expired."""
        until, value = self._values.get(key, (0.0, None))
        if value is None:
            return None
        if self._clock() >= until:
            self._forget(key)
            return None
        self._values.move_to_end(key)
        return value

    async def set(self, key: str, value: bytes, *, ttl: float) -> None:
        """Keep the value for `ttl` seconds at most; one that takes more than the whole cache is not kept."""
        self._forget(key)
        if ttl <= 0 or len(value) + len(key) > self._size:
            return
        self._values[key] = (self._clock() + ttl, value)
        self._held += len(key) + len(value)
        while self._held > self._size:
            self._forget(next(iter(self._values)))

    async def delete(self, key: str) -> None:
        """Forget the value."""
        self._forget(key)

    async def hit(self, key: str, *, limit: int, window: float) -> Allowance:
        """Count one attempt and say what is left; `wait` is 0 while at most `limit` fell within `window` seconds.

        A refused attempt does not count, so that the wait ends for who keeps trying.
        """
        now = self._clock()
        hits = self._hits.setdefault(key, deque())
        self._hits.move_to_end(key)
        while len(self._hits) > self._counters:
            self._hits.popitem(last=False)
        while hits and hits[0] <= now - window:
            hits.popleft()
        allowed = len(hits) < limit
        if allowed:
            hits.append(now)
        first, last = (hits[0], hits[-1]) if hits else (now, now)  # none at all: a limit of 0
        return Allowance(
            limit=limit,
            remaining=max(0, limit - len(hits)),
            reset=last + window - now,
            # Never 0 by rounding, which would say that the attempt was allowed.
            wait=0.0 if allowed else max(0.001, first + window - now),
        )

    async def lend(self, key: str, load: Callable[[], Awaitable[bytes | None]], *, ttl: float) -> bytes | None:
        """Return what `load` returns: what is kept here, another process could not recall."""
        return await load()

    async def recall(self, keys: Iterable[str], *, ttl: float) -> None:
        """Nothing is ever lent."""

    def _forget(self, key: str) -> None:
        _, value = self._values.pop(key, (0.0, None))
        if value is not None:
            self._held -= len(key) + len(value)
