"""The JSON of the REST interface that several routes share."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from core.analysis import tables
from core.values import JobState
from ui.api.contract import Answer

Cell = str | int | float | bool | None


class Dataset(Answer):
    """A dataset; `version` is the number of the one in use, null until the first conversion has ended."""

    id: UUID
    name: str
    version: int | None
    rows: int | None
    faults: int | None
    series: int | None
    source_name: str
    created_at: datetime
    updated_at: datetime


class SeenColumn(Answer):
    """A column of the file, and what its first cells hold."""

    name: str
    examples: list[str]


class ErrorDetails(Answer):
    """What was seen of a file that could not be converted."""

    columns: list[SeenColumn]


class Error(Answer):
    """Why a job failed; `details` are there where the file was read as far as its columns."""

    code: str
    message: str
    details: ErrorDetails | None = None


class Job(Answer):
    """One run of a task. `progress` lies in 0…1; `quote` seconds were reserved, `charged` were kept at its end."""

    id: UUID
    kind: str
    title: str
    state: JobState
    progress: float
    message: str
    attempt: int
    max_attempts: int
    error: Error | None
    cancel_requested: bool
    dataset_id: UUID | None
    forecast_id: UUID | None
    quote: int
    charged: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class Rows(Answer):
    """Rows `offset` … of `total`; each row holds its cells in the order of `columns`. Times are ISO 8601."""

    columns: list[str]
    rows: list[list[Cell]]
    offset: int
    total: int


def rows_of(page: tables.Page) -> Rows:
    """A page of a table as JSON."""
    return Rows(
        columns=list(page.columns),
        rows=table_of(page.rows),
        offset=page.offset,
        total=page.total,
    )


def table_of(rows: Iterable[Sequence[Any]]) -> list[list[Cell]]:
    """Rows as JSON."""
    return [[_cell(value) for value in row] for row in rows]


def cells_of(row: Mapping[str, Any]) -> dict[str, Cell]:
    """A row by column as JSON."""
    return {name: _cell(value) for name, value in row.items()}


def _cell(value: Any) -> Cell:
    """A number that JSON has, or text. Whole numbers beyond 2⁵³ and decimals are text, so that no digit is lost."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, int):
        return value if abs(value) <= 2**53 else str(value)
    if isinstance(value, float):
        return value if value - value == 0 else None
    return str(value)


def plain(value: Any) -> Any:
    """JSON without NaN and infinities, which it cannot say: they become null."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and value - value != 0 else value
