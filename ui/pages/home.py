"""Home: recent datasets, running jobs and the way to bring data."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from nicegui import ui

from core.services import Services
from core.values import Job, JobState
from ui.components.jobs import Changes, Running, job_line
from ui.components.parts import button, card, page_head, tag
from ui.components.states import empty_state
from ui.live import follow
from ui.pages.datasets import dataset_table, nothing_yet, upload_button, upload_zone
from ui.theme import frame

RECENT = 6


def register(services: Services) -> None:
    """Serve `/`."""

    @ui.page('/')
    async def home() -> None:
        with frame(services, 'Home', active='/') as session:
            zone = await upload_zone(services, session)
            today = datetime.now(UTC)
            with tag('div') as head:
                page_head('Home', f'{today:%A} {today.day} {today:%B}', actions=lambda: upload_button(zone))
            head.move(target_index=0)
            box = tag('div')
            running, changes = Running(), Changes()

            async def refresh() -> None:
                found = await services.datasets.list(session.user.id)
                jobs = await services.jobs.list(session.user.id, limit=RECENT)
                if not changes.seen([(d.id, d.updated_at) for d in found], [(job.id, job.state) for job in jobs]):
                    return
                running.clear()
                box.clear()
                with box:
                    if not found and not jobs:
                        nothing_yet(zone)
                        return
                    with tag('div', classes='g12'):
                        with card('Recent datasets', classes='c8', actions=lambda: _all('/datasets', 'All datasets')):
                            dataset_table(found[:RECENT], jobs)
                        with card('Jobs', classes='c4', actions=lambda: _all('/jobs', 'All jobs')):
                            _jobs(services, jobs, running)

            await refresh()

            async def changed(message: Mapping[str, Any]) -> None:
                if not running.tell(message):
                    await refresh()

            for channel in ('jobs', 'datasets'):
                follow(services.events, f'{session.user.id}/{channel}', changed, within=box, on_ready=refresh)


def _all(href: str, label: str) -> None:
    button(label, kind='ghost small', href=href)


def _jobs(services: Services, jobs: Sequence[Job], running: Running) -> None:
    if not jobs:
        empty_state('No jobs yet', 'Conversions and forecasts show up here while they run.')
    for job in sorted(jobs, key=lambda job: job.state not in (JobState.RUNNING, JobState.QUEUED)):
        job_line(services, job, running)
