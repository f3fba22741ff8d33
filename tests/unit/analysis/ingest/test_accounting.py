"""accepted + repaired + rejected = read, whatever the table holds."""

import csv
import io
import tempfile
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.analysis.ingest import Options, convert, inspect
from core.analysis.ingest.rawtable import FaultAction, FaultKind
from core.analysis.ingest.rejects import CellFault
from core.errors import UnusableData

pytestmark = pytest.mark.slow

TIMES = st.one_of(
    st.datetimes().map(str),
    st.dates().map(str),
    st.sampled_from(
        ['', 'NA', '2024-02-30', 'soon', '2024-03-31 02:30', '2024-01-01T00:00:00+02:00', '1e9', '31/12/2024']
    ),
)
NUMBERS = st.one_of(
    st.integers(-1000, 1000).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(str),
    st.sampled_from(['', 'NA', '1,5', '1_000', '1e400', 'x', '007', '12%', ' 5 ', '−3']),
)
KEYS = st.sampled_from(['a', 'b', 'c', '', 'NA', 'ü "q"', '=1+1'])
ROWS = st.lists(st.tuples(TIMES, KEYS, NUMBERS, NUMBERS), min_size=1, max_size=30)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=ROWS, zone=st.sampled_from(['UTC', 'Europe/Paris']))
def test_every_row_is_accounted_for(rows: list[tuple[str, ...]], zone: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'file.csv'
        into = Path(folder) / 'version'
        into.mkdir()
        clean = [('2024-01-01 00:00', 'a', '1', '2.5'), ('2024-01-01 01:00', 'a', '2', '3.5')]
        path.write_text(_text([('ds', 'unique_id', 'y', 'z'), *clean, *rows]), encoding='utf-8')
        options = Options(time_zone=zone, roles={'ds': 'time', 'unique_id': 'series', 'y': 'measure', 'z': 'measure'})
        report = inspect(path, name='file.csv', options=options)
        assert report['rows_accepted'] + report['rows_repaired'] + report['rows_rejected'] == report['rows_read']
        assert report['rows_read'] == sum(any(cell.strip() for cell in row) for row in rows) + len(clean)
        assert report['faults_total'] == len(report['faults'])
        assert {fault['kind'] for fault in report['faults']} <= {*FaultKind, *CellFault}
        assert {fault['action'] for fault in report['faults']} <= {*FaultAction}
        # Each row that is not stored as read has a fault at its line, and no other row has.
        marked = {fault['line'] for fault in report['faults']}
        assert len(marked) == report['rows_repaired'] + report['rows_rejected']
        rejected = {fault['line'] for fault in report['faults'] if fault['action'] == 'rejected'}
        assert len(rejected) == report['rows_rejected']
        manifest = convert(path, name='file.csv', into=into, options=options, progress=lambda share, text: None)
        stored = {row[0] for row in duckdb.sql(f"SELECT _line FROM '{into}/data-*.parquet'").fetchall()}
        assert len(stored) == manifest.rows_accepted + manifest.rows_repaired
        assert not stored & rejected


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(table=st.lists(st.lists(st.one_of(TIMES, NUMBERS, KEYS), min_size=3, max_size=3), min_size=2, max_size=20))
def test_any_table_adds_up_when_nothing_is_known_about_it(table: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'file.csv'
        path.write_text(_text(table), encoding='utf-8')
        try:
            report = inspect(path, name='file.csv', options=Options())
        except UnusableData:
            return
        assert report['rows_accepted'] + report['rows_repaired'] + report['rows_rejected'] == report['rows_read']


def _text(rows: list[tuple[str, ...]] | list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator='\n').writerows(rows)
    return out.getvalue()


def test_the_docs_list_every_kind_and_action() -> None:
    text = (Path(__file__).parents[4] / 'docs' / 'faults.md').read_text(encoding='utf-8')
    named = {line.split('`')[1] for line in text.splitlines() if line.startswith('| `')}
    assert named == {*FaultKind, *CellFault, *FaultAction}
