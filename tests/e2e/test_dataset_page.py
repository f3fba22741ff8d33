"""The page of a dataset in a real browser: from a dirty file to its lines, its versions and another reading."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.axe import barred
from tests.e2e.brought import brought
from tests.e2e.server import Server
from tests.e2e.test_main_job import drawn

pytestmark = pytest.mark.xdist_group('pages')


def weather(path: Path, *, days: int = 60, warmer: int = 0) -> Path:
    """Two months of one site with a word, a unit and a time that is none."""
    rows = [f'2024-0{1 + day // 28}-{1 + day % 28:02},{10 + day % 7 + warmer}.5,{day}' for day in range(days)]
    rows[10] = rows[10].partition(',')[0] + ',broken,1'
    rows[20] = rows[20].partition(',')[0] + ',12.5 °C,2'
    path.write_text('\n'.join(['when,temp,qty', *rows, 'never,1.0,3']) + '\n')
    return path


def test_from_a_point_to_its_line_and_from_a_version_to_the_next(server: Server, page: Page, tmp_path: Path) -> None:
    problems: list[str] = []
    page.on('pageerror', lambda error: problems.append(str(error)))
    page.on('console', lambda said: problems.append(said.text) if said.type == 'error' else None)
    first = weather(tmp_path / 'weather.csv')
    page.goto(f'{server.url}/datasets/{brought(page, server, "wim@example.com", first)}')

    place = drawn(page).locator('.u-over').bounding_box()
    assert place
    middle = (place['x'] + place['width'] / 2, place['y'] + place['height'] / 2)
    page.mouse.move(*middle)
    page.mouse.click(*middle)
    dialog = page.get_by_role('dialog', name='Where this came from')
    expect(dialog.get_by_text('weather.csv')).to_be_visible()
    expect(dialog.get_by_text('Stored as it stands in the file.')).to_be_visible()
    page.wait_for_function('() => location.search.includes("of=")')
    page.reload()
    expect(dialog.get_by_text('weather.csv')).to_be_visible()
    dialog.get_by_role('button', name='Close').click()
    page.wait_for_function('() => !location.search.includes("of=")')
    assert barred(page) == []

    sections = page.get_by_role('navigation', name='Sections')
    sections.get_by_role('link', name='Faults').click()
    page.get_by_role('link', name='Not a number').click()
    expect(page.get_by_text('1 of 3')).to_be_visible()
    expect(page.get_by_role('table', name='Faults', exact=True).get_by_role('row')).to_have_count(2)
    assert barred(page) == []

    sections.get_by_role('link', name='Rows').click()
    mended = page.get_by_role('link', name='12.5, repaired from "12.5 °C" (unit)')
    expect(mended).to_be_visible()
    assert barred(page) == []
    page.get_by_role('row', name='2024-01-11').click()
    expect(dialog.get_by_text('1 fault on this line')).to_be_visible()
    page.keyboard.press('Escape')
    expect(dialog).to_be_hidden()

    sections.get_by_role('link', name='Columns').click()
    assert barred(page) == []
    page.get_by_role('button', name='Units').click()
    page.get_by_role('button', name='Make a new version').click()
    expect(page.get_by_text('v2', exact=True).first).to_be_visible()

    sections.get_by_role('link', name='Versions').click()
    files = page.locator('input[type=file]')
    page.get_by_role('link', name='Compare').click()
    expect(page.get_by_text('temp 12.5 → –')).to_be_visible()
    assert barred(page) == []
    files.set_input_files(first)
    expect(page.get_by_text('nothing has changed, no version was made')).to_be_visible()
    page.goto(page.url.split('?')[0] + '?tab=versions')
    page.get_by_role('button', name='Replace the rows').click()
    expect(page.get_by_text('The rows of the file alone make the next version.')).to_be_visible()
    files.set_input_files(weather(tmp_path / 'next.csv', days=40, warmer=1))
    expect(page.get_by_text('v3', exact=True).first).to_be_visible()
    page.goto(page.url.split('?')[0] + '?tab=versions')
    expect(page.get_by_text('an upload, in place of all rows')).to_be_visible()
    expect(page.get_by_text('a correction')).to_be_visible()
    assert problems == []


def test_a_file_of_the_same_columns_is_asked_where_it_goes(server: Server, page: Page, tmp_path: Path) -> None:
    dataset = brought(page, server, 'xena@example.com', weather(tmp_path / 'weather.csv'))
    first = f'{server.url}/datasets/{dataset}'
    longer = weather(tmp_path / 'weather_longer.csv', days=80)
    for answer, leads_back in (('Add to weather', True), ('New dataset', False)):
        page.goto(server.url)
        page.locator('input[type=file]').set_input_files(longer)
        page.get_by_role('button', name=answer).click()
        page.wait_for_url('**/datasets/*-*')
        assert (page.url.split('?')[0] == first) is leads_back
    page.goto(first)
    expect(page.get_by_text('v2', exact=True).first).to_be_visible()

    page.set_viewport_size({'width': 390, 'height': 844})
    page.goto(f'{first}?tab=versions')
    open_tab = page.get_by_role('navigation', name='Sections').get_by_role('link', name='Versions')
    expect(open_tab).to_be_in_viewport(ratio=1)
    expect(page.get_by_role('button', name='Use version 1')).to_be_in_viewport(ratio=1)
