"""Dirty files with known defects: each is found at its line and column, and every record is accounted for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.analysis.ingest import Options, inspect
from tests.dirty import DirtyFile, Known, files

SMALL = list(files(sizes=['small']))
FILES = [*(file for file in SMALL if file.faults), *[file for file in SMALL if not file.faults][::3]]


@pytest.fixture(scope='module')
def reports(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[DirtyFile, dict[str, Any]]]:
    """What an inspection tells of each file."""
    folder = tmp_path_factory.mktemp('dirty')
    return list(_inspected(folder))


def _inspected(folder: Path) -> Iterator[tuple[DirtyFile, dict[str, Any]]]:
    for file in FILES:
        path = folder / file.name
        path.write_bytes(file.data)
        yield file, inspect(path, name=file.name, options=Options())


def _is_listed(known: Known, report: dict[str, Any]) -> bool:
    return any(
        fault['line'] == known.line and fault['kind'] == known.kind and known.column in (None, fault['column'])
        for fault in report['faults']
    )


def test_every_file_reconciles(reports: list[tuple[DirtyFile, dict[str, Any]]]) -> None:
    assert len(reports) > 100
    for file, report in reports:
        counted = report['rows_accepted'] + report['rows_repaired'] + report['rows_rejected']
        assert counted == report['rows_read'], file.name


def test_defects_are_found_at_their_line_and_column(reports: list[tuple[DirtyFile, dict[str, Any]]]) -> None:
    known = [(file.name, one, _is_listed(one, report)) for file, report in reports for one in file.faults]
    missed = [(name, one) for name, one, listed in known if not listed]
    assert len(known) > 50
    assert len(missed) <= 0.01 * len(known), missed
