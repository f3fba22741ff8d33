"""`GET /health`: whether this server can do its work."""

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
