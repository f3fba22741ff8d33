"""A dataset's chart in a real browser: faults marked and told, the range moved by the strip, all of it in Explore."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.axe import barred
from tests.e2e.server import Server
from tests.e2e.test_dataset_page import weather
from tests.e2e.test_main_job import drawn, sign_up, upload

pytestmark = pytest.mark.xdist_group('pages')


def test_marks_lead_to_their_lines_and_the_chart_to_explore(server: Server, page: Page, tmp_path: Path) -> None:
    problems: list[str] = []
    page.on('pageerror', lambda error: problems.append(str(error)))
    page.on('console', lambda said: problems.append(said.text) if said.type == 'error' else None)
    sign_up(page, server, 'yara@example.com')
    upload(page, weather(tmp_path / 'weather.csv'))
    dataset = page.url.partition('?')[0]
    expect(page.get_by_text('3 faults marked')).to_be_visible()
    assert barred(page) == []

    stage = page.get_by_role('application', name='temp')
    stage.focus()
    page.keyboard.press('m')
    tip = page.locator('.panel-mark')
    expect(tip).to_contain_text('temp: “broken”, not a number')
    expect(tip).to_contain_text('The cell was emptied.')
    page.keyboard.press('m')
    expect(tip).to_contain_text('Stored as 12.5.')
    expect(tip.get_by_role('link', name='Line 22 in Faults')).to_be_focused()
    page.keyboard.press('Escape')
    expect(tip).to_be_hidden()
    # A repaired cell is a ring on the line: pointing at it says what it said, a press keeps that open.
    box = page.locator('.u-over').bounding_box()
    assert box
    day = box['x'] + 20 / 63 * box['width']  # 21 January of 1 January to 4 March
    for y in range(int(box['y']) + 20, int(box['y'] + box['height']) - 20, 6):
        page.mouse.move(day, y)
        if tip.is_visible():
            break
    page.mouse.click(day, y)
    expect(tip).to_contain_text('12.5 °C')
    expect(page.get_by_role('dialog')).to_have_count(0)
    tip.get_by_role('link', name='Line 22 in Faults').click()
    expect(page.get_by_text('1 of 3, line 22')).to_be_visible()
    expect(page.get_by_role('table', name='Faults', exact=True).get_by_role('row')).to_have_count(2)

    page.goto(dataset)
    drawn(page)
    page.get_by_role('button', name='Mark faults and repairs').click()
    expect(page.get_by_text('3 faults marked')).to_have_count(0)
    page.reload()
    drawn(page)
    expect(page.get_by_role('button', name='Mark faults and repairs')).to_have_attribute('aria-pressed', 'false')
    page.get_by_role('button', name='Mark faults and repairs').click()
    expect(page.get_by_text('3 faults marked')).to_be_visible()

    strip = page.locator('.panel-strip').bounding_box()
    assert strip
    page.mouse.move(strip['x'] + 0.2 * strip['width'], strip['y'] + 20)
    page.mouse.down()
    page.mouse.move(strip['x'] + 0.45 * strip['width'], strip['y'] + 20, steps=6)
    page.mouse.up()
    page.wait_for_function('() => new URLSearchParams(location.search).has("from")')
    expect(page.get_by_text('1 fault marked')).to_be_visible()
    page.get_by_role('link', name='Open in Explore').click()
    expect(page.locator('.explore[data-ready="1"]')).to_be_visible()
    expect(page.get_by_text('1 fault marked')).to_be_visible()
    there = page.url
    assert re.search(r'from=\d+&to=\d+', there)
    page.reload()
    expect(page.get_by_text('1 fault marked')).to_be_visible()
    assert page.url == there
    page.get_by_role('button', name='Display').click()
    page.get_by_role('menuitem', name='Mark faults and repairs').click()
    expect(page.get_by_text('1 fault marked')).to_have_count(0)

    # Links of before tell moments by ISO 8601.
    page.goto(f'{dataset}?from=2024-01-15T00:00:00.000Z&to=2024-01-25&measure=qty')
    drawn(page)
    expect(page.get_by_role('button', name='Measures: qty')).to_be_visible()
    expect(page.get_by_role('button', name='All', exact=True)).to_have_attribute('aria-pressed', 'false')
    assert problems == []
