"""Types and roles of columns."""

import importlib
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.analysis import tables
from core.errors import AmbiguousDates, NoTimeColumn, UsageError
from tests.unit.analysis.ingest.cells import read_cells
from tests.unit.analysis.ingest.reading import converted, faults, inspected, stored, table


def column(report: dict[str, Any], name: str) -> tuple[str, str]:
    return next((c['type'], c['role']) for c in report['columns'] if c['name'] == name)


@pytest.mark.parametrize(
    ('cells', 'kind', 'role'),
    [
        (['1', '2', '-3', '+4'], 'integer', 'measure'),
        (['1', '2.5', '3', '4'], 'decimal', 'measure'),
        (['1.123456789', '2.5', '3', '4'], 'double', 'measure'),
        (['1e3', '2e-4', '3', '4'], 'double', 'measure'),
        (['1', 'NA', '', '4', 'n/a'], 'integer', 'measure'),
        (['1,5', '2,25', '3,0', '4'], 'decimal', 'measure'),
        (['1.234,5', '2.000,25', '3,0', '4'], 'decimal', 'measure'),
        (['12.5%', '3%', '4.25%'], 'decimal', 'measure'),
        (['$1', '$2,500.00', '-$3'], 'decimal', 'measure'),
        (['(12)', '5', '7'], 'integer', 'measure'),
        (['true', 'false', 'true'], 'boolean', 'attribute'),
        (['Yes', 'no', 'YES'], 'boolean', 'attribute'),
        (['007', '012', '123'], 'text', 'attribute'),
        (['0007', '-012', '0123'], 'integer', 'measure'),
        (['12345678901234567890', '98765432109876543210'], 'text', 'attribute'),
        (['1_000', '2_000'], 'text', 'attribute'),
        (['0x10', '0x20'], 'text', 'attribute'),
        (['infinity', 'epoch', 'now'], 'text', 'attribute'),
        (['red', 'green', 'blue'], 'text', 'attribute'),
    ],
)
def test_type_of_a_column(tmp_path: Path, cells: list[str], kind: str, role: str) -> None:
    report = inspected(tmp_path, table('value', cells))
    assert column(report, 'value') == (kind, role)
    assert column(report, 'ds') == ('date', 'time')


@pytest.mark.parametrize(
    ('cells', 'value'),
    [
        (['1,5', '2,25', '3,0'], 1.5),
        (['1.234,5', '2.000,25', '3,0'], 1234.5),
        (['1,234.5', '2,000.25', '3.0'], 1234.5),
        (["1'234.5", "2'000.25", '3.0'], 1234.5),
        (['1 234,5', '2 000,25', '3,0'], 1234.5),
        (['€ 12,50', '€ 3,25', '€ 1,10'], 12.5),
        (['12.5 %', '3 %', '4 %'], 12.5),
        (['−5.5', '3.25', '1.5'], -5.5),
    ],
)
def test_formats_of_numbers_are_no_faults(tmp_path: Path, cells: list[str], value: float) -> None:
    manifest, into = converted(tmp_path, table('value', cells))
    assert float(stored(into, 'value')[0][0]) == value
    assert (manifest.rows_accepted, manifest.faults_total) == (len(cells), 0)


def test_a_format_that_first_appears_far_down_still_counts(tmp_path: Path) -> None:
    cells = [f'{i}' for i in range(990)] + [f'1,{i:03}.5' for i in range(10)]
    manifest, into = converted(tmp_path, minutes('value', cells, delimiter=';'))
    assert manifest.faults_total == 0
    assert float(stored(into, 'max(value)')[0][0]) == 1009.5


def test_a_record_whose_only_measure_spells_a_missing_value_is_one_fault(tmp_path: Path) -> None:
    cells = [f'{i}.5' for i in range(60)] + ['NaN', '']
    manifest, into = converted(tmp_path, minutes('value', cells, delimiter=';'))
    assert faults(into) == [
        (62, 'value', 'null_spelling', 'NaN', 'rejected'),
        (63, None, 'no_measure', None, 'rejected'),
    ]
    assert manifest.rows_rejected == 2


def test_a_lone_thousands_separator_is_not_guessed(tmp_path: Path) -> None:
    cells = [f'{1000 + i}.5' for i in range(30)] + ['1,234']
    manifest, into = converted(tmp_path, minutes('value', cells, delimiter=';'))
    assert [fault[2:] for fault in faults(into)] == [
        ('not_a_number', '1,234', 'rejected'),
    ]
    assert manifest.rows_rejected == 1


def test_overflow_is_listed_not_stored_as_infinity(tmp_path: Path) -> None:
    _, into = converted(tmp_path, 'ds,a,b\n2024-01-01,1.5,1\n2024-01-02,1e400,2\n2024-01-03,2.5,3\n2024-01-04,3.5,4\n')
    assert faults(into) == [(3, 'a', 'out_of_range', '1e400', 'emptied')]
    assert [row[0] for row in stored(into, 'a')][1] is None


