"""Access tokens (JWT, RFC 7519) checked by ourselves: what both identities ask of one, and the keys that signed it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

from core.errors import NotSignedIn, Unavailable, VariosyncError
from core.values import Claims

Key = ECKey | RSAKey
T = TypeVar('T')

AUDIENCE = ROLE = 'authenticated'
LONGEST = 4096
SKEW = 30  # seconds that the clock of whoever issues tokens may be ahead of ours
FRESH = 600.0  # seconds that published keys are used without asking again, as Supabase's Cache-Control says
PAUSE = 30.0  # seconds between two requests for them at least, whatever tokens ask for


class Keys(Protocol):
    """Public keys by their id."""

    async def find(self, kid: str) -> Key | None:
        """Return the key, or None when there is none of this id. Raise Unavailable when that cannot be told."""


class KnownKeys:
    """Keys that are at hand."""

    def __init__(self, keys: Mapping[str, Key]) -> None:
        self._keys = keys

    async def find(self, kid: str) -> Key | None:
        """Return the key, or None when there is none of this id."""
        return self._keys.get(kid)


class Published(Generic[T]):
    """Something that somebody publishes; `fetch` gets it or raises an error of ours.

    It is asked for when it is older than `fresh` seconds, or not enough for who asks, but not within `pause` seconds of
    the last answer or failure. Everybody waits for one request. While it cannot be had, that of before is used.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[T]],
        *,
        fresh: float,
        pause: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._fresh = fresh
        self._pause = pause
        self._clock = clock
        self._had: T | None = None
        self._failed: VariosyncError = Unavailable()
        self._fetched = self._asked = -float('inf')
        self._asking = asyncio.Lock()

    async def get(self, enough: Callable[[T], bool] = lambda _: True) -> T:
        """Return it, whether it is enough or not. Raise what its last failure was when it could not be had so far."""
        # Who has an old one does not wait for somebody else's request.
        if self._due(enough) and not (self._has(enough) and self._asking.locked()):
            async with self._asking:
                if self._due(enough):
                    await self._ask()
        if self._had is None:
            raise type(self._failed)(self._failed.message) from self._failed
        return self._had

    def _has(self, enough: Callable[[T], bool]) -> bool:
        return self._had is not None and enough(self._had)

    def _due(self, enough: Callable[[T], bool]) -> bool:
        now = self._clock()
        good = self._has(enough) and now - self._fetched < self._fresh
        return not good and now - self._asked >= self._pause

    async def _ask(self) -> None:
        try:
            self._had = await self._fetch()
            self._fetched = self._clock()
        except VariosyncError as error:
            self._failed = error
        # Not where whoever asked has gone meanwhile: the next one asks.
        self._asked = self._clock()


class PublishedKeys:
    """Keys of a JSON Web Key Set (RFC 7517) that somebody publishes; `fetch` gets it or raises an error of ours.

    They are asked for when they are older than ten minutes or an id is unknown, at most every 30 seconds. While they
    cannot be had, those of before are used.
    """

    def __init__(
        self, fetch: Callable[[], Awaitable[Mapping[str, Any]]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        async def keys() -> dict[str, Key]:
            return usable_keys(await fetch())

        self._published = Published(keys, fresh=FRESH, pause=PAUSE, clock=clock)

    async def find(self, kid: str) -> Key | None:
        """Return the key, or None when there is none of this id. Raise Unavailable when none could be had so far."""
        return (await self._published.get(lambda keys: kid in keys)).get(kid)


def usable_keys(published: Mapping[str, Any]) -> dict[str, Key]:
    """Return the keys of a key set by id that can verify one of our algorithms; other keys are passed over."""
    keys: dict[str, Key] = {}
    entries = published.get('keys')
    for entry in entries if isinstance(entries, list) else ():
        try:
            [key] = KeySet.import_key_set({'keys': [entry]}).keys
        except (JoseError, ValueError, TypeError, KeyError, AttributeError):
            continue
        if isinstance(key, ECKey | RSAKey) and isinstance(key.kid, str) and algorithm_of(key):
            keys[key.kid] = key
    return keys


def algorithm_of(key: Key) -> str | None:
    """The one algorithm that a key signs with here: what a token says about it is compared, never believed."""
    if isinstance(key, ECKey):
        return 'ES256' if key.curve_name == 'P-256' else None
    return 'RS256'


class Verifier:
    """Checks tokens of one issuer, for a signed-in user: signed by one of `keys`, in time, and for us."""

    def __init__(self, keys: Keys, *, issuer: str) -> None:
        self._keys = keys
        self._issuer = issuer

    async def claims(self, token: str) -> Claims:
        """Return what the token says. Raise NotSignedIn unless signature, issuer, audience, expiry and role hold."""
        try:
            return await self._claims(token)
        except (JoseError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise NotSignedIn('This access token is not valid. Sign in again.') from error

    async def _claims(self, token: str) -> Claims:
        if len(token) > LONGEST:
            raise ValueError('longer than any token of ours')
        header = jws.extract_compact(token.encode()).headers()
        key = await self._keys.find(str(header['kid']))
        if key is None:
            raise ValueError('not signed by a key of ours')
        algorithm = algorithm_of(key)
        # Ours hold these three and nothing else: no key, and no address of one, is taken from a token.
        if header != {'alg': algorithm, 'typ': 'JWT', 'kid': header['kid']}:
            raise ValueError('not a header of ours')
        return self._checked(jwt.decode(token, key, algorithms=[str(algorithm)]).claims)

    def _checked(self, claims: dict[str, Any]) -> Claims:
        registry = jwt.JWTClaimsRegistry(leeway=SKEW, exp={'essential': True}, sub={'essential': True})
        registry.validate(claims)
        # Compared here, because the registry is content with a list that holds the value among others.
        if (claims['iss'], claims['aud'], claims['role']) != (self._issuer, AUDIENCE, ROLE):
            raise ValueError('not a token of ours for a signed-in user')
        expires_at = datetime.fromtimestamp(claims['exp'], UTC)
        if expires_at <= datetime.now(UTC) or not claims['email']:
            raise ValueError('expired, or of somebody without an email')
        return Claims(
            user_id=UUID(claims['sub']),
            email=str(claims['email']),
            session_id=UUID(claims['session_id']),
            role=ROLE,
            expires_at=expires_at,
        )
