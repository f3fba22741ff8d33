"""Helpers: convert or inspect a text and look at what was stored."""

from pathlib import Path
from typing import Any

import duckdb

from core.analysis.ingest import Manifest, Options, convert, inspect


def inspected(folder: Path, text: str, **options: Any) -> dict[str, Any]:
    """Inspect a text as a file."""
    path = folder / 'file.csv'
    path.write_text(text, encoding='utf-8')
    return inspect(path, name='file.csv', options=Options(**options))


def converted(folder: Path, text: str, **options: Any) -> tuple[Manifest, Path]:
    """Convert a text into a new folder."""
    path = folder / 'file.csv'
    path.write_text(text, encoding='utf-8')
    into = folder / 'version'
    into.mkdir()
    return convert(
        path, name='file.csv', into=into, options=Options(**options), progress=lambda share, text: None
    ), into


def stored(into: Path, columns: str = '*') -> list[tuple[Any, ...]]:
    """Return stored rows in their order."""
    return duckdb.sql(f"SELECT {columns} FROM '{into}/data-*.parquet'").fetchall()


def faults(into: Path) -> list[tuple[Any, ...]]:
    """Return `line, column, kind, value, action` of the listed faults."""
    return duckdb.sql(f'SELECT line, "column", kind, value, action FROM \'{into}/faults.parquet\'').fetchall()


def table(header: str, cells: list[str], *, start: int = 1) -> str:
    """A daily table with one more column."""
    rows = [f'2024-{1 + (start + i) // 28:02}-{1 + (start + i) % 28:02};{cell}' for i, cell in enumerate(cells)]
    return '\n'.join([f'ds;{header}', *rows, ''])
