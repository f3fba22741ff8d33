"""Small killable worker processes: a model that hangs or crashes costs one series, never the others.

A worker is this module run by a fresh interpreter with one thread, so it may be started from any process, also from a
child. It dies with its parent (PR_SET_PDEATHSIG on Linux, the closed pipe elsewhere) and takes its own children along.
"""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar, cast

from core.analysis.forecasting.base import Run
from core.errors import UsageError

ONE_THREAD = dict.fromkeys(('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'), '1')
START_TIME = 60.0
"""Seconds a new worker may take to start and import its libraries, on top of the time of its first series."""
MOST_KNOWN = 32 * 2**20
"""So many bytes of results are kept for those who ask the same again: some 40,000 of 30 steps."""
PR_SET_PDEATHSIG = 1
Result = TypeVar('Result')


def each(
    function: str,
    tasks: Sequence[dict[str, Any]],
    *,
    run: Run,
    stand_in: Callable[[dict[str, Any], str], Result],
    apart: bool = False,
) -> list[Result]:
    """Return `function` (`module:name`) of every task, in order; `stand_in(task, reason)` where a worker failed.

    What `function` returns must survive pickling. A task that equals another, or one that was asked of a run with the
    same `known`, is not computed again.

    With one core it runs here, unless `apart` asks for a process that can be killed after `run.timeout` seconds.
    A UsageError there is raised.
    """
    keys = [_key(function, task) for task in tasks]
    new = {key: task for key, task in zip(keys, tasks, strict=True) if key not in run.known}
    names, asked = list(new), list(new.values())
    here = not asked or (not apart and (run.cores == 1 or len(asked) < 2 * run.cores))
    found: dict[bytes, Result] = {}
    for place, answer in _here(function, asked) if here else _apart(function, asked, run):
        if isinstance(answer, _Fault):
            found[names[place]] = stand_in(asked[place], answer.reason)
        else:
            found[names[place]] = cast(Result, answer)
            # Those of a run are about as long as each other.
            if (len(run.known) + 1) * len(pickle.dumps(answer)) <= MOST_KNOWN:
                run.known[names[place]] = answer
        run.progress(len(found) / len(asked), '')
    return [found[key] if key in found else cast(Result, run.known[key]) for key in keys]


def _key(function: str, task: dict[str, Any]) -> bytes:
    return blake2b(pickle.dumps((function, task)), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why a task has no result."""

    reason: str


@dataclass(slots=True)
class _Worker:
    process: 'subprocess.Popen[bytes]'
    pipe: Connection
    place: int = -1
    deadline: float = field(default=0.0)
    fresh: bool = True


def _here(function: str, tasks: Sequence[dict[str, Any]]) -> Iterator[tuple[int, object]]:
    """Yield each task's place with its result, or with the fault for which there is none: it costs no other task."""
    call = _load(function)
    for place, task in enumerate(tasks):
        try:
            answer = call(task)
        except UsageError:
            raise
        except Exception as error:  # noqa: BLE001 - as at the border of a process: one fit costs one series
            answer = _Fault(_named(error))
        yield place, answer


def _apart(function: str, tasks: Sequence[dict[str, Any]], run: Run) -> Iterator[tuple[int, object]]:
    """Yield each task's place with its result, or with the fault for which there is none."""
    waiting = list(range(len(tasks)))[::-1]
    busy: list[_Worker] = []
    with tempfile.TemporaryDirectory(prefix='forecast-', ignore_cleanup_errors=True) as folder:
        try:
            while waiting or busy:
                while waiting and len(busy) < run.cores:
                    busy.append(_give(_start(folder), function, tasks, waiting.pop(), run.timeout))
                for worker in _ready(busy):
                    place, answer = worker.place, _answer(worker, run.timeout)
                    busy.remove(worker)
                    if waiting and not isinstance(answer, _Fault):
                        busy.append(_give(worker, function, tasks, waiting.pop(), run.timeout))
                    else:
                        _stop(worker)
                    yield place, answer
        finally:
            for worker in busy:
                _stop(worker)


def _answer(worker: _Worker, timeout: float) -> object:
    try:
        if not worker.pipe.poll(0):
            return _Fault(f'It took longer than {timeout:g} s and was stopped.')
        done, answer = worker.pipe.recv()
    except (EOFError, OSError):
        return _Fault('Its process died.')
    return answer if done else _Fault(answer)


def _ready(busy: Sequence[_Worker]) -> list[_Worker]:
    """Wait, then return the workers that answered, died or passed their deadline."""
    left = max(0.0, min(worker.deadline for worker in busy) - time.monotonic())
    answered = set(wait([worker.pipe for worker in busy], timeout=left))
    now = time.monotonic()
    return [worker for worker in busy if worker.pipe in answered or worker.deadline <= now]


def _start(folder: str) -> _Worker:
    ours, theirs = Pipe()
    environment = {
        **os.environ,
        **ONE_THREAD,
        'TMPDIR': folder,
        'PYTHONPATH': os.pathsep.join(p for p in sys.path if p),
    }
    with theirs:
        process = subprocess.Popen(
            [sys.executable, '-m', __name__, str(theirs.fileno()), str(os.getpid())],
            env=environment,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    return _Worker(process, ours)


def _give(worker: _Worker, function: str, tasks: Sequence[dict[str, Any]], place: int, timeout: float) -> _Worker:
    worker.place = place
    worker.deadline = time.monotonic() + timeout + (START_TIME if worker.fresh else 0.0)
    worker.fresh = False
    with suppress(OSError):  # a worker that died at once shows as a closed pipe when it is waited for
        worker.pipe.send((function, tasks[place]))
    return worker


def _stop(worker: _Worker) -> None:
    """Kill the worker and what it started."""
    try:
        os.killpg(worker.process.pid, signal.SIGKILL)
    except ProcessLookupError:
        worker.process.poll()
    worker.process.wait()
    worker.pipe.close()


def _named(error: Exception) -> str:
    return f'{type(error).__name__}: {error}'


def _load(function: str) -> Callable[[dict[str, Any]], object]:
    module, name = function.split(':')
    found: Callable[[dict[str, Any]], object] = getattr(import_module(module), name)
    return found


def _die_with(parent: int) -> None:
    """Ask the kernel to end this process group when its parent ends."""
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    if sys.platform == 'linux':
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def serve(pipe: Connection) -> None:
    """Answer tasks from the pipe until it closes: true and a result, or false and a text that says what went wrong."""
    while True:
        try:
            function, task = pipe.recv()
        except EOFError:
            return
        try:
            answer: tuple[bool, object] = True, _load(function)(task)
        except Exception as error:  # noqa: BLE001 - the border of a process: its parent decides what stands in
            answer = False, _named(error)
        pipe.send(answer)


if __name__ == '__main__':
    _die_with(int(sys.argv[2]))
    serve(Connection(int(sys.argv[1])))
