"""Datasets: versions, their rows and faults, what differs between them; undo."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

from core import audit, orders
from core.analysis import tables
from core.analysis.ahead import Ahead, known_ahead
from core.analysis.recipes import Preview, fields_of, steps_of
from core.analysis.recipes import check as check_recipe
from core.analysis.recipes import preview as try_recipe
from core.analysis.versions import Difference, Point, Stored, difference, points
from core.errors import NotFound, UsageError
from core.orders import Order
from core.ports import Database, Events, ObjectStore, Row
from core.values import (
    NOBODY,
    Actor,
    Dataset,
    Deleted,
    Version,
    VersionSummary,
)

READING_AT_ONCE = 8
A_USER = 2  # of them for what takes long, so that others always find a thread
COMPARING_AT_ONCE = 2  # each may hold 256 MB and write what does not fit to disk
VERSIONS = 50  # of a dataset that are listed at a time
T = TypeVar('T')
EXPORTS = {'csv': 'text/csv; charset=utf-8', 'parquet': 'application/vnd.apache.parquet'}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many datasets a search has `found`, how many there are in all, and how many were `deleted`."""

    found: int
    total: int
    deleted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A dataset as pickers know it: the number and the rows of its shown version are None until there is one."""

    id: UUID
    name: str
    version: int | None
    rows: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a stored row came from: its line in `source`, which version `number` of the dataset brought.

    `line` is None for a row that a step of cleaning made, `number` where that version is not known. `cells` are what
    is stored, `faults` what was found on that line of the file.
    """

    line: int | None
    source: str
    number: int | None
    cells: Mapping[str, Any]
    faults: tables.Page | None
    sources: Mapping[str, str] = field(default_factory=dict)

    def written(self, measure: str) -> str | None:
        """The raw text of a cell that is stored otherwise than it was written; None when it was stored as written."""
        if self.faults is None:
            return None
        column, value = (self.faults.columns.index(name) for name in ('column', 'value'))
        names = {measure, self.sources.get(measure, measure)}
        own = [row for row in self.faults.rows if row[column] in names]
        if not own:
            # Of a wide table, faults name the column as the file does: by the time or the series of the point.
            told = [str(cell) for name, cell in self.cells.items() if name != measure and cell is not None]
            own = [
                row
                for row in self.faults.rows
                if row[column] and row[column] not in self.cells and any(cell.startswith(row[column]) for cell in told)
            ]
        found = [row for row in own if row[value] is not None]
        return str(found[0][value]) if found else None


