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


@pytest.mark.parametrize(('rule', 'stored_is'), [('last', 'the last is stored'), ('first', 'the first is stored')])
def test_a_duplicate_is_told_from_an_equal_copy(tmp_path: Path, rule: str, stored_is: str) -> None:
    text = HEAD + ROWS + '2024-01-03,a,3,n3\n2024-01-04,a,9,other\n'
    told = {fault['line']: fault['reason'] for fault in inspected(tmp_path, text, duplicates=rule)['faults']}
    same, other = (4, 5) if rule == 'last' else (12, 13)
    assert told == {
        same: f'an equal copy of another record; {stored_is}',
        other: f'other values at the series and time of another record; {stored_is}',
    }


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
        (20, None, 'duplicate', None, 'rejected'),
        (21, None, 'duplicate', None, 'rejected'),
        (21, 'a', 'not_a_number', 'x', 'rejected'),
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
