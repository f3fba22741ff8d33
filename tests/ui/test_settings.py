"""Settings, notices and audit log as their user meets them, with doubles behind."""

import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any
from uuid import UUID, uuid4

import pytest
from nicegui import app, ui
from nicegui.testing import User, user_simulation

from core import values
from core.accounts import NUMBER_FORMATS, SCOPES
from core.errors import NotFound, UsageError
from core.settings import Settings
from core.values import ApiKey, AuditEntry, Preferences, Session, SignedIn
from tests.ui.doubles import Services
from tests.ui.site import until
from ui.app import mount
from ui.components.agents import agent
from ui.pages.audit import who
from ui.pages.settings.display import zones
from ui.pages.settings.keys import access_of
from ui.session import COOKIE
from ui.sockets import SocketGuard

KEY = 'vsk_' + 'k' * 43
EVIL = '<img src=x onerror=alert(1)>'
EMAIL = 'maria.keller@example.com'


class Accounts:
    """What settings ask of accounts, in memory."""

    providers = ()

    def __init__(self) -> None:
        self.open: dict[str, Session] = {}
        self.listed: list[SignedIn] = []
        self.made: list[ApiKey] = []
        self.entries: list[AuditEntry] = []
        self.ended: list[UUID] = []
        self.gone: list[UUID] = []
        self.passwords: list[str] = []

    def sign_in(self, email: str) -> tuple[str, Session]:
        token, now = secrets.token_urlsafe(32), datetime.now(UTC)
        user = values.User(id=uuid4(), email=email, name='')
        self.open[token] = Session(id=uuid4(), user=user, created_at=now, expires_at=now + timedelta(days=1))
        return token, self.open[token]

    async def session(self, token: str) -> Session | None:
        return self.open.get(token)

    async def principal(self, token: str) -> Session | None:
        return self.open.get(token)

    async def rename(self, user_id: UUID, name: str, *, address: str = '') -> None:
        self._change(user_id, name=name)

    async def set_preferences(self, user_id: UUID, *, address: str = '', **changes: str) -> Preferences:
        before = next(session.user for session in self.open.values() if session.user.id == user_id).preferences
        chosen = replace(before, **changes)
        self._change(user_id, preferences=chosen)
        return chosen

    def _change(self, user_id: UUID, **changes: Any) -> None:
        for token, session in self.open.items():
            if session.user.id == user_id:
                self.open[token] = replace(session, user=replace(session.user, **changes))

    async def create_key(
        self,
        user_id: UUID,
        *,
        name: str,
        scopes: Iterable[str],
        expires_at: datetime | None,
        current_session: UUID,
        address: str = '',
    ) -> tuple[str, ApiKey]:
        if not name:
            raise UsageError('Give the key a name.')
        kept = ApiKey(
            id=uuid4(), user_id=user_id, name=name, prefix=KEY[:10], scopes=tuple(scopes), expires_at=expires_at,
            created_at=datetime.now(UTC), last_used_at=None, revoked_at=None,
        )  # fmt: skip
        self.made.append(kept)
        return KEY, kept

    async def keys(self, user_id: UUID) -> Sequence[ApiKey]:
        return [key for key in self.made if key.user_id == user_id]

    async def revoke_key(self, user_id: UUID, key_id: UUID, *, address: str = '') -> None:
        self.made = [replace(key, revoked_at=datetime.now(UTC)) if key.id == key_id else key for key in self.made]

    async def sessions(self, user_id: UUID, *, current: UUID | None) -> Sequence[SignedIn]:
        return [replace(one, current=one.id == current) for one in self.listed if one.id not in self.ended]

    async def revoke_session(self, user_id: UUID, session_id: UUID, *, address: str = '') -> UUID:
        self.ended.append(session_id)
        if session_id in self.gone:
            raise NotFound()
        return session_id

    async def set_password(
        self, user_id: UUID, password: str, *, current_session: UUID, address: str = ''
    ) -> Sequence[UUID]:
        if len(password) < 10:
            raise UsageError('The password has fewer than 10 characters. Choose a longer one.')
        self.passwords.append(password)
        return [one.id for one in self.listed if one.id != current_session]

    async def audit(self, user_id: UUID, *, limit: int, before: int | None) -> Sequence[AuditEntry]:
        return [entry for entry in self.entries if before is None or entry.id < before][:limit]

    async def delete(self, user_id: UUID, *, confirmation: str, address: str = '') -> Sequence[UUID]:
        assert confirmation == EMAIL
        return [session.id for session in self.open.values() if session.user.id == user_id]


