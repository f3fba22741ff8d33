"""The command palette in a browser: `ui/static/app.js` alone, on a page of its own."""

import json
import os
import shutil
from pathlib import Path

from playwright.sync_api import Route, expect, sync_playwright

from tests.e2e.conftest import ARGUMENTS

SCRIPT = Path(__file__).parents[2] / 'ui' / 'static' / 'app.js'
SITE = 'http://palette.test/'
HEAD = '<!doctype html><meta charset="utf-8"><title>Palette</title>'
PAGE = f'{HEAD}<div class="app" data-actions="[]"></div><script src="/app.js"></script>'
ENTRY = {'label': 'Warehouse', 'icon': '', 'group': 'Datasets', 'hint': '', 'keys': '', 'href': '/', 'press': ''}


def test_there_is_no_list_until_it_has_entries() -> None:
    held: list[Route] = []
    path = os.environ.get('CHROMIUM') or shutil.which('chromium') or shutil.which('google-chrome')
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        page = browser.new_page()
        page.route(SITE, lambda route: route.fulfill(body=PAGE, content_type='text/html'))
        page.route(f'{SITE}app.js', lambda route: route.fulfill(path=SCRIPT, content_type='text/javascript'))
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
        browser.close()