@pytest.mark.parametrize(
    ('first', 'second', 'kind', 'expected'),
    [
        ('2024-01-31', '2024-02-01', 'date', '2024-01-31'),
        ('2024-01-31 13:00', '2024-02-01 14:00', 'timestamp', '2024-01-31 13:00'),
        ('2024-01-31T13:00:00.250', '2024-02-01T13:00:00.250', 'timestamp', '2024-01-31 13:00:00.250'),
        ('2024-01-31T13:00:00+02:00', '2024-02-01T13:00:00+02:00', 'timestamptz', '2024-01-31 11:00'),
        ('2024-01-31T13:00:00Z', '2024-02-01T13:00:00Z', 'timestamptz', '2024-01-31 13:00'),
        ('2024-01-31 13:00:00 -0530', '2024-02-01 13:00:00 -0530', 'timestamptz', '2024-01-31 18:30'),
        ('1949-01', '1949-02', 'date', '1949-01-01'),
        ('2001-Q2', '2001-Q3', 'date', '2001-04-01'),
        ('Q2 2001', 'Q3 2001', 'date', '2001-04-01'),
        ('1949', '1950', 'integer', '1949-01-01'),
        ('194902', '194903', 'date', '1949-02-01'),
        ('20240131', '20240201', 'date', '2024-01-31'),
        ('20240131T130000Z', '20240201T130000Z', 'timestamptz', '2024-01-31 13:00'),
        ('1706706000', '1706709600', 'timestamptz', '2024-01-31 13:00'),
        ('1706706000250', '1706709600250', 'timestamptz', '2024-01-31 13:00:00.250'),
        ('31/01/2024', '01/02/2024', 'date', '2024-01-31'),
        ('31.01.2024 13:00', '01.02.2024 14:00', 'timestamp', '2024-01-31 13:00'),
        ('01/31/2024 1:05 PM', '02/01/2024 1:05 PM', 'timestamp', '2024-01-31 13:05'),
        ('31-Jan-2024', '01-Feb-2024', 'date', '2024-01-31'),
        ('Jan 31 2024', 'Feb 1 2024', 'date', '2024-01-31'),
        ('Wed 31 January 2024', 'Thu 1 February 2024', 'date', '2024-01-31'),
        ('Jan 2024', 'Feb 2024', 'date', '2024-01-01'),
        ('2001-W05', '2001-W06', 'date', '2001-01-29'),
        ('2024/01/31', '2024/02/01', 'date', '2024-01-31'),
    ],
)
def test_formats_of_times(tmp_path: Path, first: str, second: str, kind: str, expected: str) -> None:
    column, values = read_cells(tmp_path, 'date', [first, second])
    assert (column.type, values[0]) == (kind, datetime.fromisoformat(expected))
    assert (column.unread, column.repaired) == (0, {})


@pytest.mark.parametrize(
    ('first', 'second', 'kind', 'expected'),
    [
        ('31-Jan-2024', '01-Feb-2024', 'date', '2024-01-31'),
        ('31.01.2024 13:00', '01.02.2024 14:00', 'timestamp', '2024-01-31 13:00'),
        ('2024-01-31 13:00:00 -0530', '2024-02-01 13:00:00 -0530', 'timestamptz', '2024-01-31 18:30'),
        ('1949', '1950', 'integer', '1949-01-01'),
        ('1706706000250', '1706709600250', 'timestamptz', '2024-01-31 13:00:00.250'),
    ],
)
def test_times_of_each_type_are_stored(tmp_path: Path, first: str, second: str, kind: str, expected: str) -> None:
    manifest, into = converted(tmp_path, f'date;y\n{first};1\n{second};2\n')
    assert manifest.columns[0].type == kind
    assert stored(into, '_time')[0][0] == datetime.fromisoformat(expected)
    assert manifest.faults_total == 0


def test_day_and_month_that_cannot_be_told_apart_are_asked_for(tmp_path: Path) -> None:
    text = 'date,y\n' + ''.join(f'{a:02}/{a:02}/2024,{a}\n' for a in (1, 2, 5, 7, 8, 11))
    with pytest.raises(AmbiguousDates, match='day or the month'):
        converted(tmp_path, text)
    assert any('day or the month' in note for note in inspected(tmp_path, text)['notes'])


@pytest.mark.parametrize(('day_first', 'expected'), [(True, datetime(2024, 2, 1)), (False, datetime(2024, 1, 2))])
def test_the_user_settles_day_and_month(tmp_path: Path, day_first: bool, expected: datetime) -> None:
    _, into = converted(tmp_path, 'date,y\n01/02/2024,1\n05/02/2024,2\n11/02/2024,3\n', day_first=day_first)
    assert stored(into, 'min(_time)')[0][0] == expected


BOTH_ORDERS = 'date,y\n' + ''.join(
    f'{day:02}/01/2024,{day}\n01/{day:02}/2024,{day + 100}\n' + (f'2024-02-{day:02},7\n' if day % 7 == 0 else '')
    for day in range(1, 21)
)
"""Eight dates that only the day can lead, eight only the month; the others fit both, two are ISO."""


def test_dates_of_both_orders_are_asked_for_with_what_they_prove(tmp_path: Path) -> None:
    with pytest.raises(AmbiguousDates) as refused:
        converted(tmp_path, BOTH_ORDERS)
    said = str(refused.value)
    assert 'in 8 only the day can come first, such as 13/01/2024, in 8 only the month, such as 01/13/2024' in said
    assert 'What the 22 that fit both, such as 02/01/2024, mean cannot be known' in said
    assert refused.value.details['column'] == 'date'
    assert said in inspected(tmp_path, BOTH_ORDERS)['notes']


