"""Parquet and Feather to the raw table: every value as text, with the file's own types as hints."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.analysis.ingest.layout import unique_names
from core.analysis.ingest.rawtable import FLAG_COLUMN, LINE_COLUMN, Dialect, FaultAction, FaultKind, Flag, RawTable
from core.analysis.ingest.sink import WIDE, Work, engine, parquet_options, quoted
from core.errors import NotSupported, TooLarge, UnreadableFile

if TYPE_CHECKING:
    import duckdb

_INTEGERS: Final = frozenset(
    {'TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT'}
)
_TIMES: Final = frozenset({'TIMESTAMP', 'TIMESTAMP_NS', 'TIMESTAMP_MS', 'TIMESTAMP_S'})
_TEXTS: Final = ('VARCHAR', 'ENUM', 'JSON', 'STRUCT', 'MAP', 'UNION', 'VARIANT')
_NUL: Final = 'NUL characters were taken out.'
_SHOWN: Final = 500
_SHOWN_CELLS: Final = 50
_TOO_LARGE: Final = 'variosync: too large'
_RATIO: Final = 1000
_AT_ONCE: Final = 1000
_BATCH_CELLS: Final = 2**20
_BATCH_BYTES: Final = 2**24
_Columns = list[tuple[str, str]]


def read_parquet(path: Path, work: Work, *, name: str) -> RawTable:
    """Read a foreign Parquet file. `_line` is the record's number.

    Raises UnreadableFile for a broken file, TooLarge when its text would pass the limits (what its metadata say about
    sizes is not believed).
    """
    with engine(work.folder, memory=work.memory) as connection:
        source = f'read_parquet({quoted(path)})'
        return _read(connection, lambda _: source, path, work, name=name, kind='parquet')


def read_feather(path: Path, work: Work, *, name: str) -> RawTable:
    """Read a foreign Feather file (Arrow IPC), batch by batch.

    Raises as `read_parquet` does, and NotSupported for columns whose size written out cannot be told beforehand.
    """
    import pyarrow as pa
    import pyarrow.ipc as ipc

    def source(places: Sequence[int] | None) -> str:
        options = ipc.IpcReadOptions(included_fields=None if places is None else list(places))
        opened = ipc.open_file(file, options=options)
        batches = pa.RecordBatchReader.from_batches(_plain(opened.schema), _checked(opened))
        connection.register('feather', batches)
        return 'feather'

    try:
        with pa.memory_map(str(path)) as file, engine(work.folder, memory=work.memory) as connection:
            schema = ipc.open_file(file).schema
            _check_kinds(schema, name)
            _check_texts(ipc.open_file(file), _most_text(path, work), name)
            return _read(connection, source, path, work, name=name, kind='feather', written=schema.names)
    except pa.ArrowMemoryError as error:
        raise TooLarge(f'{name} needs more memory than is allowed. Write it with smaller record batches.') from error
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, OSError) as error:
        raise UnreadableFile(f'{name} is a broken Feather file. Write it again.') from error


def _plain(schema: Any) -> Any:
    """The schema with dictionaries as their values, and with names without NUL characters, which would end them."""
    import pyarrow as pa

    kinds = [one.type.value_type if pa.types.is_dictionary(one.type) else one.type for one in schema]
    return pa.schema([pa.field(_without_nul(one.name), kind) for one, kind in zip(schema, kinds, strict=True)])


def _without_nul(name: str) -> str:
    return name.replace('\0', '')


def _checked(file: Any) -> Iterator[Any]:
    """A foreign file's batches, each validated: offsets that lie would be read outside their buffers."""
    import pyarrow as pa

    plain = _plain(file.schema)
    for index in range(file.num_record_batches):
        batch = file.get_batch(index)
        batch.validate(full=True)
        # A dictionary's values may be far larger when written out: then a few rows at a time.
        size = max(1, batch.num_rows * _BATCH_BYTES // max(_written_out(batch), 1))
        for start in range(0, batch.num_rows, size):
            columns = [
                column.cast(one.type) if column.type != one.type else column
                for column, one in zip(batch.slice(start, size).columns, plain, strict=True)
            ]
            yield pa.record_batch(columns, schema=plain)


def _check_kinds(schema: Any, name: str) -> None:
    """Raise NotSupported for a column that may be far larger written out than in the file, by more than can be told:
    runs, overlapping lists, and what of dictionaries and views stands within another kind."""
    for one in schema:
        if _is_shared(one.type, outermost=True):
            raise NotSupported(
                f'Column "{one.name[:80]}" of {name} is of a kind that is not read ({str(one.type)[:80]}). '
                'Write it as plain texts or numbers.'
            )


def _is_shared(kind: Any, *, outermost: bool = False) -> bool:
    import pyarrow as pa

    types = pa.types
    if types.is_run_end_encoded(kind) or types.is_list_view(kind) or types.is_large_list_view(kind):
        return True
    if types.is_dictionary(kind):
        return not outermost or types.is_nested(kind.value_type) or _is_shared(kind.value_type)
    if _is_view(kind):
        return not outermost
    return any(_is_shared(kind.field(place).type) for place in range(kind.num_fields))


def _is_view(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))


