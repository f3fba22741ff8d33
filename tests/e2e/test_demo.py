"""The sample workspace: soon there on a first start, forecast by itself, whole after kills, filled by command."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.forked import run
from tests.e2e.server import FORKED, ROOT, Server

pytestmark = pytest.mark.xdist_group('browser')

MADE = ['Grid load', 'Shop sales']
SAID = """\
Shop sales: 13,127 rows, 166 faults
  Bakery units in September: succeeded
Grid load: 26,269 rows, 0 faults
  Load, 48 hours: succeeded
"""


def until(condition: Callable[[], Any], *, within: float = 180) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, 'it did not come to pass'
        time.sleep(0.1)


def items(client: httpx.Client, what: str) -> list[dict[str, Any]]:
    answer = client.get(f'/api/v1/{what}')
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()['items']
    return found


def cookies(page: Page) -> dict[str, str]:
    return {cookie['name']: cookie['value'] for cookie in page.context.cookies()}


def variosync(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(*arguments, environment={'VARIOSYNC_HOME': str(home)}, timeout=400)


def test_it_is_filled_whatever_is_killed_and_by_whom_and_ticks_nothing(home: Path, page: Page):
    """The server is killed as soon as it is ready, when the first file has arrived, and when both have; the command
    does the rest of the work without a server. What is deleted stays away until `--reset`."""
    problems: list[str] = []
    page.on('pageerror', lambda error: problems.append(str(error)))
    page.on('console', lambda said: problems.append(said.text) if said.type == 'error' else None)
    server = Server(home, command=FORKED, fresh=True, VARIOSYNC_DEMO='true')
    try:
        server.start()
        server.kill()
        for reached in (1, 2):
            server.start()
            with httpx.Client(base_url=server.url, timeout=60) as client:
                client.get(server.link)
                until(lambda: len(items(client, 'datasets')) >= reached)  # noqa: B023 - called in this round alone
            server.kill()
        said = variosync(home, 'demo')
        assert (said.returncode, said.stdout) == (0, SAID), said.stderr

        server.start()
        page.goto(server.link)
        expect(page.get_by_text('166 faults')).to_be_visible(timeout=60_000)
        expect(page.get_by_text('0 of 3')).to_be_visible()
        expect(page.get_by_text('4 models of 2 forecasts')).to_be_visible()
        expect(page.get_by_role('img', name='What the bands held in 2 forecasts')).to_be_visible()
        sample = page.get_by_role('region', name='The sample')
        expect(sample).to_contain_text('The sample is ready')
        sample.get_by_role('link', name='A forecast that was kept').click()
        expect(page.locator('[data-ready="1"]').first).to_be_visible()
        page.goto(f'{server.url}/track')
        expect(page.get_by_text('Of 358 values that came after they were forecast.')).to_be_visible()
        told = re.search(r'of (\d+) values the 80% band held (\d+)', (ROOT / 'docs' / 'tutorial.md').read_text())
        assert told, 'the tutorial tells what is on this page'
        expect(page.get_by_text(f'{told[2]} of {told[1]}', exact=True)).to_be_visible()
        page.goto(server.url)
        sample.get_by_role('link', name='A dashboard to share').click()
        expect(page.locator('.board[data-ready="1"]')).to_be_visible()
        expect(page.get_by_text('September as foreseen in August, and as it came')).to_be_visible()
        page.goto(server.url)
        sample.get_by_role('link', name='A dirty file').click()
        expect(page.get_by_role('table').first).to_contain_text('2024-02-30')
        page.get_by_role('link', name='Overview').click()
        expect(page.locator('[data-ready="1"]').first).to_be_visible()
        account = '12,786 read = 12,626 accepted + 141 repaired + 19 rejected'
        expect(page.locator('.recon').first).to_contain_text(account)
        assert problems == []

        again = variosync(home, 'demo')
        assert (again.returncode, again.stdout) == (0, SAID), again.stderr
        with httpx.Client(base_url=server.url, cookies=cookies(page), timeout=60) as client:
            assert [forecast['state'] for forecast in items(client, 'forecasts')] == ['succeeded'] * 2
            assert sorted(found['name'] for found in items(client, 'datasets')) == MADE
            assert sorted(job['kind'] for job in items(client, 'jobs')) == ['convert'] * 3 + ['forecast'] * 2 + [
                'score'
            ]
            for dataset in items(client, 'datasets'):
                deleted = client.delete(f'/api/v1/datasets/{dataset["id"]}', headers={'Origin': server.url})
                assert deleted.status_code == 204
    finally:
        server.stop()
    assert 'variosync demo --reset' in variosync(home, 'demo').stdout


@pytest.fixture
def leaving(home: Path) -> Iterator[Server]:
    """A server that stops with its test, and the forecasts of the sample with it."""
    running = Server(home, command=FORKED)
    try:
        yield running.start()
    finally:
        running.stop()


def test_somebody_else_may_use_the_sample(leaving: Server, page: Page):
    page.goto(f'{leaving.url}/sign-in?create=1')
    page.get_by_label('Email').fill('ada@example.com')
    page.get_by_label('Password').fill('correct horse battery')
    page.get_by_role('button', name='Create account').click()
    page.get_by_role('button', name='Use the sample').click()
    expect(page.get_by_role('table', name='Datasets')).to_contain_text('Shop sales', timeout=180_000)
    # `tests/flows/test_demo.py` sees how it goes on from there: the forecast, September, its score, the dashboard.
    expect(page.get_by_role('table', name='Datasets')).to_contain_text(re.compile('16[06] faults'), timeout=180_000)
