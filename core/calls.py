"""Calls of a durable Compute: they outlive our processes, and whoever is delivered their job next goes on with them.

A call is a part of an attempt. Its row is committed before Compute is asked, so a worker may die at any point: what was
not spawned, or whose id was not kept, is spawned again under the same keys, and the first id that is kept counts.
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
    to_words,
)
from core.ports import Compute, Database, Row, Transaction
from core.tasks import merge, split
from core.values import Job

SOONEST, LATEST = 0.5, 5.0  # seconds until calls are looked at again
PATIENCE = 0.1  # of their age, within these bounds

Answer = Mapping[str, Any] | VariosyncError
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
    """A row of `public.calls`, and what was heard since it was read; `age` is in seconds since it was dispatched."""

    id: UUID
    part: str
    call_id: str | None
    age: float
    answer: Answer | None
    spawned: str | None = None
    progress: float = 0.0
    message: str = ''

    def tell(self, part: float, text: str) -> None:
        self.progress, self.message = min(1.0, max(0.0, part)), text


class Calls:
    """Dispatches, spawns and follows the calls of attempts; one may take `timeout` seconds by the database's clock."""

    def __init__(self, database: Database, compute: Compute, *, timeout: float) -> None:
        self._database = database
        self._compute = compute
        self._timeout = timeout

    async def dispatch(self, tx: Transaction, job: Job, payload: Mapping[str, Any]) -> None:
        """Record the calls of a new attempt, in the transaction that begins it."""
        for part in split(job.kind, payload):
            await tx.run('call_dispatch', user_id=job.user_id, job_id=job.id, attempt=job.attempt, part=part)

    async def look(self, job: Job, payload: Mapping[str, Any]) -> Seen:
        """Spawn what is not spawned, take in what has ended, and return how the attempt stands. Nothing is waited for.

        Raise Unavailable when the database does not answer: looking again is safe.
        """
        parts = split(job.kind, payload)
        calls = await self._load(job, parts)
        opened = [call for call in calls if call.answer is None]
        if job.cancel_requested or not calls:  # the end of an account takes the calls along
            await self.cancel(_ids(opened))
            return Seen(outcome=TaskCancelled('The job was cancelled.'))
        await asyncio.gather(*(self._hear(job.kind, call, parts[call.part]) for call in opened))
        if await self._record(opened):
            recorded = {call.id: call.answer for call in await self._load(job, parts)}
            for call in calls:
                call.answer = recorded.get(call.id)
        if all(call.answer is not None for call in calls):
            return Seen(outcome=_outcome(payload, calls))
        return _standing(calls)

    async def cancel(self, call_ids: Iterable[str]) -> None:
        """Stop calls; one that Compute cannot be told of now ends by its own limit."""
        for call_id in call_ids:
            try:
                await self._compute.cancel(call_id)
            except Unavailable as error:
                log.warning('a call could not be stopped', call=call_id, error=error.message)

    async def _load(self, job: Job, parts: Iterable[str]) -> list[_Call]:
        async with self._database.system() as tx:
            rows = await tx.all('calls_of_attempt', job_id=job.id, attempt=job.attempt)
        order = {part: place for place, part in enumerate(parts)}
        known = (_call(row) for row in rows if row['part'] in order)
        return sorted(known, key=lambda call: order[call.part])

    async def _hear(self, kind: str, call: _Call, payload: Mapping[str, Any]) -> None:
        """Spawn a call, or ask what has become of it."""
        try:
            if call.call_id is None:
                call.spawned = await self._compute.submit(kind, payload)
            else:
                call.answer = await self._compute.collect(call.call_id, progress=call.tell, timeout=0)
        except NotFound:
            call.answer = TaskKilled('The task was lost.')
        except VariosyncError as error:
            if isinstance(error, Unavailable) and error.retryable:
                call.message = f'{error.message} Trying again.'
            else:
                call.answer = error
        if call.answer is None and call.age > self._timeout:
            call.answer = TaskOverLimit(
                f'The job took longer than {self._timeout:.0f} s. Use less data, or raise the limit.'
            )
            await self.cancel(_ids([call]))

    async def _record(self, calls: Sequence[_Call]) -> bool:
        """Keep what was heard, and return whether a call has ended: what is recorded counts, whoever recorded it."""
        doubles = []
        async with self._database.system() as tx:
            for call in calls:
                if call.spawned and await tx.first('call_spawned', id=call.id, call_id=call.spawned) is None:
                    doubles.append(call.spawned)
                if call.answer is not None:
                    await tx.run('call_ended', id=call.id, answer=_words(call.answer))
        await self.cancel(doubles)
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
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise TaskFailed('The task answered with something else than a result.') from error


def _outcome(payload: Mapping[str, Any], calls: Iterable[_Call]) -> Answer:
    try:
        with understood():
            return merge(payload, {call.part: call.answer for call in calls if call.answer is not None})
    except VariosyncError as error:
        return error


def _standing(calls: Sequence[_Call]) -> Seen:
    going = [call for call in calls if call.answer is None]
    done = len(calls) - len(going) + sum(call.progress for call in going)
    return Seen(
        progress=done / len(calls),
        message=next((call.message for call in going if call.message), ''),
        delay=min(LATEST, max(SOONEST, PATIENCE * max(call.age for call in going))),
        going=_ids(going),
    )
