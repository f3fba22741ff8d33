"""Without a mouse: shortcuts, words that explain themselves, and the way from sign-in to a forecast."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import WIDE
from tests.e2e.server import Server

pytestmark = pytest.mark.xdist_group('pages')

PASSWORD = 'correct horse battery'
# Where the focus is, in words; what is wrong with that: it is not to be seen, or is behind something.
FOCUSED = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return ['', ''];
  const style = (what, part) => getComputedStyle(what, part);
  const ringed = (...what) => style(...what).outlineStyle !== 'none' && parseFloat(style(...what).outlineWidth) > 0;
  const field = one.closest('.q-field, .in-box'), around = one.closest('label, tr, .option, .tile');
  const marked = field && (field.matches('.q-field--focused') || ringed(field));
  const seen = marked || ringed(one) || ringed(one, '::after');
  const { left, right, top, bottom } = one.getBoundingClientRect(), x = (left + right) / 2, y = (top + bottom) / 2;
  const there = document.elementFromPoint(x, y);
  const free = there && (one.contains(there) || there.contains(one) || (around && around.contains(there)));
  const name = (one.ariaLabel || one.textContent || one.title || one.name || one.tagName).trim().replace(/\\s+/g, ' ');
  return [name, seen && free ? '' : `${one.outerHTML.slice(0, 160)} is ${seen ? 'behind something' : 'not seen'}`];
}"""

# One after the other in time, and handled by a page that was busy in between.
TWO_KEYS = """(keys) => {
  const [first, second] = keys.map((key) => new KeyboardEvent('keydown', { key, bubbles: true }));
  document.body.dispatchEvent(first);
  const now = performance.now.bind(performance);
  performance.now = () => now() + 10_000;
  document.body.dispatchEvent(second);
}"""


@pytest.fixture
def page(server: Server, page: Page) -> Page:
    """A page of somebody who is signed in."""
    client = server.client('keys@example.com')
    page.context.add_cookies(
        [{'name': one.name, 'value': one.value or '', 'url': server.url} for one in client.cookies.jar]
    )
    return page


@pytest.fixture
def stranger(server: Server, browser: Browser) -> Iterator[Page]:
    elsewhere = {'X-Forwarded-For': '10.7.7.7'}
    context = browser.new_context(
        viewport=WIDE, base_url=server.url, reduced_motion='reduce', extra_http_headers=elsewhere
    )
    yield context.new_page()
    context.close()


def tab_to(page: Page, name: str, *, key: str = 'Tab') -> None:
    """Press Tab until what begins with this name has the focus; whatever had it on the way was to be seen."""
    passed = []
    for _ in range(90):
        page.keyboard.press(key)
        focused, wrong = page.evaluate(FOCUSED)
        assert not wrong
        passed.append(focused)
        if focused.startswith(name):
            return
    raise AssertionError(f'{name} is not among {passed}')


def test_shortcuts_are_listed_and_the_focus_comes_back(server: Server, page: Page) -> None:
    page.goto(f'{server.url}/jobs')
    page.keyboard.press('Tab')
    expect(page.get_by_role('link', name='Skip to the content')).to_be_in_viewport()
    page.keyboard.press('Enter')
    page.keyboard.press('Tab')
    expect(page.get_by_role('button', name='All', exact=True)).to_be_focused()
    billing = page.get_by_role('link', name='Billing')
    billing.focus()
    page.keyboard.press('?')
    shown = page.get_by_role('dialog', name='Shortcuts')
    expect(shown.get_by_text('Undo')).to_be_visible()
    page.keyboard.press('Escape')
    expect(shown).to_be_hidden()
    expect(billing).to_be_focused()
    page.evaluate(TWO_KEYS, ['g', 'n'])
    expect(page.get_by_role('heading', name='Notices', level=1)).to_be_visible()
    page.keyboard.press('Control+k')
    page.get_by_role('combobox').fill('datasets')
    with page.expect_popup() as opened:
        page.keyboard.press('Control+Enter')
    expect(opened.value.get_by_role('heading', name='Datasets', level=1)).to_be_visible()


def test_a_word_is_explained_in_focus_under_the_pointer_and_at_a_press(server: Server, page: Page) -> None:
    page.goto(f'{server.url}/billing')
    word, said = page.get_by_role('button', name='hours', exact=True), page.get_by_role('tooltip')
    expect(page.get_by_role('link', name='Hours left: ')).to_be_visible()
    page.keyboard.press('Tab')
    page.keyboard.press('Enter')
    tab_to(page, 'hours')
    expect(said).to_have_text(re.compile('What viewing and jobs are paid with'))
    page.keyboard.press('Escape')
    expect(said).to_have_count(0)
    expect(word).to_be_focused()
    page.keyboard.press('Tab')
    word.hover()
    expect(said).to_be_visible()
    page.mouse.move(WIDE['width'] / 2, WIDE['height'] - 10)
    expect(said).to_have_count(0)
    word.click()
    page.mouse.move(WIDE['width'] / 2, WIDE['height'] - 10)
    expect(said).to_be_visible()
    page.get_by_role('heading', name='Billing').click()
    expect(said).to_have_count(0)


