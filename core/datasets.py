"""Datasets: upload → version → profile → rows and faults; correction and undo."""

import asyncio
import re
from collections.abc import AsyncIterable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import structlog

from core import orders
from core.analysis import tables
from core.analysis.ahead import Ahead, known_ahead
from core.analysis.recipes import Preview, fields_of
from core.analysis.recipes import check as check_recipe
from core.analysis.recipes import preview as try_recipe
from core.analysis.versions import Difference, Point, Stored, difference, points
from core.errors import Conflict, NotEnoughHours, NotFound, TooLarge, Unavailable, UsageError, VariosyncError
from core.hours import Hours, short_of
from core.notices import Notices
from core.orders import Order
from core.ports import Database, Events, JobQueue, ObjectStore, Row, Staging, Transaction
from core.values import Dataset, Direct, Job, JobState, Quote, Upload, Version

READING_AT_ONCE = 8
COMPARING_AT_ONCE = 2  # each may hold 256 MB and write what does not fit to disk
ASKED_AT_ONCE = 8  # uploads, of a staging that is far away
SWEPT = timedelta(days=2)  # an address to send to holds for a day
T = TypeVar('T')
EXPORTS = {'csv': 'text/csv; charset=utf-8', 'parquet': 'application/vnd.apache.parquet'}


