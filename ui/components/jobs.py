"""Jobs as lines: what runs, how far it is, and how to stop it."""

from datetime import UTC, datetime
from typing import Any

from core.values import Job, JobState, Session
from ui.components.parts import icon, icon_button, progress, tag
from ui.components.times import duration, when
from ui.session import current

SIGNS = {
    JobState.SUCCEEDED: ('circle-check', 'green', 'done'),
    JobState.FAILED: ('circle-alert', 'red', 'failed'),
    JobState.CANCELLED: ('ban', '', 'cancelled'),
    JobState.QUEUED: ('clock', '', 'queued'),
}
KINDS = {'convert': 'file-up', 'forecast': 'chart-spline'}


def job_line(services: Any, session: Session, job: Job) -> None:
    """A job in two or three lines; a running one has a bar and a button that cancels it."""
    running = job.state == JobState.RUNNING
    symbol, colour, word = SIGNS.get(job.state, (KINDS[job.kind], '', 'running'))
    with tag('div', classes='job', data_job=str(job.id), data_state=job.state.value):
        with tag('div', classes='l'):
            icon(symbol, classes=colour or 't3')
            tag('a', job.title, 'w5 cut grow', href=link_of(job))
            if running:
                tag('span', f'{100 * job.progress:.0f}%', 't12 t2')
            elif job.finished_at:
                when(job.finished_at, 't12 t3')
            else:
                tag('span', word, 't12 t2')
            if not job.state.final:
                cancel_button(services, job)
        if running:
            progress(job.progress, label=job.title)
            with tag('div', classes='l t12 t3'):
                tag('span', job.message, 'cut grow')
                tag('span', time_left(job))
        elif job.state == JobState.FAILED and job.error:
            tag('span', job.error['message'], 't12 red')


def cancel_button(services: Any, job: Job) -> None:
    """Cancel a job that has not ended."""

    async def cancel() -> None:
        await services.jobs.cancel(current().user.id, job.id)

    icon_button('x', f'Cancel {job.title}', small=True, on_click=cancel)


def link_of(job: Job) -> str:
    """The page that shows what a job works on."""
    return f'/forecasts/{job.forecast_id}' if job.forecast_id else f'/datasets/{job.dataset_id}'


def time_left(job: Job) -> str:
    """How long a running job may still take, judged by its progress so far; nothing while that says little."""
    if job.started_at is None or job.progress < 0.05:
        return ''
    spent = (datetime.now(UTC) - job.started_at).total_seconds()
    return f'{duration(spent * (1 - job.progress) / job.progress)} left' if spent > 1 else ''
