"""The page of a dataset while what is stored is out of reach."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from nicegui.testing import user_simulation

from core.analysis.ingest import Options, convert
from core.analysis.tables import Page
from core.errors import Unavailable
from core.settings import Settings
from core.values import Dataset, Job, Version, VersionSummary
from tests.ui import doubles
from tests.ui.doubles import summary
from ui.app import mount
from ui.session import COOKIE

AIR = Path(__file__).parents[1] / 'data' / 'air_passengers.csv'
AWAY = 'The object store does not answer.'


class Datasets(doubles.Datasets):
    """One dataset, whose rows are read when the object store answers."""

    def __init__(self, version: Version) -> None:
        super().__init__()
        self.only = version
        self.away = True

    async def get(self, user_id: UUID, dataset_id: UUID) -> Dataset:
        return next(dataset for dataset in self.kept if dataset.id == dataset_id)

    async def version(self, user_id: UUID, dataset_id: UUID, number: int | None = None) -> Version:
        return self.only

    async def versions(self, user_id: UUID, dataset_id: UUID) -> Sequence[VersionSummary]:
        return [summary(self.only)]

    async def first_told(self, user_id: UUID, version: Version) -> int | None:
        return None

    async def faults(self, user_id: UUID, version: Version, **_: Any) -> Page:
        if self.away:
            raise Unavailable(AWAY)
        return Page(columns=['line'], rows=[], offset=0, total=0)

    async def preview(self, user_id: UUID, version: Version, *, offset: int, limit: int, **_: Any) -> Page:
        await self.faults(user_id, version)
        rows = [[place] for place in range(offset, min(offset + limit, 144))]
        return Page(columns=['_line'], rows=rows, offset=offset, total=144)


class Demo:
    async def saw_faults(self, user_id: UUID, dataset_id: UUID) -> None:
        raise AssertionError('nobody opened the faults')


class Jobs:
    async def last(self, user_id: UUID, dataset_id: UUID, kind: str) -> Job | None:
        return None


@pytest.mark.parametrize('tab', ['overview', 'rows'])
async def test_a_page_stands_while_what_is_stored_is_out_of_reach(tab: str, tmp_path: Path) -> None:
    manifest = convert(AIR, name=AIR.name, into=tmp_path, options=Options(), progress=lambda part, text: None)
    async with user_simulation() as user:
        services: Any = doubles.Services(Settings(VARIOSYNC_PUBLIC_URL='http://test'))
        token, session = services.accounts.open('maria.keller@example.com')
        owner = session.user.id
        version = Version(
            id=uuid4(), dataset_id=uuid4(), user_id=owner, number=1, prefix='t/air', manifest=manifest.to_json(),
            rows=144, upload_id=uuid4(), created_at=datetime.now(UTC),
        )  # fmt: skip
        services.datasets, services.jobs, services.demo = Datasets(version), Jobs(), Demo()
        data = services.datasets.add(owner, 'air passengers', 144)
        mount(services)
        user.http_client.cookies.set(COOKIE, token)

        await user.open(f'/datasets/{data.id}?tab={tab}')
        await user.should_see('144 rows', retries=1)
        await user.should_see('What is stored is out of reach')
        await user.should_see(AWAY)

        services.datasets.away = False
        await user.open(f'/datasets/{data.id}?tab={tab}')
        await user.should_not_see('What is stored is out of reach')

        await user.open(f'/datasets/{data.id}?tab=rows&page=951')
        await user.should_see('101 to 144 of 144')
