"""The bell: what the user should know, new until its list is opened, and told once: at once, or by the next page."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from nicegui import context
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from core.errors import VariosyncError
from core.values import JobState, Notice, Session
from ui.components.parts import icon, icon_button, tag
from ui.components.times import when
from ui.components.toast import toast
from ui.live import follow

ICONS = {'good': 'circle-check', 'info': 'info', 'warn': 'triangle-alert', 'bad': 'circle-alert'}
PAGE = '/notices'
IN_PANEL = 20
DATASET = re.compile(r'/datasets/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![^?#])')
MOST = 99  # unread notices that are counted one by one


class Bell:
    """The bell's button and the list that it opens."""

    def __init__(self, services: Any, session: Session) -> None:
        self._services = services
        self._user_id = session.user.id
        self._shown: set[str] = set()
        self._last: Element | None = None
        self._others = 0
        self._open = False
        self._fresh: set[UUID] = set()  # unread when the list was opened: marked until it closes
        self._button = icon_button('bell', 'Notices', popovertarget='notices')
        with self._button:
            self._count = tag('span', classes='count', aria_hidden='true').style('display: none')

    def panel(self) -> None:
        """Draw the list; the frame calls this where menus stand. It fills once a browser listens."""
        with tag('div', classes='menu notices', id='notices', popover='auto').on('toggle', self._toggled, ['newState']):
            with tag('header'):
                tag('h2', 'Notices')
            self._list = tag('div', classes='list')
            with tag('footer'):
                tag('a', 'All notices', 'link', href=PAGE)
        self._client = context.client
        self._following = False
        # Only once a browser is there: a page that is fetched and never opened follows nothing.
        self._client.on_connect(self._connected)

    async def _connected(self) -> None:
        """Begin to follow, or tell what came while the browser's socket was away."""
        with self._list:
            if self._following:
                await self._catch_up()
                return
            self._following = True
            channel, ready = f'{self._user_id}/notices', self._catch_up
            follow(self._services.events, channel, self._arrived, within=self._list, on_ready=ready, keeps=False)

    async def _arrived(self, message: Mapping[str, Any]) -> None:
        # A page lives on for a while after its tab was closed; nobody sees what it tells.
        seen = self._client.has_socket_connection
        if seen and 'title' in message and message.get('id') not in self._shown:
            self._toast(message)
            if message.get('id'):
                await self._services.notices.told(self._user_id, message['id'])
        await self._fill()
        if seen:  # a job has ended, mostly: the rail counts those that run
            self._client.run_javascript('variosyncRail()')

    def _toast(self, message: Mapping[str, Any]) -> None:
        """Tell of a notice; one that came just before makes room and is counted, unless it is an error."""
        last = self._last
        if last is not None and not last.is_deleted:
            last.delete()
            self._others += 1
        else:
            self._others = 0
        link = str(message.get('link') or '')
        links = [('Open', link)] if link and not self._is_here(link) else []
        text, level = str(message.get('text', '')), _level(message.get('level'))
        if self._others:
            text = f'{text} And {self._others} more.'.lstrip()
            links.append(('All notices', PAGE))
        note = toast(str(message['title']), text, level=level, links=links)
        self._last = None if level == 'bad' else note

    def _is_here(self, link: str) -> bool:
        """Whether a link leads to the page that stands here, which shows by itself what has come."""
        request = self._client.request
        return request is not None and urlsplit(link).path == request.url.path

    async def _catch_up(self) -> None:
        """Tell of what came while no page was open, if it matters, in one toast."""
        if not self._client.has_socket_connection:
            return
        try:
            missed = await self._services.notices.untold(self._user_id)
            right = await settled(self._services, self._user_id, missed)
        except VariosyncError:
            return  # the page has its own way to say that a service is gone
        urgent = [notice for notice in missed if notice.level in ('warn', 'bad') and notice.id not in right]
        self._shown.update(str(notice.id) for notice in urgent)
        if urgent and not self._list.is_deleted:
            _tell(urgent)
        await self._fill()

    async def _fill(self) -> None:
        try:
            notices = await self._services.notices.latest(self._user_id, limit=IN_PANEL)
            right = await settled(self._services, self._user_id, notices)
            unread = await self._services.notices.unread(self._user_id)
        except VariosyncError:
            return  # the page has its own way to say that a service is gone
        if self._list.is_deleted:
            return
        new = [notice for notice in notices if notice.read_at is None and notice.id not in right]
        if self._open:
            self._fresh.update(notice.id for notice in new)
        seen = [notice.id for notice in new if self._open or self._is_here(notice.link or '')]
        if seen:
            unread -= len(seen)
            await self._services.notices.read_listed(self._user_id, seen)
        self._show(notices, unread, right)

    async def _toggled(self, event: GenericEventArguments) -> None:
        """What the list shows is read: the count says at once what is left, the marks stay until it closes."""
        self._open = event.args.get('newState') == 'open'
        if not self._open:
            self._fresh.clear()
        await self._fill()

    def _show(self, notices: Sequence[Notice], unread: int, right: Collection[UUID]) -> None:
        name = f'Notices, {unread} unread' if unread else 'Notices'
        self._button.props.update({'aria-label': name, 'title': name})
        self._count.text = f'{MOST}+' if unread > MOST else str(unread)
        self._count.style('display: grid' if unread else 'display: none')
        self._list.clear()
        with self._list:
            if not notices:
                tag('p', 'Nothing yet. Finished conversions and forecasts are told here.', 't3').style('padding: 16px')
            for notice in notices:
                new = notice.read_at is None or notice.id in self._fresh
                notice_line(notice, new=new, right=notice.id in right)


