"""A running server and a real browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browsers import chromium
from tests.e2e.cloud import PLACES, Cloud, Embedded
from tests.e2e.forked import FORKS
from tests.e2e.server import FORKED, Server

ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-quic']
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
def browser() -> Iterator[Browser]:
    """A browser for a module; each test has contexts of its own.

    Playwright keeps an event loop running in this thread as long as it lives: none of a module that asks for it is
    `async`, and it ends before the next module begins.
    """
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(light=True), args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope='module')
def known(browser: Browser) -> Iterator[BrowserContext]:
    """A context that has been here before: what pages share is neither fetched nor compiled again."""
    # Without GPU each step of an animation is painted by the processor.
    context = browser.new_context(viewport=WIDE, reduced_motion='reduce')
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(known: BrowserContext) -> Iterator[Page]:
    """A page of somebody whom no site knows."""
    yield known.new_page()
    for page in known.pages:
        if (at := urlparse(page.url)).netloc:
            known.new_cdp_session(page).send(
                'Storage.clearDataForOrigin',
                {'origin': f'{at.scheme}://{at.netloc}', 'storageTypes': 'cookies,local_storage,indexeddb'},
            )
        page.close()
    known.clear_cookies()
