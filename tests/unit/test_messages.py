"""Messages that never undo what they tell of."""

from types import SimpleNamespace
from typing import Any

import pytest

from core import messages
from core.errors import Unavailable
from core.messages import QUIET, BestEffort


class Events:
    """Events that are away as long as they are told to be."""

    def __init__(self) -> None:
        self.away = True
        self.tried: list[Any] = []

    async def publish(self, channel: str, message: Any) -> None:
        self.tried.append(message['n'])
        if self.away:
            raise Unavailable('Nobody carries messages.')


async def test_what_cannot_be_sent_is_dropped_and_tried_again_only_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(messages, 'time', SimpleNamespace(monotonic=lambda: now[0]))
    events = Events()
    told = BestEffort(events)  # type: ignore[arg-type]
    await told.publish('t/jobs', {'n': 1})
    await told.publish('t/jobs', {'n': 2})
    assert events.tried == [1], 'no use case waits for a service that was just found away'
    now[0] += QUIET
    events.away = False
    for n in (3, 4):
        await told.publish('t/jobs', {'n': n})
    assert events.tried == [1, 3, 4]
