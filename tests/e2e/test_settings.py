"""Settings and notices in real browsers: preferences, keys, sessions, what is told, and the end of an account."""

import io
import json
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.e2e.conftest import WIDE
from tests.e2e.server import Server
from tests.e2e.test_faults import begin, send
from tests.e2e.test_main_job import AIRLINE, PASSWORD

pytestmark = pytest.mark.xdist_group('pages')


@pytest.fixture
def enter(browser: Browser, server: Server, page: Page) -> Iterator[Callable[..., Page]]:
    """Open a page, signed in with what a client of the server holds; each in a browser of its own.

    The first is one that has been here before, unless it is to be another one by its options.
    """
    opened: list[BrowserContext] = []
    known = [page]

    def make(client: httpx.Client, **options: Any) -> Page:
        if known and not options:
            entered = known.pop()
        else:
            opened.append(browser.new_context(viewport=WIDE, **options))
            entered = opened[-1].new_page()
        entered.context.add_cookies(
            [{'name': c.name, 'value': c.value or '', 'url': server.url} for c in client.cookies.jar]
        )
        return entered

    yield make
    for context in opened:
        context.close()


def bring(client: httpx.Client, name: str, data: bytes) -> str:
    """Upload a file; return the id of its dataset."""
    return send(client, begin(client, name, len(data)), data, 0).headers['variosync-dataset']


