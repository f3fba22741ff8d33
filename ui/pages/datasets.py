"""Datasets: what was uploaded, newest change first, and the place to upload more; what was deleted."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from nicegui import ui

from core.datasets import Counts
from core.errors import NotFound, Unavailable
from core.jobs import Standing
from core.services import Services
from core.values import Dataset, JobState, Session
from ui.components.deleted import DeletedPage, deleted_link, undo_note, was_deleted
from ui.components.formats import counted
from ui.components.jobs import Changes
from ui.components.paging import Paging
from ui.components.parts import badge, button, card, page_head, tag
from ui.components.spark import spark
from ui.components.states import empty_state
from ui.components.table import Column, Ordered, table
from ui.components.times import count, when
from ui.components.toast import toast
from ui.components.upload import Upload
from ui.live import follow
from ui.pages.dataset.state import left_out
from ui.session import actor, current
from ui.theme import PATIENCE, frame

RAIL = 'variosyncRail()'
PAGE = 50  # datasets
DELETED = '/datasets?show=deleted'
COMPARED = 30  # datasets whose columns a file is compared with
PLACES = 3
FIRST_LINES = 30
ORDERS: Mapping[str, Callable[[Dataset], Any]] = {
    'name': lambda one: one.name.casefold(),
    'rows': lambda one: one.rows or 0,
    'faults': lambda one: (one.version is None, one.faults or 0, bool(left_out(one.tables))),
    'updated': lambda one: one.updated_at,
}
WITHOUT_VERSION = {
    JobState.QUEUED: ('Queued', 'line'),
    JobState.RUNNING: ('Converting', 'acc'),
    JobState.SUCCEEDED: ('Converting', 'acc'),
    JobState.FAILED: ('Not read', 'bad'),
    JobState.CANCELLED: ('Cancelled', 'line'),
}


def register(services: Services) -> None:
    """Serve `/datasets`."""

    @ui.page('/datasets', response_timeout=PATIENCE)
    async def datasets(q: str = '', page: str = '', show: str = '', deleted: str = '', sort: str = '') -> None:
        if show == 'deleted':
            with frame(services, ('Datasets', '/datasets'), 'Deleted', active='/datasets') as session:
                await _deleted(services, session.user.id, page).draw(services.events, session.user.id)
            return
        with frame(services, 'Datasets', active='/datasets') as session:
            paging = Paging(
                '/datasets', 'dataset', query=q, page=page, count=PAGE, sort=sort, keys=ORDERS, usual='-updated'
            )
            await _Datasets(services, session, paging).draw(deleted)


class _Datasets:
    """The datasets of a user, a page at a time."""

    def __init__(self, services: Services, session: Session, paging: Paging) -> None:
        self._services = services
        self._session = session
        self._paging = paging
        self._changes = Changes()

    async def draw(self, deleted: str) -> None:
        """Draw the head, the search and the list, and follow what happens to them."""
        self._zone = await upload_zone(self._services, self._session)
        self._head = tag('div')
        self._zone.move(target_index=1)
        user_id = self._session.user.id
        if gone := await was_deleted(deleted, lambda asked: self._services.datasets.kept_until(user_id, asked)):
            self._undo(*gone)
        self._paging.place(self._refresh)
        self._box = tag('div', classes='stack')
        await self._refresh()

        async def changed(message: Mapping[str, Any]) -> None:
            if message.get('state') != JobState.RUNNING or message.get('progress') == 0:
                await self._refresh()
                ui.run_javascript(RAIL)

        for channel in ('jobs', 'datasets'):
            ours = f'{self._session.user.id}/{channel}'
            follow(self._services.events, ours, changed, within=self._box, on_ready=self._refresh)

    async def _refresh(self) -> None:
        async with self._changes.alone:
            await self._read_and_draw()

    async def _read_and_draw(self) -> None:
        user_id, paging = self._session.user.id, self._paging
        wanted = (paging.query, paging.page)
        counts = await self._services.datasets.count(user_id, query=paging.query)
        page, before = paging.bounds(counts.found)
        read = partial(self._services.datasets.list, user_id, query=paging.query)
        found = await paging.read(read, before)
        without = [dataset.id for dataset in found if dataset.version is None]
        states = await self._services.jobs.states(user_id, without)
        # Who has typed on meanwhile waits for what was typed last.
        if wanted != (paging.query, paging.page) or not self._changes.seen(paging.query, page, found, counts, states):
            return
        paging.page = page
        self._draw_head(counts)
        self._box.clear()
        with self._box:
            if found:
                with card():
                    dataset_table(found, states, paging.ordered)
                paging.ways(counts.found)
            elif counts.total:
                with card():
                    empty_state('No dataset found', f'None has “{paging.query}” in its name or its file’s.')
            else:
                nothing_yet(self._zone)

    def _draw_head(self, counts: Counts) -> None:
        self._head.clear()
        with self._head:
            facts = f'{counted(counts.total, "dataset")}. {self._zone.cost}' if counts.total else ''
            page_head('Datasets', facts, actions=lambda: self._actions(counts))
        self._paging.tell(found=counts.found, total=counts.total)

    def _actions(self, counts: Counts) -> None:
        deleted_link(counts.deleted, DELETED)
        if counts.total:
            upload_button(self._zone)

    def _undo(self, deleted: UUID, until: datetime) -> None:
        async def undo() -> None:
            if await restored(self._services, deleted):
                ui.navigate.to(f'/datasets/{deleted}')
            else:
                note.delete()

        note = undo_note('The dataset was deleted. It is kept with its versions and forecasts', until, undo)


async def restored(services: Services, dataset_id: UUID) -> bool:
    """Bring a dataset back, and say when another page has done so."""
    try:
        await services.datasets.undelete(current().user.id, dataset_id, by=actor())
    except NotFound:
        toast('Nothing to restore', 'The dataset was brought back already, or removed for good.', level='info')
        return False
    return True


def _deleted(services: Services, user_id: UUID, page: str) -> DeletedPage:
    async def total() -> int:
        return (await services.datasets.count(user_id)).deleted

    return DeletedPage(
        noun='dataset',
        kept='Kept for 30 days with their versions and forecasts, then removed for good.',
        nothing='A dataset that you delete waits here for 30 days, with its versions and forecasts.',
        paging=Paging(DELETED, 'dataset', query='', page=page, count=PAGE),
        total=total,
        read=lambda before, most: services.datasets.deleted(user_id, offset=before, limit=most),
        restore=lambda one: restored(services, one),
        changed=lambda: ui.run_javascript(RAIL),
    )


async def upload_zone(services: Services, session: Session, *, dataset: str | None = None) -> Upload:
    """The drop zone of a page, with the uploads that broke off."""
    waiting: list[dict[str, Any]] = []
    with suppress(Unavailable):  # where uploads arrive does not answer; the rest of the page does not need it
        waiting = [
            {'id': str(upload.id), 'name': upload.name, 'size': upload.size, 'received': offset}
            for upload, offset in await services.uploads.unfinished(session.user.id)
        ]
    direct = bool(services.uploads.origins)

    async def fits(text: str) -> Sequence[tuple[str, str]]:
        return await fitting(services, session, text)

    return Upload(
        dataset=dataset,
        waiting=waiting,
        direct=direct,
        quote=services.hours.quote_convert,
        fits=None if dataset else fits,
    )


async def fitting(services: Services, session: Session, text: str) -> Sequence[tuple[str, str]]:
    """The id and name of the datasets, changed last, that have the columns of a file which begins like this."""
    found: list[tuple[str, str]] = []
    for data in await services.datasets.list(session.user.id, converted=True, limit=COMPARED):
        if len(found) == PLACES:
            break
        version = await services.datasets.version(session.user.id, data.id)
        if has_columns(text, version.manifest):
            found.append((str(data.id), data.name))
    return found


def has_columns(text: str, manifest: Mapping[str, Any]) -> bool:
    """Whether one of the first lines is the header of a file that a version came from."""
    delimiter = (manifest['source'].get('dialect') or {}).get('delimiter') or ''
    columns = manifest.get('base') or manifest['columns']
    names = sorted((column.get('source') or column['name']).strip().casefold() for column in columns)
    if not delimiter or len(names) < 2:
        return False
    for line in text.splitlines()[:FIRST_LINES]:
        cells = [cell.strip().strip('"\'').strip().casefold() for cell in line.lstrip('\ufeff').split(delimiter)]
        if sorted(filter(None, cells)) == names:
            return True
    return False


def upload_button(zone: Upload) -> None:
    """The one filled button of a page without data."""
    button('Upload data', icon_name='upload', kind='pri', on_click=zone.choose, data_act='upload', title=zone.cost)


def nothing_yet(zone: Upload) -> None:
    """The empty state of a workspace."""
    with card():
        empty_state(
            'No datasets yet',
            'Drop a CSV, Excel, JSON or Parquet file anywhere on this page. '
            'Every row is counted, and each fault is shown at its line.',
            actions=lambda: upload_button(zone),
            hint=f'Uploads go on where they stopped, even after a restart. {zone.cost}',
        )


def dataset_table(found: Sequence[Dataset], states: Mapping[UUID, Standing], ordered: Ordered | None = None) -> None:
    """Datasets as rows that open their pages; `states` tell what becomes of those without a version, or why not."""
    table(
        [
            Column(label='Name', cell=lambda d: _name(d, states.get(d.id)), width='34%', order='name'),
            Column(label='Rows', cell=lambda d: count(d.rows), num=True, width='13%', order='-rows'),
            Column(label='Shape', cell=_shape, width='19%', phone=False, classes='pad-l'),
            Column(label='Quality', cell=lambda d: _quality(d, states), width='20%', classes='pad-l', order='-faults'),
            Column(label='Updated', cell=_updated, num=True, phone=False, order='-updated'),
        ],
        found,
        href=lambda d: f'/datasets/{d.id}',
        label='Datasets',
        ordered=ordered,
    )


def _name(dataset: Dataset, stands: Standing | None) -> None:
    with tag('div', classes='vs').style('padding-block: var(--s1)'):
        tag('span', dataset.name, 'w5 cut')
        if stands is not None and stands.state == JobState.FAILED:
            tag('span', stands.why, 't12 red two-lines', title=stands.why)
            return
        series = f'{counted(dataset.series, "series", "series")}, ' if dataset.series else ''
        tag('span', f'{series}{dataset.source_name}', 't12 t3 cut')


def _shape(dataset: Dataset) -> None:
    spark(dataset.sparkline)


def _quality(dataset: Dataset, states: Mapping[UUID, Standing]) -> None:
    if dataset.version is None:
        stands = states.get(dataset.id)
        text, kind = ('Not converted', 'line') if stands is None else WITHOUT_VERSION[stands.state]
        badge(text, kind)
    elif dataset.faults:
        badge(counted(dataset.faults, 'fault'), 'warn')
    elif said := left_out(dataset.tables):
        badge(said, 'warn')
    else:
        badge('Clean', 'ok')


def _updated(dataset: Dataset) -> None:
    when(dataset.updated_at)
