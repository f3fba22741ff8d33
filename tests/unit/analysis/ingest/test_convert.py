"""From a file to a stored version."""

import importlib
import json
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from core.analysis.ingest import Manifest, Options, convert, export, inspect
from core.analysis.ingest.convert import SMALL, THREADS, _on_one_thread, _opened
from core.analysis.ingest.profile import column_profiles
from core.analysis.ingest.types import Column
from core.errors import NoTimeColumn, TooLarge, UnusableData, UsageError
from tests.unit.analysis.ingest.reading import converted, faults, inspected, stored


def test_a_version_holds_sorted_rows_and_their_lines(tmp_path: Path) -> None:
    manifest, into = converted(tmp_path, 'ds,id,y\n2024-01-02,b,4\n2024-01-01,b,3\n2024-01-02,a,2\n2024-01-01,a,1\n')
    assert stored(into, '_series, _time, _line, y') == [
        ('a', datetime(2024, 1, 1), 5, 1),
        ('a', datetime(2024, 1, 2), 4, 2),
        ('b', datetime(2024, 1, 1), 3, 3),
        ('b', datetime(2024, 1, 2), 2, 4),
    ]
    assert sorted(file.name for file in into.iterdir()) == [
        'data-00000.parquet',
        'faults.parquet',
        'manifest.json',
        'pyramid.parquet',
        'series.parquet',
    ]
    assert Manifest.from_json(json.loads((into / 'manifest.json').read_text(encoding='utf-8'))) == manifest


def test_converting_twice_gives_the_same_objects(tmp_path: Path) -> None:
    source = tmp_path / 'file.csv'
    source.write_text('ds,y\n' + ''.join(f'2024-01-01 {i // 60:02}:{i % 60:02},{i}\n' for i in range(600)))
    objects = []
    for name in ('a', 'b'):
        into = tmp_path / name
        into.mkdir()
        convert(source, name='file.csv', into=into, options=Options(), progress=lambda share, text: None)
        objects.append({file.name: file.read_bytes() for file in into.iterdir()})
    assert objects[0] == objects[1]


def test_figures_of_many_rows_are_the_same_each_time(tmp_path: Path) -> None:
    """Several threads would sum and estimate them in any order, and the manifest is an object too."""
    part = tmp_path / 'data-00000.parquet'
    rows = "SELECT 'a' AS _series, TIMESTAMP '2024-01-01' + INTERVAL 1 SECOND * i AS _time, sin(i) AS y"
    duckdb.sql(f"COPY ({rows} FROM range(600_000) t(i)) TO '{part}' (ROW_GROUP_SIZE 20_000)")
    measure = Column(index=0, source='y', name='y', type='double', role='measure')
    figures = []
    for _ in range(3):
        with _on_one_thread(Options(), tmp_path, [tmp_path]) as connection:
            figures.append(column_profiles(connection, [part], [measure]))
    assert figures[0] == figures[1] == figures[2]


def test_every_kind_of_cell_fault_is_listed_at_its_line(tmp_path: Path) -> None:
    good = ''.join(f'2024-01-{day:02},s,{day},{day}.5\n' for day in range(1, 29))
    bad = '2024-02-30,s,1,1\n,s,2,2\n2024-02-01,,3,3\n2024-02-02,s,,\n2024-02-03,s,x,5\n2024-02-04,s,y,z\n'
    manifest, into = converted(tmp_path, 'ds,unique_id,a,b\n' + good + bad, roles={'unique_id': 'series'})
    assert faults(into) == [
        (30, 'ds', 'not_a_time', '2024-02-30', 'rejected'),
        (31, 'ds', 'missing_time', '', 'rejected'),
        (32, 'unique_id', 'missing_key', '', 'rejected'),
        (33, None, 'no_measure', None, 'rejected'),
        (34, 'a', 'not_a_number', 'x', 'emptied'),
        (35, 'a', 'not_a_number', 'y', 'rejected'),
        (35, 'b', 'not_a_number', 'z', 'rejected'),
    ]
    assert (manifest.rows_read, manifest.rows_accepted, manifest.rows_repaired, manifest.rows_rejected) == (
        34,
        28,
        1,
        5,
    )
    assert sum(manifest.faults_by_kind.values()) == manifest.faults_total == 7


