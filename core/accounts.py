"""Sign-up, sign-in, sessions, API keys, preferences, the owner's link, the audit log, and the end of an account."""

import asyncio
import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import TypeAdapter, ValidationError

from core import audit
from core.errors import Conflict, NotFound, NotSignedIn, TooMany, UsageError
from core.hours import Hours
from core.notices import Notices
from core.ports import Cache, Database, Events, Identity, ObjectStore, Row, Staging, Transaction
from core.values import BY_MAIL, Actor, ApiKey, AuditEntry, Entered, Preferences, Session, SignedIn, User

SESSION_LIFE = timedelta(days=30)
LINK_LIFE = timedelta(hours=24)
LENT = 5.0  # seconds a session is taken from the cache; who ends one and cannot tell the cache waits that long
SOON = 0.5  # seconds that who changes a name or a theme waits for others to see it, when they cannot be told
SESSION = TypeAdapter(Session)
FLOW_LIFE = timedelta(minutes=10)  # of a sign-in by a provider
MAIL_LIFE = timedelta(hours=1)  # and by a mailed link
WINDOW = 15 * 60.0
ATTEMPTS_PER_ACCOUNT = 10
ATTEMPTS_PER_ADDRESS = 50
MAILS_PER_ACCOUNT = 5
BROWSER = re.compile(r'[A-Za-z0-9_-]{43}')

SCOPES = (
    'datasets:read',
    'datasets:write',
    'dashboards:read',
    'dashboards:write',
    'forecasts:read',
    'forecasts:write',
    'jobs:read',
    'jobs:write',
    'hours:read',
    'notices:read',
    'notices:write',
)
MOST_KEYS = 50
KEY = re.compile(r'vsk_[A-Za-z0-9_-]{43}')
SHOWN = 10  # characters of a key that tell it from others
NEVER = datetime(9999, 12, 31, tzinfo=UTC)

THEMES = ('system', 'light', 'dark')
NUMBER_FORMATS = ('1,234.5', '1.234,5', '1 234,5', '1234.5')
ZONE = re.compile(r'(?!localtime|posix|right/|Factory)[A-Za-z][\w+-]*(/[\w+-]+)*', re.ASCII)

PATIENCE = 5.0  # seconds that the end of an account waits for jobs to stop
POLL = 0.1


TOLD = 100  # ids in one message

RECLAIMED = 'Your password, sessions and API keys from before have ended'
RECLAIMED_WHY = (
    'Nobody had proven this address until now, so they may have been somebody else’s. Set a password in the settings '
    'if you want to sign in with one.'
)
ENDED = 'This session has ended. Sign in again.'
CHANGED = 'This password was changed or removed meanwhile. Sign in again.'


