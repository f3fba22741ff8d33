"""Of the records of one series and time one is stored; the others are rejected and listed."""

from pathlib import Path

import pytest

from tests.unit.analysis.ingest.reading import converted, faults, inspected, stored

HEAD = 'ds,id,y,note\n'
ROWS = ''.join(f'2024-01-{day:02},a,{day},n{day}\n' for day in range(1, 11))
TWICE = HEAD + ROWS + '2024-01-03,a,8,again\n2024-01-03,a,10,last\n2024-01-03,b,5,other series\n'


@pytest.mark.parametrize(
    ('rule', 'kept', 'dropped'),
    [('auto', (13, 10, 'last'), [4, 12]), ('last', (13, 10, 'last'), [4, 12]), ('first', (4, 3, 'n3'), [12, 13])],
)
def test_one_record_is_stored_by_its_order_in_the_file(
    tmp_path: Path, rule: str, kept: tuple[int, int, str], dropped: list[int]
) -> None:
    manifest, into = converted(tmp_path, TWICE, duplicates=rule, roles={'id': 'series'})
    assert stored(into, '_line, y, note')[2] == kept
    assert [fault[:3] for fault in faults(into)] == [(line, None, 'duplicate') for line in dropped]
    assert {fault[4] for fault in faults(into)} == {'rejected'}
    assert (manifest.rows_read, manifest.rows_accepted, manifest.rows_rejected) == (13, 11, 2)
    assert manifest.time.duplicates == 2


@pytest.mark.parametrize(
    ('rule', 'same', 'said', 'other', 'stored_is'),
    [
        ('last', (4, 12), ('y 4, note n4', 'y 9, note other'), (5, 13), 'the last is stored'),
        ('first', (12, 4), ('y 9, note other', 'y 4, note n4'), (13, 5), 'the first is stored'),
    ],
)
def test_a_duplicate_tells_the_line_that_is_stored_and_what_both_say(
    tmp_path: Path, rule: str, same: tuple[int, int], said: tuple[str, str], other: tuple[int, int], stored_is: str
) -> None:
    text = HEAD + ROWS + '2024-01-03,a,3,n3\n2024-01-04,a,9,other\n'
    told = inspected(tmp_path, text, duplicates=rule)['faults']
    assert [(fault['line'], fault['other_line'], fault['value']) for fault in told] == [
        (*same, None),
        (*other, said[0]),
    ]
    assert told[0]['reason'] == f'an equal copy of line {same[1]}; {stored_is}'
    assert told[1]['reason'] == f'line {other[0]} says {said[0]}; line {other[1]} says {said[1]}: {stored_is}'


def test_the_only_value_of_a_record_needs_no_name(tmp_path: Path) -> None:
    text = 'ds,y\n' + ''.join(f'2024-01-{day:02},{day}\n' for day in range(1, 20)) + '2024-01-02,\n2024-01-03,4.7\n'
    (first, second) = inspected(tmp_path, text, keep_unmeasured=True)['faults']
    assert first['reason'] == 'line 3 says 2.0, line 21 says nothing: the last is stored'
    assert (second['value'], second['other_line']) == ('3.0', 22)


def test_of_records_that_differ_in_many_cells_the_first_are_told(tmp_path: Path) -> None:
    rows = ''.join(f'2024-01-{day:02},1,2,3,4,{"x" * 60}\n' for day in range(1, 10))
    text = f'ds,a,b,c,d,e\n{rows}2024-01-03,5,6,7,8,y\n'
    (told,) = inspected(tmp_path, text, roles={'e': 'attribute'})['faults']
    assert told['reason'] == (
        'line 4 says a 1, b 2, c 3 and 2 more; line 11 says a 5, b 6, c 7 and 2 more: the last is stored'
    )


def test_duplicates_of_a_wide_table_name_the_column_of_each_cell(tmp_path: Path) -> None:
    months = ','.join(f'2024-{month:02}' for month in range(1, 13))
    rows = ''.join(
        f'{name},{",".join(str(10 * place + month) for month in range(12))}\n' for place, name in enumerate('abcdefgh')
    )
    text = f'id,{months}\n{rows}a,{",".join(str(90 + month) for month in range(12))}\n'
    told = inspected(tmp_path, text)['faults']
    assert len(told) == 12
    assert {(fault['line'], fault['other_line']) for fault in told} == {(2, 10)}
    assert told[0]['reason'] == 'line 2 says 0, line 10 says 90: the last is stored'


def test_the_mean_is_a_repair_of_the_last_record(tmp_path: Path) -> None:
    manifest, into = converted(tmp_path, TWICE, duplicates='mean', roles={'id': 'series'})
    assert stored(into, '_line, y, note')[2] == (13, 7, 'last')
    assert [(fault[0], fault[4]) for fault in faults(into)] == [(4, 'rejected'), (12, 'rejected'), (13, 'repaired')]
    assert (manifest.rows_accepted, manifest.rows_repaired, manifest.rows_rejected) == (10, 1, 2)


