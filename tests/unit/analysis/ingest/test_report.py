"""The report of faults: bytes, groups and the CSV of all."""

import csv
from pathlib import Path

import duckdb
import numpy as np
import pytest

from core.analysis import tables
from core.analysis.ingest import Options, convert, report
from tests.unit.analysis.ingest.reading import converted

GOOD = ''.join(f'2024-01-{day:02};é;{day}\n' for day in range(1, 29))
TEXT = f'ds;id;y\n{GOOD}2024-02-01;é;x\n2024-02-02;é;=1+1\n2024-02-03;é;x\nsoon;é;4\n'


def test_every_fault_names_the_byte_at_which_its_record_begins(tmp_path: Path) -> None:
    _, into = converted(tmp_path, TEXT, keep_unmeasured=True)
    data = (tmp_path / 'file.csv').read_bytes()
    found = duckdb.sql(f"SELECT line, byte FROM '{into}/faults.parquet'").fetchall()
    assert [line for line, _ in found] == [30, 31, 32, 33]
    assert [data[byte:].split(b'\n')[0] for _, byte in found] == data.splitlines()[29:33]


def test_lines_are_found_across_blocks(tmp_path: Path) -> None:
    source = tmp_path / 'file.csv'
    long = 'x' * 200
    rows = ''.join(f'2024-01-01 {i // 3600:02}:{i // 60 % 60:02}:{i % 60:02},{i},{long}\n' for i in range(6_000))
    source.write_text(f'ds,y,z\n{rows}2024-01-02 00:00:00,x,\n2024-01-02 00:00:01,5,\n2024-01-02 00:00:02,y,\n')
    into = tmp_path / 'version'
    into.mkdir()
    convert(source, name='file.csv', into=into, options=Options(), progress=lambda share, text: None)
    data = source.read_bytes()
    bytes_of = dict(duckdb.sql(f"SELECT line, byte FROM '{into}/faults.parquet'").fetchall())
    assert [data[byte:].split(b'\n')[0] for byte in bytes_of.values()] == [
        b'2024-01-02 00:00:00,x,',
        b'2024-01-02 00:00:02,y,',
    ]
    assert len(data) > report.BLOCK
    assert list(bytes_of) == [6_002, 6_004]


def test_faults_are_grouped_the_largest_group_first(tmp_path: Path) -> None:
    manifest, _ = converted(tmp_path, TEXT, keep_unmeasured=True)
    assert [dict(group) for group in manifest.faults_summary] == [
        {'kind': 'not_a_number', 'column': 'y', 'action': 'emptied', 'count': 3, 'line': 30, 'value': 'x'},
        {'kind': 'not_a_time', 'column': 'ds', 'action': 'rejected', 'count': 1, 'line': 33, 'value': 'soon'},
    ]


def test_the_csv_holds_every_fault_and_no_formula(tmp_path: Path) -> None:
    _, into = converted(tmp_path, TEXT, keep_unmeasured=True)
    out = tmp_path / 'faults.csv'
    tables.export([into / 'faults.parquet'], out)
    with out.open(encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(report.COLUMNS)
    assert [(row['line'], row['column'], row['value']) for row in rows] == [
        ('30', 'y', 'x'),
        ('31', 'y', "'=1+1"),
        ('32', 'y', 'x'),
        ('33', 'ds', 'soon'),
    ]


def test_the_summary_holds_no_nul_that_a_database_would_refuse(tmp_path: Path) -> None:
    rows = ''.join(f'2024-01-{day:02},{day}\n' for day in range(1, 29))
    manifest, _ = converted(tmp_path, f'ds,y\n{rows}2024-02-01\0,\0{1}\n')
    (group,) = manifest.faults_summary
    assert (group['kind'], group['value']) == ('nul_byte', '2024-02-01␀,␀1')


@pytest.mark.parametrize('newline', ['\n', '\r\n'])
def test_the_bytes_are_those_of_each_line_whatever_a_block_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newline: str
) -> None:
    days = [f'2024-01-{day:02},{day}' for day in range(1, 29)]
    text = newline.join(['ds,y', *days, *days[:3], '2024-02-01,x', *days[5:], ''])
    monkeypatch.setattr(report, 'BLOCK', 7)
    _, into = converted(tmp_path, text, duplicates='first')
    lengths = [len(line) for line in (tmp_path / 'file.csv').read_bytes().splitlines(keepends=True)]
    begun = {line: sum(lengths[: line - 1]) for line in range(30, 57)}
    assert duckdb.sql(f"SELECT line, byte FROM '{into}/faults.parquet'").fetchall() == list(begun.items())
    for block in (1, 64, 2**20):
        monkeypatch.setattr(report, 'BLOCK', block)
        starts = report._starts(tmp_path / 'file.csv', np.array([*begun]))
        assert (block, starts.tolist()) == (block, [*begun.values()])
