"""Who somebody is, said by an OpenID Connect provider: Authorization Code with PKCE (RFC 7636) and a nonce.

Read with OpenID Connect Core 1.0 (3.1), Discovery 1.0 and OAuth's security advice (RFC 9700). Authlib speaks OAuth;
the id_token is checked here.
"""

import asyncio
import functools
import hmac
import json
import re
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from joserfc import jws, jwt
from joserfc.errors import JoseError

from core.errors import Misconfigured, NotSignedIn, Unavailable
from core.settings import Issuer
from core.values import Begun
from storage.credentials import normal_email
from storage.hosts import is_loopback
from storage.tokens import Published, PublishedKeys, algorithm_of

if TYPE_CHECKING:
    from authlib.oauth2.client import OAuth2Client

SCOPE = 'openid email'
PATIENCE = 10.0  # seconds for one question to a provider
LONGEST = 256 * 2**10  # bytes of its answer
LONGEST_CODE = 4096
LONGEST_TOKEN = 16_384
FRESH = 3600.0  # seconds that a provider's description is used without asking again
PAUSE = 5.0  # seconds between two requests for it at least
SKEW = 30  # seconds that its clock may differ from ours
# `email` is a mailed link, and the others are routes beside those of the providers.
TAKEN = frozenset({'callback', 'email', 'link', 'login', 'logout', 'magic', 'refresh', 'register', 'verify'})
NAME = re.compile(r'(?!sign-)[a-z][a-z0-9-]{0,30}')
BASIC, IN_BODY = 'client_secret_basic', 'client_secret_post'
FORM = {'Content-Type': 'application/x-www-form-urlencoded'}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Whom a provider vouches for: `subject` is theirs at this issuer for ever, the email was verified there."""

    issuer: str
    subject: str
    email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What we use of a provider's description of itself."""

    issuer: str
    authorize: str
    token: str
    keys: str
    people: str | None
    authentication: str
    names_itself: bool  # in its answers (RFC 9207)