@pytest.mark.parametrize(('day_first', 'second'), [(True, datetime(2024, 1, 2)), (False, datetime(2024, 2, 1))])
def test_of_both_orders_each_date_is_read_as_the_one_thing_it_can_mean(
    tmp_path: Path, day_first: bool, second: datetime
) -> None:
    options = {'day_first': day_first, 'off': ['duplicate']}
    manifest, into = converted(tmp_path, BOTH_ORDERS, **options)
    assert (manifest.rows_repaired, manifest.rows_rejected) == (8 + 2, 0)
    assert manifest.faults_by_kind == {'date_format': 8 + 2}
    meant = dict(stored(into, 'y, _time'))
    assert meant[2] == second, 'what fits both is read as the user says'
    assert (meant[13], meant[113], meant[20]) == (datetime(2024, 1, 13), datetime(2024, 1, 13), datetime(2024, 1, 20))
    assert any(
        f'fit both, such as 02/01/2024, the {"day" if day_first else "month"} is taken' in n
        for n in manifest.source.notes
    )


def test_a_date_of_the_other_order_among_many_is_read_without_a_question(tmp_path: Path) -> None:
    cells = [f'{day:02}/03/2024,{day}\n' for day in range(1, 31)]
    manifest, into = converted(tmp_path, 'date,y\n' + ''.join(cells) + '03/31/2024,31\n')
    assert stored(into, 'max(_time)') == [(datetime(2024, 3, 31),)]
    assert faults(into) == [(32, 'date', 'date_format', '03/31/2024', 'repaired')]
    assert any('only the month, such as 03/31/2024' in note for note in manifest.source.notes)


def test_dates_of_both_orders_of_which_none_fits_both_need_no_answer(tmp_path: Path) -> None:
    text = 'date,y\n' + ''.join(f'{day}/01/2024,{day}\n02/{day}/2024,{day}\n' for day in range(13, 29))
    manifest, into = converted(tmp_path, text)
    assert (manifest.rows_rejected, stored(into, 'count(DISTINCT _time)')) == (0, [(32,)])


def test_without_the_repair_the_rarer_order_is_rejected(tmp_path: Path) -> None:
    manifest, _ = converted(tmp_path, BOTH_ORDERS, day_first=True, off=['date_format', 'duplicate'])
    assert manifest.faults_by_kind == {'not_a_time': 8 + 2}


@pytest.mark.parametrize('day_first', [True, False])
def test_iso_dates_among_others_are_read_whichever_order_the_user_says(tmp_path: Path, day_first: bool) -> None:
    text = 'date,y\n' + ''.join(f'{a:02}/{b:02}/2024,{a}\n' for a in range(1, 8) for b in (3, 9)) + '2024-05-06,9\n'
    manifest, into = converted(tmp_path, text, day_first=day_first, off=['duplicate'])
    assert (manifest.rows_repaired, manifest.rows_rejected) == (1, 0)
    assert (datetime(2024, 5, 6),) in stored(into, '_time')


def test_the_order_that_gives_a_regular_step_is_taken(tmp_path: Path) -> None:
    text = 'date,y\n' + ''.join(f'01/{month:02}/{year},1\n' for year in range(2015, 2020) for month in range(1, 13))
    manifest, _ = converted(tmp_path, text)
    assert manifest.time.freq == 'MS'


def test_an_id_with_repeated_times_names_the_series(tmp_path: Path) -> None:
    rows = [f'2024-01-{day:02},{shop},{kind},{day}' for shop in 'ab' for kind in 'xy' for day in range(1, 10)]
    manifest, into = converted(tmp_path, '\n'.join(['ds,shop,kind,y', *rows, '']))
    assert manifest.series.columns == ('shop', 'kind')
    assert manifest.series.first == ('a · x', 'a · y', 'b · x', 'b · y')
    assert stored(into, 'DISTINCT _series')


def test_a_column_that_follows_from_the_key_stays_an_attribute(tmp_path: Path) -> None:
    rows = [f'2024-01-{day:02},{shop},{town},{day}' for shop, town in ('ax', 'by', 'cx') for day in range(1, 10)]
    report = inspected(tmp_path, '\n'.join(['ds,store_id,town,y', *rows, '']))
    assert column(report, 'store_id')[1] == 'series'
    assert column(report, 'town')[1] == 'attribute'


def test_numbers_may_name_series_as_a_last_resort(tmp_path: Path) -> None:
    rows = [f'2024-01-{day:02},{shop},{day}.5' for shop in (3, 9) for day in range(1, 10)]
    report = inspected(tmp_path, '\n'.join(['ds,branch,y', *rows, '']))
    assert column(report, 'branch') == ('integer', 'series')


def test_a_running_number_is_no_measure(tmp_path: Path) -> None:
    rows = [f'{i},2024-01-{i:02},{i}.5' for i in range(1, 10)]
    report = inspected(tmp_path, '\n'.join(['index,ds,y', *rows, '']))
    assert column(report, 'index') == ('integer', 'attribute')


