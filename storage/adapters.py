"""Adapters for every port, each chosen by its own settings; `Opened` starts, connects and closes them."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from core.errors import Conflict, Misconfigured, Unavailable
from core.ports import Cache, Compute, Database, Events, Identity, ObjectStore, Staging
from core.services import Adapters
from core.settings import Settings, parse_bytes
from storage.cache import MemoryCache
from storage.embedded.compute import ChildProcesses
from storage.embedded.identity import EmbeddedIdentity
from storage.embedded.server import EmbeddedPostgres
from storage.embedded.staging import LocalStaging
from storage.events import PostgresEvents
from storage.installation import claim, compare, places
from storage.mail import open_mailer
from storage.migrate import migrate as apply_migrations
from storage.migrate import missing
from storage.objects import Objects, ObjectsAt
from storage.postgres import Postgres
from storage.queue import Queue
from storage.server import ServerPostgres

if TYPE_CHECKING:
    import httpx
    from pydantic import SecretStr

    from storage.cloud.realtime import RealtimeEvents
    from storage.redis import Redis, RedisEvents

PATIENCE = 30.0  # s to wait for a database that somebody else starts, or starts anew


class Opened:
    """The adapters of a process: `start` and `stop` block, `connect` and `close` belong to the event loop.

    With `attach`, the database that a running server owns is used; when none runs, it is started for our own duration,
    unless `own` is False: then its server is waited for, because a home that somebody else owns keeps that out.
    """

    def __init__(self, settings: Settings, *, attach: bool = False, own: bool = True) -> None:
        self._settings = settings
        self._attach = attach
        self._own = own
        self._server = _server(settings)
        self._redis = _redis(settings)
        self._http: httpx.AsyncClient | None = None
        self._closing: list[Callable[[], Awaitable[None]]] = []

    def start(self) -> None:
        """Run or find the database, and build the adapters. Raise Conflict when another server uses the home."""
        self.start_database()
        self.build()

    def start_database(self) -> None:
        """Run or find the database. Raise Conflict when another server uses the home, Unavailable when it is away."""
        try:
            if self._own:
                self._server.start()
            else:
                self._server.attach(patience=PATIENCE)
        except Conflict:
            if not self._attach:
                raise
            self._server.attach()

    def build(self) -> None:
        """Make an adapter for each port; none of them asks its service yet."""
        settings, worker = self._settings, self._server.dsn('worker')
        self.database = Postgres(self._server.pooled('app'), self._server.pooled('worker'), pooled=self._server.pooling)
        objects, queue = Objects.of(settings), Queue(self.database, worker)
        compute = _compute(settings, objects)
        self.ports = Adapters(
            database=self.database,
            queue=queue,
            objects=objects,
            staging=self._staging(),
            compute=compute,
            events=self._events(PostgresEvents(self.database, worker)),
            cache=self._cache(),
            identity=self._identity(self.database),
        )
        self._closing += [compute.close, queue.close]

    async def connect(self) -> None:
        """Apply migrations and connect. On a server in production they are `variosync migrate`'s to apply.

        Raise Misconfigured when they are missing, or when objects or uploads of this database lie elsewhere.
        """
        if self._settings.database_url and self._settings.environment == 'production':
            await self._again(self._check_migrations)
        else:
            await self._again(self.migrate)
        await self._again(lambda: asyncio.to_thread(self._server.check_logins))
        await self.database.connect()
        if self._settings.database_url:
            await claim(self.database, places(self._settings))

    async def look(self) -> None:
        """Connect as `connect` does, but neither change a database that has an address of its own nor wait for it."""
        if self._settings.database_url is None:
            await self.connect()
            return
        await self._check_migrations()
        await asyncio.to_thread(self._server.check_logins)
        await self.database.connect()
        await compare(self.database, places(self._settings))

    async def _check_migrations(self) -> None:
        lacking = await missing(self._server.dsn('migrate'))
        if lacking:
            raise Misconfigured(f'The database lacks migrations from {lacking[0]} on: run `variosync migrate`.')

    async def _again(self, step: Callable[[], Awaitable[object]]) -> None:
        """Take a step, once more when the database went in it: one that has just answered may be starting anew."""
        try:
            await step()
        except Unavailable:
            await asyncio.to_thread(self._server.attach, patience=PATIENCE)
            await step()

    async def migrate(self) -> list[str]:
        """Apply the migrations that the database lacks and return their names."""
        shim = self._settings.supabase_url is None
        return await apply_migrations(self._server.dsn('migrate'), shim=shim, logins=self._server.logins())

    async def close(self) -> None:
        """Stop tasks and close connections."""
        for close in self._closing:
            await close()
        if self._redis is not None:
            await self._redis.close()
        if self._http is not None:
            await self._http.aclose()
        await self.database.close()

    @property
    def database_name(self) -> str:
        """What the database is and where, without secrets."""
        return self._server.name

    def dsn(self, role: Literal['app', 'worker', 'migrate']) -> str:
        """Return the database's address for a role; it holds a password."""
        return self._server.dsn(role)

    def stop(self) -> None:
        """Stop the database if it is ours."""
        self._server.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        try:
            await self.connect()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
        await asyncio.to_thread(self.stop)

    # one adapter a port

    def _identity(self, database: Database) -> Identity:
        settings = self._settings
        if settings.supabase_url is None:
            return EmbeddedIdentity(
                database, settings.home_path / 'secrets', mailer=open_mailer(settings), oidc=settings.oidc
            )
        from storage.cloud.identity import SupabaseIdentity

        return SupabaseIdentity(
            settings.supabase_url,
            publishable=_secret(settings.supabase_key),
            secret=_secret(settings.supabase_secret),
            http=self._shared_http(),
            providers=settings.providers,
        )

    def _staging(self) -> Staging:
        settings = self._settings
        if settings.supabase_url is None:
            return LocalStaging(settings.home_path / 'staging')
        from storage.cloud.staging import SupabaseStaging

        return SupabaseStaging(
            settings.supabase_url,
            secret=_secret(settings.supabase_secret),
            publishable=_secret(settings.supabase_key),
            bucket=settings.supabase_bucket,
            folder=settings.home_path / 'work',
            http=self._shared_http(),
            largest=parse_bytes(settings.max_upload),
        )

    def _cache(self) -> Cache:
        if self._redis is None:
            return MemoryCache()
        from storage.redis import RedisCache

        return RedisCache(self._redis)

    def _events(self, postgres: PostgresEvents) -> Events:
        events = self._chosen_events(postgres)
        self._closing.append(events.close)
        return events

    def _chosen_events(self, postgres: PostgresEvents) -> 'PostgresEvents | RedisEvents | RealtimeEvents':
        settings = self._settings
        if settings.events == 'realtime':
            from storage.cloud.realtime import RealtimeEvents

            return RealtimeEvents(
                settings.supabase_url or '',
                secret=_secret(settings.supabase_secret),
                publishable=_secret(settings.supabase_key),
            )
        if self._redis is None or settings.events == 'postgres':
            return postgres
        from storage.redis import RedisEvents

        return RedisEvents(self._redis, postgres)

    def _shared_http(self) -> 'httpx.AsyncClient':
        """One client for all that speaks to Supabase."""
        if self._http is None:
            import httpx

            self._http = httpx.AsyncClient(timeout=10, transport=httpx.AsyncHTTPTransport(retries=1))
        return self._http