class Accounts:
    """Who may come in. Tokens of sessions and API keys are random; Postgres holds only their hashes."""

    def __init__(
        self,
        database: Database,
        identity: Identity,
        cache: Cache,
        *,
        objects: ObjectStore,
        staging: Staging,
        events: Events,
        hours: Hours,
        notices: Notices,
    ) -> None:
        self._database = database
        self._identity = identity
        self._cache = cache
        self._objects = objects
        self._staging = staging
        self._events = events
        self._hours = hours
        self._notices = notices

    # coming in

    async def sign_up(self, email: str, password: str, *, address: str, user_agent: str = '') -> tuple[str, Session]:
        """Create an account and sign in. Raise Conflict when the email is taken, UsageError for a weak password."""
        await self._limit('sign-up', '', address)
        user_id = await self._identity.sign_up(email, password)
        async with self._database.system() as tx:
            await self._admit(tx, user_id, email)
            await _audit(tx, user_id, 'sign-up', address=address)
        return await self.sign_in(email, password, address=address, user_agent=user_agent)

    async def sign_in(self, email: str, password: str, *, address: str, user_agent: str = '') -> tuple[str, Session]:
        """Return a fresh session's token and the session. Raise NotSignedIn or TooMany."""
        await self._limit('sign-in', _normal(email), address)
        async with self._database.system() as tx:
            began = (await tx.one('moment'))['now']
        tokens = await self._identity.sign_in(email, password)
        async with self._database.system() as tx:
            profile = await self._admit(tx, tokens.user_id, tokens.email)
            if profile['password_since'] is not None and profile['password_since'] >= began:
                raise NotSignedIn(CHANGED)
            await _audit(tx, tokens.user_id, 'sign-in', address=address)
            return await _open_session(tx, tokens.user_id, address, user_agent)

    async def owner_link(self, email: str) -> str:
        """Return a one-time sign-in token for the owner's account, which is created when it is absent."""
        user_id = await self._identity.ensure(email)
        token = secrets.token_urlsafe(32)
        async with self._database.system() as tx:
            await self._admit(tx, user_id, email, owner=True)
            await tx.run('link_insert', token_hash=_hash(token), user_id=user_id, expires_at=_now() + LINK_LIFE)
        return token

    async def redeem(self, link_token: str, *, address: str, user_agent: str = '') -> tuple[str, Session]:
        """Sign in by a one-time link. Raise NotSignedIn when it was used, is too old or is unknown."""
        await self._limit('link', '', address)
        async with self._database.system() as tx:
            link = await tx.first('link_use', token_hash=_hash(link_token))
            if link is None:
                raise NotSignedIn(
                    'This sign-in link was used already or is too old. The command “variosync link” prints a new one.'
                )
            await _audit(tx, link['user_id'], 'sign-in by link', address=address)
            return await _open_session(tx, link['user_id'], address, user_agent)

    @property
    def providers(self) -> Sequence[str]:
        """Names of those who can say who somebody is, such as google."""
        return self._identity.providers

    async def begin(
        self, provider: str, *, target: str, redirect_to: str, address: str, browser: str = ''
    ) -> tuple[str, str]:
        """Begin a sign-in by a provider: return where to send the browser, and the token that it must come back with.

        A browser that has such a token already keeps it. Raise NotFound, TooMany, or Unavailable.
        """
        await self._limit('provider', '', address)
        state, browser = secrets.token_urlsafe(32), _browser(browser)
        begun = await self._identity.begin(provider, redirect_to=redirect_to, state=state)
        await self._keep(state, browser, target, provider=provider, secret=begun.secret, life=FLOW_LIFE)
        return begun.url, browser

    async def send_link(self, email: str, *, target: str, redirect_to: str, address: str, browser: str = '') -> str:
        """Mail a sign-in link and return the token that the browser must open it with, whether there is an account or
        not. Raise UsageError for what is no email, TooMany, or Unavailable.
        """
        await self._limit('mail', _normal(email), address, per_account=MAILS_PER_ACCOUNT)
        state, browser = secrets.token_urlsafe(32), _browser(browser)
        secret = await self._identity.send_link(email, redirect_to=redirect_to, state=state)
        await self._keep(state, browser, target, provider=BY_MAIL, secret=secret, life=MAIL_LIFE)
        return browser

    async def finish(
        self,
        state: str,
        answer: Mapping[str, str],
        *,
        browser: str,
        redirect_to: str,
        address: str,
        user_agent: str = '',
    ) -> Entered:
        """Let in who came back to `redirect_to` with `state` and an answer, once and in the browser that began it.

        Raise NotSignedIn when anything of it does not hold, TooMany, or Unavailable.
        """
        await self._limit('finish', '', address)
        flow = await self._use(state, browser)
        by, secret = flow['provider'], flow['secret']
        tokens = await self._identity.finish(by, answer, secret=secret, redirect_to=redirect_to)
        ended = await self._disarm(tokens.user_id)
        async with self._database.system() as tx:
            profile = await self._admit(tx, tokens.user_id, tokens.email)
            late = [] if profile['proven_at'] else await self._reclaim(tx, tokens.user_id, address)
            await _audit(tx, tokens.user_id, f'sign-in by {"mailed link" if by == BY_MAIL else by}', address=address)
            token, session = await _open_session(tx, tokens.user_id, address, user_agent)
        ended += await self._tell_ended(tokens.user_id, late)
        return Entered(token=token, session=session, target=flow['target'], ended=tuple(ended))

    async def _keep(
        self, state: str, browser: str, target: str, *, provider: str, secret: str, life: timedelta
    ) -> None:
        async with self._database.system() as tx:
            await tx.run('flows_expired')
            await tx.run(
                'flow_insert',
                state_hash=_hash(state),
                provider=provider,
                secret=secret,
                browser_hash=_hash(browser),
                target=target,
                life=life,
            )

    async def _use(self, state: str, browser: str) -> Row:
        async with self._database.system() as tx:
            flow = await tx.first('flow_use', state_hash=_hash(state), browser_hash=_hash(browser))
            known = None if flow else await tx.first('flow_state', state_hash=_hash(state))
        if flow is not None:
            return flow
        if known is None or known['expired']:
            raise NotSignedIn('This sign-in has expired. Start again.')
        if known['used']:
            raise NotSignedIn('This sign-in was finished already. Start again.')
        raise NotSignedIn('This sign-in was begun in another browser. Finish it there, or start again here.')

    async def _disarm(self, user_id: UUID) -> list[UUID]:
        """Void the password of an account whose address nobody has proven so far, after its sessions have ended.

        Whoever is interrupted before the address counts as proven finds all of it to do again. Sessions go first, so
        that none of them can set another password afterwards.
        """
        async with self._database.system() as tx:
            profile = await tx.first('profile_lock', id=user_id)
            if profile is not None and profile['proven_at']:
                return []
            ended = await tx.all('sessions_retire', user_id=user_id)
        told = await self._tell_ended(user_id, ended)
        await self._identity.set_password(user_id, None)
        return told

    async def _reclaim(self, tx: Transaction, user_id: UUID, address: str) -> Sequence[Row]:
        """End what was opened before anybody had proven the address: it may have been a stranger who knew it only."""
        await tx.run('profile_prove', id=user_id)
        await tx.run('api_keys_revoke_all', user_id=user_id)
        ended = await tx.all('sessions_retire', user_id=user_id)
        if (await tx.one('entered_before', user_id=user_id))['entered']:
            await self._notices.add(tx, user_id, level='warn', title=RECLAIMED, text=RECLAIMED_WHY, link='/settings')
            await _audit(tx, user_id, 'password removed', 'with sessions and keys', address)
        return ended

    async def _admit(self, tx: Transaction, user_id: UUID, email: str, *, owner: bool = False) -> Row:
        """Make sure of the account's profile and return it, locked until the transaction ends."""
        profile = await tx.one('profile_insert', id=user_id, email=_normal(email), owner=owner)
        await self._hours.welcome(tx, user_id, owner=profile['owner'])
        return profile

    async def _limit(self, action: str, email: str, address: str, *, per_account: int = ATTEMPTS_PER_ACCOUNT) -> None:
        keys = [(f'limit/{action}/address/{address}', ATTEMPTS_PER_ADDRESS)]
        if email:
            keys.append((f'limit/{action}/account/{email}', per_account))
        waits = [(await self._cache.hit(key, limit=limit, window=WINDOW)).wait for key, limit in keys]
        if wait := max(waits):
            minutes = max(1, round(wait / 60))
            raise TooMany(f'Too many attempts. Wait {minutes} min, then try again.', retry_after=wait)

    # who asks

    async def session(self, token: str) -> Session | None:
        """Return the live session behind a cookie's token, or None. An API key is no session."""
        if not 20 <= len(token) <= 100:
            return None
        token_hash = _hash(token)

        async def load() -> bytes | None:
            session = await self._stored_session(token_hash)
            return None if session is None else SESSION.dump_json(session)

        kept = await self._cache.lend(_loan(token_hash), load, ttl=LENT)
        if kept is None:
            return None
        try:
            session = SESSION.validate_json(kept)
        except ValidationError:  # another release keeps other fields
            return await self._stored_session(token_hash)
        return session if session.expires_at > _now() else None

    async def _stored_session(self, token_hash: bytes) -> Session | None:
        async with self._database.system() as tx:
            row = await tx.first('session_by_token', token_hash=token_hash)
            if row is not None and row['stale']:
                await tx.run('session_seen', id=row['id'])
        return None if row is None else _session(row)

    async def _recall(self, hashes: Iterable[bytes], *, within: float | None = None) -> None:
        """Call after the change is committed: no process takes what it read before for the session any more.

        Within less than a session is lent for, one that cannot be told may do so until that has passed.
        """
        await self._cache.recall([_loan(one) for one in hashes], ttl=LENT if within is None else within)

    async def _tell_ended(self, user_id: UUID, sessions: Sequence[Row]) -> list[UUID]:
        """Call after the end of sessions is committed: every process drops them. Return their ids."""
        ids = [row['id'] for row in sessions]
        await self._recall(row['token_hash'] for row in sessions)
        for start in range(0, len(ids), TOLD):
            ended = [str(one) for one in ids[start : start + TOLD]]
            await self._events.publish(f'{user_id}/sessions', {'ended': ended})
        return ids

    async def principal(self, token: str) -> Session | None:
        """Return who is behind a bearer token, which is a session's token or an API key, or None.

        With a key the session's id is the key's, `scopes` are the key's, and a key without expiry ends in 9999.
        """
        if not KEY.fullmatch(token):
            return await self.session(token)
        async with self._database.system() as tx:
            row = await tx.first('api_key_by_hash', key_hash=_hash(token))
            if row is not None and row['stale']:
                await tx.run('api_key_used', id=row['id'])
        return None if row is None else _session(row, scopes=frozenset(row['scopes']))

    async def refresh(self, token: str, *, address: str = '', user_agent: str = '') -> tuple[str, Session]:
        """Give a session a new token and a new expiry; the old token ends at once. Raise NotSignedIn when it has."""
        fresh = secrets.token_urlsafe(32)
        async with self._database.system() as tx:
            row = await tx.first(
                'session_rotate',
                token_hash=_hash(token),
                fresh_hash=_hash(fresh),
                expires_at=_now() + SESSION_LIFE,
                address=address,
                user_agent=user_agent[:300],
            )
        if row is None:
            raise NotSignedIn(ENDED)
        await self._recall([_hash(token)])
        return fresh, _session(row)

    async def sign_out(self, token: str, *, address: str = '') -> None:
        """End the session behind a token; an unknown one changes nothing."""
        async with self._database.system() as tx:
            row = await tx.first('session_delete', token_hash=_hash(token))
            if row is not None:
                await _audit(tx, row['user_id'], 'sign-out', address=address)
        if row is not None:
            await self._tell_ended(row['user_id'], [row])

    async def sessions(self, user_id: UUID, *, current: UUID | None = None) -> Sequence[SignedIn]:
        """Return the user's live sessions, the one used last first; `current` is marked."""
        async with self._database.transaction(user_id) as tx:
            rows = await tx.all('sessions_list')
        return [SignedIn(**row, current=row['id'] == current) for row in rows]

    async def revoke_session(self, user_id: UUID, session_id: UUID, *, address: str = '') -> UUID:
        """End one of the user's sessions and return its id. Raise NotFound when it is not theirs or has ended."""
        async with self._database.transaction(user_id) as tx:
            row = await tx.first('session_revoke', id=session_id)
            if row is None:
                raise NotFound('This session has ended already, or it is not yours.')
            await _audit(tx, user_id, 'session revoked', row['user_agent'][:100], address)
        [ended] = await self._tell_ended(user_id, [row])
        return ended

    async def set_password(
        self, user_id: UUID, password: str, *, current_session: UUID, address: str = ''
    ) -> Sequence[UUID]:
        """Give the account a password, or another one, end every session but this one, and return their ids.

        Raise UsageError for a weak password, TooMany, or NotSignedIn when this session has ended meanwhile; then no
        password signs in.
        """
        await self._limit('password', str(user_id), address)
        await self._identity.set_password(user_id, password)
        async with self._database.system() as tx:
            await tx.one('profile_password_changed', id=user_id)
            lives = await tx.first('session_lives', id=current_session, user_id=user_id) is not None
            if lives:
                ended = await tx.all('sessions_retire_others', user_id=user_id, current=current_session)
                await _audit(tx, user_id, 'password set', address=address)
        if not lives:  # maybe by somebody who has just proven the address
            await self._identity.set_password(user_id, None)
            raise NotSignedIn(ENDED)
        return await self._tell_ended(user_id, ended)

    # API keys

    async def create_key(
        self,
        user_id: UUID,
        *,
        name: str,
        scopes: Iterable[str],
        expires_at: datetime | None = None,
        current_session: UUID | None = None,
        address: str = '',
    ) -> tuple[str, ApiKey]:
        """Return a new key, which is told this once, and what is kept of it.

        Raise UsageError for an unusable name, an unknown scope or none, or an expiry that has passed or has no time
        zone; Conflict when the user has 50 keys that open something; NotSignedIn when the session that asks has ended.
        """
        label = _line(name, 'name of a key', most=100)
        granted = _scopes(scopes)
        _check_expiry(expires_at)
        key = f'vsk_{secrets.token_urlsafe(32)}'
        async with self._database.transaction(user_id) as tx:
            # Under the account's lock, so that keys made at the same time count one another.
            await tx.one('profile_lock', id=user_id)
            if current_session and not await tx.first('session_lives', id=current_session, user_id=user_id):
                raise NotSignedIn(ENDED)
            if (await tx.one('api_keys_live'))['count'] >= MOST_KEYS:
                raise Conflict(f'You have {MOST_KEYS} keys already. Revoke one that you no longer use.')
            row = await tx.one(
                'api_key_insert',
                user_id=user_id,
                name=label,
                prefix=key[:SHOWN],
                key_hash=_hash(key),
                scopes=granted,
                expires_at=expires_at,
            )
            await _audit(tx, user_id, 'API key made', label, address)
        return key, _api_key(row)

    async def keys(self, user_id: UUID) -> Sequence[ApiKey]:
        """Return the user's keys, 200 at most: those that are not revoked first, then the newest first."""
        async with self._database.transaction(user_id) as tx:
            return [_api_key(row) for row in await tx.all('api_keys_list')]

    async def revoke_key(self, user_id: UUID, key_id: UUID, *, address: str = '') -> None:
        """End a key at once; revoking it again changes nothing. Raise NotFound when it is not this user's."""
        async with self._database.transaction(user_id) as tx:
            row = await tx.first('api_key_revoke', id=key_id)
            if row is None:
                await tx.one('api_key_by_id', id=key_id)
            else:
                await _audit(tx, user_id, 'API key revoked', row['name'], address)

    # profile and preferences

    async def rename(self, user_id: UUID, name: str, *, address: str = '') -> None:
        """Change the name that pages show; it may be empty. Raise UsageError beyond 200 characters."""
        label = _line(name, 'name', least=0, most=200)
        async with self._database.transaction(user_id) as tx:
            if not await tx.run('profile_rename', id=user_id, name=label):
                return
            await _audit(tx, user_id, 'settings changed', 'name', address)
            sessions = await tx.all('session_hashes')
        await self._recall((row['token_hash'] for row in sessions), within=SOON)

    async def preferences(self, user_id: UUID) -> Preferences:
        """Return how the user wants pages to look."""
        async with self._database.transaction(user_id) as tx:
            return _preferences(await tx.first('preferences_get', user_id=user_id) or {})

    async def set_preferences(
        self,
        user_id: UUID,
        *,
        theme: str | None = None,
        time_zone: str | None = None,
        number_format: str | None = None,
        address: str = '',
    ) -> Preferences:
        """Change what is given and return all of it. Raise UsageError for a value that does not exist."""
        given = {'theme': theme, 'time_zone': time_zone, 'number_format': number_format}
        changes = {name: value for name, value in given.items() if value is not None}
        _check_preferences(changes)
        sessions: Sequence[Row] = ()
        async with self._database.transaction(user_id) as tx:
            await tx.one('profile_lock', id=user_id)
            row = await tx.first('preferences_get', user_id=user_id) or {}
            before = _values(_preferences(row))
            changed = [name for name, value in changes.items() if before[name] != value]
            if changed:
                await tx.run('preferences_set', user_id=user_id, **before | changes)
                subject = ', '.join(name.replace('_', ' ') for name in changed)
                await _audit(tx, user_id, 'settings changed', subject, address)
                sessions = await tx.all('session_hashes')
        await self._recall((row['token_hash'] for row in sessions), within=SOON)
        return Preferences(**before | changes)

    # audit

    async def record(self, user_id: UUID, action: str, subject: str = '', address: str = '') -> None:
        """Add an entry to the user's audit log."""
        async with self._database.transaction(user_id) as tx:
            await _audit(tx, user_id, action, subject, address)

    async def audit(self, user_id: UUID, *, limit: int = 200, before: int | None = None) -> Sequence[AuditEntry]:
        """Return entries of the user's audit log, the newest first, older than the entry `before` if one is given."""
        async with self._database.transaction(user_id) as tx:
            rows = await tx.all('audit_list', limit=limit, before=before)
        return [AuditEntry(**row) for row in rows]

    # the end

    async def sweep(self) -> None:
        """Remove sessions and sign-in links that open nothing any more, of all users: no address is kept for longer."""
        async with self._database.system() as tx:
            await tx.run('sessions_expired')
            await tx.run('links_expired')

    async def delete(self, user_id: UUID, *, confirmation: str, address: str = '') -> Sequence[UUID]:
        """Remove an account for good and return the ids of the sessions that ended with it.

        `confirmation` is the account's email, typed again; anything else raises UsageError. Sessions, keys and jobs
        end first; then the stored objects, the rows and the means to sign in go. The audit log stays, nameless.
        """
        ended = await self._close(user_id, confirmation)
        await self._drain(user_id)
        async with self._database.transaction(user_id) as tx:
            staged = [row['id'] for row in await tx.all('uploads_staged')]
        # Data go first: whoever is interrupted can sign in and ask again as long as the rows are there.
        for upload_id in staged:
            await self._staging.discard(upload_id)
        await self._objects.delete(f't/{user_id}/')
        async with self._database.system() as tx:
            # A beat or the end of a job that is on its way goes first.
            await tx.one('usage_lock', user_id=user_id)
            if await tx.first('profile_lock', id=user_id) is None:
                return ended  # somebody who asked at the same time has removed it
            await _audit(tx, user_id, 'account deleted', str(user_id), address)
            await tx.run('profile_delete', id=user_id)
        await self._identity.delete(user_id)
        await self._objects.delete(f't/{user_id}/')  # what a job wrote meanwhile
        return ended

    async def _close(self, user_id: UUID, confirmation: str) -> Sequence[UUID]:
        async with self._database.system() as tx:
            # Jobs are locked before the account, as everywhere else.
            await tx.run('jobs_cancel_all', user_id=user_id)
            row = await tx.one('profile_lock', id=user_id)
            if _normal(confirmation) != row['email']:
                raise UsageError('This is not the email of the account. Type it as it is shown to delete the account.')
            await tx.run('api_keys_revoke_all', user_id=user_id)
            ended = await tx.all('sessions_retire', user_id=user_id)
        return await self._tell_ended(user_id, ended)

    async def _drain(self, user_id: UUID) -> None:
        """Wait a little for running jobs: what they write after the objects were removed would stay behind."""
        for _ in range(round(PATIENCE / POLL)):
            async with self._database.system() as tx:
                row = await tx.one('jobs_running_count', user_id=user_id)
            if not row['count']:
                return
            await asyncio.sleep(POLL)


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


