"""The form and the page of a forecast in a real browser, from a file to a what-if."""

import math
import re
from pathlib import Path
from random import Random

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.brought import brought
from tests.e2e.server import Server
from tests.e2e.test_main_job import drawn

pytestmark = pytest.mark.xdist_group('pages')
H = 6
ISSUED = re.compile(r'/forecasts/[0-9a-f-]{36}')


def shops(path: Path, *, months: int = 48) -> Path:
    """Four years of monthly sales of three shops, whose prices are known half a year ahead; or more of the sales."""
    random = Random(5)
    with path.open('w') as file:
        file.write('month,shop,sales,price\n')
        for shop in range(3):
            for month in range(48 + H):
                price = 5 + math.sin(month / 4 + shop)
                sales = 900 * (1 + shop) * (1 + 0.2 * math.sin(month * math.pi / 6)) - 60 * price + random.gauss(0, 20)
                known = f'{sales:.1f}' if month < months else ''
                file.write(f'{2020 + month // 12}-{month % 12 + 1:02}-01,Shop {shop + 1},{known},{price:.2f}\n')
    return path


def traces(chart: Locator) -> list[str]:
    """The names of what is drawn, as the key lists them."""
    return list(chart.locator('.panel-key').evaluate_all('all => all.map(one => one.title)'))


def key(page: Page, name: str) -> Locator:
    """A name in the key of the chart."""
    return page.locator(f'.panel-key[title="{name}"]')


def wait_for_result(page: Page) -> Locator:
    """The chart, once the forecast is there."""
    ended = page.get_by_text('Issued', exact=False).or_(page.get_by_role('alert'))
    expect(ended.first).to_be_visible(timeout=180_000)
    expect(page.get_by_role('alert').filter(visible=True)).to_have_count(0)
    return drawn(page)


