"""A small OpenID Connect provider: who comes is `person`, and says yes unless `denies` is set.

Each route names what it follows. A test makes it lie by `describes`, `claims`, `signed_with`, `forge` and `answers`.
"""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from core.settings import Issuer
from tests.fakes.serving import serving

Claims = dict[str, Any]
Key = ECKey | RSAKey


@dataclass
class Grant:
    """What a code stands for."""

    client_id: str
    redirect_uri: str
    challenge: str
    nonce: str


class FakeOidc:
    """The provider's state; `app` is the provider."""

    def __init__(self, *, algorithm: str = 'ES256') -> None:
        self.url = ''
        self.client_id, self.client_secret = 'variosync', 'a secret of the client'
        self.algorithm = algorithm
        made = ECKey.generate_key('P-256') if algorithm == 'ES256' else RSAKey.generate_key(2048)
        self.key: Key = made
        self.forget()
        self.app = Starlette(
            routes=[
                Route('/.well-known/openid-configuration', self.describe),
                Route('/authorize', self.authorize),
                Route('/token', self.token, methods=['POST']),
                Route('/jwks', self.jwks),
                Route('/userinfo', self.userinfo),
            ]
        )

    def forget(self) -> None:
        """Be honest again."""
        self.person: Claims = {'sub': 'subject-1', 'email': 'Ada@example.com', 'email_verified': True}
        self.grants: dict[str, Grant] = {}
        self.asked: list[str] = []
        self.denies = ''
        self.describes: Claims = {}
        self.claims: Claims = {}
        self.signed_with: Key | None = None
        self.forge: Callable[[str], str] = lambda token: token
        self.answers: dict[str, Callable[[], Response]] = {}
        self.email_in_token = True

    @property
    def settings(self) -> Issuer:
        """What VARIOSYNC_OIDC holds for it."""
        return Issuer(issuer=self.url, client_id=self.client_id, client_secret=self.client_secret)

    async def describe(self, request: Request) -> Response:
        """OpenID Connect Discovery 1.0, 4.2."""
        return self.scripted(request) or JSONResponse(
            {
                'issuer': self.url,
                'authorization_endpoint': f'{self.url}/authorize',
                'token_endpoint': f'{self.url}/token',
                'jwks_uri': f'{self.url}/jwks',
                'userinfo_endpoint': f'{self.url}/userinfo',
                'response_types_supported': ['code'],
                'subject_types_supported': ['public'],
                'id_token_signing_alg_values_supported': [self.algorithm],
                'code_challenge_methods_supported': ['S256'],
                'authorization_response_iss_parameter_supported': True,
            }
            | self.describes
        )

    async def authorize(self, request: Request) -> Response:
        """OpenID Connect Core 1.0, 3.1.2; RFC 7636, 4.3; RFC 9207, 2."""
        asked = request.query_params
        assert asked['response_type'] == 'code'
        assert asked['client_id'] == self.client_id
        assert 'openid' in asked['scope'].split()
        assert asked['code_challenge_method'] == 'S256'
        answer = {'state': asked['state'], 'iss': self.url}
        if self.denies:
            answer |= {'error': self.denies, 'error_description': '<img src=x onerror=alert(1)> a text of the provider'}
        else:
            answer['code'] = secrets.token_urlsafe(16)
            self.grants[answer['code']] = Grant(
                asked['client_id'], asked['redirect_uri'], asked['code_challenge'], asked['nonce']
            )
        return RedirectResponse(f'{asked["redirect_uri"]}?{urlencode(answer)}', 302)

    async def token(self, request: Request) -> Response:
        """OpenID Connect Core 1.0, 3.1.3; RFC 6749, 5.2 (errors); RFC 7636, 4.6 (the verifier)."""
        if scripted := self.scripted(request):
            return scripted
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        if self._client(request, form) != (self.client_id, self.client_secret):
            return JSONResponse({'error': 'invalid_client'}, 401)
        grant = self.grants.pop(form.get('code', ''), None)
        verifier = base64.urlsafe_b64encode(hashlib.sha256(form.get('code_verifier', '').encode()).digest())
        if (
            grant is None
            or form['grant_type'] != 'authorization_code'
            or form['redirect_uri'] != grant.redirect_uri
            or verifier.rstrip(b'=').decode() != grant.challenge
        ):
            return JSONResponse({'error': 'invalid_grant', 'error_description': 'a text of the provider'}, 400)
        tokens = {'access_token': 'for-userinfo', 'token_type': 'Bearer', 'expires_in': 3600}
        return JSONResponse(tokens | {'id_token': self.forge(self.id_token(grant.nonce))})

    async def jwks(self, request: Request) -> Response:
        """RFC 7517, 5."""
        return self.scripted(request) or JSONResponse({'keys': [{**self.key.as_dict(private=False), 'kid': 'key-1'}]})

    async def userinfo(self, request: Request) -> Response:
        """OpenID Connect Core 1.0, 5.3."""
        assert request.headers['authorization'] == 'Bearer for-userinfo'
        return self.scripted(request) or JSONResponse(self.person)

    def id_token(self, nonce: str) -> str:
        """OpenID Connect Core 1.0, 2."""
        now = int(time.time())
        person = self.person if self.email_in_token else {'sub': self.person['sub']}
        claims = {'iss': self.url, 'aud': self.client_id, 'iat': now, 'exp': now + 600, 'nonce': nonce} | person
        claims = {name: value for name, value in (claims | self.claims).items() if value is not None}
        key = self.signed_with or self.key
        return jwt.encode({'alg': self.algorithm, 'kid': 'key-1'}, claims, key, algorithms=[self.algorithm])

    def scripted(self, request: Request) -> Response | None:
        """What a test wants this route to answer."""
        self.asked.append(request.url.path)
        script = self.answers.get(request.url.path)
        return script() if script else None

    def _client(self, request: Request, form: dict[str, str]) -> tuple[str, ...]:
        scheme, _, given = request.headers.get('authorization', '').partition(' ')
        if scheme == 'Basic':
            return tuple(base64.b64decode(given).decode().split(':', 1))
        return form.get('client_id', ''), form.get('client_secret', '')


def unsigned(token: str) -> str:
    """The same token with `alg: none` and without its signature."""
    header = base64.urlsafe_b64encode(json.dumps({'alg': 'none', 'kid': 'key-1'}).encode()).rstrip(b'=').decode()
    return f'{header}.{token.split(".")[1]}.'


@contextmanager
def open_oidc(*, algorithm: str = 'ES256') -> Iterator[FakeOidc]:
    """The provider on loopback."""
    fake = FakeOidc(algorithm=algorithm)
    with serving(fake.app) as fake.url:
        yield fake