async def _audit(tx: Transaction, user_id: UUID, action: str, subject: str = '', address: str = '') -> None:
    await audit.record(tx, user_id, action, subject, by=Actor(address=address))


def _session(row: Row, *, scopes: frozenset[str] | None = None) -> Session:
    user = User(
        id=row['user_id'],
        email=row['email'],
        name=row['name'],
        owner=row['owner'],
        preferences=_preferences(row),
    )
    return Session(
        id=row['id'],
        user=user,
        created_at=row['created_at'],
        expires_at=row['expires_at'] or NEVER,
        scopes=scopes,
    )


def _api_key(row: Row) -> ApiKey:
    return ApiKey(**{**row, 'scopes': tuple(row['scopes'])})


def _preferences(row: Row) -> Preferences:
    """The defaults, for a user who has chosen nothing yet, and what they have chosen."""
    chosen = {name: row[name] for name in ('theme', 'time_zone', 'number_format') if row.get(name) is not None}
    return Preferences(**chosen)


def _values(preferences: Preferences) -> dict[str, str]:
    return {
        'theme': preferences.theme,
        'time_zone': preferences.time_zone,
        'number_format': preferences.number_format,
    }


def _check_preferences(changes: dict[str, str]) -> None:
    for name, known in (('theme', THEMES), ('number_format', NUMBER_FORMATS)):
        if changes.get(name, known[0]) not in known:
            choices = ', '.join(f'"{value}"' for value in known)
            raise UsageError(f'"{changes[name][:40]}" is no {name.replace("_", " ")}. Choose one of {choices}.')
    zone = changes.get('time_zone', 'UTC')
    if not _is_zone(zone):
        raise UsageError(f'"{zone[:60]}" is no time zone. Write one such as Europe/Paris.')