def test_a_short_row_is_stored_as_repaired(tmp_path: Path) -> None:
    rows = ''.join(f'2024-01-{day:02},{day},1\n' for day in range(1, 20))
    manifest, into = converted(tmp_path, f'ds,a,b\n{rows}2024-01-20,5\n')
    assert (manifest.rows_accepted, manifest.rows_repaired) == (19, 1)
    assert stored(into, 'a, b')[-1] == (5, None)


def test_naive_times_are_read_in_the_zone_asked_for(tmp_path: Path) -> None:
    text = 'ts,y\n2024-01-01 12:00:00,1\n2024-07-01 12:00:00,2\n'
    manifest, into = converted(tmp_path, text, time_zone='Europe/Paris')
    assert stored(into, '_time, ts') == [
        (datetime(2024, 1, 1, 11), datetime(2024, 1, 1, 12)),
        (datetime(2024, 7, 1, 10), datetime(2024, 7, 1, 12)),
    ]
    assert manifest.time.naive
    assert manifest.time.zone == 'Europe/Paris'


def test_hours_that_a_zone_skips_or_repeats_are_listed(tmp_path: Path) -> None:
    gap = ''.join(f'2024-03-31 0{hour}:30,1\n' for hour in (1, 2, 3))
    overlap = ''.join(f'2024-10-27 0{hour}:30,1\n' for hour in (1, 2, 2, 3))
    manifest, into = converted(tmp_path, 'ts,y\n' + gap + overlap, time_zone='Europe/Paris', off=['duplicate'])
    assert faults(into) == [
        (3, 'ts', 'dst_gap', '2024-03-31 02:30', 'repaired'),
        (6, 'ts', 'dst_overlap', '2024-10-27 02:30', 'repaired'),
        (7, 'ts', 'dst_overlap', '2024-10-27 02:30', 'repaired'),
    ]
    times = [row[0].strftime('%d %H:%M') for row in stored(into, '_time')]
    assert times == ['31 00:30', '31 01:30', '31 01:30', '26 23:30', '27 00:30', '27 01:30', '27 02:30']
    assert (manifest.rows_accepted, manifest.rows_repaired) == (4, 3)


def test_an_export_writes_the_times_as_they_were_understood(tmp_path: Path) -> None:
    source, out = tmp_path / 'file.csv', tmp_path / 'out.csv'
    source.write_text('ts,y\n2024-03-31 02:30,1\n2024-10-27 02:30,2\n2024-10-27 02:30,3\n', encoding='utf-8')
    report = export(source, name='file.csv', out=out, options=Options(time_zone='Europe/Paris'))
    assert report['faults_by_kind'] == {'dst_overlap': 2, 'dst_gap': 1}
    hours = [line.split(',')[0] for line in out.read_text(encoding='utf-8').splitlines()[1:]]
    assert hours == ['2024-03-31T03:30:00+02:00', '2024-10-27T02:30:00+02:00', '2024-10-27T02:30:00+01:00']


def test_a_repair_of_a_record_that_is_not_stored_is_no_repair(tmp_path: Path) -> None:
    rows = ''.join(f'2024-01-{day:02},{day},1\n' for day in range(1, 20))
    manifest, into = converted(tmp_path, f'ds,a,b\n{rows}soon,5\n2024-01-20,5\n')
    assert faults(into) == [
        (21, 'b', 'short_row', 'soon,5', 'left_out'),
        (21, 'ds', 'not_a_time', 'soon', 'rejected'),
        (22, 'b', 'short_row', '2024-01-20,5', 'repaired'),
    ]
    assert (manifest.rows_repaired, manifest.rows_rejected) == (1, 1)


def test_faults_tell_what_became_of_a_cell(tmp_path: Path) -> None:
    cells = {3: '" 5 kg"', 4: '"1.234,5"', 5: 'NA', 6: 'abc'}
    rows = [f'2024-01-{day:02},{cells.get(day, f"{day}.25")},{"9" if day == 9 else " x " if day == 8 else "x"}'
            for day in range(1, 29)]  # fmt: skip
    _, into = converted(tmp_path, '\n'.join(['ds,y,note', *rows, '31/01/2024,7.25,y', '']))
    told = duckdb.sql(f"SELECT kind, value, became, action FROM '{into}/faults.parquet' ORDER BY line").fetchall()
    assert told == [
        ('unit', ' 5 kg', '5.00', 'repaired'),
        ('number_format', '1.234,5', '1234.50', 'repaired'),
        ('null_spelling', 'NA', None, 'rejected'),
        ('not_a_number', 'abc', None, 'rejected'),
        ('padding', ' x ', 'x', 'repaired'),
        ('date_format', '31/01/2024', '2024-01-31', 'repaired'),
    ]


