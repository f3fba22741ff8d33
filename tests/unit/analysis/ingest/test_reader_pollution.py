"""Polluted files read as a careful person reads them: each rule by a small example, and the set of pollutions."""

import csv
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from core.analysis.ingest.rawtable import RawTable
from core.analysis.ingest.reader import read, write_raw_csv
from tests.dirty.pollution import FIRST, POLLUTIONS, SECOND, THIRD, polluted

Opened = tuple[list[list[str]], RawTable]
Open = Callable[[str | bytes], Opened]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    def open_text(data: str | bytes) -> Opened:
        path, out = tmp_path / 'upload.csv', tmp_path / 'out.csv'
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        table = read(path, name='upload.csv', workdir=tmp_path / 'work')
        write_raw_csv(table, out)
        with out.open(encoding='utf-8', newline='') as text:
            return list(csv.reader(text)), table

    return open_text


def kinds(table: RawTable) -> list[tuple[int, str]]:
    if table.faults_path is None:
        return []
    return duckdb.execute('SELECT line, kind FROM read_parquet(?)', [str(table.faults_path)]).fetchall()


def rows(count: int = 8) -> list[list[str]]:
    return [['id', 'text', 'n'], *([str(i), f'word {"ab"[i % 2]}', str(i * 3)] for i in range(1, count + 1))]


def joined(table: list[list[str]], mark: str = ',') -> str:
    return ''.join(mark.join(row) + '\n' for row in table)


def test_blanks_in_times_and_names_part_no_cells(opened: Open) -> None:
    hours = [[f'01.01.2022 0{i}:00 - 01.01.2022 0{i + 1}:00', f'{50 + i}.5'] for i in range(8)]
    table = [['MTU (CET/CEST)', 'Day-ahead Price [EUR/MWh]'], *hours]
    assert opened(joined(table))[0] == table


def test_a_name_more_than_cells_is_told_once(opened: Open) -> None:
    found, table = opened('id,text,n,more\n' + joined(rows()[1:]))
    assert found == [['id', 'text', 'n', 'more'], *([*row, ''] for row in rows()[1:])]
    assert kinds(table) == []
    assert 'The header has a name more than records have cells; the last column is empty.' in table.notes


def test_backslashes_in_pairs_alone_are_escapes(opened: Open) -> None:
    found, table = opened('id,path,n\n' + ''.join(f'{i},"C:\\\\data\\\\f, {i}",{i}\n' for i in range(1, 9)))
    assert found[1] == ['1', 'C:\\data\\f, 1', '1']
    assert table.dialect is not None
    assert table.dialect.escape == '\\'


def test_backslashes_of_network_places_are_text(opened: Open) -> None:
    found, _ = opened('id,path,n\n' + ''.join(f'{i},"\\\\host\\share, {i}",{i}\n' for i in range(1, 9)))
    assert found[1] == ['1', '\\\\host\\share, 1', '1']


def test_a_backslash_protects_delimiters_of_bare_cells(opened: Open) -> None:
    text = joined(rows()).replace('word a', 'left\\, right')
    assert opened(text)[0] == [[cell.replace('word a', 'left, right') for cell in row] for row in rows()]


def test_one_record_protects_its_delimiters_by_other_quotes(opened: Open) -> None:
    table = rows()
    table[4][1] = 'u, v'
    text = joined(rows()).replace('word a', '"x, y"', 1).replace('4,word a', "4,'u, v'")
    table[2][1] = 'x, y'
    found, read_table = opened(text)
    assert found == table
    assert kinds(read_table) == [(5, 'stray_quote')]


def test_returns_inside_cells_break_no_records(opened: Open) -> None:
    table = rows()
    table[1][1], table[5][1] = 'a\rb', 'x\ry'
    assert opened(joined(table))[0] == table


def test_returns_part_records_beside_cells_of_several_lines(opened: Open) -> None:
    text = 'id,text,n\n1,"a\nb",3\r2,cc,4\n3,dd,5\n4,"e\nf",6\r5,"x\ny",7\n6,r,8\n'
    expected = [['id', 'text', 'n'], ['1', 'a\nb', '3'], ['2', 'cc', '4'], ['3', 'dd', '5'], ['4', 'e\nf', '6']]
    assert opened(text)[0] == [*expected, ['5', 'x\ny', '7'], ['6', 'r', '8']]


def test_the_header_again_among_texts_is_no_record(opened: Open) -> None:
    table = [['name', 'job'], ['Ann', 'nurse'], ['Bob', 'pilot'], ['Eve', 'nurse'], ['Max', 'cook']]
    found, read_table = opened(joined(table) + joined(table))
    assert found == [*table, *table[1:]]
    assert '1 repeated header line was left out.' in read_table.notes