@dataclass
class Room:
    user: User
    services: Services
    accounts: Accounts
    session: Session
    cut: list[UUID]

    def texts(self, css: str) -> list[str]:
        """What the elements with a class say, in order."""
        found = [element for element in self.user._client.elements.values() if css in element.classes]
        return [getattr(element, 'text', '') for element in found]

    def element(self, **props: str) -> ui.element:
        """The element with these properties."""
        wanted = {name.replace('_', '-'): value for name, value in props.items()}
        found = [e for e in self.user._client.elements.values() if wanted.items() <= e.props.items()]
        assert len(found) == 1, (wanted, len(found))
        return found[0]

    def press(self, element: ui.element) -> None:
        """Click an element as a browser does."""
        listener = next(one for one in element._event_listeners.values() if one.type == 'click')
        element._handle_event({'listener_id': listener.id, 'args': {}})


class Cutter(SocketGuard):
    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self.cut: list[UUID] = []

    async def end_session(self, session_id: UUID) -> None:
        self.cut.append(session_id)


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    async with user_simulation() as user:
        services = Services(Settings(VARIOSYNC_PUBLIC_URL='http://test'))
        accounts = Accounts()
        services.accounts = accounts
        token, session = accounts.sign_in(EMAIL)
        mount(services)
        app.state.sockets = cutter = Cutter(services)
        user.http_client.cookies.set(COOKIE, token)
        yield Room(user, services, accounts, session, cutter.cut)


async def test_each_section_has_an_address(room: Room) -> None:
    for tab, title in (('profile', 'Profile'), ('display', 'Display'), ('keys', 'API keys'), ('account', 'Account')):
        await room.user.open(f'/settings?tab={tab}')
        assert room.user._client.title == f'{title} · VARIOSYNC'
    await room.user.open('/settings?tab=nonsense')
    assert room.user._client.title == 'Profile · VARIOSYNC'


async def test_the_name_is_kept_and_the_email_is_shown(room: Room) -> None:
    await room.user.open('/settings')
    await room.user.should_see(EMAIL)
    room.element(autocomplete='name').set_value(EVIL)
    room.user.find('Save').click()
    await room.user.should_see('Saved')
    assert next(iter(room.accounts.open.values())).user.name == EVIL
    text = (await room.user.http_client.get('/audit')).text
    assert escape(EVIL) in text
    assert EVIL not in text


async def test_a_password_is_set_and_every_other_session_cut(room: Room) -> None:
    now = datetime.now(UTC)
    other = SignedIn(id=uuid4(), user_agent='', address='', created_at=now, seen_at=now, expires_at=now, current=False)
    room.accounts.listed = [other]
    await room.user.open('/settings')
    field = room.element(autocomplete='new-password')
    field.set_value('short')
    room.user.find('Set password').click()
    await room.user.should_see('The password has fewer than 10 characters. Choose a longer one.')
    assert room.element(role='alert')
    assert room.accounts.passwords == []
    room.press(room.element(aria_label='Show password'))
    assert field.props['type'] == 'text'
    field.set_value('analytical engine')
    room.user.find('Set password').click()
    await room.user.should_see('You are signed out everywhere else.')
    assert room.accounts.passwords == ['analytical engine']
    assert room.cut == [other.id]
    assert (field.value, field.props['type']) == ('', 'password'), 'nobody reads it over a shoulder afterwards'
    assert not [e for e in room.user._client.elements.values() if e.props.get('role') == 'alert']


