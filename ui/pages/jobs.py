"""Jobs: states, attempts, errors; cancel and run again."""

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from core.services import Services
from core.values import Job, JobState
from ui.components.jobs import KINDS, SIGNS, Changes, Running, charge_of, link_of
from ui.components.parts import badge, button, card, icon, page_head, segment, tag
from ui.components.states import empty_state
from ui.components.table import Column, table
from ui.components.times import clock, duration, when
from ui.live import follow
from ui.session import current
from ui.theme import frame

FILTERS = {'all': 'All', 'open': 'Open', 'failed': 'Failed or cancelled'}
BADGES = {JobState.SUCCEEDED: 'ok', JobState.FAILED: 'bad', JobState.CANCELLED: 'line'}


def register(services: Services) -> None:
    """Serve `/jobs`."""

    @ui.page('/jobs')
    async def jobs(show: str = 'all') -> None:
        chosen = show if show in FILTERS else 'all'
        with frame(services, 'Jobs', active='/jobs') as session:
            page_head('Jobs', 'Conversions and forecasts; they go on when this tab is closed.')
            with tag('div', classes='hs'):
                segment(FILTERS, chosen, label='Show', on_change=lambda value: ui.navigate.to(f'/jobs?show={value}'))
            box = tag('div', classes='stack')
            running, changes = Running(), Changes()

            async def refresh() -> None:
                found = [job for job in await services.jobs.list(session.user.id) if _shown(job, chosen)]
                if not changes.seen([(job.id, job.state) for job in found]):
                    return
                running.clear()
                box.clear()
                with box:
                    _list(services, found, running)

            await refresh()

            async def changed(message: Mapping[str, Any]) -> None:
                if not running.tell(message):
                    await refresh()

            follow(services.events, f'{session.user.id}/jobs', changed, within=box, on_ready=refresh)


def _list(services: Services, found: Sequence[Job], running: Running) -> None:
    under_way = [job for job in found if not job.state.final]
    ended = [job for job in found if job.state.final]
    if under_way:
        with card('Under way', f'{len(under_way)}'):
            for job in under_way:
                running.draw(services, job, job.title)
    if ended:
        with card():
            _table(services, ended)
    if not found:
        with card():
            empty_state('No jobs here', 'Upload a file or ask for a forecast, and its job shows up here.')


def _shown(job: Job, chosen: str) -> bool:
    if chosen == 'open':
        return not job.state.final
    return chosen == 'all' or job.state in (JobState.FAILED, JobState.CANCELLED)


def _table(services: Services, found: Sequence[Job]) -> None:
    table(
        [
            Column(label='Job', cell=_title, width='34%'),
            Column(label='State', cell=_state, width='14%'),
            Column(label='Attempt', cell=lambda job: f'{job.attempt} of {job.max_attempts}', num=True, phone=False),
            Column(label='Took', cell=_took, num=True, phone=False),
            Column(label='Charged', cell=charge_of, num=True, phone=False),
            Column(label='Started', cell=_created, num=True, phone=False),
            Column(label='', cell=lambda job: _actions(services, job), num=True, width='132px'),
        ],
        found,
        label='Jobs',
    )


def _title(job: Job) -> None:
    with tag('div', classes='hs', data_job=str(job.id), data_state=job.state.value):
        icon(KINDS[job.kind], classes='t3')
        with tag('div', classes='vs grow'):
            tag('a', job.title, 'w5 cut link-quiet', href=link_of(job))
            if job.error:
                tag('span', job.error['message'], 't12 red two-lines', title=job.error['message'])


def _state(job: Job) -> None:
    badge(job.state.value, BADGES[job.state], icon_name=SIGNS[job.state][0])


def _took(job: Job) -> str:
    if job.started_at is None or job.finished_at is None:
        return '–'
    return duration((job.finished_at - job.started_at).total_seconds())


def _created(job: Job) -> None:
    when(job.created_at)


def _actions(services: Services, job: Job) -> None:
    async def retry() -> None:
        await services.jobs.retry(current().user.id, job.id)

    if job.state in (JobState.FAILED, JobState.CANCELLED):
        with tag('div', classes='vs again'):
            button('Run again', kind='small', icon_name='rotate-ccw', on_click=retry)
            if job.quote:
                tag('span', f'up to {clock(job.quote)}', 't12 t3', title='What it may take of your hours')
