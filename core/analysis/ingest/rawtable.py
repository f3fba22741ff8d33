"""The raw table: what the reader makes of any foreign file, before a type is chosen for any cell."""

import codecs
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any, Final

from core.errors import UsageError

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
    """NUL characters inside a record; they were taken out: action `repaired`. Many in a row are a part of the file that
    was never written: what stands at both ends of it is action `rejected`."""
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
    """The record is not stored, for this reason."""
    LEFT_OUT = 'left_out'
    """Nothing of it is stored, for its record is rejected for another reason."""


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
    ratio_free_bytes: int = 2**29
    rows: int = 500_000_000
    columns: int = 32_768
    cell_bytes: int = 16 * 2**20
    cells: int = 5_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What a user says about a file; each overrules what the reader would find. None leaves it to the reader.

    `encoding` is a name that Python knows. `delimiter` may have several characters; `quote` and `escape` are one
    character, or '' for none. `skip` counts physical lines (or rows of a sheet) above the table, `header_lines` the
    rows of its header (0: none). `comment` starts lines that are no records, '' for none. `sheet` and `member` name the
    part of a workbook or an archive.
    """

    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    skip: int | None = None
    header_lines: int | None = None
    comment: str | None = None
    sheet: str | None = None
    member: str | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for a choice that can never be followed."""
        if self.encoding is not None:
            _known_encoding(self.encoding)
        for name, least, most in (('delimiter', 1, 16), ('quote', 0, 1), ('escape', 0, 1), ('comment', 0, 16)):
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, str) or not least <= len(value) <= most or '\n' in value or '\r' in value:
                raise UsageError(f'The {name} {value!r} must be a text of {least} to {most} characters on one line.')
        for name, highest in (('skip', 1_000_000), ('header_lines', 20)):
            number = getattr(self, name)
            if number is not None and (type(number) is not int or not 0 <= number <= highest):
                raise UsageError(f'"{name}" is {number!r}; it must be a whole number from 0 to {highest:,}.')
        for name in ('sheet', 'member'):
            if not isinstance(getattr(self, name), str | None):
                raise UsageError(f'The {name} must be a name.')

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> 'Chosen':
        """Return the choices of a JSON object. Raises UsageError for a key or a value that means nothing."""
        known = [field.name for field in fields(cls)]
        if unknown := [key for key in value if key not in known]:
            raise UsageError(f'"{unknown[0]}" is nothing to choose about a file. Choose from: {", ".join(known)}.')
        return cls(**value)

    def to_json(self) -> dict[str, Any]:
        """Return what was chosen, without the rest."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in named.items() if value is not None}


def _known_encoding(name: object) -> None:
    try:
        is_text = isinstance(name, str) and codecs.lookup(name)._is_text_encoding
    except (LookupError, ValueError):
        is_text = False
    if not is_text:
        raise UsageError(f'The encoding {name!r} is not known. Choose one such as utf-8, cp1252 or shift_jis.')


def decision(
    value: Any, *, confidence: float = 1.0, runner_up: Any = None, asked: bool = False, options: Sequence[Any] = ()
) -> dict[str, Any]:
    """One entry of a table's `reading`: what was taken, how sure (0 to 1), what came second, and whether it was asked
    for; `options` lists all there was to choose from where that is known."""
    found = {'value': value, 'confidence': round(confidence, 3), 'runner_up': runner_up, 'asked': asked}
    return found | ({'options': list(options)} if options else {})


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
class Unread:
    """A text file that seems clean and has not been read: of its raw table nothing but the head is known yet.

    `rows(path, skip)` is SQL that strictly reads a text written like this one at `path`, without its first `skip`
    lines, as c0..cN VARCHAR in file order. The first record of `path` stands in line `first`, the last one in line
    `last` if no cell has a line break. Records end with `newline`; before the byte `offset` stands a byte-order mark.
    `read` writes the raw table after all.
    """

    path: Path
    first: int
    last: int
    newline: str
    offset: int
    rows: Callable[[Path, int], str] = field(repr=False, compare=False)
    read: Callable[[], 'RawTable'] = field(repr=False, compare=False)


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
    `reading` tells how the file was read and what else was possible: by name of a field of Chosen a `decision`. Where
    `unread` is given, nothing stands at `path` yet and `rows_read` is a guess. `shape` tells what was done to make a
    wide table long (see `shape.melted`): its rows have `_record` and `_column` too, and there are more of them than
    `rows_read`.
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
    reading: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unread: 'Unread | None' = None
    shape: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_melted(self) -> bool:
        """Whether several rows are of one record."""
        return self.shape.get('shape') == 'wide'

    @property
    def rows(self) -> int:
        """How many rows stand at `path`, as far as is known."""
        return int(self.shape.get('rows', self.rows_read))


def free_name(name: str, taken: Sequence[str]) -> str:
    """Return a name as it is, or with a number behind it where one that is `taken` is the same whatever its case."""
    lower = {other.lower() for other in taken}
    free, count = name, 1
    while free.lower() in lower:
        count += 1
        free = f'{name}_{count}'
    return free
