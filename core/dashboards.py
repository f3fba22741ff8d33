"""Dashboards: panels over datasets, saved as they are changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from core import audit, panels, suggest
from core.errors import Conflict, NotFound, UsageError
from core.names import free_name
from core.ports import Database, Events, Row, Transaction
from core.values import NOBODY, Actor, Deleted

MOST = 500  # dashboards of one user, deleted ones too
KEPT = 50  # saved states of one dashboard


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """A dashboard; `spec` is as `core.panels` describes it, `revision` counts how often it was saved."""

    id: UUID
    user_id: UUID
    name: str
    spec: Mapping[str, Any]
    revision: int
    pinned: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A dashboard in a list: how many `panels` it has and which `datasets` they draw, in the order of the panels."""

    id: UUID
    user_id: UUID
    name: str
    revision: int
    pinned: bool
    created_at: datetime
    updated_at: datetime
    panels: int
    datasets: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A saved state: its number, when, and how many panels it has."""

    revision: int
    saved_at: datetime
    panels: int


class Dashboards:
    """Dashboards of a user. Open pages hear of each change on `{user}/dashboards`."""

    def __init__(self, database: Database, events: Events) -> None:
        self._database = database
        self._events = events

    async def list(self, user_id: UUID) -> Sequence[Line]:
        """Return the dashboards, pinned ones first, then the latest change first."""
        async with self._database.transaction(user_id) as tx:
            return [Line(**row) for row in await tx.all('dashboards_list')]

    async def get(self, user_id: UUID, dashboard_id: UUID) -> Dashboard:
        """Return a dashboard. Raise NotFound when it is not this user's or was deleted."""
        async with self._database.transaction(user_id) as tx:
            return Dashboard(**await tx.one('dashboard_by_id', id=dashboard_id))

    async def rail(self, user_id: UUID) -> Mapping[str, Any]:
        """Return what the rail of every page shows: `datasets`, `dashboards`, `forecasts` and unfinished `jobs` by
        number, and `pinned`, the first eight dashboards with a pin, each with `id` and `name`."""
        async with self._database.transaction(user_id) as tx:
            return await tx.one('rail')

    async def create(
        self,
        user_id: UUID,
        name: str,
        spec: Mapping[str, Any] | None = None,
        *,
        had: Mapping[str, Any] | None = None,
        free: bool = False,
        by: Actor = NOBODY,
    ) -> Dashboard:
        """Make a dashboard, empty unless `spec` says what is on it; `had` is the state that it is a copy of.

        Asked for a `free` name, it gets a number where another one is called so.
        Where MOST is reached, those deleted first are removed for good. Raise Conflict when there are MOST that are not
        deleted.
        """
        name, whole = clean_name(name), panels.parsed(spec or {})
        async with self._database.transaction(user_id) as tx:
            await _known(tx, whole, had)
            await tx.one('dashboards_lock', user_id=user_id)
            for gone in await tx.all('dashboards_make_room', user_id=user_id, most=MOST):
                await audit.record(tx, user_id, 'dashboard removed', gone['name'], about=gone['id'])
            if (await tx.one('dashboards_count', user_id=user_id))['count'] >= MOST:
                raise Conflict(f'There are {MOST} dashboards already. Delete one first.')
            if free:
                name = free_name(name, {row['name'] for row in await tx.all('dashboards_list')})
            made = await tx.one('dashboard_insert', user_id=user_id, name=name, spec=whole)
            await _keep(tx, made)
            await audit.record(tx, user_id, 'dashboard made', name, about=made['id'], by=by)
        await self._changed(user_id, made['id'], made['revision'])
        return Dashboard(**made)

    async def build(
        self, user_id: UUID, dataset_id: UUID, *, template: str = 'auto', name: str | None = None, by: Actor = NOBODY
    ) -> Dashboard:
        """Make a dashboard of a dataset from what its shown version says of itself (`core.suggest`).

        Without a `name` it is called after the dataset, with a number where another one is called so. Raise NotFound
        when the dataset is not this user's or has no version yet.
        """
        if template not in suggest.TEMPLATES:
            raise UsageError(f'A template is one of {", ".join(suggest.TEMPLATES)}.', place='template')
        async with self._database.transaction(user_id) as tx:
            dataset = await tx.one('dataset_by_id', id=dataset_id)
            version = await tx.one('version_current', dataset_id=dataset_id)
        spec = suggest.dashboard(str(dataset_id), version['manifest'], template=template, name=dataset['name'])
        return await self.create(user_id, name or dataset['name'], spec, free=not name, by=by)

    @staticmethod
    def templates() -> Mapping[str, str]:
        """Return the templates by their names, with what they are called."""
        return suggest.TEMPLATES

    async def save(
        self,
        user_id: UUID,
        dashboard_id: UUID,
        spec: Mapping[str, Any],
        *,
        revision: int,
        had: Mapping[str, Any] | None = None,
    ) -> Dashboard:
        """Give the dashboard another state; `revision` is the one that was changed, `had` one that it had before.

        Raise Conflict when another page or device has saved since then: nothing is overwritten unseen.
        """
        whole = panels.parsed(spec)
        async with self._database.transaction(user_id) as tx:
            await _known(tx, whole, had, of=dashboard_id)
            saved = await tx.first('dashboard_save', id=dashboard_id, spec=whole, revision=revision)
            if saved is None:
                now = await tx.one('dashboard_by_id', id=dashboard_id)
                raise Conflict(
                    'This dashboard was changed elsewhere meanwhile. Load it again, then make your change.',
                    revision=now['revision'],
                )
            await _keep(tx, saved)
        await self._changed(user_id, dashboard_id, saved['revision'])
        return Dashboard(**saved)

    async def duplicate(self, user_id: UUID, dashboard_id: UUID, *, by: Actor = NOBODY) -> Dashboard:
        """Make a second dashboard with the same panels."""
        first = await self.get(user_id, dashboard_id)
        return await self.create(user_id, f'{first.name[:248]} (copy)', first.spec, had=first.spec, by=by)

    async def revisions(self, user_id: UUID, dashboard_id: UUID) -> Sequence[Revision]:
        """Return the last saved states, the newest first."""
        async with self._database.transaction(user_id) as tx:
            await tx.one('dashboard_by_id', id=dashboard_id)
            return [Revision(**row) for row in await tx.all('dashboard_revisions', id=dashboard_id)]

    async def restore(self, user_id: UUID, dashboard_id: UUID, revision: int) -> Dashboard:
        """Save an earlier state again; this is a state of its own and can be undone likewise."""
        async with self._database.transaction(user_id) as tx:
            now = await tx.one('dashboard_by_id', id=dashboard_id)
            kept = await tx.one('dashboard_revision', id=dashboard_id, revision=revision)
        return await self.save(user_id, dashboard_id, kept['spec'], revision=now['revision'], had=kept['spec'])

    async def rename(self, user_id: UUID, dashboard_id: UUID, name: str) -> None:
        """Give the dashboard another name."""
        await self._change('dashboard_rename', user_id, dashboard_id, name=clean_name(name))

    async def pin(self, user_id: UUID, dashboard_id: UUID, pinned: bool) -> None:
        """Show the dashboard in the rail of every page, or no longer."""
        await self._change('dashboard_pin', user_id, dashboard_id, pinned=pinned)

    async def delete(self, user_id: UUID, dashboard_id: UUID, *, by: Actor = NOBODY) -> None:
        """Take the dashboard away; `undelete` brings it back until `create` needs its place or `KEPT` has gone by."""
        await self._change('dashboard_delete', user_id, dashboard_id, action='dashboard deleted', by=by)

    async def kept_until(self, user_id: UUID, dashboard_id: UUID) -> datetime | None:
        """Return until when a dashboard that was taken away can be brought back; None when it cannot."""
        async with self._database.transaction(user_id) as tx:
            row = await tx.first('dashboard_deleted', id=dashboard_id)
        return None if row is None else Deleted(**row).until

    async def deleted(self, user_id: UUID, *, offset: int = 0, limit: int | None = None) -> Sequence[Deleted]:
        """Return the dashboards that were taken away and can be brought back, the latest first."""
        async with self._database.transaction(user_id) as tx:
            return [Deleted(**row) for row in await tx.all('dashboards_deleted', offset=offset, limit=limit)]

    async def count_deleted(self, user_id: UUID) -> int:
        """Return how many dashboards can be brought back."""
        async with self._database.transaction(user_id) as tx:
            count: int = (await tx.one('dashboards_deleted_count'))['count']
        return count

    async def undelete(self, user_id: UUID, dashboard_id: UUID, *, by: Actor = NOBODY) -> None:
        """Bring a deleted dashboard back."""
        await self._change('dashboard_undelete', user_id, dashboard_id, action='dashboard restored', by=by)

    async def _change(
        self, statement: str, user_id: UUID, dashboard_id: UUID, *, action: str = '', by: Actor = NOBODY, **values: Any
    ) -> None:
        """Run a statement that returns the dashboard's name; the audit log tells of an `action`."""
        async with self._database.transaction(user_id) as tx:
            row = await tx.first(statement, id=dashboard_id, **values)
            if row is None:
                raise NotFound('There is no such dashboard.')
            if action:
                await audit.record(tx, user_id, action, row['name'], about=dashboard_id, by=by)
        await self._changed(user_id, dashboard_id, None)

    async def _changed(self, user_id: UUID, dashboard_id: UUID, revision: int | None) -> None:
        message = {'dashboard': str(dashboard_id)} | ({} if revision is None else {'revision': revision})
        await self._events.publish(f'{user_id}/dashboards', message)


