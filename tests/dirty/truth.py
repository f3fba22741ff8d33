"""What a dataset that is made of a dirty file shall hold, and how far one that was made of it does.

The table that a file means is written in plain cells (ISO times, decimal points, `true`, '' for what is missing), so
the type of a column is the one that all of its plain cells have. A record without time, key or any measure is rejected,
as docs/faults.md says; every other one shall be stored with exactly the values that are meant. This is found by reading
what `manifest.json` names with DuckDB alone.
"""

import json
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.dirty.tables import STATIONS, DirtyFile, Known

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

KINDS = (
    ('timestamp', re.compile(r'\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?')),
    ('date', re.compile(r'\d{4}-\d\d-\d\d')),
    ('integer', re.compile(r'-?(0|[1-9]\d*)')),
    ('number', re.compile(r'-?\d+(\.\d+)?')),
    ('boolean', re.compile('true|false')),
)
STORED = {
    'timestamp': ('timestamp', 'timestamptz'),
    'date': ('date', 'timestamp'),
    'integer': ('integer',),
    'number': ('decimal', 'double'),
    'boolean': ('boolean',),
    'text': ('text',),
}
NAMES = ('', 'id', 'year')
"""Columns of numbers that are names of records or times, and so are not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a file: `lost` good records are not stored, `more` are stored that are not meant, `wrong` cells
    have another value or type than meant; `missed` are defects that are not listed at their line and column."""

    file: DirtyFile
    refused: str = ''
    reconciles: bool = True
    missed: tuple[Known, ...] = ()
    lost: int = 0
    more: int = 0
    wrong: int = 0
    told: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        """Whether nothing is amiss."""
        return self.reconciles and not (self.refused or self.missed or self.lost or self.more or self.wrong)


def outcome(file: DirtyFile, folder: Path) -> Outcome:
    """Convert a file in an empty folder (or inspect one that makes no dataset) and compare what is made of it."""
    from core.analysis.ingest import Options, convert, inspect
    from core.errors import VariosyncError

    source, into = folder / file.name, folder / 'made'
    source.write_bytes(file.data)
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    try:
        if file.series:
            convert(source, name=file.name, into=into, options=Options(), progress=lambda share, text: None)
            return _stored(file, into)
        report = inspect(source, name=file.name, options=Options(max_faults=10**6))
        return Outcome(file=file, reconciles=_reconciles(report), missed=_missed(file, report['faults']))
    except VariosyncError as error:
        return Outcome(file=file, refused=f'{type(error).__name__}: {error}', missed=file.faults)
    finally:
        source.unlink()


@cache
def _reader() -> 'DuckDBPyConnection':
    """What reads every version: to open it takes as long as what is asked of it."""
    import duckdb

    connection = duckdb.connect(config={'threads': 1})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _reconciles(counts: dict[str, Any]) -> bool:
    return bool(counts['rows_accepted'] + counts['rows_repaired'] + counts['rows_rejected'] == counts['rows_read'])


def _missed(file: DirtyFile, listed: Sequence[dict[str, Any]]) -> tuple[Known, ...]:
    found = {(fault['line'], fault['kind'], column) for fault in listed for column in (fault['column'], None)}
    return tuple(one for one in file.faults if (one.line, one.kind, one.column) not in found)


def _stored(file: DirtyFile, into: Path) -> Outcome:
    """Compare a version with what is meant."""
    manifest = json.loads((into / 'manifest.json').read_text(encoding='utf-8'))
    parts = [str(into / one['name']) for one in manifest['files'] if one['name'].startswith('data-')]
    types = [column['type'] for column in manifest['columns']]
    names = ', '.join('"' + column['name'].replace('"', '""') + '"' for column in manifest['columns'])
    reader = _reader()
    rows = reader.execute(f'SELECT {names}, _time FROM read_parquet(?) ORDER BY _line', [parts]).fetchall()
    listing = 'SELECT line, kind, "column" FROM read_parquet(?)'
    faults = reader.execute(listing, [str(into / 'faults.parquet')]).fetchall()
    listed = [{'line': line, 'kind': kind, 'column': column} for line, kind, column in faults]
    kinds, meant, keys = intended(file)
    told = [
        f'column {place + 1} is {stored}, not {kind}'
        for place, (kind, stored) in enumerate(zip(kinds, types, strict=False))
        if kind and stored not in STORED[kind]
    ]
    if len(kinds) != len(types):
        told.append(f'{len(types)} columns are stored, not {len(kinds)}')
    lost, more, wrong, unlike = _differences(keys, meant, [tuple(map(_comparable, row)) for row in rows])
    return Outcome(
        file=file,
        reconciles=_reconciles(manifest) and len(rows) >= 1,
        missed=_missed(file, listed),
        lost=lost,
        more=more,
        wrong=wrong + len(told) * len(rows),
        told=(*told, *unlike),
    )


