"""Supabase Auth (GoTrue), the part that the product and its users' browsers speak.

Each route names the operation of `openapi.yaml` in https://github.com/supabase/auth that it follows, or the page of
https://supabase.com/docs. Errors have the codes of https://supabase.com/docs/guides/auth/debugging/error-codes.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import wraps
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import UUID, uuid4

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.fakes.supabase.project import SHARED, Project, body_of, no_key
from tests.fakes.supabase.store import Document, Store

EMAIL = re.compile(
    r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r'(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*'
)
LONGEST_PASSWORD = 72
Handler = Callable[['Auth', Request], Awaitable[Response]]


class Refused(Exception):
    """An answer of the API that is an error."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.more = status, code, message, more

    def answer(self, request: Request) -> Response:
        """The body of the API's version 2024-01-01 for those who ask for it, else the one before."""
        if request.headers.get('x-supabase-api-version') == '2024-01-01':
            body = {'code': self.code, 'message': self.message, **self.more}
            return JSONResponse(body, self.status, headers={'x-supabase-api-version': '2024-01-01'})
        return JSONResponse(
            {'code': self.status, 'error_code': self.code, 'msg': self.message, **self.more}, self.status
        )


def route(*, role: str | None = 'anon') -> Callable[[Handler], Handler]:
    """Answer errors as the API does; ask for a key of the project, unless the gateway lets everybody through."""

    def wrap(handler: Handler) -> Handler:
        @wraps(handler)
        async def answered(auth: 'Auth', request: Request) -> Response:
            given = auth.project.role_of(request)
            if role is not None and given is None:
                return no_key(request)
            try:
                if role == 'service_role' and given != 'service_role':
                    raise Refused(403, 'not_admin', 'User not allowed')
                return await handler(auth, request)
            except Refused as error:
                return error.answer(request)

        return answered

    return wrap


