"""The cloud on loopback: every service that the settings can name, or the realest counterpart of it."""

import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from storage.objects import ObjectsAt
from tests.counterparts.moto import Moto
from tests.counterparts.postgres import Bouncer, server_postgres
from tests.counterparts.redis import RedisServer
from tests.e2e.server import FORKED, Server
from tests.fakes.modal import FakeModal
from tests.fakes.supabase import FakeSupabase

REDIS_PASSWORD = 'a password of Redis'


class Embedded(AbstractContextManager['Embedded']):
    """Where nothing is set: each server brings its own services along."""

    def __exit__(self, *_: object) -> None:
        return None

    def server(self, home: Path, **settings: str) -> Server:
        """A server over a home, not started yet."""
        return Server(home, command=FORKED, **settings)


class Cloud(AbstractContextManager['Cloud']):
    """Postgres shaped as Supabase shapes it, pgbouncer, Redis, S3, and the fakes of Supabase and of Modal."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.settings: Mapping[str, str] = {}

    def server(self, home: Path, **settings: str) -> Server:
        """A server that uses these services, not started yet; what it runs itself imports no model library."""
        return Server(home, command=self.program('serve'), **(dict(self.settings) | settings))

    def program(self, verb: str) -> tuple[str, ...]:
        """The command line of `variosync VERB` with the fake of Modal in its place, forked (`Server.command`)."""
        return ('forked with the fake of Modal', '--state', str(self._state), verb)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix='vs-cloud-')))
            self._state = folder / 'modal'
            self.postgres = stack.enter_context(server_postgres(shape='supabase'))
            bouncer = stack.enter_context(Bouncer(self.postgres))
            self.redis = stack.enter_context(RedisServer(password=REDIS_PASSWORD))
            objects = _variables(stack.enter_context(Moto()).make(f'objects-{uuid4().hex[:8]}'))
            self.supabase = supabase = stack.enter_context(FakeSupabase())
            self.settings = {
                'DATABASE_URL': self.postgres.url,
                'DATABASE_POOL_URL': bouncer.url,
                'REDIS_URL': self.redis.url,
                'SUPABASE_URL': supabase.url,
                'SUPABASE_PUBLISHABLE_KEY': supabase.project.publishable,
                'SUPABASE_SECRET_KEY': supabase.project.secret,
                **objects,
                'MODAL_TOKEN_ID': 'ak-counterpart',
                'MODAL_TOKEN_SECRET': 'as-counterpart',
            }
            self.modal = stack.enter_context(
                FakeModal(self._state).working(env=objects | {'VARIOSYNC_HOME': str(folder / 'work')})
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


PLACES = {'embedded': Embedded, 'cloud': Cloud}


def _variables(at: ObjectsAt) -> dict[str, str]:
    return {
        'AWS_BUCKET_NAME': at.bucket or '',
        'AWS_ENDPOINT_URL': at.endpoint or '',
        'AWS_REGION': at.region,
        'AWS_ACCESS_KEY_ID': at.key or '',
        'AWS_SECRET_ACCESS_KEY': at.secret or '',
    }