def intended(file: DirtyFile) -> tuple[list[str], list[tuple[Any, ...]], list[int]]:
    """Return the kind of every column ('' when it is empty), the typed records that shall be stored, each with its
    instant as the last value, and the places by which a record is known."""
    header, body = (file.meant[0], file.meant[1:]) if file.named else ([f'{i}' for i in range(99)], file.meant)
    columns = list(zip(*body, strict=True))
    kinds = [_kind(cells) for cells in columns]
    time = _time(header, kinds)
    needed = [time, *(place for place, cells in enumerate(columns) if set(cells) & set(STATIONS))]
    numbers = [place for place, kind in enumerate(kinds) if kind in ('integer', 'number')]
    measures = [place for place in numbers if header[place] not in NAMES]
    kept = [
        row
        for row in body
        if all(row[place] for place in needed) and (not measures or any(row[place] for place in measures))
    ]
    # Where columns became series or periods, what they were called tells points of one record apart.
    keys = needed if kinds[time] else []
    keys += [place for place, name in enumerate(header) if name in ('series', 'place')]
    typed = [tuple(_typed(kind, cell) for kind, cell in zip(kinds, row, strict=True)) for row in kept]
    return kinds, [(*row, _instant(row[time])) for row in typed], keys


def _instant(time: Any) -> datetime:
    return time if isinstance(time, datetime) else datetime(int(time), 1, 1)


def _kind(cells: Sequence[str]) -> str:
    filled = [cell for cell in cells if cell]
    if not filled:
        return ''
    return next((kind for kind, form in KINDS if all(map(form.fullmatch, filled))), 'text')


def _time(header: Sequence[str], kinds: Sequence[str]) -> int:
    """The place of the time: the first of that kind, or the one of years."""
    timed = [place for place, kind in enumerate(kinds) if kind in ('timestamp', 'date')]
    return timed[0] if timed else header.index('year')


def _typed(kind: str, cell: str) -> Any:
    if not cell:
        return None
    if kind in ('timestamp', 'date'):
        return datetime.fromisoformat(cell)
    if kind in ('integer', 'number'):
        return Decimal(cell)
    return cell == 'true' if kind == 'boolean' else cell


def _comparable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    if isinstance(value, bool | str) or value is None:
        return value
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def _differences(
    keys: Sequence[int], meant: list[tuple[Any, ...]], found: list[tuple[Any, ...]]
) -> tuple[int, int, int, list[str]]:
    """Count records that are not there, records that are not meant, and cells that differ in records of one time and
    key; tell the first few of each."""
    if meant == found:
        return 0, 0, 0, []
    absent, surplus = Counter(meant) - Counter(found), Counter(found) - Counter(meant)
    by_key: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for row in surplus.elements():
        by_key.setdefault(tuple(row[place] for place in keys if place < len(row)), []).append(row)
    lost = wrong = 0
    told = []
    for row in absent.elements():
        alike = by_key.get(tuple(row[place] for place in keys))
        if not alike or len(alike[-1]) != len(row):
            lost += 1
            told.append(f'lost {_shown(row)}')
            continue
        unlike = [(mean, is_) for mean, is_ in zip(row, alike.pop(), strict=True) if mean != is_]
        wrong += len(unlike)
        told += [f'{_shown(is_)} stored for {_shown(mean)}' for mean, is_ in unlike]
    told += [f'not meant {_shown(row)}' for rows in by_key.values() for row in rows]
    return lost, sum(map(len, by_key.values())), wrong, told[:5]


def _shown(value: Any) -> str:
    return repr(value)[:200]
