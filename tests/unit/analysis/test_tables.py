"""Pages and exports of stored Parquet."""

import csv
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analysis import duck, tables


@pytest.fixture
def part(tmp_path: Path) -> Path:
    path = tmp_path / 'data-00000.parquet'
    duckdb.sql(
        f"copy (select '' as _series, timestamp '2024-01-01' + interval (i) day as _time, i + 2 as _line, i as n, "
        f'\'name \' || i as "odd "" name" from range(10) t(i)) to \'{path}\''
    )
    return path


def test_page_is_a_slice_with_the_total(part):
    page = tables.page([part], offset=4, limit=3)
    assert page.columns == ('_series', '_time', '_line', 'n', 'odd " name')
    assert [row[3] for row in page.rows] == [4, 5, 6]
    assert (page.offset, page.total) == (4, 10)
    assert tables.page([part], offset=40).rows == []


def test_a_page_of_rows_that_hold_values(tmp_path):
    path = tmp_path / 'faults.parquet'
    duckdb.sql(
        "copy (select * from (values (1, 'padding', 'y'), (2, 'duplicate', null), (3, 'padding', 'y'), "
        f"(4, 'padding', 'z')) t(line, kind, \"column\")) to '{path}'"
    )
    page = tables.page([path], offset=1, order=('line',), where={'kind': 'padding', 'column': 'y'})
    assert ([row[0] for row in page.rows], page.total) == ([3], 2)
    assert [row[0] for row in tables.page([path], where={'column': None}).rows] == [2]
    assert tables.page([path], where={'kind': "' or true --"}).total == 0


def test_search_ignores_case(tmp_path):
    path = tmp_path / 'series.parquet'
    duckdb.sql(f"copy (select unnest(['Paris', 'London', 'comparison', null]) as series) to '{path}'")
    assert tables.search(path, column='series', query='PAR', limit=9) == ['Paris', 'comparison']


@pytest.mark.parametrize('form', ['csv', 'parquet'])
def test_export_leaves_our_own_columns_out(part, tmp_path, form):
    out = tmp_path / f'out.{form}'
    tables.export([part], out)
    read = f"read_csv('{out}')" if form == 'csv' else f"'{out}'"
    assert duckdb.sql(f'select * from {read}').columns == ['n', 'odd " name']
    assert duckdb.sql(f'select count(*) from {read}').fetchall() == [(10,)]


TOLD = [
    ('date', 'UTC', '2024-07-01', '2024-07-01 00:00:00'),
    ('timestamp', 'UTC', '2024-07-01 00:00:00', '2024-07-01 00:00:00'),
    ('timestamp', 'Europe/Berlin', '2024-07-01T02:00:00+02:00', '2024-07-01 02:00:00'),
    ('timestamptz', 'Europe/Berlin', '2024-07-01T02:00:00+02:00', '2024-07-01 00:00:00+00'),
    ('timestamptz', 'America/St_Johns', '2024-06-30T21:30:00-02:30', '2024-07-01 00:00:00+00'),
    ('timestamptz', 'UTC', '2024-07-01T00:00:00+00:00', '2024-07-01 00:00:00+00'),
]


@pytest.mark.parametrize(('kind', 'zone', 'written', 'meant'), TOLD)
def test_times_are_exported_as_those_of_the_dataset_are(tmp_path, kind, zone, written, meant):
    path, clock = tmp_path / 'rows.parquet', tables.Clock(kind=kind, zone=zone)
    duckdb.sql(f"copy (select 'a' as unique_id, timestamp '2024-07-01' as ds) to '{path}'")
    tables.export([path], tmp_path / 'out.csv', clock=clock)
    tables.export([path], tmp_path / 'out.parquet', clock=clock)
    assert (tmp_path / 'out.csv').read_text() == f'unique_id,ds\na,{written}\n'
    duckdb.sql("set timezone = 'UTC'")
    assert duckdb.sql(f"select ds = '{meant}' from '{tmp_path / 'out.parquet'}'").fetchall() == [(True,)]


@pytest.mark.parametrize('form', ['csv', 'parquet'])
def test_clock_times_of_a_zone_are_written_with_their_offset_where_they_are_the_time(tmp_path, form):
    path, out = tmp_path / 'rows.parquet', tmp_path / f'out.{form}'
    duckdb.sql(
        "copy (select timestamp '2024-10-27 02:30' as ds, timestamp '2024-10-27 02:30' as due, unnest(["
        f"timestamp '2024-10-27 00:30', timestamp '2024-10-27 01:30']) as _time) to '{path}'"
    )
    tables.export([path], out, time='ds', zone='Europe/Berlin')
    if form == 'csv':
        assert out.read_text().split('\n')[1:3] == [
            '2024-10-27T02:30:00+02:00,2024-10-27 02:30:00', '2024-10-27T02:30:00+01:00,2024-10-27 02:30:00',
        ]  # fmt: skip
    else:
        assert duckdb.sql(f"select distinct ds = due from '{out}'").fetchall() == [(True,)]
    tables.export([path], tmp_path / 'plain.csv', time='ds')
    assert (tmp_path / 'plain.csv').read_text().split('\n')[1] == '2024-10-27 02:30:00,2024-10-27 02:30:00'


