"""What the ledger of hours stands: `python -m benchmarks.ledger [--quick] [--seed S]` on a Postgres of its own.

10,000 random histories (several tabs, beats duplicated and late, crashes, grants, expiry, pauses, jobs that succeed,
fail and are run again) are compared with a model in Python after every step; 50 connections start and spend one user's
hours at once, 100 times; and charges are counted and timed. `--quick` plays 300 histories and 10 rounds.
"""

import argparse
import asyncio
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import psycopg

from benchmarks import Figure, report
from storage.embedded.server import EmbeddedPostgres
from storage.migrate import migrate
from tests.flows.hours_model import CALLS, NEW_JOB, SNAPSHOT, arguments, history

STEPS = 24
AT_ONCE = 50
GIVEN = 1000
QUOTE = 60
LATER = 30_100_000
USERS = 25
NEW_USER = "insert into public.profiles (id, email) values (%(user)s, %(user)s::text || '@example.com')"
PROCESSES = 2
Connection = psycopg.AsyncConnection[Any]


def main() -> int:
    """Measure and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='300 histories instead of 10,000, 10 rounds of 100')
    parser.add_argument('--seed', type=int, default=1)
    chosen = parser.parse_args()
    with postgres() as dsn:
        return report(
            [
                *charge(dsn, seconds=4 if chosen.quick else 20),
                *asyncio.run(start_at_once(dsn, rounds=10 if chosen.quick else 100)),
                *play(dsn, histories=300 if chosen.quick else 10_000, seed=chosen.seed),
            ]
        )


@contextmanager
def postgres() -> Iterator[str]:
    """A migrated Postgres, as its superuser: only that one may say what time it is."""
    home = Path(tempfile.mkdtemp(prefix='vs-bench-'))
    server = EmbeddedPostgres(home)
    try:
        server.start()
        asyncio.run(migrate(server.dsn('migrate'), shim=True))
        yield server.dsn('superuser')
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


# random histories


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of some histories."""

    histories: int = 0
    steps: int = 0
    wrong: int = 0
    negative: int = 0
    error: float = 0.0


def play(dsn: str, *, histories: int, seed: int) -> list[Figure]:
    """Play random histories in two processes, each history one user's."""
    begun = time.perf_counter()
    shares = [range(first, histories, PROCESSES) for first in range(PROCESSES)]
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context('spawn')) as pool:
        parts = list(pool.map(play_some, [dsn] * PROCESSES, shares, [seed] * PROCESSES))
    return [
        Figure(figure='random histories played', value=sum(part.histories for part in parts)),
        Figure(figure='their steps', value=sum(part.steps for part in parts)),
        Figure(
            figure='steps after which the database differs from the model', value=sum(p.wrong for p in parts), goal=0
        ),
        Figure(
            figure='steps after which Σ ledger ≠ balance, or it is negative',
            value=sum(p.negative for p in parts),
            goal=0,
        ),
        Figure(figure='largest error of a charge for viewing (s)', value=max(part.error for part in parts), goal=1),
        Figure(figure='time for the histories (s)', value=time.perf_counter() - begun, goal=480),
    ]


def play_some(dsn: str, numbers: Sequence[int], seed: int) -> Played:
    """Play the histories of these numbers."""
    wrong = negative = steps = 0
    error = 0.0
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=0) as connection:
        for number in numbers:
            random = Random(f'{seed}/{number}')
            user = UUID(int=random.getrandbits(128), version=4)
            life = list(history(random, user, steps=STEPS))
            results, snapshots = run(connection, user, life)
            steps += len(life)
            for step, result, found in zip(life, results, snapshots, strict=True):
                negative += (
                    not found['ledger'] == found['balance'] >= 0 or found['wrong'] > 0 or len(found['sessions']) > 1
                )
                error = max(error, step.error)
                if result != step.result or found != step.state:
                    wrong += 1
                    print(f'seed {seed}, history {number}: {step.name} {step.values}', file=sys.stderr)
                    print(f'  returned {result!r}, not {step.result!r}; {found} is not {step.state}', file=sys.stderr)
    return Played(histories=len(numbers), steps=steps, wrong=wrong, negative=negative, error=error)


