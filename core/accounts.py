"""Sign-up, sign-in, sessions, the owner's link and the audit log."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

from core.errors import NotSignedIn, TooMany
from core.ports import Cache, Database, Identity, Row, Transaction
from core.values import Session, User

SESSION_LIFE = timedelta(days=30)
LINK_LIFE = timedelta(hours=24)
WINDOW = 15 * 60.0
ATTEMPTS_PER_ACCOUNT = 10
ATTEMPTS_PER_ADDRESS = 50


class Accounts:
    """Who may come in. A session is a random token in a cookie; Postgres holds only its hash."""

    def __init__(self, database: Database, identity: Identity, cache: Cache) -> None:
        self._database = database
        self._identity = identity
        self._cache = cache

    async def sign_up(self, email: str, password: str, *, address: str, user_agent: str = '') -> tuple[str, Session]:
        """Create an account and sign in. Raise Conflict when the e-mail is taken, UsageError for a weak password."""
        await self._limit('sign-up', '', address)
        user_id = await self._identity.sign_up(email, password)
        async with self._database.system() as tx:
            await tx.run('profile_insert', id=user_id, email=_normal(email), owner=False)
            await _audit(tx, user_id, 'sign-up', address)
        return await self.sign_in(email, password, address=address, user_agent=user_agent)

    async def sign_in(self, email: str, password: str, *, address: str, user_agent: str = '') -> tuple[str, Session]:
        """Return a fresh session's token and the session. Raise NotSignedIn or TooMany."""
        await self._limit('sign-in', _normal(email), address)
        tokens = await self._identity.sign_in(email, password)
        async with self._database.system() as tx:
            await tx.run('profile_insert', id=tokens.user_id, email=tokens.email, owner=False)
            await _audit(tx, tokens.user_id, 'sign-in', address)
            return await _open_session(tx, tokens.user_id, address, user_agent)

    async def owner_link(self, email: str) -> str:
        """Return a one-time sign-in token for the owner's account, which is created when it is absent."""
        user_id = await self._identity.ensure(email)
        token = secrets.token_urlsafe(32)
        async with self._database.system() as tx:
            await tx.run('profile_insert', id=user_id, email=_normal(email), owner=True)
            await tx.run('link_insert', token_hash=_hash(token), user_id=user_id, expires_at=_now() + LINK_LIFE)
        return token

    async def redeem(self, link_token: str, *, address: str, user_agent: str = '') -> tuple[str, Session]:
        """Sign in by a one-time link. Raise NotSignedIn when it was used, is too old or is unknown."""
        await self._limit('link', '', address)
        async with self._database.system() as tx:
            link = await tx.first('link_use', token_hash=_hash(link_token))
            if link is None:
                raise NotSignedIn(
                    'This sign-in link was used already or is too old. Start the server again for a new one.'
                )
            await _audit(tx, link['user_id'], 'sign-in by link', address)
            return await _open_session(tx, link['user_id'], address, user_agent)

    async def session(self, token: str) -> Session | None:
        """Return the live session behind a cookie's token, or None."""
        if not 20 <= len(token) <= 100:
            return None
        async with self._database.system() as tx:
            row = await tx.first('session_by_token', token_hash=_hash(token))
        return None if row is None else _session(row)

    async def sign_out(self, token: str) -> None:
        """End the session behind a token; an unknown one changes nothing."""
        async with self._database.system() as tx:
            await tx.run('session_delete', token_hash=_hash(token))

    async def _limit(self, action: str, email: str, address: str) -> None:
        keys = [(f'limit/{action}/address/{address}', ATTEMPTS_PER_ADDRESS)]
        if email:
            keys.append((f'limit/{action}/account/{email}', ATTEMPTS_PER_ACCOUNT))
        waits = [await self._cache.hit(key, limit=limit, window=WINDOW) for key, limit in keys]
        if wait := max(waits):
            minutes = max(1, round(wait / 60))
            raise TooMany(f'Too many attempts. Wait {minutes} min, then try again.', retry_after=wait)


async def _open_session(tx: Transaction, user_id: UUID, address: str, user_agent: str) -> tuple[str, Session]:
    token = secrets.token_urlsafe(32)
    row = await tx.one(
        'session_insert',
        token_hash=_hash(token),
        user_id=user_id,
        user_agent=user_agent[:300],
        address=address,
        expires_at=_now() + SESSION_LIFE,
    )
    return token, _session(row)


async def _audit(tx: Transaction, user_id: UUID, action: str, address: str) -> None:
    await tx.run('audit_insert', user_id=user_id, action=action, subject='', address=address)


def _session(row: Row) -> Session:
    user = User(id=row['user_id'], email=row['email'], name=row['name'], owner=row['owner'])
    return Session(id=row['id'], user=user, created_at=row['created_at'], expires_at=row['expires_at'])


def _normal(email: str) -> str:
    return email.strip().lower()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _now() -> datetime:
    return datetime.now(UTC)
