"""The process that runs one task, watched by `compute.py`: started from nothing (`python -m storage.embedded.child`),
or forked by a process that has imported what tasks need (`forks.py`).

It reads one request from its standard input and writes frames (a length, then JSON) to its standard output. It speaks
JSON only, so that a task taken over by a hostile file cannot make its parent run anything.
"""

import fcntl
import importlib
import json
import os
import resource
import select
import signal
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NoReturn

from core.errors import TaskFailed, TaskOverLimit, UsageError, VariosyncError, to_words

LENGTH = struct.Struct('>I')
LARGEST_FRAME = 64 * 2**20
SECONDS_BETWEEN_PROGRESS = 0.02
PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
NAME = 'variosync-task'  # as `top` shows it; the kernel keeps 15 bytes


def main() -> None:
    """Be a child that was started from nothing."""
    parent, niceness, *modules = sys.argv[1:]
    requests, frames = _private_channels()
    work(requests, frames, parent=int(parent), niceness=int(niceness), modules=modules)


def work(requests: int, frames: int, *, parent: int, niceness: int, modules: Sequence[str]) -> None:
    """Run the task that is asked for, tell what came of it, and end; `modules` are imported before it is known."""
    _die_with_parent(parent)
    os.nice(niceness)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for module in modules:
        with suppress(ImportError):
            importlib.import_module(module)
    request = _read(requests)
    if request is None:
        return
    die_with(requests)
    channel = _Channel(os.fdopen(frames, 'wb'))
    sys.excepthook = channel.failed
    channel.send({'result': _run(request, channel.progress)})
    _await_end()


def _private_channels() -> tuple[int, int]:
    """Keep our two pipes to ourselves: a task may print, and what it starts may read."""
    requests, frames = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, frames


def _die_with_parent(parent: int) -> None:
    if sys.platform == 'linux':
        import ctypes

        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        libc.prctl(PR_SET_NAME, NAME.encode(), 0, 0, 0)
        # When memory runs out, the kernel shall choose a task and not the database.
        with suppress(OSError):
            Path('/proc/self/oom_score_adj').write_text('500')
    if os.getppid() != parent:
        _die()


def die_with(pipe: int) -> None:
    """Have the whole process group killed when the other end of the pipe closes, whatever killed who held it."""
    if sys.platform == 'linux':
        fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_ASYNC)
        if select.select([pipe], [], [], 0)[0]:
            _die()
    else:
        threading.Thread(target=lambda: os.read(pipe, 1) or _die(), daemon=True).start()


def _die() -> None:
    os.killpg(0, signal.SIGKILL)


def _await_end() -> NoReturn:
    """Wait for who has been answered to kill us, and whatever the task has started, which would be orphans after us.

    To end as Python does, object by object, would take 0.1 s of computing.
    """
    while True:
        signal.pause()


def _read(requests: int) -> dict[str, Any] | None:
    """Return the request, or None when the parent closed the pipe without one."""
    with os.fdopen(requests, 'rb', buffering=0, closefd=False) as stream:
        data = b''
        while len(data) < LENGTH.size or len(data) < LENGTH.size + LENGTH.unpack_from(data)[0]:
            piece = stream.read(2**16)
            if not piece:
                return None
            data += piece
    request: dict[str, Any] = json.loads(data[LENGTH.size :])
    return request


def _run(request: Mapping[str, Any], progress: Callable[[float, str], None]) -> dict[str, Any]:
    workdir = Path(request['workdir'])
    if request['function']:
        return _function(request['function'])(request['payload'], workdir, progress)
    from storage.objects import ObjectsAt, task_objects

    tasks = importlib.import_module(request['tasks']).TASKS
    if request['task'] not in tasks:
        raise UsageError(f'There is no task "{request["task"]}". Tasks are {", ".join(sorted(tasks))}.')
    task: Callable[..., dict[str, Any]] = tasks[request['task']]
    return task(request['payload'], task_objects(ObjectsAt.from_json(request['objects'])), workdir, progress)


def _function(name: str) -> Callable[..., dict[str, Any]]:
    module, _, attribute = name.partition(':')
    function: Callable[..., dict[str, Any]] = getattr(importlib.import_module(module), attribute)
    return function


class _Channel:
    """Frames to the parent."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._told: tuple[float, str] = (0.0, '')

    def send(self, frame: Mapping[str, Any]) -> None:
        data = json.dumps(frame, default=str).encode()
        if len(data) > LARGEST_FRAME:
            raise TaskFailed(f'The task returned {len(data):,} bytes; results belong into objects.')
        with self._lock:
            self._stream.write(LENGTH.pack(len(data)) + data)
            self._stream.flush()

    def progress(self, part: float, text: str) -> None:
        """Tell how far the task is; the same words are repeated at most 50 times a second."""
        at, said = self._told
        if text != said or time.monotonic() - at > SECONDS_BETWEEN_PROGRESS:
            self._told = (time.monotonic(), text)
            self.send({'progress': [float(part), str(text)[:300]]})

    def failed(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Send what the task raised; an error that is none of ours is a fault of the task."""
        traceback.print_exception(kind, error, trace)
        if isinstance(error, MemoryError):
            error = TaskOverLimit('The task needed more memory than it may use. Use less data, or raise its limit.')
        elif isinstance(error, OSError) and error.strerror:
            where = f' ({Path(str(error.filename)).name})' if error.filename else ''
            error = TaskFailed(
                f'A file could not be read or written{where}: {error.strerror}. Mend that, then try again.'
            )
        elif not isinstance(error, VariosyncError):
            error = TaskFailed(f'The task failed unexpectedly ({kind.__name__}: {str(error)[:300]}).')
        self.send({'error': to_words(error)})
        _await_end()


if __name__ == '__main__':
    main()
