"""Parquet to the raw table: every value as text, with the file's own types as hints."""

from pathlib import Path
from typing import Final

from core.analysis.ingest.layout import unique_names
from core.analysis.ingest.rawtable import FLAG_COLUMN, LINE_COLUMN, Dialect, RawTable
from core.analysis.ingest.sink import WIDE, Work, engine, parquet_options, quoted
from core.errors import NotSupported, TooLarge, UnreadableFile

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
    import duckdb

    with engine(work.folder, memory=work.memory) as connection:
        try:
            described = connection.execute(f'DESCRIBE SELECT * FROM read_parquet({quoted(path)})').fetchall()
            columns = [(str(row[0]), str(row[1]).upper()) for row in described]
            if len(columns) > WIDE:
                raise NotSupported(f'{name} has {len(columns):,} columns; at most {WIDE:,} are read from Parquet.')
            connection.execute(_statement(path, columns, work))
            rows = connection.execute(f'SELECT count(*) FROM {quoted(work.table)}').fetchall()[0][0]
        except duckdb.OutOfMemoryException as error:
            raise TooLarge(f'{name} needs more memory than is allowed. Write it with smaller row groups.') from error
        except duckdb.Error as error:
            if _TOO_LARGE in str(error):
                raise TooLarge(f'{name} unpacks to more than is allowed. Split it into smaller files.') from error
            raise UnreadableFile(f'{name} is a broken Parquet file. Write it again.') from error
    names = unique_names([column for column, _ in columns], len(columns))
    return RawTable(
        path=work.table,
        names=names,
        named=True,
        header_line=None,
        encoding=None,
        compression=None,
        format='parquet',
        dialect=Dialect(),
        rows_read=rows,
        rejected=0,
        faults_path=None,
        hints={name: _hint(kind) for name, (_, kind) in zip(names, columns, strict=True)},
        notes=(),
        header=tuple(column for column, _ in columns),
    )


def _statement(path: Path, columns: list[tuple[str, str]], work: Work) -> str:
    """One pass that keeps a running total of the text written and stops when it grows too large."""
    limits = work.limits
    most = min(limits.bytes, max(limits.ratio_free_bytes, path.stat().st_size * _RATIO))
    renamed = ', '.join(f'c{i}' for i in range(len(columns)))
    texts = ', '.join(f'CAST(c{i} AS VARCHAR) AS c{i}' for i in range(len(columns)))
    size = ' + '.join(f'coalesce(strlen(c{i}), 0)' for i in range(len(columns))) or '0'
    total = f'sum({size}) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)'
    return (
        f'COPY (SELECT CASE WHEN total > {most} OR number > {limits.rows} THEN error({quoted(_TOO_LARGE)}) '
        f'ELSE number END AS {LINE_COLUMN}, 0::UTINYINT AS {FLAG_COLUMN}, {renamed} FROM '
        f'(SELECT row_number() OVER () AS number, {total} AS total, {renamed} FROM '
        f'(SELECT {texts} FROM read_parquet({quoted(path)}) AS source({renamed})))) '
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
