"""Datasets: what was uploaded, newest change first, and the place to upload more."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from nicegui import ui

from core.errors import Unavailable
from core.services import Services
from core.values import Dataset, Job, JobState, Session
from ui.components.formats import counted
from ui.components.parts import badge, button, card, icon, page_head, tag
from ui.components.spark import spark
from ui.components.states import empty_state
from ui.components.table import Column, table
from ui.components.times import count, when
from ui.components.upload import Upload
from ui.live import follow
from ui.pages.dataset.state import left_out
from ui.session import current
from ui.theme import PATIENCE, frame

COMPARED = 30  # datasets whose columns a file is compared with
PLACES = 3
FIRST_LINES = 30
WITHOUT_VERSION = {
    JobState.QUEUED: ('Queued', 'line'),
    JobState.RUNNING: ('Converting', 'acc'),
    JobState.SUCCEEDED: ('Converting', 'acc'),
    JobState.FAILED: ('Failed', 'bad'),
    JobState.CANCELLED: ('Cancelled', 'line'),
}


def register(services: Services) -> None:
    """Serve `/datasets`."""

    @ui.page('/datasets', response_timeout=PATIENCE)
    async def datasets(deleted: str = '') -> None:
        with frame(services, 'Datasets', active='/datasets') as session:
            zone = await upload_zone(services, session)
            head = tag('div')
            if deleted:
                _undo(services, deleted)
            box = tag('div')

            async def refresh() -> None:
                found = await services.datasets.list(session.user.id)
                jobs = await services.jobs.list(session.user.id)
                head.clear()
                with head:
                    page_head(
                        'Datasets',
                        f'{counted(len(found), "dataset")}. {zone.cost}' if found else '',
                        actions=lambda: upload_button(zone),
                    )
                box.clear()
                with box:
                    if found:
                        with card():
                            dataset_table(found, jobs)
                    else:
                        nothing_yet(zone)

            await refresh()
            zone.move(target_index=1)

            async def changed(message: Mapping[str, Any]) -> None:
                if message.get('state') != JobState.RUNNING or message.get('progress') == 0:
                    await refresh()

            for channel in ('jobs', 'datasets'):
                follow(services.events, f'{session.user.id}/{channel}', changed, within=box, on_ready=refresh)


def _undo(services: Services, deleted: str) -> None:
    """A dataset has just been deleted; one press brings it back."""

    async def undo() -> None:
        await services.datasets.undelete(current().user.id, UUID(deleted))
        ui.navigate.to(f'/datasets/{deleted}')

    with tag('div', classes='note', role='status'):
        icon('trash-2')
        tag('span', 'The dataset was deleted. Its versions and forecasts are kept.', 'grow')
        button('Undo', kind='small', icon_name='undo-2', on_click=undo)


async def upload_zone(services: Services, session: Session, *, dataset: str | None = None) -> Upload:
    """The drop zone of a page, with the uploads that broke off."""
    waiting: list[dict[str, Any]] = []
    with suppress(Unavailable):  # where uploads arrive does not answer; the rest of the page does not need it
        waiting = [
            {'id': str(upload.id), 'name': upload.name, 'size': upload.size, 'received': offset}
            for upload, offset in await services.datasets.unfinished(session.user.id)
        ]
    direct = bool(services.datasets.origins)

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
    found = []
    for data in [data for data in await services.datasets.list(session.user.id) if data.version][:COMPARED]:
        version = await services.datasets.version(session.user.id, data.id)
        if len(found) < PLACES and has_columns(text, version.manifest):
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


def dataset_table(found: Sequence[Dataset], jobs: Sequence[Job]) -> None:
    """Datasets as rows that open their pages; `jobs` (newest first) tell what becomes of those without a version."""
    states: dict[UUID | None, JobState] = {}
    for job in jobs:
        states.setdefault(job.dataset_id, job.state)
    table(
        [
            Column(label='Name', cell=_name, width='34%'),
            Column(label='Rows', cell=lambda d: count(d.rows), num=True, width='14%'),
            Column(label='Shape', cell=_shape, width='20%', phone=False, classes='pad-l'),
            Column(label='Quality', cell=lambda d: _quality(d, states), width='16%', classes='pad-l'),
            Column(label='Updated', cell=_updated, num=True, phone=False),
        ],
        found,
        href=lambda d: f'/datasets/{d.id}',
        label='Datasets',
    )


def _name(dataset: Dataset) -> None:
    with tag('div', classes='vs'):
        tag('span', dataset.name, 'w5 cut')
        series = f', {counted(dataset.series, "series", "series")}' if dataset.series else ''
        tag('span', f'{dataset.source_name}{series}', 't12 t3 cut')


def _shape(dataset: Dataset) -> None:
    spark(dataset.sparkline)


def _quality(dataset: Dataset, states: Mapping[UUID | None, JobState]) -> None:
    if dataset.version is None:
        state = states.get(dataset.id)
        text, kind = ('Not converted', 'line') if state is None else WITHOUT_VERSION[state]
        badge(text, kind)
    elif dataset.faults:
        badge(counted(dataset.faults, 'fault'), 'warn')
    elif said := left_out(dataset.tables):
        badge(said, 'warn')
    else:
        badge('Clean', 'ok')


def _updated(dataset: Dataset) -> None:
    when(dataset.updated_at)
