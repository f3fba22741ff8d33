"""`variosync` commands forked by a process that has imported all that they need: a second of computing less for each.

`python -m tests.e2e.forked FD` is that process; `… FD modal` is one of a web server's image whose Modal is the fake
(`web_image.py`, `tests/fakes/modal.py`). A command begins here as `main` of the composition root does, with nothing of
its parent's open or known; that the modules can be imported from nothing, those tests see that start true processes.
"""

import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from argon2 import PasswordHasher

from storage.embedded import compute, forks, identity, nursery
from storage.embedded.child import PR_SET_NAME
from tests.children import NURSERY

ROOT = Path(__file__).parent.parent.parent
PROGRAM = (sys.executable, '-X', 'faulthandler', '-m', 'tests.e2e.forked')
WORD = struct.Struct('>q')
LARGEST = 2**18  # bytes of a wish: a command line and its environment
# A process with threads cannot be forked safely, and libraries start some as they are imported.
ONE_THREAD = {'OPENBLAS_NUM_THREADS': '1', 'OMP_NUM_THREADS': '1', 'JE_ARROW_MALLOC_CONF': 'background_thread:false'}

# The other end of a `Desk`, which imports next to nothing.
CALL = """
import json, os, socket, struct, sys

desk = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
desk.connect({address!r})
socket.send_fds(desk, [json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()], [1, 2])
sys.exit(struct.unpack('>q', desk.recv(8))[0])
"""


