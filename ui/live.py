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


def follow(
    events: Any,
    channel: str,
    on_message: Callable[[Mapping[str, Any]], Any],
    *,
    within: Element,
    on_ready: Callable[[], Any] | None = None,
) -> None:
    """Call `on_message` in this page, in the slot of `within`, for every message on a channel, until the page is gone.

    Both callbacks may be async. `on_ready` is called whenever listening has begun: what it reads then, together with
    the messages that follow, leaves nothing out. When the events fail, listening begins again after a pause.
    """
    client = context.client

    async def listen() -> None:
        while not client.is_deleted:
            try:
                async with events.subscribe(channel) as messages:
                    if on_ready:
                        await call(on_ready)
                    async for message in messages:
                        await call(on_message, message)
            except VariosyncError as error:
                log.warning('page lost its events', channel=channel, error=error.message)
            await asyncio.sleep(PAUSE)

    async def call(callback: Callable[..., Any], *values: Any) -> None:
        if client.is_deleted or within.is_deleted:
            return
        with within:
            result = callback(*values)
            if asyncio.iscoroutine(result):
                await result

    task = background_tasks.create(listen(), name=f'listen to {channel}')
    client.on_delete(lambda: task.cancel() and None)
