"""Forged access tokens: none is accepted by any identity, whatever it claims and whoever signed it.

Then the keys that somebody publishes: when they are asked for, and what serves while they cannot be had.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from core.errors import NotSignedIn, Unavailable
from core.ports import Identity
from storage.cloud.identity import SupabaseIdentity
from storage.embedded.identity import EmbeddedIdentity
from storage.postgres import Postgres
from storage.tokens import FRESH, PAUSE, PublishedKeys, Verifier, usable_keys
from tests.contracts.conftest import CHEAP, UNUSED
from tests.fakes.supabase import FakeSupabase

ISSUER = 'https://variosync.example/auth/v1'
Claims = dict[str, Any]


class Forge:
    """Makes tokens with an identity's real key, and with others."""

    def __init__(self, pem: bytes, *, kid: str, issuer: str) -> None:
        self.key = ECKey.import_key(pem)
        self.foreign = ECKey.generate_key('P-256')
        self.kid = kid
        self.issuer = issuer

    def claims(self, **changes: Any) -> Claims:
        now = int(time.time())
        claims = {
            'iss': self.issuer,
            'aud': 'authenticated',
            'sub': str(uuid4()),
            'email': 'ada@example.com',
            'role': 'authenticated',
            'session_id': str(uuid4()),
            'iat': now,
            'exp': now + 600,
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, *, key: ECKey | None = None, header: Claims | None = None, **changes: Any) -> str:
        """A token signed with ES256, by our key unless another is given."""
        head = {'alg': 'ES256', 'typ': 'JWT', 'kid': self.kid} | (header or {})
        head = {name: value for name, value in head.items() if value is not None}
        signed = f'{encode(head)}.{encode(self.claims(**changes))}'
        return f'{signed}.{self.signature(signed, key or self.key)}'

    def signature(self, signed: str, key: ECKey) -> str:
        algorithm = jwt.JWSRegistry.algorithms['ES256']
        return base64.urlsafe_b64encode(algorithm.sign(signed.encode(), key)).rstrip(b'=').decode()

    def hmac(self, secret: bytes) -> str:
        signed = f'{encode({"alg": "HS256", "typ": "JWT", "kid": self.kid})}.{encode(self.claims())}'
        digest = hmac.digest(secret, signed.encode(), hashlib.sha256)
        return f'{signed}.{base64.urlsafe_b64encode(digest).rstrip(b"=").decode()}'


def encode(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b'=').decode()


def tampered(token: str, part: int, **changes: Any) -> str:
    parts = token.split('.')
    content = json.loads(base64.urlsafe_b64decode(parts[part] + '=='))
    return '.'.join([*parts[:part], encode(content | changes), *parts[part + 1 :]])


def cut(token: str, part: int, content: str = '') -> str:
    parts = token.split('.')
    return '.'.join([*parts[:part], content, *parts[part + 1 :]])


@pytest.fixture
def embedded(database: Postgres, tmp_path: Path) -> EmbeddedIdentity:
    return EmbeddedIdentity(database, tmp_path, issuer=ISSUER, mailer=UNUSED, hasher=CHEAP)


@pytest.fixture
def embedded_forge(embedded: EmbeddedIdentity, tmp_path: Path) -> Forge:
    return Forge((tmp_path / 'token-key.pem').read_bytes(), kid=embedded.jwks['keys'][0]['kid'], issuer=ISSUER)


@pytest.fixture(scope='module')
def fake() -> Iterator[FakeSupabase]:
    with FakeSupabase() as fake:
        yield fake


@pytest.fixture
def supabase(fake: FakeSupabase) -> SupabaseIdentity:
    http = httpx.AsyncClient(transport=httpx.ASGITransport(fake.app))
    return SupabaseIdentity(fake.url, publishable='sb_publishable_fake', secret='sb_secret_fake', http=http)


@pytest.fixture
def supabase_forge(fake: FakeSupabase, supabase: SupabaseIdentity) -> Forge:
    key = signing(fake)
    return Forge(key['pem'].encode(), kid=key['kid'], issuer=fake.auth.issuer)


