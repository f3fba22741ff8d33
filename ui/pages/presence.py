"""Who looks at a page: its open pages tell one another by messages, and one that says nothing for a while is gone."""

from collections.abc import Mapping
from time import monotonic
from typing import Any
from uuid import uuid4

from nicegui import background_tasks, context, ui
from nicegui.element import Element

from core.ports import Events
from core.values import Session
from ui.components.parts import tag
from ui.live import follow

BEAT = 10.0
GONE = 25.0
SHOWN = 3


class Presence:
    """Faces of the open pages of one subject; `follow` begins to listen and to tell."""

    def __init__(self, events: Events, session: Session, subject: str) -> None:
        self._events = events
        self._channel = f'{session.user.id}/{subject}/presence'
        self._me = uuid4().hex[:12]
        self._name = session.user.name or session.user.email
        self._here = True
        self._others: dict[str, tuple[str, float]] = {}
        self._box = tag('div', classes='hs faces wide-only', aria_live='polite', data_here='1')

    def follow(self, *, within: Element) -> None:
        """Tell the others of this page, and hear of theirs, until the page is gone."""
        follow(self._events, self._channel, self._heard, within=within, on_ready=lambda: self._tell(asking=True))
        timer = ui.timer(BEAT, self._beat)
        context.client.on_delete(lambda: background_tasks.create(self.leave(), name='leave a page'))
        context.client.on_delete(lambda: timer.cancel())

    async def leave(self) -> None:
        """Tell the others at once: the server learns of a closed page only when it has not come back for a while."""
        self._here = False
        await self._events.publish(self._channel, {'page': self._me, 'gone': True})

    async def come_back(self) -> None:
        """The browser shows the page again as it was left."""
        self._here = True
        await self._tell(asking=True)

    async def _beat(self) -> None:
        self._forget()
        await self._tell()

    async def _tell(self, *, asking: bool = False) -> None:
        if self._here:
            await self._events.publish(self._channel, {'page': self._me, 'name': self._name, 'asking': asking})

    async def _heard(self, message: Mapping[str, Any]) -> None:
        page = str(message.get('page', ''))
        if page == self._me:
            return
        before = [name for name, _ in self._others.values()]
        if message.get('gone'):
            self._others.pop(page, None)
        else:
            self._others[page] = str(message.get('name', ''))[:100], monotonic()
            if message.get('asking'):
                await self._tell()
        if before != [name for name, _ in self._others.values()]:
            self._draw()

    def _forget(self) -> None:
        late = [page for page, (_, heard) in self._others.items() if monotonic() - heard > GONE]
        for page in late:
            del self._others[page]
        if late:
            self._draw()

    def _draw(self) -> None:
        here = [self._name, *(name for name, _ in self._others.values())]
        self._box.props['data-here'] = str(len(here))
        self._box.clear()
        with self._box:
            if len(here) == 1:
                return
            for place, name in enumerate(here[:SHOWN]):
                tag('span', name[:1].upper(), f'av c{place % 5 + 1}', title=name)
            tag('span', f'{len(here)} here', 't12 t3')
