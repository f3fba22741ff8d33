"""Hints tell what may be wrong in rows that are stored as they are."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import duckdb
import pytest

from core.analysis.ingest.hints import _bound, hints, spelled_alike
from tests.unit.analysis.ingest.reading import converted, table

TENS = [f'{10 + (7 * place) % 9}.5' for place in range(30)]


def told(folder: Path, text: str, **options: Any) -> list[dict[str, Any]]:
    manifest, _ = converted(folder, text, **options)
    return [dict(hint) for hint in manifest.hints]


def test_values_far_out_are_told_with_the_step_that_would_help(tmp_path: Path) -> None:
    (hint,) = told(tmp_path, table('y', [*TENS[:10], '99999', *TENS[10:], '99999']))
    assert hint.pop('key').startswith('far_out-')
    assert hint == {
        'kind': 'far_out',
        'text': (
            '2 values lie far out in y: 99,999 (line 12), 99,999 (line 33); the others lie between 10.5 and 18.5. '
            '99,999 (2 times) may stand for a missing value. '
            'A step of the recipe would empty those above 26.5, in later files too.'
        ),
        'column': 'y',
        'count': 2,
        'lines': [12, 33],
        'series': [''],
        'low': 10.5,
        'high': 18.5,
        'step': {'do': 'clip', 'how': 'fixed', 'columns': ['y'], 'action': 'empty', 'high': 26.5},
    }


def test_the_key_of_a_hint_changes_with_what_is_told_alone(tmp_path: Path) -> None:
    def key(name: str, *cells: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        (hint,) = told(folder, table('y', [*TENS, *cells]))
        return str(hint['key'])

    assert key('one', '99999') == key('more', '17.5', '99999') != key('two', '99999', '99999')


def test_values_far_out_on_both_sides_are_told_together(tmp_path: Path) -> None:
    (hint,) = told(tmp_path, table('y', ['-9999', *TENS, '99999']))
    assert (hint['count'], hint['step']['low'], hint['step']['high']) == (2, 2.5, 26.5)
    assert hint['text'].startswith('2 values lie far out in y: 99,999 (line 33), -9,999 (line 2)')
    assert 'would empty those below 2.5 or above 26.5, in later files too' in hint['text']


def test_marks_of_missing_values_and_scattered_values_are_told_together(tmp_path: Path) -> None:
    cells = [*TENS * 3, *(['-9999'] * 17), '1050.5', '9000.5', '40000']
    (hint,) = told(tmp_path, table('y', cells))
    assert (hint['count'], hint['step']['low'], hint['step']['high']) == (20, 2.5, 26.5)
    assert 'and 17 more; the others lie between 10.5 and 18.5. -9,999 (17 times) may stand' in hint['text']


@pytest.mark.parametrize('mark', ['-9999', '999', '-999.9'])
def test_a_mark_of_missing_values_may_be_there_often_but_not_near(tmp_path: Path, mark: str) -> None:
    (hint,) = told(tmp_path, table('y', [*(str(300 + 7 * place) for place in range(30)), *([mark] * 7)]))
    assert hint['count'] == 7
    (tmp_path / 'near').mkdir()
    assert told(tmp_path / 'near', table('y', [*(str(900 + 7 * place) for place in range(14)), '999', '999'])) == []


def test_a_bound_leaves_room_for_more_than_was_seen_and_stays_a_whole_number(tmp_path: Path) -> None:
    cells = [str(60 + (7 * place) % 39) for place in range(40)]
    (hint,) = told(tmp_path, table('y', [*cells, '-9999', '999']))
    assert (hint['low'], hint['high'], hint['step']['low'], hint['step']['high']) == (60, 98, 22, 136)


@pytest.mark.parametrize(
    ('end', 'other', 'far', 'bound'),
    [
        pytest.param(98.0, 0.0, 999.0, 196.0, id='as far again'),
        pytest.param(98.0, 0.0, 101.0, 99.0, id='whole, before the nearest'),
        pytest.param(0.0, 98.0, -3.0, -1.0, id='below, before the nearest'),
        pytest.param(0.3, 0.1, 9.9, 0.5, id='no noise of sums'),
        pytest.param(1e308, -7e307, 1.7e308, 1.35e308, id='near the largest number'),
    ],
)
def test_a_bound_lies_between_the_values_and_what_is_far_out(
    end: float, other: float, far: float, bound: float
) -> None:
    assert _bound(end, other, far) == bound


@pytest.mark.parametrize(
    'cells',
    [
        pytest.param([*TENS, '40.5'], id='a peak'),
        pytest.param(['0'] * 40 + ['1'], id='two states'),
        pytest.param([*TENS, *(['99999'] * 20)], id='many'),
        pytest.param([str(2**place) for place in range(24)], id='growth'),
        pytest.param(['7'] * 30, id='a constant'),
    ],
)
def test_what_is_common_or_near_is_not_far_out(tmp_path: Path, cells: list[str]) -> None:
    assert told(tmp_path, table('y', cells)) == []


def test_a_series_that_lies_elsewhere_as_a_whole_is_not_far_out(tmp_path: Path) -> None:
    small = [f'2024-01-{day:02},{name},{TENS[day]}' for name in 'abcdefghijklmnopqrstuvwxyz' for day in range(1, 29)]
    large = [f'2024-01-{day:02},total,99999' for day in range(1, 4)]
    assert told(tmp_path, '\n'.join(['ds,id,y', *small, *large, ''])) == []


def test_series_whose_names_differ_in_case_or_blanks_may_be_one(tmp_path: Path) -> None:
    names = ['Berlin', 'berlin', 'New  York', 'New York', 'Oslo']
    rows = [
        f'2024-01-{day:02},{name},{TENS[day]}' for name in names for day in range(1, 29 if name[0].isupper() else 9)
    ]
    hints = told(tmp_path, '\n'.join(['ds,id,y', *rows, '']))
    assert [(hint['kind'], hint['series'], hint['step']) for hint in hints] == [
        ('alike', ['New  York', 'New York'], merge('id', 'New York', to='New  York')),
        ('alike', ['Berlin', 'berlin'], merge('id', 'berlin', to='Berlin')),
    ]
    assert hints[1]['text'] == (
        '"Berlin" (28 rows) and "berlin" (8 rows) may be one series: their names differ in case alone. '
        'A step of the recipe would merge them into "Berlin", in later files too; '
        'of rows with the same time the last is kept.'
    )
    assert hints[0]['text'].startswith('"New␣␣York" (28 rows) and "New York" (28 rows) may be one series: ')
    steps = [hint['step'] for hint in hints]
    again = tmp_path / 'again'
    again.mkdir()
    assert told(again, '\n'.join(['ds,id,y', *rows, '']), recipe=steps) == []


def test_names_that_differ_in_blanks_punctuation_case_and_accents_alone_are_all_found(tmp_path: Path) -> None:
    pairs = {
        ('South Plant', 'SouthPlant'): 'blanks', ('Riverside', 'River side'): 'blanks',
        ('East Gate', 'Eastgate'): 'case or blanks', ('Old Town', 'Old-Town'): 'blanks or punctuation',
        ('West End', 'West-End'): 'blanks or punctuation', ('Castle Hill', 'Castle  Hill'): 'blanks',
        ('Airport', 'AIRPORT'): 'case', ('Genève', 'Geneve'): 'accents', ('Univ', 'Univ.'): 'punctuation',
    }  # fmt: skip
    apart = ['Rack 1.1', 'Rack 11', 'Load', 'Load %', 'カス', 'ガス', 'A1', 'A2']
    rows = [
        f'2024-01-{day:02},{first},{TENS[day]}'
        for first in [*(pair[0] for pair in pairs), *apart]
        for day in range(1, 9)
    ]
    rows += [f'2024-02-0{day},{second},{TENS[day]}' for _, second in pairs for day in (1, 2)]
    hints = told(tmp_path, '\n'.join(['ds,id,y', *rows, '']))
    assert {tuple(hint['values']) for hint in hints} == set(pairs)
    for hint in hints:
        assert f'their names differ in {pairs[tuple(hint["values"])]} alone.' in hint['text']
    assert any('"Castle␣␣Hill" (2 rows)' in hint['text'] for hint in hints)


def merge(column: str, *values: str, to: str) -> dict[str, Any]:
    return {'do': 'merge', 'column': column, 'values': list(values), 'to': to}


def test_of_several_keys_the_one_that_is_spelled_otherwise_is_named(tmp_path: Path) -> None:
    names = [('Oslo', 'a'), ('oslo', 'a'), ('Oslo', 'b'), ('oslo', 'b')]
    rows = [f'2024-01-{day:02},{city},{shop},{TENS[day]}' for city, shop in names for day in range(1, 9)]
    text = '\n'.join(['ds,city,shop,y', *rows[:-1], ''])
    (hint,) = told(tmp_path, text, roles={'city': 'series', 'shop': 'series'})
    assert hint['text'].startswith('"Oslo" (16 rows) and "oslo" (15 rows) in city may be one name: ')
    assert (hint['values'], hint['series']) == (['Oslo', 'oslo'], ['Oslo · a', 'oslo · a'])
    assert hint['step'] == merge('city', 'oslo', to='Oslo')


def test_columns_whose_names_differ_in_case_may_be_one_series(tmp_path: Path) -> None:
    names = ['Oslo', 'oslo', *(f'City {place}' for place in range(60))]
    rows = [','.join([f'2024-01-{day:02}', *[TENS[day]] * (len(names) - (day > 8))]) for day in range(1, 12)]
    text = '\n'.join([','.join(['ds', *names]), *rows, ''])
    (hint,) = told(tmp_path, text)
    assert hint['text'].startswith(
        '"Oslo" (11 rows) and "oslo_2" (11 rows, written "oslo") may be one series: their names differ in case '
        'alone. A step of the recipe would merge them into "Oslo", in later files too'
    )
    assert hint['step'] == merge('series', 'oslo_2', to='Oslo')
    assert hint['values'] == ['Oslo', 'oslo_2']
    again = tmp_path / 'again'
    again.mkdir()
    assert told(again, text, recipe=[hint['step']]) == []


def test_columns_of_one_name_or_with_numbers_of_their_own_are_no_spellings() -> None:
    numbered = spelled_alike(['ds', 'Oslo', 'oslo_2', 'OSLO_3'], ['ds', 'Oslo', 'oslo', 'OSLO '])
    assert numbered == {'oslo_2': 'oslo', 'OSLO_3': 'OSLO '}
    assert spelled_alike(['ds', 'Oslo', 'Oslo_2'], ['ds', 'Oslo', 'Oslo ']) == {'Oslo_2': 'Oslo '}
    assert spelled_alike(['a', 'a_2', 'Sensor', 'sensor_2', 'c'], ['a', 'a', 'Sensor', 'sensor_2', '']) == {}


def test_the_name_that_series_are_merged_into_has_no_blanks_around_it(tmp_path: Path) -> None:
    rows = [
        f'2024-01-{day:02},{name},{TENS[day]}' for name, days in (('Oslo ', 20), ('Oslo', 9)) for day in range(1, days)
    ]
    text = '\n'.join(['ds,id,y', *rows, ''])
    (hint,) = told(tmp_path, text, off=['padding'])
    assert hint['step'] == merge('id', 'Oslo ', to='Oslo')


def test_a_step_holds_as_many_spellings_as_an_address_does(tmp_path: Path) -> None:
    word = 'abcdefghij' * 40
    names = [word, *(word[:place].upper() + word[place:] for place in range(1, 20))]
    rows = [f'2024-01-{day:02},{name},{TENS[day]}' for name in names for day in (1, 2)]
    (hint,) = told(tmp_path, '\n'.join(['ds,id,y', *rows, '']))
    assert 0 < sum(map(len, hint['step']['values'])) <= 2000


def test_a_step_that_merges_names_the_column_as_it_was_before_the_recipe(tmp_path: Path) -> None:
    rows = [f'2024-01-{day:02},{name},{TENS[day]}' for name in ('Oslo', 'oslo') for day in range(1, 9)]
    renamed = [{'do': 'rename', 'column': 'id', 'to': 'city'}]
    (hint,) = told(tmp_path, '\n'.join(['ds,id,y', *rows, '']), recipe=renamed)
    assert (hint['column'], hint['step']) == ('city', merge('id', 'oslo', to='Oslo'))


def test_a_recipe_that_takes_them_out_leaves_no_hint(tmp_path: Path) -> None:
    text = table('y', [*TENS, '99999'])
    assert told(tmp_path, text, recipe=[{'do': 'clip', 'how': 'fixed', 'high': 18.5, 'action': 'empty'}]) == []


class Counting:
    """A connection that counts what it is asked."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self.asked = 0

    def execute(self, *told: Any) -> duckdb.DuckDBPyConnection:
        self.asked += 1
        return self.connection.execute(*told)


