"""A dashboard: panels on a grid, live, with who else looks at it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from nicegui import ui

from core import panels
from core.dashboards import Dashboard
from core.errors import NotFound
from core.services import Services
from core.values import Session
from ui.components.palette import Entry
from ui.components.panels import EXPLORE, board, described
from ui.components.parts import badge, button, icon, icon_button, tag
from ui.live import follow
from ui.pages.presence import Presence
from ui.session import current
from ui.theme import PATIENCE, frame

ACTIONS = (
    Entry(label='Full screen', icon='maximize', press='board-fullScreen'),
    Entry(label='History of this dashboard', icon='history', press='board-past_states'),
)
RAIL = 'variosyncRail()'


def register(services: Services) -> None:
    """Serve `/dashboards/{id}`."""

    @ui.page('/dashboards/{dashboard_id}', response_timeout=PATIENCE)
    async def dashboard(dashboard_id: str) -> None:
        user = current().user
        found = await services.dashboards.get(user.id, _uuid(dashboard_id))
        datasets = await known(services, user.id, panels.datasets(found.spec))
        with frame(
            services, ('Dashboards', '/dashboards'), found.name, active='/dashboards', actions=ACTIONS
        ) as session:
            _Page(services, session, found).draw(datasets)


async def known(services: Services, user_id: UUID, ids: set[UUID]) -> Mapping[str, Mapping[str, Any]]:
    """What the browser needs to know of these datasets; those that were deleted are left out."""
    found = await services.datasets.shown(user_id, ids)
    return {str(dataset_id): described(name, version) for dataset_id, (name, version) in found.items()}


class _Page:
    def __init__(self, services: Services, session: Session, found: Dashboard) -> None:
        self._services = services
        self._user_id = session.user.id
        self._session = session
        self._found = found
        self._drawn: set[UUID] = panels.datasets(found.spec)

    def draw(self, datasets: Mapping[str, Mapping[str, Any]]) -> None:
        """The head with who is here, and the board."""
        found = self._found
        with tag('div', classes='ph board-head'):
            with tag('div', classes='hs grow'):
                with tag('h1', classes='board-title'):
                    title = tag('input', value=found.name, maxlength=255, aria_label='Name of the dashboard')
                    title.on('change', self._rename, js_handler='(event) => emit(event.target.value)')
                self._star = icon_button('star', 'Show in the rail', aria_pressed=str(found.pinned).lower())
                self._star.on('click', self._pin)
            with tag('div', classes='acts'):
                presence = Presence(self._services.events, self._session, f'dashboards/{found.id}')
                live = badge('Live', 'ok', icon_name='radio')
                live.props.update({'data-live': '1', 'role': 'status'})
                first = next((panel['dataset'] for panel in found.spec['panels'] if panel['dataset']), '')
                adding = f'{EXPLORE}?dashboard={found.id}' + (f'&dataset={first}' if first else '')
                button('Add panel', icon_name='plus', href=adding).classes('wide-only')
                more = icon_button('ellipsis', 'Dashboard menu', popovertarget='board-menu')
                more.props['aria-haspopup'] = 'menu'
                button('Share', icon_name='share-2', kind='pri', data_copy='', title='Copy the link to this view')
        self._menu(adding)
        self._board = board(
            {'id': str(found.id), 'name': found.name, 'spec': dict(found.spec), 'revision': found.revision},
            datasets,
            on_left=presence.leave,
            on_back=presence.come_back,
        )
        presence.follow(within=self._board)
        for channel, heard in (('datasets', self._dataset), ('jobs', self._dataset), ('dashboards', self._changed)):
            follow(
                self._services.events,
                f'{self._user_id}/{channel}',
                heard,
                within=self._board,
                on_ready=self._catch_up if channel == 'dashboards' else None,
                on_lost=lambda: self._board.run_method('hears', False),
            )

    def _menu(self, adding: str) -> None:
        with tag('div', classes='menu', id='board-menu', popover='auto', role='menu', aria_label='Dashboard'):
            with tag('a', classes='mi phone-only', href=adding, role='menuitem'):
                icon('plus')
                tag('span', 'Add panel')
            for label, symbol, method in (
                ('Add note', 'message-square', 'note'),
                ('Full screen', 'maximize', 'fullScreen'),
                ('Undo', 'undo-2', 'undo'),
                ('Redo', 'redo-2', 'redo'),
                ('History', 'history', 'past_states'),
                ('Always open with this view', 'check', 'keepView'),
            ):
                # What the browser does by itself is pressed in the browser: full screen wants the user's own press.
                item = tag('button', classes='mi', type='button', role='menuitem', id=f'board-{method}')
                item.on(
                    'click',
                    js_handler=f'() => dispatchEvent(new CustomEvent("variosync:board", {{detail: "{method}"}}))',
                )
                with item:
                    icon(symbol)
                    tag('span', label)
            for label, symbol, act in (
                ('Duplicate dashboard', 'copy', self._duplicate),
                ('Delete dashboard', 'trash-2', self._delete),
            ):
                item = tag('button', classes='mi', type='button', role='menuitem').on('click', act)
                with item:
                    icon(symbol)
                    tag('span', label)

    async def _rename(self, event: Any) -> None:
        await self._services.dashboards.rename(self._user_id, self._found.id, str(event.args or ''))
        ui.run_javascript(RAIL)

    async def _pin(self) -> None:
        pinned = self._star.props['aria-pressed'] != 'true'
        await self._services.dashboards.pin(self._user_id, self._found.id, pinned)
        self._star.props['aria-pressed'] = str(pinned).lower()
        ui.run_javascript(RAIL)

    async def _duplicate(self) -> None:
        made = await self._services.dashboards.duplicate(self._user_id, self._found.id)
        ui.navigate.to(f'/dashboards/{made.id}')

    async def _delete(self) -> None:
        await self._services.dashboards.delete(self._user_id, self._found.id)
        ui.navigate.to(f'/dashboards?deleted={self._found.id}')

    async def _dataset(self, message: Mapping[str, Any]) -> None:
        """A dataset shows another version: whoever draws it asks for that one."""
        told = message.get('dataset')
        if told and message.get('state') in (None, 'succeeded') and UUID(told) in self._drawn:
            await self._tell({UUID(told)})

    async def _tell(self, ids: set[UUID]) -> None:
        for dataset_id, what in (await known(self._services, self._user_id, ids)).items():
            self._board.run_method('version', {'dataset': dataset_id, **what})

    async def _changed(self, message: Mapping[str, Any]) -> None:
        """The dashboard was saved, here or elsewhere; what it draws now may be new to this page."""
        if message.get('dashboard') != str(self._found.id) or not message.get('revision'):
            return
        found = await self._services.dashboards.get(self._user_id, self._found.id)
        fresh = panels.datasets(found.spec) - self._drawn
        self._drawn |= fresh
        datasets = await known(self._services, self._user_id, fresh)
        self._board.run_method('changed', {**message, 'revision': found.revision, 'datasets': datasets})

    async def _catch_up(self) -> None:
        """Listening has begun, perhaps once more: what was missed meanwhile is told."""
        self._board.run_method('hears', True)
        await self._tell(self._drawn)
        found = await self._services.dashboards.get(self._user_id, self._found.id)
        await self._changed({'dashboard': str(found.id), 'revision': found.revision})


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound('There is no such dashboard.') from error
