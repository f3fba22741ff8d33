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


@pytest.mark.parametrize('mark', ['*', '->', '#', '&', '$$'])
def test_an_unusual_delimiter_shows_by_names_above_one_record(opened: Open, mark: str) -> None:
    table = [['city', 'population', 'founded'], ['Graz', '245788', '1128']]
    assert opened(joined(table, mark))[0] == table


def test_a_sign_in_two_lines_of_text_parts_nothing(opened: Open) -> None:
    table = [['see'], ['https://a.example/b/c'], ['https://d.example/e/f']]
    assert opened(joined(table[1:]))[0] == table[1:]
    assert opened(joined(table))[0] == table


def test_one_record_in_quotes_as_a_whole_is_parted(opened: Open) -> None:
    assert opened('"city,population,founded"\n"Graz,245788,1128"\n')[0][1] == ['Graz', '245788', '1128']


def test_lines_of_text_above_one_record_are_left_out(opened: Open) -> None:
    text = 'Office of the land\nSeries, revised\nNotes: none\n\ncity,population,founded\nGraz,245788,1128\n'
    assert opened(text)[0] == [['city', 'population', 'founded'], ['Graz', '245788', '1128']]


def test_a_title_above_one_column_of_texts_is_left_out(opened: Open) -> None:
    table = [['title'], *([f'The {a} of {b}'] for a in ('end', 'way', 'war') for b in ('home', 'men', 'it', 'all'))]
    assert opened('Office of the land\n\n' + joined(table))[0] == table


def test_empty_columns_beside_one_of_texts_are_none(opened: Open) -> None:
    table = [['title'], *([f'The {a} of {b}'] for a in ('end', 'way', 'war') for b in ('home', 'men', 'it', 'all'))]
    assert opened(''.join(f'{row[0]},,\n' for row in table))[0] == table


def test_empty_columns_behind_one_record_are_none(opened: Open) -> None:
    assert opened('city,population,,\nGraz,245788,,\n')[0] == [['city', 'population'], ['Graz', '245788']]


def test_times_above_numbers_are_names(opened: Open) -> None:
    months = [f'2020-{month:02}' for month in range(1, 13)]
    table = [['land', *months], *([name, *(f'{i}.5' for i in range(12))] for name in ('Austria', 'Malta', 'Spain'))]
    found, read_table = opened(joined([['key', *['seen'] * 12], *table]))
    assert found == [['key land', *(f'seen {month}' for month in months)], *table[1:]]
    assert read_table.names[1] == 'seen 2020-01'
    assert opened(joined(table))[1].names[1] == '2020-01'


def test_a_delimiter_too_many_at_the_end_moves_no_cell(opened: Open) -> None:
    table = [['land', 'a', 'b', 'c'], *([name, '1.5', '', '2'] for name in ('Malta', 'Spain'))]
    table += [[name, '1.5', '4', '2'] for name in ('Italy', 'Austria', 'France')]
    assert opened(joined(table).replace('Spain,1.5,,2', 'Spain,1.5,,2,'))[0] == table


def test_blanks_at_the_end_of_lines_are_padding_behind_quotes_too(opened: Open) -> None:
    table = [[str(i), 'one, two' if i % 2 else 'one'] for i in range(9)]
    text = 'id,text   \n' + ''.join(f'{a},"{b}"   \n' if ',' in b else f'{a},{b}   \n' for a, b in table)
    assert opened(text)[0] == [['id', 'text'], *table]


def test_delimiters_with_a_blank_part_numbers_with_commas(opened: Open) -> None:
    table = [['day', 'rate', 'flag'], *([f'2020-01-0{i}', f'{i},5' if i % 2 else str(i), 'a'] for i in range(1, 9))]
    assert opened(joined(table, ', '))[0] == table
    text = ''.join((f'{a},"{b}",{c}' if a != '2020-01-05' else f'{a}, {b}, {c}') + '\n' for a, b, c in table)
    found, read_table = opened(text)
    assert found == table
    assert kinds(read_table) == [(6, 'long_row')]


def test_a_blank_behind_a_delimiter_tells_a_text_without_quotes(opened: Open) -> None:
    table = [['no', 'street', 'mail', 'note'], *([str(i), 'Am Markt 3', f'm{i}@a.example', 'x'] for i in range(1, 9))]
    table[4][1], table[4][3] = '12 High St, Leeds', ''
    assert opened(joined(table))[0] == table


@pytest.mark.parametrize('mark', [';', '\t', '|'])
def test_names_parted_by_another_delimiter_than_texts_below(opened: Open, mark: str) -> None:
    table = [['first name', 'town', 'job'], *([name, 'Rome', 'nurse'] for name in ('Ada', 'Ben', 'Eva', 'Max', 'Ida'))]
    assert opened(mark.join(table[0]) + '\n' + joined(table[1:]))[0] == table


def test_a_title_with_as_many_commas_as_names_is_no_header(opened: Open) -> None:
    table = [['name', 'town', 'job'], *([name, 'Rome', 'nurse'] for name in ('Ada', 'Ben', 'Eva', 'Max', 'Ida'))]
    assert opened('Names, towns, jobs\n' + joined(table, ';'))[0] == table


def test_blanks_part_texts_where_quotes_hold_others(opened: Open) -> None:
    table = [['first name', 'town', 'job'], *([name, 'New York', ''] for name in ('Ada', 'Eva Maria', 'Max', 'Ida'))]
    table += [['Jo', 'Rome', 'nurse'], ['Al', 'Oslo', 'tax adviser']]
    quoted = [[f'"{cell}"' if ' ' in cell else cell for cell in row] for row in table]
    assert opened(joined(quoted, ' '))[0] == table
    assert opened(joined(quoted[:3]) + ' '.join(quoted[3]) + '\n' + joined(quoted[4:]))[0] == table


