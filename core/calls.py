"""Calls of a durable Compute: they outlive our processes, and whoever is delivered their job next goes on with them.

A call is a part of an attempt. Its row is committed before Compute is asked, so a worker may die at any point: what was
not spawned, or whose id was not kept, is spawned again under the same keys, and the first id that is kept counts. The
row holds all that the call needs, and when its job goes it stays until the call can do nothing more. A part that builds
upon another one is spawned once that has answered and what it answered is in the row.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from core.errors import (
    NotFound,
    TaskCancelled,
    TaskFailed,
    TaskKilled,
    TaskOverLimit,
    Unavailable,
    VariosyncError,
    from_words,
    storable,
    to_words,
)
from core.parts import Answer, merge, released, split, standing
from core.ports import Compute, Database, ObjectStore, Row, Transaction
from core.values import Job

SOONEST, LATEST = 0.5, 5.0  # seconds until calls are looked at again
PATIENCE = 0.1  # of their age, within these bounds
LIVES = 2  # timeouts that a call has at most: one to wait for a machine, one to run

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How the calls of an attempt stand: the `outcome` once all have ended, else which go on and when to look again."""

    outcome: Answer | None = None
    progress: float = 0.0
    message: str = ''
    delay: float = SOONEST
    going: Sequence[str] = ()


@dataclass(slots=True, kw_only=True)
class _Call:
    """A row of `public.calls`, and what was heard since it was read.

    `age` is in seconds since it was dispatched or released, `ran` since it was first seen to run.
    """

    id: UUID
    part: str
    payload: Mapping[str, Any]
    call_id: str | None
    age: float
    ran: float | None
    answer: Answer | None
    spawned: str | None = None
    runs: bool = False
    overdue: bool = False
    progress: float = 0.0
    message: str = ''

    @property
    def waits(self) -> bool:
        """Whether it is not to be made before another one has answered."""
        return self.answer is None and 'after' in self.payload

    def tell(self, part: float, text: str) -> None:
        self.runs = True
        self.progress, self.message = min(1.0, max(0.0, part)), storable(text)


class Calls:
    """Dispatches, spawns and follows the calls of attempts.

    By the database's clock one may wait `timeout` seconds for a machine, and run as long.
    """

    def __init__(self, database: Database, compute: Compute, objects: ObjectStore, *, timeout: float) -> None:
        self._database = database
        self._compute = compute
        self._objects = objects
        self._timeout = timeout

    async def dispatch(self, tx: Transaction, job: Job, payload: Mapping[str, Any]) -> None:
        """Record the calls of a new attempt, in the transaction that begins it.

        When the attempt before lost a part for a reason that may pass, what its other parts answered is kept.
        """
        kept = _kept(await self._load(tx, job.id, job.attempt - 1))
        of_attempt = {'job_id': job.id, 'attempt': job.attempt}
        for part, asked in split(job.kind, payload).items():
            if part in kept:
                await tx.run('call_kept', part=part, **of_attempt)
            else:
                of_call = {'user_id': job.user_id, 'part': part, 'prefix': asked['prefix'], 'payload': dict(asked)}
                await tx.run('call_dispatch', **of_attempt, **of_call)

    async def look(self, job: Job, payload: Mapping[str, Any]) -> Seen:
        """Spawn what is not spawned, take in what has ended, and return how the attempt stands. Nothing is waited for.

        Raise Unavailable when the database does not answer: looking again is safe.
        """
        if job.cancel_requested:
            await self.stop(job)
            return Seen(outcome=TaskCancelled('The job was cancelled.'))
        calls = await self._read(job)
        if not calls:  # the end of an account takes the job along
            return Seen(outcome=TaskCancelled('The job was cancelled.'))
        if any(call.waits for call in calls) and await self._release(job, calls):
            calls = await self._read(job)
        opened = [call for call in calls if call.answer is None and not call.waits]
        await asyncio.gather(*(self._hear(job.kind, call) for call in opened))
        if await self._record(opened):
            recorded = {call.id: call.answer for call in await self._read(job)}
            for call in calls:
                call.answer = recorded.get(call.id)
        if all(call.answer is not None for call in calls):
            return Seen(outcome=_outcome(job, payload, calls))
        return _standing(calls)

    async def stop(self, job: Job) -> None:
        """Stop what goes on of an attempt."""
        async with self._database.system() as tx:
            rows = await tx.all('calls_of_attempt', job_id=job.id, attempt=job.attempt)
        await self.cancel(row['call_id'] for row in rows if row['answer'] is None and row['call_id'])

    async def cancel(self, call_ids: Iterable[str]) -> bool:
        """Stop calls, and return whether all are; one that Compute cannot be told of now ends by its own limit."""
        stopped = True
        for call_id in call_ids:
            try:
                await self._compute.cancel(call_id)
            except VariosyncError as error:
                stopped = False
                log.warning('a call could not be stopped', call=call_id, error=error.message)
        return stopped

    async def overdue(self, job: Job) -> bool:
        """Whether an attempt is so old that all its calls must have ended."""
        async with self._database.system() as tx:
            rows = await tx.all('calls_of_attempt', job_id=job.id, attempt=job.attempt)
        calls = [_call(row) for row in rows]
        return bool(calls) and all(call.age > LIVES * self._timeout * (2 if call.waits else 1) for call in calls)

    async def sweep(self) -> None:
        """Stop calls whose job is gone and remove what they stored: at once, and once they can store nothing more."""
        async with self._database.system() as tx:
            orphans = await tx.all('calls_orphaned', life=LIVES * self._timeout)
        for orphan in orphans:
            stopped = orphan['going'] is None or await self.cancel([orphan['going']])
            await self._objects.delete(f'{orphan["prefix"]}/')
            async with self._database.system() as tx:
                if orphan['over']:
                    await tx.run('call_forgotten', id=orphan['id'])
                elif stopped:
                    await tx.run('call_stopped', id=orphan['id'])

    async def _read(self, job: Job) -> list[_Call]:
        async with self._database.system() as tx:
            return await self._load(tx, job.id, job.attempt)

    @staticmethod
    async def _load(tx: Transaction, job_id: UUID, attempt: int) -> list[_Call]:
        return [_call(row) for row in await tx.all('calls_of_attempt', job_id=job_id, attempt=attempt)]

    async def _release(self, job: Job, calls: Sequence[_Call]) -> bool:
        """Let the calls be made whose predecessor has ended, and return whether there are any.

        One that was lost may answer in the next attempt: until there is none, what waits for it is lost too.
        """
        ended = {call.part: call.answer for call in calls if call.answer is not None}
        changed = False
        async with self._database.system() as tx:
            for call in calls:
                asked = released(call.payload, ended) if call.waits else None
                if asked is None:
                    continue
                before = ended[call.payload['after']]
                if _lost(before) and job.attempt < job.max_attempts:
                    await tx.run('call_ended', id=call.id, answer=_words(before))
                else:
                    await tx.run('call_released', id=call.id, payload=dict(asked))
                changed = True
        return changed

    async def _hear(self, kind: str, call: _Call) -> None:
        """Spawn a call, or ask what has become of it."""
        try:
            if call.call_id is None:
                call.spawned = await self._compute.submit(kind, call.payload)
            else:
                call.answer = await self._compute.collect(call.call_id, progress=call.tell, timeout=0)
        except NotFound:
            call.answer = TaskKilled('The task was lost.')
        except TaskCancelled as error:  # by nobody here: whoever cancels a job asks after its calls no more
            call.answer = TaskKilled(f'The task was stopped from outside ({error.message.rstrip(".")}).')
        except VariosyncError as error:
            if isinstance(error, Unavailable) and error.retryable:
                call.message = f'{error.message} Trying again.'
            else:
                call.answer = error
        if call.answer is None and (late := self._late(call)) is not None:
            call.answer, call.overdue = late, True

    def _late(self, call: _Call) -> VariosyncError | None:
        if call.ran is not None and call.ran > self._timeout:
            return TaskOverLimit(f'The job took longer than {self._timeout:.0f} s. Use less data, or raise the limit.')
        if call.ran is None and not call.runs and call.age > self._timeout:
            return TaskKilled('The task waited too long for a free machine.')
        return None

    async def _record(self, calls: Sequence[_Call]) -> bool:
        """Keep what was heard, and return whether a call has ended: what is recorded counts, whoever recorded it."""
        doubles = []
        async with self._database.system() as tx:
            for call in calls:
                if call.spawned and await tx.first('call_spawned', id=call.id, call_id=call.spawned) is None:
                    doubles.append(call.spawned)
                if call.runs and call.ran is None:
                    await tx.run('call_started', id=call.id)
                if call.answer is not None:
                    await tx.run('call_ended', id=call.id, answer=_words(call.answer))
        # Only now: before, somebody else could hear that they were stopped and record that as their end.
        await self.cancel([*doubles, *_ids(call for call in calls if call.overdue)])
        return bool(doubles) or any(call.answer is not None for call in calls)


