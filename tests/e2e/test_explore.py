"""Explore in a real browser: every kind is drawn, every choice is in the address, and a panel goes to a dashboard."""

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlparse
from xml.etree import ElementTree

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.axe import barred
from tests.e2e.brought import brought
from tests.e2e.server import Server
from tests.e2e.test_hours_rest import begin, finished, patch

pytestmark = pytest.mark.xdist_group('pages')

KINDS = {
    'area': 'Area', 'bar': 'Bars', 'scatter': 'Scatter', 'heat': 'Heat map, hour × weekday',
    'calendar': 'Heat map, calendar', 'histogram': 'Histogram', 'box': 'Box plot', 'candles': 'Candlesticks',
    'table': 'Table', 'figure': 'Single figure', 'line': 'Line',
}  # fmt: skip


def load_of_two_sites() -> str:
    """Twenty days of two sites, an hour each."""
    rows = [
        f'2026-01-{1 + hour // 24:02} {hour % 24:02}:00,{site},{base + (hour % 24) * 3},{hour % 7}.5'
        for hour in range(480)
        for site, base in (('Oslo', 100), ('Bergen', 60))
    ]
    return '\n'.join(['time,site,load,wind', *rows]) + '\n'


@pytest.fixture(scope='module')
def owner(server: Server) -> tuple[httpx.Client, str]:
    """A program of an account, and its dataset, which no test changes."""
    client, data = server.client('bo@example.com'), load_of_two_sites().encode()
    sent = patch(client, begin(client, 'grid.csv', len(data)), data)
    finished(client)
    return client, str(sent.headers['variosync-dataset'])


