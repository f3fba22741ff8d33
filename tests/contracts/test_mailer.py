"""What every Mailer promises (`core.ports.Mailer`): by a mail server on loopback, and into the outbox."""

import datetime as dt
import email
import email.policy
import ipaddress
import re
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from html import escape
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.errors import Misconfigured, Unavailable, UsageError
from core.ports import Mailer
from core.settings import Settings
from core.values import Mail
from storage import mail
from storage.hosts import is_loopback
from storage.letters import as_html
from storage.mail import OutboxMailer, SmtpMailer, open_mailer, read_outbox
from tests.counterparts.smtp import SmtpServer, open_smtp

SENDER = 'VARIOSYNC <mail@variosync.example>'
LINK = f'https://app.example.com/auth/callback?state={"s" * 43}&code={"c" * 43}'
TEXT = f'Open this to sign in:\n\n{LINK}\n\n.\nGrüße, 東京\n'

Received = Callable[[], Sequence[Mail]]


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpServer]:
    async with open_smtp(SmtpServer(offers=('8BITMIME', 'SMTPUTF8'))) as server:
        yield server


@pytest.fixture(params=['smtp', 'outbox'])
def mailer(request: pytest.FixtureRequest, smtp: SmtpServer, settings: Settings) -> Mailer:
    if request.param == 'outbox':
        return open_mailer(settings)
    return SmtpMailer(f'smtp://127.0.0.1:{smtp.port}', sender=SENDER)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(VARIOSYNC_HOME=tmp_path, VARIOSYNC_MAIL_FROM=SENDER)


@pytest.fixture
def received(mailer: Mailer, smtp: SmtpServer, settings: Settings) -> Received:
    def read() -> Sequence[Mail]:
        if isinstance(mailer, OutboxMailer):
            return read_outbox(settings)
        return [mail._mail(taken.content) for taken in reversed(smtp.taken)]

    return read


async def test_a_mail_arrives_as_it_was_written(mailer: Mailer, received: Received) -> None:
    before = dt.datetime.now(dt.UTC).replace(microsecond=0)
    await mailer.send('ada@example.com', subject='Sign in — été', text=TEXT)
    [one] = received()
    assert (one.to, one.subject, one.text) == ('ada@example.com', 'Sign in — été', TEXT)
    assert before <= one.at <= dt.datetime.now(dt.UTC)


async def test_a_mail_is_html_too_for_those_who_read_that(mailer: Mailer, smtp: SmtpServer, settings: Settings) -> None:
    await mailer.send('ada@example.com', subject='Sign in — été', text=TEXT)
    [raw] = [taken.content for taken in smtp.taken] or [
        file.read_bytes() for file in (settings.home_path / 'outbox').glob('*.eml')
    ]
    message = email.message_from_bytes(raw, policy=email.policy.default)
    # The last part is the one that is liked best (RFC 2046, 5.1.4).
    assert message.get_content_type() == 'multipart/alternative'
    assert [part.get_content_type() for part in message.iter_parts()] == ['text/plain', 'text/html']
    shown = message.get_body(('html',)).get_content()
    assert f'href="{escape(LINK)}"' in shown
    assert f'>{escape(LINK)}</a>' in shown, 'the link is there to be read and copied, too'
    assert 'Grüße, 東京' in shown


def test_the_html_of_a_mail_has_no_markup_of_others_and_fetches_nothing() -> None:
    evil = '<img src=x onerror=alert(1)>'
    shown = as_html(
        evil, f'{evil} & "co"\n\njavascript:alert(1)\n\nhttps://a.example/?x="><b>&y=1\n\nsee https://b.example'
    )
    assert '<img' not in shown
    assert '<b>' not in shown
    assert shown.count(escape(evil)) == 3  # title, paragraph, button
    assert set(re.findall('href="([^"]*)"', shown)) == {escape('https://a.example/?x="><b>&y=1')}
    assert re.search(r'<[^>]+\ssrc=|url\(|@import|<link', shown) is None


async def test_a_ping_sends_nothing(mailer: Mailer, received: Received) -> None:
    assert await mailer.ping() is None
    assert received() == []


async def test_a_ping_tells_that_no_mail_would_be_taken(tmp_path: Path) -> None:
    async with open_smtp(SmtpServer()) as server:
        gone = f'smtp://127.0.0.1:{server.port}'
    (tmp_path / 'outbox').write_text('no folder')
    for mailer in (SmtpMailer(gone, sender=SENDER), OutboxMailer(tmp_path / 'outbox', sender=SENDER)):
        with pytest.raises(Unavailable):
            await mailer.ping()


async def test_an_address_may_have_letters_of_any_alphabet(mailer: Mailer, received: Received) -> None:
    await mailer.send('用户@例え.jp', subject='a', text='b')
    assert received()[0].to == '用户@例え.jp'


