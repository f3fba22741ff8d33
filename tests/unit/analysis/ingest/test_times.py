"""Times: every usual way to write one, and what DuckDB alone would read wrongly without a word."""

from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analysis.ingest import readings
from core.errors import AmbiguousDates, NoTimeColumn
from tests.unit.analysis.ingest.cells import instance, read_cells
from tests.unit.analysis.ingest.reading import converted, faults, inspected, stored


@pytest.mark.parametrize(
    ('first', 'second', 'kind', 'expected'),
    [
        # ISO 8601
        ('2024-01-31', '2024-02-01', 'date', '2024-01-31'),
        ('2024-01-31T13:05', '2024-02-01T13:05', 'timestamp', '2024-01-31 13:05'),
        ('2024-01-31t13:05:09z', '2024-02-01t13:05:09z', 'timestamptz', '2024-01-31 13:05:09'),
        ('2024-01-31T13:05:09,5', '2024-02-01T13:05:09,5', 'timestamp', '2024-01-31 13:05:09.500'),
        ('2024-01-31T13:05:09.123456Z', '2024-02-01T13:05:09.123456Z', 'timestamptz', '2024-01-31 13:05:09.123456'),
        ('2024-01-31T13:05:09+02', '2024-02-01T13:05:09+02', 'timestamptz', '2024-01-31 11:05:09'),
        ('2024-01-31T13:05:09+0530', '2024-02-01T13:05:09+0530', 'timestamptz', '2024-01-31 07:35:09'),
        ('2024-01-31T13:05:09-03:30', '2024-02-01T13:05:09-03:30', 'timestamptz', '2024-01-31 16:35:09'),
        ('2024-01-31 13:05:09 UTC', '2024-02-01 13:05:09 UTC', 'timestamptz', '2024-01-31 13:05:09'),
        ('2024-01-31 13:05:09 CET', '2024-07-01 13:05:09 CEST', 'timestamptz', '2024-01-31 12:05:09'),
        ('2024-01-31T13:05+01:00[Europe/Berlin]', '2024-02-01T13:05Z', 'timestamptz', '2024-01-31 12:05'),
        ('2024-01-31T13', '2024-02-01T13', 'timestamp', '2024-01-31 13:00'),
        ('20240131', '20240201', 'date', '2024-01-31'),
        ('20240131T130509', '20240201T130509', 'timestamp', '2024-01-31 13:05:09'),
        ('20240131T1305', '20240201T1305', 'timestamp', '2024-01-31 13:05'),
        ('20240131T130509.25', '20240201T130509.25', 'timestamp', '2024-01-31 13:05:09.250'),
        ('20240131T130509Z', '20240201T130509Z', 'timestamptz', '2024-01-31 13:05:09'),
        ('20240131T130509+0200', '20240201T130509+0200', 'timestamptz', '2024-01-31 11:05:09'),
        ('20240131130509', '20240201130509', 'timestamp', '2024-01-31 13:05:09'),
        ('2024-031', '2024-032', 'date', '2024-01-31'),
        ('2024-W05', '2024-W06', 'date', '2024-01-29'),
        ('2024W05', '2024W06', 'date', '2024-01-29'),
        ('2024-W05-3', '2024-W05-4', 'date', '2024-01-31'),
        ('2024W053', '2024W054', 'date', '2024-01-31'),
        ('2020-W53', '2021-W01', 'date', '2020-12-28'),
        # weeks, quarters, halves, months, years
        ('2024 Week 5', '2024 Week 6', 'date', '2024-01-29'),
        ('W5 2024', 'W6 2024', 'date', '2024-01-29'),
        ('KW 05/2024', 'KW 06/2024', 'date', '2024-01-29'),
        ('2024Q2', '2024Q3', 'date', '2024-04-01'),
        ('2024-Q2', '2024-Q3', 'date', '2024-04-01'),
        ('2024 q2', '2024 q3', 'date', '2024-04-01'),
        ('Q2 2024', 'Q3 2024', 'date', '2024-04-01'),
        ('Q2/2024', 'Q3/2024', 'date', '2024-04-01'),
        ("Q2'24", "Q3'24", 'date', '2024-04-01'),
        ('2Q24', '3Q24', 'date', '2024-04-01'),
        ('2Q2024', '3Q2024', 'date', '2024-04-01'),
        ('T2 2024', 'T3 2024', 'date', '2024-04-01'),
        ('2024H2', '2025H1', 'date', '2024-07-01'),
        ('2024-S2', '2025-S1', 'date', '2024-07-01'),
        ('2024-02', '2024-03', 'date', '2024-02-01'),
        ('2024/02', '2024/03', 'date', '2024-02-01'),
        ('02/2024', '03/2024', 'date', '2024-02-01'),
        ('202402', '202403', 'date', '2024-02-01'),
        ('2024M02', '2024M03', 'date', '2024-02-01'),
        ('M02 2024', 'M03 2024', 'date', '2024-02-01'),
        ('2024', '2025', 'integer', '2024-01-01'),
        # names of months
        ('31 January 2024', '1 May 2024', 'date', '2024-01-31'),
        ('January 31st, 2024', 'February 1st, 2024', 'date', '2024-01-31'),
        ('31st of January 2024', '1st of February 2024', 'date', '2024-01-31'),
        ('31JAN2024', '01FEB2024', 'date', '2024-01-31'),
        ('31-Jan-24', '01-Feb-24', 'date', '2024-01-31'),
        ('31-Jan-1999', '01-Feb-1999', 'date', '1999-01-31'),
        ('Sept 5, 2024', 'Oct 6, 2024', 'date', '2024-09-05'),
        ('31. Januar 2024', '1. März 2024', 'date', '2024-01-31'),
        ('Mittwoch, 31. Dez. 2024', 'Freitag, 1. Mai 2024', 'date', '2024-12-31'),
        ('31 janvier 2024', '1er août 2024', 'date', '2024-01-31'),
        ('mercredi 31 juil. 2024', 'jeudi 1 févr. 2024', 'date', '2024-07-31'),
        ('31 de enero de 2024', '1 de agosto de 2024', 'date', '2024-01-31'),
        ('31-dic-2024', '01-abr-2025', 'date', '2024-12-31'),
        ('enero 2024', 'febrero 2024', 'date', '2024-01-01'),
        ('Jan 2024', 'Feb 2024', 'date', '2024-01-01'),
        ('déc. 2024', 'janv. 2025', 'date', '2024-12-01'),
        ('Dezember 2024', 'Januar 2025', 'date', '2024-12-01'),
        ('Jan-24', 'Feb-24', 'date', '2024-01-01'),
        ('2024-Jan', '2024-Feb', 'date', '2024-01-01'),
        ('Wed, 31 Jan 2024 13:05:09 GMT', 'Thu, 01 Feb 2024 13:05:09 GMT', 'timestamptz', '2024-01-31 13:05:09'),
        ('Wed, 31 Jan 2024 13:05:09 -0500', 'Thu, 01 Feb 2024 13:05:09 -0500', 'timestamptz', '2024-01-31 18:05:09'),
        ('31/Jan/2024:13:05:09 +0000', '01/Feb/2024:13:05:09 +0000', 'timestamptz', '2024-01-31 13:05:09'),
        ('Wed Jan 31 13:05:09 2024', 'Thu Feb  1 13:05:09 2024', 'timestamp', '2024-01-31 13:05:09'),
        # clocks of 12 hours
        ('2024-01-31 01:05:09 PM', '2024-02-01 12:05:09 AM', 'timestamp', '2024-01-31 13:05:09'),
        ('31/01/2024 1:05 pm', '01/02/2024 12:05 am', 'timestamp', '2024-01-31 13:05'),
        ('1/31/2024 1:05:09 PM', '2/1/2024 12:00:00 AM', 'timestamp', '2024-01-31 13:05:09'),
        ('31/01/2024 1:05 p.m.', '01/02/2024 12:05 a.m.', 'timestamp', '2024-01-31 13:05'),
        ('Jan 31, 2024 1PM', 'Feb 1, 2024 12AM', 'timestamp', '2024-01-31 13:00'),
        ('31/01/2024 13:05 +02:00', '01/02/2024 13:05 +02:00', 'timestamptz', '2024-01-31 11:05'),
        # stretches of time
        ('01.02.2024 13:05 - 01.02.2024 14:05', '01.02.2024 14:05 - 01.02.2024 15:05', 'timestamp', '2024-02-01 13:05'),
        ('31/01/2024 13:05 - 31/01/2024 14:05', '01/02/2024 13:05 - 01/02/2024 14:05', 'timestamp', '2024-01-31 13:05'),
        ('2024-01-31 13:05 - 2024-01-31 14:05', '2024-01-31 14:05 - 2024-01-31 15:05', 'timestamp', '2024-01-31 13:05'),
        # the clock of computers
        ('1706706309', '1706709909', 'timestamptz', '2024-01-31 13:05:09'),
        ('1706706309.25', '1706709909.25', 'timestamptz', '2024-01-31 13:05:09.250'),
        ('1706706309250', '1706709909250', 'timestamptz', '2024-01-31 13:05:09.250'),
        ('1706706309250125', '1706709909250125', 'timestamptz', '2024-01-31 13:05:09.250125'),
        ('1706706309250125000', '1706709909250125000', 'timestamptz', '2024-01-31 13:05:09.250125'),
        ('-200000000', '-199996400', 'timestamptz', '1963-08-31 04:26:40'),
        ('-200000000.25', '200000000', 'timestamptz', '1963-08-31 04:26:39.750'),
        ('-200000000250', '-199996400000', 'timestamptz', '1963-08-31 04:26:39.750'),
        ('-200000000250125', '-199996400000000', 'timestamptz', '1963-08-31 04:26:39.749875'),
        ('-200000000250125000', '-199996400000000000', 'timestamptz', '1963-08-31 04:26:39.749875'),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_ways_to_write_a_time(tmp_path: Path, first: str, second: str, kind: str, expected: str) -> None:
    column, values = read_cells(tmp_path, 'date', [first, second])
    assert (column.type, values[0], column.unread) == (kind, datetime.fromisoformat(expected), 0)
    assert values[1] is not None


@pytest.mark.parametrize(
    ('cells', 'zone'),
    [
        (['2024-01-31T13:05:09Z', '2024-02-01T13:05:09Z'], 'UTC'),
        (['2024-01-31T13:05:09+02:00', '2024-02-01T13:05:09+0200'], '+02:00'),
        (['2024-01-31T13:05+01:00[Europe/Berlin]', '2024-07-01T13:05+02:00[Europe/Berlin]'], 'Europe/Berlin'),
        (['2024-01-31T13:05:09+02:00', '2024-02-01T13:05:09+01:00'], ''),
        (['2024-01-31 13:05:09', '2024-02-01 13:05:09'], ''),
    ],
)
@pytest.mark.slow
def test_the_one_zone_that_all_times_name_is_kept(tmp_path: Path, cells: list[str], zone: str) -> None:
    assert read_cells(tmp_path, 'ts', cells)[0].zone == zone
    manifest, _ = converted(tmp_path, 'ts,y\n' + ''.join(f'{cell},{number}\n' for number, cell in enumerate(cells)))
    assert (manifest.time.written_zone, manifest.time.zone) == (zone, 'UTC')


@pytest.mark.parametrize(
    ('cell', 'expected'),
    [
        ('5 Feb 2024', datetime(2024, 2, 5)),
        ('2024/02/05', datetime(2024, 2, 5)),
        ('20240205', datetime(2024, 2, 5)),
        ('25/02/2024', datetime(2024, 2, 25)),
        ('02/25/2024', datetime(2024, 2, 25)),
        ('02.02.2024', datetime(2024, 2, 2)),
        ('05/02/2024', None),
        ('Feb 2024', None),
        ('1707091200', None),
    ],
)
@pytest.mark.slow
def test_a_date_written_otherwise_is_read_when_it_can_mean_one_day_only(
    tmp_path: Path, cell: str, expected: datetime | None
) -> None:
    column, values = read_cells(tmp_path, 'date', [*(f'2024-01-{day:02}' for day in range(1, 21)), cell])
    assert values[-1] == expected
    assert (column.repaired, column.unread) == (({'date_format': 1}, 0) if expected else ({}, 1))


# What DuckDB would read without a word


@pytest.mark.parametrize(
    'cell', ['infinity', '-infinity', 'epoch', 'now', 'today', '2024-01-32', '2024-13-01', '0044-03-15']
)
def test_what_duckdb_takes_for_a_time_is_none(tmp_path: Path, cell: str) -> None:
    column, values = read_cells(tmp_path, 'date', [*(f'2024-01-{day:02}' for day in range(1, 21)), cell])
    assert (values[-1], column.unread) == (None, 1)


@pytest.mark.parametrize(
    'cell', ['inf', '-inf', 'nan.', 'infinity', '1_000', '0x1F', '1e400', '12\n', '1 2', '--5', '1e', '5e5.']
)
def test_what_duckdb_takes_for_a_number_is_none(tmp_path: Path, cell: str) -> None:
    column, values = read_cells(tmp_path, 'y', [*(f'{i}.5' for i in range(20)), cell])
    assert (values[-1], column.unread) == (None, 1)


def test_one_bad_cell_does_not_make_a_column_text(tmp_path: Path) -> None:
    column, values = read_cells(tmp_path, 'y', [*map(str, range(20)), 'oops'])
    assert (column.type, values[3], values[-1]) == ('integer', 3, None)


def test_offsets_are_never_dropped_whatever_the_form(tmp_path: Path) -> None:
    stamps = [
        '2024-01-31 13:05:09+02:00',
        '2024-01-31T13:05:09+02',
        '31/01/2024 13:05:09 +0200',
        '20240131T130509+0200',
    ]
    for stamp in stamps:
        _, values = read_cells(tmp_path, 'ts', [stamp, stamp])
        assert values == [datetime(2024, 1, 31, 11, 5, 9)] * 2


def test_an_offset_that_no_clock_has_is_no_time(tmp_path: Path) -> None:
    good = [f'2024-01-{day:02}T13:05:09+02:00' for day in range(1, 21)]
    column, values = read_cells(tmp_path, 'ts', [*good, '2024-01-31T13:05:09+99:00'])
    assert (values[-1], column.unread) == (None, 1)


def test_nanoseconds_are_counted_as_they_are_cut(tmp_path: Path) -> None:
    column, values = read_cells(tmp_path, 'ts', ['2024-01-31 13:05:09.123456789', '2024-01-31 13:05:10.000000000'])
    assert values[0] == datetime(2024, 1, 31, 13, 5, 9, 123456)
    assert column.figures['fine'] == 1


def test_a_week_that_a_year_does_not_have_is_no_time(tmp_path: Path) -> None:
    column, values = read_cells(tmp_path, 'week', [*(f'2021-W{week:02}' for week in range(1, 21)), '2021-W53'])
    assert (values[-1], column.unread) == (None, 1)


# The cheap test lets nothing through that the shape would not


_ODD = st.text(st.sampled_from('0123456789.+-eE_ \t\nxnaifTZ:,/%()$kg\u2212\u00a0'), max_size=24)
_NUMBERS = st.one_of(st.floats().map(repr), st.integers().map(str), st.decimals(allow_nan=True).map(str), _ODD)
_STAMPS = st.one_of(
    st.datetimes().map(str), st.datetimes().map(lambda t: f'{t:%Y-%m-%dT%H:%M:%S}Z'), st.dates().map(str), _ODD
)


@st.composite
def _mangled(draw: st.DrawFn, cells: st.SearchStrategy[str]) -> str:
    """A cell, half of the time with one character replaced or put in."""
    cell = draw(cells)
    if not cell or draw(st.booleans()):
        return cell
    at = draw(st.integers(0, len(cell) - 1))
    return cell[:at] + draw(st.sampled_from('09 +-.:TZz_e,\t\n/a')) + cell[at + draw(st.integers(0, 1)) :]


@settings(max_examples=60, deadline=None)
@given(cells=st.lists(_mangled(_NUMBERS), min_size=1, max_size=60))
@pytest.mark.slow
def test_plain_numbers_are_read_quickly_to_the_value_of_their_shape(cells: list[str]) -> None:
    _compare(readings.PLAIN, cells, f'CASE WHEN isfinite({readings.PLAIN.quickly("c")}) THEN 1 END')


@settings(max_examples=20, deadline=None)
@given(cells=st.lists(_mangled(_STAMPS), min_size=1, max_size=60))
@pytest.mark.parametrize(
    'example',
    [
        *('2024-01-31', '2024-01-31 13:05', '2024-01-31 13:05:09', '2024-01-31T13:05:09', '2024-01-31T13:05:09Z'),
        *('2024-01-31 13:05:09.250', '2024-01-31T13:05:09.123456Z', '2024-01-31T13:05:09+02:00'),
    ],
)
@pytest.mark.slow
def test_iso_times_are_read_quickly_to_the_value_of_their_shape(example: str, cells: list[str]) -> None:
    reading = readings.ISO.quickened([example])
    assert reading.quick
    _compare(reading, [*cells, example], '1')


def _compare(reading: readings.Reading, cells: list[str], stored: str) -> None:
    """What is read quickly has the shape, and the value that is read by it."""
    slow = reading.read('c')
    if reading.is_quick_instant:
        slow = reading.read_instant('c') or ''
    with instance().cursor() as connection:
        connection.register('cells', pa.table({'c': cells}))
        wrong = connection.execute(
            f'SELECT c FROM (SELECT c, {reading.quickly("c")} AS f, {slow} AS s, {stored} AS stored FROM cells) '
            'WHERE f IS NOT NULL AND stored IS NOT NULL AND f IS DISTINCT FROM s'
        ).fetchall()
    assert not wrong


@pytest.mark.parametrize(
    ('name', 'cells', 'kind', 'first'),
    [
        ('Date', ['45658', '45659', '45661'], 'date', datetime(2025, 1, 1)),
        ('Datum', ['45658.0', '45658.5', '45659.041667'], 'timestamp', datetime(2025, 1, 1)),
        ('DateTime', ['45658.041666667', '45658.083333333', '45658.125'], 'timestamp', datetime(2025, 1, 1, 1)),
    ],
)
def test_days_as_excel_counts_them_are_dates_by_the_name_of_their_column(
    tmp_path: Path, name: str, cells: list[str], kind: str, first: datetime
) -> None:
    manifest, into = converted(tmp_path, f'{name},y\n' + ''.join(f'{cell},{i}.5\n' for i, cell in enumerate(cells)))
    assert (manifest.columns[0].type, manifest.columns[0].role) == (kind, 'time')
    assert stored(into, 'min(_time)') == [(first,)]


@pytest.mark.parametrize(
    ('names', 'first'),
    [
        ('ds,data,visits', 30000), ('date,steps per day,sleep_h', 41000), ('time,kcal/day,n', 35000),
        ('month,sales_day,v', 35000), ('time,dia,v', 45000), ('time,serial_no,v', 41234), ('time,date,v', 45658),
    ],
)  # fmt: skip
def test_numbers_of_five_digits_are_no_dates_beside_a_time_or_under_another_name(
    tmp_path: Path, names: str, first: int
) -> None:
    text = f'{names}\n' + ''.join(f'2024-01-0{i},{first + i},3000{i}\n' for i in range(1, 9))
    roles = [c['role'] for c in inspected(tmp_path, text)['columns']]
    number = 'attribute' if 'serial_no' in names else 'measure'  # a number of its own in each row tells rows apart
    assert roles == ['time', number, 'measure']


def test_serial_numbers_of_meters_lose_no_row(tmp_path: Path) -> None:
    rows = [f'2024-01-{day:02},{meter},{day}.5\n' for day in range(1, 29) for meter in (41234, 41239)]
    manifest, _ = converted(tmp_path, 'time,meter serial,kwh\n' + ''.join(rows))
    assert {c.name: c.role for c in manifest.columns} == {'time': 'time', 'meter serial': 'series', 'kwh': 'measure'}
    assert (manifest.rows_accepted, manifest.rows_rejected) == (56, 0)


@pytest.mark.parametrize(
    ('name', 'cells'),
    [
        ('date', [20089 + i for i in range(28)]),  # days since 1970
        ('date', [24001 + i for i in range(28)]),  # year and day of the year
        ('date', [58580 + i for i in range(28)]),  # modified Julian days
        ('date', [45658 + i * 37 % 28 for i in range(28)]),  # in no order
        ('date', [45658] * 28),
        ('order day', [45658 + i for i in range(28)]),
    ],
)
def test_other_numbers_of_five_digits_are_no_days_of_excel(tmp_path: Path, name: str, cells: list[int]) -> None:
    text = f'{name},v\n' + ''.join(f'{cell},{i}.5\n' for i, cell in enumerate(cells))
    with pytest.raises(NoTimeColumn):
        converted(tmp_path, text)


def test_days_of_excel_are_times_by_a_role_that_is_given(tmp_path: Path) -> None:
    text = 'order day,v\n' + ''.join(f'{46000 + i * 37 % 28},{i}.5\n' for i in range(28))
    manifest, into = converted(tmp_path, text, roles={'order day': 'time'})
    assert (manifest.columns[0].type, stored(into, 'min(_time)')) == ('date', [(datetime(2025, 12, 9),)])


def test_days_of_excel_of_several_series_stay_days(tmp_path: Path) -> None:
    rows = [f'{shop},{45658 + day},{day}.5\n' for shop in 'ab' for day in range(28)]
    manifest, _ = converted(tmp_path, 'shop,Date,v\n' + ''.join(rows))
    assert {c.name: c.role for c in manifest.columns} == {'shop': 'series', 'Date': 'time', 'v': 'measure'}


def test_names_of_five_digits_are_no_days(tmp_path: Path) -> None:
    rows = ''.join(f'{shop},{i}.5,{i},{i + 2},4\n' for i, shop in enumerate('abcd'))
    with pytest.raises(NoTimeColumn):
        converted(tmp_path, f'shop,41234,41237,41301,41302\n{rows}')


def test_seconds_and_milliseconds_in_one_column_are_told_apart(tmp_path: Path) -> None:
    text = 'time,y\n' + ''.join(f'{(1735689600 + 3600 * i) * (1000 if i > 5 else 1)},{i}.5\n' for i in range(10))
    manifest, into = converted(tmp_path, text)
    assert (manifest.rows_accepted, manifest.rows_repaired, manifest.rows_rejected) == (6, 4, 0)
    assert stored(into, 'max(_time)') == [(datetime(2025, 1, 1, 9),)]
    assert {(kind, action) for _, _, kind, _, action in faults(into)} == {('date_format', 'repaired')}


def _quarters(hours: list[int]) -> str:
    rows = [
        f'2024-10-27 {hour:02}:{minute:02},{row}.5\n' for row, hour in enumerate(hours) for minute in (0, 15, 30, 45)
    ]
    return 'time,y\n' + ''.join(rows)


def test_an_hour_that_is_there_twice_as_clocks_go_back_is_told(tmp_path: Path) -> None:
    manifest, _ = converted(tmp_path, _quarters([0, 1, 2, 2, 3, 4]))
    (note,) = manifest.source.notes
    assert 'as in Europe/Berlin on 27 Oct 2024' in note
    again = tmp_path / 'again'
    again.mkdir()
    manifest, _ = converted(again, _quarters([0, 1, 2, 2, 3, 4]), time_zone='Europe/Berlin')
    assert (manifest.source.notes, manifest.rows_rejected) == ((), 0)


def test_an_hour_that_all_series_have_twice_is_told_among_other_duplicates(tmp_path: Path) -> None:
    hours = [f'2025-10-26 {hour:02}:00,{name},{hour}.5\n' for name in 'abc' for hour in range(12)]
    twice = [f'2025-10-26 02:00,{name},7.5\n' for name in 'abc']
    text = ''.join(['time,id,y\n', *hours, *twice, '2025-10-26 05:00,a,8.5\n', '2025-10-26 09:00,b,9.5\n'])
    (note,) = converted(tmp_path, text)[0].source.notes
    assert note.startswith('Some duplicates lie in the hour')
    assert 'as in Europe/Berlin on 26 Oct 2025' in note


@pytest.mark.parametrize(
    ('days', 'twice', 'told'),
    [
        (365, ['2024-10-27 02', '2024-03-05 07', '2024-06-01 00', '2024-06-01 01'], True),
        (365, ['2024-03-05 07', '2024-06-01 00', '2024-06-01 01'], False),
        (365, [f'2024-10-27 {hour:02}' for hour in range(6)], False),  # a part of that day came again
        (365, ['2024-10-27 02', *(f'2024-{1 + i // 28:02}-{1 + i % 28:02} 09' for i in range(200))], False),
        (2, ['2024-10-27 02', '2024-10-26 07'], False),
    ],
)
def test_an_hour_that_one_series_has_twice_is_told_among_other_duplicates(
    tmp_path: Path, days: int, twice: list[str], told: bool
) -> None:
    first = datetime(2024, 10, 28) - timedelta(days=days)
    stamps = sorted([f'{first + timedelta(hours=hour):%Y-%m-%d %H}' for hour in range(24 * days)] + twice)
    text = 'time,y\n' + ''.join(f'{stamp}:00,{row}.5\n' for row, stamp in enumerate(stamps))
    manifest, _ = converted(tmp_path, text)
    clocks = [note for note in manifest.source.notes if 'as in ' in note]
    assert (len(clocks), all('as in Europe/Berlin on 27 Oct 2024' in note for note in clocks)) == (told, True)


def test_other_duplicates_are_no_matter_of_clocks(tmp_path: Path) -> None:
    manifest, _ = converted(tmp_path, _quarters([0, 1, 2, 5, 5, 6]))
    assert ([note for note in manifest.source.notes if 'as in ' in note], manifest.rows_rejected) == ([], 4)


def test_no_time_is_read_by_sql_that_takes_long_to_plan() -> None:
    known = (*readings.TIMES, *readings.STYLES)
    written = {one.name: one.read('x') + (one.read_instant('x') or '') for one in known}
    assert [name for name, sql in written.items() if len(sql) > 20_000] == []


@pytest.mark.parametrize(
    ('first', 'second', 'expected'),
    [
        ('[2024-01-31 13:05:09]', '[2024-02-01 13:05:09]', datetime(2024, 1, 31, 13, 5, 9)),
        ('[31/Jan/2024:13:05:09]', '[01/Feb/2024:13:05:09]', datetime(2024, 1, 31, 13, 5, 9)),
        ('2024-01-31\u00a013:05', '2024-02-01\u00a013:05', datetime(2024, 1, 31, 13, 5)),
        ('1/31/2024, 1:05:09\u202fPM', '2/1/2024, 1:05:09\u202fPM', datetime(2024, 1, 31, 13, 5, 9)),
        ('31.01.2024, 13:05 Uhr', '01.02.2024, 13:05 Uhr', datetime(2024, 1, 31, 13, 5)),
        ('31.01.2024 9 Uhr', '01.02.2024 13 Uhr', datetime(2024, 1, 31, 9)),
        ('31/01/2024 13h05', '01/02/2024 9h', datetime(2024, 1, 31, 13, 5)),
        ('31.01.2024 13.05', '01.02.2024 9.05', datetime(2024, 1, 31, 13, 5)),
        ('2024-01-31 1.05 PM', '2024-02-01 9.05 am', datetime(2024, 1, 31, 13, 5)),
        ('2024-01-31T01.05.09 PM', '2024-02-01T12.05.10 PM', datetime(2024, 1, 31, 13, 5, 9)),
        ('2024-01-31\u00a01:05:09\u202fPM', '2024-02-01\u00a01:05:09\u202fAM', datetime(2024, 1, 31, 13, 5, 9)),
        ('[2024-01-31 1:05 PM]', '[2024-02-01 1:05 AM]', datetime(2024, 1, 31, 13, 5)),
        ('2024-01-31 24h00', '2024-02-01 13h05', datetime(2024, 2, 1)),
        ('31-01-24 13.05.09', '01-02-24 09.05.10', datetime(2024, 1, 31, 13, 5, 9)),
        ('31-JAN-24 01.05.09.123456789 PM', '01-FEB-24 09.05.10.5 AM', datetime(2024, 1, 31, 13, 5, 9, 123456)),
    ],
)
def test_times_of_other_styles(tmp_path: Path, first: str, second: str, expected: datetime) -> None:
    manifest, into = converted(tmp_path, f'when;y\n{first};1,5\n{second};2,5\n')
    assert (manifest.columns[0].role, stored(into, 'min(_time), count(*)')) == ('time', [(expected, 2)])


def test_day_and_month_of_other_styles_are_asked_for(tmp_path: Path) -> None:
    text = 'when;y\n03/04/2024 13h05;1\n05/04/2024 9h10;2\n11/09/2024 7h00;3\n'
    with pytest.raises(AmbiguousDates, match='day or the month'):
        converted(tmp_path, text)
    again = tmp_path / 'again'
    again.mkdir()
    _, into = converted(again, text, day_first=True)
    assert stored(into, 'min(_time)') == [(datetime(2024, 4, 3, 13, 5),)]
