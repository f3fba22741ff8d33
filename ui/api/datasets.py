"""REST for datasets: list, rename, delete and bring back; versions, corrections, rows and faults."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import Field, Strict, StringConstraints
from starlette.responses import Response

from core.analysis.ingest.manifest import Manifest
from core.analysis.tables import Lines
from core.analysis.versions import Row
from core.datasets import EXPORTS
from core.datasets import Origin as Found
from core.orders import ROLES
from core.services import Services
from core.values import Version as StoredVersion
from core.values import VersionSummary
from ui.api.contract import (
    CSV,
    PARQUET,
    Answer,
    Body,
    By,
    DatasetId,
    DatasetsRead,
    DatasetsWrite,
    Limit,
    Most,
    Name,
    Number,
    Offset,
    Stamp,
    Text,
    download,
    files,
    problems,
    router,
)
from ui.api.models import Cell, Dataset, Job, Rows, cells_of, rows_of, table_of

Form = Literal['csv', 'parquet']
Role = Literal['time', 'series', 'measure', 'attribute']
assert set(get_args(Role)) == set(ROLES)
Repair = Literal['padding', 'number_format', 'null_spelling', 'unit', 'duplicate', 'date_format', 'guard']


class Datasets(Answer):
    """Datasets, the latest change first; `total` counts all that were asked for, on this page or not."""

    items: list[Dataset]
    total: int


class DeletedDataset(Answer):
    """A deleted dataset: `size` counts the bytes that were uploaded to it, `until` is when it is removed for good, `by`
    is the API key that acted, if any.
    """

    id: UUID
    name: str
    rows: int | None
    size: int
    deleted_at: datetime
    until: datetime
    by: str


class DeletedDatasets(Answer):
    """What can be brought back, the latest deletion first; `total` counts all of it, on this page or not."""

    items: list[DeletedDataset]
    total: int


class DatasetChange(Body):
    """What to change."""

    name: Name


class HintChange(Body):
    """The key of a hint, as the manifest tells it, and whether it is dismissed or brought back."""

    key: Annotated[Text, Field(min_length=1)]
    dismissed: bool = True


class DismissedHints(Answer):
    """The keys of a dataset's hints that were dismissed, the latest last."""

    items: list[str]


class Version(Answer):
    """An immutable state of a dataset; `warnings` say what does not go on from the version before as it was."""

    number: int
    shown: bool
    rows: int
    faults: int
    series: int
    measures: list[str]
    warnings: list[str]
    created_at: datetime


class Versions(Answer):
    """Versions, the newest first; ask for the next page with `before`, null when this is the last."""

    items: list[Version]
    next: int | None


class VersionInFull(Version):
    """A version with what its conversion found out: columns, time, series, faults by kind, files."""

    manifest: Manifest


Sign = Annotated[str, StringConstraints(min_length=1, max_length=16, pattern=r'^[^\r\n\x00]+$')]
Mark = Annotated[str, StringConstraints(max_length=1, pattern=r'^[^\r\n\x00]?$')]
Start = Annotated[str, StringConstraints(max_length=16, pattern=r'^[^\r\n\x00]*$')]


class Reading(Body):
    """How the file is written; what is left out or null is found out. `…/versions/{number}` tells what was found.

    `delimiter` may have several characters; `quote` and `escape` are one character, or empty for none. `comment` starts
    lines that are no records; it may be empty too. `skip` counts lines above the table, `header_lines` those of its
    header. `sheet` and `member` name a part of a workbook or an archive.
    """

    encoding: Annotated[Text, Field(description='Such as utf-8, cp1252 or shift_jis.')] | None = None
    delimiter: Sign | None = None
    quote: Mark | None = None
    escape: Mark | None = None
    comment: Start | None = None
    skip: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    header_lines: Annotated[int, Field(ge=0, le=20)] | None = None
    sheet: Text | None = None
    member: Text | None = None


class Melt(Body):
    """How a wide table is made long: which columns become periods or series, and what the new columns are called.

    Where the names of columns are numbers of steps, `start` is the time of the first and `step` how long each is; so
    it is for the rows of a table without a time, with `into` rows.
    """

    columns: Annotated[list[Text], Field(max_length=20_000)] | None = None
    into: Literal['period', 'series', 'rows'] | None = None
    name: Text | None = None
    value: Text | None = None
    start: Text | None = None
    step: Literal['minute', 'hour', 'day', 'week', 'month', 'quarter', 'year'] | None = None


Finite = Annotated[float, Field(allow_inf_nan=False)]


