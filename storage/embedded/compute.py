"""Tasks in child processes of this machine: each killable, watched from outside, gone when we are gone."""

import asyncio
import errno
import json
import os
import queue
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import psutil
import structlog

from core.errors import (
    NotFound,
    TaskCancelled,
    TaskFailed,
    TaskKilled,
    TaskOverLimit,
    Unavailable,
    VariosyncError,
    from_words,
)
from core.ports import Progress
from storage.embedded.child import LARGEST_FRAME, LENGTH
from storage.embedded.nursery import Born, Nursery
from storage.objects import ObjectsAt
from storage.work import remove_leftovers, work_folder

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, '-P', '-X', 'faulthandler', '-m', 'storage.embedded.child')
TICK = 0.025
FORK_LASTS = 1.0  # s that a busy machine may take from the birth of a process to its own program
PF_FORKNOEXEC = 0x40
SPARE_LIFE = 900.0
SPARE_PAUSE = 5.0  # seconds in which what a call has made is drawn before the next is prepared
NICENESS = 5
KEPT_OUTCOMES = 256
KEPT_OUTPUT = 8192
WARM: Mapping[str, Sequence[str]] = {'forecast': ('duckdb', 'polars', 'lightgbm', 'statsforecast.models')}
"""What a task imports in its own process; Prophet's package works in another (`forecasting/workers.py`)."""
READY = (
    'storage.objects',
    'core.tasks',
    'core.analysis.ingest.reader',
    'core.analysis.ingest.objects',
    'core.analysis.ingest.pyramid',
    'core.analysis.ingest.spreadsheet',
    'duckdb',
    'pyarrow.dataset',
    'pandas',
)
"""What every child has imported. None of it starts a thread; Polars does, so what needs it is imported in the child."""
INHERITED = (
    'PATH',
    'HOME',
    'USER',
    'LANG',
    'LANGUAGE',
    'TZ',
    'LD_LIBRARY_PATH',
    'PYTHONPATH',
    'VIRTUAL_ENV',
    'CMDSTAN',
)
ONE_THREAD = ('OMP', 'OPENBLAS', 'MKL', 'NUMBA', 'NUMEXPR')

log = structlog.get_logger(__name__)


