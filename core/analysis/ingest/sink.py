"""Where records become the raw table: an interim file of plain CSV that DuckDB turns into Parquet within its memory."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.analysis.ingest.rawtable import FLAG_COLUMN, LINE_COLUMN, Fault, Limits
from core.errors import TooLarge

if TYPE_CHECKING:
    import duckdb

NULL: Final = '\x1aNULL\x1a'
WIDE: Final = 1500
LONG: Final = 2**19
_FEW_BYTES: Final = 2**17
_BATCH_CELLS: Final = 2**20
_BATCH_CHARACTERS: Final = 2**23
_FAULT_TYPES: Final = ('BIGINT', 'BIGINT', 'VARCHAR', 'VARCHAR', 'VARCHAR', 'VARCHAR', 'VARCHAR')


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Where and within which bounds one file is read."""

    folder: Path
    memory: int
    limits: Limits
    progress: Callable[[float], None]

    @property
    def table(self) -> Path:
        """Where the raw table goes."""
        return self.folder / 'raw.parquet'

    @property
    def faults(self) -> Path:
        """Where its faults go."""
        return self.folder / 'faults.parquet'


@contextmanager
def engine(workdir: Path, *, memory: int) -> Iterator['duckdb.DuckDBPyConnection']:
    """A DuckDB connection on one thread that keeps to `memory` bytes and to `workdir`, with no extension to load."""
    import duckdb

    settings: dict[str, str | bool | int] = {
        'threads': 1,
        'memory_limit': f'{max(memory, 2**26) // 2**20}MiB',
        'temp_directory': str(workdir / 'spill'),
        'autoload_known_extensions': False,
        'autoinstall_known_extensions': False,
        'preserve_insertion_order': True,
    }
    connection = duckdb.connect(config=settings)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
    finally:
        connection.close()


def quoted(text: object) -> str:
    """A text as a literal of SQL."""
    return "'" + str(text).replace("'", "''") + "'"


def csv_source(path: Path, columns: Sequence[tuple[str, str]], *, options: str) -> str:
    """The table function that reads a delimited file strictly, every column given."""
    named = ', '.join(f'{quoted(name)}: {quoted(kind)}' for name, kind in columns)
    return f'read_csv({quoted(path)}, columns = {{{named}}}, auto_detect = false, nullstr = {quoted(NULL)}, {options})'