def run(connection: psycopg.Connection[Any], user: UUID, life: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Send a whole history at once; return what each step returned and how the database stood after it."""
    answers = []
    with connection.transaction(), connection.pipeline():
        connection.execute(NEW_USER, {'user': user})
        for step in life:
            call = connection.execute(NEW_JOB if step.name == 'job' else CALLS[step.name], arguments(user, step.values))
            answers.append((step.name != 'job', call, connection.execute(SNAPSHOT, {'user': user})))
    return (
        [call.fetchone()[0] if asked else None for asked, call, _ in answers],
        [snapshot.fetchone()[0] for *_, snapshot in answers],
    )


# many at once


async def start_at_once(dsn: str, *, rounds: int) -> list[Figure]:
    """50 connections begin one user's viewing at once, then half of them beat while the others hold hours for jobs."""
    sums = sessions = negative = 0
    error = 0.0
    async with connections(dsn, AT_ONCE) as opened:
        for _ in range(rounds):
            user = await new_user(opened[0], seconds=GIVEN)
            jobs = [uuid4() for _ in opened[::2]]
            for job in jobs:
                await opened[0].execute(NEW_JOB, {'job': job, 'user': user})
            starts = [call(one, 'beat', user, idle=0, at=place * 1000) for place, one in enumerate(opened)]
            await asyncio.gather(*starts)
            first = await stand(opened[0], user)
            # Whichever start was first: by now at least 30 s have been viewed, and less than 31.
            spending = zip(opened[::2], jobs, strict=True)
            reserves = [call(one, 'reserve', user, job=job, seconds=QUOTE, at=LATER) for one, job in spending]
            beats = [call(one, 'beat', user, idle=0, at=LATER + place) for place, one in enumerate(opened[1::2])]
            answers = await asyncio.gather(*reserves, *beats)
            held = answers[: len(jobs)].count(0)
            found = await stand(opened[0], user)
            spent = {'viewing': -found['viewed'], 'job': -held * QUOTE}
            right = GIVEN - found['viewed'] - held * QUOTE == found['balance'] == found['ledger']
            sums += not right or found['kinds'] != {'grant': GIVEN} | spent or found['held'] != held * QUOTE
            sums += held < min(len(jobs), (GIVEN - 31) // QUOTE)
            sessions += len(first['sessions']) != 1 or len(found['sessions']) != 1
            negative += found['balance'] < 0 or found['wrong'] > 0 or first['wrong'] > 0
            error = max(error, abs(found['viewed'] - LATER / 1e6))
    return [
        Figure(figure=f'rounds of {AT_ONCE} concurrent starts', value=rounds),
        Figure(figure='rounds whose sum is not exact', value=sums, goal=0),
        Figure(figure='rounds without exactly one open session', value=sessions, goal=0),
        Figure(figure='rounds with a negative balance', value=negative, goal=0),
        Figure(figure='largest error of their charges (s)', value=error, goal=1),
    ]


async def new_user(connection: Connection, *, seconds: int) -> UUID:
    """An account with hours."""
    user = uuid4()
    await connection.execute(NEW_USER, {'user': user})
    await call(connection, 'give', user, key=f'{user}', seconds=seconds, priority=50, expires=None, at=0)
    return user


async def stand(connection: Connection, user: UUID) -> Any:
    """How a user stands."""
    row = await (await connection.execute(SNAPSHOT, {'user': user})).fetchone()
    assert row is not None
    return row[0]


async def call(connection: Connection, name: str, user: UUID, **values: Any) -> Any:
    """Call a function of hours and return its answer."""
    row = await (await connection.execute(CALLS[name], arguments(user, values))).fetchone()
    assert row is not None
    return row[0]


@asynccontextmanager
async def connections(dsn: str, number: int) -> AsyncIterator[list[Connection]]:
    """Open connections that keep what each statement did."""
    async with AsyncExitStack() as stack:
        opening = (psycopg.AsyncConnection.connect(dsn, autocommit=True, prepare_threshold=0) for _ in range(number))
        yield [await stack.enter_async_context(await one) for one in opening]


# how fast


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """Charges of 30 s each, and how long each took (s)."""

    times: list[float]
    seconds: float
    exact: bool


def charge(dsn: str, *, seconds: float) -> list[Figure]:
    """Charge many users as fast as it goes over 12 connections, then steadily over 4."""
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context('spawn')) as pool:
        wide = list(pool.map(charge_many, [dsn] * PROCESSES, [6] * PROCESSES, [seconds] * PROCESSES))
        steady = pool.submit(charge_many, dsn, 4, seconds).result()
    times = sorted(steady.times)
    return [
        Figure(
            figure='charges a second, 12 connections',
            value=sum(len(part.times) / part.seconds for part in wide),
            goal=1000,
            better='more',
        ),
        Figure(figure='p99 of a charge, 4 connections (ms)', value=times[len(times) * 99 // 100] * 1000, goal=20),
        Figure(figure='p50 of a charge, 4 connections (ms)', value=times[len(times) // 2] * 1000),
        Figure(
            figure='runs whose charges do not add up',
            value=sum(not part.exact for part in (*wide, steady)),
            goal=0,
        ),
    ]


def charge_many(dsn: str, number: int, seconds: float) -> Charged:
    """Beat for many users over `number` connections; every beat comes 30 s after the one before, so it charges 30 s."""
    return asyncio.run(_charge_many(dsn, number, seconds))


async def _charge_many(dsn: str, number: int, seconds: float) -> Charged:
    times: list[float] = []
    async with connections(dsn, number) as opened:
        users = [[await new_user(one, seconds=10**9) for _ in range(USERS)] for one in opened]
        for one, own in zip(opened, users, strict=True):
            for user in own:
                await call(one, 'beat', user, idle=0, at=0)
        beats = [0] * number
        begun = time.perf_counter()

        async def spend(place: int) -> None:
            while (now := time.perf_counter()) - begun < seconds:
                round_, user = divmod(beats[place], USERS)
                await call(opened[place], 'beat', users[place][user], idle=0, at=(round_ + 1) * 30_000_000)
                times.append(time.perf_counter() - now)
                beats[place] += 1

        await asyncio.gather(*(spend(place) for place in range(number)))
        took = time.perf_counter() - begun
        found = [(await stand(opened[0], user)) for own in users for user in own]
    exact = sum(one['viewed'] for one in found) == 30 * len(times) and not any(one['wrong'] for one in found)
    return Charged(times=times, seconds=took, exact=exact)


if __name__ == '__main__':
    sys.exit(main())