class Forked:
    """A command that was forked, to be used as a `subprocess.Popen` is."""

    def __init__(self, pid: int, told: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._told = told

    def poll(self) -> int | None:
        """Return with what it ended (less than 0: by that signal), or None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended. Raise TimeoutExpired as `Popen` does."""
        status = self._ended(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _ended(self, patience: float | None) -> int | None:
        if self.returncode is None:
            self._told.settimeout(patience)
            try:
                self.returncode = WORD.unpack(self._told.recv(WORD.size))[0]
            except (TimeoutError, BlockingIOError):
                return None
            self._told.close()
        return self.returncode


class Forks:
    """Our end of the process that forks; it starts with the first command and ends with us."""

    def __init__(self, *kind: str) -> None:
        self._kind = kind
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        output: int,
        errors: int,
        folder: str | Path = ROOT,
    ) -> Forked:
        """Run `variosync` so in a folder; it knows this environment alone, and writes to these files."""
        told, teller = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        wish = {'arguments': list(arguments), 'environment': dict(environment), 'folder': str(folder)}
        wanted = json.dumps(wish).encode()
        with teller:
            socket.send_fds(self._running(), [wanted], [teller.fileno(), output, errors])
        return Forked(WORD.unpack(told.recv(WORD.size))[0], told)

    def close(self) -> None:
        """End the process. What was forked runs on."""
        with self._lock:
            if self._control is not None and self._process is not None:
                self._control.close()
                self._process.wait(30)
                self._control = self._process = None

    def _running(self) -> socket.socket:
        with self._lock:
            if self._control is None:
                self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                clean = {name: value for name, value in os.environ.items() if not name.startswith('PYTEST')}
                with theirs:
                    self._process = subprocess.Popen(
                        [*PROGRAM, str(theirs.fileno()), *self._kind],
                        stdin=subprocess.DEVNULL,
                        cwd=ROOT,
                        env=clean | ONE_THREAD,
                        pass_fds=[theirs.fileno()],
                        start_new_session=True,
                    )
            return self._control


FORKS = {'forked': Forks(), 'forked with the fake of Modal': Forks('modal')}


def run(
    *arguments: str, kind: str = 'forked', environment: Mapping[str, str], timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """What `subprocess.run(['variosync', …], capture_output=True, text=True)` returns."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        command = FORKS[kind].start(arguments, environment=environment, output=output.fileno(), errors=errors.fileno())
        try:
            status = command.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(command.pid, signal.SIGKILL)
            raise
        said = []
        for file in (output, errors):
            file.seek(0)
            said.append(file.read().decode())
    return subprocess.CompletedProcess(arguments, status, *said)


class Desk:
    """What stands in `bin` of a folder as `variosync`, for shells: each call is forked, where and as it was made."""

    def __init__(self, folder: Path) -> None:
        (folder / 'bin').mkdir()
        self.bin = folder / 'bin'
        self._asked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._asked.bind(str(folder / 'desk'))
        self._asked.listen()
        program = self.bin / 'variosync'
        program.write_text(f'#!{sys.executable} -IS\n{CALL.format(address=str(folder / "desk"))}')
        program.chmod(0o700)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take no more calls."""
        self._asked.shutdown(socket.SHUT_RDWR)
        self._asked.close()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._asked.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(caller,), daemon=True).start()

    def _answer(self, caller: socket.socket) -> None:
        with caller:
            data, files, _, _ = socket.recv_fds(caller, LARGEST, 2)
            arguments, folder, environment = json.loads(data)
            output, errors = files
            command = FORKS['forked'].start(
                arguments, environment=environment, output=output, errors=errors, folder=folder
            )
            for file in files:
                os.close(file)
            status = command.wait()
            _tell(caller, status if status >= 0 else 128 - status)


def main() -> None:
    """Import, fork a command for each wish, and end when nobody can ask any more.

    Each has a nursery that waits, forked likewise, which spares it the second that one takes to import; the next ones
    are started as ever.
    """
    modal = sys.argv[2:] == ['modal']
    if modal:
        from tests.e2e.web_image import without_compute

        without_compute()
        import tests.fakes.modal

    import core.services  # noqa: F401
    import run_nicegui
    import storage.doctor  # noqa: F401
    import ui.cli
    import ui.serve  # noqa: F401

    if not modal:
        for module in compute.READY:
            importlib.import_module(module)
    # The next forecast's process is made after each, for two seconds of computing; few tests have a next one.
    compute.ChildProcesses._prepare = lambda *_: None  # type: ignore[method-assign]
    # A password of a test is hashed in no time: 0.2 s of computing for each sign-up and sign-in. The contracts of
    # `EmbeddedIdentity` see what it costs by default.
    identity.PasswordHasher = _cheap  # type: ignore[assignment,attr-defined]
    assert len(list(Path('/proc/self/task').iterdir())) == 1, 'an import has started a thread'
    gc.freeze()
    wanted = _serve(socket.socket(fileno=int(sys.argv[1])))
    if wanted is not None:
        os.environ.clear()
        os.environ.update(wanted['environment'])
        os.chdir(wanted['folder'])
        sys.argv = ['variosync', *wanted['arguments']]
        tempfile.tempdir = None
        if modal:
            tests.fakes.modal.main()
        else:
            started = SimpleNamespace(Popen=Spare().start, DEVNULL=subprocess.DEVNULL)
            nursery.subprocess = started  # type: ignore[assignment,attr-defined]
            run_local = partial(run_nicegui.Root.run_local, nursery=nursery.Nursery(compute.READY))
            run_nicegui.Root.run_local = staticmethod(run_local)  # type: ignore[method-assign]
            if sys.argv[1:2] == ['recorded']:
                from tests.e2e.recorder import record

                del sys.argv[1]
                record()
            run_nicegui.main()


def _cheap() -> PasswordHasher:
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def _serve(control: socket.socket) -> dict[str, Any] | None:
    """Return in every child what it is to be; and None here in the end."""
    events = selectors.DefaultSelector()
    events.register(control, selectors.EVENT_READ)
    living: dict[int, tuple[int, socket.socket]] = {}
    while events.get_map():
        for key, _ in events.select():
            if key.fileobj is not control:
                events.unregister(key.fd)
                pid, told = living.pop(key.fd)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                _tell(told, status)
                told.close()
                os.close(key.fd)
                continue
            data, handles, _, _ = socket.recv_fds(control, LARGEST, 3)
            if not data:
                return None
            told, files = socket.socket(fileno=handles[0]), handles[1:]
            pid = os.fork()
            if pid == 0:
                os.setsid()
                for target, file in zip((1, 2), files, strict=True):
                    os.dup2(file, target)
                # Else the numbers would be closed once more when these are garbage, whatever bears them then.
                events.close()
                for known in (control, told, *(teller for _, teller in living.values())):
                    known.close()
                os.closerange(3, 65_536)
                return dict(json.loads(data))
            for file in files:
                os.close(file)
            handle = os.pidfd_open(pid)
            living[handle] = (pid, told)
            events.register(handle, selectors.EVENT_READ)
            _tell(told, pid)
    return None


class Spare:
    """A process that waits to be a nursery, to be used as the `subprocess.Popen` that it stands for."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._status: int | None = None
        self._control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            self._control.close()
            _be_a_nursery(control)
        control.close()

    def start(self, command: Sequence[str], *, env: Mapping[str, str], pass_fds: Sequence[int], **options: Any) -> Any:
        """Become what this command would start; the second time, or when it has died, start that."""
        with self._lock, self._control:
            if self._control.fileno() < 0 or self.poll() is not None:
                return subprocess.Popen(command, env=env, pass_fds=pass_fds, **options)
            wish = [command[len(nursery.COMMAND) + len(pass_fds) :], dict(env)]
            socket.send_fds(self._control, [json.dumps(wish).encode()], pass_fds)
            return self

    def poll(self) -> int | None:
        """Return with what it ended, or None while it runs."""
        return self._ended(os.WNOHANG)

    def wait(self) -> int | None:
        """Wait until it has ended."""
        return self._ended(0)

    def kill(self) -> None:
        """End it, unless it has ended."""
        with self._lock:
            if self.poll() is None:
                os.kill(self.pid, signal.SIGKILL)

    def _ended(self, how: int) -> int | None:
        with self._lock:
            if self._status is None and (ended := os.waitpid(self.pid, how))[0]:
                self._status = os.waitstatus_to_exitcode(ended[1])
            return self._status


def _be_a_nursery(control: socket.socket) -> NoReturn:
    """Wait for who asks, and end with them; what a nursery and its children do else, they do here."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_NAME, NURSERY.encode(), 0, 0, 0)
    data, handles, _, _ = socket.recv_fds(control, LARGEST, 2)
    control.close()
    if not data:
        os._exit(0)
    arguments, environment = json.loads(data)
    nothing = os.open(os.devnull, os.O_RDWR)
    for target in (0, 1):
        os.dup2(nothing, target)
    os.close(nothing)
    os.chdir('/')
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ['forks', *map(str, handles), *arguments]
    forks.main()
    sys.exit()


def _tell(told: socket.socket, word: int) -> None:
    try:
        told.send(WORD.pack(word))
    except OSError:
        return


if __name__ == '__main__':
    main()
