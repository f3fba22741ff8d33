"""From a foreign file to a dataset version: read → types → roles → rejects → sorted parts, profile, pyramid."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.analysis import duck, tables
from core.analysis.ingest import append, clocks, digits, durations, merges, profile, readings, report, seen
from core.analysis.ingest.clean import Clean, failures, lacks, read_at_once, read_clean
from core.analysis.ingest.duplicates import has_duplicates, without_duplicates
from core.analysis.ingest.headers import without_guards
from core.analysis.ingest.hints import hints, spelled_alike
from core.analysis.ingest.manifest import Manifest, Source, SourceFile, StoredFile
from core.analysis.ingest.pace import Pace
from core.analysis.ingest.parts import Stored, split, write_parts
from core.analysis.ingest.rawtable import Chosen, RawTable
from core.analysis.ingest.rejects import REPAIRS, Staged, list_faults, no_faults, repairs, stage
from core.analysis.ingest.roles import choose_roles, labels
from core.analysis.ingest.shape import check_melt, may_change, melted
from core.analysis.ingest.tallies import rows_of
from core.analysis.ingest.types import Column, choose_types, order_note, settle_day_or_month, stored_names
from core.errors import AmbiguousDates, NoTimeColumn, TooLarge, UnusableData, UsageError

if TYPE_CHECKING:
    import duckdb

OVERHEAD: Final = 160 * 2**20
THREADS: Final = 2
NARROW: Final = 64
SMALL: Final = 2**20
"""Bytes of input up to which one connection, on one thread, does everything: to open others takes longer than that."""
SMALL_CELLS: Final = 2**18
"""Cells up to which an input is small, as many as so small a text has: what repeats itself takes few bytes."""
COLUMN_MEMORY: Final = 640 * 2**10
"""What each column of a table takes while its rows are typed and sorted, however few they are."""
FEW_REPEATS: Final = 0.001
FIRST: Final = 24
"""Cells that are looked at before a whole column is."""
SHAPES: Final = ('auto', 'long', 'wide')
DUPLICATES: Final = ('auto', 'last', 'first', 'mean', 'sum')
CHOICES: Final = (
    *('roles', 'time_zone', 'day_first', 'decimal', 'keep_unmeasured', 'reading', 'shape', 'melt', 'off'),
    *('duplicates', 'recipe'),
)
"""The options that a user may give; the others are ours."""
Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to read a file. `roles` maps columns to time, series, measure or attribute and wins over what is guessed.

    Times without an offset are read in `time_zone`; dates, months and years are kept at 00:00 UTC. `memory` is in
    bytes. `day_first` and `decimal` ('.' or ',') settle what the file alone leaves open. `max_faults` limits `inspect`.
    `keep_unmeasured` stores records in which no measure can be read (with null measures) instead of rejecting them.
    `reading` overrules how the file is read (see `rawtable.Chosen`). `shape` is auto, long or wide, and `melt` says how
    a wide table is made long. `off` names repairs not to be made (see `rejects.REPAIRS`). `duplicates` says which of
    the records of one series and time is stored: last, first or mean; auto is last, unless most records would go (then
    all stay). `recipe` holds cleaning steps. `before` names manifest.json and the parts of the version that this file
    extends (see `append`), `usual` the roles that columns had so far, heeded where the file has them. `origin` is what
    the manifest calls this conversion.
    """

    time_zone: str = 'UTC'
    roles: Mapping[str, str] = field(default_factory=dict)
    memory: int = 512 * 2**20
    day_first: bool | None = None
    decimal: str | None = None
    max_faults: int = 1000
    keep_unmeasured: bool = False
    reading: Mapping[str, Any] = field(default_factory=dict)
    shape: str = 'auto'
    melt: Mapping[str, Any] = field(default_factory=dict)
    off: Sequence[str] = ()
    duplicates: str = 'auto'
    recipe: Sequence[Mapping[str, Any]] = ()
    before: Sequence[Path] = ()
    usual: Mapping[str, str] = field(default_factory=dict)
    origin: str = ''