def test_a_word_of_the_first_column_alone_is_a_record(opened: Open) -> None:
    table = [['name', 'town', 'job'], *([name, 'Rome', 'nurse'] for name in ('Ada', 'Ben', 'Eva', 'Max', 'Ida'))]
    assert opened(joined(table) + 'Ben\n')[0] == [*table, ['Ben', '', '']]


def test_a_titled_table_below_texts_is_left_out(opened: Open) -> None:
    table = [['name', 'town', 'job'], *([name, 'Rome', 'nurse'] for name in ('Ada', 'Ben', 'Eva', 'Max', 'Ida'))]
    found, read_table = opened(joined(table) + '\nCodes\ncode,meaning\nA,first\nB,second\n')
    assert found == table
    assert any('second table' in note for note in read_table.notes)


def test_a_padded_footnote_below_few_records_is_left_out(opened: Open) -> None:
    table = [['land', 'unit', 'n'], *([name, 'kt', '1.5'] for name in ('Malta', 'Spain', 'Italy'))]
    assert opened(joined(table) + ',,\nSource: office,,\n')[0] == table


def test_a_sign_within_quotes_does_not_count_as_a_delimiter(opened: Open) -> None:
    table = [['no', 'firm', 'rate', 'place'], *([str(i), 'A & B' if i % 2 else 'C', f'{i}%', 'X'] for i in range(1, 9))]
    assert opened(joined(table, '&').replace('A & B', '"A & B"'))[0] == table


def test_one_record_of_another_delimiter_than_its_names(opened: Open) -> None:
    for names, values in ((',', ';'), (';', ','), ('\t', ','), (' ', ','), (',', '|')):
        text = names.join(('city', 'population', 'founded')) + '\n' + values.join(('Graz', '245788', '1128')) + '\n'
        assert opened(text)[0] == [['city', 'population', 'founded'], ['Graz', '245788', '1128']]


def test_a_far_smaller_table_above_is_left_out(opened: Open) -> None:
    table = [['day', 'rate', 'load', 'flag'], *([f'2020-01-{i:02}', f'{i}.5', str(i), 'a'] for i in range(1, 25))]
    assert opened('code,meaning\nA,first\nB,second\n\n' + joined(table))[0] == table


def test_records_of_a_table_with_times_for_names_end_in_a_delimiter(opened: Open) -> None:
    months = [f'2020-{month:02}' for month in range(1, 13)]
    table = [['land', *months], *([name, *(f'{i}.5' for i in range(12))] for name in ('Austria', 'Malta', 'Spain'))]
    assert opened(joined(table).replace('11.5\n', '11.5,\n'))[0] == table


def test_a_unit_below_one_name_of_many_belongs_to_it(opened: Open) -> None:
    body = [[f'P{i}', 'NS'[i % 2], 'x', f'{i}.5', 'y'] for i in range(1, 9)]
    text = joined([['id', 'side', 'kind', 'mass', 'note'], ['', '', '', '[kg]', ''], *body])
    assert opened(text)[0] == [['id', 'side', 'kind', 'mass [kg]', 'note'], *body]


CITIES = {
    'Czech': ('cp1250', 'Plzeň Řím Žďár'),
    'Slovak': ('cp1250', 'Košice Žilina Trenčín Ľubovňa'),
    'Polish': ('cp1250', 'Łódź Wrocław Gdańsk'),
    'Hungarian': ('cp1250', 'Győr Székesfehérvár működő Kőbánya'),
    'Croatian': ('cp1250', 'Čakovec Šibenik Đakovo Županja'),
    'Romanian': ('cp1250', 'Braşov Timişoara Constanţa'),
    'Polish, ISO': ('iso8859-2', 'Łódź Świętochłowice Żory Śląsk'),
    'Lithuanian': ('cp1257', 'Šiauliai Panevėžys Kėdainiai įmonė'),
    'Turkish': ('cp1254', 'İstanbul Iğdır çağrı güneş'),
    'German': ('cp1252', 'Köln Düsseldorf Gießen Fürth'),
    'French': ('cp1252', 'Orléans très père mère frère'),
    'Portuguese': ('cp1252', 'São não informação João'),
    'Danish': ('cp1252', 'Århus Ærø Sønderborg'),
    'Icelandic': ('cp1252', 'Reykjavík það öðrum Þór'),
    'several': ('cp1252', 'Größe café niño São caffè Malmö Århus'),
    'signs': ('cp1252', 'm³ km² 5°C Nº £5 ½'),
}


@pytest.mark.parametrize('language', CITIES)
def test_letters_of_words_tell_the_encoding(opened: Open, language: str) -> None:
    encoding, words = CITIES[language]
    table = [['id', 'name'], *([str(i), word] for i, word in enumerate(words.split()))]
    assert opened(joined(table, ';').encode(encoding))[0] == table


KNOWN = frozenset({'row_in_apostrophes'})
"""Not read as meant: one number between apostrophes in a single column."""


@pytest.mark.parametrize('source', ['survey', 'balance', 'counter'])
@pytest.mark.slow
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


@pytest.mark.slow
def test_every_pollution_is_met_in_every_group_of_tables() -> None:
    for half in (FIRST, SECOND, THIRD):
        small = [name for name in half if name not in ('meter', 'log')]
        met = {name for name in POLLUTIONS if any(polluted(sources=small, pollutions=[name]))}
        assert met >= set(POLLUTIONS) - {
            'columns_aligned',
            'row_escaped_otherwise',
            'row_in_apostrophes_needed',
        }
