"""What Modal's Compute promises beyond `core.ports.Compute`: calls outlive us, and nothing of Modal's comes through."""

import inspect
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from modal import exception

from core.errors import (
    Misconfigured,
    NotFound,
    TaskCancelled,
    TaskFailed,
    TaskKilled,
    TaskOverLimit,
    Unavailable,
    VariosyncError,
)
from storage.cloud.compute import ModalCompute
from tests.contracts.test_compute import (
    Heard,
    first_words,
    modal_compute,
    placed,
    result,
)
from tests.fakes.modal import FakeModal

EXCEPTIONS = sorted(
    name
    for name, kind in vars(exception).items()
    if inspect.isclass(kind) and issubclass(kind, exception.Error) and not issubclass(kind, exception.ImageBuildError)
)
GET = {
    'AuthError': Misconfigured,
    'ConnectionError': Unavailable,
    'DeserializationError': TaskFailed,
    'ExecutionError': TaskFailed,
    'FunctionTimeoutError': TaskOverLimit,
    'InternalFailure': TaskKilled,
    'NotFoundError': NotFound,
    'OutputExpiredError': TaskKilled,
    'PermissionDeniedError': Misconfigured,
    'RemoteError': TaskFailed,
    'ResourceExhaustedError': Unavailable,
    'ServiceError': Unavailable,
}


@pytest_asyncio.fixture(loop_scope='session')
async def compute(fake_modal: FakeModal, modal_home: Path) -> AsyncIterator[ModalCompute]:
    opened = modal_compute(modal_home)
    yield opened
    await opened.close()


async def test_a_call_outlives_us_and_anybody_collects_it(
    compute: ModalCompute, modal_home: Path, tmp_path: Path
) -> None:
    go = tmp_path / 'go'
    call = await compute.submit('tell', {**placed(), 'words': ['begun'], 'go': str(go)})
    assert await first_words(compute, call) == 'begun'
    await compute.close()
    other = modal_compute(modal_home)
    assert await first_words(other, call) == 'begun', 'progress too'
    go.touch()
    assert await result(other, call) == {'told': 1}
    call = await compute.submit('sleep', placed())
    await other.cancel(call)
    with pytest.raises(TaskCancelled):
        await result(compute, call)
    await other.close()


async def test_a_model_that_needs_a_gpu_goes_to_its_own_function(compute: ModalCompute) -> None:
    for models, function in ((['tft'], 'forecast_gpu'), (['theta'], 'forecast'), (['tft', 'theta'], 'forecast')):
        with pytest.raises(Misconfigured, match=f'no function {function} '):  # this Modal has the tests' tasks only
            await compute.submit('forecast', {**placed(), 'request': {'models': models}})


async def test_the_time_that_a_task_ran_is_told(compute: ModalCompute) -> None:
    answer = await compute.collect(await compute.submit('echo', {}), progress=Heard(), timeout=20)
    assert answer is not None
    assert 0 < answer['seconds'] < 20


async def test_too_much_time_is_stopped(fake_modal: FakeModal, modal_home: Path) -> None:
    compute = modal_compute(modal_home, timeout=0.3)
    with pytest.raises(TaskOverLimit, match=r'longer than 0\.3 s'):
        await result(compute, await compute.submit('sleep', placed()))


async def test_a_function_that_is_not_deployed_is_told_with_what_to_do(compute: ModalCompute) -> None:
    with pytest.raises(Misconfigured, match='modal deploy -m'):
        await compute.submit('nonsense', {})


@pytest.mark.parametrize('operation', ['connect', 'spawn', 'get', 'cancel'])
async def test_no_exception_of_modals_comes_through(
    compute: ModalCompute, fake_modal: FakeModal, operation: str
) -> None:
    call = await compute.submit('echo', {})
    for name in EXCEPTIONS:
        fake_modal.fault(operation, name)
        try:
            match operation:
                case 'get':
                    await compute.collect(call, progress=Heard(), timeout=0)
                case 'cancel':
                    await compute.cancel(call)
                case _:
                    await compute.close()
                    await compute.submit('echo', {})
        except VariosyncError as error:
            assert error.message, name  # noqa: PT017 - which of ours it is depends on the exception
            assert operation != 'cancel' or isinstance(error, Unavailable), name  # noqa: PT017
        else:
            assert (operation, name) == ('cancel', 'NotFoundError')


