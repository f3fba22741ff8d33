"""Accounts over a real database: who may come in, how often, and for how long."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from core import accounts as module
from core.accounts import (
    ATTEMPTS_PER_ACCOUNT,
    ATTEMPTS_PER_ADDRESS,
    MAILS_PER_ACCOUNT,
    MOST_KEYS,
    NEVER,
    NUMBER_FORMATS,
    RECLAIMED,
    SCOPES,
    THEMES,
)
from core.errors import Conflict, NotFound, NotSignedIn, TooMany, Unavailable, UsageError
from core.values import Begun, Entered, JobState, Preferences, Session, Tokens
from storage.embedded.identity import EmbeddedIdentity
from storage.embedded.server import EmbeddedPostgres
from storage.mail import read_outbox
from storage.postgres import PostgresTransaction
from tests.fakes.outbox import link_to
from tests.flows.conftest import Product

EMAIL = 'ada@example.com'
PASSWORD = 'analytical engine'
HOME = '192.0.2.1'
ELSEWHERE = '192.0.2.2'


def audited(postgres: EmbeddedPostgres) -> list[str]:
    return [action for action, *_ in rows(postgres, 'select action from public.audit_logs order by id')]


def rows(postgres: EmbeddedPostgres, query: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
    """What the superuser gets for a query; a change is kept."""
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        cursor = connection.execute(query, values)
        return cursor.fetchall() if cursor.description else []


async def enter(product: Product, email: str = EMAIL) -> tuple[str, Session]:
    """A new account and its first session."""
    return await product.accounts.sign_up(email, PASSWORD, address=HOME)


async def test_sign_up_signs_in_and_is_written_to_the_log(product: Product, postgres: EmbeddedPostgres) -> None:
    token, session = await product.accounts.sign_up(' Ada@Example.com', PASSWORD, address=HOME)
    assert (session.user.email, session.user.owner) == (EMAIL, False)
    assert await product.accounts.session(token) == session
    assert audited(postgres) == ['sign-up', 'sign-in']


async def test_taken_email_and_weak_password_are_refused(product: Product) -> None:
    await product.accounts.sign_up(EMAIL, PASSWORD, address=HOME)
    with pytest.raises(Conflict, match='Sign in instead'):
        await product.accounts.sign_up(EMAIL.upper(), PASSWORD, address=HOME)
    with pytest.raises(UsageError, match='password'):
        await product.accounts.sign_up('eve@example.com', 'short', address=HOME)


async def test_each_sign_in_opens_a_session_of_its_own(product: Product) -> None:
    first_token, first = await product.accounts.sign_up(EMAIL, PASSWORD, address=HOME)
    second_token, second = await product.accounts.sign_in(EMAIL, PASSWORD, address=HOME)
    assert first.user == second.user
    assert first.id != second.id
    assert first_token != second_token
    assert await product.accounts.session(first_token) == first


async def test_sign_out_ends_this_session_and_no_other(product: Product) -> None:
    token, _ = await product.accounts.sign_up(EMAIL, PASSWORD, address=HOME)
    other_token, other = await product.accounts.sign_in(EMAIL, PASSWORD, address=ELSEWHERE)
    await product.accounts.sign_out(token)
    await product.accounts.sign_out(token)
    assert await product.accounts.session(token) is None
    assert await product.accounts.session(other_token) == other


async def test_session_survives_a_restart(product: Product, open_product: Callable[..., Product]) -> None:
    token, session = await product.accounts.sign_up(EMAIL, PASSWORD, address=HOME)
    restarted = open_product()
    assert await restarted.accounts.session(token) == session
    assert (await restarted.accounts.sign_in(EMAIL, PASSWORD, address=HOME))[1].user == session.user


async def test_expired_session_is_none(product: Product, postgres: EmbeddedPostgres) -> None:
    token, _ = await product.accounts.sign_up(EMAIL, PASSWORD, address=HOME)
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        connection.execute("update public.sessions set expires_at = now() - interval '1 second'")
    assert await product.accounts.session(token) is None


async def test_what_opens_nothing_any_more_is_removed(product: Product, postgres: EmbeddedPostgres) -> None:
    await product.accounts.sign_up(EMAIL, PASSWORD, address=HOME)
    await product.accounts.redeem(await product.accounts.owner_link('owner@example.com'), address=HOME)
    await product.accounts.owner_link('owner@example.com')
    past = "expires_at = now() - interval '1 second'"
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        connection.execute(f'update public.sessions set {past}')
        connection.execute(f'update public.sign_in_links set {past} where used_at is null')
    token, session = await product.accounts.sign_in(EMAIL, PASSWORD, address=HOME)
    link = await product.accounts.owner_link('owner@example.com')
    await product.accounts.sweep()
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        assert connection.execute('select id from public.sessions').fetchall() == [(session.id,)]
        assert connection.execute('select count(*) from public.sign_in_links').fetchone() == (1,)
    assert await product.accounts.session(token) == session
    await product.accounts.redeem(link, address=HOME)


@pytest.mark.parametrize('token', ['', 'x', 'x' * 43, 'x' * 5000, 'ü' * 43, "' or true --" * 3])
async def test_token_that_nobody_was_given_is_no_session(product: Product, token: str) -> None:
    await product.accounts.sign_up(EMAIL, PASSWORD, address=HOME)
    assert await product.accounts.session(token) is None


async def test_database_holds_no_token_and_no_password(product: Product, postgres: EmbeddedPostgres) -> None:
    token, _ = await product.accounts.sign_up(EMAIL, PASSWORD, address=HOME)
    link = await product.accounts.owner_link('owner@example.com')
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        tables = connection.execute(
            "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('public', 'auth')"
        ).fetchall()
        held = ' '.join(str(connection.execute(f'select t::text from {name} t').fetchall()) for (name,) in tables)
    assert EMAIL in held
    for secret in (token, link, PASSWORD):
        assert secret not in held
        assert secret.encode().hex() not in held


async def test_unknown_email_and_wrong_password_answer_alike(product: Product) -> None:
    await product.accounts.sign_up(EMAIL, PASSWORD, address=HOME)
    said = []
    for email, password in ((EMAIL, 'wrong password'), ('nobody@example.com', PASSWORD)):
        with pytest.raises(NotSignedIn) as caught:
            await product.accounts.sign_in(email, password, address=HOME)
        said.append((type(caught.value), caught.value.message, caught.value.details))
    assert said[0] == said[1]


async def test_attempts_are_limited_per_account_wherever_they_come_from(product: Product) -> None:
    await product.accounts.sign_up(EMAIL, PASSWORD, address=HOME)
    for number in range(ATTEMPTS_PER_ACCOUNT - 1):
        with pytest.raises(NotSignedIn):
            await product.accounts.sign_in(EMAIL.upper(), 'wrong password', address=f'198.51.100.{number}')
    with pytest.raises(TooMany, match='Wait 15 min') as caught:
        await product.accounts.sign_in(EMAIL, PASSWORD, address='203.0.113.1')
    assert caught.value.details['retry_after'] == 900
    await product.accounts.sign_up('eve@example.com', PASSWORD, address=HOME)


async def test_attempts_are_limited_per_address_whatever_the_account(product: Product) -> None:
    for number in range(ATTEMPTS_PER_ADDRESS):
        with pytest.raises(NotSignedIn):
            await product.accounts.sign_in(f'{number}@example.com', PASSWORD, address=HOME)
    with pytest.raises(TooMany):
        await product.accounts.sign_in('another@example.com', PASSWORD, address=HOME)
    with pytest.raises(NotSignedIn):
        await product.accounts.sign_in('another@example.com', PASSWORD, address=ELSEWHERE)


async def test_sign_ups_and_links_are_limited_per_address(product: Product) -> None:
    for number in range(ATTEMPTS_PER_ADDRESS):
        with pytest.raises(UsageError):
            await product.accounts.sign_up(f'{number}@example.com', 'short', address=HOME)
        with pytest.raises(NotSignedIn):
            await product.accounts.redeem('guess', address=HOME)
    with pytest.raises(TooMany):
        await product.accounts.sign_up(EMAIL, PASSWORD, address=HOME)
    with pytest.raises(TooMany):
        await product.accounts.redeem('guess', address=HOME)


async def test_owner_link_signs_in_once(product: Product, postgres: EmbeddedPostgres) -> None:
    link = await product.accounts.owner_link('owner@example.com')
    token, session = await product.accounts.redeem(link, address=HOME)
    assert session.user.owner
    assert await product.accounts.session(token) == session
    with pytest.raises(NotSignedIn, match='used already'):
        await product.accounts.redeem(link, address=HOME)
    assert audited(postgres) == ['sign-in by link']


async def test_owner_stays_the_same_over_restarts(product: Product, open_product: Callable[..., Product]) -> None:
    links = [await each.accounts.owner_link('Owner@example.com') for each in (product, open_product())]
    users = [(await product.accounts.redeem(link, address=HOME))[1].user for link in links]
    assert users[0] == users[1]


async def test_old_link_and_wrong_link_are_refused(product: Product, postgres: EmbeddedPostgres) -> None:
    link = await product.accounts.owner_link('owner@example.com')
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        connection.execute("update public.sign_in_links set expires_at = now() - interval '1 second'")
    for given in (link, link[:-1], ''):
        with pytest.raises(NotSignedIn, match='too old'):
            await product.accounts.redeem(given, address=HOME)


async def test_owners_account_cannot_be_taken_by_sign_up(product: Product) -> None:
    await product.accounts.owner_link('owner@example.com')
    with pytest.raises(Conflict):
        await product.accounts.sign_up('owner@example.com', PASSWORD, address=HOME)
    with pytest.raises(NotSignedIn):
        await product.accounts.sign_in('owner@example.com', '', address=HOME)


# hours of a new account


async def test_new_account_is_given_its_trial_hours_once(product: Product) -> None:
    _, session = await enter(product)
    await product.accounts.sign_in(EMAIL, PASSWORD, address=HOME)
    assert (await product.hours.balance(session.user.id)).seconds == 2 * 3600


async def test_owner_is_given_the_owners_hours_once_over_restarts(
    product: Product, open_product: Callable[..., Product]
) -> None:
    links = [await each.accounts.owner_link('owner@example.com') for each in (product, open_product())]
    _, session = await product.accounts.redeem(links[0], address=HOME)
    assert (await product.hours.balance(session.user.id)).seconds == 1000 * 3600


# sessions


async def test_sessions_are_listed_with_the_one_that_asks(product: Product) -> None:
    _, first = await enter(product)
    _, second = await product.accounts.sign_in(EMAIL, PASSWORD, address=ELSEWHERE, user_agent='Firefox')
    await enter(product, 'eve@example.com')
    listed = await product.accounts.sessions(first.user.id, current=second.id)
    assert [(one.id, one.address, one.user_agent, one.current) for one in listed] == [
        (second.id, ELSEWHERE, 'Firefox', True),
        (first.id, HOME, '', False),
    ]


async def test_revoked_session_ends_at_once_and_is_its_users_alone(
    product: Product, postgres: EmbeddedPostgres
) -> None:
    token, session = await enter(product)
    _, eve = await enter(product, 'eve@example.com')
    with pytest.raises(NotFound):
        await product.accounts.revoke_session(eve.user.id, session.id)
    assert await product.accounts.session(token) == session
    assert await product.accounts.revoke_session(session.user.id, session.id) == session.id
    assert await product.accounts.session(token) is None
    with pytest.raises(NotFound, match='ended already'):
        await product.accounts.revoke_session(session.user.id, session.id)
    assert audited(postgres)[-1] == 'session revoked'


async def test_use_of_a_session_is_noted_once_a_minute(product: Product, postgres: EmbeddedPostgres) -> None:
    token, session = await enter(product)

    async def seen() -> datetime:
        assert await product.accounts.session(token) == session
        return (await product.accounts.sessions(session.user.id))[0].seen_at

    just_now = await seen()
    assert await seen() == just_now
    rows(postgres, "update public.sessions set seen_at = seen_at - interval '61 seconds'")
    assert await seen() >= just_now


async def test_refresh_gives_another_token_and_ends_the_old_one(product: Product, postgres: EmbeddedPostgres) -> None:
    token, session = await enter(product)
    rows(postgres, "update public.sessions set expires_at = now() + interval '1 minute'")
    fresh, again = await product.accounts.refresh(token, address=ELSEWHERE)
    assert fresh != token
    assert (again.id, again.user) == (session.id, session.user)
    assert again.expires_at > datetime.now(UTC) + timedelta(days=29)
    assert await product.accounts.session(token) is None
    assert await product.accounts.session(fresh) == again
    with pytest.raises(NotSignedIn):
        await product.accounts.refresh(token)


async def test_one_of_many_refreshes_at_the_same_time_wins(product: Product) -> None:
    token, _ = await enter(product)
    answers = await asyncio.gather(*(product.accounts.refresh(token) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(answer, tuple) for answer in answers) == 1
    assert sum(isinstance(answer, NotSignedIn) for answer in answers) == 4


async def test_expired_session_is_not_refreshed(product: Product, postgres: EmbeddedPostgres) -> None:
    token, _ = await enter(product)
    rows(postgres, "update public.sessions set expires_at = now() - interval '1 second'")
    with pytest.raises(NotSignedIn):
        await product.accounts.refresh(token)


# API keys


async def test_key_opens_what_its_scopes_say_and_knows_its_user(product: Product) -> None:
    _, session = await enter(product)
    key, kept = await product.accounts.create_key(
        session.user.id, name=' Nightly run ', scopes=['jobs:read', 'datasets:read', 'jobs:read']
    )
    assert module.KEY.fullmatch(key)
    assert (kept.name, kept.prefix, kept.scopes) == ('Nightly run', key[:10], ('datasets:read', 'jobs:read'))
    assert (kept.expires_at, kept.last_used_at, kept.revoked_at) == (None, None, None)
    who = await product.accounts.principal(key)
    assert who is not None
    assert (who.id, who.user, who.scopes) == (kept.id, session.user, {'datasets:read', 'jobs:read'})
    assert who.expires_at == NEVER


async def test_session_token_is_a_principal_without_scopes(product: Product) -> None:
    token, session = await enter(product)
    assert await product.accounts.principal(token) == session
    assert session.scopes is None


async def test_key_is_no_session(product: Product) -> None:
    _, session = await enter(product)
    key, _ = await product.accounts.create_key(session.user.id, name='a', scopes=SCOPES)
    assert await product.accounts.session(key) is None
    with pytest.raises(NotSignedIn):
        await product.accounts.refresh(key)
    await product.accounts.sign_out(key)
    assert await product.accounts.principal(key) is not None


@pytest.mark.parametrize(
    'token', ['', 'vsk_', 'vsk_' + 'x' * 43, 'vsk_' + 'x' * 5000, 'vsk_' + 'ü' * 43, '\ud800' * 47]
)
async def test_key_that_nobody_was_given_opens_nothing(product: Product, token: str) -> None:
    _, session = await enter(product)
    await product.accounts.create_key(session.user.id, name='a', scopes=SCOPES)
    assert await product.accounts.principal(token) is None


async def test_expired_and_revoked_keys_open_nothing(product: Product, postgres: EmbeddedPostgres) -> None:
    _, session = await enter(product)
    soon = datetime.now(UTC) + timedelta(hours=1)
    expiring, _ = await product.accounts.create_key(session.user.id, name='a', scopes=SCOPES, expires_at=soon)
    revoked, kept = await product.accounts.create_key(session.user.id, name='b', scopes=SCOPES)
    who = await product.accounts.principal(expiring)
    assert who is not None
    assert who.expires_at == soon
    rows(postgres, "update public.api_keys set expires_at = now() - interval '1 second' where name = 'a'")
    await product.accounts.revoke_key(session.user.id, kept.id)
    await product.accounts.revoke_key(session.user.id, kept.id)
    assert await product.accounts.principal(expiring) is None
    assert await product.accounts.principal(revoked) is None
    listed = await product.accounts.keys(session.user.id)
    assert [(one.name, one.revoked_at is None) for one in listed] == [('a', True), ('b', False)]
    assert audited(postgres)[-3:] == ['API key made', 'API key made', 'API key revoked'], 'and revoked once'


async def test_keys_are_their_users_alone(product: Product) -> None:
    _, ada = await enter(product)
    _, eve = await enter(product, 'eve@example.com')
    key, kept = await product.accounts.create_key(ada.user.id, name='a', scopes=['jobs:read'])
    assert await product.accounts.keys(eve.user.id) == []
    with pytest.raises(NotFound):
        await product.accounts.revoke_key(eve.user.id, kept.id)
    with pytest.raises(NotFound):
        await product.accounts.revoke_key(ada.user.id, uuid4())
    assert (await product.accounts.principal(key)) is not None


async def test_use_of_a_key_is_noted_once_a_minute(product: Product, postgres: EmbeddedPostgres) -> None:
    _, session = await enter(product)
    key, _ = await product.accounts.create_key(session.user.id, name='a', scopes=['jobs:read'])

    async def used() -> datetime | None:
        await product.accounts.principal(key)
        return (await product.accounts.keys(session.user.id))[0].last_used_at

    just_now = await used()
    assert just_now is not None
    assert await used() == just_now
    rows(postgres, "update public.api_keys set last_used_at = last_used_at - interval '61 seconds'")
    again = await used()
    assert again is not None
    assert again >= just_now


@pytest.mark.parametrize(
    ('wrong', 'why'),
    [
        ({'name': ''}, 'name'),
        ({'name': ' \t'}, 'name'),
        ({'name': 'x' * 101}, '100'),
        ({'name': 'a\nb'}, 'one line'),
        ({'name': 'a\x00b'}, 'one line'),
        ({'name': '\ud800'}, 'one line'),
        ({'scopes': []}, 'needs a scope'),
        ({'scopes': ['jobs:read', 'jobs:everything']}, '"jobs:everything" is no scope'),
        ({'scopes': ['']}, 'no scope'),
        ({'expires_at': datetime(2020, 1, 1, tzinfo=UTC)}, 'passed already'),
        ({'expires_at': datetime(2999, 1, 1)}, 'time zone'),
    ],
    ids=str,
)
async def test_unusable_key_is_refused(product: Product, wrong: dict[str, Any], why: str) -> None:
    _, session = await enter(product)
    with pytest.raises(UsageError, match=why):
        await product.accounts.create_key(session.user.id, **{'name': 'a', 'scopes': ['jobs:read']} | wrong)
    assert await product.accounts.keys(session.user.id) == []


async def test_number_of_live_keys_is_limited_also_at_the_same_time(product: Product) -> None:
    _, session = await enter(product)

    async def make() -> UUID:
        return (await product.accounts.create_key(session.user.id, name='a', scopes=['jobs:read']))[1].id

    made = await asyncio.gather(*(make() for _ in range(MOST_KEYS + 5)), return_exceptions=True)
    ids = [one for one in made if isinstance(one, UUID)]
    assert len(ids) == MOST_KEYS
    assert all(isinstance(one, Conflict) for one in made if not isinstance(one, UUID))
    await product.accounts.revoke_key(session.user.id, ids[0])
    assert await make()
    with pytest.raises(Conflict, match='Revoke one'):
        await make()


async def test_database_holds_no_key(product: Product, postgres: EmbeddedPostgres) -> None:
    _, session = await enter(product)
    key, _ = await product.accounts.create_key(session.user.id, name='a', scopes=['jobs:read'])
    held = str(
        rows(postgres, 'select k::text from public.api_keys k')
        + rows(postgres, 'select a::text from public.audit_logs a')
    )
    assert key[:10] in held
    assert key not in held
    assert key[10:] not in held


async def test_scopes_of_the_code_and_of_the_database_are_the_same(
    product: Product, postgres: EmbeddedPostgres
) -> None:
    _, session = await enter(product)
    await product.accounts.create_key(session.user.id, name='a', scopes=SCOPES)
    with pytest.raises(errors.CheckViolation):
        rows(postgres, "update public.api_keys set scopes = scopes || array['jobs:everything']")
    with pytest.raises(errors.CheckViolation):
        rows(postgres, "update public.api_keys set scopes = '{}'")


async def test_who_asks_is_found_by_one_statement(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    token, session = await enter(product)
    key, _ = await product.accounts.create_key(session.user.id, name='a', scopes=['jobs:read'])
    await product.accounts.principal(key)
    asked: list[str] = []
    execute = PostgresTransaction._execute

    async def noted(self: PostgresTransaction, name: str, values: Any) -> Any:
        asked.append(name)
        return await execute(self, name, values)

    monkeypatch.setattr(PostgresTransaction, '_execute', noted)
    for ask in (product.accounts.session(token), product.accounts.principal(token), product.accounts.principal(key)):
        assert await ask is not None
    assert asked == ['session_by_token', 'session_by_token', 'api_key_by_hash']


# profile and preferences


async def test_preferences_come_with_the_session(product: Product) -> None:
    token, session = await enter(product)
    key, _ = await product.accounts.create_key(session.user.id, name='a', scopes=['jobs:read'])
    user_id = session.user.id
    assert await product.accounts.preferences(user_id) == session.user.preferences == Preferences()
    assert await product.accounts.set_preferences(user_id, theme='dark') == Preferences(theme='dark')
    wanted = Preferences(theme='dark', time_zone='America/Argentina/Buenos_Aires', number_format='1 234,5')
    changes = {'time_zone': wanted.time_zone, 'number_format': wanted.number_format}
    assert await product.accounts.set_preferences(user_id, **changes) == wanted
    assert await product.accounts.preferences(user_id) == wanted
    for asked in (await product.accounts.session(token), await product.accounts.principal(key)):
        assert asked is not None
        assert asked.user.preferences == wanted
    assert (await product.accounts.sign_in(EMAIL, PASSWORD, address=HOME))[1].user.preferences == wanted
    assert (await product.accounts.refresh(token))[1].user.preferences == wanted


@pytest.mark.parametrize(('name', 'values'), [('theme', THEMES), ('number_format', NUMBER_FORMATS)])
async def test_every_choice_can_be_kept(product: Product, name: str, values: tuple[str, ...]) -> None:
    _, session = await enter(product)
    for value in values:
        await product.accounts.set_preferences(session.user.id, **{name: value})
        assert getattr(await product.accounts.preferences(session.user.id), name) == value


@pytest.mark.parametrize(
    'wrong',
    [
        {'theme': 'pink'},
        {'theme': ''},
        {'number_format': '1.234.5'},
        *(
            {'time_zone': zone}
            for zone in ('', 'Europe', 'Europe/Atlantis', '/etc/passwd', '../UTC', 'localtime', 'a\x00')
        ),
        *({'time_zone': zone} for zone in ('posix/UTC', 'Factory', 'x' * 5000, 'Zürich', '\ud800', ' UTC', 'UTC\n')),
    ],
    ids=str,
)
async def test_preference_that_does_not_exist_is_refused(product: Product, wrong: dict[str, str]) -> None:
    _, session = await enter(product)
    with pytest.raises(UsageError, match='is no'):
        await product.accounts.set_preferences(session.user.id, **wrong)
    assert await product.accounts.preferences(session.user.id) == Preferences()


async def test_name_is_changed_and_cleared(product: Product) -> None:
    token, session = await enter(product)
    for name, kept in ((' Ada Lovelace ', 'Ada Lovelace'), ('x' * 200, 'x' * 200), ('', '')):
        await product.accounts.rename(session.user.id, name)
        asked = await product.accounts.session(token)
        assert asked is not None
        assert asked.user.name == kept
    with pytest.raises(UsageError, match='200'):
        await product.accounts.rename(session.user.id, 'x' * 201)


# audit log


async def test_audit_log_tells_who_did_what_and_when(product: Product) -> None:
    token, session = await enter(product)
    user_id = session.user.id
    _, other = await product.accounts.sign_in(EMAIL, PASSWORD, address=ELSEWHERE, user_agent='Firefox')
    _, kept = await product.accounts.create_key(user_id, name='Nightly run', scopes=['jobs:read'], address=HOME)
    await product.accounts.revoke_key(user_id, kept.id)
    await product.accounts.set_preferences(user_id, theme='dark', number_format='1234.5')
    await product.accounts.set_preferences(user_id, theme='dark')
    await product.accounts.rename(user_id, 'Ada')
    await product.accounts.rename(user_id, 'Ada')
    await product.accounts.revoke_session(user_id, other.id)
    await product.accounts.record(user_id, 'data exported', 'all', HOME)
    await product.accounts.sign_out(token, address=HOME)
    await enter(product, 'eve@example.com')
    entries = await product.accounts.audit(user_id)
    assert [(entry.action, entry.subject, entry.address) for entry in reversed(entries)] == [
        ('sign-up', '', HOME),
        ('sign-in', '', HOME),
        ('sign-in', '', ELSEWHERE),
        ('API key made', 'Nightly run', HOME),
        ('API key revoked', 'Nightly run', ''),
        ('settings changed', 'theme, number format', ''),
        ('settings changed', 'name', ''),
        ('session revoked', 'Firefox', ''),
        ('data exported', 'all', HOME),
        ('sign-out', '', HOME),
    ]
    assert await product.accounts.audit(user_id, limit=3) == entries[:3]
    assert await product.accounts.audit(user_id, limit=3, before=entries[2].id) == entries[3:6]


@pytest.mark.parametrize(
    'change',
    [
        "update public.audit_logs set action = 'nothing'",
        'update public.audit_logs set user_id = null',
        'update public.audit_logs set user_id = user_id',
        'delete from public.audit_logs',
        'truncate public.audit_logs',
    ],
)
async def test_audit_log_is_only_added_to_even_by_a_superuser(
    product: Product, postgres: EmbeddedPostgres, change: LiteralString
) -> None:
    await enter(product)
    with pytest.raises(errors.InsufficientPrivilege, match='never changed'):
        rows(postgres, change)
    rows(postgres, 'delete from public.audit_logs where false')
    assert audited(postgres) == ['sign-up', 'sign-in']


# the end of an account


async def test_deleted_account_is_gone_with_all_it_had(product: Product, postgres: EmbeddedPostgres) -> None:
    token, session = await enter(product)
    user_id = session.user.id
    other_token, other = await product.accounts.sign_in(EMAIL, PASSWORD, address=ELSEWHERE)
    key, _ = await product.accounts.create_key(user_id, name='a', scopes=SCOPES)
    upload = await product.send(session.user, 'a.csv', b'time,y\n2024-01-01,1\n')
    assert await product.objects.list(f't/{user_id}/')
    arriving = await product.uploads.begin_upload(user_id, name='b.csv', size=100)
    await product.dashboards.create(user_id, 'Ada')
    eve_token, eve = await enter(product, 'eve@example.com')
    board = await product.dashboards.create(eve.user.id, 'Eve')
    eves = await product.send(eve.user, 'a.csv', b'time,y\n2024-01-01,1\n')
    ended = await product.accounts.delete(user_id, confirmation=' ADA@example.com ', address=HOME)
    assert set(ended) == {session.id, other.id}
    for secret in (token, other_token, key):
        assert await product.accounts.principal(secret) is None
    with pytest.raises(NotSignedIn):
        await product.accounts.sign_in(EMAIL, PASSWORD, address=HOME)
    assert await product.objects.list(f't/{user_id}/') == []
    with pytest.raises(NotFound):
        await product.uploads.upload(user_id, upload.id)
    with pytest.raises(NotFound):
        await product.staging.offset(arriving.id)
    with pytest.raises(NotFound):
        await product.accounts.delete(user_id, confirmation=EMAIL)
    assert rows(postgres, 'select id from public.dashboards') == [(board.id,)]
    assert rows(postgres, 'select dashboard_id from public.dashboard_revisions') == [(board.id,)]
    left = rows(postgres, 'select user_id, action, subject, address from public.audit_logs order by id')
    assert {row[0] for row in left} == {None, eve.user.id}
    assert [row[2] for row in left if row[1] == 'dataset made'] == ['', 'a: a.csv'], 'names go with the account'
    assert left[-1] == (None, 'account deleted', str(user_id), HOME)
    assert await product.accounts.session(eve_token) == eve
    assert (await product.uploads.upload(eve.user.id, eves.id)).state == 'accepted'
    assert len(await product.objects.list(f't/{eve.user.id}/')) == 1
    assert (await enter(product))[1].user.id != user_id, 'the email is free again'


async def test_account_ends_once_however_often_it_is_asked(product: Product, postgres: EmbeddedPostgres) -> None:
    _, session = await enter(product)
    ends = [product.accounts.delete(session.user.id, confirmation=EMAIL) for _ in range(4)]
    answers = await asyncio.gather(*ends, return_exceptions=True)
    assert [answer for answer in answers if not isinstance(answer, list | NotFound)] == []
    assert [session.id] in answers
    assert audited(postgres).count('account deleted') == 1
    assert rows(postgres, 'select count(*) from auth.users') == [(0,)]


@pytest.mark.parametrize('confirmation', ['', 'eve@example.com', 'ada@example.co', 'ada@example.com.', '\ud800'])
async def test_wrong_confirmation_deletes_nothing(product: Product, confirmation: str) -> None:
    token, session = await enter(product)
    await product.send(session.user, 'a.csv', b'time,y\n2024-01-01,1\n')
    with pytest.raises(UsageError, match='not the email'):
        await product.accounts.delete(session.user.id, confirmation=confirmation)
    assert await product.accounts.session(token) == session
    assert [job.state for job in await product.jobs.list(session.user.id)] == [JobState.QUEUED]


async def test_account_is_removed_while_another_page_beats(product: Product, postgres: EmbeddedPostgres) -> None:
    _, session = await enter(product)
    user_id = session.user.id
    await product.hours.beat(user_id)
    waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    async with await psycopg.AsyncConnection.connect(postgres.dsn('superuser')) as page:
        await page.execute('select 1 from public.usage_sessions where user_id = %s for update', (user_id,))
        removing = asyncio.create_task(product.accounts.delete(user_id, confirmation=EMAIL))
        while not rows(postgres, waiting):
            await asyncio.sleep(0.01)
        await page.execute("select hours.beat(%s, 0, clock_timestamp() + interval '30 s')", (user_id,))
    assert await removing == [session.id]
    assert rows(postgres, 'select 1 from public.profiles') == []


async def test_data_go_first_so_that_an_interrupted_end_leaves_none(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, session = await enter(product)
    await product.send(session.user, 'a.csv', b'time,y\n2024-01-01,1\n')

    async def away(self: EmbeddedIdentity, user_id: UUID) -> None:
        raise Unavailable('The sign-in service does not answer.')

    with monkeypatch.context() as patched:
        patched.setattr(EmbeddedIdentity, 'delete', away)
        with pytest.raises(Unavailable):
            await product.accounts.delete(session.user.id, confirmation=EMAIL)
    assert await product.objects.list(f't/{session.user.id}/') == []


async def test_running_job_is_stopped_before_its_objects_are_removed(
    product: Product, postgres: EmbeddedPostgres
) -> None:
    _, session = await enter(product)
    await product.send(session.user, 'a.csv', b'time,y\n2024-01-01,1\n')
    rows(postgres, "update public.jobs set state = 'running', attempt = 1, started_at = now()")
    stopped = asyncio.Event()

    async def work() -> None:
        """What a worker does: look now and then whether it should stop, and write until then."""
        while not rows(postgres, 'select 1 from public.jobs where cancel_requested'):
            await asyncio.sleep(0.01)
        await product.objects.put(f't/{session.user.id}/convert/late', b'x')
        rows(postgres, "update public.jobs set state = 'cancelled', finished_at = now()")
        stopped.set()

    worker = asyncio.create_task(work())
    await product.accounts.delete(session.user.id, confirmation=EMAIL)
    await worker
    assert stopped.is_set()
    assert await product.objects.list(f't/{session.user.id}/') == []


async def test_job_of_a_dead_worker_does_not_hold_up_the_end(
    product: Product, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'PATIENCE', 0.2)
    _, session = await enter(product)
    await product.send(session.user, 'a.csv', b'time,y\n2024-01-01,1\n')
    rows(postgres, "update public.jobs set state = 'running', attempt = 1, started_at = now()")
    await product.accounts.delete(session.user.id, confirmation=EMAIL)
    assert rows(postgres, 'select count(*) from public.jobs') == [(0,)]


# signing in by a provider or a mailed link

BACK = 'http://127.0.0.1:8080/auth/callback'


class Vouching:
    """An identity whose provider vouches for whom a test says, beside a real one."""

    providers = ('google',)

    def __init__(self, user_id: UUID) -> None:
        self.tokens = Tokens(access_token='', refresh_token='', expires_in=1, user_id=user_id, email=EMAIL)
        self.finished: list[tuple[str, dict[str, str], str]] = []

    async def begin(self, provider: str, *, redirect_to: str, state: str) -> Begun:
        return Begun(url=f'https://provider.example/?{urlencode({"back": redirect_to, "state": state})}', secret='s')

    async def set_password(self, user_id: UUID, password: str | None) -> None:
        assert password is None

    async def finish(self, provider: str, answer: dict[str, str], *, secret: str, redirect_to: str) -> Tokens:
        self.finished.append((provider, answer, secret))
        return self.tokens


@pytest.fixture
def vouching(product: Product, monkeypatch: pytest.MonkeyPatch) -> Vouching:
    identity = Vouching(uuid4())
    monkeypatch.setattr(product.accounts, '_identity', identity)
    return identity


def state_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)['state'][0]


async def begin(product: Product, **options: Any) -> tuple[str, str]:
    """Begin a sign-in by the provider: its state, and the browser's token."""
    options = {'target': '/jobs', 'redirect_to': BACK, 'address': HOME} | options
    url, browser = await product.accounts.begin('google', **options)
    return state_of(url), browser


