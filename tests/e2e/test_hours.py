"""Hours in a real browser: the live pill, pause on every tab, idleness, prices before buttons, the stop at zero."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from tests.e2e.brought import signed_up
from tests.e2e.forked import run
from tests.e2e.server import FORKED, Server
from tests.e2e.test_hours_rest import pass_time
from tests.e2e.test_main_job import AIRLINE

pytestmark = pytest.mark.xdist_group('browser')

TRIAL = 120
COUNTED = '([was, by]) => Number(document.querySelector(".pill.hours").dataset.seconds) <= was - by'
LEAVE = '() => dispatchEvent(new PageTransitionEvent("pagehide"))'
NOTE_BEATS = """() => {
  const send = window.fetch;
  window.fetch = (address, asked) => {
    const noted = JSON.parse(localStorage.noted ?? '[]');
    if (String(address).includes('heartbeat')) localStorage.noted = JSON.stringify([...noted, asked.body]);
    return send(address, asked);
  };
}"""
LATER = '() => { const real = Date.now.bind(Date); Date.now = () => real() + 330_000; }'


@pytest.fixture(scope='module')
def server() -> Iterator[Server]:
    home = Path(mkdtemp(prefix='vs-'))
    settings = {'VARIOSYNC_TRIAL_HOURS': str(TRIAL / 3600), 'VARIOSYNC_DEMO': '0'}
    running = Server(home, command=FORKED, **settings)
    try:
        yield running.start()
    finally:
        running.stop()
        rmtree(home, ignore_errors=True)


def grant(server: Server, email: str, hours: str) -> None:
    done = run('hours', 'grant', email, hours, environment={'VARIOSYNC_HOME': str(server.home)})
    assert done.returncode == 0, done.stderr


def pill(page: Page) -> Locator:
    return page.locator('.pill.hours')


def left(page: Page) -> int:
    expect(pill(page)).to_have_attribute('data-seconds', re.compile(r'\d+'))
    return int(pill(page).get_attribute('data-seconds') or -1)


def asked(price: Locator, measured: str) -> int:
    """The seconds that a forecast may take, as its price tells them."""
    told = re.compile(rf'Up to (\d+) s of your hours \({measured} × \d+ past cutoffs\)')
    expect(price).to_contain_text(told)
    found = told.search(price.inner_text())
    assert found
    return int(found[1])


def spend(server: Server, page: Page, email: str, *, down_to: int) -> None:
    """View until about so much is left; in steps, because what nobody beats for is not charged."""
    while True:
        page.reload()
        more = left(page) - down_to
        if more <= 0 or 'out-of-hours' in page.url:
            return
        expect(pill(page)).to_have_attribute('data-state', 'running')
        pass_time(server, email, min(40, more))


def test_the_pill_counts_and_a_pause_holds_on_every_tab(server: Server, page: Page):
    signed_up(page, server, 'ada@example.com')
    page.goto(f'{server.url}/datasets')
    expect(pill(page)).to_have_attribute('data-state', 'running')
    page.wait_for_function(COUNTED, arg=[left(page), 2])
    expect(pill(page)).to_have_text(re.compile(r'^\s*(1 min )?[1-5]?\d s\s*$'))
    expect(pill(page)).to_have_class(re.compile('stop'))

    billing = page.context.new_page()
    billing.goto(f'{server.url}/billing')
    billing.get_by_role('button', name='Pause', exact=True).click()
    expect(billing.locator('.billing .badge').first).to_have_text('Paused')
    expect(page.get_by_text('Paused. Your hours are not running.')).to_be_visible()
    assert page.evaluate('() => document.getElementById("main").inert')
    held = left(page)
    page.reload()
    expect(page.get_by_text('Paused. Your hours are not running.')).to_be_visible()
    assert left(page) == held

    page.get_by_role('button', name='Resume', exact=True).click()
    expect(page.get_by_text('Paused. Your hours are not running.')).to_have_count(0)
    expect(billing.locator('.billing .badge').first).to_have_text('Running')
    page.wait_for_function(COUNTED, arg=[held, 2])
    assert not page.evaluate('() => document.getElementById("main").inert')

    for press, shown in (('Pause hours', 'paused'), ('Resume hours', 'running')):
        page.get_by_role('button', name=re.compile('account menu')).click()
        page.get_by_role('button', name=press).click()
        page.keyboard.press('Escape')
        expect(pill(page)).to_have_attribute('data-state', shown)


def test_nobody_there_stops_the_clock_and_a_touch_starts_it(server: Server, page: Page):
    signed_up(page, server, 'ben@example.com')
    page.goto(f'{server.url}/jobs')
    expect(pill(page)).to_have_attribute('data-state', 'running')
    page.evaluate(LATER)
    expect(pill(page)).to_have_attribute('data-state', 'idle')
    assert page.get_by_text('Paused. Your hours are not running.').count() == 0

    def beat_of_somebody(request: Request) -> bool:
        """A beat of who was touched; those of one that nobody touches go on meanwhile."""
        return request.url.endswith('/api/v1/hours/heartbeat') and request.post_data_json['idle'] < 300

    with page.expect_request(beat_of_somebody):
        page.mouse.move(400, 300)
        page.mouse.move(420, 320)
    expect(pill(page)).to_have_attribute('data-state', 'running')


def test_a_page_says_goodbye(server: Server, page: Page):
    signed_up(page, server, 'cleo@example.com')
    page.goto(f'{server.url}/datasets')
    expect(pill(page)).to_have_attribute('data-state', 'running')
    with page.expect_request('**/api/v1/hours/heartbeat') as beat:
        page.evaluate(LEAVE)
    assert beat.value.method == 'POST'

    page.goto(f'{server.url}/billing')
    expect(pill(page)).to_have_attribute('data-seconds', re.compile(r'\d+'))
    asked: list[str] = []
    page.on('request', lambda request: asked.append(request.url.removeprefix(server.url)))
    page.evaluate(LEAVE)
    page.evaluate('() => fetch("/api/v1/hours")')
    assert '/api/v1/hours' in asked
    assert '/api/v1/hours/heartbeat' not in asked


def test_leaving_for_another_site_stops_the_clock(server: Server, page: Page):
    signed_up(page, server, 'otto@example.com')
    page.goto(f'{server.url}/datasets')
    expect(pill(page)).to_have_attribute('data-state', 'running')
    page.evaluate(NOTE_BEATS)
    page.goto('about:blank')
    page.goto(f'{server.url}/static/tokens.css')  # of the same origin, and no page that beats
    beats = [json.loads(body) for body in page.evaluate('() => JSON.parse(localStorage.noted)')]
    assert beats[-1].get('leaving', False), 'a later beat would take the parting one back'
    assert not any(beat.get('leaving', False) for beat in beats[:-1])


def test_prices_stand_before_buttons_and_charges_after_jobs(server: Server, page: Page, tmp_path: Path):
    signed_up(page, server, 'dana@example.com')
    page.goto(server.url)
    page.locator('input[type=file]').set_input_files(AIRLINE)
    forecast = page.get_by_role('link', name='Forecast', exact=True)
    expect(forecast).to_be_visible(timeout=60_000)
    forecast.click()
    run, price = page.get_by_role('button', name='Run forecast'), page.locator('.price')
    one = asked(price, '1 series × 1 model')
    page.get_by_role('button', name='Prophet', exact=True).click()
    two = asked(price, '1 series × 2 models')
    assert 0 < one < two
    expect(page).to_have_url(re.compile('models=prophet'))

    spend(server, page, 'dana@example.com', down_to=two + 2)
    for model in ('Seasonal naive', 'ETS', 'Theta', 'MSTL', 'LightGBM'):
        page.get_by_role('button', name=model, exact=True).click()
    expect(price).to_contain_text(re.compile(r'Needs up to \d+ s of your hours .* you are \d+ s short'))
    expect(run).to_be_disabled()
    grant(server, 'dana@example.com', '1')
    expect(run).to_be_enabled()
    for model in ('Auto', 'ETS', 'Theta', 'MSTL', 'Prophet', 'LightGBM', 'Seasonal naive'):
        page.get_by_role('button', name=model, exact=True).click()
    expect(page.get_by_text('Choose a model.').first).to_be_visible()
    expect(run).to_be_disabled()
    page.get_by_role('button', name='Seasonal naive', exact=True).click()
    expect(run).to_be_enabled()
    run.click()
    page.wait_for_url(re.compile(r'/forecasts/[0-9a-f-]{36}'))
    expect(page.get_by_text('Issued', exact=False).first).to_be_visible(timeout=120_000)

    page.goto(f'{server.url}/jobs')
    table = page.get_by_role('table', name='Jobs')
    expect(table.get_by_role('columnheader', name='Charged')).to_be_visible()
    expect(table.get_by_role('row').nth(1)).to_contain_text(re.compile(r'\d+ s'))
    page.goto(f'{server.url}/billing?kind=job')
    expect(page.get_by_role('table', name='Ledger')).to_contain_text('Forecast y, 9 months')
    with page.expect_download() as saved:
        page.get_by_role('link', name='Save as CSV').click()
    assert 'Forecast y, 9 months' in saved.value.path().read_text()

    packed = tmp_path / 'huge.csv.gz'
    with packed.open('wb') as file:
        file.truncate(1_600_000_000)
    page.goto(f'{server.url}/datasets')
    page.locator('input[type=file]').set_input_files(packed)
    line = page.locator('[data-upload="failed"]')
    expect(line).to_contain_text('of your hours')
    expect(line.get_by_role('link', name='See Billing')).to_be_visible()


def test_at_zero_pages_stop_and_hours_bring_them_back(server: Server, page: Page):
    signed_up(page, server, 'eve@example.com')
    page.goto(f'{server.url}/datasets?deleted=')
    spend(server, page, 'eve@example.com', down_to=10)
    page.wait_for_url(re.compile(r'/out-of-hours\?next=(%2F|/)datasets%3Fdeleted%3D$'), timeout=40_000)
    expect(page.get_by_role('heading', name='Your hours are used up')).to_be_visible()
    expect(pill(page)).to_have_text('0 s')

    page.goto(f'{server.url}/jobs')
    assert page.url.endswith('/out-of-hours?next=/jobs')
    page.get_by_role('link', name='See Billing').click()
    expect(page.locator('.billing .badge').first).to_have_text('Used up')
    assert page.request.get(f'{server.url}/api/v1/datasets').ok

    page.goto(f'{server.url}/out-of-hours?next=/jobs')
    expect(page.get_by_role('link', name='Go on')).to_have_count(0)
    grant(server, 'eve@example.com', '2')
    page.get_by_role('link', name='Go on').click()
    expect(page.get_by_role('heading', name='Jobs', exact=True)).to_be_visible()
    expect(pill(page)).to_have_attribute('data-state', 'running')
