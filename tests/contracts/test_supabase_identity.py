"""What Supabase's identity promises beyond `core.ports.Identity`: settings of a project, keys, and every fault."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from core.errors import (
    Conflict,
    Misconfigured,
    NotFound,
    NotSignedIn,
    TooMany,
    Unavailable,
    Unconfirmed,
    UsageError,
    VariosyncError,
)
from core.values import Begun, Tokens
from storage.cloud import identity as module
from storage.cloud.identity import SupabaseIdentity
from tests.contracts.conftest import RETURN, Browse, Mailed, answer_at
from tests.fakes.supabase import FakeSupabase, Project
from tests.fakes.supabase.project import legacy_key

EMAIL = 'ada@example.com'
PASSWORD = 'analytical engine'
Make = Callable[..., SupabaseIdentity]


@pytest.fixture
def make(supabase: FakeSupabase, http: httpx.AsyncClient) -> Make:
    def open_identity(**changes: Any) -> SupabaseIdentity:
        given = {
            'publishable': supabase.project.publishable,
            'secret': supabase.project.secret,
            'providers': ['google', 'github'],
            'http': http,
            'refusal': 0,
        }
        return SupabaseIdentity(supabase.url, **given | changes)

    return open_identity


@pytest.fixture
def identity(supabase_identity: SupabaseIdentity) -> SupabaseIdentity:
    return supabase_identity


@pytest.fixture
def project(supabase: FakeSupabase) -> Project:
    return supabase.project


@pytest.fixture
def browse(supabase_browser_answer: Browse) -> Browse:
    return supabase_browser_answer


@pytest.fixture
def mailed(supabase_mailed: Mailed) -> Mailed:
    return supabase_mailed


async def begun(identity: SupabaseIdentity, provider: str = 'google') -> Begun:
    return await identity.begin(provider, redirect_to=RETURN, state='s')


async def finished(identity: SupabaseIdentity, secret: str, answer: dict[str, str]) -> Tokens:
    return await identity.finish('google', answer, secret=secret, redirect_to=RETURN)


async def by_mail(identity: SupabaseIdentity, secret: str, answer: dict[str, str]) -> Tokens:
    return await identity.finish('email', answer, secret=secret, redirect_to=RETURN)


# accounts


async def test_where_emails_are_confirmed_nobody_comes_in_before(
    identity: SupabaseIdentity, project: Project, mailed: Mailed, http: httpx.AsyncClient
) -> None:
    project.autoconfirm = False
    user_id = await identity.sign_up(EMAIL, PASSWORD)
    with pytest.raises(Unconfirmed, match=r'not confirmed yet. Open the link'):
        await identity.sign_in(EMAIL, PASSWORD)
    with pytest.raises(NotSignedIn, match='do not match'):
        await identity.sign_in(EMAIL, 'wrong password')
    link = await http.get(await mailed(EMAIL), follow_redirects=False)
    assert 'access_token' not in link.headers['location'], 'no token is shown to a browser'
    assert (await identity.sign_in(EMAIL, PASSWORD)).user_id == user_id


async def test_a_taken_email_is_a_conflict_where_supabase_conceals_it(
    identity: SupabaseIdentity, project: Project
) -> None:
    await identity.sign_up(EMAIL, PASSWORD)
    project.autoconfirm = False
    with pytest.raises(Conflict, match='Sign in instead'):
        await identity.sign_up(EMAIL, PASSWORD)


async def test_supabase_says_why_a_password_is_too_weak(identity: SupabaseIdentity, project: Project) -> None:
    project.shortest_password = 20
    with pytest.raises(UsageError, match=r'too weak. Password should be at least 20 characters'):
        await identity.sign_up(EMAIL, PASSWORD)


@pytest.mark.parametrize('password', ['x' * 73, 'é' * 37, 'tenchars\ud800!'])
async def test_a_password_that_supabase_cannot_keep_is_refused(identity: SupabaseIdentity, password: str) -> None:
    with pytest.raises(UsageError, match=r'more than 72 bytes|cannot be sent'):
        await identity.sign_up(EMAIL, password)
    with pytest.raises(NotSignedIn, match='do not match'):
        await identity.sign_in(EMAIL, password)


async def test_only_72_bytes_would_count(identity: SupabaseIdentity) -> None:
    await identity.sign_up(EMAIL, 'x' * 72)
    with pytest.raises(NotSignedIn, match='do not match'):
        await identity.sign_in(EMAIL, 'x' * 72 + 'whatever')


async def test_an_unknown_email_takes_as_long_as_a_wrong_password(make: Make) -> None:
    identity = make(refusal=0.2)
    await identity.sign_up(EMAIL, PASSWORD)
    took = []
    for email in (EMAIL, 'nobody@example.com', 'no address'):
        began = time.monotonic()
        with pytest.raises(NotSignedIn):
            await identity.sign_in(email, 'wrong password')
        took.append(time.monotonic() - began)
    assert min(took) >= 0.2
    async with asyncio.timeout(30):
        assert await make(refusal=60).sign_in(EMAIL, PASSWORD), 'who comes in does not wait'


async def test_new_accounts_may_be_off(identity: SupabaseIdentity, project: Project, mailed: Mailed) -> None:
    await identity.sign_up(EMAIL, PASSWORD)
    project.signup = False
    with pytest.raises(VariosyncError, match='New accounts are not given here'):
        await identity.sign_up('eve@example.com', PASSWORD)
    # Who has an account gets a mail, who has none does not, and neither can be told from the answer.
    secrets = [await identity.send_link(email, redirect_to=RETURN, state='s') for email in (EMAIL, 'eve@example.com')]
    assert [len(secret) for secret in secrets] == [64, 64]
    assert await mailed(EMAIL)
    with pytest.raises(IndexError):
        await mailed('eve@example.com')


async def test_a_lost_answer_to_a_refresh_is_given_again(identity: SupabaseIdentity) -> None:
    await identity.sign_up(EMAIL, PASSWORD)
    tokens = await identity.sign_in(EMAIL, PASSWORD)
    first, second = await identity.refresh(tokens.refresh_token), await identity.refresh(tokens.refresh_token)
    assert first.refresh_token == second.refresh_token
    newest = await identity.refresh(second.refresh_token)
    with pytest.raises(NotSignedIn):
        await identity.refresh(tokens.refresh_token)
    with pytest.raises(NotSignedIn):
        await identity.refresh(newest.refresh_token)


async def test_each_request_has_a_client_of_its_own(identity: SupabaseIdentity) -> None:
    people = [f'user{number}@example.com' for number in range(4)]
    ids = dict(zip(people, [await identity.sign_up(email, PASSWORD) for email in people], strict=True))
    signed_in = await asyncio.gather(*(identity.sign_in(email, PASSWORD) for email in people))
    assert {tokens.email: tokens.user_id for tokens in signed_in} == ids
    for tokens in signed_in:
        assert (await identity.verify(tokens.access_token)).email == tokens.email


async def test_tokens_of_a_new_key_are_known_once_it_is_asked_for(
    make: Make, supabase: FakeSupabase, identity: SupabaseIdentity
) -> None:
    await identity.sign_up(EMAIL, PASSWORD)
    old = await identity.sign_in(EMAIL, PASSWORD)
    supabase.auth.rotate()
    new = await identity.sign_in(EMAIL, PASSWORD)
    for tokens in (old, new):
        assert await identity.verify(tokens.access_token)


# a provider, a mailed link


async def test_the_browser_is_sent_to_the_provider_with_a_challenge(
    identity: SupabaseIdentity, supabase: FakeSupabase, browse: Browse
) -> None:
    started = await begun(identity)
    assert started.url.startswith(f'{supabase.url}/idp/authorize?client_id=google')
    assert supabase.project.publishable not in started.url
    assert started.secret not in repr(started)
    [flow] = supabase.store.all('flow')
    assert flow['how'] == 's256'
    assert started.secret not in str(flow)
    answer = await browse(started.url)
    assert (answer['state'], set(answer)) == ('s', {'state', 'code'})


async def test_a_code_serves_once_soon_and_with_its_secret(
    identity: SupabaseIdentity, project: Project, browse: Browse
) -> None:
    first, second = await begun(identity), await begun(identity)
    answer = dict(await browse(first.url))
    for secret in (second.secret, '', 'x', '\ud800'):
        with pytest.raises(NotSignedIn, match='did not succeed'):
            await finished(identity, secret, answer)
    assert (await finished(identity, first.secret, answer)).email == EMAIL
    with pytest.raises(NotSignedIn, match='did not succeed'):
        await finished(identity, first.secret, answer)
    late = dict(await browse(second.url))
    project.ahead = project.flow_life + 1
    with pytest.raises(NotSignedIn, match='did not succeed'):
        await finished(identity, second.secret, late)


async def test_who_refuses_at_the_provider_does_not_come_in(
    identity: SupabaseIdentity, supabase: FakeSupabase, browse: Browse, http: httpx.AsyncClient
) -> None:
    await http.post(f'{supabase.url}/idp/person', json={'email': EMAIL, 'refuses': True})
    started = await begun(identity)
    answer = dict(await browse(started.url))
    assert answer['error'] == 'access_denied'
    with pytest.raises(NotSignedIn):
        await finished(identity, started.secret, answer)


async def test_a_provider_that_supabase_has_switched_off_is_told(identity: SupabaseIdentity, project: Project) -> None:
    project.providers = ['google']
    with pytest.raises(Misconfigured, match='Github is switched off in Supabase'):
        await begun(identity, 'github')
    with pytest.raises(NotFound):
        await begun(identity, 'facebook')


async def test_supabase_returns_to_listed_addresses_only(
    identity: SupabaseIdentity, project: Project, http: httpx.AsyncClient
) -> None:
    project.site_url = 'https://site.example'
    project.redirects = ['https://*.variosync.example/auth/**']
    for place, allowed in [
        ('https://app.variosync.example/auth/return', True),
        ('https://a.b.variosync.example/auth/return', False),
        ('https://evil.example/auth/return', False),
    ]:
        url = (await identity.begin('google', redirect_to=place, state='s')).url
        while url.startswith('http://127.0.0.1'):
            url = (await http.get(url, follow_redirects=False)).headers['location']
        assert url.startswith(place if allowed else 'https://site.example')


async def test_a_mailed_link_serves_once_and_soon(
    identity: SupabaseIdentity, project: Project, mailed: Mailed, http: httpx.AsyncClient
) -> None:
    secret = await identity.send_link(EMAIL, redirect_to=RETURN, state='s')
    link = await mailed(EMAIL)
    answer = dict(await answer_at(http, link))
    assert (await finished(identity, secret, answer)).email == EMAIL
    assert (await answer_at(http, link))['error_code'] == 'otp_expired'
    secret = await identity.send_link(EMAIL, redirect_to=RETURN, state='s')
    project.ahead = project.otp_life + 1
    with pytest.raises(NotSignedIn):
        await finished(identity, secret, dict(await answer_at(http, await mailed(EMAIL))))


@pytest.mark.parametrize('confirmed', [True, False])
async def test_a_mailed_link_signs_up_where_emails_are_confirmed_too(
    identity: SupabaseIdentity, project: Project, mailed: Mailed, http: httpx.AsyncClient, confirmed: bool
) -> None:
    project.autoconfirm = confirmed
    secret = await identity.send_link(EMAIL, redirect_to=RETURN, state='s')
    tokens = await by_mail(identity, secret, dict(await answer_at(http, await mailed(EMAIL))))
    assert tokens.user_id == await identity.ensure(EMAIL)


async def test_supabase_says_how_long_to_wait_for_the_next_mail(identity: SupabaseIdentity, project: Project) -> None:
    project.mail_pause = 60
    await identity.send_link(EMAIL, redirect_to=RETURN, state='s')
    with pytest.raises(TooMany, match='Wait') as caught:
        await identity.send_link(EMAIL, redirect_to=RETURN, state='s')
    assert 50 < caught.value.details['retry_after'] <= 60


# keys and what a doctor finds


async def test_legacy_keys_work(make: Make, project: Project) -> None:
    project.autoconfirm = False
    identity = make(publishable=legacy_key('anon'), secret=legacy_key('service_role'))
    assert await identity.ensure(EMAIL)
    assert (await identity.check()).startswith('ok')


async def test_a_new_key_is_never_sent_as_a_token(supabase: FakeSupabase) -> None:
    sent: list[httpx.Request] = []

    async def note(request: httpx.Request) -> None:
        sent.append(request)

    async with httpx.AsyncClient(trust_env=False, event_hooks={'request': [note]}) as http:
        identity = SupabaseIdentity(
            supabase.url, publishable='sb_publishable_fake', secret='sb_secret_fake', http=http, refusal=0
        )
        await identity.sign_up(EMAIL, PASSWORD)
        tokens = await identity.sign_in(EMAIL, PASSWORD)
        await identity.sign_out(tokens.access_token)
        await identity.ensure(EMAIL)
        await identity.delete(tokens.user_id)
    assert {request.headers.get('authorization') for request in sent} == {None, f'Bearer {tokens.access_token}'}
    secret = {request.url.path for request in sent if request.headers.get('apikey') == 'sb_secret_fake'}
    assert {path.split('/')[3] for path in secret} == {'admin'}, 'the secret key goes where it must and nowhere else'


@pytest.mark.parametrize('wrong', [{'secret': 'sb_publishable_fake'}, {'secret': 'x'}, {'publishable': 'x'}])
async def test_wrong_keys_are_told(make: Make, project: Project, wrong: dict[str, str]) -> None:
    project.autoconfirm = False
    identity = make(**wrong)
    with pytest.raises(Misconfigured, match='does not take our keys'):
        await identity.check()
    with pytest.raises(Misconfigured, match='does not take our keys'):
        await (identity.ensure(EMAIL) if 'secret' in wrong else identity.sign_in(EMAIL, PASSWORD))


async def test_a_project_in_order_is_ok(identity: SupabaseIdentity, project: Project) -> None:
    project.autoconfirm = False
    assert (await identity.check()).startswith('ok; ')


async def test_a_project_that_confirms_no_email_is_found(identity: SupabaseIdentity) -> None:
    with pytest.raises(Misconfigured, match='Confirm email'):
        await identity.check()


async def test_a_provider_that_is_off_is_found(identity: SupabaseIdentity, project: Project) -> None:
    project.autoconfirm = False
    project.providers = ['google']
    with pytest.raises(Misconfigured, match='names github, which Supabase has switched off'):
        await identity.check()


async def test_a_shared_secret_is_found(identity: SupabaseIdentity, project: Project) -> None:
    project.signing, project.autoconfirm = 'HS256', False
    with pytest.raises(Misconfigured, match=r'shared secret.*Rotate keys'):
        await identity.check()
    project.autoconfirm = True
    await identity.sign_up(EMAIL, PASSWORD)
    with pytest.raises(NotSignedIn, match='not valid'):
        await identity.verify((await identity.sign_in(EMAIL, PASSWORD)).access_token)


# faults: no error of a vendor comes out


def json_answer(status: int, content: Any, **headers: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: httpx.Response(status, json=content, headers=headers)


def raising(error: type[httpx.TransportError]) -> Callable[[httpx.Request], httpx.Response]:
    def handle(request: httpx.Request) -> httpx.Response:
        raise error('broken', request=request)

    return handle


VERSION = {'x-supabase-api-version': '2024-01-01'}
FAULTS: dict[str, Callable[[httpx.Request], Any]] = {
    'refuses': raising(httpx.ConnectError),
    'does not answer': raising(httpx.ReadTimeout),
    'breaks off': raising(httpx.RemoteProtocolError),
    'no connection is free': raising(httpx.PoolTimeout),
    '500': json_answer(500, {'code': 'unexpected_failure', 'message': 'Database error'}, **VERSION),
    '500 of before': json_answer(500, {'code': 500, 'error_code': 'unexpected_failure', 'msg': 'Database error'}),
    '500 in HTML': lambda request: httpx.Response(500, html='<h1>Internal Server Error</h1>'),
    '502': lambda request: httpx.Response(502, html='<h1>Bad Gateway</h1>'),
    '503': json_answer(503, {'message': 'name resolution failed'}),
    '520 of Cloudflare': lambda request: httpx.Response(520),
    '504 of a hook': json_answer(504, {'code': 'hook_timeout', 'message': 'Hook timed out'}, **VERSION),
    '403 in HTML': lambda request: httpx.Response(403, html='<h1>Attention Required!</h1>'),
    '200 without a body': lambda request: httpx.Response(200),
    '200 in HTML': lambda request: httpx.Response(200, html='<h1>Project paused</h1>'),
    '200 of a list': json_answer(200, []),
    '200 of an empty object': json_answer(200, {}),
    '200 of nonsense': json_answer(200, {'user': 5, 'id': 'x', 'keys': 5, 'external': 'x', 'users': None}),
    '200 that is no UTF-8': lambda request: httpx.Response(200, content=b'{"id": "\xff\xfe"}'),
    '200 that is no gzip': lambda request: httpx.Response(200, content=b'x', headers={'content-encoding': 'gzip'}),
}
METHODS: dict[str, Callable[[SupabaseIdentity], Awaitable[Any]]] = {
    'sign_up': lambda i: i.sign_up(EMAIL, PASSWORD),
    'sign_in': lambda i: i.sign_in(EMAIL, PASSWORD),
    'ensure': lambda i: i.ensure(EMAIL),
    'verify': lambda i: i.verify(TOKEN),
    'begin': lambda i: i.begin('google', redirect_to=RETURN, state='s'),
    'send_link': lambda i: i.send_link(EMAIL, redirect_to=RETURN, state='s'),
    'finish': lambda i: i.finish('google', {'code': 'c'}, secret='s', redirect_to=RETURN),
    'refresh': lambda i: i.refresh('abcdefghijkl'),
    'sign_out': lambda i: i.sign_out(TOKEN),
    'delete': lambda i: i.delete(uuid4()),
    'check': lambda i: i.check(),
}
TOKEN = 'eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsifQ.e30.c2ln'
# What these say is not looked at.
CONTENT = {('send_link', fault) for fault in FAULTS if fault.startswith('200')} | {
    ('delete', fault) for fault in FAULTS if fault.startswith('200')
}


def broken(handler: Callable[[httpx.Request], Any]) -> SupabaseIdentity:
    http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    return SupabaseIdentity(
        'https://project.supabase.co', publishable='p', secret='s', providers=['google'], http=http, refusal=0
    )


@pytest.mark.parametrize('method', METHODS)
async def test_whatever_goes_wrong_there_is_unavailable_here(method: str) -> None:
    for fault, handler in FAULTS.items():
        if (method, fault) in CONTENT:
            continue
        with pytest.raises(Unavailable) as caught:
            await METHODS[method](broken(handler))
        assert caught.value.retryable, (method, fault)
        assert 'supabase_auth' not in str(caught.value), (method, fault)


@pytest.mark.parametrize('method', METHODS)
async def test_a_service_that_hangs_is_given_up(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(module, 'PATIENCE', 0.01)
    with pytest.raises(Unavailable):
        await METHODS[method](broken(hang))


@pytest.mark.parametrize('method', sorted(set(METHODS) - {'verify', 'sign_out'}))
async def test_a_limit_of_supabase_says_how_long_to_wait(method: str) -> None:
    body = {'code': 'over_request_rate_limit', 'message': 'Request rate limit reached'}
    for headers, wait in [({'retry-after': '7'}, 7.0), ({}, 60.0), ({'retry-after': 'Wed, 21 Oct 2026'}, 60.0)]:
        with pytest.raises(TooMany) as caught:
            await METHODS[method](broken(json_answer(429, body, **VERSION, **headers)))
        assert caught.value.details == {'retry_after': wait}


@pytest.mark.parametrize(
    ('code', 'kind'),
    [
        ('email_provider_disabled', Misconfigured),
        ('email_address_not_authorized', Misconfigured),
        ('captcha_failed', Misconfigured),
        ('email_address_invalid', UsageError),
        ('validation_failed', UsageError),
        ('a code that is new', UsageError),
    ],
)
async def test_a_code_says_what_is_to_be_done(code: str, kind: type[VariosyncError]) -> None:
    refusing = broken(json_answer(422, {'code': code, 'message': 'no'}, **VERSION))
    with pytest.raises(kind) as caught:
        await refusing.send_link(EMAIL, redirect_to=RETURN, state='s')
    assert type(caught.value) is kind


async def test_a_wrong_address_of_the_project_is_told() -> None:
    nowhere = broken(json_answer(404, {'message': 'no Route matched with those values'}))
    with pytest.raises(Misconfigured, match='Check SUPABASE_URL'):
        await nowhere.sign_in(EMAIL, PASSWORD)


async def test_keys_are_asked_for_a_second_time_when_a_connection_breaks() -> None:
    asked = []

    def once_broken(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if len(asked) == 1:
            raise httpx.ReadError('broken', request=request)
        return httpx.Response(200, content=json.dumps({'keys': []}))

    with pytest.raises(NotSignedIn):
        await broken(once_broken).verify(TOKEN)
    assert asked == ['/auth/v1/.well-known/jwks.json'] * 2


async def test_a_sign_in_is_sent_once() -> None:
    asked = []

    def down(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        raise httpx.ReadError('broken', request=request)

    with pytest.raises(Unavailable):
        await broken(down).sign_in(EMAIL, PASSWORD)
    assert asked == ['/auth/v1/token']


def test_the_fake_survives_a_kill(tmp_path: Path) -> None:
    command = [sys.executable, '-m', 'tests.fakes.supabase', '--state', str(tmp_path)]
    tokens: dict[str, Any] = {}
    for path, content in [
        ('signup', {'email': EMAIL, 'password': PASSWORD}),
        ('token?grant_type=refresh_token', tokens),
    ]:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                url = process.stdout.readline().split()[-1]
                headers = {'apikey': 'sb_publishable_fake'}
                answer = httpx.post(f'{url}/auth/v1/{path}', json=content, headers=headers, trust_env=False)
            finally:
                process.kill()
        assert answer.status_code == 200, answer.text
        tokens |= answer.json()
