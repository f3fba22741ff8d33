"""The command palette in a browser: `ui/static/app.js` and the theme alone, on a page of their own."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.e2e.conftest import browser, running

__all__ = ['browser', 'running']  # the fixtures

SCRIPT = Path(__file__).parents[2] / 'ui' / 'static' / 'app.js'
SITE = 'http://palette.test/'
HEAD = '<!doctype html><meta charset="utf-8"><title>Palette</title>'
BODY = '<div class="app" data-actions="[]"></div><button id="theme-dark" data-theme-set="dark" aria-checked="false">'
THEME = SCRIPT.with_name('theme.js').read_text(encoding='utf-8')
PAGE = f'{HEAD}<script>{THEME}</script>{BODY}Dark</button><script src="/app.js"></script>'
ENTRY = {'label': 'Warehouse', 'icon': '', 'group': 'Datasets', 'hint': '', 'keys': '', 'href': '/', 'press': ''}
ENTRIES = [
    ENTRY | {'label': 'Cold warehouse', 'href': '/datasets/2'},
    ENTRY | {'label': 'Warehouse orders', 'hint': '63,115,157 rows', 'href': '/datasets/1'},
    ENTRY | {'label': 'Daily, 28 days', 'where': 'Warehouse orders', 'group': 'Forecasts', 'href': '/forecasts/1'},
    ENTRY | {'label': 'Dark theme', 'group': 'Actions', 'href': '', 'press': 'theme-dark'},
    ENTRY | {'label': 'Upload data', 'group': 'Actions', 'href': '/datasets', 'press': 'nowhere'},
    ENTRY | {'label': 'Audit log', 'group': 'Pages', 'href': '/audit'},
    *(ENTRY | {'label': f'Sensor {n}', 'href': f'/datasets/s{n}'} for n in range(10)),
]

pytestmark = pytest.mark.xdist_group('browser')


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    context.route(f'{SITE}**', lambda route: route.fulfill(body=PAGE, content_type='text/html'))
    page = context.new_page()
    page.route(f'{SITE}app.js', lambda route: route.fulfill(path=SCRIPT, content_type='text/javascript'))
    yield page
    context.close()


@pytest.fixture
def palette(page: Page) -> Callable[[str], Any]:
    """Open the palette over a page and type into it; the answer is its options."""
    answer = json.dumps(ENTRIES)
    page.route(f'{SITE}api/v1/palette', lambda route: route.fulfill(body=answer, content_type='application/json'))
    page.goto(SITE)

    def ask(words: str) -> Any:
        page.keyboard.press('Control+k')
        options = page.get_by_role('option')
        expect(options.first).to_be_visible()
        page.get_by_role('combobox').fill(words)
        return options

    return ask


def test_there_is_no_list_until_it_has_entries(page: Page) -> None:
    held: list[Route] = []
    page.route(f'{SITE}api/v1/palette', lambda route: held.append(route))
    page.goto(SITE)
    page.keyboard.press('Control+k')
    status, box = page.get_by_role('status'), page.get_by_role('combobox')
    expect(status).to_have_text('Loading…')
    expect(page.get_by_role('listbox')).to_have_count(0)
    expect(box).to_have_attribute('aria-expanded', 'false')
    held[0].fulfill(body=json.dumps([ENTRY]), content_type='application/json')
    expect(page.get_by_role('listbox').get_by_role('option')).to_have_text(['Warehouse'])
    expect(box).to_have_attribute('aria-expanded', 'true')
    box.fill('nothing like it')
    expect(status).to_have_text('Nothing is called “nothing like it”.')
    expect(page.get_by_role('listbox')).to_have_count(0)


def test_who_types_faster_than_the_list_loads_is_served_when_it_has(page: Page) -> None:
    held: list[Route] = []
    page.route(f'{SITE}api/v1/palette', lambda route: held.append(route))
    page.goto(SITE)
    page.keyboard.press('Control+k')
    page.get_by_role('combobox').fill('audit')
    page.keyboard.press('Enter')
    expect(page.get_by_role('status')).to_have_text('Loading…')
    held[0].fulfill(body=json.dumps(ENTRIES), content_type='application/json')
    expect(page).to_have_url(f'{SITE}audit')


def test_what_matches_is_marked_counted_and_ranked(page: Page, palette: Callable[[str], Any]) -> None:
    options = palette('ware')
    expect(options).to_have_text(
        ['Warehouse orders63,115,157 rows', 'Cold warehouse', 'Daily, 28 days in Warehouse orders']
    )
    expect(page.locator('.palette mark')).to_have_text(['Ware', 'ware', 'Ware'])
    expect(page.locator('.palette .h')).to_have_text(['Datasets', 'Forecasts'])
    expect(page.locator('.palette footer [aria-live]')).to_have_text('3 results')
    page.get_by_role('combobox').fill('orders 28')
    expect(options).to_have_text(['Daily, 28 days in Warehouse orders'])
    expect(page.locator('.palette mark')).to_have_text(['28', 'orders'])
    expect(page.locator('.palette footer [aria-live]')).to_have_text('1 result')


def test_before_a_word_is_typed_actions_and_pages_are_in_reach(page: Page, palette: Callable[[str], Any]) -> None:
    palette('')
    expect(page.locator('.palette .h')).to_have_text(['Datasets', 'Forecasts', 'Actions', 'Pages'])
    expect(page.get_by_role('group', name='Datasets').get_by_role('option')).to_have_count(4)
    expect(page.locator('.palette footer [aria-live]')).to_have_text('16 results')


def test_arrows_choose_enter_opens_and_escape_closes(page: Page, palette: Callable[[str], Any]) -> None:
    options = palette('ware')
    expect(options.nth(0)).to_have_attribute('aria-selected', 'true')
    page.keyboard.press('ArrowUp')
    expect(options.nth(2)).to_have_attribute('aria-selected', 'true')
    expect(page.get_by_role('combobox')).to_have_attribute('aria-activedescendant', 'palette-2')
    page.keyboard.press('Escape')
    expect(page.get_by_role('combobox')).to_have_count(0)
    palette('ware')
    page.keyboard.press('ArrowDown')
    page.keyboard.press('Enter')
    expect(page).to_have_url(f'{SITE}datasets/2')


def test_with_the_modifier_it_opens_in_a_new_tab(page: Page, palette: Callable[[str], Any]) -> None:
    palette('audit')
    with page.context.expect_page() as opened:
        page.keyboard.press('Control+Enter')
    expect(opened.value).to_have_url(f'{SITE}audit')
    expect(page).to_have_url(SITE)


def test_an_action_presses_what_is_on_the_page_or_goes_where_it_is(page: Page, palette: Callable[[str], Any]) -> None:
    palette('dark')
    page.keyboard.press('Enter')
    expect(page.locator('html')).to_have_attribute('data-theme', 'dark')
    expect(page.locator('#theme-dark')).to_have_attribute('aria-checked', 'true')
    palette('upload')
    page.keyboard.press('Enter')
    expect(page).to_have_url(f'{SITE}datasets')


def test_the_account_s_theme_overrules_what_the_browser_remembers(page: Page) -> None:
    page.emulate_media(color_scheme='light')
    page.goto(SITE)
    page.evaluate("variosyncTheme('dark')")
    expect(page.locator('html')).to_have_attribute('data-theme', 'dark')
    page.reload()
    expect(page.locator('html')).to_have_attribute('data-theme', 'dark')
    page.evaluate("variosyncTheme('system')")
    expect(page.locator('html')).to_have_attribute('data-theme', 'light')
