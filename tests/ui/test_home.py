"""Home as its user meets it: what is ticked, what moves, and what stands there when there is nothing."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from nicegui import ui
from nicegui.events import GenericEventArguments, handle_event
from nicegui.testing import User, user_simulation

from core.demo import FirstSteps, Story
from core.jobs import Standing
from core.settings import Settings
from core.values import Balance, Dataset, Forecast, Job, JobState, Quote, Session, UsageDay
from tests.ui import doubles
from tests.ui.site import until
from ui.app import mount
from ui.components.track import Point, ends, track_of
from ui.pages.home import Home, left
from ui.session import COOKIE
from ui.theme import frame


class Hours(doubles.Hours):
    def quote_forecast(self, *, series: int, models: Sequence[str], rows: int = 0, windows: int = 3) -> Quote:
        return Quote(task='forecast', seconds=series * len(models), basis='')


@dataclass
class Jobs:
    kept: list[Job] = field(default_factory=list)

    async def list(self, user_id: UUID, *, limit: int = 200) -> Sequence[Job]:
        return [job for job in self.kept if job.user_id == user_id][:limit]

    async def states(self, user_id: UUID, dataset_ids: Sequence[UUID]) -> Mapping[UUID, Standing]:
        return {job.dataset_id: Standing(state=job.state) for job in self.kept if job.dataset_id in dataset_ids}


@dataclass
class Demo:
    steps: FirstSteps = field(default_factory=FirstSteps)
    begun: list[tuple[UUID, bool]] = field(default_factory=list)
    told: Story | None = None

    def begin(self, user_id: UUID, *, anew: bool = False) -> None:
        self.begun.append((user_id, anew))

    async def first_steps(self, user_id: UUID) -> FirstSteps:
        return self.steps

    async def story(self, user_id: UUID) -> Story | None:
        return self.told

    async def dismiss(self, user_id: UUID) -> None:
        self.steps = replace(self.steps, dismissed=True)

    async def dismiss_sample(self, user_id: UUID) -> None:
        self.steps = replace(self.steps, sample_dismissed=True)


@dataclass
class Room:
    user: User
    services: Any
    session: Session

    def texts(self) -> list[str]:
        """Every text on the page."""
        return [text for e in self.user._client.elements.values() if (text := getattr(e, 'text', ''))]

    def css(self, name: str) -> list[ui.element]:
        return [element for element in self.user._client.elements.values() if name in element.classes]

    def press(self, element: ui.element) -> None:
        """Click an element that has no text."""
        for listener in element._event_listeners.values():
            handle_event(listener.handler, GenericEventArguments(sender=element, client=element.client, args={}))

    def steps(self) -> dict[str, tuple[bool, str]]:
        """Title of each step → whether it is ticked, and its address."""
        found = {}
        for step in self.css('st'):
            title = next(e.text for e in step.descendants() if 'w5' in e.classes)
            found[title] = ('done' in step.classes, step.props.get('href', ''))
        return found

    def story(self) -> list[tuple[str, str, str]]:
        """Title, text and address of each line about the sample."""
        (card,) = [e for e in self.css('start') if e.props.get('aria-label') == 'The sample']
        found = []
        for line in card.descendants():
            if 'st' in line.classes:
                title, text = (e.text for e in line.descendants() if 'cut' in e.classes)
                found.append((title, text, line.props.get('href', '')))
        return found

    def dataset(self, name: str = 'sales', *, faults: int = 0) -> Dataset:
        made = replace(self.services.datasets.add(self.session.user.id, name, 100), faults=faults)
        self.services.datasets.kept[-1] = made
        return made

    def forecast(self, dataset: Dataset, *scores: Mapping[str, Any], age: int = 0) -> Forecast:
        at = datetime.now(UTC) - timedelta(days=age)
        made = Forecast(
            id=uuid4(),
            user_id=self.session.user.id,
            dataset_id=dataset.id,
            version_id=uuid4(),
            version=1,
            dataset_name=dataset.name,
            name='qty, 28 steps',
            request={},
            result={'scores': list(scores)} if scores else None,
            job_id=None,
            state=JobState.SUCCEEDED,
            created_at=at,
            issued_at=at if scores else None,
        )
        self.services.forecasts.kept.insert(0, made)
        return made

    def job(self, dataset: Dataset) -> Job:
        made = Job(
            id=uuid4(),
            user_id=self.session.user.id,
            kind='convert',
            title='Convert sales.csv',
            state=JobState.RUNNING,
            payload={},
            progress=0.25,
            message='Reading',
            attempt=1,
            max_attempts=3,
            error=None,
            cancel_requested=False,
            dataset_id=dataset.id,
            forecast_id=None,
            created_at=datetime.now(UTC),
            started_at=datetime.now(UTC),
            finished_at=None,
        )
        self.services.jobs.kept.insert(0, made)
        return made

    async def tell(self, channel: str, **message: Any) -> None:
        await until(lambda: self.services.events.queues.get(f'{self.session.user.id}/{channel}'))
        await self.services.events.publish(f'{self.session.user.id}/{channel}', message)


def score(
    mase: float | None, held80: float, held95: float, *, points: int = 100, model: str = 'auto'
) -> dict[str, Any]:
    return {'model': model, 'mase': mase, 'coverage': {'80': held80, '95': held95}, 'points': points}


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    async with user_simulation() as user:
        services: Any = doubles.Services(Settings(VARIOSYNC_PUBLIC_URL='http://test'))
        services.jobs = Jobs()
        services.demo, services.hours = Demo(), Hours(services.events)
        token, session = services.accounts.open('maria.keller@example.com')
        mount(services)
        user.http_client.cookies.set(COOKIE, token)
        yield Room(user, services, session)


async def test_newcomer_is_offered_an_upload_and_the_sample(room: Room) -> None:
    await room.user.open('/')
    await room.user.should_see('No datasets yet')
    assert room.steps() == {
        'Upload a file': (False, ''),
        'Check its faults': (False, '/datasets'),
        'Ask for a forecast': (False, '/forecasts/new'),
    }
    assert '0 of 3' in room.texts()
    room.user.find('Use the sample').click()
    await until(lambda: room.services.demo.begun)
    assert room.services.demo.begun == [(room.session.user.id, True)]
    await room.user.should_see('The sample is on its way')

    data = room.dataset('Shop sales', faults=58)
    room.services.demo.steps = FirstSteps(samples=frozenset({data.id}))
    await room.tell('datasets', dataset=str(data.id))
    await room.user.should_see('Shop sales')
    await room.user.should_not_see('No datasets yet')


async def test_the_sample_says_what_it_takes_and_waits_for_hours(room: Room) -> None:
    await room.services.hours.put(room.session.user.id, Balance(seconds=10))
    await room.user.open('/')
    await room.user.should_see('Needs up to 49 s of your hours (3 files and 2 forecasts); you are 39 s short.')
    (sample,) = [e for e in room.user._client.elements.values() if getattr(e, 'text', '') == 'Use the sample']
    assert sample.props['disabled']
    await until(lambda: room.services.events.queues.get(f'{room.session.user.id}/hours'))
    await room.services.hours.put(room.session.user.id, Balance(seconds=100))
    await room.user.should_see('Up to 49 s of your hours (3 files and 2 forecasts)')
    assert not sample.props['disabled']


async def test_samples_tick_nothing(room: Room) -> None:
    data = room.dataset('Shop sales', faults=58)
    room.forecast(data)
    room.services.demo.steps = FirstSteps(samples=frozenset({data.id}))
    await room.user.open('/')
    assert [done for done, _ in room.steps().values()] == [False, False, False]


async def test_the_sample_tells_how_far_it_has_come_and_leads_to_what_is_there(room: Room) -> None:
    data = room.dataset('Shop sales', faults=166)
    demo = room.services.demo
    demo.steps = FirstSteps(samples=frozenset({data.id}))
    demo.told = Story(
        dataset_id=data.id, faults=None, forecast_id=None, issued=False, scored=False, dashboard_id=None, over=False
    )
    await room.user.open('/')
    assert room.story() == [
        ('A dirty file', 'Being read', f'/datasets/{data.id}'),
        ('A forecast that was kept', 'Follows on the file', ''),
        ('A dashboard to share', 'Comes last', ''),
    ]
    assert '0 of 3' in room.texts()

    forecast, board = uuid4(), uuid4()
    for message, step, now in (
        (
            {'forecast_id': forecast, 'faults': 160},
            1,
            ('A forecast that was kept', 'Being made', f'/forecasts/{forecast}'),
        ),
        ({'issued': True}, 1, ('A forecast that was kept', 'Made; what came is on its way', f'/forecasts/{forecast}')),
        ({'scored': True}, 1, ('A forecast that was kept', 'Scored by what came', f'/forecasts/{forecast}')),
        (
            {'dashboard_id': board, 'over': True},
            2,
            ('A dashboard to share', 'What was foreseen, and what came', f'/dashboards/{board}'),
        ),
    ):
        demo.told = replace(demo.told, **message)
        await room.tell('dashboards', dashboard=str(board))
        await room.user.should_see(now[1])
        assert room.story()[step] == now
    assert room.story()[0] == ('A dirty file', '160 faults in its first file', f'/datasets/{data.id}?tab=faults&v=1')
    await room.user.should_see('The sample is ready')

    demo.told = replace(demo.told, issued=False, scored=False)
    await room.tell('dashboards', dashboard=str(board))
    await room.user.should_see('Sales of three years')
    assert [title for title, _, _ in room.story()] == ['A dirty file', 'A dashboard to share']

    room.press(next(e for e in room.css('ib') if e.props.get('aria-label') == 'Dismiss the first steps'))
    await room.user.should_not_see('Get started')
    assert [title for title, _, _ in room.story()] == ['A dirty file', 'A dashboard to share']
    room.press(next(e for e in room.css('ib') if e.props.get('aria-label') == 'Dismiss “Look around”'))
    await room.user.should_not_see('Look around')


async def test_what_was_taken_away_from_the_sample_is_waited_for_no_more(room: Room) -> None:
    data, forecast, board = room.dataset('Shop sales', faults=166), uuid4(), uuid4()
    demo = room.services.demo
    demo.steps = FirstSteps(samples=frozenset({data.id}))
    demo.told = Story(
        dataset_id=data.id, faults=160, forecast_id=forecast, issued=True, scored=True, dashboard_id=None, over=True
    )
    await room.user.open('/')
    assert [title for title, _, _ in room.story()] == ['A dirty file', 'A forecast that was kept']
    await room.user.should_see('The sample is ready')
    # September was cancelled: nothing came, and nothing will.
    demo.told = replace(demo.told, scored=False, dashboard_id=board)
    await room.tell('dashboards', dashboard=str(board))
    await room.user.should_see('Sales, and what was foreseen')
    assert [title for title, _, _ in room.story()] == ['A dirty file', 'A dashboard to share']
    demo.told = replace(demo.told, faults=None, issued=False, forecast_id=None, dashboard_id=None)
    await room.tell('dashboards', dashboard=str(board))
    await room.user.should_not_see('Look around')


async def test_steps_are_ticked_by_the_users_own_data(room: Room) -> None:
    data = room.dataset('air passengers', faults=3)
    await room.user.open('/')
    assert room.steps() == {
        'Upload a file': (True, f'/datasets/{data.id}'),
        'Check its faults': (False, f'/datasets/{data.id}?tab=faults'),
        'Ask for a forecast': (False, f'/forecasts/new?dataset={data.id}'),
    }
    assert {'1 of 3', '3 faults', 'air passengers'} <= set(room.texts())
    (now,) = room.css('now')
    assert now.props['href'].endswith('?tab=faults')

    room.services.demo.steps = FirstSteps(faults_seen=True)
    await room.tell('datasets', dataset=str(data.id))
    await room.user.should_see('2 of 3')
    room.forecast(data)
    await room.tell('jobs', job=str(uuid4()), state='queued')
    await room.user.should_not_see('Get started')


async def test_the_way_through_the_sample_outlives_the_first_steps(room: Room) -> None:
    sample, own = room.dataset('Shop sales', faults=166), room.dataset('clean')
    room.forecast(own)
    demo = room.services.demo
    demo.steps = FirstSteps(samples=frozenset({sample.id}))
    demo.told = Story(
        dataset_id=sample.id, faults=160, forecast_id=None, issued=False, scored=False, dashboard_id=None, over=False
    )
    await room.user.open('/')
    await room.user.should_not_see('Get started')
    assert room.story()[0][0] == 'A dirty file'
    assert not [e for e in room.css('ib') if e.props.get('aria-label') == 'Dismiss “Look around”'], 'it is not done yet'


async def test_a_clean_file_needs_no_check(room: Room) -> None:
    room.dataset('clean', faults=0)
    await room.user.open('/')
    assert room.steps()['Check its faults'][0]
    assert 'Nothing was wrong' in room.texts()


async def test_first_steps_can_be_dismissed(room: Room) -> None:
    await room.user.open('/')
    room.press(next(e for e in room.css('ib') if e.props.get('aria-label') == 'Dismiss the first steps'))
    await room.user.should_not_see('Get started')
    assert room.services.demo.steps.dismissed
    await room.user.open('/')
    await room.user.should_not_see('Get started')


async def test_a_running_job_moves_in_place(room: Room) -> None:
    job = room.job(room.dataset())
    await room.user.open('/')
    await room.user.should_see('1 running')
    (line,) = room.css('job')
    await room.tell('jobs', job=str(job.id), state='running', progress=0.64, message='Sorting')
    await room.user.should_see('64%')
    await room.user.should_see('Sorting')
    await room.tell('jobs', job=str(job.id), state='queued', progress=0.0, message='')
    await room.user.should_see('Waiting for its turn')
    await room.tell('jobs', job=str(job.id), state='running', progress=0.0, message='')
    await room.user.should_see('Starting')
    assert room.css('job') == [line]

    room.services.jobs.kept[0] = replace(job, state=JobState.SUCCEEDED, finished_at=datetime.now(UTC))
    await room.tell('jobs', job=str(job.id), state='succeeded', progress=1.0)
    await room.user.should_not_see('1 running')
    assert [done.props['data-state'] for done in room.css('job')] == ['succeeded']


async def test_hours_of_the_week_are_kept_up(room: Room) -> None:
    room.dataset()
    today = datetime.now(UTC).date()
    yesterday = room.services.hours.day(today - timedelta(days=1), viewing=3600)
    room.services.hours.days = [yesterday, room.services.hours.day(today, viewing=3600, forecast=3600)]
    await room.user.open('/')
    await room.user.should_see('3.0 h')
    await room.user.should_see('10.0 h')
    await room.user.should_see('left, about 7 days at this pace')
    (bars,) = room.css('usage')
    room.services.hours.days = [yesterday, room.services.hours.day(today, viewing=7200, forecast=3600)]
    await room.services.hours.put(room.session.user.id, Balance(seconds=32_400))
    await room.user.should_see('4.0 h')
    await room.user.should_see('9.0 h')
    assert room.css('usage') == [bars]


async def test_track_record_is_told_when_there_is_one(room: Room) -> None:
    data = room.dataset()
    await room.user.open('/')
    await room.user.should_see('No forecast has been measured yet')
    room.forecast(data, score(0.5, 0.8, 0.96), score(1.1, 0.9, 1.0, points=300, model='seasonal_naive'), age=1)
    await room.tell('jobs', job=str(uuid4()), state='succeeded')
    for text in ('2 models of 1 forecast', '87.5%', '99.0%', '0.80', 'Backtests', 'Track record: what came'):
        await room.user.should_see(text)
    assert room.css('track') == []
    room.forecast(data, score(0.7, 0.7, 0.9))
    await room.tell('jobs', job=str(uuid4()), state='succeeded')
    await room.user.should_see('3 models of 2 forecasts')
    (chart,) = room.css('track')
    assert chart.props['aria-label'] == (
        'What the bands held in 2 forecasts; in the latest, the 95% band 90.0%, the 80% band 70.0%'
    )
    assert chart.props['innerHTML'].count('<polyline') == 2


def test_forecasts_of_one_day_stand_over_their_hours() -> None:
    morning = datetime(2026, 11, 28, 9, 5, tzinfo=UTC)
    points = [Point(at=morning + timedelta(minutes=minutes), held={'80': 0.8}) for minutes in (0, 2, 3000)]
    assert ends(points[:2]) == '<span>28 Nov, 09:05</span><span>28 Nov, 09:07</span>'
    assert ends(points) == '<span>28 Nov</span><span>30 Nov</span>'
    assert (ends(points[:1]), ends([])) == ('<span>28 Nov</span>', '')


async def test_a_forecast_without_measured_points_is_not_scored(room: Room) -> None:
    data = room.dataset()
    room.forecast(data)
    room.forecast(data, score(None, 0.0, 0.0, points=0))
    assert track_of(await room.services.forecasts.measured(room.session.user.id)) is None


async def test_unmeasurable_errors_are_left_out_of_the_median(room: Room) -> None:
    data = room.dataset()
    room.forecast(data, score(None, 0.5, 0.5), score(0.9, 1.0, 1.0))
    track = track_of(await room.services.forecasts.measured(room.session.user.id))
    assert track is not None
    assert (track.scored, track.mase, track.held) == (2, 0.9, {'95': 0.75, '80': 0.75})


@pytest.mark.parametrize(
    ('seconds', 'spent', 'said'),
    [
        (3600, [0] * 7, 'left'),
        (0, [100] * 7, 'left'),
        (3600, [0] * 6 + [46], 'left'),
        (36_000, [36_000, *[0] * 6], 'left, about 7 days at this pace'),
        (36_000, [0] * 5 + [9000, 9000], 'left, about 4 days at this pace'),
        (36_000, [10, *[0] * 6], 'left, over a year at this pace'),
        (10_000, [10_000] * 7, 'left, about 1 day at this pace'),
    ],
)
def test_pace(seconds: int, spent: list[int], said: str) -> None:
    week = [UsageDay(day=date(2026, 11, 1), viewing=day, convert=0, forecast=0) for day in spent]
    assert left(seconds, week) == said


async def test_what_is_told_while_home_reads_is_read_once(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[UUID] = []
    homes: list[Home] = []
    unheld = room.services.datasets.list

    async def held(user_id: UUID, **asked: Any) -> Sequence[Dataset]:
        reads.append(user_id)
        await asyncio.sleep(0)
        return await unheld(user_id, **asked)

    @ui.page('/x')
    async def page() -> None:
        with frame(room.services, 'Home', active='/') as session:
            homes.append(Home(room.services, session))
            await homes[0].draw()

    # No channel of its own: nothing but this test has it read.
    monkeypatch.setattr('ui.pages.home.follow', lambda *told, **how: None)
    client = await room.user.open('/x')
    monkeypatch.setattr(room.services.datasets, 'list', held)
    with client:
        await asyncio.gather(*(homes[0].refresh() for _ in range(5)))
    assert len(reads) == 2, 'one that reads, and one that reads after all that was told meanwhile'
