"""The track record as its user meets it: what stands there before anything came, figures, filters and links."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest
from nicegui import ui
from nicegui.testing import User, user_simulation

from core.settings import Settings
from core.track import MOST_SHOWN, Figures, Scored, Track, Waiting
from core.values import Session
from tests.ui import doubles
from tests.ui.site import until
from ui.app import mount
from ui.components.finder import OFFERED
from ui.components.record import forecasts_of, steps_of, verdict
from ui.pages import track as page
from ui.pages.track import address, over_time
from ui.session import COOKIE

NOTHING = Track(issued=0, overall=None, models=[], horizons=[], parts=[])


def figures(model: str | None = None, steps: tuple[int, int] | None = None, **values: Any) -> Figures:
    first, last = steps or (None, None)
    plain = {'forecasts': 3, 'points': 60, 'mase': 0.7, 'rmsse': 0.8, 'smape': 12.5, 'sql': 0.5}
    plain |= {'coverage': {'80': 0.78, '95': 0.94}, 'width': {'80': 1.0, '95': 2.0}}
    return Figures(model=model, first=first, last=last, **(plain | values))


def scored(model: str, *, forecast: UUID, age: int = 0, **values: Any) -> Scored:
    at = datetime.now(UTC) - timedelta(days=age)
    plain = {'name': 'sold, 6 steps', 'dataset_id': uuid4(), 'dataset_name': 'shops', 'cutoff': at, 'issued_at': at}
    plain |= {'version': 2, 'deleted': False, 'points': 10, 'mase': 0.7, 'coverage': {'80': 0.5, '95': 1.0}}
    return Scored(model=model, forecast_id=forecast, **(plain | values))


@dataclass
class Records:
    """What a test says of the track record, and what was asked for."""

    found: Track = NOTHING
    rows: Sequence[Scored] = ()
    waits: Sequence[Waiting] = ()
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def track(self, user_id: UUID, **asked: Any) -> Track:
        self.asked.append(asked)
        return self.found

    async def forecasts(self, user_id: UUID, *, limit: int, **asked: Any) -> Sequence[Scored]:
        return self.rows[:limit]

    async def waiting(self, user_id: UUID, **asked: Any) -> tuple[Sequence[Waiting], int]:
        return self.waits, len(self.waits)


@dataclass
class Room:
    user: User
    services: Any
    session: Session

    @property
    def records(self) -> Records:
        found: Records = self.services.track
        return found

    def texts(self) -> list[str]:
        return [text for e in self.user._client.elements.values() if (text := getattr(e, 'text', ''))]

    def hrefs(self) -> list[str]:
        return [e.props['href'] for e in self.user._client.elements.values() if e.props.get('href')]

    def selects(self) -> dict[str, ui.select]:
        selects = [e for e in self.user._client.elements.values() if isinstance(e, ui.select)]
        return {e.props['aria-label']: e for e in selects}

    def fill(self) -> tuple[UUID, UUID]:
        """Two forecasts by two models each, of which values have come."""
        first, second = uuid4(), uuid4()
        horizons = [figures(steps=(1, 1), points=20), figures(steps=(4, 6), points=40)]
        parts = [replace(row, model=model) for model in ('auto', 'theta') for row in horizons]
        self.services.track.found = Track(
            issued=2, overall=figures(), models=[figures('auto'), figures('theta')], horizons=horizons, parts=parts
        )
        self.services.track.rows = [
            scored(model, forecast=forecast, age=age)
            for forecast, age in ((second, 0), (first, 7))
            for model in ('auto', 'theta')
        ]
        return first, second


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    async with user_simulation() as user:
        services: Any = doubles.Services(Settings(VARIOSYNC_PUBLIC_URL='http://test'))
        services.track = Records()
        token, session = services.accounts.open('maria.keller@example.com')
        mount(services)
        user.http_client.cookies.set(COOKIE, token)
        yield Room(user, services, session)


async def test_without_a_forecast_the_page_says_how_to_begin(room: Room) -> None:
    await room.user.open('/track')
    await room.user.should_see('No forecast has been issued yet')
    assert '/forecasts/new' in room.hrefs()
    assert room.selects() == {}


async def test_forecasts_of_which_nothing_came_wait_for_the_next_version(room: Room) -> None:
    room.records.found = replace(NOTHING, issued=3)
    await room.user.open('/track')
    await room.user.should_see('Nothing has come yet')
    await room.user.should_see('3 forecasts wait for values.')
    assert '/datasets' in room.hrefs()


async def test_forecasts_that_wait_say_for_what(room: Room) -> None:
    at = {'cutoff': datetime(2025, 12, 31, 23, tzinfo=UTC), 'dataset_name': 'shops'}
    hours = Waiting(forecast_id=uuid4(), name='sold', steps='48 hours', zone='Europe/Berlin', days=False, **at)
    days = Waiting(forecast_id=uuid4(), name='kept', steps='1 day', zone='UTC', days=True, **at)
    room.fill()
    room.records.waits = [hours, days]
    await room.user.open('/track')
    await room.user.should_see('2 forecasts count later')
    assert {'48 hours after 1 Jan 2026, 00:00', '1 day after 31 Dec 2025'} <= set(room.texts())
    assert f'/forecasts/{days.forecast_id}' in room.hrefs()
    told = (await room.user.http_client.get('/api/v1/track')).json()
    assert (told['issued'], told['waiting']) == (2, 2), 'programs are told, too'


async def test_promises_stand_beside_what_was_held_and_rows_lead_to_forecasts(room: Room) -> None:
    first, second = room.fill()
    await room.user.open('/track')
    await room.user.should_see('80% band held 78.0%')
    texts = room.texts()
    for text in ('47 of 60', 'Of 60 values that came after they were forecast.', '4–6', '0.700', 'Theta', '3 scored'):
        assert text in texts, text
    for forecast in (first, second):
        assert f'/forecasts/{forecast}' in room.hrefs()
    (chart,) = [e for e in room.user._client.elements.values() if 'track' in e.classes]
    assert 'in 2 forecasts' in chart.props['aria-label']


async def test_a_deleted_forecast_counts_and_opens_while_it_can_be_brought_back(room: Room) -> None:
    kept, past = uuid4(), uuid4()
    rows = [scored('theta', forecast=kept, deleted=True), scored('theta', forecast=past, deleted=True, opens=False)]
    room.services.track.found = replace(NOTHING, issued=2, overall=figures(None), models=[figures('theta')])
    room.services.track.rows = rows
    await room.user.open('/track')
    assert len([text for text in room.texts() if text.endswith('scored on v2, deleted')]) == 2
    assert f'/forecasts/{kept}' in room.hrefs()
    assert f'/forecasts/{past}' not in room.hrefs()


async def test_what_is_left_out_of_a_long_list_is_said(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_SHOWN == 200
    monkeypatch.setattr(page, 'MOST_SHOWN', 5)
    room.fill()
    room.records.rows = [scored('auto', forecast=uuid4()) for _ in range(5)]
    await room.user.open('/track')
    await room.user.should_see('Each row opens one')
    room.records.rows = [*room.records.rows, scored('auto', forecast=uuid4())]
    await room.user.open('/track')
    await room.user.should_see('The 5 issued last; filter to see others')


async def test_filters_are_in_the_address(room: Room) -> None:
    room.fill()
    dataset = room.services.datasets.add(room.session.user.id, 'shops', 100)
    await room.user.open(f'/track?dataset={dataset.id}&model=theta')
    await room.user.should_see('By model')
    assert room.records.asked[0] == {'dataset_id': dataset.id, 'model': 'theta'}
    assert {name: select.value for name, select in room.selects().items()} == {
        'Dataset': str(dataset.id),
        'Model': 'theta',
    }
    assert parse_qs(urlsplit(address(str(dataset.id), 'theta')).query) == {
        'dataset': [str(dataset.id)],
        'model': ['theta'],
    }
    assert address('', '') == '/track'


async def test_a_dataset_that_changed_long_ago_is_selected_too(room: Room) -> None:
    room.fill()
    *_, last = [room.services.datasets.add(room.session.user.id, f'shop {n}', 100) for n in range(OFFERED + 1)]
    await room.user.open(f'/track?dataset={last.id}')
    await room.user.should_see('By model')
    field = room.selects()['Dataset']
    assert (field.value, field.options[str(last.id)]) == (str(last.id), f'shop {OFFERED}')


async def test_a_dataset_of_somebody_else_selects_nothing_of_it(room: Room) -> None:
    room.fill()
    foreign = room.services.datasets.add(uuid4(), 'secret', 100)
    await room.user.open(f'/track?dataset={foreign.id}')
    await room.user.should_see('There is no such dataset')
    assert {'secret', 'By model'}.isdisjoint(room.texts()), 'neither of it nor of all'
    assert '/track' in room.hrefs()


async def test_a_model_that_does_not_exist_is_said_to_page_and_program(room: Room) -> None:
    await room.user.open('/track?model=crystal_ball')
    await room.user.should_see('There is no model "crystal_ball"')
    assert '/track' in room.hrefs()
    answer = await room.user.http_client.get('/api/v1/track?model=crystal_ball')
    assert answer.status_code == 404
    assert answer.json()['detail'].startswith('There is no model "crystal_ball". Models are auto')
    room.records.found = replace(NOTHING, issued=1)
    assert (await room.user.http_client.get('/api/v1/track?model=crystal_ball')).status_code == 200, (
        'a plug-in that is gone'
    )
    room.records.found = NOTHING
    assert (await room.user.http_client.get('/api/v1/track?model=theta')).status_code == 200
    await room.user.open('/track?model=theta')
    await room.user.should_see('No forecast by Theta has been issued yet')


async def test_figures_of_several_models_say_so_and_stand_after_those_of_each(room: Room) -> None:
    room.fill()
    await room.user.open('/track')
    await room.user.should_see('2 models together')
    headings = [text for text in room.texts() if text in ('By model', 'Held over time')]
    assert headings == ['By model', 'Held over time']
    room.records.found = replace(room.records.found, models=[figures('theta')])
    await room.user.open('/track?model=theta')
    await room.user.should_see('Held over time')
    headings = [text for text in room.texts() if text in ('By model', 'Held over time')]
    assert headings == ['Held over time', 'By model']


async def test_a_selection_that_holds_nothing_keeps_its_filters(room: Room) -> None:
    room.records.found = replace(NOTHING, issued=1)
    await room.user.open('/track?model=prophet')
    await room.user.should_see('1 forecast waits for values.')
    assert set(room.selects()) == {'Dataset', 'Model'}


async def test_the_page_draws_itself_again_when_a_version_was_scored(room: Room) -> None:
    await room.user.open('/track')
    room.fill()
    channel = f'{room.session.user.id}/jobs'
    await until(lambda: room.services.events.queues.get(channel))
    await room.services.events.publish(channel, {'kind': 'score', 'state': 'succeeded'})
    await room.user.should_see('Promised and held')


def test_bands_are_judged_by_the_forecasts_behind_them() -> None:
    steps = [figures(steps=(1, 1), points=400), figures(steps=(4, 6), points=900)]
    assert forecasts_of(steps) == 400
    assert forecasts_of([]) == 0
    assert verdict({'80': 0.2}, 9) == ('too few to judge', 'line')
    assert verdict({'80': 0.79, '95': 0.95}, 400) == ('hold', 'ok')
    assert verdict({'80': 0.977, '95': 0.995}, 12) == ('hold, but wide', 'line'), 'missed less than half as often'
    assert verdict({'80': 0.9, '95': 0.95}, 12) == ('hold', 'ok'), 'half as often is not less than half'
    assert verdict({'95': 1.0}, 12) == ('hold', 'ok'), 'none missed of twelve is what a 95% band may do'
    assert verdict({'95': 0.98}, 40) == ('hold, but wide', 'line')
    assert verdict({'80': 0.738, '95': 0.862}, 10) == ('perhaps too narrow', 'line'), (
        'too few to be sure, too many misses'
    )
    assert verdict({'80': 0.615, '95': 0.94}, 10) == ('perhaps too narrow', 'line')
    assert verdict({'80': 0.7, '95': 0.925}, 10) == ('hold', 'ok')
    assert verdict({'80': 0.7}, 400) == ('too narrow', 'warn')
    assert verdict({'80': 0.9}, 400) == ('too wide', 'warn')
    assert verdict({}, 400) == ('not measured', 'line')
    assert verdict({'80': None, '95': 0.95}, 400) == ('not measured', 'line')
    assert [steps_of(figures(steps=steps)) for steps in ((1, 1), (7, 12))] == ['1', '7–12']


def test_over_time_a_forecast_is_one_point_over_its_models() -> None:
    old, new = uuid4(), uuid4()
    rows = [
        scored('auto', forecast=new, points=10, coverage={'80': 0.5}),
        scored('theta', forecast=new, points=30, coverage={'80': 0.9}),
        scored('auto', forecast=old, age=3, coverage={'95': 1.0}),
    ]
    first, second = over_time(rows)
    assert first.held == {'95': 1.0}
    assert second.held == {'80': pytest.approx(0.8)}
    assert first.at < second.at
