"""A Compute that does what a test says: answer, raise, hang, or answer twice."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from core.errors import NotFound, TaskCancelled
from core.ports import Progress


class ScriptedCompute:
    """Runs `script(task, payload)` in place of a child; a script that returns None hangs until it is cancelled.

    `words` are told as progress; with None, none is.
    """

    durable = False

    def __init__(self, script: Callable[[str, Mapping[str, Any]], Any]) -> None:
        self.script = script
        self.words: str | None = 'Half way'
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.cancelled: list[str] = []

    async def submit(self, task: str, payload: Mapping[str, Any]) -> str:
        self.calls.append((task, payload))
        return str(len(self.calls) - 1)

    async def collect(self, call_id: str, *, progress: Progress, timeout: float) -> Mapping[str, Any] | None:
        if int(call_id) >= len(self.calls):
            raise NotFound()
        if call_id in self.cancelled:
            raise TaskCancelled()
        if self.words is not None:
            progress(0.5, self.words)
        answer = self.script(*self.calls[int(call_id)])
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            await asyncio.sleep(min(timeout, 0.05))
        return answer

    async def cancel(self, call_id: str) -> None:
        self.cancelled.append(call_id)

    async def close(self) -> None:
        return


class DurableCompute(ScriptedCompute):
    """The same, whose calls outlive the worker; `dies` raises at a point, and `gate` holds back what submit answers."""

    durable = True

    def __init__(self, script: Callable[[str, Mapping[str, Any]], Any]) -> None:
        super().__init__(script)
        self.dies: tuple[str, BaseException] | None = None
        self.gate: asyncio.Event | None = None

    async def submit(self, task: str, payload: Mapping[str, Any]) -> str:
        self._pass('before submit')
        call_id = await super().submit(task, payload)
        if self.gate is not None:
            await self.gate.wait()
        self._pass('after submit')
        return call_id

    async def collect(self, call_id: str, *, progress: Progress, timeout: float) -> Mapping[str, Any] | None:
        self._pass('before collect')
        return await super().collect(call_id, progress=progress, timeout=timeout)

    async def cancel(self, call_id: str) -> None:
        self._pass('before cancel')
        await super().cancel(call_id)

    def _pass(self, point: str) -> None:
        if self.dies is not None and self.dies[0] == point:
            raise self.dies[1]
