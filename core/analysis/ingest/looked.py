"""What the columns of a raw table hold, told by a few of their cells."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from core.analysis.ingest import readings
from core.analysis.ingest.rawtable import RawTable
from core.analysis.ingest.readings import Reading
from core.analysis.ingest.types import TIME_NAME

LOOKED_AT: Final = 60
MONTH_NAMES: Final = re.compile(r'(?i)(month|mon|mm|monat|mois|mes|mese|m[êe]s|month_?(nr|no|num|number|name))')


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A column by some of its cells: `numbers` is the share of numbers, `size` the middle of their magnitudes."""

    place: int
    name: str
    cells: tuple[str, ...]
    numbers: float
    size: float

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers, or nothing."""
        return not self.cells or self.numbers >= 0.8


def looked_at(raw: RawTable) -> list[Looked]:
    """Return the columns of a raw table, each with the cells of some records near its start, middle and end."""
    import pyarrow.parquet as pq

    found: list[list[str]] = [[] for _ in raw.names]
    places = range(len(raw.names))
    with pq.ParquetFile(raw.path) as file:
        groups = file.metadata.num_row_groups
        for group in sorted({0, groups // 2, groups - 1}) if groups else ():
            size = max(1, LOOKED_AT // min(3, groups))
            batches = file.iter_batches(batch_size=size, row_groups=[group], columns=[f'c{i}' for i in places])
            for column, cells in zip(next(batches, _NO_BATCH).columns if groups else (), found, strict=False):
                texts = ((cell or '').strip(readings.BLANK) for cell in column.to_pylist())
                cells += [text for text in texts if not readings.is_missing(text)]
    return [_look(place, raw.names[place], tuple(found[place])) for place in places]


class _Nothing:
    columns: tuple[Any, ...] = ()


_NO_BATCH: Final = _Nothing()
NUMBER: Final = re.compile(
    r"[+\-−$€£]?\(?(?:\d[\d.,' \u00a0\u202f]*|[.,]\d+)(?:[eE][+-]?\d+)?\)?(?: ?[%€$])?(?: [a-z]{1,2})?"
)
_DECIMAL: Final = re.compile(r'-?\d{1,11}(?:\.\d+)?')


def _look(place: int, name: str, cells: tuple[str, ...]) -> Looked:
    numbers = [cell for cell in cells if NUMBER.fullmatch(cell)]
    sizes = sorted(len(re.sub(r'[.,]\d*$', '', re.sub(r'[^\d.,]', '', cell))) for cell in numbers)
    return Looked(
        place=place,
        name=name,
        cells=cells,
        numbers=len(numbers) / len(cells) if cells else 0.0,
        size=float(sizes[len(sizes) // 2]) if sizes else 0.0,
    )


def is_time(column: Looked) -> bool:
    """Whether the cells of a column are times that are more than numbers, or numbers under the name of a time."""
    if not column.cells:
        return False
    named = bool(TIME_NAME.search(column.name))
    # Numbers of less than twelve digits are times by their name only: this tells most columns by three of their cells.
    plain = not named and all(_DECIMAL.fullmatch(cell) for cell in column.cells[:3])
    return not plain and any(
        (named or not reading.coded) and share_of(reading, column.cells) >= 0.9 for reading in readings.TIMES
    )


def share_of(reading: Reading, cells: Sequence[str]) -> float:
    """Return the share of cells (0 to 1) that a reading fits, 0 when it fits none of the first three."""
    if not any(reading.matches(cell) for cell in cells[:3]):
        return 0.0
    return sum(reading.matches(cell) for cell in cells) / len(cells)


def month_of(text: str) -> int | None:
    """The number of a month by its name or its number, None for anything else."""
    bare = text.strip().lower().rstrip('.')
    if bare.isdigit():
        return int(bare) if 1 <= int(bare) <= 12 else None
    return readings.month_of(bare)


def are_whole_years(column: Looked) -> bool:
    """Whether nine tenths of a column's cells are years."""
    return bool(column.cells) and share_of(readings.YEAR, column.cells) >= 0.9
