"""The REST interface at `/api/v1`: its routers, and the OpenAPI that describes them."""

import asyncio
from functools import cache
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from nicegui import app
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ui.api import (
    access,
    account,
    dashboards,
    datasets,
    forecasts,
    hours,
    jobs,
    notices,
    queries,
    query,
    quotes,
    series,
    track,
    uploads,
)
from ui.api.contract import ROOT, Problem, entity_tag, unchanged
from ui.origins import Origins
from ui.session import COOKIE
from ui.sockets import SocketGuard

DESCRIPTION = (
    'The verbs of the pages, for programs. Sign in by `POST /auth/login` or make an API key under Settings, and send '
    'it as `Authorization: Bearer …`. Times are UTC; errors are problem+json (RFC 9457).'
)


def register(services: Any, *, sockets: SocketGuard, origins: Origins) -> None:
    """Serve the REST interface and its description."""
    parts = routers(services, sockets=sockets, origins=origins)
    for one in parts:
        app.include_router(one)
    asking = asyncio.Lock()

    @cache
    def described() -> tuple[dict[str, Any], str]:
        description = describe(parts)
        return description, entity_tag(description)

    @app.get(f'{ROOT}/openapi.json', include_in_schema=False)
    async def openapi(request: Request) -> Response:
        async with asking:  # it takes a third of a second, which the start of a server need not wait for
            description, tag = await asyncio.to_thread(described)
        headers = {'ETag': tag, 'Cache-Control': 'no-cache'}
        if unchanged(request, tag):
            return Response(status_code=304, headers=headers)
        return JSONResponse(description, headers=headers)


def routers(services: Any, *, sockets: SocketGuard, origins: Origins) -> list[APIRouter]:
    """Every part of the interface."""
    data = (uploads, dashboards, datasets, series, query, queries, forecasts, track, jobs, notices, quotes, hours)
    return [
        access.routes(services, sockets=sockets, origins=origins),
        *(part.routes(services) for part in data),
        account.routes(services, sockets=sockets),
    ]


def describe(routers: list[APIRouter]) -> dict[str, Any]:
    """The OpenAPI of these routers: our own errors in place of the framework's, and both ways to sign in."""
    described = FastAPI(title='VARIOSYNC', version=version('variosync'), description=DESCRIPTION)
    for one in routers:
        described.include_router(one)
    document = described.openapi()
    schemas = document['components']['schemas']
    for name in ('HTTPValidationError', 'ValidationError'):
        schemas.pop(name, None)
    schemas['Problem'] = Problem.model_json_schema()
    document['components']['securitySchemes']['cookie'] = {'type': 'apiKey', 'in': 'cookie', 'name': COOKIE}
    for path in document['paths'].values():
        for operation in path.values():
            answers = operation['responses']
            if 'application/json' in answers.get('422', {}).get('content', {}):
                del answers['422']
            if operation.get('security'):
                operation['security'].append({'cookie': []})
            operation['responses'] = dict(sorted(answers.items()))
    return document
