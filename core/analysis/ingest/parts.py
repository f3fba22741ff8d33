"""Parts: the stored rows of a version, sorted by series, time and source order, as Parquet files of about 2M rows.

Sorting moves whole rows, so they are made narrow first: words become numbers that sort alike, and what other columns
tell already (the line by the row's number, the time column by `_time`) is left out until the rows are in order. Words
are written as such numbers too: a part then holds the same text, and no word is looked up again for each row.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.analysis import duck
from core.analysis.ingest.types import Column

if TYPE_CHECKING:
    import duckdb

ROW_GROUP: Final = 16_384  # a chart reads whole ones: few rows more than it shows
GROUPS_A_FILE: Final = 150
MOST_ALIKE: Final = 2048  # values in a dictionary: what takes more of them, such as times, is smaller as steps
MOST_WORDS: Final = 50_000
MOST_ROWS: Final = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The rows of a version before they are sorted: SQL that gives `_series, _time, _line, _row` and `columns`.

    With `several` files there is `_source` too. Rows that are not at hand yet come with a `sample` of them that has all
    their words, and with the `first` of their lines.
    """

    rows: str
    columns: list[Column]
    count: int
    several: bool = False
    sample: str = ''
    first: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moved:
    """A column on its way through the sort: SQL over a row before it, over a sorted row, and its name there."""

    name: str
    before: str | None
    after: str


def write_parts(
    connection: 'duckdb.DuckDBPyConnection', stored: Stored, *, zone: str, into: Path, workdir: Path, name: str
) -> list[Path]:
    """Sort the stored rows into parts `NAME-00000.parquet` … of at most `most()` rows; return them in order.

    The connection must have one thread: on several, files and their order are not settled.
    """
    moved = list(_narrow(connection, stored, zone=zone)) if not stored.several else list(_plain(stored))
    before = ', '.join(f'{one.before} AS {one.name}' for one in moved if one.before)
    after = ', '.join(f'{one.after} AS {one.name}' for one in moved if one.name != '_row')
    order = '_series, _time, _line, _row' if stored.several else '_series, _time, _row'
    rows = f'SELECT {after} FROM (SELECT {before} FROM ({stored.rows}) ORDER BY {order})'
    return _write(connection, rows, into=into, workdir=workdir, name=name, several=stored.count > most())


def split(connection: 'duckdb.DuckDBPyConnection', whole: Path, *, into: Path, workdir: Path, name: str) -> list[Path]:
    """Split a sorted file into such parts, and remove it."""
    (count,) = duck.single(connection, f'SELECT count(*) FROM {duck.files([whole])}')
    rows = f'SELECT * FROM {duck.files([whole])}'
    parts = _write(connection, rows, into=into, workdir=workdir, name=name, several=count > most())
    whole.unlink()
    return parts


def most() -> int:
    """Return how many rows a part may have."""
    return ROW_GROUP * GROUPS_A_FILE


def _write(
    connection: 'duckdb.DuckDBPyConnection', rows: str, *, into: Path, workdir: Path, name: str, several: bool
) -> list[Path]:
    # Level 1 of zstd takes a fifth less time than its usual one, and half a percent more room.
    form = (
        'FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, PARQUET_VERSION v2, '
        f'ROW_GROUP_SIZE {ROW_GROUP}, DICTIONARY_SIZE_LIMIT {MOST_ALIKE}'
    )
    if not several:
        part = into / f'{name}-00000.parquet'
        connection.execute(f'COPY ({rows}) TO {duck.text(str(part))} ({form})')
        return [part]
    folder = workdir / f'{name}-parts'
    connection.execute(
        f'COPY ({rows}) TO {duck.text(str(folder))} ({form}, ROW_GROUPS_PER_FILE {GROUPS_A_FILE}, '
        "FILENAME_PATTERN '{i}')"
    )
    written = sorted(folder.glob('*.parquet'), key=lambda file: int(file.stem))
    parts = [into / f'{name}-{number:05}.parquet' for number in range(len(written))]
    for file, part in zip(written, parts, strict=True):
        shutil.move(file, part)
    folder.rmdir()
    return parts