def test_a_mean_that_is_not_whole_makes_its_column_a_double(tmp_path: Path) -> None:
    text = 'ds,y\n2024-01-01,1\n2024-01-01,2\n2024-01-02,3\n'
    manifest, into = converted(tmp_path, text, duplicates='mean')
    assert stored(into, 'y') == [(1.5,), (3.0,)]
    assert [column.type for column in manifest.columns] == ['date', 'double']


def test_the_sum_of_several_orders_a_day_is_exact_and_told(tmp_path: Path) -> None:
    text = 'day,pieces,price,kg\n2024-01-01,1,0.10,\n2024-01-01,2,0.20,\n2024-01-01,3,0.30,2.5\n2024-01-02,4,0.70,1\n'
    manifest, into = converted(tmp_path, text, duplicates='sum')
    assert [(pieces, float(price), kg) for pieces, price, kg in stored(into, 'pieces, price, kg')] == [
        (6, 0.6, 2.5),
        (4, 0.7, 1.0),
    ]
    assert [column.type for column in manifest.columns] == ['date', 'integer', 'decimal', 'decimal']
    assert [(fault[0], fault[4]) for fault in faults(into)] == [(2, 'rejected'), (3, 'rejected'), (4, 'repaired')]
    told = inspected(tmp_path, text, duplicates='sum')['faults']
    assert told[0]['reason'].endswith(': their sum is stored')
    assert told[2]['reason'] == 'its measures are the sum of all records of its series and time'


def test_a_sum_that_whole_numbers_cannot_hold_is_a_double(tmp_path: Path) -> None:
    most = 2**63 - 1
    manifest, into = converted(
        tmp_path, f'ds,y\n2024-01-01,{most}\n2024-01-01,{most}\n2024-01-02,3\n', duplicates='sum'
    )
    assert stored(into, 'y') == [(2.0**64,), (3.0,)]
    assert manifest.columns[1].type == 'double'


def test_a_note_tells_where_more_than_a_few_give_way_to_others(tmp_path: Path) -> None:
    days = [f'2024-01-{day:02},{day}\n' for day in range(1, 31)]
    told = 'several orders of a day'
    assert not any(told in note for note in converted(tmp_path, f'ds,y\n{"".join(days)}')[0].source.notes)
    more = [f'2024-01-{day:02},7.5\n' for day in range(1, 10)]
    several = f'ds,y\n{"".join(days + more)}'
    for rule, noted in {'auto': True, 'last': False, 'sum': False}.items():
        (tmp_path / rule).mkdir()
        manifest, _ = converted(tmp_path / rule, several, duplicates=rule)
        assert any(told in note and note.startswith('9 of 39 rows') for note in manifest.source.notes) == noted


def test_duplicates_are_kept_when_the_repair_is_off(tmp_path: Path) -> None:
    manifest, into = converted(tmp_path, TWICE, off=['duplicate'], roles={'id': 'series'})
    assert len(stored(into)) == manifest.rows_accepted == 13
    assert faults(into) == []
    assert manifest.time.duplicates == 2


def test_a_record_that_was_repaired_and_is_dropped_is_rejected(tmp_path: Path) -> None:
    text = (
        'ds,a,b\n' + ''.join(f'2024-01-{day:02},{day},1\n' for day in range(1, 20)) + '2024-01-19,x,2\n2024-01-19,5,3\n'
    )
    manifest, into = converted(tmp_path, text, roles={'a': 'measure', 'b': 'measure'})
    assert faults(into) == [
        (20, None, 'duplicate', 'a 19, b 1', 'rejected'),
        (21, None, 'duplicate', 'a nothing, b 2', 'rejected'),
        (21, 'a', 'not_a_number', 'x', 'left_out'),
    ]
    assert (manifest.rows_accepted, manifest.rows_repaired, manifest.rows_rejected) == (19, 0, 2)


def test_events_of_which_most_would_go_all_stay_and_a_note_says_so(tmp_path: Path) -> None:
    text = 'ds,y\n' + ''.join(f'2024-01-{1 + number % 3:02},{number}.5\n' for number in range(30))
    manifest, into = converted(tmp_path, text)
    assert manifest.rows_accepted == len(stored(into)) == 30
    assert any('repeat a series and time' in note for note in manifest.source.notes)
    (tmp_path / 'again').mkdir()
    manifest, into = converted(tmp_path / 'again', text, duplicates='last')
    assert (manifest.rows_accepted, manifest.rows_rejected) == (3, 27)


