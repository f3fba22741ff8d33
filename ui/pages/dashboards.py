"""Dashboards: the list, and a new one from a dataset in one press."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from nicegui import ui

from core.dashboards import Dashboard
from core.services import Services
from core.values import Dataset, Session
from ui.components.formats import counted
from ui.components.parts import button, card, icon, icon_button, page_head, tag
from ui.components.states import empty_state
from ui.components.table import Column, table
from ui.components.times import when
from ui.live import follow
from ui.session import current
from ui.theme import frame


def register(services: Services) -> None:
    """Serve `/dashboards`."""

    @ui.page('/dashboards')
    async def dashboards(deleted: str = '') -> None:
        with frame(services, 'Dashboards', active='/dashboards') as session:
            ready = [data for data in await services.datasets.list(session.user.id) if data.version is not None]
            page_head('Dashboards', 'Panels over your datasets; each saved state can be brought back.')
            if deleted:
                _undo(services, deleted)
            build = tag('div')
            box = tag('div')
            with build:
                _build(services, ready)

            async def refresh() -> None:
                found = await services.dashboards.list(session.user.id)
                box.clear()
                with box, card():
                    if found:
                        _list(services, session, found)
                    else:
                        _nothing_yet(ready)

            await refresh()

            async def changed(_: Mapping[str, Any]) -> None:
                await refresh()

            follow(services.events, f'{session.user.id}/dashboards', changed, within=box, on_ready=refresh)


def _build(services: Services, ready: Sequence[Dataset]) -> None:
    """A dashboard of a dataset in one press, or an empty one."""
    if not ready:
        return

    async def make() -> None:
        made = await services.dashboards.build(current().user.id, UUID(dataset.value), template=template.value)
        ui.navigate.to(f'/dashboards/{made.id}')

    async def empty() -> None:
        made = await services.dashboards.create(current().user.id, 'New dashboard')
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
        tag('span', classes='grow')
        button('Start empty', icon_name='plus', on_click=empty)


def _undo(services: Services, deleted: str) -> None:
    async def undo() -> None:
        await services.dashboards.undelete(current().user.id, UUID(deleted))
        ui.navigate.to(f'/dashboards/{deleted}')

    with tag('div', classes='note', role='status'):
        icon('trash-2')
        tag('span', 'The dashboard was deleted.', 'grow')
        button('Undo', kind='small', icon_name='undo-2', on_click=undo)


def _nothing_yet(ready: Sequence[Dataset]) -> None:
    if ready:
        empty_state('No dashboards yet', 'Choose a dataset above: its measures, series and step decide what is drawn.')
        return
    empty_state(
        'No data to show yet',
        'Upload a file first; a dashboard is then one press away.',
        actions=lambda: button('Go to datasets', kind='pri', href='/datasets'),
    )


def _list(services: Services, session: Session, found: Sequence[Dashboard]) -> None:
    def pin(dashboard: Dashboard) -> None:
        async def press() -> None:
            await services.dashboards.pin(session.user.id, dashboard.id, not dashboard.pinned)

        label = 'Take out of the rail' if dashboard.pinned else 'Show in the rail'
        star = icon_button('star', label, small=True, aria_pressed=str(dashboard.pinned).lower())
        star.on('click.stop.prevent', press)

    table(
        [
            Column[Dashboard](label='Name', cell=lambda one: one.name, width='44%'),
            Column[Dashboard](label='Panels', cell=lambda one: counted(len(one.spec['panels']), 'panel'), num=True),
            Column[Dashboard](label='Changed', cell=lambda one: when(one.updated_at) and None, num=True, phone=False),
            Column[Dashboard](label='Pinned', cell=lambda one: pin(one), num=True, width='88px'),
        ],
        found,
        href=lambda one: f'/dashboards/{one.id}',
        label='Dashboards',
    )
