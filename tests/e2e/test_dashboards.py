"""Dashboards in a real browser: built in one press, shared by address, saved as they are changed, live."""

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlparse

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, Request, Route, expect

from tests.e2e.axe import barred
from tests.e2e.conftest import WIDE
from tests.e2e.kept import Kept
from tests.e2e.server import Server
from tests.e2e.test_hours_rest import begin, finished, patch

pytestmark = pytest.mark.xdist_group('pages')

PHONE = {'width': 390, 'height': 844}
SITES = ('Bergen', 'Oslo', 'Trondheim')
AHEAD = '/health/live'  # where a page is made ready for what it opens next
Opened = Callable[..., Page]
ALONE = pytest.mark.parametrize('api', ['alone'], indirect=True)
BROUGHT: dict[tuple[httpx.Client, int], str] = {}
# Whether the page asks before it is left.
LEAVING = """() => {
    const asked = new Event('beforeunload', { cancelable: true });
    dispatchEvent(asked);
    return asked.defaultPrevented;
}"""


def readings(days: int) -> bytes:
    """Hours of three sites, with two measures."""
    lines = [
        f'2026-01-{1 + hour // 24:02d} {hour % 24:02d}:00,{site},{100 * place + hour % 24 + hour % 7}.5,{hour % 24}'
        for place, site in enumerate(SITES, start=1)
        for hour in range(24 * days)
    ]
    return '\n'.join(['time,site,load,temperature', *lines]).encode() + b'\n'


@pytest.fixture(scope='module')
def shared(server: Server) -> httpx.Client:
    """A program of the account of all tests to which other dashboards are nothing."""
    return server.client('boards@example.com')


@pytest.fixture
def api(server: Server, request: pytest.FixtureRequest) -> httpx.Client:
    """A program of that account, or of one of the test's own (`ALONE`)."""
    if not hasattr(request, 'param'):
        client: httpx.Client = request.getfixturevalue('shared')
        return client
    name = re.sub(r'\W', '-', request.node.name)[:40]
    return server.client(f'{name}@example.com')


@pytest.fixture(scope='module')
def kept(server: Server, browser: Browser) -> Iterator[Kept]:
    """A browser that has been here before: what pages share is neither fetched nor compiled again."""
    made = browser.new_context(viewport=WIDE, base_url=server.url, reduced_motion='reduce')
    yield Kept(made)
    made.close()


@pytest.fixture
def opened(server: Server, api: httpx.Client, browser: Browser, kept: Kept) -> Iterator[Opened]:
    """Open an address in a browser of the same account; what goes wrong on its pages fails the test.

    One that is `forgiving` hears no complaints of the console. One that is `alone` is so in its browser, and forgiving.
    """
    wrong: list[str] = []
    pages, contexts = [], []
    cookies: Any = [{'name': one.name, 'value': one.value or '', 'url': server.url} for one in api.cookies.jar]
    kept.context.add_cookies(cookies)

    def open_page(path: str, *, viewport: Any = WIDE, forgiving: bool = False, alone: bool = False) -> Page:
        if alone:
            context = browser.new_context(viewport=WIDE, base_url=server.url, reduced_motion='reduce')
            context.add_cookies(cookies)
            contexts.append(context)
            page = context.new_page()
        else:
            page = kept.context.new_page() if kept.page() in pages else kept.page()
        pages.append(page)
        if viewport is not WIDE:
            page.set_viewport_size(viewport)
        page.on('pageerror', lambda error: wrong.append(str(error)))
        if not (forgiving or alone):
            page.on('console', lambda said: wrong.append(said.text) if said.type == 'error' else None)
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    kept.leave()
    assert wrong == []


def dataset_of(api: httpx.Client, days: int = 14) -> str:
    """A dataset of the account of so many days, brought once: who changes it has an account of its own (`ALONE`)."""
    if (api, days) not in BROUGHT:
        data = readings(days)
        sent = patch(api, begin(api, 'grid load.csv', len(data)), data)
        finished(api)
        BROUGHT[api, days] = str(sent.headers['variosync-dataset'])
    return BROUGHT[api, days]


def dashboard_of(api: httpx.Client, dataset: str, panels: int = 3) -> str:
    """A dashboard of a row of lines and a figure below."""
    kinds = ['line'] * panels + ['figure']
    spec = [
        {
            'id': f'p{place}', 'kind': kind, 'dataset': dataset, 'title': f'Panel {place}', 'x': place * 4 % 12,
            'y': place // 3 * 4, 'w': 4, 'h': 4, 'query': {'measures': ['load']},
        }
        for place, kind in enumerate(kinds)
    ]  # fmt: skip
    made = api.post('/api/v1/dashboards', json={'name': 'Grid', 'spec': {'panels': spec}})
    assert made.status_code == 201, made.text
    return str(made.json()['id'])


def ready(page: Page) -> Locator:
    board = page.locator('.board[data-ready="1"]')
    expect(board).to_be_visible()
    return board


def saved(page: Page, revision: int) -> None:
    expect(page.locator(f'.board[data-saved="1"][data-revision="{revision}"]')).to_be_attached()


def order(api: httpx.Client, dashboard: str) -> list[tuple[str, int, int, int, int]]:
    panels = api.get(f'/api/v1/dashboards/{dashboard}').json()['spec']['panels']
    return [(one['id'], one['x'], one['y'], one['w'], one['h']) for one in panels]


