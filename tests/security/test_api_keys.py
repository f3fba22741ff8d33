"""What opens the REST interface, and what an API key never opens."""

import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import socketio
import structlog
from nicegui import app
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from core.accounts import SCOPES
from core.values import Session
from storage.cache import MemoryCache
from storage.embedded.server import EmbeddedPostgres
from storage.postgres import Postgres
from tests.flows.conftest import Product
from tests.ui.site import Site, open_site
from ui.session import bearer_of, signed_in

PASSWORD = 'analytical engine'
READ, WRITE, CLOSED, BROKEN = (f'/api/v1/key-probe/{name}' for name in ('read', 'write', 'closed', 'broken'))
NEVER_GIVEN = 'vsk_' + 'x' * 43


@pytest.fixture(scope='module')
async def started() -> AsyncIterator[Site]:
    async with open_site() as site:

        @app.get(READ)
        async def read(request: Request) -> Response:
            return PlainTextResponse(signed_in(request, 'datasets:read').user.email)

        @app.post(WRITE)
        async def write(request: Request) -> Response:
            return PlainTextResponse(signed_in(request, 'datasets:write').user.email)

        @app.get(CLOSED)
        async def closed(request: Request) -> Response:
            return PlainTextResponse(signed_in(request).user.email)

        @app.get(BROKEN)
        async def broken(request: Request) -> Response:
            raise RuntimeError('a fault')

        @app.get('/api/v1/key-probe/datasets/{dataset_id}')
        async def dataset(request: Request, dataset_id: UUID) -> Response:
            user = signed_in(request, 'datasets:read').user
            return PlainTextResponse((await site.services.datasets.get(user.id, dataset_id)).name)

        yield site


@pytest.fixture
async def product(database: Postgres, postgres: EmbeddedPostgres, tmp_path: Path) -> AsyncIterator[Product]:
    opened = Product(database, postgres, tmp_path, None)
    yield opened
    await opened.close()


