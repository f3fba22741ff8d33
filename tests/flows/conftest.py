"""The services over a real database, queue, object store and staging; compute is real unless a test scripts it."""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from core.accounts import Accounts
from core.dashboards import Dashboards
from core.datasets import Datasets
from core.forecasts import Forecasts
from core.hours import Hours
from core.jobs import Jobs
from core.notices import Notices
from core.ports import Cache, Compute
from core.removal import Removal
from core.settings import Issuer, Prices, Settings
from core.track import TrackRecord
from core.uploads import Uploads
from core.values import Dataset, Job, Upload, User
from storage.cache import MemoryCache
from storage.embedded.identity import EmbeddedIdentity
from storage.embedded.nursery import Nursery
from storage.embedded.server import EmbeddedPostgres
from storage.embedded.staging import LocalStaging
from storage.events import PostgresEvents
from storage.mail import open_mailer
from storage.objects import Objects, ObjectsAt
from storage.postgres import Postgres
from storage.queue import Queue
from tests.flows.again import ConvertingOnce

MEMORY = 2**30
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Product:
    """What `core.services` wires, in a folder of a test. Opening it again over the same folder is a restart."""

    def __init__(
        self,
        database: Postgres,
        postgres: EmbeddedPostgres,
        home: Path,
        compute: Compute | None,
        oidc: Mapping[str, Issuer] | None = None,
        nursery: Nursery | None = None,
    ) -> None:
        worker = postgres.dsn('worker')
        self.home = home
        self.settings = Settings(VARIOSYNC_HOME=home)
        self.database = database
        self.queue = Queue(database, worker)
        self.events = PostgresEvents(database, worker)
        self.objects = Objects.local(home / 'objects')
        self.staging = LocalStaging(home / 'staging')
        self.compute = compute or ConvertingOnce(
            home,
            objects=ObjectsAt(folder=str(home / 'objects')),
            memory=MEMORY,
            timeout=120,
            warm={},
            nursery=nursery,
        )
        self.notices = Notices(database, self.events)
        self.hours = Hours(database, events=self.events, notices=self.notices, prices=Prices(), trial_hours=2)
        self.cache = MemoryCache()
        self.dashboards = Dashboards(database, self.events)
        self.datasets = Datasets(database, objects=self.objects, events=self.events)
        self.uploads = Uploads(
            database,
            queue=self.queue,
            staging=self.staging,
            objects=self.objects,
            events=self.events,
            hours=self.hours,
            notices=self.notices,
            max_upload=2**20,
        )
        self.forecasts = Forecasts(
            database, queue=self.queue, objects=self.objects, events=self.events, hours=self.hours
        )
        self.track = TrackRecord(database, queue=self.queue)
        self.removal = Removal(database, objects=self.objects, events=self.events)
        self.jobs = Jobs(
            database,
            queue=self.queue,
            compute=self.compute,
            objects=self.objects,
            events=self.events,
            notices=self.notices,
            hours=self.hours,
            completions={
                'convert': self.track.after(self.uploads.converted),
                'forecast': self.track.after(self.forecasts.forecasted),
                'score': self.track.scored,
            },
            failures={'score': self.track.failed},
            preparations={'convert': self.uploads.prepared},
            memory=MEMORY,
            timeout=120,
        )
        self.identity = EmbeddedIdentity(
            database, home / 'secrets', mailer=open_mailer(self.settings), oidc=oidc or {}, hasher=CHEAP
        )
        self.accounts = self.accounts_with(MemoryCache(clock=lambda: 0.0))

    def accounts_with(self, cache: Cache) -> Accounts:
        """The accounts as a process sees them that has this cache."""
        return Accounts(
            self.database,
            self.identity,
            cache,
            objects=self.objects,
            staging=self.staging,
            events=self.events,
            hours=self.hours,
            notices=self.notices,
        )

    async def send(self, user: User, name: str, content: bytes, **into: Any) -> Upload:
        """Upload a file to its last byte."""
        upload = await self.uploads.begin_upload(user.id, name=name, size=len(content), **into)
        upload, _ = await self.uploads.append(user.id, upload.id, 0, pieces(content))
        return upload

    async def work_off(self, user: User) -> list[Job]:
        """Advance every open job of a user, and return them as they ended."""
        ids = [job.id for job in await self.jobs.running(user.id)]
        for job_id in ids:
            await self.jobs.advance(job_id)
        return [await self.jobs.get(user.id, job_id) for job_id in ids]

    async def bring(self, user: User, name: str, content: bytes, **into: Any) -> Dataset:
        """Upload a file and convert it."""
        upload = await self.send(user, name, content, **into)
        await self.work_off(user)
        assert upload.dataset_id is not None
        return await self.datasets.get(user.id, upload.dataset_id)

    async def close(self) -> None:
        await self.compute.close()
        await self.queue.close()
        await self.events.close()


async def pieces(content: bytes, *, size: int = 1000) -> AsyncIterator[bytes]:
    """A file as a browser sends it."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


@pytest.fixture
async def open_product(
    database: Postgres, postgres: EmbeddedPostgres, nursery: Nursery, tmp_path: Path
) -> AsyncIterator[Callable[..., Product]]:
    """Open the product, in the same home each time."""
    opened: list[Product] = []

    def make(compute: Compute | None = None, *, oidc: Mapping[str, Issuer] | None = None) -> Product:
        opened.append(Product(database, postgres, tmp_path, compute, oidc, nursery))
        return opened[-1]

    yield make
    for product in opened:
        await product.close()


@pytest.fixture
def product(open_product: Callable[..., Product]) -> Product:
    """The product with real child processes; the same file is converted once (`again.py`)."""
    return open_product()
