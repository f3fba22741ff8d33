"""Jobs: request, advance, cancel, recover. A job ends exactly once."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from uuid import UUID

import structlog
from structlog.contextvars import bound_contextvars

from core.calls import Calls, Seen, understood
from core.errors import (
    Conflict,
    NotFound,
    TaskCancelled,
    TaskFailed,
    TaskKilled,
    Unavailable,
    UsageError,
    VariosyncError,
    storable,
)
from core.hours import Hours
from core.notices import Notices
from core.parts import Answer, Kept, SideBySide, merge, split, width
from core.ports import Compute, Database, Events, JobQueue, ObjectStore, Row, Transaction
from core.values import Job, JobState, Notice

log = structlog.get_logger()

POLL = 0.5
BACKOFF = 2.0
TURN = 1.0  # seconds until a job looks again whether it is its turn
AT_ONCE = 16  # objects of a result that are looked at side by side
REASON = 200  # characters of why a part is missing
ANEW = ('convert',)  # kinds of which an attempt takes nothing from the one before
QUIET = ('score',)  # nobody ordered it, so nobody waits to hear how it ended
Completion = Callable[[Transaction, Job, Mapping[str, Any]], Awaitable[str | None]]
"""Keeps a job's result in the transaction that ends it; may return what the notice says of it."""
Failure = Callable[[Transaction, Job, VariosyncError], Awaitable[None]]
Preparation = Callable[[Transaction, Job], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a conversion stands, `why` where it failed, and how many files of its dataset have not become rows."""

    state: JobState
    why: str = ''
    outside: int = 0


class Jobs:
    """Runs what the queue delivers: each attempt is fenced by its number, each end is recorded once."""

    def __init__(
        self,
        database: Database,
        *,
        queue: JobQueue,
        compute: Compute,
        objects: ObjectStore,
        events: Events,
        notices: Notices,
        hours: Hours,
        completions: Mapping[str, Completion],
        failures: Mapping[str, Failure] = MappingProxyType({}),
        preparations: Mapping[str, Preparation] = MappingProxyType({}),
        memory: int,
        timeout: float,
    ) -> None:
        self._database = database
        self._queue = queue
        self._compute = compute
        self._objects = objects
        self._events = events
        self._notices = notices
        self._hours = hours
        self._completions = completions
        self._failures = failures
        self._preparations = preparations
        self._memory = memory
        self._timeout = timeout
        self._calls = Calls(database, compute, objects, timeout=timeout)
        self._spare = asyncio.Semaphore(width(memory) - 1)

    # what users see

    async def list(
        self,
        user_id: UUID,
        *,
        limit: int = 200,
        states: Collection[JobState] | None = None,
        before: UUID | None = None,
    ) -> Sequence[Job]:
        """Return jobs, the newest first, or those asked for before another; with `states` only what stands there.

        Raise NotFound when that other one is not this user's, or gone: the list does not end there.
        """
        some = None if states is None else sorted(state.value for state in states)
        async with self._database.transaction(user_id) as tx:
            if before is not None:
                await tx.one('job_by_id', id=before)
            return [_job(row) for row in await tx.all('jobs_list', limit=limit, states=some, before=before)]

    async def get(self, user_id: UUID, job_id: UUID) -> Job:
        """Return a job. Raise NotFound when it is not this user's."""
        async with self._database.transaction(user_id) as tx:
            return _job(await tx.one('job_by_id', id=job_id))

    async def running(self, user_id: UUID, *, dataset_id: UUID | None = None) -> Sequence[Job]:
        """Return the jobs that have not ended, of one dataset or of all."""
        async with self._database.transaction(user_id) as tx:
            return [_job(row) for row in await tx.all('jobs_open', dataset_id=dataset_id)]

    async def states(self, user_id: UUID, dataset_ids: Collection[UUID]) -> Mapping[UUID, Standing]:
        """Return how the newest conversion of each of these datasets stands; those without one are left out."""
        if not dataset_ids:
            return {}
        async with self._database.transaction(user_id) as tx:
            rows = await tx.all('jobs_of_datasets', ids=sorted(dataset_ids, key=str))
        return {
            row['dataset_id']: Standing(state=JobState(row['state']), why=row['why'], outside=row['outside'])
            for row in rows
        }

    async def last(self, user_id: UUID, dataset_id: UUID, kind: str) -> Job | None:
        """Return the newest job of this kind on a dataset."""
        async with self._database.transaction(user_id) as tx:
            row = await tx.first('job_last', dataset_id=dataset_id, kind=kind)
        return None if row is None else _job(row)

    async def cancel(self, user_id: UUID, job_id: UUID) -> None:
        """Cancel a job: a queued one ends at once, a running one within a second.

        Raise Conflict when it has ended already.
        """
        async with self._database.transaction(user_id) as tx:
            row = await tx.first('job_cancel', id=job_id)
            if row is None:
                await tx.one('job_by_id', id=job_id)
                raise Conflict('This job has ended already.')
        await self._changed(_job(row))
        await self._hours.tell(user_id)

    async def retry(self, user_id: UUID, job_id: UUID) -> None:
        """Run a failed or cancelled job again, with all its attempts, for its quote.

        Raise NotEnoughHours when the balance is short of the quote.
        """
        async with self._database.transaction(user_id) as tx:
            await tx.first('forecast_lock', id=None, job_id=job_id)
            row = await tx.first('job_retry', id=job_id)
            if row is None:
                if (await tx.one('job_by_id', id=job_id))['state'] in ('failed', 'cancelled'):
                    raise Conflict('What this job is about was deleted. Bring it back first.')
                raise Conflict('Only a failed or a cancelled job can be run again.')
            await self._queue.again(tx, job_id, quote=row['quote'])
        await self._changed(_job(row))
        await self._hours.tell(user_id)

    # what the worker does

    async def work(self, *, concurrency: int) -> None:
        """Advance jobs until cancelled."""
        await self._queue.work(self.advance, concurrency=concurrency)

    async def advance(self, job_id: UUID) -> None:
        """Make one attempt at a job, or look how its calls stand where they outlive us; record how it ended."""
        with bound_contextvars(job=str(job_id)):
            job = await self._resume(job_id) or await self._claim(job_id)
            if job is None:
                return
            with bound_contextvars(tenant=str(job.user_id)):
                await (self._go_on(job) if self._compute.durable else self._run(job))

    async def _run(self, job: Job) -> None:
        try:
            result = await self._attempt(job)
        except asyncio.CancelledError:
            await asyncio.shield(self._release(job))
            raise
        except VariosyncError as error:
            await self._failed(job, error)
        else:
            await self._succeeded(job, result)

    async def recover(self) -> int:
        """Put what a dead worker left back into the queue; return how many jobs that were. Stop calls without a job."""
        lost = await self._queue.rescue()
        for job_id in lost:
            async with self._database.system() as tx:
                await self._queue.again(tx, job_id)
        await self._calls.sweep()
        return len(lost)

    async def _claim(self, job_id: UUID) -> Job | None:
        async with self._database.system() as tx:
            if await tx.first('job_waits', id=job_id):
                await self._queue.again(tx, job_id, delay=TURN)
                return None
            row = await tx.first('job_claim', id=job_id)
            row = row and await self._prepared(tx, row)
            if row is not None and self._compute.durable:
                await self._calls.dispatch(tx, _job(row), self._payload(_job(row)))
            # A worker that died after the user asked to cancel has left the job for us to end.
            ended = None if row else await tx.first('job_end_cancelled', id=job_id)
        if ended is not None:
            await self._changed(_job(ended))
            await self._hours.tell(ended['user_id'])
        if row is None:
            return None
        job = _job(row)
        if job.attempt > job.max_attempts:
            await self._failed(job, TaskFailed('The job was interrupted too often. It may need more memory.'))
            return None
        await self._changed(job)
        return job

    async def _prepared(self, tx: Transaction, row: Row) -> Row:
        """Add to a job's payload what it depends on now; a later attempt finds it anew."""
        prepare = self._preparations.get(row['kind'])
        given = {} if prepare is None else await prepare(tx, _job(row))
        if not given:
            return row
        payload = {**row['payload'], **given}
        await tx.run('job_prepare', id=row['id'], payload=payload)
        return {**row, 'payload': payload}

    async def _attempt(self, job: Job) -> Mapping[str, Any]:
        if not _own_inputs(job):
            raise _foreign()
        payload = self._payload(job)
        await self._objects.delete(f'{payload["prefix"]}/')
        parts = split(job.kind, payload)
        kept = Kept(self._objects, payload['prefix'])
        together = SideBySide(self._compute, job.kind, parts, spare=self._spare, timeout=self._timeout, kept=kept)
        answers = await self._follow(job, together)
        with understood():
            result = merge(payload, answers)
            await self._check_whole(result)
        return result

    async def _go_on(self, job: Job) -> None:
        """Look how an attempt stands; what would meet every further look alike ends the job."""
        try:
            await self._look(job)
        except Exception as error:  # the last resort: nobody else is there to end the job
            if await self._passes(job, error):
                raise
            log.exception('a job could not be brought to its end')
            await self._calls.stop(job)
            await self._failed(job, TaskFailed('What the task answered could not be taken in. Order it again.'))

    async def _passes(self, job: Job, error: Exception) -> bool:
        """Whether an error may be gone at the next delivery."""
        return isinstance(error, Unavailable) and error.retryable and not await self._calls.overdue(job)

    async def _look(self, job: Job) -> None:
        """Begin an attempt or go on with it. Whatever interrupts this changes nothing: the next delivery goes on."""
        if not _own_inputs(job):
            await self._failed(job, _foreign())
            return
        seen = await self._calls.look(job, self._payload(job))
        match seen.outcome:
            case None:
                await self._look_later(job, seen)
            case VariosyncError() as error:
                await self._failed(job, error)
            case result:
                await self._take(job, result)

    async def _take(self, job: Job, result: Mapping[str, Any]) -> None:
        try:
            with understood():
                await self._check_whole(result)
                await self._succeeded(job, result)
        except (TaskFailed, NotFound, UsageError) as error:
            await self._failed(job, error)

    async def _resume(self, job_id: UUID) -> Job | None:
        if not self._compute.durable:
            return None
        async with self._database.system() as tx:
            row = await tx.first('job_resume', id=job_id)
        return None if row is None else _job(row)

    async def _look_later(self, job: Job, seen: Seen) -> None:
        progress, message = max(job.progress, seen.progress), seen.message or job.message
        async with self._database.system() as tx:
            row = await tx.first('job_progress', id=job.id, attempt=job.attempt, progress=progress, message=message)
            if row is not None:
                await self._queue.again(tx, job.id, delay=0 if row['cancel_requested'] else seen.delay)
        if row is None:
            await self._calls.cancel(seen.going)
        elif (progress, message) != (job.progress, job.message):
            await self._changed(job, progress=progress, message=message)

    def _payload(self, job: Job) -> dict[str, Any]:
        return {**job.payload, 'prefix': job.prefix(job.attempt), 'memory': self._memory * 3 // 4}

    async def _check_whole(self, result: Mapping[str, Any]) -> None:
        places = asyncio.Semaphore(AT_ONCE)

        async def whole(item: Mapping[str, Any]) -> bool:
            async with places:
                return bool(await self._objects.size(item['key']) == item['size'])

        found = result['objects']
        for item, is_whole in zip(found, await asyncio.gather(*map(whole, found)), strict=True):
            if not is_whole:
                raise TaskKilled(f'The result {item["key"]} is not whole.')

    async def _follow(self, job: Job, together: SideBySide) -> Mapping[str, Answer]:
        """Tell how an attempt stands until it ends. Whatever ends this ends its calls too."""
        seen = (job.progress, job.message)
        running = asyncio.create_task(together.run())
        try:
            while not (await asyncio.wait([running], timeout=POLL))[0]:
                progress, message = latest = together.standing()
                async with self._database.system() as tx:
                    row = await tx.first(
                        'job_progress', id=job.id, attempt=job.attempt, progress=progress, message=message
                    )
                if row is None or row['cancel_requested']:
                    raise TaskCancelled('The job was cancelled.')
                if latest != seen:
                    seen = latest
                    await self._changed(job, progress=progress, message=message)
            return running.result()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def _succeeded(self, job: Job, result: Mapping[str, Any]) -> None:
        async with self._database.system() as tx:
            if self._compute.durable:
                await tx.run('job_measured', id=job.id, attempt=job.attempt, seconds=int(result['seconds']))
            row = await tx.first(
                'job_finish', id=job.id, attempt=job.attempt, state='succeeded', error=None, message=''
            )
            if row is None:
                return
            said = await self._completions[job.kind](tx, job, result)
            told = job.kind not in QUIET
            words = _done(job, result, said or '')
            notice = await self._notices.add(tx, job.user_id, link=_link(job), **words) if told else None
            low = await self._hours.warn(tx, job.user_id)
        _tell(job, 'succeeded')
        await self._changed(_job(row), notice, low)
        await self._hours.tell(job.user_id)

    async def _failed(self, job: Job, error: VariosyncError) -> None:
        cancelled = isinstance(error, TaskCancelled)
        if error.retryable and job.attempt < job.max_attempts:
            await self._retry_later(job, error)
            return
        state = 'cancelled' if cancelled else 'failed'
        notice = None
        async with self._database.system() as tx:
            row = await tx.first(
                'job_finish',
                id=job.id,
                attempt=job.attempt,
                state=state,
                error=None if cancelled else _error(error),
                message=error.message,
            )
            if row is None:
                return
            if not cancelled and job.kind in self._failures:
                await self._failures[job.kind](tx, job, error)
            if not cancelled and job.kind not in QUIET:
                notice = await self._notices.add(
                    tx, job.user_id, level='bad', title=f'{job.title}: failed', text=error.message, link=_link(job)
                )
        _tell(job, state, error=error.code)
        await self._changed(_job(row), notice)
        await self._hours.tell(job.user_id)
        if job.kind in ANEW:
            await self._let_go(job)

    async def _let_go(self, job: Job) -> None:
        """Remove what the attempts of a job without a result have stored; what fails is only room that is lost."""
        try:
            for attempt in range(1, job.attempt + 1):
                await self._objects.delete(f'{job.prefix(attempt)}/')
        except VariosyncError as error:
            log.warning('objects of a job without a result are left', error=error.message)

    async def _retry_later(self, job: Job, error: VariosyncError) -> None:
        async with self._database.system() as tx:
            row = await tx.first(
                'job_release', id=job.id, attempt=job.attempt, spare=0, message=f'{error.message} Trying again.'
            )
            if row is None:
                return
            await self._queue.again(tx, job.id, delay=BACKOFF**job.attempt)
        _tell(job, 'again', error=error.code)
        await self._changed(_job(row))

    async def _release(self, job: Job) -> None:
        """Give the job back when the worker is told to stop: that was no fault of the job, so it costs no attempt."""
        async with self._database.system() as tx:
            await tx.first('job_release', id=job.id, attempt=job.attempt, spare=1, message='')

    async def _changed(self, job: Job, *notices: Notice | None, **values: Any) -> None:
        message = {
            'job': str(job.id),
            'kind': job.kind,
            'state': job.state.value,
            'progress': job.progress,
            'message': job.message,
            'dataset': job.dataset_id and str(job.dataset_id),
            'forecast': job.forecast_id and str(job.forecast_id),
        }
        # Notices first: a page draws a toast sooner than its lists.
        for notice in notices:
            if notice is not None:
                await self._notices.tell(notice)
        await self._events.publish(f'{job.user_id}/jobs', message | values)


def _own_inputs(job: Job) -> bool:
    """Whether a job reads its owner's objects only: the database lets users record jobs with any payload."""
    try:
        source, parts, issued = (job.payload.get(name) for name in ('source', 'parts', 'issued'))
        scored = [key for one in issued or () for key in (one['key'], *one['history'])]
        compared = (job.payload.get('compare') or {}).get('parts', ())
        extended = (job.payload.get('before') or {}).get('objects', ())
        keys = [*([] if source is None else [source]), *(parts or ()), *scored, *compared, *extended]
    except (KeyError, TypeError, AttributeError):  # no payload of ours
        return False
    return all(str(key).startswith(f't/{job.user_id}/') for key in keys)


def _foreign() -> TaskFailed:
    return TaskFailed('The job names data that are not yours. Order it again from your own dataset.')


def _done(job: Job, result: Mapping[str, Any], said: str) -> dict[str, str]:
    """What a notice says of a job that succeeded, all of it or in part; `said` is what its result is called."""
    missing = result.get('missing')
    if not missing:
        warnings = result['manifest'].get('warnings') if job.kind == 'convert' else None
        if warnings:
            text = storable(' '.join([*([said] if said else []), *map(str, warnings)]))
            return {'level': 'warn', 'title': f'{job.title}: done, see what has changed', 'text': text}
        return {'level': 'good', 'title': f'{job.title}: done', 'text': said}
    without = ' '.join(f'Without {part}: {storable(reason, most=REASON)}' for part, reason in missing.items())
    return {'level': 'warn', 'title': f'{job.title}: done in part', 'text': without}


def _error(error: VariosyncError) -> dict[str, Any]:
    """An error as a job keeps it, with the columns of the file where they were seen."""
    told = {'code': error.code, 'message': error.message}
    columns = [
        {
            'name': storable(str(one.get('name', ''))),
            'examples': [storable(str(cell)) for cell in one.get('examples', ())],
        }
        for one in error.details.get('columns', ())
    ]
    return told | ({'details': {'columns': columns}} if columns else {})


def _tell(job: Job, end: str, **values: str) -> None:
    """Say how an attempt ended; that all is well, or as somebody wished, is said to who looks for it."""
    say = log.debug if end in ('succeeded', 'cancelled') else log.info
    say('an attempt at a job ended', end=end, kind=job.kind, attempt=job.attempt, tenant=str(job.user_id), **values)


def _link(job: Job) -> str:
    return f'/forecasts/{job.forecast_id}' if job.forecast_id else f'/datasets/{job.dataset_id}'


def _job(row: Row) -> Job:
    if not row:
        raise NotFound('There is no such job.')
    return Job(**{**row, 'state': JobState(row['state'])})
