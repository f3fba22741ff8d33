"""The whole user interface on NiceGUI's own app: guard, errors, routes, pages; and how it is run."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import structlog
from fastapi.exceptions import RequestValidationError
from nicegui import app, helpers, ui
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response

from core.errors import NotFound, NotSignedIn, NotSupported, UsageError, VariosyncError
from core.settings import Settings
from ui import assets, middlewares, standing
from ui.api import auth, health, metrics, palette, rest
from ui.components.panels import find_modules
from ui.edge import Edge
from ui.errors import FAULT, address, error_page, is_json, problem, respond, wants_page, wrong_value
from ui.guard import Guard, secure, sign_in_redirect
from ui.meter import Meter
from ui.metrics import Counters, Counting
from ui.origins import Origins
from ui.pages import (
    audit,
    billing,
    dashboard,
    dashboards,
    dataset,
    datasets,
    explore,
    forecast,
    forecasts,
    help,
    home,
    jobs,
    notices,
    out_of_hours,
    settings,
    sign_in,
    track,
)
from ui.sockets import SocketGuard
from ui.theme import dress

log = structlog.get_logger()

SCREENS = (
    home,
    datasets,
    dataset,
    dashboards,
    dashboard,
    explore,
    forecasts,
    forecast,
    track,
    jobs,
    billing,
    out_of_hours,
    notices,
    settings,
    audit,
    help,
)
PAGES = (health, palette, sign_in, *SCREENS)
RECONNECT = 30.0
SQUEEZE = 4  # of an answer of 80 kB a third is left in 0.8 ms; with 9, the usual, as much in 14, most of it on the loop
FRAMEWORK = {
    405: 'This address does not take that method; the header Allow names those it takes.',
    413: 'The body is larger than this address takes.',
}
FAVICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 20"><rect width="20" height="20" rx="5" fill="#0D9488"/>'
    '<path d="M4 5.5 8 14l2.4-5 1.9 3L16 5.5" fill="none" stroke="#fff" stroke-width="1.75" stroke-linecap="round" '
    'stroke-linejoin="round"/></svg>'
)


# NiceGUI reads from a handler's signature whether it takes arguments, three times for each element that it makes and
# always of the same three methods: more than half of what an element costs. A method is asked once here.
_read = helpers.expects_arguments
_known: WeakKeyDictionary[Callable[..., Any], bool] = WeakKeyDictionary()


def expects_arguments(func: Callable[..., Any]) -> bool:
    """Whether a handler takes arguments that have no default."""
    method = getattr(func, '__func__', None)
    if method is None:
        return _read(func)
    if method not in _known:
        _known[method] = _read(func)
    return _known[method]


def mount(services: Any) -> None:
    """Register everything on `nicegui.app`; before the first request only the settings of `services` are read."""
    origins = Origins(services.settings)
    sockets = SocketGuard(services)
    sockets.install()
    # Pages that end sessions find it here.
    app.state.sockets = sockets
    dress()
    find_modules()
    standing.install()
    helpers.expects_arguments = expects_arguments
    # Inside the guard, which says whose request it is.
    app.add_middleware(Meter, services=services)
    app.add_middleware(Guard, services=services, origins=origins)
    # Outside the guard, so that its refusals are counted too.
    counters = Counters()
    app.add_middleware(Counting, counters=counters)
    app.add_middleware(Edge, proxies=services.settings.trusted_proxies)
    _errors()
    app.add_route('/static/{path:path}', assets.serve, methods=['GET', 'HEAD'])
    auth.register(services, sockets=sockets, origins=origins)
    rest.register(services, sockets=sockets, origins=origins)
    metrics.register(services, counters=counters)
    for module in PAGES:
        module.register(services)


def run(settings: Settings, *, patience: float) -> None:
    """Serve until stopped; requests on their way then have `patience` seconds.

    Client ids ride in socket addresses, so there is no access log.
    """
    middlewares.install()
    ui.run(
        host=settings.host,
        port=settings.port,
        title='VARIOSYNC',
        favicon=FAVICON,
        language='en-US',
        dark=False,
        reload=False,
        show=False,
        show_welcome_message=False,
        gzip_middleware_factory=partial(GZipMiddleware, compresslevel=SQUEEZE),
        tailwind=False,
        reconnect_timeout=RECONNECT,
        uvicorn_logging_level='warning',
        log_config=None,  # its own handlers would write past ours, secrets and all
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=patience,
    )


def _errors() -> None:
    app.add_exception_handler(VariosyncError, _ours)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _framework)
    app.add_exception_handler(404, _framework)
    app.add_exception_handler(Exception, _unknown)
    # NiceGUI writes every exception of an event handler to the log with its traceback; ours are answers, not faults.
    app._exception_handlers[:] = [_in_a_handler]


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, VariosyncError)
    if isinstance(error, NotSignedIn) and wants_page(request.scope):
        return sign_in_redirect(request.scope)
    if error.status >= 500:
        log.error('request failed', path=request.url.path, error=error.message, exc_info=error)
    return respond(request.scope, error)


async def _unreadable(request: Request, error: Exception) -> Response:
    """A value that is not what it must be: the first one is named. A wrong part of the path leads nowhere."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where, *names = first['loc']
    if where == 'path':
        return respond(request.scope, NotFound())
    if first['type'] == 'json_invalid':
        return respond(request.scope, UsageError('The body cannot be read as JSON.', place='body'))
    if where == 'body' and not names and not is_json(request.headers.get('content-type', '')):
        return respond(request.scope, NotSupported('Send the body as application/json.'))
    names = _within(error.body, names)
    place = '.'.join(str(part)[:60] for part in (where, *names))[:200]
    name = place if where == 'body' else '.'.join(str(part) for part in names)[:60]
    return respond(request.scope, UsageError(wrong_value(name, first), place=place))


def _within(body: Any, names: Sequence[str | int]) -> list[str | int]:
    """The place of a wrong value without the steps that only our models have, such as the kind of a quote."""
    place: list[str | int] = []
    for left, name in zip(range(len(names) - 1, -1, -1), names, strict=True):
        known = isinstance(body, dict) and name in body
        if known or not isinstance(body, dict) or not left:
            place.append(name)
            body = body[name] if known else None
    return place


async def _framework(request: Request, error: Exception) -> Response:
    if isinstance(error, VariosyncError):
        return await _ours(request, error)
    status = error.status_code if isinstance(error, HTTPException) else 404
    if status == 404:
        return respond(request.scope, NotFound())
    detail = FRAMEWORK.get(status) or str(getattr(error, 'detail', '')) or 'The request cannot be answered.'
    request_id = request.state.request_id
    if wants_page(request.scope):
        return error_page(status, detail, request_id=request_id, again=address(request.scope))
    headers = getattr(error, 'headers', None)
    return problem(status, detail, code=f'http_{status}', request_id=request_id, headers=headers)


async def _unknown(request: Request, error: Exception) -> Response:
    """A fault of ours. Starlette answers from outside the guard and raises on, so the server logs the traceback."""
    request_id = request.state.request_id
    log.error('request failed', path=request.url.path, error=type(error).__name__)
    if wants_page(request.scope):
        answer: Response = error_page(500, FAULT, request_id=request_id, again=address(request.scope))
    else:
        answer = problem(500, FAULT, code='internal_error', request_id=request_id)
    secure(answer.headers, request.scope)
    return answer


def _in_a_handler(error: Exception) -> None:
    if isinstance(error, VariosyncError) and error.status < 500:
        log.info('action refused', error=error.message)
    else:
        log.error('action failed', error=str(error), exc_info=error)
