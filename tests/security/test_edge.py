"""Whose address counts behind proxies of ours: what they add, never what was sent along."""

from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from core.settings import Settings
from tests.ui.doubles import Services
from ui.edge import Edge
from ui.guard import Guard
from ui.origins import Origins

LIMIT = 10


async def _peer(scope: Scope, receive: Receive, send: Send) -> None:
    client = Request(scope).client
    await PlainTextResponse(client.host if client else '')(scope, receive, send)


async def seen(proxies: int, *headers: str, app: Any = _peer) -> str:
    """The address that the program sees, asked by 10.0.0.9."""
    transport = httpx.ASGITransport(Edge(app, proxies=proxies), client=('10.0.0.9', 1234))
    async with httpx.AsyncClient(transport=transport, base_url='http://127.0.0.1:8080') as client:
        return (await client.get('/', headers=[('X-Forwarded-For', value) for value in headers])).text


@pytest.mark.parametrize(
    ('proxies', 'headers', 'expected'),
    [
        (0, ['203.0.113.5'], '10.0.0.9'),
        (1, ['203.0.113.5'], '203.0.113.5'),
        (1, ['198.51.100.1, 203.0.113.5'], '203.0.113.5'),
        (1, ['198.51.100.1', '203.0.113.5'], '203.0.113.5'),
        (3, ['198.51.100.1, 203.0.113.5, 104.22.17.40', '10.1.1.1'], '203.0.113.5'),
        (2, [' 2001:db8::7 ,10.1.1.1'], '2001:db8::7'),
        (2, ['203.0.113.5'], '10.0.0.9'),
        (1, [], '10.0.0.9'),
        (1, [''], '10.0.0.9'),
        (1, ['203.0.113.5, unknown'], '10.0.0.9'),
        (1, ['203.0.113.5, <script>'], '10.0.0.9'),
    ],
)
async def test_the_address_is_the_one_that_our_outermost_proxy_was_asked_by(
    proxies: int, headers: list[str], expected: str
) -> None:
    assert await seen(proxies, *headers) == expected


async def test_a_thousand_forged_addresses_behind_a_proxy_never_widen_the_limit() -> None:
    settings = Settings(VARIOSYNC_RATE_LIMIT=LIMIT)
    guard = Guard(PlainTextResponse('inside'), services=Services(settings), origins=Origins(settings))
    answers = []
    transport = httpx.ASGITransport(Edge(guard, proxies=1))
    async with httpx.AsyncClient(transport=transport, base_url='http://127.0.0.1:8080') as client:
        for number in range(1000):
            added = {'X-Forwarded-For': f'203.0.{number // 250}.{number % 250}, 198.51.100.7'}
            answers.append((await client.get('/api/v1/openapi.json', headers=added)).status_code)
        elsewhere = await client.get('/api/v1/openapi.json', headers={'X-Forwarded-For': '198.51.100.8'})
    assert answers == [200] * LIMIT + [429] * (1000 - LIMIT)
    assert elsewhere.status_code == 200, 'another browser behind the same proxy has a limit of its own'
