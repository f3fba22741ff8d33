"""A proxy for HTTP on 127.0.0.1 that breaks what passes through it, as often as it is told to."""

import asyncio
import socket
import struct
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal, Self
from urllib.parse import urlsplit

from tests.counterparts.running import Running

HEAD_END = b'\r\n\r\n'
PIECE = 2**16
ANSWER = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>made up</Message></Error>'
REASONS = {400: 'Bad Request', 403: 'Forbidden', 500: 'Internal Server Error', 503: 'Service Unavailable'}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to one request, optionally to one with this `method` only.

    pass: nothing. answer: `status` and an S3 error `code` instead of the server's answer. reset: the connection is
    reset before the request reaches the server. lost: the same after the server has answered. torn: the connection
    closes after `after` bytes of the answer's body. slow: `seconds` pass before the answer. corrupt: one byte of what
    is sent is changed. garbled: one byte of what comes back is changed.
    """

    kind: Literal['pass', 'answer', 'reset', 'lost', 'torn', 'slow', 'corrupt', 'garbled'] = 'pass'
    method: str | None = None
    status: int = 503
    code: str = 'ServiceUnavailable'
    after: int = 0
    seconds: float = 0.0


RATE_LIMIT = Fault(kind='answer', status=400, code='RequestRateLimitExceeded')


class FaultProxy(Running):
    """Passes requests on to `upstream`, from `start` to `stop`. `fail` says what becomes of the next ones.

    `requests` are the methods and paths that have arrived, in order.
    """

    def __init__(self, upstream: str) -> None:
        at = urlsplit(upstream)
        self._upstream = (at.hostname or '127.0.0.1', at.port or 80)
        self._faults: deque[Fault] = deque()
        self._always: Fault | None = None
        self.requests: list[tuple[str, str]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name='fault proxy', daemon=True)
        self._port = 0
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f'http://127.0.0.1:{self._port}'

    def fail(self, fault: Fault, *, times: int | None = 1) -> None:
        """Let the next `times` requests that it concerns suffer this fault; None means every one from now on."""
        if times is None:
            self._always = fault
        else:
            self._faults.extend([fault] * times)

    def heal(self) -> None:
        """Let everything pass and forget what has arrived."""
        self._faults.clear()
        self._always = None
        self.requests.clear()

    def start(self) -> Self:
        """Answer until `stop`."""
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def stop(self) -> None:
        """Close every connection."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # on the proxy's own thread

    async def _listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connected, '127.0.0.1', 0)
        self._port = server.sockets[0].getsockname()[1]
        return server

    async def _close(self) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _fault(self, method: str) -> Fault:
        for fault in self._faults:
            if fault.method in (None, method):
                self._faults.remove(fault)
                return fault
        if self._always is not None and self._always.method in (None, method):
            return self._always
        return Fault()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                head, body = await _request(reader)
                method, path, _ = head.split(b'\r\n', 1)[0].decode().split(' ', 2)
                self.requests.append((method, path))
                await self._pass(self._fault(method), head, body, writer)
        finally:
            writer.close()

    async def _pass(self, fault: Fault, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        if fault.kind == 'reset':
            return _reset(writer)
        if fault.kind == 'answer':
            writer.write(_answer(fault))
            return await writer.drain()
        if fault.kind == 'corrupt' and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        async with self._answer(head, body) as answer:
            top = await answer.readuntil(HEAD_END)
            if fault.kind == 'slow':
                await asyncio.sleep(fault.seconds)
            if fault.kind == 'lost':
                return _reset(writer)
            writer.write(top)
            await _relay(answer, writer, fault)
        return None

    @asynccontextmanager
    async def _answer(self, head: bytes, body: bytes) -> AsyncIterator[asyncio.StreamReader]:
        reader, writer = await asyncio.open_connection(*self._upstream)
        try:
            # One request a connection: the server closes it, so the end of the answer needs no parsing.
            lines = [line for line in head.split(b'\r\n') if not line.lower().startswith(b'connection:')]
            writer.write(b'\r\n'.join([lines[0], b'Connection: close', *lines[1:]]) + body)
            await writer.drain()
            yield reader
        finally:
            writer.close()


async def _request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(HEAD_END)
    length = 0
    for line in head.split(b'\r\n')[1:]:
        name, _, value = line.partition(b':')
        if name.lower() == b'content-length':
            length = int(value)
    return head, await reader.readexactly(length)


async def _relay(answer: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault) -> None:
    passed = 0
    while piece := await answer.read(PIECE):
        if fault.kind == 'torn' and passed + len(piece) > fault.after:
            writer.write(piece[: fault.after - passed])
            return await writer.drain()
        if fault.kind == 'garbled' and not passed:
            piece = bytes([piece[0] ^ 1]) + piece[1:]
        passed += len(piece)
        writer.write(piece)
        await writer.drain()
    return None


def _answer(fault: Fault) -> bytes:
    body = ANSWER.format(code=fault.code).encode()
    reason = REASONS.get(fault.status, 'Error')
    head = f'HTTP/1.1 {fault.status} {reason}\r\nContent-Type: application/xml\r\nConnection: close\r\n'
    return f'{head}Content-Length: {len(body)}\r\n\r\n'.encode() + body


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info('socket')
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    writer.transport.abort()