class OidcProvider:
    """One provider. What it says is bounded in time and size, and believed from its own https addresses only."""

    def __init__(self, name: str, settings: Issuer, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not NAME.fullmatch(name) or name in TAKEN:
            raise Misconfigured(f'VARIOSYNC_OIDC: "{name}" cannot be the name of a provider. Take one such as google.')
        if not _is_safe(settings.issuer):
            raise Misconfigured(f'VARIOSYNC_OIDC: the issuer of "{name}" is no https address.')
        self._name = name
        self._settings = settings
        self._keys = PublishedKeys(self._fetch_keys)
        self._about = Published(self._describe, fresh=FRESH, pause=PAUSE, clock=clock)

    async def begin(self, *, redirect_to: str, state: str) -> Begun:
        """Return where to send the browser. Raise Unavailable when the provider does not answer."""
        about = await self._about.get()
        verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
        url, _ = self._client(about, redirect_to).create_authorization_url(
            about.authorize, state=state, code_verifier=verifier, nonce=nonce
        )
        return Begun(url=url, secret=json.dumps({'provider': self._name, 'verifier': verifier, 'nonce': nonce}))

    async def finish(self, answer: Mapping[str, str], *, secret: str, redirect_to: str) -> Person:
        """Return whom the answer proves. Raise NotSignedIn when it does not hold."""
        kept = _kept(secret, self._name)
        if 'error' in answer:
            raise NotSignedIn('The provider was not allowed to say who you are. Try again, or sign in another way.')
        about = await self._about.get()
        named = answer.get('iss')
        code = answer.get('code', '')
        if not 0 < len(code) <= LONGEST_CODE or (about.names_itself if named is None else named != about.issuer):
            raise _unproven()
        tokens = await self._redeem(about, code, kept['verifier'], redirect_to)
        try:
            claims = await self._claims(about, str(tokens['id_token']), kept['nonce'])
            return await self._person(about, claims, tokens)
        except (JoseError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise _unproven() from error

    async def _redeem(self, about: About, code: str, verifier: str, redirect_to: str) -> Mapping[str, Any]:
        from authlib.oauth2 import OAuth2Error
        from authlib.oauth2.rfc6749.parameters import prepare_token_request

        client = self._client(about, redirect_to)
        asked = prepare_token_request('authorization_code', redirect_uri=redirect_to, code=code, code_verifier=verifier)
        sign = client.client_auth(about.authentication).prepare
        try:
            url, headers, body = sign('POST', about.token, dict(FORM), asked)
            async with _web() as web:
                tokens: Mapping[str, Any] = client.parse_response_token(
                    await web.post(url, headers=headers, content=body)
                )
        except OAuth2Error as error:
            if error.error == 'invalid_client':
                raise Misconfigured(f'The provider does not know us: check {self._name} in VARIOSYNC_OIDC.') from error
            raise _unproven() from error
        except (ValueError, TypeError, RecursionError) as error:
            raise _silent() from error
        return tokens

    async def _claims(self, about: About, token: str, nonce: str) -> dict[str, Any]:
        """Return what an id_token says; an error of joserfc, ValueError or the like tells that it does not hold."""
        if len(token) > LONGEST_TOKEN:
            raise ValueError('longer than any id_token')
        header = jws.extract_compact(token.encode()).headers()
        key = await self._keys.find(str(header['kid']))
        if key is None:
            raise ValueError('not signed by a key of this issuer')
        # The algorithm is the key's, whatever the token says about it.
        claims = jwt.decode(token, key, algorithms=[str(algorithm_of(key))]).claims
        registry = jwt.JWTClaimsRegistry(leeway=SKEW, exp={'essential': True}, iat={'essential': True})
        registry.validate(claims)
        client = self._settings.client_id
        if (
            claims['iss'] != about.issuer
            or claims['aud'] not in (client, [client])
            or claims.get('azp') not in (None, client)
        ):
            raise ValueError('of another issuer, or for somebody else')
        if not hmac.compare_digest(str(claims['nonce']).encode(), nonce.encode()):
            raise ValueError('of another sign-in')
        return claims

    async def _person(self, about: About, claims: Mapping[str, Any], tokens: Mapping[str, Any]) -> Person:
        subject = claims['sub']
        if 'email' not in claims and about.people is not None:
            told = await _json(about.people, {'Authorization': f'Bearer {tokens["access_token"]}'})
            if told.get('sub') != subject:
                raise ValueError('of somebody else')
            claims = told
        if not isinstance(subject, str) or not 0 < len(subject) <= 255 or '\x00' in subject:
            raise ValueError('of nobody')
        told_email = claims.get('email')
        email = normal_email(told_email) if isinstance(told_email, str) else None
        verified = claims.get('email_verified')
        # Some providers write it as a text.
        if email is None or (verified is not True and verified != 'true'):
            raise NotSignedIn('The provider has verified no email of yours. Verify it there, or sign in another way.')
        return Person(issuer=about.issuer, subject=subject, email=email)

    def _client(self, about: About, redirect_to: str) -> 'OAuth2Client':
        from authlib.oauth2.client import OAuth2Client

        return OAuth2Client(
            None,
            client_id=self._settings.client_id,
            client_secret=self._settings.client_secret.get_secret_value(),
            scope=SCOPE,
            redirect_uri=redirect_to,
            code_challenge_method='S256',
        )

    async def _describe(self) -> About:
        return self._described(await _json(f'{self._settings.issuer.rstrip("/")}/.well-known/openid-configuration'))

    def _described(self, said: Mapping[str, Any]) -> About:
        addresses = [said.get(name) for name in ('authorization_endpoint', 'token_endpoint', 'jwks_uri')]
        people = said.get('userinfo_endpoint')
        issuer = str(said.get('issuer'))
        used = addresses if people is None else [*addresses, people]
        if issuer.rstrip('/') != self._settings.issuer.rstrip('/') or not all(map(_is_safe, used)):
            raise Misconfigured(f'VARIOSYNC_OIDC: the issuer of "{self._name}" describes another one. Check it.')
        ways = said.get('token_endpoint_auth_methods_supported') or [BASIC]
        return About(
            issuer=issuer,
            authorize=str(addresses[0]),
            token=str(addresses[1]),
            keys=str(addresses[2]),
            people=people,
            authentication=BASIC if BASIC in ways else IN_BODY,
            names_itself=said.get('authorization_response_iss_parameter_supported') is True,
        )

    async def _fetch_keys(self) -> Mapping[str, Any]:
        return await _json((await self._about.get()).keys)


def _kept(secret: str, name: str) -> Mapping[str, str]:
    """What `begin` left to finish with. Raise NotSignedIn when it was begun with another provider."""
    try:
        kept: Mapping[str, str] = json.loads(secret)
        if kept['provider'] == name and kept['verifier'] and kept['nonce']:
            return kept
    except (ValueError, TypeError, KeyError):
        pass
    raise _unproven()


async def _json(url: str, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
    async with _web() as web:
        response = await web.get(url, headers=headers)
        response.raise_for_status()
    try:
        said = response.json()
    except (ValueError, RecursionError) as error:
        raise _silent() from error
    if not isinstance(said, dict):
        raise _silent()
    return said


@asynccontextmanager
async def _web() -> AsyncIterator[httpx.AsyncClient]:
    """A client for one question: it follows no redirect, and Unavailable is all that it raises."""
    headers = {'Accept': 'application/json', 'Accept-Encoding': 'identity'}
    try:
        async with (
            asyncio.timeout(PATIENCE),
            httpx.AsyncClient(transport=_Bounded(verify=_tls()), headers=headers) as client,
        ):
            yield client
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        raise _silent() from error


class _Bounded(httpx.AsyncHTTPTransport):
    """Answers of `LONGEST` bytes at most, which are not packed."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _BoundedStream(response.stream)
        if 'content-encoding' in response.headers:
            await response.aclose()
            raise httpx.DecodingError('a packed answer, which nobody asked for')
        return response


class _BoundedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = LONGEST
        async for piece in self._stream:
            left -= len(piece)
            if left < 0:
                raise httpx.ReadError('longer than any answer that we asked for')
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _is_safe(url: object) -> bool:
    """Whether an address is encrypted, or on this machine."""
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname or ''
    except ValueError:
        return False
    return bool(host) and (parts.scheme == 'https' or (parts.scheme == 'http' and is_loopback(host)))


def _unproven() -> NotSignedIn:
    return NotSignedIn('The provider’s answer does not hold. Start again from the sign-in page.')


def _silent() -> Unavailable:
    return Unavailable('The provider does not answer. Try again in a moment, or sign in another way.')
