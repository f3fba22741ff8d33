"""Foreign files become one raw table: what a careful human would say the table is, and nothing lost in silence."""

import bz2
import csv
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pyarrow as pa
import pytest
from pyarrow import feather

from core.analysis.ingest import delimited
from core.analysis.ingest.careful import Careful
from core.analysis.ingest.rawtable import Chosen, Limits, RawTable
from core.analysis.ingest.reader import read, write_raw_csv
from core.errors import NotSupported, TooLarge, UnreadableFile, UsageError

Reader = Callable[..., RawTable]

CLEAN = 'ds,y,s\n2020-01-01,1.5,a\n2020-01-02,2.5,b\n2020-01-03,3.5,c\n2020-01-04,4.5,d\n'
ROWS = [['ds', 'y', 's'], *([f'2020-01-0{i}', f'{i}.5', 'abcd'[i - 1]] for i in range(1, 5))]


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    def open_bytes(data: str | bytes, **options: Any) -> RawTable:
        path = tmp_path / 'upload'
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return read(path, name='upload.csv', workdir=tmp_path / 'work', **options)

    return open_bytes


def raw(table: RawTable) -> list[list[str]]:
    """The header and the records as `convert --raw` writes them."""
    out = table.path.with_name('out.csv')
    write_raw_csv(table, out)
    csv.field_size_limit(2**24)
    return list(csv.reader(io.StringIO(out.read_bytes().decode(), newline='')))


def lines(table: RawTable) -> list[tuple[int, int]]:
    return duckdb.execute('SELECT _line, _flag FROM read_parquet(?)', [str(table.path)]).fetchall()


def faults(table: RawTable) -> list[tuple[Any, ...]]:
    if table.faults_path is None:
        return []
    query = 'SELECT line, kind, action, value FROM read_parquet(?)'
    return duckdb.execute(query, [str(table.faults_path)]).fetchall()


def test_clean_file_is_read_as_it_stands(reader: Reader) -> None:
    table = reader(CLEAN)
    assert raw(table) == ROWS
    assert (table.names, table.named, table.header_line, table.rows_read) == (('ds', 'y', 's'), True, 1, 4)
    assert lines(table) == [(2, 0), (3, 0), (4, 0), (5, 0)]
    assert (table.encoding, table.dialect.delimiter, table.dialect.newline) == ('utf-8', ',', '\n')
    assert table.notes == ()


@pytest.mark.parametrize(
    'text',
    [
        CLEAN.rstrip('\n'),
        CLEAN + '\n',
        CLEAN + '\n\n\n',
        '\n' + CLEAN,
        CLEAN.replace('\n', '\r\n'),
        CLEAN.replace('\n', '\r'),
        CLEAN.replace('\n2020-01-03', '\r\n2020-01-03'),
        CLEAN.replace('\n2020-01-03', '\n\n2020-01-03'),
        CLEAN.replace(',', ';'),
        CLEAN.replace(',', '\t'),
        CLEAN.replace(',', '|'),
        CLEAN.replace(',', '\t\t'),
        CLEAN.replace(',', '||'),
        CLEAN.replace(',', ' '),
        CLEAN.replace(',', '   '),
        CLEAN.replace(',', ', '),
        CLEAN.replace(',', ' , '),
        'sep=;\n' + CLEAN.replace(',', ';'),
        '# made by a program\n# on a day\n' + CLEAN,
        'Report of sales\nprinted 2021\n\n' + CLEAN,
        'Report of sales,,\n,,\n' + CLEAN,
        CLEAN + 'Source: the office, 2021\n',
        CLEAN + '\nnote,,\n',
        CLEAN + ',,\n,,\n',
        CLEAN + '\nk;v\n1;2\n3;4\n5;6\n',
        CLEAN + '\nk,v\n1,2\n3,4\n5,6\n',
        CLEAN + '\nday,level,place\n2021-01-01,1,x\n2021-01-02,2,y\n',
        CLEAN.replace('2020-01-03', '# a remark\n2020-01-03'),
        CLEAN.replace('2020-01-03', 'ds,y,s\n2020-01-03'),
        CLEAN.replace('\n', ',\n').replace('s,\n', 's\n', 1),
        CLEAN.replace('1.5', '"1.5"').replace('2.5', '"2.5"'),
        CLEAN.replace('1.5', "'1.5'").replace('2.5', "'2.5'").replace('3.5', "'3.5'").replace('4.5', "'4.5'"),
        CLEAN.replace('2020-01-03,', '2020-01-03,\0'),
    ],
)  # fmt: skip
def test_table_inside_is_found(reader: Reader, text: str) -> None:
    assert raw(reader(text)) == ROWS


@pytest.mark.parametrize(
    ('data', 'encoding'),
    [
        (CLEAN.encode('utf-8-sig'), 'utf-8-sig'),
        (CLEAN.encode('utf-16'), 'utf-16-le'),
        (CLEAN.encode('utf-16-le'), 'utf-16-le'),
        (CLEAN.encode('utf-16-be'), 'utf-16-be'),
        (b'\xfe\xff' + CLEAN.encode('utf-16-be'), 'utf-16-be'),
        (CLEAN.replace('a\n', 'größe\n').encode('cp1252'), 'cp1252'),
        (CLEAN.replace('a\n', 'caf\x81é\n').encode('latin-1'), 'latin-1'),
        (CLEAN.replace('a\n', '東京カタカナ\n').encode('cp932'), 'shift_jis'),
        (CLEAN.replace('a\n', '北京市上海市\n').encode('gb18030'), 'gb18030'),
        (CLEAN.replace('a\n', '臺中的溫度測量\n').encode('big5'), 'big5'),
        (CLEAN.replace('a\n', '名古屋で観測された値\n').encode('euc_jp'), 'euc_jp'),
        (CLEAN.replace('a\n', 'wartość złoty Gdańsk Łódź źródło żółw\n').encode('cp1250'), 'cp1250'),
        (CLEAN.replace('a\n', 'cœur à sœur bœuf\n').encode('cp1252'), 'cp1252'),
        (CLEAN.replace('a\n', '20 °C, 3 m³ à côté\n').replace('20 °C,', '20 °C').encode('cp1252'), 'cp1252'),
    ],
)
def test_encoding_is_found(reader: Reader, data: bytes, encoding: str) -> None:
    table = reader(data)
    assert table.encoding == encoding
    codec = {'shift_jis': 'cp932'}.get(encoding, encoding)
    assert raw(table) == list(csv.reader(data.decode(codec).lstrip('\ufeff').splitlines()))


def test_a_broken_byte_does_not_change_the_encoding(reader: Reader) -> None:
    rows = ''.join(f'2020-01-{day:02},{day},東京ソ表示\n' for day in range(1, 29)).encode('cp932')
    table = reader(b'ds,y,s\n' + rows.replace(b'2020-01-07,7,', b'2020-01-07,7,\xfd'))
    assert (table.encoding, raw(table)[7][2]) == ('shift_jis', '\ufffd東京ソ表示')
    assert [fault[:3] for fault in faults(table)] == [(8, 'bad_encoding', 'repaired')]


