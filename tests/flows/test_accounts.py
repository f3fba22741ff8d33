"""Accounts over a real database: who may come in, how often, and for how long."""

from collections.abc import Callable

import psycopg
import pytest

from core.accounts import ATTEMPTS_PER_ACCOUNT, ATTEMPTS_PER_ADDRESS
from core.errors import Conflict, NotSignedIn, TooMany, UsageError
from storage.embedded.server import EmbeddedPostgres
from tests.flows.conftest import Product

EMAIL = 'ada@example.com'
PASSWORD = 'analytical engine'
HOME = '192.0.2.1'
ELSEWHERE = '192.0.2.2'


def audited(postgres: EmbeddedPostgres) -> list[str]:
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        return [row[0] for row in connection.execute('select action from public.audit_logs order by id')]


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
