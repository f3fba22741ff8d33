"""Tasks at Modal: functions of the deployed app (`modal_functions`), called by name, followed and cancelled by id."""

import asyncio
import json
import time
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

import modal
from modal import exception as told

from core.errors import (
    Misconfigured,
    NotFound,
    TaskCancelled,
    TaskFailed,
    TaskKilled,
    TaskOverLimit,
    Unavailable,
    from_words,
)
from core.ports import ObjectStore, Progress

PATIENCE = 15.0  # seconds that Modal may take to answer
TURN = 1.0  # seconds between two looks at a task's progress, for whoever waits
DEPLOY = 'Deploy it: modal deploy -m modal_functions.app'
GPU_FUNCTIONS: Mapping[str, str] = {'tft': 'forecast_gpu'}  # model → function, for models that need a GPU
GPU_MEMORY = 2**31  # bytes that such a function may use beside a task's own: CUDA takes them before it works

T = TypeVar('T')


class ModalCompute:
    """Compute at Modal (`core.ports.Compute`): calls outlive us and are known by Modal's id.

    A function may use `memory` bytes and `timeout` seconds; its container is limited by what was deployed. Progress is
    read from the object that the function keeps beside its results (`modal_functions.run`), as it has no access to
    Modal, where it could have told it.

    Modal's client unpickles what a function returns or raises: whoever answers in its place runs code here. So nothing
    that a user sends is opened in a function itself, but in a child process of it that answers in JSON.
    """

    durable = True

    def __init__(
        self,
        app: str,
        *,
        environment: str | None,
        token_id: str,
        token_secret: str,
        objects: ObjectStore,
        memory: int,
        timeout: float,
    ) -> None:
        """Nothing connects yet."""
        self._app = app
        self._environment = environment
        self._token = (token_id, token_secret)
        self._objects = objects
        self._limits = {'memory': memory, 'timeout': timeout}
        self._opening = asyncio.Lock()
        self._opened: modal.Client | None = None

    async def submit(self, task: str, payload: Mapping[str, Any]) -> str:
        """Start a task and return a call id: Modal's, and the prefix of the task's objects.

        Raise Misconfigured when the app is not deployed or the token is refused, Unavailable when Modal does not
        answer or takes no more calls.
        """
        name = _function(task, payload)
        try:
            function = modal.Function.from_name(
                self._app, name, environment_name=self._environment, client=await self._client()
            )
            limits = {**self._limits, 'memory': self._limits['memory'] + (GPU_MEMORY if name != task else 0)}
            call = await _answered(function.spawn.aio({'payload': dict(payload), **limits}))
        except NotFound as error:
            raise Misconfigured(f'Modal has no function {name} in the app {self._app}. {DEPLOY}') from error
        return f'{call.object_id} {payload.get("prefix", "")}'.strip()

    async def collect(self, call_id: str, *, progress: Progress, timeout: float) -> Mapping[str, Any] | None:
        """Return the task's result, or None when it is not ready within `timeout` seconds; progress is told meanwhile.

        Raise the task's own error, TaskKilled when it crashed, TaskOverLimit when it passed a limit, TaskCancelled when
        it was stopped, by us or at Modal, NotFound for an unknown call; Unavailable when Modal does not answer: the
        call goes on.
        """
        call, prefix = await self._call(call_id)
        until = time.monotonic() + timeout
        while True:
            left = max(0.0, until - time.monotonic())
            answer = await _answered(_ready(call, min(left, TURN)), wait=TURN)
            if answer is not None:
                return _result(answer)
            await self._tell(prefix, progress)
            if left <= TURN:
                return None

    async def cancel(self, call_id: str) -> None:
        """Stop the task with its container. A call that has ended, or is unknown, stays as it is.

        Raise Unavailable when Modal does not do so now: the task may go on.
        """
        try:
            call, _ = await self._call(call_id)
            await _answered(call.cancel.aio(terminate_containers=True))
        except NotFound:
            return
        except TaskFailed as error:
            raise Unavailable(f'Modal did not stop the task: {error.message}') from error

    async def close(self) -> None:
        """Let go of the connection. Calls go on."""
        async with self._opening:
            if self._opened is not None:
                await self._opened.close.aio()
                self._opened = None

    async def _client(self) -> modal.Client:
        async with self._opening:
            if self._opened is None:
                self._opened = await _answered(modal.Client.from_credentials.aio(*self._token))
            return self._opened

    async def _call(self, call_id: str) -> tuple['modal.FunctionCall[Any]', str]:
        modal_id, _, prefix = call_id.partition(' ')
        if not modal_id.startswith('fc-'):
            raise NotFound('There is no such call.')
        return modal.FunctionCall.from_id(modal_id, client=await self._client()), prefix

    async def _tell(self, prefix: str, progress: Progress) -> None:
        """Tell what the function has said last. Whoever cannot hear it now will later."""
        if not prefix:
            return
        try:
            said = json.loads(await self._objects.get(f'{prefix}/progress.json'))
            progress(min(1.0, max(0.0, float(said['part']))), str(said['text']))
        except (NotFound, Unavailable, ValueError, TypeError, LookupError, OverflowError):
            return


