"""JSON of any layout becomes the table that a person sees in it, and what is left out is told."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from core.analysis.ingest.rawtable import RawTable
from core.analysis.ingest.reader import read, write_raw_csv
from core.errors import UnreadableFile

Reader = Callable[..., RawTable]
TWO = [['ds', 'y'], ['2024-01-01', '1'], ['2024-01-02', '2']]
RECORDS = '[{"ds": "2024-01-01", "y": 1}, {"ds": "2024-01-02", "y": 2}]'


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    def open_text(text: str, memory: int = 512 * 2**20) -> RawTable:
        path = tmp_path / 'upload'
        path.write_text(text)
        return read(path, name='upload.json', workdir=tmp_path / 'work', memory=memory)

    return open_text


def raw(table: RawTable) -> list[list[str]]:
    out = table.path.with_name('out.csv')
    write_raw_csv(table, out)
    return list(csv.reader(io.StringIO(out.read_text(), newline='')))


@pytest.mark.parametrize(
    ('text', 'beside'),
    [
        (f'{{"data": {RECORDS}}}', ''),
        (f'{{"meta": {{"units": [{{"y": "kg"}}, {{"z": "g"}}]}}, "data": {RECORDS}}}', 'meta'),
        (f'{{"status": "ok", "result": {{"count": 2, "items": {RECORDS}}}}}', 'status, count'),
        (f'{{"schema": {{"fields": [{{"name": "ds"}}, {{"name": "y"}}]}}, "data": {RECORDS}}}', 'schema'),
        ('{"zone": "UTC", "hourly": {"ds": ["2024-01-01", "2024-01-02"], "y": [1, 2]}}', 'zone'),
        ('{"columns": ["ds", "y"], "index": [0, 1], "data": [["2024-01-01", 1], ["2024-01-02", 2]]}', ''),
        ('{"ds": {"0": "2024-01-01", "1": "2024-01-02"}, "y": {"0": 1, "1": 2}}', ''),
    ],
)
def test_the_table_in_an_object_is_found_and_what_stands_beside_it_is_told(
    reader: Reader, text: str, beside: str
) -> None:
    table = reader(text)
    assert raw(table) == TWO
    assert table.notes[0].endswith(f'left out: {beside}.') if beside else not table.notes, table.notes


@pytest.mark.parametrize(
    ('text', 'rows'),
    [
        ('{"2024-01-01": {"y": 1}, "2024-01-02": {"y": 2, "z": 3}}', [['key', 'y', 'z'], ['2024-01-01', '1', '']]),
        ('{"2024-01-01": 1.50, "2024-01-02": 2}', [['key', 'value'], ['2024-01-01', '1.50']]),
        (
            '{"a": [{"ds": "2024-01-01", "y": 1}], "b": [{"ds": "2024-01-01", "y": 2}]}',
            [['key', 'ds', 'y'], ['a', '2024-01-01', '1']],
        ),
        ('{"columns": ["y"], "index": ["x", "z"], "data": [[1], [2]]}', [['index', 'y'], ['x', '1']]),
        (
            '{"y": {"17040672": 1, "17041536": 2}, "z": {"17040672": 3, "17041536": 4}}',
            [['index', 'y', 'z'], ['17040672', '1', '3']],
        ),
        (
            '{"Series (Daily)": {"2024-01-02": {"open": "1"}, "2024-01-01": {"open": "2"}}}',
            [['key', 'open'], ['2024-01-02', '1']],
        ),
        ('{"values": [["2024-01-01", 1], ["2024-01-02", 2]]}', [['column_1', 'column_2'], ['2024-01-01', '1']]),
    ],
)
def test_keys_that_say_something_become_a_column(reader: Reader, text: str, rows: list[list[str]]) -> None:
    table = reader(text)
    assert raw(table)[:2] == rows
    assert (table.rows_read, table.rejected) == (2, 0)


def test_features_are_records(reader: Reader) -> None:
    place = '"geometry": {"type": "Point", "coordinates": [1.50, 2]}'
    features = ', '.join(f'{{"properties": {{"ds": "2024-01-0{day}", "y": {day}}}, {place}}}' for day in (1, 2))
    table = reader(f'{{"type": "FeatureCollection", "features": [{features}]}}')
    assert raw(table)[:2] == [
        ['properties.ds', 'properties.y', 'geometry.type', 'geometry.coordinates'],
        ['2024-01-01', '1', 'Point', '[1.50, 2]'],
    ]


def test_timed_records_within_elements_become_records(reader: Reader) -> None:
    text = f'[{{"id": "a", "readings": {RECORDS}}}, {{"id": "b", "readings": [{{"ds": "2024-01-03", "y": 3}}]}}]'
    assert raw(reader(text)) == [
        ['id', 'ds', 'y'], ['a', '2024-01-01', '1'], ['a', '2024-01-02', '2'], ['b', '2024-01-03', '3'],
    ]  # fmt: skip


def test_tags_of_a_timed_record_are_no_records(reader: Reader) -> None:
    text = '{"ds": "2024-01-01", "y": 1, "tags": [{"t": "a"}, {"t": "b"}]}\n' * 2
    table = reader(text)
    assert (table.rows_read, raw(table)[1]) == (2, ['2024-01-01', '1', '[{"t": "a"}, {"t": "b"}]'])


def test_lines_with_arrays_of_objects_are_all_read(reader: Reader) -> None:
    long = json.dumps({'id': 0, 'tags': [{'t': 'x' * 100}] * 1000})
    table = reader(long + '\n{"id": 1, "tags": [{"t": "b"}]}\n')
    assert (table.format, table.rows_read, table.names) == ('jsonl', 2, ('id', 'tags'))


def test_no_value_is_lost_where_keys_meet(reader: Reader) -> None:
    assert raw(reader('{"a": 1, "a": 2}\n{"a": 3}\n')) == [['a', 'a_2'], ['1', '2'], ['3', '']]
    assert raw(reader('[{"a.b": 1, "a": {"b": 2}}]'))[1] == ['1', '2']


def test_records_below_a_name_keep_their_lines(reader: Reader) -> None:
    table = reader('{"units": [{"y": "é"}],\n"data": [\n{"a": "é", "b": 1},\n{"a": "ü", "b": 2}\n]}')
    assert duckdb.execute('SELECT _line FROM read_parquet(?)', [str(table.path)]).fetchall() == [(3,), (4,)]


@pytest.mark.slow
def test_a_file_too_large_to_be_taken_as_one_object_is_read_as_it_comes(reader: Reader) -> None:
    rows = ',\n'.join(f'{{"ds": "2024-01-01", "y": {n}}}' for n in range(40_000))
    table = reader(f'{{"meta": [{{"unit": "kg"}}], "data": [{rows}]}}', memory=2**23)
    assert (table.rows_read, table.names) == (40_000, ('ds', 'y'))
    assert table.notes == ('The first long array of objects was read; what the file holds besides was left out.',)


@pytest.mark.parametrize('tail', ['\\"' * 500_000, '\\"' * 500_000 + '\\\n', '"b" ' * 250_000])
def test_an_object_that_breaks_off_within_its_quotes_is_refused_soon(reader: Reader, tail: str) -> None:
    with pytest.raises(UnreadableFile):
        reader('{"a":' + tail)


def test_records_under_a_name_are_found_behind_escaped_quotes(reader: Reader) -> None:
    table = reader(
        '{"note": "a \\"b\\": [{", "data": [{"ds": "2024-01-01", "y": 1}, {"ds": "2024-01-02", "y": 2}, {"ds"'
    )
    assert raw(table) == TWO


def test_an_object_that_a_record_lacks_is_no_column(reader: Reader) -> None:
    lines = ''.join(f'{{"t": "2024-01-0{i}", "read": {{"a": {i}}}, "none": null}}\n' for i in range(1, 8))
    found = reader(lines + '{"t": "2024-01-08", "read": null, "none": null}\n')
    assert (found.names, found.rows_read) == (('t', 'read.a', 'none'), 8)


ODD = ('{"k\\u0000": "a\\u0000b", "h\\ud800": "x"}', '{"k\\u0000": "c\\ud83d\\ude00", "h\\ud800": "\\udc00"}')
PLAIN = [['k', 'h\ufffd'], ['ab', 'x'], ['c😀', '\ufffd']]


@pytest.mark.parametrize(
    ('text', 'lines'),
    [
        ('\n'.join(ODD), (1, 2)),
        (f'[{ODD[0]},\n{ODD[1]}]', (1, 2)),
        (f'{{"data\\u0000": [\n{ODD[0]},\n{ODD[1]}]}}', (2, 3)),
        ('[["k\\u0000", "h\\ud800"],\n["a\\u0000b", "x"],\n["c\\ud83d\\ude00", "\\udc00"]]', (2, 3)),
    ],
)
def test_what_no_text_can_hold_is_taken_out_and_told(reader: Reader, text: str, lines: tuple[int, int]) -> None:
    table = reader(text)
    assert raw(table) == PLAIN
    flags = duckdb.execute('SELECT _flag FROM read_parquet(?)', [str(table.path)]).fetchall()
    told = duckdb.execute(
        'SELECT line, "column", kind, action FROM read_parquet(?)', [str(table.faults_path)]
    ).fetchall()
    assert flags == [(1,), (1,)]
    assert sorted(told) == sorted(
        [
            (lines[0], 'k', 'nul_byte', 'repaired'),
            (lines[0], 'k', 'nul_byte', 'repaired'),
            (lines[0], 'h\ufffd', 'bad_encoding', 'repaired'),
            (lines[1], 'h\ufffd', 'bad_encoding', 'repaired'),
        ]
    )


def test_keys_that_differ_in_a_nul_alone_are_two_columns(reader: Reader) -> None:
    assert raw(reader('{"a": 1, "a\\u0000": 2}\n{"a": 3}\n')) == [['a', 'a_'], ['1', '2'], ['3', '']]


def test_what_stands_beside_a_table_is_named_without_nul(reader: Reader) -> None:
    (note,) = reader(f'{{"m\\u0000": [1], "data": {RECORDS}}}').notes
    assert note.endswith('was left out: m.')
