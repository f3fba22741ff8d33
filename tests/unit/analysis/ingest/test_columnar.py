"""Parquet and Feather with thousands of columns are read as tables of text are."""

from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from core.analysis.ingest.rawtable import Limits
from core.analysis.ingest.reader import read
from core.errors import TooLarge

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


@pytest.mark.parametrize('kind', ['parquet', 'feather'])
@pytest.mark.parametrize(('columns', 'rows'), [(1200, 3), (2100, 3)])
def test_wide_tables_are_read(tmp_path: Path, kind: str, columns: int, rows: int) -> None:
    table = read(written(tmp_path, kind, columns=columns, rows=rows), name=f'x.{kind}', workdir=tmp_path / 'work')
    assert (table.rows_read, len(table.names), table.hints['ds'], table.hints['s5']) == (
        rows, columns, 'timestamp', 'double',
    )  # fmt: skip
    last = pq.read_table(table.path).slice(rows - 1).to_pylist()[0]
    assert (last['_line'], last['c0'], last['c1'], last[f'c{columns - 1}']) == (
        rows, '2020-01-01 02:00:00', f'{rows}.0', f'{columns + rows - 2}.0',
    )  # fmt: skip
    assert not list((tmp_path / 'work').glob('strip*'))


def test_strips_stay_side_by_side_over_many_row_groups(tmp_path: Path) -> None:
    path = written(tmp_path, 'parquet', columns=1501, rows=2500)
    table = read(path, name='x.parquet', workdir=tmp_path / 'work')
    stored = pq.read_table(table.path, columns=['_line', 'c1', 'c1500'])
    assert stored['_line'].to_pylist() == list(range(1, 2501))
    assert stored['c1'].to_pylist() == [f'{row + 1}.0' for row in range(2500)]
    assert stored['c1500'].to_pylist() == [f'{row + 1500}.0' for row in range(2500)]


def test_more_columns_than_allowed_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, 'parquet', columns=30, rows=1)
    with pytest.raises(TooLarge, match='30 columns'):
        read(path, name='x.parquet', workdir=tmp_path / 'work', limits=Limits(columns=20))
