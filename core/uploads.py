"""Uploads: bytes that arrive become a dataset or its next version; corrections read them anew."""

import asyncio
import re
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import structlog

from core import audit, orders
from core.analysis.recipes import check as check_recipe
from core.analysis.recipes import fields_of
from core.errors import Conflict, NotEnoughHours, NotFound, TooLarge, Unavailable, UsageError, VariosyncError
from core.hours import Hours, short_of
from core.names import free_name
from core.notices import Notices
from core.ports import Database, Events, JobQueue, ObjectStore, Row, Staging, Transaction
from core.values import NOBODY, Actor, Direct, Job, JobState, Quote, Upload, Version

ASKED_AT_ONCE = 8  # uploads, of a staging that is far away
SWEPT = timedelta(days=2)  # an address to send to holds for a day
MOST_WAITING = 50  # uploads of a user that wait for bytes

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """The dataset, by its id and name, that holds the very bytes of an upload, and as which version, if as any."""

    dataset_id: UUID
    name: str
    version: int | None

    @property
    def where(self) -> str:
        """Where the bytes are, in words."""
        return f'{self.name} ({"not read so far" if self.version is None else f"version {self.version}"})'


class Uploads:
    """What users send and how it is read. Every method sees the rows of the given user only."""

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
        self._since: timedelta | None = None

    # bytes that arrive

    async def begin_upload(
        self,
        user_id: UUID,
        *,
        name: str,
        size: int,
        dataset_id: UUID | None = None,
        how: str = 'append',
        options: Mapping[str, Any] | None = None,
        sample: str | None = None,
    ) -> Upload:
        """Announce a file of `size` bytes; with `dataset_id` it becomes that dataset's next version.

        `how` says what becomes of the rows that are there: with `append` the file's rows win where series and time are
        the same and all others stay, with `replace` the file's rows alone make the version. `options` are those of
        `correct`; what they do not name stays as it was for the version that is shown. `sample` is what the file is to
        the sample workspace.
        Raise NotEnoughHours when the balance does not cover the quote of its conversion, Conflict when 50 uploads of
        the user wait for bytes already.
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
            async with self._database.transaction(user_id) as tx:
                await tx.one('dataset_by_id', id=dataset_id)
        await self._afford(user_id, size, name)
        upload_id = uuid4()
        async with self._database.transaction(user_id) as tx:
            # Under the account's lock, so that uploads announced at the same time count one another.
            await tx.one('profile_lock', id=user_id)
            if (await tx.one('uploads_waiting'))['count'] >= MOST_WAITING:
                raise Conflict(
                    f'You have {MOST_WAITING} uploads that wait for bytes. Go on with them or discard them, then try '
                    'again.'
                )
            row = await tx.one(
                'upload_insert',
                id=upload_id,
                user_id=user_id,
                name=clean_name(name),
                size=size,
                dataset_id=dataset_id,
                how=how,
                options=asked,
                sample=sample,
            )
        try:
            await self._staging.create(upload_id)
        except Unavailable:
            async with self._database.transaction(user_id) as tx:
                await tx.run('upload_unbegun', id=upload_id)
            raise
        return _upload(row)

    async def _afford(self, user_id: UUID, size: int, name: str) -> None:
        """Raise NotEnoughHours when the balance does not cover the quote of a conversion."""
        quote, balance = self._hours.quote_convert(size, name), await self._hours.balance(user_id)
        if balance.seconds < quote.seconds:
            raise short_of(quote.seconds, missing=quote.seconds - balance.seconds)

    async def upload(self, user_id: UUID, upload_id: UUID) -> Upload:
        """Return an upload. Raise NotFound when it is not this user's."""
        async with self._database.transaction(user_id) as tx:
            return _upload(await tx.one('upload_by_id', id=upload_id))

    async def twin(
        self, user_id: UUID, *, upload_id: UUID | None = None, dataset_id: UUID | None = None
    ) -> Twin | None:
        """Return where the bytes of an upload, or of the newest one of a dataset, were before; None for nowhere."""
        async with self._database.transaction(user_id) as tx:
            row = await tx.first('upload_twin', id=upload_id, dataset_id=dataset_id)
        return None if row is None else Twin(**row)

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
        await self._grows(user_id, upload_id)
        return await self._staging.direct(upload_id, upload.size)

    async def received(self, user_id: UUID, upload_id: UUID, *, by: Actor = NOBODY) -> tuple[Upload, int]:
        """Return an upload and how many of its bytes have arrived; a complete one is accepted on the way."""
        upload = await self.upload(user_id, upload_id)
        if upload.state in ('accepted', 'unchanged'):
            return upload, upload.size
        if upload.state == 'discarded':
            raise NotFound('This upload was discarded. Drop the file again.')
        offset = await self._staging.offset(upload_id)
        if offset > upload.size:
            raise TooLarge(f'{offset:,} bytes arrived instead of the announced {upload.size:,}. Upload the file anew.')
        return (await self.accept(user_id, upload_id, by=by) if offset == upload.size else upload), offset

    async def resumed(self, user_id: UUID, upload_id: UUID) -> tuple[Upload, int]:
        """Do what `received` does, for a sender that has all bytes: where staging knows nothing, it begins anew.

        A crash after the row was written and before staging heard of it leaves such an upload.
        """
        if (await self.upload(user_id, upload_id)).state == 'receiving':
            try:
                await self._staging.offset(upload_id)
            except NotFound:
                await self._staging.create(upload_id)
        return await self.received(user_id, upload_id)

    async def append(
        self, user_id: UUID, upload_id: UUID, offset: int, pieces: AsyncIterable[bytes], *, by: Actor = NOBODY
    ) -> tuple[Upload, int]:
        """Append bytes from `offset` on; the last byte accepts the upload. Return the upload and the new offset.

        Raise TooLarge when more bytes come than were announced: the upload then stays short of its end, and is not
        accepted by whoever asks for it next.
        """
        upload = await self.upload(user_id, upload_id)
        if upload.state != 'receiving':
            raise Conflict('This upload has ended already.')
        await self._grows(user_id, upload_id)
        within = _within(pieces, upload.size - offset, size=upload.size)
        arrived = await self._staging.append(upload_id, offset, within, limit=upload.size)
        return (await self.accept(user_id, upload_id, by=by) if arrived == upload.size else upload), arrived

    async def _grows(self, user_id: UUID, upload_id: UUID) -> None:
        async with self._database.transaction(user_id) as tx:
            await tx.run('upload_grows', id=upload_id)

    async def accept(self, user_id: UUID, upload_id: UUID, *, by: Actor = NOBODY) -> Upload:
        """Move a complete upload to the object store and order its conversion. Accepting twice changes nothing.

        A file that its dataset shows already, read the same way, orders nothing: the upload ends as `unchanged`, and a
        notice says so. Raise NotEnoughHours when the balance has fallen below the quote; the bytes are kept, and asking
        again accepts.
        """
        upload = await self.upload(user_id, upload_id)
        if upload.state != 'receiving':
            return upload
        # Before the bytes are stored: what waits for hours or for its dataset would be copied at every sweep.
        if not await self._may_be_there(upload):
            await self._afford(user_id, upload.size, upload.name)
        key = _key(upload)
        info = await self._staging.accept(upload_id, self._objects, key)
        if info.size != upload.size:  # whoever sends directly may go on sending while we accept
            await self._objects.delete(key)
            raise Conflict(f'{info.size:,} bytes arrived instead of the announced {upload.size:,}. Upload it anew.')
        job: Job | None = None
        async with self._database.transaction(user_id) as tx:
            locked = _upload(await tx.one('upload_lock', id=upload_id))
            if locked.state != 'receiving':
                if locked.state != 'accepted':  # it ended while we stored it, and nobody else looks for that
                    await self._objects.delete(key)
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
                action = (
                    'dataset made' if not locked.dataset_id else 'file added' if how == 'append' else 'file replaced'
                )
                await _record(tx, user_id, action, dataset_id, told=locked.name, by=by)
        await self._clear(_upload(row))
        if job is None:
            await self._tell_unchanged(locked, last['number'] if last else None)
        else:
            await self._ordered(user_id, job)
            await self._tell_twin(locked)
        return _upload(row)

    async def _may_be_there(self, upload: Upload) -> bool:
        """Say whether an upload is as long as what its dataset shows, and so may cost nothing.

        Raise NotFound when the dataset was deleted.
        """
        if upload.dataset_id is None:
            return False
        async with self._database.transaction(upload.user_id) as tx:
            await tx.one('dataset_by_id', id=upload.dataset_id)
            last = await tx.first('dataset_order', dataset_id=upload.dataset_id)
        return last is not None and bool(last['size'] == upload.size)

    async def _tell_twin(self, upload: Upload) -> None:
        if (twin := await self.twin(upload.user_id, upload_id=upload.id)) is None:
            return
        await self._note(
            upload,
            title=f'{upload.name} was uploaded before',
            text=f'These bytes are already in {twin.where}.',
            dataset_id=twin.dataset_id,
        )

    async def _tell_unchanged(self, upload: Upload, number: int | None) -> None:
        shown = 'is being converted already' if number is None else f'is version {number}, which is in use'
        await self._note(
            upload,
            title=f'{upload.name}: nothing has changed',
            text=f'The same file {shown}. No version was made, and no hours were used.',
            dataset_id=upload.dataset_id,
        )

    async def _note(self, upload: Upload, *, title: str, text: str, dataset_id: UUID | None) -> None:
        """Tell who uploaded it what it led to, with the way to the dataset."""
        async with self._database.system() as tx:
            link = f'/datasets/{dataset_id}'
            notice = await self._notices.add(tx, upload.user_id, level='info', title=title, text=text, link=link)
        await self._notices.tell(notice)

    async def discard(self, user_id: UUID, upload_id: UUID) -> None:
        """Give up an upload that has not been accepted."""
        async with self._database.transaction(user_id) as tx:
            row = await tx.first('upload_discard', id=upload_id)
            if row is None:
                raise Conflict('This upload has ended already; delete its dataset instead.')
        await self._clear(_upload(row))

    async def _clear(self, upload: Upload) -> None:
        """Let go of the bytes of an upload that has ended: of all where it was not accepted, else of those in staging.

        What fails is left to `recover`, for the end stands.
        """
        try:
            await self._staging.discard(upload.id)
            if upload.state != 'accepted':
                await self._objects.delete(_key(upload))
        except VariosyncError as error:
            log.warning('bytes of an upload are left', upload=str(upload.id), error=error.message)
            return
        async with self._database.system() as tx:
            await tx.run('upload_cleared', id=upload.id)

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
            left = [_upload(row) for row in await tx.all('uploads_left')]
        for upload in left:
            await self._clear(upload)
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
                now = await self.upload(upload.user_id, upload.id)
                if now.state != 'receiving':
                    await self._clear(now)  # it ended meanwhile, in another process
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

    async def give_up(self) -> int:
        """Discard uploads of all users that have not grown for a week; return how many those were.

        What is there whole is accepted first. What waits for hours goes too: its sender has the file.
        """
        async with self._database.system() as tx:
            idle = [_upload(row) for row in await tx.all('uploads_idle')]
        given_up = 0
        for upload in idle:
            try:
                if not await self._look_at(upload):
                    given_up += await self._give_up(upload)
            except VariosyncError as error:
                log.warning('an idle upload stays', upload=str(upload.id), error=error.message)
        return given_up

    async def _give_up(self, upload: Upload) -> bool:
        async with self._database.system() as tx:
            row = await tx.first('upload_give_up', id=upload.id)
            if row is None:
                return False  # its sender goes on, or it ended
            notice = await self._notices.add(
                tx,
                upload.user_id,
                level='info',
                title=f'{upload.name}: the upload was given up',
                text='No byte arrived for a week, so what had arrived was removed. Upload the file again.',
                link='/datasets',
            )
        await self._clear(_upload(row))
        await self._notices.tell(notice)
        return True

    async def _new_dataset(self, tx: Transaction, upload: Upload) -> UUID:
        source = await tx.one('source_insert', user_id=upload.user_id, name=upload.name, upload_id=upload.id)
        await tx.one('datasets_lock', user_id=upload.user_id)
        taken = {row['name'] for row in await tx.all('datasets_named')}
        name = free_name(title_of(upload.name), taken)
        row = await tx.one('dataset_insert', user_id=upload.user_id, source_id=source['id'], name=name)
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

    # corrections, and what conversions bring

    async def correct(
        self,
        user_id: UUID,
        dataset_id: UUID,
        options: Mapping[str, Any],
        *,
        job_id: UUID | None = None,
        version: int | None = None,
        how: str | None = None,
        by: Actor = NOBODY,
    ) -> Job:
        """Convert a file of the dataset again as the user says; a new version follows.

        `options` may hold what `core.analysis.ingest.Options` names in CHOICES: `roles` (column → time, series,
        measure or attribute), `reading` (encoding, delimiter, …), `off` (repairs), `recipe` and so on; what it does not
        name stays as it was. The file is that of `version`, else of the one in use, and joins the rows that it joined
        then. With `job_id` it is that of a conversion that failed or was cancelled, which joins what is shown now, or
        does as `how` says (append or replace). While there is no version, the last conversion is meant.
        Asked again for what is on its way or has been done, return that job: nothing is ordered twice.
        Raise Conflict for a job that has not failed.
        """
        orders.check_options(options)
        if how is not None:
            orders.check_how(how)
        roles = options.get('roles', {})
        async with self._database.transaction(user_id) as tx:
            last = await orders.last_order(tx, dataset_id)
            again = await orders.to_do_again(tx, dataset_id, job_id=job_id, number=version)
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
            await _record(tx, user_id, 'file read anew', dataset_id, told=again.upload.name, by=by)
        await self._ordered(user_id, job)
        return job

    async def quote(
        self, user_id: UUID, dataset_id: UUID, *, job_id: UUID | None = None, version: int | None = None
    ) -> Quote:
        """Return what `correct` costs at most."""
        async with self._database.transaction(user_id) as tx:
            await tx.one('dataset_by_id', id=dataset_id)
            again = await orders.to_do_again(tx, dataset_id, job_id=job_id, number=version)
        upload = again.upload
        return self._hours.quote_convert(upload.size, upload.name, rows=orders.rows_read(again.version))

    async def converted(self, tx: Transaction, job: Job, result: Mapping[str, Any]) -> str:
        """Commit the version that a conversion made, in the transaction that ends its job; return what it is called."""
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
        return f'Version {row["number"]} is in use.' if row['number'] > 1 else ''

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