@pytest.fixture(params=['embedded', 'supabase'])
def place(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def identity(place: str, request: pytest.FixtureRequest) -> Identity:
    return request.getfixturevalue(place)


@pytest.fixture
def forge(place: str, request: pytest.FixtureRequest) -> Forge:
    return request.getfixturevalue(f'{place}_forge')


FORGED: dict[str, Callable[[Forge], str]] = {
    'alg none': lambda f: cut(f.token(header={'alg': 'none'}), 2),
    'alg None, signed': lambda f: f.token(header={'alg': 'None'}),
    'no alg': lambda f: f.token(header={'alg': None}),
    'HS256 with the public PEM': lambda f: f.hmac(f.key.as_pem(private=False)),
    'HS256 with the public JWK': lambda f: f.hmac(json.dumps(f.key.as_dict(private=False)).encode()),
    'HS256 with nothing': lambda f: f.hmac(b''),
    'ES384 named': lambda f: f.token(header={'alg': 'ES384'}),
    'foreign key, our kid': lambda f: f.token(key=f.foreign),
    'foreign key, its kid': lambda f: f.token(key=f.foreign, header={'kid': f.foreign.thumbprint()}),
    'unknown kid': lambda f: f.token(header={'kid': 'unknown'}),
    'no kid': lambda f: f.token(header={'kid': None}),
    'kid of another type': lambda f: f.token(header={'kid': [f.kid]}),
    'kid as a path': lambda f: f.token(header={'kid': '../../dev/null'}),
    'jku': lambda f: f.token(key=f.foreign, header={'jku': 'https://evil.example/jwks'}),
    'jku on our own': lambda f: f.token(header={'jku': 'https://evil.example/jwks'}),
    'jwk': lambda f: f.token(key=f.foreign, header={'jwk': f.foreign.as_dict(private=False)}),
    'x5u': lambda f: f.token(key=f.foreign, header={'x5u': 'https://evil.example/cert'}),
    'crit': lambda f: f.token(header={'crit': ['exp']}),
    'b64 false': lambda f: f.token(header={'b64': False, 'crit': ['b64']}),
    'wrong iss': lambda f: f.token(iss='https://evil.example'),
    'no iss': lambda f: f.token(iss=None),
    'wrong aud': lambda f: f.token(aud='anon'),
    'iss in a list': lambda f: f.token(iss=[f.issuer, 'https://evil.example']),
    'aud in a list': lambda f: f.token(aud=['authenticated', 'anon']),
    'no aud': lambda f: f.token(aud=None),
    'empty aud': lambda f: f.token(aud=[]),
    'expired': lambda f: f.token(exp=int(time.time()) - 1),
    'no exp': lambda f: f.token(exp=None),
    'exp as text': lambda f: f.token(exp='never'),
    'exp of no end': lambda f: f.token(exp=10**30),
    'future nbf': lambda f: f.token(nbf=int(time.time()) + 600),
    'future iat': lambda f: f.token(iat=int(time.time()) + 600),
    'empty sub': lambda f: f.token(sub=''),
    'no sub': lambda f: f.token(sub=None),
    'sub no id': lambda f: f.token(sub='admin'),
    'sub a number': lambda f: f.token(sub=1),
    'role service_role': lambda f: f.token(role='service_role'),
    'role anon': lambda f: f.token(role='anon'),
    'no role': lambda f: f.token(role=None),
    'roles in a list': lambda f: f.token(role=['authenticated', 'service_role']),
    'no session': lambda f: f.token(session_id=None),
    'no email': lambda f: f.token(email=None),
    'empty email': lambda f: f.token(email=''),
    'payload tampered': lambda f: tampered(f.token(), 1, sub=str(uuid4())),
    'header tampered': lambda f: tampered(f.token(), 0, typ='at+jwt'),
    'no signature': lambda f: cut(f.token(), 2),
    'signature of zeros': lambda f: cut(f.token(), 2, base64.urlsafe_b64encode(bytes(64)).rstrip(b'=').decode()),
    'signature of another': lambda f: cut(f.token(), 2, f.token().split('.')[2]),
    'payload no object': lambda f: cut(f.token(), 1, encode([1])),
    'garbage': lambda f: 'garbage',
    'empty': lambda f: '',
    'dots': lambda f: '...',
    'not ASCII': lambda f: 'ä.ö.ü',
    'surrogate': lambda f: '\ud800',
    'nested JSON': lambda f: cut(f.token(), 0, base64.urlsafe_b64encode(b'[' * 2000).rstrip(b'=').decode()),
    'huge': lambda f: f.token(email='x' * 10**6),
    'encrypted form': lambda f: f.token() + '.x.y',
}


def test_a_forge_that_forges_nothing_makes_a_good_token(forge: Forge) -> None:
    assert jwt.decode(forge.token(), forge.key, algorithms=['ES256']).claims['iss'] == forge.issuer


async def test_the_good_token_is_accepted(identity: Identity, forge: Forge) -> None:
    assert (await identity.verify(forge.token())).email == 'ada@example.com'


@pytest.mark.parametrize('name', FORGED)
async def test_a_forged_token_is_refused(identity: Identity, forge: Forge, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # the forge itself breaks rules that the library warns of
        token = FORGED[name](forge)
    with pytest.raises(NotSignedIn) as caught:
        await identity.verify(token)
    assert str(caught.value) == 'This access token is not valid. Sign in again.', 'and why is not told'


async def test_another_servers_token_is_refused(database: Postgres, embedded_forge: Forge, tmp_path: Path) -> None:
    other = EmbeddedIdentity(database, tmp_path / 'other', issuer=ISSUER, mailer=UNUSED, hasher=CHEAP)
    with pytest.raises(NotSignedIn):
        await other.verify(embedded_forge.token())


async def test_a_clock_that_is_a_little_ahead_issues_good_tokens(identity: Identity, forge: Forge) -> None:
    now = int(time.time())
    assert await identity.verify(forge.token(iat=now + 10, nbf=now + 10))


# published keys


class Published:
    """A key set somewhere, and a clock."""

    def __init__(self, *keys: Any) -> None:
        self.keys = list(keys)
        self.asked = 0
        self.now = 1000.0
        self.away = False
        self.held: asyncio.Event | None = None

    async def fetch(self) -> dict[str, Any]:
        self.asked += 1
        if self.held:
            await self.held.wait()
        if self.away:
            raise Unavailable
        return {'keys': [{**key.as_dict(private=False), 'kid': kid} for kid, key in self.keys]}


OLD, NEW = ECKey.generate_key('P-256'), RSAKey.generate_key(2048)


@pytest.fixture
def published() -> Published:
    return Published(('old', OLD))


@pytest.fixture
def keys(published: Published) -> PublishedKeys:
    return PublishedKeys(published.fetch, clock=lambda: published.now)


async def test_keys_are_asked_for_once_for_ten_minutes(published: Published, keys: PublishedKeys) -> None:
    found = await asyncio.gather(*(keys.find('old') for _ in range(20)))
    assert [each and each.thumbprint() for each in found] == [OLD.thumbprint()] * 20
    published.now += FRESH - 1
    assert await keys.find('old')
    assert published.asked == 1
    published.now += 2
    assert await keys.find('old')
    assert published.asked == 2


async def test_an_unknown_id_asks_again_but_not_at_once(published: Published, keys: PublishedKeys) -> None:
    assert await keys.find('old')
    for kid in range(100):
        assert await keys.find(f'made up {kid}') is None
    assert published.asked == 1
    published.keys.append(('new', NEW))
    published.now += PAUSE
    assert await keys.find('new')
    assert published.asked == 2


async def test_old_keys_serve_while_new_ones_cannot_be_had(published: Published, keys: PublishedKeys) -> None:
    assert await keys.find('old')
    published.away = True
    published.now += FRESH + 1
    for _ in range(10):
        assert await keys.find('old')
        assert await keys.find('new') is None
    assert published.asked == 2
    published.away = False
    published.keys = [('new', NEW)]
    published.now += PAUSE
    assert await keys.find('new')
    assert await keys.find('old') is None, 'what is published no more verifies nothing'


async def test_who_has_an_old_key_does_not_wait_for_others(published: Published, keys: PublishedKeys) -> None:
    assert await keys.find('old')
    published.held = asyncio.Event()
    published.now += FRESH + 1
    asking = asyncio.create_task(keys.find('new'))
    while published.asked < 2:
        await asyncio.sleep(0)
    assert await keys.find('old')
    published.held.set()
    assert await asking is None


async def test_who_asked_first_and_went_away_holds_nobody_up(published: Published, keys: PublishedKeys) -> None:
    published.held = asyncio.Event()
    first = asyncio.create_task(keys.find('old'))
    while not published.asked:
        await asyncio.sleep(0)
    second = asyncio.create_task(keys.find('old'))
    await asyncio.sleep(0)
    first.cancel()
    published.held.set()
    assert await second
    assert published.asked == 2


async def test_without_any_key_nothing_can_be_told(published: Published, keys: PublishedKeys) -> None:
    published.away = True
    for _ in range(5):
        with pytest.raises(Unavailable):
            await keys.find('old')
    assert published.asked == 1, 'a service that is away is not asked by every request'


async def test_rsa_signs_rs256_and_nothing_else(published: Published, keys: PublishedKeys) -> None:
    published.keys = [('new', NEW)]
    forge = Forge(OLD.as_pem(), kid='new', issuer=ISSUER)
    verifier = Verifier(keys, issuer=ISSUER)
    header = {'typ': 'JWT', 'kid': 'new'}
    good = jwt.encode(header | {'alg': 'RS256'}, forge.claims(), NEW, algorithms=['RS256'])
    assert (await verifier.claims(good)).email == 'ada@example.com'
    for algorithm in ('RS512', 'PS256'):
        token = jwt.encode(header | {'alg': algorithm}, forge.claims(), NEW, algorithms=[algorithm])
        with pytest.raises(NotSignedIn):
            await verifier.claims(token)


@pytest.mark.parametrize(
    'entry',
    [
        {**OctKey.generate_key(256).as_dict(), 'kid': 'x'},
        {**OKPKey.generate_key('Ed25519').as_dict(private=False), 'kid': 'x'},
        {**ECKey.generate_key('P-384').as_dict(private=False), 'kid': 'x'},
        {'kty': 'EC', 'kid': 'x'},
        {'kid': 'x'},
        'x',
        None,
    ],
)
def test_what_cannot_verify_our_algorithms_is_no_key(entry: Any) -> None:
    good = {**OLD.as_dict(private=False), 'kid': 'good'}
    assert list(usable_keys({'keys': [entry, good]})) == ['good']


@pytest.mark.parametrize('published', [{}, {'keys': None}, {'keys': 5}, {'keys': {}}, {'keys': 'x'}])
def test_what_is_no_key_set_holds_no_key(published: dict[str, Any]) -> None:
    assert usable_keys(published) == {}


def signing(fake: FakeSupabase) -> dict[str, Any]:
    """The key that a project signs with."""
    return fake.store.all('key')[-1]