@pytest.mark.parametrize(
    'to',
    [
        *('', 'ada', '@', 'a b@c.d', 'a@b.c\r\nBcc: eve@example.com', 'a@b.c\nX: y', 'a@b.c\x00', 'a@b.c, eve@d.e'),
        *('a,eve@d.e', 'Ada <eve@d.e>', '<eve@d.e>', '"a"@b.c', 'a@b.c;eve@d.e', 'a(x)@b.c', 'a\ud800@b.c'),
    ],
)
async def test_an_unusable_address_is_refused(mailer: Mailer, received: Received, to: str) -> None:
    with pytest.raises(UsageError, match='looks like'):
        await mailer.send(to, subject='a', text='b')
    assert received() == []


@pytest.mark.parametrize('subject', ['a\r\nBcc: eve@example.com', 'a\nb', 'a\rb'])
async def test_a_subject_adds_no_header(mailer: Mailer, received: Received, subject: str) -> None:
    with pytest.raises(UsageError, match='one line'):
        await mailer.send('ada@example.com', subject=subject, text='b')
    assert received() == []


# the mail server


async def test_the_server_gets_envelope_and_headers(smtp: SmtpServer) -> None:
    await SmtpMailer(f'smtp://127.0.0.1:{smtp.port}', sender=SENDER).send('ada@example.com', subject='a', text=TEXT)
    [taken] = smtp.taken
    assert (taken.sender, taken.recipients) == ('mail@variosync.example', ['ada@example.com'])
    message = email.message_from_bytes(taken.content, policy=email.policy.default)
    assert (message['From'], message['Auto-Submitted']) == (SENDER, 'auto-generated')
    assert str(message['Message-ID']).endswith('@variosync.example>')
    assert LINK in taken.content.decode(), 'a link is on one line, so that it can be copied'


@pytest.mark.parametrize(
    ('refusals', 'offers', 'error', 'words'),
    [
        ({'CONNECT': '554 no'}, (), Unavailable, 'did not take'),
        ({'CONNECT': ''}, (), Unavailable, 'did not take'),
        ({'EHLO': ''}, (), Unavailable, 'did not take'),
        ({'AUTH': '535 no'}, ('AUTH PLAIN',), Misconfigured, 'VARIOSYNC_SMTP_URL'),
        ({}, (), Unavailable, 'did not take'),  # a name is given, and nobody asks for it
        ({'MAIL': '550 no'}, ('AUTH PLAIN',), Unavailable, 'did not take'),
        ({'RCPT': '550 unknown'}, ('AUTH PLAIN',), UsageError, 'no such address'),
        ({'RCPT': '450 later'}, ('AUTH PLAIN',), Unavailable, 'did not take'),
        ({'DATA': '451 later'}, ('AUTH PLAIN',), Unavailable, 'did not take'),
        ({'DATA': 'not a reply at all'}, ('AUTH PLAIN',), Unavailable, 'did not take'),
        ({'DATA': ''}, ('AUTH PLAIN',), Unavailable, 'did not take'),
    ],
    ids=str,
)
async def test_what_the_server_says_becomes_an_error_of_ours(
    refusals: dict[str, str], offers: tuple[str, ...], error: type[Exception], words: str
) -> None:
    async with open_smtp(SmtpServer(offers=offers, refusals=refusals)) as server:
        mailer = SmtpMailer(f'smtp://name:secret@127.0.0.1:{server.port}', sender=SENDER)
        with pytest.raises(error, match=words) as caught:
            await mailer.send('ada@example.com', subject='a', text='b')
    assert 'secret' not in str(caught.value)
    assert server.taken == []


async def test_nobody_there_and_nobody_who_answers_are_unavailable(
    smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unavailable):
        await SmtpMailer('smtp://127.0.0.1:1', sender=SENDER).send('ada@example.com', subject='a', text='b')
    monkeypatch.setattr(mail, 'SILENCE', 0.05)
    smtp.refusals['EHLO'] = '250-but there is more'
    mailer = SmtpMailer(f'smtp://127.0.0.1:{smtp.port}', sender=SENDER)
    with pytest.raises(Unavailable):
        await mailer.send('ada@example.com', subject='a', text='b')


async def test_a_slow_server_is_not_asked_more_at_a_time_when_we_have_given_up(
    smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, 'AT_A_TIME', 1)
    monkeypatch.setattr(mail, 'SILENCE', 1)
    mailer = SmtpMailer(f'smtp://127.0.0.1:{smtp.port}', sender=SENDER)
    smtp.refusals['EHLO'] = '250-but there is more'
    with monkeypatch.context() as impatient:
        impatient.setattr(mail, 'PATIENCE', 0.1)
        for _ in range(3):
            with pytest.raises(Unavailable):
                await mailer.ping()
    assert smtp.heard.count('EHLO') <= 1, 'the others have waited'
    smtp.refusals.clear()
    await mailer.send('ada@example.com', subject='a', text='b')
    assert len(smtp.taken) == 1


async def test_an_address_that_the_server_cannot_write_to_is_unusable() -> None:
    async with open_smtp(SmtpServer()) as server:
        mailer = SmtpMailer(f'smtp://127.0.0.1:{server.port}', sender=SENDER)
        with pytest.raises(UsageError, match='letters'):
            await mailer.send('用户@example.com', subject='a', text='b')