def test_what_became_of_a_time_is_told_with_its_offset_where_clocks_change(tmp_path: Path) -> None:
    stamps = [f'2024-03-30 {hour:02}:30' for hour in range(24)]
    stamps += ['2024-03-31 02:30', '2024-10-27 02:30', '2024-10-27 02:30', '2024-10-28 00:30:00.1234567']
    text = '\n'.join(['ts,y', *(f'{stamp},{place}' for place, stamp in enumerate(stamps)), ''])
    _, into = converted(tmp_path, text, time_zone='Europe/Berlin')
    told = duckdb.sql(f"SELECT kind, became FROM '{into}/faults.parquet' ORDER BY line").fetchall()
    assert told == [
        ('dst_gap', '2024-03-31T03:30:00+02:00'),
        ('dst_overlap', '2024-10-27T02:30:00+02:00'),
        ('dst_overlap', '2024-10-27T02:30:00+01:00'),
        ('lost_precision', '2024-10-28 00:30:00.123456'),
    ]


@pytest.mark.parametrize(
    'form',
    [
        '{d:02}.01.2024 {h}:00',
        '{d:02}/01/2024 {h}:00:00',
        '{d} Jan 2024 {h}:00',
        '2024-01-{d:02} {h}:00',
        '202401{d:02}{h}00',
        '202401{d:02} {h}',
        '202401{d:02}T{h}0000Z',
        '2024-01-{d:02}T{h}',
    ],
)
def test_the_end_of_a_day_is_the_beginning_of_the_next(tmp_path: Path, form: str) -> None:
    stamps = [form.format(d=day, h=f'{hour:02}') for day in (13, 14, 15) for hour in range(1, 25)]
    manifest, into = converted(tmp_path, '\n'.join(['at,y', *(f'{stamp},{n}' for n, stamp in enumerate(stamps)), '']))
    assert (manifest.rows_accepted, manifest.time.freq) == (72, 'h')
    assert stored(into, 'max(_time)')[0][0] == datetime(2024, 1, 16)


def test_dates_do_not_move_with_the_zone(tmp_path: Path) -> None:
    manifest, into = converted(tmp_path, 'ds,y\n2024-01,1\n2024-02,2\n2024-03,3\n', time_zone='Asia/Tokyo')
    assert stored(into, '_time')[0][0] == datetime(2024, 1, 1)
    assert manifest.time.freq == 'MS'


def test_offsets_are_never_dropped(tmp_path: Path) -> None:
    stamps = [f'2024-01-01T{hour:02}:00:00+02:00' for hour in range(2, 22)]
    text = 'ts,y\n' + ''.join(f'{stamp},1\n' for stamp in stamps) + '2024-01-01T22:00:00,1\n'
    manifest, into = converted(tmp_path, text)
    assert stored(into, 'min(_time)')[0][0] == datetime(2024, 1, 1, 0)
    assert faults(into) == [(22, 'ts', 'mixed_zone', '2024-01-01T22:00:00', 'repaired')]
    assert not manifest.time.naive


def test_a_lost_nanosecond_is_listed(tmp_path: Path) -> None:
    text = 'ts,y\n2024-01-01 00:00:00.000000000,1\n2024-01-01 00:00:01.123456789,2\n'
    manifest, into = converted(tmp_path, text)
    assert [fault[:3] for fault in faults(into)] == [(3, 'ts', 'lost_precision')]
    assert manifest.rows_repaired == 1


def test_a_table_without_time_can_be_inspected_and_exported_but_not_converted(tmp_path: Path) -> None:
    text = 'a,b\n1,x\n2,y\n'
    with pytest.raises(NoTimeColumn, match='role'):
        converted(tmp_path, text)
    assert inspected(tmp_path, text)['rows_accepted'] == 2
    out = tmp_path / 'out.csv'
    export(tmp_path / 'file.csv', name='file.csv', out=out, options=Options())
    assert out.read_text(encoding='utf-8') == 'a,b\n1,x\n2,y\n'


