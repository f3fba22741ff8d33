"""The process that has children in an instant, as its parent holds it; what runs there is `forks.py`."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

import structlog

from core.errors import TaskCancelled
from storage.embedded.forks import WORD

COMMAND = (sys.executable, '-P', '-X', 'faulthandler', '-m', 'storage.embedded.forks')
PATIENCE = 60.0  # seconds in which a nursery answers, or is taken for stuck
TURN = 0.05
IDLE = 900.0  # seconds without a child after which a nursery ends, and its memory is given back
REST = 300.0  # seconds until one is tried again after two in a row had no child

log = structlog.get_logger(__name__)


class Nursery:
    """Has children that begin with `modules` imported (`docs/decisions/0017-children-are-forked-by-a-nursery.md`).

    Its process starts with the first child that is asked for, again when it has died, and ends when it was idle.
    When two in a row could not have a child, none is tried for `rest` seconds.
    """

    def __init__(self, modules: Sequence[str], *, idle: float = IDLE, rest: float = REST) -> None:
        self._modules = tuple(modules)
        self._idle = idle
        self._rest = rest
        self._lock = threading.Lock()
        self._process: _Process | None = None
        self._former: list[_Process] = []
        self._unfit_until = -math.inf if sys.platform == 'linux' else math.inf

    @property
    def pid(self) -> int | None:
        """The process that children are born of, or None when it does not run."""
        process = self._process
        return process.pid if process is not None and process.runs else None

    def bear(
        self,
        workdir: Path,
        *,
        environment: Mapping[str, str],
        niceness: int,
        modules: Sequence[str] = (),
        stopped: threading.Event | None = None,
    ) -> 'Born | None':
        """Return a child that knows `environment` alone and has `modules` imported besides; it waits for its request.

        None where no nursery can be had: then a child is started from nothing. Raise OSError when the system has no
        room for a process, and TaskCancelled as soon as `stopped` is set.
        """
        wanted = {
            'workdir': str(workdir),
            'environment': dict(environment),
            'niceness': niceness,
            'modules': list(modules),
        }
        stop, process = stopped or threading.Event(), None
        for _ in range(2):  # the first may have ended just now: it was idle, or killed, or a child of it crashed
            process = self._running(environment)
            if process is None:
                return None
            if (child := process.bear(json.dumps(wanted).encode(), stop)) is not None:
                return child
        log.warning(
            'children are not forked for a while',
            seconds=self._rest,
            modules=self._modules,
            status=process and process.status,
        )
        with self._lock:
            self._unfit_until = max(self._unfit_until, time.monotonic() + self._rest)
        return None

    def close(self) -> None:
        """End the process, with every child that it still has."""
        with self._lock:
            self._unfit_until = math.inf
            processes = [*self._former, *([self._process] if self._process else [])]
            self._process, self._former = None, []
        for process in processes:
            process.end()

    def _running(self, environment: Mapping[str, str]) -> '_Process | None':
        with self._lock:
            self._bury()
            if time.monotonic() < self._unfit_until:
                return None
            if self._process is None or not self._process.asks:
                if self._process is not None:
                    self._former.append(self._process)
                self._process = _Process(self._modules, environment, idle=self._idle)
            return self._process

    def _bury(self) -> None:
        for process in [process for process in self._former if not process.runs]:
            process.end()
            self._former.remove(process)


class _Process:
    """One process of a nursery. The kernel kills it when our end of its `life` closes, whatever closes that."""

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str], *, idle: float) -> None:
        known = {name: value for name, value in environment.items() if name != 'TMPDIR'}
        self.asks = True
        with ExitStack() as theirs:
            self._control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            theirs.callback(control.close)
            life, self._life = os.pipe()
            theirs.callback(os.close, life)
            try:
                self._process = subprocess.Popen(
                    [*COMMAND, str(control.fileno()), str(life), str(idle), *modules],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    cwd='/',
                    # What tells Arrow's allocator to start no thread: a process with threads cannot be forked safely.
                    env={**known, 'JE_ARROW_MALLOC_CONF': 'background_thread:false'},
                    pass_fds=[control.fileno(), life],
                    start_new_session=True,
                )
            except OSError:
                self._control.close()
                os.close(self._life)
                raise
        self._control.settimeout(PATIENCE)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def status(self) -> int | None:
        """With what the process ended."""
        return self._process.poll()

    def bear(self, wanted: bytes, stopped: threading.Event) -> 'Born | None':
        """Return a child, or None when this process has no more of them."""
        with ExitStack() as theirs, ExitStack() as ours:
            told, teller = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.callback(told.close)
            theirs.callback(teller.close)
            requests, send = _pipe(theirs, ours, reads=True)
            frames, receive = _pipe(theirs, ours, reads=False)
            output, listen = _pipe(theirs, ours, reads=False)
            try:
                socket.send_fds(self._control, [wanted], [teller.fileno(), requests, frames, output])
            except (ConnectionError, TimeoutError):
                self.asks = False
                return None
            theirs.close()
            pid = self._first_word(told, stopped)
            if pid is None:
                return None
            if pid < 0:
                raise OSError(-pid, os.strerror(-pid))
            files = [os.fdopen(end, mode, buffering=0) for end, mode in ((send, 'wb'), (receive, 'rb'), (listen, 'rb'))]
            ours.pop_all()
            return Born(pid, told, *files)

    def _first_word(self, told: socket.socket, stopped: threading.Event) -> int | None:
        until = time.monotonic() + PATIENCE
        told.settimeout(TURN)
        while time.monotonic() < until:
            with suppress(TimeoutError):
                if (word := _word(told)) is None:
                    self.asks = False
                return word
            if stopped.is_set():
                raise TaskCancelled
        log.warning('the nursery is stuck', pid=self.pid)
        self.end()
        return None

    def end(self) -> None:
        """Kill the process and its children, and wait until it is dead."""
        self.asks = False
        if self._life >= 0:
            os.close(self._life)
            self._life = -1
            self._control.close()
        self._process.kill()
        self._process.wait()


class Born:
    """A child of a nursery, to be used as a `subprocess.Popen` is: its id is not given anew before `wait` returns."""

    def __init__(self, pid: int, told: socket.socket, stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self._told = told

    def poll(self) -> int | None:
        """Return with what the child ended (less than 0: by that signal), or None while it runs."""
        return self._ended(0)

    def wait(self) -> int:
        """Wait until the child has ended and its nursery has buried it; return with what it ended."""
        status = self._ended(PATIENCE)
        with suppress(OSError):
            self._told.shutdown(socket.SHUT_WR)
            self._told.recv(WORD.size)
        self._told.close()
        return -signal.SIGKILL if status is None else status

    def _ended(self, patience: float) -> int | None:
        if self.returncode is None:
            self._told.settimeout(patience)
            with suppress(TimeoutError, BlockingIOError):
                # A child dies with its nursery: nobody is left then who could tell of it.
                word = _word(self._told)
                self.returncode = -signal.SIGKILL if word is None else word
        return self.returncode


def _word(told: socket.socket) -> int | None:
    """Return the number that comes next, or None when its sender has gone."""
    try:
        data = told.recv(WORD.size)
    except ConnectionError:
        return None
    return int(WORD.unpack(data)[0]) if data else None


def _pipe(theirs: ExitStack, ours: ExitStack, *, reads: bool) -> tuple[int, int]:
    """Return their end and ours of a new pipe; `reads` says whether they read."""
    read, write = os.pipe()
    their, our = (read, write) if reads else (write, read)
    theirs.callback(os.close, their)
    ours.callback(os.close, our)
    return their, our
