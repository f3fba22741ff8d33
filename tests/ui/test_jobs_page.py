"""The page of jobs: what each filter finds, and older ones as they are asked for."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from nicegui.testing import User, user_simulation

from core.jobs import Standing
from core.settings import Settings
from core.values import Job, JobState
from tests.ui import doubles
from tests.ui.site import until
from ui.app import mount
from ui.components.jobs import Estimate
from ui.pages.jobs import AT_ONCE
from ui.session import COOKIE

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def job(place: int, state: JobState) -> Job:
    at = BEGIN + timedelta(minutes=place)
    return Job(
        id=uuid4(), user_id=uuid4(), kind='convert', title=f'Convert {place}', state=state, payload={}, progress=1.0,
        message='', attempt=1, max_attempts=3, error=None, cancel_requested=False, dataset_id=uuid4(), forecast_id=None,
        created_at=at, started_at=at, finished_at=at,
    )  # fmt: skip


class Kept:
    """Jobs as the service answers them: the newest first."""

    def __init__(self) -> None:
        self.jobs = [job(place, JobState.SUCCEEDED) for place in range(10 + 2 * AT_ONCE, 10, -1)]
        self.jobs += [job(2, JobState.CANCELLED), job(1, JobState.FAILED)]

    async def list(self, user_id: UUID, *, limit: int, states: Collection[JobState] | None) -> Sequence[Job]:
        return [one for one in self.jobs if states is None or one.state in states][:limit]

    async def states(self, user_id: UUID, dataset_ids: Collection[UUID]) -> Mapping[UUID, Standing]:
        newest_last = [(one.dataset_id, one.state) for one in reversed(self.jobs)]
        return {
            dataset: Standing(state=state, outside=int(state != JobState.SUCCEEDED))
            for dataset, state in newest_last
            if dataset and dataset in dataset_ids
        }


@pytest.fixture
async def kept() -> AsyncIterator[tuple[User, Kept, Any, UUID]]:
    async with user_simulation() as user:
        services: Any = doubles.Services(Settings(VARIOSYNC_PUBLIC_URL='http://test'))
        services.jobs = Kept()
        token, session = services.accounts.open('maria.keller@example.com')
        mount(services)
        user.http_client.cookies.set(COOKIE, token)
        yield user, services.jobs, services, session.user.id


def texts(user: User) -> list[str]:
    return [str(getattr(element, 'text', '')) for element in user._client.elements.values()]


def titles(user: User) -> list[str]:
    return [text for text in texts(user) if text.startswith('Convert ')]


def has_older(user: User) -> bool:
    (one,) = [element for element in user._client.elements.values() if getattr(element, 'text', '') == 'Show older']
    return bool(one.parent_slot.parent.visible)


async def test_older_jobs_are_shown_as_they_are_asked_for(kept: tuple[User, Kept, Any, UUID]) -> None:
    user, jobs, services, owner = kept
    await user.open('/jobs')
    assert titles(user) == [one.title for one in jobs.jobs[:AT_ONCE]]
    user.find('Show older').click()
    await until(lambda: len(titles(user)) == 2 * AT_ONCE)
    assert has_older(user)
    user.find('Show older').click()
    await until(lambda: len(titles(user)) == len(jobs.jobs))
    assert not has_older(user)
    jobs.jobs.insert(0, job(500, JobState.SUCCEEDED))
    await services.events.publish(f'{owner}/jobs', {'job': str(jobs.jobs[0].id), 'state': 'succeeded'})
    await until(lambda: titles(user)[0] == 'Convert 500')
    assert titles(user)[-1] == 'Convert 1', 'what was asked for stays when something happens'


async def test_what_failed_is_found_behind_many_that_did_not(kept: tuple[User, Kept, Any, UUID]) -> None:
    user, jobs, _, _ = kept
    await user.open('/jobs?show=failed')
    assert titles(user) == ['Convert 2', 'Convert 1']
    assert not has_older(user)
    assert 'Run again' in texts(user)
    jobs.jobs[-1] = replace(
        jobs.jobs[-1], error={'code': 'no_time_column', 'message': 'No column can be read as time.'}
    )
    await user.open('/jobs?show=failed')
    (way,) = [one for one in user._client.elements.values() if getattr(one, 'text', '') == 'Correct it']
    assert way.props['href'] == f'/datasets/{jobs.jobs[-1].dataset_id}'
    jobs.jobs.insert(0, replace(job(500, JobState.SUCCEEDED), dataset_id=jobs.jobs[-1].dataset_id))
    await user.open('/jobs?show=failed')
    assert 'Corrected since' in texts(user)
    assert 'Correct it' not in texts(user)
    await user.open('/jobs?show=open')
    await user.should_see('Nothing is running')


def test_a_time_left_that_grows_says_so() -> None:
    estimate, running = Estimate(), job(1, JobState.RUNNING)

    def told(progress: float, spent: float) -> str:
        begun = datetime.now(UTC) - timedelta(seconds=spent)
        return estimate.tell(replace(running, progress=progress, started_at=begun))

    assert told(0.01, 30) == ''
    assert told(0.5, 30) == '30 s left'
    assert told(0.5, 45) == '45 s left, longer than thought'
    assert told(0.6, 60) == '40 s left, longer than thought', 'still later than was told'
    assert told(0.9, 90) == '10 s left'