class Auth:
    """The API under `/auth/v1`, the page of an identity provider at `/idp`, and what was mailed at `/inbox`."""

    def __init__(self, project: Project, store: Store, url: str) -> None:
        self.project = project
        self._store = store
        self._url = url
        self.issuer = f'{url}/auth/v1'
        self.begin()

    @property
    def routes(self) -> list[Route]:
        """Every path."""
        at = '/auth/v1'
        return [
            Route(f'{at}/signup', self.signup, methods=['POST']),
            Route(f'{at}/token', self.token, methods=['POST']),
            Route(f'{at}/otp', self.otp, methods=['POST']),
            Route(f'{at}/verify', self.verify, methods=['GET']),
            Route(f'{at}/authorize', self.authorize, methods=['GET']),
            Route(f'{at}/callback', self.callback, methods=['GET']),
            Route(f'{at}/user', self.user, methods=['GET', 'PUT']),
            Route(f'{at}/logout', self.logout, methods=['POST']),
            Route(f'{at}/settings', self.settings, methods=['GET']),
            Route(f'{at}/health', self.health, methods=['GET']),
            Route(f'{at}/.well-known/jwks.json', self.jwks, methods=['GET']),
            Route(f'{at}/admin/users', self.admin_users, methods=['GET']),
            Route(f'{at}/admin/users', self.admin_create, methods=['POST']),
            Route(f'{at}/admin/users/{{id}}', self.admin_user, methods=['GET', 'PUT', 'DELETE']),
            Route(f'{at}/admin/generate_link', self.admin_link, methods=['POST']),
            Route('/idp/authorize', self.idp_authorize, methods=['GET']),
            Route('/idp/person', self.idp_person, methods=['POST']),
            Route('/inbox', self.inbox, methods=['GET']),
        ]

    # accounts

    @route()
    async def signup(self, request: Request) -> Response:
        """openapi.yaml, `POST /signup`: a session when mails need no confirmation, else the user alone.

        A confirmed account answers as a new one would where confirmation is on: with a made-up user that has no
        identities.
        """
        given = await body_of(request)
        if not self.project.signup:
            raise Refused(422, 'signup_disabled', 'Signups not allowed for this instance')
        self._check_password(given.get('password', ''))
        email = self._email(given.get('email'))
        user = self._by_email(email)
        if user is not None and user['email_confirmed_at']:
            if self.project.autoconfirm:
                raise Refused(422, 'user_already_exists', 'User already registered')
            return JSONResponse(_shown(self._new_user(email)) | {'identities': []})
        user = user or self._keep(self._new_user(email, given['password'], confirmed=self.project.autoconfirm))
        if self.project.autoconfirm:
            return JSONResponse(self._session(user, 'password'))
        self._mail_link(request, user, 'signup', given, 'email/signup')
        return JSONResponse(_shown(user))

    @route()
    async def token(self, request: Request) -> Response:
        """openapi.yaml, `POST /token`, grant types password, refresh_token and pkce."""
        given = await body_of(request)
        match request.query_params.get('grant_type'):
            case 'password':
                user = self._by_password(str(given.get('email', '')).lower(), str(given.get('password', '')))
                return JSONResponse(self._session(user, 'password'))
            case 'refresh_token':
                return JSONResponse(self._refreshed(str(given.get('refresh_token', ''))))
            case 'pkce':
                return JSONResponse(self._exchanged(given.get('auth_code'), given.get('code_verifier')))
        raise Refused(400, 'invalid_credentials', 'unsupported_grant_type')

    @route()
    async def user(self, request: Request) -> Response:
        """openapi.yaml, `GET` and `PUT /user`; a new password ends the other sessions."""
        user, session_id = self._bearer(request)
        if request.method == 'PUT' and (password := (await body_of(request)).get('password')):
            self._check_password(password)
            user = self._keep(user | {'password': _hash(password, user['id'])})
            self._end_all(user, but=session_id)
        return JSONResponse(_shown(user))

    @route()
    async def logout(self, request: Request) -> Response:
        """openapi.yaml, `POST /logout`: scope global (the default), local or others."""
        user, session_id = self._bearer(request)
        scope = request.query_params.get('scope', 'global')
        for session in self._store.all('session'):
            if session['user_id'] == user['id'] and (
                scope == 'global' or (scope == 'local') == (session['id'] == session_id)
            ):
                self._end(session['id'])
        return Response(status_code=204)

    # a link by mail

    @route()
    async def otp(self, request: Request) -> Response:
        """openapi.yaml, `POST /otp`: mails a link; who is new signs up by it."""
        given = await body_of(request)
        email = self._email(given.get('email'))
        user = self._by_email(email)
        if user is None:
            if not given.get('create_user', True):
                raise Refused(422, 'otp_disabled', 'Signups not allowed for otp')
            if not self.project.signup:
                raise Refused(422, 'signup_disabled', 'Signups not allowed for this instance')
            user = self._keep(self._new_user(email, secrets.token_urlsafe(), confirmed=self.project.autoconfirm))
        known = bool(user['email_confirmed_at'])
        self._mail_link(
            request, user, 'magiclink' if known else 'signup', given, 'magiclink' if known else 'email/signup'
        )
        return JSONResponse({})

    @route(role=None)
    async def verify(self, request: Request) -> Response:
        """openapi.yaml, `GET /verify`: the link in a mail. It serves once and leads on with a code for PKCE."""
        given = request.query_params
        target = self._target(request)
        link = self._store.get('link', given.get('token', ''))
        user = self._store.get('user', link['user_id']) if link else None
        late = link is not None and self.project.now > link['at'] + self.project.otp_life
        if link is None or user is None or late or link['type'] != given.get('type'):
            error = {
                'error': 'access_denied',
                'error_code': 'otp_expired',
                'error_description': 'Email link is invalid or has expired',
            }
            return RedirectResponse(_with(target, error), 303)
        self._store.delete('link', link['token'])
        self._keep(user | {'email_confirmed_at': user['email_confirmed_at'] or _time(self.project.now)})
        if not link['flow_id']:
            session = self._session(user, 'otp')
            fragment = {name: session[name] for name in ('access_token', 'refresh_token', 'expires_in', 'token_type')}
            return RedirectResponse(f'{target}#{urlencode(fragment | {"type": link["type"]})}', 303)
        return RedirectResponse(_with(target, {'code': self._coded(link['flow_id'], user)}), 303)

    # a provider

    @route(role=None)
    async def authorize(self, request: Request) -> Response:
        """openapi.yaml, `GET /authorize`: redirects to the provider, here to a page of our own."""
        given = request.query_params
        provider = given.get('provider', '').lower()
        if provider not in self.project.providers:
            raise Refused(400, 'validation_failed', f'Unsupported provider: Provider {provider} could not be found')
        flow = self._flow(given, provider, 'oauth', target=self._target(request))
        query = {'client_id': provider, 'redirect_uri': f'{self.issuer}/callback', 'state': flow['id']}
        return RedirectResponse(_with(f'{self._url}/idp/authorize', query), 302)

    @route(role=None)
    async def callback(self, request: Request) -> Response:
        """openapi.yaml, `GET /callback`: where the provider sends the browser, which goes on to the product."""
        given = request.query_params
        flow = self._store.get('flow', given.get('state', ''))
        if flow is None or self.project.now > flow['at'] + self.project.flow_life or flow['user_id']:
            error = {'error': 'invalid_request', 'error_code': 'bad_oauth_state', 'error_description': 'No such state'}
            return RedirectResponse(_with(self.project.site_url, error), 302)
        if 'code' not in given:
            error = {name: given.get(name, '') for name in ('error', 'error_description')}
            return RedirectResponse(_with(flow['target'], error), 302)
        email = self._email(base64.urlsafe_b64decode(given['code']).decode())
        user = self._by_email(email) or self._new_user(email, provider=flow['provider'])
        if not user['email_confirmed_at']:  # a password from before might be a stranger's
            user = self._keep(user | {'email_confirmed_at': _time(self.project.now), 'password': None})
        return RedirectResponse(_with(flow['target'], {'code': self._coded(flow['id'], user)}), 302)

    async def idp_authorize(self, request: Request) -> Response:
        """Not of Supabase: the provider's page, where the person of `/idp/person` agrees, or does not."""
        given = request.query_params
        person = self._store.get('person', 'now') or {'email': 'ada@example.com'}
        answer = {'state': given['state']}
        if person.get('refuses'):
            answer |= {'error': 'access_denied', 'error_description': 'The user denied the request'}
        else:
            answer['code'] = base64.urlsafe_b64encode(person['email'].encode()).decode()
        return RedirectResponse(_with(given['redirect_uri'], answer), 302)

    async def idp_person(self, request: Request) -> Response:
        """Not of Supabase: tells who sits in front of the provider's page: `email`, and whether it `refuses`."""
        return JSONResponse(self._store.put('person', 'now', await body_of(request)))

    async def inbox(self, request: Request) -> Response:
        """Not of Supabase: the mails so far, the oldest first; `?to=` picks those to an email."""
        to = request.query_params.get('to')
        return JSONResponse([mail for mail in self._store.all('mail') if to in (None, mail['to'])])

    # for the secret key

    @route(role='service_role')
    async def admin_users(self, request: Request) -> Response:
        """openapi.yaml, `GET /admin/users`: a page of users, the newest first."""
        page = int(request.query_params.get('page') or 1)
        size = int(request.query_params.get('per_page') or 50)
        users = [_shown(user) for user in reversed(self._store.all('user'))]
        return JSONResponse({'users': users[(page - 1) * size : page * size], 'aud': 'authenticated'})

    @route(role='service_role')
    async def admin_create(self, request: Request) -> Response:
        """openapi.yaml, `POST /admin/users`."""
        given = await body_of(request)
        email = self._email(given.get('email'))
        if self._by_email(email):
            raise Refused(422, 'email_exists', 'A user with this email address has already been registered')
        password = given.get('password') or secrets.token_urlsafe()
        user = self._new_user(email, password, confirmed=bool(given.get('email_confirm')))
        return JSONResponse(_shown(self._keep(user)))

    @route(role='service_role')
    async def admin_user(self, request: Request) -> Response:
        """openapi.yaml, `GET`, `PUT` and `DELETE /admin/users/{userId}`; a new password ends every session."""
        user = self._store.get('user', request.path_params['id'])
        if user is None:
            raise Refused(404, 'user_not_found', 'User not found')
        if request.method == 'GET':
            return JSONResponse(_shown(user))
        if request.method == 'PUT':
            password = (await body_of(request))['password']
            self._check_password(password)
            self._end_all(user)
            return JSONResponse(_shown(self._keep(user | {'password': _hash(password, user['id'])})))
        self._end_all(user)
        self._store.delete('user', user['id'])
        return JSONResponse({})

    @route(role='service_role')
    async def admin_link(self, request: Request) -> Response:
        """openapi.yaml, `POST /admin/generate_link`, type recovery: the user and a link that is not mailed."""
        given = await body_of(request)
        user = self._by_email(self._email(given.get('email')))
        if user is None or given.get('type') != 'recovery':
            raise Refused(404, 'user_not_found', 'User with this email not found')
        link = self._link(user, 'recovery', flow_id=None, target=self._target(request))
        properties = {
            'action_link': link['url'],
            'email_otp': '123456',
            'hashed_token': link['token'],
            'verification_type': 'recovery',
            'redirect_to': self.project.site_url,
        }
        return JSONResponse(_shown(user) | properties)

    # for everybody

    @route()
    async def settings(self, request: Request) -> Response:
        """openapi.yaml, `GET /settings`."""
        external = {'email': True} | {name: name in self.project.providers for name in ('google', 'github', 'azure')}
        return JSONResponse(
            {
                'external': external | dict.fromkeys(self.project.providers, True),
                'disable_signup': not self.project.signup,
                'mailer_autoconfirm': self.project.autoconfirm,
            }
        )

    @route()
    async def health(self, request: Request) -> Response:
        """openapi.yaml, `GET /health`."""
        return JSONResponse(
            {'name': 'GoTrue', 'version': 'v2.180.0', 'description': 'GoTrue is a user registration API'}
        )

    @route(role=None)
    async def jwks(self, request: Request) -> Response:
        """https://supabase.com/docs/guides/auth/signing-keys: public keys; a shared secret is never among them."""
        keys = [] if self.project.signing == 'HS256' else self._store.all('key')
        public = [
            ECKey.import_key(key['pem']).as_dict(private=False)
            | {'kid': key['kid'], 'alg': 'ES256', 'use': 'sig', 'key_ops': ['verify'], 'ext': True}
            for key in keys
        ]
        return JSONResponse({'keys': public}, headers={'cache-control': 'public, max-age=600'})

    def begin(self) -> None:
        """Have a key to sign with."""
        if not self._store.all('key'):
            self.rotate()

    def rotate(self) -> None:
        """Sign with a new key from now on; the one before still verifies what it signed."""
        kid, pem = str(uuid4()), ECKey.generate_key('P-256').as_pem(private=True).decode()
        self._store.put('key', kid, {'kid': kid, 'pem': pem})

    # sessions and tokens

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A token with these claims, signed as the project signs."""
        if self.project.signing == 'HS256':
            return jwt.encode({'alg': 'HS256', 'typ': 'JWT'}, dict(claims), SHARED, algorithms=['HS256'])
        key = self._store.all('key')[-1]
        header = {'alg': 'ES256', 'typ': 'JWT', 'kid': key['kid']}
        return jwt.encode(header, dict(claims), ECKey.import_key(key['pem']), algorithms=['ES256'])

    def _session(self, user: Document, method: str) -> Document:
        session_id = str(uuid4())
        self._store.put('session', session_id, {'id': session_id, 'user_id': user['id'], 'method': method})
        user = self._keep(user | {'last_sign_in_at': _time(self.project.now)})
        return self._tokens(user, session_id, self._refresh_token(session_id, parent=None))

    def _tokens(self, user: Document, session_id: str, refresh_token: str) -> Document:
        session = self._store.get('session', session_id)
        assert session is not None
        now, life = int(self.project.now), self.project.access_life
        claims = {
            'iss': self.issuer,
            'sub': user['id'],
            'aud': 'authenticated',
            'exp': now + life,
            'iat': now,
            'email': user['email'],
            'phone': '',
            'app_metadata': user['app_metadata'],
            'user_metadata': user['user_metadata'],
            'role': 'authenticated',
            'aal': 'aal1',
            'amr': [{'method': session['method'], 'timestamp': now}],
            'session_id': session_id,
            'is_anonymous': False,
        }
        return {
            'access_token': self.sign(claims),
            'token_type': 'bearer',
            'expires_in': life,
            'expires_at': now + life,
            'refresh_token': refresh_token,
            'user': _shown(user),
        }

    def _refresh_token(self, session_id: str, parent: str | None) -> str:
        token = secrets.token_hex(6)
        made = {'token': token, 'session_id': session_id, 'parent': parent, 'revoked_at': None}
        self._store.put('refresh', token, made)
        return token

    def _refreshed(self, token: str) -> Document:
        """https://supabase.com/docs/guides/auth/sessions: a token serves once, with two exceptions.

        It may come back within the reuse interval, and as long as its successor was not used; then it is answered with
        the token that is active. Otherwise the whole session ends.
        """
        if not re.fullmatch('[a-z0-9]{12}', token):
            raise Refused(400, 'validation_failed', 'Refresh token is not valid')
        found = self._store.get('refresh', token)
        if found is None:
            raise Refused(400, 'refresh_token_not_found', 'Invalid Refresh Token: Refresh Token Not Found')
        session = self._store.get('session', found['session_id'])
        user = self._store.get('user', session['user_id']) if session else None
        if session is None or user is None:
            raise Refused(400, 'session_not_found', 'Invalid Refresh Token: No Valid Session Found')
        [active] = [
            each
            for each in self._store.all('refresh')
            if each['session_id'] == session['id'] and each['revoked_at'] is None
        ]
        if found['revoked_at'] is None:
            self._store.put('refresh', token, found | {'revoked_at': self.project.now})
            return self._tokens(user, session['id'], self._refresh_token(session['id'], parent=token))
        if active['parent'] == token or self.project.now <= found['revoked_at'] + self.project.reuse_interval:
            return self._tokens(user, session['id'], active['token'])
        self._end(session['id'])
        raise Refused(400, 'refresh_token_already_used', 'Invalid Refresh Token: Already Used')

    def _end_all(self, user: Document, *, but: str = '') -> None:
        for session in self._store.all('session'):
            if session['user_id'] == user['id'] and session['id'] != but:
                self._end(session['id'])

    def _end(self, session_id: str) -> None:
        self._store.delete('session', session_id)
        for token in self._store.all('refresh'):
            if token['session_id'] == session_id:
                self._store.delete('refresh', token['token'])

    def _bearer(self, request: Request) -> tuple[Document, str]:
        return self.holder(request.headers.get('authorization', '').removeprefix('Bearer '))

    def holder(self, token: str) -> tuple[Document, str]:
        """Who an access token is of, and its session. Raise Refused when it does not hold."""
        keys = {key['kid']: ECKey.import_key(key['pem']) for key in self._store.all('key')}
        try:
            if self.project.signing == 'HS256':
                claims = jwt.decode(token, SHARED, algorithms=['HS256']).claims
            else:
                claims = jwt.decode(token, lambda guest: keys[guest.headers()['kid']], algorithms=['ES256']).claims
        except (JoseError, ValueError, KeyError) as error:
            raise Refused(403, 'bad_jwt', f'invalid JWT: unable to parse or verify signature, {error}') from None
        if claims['exp'] <= self.project.now:
            raise Refused(403, 'bad_jwt', 'invalid JWT: token is expired')
        user = self._store.get('user', claims['sub'])
        if user is None:
            raise Refused(403, 'user_not_found', 'User from sub claim in JWT does not exist')
        if self._store.get('session', claims['session_id']) is None:
            raise Refused(403, 'session_not_found', 'Session from session_id claim in JWT does not exist')
        return user, claims['session_id']

    # flows: https://supabase.com/docs/guides/auth/sessions/pkce-flow

    def _flow(self, given: Mapping[str, Any], provider: str, method: str, *, target: str) -> Document:
        challenge, how = given.get('code_challenge') or '', (given.get('code_challenge_method') or '').lower()
        if bool(challenge) != bool(how):
            raise Refused(400, 'validation_failed', 'PKCE flow requires code_challenge_method and code_challenge')
        if challenge and not re.fullmatch(r'[a-zA-Z._~0-9-]{43,128}', challenge):
            raise Refused(400, 'validation_failed', 'code challenge has to be between 43 and 128 characters')
        flow = {
            'id': str(uuid4()),
            'provider': provider,
            'method': method,
            'challenge': challenge,
            'how': how,
            'target': target,
            'at': self.project.now,
            'user_id': None,
            'code': None,
        }
        return self._store.put('flow', flow['id'], flow)

    def _coded(self, flow_id: str, user: Document) -> str:
        flow = self._store.get('flow', flow_id)
        assert flow is not None
        code = str(uuid4())
        at = self.project.now if flow['method'] == 'magiclink' else flow['at']
        self._store.put('flow', flow_id, flow | {'user_id': user['id'], 'code': code, 'at': at})
        self._store.put('code', code, {'flow_id': flow_id})
        return code

    def _exchanged(self, code: Any, verifier: Any) -> Document:
        if not code or not verifier:
            raise Refused(
                400, 'validation_failed', 'invalid request: both auth code and code verifier should be non-empty'
            )
        found = self._store.get('code', str(code))
        flow = self._store.get('flow', found['flow_id']) if found else None
        user = self._store.get('user', flow['user_id']) if flow else None
        if flow is None or user is None:
            raise Refused(404, 'flow_state_not_found', 'invalid flow state, no valid flow state found')
        if self.project.now > flow['at'] + self.project.flow_life:
            raise Refused(422, 'flow_state_expired', 'invalid flow state, flow state has expired')
        digest = hashlib.sha256(str(verifier).encode()).digest()
        sent = base64.urlsafe_b64encode(digest).rstrip(b'=').decode() if flow['how'] == 's256' else str(verifier)
        if not hmac.compare_digest(sent.encode(), flow['challenge'].encode()):
            raise Refused(400, 'bad_code_verifier', 'code challenge does not match previously saved code verifier')
        self._store.delete('flow', flow['id'])
        return self._session(user, flow['method'])

    # mail

    def _mail_link(self, request: Request, user: Document, kind: str, given: Mapping[str, Any], method: str) -> None:
        earlier = [mail['at'] for mail in self._store.all('mail') if mail['to'] == user['email']]
        if earlier and (wait := self.project.mail_pause - (self.project.now - earlier[-1])) > 0:
            message = f'For security purposes, you can only request this after {int(wait)} seconds.'
            raise Refused(429, 'over_email_send_rate_limit', message)
        target = self._target(request)
        flow = self._flow(given, 'email', method, target=target) if given.get('code_challenge') else None
        link = self._link(user, kind, flow_id=flow['id'] if flow else None, target=target)
        if kind == 'signup':
            self._keep(user | {'confirmation_sent_at': _time(self.project.now)})
        mail = {'to': user['email'], 'subject': kind, 'link': link['url'], 'at': self.project.now}
        self._store.put('mail', str(uuid4()), mail)

    def _link(self, user: Document, kind: str, *, flow_id: str | None, target: str) -> Document:
        for link in self._store.all('link'):  # a new link of a user ends the one before
            if link['user_id'] == user['id']:
                self._store.delete('link', link['token'])
        token = ('pkce_' if flow_id else '') + secrets.token_hex(28)
        query = {'token': token, 'type': kind, 'redirect_to': target}
        link = {
            'token': token,
            'type': kind,
            'user_id': user['id'],
            'flow_id': flow_id,
            'at': self.project.now,
            'url': _with(f'{self.issuer}/verify', query),
        }
        return self._store.put('link', token, link)

    def _target(self, request: Request) -> str:
        wanted = request.query_params.get('redirect_to', '')
        return wanted if self.project.allows(wanted) else self.project.site_url

    # users

    def _email(self, given: Any) -> str:
        if not isinstance(given, str) or not EMAIL.fullmatch(given) or len(given) > 255:
            raise Refused(400, 'validation_failed', 'Unable to validate email address: invalid format')
        return given.lower()

    def _check_password(self, password: str) -> None:
        if len(password.encode()) > LONGEST_PASSWORD:
            raise Refused(400, 'validation_failed', f'Password cannot be longer than {LONGEST_PASSWORD} characters')
        if len(password.encode()) < self.project.shortest_password:
            message = f'Password should be at least {self.project.shortest_password} characters.'
            raise Refused(422, 'weak_password', message, weak_password={'reasons': ['length']})

    def _by_email(self, email: str) -> Document | None:
        return next((user for user in self._store.all('user') if user['email'] == email), None)

    def _by_password(self, email: str, password: str) -> Document:
        """As of Supabase, an unknown email is told sooner than a wrong password."""
        if not email:
            raise Refused(400, 'validation_failed', 'missing email or phone')
        user = self._by_email(email)
        # bcrypt looks at the first 72 bytes only.
        if user is None or not user['password'] or _hash(password, user['id']) != user['password']:
            raise Refused(400, 'invalid_credentials', 'Invalid login credentials')
        if not user['email_confirmed_at']:
            raise Refused(400, 'email_not_confirmed', 'Email not confirmed')
        return user

    def _new_user(
        self, email: str, password: str | None = None, *, confirmed: bool = False, provider: str = 'email'
    ) -> Document:
        now, user_id = _time(self.project.now), str(uuid4())
        return {
            'id': user_id,
            'aud': 'authenticated',
            'role': 'authenticated',
            'email': email,
            'phone': '',
            'email_confirmed_at': now if confirmed else None,
            'confirmed_at': now if confirmed else None,
            'confirmation_sent_at': None,
            'last_sign_in_at': None,
            'app_metadata': {'provider': provider, 'providers': [provider]},
            'user_metadata': {},
            'identities': [
                {
                    'identity_id': str(uuid4()),
                    'id': user_id,
                    'user_id': user_id,
                    'identity_data': {'email': email, 'sub': user_id},
                    'provider': provider,
                    'created_at': now,
                    'last_sign_in_at': now,
                    'updated_at': now,
                }
            ],
            'created_at': now,
            'updated_at': now,
            'is_anonymous': False,
            'password': _hash(password, user_id) if password else None,
        }

    def _keep(self, user: Document) -> Document:
        UUID(user['id'])
        return self._store.put('user', user['id'], user)


def _shown(user: Document) -> Document:
    return {name: value for name, value in user.items() if name != 'password'}


def _hash(password: str, salt: str) -> str:
    """A hash that is blind beyond 72 bytes, as bcrypt is."""
    known = hashlib.sha256(password.encode()[:LONGEST_PASSWORD]).digest()
    return hashlib.scrypt(known, salt=salt.encode(), n=2**10, r=8, p=1).hex()


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace('+00:00', 'Z')


def _with(url: str, query: Mapping[str, str]) -> str:
    """The URL with more in its query."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=urlencode(dict(parse_qsl(parts.query)) | dict(query))))