@ALONE
def test_built_in_one_press_and_every_choice_is_in_the_address(api: httpx.Client, opened: Opened) -> None:
    page = opened(f'/datasets/{dataset_of(api)}')
    page.get_by_role('button', name='Dashboard', exact=True).click()
    page.wait_for_url(re.compile(r'/dashboards/[0-9a-f-]{36}$'))
    board = ready(page)
    fetched = board.locator('.panel').evaluate_all('panels => panels.map(panel => panel.dataset.fetches)')
    assert fetched == ['1'] * len(fetched)
    assert len(fetched) >= 6
    assert barred(page) == []

    bar = page.get_by_role('toolbar', name='Variables')
    bar.get_by_role('button', name='7D').click()
    page.wait_for_url('**?last=P7D')
    bar.get_by_role('button', name='site: All 3').click()
    picker = page.get_by_role('dialog', name='site')
    picker.get_by_role('searchbox').fill('os')
    expect(picker.get_by_role('checkbox')).to_have_count(1)
    picker.get_by_role('checkbox').check()
    expect(bar.get_by_role('button', name='site: Oslo')).to_be_visible()
    page.keyboard.press('Escape')
    bar.get_by_role('button', name='Step: Auto').click()
    page.get_by_role('menuitem', name='6 hours').click()
    page.wait_for_url(lambda url: 'by.site=Oslo' in url and 'step=PT6H' in url)
    ready(page)
    address = page.url

    again = opened(address)
    ready(again)
    again_bar = again.get_by_role('toolbar', name='Variables')
    for name in ('site: Oslo', 'Step: 6 hours'):
        expect(again_bar.get_by_role('button', name=name)).to_be_visible()
    expect(again_bar.get_by_role('button', name='7D')).to_have_attribute('aria-pressed', 'true')
    assert again.locator('.panel-legend').first.inner_text() == page.locator('.panel-legend').first.inner_text()
    page.go_back()
    page.wait_for_url(lambda url: 'step=PT6H' not in url)
    page.go_forward()
    page.wait_for_url(address)
    expect(bar.get_by_role('button', name='Step: 6 hours')).to_be_visible()


def test_moved_copied_taken_away_undone_and_brought_back(api: httpx.Client, opened: Opened) -> None:
    dashboard = dashboard_of(api, dataset_of(api, 3))
    page = opened(f'/dashboards/{dashboard}')
    board = ready(page)
    first = order(api, dashboard)

    page.locator('[data-panel="p0"] .panel-stage').focus()
    page.keyboard.press('Shift+ArrowRight')
    saved(page, 2)
    moved = {one[0]: one[1:] for one in order(api, dashboard)}
    assert (moved['p0'][0], moved['p1'][0]) == (4, 0)
    page.keyboard.press('Control+z')
    saved(page, 3)
    assert order(api, dashboard) == first

    head = page.locator('[data-panel="p3"] .panel-head').bounding_box()
    assert head
    page.mouse.move(head['x'] + 40, head['y'] + 20)
    page.mouse.down()
    page.mouse.move(head['x'] + 500, head['y'] + 30, steps=8)
    page.mouse.up()
    saved(page, 4)
    assert {one[0]: one[1:] for one in order(api, dashboard)}['p3'][0] > 0

    page.get_by_role('button', name='Menu of Panel 2').click()
    page.get_by_role('menuitem', name='Duplicate').click()
    expect(board).to_have_attribute('data-panels', '5')
    saved(page, 5)
    page.get_by_role('button', name='Menu of Panel 1').click()
    page.get_by_role('menuitem', name='Remove').click()
    expect(page.locator('[data-panel="p1"]')).to_have_count(0)
    page.get_by_role('button', name='Undo', exact=True).click()
    expect(page.locator('[data-panel="p1"]')).to_be_visible()
    ready(page)

    page.get_by_role('button', name='Dashboard menu').click()
    page.get_by_role('menuitem', name='History').click()
    page.get_by_role('button', name='Restore state 1').click()
    expect(board).to_have_attribute('data-panels', '4')
    ready(page)
    assert order(api, dashboard) == first


def test_others_are_seen_their_changes_too_and_nothing_is_overwritten(api: httpx.Client, opened: Opened) -> None:
    dashboard = dashboard_of(api, dataset_of(api, 3))
    page, other = opened(f'/dashboards/{dashboard}', alone=True), opened(f'/dashboards/{dashboard}')
    ready(page)
    ready(other)
    expect(page.locator('[data-here="2"]')).to_contain_text('2 here')
    other.locator('[data-panel="p0"] .panel-stage').focus()
    other.keyboard.press('Control+Shift+ArrowRight')
    saved(other, 2)
    saved(page, 2)

    page.context.set_offline(True)
    expect(page.locator('[data-live="0"]')).to_have_text('Not live')
    page.locator('[data-panel="p1"] .panel-stage').focus()
    page.keyboard.press('Control+Shift+ArrowDown')
    expect(page.get_by_role('alert').filter(has_text='kept on this page')).to_be_visible()
    other.locator('[data-panel="p0"] .panel-stage').focus()
    other.keyboard.press('Control+Shift+ArrowLeft')
    saved(other, 3)
    page.context.set_offline(False)
    expect(page.get_by_text('This dashboard was changed elsewhere.')).to_be_visible()
    page.get_by_role('button', name='Load it again').click()
    saved(page, 3)
    expect(page.locator('[data-live="1"]')).to_have_text('Live')

    other.close()
    expect(page.locator('[data-here="1"]')).to_be_attached()


def test_mine_is_kept_where_another_page_has_saved_meanwhile(api: httpx.Client, opened: Opened) -> None:
    dashboard = dashboard_of(api, dataset_of(api, 3))
    page = opened(f'/dashboards/{dashboard}', alone=True)
    ready(page)
    page.context.set_offline(True)
    page.locator('[data-panel="p1"] .panel-stage').focus()
    page.keyboard.press('Control+Shift+ArrowDown')
    expect(page.get_by_role('alert').filter(has_text='kept on this page')).to_be_visible()
    theirs = api.get(f'/api/v1/dashboards/{dashboard}').json()['spec']
    theirs['panels'] = theirs['panels'][1:]
    assert api.put(f'/api/v1/dashboards/{dashboard}', json={'spec': theirs, 'revision': 1}).status_code == 200
    page.context.set_offline(False)
    expect(page.get_by_text('This dashboard was changed elsewhere.')).to_be_visible()
    page.get_by_role('button', name='Keep mine').click()
    saved(page, 3)
    expect(page.get_by_text('This dashboard was changed elsewhere.')).to_be_hidden()
    mine = {one[0]: one[4] for one in order(api, dashboard)}
    assert (sorted(mine), mine['p1']) == (['p0', 'p1', 'p2', 'p3'], 5)
    # What the other page had saved is not lost either.
    states = api.get(f'/api/v1/dashboards/{dashboard}/revisions').json()['items']
    assert [(one['revision'], one['panels']) for one in states] == [(3, 4), (2, 3), (1, 4)]


