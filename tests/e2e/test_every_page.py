"""Every page and what opens over it, in both themes, at a desk and on a phone.

There is no fault, nobody is shut out, and nothing is cut off or too small.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, TimeoutError, expect

from tests.e2e.axe import AXE
from tests.e2e.conftest import PATIENCE, WIDE
from tests.e2e.server import FORKED, Server
from tests.e2e.test_hours import grant
from tests.e2e.test_hours_rest import begin, finished, patch
from ui.app import SCREENS
from ui.pages.dataset import VIEWS
from ui.pages.forecast.state import TABS as FORECAST_TABS
from ui.pages.settings import TABS as SETTINGS_TABS

pytestmark = pytest.mark.xdist_group('browser')

PHONE = {'width': 390, 'height': 844}
FLOATS = '.panel-menu, .board-pop'
GONE = b'ds,y\n2024-01-01,1\n'
LOW = 24  # px, the least height of what is pressed (WCAG 2.2, 2.5.8)
EVIL = '</script><img src=x onerror=alert(1)>'

# A second look, in the other theme, at what was looked at in the first. Colours alone differ: what had words then has
# them now, and what is coloured from itself up to the page as something that has passed passes too.
AGAIN = """{
  const rule = axe._audit.rules.find((one) => one.id === 'color-contrast'), check = axe._audit.checks[rule.id];
  const { matches } = rule, { evaluate } = check, worded = new WeakSet();
  let kinds, kindOf, passed;
  const looks = ['color', 'backgroundColor', 'backgroundImage', 'opacity', 'textShadow', 'fontSize', 'fontWeight',
    'position'];
  const kind = (one) => {
    if (!one) return '';
    if (!kindOf.has(one)) {
      const style = getComputedStyle(one), told = [kind(one.parentElement), ...looks.map((look) => style[look])].join();
      kindOf.set(one, kinds.get(told) ?? kinds.set(told, kinds.size).size - 1);
    }
    return kindOf.get(one);
  };
  let again = false;
  axe.look = (second) => {
    [again, kinds, kindOf, passed] = [second, new Map(), new WeakMap(), new Set()];
  };
  rule.matches = (node, ...rest) => (again && worded.has(node)) || (matches(node, ...rest) && !!worded.add(node));
  check.evaluate = function (node, ...rest) {
    if (!again) return evaluate.call(this, node, ...rest);
    const found = passed.has(kind(node)) || evaluate.call(this, node, ...rest);
    if (found === true) passed.add(kind(node));
    return found;
  };
}"""

# A page that is drawn by its own scripts asks how wide it is as it loads; of all others the styles alone do, so that a
# page at a desk that becomes a phone is what a phone shows.
DRAWN = "() => document.querySelector('[data-ready]') !== null"

# All is there that will come by itself: the socket's part, and what draws itself.
SETTLED = """() => document.fonts.status === 'loaded' && document.querySelector('h1')?.checkVisibility()
  && ![...document.querySelectorAll('.sk')].some((one) => one.checkVisibility())
  && (!document.querySelector('.rail') || document.querySelector('.pill.hours[data-state]'))
  && [...document.querySelectorAll('[data-ready]')].every((one) => one.dataset.ready === '1')"""

# Between a list of choices and each of them Quasar has an element that scrolls; nothing of ours can take it away.
BARRED = """(options) => axe.look('runOnly' in options) ?? axe.run(document, {
  resultTypes: ['violations'], selectors: false, preload: false, iframes: false, ...options,
}).then((found) => found.violations
  .filter((one) => ['serious', 'critical'].includes(one.impact))
  .filter((one) => one.id !== 'aria-required-children' || one.nodes.some((node) => !node.html.includes('q-menu')))
  .map((one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 160)).join(' | ').slice(0, 500)}`))"""

COLOURS_ARE_KNOWN = {'rules': {'color-contrast': {'enabled': False}}}

# What a thumb does not meet: the page is wider than the screen, something to press lies beyond its edge (and nothing
# scrolls there) or is too low. Links within a line of text are as high as the line. What covers more than its own box
# by a pseudo-element is as high as that, and a row that is pressed as a whole as the row.
MISSED = """([width, low]) => {
  const found = [], wide = document.documentElement.scrollWidth;
  if (wide > width) found.push(`the page is ${wide} px wide`);
  const style = (one, part) => getComputedStyle(one, part);
  const slides = (one) => one && (['auto', 'scroll'].includes(style(one).overflowX) || slides(one.parentElement));
  const spread = (one) => Math.max(...['::before', '::after'].map((part) => style(one, part))
    .map((part) => part.position === 'absolute' && parseFloat(part.height) || 0));
  for (const one of document.querySelectorAll('a[href], button, input:not([type=hidden]), [role=button]')) {
    const { left, right, width: across, height } = one.getBoundingClientRect();
    const there = one.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    if (!there || across <= 1 || height <= 1) continue;
    const what = `${one.outerHTML.slice(0, 140)} ${one.textContent.trim().slice(0, 30)}`;
    if ((right > width + 1 || left < -1) && !slides(one.parentElement)) {
      found.push(`lies at ${Math.round(left)} to ${Math.round(right)}: ${what}`);
    }
    if (one.matches('input') || style(one).display === 'inline') continue;
    const row = one.closest('tr[data-href]')?.getBoundingClientRect().height ?? 0;
    if (Math.max(height, spread(one), row) < low - .5) found.push(`is ${Math.round(height)} px high: ${what}`);
  }
  return found;
}"""


# What floats and is wider than a phone, or has words that end beyond its edge and are not cut by design.
SPILT = """(width) => {
  const floats = ':popover-open, dialog[open], .q-dialog .q-card, .q-menu, .board-pop, .panel-menu, .toast';
  const hides = (one) => getComputedStyle(one).overflowX !== 'visible';
  const cut = (one, top) => one && one !== top && (hides(one) || cut(one.parentElement, top));
  const beyond = ({ left, right, width: across }) => across > 1 && (right > width + 1 || left < -1);
  return [...document.querySelectorAll(floats)].filter((top) => top.checkVisibility()).flatMap((top) =>
    [top, ...top.querySelectorAll('*')].filter((one) => one.checkVisibility() && beyond(one.getBoundingClientRect())
      && !cut(one.parentElement, top)).map((one) => `spills over: ${one.outerHTML.slice(0, 140)}`)).slice(0, 5);
}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What opens over a page by pressing these, one after the other; `only` at a `desk` or on a `phone`, if told."""

    presses: Sequence[str]
    shows: str
    only: str = ''


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What an account has that pages show."""

    client: httpx.Client
    dataset: str
    failed: str
    dashboard: str
    forecast: str


def readings() -> bytes:
    """Sixty days of two sites; a word, a unit, a time that is none and a record twice are its faults."""
    lines = [
        f'2024-{1 + day // 28:02}-{1 + day % 28:02},{site},{at * 10 + day % 7}.5,{day}'
        for at, site in enumerate(('Bergen', 'Oslo'), start=1)
        for day in range(60)
    ]
    lines[10] = '2024-01-11,Bergen,broken,1'
    lines[20] = '2024-01-21,Bergen,12.5 °C,2'
    return '\n'.join(['when,site,temp,qty', *lines, lines[30], 'never,Oslo,1.0,3']).encode() + b'\n'


@pytest.fixture(scope='module')
def server() -> Iterator[Server]:
    """Here hours are granted, so that there is somebody who has none."""
    home = Path(mkdtemp(prefix='vs-'))
    running = Server(home, command=FORKED, VARIOSYNC_TRIAL_HOURS='0').start()
    yield running
    running.stop()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope='module')
def account(server: Server) -> Account:
    client = server.client('eva@example.com')
    grant(server, 'eva@example.com', '10')

    def bring(name: str, data: bytes) -> str:
        return str(patch(client, begin(client, name, len(data)), data).headers['variosync-dataset'])

    dataset, failed = bring('weather.csv', readings()), bring('words.csv', b'name,colour\nanna,red\nben,blue\n')
    finished(client)
    dashboard = client.post('/api/v1/dashboards', json={'dataset': dataset}).json()['id']
    gone = client.post('/api/v1/dashboards', json={'name': 'Gone'}).json()['id']
    for path in (f'dashboards/{gone}', f'datasets/{bring("gone.csv", GONE)}'):
        assert client.delete(f'/api/v1/{path}').status_code == 204
    wanted = {'dataset_id': dataset, 'target': 'temp', 'h': 6, 'models': ['seasonal_naive']}
    forecast = client.post('/api/v1/forecasts', json=wanted).json()['id']
    assert finished(client)[0]['state'] == 'succeeded'
    assert client.get('/api/v1/notices').json()['items']
    return Account(client=client, dataset=dataset, failed=failed, dashboard=dashboard, forecast=forecast)


def addresses(of: Account) -> Mapping[str, list[str]]:
    """The addresses of each page of a signed-in user, by its module."""
    return {
        'home': ['/'],
        'datasets': ['/datasets', '/datasets?q=weather', '/datasets?show=deleted'],
        'dataset': [
            *(f'/datasets/{of.dataset}?tab={tab}' for tab in VIEWS),
            f'/datasets/{of.dataset}?tab=faults&kind=not_a_number',
            f'/datasets/{of.failed}',
        ],
        'dashboards': ['/dashboards', '/dashboards?show=deleted'],
        'dashboard': [f'/dashboards/{of.dashboard}'],
        'explore': [f'/explore?dataset={of.dataset}'],
        'forecasts': ['/forecasts', f'/forecasts/new?dataset={of.dataset}'],
        'forecast': [f'/forecasts/{of.forecast}?tab={tab}' for tab in FORECAST_TABS],
        'track': ['/track'],
        'jobs': ['/jobs'],
        'billing': ['/billing'],
        'out_of_hours': ['/out-of-hours'],
        'notices': ['/notices'],
        'settings': [f'/settings?tab={tab}' for tab in SETTINGS_TABS],
        'audit': ['/audit'],
        'help': ['/help', '/help/glossary', '/help/how-to/bad-rows', '/help/rest'],
    }


def openings(of: Account) -> Mapping[str, Sequence[Opening]]:
    """What opens over the pages: palette, menus, dialogs, pickers, questions and toasts."""
    return {
        '/datasets': [
            Opening(presses=['[data-palette]:visible'], shows='.palette [role=option]'),
            Opening(presses=['#bell-place button'], shows='#notices'),
            Opening(presses=['[popovertarget=me]'], shows='#me'),
            Opening(presses=['[popovertarget=theme]'], shows='#theme', only='desk'),
            Opening(presses=['[aria-label="Open menu"]'], shows='.rail', only='phone'),
        ],
        f'/datasets/{of.dataset}?tab=rows': [
            Opening(presses=['[popovertarget=export]'], shows='#export'),
            Opening(presses=['[popovertarget=versions]'], shows='#versions'),
            Opening(presses=['[popovertarget=more]', '#more .mi >> nth=0'], shows='.q-dialog .q-card'),
        ],
        '/dashboards': [
            Opening(presses=['.board-acts [popovertarget]'], shows='.row-menu'),
            Opening(presses=['.board-acts [popovertarget]', '.row-menu:popover-open .mi'], shows='.q-dialog .q-card'),
        ],
        f'/dashboards/{of.dashboard}': [
            Opening(presses=['section[data-panel] header .ib'], shows=FLOATS),
            Opening(presses=['.board-bar .chip'], shows=FLOATS),
        ],
        f'/explore?dataset={of.dataset}': [
            Opening(presses=['text="Add to dashboard"'], shows=FLOATS),
        ],
        '/settings?tab=display': [Opening(presses=['.q-select >> nth=1'], shows='.q-menu')],
        '/settings?tab=keys': [Opening(presses=['text="Choose scopes"'], shows='.scopes .chip')],
        '/settings?tab=profile': [Opening(presses=['text="Save"'], shows='.toast')],
    }


class Visitor:
    """Somebody who opens pages, and what kept them from it."""

    def __init__(self, browser: Browser, server: Server, client: httpx.Client | None) -> None:
        self.wrong: list[str] = []
        self._where = ''
        cookies: Any = (
            [{'name': one.name, 'value': one.value, 'url': server.url} for one in client.cookies.jar] if client else []
        )
        self._contexts: list[BrowserContext] = []
        self._desk, self._phone = (
            self._opened(browser, server, cookies, **options)
            for options in ({'viewport': WIDE}, {'viewport': PHONE, 'is_mobile': True, 'has_touch': True})
        )

    def _opened(self, browser: Browser, server: Server, cookies: Any, **options: Any) -> Page:
        context = browser.new_context(base_url=server.url, reduced_motion='reduce', color_scheme='light', **options)
        context.set_default_timeout(PATIENCE)
        context.add_cookies(cookies)
        context.add_init_script(AXE + AGAIN)
        self._contexts.append(context)
        page = context.new_page()
        page.on('pageerror', lambda error: self.note(f'raised {error}'))
        page.on('console', lambda said: self.note(f'says {said.text}') if said.type == 'error' else None)
        return page

    def note(self, finding: str) -> None:
        self.wrong.append(f'{self._where} {finding}')

    def visit(self, address: str, *, status: int = 200, heading: str = '') -> None:
        """Look at a page wide in both themes and narrow in both. Colours alone differ between themes."""
        page = self._go(self._desk, address, 'light', status)
        if heading:
            expect(page.get_by_role('heading', name=heading, exact=True)).to_be_visible()
        self._barred(page)
        self._themed(page, address, 'dark')
        self._barred(page, runOnly=['color-contrast'])
        held = page if not page.evaluate(DRAWN) else self._go(self._phone, address, 'dark', status)
        with self._narrowed(held) as page:
            self._themed(page, address, 'dark')
            # Of what was looked at wide the colours are known; those that only a phone shows `open` looks at.
            self._barred(page, **({} if held is self._phone else COLOURS_ARE_KNOWN))
            self._missed(page)
            self._themed(page, address, 'light')
            self._missed(page)

    def open(self, address: str, openings: Sequence[Opening]) -> None:
        """Open one thing after the other over a page, and close it: on a phone, and at a desk what is only there."""
        for page, device in ((self._phone, 'phone'), (self._desk, 'desk')):
            chosen = [opening for opening in openings if device == (opening.only or 'phone')]
            if chosen:
                self._go(page, address, 'dark', 200)
            for opening in chosen:
                self._themed(page, address, 'dark')
                self._where += f' {opening.presses}:'
                for one in opening.presses:
                    page.locator(one).locator('visible=true').first.click()
                shown = page.locator(opening.shows).locator('visible=true').first
                self._stands(shown)
                self._barred(page)
                self._missed(page)
                for finding in page.evaluate(SPILT, page.viewport_size and page.viewport_size['width']):
                    self.note(finding)
                page.emulate_media(color_scheme='light')
                self._seen(page, 'light')
                self._barred(page, runOnly=['color-contrast'])
                if opening is not chosen[-1]:
                    page.keyboard.press('Escape')
                    expect(shown).to_be_hidden()

    @contextmanager
    def _narrowed(self, page: Page) -> Iterator[Page]:
        """A page as a phone shows it: one that was opened at a desk becomes one for so long."""
        if page is self._phone:
            yield page
            return
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        device = page.context.new_cdp_session(page)
        device.send('Emulation.setDeviceMetricsOverride', PHONE | {'deviceScaleFactor': 1, 'mobile': True})
        device.send('Emulation.setTouchEmulationEnabled', {'enabled': True})
        page.wait_for_function(f"() => matchMedia('(pointer: coarse)').matches && innerWidth === {PHONE['width']}")
        yield page
        device.detach()
        page.set_viewport_size(WIDE)  # type: ignore[arg-type]

    def _stands(self, what: Locator) -> None:
        expect(what).to_be_visible()
        what.evaluate('(one) => Promise.all(one.getAnimations({ subtree: true }).map((move) => move.finished))')

    def _go(self, page: Page, address: str, theme: str, status: int) -> Page:
        self._where = f'{address} {"desk" if page.viewport_size == WIDE else "phone"} {theme}:'
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        before = len(self.wrong)
        answer = page.goto(address)
        assert answer is not None
        if answer.status != status:
            self.note(f'answers {answer.status}')
        self._settled(page)
        if status != 200:  # the browser itself says so
            self.wrong[before:] = [one for one in self.wrong[before:] if f'status of {status}' not in one]
        self._seen(page, theme)
        return page

    def _themed(self, page: Page, address: str, theme: str) -> None:
        self._where = f'{address} {"desk" if page.viewport_size == WIDE else "phone"} {theme}:'
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        self._seen(page, theme)
        self._settled(page)

    def _settled(self, page: Page) -> None:
        try:
            page.wait_for_function(SETTLED)
        except TimeoutError:
            self.note('is not all there')

    def _seen(self, page: Page, theme: str) -> None:
        expect(page.locator('html')).to_have_attribute('data-theme', theme)

    def _barred(self, page: Page, **options: Any) -> None:
        for finding in page.evaluate(BARRED, options):
            self.note(finding)

    def _missed(self, page: Page) -> None:
        assert page.viewport_size is not None
        for finding in page.evaluate(MISSED, [page.viewport_size['width'], LOW]):
            self.note(finding)

    def leave(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture
def visitor(browser: Browser, server: Server) -> Iterator[Callable[..., Visitor]]:
    made: list[Visitor] = []

    def make(client: httpx.Client | None = None) -> Visitor:
        made.append(Visitor(browser, server, client))
        return made[-1]

    yield make
    for one in made:
        one.leave()


def test_every_page_of_an_account(account: Account, visitor: Callable[..., Visitor]) -> None:
    every = addresses(account)
    assert set(every) == {module.__name__.rpartition('.')[2] for module in SCREENS}
    eva = visitor(account.client)
    for address in (address for found in every.values() for address in found):
        eva.visit(address)
    eva.visit(f'/datasets/{uuid4()}', status=404)
    assert eva.wrong == []


def test_what_opens_over_a_page(account: Account, visitor: Callable[..., Visitor]) -> None:
    long = 'Fulfilment_of_all_sites_and_carriers_in_Europe_the_Middle_East_and_Africa_by_hour'
    assert account.client.patch(f'/api/v1/dashboards/{account.dashboard}', json={'name': long}).is_success
    eva = visitor(account.client)
    for address, found in openings(account).items():
        eva.open(address, found)
    assert eva.wrong == []


def test_pages_of_strangers_of_who_has_no_hours_and_of_who_has_no_data(
    server: Server, visitor: Callable[..., Visitor]
) -> None:
    stranger, spent = visitor(), visitor(server.client('nils@example.com'))
    for address in ('/sign-in', '/sign-in?create=1', '/sign-in?ended=1'):
        stranger.visit(address)
    spent.visit('/datasets', heading='Your hours are used up')
    for address in ('/billing', '/notices'):
        spent.visit(address)
    grant(server, 'nils@example.com', '1')
    for address in ('/', '/dashboards', '/explore', '/forecasts/new', '/track'):
        spent.visit(address)
    assert [*stranger.wrong, *spent.wrong] == []


def test_a_dashboard_whose_words_are_markup_is_opened_harmlessly(
    account: Account, server: Server, browser: Browser
) -> None:
    panels = [
        {'id': 'n', 'kind': 'note', 'title': EVIL, 'show': {'text': EVIL}},
        {'id': 'l', 'kind': 'line', 'y': 4, 'title': EVIL, 'dataset': account.dataset, 'query': {'measures': ['temp']}},
    ]
    made = account.client.post('/api/v1/dashboards', json={'name': EVIL, 'spec': {'panels': panels}})
    assert made.status_code == 201, made.text
    assert account.client.patch(f'/api/v1/dashboards/{made.json()["id"]}', json={'pinned': True}).is_success
    context = browser.new_context(viewport=WIDE, base_url=server.url)
    context.add_cookies(
        [{'name': one.name, 'value': one.value or '', 'url': server.url} for one in account.client.cookies.jar]
    )
    page = context.new_page()
    wrong: list[str] = []
    page.on('pageerror', lambda error: wrong.append(str(error)))
    page.on('console', lambda said: wrong.append(said.text) if said.type == 'error' else None)
    page.on('dialog', lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    for address in (f'/dashboards/{made.json()["id"]}', '/dashboards'):
        page.goto(address)
        page.wait_for_function(SETTLED)
        assert page.locator('img[src="x"], [onerror]').count() == 0
        if address != '/dashboards':
            expect(page.get_by_role('textbox', name='Name of the dashboard')).to_have_value(EVIL)
            expect(page.locator('section[data-panel]').filter(has_text=EVIL)).to_have_count(2)
    expect(page.get_by_role('link', name=EVIL).first).to_be_visible()
    context.close()
    assert wrong == []
