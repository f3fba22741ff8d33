"""A page that goes from test to test: each hears its own errors to the end, and none finds a hand of the one before."""

import pytest
from playwright.sync_api import Browser

from tests.e2e.kept import Kept
from tests.e2e.server import Server

pytestmark = pytest.mark.xdist_group('pages')


def test_what_goes_wrong_as_a_test_ends_is_heard(server: Server, browser: Browser) -> None:
    heard: list[str] = []
    with browser.new_context() as context:
        kept = Kept(context)
        page = kept.page()
        page.on('pageerror', lambda error: heard.append(str(error)))
        page.goto(f'{server.url}/health/live')
        page.evaluate("() => { setTimeout(() => { throw new Error('late'); }); }")
        kept.leave()
        assert kept.page() is page
        page.evaluate("() => { setTimeout(() => { throw new Error('of another test'); }); }")
        page.goto(f'{server.url}/health/live')
    assert heard == ['late']


def test_no_key_and_no_button_is_held_that_a_test_left_so(server: Server, browser: Browser) -> None:
    with browser.new_context() as context:
        kept = Kept(context)
        page = kept.page()
        page.goto(f'{server.url}/health/live')
        page.mouse.move(300, 200)
        page.mouse.down()
        page.keyboard.down('Shift')
        kept.leave()
        page = kept.page()
        page.goto(f'{server.url}/health/live')
        page.evaluate('() => { onmousemove = (event) => { window.told = [event.shiftKey, event.buttons]; }; }')
        page.mouse.move(310, 210)
        assert page.evaluate('told') == [False, 0]