def test_a_panel_that_goes_leaves_no_hole_and_comes_back_to_its_place(api: httpx.Client, opened: Opened) -> None:
    dashboard = dashboard_of(api, dataset_of(api, 3))
    for viewport in (WIDE, PHONE):
        page = opened(f'/dashboards/{dashboard}', viewport=viewport)
        board, first = ready(page), order(api, dashboard)
        revision = int(board.get_attribute('data-revision') or 0)
        page.get_by_role('button', name='Menu of Panel 0').click()
        page.get_by_role('menuitem', name='Remove').click()
        saved(page, revision + 1)
        # The figure that stood below it moves up; its neighbours stay.
        assert order(api, dashboard) == [('p1', 4, 0, 4, 4), ('p2', 8, 0, 4, 4), ('p3', 0, 0, 4, 4)]
        page.get_by_role('button', name='Undo', exact=True).click()
        saved(page, revision + 2)
        assert sorted(order(api, dashboard)) == sorted(first)
        ready(page)
        page.close()


def test_the_step_moves_all_panels_that_can_follow_and_the_others_say_so(api: httpx.Client, opened: Opened) -> None:
    dataset = dataset_of(api)
    kinds: dict[str, dict[str, Any]] = {
        'line': {'query': {'measures': ['load'], 'every': 'P1D'}},
        'bar': {'query': {'measures': ['load'], 'every': 'P1W', 'aggregation': 'sum'}},
        'figure': {'title': 'Load per week', 'query': {'measures': ['load'], 'every': 'P1W', 'group': '*'}},
        'heat': {'query': {'measures': ['load'], 'group': '*'}},
    }
    spec = [
        {'id': kind, 'kind': kind, 'dataset': dataset, 'x': at * 3, 'w': 3, **one}
        for at, (kind, one) in enumerate(kinds.items())
    ]
    made = api.post('/api/v1/dashboards', json={'name': 'Steps', 'spec': {'panels': spec}}).json()
    page = opened(f'/dashboards/{made["id"]}')
    ready(page)

    def about(name: str) -> str:
        return page.locator(f'[data-panel="{name}"] .panel-about').inner_text()

    assert (about('line'), about('bar')) == ('mean per day', 'sum per week')
    # 1 January 2026 was a Thursday and the data end on Wednesday the 14th: two weeks are not whole.
    expect(page.locator('[data-panel="bar"] .panel-part')).to_have_text('partial: 3 of 7 days')
    expect(page.locator('[data-panel="figure"] .panel-when')).to_contain_text('Week of 5 Jan 2026')
    expect(page.locator('[data-panel="figure"] .panel-now')).to_contain_text('3 of 7 days')
    assert page.get_by_text('own step').count() == 0
    page.get_by_role('button', name='Step: Auto').click()
    assert page.get_by_role('menuitem', name='30 minutes').count() == 0  # the data are hours
    page.get_by_role('menuitem', name='6 hours').click()
    expect(page.locator('[data-panel="line"] .panel-about')).to_have_text('mean per 6 h')
    expect(page.locator('[data-panel="bar"] .panel-about')).to_have_text('sum per 6 h')
    ready(page)
    own = page.locator('.panel', has=page.get_by_text('own step', exact=True))
    assert own.evaluate_all('all => all.map(one => one.id)') == ['figure', 'heat']


def test_an_earlier_period_is_drawn_beside_by_one_choice(api: httpx.Client, opened: Opened) -> None:
    page = opened(f'/dashboards/{dashboard_of(api, dataset_of(api))}?last=P3D')
    ready(page)
    page.get_by_role('button', name='Compare: Off').click()
    page.get_by_role('menuitem', name='Week before').click()
    page.wait_for_url('**compare=P1W**')
    expect(page.locator('[data-panel="p0"] .panel-legend')).to_contain_text('Oslo, 1 week before')
    ready(page)
    page.reload()
    ready(page)
    expect(page.get_by_role('button', name='Compare: Week before')).to_be_visible()
    # Of three days the same days of the week before: hours are the same, so is what they held.
    legend = page.locator('[data-panel="p0"] .panel-legend').inner_text()
    assert legend.count('1 week before') == 3


def explored(page: Page) -> Locator:
    """Explore once its panel is drawn."""
    whole = page.locator('.explore[data-ready="1"]')
    expect(whole).to_be_visible()
    return whole


def asked(page: Page) -> dict[str, Any]:
    """The panel that the address of Explore holds."""
    panel: dict[str, Any] = json.loads(parse_qs(urlparse(page.url).query)['q'][0])
    return panel


def test_what_a_dashboard_shares_with_an_edited_panel_is_seen_and_not_saved(api: httpx.Client, opened: Opened) -> None:
    dashboard = dashboard_of(api, dataset_of(api))
    page = opened(f'/dashboards/{dashboard}?by.site=Oslo&step=PT6H&compare=P1W&last=P3D')
    ready(page)
    page.get_by_role('button', name='Menu of Panel 0').click()
    page.get_by_role('menuitem', name='Edit').click()
    legend = explored(page).locator('.panel-legend')
    expect(legend).to_contain_text('1 week before')
    assert 'Bergen' not in legend.inner_text()
    expect(page.get_by_role('button', name='Compare: Week before')).to_be_visible()
    expect(page.get_by_role('button', name='Step: 6 hours')).to_be_visible()

    page.get_by_role('button', name='Compare: Week before').click()
    page.get_by_role('menuitem', name='Off').click()
    expect(legend).not_to_contain_text('1 week before')
    page.keyboard.press('Control+z')
    expect(legend).to_contain_text('1 week before')
    page.get_by_role('button', name='Take off Week before').click()
    expect(page.get_by_role('button', name='Compare: Off')).to_be_visible()
    page.get_by_role('button', name='Take off site: Oslo').click()
    expect(legend).to_contain_text('Bergen')
    assert 'by.site' not in page.url
    explored(page)
    page.get_by_role('button', name='Save to dashboard').click()
    page.wait_for_url(re.compile(r'/dashboards/[0-9a-f-]+\?last=P3D&step=PT6H#p0$'))
    ready(page)
    kept = api.get(f'/api/v1/dashboards/{dashboard}').json()['spec']['panels'][0]['query']
    assert kept == {'measures': ['load']}


