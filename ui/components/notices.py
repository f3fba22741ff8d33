"""The bell: what the user should know, kept until read, and told at once on every open page."""

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import context

from core.errors import VariosyncError
from core.values import Notice, Session
from ui.components.parts import button, icon, icon_button, tag
from ui.components.times import ago
from ui.components.toast import toast
from ui.live import follow

ICONS = {'good': 'circle-check', 'info': 'info', 'warn': 'triangle-alert', 'bad': 'circle-alert'}


class Bell:
    """The bell's button and the list that it opens."""

    def __init__(self, services: Any, session: Session) -> None:
        self._services = services
        self._user_id = session.user.id
        self._button = icon_button('bell', 'Notices', popovertarget='notices')
        with self._button:
            self._dot = tag('span', classes='dot').style('display: none')

    def panel(self) -> None:
        """Draw the list; the frame calls this where menus stand. It fills once a browser listens."""
        with tag('div', classes='menu notices', id='notices', popover='auto'):
            with tag('header'):
                tag('h2', 'Notices')
                button('Mark all as read', kind='ghost small', on_click=self._read)
            self._list = tag('div', classes='list')
        self._following = False
        # Only once a browser is there: a page that is fetched and never opened follows nothing.
        context.client.on_connect(self._follow_once)

    def _follow_once(self) -> None:
        if self._following:
            return
        self._following = True
        channel = f'{self._user_id}/notices'
        with self._list:
            follow(self._services.events, channel, self._arrived, within=self._list, on_ready=self._fill)

    async def _arrived(self, message: Mapping[str, Any]) -> None:
        if 'title' in message:
            links = [('Open', str(message['link']))] if message.get('link') else []
            toast(str(message['title']), str(message.get('text', '')), level=_level(message.get('level')), links=links)
        await self._fill()

    async def _fill(self) -> None:
        try:
            notices = await self._services.notices.latest(self._user_id, limit=20)
            unread = await self._services.notices.unread(self._user_id)
        except VariosyncError:
            return  # the page has its own way to say that a service is gone
        if not self._list.is_deleted:
            self._show(notices, unread)

    def _show(self, notices: Sequence[Notice], unread: int) -> None:
        name = f'Notices, {unread} unread' if unread else 'Notices'
        self._button.props.update({'aria-label': name, 'title': name})
        self._dot.style('display: block' if unread else 'display: none')
        self._list.clear()
        with self._list:
            if not notices:
                tag('p', 'Nothing yet. Finished conversions and forecasts are told here.', 't3').style('padding: 16px')
            for notice in notices:
                _draw(notice)

    async def _read(self) -> None:
        await self._services.notices.read_all(self._user_id)
        await self._fill()


def _draw(notice: Notice) -> None:
    level = _level(notice.level)
    classes = f'notice {level}' + ('' if notice.read_at else ' new')
    with tag('a' if notice.link else 'div', classes=classes, href=notice.link):
        icon(ICONS[level])
        with tag('div', classes='vs grow'):
            tag('span', notice.title, 'w5')
            if notice.text:
                tag('span', notice.text, 't12 t2')
        tag('span', ago(notice.created_at), 't12 t3 nowrap')


def _level(level: Any) -> str:
    return level if level in ICONS else 'info'
