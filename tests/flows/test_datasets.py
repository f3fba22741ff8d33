"""Datasets from the first byte of an upload to an undone correction, over real adapters and real conversions."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from core.errors import Conflict, NotFound, TooLarge, Unavailable, UsageError
from core.ports import ObjectStore
from core.values import Dataset, Direct, JobState, ObjectInfo, Upload, User, Version
from storage.embedded.server import EmbeddedPostgres
from storage.embedded.staging import LocalStaging
from storage.postgres import Postgres
from tests import factories
from tests.flows.conftest import Product, pieces
from tests.flows.doubles import ScriptedCompute

DATA = Path(__file__).resolve().parents[1] / 'data' / 'air_passengers.csv'
MIXED = b"""ds,region,y,z
2024-01-01,north,1,9
2024-01-02,north,x,8
2024-01-03,north,3,7
2024-01-01,south,4,6
soon,south,5,5
"""
FORMULA = b'ds,note,y\n' + b''.join(b'2024-01-%02d,=1+1,%d\n' % (day, day) for day in range(1, 11))


@pytest.fixture
def uploads(open_product: Callable[..., Product]) -> Product:
    """The product for tests that never convert."""
    return open_product(ScriptedCompute(lambda task, payload: None))


class Torn(LocalStaging):
    """A staging whose process dies between the last byte and its acceptance."""

    async def accept(self, *_: object) -> None:
        raise asyncio.CancelledError


async def test_file_becomes_a_version_with_its_manifest(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'air_passengers.csv', DATA.read_bytes())
    version = await product.datasets.version(user.id, dataset.id)
    assert (dataset.name, dataset.source_name) == ('air passengers', 'air_passengers.csv')
    assert (dataset.version, dataset.rows, dataset.faults, dataset.series) == (1, 144, 0, 1)
    assert (version.number, version.rows, version.manifest['time']['freq']) == (1, 144, 'MS')
    stored = json.loads(await product.objects.get(f'{version.prefix}/manifest.json'))
    assert stored == json.loads(json.dumps(version.manifest))
    assert sum([await product.objects.size(key) for key in version.parts]) > 0
    assert version.prefix.startswith(f't/{user.id}/')
    (listed,) = await product.datasets.list(user.id)
    assert len(listed.sparkline) == 60
    assert (await product.notices.latest(user.id))[0].title == 'Convert air_passengers.csv: done'


async def test_those_that_have_a_version_are_listed_alone(product: Product, user: User) -> None:
    ready = await product.bring(user, 'ready.csv', DATA.read_bytes())
    upload = await product.uploads.begin_upload(user.id, name='waits.csv', size=4)
    await product.uploads.append(user.id, upload.id, 0, pieces(b'a\n1\n'))
    assert [one.name for one in await product.datasets.list(user.id)] == ['waits', 'ready']
    assert [one.id for one in await product.datasets.list(user.id, converted=True, limit=1)] == [ready.id]


async def test_upload_goes_on_where_it_broke_off(uploads: Product, user: User) -> None:
    content = DATA.read_bytes()
    upload = await uploads.uploads.begin_upload(user.id, name='a.csv', size=len(content))
    _, arrived = await uploads.uploads.append(user.id, upload.id, 0, pieces(content[:700]))
    assert arrived == 700
    assert [offset for _, offset in await uploads.uploads.unfinished(user.id)] == [700]
    with pytest.raises(Conflict):
        await uploads.uploads.append(user.id, upload.id, 0, pieces(content))
    assert (await uploads.uploads.received(user.id, upload.id))[1] == 700
    ended, _ = await uploads.uploads.append(user.id, upload.id, 700, pieces(content[700:]))
    assert ended.state == 'accepted'
    assert await uploads.objects.get(ended.object_key or '') == content
    assert await uploads.uploads.received(user.id, upload.id) == (ended, len(content))
    assert await uploads.uploads.unfinished(user.id) == []
    with pytest.raises(Conflict):
        await uploads.uploads.append(user.id, upload.id, len(content), pieces(b'x'))


async def test_accepting_twice_orders_one_conversion(uploads: Product, user: User) -> None:
    upload = await uploads.send(user, 'a.csv', MIXED)
    again = await uploads.uploads.accept(user.id, upload.id)
    assert again == upload
    assert len(await uploads.jobs.list(user.id)) == len(await uploads.datasets.list(user.id)) == 1


async def test_accepting_at_the_same_time_orders_one_conversion(uploads: Product, user: User) -> None:
    upload = await uploads.uploads.begin_upload(user.id, name='a.csv', size=len(MIXED))
    await uploads.staging.append(upload.id, 0, pieces(MIXED), limit=len(MIXED))
    accepted = await asyncio.gather(*(uploads.uploads.accept(user.id, upload.id) for _ in range(8)))
    assert {each.state for each in accepted} == {'accepted'}
    assert len({each.dataset_id for each in accepted}) == 1
    assert len(await uploads.jobs.list(user.id)) == len(await uploads.datasets.list(user.id)) == 1
    assert await uploads.objects.get(accepted[0].object_key or '') == MIXED


async def test_crash_before_acceptance_is_made_good_at_the_next_start(
    uploads: Product, open_product: Callable[..., Product], user: User
) -> None:
    uploads.uploads._staging = Torn(uploads.home / 'staging')
    upload = await uploads.uploads.begin_upload(user.id, name='a.csv', size=len(MIXED))
    half = await uploads.uploads.begin_upload(user.id, name='b.csv', size=len(MIXED))
    await uploads.uploads.append(user.id, half.id, 0, pieces(MIXED[:10]))
    with pytest.raises(asyncio.CancelledError):
        await uploads.uploads.append(user.id, upload.id, 0, pieces(MIXED))
    assert await uploads.jobs.list(user.id) == []
    restarted = open_product(uploads.compute)
    assert await restarted.uploads.recover() == 1
    assert await restarted.uploads.recover() == 0
    assert len(await restarted.jobs.list(user.id)) == 1
    assert [offset for _, offset in await restarted.uploads.unfinished(user.id)] == [10]


async def test_crash_after_the_move_is_made_good_at_the_next_start(
    uploads: Product, open_product: Callable[..., Product], user: User
) -> None:
    upload = await uploads.uploads.begin_upload(user.id, name='a.csv', size=len(MIXED))
    await uploads.staging.append(upload.id, 0, pieces(MIXED), limit=len(MIXED))
    await uploads.staging.accept(upload.id, uploads.objects, f't/{user.id}/u/{upload.id}/source')
    restarted = open_product(uploads.compute)
    assert await restarted.uploads.recover() == 1
    accepted = await restarted.uploads.upload(user.id, upload.id)
    assert await restarted.objects.get(accepted.object_key or '') == MIXED


async def test_upload_whose_bytes_are_gone_starts_anew(
    uploads: Product, open_product: Callable[..., Product], user: User
) -> None:
    upload = await uploads.uploads.begin_upload(user.id, name='a.csv', size=len(MIXED))
    await uploads.staging.discard(upload.id)
    restarted = open_product(uploads.compute)
    assert await restarted.uploads.recover() == 0
    assert (await restarted.uploads.received(user.id, upload.id))[1] == 0


class Distant(LocalStaging):
    """A staging that browsers send to directly: the bytes appear there, and nobody tells us."""

    origins = ('https://storage.example',)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.away = False

    async def create(self, upload_id: UUID) -> None:
        self._answer()
        await super().create(upload_id)

    async def direct(self, upload_id: UUID, size: int) -> Direct | None:
        self._answer()
        return Direct(url=f'{self.origins[0]}/{upload_id}', headers={}, metadata={}, chunk=size, expires_in=60)

    async def offset(self, upload_id: UUID) -> int:
        self._answer()
        return await super().offset(upload_id)

    async def appear(self, upload_id: UUID, content: bytes) -> None:
        """Hold what a browser has sent."""
        await self.append(upload_id, 0, pieces(content), limit=len(content))

    def _answer(self) -> None:
        if self.away:
            raise Unavailable


@pytest.fixture
def distant(uploads: Product) -> Distant:
    """Where the product's uploads arrive."""
    uploads.uploads._staging = uploads.staging = Distant(uploads.home / 'staging')
    return uploads.staging


