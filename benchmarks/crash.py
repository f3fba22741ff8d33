"""Kills in the middle of everything: `python -m benchmarks.crash [--kills 50] [--seed S] [--quick]`.

A server and a worker of its own share a home, users upload, convert, forecast and are charged, and one process after
another is ended with SIGKILL at seeded moments: the web server, the worker, a task's child, now and then the embedded
Postgres. What is killed is started again, or comes back by itself. `--quick` kills six times, for tests.
"""

import argparse
import asyncio
import base64
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
import psycopg
import pyarrow.parquet as pq
from psycopg.rows import dict_row

from benchmarks import Figure, report
from core.errors import NotFound
from storage.embedded.server import EmbeddedPostgres
from storage.objects import Objects
from tests.e2e.server import ROOT, Server, python

USERS = 3
MOST_OPEN = 3  # jobs at a time: more would only wait for each other
LARGE = 20 * 2**20
PART = 4 * 2**20
PIECE = 64 * 2**10
MINUTES = 13.0  # for the kills; what is open then is given time to end
OVERHEAD = 4.0  # seconds of a kill besides: until its moment comes, and until what was killed is up again
HELD = 2.0  # a recovery counts when it lasts
MODELS = (('seasonal_naive',), ('seasonal_naive',), ('seasonal_naive', 'lightgbm'))
MOMENTS = ('upload', 'convert', 'forecast', 'beat', 'settle')
VICTIMS: Mapping[str, Sequence[str]] = {
    'upload': ('web', 'web', 'web', 'worker', 'postgres'),
    'convert': ('child', 'child', 'worker', 'web', 'postgres'),
    'forecast': ('child', 'child', 'worker', 'web', 'postgres'),
    'beat': ('child', 'child', 'web', 'worker', 'postgres'),
    'settle': ('worker', 'worker', 'web', 'web', 'postgres'),
}
SETTINGS = {
    'VARIOSYNC_WORKERS': '1',
    'VARIOSYNC_DEMO': '0',
    'VARIOSYNC_RATE_LIMIT': '1000000',
    'VARIOSYNC_TRIAL_HOURS': '1000',
    'VARIOSYNC_LOG_LEVEL': 'WARNING',
}
TUS = {'Tus-Resumable': '1.0.0'}
O_ASYNC = 0o20000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """Whom to end, at which moment, and how many seconds into it."""

    victim: str  # web | worker | child | postgres
    moment: str
    delay: float


def plan(kills: int, *, seed: int) -> list[Kill]:
    """Return the seeded kills; five in a row have each moment once, and no victim has more than 40 in 100."""
    rng = random.Random(seed)
    turns = {moment: [] for moment in MOMENTS}
    planned: list[Kill] = []
    while len(planned) < kills:
        for moment in rng.sample(MOMENTS, len(MOMENTS)):
            if not turns[moment]:
                turns[moment] = rng.sample(VICTIMS[moment], len(VICTIMS[moment]))
            victim, delay = turns[moment].pop(), 0.0 if moment == 'settle' else rng.uniform(0, 0.8)
            if sum(kill.victim == victim for kill in planned) < max(1, 0.4 * kills):
                planned.append(Kill(victim=victim, moment=moment, delay=delay))
    return planned[:kills]


