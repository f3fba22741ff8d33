"""`GET /health`: whether this server can do its work, and `GET /health/live`: whether requests should come here."""

from typing import Any

from nicegui import app
from starlette.responses import JSONResponse


def register(services: Any) -> None:
    """Answer health checks; 503 when a service without which nothing works is down, or when we are about to stop."""

    @app.get('/health')
    async def health() -> JSONResponse:
        found = await services.health.check()
        body = {'state': found.state, 'services': dict(found.services)}
        return JSONResponse(
            body, 503 if found.state in ('down', 'stopping') else 200, headers={'Cache-Control': 'no-store'}
        )

    @app.get('/health/live')
    async def live() -> JSONResponse:
        # Asks nobody: what all instances share may be away, and sending users nowhere would not bring it back.
        stopping = services.health.stopping
        body = {'state': 'stopping' if stopping else 'ok'}
        return JSONResponse(body, 503 if stopping else 200, headers={'Cache-Control': 'no-store'})
