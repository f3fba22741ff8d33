"""How a function runs its task: in a child process that is watched, so that no file can take its container along."""

import json
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import modal

from core.errors import TaskFailed, TaskKilled, Unavailable, VariosyncError, to_words
from core.ports import TaskObjects
from core.settings import Settings, parse_bytes
from storage.embedded.compute import run_task
from storage.objects import ObjectsAt, task_objects

SECRET = modal.Secret.from_name(
    'variosync-objects', required_keys=['AWS_BUCKET_NAME', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']
)
SPARE = 512  # MiB that a container may use beside its task
GRACE = 60  # seconds that a container may take beside its task
FIRST, NEXT = 10.0, 15.0  # seconds until the first word about progress, and at least from one to the next
MOST_CONTAINERS = 20


def limits(settings: Settings, *, beside: int = 0) -> dict[str, Any]:
    """Return what every function is deployed with: the server's own limits of a task, and room for who watches it.

    `beside` are bytes of memory on top, for what a library takes before it works. Functions cannot use Modal in turn.
    What fails for a reason of its own is tried again by its job; Modal itself tries again once when the function could
    not even answer.
    """
    memory = (parse_bytes(settings.memory) + beside) // 2**20
    return {
        'secrets': [SECRET],
        'env': {'VARIOSYNC_TASK_MEMORY': f'{memory}MB' if beside else settings.memory},
        'cpu': (1.0, 2.0),
        'memory': (min(memory, 1024), memory + SPARE),
        'timeout': int(settings.task_timeout) + GRACE,
        'retries': modal.Retries(max_retries=1, initial_delay=1.0),
        'max_containers': MOST_CONTAINERS,
        'restrict_modal_access': True,
    }


def pause(ran: float) -> float:
    """Return the seconds until the next word about a task that has run for `ran` seconds.

    Stores bill each of them for months: tasks that end soon say none, and what long ones said is a tenth of their time
    old at most.
    """
    return FIRST if ran < FIRST else max(NEXT, ran / 10)


def run(
    task: str, request: Mapping[str, Any], *, tasks: str = 'core.tasks', pause: Callable[[float], float] = pause
) -> dict[str, Any]:
    """Run a task as `request` says (`payload`, bytes of `memory`, seconds of `timeout`) and return what came of it.

    That is `{'result': …, 'seconds': …}` or `{'error': [name, message, details]}`: plain values, no pickled errors.
    """
    started = time.monotonic()
    payload = request['payload']
    settings = Settings()
    try:
        at = ObjectsAt.of(settings)
        with (
            tempfile.TemporaryDirectory(prefix='progress-') as folder,
            _Teller(task_objects(at), payload.get('prefix'), folder, pause) as progress,
        ):
            result = run_task(
                task,
                payload,
                objects=at,
                # A container that runs out of memory would be started again and again: the task must stop before.
                memory=min(request['memory'], parse_bytes(settings.memory)),
                timeout=request['timeout'],
                progress=progress.tell,
                tasks=tasks,
            )
    except Unavailable as error:
        # The call itself has ended: what it could not reach is a reason to try again, and not to ask again.
        return {'error': to_words(TaskKilled(error.message) if error.retryable else TaskFailed(error.message))}
    except VariosyncError as error:
        return {'error': to_words(error)}
    except OSError as error:
        return {'error': to_words(TaskKilled(f'The machine of the task failed ({error.strerror or error}).'))}
    return {'result': result, 'seconds': time.monotonic() - started}


class _Teller:
    """Keeps `progress.json` beside a task's results, from a thread: the task is watched meanwhile."""

    def __init__(self, objects: TaskObjects, prefix: str | None, folder: str, pause: Callable[[float], float]) -> None:
        self._objects = objects
        self._prefix = prefix
        self._path = Path(folder) / 'progress.json'
        self._pause = pause
        self._said: dict[str, Any] = {'part': 0.0, 'text': ''}  # of a task that says nothing it is known that it runs
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name='progress', daemon=True)

    def tell(self, part: float, text: str) -> None:
        """Say how far the task is."""
        self._said = {'part': part, 'text': text}

    def __enter__(self) -> Self:
        if self._prefix:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._prefix:
            self._thread.join()

    def _keep(self) -> None:
        kept, started = None, time.monotonic()
        while not self._over.wait(self._pause(time.monotonic() - started)):
            if (said := self._said) != kept:
                with suppress(VariosyncError, OSError):  # whoever cannot be told now will be later
                    self._path.write_text(json.dumps(said))
                    self._objects.put_file(f'{self._prefix}/progress.json', self._path)
                    kept = said