async def test_display_is_kept_at_once_and_the_next_page_follows(room: Room) -> None:
    await room.user.open('/settings?tab=display')
    assert {'UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata'} <= set(zones())
    zone, numbers = room.element(aria_label='Time zone'), room.element(aria_label='Numbers')
    zone.set_value('Asia/Kolkata')
    numbers.set_value('1.234,5')
    await room.user.should_see('and a number looks like 1.234.567,8.')
    room.press(next(e for e in room.user._client.elements.values() if e.props.get('data-theme-set') == 'dark'))
    await until(lambda: next(iter(room.accounts.open.values())).user.preferences.theme == 'dark')
    kept = next(iter(room.accounts.open.values())).user.preferences
    assert kept == Preferences(theme='dark', time_zone='Asia/Kolkata', number_format='1.234,5')

    room.services.datasets.add(room.session.user.id, 'Orders', 63_115_157)
    room.accounts.entries = [entry(1, at=datetime(2026, 11, 20, 20, 0, tzinfo=UTC))]
    await room.user.open('/audit')
    await room.user.should_see('21 Nov 2026, 01:30:00 IST')
    entries = (await room.user.http_client.get('/api/v1/palette')).json()
    assert entries[0]['hint'] == '63.115.157 rows'


async def test_numbers_are_offered_as_they_are_written(room: Room) -> None:
    await room.user.open('/settings?tab=display')
    offered = room.element(aria_label='Numbers').options
    assert tuple(offered) == NUMBER_FORMATS
    assert list(offered.values()) == ['1,234,567.8', '1.234.567,8', '1\u202f234\u202f567,8', '1234567.8']


async def test_a_key_is_shown_once_and_revoked_after_a_question(room: Room) -> None:
    await room.user.open('/settings?tab=keys')
    await room.user.should_see('No API keys yet')
    room.user.find(ui.input).type('Nightly import')
    room.user.find('Create key').click()
    await room.user.should_see(KEY)
    copy = room.element(aria_label='Copy key')
    assert copy.props['data-copy'] == KEY
    (made,) = room.accounts.made
    assert set(made.scopes) == {scope for scope in SCOPES if scope.endswith(':read')}
    assert made.expires_at is not None
    assert timedelta(days=89) < made.expires_at - datetime.now(UTC) <= timedelta(days=90)

    await room.user.open('/settings?tab=keys')
    await room.user.should_not_see(KEY)
    await room.user.should_see('Read only')
    room.press(room.element(aria_label='Revoke Nightly import'))
    await room.user.should_see('Programs that use it are refused at once. This cannot be undone.')
    assert room.accounts.made[0].revoked_at is None
    dialog = next(e for e in room.user._client.elements.values() if isinstance(e, ui.dialog) and e.value)
    room.press(next(e for e in dialog.descendants() if getattr(e, 'text', '') == 'Revoke'))
    await until(lambda: room.accounts.made[0].revoked_at)
    await room.user.should_see('Revoked')


async def test_scopes_are_chosen_one_by_one(room: Room) -> None:
    await room.user.open('/settings?tab=keys')
    room.user.find(ui.input).type('Writer')
    room.user.find('Choose scopes').click()
    room.user.find('datasets:write').click()
    room.user.find('hours:read').click()
    room.element(aria_label='Expires').set_value(None)
    room.user.find('Create key').click()
    await room.user.should_see(KEY)
    (made,) = room.accounts.made
    assert made.scopes == (
        'datasets:read',
        'datasets:write',
        'dashboards:read',
        'forecasts:read',
        'jobs:read',
        'notices:read',
    )
    assert made.expires_at is None


