"""The product's values: frozen, made by the database or by a caller, passed between layers.

A *model* is always a forecasting model, a *task* is a function that Compute runs, a *job* is one run of it.
Times are UTC and time-zone aware.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID


class JobState(StrEnum):
    """Where a job stands; the last three are final."""

    QUEUED = 'queued'
    RUNNING = 'running'
    SUCCEEDED = 'succeeded'
    FAILED = 'failed'
    CANCELLED = 'cancelled'

    @property
    def final(self) -> bool:
        """Whether nothing can happen to the job any more."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """How a user wants pages to look: theme, IANA time zone, and the number 1234.5 written as they write it."""

    theme: str = 'system'  # system | light | dark
    time_zone: str = 'UTC'
    number_format: str = '1,234.5'  # 1,234.5 | 1.234,5 | 1 234,5 | 1234.5


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person with an account."""

    id: UUID
    email: str
    name: str
    owner: bool = False
    preferences: Preferences = Preferences()


BY_MAIL = 'email'  # what stands in for a provider when somebody comes by a mailed link


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A sign-in by somebody else that has begun: where the browser goes, and a secret to finish it with."""

    url: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Direct:
    """Where a browser may send an upload itself by tus 1.0.0: the address to create it at, and what to say there.

    `chunk` is the size in bytes of every piece but the last; `expires_in` are the seconds for which the headers hold.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    metadata: Mapping[str, str]
    chunk: int
    expires_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a sign-in yields: a short ES256 access token (JWT) and an opaque refresh token."""

    access_token: str
    refresh_token: str
    expires_in: int
    user_id: UUID
    email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a verified access token says."""

    user_id: UUID
    email: str
    session_id: UUID
    role: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Who asks: a signed-in browser or program, or an API key. The token is random; only its hash is stored.

    `scopes` is None for a person, who may do everything, and the scopes of an API key otherwise.
    """

    id: UUID
    user: User
    created_at: datetime
    expires_at: datetime
    scopes: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """Somebody whom a provider or a mailed link let in: where to go on to, and the sessions that ended by it."""

    token: str = field(repr=False)
    session: Session
    target: str
    ended: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A plain-text mail that waits in the outbox."""

    to: str
    subject: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A line of the list of sessions; `current` marks the one that asks."""

    id: UUID
    user_agent: str
    address: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    current: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key for programs; the key itself is shown once, `prefix` tells keys apart."""

    id: UUID
    user_id: UUID
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts on an account: from which address, and by which API key, if it is no person."""

    address: str = ''
    key: UUID | None = None


NOBODY = Actor()
"""Nobody asked: the product goes on by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what: rows are added and never changed. `api_key` is the name of the key that acted, empty for none."""

    id: int
    action: str
    subject: str
    address: str
    api_key: str
    at: datetime


KEPT = timedelta(days=30)
"""How long what was deleted can be brought back, before `core.removal` removes for good what was not issued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """What was taken away and can be brought back.

    `by` is the name of the API key that took it away, empty for a person. `rows` and `size` (bytes of the files that
    were uploaded) are those of a dataset, `panels` those of a dashboard; `of` is the dataset of a forecast, which may
    have been deleted too, at `of_deleted_at`.
    """

    id: UUID
    name: str
    deleted_at: datetime
    by: str = ''
    rows: int | None = None
    size: int | None = None
    panels: int | None = None
    of: str | None = None
    of_deleted_at: datetime | None = None

    @property
    def until(self) -> datetime:
        """Until when it can be brought back; a forecast goes with its dataset, where that was deleted before."""
        return min(self.deleted_at, self.of_deleted_at or self.deleted_at) + KEPT


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a limit leaves: attempts now, seconds until all are free again, seconds to wait (0 when allowed)."""

    limit: int
    remaining: int
    reset: float
    wait: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """A stored object: size in bytes and SHA-256 in hex."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable:
    """Objects whose parts can be read: local paths, or addresses that the fsspec file system `files` opens."""

    paths: tuple[str, ...]
    files: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file on its way in, and how it joins its dataset. `options` say how it is read (`Datasets.correct`)."""

    id: UUID
    user_id: UUID
    name: str
    size: int
    state: str  # receiving | accepted | unchanged | discarded
    object_key: str | None
    sha256: str | None
    dataset_id: UUID | None
    created_at: datetime
    how: str = 'append'  # append | replace
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Named data of a user; `version` is the number that is shown, None until the first conversion has ended.

    `tables` counts the files or sheets of which one was read; None where the source is one table.
    """

    id: UUID
    user_id: UUID
    name: str
    version: int | None
    rows: int | None
    faults: int | None
    series: int | None
    tables: int | None = None
    sparkline: tuple[float | None, ...] = ()
    source_name: str = ''
    created_at: datetime
    updated_at: datetime


def dated(manifest: Mapping[str, Any]) -> bool:
    """Whether the times of a version are dates."""
    column = manifest['time'].get('column')
    return any(c['name'] == column and c['type'] == 'date' for c in manifest['columns'])


