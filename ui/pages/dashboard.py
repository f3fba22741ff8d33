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
from ui.components.panels import EXPLORE, BoardLink, described, preloads, shared
from ui.components.times import day
from ui.live import follow
from ui.markup import rendered
from ui.pages.addressed import id_of
from ui.pages.presence import Presence
from ui.session import current
from ui.theme import PATIENCE, frame

MENU = (
    ('Add note', 'message-square', 'note'),
    ('Full screen', 'maximize', 'fullScreen'),
    ('Undo', 'undo-2', 'undo'),
    ('Redo', 'redo-2', 'redo'),
    ('History', 'history', 'past_states'),
    ('Always open with this view', 'check', 'keepView'),
    ('Duplicate dashboard', 'copy', 'duplicate'),
    ('Delete dashboard', 'trash-2', 'delete'),
)
ACTIONS = (
    Entry(label='Full screen', icon='maximize', press='board-fullScreen'),
    Entry(label='History of this dashboard', icon='history', press='board-past_states'),
)


def register(services: Services) -> None:
    """Serve `/dashboards/{id}`."""

    @ui.page('/dashboards/{dashboard_id}', response_timeout=PATIENCE)
    async def dashboard(dashboard_id: str) -> None:
        user = current().user
        found = await services.dashboards.get(user.id, id_of(dashboard_id, 'dashboard'))
        drawn = panels.datasets(found.spec)
        datasets = await known(services, user.id, drawn)
        deleted = await lost(services, user.id, drawn, datasets)
        crumbs = ('Dashboards', '/dashboards'), found.name
        ui.add_head_html(preloads())
        content = _content(found, datasets, deleted)
        with frame(services, *crumbs, active='/dashboards', actions=ACTIONS, content=content) as session:
            _Page(services, session, found).follow()


def _content(
    found: Dashboard, datasets: Mapping[str, Mapping[str, Any]], deleted: Mapping[str, Mapping[str, str]]
) -> str:
    """The page's head and its board, as markup: the browser draws it without waiting for a socket."""
    first = next((panel['dataset'] for panel in found.spec['panels'] if panel['dataset']), '')
    return rendered(
        'dashboard.html',
        adding=f'{EXPLORE}?dashboard={found.id}' + (f'&dataset={first}' if first else ''),
        board=shared()
        | {
            'dashboard': {
                'id': str(found.id),
                'name': found.name,
                'spec': dict(found.spec),
                'revision': found.revision,
            },
            'datasets': dict(datasets),
            'deleted': dict(deleted),
        },
        menu=MENU,
        name=found.name,
        pinned=str(found.pinned),
    )


async def known(services: Services, user_id: UUID, ids: set[UUID]) -> Mapping[str, Mapping[str, Any]]:
    """What the browser needs to know of these datasets; those that were deleted are left out."""
    found = await services.datasets.shown(user_id, ids)
    return {str(dataset_id): described(name, version) for dataset_id, (name, version) in found.items()}


async def lost(
    services: Services, user_id: UUID, ids: set[UUID], known: Mapping[str, Any]
) -> Mapping[str, Mapping[str, str]]:
    """Name those of these datasets that are not `known` and can be brought back, and say until when."""
    missing = {dataset_id for dataset_id in ids if str(dataset_id) not in known}
    if not missing:
        return {}
    found = await services.datasets.deleted(user_id)
    return {str(one.id): {'name': one.name, 'until': day(one.until)} for one in found if one.id in missing}


class _Page:
    """What a dashboard's page hears from the server."""

    def __init__(self, services: Services, session: Session, found: Dashboard) -> None:
        self._services = services
        self._user_id = session.user.id
        self._session = session
        self._found = found
        self._drawn: set[UUID] = panels.datasets(found.spec)

    def follow(self) -> None:
        """Tell the board of versions and of changes elsewhere, and show who is here."""
        with ui.teleport('#faces-place'):
            presence = Presence(self._services.events, self._session, f'dashboards/{self._found.id}')
        self._board = BoardLink(on_left=presence.leave, on_back=presence.come_back)
        presence.follow()
        for channel, heard in (('datasets', self._dataset), ('jobs', self._dataset), ('dashboards', self._changed)):
            follow(
                self._services.events,
                f'{self._user_id}/{channel}',
                heard,
                within=self._board,
                on_ready=self._catch_up if channel == 'dashboards' else None,
                on_lost=lambda: self._board.run_method('hears', False),
            )

    async def _dataset(self, message: Mapping[str, Any]) -> None:
        """A dataset shows another version: whoever draws it asks for that one."""
        told = message.get('dataset')
        if told and message.get('state') in (None, 'succeeded') and UUID(told) in self._drawn:
            await self._tell({UUID(told)})

    async def _tell(self, ids: set[UUID]) -> None:
        found = await known(self._services, self._user_id, ids)
        for dataset_id, what in found.items():
            self._board.run_method('version', {'dataset': dataset_id, **what})
        if deleted := await lost(self._services, self._user_id, ids, found):
            self._board.run_method('lost', deleted)

    async def _changed(self, message: Mapping[str, Any]) -> None:
        """The dashboard was saved, here or elsewhere; what it draws now may be new to this page."""
        if message.get('dashboard') != str(self._found.id):
            return
        try:
            found = await self._services.dashboards.get(self._user_id, self._found.id)
        except NotFound:
            self._board.run_method('deleted')
            return
        fresh = panels.datasets(found.spec) - self._drawn
        self._drawn |= fresh
        datasets = await known(self._services, self._user_id, fresh)
        told = {'revision': found.revision, 'name': found.name, 'datasets': datasets}
        self._board.run_method('changed', {**message, **told})

    async def _catch_up(self) -> None:
        """Listening has begun, perhaps once more: what was missed meanwhile is told."""
        self._board.run_method('hears', True)
        await self._tell(self._drawn)
        found = await self._services.dashboards.get(self._user_id, self._found.id)
        await self._changed({'dashboard': str(found.id), 'revision': found.revision})