def convert(path: Path, *, name: str, into: Path, options: Options, progress: Progress) -> Manifest:
    """Convert the file `path` (called `name` by its owner) into a dataset version in the folder `into`.

    Writes `data-00000.parquet` … (sorted by `_series, _time, _line`), `faults.parquet`, `series.parquet`,
    `pyramid.parquet` and `manifest.json`, the same bytes each time. Every record is accepted, repaired or rejected, and
    nothing else. With a recipe, the rows before its steps are kept too, as `base-00000.parquet` …, so that it can be
    changed and what comes later joins them.
    Raises UnreadableFile, NotSupported, TooLarge, NoTimeColumn, AmbiguousDates, UnusableData or UsageError.
    """
    from core.analysis.ingest.pyramid import SMALL as SHORT
    from core.analysis.ingest.pyramid import build_pyramid

    progress = pace = Pace(progress)
    with _opened(path, name=name, options=options, beside=into, progress=progress) as job:
        pace.rows = job.raw.rows_read
        if not job.raw.names or not job.raw.rows_read:
            raise UnusableData(f'{name} holds no rows. Upload a file with a table in it.')
        kept = 'base' if options.recipe else 'data'
        made = _at_once(job, into, name=kept, progress=progress) or _by_steps(job, into, name=kept, progress=progress)
        stored, base = made.stored, made.parts
        job.notes += clocks.named(stored.columns, job.zone)
        job.notes += digits.notes(job.connection, base, stored.columns)
        faults = into / 'faults.parquet'
        sources = job.sources(path, base, rows=stored.count)
        cooked = job.cooked(base, stored.columns, into=into) if options.recipe else None
        if cooked and cooked.lost:
            made = job.merged(made, cooked.lost, sources, faults)
        kinds = made.kinds
        sources = (*sources[:-1], replace(sources[-1], faults=sum(kinds.values())))
        columns, parts = (cooked.columns, cooked.parts) if cooked else (stored.columns, base)
        time = next(column for column in columns if column.role == 'time')
        groups: list[dict[str, Any]] = []
        if kinds:
            report.locate(job.connection, faults, path, job.raw)
            groups = report.summary(job.connection, faults)
        progress(0.75, 'Measuring columns and steps')
        series = into / 'series.parquet'
        if cooked or not series.exists():
            profile.write_series(job.connection, parts, time, zone=job.zone, out=series)
        steps = job.workdir / 'steps.parquet'
        long = stored.count >= SHORT  # of fewer rows no pyramid is built
        known = long and profile.write_steps(job.connection, series, time, zone=job.zone, out=steps)
        times = profile.time_profile(job.connection, series, time, zone=job.zone)
        hours_end = job.raw.shape.get('ending')
        hours_end = job.hours_end if hours_end is None else hours_end
        times = replace(times, duplicates=times.duplicates + job.dropped, hours_end=hours_end)
        labelled = profile.series_profile(job.connection, series, columns, parts)
        measures = tuple(column.name for column in columns if column.role == 'measure')
        if not job.small:
            job.connection.close()
        with job.alone(into) as connection:
            distinct = None if cooked else made.distinct
            profiles = tuple(profile.column_profiles(connection, parts, columns, distinct=distinct))
            before = tuple(profile.column_profiles(connection, base, stored.columns)) if cooked else ()
            doubts = hints(
                connection,
                parts,
                profiles,
                series,
                lined=len(sources) == 1,
                before=before,
                numbered=job.numbered,
                names=labelled.first if labelled.count == len(labelled.first) else None,
            )
            progress(0.85, 'Preparing zoom levels')
            build_pyramid(
                connection,
                parts,
                measures=measures,
                out=into / 'pyramid.parquet',
                # One value that is not finite leaves no finite mean.
                whole=[c.name for c in profiles if not c.missing and c.mean is not None],
                steps=steps if known else None,
            )
        manifest = Manifest(
            source=_source(path, name, job.raw, notes=job.notes),
            columns=profiles,
            rows_read=job.raw.rows_read,
            rows_accepted=made.staged.accepted,
            rows_repaired=made.staged.repaired,
            rows_rejected=made.staged.rejected,
            faults_total=sum(kinds.values()),
            faults_by_kind=kinds,
            repairs=repairs(kinds, stored.columns),
            faults_summary=tuple(groups),
            warnings=tuple(job.warnings),
            time=times,
            series=labelled,
            measures=measures,
            files=tuple(_stored(file) for file in sorted(into.glob('*.parquet'))),
            sources=sources,
            faults_of_all=sum(source.faults for source in sources if source.rows),
            recipe=cooked.done if cooked else (),
            base=before,
            hints=doubts,
        )
        text = json.dumps(manifest.to_json(), ensure_ascii=False, allow_nan=False)
        (into / 'manifest.json').write_text(text, encoding='utf-8')
        progress(1.0, 'Done')
    return manifest


