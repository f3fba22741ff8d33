"""REST for datasets: list, rename, delete and bring back; versions, corrections, rows and faults."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from core.analysis.ingest.manifest import Manifest
from core.datasets import EXPORTS, ROLES
from core.services import Services
from core.values import Version as StoredVersion
from ui.api.contract import (
    CSV,
    PARQUET,
    Answer,
    Body,
    DatasetId,
    DatasetsRead,
    DatasetsWrite,
    Limit,
    Name,
    Number,
    Offset,
    Text,
    download,
    files,
    problems,
    router,
)
from ui.api.models import Dataset, Job, Rows, rows_of

Form = Literal['csv', 'parquet']
Role = Literal['time', 'series', 'measure', 'attribute']
assert set(Role.__args__) == set(ROLES)


class Datasets(Answer):
    """Datasets, the latest change first."""

    items: list[Dataset]


class DatasetChange(Body):
    """What to change."""

    name: Name


class Version(Answer):
    """An immutable state of a dataset."""

    number: int
    shown: bool
    rows: int
    faults: int
    series: int
    measures: list[str]
    created_at: datetime


class Versions(Answer):
    """Versions, the newest first."""

    items: list[Version]


class VersionInFull(Version):
    """A version with what its conversion found out: columns, time, series, faults by kind, files."""

    manifest: Manifest


class Correction(Body):
    """How to read the dataset's file instead; what is left out is found out again."""

    roles: Annotated[dict[Text, Role], Field(max_length=2000)] = {}
    time_zone: Annotated[Text, Field(description='Such as Europe/Paris, for times without an offset.')] = 'UTC'
    day_first: bool | None = None
    decimal: Literal['.', ','] | None = None


class Labels(Answer):
    """Labels of series, in order."""

    items: list[str]


