"""A running server and a real browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.cloud import PLACES, Cloud, Embedded
from tests.e2e.forked import FORKS
from tests.e2e.kept import RUNNING, Running
from tests.e2e.server import FORKED, Server

WIDE = {'width': 1440, 'height': 900}
PATIENCE = 30_000  # ms that a page may take to show what a test waits for
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope='session', autouse=True)
def _first_starts_are_spared(migrated_home: Path) -> Iterator[None]:
    """Let servers begin with a database that was made before, unless a test says that a first start is its matter.

    Theirs is a process that has imported all that they need, if they are to be `FORKED`.
    """
    Server.template = migrated_home
    yield
    Server.template = None
    for forks in FORKS.values():
        forks.close()


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


@pytest.fixture(scope='session')
def server() -> Iterator[Server]:
    """One server for all tests of a worker that neither stop it nor set anything; each makes accounts of its own."""
    folder = Path(mkdtemp(prefix='vs-'))
    # More accounts than one address may make: each says that it comes from elsewhere (`Server.client`). And an account
    # that several tests share asks more than one person does.
    running = Server(folder, command=FORKED, VARIOSYNC_TRUSTED_PROXIES='1', VARIOSYNC_RATE_LIMIT='1000000')
    try:
        yield running.start()
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope='module')
def running(pytestconfig: pytest.Config) -> Iterator[Running]:
    """The browser of this worker and what is kept of it; no module that asks for it has `async` tests."""
    if not pytestconfig.pluginmanager.is_registered(RUNNING):
        pytestconfig.pluginmanager.register(RUNNING)
    yield RUNNING
    RUNNING.rest()


@pytest.fixture(scope='module')
def browser(running: Running) -> Browser:
    """A browser, in which each test has contexts of its own."""
    return running.browser()


@pytest.fixture
def page(running: Running) -> Iterator[Page]:
    """A page of somebody whom no site knows."""
    # Without GPU each step of an animation is painted by the processor.
    kept = running.kept(viewport=WIDE, reduced_motion='reduce')
    yield kept.page()
    kept.leave()