@pytest.fixture
def dataset(server: Server, page: Page, owner: tuple[httpx.Client, str]) -> str:
    """The dataset, for a page that is signed in."""
    client, found = owner
    page.context.add_cookies(
        [{'name': one.name, 'value': one.value or '', 'url': server.url} for one in client.cookies.jar]
    )
    return found


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
    path = tmp_path / 'load.csv'
    path.write_text(load_of_two_sites())
    dataset = brought(page, server, 'ada@example.com', path)

    page.goto(f'{server.url}/explore?dataset={dataset}')
    drawn(page)
    assert barred(page) == []
    for kind, label in KINDS.items():
        chosen(page, 'Chart', label)
        assert asked(page)['kind'] == kind
        assert page.locator('.panel-message:visible').count() == 0, kind
    assert problems == []

    page.goto(f'{server.url}/explore?dataset={dataset}')
    drawn(page)
    page.get_by_role('button', name='Oslo', exact=True).click()
    page.wait_for_function('() => location.search.includes("Oslo")')
    # One kind after the other in the same panel: nothing of the one before stays.
    for label, stands in (
        ('Single figure', '.panel-figure'),
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
    expect(page.get_by_role('button', name='wind', exact=True)).to_be_focused()
    page.keyboard.press('Control+z')
    page.wait_for_function('() => !location.search.includes("wind")')
    page.keyboard.press('Control+Shift+z')
    page.wait_for_function('() => location.search.includes("wind")')
    drawn(page)
    assert asked(page)['query'] == {'measures': ['load', 'wind'], 'series': ['Oslo']}
    page.reload()
    drawn(page)
    expect(page.get_by_role('button', name='wind', exact=True)).to_have_attribute('aria-pressed', 'true')
    add = page.get_by_role('button', name='Add', exact=True)
    add.click()
    page.get_by_role('menuitem', name='Threshold').click()
    page.get_by_label('Value').press('Escape')
    expect(add).to_be_focused()
    add.click()
    page.get_by_role('menuitem', name='Threshold').click()
    page.get_by_label('Value').fill('150')
    page.get_by_label('Label').fill('<b>limit</b>')
    page.get_by_role('button', name='Add threshold').click()
    expect(page.get_by_text('<b>limit</b>')).to_be_visible()
    expect(add).to_be_focused()
    assert asked(page)['show']['thresholds'] == [{'value': 150, 'label': '<b>limit</b>', 'colour': 'amber'}]

    add.click()
    page.get_by_role('menuitem', name='Note at a time').click()
    page.get_by_label('When').fill('2026-01-05T12:00')
    page.get_by_label('Text').fill('meter <i>changed</i>')
    page.get_by_role('button', name='Add note').click()
    expect(page.get_by_text('meter <i>changed</i>')).to_be_visible()
    note = {'at': 1767614400000, 'until': None, 'text': 'meter <i>changed</i>'}
    assert asked(page)['show']['annotations'] == [{key: note[key] for key in ('at', 'text')}]

    page.get_by_role('button', name='Add to dashboard').click()
    page.get_by_role('menuitem', name='New dashboard').click()
    page.wait_for_url(re.compile('/dashboards/[0-9a-f-]+#p1$'))
    expect(page.locator('.board[data-ready="1"]')).to_have_attribute('data-panels', '1')
    expect(page.locator('#p1')).to_be_in_viewport()
    page.get_by_role('button', name=re.compile('Menu of|Panel menu')).first.click()
    page.get_by_role('menuitem', name='Edit').click()
    drawn(page)
    assert asked(page)['show']['annotations'] == [note]
    page.get_by_role('button', name='Take off meter').click()
    expect(add).to_be_focused()
    drawn(page)
    assert asked(page)['show']['annotations'] == []
    page.get_by_role('button', name='wind', exact=True).click()
    page.wait_for_function('() => !location.search.includes("wind")')
    page.get_by_role('button', name='Save to dashboard').click()
    page.wait_for_url(re.compile('/dashboards/[0-9a-f-]+#p1$'))
    expect(page.locator('.board[data-ready="1"]')).to_have_attribute('data-panels', '1')
    assert problems == []


def chosen(page: Page, chip: str, entry: str) -> None:
    """Choose an entry of a choice above the chart; the keyboard goes on from there."""
    page.get_by_role('button', name=f'{chip}:').click()
    page.get_by_role('menuitem', name=entry, exact=True).click()
    drawn(page)
    expect(page.get_by_role('button', name=f'{chip}: {entry}', exact=True)).to_be_focused()


def test_bins_and_what_makes_series_great_are_in_the_address(server: Server, page: Page, dataset: str) -> None:
    panel = {'kind': 'line', 'query': {'measures': ['wind', 'load'], 'top': 1}}
    page.goto(f'{server.url}/explore?{urlencode({"dataset": dataset, "q": json.dumps(panel)})}')
    drawn(page)
    chosen(page, 'Ranked by', 'Count of values')
    assert asked(page)['query'] == {'measures': ['wind', 'load'], 'top': 1, 'by': 'count'}
    chosen(page, 'Chart', 'Histogram')
    chosen(page, 'Bins', '10')
    assert asked(page)['query']['bins'] == 10
    page.reload()
    drawn(page)
    expect(page.get_by_role('button', name='Bins: 10', exact=True)).to_be_visible()
    expect(page.get_by_role('button', name='Ranked by: Count of values', exact=True)).to_be_visible()
    # Loads are 120 values each: of one series ten bins are drawn, and none of them is empty.
    page.get_by_role('button', name='Series: Top 1').click()
    page.get_by_role('menuitem', name='All', exact=True).click()
    assert 'by' not in asked(page)['query']
    page.get_by_role('button', name='wind', exact=True).click()
    page.get_by_role('button', name='Oslo', exact=True).click()
    page.wait_for_function('() => location.search.includes("Oslo") && !location.search.includes("wind")')
    drawn(page)
    expect(page.locator('.panel-plot rect[data-tip]')).to_have_count(10)


def test_the_last_words_of_the_axis_are_whole(server: Server, page: Page, dataset: str) -> None:
    # The window ends with a day's name.
    page.goto(f'{server.url}/explore?dataset={dataset}&from=1768435200000&to=1768867200000')
    drawn(page)
    over, canvas = page.locator('.u-over').bounding_box(), page.locator('.uplot canvas').bounding_box()
    assert over
    assert canvas
    letters = page.evaluate("""() => {
        const pen = document.createElement('canvas').getContext('2d');
        pen.font = '12px "Inter Variable", system-ui, sans-serif';
        return pen.measureText('20 Jan').width;
    }""")
    assert canvas['x'] + canvas['width'] - over['x'] - over['width'] >= letters / 2
    page.get_by_role('button', name='Menu of load').click()
    with page.expect_download() as saved:
        page.get_by_role('menuitem', name='Save as SVG').click()
    assert saved.value.suggested_filename == 'grid, load, 2026-01-15 to 2026-01-20.svg'
    drawing = ElementTree.fromstring(saved.value.path().read_text())
    last = [text for text in drawing.iter('{http://www.w3.org/2000/svg}text') if text.text == '20 Jan']
    assert [float(text.get('x', 0)) + letters / 2 <= float(drawing.get('width', 0)) for text in last] == [True]


def test_names_of_lines_are_24_px_high_in_a_narrow_window_with_a_mouse(
    server: Server, page: Page, dataset: str
) -> None:
    page.set_viewport_size({'width': 390, 'height': 844})
    page.goto(f'{server.url}/explore?dataset={dataset}')
    drawn(page)
    assert page.locator('.panel-key').first.evaluate('key => key.offsetHeight') == 24
    assert barred(page) == []


def test_marks_stand_on_indexed_lines_and_on_a_logarithmic_axis(server: Server, page: Page, tmp_path: Path) -> None:
    path = tmp_path / 'weather.csv'
    rows = [f'2024-01-{1 + day:02},{10 + day}.5' for day in range(30)]
    rows[20] = '2024-01-21,30.5 °C'
    path.write_text('\n'.join(['when,temp', *rows]) + '\n')
    dataset = brought(page, server, 'ed@example.com', path)
    tip = page.locator('.panel-mark')
    for axis, height in (('index', 0.67), ('log', 0.77)):
        panel = {'kind': 'line', 'query': {'measures': ['temp']}, 'show': {'axis': axis, 'marks': True}}
        page.goto(f'{server.url}/explore?{urlencode({"dataset": dataset, "q": json.dumps(panel)})}')
        drawn(page)
        expect(page.get_by_text('1 fault marked')).to_be_visible()
        page.get_by_role('application', name='temp').focus()
        page.keyboard.press('m')
        expect(tip).to_contain_text('Stored as 30.5.')
        page.keyboard.press('Escape')
        # It stands on its line: the 21st of 30 values, at two thirds of a plain axis, higher on a logarithmic one.
        over = page.locator('.u-over').bounding_box()
        assert over
        page.mouse.move(over['x'] + over['width'] * 20 / 29, over['y'] + over['height'] * (1 - height))
        expect(tip).to_contain_text('Stored as 30.5.')
        page.mouse.move(over['x'] + over['width'] * 20 / 29, over['y'] + over['height'] - 4)
        expect(tip).to_be_hidden()


def test_what_was_chosen_goes_along_to_the_dashboard(server: Server, page: Page, dataset: str) -> None:
    page.goto(f'{server.url}/explore?dataset={dataset}')
    drawn(page)
    page.get_by_role('button', name='7D', exact=True).click()
    drawn(page)
    page.get_by_role('button', name='Add to dashboard').click()
    page.get_by_role('menuitem', name='New dashboard').click()
    page.wait_for_url(re.compile(r'/dashboards/[0-9a-f-]+\?last=P7D#p1$'))
    expect(page.locator('.board[data-ready="1"]')).to_be_visible()
    # The range becomes the dashboard's own: an edited panel is drawn by it, and the address needs not say so.
    page.get_by_role('button', name='Share').click()
    page.get_by_role('button', name='Dashboard menu').click()
    with page.expect_response(lambda answer: answer.request.method == 'PUT'):
        page.get_by_role('menuitem', name='Always open with this view').click()
    page.wait_for_url(re.compile('/dashboards/[0-9a-f-]+#p1$'))
    page.get_by_role('button', name=re.compile('^Menu of')).click()
    page.get_by_role('menuitem', name='Edit').click()
    drawn(page)
    expect(page.get_by_role('button', name='7D', exact=True)).to_have_attribute('aria-pressed', 'true')
    page.get_by_role('button', name='Step: Auto').click()
    page.get_by_role('menuitem', name='6 hours').click()
    drawn(page)
    page.get_by_role('button', name='Save to dashboard').click()
    page.wait_for_url(re.compile('/dashboards/[0-9a-f-]+#p1$'))
    page.get_by_role('button', name=re.compile('^Menu of')).click()
    page.get_by_role('menuitem', name='Edit').click()
    drawn(page)
    page.get_by_role('button', name='All', exact=True).click()
    drawn(page)
    page.get_by_role('button', name='Save to dashboard').click()
    page.wait_for_url(re.compile(r'/dashboards/[0-9a-f-]+\?last=all#p1$'))


def test_many_measures_are_looked_for_by_their_names(
    server: Server, page: Page, dataset: str, owner: tuple[httpx.Client, str]
) -> None:
    client, _ = owner
    names = ('ash', 'beech', 'cedar', 'elm', 'fir', 'larch', 'maple', 'oak', 'pine', 'spruce', 'willow', 'yew')
    rows = [f'2026-01-{day:02},' + ','.join(str(day * at) for at in range(1, 13)) for day in range(1, 21)]
    data = '\n'.join([','.join(('time', *names)), *rows]).encode()
    sent = patch(client, begin(client, 'trees.csv', len(data)), data)
    finished(client)
    page.goto(f'{server.url}/explore?dataset={sent.headers["variosync-dataset"]}')
    side, measures = (
        drawn(page).get_by_label('Fields'),
        page.get_by_role('group', name='Measures').get_by_role('button'),
    )
    expect(measures).to_have_text(names)
    side.get_by_label('Find measures').fill('LA')
    expect(measures).to_have_text(['larch'])
    measures.click()
    expect(measures).to_have_attribute('aria-pressed', 'true')
    assert asked(page)['query']['measures'] == ['ash', 'larch']
    expect(side.get_by_label('Find measures')).to_have_value('LA')
    side.get_by_label('Find measures').fill('nothing')
    expect(measures).to_have_count(0)
    expect(side).to_contain_text('Nothing is called so')
    # Of few there is nothing to look for.
    page.goto(f'{server.url}/explore?dataset={dataset}')
    expect(drawn(page).get_by_label('Find measures')).to_have_count(0)