@pytest.mark.parametrize(('name', 'expected'), GET.items())
async def test_what_modal_says_of_a_call_is_told_in_our_words(
    compute: ModalCompute, fake_modal: FakeModal, name: str, expected: type[VariosyncError]
) -> None:
    call = await compute.submit('echo', {})
    fake_modal.fault('get', name)
    with pytest.raises(expected) as caught:
        await compute.collect(call, progress=Heard(), timeout=0)
    assert type(caught.value) is expected


@pytest.mark.parametrize('operation', ['get', 'cancel'])
async def test_a_call_goes_on_while_modal_does_not_answer(
    compute: ModalCompute, fake_modal: FakeModal, tmp_path: Path, operation: str
) -> None:
    go = tmp_path / 'go'
    call = await compute.submit('tell', {**placed(), 'words': ['begun'], 'go': str(go)})
    fake_modal.fault(operation, 'ConnectionError')
    with pytest.raises(Unavailable):
        await (compute.cancel(call) if operation == 'cancel' else result(compute, call))
    fake_modal.mend()
    go.touch()
    assert await result(compute, call) == {'told': 1}


async def test_a_call_that_waits_for_a_machine_tells_nothing(compute: ModalCompute, fake_modal: FakeModal) -> None:
    fake_modal.fault('tell', 'hang')
    call = await compute.submit('tell', {**placed(), 'words': ['begun']})
    heard = Heard()
    assert await compute.collect(call, progress=heard, timeout=0.3) is None
    assert heard == []
    await compute.cancel(call)


async def test_what_modal_says_of_a_call_that_was_stopped_there_is_kept(
    compute: ModalCompute, fake_modal: FakeModal
) -> None:
    call = await compute.submit('sleep', placed())
    await first_words(compute, call)
    await compute.cancel(call)
    with pytest.raises(TaskCancelled, match='cancelled by user'):
        await result(compute, call)


async def test_nobody_answers_at_modals_address(modal_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real client, and an address of loopback where nothing listens."""
    monkeypatch.setenv('MODAL_SERVER_URL', 'http://127.0.0.1:9')
    monkeypatch.setattr('storage.cloud.compute.PATIENCE', 1.0)
    with pytest.raises(Unavailable, match='does not answer'):
        await modal_compute(modal_home).submit('echo', {})


async def test_a_container_that_is_preempted_is_no_end(
    compute: ModalCompute, fake_modal: FakeModal, tmp_path: Path
) -> None:
    go = tmp_path / 'go'
    call = await compute.submit('tell', {**placed(), 'words': ['begun'], 'go': str(go)})
    assert await first_words(compute, call) == 'begun'
    fake_modal.preempt(call.split()[0])
    go.touch()
    assert await result(compute, call) == {'told': 1}


async def test_a_container_that_is_lost_is_worth_another_attempt(compute: ModalCompute, fake_modal: FakeModal) -> None:
    fake_modal.fault('echo', 'die')
    with pytest.raises(TaskKilled, match='lost') as caught:
        await result(compute, await compute.submit('echo', {}))
    assert caught.value.retryable


async def test_a_task_that_runs_twice_leaves_one_result(
    compute: ModalCompute, fake_modal: FakeModal, modal_home: Path
) -> None:
    fake_modal.fault('echo', 'twice')
    key = f't/{uuid4()}/echo'
    call = await compute.submit('echo', {'key': key, 'text': 'once'})
    assert (await result(compute, call))['text'] == 'once'
    assert (modal_home / 'objects' / key).read_text() == 'once'