def test_a_measure_with_a_few_unreadable_cells_stays_a_measure(tmp_path: Path) -> None:
    cells = ['1', '2', 'oops', '4', '5', '6', 'oops', '8', '9', '10']
    manifest, into = converted(tmp_path, table('value', cells), keep_unmeasured=True)
    assert (manifest.measures, manifest.faults_by_kind) == (('value',), {'not_a_number': 2})
    assert [fault[0] for fault in faults(into)] == [4, 8]


def test_a_column_that_is_mostly_numbers_and_stays_text_is_noted(tmp_path: Path) -> None:
    cells = [f'{i}' if i % 4 else f'A{i}' for i in range(60)]
    report = inspected(tmp_path, table('value', cells))
    assert column(report, 'value') == ('text', 'attribute')
    assert report['notes'] == ['Column "value" is text, though 45 of 60 cells are numbers.']


def test_whole_numbers_called_an_id_are_never_measured(tmp_path: Path) -> None:
    apart = [f'{key},2024-{key:02}-{day:02},{day}.5' for key in (1, 2, 3) for day in range(1, 21)]
    turns = [f'{day % 3},2024-01-{day:02},{day}.5' for day in range(1, 29)]
    for rows in (apart, turns):
        report = inspected(tmp_path, '\n'.join(['id,ds,y', *rows, '']))
        assert (column(report, 'id'), column(report, 'y')[1]) == (('integer', 'series'), 'measure')


@pytest.mark.parametrize('key', ['shop', 'a', '7'])
def test_a_repeated_time_does_not_unseat_a_key(tmp_path: Path, key: str) -> None:
    rows = [f'{key},2024-01-{day:02},{day}.5' for day in (*range(1, 21), 20)]
    assert column(inspected(tmp_path, '\n'.join(['store_id,ds,y', *rows, ''])), 'store_id')[1] == 'series'


def test_the_user_roles_win(tmp_path: Path) -> None:
    text = 'a,b,c\n2024-01-01,2020-01-01,1\n2024-01-02,2020-01-05,2\n'
    manifest, _ = converted(tmp_path, text, roles={'b': 'time', 'a': 'attribute', 'c': 'measure'})
    assert manifest.time.column == 'b'
    with pytest.raises(UsageError, match='no column "zz"'):
        inspected(tmp_path, text, roles={'zz': 'time'})
    with pytest.raises(UsageError, match='nothing that can be read as a number'):
        inspected(tmp_path, 'ds,a\n2024-01-01,red\n2024-01-02,blue\n', roles={'a': 'measure'})


def test_of_all_roles_that_a_page_sends_those_that_differ_were_chosen(tmp_path: Path) -> None:
    rows = [
        f'2024-01-{day:02},{shop},{channel},{"" if shop == "c" else "x"},{day}'
        for day in range(1, 11)
        for shop in 'abc'
        for channel in ('web', 'desk')[: 1 + (day < 10)]
    ]
    text = '\n'.join(['day,store,channel,region,y', *rows, ''])
    found = {c['name']: (c['role'], c['reason']) for c in inspected(tmp_path, text)['columns']}
    shown = {name: role for name, (role, _) in found.items()}
    again = inspected(tmp_path, text, roles=shown | {'region': 'series'})
    assert {c['name']: (c['role'], c['reason']) for c in again['columns']} == found | {
        'region': ('series', 'chosen by you')
    }


def test_names_of_columns_never_collide_with_ours(tmp_path: Path) -> None:
    manifest, into = converted(tmp_path, '_time,Temp,temp,"a""; DROP TABLE x"\n2024-01-01,1,2,3\n2024-01-02,2,3,4\n')
    assert [c.name for c in manifest.columns] == ['_time_2', 'Temp', 'temp_2', 'a"; DROP TABLE x']
    assert manifest.columns[0].source == '_time'
    assert stored(into, 'temp_2') == [(2,), (3,)]


def test_the_names_of_our_queries_are_names_for_columns(tmp_path: Path) -> None:
    ours = [
        'bin', 'slice', 'key', 'n', 't', 'v', 'x', 's', 'step', 'start', 'series', 'measure', 'id', 'line', 'value',
        'kind', 'label', 'place', 'c0', 'file_row_number', 'filename', 'count', 'select', '_key', '_place', '_many',
        '_content', '_label', '_fold2', '_record', '_other',
    ]  # fmt: skip
    rows = [['ds', *ours], *([f'2024-01-{day:02}', *(f'{day * 1.5 + place}' for place in range(len(ours)))]
                            for day in [*range(1, 28), 5])]  # fmt: skip
    rows[-1] = [*rows[-1][:-1], '999.5']
    manifest, into = converted(tmp_path, ''.join(','.join(row) + '\n' for row in rows))
    assert [c.source for c in manifest.columns] == ['ds', *ours]
    assert manifest.rows_rejected == 1
    assert stored(into, 'max("bin"), max("key"), max("_other_2")') == [(40.5, 42.5, 999.5)]


def test_a_column_called_as_our_sums_are_is_summed(tmp_path: Path) -> None:
    text = 'day,_fold1,b\n2024-01-01,1,5\n2024-01-01,2,6\n2024-01-02,3,7\n'
    manifest, into = converted(tmp_path, text, duplicates='sum')
    assert [column.source for column in manifest.columns] == ['day', '_fold1', 'b']
    assert stored(into, '"_fold1_2", b') == [(3, 11), (3, 7)]


