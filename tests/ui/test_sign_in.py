"""Signing up, in and out by plain forms."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from core.values import Health
from tests.ui.doubles import LINK, WRONG
from tests.ui.site import Site, open_site
from ui.session import COOKIE

EMAIL, PASSWORD = 'ann@example.com', 'a long password'


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


@pytest.mark.parametrize(
    ('email', 'password', 'status', 'words'),
    [(EMAIL, 'long enough', 409, 'exists already'), ('new@example.com', 'short', 400, 'at least 10 characters')],
)
async def test_a_refused_sign_up_says_why(
    browser: httpx.AsyncClient, email: str, password: str, status: int, words: str
) -> None:
    answer = await browser.post('/auth/sign-up', data={'email': email, 'password': password})
    assert answer.status_code == status
    assert words in re.findall(r'role="alert".*?</div>', answer.text)[0]


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


async def test_the_owner_s_link_works_once(browser: httpx.AsyncClient, site: Site) -> None:
    answer = await browser.get('/auth/link', params={'token': LINK})
    assert answer.status_code == 303
    assert (await browser.get('/probe')).status_code == 200
    async with site.browser() as other:
        answer = await other.get('/auth/link', params={'token': LINK})
    assert answer.status_code == 401
    assert 'used already' in answer.text


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


async def test_an_unexpected_fault_shows_a_number_and_nothing_else(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> Health:
        raise RuntimeError('postgres://user:secret@host')

    monkeypatch.setattr(site.services.health, 'check', broken)
    async with site.browser() as browser:
        answer = await browser.get('/health')
    assert answer.status_code == 500
    assert 'secret' not in answer.text
    assert answer.json()['request_id'] == answer.headers['x-request-id']
