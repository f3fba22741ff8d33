"""Sign-ins by a provider that must not succeed: twelve ways to cheat, none accepted; and a provider that misbehaves."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NoReturn
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import ECKey
from starlette.responses import JSONResponse, RedirectResponse, Response

from core.errors import Misconfigured, NotSignedIn, Unavailable
from core.settings import Issuer
from core.values import Entered
from storage.embedded.oidc import FRESH, LONGEST, PAUSE, OidcProvider
from storage.embedded.server import EmbeddedPostgres
from tests.fakes.oidc import FakeOidc, open_oidc, unsigned
from tests.flows.conftest import Product, open_product, product
from tests.flows.test_accounts import rows
from tests.ui.site import Site, open_site

__all__ = ['open_product', 'product']  # fixtures

BACK = 'http://127.0.0.1:8080/auth/callback'
Answer = dict[str, str]


@pytest.fixture(scope='module')
def servers() -> Iterator[tuple[FakeOidc, FakeOidc]]:
    with open_oidc() as one, open_oidc(algorithm='RS256') as other:
        yield one, other


@pytest.fixture
def oidc(servers: tuple[FakeOidc, FakeOidc]) -> FakeOidc:
    servers[0].forget()
    return servers[0]


@pytest.fixture
def other(servers: tuple[FakeOidc, FakeOidc]) -> FakeOidc:
    servers[1].forget()
    return servers[1]


@pytest.fixture(scope='module')
async def site() -> AsyncIterator[Site]:
    async with open_site() as site:
        yield site


class Victim:
    """A browser that signs in by a provider, and keeps what an attacker would like to change."""

    def __init__(self, product: Product, postgres: EmbeddedPostgres) -> None:
        self.product, self.postgres = product, postgres

    async def begin(self, provider: str = 'google', *, target: str = '/') -> tuple[str, str]:
        """The provider's address, and the browser's token."""
        return await self.product.accounts.begin(provider, target=target, redirect_to=BACK, address='192.0.2.1')

    async def visit(self, url: str) -> Answer:
        """The query with which the provider sends the browser back."""
        async with httpx.AsyncClient() as browser:
            answer = await browser.get(url)
        return dict(httpx.URL(answer.headers['location']).params)

    async def come_back(self, answer: Answer, browser: str) -> Entered:
        answer = dict(answer)
        state = answer.pop('state', '')
        return await self.product.accounts.finish(state, answer, browser=browser, redirect_to=BACK, address='192.0.2.1')

    async def refused(self, answer: Answer, browser: str, match: str) -> None:
        """Nobody comes in, and nobody has an account by it."""
        with pytest.raises(NotSignedIn, match=match):
            await self.come_back(answer, browser)
        assert rows(self.postgres, 'select count(*) from public.sessions') == [(0,)]
        assert rows(self.postgres, 'select count(*) from auth.users') == [(0,)]


@pytest.fixture
def victim(open_product: Callable[..., Product], oidc: FakeOidc, other: FakeOidc, postgres: EmbeddedPostgres) -> Victim:
    return Victim(open_product(oidc={'google': oidc.settings, 'other': other.settings}), postgres)


@pytest.mark.parametrize('provider', ['google', 'other'])
async def test_an_honest_sign_in_succeeds(victim: Victim, oidc: FakeOidc, provider: str) -> None:
    url, browser = await victim.begin(provider, target='/jobs')
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert (asked['code_challenge_method'], asked['response_type']) == ('S256', 'code')
    assert len(asked['code_challenge']) == 43
    assert asked['redirect_uri'] == BACK
    entered = await victim.come_back(await victim.visit(url), browser)
    assert (entered.session.user.email, entered.target) == ('ada@example.com', '/jobs')


@pytest.mark.parametrize('state', [None, '', 'unknown', 'x' * 43])
async def test_1_a_missing_or_unknown_state(victim: Victim, state: str | None) -> None:
    url, browser = await victim.begin()
    answer = await victim.visit(url)
    del answer['state']
    await victim.refused(answer | ({} if state is None else {'state': state}), browser, 'expired')


async def test_2_the_state_of_an_attackers_sign_in(victim: Victim) -> None:
    """Login CSRF: the victim's browser is sent to the callback with the attacker's state and code."""
    attackers_url, _ = await victim.begin()
    _, browser = await victim.begin()
    await victim.refused(await victim.visit(attackers_url), browser, 'another browser')


async def test_3_a_browser_without_its_token(victim: Victim) -> None:
    url, _ = await victim.begin()
    await victim.refused(await victim.visit(url), '', 'another browser')


async def test_4_a_state_that_was_used(victim: Victim) -> None:
    url, browser = await victim.begin()
    answer = await victim.visit(url)
    assert await victim.come_back(answer, browser)
    with pytest.raises(NotSignedIn, match='already'):
        await victim.come_back(answer, browser)
    with pytest.raises(NotSignedIn, match='already'):
        await victim.come_back(await victim.visit(url), browser)


async def test_5_a_sign_in_that_expired(victim: Victim, postgres: EmbeddedPostgres) -> None:
    url, browser = await victim.begin()
    rows(postgres, 'update sign_in.flows set expires_at = now()')
    await victim.refused(await victim.visit(url), browser, 'expired')


async def test_6_a_code_that_was_used(victim: Victim, oidc: FakeOidc) -> None:
    first, browser = await victim.begin()
    second, _ = await victim.product.accounts.begin(
        'google', target='/', redirect_to=BACK, address='192.0.2.1', browser=browser
    )
    answer = await victim.visit(first)
    assert await victim.come_back(answer, browser)
    fresh = await victim.visit(second)
    with pytest.raises(NotSignedIn, match='does not hold'):
        await victim.come_back(fresh | {'code': answer['code']}, browser)


async def test_7_a_code_of_another_sign_in(victim: Victim) -> None:
    """The verifier (PKCE) is that of the browser's own sign-in, not of the one that the injected code belongs to."""
    url, browser = await victim.begin()
    attackers, _ = await victim.begin()
    code = (await victim.visit(attackers))['code']
    await victim.refused(await victim.visit(url) | {'code': code}, browser, 'does not hold')


