"""What every answer carries, where a change may come from, and what the cookie looks like."""

import re
from collections.abc import AsyncIterator
from typing import Any

import nicegui
import pytest
from nicegui import app

from core.settings import Settings
from tests.ui.doubles import LINK
from tests.ui.site import Site, open_site
from ui.app import run
from ui.guard import SAFE
from ui.session import COOKIE, safe_next

PATHS = ['/', '/probe', '/sign-in', '/health', '/static/app.js', '/api/v1/palette', '/nothing', '/auth/link?token=x']
EVIL = [
    {'Origin': 'https://evil.example', 'Sec-Fetch-Site': 'cross-site'},
    {'Origin': 'https://evil.example'},
    {'Origin': 'null'},
    {'Origin': 'http://127.0.0.1:1', 'Sec-Fetch-Site': 'same-site'},
    {'Sec-Fetch-Site': 'cross-site'},
    {},  # a cookie alone: no browser does that
]


@pytest.fixture(scope='module')
async def started() -> AsyncIterator[Site]:
    async with open_site() as site:
        yield site


@pytest.fixture
def site(started: Site) -> Site:
    started.forget()
    return started


@pytest.mark.parametrize('signed_in', [True, False])
@pytest.mark.parametrize('path', PATHS)
async def test_every_answer_carries_the_security_headers(site: Site, path: str, signed_in: bool) -> None:
    token = site.services.accounts.open('ann@example.com')[0] if signed_in else None
    async with site.browser(token) as browser:
        headers = (await browser.get(path)).headers
    policy = dict(part.strip().split(' ', 1) for part in headers['content-security-policy'].split(';'))
    assert policy['default-src'] == policy['base-uri'] == policy['frame-ancestors'] == "'none'"
    assert policy['form-action'] == "'self'"
    assert headers['x-content-type-options'] == 'nosniff'
    assert headers['referrer-policy'] == 'same-origin'
    assert 'camera=()' in headers['permissions-policy']
    assert len(headers['x-request-id']) == 12
    assert 'strict-transport-security' not in headers


async def test_only_pages_of_the_framework_may_run_inline_scripts(site: Site) -> None:
    token, _ = site.services.accounts.open('ann@example.com')
    async with site.browser(token) as browser:
        framework = (await browser.get('/probe')).headers['content-security-policy']
        plain = (await browser.get('/nothing')).headers['content-security-policy']
    assert "script-src 'self' 'unsafe-inline' 'unsafe-eval';" in framework
    assert f"connect-src 'self' {site.url.replace('http', 'ws')};" in framework
    assert "script-src 'self';" in plain


async def test_a_page_may_send_files_to_the_storage_and_nowhere_else(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.services.uploads, 'origins', ('https://abc.storage.example',))
    token, _ = site.services.accounts.open('ann@example.com')
    async with site.browser(token) as browser:
        framework = (await browser.get('/probe')).headers['content-security-policy']
        plain = (await browser.get('/nothing')).headers['content-security-policy']
    assert f"connect-src 'self' {site.url.replace('http', 'ws')} https://abc.storage.example;" in framework
    assert "connect-src 'self';" in plain


async def test_a_page_asks_no_other_server_for_anything(site: Site) -> None:
    token, _ = site.services.accounts.open('ann@example.com')
    async with site.browser(token) as browser:
        for path in ('/probe', '/sign-in', '/static/tokens.css', '/static/app.js'):
            text = (await browser.get(path)).text
            assert set(re.findall(r'https?://[\w.:-]+', text)) <= {'http://www.w3.org'}, path


@pytest.mark.parametrize('evil', EVIL, ids=str)
async def test_every_mutating_route_refuses_a_foreign_page(site: Site, evil: dict[str, str]) -> None:
    token, _ = site.services.accounts.open('ann@example.com')
    routes = [
        (method, re.sub(r'\{[^}]+\}', '1', route.path))
        for route in app._iter_http_routes()
        for method in sorted((route.methods or set()) - SAFE)
    ]
    assert ('POST', '/auth/sign-out') in routes
    async with site.browser(token) as browser:
        for name in ('Origin', 'Sec-Fetch-Site', 'Accept'):
            del browser.headers[name]
        for method, path in [*routes, ('DELETE', '/nothing'), ('POST', '/api/v1/nothing')]:
            answer = await browser.request(method, path, headers=evil)
            assert answer.status_code == 403, (method, path)
            assert answer.headers['content-type'] == 'application/problem+json'
            assert answer.json()['code'] == 'not_allowed'
    assert await site.services.accounts.session(token) is not None


async def test_a_name_that_is_not_ours_finds_nothing(site: Site) -> None:
    async with site.browser(Host='rebound.example') as browser:
        answer = await browser.get('/sign-in')
        assert answer.status_code == 403
        assert 'VARIOSYNC_PUBLIC_URL' in answer.text
        assert (await browser.get('/health')).status_code == 200


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(site: Site) -> None:
    async with site.browser() as browser:
        answer = await browser.get('/auth/link', params={'token': LINK})
    cookie = answer.headers['set-cookie'].lower()
    assert answer.headers['location'] == '/'
    assert cookie.startswith(COOKIE)
    assert 'httponly' in cookie
    assert 'samesite=lax' in cookie
    assert 'path=/' in cookie
    assert 'secure' not in cookie


async def test_the_peer_s_address_is_not_what_a_header_says(site: Site) -> None:
    forged = {'X-Forwarded-For': '203.0.113.9', 'X-Real-IP': '203.0.113.9', 'CF-Connecting-IP': '203.0.113.9'}
    async with site.browser(**forged) as browser:
        await browser.post('/auth/sign-in', data={'email': 'a@b.c', 'password': 'x'})
    assert [seen['address'] for seen in site.services.accounts.seen] == ['127.0.0.1']


def test_client_ids_stay_out_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """They stand in the addresses of sockets, which the server would log at `info` and in its access log."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(nicegui.ui, 'run', lambda **options: given.update(options))
    run(Settings(), patience=1)
    assert given['access_log'] is False
    assert given['uvicorn_logging_level'] == 'warning'
    assert given['proxy_headers'] is False
    assert given['reconnect_timeout'] == 30


@pytest.mark.parametrize(
    'target',
    [
        '//evil.example', '/\\evil.example', '\\\\evil.example', 'https://evil.example', 'javascript:alert(1)',
        '/auth/sign-out', '/sign-in?next=/', '/a\nb', '/\t/evil.example', ' /datasets', '', None, 'datasets',
    ],
)  # fmt: skip
def test_nobody_is_sent_elsewhere_after_sign_in(target: str | None) -> None:
    assert safe_next(target) == '/'


@pytest.mark.parametrize('target', ['/', '/datasets/1?from=2020-01-01&to=2021-01-01', '/jobs#failed'])
def test_a_path_of_ours_is_kept(target: str) -> None:
    assert safe_next(target) == target


async def test_a_session_that_was_there_before_ends_at_sign_in(site: Site) -> None:
    old, _ = site.services.accounts.open('ann@example.com')
    site.services.accounts.passwords['bob@example.com'] = 'a long password'
    async with site.browser(old) as browser:
        answer = await browser.post('/auth/sign-in', data={'email': 'bob@example.com', 'password': 'a long password'})
    assert answer.status_code == 303
    assert old not in answer.headers['set-cookie']
    assert await site.services.accounts.session(old) is None
