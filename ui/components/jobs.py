"""Jobs as lines: what runs, how far it is, and how to stop it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from core.values import Job, JobState
from ui.components.parts import icon, icon_button, progress, set_progress, tag
from ui.components.times import clock, duration, when
from ui.session import current

SIGNS = {
    JobState.SUCCEEDED: ('circle-check', 'green'),
    JobState.FAILED: ('circle-alert', 'red'),
    JobState.CANCELLED: ('ban', ''),
    JobState.QUEUED: ('clock', ''),
}
KINDS = {'convert': 'file-up', 'forecast': 'chart-spline', 'score': 'shield-check'}


class Changes:
    """Whether something differs from what was drawn last: what is the same is not drawn again."""

    def __init__(self) -> None:
        self._last: object = None

    def seen(self, *state: object) -> bool:
        """Note what is about to be drawn; False when it stands there already."""
        before, self._last = self._last, state
        return before != state


class Running:
    """The running jobs of a page, moved in place: drawing a button anew would lose the click that is on its way."""

    def __init__(self) -> None:
        self._told: dict[str, Callable[[float, str], None]] = {}

    def clear(self) -> None:
        """Forget what was drawn."""
        self._told.clear()

    def tell(self, message: Mapping[str, Any]) -> bool:
        """Show a job's progress where it stands; False when the page has to be drawn again."""
        show = self._told.get(message.get('job', ''))
        if message.get('state') not in (JobState.QUEUED, JobState.RUNNING) or show is None:
            return False
        show(message.get('progress', 0.0), message.get('message', ''))
        return True

    def catch_up(self, job: Job | None) -> bool:
        """Like `tell`, with what the database says now."""
        if job is None:
            return False
        return self.tell({'job': str(job.id), 'state': job.state, 'progress': job.progress, 'message': job.message})

    def draw(self, services: Any, job: Job, title: str) -> None:
        """A running or waiting job: its name, how far it is, what it does, the time left, and how to cancel it."""
        with tag('div', classes='job', data_job=str(job.id), data_state=job.state.value):
            with tag('div', classes='l'):
                icon(KINDS[job.kind], classes='t3')
                tag('a', title, 'w5 cut grow', href=link_of(job))
                share = tag('span', '', 't12 t2')
                cancel_button(services, job)
            bar = progress(None, label=title)
            (inner,) = bar.default_slot.children
            with tag('div', classes='l t12 t3'):
                said = tag('span', '', 'cut grow')
                left = tag('span')
                if job.quote:
                    tag('span', f'up to {clock(job.quote)}', title='What it may take of your hours')

        def show(part: float, text: str) -> None:
            share.text = f'{100 * part:.0f}%'
            said.text = text or 'Waiting for its turn'
            told = text.endswith(' left')  # by a task that knows its own pace
            left.text = (
                '' if told else time_left(replace(job, progress=part, started_at=job.started_at or datetime.now(UTC)))
            )
            set_progress(bar, inner, part or None)

        show(job.progress, job.message)
        self._told[str(job.id)] = show


def job_line(services: Any, job: Job, running: Running) -> None:
    """A job in one to three lines; one that has not ended has a bar and a button that cancels it."""
    if not job.state.final:
        running.draw(services, job, job.title)
        return
    symbol, colour = SIGNS[job.state]
    with tag('div', classes='job', data_job=str(job.id), data_state=job.state.value):
        with tag('div', classes='l'):
            icon(symbol, classes=colour or 't3')
            tag('a', job.title, 'w5 cut grow', href=link_of(job))
            if job.charged is not None and job.quote:
                tag('span', charge_of(job), 't12 t3', title='Taken of your hours')
            if job.finished_at:
                when(job.finished_at, 't12 t3')
        if job.state == JobState.FAILED and job.error:
            tag('span', job.error['message'], 't12 red two-lines', title=job.error['message'])


def cancel_button(services: Any, job: Job) -> None:
    """Cancel a job that has not ended."""

    async def cancel() -> None:
        await services.jobs.cancel(current().user.id, job.id)

    icon_button('x', f'Cancel {job.title}', small=True, on_click=cancel)


def charge_of(job: Job) -> str:
    """What an ended job took of the user's hours."""
    return '–' if job.charged is None else clock(job.charged)


def link_of(job: Job) -> str:
    """The page that shows what a job works on."""
    return f'/forecasts/{job.forecast_id}' if job.forecast_id else f'/datasets/{job.dataset_id}'


def time_left(job: Job) -> str:
    """How long a running job may still take, judged by its progress so far; nothing while that says little."""
    if job.started_at is None or job.progress < 0.05:
        return ''
    spent = (datetime.now(UTC) - job.started_at).total_seconds()
    return f'{duration(spent * (1 - job.progress) / job.progress)} left' if spent > 1 else ''
