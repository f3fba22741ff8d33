"""Wide tables become long ones, split times one column; ordinary tables stay as they are."""

import importlib
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import pytest

from core.analysis.ingest.rawtable import RawTable
from core.analysis.ingest.shape import check_melt, may_change, melted
from core.analysis.ingest.stepped import start_of
from core.errors import NoTimeColumn, TooLarge, UsageError
from tests.unit.analysis.ingest.cells import instance, raw_table
from tests.unit.analysis.ingest.reading import converted, faults, inspected, stored


def made_long(folder: Path, text: str, **options: Any) -> RawTable:
    """Melt a table that is written with `|` between cells."""
    header, *rows = [line.strip().split('|') for line in text.strip().splitlines()]
    raw = raw_table(folder, dict(zip(header, map(list, zip(*rows, strict=True)), strict=True)))
    with instance().cursor() as connection:
        return melted(connection, raw, workdir=folder, **options)


def cells(raw: RawTable) -> list[tuple[Any, ...]]:
    """Return the cells of a raw table in file order."""
    listed = ', '.join(f'c{i}' for i in range(len(raw.names)))
    return duckdb.sql(f"SELECT {listed} FROM '{raw.path}'").fetchall()


def test_columns_of_years_become_rows(tmp_path: Path) -> None:
    raw = made_long(
        tmp_path,
        """Country Name|Country Code|Indicator|1990|1991|1992
        Aruba|ABW|Population|60|61|
        Angola|AGO|Population|11|12|13""",
    )
    assert raw.names == ('Country Name', 'Country Code', 'Indicator', 'year', 'value')
    assert cells(raw) == [
        ('Aruba', 'ABW', 'Population', '1990', '60'),
        ('Aruba', 'ABW', 'Population', '1991', '61'),
        ('Angola', 'AGO', 'Population', '1990', '11'),
        ('Angola', 'AGO', 'Population', '1991', '12'),
        ('Angola', 'AGO', 'Population', '1992', '13'),
    ]
    sources = duckdb.sql(f"SELECT _line, _record, _column FROM '{raw.path}'").fetchall()
    assert sources == [(2, 0, '1990'), (2, 0, '1991'), (3, 1, '1990'), (3, 1, '1991'), (3, 1, '1992')]
    assert (raw.rows_read, raw.rows, raw.is_melted) == (2, 5, True)
    assert raw.notes == (
        'A wide table: 3 columns are named by times, 1990 to 1992. They became the columns "year" and "value", 5 rows '
        'of 2 records, which are what the account counts; 1 empty cell was left out.',
    )


@pytest.mark.parametrize(
    ('names', 'name', 'first'),
    [
        (['2020-01-31', '2020-02-29', '2020-03-31'], 'date', '2020-01-31'),
        (['1/22/20', '1/23/20', '1/24/20'], 'date', '1/22/20'),
        (['2020Q1', '2020Q2', '2020Q3'], 'quarter', '2020Q1'),
        (['2020-Q1 ', '2020-Q2 ', '2020-Q3 '], 'quarter', '2020-Q1'),
        (['Q1 2020', 'Q2 2020', 'Q3 2020'], 'quarter', 'Q1 2020'),
        (['Jan-20', 'Feb-20', 'Mar-20'], 'month', 'Jan-20'),
        (['2020M01', '2020M02', '2020M03'], 'month', '2020M01'),
        (['2020-01', '2020-02', '2020-03'], 'month', '2020-01'),
        (['202001', '202002', '202003'], 'month', '202001'),
        (['2020-W01', '2020-W02', '2020-W03'], 'week', '2020-W01'),
        (['20200101', '20200102', '20200103'], 'date', '20200101'),
        (['X1990', 'X1991', 'X1992'], 'year', '1990'),
        (['sales_2020', 'sales_2021', 'sales_2022'], 'year', '2020'),
        (['1990 [YR1990]', '1991 [YR1991]', '1992 [YR1992]'], 'year', '1990'),
    ],
)
def test_names_of_columns_that_are_times(tmp_path: Path, names: list[str], name: str, first: str) -> None:
    raw = raw_table(tmp_path, {'id': ['a', 'b'], **{period: ['1', '2.5'] for period in names}})
    with instance().cursor() as connection:
        long = melted(connection, raw, workdir=tmp_path)
    assert long.names == ('id', name, 'value')
    assert cells(long)[0] == ('a', first, '1')
    assert duckdb.sql(f"SELECT _column FROM '{long.path}'").fetchall()[0] == (names[0],)


def test_two_periods_make_a_wide_table_where_nothing_else_is_a_number(tmp_path: Path) -> None:
    assert made_long(tmp_path, 'Product|2022|2023\nA|1|2\nB|3|4').names == ('Product', 'year', 'value')
    assert not made_long(tmp_path, 'Product|2022|2023|Price\nA|1|2|3\nB|3|4|5').is_melted


def test_eurostat_names_its_rows_and_columns_in_one_cell(tmp_path: Path) -> None:
    raw = made_long(tmp_path, 'geo\\TIME_PERIOD|2020|2021|2022\nDE|1.2 p|:|3\nFR|1.5|2.5|3.5')
    assert raw.names == ('geo', 'year', 'value')
    assert cells(raw)[:2] == [('DE', '2020', '1.2 p'), ('DE', '2022', '3')]