def test_broken_bytes_are_replaced_and_listed(reader: Reader) -> None:
    text = CLEAN.replace('a\n', 'ätöß über\n').replace('b\n', 'größer\n').encode()
    table = reader(text.replace(b',c\n', b',\xff\n'))
    assert table.encoding == 'utf-8'
    assert raw(table)[3] == ['2020-01-03', '3.5', '\ufffd']
    assert [fault[:3] for fault in faults(table)] == [(4, 'bad_encoding', 'repaired')]


@pytest.mark.parametrize(
    ('old', 'new', 'row', 'fault'),
    [
        ('2020-01-03,3.5,c', '2020-01-03,3.5', ['2020-01-03', '3.5', ''], ('short_row', 'repaired')),
        ('2020-01-03,3.5,c', '2020-01-03,,3.5,c', ['2020-01-03', '3.5', 'c'], ('long_row', 'repaired')),
        ('2020-01-03,3.5,c', '2020-01-03,3.5,c,', ['2020-01-03', '3.5', 'c'], ('long_row', 'repaired')),
        ('2020-01-03,3.5,c', ',2020-01-03,3.5,c', ['2020-01-03', '3.5', 'c'], ('long_row', 'repaired')),
        ('2020-01-03,3.5,c', '2020-01-03,3.5,c,d', ['2020-01-03', '3.5', 'c'], ('long_row', 'truncated')),
        ('2020-01-03,3.5,c', '2020-01-03;3.5;c', ['2020-01-03', '3.5', 'c'], ('other_delimiter', 'repaired')),
        ('2020-01-03,3.5,c', '2020-01-03,"3.5,c', ['2020-01-03', '"3.5', 'c'], ('unterminated_quote', 'repaired')),
        ('2020-01-03,3.5,c', '2020-01-03,3.5,"c "x" d"', ['2020-01-03', '3.5', 'c "x" d'], ('stray_quote', 'repaired')),
        ('2020-01-03,3.5,c', '"2020-01-03",3.5,"c', ['2020-01-03', '3.5', '"c'], ('unterminated_quote', 'repaired')),
        ('2020-01-03,3.5,c', '2020-01-03,"3.5"x,c', ['2020-01-03', '"3.5"x', 'c'], ('stray_quote', 'repaired')),
        ('2020-01-03,3.5,c', '2020-01-03,3.5,""c"', ['2020-01-03', '3.5', '"c'], ('stray_quote', 'repaired')),
    ],
)  # fmt: skip
def test_damaged_record_is_repaired_and_listed(
    reader: Reader, old: str, new: str, row: list[str], fault: tuple[str, str]
) -> None:
    table = reader(CLEAN.replace(old, new))
    assert raw(table) == [*ROWS[:3], row, ROWS[4]]
    assert lines(table) == [(2, 0), (3, 0), (4, 1), (5, 0)]
    assert [found[:3] for found in faults(table)] == [(4, *fault)]
    assert table.rows_read == 4


def test_cell_split_by_bare_delimiter_is_joined(reader: Reader) -> None:
    table = reader('ds,place,y\n2020-01-01,Rome,1.5\n2020-01-02,Paris, France,2.5\n2020-01-03,Bonn,3.5\n')
    assert raw(table)[2] == ['2020-01-02', 'Paris, France', '2.5']
    assert faults(table) == [(3, 'long_row', 'repaired', 'Paris, France')]


def test_two_open_quotes_do_not_swallow_the_rows_between(reader: Reader) -> None:
    body = [f'2020-01-{i:02d},{i}.5,name {i}' for i in range(1, 29)]
    body[4] = '2020-01-05,"5.5,name 5'
    body[14] = '2020-01-15,15.5",name 15'
    table = reader('ds,y,s\n' + '\n'.join(body) + '\n')
    assert table.rows_read == 28
    assert [line for line, _ in lines(table)] == list(range(2, 30))
    assert {fault[0] for fault in faults(table)} == {6}


def test_quoted_line_breaks_keep_physical_lines(reader: Reader) -> None:
    table = reader('ds,y,s\n2020-01-01,1,"a\nb"\n2020-01-02,2,"c\r\nd\n\ne"\n2020-01-03,3,f\n')
    assert lines(table) == [(2, 0), (4, 0), (8, 0)]
    assert [row[2] for row in raw(table)] == ['s', 'a\nb', 'c\r\nd\n\ne', 'f']


def test_doubled_quotes_and_backslashes_are_told_apart(reader: Reader) -> None:
    doubled = reader('a,b,c\n1,"say ""hi""",x\n2,"C:\\dir\\",y\n3,"q",z\n')
    assert raw(doubled)[1:3] == [['1', 'say "hi"', 'x'], ['2', 'C:\\dir\\', 'y']]
    escaped = reader('a,b,c\n1,"say \\"hi\\", you",x\n2,"q",y\n3,"r \\"s\\"",z\n')
    assert raw(escaped)[1:] == [['1', 'say "hi", you', 'x'], ['2', 'q', 'y'], ['3', 'r "s"', 'z']]
    assert escaped.dialect.escape == '\\'


@pytest.mark.parametrize(
    ('written', 'cell'),
    [("'A''s A'", "A's A"), ("'A, B'", 'A, B'), ("'90s", "'90s"), ("the dogs'", "the dogs'"), ("A's", "A's")],
)
def test_apostrophes_quote_when_one_cell_shows_it(reader: Reader, written: str, cell: str) -> None:
    table = reader(CLEAN.replace('b\n', f'{written}\n'))
    assert (raw(table)[2][2], table.faults_path) == (cell, None)


@pytest.mark.parametrize('cell', ['x"y', 'a "b" c', '5"'])
def test_a_quote_inside_a_bare_cell_is_an_ordinary_character(reader: Reader, cell: str) -> None:
    table = reader(CLEAN.replace('c\n', f'{cell}\n'))
    assert (raw(table)[3][2], table.faults_path) == (cell, None)


@pytest.mark.parametrize('mark', [';', ',', '\t'])
def test_a_line_that_names_the_delimiter_is_no_header(reader: Reader, mark: str) -> None:
    table = reader(f'sep={mark}\nds,y\n2020-01-01,1\n2020-01-02,2\n'.replace(',', mark))
    assert (table.names, table.header_line, table.rows_read, table.notes) == (('ds', 'y'), 2, 2, ())
    assert table.dialect.delimiter == mark


def test_text_that_is_called_a_workbook_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'upload'
    path.write_bytes(CLEAN.encode())
    for name in ('a.xlsx', 'a.parquet'):
        with pytest.raises(UnreadableFile, match='inside'):
            read(path, name=name, workdir=tmp_path / 'work')