class ChildProcesses:
    """Compute on this machine (`core.ports.Compute`): one process a call, at most `memory` bytes and `timeout` seconds.

    Files of a call lie in `home/work/<call id>` while it runs. `warm` names the modules that a spare process imports
    ahead for a task; a spare follows `pause` seconds after a call of its task, or `warm_up`, and waits a quarter of an
    hour.
    All are children of `nursery`, which several may share; without one, of a nursery of their own.
    """

    durable = False

    def __init__(
        self,
        home: Path,
        *,
        objects: ObjectsAt,
        memory: int,
        timeout: float,
        tasks: str = 'core.tasks',
        warm: Mapping[str, Sequence[str]] = WARM,
        pause: float = SPARE_PAUSE,
        nursery: Nursery | None = None,
    ) -> None:
        self._work = home / 'work'
        self._objects = objects
        self._memory = memory
        self._timeout = timeout
        self._tasks = tasks
        self._warm = warm
        self._pause = pause
        self._own = Nursery(READY) if nursery is None else None
        self._nursery = nursery or self._own
        self._calls: OrderedDict[str, _Call] = OrderedDict()
        self._spares: dict[str, _Call] = {}
        self._closed = False
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        remove_leftovers(self._work)

    async def submit(self, task: str, payload: Mapping[str, Any]) -> str:
        """Start a task and return a call id. Raise Unavailable when no process can be started."""
        if self._closed:
            raise Unavailable('The server is stopping. Try again in a moment.')
        call = self._spares.pop(task, None)
        request = {'function': None, 'tasks': self._tasks, 'task': task, 'payload': payload}
        request['objects'] = self._objects.to_json()
        if call is None or not call.ask(request):
            call = self._start(task)  # which imports what its payload takes and no more
            call.ask(request)
        self._calls[call.id] = call
        return call.id

    async def collect(self, call_id: str, *, progress: Progress, timeout: float) -> Mapping[str, Any] | None:
        """Return the task's result, or None when it is not ready within `timeout` seconds; progress is told meanwhile.

        Raise the task's own error, TaskKilled when it crashed, TaskOverLimit when it passed a limit, TaskCancelled, and
        NotFound when the call is unknown (outcomes are kept for the last 256 calls).
        """
        call = self._calls.get(call_id)
        if call is None:
            raise NotFound('There is no such call; the process that ran it has ended.')
        until = time.monotonic() + timeout
        told = None
        while True:
            call.changed.clear()
            if (said := call.said) is not told and said is not None:
                told = said
                progress(*said)
            if call.outcome is not None:
                return call.result()
            left = until - time.monotonic()
            if left <= 0:
                return None
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await call.changed.wait()

    async def cancel(self, call_id: str) -> None:
        """Stop the task with all that it started; it is dead on return. A call that has ended stays as it is."""
        if call := self._calls.get(call_id):
            await call.stop()

    async def warm_up(self, task: str) -> None:
        """Start the spare process of a task, unless one waits already."""
        self._prepare(task)

    async def close(self) -> None:
        """Stop every running task and every spare process."""
        self._closed = True
        calls = [*self._calls.values(), *self._spares.values()]
        self._spares.clear()
        await asyncio.gather(*(call.stop() for call in calls))
        if self._own is not None:
            await asyncio.to_thread(self._own.close)

    def _start(self, task: str, modules: Sequence[str] = ()) -> '_Call':
        return _Call(
            task,
            self._work,
            self._nursery,
            modules=modules,
            memory=self._memory,
            timeout=self._timeout,
            ended=self._ended,
        )

    def _ended(self, call: '_Call') -> None:
        ended = [other.id for other in self._calls.values() if other.outcome is not None]
        for call_id in ended[:-KEPT_OUTCOMES]:
            del self._calls[call_id]
        if self._spares.get(call.task) is call:
            del self._spares[call.task]
        elif call.task in self._warm and not self._closed:
            asyncio.get_running_loop().call_later(self._pause, self._prepare, call.task)

    def _prepare(self, task: str) -> None:
        if task in self._warm and not self._closed and not (task in self._spares and self._spares[task].waiting):
            self._spares[task] = self._start(task, self._warm[task])


def run_local(
    function: str,
    arguments: Mapping[str, Any],
    *,
    memory: int,
    timeout: float,
    progress: Progress,
    nursery: Nursery | None = None,
) -> dict[str, Any]:
    """Run `module:function` in a watched child process, as `function(arguments, workdir, progress)`; return its result.

    Who runs several may lend a `nursery`. Raise the function's own error, TaskKilled when it crashed, TaskOverLimit
    past `memory` bytes or `timeout` seconds.
    """
    request = {'function': function, 'payload': arguments}
    return _run(request, memory=memory, timeout=timeout, progress=progress, nursery=nursery)


def run_task(
    task: str,
    payload: Mapping[str, Any],
    *,
    objects: ObjectsAt,
    memory: int,
    timeout: float,
    progress: Progress,
    tasks: str = 'core.tasks',
) -> dict[str, Any]:
    """Run a task in a watched child process and wait for its result; raise what `run_local` raises."""
    request = {'function': None, 'tasks': tasks, 'task': task, 'payload': payload, 'objects': objects.to_json()}
    return _run(request, memory=memory, timeout=timeout, progress=progress)


def _run(
    request: Mapping[str, Any], *, memory: int, timeout: float, progress: Progress, nursery: Nursery | None = None
) -> dict[str, Any]:
    with (
        _work_folder(Path(tempfile.gettempdir()), f'variosync-{uuid4().hex}') as workdir,
        _Child(workdir, modules=(), niceness=0, nursery=nursery) as child,
    ):
        return child.run(request, memory=memory, timeout=timeout, progress=progress)


