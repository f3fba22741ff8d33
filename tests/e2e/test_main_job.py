"""The main job in a real browser: link, sign-up, upload, chart, zoom, forecast, sign-out."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from playwright.sync_api import Page, Response, expect

from tests.e2e.cloud import PLACES, Cloud, Embedded
from tests.e2e.conftest import PATIENCE
from tests.e2e.server import ROOT, Server

AIRLINE = ROOT / 'tests' / 'data' / 'air_passengers.csv'
PASSWORD = 'correct horse battery'

pytestmark = pytest.mark.xdist_group('browser')

# In the cloud who signs in, bytes, calls and events go another way. What the other tests ask is of the page alone, or
# held for both places by `contracts/test_compute.py` (calls that are cancelled or fail) and `test_identity.py` (links).
EVERYWHERE = pytest.mark.parametrize('place', PLACES, indirect=True, scope='module')
HERE = pytest.mark.parametrize('place', ['embedded'], indirect=True, scope='module')
# Parts of a file go to us, or past us to Supabase Storage.
PARTS = re.compile(r'/(api/v1/uploads|storage/v1/upload)/')


@pytest.fixture(scope='module')
def server(place: Embedded | Cloud) -> Iterator[Server]:
    """One server for all tests of a place; each makes an account of its own."""
    home = Path(mkdtemp(prefix='vs-'))
    running = place.server(home).start()
    yield running
    running.stop()
    shutil.rmtree(home, ignore_errors=True)


def drawn(page: Page, *, at_least: int = 1):
    """The chart, once it has been drawn after `at_least` fetches."""
    chart = page.locator('[data-ready="1"]').first
    expect(chart).to_be_visible()
    page.wait_for_function(
        'n => Number(document.querySelector("[data-ready]")?.dataset.fetches ?? 0) >= n', arg=at_least
    )
    return chart


def sign_up(page: Page, server: Server, email: str) -> None:
    page.goto(f'{server.url}/sign-in?create=1')
    page.get_by_label('Email').fill(email)
    page.get_by_label('Password').fill(PASSWORD)
    page.get_by_role('button', name='Create account').click()
    expect(page.get_by_role('heading', name='Home')).to_be_visible()


def upload(page: Page, path: Path) -> None:
    page.locator('input[type=file]').set_input_files(path)
    page.wait_for_url(re.compile(r'/datasets/[0-9a-f-]{36}'))
    drawn(page)


@HERE
def test_owner_link_works_once(server: Server, page: Page):
    page.goto(server.link)
    expect(page.get_by_role('heading', name='Home')).to_be_visible()
    page.context.clear_cookies()
    page.goto(server.link)
    expect(page.get_by_text('This sign-in link was used already')).to_be_visible()


@EVERYWHERE
def test_upload_chart_forecast_and_sign_out(place: Embedded | Cloud, server: Server, page: Page):
    problems: list[str] = []
    page.on('pageerror', lambda error: problems.append(str(error)))
    page.on('console', lambda said: problems.append(said.text) if said.type == 'error' else None)

    sign_up(page, server, 'ada@example.com')
    upload(page, AIRLINE)
    expect(page.get_by_role('heading', name='air passengers')).to_be_visible()
    expect(page.locator('.recon')).to_contain_text('144 read = 144 accepted + 0 repaired + 0 rejected')

    chart = drawn(page)
    before = int(chart.get_attribute('data-fetches') or 0)
    plot = chart.locator('.u-over').bounding_box()
    assert plot
    page.mouse.move(plot['x'] + 0.3 * plot['width'], plot['y'] + 40)
    page.mouse.down()
    page.mouse.move(plot['x'] + 0.6 * plot['width'], plot['y'] + 44, steps=8)
    page.mouse.up()
    drawn(page, at_least=before + 1)
    page.wait_for_function('() => new URLSearchParams(location.search).has("from")')
    zoomed = page.url
    page.reload()
    drawn(page)
    assert page.url == zoomed

    page.get_by_role('link', name='Forecast', exact=True).click()
    expect(page.get_by_role('heading', name='New forecast')).to_be_visible()
    page.get_by_role('button', name='Auto', exact=True).click()
    models = ('Seasonal naive',) if isinstance(place, Cloud) else ('Prophet', 'Linear')
    for model in models:
        page.get_by_role('button', name=model, exact=True).click()
    page.get_by_role('button', name='Run forecast').click()
    page.wait_for_url(re.compile(r'/forecasts/[0-9a-f-]{36}'))
    ended = page.get_by_text('Issued', exact=False).or_(page.get_by_role('alert'))
    expect(ended.first).to_be_visible(timeout=120_000)
    expect(page.get_by_role('alert')).to_have_count(0)
    figure = drawn(page)
    for name in ('actual', *models, '80%', '95%'):
        expect(figure.locator(f'.panel-key[title="{name}"]').first).to_be_attached()
    expect(page.get_by_role('table', name='Leaderboard')).to_contain_text(models[0])

    page.get_by_role('button', name='account menu').click()
    page.get_by_role('button', name='Sign out').click()
    expect(page.get_by_role('heading', name='Sign in')).to_be_visible()
    page.goto(zoomed)
    expect(page.get_by_role('heading', name='Sign in')).to_be_visible()
    assert problems == []


@HERE
def test_bad_file_says_what_to_do(server: Server, page: Page, tmp_path: Path):
    sign_up(page, server, 'bob@example.com')
    path = tmp_path / 'words.csv'
    path.write_text('name,colour\nanna,red\nben,blue\ncarl,green\n')
    page.locator('input[type=file]').set_input_files(path)
    expect(page.get_by_role('alert')).to_contain_text('words.csv could not be converted', timeout=30_000)
    expect(page.get_by_role('button', name='Discard')).to_be_visible()


@EVERYWHERE
def test_paused_upload_goes_on_after_a_reload(server: Server, page: Page, tmp_path: Path):
    sign_up(page, server, 'cleo@example.com')
    path = tmp_path / 'long.csv'
    with path.open('w') as file:
        file.write('ds,y,note\n')
        for second in range(20_000):  # three parts
            stamp = f'2000-01-01T{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}'
            file.write(f'{stamp},{second % 977}.5,{"long" * 220}\n')
    held: list[bool] = []

    def hold_back(route):
        """Let the first part through; the rest waits for the reload."""
        if route.request.method == 'PATCH' and held:
            route.abort()
        else:
            held.append(route.request.method == 'PATCH') if route.request.method == 'PATCH' else None
            route.continue_()

    page.route(PARTS, hold_back)
    page.locator('input[type=file]').set_input_files(path)
    page.wait_for_function('() => document.querySelector(".uploads .bar i")?.style.width > "0%"')
    page.on('dialog', lambda dialog: dialog.accept())
    page.reload()
    broken = page.locator('[data-upload="broken"]')
    expect(broken).to_contain_text('long.csv')
    page.unroute(PARTS)
    sizes: list[int] = []
    page.on(
        'request',
        lambda request: sizes.append(int(request.headers['upload-offset'])) if request.method == 'PATCH' else None,
    )
    page.locator('input[type=file]').set_input_files(path)
    page.wait_for_url(re.compile(r'/datasets/[0-9a-f-]{36}'), timeout=60_000)
    assert min(sizes) > 0


@HERE
def test_many_files_are_sent_a_few_at_a_time(server: Server, page: Page, tmp_path: Path):
    """Each is announced when one before it has ended: the server lets few uploads of a user wait for bytes."""
    sign_up(page, server, 'many@example.com')
    paths = [tmp_path / f'file {number}.csv' for number in range(7)]  # one more than at a time
    for number, path in enumerate(paths):
        path.write_text(f'day,measure_{number}\n2024-01-01,1\n2024-01-02,2\n2024-01-03,3\n')
    waiting = 0
    most = 0

    def announced(answer: Response) -> None:
        nonlocal waiting, most
        if answer.request.method == 'POST' and answer.url.endswith('/uploads'):
            waiting += 1
            most = max(most, waiting)
        elif answer.headers.get('variosync-dataset'):
            waiting -= 1

    page.on('response', announced)
    page.locator('input[type=file]').set_input_files(paths)
    page.wait_for_url(re.compile(r'/datasets$'), timeout=3 * PATIENCE)  # one after the other says where it fits
    kept = page.evaluate("fetch('/api/v1/datasets').then((answer) => answer.json())")['items']
    assert {one['name'] for one in kept} == {path.stem for path in paths}
    assert (waiting, most <= 6) == (0, True)


@HERE
def test_correction_makes_a_version_and_undo_brings_the_old_one_back(server: Server, page: Page):
    sign_up(page, server, 'dana@example.com')
    upload(page, AIRLINE)
    address = page.url.split('?')[0]
    page.goto(f'{address}?tab=columns')
    page.get_by_label('Role of column 2').click()
    page.get_by_role('option', name='attribute').click()
    page.get_by_role('button', name='Make a new version').click()
    expect(page.get_by_text('v2', exact=True).first).to_be_visible(timeout=30_000)
    page.goto(f'{address}?tab=versions')
    page.get_by_role('button', name='Use version 1').click()
    page.get_by_role('button', name='Use it').click()
    expect(page.get_by_role('row', name='v1')).to_contain_text('in use')

    page.get_by_role('button', name='More').click()
    page.get_by_role('menuitem', name='Delete').click()
    expect(page.get_by_text('The dataset was deleted.')).to_be_visible()
    page.get_by_role('button', name='Undo').click()
    expect(page.get_by_role('heading', name='air passengers')).to_be_visible()

    for tab in ('faults', 'rows'):
        page.goto(f'{address}?tab={tab}')
        expect(page.get_by_role('heading', name='air passengers')).to_be_visible()
    for what in ('rows.csv', 'rows.parquet', 'faults.csv'):
        answer = page.request.get(f'{server.url}/api/v1{address.removeprefix(server.url)}/versions/1/{what}')
        assert answer.ok


@HERE
def test_running_forecast_is_cancelled_and_run_again(server: Server, page: Page):
    sign_up(page, server, 'edda@example.com')
    upload(page, AIRLINE)
    page.get_by_role('link', name='Forecast', exact=True).click()
    # Two that take their time, so that it still runs when Cancel is pressed.
    for model in ('Auto', 'Prophet', 'ETS'):
        page.get_by_role('button', name=model, exact=True).click()
    page.get_by_role('button', name='Run forecast').click()
    page.wait_for_url(re.compile(r'/forecasts/[0-9a-f-]{36}'))
    page.get_by_role('button', name='Cancel').click()
    expect(page.get_by_text('The forecast was cancelled')).to_be_visible()
    page.get_by_role('button', name='Try again').click()
    expect(page.get_by_text('Issued', exact=False).first).to_be_visible(timeout=120_000)
    page.goto(f'{server.url}/jobs')
    expect(page.get_by_role('table', name='Jobs')).to_contain_text('Succeeded')
