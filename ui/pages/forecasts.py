"""Forecasts: the list, and the page with the form that asks for one."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from fastapi import Request
from nicegui import ui

from core.analysis.ahead import Ahead
from core.analysis.forecasting.registry import MODELS, hint
from core.errors import NotFound, Unavailable
from core.forecasts import Counts, Listed
from core.services import Services
from core.values import Forecast, JobState, Session, Version
from ui.components.deleted import DeletedPage, deleted_link, undo_note, was_deleted
from ui.components.finder import OFFERED
from ui.components.jobs import SIGNS, Changes
from ui.components.paging import Paging
from ui.components.parts import badge, button, card, icon, icon_button, page_head, tag
from ui.components.states import empty_state, out_of_reach
from ui.components.table import Column, table
from ui.components.times import count, when
from ui.components.toast import toast
from ui.live import follow
from ui.pages import forecast_choices as choosing
from ui.pages.addressed import dataset_of
from ui.pages.forecast_wizard import Matter, Wizard
from ui.pages.forecast_words import model_name
from ui.session import actor, current
from ui.theme import PATIENCE, frame

PAGE = 50  # forecasts
DELETED = '/forecasts?show=deleted'
MOST_LABELS = 1000
STATES = ('running', 'queued', 'failed', 'succeeded', 'cancelled')
ORDERS: Mapping[str, Callable[[Listed], Any]] = {
    'name': lambda one: one.name.casefold(),
    'steps': lambda one: one.h,
    'state': lambda one: STATES.index(one.state),
    'asked': lambda one: one.created_at,
}
STATE_BADGES = {'succeeded': 'ok', 'failed': 'bad', 'cancelled': 'line', 'queued': 'line', 'running': 'acc'}


def register(services: Services) -> None:
    """Serve `/forecasts` and `/forecasts/new`."""

    @ui.page('/forecasts', response_timeout=PATIENCE)
    async def forecasts(q: str = '', page: str = '', show: str = '', deleted: str = '', sort: str = '') -> None:
        if show == 'deleted':
            with frame(services, ('Forecasts', '/forecasts'), 'Deleted', active='/forecasts') as session:
                await _deleted(services, session.user.id, page).draw(services.events, session.user.id)
            return
        with frame(services, 'Forecasts', active='/forecasts') as session:
            paging = Paging(
                '/forecasts', 'forecast', query=q, page=page, count=PAGE, sort=sort, keys=ORDERS, usual='-asked'
            )
            await _Forecasts(services, session, paging).draw(deleted)

    @ui.page('/forecasts/new', response_timeout=PATIENCE)
    async def new(request: Request, dataset: str = '') -> None:
        user_id = current().user.id
        chosen = await dataset_of(services, user_id, dataset)
        with frame(services, ('Forecasts', '/forecasts'), 'New forecast', active='/forecasts') as session:
            page_head('New forecast')
            if chosen is None:
                with card():
                    empty_state(
                        'No data to forecast yet',
                        'Upload a file first; its measures can then be forecast.',
                        actions=lambda: button('Go to datasets', kind='pri', href='/datasets'),
                    )
                return
            version = await services.datasets.version(user_id, chosen.id)
            if not version.manifest['measures']:
                with card():
                    empty_state(
                        'This dataset has no measure',
                        'Make a numeric column a measure first.',
                        actions=lambda: button('Its columns', kind='pri', href=f'/datasets/{chosen.id}?tab=columns'),
                    )
                return
            query = {name: request.query_params.getlist(name) for name in request.query_params}
            choices = choosing.read(query, version)
            labels, ahead, away = await _stored(services, user_id, version, choices.target)
            if away:
                with card():
                    out_of_reach(away, kept='Every version of the dataset.')
            find = partial(services.datasets.list, user_id, converted=True, limit=OFFERED)
            matter = Matter(
                datasets=await find(),
                find=find,
                dataset=chosen,
                version=version,
                labels=labels,
                ahead=ahead,
                models=_models(services),
                away=bool(away),
            )
            Wizard(services, matter, choices).draw(await services.hours.balance(user_id), session)


class _Forecasts:
    """The forecasts of a user, a page at a time."""

    def __init__(self, services: Services, session: Session, paging: Paging) -> None:
        self._services = services
        self._user_id = session.user.id
        self._paging = paging
        self._changes = Changes()

    async def draw(self, deleted: str) -> None:
        """Draw the head, the search and the list, and follow what becomes of forecasts."""
        self._head = tag('div')
        self._gone = tag('div', classes='slot')
        if gone := await was_deleted(deleted, self._kept_until):
            await self._undo(*gone)
        self._paging.place(self._refresh)
        self._box = tag('div', classes='stack')
        await self._refresh()

        async def changed(message: Mapping[str, Any]) -> None:
            if message.get('forecast') and message.get('state') != JobState.RUNNING:
                await self._refresh()

        for channel in ('jobs', 'forecasts'):
            ours = f'{self._user_id}/{channel}'
            follow(self._services.events, ours, changed, within=self._box, on_ready=self._refresh)

    async def _refresh(self) -> None:
        user_id, paging = self._user_id, self._paging
        wanted = (paging.query, paging.page)
        counts = await self._services.forecasts.count(user_id, query=paging.query)
        page, before = paging.bounds(counts.found)
        read = partial(self._services.forecasts.list, user_id, query=paging.query)
        found = await paging.read(read, before)
        has_data = bool(counts.total or (await self._services.datasets.count(user_id)).total)
        # Who has typed on meanwhile waits for what was typed last.
        if wanted != (paging.query, paging.page):
            return
        if not self._changes.seen(paging.query, page, found, counts, has_data):
            return
        paging.page = page
        self._draw_head(counts)
        self._box.clear()
        with self._box:
            with card():
                if found:
                    self._list(found)
                elif counts.total:
                    empty_state('No forecast found', f'None has “{paging.query}” in its name or its dataset’s.')
                else:
                    _nothing_yet(has_data=has_data)
            paging.ways(counts.found)

    def _draw_head(self, counts: Counts) -> None:
        self._head.clear()
        with self._head:
            page_head('Forecasts', 'Each one is kept as it was issued.', actions=lambda: _actions(counts))
        self._paging.tell(found=counts.found, total=counts.total)

    def _list(self, found: Sequence[Listed]) -> None:
        table(
            [
                Column[Listed](label='Name', cell=_name, width='34%', order='name'),
                Column[Listed](
                    label='Steps', cell=lambda f: count(f.h), num=True, width='10%', phone=False, order='-steps'
                ),
                Column[Listed](
                    label='Models',
                    cell=lambda f: ', '.join(map(model_name, f.models)),
                    classes='t2 pad-l',
                    phone=False,
                ),
                Column[Listed](label='State', cell=_state, order='state'),
                Column[Listed](label='Asked', cell=lambda f: when(f.created_at), num=True, phone=False, order='-asked'),
                Column[Listed](label='', cell=self._acts, num=True, width='64px'),
            ],
            found,
            href=lambda f: f'/forecasts/{f.id}',
            label='Forecasts',
            ordered=self._paging.ordered,
        )

    def _acts(self, forecast: Listed) -> None:
        """What can be done with a line, where its work has ended."""
        if not forecast.state.final:
            return

        async def delete() -> None:
            await self._services.forecasts.delete(current().user.id, forecast.id, by=actor())
            if until := await self._kept_until(forecast.id):
                await self._undo(forecast.id, until)

        menu = f'forecast-{forecast.id}'
        more = icon_button('ellipsis', f'More of {forecast.name}', small=True, popovertarget=menu)
        more.props['aria-haspopup'] = 'menu'
        with tag('div', classes='menu row-menu', id=menu, popover='auto', role='menu', aria_label=forecast.name):
            # A press closes the menu too, or it would lie over what follows.
            line = tag('button', classes='mi', type='button', role='menuitem', popovertarget=menu)
            line.props['popovertargetaction'] = 'hide'
            with line.on('click.stop', delete):
                icon('trash-2')
                tag('span', 'Delete')

    async def _kept_until(self, forecast_id: UUID) -> datetime | None:
        return await self._services.forecasts.kept_until(self._user_id, forecast_id)

    async def _undo(self, deleted: UUID, until: datetime) -> None:
        forecast = await self._services.forecasts.get(self._user_id, deleted, deleted=True)

        async def undo() -> None:
            await restored(self._services, deleted)
            self._gone.clear()

        still = 'It goes on counting in the track record. ' if counts_on(forecast) else ''
        self._gone.clear()
        with self._gone:
            undo_note(f'The forecast was deleted. {still}It can be brought back', until, undo)


def counts_on(forecast: Forecast) -> bool:
    """Whether the track record counts a forecast: it was issued, and is no what-if."""
    return forecast.issued_at is not None and not forecast.request.get('changes')


async def restored(services: Services, forecast_id: UUID) -> bool:
    """Bring a forecast back, and say when another page has done so."""
    try:
        await services.forecasts.undelete(current().user.id, forecast_id, by=actor())
    except NotFound:
        toast('Nothing to restore', 'The forecast was brought back already, or its 30 days are over.', level='info')
        return False
    return True


def _deleted(services: Services, user_id: UUID, page: str) -> DeletedPage:
    async def total() -> int:
        return (await services.forecasts.count(user_id)).deleted

    return DeletedPage(
        noun='forecast',
        kept='Kept for 30 days, then removed for good, but for what was issued: that goes on counting in the '
        'track record.',
        nothing='A forecast that you delete waits here for 30 days.',
        paging=Paging(DELETED, 'forecast', query='', page=page, count=PAGE),
        total=total,
        read=lambda before, most: services.forecasts.deleted(user_id, offset=before, limit=most),
        restore=lambda one: restored(services, one),
    )


async def _stored(
    services: Services, user_id: UUID, version: Version, target: str
) -> tuple[Sequence[str], Mapping[str, Ahead], str]:
    """The series, what is known ahead of `target`, and why they are not known better: the store may be away."""
    try:
        labels = await services.datasets.labels(user_id, version, limit=MOST_LABELS)
        return labels, await services.datasets.known_ahead(user_id, version, target), ''
    except Unavailable as error:
        return version.manifest['series']['first'], {}, error.message


def _models(services: Services) -> Mapping[str, str]:
    """The models that can run: at Modal all of them, here those whose package is installed."""
    elsewhere = services.settings.modal_token_id is not None
    return {name: about for name, about in MODELS.items() if elsewhere or not hint(name)}


def _nothing_yet(*, has_data: bool) -> None:
    if not has_data:
        empty_state(
            'No forecasts yet',
            'Upload a file first; its measures can then be forecast.',
            actions=lambda: button('Upload data', icon_name='upload', kind='pri', href='/datasets'),
        )
        return
    empty_state(
        'No forecasts yet',
        'Choose a dataset and a horizon. The forecast shows its bands, and how well they held.',
        actions=_new_button,
    )


def _actions(counts: Counts) -> None:
    deleted_link(counts.deleted, DELETED)
    _track_button()
    if counts.total:
        _new_button()


def _track_button() -> None:
    button('Track record', icon_name='shield-check', href='/track')


def _new_button() -> None:
    button('New forecast', icon_name='plus', kind='pri', href='/forecasts/new')


def _state(forecast: Listed) -> None:
    symbol = SIGNS[forecast.state][0] if forecast.state in SIGNS else None
    badge(forecast.state.value.capitalize(), STATE_BADGES[forecast.state], icon_name=symbol)


def _name(forecast: Listed) -> None:
    with tag('div', classes='vs'):
        tag('span', forecast.name, 'w5 cut')
        tag('span', f'{forecast.dataset_name} v{forecast.version}', 't12 t3 cut')