def test_series_are_added_up_where_that_means_something(api: httpx.Client, opened: Opened) -> None:
    page = opened(f'/explore?dataset={dataset_of(api, 3)}')
    legend = explored(page).locator('.panel-legend')
    page.get_by_role('button', name='Group by: Nothing').click()
    page.get_by_role('menuitem', name='All series').click()
    expect(page.get_by_role('button', name='Combined by: Sum')).to_be_visible()
    explored(page)
    assert asked(page)['query'] == {'measures': ['load'], 'group': '*', 'across': 'sum'}
    # A measure is dragged onto the chart, and the one before is taken off.
    page.get_by_role('button', name='temperature', exact=True).drag_to(page.locator('.explore-panel'))
    page.get_by_role('button', name='load', exact=True).click()
    expect(page.get_by_role('button', name='Combined by: Mean')).to_be_visible()
    explored(page)
    assert asked(page)['query'] == {'measures': ['temperature'], 'group': '*', 'across': 'mean'}
    expect(legend).to_contain_text('23')  # at the last hour, in each of the three
    page.get_by_role('button', name='Combined by: Mean').click()
    page.get_by_role('menuitem', name='Sum').click()
    expect(legend).to_contain_text('69')


def test_the_board_and_a_panel_fill_the_screen_and_leave_it(api: httpx.Client, opened: Opened) -> None:
    page = opened(f'/dashboards/{dashboard_of(api, dataset_of(api, 3))}')
    ready(page)
    page.get_by_role('button', name='Dashboard menu').click()
    page.get_by_role('menuitem', name='Full screen').click()
    page.wait_for_function('document.fullscreenElement === document.documentElement')
    expect(page.get_by_role('navigation', name='Main')).to_be_hidden()
    ready(page)
    page.evaluate('document.exitFullscreen()')
    expect(page.get_by_role('navigation', name='Main')).to_be_visible()
    menu = page.get_by_role('button', name='Menu of Panel 1')
    menu.click()
    page.get_by_role('menuitem', name='Full screen').click()
    page.wait_for_function('document.fullscreenElement?.id === "p1"')
    menu.click()  # its menu is seen there, too
    page.get_by_role('menuitem', name='Leave full screen').click()
    page.wait_for_function('document.fullscreenElement === null')
    ready(page)


def test_a_note_is_written_changed_and_taken_away(api: httpx.Client, opened: Opened) -> None:
    dashboard = dashboard_of(api, dataset_of(api, 3), panels=1)
    page = opened(f'/dashboards/{dashboard}')
    ready(page)
    page.get_by_role('button', name='Dashboard menu').click()
    page.get_by_role('menuitem', name='Add note').click()
    page.get_by_role('textbox', name='Title').fill('Why <b>March</b>')
    page.get_by_role('textbox', name='Text').fill('A meter was changed.\n\nSee <i>ticket 7</i>.')
    page.get_by_role('button', name='Keep').click()
    saved(page, 2)
    note = page.locator('.panel', has=page.locator('.panel-note'))
    assert note.locator('p').all_inner_texts() == ['A meter was changed.', 'See <i>ticket 7</i>.']
    note.get_by_role('button', name='Menu of Why').click()
    page.get_by_role('menuitem', name='Edit').click()
    page.get_by_role('textbox', name='Text').fill('Nothing of note.')
    page.get_by_role('button', name='Keep').click()
    saved(page, 3)
    page.reload()
    ready(page)
    expect(note.locator('p')).to_have_text('Nothing of note.')
    assert barred(page) == []


def test_a_link_to_what_is_not_yours_says_so_and_nothing_more(
    server: Server, api: httpx.Client, browser: Browser, opened: Opened
) -> None:
    dashboard = dashboard_of(api, dataset_of(api, 3))
    stranger = server.client('stranger@example.com')
    answer = stranger.get(f'/dashboards/{dashboard}', headers={'Accept': 'text/html'})
    assert answer.status_code == 404
    assert 'or it is not yours' in answer.text
    assert 'Grid' not in answer.text
    page = opened(f'/dashboards/{dashboard}?from=0&to=1000')
    ready(page)
    expect(page.locator('[data-panel="p0"] .panel-message')).to_contain_text('There are values from 1 Jan 2026')


@ALONE
def test_a_new_version_is_drawn_without_a_reload(api: httpx.Client, opened: Opened) -> None:
    dataset = dataset_of(api, 3)
    page = opened(f'/dashboards/{dashboard_of(api, dataset)}?last=P1D')
    ready(page)
    when = page.get_by_role('button', name=re.compile('^Range: '))
    expect(when).to_contain_text('3 Jan')
    page.evaluate('window.sameDocument = true')
    data = readings(5)
    told = {'filename': 'more.csv', 'dataset': dataset, 'how': 'append'}
    metadata = ','.join(f'{key} {b64encode(value.encode()).decode()}' for key, value in told.items())
    tus = {'Tus-Resumable': '1.0.0', 'Upload-Length': str(len(data)), 'Upload-Metadata': metadata}
    patch(api, api.post('/api/v1/uploads', headers=tus).headers['location'], data)
    expect(when).to_contain_text('5 Jan')
    ready(page)
    assert page.evaluate('window.sameDocument')


def test_a_phone_has_one_column_in_order_and_keeps_the_grid(api: httpx.Client, opened: Opened) -> None:
    dashboard = dashboard_of(api, dataset_of(api, 3))
    page = opened(f'/dashboards/{dashboard}', viewport=PHONE)
    puts: list[str] = []
    page.on('request', lambda request: puts.append(request.url) if request.method == 'PUT' else None)
    ready(page)
    places = page.locator('.panel').evaluate_all('all => all.map(one => [one.id, one.getBoundingClientRect().top])')
    assert [name for name, _ in sorted(places, key=lambda one: one[1])] == ['p0', 'p1', 'p2', 'p3']
    assert page.evaluate('document.documentElement.scrollWidth') == PHONE['width']
    assert barred(page) == []
    page.set_viewport_size(WIDE)
    expect(page.locator('.grid-stack-item')).to_have_count(4)
    page.set_viewport_size(PHONE)
    expect(page.locator('.board-cell')).to_have_count(4)
    ready(page)
    assert puts == []


