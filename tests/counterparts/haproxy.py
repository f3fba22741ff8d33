"""Debian's haproxy before servers on loopback, by the configuration that is deployed."""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.counterparts.running import Running
from tests.e2e.server import ROOT, free_port

CONFIG = ROOT / 'deploy' / 'haproxy' / 'haproxy.cfg'
TEMPLATE = 'server-template instance 10 "${VARIOSYNC_INSTANCES}:${VARIOSYNC_PORT}" resolvers names init-addr none'
PATIENCE = 10.0


class Haproxy(Running):
    """Runs from `start` to `stop`; `ports` are those of the instances, which may start later and end sooner."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.port = free_port()
        self._ports = ports
        self._folder = tempfile.TemporaryDirectory(prefix='vs-haproxy-')
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The one address before all instances."""
        return f'http://127.0.0.1:{self.port}'

    @property
    def lines(self) -> list[str]:
        """What it has logged."""
        return (Path(self._folder.name) / 'log').read_text().splitlines()

    def start(self) -> Self:
        """Start and return when it takes connections."""
        folder = Path(self._folder.name)
        (folder / 'haproxy.cfg').write_text(_on_loopback(CONFIG.read_text(), self._ports))
        with (folder / 'log').open('ab') as log:
            self._process = subprocess.Popen(
                ['haproxy', '-f', str(folder / 'haproxy.cfg')],
                env={'PATH': f'/usr/sbin:{os.environ["PATH"]}', 'PORT': str(self.port)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE
        while not self._listens():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise AssertionError('haproxy did not start:\n' + '\n'.join(self.lines))
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """End it and every connection through it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(('127.0.0.1', self.port)) == 0


def _on_loopback(config: str, ports: Sequence[int]) -> str:
    """The deployed configuration with instances by address, and with a cookie that plain HTTP may carry."""
    servers = '\n    '.join(f'server instance{place} 127.0.0.1:{port}' for place, port in enumerate(ports, 1))
    changes = {TEMPLATE: servers, 'httponly secure': 'httponly', 'bind "*:': 'bind "127.0.0.1:'}
    for before, after in changes.items():
        assert config.count(before) == 1, before
        config = config.replace(before, after)
    return config
