"""Supabase Auth: supabase-py speaks to it, and what it signs is checked by ourselves.

Codes of errors: https://supabase.com/docs/guides/auth/debugging/error-codes.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import UUID

import httpx
from supabase_auth import AsyncGoTrueClient, AsyncMemoryStorage
from supabase_auth.constants import STORAGE_KEY
from supabase_auth.errors import AuthError, AuthUnknownError
from supabase_auth.helpers import handle_exception
from supabase_auth.types import AuthResponse, Provider, SignInWithOAuthCredentialsOptions

from core.errors import (
    Conflict,
    Misconfigured,
    NotAllowed,
    NotFound,
    NotSignedIn,
    TooMany,
    Unavailable,
    Unconfirmed,
    UsageError,
    VariosyncError,
)
from core.values import Begun, Claims, Tokens
from storage.credentials import normal_email, normal_password, strong_password, usable_email
from storage.tokens import PublishedKeys, Verifier, usable_keys

PATIENCE = 10.0  # seconds that an answer may take
REFUSAL = 0.5  # seconds that a refused sign-in takes at least
LONGEST_PASSWORD = 72  # bytes; bcrypt is blind to more
SCOPES = {'azure': 'email'}  # what a provider must be asked for before it tells an email

AWAY = 'The sign-in service does not answer. Try again in a moment.'
WRONG = 'Email and password do not match. Try again, or create an account.'
ENDED = 'This sign-in has ended. Sign in again.'
STALE = 'This sign-in did not succeed: it was used already, took too long or was broken off. Start again.'
KEYS = 'Supabase does not take our keys. Check SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY and SUPABASE_SECRET_KEY.'

TAKEN = 'There is an account with this email already. Sign in instead.'
UNUSABLE = 'This email cannot be used. Give another one.'
CLOSED = 'New accounts are not given here.'
ANSWERS: Mapping[str, tuple[type[VariosyncError], str]] = {
    'email_exists': (Conflict, TAKEN),
    'user_already_exists': (Conflict, TAKEN),
    'email_address_invalid': (UsageError, UNUSABLE),
    'email_not_confirmed': (Unconfirmed, Unconfirmed().message),
    'user_banned': (NotSignedIn, WRONG),
    'user_not_found': (NotFound, 'There is no such account.'),
    'signup_disabled': (NotAllowed, CLOSED),
    'otp_disabled': (NotAllowed, CLOSED),
    'email_provider_disabled': (
        Misconfigured,
        'Sign-in by email is switched off in Supabase: Authentication → Sign In / Providers.',
    ),
    'email_address_not_authorized': (
        Misconfigured,
        'Supabase mails to its own team only until it has a mail server: Authentication → Emails → SMTP Settings.',
    ),
    'captcha_failed': (
        Misconfigured,
        'Supabase wants a CAPTCHA, which we do not show. Switch it off: Authentication → Attack Protection.',
    ),
    'current_password_required': (
        Misconfigured,
        'Supabase wants the old password for a new one. Switch that off: Authentication → Sign In / Providers → Email.',
    ),
    'no_authorization': (Misconfigured, KEYS),
    'not_admin': (Misconfigured, KEYS),
}


class SupabaseIdentity:
    """Accounts of a Supabase project (`core.ports.Identity`).

    Each request has a client of its own over the shared `http`, because a client keeps the session of whoever signed
    in by it. A refused sign-in takes `refusal` seconds at least: Supabase tells an unknown email sooner than a wrong
    password. Supabase answers the refresh token that was used last with its successor, for those who lost the answer.
    """

    def __init__(
        self,
        url: str,
        *,
        publishable: str,
        secret: str,
        http: httpx.AsyncClient,
        providers: Sequence[str] = (),
        refusal: float = REFUSAL,
    ) -> None:
        self._url = f'{url.rstrip("/")}/auth/v1'
        self._publishable = publishable
        self._secret = secret
        self._http = http
        self._providers = tuple(providers)
        self._refusal = refusal
        self._verifier = Verifier(PublishedKeys(self._published), issuer=self._url)

    @property
    def providers(self) -> Sequence[str]:
        """Names of those who can say who somebody is in our place, such as google."""
        return self._providers

    async def sign_up(self, email: str, password: str) -> UUID:
        """Create an account and return its id. A taken email raises Conflict, a weak password UsageError.

        Where the project confirms emails, `sign_in` raises Unconfirmed until the mailed link was opened.
        """
        address = usable_email(email)
        chosen = _sendable(strong_password(password, address))
        async with _answers(refused=UsageError('This email or password cannot be used. Choose another one.')):
            answer = await self._client().sign_up({'email': address, 'password': chosen})
            if answer.user is None:
                raise Unavailable(AWAY)
            # A project that confirms emails answers a taken one with a made-up user, who has no identities.
            if answer.user.identities == []:
                raise Conflict(TAKEN)
            return UUID(answer.user.id)

    async def sign_in(self, email: str, password: str) -> Tokens:
        """Return tokens. Raise NotSignedIn when the two do not match, Unconfirmed before the mail was opened."""
        loop = asyncio.get_running_loop()
        earliest = loop.time() + self._refusal
        try:
            return await self._sign_in(normal_email(email), normal_password(password))
        except NotSignedIn:
            await asyncio.sleep(earliest - loop.time())
            raise

    async def _sign_in(self, address: str | None, password: str) -> Tokens:
        try:
            sent = _sendable(password)
        except UsageError:
            raise NotSignedIn(WRONG) from None
        if address is None or not sent:
            raise NotSignedIn(WRONG)
        async with _answers(refused=NotSignedIn(WRONG)):
            return _tokens(await self._client().sign_in_with_password({'email': address, 'password': sent}))

    async def ensure(self, email: str) -> UUID:
        """Return the account's id; create it without a password when there is none."""
        address = usable_email(email)
        admin = self._client(self._secret).admin
        with suppress(Conflict):
            async with _answers(refused=UsageError(UNUSABLE)):
                return UUID((await admin.create_user({'email': address, 'email_confirm': True})).user.id)
        # The one documented way to find an account by its email; the link itself is mailed to nobody.
        async with _answers(refused=UsageError(UNUSABLE)):
            return UUID((await admin.generate_link({'type': 'recovery', 'email': address})).user.id)

    async def verify(self, access_token: str) -> Claims:
        """Return what the token says. Raise NotSignedIn unless signature, issuer, audience, expiry and role hold."""
        return await self._verifier.claims(access_token)

    async def begin(self, provider: str, *, redirect_to: str, state: str) -> Begun:
        """Return where to send the browser, which comes back to `redirect_to` with `state` and an answer in its query.

        Raise NotFound for an unknown provider, Misconfigured when it is switched off in Supabase.
        """
        if provider not in self._providers:
            raise NotFound(f'Nobody signs in by "{provider[:40]}" here.')
        kept = AsyncMemoryStorage()
        options: SignInWithOAuthCredentialsOptions = {'redirect_to': _with_state(redirect_to, state)}
        if provider in SCOPES:
            options['scopes'] = SCOPES[provider]
        off = Misconfigured(f'{provider.title()} is switched off in Supabase: Authentication → Sign In / Providers.')
        async with _answers(refused=off):
            begun = await self._client(kept=kept).sign_in_with_oauth(
                {'provider': cast(Provider, provider), 'options': options}
            )
            # Asked for here, and not by the browser, so that what is wrong is told on a page of ours.
            answer = await self._http.get(begun.url, follow_redirects=False, timeout=PATIENCE)
            if not answer.has_redirect_location:
                _raise_for_status(answer)
                raise Unavailable(AWAY)
        return Begun(url=answer.headers['location'], secret=await _verifier(kept))

    async def send_link(self, email: str, *, redirect_to: str, state: str) -> str:
        """Mail a link that leads to `redirect_to` with `state` and an answer; return the secret to finish it with.

        Whether there is an account with this email cannot be told from the answer.
        """
        address = usable_email(email)
        kept = AsyncMemoryStorage()
        # Where new accounts are not given, an unknown email is passed over in silence.
        with suppress(NotAllowed):
            async with _answers(refused=UsageError(UNUSABLE)):
                await self._client(kept=kept).sign_in_with_otp(
                    {'email': address, 'options': {'email_redirect_to': _with_state(redirect_to, state)}}
                )
        return await _verifier(kept)

    async def finish(self, provider: str, answer: Mapping[str, str], *, secret: str, redirect_to: str) -> Tokens:
        """Return tokens for whom the query `answer` proves; `provider` is `email` for a mailed link.

        An account is made when there is none. Raise NotSignedIn when the answer does not hold or was used before.
        """
        code = answer.get('code', '')
        if not code or not secret:
            raise NotSignedIn(STALE)
        async with _answers(refused=NotSignedIn(STALE)):
            return _tokens(
                await self._client().exchange_code_for_session(
                    {'auth_code': code, 'code_verifier': secret, 'redirect_to': redirect_to}
                )
            )

    async def refresh(self, refresh_token: str) -> Tokens:
        """Return new tokens and retire the old refresh token. Raise NotSignedIn when it is unknown or expired.

        Whoever brings an old one once its successor was used gets NotSignedIn too, and the sign-in ends with it.
        """
        async with _answers(refused=NotSignedIn(ENDED)):
            return _tokens(await self._client().refresh_session(refresh_token))

    async def sign_out(self, access_token: str) -> None:
        """Retire every refresh token of the sign-in that the token is of. Raise NotSignedIn when it does not hold."""
        await self.verify(access_token)
        # A token that holds, of a session that Supabase does not know: it has ended already.
        with suppress(NotSignedIn, NotFound):
            async with _answers(refused=NotSignedIn(ENDED)):
                await self._client().admin.sign_out(access_token, 'local')

    async def set_password(self, user_id: UUID, password: str | None) -> None:
        """Let this password sign in from now on and none from before; with None, none does. Refresh tokens are retired.

        Raise UsageError for a weak password, NotFound when there is no such account.
        """
        admin = self._client(self._secret).admin
        async with _answers(refused=UsageError('This password cannot be used. Choose another one.')):
            if password is None:  # an account there has a password always: one that nobody knows
                chosen = f'{secrets.token_urlsafe(40)}aA1!'
            else:
                address = (await admin.get_user_by_id(str(user_id))).user.email or ''
                chosen = _sendable(strong_password(password, address))
            await admin.update_user_by_id(str(user_id), {'password': chosen})

    async def delete(self, user_id: UUID) -> None:
        """Remove an account: nobody signs in to it or refreshes any more. Removing it twice changes nothing."""
        with suppress(NotFound):
            async with _answers(refused=Misconfigured(KEYS)):
                await self._client(self._secret).admin.delete_user(str(user_id))

    async def check(self) -> str:
        """Return `ok` and what to look after oneself. Raise Misconfigured or Unavailable with what is wrong."""
        async with _answers(refused=Misconfigured(KEYS)):
            settings = await self._get('settings')
            external = settings.get('external')
            if not isinstance(external, dict):
                raise Unavailable(AWAY)
            if settings.get('mailer_autoconfirm'):
                raise Misconfigured(
                    'Supabase gives an account to whoever names an email. '
                    'Let it confirm emails: Authentication → Sign In / Providers → Email → Confirm email.'
                )
            if off := [name for name in self._providers if not external.get(name)]:
                raise Misconfigured(
                    f'VARIOSYNC_PROVIDERS names {", ".join(off)}, which Supabase has switched off. '
                    'Switch it on there: Authentication → Sign In / Providers.'
                )
            if not usable_keys(await self._published()):
                raise Misconfigured(
                    'Supabase signs tokens with a shared secret, which we do not take. '
                    'Change it there: Project Settings → JWT Keys → Migrate JWT secret, then Rotate keys to ES256.'
                )
            await self._client(self._secret).admin.list_users(page=1, per_page=1)
        return 'ok; whether Supabase lets browsers return to us (Authentication → URL Configuration) cannot be read'

    def _client(self, key: str = '', *, kept: AsyncMemoryStorage | None = None) -> AsyncGoTrueClient:
        used = key or self._publishable
        # A legacy key is a token itself. A new one is none, and refused where a token is expected.
        token = {} if used.startswith('sb_') else {'Authorization': f'Bearer {used}'}
        return AsyncGoTrueClient(
            url=self._url,
            headers={'apikey': used, **token},
            storage=kept or AsyncMemoryStorage(),
            auto_refresh_token=False,
            persist_session=False,
            flow_type='pkce',
            http_client=self._http,
        )

    async def _published(self) -> Mapping[str, Any]:
        async with _answers(refused=Unavailable(AWAY)):
            published = await self._get('.well-known/jwks.json')
            if not isinstance(published.get('keys'), list):
                raise Unavailable(AWAY)
            return published

    async def _get(self, path: str) -> Mapping[str, Any]:
        url, headers = f'{self._url}/{path}', {'apikey': self._publishable}
        try:
            answer = await self._http.get(url, headers=headers, timeout=PATIENCE / 2)
        except httpx.TransportError:
            answer = await self._http.get(url, headers=headers, timeout=PATIENCE / 2)
        _raise_for_status(answer)
        content = answer.json()
        if not isinstance(content, dict):
            raise ValueError('no JSON object')
        return content


