"""What every test of the user interface needs."""

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from nicegui import app
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.ui import fields
from ui.api import rest

fields.remember()


@pytest.fixture(autouse=True)
def _no_deeper_lifespan() -> Iterator[None]:
    """FastAPI nests the app's lifespan in itself with every router, and there is one app for all tests: after some
    hundred routers it would recurse too deeply to start."""
    before = app.router.lifespan_context
    yield
    app.router.lifespan_context = before


@pytest.fixture(autouse=True)
def _no_walks_through_what_is_left() -> Iterator[None]:
    """Spare later collections, of which each page makes two, what the framework keeps of the pages before."""
    yield
    gc.freeze()


@pytest.fixture(autouse=True)
def _rest_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the REST interface with the first request for it: its 150 routes take longer than a page's test, and
    few of those ask it."""
    register = rest.register

    def later(services: Any, **given: Any) -> None:
        app.router.routes.append(Route('/api/v1/{rest:path}', _Later(lambda: register(services, **given))))

    monkeypatch.setattr(rest, 'register', later)


class _Later:
    """Stands where the REST interface will be."""

    def __init__(self, register: Callable[[], None]) -> None:
        self._register = register

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app.router.routes[:] = [route for route in app.router.routes if getattr(route, 'endpoint', None) is not self]
        self._register()
        await app.router(scope, receive, send)
