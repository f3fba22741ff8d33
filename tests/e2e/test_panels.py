"""Panels in a real browser: every kind, what takes them away, how they move, and what they say when they cannot."""

import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.axe import barred
from tests.e2e.brought import brought
from tests.e2e.server import Server

pytestmark = pytest.mark.xdist_group('pages')

SITES = ('Oslo', '<b>Bergen</b>', '=Trondheim')
HOURS = 24 * 14
INKED = """(canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let inked = 0;
    for (let i = 3; i < data.length; i += 4) inked += data[i] > 0;
    return inked;
}"""
# Pixels that are drawn in full colour.
STRONG = """(canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let strong = 0;
    for (let i = 3; i < data.length; i += 4) strong += data[i] > 200;
    return strong;
}"""
KINDS: dict[str, dict[str, Any]] = {
    'line': {'query': {'measures': ['load']}},
    'area': {'query': {'measures': ['load']}, 'show': {'stacked': True}},
    'bar': {'query': {'measures': ['load'], 'every': 'P1D', 'aggregation': 'sum'}},
    'scatter': {'query': {'measures': ['load', 'heat'], 'every': 'PT6H'}},
    'heat': {'query': {'measures': ['load']}},
    'calendar': {'query': {'measures': ['load']}},
    'histogram': {'query': {'measures': ['heat']}},
    'box': {'query': {'measures': ['load']}},
    'candles': {
        'query': {
            'measures': ['load'],
            'series': ['Oslo'],
            'every': 'P1D',
            'volume': 'heat',
            'overlays': ['bollinger~3~2', 'rsi~3'],
        }
    },
    'table': {'query': {'measures': ['load'], 'every': 'P1D'}},
    'figure': {'query': {'measures': ['load'], 'series': ['Oslo'], 'every': 'P1D'}},
}


def grid(path: Path) -> Path:
    """Two weeks of three sites whose names are markup and a formula, with a gap."""
    rows = ['time,site,load,heat']
    for at, site in enumerate(SITES):
        for hour in range(HOURS):
            if 100 <= hour < 150:
                continue
            load = 200 + 90 * at + 50 * math.sin(hour / 24 * 2 * math.pi)
            rows.append(f'2024-03-{1 + hour // 24:02} {hour % 24:02}:00,{site},{load:.2f},{8 + hour % 24 / 4}')
    path.write_text('\n'.join(rows) + '\n')
    return path