def zone_of(manifest: Mapping[str, Any]) -> str:
    """The zone by whose clock the times of a version are told (`Version.zone`)."""
    return 'UTC' if dated(manifest) else manifest['time'].get('zone') or ''


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """An immutable state of a dataset: the objects under `prefix` and the manifest that names them."""

    id: UUID
    dataset_id: UUID
    user_id: UUID
    number: int
    prefix: str
    manifest: Mapping[str, Any] = field(repr=False)
    rows: int
    upload_id: UUID
    created_at: datetime

    @property
    def dates(self) -> bool:
        """Whether its times are dates, which are the same in every zone."""
        return dated(self.manifest)

    @property
    def zone(self) -> str:
        """The zone by whose clock its times are told: UTC for dates, which are kept at 00:00 there. '' is any."""
        return zone_of(self.manifest)

    @property
    def opens(self) -> str:
        """The series that pages begin with: the first of those with the most rows. '' is all of one series."""
        series = self.manifest['series']
        return series.get('opens') or next(iter(series.get('first') or ()), '')

    @property
    def parts(self) -> list[str]:
        """The object keys of the rows, in order."""
        return self._named('data-')

    @property
    def extended(self) -> list[str]:
        """The object keys of what a further file joins: the manifest, and the rows before a recipe if there is one."""
        return [f'{self.prefix}/manifest.json', *(self._named('base-') or self.parts)]

    def _named(self, start: str) -> list[str]:
        names = sorted(file['name'] for file in self.manifest['files'])
        return [f'{self.prefix}/{name}' for name in names if name.startswith(start)]


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSummary:
    """A version as lists show it, without its manifest.

    `previous` is the number of the version made before it, `reads` that of the last earlier one which read the same
    upload. `earlier_files` counts files, beside its own, whose rows it holds. `recipe` holds the cleaning steps with
    what each of them did.
    """

    number: int
    rows: int
    faults: int
    series: int
    measures: Sequence[str]
    warnings: Sequence[str]
    source: str
    recipe: Sequence[Mapping[str, Any]]
    earlier_files: int
    previous: int | None
    reads: int | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of a task, over all its attempts. `progress` lies in 0…1."""

    id: UUID
    user_id: UUID
    kind: str  # convert | forecast | score
    title: str
    state: JobState
    payload: Mapping[str, Any] = field(repr=False)
    progress: float
    message: str
    attempt: int
    max_attempts: int
    error: Mapping[str, Any] | None
    cancel_requested: bool
    dataset_id: UUID | None
    forecast_id: UUID | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    quote: int = 0  # seconds that were reserved
    charged: int | None = None  # seconds that were kept, once the job has ended

    def prefix(self, attempt: int) -> str:
        """Return below what an attempt stores its objects."""
        return f't/{self.user_id}/{self.kind}/{self.id}-{attempt}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A forecast that was asked for; `request` is what the analyst chose, `result` what came of it."""

    id: UUID
    user_id: UUID
    dataset_id: UUID
    version_id: UUID
    version: int
    dataset_name: str
    name: str
    request: Mapping[str, Any] = field(repr=False)
    result: Mapping[str, Any] | None = field(repr=False)
    job_id: UUID | None
    state: JobState
    created_at: datetime
    issued_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedForecast:
    """One file of a model's forecast as it was issued: never changed, scored as actuals arrive.

    `code` is the state of the code that made it, `seed` what its random numbers began with.
    """

    id: UUID
    forecast_id: UUID
    user_id: UUID
    model: str
    part: int
    cutoff: datetime
    object_key: str
    sha256: str
    rows: int
    issued_at: datetime
    code: str | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something the user should know, kept until read."""

    id: UUID
    user_id: UUID
    level: str  # info | good | warn | bad
    title: str
    text: str
    link: str | None
    created_at: datetime
    read_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What `/health` answers: `ok`, `degraded`, `down` or `stopping`, and each service by name."""

    state: str
    services: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What a task costs at most, in seconds; `basis` says how that was reckoned."""

    task: str
    seconds: int
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Seconds that can be used now, seconds held for jobs, how viewing stands, and when the next hours lapse."""

    seconds: int
    reserved: int = 0
    state: str = 'off'  # running | idle | paused | off | exhausted
    expires_next: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Seconds that somebody was given, and what remains of them."""

    id: UUID
    user_id: UUID
    source: str  # trial | owner | gift | purchase | refund
    label: str
    seconds: int
    remaining: int
    expires_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """A line of the ledger; `seconds` is signed, `balance` is the sum up to here."""

    id: int
    kind: str  # grant | viewing | job | refund | expiry
    label: str
    seconds: int
    balance: int
    at: datetime
    job_id: UUID | None
    session_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageDay:
    """Seconds used on a day of the user's time zone, by what used them."""

    day: date
    viewing: int
    convert: int
    forecast: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What came of trying a service for real: its adapter, whether it does its work, and what is worth knowing."""

    adapter: str
    ok: bool
    said: str
