"""What every Identity promises (`core.ports.Identity`), on each that there is: see `place` in `conftest.py`."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from core.errors import Conflict, NotFound, NotSignedIn, UsageError
from core.ports import Identity
from core.values import Tokens
from tests.contracts.conftest import RETURN, Browse, Mailed

EMAIL = 'ada@example.com'
PASSWORD = 'analytical engine'


@pytest.fixture
async def tokens(identity: Identity) -> Tokens:
    await identity.sign_up(EMAIL, PASSWORD)
    return await identity.sign_in(EMAIL, PASSWORD)


async def test_who_signs_up_can_sign_in(identity: Identity) -> None:
    user_id = await identity.sign_up(EMAIL, PASSWORD)
    tokens = await identity.sign_in(EMAIL, PASSWORD)
    assert (tokens.user_id, tokens.email) == (user_id, EMAIL)
    assert 60 <= tokens.expires_in <= 3600


async def test_case_and_space_around_an_email_do_not_matter(identity: Identity) -> None:
    user_id = await identity.sign_up(' Ada@Example.COM ', PASSWORD)
    assert (await identity.sign_in('ada@example.com\n', PASSWORD)).user_id == user_id
    with pytest.raises(Conflict):
        await identity.sign_up('ADA@example.com', PASSWORD)


async def test_a_taken_email_is_a_conflict(identity: Identity) -> None:
    await identity.sign_up(EMAIL, PASSWORD)
    with pytest.raises(Conflict, match='Sign in instead'):
        await identity.sign_up(EMAIL, 'another password')
    assert await identity.sign_in(EMAIL, PASSWORD)


@pytest.mark.parametrize(
    ('password', 'why'),
    [
        ('', 'fewer than 10'),
        ('123456789', 'fewer than 10'),
        ('x' * 1025, 'has more than'),
        ('grace.hopper@example.com', 'is the email'),
        (' GRACE.HOPPER@example.com', 'is the email'),
        ('Grace.Hopper', 'is the email'),
    ],
)
async def test_a_weak_password_is_refused(identity: Identity, password: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        await identity.sign_up('grace.hopper@example.com', password)


@pytest.mark.parametrize('password', ['x' * 72, 'é' * 10, 'a\x00b\x00c\x00d\x00e\x00', ' ' * 10])
async def test_any_characters_make_a_password(identity: Identity, password: str) -> None:
    await identity.sign_up(EMAIL, password)
    assert await identity.sign_in(EMAIL, password)
    for wrong in (password + 'x', password[:-1]):
        with pytest.raises(NotSignedIn):
            await identity.sign_in(EMAIL, wrong)


async def test_an_unknown_email_and_a_wrong_password_answer_alike(identity: Identity) -> None:
    await identity.sign_up(EMAIL, PASSWORD)
    await identity.ensure('owner@localhost')
    answers = []
    tries = [(EMAIL, 'wrong password'), ('nobody@example.com', PASSWORD), ('owner@localhost', PASSWORD)]
    for email, password in [*tries, (EMAIL, ''), ('no address', PASSWORD), (EMAIL, PASSWORD + 'x' * 10_000)]:
        with pytest.raises(NotSignedIn) as caught:
            await identity.sign_in(email, password)
        answers.append((type(caught.value), str(caught.value), caught.value.details))
    assert answers == [answers[0]] * len(answers)


@pytest.mark.parametrize(
    'email', ['', 'ada', '@', 'ada@', '@example.com', 'a b@c', 'a@b@c', 'a\x00@b', 'a\ud800@b', 'x' * 65 + '@b']
)
async def test_what_is_no_email_is_refused(identity: Identity, email: str) -> None:
    with pytest.raises(UsageError, match='no email'):
        await identity.sign_up(email, PASSWORD)
    with pytest.raises(UsageError, match='no email'):
        await identity.ensure(email)
    with pytest.raises(NotSignedIn, match='do not match'):
        await identity.sign_in(email, PASSWORD)


async def test_a_password_may_be_typed_composed_or_decomposed(identity: Identity) -> None:
    await identity.sign_up(EMAIL, 'mot de passé')
    assert await identity.sign_in(EMAIL, 'mot de passe\u0301')


async def test_ensure_creates_once_and_without_a_password(identity: Identity) -> None:
    user_id = await identity.ensure('Owner@localhost')
    assert await identity.ensure('owner@localhost') == user_id
    assert len(set(await asyncio.gather(*(identity.ensure('new@localhost') for _ in range(4))))) == 1
    for password in ('', PASSWORD):
        with pytest.raises(NotSignedIn):
            await identity.sign_in('owner@localhost', password)
    assert await identity.ensure(EMAIL) == (await identity.ensure(EMAIL))


async def test_ensure_returns_who_signed_up(identity: Identity, tokens: Tokens) -> None:
    assert await identity.ensure(EMAIL) == tokens.user_id
    assert await identity.sign_in(EMAIL, PASSWORD), 'the password stays'


async def test_verify_returns_what_the_token_says(identity: Identity, tokens: Tokens) -> None:
    claims = await identity.verify(tokens.access_token)
    assert (claims.user_id, claims.email, claims.role) == (tokens.user_id, EMAIL, 'authenticated')
    life = claims.expires_at - datetime.now(UTC)
    assert timedelta(0) <= timedelta(seconds=tokens.expires_in) - life < timedelta(seconds=5)
    again = await identity.verify((await identity.sign_in(EMAIL, PASSWORD)).access_token)
    assert again.session_id != claims.session_id, 'each sign-in is one of its own'


async def test_refresh_returns_new_tokens(identity: Identity, tokens: Tokens) -> None:
    fresh = await identity.refresh(tokens.refresh_token)
    assert (fresh.user_id, fresh.email) == (tokens.user_id, EMAIL)
    assert fresh.refresh_token != tokens.refresh_token
    before, after = await identity.verify(tokens.access_token), await identity.verify(fresh.access_token)
    assert before.session_id == after.session_id
    assert await identity.refresh(fresh.refresh_token)


async def test_an_old_refresh_token_ends_its_sign_in_and_no_other(identity: Identity, tokens: Tokens) -> None:
    other = await identity.sign_in(EMAIL, PASSWORD)
    fresh = await identity.refresh(tokens.refresh_token)
    newest = await identity.refresh(fresh.refresh_token)
    for token in (tokens, fresh, newest):
        with pytest.raises(NotSignedIn):
            await identity.refresh(token.refresh_token)
    assert await identity.refresh(other.refresh_token)


@pytest.mark.parametrize('token', ['', 'unknown', 'x' * 100_000, '\x00', '\ud800'])
async def test_an_unknown_refresh_token_is_refused(identity: Identity, tokens: Tokens, token: str) -> None:
    with pytest.raises(NotSignedIn):
        await identity.refresh(token)
    assert await identity.refresh(tokens.refresh_token)


async def test_sign_out_retires_the_refresh_tokens_of_this_sign_in(identity: Identity, tokens: Tokens) -> None:
    other = await identity.sign_in(EMAIL, PASSWORD)
    fresh = await identity.refresh(tokens.refresh_token)
    await identity.sign_out(fresh.access_token)
    await identity.sign_out(fresh.access_token)
    for token in (tokens, fresh):
        with pytest.raises(NotSignedIn):
            await identity.refresh(token.refresh_token)
    assert await identity.refresh(other.refresh_token)
    with pytest.raises(NotSignedIn, match='not valid'):
        await identity.sign_out(fresh.access_token + 'x')


async def test_a_new_password_signs_in_and_no_other_does(identity: Identity, tokens: Tokens) -> None:
    await identity.set_password(tokens.user_id, 'mot de passe\u0301')
    with pytest.raises(NotSignedIn, match='do not match'):
        await identity.sign_in(EMAIL, PASSWORD)
    fresh = await identity.sign_in(EMAIL, 'mot de passé')
    assert fresh.user_id == tokens.user_id
    with pytest.raises(NotSignedIn):
        await identity.refresh(tokens.refresh_token)
    assert await identity.refresh(fresh.refresh_token)


async def test_without_a_password_none_signs_in(identity: Identity, tokens: Tokens) -> None:
    for _ in range(2):
        await identity.set_password(tokens.user_id, None)
    for password in (PASSWORD, ''):
        with pytest.raises(NotSignedIn, match='do not match'):
            await identity.sign_in(EMAIL, password)
    with pytest.raises(NotSignedIn):
        await identity.refresh(tokens.refresh_token)
    await identity.set_password(tokens.user_id, PASSWORD)
    assert await identity.sign_in(EMAIL, PASSWORD)


async def test_whoever_came_without_a_password_may_set_one(identity: Identity) -> None:
    await identity.set_password(await identity.ensure(EMAIL), PASSWORD)
    assert await identity.sign_in(EMAIL, PASSWORD)


@pytest.mark.parametrize('password', ['', '123456789', 'x' * 1025, EMAIL, ' ADA@example.com'])
async def test_a_weak_new_password_is_refused_and_the_old_one_stays(
    identity: Identity, tokens: Tokens, password: str
) -> None:
    with pytest.raises(UsageError):
        await identity.set_password(tokens.user_id, password)
    assert await identity.sign_in(EMAIL, PASSWORD)


@pytest.mark.parametrize('password', [PASSWORD, None])
async def test_nobody_has_no_password_to_set(identity: Identity, password: str | None) -> None:
    with pytest.raises(NotFound):
        await identity.set_password(uuid4(), password)


async def test_a_deleted_account_opens_nothing_any_more(identity: Identity, tokens: Tokens) -> None:
    await identity.sign_up('eve@example.com', PASSWORD)
    other = await identity.sign_in('eve@example.com', PASSWORD)
    await identity.delete(tokens.user_id)
    await identity.delete(tokens.user_id)
    with pytest.raises(NotSignedIn, match='do not match'):
        await identity.sign_in(EMAIL, PASSWORD)
    with pytest.raises(NotSignedIn):
        await identity.refresh(tokens.refresh_token)
    assert await identity.refresh(other.refresh_token)
    assert await identity.sign_up(EMAIL, PASSWORD) != tokens.user_id, 'the email is free again'


def test_ids_are_uuids(tokens: Tokens) -> None:
    assert isinstance(tokens.user_id, UUID)


# signing in by a provider or a mailed link

STATE = 's' * 43


async def by_provider(identity: Identity, browser_answer: Browse) -> Tokens:
    begun = await identity.begin('google', redirect_to=RETURN, state=STATE)
    answer = await browser_answer(begun.url)
    assert answer['state'] == STATE
    return await identity.finish('google', answer, secret=begun.secret, redirect_to=RETURN)


async def by_link(identity: Identity, browser_answer: Browse, mailed: Mailed, email: str = EMAIL) -> Tokens:
    secret = await identity.send_link(email, redirect_to=RETURN, state=STATE)
    answer = await browser_answer(await mailed(email))
    assert answer['state'] == STATE
    return await identity.finish('email', answer, secret=secret, redirect_to=RETURN)


async def test_providers_are_told(identity: Identity) -> None:
    assert 'google' in identity.providers
    with pytest.raises(NotFound):
        await identity.begin('nobody', redirect_to=RETURN, state=STATE)


async def test_who_comes_by_a_provider_has_one_account(identity: Identity, browser_answer: Browse) -> None:
    first = await by_provider(identity, browser_answer)
    second = await by_provider(identity, browser_answer)
    assert first.email == second.email == EMAIL
    assert first.user_id == second.user_id == await identity.ensure(EMAIL)
    assert (await identity.verify(second.access_token)).user_id == first.user_id
    assert await identity.refresh(second.refresh_token)
    assert 'secret' not in repr(await identity.begin('google', redirect_to=RETURN, state=STATE))


async def test_a_providers_answer_serves_once_and_with_its_secret_only(
    identity: Identity, browser_answer: Browse
) -> None:
    begun = await identity.begin('google', redirect_to=RETURN, state=STATE)
    other = await identity.begin('google', redirect_to=RETURN, state=STATE)
    answer = await browser_answer(begun.url)
    foreign = await browser_answer(other.url)
    with pytest.raises(NotSignedIn):
        await identity.finish('google', foreign, secret=begun.secret, redirect_to=RETURN)
    assert await identity.finish('google', answer, secret=begun.secret, redirect_to=RETURN)
    with pytest.raises(NotSignedIn):
        await identity.finish('google', answer, secret=begun.secret, redirect_to=RETURN)


@pytest.mark.parametrize(
    'answer',
    [
        {},
        {'code': ''},
        {'code': 'unknown'},
        {'code': 'x' * 100_000},
        {'code': '\x00\ud800'},
        {'error': 'access_denied'},
    ],
    ids=lambda answer: str(answer)[:30],
)
@pytest.mark.parametrize('provider', ['google', 'email'])
async def test_an_answer_that_proves_nothing_is_refused(
    identity: Identity, provider: str, answer: dict[str, str]
) -> None:
    begun = await identity.begin('google', redirect_to=RETURN, state=STATE)
    secret = begun.secret if provider == 'google' else await identity.send_link(EMAIL, redirect_to=RETURN, state=STATE)
    with pytest.raises(NotSignedIn):
        await identity.finish(provider, answer, secret=secret, redirect_to=RETURN)


async def test_a_mailed_link_signs_in_and_makes_an_account(
    identity: Identity, browser_answer: Browse, mailed: Mailed
) -> None:
    first = await by_link(identity, browser_answer, mailed)
    assert first.email == EMAIL
    assert (await by_link(identity, browser_answer, mailed)).user_id == first.user_id == await identity.ensure(EMAIL)
    assert (await by_provider(identity, browser_answer)).user_id == first.user_id, 'the same email, the same account'


async def test_a_mailed_link_serves_once_and_with_its_secret_only(
    identity: Identity, browser_answer: Browse, mailed: Mailed
) -> None:
    secret = await identity.send_link(EMAIL, redirect_to=RETURN, state=STATE)
    answer = await browser_answer(await mailed(EMAIL))
    foreign = await identity.send_link('eve@example.com', redirect_to=RETURN, state=STATE)
    for wrong in (foreign, '', 'guessed'):
        with pytest.raises(NotSignedIn):
            await identity.finish('email', answer, secret=wrong, redirect_to=RETURN)
    tries = (identity.finish('email', answer, secret=secret, redirect_to=RETURN) for _ in range(3))
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(one, Tokens) for one in answers) == 1
    assert sum(isinstance(one, NotSignedIn) for one in answers) == 2


async def test_sending_a_link_does_not_tell_whether_there_is_an_account(identity: Identity, mailed: Mailed) -> None:
    await identity.ensure(EMAIL)
    secrets = [
        await identity.send_link(email, redirect_to=RETURN, state=STATE) for email in (EMAIL, 'nobody@example.com')
    ]
    assert len({len(secret) for secret in secrets}) == 1
    assert len(set(secrets)) == 2
    assert await mailed('nobody@example.com')
    with pytest.raises(UsageError, match='no email'):
        await identity.send_link('no address', redirect_to=RETURN, state=STATE)