def inspect(path: Path, *, name: str, options: Options, faults_to: Path | None = None) -> dict[str, Any]:
    """Return what `variosync inspect --json` prints; no file is kept but the list of faults at `faults_to`, if asked.

    `{encoding, dialect, header_line, columns: [{name, type, role}], rows_read, rows_accepted, rows_repaired,
    rows_rejected, faults_total, faults: [{line, byte, column, kind, value, action}]}` and more keys. Where day and
    month cannot be told apart, the day is taken to come first and `notes` says so.
    """
    with _opened(path, name=name, options=options) as job:
        clean = job.clean()
        columns = clean.columns if clean else job.columns(lenient=True) if job.raw.names else []
        job.notes += clocks.named(columns, options.time_zone)
        faults = job.workdir / 'faults.parquet'
        staged, kinds, columns = (
            job.stage(columns, clean=clean, faults=faults) if columns else (_nothing(job.raw), {}, columns)
        )
        if columns:
            where = 'true' if clean else '_status < 2'
            job.notes += digits.notes(job.connection, [staged.path], columns, where=where)
            if kinds:
                report.locate(job.connection, faults, path, job.raw)
        else:
            no_faults(job.connection, faults)
        if faults_to is not None:
            shutil.copyfile(faults, faults_to)
        listed = _first_faults(job.connection, faults, limit=options.max_faults) if kinds else []
        raw = job.raw
        return {
            'encoding': raw.encoding,
            'compression': raw.compression,
            'format': raw.format,
            'dialect': asdict(raw.dialect),
            'header_line': raw.header_line,
            'reading': raw.reading,
            'notes': [*raw.notes, *job.notes],
            'columns': [{'name': c.source, 'type': c.type, 'role': c.role, 'reason': c.reason} for c in columns],
            'rows_read': raw.rows_read,
            'rows_accepted': staged.accepted,
            'rows_repaired': staged.repaired,
            'rows_rejected': staged.rejected,
            'faults_total': sum(kinds.values()),
            'faults_by_kind': kinds,
            'faults_summary': report.summary(job.connection, faults) if kinds else [],
            'repairs': repairs(kinds, columns),
            'faults': listed,
        }


def export(path: Path, *, name: str, out: Path, options: Options) -> dict[str, Any]:
    """Write the cleaned table to `out`, Parquet or CSV by its suffix; return the counts of rows and faults.

    Columns keep the file's order and names; rows are sorted by series and time, or stay in file order when there is no
    time. Text is written as it is, also where a spreadsheet would take it for a formula: a file that is converted there
    and back must be the same.
    """
    if out.suffix not in ('.csv', '.parquet'):
        raise UsageError(f'"{out.name}" is neither .csv nor .parquet. Choose one of the two.')
    if out.is_dir():
        raise UsageError(f'"{out.name}" is a folder. Name a file to write.')
    with _opened(path, name=name, options=options) as job:
        clean = job.clean()
        columns = clean.columns if clean else job.columns() if job.raw.names else []
        faults = job.workdir / 'faults.parquet'
        staged, kinds, columns = (
            job.stage(columns, clean=clean, faults=faults) if columns else (_nothing(job.raw), {}, columns)
        )
        written = job.workdir / f'out{out.suffix}'
        if columns:
            _write_export(job.connection, staged, columns, written, zone=options.time_zone)
        elif out.suffix == '.csv':
            written.touch()
        else:
            raise UnusableData(f'{name} is empty, and an empty table has no Parquet form. Write .csv instead.')
        job.connection.close()
        shutil.move(written, out)
        return {
            'rows_read': job.raw.rows_read,
            'rows_accepted': staged.accepted,
            'rows_repaired': staged.repaired,
            'rows_rejected': staged.rejected,
            'faults_total': sum(kinds.values()),
            'faults_by_kind': kinds,
            'columns': [{'name': c.source, 'type': c.type, 'role': c.role} for c in columns],
            'notes': [*job.raw.notes, *job.notes],
        }


