"""What happens when Redis goes away under load: `python -m benchmarks.redis [--quick]`; `--quick` has shorter phases.

A real server on loopback is asked 50 times a second, whether it has answered or not: who a token is, the list of
datasets, and points of a series, each a third. Its Redis is killed and started again, then halted and let go on. It has
recovered when `/health` says so and commands reach Redis. All clocks are this machine's.
"""

import argparse
import asyncio
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks import Figure, report
from tests.counterparts.redis import RedisServer
from tests.e2e.server import Server, python
from tests.e2e.test_faults import begin, send

EMAIL, PASSWORD = 'bench@example.com', 'correct horse battery'
PACE = 50  # requests a second
PATIENCE = 60.0
WARM_UP = 'warm-up'
TABLE = b'ds,y\n' + b''.join(
    b'2024-%02d-%02d,%d.5\n' % (month, day, day) for month in range(1, 13) for day in range(1, 29)
)


@dataclass(slots=True)
class Load:
    """Requests at a steady pace, and how each phase of them went."""

    client: httpx.AsyncClient
    points: str
    phase: str = WARM_UP
    times: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    begun: int = 0
    _asking: set['asyncio.Task[None]'] = field(default_factory=set)

    async def run(self) -> None:
        """Ask until cancelled, then wait for what is under way."""
        rng = random.Random(0)
        started = time.perf_counter()
        try:
            while True:
                await asyncio.sleep(max(0.0, started + self.begun / PACE - time.perf_counter()))
                self.begun += 1
                task = asyncio.create_task(self._ask(self._choose(rng)))
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)
        finally:
            await asyncio.gather(*self._asking)

    def _choose(self, rng: random.Random) -> str:
        window = f'{self.points}?width={rng.randrange(200, 1200, 50)}'
        return rng.choice(('/api/v1/auth/verify', '/api/v1/datasets', window))

    async def _ask(self, path: str) -> None:
        phase, begun = self.phase, time.perf_counter()
        try:
            answer = await self.client.get(path)
        except httpx.HTTPError as error:
            self.errors.append(f'{phase}: {path}: {error!r}')
            return
        self.times.setdefault(phase, []).append(time.perf_counter() - begun)
        if not answer.is_success:
            self.errors.append(f'{phase}: {path}: {answer.status_code} {answer.text[:200]}')


def main() -> int:
    """Measure and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='3 s a phase instead of 15 s, and each fault once')
    quick = parser.parse_args().quick
    folder = Path(tempfile.mkdtemp(prefix='vs-bench-'))
    with RedisServer(password='geheim') as redis:
        server = Server(
            folder / 'home',
            command=python('run_nicegui.py', 'serve'),
            REDIS_URL=redis.url,
            VARIOSYNC_RATE_LIMIT='1000000',
            VARIOSYNC_DEMO='false',
        ).start()
        try:
            client = server.client(EMAIL, PASSWORD)
            return report(
                asyncio.run(measure(server, client, redis, phase=3 if quick else 15, rounds=1 if quick else 3))
            )
        finally:
            server.stop()
            shutil.rmtree(folder, ignore_errors=True)


async def measure(
    server: Server, client: httpx.Client, redis: RedisServer, *, phase: float, rounds: int
) -> list[Figure]:
    """Take Redis away while requests come in, `rounds` times in each manner."""
    points = await asyncio.to_thread(upload, client)
    answer = client.post('/api/v1/auth/login', json={'email': EMAIL, 'password': PASSWORD})
    answer.raise_for_status()
    who = {'Authorization': f'Bearer {answer.json()["token"]}'}
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
    recoveries: list[float] = []
    async with httpx.AsyncClient(base_url=server.url, headers=who, timeout=30, limits=limits) as asking:
        load = Load(asking, points)
        running = asyncio.create_task(load.run())
        await asyncio.sleep(phase)
        load.phase = 'before'
        await asyncio.sleep(phase)
        for _ in range(rounds):
            for away, back in ((redis.kill, redis.start), (redis.hold, redis.resume)):
                recoveries.append(await outage(server, redis, load, away, back, phase=phase))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    for error in load.errors[:10]:
        print(error)
    return [
        Figure(figure='requests that failed (share)', value=len(load.errors) / load.begun, goal=0.01),
        Figure(figure='recovery, longest (s)', value=max(recoveries), goal=10),
        Figure(figure='recovery, median (s)', value=statistics.median(recoveries)),
        *(figure for name, times in load.times.items() if name != WARM_UP for figure in spread(name, times)),
        Figure(figure='requests', value=load.begun),
        Figure(figure='outages', value=len(recoveries)),
    ]


def upload(client: httpx.Client) -> str:
    """Bring a dataset, and return the address of its points."""
    send(client, begin(client, 'bench.csv', len(TABLE)), TABLE, 0)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        answer = client.get('/api/v1/datasets')
        answer.raise_for_status()
        for dataset in answer.json()['items']:
            if dataset['version']:
                return f'/api/v1/datasets/{dataset["id"]}/versions/{dataset["version"]}/series'
        time.sleep(0.2)
    raise RuntimeError('the dataset was not converted')


async def outage(
    server: Server,
    redis: RedisServer,
    load: Load,
    away: Callable[[], object],
    back: Callable[[], object],
    *,
    phase: float,
) -> float:
    """Take Redis away for a phase, and return how many seconds after its return everything was as before."""
    load.phase = 'while it goes'
    await asyncio.to_thread(away)
    await until_state(server, 'degraded')
    load.phase = 'while it is away'
    await asyncio.sleep(phase)
    began = time.perf_counter()
    await asyncio.to_thread(back)
    load.phase = 'while it comes back'
    # A server that was halted has counted on; one that was started anew begins at 0.
    before = await asyncio.to_thread(commands, redis)
    while await asyncio.to_thread(commands, redis) <= before:
        await asyncio.sleep(0.05)
    await until_state(server, 'ok')
    recovered = time.perf_counter() - began
    load.phase = 'after'
    await asyncio.sleep(phase)
    return recovered


def commands(redis: RedisServer) -> int:
    """How many scripts Redis has run; every request of a user needs some."""
    return int(redis.run('INFO', 'commandstats').get('cmdstat_evalsha', {}).get('calls', 0))


async def until_state(server: Server, state: str) -> None:
    """Return when /health says that the state is this."""
    async with httpx.AsyncClient(base_url=server.url, timeout=10) as client, asyncio.timeout(PATIENCE):
        while (await client.get('/health')).json()['state'] != state:
            await asyncio.sleep(0.1)


def spread(name: str, times: list[float]) -> list[Figure]:
    """Return p50, p95 and the longest of a phase, in milliseconds."""
    p95 = statistics.quantiles(times, n=20, method='inclusive')[-1]
    values = {'p50': statistics.median(times), 'p95': p95, 'longest': max(times)}
    return [Figure(figure=f'{name}, {figure} (ms)', value=value * 1000) for figure, value in values.items()]


if __name__ == '__main__':
    sys.exit(main())
