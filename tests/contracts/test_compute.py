"""What every Compute promises (`core.ports.Compute`): child processes here, and functions at Modal."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
import pytest_asyncio

from core.errors import NotFound, SeriesTooShort, TaskCancelled, TaskFailed, TaskKilled, TaskOverLimit, Unavailable
from core.ports import Compute
from storage.cloud.compute import ModalCompute
from storage.embedded.compute import ChildProcesses
from storage.embedded.nursery import Nursery
from storage.objects import Objects, ObjectsAt
from tests.contracts.conftest import TASKS

MEMORY = 200 * 2**20
SOON = 20.0


def modal_compute(home: Path, *, timeout: float = SOON) -> ModalCompute:
    """Compute as a process of ours opens it."""
    return ModalCompute(
        'variosync',
        environment=None,
        token_id='ak-test',
        token_secret='as-test',
        objects=Objects.local(home / 'objects'),
        memory=MEMORY,
        timeout=timeout,
    )


@pytest_asyncio.fixture(loop_scope='session', params=['children', 'modal'])
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Path]:
    """The folder that holds the objects, of one adapter after the other."""
    if request.param == 'children':
        yield tmp_path
    else:
        request.getfixturevalue('fake_modal')
        yield request.getfixturevalue('modal_home')


@pytest_asyncio.fixture(loop_scope='session')
async def compute(home: Path, tmp_path: Path, light_nursery: Nursery) -> AsyncIterator[Compute]:
    opened: Compute
    if home == tmp_path:
        at = ObjectsAt(folder=str(home / 'objects'))
        opened = ChildProcesses(
            home, objects=at, memory=MEMORY, timeout=SOON, tasks=TASKS, warm={}, nursery=light_nursery
        )
    else:
        opened = modal_compute(home)
    yield opened
    await opened.close()


def placed() -> dict[str, Any]:
    """A payload whose objects have a place, as every job's has."""
    return {'prefix': f't/{uuid4()}/job-1'}


class Heard(list[tuple[float, str]]):
    """Progress that was told."""

    def __call__(self, part: float, text: str) -> None:
        self.append((part, text))


async def result(compute: Compute, call: str, heard: Heard | None = None) -> Mapping[str, Any]:
    answer = await compute.collect(call, progress=Heard() if heard is None else heard, timeout=SOON)
    assert answer is not None
    assert compute.durable == ('seconds' in answer)
    return {name: value for name, value in answer.items() if name != 'seconds'}


async def first_words(compute: Compute, call: str) -> str:
    heard = Heard()
    async with asyncio.timeout(SOON):
        while not any(text for _, text in heard):
            assert await compute.collect(call, progress=heard, timeout=0.05) is None
    return next(text for _, text in heard if text)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def until_dead(pid: int) -> None:
    async with asyncio.timeout(SOON):
        while lives(pid):
            await asyncio.sleep(0.005)


async def test_a_task_returns_its_result(compute: Compute) -> None:
    call = await compute.submit('echo', {'number': 1.5, 'list': [1, None, 'ä']})
    assert await result(compute, call) == {'number': 1.5, 'list': [1, None, 'ä']}
    assert await result(compute, call) == {'number': 1.5, 'list': [1, None, 'ä']}, 'it may be collected again'


async def test_a_task_stores_objects(compute: Compute, home: Path) -> None:
    key = f't/{uuid4()}/echo'
    call = await compute.submit('echo', {'key': key, 'text': 'stored'})
    assert (await result(compute, call))['text'] == 'stored'
    assert (home / 'objects' / key).read_text() == 'stored'


async def test_not_ready_within_the_timeout_is_none(compute: Compute) -> None:
    call = await compute.submit('sleep', placed())
    before = time.monotonic()
    assert await compute.collect(call, progress=Heard(), timeout=0.1) is None
    assert 0.1 <= time.monotonic() - before < SOON
    assert await compute.collect(call, progress=Heard(), timeout=0) is None


