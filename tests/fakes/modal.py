"""A Modal that runs on this machine: what `storage.cloud.compute` uses of the client, over calls kept in a folder.

`python -m tests.fakes.modal --state DIR work` is Modal's side. It runs each call in a process of its own, with the
object store's variables and no others, and outlives whoever asked for it. `… --state DIR serve` is `variosync serve`
(any other command works too) whose Modal is that folder. It behaves as https://modal.com/docs/guide/retries and
https://modal.com/docs/sdk/py/latest/modal.FunctionCall say: every process knows a call by its id, a container that
crashed is started again, outputs may expire, and `get` raises what the function raised.

A fault is a file `DIR/faults/NAME` that holds its kind. NAME is a function (`hang`: it never ends; `preempt`: its first
container is killed, and it runs again; `die`: its container is lost for good; `twice`: it runs twice at the same time),
or one of `connect`, `spawn`, `get` and `cancel` (the name of the exception of `modal.exception` that is raised there).
"""

import argparse
import asyncio
import importlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock
from uuid import uuid4

import modal
from modal import exception
from modal._utils.async_utils import synchronizer

from storage.embedded import compute
from storage.embedded.compute import READY
from storage.embedded.nursery import Nursery

ROOT = Path(__file__).resolve().parents[2]
TICK = 0.01
SOON = 0.1  # seconds between two words about progress of tasks for tests
PASSED_ON = ('PATH', 'HOME', 'LANG', 'PYTHONPATH', 'VIRTUAL_ENV', 'VARIOSYNC_HOME')
FOREVER = 120


class FakeModal:
    """The client's side: `installed()` puts it in the place of the real one in this process."""

    def __init__(self, state: Path) -> None:
        self.state = state
        for name in ('calls', 'faults'):
            (state / name).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Replace what Modal's package offers by this, as long as the block."""
        client = SimpleNamespace(from_credentials=_aio(self._connect))
        functions, calls = SimpleNamespace(from_name=self._function), SimpleNamespace(from_id=self._call)
        with mock.patch.multiple(modal, Client=client, Function=functions, FunctionCall=calls):
            yield

    def fault(self, name: str, kind: str | None) -> None:
        """Have a function or an operation fail in this way from now on, or no more."""
        path = self.state / 'faults' / name
        path.unlink(missing_ok=True) if kind is None else path.write_text(kind)

    def mend(self) -> None:
        """End every fault."""
        for path in (self.state / 'faults').iterdir():
            path.unlink()

    def spawned(self, name: str | None = None) -> list[str]:
        """Ids of the calls there were, of one function or of all."""
        found = sorted(self.state.glob('calls/*/request'), key=lambda path: path.stat().st_mtime_ns)
        return [path.parent.name for path in found if name in (None, pickle.loads(path.read_bytes())[0])]

    def preempt(self, call_id: str) -> None:
        """Kill the container of a call that runs; Modal starts it again."""
        (self.state / 'calls' / call_id / 'preempt').touch()

    @contextmanager
    def working(self, *tasks: str, env: Mapping[str, str]) -> Iterator['subprocess.Popen[bytes]']:
        """Run Modal's side as long as the block, with the app's functions or one for each task of a module."""
        command = [sys.executable, '-m', 'tests.fakes.modal', '--state', str(self.state), 'work', *tasks]
        with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **env}) as process:
            try:
                until = time.monotonic() + 30
                while not (self.state / 'deployed').exists():
                    assert process.poll() is None, 'Modal does not run'
                    assert time.monotonic() < until, 'Modal does not start'
                    time.sleep(TICK)
                yield process
            finally:
                process.terminate()

    async def _connect(self, token_id: str, token_secret: str) -> Any:
        self._fail('connect')
        return SimpleNamespace(close=_aio(_nothing))

    def _function(self, app: str, name: str, *, environment_name: str | None, client: Any) -> Any:
        async def spawn(*arguments: Any) -> Any:
            self._fail('spawn')
            if name not in (self.state / 'deployed').read_text().split():
                raise exception.NotFoundError(f'No function {name} in the app {app}')
            call_id = f'fc-{uuid4().hex}'
            folder = self.state / 'calls' / call_id
            folder.mkdir()
            _write(folder / 'request', (name, arguments))
            return SimpleNamespace(object_id=call_id)

        return SimpleNamespace(spawn=_aio(spawn))

    def _call(self, call_id: str, *, client: Any) -> Any:
        folder = self.state / 'calls' / call_id

        async def get(timeout: float) -> Any:
            self._fail('get')
            if not folder.exists():
                raise exception.NotFoundError(f'No call {call_id}')
            until = time.monotonic() + timeout
            while not (folder / 'answer').exists():
                if time.monotonic() >= until:
                    raise TimeoutError
                await asyncio.sleep(TICK)
            kind, what = pickle.loads((folder / 'answer').read_bytes())
            if kind == 'raise':
                raise what
            return what

        async def cancel(*, terminate_containers: bool) -> None:
            self._fail('cancel')
            if not folder.exists():
                raise exception.NotFoundError(f'No call {call_id}')
            (folder / 'cancelled').touch()
            while not (folder / 'answer').exists():  # in truth that takes a moment longer than the request
                await asyncio.sleep(TICK)

        return SimpleNamespace(get=_aio(get), cancel=_aio(cancel), object_id=call_id)

    def _fail(self, operation: str) -> None:
        with suppress(FileNotFoundError):
            kind = (self.state / 'faults' / operation).read_text()
            raise getattr(exception, kind)('as the test says')


