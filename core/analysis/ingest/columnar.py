"""Parquet and Feather to the raw table: every value as text, with the file's own types as hints."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.analysis.ingest.layout import unique_names
from core.analysis.ingest.rawtable import FLAG_COLUMN, LINE_COLUMN, Dialect, RawTable
from core.analysis.ingest.sink import WIDE, Work, engine, parquet_options, quoted
from core.errors import NotSupported, TooLarge, UnreadableFile

if TYPE_CHECKING:
    import duckdb

_INTEGERS: Final = frozenset(
    {'TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT'}
)
_TIMES: Final = frozenset({'TIMESTAMP', 'TIMESTAMP_NS', 'TIMESTAMP_MS', 'TIMESTAMP_S'})
_TOO_LARGE: Final = 'variosync: too large'
_RATIO: Final = 1000


def read_parquet(path: Path, work: Work, *, name: str) -> RawTable:
    """Read a foreign Parquet file. `_line` is the record's number.

    Raises UnreadableFile for a broken file, TooLarge when its text would pass the limits (what its metadata say about
    sizes is not believed), NotSupported for more columns than can be written here.
    """
    with engine(work.folder, memory=work.memory) as connection:
        return _read(connection, f'read_parquet({quoted(path)})', path, work, name=name, kind='parquet')


def read_feather(path: Path, work: Work, *, name: str) -> RawTable:
    """Read a foreign Feather file (Arrow IPC), batch by batch. Raises as `read_parquet` does."""
    import pyarrow as pa
    import pyarrow.ipc as ipc

    try:
        with pa.memory_map(str(path)) as source, engine(work.folder, memory=work.memory) as connection:
            file = ipc.open_file(source)
            batches = pa.RecordBatchReader.from_batches(_plain(file.schema), _checked(file))
            connection.register('feather', batches)
            return _read(connection, 'feather', path, work, name=name, kind='feather')
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, OSError) as error:
        raise UnreadableFile(f'{name} is a broken Feather file. Write it again.') from error


def _plain(schema: Any) -> Any:
    """The schema with dictionaries as their values."""
    import pyarrow as pa

    return pa.schema(
        [pa.field(one.name, one.type.value_type) if pa.types.is_dictionary(one.type) else one for one in schema]
    )


def _checked(file: Any) -> Iterator[Any]:
    """A foreign file's batches, each validated: offsets that lie would be read outside their buffers."""
    import pyarrow as pa

    plain = _plain(file.schema)
    for index in range(file.num_record_batches):
        batch = file.get_batch(index)
        batch.validate(full=True)
        columns = [
            column.cast(one.type) if column.type != one.type else column
            for column, one in zip(batch.columns, plain, strict=True)
        ]
        yield pa.record_batch(columns, schema=plain)


def _read(
    connection: 'duckdb.DuckDBPyConnection', source: str, path: Path, work: Work, *, name: str, kind: str
) -> RawTable:
    import duckdb

    title = kind.capitalize()
    try:
        described = connection.execute(f'DESCRIBE SELECT * FROM {source}').fetchall()
        columns = [(str(row[0]), str(row[1]).upper()) for row in described]
        if len(columns) > WIDE:
            raise NotSupported(
                f'{name} has {len(columns):,} columns; at most {WIDE:,} are read from {title}. Split it by columns.'
            )
        connection.execute(_statement(source, path.stat().st_size, columns, work))
        rows = connection.execute(f'SELECT count(*) FROM {quoted(work.table)}').fetchall()[0][0]
    except duckdb.OutOfMemoryException as error:
        raise TooLarge(f'{name} needs more memory than is allowed. Write it with smaller row groups.') from error
    except duckdb.Error as error:
        if _TOO_LARGE in str(error):
            raise TooLarge(f'{name} unpacks to more than is allowed. Split it into smaller files.') from error
        raise UnreadableFile(f'{name} is a broken {title} file. Write it again.') from error
    names = unique_names([column for column, _ in columns], len(columns))
    return RawTable(
        path=work.table,
        names=names,
        named=True,
        header_line=None,
        encoding=None,
        compression=None,
        format=kind,
        dialect=Dialect(),
        rows_read=rows,
        rejected=0,
        faults_path=None,
        hints={name: _hint(kind) for name, (_, kind) in zip(names, columns, strict=True)},
        notes=(),
        header=tuple(column for column, _ in columns),
    )


def _statement(source: str, size: int, columns: list[tuple[str, str]], work: Work) -> str:
    """One pass that keeps a running total of the text written and stops when it grows too large."""
    limits = work.limits
    most = min(limits.bytes, max(limits.ratio_free_bytes, size * _RATIO))
    renamed = ', '.join(f'c{i}' for i in range(len(columns)))
    texts = ', '.join(f'CAST(c{i} AS VARCHAR) AS c{i}' for i in range(len(columns)))
    total_size = ' + '.join(f'coalesce(strlen(c{i}), 0)' for i in range(len(columns))) or '0'
    total = f'sum({total_size}) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)'
    return (
        f'COPY (SELECT CASE WHEN total > {most} OR number > {limits.rows} THEN error({quoted(_TOO_LARGE)}) '
        f'ELSE number END AS {LINE_COLUMN}, 0::UTINYINT AS {FLAG_COLUMN}, {renamed} FROM '
        f'(SELECT row_number() OVER () AS number, {total} AS total, {renamed} FROM '
        f'(SELECT {texts} FROM {source} AS source({renamed})))) '
        f'TO {quoted(work.table)} ({parquet_options(64 * len(columns))})'
    )


def _hint(kind: str) -> str:
    if kind in _INTEGERS:
        return 'integer'
    if kind in _TIMES:
        return 'timestamp'
    if kind.startswith('DECIMAL'):
        return 'decimal'
    plain = {'BOOLEAN': 'boolean', 'FLOAT': 'double', 'DOUBLE': 'double', 'DATE': 'date'}
    return 'timestamptz' if kind == 'TIMESTAMP WITH TIME ZONE' else plain.get(kind, 'text')
