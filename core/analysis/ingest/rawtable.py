"""The raw table: what the reader makes of any foreign file, before a type is chosen for any cell."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Final

LINE_COLUMN: Final = '_line'
FLAG_COLUMN: Final = '_flag'


class FaultKind(StrEnum):
    """What was wrong with a record as a record. The kinds of wrong cells are named where types are chosen."""

    SHORT_ROW = 'short_row'
    """Fewer cells than the table has columns; the missing ones at the end are null. Action `repaired`."""
    LONG_ROW = 'long_row'
    """More cells than the table has columns. `value` holds the surplus as it was written: action `repaired` when it was
    empty (nothing is lost) or when one cell of text was put together again from pieces that a bare delimiter had split,
    `truncated` when text was cut off."""
    STRAY_QUOTE = 'stray_quote'
    """A quote that neither opens nor closes a cell; it was read as an ordinary character. Action `repaired`."""
    UNTERMINATED_QUOTE = 'unterminated_quote'
    """A quoted cell that never ends; the record was read again from its own line alone. Action `repaired`."""
    BAD_ENCODING = 'bad_encoding'
    """Bytes that the file's encoding does not know; each became U+FFFD. Action `repaired`."""
    NUL_BYTE = 'nul_byte'
    """NUL characters inside a record; they were taken out. Action `repaired`."""
    NOT_A_RECORD = 'not_a_record'
    """A line or an element that holds no record, such as broken JSON. Action `rejected`."""
    OTHER_DELIMITER = 'other_delimiter'
    """A record that is separated by another character than the rest; it was split there. Action `repaired`."""
    TOO_WIDE = 'too_wide'
    """A cell, or a record of cells, that is larger than the reader's limit. Action `rejected`."""


class FaultAction(StrEnum):
    """What was done about a fault."""

    EMPTIED = 'emptied'
    """The cell was set to null; the record is stored."""
    REPAIRED = 'repaired'
    """The record is stored with a change that loses no text."""
    TRUNCATED = 'truncated'
    """The record is stored without the text given as the fault's value."""
    REJECTED = 'rejected'
    """The record is not stored."""


class Flag(IntEnum):
    """The `_flag` of a record in the raw table."""

    AS_READ = 0
    REPAIRED = 1
    REJECTED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a foreign file may grow to before it is refused with TooLarge; bytes are those after decompression."""

    bytes: int = 64 * 2**30
    ratio: int = 400
    ratio_free_bytes: int = 2**30
    rows: int = 500_000_000
    columns: int = 32_768
    cell_bytes: int = 16 * 2**20
    cells: int = 5_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a delimited file separates and quotes; None where it does not apply (xlsx, parquet).

    `newline` is one of '\\n', '\\r\\n', '\\r', 'mixed'. `escape` equals `quote` when quotes are doubled.
    """

    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    newline: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A structural fault: `line` is the physical line (1-based) where the record starts, `byte` its offset (0-based)
    in the decompressed file as far as it is known."""

    line: int
    byte: int | None
    column: str | None
    kind: str
    value: str
    action: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTable:
    """A foreign file as one table of text.

    `path` is a Parquet file in file order: `_line BIGINT` (1-based physical line where the record starts; for a sheet
    its row, for Parquet the record's number), `_flag UTINYINT` (see Flag; a rejected record has a row here only when it
    has any cell to show), then c0..cN VARCHAR, one for each of `names`.

    In the raw table an empty cell is '' and a cell that the record does not have is null. `header` holds the header's
    cells as written (none for an unnamed table), `names` what the columns are called: unique and never empty.
    `rows_read` counts records without header, blanks, preamble and footnotes. `rejected` of them have no usable row.
    `faults_path` is a Parquet file with the fields of Fault, or None when there are none.
    `hints` gives the type of columns of typed sources: boolean integer decimal double date timestamp timestamptz text.
    """

    path: Path
    names: tuple[str, ...]
    named: bool
    header_line: int | None
    encoding: str | None
    compression: str | None
    format: str
    dialect: Dialect
    rows_read: int
    rejected: int
    faults_path: Path | None
    hints: Mapping[str, str]
    notes: tuple[str, ...]
    header: tuple[str, ...] = ()