async def test_progress_is_told_meanwhile(compute: Compute, tmp_path: Path) -> None:
    go = tmp_path / 'go'
    call = await compute.submit('tell', {**placed(), 'words': ['half', 'whole'], 'go': str(go)})
    heard = Heard()
    async with asyncio.timeout(SOON):
        while (1.0, 'whole') not in heard:
            assert await compute.collect(call, progress=heard, timeout=0.05) is None
    go.touch()
    assert await result(compute, call, heard) == {'told': 2}
    assert heard[-1] == (1.0, 'whole')


async def test_the_tasks_own_error_is_raised(compute: Compute) -> None:
    call = await compute.submit('fail', {})
    with pytest.raises(SeriesTooShort, match='Series A has 3 points') as caught:
        await result(compute, call)
    assert caught.value.details == {'series': 'A', 'points': 3}


async def test_an_error_that_is_not_ours_is_a_failed_task(compute: Compute) -> None:
    call = await compute.submit('fail', {'plain': True})
    with pytest.raises(TaskFailed, match=r'failed unexpectedly \(KeyError') as caught:
        await result(compute, call)
    assert not caught.value.retryable


@pytest.mark.parametrize('number', [signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL])
async def test_a_crash_kills_its_own_call_only(compute: Compute, number: signal.Signals) -> None:
    well = await compute.submit('echo', {'well': True})
    call = await compute.submit('abort', {'signal': int(number)})
    with pytest.raises(TaskKilled, match='killed by the system' if number == signal.SIGKILL else number.name) as caught:
        await result(compute, call)
    assert caught.value.retryable
    assert await result(compute, well) == {'well': True}


async def test_an_exit_without_a_result_is_a_crash(compute: Compute) -> None:
    with pytest.raises(TaskKilled, match='exit status 3'):
        await result(compute, await compute.submit('abort', {}))


async def test_too_much_memory_is_stopped(compute: Compute) -> None:
    call = await compute.submit('eat_memory', {})
    with pytest.raises(TaskOverLimit, match='used more than 200 MB of memory') as caught:
        await result(compute, call)
    assert not caught.value.retryable


async def test_memory_of_what_the_task_started_counts(compute: Compute) -> None:
    call = await compute.submit('eat_memory', {'child': 250 * 2**20})
    with pytest.raises(TaskOverLimit, match='memory'):
        await result(compute, call)


async def test_cancel_stops_the_task(compute: Compute) -> None:
    call = await compute.submit('sleep', placed())
    pid = int(await first_words(compute, call))
    await compute.cancel(call)
    await until_dead(pid)
    with pytest.raises(TaskCancelled):
        await result(compute, call)


async def test_cancel_before_the_task_began(compute: Compute) -> None:
    call = await compute.submit('echo', {})
    await compute.cancel(call)
    with pytest.raises(TaskCancelled):
        await result(compute, call)


async def test_cancel_wakes_who_collects(compute: Compute) -> None:
    call = await compute.submit('sleep', placed())
    collecting = asyncio.create_task(result(compute, call))
    await first_words(compute, call)
    await compute.cancel(call)
    with pytest.raises(TaskCancelled):
        await collecting


async def test_cancelling_a_call_that_has_ended_changes_nothing(compute: Compute) -> None:
    call = await compute.submit('echo', {'kept': 1})
    assert await result(compute, call) == {'kept': 1}
    await compute.cancel(call)
    await compute.cancel('unknown')
    assert await result(compute, call) == {'kept': 1}


async def test_an_unknown_call_is_not_found(compute: Compute) -> None:
    with pytest.raises(NotFound):
        await compute.collect('unknown', progress=Heard(), timeout=0)


async def test_a_task_that_cannot_be_started_now_is_told(compute: Compute, request: pytest.FixtureRequest) -> None:
    if compute.durable:
        request.getfixturevalue('fake_modal').fault('spawn', 'ResourceExhaustedError')
    else:
        await compute.close()
    with pytest.raises(Unavailable) as caught:
        await compute.submit('echo', {})
    assert caught.value.retryable


async def test_close_stops_what_runs_unless_calls_are_durable(compute: Compute) -> None:
    call = await compute.submit('sleep', placed())
    pid = int(await first_words(compute, call))
    await compute.close()
    assert lives(pid) == compute.durable
    await compute.cancel(call)
    await until_dead(pid)
