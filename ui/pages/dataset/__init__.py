"""A dataset: chart, profile, faults, rows, the roles of its columns and its versions."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import Query
from nicegui import ui

from core.errors import Unavailable
from core.services import Services
from core.uploads import Twin
from core.values import Balance, Dataset, Job, JobState, Quote, Session
from ui.components.jobs import Running
from ui.components.palette import Entry
from ui.components.parts import button, card, icon, page_head, tag
from ui.components.states import empty_state, skeleton_rows
from ui.components.times import count
from ui.live import follow
from ui.pages.addressed import id_of
from ui.pages.dataset.columns_tab import ColumnsTab
from ui.pages.dataset.failed import conversion_failed
from ui.pages.dataset.faults_tab import FaultsTab
from ui.pages.dataset.head import BUILD, Head
from ui.pages.dataset.origin import time_of
from ui.pages.dataset.overview_tab import OverviewTab
from ui.pages.dataset.recipe_tab import RecipeTab
from ui.pages.dataset.rows_tab import RowsTab
from ui.pages.dataset.state import Asked, Shown, View, cost, end_making
from ui.pages.dataset.versions_tab import VersionsTab
from ui.session import current
from ui.theme import PATIENCE, frame

VIEWS: Mapping[str, type[View]] = {
    'overview': OverviewTab,
    'faults': FaultsTab,
    'rows': RowsTab,
    'columns': ColumnsTab,
    'recipe': RecipeTab,
    'versions': VersionsTab,
}


class FileGone(View):
    """In the place of the faults of a file whose version is gone: its lines are not those of another file."""

    def draw(self) -> None:
        """Say so, and lead to what there is."""
        line, number = self.shown.asked.line, self.shown.version.number
        place = 'This fault' if line is None else f'Line {count(line)}'
        with card():
            empty_state(
                'This file is no longer kept',
                f'{place} is of a file whose version is gone. Its rows are kept, and its mark in the chart still says '
                'what was found there.',
                actions=lambda: button(f'Faults of v{number}', href=self.shown.address('faults')),
            )


def register(services: Services) -> None:
    """Serve `/datasets/{id}`."""

    @ui.page('/datasets/{dataset_id}', response_timeout=PATIENCE)
    async def dataset(
        dataset_id: str,
        tab: str = 'overview',
        v: int | None = None,
        page: int = 1,
        series: list[str] | None = Query(None),  # noqa: B008 - how the framework is told that a parameter repeats
        recipe: str = '',
        kind: str = '',
        column: str | None = None,
        action: str = '',
        before: int | None = None,
        after: int | None = None,
        at: str = '',
        of: str = '',
        line: int | None = None,
        origin: str = '',
        older: int | None = None,
        how: str = '',
        same: str = '',
    ) -> None:
        user = current().user
        found = await services.datasets.get(user.id, id_of(dataset_id, 'dataset'))
        chosen = tab if tab in VIEWS else 'overview'
        asked = Asked(
            tab=chosen,
            version=v,
            page=page,
            series=series or (),
            recipe=recipe,
            kind=kind,
            column=column,
            action=action,
            before=before,
            after=after,
            at=time_of(at),
            of=of,
            line=line,
            older=older,
            how=how,
        )
        if chosen == 'faults' and found.version is not None:
            await services.demo.saw_faults(user.id, found.id)
        crumbs, actions = (
            (('Datasets', '/datasets'), found.name),
            [Entry(label=BUILD, icon='layout-dashboard', press='dashboard')],
        )
        with frame(services, *crumbs, active='/datasets', actions=actions) as session:
            if same and (twin := await services.uploads.twin(user.id, dataset_id=found.id)):
                _same_bytes(twin)
            box = tag('div', classes='stack')

            heads: list[Head] = []
            views: list[View] = []
            running = Running()
            drawing = asyncio.Lock()

            async def draw() -> None:
                """Draw the page, once at a time: several messages tell of the same end."""
                async with drawing:
                    await read_and_draw()

            async def read_and_draw() -> None:
                nonlocal asked
                if views and isinstance(views[0], VersionsTab):
                    asked = replace(asked, how=views[0].how)
                heads.clear()
                running.clear()
                data = await services.datasets.get(session.user.id, found.id)
                job = await services.jobs.last(session.user.id, found.id, 'convert')
                if job is not None and job.state.final:
                    with box:
                        end_making()
                if data.version is None:
                    price = await cost(services, session, data)
                    box.clear()
                    with box:
                        _without_version(services, session, data, job, running, price)
                    return
                versions = await services.datasets.versions(session.user.id, found.id)
                # A fault is told of by the version that read its file, which marks of later ones lead to.
                made = await services.datasets.made_by(session.user.id, found.id, [origin]) if origin else {}
                read = made[origin][0] if origin in made else None
                shown = Shown(
                    services=services,
                    session=session,
                    data=data,
                    version=await services.datasets.version(session.user.id, found.id, read or v),
                    versions=versions,
                    job=job,
                    asked=asked,
                )
                view = FileGone(shown) if origin and read is None else VIEWS[asked.tab](shown)
                try:
                    await view.load()
                except Unavailable as error:
                    view.away = error.message
                heads.append(Head(shown))
                box.clear()
                with box:
                    heads[0].draw()
                    views[:] = [view]
                    view.draw()
                # Whoever has closed what tells of a row does not want it again once the page changes.
                asked = replace(asked, at=None, line=None if asked.at else asked.line)

            await draw()

            async def changed(message: Mapping[str, Any]) -> None:
                if message.get('dataset') != str(found.id) or message.get('kind', 'convert') != 'convert':
                    return
                # A page with a chart is drawn again only when something has ended or begun.
                if not (running.tell(message) or (heads and heads[0].tell(message))):
                    await draw()

            async def catch_up() -> None:
                """Whatever ended before this page listened would not be told again."""
                if heads and not heads[0].unsettled:
                    return
                if not running.catch_up(await services.jobs.last(session.user.id, found.id, 'convert')):
                    await draw()

            for channel in ('jobs', 'datasets'):
                follow(services.events, f'{session.user.id}/{channel}', changed, within=box, on_ready=catch_up)


def _same_bytes(twin: Twin) -> None:
    """Say that what was just uploaded has been here before; nothing is wrong with that."""
    with tag('div', classes='note', role='status'):
        icon('copy')
        tag('span', f'These bytes are already in {twin.where}.', 'grow')
        button('Open it', kind='small', href=f'/datasets/{twin.dataset_id}')


def _without_version(
    services: Services,
    session: Session,
    data: Dataset,
    job: Job | None,
    running: Running,
    price: tuple[Quote, Balance],
) -> None:
    page_head(data.name, data.source_name if data.source_name != data.name else '')
    if job is not None and job.state in (JobState.FAILED, JobState.CANCELLED):
        conversion_failed(services, session, data, job, price)
        return
    with card():
        if job is not None:
            running.draw(services, job, f'Converting {data.source_name}')
        skeleton_rows(5)
    tag('p', 'You can close this tab; the work goes on.', 't12 t3')