def test_columns_of_months_beside_a_column_of_years(tmp_path: Path) -> None:
    months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
    raw = made_long(
        tmp_path, '\n'.join(['Year|' + '|'.join(months), '1958|' + '|'.join('1' * 12), '1959|' + '|'.join('2' * 12)])
    )
    assert raw.names == ('month', 'value')
    assert cells(raw)[0] == ('1958-01', '1')
    assert cells(raw)[-1] == ('1959-12', '2')


def test_columns_of_years_beside_a_column_of_months(tmp_path: Path) -> None:
    rows = [f'{month}|{i}|{i}|{i}' for i, month in enumerate(['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL'])]
    raw = made_long(tmp_path, '\n'.join(['Month|1958|1959|1960', *rows]))
    assert raw.names == ('month', 'value')
    assert cells(raw)[3:6] == [('1958-02', '1'), ('1959-02', '1'), ('1960-02', '1')]


def test_columns_of_clock_times_beside_a_column_of_days(tmp_path: Path) -> None:
    clocks = [f'{hour:02}:00' for hour in range(24)]
    raw = made_long(
        tmp_path,
        '\n'.join(['date|' + '|'.join(clocks), '2024-01-01|' + '|'.join('1' * 24), '2024-01-02|' + '|'.join('2' * 24)]),
    )
    assert raw.names == ('time', 'value')
    assert cells(raw)[1] == ('2024-01-01 01:00', '1')


@pytest.mark.parametrize(
    'names',
    [
        [f'sensor_{i:03}' for i in range(1, 31)],
        [f'MT_{i}' for i in range(1, 31)],
        ['AAPL', 'MSFT', 'GOOG', 'AMZN', 'TSLA', 'META', 'NVDA', 'ORCL', 'SAP', 'BRK.B', 'IBM', 'INTC', 'AMD'],
        ['Berlin', 'Paris', 'Rome', 'Madrid', 'New York', 'Lima', 'Oslo', 'Bern', 'Riga', 'Kyiv', 'Prague', 'Sofia'],
        ['mill lane', 'Paris', 'Rome', 'Madrid', 'LIMA', 'Lima', 'Oslo', 'Bern', 'Riga', 'Kyiv', 'Prague', 'Sofia'],
    ],
)
def test_many_columns_of_one_kind_beside_the_time_are_series(tmp_path: Path, names: list[str]) -> None:
    columns = {'timestamp': ['2024-01-01 00:00', '2024-01-01 01:00'], **{name: ['1.5', '2.5'] for name in names}}
    with instance().cursor() as connection:
        raw = melted(connection, raw_table(tmp_path, columns), workdir=tmp_path)
    assert may_change(['timestamp', *names], shape='auto', melt={})
    assert raw.names == ('timestamp', 'series', 'value')
    assert cells(raw)[:2] == [('2024-01-01 00:00', names[0], '1.5'), ('2024-01-01 00:00', names[1], '1.5')]


@pytest.mark.parametrize(
    'header',
    [
        'date|open|high|low|close|volume',
        'timestamp|temperature|humidity',
        'date|Open|High|Low|Close|Adj Close|Volume|Dividends|Splits|Trades|Vwap|Change',
        'ds|y|x1|x2|x3',
        'date|lag_1|lag_2|lag_3|lag_4|lag_5|lag_6|lag_7|lag_8|lag_9',
        'DATE|% WEIGHTED ILI|%UNWEIGHTED ILI|AGE 0-4|AGE 25-49|AGE 25-64|AGE 5-24|AGE 50-64|ILITOTAL|PROVIDERS',
        'year|population|births|deaths',
    ],
)
def test_a_table_of_measures_stays_as_it_is(tmp_path: Path, header: str) -> None:
    width = header.count('|')
    raw = made_long(
        tmp_path, '\n'.join([header, *(f'{2001 + i}-01-01|' + '|'.join([f'{i}.5'] * width) for i in range(4))])
    )
    assert raw.names == tuple(header.split('|'))
    assert not raw.is_melted


@pytest.mark.parametrize(
    'names',
    [
        [f'Sensor {place:03} Temperatur Halle {place % 7} (°C)' for place in range(9)],
        [f'Store {place // 4} item {place}' for place in range(8)],
    ],
)
def test_columns_whose_names_have_numbers_at_the_same_places_are_numbered_alike(
    tmp_path: Path, names: list[str]
) -> None:
    table = {'Datum / Uhrzeit': ['2024-01-01 00:00', '2024-01-01 01:00'], **{name: ['1.5', '2.5'] for name in names}}
    with instance().cursor() as connection:
        raw = melted(connection, raw_table(tmp_path, table), workdir=tmp_path)
    assert may_change(list(table), shape='auto', melt={})
    assert raw.names == ('Datum / Uhrzeit', 'series', 'value')
    assert [row[1] for row in cells(raw)][: len(names)] == names
    assert any('are numbered alike' in note for note in raw.notes)