def test_the_crosshair_is_shared(api: httpx.Client, opened: Opened) -> None:
    page = opened(f'/dashboards/{dashboard_of(api, dataset_of(api, 3))}')
    ready(page)
    before = page.locator('[data-panel="p1"] .panel-legend').inner_text()
    over = page.locator('[data-panel="p0"] .u-over')
    over.hover(position={'x': 60, 'y': 40})
    expect(page.locator('[data-panel="p1"] .panel-legend')).not_to_have_text(before, use_inner_text=True)
    read = page.locator('[data-panel="p1"] .panel-legend').inner_text()
    for panel in ('p0', 'p2'):
        expect(page.locator(f'[data-panel="{panel}"] .panel-legend')).to_have_text(read, use_inner_text=True)
    # A pointer that leaves one panel for the next within a frame is told of as it stands now.
    page.locator('[data-panel="p2"] .u-over').hover(position={'x': 90, 'y': 40})
    for panel in ('p0', 'p1', 'p2'):
        legend = page.locator(f'[data-panel="{panel}"] .panel-legend')
        expect(legend).not_to_have_text(read, use_inner_text=True)
        expect(legend).not_to_have_text(before, use_inner_text=True)


@ALONE
def test_the_list_names_copies_takes_away_and_brings_back(api: httpx.Client, opened: Opened) -> None:
    dashboard_of(api, dataset_of(api, 3))
    page = opened('/dashboards')
    rows = page.get_by_role('table', name='Dashboards').locator('tbody tr')
    expect(rows).to_have_count(1)
    assert barred(page) == []
    page.get_by_role('button', name='Show in the rail').click()
    pinned = page.get_by_role('navigation', name='Main').get_by_role('link', name='Grid')
    expect(pinned).to_be_visible()
    page.get_by_role('button', name='More of Grid').click()
    page.get_by_role('menuitem', name='Rename').click()
    page.get_by_role('textbox', name='Name').fill('Power')
    page.get_by_role('button', name='Rename', exact=True).click()
    expect(page.get_by_role('navigation', name='Main').get_by_role('link', name='Power')).to_be_visible()
    page.get_by_role('button', name='More of Power').click()
    page.get_by_role('menuitem', name='Duplicate').click()
    expect(rows).to_have_count(2)
    page.get_by_role('button', name='More of Power (copy)').click()
    page.get_by_role('menuitem', name='Delete').click()
    expect(rows).to_have_count(1)
    page.get_by_role('button', name='Undo', exact=True).click()
    expect(rows).to_have_count(2)
    page.set_viewport_size(PHONE)
    assert page.evaluate('document.documentElement.scrollWidth') == PHONE['width']
    assert barred(page) == []


@pytest.mark.parametrize(('key', 'measure'), [('constructor', '__proto__'), ('__proto__', 'toString')])
def test_columns_that_are_called_as_what_objects_have(
    api: httpx.Client, opened: Opened, key: str, measure: str
) -> None:
    data = readings(3).replace(b'time,site,load', f'time,{key},{measure}'.encode())
    sent = patch(api, begin(api, 'named.csv', len(data)), data)
    finished(api)
    dataset = sent.headers['variosync-dataset']
    made = api.post('/api/v1/dashboards', json={'dataset': dataset}).json()
    page = opened(f'/dashboards/{made["id"]}?by.{key}=Oslo')
    ready(page)
    bar = page.get_by_role('toolbar', name='Variables')
    bar.get_by_role('button', name=f'{key}: Oslo').click()
    picker = page.get_by_role('dialog', name=key)
    expect(picker.get_by_role('checkbox')).to_have_count(3)
    picker.get_by_role('checkbox', name='Bergen').check()
    expect(bar.get_by_role('button', name=f'{key}: Oslo, Bergen')).to_be_visible()
    page.goto(f'/explore?dataset={dataset}')
    expect(page.locator('.explore[data-ready="1"]')).to_be_visible()
    assert page.locator('.panel-message:visible').count() == 0


@pytest.fixture
def held() -> list[Route]:
    """Where `hold` keeps what a page sends."""
    return []


def hold(page: Page, held: list[Route], dashboard: str) -> None:
    """Keep the first state that the page saves on its way, after a change that makes one and another one behind it."""

    def first(route: Route) -> None:
        if route.request.method == 'PUT' and not held:
            held.append(route)
        else:
            route.continue_()

    page.route(f'**/api/v1/dashboards/{dashboard}', first)
    page.locator('[data-panel="p0"] .panel-stage').focus()
    with page.expect_request(lambda request: request.method == 'PUT'):
        page.keyboard.press('Control+Shift+ArrowDown')
    assert page.locator('.board').get_attribute('data-saved') == '0', 'what is on its way is not there yet'
    page.keyboard.press('Control+Shift+ArrowDown')


def test_a_change_made_while_another_is_on_its_way_is_not_lost_by_leaving(
    api: httpx.Client, opened: Opened, held: list[Route]
) -> None:
    dashboard = dashboard_of(api, dataset_of(api, 3))
    page = opened(f'/dashboards/{dashboard}')
    ready(page)
    hold(page, held, dashboard)
    assert page.evaluate(LEAVING) is True
    held[0].continue_()
    saved(page, 3)
    assert page.evaluate(LEAVING) is False
    assert order(api, dashboard)[0] == ('p0', 0, 0, 4, 6)


@pytest.mark.parametrize('status', [401, 429])
def test_a_save_that_is_refused_for_now_is_not_lost(api: httpx.Client, opened: Opened, status: int) -> None:
    dashboard = dashboard_of(api, dataset_of(api, 3))
    page = opened(f'/dashboards/{dashboard}', forgiving=True)
    ready(page)
    answers = [status]

    def refused_once(route: Route) -> None:
        if route.request.method == 'PUT' and answers:
            route.fulfill(status=answers.pop(), json={'detail': 'Not now.'})
        else:
            route.continue_()

    page.route(f'**/api/v1/dashboards/{dashboard}', refused_once)
    page.locator('[data-panel="p0"] .panel-stage').focus()
    page.keyboard.press('Control+Shift+ArrowDown')
    expect(page.locator('.board-note')).to_contain_text('could not be saved: Not now.')
    expect(page.locator('.board[data-saved="0"]')).to_be_attached()
    # It is tried again by itself.
    expect(page.locator('.board[data-saved="1"]')).to_be_attached()
    expect(page.locator('.board-note')).to_be_hidden()
    assert order(api, dashboard)[0] != ('p0', 0, 0, 4, 6)


