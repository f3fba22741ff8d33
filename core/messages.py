"""Messages to whoever listens, that never undo what they tell of."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import structlog

from core.errors import VariosyncError
from core.ports import Events

QUIET = 2.0  # seconds without a further try, so that no use case waits for a service that is away

log = structlog.get_logger()


class BestEffort:
    """Events (`core.ports.Events`) whose `publish` is told after a commit and so must not fail.

    What cannot be sent is dropped and logged: a page reads the database when it opens and does not live on messages.
    """

    def __init__(self, events: Events) -> None:
        self._events = events
        self._quiet_until = 0.0

    async def publish(self, channel: str, message: Mapping[str, Any]) -> None:
        """Tell everyone who listens on channel, if that is possible now."""
        if time.monotonic() < self._quiet_until:
            return
        try:
            await self._events.publish(channel, message)
        except VariosyncError as error:
            self._quiet_until = time.monotonic() + QUIET
            log.warning('messages are dropped', seconds=QUIET, error=error.message)

    def subscribe(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[Mapping[str, Any]]]:
        """Messages published on this channel after the block was entered, in order. Raise Unavailable as they do."""
        return self._events.subscribe(channel)