def test_a_note_that_is_dismissed_gives_the_focus_back(server: Server, page: Page) -> None:
    page.goto(f'{server.url}/settings')
    expect(page.get_by_role('link', name='Hours left: ')).to_be_visible()
    save = page.get_by_role('button', name='Save')
    save.focus()
    page.keyboard.press('Enter')
    expect(page.locator('.toast')).to_be_visible()
    tab_to(page, 'Dismiss')
    page.keyboard.press('Enter')
    expect(page.locator('.toast')).to_have_count(0)
    expect(page.get_by_role('button', name='Set password')).to_be_focused()


def test_from_sign_in_to_a_forecast_by_keys_alone(server: Server, stranger: Page, tmp_path: Path) -> None:
    server.client('taken@example.com')
    page, path = stranger, tmp_path / 'week.csv'
    days = [f'2024-{1 + day // 28:02}-{1 + day % 28:02},{20 + day % 7 * 3}' for day in range(84)]
    path.write_text('\n'.join(['day,sold', *days, '']))

    page.goto('/sign-in')
    tab_to(page, 'Create an account')
    page.keyboard.press('Enter')
    page.wait_for_url('**create=1')
    expect(page.get_by_label('Email')).to_be_focused()
    for words in ('taken@example.com', PASSWORD):
        page.keyboard.type(words)
        page.keyboard.press('Tab')
    page.keyboard.press('Enter')
    expect(page.get_by_role('alert')).to_contain_text('There is an account with this email')
    expect(page.get_by_label('Email')).to_be_focused()
    page.keyboard.press('Control+a')
    page.keyboard.type('journey@example.com')
    page.keyboard.press('Tab')
    page.keyboard.type(PASSWORD)
    page.keyboard.press('Enter')

    expect(page.get_by_role('link', name='Hours left: ')).to_be_visible()
    tab_to(page, 'Skip to the content')
    page.keyboard.press('Enter')
    tab_to(page, 'Upload data')
    with page.expect_file_chooser() as chosen:
        page.keyboard.press('Enter')
    chosen.value.set_files(path)
    page.wait_for_url(re.compile(r'/datasets/[0-9a-f-]{36}'))
    chart = page.locator('[data-ready="1"]').first
    expect(chart).to_be_visible()
    tab_to(page, 'sold. Arrow keys move')
    page.keyboard.press('+')
    page.wait_for_url('**from=*')

    tab_to(page, 'Dashboard', key='Shift+Tab')
    page.keyboard.press('Enter')
    page.wait_for_url('**/dashboards/*')
    expect(page.locator('.board[data-ready="1"]')).to_be_visible()
    tab_to(page, 'Skip to the content')
    page.keyboard.press('Enter')
    tab_to(page, 'Dashboard menu')
    page.keyboard.press('Enter')
    expect(page.get_by_role('menu', name='Dashboard')).to_be_visible()
    page.keyboard.press('ArrowDown')
    page.keyboard.press('Escape')
    expect(page.get_by_role('menu', name='Dashboard')).to_be_hidden()
    expect(page.get_by_role('button', name='Dashboard menu')).to_be_focused()

    page.keyboard.press('Control+k')
    page.keyboard.type('week')
    expect(page.get_by_role('option').first).to_contain_text('week')
    page.keyboard.press('Enter')
    page.wait_for_url(re.compile(r'/datasets/[0-9a-f-]{36}'))
    expect(page.get_by_role('link', name='Hours left: ')).to_be_visible()
    tab_to(page, 'Skip to the content')
    page.keyboard.press('Enter')
    tab_to(page, 'Forecast')
    page.keyboard.press('Enter')
    page.wait_for_url('**/forecasts/new**')
    expect(page.get_by_role('link', name='Hours left: ')).to_be_visible()
    tab_to(page, 'Skip to the content')
    page.keyboard.press('Enter')
    tab_to(page, 'Auto')
    page.keyboard.press('Space')
    tab_to(page, 'Seasonal naive')
    page.keyboard.press('Space')
    tab_to(page, 'Run forecast')
    page.keyboard.press('Enter')
    page.wait_for_url(re.compile(r'/forecasts/[0-9a-f-]{36}'))
    expect(page.get_by_text('Issued', exact=False).first).to_be_visible()
    expect(page.locator('[data-ready="1"]').first).to_be_visible()