def _is_zone(name: str) -> bool:
    if len(name) > 60 or not ZONE.fullmatch(name):
        return False
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _scopes(scopes: Iterable[str]) -> list[str]:
    wanted = set(scopes)
    if not wanted:
        raise UsageError(f'A key needs a scope at least. Choose from {", ".join(SCOPES)}.')
    if unknown := sorted(wanted - set(SCOPES)):
        raise UsageError(f'"{unknown[0][:40]}" is no scope. Choose from {", ".join(SCOPES)}.')
    return [scope for scope in SCOPES if scope in wanted]


def _check_expiry(expires_at: datetime | None) -> None:
    if expires_at is None:
        return
    if expires_at.tzinfo is None:
        raise UsageError('The expiry of a key needs a time zone, such as 2030-01-01T00:00:00Z.')
    if expires_at <= _now():
        raise UsageError('The expiry of a key has passed already. Choose a time to come.')


def _line(text: str, what: str, *, least: int = 1, most: int) -> str:
    """A text of one line that can be shown, without the space around it."""
    line = text.strip()
    if not least <= len(line) <= most or not line.isprintable():
        raise UsageError(f'The {what} has {least} to {most} characters, on one line.')
    return line


def _loan(token_hash: bytes) -> str:
    """The cache's key of a session: its tenant is not known before it is read."""
    return f'session/{token_hash.hex()}'


def _browser(token: str) -> str:
    """The token of the browser that begins a sign-in: what it has already, so that others it began can be finished."""
    return token if BROWSER.fullmatch(token) else secrets.token_urlsafe(32)


def _normal(email: str) -> str:
    return email.strip().lower()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode('utf-8', 'surrogatepass')).digest()


def _now() -> datetime:
    return datetime.now(UTC)