log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a stored row came from: its line in `source`, which version `number` of the dataset brought.

    `line` is None for a row that a step of cleaning made, `number` where that version is not known. `cells` are what
    is stored, `faults` what was found on that line of the file.
    """

    line: int | None
    source: str
    number: int | None
    cells: Mapping[str, Any]
    faults: tables.Page | None
    sources: Mapping[str, str] = field(default_factory=dict)

    def written(self, measure: str) -> str | None:
        """The raw text of a cell that is stored otherwise than it was written; None when it was stored as written."""
        if self.faults is None:
            return None
        column, value = (self.faults.columns.index(name) for name in ('column', 'value'))
        names = {measure, self.sources.get(measure, measure)}
        own = [row for row in self.faults.rows if row[column] in names]
        if not own:
            # Of a wide table, faults name the column as the file does: by the time or the series of the point.
            told = [str(cell) for name, cell in self.cells.items() if name != measure and cell is not None]
            own = [
                row
                for row in self.faults.rows
                if row[column] and row[column] not in self.cells and any(cell.startswith(row[column]) for cell in told)
            ]
        found = [row for row in own if row[value] is not None]
        return str(found[0][value]) if found else None


class Datasets:
    """What users bring and what became of it. Every method sees the rows of the given user only."""

    def __init__(
        self,
        database: Database,
        *,
        queue: JobQueue,
        staging: Staging,
        objects: ObjectStore,
        events: Events,
        hours: Hours,
        notices: Notices,
        max_upload: int,
    ) -> None:
        self._database = database
        self._queue = queue
        self._staging = staging
        self._objects = objects
        self._events = events
        self._hours = hours
        self._notices = notices
        self._max_upload = max_upload
        self._threads = ThreadPoolExecutor(READING_AT_ONCE, thread_name_prefix='reading')
        self._comparing = asyncio.Semaphore(COMPARING_AT_ONCE)
        self._since: timedelta | None = None

    # uploads

    async def begin_upload(
        self,
        user_id: UUID,
        *,
        name: str,
        size: int,
        dataset_id: UUID | None = None,
        how: str = 'append',
        options: Mapping[str, Any] | None = None,
    ) -> Upload:
        """Announce a file of `size` bytes; with `dataset_id` it becomes that dataset's next version.

        `how` says what becomes of the rows that are there: with `append` the file's rows win where series and time are
        the same and all others stay, with `replace` the file's rows alone make the version. `options` are those of
        `correct`; what they do not name stays as it was for the version that is shown.
        Raise NotEnoughHours when the balance does not cover the quote of its conversion.
        """
        orders.check_how(how)
        asked = dict(options or {})
        orders.check_options(asked)
        orders.check_roles(asked.get('roles', {}), None)
        if size > self._max_upload:
            raise TooLarge(
                f'{name} has {size:,} bytes; at most {self._max_upload:,} are accepted. Compress or split it.'
            )
        if size == 0:
            raise UsageError(f'{name} is empty. Choose a file that holds data.')
        if dataset_id is not None:
            await self.get(user_id, dataset_id)
        quote, balance = self._hours.quote_convert(size, name), await self._hours.balance(user_id)
        if balance.seconds < quote.seconds:
            raise short_of(quote.seconds, missing=quote.seconds - balance.seconds)
        upload_id = uuid4()
        async with self._database.transaction(user_id) as tx:
            row = await tx.one(
                'upload_insert',
                id=upload_id,
                user_id=user_id,
                name=clean_name(name),
                size=size,
                dataset_id=dataset_id,
                how=how,
                options=asked,
            )
        try:
            await self._staging.create(upload_id)
        except Unavailable:
            async with self._database.transaction(user_id) as tx:
                await tx.run('upload_discard', id=upload_id)
            raise
        return _upload(row)

    async def upload(self, user_id: UUID, upload_id: UUID) -> Upload:
        """Return an upload. Raise NotFound when it is not this user's."""
        async with self._database.transaction(user_id) as tx:
            return _upload(await tx.one('upload_by_id', id=upload_id))

    @property
    def origins(self) -> Sequence[str]:
        """Origins that browsers send files to themselves; none when all bytes come through us."""
        return self._staging.origins

    async def direct(self, user_id: UUID, upload_id: UUID) -> Direct | None:
        """Return where a browser may send the bytes itself, or None when they come by `append` only.

        Raise Conflict when the upload has ended. Who has sent the last byte asks `received`, which accepts.
        """
        upload = await self.upload(user_id, upload_id)
        if upload.state != 'receiving':
            raise Conflict('This upload has ended already.')
        return await self._staging.direct(upload_id, upload.size)

    async def received(self, user_id: UUID, upload_id: UUID) -> tuple[Upload, int]:
        """Return an upload and how many of its bytes have arrived; a complete one is accepted on the way."""
        upload = await self.upload(user_id, upload_id)
        if upload.state in ('accepted', 'unchanged'):
            return upload, upload.size
        if upload.state == 'discarded':
            raise NotFound('This upload was discarded. Drop the file again.')
        offset = await self._staging.offset(upload_id)
        if offset > upload.size:
            raise TooLarge(f'{offset:,} bytes arrived instead of the announced {upload.size:,}. Upload the file anew.')
        return (await self.accept(user_id, upload_id) if offset == upload.size else upload), offset

    async def append(
        self, user_id: UUID, upload_id: UUID, offset: int, pieces: AsyncIterable[bytes]
    ) -> tuple[Upload, int]:
        """Append bytes from `offset` on; the last byte accepts the upload. Return the upload and the new offset."""
        upload = await self.upload(user_id, upload_id)
        if upload.state != 'receiving':
            raise Conflict('This upload has ended already.')
        arrived = await self._staging.append(upload_id, offset, pieces, limit=upload.size)
        return (await self.accept(user_id, upload_id) if arrived == upload.size else upload), arrived

    async def accept(self, user_id: UUID, upload_id: UUID) -> Upload:
        """Move a complete upload to the object store and order its conversion. Accepting twice changes nothing.

        A file that its dataset shows already, read the same way, orders nothing: the upload ends as `unchanged`, and a
        notice says so. Raise NotEnoughHours when the balance has fallen below the quote; the bytes are kept, and asking
        again accepts.
        """
        upload = await self.upload(user_id, upload_id)
        if upload.state != 'receiving':
            return upload
        key = f't/{user_id}/u/{upload_id}/source'
        info = await self._staging.accept(upload_id, self._objects, key)
        if info.size != upload.size:  # whoever sends directly may go on sending while we accept
            await self._objects.delete(key)
            raise Conflict(f'{info.size:,} bytes arrived instead of the announced {upload.size:,}. Upload it anew.')
        job: Job | None = None
        async with self._database.transaction(user_id) as tx:
            locked = _upload(await tx.one('upload_lock', id=upload_id))
            if locked.state != 'receiving':
                return locked
            dataset_id = locked.dataset_id or await self._new_dataset(tx, locked)
            last = await orders.last_order(tx, dataset_id) if locked.dataset_id else None
            follows = orders.following(locked, last)
            if last is not None and orders.is_same(locked, info.sha256, follows, last):
                row = await tx.one('upload_unchanged', id=upload_id)
            else:
                row = await tx.one(
                    'upload_accept', id=upload_id, key=info.key, sha256=info.sha256, dataset_id=dataset_id
                )
                how = 'replace' if last is None else locked.how
                job = await self._order(tx, _upload(row), dataset_id, options=follows, how=how)
        await self._clear(upload_id)
        if job is None:
            await self._objects.delete(key)
            await self._tell_unchanged(locked, last['number'] if last else None)
        else:
            await self._ordered(user_id, job)
        return _upload(row)

    async def _tell_unchanged(self, upload: Upload, number: int | None) -> None:
        shown = 'is being converted already' if number is None else f'is version {number}, which is shown'
        async with self._database.system() as tx:
            notice = await self._notices.add(
                tx,
                upload.user_id,
                level='info',
                title=f'{upload.name}: nothing has changed',
                text=f'The same file {shown}. No version was made, and no hours were used.',
                link=f'/datasets/{upload.dataset_id}',
            )
        await self._notices.tell(notice)

    async def discard(self, user_id: UUID, upload_id: UUID) -> None:
        """Give up an upload that has not been accepted."""
        async with self._database.transaction(user_id) as tx:
            if not await tx.run('upload_discard', id=upload_id):
                raise Conflict('This upload has ended already; delete its dataset instead.')
        await self._clear(upload_id)

    async def _clear(self, upload_id: UUID) -> None:
        """Have staging let go of an upload that has ended; what fails is left to `recover`, for the end stands."""
        try:
            await self._staging.discard(upload_id)
        except VariosyncError as error:
            log.warning('bytes of an upload are left in staging', upload=str(upload_id), error=error.message)
            return
        async with self._database.system() as tx:
            await tx.run('upload_cleared', id=upload_id)

    async def unfinished(self, user_id: UUID) -> Sequence[tuple[Upload, int]]:
        """Return the uploads that wait for more bytes, with what has arrived."""
        async with self._database.transaction(user_id) as tx:
            uploads = [_upload(row) for row in await tx.all('uploads_receiving')]
        asking = asyncio.Semaphore(ASKED_AT_ONCE)

        async def ask(upload: Upload) -> list[tuple[Upload, int]]:
            async with asking:
                with suppress(NotFound):  # it has ended meanwhile
                    return [(upload, await self._staging.offset(upload.id))]
            return []

        return [found for each in await asyncio.gather(*map(ask, uploads)) for found in each]

    async def recover(self, *, since: timedelta | None = None) -> int:
        """Accept what had arrived whole before the process died; return how many uploads that were.

        With `since`, uploads that began longer ago are left alone.
        """
        async with self._database.system() as tx:
            waiting = [_upload(row) for row in await tx.all('uploads_receiving')]
            left = [row['id'] for row in await tx.all('uploads_left')]
        for upload_id in left:
            await self._clear(upload_id)
        accepted = 0
        for upload in waiting:
            if since is None or datetime.now(UTC) - upload.created_at <= since:
                try:
                    accepted += await self._look_at(upload)
                except VariosyncError as error:
                    # The next one may fare better, and this one has its turn again.
                    log.warning('an upload waits', upload=str(upload.id), error=error.message)
        return accepted

    async def _look_at(self, upload: Upload) -> bool:
        """Accept an upload if all of it is there, and say whether it was."""
        try:
            complete = await self._staging.offset(upload.id) == upload.size
        except NotFound:
            if (await self.upload(upload.user_id, upload.id)).state == 'receiving':
                await self._staging.create(upload.id)
                if (await self.upload(upload.user_id, upload.id)).state != 'receiving':
                    await self._clear(upload.id)  # it ended meanwhile, in another process
            return False
        if complete:
            # It waits for hours, until its sender asks again; or it ended meanwhile.
            with suppress(NotEnoughHours, Conflict, NotFound):
                await self.accept(upload.user_id, upload.id)
                return True
        return False

    async def sweep(self) -> None:
        """Accept what browsers have sent whole and not told us; of old uploads only the first time."""
        since, self._since = self._since, SWEPT
        await self.recover(since=since)

    async def _new_dataset(self, tx: Transaction, upload: Upload) -> UUID:
        source = await tx.one('source_insert', user_id=upload.user_id, name=upload.name, upload_id=upload.id)
        row = await tx.one('dataset_insert', user_id=upload.user_id, source_id=source['id'], name=title_of(upload.name))
        return UUID(str(row['id']))

    async def _order(
        self,
        tx: Transaction,
        upload: Upload,
        dataset_id: UUID,
        *,
        options: Mapping[str, Any],
        how: str = 'replace',
        onto: str | None = None,
        rows: int | None = None,
    ) -> Job:
        payload = {
            'source': upload.object_key,
            'name': upload.name,
            'upload': str(upload.id),
            'options': dict(options),
            'how': how,
            **({'onto': onto} if onto else {}),
        }
        return await self._queue.enqueue(
            tx,
            user_id=upload.user_id,
            kind='convert',
            title=f'Convert {upload.name}',
            payload=payload,
            dataset_id=dataset_id,
            quote=self._hours.quote_convert(upload.size, upload.name, rows=rows).seconds,
        )

    async def _ordered(self, user_id: UUID, job: Job) -> None:
        await self._events.publish(f'{user_id}/jobs', {'job': str(job.id), 'dataset': str(job.dataset_id)})
        await self._hours.tell(user_id)

    # datasets and versions

    async def list(self, user_id: UUID) -> Sequence[Dataset]:
        """Return the datasets, the latest change first."""
        async with self._database.transaction(user_id) as tx:
            return [_dataset(row) for row in await tx.all('datasets_list')]

    async def get(self, user_id: UUID, dataset_id: UUID) -> Dataset:
        """Return a dataset. Raise NotFound when it is not this user's or was deleted."""
        async with self._database.transaction(user_id) as tx:
            return _dataset(await tx.one('dataset_by_id', id=dataset_id))

    async def versions(self, user_id: UUID, dataset_id: UUID) -> Sequence[Version]:
        """Return every version, the newest first."""
        async with self._database.transaction(user_id) as tx:
            return [Version(**row) for row in await tx.all('versions_list', dataset_id=dataset_id)]

    async def version(self, user_id: UUID, dataset_id: UUID, number: int | None = None) -> Version:
        """Return the version with this number, or the current one. Raise NotFound when there is none."""
        async with self._database.transaction(user_id) as tx:
            if number is None:
                return Version(**await tx.one('version_current', dataset_id=dataset_id))
            return Version(**await tx.one('version_by_number', dataset_id=dataset_id, number=number))

    async def shown(self, user_id: UUID, ids: Collection[UUID]) -> Mapping[UUID, tuple[str, Version | None]]:
        """Return by id the name and the shown version of each of these datasets; those not there are left out."""
        async with self._database.transaction(user_id) as tx:
            rows = await tx.all('versions_shown', ids=sorted(ids, key=str))
        return {
            row['shown_by']: (
                row['dataset_name'],
                None
                if row['id'] is None
                else Version(**{name: one for name, one in row.items() if name not in ('shown_by', 'dataset_name')}),
            )
            for row in rows
        }

    async def orders(self, user_id: UUID, dataset_id: UUID) -> Mapping[int, Order]:
        """Return by number what each version was ordered to be."""
        async with self._database.transaction(user_id) as tx:
            rows = await tx.all('version_orders', dataset_id=dataset_id)
        return {row['number']: orders.order_of(row['payload'] or {}) for row in rows}

    async def rename(self, user_id: UUID, dataset_id: UUID, name: str) -> None:
        """Give the dataset another name."""
        if not (name := name.strip()) or len(name) > 255:
            raise UsageError('A dataset needs a name of 1 to 255 characters.')
        await self._change('dataset_rename', user_id, dataset_id, name=name)

    async def delete(self, user_id: UUID, dataset_id: UUID) -> None:
        """Take the dataset away; `undelete` brings it back."""
        await self._change('dataset_delete', user_id, dataset_id)

    async def undelete(self, user_id: UUID, dataset_id: UUID) -> None:
        """Bring a deleted dataset back."""
        await self._change('dataset_undelete', user_id, dataset_id)

    async def restore(self, user_id: UUID, dataset_id: UUID, number: int) -> None:
        """Show an earlier version again; nothing is lost, so this undoes an upload or a correction."""
        version = await self.version(user_id, dataset_id, number)
        await self._change('dataset_point', user_id, dataset_id, version_id=version.id)

    async def _change(self, statement: str, user_id: UUID, dataset_id: UUID, **values: Any) -> None:
        async with self._database.transaction(user_id) as tx:
            if not await tx.run(statement, id=dataset_id, **values):
                raise NotFound('There is no such dataset.')
        await self._events.publish(f'{user_id}/datasets', {'dataset': str(dataset_id)})

    async def correct(
        self,
        user_id: UUID,
        dataset_id: UUID,
        options: Mapping[str, Any],
        *,
        job_id: UUID | None = None,
        how: str | None = None,
    ) -> Job:
        """Convert a file of the dataset again as the user says; a new version follows.

        `options` may hold what `core.analysis.ingest.Options` names in CHOICES: `roles` (column → time, series,
        measure or attribute), `reading` (encoding, delimiter, …), `off` (repairs), `recipe` and so on; what it does not
        name stays as it was. The file is the shown version's and joins the rows that it joined then. With `job_id` it
        is that of a conversion that failed or was cancelled, which joins what is shown now, or does as `how` says
        (append or replace). While there is no version, the last conversion is meant.
        Asked again for what is on its way or has been done, return that job: nothing is ordered twice.
        Raise Conflict for a job that has not failed.
        """
        orders.check_options(options)
        if how is not None:
            orders.check_how(how)
        roles = options.get('roles', {})
        async with self._database.transaction(user_id) as tx:
            last = await orders.last_order(tx, dataset_id)
            again = await orders.to_do_again(tx, dataset_id, job_id)
            names = None if again.version is None else orders.columns(again.version['manifest'])
            orders.check_roles(roles, names)
            if again.version is not None and set(options) == {'recipe'}:
                check_recipe(options['recipe'], fields_of(again.version['manifest']))
            wanted = {**again.options, **options}
            joins = how or again.how
            onto = again.onto if joins == 'append' else None
            # A failed job whose correction is shown needs no other; of a version that is shown, another is asked for.
            if last is not None and (last['state'] in ('queued', 'running') or job_id is not None):
                told = last['payload']
                if (
                    told.get('upload') == str(again.upload.id)
                    and (told.get('how', 'replace'), told.get('onto')) == (joins, onto)
                    and orders.in_effect(told.get('options') or {}) == orders.in_effect(wanted)
                ):
                    return _job(await tx.one('job_by_id', id=last['id']))
            job = await self._order(
                tx, again.upload, dataset_id, options=wanted, how=joins, onto=onto, rows=orders.rows_read(again.version)
            )
        await self._ordered(user_id, job)
        return job

    async def quote(self, user_id: UUID, dataset_id: UUID, *, job_id: UUID | None = None) -> Quote:
        """Return what `correct` costs at most."""
        async with self._database.transaction(user_id) as tx:
            await tx.one('dataset_by_id', id=dataset_id)
            again = await orders.to_do_again(tx, dataset_id, job_id)
        upload = again.upload
        return self._hours.quote_convert(upload.size, upload.name, rows=orders.rows_read(again.version))

    async def converted(self, tx: Transaction, job: Job, result: Mapping[str, Any]) -> None:
        """Commit the version that a conversion made, in the transaction that ends its job."""
        stored = [file for file in result['manifest']['files'] if file['name'].startswith('data-')]
        row = await tx.one(
            'version_insert',
            dataset_id=job.dataset_id,
            user_id=job.user_id,
            upload_id=job.payload['upload'],
            job_id=job.id,
            prefix=result['prefix'],
            manifest=result['manifest'],
            rows=sum(file['rows'] for file in stored),
        )
        await tx.run('dataset_point', id=job.dataset_id, version_id=row['id'])

    async def prepared(self, tx: Transaction, job: Job) -> Mapping[str, Any]:
        """Return what an attempt at a conversion extends, as it stands now: the objects of a version, if any."""
        if job.payload.get('how') != 'append':
            return {}
        row = await tx.first(
            'version_before', dataset_id=job.dataset_id, user_id=job.user_id, onto=job.payload.get('onto')
        )
        if row is None:
            return {'before': None}
        version = Version(**row)
        return {'before': {'version': str(version.id), 'number': version.number, 'objects': version.extended}}

    # reading

    async def preview(self, user_id: UUID, version: Version, *, offset: int = 0, limit: int = 100) -> tables.Page:
        """Return stored rows in their order."""
        _own(user_id, version)
        rows = await self._objects.open(version.parts)
        return await self._read(lambda: tables.page(rows.paths, offset=offset, limit=limit, system=rows.files))

    async def faults(
        self,
        user_id: UUID,
        version: Version,
        *,
        offset: int = 0,
        limit: int = 100,
        where: Mapping[str, str | None] | None = None,
        lines: tables.Lines = (None, None),
    ) -> tables.Page:
        """Return faults in line order; `where` (`kind`, `column`, `action`) leaves those of one group.

        `lines` are the first and the last line to look at, None for no bound.
        """
        _own(user_id, version)
        path = await self._objects.fetch(f'{version.prefix}/faults.parquet')
        order = ('line', 'column')
        return await self._read(
            lambda: tables.page([path], offset=offset, limit=limit, order=order, where=where, lines=lines)
        )

    async def fault_groups(self, user_id: UUID, version: Version) -> Sequence[tables.Group]:
        """Return how many faults there are of each kind, column and action, the most frequent first."""
        _own(user_id, version)
        path = await self._objects.fetch(f'{version.prefix}/faults.parquet')
        return await self._read(lambda: tables.fault_groups(path))

    async def faults_at(self, user_id: UUID, version: Version, lines: Sequence[int]) -> tables.Page:
        """Return what was found on these lines of the version's own file, at most 1,000 faults."""
        _own(user_id, version)
        path = await self._objects.fetch(f'{version.prefix}/faults.parquet')
        return await self._read(lambda: tables.at_lines(path, lines))

    async def diff(self, user_id: UUID, before: Version, after: Version, *, limit: int = 20) -> Difference:
        """Return what one version made of another of the same dataset: rows added, changed and gone.

        At most `limit` rows of each kind are listed.
        """
        _own(user_id, before)
        _own(user_id, after)
        if before.dataset_id != after.dataset_id:
            raise UsageError('Only versions of one dataset can be compared.')
        opened = await self._objects.open([*before.parts, *after.parts])
        middle = len(before.parts)
        old, new = (
            Stored(parts=paths, system=opened.files) for paths in (opened.paths[:middle], opened.paths[middle:])
        )
        async with self._comparing:
            return await self._read(lambda: difference(old, new, limit=limit))

    async def try_recipe(
        self, user_id: UUID, version: Version, steps: Sequence[Mapping[str, Any]], *, series: str, limit: int = 500
    ) -> Preview:
        """Return what cleaning steps would do to one series of a version, and at most `limit` of its rows.

        Raise UsageError for a step that cannot be done.
        """
        _own(user_id, version)
        fields, zone = fields_of(version.manifest), version.manifest['time']['zone']
        await self._read(lambda: check_recipe(steps, fields, zone=zone))
        rows = await self._objects.open(version.extended[1:])
        return await self._read(
            lambda: try_recipe(rows.paths, fields, steps, zone=zone, series=series, limit=limit, system=rows.files)
        )

    async def provenance(
        self, user_id: UUID, version: Version, *, series: str, time: datetime, measure: str | None = None
    ) -> Sequence[Origin]:
        """Return where the rows of a series at a time came from.

        Raise NotFound when there is no such point, or no such measure.
        """
        _own(user_id, version)
        if measure is not None and measure not in {column['name'] for column in version.manifest['columns']}:
            raise NotFound(f'There is no column "{measure}" in version {version.number}.')
        opened = await self._objects.open(version.parts)
        stored = Stored(parts=opened.paths, system=opened.files)
        found = await self._read(lambda: points(stored, series=series, time=time))
        if not found:
            raise NotFound(f'There is no row of "{series}" at {time.isoformat()} in version {version.number}.')
        made = await self.versions(user_id, version.dataset_id)
        sources = version.manifest.get('sources') or [{'name': version.manifest['source']['name'], 'origin': ''}]
        return [await self._origin(version, point, sources[point.source], made) for point in found]

    async def _origin(
        self, version: Version, point: Point, source: Mapping[str, Any], made: Sequence[Version]
    ) -> Origin:
        by = next((one for one in made if source['origin'] and one.prefix.endswith(f'/{source["origin"]}')), None)
        if by is None and not version.manifest.get('sources', ())[1:]:
            by = version
        faults = None
        if by is not None and point.line is not None:
            path, line = await self._objects.fetch(f'{by.prefix}/faults.parquet'), point.line
            faults = await self._read(lambda: tables.at_lines(path, [line]))
        return Origin(
            line=point.line,
            source=source['name'],
            number=None if by is None else by.number,
            cells=point.cells,
            faults=faults,
            sources={column['name']: column['source'] for column in version.manifest['columns']},
        )

    async def labels(self, user_id: UUID, version: Version, *, query: str = '', limit: int = 50) -> Sequence[str]:
        """Return series labels that contain `query`."""
        _own(user_id, version)
        path = await self._objects.fetch(f'{version.prefix}/series.parquet')
        return await self._read(lambda: tables.search(path, column='series', query=query, limit=limit))

    async def known_ahead(self, user_id: UUID, version: Version, target: str) -> Mapping[str, Ahead]:
        """Return how far the other measures are known after the last value of `target`, by name."""
        _own(user_id, version)
        others = [name for name in version.manifest['measures'] if name != target]
        opened = await self._objects.open(version.parts)
        return await self._read(lambda: known_ahead(opened.paths, target=target, columns=others, system=opened.files))

    async def export(
        self,
        user_id: UUID,
        version: Version,
        what: str,
        out: Path,
        *,
        where: Mapping[str, str | None] | None = None,
        lines: tables.Lines = (None, None),
    ) -> None:
        """Write the version's `rows` or `faults` as CSV or Parquet, by `out`'s suffix (`tables.export`).

        `where` and `lines` leave some of the faults, as for `faults`.
        """
        _own(user_id, version)
        keys = [f'{version.prefix}/faults.parquet'] if what == 'faults' else version.parts
        opened = await self._objects.open(keys)
        await self._read(lambda: tables.export(opened.paths, out, where=where, lines=lines, system=opened.files))

    async def _read(self, read: Callable[[], T]) -> T:
        """Read on a thread of our own: it may wait for a bucket, and what else runs on threads must not."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, read)


def clean_name(name: str) -> str:
    """Return a file's name without folders and control characters, at most 255 characters long."""
    base = re.split(r'[\\/]', name)[-1]
    printable = ''.join(c for c in base if c.isprintable()).strip()
    return printable[:255] or 'unnamed'


def title_of(file_name: str) -> str:
    """Return the name for a dataset: the file's name without its suffixes."""
    stem = re.sub(r'(\.(csv|tsv|txt|json|jsonl|ndjson|parquet|xlsx|gz|zip|xz|zst|bz2))+$', '', file_name, flags=re.I)
    return stem.replace('_', ' ').strip() or file_name


def _own(user_id: UUID, version: Version) -> None:
    if version.user_id != user_id:
        raise NotFound('There is no such dataset.')


def _upload(row: Row) -> Upload:
    return Upload(**row)


def _job(row: Row) -> Job:
    return Job(**{**row, 'state': JobState(row['state'])})


def _dataset(row: Row) -> Dataset:
    return Dataset(**{**row, 'sparkline': tuple(row['sparkline'] or ())})