def test_exports_keep_names_and_say_what_happened(tmp_path: Path) -> None:
    source = tmp_path / 'file.csv'
    source.write_text('Temp;Note;ds\n1,5;=1+1;2024-01-02\n2,5;b;2024-01-01\n;c;2024-01-03\n', encoding='utf-8')
    out = tmp_path / 'out.csv'
    report = export(source, name='file.csv', out=out, options=Options())
    assert out.read_text(encoding='utf-8') == 'Temp,Note,ds\n2.5,b,2024-01-01\n1.5,=1+1,2024-01-02\n'
    assert (report['rows_accepted'], report['rows_rejected']) == (2, 1)


def test_records_without_a_measure_can_be_kept(tmp_path: Path) -> None:
    good = ''.join(f'2024-01-{day:02},{day},1\n' for day in range(1, 20))
    text = f'ds,a,b\n{good}2024-01-20,,\n2024-01-21,x,\n2024-01-22,,5\n,,\n,7,7\n2024-01-23,9,9\n'
    manifest, into = converted(tmp_path, text, keep_unmeasured=True)
    assert stored(into, 'a, b')[19:] == [(None, None), (None, None), (None, 5), (9, 9)]
    assert faults(into) == [
        (22, 'a', 'not_a_number', 'x', 'emptied'),
        (25, 'ds', 'missing_time', '', 'rejected'),
    ]
    assert (manifest.rows_accepted, manifest.rows_repaired, manifest.rows_rejected) == (22, 1, 1)


def test_a_folder_is_no_place_to_export_to(tmp_path: Path) -> None:
    (tmp_path / 'out.csv').mkdir()
    source = tmp_path / 'file.csv'
    source.write_text('ds,y\n2024-01-01,1\n', encoding='utf-8')
    with pytest.raises(UsageError, match='folder'):
        export(source, name='file.csv', out=tmp_path / 'out.csv', options=Options())


def test_an_empty_file_is_answered(tmp_path: Path) -> None:
    report = inspected(tmp_path, '')
    assert (report['rows_read'], report['columns'], report['faults']) == (0, [], [])
    path, listed = tmp_path / 'file.csv', tmp_path / 'faults.parquet'
    inspect(path, name='file.csv', options=Options(), faults_to=listed)
    assert duckdb.sql(f"SELECT count(*) FROM '{listed}'").fetchall() == [(0,)]
    with pytest.raises(UnusableData, match='no rows'):
        converted(tmp_path, '')


def test_a_header_without_rows_is_answered(tmp_path: Path) -> None:
    report = inspected(tmp_path, 'ds,y\n')
    assert report['rows_read'] == report['rows_accepted'] == 0 or report['rows_read'] == report['rows_accepted'] == 1


def test_inspect_lists_no_more_faults_than_asked(tmp_path: Path) -> None:
    rows = ''.join(f'2024-01-{day:02},{"x" if day > 26 else day},1\n' for day in range(1, 29))
    report = inspected(tmp_path, 'ds,a,b\n' + rows, max_faults=1)
    assert report['faults_total'] == 2
    assert report['faults'] == [
        {
            'line': 28,
            'byte': 414,
            'column': 'a',
            'kind': 'not_a_number',
            'value': 'x',
            'became': None,
            'action': 'emptied',
            'reason': 'not a number',
            'other_line': None,
        }
    ]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    source = tmp_path / 'file.parquet'
    duckdb.sql(
        "SELECT 'a' AS unique_id, TIMESTAMP '2024-01-01' + INTERVAL 1 HOUR * i AS ds, i / 7 AS y FROM range(30) t(i)"
    ).write_parquet(str(source))
    report = inspect(source, name='file.parquet', options=Options())
    assert [(c['name'], c['type'], c['role']) for c in report['columns']] == [
        ('unique_id', 'text', 'series'),
        ('ds', 'timestamp', 'time'),
        ('y', 'double', 'measure'),
    ]
    assert report['rows_accepted'] == 30


def test_long_tables_become_several_sorted_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module('core.analysis.ingest.parts')
    monkeypatch.setattr(module, 'ROW_GROUP', 2048)
    monkeypatch.setattr(module, 'GROUPS_A_FILE', 2)
    count = 10_000
    source = tmp_path / 'file.parquet'
    duckdb.sql(
        f"SELECT TIMESTAMP '2024-01-01' + INTERVAL 1 MINUTE * ((i * 7919) % {count}) AS ds, i AS y "
        f'FROM range({count}) t(i)'
    ).write_parquet(str(source))
    into = tmp_path / 'version'
    into.mkdir()
    manifest = convert(source, name='file.parquet', into=into, options=Options(), progress=lambda share, text: None)
    assert [file.rows for file in manifest.files if file.name.startswith('data-')] == [4096, 4096, 1808]
    times = [
        row[0] for part in sorted(into.glob('data-*')) for row in duckdb.sql(f"SELECT _time FROM '{part}'").fetchall()
    ]
    assert times == sorted(times)
    assert len(times) == count