@asynccontextmanager
async def _answers(*, refused: VariosyncError) -> AsyncIterator[None]:
    """Give Supabase ten seconds, and turn what goes wrong into errors of ours; `refused` is for a request it denies."""
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    except AuthError as error:
        raise _ours(error, refused) from error
    except UnicodeEncodeError as error:  # half a character cannot be sent
        raise refused from error
    except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise Unavailable(AWAY) from error


def _ours(error: AuthError, refused: VariosyncError) -> VariosyncError:
    """What an error of supabase-py means, by Supabase's code first and by HTTP's status then."""
    response = getattr(error.__cause__, 'response', None)
    status = response.status_code if response is not None else getattr(error, 'status', 0)
    if status == 429:
        wait = _wait('' if response is None else response.headers.get('retry-after', ''), error.message)
        return TooMany(f'Too many attempts. Wait {wait} s, then try again.', retry_after=float(wait))
    if error.code == 'weak_password':
        return UsageError(f'The password is too weak. {error.message}')
    if error.code is not None and error.code in ANSWERS:
        kind, message = ANSWERS[error.code]
        return kind(message)
    if not 400 <= status < 500 or isinstance(error, AuthUnknownError):
        return Unavailable(AWAY)
    if status == 401 or (response is not None and error.code is None):  # the gateway's answer, not the service's
        return Misconfigured(KEYS)
    return refused


