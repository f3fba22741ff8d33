"""A dashboard: panels on a grid, live, with who else looks at it."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from nicegui import ui

from core import panels
from core.dashboards import Dashboard
from core.errors import NotFound
from core.services import Services
from core.values import Session
from ui.components.panels import EXPLORE, board, described
from ui.components.parts import badge, button, icon, icon_button, tag
from ui.live import follow
from ui.pages.presence import Presence
from ui.session import current
from ui.theme import PATIENCE, frame


def register(services: Services) -> None:
    """Serve `/dashboards/{id}`."""

    @ui.page('/dashboards/{dashboard_id}', response_timeout=PATIENCE)
    async def dashboard(dashboard_id: str) -> None:
        user = current().user
        found = await services.dashboards.get(user.id, _uuid(dashboard_id))
        datasets = await known(services, user.id, panels.datasets(found.spec))
        with frame(services, ('Dashboards', '/dashboards'), found.name, active='/dashboards') as session:
            _Page(services, session, found).draw(datasets)


async def known(services: Services, user_id: UUID, ids: set[UUID]) -> Mapping[str, Mapping[str, Any]]:
    """What the browser needs to know of these datasets; those that were deleted are left out."""

    async def one(dataset_id: UUID) -> tuple[str, Mapping[str, Any]] | None:
        try:
            data = await services.datasets.get(user_id, dataset_id)
        except NotFound:
            return None
        version = None if data.version is None else await services.datasets.version(user_id, dataset_id)
        return str(dataset_id), described(data.name, version)

    return dict(filter(None, await asyncio.gather(*map(one, ids))))


class _Page:
    def __init__(self, services: Services, session: Session, found: Dashboard) -> None:
        self._services = services
        self._user_id = session.user.id
        self._session = session
        self._found = found

    def draw(self, datasets: Mapping[str, Mapping[str, Any]]) -> None:
        """The head with who is here, and the board."""
        found = self._found
        with tag('div', classes='ph board-head'):
            with tag('div', classes='hs grow'):
                self._title = ui.input(value=found.name).props('aria-label="Name of the dashboard"')
                self._title.classes('board-name').on('change', self._rename)
                self._star = icon_button('star', 'Show in the rail', aria_pressed=str(found.pinned).lower())
                self._star.on('click', self._pin)
            with tag('div', classes='acts'):
                presence = Presence(self._services.events, self._session, f'dashboards/{found.id}')
                badge('Live', 'ok', icon_name='radio')
                button('Add panel', icon_name='plus', href=f'{EXPLORE}?dashboard={found.id}')
                more = icon_button('ellipsis', 'Dashboard menu', popovertarget='board-menu')
                more.props['aria-haspopup'] = 'menu'
                button('Copy link', icon_name='link', kind='pri', data_copy_address='')
        self._menu()
        self._board = board(
            {'id': str(found.id), 'name': found.name, 'spec': dict(found.spec), 'revision': found.revision}, datasets
        )
        presence.follow(within=self._board)
        for channel, heard in (('datasets', self._dataset), ('jobs', self._dataset), ('dashboards', self._changed)):
            follow(self._services.events, f'{self._user_id}/{channel}', heard, within=self._board)

    def _menu(self) -> None:
        with tag('div', classes='menu', id='board-menu', popover='auto', role='menu', aria_label='Dashboard'):
            for label, symbol, act in (
                ('Full screen', 'maximize', lambda: self._board.run_method('fullScreen')),
                ('Undo', 'undo-2', lambda: self._board.run_method('undo')),
                ('Redo', 'redo-2', lambda: self._board.run_method('redo')),
                ('Duplicate', 'copy', self._duplicate),
                ('Delete', 'trash-2', self._delete),
            ):
                item = tag('button', classes='mi', type='button', role='menuitem').on('click', act)
                with item:
                    icon(symbol)
                    tag('span', label)

    async def _rename(self) -> None:
        await self._services.dashboards.rename(self._user_id, self._found.id, self._title.value or '')

    async def _pin(self) -> None:
        pinned = self._star.props['aria-pressed'] != 'true'
        await self._services.dashboards.pin(self._user_id, self._found.id, pinned)
        self._star.props['aria-pressed'] = str(pinned).lower()

    async def _duplicate(self) -> None:
        made = await self._services.dashboards.duplicate(self._user_id, self._found.id)
        ui.navigate.to(f'/dashboards/{made.id}')

    async def _delete(self) -> None:
        await self._services.dashboards.delete(self._user_id, self._found.id)
        ui.navigate.to(f'/dashboards?deleted={self._found.id}')

    async def _dataset(self, message: Mapping[str, Any]) -> None:
        """A dataset shows another version: whoever draws it asks for that one."""
        if not message.get('dataset') or message.get('state') not in (None, 'succeeded'):
            return
        told = await known(self._services, self._user_id, {UUID(message['dataset'])})
        for dataset_id, what in told.items():
            self._board.run_method('version', {'dataset': dataset_id, **what})

    def _changed(self, message: Mapping[str, Any]) -> None:
        self._board.run_method('changed', dict(message))


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound('There is no such dashboard.') from error