def _check_texts(file: Any, most: int, name: str) -> None:
    """Raise TooLarge when the texts that stand in dictionaries or views are more than `most` bytes, once a row."""
    import pyarrow as pa

    if not any(pa.types.is_dictionary(one.type) or _is_view(one.type) for one in file.schema):
        return
    total = 0
    for index in range(file.num_record_batches):
        batch = file.get_batch(index)
        batch.validate(full=True)
        total += _written_out(batch)
        if total > most:
            raise TooLarge(f'{name} unpacks to more than is allowed. Split it into smaller files.')


def _written_out(batch: Any) -> int:
    """The bytes of a batch's texts and binaries that stand in dictionaries or views, once for each row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    total = 0
    for column in batch.columns:
        if _is_view(column.type):
            total += _viewed(column)
        elif isinstance(column, pa.DictionaryArray) and _has_length(column.type.value_type):
            total += pc.sum(pc.binary_length(column.dictionary).cast(pa.int64()).take(column.indices)).as_py() or 0
    return total


def _has_length(kind: Any) -> bool:
    import pyarrow as pa

    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
    )


def _viewed(column: Any) -> int:
    """The bytes that the views of a column show: each has 16 bytes, of which the first four are its length
    (https://arrow.apache.org/docs/format/Columnar.html#variable-size-binary-view-layout)."""
    import numpy as np

    from core.analysis.arrays import there

    held = column.buffers()[1]
    if not len(column) or held is None:
        return 0
    lengths = np.frombuffer(held, dtype='<i4')[4 * column.offset : 4 * (column.offset + len(column)) : 4]
    return int(lengths[there(column)].astype(np.int64).sum())


def _read(
    connection: 'duckdb.DuckDBPyConnection',
    source: Callable[[Sequence[int] | None], str],
    path: Path,
    work: Work,
    *,
    name: str,
    kind: str,
    written: Sequence[str] = (),
) -> RawTable:
    """Read all columns; `source` gives the table of those at some places, or of all, for one statement. `written` are
    their names in the file where the source has other ones."""
    import duckdb

    title = kind.capitalize()
    try:
        described = connection.execute(f'DESCRIBE SELECT * FROM {source(None)}').fetchall()
        columns = [(str(row[0]), str(row[1]).upper()) for row in described]
        if len(columns) > work.limits.columns:
            raise TooLarge(
                f'{name} has {len(columns):,} columns, more than the {work.limits.columns:,} allowed. Split it.'
            )
        if len(columns) > WIDE:
            _copy_wide(connection, source, path, columns, work, positional=kind == 'feather')
        else:
            connection.execute(_statement(source(None), path, columns, work, range(len(columns)), out=work.table))
        count = f'SELECT count(*), count(*) FILTER ({FLAG_COLUMN} > 0) FROM {quoted(work.table)}'
        rows, repaired = connection.execute(count).fetchall()[0]
        if repaired:
            _list_repaired(connection, work, len(columns))
    except duckdb.OutOfMemoryException as error:
        raise TooLarge(f'{name} needs more memory than is allowed. Write it with smaller row groups.') from error
    except duckdb.Error as error:
        if _TOO_LARGE in str(error):
            raise TooLarge(f'{name} unpacks to more than is allowed. Split it into smaller files.') from error
        raise UnreadableFile(f'{name} is a broken {title} file. Write it again.') from error
    header = tuple(_without_nul(column) for column, _ in columns)
    names = unique_names(header, len(columns))
    written = written or [column for column, _ in columns]
    odd = [name for name, given in zip(names, written, strict=True) if '\0' in given]
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
        faults_path=work.faults if repaired else None,
        hints={name: _hint(kind) for name, (_, kind) in zip(names, columns, strict=True)},
        notes=(f'NUL characters were taken out of the names of columns: {", ".join(odd[:20])}.',) if odd else (),
        header=header,
    )


def _list_repaired(connection: 'duckdb.DuckDBPyConnection', work: Work, width: int) -> None:
    """List the records of the raw table that NUL characters were taken out of, with their first cells."""
    cells = ', '.join(f'c{place}' for place in range(min(width, _SHOWN_CELLS)))
    connection.execute(
        f'COPY (SELECT {LINE_COLUMN} AS line, NULL::BIGINT AS byte, NULL::VARCHAR AS "column", '
        f"{quoted(FaultKind.NUL_BYTE)} AS kind, left(concat_ws(',', {cells}), {_SHOWN}) AS value, "
        f'{quoted(FaultAction.REPAIRED)} AS action, {quoted(_NUL)} AS reason '
        f'FROM {quoted(work.table)} WHERE {FLAG_COLUMN} > 0) TO {quoted(work.faults)} (FORMAT parquet)'
    )


