"""Explore in a real browser: every kind is drawn, every choice is in the address, and a panel goes to a dashboard."""

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlparse

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.server import Server
from tests.e2e.test_dataset_page import barred
from tests.e2e.test_main_job import sign_up, upload

pytestmark = pytest.mark.xdist_group('browser')

KINDS = ('line', 'area', 'bar', 'scatter', 'heat', 'calendar', 'histogram', 'box', 'candles', 'table', 'figure')


def load(path: Path) -> Path:
    """Twenty days of two sites, an hour each."""
    rows = [
        f'2026-01-{1 + hour // 24:02} {hour % 24:02}:00,{site},{base + (hour % 24) * 3},{hour % 7}.5'
        for hour in range(480)
        for site, base in (('Oslo', 100), ('Bergen', 60))
    ]
    path.write_text('\n'.join(['time,site,load,wind', *rows]) + '\n')
    return path


def drawn(page: Page) -> Locator:
    """Explore once its panel is drawn."""
    whole = page.locator('.explore[data-ready="1"]')
    expect(whole).to_be_visible()
    return whole


def asked(page: Page) -> dict:
    """The panel that the address holds."""
    return json.loads(parse_qs(urlparse(page.url).query)['q'][0])


def test_from_a_measure_to_a_panel_of_a_dashboard(server: Server, page: Page, tmp_path: Path) -> None:
    problems: list[str] = []
    page.on('pageerror', lambda error: problems.append(str(error)))
    page.on('console', lambda said: problems.append(said.text) if said.type == 'error' else None)
    sign_up(page, server, 'ada@example.com')
    upload(page, load(tmp_path / 'load.csv'))
    dataset = page.url.partition('/datasets/')[2].partition('?')[0]

    for kind in KINDS:
        measures = ['load', 'wind'] if kind == 'scatter' else ['load']
        panel = {'kind': kind, 'query': {'measures': measures, **({'series': ['Oslo']} if kind == 'candles' else {})}}
        page.goto(f'{server.url}/explore?{urlencode({"dataset": dataset, "q": json.dumps(panel)})}')
        drawn(page)
        assert page.locator('.panel-message:visible').count() == 0, kind
    assert problems == []

    page.goto(f'{server.url}/explore?dataset={dataset}')
    drawn(page)
    assert barred(page) == []
    page.get_by_role('button', name='Oslo', exact=True).click()
    page.wait_for_function('() => location.search.includes("Oslo")')
    # One kind after the other in the same panel: nothing of the one before stays.
    for label, stands in (
        ('Figure', '.panel-figure'),
        ('Line', '.uplot'),
        ('Table', '.panel-table'),
        ('Line', '.uplot'),
    ):
        page.get_by_role('button', name='Chart:').click()
        page.get_by_role('menuitem', name=label, exact=True).click()
        expect(page.locator(f'.explore[data-ready="1"] .panel-plot > {stands}')).to_be_visible()
        others = {'.panel-figure', '.uplot', '.panel-table'} - {stands}
        expect(page.locator(', '.join(f'.panel-plot > {other}' for other in others))).to_have_count(0)
    page.get_by_role('button', name='wind', exact=True).click()
    page.wait_for_function('() => location.search.includes("wind")')
    page.keyboard.press('Control+z')
    page.wait_for_function('() => !location.search.includes("wind")')
    page.get_by_role('button', name='wind', exact=True).click()
    page.wait_for_function('() => location.search.includes("wind")')
    drawn(page)
    assert asked(page)['query'] == {'measures': ['load', 'wind'], 'series': ['Oslo']}
    page.reload()
    drawn(page)
    expect(page.get_by_role('button', name='wind', exact=True)).to_have_attribute('aria-pressed', 'true')
    page.get_by_role('button', name='Look').click()
    page.get_by_role('menuitem', name='Add a threshold').click()
    page.get_by_label('Value').fill('150')
    page.get_by_label('Label').fill('<b>limit</b>')
    page.get_by_role('button', name='Add', exact=True).click()
    expect(page.get_by_text('<b>limit</b>')).to_be_visible()
    assert asked(page)['show']['thresholds'] == [{'value': 150, 'label': '<b>limit</b>', 'colour': 'amber'}]

    page.get_by_role('button', name='Look').click()
    page.get_by_role('menuitem', name='Add a note').click()
    page.get_by_label('When').fill('2026-01-05T12:00')
    page.get_by_label('Text').fill('meter <i>changed</i>')
    page.get_by_role('button', name='Add', exact=True).click()
    expect(page.get_by_text('meter <i>changed</i>')).to_be_visible()
    note = {'at': 1767614400000, 'until': None, 'text': 'meter <i>changed</i>'}
    assert asked(page)['show']['annotations'] == [{key: note[key] for key in ('at', 'text')}]

    page.get_by_role('button', name='Add to dashboard').click()
    page.get_by_role('menuitem', name='New dashboard').click()
    page.wait_for_url(re.compile('/dashboards/[0-9a-f-]+$'))
    expect(page.locator('.board[data-ready="1"]')).to_have_attribute('data-panels', '1')
    page.get_by_role('button', name=re.compile('Menu of|Panel menu')).first.click()
    page.get_by_role('menuitem', name='Edit').click()
    drawn(page)
    assert asked(page)['show']['annotations'] == [note]
    page.get_by_role('button', name='Take off meter').click()
    drawn(page)
    assert asked(page)['show']['annotations'] == []
    page.get_by_role('button', name='wind', exact=True).click()
    page.wait_for_function('() => !location.search.includes("wind")')
    page.get_by_role('button', name='Save to dashboard').click()
    page.wait_for_url(re.compile('/dashboards/[0-9a-f-]+$'))
    expect(page.locator('.board[data-ready="1"]')).to_have_attribute('data-panels', '1')
    assert problems == []
