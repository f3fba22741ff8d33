"""Adapters for every port. `Opened` chooses them by the settings; today all of them are embedded."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from core.errors import Conflict, Misconfigured, VariosyncError
from core.ports import Cache, Compute
from core.services import Adapters
from core.settings import Settings, parse_bytes
from storage.cache import MemoryCache
from storage.embedded.compute import ChildProcesses, run_local
from storage.embedded.identity import EmbeddedIdentity
from storage.embedded.server import EmbeddedPostgres
from storage.embedded.staging import LocalStaging
from storage.events import PostgresEvents
from storage.installation import claim, places
from storage.mail import open_mailer, read_outbox
from storage.migrate import migrate as apply_migrations
from storage.migrate import missing
from storage.objects import Objects, ObjectsAt
from storage.postgres import Postgres
from storage.queue import Queue
from storage.server import ServerPostgres

if TYPE_CHECKING:
    from storage.redis import Redis, RedisEvents

PATIENCE = 30.0  # of a worker for the server that owns its database

__all__ = ['Opened', 'bucket_init', 'doctor', 'migrate', 'read_outbox', 'run_local']


class Opened:
    """The adapters of a process: `start` and `stop` block, `connect` and `close` belong to the event loop.

    With `attach`, the database that a running server owns is used; when none runs, it is started for our own duration,
    unless `own` is False: then its server is waited for, because a home that somebody else owns keeps that out.
    """

    def __init__(self, settings: Settings, *, attach: bool = False, own: bool = True) -> None:
        self._settings = settings
        self._home = settings.home_path
        self._memory = parse_bytes(settings.memory)
        self._timeout = settings.task_timeout
        self._redis = _redis(settings)
        self._events = settings.events
        self._attach = attach
        self._own = own
        self._server = _server(settings)

    def start(self) -> None:
        """Run or find the database, and build the adapters. Raise Conflict when another server uses the home."""
        try:
            if self._own:
                self._server.start()
            else:
                self._server.attach(patience=PATIENCE)
        except Conflict:
            if not self._attach:
                raise
            self._server.attach()
        worker = self._server.dsn('worker')
        self.database = Postgres(self._server.pooled('app'), self._server.pooled('worker'), pooled=self._server.pooling)
        self.objects = Objects.local(self._home / 'objects')
        self.cache, self.events = self._shared(PostgresEvents(self.database, worker))
        self.queue = Queue(self.database, worker)
        self.compute = self._compute()
        self.ports = Adapters(
            database=self.database,
            queue=self.queue,
            objects=self.objects,
            staging=LocalStaging(self._home / 'staging'),
            compute=self.compute,
            events=self.events,
            cache=self.cache,
            identity=EmbeddedIdentity(
                self.database, self._home / 'secrets', mailer=open_mailer(self._settings), oidc=self._settings.oidc
            ),
        )

    def _compute(self) -> Compute:
        """What runs tasks: functions at Modal when there is a token, else processes of this machine."""
        token_id, token_secret = self._settings.modal_token_id, self._settings.modal_token_secret
        if token_id is None or token_secret is None:
            return ChildProcesses(
                self._home,
                objects=ObjectsAt(folder=str(self._home / 'objects')),
                memory=self._memory,
                timeout=self._timeout,
            )
        from storage.cloud.compute import ModalCompute

        return ModalCompute(
            self._settings.modal_app,
            environment=self._settings.modal_environment,
            token_id=token_id.get_secret_value(),
            token_secret=token_secret.get_secret_value(),
            objects=self.objects,
            memory=self._memory,
            timeout=self._timeout,
        )

    def _shared(self, postgres: PostgresEvents) -> tuple[Cache, 'PostgresEvents | RedisEvents']:
        """What processes share beside the database: cache and messages."""
        if self._redis is None:
            return MemoryCache(), postgres
        from storage.redis import RedisCache, RedisEvents

        by_redis = self._events in ('auto', 'redis')
        return RedisCache(self._redis), RedisEvents(self._redis, postgres) if by_redis else postgres

    async def connect(self) -> None:
        """Apply migrations and connect. On a server in production they are `variosync migrate`'s to apply.

        Raise Misconfigured when they are missing, or when objects or uploads of this database lie elsewhere.
        """
        if self._settings.database_url and self._settings.environment == 'production':
            lacking = await missing(self._server.dsn('migrate'))
            if lacking:
                raise Misconfigured(f'The database lacks migrations from {lacking[0]} on: run `variosync migrate`.')
        else:
            await self.migrate()
        await asyncio.to_thread(self._server.check_logins)
        await self.database.connect()
        if self._settings.database_url:
            await claim(self.database, places(self._settings))

    async def migrate(self) -> list[str]:
        """Apply the migrations that the database lacks and return their names."""
        shim = self._settings.supabase_url is None
        return await apply_migrations(self._server.dsn('migrate'), shim=shim, logins=self._server.logins())

    async def close(self) -> None:
        """Stop tasks and close connections."""
        await self.compute.close()
        await self.queue.close()
        await self.events.close()
        if self._redis is not None:
            await self._redis.close()
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


def _server(settings: Settings) -> EmbeddedPostgres | ServerPostgres:
    """The Postgres of the settings. Raise Misconfigured when an address cannot work."""
    if settings.database_url is None:
        return EmbeddedPostgres(settings.home_path)
    pool = settings.database_pool_url
    return ServerPostgres(settings.database_url.get_secret_value(), pool.get_secret_value() if pool else None)


def _redis(settings: Settings) -> 'Redis | None':
    """The Redis of the settings, not connected yet; without one its library is not loaded."""
    if settings.redis_url is None:
        return None
    from storage.redis import Redis

    return Redis(settings.redis_url.get_secret_value())


async def migrate(settings: Settings) -> list[str]:
    """Apply the migrations that the database lacks and return their names."""
    opened = Opened(settings, attach=True)
    await asyncio.to_thread(opened.start)
    try:
        return await opened.migrate()
    finally:
        await asyncio.to_thread(opened.stop)


def bucket_init(settings: Settings) -> list[str]:
    """Make the bucket that the settings name and set it up; return a line for each thing that was done."""
    from storage import bucket

    return bucket.init(settings)


async def doctor(settings: Settings) -> Mapping[str, tuple[str, str]]:
    """Try each adapter for real: name → (adapter, `ok` or what is wrong)."""
    async with Opened(settings, attach=True) as opened:
        ports = opened.ports

        async def database() -> None:
            await ports.database.ping()
            await opened.database.examine()

        async def compute() -> None:
            call = await ports.compute.submit('ping', {})
            while await ports.compute.collect(call, progress=lambda part, text: None, timeout=30) is None:
                pass

        async def events() -> None:
            async with ports.events.subscribe('doctor/ping') as messages:
                await ports.events.publish('doctor/ping', {'ok': True})
                async with asyncio.timeout(5):
                    await anext(messages)

        checks = {
            'database': (opened.database_name, database),
            'objects': ('local files', ports.objects.ping),
            'cache': ('Redis' if settings.redis_url else 'in process', ports.cache.ping),
            'events': (
                'Postgres LISTEN/NOTIFY' if isinstance(opened.events, PostgresEvents) else 'Redis over Postgres',
                events,
            ),
            'compute': ('Modal' if opened.compute.durable else 'local child processes', compute),
        }
        answers = {}
        for name, (kind, check) in checks.items():
            try:
                await check()
            except VariosyncError as error:
                answers[name] = (kind, error.message)
            except TimeoutError:
                answers[name] = (kind, 'did not answer within 5 s')
            else:
                answers[name] = (kind, 'ok')
        return answers