@pytest.mark.parametrize(
    ('names', 'more', 'why'),
    [
        ([f'lag_{place}' for place in range(1, 10)], {}, 'names such as "lag_1" are those of features'),
        ([f'lag {place} (h)' for place in range(1, 10)], {}, 'names such as "lag 1 (h)" are those of features'),
        ([*'ABCDEFGHIJKLM', 'price'], {}, 'a name such as "price" is that of a measure'),
        ([*'ABCDEFGHIJKLM'], {'town': ['Oslo', 'Bergen']}, 'column "town" beside them holds no numbers'),
        (
            [*'ABCDEFGHIJKLM'],
            {'seen': ['2024-02-01', '2024-02-02']},
            'columns "timestamp" and "seen" both hold times',
        ),
        ([*'ABCDEFGHIJKLM'], {'N': ['1000000', '2000000'], 'O': ['1000000', '2000000']},
         'the numbers of some are a thousand times those of others'),
        (['open', 'high', 'low'], {}, ''),
        (['Oslo', 'Bergen', 'Bodø'], {}, ''),
    ],
)  # fmt: skip
def test_it_is_told_why_columns_that_may_be_series_are_not(
    tmp_path: Path, names: list[str], more: dict[str, list[str]], why: str
) -> None:
    columns = {'timestamp': ['2024-01-01 00:00', '2024-01-01 01:00'], **{name: ['1.5', '2.5'] for name in names}}
    for shape in ('auto', 'long'):
        with instance().cursor() as connection:
            raw = melted(connection, raw_table(tmp_path, {**columns, **more}), workdir=tmp_path, shape=shape)
        assert not raw.is_melted
        said = f'Columns that may be series are taken as measures of one: {why}. If each is a series, '
        said += 'choose the shape wide.'
        assert raw.notes == ((said,) if why and shape == 'auto' else ())


def test_two_years_among_other_numbers_are_no_layout(tmp_path: Path) -> None:
    text = 'date|store|2019|2020|2021\n2024-01-01|a|1|2|3\n2024-01-02|a|1|2|3'
    assert not made_long(tmp_path, text).is_melted


def test_numbered_steps_need_a_start(tmp_path: Path) -> None:
    text = 'id|item|d_1|d_2|d_3\nA_x|x|1|2|3\nA_y|y|4|5|6'
    assert not made_long(tmp_path, text).is_melted
    raw = made_long(tmp_path, text, melt={'start': '2011-01-29'})
    assert raw.names == ('id', 'item', 'date', 'value')
    assert [row[2] for row in cells(raw)[:3]] == ['2011-01-29', '2011-01-30', '2011-01-31']
    raw = made_long(tmp_path, text, melt={'start': '2011-01-31', 'step': 'month', 'value': 'sold'})
    assert [row[2:] for row in cells(raw)[:3]] == [('2011-01-31', '1'), ('2011-02-28', '2'), ('2011-03-31', '3')]
    assert raw.names[-1] == 'sold'


def test_the_user_says_what_to_melt(tmp_path: Path) -> None:
    text = 'ds|a|b|temp\n2024-01-01|1|2|3\n2024-01-02|4|5|6'
    raw = made_long(tmp_path, text, melt={'columns': ['a', 'b'], 'into': 'series', 'name': 'shop', 'value': 'sales'})
    assert raw.names == ('ds', 'temp', 'shop', 'sales')
    assert cells(raw)[:2] == [('2024-01-01', '3', 'a', '1'), ('2024-01-01', '3', 'b', '2')]
    assert made_long(tmp_path, text, shape='wide').names == ('ds', 'series', 'value')
    wide = 'id|1990|1991|1992\na|1|2|3'
    assert not made_long(tmp_path, wide, shape='long').is_melted


@pytest.mark.parametrize(
    ('melt', 'said'),
    [
        ({'columns': ['zz']}, 'no column "zz"'),
        ({'rows': 1}, 'says nothing'),
        ({'into': 'columns'}, 'into "period" or "series"'),
        ({'step': 'fortnight', 'start': '2024-01-01'}, 'no step'),
        ({'start': 'soon'}, 'no time'),
        ({'columns': ['a', 'b'], 'start': '2024-01-01'}, 'no number at its end'),
    ],
)
def test_a_melt_that_means_nothing_is_refused(tmp_path: Path, melt: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        made_long(tmp_path, 'ds|a|b\n2024-01-01|1|2', melt=melt)
    with pytest.raises(UsageError, match='long table is not melted'):
        check_melt('long', {'into': 'series'})


def test_nothing_to_melt_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='Say which ones'):
        made_long(tmp_path, 'a|b\nx|y\nz|w', shape='wide')


def test_missing_cells_make_no_points_and_an_empty_record_is_kept(tmp_path: Path) -> None:
    raw = made_long(tmp_path, 'id|1990|1991|1992\na|1||NA\nb|||\nc|..|n/a|7')
    assert cells(raw) == [('a', '1990', '1'), ('b', '1990', ''), ('c', '1992', '7')]
    assert (raw.rows_read, raw.shape['empty'], raw.shape['spelled']) == (3, 4, 3)


