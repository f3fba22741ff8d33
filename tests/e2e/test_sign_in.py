"""Signing in by a provider and by a mailed link, in a real browser."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import WIDE
from tests.e2e.forked import run
from tests.e2e.server import FORKED, Server
from tests.fakes.oidc import FakeOidc, open_oidc

pytestmark = pytest.mark.xdist_group('browser')


@pytest.fixture(scope='module')
def oidc() -> Iterator[FakeOidc]:
    with open_oidc(algorithm='RS256') as fake:
        yield fake


@pytest.fixture(scope='module')
def server(oidc: FakeOidc) -> Iterator[Server]:
    home = Path(mkdtemp(prefix='vs-'))
    known = {'issuer': oidc.url, 'client_id': oidc.client_id, 'client_secret': oidc.client_secret}
    command = FORKED
    running = Server(home, command=command, VARIOSYNC_OIDC=json.dumps({'google': known})).start()
    yield running
    running.stop()
    rmtree(home, ignore_errors=True)


def outbox(server: Server) -> list[dict[str, str]]:
    """What `variosync outbox` prints."""
    printed = run('outbox', '--json', environment={'VARIOSYNC_HOME': str(server.home)})
    assert printed.returncode == 0, printed.stderr
    return list(json.loads(printed.stdout))


def test_a_provider_and_a_mailed_link_lead_to_one_account(server: Server, oidc: FakeOidc, page: Page, browser: Browser):
    oidc.denies = 'access_denied'
    page.goto(f'{server.url}/datasets')
    page.get_by_role('button', name='Continue with Google').click()
    expect(page.get_by_role('alert')).to_contain_text('Try again, or sign in another way')
    assert 'a text of the provider' not in page.content()

    oidc.denies = ''
    page.goto(f'{server.url}/datasets')
    page.get_by_role('button', name='Continue with Google').click()
    expect(page.get_by_role('heading', name='Datasets', exact=True)).to_be_visible()
    assert page.url == f'{server.url}/datasets'

    page.get_by_role('button', name='account menu').click()
    page.get_by_role('button', name='Sign out').click()
    page.get_by_label('Email', exact=True).fill('ada@example.com')
    page.get_by_role('button', name='Make a sign-in link').click()
    expect(page.get_by_role('heading', name='Check the outbox')).to_be_visible()
    [mail] = outbox(server)
    link = re.findall(r'http://\S+', mail['text'])[0]

    other = browser.new_context(viewport=WIDE).new_page()
    other.goto(link)
    expect(other.get_by_role('alert')).to_contain_text('begun in another browser')
    page.goto(link)
    expect(page.get_by_role('button', name='account menu')).to_be_visible()
    page.goto(f'{server.url}/settings?tab=profile')
    expect(page.locator('#main').get_by_text('ada@example.com').first).to_be_visible()

    page.goto(link)
    expect(page.get_by_role('alert')).to_contain_text('finished already')
    codes = [*re.findall(r'(?:state|code)=([\w-]+)', link), *oidc.grants]
    assert not [line for line in server.lines if any(code in line for code in codes)], 'no log holds a code'


def test_both_ways_work_without_scripts(server: Server, browser: Browser):
    page = browser.new_context(java_script_enabled=False, viewport=WIDE).new_page()
    page.goto(f'{server.url}/sign-in?next=/settings')
    page.get_by_role('button', name='Continue with Google').click()
    page.wait_for_url(f'{server.url}/settings')
    page.context.clear_cookies()
    page.goto(f'{server.url}/sign-in')
    page.get_by_label('Email', exact=True).fill('bea@example.com')
    page.get_by_role('button', name='Make a sign-in link').click()
    page.goto(re.findall(r'http://\S+', outbox(server)[0]['text'])[0])
    assert page.url == f'{server.url}/'
