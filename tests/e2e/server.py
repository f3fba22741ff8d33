"""The real server, started as a newcomer would, by `make run`, or sooner, with a home of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

import httpx

from tests.e2e.forked import FORKS, Forked
from tests.homes import copy_home

ROOT = Path(__file__).parent.parent.parent
MAKE = ('make', '-s', 'run')
FORKED = ('forked', 'serve')  # by a process that has imported all that the server needs
RECORDED = ('forked', 'recorded', 'serve')  # and it writes down its addresses and the keys of its cache
READY = re.compile(r'VARIOSYNC ready: (?P<link>https?://\S+)')


Process = subprocess.Popen[bytes] | Forked


def begin(command: Sequence[str], *, environment: Mapping[str, str], output: int, folder: str | Path = ROOT) -> Process:
    """Start a command, or fork one of `FORKS`, in a session of its own; whatever it says goes to `output`."""
    if command[0] in FORKS:
        return FORKS[command[0]].start(
            command[1:], environment=environment, output=output, errors=output, folder=folder
        )
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True)


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return int(probe.getsockname()[1])


class Server:
    """`make run` over a home; it may be killed and started again on the same port.

    A home without a database begins with a copy of the `template`, if there is one, unless it is to be `fresh`.
    """

    template: Path | None = None

    def __init__(self, home: Path, *, command: tuple[str, ...] = MAKE, fresh: bool = False, **settings: str) -> None:
        self.home = home
        self.fresh = fresh
        self.folder = ROOT
        self.port = free_port()
        self.command = command
        self.settings = settings
        self.link = ''
        self.lines: list[str] = []
        self.process: Process | None = None
        self._reader: threading.Thread | None = None
        self._told: SimpleQueue[str] = SimpleQueue()
        self._clients: list[httpx.Client] = []

    @property
    def url(self) -> str:
        """The server's address without a path."""
        return f'http://127.0.0.1:{self.port}'

    @property
    def environment(self) -> dict[str, str]:
        """The variables that it is started with."""
        # The framework behaves differently under pytest; this process is to be as a user's.
        clean = {name: value for name, value in os.environ.items() if not name.startswith('PYTEST')}
        own = {'VARIOSYNC_HOME': str(self.home), 'VARIOSYNC_PORT': str(self.port)}
        # The sample takes two thirds of a minute of computing; who wants it says so.
        return clean | {'VARIOSYNC_DEMO': '0'} | own | self.settings

    def start(self, *, patience: float = 90) -> 'Server':
        """Start and return when the ready line was printed."""
        if self.template and not (self.fresh or 'DATABASE_URL' in self.settings or (self.home / 'postgres').exists()):
            self.home.mkdir(mode=0o700, exist_ok=True)
            copy_home(self.template, self.home)
        read, write = os.pipe()
        self.process = begin(self.command, environment=self.environment, output=write, folder=self.folder)
        os.close(write)
        self._told = SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(read, self._told), daemon=True)
        self._reader.start()
        return self.wait_until_ready(patience=patience)

    def wait_until_ready(self, *, patience: float = 90) -> 'Server':
        """Return when the next ready line was printed."""
        assert self.process is not None
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            try:
                line = self._told.get(timeout=0.2)
            except Empty:
                if self.process.poll() is not None:
                    break
                continue
            if found := READY.search(line):
                self.link = found['link']
                return self
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self._wait()
        raise AssertionError('the server did not get ready:\n' + ''.join(self.lines[-40:]))

    def _read(self, output: int, told: 'SimpleQueue[str]') -> None:
        with os.fdopen(output, encoding='utf-8') as lines:
            for line in lines:
                self.lines.append(line)
                told.put(line)

    @property
    def pid(self) -> int:
        """The process that serves."""
        assert self.process is not None
        return int((self.home / 'lock').read_text()) if self.command[0] == 'make' else self.process.pid

    def kill(self) -> None:
        """End the server as a power cut would."""
        os.kill(self.pid, signal.SIGKILL)
        self._wait()

    def stop(self) -> int:
        """Press Ctrl-C and return the exit status of `make`."""
        while self._clients:
            self._clients.pop().close()
        if self.process is None or self.process.poll() is not None:
            return 0
        os.killpg(self.process.pid, signal.SIGINT)
        return self._wait()

    def _wait(self) -> int:
        assert self.process is not None
        try:
            status = self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise AssertionError('the server did not stop:\n' + ''.join(self.lines[-40:])) from None
        if self._reader is not None:
            self._reader.join(10)
        return status

    def client(self, email: str = '', password: str = 'correct horse battery') -> httpx.Client:
        """An HTTP client that is signed in: as the owner by the link, or as a new account."""
        client = httpx.Client(base_url=self.url, headers={'Origin': self.url}, timeout=60)
        self._clients.append(client)
        if email:
            known = {'email': email, 'password': password, 'next': '/'}
            # Believed by a server that stands behind a proxy alone.
            elsewhere = {'X-Forwarded-For': f'10.0.{len(self._clients) // 250}.{len(self._clients) % 250 + 1}'}
            answer = client.post('/auth/sign-up', data=known, headers=elsewhere)
            if answer.status_code == 409:
                answer = client.post('/auth/sign-in', data=known, headers=elsewhere)
            assert answer.status_code == 303, answer.text
        else:
            assert client.get(self.link).status_code in (200, 303)
        return client


def python(*arguments: str) -> tuple[str, ...]:
    """A command line of this environment's Python."""
    return (sys.executable, *arguments)
