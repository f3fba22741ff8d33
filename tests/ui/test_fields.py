"""What tests of pages compile once is told apart by all that it checks."""

from typing import Annotated

import httpx
from fastapi import FastAPI, Query

from tests.ui import fields


async def test_queries_that_differ_in_a_bound_alone_are_checked_apart():
    fields.remember()
    app = FastAPI()

    @app.get('/few')
    def few(n: Annotated[int | None, Query(ge=1, le=5)] = None) -> int | None:
        return n

    @app.get('/many')
    def many(n: Annotated[int | None, Query(ge=1)] = None) -> int | None:
        return n

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url='http://test') as client:
        assert [(await client.get(f'/{name}?n=6')).status_code for name in ('few', 'many')] == [422, 200]