def test_what_a_page_took_with_it_is_offered_when_it_is_opened_again(
    api: httpx.Client, opened: Opened, held: list[Route]
) -> None:
    dashboard = dashboard_of(api, dataset_of(api, 3))
    page = opened(f'/dashboards/{dashboard}', alone=True)
    ready(page)
    hold(page, held, dashboard)
    # As a phone does: nobody is asked, and what follows the first state is never sent.
    page.evaluate('() => dispatchEvent(new PageTransitionEvent("pagehide"))')
    kept = page.evaluate('() => JSON.stringify(localStorage)')
    page.close(run_before_unload=False)
    again = opened(f'/dashboards/{dashboard}')
    again.evaluate('kept => Object.assign(localStorage, JSON.parse(kept))', kept)
    again.reload()
    ready(again)
    assert order(api, dashboard)[0] != ('p0', 0, 0, 4, 6)
    expect(again.locator('.board-note')).to_contain_text('was not saved')
    again.get_by_role('button', name='Bring it back').click()
    expect(again.locator('.board[data-saved="1"]')).to_be_attached()
    assert order(api, dashboard)[0] == ('p0', 0, 0, 4, 6)
    expect(again.locator('.board-note')).to_be_hidden()
    again.reload()
    ready(again)
    expect(again.locator('.board-note')).to_be_hidden()


def test_a_panel_that_was_added_is_undone_and_so_is_what_was_changed_before_a_reload(
    api: httpx.Client, opened: Opened
) -> None:
    dashboard = dashboard_of(api, dataset_of(api, 3))
    page = opened(f'/dashboards/{dashboard}')
    board = ready(page)
    page.get_by_role('link', name='Add panel').click()
    explored(page)
    page.get_by_role('button', name='Add to dashboard').click()
    expect(board).to_have_attribute('data-panels', '5')
    ready(page)
    page.keyboard.press('Control+z')
    expect(board).to_have_attribute('data-panels', '4')
    saved(page, 3)
    page.get_by_role('button', name='Menu of Panel 1').click()
    page.get_by_role('menuitem', name='Remove').click()
    saved(page, 4)
    page.reload()
    ready(page)
    page.keyboard.press('Control+z')
    expect(page.locator('[data-panel="p1"]')).to_be_visible()
    saved(page, 5)
    assert len(order(api, dashboard)) == 4


def test_edit_waits_for_all_that_was_changed(api: httpx.Client, opened: Opened, held: list[Route]) -> None:
    dashboard = dashboard_of(api, dataset_of(api, 3))
    page = opened(f'/dashboards/{dashboard}')
    ready(page)
    hold(page, held, dashboard)
    page.get_by_role('button', name='Menu of Panel 0').click()
    page.get_by_role('menuitem', name='Edit').click()
    held[0].continue_()
    explored(page)
    assert order(api, dashboard)[0] == ('p0', 0, 0, 4, 6)


def test_what_nobody_waits_for_any_more_is_let_go(api: httpx.Client, opened: Opened) -> None:
    panel = {'id': 'p0', 'kind': 'line', 'dataset': dataset_of(api), 'query': {'measures': ['load']}}
    made = api.post('/api/v1/dashboards', json={'name': 'One', 'spec': {'panels': [panel]}}).json()
    page = opened(f'/dashboards/{made["id"]}', forgiving=True)
    ready(page)
    held: list[Route] = []
    page.route('**/query?**', lambda route: route.continue_() if held else held.append(route))
    page.locator('[data-panel="p0"] .panel-stage').focus()
    with page.expect_request('**/query?**'):
        page.keyboard.press('+')
    with page.expect_event('requestfailed', lambda request: request.url == held[0].request.url):
        page.keyboard.press('+')
    ready(page)
    expect(page.locator('.panel-message')).to_be_hidden()


# Keys that come in one breath, and what the page has done with them when no movement waits any more.
PRESSED = """async ([panel, ...keys]) => {
    const stage = document.querySelector(`[data-panel="${panel}"] .panel-stage`);
    for (const key of keys) {
        if (key === 'theme') document.documentElement.dataset.theme = 'dark';
        else stage.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
        await null;
    }
    await new Promise((done) => setTimeout(done, 40));  // LATER of panel.js: timers of the same time keep their order
    return ['from', 'to'].map((end) => Number(new URLSearchParams(location.search).get(end)));
}"""


def test_keys_go_on_from_one_another_and_a_board_is_not_ready_before_their_answer(
    api: httpx.Client, opened: Opened
) -> None:
    panel = {'id': 'p0', 'kind': 'line', 'dataset': dataset_of(api), 'query': {'measures': ['load']}}
    made = api.post('/api/v1/dashboards', json={'name': 'One', 'spec': {'panels': [panel]}}).json()
    page = opened(f'/dashboards/{made["id"]}')
    ready(page)
    assert page.evaluate(PRESSED, ['p0', '+', '0']) == [0, 0], 'what was to come before all is shown is dropped'
    held: list[Route] = []
    page.route('**/query?**', lambda route: held.append(route))
    # A chart that is drawn anew meanwhile, here for its colours, does not forget where it was going.
    with page.expect_request('**/query?**'):
        start, end = page.evaluate(PRESSED, ['p0', '+', 'theme', '+'])
    assert end - start == pytest.approx((14 * 24 - 1) * 3_600_000 / 4, abs=2)
    expect(page.locator('.board[data-ready="0"]')).to_be_attached()
    page.unroute('**/query?**')  # and what is held goes on
    ready(page)


# How wide the lines of a panel are drawn, after some frames in which it is hidden.
HIDDEN = """async (panel) => {
    const one = document.querySelector(`[data-panel="${panel}"]`);
    const frame = () => new Promise(requestAnimationFrame);
    one.style.display = 'none';
    for (let at = 0; at < 3; at++) await frame();
    return one.querySelector('canvas').width;
}"""


def test_a_panel_that_is_hidden_is_not_drawn_anew(api: httpx.Client, opened: Opened) -> None:
    panel = {'id': 'p0', 'kind': 'line', 'dataset': dataset_of(api), 'query': {'measures': ['load']}}
    made = api.post('/api/v1/dashboards', json={'name': 'One', 'spec': {'panels': [panel]}}).json()
    page = opened(f'/dashboards/{made["id"]}')
    ready(page)
    width = page.locator('[data-panel="p0"] canvas').evaluate('(canvas) => canvas.width')
    assert page.evaluate(HIDDEN, 'p0') == width