class Step(Body):
    """A step of a recipe, and what that step takes: see docs/recipes.md."""

    do: Literal['merge', 'filter', 'derive', 'clip', 'resample', 'fill', 'rename', 'cast', 'drop']
    where: Text | None = None
    column: Text | None = None
    as_: Annotated[Text | None, Field(alias='as')] = None
    to: Text | None = None
    values: Annotated[list[Text], Field(max_length=2000)] | None = None
    type: Text | None = None
    every: Text | None = None
    how: Text | None = None
    action: Text | None = None
    low: Finite | None = None
    high: Finite | None = None
    k: Finite | None = None
    limit: Annotated[int, Field(ge=0, le=10**9)] | None = None
    season: Annotated[int, Field(ge=0, le=10**9)] | None = None
    columns: Annotated[list[Text], Field(max_length=2000)] | dict[Text, Text] | None = None


class Trial(Body):
    """Steps to try on one series of a version; nothing is stored."""

    steps: Annotated[list[Step], Field(max_length=50)]
    series: Annotated[str, Field(max_length=1000)] = ''
    limit: Annotated[int, Field(ge=0, le=1000)] = 100


class StepReport(Answer):
    """What a step (from 1) did to the series: rows before and after, and cells that it changed, emptied or filled.

    `cells` is of how many: those with a value in its columns, or, of a step that fills, the empty ones.
    """

    step: int
    do: str
    rows_before: int
    rows_after: int
    cells_changed: int
    cells: int = 0


class Tried(Answer):
    """What the steps do to a series (its first 100,000 rows): the first rows before and after, and each step's work."""

    columns_before: list[str]
    columns_after: list[str]
    before: list[list[Cell]]
    after: list[list[Cell]]
    report: list[StepReport]


class Choices(Body):
    """How to read a file. What is left out stays as it was for the version before, else it is found out; null of
    `day_first` or `decimal` finds it out again.

    `off` names repairs that are not made: each such cell is then a fault. `duplicates` says which record of one series
    and time is stored; auto is the last, unless most records would go. `keep_unmeasured` stores records without any
    measure.
    """

    roles: Annotated[dict[Text, Role], Field(max_length=2000)] = {}
    time_zone: Annotated[Text, Field(description='Such as Europe/Paris, for times without an offset.')] = 'UTC'
    day_first: bool | None = None
    decimal: Literal['.', ','] | None = None
    keep_unmeasured: bool = False
    reading: Reading = Reading()
    shape: Literal['auto', 'long', 'wide'] = 'auto'
    melt: Melt = Melt()
    off: Annotated[list[Repair], Field(max_length=20)] = []
    duplicates: Literal['auto', 'last', 'first', 'mean', 'sum'] = 'auto'
    recipe: Annotated[list[Step], Field(max_length=50)] = []

    def said(self) -> dict[str, Any]:
        """What was said, without the rest."""
        nothing = {name: None for name in self.model_fields_set if getattr(self, name) is None}
        return self.model_dump(exclude_unset=True, exclude_none=True, by_alias=True) | nothing


class Correction(Choices):
    """How to read the dataset's file instead. What is left out stays as it was for the version in use; null of
    `day_first` or `decimal` finds it out again.

    `job` names a conversion of this dataset that failed or was cancelled: its file is read, as that job was told but
    for what is said here, and joins the version in use now; `how` says otherwise. Its `error.details.columns` lists
    what stands in the file. Asked again, the same job is answered.
    """

    job: Annotated[UUID | None, Strict(False)] = None
    how: Literal['append', 'replace'] | None = None

    def said(self) -> dict[str, Any]:
        """What was said of the reading, without the rest."""
        return {name: value for name, value in super().said().items() if name not in ('job', 'how')}


@dataclass(frozen=True, slots=True)
class ChosenFaults:
    """Which faults of a version are asked for; what is left out leaves all."""

    kind: Annotated[Text | None, Query(description='Only faults of this kind.')] = None
    column: Annotated[Text | None, Query(description='Only those of this column; empty: of whole records.')] = None
    action: Annotated[Text | None, Query(description='Only those that were met so.')] = None
    first_line: Annotated[int | None, Query(ge=0, le=2**53, description='Only those from this line on.')] = None
    last_line: Annotated[int | None, Query(ge=0, le=2**53, description='Only those up to this line.')] = None

    @property
    def where(self) -> Mapping[str, str | None]:
        """By column of the list of faults what it holds."""
        named = {name: value for name, value in (('kind', self.kind), ('action', self.action)) if value}
        return named | ({} if self.column is None else {'column': self.column or None})

    @property
    def lines(self) -> Lines:
        """The lines to look at."""
        return self.first_line, self.last_line


FaultsChosen = Annotated[ChosenFaults, Depends()]