class _Call:
    """One call: the thread that starts and watches its process, and what the event loop knows of it.

    The thread lives as long as the process, because the kernel ends a child with the thread that started it.
    """

    def __init__(
        self,
        task: str,
        work: Path,
        nursery: Nursery | None,
        *,
        modules: Sequence[str],
        memory: int,
        timeout: float,
        ended: Callable[['_Call'], None],
    ) -> None:
        self.id = uuid4().hex
        self.task = task
        self.changed = asyncio.Event()
        self.said: tuple[float, str] | None = None
        self.outcome: Mapping[str, Any] | VariosyncError | None = None
        self._over = asyncio.Event()
        self._ended = ended
        self._waking = False
        self._memory = memory
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._requests: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._state = threading.Lock()
        self._asked = False
        self._retired = False
        self._stopped = threading.Event()
        self._nursery = nursery
        self._thread = threading.Thread(target=self._run, args=(work, modules), name=f'task {task}', daemon=True)
        self._thread.start()

    # on the event loop

    @property
    def waiting(self) -> bool:
        """Whether the process waits for a request."""
        return not self._asked and not self._retired

    def ask(self, request: Mapping[str, Any]) -> bool:
        """Hand over the request; return False when the waiting process has gone meanwhile."""
        with self._state:
            if self._retired:
                return False
            self._asked = True
            self._requests.put(request)
            return True

    def result(self) -> Mapping[str, Any]:
        """Return the outcome, or raise it."""
        if isinstance(self.outcome, VariosyncError):
            raise self.outcome
        if self.outcome is None:
            raise TaskFailed('The task has not ended.')
        return self.outcome

    async def stop(self) -> None:
        """Kill the process and wait until it is dead."""
        self._stopped.set()
        self._requests.put(None)
        await self._over.wait()

    def _wake(self) -> None:
        self._waking = False
        self.changed.set()

    def _finish(self, outcome: Mapping[str, Any] | VariosyncError) -> None:
        self.outcome = outcome
        self.changed.set()
        self._over.set()
        self._ended(self)

    # on the thread

    def _run(self, work: Path, modules: Sequence[str]) -> None:
        outcome: Mapping[str, Any] | VariosyncError = TaskFailed('The task could not be watched.')
        try:
            with (
                _work_folder(work, self.id) as workdir,
                _Child(
                    workdir, modules=modules, niceness=NICENESS, stopped=self._stopped, nursery=self._nursery
                ) as child,
            ):
                outcome = self._serve(child)
        except VariosyncError as error:
            outcome = error
        finally:
            with self._state:
                self._retired = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._finish, outcome)

    def _serve(self, child: '_Child') -> Mapping[str, Any]:
        request = self._request(child)
        if request is None:
            raise TaskCancelled
        try:
            return child.run(request, memory=self._memory, timeout=self._timeout, progress=self._say)
        except (TaskOverLimit, TaskCancelled):
            raise
        except TaskFailed as error:
            log.warning('task failed', task=self.task, call=self.id, error=error.message, output=child.output)
            raise

    def _request(self, child: '_Child') -> Mapping[str, Any] | None:
        until = time.monotonic() + SPARE_LIFE
        while child.alive and time.monotonic() < until:
            with suppress(queue.Empty):
                return self._requests.get(timeout=1)
        with self._state:
            self._retired = True
        return self._requests.get() if self._asked else None

    def _say(self, part: float, text: str) -> None:
        self.said = (part, text)
        if not self._waking:
            self._waking = True
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake)