def _call(row: Row) -> _Call:
    answer = None if row['answer'] is None else json.loads(row['answer'])
    if answer is not None:
        answer = answer['result'] if 'result' in answer else from_words(*answer['error'])
    return _Call(**{**row, 'answer': answer})


def _words(answer: Answer) -> str:
    """Text, and not Postgres' own JSON: whatever a task answers can be kept, and is judged when it is read."""
    return json.dumps({'error': to_words(answer)} if isinstance(answer, VariosyncError) else {'result': answer})


def _ids(calls: Iterable[_Call]) -> list[str]:
    return [call_id for call in calls if (call_id := call.spawned or call.call_id)]


@contextmanager
def understood() -> Iterator[None]:
    """Raise TaskFailed for a result that is none: it would be read in vain again and again."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise TaskFailed('The task answered with something else than a result.') from error


def _lost(answer: Answer | None) -> bool:
    """Whether a part failed for a reason that may pass."""
    return isinstance(answer, VariosyncError) and answer.retryable


def _kept(before: Iterable[_Call]) -> set[str]:
    """Return the parts that the next attempt need not call again: those that ended beside one that was lost."""
    lost = {call.part: _lost(call.answer) for call in before if call.answer is not None}
    return {part for part, is_lost in lost.items() if not is_lost} if any(lost.values()) else set()


def _outcome(job: Job, payload: Mapping[str, Any], calls: Iterable[_Call]) -> Answer:
    """Return what came of an attempt: while there are more, a part that may succeed in the next one fails this one."""
    answers = {call.part: call.answer for call in calls if call.answer is not None}
    lost = next((answer for answer in answers.values() if _lost(answer)), None)
    if lost is not None and job.attempt < job.max_attempts:
        return lost
    try:
        with understood():
            return merge(payload, answers)
    except VariosyncError as error:
        return error


def _standing(calls: Sequence[_Call]) -> Seen:
    going = [call for call in calls if call.answer is None]
    ended = {call.part for call in calls if call.answer is not None}
    age = max((call.age for call in going if not call.waits), default=0.0)
    text = next((call.message for call in going if call.message), '')
    return Seen(
        progress=(len(ended) + sum(call.progress for call in going)) / len(calls),
        message=standing([call.part for call in calls], ended) or text,
        delay=min(LATEST, max(SOONEST, PATIENCE * age)),
        going=_ids(going),
    )
