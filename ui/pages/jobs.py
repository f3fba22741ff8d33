"""Jobs: states, attempts, errors; cancel and run again."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from nicegui import ui

from core.services import Services
from core.values import Job, JobState
from ui.components.jobs import ASKS, KINDS, SIGNS, Changes, Running, charge_of, link_of
from ui.components.parts import badge, button, card, icon, page_head, segment, tag
from ui.components.states import empty_state
from ui.components.table import Column, table
from ui.components.times import amount, duration, when
from ui.live import follow
from ui.pages.forecast_words import in_words
from ui.session import current
from ui.theme import PATIENCE, frame

FILTERS = {'all': 'All', 'open': 'Open', 'failed': 'Failed or cancelled'}
STATES: Mapping[str, Sequence[JobState] | None] = {
    'all': None,
    'open': (JobState.QUEUED, JobState.RUNNING),
    'failed': (JobState.FAILED, JobState.CANCELLED),
}
AT_ONCE = 50  # jobs
NOTHING = {
    'all': (
        'No jobs yet',
        'Each file and each forecast has one: how far it is, and what it took.',
        'Go to datasets',
        '/datasets',
    ),
    'open': ('Nothing is running', 'What is asked for next shows up here at once.', 'Show all jobs', '/jobs'),
    'failed': ('No job failed', 'Here you would read why, and run it again.', 'Show all jobs', '/jobs'),
}
BADGES = {JobState.SUCCEEDED: 'ok', JobState.FAILED: 'bad', JobState.CANCELLED: 'line'}


def register(services: Services) -> None:
    """Serve `/jobs`."""

    @ui.page('/jobs', response_timeout=PATIENCE)
    async def jobs(show: str = 'all') -> None:
        chosen = show if show in FILTERS else 'all'
        with frame(services, 'Jobs', active='/jobs') as session:
            page_head('Jobs', 'Conversions and forecasts; they go on when this tab is closed.')
            with tag('div', classes='hs'):
                segment(FILTERS, chosen, label='Show', on_change=lambda value: ui.navigate.to(f'/jobs?show={value}'))
            await _Jobs(services, session.user.id, chosen).draw()


class _Jobs:
    """The jobs of one user that a filter leaves, the newest first; older ones are shown as they are asked for."""

    def __init__(self, services: Services, user_id: UUID, chosen: str) -> None:
        self._services = services
        self._user_id = user_id
        self._chosen = chosen
        self._shown = AT_ONCE
        self._running = Running(in_words)
        self._changes = Changes()

    async def draw(self) -> None:
        """Draw the newest, and follow what becomes of them."""
        self._box = tag('div', classes='stack')
        self._foot = tag('div', classes='hs').style('justify-content: center')
        with self._foot:
            button('Show older', kind='ghost', on_click=self._older)
        await self._refresh()

        async def changed(message: Mapping[str, Any]) -> None:
            if not self._running.tell(message):
                await self._refresh()

        ours = f'{self._user_id}/jobs'
        follow(self._services.events, ours, changed, within=self._box, on_ready=self._refresh)

    async def _older(self) -> None:
        self._shown += AT_ONCE
        await self._refresh()

    async def _refresh(self) -> None:
        async with self._changes.alone:
            await self._read_and_draw()

    async def _read_and_draw(self) -> None:
        found = await self._services.jobs.list(self._user_id, limit=self._shown + 1, states=STATES[self._chosen])
        jobs = found[: self._shown]
        self._foot.set_visibility(len(found) > len(jobs))
        asking = {job.dataset_id for job in jobs if job.dataset_id and _asks(job)}
        standing = await self._services.jobs.states(self._user_id, asking)
        answered = {dataset for dataset, one in standing.items() if not one.outside}
        if not self._changes.seen([(job.id, job.state) for job in jobs], answered):
            return
        self._running.clear()
        self._box.clear()
        with self._box:
            self._list(jobs, answered)

    def _list(self, found: Sequence[Job], answered: Collection[UUID]) -> None:
        under_way = [job for job in found if not job.state.final]
        ended = [job for job in found if job.state.final]
        if under_way:
            with card('Under way', f'{len(under_way)}'):
                for job in under_way:
                    self._running.draw(self._services, job, job.title)
        if ended:
            with card():
                _table(self._services, ended, answered)
        if not found:
            with card():
                title, text, label, href = NOTHING[self._chosen]
                kind = 'pri' if self._chosen == 'all' else ''
                empty_state(title, text, actions=lambda: button(label, href=href, kind=kind))


def _table(services: Services, found: Sequence[Job], answered: Collection[UUID]) -> None:
    table(
        [
            Column(label='Job', cell=_title, width='34%'),
            Column(label='State', cell=_state, width='14%'),
            Column(label='Attempt', cell=lambda job: f'{job.attempt} of {job.max_attempts}', num=True, phone=False),
            Column(label='Took', cell=_took, num=True, phone=False),
            Column(label='Charged', cell=charge_of, num=True, phone=False),
            Column(label='Asked', cell=_created, num=True, phone=False),
            Column(label='', cell=lambda job: _actions(services, job, answered), num=True, width='132px'),
        ],
        found,
        label='Jobs',
    )


def _title(job: Job) -> None:
    with tag('div', classes='hs', data_job=str(job.id), data_state=job.state.value):
        icon(KINDS[job.kind], classes='t3')
        with tag('div', classes='vs grow').style('padding-block: var(--s1)'):
            tag('a', job.title, 'w5 cut link-quiet', href=link_of(job))
            if job.error:
                tag('span', job.error['message'], 't12 red two-lines', title=job.error['message'])


def _state(job: Job) -> None:
    badge(job.state.value.capitalize(), BADGES[job.state], icon_name=SIGNS[job.state][0])


def _took(job: Job) -> str:
    if job.started_at is None or job.finished_at is None:
        return '–'
    return duration((job.finished_at - job.started_at).total_seconds())


def _created(job: Job) -> None:
    when(job.created_at)


def _asks(job: Job) -> bool:
    """Whether a conversion waits for somebody to say how its file is to be read."""
    return job.state == JobState.FAILED and job.kind == 'convert' and (job.error or {}).get('code') in ASKS


def _actions(services: Services, job: Job, answered: Collection[UUID]) -> None:
    """What can be done about a job; nothing where all files of one of the `answered` datasets are read."""

    async def retry() -> None:
        await services.jobs.retry(current().user.id, job.id)

    if _asks(job) and job.dataset_id in answered:
        tag('span', 'Corrected since', 't12 t3')
    elif _asks(job):
        button('Correct it', kind='small', icon_name='pencil', href=link_of(job))
    elif job.state in (JobState.FAILED, JobState.CANCELLED):
        with tag('div', classes='vs again'):
            button('Run again', kind='small', icon_name='rotate-ccw', on_click=retry)
            if job.quote:
                tag('span', f'costs up to {amount(job.quote)}', 't12 t3', title='What it may take of your hours')