def test_semicolons_with_decimal_commas(reader: Reader) -> None:
    table = reader('ds;y;z\n2020-01-01;1,5;2,5\n2020-01-02;3,5;4,5\n')
    assert (table.dialect.delimiter, table.names) == (';', ('ds', 'y', 'z'))


@pytest.mark.parametrize('text', ['', '\n', '\r\n\r\n', ' \n', '\ufeff'])
def test_empty_file_is_answered(reader: Reader, text: str) -> None:
    table = reader(text)
    assert (table.names, table.rows_read, table.named) == ((), 0, False)
    assert raw(table) == []
    assert table.path.with_name('out.csv').read_bytes() == b''


def test_header_alone(reader: Reader) -> None:
    table = reader('ds,y,s\n')
    assert (table.names, table.rows_read, table.header_line) == (('ds', 'y', 's'), 0, 1)
    assert lines(table) == []


def test_headerless_rows_are_kept(reader: Reader) -> None:
    text = CLEAN.split('\n', 1)[1]
    table = reader(text)
    assert (table.named, table.header_line, table.names) == (False, None, ('column_1', 'column_2', 'column_3'))
    assert raw(table) == ROWS[1:]


def test_header_of_words_over_words(reader: Reader) -> None:
    table = reader('country,capital\nItaly,Rome\nFrance,Paris\nGermany,Berlin\nSpain,Madrid\nAustria,Vienna\n')
    assert table.names == ('country', 'capital')


def test_names_are_unique_and_filled(reader: Reader) -> None:
    table = reader('ds,y,Y,,column_4\n2020-01-01,1,2,3,4\n2020-01-02,1,2,3,4\n')
    assert table.names == ('ds', 'y', 'Y_2', 'column_4_2', 'column_4')
    assert raw(table)[0] == ['ds', 'y', 'Y', '', 'column_4']
    (note,) = table.notes
    assert note.endswith('but for case and blanks were given a number: "Y" is "Y_2".')


def test_blanks_in_which_names_differ_are_shown(reader: Reader) -> None:
    table = reader('ds,y,y ,a  b,A  B\n2020-01-01,1,2,3,4\n2020-01-02,1,2,3,4\n')
    (note,) = table.notes
    assert note.endswith('were given a number: "y␣" is "y_2", "A␣␣B" is "A  B_2".')


def test_units_below_the_header_are_joined(reader: Reader) -> None:
    table = reader('ds,load,temp\n,MW,°C\n2020-01-01,1,2\n2020-01-02,3,4\n')
    assert table.names == ('ds', 'load MW', 'temp °C')
    assert lines(table) == [(3, 0), (4, 0)]
    assert table.header_line == 1


def test_second_table_is_named(reader: Reader) -> None:
    table = reader(CLEAN + '\nk,v\n1,2\n3,4\n5,6\n')
    assert table.rows_read == 4
    assert table.notes == ('A second table from line 7 on was cut off: 4 filled lines were left out.',)


def daily(count: int, *, start: int = 0) -> list[str]:
    return [f'2020-01-01 {i // 60:02}:{i % 60:02},{i}.5,{i % 7},ok' for i in range(start, start + count)]


SHORT = ['2020-01-02 00:00,1.5,2'] * 5
WORDS = ['error,sensor,went,down']
WIDER = ['2020-01-02 00:00,1,2,ok,5,6']


@pytest.mark.parametrize(
    ('rows', 'count'),
    [
        ([*daily(20), *SHORT, *daily(1015)], 1040),
        ([*daily(20), *SHORT, *SHORT, *SHORT[:2], *daily(1015)], 1047),
        ([*daily(400), *SHORT[:4]], 404),
        ([*daily(1200), *SHORT], 1205),
        ([*daily(20), '', *SHORT, *daily(300)], 325),
        ([*daily(20), '', *SHORT], 25),
        ([*daily(20), '', *WIDER * 3], 23),
        ([*daily(20), 'a note', *SHORT, *daily(300)], 326),
        ([*(row + ',' for row in daily(12)), *daily(1000)], 1012),
        ([*daily(1000), *(row + ',' for row in daily(12))], 1012),
        ([*(row + ',' for row in daily(1200)), *daily(12)], 1212),
        ([*daily(20), *WORDS, *daily(1019)], 1040),
        ([*daily(20), *WORDS * 3, *daily(300)], 323),
        ([*daily(300), *WORDS, *daily(2)], 303),
        ([*WIDER, *WIDER, *daily(300)], 302),
        ([*WIDER, *WIDER, *daily(1300)], 1302),
        ([*SHORT[:3], *daily(1300)], 1303),
    ],
)  # fmt: skip
def test_damaged_rows_cut_nothing_off(reader: Reader, rows: list[str], count: int) -> None:
    table = reader('\n'.join(['ds,y,n,s', *rows, '']))
    assert (table.names, table.rows_read, table.notes) == (('ds', 'y', 'n', 's'), count, ())


@pytest.mark.parametrize('empty', [',,,', ',,', '"",,,""', ' , ,,', ',,,,,'])
@pytest.mark.parametrize('place', [0, 1, 15, 300])
def test_records_of_empty_cells_are_left_out_wherever_they_stand(reader: Reader, empty: str, place: int) -> None:
    rows = [*WIDER, *daily(299)]
    table = reader('\n'.join(['ds,y,n,s', *rows[:place], empty, empty, *rows[place:], '']))
    assert (table.names, table.rows_read) == (('ds', 'y', 'n', 's'), 300)
    assert table.notes == ('2 records of empty cells were left out.',)


@pytest.mark.parametrize(
    'second',
    [
        ['', 'k,v', '1,2', '3,4', '5,6'],
        ['k,v', 'a,b', 'c,d', 'e,f', 'g,h'],
        ['', 'Totals', 'k,v', 'a,2', 'b,4', 'c,6'],
        ['', 'day,level,high,place', '2021-01-01,1,2,x', '2021-01-02,2,2,y'],
    ],
)
def test_another_table_below_is_left_out_and_counted(reader: Reader, second: list[str]) -> None:
    table = reader('\n'.join(['ds,y,n,s', *daily(30), *second, '']))
    count = sum(map(bool, second))
    start = 32 + (not second[0])
    assert table.rows_read == 30
    assert table.notes == (f'A second table from line {start} on was cut off: {count} filled lines were left out.',)


def test_a_word_among_single_numbers_cuts_nothing_off(reader: Reader) -> None:
    cells = [*map(str, range(50)), '', 'oops', *map(str, range(50))]
    assert reader('\n'.join(['y', *cells, ''])).rows_read == 101


@pytest.mark.parametrize(
    'values', [['1', '2', '3'], ['Rome', 'Paris', 'a, b'], ['2020-01-01 00:00', '2020-01-02 00:00']]
)
def test_one_column(reader: Reader, values: list[str]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator='\n').writerows([['label'], *([value] for value in values)])
    assert raw(reader(buffer.getvalue())) == [['label'], *([value] for value in values)]