async def test_a_browser_is_told_where_to_send_and_the_last_byte_is_looked_for(
    uploads: Product, distant: Distant, user: User, database: Postgres
) -> None:
    upload = await uploads.uploads.begin_upload(user.id, name='a.csv', size=len(MIXED))
    ticket = await uploads.uploads.direct(user.id, upload.id)
    assert ticket is not None
    assert ticket.url.startswith(uploads.uploads.origins[0])
    with pytest.raises(NotFound):
        await uploads.uploads.direct((await factories.user(database)).id, upload.id)
    assert await uploads.uploads.received(user.id, upload.id) == (upload, 0)
    await distant.appear(upload.id, MIXED)
    accepted, arrived = await uploads.uploads.received(user.id, upload.id)
    assert (accepted.state, arrived) == ('accepted', len(MIXED))
    with pytest.raises(Conflict, match='ended'):
        await uploads.uploads.direct(user.id, upload.id)
    assert len(await uploads.jobs.list(user.id)) == 1


async def test_where_all_bytes_come_through_us_nobody_sends_elsewhere(uploads: Product, user: User) -> None:
    upload = await uploads.uploads.begin_upload(user.id, name='a.csv', size=len(MIXED))
    assert await uploads.uploads.direct(user.id, upload.id) is None
    assert uploads.uploads.origins == ()