def clean_name(name: str) -> str:
    """Return a file's name without folders and control characters, at most 255 characters long."""
    base = re.split(r'[\\/]', name)[-1]
    printable = ''.join(c for c in base if c.isprintable()).strip()
    return printable[:255] or 'unnamed'


SUFFIXES = re.compile(
    r'(\.(csv|tsv|tab|psv|txt|dat|json|jsonl|ndjson|parquet|feather|arrow|xlsx|gz|zip|tar|tgz|xz|zst|bz2|lz4))+$', re.I
)
"""What the name of a file ends with, of tables and of what they are packed in."""


def title_of(file_name: str) -> str:
    """Return the name for a dataset: the file's name without its suffixes."""
    stem = SUFFIXES.sub('', file_name)
    return stem.replace('_', ' ').strip() or file_name


async def _within(pieces: AsyncIterable[bytes], room: int, *, size: int) -> AsyncIterator[bytes]:
    """Pass pieces on; the one that fills an upload waits until it is known to be the last."""
    last = b''
    async for piece in pieces:
        room -= len(piece)
        if room < 0:
            raise TooLarge(f'More than the announced {size:,} bytes came. Upload the file anew.')
        if piece and room == 0:
            last = piece
        else:
            yield piece
    if last:
        yield last


async def _record(tx: Transaction, user_id: UUID, action: str, dataset_id: UUID, *, told: str, by: Actor) -> None:
    name = (await tx.one('dataset_name', id=dataset_id))['name']
    await audit.record(tx, user_id, action, f'{name}: {told}', about=dataset_id, by=by)


def _upload(row: Row) -> Upload:
    return Upload(**row)


def _key(upload: Upload) -> str:
    """Return where the bytes of an upload are stored, once they are."""
    return f't/{upload.user_id}/u/{upload.id}/source'


def _job(row: Row) -> Job:
    return Job(**{**row, 'state': JobState(row['state'])})