def _wait(header: str, message: str) -> int:
    """Seconds to wait, of `Retry-After` or of what Supabase writes; a minute when neither tells."""
    found = re.fullmatch(r'(\d{1,5})', header) or re.search(r'after (\d{1,5}) seconds', message)
    return max(1, int(found[1])) if found else 60


def _raise_for_status(answer: httpx.Response) -> None:
    try:
        answer.raise_for_status()
    except httpx.HTTPStatusError as error:
        raise handle_exception(error) from error


def _tokens(answer: AuthResponse) -> Tokens:
    session = answer.session
    if session is None or not session.user.email:
        raise NotSignedIn('Nobody with an email has signed in. Sign in another way.')
    return Tokens(
        access_token=session.access_token,
        refresh_token=session.refresh_token,
        expires_in=session.expires_in,
        user_id=UUID(session.user.id),
        email=session.user.email,
    )


async def _verifier(kept: AsyncMemoryStorage) -> str:
    """The PKCE code verifier (RFC 7636) that supabase-py has made."""
    return await kept.get_item(f'{STORAGE_KEY}-code-verifier') or ''


def _with_state(url: str, state: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=urlencode([*parse_qsl(parts.query), ('state', state)])))


def _sendable(password: str) -> str:
    try:
        length = len(password.encode())
    except UnicodeEncodeError:
        raise UsageError('The password has characters that cannot be sent. Choose another one.') from None
    if length > LONGEST_PASSWORD:
        raise UsageError(f'The password has more than {LONGEST_PASSWORD} bytes. Choose a shorter one.')
    return password