def scans(folder: Path, *measures: int, far: str) -> list[tuple[list[str], int]]:
    """Return which of so many columns bear hints, and how often rows were read; the far values are of a series.

    Each number is asked of the first columns of one file, which has the most.
    """
    most = max(measures)
    cells = [('a', cell) for cell in TENS] + [(far, '99999'), (far, '-9999')]
    days = [(datetime(2024, 1, 1) + timedelta(days=day)).date().isoformat() for day in range(len(cells))]
    rows = [','.join([day, *cell, *([cell[1]] * (most - 1))]) for day, cell in zip(days, cells, strict=True)]
    head = ','.join(['ds', 'id', *(f'y{place}' for place in range(most))])
    manifest, into = converted(folder, '\n'.join([head, *rows, '']), shape='long')
    assert [column.name for column in manifest.columns][:3] == ['ds', 'id', 'y0']
    parts, series, found = sorted(into.glob('data-*.parquet')), into / 'series.parquet', []
    with duckdb.connect() as connection:
        for many in measures:
            counting = Counting(connection)
            told = hints(cast('duckdb.DuckDBPyConnection', counting), parts, manifest.columns[: 2 + many], series)
            found.append(([hint['column'] for hint in told], counting.asked))
    return found


def test_looking_ends_when_there_are_hints_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('core.analysis.ingest.hints.MOST', 2)
    (few, asked), (many, still) = scans(tmp_path, 2, 6, far='a')
    assert few == many == ['y0', 'y1']
    assert still == asked


