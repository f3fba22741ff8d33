"""Notices: kept until read, told once, and only to the one they are for."""

import asyncio
from uuid import uuid4

import pytest

from core.errors import NotFound
from core.values import Notice, User
from storage.postgres import Postgres
from tests import factories
from tests.flows.conftest import Product


async def add(product: Product, user: User, title: str, *, level: str = 'info') -> Notice:
    """Record a notice and tell open pages."""
    async with product.database.system() as tx:
        notice = await product.notices.add(tx, user.id, level=level, title=title)
    await product.notices.tell(notice)
    return notice


async def test_latest_come_a_page_at_a_time(product: Product, user: User) -> None:
    added = [await add(product, user, f'{number}') for number in range(5)]
    first = await product.notices.latest(user.id, limit=2)
    second = await product.notices.latest(user.id, limit=2, before=first[-1].id)
    third = await product.notices.latest(user.id, limit=2, before=second[-1].id)
    assert [*first, *second, *third] == added[::-1]


async def test_one_is_read_and_then_all(product: Product, user: User) -> None:
    first, second = await add(product, user, 'first'), await add(product, user, 'second')
    await product.notices.read(user.id, first.id)
    read_at = (await product.notices.latest(user.id))[1].read_at
    assert read_at is not None
    await product.notices.read(user.id, first.id)
    assert (await product.notices.latest(user.id))[1].read_at == read_at
    assert [notice.id for notice in await product.notices.latest(user.id, unread=True)] == [second.id]
    assert await product.notices.unread(user.id) == 1
    await product.notices.read_all(user.id)
    assert not await product.notices.latest(user.id, unread=True)


async def test_those_that_a_list_has_shown_are_read_and_no_others(product: Product, user: User) -> None:
    stranger = await factories.user(product.database)
    left, shown = await add(product, user, 'left'), await add(product, user, 'shown')
    foreign = await add(product, stranger, 'foreign')
    async with product.events.subscribe(f'{user.id}/notices') as messages:
        await product.notices.read_listed(user.id, [shown.id, foreign.id])
        assert 'title' not in await anext(messages)
    assert await product.notices.latest(user.id, unread=True) == [left]
    assert await product.notices.latest(stranger.id, unread=True) == [foreign]
    await product.notices.read_listed(user.id, [])
    assert await product.notices.unread(user.id) == 1


async def test_each_is_told_once(product: Product, user: User) -> None:
    shown, missed = await add(product, user, 'shown'), await add(product, user, 'missed', level='bad')
    await product.notices.told(user.id, shown.id)
    assert [notice.id for notice in await product.notices.untold(user.id)] == [missed.id]
    assert not await product.notices.untold(user.id)
    assert await product.notices.unread(user.id) == 2


async def test_two_pages_that_open_together_do_not_both_tell(product: Product, user: User) -> None:
    for number in range(3):
        await add(product, user, f'{number}')
    answers = await asyncio.gather(*(product.notices.untold(user.id) for _ in range(6)))
    assert sorted(notice.title for answer in answers for notice in answer) == ['0', '1', '2']


async def test_other_pages_hear_that_something_was_read(product: Product, user: User) -> None:
    notice = await add(product, user, 'done')
    async with product.events.subscribe(f'{user.id}/notices') as messages:
        await product.notices.read(user.id, notice.id)
        assert 'title' not in await anext(messages)


async def test_a_stranger_reads_and_hears_nothing(product: Product, user: User, database: Postgres) -> None:
    stranger = await factories.user(database)
    notice = await add(product, user, 'done', level='bad')
    with pytest.raises(NotFound):
        await product.notices.read(stranger.id, notice.id)
    with pytest.raises(NotFound):
        await product.notices.read(user.id, uuid4())
    await product.notices.told(stranger.id, notice.id)
    assert not await product.notices.latest(stranger.id, before=notice.id)
    assert not await product.notices.untold(stranger.id)
    await product.notices.read_all(stranger.id)
    assert await product.notices.unread(user.id) == 1
    assert [kept.id for kept in await product.notices.untold(user.id)] == [notice.id]