def test_a_name_changed_elsewhere_shows_here_and_a_page_loaded_anew_is_nobody_else(
    api: httpx.Client, opened: Opened
) -> None:
    dashboard = dashboard_of(api, dataset_of(api, 3))
    page = opened(f'/dashboards/{dashboard}')
    expect(page.locator('.pill.hours')).to_be_visible()
    page.reload()
    expect(page.locator('.pill.hours')).to_be_visible()
    expect(page.locator('[data-here="1"]')).to_be_attached()
    assert api.patch(f'/api/v1/dashboards/{dashboard}', json={'name': 'Of the north'}).status_code == 200
    expect(page.get_by_role('textbox', name='Name of the dashboard')).to_have_value('Of the north')
    expect(page.locator('.crumbs [aria-current="page"]')).to_have_text('Of the north')
    expect(page).to_have_title('Of the north · VARIOSYNC')
    api.delete(f'/api/v1/dashboards/{dashboard}')
    expect(page.locator('.board-note')).to_contain_text('was deleted elsewhere')


def test_a_range_of_days_is_one_of_whole_days(api: httpx.Client, opened: Opened) -> None:
    rows = '\n'.join(f'2026-01-{day:02},{day * day % 17}' for day in range(1, 29))
    data = f'date,load\n{rows}\n'.encode()
    sent = patch(api, begin(api, 'days.csv', len(data)), data)
    finished(api)
    panel = {'id': 'p0', 'kind': 'line', 'dataset': sent.headers['variosync-dataset'], 'query': {'measures': ['load']}}
    made = api.post('/api/v1/dashboards', json={'name': 'Days', 'spec': {'panels': [panel]}}).json()
    page = opened(f'/dashboards/{made["id"]}')
    ready(page)
    page.locator('[data-panel="p0"] .panel-stage').focus()

    def shown() -> tuple[float, float]:
        asked = parse_qs(urlparse(page.url).query)
        return tuple(float(asked[end][0]) / 86_400_000 for end in ('from', 'to'))

    def press(key: str) -> tuple[float, float]:
        before = page.url
        page.keyboard.press(key)
        page.wait_for_url(lambda url: url != before)
        start, end = shown()
        assert start == int(start)
        assert end == int(end)
        assert end > start
        return start, end

    for key in ('+', '+', '+', 'ArrowRight', 'ArrowRight', 'ArrowLeft', '-', '+'):
        start, end = press(key)
    ready(page)
    page.route('**/query?**', lambda route: None)  # a step goes on from what was chosen, drawn or not
    for key, to in [*[('ArrowRight', 1)] * 6, *[('ArrowLeft', -1)] * 2]:
        asked = press(key)
        assert (asked[0] - start) * to >= 1
        assert asked[1] - asked[0] == end - start
        start, end = asked
    page.unroute_all(behavior='ignoreErrors')
    page.reload()
    ready(page)


@ALONE
def test_a_dataset_is_renamed_by_typing_and_enter(api: httpx.Client, opened: Opened) -> None:
    dataset = dataset_of(api, 3)
    page = opened(f'/datasets/{dataset}')
    page.get_by_role('button', name='More', exact=True).click()
    page.get_by_role('menuitem', name='Rename').click()
    expect(page.get_by_role('dialog').get_by_role('textbox', name='Name')).to_be_focused()
    page.keyboard.press('Control+a')
    page.keyboard.type('Load of the north')
    page.keyboard.press('Enter')
    expect(page.get_by_role('heading', name='Load of the north')).to_be_visible()
    assert api.get(f'/api/v1/datasets/{dataset}').json()['name'] == 'Load of the north'


def test_panels_stand_where_the_grid_will_find_them(api: httpx.Client, opened: Opened) -> None:
    dashboard = dashboard_of(api, dataset_of(api, 3))
    page = opened(AHEAD)
    held: list[Route] = []
    page.route('**/gridstack*', lambda route: held.append(route))
    with page.expect_request('**/gridstack*'):
        page.goto(f'/dashboards/{dashboard}', wait_until='commit')
    ready(page)
    boxes = [cell.bounding_box() for cell in page.locator('.grid-stack-item').all()]
    page.keyboard.press('Shift+Tab')  # no panel has the focus
    held[0].continue_()
    expect(page.locator('.grid-stack-item .ui-resizable-se')).to_have_count(len(boxes))
    assert [cell.bounding_box() for cell in page.locator('.grid-stack-item').all()] == boxes
    assert page.locator('[data-panel="p0"]').get_attribute('data-fetches') == '1'


def test_a_panel_is_resized_by_hand(api: httpx.Client, opened: Opened) -> None:
    dashboard = dashboard_of(api, dataset_of(api, 3), panels=1)
    page = opened(f'/dashboards/{dashboard}')
    ready(page)
    cell = page.locator('.grid-stack-item', has=page.locator('[data-panel="p0"]'))
    box = cell.bounding_box()
    assert box
    expect(cell.locator('.ui-resizable-se')).to_be_attached()
    cell.hover()
    expect(cell.locator('.ui-resizable-se')).to_be_visible()
    corner = cell.locator('.ui-resizable-se').bounding_box()
    assert corner
    page.mouse.move(corner['x'] + corner['width'] / 2, corner['y'] + corner['height'] / 2)
    page.mouse.down()
    page.mouse.move(corner['x'] + 2 * box['width'] / 4, corner['y'] + box['height'] / 4, steps=8)
    page.mouse.up()
    saved(page, 2)
    ((_, _, _, wide, tall),) = [one for one in order(api, dashboard) if one[0] == 'p0']
    assert (wide, tall) == (6, 5)