def test_fault_knows_its_byte(reader: Reader) -> None:
    text = CLEAN.replace('a\n', 'ü\n').replace('3.5,c', '3.5')
    table = reader(text)
    assert table.faults_path is not None
    byte = duckdb.execute('SELECT byte FROM read_parquet(?)', [str(table.faults_path)]).fetchall()[0][0]
    assert text.encode()[byte:].startswith(b'2020-01-03')


def test_gzip_and_zip(reader: Reader) -> None:
    packed = reader(gzip.compress(CLEAN.encode()))
    assert (raw(packed), packed.compression) == (ROWS, 'gz')
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        archive.writestr('__MACOSX/._x.csv', 'junk')
        archive.writestr('read.me', 'about')
        archive.writestr('data/x.csv', CLEAN)
        archive.writestr('data/y.csv', CLEAN)
    table = reader(buffer.getvalue())
    assert (raw(table), table.compression) == (ROWS, 'zip')
    assert table.notes == (
        'The archive holds other files, which were not read: read.me, data/y.csv. '
        'Choose one of them instead, or unpack the archive and upload them one by one.',
    )


def test_json_lines(reader: Reader) -> None:
    table = reader('{"ds":"2020-01-01","y":1.50,"at":{"x":true}}\n\n{"y":2e3,"z":[1.0,{"k":null}]}\nbroken\n"text"\n')
    assert (table.format, table.names) == ('jsonl', ('ds', 'y', 'at.x', 'z'))
    assert raw(table)[1:] == [['2020-01-01', '1.50', 'true', ''], ['', '2e3', '', '[1.0, {"k": null}]']]
    assert (table.rows_read, table.rejected) == (4, 2)
    assert [fault[:3] for fault in faults(table)] == [(4, 'not_a_record', 'rejected'), (5, 'not_a_record', 'rejected')]
    assert lines(table) == [(1, 0), (3, 0)]


def test_json_key_that_comes_late(reader: Reader) -> None:
    rows = '\n'.join(f'{{"a": {i}}}' for i in range(3000)) + '\n{"a": 1, "b": 2}\n'
    table = reader(rows)
    assert (table.names, table.rows_read) == (('a', 'b'), 3001)
    assert raw(table)[-1] == ['1', '2']


@pytest.mark.parametrize('frame', ['[%s]', '{"total": 2, "data": [%s]}'])
def test_json_array(reader: Reader, frame: str) -> None:
    table = reader(frame % '{"a": 1, "b": "x"},\n {"a": 2, "b": null}')
    assert (table.format, raw(table), lines(table)) == ('json', [['a', 'b'], ['1', 'x'], ['2', '']], [(1, 0), (2, 0)])


def test_json_array_that_breaks_off(reader: Reader) -> None:
    table = reader('[{"a": 1},\n{"a": 2},\n{"a": ')
    assert (table.rows_read, table.rejected) == (3, 1)
    assert faults(table)[0][:3] == (3, 'not_a_record', 'rejected')


