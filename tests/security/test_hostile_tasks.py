"""A task taken over by a hostile file: limits hold, secrets stay away, and the parent believes nothing."""

import asyncio
import json
import struct
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from core.errors import TaskFailed, TaskOverLimit, VariosyncError
from storage.embedded.compute import ChildProcesses
from storage.embedded.nursery import Nursery
from storage.objects import ObjectsAt
from tests.contracts.conftest import TASKS
from tests.contracts.test_compute import MEMORY, SOON, Heard, first_words, lives, result, until_dead

SECRETS = ('DATABASE_URL', 'STRIPE_SECRET_KEY', 'MODAL_TOKEN_ID', 'AWS_SECRET_ACCESS_KEY', 'VARIOSYNC_SESSION_SECRET')


@pytest_asyncio.fixture(loop_scope='session')
async def compute(tmp_path: Path, nursery: Nursery) -> AsyncIterator[ChildProcesses]:
    at = ObjectsAt(folder=str(tmp_path / 'objects'))
    opened = ChildProcesses(tmp_path, objects=at, memory=MEMORY, timeout=SOON, tasks=TASKS, nursery=nursery)
    yield opened
    await opened.close()


def frame(content: object) -> str:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return (struct.pack('>I', len(data)) + data).hex()


@pytest.mark.parametrize(
    'sent',
    [
        frame({'error': ['SystemExit', 'leave', {}]}),
        frame({'error': ['os.system', 'leave', {}]}),
        frame({'error': ['VariosyncError', 'leave', {'message': 'twice'}]}),
        frame({'error': 'leave'}),
        frame({'result': [1, 2]}),
        frame({'progress': ['x', None]}),
        frame({'nonsense': 1}),
        frame([]),
        frame(b'\x80\x04\x95'),
        frame(b'[' * 100_000),
        frame(b'9' * 10_000),
        'ffffffff',
    ],
)
async def test_a_forged_answer_is_an_error_and_nothing_more(compute: ChildProcesses, sent: str) -> None:
    call = await compute.submit('forge', {'bytes': sent})
    with pytest.raises(VariosyncError):
        await result(compute, call)
    assert await result(compute, await compute.submit('echo', {'well': 1})) == {'well': 1}


async def test_a_forged_progress_stays_within_bounds(compute: ChildProcesses) -> None:
    sent = ''.join(frame({'progress': [part, 'x' * 10_000]}) for part in (-1e300, 1e300, float('nan')))
    call = await compute.submit('forge', {'bytes': sent})
    heard = Heard()
    async with asyncio.timeout(SOON):
        while not heard:
            assert await compute.collect(call, progress=heard, timeout=0.05) is None
    assert all(0 <= part <= 1 and len(text) == 300 for part, text in heard)


async def test_a_result_that_is_too_large_is_refused(compute: ChildProcesses) -> None:
    compute._memory = 2**30
    with pytest.raises(TaskFailed, match='results belong into objects'):
        await result(compute, await compute.submit('bulky', {'size': 65 * 2**20}))


async def test_a_task_sees_no_secret(compute: ChildProcesses, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, f'canary-{name}')
    about = await result(compute, await compute.submit('here', {}))
    assert not set(SECRETS) & about['environment'].keys()
    assert 'canary' not in json.dumps(about['environment'])


async def test_a_task_opens_none_of_our_files(compute: ChildProcesses, tmp_path: Path) -> None:
    with (tmp_path / 'secret').open('w') as held:
        call = await compute.submit('sleep', {})
        pid = int(await first_words(compute, call))
        assert str(held.name) not in [path.path for path in psutil.Process(pid).open_files()]


async def test_no_module_of_the_work_folder_is_imported(compute: ChildProcesses) -> None:
    about = await result(compute, await compute.submit('here', {}))
    assert about['cwd'] not in about['path']
    assert '' not in about['path']


@pytest.mark.parametrize('escape', [False, True])
async def test_orphans_die_with_a_cancelled_task(compute: ChildProcesses, escape: bool) -> None:
    call = await compute.submit('spawn_grandchild', {'escape': escape})
    pid = int(await first_words(compute, call))
    assert lives(pid)
    await compute.cancel(call)
    await until_dead(pid)


@pytest.mark.parametrize('escape', [False, True])
async def test_orphans_die_with_a_task_that_returned(compute: ChildProcesses, escape: bool) -> None:
    call = await compute.submit('spawn_grandchild', {'escape': escape, 'then': 'return'})
    await until_dead((await result(compute, call))['pid'])


async def test_a_task_that_refuses_signals_is_killed(compute: ChildProcesses) -> None:
    call = await compute.submit('stubborn', {})
    pid = int(await first_words(compute, call))
    await compute.cancel(call)
    assert not lives(pid)


async def test_a_stopped_task_is_killed(compute: ChildProcesses) -> None:
    call = await compute.submit('sleep', {})
    pid = int(await first_words(compute, call))
    psutil.Process(pid).suspend()
    await compute.cancel(call)
    assert not lives(pid)


async def test_memory_is_capped_near_its_limit_and_the_loop_goes_on(compute: ChildProcesses) -> None:
    """The peak stays within 150 MB of the limit, and no turn of the event loop waits for it."""
    call = await compute.submit('eat_memory', {})
    heard = Heard()
    turns = [time.monotonic()]

    async def watch() -> None:
        while await compute.collect(call, progress=heard, timeout=0.01) is None:
            turns.append(time.monotonic())

    with pytest.raises(TaskOverLimit):
        await watch()
    slowest = max(after - before for before, after in pairwise(turns))
    peak = max(int(text) for _, text in heard)
    assert peak < MEMORY + 150 * 2**20
    assert slowest < 1


async def test_memory_that_forks_share_counts_once_and_what_they_take_counts_all(compute: ChildProcesses) -> None:
    """Three forks share 100 MB of a limit of 200; then each takes as much for itself."""
    call = await compute.submit('fork_and_share', {'size': MEMORY // 2, 'then': 'return'})
    assert await result(compute, call) == {'children': 3}
    call = await compute.submit('fork_and_share', {'size': MEMORY // 2})
    with pytest.raises(TaskOverLimit):
        await result(compute, call)


async def test_a_crash_writes_no_core_file(compute: ChildProcesses) -> None:
    about = await result(compute, await compute.submit('here', {}))
    assert about['core_limit'] == [0, 0]
