"""Any foreign tabular file to one raw table of text, each record with its physical line."""

import csv
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, Final, TextIO

from core.analysis.ingest.archive import unpack
from core.analysis.ingest.columnar import read_feather, read_parquet
from core.analysis.ingest.decode import as_utf8
from core.analysis.ingest.delimited import read_delimited
from core.analysis.ingest.objects import is_json, read_json
from core.analysis.ingest.rawtable import Chosen, Limits, RawTable
from core.analysis.ingest.sink import NULL, WIDE, Work, engine, quoted
from core.analysis.ingest.spreadsheet import read_xlsx
from core.errors import TooLarge, UnreadableFile

LONGEST_NAME: Final = 65_536
FEW_CELLS: Final = 2**14
_DISGUISES: Final = {'.xlsx': 'an Excel workbook', '.parquet': 'a Parquet file', '.feather': 'a Feather file'}


def read(
    path: Path,
    *,
    name: str,
    workdir: Path,
    memory: int = 512 * 2**20,
    progress: Callable[[float], None] = lambda share: None,
    limits: Limits | None = None,
    chosen: Chosen | None = None,
    later: bool = False,
) -> RawTable:
    """Read `path` (called `name` by its owner) into a raw table below `workdir`, using about `memory` bytes.

    What the file is follows from its content; a name that says Excel or Parquet must be right. What is `chosen` goes
    before what would be found; how the file was read is told by the table's `reading`. `progress` is given shares from
    0 to 1. With `later`, a large text that seems clean may be given as `unread`. An empty file gives a table without
    columns. Raises UnreadableFile, NotSupported, TooLarge or UsageError.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    limits = limits or Limits()
    name = name if len(name) <= 120 else f'{name[:117]}...'
    steps = _Steps(progress)
    chosen = chosen or Chosen()
    unpacked = unpack(
        path, name=name, workdir=workdir, limits=limits, progress=steps.part(0.0, 0.2), member=chosen.member
    )
    work = Work(folder=workdir, memory=memory, limits=limits, progress=steps.part(0.4, 1.0))
    if unpacked.path.stat().st_size > limits.bytes:
        raise TooLarge(f'{name} is larger than {limits.bytes / 2**30:.0f} GB. Split it into smaller files.')
    if unpacked.kind == 'parquet':
        table = read_parquet(unpacked.path, work, name=name)
    elif unpacked.kind == 'feather':
        table = read_feather(unpacked.path, work, name=name)
    elif unpacked.kind == 'xlsx':
        table = read_xlsx(unpacked.path, work, name=name, chosen=chosen)
    else:
        _refuse_disguise(name, unpacked.compression)
        table = _read_text(unpacked.path, work, steps.part(0.2, 0.4), chosen, later=later)
    if len(table.names) > limits.columns:
        raise TooLarge(f'{name} has {len(table.names):,} columns, more than the {limits.columns:,} allowed.')
    if (longest := max(map(len, table.names), default=0)) > LONGEST_NAME:
        raise UnreadableFile(
            f'{name} has a column whose name is {longest:,} characters long, so its first line is no header. '
            'Upload a table with one record a line.'
        )
    progress(1.0)
    reading = ({'member': unpacked.choice} if unpacked.choice else {}) | dict(table.reading)
    return replace(table, compression=unpacked.compression, notes=unpacked.notes + table.notes, reading=reading)


def _refuse_disguise(name: str, compression: str | None) -> None:
    suffix = PurePath(name).suffix.lower()
    if compression is None and suffix in _DISGUISES:
        raise UnreadableFile(f'{name} is no {suffix} file inside. Upload {_DISGUISES[suffix]}, or name text .csv.')


def _read_text(path: Path, work: Work, progress: Callable[[float], None], chosen: Chosen, *, later: bool) -> RawTable:
    text = as_utf8(path, workdir=work.folder, progress=progress, encoding=chosen.encoding)
    # A delimiter or a header asked for says that the text is no JSON, whatever it starts with.
    asked = any(value is not None for value in (chosen.delimiter, chosen.quote, chosen.skip, chosen.header_lines))
    kind = None if asked else is_json(text)
    table = read_json(text, work, kind=kind) if kind else read_delimited(text, work, chosen=chosen, later=later)
    return replace(table, reading={'encoding': text.choice} | dict(table.reading))


def write_raw_csv(table: RawTable, out: Path) -> None:
    """Write the table's text as RFC 4180 in UTF-8 with LF: the header's own cells first when there is one.

    A cell that a record does not have is written as an empty one. A table without columns gives an empty file.
    """
    with out.open('w', encoding='utf-8', newline='') as file:
        if table.header:
            _writer(file).writerow(_padded(table.header, len(table.names)))
    if not table.rows_read:
        return
    body, width = out.with_name(f'{out.name}.body'), len(table.names)
    try:
        # Opening DuckDB takes longer than writing a small table.
        few = width * table.rows_read <= FEW_CELLS
        if few or width > WIDE or width == 1 or not _write_body(table, body):
            _write_slowly(table, body)
        with out.open('ab') as file, body.open('rb') as source:
            shutil.copyfileobj(source, file, 2**20)
    finally:
        body.unlink(missing_ok=True)


def _padded(cells: tuple[str, ...], width: int) -> list[str]:
    return [*cells, *[''] * (width - len(cells))]


def _write_body(table: RawTable, body: Path) -> bool:
    """Write all records by DuckDB; False when it has not the memory for cells this long."""
    import duckdb

    cells = ', '.join(f"coalesce(c{i}, '') AS c{i}" for i in range(len(table.names)))
    with engine(table.path.parent, memory=512 * 2**20) as connection:
        try:
            connection.execute(
                f'COPY (SELECT {cells} FROM {quoted(table.path)}) '
                f'TO {quoted(body)} (FORMAT csv, HEADER false, NULLSTR {quoted(NULL)})'
            )
        except duckdb.OutOfMemoryException:
            return False
    return True


def _write_slowly(table: RawTable, body: Path) -> None:
    """Row by row: few cells, and shapes that COPY does not write well, one column (an empty cell needs quotes) or
    thousands."""
    import pyarrow.parquet as pq

    names = [f'c{i}' for i in range(len(table.names))]
    with pq.ParquetFile(table.path) as source, body.open('w', encoding='utf-8', newline='') as file:
        writer = _writer(file)
        for batch in source.iter_batches(batch_size=max(1, 2**20 // len(names)), columns=names):
            columns = [column.to_pylist() for column in batch.columns]
            writer.writerows(zip(*columns, strict=True))


def _writer(file: TextIO) -> Any:
    """What writes records that end with LF. The writer of Python 3.11 quotes a cell with a bare CR only where records
    end with one, and readers would take that CR for the end of a record."""
    return csv.writer(_LineFeeds(file), lineterminator='\r\n')


@dataclass(frozen=True, slots=True)
class _LineFeeds:
    file: TextIO

    def write(self, record: str) -> None:
        self.file.write(f'{record[:-2]}\n')


class _Steps:
    """One progress over several steps."""

    def __init__(self, progress: Callable[[float], None]) -> None:
        self._progress = progress

    def part(self, start: float, end: float) -> Callable[[float], None]:
        """The progress of a step that goes from `start` to `end`."""
        return lambda share: self._progress(start + (end - start) * min(max(share, 0.0), 1.0))
