"""What child processes promise beyond `core.ports.Compute`: see `test_compute.py` for the rest."""

import asyncio
import fcntl
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from core.errors import SeriesTooShort, TaskCancelled, TaskOverLimit, Unavailable, UsageError
from storage.embedded.compute import ChildProcesses, run_local
from storage.embedded.nursery import Nursery
from storage.objects import ObjectsAt
from tests.children import children
from tests.contracts.conftest import TASKS
from tests.contracts.test_compute import MEMORY, SOON, Heard, first_words, lives, result, until_dead


@pytest_asyncio.fixture(loop_scope='session')
async def compute(tmp_path: Path, light_nursery: Nursery) -> AsyncIterator[ChildProcesses]:
    opened = ChildProcesses(
        tmp_path,
        objects=ObjectsAt(folder=str(tmp_path / 'objects')),
        memory=MEMORY,
        timeout=SOON,
        tasks=TASKS,
        warm={'here': ['colorsys']},
        pause=0,
        nursery=light_nursery,
    )
    yield opened
    await opened.close()


async def test_a_flood_of_progress_does_not_reach_the_loop(compute: ChildProcesses) -> None:
    call = await compute.submit('tell', {'words': ['again'] * 100_000})
    heard = Heard()
    assert await result(compute, call, heard) == {'told': 100_000}
    assert 1 <= len(heard) < 1000


async def test_an_unknown_task_is_told(compute: ChildProcesses) -> None:
    call = await compute.submit('nonsense', {})
    with pytest.raises(UsageError, match='no task "nonsense"'):
        await result(compute, call)


async def test_too_much_time_is_stopped(tmp_path: Path, light_nursery: Nursery) -> None:
    at = ObjectsAt(folder=str(tmp_path))
    compute = ChildProcesses(tmp_path, objects=at, memory=MEMORY, timeout=0.5, tasks=TASKS, nursery=light_nursery)
    call = await compute.submit('sleep', {})
    with pytest.raises(TaskOverLimit, match=r'longer than 0\.5 s'):
        await result(compute, call)
    await compute.close()


async def test_a_cancelled_task_is_dead_on_return(compute: ChildProcesses) -> None:
    call = await compute.submit('sleep', {})
    pid = int(await first_words(compute, call))
    await compute.cancel(call)
    assert not lives(pid)


async def test_close_stops_every_task(tmp_path: Path, light_nursery: Nursery) -> None:
    at = ObjectsAt(folder=str(tmp_path))
    compute = ChildProcesses(tmp_path, objects=at, memory=MEMORY, timeout=SOON, tasks=TASKS, nursery=light_nursery)
    calls = [await compute.submit('sleep', {}) for _ in range(2)]
    pids = [int(await first_words(compute, call)) for call in calls]
    await compute.close()
    assert not any(map(lives, pids))
    with pytest.raises(TaskCancelled):
        await result(compute, calls[0])
    with pytest.raises(Unavailable):
        await compute.submit('echo', {})


async def test_a_task_runs_in_a_folder_of_its_own_that_vanishes(compute: ChildProcesses, tmp_path: Path) -> None:
    about = await result(compute, await compute.submit('here', {}))
    assert Path(about['workdir']).parent == tmp_path / 'work'
    assert about['cwd'] == about['environment']['TMPDIR'] == about['workdir']
    assert not Path(about['workdir']).exists()
    assert about['pid'] == about['group'], 'it leads a process group of its own'
    assert about['environment']['OMP_NUM_THREADS'] == '1'
    assert about['input'] == ''


async def test_a_task_may_print_what_it_likes(compute: ChildProcesses) -> None:
    assert await result(compute, await compute.submit('shout', {})) == {'quiet': True}


async def test_a_spare_process_has_imported_ahead(compute: ChildProcesses) -> None:
    await compute.warm_up('here')
    spare = compute._spares['here']
    call = await compute.submit('here', {})
    assert call == spare.id
    assert 'colorsys' in (await result(compute, call))['modules']
    async with asyncio.timeout(SOON):
        while not ('here' in compute._spares and compute._spares['here'].waiting):
            await asyncio.sleep(0)


async def test_who_draws_a_result_is_not_disturbed_by_what_is_prepared(tmp_path: Path, light_nursery: Nursery) -> None:
    at = ObjectsAt(folder=str(tmp_path / 'objects'))
    compute = ChildProcesses(
        tmp_path,
        objects=at,
        memory=MEMORY,
        timeout=SOON,
        tasks=TASKS,
        warm={'here': ['colorsys']},
        nursery=light_nursery,
    )
    try:
        await result(compute, await compute.submit('here', {}))
        assert compute._spares == {}
    finally:
        await compute.close()


async def test_a_dead_spare_is_replaced(compute: ChildProcesses) -> None:
    await compute.warm_up('here')
    spare = compute._spares['here']
    async with asyncio.timeout(SOON):
        while spare.waiting:
            for child in children():
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            await asyncio.sleep(0.005)
    call = await compute.submit('here', {})
    assert call != spare.id
    assert (await result(compute, call))['pid'] > 0


async def test_leftovers_are_removed_at_the_start_and_folders_in_use_are_not(tmp_path: Path) -> None:
    for name in ('dead', 'used'):
        (tmp_path / 'work' / name).mkdir(parents=True)
        (tmp_path / 'work' / name / 'file').touch()
    lock = os.open(tmp_path / 'work' / 'used', os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    ChildProcesses(tmp_path, objects=ObjectsAt(folder=str(tmp_path)), memory=MEMORY, timeout=SOON)
    os.close(lock)
    assert [path.name for path in (tmp_path / 'work').iterdir()] == ['used']


PARENT = """
import asyncio, sys
from pathlib import Path
from storage.embedded.compute import ChildProcesses
from storage.objects import ObjectsAt

async def main():
    home = Path(sys.argv[1])
    compute = ChildProcesses(home, objects=ObjectsAt(folder=str(home)), memory=2**30, timeout=60, tasks=sys.argv[2])
    call = await compute.submit('spawn_grandchild', {})
    await compute.collect(call, progress=lambda part, text: print(text, flush=True), timeout=60)

asyncio.run(main())
"""


async def test_nothing_outlives_us_when_we_are_killed(tmp_path: Path) -> None:
    command = [sys.executable, '-c', PARENT, str(tmp_path), TASKS]
    parent = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    grandchild = int(await asyncio.wait_for(parent.stdout.readline(), SOON))
    [child] = children(parent.pid)
    [forks] = psutil.Process(parent.pid).children()
    parent.kill()
    await parent.wait()
    await until_dead(child.pid)
    await until_dead(grandchild)
    await until_dead(forks.pid)


def test_run_local_returns_the_result() -> None:
    heard = Heard()
    answer = run_local(f'{TASKS}:local', {'path': 'x'}, memory=MEMORY, timeout=SOON, progress=heard)
    assert answer['given'] == {'path': 'x'}
    assert heard == [(0.25, 'reading')]
    assert not Path(answer['workdir']).exists()


def test_run_local_raises_the_functions_error() -> None:
    with pytest.raises(SeriesTooShort):
        run_local(f'{TASKS}:local_fails', {}, memory=MEMORY, timeout=SOON, progress=Heard())


def test_run_local_cleans_up_when_it_is_interrupted() -> None:
    def interrupt(part: float, text: str) -> None:
        raise KeyboardInterrupt

    before = children()
    with pytest.raises(KeyboardInterrupt):
        run_local(f'{TASKS}:local', {}, memory=MEMORY, timeout=SOON, progress=interrupt)
    assert children() == before