def clean_name(name: str) -> str:
    """Return a dashboard's name without blanks around it; UsageError when nothing or too much is left."""
    if not (name := name.strip()) or len(name) > 255:
        raise UsageError('A dashboard needs a name of 1 to 255 characters.', place='name')
    return name


async def _known(
    tx: Transaction, spec: Mapping[str, Any], had: Mapping[str, Any] | None, *, of: UUID | None = None
) -> None:
    """Refuse panels over datasets that the user cannot see: row-level security decides. Deleted ones may come back.

    What the dashboard `of`, or a state that it `had`, draws already may stay: that may have been removed for good.
    """
    asked = panels.datasets(spec)
    missing = asked - {row['id'] for row in await tx.all('dashboard_datasets', ids=sorted(asked, key=str))}
    if missing and had is None and of is not None:
        had = (await tx.one('dashboard_by_id', id=of))['spec']
    if missing and had is not None:
        missing -= panels.datasets(panels.parsed(had))
    if missing:
        at = next(i for i, panel in enumerate(spec['panels']) if panel['dataset'] and UUID(panel['dataset']) in missing)
        raise UsageError('There is no such dataset.', place=f'spec.panels[{at}].dataset')


async def _keep(tx: Transaction, row: Row) -> None:
    await tx.run('dashboard_keep', user_id=row['user_id'], id=row['id'], revision=row['revision'], spec=row['spec'])
    await tx.run('dashboard_forget', id=row['id'], revision=row['revision'] - KEPT)