class Datasets:
    """What users bring and what became of it. Every method sees the rows of the given user only."""

    def __init__(self, database: Database, *, objects: ObjectStore, events: Events) -> None:
        self._database = database
        self._objects = objects
        self._events = events
        self._threads = ThreadPoolExecutor(READING_AT_ONCE, thread_name_prefix='reading')
        self._turns: WeakValueDictionary[UUID, asyncio.Semaphore] = WeakValueDictionary()
        self._comparing = asyncio.Semaphore(COMPARING_AT_ONCE)

    # datasets and versions

    async def list(
        self,
        user_id: UUID,
        *,
        query: str = '',
        ids: Collection[UUID] | None = None,
        converted: bool = False,
        offset: int = 0,
        limit: int | None = None,
    ) -> Sequence[Dataset]:
        """Return the datasets, or some of them, the latest change first.

        With `query` those that have it in their name or their file's, whatever its case; with `ids` some of these;
        with `converted` those alone that have a version.
        """
        some = None if ids is None else sorted(ids, key=str)
        async with self._database.transaction(user_id) as tx:
            return [
                _dataset(row)
                for row in await tx.all(
                    'datasets_list', query=query.strip(), ids=some, converted=converted, offset=offset, limit=limit
                )
            ]

    async def count(self, user_id: UUID, *, query: str = '') -> Counts:
        """Return how many datasets `list` would return, how many there are, and how many are deleted."""
        async with self._database.transaction(user_id) as tx:
            return Counts(**await tx.one('datasets_count', query=query.strip()))

    async def named(self, user_id: UUID) -> Sequence[Named]:
        """Return all datasets by their names alone, the latest change first: thousands of them are at hand at once."""
        async with self._database.transaction(user_id) as tx:
            return [Named(**row) for row in await tx.all('datasets_named')]

    async def deleted(self, user_id: UUID, *, offset: int = 0, limit: int | None = None) -> Sequence[Deleted]:
        """Return the datasets that were deleted and can be brought back, the latest deletion first."""
        async with self._database.transaction(user_id) as tx:
            return [Deleted(**row) for row in await tx.all('datasets_deleted', offset=offset, limit=limit)]

    async def kept_until(self, user_id: UUID, dataset_id: UUID) -> datetime | None:
        """Return until when a dataset that was taken away can be brought back; None when it cannot."""
        async with self._database.transaction(user_id) as tx:
            row = await tx.first('dataset_deleted', id=dataset_id)
        return None if row is None else Deleted(**row).until

    async def get(self, user_id: UUID, dataset_id: UUID) -> Dataset:
        """Return a dataset. Raise NotFound when it is not this user's or was deleted."""
        async with self._database.transaction(user_id) as tx:
            return _dataset(await tx.one('dataset_by_id', id=dataset_id))

    async def versions(
        self, user_id: UUID, dataset_id: UUID, *, before: int | None = None, limit: int = VERSIONS
    ) -> Sequence[VersionSummary]:
        """Return versions, the newest first, or those made before the number `before`."""
        async with self._database.transaction(user_id) as tx:
            rows = await tx.all('versions_list', dataset_id=dataset_id, before=before, limit=limit)
        return [VersionSummary(**row) for row in rows]

    async def made_by(self, user_id: UUID, dataset_id: UUID, origins: Collection[str]) -> Mapping[str, tuple[int, str]]:
        """Return the number and the prefix of the version that each conversion made, as manifests name it.

        Those whose version is gone are left out.
        """
        async with self._database.transaction(user_id) as tx:
            rows = await tx.all('versions_by_origin', dataset_id=dataset_id, origins=sorted(origins))
        return {row['prefix'].rpartition('/')[2]: (row['number'], row['prefix']) for row in rows}

    async def first_told(self, user_id: UUID, version: Version) -> int | None:
        """Return the number of the earlier version that told the same notes of the same upload first, if any."""
        async with self._database.transaction(user_id) as tx:
            first: int | None = (await tx.one('version_first_told', id=version.id))['number']
        return first if first is not None and first < version.number else None

    async def version(self, user_id: UUID, dataset_id: UUID, number: int | None = None) -> Version:
        """Return the version with this number, or the current one.

        Raise NotFound when there is none, and when the dataset was deleted.
        """
        async with self._database.transaction(user_id) as tx:
            if number is None:
                return Version(**await tx.one('version_current', dataset_id=dataset_id))
            return Version(**await tx.one('version_by_number', dataset_id=dataset_id, number=number))

    async def shown(self, user_id: UUID, ids: Collection[UUID]) -> Mapping[UUID, tuple[str, Version | None]]:
        """Return by id the name and the shown version of each of these datasets; those not there are left out."""
        async with self._database.transaction(user_id) as tx:
            rows = await tx.all('versions_shown', ids=sorted(ids, key=str))
        return {
            row['shown_by']: (
                row['dataset_name'],
                None
                if row['id'] is None
                else Version(**{name: one for name, one in row.items() if name not in ('shown_by', 'dataset_name')}),
            )
            for row in rows
        }

    async def orders(self, user_id: UUID, dataset_id: UUID, numbers: Collection[int]) -> Mapping[int, Order]:
        """Return by number what these versions were ordered to be."""
        async with self._database.transaction(user_id) as tx:
            rows = await tx.all('version_orders', dataset_id=dataset_id, numbers=sorted(numbers))
        return {row['number']: orders.order_of(row['payload'] or {}) for row in rows}

    async def rename(self, user_id: UUID, dataset_id: UUID, name: str, *, by: Actor = NOBODY) -> None:
        """Give the dataset another name."""
        if not (name := name.strip()) or len(name) > 255:
            raise UsageError('A dataset needs a name of 1 to 255 characters.')
        await self._change(
            'dataset_rename', user_id, dataset_id, 'dataset renamed', told=f'now {name}', by=by, name=name
        )

    async def dismissed_hints(self, user_id: UUID, dataset_id: UUID) -> Sequence[str]:
        """Return the keys of hints that were dismissed, the latest last."""
        async with self._database.transaction(user_id) as tx:
            return _dismissed(await tx.first('dataset_hints_dismissed', id=dataset_id))

    async def dismiss_hint(self, user_id: UUID, dataset_id: UUID, key: str, *, dismissed: bool = True) -> Sequence[str]:
        """Dismiss the hint with this key, or bring it back; return the keys that are dismissed then."""
        async with self._database.transaction(user_id) as tx:
            return _dismissed(await tx.first('dataset_hint_dismiss', id=dataset_id, key=key, dismissed=dismissed))

    async def delete(self, user_id: UUID, dataset_id: UUID, *, by: Actor = NOBODY) -> None:
        """Take the dataset away; `undelete` brings it back until `KEPT` has gone by."""
        await self._change('dataset_delete', user_id, dataset_id, 'dataset deleted', by=by)

    async def undelete(self, user_id: UUID, dataset_id: UUID, *, by: Actor = NOBODY) -> None:
        """Bring a deleted dataset back."""
        await self._change('dataset_undelete', user_id, dataset_id, 'dataset restored', by=by)

    async def restore(self, user_id: UUID, dataset_id: UUID, number: int, *, by: Actor = NOBODY) -> None:
        """Show an earlier version again; nothing is lost, so this undoes an upload or a correction."""
        version = await self.version(user_id, dataset_id, number)
        told = f'version {number}'
        await self._change(
            'dataset_point', user_id, dataset_id, 'version shown', told=told, by=by, version_id=version.id
        )

    async def _change(
        self, statement: str, user_id: UUID, dataset_id: UUID, action: str, *, by: Actor, told: str = '', **values: Any
    ) -> None:
        """Run a statement that returns the name which the dataset had; the audit log tells of it, and open pages."""
        async with self._database.transaction(user_id) as tx:
            row = await tx.first(statement, id=dataset_id, **values)
            if row is None:
                raise NotFound('There is no such dataset.')
            subject = f'{row["name"]}: {told}' if told else row['name']
            await audit.record(tx, user_id, action, subject, about=dataset_id, by=by)
        await self._events.publish(f'{user_id}/datasets', {'dataset': str(dataset_id)})

    # reading

    async def preview(
        self,
        user_id: UUID,
        version: Version,
        *,
        offset: int = 0,
        limit: int = 100,
        where: Mapping[str, Any] | None = None,
    ) -> tables.Page:
        """Return stored rows in their order; `where` (column and value) leaves those that hold these."""
        _own(user_id, version)
        rows = await self._objects.open(version.parts)
        return await self._read(
            lambda: tables.page(rows.paths, offset=offset, limit=limit, where=where, system=rows.files)
        )

    async def faults(
        self,
        user_id: UUID,
        version: Version,
        *,
        offset: int = 0,
        limit: int = 100,
        where: Mapping[str, str | None] | None = None,
        lines: tables.Lines = (None, None),
    ) -> tables.Page:
        """Return faults in line order; `where` (`kind`, `column`, `action`) leaves those of one group.

        `lines` are the first and the last line to look at, None for no bound.
        """
        _own(user_id, version)
        path = await self._objects.fetch(f'{version.prefix}/faults.parquet')
        order = ('line', 'column')
        return await self._read(
            lambda: tables.page([path], offset=offset, limit=limit, order=order, where=where, lines=lines)
        )

    async def fault_groups(self, user_id: UUID, version: Version) -> Sequence[tables.Group]:
        """Return how many faults there are of each kind, column and action, the most frequent first."""
        _own(user_id, version)
        path = await self._objects.fetch(f'{version.prefix}/faults.parquet')
        return await self._read(lambda: tables.fault_groups(path))

    async def faults_at(self, user_id: UUID, version: Version, lines: Sequence[int]) -> tables.Page:
        """Return what was found on these lines of the version's own file, at most 1,000 faults."""
        _own(user_id, version)
        path = await self._objects.fetch(f'{version.prefix}/faults.parquet')
        return await self._read(lambda: tables.at_lines(path, lines))

    async def diff(self, user_id: UUID, before: Version, after: Version, *, limit: int = 20) -> Difference:
        """Return what one version made of another of the same dataset: rows added, changed and gone.

        At most `limit` rows of each kind are listed.
        """
        _own(user_id, before)
        _own(user_id, after)
        if before.dataset_id != after.dataset_id:
            raise UsageError('Only versions of one dataset can be compared.')
        opened = await self._objects.open([*before.parts, *after.parts])
        middle = len(before.parts)
        old, new = (
            Stored(parts=paths, system=opened.files) for paths in (opened.paths[:middle], opened.paths[middle:])
        )
        async with self._turn(user_id), self._comparing:
            return await self._read(lambda: difference(old, new, limit=limit))

    async def try_recipe(
        self, user_id: UUID, version: Version, steps: Sequence[Mapping[str, Any]], *, series: str, limit: int = 500
    ) -> Preview:
        """Return what cleaning steps would do to one series of a version, and at most `limit` of its rows.

        Raise UsageError for a step that cannot be done.
        """
        _own(user_id, version)
        fields, zone = fields_of(version.manifest), version.manifest['time']['zone']
        await self._read(lambda: check_recipe(steps, fields, zone=zone))
        async with self._turn(user_id):
            rows = await self._objects.open(version.extended[1:])
            return await self._read(
                lambda: try_recipe(
                    rows.paths,
                    fields,
                    steps,
                    zone=zone,
                    series=series,
                    stored=steps_of(version.manifest),
                    limit=limit,
                    system=rows.files,
                )
            )

    async def provenance(
        self, user_id: UUID, version: Version, *, series: str, time: datetime, measure: str | None = None
    ) -> Sequence[Origin]:
        """Return where the rows of a series at a time came from.

        Raise NotFound when there is no such point, or no such measure.
        """
        _own(user_id, version)
        if measure is not None and measure not in {column['name'] for column in version.manifest['columns']}:
            raise NotFound(f'There is no column "{measure}" in version {version.number}.')
        opened = await self._objects.open(version.parts)
        stored = Stored(parts=opened.paths, system=opened.files)
        found = await self._read(lambda: points(stored, series=series, time=time))
        if not found:
            raise NotFound(f'There is no row of "{series}" at {time.isoformat()} in version {version.number}.')
        sources = version.manifest.get('sources') or [{'name': version.manifest['source']['name'], 'origin': ''}]
        origins = {sources[point.source]['origin'] for point in found} - {''}
        made = await self.made_by(user_id, version.dataset_id, origins)
        return [await self._origin(version, point, sources[point.source], made) for point in found]

    async def _origin(
        self, version: Version, point: Point, source: Mapping[str, Any], made: Mapping[str, tuple[int, str]]
    ) -> Origin:
        by = made.get(source['origin'])
        if by is None and not version.manifest.get('sources', ())[1:]:
            by = version.number, version.prefix
        faults = None
        if by is not None and point.line is not None:
            path, line = await self._objects.fetch(f'{by[1]}/faults.parquet'), point.line
            faults = await self._read(lambda: tables.at_lines(path, [line]))
        return Origin(
            line=point.line,
            source=source['name'],
            number=None if by is None else by[0],
            cells=point.cells,
            faults=faults,
            sources={column['name']: column['source'] for column in version.manifest['columns']},
        )

    async def labels(self, user_id: UUID, version: Version, *, query: str = '', limit: int = 50) -> Sequence[str]:
        """Return series labels that contain `query`."""
        _own(user_id, version)
        path = await self._objects.fetch(f'{version.prefix}/series.parquet')
        return await self._read(lambda: tables.search(path, column='series', query=query, limit=limit))

    async def spellings(self, user_id: UUID, version: Version, column: str, *, limit: int = 500) -> Mapping[str, int]:
        """Return what a text column holds before the recipe, in order, and in how many rows."""
        _own(user_id, version)
        async with self._turn(user_id):
            rows = await self._objects.open(version.extended[1:])
            return await self._read(lambda: tables.values(rows.paths, column=column, limit=limit, system=rows.files))

    async def known_ahead(self, user_id: UUID, version: Version, target: str) -> Mapping[str, Ahead]:
        """Return how far the other measures are known after the last value of `target`, by name."""
        _own(user_id, version)
        others = [name for name in version.manifest['measures'] if name != target]
        opened = await self._objects.open(version.parts)
        return await self._read(lambda: known_ahead(opened.paths, target=target, columns=others, system=opened.files))

    async def export(
        self,
        user_id: UUID,
        version: Version,
        what: str,
        out: Path,
        *,
        where: Mapping[str, str | None] | None = None,
        lines: tables.Lines = (None, None),
    ) -> None:
        """Write the version's `rows` or `faults` as CSV or Parquet, by `out`'s suffix (`tables.export`).

        `where` and `lines` leave some of the faults, as for `faults`.
        """
        _own(user_id, version)
        keys = [f'{version.prefix}/faults.parquet'] if what == 'faults' else version.parts
        async with self._turn(user_id):
            opened = await self._objects.open(keys)
            told, system = version.manifest['time'], opened.files
            time = '' if what == 'faults' else told['column']
            await self._read(
                lambda: tables.export(
                    opened.paths, out, where=where, lines=lines, time=time, zone=told['zone'], system=system
                )
            )

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _turn(self, user_id: UUID) -> asyncio.Semaphore:
        """One of the threads that a user may hold with what takes long: exports, comparisons, recipes."""
        return self._turns.setdefault(user_id, asyncio.Semaphore(A_USER))

    async def _read(self, read: Callable[[], T]) -> T:
        """Read on a thread of our own: it may wait for a bucket, and what else runs on threads must not."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, read)


def _dismissed(row: Row | None) -> Sequence[str]:
    if row is None:
        raise NotFound('There is no such dataset.')
    return tuple(row['hints_dismissed'])


def _own(user_id: UUID, version: Version) -> None:
    if version.user_id != user_id:
        raise NotFound('There is no such dataset.')


def _dataset(row: Row) -> Dataset:
    return Dataset(**{**row, 'sparkline': tuple(row['sparkline'] or ())})
