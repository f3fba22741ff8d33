"""The processes of a site: what is killed, and what comes back."""

import os
import random
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
from psycopg.rows import dict_row

from benchmarks.crash import plan
from core.settings import Settings
from storage.embedded.child import NAME
from storage.embedded.server import EmbeddedPostgres
from storage.objects import Objects
from tests.children import children
from tests.counterparts.front import Front
from tests.e2e.cloud import Cloud
from tests.e2e.server import Process, Server, begin, python

SETTINGS = {
    'VARIOSYNC_WORKERS': '1',
    'VARIOSYNC_DEMO': '0',
    'VARIOSYNC_RATE_LIMIT': '1000000',
    'VARIOSYNC_TRIAL_HOURS': '1000',
    'VARIOSYNC_LOG_LEVEL': 'WARNING',
}
OUTAGE = 3.0  # seconds that Redis or the object store is away at most
O_ASYNC = 0o20000


class Site(ABC):
    """A server and a worker. It ends only what it has started."""

    victims: Mapping[str, Sequence[str]]
    server: Server

    def __init__(self, home: Path, *, quick: bool) -> None:
        self.home = home
        # A process that has imported it all has both, again and again, for seconds of computing less.
        self._program = ('forked',) if quick else python('run_nicegui.py')
        self.gave_up = 0
        self._worker: Process | None = None
        # Made once, as that takes longer than an answer; each question connects anew.
        self._web = httpx.Client(timeout=5, limits=httpx.Limits(max_keepalive_connections=0))
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
            self._worker.send_signal(signal.SIGKILL)  # type: ignore[union-attr]
            self._worker.wait()  # type: ignore[union-attr]
        finally:
            self._web.close()
            self.server.stop()

    @abstractmethod
    def worker(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """The command line and the variables of the worker."""

    @abstractmethod
    def dsn(self) -> str:
        """An address of the database that sees everybody's rows."""

    @abstractmethod
    def objects(self) -> Objects:
        """The object store, as a program beside the server opens it."""

    @abstractmethod
    def tasks(self, *owners: str) -> list[psutil.Process]:
        """The processes that run a task now for one of the owners; a spare one that waits for work is none."""

    @abstractmethod
    def postmaster(self) -> psutil.Process:
        """The parent of all of Postgres' processes; it is started again by who watches it."""

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
            answer = self._web.get(f'{self.server.url}/health')
            return answer.status_code == 200 and answer.json()['state'] == 'ok'
        return False

    def pid(self, victim: str) -> int:
        """The process of the server or of the worker."""
        process = self.server.process if victim == 'web' else self._worker
        if process is None:
            raise RuntimeError(f'there is no {victim}')
        return process.pid

    def kill(self, victim: str, *, rng: random.Random) -> bool:
        """End a process with SIGKILL and start again what does not come back by itself; False when there is none."""
        match victim:
            case 'child':
                children = self.tasks('web', 'worker')
                if not children:
                    return False
                rng.choice(children).kill()
            case 'postgres':
                self.postmaster().kill()
            case 'web':
                self.server.kill()
                self.server.start()
            case 'worker' if self._worker is not None:
                self._worker.send_signal(signal.SIGKILL)
                self._worker.wait()
                self._start_worker()
            case _:
                self.kill_service(victim, outage=rng.uniform(0, OUTAGE))
        return True

    def kill_service(self, name: str, *, outage: float) -> None:
        """End a service that we do not run ourselves in production, and start it again `outage` seconds later."""
        raise RuntimeError(f'there is no {name}')

    def _start_worker(self) -> None:
        command, settings = self.worker()
        clean = {name: value for name, value in os.environ.items() if not name.startswith('PYTEST')}
        with self._log.open('ab') as log:
            self._worker = begin(command, environment=clean | dict(settings), output=log.fileno())


class EmbeddedSite(Site):
    """One home: the server runs Postgres, and both run tasks in children."""

    victims = plan.EMBEDDED

    def __init__(self, home: Path, *, quick: bool) -> None:
        super().__init__(home, quick=quick)
        self.server = Server(home, command=(*self._program, 'serve'), **SETTINGS)

    def worker(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """The command line and the variables of the worker."""
        return (*self._program, 'worker'), {'VARIOSYNC_HOME': str(self.home)} | SETTINGS

    def dsn(self) -> str:
        """An address of the database that sees everybody's rows."""
        return EmbeddedPostgres(self.home).dsn('worker')

    def objects(self) -> Objects:
        """The home's objects."""
        return Objects.local(self.home / 'objects')

    def tasks(self, *owners: str) -> list[psutil.Process]:
        """The children of these owners that run a task now."""
        found: list[psutil.Process] = []
        for owner in owners:
            with suppress(psutil.Error):
                found += [child for child in children(self.pid(owner)) if _runs_a_task(child)]
        return found

    def postmaster(self) -> psutil.Process:
        """The server's child; the server starts it again."""
        children = psutil.Process(self.pid('web')).children(recursive=True)
        pid = int((self.home / 'postgres' / 'postmaster.pid').read_text().splitlines()[0])
        return next(child for child in children if child.pid == pid)


class CounterpartSite(Site):
    """The same program in the cloud's settings: Postgres, Redis, S3, Supabase and Modal are counterparts.

    The object store is killed by its front: the connections break and none is taken, and what was stored is kept.
    """

    victims = plan.COUNTERPARTS

    def __init__(self, home: Path, *, quick: bool) -> None:
        super().__init__(home, quick=quick)
        self._cloud = Cloud()

    def start(self) -> 'Site':
        """Start the counterparts, then both processes."""
        self._cloud.__enter__()
        self._front = Front(self._cloud.settings['AWS_ENDPOINT_URL']).start()
        self._settings = {**self._cloud.settings, **SETTINGS, 'AWS_ENDPOINT_URL': self._front.url}
        self.server = self._cloud.server(self.home, **self._settings)
        return super().start()

    def stop(self) -> None:
        """Stop both processes, then the counterparts."""
        try:
            super().stop()
        finally:
            self._front.stop()
            self._cloud.__exit__(None, None, None)

    def worker(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """The command line and the variables of the worker, which has a home of its own."""
        home = self.home.with_name(f'{self.home.name}-worker')
        return self._cloud.program('worker'), {**self._settings, 'VARIOSYNC_HOME': str(home)}

    def dsn(self) -> str:
        """An address of the database that sees everybody's rows."""
        return self._cloud.postgres.dsn('superuser')

    def objects(self) -> Objects:
        """The bucket, past the front."""
        home = self.home.with_name(f'{self.home.name}-checks')
        return Objects.of(Settings(**{**self._cloud.settings, 'VARIOSYNC_HOME': home}))

    def tasks(self, *owners: str) -> list[psutil.Process]:
        """The processes of Modal's calls, whoever ordered them."""
        with suppress(psutil.Error):
            children = psutil.Process(self._cloud.modal.pid).children()
            return [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
        return []

    def postmaster(self) -> psutil.Process:
        """The counterpart's; this process starts it again."""
        return psutil.Process(self._cloud.postgres.pid)

    def kill_service(self, name: str, *, outage: float) -> None:
        """End Redis, which forgets everything, or the front of the object store, and start it again."""
        service = {'redis': self._cloud.redis, 's3': self._front}[name]
        service.kill()
        time.sleep(outage)
        service.start()


SITES: Mapping[str, type[Site]] = {'embedded': EmbeddedSite, 'counterparts': CounterpartSite}


def _runs_a_task(process: psutil.Process) -> bool:
    """A child that got its request has its pipe watched by a signal; one that waits has not."""
    with suppress(psutil.Error, OSError):
        if process.name() != NAME:
            return False
        for file in Path(f'/proc/{process.pid}/fdinfo').iterdir():
            with suppress(OSError):
                flags = next(line for line in file.read_text().splitlines() if line.startswith('flags:'))
                if int(flags.split()[1], 8) & O_ASYNC:
                    return True
    return False


class Ledger:
    """What the database says, read again while Postgres comes back.

    Each thread has one connection, which is made anew when it breaks: questions are many, and to connect takes Postgres
    longer than to answer.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._held = threading.local()
        self._opened: list[psycopg.Connection[dict[str, Any]]] = []

    def all(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """Return the rows. Raise psycopg.OperationalError while Postgres is down, and once after it was."""
        try:
            return self._connection().execute(statement, values).fetchall()
        except psycopg.OperationalError:
            self._held.connection = None
            raise

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

    def close(self) -> None:
        """Let go of all connections, of threads that have ended, too."""
        for connection in self._opened:
            connection.close()

    def _connection(self) -> psycopg.Connection[dict[str, Any]]:
        connection: psycopg.Connection[dict[str, Any]] | None = getattr(self._held, 'connection', None)
        if connection is None:
            connection = psycopg.connect(self._dsn, row_factory=dict_row, connect_timeout=5, autocommit=True)
            self._held.connection = connection
            self._opened.append(connection)
        return connection