async def test_what_a_browser_sent_and_did_not_tell_is_found(uploads: Product, distant: Distant, user: User) -> None:
    half = await uploads.uploads.begin_upload(user.id, name='half.csv', size=len(MIXED))
    await distant.appear(half.id, MIXED[:10])
    whole = await uploads.uploads.begin_upload(user.id, name='whole.csv', size=len(MIXED))
    await distant.appear(whole.id, MIXED)
    await uploads.uploads.sweep()
    assert (await uploads.uploads.upload(user.id, whole.id)).state == 'accepted'
    assert [upload.id for upload, _ in await uploads.uploads.unfinished(user.id)] == [half.id]


async def test_old_uploads_are_looked_for_once(
    uploads: Product, distant: Distant, user: User, database: Postgres, postgres: EmbeddedPostgres
) -> None:
    async def began_long_ago(name: str) -> Upload:
        upload = await uploads.uploads.begin_upload(user.id, name=name, size=len(MIXED))
        await distant.appear(upload.id, MIXED)
        statement = "update uploads set created_at = now() - interval '3 days' where id = %s"
        async with await psycopg.AsyncConnection.connect(postgres.dsn('superuser'), autocommit=True) as connection:
            await connection.execute(statement, [upload.id])
        return upload

    first = await began_long_ago('first.csv')
    await uploads.uploads.sweep()
    assert (await uploads.uploads.upload(user.id, first.id)).state == 'accepted'
    second = await began_long_ago('second.csv')
    await uploads.uploads.sweep()
    assert (await uploads.uploads.upload(user.id, second.id)).state == 'receiving'
    assert (await uploads.uploads.received(user.id, second.id))[0].state == 'accepted', 'whoever asks is served'


