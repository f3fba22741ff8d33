"""Messages from the core to an open page."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

import structlog
from nicegui import Client, app, background_tasks, context
from nicegui.element import Element
from nicegui.slot import Slot

from core.errors import NotFound, VariosyncError

log = structlog.get_logger()

PAUSE = 5.0
HERE: WeakKeyDictionary[Client, asyncio.Event] = WeakKeyDictionary()


class _Closed(Slot):
    """The place in a page that is gone: whoever would draw there is cancelled."""

    def __enter__(self) -> NoReturn:
        raise asyncio.CancelledError('The page is gone.')


def follow(
    events: Any,
    channel: str,
    on_message: Callable[[Mapping[str, Any]], Any],
    *,
    within: Element,
    on_ready: Callable[[], Any] | None = None,
    on_lost: Callable[[], Any] | None = None,
    keeps: bool = True,
) -> None:
    """Call `on_message` in this page, in the slot of `within`, for every message on a channel, until the page is gone.

    Neither callback is called once the page's session has ended. Both may be async; one that comes back from awaiting
    after the page is gone ends where it would draw, in `within` or beside it. `on_ready` is called whenever listening
    has begun, or the browser is back and was told something meanwhile: what it reads then, together with the messages
    that follow, leaves nothing out. When the events fail, or the accounts, listening begins again after a pause, and
    `on_lost` is called before it.

    A page that its browser has left lives on for half a minute: nothing is read or drawn for it, and what is due waits
    until the browser is back. Messages of a channel that does not keep them (`keeps`) are passed over.
    """
    client = context.client
    here = _here(client)

    def gone() -> bool:
        return client.is_deleted or within.is_deleted

    async def listen() -> None:
        while not gone():
            try:
                async with events.subscribe(channel) as messages:
                    if on_ready:
                        await call(on_ready)
                    if gone():
                        return
                    async for message in messages:
                        if keeps and on_ready and not here.is_set():
                            await call(on_ready)  # of very much that is told meanwhile, the first is lost
                        if keeps or here.is_set():
                            await call(on_message, message)
                        if gone():
                            return
            except VariosyncError as error:
                log.warning('page lost its events', channel=channel, error=error.message)
                if on_lost and not gone():
                    with within:
                        on_lost()
            await asyncio.sleep(PAUSE)

    async def call(callback: Callable[..., Any], *values: Any) -> None:
        await here.wait()
        # The message that a session has ended elsewhere may be lost; nobody is told anything because of that.
        if gone() or not await app.state.sockets.admits(client) or gone():
            return
        with within:
            try:
                result = callback(*values)
                if asyncio.iscoroutine(result):
                    await result
            except NotFound as error:  # it was deleted meanwhile: who shows it is told by that message
                log.info('a message told of what is gone', channel=channel, error=error.message)

    def close() -> None:
        task.cancel()
        # Some awaitables finish although they are cancelled, and the callback would go on and draw.
        place = None if within.is_deleted else within.parent_slot
        for element in place.children if place else [within]:
            element.default_slot = _Closed(element, 'default')

    task = background_tasks.create(listen(), name=f'listen to {channel}')
    client.on_delete(close)


def _here(client: Client) -> asyncio.Event:
    """What is set until a page's browser leaves, and once it is back."""
    if client not in HERE:
        here = HERE[client] = asyncio.Event()
        here.set()
        client.on_connect(here.set)
        client.on_disconnect(lambda: None if client.has_socket_connection else here.clear())
    return HERE[client]
