"""Charts, pages and exports of a dataset in a bucket are those of local files, however it is read."""

import asyncio
import csv
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import MemoryStore

from core.analysis.ingest import Options, convert
from core.analysis.query import Query, decode
from core.charts import Charts
from core.datasets import A_USER, Datasets
from core.values import Version
from storage import objects as module
from storage.cache import MemoryCache
from storage.object_cache import ObjectCache
from storage.object_reader import Reader
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
    return Datasets(none, objects=objects, events=none)


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


async def test_exports_of_one_user_leave_threads_to_others(
    version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = await datasets(Objects.local(tmp_path / 'objects'), version, tmp_path)
    begun: list[Path] = []
    go_on = threading.Event()

    def slow(_: Sequence[str], out: Path, **__: Any) -> None:
        begun.append(out)
        go_on.wait(10)

    monkeypatch.setattr('core.analysis.tables.export', slow)
    exports = [
        asyncio.create_task(near.export(TENANT, version, 'rows', tmp_path / f'{number}.csv')) for number in range(12)
    ]
    page = await near.preview(TENANT, version, limit=5)
    assert (len(page.rows), len(begun)) == (5, A_USER)
    go_on.set()
    await asyncio.gather(*exports)
    assert len(begun) == 12
    near.close()
    with pytest.raises(RuntimeError, match='after shutdown'):
        await near.preview(TENANT, version)


async def test_sizes_that_are_forgotten_meanwhile_are_kept_by_who_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = Objects(MemoryStore(), cache=ObjectCache(tmp_path / 'cache', limit=2**30))
    known, new = (f't/{TENANT}/{name}' for name in ('known', 'new'))
    for key in (known, new):
        await objects.put(key, b'12')
    await objects._sizes_of([known])
    ask = objects._prompt.size

    async def size(key: str) -> int:
        objects._sizes.clear()  # as somebody else does who asks for very many
        return await ask(key)

    monkeypatch.setattr(objects._prompt, 'size', size)
    assert await objects._sizes_of([known, new]) == {known: 2, new: 2}


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


async def test_the_footer_of_a_great_file_comes_with_one_request(
    version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it is: readers look at its last 64 kB first, and ask again for what is longer."""
    monkeypatch.setattr(module, 'COPIED', 0)
    asked: list[tuple[str, int]] = []
    reads = Reader.range, Reader.range_blocking
    monkeypatch.setattr(Reader, 'range', lambda self, *at: asked.append(at[:2]) or reads[0](self, *at))
    monkeypatch.setattr(Reader, 'range_blocking', lambda self, *at: asked.append(at[:2]) or reads[1](self, *at))
    objects = Objects(MemoryStore(), cache=ObjectCache(tmp_path / 'cache', limit=2**30))
    columns = {f'a column with a name of some length {number}': range(3000) for number in range(6)}
    pq.write_table(pa.table(columns), tmp_path / 'great.parquet', row_group_size=20)
    key = f'{version.prefix}/data-00000.parquet'
    await objects.put_file(key, tmp_path / 'great.parquet')
    assert pq.read_metadata(tmp_path / 'great.parquet').serialized_size > 100_000
    asked.clear()
    opened = await objects.open([key])
    assert opened.files is not None
    with opened.files.open(opened.paths[0]) as file:
        assert pq.read_metadata(file).num_row_groups == 150
    assert len(asked) == 1
    with opened.files.open(opened.paths[0]) as file:
        assert pq.ParquetFile(file).read_row_group(149).num_rows == 20
