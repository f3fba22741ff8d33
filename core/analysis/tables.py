"""Pages and exports of our own Parquet files, for lists and downloads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.analysis import duck

MEMORY = 256 * 2**20
FORMULA = '^[=+@\\t\\r-]'
FORMULA_STARTS = ('=', '+', '-', '@', '\t', '\r')


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows `offset` … of `total`, each a tuple in the order of `columns`."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]
    offset: int
    total: int


def page(
    parts: Sequence[Path | str], *, offset: int = 0, limit: int = 100, order: Sequence[str] = (), system: Any = None
) -> Page:
    """Return rows in file order, or sorted by the columns `order`, rows without a value last.

    Parts that are addresses are opened by the fsspec file system `system`.
    """
    source = duck.files(parts)
    with duck.told(), duck.connect(memory=MEMORY, allow=parts, system=system) as connection:
        (total,) = duck.single(connection, f'select count(*) from {source}')
        keys = ', '.join(f'{duck.identifier(name)} nulls last' for name in order)
        ordering = f'order by {keys}' if keys else ''
        query = f'select * from {source} {ordering} limit ? offset ?'
        result = connection.execute(query, [max(0, limit), max(0, offset)])
        columns = tuple(column[0] for column in result.description or ())
        return Page(columns=columns, rows=result.fetchall(), offset=offset, total=total)


def count_flagged(raw: Path) -> int:
    """Return how many records of a raw table the reader has repaired."""
    with duck.connect(memory=MEMORY, allow=[raw]) as connection:
        return int(duck.single(connection, f'select count(*) from {duck.files([raw])} where _flag = 1')[0])


def search(path: Path, *, column: str, query: str, limit: int) -> Sequence[str]:
    """Return values of a text column that contain `query`, whatever their case, in order."""
    name = duck.identifier(column)
    with duck.told(), duck.connect(memory=MEMORY, allow=[path]) as connection:
        found = connection.execute(
            f'select {name} from {duck.files([path])} where contains(lower({name}), lower(?)) order by 1 limit ?',
            [query, limit],
        )
        return [row[0] for row in found.fetchall()]


def export(parts: Sequence[Path | str], out: Path, *, system: Any = None) -> None:
    """Write the rows without our own columns (`_series`, `_time`, `_line`) as CSV or Parquet, by `out`'s suffix.

    CSV guards text cells that a spreadsheet would run as a formula (`= + - @`, tab, return) with an apostrophe. Parts
    that are addresses are opened by the fsspec file system `system`.
    """
    source = duck.files(parts)
    csv = out.suffix == '.csv'
    allowed = [*parts, out.parent]
    with duck.told(), duck.connect(memory=MEMORY, workdir=out.parent, allow=allowed, system=system) as connection:
        described = connection.execute(f'describe select * from {source}').fetchall()
        shown = [(name, kind) for name, kind, *_ in described if name not in ('_series', '_time', '_line')]
        columns = ', '.join(_guarded(name, kind) if csv else duck.identifier(name) for name, kind in shown)
        form = '(format csv, header)' if csv else '(format parquet, compression zstd)'
        connection.execute(f'copy (select {columns} from {source}) to {duck.text(str(out))} {form}')


def _guarded(name: str, kind: str) -> str:
    """Return a column for CSV: neither its name nor its text cells begin like a formula."""
    column = duck.identifier(name)
    title = duck.identifier(f"'{name}" if name[:1] in FORMULA_STARTS else name)
    if kind != 'VARCHAR':
        return f'{column} as {title}'
    begins = f'regexp_matches({column}, {duck.text(FORMULA)})'
    return f"case when {begins} then '''' || {column} else {column} end as {title}"
