"""How often the REST interface may be asked, by whom, and that no header widens it."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from nicegui import app
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from core.errors import TooMany
from core.settings import Settings
from storage.cache import MemoryCache
from tests.contracts.test_cache import Clock
from tests.ui.doubles import Services
from tests.ui.site import Site, open_site
from ui.guard import Guard
from ui.limits import Limits, tell
from ui.origins import Origins
from ui.session import signed_in

LIMIT = 10
PROBE = '/api/v1/limit-probe'
UPLOAD = '/api/v1/uploads/limit-probe'
BEAT = '/api/v1/hours/heartbeat'


@pytest.fixture(scope='module')
async def started() -> AsyncIterator[Site]:
    async with open_site(VARIOSYNC_RATE_LIMIT=LIMIT) as site:

        @app.get(PROBE)
        async def probe(request: Request) -> PlainTextResponse:
            return PlainTextResponse(signed_in(request, 'jobs:read').user.email)

        @app.get(f'{PROBE}/broken')
        async def broken(request: Request) -> PlainTextResponse:
            raise RuntimeError('a fault')

        yield site


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def site(started: Site, clock: Clock) -> Site:
    started.forget()
    started.services.cache = MemoryCache(clock=clock)
    return started


def bearer(token: str) -> dict[str, str]:
    return {'Authorization': f'Bearer {token}'}


async def statuses(site: Site, count: int, path: str = PROBE, *, method: str = 'GET', **headers: str) -> list[int]:
    async with site.browser() as browser:
        del browser.headers['Sec-Fetch-Site'], browser.headers['Origin']
        return [(await browser.request(method, path, headers=headers)).status_code for _ in range(count)]


async def test_what_is_left_is_told_and_the_next_one_is_asked_to_wait(site: Site, clock: Clock) -> None:
    token, _ = site.services.accounts.open('ann@example.com')
    left = []
    async with site.browser(token) as browser:
        for _ in range(LIMIT):
            answer = await browser.get(PROBE)
            assert answer.status_code == 200
            left.append([answer.headers[f'ratelimit-{name}'] for name in ('limit', 'remaining', 'reset')])
            clock.now += 1.5
        assert left == [[str(LIMIT), str(LIMIT - 1 - number), '60'] for number in range(LIMIT)]
        answer = await browser.get(PROBE)
        assert answer.status_code == 429
        assert answer.headers['content-type'] == 'application/problem+json'
        assert answer.headers['retry-after'] == '45'
        assert answer.json()['code'] == 'too_many'
        assert [answer.headers[f'ratelimit-{name}'] for name in ('limit', 'remaining', 'reset')] == ['10', '0', '59']
        clock.now += 45
        assert (await browser.get(PROBE)).status_code == 200


@pytest.mark.parametrize(
    ('path', 'status'), [(PROBE, 401), ('/api/v1', 401), ('/api/v1/nothing', 401), ('/api/v1/auth/verify', 401)]
)
async def test_every_answer_to_a_stranger_tells_the_limit(site: Site, path: str, status: int) -> None:
    async with site.browser() as browser:
        answer = await browser.get(path)
        assert answer.status_code == status
        assert answer.headers['www-authenticate'] == 'Bearer'
        assert answer.headers['ratelimit-remaining'] == str(LIMIT - 1)


async def test_faults_and_refusals_tell_the_limit_too(site: Site) -> None:
    token, _ = site.services.accounts.open('ann@example.com')
    async with site.browser(token) as browser:
        assert (await browser.get('/api/v1/nothing')).headers['ratelimit-remaining'] == '9'
        answer = await browser.get(f'{PROBE}/broken')
        assert answer.status_code == 500
        assert answer.headers['ratelimit-remaining'] == '8'
        foreign = await browser.post(PROBE, headers={'Origin': 'https://evil.example'})
        assert foreign.status_code == 403
        assert foreign.headers['ratelimit-remaining'] == '9', 'a foreign page spends its own limit, not the user’s'


async def test_pages_are_not_limited(site: Site) -> None:
    token, _ = site.services.accounts.open('ann@example.com')
    async with site.browser(token) as browser:
        for path in ['/health', '/nothing', '/api', '/api/v10/x'] * LIMIT:
            answer = await browser.get(path)
            assert answer.status_code in (200, 404)
            assert 'ratelimit-limit' not in answer.headers


async def test_a_key_has_half_of_what_its_user_has(site: Site) -> None:
    accounts = site.services.accounts
    first, _ = accounts.open('ann@example.com')
    second, _ = accounts.open('ann@example.com')
    bob, _ = accounts.open('bob@example.com')
    key, another, third = (accounts.open_key('ann@example.com', 'jobs:read') for _ in range(3))
    half = LIMIT // 2
    assert await statuses(site, half + 1, **bearer(key)) == [200] * half + [429]
    assert await statuses(site, LIMIT, **bearer(key)) == [429] * LIMIT
    assert await statuses(site, LIMIT - half, **bearer(first)) == [200] * (LIMIT - half)
    assert await statuses(site, 1, **bearer(another)) == [429], 'many keys do not widen the limit of their user'
    assert await statuses(site, 1, **bearer(second)) == [429], 'sessions of one user share theirs'
    assert await statuses(site, 1, Cookie=f'variosync_session={first}') == [429]
    assert await statuses(site, 1, **bearer(third)) == [429]
    assert await statuses(site, 1, **bearer(bob)) == [200]


FORGED = ['X-Forwarded-For', 'X-Real-IP', 'Forwarded', 'CF-Connecting-IP', 'True-Client-IP']


@pytest.mark.parametrize('header', FORGED)
async def test_a_forged_address_has_no_limit_of_its_own(site: Site, header: str) -> None:
    for number in range(LIMIT):
        assert await statuses(site, 1, **{header: f'203.0.113.{number}'}) == [401]
    assert await statuses(site, 1, **{header: '203.0.113.99'}) == [429]


async def test_a_thousand_forged_addresses_never_widen_the_limit() -> None:
    settings = Settings(VARIOSYNC_RATE_LIMIT=LIMIT)
    guard = Guard(PlainTextResponse('inside'), services=Services(settings), origins=Origins(settings))
    answers = []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url='http://127.0.0.1:8080') as client:
        for number in range(1000):
            forged = dict.fromkeys(FORGED, f'203.0.{number // 250}.{number % 250}')
            answers.append((await client.get('/api/v1/openapi.json', headers=forged)).status_code)
    assert answers == [200] * LIMIT + [429] * (1000 - LIMIT)


async def test_guessed_keys_are_counted_and_then_not_even_looked_at(
    site: Site, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = site.services.accounts.open_key('ann@example.com', 'jobs:read')
    guesses = [f'vsk_{number:043}' for number in range(LIMIT + 20)]
    looked: list[str] = []
    principal = site.services.accounts.principal

    async def watched(token: str) -> Any:
        looked.append(token)
        return await principal(token)

    monkeypatch.setattr(site.services.accounts, 'principal', watched)
    answers = [status for guess in guesses for status in await statuses(site, 1, **bearer(guess))]
    assert answers == [401] * LIMIT + [429] * 20
    assert looked == guesses[: LIMIT + 1]
    assert await statuses(site, 1, **bearer(good)) == [429], 'a right guess would not be told from a wrong one'
    clock.now += 60
    assert await statuses(site, 1, **bearer(good)) == [200]


async def test_guessing_does_not_hold_up_who_is_signed_in_at_the_same_address(site: Site) -> None:
    token, _ = site.services.accounts.open('ann@example.com')
    await statuses(site, LIMIT + 5, **bearer('vsk_' + 'x' * 43))
    assert await statuses(site, 1, Cookie=f'variosync_session={token}') == [200]


@pytest.mark.parametrize(('method', 'path'), [('PATCH', UPLOAD), ('HEAD', UPLOAD), ('POST', BEAT)])
async def test_bytes_of_an_upload_and_beats_of_a_page_are_bounded_otherwise(site: Site, method: str, path: str) -> None:
    key = site.services.accounts.open_key('ann@example.com', 'jobs:read')
    assert 429 not in await statuses(site, LIMIT + 5, path, method=method, **bearer(key))
    assert await statuses(site, 1, **bearer(key)) == [200]
    unknown = await statuses(site, LIMIT + 1, path, method=method, **bearer('vsk_' + 'x' * 43))
    assert unknown == [401] * LIMIT + [429], 'for who is unknown there is no exception'


# addresses


@pytest.fixture
def limits() -> Limits:
    services = Services(Settings(VARIOSYNC_RATE_LIMIT=1))
    services.cache = MemoryCache(clock=Clock())
    return Limits(services)


def asked_from(address: Any) -> dict[str, Any]:
    return {'type': 'http', 'method': 'GET', 'path': PROBE, 'state': {'session': None}, 'client': address}


@pytest.mark.parametrize(
    ('first', 'second'),
    [
        ('192.0.2.1', '192.0.2.1'),
        ('192.0.2.1', '::ffff:192.0.2.1'),
        ('2001:db8:1:2::1', '2001:db8:1:2:ffff::2'),
        ('fe80::1%eth0', 'fe80::2%eth1'),
        ('testclient', 'testclient'),
        (None, None),
    ],
)
async def test_one_who_asks_has_one_limit(limits: Limits, first: str | None, second: str | None) -> None:
    await limits.count(asked_from((first, 1) if first else None))
    with pytest.raises(TooMany):
        await limits.count(asked_from((second, 2) if second else None))


@pytest.mark.parametrize(
    ('first', 'second'), [('192.0.2.1', '192.0.2.2'), ('2001:db8:1:2::1', '2001:db8:1:3::1'), ('192.0.2.1', None)]
)
async def test_others_have_their_own(limits: Limits, first: str, second: str | None) -> None:
    await limits.count(asked_from((first, 1)))
    await limits.count(asked_from((second, 1) if second else None))


def test_an_answer_without_a_limit_tells_none() -> None:
    headers = MutableHeaders()
    tell(headers, {'type': 'http', 'state': {}})
    assert headers.raw == []