async def test_uploads_that_wait_for_bytes_are_few(
    uploads: Product, user: User, database: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('core.uploads.MOST_WAITING', 3)
    begin = uploads.uploads.begin_upload
    asked = [begin(user.id, name=f'{name}.csv', size=len(MIXED)) for name in 'abcdef']
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [each for each in answers if isinstance(each, Conflict)]
    begun = [each for each in answers if isinstance(each, Upload)]
    assert (len(begun), len(refused)) == (3, 3), 'those announced at the same time count one another'
    assert 'Go on with them or discard them' in refused[0].message
    await begin((await factories.user(database)).id, name='a.csv', size=len(MIXED))
    await uploads.uploads.discard(user.id, begun[0].id)
    await uploads.uploads.append(user.id, begun[1].id, 0, pieces(MIXED))
    for name in ('g.csv', 'h.csv'):
        await begin(user.id, name=name, size=len(MIXED))
    with pytest.raises(Conflict):
        await begin(user.id, name='i.csv', size=len(MIXED))


async def idle(postgres: EmbeddedPostgres, *uploads: Upload) -> None:
    """Let the senders of uploads be silent for more than a week."""
    statement = "update uploads set grown_at = now() - interval '8 days' where id = any(%s)"
    async with await psycopg.AsyncConnection.connect(postgres.dsn('superuser'), autocommit=True) as connection:
        await connection.execute(statement, [[upload.id for upload in uploads]])


async def test_uploads_that_no_longer_grow_are_given_up(
    uploads: Product, user: User, postgres: EmbeddedPostgres
) -> None:
    silent, resumed, whole, young = [
        await uploads.uploads.begin_upload(user.id, name=f'{name}.csv', size=len(MIXED)) for name in 'abcd'
    ]
    await uploads.uploads.append(user.id, silent.id, 0, pieces(MIXED[:10]))
    await uploads.staging.append(whole.id, 0, pieces(MIXED), limit=len(MIXED))
    await idle(postgres, silent, resumed, whole)
    await uploads.uploads.append(user.id, resumed.id, 0, pieces(MIXED[:10]))
    assert await uploads.uploads.give_up() == 1
    states = [(await uploads.uploads.upload(user.id, each.id)).state for each in (silent, resumed, whole, young)]
    assert states == ['discarded', 'receiving', 'accepted', 'receiving']
    with pytest.raises(NotFound):
        await uploads.staging.offset(silent.id)
    assert (await uploads.notices.latest(user.id))[0].title == 'a.csv: the upload was given up'
    assert await uploads.uploads.give_up() == 0


async def test_what_a_browser_sends_past_us_is_given_up_a_week_after_it_asked_where_to(
    uploads: Product, distant: Distant, user: User, postgres: EmbeddedPostgres
) -> None:
    silent, asks = [await uploads.uploads.begin_upload(user.id, name=f'{name}.csv', size=len(MIXED)) for name in 'ab']
    await idle(postgres, silent, asks)
    await uploads.uploads.direct(user.id, asks.id)
    distant.away = True
    assert await uploads.uploads.give_up() == 0, 'a storage that is away tells nothing'
    distant.away = False
    assert await uploads.uploads.give_up() == 1
    with pytest.raises(NotFound):
        await distant.offset(silent.id)
    assert await distant.offset(asks.id) == 0


@pytest.mark.parametrize('sent', [MIXED + b'!', MIXED * 2])
async def test_more_than_was_announced_and_paid_for_is_not_accepted(
    uploads: Product, distant: Distant, user: User, sent: bytes
) -> None:
    upload = await uploads.uploads.begin_upload(user.id, name='a.csv', size=len(MIXED))
    await distant.appear(upload.id, sent)
    with pytest.raises(TooLarge, match='instead of the announced'):
        await uploads.uploads.received(user.id, upload.id)
    with pytest.raises(Conflict, match='instead of the announced'):
        await uploads.uploads.accept(user.id, upload.id)
    await uploads.uploads.sweep()
    assert await uploads.jobs.list(user.id) == []
    assert await uploads.objects.list(f't/{user.id}/u/') == []


async def test_what_staging_did_not_let_go_of_is_swept_up(
    uploads: Product, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = uploads.staging.discard

    async def away(upload_id: UUID) -> None:
        raise Unavailable('Storage is away.')

    monkeypatch.setattr(uploads.staging, 'discard', away)
    accepted = await uploads.send(user, 'a.csv', MIXED)
    assert accepted.state == 'accepted', 'the end stands, whatever becomes of the bytes'
    given_up = await uploads.uploads.begin_upload(user.id, name='b.csv', size=10)
    await uploads.uploads.discard(user.id, given_up.id)
    assert await uploads.staging.offset(accepted.id) == len(MIXED)
    monkeypatch.setattr(uploads.staging, 'discard', let_go)
    await uploads.uploads.recover()
    for upload in (accepted, given_up):
        with pytest.raises(NotFound):
            await uploads.staging.offset(upload.id)


async def test_an_upload_that_cannot_be_accepted_holds_up_no_other(
    uploads: Product, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await uploads.uploads.begin_upload(user.id, name='a.csv', size=len(MIXED))
    second = await uploads.uploads.begin_upload(user.id, name='b.csv', size=len(MIXED))
    for upload in (first, second):
        await uploads.staging.append(upload.id, 0, pieces(MIXED), limit=len(MIXED))
    accept = uploads.staging.accept

    async def refuse(upload_id: UUID, objects: ObjectStore, key: str) -> ObjectInfo:
        if upload_id == second.id:
            raise Unavailable('The bucket does not answer.')
        return await accept(upload_id, objects, key)

    monkeypatch.setattr(uploads.staging, 'accept', refuse)
    assert await uploads.uploads.recover() == 1
    assert (await uploads.uploads.upload(user.id, first.id)).state == 'accepted'
    assert (await uploads.uploads.upload(user.id, second.id)).state == 'receiving'


async def test_an_upload_that_cannot_begin_leaves_nothing(uploads: Product, distant: Distant, user: User) -> None:
    distant.away = True
    with pytest.raises(Unavailable):
        await uploads.uploads.begin_upload(user.id, name='a.csv', size=len(MIXED))
    distant.away = False
    assert await uploads.uploads.unfinished(user.id) == []


async def test_an_upload_that_ends_while_we_look_is_not_unfinished(
    uploads: Product, distant: Distant, user: User
) -> None:
    first = await uploads.uploads.begin_upload(user.id, name='a.csv', size=len(MIXED))
    second = await uploads.uploads.begin_upload(user.id, name='b.csv', size=len(MIXED))
    await distant.discard(first.id)
    assert [upload.id for upload, _ in await uploads.uploads.unfinished(user.id)] == [second.id]


async def test_too_large_and_empty_files_are_refused_before_a_byte_is_sent(uploads: Product, user: User) -> None:
    with pytest.raises(TooLarge, match='2,000,000 bytes; at most 1,048,576'):
        await uploads.uploads.begin_upload(user.id, name='a.csv', size=2_000_000)
    with pytest.raises(UsageError, match=r'a\.csv is empty'):
        await uploads.uploads.begin_upload(user.id, name='a.csv', size=0)
    assert await uploads.uploads.unfinished(user.id) == []


async def test_more_bytes_than_announced_are_refused(uploads: Product, user: User) -> None:
    upload = await uploads.uploads.begin_upload(user.id, name='a.csv', size=10)
    with pytest.raises(TooLarge):
        await uploads.uploads.append(user.id, upload.id, 0, pieces(MIXED))
    assert await uploads.jobs.list(user.id) == []


async def test_discarded_upload_is_gone(uploads: Product, user: User) -> None:
    upload = await uploads.uploads.begin_upload(user.id, name='a.csv', size=10)
    await uploads.uploads.discard(user.id, upload.id)
    with pytest.raises(NotFound, match='discarded'):
        await uploads.uploads.received(user.id, upload.id)
    with pytest.raises(Conflict):
        await uploads.uploads.append(user.id, upload.id, 0, pieces(b'0123456789'))
    with pytest.raises(Conflict):
        await uploads.uploads.discard(user.id, upload.id)


async def test_name_of_a_file_leads_nowhere(uploads: Product, user: User) -> None:
    upload = await uploads.send(user, '../../etc/\x00passwd.csv', MIXED)
    assert upload.name == 'passwd.csv'
    assert upload.object_key == f't/{user.id}/u/{upload.id}/source'


async def test_unreadable_file_leaves_a_dataset_without_a_version(product: Product, user: User) -> None:
    upload = await product.send(user, 'a.csv', b'%PDF-1.7 ...')
    (job,) = await product.work_off(user)
    assert (job.state, job.attempt) == (JobState.FAILED, 1)
    assert job.error is not None
    assert 'a.csv is a PDF document' in job.error['message']
    assert upload.dataset_id is not None
    assert (await product.datasets.get(user.id, upload.dataset_id)).version is None
    with pytest.raises(NotFound):
        await product.datasets.version(user.id, upload.dataset_id)
    assert (await product.notices.latest(user.id))[0].level == 'bad'


async def test_rename_delete_undelete(uploads: Product, user: User) -> None:
    dataset_id = (await uploads.send(user, 'a.csv', MIXED)).dataset_id
    assert dataset_id is not None
    await uploads.datasets.rename(user.id, dataset_id, '  Sales ')
    assert (await uploads.datasets.get(user.id, dataset_id)).name == 'Sales'
    for name in ('', ' ', 'x' * 256):
        with pytest.raises(UsageError):
            await uploads.datasets.rename(user.id, dataset_id, name)
    with pytest.raises(NotFound):
        await uploads.datasets.undelete(user.id, dataset_id)
    await uploads.datasets.delete(user.id, dataset_id)
    assert await uploads.datasets.list(user.id) == []
    for call in (uploads.datasets.get, uploads.datasets.delete):
        with pytest.raises(NotFound):
            await call(user.id, dataset_id)
    with pytest.raises(NotFound):
        await uploads.datasets.rename(user.id, dataset_id, 'Other')
    await uploads.datasets.undelete(user.id, dataset_id)
    assert (await uploads.datasets.get(user.id, dataset_id)).name == 'Sales'


async def test_correction_and_next_upload_make_versions_and_restore_goes_back(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', MIXED)
    first = await product.datasets.version(user.id, dataset.id)
    assert first.manifest['series']['columns'] == ['region']
    await product.uploads.correct(user.id, dataset.id, {'roles': {'region': 'attribute'}})
    assert (await product.datasets.get(user.id, dataset.id)).version == 1
    await product.work_off(user)
    second = await product.datasets.version(user.id, dataset.id)
    assert (second.number, second.manifest['series']['columns']) == (2, [])
    assert second.prefix != first.prefix
    await product.bring(user, 'b.csv', MIXED + b'2024-01-05,south,6,4\n', dataset_id=dataset.id)
    assert (await product.datasets.get(user.id, dataset.id)).version == 3
    await product.datasets.restore(user.id, dataset.id, 1)
    assert await product.datasets.version(user.id, dataset.id) == first
    assert [each.number for each in await product.datasets.versions(user.id, dataset.id)] == [3, 2, 1]
    assert await product.datasets.version(user.id, dataset.id, 2) == second
    with pytest.raises(NotFound):
        await product.datasets.restore(user.id, dataset.id, 4)


async def test_correction_that_cannot_be_is_refused(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', MIXED)
    for roles in ({'region': 'boss'}, {'nowhere': 'measure'}, {'ds': 'time', 'region': 'time'}):
        with pytest.raises(UsageError):
            await product.uploads.correct(user.id, dataset.id, {'roles': roles})
    for options in ({'memory': 1}, {'time_zone': 'Mars/Base'}, {'decimal': ';'}):
        with pytest.raises(UsageError):
            await product.uploads.correct(user.id, dataset.id, options)
    assert await product.jobs.running(user.id) == []


async def test_preview_faults_and_labels_tell_what_was_stored(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'a.csv', MIXED)
    version = await product.datasets.version(user.id, dataset.id)
    labels = await product.datasets.labels(user.id, version)
    assert list(labels) == version.manifest['series']['first']
    assert await product.datasets.labels(user.id, version, query='SOU') == [labels[1]]
    page = await product.datasets.preview(user.id, version, offset=1, limit=2)
    assert (page.offset, page.total, len(page.rows)) == (1, version.rows, 2)
    faults = await product.datasets.faults(user.id, version)
    told = [dict(zip(faults.columns, row, strict=True)) for row in faults.rows]
    assert [(fault['line'], fault['value'], fault['action']) for fault in told] == [
        (3, 'x', 'emptied'),
        (6, 'soon', 'rejected'),
    ]


async def test_downloads_hold_the_rows_and_run_no_formula(product: Product, user: User, tmp_path: Path) -> None:
    dataset = await product.bring(user, 'a.csv', FORMULA)
    version = await product.datasets.version(user.id, dataset.id)
    out, packed, faults = tmp_path / 'out.csv', tmp_path / 'out.parquet', tmp_path / 'faults.csv'
    await product.datasets.export(user.id, version, 'rows', out)
    await product.datasets.export(user.id, version, 'rows', packed)
    await product.datasets.export(user.id, version, 'faults', faults)
    lines = out.read_text().splitlines()
    assert len(lines) == 11
    assert lines[0] == 'ds,note,y'
    assert all("'=1+1" in line for line in lines[1:])
    assert packed.read_bytes()[:4] == b'PAR1'
    assert faults.read_text().startswith('line,')


async def test_a_download_that_is_uploaded_again_holds_the_hour_that_clocks_show_twice(
    product: Product, user: User, tmp_path: Path
) -> None:
    told = ['2024-10-27 00:00', '2024-10-27 01:00', '2024-10-27 02:00+01:00', '2024-10-27 03:00', '2024-10-28 00:00']
    text = 'at,load\n' + ''.join(f'{at},{n}\n' for n, at in enumerate(told))
    zone = {'time_zone': 'Europe/Berlin'}
    dataset = await product.bring(user, 'load.csv', text.encode(), options=zone)

    async def downloaded(dataset: Dataset) -> bytes:
        out = tmp_path / f'{dataset.id}.csv'
        await product.datasets.export(user.id, await product.datasets.version(user.id, dataset.id), 'rows', out)
        return out.read_bytes()

    found = await downloaded(dataset)
    assert found.decode().splitlines()[2:5] == [
        '2024-10-27T01:00:00+02:00,1', '2024-10-27T02:00:00+01:00,2', '2024-10-27T03:00:00+01:00,3',
    ]  # fmt: skip
    assert await downloaded(await product.bring(user, 'again.csv', found, options=zone)) == found
    assert await downloaded(await product.bring(user, 'more.csv', found, dataset_id=dataset.id)) == found


async def test_foreign_tenant_finds_nothing(product: Product, user: User, database: Postgres, tmp_path: Path) -> None:
    dataset = await product.bring(user, 'a.csv', MIXED)
    version = await product.datasets.version(user.id, dataset.id)
    upload = await product.uploads.begin_upload(user.id, name='b.csv', size=10)
    stranger = await factories.user(database)
    for call in _calls(product, stranger.id, dataset.id, upload.id, version, tmp_path):
        with pytest.raises(NotFound):
            await call()
    assert await product.datasets.list(stranger.id) == []
    assert await product.datasets.versions(stranger.id, dataset.id) == []
    assert await product.uploads.unfinished(stranger.id) == []
    assert await product.datasets.get(user.id, dataset.id) == dataset
    assert (await product.uploads.received(user.id, upload.id))[1] == 0


async def test_what_never_was_is_not_found(uploads: Product, user: User, tmp_path: Path) -> None:
    version = Version(
        id=uuid4(), dataset_id=uuid4(), user_id=uuid4(), number=1, prefix='t/x', manifest={'files': []}, rows=1,
        upload_id=uuid4(), created_at=datetime.now(UTC),
    )  # fmt: skip
    for call in _calls(uploads, user.id, uuid4(), uuid4(), version, tmp_path):
        with pytest.raises(NotFound):
            await call()


def _calls(product: Product, user_id: UUID, dataset: UUID, upload: UUID, version: Version, folder: Path) -> list:
    datasets, uploads = product.datasets, product.uploads
    return [
        lambda: datasets.get(user_id, dataset),
        lambda: datasets.version(user_id, dataset),
        lambda: datasets.version(user_id, dataset, 1),
        lambda: datasets.rename(user_id, dataset, 'mine'),
        lambda: datasets.delete(user_id, dataset),
        lambda: datasets.undelete(user_id, dataset),
        lambda: datasets.restore(user_id, dataset, 1),
        lambda: uploads.correct(user_id, dataset, {'roles': {'region': 'attribute'}}),
        lambda: uploads.begin_upload(user_id, name='a.csv', size=1, dataset_id=dataset),
        lambda: uploads.upload(user_id, upload),
        lambda: uploads.received(user_id, upload),
        lambda: uploads.append(user_id, upload, 0, pieces(b'0123456789')),
        lambda: uploads.accept(user_id, upload),
        lambda: datasets.preview(user_id, version),
        lambda: datasets.faults(user_id, version),
        lambda: datasets.labels(user_id, version),
        lambda: datasets.export(user_id, version, 'rows', folder / 'out.csv'),
    ]


async def test_a_later_file_puts_no_other_one_right(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'january.csv', b'ds,y\n2024-01-01,1\n2024-01-02,2\n')
    await product.send(user, 'february.csv', b'ds,y\n02/03/2024,1\n03/04/2024,2\n', dataset_id=dataset.id)
    (failed,) = await product.work_off(user)
    assert failed.state == JobState.FAILED
    await product.send(user, 'march.csv', b'ds,y\n2024-03-01,1\n2024-03-02,2\n', dataset_id=dataset.id)
    await product.work_off(user)
    standing = (await product.jobs.states(user.id, [dataset.id]))[dataset.id]
    assert (standing.state, standing.outside) == (JobState.SUCCEEDED, 1)
    await product.uploads.correct(user.id, dataset.id, {'day_first': True}, job_id=failed.id)
    await product.work_off(user)
    assert (await product.jobs.states(user.id, [dataset.id]))[dataset.id].outside == 0
