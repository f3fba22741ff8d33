"""What lies on the disk is read ahead: whole small versions, the summary of great ones, not twice in a moment."""

import os
from pathlib import Path

import pytest

from core.analysis.query import warmth
from core.analysis.query.warmth import Warmth

pytestmark = pytest.mark.skipif(not hasattr(os, 'posix_fadvise'), reason='this system is not told')


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of files that the system was told of."""
    sizes: list[int] = []

    def advise(file: int, offset: int, length: int, advice: int) -> None:
        assert (offset, length, advice) == (0, 0, os.POSIX_FADV_WILLNEED)
        sizes.append(os.fstat(file).st_size)

    monkeypatch.setattr(os, 'posix_fadvise', advise)
    return sizes


def files(folder: Path, *sizes: int) -> list[Path]:
    made = [folder / f'{place}' for place in range(len(sizes))]
    for path, size in zip(made, sizes, strict=True):
        path.write_bytes(bytes(size))
    return made


def settled() -> None:
    warmth._thread().submit(lambda: None).result()


def test_files_are_told_once_in_a_while(tmp_path: Path, told: list[int]) -> None:
    kept = Warmth(files(tmp_path, 3, 5))
    kept.keep()
    kept.keep()
    settled()
    assert told == [3, 5]
    kept._read -= warmth.AGAIN
    kept.keep()
    settled()
    assert told == [3, 5, 3, 5]


def test_of_a_great_version_the_first_files_are_kept(
    tmp_path: Path, told: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warmth, 'MOST', 10)
    Warmth(files(tmp_path, 3, 5, 4, 1)).keep()
    settled()
    assert told == [3, 5]


def test_a_version_that_was_removed_is_let_go(tmp_path: Path, told: list[int]) -> None:
    made = files(tmp_path, 3, 5)
    kept = Warmth(made)
    made[0].unlink()
    kept.keep()
    settled()
    assert told == [5]


def test_a_file_that_goes_while_its_version_is_opened_is_not_told_of(tmp_path: Path, told: list[int]) -> None:
    gone, here = files(tmp_path, 3, 5)
    gone.unlink()
    Warmth([gone, here]).keep()
    settled()
    assert told == [5]