def minutes(name: str, cells: list[str], *, delimiter: str = ',') -> str:
    rows = [f'2024-01-01 {i // 60:02}:{i % 60:02}{delimiter}{cell}' for i, cell in enumerate(cells)]
    return '\n'.join([f'ds{delimiter}{name}', *rows, ''])


@pytest.mark.parametrize(
    ('cells', 'kind', 'values'),
    [
        (['12.5 kg', '3 kg', '4.25 kg'], 'decimal', [12.5, 3, 4.25]),
        (['21 °C', '-3 °C'], 'integer', [21, -3]),
        (['5mW', '7.5mW'], 'decimal', [5, 7.5]),
        (['1.234,5 kWh', '2,25 kWh', '3,0 kWh'], 'decimal', [1234.5, 2.25, 3]),
        (['12.5 mg/L', '3.1 mg/L'], 'decimal', [12.5, 3.1]),
        (['5 apples', '7 apples'], 'integer', [5, 7]),
        (['€12.50', '€1,234.50', '-€3'], 'decimal', [12.5, 1234.5, -3]),
        (['12,50 €', '1.234,50 €'], 'decimal', [12.5, 1234.5]),
        (['USD 12.50', 'USD 3'], 'decimal', [12.5, 3]),
        (['R$ 5', 'R$ 7'], 'integer', [5, 7]),
        (['12.5%', '3.25%'], 'decimal', [12.5, 3.25]),
        (['1.2K', '3.45M', '7'], 'double', [1200, 3450000, 7]),
        (['1.2M', '3.45M'], 'double', [1200000, 3450000]),
        (['273.15K', '300K'], 'decimal', [273.15, 300]),
        (['1.234,50-', '2,5', '3,5'], 'decimal', [-1234.5, 2.5, 3.5]),
        (['1\u202f234,5', '2\u202f345,5'], 'decimal', [1234.5, 2345.5]),
        (['1’234.5', '2’345.5'], 'decimal', [1234.5, 2345.5]),
        (['1,234,567', '12,345', '2,345,678'], 'integer', [1234567, 12345, 2345678]),
        (['ja', 'nein', 'ja'], 'boolean', [True, False, True]),
        (['oui', 'non', 'oui'], 'boolean', [True, False, True]),
        (['T', 'F', 'T'], 'boolean', [True, False, True]),
        (['1', 'n.a.', '..', '—', '#DIV/0!', '2'], 'integer', [1, None, None, None, None, 2]),
        (['1,5', 'k.A.', 'keine Angabe', '2,25'], 'decimal', [1.5, None, None, 2.25]),
    ],
)
def test_units_currencies_and_words(tmp_path: Path, cells: list[str], kind: str, values: list[Any]) -> None:
    column, read = read_cells(tmp_path, 'measured', cells)
    assert (column.type, column.unread) == (kind, 0)
    assert [value if value is None else float(value) for value in read] == values


@pytest.mark.parametrize(
    'cells', [['5 kg', '500 g', '7 kg', '300 g'], ['1A', '2B', '3C'], ['12 Main', '7 Oak', '9 Elm']]
)
def test_numbers_with_several_words_are_text(tmp_path: Path, cells: list[str]) -> None:
    assert read_cells(tmp_path, 'thing', cells)[0].type == 'text'


@pytest.mark.parametrize(
    ('cell', 'value', 'repair'),
    [
        ('5 kg', 5, 'unit'),
        ('5kg', 5, 'unit'),
        (' 5.5\t', 5.5, 'padding'),
        ('n/a', None, 'null_spelling'),
        ('1.234,5', 1234.5, 'number_format'),
        ('12,5', 12.5, 'number_format'),
        ('$5', 5, 'number_format'),
        ('(5.5)', -5.5, 'number_format'),
        ('5.5-', -5.5, 'number_format'),
        ('1.234,5 €', 1234.5, 'number_format'),
        ('(1234.5 €)', -1234.5, 'number_format'),
    ],
)
def test_a_number_written_otherwise_is_a_repair(tmp_path: Path, cell: str, value: float | None, repair: str) -> None:
    cells = [*(f'{i}.5' for i in range(20)), cell]
    column, read = read_cells(tmp_path, 'y', cells)
    assert (read[-1], dict(column.repaired), column.unread) == (value, {repair: 1}, 0)
    column, read = read_cells(tmp_path, 'y', cells, off=[repair])
    assert (read[-1], column.unread, read[0]) == (None, 1, 0.5)


def test_a_unit_may_follow_a_number_with_thousands_marks(tmp_path: Path) -> None:
    cells = [*(f'1.{100 + i},5' for i in range(20)), '1.215,116 kWh', '499,657 kWh', '1.215.000 kWh']
    column, read = read_cells(tmp_path, 'y', cells)
    assert ([*map(float, read[-3:])], dict(column.repaired)) == ([1215.116, 499.657, 1215000], {'unit': 3})


