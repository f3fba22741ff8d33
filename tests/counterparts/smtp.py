"""A mail server on loopback that speaks enough of RFC 5321 to take a mail, and misbehaves as a test says."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Taken:
    """A mail that was taken: its envelope and content, and how it came."""

    sender: str
    recipients: list[str]
    content: bytes
    encrypted: bool
    login: str


@dataclass
class SmtpServer:
    """`refusals` maps a verb to the answer that it gets instead; an empty answer closes the connection."""

    tls: ssl.SSLContext | None = None
    offers: tuple[str, ...] = ()
    refusals: dict[str, str] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    port: int = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        try:
            await Dialogue(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()


class Dialogue:
    """One connection to the server."""

    def __init__(self, server: SmtpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server, self.reader, self.writer = server, reader, writer
        self.sender, self.recipients, self.login = '', list[str](), ''

    async def run(self) -> None:
        await self.say(self.server.refusals.get('CONNECT', '220 test'))
        while line := (await self.reader.readline()).decode('utf-8').rstrip('\r\n'):
            verb = line.split(' ')[0].split(':')[0].upper()
            self.server.heard.append(verb)
            refusal = self.server.refusals.get(verb)
            if refusal == '':
                return
            await (self.say(refusal) if refusal else getattr(self, f'on_{verb.lower()}')(line))
            if verb == 'QUIT':
                return

    async def say(self, *lines: str) -> None:
        self.writer.write(''.join(f'{line}\r\n' for line in lines).encode())
        await self.writer.drain()

    async def on_ehlo(self, line: str) -> None:
        offers = ['test', *self.server.offers]
        await self.say(*(f'250{" " if last else "-"}{offer}' for offer, last in zip(offers, ends(offers), strict=True)))

    async def on_noop(self, line: str) -> None:
        await self.say('250 ok')

    async def on_starttls(self, line: str) -> None:
        assert self.server.tls
        await self.say('220 go on')
        await self.writer.start_tls(self.server.tls)

    async def on_auth(self, line: str) -> None:
        self.login = base64.b64decode(line.split(' ')[2]).decode()
        await self.say('235 welcome')

    async def on_mail(self, line: str) -> None:
        self.sender = line[line.index('<') + 1 : line.index('>')]
        await self.say('250 ok')

    async def on_rcpt(self, line: str) -> None:
        self.recipients.append(line[line.index('<') + 1 : line.index('>')])
        await self.say('250 ok')

    async def on_data(self, line: str) -> None:
        await self.say('354 go on')
        stuffed = (await self.reader.readuntil(b'\r\n.\r\n'))[:-3]
        content = stuffed.replace(b'\r\n.', b'\r\n')
        encrypted = self.writer.get_extra_info('ssl_object') is not None
        self.server.taken.append(Taken(self.sender, self.recipients, content, encrypted, self.login))
        await self.say('250 taken')

    async def on_rset(self, line: str) -> None:
        await self.say('250 ok')

    async def on_quit(self, line: str) -> None:
        await self.say('221 bye')


def ends(items: list[str]) -> list[bool]:
    """Which of the items is the last."""
    return [place == len(items) - 1 for place in range(len(items))]


@asynccontextmanager
async def open_smtp(server: SmtpServer, *, encrypted: bool = False) -> AsyncIterator[SmtpServer]:
    """Listen on a free port of loopback; with `encrypted`, in TLS from the first byte."""
    listening = await asyncio.start_server(server.talk, '127.0.0.1', 0, ssl=server.tls if encrypted else None)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server
