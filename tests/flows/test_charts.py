"""Questions of charts over real storage: asked once however many ask, never answered to others, wherever files lie."""

import asyncio
import csv
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pyarrow as pa
import pytest
from obstore.store import MemoryStore

from core import charts as module
from core.analysis.arrays import numbers
from core.analysis.ingest import Options, convert
from core.analysis.query import Answer, Query, Stored, answer, decode, marks
from core.charts import Charts
from core.errors import NotFound, TooLarge, TooMany, Unavailable, UsageError
from core.metrics import CountedCache
from core.values import User, Version
from storage import objects as storage
from storage.cache import MemoryCache
from storage.object_cache import ObjectCache
from storage.objects import Objects
from storage.redis import Redis, RedisCache
from tests import factories
from tests.flows.conftest import Product

TENANT = uuid4()
ROWS = 6000
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
READINGS = b'time,site,load\n' + b''.join(b'2026-01-%02d,Oslo,%d\n' % (day, day % 13) for day in range(1, 29))
LINE = Query(measures=('load',), series=('Oslo',), width=300)


class Reading:
    """Stands in for the reading of answers: counts, and waits for a gate."""

    def __init__(self, *, gate: threading.Event | None = None, error: Exception | None = None) -> None:
        self.gate, self.error = gate, error
        self.asked: list[Query] = []
        self.begun = threading.Event()

    def __call__(self, stored: Stored, query: Query) -> Answer:
        self.asked.append(query)
        self.begun.set()
        if self.gate is not None:
            assert self.gate.wait(30)
        if self.error is not None:
            raise self.error
        return answer(stored, query)


@pytest.fixture(scope='module')
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Version]:
    folder = tmp_path_factory.mktemp('charts')
    source, made = folder / 'source.csv', folder / 'version'
    with source.open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['ds', 'site', 'load'])
        writer.writerows(
            [(BEGIN + number * timedelta(hours=1)).isoformat(), site, number * number % 97]
            for site in ('Oslo', 'Rome')
            for number in range(ROWS)
        )
    made.mkdir()
    manifest = convert(source, name='source.csv', into=made, options=Options(), progress=lambda part, text: None)
    ids = {name: UUID(int=0) for name in ('id', 'dataset_id', 'upload_id')}
    prefix = f't/{TENANT}/v/1'
    return made, Version(
        user_id=TENANT, number=1, prefix=prefix, manifest=manifest.to_json(), rows=2 * ROWS, created_at=BEGIN, **ids
    )


async def stored(objects: Objects, converted: tuple[Path, Version]) -> Objects:
    for path in sorted(converted[0].iterdir()):
        await objects.put_file(f'{converted[1].prefix}/{path.name}', path)
    return objects


@pytest.fixture
def version(converted: tuple[Path, Version]) -> Version:
    return converted[1]


@pytest.fixture
async def objects(converted: tuple[Path, Version], tmp_path: Path) -> Objects:
    return await stored(Objects.local(tmp_path / 'objects'), converted)


@pytest.fixture
async def charts(objects: Objects) -> AsyncIterator[Charts]:
    made = Charts(objects, cache=MemoryCache())
    yield made
    made.close()


async def test_a_hundred_askers_cost_one_reading(
    charts: Charts, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(module.queries, 'answer', reading := Reading(gate=gate))
    askers = [asyncio.create_task(charts.answer(TENANT, version, LINE)) for _ in range(100)]
    assert await asyncio.to_thread(reading.begun.wait, 30)
    for asker in askers[:99]:  # the one that began it among them
        asker.cancel()
    gate.set()
    found = await askers[99]
    assert len(reading.asked) == 1
    assert all(
        isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*askers[:99], return_exceptions=True)
    )
    assert decode(found).lines[0].n == ROWS
    assert await charts.answer(TENANT, version, LINE) == found
    assert len(reading.asked) == 1


