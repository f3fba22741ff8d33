"""REST for jobs: follow, cancel, run again."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from core.services import Services
from core.values import JobState
from ui.api.contract import Answer, JobsRead, JobsWrite, Limit, problems, router
from ui.api.models import Job


class Jobs(Answer):
    """Jobs, the newest first; ask for the next page with `before`, null when this is the last."""

    items: list[Job]
    next: UUID | None


def routes(services: Services) -> APIRouter:
    """The routes of jobs."""
    api = router('jobs')

    async def one(user_id: UUID, job_id: UUID) -> Job:
        return Job.model_validate(await services.jobs.get(user_id, job_id))

    @api.get('/jobs', summary='List jobs', responses=problems(404))
    async def list_jobs(
        session: JobsRead,
        limit: Limit = 200,
        state: Annotated[JobState | None, Query(description='In this state only.')] = None,
        before: Annotated[UUID | None, Query(description='Answer jobs that were asked for before this one.')] = None,
    ) -> Jobs:
        states = None if state is None else (state,)
        found = await services.jobs.list(session.user.id, limit=limit + 1, states=states, before=before)
        items = [Job.model_validate(job) for job in found[:limit]]
        return Jobs(items=items, next=items[-1].id if len(found) > limit else None)

    @api.get('/jobs/{job_id}', summary='One job', responses=problems(404))
    async def get_job(session: JobsRead, job_id: UUID) -> Job:
        return await one(session.user.id, job_id)

    @api.post(
        '/jobs/{job_id}/cancel',
        summary='Cancel a job',
        description='A queued job ends at once, a running one within a second.',
        responses=problems(404, 409),
    )
    async def cancel_job(session: JobsWrite, job_id: UUID) -> Job:
        await services.jobs.cancel(session.user.id, job_id)
        return await one(session.user.id, job_id)

    @api.post(
        '/jobs/{job_id}/retry',
        status_code=202,
        summary='Run a failed or cancelled job again',
        responses=problems(402, 404, 409),
    )
    async def retry_job(session: JobsWrite, job_id: UUID) -> Job:
        await services.jobs.retry(session.user.id, job_id)
        return await one(session.user.id, job_id)

    return api