class FaultGroup(Answer):
    """Faults of one kind in one column (null: the whole record) that were met alike."""

    kind: str
    column: str | None
    action: str
    count: int
    first_line: int
    examples: list[str]


class FaultGroups(Answer):
    """Groups of faults, the most frequent first."""

    items: list[FaultGroup]


class SeriesChange(Answer):
    """How many rows of a series differ."""

    series: str
    added: int
    changed: int
    gone: int


class RowChange(Answer):
    """A row that differs; `before` or `after` is null where the version has no such row. Of a row that changed, only
    the cells that differ are told."""

    series: str
    time: datetime
    before: dict[str, Cell] | None
    after: dict[str, Cell] | None


class Diff(Answer):
    """What a later version made of an earlier one; rows meet by series and time, and cells are of 100 columns at most.

    `series` lists those that differ most, of `n_series` that differ. `rows` holds the first rows of each kind by series
    and time. A column that one version lacks is named, and makes no row differ.
    """

    from_version: int
    to_version: int
    added: int
    changed: int
    gone: int
    same: int
    n_series: int
    series: list[SeriesChange]
    columns_added: list[str]
    columns_gone: list[str]
    rows: dict[Literal['added', 'changed', 'gone'], list[RowChange]]


class Origin(Answer):
    """Where a row came from: a line of a file (null: a step of cleaning made it), and the version that brought it.

    `cells` is the row as it is stored, `faults` what was found on that line of the file. Where a measure was asked for,
    `value` is its stored value and `written` the text of its cell, null where the two say the same.
    """

    line: int | None
    source: str
    version: int | None
    cells: dict[str, Cell]
    faults: Rows | None
    value: Cell = None
    written: str | None = None


class Provenance(Answer):
    """The rows of a series at a time; there are several where duplicates were kept."""

    items: list[Origin]


