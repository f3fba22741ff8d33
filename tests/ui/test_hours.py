"""Hours on pages: how they are written, the pill, the meter, Billing, the page at zero, prices beside buttons."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from nicegui import ui
from nicegui.testing import user_simulation

from core.errors import NotEnoughHours
from core.settings import Settings
from core.values import Balance, Grant, LedgerEntry, Preferences, Quote, UsageDay
from tests.ui.doubles import Hours, Services
from tests.ui.site import until
from tests.ui.test_frame import Room
from ui.app import mount
from ui.components.bars import UsageBars, usage_bars
from ui.components.hours import HoursPill, Price, priced
from ui.components.parts import button
from ui.components.times import amount, hours
from ui.meter import FREE, is_metered
from ui.pages.billing import pace
from ui.session import COOKIE
from ui.theme import frame

PAGE = {'Accept': 'text/html'}


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    async with user_simulation() as user:
        services = Services(Settings(VARIOSYNC_PUBLIC_URL='http://test'))
        token, session = services.accounts.open('maria.keller@example.com')
        mount(services)
        user.http_client.cookies.set(COOKIE, token)
        yield Room(user, services, session, token)


def entry(number: int, kind: str, seconds: int, balance: int, label: str = '') -> LedgerEntry:
    at = datetime(datetime.now(UTC).year, 11, 18, 9, 0, tzinfo=UTC) + timedelta(minutes=number)
    return LedgerEntry(
        id=number,
        kind=kind,
        label=label or kind,
        seconds=seconds,
        balance=balance,
        at=at,
        job_id=None,
        session_id=None,
    )


def grant(room: Room, label: str, seconds: int, remaining: int) -> Grant:
    return Grant(
        id=uuid4(),
        user_id=room.session.user.id,
        source='gift',
        label=label,
        seconds=seconds,
        remaining=remaining,
        expires_at=None,
        created_at=datetime.now(UTC),
    )


def probe(room: Room) -> None:
    """A metered page, `/probe`."""

    @ui.page('/probe')
    def page() -> None:
        with frame(room.services, 'Probe', active='/'):
            button('Press')


def texts(room: Room, kind: str) -> list[str]:
    return [getattr(element, 'text', '') for element in room.css(kind)]


# how amounts are written


@pytest.mark.parametrize(
    ('seconds', 'shown'),
    [
        (0, '0 s'),
        (-5, '0 s'),
        (252, '4 min 12 s'),
        (299, '4 min 59 s'),
        (300, '5 min'),
        (3599, '59 min'),
        (3600, '1.0 h'),
        (45_248, '12.6 h'),
        (359_819, '99.9 h'),
        (359_820, '100 h'),
        (3_600_000, '1,000 h'),
    ],
)
def test_hours_at_a_glance(seconds: int, shown: str) -> None:
    assert hours(seconds) == shown


@pytest.mark.parametrize(
    ('seconds', 'shown'),
    [
        (0, '0 s'),
        (11, '11 s'),
        (130, '2 min 10 s'),
        (-431, '−7 min 11 s'),
        (1800, '30 min'),
        (3605, '1 h 5 s'),
        (45_248, '12 h 34 min 8 s'),
        (3_600_000, '1,000 h'),
    ],
)
def test_hours_to_the_second(seconds: int, shown: str) -> None:
    assert amount(seconds) == shown


def test_an_amount_has_a_sign_only_where_it_says_something() -> None:
    assert [amount(7200, sign=True), amount(-9, sign=True), amount(0, sign=True)] == ['+2 h', '−9 s', '0 s']


def test_the_pace_names_the_day_on_which_hours_end() -> None:
    now = datetime(2026, 11, 18, tzinfo=UTC)
    week = [Hours.day(date(2026, 11, 12) + timedelta(days=back), viewing=3600) for back in range(7)]
    assert pace(26 * 3600, week, now=now) == 'At this week’s pace it lasts until about 14 December.'
    assert pace(400 * 3600, week, now=now).endswith('more than a year.')
    assert pace(3600, [Hours.day(date(2026, 11, 18))], now=now) == 'Nothing was used in the last seven days.'
    assert pace(3600, [Hours.day(date(2026, 11, 18), viewing=46)], now=now).startswith('After a day or two')
    assert pace(0, week, now=now).startswith('Nothing is left.')


# bars


async def test_bars_stack_what_was_used_and_say_it_in_words(room: Room) -> None:
    days = [Hours.day(date(2026, 11, 1) + timedelta(days=number)) for number in range(30)]
    days[12] = UsageDay(day=days[12].day, viewing=1800, convert=600, forecast=600)
    made: list[UsageBars] = []

    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'X', active='/'):
            made.append(usage_bars(days))

    await room.user.open('/x')
    drawing, label = made[0].props['innerHTML'], made[0].props['aria-label']
    assert label == 'Usage by day, 1 Nov to 30 Nov: 50 min in all, most on 13 Nov: 50 min'
    assert 'title="Friday 13 Nov\nViewing 30 min\nForecasts 10 min\nConversion 10 min"' in drawing
    # One hour is the axis: half of it is viewing, and the two jobs stand above it in their own colours.
    assert 'height: 50.000%; background: var(--series-1)' in drawing
    assert 'height: 16.667%; background: var(--series-2)' in drawing
    assert drawing.count('title=') == 30
    # The last date is that of the last bar, as near to it as the card has room.
    assert '<span style="left: 97.50%">30 Nov</span>' in drawing


async def test_a_year_is_drawn_in_weeks_and_nothing_used_says_so(room: Room) -> None:
    days = [Hours.day(date(2026, 1, 1) + timedelta(days=number)) for number in range(365)]
    made: list[UsageBars] = []

    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'X', active='/'):
            made.append(usage_bars(days))

    await room.user.open('/x')
    assert made[0].props['innerHTML'].count('title=') == 53
    assert 'Nothing used in this time' in made[0].props['innerHTML']
    assert made[0].props['aria-label'] == 'Usage by week, 1 Jan to 31 Dec: nothing used'


# meter and pill


async def test_every_page_beats_before_it_is_drawn(room: Room) -> None:
    probe(room)
    await room.user.open('/probe')
    assert room.services.hours.beats == [0.0]
    (pill,) = [element for element in room.user._client.elements.values() if isinstance(element, HoursPill)]
    assert pill.props['metered'] is True
    assert pill.props['balance']['seconds'] == 36_000


@pytest.mark.parametrize('path', ['/billing', '/out-of-hours'])
async def test_a_free_page_never_beats(room: Room, path: str) -> None:
    await room.user.open(path)
    (pill,) = [element for element in room.user._client.elements.values() if isinstance(element, HoursPill)]
    assert room.services.hours.beats == []
    assert pill.props['metered'] is False


def test_what_is_not_listed_as_free_is_metered() -> None:
    assert is_metered('/')
    assert is_metered('/datasets/7')
    assert is_metered('/a-page-that-somebody-adds')
    assert not any(is_metered(path) for path in (*FREE, '/api/v1/datasets', '/static/app.js', '/auth/sign-out'))


async def test_at_zero_pages_lead_to_the_one_that_explains(room: Room) -> None:
    await room.services.hours.put(room.session.user.id, Balance(seconds=0, state='exhausted'))
    for path, target in (
        ('/', '/out-of-hours'),
        ('/datasets', '/out-of-hours?next=/datasets'),
        ('/forecasts/new?dataset=7', '/out-of-hours?next=/forecasts/new%3Fdataset%3D7'),
    ):
        answer = await room.user.http_client.get(path, headers=PAGE)
        assert (answer.status_code, answer.headers['location']) == (303, target)
    for path in ('/billing', '/out-of-hours'):
        assert (await room.user.http_client.get(path, headers=PAGE)).status_code == 200


async def test_a_stranger_signs_in_and_is_charged_nothing(room: Room) -> None:
    room.user.http_client.cookies.clear()
    answer = await room.user.http_client.get('/datasets', headers=PAGE)
    assert answer.headers['location'] == '/sign-in?next=/datasets'
    assert room.services.hours.beats == []


async def test_the_pill_follows_the_user_s_hours(room: Room) -> None:
    probe(room)
    await room.user.open('/probe')
    (pill,) = [element for element in room.user._client.elements.values() if isinstance(element, HoursPill)]
    channel = f'{room.session.user.id}/hours'
    await until(lambda: room.services.events.queues.get(channel))
    await room.services.hours.put(room.session.user.id, Balance(seconds=77, reserved=5, state='running'))
    await until(lambda: pill.props['balance'] == {'seconds': 77, 'state': 'running', 'reserved': 5})


async def test_the_pill_writes_numbers_as_its_user_does(room: Room) -> None:
    user = room.session.user
    object.__setattr__(user, 'preferences', Preferences(number_format='1.234,5'))
    await room.user.open('/billing')
    (pill,) = [element for element in room.user._client.elements.values() if isinstance(element, HoursPill)]
    assert pill.props['marks'] == ['.', ',']
    await room.user.should_see('10,0 h')


# Billing


async def test_billing_shows_the_balance_and_what_it_is_made_of(room: Room) -> None:
    ours = room.services.hours
    ours.balances[room.session.user.id] = Balance(seconds=45_248, reserved=130, state='idle')
    ours.given = [grant(room, 'Referral', 7200, 7200), grant(room, '20 h pack', 72_000, 38_048)]
    await room.user.open('/billing')
    for text in (
        '12.6 h',
        '12 h 34 min 8 s',
        'Paused while idle',
        'Referral, used first',
        '20 h pack',
        '10 h 34 min 8 s',
        '2 min 10 s more is held for jobs that have not ended.',
        'Nothing was used in the last seven days.',
        'variosync hours grant maria.keller@example.com 10',
        'Paused after 5 min without a touch',
    ):
        await room.user.should_see(text)


async def test_the_command_that_is_copied_is_safe_in_a_shell(room: Room) -> None:
    object.__setattr__(room.session.user, 'email', 'a;$(reboot)@example.com')
    await room.user.open('/billing')
    await room.user.should_see("variosync hours grant 'a;$(reboot)@example.com' 10")


async def test_billing_of_a_new_account_is_not_empty(room: Room) -> None:
    await room.user.open('/billing')
    await room.user.should_see('No entries yet')
    await room.user.should_see('nothing in 30 days')


async def test_the_ledger_has_signs_kinds_and_a_running_balance(room: Room) -> None:
    room.services.hours.entries = [
        entry(3, 'job', -128, 45_248, 'Forecast, Daily orders'),
        entry(2, 'viewing', -1684, 45_376),
        entry(1, 'grant', 7200, 47_060),
    ]
    await room.user.open('/billing')
    for text in ('18 Nov, 09:03', '−2 min 8 s', '12 h 34 min 8 s', '+2 h', 'Session', 'Job', 'Grant'):
        await room.user.should_see(text)


async def test_the_ledger_is_filtered_by_the_address(room: Room) -> None:
    room.services.hours.entries = [entry(2, 'job', -128, 45_248, 'A job'), entry(1, 'grant', 7200, 47_060, 'A grant')]
    await room.user.open('/billing?kind=grant')
    await room.user.should_see('A grant')
    await room.user.should_not_see('A job')


async def test_older_entries_are_added_below(room: Room) -> None:
    room.services.hours.entries = [entry(n, 'viewing', -1, 100 + n, f'Entry {n}') for n in range(60, 0, -1)]
    await room.user.open('/billing')
    await room.user.should_see('Entry 36')
    await room.user.should_not_see('Entry 35')
    room.user.find('Older entries').click()
    await room.user.should_see('Entry 11')


async def test_billing_moves_when_hours_change(room: Room) -> None:
    await room.user.open('/billing')
    channel = f'{room.session.user.id}/hours'
    await until(lambda: len(room.services.events.queues.get(channel, [])) == 2)
    room.services.hours.entries = [entry(1, 'grant', 3600, 3600, 'A present')]
    await room.services.hours.put(room.session.user.id, Balance(seconds=39_600))
    await room.user.should_see('A present')
    await room.user.should_see('11.0 h')


async def test_an_unknown_range_or_kind_shows_the_usual(room: Room) -> None:
    answer = await room.user.http_client.get('/billing?range=7Z&kind=x', headers=PAGE)
    assert answer.status_code == 200


# out of hours


async def test_the_page_at_zero_offers_the_way_back_once_hours_arrive(room: Room) -> None:
    user_id = room.session.user.id
    room.services.hours.balances[user_id] = Balance(seconds=0, state='exhausted')
    await room.user.open('/out-of-hours?next=/jobs')
    await room.user.should_see('Your hours are used up')
    await room.user.should_not_see('Go on')
    await until(lambda: len(room.services.events.queues.get(f'{user_id}/hours', [])) == 2)
    await room.services.hours.put(user_id, Balance(seconds=600))
    await room.user.should_see('10 min can be used now')
    (link,) = [element for element in room.css('b') if getattr(element, 'text', '') == 'Go on']
    assert link.props['href'] == '/jobs'


async def test_the_way_back_never_leaves_this_site(room: Room) -> None:
    await room.user.open('/out-of-hours?next=//evil.example')
    (link,) = [element for element in room.css('b') if getattr(element, 'text', '') == 'Go on']
    assert link.props['href'] == '/'


# prices


QUOTE = Quote(task='forecast', seconds=130, basis='12 series × 2 models')


def test_a_price_says_what_is_missing() -> None:
    assert priced(QUOTE, Balance(seconds=500)) == 'Up to 2 min 10 s of your hours (12 series × 2 models)'
    assert priced(QUOTE, Balance(seconds=100)) == (
        'Needs up to 2 min 10 s of your hours (12 series × 2 models); you are 30 s short.'
    )


async def test_a_button_is_off_while_the_balance_is_short(room: Room) -> None:
    made: list[Price] = []
    buttons = []

    @ui.page('/x')
    def page() -> None:
        with frame(room.services, 'X', active='/') as session:
            buttons.append(button('Run'))
            price = Price(Balance(seconds=100), QUOTE)
            price.guard(*buttons)
            price.follow(room.services, session)
            made.append(price)

    await room.user.open('/x')
    assert buttons[0].props['disabled'] is True
    assert 'short' in buttons[0].props['title']
    await room.user.should_see('See Billing')
    await until(lambda: len(room.services.events.queues.get(f'{room.session.user.id}/hours', [])) == 2)
    await room.services.hours.put(room.session.user.id, Balance(seconds=130))
    await until(lambda: buttons[0].props['disabled'] is False)
    made[0].show(None, why_not='Choose a model.')
    assert buttons[0].props['disabled'] is True


async def test_an_action_that_costs_too_much_leads_to_billing(room: Room) -> None:
    @ui.page('/x')
    def page() -> None:
        def spend() -> None:
            raise NotEnoughHours('30 s are missing.')

        with frame(room.services, 'X', active='/'):
            button('Spend', on_click=spend)

    await room.user.open('/x')
    room.user.find('Spend').click()
    await room.user.should_see('30 s are missing.')
    assert 'See Billing' in texts(room, 'b')
