"""Datasets: upload → version → profile → window of series; correction and undo."""

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog

from core.analysis import tables
from core.analysis.ahead import Ahead, known_ahead
from core.analysis.series import SeriesReader, Window, encode
from core.errors import Conflict, NotEnoughHours, NotFound, TooLarge, Unavailable, UsageError, VariosyncError
from core.hours import Hours, short_of
from core.ports import Cache, Database, Events, JobQueue, ObjectStore, Row, Staging, Transaction
from core.values import Dataset, Direct, Job, Quote, Upload, Version

ROLES = ('time', 'series', 'measure', 'attribute')
OPEN_READERS = 16
READING_AT_ONCE = 8
POINTS_KEPT = 3600.0  # seconds
ASKED_AT_ONCE = 8  # uploads, of a staging that is far away
SWEPT = timedelta(days=2)  # an address to send to holds for a day
T = TypeVar('T')
EXPORTS = {'csv': 'text/csv; charset=utf-8', 'parquet': 'application/vnd.apache.parquet'}


log = structlog.get_logger()


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
        cache: Cache,
        hours: Hours,
        max_upload: int,
    ) -> None:
        self._database = database
        self._queue = queue
        self._staging = staging
        self._objects = objects
        self._events = events
        self._cache = cache
        self._hours = hours
        self._max_upload = max_upload
        self._readers: OrderedDict[UUID, tuple[Sequence[str], SeriesReader]] = OrderedDict()
        self._reading = asyncio.Lock()
        self._threads = ThreadPoolExecutor(READING_AT_ONCE, thread_name_prefix='reading')
        self._since: timedelta | None = None

    # uploads

    async def begin_upload(self, user_id: UUID, *, name: str, size: int, dataset_id: UUID | None = None) -> Upload:
        """Announce a file of `size` bytes; with `dataset_id` it becomes that dataset's next version.

        Raise NotEnoughHours when the balance does not cover the quote of its conversion.
        """
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
        if upload.state == 'accepted':
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

        Raise NotEnoughHours when the balance has fallen below the quote; the bytes are kept, and asking again accepts.
        """
        upload = await self.upload(user_id, upload_id)
        if upload.state != 'receiving':
            return upload
        key = f't/{user_id}/u/{upload_id}/source'
        info = await self._staging.accept(upload_id, self._objects, key)
        if info.size != upload.size:  # whoever sends directly may go on sending while we accept
            await self._objects.delete(key)
            raise Conflict(f'{info.size:,} bytes arrived instead of the announced {upload.size:,}. Upload it anew.')
        async with self._database.transaction(user_id) as tx:
            locked = _upload(await tx.one('upload_lock', id=upload_id))
            if locked.state != 'receiving':
                return locked
            dataset_id = locked.dataset_id or await self._new_dataset(tx, locked)
            row = await tx.one('upload_accept', id=upload_id, key=info.key, sha256=info.sha256, dataset_id=dataset_id)
            job = await self._order(tx, _upload(row), dataset_id, options={})
        await self._clear(upload_id)
        await self._ordered(user_id, job)
        return _upload(row)

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
        rows: int | None = None,
    ) -> Job:
        payload = {'source': upload.object_key, 'name': upload.name, 'upload': str(upload.id), 'options': dict(options)}
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

    async def correct(self, user_id: UUID, dataset_id: UUID, options: Mapping[str, Any]) -> Job:
        """Convert the dataset's file again as the user says; a new version follows.

        `options` may hold `roles` (column → time, series, measure or attribute), `time_zone`, `day_first`, `decimal`.
        The file is the shown version's, or the last one uploaded while there is no version yet.
        """
        _check_options(options)
        roles = options.get('roles', {})
        async with self._database.transaction(user_id) as tx:
            upload, current = await _source(tx, dataset_id)
            names = None if current is None else {column['name'] for column in current['manifest']['columns']}
            _check_roles(roles, names)
            job = await self._order(tx, upload, dataset_id, options=options, rows=_rows_read(current))
        await self._ordered(user_id, job)
        return job

    async def quote(self, user_id: UUID, dataset_id: UUID) -> Quote:
        """Return what `correct` costs at most."""
        async with self._database.transaction(user_id) as tx:
            upload, current = await _source(tx, dataset_id)
        return self._hours.quote_convert(upload.size, upload.name, rows=_rows_read(current))

    async def converted(self, tx: Transaction, job: Job, result: Mapping[str, Any]) -> None:
        """Commit the version that a conversion made, in the transaction that ends its job."""
        row = await tx.one(
            'version_insert',
            dataset_id=job.dataset_id,
            user_id=job.user_id,
            upload_id=job.payload['upload'],
            job_id=job.id,
            prefix=result['prefix'],
            manifest=result['manifest'],
            rows=result['manifest']['rows_read'] - result['manifest']['rows_rejected'],
        )
        await tx.run('dataset_point', id=job.dataset_id, version_id=row['id'])

    # reading

    async def series(self, user_id: UUID, version: Version, window: Window) -> bytes:
        """Return the points for a window in the browser's binary form (`core.analysis.series.encode`)."""
        _own(user_id, version)
        # A version never changes, so its points may be kept for as long as there is room.
        key = f'{user_id}/series/{version.id}/{hashlib.sha256(repr(window).encode()).hexdigest()}'
        if (kept := await self._cache.get(key)) is not None:
            return kept
        reader = await self._reader(version)
        points = await self._read(lambda: encode(reader.window(window)))
        await self._cache.set(key, points, ttl=POINTS_KEPT)
        return points

    async def preview(self, user_id: UUID, version: Version, *, offset: int = 0, limit: int = 100) -> tables.Page:
        """Return stored rows in their order."""
        _own(user_id, version)
        rows = await self._objects.open(version.parts)
        return await self._read(lambda: tables.page(rows.paths, offset=offset, limit=limit, system=rows.files))

    async def faults(self, user_id: UUID, version: Version, *, offset: int = 0, limit: int = 100) -> tables.Page:
        """Return faults in line order."""
        _own(user_id, version)
        path = await self._objects.fetch(f'{version.prefix}/faults.parquet')
        return await self._read(lambda: tables.page([path], offset=offset, limit=limit, order=('line', 'column')))

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

    async def export(self, user_id: UUID, version: Version, what: str, out: Path) -> None:
        """Write the version's `rows` or `faults` as CSV or Parquet, by `out`'s suffix (`tables.export`)."""
        _own(user_id, version)
        keys = [f'{version.prefix}/faults.parquet'] if what == 'faults' else version.parts
        opened = await self._objects.open(keys)
        await self._read(lambda: tables.export(opened.paths, out, system=opened.files))

    async def _reader(self, version: Version) -> SeriesReader:
        # Opened each time, so that nobody takes the files away; that may wait for the network, others need not.
        opened = await self._objects.open([*version.parts, f'{version.prefix}/pyramid.parquet'])
        async with self._reading:
            paths, reader = self._readers.get(version.id, (None, None))
            if reader is None or paths != opened.paths:
                if reader is not None:
                    reader.close()
                *parts, pyramid = opened.paths
                measures, files = version.manifest['measures'], opened.files
                reader = await self._read(lambda: SeriesReader(parts, pyramid, measures=measures, system=files))
                self._readers[version.id] = opened.paths, reader
            self._readers.move_to_end(version.id)
            while len(self._readers) > OPEN_READERS:
                self._readers.popitem(last=False)[1][1].close()
            return reader

    async def _read(self, read: Callable[[], T]) -> T:
        """Read on a thread of our own: it may wait for a bucket, and what else runs on threads must not."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, read)

    def close(self) -> None:
        """Close what is open for reading."""
        while self._readers:
            self._readers.popitem()[1][1].close()


async def _source(tx: Transaction, dataset_id: UUID) -> tuple[Upload, Row | None]:
    """The upload that a correction reads again, and the version that is shown, if there is one."""
    await tx.one('dataset_by_id', id=dataset_id)
    current = await tx.first('version_current', dataset_id=dataset_id)
    if current is None:
        return _upload(await tx.one('upload_latest', dataset_id=dataset_id)), None
    return _upload(await tx.one('upload_by_id', id=current['upload_id'])), current


def _rows_read(version: Row | None) -> int | None:
    return None if version is None else int(version['manifest']['rows_read'])


def _check_options(options: Mapping[str, Any]) -> None:
    if unknown := set(options) - {'roles', 'time_zone', 'day_first', 'decimal'}:
        raise UsageError(f'There is no option "{min(unknown)}". Options are roles, time_zone, day_first and decimal.')
    if options.get('decimal') not in (None, '.', ','):
        raise UsageError('The decimal mark is "." or ",".')
    try:
        ZoneInfo(options.get('time_zone', 'UTC'))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(f'"{options["time_zone"]}" is no time zone. Write one such as Europe/Paris.') from error


def _check_roles(roles: Mapping[str, str], names: set[str] | None) -> None:
    for column, role in roles.items():
        if (names is not None and column not in names) or role not in ROLES:
            raise UsageError(f'Column "{column}" cannot be read as "{role}". Roles are {", ".join(ROLES)}.')
    if list(roles.values()).count('time') > 1:
        raise UsageError('Only one column can be the time. Choose one and make the others attributes.')


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


def _dataset(row: Row) -> Dataset:
    return Dataset(**{**row, 'sparkline': tuple(row['sparkline'] or ())})
