"""Parquet and Feather with thousands of columns are read as tables of text are."""

from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from core.analysis.ingest import columnar
from core.analysis.ingest.rawtable import Limits
from core.analysis.ingest.reader import read
from core.analysis.ingest.sink import parquet_options
from core.errors import NotSupported, TooLarge

START = datetime(2020, 1, 1)


def written(folder: Path, kind: str, *, columns: int, rows: int) -> Path:
    """A file of a time and so many measures; the number in row r and column c is c + r."""
    cells = {f's{n}': pa.array([float(n + row) for row in range(rows)]) for n in range(1, columns)}
    table = pa.table(
        {'ds': pa.array([START + timedelta(hours=row) for row in range(rows)], pa.timestamp('us')), **cells}
    )
    path = folder / f'file.{kind}'
    if kind == 'parquet':
        pq.write_table(table, path)
    else:
        feather.write_feather(table, str(path))
    return path


def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done with thousands of columns is done with hundreds, in row groups of the same length."""
    monkeypatch.setattr(columnar, 'WIDE', columnar.WIDE // 10)
    monkeypatch.setattr(columnar, '_AT_ONCE', columnar._AT_ONCE // 10)
    monkeypatch.setattr(columnar, '_BATCH_CELLS', columnar._BATCH_CELLS // 10)
    monkeypatch.setattr(columnar, 'parquet_options', lambda longest: parquet_options(10 * longest))


@pytest.mark.parametrize(
    ('kind', 'columns'), [('parquet', 1200), ('parquet', 2100), ('feather', 120), ('feather', 210)]
)
@pytest.mark.slow
def test_wide_tables_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, columns: int) -> None:
    rows = 3
    if columns < 1000:
        narrow(monkeypatch)
    table = read(written(tmp_path, kind, columns=columns, rows=rows), name=f'x.{kind}', workdir=tmp_path / 'work')
    assert (table.rows_read, len(table.names), table.hints['ds'], table.hints['s5']) == (
        rows, columns, 'timestamp', 'double',
    )  # fmt: skip
    last = pq.read_table(table.path).slice(rows - 1).to_pylist()[0]
    assert (last['_line'], last['c0'], last['c1'], last[f'c{columns - 1}']) == (
        rows, '2020-01-01 02:00:00', f'{rows}.0', f'{columns + rows - 2}.0',
    )  # fmt: skip
    assert not list((tmp_path / 'work').glob('strip*'))


@pytest.mark.slow
def test_strips_stay_side_by_side_over_many_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch)
    path = written(tmp_path, 'parquet', columns=151, rows=2500)
    table = read(path, name='x.parquet', workdir=tmp_path / 'work')
    assert pq.ParquetFile(table.path).num_row_groups > 2
    stored = pq.read_table(table.path, columns=['_line', 'c1', 'c150'])
    assert stored['_line'].to_pylist() == list(range(1, 2501))
    assert stored['c1'].to_pylist() == [f'{row + 1}.0' for row in range(2500)]
    assert stored['c150'].to_pylist() == [f'{row + 150}.0' for row in range(2500)]


def test_more_columns_than_allowed_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, 'parquet', columns=30, rows=1)
    with pytest.raises(TooLarge, match='30 columns'):
        read(path, name='x.parquet', workdir=tmp_path / 'work', limits=Limits(columns=20))


@pytest.mark.parametrize('kind', [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.binary(1000)])
def test_a_dictionary_of_texts_of_any_kind_is_counted_once_a_row(tmp_path: Path, kind: pa.DataType) -> None:
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), pa.array([b'x' * 1000]).cast(kind))
    refused(tmp_path, texts)


def test_views_of_one_text_are_counted_once_a_row(tmp_path: Path) -> None:
    few = pa.array(['a', None, 'a text of more than twelve bytes'], pa.string_view())
    path = arrow(tmp_path, few.slice(1))
    assert read(path, name='x.feather', workdir=tmp_path / 'work').rows_read == 2
    _, view, text = pa.array(['x' * 1000], pa.string_view()).buffers()
    views = pa.py_buffer(view.to_pybytes()[:16] * 2000)
    refused(tmp_path, pa.Array.from_buffers(pa.string_view(), 2000, [None, views, text]))


@pytest.mark.parametrize(
    'column',
    [
        pa.RunEndEncodedArray.from_arrays(pa.array([5], pa.int32()), pa.array(['x'])),
        pa.DictionaryArray.from_arrays(pa.array([0, 0]), pa.array([['x']])),
        pa.DictionaryArray.from_arrays(pa.array([0, 0]), pa.array(['x'], pa.string_view())),
        pa.array([['x'], ['x']], pa.list_view(pa.string())),
        pa.array([['x'], ['x']], pa.list_(pa.dictionary(pa.int32(), pa.string()))),
    ],
    ids=lambda column: str(column.type),
)
def test_columns_whose_size_cannot_be_told_are_refused(tmp_path: Path, column: pa.Array) -> None:
    with pytest.raises(NotSupported, match=r'Column "y" of x\.feather is of a kind that is not read.*Write it as'):
        read(arrow(tmp_path, column), name='x.feather', workdir=tmp_path / 'work')


def test_a_feather_file_for_which_memory_does_not_suffice_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise pa.ArrowMemoryError('malloc of size 64 failed')

    monkeypatch.setattr(columnar, '_check_texts', full)
    with pytest.raises(TooLarge, match='smaller record batches'):
        read(arrow(tmp_path, pa.array(['a'])), name='x.feather', workdir=tmp_path / 'work')


@pytest.mark.parametrize('kind', ['parquet', 'feather'])
@pytest.mark.parametrize('wide', [columnar.WIDE, 2])
def test_nul_characters_are_taken_out_and_told(
    tmp_path: Path, kind: str, wide: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columnar, 'WIDE', wide)
    monkeypatch.setattr(columnar, '_AT_ONCE', 2)
    table = pa.table(
        {
            'y': [1.5, 2.5, 3.5],
            'n\0x': ['a', 'b', 'c'],
            's': pa.array([None, 'k\0l', 'm']).dictionary_encode(),
            'words': [['a'], ['a'], ['\0b']],
        }
    )
    path = tmp_path / f'x.{kind}'
    if kind == 'parquet':
        pq.write_table(table, path)
    else:
        feather.write_feather(table, str(path))
    found = read(path, name=path.name, workdir=tmp_path / 'work')
    assert (found.names, found.header) == (('y', 'nx', 's', 'words'),) * 2
    assert found.notes == ('NUL characters were taken out of the names of columns: nx.',)
    stored = pq.read_table(found.path)
    assert (stored['c2'].to_pylist(), stored['c3'].to_pylist()) == ([None, 'kl', 'm'], ['[a]', '[a]', '[b]'])
    assert stored['_flag'].to_pylist() == [0, 1, 1]
    assert found.faults_path is not None
    told = pq.read_table(found.faults_path).select(['line', 'kind', 'value', 'action']).to_pylist()
    assert [tuple(fault.values()) for fault in told] == [
        (2, 'nul_byte', '2.5,b,kl,[a]', 'repaired'),
        (3, 'nul_byte', '3.5,c,m,[b]', 'repaired'),
    ]


def arrow(folder: Path, column: pa.Array) -> Path:
    """An Arrow file of one column."""
    path = folder / 'x.feather'
    table = pa.table({'y': column})
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    return path


def refused(folder: Path, column: pa.Array) -> None:
    """A column that holds two million bytes when every row has its own is refused where a million are allowed."""
    limits = Limits(bytes=10**6)
    with pytest.raises(TooLarge, match='unpacks to more than is allowed'):
        read(arrow(folder, column), name='x.feather', workdir=folder / 'work', limits=limits)