def board(page: Page, server: Server, dataset: str, *, kinds: dict[str, dict[str, Any]]) -> str:
    """Make a dashboard with a panel of each kind and open it."""
    panels = [
        {'id': kind, 'kind': kind, 'title': f'<i>{kind}</i>', 'dataset': dataset, 'x': at % 3 * 4, 'y': at // 3 * 4}
        | one
        for at, (kind, one) in enumerate(kinds.items())
    ]
    made = page.request.post(
        f'{server.url}/api/v1/dashboards',
        data={'name': 'All kinds', 'spec': {'panels': panels}},
        headers={'Origin': server.url},
    )
    assert made.ok, made.text()
    page.goto(f'{server.url}/dashboards/{made.json()["id"]}')
    shown(page)
    return str(made.json()['id'])


def shown(page: Page) -> None:
    page.wait_for_function(
        """() => { const all = [...document.querySelectorAll('section[data-panel]')];
        return all.length && all.every((one) => one.dataset.ready === '1'); }"""
    )


def panel(page: Page, name: str) -> Locator:
    return page.locator(f'section[data-panel="{name}"]')


def taken(page: Page, name: str, label: str) -> Path:
    """What an entry of a panel's menu gives to keep."""
    panel(page, name).get_by_role('button', name=re.compile('^Menu of')).click()
    with page.expect_download() as going:
        page.get_by_role('menuitem', name=label, exact=True).click()
    return Path(going.value.path())


def test_every_kind_is_drawn_taken_away_moved_and_told_of(server: Server, page: Page, tmp_path: Path) -> None:
    problems: list[str] = []
    page.on('pageerror', lambda error: problems.append(str(error)))
    page.on('console', lambda said: problems.append(said.text) if said.type == 'error' else None)
    dataset = brought(page, server, 'pat@example.com', grid(tmp_path / 'grid load.csv'))
    board(page, server, dataset, kinds=KINDS)

    # Each kind draws itself without the large chart library, and nothing a user named is markup.
    assert not page.evaluate('"Plotly" in window')
    assert page.locator('section[data-panel] :is(b, i, svg b) >> text=Bergen').count() == 0
    for name in ('line', 'area', 'bar', 'candles'):
        expect(panel(page, name).locator('canvas')).to_be_visible()
        assert panel(page, name).locator('canvas').evaluate(INKED) > 500, name
    expect(panel(page, 'line').get_by_role('button', name='<b>Bergen</b>')).to_be_visible()
    assert panel(page, 'heat').locator('svg rect[data-tip]').count() == 168
    assert panel(page, 'calendar').locator('svg rect[data-tip]').count() == 14
    assert panel(page, 'box').locator('svg g[data-tip]').count() == len(SITES)
    expect(panel(page, 'heat').get_by_text('1 of 3 series')).to_be_visible()
    expect(panel(page, 'table').get_by_role('rowheader').first).to_have_text('14 Mar 2024')
    expect(panel(page, 'figure').locator('.metric')).to_have_text('200')
    assert barred(page) == []

    # Pictures carry their title and the names of what they draw, as text.
    for at, name in enumerate(KINDS):
        if at % 5 == 4:  # a browser asks before a page takes away more than ten files in a row
            page.reload()
            shown(page)
        drawing = ElementTree.fromstring(taken(page, name, 'Save as SVG').read_text())
        words = [text.text for text in drawing.iter('{http://www.w3.org/2000/svg}text')]
        assert f'<i>{name}</i>' in words
        assert not list(drawing.iter('{http://www.w3.org/2000/svg}b'))
        if name in ('line', 'bar', 'scatter', 'table'):
            assert any(str(word).startswith('<b>B') for word in words), name
        shapes = [one for one in drawing.iter() if one.tag.rpartition('}')[2] in ('path', 'rect', 'circle', 'line')]
        assert len(shapes) + len(words) > 6, name
    for name in ('candles', 'heat', 'figure'):
        assert taken(page, name, 'Save as PNG').read_bytes()[:8] == b'\x89PNG\r\n\x1a\n'
    rows = taken(page, 'table', 'Save as CSV').read_text()
    assert rows.startswith('series,measure,what,time,until,value')
    assert "'=Trondheim" in rows
    assert taken(page, 'bar', 'Save as Parquet').read_bytes()[:4] == b'PAR1'

    # Values are read at the crosshair, which all panels share.
    place = panel(page, 'line').locator('.u-over').bounding_box()
    assert place
    page.mouse.move(place['x'] + place['width'] / 4, place['y'] + 40)
    expect(panel(page, 'line').locator('.panel-plate')).to_contain_text('Mar 2024')
    expect(panel(page, 'bar').locator('.panel-plate')).to_be_visible()
    expect(panel(page, 'line').get_by_role('button', name='Oslo').locator('b')).to_have_text(re.compile(r'^\d'))

    # A name hides its line and shows it again.
    oslo = panel(page, 'line').get_by_role('button', name='Oslo')
    oslo.click()
    expect(oslo).to_have_attribute('aria-pressed', 'false')
    oslo.click()
    expect(oslo).to_have_attribute('aria-pressed', 'true')
    # Pressed twice it stands alone, and once more all are back.
    pressed = panel(page, 'line').locator('.panel-key[aria-pressed="true"]')
    oslo.dblclick()
    expect(pressed).to_have_text(re.compile('^Oslo'))
    oslo.dblclick()
    expect(pressed).to_have_count(len(SITES))
    # The name that is pointed at lets its line stand out: the others lose their ink.
    canvas = panel(page, 'line').locator('canvas')
    oslo.hover()
    dimmed = canvas.evaluate(STRONG)
    page.mouse.move(2, 2)
    page.wait_for_function(f'(before) => ({STRONG})(document.querySelector("#line canvas")) > before', arg=dimmed)

    # A drag zooms, arrows move, 0 and a double click show all.
    page.mouse.move(place['x'] + 40, place['y'] + 60)
    page.mouse.down()
    page.mouse.move(place['x'] + 140, place['y'] + 60, steps=4)
    page.mouse.up()
    page.wait_for_url(re.compile(r'from=\d+'))
    shown(page)
    zoomed = page.url
    panel(page, 'line').locator('.panel-stage').focus()
    page.keyboard.press('ArrowRight')
    page.wait_for_function('(before) => location.href !== before && location.search.includes("from=")', arg=zoomed)
    page.keyboard.press('0')
    page.wait_for_function('() => !location.search.includes("from=")')
    page.keyboard.press('+')
    page.wait_for_url(re.compile(r'from=\d+'))
    page.mouse.dblclick(place['x'] + 60, place['y'] + 60)
    page.wait_for_function('() => !location.search.includes("from=")')
    page.keyboard.down('Shift')
    page.mouse.move(place['x'] + 140, place['y'] + 60)
    page.mouse.down()
    page.mouse.move(place['x'] + 100, place['y'] + 60, steps=4)
    page.mouse.up()
    page.keyboard.up('Shift')
    page.wait_for_url(re.compile(r'from=\d+'))
    shown(page)

    # What cannot be drawn is said.
    page.goto(re.sub(r'\?.*', '?from=0&to=1000', page.url))
    shown(page)
    expect(panel(page, 'line').get_by_text('No values between these times.')).to_be_visible()
    page.get_by_role('button', name='Show all').first.click()
    shown(page)
    assert problems == []
    page.request.delete(f'{server.url}/api/v1/datasets/{dataset}', headers={'Origin': server.url})
    page.reload()
    expect(page.locator('.board-note')).to_contain_text('was deleted')
    expect(panel(page, 'bar').get_by_text('No data')).to_be_visible()
    expect(page.locator('[data-live]')).to_be_hidden()
    assert barred(page) == []
