"""Forged access tokens: none is accepted, whatever it claims and whoever signed it."""

import base64
import hashlib
import hmac
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from core.errors import NotSignedIn
from storage.embedded.identity import EmbeddedIdentity
from storage.postgres import Postgres
from tests.contracts.conftest import CHEAP

ISSUER = 'https://variosync.example/auth/v1'
Claims = dict[str, Any]


class Forge:
    """Makes tokens with our real key, and with others."""

    def __init__(self, folder: Path, identity: EmbeddedIdentity) -> None:
        self.pem = (folder / 'token-key.pem').read_bytes()
        self.key = ECKey.import_key(self.pem)
        self.foreign = ECKey.generate_key('P-256')
        self.kid = identity.jwks['keys'][0]['kid']

    def claims(self, **changes: Any) -> Claims:
        now = int(time.time())
        claims = {
            'iss': ISSUER,
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
def identity(database: Postgres, tmp_path: Path) -> EmbeddedIdentity:
    return EmbeddedIdentity(database, tmp_path, issuer=ISSUER, hasher=CHEAP)


@pytest.fixture
def forge(identity: EmbeddedIdentity, tmp_path: Path) -> Forge:
    return Forge(tmp_path, identity)


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
    'iss in a list': lambda f: f.token(iss=[ISSUER, 'https://evil.example']),
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
    assert jwt.decode(forge.token(), forge.key, algorithms=['ES256']).claims['iss'] == ISSUER


async def test_the_good_token_is_accepted(identity: EmbeddedIdentity, forge: Forge) -> None:
    assert (await identity.verify(forge.token())).email == 'ada@example.com'


@pytest.mark.parametrize('name', FORGED)
async def test_a_forged_token_is_refused(identity: EmbeddedIdentity, forge: Forge, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # the forge itself breaks rules that the library warns of
        token = FORGED[name](forge)
    with pytest.raises(NotSignedIn) as caught:
        await identity.verify(token)
    assert str(caught.value) == 'This access token is not valid. Sign in again.', 'and why is not told'


async def test_another_servers_token_is_refused(database: Postgres, forge: Forge, tmp_path: Path) -> None:
    other = EmbeddedIdentity(database, tmp_path / 'other', issuer=ISSUER, hasher=CHEAP)
    with pytest.raises(NotSignedIn):
        await other.verify(forge.token())