@pytest.mark.parametrize(
    ('text', 'names', 'first'),
    [
        ('Date|Time|y\n2024-01-31|13:05|1\n2024-02-01|14:05|2', ('Date Time', 'y'), '2024-01-31 13:05'),
        ('y|Date|Time\n1|31.01.2024|13:05:09\n2|01.02.2024|14:05:00', ('y', 'Date Time'), '31.01.2024 13:05:09'),
        ('day|time|y\n2024-01-31 00:00:00|1:05 PM|1\n2024-02-01|2:05 PM|2', ('day time', 'y'), '2024-01-31 1:05 PM'),
        ('Date|Time|y\n10/03/2004|18.00.00|1\n10/03/2004|19.00.00|2', ('Date Time', 'y'), '10/03/2004 18:00:00'),
        ('Time|Date|y\n10.11.12|10/03/04|1\n11.11.12|10/03/04|2', ('Date Time', 'y'), '10/03/04 10:11:12'),
        ('Datum|Uhrzeit|y\n10.03.2004|18.30|1\n10.03.2004|19.30|2', ('Datum Uhrzeit', 'y'), '10.03.2004 18:30'),
        ('Jour|Heure|y\n31/01/24|14h30|1\n01/02/24|9h05|2', ('Jour Heure', 'y'), '31/01/24 14:30'),
        ('Tag|Uhrzeit|y\n31.01.2024|14 Uhr|1\n01.02.2024|9:30 Uhr|2', ('Tag Uhrzeit', 'y'), '31.01.2024 14:00'),
        ('date|hour|y\n2024-01-31|0|1\n2024-01-31|13|2', ('date hour', 'y'), '2024-01-31 00:00'),
        ('date|hour|y\n2024-01-31|1|1\n2024-01-31|24|2', ('date hour', 'y'), '2024-01-31 00:00'),
        ('year|month|y\n2024|1|1\n2024|2|2', ('year month', 'y'), '2024-01'),
        ('Year|Month|y\n2024|January|1\n2024|February|2', ('Year Month', 'y'), '2024-01'),
        ('jahr|monat|wert\n2024|Mai|1\n2024|Juni|2', ('jahr monat', 'wert'), '2024-05'),
        ('year|month|day|y\n2024|1|31|1\n2024|2|1|2', ('year month day', 'y'), '2024-01-31'),
        ('year|month|day|hour|y\n2024|1|31|0|1\n2024|1|31|1|2', ('year month day hour', 'y'), '2024-01-31 00:00'),
        ('YEAR|WEEK|y\n2024|5|1\n2024|6|2', ('YEAR WEEK', 'y'), '2024-W05'),
        ('year|quarter|y\n2024|Q2|1\n2024|Q3|2', ('year quarter', 'y'), '2024-Q2'),
        ('id|Year|Period|y\na|2024|M01|1\na|2024|M02|2', ('id', 'Year Period', 'y'), '2024M01'),
        ('id|Year|Period|y\na|2024|Q01|1\na|2024|Q02|2', ('id', 'Year Period', 'y'), '2024Q1'),
    ],
)  # fmt: skip
def test_a_time_in_several_columns_becomes_one(tmp_path: Path, text: str, names: tuple[str, ...], first: str) -> None:
    raw = made_long(tmp_path, text)
    assert raw.names == names
    assert cells(raw)[0][names.index(raw.shape['time'])] == first
    assert may_change(text.split('\n')[0].split('|'), shape='auto', melt={})


@pytest.mark.parametrize(
    'text',
    [
        'date|hour|y\n2024-01-31 13:00|13|1\n2024-01-31 14:00|14|2',
        'date|year|month|y\n2024-01-31|2024|1|1\n2024-02-01|2024|2|2',
        'timestamp|time|y\n2024-01-31 13:05|13:05|1\n2024-02-01 14:05|14:05|2',
        'date|time|y\n2024-01-31|12.5|1\n2024-02-01|13.5|2',
        'date|time|y\n2024-01-31|12.50|1\n2024-02-01|13.45|2',
    ],
)
def test_parts_of_a_time_that_is_whole_elsewhere_stay(tmp_path: Path, text: str) -> None:
    assert made_long(tmp_path, text).names == tuple(text.split('\n')[0].split('|'))


def test_a_table_of_a_logger_with_dotted_clocks_and_empty_columns_at_the_end_is_read(tmp_path: Path) -> None:
    hours = [f'{10 + h // 24}/03/2004;{h % 24:02}.00.00;2,{h % 10};{-200 if h % 9 == 0 else h};;' for h in range(60)]
    manifest, into = converted(tmp_path, 'Date;Time;CO(GT);NMHC(GT);;\n' + '\n'.join(hours) + '\n;;;;;\n;;;;;\n')
    assert stored(into, '_time::VARCHAR, "CO(GT)"::DOUBLE, "NMHC(GT)"')[:2] == [
        ('2004-03-10 00:00:00', 2.0, -200),
        ('2004-03-10 01:00:00', 2.1, 1),
    ]
    assert (manifest.rows_read, manifest.faults_total, manifest.time.freq) == (60, 0, 'h')
    assert [column.name for column in manifest.columns] == ['Date Time', 'CO(GT)', 'NMHC(GT)']


def test_a_time_with_a_part_missing_is_missing(tmp_path: Path) -> None:
    raw = made_long(
        tmp_path, 'Date|Time|y\n' + '\n'.join(f'2024-01-{d}|13:05|1' for d in range(10, 30)) + '\n2024-01-31||2'
    )
    assert [row[0] for row in cells(raw)][-1] is None


