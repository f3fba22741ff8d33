"""The files of a version are read into the system's memory ahead of who asks for parts of them.

A window at a place where nobody has looked for a while would wait for the disk once a row group, one after the other.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock
from time import monotonic

MOST = 256 * 2**20  # bytes of a version
AGAIN = 10.0  # seconds after which the system may have dropped what nobody read


class Warmth:
    """Files that are kept at hand while they are asked for: the first ones, of which `MOST` bytes are reached."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files: list[Path] = []
        self._read = -AGAIN
        self._lock = Lock()
        left = MOST
        for file in files:
            with suppress(FileNotFoundError):  # a version may be removed at any time
                left -= file.stat().st_size
                if left < 0:
                    break
                self._files.append(file)

    def keep(self) -> None:
        """Have the system read what it lacks, beside whatever is asked now; unless that was just done."""
        if not hasattr(os, 'posix_fadvise'):
            return
        with self._lock:
            if monotonic() - self._read < AGAIN:
                return
            self._read = monotonic()
        _thread().submit(self._advise)

    def _advise(self) -> None:
        for path in self._files:
            with suppress(FileNotFoundError), path.open('rb') as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix='ahead')