@pytest.mark.slow
def test_of_columns_that_bear_no_hint_only_some_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the gap lies a series as a whole, which only another look tells."""
    monkeypatch.setattr('core.analysis.ingest.hints.MOST', 2)
    monkeypatch.setattr('core.analysis.ingest.hints.LOOKED', 8)
    (found, asked), (more, still) = scans(tmp_path, 8, 10, far='b')
    assert found == more == []
    assert still == asked


def _daily(*more: str, many: int = 100) -> str:
    days = [f'{datetime(2023, 1, 1) + timedelta(days=day):%Y-%m-%d},{TENS[day % 30]}' for day in range(many)]
    return '\n'.join(['my day,y', *days, *more, ''])


def test_times_far_from_all_others_are_told_with_the_step_that_takes_them_out(tmp_path: Path) -> None:
    (hint,) = told(tmp_path, _daily('2999-12-31,11.5', '1900-01-01,12.5'))
    assert hint.pop('key').startswith('far_times-')
    step = {'do': 'filter', 'where': '`my day` >= "1962-01-01" and `my day` < "2512-01-01"'}
    assert hint == {
        'kind': 'far_times',
        'text': (
            '2 rows lie far from all other times in my day: 2999-12-31 (line 102), 1900-01-01 (line 103); the others '
            'lie between 2023-01-01 and 2023-04-10. They may stand for no date. A step of the recipe would take out '
            'rows before 1962 or from 2512 on, in later files too.'
        ),
        'column': 'my day',
        'count': 2,
        'lines': [102, 103],
        'series': [''],
        'low': '2023-01-01',
        'high': '2023-04-10',
        'step': step,
    }
    (tmp_path / 'after').mkdir()
    manifest, _ = converted(tmp_path / 'after', _daily('2999-12-31,11.5', '1900-01-01,12.5'), recipe=[step])
    assert (manifest.hints, manifest.time.start, manifest.recipe[0]['rows_after']) == ((), '2023-01-01T00:00:00Z', 100)


@pytest.mark.parametrize(
    ('text', 'where'),
    [
        (
            'at,id,y\n'
            + ''.join(f'2024-01-{day:02} {hour:02}:00,{name},{day}.5\n' for name in 'ab' for day in range(1, 9)
                      for hour in range(3))
            + '1970-01-01 00:00,a,1.5\n1970-01-01 00:00,b,1.5\n',
            '`at` >= "1997-01-01"',
        ),
        ('year,y\n' + ''.join(f'{1990 + year},{TENS[year]}\n' for year in range(30)) + '2099,1.5\n', '`year` < 2060'),
        (
            'at,y\n' + ''.join(f'2024-01-01T{hour:02}:00:00+02:00,{hour}.5\n' for hour in range(24))
            + '2099-12-31T00:00:00Z,1.5\n',
            '`at` < "2062-01-01"',
        ),
    ],
)  # fmt: skip
def test_times_of_every_type_that_lie_far_from_the_others_are_taken_out(tmp_path: Path, text: str, where: str) -> None:
    (hint,) = told(tmp_path, text)
    assert (hint['kind'], hint['step']) == ('far_times', {'do': 'filter', 'where': where})
    (tmp_path / 'after').mkdir()
    assert told(tmp_path / 'after', text, recipe=[hint['step']]) == []


@pytest.mark.parametrize(
    'text',
    [
        pytest.param(_daily(), id='none'),
        pytest.param(_daily('2029-01-01,11.5'), id='not so far'),
        pytest.param(_daily('2999-12-31,11.5', many=9), id='of few'),
        pytest.param(_daily(*(f'2043-01-{day:02},11.5' for day in range(1, 29))), id='many'),
        pytest.param(
            'year,y\n' + ''.join(f'{1900 + year},{TENS[year % 30]}\n' for year in range(80)) + '1995,1.5\n',
            id='a pause as others may be',
        ),
    ],
)
def test_other_times_lie_nowhere_far(tmp_path: Path, text: str) -> None:
    assert told(tmp_path, text) == []


def test_times_far_from_all_others_are_told_by_the_clock_of_their_zone(tmp_path: Path) -> None:
    hours = [f'2024-01-01 {hour:02}:00,{TENS[hour]}' for hour in range(24)]
    text = '\n'.join(['at,y', '1000-01-01 00:00,10.5', *hours, '2999-12-31 23:30,11.5', ''])
    (hint,) = told(tmp_path, text, time_zone='Asia/Tokyo')
    assert (
        '1000-01-01 (line 2), 2999-12-31 (line 27); the others lie between 2024-01-01 and 2024-01-01.' in hint['text']
    )