def test_parquet(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / 'x.parquet'
    duckdb.execute(
        f"COPY (SELECT TIMESTAMP '2020-01-01 10:00' AS ds, 1.5::DOUBLE AS y, 2::DECIMAL(9,2) AS d, NULL::INT AS n, "
        f"'a' AS s, true AS b, TIMESTAMPTZ '2020-01-01 10:00+02' AS z, DATE '2020-01-01' AS t) "
        f"TO '{path}' (FORMAT parquet)"
    )
    table = reader(path.read_bytes())
    assert raw(table)[1][:6] == ['2020-01-01 10:00:00', '1.5', '2.00', '', 'a', 'true']
    assert list(table.hints.values()) == [
        'timestamp', 'double', 'decimal', 'integer', 'text', 'boolean', 'timestamptz', 'date',
    ]  # fmt: skip
    assert (table.format, lines(table)) == ('parquet', [(1, 0)])


def test_xlsx(reader: Reader) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(['Report'])
    sheet.append([])
    sheet.append(['ds', 'y', 'n', 's'])
    sheet.append([datetime(2020, 1, 1), 1.5, 3, 'a'])
    sheet.append([])
    sheet.append([datetime(2020, 1, 2), 2.0, 4, None])
    book.create_sheet('other').append([1])
    buffer = io.BytesIO()
    book.save(buffer)
    table = reader(buffer.getvalue())
    assert raw(table) == [['ds', 'y', 'n', 's'], ['2020-01-01', '1.5', '3', 'a'], ['2020-01-02', '2', '4', '']]
    assert (table.format, table.header_line, lines(table)) == ('xlsx', 3, [(4, 0), (6, 0)])
    assert table.hints == {'ds': 'date', 'y': 'double', 'n': 'integer'}
    assert any('other' in note for note in table.notes)


@pytest.mark.parametrize(
    ('data', 'error', 'word'),
    [
        (b'\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1' + bytes(600), NotSupported, '.xls'),
        (
            b'\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1' + bytes(2**20 - 20) + 'EncryptedPackage'.encode('utf-16-le'),
            NotSupported,
            'password',
        ),
        (b'%PDF-1.7', NotSupported, 'PDF'),
        (b'<!DOCTYPE html><html></html>', NotSupported, 'web page'),
        (b'\x1f\x8b\x08\x00broken', UnreadableFile, 'broken'),
        (b'PK\x03\x04broken', UnreadableFile, 'zip'),
        (b'PAR1broken', UnreadableFile, 'Parquet'),
        (bytes(range(256)) * 40 + bytes(5000), UnreadableFile, 'binary'),
        (bytes(range(256)) * 20, UnreadableFile, 'binary'),
    ],
)
def test_what_is_no_table_is_refused(reader: Reader, data: bytes, error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word):
        reader(data)


def test_bombs_are_refused(reader: Reader) -> None:
    limits = Limits(ratio=50, ratio_free_bytes=10_000)
    with pytest.raises(TooLarge, match='unpacks'):
        reader(gzip.compress(b'0,1,2\n' * 200_000), limits=limits)
    with pytest.raises(TooLarge, match='rows'):
        reader(CLEAN, limits=Limits(rows=2))
    deep = gzip.compress(gzip.compress(gzip.compress(gzip.compress(b'a,b\n1,2\n'))))
    with pytest.raises(NotSupported, match='archive'):
        reader(deep)
    nested = reader('{"a":1}\n' + '{"a":' * 100_000 + '\n')
    assert (nested.rows_read, nested.rejected) == (2, 1)


@pytest.mark.slow
def test_wide_and_long_cells(reader: Reader) -> None:
    wide = reader(','.join(f'n{i}' for i in range(3000)) + '\n' + ','.join(map(str, range(3000))) + '\n')
    assert len(wide.names) == 3000
    assert raw(wide)[1][-1] == '2999'
    long = reader('a,b\n1,"' + 'x' * 3_000_000 + '"\n2,y\n')
    assert [len(row[1]) for row in raw(long)] == [1, 3_000_000, 1]


def test_damage_in_the_middle_of_many_blocks(reader: Reader) -> None:
    rows = [f'2020-01-01 {i % 24:02d}:00,{i}.5,name {i}' for i in range(60_000)]
    rows[31_234] = '2020-01-01 00:00,"31234.5,name'
    rows[45_678] = '2020-01-01 00:00,1.5,"two\nlines"'
    table = reader('ds,y,s\n' + '\n'.join(rows) + '\n')
    assert table.rows_read == 60_000
    assert faults(table) == [(31_236, 'unterminated_quote', 'repaired', rows[31_234])]
    found = lines(table)
    assert (found[31_234], found[45_678], found[45_679], found[-1]) == (
        (31_236, 1),
        (45_680, 0),
        (45_682, 0),
        (60_002, 0),
    )


@pytest.mark.parametrize(
    ('data', 'chosen', 'rows'),
    [
        ('a;b,c\n1;2,3\n4;5,6\n', {'delimiter': ','}, [['a;b', 'c'], ['1;2', '3'], ['4;5', '6']]),
        ('a@@b\n1@@2\n3@@4\n', {'delimiter': '@@'}, [['a', 'b'], ['1', '2'], ['3', '4']]),
        ('a,b\n`1,5`,2\n`x``y`,4\n', {'quote': '`'}, [['a', 'b'], ['1,5', '2'], ['x`y', '4']]),
        ('a,b\n"x^"y",2\n"3",4\n', {'escape': '^'}, [['a', 'b'], ['x"y', '2'], ['3', '4']]),
        ('a,b\n"1",2\n"3",4\n', {'quote': ''}, [['a', 'b'], ['"1"', '2'], ['"3"', '4']]),
        ('x,y\nu,v\na,b\n1,2\n3,4\n', {'skip': 2}, [['a', 'b'], ['1', '2'], ['3', '4']]),
        ('x,"y\nu,v\na,b\n1,2\n3,4\n', {'skip': 2}, [['a', 'b'], ['1', '2'], ['3', '4']]),
        ('a,b\n1,2\n3,4\n', {'header_lines': 0}, [['a', 'b'], ['1', '2'], ['3', '4']]),
        ('1,2\n3,4\n5,6\n', {'header_lines': 1}, [['1', '2'], ['3', '4'], ['5', '6']]),
        ('a,b\nc,d\n1,2\n3,4\n', {'header_lines': 2}, [['a c', 'b d'], ['1', '2'], ['3', '4']]),
        ('a,b\n1,2\n% x,y\n3,4\n', {'comment': '%'}, [['a', 'b'], ['1', '2'], ['3', '4']]),
        (
            '# made\na,b\n1,2\n#3,4\n5,6\n',
            {'comment': '', 'skip': 1},
            [['a', 'b'], ['1', '2'], ['#3', '4'], ['5', '6']],
        ),
        ('größe,b\n1,2\n'.encode('cp437'), {'encoding': 'cp437'}, [['größe', 'b'], ['1', '2']]),
        ('a,b\n1,2\n'.encode('utf-16'), {'encoding': 'utf-16'}, [['a', 'b'], ['1', '2']]),
    ],
)
def test_what_is_chosen_goes_before_what_is_found(
    reader: Reader, data: str | bytes, chosen: dict[str, Any], rows: list[list[str]]
) -> None:
    table = reader(data, chosen=Chosen.from_json(chosen))
    assert raw(table) == rows
    assert all(table.reading[name]['asked'] for name in chosen)


@pytest.mark.parametrize(
    'chosen',
    [{'encoding': 'klingon'}, {'encoding': 'base64'}, {'delimiter': ''}, {'quote': '""'}, {'skip': -1},
     {'header_lines': True}, {'comment': '\n'}, {'sheet': 3}, {'delimeter': ','}],
)  # fmt: skip
def test_a_choice_that_means_nothing_is_refused(chosen: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Chosen.from_json(chosen)


def test_reading_tells_the_choice_its_rival_and_how_sure_it_is(reader: Reader) -> None:
    reading = reader('ds;y;z\n2020-01-01;1,5;2,5\n2020-01-02;3,5;4,5\n').reading
    assert list(reading) == ['encoding', 'delimiter', 'quote', 'escape', 'comment', 'skip', 'header_lines']
    assert (reading['delimiter']['value'], reading['delimiter']['runner_up']) == (';', ',')
    assert 0.5 < reading['delimiter']['confidence'] < 1
    assert (reading['header_lines']['value'], reading['header_lines']['runner_up']) == (1, 0)


@pytest.mark.parametrize(
    ('form', 'parts'),
    [('2024-01-{:02}T00:00:00+01:00', False), ('2024-01-{:02} 06:30', False), ('site:{:02}', True)],
)
def test_a_colon_is_a_rival_of_the_delimiter_only_where_one_stands_outside_of_times(
    reader: Reader, form: str, parts: bool
) -> None:
    table = reader('time,kwh\n' + ''.join(f'{form.format(place)},{place}\n' for place in range(1, 25)))
    assert (table.reading['delimiter']['value'], table.reading['delimiter']['runner_up'] == ':') == (',', parts)
    assert not any("':' would read nearly as well" in note for note in table.notes)


@pytest.mark.parametrize('pack', [bz2.compress, lzma.compress, lambda data: pa.compress(data, 'zstd', asbytes=True)])
def test_compressions_of_several_parts(reader: Reader, pack: Callable[[bytes], bytes]) -> None:
    half = len(CLEAN) // 2
    table = reader(pack(CLEAN[:half].encode()) + pack(CLEAN[half:].encode()))
    assert raw(table) == ROWS
    assert table.compression in ('bz2', 'xz', 'zst')
    with pytest.raises(UnreadableFile, match='broken'):
        reader(pack(CLEAN.encode() * 99)[:-20])


def test_the_table_of_an_archive_is_found_and_may_be_chosen(reader: Reader) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        archive.writestr('Metadata_countries.csv', 'x,y\n' * 99)
        archive.writestr('small.csv', 'a,b\n1,2\n')
        archive.writestr('large.csv', CLEAN)
        archive.writestr('picture.png', 'x' * 9999)
    table = reader(buffer.getvalue())
    assert (raw(table), table.reading['member']['value']) == (ROWS, 'large.csv')
    assert table.reading['member']['runner_up'] == 'small.csv'
    assert table.reading['member']['options'] == ['small.csv', 'large.csv']
    assert raw(reader(buffer.getvalue(), chosen=Chosen(member='small.csv'))) == [['a', 'b'], ['1', '2']]
    with pytest.raises(UsageError, match='It holds: Metadata_countries'):
        reader(buffer.getvalue(), chosen=Chosen(member='none.csv'))


def test_a_packed_tar_is_read(reader: Reader) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w:gz') as archive:
        for name, text in (('about.txt', 'x' * 5000), ('data/x.csv', CLEAN)):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    assert raw(reader(buffer.getvalue())) == ROWS


def test_feather(reader: Reader, tmp_path: Path) -> None:
    table = pa.table(
        {
            'ds': pa.array([datetime(2020, 1, 1), None], pa.timestamp('us')),
            'y': [1.5, 2.0],
            's': pa.array(['a', 'b']).dictionary_encode(),
        }
    )
    feather.write_feather(table, str(tmp_path / 'x'), compression='zstd')
    found = reader((tmp_path / 'x').read_bytes())
    assert raw(found) == [['ds', 'y', 's'], ['2020-01-01 00:00:00', '1.5', 'a'], ['', '2.0', 'b']]
    assert (found.format, found.hints) == ('feather', {'ds': 'timestamp', 'y': 'double', 's': 'text'})
    with pytest.raises(UnreadableFile, match='Feather'):
        reader((tmp_path / 'x').read_bytes()[:-30])


def book_of(*sheets: tuple[str, list[list[Any]], list[str]]) -> bytes:
    """A workbook of sheets given by title, rows and merged areas."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for title, rows, merges in sheets:
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
        for area in merges:
            sheet.merge_cells(area)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def test_the_sheet_with_the_table_is_read_and_another_may_be_chosen(reader: Reader) -> None:
    table = [['ds', 'y'], *([datetime(2020, 1, day), day] for day in range(1, 29))]
    data = book_of(
        ('About', [['Made by', 'the office'], ['Version', 2]], []),
        ('Data', table, []),
        ('Twice', table, []),
        ('Few', [['a', 'b'], [1, 2]], []),
    )
    found = reader(data)
    assert (found.rows_read, found.reading['sheet']['value'], found.reading['sheet']['runner_up']) == (
        28,
        'Data',
        'Twice',
    )
    assert found.reading['sheet']['options'] == ['About', 'Data', 'Twice', 'Few']
    assert found.notes[1] == (
        'Other sheets were not read: About, Twice, Few. Twice has the same columns: to join it, save it as a file of '
        'its own and add its rows.'
    )
    assert raw(reader(data, chosen=Chosen(sheet='Few'))) == [['a', 'b'], ['1', '2']]
    with pytest.raises(UsageError, match='Twice'):
        reader(data, chosen=Chosen(sheet='None'))


def test_tables_of_one_sheet_that_have_titles_are_not_taken_for_one(reader: Reader) -> None:
    """Each has a title right above its header, and the second is a column wider."""
    first = [['Temperatures'], ['day', 'temp'], *([datetime(2024, 1, day), day] for day in range(1, 21))]
    second = [['Rain'], ['day', 'mm', 'station'], *([datetime(2024, 2, day), day, 'A'] for day in range(1, 16))]
    found = reader(book_of(('x', [*first, [], *second, [], ['Costs'], ['month', 'eur'], ['2024-01', 100]], [])))
    assert raw(found)[:2] == [['day', 'temp'], ['2024-01-01', '1']]
    assert found.rows_read == 20
    assert found.notes == (
        'A preamble of 1 line above the table was dropped (from line 1).',
        'A second table from row 24 on was cut off: 20 filled rows were left out.',
    )


def test_a_merged_header_names_its_own_columns_alone(reader: Reader) -> None:
    groups = ['Booking', None, 'Amounts', None, None]
    names = ['Date', 'Account', 'Debit', 'Credit', 'Text']
    days = [[datetime(2025, 1, day), 'rent', day + 0.5, day * 2.25, f'booking {day}'] for day in range(1, 21)]
    found = reader(book_of(('x', [['Ledger'], ['2026'], [], groups, names, *days], ['A4:B4', 'C4:D4'])))
    assert raw(found)[0] == ['Booking Date', 'Booking Account', 'Amounts Debit', 'Amounts Credit', 'Text']
    assert found.notes[0] == 'A preamble of 3 lines above the table was dropped (from line 1).'
    assert found.reading['skip']['value'] == 3


@pytest.mark.parametrize('row', [['later'], ['later', '7']])
def test_a_row_of_words_below_a_blank_one_cuts_nothing_off(reader: Reader, row: list[str]) -> None:
    days = [[datetime(2024, 1, day), day] for day in range(1, 21)]
    assert reader(book_of(('x', [['day', 'temp'], *days, [], ['note'], row, *days], []))).rows_read >= 40


def test_merged_headers_name_every_column(reader: Reader) -> None:
    rows = [
        ['Sales of the office'], [None, 2020, None, 2021, None], ['place', 'spring', 'autumn', 'spring', 'autumn'],
        ['Rome', 1, 2, 3, 4], ['Bonn', 5, 6, 7, 8], ['Oslo', 9, 10, 11, 12],
    ]  # fmt: skip
    found = reader(book_of(('x', rows, ['A1:E1', 'B2:C2', 'D2:E2'])))
    assert raw(found)[0] == ['place', '2020 spring', '2020 autumn', '2021 spring', '2021 autumn']
    assert found.rows_read == 3


def test_cells_merged_over_rows_hold_in_each_of_them(reader: Reader) -> None:
    rows = [['place', 'what', 'y'], ['Rome', 'tea', 1], [None, 'rum', 2], ['Bonn', 'tea', 3], [None, None, None],
            [None, 'rum', 4], ['Oslo', 'tea', 5], [None, None, 6]]  # fmt: skip
    found = reader(book_of(('x', rows, ['A2:A3', 'A4:A6', 'B7:B8'])))
    assert raw(found)[1:] == [
        ['Rome', 'tea', '1'],
        ['Rome', 'rum', '2'],
        ['Bonn', 'tea', '3'],
        ['Bonn', 'rum', '4'],
        ['Oslo', 'tea', '5'],
        ['', 'tea', '6'],
    ]
    assert found.notes == ('Cells merged over several rows hold in each of them: "place", "what".',)


def test_numbers_merged_over_rows_are_not_added_up(reader: Reader) -> None:
    rows: list[list[Any]] = [['shop', 'year', 'store_id', 'week', 'units', 'delivery', 'typed', 'date']]
    rows += [
        [7 if day == 0 else None, *([2024, 12] if day == 0 else [None] * 2), f'w{day}', day,
         *([300, '1,200.5', datetime(2024, 1, 1 + day)] if day % 5 == 0 else [None] * 3)]
        for day in range(20)
    ]  # fmt: skip
    areas = [f'{column}2:{column}21' for column in 'ABC']
    areas += [f'{column}{2 + five}:{column}{6 + five}' for column in 'FGH' for five in range(0, 15, 5)]
    found = reader(book_of(('x', rows, [*areas, 'F17:F99'])))
    columns = dict(zip(raw(found)[0], zip(*raw(found)[1:], strict=True), strict=True))
    assert (set(columns['shop']), set(columns['year']), set(columns['store_id'])) == ({'7'}, {'2024'}, {'12'})
    assert columns['delivery'] == ('300', '', '', '', '') * 4
    assert columns['typed'] == ('1,200.5', '', '', '', '') * 4
    assert columns['date'][:15:5] == columns['date'][4:15:5] == ('2024-01-01', '2024-01-06', '2024-01-11')
    assert found.notes == (
        'Cells merged over several rows hold in each of them: "shop", "year", "store_id", "date".',
        'Numbers merged over several rows stand in the first of them alone, not to be added up several times. '
        'Cells left empty: "delivery" (16), "typed" (12).',
    )


def test_cells_left_empty_are_counted_to_the_end_of_the_table(reader: Reader) -> None:
    rows = [['day', 'delivery'], *([f'd{i}', 300 if i % 5 == 0 else None] for i in range(20))]
    found = reader(book_of(('x', rows, [f'B{2 + five}:B{6 + five}' for five in range(0, 20, 5)])))
    assert found.notes[0].endswith('Cells left empty: "delivery" (16).')


def test_merged_rows_far_down_a_sheet_are_found(reader: Reader) -> None:
    rows: list[list[Any]] = [['place', 'n'], *([f'p{i}' if i % 2 == 0 else None, i] for i in range(400))]
    found = reader(book_of(('x', rows, [f'A{i}:A{i + 1}' for i in range(2, 402, 2)])))
    assert [row[0] for row in raw(found)[-2:]] == ['p398', 'p398']


def test_a_sheet_of_one_remark_is_no_table(reader: Reader) -> None:
    table = [['ds', 'y'], *([datetime(2020, 1, day), day] for day in range(1, 29))]
    found = reader(book_of(('Data', table, []), ('Notes', [['Made by Ann']], [])))
    assert found.reading['sheet']['options'] == ['Data']
    assert 'Other sheets were not read: Notes.' in found.notes


def test_zero_bytes_of_a_part_that_was_never_written_cost_their_records_alone(reader: Reader) -> None:
    lines_ = [f'2024-01-01 00:{i % 60:02}:{i // 60:02},{i}.25\n' for i in range(600)]
    whole = ('time,v\n' + ''.join(lines_)).encode()
    found = reader(whole[:6000] + bytes(4096) + whole[10096:] + bytes(600))
    cut = whole[:6000].count(b'\n') + whole[10096:].count(b'\n') - 2
    assert (found.rows_read - found.rejected, found.rejected) == (cut, 2)
    told = duckdb.sql(f"SELECT line, kind, action, reason FROM '{found.faults_path}'").fetchall()
    assert [(line, kind, action) for line, kind, action, _ in told] == [
        (whole[:6000].count(b'\n') + 1, 'nul_byte', 'rejected'),
        (cut + 3, 'nul_byte', 'rejected'),
    ]
    assert told[0][3].startswith('4,096 zero bytes: this part of the file was never written')


@pytest.mark.parametrize(('zeros', 'action'), [(1, 'repaired'), (70, 'rejected'), (4096, 'rejected')])
def test_zero_bytes_inside_a_cell_over_several_lines_are_listed(reader: Reader, zeros: int, action: str) -> None:
    records = [f'2024-01-{day:02},{day}.5,"note {day}"\n'.encode() for day in range(1, 29)]
    records[9] = b'2024-01-10,10.5,"note\n' + bytes(zeros) + b'\n10"\n'
    # Enough clean records that the file is text for certain.
    records += [f'2025-{1 + i % 12:02}-{1 + i // 12:02},{i}.5,"n"\n'.encode() for i in range(300)]
    found = reader(b'time,v,note\n' + b''.join(records))
    told = duckdb.sql(f"SELECT line, kind, action FROM '{found.faults_path}'").fetchall()
    assert told == [(11, 'nul_byte', action)]
    assert (found.rows_read, found.rejected) == (328, int(action == 'rejected'))


def test_zero_bytes_above_the_table_are_listed(reader: Reader) -> None:
    records = b''.join(b'2024-01-%02d,%d.5\n' % (day, day) for day in range(1, 29))
    found = reader(b'station 5\n' + bytes(4096) + b'time,v\n' + records)
    told = duckdb.sql(f"SELECT line, byte, kind, value, action FROM '{found.faults_path}'").fetchall()
    assert (told, found.rows_read, found.rejected) == ([(2, 10, 'nul_byte', 'time,v', 'repaired')], 28, 0)


@pytest.mark.parametrize('data', [b'abc\0de\n' * 500, bytes(5000)])
def test_scattered_zero_bytes_and_nothing_else_are_no_text(reader: Reader, data: bytes) -> None:
    with pytest.raises(UnreadableFile, match='binary'):
        reader(data)


def test_a_workbook_that_breaks_off_is_called_a_workbook(tmp_path: Path) -> None:
    path = tmp_path / 'upload'
    path.write_bytes(book_of(('x', [['a', 'b'], [1, 2]], []))[:-40])
    with pytest.raises(UnreadableFile, match='broken Excel workbook'):
        read(path, name='plan.xlsx', workdir=tmp_path / 'work')


def test_serial_dates_become_dates(reader: Reader) -> None:
    rows = [['Date', 'n'], [43831, 43831], [43832, 2], [43833, 3], [43834.5, 4]]
    found = reader(book_of(('x', rows, [])))
    assert raw(found)[1:] == [
        ['2020-01-01', '43831'],
        ['2020-01-02', '2'],
        ['2020-01-03', '3'],
        ['2020-01-04 12:00:00', '4'],
    ]
    assert found.notes == ('Column "Date" holds serial dates of Excel; they were read as dates.',)
    steps = [['date', 'steps per day'], *([datetime(2020, 1, day), 30000 + day] for day in range(1, 5))]
    assert raw(reader(book_of(('x', steps, []))))[1] == ['2020-01-01', '30001']
    mixed = [['when', 'n'], [datetime(2020, 1, 1), 1], [43832, 2], [datetime(2020, 1, 3), 3]]
    assert raw(reader(book_of(('x', mixed, []))))[2] == ['2020-01-02', '2']


@pytest.mark.parametrize(
    'text',
    [
        '{"a": [1, 2], "b": ["x", "y"]}',
        '{"a": [1, 2],\n "b": ["x", "y"]}',
        '[["a", "b"], [1, "x"], [2, "y"]]',
        '{"columns": ["a", "b"], "index": [0, 1], "data": [[1, "x"], [2, "y"]]}',
        '{"a": {"0": 1, "1": 2}, "b": {"0": "x", "1": "y"}}',
    ],
)
def test_json_of_columns_or_rows(reader: Reader, text: str) -> None:
    assert raw(reader(text)) == [['a', 'b'], ['1', 'x'], ['2', 'y']]


def test_json_of_objects_by_key_or_of_one_object(reader: Reader) -> None:
    assert raw(reader('{"p": {"a": 1}, "q": {"a": 2}}')) == [['key', 'a'], ['p', '1'], ['q', '2']]
    assert raw(reader('{\n"a": 1,\n"b": {"c": 2}\n}')) == [['a', 'b.c'], ['1', '2']]
    assert raw(reader('[[1, "x"], [2, "y", true]]')) == [
        ['column_1', 'column_2', 'column_3'],
        ['1', 'x', ''],
        ['2', 'y', 'true'],
    ]


@pytest.mark.parametrize('newline', ['\n', '\r\n', '\r'])
@pytest.mark.parametrize('trailing', [0, 1, 4])
def test_clean_files_are_read_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newline: str, trailing: int
) -> None:
    monkeypatch.setattr(Careful, 'run', lambda reader: pytest.fail('the file was read record by record'))
    monkeypatch.setattr(delimited, '_SMALL', 0)
    path = tmp_path / 'x.csv'
    path.write_bytes((newline.join(CLEAN.splitlines()) + newline * trailing).encode())
    assert read(path, name='x.csv', workdir=tmp_path / 'work').rows_read == 4


@pytest.mark.parametrize('columns', [1, 2])
def test_returns_in_cells_and_names_come_back_from_what_is_written(reader: Reader, columns: int) -> None:
    table = [['na\rme', 'y'][:columns], *([f'a\rb {at}', f'{at}.5'][:columns] for at in range(9))]
    assert raw(reader(''.join(','.join(f'"{cell}"' for cell in row) + '\n' for row in table))) == table


def test_a_return_inside_a_cell_of_a_damaged_record_does_no_harm(reader: Reader) -> None:
    rows = [f'2020-01-01 {i % 24:02d}:00,{i}.5,name {i}' for i in range(900)]
    rows[450] = '2020-01-01 00:00,"1.5"x,na\rme'
    table = reader('ds,y,s\r\n' + '\r\n'.join(rows) + '\r\n')
    assert (table.rows_read, raw(table)[451][2]) == (900, 'na\rme')


@pytest.mark.parametrize(
    ('text', 'rows'),
    [
        ('Week,Gas\n04/30/2021,8864\n04/23/2021,8877\n04/16/2021,9104\n', [['Week', 'Gas'], ['04/30/2021', '8864']]),
        ('ds,y\n2020-01-01,1,a\n2020-01-02,2,b\n', [['ds', 'y', ''], ['2020-01-01', '1', 'a']]),
        ('ds, y, n, s\n2020-01-01,1,2,a\n2020-01-02,2,3,b\n', [['ds', 'y', 'n', 's'], ['2020-01-01', '1', '2', 'a']]),
        ("'ds','y','s'\n2020-01-01,1,a\n2020-01-02,2,b\n", [['ds', 'y', 's'], ['2020-01-01', '1', 'a']]),
        ('ds;y;s\n2020-01-01,1,a\n2020-01-02,2,b\n', [['ds', 'y', 's'], ['2020-01-01', '1', 'a']]),
        ('ds,y,s\r2020-01-01,1,a\r\n2020-01-02,2,b\r\n', [['ds', 'y', 's'], ['2020-01-01', '1', 'a']]),
        ('ds,s\n2020-01-01,"a "b""\n2020-01-02,"c "d" e"\n', [['ds', 's'], ['2020-01-01', 'a "b"']]),
    ],
)  # fmt: skip
def test_odd_heads_are_read(reader: Reader, text: str, rows: list[list[str]]) -> None:
    table = reader(text)
    assert raw(table)[:2] == rows
    assert table.rows_read == len(text.splitlines()) - 1


@pytest.mark.parametrize(
    'note',
    [
        '\nNote: see page 3, and 4\n',
        '\nThe rest, as said, is missing\n',
        'Source: office, second floor\n',
        '# the end, so\n',
    ],
)
def test_remarks_with_commas_below_words_are_left_out(reader: Reader, note: str) -> None:
    rows = ['code,label,side,left', *(f'C{i},north east,m,{"xyz"[i % 3]}' for i in range(40))]
    assert reader('\n'.join(rows) + '\n' + note).rows_read == 40


@pytest.mark.parametrize('change', ['short', 'blank', 'long', 'quote'])
def test_many_faults_in_a_large_file_are_all_found(reader: Reader, change: str) -> None:
    rows = [f'2020-01-01 {i % 24:02d}:00,{i}.5,name {i},{i % 7}' for i in range(30_000)]
    places = range(100, 30_000, 997)
    for place in places:
        cells = rows[place].split(',')
        rows[place] = {
            'short': ','.join(cells[:3]),
            'blank': '',
            'long': rows[place] + ',',
            'quote': ','.join([*cells[:2], f'"{cells[2]}', cells[3]]),
        }[change]
    table = reader('ds,y,s,n\n' + '\n'.join(rows) + '\n')
    assert table.rows_read == 30_000 - (len(places) if change == 'blank' else 0)
    assert [fault[0] for fault in faults(table)] == ([] if change == 'blank' else [place + 2 for place in places])
    stored = [line for line, _ in lines(table)]
    assert stored == [line for line in range(2, 30_002) if change != 'blank' or line - 2 not in places]


@pytest.mark.parametrize(
    ('head', 'record', 'names'),
    [
        ('Messstation 5, Berlin\nZeit;Temperatur, °C', '2024-01-0{} 10:00;{},1', ['Zeit', 'Temperatur, °C']),
        ('Export of plant A, line 2\nDate\tLoad, kW', '2024-01-0{}\t{},1', ['Date', 'Load, kW']),
        (
            'Station 10384, Berlin-Tempelhof\nMESS_DATUM;TT, Grad C',
            '2024-01-0{} 10:00;{},1',
            ['MESS_DATUM', 'TT, Grad C'],
        ),
        ('Logger, v2\nasctime;n', '2024-01-0{} 10:00:00,123;{}', ['asctime', 'n']),
    ],
)
def test_a_title_with_a_comma_parts_no_decimals(reader: Reader, head: str, record: str, names: list[str]) -> None:
    found = reader('\n'.join([head, *(record.format(i, i) for i in range(1, 9)), '']))
    assert (list(found.names), found.header_line, found.rows_read) == (names, 2, 8)


def test_a_title_with_a_comma_stands_above_rows_without_names(reader: Reader) -> None:
    found = reader('Sensor, Hall 3\n' + ''.join(f'2024-01-0{i} 10:00;{i},1\n' for i in range(1, 9)))
    assert (found.dialect.delimiter, found.rows_read) == (';', 8)


@pytest.mark.parametrize(
    ('names', 'record'),
    [
        ('time;v;w', '0{}.01.2025, 13:00;{},5;{},25'),
        ('time;v', '0{}.01.2025, 13:05 Uhr;{},5'),
        ('time\tv', 'Jan 0{}, 2025, 13:00\t{}.5'),
        ('time;v', 'Wednesday, January 0{}, 2025 01:00 PM;{}.5'),
        ('| time | v |', '| 2025-01-0{} 13:00:00 | {} |'),
    ],
)
def test_what_stands_inside_cells_but_not_between_names_parts_nothing(reader: Reader, names: str, record: str) -> None:
    found = reader('\n'.join([names, *(record.format(i, i, i) for i in range(1, 9)), '']))
    assert (found.rows_read, found.header_line) == (8, 1)
    assert {'time', 'v'} <= {*found.names}
