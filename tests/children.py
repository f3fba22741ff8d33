"""The processes that run tasks for a process."""

import os

import psutil

from storage.embedded.child import NAME


def children(pid: int | None = None) -> list[psutil.Process]:
    """Return those of this process, or of another, without what they started themselves, which bears their name."""
    named = {one.pid: one for one in psutil.Process(pid or os.getpid()).children(recursive=True) if _named(one) == NAME}
    return [one for one in named.values() if one.ppid() not in named]


def _named(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ''
