"""A running server and a real browser."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.cloud import PLACES, Cloud, Embedded
from tests.e2e.server import Server

ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-quic']
WIDE = {'width': 1440, 'height': 900}
PATIENCE = 30_000  # ms that a page may take to show what a test waits for
expect.set_options(timeout=PATIENCE)


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(mkdtemp(prefix='vs-'))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope='module')
def place(request: pytest.FixtureRequest) -> Iterator[Embedded | Cloud]:
    """Where the servers of a module run; tests name it by `parametrize('place', PLACES, indirect=True)`."""
    with PLACES[getattr(request, 'param', 'embedded')]() as place:
        yield place


@pytest.fixture
def server(home: Path) -> Iterator[Server]:
    running = Server(home).start()
    yield running
    running.stop()


@pytest.fixture
def browser() -> Iterator[Browser]:
    """A browser for one test: Playwright keeps an event loop running in this thread as long as it lives."""
    path = os.environ.get('CHROMIUM') or shutil.which('chromium') or shutil.which('google-chrome')
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport=WIDE)
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()