def _function(task: str, payload: Mapping[str, Any]) -> str:
    """Return the name of the function that runs a task: the task's own, unless its model needs a GPU."""
    match payload:
        case {'request': {'models': [str(model)]}}:
            return GPU_FUNCTIONS.get(model, task)
    return task


async def _ready(call: 'modal.FunctionCall[Any]', timeout: float) -> Any:
    """Return what the function returned, or None when it has not ended within `timeout` seconds."""
    try:
        return await call.get.aio(timeout=timeout)
    except TimeoutError:
        return None


async def _answered(asked: Awaitable[T], *, wait: float = 0.0) -> T:
    """Return what Modal answers within `wait` seconds and our patience; raise what it says in our own errors."""
    # What a call raises may be anything that its function raised, so it is looked at and not caught.
    try:
        async with asyncio.timeout(wait + PATIENCE):
            (answer,) = await asyncio.gather(asked, return_exceptions=True)
    except TimeoutError as error:
        raise Unavailable('Modal does not answer. Try again in a moment.') from error
    if isinstance(answer, BaseException):
        raise _translated(answer) from answer
    return answer


def _translated(error: BaseException) -> BaseException:
    message = str(error)[:300]
    match error:
        case told.InputCancellation():
            return TaskCancelled()
        case asyncio.CancelledError():
            return Unavailable('Modal has dropped the question. Try again in a moment.')
        case told.FunctionTimeoutError():
            return TaskOverLimit('The task took longer than its function may. Use less data, or raise the limit.')
        case told.OutputExpiredError():
            return TaskKilled('The result was not fetched in time and is gone.')
        case told.InternalFailure():
            return TaskKilled(f'The machine of the task was lost ({message or "no reason was told"}).')
        case told.NotFoundError():
            return NotFound('Modal knows nothing under this name.')
        case told.AuthError() | told.PermissionDeniedError() | told.VersionError():
            return Misconfigured(f'Modal refuses us: {message}. Check MODAL_TOKEN_ID and MODAL_TOKEN_SECRET.')
        case told.RemoteError() if not message or 'cancel' in message.lower():
            return TaskCancelled(message)
        case told.RemoteError() | told.ExecutionError() | told.DeserializationError():
            return TaskFailed(f'The task failed at Modal ({message}).')
        case told.InvalidError() | told.SerializationError() | told.RequestSizeError():
            return TaskFailed(f'Modal does not take this task ({message}).')
        case told.ResourceExhaustedError():
            return Unavailable('Modal takes no more calls for now. Try again in a moment.')
        case told.Error() | OSError():
            return Unavailable('Modal does not answer. Try again in a moment.')
        case Exception() if 'queue seems to be full' in message:  # Modal has no type of its own for it
            return Unavailable('Modal takes no more calls for now. Try again in a moment.')
        case Exception():
            return TaskFailed(f'The task failed unexpectedly ({type(error).__name__}: {message}).')
    return error


def _result(frame: Any) -> dict[str, Any]:
    match frame:
        case {'result': dict(result), 'seconds': float(seconds)}:
            return {**result, 'seconds': seconds}
        case {'error': [str(name), str(message), dict(details)]}:
            raise from_words(name, message, details)
    raise TaskFailed('The task answered with something else than a result.')
