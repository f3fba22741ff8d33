"""Faults and repairs of a dataset among its points: those of each file that it holds, and of nobody else's."""

from collections.abc import AsyncIterator

import pytest

from core.analysis.query import Query, decode
from core.charts import Charts
from core.errors import NotFound
from core.values import User
from tests import factories
from tests.flows.conftest import Product, pieces

BAD = {3: 'broken', 17: '4.5 kg'}
FIRST = b'time,site,load\n' + b''.join(
    f'2026-01-{day:02},Oslo,{BAD.get(day, f"{day % 13}.5")}\n'.encode() for day in range(1, 29)
)
SECOND = b'time,site,load\n' + b''.join(
    f'2026-02-{day:02},Oslo,{BAD.get(day, f"{day % 11}.5")}\n'.encode() for day in range(1, 21)
)
ASKED = Query(kind='marks', measures=('load',))


@pytest.fixture
async def charts(product: Product) -> AsyncIterator[Charts]:
    made = Charts(product.objects, cache=product.cache)
    yield made
    made.close()


async def test_a_version_marks_the_faults_of_all_its_files(product: Product, user: User, charts: Charts) -> None:
    dataset = await product.bring(user, 'load.csv', FIRST)
    first = await product.datasets.version(user.id, dataset.id)
    found = decode(await charts.answer(user.id, first, ASKED))
    told = [(one.line, one.action, one.value, one.origin) for one in found.marks]
    assert told == [(4, 'rejected', 'broken', ''), (18, 'repaired', '4.5 kg', '')]
    assert (found.marked, found.lines, found.marks[1].y) == (2, (), 4.5)
    line = decode(await charts.answer(user.id, first, Query(measures=('load',)))).lines[0]
    assert found.marks[1].t in line.columns['t'].tolist()

    upload = await product.uploads.begin_upload(user.id, name='more.csv', size=len(SECOND), dataset_id=dataset.id)
    await product.uploads.append(user.id, upload.id, 0, pieces(SECOND))
    await product.work_off(user)
    second = await product.datasets.version(user.id, dataset.id)
    both = decode(await charts.answer(user.id, second, ASKED))
    origin = first.prefix.rpartition('/')[2]
    assert [(one.line, one.origin) for one in both.marks] == [(4, origin), (18, origin), (4, ''), (18, '')]
    late = Query(kind='marks', measures=('load',), start=int(both.marks[2].t) * 1000)
    assert decode(await charts.answer(user.id, second, late)).marked == 2

    stranger = await factories.user(product.database)
    with pytest.raises(NotFound):
        await charts.answer(stranger.id, second, ASKED)


async def test_where_nothing_was_wrong_nothing_is_read(product: Product, user: User, charts: Charts) -> None:
    dataset = await product.bring(user, 'load.csv', FIRST.replace(b'broken', b'3.5').replace(b' kg', b''))
    version = await product.datasets.version(user.id, dataset.id)
    await product.objects.delete(f'{version.prefix}/faults.parquet')
    found = decode(await charts.answer(user.id, version, ASKED))
    assert (found.marked, found.marks) == (0, ())
