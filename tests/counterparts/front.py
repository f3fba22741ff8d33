"""A process before a server that is to be killed and must not forget: it passes bytes on, until it is killed.

What it stands before lives on, as the disks of an object store do when the process that serves them ends.
"""

import asyncio
import signal
import subprocess
import sys
import time
from typing import Self
from urllib.parse import urlsplit

import httpx

from tests.counterparts.running import Running
from tests.e2e.server import ROOT, free_port, python

PIECE = 2**16
PATIENCE = 10.0


class Front(Running):
    """Answers on a port of its own for `upstream`, from `start` to `stop`; after `kill` it may be started again."""

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream).netloc
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f'http://127.0.0.1:{self._port}'

    def start(self) -> Self:
        """Start and return when it answers."""
        command = python('-m', 'tests.counterparts.front', str(self._port), self._upstream)
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert time.monotonic() < deadline, 'the front did not start'
            time.sleep(0.01)
        return self

    def kill(self) -> None:
        """End it, and with it every connection."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    stop = kill

    def _answers(self) -> bool:
        try:
            httpx.get(self.url)
        except httpx.TransportError:
            return False
        return True


async def _serve(port: int, upstream: str) -> None:
    host, _, at = upstream.partition(':')

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(host, int(at))
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pass(reader, back), _pass(there, writer))

    async with await asyncio.start_server(connected, '127.0.0.1', port) as server:
        await server.serve_forever()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(PIECE):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


if __name__ == '__main__':
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2]))