def _aio(function: Callable[..., Any]) -> Any:
    return SimpleNamespace(aio=function)


async def _nothing() -> None:
    return


def _write(path: Path, value: Any) -> None:
    """Make a file appear whole."""
    part = path.with_name(f'{path.name}.{os.getpid()}')
    part.write_bytes(pickle.dumps(value))
    part.replace(path)


class Worker:
    """Modal's side: a process a call, forked from here, where the functions are imported already."""

    def __init__(self, state: Path, functions: dict[str, Callable[..., Any]], prepare: Callable[[], None]) -> None:
        self._state = state
        self._functions = functions
        self._prepare = prepare
        self._running: dict[int, Path] = {}
        self._ended: set[str] = set()

    def run(self) -> None:
        """Run calls until terminated, or until the folder is gone."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        part = self._state / 'deployed.part'
        part.write_text(' '.join(self._functions))
        part.replace(self._state / 'deployed')
        try:
            while (self._state / 'calls').exists():
                for folder in (self._state / 'calls').iterdir():
                    if folder.name not in self._ended and (folder / 'request').exists():
                        self._attend(folder)
                self._reap()
                time.sleep(TICK)
        finally:
            for pid in self._running:
                _kill(pid)

    def _attend(self, folder: Path) -> None:
        pids = [pid for pid, where in self._running.items() if where == folder]
        if pids and (folder / 'preempt').exists():
            (folder / 'preempt').unlink()
            for pid in pids:
                _kill(pid)
        if (folder / 'cancelled').exists() and not (folder / 'answer').exists():
            for pid in pids:
                _kill(pid)
            _write(folder / 'answer', ('raise', exception.RemoteError('Function call was cancelled by user')))
        if (folder / 'answer').exists():
            self._ended.add(folder.name)
        elif not pids:
            for _ in range(2 if self._fault(folder) == 'twice' else 1):
                self._start(folder)

    def _start(self, folder: Path) -> None:
        self._prepare()
        pid = os.fork()
        if pid:
            self._running[pid] = folder
            return
        try:
            os.setsid()
            self._call(folder)
        finally:
            os._exit(0)

    def _call(self, folder: Path) -> None:
        log = os.open(folder / 'log', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        kept = {name: value for name, value in os.environ.items() if name in PASSED_ON or name.startswith('AWS_')}
        os.environ.clear()
        os.environ.update(kept)
        name, arguments = pickle.loads((folder / 'request').read_bytes())
        fault = self._fault(folder)
        if fault == 'hang':
            time.sleep(FOREVER)
        if fault == 'die' or (fault == 'preempt' and not (folder / 'preempted').exists()):
            (folder / 'preempted').touch()
            os.kill(os.getpid(), signal.SIGKILL)
        answer: tuple[str, Any]
        try:
            answer = ('value', self._functions[name](*arguments))
        except Exception as error:  # noqa: BLE001 - the border of a process: whoever asks decides what it means
            answer = ('raise', error)
        _write(folder / 'answer', answer)

    def _reap(self) -> None:
        """A call whose process has ended without an answer is run again, unless its container is lost for good."""
        for pid in list(self._running):
            if os.waitpid(pid, os.WNOHANG)[0]:
                folder = self._running.pop(pid)
                if self._fault(folder) == 'die' and not (folder / 'answer').exists():
                    _write(folder / 'answer', ('raise', exception.InternalFailure('the container was lost')))

    def _fault(self, folder: Path) -> str | None:
        name, _ = pickle.loads((folder / 'request').read_bytes())
        with suppress(FileNotFoundError):
            return (self._state / 'faults' / name).read_text()
        return None


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def deployed(tasks: str | None) -> dict[str, Callable[..., Any]]:
    """The functions that are called, by name."""
    from modal_functions.run import run

    if tasks:
        soon = partial(run, tasks=tasks, pause=lambda ran: SOON)
        return {name: partial(soon, name) for name in importlib.import_module(tasks).TASKS}
    from modal_functions.app import app

    return {name: synchronizer._translate_out(function).local for name, function in app._local_state.functions.items()}


@contextmanager
def _nursery(state: Path, modules: Sequence[str]) -> Iterator[Callable[[], None]]:
    """Have the tasks of all calls born of one process, which has imported what they need.

    What is yielded has it run: before any call, and again after a task has ended it by a crash.
    """
    nursery = Nursery(modules)

    def prepare() -> None:
        if nursery.pid is None:
            first = nursery.bear(state, environment=compute._environment(state), niceness=0)
            assert first is not None
            for pipe in (first.stdin, first.stdout, first.stderr):
                pipe.close()
            first.wait()

    try:
        with mock.patch.object(compute, '_run', partial(compute._run, nursery=nursery)):
            prepare()
            yield prepare
    finally:
        nursery.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--state', type=Path, required=True)
    parser.add_argument('command')
    parser.add_argument('rest', nargs=argparse.REMAINDER)
    given = parser.parse_args()
    fake = FakeModal(given.state)
    if given.command == 'work':
        # Tasks for tests take little, and kill what they run in.
        with _nursery(given.state, ('storage.objects',) if given.rest else READY) as prepare:
            Worker(given.state, deployed(*given.rest or [None]), prepare).run()
        return
    import run_nicegui

    sys.argv = ['variosync', given.command, *given.rest]
    with fake.installed():
        run_nicegui.main()


if __name__ == '__main__':
    main()