@pytest.fixture
def site(started: Site, product: Product, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The site before real accounts and datasets."""
    for name, service in (('accounts', product.accounts), ('datasets', product.datasets), ('cache', MemoryCache())):
        monkeypatch.setattr(started.services, name, service)
    return started


class Person:
    """Somebody with an account, a session and keys."""

    def __init__(self, product: Product, token: str, session: Session) -> None:
        self._accounts = product.accounts
        self.token, self.session, self.user = token, session, session.user

    async def key(self, *scopes: str, expires_at: datetime | None = None) -> str:
        key, _ = await self._accounts.create_key(self.user.id, name='a', scopes=scopes, expires_at=expires_at)
        return key


@pytest.fixture
async def ann(product: Product) -> Person:
    return Person(product, *await product.accounts.sign_up('ann@example.com', PASSWORD, address='192.0.2.1'))


@pytest.fixture
async def bob(product: Product) -> Person:
    return Person(product, *await product.accounts.sign_up('bob@example.com', PASSWORD, address='192.0.2.1'))


async def ask(
    site: Site, path: str, key: str | None = None, *, method: str = 'GET', cookie: str | None = None, **headers: str
) -> Any:
    """What a program gets, which sends no header but these."""
    bearer = {} if key is None else {'Authorization': f'Bearer {key}'.strip()}
    async with site.browser(cookie) as client:
        for name in ('Origin', 'Sec-Fetch-Site', 'Accept'):
            del client.headers[name]
        return await client.request(method, path, headers=bearer | headers)


# scopes


async def test_key_opens_the_routes_of_its_scopes_and_no_other(site: Site, ann: Person) -> None:
    key = await ann.key('datasets:read', 'jobs:read')
    answer = await ask(site, READ, key)
    assert (answer.status_code, answer.text) == (200, 'ann@example.com')
    answer = await ask(site, WRITE, key, method='POST')
    assert answer.status_code == 403
    assert answer.headers['content-type'] == 'application/problem+json'
    assert 'datasets:write' in answer.json()['detail']
    assert (await ask(site, WRITE, await ann.key('datasets:write'), method='POST')).status_code == 200


async def test_route_that_names_no_scope_is_closed_to_every_key(site: Site, ann: Person) -> None:
    answer = await ask(site, CLOSED, await ann.key(*SCOPES))
    assert answer.status_code == 403
    assert 'API keys are not accepted' in answer.json()['detail']


async def test_token_of_a_session_opens_every_route(site: Site, ann: Person) -> None:
    for method, path in (('GET', READ), ('POST', WRITE), ('GET', CLOSED)):
        assert (await ask(site, path, ann.token, method=method)).text == 'ann@example.com'


# what opens nothing


async def revoked(product: Product, person: Person, _: EmbeddedPostgres) -> str:
    key = await person.key(*SCOPES)
    await product.accounts.revoke_key(person.user.id, (await product.accounts.keys(person.user.id))[0].id)
    return key


async def expired(product: Product, person: Person, postgres: EmbeddedPostgres) -> str:
    key = await person.key(*SCOPES, expires_at=datetime.now(UTC) + timedelta(hours=1))
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        connection.execute("update public.api_keys set expires_at = now() - interval '1 second'")
    return key


async def signed_out(product: Product, person: Person, _: EmbeddedPostgres) -> str:
    await product.accounts.sign_out(person.token)
    return person.token


async def rotated(product: Product, person: Person, _: EmbeddedPostgres) -> str:
    await product.accounts.refresh(person.token)
    return person.token


def altered(change: Callable[[str], str]) -> Callable[..., Any]:
    async def make(product: Product, person: Person, _: EmbeddedPostgres) -> str:
        return change(await person.key(*SCOPES))

    return make


DEAD = {
    'revoked': revoked,
    'expired': expired,
    'signed out': signed_out,
    'rotated': rotated,
    'its account deleted': altered(lambda key: key),
    'never given': altered(lambda key: NEVER_GIVEN),
    'shortened': altered(lambda key: key[:-1]),
    'lengthened': altered(lambda key: f'{key}A'),
    'in capitals': altered(str.upper),
    'without its prefix': altered(lambda key: key[4:]),
    'its prefix alone': altered(lambda key: key[:10]),
    'two of them': altered(lambda key: f'{key} {key}'),
    'empty': altered(lambda key: ''),
    'huge': altered(lambda key: key * 100),
    'SQL': altered(lambda key: "' or true --" * 4),
}


@pytest.mark.parametrize('name', DEAD)
async def test_dead_key_opens_nothing(
    site: Site, product: Product, ann: Person, postgres: EmbeddedPostgres, name: str
) -> None:
    key = await DEAD[name](product, ann, postgres)
    if name == 'its account deleted':
        await product.accounts.delete(ann.user.id, confirmation=ann.user.email)
    for method, path in (('GET', READ), ('POST', WRITE), ('GET', CLOSED), ('GET', '/api/v1/nothing')):
        answer = await ask(site, path, key, method=method)
        assert answer.status_code == 401
        assert answer.headers['www-authenticate'] == 'Bearer'
        assert answer.headers['content-type'] == 'application/problem+json'
        assert answer.json()['code'] == 'not_signed_in'


async def test_key_of_one_never_opens_what_is_anothers(site: Site, product: Product, ann: Person, bob: Person) -> None:
    uploads = {person: await product.send(person.user, 'a.csv', b'time,y\n2024-01-01,1\n') for person in (ann, bob)}
    for person in (ann, bob):
        key = await person.key(*SCOPES)
        for owner, upload in uploads.items():
            for token in (key, person.token):
                answer = await ask(site, f'/api/v1/key-probe/datasets/{upload.dataset_id}', token)
                assert answer.status_code == (200 if owner is person else 404)


# where a key is not heard


async def test_key_is_heard_in_its_header_alone(site: Site, ann: Person) -> None:
    key = await ann.key(*SCOPES)
    assert (await ask(site, READ, cookie=key)).status_code == 401
    assert (await ask(site, f'{READ}?token={key}&access_token={key}&authorization=Bearer%20{key}')).status_code == 401
    for scheme in ('Basic ', 'Token ', '', 'Bearer:'):
        assert (await ask(site, READ, Authorization=f'{scheme}{key}')).status_code == 401


@pytest.mark.parametrize(
    ('path', 'status'),
    [('/', 303), ('/probe', 303), ('/API/v1/palette', 303), ('/api/v10/x', 401), ('/api', 303), ('/auth/nothing', 405)],
)
async def test_key_and_token_open_no_page(site: Site, ann: Person, path: str, status: int) -> None:
    for secret in (await ann.key(*SCOPES), ann.token):
        async with site.browser(Authorization=f'Bearer {secret}') as browser:
            answer = await browser.get(path)
        assert answer.status_code == status
        assert answer.headers.get('location', '/sign-in').startswith('/sign-in')


async def test_sign_out_of_pages_does_not_hear_a_token(site: Site, product: Product, ann: Person) -> None:
    await ask(site, '/auth/sign-out', ann.token, method='POST')
    assert await product.accounts.session(ann.token) == ann.session


async def test_key_opens_no_socket(site: Site, ann: Person) -> None:
    page = await site.open_probe(ann.token)
    async with site.socket(page.id, ann.token):
        pass
    with pytest.raises(socketio.exceptions.ConnectionError):
        async with site.socket(page.id, await ann.key(*SCOPES)):
            pass


# beside a cookie, and from a foreign page


async def test_cookie_is_not_heard_beside_a_bearer_token(site: Site, ann: Person, bob: Person) -> None:
    key = await bob.key('datasets:read')
    assert (await ask(site, READ, key, cookie=ann.token)).text == 'bob@example.com'
    assert (await ask(site, CLOSED, key, cookie=ann.token)).status_code == 403
    assert (await ask(site, READ, NEVER_GIVEN, cookie=ann.token)).status_code == 401
    assert (await ask(site, READ, '', cookie=ann.token)).status_code == 401
    assert (await ask(site, READ, cookie=ann.token, Authorization='Basic YTpi')).text == 'ann@example.com'


async def test_bearer_token_needs_no_origin_but_a_foreign_one_is_refused(site: Site, ann: Person) -> None:
    key = await ann.key(*SCOPES)
    assert (await ask(site, WRITE, key, method='POST')).status_code == 200
    assert (await ask(site, WRITE, key, method='POST', cookie=ann.token)).status_code == 200
    assert (await ask(site, WRITE, key, method='POST', Origin=site.url)).status_code == 200
    assert (await ask(site, WRITE, method='POST', cookie=ann.token)).status_code == 403, 'a cookie does'
    evil = ({'Origin': 'https://evil.example'}, {'Origin': 'null'}, {'Sec-Fetch-Site': 'cross-site'})
    for headers in evil:
        for method, path in (('POST', WRITE), ('GET', READ)):
            assert (await ask(site, path, key, method=method, **headers)).status_code == 403


# secrets


async def test_no_key_and_no_token_reaches_the_log_or_an_answer(
    site: Site, product: Product, ann: Person, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger='ui')
    key, dead = await ann.key('datasets:read'), await ann.key('datasets:read')
    await product.accounts.revoke_key(ann.user.id, (await product.accounts.keys(ann.user.id))[0].id)
    fresh, _ = await product.accounts.refresh(ann.token)
    secrets = (key, dead, ann.token, fresh, NEVER_GIVEN)
    said = []
    with structlog.testing.capture_logs() as logged:
        for secret in secrets:
            for method, path in (('GET', READ), ('POST', WRITE), ('GET', BROKEN), ('GET', '/api/v1/nothing')):
                answer = await ask(site, path, secret, method=method)
                said.append(f'{answer.headers}{answer.text}')
            await ask(site, '/', secret)
            await ask(site, READ, secret, Origin='https://evil.example')
    assert 'RuntimeError' in str(logged)
    told = f'{logged}{said}{caplog.text}{capfd.readouterr()}'
    for secret in secrets:
        assert secret not in told
        assert secret[10:] not in told


@pytest.mark.parametrize(
    ('header', 'token'),
    [
        ('Bearer abc', 'abc'),
        ('bearer  abc ', 'abc'),
        ('BEARER abc def', 'abc def'),
        ('Bearer', ''),
        ('Bearer ', ''),
        ('Basic abc', None),
        ('Bearerabc', None),
        ('', None),
        (None, None),
    ],
)
def test_what_a_bearer_token_is(header: str | None, token: str | None) -> None:
    assert bearer_of(header) == token