@pytest.mark.parametrize('cell', ['5%', '1.2.3', '5 kg 3', '1.234.5'])
def test_a_number_that_may_mean_two_things_is_not_guessed(tmp_path: Path, cell: str) -> None:
    column, read = read_cells(tmp_path, 'y', [*(f'{i}.5' for i in range(20)), cell])
    assert (read[-1], column.unread, dict(column.repaired)) == (None, 1, {})


def test_of_two_units_among_bare_numbers_one_is_read(tmp_path: Path) -> None:
    column, read = read_cells(tmp_path, 'y', [*(f'{i}.5' for i in range(30)), '5 kg', '6 kg', '500 g'])
    assert (read[-3:], column.unread, dict(column.repaired)) == ([5, 6, None], 1, {'unit': 2})


def test_a_unit_of_a_column_makes_bare_numbers_odd(tmp_path: Path) -> None:
    column, read = read_cells(tmp_path, 'y', [*(f'{i}.5 kg' for i in range(20)), '7', '500 g'])
    assert (read[-2:], dict(column.repaired), column.unread) == ([7, None], {'unit': 1}, 1)


def test_words_for_missing_values_that_a_column_uses_much_are_no_repair(tmp_path: Path) -> None:
    column, _ = read_cells(tmp_path, 'y', ['1', 'NA', '2', 'NA', '3', 'NA', '4', 'NA'])
    assert (column.type, dict(column.repaired), column.filled) == ('integer', {}, 4)


def test_keys_lose_stray_blanks(tmp_path: Path) -> None:
    rows = [f'2024-01-{day:02},{"shop" if day != 3 else " shop "},{day}.5' for day in range(1, 29)]
    report = inspected(tmp_path, '\n'.join(['ds,store_id,y', *rows, '']))
    assert [(f['line'], f['column'], f['kind'], f['action']) for f in report['faults']] == [
        (4, 'store_id', 'padding', 'repaired')
    ]
    assert (report['rows_accepted'], report['rows_repaired']) == (27, 1)


@pytest.mark.parametrize(
    ('record', 'kind', 'at'),
    [
        ('2024-02-03 05:00, shop 1 ,word,5.25,3', 'padding', 0),
        ('2024-02-03 05:00,shop 1, word ,5.25,3', 'padding', 120),
        ('2024-02-03 05:00,shop 1,word,n/a,3', 'null_spelling', 399),
        ('3 Feb 2024 05:00,shop 1,word,5.25,3', 'date_format', 0),
        ('3 Feb 2024 05:00,shop 1,word,5.25,3', 'date_format', 399),
        ('2024-02-03 05:00,shop 1,word,5.25 kg,3', 'unit', 120),
        ('2024-02-03 05:00,shop 1,word,"5,25",3', 'number_format', 399),
        ('2024-02-03 05:00,shop 1,word,"5,25",3', 'number_format', 0),
    ],
)
@pytest.mark.slow
def test_a_large_file_is_not_taken_for_clean_because_of_one_repair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: str, kind: str, at: int
) -> None:
    monkeypatch.setattr(importlib.import_module('core.analysis.ingest.delimited'), 'LARGE', 1)
    monkeypatch.setattr(importlib.import_module('core.analysis.ingest.clean'), 'SLICES', 2)  # each is the whole text
    rows = [f'2024-01-{1 + i % 28:02} {i // 28:02}:00,shop {i % 4},word {i},{i % 90}.25,{i % 7}' for i in range(400)]
    rows[at] = record
    text = '\n'.join(['ds,shop,remark,y,q', *rows, ''])
    if at == 120:
        report = inspected(tmp_path, text)
        assert [(fault['line'], fault['kind']) for fault in report['faults']] == [(at + 2, kind)]
        assert (report['rows_accepted'], report['rows_repaired']) == (399, 1)
    manifest, into = converted(tmp_path, text)
    assert [(line, found) for line, _, found, *_ in faults(into)] == [(at + 2, kind)]
    assert (manifest.rows_accepted, manifest.rows_repaired, manifest.faults_by_kind) == (399, 1, {kind: 1})
    assert not stored(into, 'count(*) FILTER (shop <> trim(shop) OR remark <> trim(remark))')[0][0]


def test_a_measure_that_tells_a_few_repeated_times_apart_is_no_key(tmp_path: Path) -> None:
    rows = [f'2024-01-{1 + i % 28:02} {i % 24:02}:00,{i % 30}.5,{40 + i % 40}' for i in range(200)]
    report = inspected(tmp_path, '\n'.join(['ds,temperature,humidity', *rows, '']))
    assert [c['role'] for c in report['columns']] == ['time', 'measure', 'measure']


def test_zeros_in_front_are_padding_where_the_table_pads_decimals_too(tmp_path: Path) -> None:
    text = 'ds,price,pieces,zip_code\n' + ''.join(f'2024-01-0{i},000{i}.50,00{i}0,0050{i}\n' for i in range(1, 8))
    report = inspected(tmp_path, text)
    assert column(report, 'pieces') == ('integer', 'measure')
    assert column(report, 'zip_code') == ('text', 'attribute')
    reasons = {one['name']: one['reason'] for one in report['columns']}
    assert reasons['pieces'] == 'numbers, padded with zeros as others of this table are'
    assert reasons['zip_code'].startswith('numbers that are names: 7 have leading zeros, all of 5 characters')