def test_the_hour_that_a_clock_shows_twice_is_told_apart_and_an_odd_offset_is_written_in_utc(tmp_path):
    path = tmp_path / 'rows.parquet'
    times = ['2024-10-27 00:30:00.5', '2024-10-27 01:30:00', '1890-01-01 00:00:00']
    duckdb.sql(f"copy (select timezone('UTC', unnest({times})::timestamp) as at) to '{path}'")
    tables.export([path], tmp_path / 'out.csv', zone='Europe/Berlin')
    assert (tmp_path / 'out.csv').read_text().split() == [
        'at', '2024-10-27T02:30:00.5+02:00', '2024-10-27T02:30:00+01:00', '1890-01-01T00:00:00+00:00',
    ]  # fmt: skip


DAYS = "unnest(['2024-09-07 04:00', '2024-09-08 04:00', '2024-09-09 03:00']::timestamp[])"
"""Days of Santiago, whose clocks skip the midnight of the second."""


def test_days_of_a_zone_are_written_without_offset_also_where_clocks_skip_midnight(tmp_path):
    days, zone = '2024-09-07 00:00:00 2024-09-08 00:00:00 2024-09-09 00:00:00', 'America/Santiago'
    rows, forecast, out = tmp_path / 'rows.parquet', tmp_path / 'forecast.parquet', tmp_path / 'out.csv'
    duckdb.sql(f"copy (select _time - interval 3 hour as ds, _time from (select {DAYS} as _time)) to '{rows}'")
    tables.export([rows], out, time='ds', zone=zone)
    assert ' '.join(out.read_text().splitlines()[1:]) == days
    duckdb.sql(f"copy (select {DAYS} as ds) to '{forecast}'")
    tables.export([forecast], out, clock=tables.Clock(kind='timestamp', zone=zone))
    assert ' '.join(out.read_text().splitlines()[1:]) == days


def test_one_time_that_is_no_midnight_gives_all_their_offset(tmp_path):
    path, out = tmp_path / 'forecast.parquet', tmp_path / 'out.csv'
    duckdb.sql(f"copy (select timestamp '2024-07-01 22:00' as ds, timestamp '2024-07-01 21:00' as cutoff) to '{path}'")
    tables.export([path], out, clock=tables.Clock(kind='timestamp', zone='Europe/Berlin'))
    assert out.read_text() == 'ds,cutoff\n2024-07-02T00:00:00+02:00,2024-07-01T23:00:00+02:00\n'
    duckdb.sql(f"copy (select timestamp '2024-07-01 22:00' as ds, null::timestamp as cutoff) to '{path}'")
    tables.export([path], out, clock=tables.Clock(kind='timestamp', zone='Europe/Berlin'))
    assert out.read_text() == 'ds,cutoff\n2024-07-02 00:00:00,\n'


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(alphabet='=+-@\t\r\'"a1,; é', max_size=8), min_size=1, max_size=6))
@pytest.mark.slow
def test_no_exported_cell_begins_like_a_formula(tmp_path_factory, cells):
    folder = tmp_path_factory.mktemp('formula')
    pq.write_table(pa.table({'=head': pa.array(cells, pa.string())}), folder / 'in.parquet')
    tables.export([folder / 'in.parquet'], folder / 'out.csv')
    with (folder / 'out.csv').open(newline='') as file:
        rows = list(csv.reader(file))
    assert len(rows) == len(cells) + 1 or all(not cell for cell in cells)
    for row in rows:
        for cell in row:
            assert not cell.startswith(('=', '+', '-', '@', '\t', '\r'))


def test_locked_connection_reads_what_is_allowed_and_nothing_else(part, tmp_path):
    other = tmp_path / 'other.parquet'
    other.write_bytes(part.read_bytes())
    with duck.connect(memory=2**28, allow=[part]) as connection:
        assert connection.execute(f'select count(*) from {duck.files([part])}').fetchone() == (10,)
        for statement in (
            f'select * from {duck.files([other])}',
            "select * from read_text('/etc/hostname')",
            f"copy (select 1) to '{tmp_path / 'x.csv'}'",
            "attach '/etc/x.db'",
            'install httpfs',
            'set enable_external_access = true',
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)