async def finish(product: Product, state: str, browser: str, **answer: str) -> Entered:
    return await product.accounts.finish(state, answer, browser=browser, redirect_to=BACK, address=HOME)


async def ask_for_link(product: Product, email: str = EMAIL, **options: Any) -> tuple[str, str, str]:
    """Ask for a link: the state and the code in the mail, and the browser's token."""
    options = {'target': '/', 'redirect_to': BACK, 'address': HOME} | options
    browser = await product.accounts.send_link(email, **options)
    query = parse_qs(urlsplit(link_to(email.strip().lower(), read_outbox(product.settings))).query)
    return query['state'][0], query['code'][0], browser


async def test_who_comes_by_a_provider_is_signed_in_and_goes_on(
    product: Product, vouching: Vouching, postgres: EmbeddedPostgres
) -> None:
    assert product.accounts.providers == ('google',)
    state, browser = await begin(product)
    entered = await finish(product, state, browser, code='c')
    assert vouching.finished == [('google', {'code': 'c'}, 's')]
    assert (entered.session.user.email, entered.target, entered.ended) == (EMAIL, '/jobs', ())
    assert await product.accounts.session(entered.token) == entered.session
    assert entered.token not in repr(entered)
    assert audited(postgres) == ['sign-in by google']
    assert (await product.hours.balance(vouching.tokens.user_id)).seconds == 7200, 'the trial, as for whoever signs up'


