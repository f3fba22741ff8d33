"""The browser of a worker, and what of it is kept from test to test."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from tests.browsers import ARGUMENTS, chromium

# What is done to a page and stays when it goes elsewhere; and a key or a button may be held.
STAYS = (
    'add_init_script', 'emulate_media', 'expose_binding', 'expose_function', 'once', 'route', 'route_from_har',
    'route_web_socket', 'set_default_navigation_timeout', 'set_default_timeout', 'set_extra_http_headers',
)  # fmt: skip

# What goes wrong at the end of a test is told before this ends, as it would be before a page is closed.
LATER = '() => new Promise((resolve) => { setTimeout(resolve); })'


class Kept:
    """The page of a context that goes from test to test, and each of them finds as if it were new.

    What pages of ours share is neither fetched nor compiled again: the first page of a test takes half as long.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self._page: Page | None = None
        self._size: Any = None
        self._stained = False
        self._heard: list[tuple[Any, Any]] = []

    def page(self) -> Page:
        """The page; a new one after a test that closed it, or did to it what stays."""
        if self._page is None or self._page.is_closed():
            self._page, self._stained, self._heard = self.context.new_page(), False, []
            self._size = self._page.viewport_size
            self._page.on = self._hearing(self._page.on)  # type: ignore[method-assign]
            for of, names in ((self._page, STAYS), (self._page.keyboard, ('down',)), (self._page.mouse, ('down',))):
                for name in names:
                    setattr(of, name, self._staining(getattr(of, name)))
        return self._page

    def leave(self) -> None:
        """End a test: no other page stays open, and nothing stays that a site could know somebody by."""
        if self._page and not self._page.is_closed():
            with suppress(Error):  # it goes elsewhere
                self._page.evaluate(LATER)
            for event, handler in self._heard:
                self._page.remove_listener(event, handler)
            self._heard.clear()
        for page in self.context.pages:
            if page is not self._page or self._stained or not self._left(page):
                self._forget(page)
                page.close()
        self.context.clear_cookies()

    def _left(self, page: Page) -> bool:
        """Leave the document for one of the same origin that does nothing, or the process would be another one."""
        at = urlparse(page.url)
        if at.scheme != 'http':
            return False
        try:
            page.goto(f'http://{at.netloc}/health/live')
        except Error:  # its server is gone
            return False
        page.evaluate("() => { sessionStorage.clear(); window.name = ''; }")
        self._forget(page)
        self._ask(page, 'Page.resetNavigationHistory')
        if page.viewport_size != self._size:
            page.set_viewport_size(self._size)
        return True

    def _forget(self, page: Page) -> None:
        if (at := urlparse(page.url)).netloc:
            where = {'origin': f'{at.scheme}://{at.netloc}', 'storageTypes': 'cookies,local_storage,indexeddb'}
            self._ask(page, 'Storage.clearDataForOrigin', where)

    def _ask(self, page: Page, method: str, told: dict[str, Any] | None = None) -> None:
        device = self.context.new_cdp_session(page)
        device.send(method, told)
        device.detach()

    def _hearing(self, on: Callable[..., None]) -> Callable[..., None]:
        def noted(event: Any, handler: Any) -> None:
            self._heard.append((event, handler))
            on(event, handler)

        return noted

    def _staining(self, done: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*told: Any, **named: Any) -> Any:
            self._stained = True
            return done(*told, **named)

        return noted


class Running:
    """The browser of a worker, for all modules that ask for one and follow each other.

    Playwright keeps an event loop running in this thread as long as it lives, beside which no `async` test can run: it
    ends with the module after which comes a test that asks for no browser. It is a plug-in, to know what comes.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._browser: Browser | None = None
        self._kept: Kept | None = None
        self._goes_on = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """Note whether the test after this one asks for a browser, in a folder whose own fixtures are there."""
        asked = nextitem and 'running' in getattr(nextitem, 'fixturenames', ())
        self._goes_on = bool(asked and nextitem and nextitem.path.parent == item.path.parent)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """End it where it went on for a test that did not come so far."""
        if self._goes_on and 'running' not in getattr(item, 'fixturenames', ()):
            self._goes_on = False
            self.rest()

    def browser(self) -> Browser:
        """The browser that runs, or begins to."""
        if self._browser is None:
            playwright = self._stack.enter_context(sync_playwright())
            self._browser = playwright.chromium.launch(executable_path=chromium(light=True), args=ARGUMENTS)
            self._stack.callback(self._browser.close)
        return self._browser

    def kept(self, **options: Any) -> Kept:
        """A context of it that has been here before, made with these options when it is first asked for."""
        if self._kept is None:
            self._kept = Kept(self.browser().new_context(**options))
        return self._kept

    def rest(self) -> None:
        """End it, unless the next test goes on with it."""
        if not self._goes_on:
            self._browser = self._kept = None
            self._stack.close()


RUNNING = Running()
