"""What a nursery promises (decision 17): its children are as if they were started from nothing, only sooner."""

import asyncio
import fcntl
import json
import os
import signal
import socket
import struct
import termios
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from core.errors import TaskKilled, Unavailable
from storage.embedded.child import LENGTH, NAME
from storage.embedded.compute import READY, ChildProcesses, _environment
from storage.embedded.nursery import Born, Nursery
from storage.objects import ObjectsAt
from tests.children import children
from tests.contracts.conftest import TASKS
from tests.contracts.test_compute import MEMORY, SOON, first_words, lives, result, until_dead


@pytest.fixture
def own() -> Iterator[Nursery]:
    """A nursery that a test may kill; what it imports is little."""
    nursery = Nursery(['colorsys', 'storage.objects'])
    yield nursery
    nursery.close()


@pytest_asyncio.fixture(loop_scope='session')
async def compute(tmp_path: Path, own: Nursery) -> AsyncIterator[ChildProcesses]:
    opened = computing(tmp_path, own)
    yield opened
    await opened.close()


def computing(home: Path, nursery: Nursery) -> ChildProcesses:
    at = ObjectsAt(folder=str(home / 'objects'))
    return ChildProcesses(home, objects=at, memory=MEMORY, timeout=SOON, tasks=TASKS, nursery=nursery)


async def pid_of(compute: ChildProcesses) -> int:
    return int((await result(compute, await compute.submit('here', {})))['pid'])


async def test_it_starts_with_the_first_child_and_has_all_that_follow(compute: ChildProcesses, own: Nursery) -> None:
    assert own.pid is None
    first = await result(compute, await compute.submit('here', {}))
    nursery = own.pid
    second = await result(compute, await compute.submit('here', {}))
    assert own.pid == nursery != first['pid'] != second['pid']
    assert 'colorsys' in first['modules']


def test_what_it_imports_starts_no_thread_and_opens_no_file(nursery: Nursery, tmp_path: Path) -> None:
    child = nursery.bear(tmp_path, environment=_environment(tmp_path), niceness=0)
    assert child is not None
    nurse = psutil.Process(nursery.pid)
    assert nurse.num_threads() == 1
    assert nurse.open_files() == []
    assert nurse.memory_info().rss < 300 * 2**20
    request = {'function': 'tests.contracts.tasks_for_tests:held', 'payload': {}, 'workdir': str(tmp_path)}
    answer = asked(child, request)
    assert set(READY) <= set(answer['result']), 'a module that is called otherwise now would be left out unsaid'
    assert 'polars' not in answer['result']


def asked(child: Born, request: Mapping[str, Any]) -> Any:
    """What a child answers, once it has ended."""
    data = json.dumps(request).encode()
    child.stdin.write(LENGTH.pack(len(data)) + data)
    size, frame = LENGTH.unpack(child.stdout.read(LENGTH.size))[0], b''
    while len(frame) < size:
        frame += child.stdout.read(size - len(frame))
    child.stdin.close()
    child.wait()
    child.stdout.close()
    child.stderr.close()
    return json.loads(frame)


async def test_a_child_has_nothing_open_but_its_own(compute: ChildProcesses, own: Nursery, tmp_path: Path) -> None:
    others = [await compute.submit('sleep', {}) for _ in range(3)]
    pids = [int(await first_words(compute, call)) for call in others]
    for pid in pids:
        handles = {int(path.name): path.readlink().name for path in Path(f'/proc/{pid}/fd').iterdir()}
        assert handles[0] == 'null'
        assert handles[1] == handles[2]
        beyond = [handle for handle in handles if handle > 2]
        assert len(beyond) == 2, 'its request and its answer'
        assert all(handles[handle].startswith('pipe:') for handle in beyond)
        assert len({handles[handle] for handle in (1, *beyond)}) == 3
    for call in others:
        await compute.cancel(call)


