"""Every class of dirty files reads as the table that it means, with its faults at their lines."""

import csv
from pathlib import Path

import duckdb
import pytest

from core.analysis.ingest.rawtable import FaultKind
from core.analysis.ingest.reader import read, write_raw_csv
from tests.dirty import CLASSES, files

pytestmark = pytest.mark.slow

READ = {kind.value for kind in FaultKind}


@pytest.mark.parametrize('defect', CLASSES)
def test_dirty_file_reads_as_the_table_it_means(tmp_path: Path, defect: str) -> None:
    csv.field_size_limit(2**27)
    for file in files(sizes=('small',), classes=(defect,)):
        path, out = tmp_path / file.name, tmp_path / 'out.csv'
        path.write_bytes(file.data)
        table = read(path, name=file.name, workdir=tmp_path / 'work')
        write_raw_csv(table, out)
        with out.open(encoding='utf-8', newline='') as text:
            assert list(csv.reader(text)) == file.table
        assert table.named == file.named
        found = []
        if table.faults_path is not None:
            found = duckdb.execute('SELECT line, kind FROM read_parquet(?)', [str(table.faults_path)]).fetchall()
        if defect.startswith('mixture'):
            continue
        assert sorted(set(found)) == sorted({(fault.line, fault.kind) for fault in file.faults if fault.kind in READ})


def test_files_are_the_same_for_a_seed() -> None:
    first, again = (list(files(sizes=('small',), classes=('sales', 'row_short', 'quote_all'))) for _ in range(2))
    other = list(files(8, sizes=('small',), classes=('row_short',)))
    assert first == again
    assert [file.data for file in first if file.defect == 'row_short'] != [file.data for file in other]