def test_the_user_may_leave_parts_of_a_time_alone(tmp_path: Path) -> None:
    text = 'Date|Time|y\n2024-01-31|13:05|1\n2024-02-01|14:05|2'
    assert made_long(tmp_path, text, roles={'Date': 'time'}).names == ('Date', 'Time', 'y')
    assert made_long(tmp_path, text, roles={'Date Time': 'time'}).names == ('Date Time', 'y')


@pytest.mark.parametrize(
    ('names', 'maybe'),
    [
        (
            ['unique_id', 'ds', 'y', 'temperature', 'load', 'pressure', 'region', 'quality', 'wind', 'rain', 'flow'],
            False,
        ),
        (['time', 'value'], False),
        (['date', 'open', 'high', 'low', 'close', 'volume'], False),
        (['date', 'time', 'value'], True),
        (['year', 'month', 'value'], True),
        (['id', '1990', '1991', '1992'], True),
        (['ts', *(f's_{i}' for i in range(8))], True),
        (['Year', 'Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun'], True),
    ],
)
def test_names_alone_tell_which_tables_need_a_look(names: list[str], maybe: bool) -> None:
    assert may_change(names, shape='auto', melt={}) == maybe
    assert may_change(names, shape='wide', melt={})


def test_columns_without_a_name_are_no_periods(tmp_path: Path) -> None:
    years = range(1990, 2000)
    names, nameless = ('|'.join(f'{stem}_{year}' for year in years) for stem in ('sales', 'column'))
    cells = '|'.join('1.5' for _ in years)
    assert made_long(tmp_path, f'id|{names}\na|{cells}\nb|{cells}').is_melted
    assert not made_long(tmp_path, f'id|{nameless}\na|{cells}\nb|{cells}').is_melted


# through the whole ingest


def reconciled(report: dict[str, Any]) -> tuple[int, int, int]:
    """Return accepted, repaired and rejected; they are the records read."""
    counts = report['rows_accepted'], report['rows_repaired'], report['rows_rejected']
    assert sum(counts) == report['rows_read']
    return counts


def test_records_of_a_table_by_period_are_counted_once(tmp_path: Path) -> None:
    good = ''.join(f'Land {i},L{i:02},{i}.5,2.5,3.5,4.5\n' for i in range(10))
    text = (
        'country,code,2018,2019,2020,2021\nItaly,IT,1.5,2.5,oops,4.5\nSpain,ES,1.5,2.5,3.5,4.5\n'
        f'Malta,MT,,,,\nFrance,FR,1.5,2.5,3.5 kg,4.5\nGreece,GR,x,y,,\nPoland,PL,1,2,3,\n{good}'
    )
    report = inspected(tmp_path, text)
    assert reconciled(report) == (12, 2, 2)
    listed = [(f['line'], f['column'], f['kind'], f['value'], f['action']) for f in report['faults']]
    assert listed == [
        (2, '2020', 'not_a_number', 'oops', 'rejected'),
        (4, '2018', 'no_measure', None, 'rejected'),
        (5, '2020', 'unit', '3.5 kg', 'repaired'),
        (6, '2018', 'not_a_number', 'x', 'rejected'),
        (6, '2019', 'not_a_number', 'y', 'rejected'),
    ]
    manifest, into = converted(tmp_path, text)
    assert (manifest.rows_read, manifest.rows_accepted, manifest.rows_repaired, manifest.rows_rejected) == (
        16,
        12,
        2,
        2,
    )
    assert manifest.series.columns == ('country',)
    assert manifest.time.freq == 'YS'
    spain = [row for row in stored(into, '_series, year(_time), _line, value') if row[0] == 'Spain']
    assert spain == [('Spain', 2018, 3, 1.5), ('Spain', 2019, 3, 2.5), ('Spain', 2020, 3, 3.5), ('Spain', 2021, 3, 4.5)]
    assert len(stored(into, '_line')) == 54


def test_a_fault_of_a_cell_that_a_melted_table_repeats_is_listed_once(tmp_path: Path) -> None:
    names = ','.join(f'sensor_{i}' for i in range(1, 11))
    rows = [f'2024-01-{day:02},' + ','.join(f'{day}.{i}' for i in range(10)) for day in range(1, 29)]
    rows[4], rows[8] = 'soon,' + ','.join('1' * 10), ',' + ','.join('1' * 10)
    rows[10] = rows[10].replace('11.3', 'bad')
    manifest, into = converted(tmp_path, f'timestamp,{names}\n' + '\n'.join(rows) + '\n')
    assert faults(into) == [
        (6, 'timestamp', 'not_a_time', 'soon', 'rejected'),
        (10, 'timestamp', 'missing_time', '', 'rejected'),
        (12, 'sensor_4', 'not_a_number', 'bad', 'rejected'),
    ]
    assert (manifest.rows_read, manifest.rows_accepted, manifest.rows_repaired, manifest.rows_rejected) == (
        28,
        25,
        1,
        2,
    )
    assert (manifest.series.count, manifest.measures) == (10, ('value',))
    assert len(stored(into, '_line')) == 259