def routes(services: Services) -> APIRouter:
    """The routes of datasets."""
    api = router('datasets')
    datasets = services.datasets

    async def one(user_id: UUID, dataset_id: UUID) -> Dataset:
        return Dataset.model_validate(await datasets.get(user_id, dataset_id))

    async def version_of(user_id: UUID, dataset_id: UUID, number: int) -> tuple[str, StoredVersion]:
        """The dataset's name and a version of it, unless the dataset was deleted."""
        dataset = await datasets.get(user_id, dataset_id)
        return dataset.name, await datasets.version(user_id, dataset_id, number)

    @api.get('/datasets', summary='List datasets')
    async def list_datasets(session: DatasetsRead) -> Datasets:
        return Datasets(items=[Dataset.model_validate(found) for found in await datasets.list(session.user.id)])

    @api.get('/datasets/{dataset_id}', summary='One dataset', responses=problems(404))
    async def get_dataset(session: DatasetsRead, dataset_id: DatasetId) -> Dataset:
        return await one(session.user.id, dataset_id)

    @api.patch('/datasets/{dataset_id}', summary='Rename a dataset', responses=problems(404, 413, 415))
    async def change_dataset(session: DatasetsWrite, dataset_id: DatasetId, change: DatasetChange) -> Dataset:
        await datasets.rename(session.user.id, dataset_id, change.name)
        return await one(session.user.id, dataset_id)

    @api.delete('/datasets/{dataset_id}', status_code=204, summary='Delete a dataset', responses=problems(404))
    async def delete_dataset(session: DatasetsWrite, dataset_id: DatasetId) -> None:
        await datasets.delete(session.user.id, dataset_id)

    @api.post('/datasets/{dataset_id}/undelete', summary='Bring a deleted dataset back', responses=problems(404))
    async def undelete_dataset(session: DatasetsWrite, dataset_id: DatasetId) -> Dataset:
        await datasets.undelete(session.user.id, dataset_id)
        return await one(session.user.id, dataset_id)

    @api.get('/datasets/{dataset_id}/versions', summary='List versions', responses=problems(404))
    async def list_versions(session: DatasetsRead, dataset_id: DatasetId) -> Versions:
        shown = (await datasets.get(session.user.id, dataset_id)).version
        found = await datasets.versions(session.user.id, dataset_id)
        return Versions(items=[Version(**_summary(version, shown)) for version in found])

    @api.get('/datasets/{dataset_id}/versions/{number}', summary='One version', responses=problems(404))
    async def get_version(session: DatasetsRead, dataset_id: DatasetId, number: Number) -> VersionInFull:
        shown = (await datasets.get(session.user.id, dataset_id)).version
        version = await datasets.version(session.user.id, dataset_id, number)
        return VersionInFull(**_summary(version, shown), manifest=Manifest.from_json(version.manifest))

    @api.post(
        '/datasets/{dataset_id}/versions/{number}/restore',
        summary='Show an earlier version again',
        responses=problems(404),
    )
    async def restore_version(session: DatasetsWrite, dataset_id: DatasetId, number: Number) -> Dataset:
        await datasets.get(session.user.id, dataset_id)
        await datasets.restore(session.user.id, dataset_id, number)
        return await one(session.user.id, dataset_id)

    @api.post(
        '/datasets/{dataset_id}/corrections',
        status_code=202,
        summary='Convert the file again, read as you say',
        description='A job that makes a new version; the old ones stay.',
        responses=problems(402, 404, 409, 413, 415),
    )
    async def correct_dataset(session: DatasetsWrite, dataset_id: DatasetId, correction: Correction) -> Job:
        options = correction.model_dump(exclude_unset=True)
        return Job.model_validate(await datasets.correct(session.user.id, dataset_id, options))

    @api.get(
        '/datasets/{dataset_id}/versions/{number}/labels', summary='Find labels of series', responses=problems(404)
    )
    async def find_labels(
        session: DatasetsRead,
        dataset_id: DatasetId,
        number: Number,
        query: Annotated[Text, Query(description='Part of a label, whatever its case.')] = '',
        limit: Limit = 50,
    ) -> Labels:
        _, version = await version_of(session.user.id, dataset_id, number)
        return Labels(items=list(await datasets.labels(session.user.id, version, query=query, limit=limit)))

    @api.get('/datasets/{dataset_id}/versions/{number}/rows', summary='Rows as JSON', responses=problems(404))
    async def list_rows(
        session: DatasetsRead, dataset_id: DatasetId, number: Number, offset: Offset = 0, limit: Limit = 100
    ) -> Rows:
        _, version = await version_of(session.user.id, dataset_id, number)
        return rows_of(await datasets.preview(session.user.id, version, offset=offset, limit=limit))

    @api.get('/datasets/{dataset_id}/versions/{number}/faults', summary='Faults as JSON', responses=problems(404))
    async def list_faults(
        session: DatasetsRead, dataset_id: DatasetId, number: Number, offset: Offset = 0, limit: Limit = 100
    ) -> Rows:
        _, version = await version_of(session.user.id, dataset_id, number)
        return rows_of(await datasets.faults(session.user.id, version, offset=offset, limit=limit))

    async def export(user_id: UUID, dataset_id: UUID, number: int, what: str, form: str) -> Response:
        name, version = await version_of(user_id, dataset_id, number)
        folder = TemporaryDirectory(prefix='variosync-export-')
        out = Path(folder.name) / f'export.{form}'
        await datasets.export(user_id, version, what, out)
        return download(folder, out, EXPORTS[form], f'{name} v{number} {what}.{form}')

    @api.get(
        '/datasets/{dataset_id}/versions/{number}/rows.{form}',
        summary='Rows as a file',
        response_class=Response,
        responses=files(CSV, PARQUET) | problems(404),
    )
    async def export_rows(session: DatasetsRead, dataset_id: DatasetId, number: Number, form: Form) -> Response:
        return await export(session.user.id, dataset_id, number, 'rows', form)

    @api.get(
        '/datasets/{dataset_id}/versions/{number}/faults.{form}',
        summary='Faults as a file',
        response_class=Response,
        responses=files(CSV, PARQUET) | problems(404),
    )
    async def export_faults(session: DatasetsRead, dataset_id: DatasetId, number: Number, form: Form) -> Response:
        return await export(session.user.id, dataset_id, number, 'faults', form)

    return api


def _summary(version: StoredVersion, shown: int | None) -> Mapping[str, object]:
    return {
        'number': version.number,
        'shown': version.number == shown,
        'rows': version.rows,
        'faults': version.manifest['faults_total'],
        'series': version.manifest['series']['count'],
        'measures': version.manifest['measures'],
        'created_at': version.created_at,
    }