def _copy_wide(
    connection: 'duckdb.DuckDBPyConnection',
    source: Callable[[Sequence[int] | None], str],
    path: Path,
    columns: _Columns,
    work: Work,
    *,
    positional: bool,
) -> None:
    """Write a table of thousands of columns: some columns at a time by DuckDB, then side by side by Arrow.

    `positional` tells that `source` gives nothing but the columns asked for.
    """
    strips = []
    for start in range(0, len(columns), _AT_ONCE):
        places = range(start, min(start + _AT_ONCE, len(columns)))
        strips.append(work.folder / f'strip{start}.parquet')
        shown = [columns[place] for place in places] if positional else columns
        connection.execute(_statement(source(places), path, shown, work, places, out=strips[-1]))
        work.progress(places.stop / len(columns) * 0.8)
    _side_by_side(strips, work.table, width=len(columns))
    for strip in strips:
        strip.unlink()


def _side_by_side(strips: Sequence[Path], out: Path, *, width: int) -> None:
    """Put Parquet files of as many rows together as one table, a few rows at a time."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    own = (LINE_COLUMN, FLAG_COLUMN)
    with ExitStack() as stack:
        files = [stack.enter_context(closing(pq.ParquetFile(strip))) for strip in strips]
        fields = [
            *list(files[0].schema_arrow)[:2],
            *(f for file in files for f in file.schema_arrow if f.name not in own),
        ]
        schema = pa.schema(fields)
        writer = stack.enter_context(
            pq.ParquetWriter(out, schema, compression='lz4', use_dictionary=False, write_statistics=False)
        )
        size = max(1, _BATCH_CELLS // width)
        for batches in zip(*(file.iter_batches(batch_size=size) for file in files), strict=True):
            flags = pc.max_element_wise(*(batch.column(1) for batch in batches))
            arrays = [batches[0].column(0), flags, *(array for batch in batches for array in batch.columns[2:])]
            writer.write_batch(pa.record_batch(arrays, schema=schema))


def _statement(source: str, path: Path, columns: _Columns, work: Work, places: Sequence[int], *, out: Path) -> str:
    """One pass over the columns at some places that takes NUL characters out of texts, keeps a running total of the
    text written and stops when it grows too large. `columns` are those of the source."""
    limits, most = work.limits, _most_text(path, work)
    first = places[0] if len(columns) == len(places) and places else 0
    given = ', '.join(f'c{first + i}' for i in range(len(columns)))
    renamed = ', '.join(f'c{i}' for i in places)
    texts = ', '.join(f'CAST(c{i} AS VARCHAR) AS c{i}' for i in places)
    total_size = _joined([f'coalesce(strlen(c{i}), 0)' for i in places], '+') or '0'
    total = f'sum({total_size}) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)'
    doubtful = {i for i in places if _may_hold_nul(columns[i - first][1])}
    odd = _joined([f'contains(c{i}, chr(0))' for i in places if i in doubtful], 'OR') or 'false'
    plain = ', '.join(
        f"CASE WHEN odd THEN replace(c{i}, chr(0), '') ELSE c{i} END AS c{i}" if i in doubtful else f'c{i}'
        for i in places
    )
    return (
        f'COPY (SELECT CASE WHEN total > {most} OR number > {limits.rows} THEN error({quoted(_TOO_LARGE)}) '
        f'ELSE number END AS {LINE_COLUMN}, '
        f'CASE WHEN odd THEN {Flag.REPAIRED:d} ELSE {Flag.AS_READ:d} END::UTINYINT AS {FLAG_COLUMN}, {plain} FROM '
        f'(SELECT row_number() OVER () AS number, {total} AS total, coalesce({odd}, false) AS odd, {renamed} FROM '
        f'(SELECT {texts} FROM {source} AS source({given})))) '
        f'TO {quoted(out)} ({parquet_options(64 * min(len(columns), _AT_ONCE))})'
    )


def _may_hold_nul(kind: str) -> bool:
    """Whether values of a type may hold NUL characters once they are texts."""
    return kind.endswith(']') or kind.startswith(_TEXTS)


def _most_text(path: Path, work: Work) -> int:
    """The bytes of text that a file may hold."""
    return min(work.limits.bytes, max(work.limits.ratio_free_bytes, path.stat().st_size * _RATIO))


def _joined(terms: list[str], mark: str) -> str:
    """Terms in one, in brackets of a hundred: the engine refuses one expression that is a thousand deep."""
    while len(terms) > 1:
        terms = [f'({f" {mark} ".join(terms[at : at + 100])})' for at in range(0, len(terms), 100)]
    return terms[0] if terms else ''


def _hint(kind: str) -> str:
    if kind in _INTEGERS:
        return 'integer'
    if kind in _TIMES:
        return 'timestamp'
    if kind.startswith('DECIMAL'):
        return 'decimal'
    plain = {'BOOLEAN': 'boolean', 'FLOAT': 'double', 'DOUBLE': 'double', 'DATE': 'date'}
    return 'timestamptz' if kind == 'TIMESTAMP WITH TIME ZONE' else plain.get(kind, 'text')