def test_a_short_row_of_a_wide_table_is_a_repaired_record(tmp_path: Path) -> None:
    rows = ''.join(f'c{i},{i},{i},{i}\n' for i in range(20))
    report = inspected(tmp_path, f'id,2019,2020,2021\n{rows}short,5\n')
    assert reconciled(report) == (20, 1, 0)
    assert [(f['line'], f['kind']) for f in report['faults']] == [(22, 'short_row')]


def test_dates_above_columns_make_a_header(tmp_path: Path) -> None:
    rows = ''.join(f',{place},{i}.5,{i},{i + 1},{i + 2}\n' for i, place in enumerate(('Italy', 'Spain', 'Malta')))
    rows += 'Hubei,China,9.5,4,5,6\nBeijing,China,8.5,4,5,6\n'
    manifest, _ = converted(tmp_path, 'Province/State,Country/Region,Lat,1/22/20,1/23/20,1/24/20\n' + rows)
    assert (manifest.rows_read, manifest.rows_accepted) == (5, 5)
    assert manifest.series.columns == ('Province/State', 'Country/Region')
    assert manifest.series.first == (' · Italy', ' · Malta', ' · Spain', 'Beijing · China', 'Hubei · China')
    assert manifest.time.start == '2020-01-22T00:00:00Z'


def test_numbers_that_count_on_above_columns_make_a_header(tmp_path: Path) -> None:
    rows = ''.join(
        f'2016-07-01 {hour:02}:00:00,' + ','.join(str(hour * i % 89) for i in range(13)) + '\n' for hour in range(24)
    )
    manifest, _ = converted(tmp_path, 'date,' + ','.join(map(str, range(12))) + ',OT\n' + rows)
    assert (manifest.rows_read, manifest.rows_accepted, manifest.faults_total) == (24, 24, 0)
    assert (manifest.series.count, manifest.time.column) == (13, 'date')


def test_a_split_time_is_stored_as_one(tmp_path: Path) -> None:
    rows = ''.join(f'{1 + i // 24}/12/2006;{i % 24:02}:30:00;{i}.5\n' for i in range(24 * 20))
    manifest, _ = converted(tmp_path, 'Date;Time;power\n' + rows)
    assert (manifest.time.column, manifest.time.freq, manifest.rows_accepted) == ('Date Time', 'h', 480)
    assert manifest.time.start == '2006-12-01T00:30:00Z'


@pytest.mark.slow
def test_thousands_of_columns_are_melted_within_memory(tmp_path: Path) -> None:
    names = ','.join(f'item_{i}' for i in range(3000))
    rows = ''.join(
        f'2024-01-{day:02},' + ','.join(str((day * i) % 97) for i in range(3000)) + '\n' for day in range(1, 11)
    )
    report = inspected(tmp_path, f'date,{names}\n{rows}', memory=300 * 2**20)
    assert reconciled(report) == (10, 0, 0)
    assert [(c['name'], c['type'], c['role']) for c in report['columns']] == [
        ('date', 'date', 'time'),
        ('series', 'text', 'series'),
        ('value', 'integer', 'measure'),
    ]


def test_a_melted_value_never_names_series(tmp_path: Path) -> None:
    names = ','.join(f'sensor_{i}' for i in range(10))
    rows = ''.join(f'2024-01-{day:02},' + ','.join(str(day + i) for i in range(10)) + '\n' for day in range(1, 29))
    report = inspected(tmp_path, f'ts,{names}\n{rows}2024-01-05,' + ','.join('0' * 10) + '\n')
    assert [(c['name'], c['role']) for c in report['columns']] == [
        ('ts', 'time'),
        ('series', 'series'),
        ('value', 'measure'),
    ]
    assert (reconciled(report), report['faults_by_kind']) == ((28, 0, 1), {'duplicate': 10})


@pytest.mark.parametrize(
    'header',
    [
        'region,sales_2020,sales_2021,cost_2020,cost_2021',
        'region,2020 sales,2021 sales,2020 cost,2021 cost',
        'region,sales2020,sales2021,cost2020,cost2021',
        'region,sales,sales,cost,cost\n,2020,2021,2020,2021',
    ],
)
def test_measures_by_period_become_a_column_each(tmp_path: Path, header: str) -> None:
    rows = ''.join(f'r{i},{i}1,{i}2,{i}.3,{"" if i == 2 else f"{i}.4"}\n' for i in range(1, 6))
    manifest, into = converted(tmp_path, f'{header}\n{rows}')
    assert [(c.name, c.type, c.role) for c in manifest.columns] == [
        ('region', 'text', 'series'),
        ('year', 'integer', 'time'),
        ('sales', 'integer', 'measure'),
        ('cost', 'decimal', 'measure'),
    ]
    assert (manifest.rows_read, manifest.rows_accepted) == (5, 5)
    assert [(r, y, s, c and float(c)) for r, y, s, c in stored(into, 'region, "year", sales, cost')][:4] == [
        ('r1', 2020, 11, 1.3),
        ('r1', 2021, 12, 1.4),
        ('r2', 2020, 21, 2.3),
        ('r2', 2021, 22, None),
    ]


def test_faults_of_measures_by_period_name_their_own_column(tmp_path: Path) -> None:
    rows = ''.join(f'r{i},{i}1,{i}2,{i}3,{"bad" if i == 4 else i}\n' for i in range(1, 9))
    _, into = converted(tmp_path, f'region,sales_2020,sales_2021,cost_2020,cost_2021\n{rows}')
    assert faults(into) == [(5, 'cost_2021', 'not_a_number', 'bad', 'emptied')]