def test_from_the_form_to_a_what_if(server: Server, page: Page, tmp_path: Path) -> None:
    problems: list[str] = []
    page.on('pageerror', lambda error: problems.append(str(error)))
    page.on('console', lambda said: problems.append(said.text) if said.type == 'error' else None)
    dataset = brought(page, server, 'fay@example.com', shops(tmp_path / 'shops.csv'))
    page.goto(f'{server.url}/datasets/{dataset}')

    page.get_by_role('link', name='Forecast', exact=True).click()
    page.get_by_label('Steps ahead').fill(str(H))
    expect(page.get_by_text(f'known {H} steps ahead')).to_be_visible()
    for name in ('price', 'Auto', 'Seasonal naive', 'LightGBM'):
        page.get_by_role('button', name=name, exact=True).click()
    page.wait_for_function('() => new URLSearchParams(location.search).getAll("models").includes("lightgbm")')
    form = page.url
    page.reload()
    expect(page.get_by_role('button', name='LightGBM', exact=True)).to_have_attribute('aria-pressed', 'true')
    expect(page.get_by_role('button', name='Auto', exact=True)).to_have_attribute('aria-pressed', 'false')
    assert page.url == form
    page.get_by_role('button', name='Run forecast').dblclick()
    page.wait_for_url(ISSUED)

    chart = wait_for_result(page)
    orders = page.evaluate("fetch('/api/v1/forecasts').then((answer) => answer.json())")
    assert len(orders['items']) == 1, 'a double click orders once'
    assert {'actual', 'Seasonal naive', 'LightGBM', '80%', '95%'} <= set(traces(chart))
    for kind, begins in (('PNG', b'\x89PNG'), ('SVG', b'<svg ')):
        page.get_by_role('button', name='Menu of sales').click()
        with page.expect_download() as saved:
            page.get_by_role('menuitem', name=f'Save as {kind}').click()
        assert saved.value.suggested_filename.endswith(f', cutoff 2023-12-01.{kind.lower()}')
        assert saved.value.path().read_bytes().startswith(begins)
    expect(page.get_by_text(re.compile(r'80% band held [\d.]+%.* of [\d,]+ backtest points'))).to_be_visible()
    page.get_by_role('button', name='All', exact=True).click()
    page.wait_for_function('() => new URLSearchParams(location.search).get("last") === "all"')
    page.get_by_role('button', name='Seasonal naive', exact=True).click()
    page.wait_for_function('() => new URLSearchParams(location.search).get("models") === "lightgbm"')
    page.reload()
    assert 'Seasonal naive' not in traces(drawn(page))
    expect(page.get_by_role('button', name='All', exact=True)).to_have_attribute('aria-pressed', 'true')

    # The same in Explore: over the rows of the dataset, by the models that are chosen there.
    forecast = page.url
    page.get_by_role('button', name='Seasonal naive', exact=True).click()
    expect(key(page, 'Seasonal naive')).to_be_attached()
    page.get_by_role('link', name='Open in Explore').click()
    explored = page.locator('.explore[data-ready="1"]')
    expect(explored).to_be_visible()
    assert {'Shop 1', 'Seasonal naive', 'LightGBM', '80%', '95%'} == set(traces(explored))
    page.get_by_role('button', name='Models: 2 of 2').click()
    page.get_by_role('checkbox', name='Seasonal naive').uncheck()
    page.keyboard.press('Escape')
    expect(page.get_by_role('button', name='Models: LightGBM')).to_be_focused()
    page.reload()
    expect(explored).to_be_visible()
    assert {'Shop 1', 'forecast', '80%', '95%'} == set(traces(explored))
    # Quarters do not lie beside months; a forecast that is chosen anew takes its own steps again.
    apart = explored.locator('.panel-badges').get_by_text("not in the forecast's steps")
    expect(apart).to_have_count(0)
    page.get_by_role('button', name='Step: Auto').click()
    page.get_by_role('menuitem', name='3 months').click()
    expect(apart).to_have_attribute(
        'title', 'Values are per 3 months, the forecast is per month: choose that step to compare them'
    )
    page.get_by_role('button', name='Forecast: ').click()
    page.get_by_role('menuitem', name=re.compile('^sales')).click()
    expect(page.get_by_role('button', name='Step: Auto')).to_be_visible()
    expect(apart).to_have_count(0)
    page.get_by_role('button', name='Forecast: ').click()
    page.get_by_role('menuitem', name='None', exact=True).click()
    expect(key(page, 'forecast')).to_have_count(0)
    page.goto(forecast)
    drawn(page)

    for tab, heading in (
        ('Leaderboard', 'Leaderboard'),
        ('Residuals', 'By step ahead'),
        ('Explain', 'What moves the forecast'),
    ):
        page.get_by_role('navigation', name='Sections').get_by_role('link', name=tab).click()
        expect(page.get_by_role('heading', name=heading, exact=True)).to_be_visible()
    page.get_by_role('navigation', name='Sections').get_by_role('link', name='Series').click()
    expect(page.get_by_role('link', name='Shop 1')).to_be_visible()
    page.get_by_label('Find a series').press_sequentially('shop 2')
    expect(page.get_by_text('1 series found')).to_be_visible()
    expect(page.get_by_role('link', name='Shop 1')).to_have_count(0)
    expect(page.get_by_label('Find a series')).to_be_focused()
    page.get_by_role('link', name='Shop 2').click()
    page.wait_for_url('**series=Shop+2**')
    expect(drawn(page)).to_be_visible()

    before = page.url
    page.get_by_label('How price changes').click()
    page.get_by_role('option', name='times').click()
    page.get_by_label('Value for price').fill('1.2')
    page.get_by_role('button', name='Forecast with this').click()
    page.wait_for_url(lambda address: address.split('?')[0] != before.split('?')[0])
    chart = wait_for_result(page)
    expect(page.get_by_text('What if: price × 1.2.')).to_be_visible()
    for name in ('Seasonal naive', 'LightGBM'):
        if f'{name} before the change' not in traces(chart):
            page.get_by_label('Bands of').click()
            page.get_by_role('option', name=name).click()
        expect(key(page, f'{name} before the change')).to_be_attached()
        assert sum('before the change' in trace for trace in traces(drawn(page))) == 1
    # On a phone the choices above the chart stand in one row, within the width of the page.
    page.set_viewport_size({'width': 390, 'height': 844})
    series, bands = (page.locator(f'.{name}-select').bounding_box() for name in ('series', 'bands'))
    assert series
    assert bands
    assert series['y'] == bands['y']
    assert series['x'] + series['width'] <= bands['x']
    assert bands['x'] + bands['width'] <= 390
    assert problems == []


def test_what_came_is_drawn_over_what_was_forecast(server: Server, page: Page, tmp_path: Path) -> None:
    dataset = brought(page, server, 'gil@example.com', shops(tmp_path / 'shops.csv'))
    page.goto(f'{server.url}/forecasts/new?dataset={dataset}&h={H}&models=seasonal_naive')
    page.get_by_role('button', name='Run forecast').click()
    page.wait_for_url(ISSUED)
    assert 'came since' not in traces(wait_for_result(page))
    forecast = page.url

    page.goto(f'{server.url}/datasets/{dataset}?tab=versions')
    page.locator('input[type=file]').set_input_files(shops(tmp_path / 'more.csv', months=48 + 4))
    expect(page.get_by_text('v2', exact=True).first).to_be_visible()
    page.goto(forecast)
    chart = drawn(page)
    assert 'came since' in traces(chart)
    # Over the bands, four of the six steps ahead: the one under the crosshair is told beside what was forecast for it.
    over = page.locator('.u-over').bounding_box()
    assert over
    steps = [over['x'] + over['width'] * (24 + step) / (5 * H) * 120 / 121 for step in range(1, H + 1)]
    for step, x in enumerate(steps):
        page.mouse.move(x, over['y'] + over['height'] / 2)
        expect(key(page, '80%').locator('b')).to_have_text(re.compile(r'^[\d,.]+ to [\d,.]+$'))
        expect(key(page, 'came since').locator('b')).to_have_text(re.compile(r'^[\d,.]+$' if step < 4 else '^$'))
    expect(
        page.get_by_text(re.compile(r'Since it was issued, \d of 4 values came inside the 80% band'))
    ).to_be_visible()