class _Child:
    """One child process. Leaving the block kills it and everything it started."""

    def __init__(
        self,
        workdir: Path,
        *,
        modules: Sequence[str],
        niceness: int,
        stopped: threading.Event | None = None,
        nursery: Nursery | None = None,
    ) -> None:
        self._workdir = workdir
        self._stopped = stopped or threading.Event()
        environment, born = _environment(workdir), None
        with _told():
            if nursery is not None:
                born = nursery.bear(
                    workdir, environment=environment, niceness=niceness, modules=modules, stopped=self._stopped
                )
            self._process: Born | subprocess.Popen[bytes] = born or subprocess.Popen(
                [*COMMAND, str(os.getpid()), str(niceness), *modules],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=workdir,
                env=environment,
                start_new_session=True,
            )
        self._tree = _Tree(self._process.pid)
        self._pending = bytearray()
        self._output = bytearray()
        self._pipes = selectors.DefaultSelector()
        for pipe, target in ((self._process.stdout, self._pending), (self._process.stderr, self._output)):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._pipes.register(pipe.fileno(), selectors.EVENT_READ, target)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tree.kill()
        self._process.wait()
        self._pipes.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """The end of what the process printed."""
        return self._output.decode(errors='replace')

    def run(self, request: Mapping[str, Any], *, memory: int, timeout: float, progress: Progress) -> dict[str, Any]:
        """Send the request and watch until a result, an error, a limit or the end of the process."""
        until = time.monotonic() + timeout
        self._send({**request, 'workdir': str(self._workdir)})
        measured = 0.0
        while True:
            exited = not self.alive
            self._read(0 if exited else TICK)
            if self._stopped.is_set():
                raise TaskCancelled
            for frame in self._frames():
                if (result := _understood(frame, progress)) is not None:
                    return result
            if exited:
                raise _crash(self._process.returncode or 0)
            now = time.monotonic()
            if now > until:
                raise TaskOverLimit(f'The task took longer than {timeout:g} s. Use less data, or raise the limit.')
            if now - measured >= TICK:
                measured = now
                if self._tree.over(memory):
                    raise TaskOverLimit(
                        f'The task used more than {_size(memory)} of memory. Use less data, or raise the limit.'
                    )

    def _send(self, request: Mapping[str, Any]) -> None:
        data = json.dumps(request, default=str).encode()
        if self._process.stdin is not None:
            # A process that has died is told of by `run`, with its reason.
            with suppress(BrokenPipeError):
                view = memoryview(LENGTH.pack(len(data)) + data)
                while view:
                    view = view[self._process.stdin.write(view) :]

    def _read(self, timeout: float) -> None:
        for key, _ in self._pipes.select(timeout):
            with suppress(BlockingIOError):
                piece = os.read(key.fd, 2**20)
                if not piece:
                    self._pipes.unregister(key.fd)
                key.data.extend(piece)
        del self._output[:-KEPT_OUTPUT]

    def _frames(self) -> Iterator[Any]:
        while len(self._pending) >= LENGTH.size:
            end = LENGTH.size + LENGTH.unpack_from(self._pending)[0]
            if end > LENGTH.size + LARGEST_FRAME:
                raise _garbled()
            if len(self._pending) < end:
                return
            data = bytes(self._pending[LENGTH.size : end])
            del self._pending[:end]
            try:
                yield json.loads(data)
            except (ValueError, RecursionError) as error:
                raise _garbled() from error


