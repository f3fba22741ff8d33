"""The end of what was deleted: kept for 30 days, then removed for good, rows and objects (decision 0021)."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import structlog

from core import audit
from core.errors import VariosyncError
from core.ports import Database, Events, ObjectStore, Row
from core.values import KEPT, Job, JobState

log = structlog.get_logger()


class Removal:
    """Removes deleted datasets and dashboards, and forecasts never issued, of all users when their time has come."""

    def __init__(self, database: Database, *, objects: ObjectStore, events: Events) -> None:
        self._database = database
        self._objects = objects
        self._events = events

    async def sweep(self) -> int:
        """Remove what has been deleted for `KEPT`, and return how many datasets and forecasts that were.

        What cannot be removed now has its turn at the next sweep, and keeps nothing else from going.
        """
        await self._remove_dashboards()
        async with self._database.system() as tx:
            await tx.run('datasets_doom', kept=KEPT)
            await tx.run('forecasts_doom', kept=KEPT)
        async with self._database.system() as tx:
            datasets, forecasts = await tx.all('datasets_doomed'), await tx.all('forecasts_doomed')
        # A dataset takes its forecasts along.
        return await _each(datasets, self._remove_dataset) + await _each(forecasts, self._remove_forecast)

    async def _remove_dashboards(self) -> None:
        async with self._database.system() as tx:
            removed = await tx.all('dashboards_remove', kept=KEPT)
            for row in removed:
                await audit.record(tx, row['user_id'], 'dashboard removed', row['name'], about=row['id'])
        for row in removed:
            await self._events.publish(f'{row["user_id"]}/dashboards', {'dashboard': str(row['id'])})

    async def _remove_dataset(self, user_id: UUID, dataset_id: UUID) -> bool:
        """Remove the objects of a dataset, then its rows: as long as those are there, it can be done again."""
        async with self._database.system() as tx:
            uploads = await tx.all('uploads_doomed', dataset_id=dataset_id)
            jobs = _jobs(await tx.all('jobs_doomed', dataset_id=dataset_id, forecast_id=None))
        for upload in uploads:
            await self._objects.delete(f't/{user_id}/u/{upload["id"]}/')
        attempts = await self._remove_results(jobs)
        async with self._database.system() as tx:
            row = await tx.first('dataset_forgettable', id=dataset_id, attempts=attempts)
            if row is None:
                return False  # another process has done it, or a job was run again meanwhile
            await tx.run('notices_of_dataset_remove', id=dataset_id, user_id=user_id)
            await tx.run('uploads_empty', id=dataset_id)
            await tx.run('dataset_remove', id=dataset_id)
            await tx.run('source_remove', id=row['source_id'])
            await audit.record(tx, user_id, 'dataset removed', row['name'], about=dataset_id)
        await self._events.publish(f'{user_id}/datasets', {'dataset': str(dataset_id)})
        return True

    async def _remove_forecast(self, user_id: UUID, forecast_id: UUID) -> bool:
        """The same for a forecast that was never issued: what was goes with its dataset."""
        async with self._database.system() as tx:
            jobs = _jobs(await tx.all('jobs_doomed', dataset_id=None, forecast_id=forecast_id))
        attempts = await self._remove_results(jobs)
        async with self._database.system() as tx:
            row = await tx.first('forecast_forgettable', id=forecast_id, attempts=attempts)
            if row is None:
                return False
            await tx.run('notices_of_forecast_remove', id=forecast_id, user_id=user_id)
            await tx.run('forecast_remove', id=forecast_id)
            await audit.record(tx, user_id, 'forecast removed', row['name'], about=forecast_id)
        await self._events.publish(f'{user_id}/forecasts', {'forecast': str(forecast_id)})
        return True

    async def _remove_results(self, jobs: Sequence[Job]) -> int:
        """Remove what the attempts of these jobs stored, and return how many attempts there were."""
        for job in jobs:
            for attempt in range(1, job.attempt + 1):
                await self._objects.delete(f'{job.prefix(attempt)}/')
        return sum(job.attempt for job in jobs)


async def _each(doomed: Sequence[Row], remove: Callable[[UUID, UUID], Awaitable[bool]]) -> int:
    removed = 0
    for row in doomed:
        try:
            removed += await remove(row['user_id'], row['id'])
        except VariosyncError as error:
            log.warning('what was deleted stays', id=str(row['id']), error=error.message)
    return removed


def _jobs(rows: Sequence[Row]) -> Sequence[Job]:
    return [Job(**{**row, 'state': JobState(row['state'])}) for row in rows]