@pytest.mark.parametrize('nonce', [None, '', 'another', 'x' * 32])
async def test_8_a_token_of_another_sign_in(victim: Victim, oidc: FakeOidc, nonce: str | None) -> None:
    oidc.claims = {'nonce': nonce}
    url, browser = await victim.begin()
    await victim.refused(await victim.visit(url), browser, 'does not hold')


@pytest.mark.parametrize('verified', [None, False, 'false', 0, 1, 'yes', ''], ids=str)
async def test_9_an_email_that_nobody_verified(victim: Victim, oidc: FakeOidc, verified: object) -> None:
    oidc.claims = {'email_verified': verified}
    url, browser = await victim.begin()
    await victim.refused(await victim.visit(url), browser, 'verified no email')


FORGERIES: dict[str, Callable[[FakeOidc], Any]] = {
    'alg none': lambda oidc: setattr(oidc, 'forge', unsigned),
    'foreign key': lambda oidc: setattr(oidc, 'signed_with', ECKey.generate_key('P-256')),
    'tampered': lambda oidc: setattr(oidc, 'forge', lambda token: token[:-6] + 'AAAAAA'),
    'no token': lambda oidc: setattr(oidc, 'forge', lambda token: None),
    'no jwt': lambda oidc: setattr(oidc, 'forge', lambda token: 'x.y'),
    'endless': lambda oidc: setattr(oidc, 'forge', lambda token: token + 'A' * 20_000),
    'foreign issuer': lambda oidc: oidc.claims.update(iss='https://evil.example'),
    'no issuer': lambda oidc: oidc.claims.update(iss=None),
    'foreign audience': lambda oidc: oidc.claims.update(aud='somebody else'),
    'another audience too': lambda oidc: oidc.claims.update(aud=['variosync', 'somebody else']),
    'no audience': lambda oidc: oidc.claims.update(aud=None),
    'for another party': lambda oidc: oidc.claims.update(azp='somebody else'),
    'expired': lambda oidc: oidc.claims.update(exp=1_700_000_000),
    'no expiry': lambda oidc: oidc.claims.update(exp=None),
    'issued tomorrow': lambda oidc: oidc.claims.update(iat=4_000_000_000),
    'nobody': lambda oidc: oidc.claims.update(sub=None),
    'a number for a person': lambda oidc: oidc.claims.update(sub=7),
}


@pytest.mark.parametrize('forgery', FORGERIES)
async def test_10_a_forged_token(victim: Victim, oidc: FakeOidc, forgery: str) -> None:
    FORGERIES[forgery](oidc)
    url, browser = await victim.begin()
    await victim.refused(await victim.visit(url), browser, 'does not hold')


@pytest.mark.parametrize(
    'target', ['//evil', '/\\evil', 'https://evil', '/auth/sign-out', 'javascript:alert(1)', '/\t/evil']
)
async def test_11_a_redirect_elsewhere(site: Site, target: str) -> None:
    async with site.browser() as browser:
        for asked, kept in ((target, '/'), ('/jobs', target)):
            answer = await browser.post('/auth/google', data={'next': asked})
            [state] = parse_qs(urlsplit(answer.headers['refresh']).query)['state']
            browser_token, email, noted = site.services.accounts.flows[state]
            assert noted == ('/' if asked == target else '/jobs')
            site.services.accounts.flows[state] = (browser_token, email, kept)
            answer = await browser.get('/auth/callback', params={'state': state, 'code': 'c'})
            assert (answer.status_code, answer.headers['location']) == (303, '/')