async def test_a_key_without_a_name_is_refused_in_words(room: Room) -> None:
    await room.user.open('/settings?tab=keys')
    room.user.find('Create key').click()
    await room.user.should_see('Give the key a name.')
    assert not room.accounts.made


async def test_sessions_are_told_apart_and_end_at_once(room: Room) -> None:
    now = datetime.now(UTC)
    firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0'

    def signed(session_id: UUID, user_agent: str) -> SignedIn:
        return SignedIn(
            id=session_id, user_agent=user_agent, address='203.0.113.7', created_at=now, seen_at=now, expires_at=now
        )

    others = [uuid4(), uuid4(), uuid4()]
    room.accounts.listed = [signed(room.session.id, firefox), *(signed(other, EVIL) for other in others)]
    await room.user.open('/settings?tab=sessions')
    await room.user.should_see('Firefox on Linux')
    await room.user.should_see('This one')
    first = next(
        e for e in room.user._client.elements.values() if e.props.get('aria-label', '').startswith('Sign out P')
    )
    room.press(first)
    await until(lambda: room.cut == others[:1])
    room.accounts.gone = others[1:2]
    room.user.find('Sign out all others').click()
    await room.user.should_see('2 other sessions will have to sign in again.')
    dialog = next(e for e in room.user._client.elements.values() if isinstance(e, ui.dialog) and e.value)
    room.press(next(e for e in dialog.descendants() if getattr(e, 'text', '') == 'Sign out all others'))
    await until(lambda: room.cut == [others[0], others[2]])
    assert room.accounts.ended == others, 'one that has ended meanwhile keeps no other signed in'


async def test_many_sessions_are_listed_fifty_at_a_time(room: Room) -> None:
    now = datetime.now(UTC)
    room.accounts.listed = [
        SignedIn(id=uuid4(), user_agent=f'p{at}', address='', created_at=now, seen_at=now, expires_at=now)
        for at in range(120)
    ]

    def rows() -> int:
        return sum(e.tag == 'tr' for e in room.user._client.elements.values()) - 1

    await room.user.open('/settings?tab=sessions')
    assert rows() == 50
    room.user.find('70 more').click()
    await until(lambda: rows() == 100)
    room.user.find('20 more').click()
    await until(lambda: rows() == 120)
    await room.user.should_not_see('more')


async def test_the_account_goes_only_after_its_email_was_typed(room: Room) -> None:
    room.services.datasets.add(room.session.user.id, 'Orders', 12)
    await room.user.open('/settings?tab=account')
    await room.user.should_see(
        'You lose 1 dataset, 10.0 h that you have not used, every key and every session. This cannot be undone.'
    )
    button = next(e for e in room.user._client.elements.values() if 'danger' in e.classes)
    assert button.props['disabled']
    room.user.find(ui.input).type('maria.keller@example.co')
    assert button.props['disabled']
    room.user.find(ui.input).type('m')
    assert not button.props['disabled']
    assert room.element(href='/api/v1/account/export').text == 'Download everything'
    room.press(button)
    await until(lambda: room.cut == [room.session.id])


def entry(number: int, *, at: datetime, action: str = 'sign-in', subject: str = '', **more: str) -> AuditEntry:
    told = {'address': '127.0.0.1', 'api_key': ''} | more
    return AuditEntry(id=number, action=action, subject=subject, at=at, **told)


