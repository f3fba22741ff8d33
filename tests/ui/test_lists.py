"""Lists of datasets, dashboards and forecasts, and of what was deleted: searched, and a page at a time."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType, SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from nicegui import ui
from nicegui.testing import User, user_simulation

from core.dashboards import Line
from core.datasets import Counts
from core.jobs import Standing
from core.settings import Settings
from core.values import Actor, Deleted, JobState, Session
from tests.ui import doubles
from tests.ui.site import until
from ui.app import mount
from ui.components.finder import OFFERED
from ui.components.paging import address
from ui.pages.dashboard import lost
from ui.pages.datasets import COMPARED, fitting
from ui.session import COOKIE


class Datasets(doubles.Datasets):
    def __init__(self) -> None:
        super().__init__()
        self.gone: list[Deleted] = []

    async def version(self, user_id: UUID, dataset_id: UUID) -> Any:
        columns = [{'name': 'day'}, {'name': 'load'}]
        return SimpleNamespace(manifest={'source': {'dialect': {'delimiter': ','}}, 'columns': columns})

    async def count(self, user_id: UUID, *, query: str = '') -> Counts:
        return Counts(found=len(await self.list(user_id, query=query)), total=len(self.kept), deleted=len(self.gone))

    async def deleted(self, user_id: UUID, *, offset: int = 0, limit: int | None = None) -> Sequence[Deleted]:
        return self.gone[offset:][:limit]

    async def kept_until(self, user_id: UUID, dataset_id: UUID) -> datetime | None:
        return next((one.until for one in self.gone if one.id == dataset_id), None)

    async def undelete(self, user_id: UUID, dataset_id: UUID, *, by: Actor) -> None:
        self.gone = [one for one in self.gone if one.id != dataset_id]


class Dashboards(doubles.Dashboards):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []
        self.gone: list[Deleted] = []

    def templates(self) -> Mapping[str, str]:
        return {'auto': 'Whatever fits'}

    async def list(self, user_id: UUID) -> Any:
        return self.lines

    async def deleted(self, user_id: UUID, *, offset: int = 0, limit: int | None = None) -> Sequence[Deleted]:
        return self.gone[offset:][:limit]

    async def count_deleted(self, user_id: UUID) -> int:
        return len(self.gone)


class Jobs:
    stands: Mapping[UUID, Standing] = MappingProxyType({})

    async def states(self, user_id: UUID, ids: Collection[UUID]) -> Mapping[UUID, Standing]:
        return self.stands


@dataclass
class Lists:
    """A user with 60 each of datasets, dashboards and forecasts, and as many deleted."""

    user: User
    services: Any
    session: Session

    def texts(self) -> list[str]:
        return [text for e in self.user._client.elements.values() if (text := getattr(e, 'text', ''))]

    def hrefs(self, text: str) -> list[str]:
        found = [e for e in self.user._client.elements.values() if getattr(e, 'text', '') == text]
        return [e.props['href'] for e in found if 'href' in e.props]

    def search(self, text: str) -> None:
        (found,) = [e for e in self.user._client.elements.values() if isinstance(e, ui.input)]
        found.set_value(text)


@pytest.fixture
async def lists() -> AsyncIterator[Lists]:
    async with user_simulation() as user:
        services: Any = doubles.Services(Settings(VARIOSYNC_PUBLIC_URL='http://test'))
        services.datasets, services.dashboards, services.jobs = Datasets(), Dashboards(), Jobs()
        token, session = services.accounts.open('maria.keller@example.com')
        now = datetime.now(UTC)
        for number in range(60):
            name = f'Load {number:02}'
            services.datasets.add(session.user.id, name, 3)
            services.forecasts.add(session.user.id, name, dataset_name='Stores')
            services.dashboards.lines.append(
                Line(
                    id=uuid4(),
                    user_id=session.user.id,
                    name=name,
                    revision=1,
                    pinned=False,
                    created_at=now,
                    updated_at=now,
                    panels=2,
                    datasets=(),
                )
            )
            when = now - timedelta(minutes=number)
            services.datasets.gone.append(Deleted(id=uuid4(), name=f'Gone {number:02}', deleted_at=when, by='', rows=3))
            services.dashboards.gone.append(
                Deleted(id=uuid4(), name=f'Gone {number:02}', deleted_at=when, by='', panels=2)
            )
            services.forecasts.gone.append(
                Deleted(id=uuid4(), name=f'Gone {number:02}', deleted_at=when, by='', of='Stores')
            )
        mount(services)
        user.http_client.cookies.set(COOKIE, token)
        yield Lists(user, services, session)


async def test_one_of_many_datasets_is_found_by_its_name(lists: Lists) -> None:
    kept = lists.services.datasets.kept
    await lists.user.open('/dashboards')
    fields = lists.user.find(kind=ui.select, content='Load 00')
    (field,) = fields.elements
    first = [str(one.id) for one in kept[:OFFERED]]
    assert list(field.options) == first, 'a page ships no names of thousands'
    fields.trigger('inputValue', ' Load 57')
    await until(lambda: len(field.options) > OFFERED)
    assert list(field.options) == [*first, str(kept[57].id)], 'those that may be pressed meanwhile keep their places'


@pytest.mark.parametrize('noun', ['dataset', 'dashboard', 'forecast'])
async def test_a_second_search_that_finds_the_same_is_told_as_the_second(lists: Lists, noun: str) -> None:
    await lists.user.open(f'/{noun}s')
    for text in ('ship', 'boat'):
        lists.search(text)
        await lists.user.should_see(f'None has “{text}” in its name')
        assert f'0 {noun}s found' in lists.texts()
    lists.search('Load')
    await until(lambda: f'60 {noun}s found' in lists.texts())
    assert lists.hrefs('Next') == [f'/{noun}s?q=Load&page=2']
    lists.search('Loa')
    await until(lambda: lists.hrefs('Next') == [f'/{noun}s?q=Loa&page=2'])
    lists.search('')
    await until(lambda: lists.hrefs('Next') == [f'/{noun}s?page=2'])
    assert f'60 {noun}s found' not in lists.texts()


@pytest.mark.parametrize(('noun', 'a_page'), [('dataset', 50), ('dashboard', 30), ('forecast', 50)])
async def test_what_was_deleted_comes_a_page_at_a_time(lists: Lists, noun: str, a_page: int) -> None:
    await lists.user.open(f'/{noun}s?show=deleted')
    await lists.user.should_see(f'1 to {a_page} of 60')
    assert lists.hrefs('Next') == [f'/{noun}s?show=deleted&page=2']
    await lists.user.open(f'/{noun}s?show=deleted&page=2')
    await lists.user.should_see(f'{a_page + 1} to 60 of 60')
    assert [text for text in lists.texts() if text.startswith('Gone')] == [f'Gone {n}' for n in range(a_page, 60)]
    assert lists.hrefs('Back') == [f'/{noun}s?show=deleted']


async def test_a_last_page_that_empties_gives_way_to_the_one_before(lists: Lists) -> None:
    lists.services.datasets.gone = lists.services.datasets.gone[:51]
    await lists.user.open('/datasets?show=deleted&page=2')
    await lists.user.should_see('51 to 51 of 51')
    lists.user.find(content='Restore', kind=ui.element).click()
    await until(lambda: 'Gone 00' in lists.texts())
    assert 'Gone 50' not in lists.texts()
    await lists.user.should_see('Gone 50 is back.')


@pytest.mark.parametrize('noun', ['dataset', 'forecast'])
async def test_a_list_is_sorted_as_the_address_says_across_its_pages(lists: Lists, noun: str) -> None:
    def shown() -> list[str]:
        return [text for text in lists.texts() if text.startswith('Load ')]

    def sorts() -> dict[str, tuple[str, str]]:
        heads = [e for e in lists.user._client.elements.values() if 'aria-sort' in e.props]
        links = [(head, link) for head in heads for link in head.default_slot.children]
        return {link.text: (head.props['aria-sort'], link.props['href']) for head, link in links}

    latest = {'dataset': 'Updated', 'forecast': 'Asked'}[noun]
    await lists.user.open(f'/{noun}s?q=Load')
    assert shown() == [f'Load {n:02}' for n in range(50)]
    assert sorts()['Name'] == ('none', f'/{noun}s?q=Load&sort=name')
    assert sorts()[latest] == ('descending', f'/{noun}s?q=Load&sort={latest.lower()}')
    await lists.user.open(f'/{noun}s?q=Load&sort=-name&page=2')
    assert shown() == [f'Load {n:02}' for n in range(9, -1, -1)]
    assert sorts()['Name'] == ('descending', f'/{noun}s?q=Load&sort=name')
    assert sorts()[latest] == ('none', f'/{noun}s?q=Load')
    assert lists.hrefs('Back') == [f'/{noun}s?q=Load&sort=-name']
    lists.search('Load 0')
    await until(lambda: f'10 {noun}s found' in lists.texts())
    assert shown() == [f'Load {n:02}' for n in range(9, -1, -1)]
    await lists.user.open(f'/{noun}s?sort=nonsense')
    assert sorts()[latest][0] == 'descending'


async def test_datasets_are_sorted_by_rows_and_by_how_many_faults_they_have(lists: Lists) -> None:
    kept = lists.services.datasets.kept
    kept[:] = [
        replace(kept[0], name='Few', rows=3, faults=0),
        replace(kept[1], name='Most', rows=9, faults=1),
        replace(kept[2], name='Waits', rows=None, faults=None, version=None),
        replace(kept[3], name='Worst', rows=5, faults=7),
    ]

    def shown() -> list[str]:
        return [text for text in lists.texts() if text in ('Few', 'Most', 'Waits', 'Worst')]

    await lists.user.open('/datasets?sort=-rows')
    assert shown() == ['Most', 'Worst', 'Few', 'Waits']
    await lists.user.open('/datasets?sort=-faults')
    assert shown() == ['Waits', 'Worst', 'Most', 'Few']


async def test_a_file_that_could_not_be_read_says_why_in_its_row(lists: Lists) -> None:
    kept = lists.services.datasets.kept
    kept[0] = replace(kept[0], version=None, rows=None)
    why = 'Column "day" can be read as DD/MM/YYYY or as MM/DD/YYYY. Say whether the day or the month comes first.'
    lists.services.jobs.stands = {kept[0].id: Standing(state=JobState.FAILED, why=why)}
    await lists.user.open('/datasets')
    await lists.user.should_see(why)
    await lists.user.should_see('Not read')


async def test_datasets_that_wait_to_be_converted_hide_none_that_a_file_fits(lists: Lists) -> None:
    kept, session = lists.services.datasets.kept, lists.session
    kept[:] = [replace(one, version=None) for one in kept[:COMPARED]] + kept[COMPARED:]
    ready = [(str(one.id), one.name) for one in kept[COMPARED:]]
    assert await fitting(lists.services, session, 'day,load\n2024-01-01,3\n') == ready[:3]
    assert await fitting(lists.services, session, 'day,price\n2024-01-01,3\n') == []


@pytest.mark.parametrize(
    ('path', 'where'),
    [('/jobs', '/jobs?q=a+b&page=2'), ('/datasets?show=deleted', '/datasets?show=deleted&q=a+b&page=2')],
)
def test_an_address_says_what_is_searched_and_which_page(path: str, where: str) -> None:
    assert address(path, q='a b', page=2) == where
    assert address(path) == path


async def test_a_dashboard_is_told_which_of_its_deleted_datasets_can_be_brought_back(lists: Lists) -> None:
    user_id, datasets = lists.session.user.id, lists.services.datasets
    here, gone, removed = datasets.kept[0].id, datasets.gone[3], uuid4()
    found = await lost(lists.services, user_id, {here, gone.id, removed}, {str(here): {}})
    assert found == {str(gone.id): {'name': 'Gone 03', 'until': f'{gone.until.day} {gone.until:%b %Y}'}}
    assert await lost(lists.services, user_id, {here}, {str(here): {}}) == {}