def _server(settings: Settings) -> EmbeddedPostgres | ServerPostgres:
    """The Postgres of the settings. Raise Misconfigured when an address cannot work."""
    if settings.database_url is None:
        return EmbeddedPostgres(settings.home_path)
    pool = settings.database_pool_url
    return ServerPostgres(_secret(settings.database_url), _secret(pool) if pool else None)


def _redis(settings: Settings) -> 'Redis | None':
    """The Redis of the settings, not connected yet; without one its library is not loaded."""
    if settings.redis_url is None:
        return None
    from storage.redis import Redis

    return Redis(_secret(settings.redis_url))


def _compute(settings: Settings, objects: ObjectStore) -> Compute:
    memory, timeout = parse_bytes(settings.memory), settings.task_timeout
    if settings.modal_token_id is None:
        at = ObjectsAt.of(settings)
        return ChildProcesses(settings.home_path, objects=at, memory=memory, timeout=timeout)
    from storage.cloud.compute import ModalCompute

    return ModalCompute(
        settings.modal_app,
        environment=settings.modal_environment,
        token_id=_secret(settings.modal_token_id),
        token_secret=_secret(settings.modal_token_secret),
        objects=objects,
        memory=memory,
        timeout=timeout,
    )


def _secret(value: 'SecretStr | None') -> str:
    return value.get_secret_value() if value else ''


async def migrate(settings: Settings) -> list[str]:
    """Apply the migrations that the database lacks and return their names."""
    opened = Opened(settings, attach=True)
    await asyncio.to_thread(opened.start)
    try:
        return await opened.migrate()
    finally:
        await asyncio.to_thread(opened.stop)