def test_a_comma_and_a_unit_in_one_cell_are_read(tmp_path: Path) -> None:
    cells = [f'{i}.25' for i in range(1, 20)] + ['3,95 °C']
    _, into = converted(tmp_path, table('value', cells))
    assert float(max(stored(into, 'ds, "value"'))[1]) == 3.95
    assert [(kind, value, action) for _, _, kind, value, action in faults(into)] == [('unit', '3,95 °C', 'repaired')]


def test_times_of_several_styles_are_read(tmp_path: Path) -> None:
    days = [f'2024-{1 + i // 28:02}-{1 + i % 28:02}' for i in range(84)]
    styles = [
        days[i] if i < 28 else days[i].replace('-', '.') if i < 56 else '/'.join(days[i].split('-')[::-1])
        for i in range(84)
    ]
    manifest, into = converted(tmp_path, 'date,v\n' + ''.join(f'{day},{i}\n' for i, day in enumerate(styles)))
    assert [str(day) for (day,) in stored(into, '"date"')] == days
    assert manifest.rows_repaired == 56
    assert manifest.columns[0].reason == 'times written as YYYY-MM-DD, some as YYYY.MM.DD or DD/MM/YYYY'


def test_dates_of_another_style_do_not_settle_day_and_month(tmp_path: Path) -> None:
    days = [f'0{1 + i % 9}/0{1 + i * 5 % 9}/2024' for i in range(9)] + ['2024-11-30']
    with pytest.raises(AmbiguousDates):
        converted(tmp_path, 'date,v\n' + ''.join(f'{day},{i}\n' for i, day in enumerate(days)))


def test_times_that_are_too_few_are_told_with_their_forms_and_lines(tmp_path: Path) -> None:
    cells = ['2024-01-02', '2024-01-03', '2 Jan 2024', '3 Jan 2024', 'foo', 'bar', 'baz', 'so', 'on', 'and']
    with pytest.raises(NoTimeColumn, match=r'2 as YYYY-MM-DD \(line 2\)'):
        converted(tmp_path, 'date,v\n' + ''.join(f'{cell},{i}\n' for i, cell in enumerate(cells)))


@pytest.mark.parametrize('name', ['t', 'ts', 'time', 'epoch'])
def test_seconds_since_1970_are_a_time_by_the_name_of_their_column(tmp_path: Path, name: str) -> None:
    report = inspected(tmp_path, f'{name},v\n' + ''.join(f'{1_700_000_000 + 60 * i},{i}.5\n' for i in range(9)))
    assert column(report, name) == ('timestamptz', 'time')


@pytest.mark.parametrize(('name', 'role'), [('ts', 'time'), ('balance', 'measure')])
def test_numbers_with_a_minus_are_times_by_the_name_of_their_column_alone(tmp_path: Path, name: str, role: str) -> None:
    rows = [f'2024-01-{1 + i:02},{-200_000_000 + 86_400 * i}' for i in range(9)]
    text = '\n'.join([f'other,{name}', *rows, ''])
    assert column(inspected(tmp_path, text, roles={'other': 'attribute'}), name)[1] == role


@pytest.mark.slow
@pytest.mark.parametrize('many', [20, 2500])  # by the careful reader, by the engine
def test_names_of_columns_that_a_download_guards_are_as_they_were(tmp_path: Path, many: int) -> None:
    days = [f'{datetime(2024, 1, 1) + timedelta(hours=hour)},{hour}.5,{hour},1,2' for hour in range(many)]
    _, into = converted(tmp_path, '\n'.join(['at,=a+b,-Oslo,+x,@y', *days, '']))
    out = tmp_path / 'out.csv'
    tables.export(list(into.glob('data-*.parquet')), out, clock=tables.Clock(kind='timestamp', zone='UTC'))
    assert out.read_text().startswith("at,'=a+b,'-Oslo,'+x,'@y\n")
    for folder, options in (('again', {}), ('off', {'off': ['guard']}), ('told', {'roles': {"'=a+b": 'attribute'}})):
        (tmp_path / folder).mkdir()
        found, _ = converted(tmp_path / folder, out.read_text(), **options)
        names = [column.name for column in found.columns]
        written = ['at', "'=a+b", "'-Oslo", "'+x", "'@y"]
        own = ['at', '=a+b', '-Oslo', '+x', '@y']
        assert names == {'again': own, 'off': written, 'told': [*written[:2], *own[2:]]}[folder]
        told = [note for note in found.source.notes if 'apostrophe' in note]
        assert (len(told), found.faults_total) == (folder != 'off', 0)
    kept = tmp_path / 'off' / 'version'
    (tmp_path / 'grown').mkdir()
    before = [kept / 'manifest.json', *kept.glob('data-*.parquet')]
    grown, _ = converted(tmp_path / 'grown', out.read_text().replace('2024', '2034'), before=before)
    assert [column.name for column in grown.columns] == written