class Site:
    """The server, the worker and the database of one home. It ends only what it has started."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.server = Server(home, command=python('run_nicegui.py', 'serve'), **SETTINGS)
        self.gave_up = 0
        self._worker: subprocess.Popen[bytes] | None = None
        self._log = home.with_suffix('.worker.log')

    def start(self) -> 'Site':
        """Start both processes and return when the server is ready."""
        self.server.start()
        self._start_worker()
        return self

    def stop(self) -> None:
        """Stop both in order."""
        try:
            if self._worker is not None and self._worker.poll() is None:
                self._worker.send_signal(signal.SIGTERM)
                self._worker.wait(30)
        except subprocess.TimeoutExpired:
            self._worker.kill()  # type: ignore[union-attr]
            self._worker.wait()  # type: ignore[union-attr]
        finally:
            self.server.stop()

    def _start_worker(self) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith('PYTEST')}
        with self._log.open('ab') as log:
            self._worker = subprocess.Popen(
                python('run_nicegui.py', 'worker'),
                cwd=ROOT,
                env=clean | {'VARIOSYNC_HOME': str(self.home)} | SETTINGS,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def told(self) -> str:
        """The last words of both processes."""
        worker = self._log.read_text(errors='replace').splitlines(keepends=True) if self._log.exists() else []
        return ''.join(['— server —\n', *self.server.lines[-60:], '— worker —\n', *worker[-60:]])

    def watch(self) -> None:
        """Start a process that ended by itself again, and count it: it should not have."""
        if self._worker is None or self._worker.poll() is not None:
            self.gave_up += 1
            self._start_worker()
        if self.server.process is None or self.server.process.poll() is not None:
            self.gave_up += 1
            self.server.start()

    def healthy(self) -> bool:
        """Whether /health says ok."""
        with suppress(httpx.HTTPError):
            answer = httpx.get(f'{self.server.url}/health', timeout=5)
            return answer.status_code == 200 and answer.json()['state'] == 'ok'
        return False

    def pid(self, victim: str) -> int:
        """The process of the server or of the worker."""
        process = self.server.process if victim == 'web' else self._worker
        if process is None:
            raise RuntimeError(f'there is no {victim}')
        return process.pid

    def tasks(self, *owners: str) -> list[psutil.Process]:
        """The children that run a task now; a spare one that waits for work is none."""
        found: list[psutil.Process] = []
        for owner in owners:
            with suppress(psutil.Error):
                children = psutil.Process(self.pid(owner)).children()
                found += [child for child in children if _runs_a_task(child)]
        return found

    def kill(self, victim: str, *, rng: random.Random) -> bool:
        """End a process with SIGKILL and start again what does not come back by itself; False when there is none."""
        if victim == 'child':
            children = self.tasks('web', 'worker')
            if not children:
                return False
            rng.choice(children).kill()
        elif victim == 'postgres':
            self._postmaster().kill()
        elif victim == 'web':
            self.server.kill()
            self.server.start()
        elif self._worker is not None:
            self._worker.kill()
            self._worker.wait()
            self._start_worker()
        return True

    def _postmaster(self) -> psutil.Process:
        children = psutil.Process(self.pid('web')).children(recursive=True)
        pid = int((self.home / 'postgres' / 'postmaster.pid').read_text().splitlines()[0])
        return next(child for child in children if child.pid == pid)


def _runs_a_task(process: psutil.Process) -> bool:
    """A child that got its request has its pipe watched by a signal; one that waits has not."""
    with suppress(psutil.Error, OSError):
        if 'storage.embedded.child' not in process.cmdline():
            return False
        for file in Path(f'/proc/{process.pid}/fdinfo').iterdir():
            with suppress(OSError):
                flags = next(line for line in file.read_text().splitlines() if line.startswith('flags:'))
                if int(flags.split()[1], 8) & O_ASYNC:
                    return True
    return False


class Ledger:
    """What the database says, read with the worker's role and again while Postgres comes back."""

    def __init__(self, home: Path) -> None:
        self._dsn = EmbeddedPostgres(home).dsn('worker')

    def all(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """Return the rows. Raise psycopg.OperationalError while Postgres is down."""
        with psycopg.connect(self._dsn, row_factory=dict_row, connect_timeout=5, autocommit=True) as connection:
            return connection.execute(statement, values).fetchall()

    def patiently(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """Return the rows, after waiting up to a minute for Postgres."""
        until = time.monotonic() + 60
        while True:
            try:
                return self.all(statement, **values)
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.1)


@dataclass(slots=True, kw_only=True)
class Sent:
    """An upload as its sender knows it: what was announced and what was acknowledged."""

    owner: int
    address: str
    name: str
    size: int
    rows: int
    acknowledged: int = 0
    dataset: str = ''

    @property
    def complete(self) -> bool:
        """Whether the last byte was acknowledged."""
        return self.acknowledged == self.size


@dataclass(slots=True)
class Load:
    """What the users do, and what they saw."""

    site: Site
    ledger: Ledger
    seed: int
    large: int = LARGE
    wanted: str = 'upload'
    sent: list[Sent] = field(default_factory=list)
    shrunk: int = 0  # times that less was there than had been acknowledged
    unexpected: Counter[str] = field(default_factory=Counter)
    sending: int = 0
    beating: int = 0
    beats: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)
    users: list['User'] = field(default_factory=list)
    ready: dict[str, list[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Sign everybody up and let them work."""
        self.users = [User(self, place) for place in range(USERS)]
        for work in (self._look, self._keep_beating, *(user.work for user in self.users)):
            thread = threading.Thread(target=self._guarded, args=(work,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Let everybody end what they are about."""
        self.stopping.set()
        for thread in self._threads:
            thread.join(180)
            if thread.is_alive():
                self.failures.append('a user did not get done')

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # a silent end of a thread would look like success
            self.failures.append(f'{type(error).__name__}: {error}')
            raise

    def _look(self) -> None:
        while not self.stopping.is_set():
            with suppress(psycopg.OperationalError):
                ready: dict[str, list[str]] = {}
                for row in self.ledger.all(READY):
                    ready.setdefault(row['email'], []).append(str(row['id']))
                self.ready = ready
            self.stopping.wait(0.5)

    def _keep_beating(self) -> None:
        """Everybody has a page open."""
        with httpx.Client(base_url=self.site.server.url, timeout=30) as client:
            while not self.stopping.wait(0.1):
                for user in self.users:
                    self.beating += 1
                    try:
                        answer = client.post('/api/v1/hours/heartbeat', json={'idle': 0}, headers=user.signed())
                        self.noted(answer, 'heartbeat')
                        self.beats += answer.is_success
                    except httpx.TransportError:
                        self.stopping.wait(0.2)
                    finally:
                        self.beating -= 1

    def noted(self, answer: httpx.Response, what: str) -> httpx.Response:
        """Count answers that a kill does not explain: everything above 499 but 503."""
        if answer.status_code >= 500 and answer.status_code != 503:
            self.unexpected[f'{what}: {answer.status_code}'] += 1
        return answer


class User:
    """Somebody who uploads and forecasts, and tries again when the server was gone."""

    def __init__(self, load: Load, place: int) -> None:
        self.load = load
        self.place = place
        self.email = f'user{place}@example.com'
        self._random = random.Random(f'{load.seed}-{place}')
        self._client = load.site.server.client(self.email)
        self._number = 0

    def signed(self) -> dict[str, str]:
        """Headers of a request from this user's page."""
        cookies = '; '.join(f'{cookie.name}={cookie.value}' for cookie in self._client.cookies.jar)
        return {'Cookie': cookies, 'Origin': self.load.site.server.url}

    def work(self) -> None:
        """Do one thing after another until told to stop."""
        while not self.load.stopping.is_set():
            try:
                if self.load.ledger.all(OPEN)[0]['count'] < MOST_OPEN:
                    self._do_something()
            except (httpx.TransportError, psycopg.OperationalError):
                self._wait()
            self.load.stopping.wait(0.1)

    def _do_something(self) -> None:
        wanted = self.load.wanted if self._random.random() < 0.75 else self._random.choice(MOMENTS)
        ready = self.load.ready.get(self.email, [])
        if ready and (wanted == 'forecast' or (wanted == 'settle' and self._random.random() < 0.5)):
            self._forecast(self._random.choice(ready[-8:]))
        else:
            self._upload(large=self._random.random() < (0.4 if wanted in ('upload', 'convert') else 0.1))

    def _forecast(self, dataset: str) -> None:
        models = self._random.choice(MODELS)
        self._number += 1
        name = f'f{self.place}-{self._number}'
        asked = {'dataset_id': dataset, 'target': 'y', 'h': 6, 'models': list(models), 'name': name}
        answer = self.load.noted(self._client.post('/api/v1/forecasts', json=asked), 'forecast')
        if answer.status_code not in (201, 202, 503):
            self.load.unexpected[f'forecast: {answer.status_code} {answer.text[:200]}'] += 1
        time.sleep(0.3)

    def _upload(self, *, large: bool) -> None:
        self._number += 1
        name = f'u{self.place}-{self._number}.csv'
        data, rows = table(self._random, size=self.load.large if large else self._random.randint(2_000, 60_000))
        metadata = f'filename {base64.b64encode(name.encode()).decode()}'
        headers = TUS | {'Upload-Length': str(len(data)), 'Upload-Metadata': metadata}
        answer = self.load.noted(self._client.post('/api/v1/uploads', headers=headers), 'begin upload')
        if answer.status_code != 201:
            self._wait()
            return
        sent = Sent(owner=self.place, address=answer.headers['location'], name=name, size=len(data), rows=rows)
        self.load.sent.append(sent)
        until = time.monotonic() + 150
        while not sent.complete and time.monotonic() < until:
            try:
                self._go_on(sent, data)
            except httpx.TransportError:
                self._wait()

    def _go_on(self, sent: Sent, data: bytes) -> None:
        if not self.look(sent) or sent.complete:
            return
        headers = TUS | {
            'Upload-Offset': str(sent.acknowledged),
            'Content-Type': 'application/offset+octet-stream',
        }
        self.load.sending += 1
        try:
            part = data[sent.acknowledged : sent.acknowledged + PART]
            answer = self._client.patch(sent.address, content=_slowly(part), headers=headers)
        finally:
            self.load.sending -= 1
        self.load.noted(answer, 'send')
        if answer.status_code == 204:
            sent.acknowledged = int(answer.headers['upload-offset'])
            sent.dataset = answer.headers.get('variosync-dataset', '')
        else:
            self._wait()

    def look(self, sent: Sent) -> bool:
        """Ask how much has arrived; less than was acknowledged is a loss. False when there was no answer to that."""
        answer = self.load.noted(self._client.head(sent.address, headers=TUS), 'look')
        if answer.status_code >= 500 or answer.status_code == 409:
            self._wait()
            return False
        arrived = int(answer.headers['upload-offset']) if answer.status_code == 200 else -1
        if arrived < sent.acknowledged:
            self.load.shrunk += 1
            self.load.unexpected[f'look: {answer.status_code}, {arrived} of {sent.acknowledged}'] += 1
        sent.acknowledged = max(sent.acknowledged, arrived)
        sent.dataset = answer.headers.get('variosync-dataset', sent.dataset)
        return True

    def get(self, address: str) -> int:
        """The status of a page or a file of this user."""
        return self._client.get(address).status_code

    def _wait(self) -> None:
        until = time.monotonic() + 60
        while not self.load.site.healthy() and time.monotonic() < until:
            time.sleep(0.2)


def _slowly(data: bytes) -> Iterator[bytes]:
    """A sender whose line is no faster than 16 MB/s, so that kills meet bodies on their way."""
    for place in range(0, len(data), PIECE):
        yield data[place : place + PIECE]
        time.sleep(PIECE / 16e6)


def table(rng: random.Random, *, size: int) -> tuple[bytes, int]:
    """A table of a few shops of about `size` bytes, and its rows."""
    lines = [b'shop,ds,y\n']
    length, row, first = len(lines[0]), 0, rng.randint(1, 999)
    shops = 3 if size < 2**20 else 40
    while length < size:
        step, shop = divmod(row, shops)
        year, day = divmod(step, 336)
        # Stamps of a day that every month has, hour by hour of a long calendar.
        month, day = divmod(day, 28)
        line = b'shop %d,%d-%02d-%02d,%d\n' % (shop, 1900 + year, month + 1, day + 1, first + step % 7 * 10 + shop)
        lines.append(line)
        length += len(line)
        row += 1
    return b''.join(lines), row


OPEN = "select count(*) from public.jobs where state in ('queued', 'running')"
READY = """
select p.email, d.id from public.datasets d join public.profiles p on p.id = d.user_id
join public.dataset_versions v on v.id = d.current_version where v.rows < 100000 order by d.created_at
"""
STANDING = """
select j.id, j.kind, j.state, j.attempt, extract(epoch from w.last_heartbeat)::float8 as heard
from public.jobs j
left join procrastinate.procrastinate_jobs d on d.lock = j.id::text and d.status = 'doing'
left join procrastinate.procrastinate_workers w on w.id = d.worker_id
where case when %(ids)s::uuid[] is null then j.state in ('queued', 'running') else j.id = any(%(ids)s) end
"""


@dataclass(slots=True)
class Recovery:
    """Watches what was open at a kill until all of it has ended or runs again and the server is well."""

    site: Site
    ledger: Ledger
    kill: Kill
    open: Mapping[UUID, tuple[str, int]]
    at: float  # by the clock that the database reads, too
    seconds: float = float('inf')
    missing: str = ''

    def watch(self, *, limit: float = 120) -> None:
        """Return when everything has recovered, or after `limit` seconds."""
        since: float | None = None
        while time.time() - self.at < limit:
            now = time.time()
            if not self._recovered():
                since = None
            elif since is None:
                since = now
            elif now - since >= HELD:
                self.seconds = since - self.at
                return
            time.sleep(0.1)

    def _recovered(self) -> bool:
        self.missing = 'health' if not self.site.healthy() else ''
        if not self.missing and self.open:
            try:
                rows = self.ledger.all(STANDING, ids=list(self.open))
            except psycopg.OperationalError:
                self.missing = 'database'
            else:
                self.missing = ', '.join(f'{row["kind"]} {row["id"]}' for row in rows if not self._goes_on(row))
        return not self.missing

    def _goes_on(self, row: Mapping[str, Any]) -> bool:
        if row['state'] != 'running':
            return row['state'] != 'queued'
        if row['attempt'] > self.open[row['id']][1]:
            return True
        # The same attempt runs on only in a process that was heard of since; a dead one leaves its jobs "running".
        return self.kill.victim not in ('web', 'worker') or (row['heard'] or 0) > self.at + 0.5


@dataclass(slots=True)
class Killer:
    """Carries out a plan."""

    site: Site
    ledger: Ledger
    load: Load
    rng: random.Random
    recoveries: list[Recovery] = field(default_factory=list)
    _before: list[dict[str, Any]] = field(default_factory=list)

    def run(self, kills: Sequence[Kill], *, until: float, pause: float) -> None:
        """Kill one after another; the next waits for the recovery from the last, but at most `pause` seconds.

        It waits less when the time is short, and nobody is killed after `until`.
        """
        threads: list[threading.Thread] = []
        for number, kill in enumerate(kills, 1):
            if time.monotonic() > until:
                break
            self.load.wanted = kill.moment
            recovery = self._strike(kill)
            self.recoveries.append(recovery)
            threads.append(threading.Thread(target=self._follow, args=(number, recovery), daemon=True))
            threads[-1].start()
            share = (until - time.monotonic()) / max(1, len(kills) - number)
            threads[-1].join(max(1.0, min(pause, share - OVERHEAD)))
        for thread in threads:
            thread.join(120)
        self.site.watch()

    def _follow(self, number: int, recovery: Recovery) -> None:
        recovery.watch()
        kill, told = recovery.kill, f'recovered in {recovery.seconds:.1f} s'
        if recovery.missing:
            told = f'NOT RECOVERED: {recovery.missing}'
        print(f'{number:>3} {kill.victim:<8} {kill.moment:<8} {len(recovery.open)} open, {told}', flush=True)

    def _strike(self, kill: Kill) -> Recovery:
        self.site.watch()
        self._await_moment(kill, patience=25)
        if kill.victim == 'child' and not _wait(lambda: bool(self.site.tasks('web', 'worker')), 25):
            kill = replace(kill, victim='worker')  # nothing runs, perhaps because it still comes back
        if kill.moment != 'settle':
            time.sleep(kill.delay)
        rows = self.ledger.patiently(STANDING, ids=None) if kill.moment != 'settle' else self._before
        was_open = {row['id']: (row['state'], row['attempt']) for row in rows}
        recovery = Recovery(self.site, self.ledger, kill, was_open, time.time())
        if not self.site.kill(kill.victim, rng=self.rng):
            recovery.kill = replace(kill, victim='worker')  # the task has ended meanwhile
            self.site.kill('worker', rng=self.rng)
        return recovery

    def _await_moment(self, kill: Kill, *, patience: float) -> None:
        """Wait until what the kill is to interrupt is under way; a moment that does not come is passed over."""
        owners = (kill.victim,) if kill.victim in ('web', 'worker') else ('web', 'worker')
        match kill.moment:
            case 'upload':
                _wait(lambda: self.load.sending > 0, patience)
            case 'beat':
                _wait(lambda: self.load.beating > 0, patience)
            case 'settle':
                _wait(lambda: bool(self.site.tasks(*owners)), patience)
                self._before = self.ledger.patiently(STANDING, ids=None)
                # The end of a task's process is followed by the end of its job: strike there.
                working = self.site.tasks(*owners)
                _wait(lambda: any(not child.is_running() for child in working) or not working, patience, step=0.003)
            case kind:
                _wait(lambda: self._runs(kind) and bool(self.site.tasks(*owners)), patience)

    def _runs(self, kind: str) -> bool:
        rows = self.ledger.patiently(STANDING, ids=None)
        return any((row['kind'], row['state']) == (kind, 'running') for row in rows)


def _wait(true: Callable[[], bool], patience: float, *, step: float = 0.02) -> bool:
    until = time.monotonic() + patience
    while not (holds := true()) and time.monotonic() < until:
        time.sleep(step)
    return holds


# what must hold when everything has ended

ENDED = """
select j.id, j.user_id, j.kind, j.state, j.title, j.attempt, j.quote, j.charged, j.error ->> 'message' as error,
       j.payload ->> 'upload' as upload,
       (select count(*) from public.notices n
        where n.user_id = j.user_id and n.title in (j.title || ': done', j.title || ': failed')) as told,
       (select count(*) from public.dataset_versions v where v.job_id = j.id) as versions,
       (select count(*) from public.issued_forecasts i where i.forecast_id = j.forecast_id) as issued,
       (select count(*) from public.hour_reservations r where r.job_id = j.id and r.settled_at is not null) as settled,
       (select count(*) from public.hour_reservations r where r.job_id = j.id and r.settled_at is null) as held,
       (select coalesce(sum(r.charged), 0) from public.hour_reservations r where r.job_id = j.id)::bigint as kept,
       (select coalesce(-sum(l.seconds), 0) from public.hour_ledger l where l.job_id = j.id)::bigint as paid
from public.jobs j order by j.created_at
"""
UPLOADS = """
select u.id, u.state, u.dataset_id, j.id as job, j.state as job_state, d.deleted_at
from public.uploads u
left join public.datasets d on d.id = u.dataset_id
left join public.jobs j on j.payload ->> 'upload' = u.id::text and j.kind = 'convert'
"""
VERSIONS = """
select v.id, v.dataset_id, v.number, v.upload_id, v.prefix, v.manifest, v.rows, d.current_version = v.id as shown
from public.dataset_versions v join public.datasets d on d.id = v.dataset_id
"""
BALANCES = """
select p.email,
       (select coalesce(sum(l.seconds), 0) from public.hour_ledger l where l.user_id = p.id)::bigint as ledger,
       (select coalesce(sum(g.remaining), 0) from public.hour_grants g where g.user_id = p.id)::bigint as remaining,
       (select coalesce(min(g.remaining), 0) from public.hour_grants g where g.user_id = p.id)::bigint as least,
       (select count(*) from public.hour_ledger l where l.user_id = p.id and l.balance < 0) as below,
       (select coalesce(-sum(l.seconds), 0) from public.hour_ledger l
        where l.user_id = p.id and l.kind = 'viewing')::bigint as viewing,
       (select coalesce(sum(s.seconds), 0) from public.usage_sessions s where s.user_id = p.id)::bigint as sessions,
       (select count(*) from (
            select l.balance - sum(l.seconds) over (order by l.id) as gap
            from public.hour_ledger l where l.user_id = p.id
        ) lines where gap <> 0) as gaps
from public.profiles p order by p.email
"""


def lost_uploads(load: Load, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Tell of acknowledged uploads without a dataset or a job that ended, or with more than one job."""
    known: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        known.setdefault(str(row['id']), []).append(row)
    for sent in load.sent:
        found = known.get(sent.address.rsplit('/', 1)[1], [])
        if not found:
            yield f'{sent.name}: there is no row'
        elif not sent.complete:
            yield f'{sent.name}: {sent.acknowledged} of {sent.size} bytes could be sent'
        elif len(found) != 1 or found[0]['state'] != 'accepted' or not found[0]['dataset_id'] or not found[0]['job']:
            yield f'{sent.name}: {[dict(row) for row in found]}'
        elif sent.dataset and sent.dataset != str(found[0]['dataset_id']):
            yield f'{sent.name}: the dataset changed from {sent.dataset}'


def ended_wrongly(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Tell of jobs that ended more than once, or whose results do not fit their end."""
    for row in rows:
        good = row['state'] == 'succeeded'
        results = row['versions'] if row['kind'] == 'convert' else row['issued']
        if row['told'] != (row['state'] != 'cancelled'):
            yield f'{row["title"]} ({row["state"]}) was told {row["told"]} times'
        if (row['kind'] == 'convert' and results != good) or (row['kind'] == 'forecast' and bool(results) != good):
            yield f'{row["title"]} ({row["state"]}) has {results} results'


def partial_datasets(load: Load, objects: Objects, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Tell of versions whose objects are absent, have other sizes or rows than the manifest, or than was sent."""
    sent = {one.address.rsplit('/', 1)[1]: one for one in load.sent}
    for row in rows:
        if wrong := [said for file in row['manifest']['files'] if (said := _wrong(objects, row['prefix'], file))]:
            yield f'{row["prefix"]}: {", ".join(wrong)}'
        counted = sum(file['rows'] for file in row['manifest']['files'] if file['name'].startswith('data-'))
        expected = sent[str(row['upload_id'])].rows
        if not counted == row['rows'] == expected:
            yield f'{row["prefix"]}: {counted} rows in files, {row["rows"]} told, {expected} sent'
        owner = load.users[sent[str(row['upload_id'])].owner]
        address = f'/api/v1/datasets/{row["dataset_id"]}/versions/{row["number"]}/series?width=200'
        if row['shown'] and (status := owner.get(address)) != 200:
            yield f'{row["prefix"]}: {address} answers {status}'


def _wrong(objects: Objects, prefix: str, file: Mapping[str, Any]) -> str:
    key = f'{prefix}/{file["name"]}'
    try:
        size = asyncio.run(objects.size(key))
    except NotFound:
        return f'no {file["name"]}'
    if size != file['bytes']:
        return f'{file["name"]} has {size} bytes, not {file["bytes"]}'
    if file['name'].startswith('data-'):
        rows = pq.read_metadata(asyncio.run(objects.fetch(key))).num_rows
        return '' if rows == file['rows'] else f'{file["name"]} has {rows} rows, not {file["rows"]}'
    return ''


def ledger_errors(balances: Sequence[Mapping[str, Any]], jobs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Tell of seconds that came or went without an entry, of negative balances and of jobs not settled once."""
    for row in balances:
        if row['ledger'] != row['remaining'] or row['least'] < 0 or row['below'] or row['gaps']:
            yield f'{row["email"]}: {dict(row)}'
        if row['viewing'] != row['sessions']:
            yield f'{row["email"]}: {row["viewing"]} s of viewing were paid, {row["sessions"]} s were viewed'
    for row in jobs:
        charged = row['charged']
        if (row['settled'], row['held']) != (1, 0) or charged is None or not charged == row['kept'] == row['paid']:
            yield f'{row["title"]}: {dict(row)}'
        elif charged > row['quote'] or (charged and row['state'] != 'succeeded'):
            yield f'{row["title"]} ({row["state"]}) was charged {charged} of {row["quote"]} s'


def measure(home: Path, *, kills: int, seed: int, quick: bool = False) -> list[Figure]:
    """Kill `kills` times over a new home, let everything end, and return the figures.

    `quick` sends smaller files and hardly waits between kills.
    """
    begin = time.monotonic()
    site = Site(home).start()
    try:
        ledger = Ledger(home)
        load = Load(site, ledger, seed, large=LARGE // 4 if quick else LARGE)
        load.start()
        killer = Killer(site, ledger, load, random.Random(f'{seed}-victims'))
        planned = plan(kills, seed=seed)
        if quick:
            # What takes longest to come back from first, so that the waits overlap.
            planned.sort(key=lambda kill: kill.victim in ('child', 'postgres'))
        killer.run(planned, until=begin + MINUTES * 60, pause=1.0 if quick else 14.0)
        load.stop()
        left = _settled(ledger, patience=240)
        figures = _figures(site, ledger, load, killer, left=left, kills=kills)
        for failure in load.failures:
            print('fault:', failure)
    except BaseException:
        print(site.told(), file=sys.stderr)
        raise
    finally:
        site.stop()
    if not all(figure.holds for figure in figures):
        print(site.told(), file=sys.stderr)
    return [
        *figures,
        Figure(figure='minutes', value=(time.monotonic() - begin) / 60, goal=15),
        Figure(figure='faults of this program', value=len(load.failures), goal=0),
    ]


def _settled(ledger: Ledger, *, patience: float) -> int:
    """Wait until every job has ended; return how many have not."""
    until = time.monotonic() + patience
    while (left := ledger.patiently(OPEN)[0]['count']) and time.monotonic() < until:
        time.sleep(0.5)
    return int(left)


def _figures(site: Site, ledger: Ledger, load: Load, killer: Killer, *, left: int, kills: int) -> list[Figure]:
    for sent in load.sent:
        load.users[sent.owner].look(sent)
    jobs, versions = ledger.patiently(ENDED), ledger.patiently(VERSIONS)
    objects = Objects.local(site.home / 'objects')
    ended = [row for row in jobs if row['state'] not in ('queued', 'running')]
    found = {
        'uploads lost': list(lost_uploads(load, ledger.patiently(UPLOADS))),
        'jobs ended twice or wrongly': list(ended_wrongly(ended)),
        'partial datasets visible': list(partial_datasets(load, objects, versions)),
        'ledger errors': list(ledger_errors(ledger.patiently(BALANCES), ended)),
    }
    for name, wrong in found.items():
        for said in wrong[:20]:
            print(f'{name}: {said}')
    for said, times in load.unexpected.most_common():
        print(f'answered {times}×: {said}')
    for row in ended:
        if row['state'] == 'failed':
            print(f'failed after {row["attempt"]} attempts: {row["title"]}: {row["error"]}')
    seconds = [recovery.seconds for recovery in killer.recoveries] or [0.0]
    share = Counter(recovery.kill.victim for recovery in killer.recoveries)
    print('killed:', ', '.join(f'{victim} {times}' for victim, times in share.most_common()), end='\n\n')
    return [
        *(Figure(figure=name, value=len(wrong), goal=0) for name, wrong in found.items()),
        Figure(figure='times that acknowledged bytes were gone', value=load.shrunk, goal=0),
        Figure(figure='jobs without an end', value=left, goal=0),
        Figure(figure='processes that ended by themselves', value=site.gave_up, goal=0),
        Figure(figure='answers above 499 but 503', value=sum(load.unexpected.values()), goal=0),
        Figure(figure='worst recovery (s)', value=max(seconds), goal=60),
        Figure(figure='median recovery (s)', value=statistics.median(seconds)),
        Figure(figure='kills', value=len(killer.recoveries), goal=kills, better='more'),
        Figure(figure='uploads', value=len(load.sent)),
        Figure(figure='jobs ended', value=len(ended)),
        Figure(figure='jobs that failed', value=sum(row['state'] == 'failed' for row in ended)),
        Figure(figure='heartbeats', value=load.beats),
        Figure(figure='seconds charged for jobs', value=sum(row['charged'] or 0 for row in ended)),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, measure and return the exit status: 1 when a figure does not hold."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.crash', description=__doc__)
    parser.add_argument('--kills', type=int, default=50)
    parser.add_argument('--seed', type=int, help='the plan of a run that is to be repeated')
    parser.add_argument('--quick', action='store_true', help='six kills, for tests')
    asked = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    kills = 6 if asked.quick else asked.kills
    how = '--quick' if asked.quick else f'--kills {kills}'
    print(f'seed {seed}, {kills} kills; repeat by `python -m benchmarks.crash {how} --seed {seed}`', flush=True)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that what was started is stopped
    folder = Path(tempfile.mkdtemp(prefix='vs-crash-'))
    try:
        return report(measure(folder / 'home', kills=kills, seed=seed, quick=asked.quick))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == '__main__':
    sys.exit(main())