async def test_a_child_is_told_its_environment_and_leads_a_session(
    compute: ChildProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pid_of(compute)
    monkeypatch.setenv('LC_NUMERIC', 'C.UTF-8')
    monkeypatch.setenv('STRIPE_SECRET_KEY', 'canary')
    about = await result(compute, await compute.submit('here', {}))
    assert about['environment']['LC_NUMERIC'] == 'C.UTF-8', 'as it is now, not as it was when the nursery started'
    assert about['environment']['TMPDIR'] == about['workdir'] == about['cwd']
    assert 'canary' not in about['environment'].values()
    assert about['pid'] == about['group']


async def test_the_nursery_knows_no_secret(
    compute: ChildProcesses, own: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('AWS_SECRET_ACCESS_KEY', 'canary')
    await pid_of(compute)
    assert own.pid is not None
    assert b'canary' not in Path(f'/proc/{own.pid}/environ').read_bytes()


async def test_a_child_gives_way_and_is_the_first_to_go_when_memory_runs_out(
    compute: ChildProcesses, own: Nursery
) -> None:
    call = await compute.submit('sleep', {})
    child = int(await first_words(compute, call))
    assert own.pid is not None
    assert psutil.Process(child).nice() == psutil.Process(own.pid).nice() + 5
    assert int(Path(f'/proc/{child}/oom_score_adj').read_text()) == 500
    assert int(Path(f'/proc/{own.pid}/oom_score_adj').read_text()) < 500
    await compute.cancel(call)


async def test_two_children_draw_different_numbers(tmp_path: Path) -> None:
    nursery = Nursery(['numpy', 'random'])
    compute = computing(tmp_path, nursery)
    drawn = [await result(compute, await compute.submit('draw', {})) for _ in range(2)]
    assert drawn[0]['numpy'] != drawn[1]['numpy']
    assert drawn[0]['python'] != drawn[1]['python']
    await compute.close()
    nursery.close()


async def test_when_it_is_killed_its_children_die_and_the_next_call_has_a_new_one(
    compute: ChildProcesses, own: Nursery
) -> None:
    call = await compute.submit('sleep', {})
    child = int(await first_words(compute, call))
    nursery = own.pid
    assert nursery is not None
    os.kill(nursery, signal.SIGKILL)
    with pytest.raises(TaskKilled) as caught:
        await result(compute, call)
    assert caught.value.retryable
    await until_dead(child)
    assert await pid_of(compute) > 0
    assert own.pid not in (None, nursery)


async def test_after_a_crash_children_come_from_a_new_one_and_those_that_live_go_on(
    compute: ChildProcesses, own: Nursery, tmp_path: Path
) -> None:
    """Where things lie in memory is the same in all children of one; nobody shall learn it by trying."""
    going = tmp_path / 'go'
    going_on = await compute.submit('tell', {'words': ['well'], 'go': str(going)})
    await first_words(compute, going_on)
    before = own.pid
    with pytest.raises(TaskKilled, match='SIGSEGV'):
        await result(compute, await compute.submit('abort', {'signal': int(signal.SIGSEGV)}))
    await pid_of(compute)
    assert own.pid != before
    going.touch()
    assert await result(compute, going_on) == {'told': 1}
    assert before is not None
    await until_dead(before)


async def test_a_crash_and_a_wish_at_once_end_no_other_child(
    compute: ChildProcesses, own: Nursery, tmp_path: Path
) -> None:
    """It sees both in one batch when it wakes; what the first closes is not read for the second."""
    going = tmp_path / 'go'
    going_on = await compute.submit('tell', {'words': ['well'], 'go': str(going)})
    await first_words(compute, going_on)
    crashing = await compute.submit('sleep', {})
    child, before = int(await first_words(compute, crashing)), own.pid
    assert before is not None
    assert own._process is not None
    os.kill(before, signal.SIGSTOP)
    os.kill(child, signal.SIGSEGV)
    await until_dead(child)
    wish = await compute.submit('here', {})
    async with asyncio.timeout(SOON):
        while not unread(own._process._control):
            await asyncio.sleep(0.005)
    os.kill(before, signal.SIGCONT)
    await result(compute, wish)
    assert own.pid != before, 'the wish was granted by a new one'
    going.touch()
    assert await result(compute, going_on) == {'told': 1}


async def test_two_crashes_end_no_other_child(compute: ChildProcesses, own: Nursery, tmp_path: Path) -> None:
    going = tmp_path / 'go'
    going_on = await compute.submit('tell', {'words': ['well'], 'go': str(going)})
    await first_words(compute, going_on)
    others = [await compute.submit('sleep', {}) for _ in range(2)]
    for call in others:
        os.kill(int(await first_words(compute, call)), signal.SIGSEGV)
        with pytest.raises(TaskKilled, match='SIGSEGV'):
            await result(compute, call)
    going.touch()
    assert await result(compute, going_on) == {'told': 1}


def unread(control: socket.socket) -> int:
    """How many bytes the other end has not read yet."""
    return int(struct.unpack('i', fcntl.ioctl(control, termios.TIOCOUTQ, bytes(4)))[0])


async def test_an_exit_and_a_cancelled_call_leave_it_as_it_is(compute: ChildProcesses, own: Nursery) -> None:
    call = await compute.submit('sleep', {})
    await first_words(compute, call)
    before = own.pid
    await compute.cancel(call)
    with pytest.raises(TaskKilled, match='exit status 3'):
        await result(compute, await compute.submit('abort', {}))
    await pid_of(compute)
    assert own.pid == before


async def test_a_cancelled_call_is_buried(compute: ChildProcesses, own: Nursery) -> None:
    call = await compute.submit('sleep', {})
    child = int(await first_words(compute, call))
    await compute.cancel(call)
    assert not psutil.pid_exists(child)


async def test_one_that_is_idle_ends_and_comes_again(tmp_path: Path) -> None:
    nursery = Nursery([], idle=0.05)
    compute = computing(tmp_path, nursery)
    first = await pid_of(compute)
    async with asyncio.timeout(SOON):
        while nursery.pid is not None:
            await asyncio.sleep(0.005)
    assert await pid_of(compute) != first
    await compute.close()
    nursery.close()


async def test_it_does_not_end_while_a_child_lives(tmp_path: Path) -> None:
    nursery = Nursery([], idle=0.01)
    compute = computing(tmp_path, nursery)
    call = await compute.submit('tell', {'words': ['well'], 'go': str(tmp_path / 'go')})
    await first_words(compute, call)
    before = nursery.pid
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        assert await compute.collect(call, progress=lambda part, text: None, timeout=0.02) is None
    assert nursery.pid == before
    (tmp_path / 'go').touch()
    assert await result(compute, call) == {'told': 1}
    await compute.close()
    nursery.close()


@pytest.mark.parametrize('modules', [['tests.contracts.thread_at_import'], ['tests.contracts.exit_at_import']])
async def test_without_one_children_are_started_from_nothing(tmp_path: Path, modules: list[str]) -> None:
    nursery = Nursery(modules)
    compute = computing(tmp_path, nursery)
    call = await compute.submit('sleep', {})
    await first_words(compute, call)
    assert nursery.pid is None
    assert [one.name() for one in children()] == [NAME]
    assert children()[0].ppid() == os.getpid(), 'it is no child of a nursery'
    await compute.close()
    nursery.close()


@pytest.mark.parametrize(('rest', 'again'), [(60.0, False), (0.0, True)])
def test_after_a_rest_it_is_tried_again(tmp_path: Path, rest: float, again: bool) -> None:
    module = tmp_path / 'weak_at_first.py'
    module.write_text('raise SystemExit(1)')
    environment = _environment(tmp_path) | {'PYTHONPATH': str(tmp_path), 'PYTHONDONTWRITEBYTECODE': '1'}
    nursery = Nursery(['weak_at_first'], rest=rest)
    assert nursery.bear(tmp_path, environment=environment, niceness=0) is None
    module.write_text('')
    child = nursery.bear(tmp_path, environment=environment, niceness=0)
    assert (child is not None) is again
    if child is not None:
        for stream in (child.stdin, child.stdout, child.stderr):
            stream.close()
        child.wait()
    nursery.close()
    assert nursery.bear(tmp_path, environment=environment, niceness=0) is None, 'it is closed for good'


async def test_a_call_that_is_cancelled_while_it_imports_ends_at_once(tmp_path: Path) -> None:
    nursery = Nursery(['tests.contracts.never_imported'])
    compute = computing(tmp_path, nursery)
    call = await compute.submit('echo', {})
    async with asyncio.timeout(SOON):
        while nursery.pid is None:
            await asyncio.sleep(0.005)
        await compute.cancel(call)
    assert children() == []
    await compute.close()
    nursery.close()
    assert nursery.pid is None


async def test_closing_ends_it_and_compute_ends_its_own(tmp_path: Path) -> None:
    compute = ChildProcesses(tmp_path, objects=ObjectsAt(folder=str(tmp_path)), memory=2**30, timeout=SOON, tasks=TASKS)
    call = await compute.submit('sleep', {})
    child = psutil.Process(int(await first_words(compute, call)))
    nursery = child.ppid()
    assert nursery != os.getpid()
    await compute.close()
    assert not child.is_running()
    assert not lives(nursery)


async def test_no_room_for_a_process_is_told(tmp_path: Path, own: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    compute = computing(tmp_path, own)
    await pid_of(compute)
    assert own.pid is not None
    monkeypatch.setattr('storage.embedded.nursery._word', lambda told: -11)
    with pytest.raises(Unavailable, match='No process could be started'):
        await result(compute, await compute.submit('echo', {}))
    monkeypatch.undo()
    await compute.close()
