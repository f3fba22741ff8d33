"""What every test of the user interface needs."""

from collections.abc import Iterator

import pytest
from nicegui import app


@pytest.fixture(autouse=True)
def _no_deeper_lifespan() -> Iterator[None]:
    """FastAPI nests the app's lifespan in itself with every router, and there is one app for all tests: after some
    hundred routers it would recurse too deeply to start."""
    before = app.router.lifespan_context
    yield
    app.router.lifespan_context = before