def _plain(stored: Stored) -> Iterator[_Moved]:
    for name in ('_series', '_time', '_line', '_row', '_source', *(duck.identifier(c.name) for c in stored.columns)):
        yield _Moved(name=name, before=name, after=name)


def _narrow(connection: 'duckdb.DuckDBPyConnection', stored: Stored, *, zone: str) -> Iterator[_Moved]:
    """Yield the columns in the order stored, each as narrow as it can be."""
    keys = [column for column in stored.columns if column.role == 'series']
    own = keys[0] if len(keys) == 1 and keys[0].type == 'text' else None
    words = {c.index: f'words_{c.index}' for c in stored.columns if _is_of_few_words(connection, stored, c)}
    yield _series(connection, stored, own, words)
    yield _Moved(name='_time', before='_time', after='_time')
    low, high, last = stored.first, stored.first, stored.count
    if not stored.sample:
        asked = 'min(_line - _row), max(_line - _row), coalesce(max(_row), 0)'
        low, high, last = duck.single(connection, f'SELECT {asked} FROM ({stored.rows})')
    number = '_row::UINTEGER' if last <= MOST_ROWS else '_row'
    yield _Moved(name='_row', before=number, after='_row')
    if low == high and low is not None:
        yield _Moved(name='_line', before=None, after=f'(_row::BIGINT + {low})')
    else:
        yield _Moved(name='_line', before='_line', after='_line')
    for column in stored.columns:
        name = duck.identifier(column.name)
        if column.index in words and column is own:
            yield _Moved(name=name, before=None, after='_series')
        elif column.index in words:
            yield _Moved(name=name, before=f'CAST({name} AS {words[column.index]})', after=name)
        elif column.role == 'time' and zone == 'UTC' and column.type in ('date', 'timestamp'):
            yield _Moved(name=name, before=None, after=f'CAST(_time AS {column.type})')
        else:
            yield _Moved(name=name, before=name, after=name)


def _series(
    connection: 'duckdb.DuckDBPyConnection', stored: Stored, own: Column | None, words: dict[int, str]
) -> _Moved:
    if own is not None and own.index in words:
        return _Moved(name='_series', before=f'CAST(_series AS {words[own.index]})', after='_series')
    few = all(0 < c.distinct <= MOST_WORDS for c in stored.columns if c.role == 'series')
    if few and _make_words(connection, stored, '_series', 'words_series'):
        return _Moved(name='_series', before='CAST(_series AS words_series)', after='_series')
    return _Moved(name='_series', before='_series', after='_series')


def _is_of_few_words(connection: 'duckdb.DuckDBPyConnection', stored: Stored, column: Column) -> bool:
    """Whether a text column repeats few words; then the type `words_INDEX` holds them."""
    if column.type != 'text' or not 0 < column.distinct <= MOST_WORDS or column.distinct * 4 > stored.count:
        return False
    return _make_words(connection, stored, duck.identifier(column.name), f'words_{column.index}')


def _make_words(connection: 'duckdb.DuckDBPyConnection', stored: Stored, value: str, kind: str) -> bool:
    most_words = 2 * MOST_WORDS
    (many,) = duck.single(
        connection,
        f'CREATE OR REPLACE TEMP TABLE words AS SELECT DISTINCT {value} AS word FROM ({stored.sample or stored.rows}) '
        f'WHERE {value} IS NOT NULL LIMIT {most_words + 1}',
    )
    if not 0 < many <= most_words:
        return False
    # There is one already where rows that turned out not to be clean were written before.
    connection.execute(f'DROP TYPE IF EXISTS {kind}')
    connection.execute(f'CREATE TEMP TYPE {kind} AS ENUM (SELECT word FROM words ORDER BY word)')
    return True