def test_a_step_aside_is_there_before_it_is_asked_for(api: httpx.Client, opened: Opened) -> None:
    panel = {'id': 'p0', 'kind': 'line', 'dataset': dataset_of(api), 'query': {'measures': ['load']}}
    made = api.post('/api/v1/dashboards', json={'name': 'One', 'spec': {'panels': [panel]}}).json()
    page = opened(AHEAD, forgiving=True)
    asked: list[str] = []

    def both(request: Request) -> bool:
        """What is shown, and what lies to the left of it; to the right there is nothing."""
        if '/query?' in request.url:
            asked.append(request.url)
        return len(asked) == 2

    with page.expect_event('requestfinished', both):
        page.goto(f'/dashboards/{made["id"]}?last=P3D')
    ready(page)
    page.route('**/query?**', lambda route: route.abort())
    page.locator('[data-panel="p0"] .panel-stage').focus()
    page.keyboard.press('ArrowLeft')
    expect(page.locator('[data-panel="p0"][data-fetches="2"]')).to_be_attached()
    assert f'from={parse_qs(urlparse(page.url).query)["from"][0]}&' in asked[1]
    expect(page.locator('.panel-message')).to_be_hidden()


def test_what_is_on_its_way_is_not_asked_for_again(api: httpx.Client, opened: Opened) -> None:
    panel = {'id': 'p0', 'kind': 'line', 'dataset': dataset_of(api), 'query': {'measures': ['load']}}
    made = api.post('/api/v1/dashboards', json={'name': 'One', 'spec': {'panels': [panel]}}).json()
    page = opened(AHEAD)
    held: list[Route] = []
    page.route('**/query?**', lambda route: held.append(route))
    with page.expect_request('**/query?**'):
        page.goto(f'/dashboards/{made["id"]}', wait_until='commit')
    # A panel that has its place looks at its width once more; timers of the same time keep their order.
    page.evaluate('() => new Promise((done) => requestAnimationFrame(() => setTimeout(setTimeout, 20, done, 160)))')
    assert len(held) == 1
    held[0].continue_()
    ready(page)
    assert page.locator('[data-panel="p0"]').get_attribute('data-fetches') == '1'


def test_a_large_change_asks_before_the_page_is_left(api: httpx.Client, opened: Opened) -> None:
    notes = [{'id': f'n{at}', 'kind': 'note', 'y': at * 4, 'show': {'text': 'é' * 5000}} for at in range(7)]
    made = api.post('/api/v1/dashboards', json={'name': 'Notes', 'spec': {'panels': notes}}).json()
    page = opened(f'/dashboards/{made["id"]}')
    ready(page)
    assert page.evaluate(LEAVING) is False
    page.locator('#n0').get_by_role('button', name='Menu').click()
    page.get_by_role('menuitem', name='Duplicate').click()
    assert page.evaluate(LEAVING) is True
    saved(page, 2)
    assert page.evaluate(LEAVING) is False


def test_a_dashboard_stands_before_the_scripts_of_the_framework_have_come(api: httpx.Client, opened: Opened) -> None:
    dashboard = dashboard_of(api, dataset_of(api))
    page = opened(AHEAD)
    held: list[Route] = []
    page.route('**/static/nicegui.js', lambda route: held.append(route))
    page.goto(f'/dashboards/{dashboard}', wait_until='commit')
    ready(page)
    assert page.evaluate('() => window.socket === undefined')
    title = page.get_by_role('textbox', name='Name of the dashboard')
    title.fill('Renamed while the socket is away')
    with page.expect_response(lambda answer: answer.request.method == 'PATCH'):
        title.press('Enter')
    expect(page.locator('.board canvas')).to_have_count(3)
    held[0].continue_()
    expect(page.locator('.pill.hours')).to_have_attribute('data-state', 'running')
    assert api.get(f'/api/v1/dashboards/{dashboard}').json()['name'] == 'Renamed while the socket is away'
    assert page.locator('.board[data-ready="1"]').evaluate('board => board.dataset.panels') == '4'


def test_a_dashboard_goes_on_alone_when_the_framework_does_not_come(api: httpx.Client, opened: Opened) -> None:
    dashboard = dashboard_of(api, dataset_of(api))
    page = opened(AHEAD, forgiving=True)
    page.route('**/static/vue*', lambda route: route.abort())
    page.goto(f'/dashboards/{dashboard}', wait_until='commit')
    ready(page)
    expect(page.locator('[data-live="0"]')).to_have_text('Not live')
    expect(page.locator('.nicegui-error-popup:visible')).to_have_count(0)
    page.locator('[data-panel="p0"] .panel-stage').focus()
    page.keyboard.press('+')
    expect(page.locator('[data-panel="p0"][data-fetches="2"]')).to_be_attached()


def test_a_link_to_the_view_is_copied_and_said_to_be(api: httpx.Client, opened: Opened) -> None:
    dashboard = dashboard_of(api, dataset_of(api))
    page = opened(f'/dashboards/{dashboard}')
    page.context.grant_permissions(['clipboard-read', 'clipboard-write'])
    ready(page)
    page.get_by_role('button', name='Share').click()
    expect(page.get_by_role('status').filter(has_text='Link to this view copied')).to_be_visible()
    assert page.evaluate('navigator.clipboard.readText()') == page.url


def test_a_page_older_than_its_server_is_loaded_anew_once(api: httpx.Client, opened: Opened) -> None:
    """The files of the release before are gone: first from the server, then from a page that says so each time."""
    dashboard = dashboard_of(api, dataset_of(api))
    page = opened(AHEAD, forgiving=True)
    gone, asked = {'count': 1}, []

    def answer(route: Route) -> None:
        asked.append(route.request.method)
        if gone['count'] <= 0:
            route.continue_()
            return
        gone['count'] -= route.request.method == 'HEAD'
        route.fulfill(status=404)

    page.route('**/static/vendor/panels-*', answer)
    page.goto(f'/dashboards/{dashboard}', wait_until='commit')
    ready(page)
    assert asked.count('HEAD') == 1
    gone['count'] = 100
    with page.expect_response(lambda answer: '/panels-' in answer.url and answer.status == 404):
        page.reload(wait_until='commit')
    page.wait_for_load_state()
    page.evaluate("fetch('/health')")
    assert asked.count('HEAD') == 1


@ALONE
def test_a_theme_chosen_in_the_top_bar_is_kept_by_the_account(api: httpx.Client, opened: Opened) -> None:
    page = opened('/dashboards')
    page.get_by_role('button', name='Theme', exact=True).click()
    with page.expect_response('**/api/v1/settings') as kept:
        page.get_by_role('menuitemradio', name='Dark').click()
    assert kept.value.ok
    expect(page.locator('html')).to_have_attribute('data-theme', 'dark')
    assert api.get('/api/v1/settings').json()['theme'] == 'dark'
