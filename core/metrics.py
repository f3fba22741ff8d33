"""Figures for monitoring that the database knows, so that what separate workers did is counted too."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from core.ports import Cache, Database
from core.values import Allowance, JobState

SETTLING = timedelta(minutes=1)
PAID = ('convert', 'forecast')
KINDS = (*PAID, 'score')
OPEN = tuple(state.value for state in JobState if not state.final)
ENDED = tuple(state.value for state in JobState if state.final)
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a scrape tells: open jobs as they are now, everything else since this process began."""

    jobs: Mapping[tuple[str, str], int]  # (state, kind)
    oldest: Mapping[str, float]  # state: seconds since the oldest job in it was recorded or started
    ended: Mapping[tuple[str, str], int]  # (kind, state)
    rows_converted: int
    forecast_seconds: float
    charged: Mapping[str, int]  # viewing | convert | forecast: seconds of hours
    cache: Mapping[str, int]  # hit | miss


class CountedCache:
    """A cache (`core.ports.Cache`) that counts which reads found something; loans are not counted."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self.hits = 0
        self.misses = 0

    async def ping(self) -> None:
        """Raise Unavailable when what processes share is away; this process goes on alone."""
        await self._cache.ping()

    async def get(self, key: str) -> bytes | None:
        """Return the value, or None when it is absent or expired."""
        value = await self._cache.get(key)
        if value is None:
            self.misses += 1
        else:
            self.hits += 1
        return value

    async def set(self, key: str, value: bytes, *, ttl: float) -> None:
        """Keep the value for `ttl` seconds at most."""
        await self._cache.set(key, value, ttl=ttl)

    async def delete(self, key: str) -> None:
        """Forget the value."""
        await self._cache.delete(key)

    async def hit(self, key: str, *, limit: int, window: float) -> Allowance:
        """Count one attempt and return what the limit leaves."""
        return await self._cache.hit(key, limit=limit, window=window)

    async def lend(self, key: str, load: Callable[[], Awaitable[bytes | None]], *, ttl: float) -> bytes | None:
        """Return what was loaded under this key within the last `ttl` seconds, else what `load` returns."""
        return await self._cache.lend(key, load, ttl=ttl)

    async def recall(self, keys: Iterable[str], *, ttl: float) -> None:
        """Return when no process is lent anything under these keys that was loaded before this call."""
        await self._cache.recall(keys, ttl=ttl)


class Metrics:
    """Reads the figures. Totals begin at 0 with this object and never fall, whatever is deleted meanwhile.

    Each read looks only at what came since the one before. What is younger than a minute is read again the next time,
    because the transaction of a row with an earlier time may not have ended yet; a job that is run again within that
    minute counts once.
    """

    def __init__(self, database: Database, *, cache: CountedCache, since: datetime | None = None) -> None:
        self._database = database
        self._cache = cache
        self._since = since or datetime.now(UTC)
        self._settled: Counter[Key] = Counter()
        self._told: dict[Key, float] = {}
        self._lock = asyncio.Lock()

    async def read(self) -> Figures:
        """Return the figures by one cheap statement. Raise Unavailable when the database does not answer."""
        async with self._lock:
            until = max(self._since, datetime.now(UTC) - SETTLING)
            async with self._database.system() as tx:
                rows = await tx.all('metrics_read', since=self._since, until=until)
            self._since = until
            now: dict[Key, float] = {}
            recent: Counter[Key] = Counter()
            for row in rows:
                key = (row['figure'], row['kind'], row['state'])
                if row['figure'] in ('open', 'oldest'):
                    now[key] = row['value']
                elif row['settled']:
                    self._settled[key] += row['value']
                else:
                    recent[key] += row['value']
            for key, value in (self._settled + recent).items():
                self._told[key] = max(value, self._told.get(key, 0.0))
            return self._figures(now)

    def _figures(self, now: Mapping[Key, float]) -> Figures:
        def value(figure: str, kind: str = '', state: str = '') -> float:
            key = (figure, kind, state)
            return now.get(key, self._told.get(key, 0.0))

        return Figures(
            jobs={(state, kind): int(value('open', kind, state)) for state in OPEN for kind in KINDS},
            oldest={state: value('oldest', state=state) for state in OPEN},
            ended={(kind, state): int(value('ended', kind, state)) for kind in KINDS for state in ENDED},
            rows_converted=int(value('rows')),
            forecast_seconds=value('forecast'),
            charged={kind: int(value('charged', kind)) for kind in ('viewing', *PAID)},
            cache={'hit': self._cache.hits, 'miss': self._cache.misses},
        )