async def test_the_audit_log_comes_a_page_at_a_time(room: Room) -> None:
    now = datetime.now(UTC)
    room.accounts.entries = [entry(number, at=now, subject=f'{EVIL} {number}') for number in range(150, 0, -1)]
    await room.user.open('/audit')
    await room.user.should_see('Sign-in')
    rows = [e for e in room.user._client.elements.values() if e.tag == 'tr']
    assert len(rows) == 1 + 100
    assert room.element(href='/api/v1/audit.csv').text == 'Save as CSV'
    drawn = list(rows)
    room.user.find('Show more').click()
    room.user.find('Show more').click()
    await until(lambda: sum(e.tag == 'tr' for e in room.user._client.elements.values()) >= 2 + 150)
    await room.user.should_see(f'{EVIL} 1')
    rows = [e for e in room.user._client.elements.values() if e.tag == 'tr']
    assert len(rows) == 2 + 150, 'a second press before the answer brings nothing twice'
    assert rows[: len(drawn)] == drawn, 'what stands there is not drawn again'
    assert EVIL not in (await room.user.http_client.get('/audit')).text


async def test_an_empty_audit_log_says_what_it_is_for(room: Room) -> None:
    await room.user.open('/audit')
    await room.user.should_see('Sign-ins, keys, settings, what becomes of datasets, which dashboards are made')


async def test_the_audit_log_says_who_acted(room: Room) -> None:
    now = datetime.now(UTC)
    room.accounts.entries = [
        entry(3, at=now, action='dataset deleted', subject='Sales'),
        entry(2, at=now, action='file added', subject='Sales: may.csv', api_key='nightly'),
        entry(1, at=now, action='dataset made', subject='Grid load: Grid load.csv', address=''),
    ]
    await room.user.open('/audit')
    await room.user.should_see('File added')
    assert [who(one) for one in room.accounts.entries] == ['You', 'API key “nightly”', 'VARIOSYNC']
    await room.user.should_see('API key “nightly”')


async def test_notices_are_filtered_and_read_one_by_one(room: Room) -> None:
    user_id = room.session.user.id
    await room.user.open('/notices')
    await room.user.should_see('No notices yet')
    await room.user.should_not_see('Mark all as read')
    await room.services.notices.add(user_id, 'Conversion done', text=EVIL, link='/datasets/1')
    await room.services.notices.add(user_id, 'Forecast failed', level='bad')
    await until(lambda: len(page_notices(room)) == 2)
    room.press(room.element(aria_label='Mark as read: Conversion done'))
    await until(lambda: len([e for e in page_notices(room) if 'new' in e.classes]) == 1)
    await room.user.open('/notices?show=unread')
    await until(lambda: len(page_notices(room)) == 1)
    await room.user.should_see('Forecast failed')
    room.press(next(e for e in room.user._client.elements.values() if getattr(e, 'text', '') == 'Mark all as read'))
    await room.user.should_see('All read')
    assert await room.services.notices.unread(user_id) == 0


def page_notices(room: Room) -> list[ui.element]:
    """The notices of the page itself, not those of the bell's panel."""
    found = [e for e in room.user._client.elements.values() if 'notice' in e.classes]
    return [e for e in found if e.parent_slot is not None and 'card' in e.parent_slot.parent.classes]


def test_access_is_said_in_words() -> None:
    assert access_of(SCOPES) == 'Read and write'
    assert access_of([scope for scope in SCOPES if scope.endswith(':read')]) == 'Read only'
    assert access_of(['jobs:read', 'datasets:write']) == 'datasets:write, jobs:read'


@pytest.mark.parametrize(
    ('user_agent', 'words'),
    [
        ('Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0', 'Firefox on Linux'),
        ('Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/142.0 Safari/537.36 Edg/142.0', 'Edge on Windows'),
        ('Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605 Version/18 Safari/605', 'Safari on macOS'),
        ('Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18 Safari/604', 'Safari on iPhone'),
        ('Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/142.0 Mobile Safari/537', 'Chrome on Android'),
        ('curl/8.14.1', 'Program curl'),
        ('python-httpx/0.28.1', 'Program python-httpx'),
        ('Mozilla/5.0 (Windows)', 'Browser on Windows'),
        ('', 'Unknown browser'),
    ],
)
def test_a_browser_is_told_in_words(user_agent: str, words: str) -> None:
    assert agent(user_agent) == words