async def test_12_an_answer_of_another_provider(victim: Victim, oidc: FakeOidc, other: FakeOidc) -> None:
    """Mix-up: what one provider said is handed in as the answer of another (RFC 9207)."""
    mine, browser = await victim.begin('google')
    theirs, _ = await victim.begin('other')
    foreign = await victim.visit(theirs)
    state = (await victim.visit(mine))['state']
    assert foreign['iss'] != oidc.url
    await victim.refused(foreign | {'state': state}, browser, 'does not hold')
    for named in ({}, {'iss': oidc.url + '/'}):
        mine, browser = await victim.begin('google')
        answer = await victim.visit(mine)
        del answer['iss']
        await victim.refused(answer | named, browser, 'does not hold')
    identity = victim.product.identity
    begun = await identity.begin('google', redirect_to=BACK, state='s')
    answer = await victim.visit(begun.url)
    with pytest.raises(NotSignedIn):
        await identity.finish('other', answer, secret=begun.secret, redirect_to=BACK)
    with pytest.raises(NotSignedIn, match='any more'):
        await identity.finish('gone', answer, secret=begun.secret, redirect_to=BACK)


# a provider that misbehaves


async def test_who_changes_the_email_there_keeps_the_account_here(victim: Victim, oidc: FakeOidc) -> None:
    url, browser = await victim.begin()
    first = await victim.come_back(await victim.visit(url), browser)
    oidc.person |= {'email': 'ada.lovelace@example.com'}
    url, browser = await victim.begin()
    second = await victim.come_back(await victim.visit(url), browser)
    assert second.session.user == first.session.user
    oidc.person |= {'sub': 'somebody else'}
    url, browser = await victim.begin()
    third = await victim.come_back(await victim.visit(url), browser)
    assert third.session.user.id != first.session.user.id


async def test_the_email_may_be_told_by_userinfo(victim: Victim, oidc: FakeOidc) -> None:
    oidc.email_in_token = False
    url, browser = await victim.begin()
    assert (await victim.come_back(await victim.visit(url), browser)).session.user.email == 'ada@example.com'
    oidc.answers['/userinfo'] = lambda: JSONResponse({'sub': 'eve', 'email': 'bea@example.com', 'email_verified': True})
    url, browser = await victim.begin()
    with pytest.raises(NotSignedIn, match='does not hold'):
        await victim.come_back(await victim.visit(url), browser)


async def test_what_a_provider_is_denied_is_told_in_our_words(victim: Victim, oidc: FakeOidc) -> None:
    oidc.denies = 'access_denied'
    url, browser = await victim.begin()
    await victim.refused(await victim.visit(url), browser, 'Try again')


def flood() -> Response:
    return Response(b'{"a": "' + b'x' * LONGEST + b'"}', media_type='application/json')


def packed() -> Response:
    return Response(gzip.compress(json.dumps({'a': 'x' * 10**6}).encode()), headers={'Content-Encoding': 'gzip'})


ODD: dict[str, Callable[[], Response]] = {
    'an error': lambda: Response('out of order', 500),
    'no JSON': lambda: Response('<html>'),
    'a list': lambda: JSONResponse([]),
    'nested without end': lambda: Response('[' * 100_000),
    'a flood': flood,
    'packed': packed,
    'elsewhere': lambda: RedirectResponse('http://127.0.0.1:1/'),
}


@pytest.mark.parametrize('odd', ODD)
@pytest.mark.parametrize('path', ['/token', '/userinfo'])
async def test_an_odd_answer_is_unavailable(victim: Victim, oidc: FakeOidc, path: str, odd: str) -> None:
    oidc.email_in_token = False
    oidc.answers[path] = ODD[odd]
    url, browser = await victim.begin()
    with pytest.raises(Unavailable):
        await victim.come_back(await victim.visit(url), browser)


DESCRIPTION = '/.well-known/openid-configuration'


