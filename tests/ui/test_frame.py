"""The frame around a page, as its user meets it."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from nicegui import ui
from nicegui.testing import User, user_simulation

from core.errors import Conflict
from core.jobs import Standing
from core.settings import Settings
from core.values import JobState, Preferences, Session
from tests.ui.doubles import Services
from tests.ui.site import until
from ui.app import mount
from ui.components import toast as toasts
from ui.components.palette import Entry
from ui.components.parts import badge, button, card, chip, page_head, segment, tabs, tag
from ui.components.states import empty_state, error_state, skeleton_rows
from ui.components.table import Column, table
from ui.components.toast import MOST, toast
from ui.live import follow
from ui.session import COOKIE, confirm, current
from ui.theme import PAGES as THEIR_PAGES
from ui.theme import SHORTCUTS, frame

ACTIONS = (
    'Upload data', 'New dashboard', 'New forecast', 'Light theme', 'Dark theme', 'System theme', 'Download everything',
    'Sign out',
)  # fmt: skip
PAGES = (
    'Home', 'Datasets', 'Dashboards', 'Explore', 'Forecasts', 'Jobs', 'Billing', 'Settings', 'Track record', 'Notices',
    'API keys', 'Sessions', 'Audit log',
)  # fmt: skip
EVIL = '<img src=x onerror=alert(1)>'
STATIC = Path(__file__).parent.parent.parent / 'ui/static'


@dataclass
class Room:
    user: User
    services: Services
    session: Session
    token: str

    def css(self, selector: str) -> list[ui.element]:
        """Elements of the page with a class."""
        return [element for element in self.user._client.elements.values() if selector in element.classes]

    def toggle(self, popover: str, state: str) -> None:
        """Tell that the browser has opened or closed a popover."""
        element = next(e for e in self.user._client.elements.values() if e.props.get('id') == popover)
        listener = next(one for one in element._event_listeners.values() if one.type == 'toggle')
        element._handle_event({'listener_id': listener.id, 'args': {'newState': state}})

    async def markup(self, path: str) -> str:
        """What the browser is sent."""
        return (await self.user.http_client.get(path)).text


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    async with user_simulation() as user:
        services = Services(Settings(VARIOSYNC_PUBLIC_URL='http://test'))
        token, session = services.accounts.open('maria.keller@example.com')
        mount(services)
        user.http_client.cookies.set(COOKIE, token)
        yield Room(user, services, session, token)


async def test_the_frame_says_where_one_is(room: Room) -> None:
    @ui.page('/probe-dataset')
    def page() -> None:
        with frame(room.services, ('Datasets', '/datasets'), EVIL, active='/datasets') as session:
            page_head(EVIL, '3 rows', actions=lambda: button('Forecast', kind='pri', icon_name='chart-spline'))
            assert session == current() == room.session

    await room.user.open('/probe-dataset')
    await room.user.should_see('3 rows')
    assert room.user._client.title == f'{EVIL} · VARIOSYNC'
    text = await room.markup('/probe-dataset')
    assert re.findall(r'<a href="([^"]+)"[^>]* aria-current="page"', text) == ['/datasets']
    trail = text.partition('aria-label="Breadcrumb"')[2].partition('</nav>')[0]
    assert '<a class="wide-only cut" href="/datasets">Datasets</a>' in trail
    assert f'<b class="cut" aria-current="page">{escape(EVIL)}</b>' in trail


async def test_the_rail_counts_as_the_account_writes_numbers(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    async def rail(user_id: UUID) -> Mapping[str, Any]:
        return {'datasets': 5002, 'dashboards': 0, 'pinned': [{'id': '1', 'name': 'Load'}]}

    monkeypatch.setattr(room.services.dashboards, 'rail', rail)
    told = (await room.user.http_client.get('/api/v1/rail')).json()
    assert told == {'datasets': '5,002', 'dashboards': 0, 'pinned': [{'id': '1', 'name': 'Load'}]}


async def test_a_user_s_words_never_become_markup(room: Room) -> None:
    room.services.datasets.add(room.session.user.id, EVIL, 3)

    @ui.page('/x')
    def page() -> None:
        with frame(room.services, EVIL, active='/'):
            page_head(EVIL, EVIL)
            with card(EVIL, EVIL):
                badge(EVIL)
                chip(EVIL)
                empty_state(EVIL, EVIL, hint=EVIL)
                error_state(EVIL, EVIL, rows={EVIL: EVIL}, number=EVIL)
                table([Column(label=EVIL, cell=str)], [EVIL], href=lambda _: '/')

    await room.user.open('/x')
    text = (await room.user.http_client.get('/x')).text
    assert EVIL not in text
    raw = [element.props.get('innerHTML', '') for element in room.user._client.elements.values()]
    assert not any('onerror' in markup for markup in raw)


async def test_every_button_has_a_name(room: Room) -> None:
    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/'):
            error_state('It stopped', 'At 68%', number='up-1')

    await room.user.open('/x')
    buttons = [element for element in room.user._client.elements.values() if element.tag in ('button', 'a')]
    assert len(buttons) > 2
    for element in buttons:
        words = [getattr(part, 'text', '') for part in [element, *element.descendants()]]
        assert element.props.get('aria-label') or any(words), element
    standing = re.findall(
        r'<(a|button)\b([^>]*)>(.*?)</\1>', (await room.markup('/x')).partition('</head>')[2], re.DOTALL
    )
    assert len(standing) > 20
    for name, attributes, within in standing:
        assert 'aria-label="' in attributes or re.sub(r'<[^>]+>', '', within).strip(), (name, attributes)


def test_the_list_of_shortcuts_is_what_the_page_listens_to() -> None:
    script = (STATIC / 'app.js').read_text()
    heard = dict(re.findall(r"(\w): '(/[^']*)'", script.partition('const GO = {')[2].partition('}')[0]))
    pages = {label: path for label, path, _, _ in THEIR_PAGES} | {'Notices': '/notices'}
    listed = {keys.split()[1].lower(): pages[label] for label, keys in dict(SHORTCUTS)['Go to']}
    assert listed == heard
    assert all(keys.split()[1] in heard for _, _, _, keys in THEIR_PAGES)


@pytest.mark.parametrize(
    ('browser', 'shown', 'key'),
    [
        ('Mozilla/5.0 (X11; Linux x86_64)', 'Ctrl K', '<span class="kbd">Ctrl</span><span class="kbd">Z</span>'),
        ('Mozilla/5.0 (Macintosh)', '⌘K', '<span class="kbd">⌘</span><span class="kbd">Z</span>'),
    ],
)
async def test_keys_are_named_as_on_the_user_s_keyboard(room: Room, browser: str, shown: str, key: str) -> None:
    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/'):
            tag('p', 'content')

    room.user.http_client.headers['User-Agent'] = browser
    text = await room.markup('/x')
    assert f'>{shown}</span>' in text
    assert key in text


def test_whatever_redoes_is_listed_for_dashboards_and_explore() -> None:
    listed = dict(SHORTCUTS)['On a dashboard and in Explore']
    assert [keys for label, keys in listed if label == 'Redo'] == ['mod ⇧ Z', 'mod Y']


async def test_notices_are_listed_and_told_at_once(room: Room) -> None:
    user_id = room.session.user.id
    await room.services.notices.add(user_id, 'Conversion done', text='airline.csv')

    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/'):
            tag('p', 'content')

    await room.user.open('/x')
    await room.user.should_see('Conversion done')
    await room.services.notices.add(user_id, 'Forecast issued', text='28 days', link='/forecasts/1')
    await until(lambda: room.css('toast'))
    assert [element.text for element in room.css('toast')[0].descendants() if getattr(element, 'text', '')] == [
        'Forecast issued', '28 days', 'Open',
    ]  # fmt: skip
    await until(lambda: len(room.css('notice')) == 2)
    (count,) = room.css('count')
    assert count.text == '2'
    room.toggle('notices', 'open')
    await until(lambda: count.style['display'] == 'none')
    assert await room.services.notices.unread(user_id) == 0
    assert len(room.css('new')) == 2  # what came since stays marked as long as one reads
    room.toggle('notices', 'closed')
    await until(lambda: not room.css('new'))


async def test_a_page_is_not_offered_to_who_stands_on_it(room: Room) -> None:
    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/'):
            tag('p', 'content')

    await room.user.open('/x')
    await until(lambda: room.services.events.queues.get(f'{room.session.user.id}/notices'))
    await room.services.notices.add(room.session.user.id, 'Convert x.csv: done', link='/x?tab=faults')
    await until(lambda: room.css('toast'))
    texts = [element.text for element in room.css('toast')[0].descendants() if getattr(element, 'text', '')]
    assert texts == ['Convert x.csv: done']


async def test_whoever_opens_what_a_notice_tells_of_has_read_it(room: Room) -> None:
    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/'):
            tag('p', 'content')

    for link in ('/x?tab=faults', '/y'):
        await room.services.notices.add(room.session.user.id, 'Convert x.csv: done', link=link)
    await room.user.open('/x')
    await until(lambda: [count.text for count in room.css('count')] == ['1'])
    (left,) = await room.services.notices.latest(room.session.user.id, unread=True)
    assert left.link == '/y'


class Conversions:
    """The newest conversion of each dataset."""

    def __init__(self) -> None:
        self.stand: dict[UUID, Standing] = {}

    async def states(self, user_id: UUID, ids: Collection[UUID]) -> Mapping[UUID, Standing]:
        return {one: self.stand[one] for one in ids if one in self.stand}


@pytest.mark.parametrize('where', ['/x', '/notices'])
async def test_a_failure_that_was_corrected_since_is_settled(room: Room, where: str) -> None:
    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/'):
            tag('p', 'content')

    conversions = room.services.jobs = Conversions()
    corrected, broken = uuid4(), uuid4()
    conversions.stand[corrected] = Standing(state=JobState.SUCCEEDED)
    conversions.stand[broken] = Standing(state=JobState.SUCCEEDED, outside=1)  # another file of it came in
    for dataset, why in ((corrected, 'No time.'), (broken, 'No number.')):
        await room.services.notices.add(
            room.session.user.id, 'Convert: failed', text=why, level='bad', link=f'/datasets/{dataset}'
        )
    await room.user.open(where)
    await room.user.should_see('Corrected since.')
    await room.user.should_see('No number.')
    await until(lambda: [count.text for count in room.css('count')] == ['1'])
    assert 'No time.' not in [getattr(element, 'text', '') for element in room.user._client.elements.values()]
    (left,) = await room.services.notices.latest(room.session.user.id, unread=True)
    assert left.text == 'No number.'


async def test_the_bell_reads_what_it_lists_and_counts_what_is_left(room: Room) -> None:
    user_id = room.session.user.id

    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/'):
            tag('p', 'content')

    for number in range(26):
        await room.services.notices.add(user_id, f'{number}')
    await room.user.open('/x')
    await until(lambda: [count.text for count in room.css('count')] == ['26'])
    room.toggle('notices', 'open')
    await until(lambda: [count.text for count in room.css('count')] == ['6'])
    left = await room.services.notices.latest(user_id, limit=26, unread=True)
    assert [notice.title for notice in left] == ['5', '4', '3', '2', '1', '0']


async def test_what_comes_while_the_bell_reads_its_list_is_shown_as_new(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id, notices = room.session.user.id, room.services.notices

    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/'):
            tag('p', 'content')

    for title in ('Listed', 'Late'):
        await notices.add(user_id, title)
    late = [notices.kept.pop(0)]
    await room.user.open('/x')
    await until(lambda: [count.text for count in room.css('count')] == ['1'])
    count = notices.unread

    async def unread(user_id: UUID) -> int:
        """Another one comes between the list and the count."""
        notices.kept[:0] = late
        late.clear()
        return await count(user_id)

    monkeypatch.setattr(notices, 'unread', unread)
    room.toggle('notices', 'open')
    await until(lambda: len(room.css('notice')) == 2)
    assert len(room.css('new')) == 2


async def test_the_bell_counts_to_99(room: Room) -> None:
    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/'):
            tag('p', 'content')

    for number in range(100):
        await room.services.notices.add(room.session.user.id, f'{number}')
    await room.user.open('/x')
    await until(lambda: [count.text for count in room.css('count')] == ['99+'])
    assert len(room.css('notice')) == 20
    assert any(e.props.get('aria-label') == 'Notices, 100 unread' for e in room.user._client.elements.values())


async def test_what_failed_while_nobody_looked_is_told_once(room: Room) -> None:
    user_id = room.session.user.id

    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/'):
            tag('p', 'content')

    await room.services.notices.add(user_id, 'Conversion done', level='good')
    await room.services.notices.add(user_id, 'Forecast failed', level='bad', link='/forecasts/1')
    await room.user.open('/x')
    await until(lambda: room.css('toast'))
    (note,) = room.css('toast')
    assert [element.text for element in note.descendants() if getattr(element, 'text', '')] == [
        'Forecast failed', 'Open',
    ]  # fmt: skip
    await room.user.open('/x')
    await until(lambda: len(room.css('notice')) == 2)
    assert not room.css('toast')


async def test_more_than_one_failure_is_one_toast(room: Room) -> None:
    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/'):
            tag('p', 'content')

    for title in ('Conversion failed', '24 min left', 'Forecast failed'):
        await room.services.notices.add(room.session.user.id, title, level='warn')
    await room.user.open('/x')
    await until(lambda: room.css('toast'))
    (note,) = room.css('toast')
    assert [element.text for element in note.descendants() if getattr(element, 'text', '')] == [
        'While you were away', 'The latest: Forecast failed. And 2 more.', 'All notices',
    ]  # fmt: skip


async def test_the_theme_of_the_account_comes_first(room: Room) -> None:
    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/'):
            tag('p', 'content')

    token, _ = room.services.accounts.open('night@example.com', preferences=Preferences(theme='dark'))
    room.user.http_client.cookies.set(COOKIE, token)
    text = (await room.user.http_client.get('/x')).text
    # Behind the sheet it would hold back what is read of the page.
    assert text.index('window.variosyncTheme =') < text.index("variosyncTheme('dark')") < text.index('rel="stylesheet"')


async def test_an_error_of_ours_in_a_handler_becomes_a_toast(room: Room) -> None:
    @ui.page('/x')
    def page() -> None:
        def fail() -> None:
            raise Conflict('This dataset was renamed meanwhile. Reload the page.')

        with frame(room.services, 'Home', active='/'):
            button('Rename', on_click=fail)

    await room.user.open('/x')
    room.user.find('Rename').click()
    await room.user.should_see('This dataset was renamed meanwhile. Reload the page.')


async def test_a_page_follows_a_channel_until_it_is_gone(room: Room) -> None:
    seen: list[object] = []

    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/'):
            box = tag('div')

            def note(message: object) -> None:
                seen.append(message)
                tag('p', 'arrived')

            follow(room.services.events, 'jobs', note, within=box)

    client = await room.user.open('/x')
    await until(lambda: room.services.events.queues.get('jobs'))
    await room.services.events.publish('jobs', {'id': 1})
    await room.user.should_see('arrived')
    client.delete()
    await until(lambda: not room.services.events.queues['jobs'])
    assert seen == [{'id': 1}]


async def test_a_callback_that_outlives_its_page_draws_nothing(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    begun, answer = asyncio.Event(), asyncio.Event()
    steps: list[str] = []

    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/'):
            head = tag('div')
            box = tag('div')

            async def refresh() -> None:
                begun.set()
                try:
                    await answer.wait()
                except asyncio.CancelledError:
                    steps.append('went on')  # as wait_for does when it is cancelled just as it ends
                head.clear()
                with head:
                    tag('p', 'head')
                    steps.append('drew beside')
                with box:
                    tag('p', 'box')
                    steps.append('drew')

            follow(room.services.events, 'jobs', lambda message: None, within=box, on_ready=refresh)

    client = await room.user.open('/x')
    await begun.wait()
    with caplog.at_level(logging.WARNING):
        client.delete()
        await until(lambda: steps and not room.services.events.queues['jobs'])
    assert steps == ['went on']
    assert 'still being used' not in caplog.text


async def test_a_page_that_goes_while_listening_begins_is_not_followed(room: Room) -> None:
    class Slow:
        def __init__(self) -> None:
            self.left = False

        @asynccontextmanager
        async def subscribe(self, channel: str) -> AsyncIterator[AsyncIterator[object]]:
            waiting.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            async with room.services.events.subscribe(channel) as messages:
                yield messages
            self.left = True

    waiting = asyncio.Event()
    events = Slow()

    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/'):
            follow(events, 'jobs', lambda message: None, within=tag('div'))

    client = await room.user.open('/x')
    await waiting.wait()
    client.delete()
    await until(lambda: events.left)


async def test_a_value_that_cannot_be_read_is_told_on_a_page_and_to_programs(room: Room) -> None:
    @ui.page('/x/{number}')
    def page(number: int, v: int | None = None) -> None:
        tag('p', f'{number} {v}')

    shown = await room.user.http_client.get('/x/1?v=abc', headers={'Accept': 'text/html'})
    assert (shown.status_code, shown.headers['content-type']) == (400, 'text/html; charset=utf-8')
    assert 'The value of &quot;v&quot; cannot be read' in shown.text
    told = await room.user.http_client.get('/x/1?v=abc', headers={'Accept': 'application/json'})
    assert (told.status_code, told.headers['content-type']) == (400, 'application/problem+json')
    assert told.json()['code'] == 'usage_error'
    assert (await room.user.http_client.get('/x/abc')).status_code == 404


async def test_the_open_tab_is_the_current_page(room: Room) -> None:
    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/'):
            tabs([('Rows', '3', '/x'), ('Faults', '', '/x?tab=faults')], 'Rows')

    await room.user.open('/x')
    links = [element for element in room.css('tabs')[0].descendants() if element.tag == 'a']
    assert [link.props.get('aria-current') for link in links] == ['page', None]
    assert not any('role' in link.props or 'aria-selected' in link.props for link in links)


async def test_the_theme_is_chosen_in_the_account_menu_of_a_phone(room: Room) -> None:
    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/'):
            tag('p', 'content')

    account = (await room.markup('/x')).partition('id="me"')[2]
    group = account.partition('<div class="phone-only themes" role="radiogroup"')[2].partition('</div>')[0]
    assert re.findall(r'role="radio" [^>]*data-theme-set="(\w+)"', group) == ['light', 'dark', 'system']


async def test_toasts_do_not_pile_up(room: Room) -> None:
    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/'):
            button('Fail', on_click=lambda: [toast(f'Error {number}', level='bad') for number in range(MOST + 2)])

    await room.user.open('/x')
    room.user.find('Fail').click()
    await until(lambda: room.css('toast'))
    shown = [
        element.text for note in room.css('toasts')[0] for element in note.descendants() if 'w6' in element.classes
    ]
    assert shown == ['Error 2', 'Error 3', 'Error 4']


async def test_a_toast_stays_while_it_is_pointed_at_or_in_focus(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/'):
            button('Do it', on_click=lambda: toast('Done', links=[('Undo', '/')]))

    await room.user.open('/x')
    room.user.find('Do it').click()
    await until(lambda: room.css('toast'))
    (note,) = room.css('toast')

    def happens(name: str) -> None:
        listener = next(one for one in note._event_listeners.values() if one.type == name)
        note._handle_event({'listener_id': listener.id, 'args': {}})

    def goes() -> bool:
        return any(isinstance(e, ui.timer) and not e._is_canceled for e in note.descendants())

    assert goes()
    for name in ('mouseenter', 'focusin', 'mouseleave'):
        happens(name)
        assert not goes()
    monkeypatch.setattr(toasts, 'SECONDS', 0)
    happens('focusout')
    await until(lambda: not room.css('toast'))


async def test_confirm_notices_a_session_that_ended_elsewhere(room: Room) -> None:
    answers: list[str] = []

    @ui.page('/x')
    async def page() -> None:
        answers.append((await confirm(room.services.accounts)).user.email)
        await room.services.accounts.sign_out(room.token)
        await confirm(room.services.accounts)

    answer = await room.user.http_client.get('/x', headers={'Accept': 'text/html'})
    assert answers == ['maria.keller@example.com']
    assert (answer.status_code, answer.headers['location']) == (303, '/sign-in?next=/x')


async def test_the_palette_offers_pages_and_own_datasets(room: Room) -> None:
    room.services.datasets.add(room.session.user.id, 'Warehouse orders', 63_115_157)
    _, stranger = room.services.accounts.open('bob@example.com')
    room.services.datasets.add(stranger.user.id, 'Not yours', 1)
    room.services.forecasts.add(room.session.user.id, 'Daily orders, 28 days', dataset_name='Warehouse orders')
    room.services.forecasts.add(stranger.user.id, 'Not yours either', dataset_name='Not yours')
    entries = (await room.user.http_client.get('/api/v1/palette')).json()
    assert [(entry['label'], entry['hint']) for entry in entries] == [
        ('Warehouse orders', '63,115,157 rows'),
        ('Daily orders, 28 days', 'issued just now'),
        *((action, '') for action in ACTIONS),
        *((page, '') for page in PAGES),
    ]
    assert entries[1]['where'] == 'Warehouse orders'


async def test_a_page_s_own_actions_ride_with_it(room: Room) -> None:
    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/', actions=[Entry(label='Upload', icon='upload', press='up')]):
            skeleton_rows(2)

    (actions,) = re.findall(r'<div class="app" data-actions="([^"]*)"', await room.markup('/x'))
    assert [one['label'] for one in json.loads(unescape(actions))] == ['Upload', 'Pause or resume hours']


async def test_a_segment_has_one_choice(room: Room) -> None:
    chosen: list[str] = []

    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'Home', active='/'):
            segment(['1D', '1W'], '1D', label='Range', on_change=chosen.append)

    await room.user.open('/x')
    room.user.find('1W').click()
    pressed = [element.props['aria-pressed'] for element in room.css('seg')[0]]
    assert (chosen, pressed) == (['1W'], ['false', 'true'])
