"""The manifest: what a stored dataset version says about itself, as `manifest.json` beside its rows."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Self, TypeVar

FORMAT: Final = 1
T = TypeVar('T')


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """The file that was read. `name` is its owner's, `bytes` its size as it came.

    `reading` tells by choice (encoding, delimiter, quote, …) what was taken, its runner-up, how sure that is (0 to 1)
    and whether it was asked for.
    """

    name: str
    bytes: int
    encoding: str | None
    compression: str | None
    format: str
    dialect: Mapping[str, str | None]
    header_line: int | None
    notes: tuple[str, ...]
    reading: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file of which a version holds `rows`. `origin` names the conversion that read it: `<job>-<attempt>`; `faults`
    were found in it then."""

    name: str
    bytes: int
    origin: str
    rows: int
    faults: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """`counts[i]` values lie from `edges[i]` to `edges[i + 1]`."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnProfile:
    """A column as stored. `min` and `max` are numbers for numeric columns, else text; the other figures are of numbers.

    `source` is its name in the file. `sparkline` holds means over at most 60 equal slices of time, null where a slice
    is empty. Beyond 200,000 rows `distinct`, `median` and `p99` are close estimates. `unit` is the sign or the unit
    that the file's numbers bear, such as %, $ or kg, or that its name ends with.
    """

    name: str
    source: str
    type: str
    role: str
    reason: str
    missing: int
    distinct: int
    min: float | str | None = None
    max: float | str | None = None
    mean: float | None = None
    median: float | None = None
    p99: float | None = None
    sparkline: tuple[float | None, ...] = ()
    histogram: Histogram | None = None
    unit: str = ''


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeProfile:
    """The time column: `start` and `end` are ISO 8601 in UTC. `naive` tells that the file named no offset: stamps were
    read in `zone`. `written_zone` is the zone or the offset that every stamp of the file names (`UTC`, `+02:00`,
    `Europe/Berlin`), '' when there is none. `freq` is a pandas alias, null when most rows belong to irregular series;
    gaps and duplicates are sums over series. `hours_end` tells of hours in a column of their own whether they are those
    that end (1 is 00:00 to 01:00) or those that begin; null where the files had none."""

    column: str
    zone: str
    naive: bool
    start: str | None
    end: str | None
    freq: str | None
    step_seconds: float | None
    gaps: int
    longest_gap_seconds: float | None
    duplicates: int
    written_zone: str = ''
    hours_end: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesProfile:
    """The series: key columns, how many there are, and the first 200 labels.

    `opens` is the label that pages begin with: the first of those with the most rows, within 1 %; empty in versions
    that lack it.
    """

    columns: tuple[str, ...]
    count: int
    first: tuple[str, ...]
    opens: str = ''


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file of the version."""

    name: str
    bytes: int
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A dataset version. `rows_accepted + rows_repaired + rows_rejected = rows_read`, all of the file that was read.

    `sources` lists the files that the stored rows came from, the one that was read last. Where there are several,
    the column `_source` holds each row's place in the list. `faults_total` counts the faults of the file that was
    read, `faults_of_all` those of all files of which rows are stored. `recipe` holds the cleaning steps in order,
    each with what it did (`step, rows_before, rows_after, cells_changed, cells`); `base` are then the columns of the
    rows before them, which the files `base-…` hold. `warnings` say what does not go on from the version before as it
    was: columns that are missing, new, of another type or in another unit. `hints` tell what may be wrong though it is
    stored as it is: values and times that lie far out, series whose names are all but equal (`kind, text, step` and
    more).
    """

    source: SourceFile
    columns: tuple[ColumnProfile, ...]
    rows_read: int
    rows_accepted: int
    rows_repaired: int
    rows_rejected: int
    faults_total: int
    faults_by_kind: Mapping[str, int]
    time: TimeProfile
    series: SeriesProfile
    measures: tuple[str, ...]
    files: tuple[StoredFile, ...]
    sources: tuple[Source, ...] = ()
    repairs: Mapping[str, int] = field(default_factory=dict)
    faults_summary: tuple[Mapping[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()
    recipe: tuple[Mapping[str, Any], ...] = ()
    base: tuple[ColumnProfile, ...] = ()
    faults_of_all: int = 0
    hints: tuple[Mapping[str, Any], ...] = ()
    format: int = FORMAT

    def to_json(self) -> dict[str, Any]:
        """Return plain dicts, lists, numbers and text."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the manifest that `to_json` wrote."""
        parts: dict[str, Any] = {
            'source': _make(SourceFile, data['source']),
            'columns': tuple(_column(column) for column in data['columns']),
            'time': _make(TimeProfile, data['time']),
            'series': _make(SeriesProfile, data['series']),
            'files': tuple(_make(StoredFile, file) for file in data['files']),
            'sources': tuple(_make(Source, source) for source in data.get('sources', ())),
            'base': tuple(_column(column) for column in data.get('base', ())),
        }
        return _make(cls, {**data, **parts})


def _column(data: Mapping[str, Any]) -> ColumnProfile:
    histogram = data.get('histogram')
    return _make(ColumnProfile, {**data, 'histogram': _make(Histogram, histogram) if histogram else None})


def _make(kind: type[T], data: Mapping[str, Any]) -> T:
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in data.items() if key in known}
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