class Clock:
    """The time of a provider in a test."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize('odd', ODD)
async def test_an_odd_description_is_unavailable_until_it_is_right(oidc: FakeOidc, odd: str) -> None:
    clock = Clock()
    provider = OidcProvider('google', oidc.settings, clock=clock)
    oidc.answers[DESCRIPTION] = ODD[odd]
    with pytest.raises(Unavailable):
        await provider.begin(redirect_to=BACK, state='s')
    oidc.answers.clear()
    clock.now += PAUSE
    assert await provider.begin(redirect_to=BACK, state='s')
    asked = oidc.asked.count(DESCRIPTION)
    assert await provider.begin(redirect_to=BACK, state='s')
    assert oidc.asked.count(DESCRIPTION) == asked, 'it is kept'


async def test_a_silent_provider_is_waited_for_once_by_all_together(
    oidc: FakeOidc, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def silent(url: str, headers: object = None) -> NoReturn:
        asked.append(url)
        await asyncio.sleep(0.05)
        raise Unavailable('The provider does not answer.')

    monkeypatch.setattr('storage.embedded.oidc._json', silent)
    provider = OidcProvider('google', oidc.settings, clock=Clock())
    begun = [provider.begin(redirect_to=BACK, state='s') for _ in range(20)]
    answers = await asyncio.gather(*begun, return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unavailable}
    with pytest.raises(Unavailable):
        await provider.begin(redirect_to=BACK, state='s')
    assert len(asked) == 1


async def test_an_older_description_serves_while_there_is_no_new_one(oidc: FakeOidc) -> None:
    clock = Clock()
    provider = OidcProvider('google', oidc.settings, clock=clock)
    assert await provider.begin(redirect_to=BACK, state='s')
    oidc.answers[DESCRIPTION] = ODD['an error']
    clock.now += FRESH
    for _ in range(3):
        assert await provider.begin(redirect_to=BACK, state='s')
    assert oidc.asked.count(DESCRIPTION) == 2


@pytest.mark.parametrize(
    'described',
    [
        {'issuer': 'https://evil.example'},
        {'token_endpoint': 'http://evil.example/token'},
        {'jwks_uri': None},
        {'authorization_endpoint': 'javascript:alert(1)'},
        {'userinfo_endpoint': 'http://[::1'},
    ],
    ids=str,
)
async def test_a_description_of_somebody_else_is_refused(oidc: FakeOidc, described: dict[str, Any]) -> None:
    oidc.describes = described
    with pytest.raises(Misconfigured, match='VARIOSYNC_OIDC'):
        await OidcProvider('google', oidc.settings).begin(redirect_to=BACK, state='s')


async def test_a_client_that_the_provider_does_not_know_is_a_wrong_setting(oidc: FakeOidc) -> None:
    wrong = oidc.settings.model_copy(update={'client_secret': oidc.settings.client_secret.__class__('wrong')})
    provider = OidcProvider('google', wrong)
    begun = await provider.begin(redirect_to=BACK, state='s')
    async with httpx.AsyncClient() as browser:
        answer = dict(httpx.URL((await browser.get(begun.url)).headers['location']).params)
    with pytest.raises(Misconfigured, match='check google') as caught:
        await provider.finish(answer, secret=begun.secret, redirect_to=BACK)
    assert 'wrong' not in str(caught.value)


async def test_a_provider_that_reads_the_secret_in_the_body_gets_it_there(victim: Victim, oidc: FakeOidc) -> None:
    oidc.describes = {'token_endpoint_auth_methods_supported': ['client_secret_post']}
    url, browser = await victim.begin()
    assert await victim.come_back(await victim.visit(url), browser)


async def test_nobody_there_is_unavailable() -> None:
    gone = Issuer(issuer='http://127.0.0.1:1', client_id='a', client_secret='b')
    with pytest.raises(Unavailable, match='sign in another way'):
        await OidcProvider('google', gone).begin(redirect_to=BACK, state='s')


@pytest.mark.parametrize('issuer', ['http://provider.example', 'ftp://a.b', 'provider.example', '', 'http://[::1'])
def test_an_issuer_must_be_encrypted(issuer: str) -> None:
    with pytest.raises(Misconfigured, match='no https address'):
        OidcProvider('google', Issuer(issuer=issuer, client_id='a', client_secret='b'))


@pytest.mark.parametrize('name', ['email', 'magic', 'callback', 'sign-in', 'Google', 'a/b', '', 'a' * 40, '../x'])
def test_a_providers_name_takes_no_other_route(name: str) -> None:
    with pytest.raises(Misconfigured, match='cannot be the name'):
        OidcProvider(name, Issuer(issuer='https://a.b', client_id='a', client_secret='b'))


@pytest.mark.parametrize('secret', ['', 'null', '{}', '[]', '{"provider": "google"}', '\x00'])
async def test_a_secret_that_is_none_is_refused(oidc: FakeOidc, secret: str) -> None:
    with pytest.raises(NotSignedIn):
        await OidcProvider('google', oidc.settings).finish({'code': 'c'}, secret=secret, redirect_to=BACK)