class _Tree:
    """A process and its descendants. The child adopts orphans (`child.py`), so none leaves the tree while it lives."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._seen: dict[int, psutil.Process] = {}
        with suppress(psutil.NoSuchProcess):
            self._seen[pid] = psutil.Process(pid)

    def over(self, memory: int) -> bool:
        """Whether all together hold more than `memory` bytes: what they share counts once (slower to find out)."""
        self._look()
        processes = list(self._seen.values())
        return sum(map(_resident, processes)) > memory and sum(map(self._share, processes)) > memory

    def _share(self, process: psutil.Process) -> int:
        """The bytes of a process, of pages that others have too its share.

        A descendant born this moment counts nothing: until it runs its own program it may stand in its parent's
        memory (vfork(2)).
        """
        with suppress(psutil.NoSuchProcess):
            age = time.time() - process.create_time()
            if process.pid != self._pid and 0 <= age < FORK_LASTS and _forked(process.pid):
                return 0
            with suppress(psutil.AccessDenied):
                return getattr(process.memory_full_info(), 'pss', 0) or _resident(process)
            return _resident(process)
        return 0

    def kill(self) -> None:
        """Kill all, also those that left the process group. The root is held still meanwhile and dies last."""
        self._signal(os.kill, signal.SIGSTOP)
        until = time.monotonic() + 2
        while time.monotonic() < until and self._kill_descendants():
            time.sleep(0.002)
        self._signal(os.killpg, signal.SIGKILL)
        # One that was forked this instant leads no group yet.
        self._signal(os.kill, signal.SIGKILL)

    def _signal(self, send: Callable[[int, int], None], number: signal.Signals) -> None:
        if self._ours:
            with suppress(ProcessLookupError, PermissionError):
                send(self._pid, number)

    @property
    def _ours(self) -> bool:
        """Whether the id is still that of our process: one whose nursery has died may be buried, its id given anew."""
        return self._pid in self._seen and self._seen[self._pid].is_running()

    def _kill_descendants(self) -> bool:
        self._look()
        living = [process for pid, process in self._seen.items() if pid != self._pid and _lives(process)]
        for process in living:
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.kill()
        return bool(living)

    def _look(self) -> None:
        pids = {self._pid, *_descendants(self._pid)} if self._ours else set()
        for pid in pids - self._seen.keys():
            with suppress(psutil.NoSuchProcess):
                self._seen[pid] = psutil.Process(pid)
        for pid in self._seen.keys() - pids:
            if not self._seen[pid].is_running():
                del self._seen[pid]


def _descendants(pid: int) -> list[int]:
    if sys.platform != 'linux':
        with suppress(psutil.NoSuchProcess):
            return [process.pid for process in psutil.Process(pid).children(recursive=True)]
        return []
    found: list[int] = []
    unseen = [pid]
    while unseen:
        # The kernel lists children thread by thread; psutil would read every process of the machine instead.
        with suppress(OSError):
            for thread in Path(f'/proc/{unseen.pop()}/task').iterdir():
                with suppress(OSError):
                    children = [int(child) for child in (thread / 'children').read_text().split()]
                    found += children
                    unseen += children
    return found


def _forked(pid: int) -> bool:
    """Whether a process still runs its parent's program (PF_FORKNOEXEC of the flags in proc_pid_stat(5))."""
    with suppress(OSError):  # it has ended, or this system does not tell
        return bool(int(Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[6]) & PF_FORKNOEXEC)
    return False


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        resident: int = process.memory_info().rss
        return resident
    return 0


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        status: str = process.status()
        return status not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    return False


def _understood(frame: Any, progress: Progress) -> dict[str, Any] | None:
    match frame:
        case {'progress': [float(part), str(text)]}:
            progress(min(1.0, max(0.0, part)), text[:300])
            return None
        case {'result': dict(result)}:
            return result
        case {'error': [str(name), str(message), dict(details)]}:
            raise from_words(name, message, details)
        case _:
            raise _garbled()


def _garbled() -> TaskFailed:
    return TaskFailed('The task answered with something else than a result.')


def _crash(status: int) -> TaskKilled:
    if status == -signal.SIGKILL:
        return TaskKilled('The task was killed by the system, probably because memory ran out.')
    if status < 0:
        return TaskKilled(f'The task crashed ({signal.Signals(-status).name}).')
    return TaskKilled(f'The task crashed: its process ended without a result (exit status {status}).')


def _size(size: int) -> str:
    for power, unit in ((2**30, 'GB'), (2**20, 'MB')):
        if size >= power:
            return f'{size / power:.3g} {unit}'
    return f'{size} bytes'


def _environment(workdir: Path) -> dict[str, str]:
    """What a task may know of our environment: nothing that could be a secret."""
    kept = {name: value for name, value in os.environ.items() if name in INHERITED or name.startswith('LC_')}
    paths = [str(ROOT), *kept.get('PYTHONPATH', '').split(os.pathsep)]
    threads = {f'{library}_NUM_THREADS': '1' for library in ONE_THREAD}
    return kept | threads | {'PYTHONPATH': os.pathsep.join(filter(None, paths)), 'TMPDIR': str(workdir)}


@contextmanager
def _work_folder(base: Path, name: str) -> Iterator[Path]:
    with ExitStack() as stack:
        with _told():
            folder = stack.enter_context(work_folder(base, name))
        yield folder


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise Unavailable('No space is left for the files of a task. Free some, then try again.') from error
        raise Unavailable(f'No process could be started for the task ({os.strerror(error.errno or 0)}).') from error
