"""The embedded identity: email and password in Postgres, tokens with Supabase's claims signed by a key of our own."""

import asyncio
import hashlib
import os
import secrets
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from core.errors import Conflict, Misconfigured, NotFound, NotSignedIn, UsageError
from core.ports import Database, Mailer, Transaction
from core.settings import Issuer
from core.values import BY_MAIL, Begun, Claims, Tokens
from storage.credentials import normal_email, normal_password, strong_password, usable_email
from storage.embedded.oidc import OidcProvider
from storage.letters import SIGN_IN, SIGN_IN_TEXT
from storage.tokens import AUDIENCE, ROLE, KnownKeys, Verifier

ALGORITHM = 'ES256'
ACCESS_LIFE = timedelta(minutes=15)
REFRESH_LIFE = timedelta(days=30)
LINK_LIFE = timedelta(hours=1)
LONGEST_PASSWORD = 1024
HASHES_AT_A_TIME = 2


class EmbeddedIdentity:
    """Accounts in `auth.users` (`core.ports.Identity`); the key pair lies in `secrets`, made at the first start.

    Passwords are hashed by argon2id (RFC 9106) with the cost of `hasher`, two at a time. Access tokens are ES256 JWTs
    (RFC 7518, 7519) of 15 minutes; refresh tokens serve once, and one that comes back retires its whole sign-in.

    Who comes by one of `oidc` is known by issuer and `sub`, and the first time by the email that the issuer verified.
    A mailed link holds an hour, and serves whoever has its secret too.
    """

    def __init__(
        self,
        database: Database,
        secrets_folder: Path,
        *,
        mailer: Mailer,
        oidc: Mapping[str, Issuer] | None = None,
        issuer: str = 'variosync',
        hasher: PasswordHasher | None = None,
    ) -> None:
        self._database = database
        self._mailer = mailer
        self._oidc = {name: OidcProvider(name, settings) for name, settings in (oidc or {}).items()}
        self._issuer = issuer
        self._hasher = hasher or PasswordHasher()
        self._hashing = asyncio.Semaphore(HASHES_AT_A_TIME)
        self._key = _signing_key(secrets_folder / 'token-key.pem')
        self._keys = {self._key.thumbprint(): self._key}
        self._verifier = Verifier(KnownKeys(self._keys), issuer=issuer)
        # What an unknown email is checked against, so that it takes as long as a known one.
        self._nobody = _of_no_password(self._hasher)

    @property
    def jwks(self) -> Mapping[str, Any]:
        """The public keys, as a JSON Web Key Set."""
        return {'keys': [_public(kid, key) for kid, key in self._keys.items()]}

    async def sign_up(self, email: str, password: str) -> UUID:
        """Create an account and return its id. A taken email raises Conflict, a weak password UsageError."""
        address = usable_email(email)
        hashed = await self._hash(_strong(password, address))
        try:
            async with self._database.system() as tx:
                row = await tx.one('identity_user_insert', email=address, password=hashed)
        except Conflict:
            raise Conflict('There is an account with this email already. Sign in instead.') from None
        return UUID(str(row['id']))

    async def sign_in(self, email: str, password: str) -> Tokens:
        """Return tokens. Raise NotSignedIn when email and password do not match, whichever is wrong."""
        async with self._database.system() as tx:
            row = await tx.first('identity_user_by_email', email=normal_email(email) or '')
        hashed = row['encrypted_password'] if row else None
        matches = await self._matches(hashed or self._nobody, password)
        if row is None or hashed is None or not matches:
            raise NotSignedIn('Email and password do not match. Try again, or create an account.')
        renewed = await self._hash(normal_password(password)) if self._hasher.check_needs_rehash(hashed) else None
        async with self._database.system() as tx:
            if not await tx.run('identity_user_signed_in', id=row['id'], checked=hashed, renewed=renewed):
                raise NotSignedIn('This password was changed or removed meanwhile. Sign in again.')
            return await self._open(tx, row['id'], row['email'], 'password')

    async def ensure(self, email: str) -> UUID:
        """Return the account's id; create it without a password when there is none."""
        async with self._database.system() as tx:
            row = await tx.one('identity_user_ensure', email=usable_email(email))
        return UUID(str(row['id']))

    async def verify(self, access_token: str) -> Claims:
        """Return what the token says. Raise NotSignedIn unless signature, issuer, audience, expiry and role hold."""
        return await self._verifier.claims(access_token)

    @property
    def providers(self) -> Sequence[str]:
        """The names under `oidc`."""
        return tuple(self._oidc)

    async def begin(self, provider: str, *, redirect_to: str, state: str) -> Begun:
        """Return where to send the browser. Raise NotFound for an unknown provider, Unavailable when it is silent."""
        if provider not in self._oidc:
            raise NotFound('Nobody signs in by this provider here. Choose another way.')
        return await self._oidc[provider].begin(redirect_to=redirect_to, state=state)

    async def send_link(self, email: str, *, redirect_to: str, state: str) -> str:
        """Mail a link, to whoever it is; return the secret to finish it with."""
        address = usable_email(email)
        token, secret = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        async with self._database.system() as tx:
            await tx.run('identity_links_expired')
            await tx.run(
                'identity_link_insert',
                token_hash=_digest(token),
                secret_hash=_digest(secret),
                email=address,
                life=LINK_LIFE,
            )
        link = f'{redirect_to}?{urlencode({"state": state, "code": token})}'
        await self._mailer.send(address, subject=SIGN_IN, text=SIGN_IN_TEXT.format(link=link))
        return secret

    async def finish(self, provider: str, answer: Mapping[str, str], *, secret: str, redirect_to: str) -> Tokens:
        """Return tokens for whom the answer proves. Raise NotSignedIn when it does not hold or was used before."""
        if provider == BY_MAIL:
            return await self._finish_link(answer.get('code', ''), secret)
        if provider not in self._oidc:
            raise NotSignedIn('Nobody signs in by this provider here any more. Choose another way.')
        person = await self._oidc[provider].finish(answer, secret=secret, redirect_to=redirect_to)
        async with self._database.system() as tx:
            known = {'provider': person.issuer, 'provider_id': person.subject}
            row = await tx.first('identity_user_by_subject', **known)
            if row is not None:
                return await self._enter(tx, row['id'], row['email'], 'oauth')
            row = await tx.one('identity_user_ensure', email=person.email)
            await tx.run('identity_subject_insert', user_id=row['id'], **known)
            return await self._enter(tx, row['id'], person.email, 'oauth')

    async def _finish_link(self, token: str, secret: str) -> Tokens:
        async with self._database.system() as tx:
            link = await tx.first('identity_link_use', token_hash=_digest(token), secret_hash=_digest(secret))
            if link is None:
                raise NotSignedIn('This sign-in link was used already or is too old. Ask for a new one.')
            row = await tx.one('identity_user_ensure', email=link['email'])
            return await self._enter(tx, row['id'], link['email'], 'otp')

    async def _enter(self, tx: Transaction, user_id: UUID, email: str, method: str) -> Tokens:
        await tx.run('identity_user_proven', id=user_id)
        return await self._open(tx, user_id, email, method)

    async def _open(self, tx: Transaction, user_id: UUID, email: str, method: str) -> Tokens:
        refresh, session_id = secrets.token_urlsafe(32), uuid4()
        await tx.run('identity_tokens_expired', user_id=user_id)
        await self._keep(tx, refresh, user_id, session_id, method)
        return self._tokens(user_id, email, session_id, refresh, method)

    async def _keep(self, tx: Transaction, token: str, user_id: UUID, session_id: UUID, method: str) -> None:
        await tx.run(
            'identity_token_insert',
            token_hash=_digest(token),
            user_id=user_id,
            session_id=session_id,
            method=method,
            life=REFRESH_LIFE,
        )

    async def refresh(self, refresh_token: str) -> Tokens:
        """Return new tokens and retire the old refresh token. Raise NotSignedIn when it is unknown, used or expired."""
        fresh = secrets.token_urlsafe(32)
        old = _digest(refresh_token)
        async with self._database.system() as tx:
            used = await tx.first('identity_token_use', token_hash=old)
            if used is None:
                await tx.run('identity_family_retire', token_hash=old)
            else:
                user = await tx.one('identity_user_by_id', id=used['user_id'])
                await self._keep(tx, fresh, used['user_id'], used['session_id'], used['method'])
        if used is None:
            raise NotSignedIn('This sign-in has ended. Sign in again.')
        return self._tokens(user['id'], user['email'], used['session_id'], fresh, used['method'])

    async def sign_out(self, access_token: str) -> None:
        """Retire every refresh token of the sign-in that the token is of. Raise NotSignedIn when it does not hold."""
        claims = await self.verify(access_token)
        async with self._database.system() as tx:
            await tx.run('identity_session_retire', session_id=claims.session_id)

    async def set_password(self, user_id: UUID, password: str | None) -> None:
        """Let this password, or none, sign in from now on, and retire refresh tokens. Raise UsageError or NotFound."""
        async with self._database.system() as tx:
            user = await tx.one('identity_user_by_id', id=user_id)
        hashed = None if password is None else await self._hash(_strong(password, user['email']))
        async with self._database.system() as tx:
            await tx.run('identity_password_set', id=user_id, password=hashed)
            await tx.run('identity_tokens_retire', user_id=user_id)

    async def delete(self, user_id: UUID) -> None:
        """Remove an account and its refresh tokens. Removing it twice changes nothing."""
        async with self._database.system() as tx:
            await tx.run('identity_user_delete', id=user_id)

    def _tokens(self, user_id: UUID, email: str, session_id: UUID, refresh_token: str, method: str) -> Tokens:
        now = datetime.now(UTC)
        claims = {
            'iss': self._issuer,
            'aud': AUDIENCE,
            'sub': str(user_id),
            'email': email,
            'role': ROLE,
            'session_id': str(session_id),
            'aal': 'aal1',
            'amr': [{'method': method, 'timestamp': int(now.timestamp())}],
            'iat': int(now.timestamp()),
            'exp': int((now + ACCESS_LIFE).timestamp()),
        }
        header = {'alg': ALGORITHM, 'kid': self._key.thumbprint()}
        return Tokens(
            access_token=jwt.encode(header, claims, self._key, algorithms=[ALGORITHM]),
            refresh_token=refresh_token,
            expires_in=int(ACCESS_LIFE.total_seconds()),
            user_id=user_id,
            email=email,
        )

    async def _hash(self, password: str) -> str:
        async with self._hashing:
            return await asyncio.to_thread(self._hasher.hash, _bytes(password))

    async def _matches(self, hashed: str, password: str) -> bool:
        # A password that is too long fails, but not sooner than a wrong one.
        given = normal_password(password[:LONGEST_PASSWORD])
        async with self._hashing:
            try:
                matches = await asyncio.to_thread(self._hasher.verify, hashed, _bytes(given))
            except (VerificationError, InvalidHashError):
                return False
        return matches and len(password) <= LONGEST_PASSWORD


