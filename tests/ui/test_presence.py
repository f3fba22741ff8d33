"""Who looks at a page: pages of one process share a room, processes tell one another."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.ui.doubles import Events
from tests.ui.site import until
from ui.pages import presence
from ui.pages.presence import Room


class Page:
    """What a page shows."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.shown: list[list[str]] = []

    def show(self, names: list[str]) -> None:
        self.shown.append(names)


@pytest.fixture
async def rooms() -> AsyncIterator[list[Room]]:
    events = Events()
    made = [Room(events, 'u/dashboards/1/presence') for _ in range(2)]
    yield made
    for room in made:
        for page in list(room._pages):
            await room.leave(page)


async def test_a_page_hears_of_one_beside_it_and_of_one_elsewhere(rooms: list[Room]) -> None:
    here, elsewhere = rooms
    first, second, third = Page('ada'), Page('ben'), Page('cleo')
    await here.enter(first)
    assert first.shown == [['ada']]
    await here.enter(second)
    assert first.shown[-1] == second.shown[-1] == ['ada', 'ben']
    await elsewhere.enter(third)
    await until(lambda: third.shown[-1] == ['cleo', 'ada', 'ben'])
    await until(lambda: first.shown[-1] == ['ada', 'ben', 'cleo'])
    await elsewhere.leave(third)
    await until(lambda: first.shown[-1] == ['ada', 'ben'])
    await here.leave(second)
    assert first.shown[-1] == ['ada']


async def test_opening_many_pages_tells_each_of_them_once_a_page(rooms: list[Room]) -> None:
    room, _ = rooms
    pages = [Page(f'page {number}') for number in range(10)]
    for page in pages:
        await room.enter(page)
    assert [len(page.shown) for page in pages] == list(range(10, 0, -1))


async def test_a_process_that_falls_silent_is_gone(rooms: list[Room], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, 'BEAT', 0.02)
    monkeypatch.setattr(presence, 'GONE', 0.1)
    here, elsewhere = rooms
    first, other = Page('ada'), Page('ben')
    await here.enter(first)
    await elsewhere.enter(other)
    await until(lambda: first.shown[-1] == ['ada', 'ben'])
    for task in elsewhere._tasks:
        task.cancel()
    await until(lambda: first.shown[-1] == ['ada'])


async def test_a_room_is_closed_with_its_last_page() -> None:
    events, page = Events(), Page('ada')
    channel = f'{uuid4()}/presence'
    room = Room.of(events, channel)
    await room.enter(page)
    assert Room.of(events, channel) is room
    await until(lambda: events.queues.get(channel))
    await room.leave(page)
    await until(lambda: not events.queues[channel])
    assert channel not in Room.open
