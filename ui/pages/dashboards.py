"""Dashboards: the list, and a new one from a dataset in one press."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from nicegui import ui

from core.dashboards import Line
from core.errors import NotFound
from core.services import Services
from core.values import Dataset, Session
from ui.components.deleted import DeletedPage, deleted_link, undo_note, was_deleted
from ui.components.finder import OFFERED, Find, finder
from ui.components.formats import counted
from ui.components.jobs import Changes
from ui.components.paging import Paging
from ui.components.parts import button, card, field, icon, icon_button, page_head, tag
from ui.components.spark import spark
from ui.components.states import empty_state
from ui.components.table import Column, table
from ui.components.times import when
from ui.components.toast import toast
from ui.live import follow
from ui.session import actor, current
from ui.theme import PATIENCE, frame

RAIL = 'variosyncRail()'
PAGE = 30  # dashboards
DELETED = '/dashboards?show=deleted'


def register(services: Services) -> None:
    """Serve `/dashboards`."""

    @ui.page('/dashboards', response_timeout=PATIENCE)
    async def dashboards(q: str = '', page: str = '', show: str = '', deleted: str = '') -> None:
        if show == 'deleted':
            with frame(services, ('Dashboards', '/dashboards'), 'Deleted', active='/dashboards') as session:
                await _deleted_page(services, session.user.id, page).draw(services.events, session.user.id)
            return
        with frame(services, 'Dashboards', active='/dashboards') as session:
            paging = Paging('/dashboards', 'dashboard', query=q, page=page, count=PAGE)
            await _Dashboards(services, session, paging).draw(deleted)


class _Dashboards:
    """The dashboards of a user, a page at a time."""

    def __init__(self, services: Services, session: Session, paging: Paging) -> None:
        self._services = services
        self._session = session
        self._paging = paging
        self._changes = Changes()
        self._drawing = asyncio.Lock()

    async def draw(self, deleted: str) -> None:
        """Draw the head, the way to a new one, the search and the list, and follow what happens to them."""
        user_id = self._session.user.id
        find = partial(self._services.datasets.list, user_id, converted=True, limit=OFFERED)
        self._ready = await find()
        self._head = tag('div')
        self._undo = tag('div', classes='slot')
        if gone := await was_deleted(deleted, lambda asked: self._services.dashboards.kept_until(user_id, asked)):
            _undo(self._services, self._undo, *gone)
        _build(self._services, self._ready, find)
        self._paging.place(self._refresh)
        self._box = tag('div', classes='stack')
        await self._refresh()

        async def changed(_: Mapping[str, Any]) -> None:
            await self._refresh()
            ui.run_javascript(RAIL)

        ours = f'{user_id}/dashboards'
        follow(self._services.events, ours, changed, within=self._box, on_ready=self._refresh)

    async def _refresh(self) -> None:
        async with self._drawing:  # what was read last is drawn last
            await self._draw_list()

    async def _draw_list(self) -> None:
        user_id, paging, wanted = self._session.user.id, self._paging, (self._paging.query, self._paging.page)
        every = await self._services.dashboards.list(user_id)
        found = [one for one in every if paging.query.casefold() in one.name.casefold()]
        page, before = paging.bounds(len(found))
        lines = found[before : before + PAGE]
        drawn = {UUID(one) for line in lines for one in line.datasets}
        datasets = await self._services.datasets.list(user_id, ids=drawn) if drawn else []
        gone = await self._services.dashboards.count_deleted(user_id)
        # A menu that is open would go; who has typed on meanwhile waits for what was typed last.
        if wanted != (paging.query, paging.page) or not self._changes.seen(paging.query, page, lines, len(found), gone):
            return
        paging.page = page
        self._draw_head(len(every), len(found), gone)
        self._box.clear()
        with self._box:
            with card():
                if lines:
                    _List(self._services, self._session, datasets, self._undo).draw(lines)
                elif every:
                    empty_state('No dashboard found', f'None has “{paging.query}” in its name.')
                else:
                    _nothing_yet(self._ready)
            paging.ways(len(found))

    def _draw_head(self, total: int, found: int, gone: int) -> None:
        def actions() -> None:
            deleted_link(gone, DELETED)
            _empty(self._services)

        self._head.clear()
        with self._head:
            page_head(
                'Dashboards',
                'Charts of your datasets, side by side. Each saved state can be brought back.',
                actions=actions,
            )
        self._paging.tell(found=found, total=total)


def _deleted_page(services: Services, user_id: UUID, page: str) -> DeletedPage:
    return DeletedPage(
        noun='dashboard',
        kept='Kept for 30 days, or until their place among 500 is needed; then removed for good, with their states.',
        nothing='A dashboard that you delete waits here for 30 days.',
        paging=Paging(DELETED, 'dashboard', query='', page=page, count=PAGE),
        total=lambda: services.dashboards.count_deleted(user_id),
        read=lambda before, most: services.dashboards.deleted(user_id, offset=before, limit=most),
        restore=lambda one: _restored(services, one),
        changed=lambda: ui.run_javascript(RAIL),
    )


def _empty(services: Services) -> None:
    async def empty() -> None:
        made = await services.dashboards.create(current().user.id, 'New dashboard', by=actor())
        ui.navigate.to(f'/dashboards/{made.id}')

    button('New dashboard', icon_name='plus', on_click=empty)


def _build(services: Services, ready: Sequence[Dataset], find: Find) -> None:
    """A dashboard of a dataset in one press."""
    if not ready:
        return

    async def make() -> None:
        made = await services.dashboards.build(
            current().user.id, UUID(dataset.value), template=template.value, by=actor()
        )
        ui.navigate.to(f'/dashboards/{made.id}')

    with card(), tag('div', classes='body hs board-build'):
        icon('wand-sparkles')
        tag('span', 'Build me a dashboard from', 'w5')
        dataset = finder(ready, find, value=str(ready[0].id))
        tag('span', 'as', 't3')
        template = ui.select(dict(services.dashboards.templates()), value='auto').props('aria-label=Template')
        button('Build it', kind='pri', on_click=make)


async def _restored(services: Services, dashboard_id: UUID) -> bool:
    """Bring a dashboard back, and say when another page has done so."""
    try:
        await services.dashboards.undelete(current().user.id, dashboard_id, by=actor())
    except NotFound:
        toast('Nothing to restore', 'The dashboard was brought back already, or removed for good.', level='info')
        return False
    return True


def _undo(services: Services, place: Any, deleted: UUID, until: datetime) -> None:
    async def undo() -> None:
        await _restored(services, deleted)
        place.clear()

    place.clear()
    with place:
        undo_note('The dashboard was deleted. It is kept', until, undo)


def _nothing_yet(ready: Sequence[Dataset]) -> None:
    if ready:
        empty_state(
            'No dashboards yet',
            'Press “Build it” above: the measures, series and step of the dataset decide what is drawn.',
        )
        return
    empty_state(
        'No data to show yet',
        'Upload a file first; a dashboard is then one press away.',
        actions=lambda: button('Go to datasets', kind='pri', href='/datasets'),
    )


class _List:
    def __init__(self, services: Services, session: Session, datasets: Sequence[Dataset], undo: Any) -> None:
        self._dashboards = services.dashboards
        self._services = services
        self._user_id = session.user.id
        self._datasets = {str(data.id): data for data in datasets}
        self._undo = undo

    def draw(self, found: Sequence[Line]) -> None:
        """Dashboards as rows that open them."""
        table(
            [
                Column[Line](label='Name', cell=self._name, width='38%'),
                Column[Line](label='Shape', cell=self._shape, width='22%', phone=False, classes='pad-l'),
                Column[Line](label='Panels', cell=lambda one: str(one.panels), num=True, phone=False),
                Column[Line](label='Changed', cell=lambda one: when(one.updated_at), num=True, phone=False),
                Column[Line](label='', cell=self._acts, num=True, width='112px'),
            ],
            found,
            href=lambda one: f'/dashboards/{one.id}',
            label='Dashboards',
        )

    def _drawn(self, dashboard: Line) -> list[Dataset]:
        return [self._datasets[one] for one in dashboard.datasets if one in self._datasets]

    def _name(self, dashboard: Line) -> None:
        drawn = self._drawn(dashboard)
        told = ', '.join(data.name for data in drawn[:3]) + (f' and {len(drawn) - 3} more' if len(drawn) > 3 else '')
        with tag('div', classes='vs'):
            tag('span', dashboard.name, 'w5 cut')
            tag('span', told or 'No dataset yet', 't12 t3 cut')

    def _shape(self, dashboard: Line) -> None:
        drawn = self._drawn(dashboard)
        spark(next((data.sparkline for data in drawn if _varies(data.sparkline)), drawn[0].sparkline if drawn else ()))

    def _acts(self, dashboard: Line) -> None:
        label = 'Take out of the rail' if dashboard.pinned else 'Show in the rail'
        with tag('div', classes='hs board-acts'):
            star = icon_button('star', label, small=True, aria_pressed=str(dashboard.pinned).lower())
            star.on(
                'click.stop.prevent', lambda: self._dashboards.pin(self._user_id, dashboard.id, not dashboard.pinned)
            )
            menu = f'board-{dashboard.id}'
            more = icon_button('ellipsis', f'More of {dashboard.name}', small=True, popovertarget=menu)
            more.props['aria-haspopup'] = 'menu'
            with tag('div', classes='menu row-menu', id=menu, popover='auto', role='menu', aria_label=dashboard.name):
                for text, symbol, act in (
                    ('Rename', 'pencil', lambda: self._rename(dashboard)),
                    ('Duplicate', 'copy', lambda: self._duplicate(dashboard)),
                    ('Delete', 'trash-2', lambda: self._delete(dashboard)),
                ):
                    # A press closes the menu too, or it would lie over the dialog.
                    line = tag('button', classes='mi', type='button', role='menuitem', popovertarget=menu)
                    line.props['popovertargetaction'] = 'hide'
                    with line.on('click.stop', act):
                        icon(symbol)
                        tag('span', text)

    def _rename(self, dashboard: Line) -> None:
        async def keep() -> None:
            await self._dashboards.rename(self._user_id, dashboard.id, name.value or '')
            dialog.close()

        with ui.dialog(value=True) as dialog, ui.card(), tag('div', classes='vs body form'):
            dialog.props['aria-label'] = 'Rename dashboard'
            tag('h2', 'Rename dashboard')
            with field('Name'):
                name = ui.input(value=dashboard.name).props('maxlength=255 autofocus aria-label=Name')
                name.on('keydown.enter', keep)
            with tag('div', classes='hs'):
                button('Rename', kind='pri', on_click=keep)
                button('Cancel', on_click=dialog.close)

    async def _duplicate(self, dashboard: Line) -> None:
        await self._dashboards.duplicate(self._user_id, dashboard.id, by=actor())
        toast('Dashboard duplicated', f'{counted(dashboard.panels, "panel")}, the same datasets.')

    async def _delete(self, dashboard: Line) -> None:
        await self._dashboards.delete(self._user_id, dashboard.id, by=actor())
        if until := await self._dashboards.kept_until(self._user_id, dashboard.id):
            _undo(self._services, self._undo, dashboard.id, until)


def _varies(values: Sequence[float | None]) -> bool:
    return len({value for value in values if value is not None}) > 1