class Sink:
    """Takes records in file order and gives the raw table's Parquet files.

    Between them lies a file of text, separated and quoted as asked so that clean lines can go into it as they are.
    """

    def __init__(self, work: Work, width: int, *, delimiter: str = ',', quote: str = '"') -> None:
        self._rows_path = work.folder / 'rows.csv'
        self._faults_path = work.folder / 'faults.csv'
        self._work = work
        self._rows_file = self._rows_path.open('w', encoding='utf-8', errors='replace', newline='')
        self._faults_file = self._faults_path.open('w', encoding='utf-8', errors='replace', newline='')
        self.delimiter, self.quote = delimiter, quote
        # With this end of lines the writer quotes cells that hold a return or a line feed.
        self._rows = csv.writer(self._rows_file, delimiter=delimiter, quotechar=quote, lineterminator='\r\n')
        self._faults = csv.writer(self._faults_file)
        self.width = width
        self.rows = self.faults = self.rejected = 0
        self.longest = 0

    def add(self, line: int, flag: int, cells: Sequence[str | None]) -> None:
        """Store one record, padded with nulls to the table's width."""
        padding = [NULL] * (self.width - len(cells))
        self._rows.writerow([line, flag, *(NULL if cell is None else cell for cell in cells), *padding])
        self.longest = max(self.longest, sum(len(cell or '') + 1 for cell in cells))
        self._count(1)

    def _count(self, rows: int) -> None:
        self.rows += rows
        if self.rows > self._work.limits.rows or self.rows * max(self.width, 1) > self._work.limits.cells:
            raise TooLarge(
                f'The file has {self.rows:,} rows of {self.width:,} columns or more. Split it into smaller files.'
            )

    def add_block(self, lines: Iterable[int], rows: Sequence[list[str]], *, longest: int) -> None:
        """Store full records as read; none has more than `longest` characters."""
        self._rows.writerows([line, 0, *row] for line, row in zip(lines, rows, strict=True))
        self.longest = max(self.longest, longest)
        self._count(len(rows))

    def add_lines(self, first: int, lines: Sequence[str], *, longest: int) -> None:
        """Store full records that are written in this file's dialect already, a line each from line `first` on."""
        mark = self.delimiter
        self._rows_file.write(''.join([f'{number}{mark}0{mark}{line}\r\n' for number, line in enumerate(lines, first)]))
        self.longest = max(self.longest, longest)
        self._count(len(lines))

    def fault(self, fault: Fault) -> None:
        """List a fault."""
        values = list(astuple(fault))
        self._faults.writerow([NULL if value is None else value for value in values])
        self.faults += 1

    def finish(self) -> Path | None:
        """Write the raw table and its faults as Parquet; give the path of the faults, None when there are none."""
        self._rows_file.close()
        self._faults_file.close()
        columns = [(LINE_COLUMN, 'BIGINT'), (FLAG_COLUMN, 'UTINYINT')]
        columns += [(f'c{i}', 'VARCHAR') for i in range(self.width)]
        if (
            self.width > WIDE
            or self.longest > LONG
            or self._rows_path.stat().st_size < _FEW_BYTES
            or self._copy(self._rows_path, self._work.table, columns, delimiter=self.delimiter, quote=self.quote)
            != self.rows
        ):
            # DuckDB needs large buffers for many columns and for long lines; Arrow is slower and does not. For few
            # bytes it takes less time than opening DuckDB does.
            _write_wide(self._rows_path, self._work.table, columns, delimiter=self.delimiter, quote=self.quote)
        self._rows_path.unlink()
        if self.faults:
            named = list(zip((item.name for item in fields(Fault)), _FAULT_TYPES, strict=True))
            few = self._faults_path.stat().st_size < _FEW_BYTES
            if few or self._copy(self._faults_path, self._work.faults, named) != self.faults:
                _write_wide(self._faults_path, self._work.faults, named)
        self._faults_path.unlink()
        return self._work.faults if self.faults else None

    def discard(self) -> None:
        """Throw away what was stored, for another pass."""
        self._rows_file.close()
        self._faults_file.close()

    def _copy(
        self,
        source: Path,
        target: Path,
        columns: Sequence[tuple[str, str]],
        *,
        delimiter: str = ',',
        quote: str = '"',
    ) -> int:
        """Copy an interim file to Parquet; give the number of records that arrived, -1 when DuckDB refuses."""
        import duckdb

        marks = f'delim = {quoted(delimiter)}, quote = {quoted(quote)}, escape = {quoted(quote)}'
        table = csv_source(
            source, columns, options=f'{marks}, {_OPTIONS}, max_line_size = {2**23}, buffer_size = {2**24}'
        )
        with engine(self._work.folder, memory=self._work.memory) as connection:
            try:
                copied = connection.execute(
                    f'COPY (SELECT * FROM {table}) TO {quoted(target)} ({parquet_options(self.longest)})'
                ).fetchall()
            except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.OutOfMemoryException):
                return -1
        return int(copied[0][0])


_OPTIONS: Final = 'header = false, strict_mode = true, parallel = false'


def parquet_options(longest: int) -> str:
    """COPY options for the raw table; long records get small row groups, so that one fits in memory.

    Small dictionaries and the encodings of version 2 take a fifth less CPU and a quarter less space than the defaults.
    """
    groups = max(2048, min(122_880, 2**26 // max(longest, 1) // 2048 * 2048))
    return f'FORMAT parquet, PARQUET_VERSION V2, COMPRESSION lz4, DICTIONARY_SIZE_LIMIT 1000, ROW_GROUP_SIZE {groups}'


def _write_wide(
    source: Path, path: Path, columns: Sequence[tuple[str, str]], *, delimiter: str = ',', quote: str = '"'
) -> None:
    """Copy an interim file to Parquet by Arrow, a few rows at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {'BIGINT': pa.int64(), 'UTINYINT': pa.uint8(), 'VARCHAR': pa.string()}
    schema = pa.schema([(name, types[kind]) for name, kind in columns])
    limit = csv.field_size_limit(2**31 - 1)
    try:
        with (
            source.open(encoding='utf-8', newline='') as file,
            pq.ParquetWriter(path, schema, compression='lz4', use_dictionary=False, write_statistics=False) as writer,
        ):
            for rows in _batches(csv.reader(file, delimiter=delimiter, quotechar=quote), len(columns)):
                writer.write_batch(_batch(rows, schema))
    finally:
        csv.field_size_limit(limit)


def _batches(rows: Iterable[list[str]], width: int) -> Iterator[list[list[str]]]:
    """Rows in batches that stay small in cells and in characters."""
    batch: list[list[str]] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += sum(map(len, row))
        if len(batch) * width >= _BATCH_CELLS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _batch(rows: Sequence[Sequence[str]], schema: Any) -> Any:
    import pyarrow as pa

    from core.analysis.arrays import texts

    # All columns at once: of thousands, each by itself takes four times as long.
    cells = texts(None if cell == NULL else cell for column in zip(*rows, strict=True) for cell in column)
    size = len(rows)
    columns = (cells.slice(place * size, size) for place in range(len(schema)))
    return pa.record_batch(
        [one if one.type == kind else one.cast(kind) for one, kind in zip(columns, schema.types, strict=True)], schema
    )