@dataclass(slots=True, kw_only=True)
class _Job:
    """A file that has been read, and the connection that works on it: on one thread where the file is `small`."""

    raw: RawTable
    connection: 'duckdb.DuckDBPyConnection'
    workdir: Path
    name: str
    options: Options
    small: bool
    before: append.Before | None = None
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    dropped: int = 0
    repeats: bool = False
    numbered: dict[str, str] = field(default_factory=dict)
    held: dict[tuple[Path, str], bool] = field(default_factory=dict)

    @property
    def deduplicates(self) -> bool:
        """Whether records of one series and time are made one."""
        return 'duplicate' not in self.options.off

    @property
    def zone(self) -> str:
        """The zone of the stored rows: that of the version before where its times are those of a clock."""
        read = self.options.time_zone
        return self.before.zone(read) if self.before else read

    def clean(self) -> Clean | None:
        """Read and type a text that seems clean in one pass; where it is not, read it with all care and give None."""
        unread = self.raw.unread
        if unread is None:
            self.raw = self._long(self.raw)
            return None
        found = None
        if self.before is None and not self.repeats and not self.may_be_wide():
            found = read_clean(
                self.connection,
                self.raw,
                zone=self.options.time_zone,
                workdir=self.workdir,
                typed=self.typed,
                roles=lambda raw, columns: choose_roles(self.connection, raw, columns, roles=self.roles(raw)),
            )
        if found is not None and not (self.deduplicates and has_duplicates(self.connection, found.rows, found.columns)):
            self.raw = found.raw
            return found
        full = _unguarded(unread.read(), self.options, self.before)
        notes = (*self.raw.notes, *(note for note in full.notes if note not in self.raw.notes))
        full = replace(full, compression=self.raw.compression, reading=self.raw.reading, notes=notes)
        self.raw = self._long(full)
        return None

    @property
    def hours_end(self) -> bool | None:
        """Whether hours of the version before are those that end."""
        return self.before.manifest.time.hours_end if self.before else None

    def may_be_wide(self) -> bool:
        """Whether the names of the columns leave it open that the table is wide."""
        return bool(may_change(self.raw.names, shape=self.options.shape, melt=self.options.melt))

    def _long(self, raw: RawTable) -> RawTable:
        """The table made long where it is wide. Raises TooLarge when more columns stay than the memory holds."""
        options = self.options
        long = melted(
            self.connection,
            raw,
            workdir=self.workdir,
            shape=options.shape,
            melt=options.melt,
            roles=options.roles,
            known=[column.source for column in self.before.columns] if self.before else (),
            ending=self.hours_end,
            memory=options.memory,
        )
        self.numbered = spelled_alike(raw.names, raw.header) if long.is_melted else {}
        most = max(NARROW, options.memory // COLUMN_MEMORY)
        if len(long.names) > most:
            raise TooLarge(
                f'{self.name} has {len(long.names):,} columns that are no periods and no series of one measure; with '
                f'the memory allowed a table may keep {most:,}. Choose by the option melt the columns to make rows of, '
                'or upload fewer columns.'
            )
        return long

    def columns(self, *, lenient: bool = False) -> list[Column]:
        """Return the columns with types and roles; `lenient` takes day-first dates where it cannot be known."""
        columns = choose_roles(self.connection, self.raw, self.typed(self.raw), roles=self.roles(self.raw))
        self.notes += [f'Column "{c.source}" is {c.reason}.' for c in columns if c.reason.startswith('text, though')]
        columns = [self._settled(column, lenient=lenient) for column in columns]
        self.notes += [note for column in columns if (note := order_note(column))]
        return columns if self.before is None else append.aligned(columns, self.before, name=self.name, said=self._said)

    def typed(self, raw: RawTable) -> list[Column]:
        """Return the columns of a raw table with their types."""
        options = self.options
        day_first = options.day_first
        if day_first is None and self.before is not None:
            day_first = self.before.day_first
        roles = self.roles(raw)
        columns = choose_types(
            self.connection, raw, roles=roles, decimal=options.decimal, day_first=day_first, off=options.off
        )
        told = (durations.note(column.source, column.reading) for column in columns)
        self.notes += [note for note in told if note and note not in self.notes]
        return columns

    def roles(self, raw: RawTable) -> dict[str, str]:
        """The roles that the file's columns had before, and those that the user gives, which win."""
        kept = append.kept_roles(raw.names, self.before, self.options.usual)
        return {name: role for name, role in kept.items() if self._holds(raw, name)} | dict(self.options.roles)

    @property
    def _said(self) -> dict[str, str]:
        """The roles that the user has given, to this file or to one before."""
        return {**self.options.usual, **self.options.roles}

    def _holds(self, raw: RawTable, name: str) -> bool:
        """Whether a column has any cell that is not missing: of an empty one no number can be asked."""
        names = raw.names if name in raw.names else stored_names(raw.names)
        cell = f'c{[*names].index(name)}'
        if (raw.path, cell) not in self.held:
            self.held[raw.path, cell] = self._is_filled(raw, cell)
        return self.held[raw.path, cell]

    def _is_filled(self, raw: RawTable, cell: str) -> bool:
        rows = f'FROM {rows_of(raw)} WHERE _flag < 2'
        first = self.connection.execute(f'SELECT {cell} {rows} LIMIT {FIRST}').fetchall()
        if any(text and text.isascii() and not readings.is_missing(text.strip(readings.BLANK)) for (text,) in first):
            return True
        present = readings.present(readings.trimmed(cell))
        return self.connection.execute(f'SELECT 1 {rows} AND {present} IS NOT NULL LIMIT 1').fetchone() is not None

    def stored(self, staged: Staged, columns: Sequence[Column]) -> Stored:
        """Return the rows to store: those of the file, and those of the version before that stay."""
        rows = f'SELECT * FROM ({staged.rows}) WHERE _status < 2'
        if self.before is None:
            named = f'SELECT *, {labels(columns)} AS _series FROM ({rows})'
            return Stored(rows=named, columns=list(columns), count=_points(staged))
        both = append.extended(
            self.connection,
            rows,
            columns,
            self.before,
            records=staged.rows,
            rule=self.options.duplicates if self.deduplicates else 'auto',
            zone=self.options.time_zone,
            workdir=self.workdir,
        )
        self.warnings += both.warnings
        self.notes += [*both.warnings, append.told(both.kept, both.replaced), *both.notes]
        return Stored(rows=both.rows, columns=list(both.columns), count=both.kept + both.added, several=True)

    def sources(self, path: Path, parts: Sequence[Path], *, rows: int) -> tuple[Source, ...]:
        """Return the files that the stored rows came from."""
        own = Source(name=self.name, bytes=path.stat().st_size, origin=self.options.origin, rows=rows)
        return (own,) if self.before is None else append.sources(self.connection, parts, self.before, own=own)

    def cooked(self, base: Sequence[Path], columns: Sequence[Column], *, into: Path) -> '_Cooked':
        """Run the recipe over the stored rows; return the columns that it leaves and the parts that it fills."""
        from core.analysis import recipes

        fields = [recipes.Field(name=c.name, type=c.type, role=c.role, source=c.source) for c in columns]
        zone, memory, out = self.zone, _engine_memory(self.options), self.workdir / 'cooked.parquet'
        done = recipes.cook(
            base,
            fields,
            self.options.recipe,
            zone=zone,
            out=out,
            memory=memory,
            workdir=self.workdir,
            connection=self.connection if self.small else None,
        )
        filled = duck.single(
            self.connection,
            f'SELECT {", ".join(f"count({field.sql})" for field in done.fields)} FROM {duck.files([out])}',
        )
        known = {column.name: column for column in columns}
        after = [
            replace(
                known.get(field.name, Column(index=place, source=field.source or field.name, name=field.name)),
                index=place,
                type=field.type,
                role=field.role,
                reason=known[field.name].reason if field.name in known else 'made by the recipe',
                filled=count,
                unread=0,
            )
            for place, (field, count) in enumerate(zip(done.fields, filled, strict=True))
        ]
        with self.alone(into) as connection:
            parts = split(connection, out, into=into, workdir=self.workdir, name='data')
        steps = tuple({**step, **asdict(one)} for step, one in zip(self.options.recipe, done.report, strict=True))
        return _Cooked(columns=after, parts=parts, done=steps, lost=done.lost)

    def merged(self, made: '_Made', lost: Path, sources: Sequence[Source], faults: Path) -> '_Made':
        """The account of records once those that gave way as series were merged are rejected."""
        found = merges.account(
            self.connection,
            self.raw,
            made.stored,
            made.staged,
            lost,
            sources=sources,
            faults=faults,
            workdir=self.workdir,
        )
        if found is None:
            return made
        self.dropped += found.dropped
        if found.earlier:
            many = f'{found.earlier:,} row{"" if found.earlier == 1 else "s"}'
            self.notes.append(f'{many} of earlier files gave way as series were merged.')
        staged = replace(made.staged, accepted=found.accepted, repaired=found.repaired, rejected=found.rejected)
        return replace(made, staged=staged, kinds=found.kinds)

    def _settled(self, column: Column, *, lenient: bool) -> Column:
        try:
            return settle_day_or_month(self.connection, self.raw, column)
        except AmbiguousDates as error:
            if column.role != 'time':
                return replace(
                    column,
                    type='text',
                    reading=readings.TEXT,
                    unread=0,
                    reason='dates whose day and month cannot be told apart',
                )
            if not lenient:
                raise
            self.notes.append(str(error))
            other = readings.twin(column.reading)
            first = column.reading if other is None or column.reading.name.startswith('DD') else other
            return replace(column, reading=first, reason='day and month cannot be told apart; day first is assumed')

    def write_parts(self, stored: Stored, *, into: Path, name: str) -> list[Path]:
        """Sort and write the stored rows."""
        with self.alone(into) as connection:
            return write_parts(connection, stored, zone=self.zone, into=into, workdir=self.workdir, name=name)

    @contextmanager
    def alone(self, into: Path) -> Iterator['duckdb.DuckDBPyConnection']:
        """A connection on one thread: this job's own where that has no more."""
        if self.small:
            yield self.connection
            return
        allowed = [self.workdir, into, *(self.before.parts if self.before else ())]
        allowed += [self.raw.unread.path] if self.raw.unread else []
        with _on_one_thread(self.options, self.workdir, allowed) as connection:
            yield connection

    def stage(
        self, columns: list[Column], *, clean: Clean | None, faults: Path
    ) -> tuple[Staged, dict[str, int], list[Column]]:
        """Type all rows and list the faults; return how many there are of each kind, and the columns as stored."""
        if clean is not None:
            count, path = clean.count, self.workdir / 'clean.parquet'
            staged = Staged(path=path, rows=clean.rows, accepted=count, repaired=0, rejected=0)
            return staged, no_faults(self.connection, faults), columns
        zone, keep = self.options.time_zone, self.options.keep_unmeasured
        out = self.workdir / 'staged.parquet'
        staged = stage(self.connection, self.raw, columns, zone=zone, out=out, keep_unmeasured=keep)
        more: tuple[str, ...] = ()
        if self.deduplicates:
            alone = without_duplicates(
                self.connection,
                self.raw,
                columns,
                staged,
                rule=self.options.duplicates,
                zone=zone,
                out=self.workdir / 'deduplicated.parquet',
            )
            staged, columns, more, self.dropped = alone.staged, alone.columns, alone.faults, alone.dropped
            self.notes += [alone.note] if alone.note else []
        kinds = list_faults(
            self.connection, self.raw, columns, staged, zone=zone, out=faults, keep_unmeasured=keep, more=more
        )
        return staged, kinds, columns


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cooked:
    """What a recipe leaves: columns, parts, its steps with what each of them did, and the rows `lost` to merging."""

    columns: list[Column]
    parts: list[Path]
    done: tuple[Mapping[str, Any], ...]
    lost: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """The sorted rows of a version and how they came about; `distinct` holds what is known of columns already.

    `staged` counts the file's records; where all of them are stored as read, it may hold no rows.
    """

    stored: Stored
    parts: list[Path]
    kinds: dict[str, int]
    staged: Staged
    distinct: Mapping[str, int] | None = None


def _at_once(job: _Job, into: Path, *, name: str, progress: Progress) -> _Made | None:
    """Read, type, sort and store a text that is clean throughout in one statement; None when it turns out not to be."""
    raw, options = job.raw, job.options
    if raw.unread is None or job.before is not None or job.may_be_wide():
        return None
    stored = read_at_once(
        job.connection,
        raw,
        zone=options.time_zone,
        workdir=job.workdir,
        typed=job.typed,
        roles=lambda table, columns: choose_roles(job.connection, table, columns, roles=job.roles(table)),
    )
    if stored is None:
        return None
    progress(0.2, 'Reading values')
    series = into / 'series.parquet'
    try:
        parts = job.write_parts(stored, into=into, name=name)
    except failures():
        parts = []
    if parts and _is_whole(job, stored, parts, series):
        job.raw = replace(raw, rows_read=stored.count, unread=None)
        clean = Staged(path=parts[0], rows='', accepted=stored.count, repaired=0, rejected=0)
        kinds = no_faults(job.connection, into / 'faults.parquet')
        return _Made(stored=stored, parts=parts, kinds=kinds, staged=clean)
    for file in [*into.glob(f'{name}-*.parquet'), *into.glob('series.parquet')]:
        file.unlink()
    shutil.rmtree(job.workdir / f'{name}-parts', ignore_errors=True)
    return None


def _is_whole(job: _Job, stored: Stored, parts: Sequence[Path], series: Path) -> bool:
    """Whether parts hold every record of the text, each with all it needs, and the samples told the series apart."""
    (rows,) = duck.single(job.connection, f'SELECT count(*) FROM {duck.files(parts)}')
    if rows != stored.count or lacks(job.connection, parts, stored.columns):
        return False
    time = next(column for column in stored.columns if column.role == 'time')
    profile.write_series(job.connection, parts, time, zone=job.options.time_zone, out=series)
    (repeats,) = duck.single(job.connection, f'SELECT sum(duplicates) FROM {duck.files([series])}')
    job.repeats = bool(repeats)
    return not repeats if job.deduplicates else bool(repeats <= FEW_REPEATS * rows)


def _by_steps(job: _Job, into: Path, *, name: str, progress: Progress) -> _Made:
    """Read a file, choose its types, stage its rows, list its faults, sort and store what can be."""
    clean = job.clean()
    columns = clean.columns if clean else job.columns()
    if not any(column.role == 'time' for column in columns):
        raise NoTimeColumn(_no_time(columns))
    progress(0.45, 'Reading values')
    staged, kinds, columns = job.stage(columns, clean=clean, faults=into / 'faults.parquet')
    if not staged.accepted + staged.repaired:
        raise UnusableData(_nothing_left(job.name, kinds))
    progress(0.6, 'Sorting')
    stored = job.stored(staged, columns)
    parts = job.write_parts(stored, into=into, name=name)
    if not job.options.recipe:  # which asks what became of rows
        staged.path.unlink()
    return _Made(
        stored=stored,
        parts=parts,
        kinds=kinds,
        staged=staged,
        distinct={column.name: column.distinct for column in columns} if clean else None,
    )


@contextmanager
def _opened(
    path: Path, *, name: str, options: Options, beside: Path | None = None, progress: Progress | None = None
) -> Iterator[_Job]:
    """Read a file into a work folder that vanishes afterwards."""
    import duckdb

    from core.analysis.ingest.reader import read

    check(options)
    with tempfile.TemporaryDirectory(prefix='ingest-', dir=beside.parent if beside else None) as folder:
        workdir = Path(folder)
        tell = progress or (lambda share, text: None)
        tell(0.0, 'Reading')
        raw = read(
            path,
            name=name,
            workdir=workdir,
            memory=options.memory,
            progress=lambda share: tell(0.4 * share, 'Reading'),
            chosen=Chosen.from_json(options.reading),
            later=True,
        )
        tell(0.4, 'Choosing types of columns')
        before = append.opened(options.before)
        raw = _unguarded(raw, options, before)
        allowed = [workdir, *([beside] if beside else []), *(before.parts if before else ())]
        allowed += [raw.unread.path] if raw.unread else []
        small = _is_small(raw, before)
        connection = duck.connect(
            memory=_engine_memory(options),
            threads=1 if small or len(raw.names) > NARROW else THREADS,
            workdir=workdir,
            allow=allowed,
        )
        job = _Job(
            raw=raw,
            connection=connection,
            workdir=workdir,
            name=name,
            options=options,
            small=small,
            before=before,
        )
        try:
            yield job
        except duckdb.OutOfMemoryException as error:
            raise TooLarge(
                f'{name} ({len(raw.names):,} columns, {raw.rows_read:,} rows) needs more memory than is allowed. '
                'Split it, or allow more.'
            ) from error
        except UsageError as error:
            error.details.setdefault('columns', seen.columns(connection, job.raw))
            raise
        finally:
            connection.close()


def _unguarded(raw: RawTable, options: Options, before: append.Before | None) -> RawTable:
    """The table with its columns' own names; what is called otherwise by the user, or was before, stays so."""
    if 'guard' in options.off:
        return raw
    known = [column.source for column in before.columns] if before else []
    return without_guards(raw, keep={*options.roles, *options.usual, *(options.melt.get('columns') or ()), *known})


def _first_faults(connection: 'duckdb.DuckDBPyConnection', faults: Path, *, limit: int) -> list[dict[str, Any]]:
    names = report.COLUMNS
    listed = ', '.join(duck.identifier(name) for name in names)
    rows = connection.execute(f'SELECT {listed} FROM {duck.files([faults])} LIMIT {max(0, limit)}').fetchall()
    return [dict(zip(names, row, strict=True)) for row in rows]


def asked(choices: Mapping[str, Any], **own: Any) -> Options:
    """Return the options that a user's `choices` and our `own` make; choices that are none are left out."""
    return Options(**{name: value for name, value in choices.items() if name in (*CHOICES, 'usual')}, **own)


def check(options: Options) -> None:
    """Raise UsageError for options that can never be followed, whatever the file."""
    try:
        ZoneInfo(options.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(f'"{options.time_zone}" is no time zone. Write one such as Europe/Paris.') from error
    if options.decimal not in (None, '.', ','):
        raise UsageError('The decimal mark is "." or ",".')
    _one_of(options.shape, SHAPES, 'shape')
    check_melt(options.shape, options.melt)
    _one_of(options.duplicates, DUPLICATES, 'way to treat duplicates')
    for name in options.off:
        _one_of(name, REPAIRS, 'repair')
    Chosen.from_json(options.reading)


def _one_of(value: object, known: Collection[str], what: str) -> None:
    if value not in known:
        raise UsageError(f'"{value}" is no {what}. Choose from: {", ".join(known)}.')


def _engine_memory(options: Options) -> int:
    return max(128 * 2**20, options.memory - OVERHEAD)


def _on_one_thread(options: Options, workdir: Path, allowed: Sequence[Path]) -> 'duckdb.DuckDBPyConnection':
    """On several, what is written, and means and quantiles, vary by who is first."""
    return duck.connect(memory=_engine_memory(options), threads=1, workdir=workdir, allow=allowed)


def _is_small(raw: RawTable, before: append.Before | None) -> bool:
    """Whether a file and the version that it extends are so small that one thread is enough."""
    cells = raw.rows * len(raw.names) + (before.rows * len(before.columns) if before else 0)
    files = [raw.unread.path if raw.unread else raw.path, *(before.parts if before else ())]
    return cells <= SMALL_CELLS and _size(files) <= SMALL


def _size(files: Sequence[Path]) -> int:
    return sum(file.stat().st_size for file in files if file.exists())


def _points(staged: Staged) -> int:
    return staged.accepted + staged.repaired if staged.points is None else staged.points


def _nothing(raw: RawTable) -> Staged:
    return Staged(path=raw.path, rows='', accepted=0, repaired=0, rejected=raw.rows_read)


def _no_time(columns: Sequence[Column]) -> str:
    seen = ', '.join(f'{column.source} ({column.type})' for column in columns[:8])
    return (
        f'No column can be read as time: it has {seen}. '
        f'{_mixed(columns)}Say which column is the time by its role, or write its cells as 2024-01-31 or 2024-01-31 '
        '13:00. Where rows are equal steps of time, say when they start and how long a step is (the option melt, into '
        'rows).'
    )


def _mixed(columns: Sequence[Column]) -> str:
    """Tell of columns that hold times of several forms, and where each first stands."""
    return ''.join(f'Column "{c.source}" is {c.reason}. ' for c in columns if 'cells hold times' in c.reason)


def _nothing_left(name: str, kinds: Mapping[str, int]) -> str:
    commonest = next(iter(kinds), 'no reason')
    return f'No row of {name} can be stored (most often: {commonest}). Look at the roles of its columns.'


def _write_export(
    connection: 'duckdb.DuckDBPyConnection', staged: Staged, columns: Sequence[Column], out: Path, *, zone: str
) -> None:
    timed = any(column.role == 'time' for column in columns)
    keys = ''.join(f'{duck.identifier(column.name)}, ' for column in columns if column.role == 'series')
    order = f'{keys}_time, _line, _row' if timed else '_row'
    # DuckDB does not tell names apart by case: where only that differs, the stored names stand.
    alike = len({column.source.lower() for column in columns}) < len(columns)
    csv = out.suffix == '.csv'
    local = ''
    if csv and zone != 'UTC' and any(column.role == 'time' and column.type == 'timestamp' for column in columns):
        kept = f'(SELECT _time FROM ({staged.rows}) WHERE _status < 2)'
        (local,) = tables.by_clock(connection, kept, ['_time'], zone)
    listed = ', '.join(
        f'{_exported(column, zone=zone, csv=csv, local=local)} '
        f'AS {duck.identifier(column.name if alike else column.source)}'
        for column in columns
    )
    form = 'FORMAT csv, HEADER' if csv else 'FORMAT parquet, COMPRESSION zstd'
    connection.execute(
        f'COPY (SELECT {listed} FROM ({staged.rows}) WHERE _status < 2 ORDER BY {order}) '
        f'TO {duck.text(str(out))} ({form})'
    )


def _exported(column: Column, *, zone: str, csv: bool, local: str) -> str:
    """SQL: a column as it is exported; the time as it was understood, also where the zone's clocks change.

    `local` is a time by the clock of the zone as CSV has it, '' elsewhere.
    """
    value = duck.identifier(column.name)
    if column.role == 'time' and zone != 'UTC' and column.type in ('timestamp', 'timestamptz'):
        instant = "timezone('UTC', _time)"
        value = instant if column.type == 'timestamptz' else local or f'timezone({duck.text(zone)}, {instant})'
    return duck.stamped(value, zone) if csv and column.type == 'timestamptz' else value


def _source(path: Path, name: str, raw: RawTable, *, notes: Sequence[str]) -> SourceFile:
    return SourceFile(
        name=name,
        bytes=path.stat().st_size,
        encoding=raw.encoding,
        compression=raw.compression,
        format=raw.format,
        dialect=asdict(raw.dialect),
        header_line=raw.header_line,
        notes=(*raw.notes, *notes),
        reading=raw.reading,
    )


def _stored(file: Path) -> StoredFile:
    import pyarrow.parquet as pq

    digest = hashlib.sha256()
    with file.open('rb') as handle:
        while block := handle.read(2**20):
            digest.update(block)
    return StoredFile(
        name=file.name, bytes=file.stat().st_size, sha256=digest.hexdigest(), rows=pq.read_metadata(file).num_rows
    )