@pytest.mark.parametrize('mark', ['$$', '->', '\t|\t'])
def test_delimiters_of_several_signs_stand_twice_around_an_empty_cell(opened: Open, mark: str) -> None:
    table = [['a', 'b', 'c'], *([str(i), '' if i % 2 else 'x', f'{i}.5'] for i in range(1, 9))]
    assert opened(joined(table, mark))[0] == table


def test_blanks_at_the_end_of_every_line_are_padding(opened: Open) -> None:
    assert opened(joined(rows()).replace('\n', '   \n'))[0] == rows()


def test_records_in_quotes_as_a_whole_are_parted(opened: Open) -> None:
    assert opened(''.join(f'"{line}"\n' for line in joined(rows()).splitlines()))[0] == rows()


def test_texts_in_quotes_with_commas_stay_one_column(opened: Open) -> None:
    table = [['title'], *([f'one{i}, two{i}'] for i in range(8))]
    assert opened(''.join(f'"{row[0]}"\n' for row in table))[0] == table


def test_groups_stand_above_each_of_their_columns(opened: Open) -> None:
    body = [[f'2020-01-0{i}', f'{i}', f'{i}.5', f'{i}', f'{i}.5'] for i in range(1, 9)]
    text = joined([['', 'north', '', 'south', ''], ['day', 'in', 'out', 'in', 'out'], *body])
    assert opened(text)[0] == [['day', 'north in', 'north out', 'south in', 'south out'], *body]


def test_a_line_of_one_cell_below_an_empty_record_is_a_footnote(opened: Open) -> None:
    table = [['code', 'side', 'n'], *([f'P{i:03}', 'NS'[i % 2], str(i)] for i in range(1, 25))]
    assert opened(joined(table) + ',,\nSource: office,,\n')[0] == table


def test_a_title_above_one_column_is_left_out(opened: Open) -> None:
    table = [['visitors'], *([str(i * 7)] for i in range(1, 30))]
    assert opened('Office of the land\nSeries, revised\n\n' + joined(table))[0] == table


def test_empty_columns_beside_a_single_one_are_none(opened: Open) -> None:
    table = [['visitors'], *([str(i * 700)] for i in range(1, 12))]
    assert opened(''.join(f'{row[0]},,\n' for row in table))[0] == table


def test_a_damaged_first_value_is_no_second_name(opened: Open) -> None:
    table = [['visitors'], ['46"93'], *([str(i * 700)] for i in range(1, 12))]
    assert opened(joined(table))[0] == table


def test_a_last_record_with_two_cells_run_together_is_kept(opened: Open) -> None:
    day = [[f'2020-01-{i:02} 10:00', str(i), '4.5', str(i * 2)] for i in range(1, 12)]
    text = joined([['time', 'a', 'b', 'c'], *day]) + '2020-01-12 10:0012,4.5,24\n'
    assert opened(text)[0] == [['time', 'a', 'b', 'c'], *day, ['2020-01-12 10:0012', '4.5', '24', '']]


@pytest.mark.parametrize(
    ('written', 'meant'),
    [
        ('"left, right""', 'left, right"'),
        ('""left, right"', '"left, right'),
        ('"left", right"', 'left", right'),
        ('left, mid, right"', 'left, mid, right"'),
        ('"left, mid, right', '"left, mid, right'),
    ],
)
def test_a_quote_too_many_or_too_few_moves_no_cell(opened: Open, written: str, meant: str) -> None:
    table = rows()
    table[4][1] = meant
    text = joined([*rows()[:4], ['4', written, '12'], *rows()[5:]]).replace('word b', '"word, b"')
    assert opened(text)[0] == [[cell.replace('word b', 'word, b') for cell in row] for row in table]


KNOWN = frozenset({'encoding_cp1250', 'row_in_apostrophes'})
"""Not read as meant: Czech letters without a mark; one number between apostrophes in a single column."""


@pytest.mark.parametrize('source', ['survey', 'balance', 'counter'])
def test_polluted_files_read_as_the_table_they_mean(opened: Open, source: str) -> None:
    missed = [
        file.name
        for file in polluted(sources=(source,), share=0.1)
        if file.pollution not in KNOWN and file.table and opened(file.data)[0] != file.table
    ]
    assert missed == []


def test_pollutions_are_the_same_for_a_seed() -> None:
    first, again, other = (list(polluted(seed, sources=('balance',))) for seed in (7, 7, 8))
    assert first == again
    assert [file.data for file in first] != [file.data for file in other]


def test_every_pollution_is_met_in_every_group_of_tables() -> None:
    for half in (FIRST, SECOND, THIRD):
        small = [name for name in half if name not in ('meter', 'log')]
        assert {file.pollution for file in polluted(sources=small)} >= set(POLLUTIONS) - {
            'columns_aligned',
            'row_escaped_otherwise',
            'row_in_apostrophes_needed',
        }
