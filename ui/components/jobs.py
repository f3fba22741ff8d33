"""Jobs as lines: what runs, how far it is, and how to stop it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from core.values import Job, JobState
from ui.components.parts import icon, icon_button, progress, set_progress, tag
from ui.components.times import amount, duration, when
from ui.session import current

SIGNS = {
    JobState.SUCCEEDED: ('circle-check', 'green'),
    JobState.FAILED: ('circle-alert', 'red'),
    JobState.CANCELLED: ('ban', ''),
    JobState.QUEUED: ('clock', ''),
}
KINDS = {'convert': 'file-up', 'forecast': 'chart-spline', 'score': 'shield-check'}


ASKS = ('ambiguous_dates', 'no_time_column', 'unreadable_file', 'unusable_data', 'usage_error')
"""Errors of conversions that running again does not mend: the page of the dataset asks how the file is to be read."""


class Changes:
    """Whether something differs from what was drawn last: what is the same is not drawn again.

    Who reads and draws does so `alone`: of two at a time, the one that read first might draw last.
    """

    def __init__(self) -> None:
        self.alone = asyncio.Lock()
        self._last: object = None

    def seen(self, *state: object) -> bool:
        """Note what is about to be drawn; False when it stands there already."""
        before, self._last = self._last, state
        return before != state


class Running:
    """The running jobs of a page, moved in place: drawing a button anew would lose the click that is on its way.

    `words` are those in which a page tells what a job does.
    """

    def __init__(self, words: Callable[[str], str] = str) -> None:
        self._words = words
        self._told: dict[str, Callable[[float, str, str], None]] = {}

    def clear(self) -> None:
        """Forget what was drawn."""
        self._told.clear()

    def tell(self, message: Mapping[str, Any]) -> bool:
        """Show a job's progress where it stands; False when the page has to be drawn again."""
        show = self._told.get(message.get('job', ''))
        if message.get('state') not in (JobState.QUEUED, JobState.RUNNING) or show is None:
            return False
        show(message.get('progress', 0.0), message.get('message', ''), message['state'])
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
                    tag('span', f'costs up to {amount(job.quote)}', title='What it may take of your hours')

        estimate = Estimate()

        def show(part: float, text: str, state: str) -> None:
            share.text = f'{100 * part:.0f}%'
            said.text = self._words(text) or ('Waiting for its turn' if state == JobState.QUEUED else 'Starting')
            told = text.endswith(' left')  # by a task that knows its own pace
            left.text = (
                ''
                if told
                else estimate.tell(replace(job, progress=part, started_at=job.started_at or datetime.now(UTC)))
            )
            set_progress(bar, inner, part or None)

        show(job.progress, job.message, job.state)
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
    return '–' if job.charged is None else amount(job.charged)


def link_of(job: Job) -> str:
    """The page that shows what a job works on."""
    return f'/forecasts/{job.forecast_id}' if job.forecast_id else f'/datasets/{job.dataset_id}'


class Estimate:
    """The time left of a running job in words. One that grows says so: it would read as if the work ran backwards."""

    def __init__(self) -> None:
        self._least = float('inf')

    def tell(self, job: Job) -> str:
        """Say how long the job may still take; nothing while its progress says little."""
        left = _seconds_left(job)
        if left is None:
            return ''
        least, self._least = self._least, min(self._least, left)
        grown = left > least and duration(left) != duration(least)
        return f'{duration(left)} left, longer than thought' if grown else f'{duration(left)} left'


def _seconds_left(job: Job) -> float | None:
    """How long a running job may still take, judged by its progress so far; None while that says little."""
    if job.started_at is None or job.progress < 0.05:
        return None
    spent = (datetime.now(UTC) - job.started_at).total_seconds()
    return spent * (1 - job.progress) / job.progress if spent > 1 else None
