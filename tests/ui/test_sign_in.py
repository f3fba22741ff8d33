"""Signing up, in and out by plain forms, providers and mailed links."""

import html
import re
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from core.errors import NotAllowed, Unconfirmed
from core.settings import Settings
from core.values import Health
from tests.ui.doubles import LINK, WRONG
from tests.ui.site import Site, open_site
from ui.errors import address, error_page
from ui.origins import Origins
from ui.session import BROWSER, COOKIE

EMAIL, PASSWORD = 'ann@example.com', 'a long password'
CROSS_SITE = {'Origin': '', 'Sec-Fetch-Site': 'cross-site'}  # as a browser comes that a provider sends


@pytest.fixture(scope='module')
async def started() -> AsyncIterator[Site]:
    async with open_site() as site:
        yield site


@pytest.fixture
def site(started: Site) -> Site:
    started.forget()
    started.services.accounts.passwords[EMAIL] = PASSWORD
    return started


@pytest.fixture
async def browser(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with site.browser() as browser:
        yield browser


async def test_a_stranger_is_asked_to_sign_in_and_comes_back(browser: httpx.AsyncClient) -> None:
    answer = await browser.get('/probe?from=2020-01-01&to=b')
    assert answer.status_code == 303
    page = await browser.get(answer.headers['location'])
    assert '<input type="hidden" name="next" value="/probe?from=2020-01-01&amp;to=b">' in page.text
    form = {'email': EMAIL, 'password': PASSWORD, 'next': '/probe?from=2020-01-01&to=b'}
    answer = await browser.post('/auth/sign-in', data=form)
    assert answer.status_code == 303
    assert answer.headers['location'] == '/probe?from=2020-01-01&to=b'
    assert (await browser.get('/probe')).status_code == 200


async def test_a_program_is_told_by_problem_json(browser: httpx.AsyncClient) -> None:
    answer = await browser.get('/api/v1/palette')
    assert answer.status_code == 401
    assert answer.headers['content-type'] == 'application/problem+json'
    assert answer.json()['request_id'] == answer.headers['x-request-id']


async def test_an_unknown_email_and_a_wrong_password_look_alike(browser: httpx.AsyncClient) -> None:
    pages = []
    for email in (EMAIL, 'who@example.com'):
        answer = await browser.post('/auth/sign-in', data={'email': email, 'password': 'wrong'})
        assert answer.status_code == 401
        assert WRONG in answer.text
        assert COOKIE not in answer.headers.get('set-cookie', '')
        pages.append(answer.text.replace(email, '…'))
    assert pages[0] == pages[1]


async def test_what_was_typed_is_kept_except_the_password(browser: httpx.AsyncClient) -> None:
    typed = {'email': '"><img src=x onerror=alert(1)>@b.c', 'password': 'a secret that was typed', 'next': '/jobs'}
    page = (await browser.post('/auth/sign-in', data=typed)).text
    assert 'value="&quot;&gt;&lt;img src=x onerror=alert(1)&gt;@b.c"' in page
    assert '<img' not in page
    assert typed['password'] not in page
    assert 'value="/jobs"' in page


async def test_a_new_account_is_signed_in(browser: httpx.AsyncClient) -> None:
    page = (await browser.get('/sign-in?create=1&next=/jobs')).text
    assert '<form method="post" action="/auth/sign-up">' in page
    form = {'email': 'new@example.com', 'password': 'long enough', 'next': '/probe'}
    answer = await browser.post('/auth/sign-up', data=form)
    assert answer.headers['location'] == '/probe'
    assert (await browser.get('/probe')).status_code == 200


async def test_who_has_to_confirm_an_email_is_told_so_and_not_refused(
    site: Site, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unconfirmed(email: str, password: str, **sender: str) -> None:
        raise Unconfirmed

    monkeypatch.setattr(site.services.accounts, 'sign_up', unconfirmed)
    form = {'email': '<i>@example.com', 'password': 'correct horse battery', 'next': '/jobs'}
    answer = await browser.post('/auth/sign-up', data=form)
    assert answer.status_code == 200
    assert 'Confirm your email' in answer.text
    assert '&lt;i&gt;@example.com' in answer.text
    assert 'href="/sign-in?next=/jobs"' in answer.text
    assert 'set-cookie' not in answer.headers


@pytest.mark.parametrize(
    ('email', 'password', 'status', 'words', 'at'),
    [
        (EMAIL, 'long enough', 409, 'exists already', 'email'),
        ('new@example.com', 'short', 400, 'at least 10 characters', 'password'),
    ],
)
async def test_a_refused_sign_up_says_why_and_has_the_focus_where_it_is_mended(
    browser: httpx.AsyncClient, email: str, password: str, status: int, words: str, at: str
) -> None:
    answer = await browser.post('/auth/sign-up', data={'email': email, 'password': password})
    assert answer.status_code == status
    assert words in re.findall(r'role="alert".*?</div>', answer.text)[0]
    (focused,) = re.findall(r'<input[^>]* autofocus[^>]*>', answer.text)
    assert f'name="{at}"' in focused
    assert 'aria-describedby="wrong' in focused


async def test_signing_out_ends_the_session_and_takes_the_cookie(site: Site, browser: httpx.AsyncClient) -> None:
    await browser.post('/auth/sign-in', data={'email': EMAIL, 'password': PASSWORD})
    token = browser.cookies[COOKIE]
    answer = await browser.post('/auth/sign-out')
    assert answer.headers['location'] == '/sign-in'
    assert COOKIE not in browser.cookies
    assert await site.services.accounts.session(token) is None
    assert (await browser.get('/probe')).status_code == 303


async def test_whose_session_was_ended_is_told(browser: httpx.AsyncClient) -> None:
    assert 'You are signed out' in (await browser.get('/sign-in?ended=1')).text
    assert 'You are signed out' not in (await browser.get('/sign-in')).text


@pytest.mark.parametrize(
    ('came_from', 'goes_on_to'),
    [
        ('{here}/datasets/1?tab=rows&v=2', '/datasets/1?tab=rows&amp;v=2'),
        ('{here}/sign-in', '/'),
        ('https://elsewhere.example/datasets', '/'),
        ('', '/'),
    ],
)
async def test_whose_session_was_ended_goes_on_where_they_were(
    browser: httpx.AsyncClient, came_from: str, goes_on_to: str
) -> None:
    here = str(browser.base_url).rstrip('/')
    page = await browser.get('/sign-in?ended=1', headers={'Referer': came_from.format(here=here)})
    assert f'name="next" value="{goes_on_to}"' in page.text


async def test_the_owner_s_link_works_once(browser: httpx.AsyncClient, site: Site) -> None:
    answer = await browser.get('/auth/link', params={'token': LINK})
    assert answer.status_code == 303
    assert (await browser.get('/probe')).status_code == 200
    async with site.browser() as other:
        answer = await other.get('/auth/link', params={'token': LINK})
    assert answer.status_code == 401
    assert 'used already' in answer.text
    assert 'This link signs nobody in any more' in answer.text
    again = await browser.get('/auth/link', params={'token': LINK})
    assert (again.status_code, again.headers['location']) == (303, '/'), 'this browser is signed in'


async def test_who_is_signed_in_skips_the_page(browser: httpx.AsyncClient) -> None:
    await browser.post('/auth/sign-in', data={'email': EMAIL, 'password': PASSWORD})
    answer = await browser.get('/sign-in?next=/probe')
    assert (answer.status_code, answer.headers['location']) == (303, '/probe')


async def test_a_session_cookie_of_nobody_is_a_stranger(site: Site) -> None:
    for token in ('x', 'x' * 5000, '%00', '"quoted"', 'a;b'):
        async with site.browser(Cookie=f'{COOKIE}={token}') as browser:
            assert (await browser.get('/probe')).status_code == 303


async def test_who_stops_says_so_and_keeps_no_connection(site: Site, browser: httpx.AsyncClient) -> None:
    assert (await browser.get('/sign-in')).headers.get('connection') != 'close'
    site.services.health.stopping = True
    try:
        assert (await browser.get('/sign-in')).headers['connection'] == 'close'
    finally:
        site.services.health.stopping = False


@pytest.mark.parametrize(
    ('method', 'status', 'asked', 'ways'),
    [
        ('GET', 503, '/datasets?deleted=', ['/datasets?deleted=', '/']),
        ('GET', 500, '//evil.example/\\x', ['/evil.example/%5Cx', '/']),
        ('POST', 503, '/auth/sign-in', ['/']),
        ('GET', 404, '/datasets', ['/']),
        ('GET', 402, '/datasets', ['/billing']),
    ],
)
def test_an_error_page_loads_again_what_was_asked_for_where_that_may_help(
    method: str, status: int, asked: str, ways: list[str]
) -> None:
    path, _, query = asked.partition('?')
    scope = {'type': 'http', 'method': method, 'path': path, 'query_string': query.encode()}
    page = bytes(error_page(status, 'It broke.', request_id='1', again=address(scope)).body).decode()
    assert re.findall('<a class="b(?: pri)?" href="([^"]*)"', page) == ways


async def test_health_says_down_with_503(site: Site, browser: httpx.AsyncClient) -> None:
    answer = await browser.get('/health')
    assert (answer.status_code, answer.json()['state']) == (200, 'ok')
    healthy = site.services.health.answer
    site.services.health.answer = Health(state='down', services={'database': 'does not answer'})
    try:
        answer = await browser.get('/health')
    finally:
        site.services.health.answer = healthy
    assert answer.status_code == 503
    assert answer.json() == {'state': 'down', 'services': {'database': 'does not answer'}}


async def test_requests_come_here_until_we_stop_whatever_is_down(site: Site, browser: httpx.AsyncClient) -> None:
    health = site.services.health
    healthy, health.answer = health.answer, Health(state='down', services={'objects': 'does not answer'})
    try:
        assert (await browser.get('/health')).status_code == 503
        assert (await browser.get('/health/live')).status_code == 200
        health.stopping = True
        answer = await browser.get('/health/live')
        assert (answer.status_code, answer.json()) == (503, {'state': 'stopping'})
    finally:
        health.answer, health.stopping = healthy, False


async def test_an_unexpected_fault_shows_a_number_and_nothing_else(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> Health:
        raise RuntimeError('postgres://user:secret@host')

    monkeypatch.setattr(site.services.health, 'check', broken)
    async with site.browser() as browser:
        answer = await browser.get('/health')
    assert answer.status_code == 500
    assert 'secret' not in answer.text
    assert answer.json()['request_id'] == answer.headers['x-request-id']


# by a provider or a mailed link


def led_to(answer: httpx.Response) -> str:
    """Where a page goes on to by itself."""
    return answer.headers['refresh'].removeprefix('0; url=')


def state_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)['state'][0]


async def test_only_ways_that_are_set_up_are_offered(
    site: Site, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (await browser.get('/sign-in?next=/jobs')).text
    assert re.findall(r'Continue with (\w+)', page) == ['Google', 'GitHub']
    assert 'formaction="/auth/magic"' in page
    assert page.count('name="next" value="/jobs"') == 3
    assert 'variosync outbox' in page
    monkeypatch.setattr(type(site.services.accounts), 'providers', ())
    production = {
        'VARIOSYNC_ENV': 'production',
        'VARIOSYNC_PUBLIC_URL': 'https://a.b',
        'VARIOSYNC_OWNER_EMAIL': 'a@b.c',
    }
    monkeypatch.setattr(site.services, 'settings', Settings(**production))
    page = (await browser.get('/sign-in')).text
    assert 'Continue with' not in page
    assert '/auth/magic' not in page
    answer = await browser.post('/auth/magic', data={'email': EMAIL})
    assert answer.status_code == 404
    assert site.services.accounts.mails == []
    monkeypatch.setattr(site.services, 'settings', Settings(VARIOSYNC_SMTP_URL='smtp://mail.example.com', **production))
    page = (await browser.get('/sign-in')).text
    assert 'for an hour, in this browser' in page
    assert 'variosync outbox' not in page


async def test_a_provider_leads_away_and_back(site: Site, browser: httpx.AsyncClient) -> None:
    answer = await browser.post('/auth/google', data={'next': '/probe'})
    assert answer.status_code == 200
    url = led_to(answer)
    assert html.escape(url) in answer.text
    assert parse_qs(urlsplit(url).query)['back'] == [f'{site.url}/auth/callback']
    cookie = answer.headers['set-cookie'].lower()
    assert 'httponly' in cookie
    assert 'samesite=lax' in cookie
    assert 'max-age=3600' in cookie
    answer = await browser.get('/auth/callback', params={'state': state_of(url), 'code': 'c'}, headers=CROSS_SITE)
    assert (answer.status_code, answer.headers['location']) == (303, '/probe')
    assert BROWSER not in browser.cookies
    assert (await browser.get('/probe')).status_code == 200


async def test_a_mailed_link_signs_in(site: Site, browser: httpx.AsyncClient) -> None:
    answer = await browser.post('/auth/magic', data={'email': EMAIL, 'password': '', 'next': '/probe'})
    assert answer.status_code == 200
    assert EMAIL in answer.text
    assert 'no-store' in answer.headers['cache-control']
    [url] = site.services.accounts.mails
    answer = await browser.get('/auth/callback', params={'state': state_of(url), 'code': 'c'})
    assert answer.headers['location'] == '/probe'


async def test_a_sign_in_ends_what_the_browser_had_before(site: Site, browser: httpx.AsyncClient) -> None:
    before, _ = site.services.accounts.open(EMAIL)
    browser.cookies.set(COOKIE, before, domain='127.0.0.1')
    state = state_of(led_to(await browser.post('/auth/google')))
    answer = await browser.get('/auth/callback', params={'state': state, 'code': 'c'})
    assert answer.headers['location'] == '/'
    assert await site.services.accounts.session(before) is None


@pytest.mark.parametrize(
    'query',
    [{}, {'state': 'unknown', 'code': 'c'}, {'error': '<img src=x>', 'error_description': '<img src=x>'}],
    ids=str,
)
async def test_what_cannot_be_finished_says_what_to_do(browser: httpx.AsyncClient, query: dict[str, str]) -> None:
    answer = await browser.get('/auth/callback', params=query)
    assert answer.status_code == 401
    assert 'Start again' in re.findall(r'role="alert".*?</div>', answer.text)[0]
    assert '<img' not in answer.text
    assert COOKIE not in answer.headers.get('set-cookie', '')


async def test_an_unknown_provider_and_no_email_are_told(browser: httpx.AsyncClient) -> None:
    answer = await browser.post('/auth/nobody', data={'next': '/jobs'})
    assert answer.status_code == 404
    assert 'Choose another way' in answer.text
    assert 'value="/jobs"' in answer.text
    answer = await browser.post('/auth/magic', data={'email': '<b>', 'next': '/jobs'})
    assert answer.status_code == 400
    assert 'no email address' in answer.text
    assert 'value="&lt;b&gt;"' in answer.text


async def test_programs_begin_by_rest(site: Site, browser: httpx.AsyncClient) -> None:
    answer = await browser.post('/api/v1/auth/google', json={'next': '/probe'})
    assert answer.status_code == 200
    state = state_of(answer.json()['url'])
    answer = await browser.post('/api/v1/auth/magic', json={'email': EMAIL})
    assert (answer.status_code, answer.json()) == (202, {'email': EMAIL})
    assert len(site.services.accounts.mails) == 1
    answer = await browser.get('/auth/callback', params={'state': state, 'code': 'c'})
    assert answer.headers['location'] == '/probe'


@pytest.mark.parametrize('host', ['127.0.0.1:1', 'localhost:1', '203.0.113.9:{port}', '[::1]:x'])
def test_a_link_never_leads_to_where_a_header_says(host: str) -> None:
    port = 8080
    origins = Origins(Settings(VARIOSYNC_HOST='0.0.0.0', VARIOSYNC_PORT=port))
    with pytest.raises(NotAllowed, match='VARIOSYNC_PUBLIC_URL'):
        origins.home(host.format(port=port))
    assert origins.home(f'localhost:{port}') == f'http://localhost:{port}'
    public = Origins(Settings(VARIOSYNC_PUBLIC_URL='https://app.example.com', VARIOSYNC_PORT=port))
    assert public.home(host.format(port=port)) == 'https://app.example.com'