async def settled(services: Any, user_id: UUID, notices: Sequence[Notice]) -> Collection[UUID]:
    """Return the notices of failures that were put right since, of which nobody has to read any more.

    They tell of conversions, and the newest one of every file of their dataset has succeeded.
    """
    failed = {one.id: UUID(of[1]) for one in notices if one.level == 'bad' and (of := DATASET.match(one.link or ''))}
    if not failed:
        return ()
    stand = await services.jobs.states(user_id, set(failed.values()))
    fine = {dataset for dataset, one in stand.items() if one.state == JobState.SUCCEEDED and not one.outside}
    right = [notice for notice, dataset in failed.items() if dataset in fine]
    if unread := [one.id for one in notices if one.id in right and one.read_at is None]:
        await services.notices.read_listed(user_id, unread)
    return right


def notice_line(notice: Notice, *, new: bool, right: bool = False, acts: Callable[[], Any] | None = None) -> Element:
    """A notice with its sign, its words and its age; one with a link is a link unless `acts` draws what can be done.

    Of a failure that was put `right` since only that is told.
    """
    level, linked = 'info' if right else _level(notice.level), notice.link and acts is None
    new, text = new and not right, 'Corrected since.' if right else notice.text
    classes = f'notice {level}' + (' new' if new else '')
    row = tag('a' if linked else 'div', classes=classes, href=notice.link if linked else None)
    with row:
        icon(ICONS[level])
        with tag('div', classes='vs grow'):
            tag('span', notice.title, 'w5')
            if text:
                tag('span', text, 't12 t2')
        when(notice.created_at, 't12 t3 nowrap')
        if acts:
            with tag('div', classes='acts'):
                acts()
    return row


def _tell(missed: Sequence[Notice]) -> None:
    first = missed[0]
    if len(missed) == 1:
        toast(first.title, first.text, level=first.level, links=[('Open', first.link)] if first.link else [])
        return
    level = 'bad' if any(notice.level == 'bad' for notice in missed) else 'warn'
    others = len(missed) - 1
    text = f'The latest: {first.title}. And {others} more.'
    toast('While you were away', text, level=level, links=[('All notices', PAGE)])


def _level(level: Any) -> str:
    return level if level in ICONS else 'info'
