"""A file that extends a version: whose rows win, what stays, and which file each row came from."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from core.analysis.ingest import Manifest, Options, convert
from core.analysis.ingest.append import told
from core.errors import UnusableData

pytestmark = pytest.mark.slow

FIRST = 'ds,region,y,note\n2024-01-01,north,1,a\n2024-01-02,north,2,b\n2024-01-01,south,3,c\n'
Version = tuple[Manifest, Path]


@pytest.fixture(scope='module')
def firsts() -> dict[str, tuple[Manifest, dict[str, bytes]]]:
    """First versions that were made before and their files, by text and options: most tests begin with the same."""
    return {}


@pytest.fixture
def version(tmp_path: Path, firsts: dict[str, tuple[Manifest, dict[str, bytes]]]) -> Callable[..., Version]:
    """Convert a file, perhaps onto an earlier version."""
    count = iter(range(100))

    def make(text: str, onto: Version | None = None, **options: Any) -> Version:
        number = next(count)
        source, into = tmp_path / f'{number}.csv', tmp_path / f'v{number}'
        into.mkdir()
        if (known := repr((text, options))) in firsts and not number:
            for name, content in firsts[known][1].items():
                (into / name).write_bytes(content)
            return firsts[known][0], into
        source.write_text(text)
        before = sorted([*onto[1].glob('data-*'), onto[1] / 'manifest.json']) if onto else ()
        given = Options(before=before, origin=into.name, **options)
        manifest = convert(source, name=f'{number}.csv', into=into, options=given, progress=lambda *_: None)
        if not number:
            firsts[known] = manifest, {path.name: path.read_bytes() for path in into.iterdir()}
        return manifest, into

    return make


def rows(made: Version, columns: str) -> list[tuple[Any, ...]]:
    return duckdb.sql(f"SELECT {columns} FROM '{made[1]}/data-*.parquet'").fetchall()


def names(made: Version) -> Sequence[tuple[str, str, str]]:
    return [(column.name, column.type, column.role) for column in made[0].columns]


def test_rows_of_the_file_win_and_all_others_stay(version: Callable[..., Version]) -> None:
    first = version(FIRST)
    text = 'ds,region,y,note\n2024-01-03,north,5,e\n2024-01-02,north,4,d\n2024-01-01,west,6,f\n'
    made = version(text, first)
    assert rows(made, '_series, ds::VARCHAR, y, note, _source, _line') == [
        ('north', '2024-01-01', 1, 'a', 0, 2),
        ('north', '2024-01-02', 4, 'd', 1, 3),
        ('north', '2024-01-03', 5, 'e', 1, 2),
        ('south', '2024-01-01', 3, 'c', 0, 4),
        ('west', '2024-01-01', 6, 'f', 1, 4),
    ]
    manifest = made[0]
    assert [(one.name, one.origin, one.rows) for one in manifest.sources] == [('0.csv', 'v0', 2), ('1.csv', 'v1', 3)]
    assert (manifest.rows_read, manifest.rows_accepted, manifest.series.count) == (3, 3, 3)
    assert '2 rows of earlier files stay; 1 row gave way to the file.' in manifest.source.notes
    assert names(made) == names(first)
    assert manifest.time.end == '2024-01-03T00:00:00Z'


def test_a_third_file_names_each_of_the_three(version: Callable[..., Version]) -> None:
    second = version('ds,region,y,note\n2024-01-02,north,4,d\n', version(FIRST))
    made = version('ds,region,y,note\n2024-01-01,south,7,g\n', second)
    assert rows(made, '_series, y, _source') == [('north', 1, 0), ('north', 4, 1), ('south', 7, 2)]
    assert [one.rows for one in made[0].sources] == [1, 1, 1]


def test_the_same_file_again_changes_no_value(version: Callable[..., Version]) -> None:
    first = version(FIRST)
    again = version(FIRST, first)
    own = '_series, _time, _line, ds, region, y, note'
    assert rows(again, own) == rows(first, own)
    assert [one.rows for one in again[0].sources] == [0, 3]


ORDERS = 'order_id,day,amount\n1,2024-01-01,10\n2,2024-01-01,5\n3,2024-01-02,7\n'


def test_another_order_of_the_same_day_stays_beside_the_first_and_the_same_order_is_replaced(
    version: Callable[..., Version],
) -> None:
    first = version('order_id,day,amount\n1,2024-01-01,10\n3,2024-01-02,7\n')
    made = version('order_id,day,amount\n4,2024-01-01,20\n3,2024-01-02,8\n', first)
    assert rows(made, 'day::VARCHAR, order_id, amount, _source') == [
        ('2024-01-01', 4, 20, 1),
        ('2024-01-01', 1, 10, 0),
        ('2024-01-02', 3, 8, 1),
    ]
    assert made[0].source.notes[-2:] == (
        '1 row of earlier files stays; 1 row gave way to the file.',
        '1 row of earlier files shares series and time with rows of the file. Each has its own "order_id", so all are '
        'stored.',
    )
    assert made[0].warnings == ()


def test_orders_go_on_as_orders_where_those_of_a_file_share_a_day(version: Callable[..., Version]) -> None:
    made = version('order_id,day,amount\nA4,2024-01-01,20\n', version(ORDERS, duplicates='auto'))
    assert sorted(rows(made, 'order_id, amount')) == [('1', 10), ('2', 5), ('3', 7), ('A4', 20)]
    lacking = version('order_id,day\n2,2024-01-01\n9,2024-01-01\n', version(ORDERS))
    assert sorted(rows(lacking, 'order_id, amount'), key=str) == [(1, 10), (2, 5), (3, 7), (9, None)]


def test_amounts_of_other_orders_are_added_up_where_the_sum_is_stored(version: Callable[..., Version]) -> None:
    first = version(ORDERS, duplicates='sum')
    made = version('order_id,day,amount\n4,2024-01-01,20\n5,2024-01-01,1\n', first, duplicates='sum')
    assert rows(made, 'day::VARCHAR, amount, _source') == [('2024-01-01', 36, 1), ('2024-01-02', 7, 0)]
    assert made[0].source.notes[-1] == (
        '1 row of the file was added to what earlier files hold of the same series and time, as each has its own '
        '"order_id". What was in such a sum before and is sent again without the last of it counts twice.'
    )
    assert names(made) == names(first)


def test_a_day_whose_orders_are_sent_again_with_more_is_summed_anew(version: Callable[..., Version]) -> None:
    first = version(ORDERS, duplicates='sum')
    made = version(ORDERS + '4,2024-01-01,20\n', first, duplicates='sum')
    assert rows(made, 'day::VARCHAR, amount') == [('2024-01-01', 35), ('2024-01-02', 7)]


def test_sums_that_no_whole_number_holds_are_floats(version: Callable[..., Version]) -> None:
    large = 2**63 - 1
    first = version(f'order_id,day,amount\n1,2024-01-01,{large}\n2,2024-01-02,1\n', duplicates='sum')
    made = version(f'order_id,day,amount\n3,2024-01-01,{large}\n', first, duplicates='sum')
    assert rows(made, 'amount') == [(2.0**64,), (1.0,)]
    assert ('amount', 'double', 'measure') in names(made)


def hours(first: int, last: int, *, name: str = 'serial_no', by: float = 0.0) -> str:
    """Hourly readings, numbered from 1 on as they stand in their file."""
    days = [f'2024-01-{1 + hour // 24:02} {hour % 24:02}:00' for hour in range(first, last)]
    return f'{name},time,temp\n' + ''.join(f'{n},{day},{n + by}\n' for n, day in enumerate(days, 1))


@pytest.mark.parametrize('name', ['serial_no', 'Laufnummer'])
@pytest.mark.parametrize(('first', 'last', 'stored'), [(24, 72, 72), (40, 45, 48), (47, 48, 48), (36, 148, 148)])
def test_a_number_that_counts_the_rows_of_each_file_keeps_no_row_beside_its_correction(
    version: Callable[..., Version], name: str, first: int, last: int, stored: int
) -> None:
    made = version(further := hours(first, last, name=name, by=0.5), version(hours(0, 48, name=name)))
    assert rows(made, 'count(*), count(DISTINCT _time)') == [(stored, stored)]
    assert made[0].source.notes[-1] == (
        f'Numbers of "{name}" stand at other times than in earlier files, as where each file counts its rows: rows '
        'were met by series and time alone.'
    )
    assert made[0].warnings == ()
    again = version(further, made)
    own = f'_time, "{made[0].columns[0].name}", temp'
    assert rows(again, own) == rows(made, own)


def test_a_few_orders_whose_time_changed_make_no_counter_of_their_number(version: Callable[..., Version]) -> None:
    first = version('order_id,day,amount\n' + ''.join(f'{n},2024-01-{1 + n // 3:02},{n}\n' for n in range(30)))
    text = 'order_id,day,amount\n5,2024-01-10,5\n30,2024-01-10,30\n31,2024-01-10,31\n'
    made = version(text, first)
    assert rows(made, 'count(*), sum(amount)') == [(33, sum(range(32)) + 5)]
    again = version(text, made)
    assert sorted(rows(again, 'day, order_id, amount')) == sorted(rows(made, 'day, order_id, amount'))


def test_more_rows_that_gave_way_by_time_alone_than_came_are_a_warning(version: Callable[..., Version]) -> None:
    first = version('order_id,day,amount\n' + ''.join(f'{n},2024-01-{1 + n // 3:02},{n}\n' for n in range(30)))
    made = version('order_id,day,amount\n5,2024-01-10,5\n', first)
    assert (
        made[0]
        .warnings[0]
        .endswith(
            'More rows of earlier files gave way than came. If they were others, let a file with all rows replace them.'
        )
    )


def test_another_number_tells_rows_apart_where_the_first_counts_them(version: Callable[..., Version]) -> None:
    head = 'entry_no,order_id,day,amount\n'
    first = version(head + '1,A1,2024-01-01,10\n2,A2,2024-01-02,20\n3,A3,2024-01-03,30\n')
    made = version(head + '1,A4,2024-01-03,40\n2,A5,2024-01-04,50\n', first)
    assert sorted(rows(made, 'order_id, amount')) == [('A1', 10), ('A2', 20), ('A3', 30), ('A4', 40), ('A5', 50)]


MONTH = 'order_id,day,amount\n' + ''.join(f'{n},2024-01-{1 + (n - 1) // 3:02},{10 * n}\n' for n in range(1, 31))


def of_sums(made: Version) -> list[str]:
    return [warning for warning in made[0].warnings if 'gave way' in warning]


def test_sums_that_lose_what_the_file_lacks_are_told(version: Callable[..., Version]) -> None:
    first = version(MONTH, duplicates='sum')
    made = version('order_id,day,amount\n30,2024-01-10,305\n31,2024-01-10,7\n', first, duplicates='sum')
    assert rows(made, 'amount')[-1] == (312,)
    assert made[0].warnings == (
        '1 sum of earlier files gave way to one of the file with other values, the first at 2024-01-10. Records of '
        'that time that the file lacks are not counted any more: if it lacks some, add a file with all of that time. A '
        'file with all records of a time, or with new ones alone, loses none.',
    )
    alone = version('order_id,day,amount\n27,2024-01-09,270\n30,2024-01-10,300\n', first, duplicates='sum')
    (told,) = of_sums(alone)
    assert told.startswith(
        '2 sums of earlier files gave way to some of the file with other values, the first at 2024-01-09'
    )
    whole = 'order_id,day,amount\n' + ''.join(f'{n},2024-01-10,{10 * n}\n' for n in range(28, 32))
    mended = version(whole, made, duplicates='sum')
    assert rows(mended, 'amount')[-1] == (1180,)


def test_sums_of_records_that_are_all_sent_again_give_way_without_a_warning(version: Callable[..., Version]) -> None:
    first = version(MONTH, duplicates='sum')
    same = version(MONTH, first, duplicates='sum')
    more = version(MONTH + '31,2024-01-10,7.5\n32,2024-01-11,8\n', first, duplicates='sum')
    text = 'order_id,day,amount\n31,2024-01-10,7\n32,2024-01-10,8\n'
    new = version(text, first, duplicates='sum')
    assert [of_sums(made) for made in (same, more, new)] == [[], [], []]
    assert rows(same, 'day, amount') == rows(first, 'day, amount')
    assert [float(rows(made, 'sum(amount)')[0][0]) for made in (more, new)] == [4665.5, 4665]
    assert len(of_sums(version(text, new, duplicates='sum'))) == 1


def test_sums_without_a_number_that_lose_what_the_file_lacks_are_told(version: Callable[..., Version]) -> None:
    first = version('day,amount\n2024-01-01,0.1\n2024-01-01,0.2\n2024-01-01,3e-9\n2024-01-02,7\n', duplicates='sum')
    whole = version('day,amount\n2024-01-01,3e-9\n2024-01-01,0.2\n2024-01-01,0.1\n', first, duplicates='sum')
    assert of_sums(whole) == []
    part = version('day,amount\n2024-01-01,0.4\n', first, duplicates='sum')
    (told,) = of_sums(part)
    assert told.endswith('A file with all records of a time loses none.')


def test_order_and_case_of_columns_do_not_matter(version: Callable[..., Version]) -> None:
    made = version('Note,Y,ds,region\nz,9,2024-01-02,south\n', version(FIRST))
    assert rows(made, '_series, y, note')[-1] == ('south', 9, 'z')
    assert names(made)[0] == ('ds', 'date', 'time')


def test_a_column_that_the_file_lacks_keeps_its_value_where_a_row_is_replaced(version: Callable[..., Version]) -> None:
    made = version('ds,region,y\n2024-01-02,north,4\n2024-01-05,north,5\n', version(FIRST))
    assert rows(made, 'y, note')[:3] == [(1, 'a'), (4, 'b'), (5, None)]
    assert any('has no column "note"' in note for note in made[0].source.notes)


def test_a_new_column_has_no_value_in_earlier_rows(version: Callable[..., Version]) -> None:
    made = version('ds,region,y,note,z\n2024-01-05,north,5,e,0.5\n', version(FIRST))
    assert rows(made, 'y, z') == [(1, None), (2, None), (5, 0.5), (3, None)]
    assert made[0].measures == ('y', 'z')
    assert any('"z" is new' in note for note in made[0].source.notes)


def test_an_empty_measure_is_missing_and_no_reason_to_refuse(version: Callable[..., Version]) -> None:
    first = version('ds,y,z\n2024-01-01,1,2\n2024-01-02,2,3\n')
    made = version('ds,y,z\n2024-01-03,3,\n', first)
    assert rows(made, 'y, z')[-1] == (3, None)
    assert names(made) == names(first)


@pytest.mark.parametrize(
    ('before', 'after', 'kind', 'values'),
    [
        ('1', '2.5', 'decimal', ['1.0', '2.5']),
        ('1.25', '2', 'decimal', ['1.25', '2.00']),
        ('1', '2e-9', 'double', ['1.0', '2e-09']),
        ('1.25', '2.5', 'decimal', ['1.25', '2.50']),
    ],
)
def test_numbers_meet_in_a_type_that_holds_both(
    version: Callable[..., Version], before: str, after: str, kind: str, values: list[str]
) -> None:
    made = version(f'ds,y\n2024-01-02,{after}\n', version(f'ds,y\n2024-01-01,{before}\n'))
    assert rows(made, 'y::VARCHAR') == [(value,) for value in values]
    assert made[0].columns[1].type == kind


def test_whole_numbers_that_a_double_cannot_hold_are_told(version: Callable[..., Version]) -> None:
    first = version('ds,y\n2024-01-01,9007199254740993\n')
    made = version('ds,y\n2024-01-02,2e-9\n', first)
    assert any('2^53' in note for note in made[0].source.notes)


def test_names_that_look_like_numbers_stay_names(version: Callable[..., Version]) -> None:
    first = version('ds,code,y\n2024-01-01,007,1\n2024-01-02,008,2\n2024-01-01,008,3\n', roles={'code': 'series'})
    made = version('ds,code,y\n2024-01-03,12,4\n', first)
    assert rows(made, '_series, code')[-1] == ('12', '12')
    assert names(made)[1] == ('code', 'text', 'series')


def test_numbers_that_become_words_are_words_in_every_row(version: Callable[..., Version]) -> None:
    first = version('ds,grade,y\n2024-01-01,1,1\n2024-01-02,2,2\n', roles={'grade': 'attribute'})
    made = version('ds,grade,y\n2024-01-03,good,3\n2024-01-04,bad,3\n', first)
    assert [value for (value,) in rows(made, 'grade')] == ['1', '2', 'good', 'bad']
    assert any('"grade" is text now' in note for note in made[0].source.notes)


def test_days_go_on_as_times(version: Callable[..., Version]) -> None:
    first = version('ds,y\n2024-01-01,1\n2024-01-02,2\n')
    made = version('ds,y\n2024-01-02 12:30,3\n2024-01-02 00:00,4\n', first)
    assert rows(made, 'ds, y') == [
        (datetime(2024, 1, 1), 1),
        (datetime(2024, 1, 2), 4),
        (datetime(2024, 1, 2, 12, 30), 3),
    ]


def test_wall_clocks_and_offsets_meet_in_one_instant(version: Callable[..., Version]) -> None:
    zone = {'time_zone': 'Europe/Paris'}
    first = version('ds,y\n2024-07-01 10:00,1\n2024-07-01 11:00,2\n', **zone)
    made = version('ds,y\n2024-07-01T09:00:00Z,3\n2024-07-01T10:00:00Z,4\n', first, **zone)
    assert rows(made, '_time, ds::VARCHAR, y') == [
        (datetime(2024, 7, 1, 8), '2024-07-01 10:00:00', 1),
        (datetime(2024, 7, 1, 9), '2024-07-01 11:00:00', 3),
        (datetime(2024, 7, 1, 10), '2024-07-01 12:00:00', 4),
    ]
    other = version('ds,y\n2024-07-01 12:00,9\n', version('ds,y\n2024-07-01T10:00:00Z,4\n', **zone), **zone)
    assert rows(other, 'epoch_us(ds) // 3600000000, y') == [(477_730, 9)]


def test_clock_times_of_another_zone_are_told_by_the_clock_of_the_dataset(version: Callable[..., Version]) -> None:
    first = version('ds,due,y\n2024-01-01 00:00,2024-01-01 01:00,1\n', time_zone='Europe/Berlin')
    made = version('ds,due,y\n2024-01-01 18:00,2024-01-01 19:00,2\n', first, time_zone='America/New_York')
    assert rows(made, '_time, ds::VARCHAR, due::VARCHAR, y') == [
        (datetime(2023, 12, 31, 23), '2024-01-01 00:00:00', '2024-01-01 01:00:00', 1),
        (datetime(2024, 1, 1, 23), '2024-01-02 00:00:00', '2024-01-02 01:00:00', 2),
    ]
    assert made[0].time.zone == 'Europe/Berlin'
    assert made[0].warnings == (
        'Times of the file are those of America/New_York, and are told by the clock of the dataset, that of '
        'Europe/Berlin.',
    )
    utc = version('ds,due,y\n2024-01-02 23:00,2024-01-03 00:00,3\n', made, time_zone='UTC')
    assert rows(utc, 'ds::VARCHAR')[-1] == ('2024-01-03 00:00:00',)
    same = version('ds,due,y\n2024-01-04 00:00,2024-01-04 01:00,3\n', utc, time_zone='Europe/Berlin')
    assert (rows(same, 'ds::VARCHAR')[-1], same[0].warnings) == (('2024-01-04 00:00:00',), ())


def test_a_zone_beside_times_of_none_is_told_and_changes_no_earlier_row(version: Callable[..., Version]) -> None:
    first = version('ds,y\n2024-01-01 00:00,1\n')
    made = version('ds,y\n2024-01-02 00:00,2\n', first, time_zone='Europe/Berlin')
    assert rows(made, 'ds::VARCHAR, y') == [('2024-01-01 00:00:00', 1), ('2024-01-01 23:00:00', 2)]
    assert made[0].time.zone == 'UTC'
    assert 'Earlier times were read in UTC, as where no zone is named' in made[0].warnings[0]
    instants = version('ds,y\n2024-01-01T00:00Z,1\n')
    seen = version('ds,y\n2024-01-02 00:00,2\n', instants, time_zone='Europe/Berlin')
    assert (seen[0].time.zone, seen[0].warnings[1:]) == ('Europe/Berlin', ())


def test_day_or_month_first_is_as_it_was(version: Callable[..., Version]) -> None:
    first = version('ds,y\n01/02/2024,1\n15/02/2024,2\n')
    made = version('ds,y\n02/03/2024,3\n', first)
    assert rows(made, 'ds::VARCHAR, y')[-1] == ('2024-03-02', 3)


def test_month_first_stays_so_though_some_dates_were_day_first(version: Callable[..., Version]) -> None:
    first = version('ds,y\n' + ''.join(f'02/{day}/2024,{day}\n' for day in range(13, 28)) + '28/02/2024,28\n')
    made = version('ds,y\n03/04/2024,3\n', first)
    assert rows(made, 'ds::VARCHAR, y')[-1] == ('2024-03-04', 3)


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('day,region,y\n2024-01-03,north,5\n', 'no column "ds", the time'),
        ('ds,y\n2024-01-03,5\n', 'no column "region", a key'),
        ('ds,region,y\n2024-01-03,north,five\n2024-01-04,north,six\n', '"y"'),
    ],
)
def test_a_file_that_cannot_extend_is_refused(version: Callable[..., Version], text: str, said: str) -> None:
    first = version(FIRST)
    with pytest.raises(Exception, match=said) as refused:
        version(text, first)
    assert type(refused.value).__name__ in ('UnusableData', 'UsageError')


def test_a_key_that_the_dataset_does_not_have_is_refused(version: Callable[..., Version]) -> None:
    first = version('ds,y\n2024-01-01,1\n2024-01-02,2\n')
    text = 'ds,region,y\n2024-01-03,north,1\n2024-01-03,south,2\n2024-01-04,north,1\n2024-01-04,south,2\n'
    with pytest.raises(UnusableData, match='tells series apart by "region"'):
        version(text, first)


def test_roles_that_were_usual_are_heeded_where_the_file_has_them(version: Callable[..., Version]) -> None:
    usual = {'region': 'attribute', 'gone': 'measure', 'y': 'measure'}
    made = version('ds,region,y\n2024-01-01,north,1\n2024-01-02,south,2\n', usual=usual)
    assert names(made)[1:] == [('region', 'text', 'attribute'), ('y', 'integer', 'measure')]


def test_a_wide_table_joins_by_its_points(version: Callable[..., Version]) -> None:
    first = version('shop,2024-01,2024-02,2024-03\nnorth,1,2,3\nsouth,5,6,7\n')
    made = version('shop,2024-03,2024-04,2024-05\nnorth,30,40,50\n', first)
    assert rows(made, '_series, month(month), value, _source, _line') == [
        *(('north', 1, 1, 0, 2), ('north', 2, 2, 0, 2)),
        *(('north', 3, 30, 1, 2), ('north', 4, 40, 1, 2), ('north', 5, 50, 1, 2)),
        *(('south', 1, 5, 0, 3), ('south', 2, 6, 0, 3), ('south', 3, 7, 0, 3)),
    ]
    assert (made[0].rows_read, [one.rows for one in made[0].sources]) == (1, [5, 3])


@pytest.mark.parametrize(
    ('first', 'second', 'stored'),
    [
        ('shop,2024-01,2024-02\nnorth,1,2\nsouth,3,4\n', 'shop,2024-03\nnorth,3\n', ('north', '2024-03-01', 3)),
        ('shop,y_2022,y_2023\nnorth,1,2\nsouth,3,4\n', 'shop,y_2024\nnorth,3\n', ('north', '2024-01-01', 3)),
        (
            'shop,sales_2022,sales_2023,cost_2022,cost_2023\nnorth,1,2,3,4\nsouth,5,6,7,8\n',
            'shop,sales_2024,cost_2024\nnorth,5,6\n',
            ('north', '2024-01-01', 5),
        ),
        (
            'year,Jan,Feb,Mar,Apr,May,Jun\n2023,1,2,3,4,5,6\n2024,1,2,3,4,5,6\n',
            'year,Jul\n2024,7\n',
            ('', '2024-07-01', 7),
        ),
        (
            f'date,{",".join(f"s{i}" for i in range(9))}\n' + ''.join(f'2024-01-0{d}{",5" * 9}\n' for d in (1, 2, 3)),
            'date,s3\n2024-01-04,7\n',
            ('s3', '2024-01-04', 7),
        ),
    ],
)
def test_one_period_or_series_extends_a_wide_table(
    version: Callable[..., Version], first: str, second: str, stored: tuple[str, str, int]
) -> None:
    before = version(first)
    made = version(second, before)
    measure = made[0].measures[0]
    (new,) = duckdb.sql(
        f"SELECT _series, _time::DATE::VARCHAR, {measure} FROM '{made[1]}/data-*.parquet' WHERE _source = 1"
    ).fetchall()
    assert new == stored
    assert names(made) == names(before)
    assert made[0].warnings == ()


def test_a_long_file_extends_a_wide_table(version: Callable[..., Version]) -> None:
    before = version('shop,2022,2023\nnorth,1,2\nsouth,3,4\n')
    made = version('shop,year,value\nnorth,2024,5\n', before)
    assert rows(made, '_series, value, _source')[2] == ('north', 5, 1)


@pytest.mark.parametrize(
    ('kept', 'replaced', 'said'),
    [
        (0, 24, 'All 24 rows of earlier files were replaced.'),
        (24, 0, 'All 24 rows of earlier files stay.'),
        (1, 2000, '1 row of earlier files stays; 2,000 rows gave way to the file.'),
    ],
)
def test_what_became_of_earlier_rows_is_said_in_words(kept: int, replaced: int, said: str) -> None:
    assert told(kept, replaced) == said


def test_faults_of_all_files_count_while_their_rows_are_stored(version: Callable[..., Version]) -> None:
    first = version('ds,y,z\n2024-01-01,1,1\n2024-01-02,2,2\n2024-01-03,x,3\n2024-01-04,4,4\n')
    assert (first[0].faults_total, first[0].faults_of_all) == (1, 1)
    second = version('ds,y,z\n2024-01-05,5,5\n', first)
    assert (second[0].faults_total, second[0].faults_of_all) == (0, 1)
    assert [(one.rows, one.faults) for one in second[0].sources] == [(4, 1), (1, 0)]
    again = 'ds,y,z\n' + ''.join(f'2024-01-0{day},{day},{day}\n' for day in range(1, 5))
    third = version(again, second)
    assert [(one.rows, one.faults) for one in third[0].sources] == [(0, 1), (1, 0), (4, 0)]
    assert third[0].faults_of_all == 0


def test_faults_of_a_version_that_did_not_count_them_by_file_are_known(version: Callable[..., Version]) -> None:
    first = version('ds,y,z\n2024-01-01,1,1\n2024-01-02,2,2\n2024-01-03,x,3\n2024-01-04,4,4\n')
    path = first[1] / 'manifest.json'
    manifest = json.loads(path.read_text())
    del manifest['faults_of_all'], manifest['sources'][0]['faults']
    path.write_text(json.dumps(manifest))
    assert version('ds,y,z\n2024-01-05,5,5\n', first)[0].faults_of_all == 1


def test_a_version_converts_to_the_same_bytes_twice(version: Callable[..., Version]) -> None:
    first = version(FIRST)
    text = 'ds,region,y,note\n2024-01-02,north,4,d\n'
    made = [version(text, first) for _ in range(2)]
    assert len({(one[1] / 'data-00000.parquet').read_bytes() for one in made}) == 1


def test_what_does_not_go_on_as_it_was_is_a_warning(version: Callable[..., Version]) -> None:
    days = [f'2024-01-{day:02}' for day in range(1, 9)]
    first = version('ds,y,w,rain\n' + ''.join(f'{day},{20 + n},{n} kg,1\n' for n, day in enumerate(days)))
    assert first[0].warnings == ()
    assert {column.name: column.unit for column in first[0].columns} == {'ds': '', 'y': '', 'w': 'kg', 'rain': ''}
    text = 'ds,y,w,snow\n' + ''.join(f'{day},{20_000 + n},{n} lb,2\n' for n, day in enumerate(days))
    made = version(text, first)
    assert made[0].warnings == (
        'Numbers of column "y" are about 851 times those of before. Is the unit another one?',
        'Column "w" is written in lb here and was in kg: numbers are kept as written. '
        'If the unit is another one, correct the file.',
        'The file has no column "rain": rows that it replaced keep theirs, new rows have none.',
        'Column "snow" is new: rows of earlier files have no value in it.',
    )
    same = version('ds,y,w,rain\n2024-01-09,28,3 kg,1\n', first)
    assert same[0].warnings == ()
    assert {column.name: column.unit for column in same[0].columns}['w'] == 'kg'


def test_a_time_and_a_key_of_other_names_go_on_when_their_owner_says_so(version: Callable[..., Version]) -> None:
    first = version(FIRST)
    text = 'day,area,y\n2024-01-03,north,5\n'
    with pytest.raises(UnusableData, match=r'no column "ds".*say which column is the time') as refused:
        version(text, first)
    assert refused.value.details['columns'] == [
        {'name': 'day', 'examples': ['2024-01-03']},
        {'name': 'area', 'examples': ['north']},
        {'name': 'y', 'examples': ['5']},
    ]
    for options in ({'roles': {'day': 'time', 'area': 'series'}}, {'usual': {'day': 'time', 'area': 'series'}}):
        made = version(text, first, **options)
        assert names(made) == names(first)
        assert rows(made, '_series, ds::VARCHAR, y')[2] == ('north', '2024-01-03', 5)


def test_an_error_tells_a_little_of_large_cells_and_names(version: Callable[..., Version]) -> None:
    with pytest.raises(UnusableData) as refused:
        version(f'{"n" * 1000},b\n{"x" * 100_000},1\nz,2\n')
    first, second = refused.value.details['columns']
    assert (len(first['name']), [len(one) for one in first['examples']]) == (240, [60, 1])
    assert second == {'name': 'b', 'examples': ['1', '2']}


def test_later_rows_may_name_no_series(version: Callable[..., Version]) -> None:
    made = version('ds,region,y\n2024-01-03,,4\n2024-01-04,,5\n', onto=version(FIRST))
    assert {*rows(made, '_series')} == {('north',), ('south',), (None,)}
    assert (made[0].series.count, made[0].rows_accepted, made[0].hints) == (3, 2, ())
