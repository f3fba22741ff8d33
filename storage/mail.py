"""Mail that we send (`core.ports.Mailer`): by a mail server, or into a folder where it waits to be read."""

import asyncio
import os
import re
import secrets
import smtplib
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid, parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from core.errors import Misconfigured, Unavailable, UsageError
from core.ports import Mailer
from core.settings import Settings
from core.values import Mail
from storage.hosts import is_loopback
from storage.letters import as_html

PORTS = {'smtp': 587, 'smtps': 465}
SILENCE = 10.0  # seconds that a mail server may take for one answer
PATIENCE = 30.0  # and for the whole mail
AT_A_TIME = 4
# Long lines stay whole, so that a link can be copied out of a mail as it is.
POLICY = policy.SMTP.clone(max_line_length=900)
# What would need quoting is refused: in a header it could read as a second address.
ADDRESS = re.compile(
    r'[^@\s\x00-\x20\x7f\ud800-\udfff()<>\[\]:;,\\"]{1,64}@[^@\s\x00-\x20\x7f\ud800-\udfff()<>\\",;]{1,255}'
)


def open_mailer(settings: Settings) -> Mailer:
    """The mail server of the settings, or the outbox of the home where there is none."""
    if settings.smtp_url is None:
        return OutboxMailer(settings.home_path / 'outbox', sender=settings.mail_from)
    return SmtpMailer(settings.smtp_url.get_secret_value(), sender=settings.mail_from)


class SmtpMailer:
    """Hands mail to a server (RFC 5321), each on a connection of its own.

    `smtps://` is encrypted from the first byte (RFC 8314), `smtp://` by STARTTLS (RFC 3207); only a server on this
    machine may do without, or show a certificate that nobody vouches for.
    """

    def __init__(self, url: str, *, sender: str, tls: ssl.SSLContext | None = None) -> None:
        parts, port = _parts(url)
        self._encrypted = parts.scheme == 'smtps'
        self._host, self._port = parts.hostname or '', port
        self._name, self._password = unquote(parts.username or ''), unquote(parts.password or '')
        self._sender = _sender(sender)
        self._tls = tls or _tls(self._host)
        self._slots = asyncio.Semaphore(AT_A_TIME)

    async def send(self, to: str, *, subject: str, text: str) -> None:
        """Hand a mail over. Raise Unavailable when it was not taken, UsageError for an unusable address."""
        message = _message(self._sender, to, subject, text)
        await self._within_reach(self._hand_over, message, to)

    async def ping(self) -> None:
        """Raise Unavailable, or Misconfigured, when no mail would be taken."""
        await self._within_reach(self._greet)

    async def _within_reach(self, use: Callable[..., None], *arguments: Any) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.shield(await self._begun(use, *arguments))
        except smtplib.SMTPAuthenticationError as error:
            raise Misconfigured('The mail server refuses our name and password: check VARIOSYNC_SMTP_URL.') from error
        except smtplib.SMTPRecipientsRefused as error:
            if all(code >= 500 for code, _ in error.recipients.values()):
                raise UsageError('The mail server knows no such address. Check it.') from error
            raise _not_taken() from error
        except (smtplib.SMTPException, OSError, UnicodeError) as error:
            raise _not_taken() from error

    async def _begun(self, use: Callable[..., None], *arguments: Any) -> 'asyncio.Task[None]':
        """Use the server on a thread, which has its slot until it ends: only the limits of its socket can end it."""
        await self._slots.acquire()
        work = asyncio.create_task(asyncio.to_thread(use, *arguments))
        work.add_done_callback(self._ended)
        return work

    def _ended(self, work: 'asyncio.Task[None]') -> None:
        self._slots.release()
        if not work.cancelled():
            work.exception()  # whoever still waits has it

    def _greet(self) -> None:
        with self._signed_in() as server:
            server.noop()

    def _hand_over(self, message: EmailMessage, to: str) -> None:
        with self._signed_in() as server:
            if not to.isascii() and not server.has_extn('smtputf8'):
                raise UsageError('The mail server cannot write to an address with these letters. Use another one.')
            server.send_message(message, to_addrs=[to])

    @contextmanager
    def _signed_in(self) -> Iterator[smtplib.SMTP]:
        with self._connect() as server:
            server.ehlo()
            if not self._encrypted and (server.has_extn('starttls') or not is_loopback(self._host)):
                server.starttls(context=self._tls)
                server.ehlo()
            if self._name:
                server.login(self._name, self._password)
            yield server

    def _connect(self) -> smtplib.SMTP:
        name = _domain(self._sender)
        if self._encrypted:
            return smtplib.SMTP_SSL(self._host, self._port, name, timeout=SILENCE, context=self._tls)
        return smtplib.SMTP(self._host, self._port, name, timeout=SILENCE)


