"""Dirty files with known defects: each is found at its line and column, every good record is stored as it is meant,
and every record is accounted for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dirty import CLASSES, DirtyFile, files
from tests.dirty.truth import Outcome, intended, outcome

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group('dirty')]  # so that the files are read once

SLOW = ('many_columns', 'long_cells')


def _some() -> Iterator[DirtyFile]:
    """Small files of some classes, each with its defect at another place, and a few of 2,500 rows."""
    names = [name for name in CLASSES if name not in SLOW]
    damaged = [name for name in names if CLASSES[name][1]]
    for number, name in enumerate(damaged[::2] + [name for name in names if name not in damaged][::5]):
        yield from files(sizes=['small'], classes=[name], places=[('head', 'middle', 'tail')[number % 3]])
    yield from files(sizes=['large'], classes=names[1::24], places=['middle'])


@pytest.fixture(scope='module')
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """What became of each file."""
    folder = tmp_path_factory.mktemp('dirty')
    return [outcome(file, folder) for file in _some()]


def test_every_file_reconciles(outcomes: list[Outcome]) -> None:
    assert len(outcomes) > 50
    assert [one.file.name for one in outcomes if one.refused or not one.reconciles] == []


def test_defects_are_found_at_their_line_and_column(outcomes: list[Outcome]) -> None:
    assert sum(len(one.file.faults) for one in outcomes) > 10
    assert [(one.file.name, one.missed) for one in outcomes if one.missed] == []


def test_no_good_record_is_lost_and_none_is_made_up(outcomes: list[Outcome]) -> None:
    assert [(one.file.name, one.told) for one in outcomes if one.lost or one.more] == []


def test_no_cell_is_stored_with_another_value_or_type(outcomes: list[Outcome]) -> None:
    assert [(one.file.name, one.told) for one in outcomes if one.wrong] == []


@pytest.mark.parametrize(
    ('defect', 'stored'),
    [('cell_number_is_a_word', 12), ('cell_time_impossible', 11), ('cell_time_missing', 11), ('record_twice', 12)],
)
def test_a_file_knows_which_records_are_to_be_stored(defect: str, stored: int) -> None:
    file = next(files(sizes=['small'], classes=[defect], places=['middle']))
    _, rows, _ = intended(file)
    assert len(rows) == stored


@pytest.mark.parametrize(
    'defect', ['cell_number_with_comma_and_unit', 'cells_of_zeros_in_front', 'parquet', 'aligned_columns']
)
def test_what_was_once_read_wrong_is_read_as_meant(tmp_path: Path, defect: str) -> None:
    for file in files(sizes=['small'], classes=[defect]):
        found = outcome(file, tmp_path)
        assert found.right, found
