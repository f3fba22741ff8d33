"""Charts, pages and exports of a dataset in a bucket are those of local files, however it is read."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from obstore.store import MemoryStore

from core.analysis.ingest import Options, convert
from core.analysis.query import Query, decode
from core.charts import Charts
from core.datasets import Datasets
from core.values import Version
from storage import objects as module
from storage.cache import MemoryCache
from storage.object_cache import ObjectCache
from storage.objects import Objects

TENANT = uuid4()
ROWS = 5000
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
async def version(tmp_path: Path) -> Version:
    source, made = tmp_path / 'source.csv', tmp_path / 'version'
    with source.open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['ds', 'y'])
        writer.writerows(
            [(BEGIN + number * timedelta(hours=1)).isoformat(), number * number % 97] for number in range(ROWS)
        )
    made.mkdir()
    manifest = convert(source, name='source.csv', into=made, options=Options(), progress=lambda part, text: None)
    ids = {name: UUID(int=0) for name in ('id', 'dataset_id', 'upload_id')}
    prefix = f't/{TENANT}/v/1'
    return Version(
        user_id=TENANT, number=1, prefix=prefix, manifest=manifest.to_json(), rows=ROWS, created_at=BEGIN, **ids
    )


async def datasets(objects: Objects, version: Version, tmp_path: Path) -> Datasets:
    for path in sorted((tmp_path / 'version').iterdir()):
        await objects.put_file(f'{version.prefix}/{path.name}', path)
    none: Any = None
    return Datasets(
        none,
        queue=none,
        staging=none,
        objects=objects,
        events=none,
        hours=none,
        notices=none,
        max_upload=0,
    )


@pytest.mark.parametrize('copied', [0, module.COPIED], ids=['in parts', 'copied'])
async def test_it_is_read_as_local_files_are(
    version: Version, tmp_path: Path, copied: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'COPIED', copied)
    objects = Objects(MemoryStore(), cache=ObjectCache(tmp_path / 'cache', limit=2**30))
    far = await datasets(objects, version, tmp_path)
    near = await datasets(Objects.local(tmp_path / 'objects'), version, tmp_path)
    assert await far.preview(TENANT, version, offset=7, limit=5) == await near.preview(
        TENANT, version, offset=7, limit=5
    )
    for place, each in enumerate((far, near)):
        await each.export(TENANT, version, 'rows', tmp_path / f'{place}.csv')
    assert (tmp_path / '0.csv').read_text() == (tmp_path / '1.csv').read_text()


async def test_a_chart_outlives_the_copies_it_was_drawn_from(version: Version, tmp_path: Path) -> None:
    objects = Objects(MemoryStore(), cache=ObjectCache(tmp_path / 'cache', limit=2**30))
    await datasets(objects, version, tmp_path)
    charts = Charts(objects, cache=MemoryCache())
    begin = int(BEGIN.timestamp()) * 1_000_000
    zoomed = {'kind': 'envelope', 'measures': ('y',), 'start': begin + 360 * 10**9, 'end': begin + 540 * 10**9}
    drawn = decode(await charts.answer(TENANT, version, Query(**zoomed, width=200))).lines[0].columns['y'].tolist()
    for path in (tmp_path / 'cache').rglob('*'):
        if path.is_file():
            path.unlink()
    again = Query(**zoomed, width=201)  # another question, so that no kept answer serves it
    assert decode(await charts.answer(TENANT, version, again)).lines[0].columns['y'].tolist() == drawn
    assert drawn == [number * number % 97 for number in range(100, 151)]
    charts.close()
