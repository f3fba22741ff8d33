"""`GET /metrics`: figures for Prometheus, for who knows the token of the settings."""

import hmac
from typing import Any

import structlog
from nicegui import app
from starlette.requests import Request
from starlette.responses import Response

from core.errors import NotFound, Unavailable
from ui.errors import problem
from ui.metrics import Counters

log = structlog.get_logger()


def register(services: Any, *, counters: Counters) -> None:
    """Answer scrapes; without a token in the settings there is nothing here."""

    @app.get('/metrics', include_in_schema=False)
    async def metrics(request: Request) -> Response:
        token = services.settings.metrics_token
        if token is None:
            raise NotFound()
        if not _knows(request.headers.get('authorization', ''), token.get_secret_value()):
            return _refusal(request)
        try:
            figures = await services.metrics.read()
        except Unavailable as error:
            # What this process counts is needed most while the database is away.
            log.warning('metrics without the database', error=error.message)
            figures = None
        body, content_type = counters.text(figures, accept=request.headers.get('accept', ''))
        return Response(body, headers={'Content-Type': content_type, 'Cache-Control': 'no-store'})


def _knows(authorization: str, token: str) -> bool:
    scheme, _, given = authorization.partition(' ')
    return hmac.compare_digest(given.strip().encode(), token.encode()) and scheme.lower() == 'bearer'


def _refusal(request: Request) -> Response:
    detail = 'Send the metrics token: "Authorization: Bearer …" with VARIOSYNC_METRICS_TOKEN of this server.'
    answer = problem(401, detail, code='not_signed_in', request_id=request.state.request_id)
    answer.headers['WWW-Authenticate'] = 'Bearer'
    return answer
