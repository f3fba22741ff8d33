"""Who looks at a page: the processes that serve its open pages tell one another, and one that falls silent is gone."""

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any, ClassVar
from uuid import uuid4

import structlog
from nicegui import background_tasks, context

from core.errors import VariosyncError
from core.ports import Events
from core.values import Session
from ui.components.parts import tag

log = structlog.get_logger()

BEAT = 10.0
GONE = 25.0
SHOWN = 3
MOST = 100  # names that another process is believed


class Presence:
    """Faces of the open pages of one subject; `follow` shows them and counts this page among them."""

    def __init__(self, events: Events, session: Session, subject: str) -> None:
        self._events = events
        self._channel = f'{session.user.id}/{subject}/presence'
        self._room: Room | None = None
        self.name = session.user.name or session.user.email
        self._box = tag('div', classes='hs faces wide-only', aria_live='polite', data_here='1')

    def follow(self) -> None:
        """Be here from when a browser has opened the page until the page is gone."""
        client = self._client = context.client
        client.on_connect(self.come_back)
        # A page that was closed or loaded anew often has no time to say so; one that was only cut off comes back.
        client.on_disconnect(self._cut_off)
        client.on_delete(lambda: background_tasks.create(self.leave(), name='leave a page'))

    async def leave(self) -> None:
        """Be gone at once: the server learns of a closed page only when it has not come back for a while."""
        room, self._room = self._room, None
        if room:
            await room.leave(self)

    async def _cut_off(self) -> None:
        if not self._client.has_socket_connection:
            await self.leave()

    async def come_back(self) -> None:
        """Be here; also when the browser shows the page again as it was left."""
        if self._room is None:
            self._room = Room.of(self._events, self._channel)
            await self._room.enter(self)

    def show(self, names: list[str]) -> None:
        """Draw who is here when there are others."""
        if self._box.is_deleted:
            return
        self._box.props['data-here'] = str(len(names))
        self._box.clear()
        with self._box:
            if len(names) == 1:
                return
            for place, name in enumerate(names[:SHOWN]):
                tag('span', name[:1].upper(), f'av c{place % 5 + 1}', title=name)
            tag('span', f'{len(names)} here', 't12 t3')


class Room:
    """The open pages of one subject that this process serves, and what other processes tell of theirs."""

    open: ClassVar[dict[str, 'Room']] = {}

    def __init__(self, events: Events, channel: str) -> None:
        self._events = events
        self._channel = channel
        self._me = uuid4().hex
        self._pages: list[Presence] = []
        self._others: dict[str, tuple[list[str], float]] = {}
        self._shown: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def of(cls, events: Events, channel: str) -> 'Room':
        """This process's room on a channel; it is closed with its last page."""
        if channel not in cls.open:
            cls.open[channel] = cls(events, channel)
        return cls.open[channel]

    async def enter(self, page: Presence) -> None:
        """Count a page, and tell of it."""
        self._pages.append(page)
        self._draw(fresh=page)
        if not self._tasks:
            self._tasks = [asyncio.create_task(task) for task in (self._listen(), self._beat())]
        else:
            await self._tell()

    async def leave(self, page: Presence) -> None:
        """Count it no longer, and tell of that."""
        self._pages.remove(page)
        self._draw()
        if not self._pages:
            for task in self._tasks:
                task.cancel()
            if self.open.get(self._channel) is self:
                del self.open[self._channel]
        await self._tell()

    async def _listen(self) -> None:
        while True:
            try:
                async with self._events.subscribe(self._channel) as messages:
                    await self._tell(asking=True)
                    async for message in messages:
                        await self._heard(message)
            except VariosyncError as error:
                log.warning('page lost its events', channel=self._channel, error=error.message)
            await asyncio.sleep(BEAT)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            late = [one for one, (_, heard) in self._others.items() if monotonic() - heard > GONE]
            for one in late:
                del self._others[one]
            self._draw()
            await self._tell()

    async def _tell(self, *, asking: bool = False) -> None:
        message = {'from': self._me, 'names': [page.name for page in self._pages][:MOST], 'asking': asking}
        try:
            await self._events.publish(self._channel, message)
        except VariosyncError as error:
            log.warning('presence is not told', channel=self._channel, error=error.message)

    async def _heard(self, message: Mapping[str, Any]) -> None:
        one, names = str(message.get('from', '')), message.get('names')
        if one == self._me or not isinstance(names, list):
            return
        self._others.pop(one, None)
        if names:
            self._others[one] = [str(name)[:100] for name in names[:MOST]], monotonic()
        self._draw()
        if message.get('asking'):
            await self._tell()

    def _draw(self, *, fresh: Presence | None = None) -> None:
        names = [page.name for page in self._pages] + [name for names, _ in self._others.values() for name in names]
        changed, self._shown = names != self._shown, names
        for page in self._pages if changed else [fresh] if fresh else []:
            page.show(names)
