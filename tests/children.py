"""The processes that run tasks for a process."""

import os
from collections.abc import Mapping

import psutil

from storage.embedded.child import NAME

NURSERY = 'nursery'  # as that is called which a server's own process has become
SERVERS = ('run_nicegui.py', 'tests.e2e.forked', 'tests.fakes.modal')


def children(pid: int | None = None) -> list[psutil.Process]:
    """Return those of this process, or of another, without what they started themselves, which bears their name.

    Servers that a test started have tasks of their own, which are left out.
    """
    found = {one.pid: one for one in psutil.Process(pid or os.getpid()).children(recursive=True)}
    named = {one.pid: one for one in found.values() if _named(one) == NAME}
    return [one for one in named.values() if one.ppid() not in named and not _serves(found.get(one.ppid()), found)]


def _serves(process: psutil.Process | None, among: Mapping[int, psutil.Process]) -> bool:
    """Whether it is a server, or stands below one."""
    while process is not None:
        try:
            if process.name() != NURSERY and any(name in ' '.join(process.cmdline()) for name in SERVERS):
                return True
            process = among.get(process.ppid())
        except psutil.NoSuchProcess:
            return False
    return False


def _named(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ''
