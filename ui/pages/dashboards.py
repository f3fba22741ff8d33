"""Dashboards: the list, and a new one from a dataset in one press."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from nicegui import ui

from core.dashboards import Line
from core.errors import NotFound
from core.services import Services
from core.values import Dataset, Session
from ui.components.formats import counted
from ui.components.parts import button, card, field, icon, icon_button, page_head, tag
from ui.components.spark import spark
from ui.components.states import empty_state
from ui.components.table import Column, table
from ui.components.times import when
from ui.components.toast import toast
from ui.live import follow
from ui.session import current
from ui.theme import frame

RAIL = 'variosyncRail()'


def register(services: Services) -> None:
    """Serve `/dashboards`."""

    @ui.page('/dashboards')
    async def dashboards(deleted: str = '') -> None:
        with frame(services, 'Dashboards', active='/dashboards') as session:
            datasets = await services.datasets.list(session.user.id)
            ready = [data for data in datasets if data.version is not None]
            page_head(
                'Dashboards',
                'Panels over your datasets; each saved state can be brought back.',
                actions=lambda: _empty(services),
            )
            undo = tag('div')
            if gone := await _deleted(services, session.user.id, deleted):
                _undo(services, undo, gone)
            _build(services, ready)
            box = tag('div')

            async def refresh() -> None:
                found = await services.dashboards.list(session.user.id)
                box.clear()
                with box, card():
                    if found:
                        _List(services, session, datasets, undo).draw(found)
                    else:
                        _nothing_yet(ready)

            await refresh()

            async def changed(_: Mapping[str, Any]) -> None:
                await refresh()
                ui.run_javascript(RAIL)

            follow(services.events, f'{session.user.id}/dashboards', changed, within=box, on_ready=refresh)


def _empty(services: Services) -> None:
    async def empty() -> None:
        made = await services.dashboards.create(current().user.id, 'New dashboard')
        ui.navigate.to(f'/dashboards/{made.id}')

    button('New dashboard', icon_name='plus', on_click=empty)


def _build(services: Services, ready: Sequence[Dataset]) -> None:
    """A dashboard of a dataset in one press."""
    if not ready:
        return

    async def make() -> None:
        made = await services.dashboards.build(current().user.id, UUID(dataset.value), template=template.value)
        ui.navigate.to(f'/dashboards/{made.id}')

    with card(), tag('div', classes='body hs board-build'):
        icon('wand-sparkles')
        tag('span', 'Build me a dashboard from', 'w5')
        dataset = ui.select({str(data.id): data.name for data in ready}, value=str(ready[0].id)).props(
            'aria-label=Dataset'
        )
        tag('span', 'as', 't3')
        template = ui.select(services.dashboards.templates(), value='auto').props('aria-label=Template')
        button('Build it', kind='pri', on_click=make)


async def _deleted(services: Services, user_id: UUID, told: str) -> UUID | None:
    """The dashboard that the address says was deleted, if it was and can be brought back."""
    try:
        asked = UUID(told)
    except ValueError:
        return None
    return asked if await services.dashboards.deleted(user_id, asked) else None


def _undo(services: Services, place: Any, deleted: UUID) -> None:
    async def undo() -> None:
        try:
            await services.dashboards.undelete(current().user.id, deleted)
        except NotFound:  # on another page, meanwhile
            toast('Nothing to undo', 'The dashboard was brought back already, or removed for good.')
        place.clear()

    place.clear()
    with place, tag('div', classes='note', role='status'):
        icon('trash-2')
        tag('span', 'The dashboard was deleted. Its saved states are kept.', 'grow')
        button('Undo', kind='small', icon_name='undo-2', on_click=undo)


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
                Column[Line](label='Changed', cell=lambda one: when(one.updated_at) and None, num=True, phone=False),
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
        spark(drawn[0].sparkline if drawn else ())

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
                    with tag('button', classes='mi', type='button', role='menuitem').on('click.stop', act):
                        icon(symbol)
                        tag('span', text)

    def _rename(self, dashboard: Line) -> None:
        async def keep() -> None:
            await self._dashboards.rename(self._user_id, dashboard.id, name.value or '')
            dialog.close()

        with ui.dialog(value=True) as dialog, ui.card(), tag('div', classes='vs body form'):
            tag('h2', 'Rename dashboard')
            with field('Name'):
                name = ui.input(value=dashboard.name).props('maxlength=255 autofocus aria-label=Name')
                name.on('keydown.enter', keep)
            with tag('div', classes='hs'):
                button('Rename', kind='pri', on_click=keep)
                button('Cancel', on_click=dialog.close)

    async def _duplicate(self, dashboard: Line) -> None:
        await self._dashboards.duplicate(self._user_id, dashboard.id)
        toast('Dashboard duplicated', f'{counted(dashboard.panels, "panel")}, the same datasets.')

    async def _delete(self, dashboard: Line) -> None:
        await self._dashboards.delete(self._user_id, dashboard.id)
        _undo(self._services, self._undo, dashboard.id)