def until(condition: Callable[[], bool], *, within: float = 30, every: float = 0.05) -> None:
    """Ask again until it holds, or fail."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(every)


def test_preferences_hold_on_every_page_and_in_a_new_browser(server: Server, enter: Callable[..., Page]):
    client = server.client('pia@example.com')
    bring(client, AIRLINE.name, AIRLINE.read_bytes())
    page = enter(client, timezone_id='Europe/Berlin', color_scheme='light')
    page.goto(f'{server.url}/settings?tab=display')
    expect(page.get_by_text('This browser is in Europe/Berlin.')).to_be_visible()
    page.get_by_role('button', name='Use it').click()
    page.get_by_role('combobox', name='Numbers').click()
    page.get_by_role('option', name='1.234.567,8').click()
    expect(page.get_by_text('and a number looks like 1.234.567,8.')).to_be_visible()
    page.get_by_role('group', name='Theme').get_by_role('button', name='Dark').click()
    expect(page.locator('html')).to_have_attribute('data-theme', 'dark')
    until(lambda: client.get('/api/v1/settings').json()['theme'] == 'dark')
    page.goto(f'{server.url}/audit')
    expect(page.locator('time').first).to_contain_text('CET')
    expect(page.get_by_role('row', name=re.compile('theme')).first).to_be_visible()
    assert client.get('/api/v1/settings').json() == {
        'email': 'pia@example.com', 'name': '', 'theme': 'dark', 'time_zone': 'Europe/Berlin',
        'number_format': '1.234,5',
    }  # fmt: skip

    other = enter(server.client('pia@example.com'), color_scheme='light')
    other.goto(f'{server.url}/datasets')
    expect(other.locator('html')).to_have_attribute('data-theme', 'dark')
    other.keyboard.press('Control+k')
    other.get_by_role('combobox').fill('system')
    expect(other.get_by_role('option')).to_have_text(['System theme'])
    other.keyboard.press('Enter')
    expect(other.locator('html')).to_have_attribute('data-theme', 'light')


def test_a_key_opens_the_interface_until_it_is_revoked(server: Server, enter: Callable[..., Page]):
    page = enter(server.client('kim@example.com'))
    page.goto(f'{server.url}/settings?tab=keys')
    page.get_by_label('Name').fill('Nightly import')
    page.get_by_role('button', name='Create key').click()
    key = page.locator('#new-key').inner_text()
    assert re.fullmatch(r'vsk_[\w-]{43}', key)
    with httpx.Client(base_url=server.url, headers={'Authorization': f'Bearer {key}'}) as program:
        assert program.get('/api/v1/datasets').status_code == 200
        assert program.post('/api/v1/notices/read').status_code == 403
        page.goto(f'{server.url}/settings?tab=keys')
        assert key not in page.content()
        expect(page.get_by_role('row', name=re.compile('Nightly import'))).to_contain_text('Read only')
        page.get_by_role('button', name='Revoke Nightly import').click()
        page.get_by_role('dialog').get_by_role('button', name='Revoke').click()
        expect(page.get_by_text('Revoked', exact=True)).to_be_visible()
        assert program.get('/api/v1/datasets').status_code == 401


def test_a_session_that_is_ended_elsewhere_loses_its_pages_at_once(server: Server, enter: Callable[..., Page]):
    here, there = enter(server.client('sam@example.com')), enter(server.client('sam@example.com'))
    there.goto(f'{server.url}/jobs')
    expect(there.get_by_role('heading', name='Jobs', exact=True)).to_be_visible()
    here.goto(f'{server.url}/settings?tab=sessions')
    expect(here.get_by_text('this one')).to_have_count(1)
    here.get_by_role('button', name='Sign out all others').click()
    here.get_by_role('dialog').get_by_role('button', name='Sign out all others').click()
    there.wait_for_url(re.compile('/sign-in'))
    expect(here.get_by_role('row')).to_have_count(2)


def test_notices_reach_every_open_page_and_a_closed_one_later(server: Server, enter: Callable[..., Page]):
    client = server.client('nora@example.com')
    pages = [enter(client), enter(server.client('nora@example.com'))]
    for page in pages:
        page.goto(f'{server.url}/datasets')
        expect(page.locator('.pill.hours[data-state]')).to_be_visible()
        page.wait_for_function('document.querySelector(".menu.notices .list p")')
        page.evaluate('window.sameDocument = true')
    bring(client, 'broken.csv', b'hello')
    for page in pages:
        expect(page.locator('.toast')).to_have_count(1)
        expect(page.get_by_role('button', name='Notices, 1 unread')).to_be_visible()
        assert page.evaluate('window.sameDocument')

    for page in pages:
        page.goto('about:blank')
    bring(client, 'ruined.csv', b'goodbye')
    until(lambda: client.get('/api/v1/notices').json()['unread'] == 2)
    page = pages[0]
    page.goto(f'{server.url}/billing')
    expect(page.locator('.toast')).to_contain_text('ruined.csv')
    expect(page.locator('.toast')).to_have_count(1)
    page.goto(f'{server.url}/notices')
    expect(page.locator('.card > .notice')).to_have_count(2)
    page.get_by_role('button', name=re.compile('Mark as read.*ruined')).click()
    expect(page.get_by_role('button', name='Notices, 1 unread')).to_be_visible()
    expect(page.locator('.toast')).to_have_count(0)
    page.get_by_role('button', name='Mark all as read').first.click()
    expect(page.locator('.notice.new')).to_have_count(0)


def test_everything_is_taken_along_before_the_account_goes(server: Server, enter: Callable[..., Page]):
    client = server.client('lea@example.com')
    bring(client, AIRLINE.name, AIRLINE.read_bytes())
    page = enter(client)
    page.goto(f'{server.url}/settings?tab=account')
    with page.expect_download() as download:
        page.get_by_role('link', name='Download everything').click()
    with zipfile.ZipFile(io.BytesIO(download.value.path().read_bytes())) as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read('account.json'))['email'] == 'lea@example.com'
        assert archive.read(f'datasets/air passengers/original/{AIRLINE.name}') == AIRLINE.read_bytes()

    delete = page.get_by_role('button', name='Delete account')
    expect(delete).to_be_disabled()
    page.get_by_label('Type lea@example.com to confirm').fill('lea@example.com')
    delete.click()
    page.wait_for_url(re.compile('/sign-in'))
    assert client.get('/api/v1/settings').status_code == 401
    # Sessions end first, the means to sign in last: whoever is interrupted between can ask again.
    known = {'email': 'lea@example.com', 'password': PASSWORD, 'next': '/'}
    # An account is tried ten times in a quarter of an hour, an address fifty times.
    until(lambda: client.post('/auth/sign-in', data=known).status_code == 401, every=4)


def test_a_theme_chosen_while_the_server_is_away_is_kept_by_the_next_page(
    server: Server, enter: Callable[..., Page]
) -> None:
    client = server.client('ines@example.com')
    page = enter(client, color_scheme='light')
    page.goto(f'{server.url}/datasets')
    page.route('**/api/v1/settings', lambda route: route.abort())
    page.get_by_role('button', name='Theme', exact=True).click()
    with page.expect_event('requestfailed'):
        page.get_by_role('menuitemradio', name='Dark').click()
    assert client.get('/api/v1/settings').json()['theme'] == 'system'
    page.unroute('**/api/v1/settings')
    with page.expect_response('**/api/v1/settings'):
        page.goto(f'{server.url}/jobs')
    assert client.get('/api/v1/settings').json()['theme'] == 'dark'
    page.goto(f'{server.url}/datasets')
    expect(page.locator('html')).to_have_attribute('data-theme', 'dark')