@pytest.fixture(scope='module')
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody trusts by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, '127.0.0.1')])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address('127.0.0.1'))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp('tls') / 'certificate.pem'
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def served(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize('scheme', ['smtp', 'smtps'])
async def test_name_and_password_are_said_in_tls_only(
    certificate: Path, served: ssl.SSLContext, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, 'is_loopback', lambda host: False)
    server = SmtpServer(tls=served, offers=('STARTTLS', 'AUTH PLAIN'))
    async with open_smtp(server, encrypted=scheme == 'smtps'):
        url = f'{scheme}://na%40me:se%2Fcret@127.0.0.1:{server.port}'
        trusting = SmtpMailer(url, sender=SENDER, tls=ssl.create_default_context(cafile=str(certificate)))
        if scheme == 'smtps':  # the server would offer it, but it is on already
            server.offers = ('AUTH PLAIN',)
        await trusting.send('ada@example.com', subject='a', text='b')
        [taken] = server.taken
        assert (taken.encrypted, taken.login) == (True, '\x00na@me\x00se/cret')
        with pytest.raises(Unavailable):
            await SmtpMailer(url, sender=SENDER).send('ada@example.com', subject='a', text='b')
    assert len(server.taken) == 1, 'who is not trusted gets nothing'


@pytest.mark.parametrize('scheme', ['smtp', 'smtps'])
async def test_a_server_on_this_machine_vouches_for_itself(served: ssl.SSLContext, scheme: str) -> None:
    server = SmtpServer(tls=served, offers=('STARTTLS', 'AUTH PLAIN') if scheme == 'smtp' else ('AUTH PLAIN',))
    async with open_smtp(server, encrypted=scheme == 'smtps'):
        mailer = SmtpMailer(f'{scheme}://name:secret@127.0.0.1:{server.port}', sender=SENDER)
        await mailer.send('ada@example.com', subject='a', text='b')
    assert [(taken.encrypted, taken.login) for taken in server.taken] == [(True, '\x00name\x00secret')]


async def test_a_server_elsewhere_must_offer_tls(smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, 'is_loopback', lambda host: False)
    smtp.offers = ('AUTH PLAIN',)
    with pytest.raises(Unavailable):
        await SmtpMailer(f'smtp://a:b@127.0.0.1:{smtp.port}', sender=SENDER).send('a@b.c', subject='a', text='b')
    assert not {'AUTH', 'MAIL', 'DATA'} & set(smtp.heard)


@pytest.mark.parametrize(
    ('host', 'local'), [('127.0.0.1', True), ('::1', True), ('localhost', True), ('mail.example.com', False)]
)
def test_only_this_machine_may_do_without_tls(host: str, local: bool) -> None:
    assert is_loopback(host) is local


@pytest.mark.parametrize(
    'url', ['', 'mail.example.com', 'http://mail', 'smtp://', 'smtp://:secret@', 'smtp://a:secret@b:port']
)
def test_an_unusable_server_address_is_told_without_its_password(url: str) -> None:
    with pytest.raises(Misconfigured, match='VARIOSYNC_SMTP_URL') as caught:
        SmtpMailer(url, sender=SENDER)
    assert ':secret' not in str(caught.value)


@pytest.mark.parametrize(('url', 'port'), [('smtp://a', 587), ('smtps://a', 465), ('smtp://a:25', 25)])
def test_the_usual_ports(url: str, port: int) -> None:
    assert SmtpMailer(url, sender=SENDER)._port == port


@pytest.mark.parametrize('sender', ['', 'VARIOSYNC', 'a@b.c\r\nBcc: eve@d.e'])
def test_an_unusable_sender_is_told(sender: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match='VARIOSYNC_MAIL_FROM'):
        OutboxMailer(tmp_path, sender=sender)


def test_the_settings_choose(settings: Settings, tmp_path: Path) -> None:
    assert isinstance(open_mailer(settings), OutboxMailer)
    assert isinstance(open_mailer(Settings(VARIOSYNC_SMTP_URL='smtp://mail.example.com')), SmtpMailer)


# the outbox


async def test_the_outbox_is_newest_first_and_ours_alone(settings: Settings) -> None:
    assert read_outbox(settings) == []
    for number in range(3):
        await open_mailer(settings).send(f'{number}@example.com', subject='a', text='b')
    assert [one.to[0] for one in read_outbox(settings)] == ['2', '1', '0']
    folder = settings.home_path / 'outbox'
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert {file.suffix for file in folder.iterdir()} == {'.eml'}


async def test_an_outbox_that_cannot_be_used_is_unavailable(settings: Settings) -> None:
    (settings.home_path / 'outbox').write_text('a file where the folder should be')
    with pytest.raises(Unavailable):
        await open_mailer(settings).send('ada@example.com', subject='a', text='b')
    (settings.home_path / 'outbox').unlink()
    (settings.home_path / 'outbox' / 'a folder.eml').mkdir(parents=True)
    with pytest.raises(Unavailable):
        read_outbox(settings)
