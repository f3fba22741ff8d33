"""Tasks that behave well or badly, for the tests of Compute. Each runs in a child process."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import SeriesTooShort
from core.ports import Progress, TaskObjects

Payload = Mapping[str, Any]
EATING = 'import sys, time; held = b"x" * int(sys.argv[1]); print(flush=True); time.sleep(60)'
NEVER = 60


def echo(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Return what came, and store it as an object when a key is given."""
    if 'key' in payload:
        path = workdir / 'echo.txt'
        path.write_text(payload['text'])
        info = objects.put_file(payload['key'], path)
        fetched = objects.fetch(payload['key'], workdir)
        return {'sha256': info.sha256, 'text': fetched.read_text()}
    return dict(payload)


def here(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Describe the process."""
    return {
        'pid': os.getpid(),
        'group': os.getpgrp(),
        'modules': sorted(sys.modules),
        'environment': dict(os.environ),
        'workdir': str(workdir),
        'cwd': str(Path.cwd()),
        'input': sys.stdin.read(),
        'path': sys.path,
        'core_limit': resource.getrlimit(resource.RLIMIT_CORE),
    }


def held(payload: Payload, workdir: Path, progress: Progress) -> list[str]:
    """Name the modules that the process holds; called without `TASKS`, which imports nothing more on its way."""
    return sorted(sys.modules)


def draw(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Draw from the generators that a process has one of."""
    import random

    import numpy

    return {'python': random.random(), 'numpy': float(numpy.random.random())}


def fail(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Raise one of our errors, or with `plain` another one."""
    if payload.get('plain'):
        raise KeyError('a fault of the task')
    raise SeriesTooShort('Series A has 3 points.', series='A', points=3)


def abort(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """End without a result, by a signal or an exit status."""
    if 'signal' in payload:
        os.kill(os.getpid(), payload['signal'])
    os._exit(payload.get('status', 3))


def eat_memory(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Hold ever more memory, in this process or in a child of its own."""
    if payload.get('child'):
        with subprocess.Popen([sys.executable, '-c', EATING, str(payload['child'])]) as eater:
            eater.wait()
    held = []
    while True:
        held.append(b'x' * 2**22)
        progress(0.5, str(len(held) * 2**22))


def sleep(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Tell this process's id, then wait for ever."""
    progress(0.5, str(os.getpid()))
    time.sleep(NEVER)
    return {}


def spawn_grandchild(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Start a process that waits for ever, tell its id, then wait, crash or return."""
    # The second fork leaves the new process an orphan, the new session takes it out of the group.
    reader, writer = os.pipe()
    if os.fork() == 0:
        if payload.get('escape'):
            os.setsid()
        if os.fork() != 0:
            os._exit(0)
        os.write(writer, str(os.getpid()).encode())
        time.sleep(NEVER)
        os._exit(0)
    os.wait()
    pid = os.read(reader, 20).decode()
    progress(0.5, pid)
    if payload.get('then') == 'return':
        return {'pid': int(pid)}
    time.sleep(NEVER)
    return {}


def fork_and_share(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Fill memory, share it with three forks for longer than a fork counts nothing; unless told, have each write it."""
    shared = bytearray(payload['size'])

    def fill() -> None:
        for at in range(0, len(shared), 4096):
            shared[at] = 1

    fill()
    children = []
    for _ in range(3):
        if (child := os.fork()) == 0:
            time.sleep(1.2)
            if payload.get('then') != 'return':
                fill()
                time.sleep(NEVER)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    return {'children': len(children)}


def stubborn(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Refuse every signal that can be refused, then wait for ever."""
    for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    return sleep(payload, objects, workdir, progress)


def tell(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Tell each of the given words, then wait until the file `go` appears."""
    for number, word in enumerate(payload['words'], start=1):
        progress(number / len(payload['words']), word)
    while payload.get('go') and not Path(payload['go']).exists():
        time.sleep(0.005)
    return {'told': len(payload['words'])}


def shout(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Print a lot to both outputs, from Python and from below."""
    for _ in range(1000):
        print('x' * 1000)
        sys.stderr.write('y' * 1000)
    os.write(1, b'z' * 2**20)
    return {'quiet': True}


def forge(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Write raw bytes into the channel to the parent, as a task taken over could."""
    for path in filter(_is_frame_pipe, Path('/proc/self/fd').iterdir()):
        os.write(int(path.name), bytes.fromhex(payload['bytes']))
    time.sleep(NEVER)
    return {}


def _is_frame_pipe(path: Path) -> bool:
    try:
        target = path.readlink()
        flags = Path(f'/proc/self/fdinfo/{path.name}').read_text().split('flags:')[1].split()[0]
    except OSError:
        return False
    return int(path.name) > 2 and target.name.startswith('pipe:') and int(flags, 8) & os.O_ACCMODE == os.O_WRONLY


def bulky(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Return a result of the given size."""
    return {'text': 'x' * payload['size']}


def local(arguments: Payload, workdir: Path, progress: Progress) -> dict[str, Any]:
    """For `run_local`: tell, leave a file in the work folder, return."""
    progress(0.25, 'reading')
    (workdir / 'left').write_text('over')
    return {'workdir': str(workdir), 'given': dict(arguments), 'threads': threading.active_count()}


def local_fails(arguments: Payload, workdir: Path, progress: Progress) -> dict[str, Any]:
    """For `run_local`: raise one of our errors."""
    raise SeriesTooShort('Series A has 3 points.')


TASKS = {
    task.__name__: task
    for task in (
        echo,
        here,
        draw,
        fail,
        abort,
        eat_memory,
        sleep,
        spawn_grandchild,
        fork_and_share,
        stubborn,
        tell,
        shout,
        forge,
        bulky,
    )
}