def test_a_measure_may_lack_a_period(tmp_path: Path) -> None:
    raw = made_long(
        tmp_path,
        """k|a_2019|a_2020|a_2021|b_2020|b_2021
        x|1|2|3|4|5
        y|6|7|8|9|0""",
    )
    assert raw.names == ('k', 'year', 'a', 'b')
    assert cells(raw)[:3] == [('x', '2019', '1', None), ('x', '2020', '2', '4'), ('x', '2021', '3', '5')]


def test_measures_beside_a_time_stay_as_they_are(tmp_path: Path) -> None:
    raw = made_long(
        tmp_path,
        """date|a_2019|a_2020|b_2019|b_2020
        2024-01-01|1|2|3|4
        2024-01-02|6|7|8|9""",
    )
    assert not raw.is_melted


def test_rows_without_a_time_are_counted_from_a_start(tmp_path: Path) -> None:
    melt = {'into': 'rows', 'start': '1998-01-01', 'step': 'quarter'}
    manifest, into = converted(tmp_path, 'hotel,camp\n5,1\n6,2\n7,3\n', melt=melt)
    assert [(c.name, c.role) for c in manifest.columns] == [('time', 'time'), ('hotel', 'measure'), ('camp', 'measure')]
    assert [str(day) for (day,) in stored(into, '"time"')] == ['1998-01-01', '1998-04-01', '1998-07-01']
    assert manifest.time.freq == 'QS'


@pytest.mark.parametrize(
    ('start', 'first'),
    [
        ('Q3 1998', (1998, 7, 1)),
        ('1998Q3', (1998, 7, 1)),
        ('3Q 1998', (1998, 7, 1)),
        ('1998-H2', (1998, 7, 1)),
        ('1998', (1998, 1, 1)),
        ('1998-02', (1998, 2, 1)),
        ('1998M02', (1998, 2, 1)),
        ('02/1998', (1998, 2, 1)),
        ('Feb 1998', (1998, 2, 1)),
        ('März 1998', (1998, 3, 1)),
        ('1998-W02', (1998, 1, 5)),
        (' 1998-02-03 ', (1998, 2, 3)),
    ],
)
def test_a_start_may_be_a_period(start: str, first: tuple[int, int, int]) -> None:
    assert start_of(start) == datetime(*first)


@pytest.mark.parametrize('start', ['', 'soon', 'Q5 1998', '1998M13', '13/1998', '1998-13', '05/02/1998', 'H 1998'])
def test_what_is_no_start_is_refused_with_examples(start: str) -> None:
    with pytest.raises(UsageError, match='Q1 2024'):
        start_of(start)


def test_rows_are_counted_by_a_column(tmp_path: Path) -> None:
    melt = {'into': 'rows', 'start': '2024-01-01 10:00', 'step': 'hour', 'columns': ['t']}
    _, into = converted(tmp_path, 't,v\n5,1\n7,2\n8,3\n', melt=melt)
    assert [time.hour for (time,) in stored(into, '"time"')] == [10, 12, 13]