async def test_what_all_askers_left_is_kept_for_the_next(
    charts: Charts, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(module.queries, 'answer', reading := Reading(gate=gate))
    asker = asyncio.create_task(charts.answer(TENANT, version, LINE))
    assert await asyncio.to_thread(reading.begun.wait, 30)
    asker.cancel()
    await asyncio.gather(asker, return_exceptions=True)
    gate.set()
    assert decode(await charts.answer(TENANT, version, LINE)).lines[0].n == ROWS
    assert len(reading.asked) == 1


async def test_an_error_is_told_to_all_and_not_kept(
    charts: Charts, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.queries, 'answer', failing := Reading(error=Unavailable('The disk is away.')))
    told = await asyncio.gather(*(charts.answer(TENANT, version, LINE) for _ in range(5)), return_exceptions=True)
    assert [str(one) for one in told] == ['The disk is away.'] * 5
    assert len(failing.asked) == 1
    monkeypatch.setattr(module.queries, 'answer', answer)
    assert decode(await charts.answer(TENANT, version, LINE)).lines


async def test_a_dataset_is_charted_for_its_owner_alone(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'load.csv', READINGS)
    version = await product.datasets.version(user.id, dataset.id)
    charts = Charts(product.objects, cache=product.cache)
    (line,) = decode(await charts.answer(user.id, version, LINE)).lines
    assert line.columns['y'].tolist() == [float(day % 13) for day in range(1, 29)]
    stranger = await factories.user(product.database)
    with pytest.raises(NotFound):
        await charts.answer(stranger.id, version, LINE)  # though the answer is kept
    with pytest.raises(NotFound):
        await charts.keys(stranger.id, version)
    charts.close()


async def test_keys_of_the_cache_begin_with_the_tenant(objects: Objects, version: Version) -> None:
    kept: dict[str, float] = {}

    class Noting(MemoryCache):
        async def set(self, key: str, value: bytes, *, ttl: float) -> None:
            kept[key] = ttl
            await super().set(key, value, ttl=ttl)

    charts = Charts(objects, cache=Noting())
    await charts.answer(TENANT, version, LINE)
    await charts.answer(TENANT, version, Query(measures=('load',)))
    assert len(kept) == 2
    assert all(key.startswith(f'{TENANT}/charts/{version.id}/') for key in kept)
    assert set(kept.values()) == {module.KEPT}
    charts.close()


async def test_without_redis_charts_are_answered_and_kept_here(objects: Objects, version: Version) -> None:
    redis = Redis('redis://127.0.0.1:1/0')
    cache = CountedCache(RedisCache(redis))
    charts = Charts(objects, cache=cache)
    first = await charts.answer(TENANT, version, LINE)
    assert await charts.answer(TENANT, version, LINE) == first
    assert (cache.misses, cache.hits) == (1, 1)
    charts.close()
    await redis.close()


async def test_keys_tell_what_they_hold(charts: Charts, version: Version) -> None:
    assert await charts.keys(TENANT, version) == {'site': ['Oslo', 'Rome']}


async def test_what_cannot_be_asked_says_where(charts: Charts, version: Version) -> None:
    with pytest.raises(UsageError) as caught:
        await charts.answer(TENANT, version, Query(measures=('load',), every='yearly'))
    assert caught.value.details['place'] == 'query.every'


async def test_few_versions_stay_open(charts: Charts, version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, 'OPEN', 1)
    opened: list[Any] = []

    class Counted(Stored):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            opened.append(args)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(module.queries, 'Stored', Counted)
    second = replace(version, id=uuid4())
    for width, one in enumerate((version, version, second, version), 300):
        await charts.answer(TENANT, one, Query(measures=('load',), width=width))
    assert len(opened) == 3


async def test_nothing_is_begun_once_it_is_closed(charts: Charts, version: Version) -> None:
    await charts.answer(TENANT, version, LINE)
    charts.close()
    with pytest.raises(RuntimeError, match='shutdown'):
        await charts.answer(TENANT, version, Query(measures=('load',), width=301))


@pytest.mark.parametrize('copied', [0, storage.COPIED], ids=['in parts', 'copied'])
async def test_files_in_a_bucket_are_read_as_local_ones_are(
    converted: tuple[Path, Version],
    version: Version,
    charts: Charts,
    tmp_path: Path,
    copied: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(storage, 'COPIED', copied)
    bucket = await stored(Objects(MemoryStore(), cache=ObjectCache(tmp_path / 'cache', limit=2**30)), converted)
    far = Charts(bucket, cache=MemoryCache())
    for query in (
        Query(measures=('load',), width=200),
        Query(kind='buckets', measures=('load',), every='P1M', group='*', aggregation='sum', zone='Europe/Berlin'),
        Query(kind='hours', measures=('load',), series=('Oslo',)),
        Query(kind='histogram', measures=('load',)),
    ):
        assert await far.answer(TENANT, version, query) == await charts.answer(TENANT, version, query)
    assert await far.keys(TENANT, version) == {'site': ['Oslo', 'Rome']}
    far.close()


async def test_a_question_that_is_too_large_says_so(
    charts: Charts, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('core.analysis.query.asked.MOST_SERIES', 1)
    with pytest.raises(TooLarge, match='Filter them by a key'):
        await charts.answer(TENANT, version, Query(measures=('load',), group='*'))


async def test_measures_may_be_called_as_the_figures_of_the_pyramid(tmp_path: Path) -> None:
    source, made = tmp_path / 'shares.csv', tmp_path / 'version'
    names = ('high', 'low', 'first', 'last', 'total', 'n')
    lines = [f'2026-01-{day:02d},' + ','.join(f'{10 * place + day}' for place in range(6)) for day in range(1, 29)]
    source.write_text('\n'.join([f'ds,{",".join(names)}', *lines]) + '\n')
    made.mkdir()
    manifest = convert(
        source, name='shares.csv', into=made, options=Options(), progress=lambda part, text: None
    ).to_json()
    stored = Stored(
        [made / file['name'] for file in manifest['files'] if file['name'].startswith('data-')],
        made / 'pyramid.parquet',
        made / 'series.parquet',
        measures=manifest['measures'],
        keys=(),
    )
    for place, name in enumerate(names):
        (line,) = answer(stored, Query(kind='buckets', measures=(name,), every='P1M', aggregation='max')).lines
        assert line.columns['y'].tolist() == [10 * place + 28]


def test_decimals_of_any_precision_are_numbers() -> None:
    for precision in (9, 18, 21, 38):
        chunk = pa.array([Decimal('1.25'), None, Decimal('-3.50')], pa.decimal128(precision, 2))
        assert numbers(chunk).tolist()[::2] == [1.25, -3.5]
        assert np.isnan(numbers(chunk)[1])


async def test_a_user_holds_no_more_than_a_share_of_the_threads(
    charts: Charts, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(module.queries, 'answer', slow := Reading(gate=gate))
    many = [asyncio.create_task(charts.answer(TENANT, version, replace(LINE, width=300 + at))) for at in range(8)]
    assert await asyncio.to_thread(slow.begun.wait, 30)
    other = replace(version, id=uuid4(), user_id=uuid4())
    monkeypatch.setattr(module.queries, 'answer', answer)
    assert decode(await charts.answer(other.user_id, other, LINE)).lines  # though eight were asked before
    assert len(slow.asked) <= module.A_USER
    gate.set()
    assert all(decode(found).lines for found in await asyncio.gather(*many))


async def test_few_questions_of_a_user_wait(charts: Charts, version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, 'WAITING', 3)
    gate = threading.Event()
    monkeypatch.setattr(module.queries, 'answer', Reading(gate=gate))
    asked = [asyncio.create_task(charts.answer(TENANT, version, replace(LINE, width=300 + at))) for at in range(9)]
    await asyncio.wait(asked, return_when=asyncio.FIRST_EXCEPTION)
    gate.set()
    found = await asyncio.gather(*asked, return_exceptions=True)
    refused = [one for one in found if isinstance(one, TooMany)]
    assert refused
    assert len(refused) + sum(isinstance(one, bytes) for one in found) == 9
    assert decode(await charts.answer(TENANT, version, replace(LINE, width=308))).lines


async def test_what_nobody_waits_for_any_more_is_not_begun(
    charts: Charts, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(module.queries, 'answer', reading := Reading(gate=gate))
    asked = [asyncio.create_task(charts.answer(TENANT, version, replace(LINE, width=300 + at))) for at in range(6)]
    assert await asyncio.to_thread(reading.begun.wait, 30)
    for one in asked[module.A_USER : 5]:
        one.cancel()
    await asyncio.gather(*asked[module.A_USER : 5], return_exceptions=True)
    again = asyncio.create_task(charts.answer(TENANT, version, replace(LINE, width=304)))  # begins anew
    gate.set()
    await asyncio.gather(*asked[: module.A_USER], asked[5], again)
    assert sorted(query.width for query in reading.asked) == [300, 301, 304, 305]


async def test_great_answers_are_not_kept_and_keys_are(
    objects: Objects, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[str] = []

    class Noting(MemoryCache):
        async def set(self, key: str, value: bytes, *, ttl: float) -> None:
            kept.append(key)
            await super().set(key, value, ttl=ttl)

    charts = Charts(objects, cache=Noting())
    monkeypatch.setattr(module, 'MOST_KEPT', 1000)
    assert len(await charts.answer(TENANT, version, LINE)) > 1000
    assert kept == []
    first = await charts.keys(TENANT, version)
    assert kept == [f'{TENANT}/charts/{version.id}/keys']
    monkeypatch.setattr(module, '_values', lambda stored: pytest.fail('they are read again'))
    assert await charts.keys(TENANT, version) == first
    charts.close()


async def test_open_versions_are_bounded_by_what_they_hold(
    charts: Charts, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'OPEN_BYTES', 1)
    for one in (version, replace(version, id=uuid4())):
        await charts.answer(TENANT, one, LINE)
    assert len(charts._open) == 1


class Seeking:
    """Stands in for the seeking of faults: counts, and waits for a gate."""

    def __init__(self, *, gate: threading.Event, note: str = '') -> None:
        self.gate, self.note = gate, note
        self.sought = 0
        self.begun = threading.Event()

    def __call__(self, *args: Any, **options: Any) -> marks.Marks:
        self.sought += 1
        self.begun.set()
        assert self.gate.wait(30)
        return marks.Marks(None, share=1, note=self.note) if self.note else REAL(*args, **options)


REAL = marks.read
FAULTS = Query(kind='marks', measures=('load',), series=('Oslo',))


@pytest.fixture(scope='module')
def damaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Version]:
    folder = tmp_path_factory.mktemp('damaged')
    source, made = folder / 'source.csv', folder / 'version'
    source.write_bytes(READINGS.replace(b',Oslo,9\n', b',Oslo,9 kg\n'))
    made.mkdir()
    manifest = convert(source, name='source.csv', into=made, options=Options(), progress=lambda part, text: None)
    ids = {'id': uuid4(), 'dataset_id': UUID(int=0), 'upload_id': UUID(int=0)}
    return made, Version(
        user_id=TENANT,
        number=1,
        prefix=f't/{TENANT}/v/9',
        manifest=manifest.to_json(),
        rows=28,
        created_at=BEGIN,
        **ids,
    )


@pytest.fixture
async def faulty(charts: Charts, objects: Objects, damaged: tuple[Path, Version]) -> Version:
    await stored(objects, damaged)
    return damaged[1]


async def test_lines_are_answered_while_faults_are_sought(
    charts: Charts, version: Version, faulty: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(marks, 'read', seeking := Seeking(gate=gate))
    asked = [asyncio.create_task(charts.answer(TENANT, faulty, replace(FAULTS, width=300 + at))) for at in range(6)]
    assert await asyncio.to_thread(seeking.begun.wait, 30)
    for width in range(300, 304):  # of the same version and of another one, by the same user
        assert decode(await charts.answer(TENANT, faulty, replace(LINE, width=width))).lines
        assert decode(await charts.answer(TENANT, version, replace(LINE, width=width))).lines
    stranger = replace(version, id=uuid4(), user_id=uuid4())
    assert decode(await charts.answer(stranger.user_id, stranger, LINE)).lines
    whole = replace(stranger, manifest={**stranger.manifest, 'faults_total': 0})
    assert decode(await charts.answer(whole.user_id, whole, FAULTS)).marks == ()  # where none are, none are sought
    assert not any(one.done() for one in asked)
    gate.set()
    assert [decode(one).marked for one in await asyncio.gather(*asked)] == [2] * 6
    assert seeking.sought == 1


async def test_reloads_start_one_search_whose_outcome_is_kept(
    charts: Charts, faulty: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(marks, 'read', seeking := Seeking(gate=gate))
    for _ in range(4):
        asker = asyncio.create_task(charts.answer(TENANT, faulty, FAULTS))
        assert await asyncio.to_thread(seeking.begun.wait, 30)
        asker.cancel()
        await asyncio.gather(asker, return_exceptions=True)
    search = charts._sought[faulty.id]
    gate.set()
    await search
    assert decode(await charts.answer(TENANT, faulty, FAULTS)).marked == 2
    assert decode(await charts.answer(TENANT, faulty, replace(FAULTS, width=500))).marked == 2
    assert (seeking.sought, charts._sought) == (1, {})


async def test_a_search_that_was_given_up_is_not_tried_again(
    charts: Charts, version: Version, faulty: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    gate.set()
    monkeypatch.setattr(module, 'OPEN', 1)
    monkeypatch.setattr(marks, 'read', seeking := Seeking(gate=gate, note='Faults not marked: it takes too long.'))
    for width in (300, 301):
        found = decode(await charts.answer(TENANT, faulty, replace(FAULTS, width=width)))
        assert (found.marked, found.marks, found.note) == (0, (), 'Faults not marked: it takes too long.')
        await charts.answer(TENANT, version, replace(LINE, width=width))  # closes the other one
    assert seeking.sought == 1


async def test_a_search_that_failed_is_told_and_tried_again(
    charts: Charts, faulty: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*args: Any, **options: Any) -> marks.Marks:
        raise Unavailable('The disk is away.')

    monkeypatch.setattr(marks, 'read', failing)
    with pytest.raises(Unavailable, match='disk'):
        await charts.answer(TENANT, faulty, FAULTS)
    monkeypatch.setattr(marks, 'read', REAL)
    assert decode(await charts.answer(TENANT, faulty, FAULTS)).marked == 2


async def test_users_take_turns_at_having_faults_sought(
    charts: Charts, faulty: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, order = threading.Event(), []

    def noted(parts: Any, faults: Any, manifest: Any, **options: Any) -> marks.Marks:
        order.append(manifest['whose'])
        assert gate.wait(30)
        return REAL(parts, faults, manifest, **options)

    both = asyncio.Event()

    class Handing(ThreadPoolExecutor):
        def submit(self, *args: Any, **options: Any) -> Any:
            handed.append(args)
            if len(handed) == 2:
                both.set()
            return super().submit(*args, **options)

    handed: list[Any] = []
    monkeypatch.setattr(charts, '_seeker', Handing(1))
    monkeypatch.setattr(marks, 'read', noted)
    stranger = uuid4()
    asked = []
    for whose, user in (('mine', TENANT), ('mine', TENANT), ('mine', TENANT), ('theirs', stranger)):
        one = replace(faulty, id=uuid4(), user_id=user, manifest={**faulty.manifest, 'whose': whose})
        asked.append(asyncio.create_task(charts.answer(user, one, FAULTS)))
    await both.wait()  # the first of each user
    monkeypatch.setattr(module, 'WAITING', 2)
    refused = replace(faulty, id=uuid4())
    with pytest.raises(TooMany, match='wait for their faults'):
        await charts.answer(TENANT, refused, FAULTS)
    gate.set()
    await asyncio.gather(*asked)
    # Which of the two was opened first is nobody's promise.
    assert (sorted(order[:2]), order[2:]) == (['mine', 'theirs'], ['mine', 'mine'])