def _strong(password: str, address: str) -> str:
    if len(password) > LONGEST_PASSWORD:
        raise UsageError(f'The password has more than {LONGEST_PASSWORD} characters. Choose a shorter one.')
    return strong_password(password, address)


def _of_no_password(hasher: PasswordHasher) -> str:
    """Return a hash of the hasher's cost that was drawn, not computed: who only starts a server has not to wait."""
    salt, drawn = (
        b64encode(secrets.token_bytes(size)).decode().rstrip('=') for size in (hasher.salt_len, hasher.hash_len)
    )
    cost = f'm={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}'
    return f'$argon2id$v={ARGON2_VERSION}${cost}${salt}${drawn}'


def _bytes(password: str) -> bytes:
    return password.encode('utf-8', 'surrogatepass')


def _digest(token: str) -> bytes:
    return hashlib.sha256(_bytes(token)).digest()


def _public(kid: str, key: ECKey) -> dict[str, Any]:
    return {**key.as_dict(private=False), 'kid': kid, 'alg': ALGORITHM, 'use': 'sig', 'key_ops': ['verify']}


def _signing_key(path: Path) -> ECKey:
    """Return the key in a file that only we can read; make both when they are absent."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _write_key(path)
        return ECKey.import_key(path.read_bytes())
    except (OSError, ValueError, JoseError) as error:
        raise Misconfigured(f'The key that signs tokens cannot be used: {path}. Restore it, or remove it.') from error


def _write_key(path: Path) -> None:
    # Made aside and linked: two processes that start together end up with one key, and no reader sees half of it.
    made = path.with_name(f'{path.name}.{secrets.token_hex(8)}')
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, 'wb') as file:
            file.write(ECKey.generate_key('P-256').as_pem(private=True))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(made, path)
    finally:
        made.unlink()