def test_the_same_records_three_times_are_stored_once(tmp_path: Path) -> None:
    manifest, into = converted(tmp_path, HEAD + 3 * ROWS)
    assert len(stored(into)) == 10
    assert manifest.rows_rejected == 20


def test_an_inspection_counts_as_a_conversion_does(tmp_path: Path) -> None:
    report = inspected(tmp_path, TWICE, roles={'id': 'series'})
    assert (report['rows_accepted'], report['rows_rejected']) == (11, 2)
    assert report['faults_by_kind'] == {'duplicate': 2}


def test_repairs_are_counted_by_kind(tmp_path: Path) -> None:
    few = ''.join(f'2024-01-{day:02},{day}\n' for day in range(1, 29))
    manifest, _ = converted(tmp_path, f'ds,y\n{few}2024-02-01, 5\n2024-02-02,NA\n2024-02-01,7\n', keep_unmeasured=True)
    assert manifest.repairs == {'padding': 1, 'null_spelling': 1, 'duplicate': 1}


@pytest.mark.parametrize(
    ('rule', 'listed'),
    [
        ('first', [(6, 'B', '20', 'rejected', 3), (7, 'A', None, 'rejected', 4)]),
        (
            'mean',
            [
                (3, 'B', '2', 'rejected', 6),
                (4, 'A', None, 'rejected', 7),
                (6, 'B', None, 'repaired', None),
                (7, 'A', None, 'repaired', None),
            ],
        ),
    ],
)
def test_points_of_a_wide_table_are_told_with_their_columns_whatever_is_stored(
    tmp_path: Path, rule: str, listed: list[tuple[object, ...]]
) -> None:
    text = 'ds,A,B\n2024-01-01,1,1\n2024-01-02,1,2\n2024-01-03,1,3\n2024-01-04,1,4\n2024-01-02,,20\n2024-01-03,1,\n'
    told = inspected(tmp_path, text, shape='wide', duplicates=rule)['faults']
    own = [fault for fault in told if fault['kind'] == 'duplicate']
    assert [(f['line'], f['column'], f['value'], f['action'], f['other_line']) for f in own] == listed


def orders(name: str, *, copies: int = 0) -> str:
    rows = [f'{1000 + n},2024-01-{1 + n % 20:02} 10:{n // 20:02},{n}.25' for n in range(200)]
    rows += [f'{1200 + n},2024-01-{1 + n:02} 10:00,{n}.5' for n in range(6)] + rows[:copies]
    return '\n'.join([f'{name},ordered_at,amount', *rows, ''])


@pytest.mark.parametrize('name', ['order_id', 'Doc no.', 'Belegnummer', 'orderId'])
def test_rows_with_a_number_of_their_own_are_no_duplicates(tmp_path: Path, name: str) -> None:
    manifest, into = converted(tmp_path, orders(name, copies=3))
    assert (manifest.rows_read, manifest.rows_accepted, manifest.rows_rejected) == (209, 206, 3)
    assert stored(into, 'sum(amount)') == [(sum(range(200)) + 50 + sum(range(6)) + 3,)]
    assert [fault[0] for fault in faults(into)] == [2, 3, 4]
    (note,) = [note for note in manifest.source.notes if 'share series and time' in note]
    assert note.startswith(f'6 of 209 rows share series and time with another one. Each has its own "{name}"')


@pytest.mark.parametrize('name', ['id', 'row_id', 'reading_id', 'note'])
def test_a_number_of_rows_makes_no_copy_a_row_of_its_own(tmp_path: Path, name: str) -> None:
    manifest, _ = converted(tmp_path, orders(name))
    assert (manifest.rows_read, manifest.rows_rejected) == (206, 6)


def test_orders_of_one_time_are_added_up_where_that_is_chosen(tmp_path: Path) -> None:
    manifest, into = converted(tmp_path, orders('order_id'), duplicates='sum')
    assert (manifest.rows_accepted, manifest.rows_repaired, manifest.rows_rejected) == (194, 6, 6)
    assert stored(into, 'count(*), sum(amount)') == [(200, sum(range(200)) + 50 + sum(range(6)) + 3)]


def test_an_hour_that_clocks_skipped_is_told_where_it_gives_way(tmp_path: Path) -> None:
    """At 02:00 it was 03:00 already, so two records share that hour."""
    hours = ''.join(f'2024-03-31 {hour:02}:00,{hour}\n' for hour in range(5))
    _, into = converted(tmp_path, f'ts,v\n{hours}', time_zone='Europe/Berlin')
    assert faults(into) == [
        (4, None, 'duplicate', '2', 'rejected'),
        (4, 'ts', 'dst_gap', '2024-03-31 02:00', 'left_out'),
    ]
