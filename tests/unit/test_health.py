"""Health: what is down, what is degraded, and how often it is asked."""

import asyncio
from types import SimpleNamespace

import pytest

from core import services
from core.errors import Unavailable
from core.services import HealthCheck


class World:
    """Adapters of which some do not answer."""

    def __init__(self, *, broken: str = '', silent: str = '') -> None:
        self.asked = 0
        self.broken = broken
        self.silent = silent

    def adapters(self):
        return SimpleNamespace(
            database=SimpleNamespace(ping=self.answer('database')),
            objects=SimpleNamespace(ping=self.answer('objects')),
            cache=SimpleNamespace(ping=self.answer('cache')),
            events=SimpleNamespace(publish=self.answer('events')),
        )

    def answer(self, name):
        async def ask(*values, **options):
            self.asked += 1
            if name == self.broken:
                raise Unavailable(f'{name} is away.')
            if name == self.silent:
                await asyncio.Event().wait()

        return ask


@pytest.mark.parametrize(
    ('broken', 'state'),
    [('', 'ok'), ('database', 'down'), ('objects', 'down'), ('cache', 'degraded'), ('events', 'degraded')],
)
async def test_state_follows_what_is_broken(broken, state):
    health = await HealthCheck(World(broken=broken).adapters()).check()
    assert health.state == state
    assert [name for name, said in health.services.items() if said != 'ok'] == ([broken] if broken else [])


@pytest.mark.parametrize(('silent', 'state'), [('database', 'down'), ('events', 'degraded')])
async def test_a_service_that_says_nothing_is_not_waited_for(monkeypatch, silent, state):
    monkeypatch.setattr(services, 'ANSWERED', 0.01)
    async with asyncio.timeout(5):
        health = await HealthCheck(World(silent=silent).adapters()).check()
    assert (health.state, health.services[silent]) == (state, 'There was no answer within 0.01 s.')


async def test_who_stops_asks_nobody():
    world = World()
    check = HealthCheck(world.adapters())
    check.stopping = True
    assert (await check.check()).state == 'stopping'
    assert world.asked == 0


async def test_answer_is_kept_for_five_seconds(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(services, 'time', SimpleNamespace(monotonic=lambda: now[0]))
    world = World()
    check = HealthCheck(world.adapters())
    await check.check()
    now[0] += 4.9
    await check.check()
    assert world.asked == 4
    now[0] += 0.2
    await check.check()
    assert world.asked == 8
