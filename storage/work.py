"""Folders to work in: each is locked while it is in use, so that it can be told from what a dead process left."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def work_folder(base: Path, name: str) -> Iterator[Path]:
    """A folder in `base` that only we can read, and that is gone with all in it when the block ends."""
    folder = base / name
    folder.mkdir(mode=0o700)
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_leftovers(base: Path) -> None:
    """Remove the folders in `base` that nobody works in any more."""
    for folder in base.iterdir():
        with suppress(FileNotFoundError):  # its owner has just removed it
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            except BlockingIOError:
                continue
            finally:
                os.close(lock)