@pytest.mark.parametrize(
    ('melt', 'told'),
    [
        ({'into': 'rows'}, 'need the start'),
        ({'into': 'rows', 'start': '2024', 'columns': ['a', 'b']}, 'no time|one column'),
        ({'into': 'rows', 'start': '2024-01-01', 'columns': ['x']}, 'no column "x"'),
        ({'into': 'rows', 'start': '2024-01-01', 'columns': ['w']}, 'no whole numbers'),
        ({'into': 'rows', 'start': '2024-01-01', 'step': 'year', 'columns': ['v']}, 'later than any date'),
    ],
)
def test_rows_that_cannot_be_counted_are_told(tmp_path: Path, melt: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        converted(tmp_path, 'v,w\n1,a\n99999,b\n', melt=melt)


def test_a_table_without_a_time_names_the_way_in(tmp_path: Path) -> None:
    with pytest.raises(NoTimeColumn, match='say when they start and how long a step is'):
        converted(tmp_path, 'hotel,camp\n5,1\n6,2\n')


@pytest.mark.parametrize('rows', [8, 40])
def test_long_texts_beside_many_periods_are_refused_when_they_outgrow_the_memory(tmp_path: Path, rows: int) -> None:
    periods = {str(1900 + n): ['1'] * rows for n in range(100)}
    raw = raw_table(tmp_path, {'id': ['x' * 20_000] * rows, **periods})
    with instance().cursor() as connection:
        if rows == 8:  # 16 MB of text, a few records at a time
            assert melted(connection, raw, workdir=tmp_path, memory=2**26).rows == 800
            return
        with pytest.raises(
            TooLarge, match=r'100 columns that become rows, are more than the 16 MB.*Remove the columns'
        ):
            melted(connection, raw, workdir=tmp_path, memory=2**26)


def test_many_records_of_short_texts_are_made_long_in_order_whatever_the_memory(tmp_path: Path) -> None:
    periods = {str(1900 + n): [f'{row}' for row in range(500)] for n in range(10)}
    raw = raw_table(tmp_path, {'id': [f'{row:0200}' for row in range(500)], **periods})
    with instance().cursor() as connection:
        long = melted(connection, raw, workdir=tmp_path, memory=2**18)
    assert [(int(key), year, value) for key, year, value in cells(long)] == [
        (row, str(1900 + n), str(row)) for row in range(500) for n in range(10)
    ]
    records = duckdb.sql(f"SELECT _record FROM '{long.path}'").fetchall()
    assert records == [(row,) for row in range(500) for n in range(10)]


def test_durations_beside_a_day_are_no_clocks(tmp_path: Path) -> None:
    assert made_long(tmp_path, 'day|run|y\n2024-01-31|1h30|1\n2024-02-01|2h05|2').names == ('day', 'run', 'y')


@pytest.mark.parametrize('date', ['%Y%m%d', '%Y-%m-%d'])
@pytest.mark.parametrize('head', ['', '# ----\n# All Web Site Data\n# 20250101-20251231\n# ----\n\n'])
@pytest.mark.parametrize('name', ['Average engagement time per session', 'x'])
def test_lengths_of_time_beside_a_day_are_joined_to_no_day(tmp_path: Path, date: str, head: str, name: str) -> None:
    days = [datetime(2025, 1, 1) + timedelta(days=n) for n in range(40)]
    rows = [
        f'{day:{date}},{channel},{40 + n % 20}.5%,00:0{n * 7 % 4}:{10 + n * 13 % 50}'
        for n, (day, channel) in enumerate(product(days, ['Direct', 'Email', 'Search', 'Paid']))
    ]
    columns = f'Date,Channel,Rate,{name}' if name != 'x' else f'Date,{name},Rate,Channel'
    if name == 'x':  # right beside the day, with a name that tells nothing: they go up and down
        rows = [','.join([cells[0], cells[3], cells[2], cells[1]]) for row in rows if (cells := row.split(','))]
    manifest, _ = converted(tmp_path, '\n'.join([head + columns, *rows, '']))
    assert (manifest.time.column, manifest.time.freq) == ('Date', 'D')
    assert (manifest.rows_accepted, manifest.series.columns) == (160, ('Channel',))


@pytest.mark.parametrize(
    ('name', 'clocks'),
    [
        ('Von', ['00:00', '00:15', '00:30', '00:45']),
        ('hhmm', ['09:15', '09:00', '09:30', '09:45']),
        ('x', ['09:00', '09:15', '09:30', '10:00']),
        ('x', ['23:00', '01:00', '12:00', '06:30']),
        ('start of session', ['09:15', '09:00', '09:30', '09:45']),
    ],
)
def test_times_of_day_are_joined_by_name_or_by_their_order(tmp_path: Path, name: str, clocks: list[str]) -> None:
    rows = [f'2025-01-0{day},{clock},{day}' for day in (1, 2) for clock in clocks]
    raw = made_long(tmp_path, '\n'.join([f'Date,{name},y', *rows]).replace(',', '|'))
    assert raw.names == (f'Date {name}', 'y')


def test_a_number_beside_periods_is_no_measure(tmp_path: Path) -> None:
    manifest, _ = converted(tmp_path, 'shop,total,2021,2022,2023\nNorth,6,1,2,3\nSouth,15,4,5,6\nWest,24,7,8,9\n')
    assert {c.name: c.role for c in manifest.columns} == {
        'shop': 'series',
        'total': 'attribute',
        'year': 'time',
        'value': 'measure',
    }


@pytest.mark.parametrize('name', ['Hour', 'HE', 'Hour Ending', 'hour_ending'])
def test_hours_from_1_to_24_are_told_by_the_whole_table(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cells that are looked at may all lie before the first hour 24."""
    monkeypatch.setattr(importlib.import_module('core.analysis.ingest.looked'), 'LOOKED_AT', 20)
    rows = [f'2024-01-{day:02},{hour},{hour}.5' for day in (1, 2, 3) for hour in range(1, 25)]
    manifest, _ = converted(tmp_path, '\n'.join([f'Date,{name},Load', *rows, '']))
    assert manifest.time.start == '2024-01-01T00:00:00Z'
    assert manifest.time.freq == 'h'
    assert any('1 to 24 are read as the hours that end then' in note for note in manifest.source.notes)


@pytest.mark.parametrize(('hours', 'ending'), [(range(1, 25), True), (range(24), False)])
def test_hours_beside_year_month_and_day_are_told_as_well(tmp_path: Path, hours: range, ending: bool) -> None:
    rows = [f'2024,1,{day},{hour},{hour}.5' for day in (30, 31) for hour in hours]
    manifest, _ = converted(tmp_path, '\n'.join(['Year,Month,Day,Hour,Load', *rows, '']))
    assert (manifest.rows_accepted, manifest.time.freq, manifest.time.start) == (48, 'h', '2024-01-30T00:00:00Z')
    assert any('the hours that end then' in note for note in manifest.source.notes) == ending


def test_steps_of_days_are_counted_beyond_30_000(tmp_path: Path) -> None:
    text = '\n'.join(['y', *(str(place % 7) for place in range(30_000)), ''])
    manifest, _ = converted(tmp_path, text, melt={'into': 'rows', 'start': '1950-01-01', 'step': 'day'})
    assert manifest.time.end == '2032-02-19T00:00:00Z'