@pytest.mark.parametrize('many', [1, 40])
def test_what_a_download_guards_is_as_it_was_when_it_is_uploaded_again(tmp_path: Path, many: int) -> None:
    texts = ['=1+1', "='a b'!A1", '-Oslo', '@home', '+1 555', 'plain', "'=quoted='", "'-ing' form", "it's"] * many
    rows = [f'{date(2024, 1, 1) + timedelta(days=day)},1.5,{text}' for day, text in enumerate(texts)]
    manifest, into = converted(tmp_path, '\n'.join(['ds,y,note', *rows, '']))
    assert manifest.repairs == {}
    out = tmp_path / 'out.csv'
    tables.export(list(into.glob('data-*.parquet')), out, clock=tables.Clock(kind='date', zone='UTC'))
    assert "'=1+1" in out.read_text()
    again = tmp_path / 'again'
    again.mkdir()
    manifest, back = converted(again, out.read_text())
    assert stored(back, 'ds, y, note') == stored(into, 'ds, y, note')
    assert (manifest.repairs, manifest.rows_repaired) == ({'guard': 5 * many}, 5 * many)
    assert faults(back)[0] == (2, 'note', 'guard', "'=1+1", 'repaired')
    assert not [note for note in manifest.source.notes if 'apostrophe' in note]
    off = tmp_path / 'off'
    off.mkdir()
    manifest, kept = converted(off, out.read_text(), off=['guard'])
    assert (manifest.repairs, manifest.rows_repaired) == ({}, 0)
    assert stored(kept, 'note')[0] == ("'=1+1",)


@pytest.mark.parametrize(
    ('name', 'cells', 'seconds'),
    [
        ('Average engagement time per session', ['00:01:34', '00:00:02.5', '0:59:59'], [94, 2.5, 3599]),
        ('Laufzeit', ['27:00:01', '100:10:00', '0:00:00'], [97_201, 360_600, 0]),
        ('took', ['1 day, 2:03:04', '0 days 00:00:10', '-0:00:05'], [93_784, 10, -5]),
        ('x', ['25:00:00', '00:10:00', '01:00:00'], [90_000, 600, 3600]),
        ('Lap', ['1:02.75', '0:59.5', '1:00'], [62.75, 59.5, 60]),
        ('video length', ['12:34', '1:02:03', '0:10'], [754, 3723, 10]),
        ('Duration (hh:mm)', ['01:30', '100:00', '0:05'], [5400, 360_000, 300]),
    ],
)
def test_durations_are_measured_in_seconds(tmp_path: Path, name: str, cells: list[str], seconds: list[float]) -> None:
    rows = ''.join(f'2024-01-0{day};"{cell}"\n' for day, cell in enumerate(cells, start=1))
    manifest, into = converted(tmp_path, f'ds;{name}\n{rows}')
    (measure,) = [column for column in manifest.columns if column.role == 'measure']
    assert (measure.name, measure.unit, manifest.rows_accepted) == (name, 's', len(cells))
    assert [float(row[0]) for row in stored(into, f'"{name}"')] == seconds
    assert any(f'Column "{name}" holds durations' in note for note in manifest.source.notes)


@pytest.mark.parametrize('name', ['Bis', 'end of session', 'x', 'Dauer'])
def test_times_of_day_and_durations_that_may_mean_two_things_stay_text(tmp_path: Path, name: str) -> None:
    rows = [f'2024-01-{day:02} 10:00,{day % 24:02}:30,{day}' for day in range(1, 29)]
    report = inspected(tmp_path, '\n'.join([f'ds,{name},y', *rows, '']))
    assert column(report, name) == ('text', 'attribute')


UNITS = {
    'Load [MW]': 'MW', 'Wind (m/s)': 'm/s', 'Leistung kW': 'kW', 'Verbrauch kWh': 'kWh', 'PM2.5 (µg/m³)': 'µg/m³',
    'Price (EUR/MWh)': 'EUR/MWh', 'Preis [€/kWh]': '€/kWh', 'Flow (m3/h)': 'm3/h', 'GHI (W/m^2)': 'W/m^2',
    'income (k$)': 'k$', 'share (%)': '%', 'Temperatur °C': '°C', 'Total min': '', 'Temp (min)': '', 'x (t)': '',
    'Group (B)': '', 'Sales (units)': '', 'n (1)': '', 'kW Load': '', 'load': '',
}  # fmt: skip


def test_a_unit_in_a_name_is_that_of_the_numbers(tmp_path: Path) -> None:
    manifest, _ = converted(tmp_path, table(';'.join(UNITS), [';'.join([y] * len(UNITS)) for y in ('1.5', '2.5', '3')]))
    assert {column.name: column.unit for column in manifest.columns} == {'ds': '', **UNITS}


def test_a_row_of_units_gives_each_column_its_own_but_no_text(tmp_path: Path) -> None:
    text = 'ds;load;state km;temp\n;MW;;°C\n2024-01-01;1;a;2.5\n2024-01-02;2;b;3\n2024-01-03;4;a;3.5\n'
    manifest, _ = converted(tmp_path, text)
    assert [column.unit for column in manifest.columns] == ['', 'MW', '', '°C']
    (tmp_path / 'more').mkdir()
    shares, _ = converted(tmp_path / 'more', table('price (EUR)', ['$1', '$2', '$3']))
    assert shares.columns[1].unit == '$'


def test_thousands_and_millions_are_no_unit(tmp_path: Path) -> None:
    manifest, _ = converted(tmp_path, table('volume', ['1.2K', '3.4M', '5.6K']))
    assert (manifest.columns[1].role, manifest.columns[1].unit) == ('measure', '')