class OutboxMailer:
    """Keeps each mail as a file (RFC 5322) that only we can read: what `variosync outbox` prints."""

    def __init__(self, folder: Path, *, sender: str) -> None:
        self._folder = folder
        self._sender = _sender(sender)

    async def send(self, to: str, *, subject: str, text: str) -> None:
        """Keep a mail. Raise Unavailable when it cannot be written, UsageError for an unusable address."""
        message = _message(self._sender, to, subject, text)
        try:
            await asyncio.to_thread(self._keep, message.as_bytes(policy=POLICY.clone(utf8=True)))
        except OSError as error:
            raise Unavailable('The mail cannot be kept in the outbox. Try again in a moment.') from error

    async def ping(self) -> None:
        """Raise Unavailable when no mail would be kept."""
        try:
            await asyncio.to_thread(self._folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable('No mail can be kept in the outbox.') from error
        if not os.access(self._folder, os.W_OK):
            raise Unavailable('No mail can be kept in the outbox.')

    def _keep(self, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f'{time.time_ns():020}-{secrets.token_hex(4)}'
        # Written aside and renamed, so that nobody reads half a mail.
        made = self._folder / f'{name}.part'
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 'wb') as file:
            file.write(content)
        made.rename(made.with_suffix('.eml'))


def read_outbox(settings: Settings) -> Sequence[Mail]:
    """The mails that wait in the outbox, the newest first. Raise Unavailable when it cannot be read."""
    files = sorted((settings.home_path / 'outbox').glob('*.eml'), reverse=True)
    try:
        return [_mail(file.read_bytes()) for file in files]
    except OSError as error:
        raise Unavailable(f'The outbox cannot be read: {error.strerror}.') from error


def _mail(content: bytes) -> Mail:
    message = message_from_bytes(content, policy=policy.default)
    return Mail(
        to=str(message['To']),
        subject=str(message['Subject']),
        text=_words(message).replace('\r\n', '\n'),
        at=message['Date'].datetime,
    )


def _words(message: EmailMessage) -> str:
    """The text of a mail, without the HTML that stands for it elsewhere."""
    body = message.get_body(('plain',))
    return '' if body is None else str(body.get_content())


def _message(sender: str, to: str, subject: str, text: str) -> EmailMessage:
    if not ADDRESS.fullmatch(to):
        raise UsageError('Mail cannot be sent to this address. It looks like name@example.com.')
    message = EmailMessage(POLICY)
    try:
        message['From'], message['To'], message['Subject'] = sender, to, subject
    except ValueError as error:
        raise UsageError('The subject of a mail is one line.') from error
    message['Date'] = format_datetime(datetime.now(UTC))
    message['Message-ID'] = make_msgid(domain=_domain(sender))
    # Nobody's absence note is wanted as an answer (RFC 3834).
    message['Auto-Submitted'] = 'auto-generated'
    message.set_content(text)
    message.add_alternative(as_html(subject, text), subtype='html')
    return message


def _sender(sender: str) -> str:
    if not ADDRESS.fullmatch(parseaddr(sender)[1]) or not sender.isprintable():
        raise Misconfigured('VARIOSYNC_MAIL_FROM looks like VARIOSYNC <mail@example.com>.')
    return sender


def _domain(sender: str) -> str:
    return parseaddr(sender)[1].rpartition('@')[2]


def _parts(url: str) -> tuple[SplitResult, int]:
    """The parts of the server's address, and its port. What is wrong with it is not repeated: it holds a password."""
    try:
        parts = urlsplit(url)
        if parts.scheme in PORTS and parts.hostname:
            return parts, parts.port or PORTS[parts.scheme]
    except ValueError:
        pass
    raise Misconfigured('VARIOSYNC_SMTP_URL looks like smtp://name:password@mail.example.com:587.')


def _tls(host: str) -> ssl.SSLContext:
    """Whose certificates are trusted: on the way to a server on this machine nobody can be in between."""
    context = ssl.create_default_context()
    if is_loopback(host):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _not_taken() -> Unavailable:
    return Unavailable('The mail server did not take the mail. Try again in a moment.')
