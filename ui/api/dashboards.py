"""REST for dashboards: panels over datasets, saved states, undo."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import Field, Strict

from core.errors import UsageError
from core.services import Services
from ui.api.contract import Answer, Body, By, DashboardsRead, DashboardsWrite, Most, Name, Offset, problems, router

Spec = Annotated[dict[str, Any], Field(description='Panels and variables: see docs/dashboards.md.')]
DashboardId = Annotated[UUID, Path(description='A dashboard.')]
Revision = Annotated[int, Path(ge=1, le=2**31 - 1, description='The number of a saved state.')]


class DashboardLine(Answer):
    """A dashboard in a list."""

    id: UUID
    name: str
    revision: int
    pinned: bool
    created_at: datetime
    updated_at: datetime


class Dashboard(DashboardLine):
    """A dashboard; `revision` counts how often it was saved."""

    spec: dict[str, Any]


class Dashboards(Answer):
    """Dashboards, pinned ones first, then the latest change first."""

    items: list[DashboardLine]


class DeletedDashboard(Answer):
    """A dashboard that was taken away; `until` is when it is removed for good, `by` the API key that acted, if any."""

    id: UUID
    name: str
    panels: int
    deleted_at: datetime
    until: datetime
    by: str


class DeletedDashboards(Answer):
    """What can be brought back, the latest deletion first; `total` counts all of it, on this page or not."""

    items: list[DeletedDashboard]
    total: int


class NewDashboard(Body):
    """A dashboard to make: built from a `dataset` by a `template`, or with the panels of `spec`, else empty."""

    name: Name | None = None
    spec: Spec = {}
    dataset: Annotated[UUID, Strict(False)] | None = None
    template: Literal['auto', 'sales', 'energy', 'prices'] = 'auto'


class DashboardState(Body):
    """What to save. `revision` is the state that was changed: if another was saved since then, the answer is 409."""

    spec: Spec
    revision: Annotated[int, Field(ge=1, le=2**31 - 1)]


class DashboardChange(Body):
    """What to change."""

    name: Name | None = None
    pinned: bool | None = None


class SavedState(Answer):
    """A saved state of a dashboard."""

    revision: int
    saved_at: datetime
    panels: int


class SavedStates(Answer):
    """Saved states, the newest first."""

    items: list[SavedState]


def routes(services: Services) -> APIRouter:
    """The routes of dashboards."""
    api = router('dashboards')
    dashboards = services.dashboards

    @api.get('/dashboards', summary='Dashboards')
    async def list_dashboards(session: DashboardsRead) -> Dashboards:
        found = await dashboards.list(session.user.id)
        return Dashboards(items=[DashboardLine.model_validate(one) for one in found])

    @api.post('/dashboards', status_code=201, summary='Make a dashboard', responses=problems(404, 409))
    async def create_dashboard(session: DashboardsWrite, body: NewDashboard, by: By) -> Dashboard:
        user_id, name = session.user.id, body.name
        if body.dataset is not None and 'spec' in body.model_fields_set:
            raise UsageError(
                'A dashboard is built from a `dataset`, or has the panels of a `spec`: name one of them.',
                place='body.spec',
            )
        if body.dataset is None:
            made = await dashboards.create(user_id, name or 'New dashboard', body.spec, by=by)
        else:
            made = await dashboards.build(user_id, body.dataset, template=body.template, name=name, by=by)
        return Dashboard.model_validate(made)

    @api.get('/dashboards/deleted', summary='Dashboards that can be brought back')
    async def list_deleted_dashboards(
        session: DashboardsRead, offset: Offset = 0, limit: Most = None
    ) -> DeletedDashboards:
        found = await dashboards.deleted(session.user.id, offset=offset, limit=limit)
        total = await dashboards.count_deleted(session.user.id)
        return DeletedDashboards(items=[DeletedDashboard.model_validate(one) for one in found], total=total)

    @api.get('/dashboards/{dashboard_id}', summary='One dashboard', responses=problems(404))
    async def get_dashboard(session: DashboardsRead, dashboard_id: DashboardId) -> Dashboard:
        return Dashboard.model_validate(await dashboards.get(session.user.id, dashboard_id))

    @api.put('/dashboards/{dashboard_id}', summary='Save panels and variables', responses=problems(404, 409))
    async def save_dashboard(session: DashboardsWrite, dashboard_id: DashboardId, body: DashboardState) -> Dashboard:
        saved = await dashboards.save(session.user.id, dashboard_id, body.spec, revision=body.revision)
        return Dashboard.model_validate(saved)

    @api.patch('/dashboards/{dashboard_id}', summary='Rename or pin', responses=problems(404))
    async def change_dashboard(session: DashboardsWrite, dashboard_id: DashboardId, body: DashboardChange) -> Dashboard:
        if body.name is not None:
            await dashboards.rename(session.user.id, dashboard_id, body.name)
        if body.pinned is not None:
            await dashboards.pin(session.user.id, dashboard_id, body.pinned)
        return Dashboard.model_validate(await dashboards.get(session.user.id, dashboard_id))

    @api.delete('/dashboards/{dashboard_id}', status_code=204, summary='Take it away', responses=problems(404))
    async def delete_dashboard(session: DashboardsWrite, dashboard_id: DashboardId, by: By) -> None:
        await dashboards.delete(session.user.id, dashboard_id, by=by)

    @api.post('/dashboards/{dashboard_id}/undelete', status_code=204, summary='Bring it back', responses=problems(404))
    async def undelete_dashboard(session: DashboardsWrite, dashboard_id: DashboardId, by: By) -> None:
        await dashboards.undelete(session.user.id, dashboard_id, by=by)

    @api.post('/dashboards/{dashboard_id}/duplicate', status_code=201, summary='Copy it', responses=problems(404, 409))
    async def duplicate_dashboard(session: DashboardsWrite, dashboard_id: DashboardId, by: By) -> Dashboard:
        return Dashboard.model_validate(await dashboards.duplicate(session.user.id, dashboard_id, by=by))

    @api.get('/dashboards/{dashboard_id}/revisions', summary='Saved states', responses=problems(404))
    async def list_revisions(session: DashboardsRead, dashboard_id: DashboardId) -> SavedStates:
        found = await dashboards.revisions(session.user.id, dashboard_id)
        return SavedStates(items=[SavedState.model_validate(one) for one in found])

    @api.post(
        '/dashboards/{dashboard_id}/revisions/{revision}/restore',
        summary='Save an earlier state again',
        responses=problems(404, 409),
    )
    async def restore_revision(session: DashboardsWrite, dashboard_id: DashboardId, revision: Revision) -> Dashboard:
        return Dashboard.model_validate(await dashboards.restore(session.user.id, dashboard_id, revision))

    return api
