"""The process that forks children (`python -m storage.embedded.forks`), started and held by `nursery.py`.

It imports what tasks need and waits. A fork copies one thread and whatever locks the others held: so there is one
thread only, and where an import has started another the process ends, and children are started from nothing instead.
"""

import errno
import gc
import importlib
import json
import os
import resource
import selectors
import signal
import socket
import struct
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from storage.embedded.child import die_with, work

WORD = struct.Struct('>q')
LARGEST_WISH = 2**20
THREADS_STARTED = 3
CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGABRT, signal.SIGFPE, signal.SIGSYS}


def main() -> None:
    """Import what is named, fork a child for each message, and end without any for `idle` seconds."""
    control, life, idle, *modules = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    die_with(int(life))
    gc.disable()  # what is imported is never garbage, and children that looked through it would copy its pages
    for module in modules:
        with suppress(ImportError):
            importlib.import_module(module)
    gc.freeze()
    gc.enable()
    if len(list(Path('/proc/self/task').iterdir())) > 1:
        sys.exit(THREADS_STARTED)
    child = _Forks(socket.socket(fileno=int(control))).serve(float(idle))
    if child is not None:
        child.settle()
        work(child.requests, child.frames, parent=child.parent, niceness=child.niceness, modules=child.modules)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Child:
    """What a child knows when it is born: its two channels, where its output goes, and what it is to be like."""

    parent: int
    requests: int
    frames: int
    output: int
    workdir: str
    environment: dict[str, str]
    niceness: int
    modules: Sequence[str]

    def settle(self) -> None:
        """Become what a process is that was started from nothing: nothing of the parent's is open or known."""
        os.setsid()
        for number in (1, 2):
            os.dup2(self.output, number)
        low, high = sorted((self.requests, self.frames))
        for first, last in ((3, low), (low + 1, high), (high + 1, os.sysconf('SC_OPEN_MAX'))):
            os.closerange(first, last)
        os.chdir(self.workdir)
        os.environ.clear()
        os.environ.update(self.environment)
        tempfile.tempdir = None
        if (numpy := sys.modules.get('numpy')) is not None:
            numpy.random.seed()  # as Python's own generator does by itself


class _Forks:
    """The loop of messages and ends."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._events = selectors.DefaultSelector()
        self._events.register(control, selectors.EVENT_READ, self._bear)
        self._living: set[_Living] = set()

    def serve(self, idle: float) -> _Child | None:
        """Return in every child as what it is; and None here, when nobody can ask any more or nobody has."""
        while self._events.get_map():
            ready = self._events.select(None if self._living else idle)
            if not ready:
                break
            for key, _ in ready:
                # What came before in the same batch may have closed it, and another may have its number already.
                if self._events.get_map().get(key.fd) is not key:
                    continue
                if (child := key.data()) is not None:
                    return child  # type: ignore[no-any-return]
        return None

    def _bear(self) -> _Child | None:
        data, handles, _, _ = socket.recv_fds(self._control, LARGEST_WISH, 4, socket.MSG_CMSG_CLOEXEC)
        if not data:
            self._retire()
            return None
        teller, requests, frames, output = handles
        parent = os.getpid()
        told = socket.socket(fileno=teller)
        try:
            pid = os.fork()
        except OSError as error:
            _tell(told, -(error.errno or errno.EAGAIN))
            told.close()
        else:
            if pid == 0:
                told.close()
                self._forget()
                return _Child(parent=parent, requests=requests, frames=frames, output=output, **json.loads(data))
            self._watch(_Living(pid, told))
        for handle in (requests, frames, output):
            os.close(handle)
        return None

    def _watch(self, living: '_Living') -> None:
        self._living.add(living)
        self._events.register(living.handle, selectors.EVENT_READ, lambda: self._ended(living))
        self._events.register(living.told, selectors.EVENT_READ, lambda: self._left(living))
        _tell(living.told, living.pid)

    def _ended(self, living: '_Living') -> None:
        """Tell with what the child ended. It is not buried yet: until then nobody else gets its id."""
        self._events.unregister(living.handle)
        info = os.waitid(os.P_PID, living.pid, os.WEXITED | os.WNOWAIT)
        if info is None:
            return
        status = info.si_status if info.si_code == os.CLD_EXITED else -info.si_status
        if -status in CRASHES:
            # Whoever makes a child crash may be learning where things lie in memory, which is the same in each.
            self._retire()
        _tell(living.told, status)

    def _left(self, living: '_Living') -> None:
        """Nobody asks for the child any more: kill it, if it lives, and bury it."""
        for handle in (living.handle, living.told):
            with suppress(KeyError):
                self._events.unregister(handle)
        for kill in (os.killpg, os.kill):
            with suppress(ProcessLookupError):
                kill(living.pid, signal.SIGKILL)
        os.waitpid(living.pid, 0)
        self._living.discard(living)
        living.close()

    def _retire(self) -> None:
        """Have no more children; end with the last of them."""
        if self._control.fileno() >= 0:
            self._events.unregister(self._control)
            self._control.close()

    def _forget(self) -> None:
        self._events.close()
        self._control.close()
        for living in self._living:
            living.close()


class _Living:
    """A child that is not buried."""

    def __init__(self, pid: int, told: socket.socket) -> None:
        self.pid = pid
        self.told = told
        self.handle = os.pidfd_open(pid)

    def close(self) -> None:
        os.close(self.handle)
        self.told.close()


def _tell(told: socket.socket, word: int) -> None:
    with suppress(OSError):
        told.send(WORD.pack(word))


if __name__ == '__main__':
    main()
