"""What is known after the last value of the target."""

from core.analysis.ahead import Ahead, known_ahead
from tests.unit.analysis.stored import store


def test_columns_that_go_on_after_the_target_are_known_ahead(tmp_path):
    rows = [('a', at, float(at) if at < 3 else None, 1.0) for at in range(5)]
    rows += [('b', at, float(at) if at < 4 else None, 1.0) for at in range(5)]
    rows += [('c', at, float(at), 1.0) for at in range(5)]
    parts = store(tmp_path, rows, parts=2)
    assert known_ahead(parts, target='y', columns=['a "b"']) == {'a "b"': Ahead(steps=1, series=2, of=3)}


def test_column_that_ends_with_the_target_is_not(tmp_path):
    parts = store(tmp_path, [('', at, float(at), 1.0) for at in range(5)])
    assert known_ahead(parts, target='y', columns=['a "b"']) == {'a "b"': Ahead(steps=0, series=0, of=1)}


def test_nothing_asked_reads_nothing(tmp_path):
    assert known_ahead([tmp_path / 'none.parquet'], target='y', columns=[]) == {}


def test_a_stamp_that_is_there_twice_is_one_step(tmp_path):
    rows = [('', at, float(at) if at < 3 else None, 1.0) for at in (0, 1, 2, 3, 3, 4)]
    assert known_ahead(store(tmp_path, rows), target='y', columns=['a "b"']) == {
        'a "b"': Ahead(steps=2, series=1, of=1)
    }