async def test_a_sign_in_that_began_survives_a_restart(
    product: Product, open_product: Callable[..., Product], postgres: EmbeddedPostgres
) -> None:
    state, code, browser = await ask_for_link(product, ' Ada@Example.com')
    entered = await finish(open_product(), state, browser, code=code)
    assert entered.session.user.email == EMAIL
    assert audited(postgres) == ['sign-in by mailed link']
    [(stored,)] = rows(postgres, 'select f::text from sign_in.flows f')
    assert not {part for part in (state, browser, code) if part in stored}


async def test_a_sign_in_is_finished_once(product: Product, vouching: Vouching) -> None:
    state, browser = await begin(product)
    tries = await asyncio.gather(*(finish(product, state, browser) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(one, Entered) for one in tries) == 1
    assert {str(one) for one in tries if not isinstance(one, Entered)} == {
        'This sign-in was finished already. Start again.'
    }


async def test_another_browser_cannot_finish_a_sign_in_and_does_not_spoil_it(
    product: Product, vouching: Vouching
) -> None:
    state, browser = await begin(product)
    for other in ('', 'x' * 43, (await begin(product))[1]):
        with pytest.raises(NotSignedIn, match='another browser'):
            await finish(product, state, other)
    assert not vouching.finished
    assert await finish(product, state, browser)


async def test_a_browser_may_have_several_sign_ins_under_way(product: Product, vouching: Vouching) -> None:
    first, browser = await begin(product)
    second, same = await begin(product, browser=browser)
    assert same == browser
    assert await finish(product, first, browser)
    assert await finish(product, second, browser)
    for odd in ('', 'short', 'x' * 44, 'ü' * 43):
        assert (await begin(product, browser=odd))[1] != odd


async def test_an_unknown_or_expired_sign_in_is_refused_and_removed(
    product: Product, vouching: Vouching, postgres: EmbeddedPostgres
) -> None:
    state, browser = await begin(product)
    [(life,)] = rows(postgres, 'select expires_at - created_at from sign_in.flows')
    assert life == timedelta(minutes=10)
    for unknown in ('', 'x' * 43, '\ud800'):
        with pytest.raises(NotSignedIn, match='expired'):
            await finish(product, unknown, browser)
    rows(postgres, 'update sign_in.flows set expires_at = now()')
    with pytest.raises(NotSignedIn, match='expired'):
        await finish(product, state, browser)
    rows(postgres, "update sign_in.flows set expires_at = now() - interval '2 hours'")
    await begin(product)
    assert rows(postgres, 'select count(*) from sign_in.flows') == [(1,)]


async def test_a_mailed_link_lasts_an_hour(product: Product, postgres: EmbeddedPostgres) -> None:
    await ask_for_link(product)
    assert rows(postgres, 'select expires_at - created_at from sign_in.flows') == [(timedelta(hours=1),)]
    assert rows(postgres, 'select distinct expires_at - created_at from auth.one_time_tokens') == [
        (timedelta(hours=1),)
    ]
    with pytest.raises(UsageError, match='no email'):
        await ask_for_link(product, 'no address')


async def test_nobody_is_flooded_with_mail(product: Product) -> None:
    for number in range(MAILS_PER_ACCOUNT):
        await ask_for_link(product, address=f'192.0.2.{number}')
    for email in (EMAIL, f' {EMAIL.upper()}'):
        with pytest.raises(TooMany):
            await ask_for_link(product, email, address=ELSEWHERE)
    assert len(read_outbox(product.settings)) == MAILS_PER_ACCOUNT
    assert await ask_for_link(product, 'bea@example.com')


async def test_one_address_begins_and_finishes_so_many(product: Product, vouching: Vouching) -> None:
    for _ in range(ATTEMPTS_PER_ADDRESS):
        state, browser = await begin(product)
        with pytest.raises(NotSignedIn):
            await finish(product, 'x' * 43, browser)
    with pytest.raises(TooMany):
        await begin(product)
    with pytest.raises(TooMany):
        await finish(product, state, browser)
    assert await begin(product, address=ELSEWHERE)


async def test_who_proves_an_address_takes_it_from_who_only_knew_it(
    product: Product, postgres: EmbeddedPostgres
) -> None:
    """Somebody signed up with a foreign address, and waits for its owner to come (pre-hijacking)."""
    stolen, session = await enter(product)
    user_id = session.user.id
    key, _ = await product.accounts.create_key(user_id, name='waiting', scopes=['jobs:read'])
    state, code, browser = await ask_for_link(product)
    entered = await finish(product, state, browser, code=code)
    assert entered.session.user.id == user_id
    assert entered.ended == (session.id,)
    assert await product.accounts.session(stolen) is None
    assert await product.accounts.principal(key) is None
    with pytest.raises(NotSignedIn):
        await product.accounts.sign_in(EMAIL, PASSWORD, address=ELSEWHERE)
    with pytest.raises(Conflict):
        await product.accounts.sign_up(EMAIL, PASSWORD, address=ELSEWHERE)
    assert await product.accounts.session(entered.token)
    assert 'password removed' in audited(postgres)
    assert [notice.title for notice in await product.notices.latest(user_id)] == [RECLAIMED]
    state, code, browser = await ask_for_link(product)
    assert (await finish(product, state, browser, code=code)).ended == (), 'once: the address is proven now'
    assert await product.accounts.session(entered.token)


async def test_a_new_account_by_a_link_is_told_of_nothing(product: Product, postgres: EmbeddedPostgres) -> None:
    state, code, browser = await ask_for_link(product)
    entered = await finish(product, state, browser, code=code)
    assert await product.notices.latest(entered.session.user.id) == []
    assert audited(postgres) == ['sign-in by mailed link']


@pytest.mark.parametrize('step', ['password', 'commit'])
async def test_an_address_is_reclaimed_however_often_that_is_interrupted(
    product: Product, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    stolen, session = await enter(product)
    key, _ = await product.accounts.create_key(session.user.id, name='waiting', scopes=['jobs:read'])

    async def away(*_: object) -> None:
        raise Unavailable('Gone.')

    with monkeypatch.context() as patched:
        if step == 'password':
            patched.setattr(EmbeddedIdentity, 'set_password', away)
        else:
            patched.setattr(module, '_open_session', away)
        state, code, browser = await ask_for_link(product)
        with pytest.raises(Unavailable):
            await finish(product, state, browser, code=code)
    state, code, browser = await ask_for_link(product)
    await finish(product, state, browser, code=code)
    assert await product.accounts.session(stolen) is None
    assert await product.accounts.principal(key) is None
    with pytest.raises(NotSignedIn):
        await product.accounts.sign_in(EMAIL, PASSWORD, address=ELSEWHERE)


async def test_a_password_that_never_opened_an_account_is_void_too(product: Product) -> None:
    await product.identity.sign_up(EMAIL, PASSWORD)  # and whoever did it was broken off there
    state, code, browser = await ask_for_link(product)
    await finish(product, state, browser, code=code)
    with pytest.raises(NotSignedIn):
        await product.accounts.sign_in(EMAIL, PASSWORD, address=ELSEWHERE)


@pytest.mark.parametrize('way', ['reclaimed', 'changed'])
async def test_a_sign_in_whose_password_ended_meanwhile_opens_nothing(
    product: Product, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    _, session = await enter(product)
    state, code, browser = await ask_for_link(product)
    check = EmbeddedIdentity.sign_in

    async def slow(self: EmbeddedIdentity, email: str, password: str) -> Tokens:
        tokens = await check(self, email, password)
        if way == 'reclaimed':
            await finish(product, state, browser, code=code)
        else:
            await product.accounts.set_password(session.user.id, 'another engine', current_session=session.id)
        return tokens

    monkeypatch.setattr(EmbeddedIdentity, 'sign_in', slow)
    with pytest.raises(NotSignedIn, match='meanwhile'):
        await product.accounts.sign_in(EMAIL, PASSWORD, address=ELSEWHERE)
    assert len(await product.accounts.sessions(session.user.id)) == 1


async def test_a_session_that_ended_meanwhile_makes_no_key(product: Product) -> None:
    token, session = await enter(product)
    await product.accounts.sign_out(token)
    with pytest.raises(NotSignedIn):
        await product.accounts.create_key(
            session.user.id, name='late', scopes=['jobs:read'], current_session=session.id
        )
    assert await product.accounts.keys(session.user.id) == []


# a new password


async def test_a_new_password_signs_in_and_ends_every_other_session(
    product: Product, postgres: EmbeddedPostgres
) -> None:
    token, session = await enter(product)
    other_token, other = await product.accounts.sign_in(EMAIL, PASSWORD, address=ELSEWHERE)
    _, eve = await enter(product, 'eve@example.com')
    ended = await product.accounts.set_password(
        session.user.id, 'another engine', current_session=session.id, address=HOME
    )
    assert list(ended) == [other.id]
    assert await product.accounts.session(token) == session
    assert await product.accounts.session(other_token) is None
    assert len(await product.accounts.sessions(eve.user.id)) == 1
    with pytest.raises(NotSignedIn):
        await product.accounts.sign_in(EMAIL, PASSWORD, address=HOME)
    assert await product.accounts.sign_in(EMAIL, 'another engine', address=HOME)
    assert 'password set' in audited(postgres)


async def test_who_lost_a_password_by_proving_the_address_sets_another(product: Product) -> None:
    await enter(product)
    state, code, browser = await ask_for_link(product)
    session = (await finish(product, state, browser, code=code)).session
    await product.accounts.set_password(session.user.id, PASSWORD, current_session=session.id)
    state, code, browser = await ask_for_link(product)
    await finish(product, state, browser, code=code)
    assert await product.accounts.sign_in(EMAIL, PASSWORD, address=HOME), 'the address is proven: it stays'


async def test_a_weak_password_changes_nothing(product: Product) -> None:
    _, session = await enter(product)
    await product.accounts.sign_in(EMAIL, PASSWORD, address=ELSEWHERE)
    for weak in ('short', EMAIL):
        with pytest.raises(UsageError):
            await product.accounts.set_password(session.user.id, weak, current_session=session.id)
    assert len(await product.accounts.sessions(session.user.id)) == 2
    assert await product.accounts.sign_in(EMAIL, PASSWORD, address=HOME)


async def test_passwords_are_set_so_often_and_no_more(product: Product) -> None:
    _, session = await enter(product)
    for number in range(ATTEMPTS_PER_ACCOUNT):
        with pytest.raises(UsageError):
            await product.accounts.set_password(
                session.user.id, 'short', current_session=session.id, address=f'192.0.2.{number}'
            )
    with pytest.raises(TooMany):
        await product.accounts.set_password(session.user.id, PASSWORD, current_session=session.id, address=HOME)


async def test_a_session_that_ended_meanwhile_leaves_no_password(product: Product) -> None:
    """A stranger's session sets one in the moment in which the owner of the address takes it back."""
    _, session = await enter(product)
    state, code, browser = await ask_for_link(product)
    await finish(product, state, browser, code=code)
    with pytest.raises(NotSignedIn):
        await product.accounts.set_password(session.user.id, 'of a stranger', current_session=session.id)
    with pytest.raises(NotSignedIn):
        await product.accounts.sign_in(EMAIL, 'of a stranger', address=ELSEWHERE)


# the end of a session, told to every process


async def test_every_process_is_told_which_sessions_ended(product: Product) -> None:
    _, session = await enter(product)
    user_id = session.user.id
    others = [(await product.accounts.sign_in(EMAIL, PASSWORD, address=HOME)) for _ in range(4)]
    ids = [str(one.id) for _, one in others]
    async with asyncio.timeout(10), product.events.subscribe(f'{user_id}/sessions') as messages:
        await product.accounts.sign_out(others[0][0])
        assert await anext(messages) == {'ended': [ids[0]]}
        await product.accounts.revoke_session(user_id, others[1][1].id)
        assert await anext(messages) == {'ended': [ids[1]]}
        await product.accounts.set_password(user_id, 'another engine', current_session=others[2][1].id)
        assert set((await anext(messages))['ended']) == {str(session.id), ids[3]}
        state, code, browser = await ask_for_link(product)
        await finish(product, state, browser, code=code)
        assert await anext(messages) == {'ended': [ids[2]]}
        await product.accounts.delete(user_id, confirmation=EMAIL)
        assert len((await anext(messages))['ended']) == 1


async def test_many_sessions_that_end_at_once_are_told_too(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, 'TOLD', 2)
    _, session = await enter(product)
    ids = {str(session.id)}
    for number in range(4):
        ids.add(str((await product.accounts.sign_in(EMAIL, PASSWORD, address=f'192.0.2.{number}'))[1].id))
    async with asyncio.timeout(10), product.events.subscribe(f'{session.user.id}/sessions') as messages:
        await product.accounts.delete(session.user.id, confirmation=EMAIL)
        told = [(await anext(messages))['ended'] for _ in range(3)]
    assert {one for some in told for one in some} == ids