PointTime = Annotated[Stamp, Query(description='The exact time of the row.')]
PointSeries = Annotated[Text, Query(description='Its label; empty where there is one series.')]
PointMeasure = Annotated[Text | None, Query(description='Tell the cell of this measure too.')]


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
    async def list_datasets(
        session: DatasetsRead,
        query: Annotated[
            Text, Query(description='Part of a name, of the dataset or its file, whatever its case.')
        ] = '',
        offset: Offset = 0,
        limit: Most = None,
    ) -> Datasets:
        found = await datasets.list(session.user.id, query=query, offset=offset, limit=limit)
        total = (await datasets.count(session.user.id, query=query)).found
        return Datasets(items=[Dataset.model_validate(one) for one in found], total=total)

    @api.get('/datasets/deleted', summary='Datasets that can be brought back')
    async def list_deleted_datasets(session: DatasetsRead, offset: Offset = 0, limit: Most = None) -> DeletedDatasets:
        found = await datasets.deleted(session.user.id, offset=offset, limit=limit)
        total = (await datasets.count(session.user.id)).deleted
        return DeletedDatasets(items=[DeletedDataset.model_validate(one) for one in found], total=total)

    @api.get('/datasets/{dataset_id}', summary='One dataset', responses=problems(404))
    async def get_dataset(session: DatasetsRead, dataset_id: DatasetId) -> Dataset:
        return await one(session.user.id, dataset_id)

    @api.patch('/datasets/{dataset_id}', summary='Rename a dataset', responses=problems(404, 413, 415))
    async def change_dataset(session: DatasetsWrite, dataset_id: DatasetId, change: DatasetChange, by: By) -> Dataset:
        await datasets.rename(session.user.id, dataset_id, change.name, by=by)
        return await one(session.user.id, dataset_id)

    @api.delete(
        '/datasets/{dataset_id}',
        status_code=204,
        summary='Delete a dataset',
        description='It can be brought back for 30 days; then it is removed for good, with its versions, its forecasts '
        'and what these count in the track record.',
        responses=problems(404),
    )
    async def delete_dataset(session: DatasetsWrite, dataset_id: DatasetId, by: By) -> None:
        await datasets.delete(session.user.id, dataset_id, by=by)

    @api.post('/datasets/{dataset_id}/undelete', summary='Bring a deleted dataset back', responses=problems(404))
    async def undelete_dataset(session: DatasetsWrite, dataset_id: DatasetId, by: By) -> Dataset:
        await datasets.undelete(session.user.id, dataset_id, by=by)
        return await one(session.user.id, dataset_id)

    @api.get('/datasets/{dataset_id}/dismissed-hints', summary='Hints that were dismissed', responses=problems(404))
    async def list_dismissed_hints(session: DatasetsRead, dataset_id: DatasetId) -> DismissedHints:
        return DismissedHints(items=list(await datasets.dismissed_hints(session.user.id, dataset_id)))

    @api.put(
        '/datasets/{dataset_id}/dismissed-hints',
        summary='Dismiss a hint, or bring it back',
        responses=problems(404, 413, 415),
    )
    async def change_dismissed_hints(
        session: DatasetsWrite, dataset_id: DatasetId, change: HintChange
    ) -> DismissedHints:
        found = await datasets.dismiss_hint(session.user.id, dataset_id, change.key, dismissed=change.dismissed)
        return DismissedHints(items=list(found))

    @api.get('/datasets/{dataset_id}/versions', summary='List versions', responses=problems(404))
    async def list_versions(
        session: DatasetsRead,
        dataset_id: DatasetId,
        limit: Limit = 50,
        before: Annotated[
            int | None, Query(ge=1, le=2**31 - 1, description='Answer versions with a lower number than this one.')
        ] = None,
    ) -> Versions:
        shown = (await datasets.get(session.user.id, dataset_id)).version
        found = await datasets.versions(session.user.id, dataset_id, before=before, limit=limit)
        after = found[-1].number if found and found[-1].previous is not None else None
        return Versions(items=[Version(shown=one.number == shown, **_listed(one)) for one in found], next=after)

    @api.get('/datasets/{dataset_id}/versions/{number}', summary='One version', responses=problems(404))
    async def get_version(session: DatasetsRead, dataset_id: DatasetId, number: Number) -> VersionInFull:
        shown = (await datasets.get(session.user.id, dataset_id)).version
        version = await datasets.version(session.user.id, dataset_id, number)
        return VersionInFull(**_summary(version, shown), manifest=Manifest.from_json(version.manifest))

    @api.post(
        '/datasets/{dataset_id}/versions/{number}/restore',
        summary='Use an earlier version again',
        responses=problems(404),
    )
    async def restore_version(session: DatasetsWrite, dataset_id: DatasetId, number: Number, by: By) -> Dataset:
        await datasets.get(session.user.id, dataset_id)
        await datasets.restore(session.user.id, dataset_id, number, by=by)
        return await one(session.user.id, dataset_id)

    @api.post(
        '/datasets/{dataset_id}/corrections',
        status_code=202,
        summary='Convert the file again, read as you say',
        description='A job that makes a new version; the old ones stay.',
        responses=problems(402, 404, 409, 413, 415),
    )
    async def correct_dataset(session: DatasetsWrite, dataset_id: DatasetId, correction: Correction, by: By) -> Job:
        return Job.model_validate(
            await services.uploads.correct(
                session.user.id, dataset_id, correction.said(), job_id=correction.job, how=correction.how, by=by
            )
        )

    @api.post(
        '/datasets/{dataset_id}/versions/{number}/recipe',
        summary='Try a recipe on one series',
        description='The steps start from the rows before the recipe of the version. Nothing is stored.',
        responses=problems(404, 413, 415),
    )
    async def try_recipe(session: DatasetsRead, dataset_id: DatasetId, number: Number, trial: Trial) -> Tried:
        _, version = await version_of(session.user.id, dataset_id, number)
        steps = [step.model_dump(exclude_unset=True, exclude_none=True, by_alias=True) for step in trial.steps]
        found = await datasets.try_recipe(session.user.id, version, steps, series=trial.series, limit=trial.limit)
        return Tried(
            columns_before=list(found.columns_before),
            columns_after=list(found.columns_after),
            before=table_of(found.before),
            after=table_of(found.after),
            report=[StepReport.model_validate(one) for one in found.report],
        )

    @api.get(
        '/datasets/{dataset_id}/diff',
        summary='What a version made of another',
        description='Rows added, changed and gone, in all, by series, and the first of each.',
        responses=problems(404),
    )
    async def diff_versions(
        session: DatasetsRead,
        dataset_id: DatasetId,
        from_version: Annotated[int, Query(alias='from', ge=1, le=2**31 - 1, description='The earlier version.')],
        to_version: Annotated[int, Query(alias='to', ge=1, le=2**31 - 1, description='The later version.')],
        limit: Annotated[int, Query(ge=0, le=100, description='How many rows of each kind at most.')] = 20,
    ) -> Diff:
        _, before = await version_of(session.user.id, dataset_id, from_version)
        _, after = await version_of(session.user.id, dataset_id, to_version)
        found = await datasets.diff(session.user.id, before, after, limit=limit)
        return Diff(
            from_version=from_version,
            to_version=to_version,
            **{name: getattr(found, name) for name in ('added', 'changed', 'gone', 'same', 'n_series')},
            series=[SeriesChange.model_validate(one) for one in found.series],
            columns_added=list(found.columns_added),
            columns_gone=list(found.columns_gone),
            rows={kind: [_row_change(row) for row in rows] for kind, rows in found.rows.items()},
        )

    @api.get(
        '/datasets/{dataset_id}/provenance',
        summary='Where a point came from',
        description='The file, the line and the version behind the rows of a series at a time.',
        responses=problems(404),
    )
    async def find_provenance(
        session: DatasetsRead,
        dataset_id: DatasetId,
        time: PointTime,
        series: PointSeries = '',
        measure: PointMeasure = None,
        version: Annotated[int | None, Query(ge=1, le=2**31 - 1, description='The one in use, if left out.')] = None,
    ) -> Provenance:
        return await provenance(session.user.id, dataset_id, version, time, series, measure)

    @api.get(
        '/datasets/{dataset_id}/versions/{number}/provenance',
        summary='Where a point of a version came from',
        description='The file, the line and the version behind the rows of a series at a time.',
        responses=problems(404),
    )
    async def find_provenance_in_version(
        session: DatasetsRead,
        dataset_id: DatasetId,
        number: Number,
        time: PointTime,
        series: PointSeries = '',
        measure: PointMeasure = None,
    ) -> Provenance:
        return await provenance(session.user.id, dataset_id, number, time, series, measure)

    async def provenance(
        user_id: UUID, dataset_id: UUID, number: int | None, time: datetime, series: str, measure: str | None
    ) -> Provenance:
        await datasets.get(user_id, dataset_id)
        stored = await datasets.version(user_id, dataset_id, number)
        found = await datasets.provenance(user_id, stored, series=series, time=time, measure=measure)
        return Provenance(items=[_origin(one, measure) for one in found])

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
        session: DatasetsRead,
        dataset_id: DatasetId,
        number: Number,
        chosen: FaultsChosen,
        offset: Offset = 0,
        limit: Limit = 100,
    ) -> Rows:
        _, version = await version_of(session.user.id, dataset_id, number)
        found = await datasets.faults(
            session.user.id, version, offset=offset, limit=limit, where=chosen.where, lines=chosen.lines
        )
        return rows_of(found)

    @api.get(
        '/datasets/{dataset_id}/versions/{number}/faults/groups',
        summary='Faults by kind and column',
        responses=problems(404),
    )
    async def group_faults(session: DatasetsRead, dataset_id: DatasetId, number: Number) -> FaultGroups:
        _, version = await version_of(session.user.id, dataset_id, number)
        found = await datasets.fault_groups(session.user.id, version)
        return FaultGroups(items=[FaultGroup.model_validate(group) for group in found])

    async def export(
        user_id: UUID,
        dataset_id: UUID,
        number: int,
        what: str,
        form: str,
        chosen: ChosenFaults | None = None,
    ) -> Response:
        name, version = await version_of(user_id, dataset_id, number)
        folder = TemporaryDirectory(prefix='variosync-export-')
        out = Path(folder.name) / f'export.{form}'
        some = chosen or ChosenFaults()
        await datasets.export(user_id, version, what, out, where=some.where, lines=some.lines)
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
    async def export_faults(
        session: DatasetsRead,
        dataset_id: DatasetId,
        number: Number,
        form: Form,
        chosen: FaultsChosen,
    ) -> Response:
        return await export(session.user.id, dataset_id, number, 'faults', form, chosen)

    return api


def _origin(one: Found, measure: str | None) -> Origin:
    cells = cells_of(one.cells)
    return Origin(
        line=one.line,
        source=one.source,
        version=one.number,
        cells=cells,
        faults=None if one.faults is None else rows_of(one.faults),
        value=cells[measure] if measure else None,
        written=one.written(measure) if measure else None,
    )


def _row_change(row: Row) -> RowChange:
    return RowChange(
        series=row.series,
        time=row.time,
        before=None if row.before is None else cells_of(row.before),
        after=None if row.after is None else cells_of(row.after),
    )


def _listed(version: VersionSummary) -> Mapping[str, Any]:
    names = ('number', 'rows', 'faults', 'series', 'measures', 'warnings', 'created_at')
    return {name: getattr(version, name) for name in names}


def _summary(version: StoredVersion, shown: int | None) -> Mapping[str, object]:
    return {
        'number': version.number,
        'shown': version.number == shown,
        'rows': version.rows,
        'faults': version.manifest['faults_total'],
        'series': version.manifest['series']['count'],
        'measures': version.manifest['measures'],
        'warnings': version.manifest.get('warnings', []),
        'created_at': version.created_at,
    }