def test_hundreds_of_columns_fit(tmp_path: Path) -> None:
    names = ','.join(f'm{i}' for i in range(100))
    rows = ''.join(f'2024-01-0{day},' + ','.join(f'{i}.5' for i in range(100)) + '\n' for day in range(1, 5))
    assert inspected(tmp_path, f'ds,{names}\n{rows}')['rows_accepted'] == 4


def test_a_table_that_keeps_more_columns_than_its_memory_holds_is_refused_and_a_melted_one_is_not(
    tmp_path: Path,
) -> None:
    kinds = ('speed', 'note')
    names = ','.join(f'{kinds[i % 2]} of {i}' for i in range(200))
    rows = ''.join(
        f'2024-01-{day:02},' + ','.join(('1.5', 'a')[i % 2] for i in range(200)) + '\n' for day in range(1, 5)
    )
    with pytest.raises(TooLarge, match=r'201 columns .* may keep 102'):
        inspected(tmp_path, f'ds,{names}\n{rows}', memory=64 * 2**20)
    series = ','.join(f'sensor_{i}' for i in range(200))
    rows = ''.join(f'2024-01-{day:02},' + ','.join(f'{i}.5' for i in range(200)) + '\n' for day in range(1, 5))
    assert inspected(tmp_path, f'ds,{series}\n{rows}', memory=64 * 2**20)['rows_accepted'] == 4


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='time zone'):
        inspected(tmp_path, 'ds,y\n2024-01-01,1\n', time_zone='Mars/Olympus')
    with pytest.raises(UsageError, match='decimal'):
        inspected(tmp_path, 'ds,y\n2024-01-01,1\n', decimal='x')
    with pytest.raises(UsageError, match='neither'):
        export(tmp_path / 'file.csv', name='file.csv', out=tmp_path / 'x.xlsx', options=Options())


@pytest.mark.parametrize(('rows', 'small'), [(1000, True), (150_000, False)])
def test_a_file_of_many_rows_is_not_small_however_well_it_packs(tmp_path: Path, rows: int, small: bool) -> None:
    """A small one is worked on by one thread."""
    path = tmp_path / 'file.parquet'
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT TIMESTAMP '2024-01-01' AS ds, 1.5 AS y FROM range({rows})) TO '{path}' (FORMAT parquet)"
        )
    assert path.stat().st_size < SMALL
    with _opened(path, name=path.name, options=Options()) as job:
        assert job.raw.path.stat().st_size < SMALL
        assert job.small is small
        (threads,) = job.connection.execute("SELECT current_setting('threads')").fetchone() or ()
        assert threads == (1 if small else THREADS)


@pytest.mark.parametrize(
    ('name', 'place'),
    [
        ('Time (CET/CEST)', 'Europe/Berlin'),
        ('Zeit MEZ', 'Europe/Berlin'),
        ('date EST', 'America/New_York'),
        ('Best time', ''),
    ],
)
def test_a_clock_that_the_name_of_a_time_speaks_of_is_asked_for(tmp_path: Path, name: str, place: str) -> None:
    text = f'{name},y\n' + ''.join(f'2024-01-01 {hour:02}:00,{hour}\n' for hour in range(24))

    def told(**options: str) -> list[str]:
        return [note for note in inspected(tmp_path, text, **options)['notes'] if 'speaks of' in note]

    assert [place in note for note in told()] == ([True] if place else [])
    assert told(time_zone='Europe/Paris') == []


def test_pages_begin_with_a_series_that_has_values_of_the_first_measure(tmp_path: Path) -> None:
    rows = [f'2024-01-{day:02},{name},{debit},{9 if not debit else ""},1'
            for day in range(1, 11) for name, debit in (('a', ''), ('b', 5), ('c', 7))]  # fmt: skip
    manifest, _ = converted(tmp_path, '\n'.join(['day,account,Debit,Credit,n', *rows, '']))
    assert (manifest.series.first, manifest.series.opens) == (('a', 'b', 'c'), 'b')
