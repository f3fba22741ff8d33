"""Versions: a further file joins or replaces, the same changes nothing; versions are compared, points traced."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from core.errors import Conflict, NotFound, TaskFailed, UsageError
from core.values import Job, JobState, User
from storage.embedded.server import EmbeddedPostgres
from storage.postgres import Postgres
from tests import factories
from tests.children import children
from tests.flows.conftest import Product
from tests.flows.doubles import ScriptedCompute

FIRST = b'ds,region,y\n2024-01-01,north,1\n2024-01-02,north,2\n2024-01-01,south,3\n'
SECOND = b'ds,region,y\n2024-01-02,north,9\n2024-01-03,north,5\nsoon,south,1\n'
RESULT = {
    'seconds': 1,
    'objects': [],
    'manifest': {
        'files': [{'name': 'data-00000.parquet', 'rows': 3}],
        'columns': [{'name': 'ds', 'role': 'time'}],
        'measures': [],
        'faults_total': 0,
        'series': {'count': 1},
        'rows_read': 3,
    },
}


async def rows(product: Product, user: User, dataset: UUID, number: int | None = None) -> list[tuple[Any, ...]]:
    version = await product.datasets.version(user.id, dataset, number)
    page = await product.datasets.preview(user.id, version)
    places = [page.columns.index(name) for name in ('_series', 'ds', 'y')]
    return [(row[places[0]], row[places[1]].day, row[places[2]]) for row in page.rows]


async def test_the_faults_of_all_files_are_counted(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'b.csv', SECOND)
    joined = await product.bring(user, 'c.csv', b'ds,region,y\n2024-01-04,north,5\n', dataset_id=dataset.id)
    assert (joined.version, joined.faults) == (2, 1)
    assert [one.faults for one in await product.datasets.list(user.id)] == [1]
    version = await product.datasets.version(user.id, dataset.id)
    assert (version.manifest['faults_total'], version.manifest['faults_of_all']) == (0, 1)


async def test_a_further_file_joins_the_rows_that_are_there(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    joined = await product.bring(user, 'b.csv', SECOND, dataset_id=dataset.id)
    assert (joined.version, joined.rows, joined.faults) == (2, 4, 1)
    assert await rows(product, user, dataset.id) == [('north', 1, 1), ('north', 2, 9), ('north', 3, 5), ('south', 1, 3)]
    version = await product.datasets.version(user.id, dataset.id)
    assert [(one['name'], one['rows']) for one in version.manifest['sources']] == [('a.csv', 2), ('b.csv', 2)]
    told = version.manifest
    assert told['rows_accepted'] + told['rows_repaired'] + told['rows_rejected'] == told['rows_read'] == 3
    await product.datasets.restore(user.id, dataset.id, 1)
    assert await rows(product, user, dataset.id) == [('north', 1, 1), ('north', 2, 2), ('south', 1, 3)]
    again = await product.bring(user, 'c.csv', b'ds,region,y\n2024-01-09,west,7\n', dataset_id=dataset.id)
    assert (again.version, again.rows) == (3, 4), 'it joins what is shown'
    orders = await product.datasets.orders(user.id, dataset.id, [1, 2, 3])
    assert {number: order.onto for number, order in orders.items()} == {1: None, 2: 1, 3: 1}


async def test_versions_are_listed_by_the_page_without_their_manifests(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    await product.bring(user, 'b.csv', SECOND, dataset_id=dataset.id)
    await product.uploads.correct(user.id, dataset.id, {'off': ['padding']})
    await product.work_off(user)
    listed = await product.datasets.versions(user.id, dataset.id)
    full = [await product.datasets.version(user.id, dataset.id, number) for number in (3, 2, 1)]
    assert [(one.number, one.previous, one.reads) for one in listed] == [(3, 2, 2), (2, 1, None), (1, None, None)]
    for one, version in zip(listed, full, strict=True):
        manifest = version.manifest
        assert (one.rows, one.created_at, one.source) == (version.rows, version.created_at, manifest['source']['name'])
        assert (one.faults, one.series) == (manifest['faults_total'], manifest['series']['count'])
        assert (one.measures, one.warnings) == (manifest['measures'], manifest.get('warnings', []))
        assert one.earlier_files == sum(file['rows'] > 0 for file in (manifest.get('sources') or ())[:-1])
    assert listed[0].earlier_files == 1
    assert list(await product.datasets.versions(user.id, dataset.id, limit=1)) == listed[:1]
    assert list(await product.datasets.versions(user.id, dataset.id, before=3, limit=1)) == listed[1:2]
    assert await product.datasets.versions(user.id, dataset.id, before=1) == []
    assert await product.datasets.first_told(user.id, full[0]) == 2
    assert await product.datasets.first_told(user.id, full[1]) is None
    assert list(await product.datasets.orders(user.id, dataset.id, [2])) == [2]


async def test_a_file_that_replaces_makes_the_version_alone(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    replaced = await product.bring(user, 'b.csv', SECOND, dataset_id=dataset.id, how='replace')
    assert (replaced.version, replaced.rows) == (2, 2)
    assert [row[1:] for row in await rows(product, user, dataset.id)] == [(2, 9), (3, 5)]


async def test_a_file_that_cannot_join_says_why_and_leaves_all_as_it_was(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    await product.send(user, 'b.csv', b'day,region,y\n2024-01-05,north,1\n', dataset_id=dataset.id)
    (job,) = await product.work_off(user)
    assert job.state == JobState.FAILED
    assert 'no column "ds"' in (job.error or {})['message']
    assert 'replace' in (job.error or {})['message']
    assert (await product.datasets.get(user.id, dataset.id)).version == 1


async def test_the_same_file_again_changes_nothing_and_says_so(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    before = await product.hours.balance(user.id)
    upload = await product.send(user, 'copy of a.csv', FIRST, dataset_id=dataset.id)
    assert (upload.state, upload.object_key, upload.dataset_id) == ('unchanged', None, dataset.id)
    assert await product.jobs.running(user.id) == []
    assert len(await product.datasets.versions(user.id, dataset.id)) == 1
    assert await product.hours.balance(user.id) == before
    assert await product.objects.list(f't/{user.id}/u/{upload.id}') == []
    notice = (await product.notices.latest(user.id))[0]
    assert (notice.title, notice.link) == ('copy of a.csv: nothing has changed', f'/datasets/{dataset.id}')
    assert 'version 1, which is in use' in notice.text
    assert await product.uploads.received(user.id, upload.id) == (upload, len(FIRST))
    assert await product.uploads.accept(user.id, upload.id) == upload
    with pytest.raises(NotFound):
        await product.staging.offset(upload.id)


async def test_the_file_that_joined_last_changes_nothing_either(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    await product.bring(user, 'b.csv', SECOND, dataset_id=dataset.id)
    assert (await product.send(user, 'b.csv', SECOND, dataset_id=dataset.id)).state == 'unchanged'
    other = await product.bring(user, 'b.csv', SECOND, dataset_id=dataset.id, how='replace')
    assert (other.version, other.rows) == (3, 2), 'replacing is something else than joining'
    await product.datasets.restore(user.id, dataset.id, 1)
    assert (await product.bring(user, 'b.csv', SECOND, dataset_id=dataset.id)).version == 4


async def test_the_same_file_read_otherwise_is_a_new_version(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    options = {'roles': {'region': 'attribute'}}
    changed = await product.bring(user, 'a.csv', FIRST, dataset_id=dataset.id, how='replace', options=options)
    assert (changed.version, changed.series) == (2, 1)
    same = await product.send(user, 'a.csv', FIRST, dataset_id=dataset.id, how='replace')
    assert same.state == 'unchanged', 'what was said of it still holds'


async def test_what_was_said_of_a_file_holds_for_the_next(product: Product, user: User) -> None:
    text = b'junk\nds;region;y\n03.04.2024;north;1,5\n'
    options = {'day_first': True, 'reading': {'skip': 1, 'delimiter': ';'}, 'roles': {'region': 'attribute'}}
    upload = await product.send(user, 'a.csv', text, options=options)
    await product.work_off(user)
    assert upload.dataset_id is not None
    next_one = await product.bring(
        user, 'b.csv', b'junk\nds;region;y\n05.04.2024;south;2,5\n', dataset_id=upload.dataset_id
    )
    assert (next_one.version, next_one.rows, next_one.series) == (2, 2, 1)
    assert [day for _, day, _ in await rows(product, user, upload.dataset_id)] == [3, 5]


async def test_files_join_in_the_order_in_which_they_came(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    for number, text in enumerate((b'2024-01-08,north,8\n', b'2024-01-09,north,9\n'), 1):
        await product.send(user, f'{number}.csv', b'ds,region,y\n' + text, dataset_id=dataset.id)
    first, second = await product.jobs.running(user.id)
    assert first.created_at < second.created_at
    await product.jobs.advance(second.id)
    waits = await product.jobs.get(user.id, second.id)
    assert (waits.state, waits.attempt) == (JobState.QUEUED, 0), 'it is not its turn'
    await asyncio.gather(product.jobs.advance(first.id), product.jobs.advance(second.id))
    await product.jobs.advance(second.id)
    assert await rows(product, user, dataset.id) == [
        *(('north', day, y) for day, y in ((1, 1), (2, 2), (8, 8), (9, 9))),
        ('south', 1, 3),
    ]
    assert (await product.datasets.get(user.id, dataset.id)).version == 3


async def test_the_same_file_twice_at_once_is_converted_once(open_product: Callable[..., Product], user: User) -> None:
    def script(task: str, payload: Mapping[str, Any]) -> Any:
        return {**RESULT, 'prefix': payload['prefix']}

    product = open_product(ScriptedCompute(script))
    dataset = await product.bring(user, 'a.csv', FIRST)
    sent = await asyncio.gather(*(product.send(user, 'b.csv', SECOND, dataset_id=dataset.id) for _ in range(3)))
    assert sorted(upload.state for upload in sent) == ['accepted', 'unchanged', 'unchanged']
    assert len(await product.jobs.running(user.id)) == 1
    assert 'is being converted already' in (await product.notices.latest(user.id))[0].text


async def test_an_upload_is_announced_while_another_of_its_dataset_is_accepted(product: Product, user: User) -> None:
    """Who accepts one holds the dataset and asks for the account, who announces one does it the other way round."""
    dataset = await product.bring(user, 'a.csv', FIRST)
    async with product.database.transaction(user.id) as tx, asyncio.timeout(20):
        await tx.one('dataset_lock', id=dataset.id)
        await product.uploads.begin_upload(user.id, name='b.csv', size=len(SECOND), dataset_id=dataset.id)
        await tx.one('profile_lock', id=user.id)


async def test_a_job_that_is_ordered_again_joins_what_is_shown_then(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    await product.send(user, 'b.csv', SECOND, dataset_id=dataset.id)
    (job,) = await product.jobs.running(user.id)
    await product.jobs.cancel(user.id, job.id)
    await product.bring(user, 'c.csv', b'ds,region,y\n2024-01-09,west,7\n', dataset_id=dataset.id)
    await product.jobs.retry(user.id, job.id)
    await product.work_off(user)
    assert len(await rows(product, user, dataset.id)) == 5


async def test_a_correction_of_a_file_that_joined_joins_again(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    await product.bring(user, 'b.csv', SECOND + b'2024-01-04,north,"7,5"\n', dataset_id=dataset.id)
    await product.uploads.correct(user.id, dataset.id, {'roles': {'y': 'measure'}, 'off': ['number_format']})
    await product.work_off(user)
    assert (await product.datasets.get(user.id, dataset.id)).version == 3
    found = await rows(product, user, dataset.id)
    assert found[0] == ('north', 1, 1), 'rows of the first file are still there'
    assert found[-1] == ('south', 1, 3)


async def test_a_correction_beside_a_waiting_upload_joins_what_its_file_joined(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    await product.bring(user, 'b.csv', SECOND, dataset_id=dataset.id)
    await product.send(user, 'c.csv', b'ds,region,y\n2024-01-09,west,7\n', dataset_id=dataset.id)
    job = await product.uploads.correct(user.id, dataset.id, {'off': ['padding']})
    assert (job.payload['how'], job.payload['options']) == ('append', {'off': ['padding']})
    first = await product.datasets.version(user.id, dataset.id, 1)
    assert job.payload['onto'] == str(first.id)


async def test_a_correction_of_an_earlier_version_reads_its_file_and_not_that_of_the_one_in_use(
    product: Product, user: User
) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    other = b'when,value\n2025-01-01,5\n2025-01-02,6\n'
    roles = {'when': 'time', 'value': 'measure'}
    await product.bring(
        user, 'b.csv', other, dataset_id=dataset.id, how='replace', options={'roles': roles, 'off': ['padding']}
    )
    steps = [{'do': 'clip', 'columns': ['y'], 'how': 'iqr', 'k': 3.0, 'action': 'empty'}]
    job = await product.uploads.correct(user.id, dataset.id, {'recipe': steps}, version=1)
    assert 'off' not in job.payload['options'], 'read as it was then'
    await product.work_off(user)
    made = await product.datasets.version(user.id, dataset.id)
    assert (made.number, made.manifest['source']['name'], made.manifest['measures']) == (3, 'a.csv', ['y'])
    with pytest.raises(NotFound):
        await product.uploads.correct(user.id, dataset.id, {}, version=9)
    with pytest.raises(NotFound):
        await product.uploads.quote(user.id, dataset.id, version=9)


async def test_what_means_nothing_is_refused_before_a_byte_is_sent(product: Product, user: User) -> None:
    wrong: list[dict[str, Any]] = [
        {'memory': 1},
        {'before': ['/etc/passwd']},
        {'reading': {'delimiter': ''}},
        {'reading': {'colour': 'red'}},
        {'shape': 'round'},
        {'duplicates': 'all'},
        {'off': ['everything']},
        {'time_zone': 'Mars/Base'},
        {'roles': {'a': 'boss'}},
        {'roles': {'a': 'time', 'b': 'time'}},
    ]
    for given in ({'how': 'merge'}, *({'options': options} for options in wrong)):
        with pytest.raises(UsageError):
            await product.uploads.begin_upload(user.id, name='a.csv', size=9, **given)
    assert await product.uploads.unfinished(user.id) == []


async def test_versions_are_compared(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    await product.bring(user, 'b.csv', SECOND, dataset_id=dataset.id)
    old, new = [await product.datasets.version(user.id, dataset.id, number) for number in (1, 2)]
    found = await product.datasets.diff(user.id, old, new)
    assert (found.added, found.changed, found.gone, found.same) == (1, 1, 0, 2)
    (changed,) = found.rows['changed']
    assert (changed.series, changed.before, changed.after) == ('north', {'y': 2}, {'y': 9})
    back = await product.datasets.diff(user.id, new, old)
    assert (back.added, back.changed, back.gone) == (0, 1, 1)
    same = await product.datasets.diff(user.id, new, new)
    assert (same.added, same.changed, same.gone, same.same) == (0, 0, 0, 4)
    other = await product.datasets.version(user.id, (await product.bring(user, 'c.csv', FIRST)).id)
    with pytest.raises(UsageError, match='one dataset'):
        await product.datasets.diff(user.id, old, other)


async def test_a_point_leads_to_its_line_in_its_file(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    text = SECOND + b'2024-01-04,north,x\n2024-01-05,north,7\n'
    await product.bring(user, 'b.csv', b'ds,region,y,z\n2024-01-02,north,9,x\n', dataset_id=dataset.id)
    await product.bring(user, 'c.csv', text, dataset_id=dataset.id)
    version = await product.datasets.version(user.id, dataset.id)

    async def origin(series: str, day: int) -> tuple[Any, ...]:
        (one,) = await product.datasets.provenance(
            user.id, version, series=series, time=datetime(2024, 1, day, tzinfo=UTC)
        )
        return one.source, one.number, one.line, one.cells['y']

    assert await origin('north', 1) == ('a.csv', 1, 2, 1)
    assert await origin('north', 2) == ('c.csv', 3, 2, 9)
    assert await origin('south', 1) == ('a.csv', 1, 4, 3)
    assert await origin('north', 5) == ('c.csv', 3, 6, 7)
    with pytest.raises(NotFound, match='no row of "west"'):
        await product.datasets.provenance(user.id, version, series='west', time=datetime(2024, 1, 1, tzinfo=UTC))


async def test_a_point_tells_the_faults_of_its_line(product: Product, user: User) -> None:
    dataset = await product.bring(
        user, 'a.csv', b'ds,y,z\n2024-01-01,1,2\n2024-01-02,x,3\n2024-01-03,2,3\n2024-01-04,5,3\n'
    )
    version = await product.datasets.version(user.id, dataset.id)
    when = datetime(2024, 1, 2, tzinfo=UTC)
    (one,) = await product.datasets.provenance(user.id, version, series='', time=when)
    assert one.faults is not None
    told = [dict(zip(one.faults.columns, row, strict=True)) for row in one.faults.rows]
    assert [(fault['column'], fault['value'], fault['action']) for fault in told] == [('y', 'x', 'emptied')]
    (group,) = await product.datasets.fault_groups(user.id, version)
    assert (group.kind, group.column, group.action, group.count, group.first_line, group.examples) == (
        *('not_a_number', 'y', 'emptied', 1, 3),
        ('x',),
    )


async def test_strangers_compare_and_trace_nothing(product: Product, user: User, database: Postgres) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    version = await product.datasets.version(user.id, dataset.id)
    stranger = await factories.user(database)
    for call in (
        product.datasets.diff(stranger.id, version, version),
        product.datasets.provenance(stranger.id, version, series='', time=datetime(2024, 1, 1, tzinfo=UTC)),
        product.datasets.fault_groups(stranger.id, version),
    ):
        with pytest.raises(NotFound):
            await call


async def test_a_version_of_before_files_were_told_apart_is_extended_and_traced(
    product: Product, user: User, postgres: EmbeddedPostgres
) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    version = await product.datasets.version(user.id, dataset.id)
    path = await product.objects.fetch(f'{version.prefix}/manifest.json')
    old = path.read_text().replace('"sources"', '"former"')
    path.chmod(0o600)
    path.write_text(old)
    statements = (
        'alter table public.dataset_versions disable trigger dataset_versions_immutable',
        f"update public.dataset_versions set manifest = manifest - 'sources' where id = '{version.id}'",
        'alter table public.dataset_versions enable trigger dataset_versions_immutable',
    )
    async with await psycopg.AsyncConnection.connect(postgres.dsn('superuser')) as connection:
        for statement in statements:
            await connection.execute(statement)  # type: ignore[arg-type]
    when = datetime(2024, 1, 1, tzinfo=UTC)
    for number in (1, 2):
        version = await product.datasets.version(user.id, dataset.id)
        (one,) = await product.datasets.provenance(user.id, version, series='south', time=when)
        assert (version.number, one.source, one.number, one.line) == (number, 'a.csv', 1, 4)
        await product.bring(user, 'b.csv', SECOND, dataset_id=dataset.id)


async def test_a_job_that_names_objects_of_others_to_extend_reads_nothing(
    product: Product, user: User, database: Postgres
) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    stranger = await factories.user(database)
    payload = {
        'source': f't/{user.id}/u/x/source',
        'name': 'a.csv',
        'upload': str(uuid4()),
        'options': {},
        'how': 'replace',
        'before': {'objects': [f't/{stranger.id}/convert/x/manifest.json']},
    }
    async with database.transaction(user.id) as tx:
        job = await product.queue.enqueue(
            tx, user_id=user.id, kind='convert', title='Mine', payload=payload, dataset_id=dataset.id, quote=1
        )
    await product.jobs.advance(job.id)
    ended: Job = await product.jobs.get(user.id, job.id)
    assert ended.state == JobState.FAILED
    assert 'not yours' in (ended.error or {})['message']


@pytest.mark.parametrize('share', [0.0, 0.4, 0.6])
async def test_a_conversion_that_is_cancelled_leaves_nothing_behind(
    product: Product, user: User, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    text = b'ds,region,y\n' + b''.join(b'2024-01-01 %02d:%02d,r%d,%d\n' % (i % 24, i % 60, i, i) for i in range(30_000))
    upload = await product.send(user, 'a.csv', text)
    (job,) = await product.jobs.running(user.id)
    monkeypatch.setattr('core.jobs.POLL', 0.02)
    running = asyncio.create_task(product.jobs.advance(job.id))
    async with asyncio.timeout(60):
        while (seen := await product.jobs.get(user.id, job.id)).progress < share or not seen.message:
            await asyncio.sleep(0.01)
        while not (born := children()):  # the job is told of before its child is born
            await asyncio.sleep(0.01)
    (child,) = born
    child.suspend()  # it does not end before it is cancelled
    await product.jobs.cancel(user.id, job.id)
    await running
    assert (await product.jobs.get(user.id, job.id)).state == JobState.CANCELLED
    assert not child.is_running()
    assert list((product.home / 'work').iterdir()) == []
    assert await product.objects.list(f't/{user.id}/convert/') == []
    assert upload.dataset_id is not None
    assert await product.datasets.versions(user.id, upload.dataset_id) == []


async def test_what_an_attempt_stored_before_it_failed_is_removed(
    open_product: Callable[..., Product], user: User
) -> None:
    async def script_stores(payload: Mapping[str, Any]) -> None:
        await product.objects.put(f'{payload["prefix"]}/data-00000.parquet', b'rows')

    stored: list[asyncio.Task[None]] = []

    def script(task: str, payload: Mapping[str, Any]) -> Any:
        if not stored:
            stored.append(asyncio.create_task(script_stores(payload)))
        return TaskFailed('The disk is full.') if stored[0].done() else None

    product = open_product(ScriptedCompute(script))
    await product.send(user, 'a.csv', FIRST)
    (job,) = await product.work_off(user)
    assert job.state == JobState.FAILED
    assert await product.objects.list(f't/{user.id}/convert/') == []


async def test_a_failed_append_is_corrected_from_the_bytes_that_are_there(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    upload = await product.send(
        user,
        'b.csv',
        b'junk\nday,region,y\n2024-01-05,north,7\n',
        dataset_id=dataset.id,
        options={'reading': {'skip': 1}},
    )
    (failed,) = await product.work_off(user)
    assert failed.error is not None
    assert failed.error['details']['columns'][0] == {'name': 'day', 'examples': ['2024-01-05']}
    balance = (await product.hours.balance(user.id)).seconds
    price = await product.uploads.quote(user.id, dataset.id, job_id=failed.id)
    said = {'roles': {'day': 'time'}}
    job = await product.uploads.correct(user.id, dataset.id, said, job_id=failed.id)
    assert (await product.hours.balance(user.id)).seconds == balance - price.seconds
    assert (job.payload['upload'], job.payload['how']) == (str(upload.id), 'append')
    assert job.payload['options']['reading'] == {'skip': 1}, 'what was said at the upload still holds'
    assert (await product.uploads.correct(user.id, dataset.id, said, job_id=failed.id)).id == job.id
    await product.work_off(user)
    assert (await rows(product, user, dataset.id))[2] == ('north', 5, 7)
    done = await product.uploads.correct(user.id, dataset.id, said, job_id=failed.id)
    assert (done.id, done.state) == (job.id, JobState.SUCCEEDED)
    assert (await product.datasets.get(user.id, dataset.id)).version == 2
    with pytest.raises(Conflict, match='failed or was cancelled'):
        await product.uploads.correct(user.id, dataset.id, said, job_id=job.id)


async def test_a_failed_append_can_replace_instead(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    await product.send(user, 'b.csv', b'day,shop,y\n2024-01-05,north,7\n', dataset_id=dataset.id)
    (failed,) = await product.work_off(user)
    with pytest.raises(UsageError, match='no way to join'):
        await product.uploads.correct(user.id, dataset.id, {}, job_id=failed.id, how='merge')
    await product.uploads.correct(user.id, dataset.id, {}, job_id=failed.id, how='replace')
    await product.work_off(user)
    assert (await product.datasets.get(user.id, dataset.id)).rows == 1


async def test_a_failed_first_upload_keeps_what_was_said_of_it(product: Product, user: User) -> None:
    text = b'junk\nds;y\n03.04.2024 10:00;1\n04.05.2024 10:00;2\n'.replace(b'.2024', b'/2024').replace(b'.', b'/')
    upload = await product.send(user, 'a.csv', text, options={'reading': {'skip': 1, 'delimiter': ';'}})
    (failed,) = await product.work_off(user)
    assert (failed.state, (failed.error or {})['code']) == (JobState.FAILED, 'ambiguous_dates')
    assert [one['name'] for one in (failed.error or {})['details']['columns']] == ['ds', 'y']
    assert upload.dataset_id is not None
    job = await product.uploads.correct(user.id, upload.dataset_id, {'day_first': True})
    assert job.payload['options'] == {'reading': {'skip': 1, 'delimiter': ';'}, 'day_first': True}
    (done,) = await product.work_off(user)
    assert done.state == JobState.SUCCEEDED


async def test_nobody_corrects_the_jobs_of_others(product: Product, user: User, database: Postgres) -> None:
    upload = await product.send(user, 'a.csv', b'a,b\nx,y\n')
    (failed,) = await product.work_off(user)
    assert upload.dataset_id is not None
    other = await product.bring(user, 'b.csv', FIRST)
    stranger = await factories.user(database)
    theirs = await product.bring(stranger, 'c.csv', FIRST)
    for who, dataset_id in ((stranger, theirs.id), (stranger, upload.dataset_id), (user, other.id)):
        with pytest.raises(NotFound):
            await product.uploads.correct(who.id, dataset_id, {}, job_id=failed.id)


async def test_an_append_that_lacks_a_measure_is_not_called_good(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', b'ds,y,z\n2024-01-01,1,1\n2024-01-02,2,2\n')
    await product.bring(user, 'b.csv', b'ds,y,x\n2024-01-03,1,1\n2024-01-04,2,2\n', dataset_id=dataset.id)
    version = await product.datasets.version(user.id, dataset.id)
    assert len(version.manifest['warnings']) == 2
    notice = (await product.notices.latest(user.id))[0]
    assert (notice.level, notice.title) == ('warn', 'Convert b.csv: done, see what has changed')
    assert notice.text.startswith('Version 2 is in use. ')
    assert 'has no column "z"' in notice.text
    assert '"x" is new' in notice.text


async def test_a_point_tells_what_was_written_in_its_cell(product: Product, user: User) -> None:
    months = (
        b'region,2024-01,2024-02,2024-03\nnorth,1,2,3\nsouth,4,5,6\neast,"7 kg",8,9\nwest,1,2,3\nmid,3,4,5\nfar,3,4,5\n'
    )
    dataset = await product.bring(user, 'a.csv', months)
    version = await product.datasets.version(user.id, dataset.id)

    async def written(month: int) -> str | None:
        when = datetime(2024, month, 1, tzinfo=UTC)
        (one,) = await product.datasets.provenance(user.id, version, series='east', time=when, measure='value')
        assert one.line == 4
        return one.written('value')

    assert (await written(1), await written(2)) == ('7 kg', None)
    with pytest.raises(NotFound, match='no column "price"'):
        when = datetime(2024, 1, 1, tzinfo=UTC)
        await product.datasets.provenance(user.id, version, series='east', time=when, measure='price')


async def test_faults_are_chosen_by_line_and_downloaded_alike(product: Product, user: User, tmp_path: Path) -> None:
    text = b'ds,y,z\n' + b''.join(b'2024-01-%02d,%s,1\n' % (n, b'x' if n in (3, 9) else b'1') for n in range(1, 29))
    dataset = await product.bring(user, 'a.csv', text)
    version = await product.datasets.version(user.id, dataset.id)

    async def lines(first: int | None, last: int | None, **page: int) -> list[int]:
        where = {'kind': 'not_a_number', 'column': 'y', 'action': 'emptied'}
        found = await product.datasets.faults(user.id, version, where=where, lines=(first, last), **page)
        out = tmp_path / 'faults.csv'
        await product.datasets.export(user.id, version, 'faults', out, where=where, lines=(first, last))
        assert len(out.read_text().splitlines()) == found.total + 1
        return [row[found.columns.index('line')] for row in found.rows]

    assert await lines(None, None) == [4, 10]
    assert await lines(None, None, offset=1, limit=1) == [10]
    assert await lines(5, None) == [10]
    assert await lines(None, 9) == [4]
    assert await lines(5, 9) == []


async def test_the_same_bytes_after_a_restore_join_anew(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    await product.bring(user, 'b.csv', SECOND, dataset_id=dataset.id)
    await product.datasets.restore(user.id, dataset.id, 1)
    assert (await product.send(user, 'other name.csv', FIRST, dataset_id=dataset.id)).state == 'unchanged'
    again = await product.bring(user, 'b again.csv', SECOND, dataset_id=dataset.id)
    assert (again.version, again.rows) == (3, 4)
    old, new = [await product.datasets.version(user.id, dataset.id, number) for number in (2, 3)]
    found = await product.datasets.diff(user.id, old, new)
    assert (found.added, found.changed, found.gone, found.same) == (0, 0, 0, 4)


async def test_a_restore_while_an_append_waits_changes_what_it_joins(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', FIRST)
    await product.bring(user, 'b.csv', SECOND, dataset_id=dataset.id)
    await product.send(user, 'c.csv', b'ds,region,y\n2024-01-09,west,7\n', dataset_id=dataset.id)
    await product.datasets.restore(user.id, dataset.id, 1)
    await product.work_off(user)
    assert (await product.datasets.get(user.id, dataset.id)).version == 3
    assert await rows(product, user, dataset.id) == [('north', 1, 1), ('north', 2, 2), ('south', 1, 3), ('west', 9, 7)]
    assert (await product.datasets.orders(user.id, dataset.id, [3]))[3].onto == 1


async def test_versions_of_other_measures_and_zones_are_compared(product: Product, user: User) -> None:
    text = b'when,y,z\n2024-07-01 12:00,1,5\n2024-07-01 13:00,2,6\n'
    dataset = await product.bring(user, 'a.csv', text)
    await product.uploads.correct(user.id, dataset.id, {'time_zone': 'Europe/Paris'})
    await product.work_off(user)
    other = b'when,y,w\n2024-07-01 12:00,1,7\n2024-07-01 13:00,3,8\n'
    await product.bring(user, 'b.csv', other, dataset_id=dataset.id, how='replace')
    first, second, third = [await product.datasets.version(user.id, dataset.id, number) for number in (1, 2, 3)]
    moved = await product.datasets.diff(user.id, first, second)
    assert (moved.added, moved.gone, moved.changed) == (2, 2, 0), 'the same stamps are other instants'
    found = await product.datasets.diff(user.id, second, third)
    assert (found.columns_added, found.columns_gone) == (('w',), ('z',))
    assert (found.added, found.gone, found.changed, found.same) == (0, 0, 1, 1)
