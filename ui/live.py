"""Messages from the core to an open page."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from nicegui import background_tasks, context
from nicegui.element import Element

from core.errors import VariosyncError

log = structlog.get_logger()

PAUSE = 5.0


def follow(events: Any, channel: str, on_message: Callable[[Mapping[str, Any]], Any], *, within: Element) -> None:
    """Call `on_message` in this page, in the slot of `within`, for every message on a channel, until the page is gone.

    `on_message` may be async. When the events fail it listens again after a pause; messages of that time are lost, so
    a page reads its state afresh after each message rather than counting on all of them.
    """
    client = context.client

    async def listen() -> None:
        while not client.is_deleted:
            try:
                async with events.subscribe(channel) as messages:
                    async for message in messages:
                        await _tell(message)
            except VariosyncError as error:
                log.warning('page lost its events', channel=channel, error=error.message)
            await asyncio.sleep(PAUSE)

    async def _tell(message: Mapping[str, Any]) -> None:
        if client.is_deleted or within.is_deleted:
            return
        with within:
            result = on_message(message)
            if asyncio.iscoroutine(result):
                await result

    task = background_tasks.create(listen(), name=f'listen to {channel}')
    client.on_delete(lambda: task.cancel() and None)
