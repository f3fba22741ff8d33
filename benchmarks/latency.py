"""How soon things happen: `python -m benchmarks.latency [--quick]` needs Chromium; `--quick` sends 10 files, not 40.

A real server on loopback answers who a token is, starts the conversion of small files sent one after another, and tells
an open page of each; the page notes when the toast is in its document. All clocks are this machine's.
"""

import argparse
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import psycopg
from playwright.sync_api import Page, sync_playwright

from benchmarks import Figure, report
from storage.embedded.server import EmbeddedPostgres
from tests.browsers import ARGUMENTS, chromium
from tests.e2e.conftest import WIDE
from tests.e2e.server import Server, python
from tests.e2e.test_faults import begin, send

EMAIL, PASSWORD = 'bench@example.com', 'correct horse battery'
WARM_UP = 50
CALM = 1000  # ms after each toast, in which the next child gets ready
ASKED = 500
TABLE = b'ds,y\n' + b''.join(b'2024-01-%02d,%d.5\n' % (day, day) for day in range(1, 31))
NO_TABLE = b'name,colour\nanna,red\nben,blue\n'
WATCH = """
window.toasts = [];
new MutationObserver(changes => {
    const now = performance.timeOrigin + performance.now();
    for (const change of changes)
        for (const node of change.addedNodes)
            if (node.nodeType === 1 && node.matches('.toast, .toast *'))
                window.toasts.push([now, node.closest('.toast').textContent]);
}).observe(document, {subtree: true, childList: true});
"""
JOBS = """
select title, state, extract(epoch from created_at), extract(epoch from started_at)
from public.jobs where title ~ '^Convert calm-' order by created_at
"""
OPEN_JOBS = "select count(*) from public.jobs where state in ('queued', 'running')"
NOTICES = "select title, extract(epoch from created_at) from public.notices where title ~ '^Convert file-'"


def main() -> int:
    """Measure and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='10 files instead of 40')
    files = 10 if parser.parse_args().quick else 40
    folder = Path(tempfile.mkdtemp(prefix='vs-bench-'))
    server = Server(
        folder / 'home',
        command=python('run_nicegui.py', 'serve'),
        VARIOSYNC_RATE_LIMIT='1000000',
        VARIOSYNC_TRIAL_HOURS='100',
        VARIOSYNC_DEMO='false',
    ).start()
    try:
        client = server.client(EMAIL, PASSWORD)
        return report([*verify(server, client), *jobs_and_notices(server, client, files=files)])
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def verify(server: Server, client: httpx.Client) -> list[Figure]:
    """Ask who a token is, over one connection, by a session's token and by an API key."""
    answer = client.post('/api/v1/auth/login', json={'email': EMAIL, 'password': PASSWORD})
    answer.raise_for_status()
    token = answer.json()['token']
    made = client.post('/api/v1/keys', json={'name': 'bench', 'scopes': ['datasets:read']})
    made.raise_for_status()
    figures = []
    for name, secret in (('session token', token), ('API key', made.json()['key'])):
        with httpx.Client(base_url=server.url, headers={'Authorization': f'Bearer {secret}'}) as asking:
            times = [ask(asking) for _ in range(WARM_UP + ASKED)][WARM_UP:]
        figures += spread(f'GET /api/v1/auth/verify by {name}', times, goal=10)
    return figures


def ask(client: httpx.Client) -> float:
    """Return how many seconds one answer took."""
    begun = time.perf_counter()
    answer = client.get('/api/v1/auth/verify')
    took = time.perf_counter() - begun
    answer.raise_for_status()
    return took


def jobs_and_notices(server: Server, client: httpx.Client, *, files: int) -> list[Figure]:
    """Send small files one after another, then as many while a page is open, every fourth of those no table."""
    with (
        psycopg.connect(EmbeddedPostgres(server.home).dsn('superuser'), autocommit=True) as connection,
        sync_playwright() as playwright,
    ):
        # No page is open yet: a browser on the same cores would be measured too.
        for number in range(files):
            drop(client, f'calm-{number:02}.csv', TABLE)
            while connection.execute(OPEN_JOBS).fetchone() != (0,):
                time.sleep(0.05)
            time.sleep(CALM / 1000)
        jobs = connection.execute(JOBS).fetchall()
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        context = browser.new_context(viewport=WIDE)
        context.add_init_script(WATCH)
        page = context.new_page()
        sign_in(page, server)
        drop(client, 'first.csv', TABLE)
        page.get_by_text('first.csv: done').first.wait_for(state='attached', timeout=60_000)  # so the page listens
        for number in range(files):
            name = f'file-{number:02}.csv'
            drop(client, name, NO_TABLE if number % 4 == 3 else TABLE)
            page.wait_for_function('name => window.toasts.some(one => one[1].includes(name))', arg=name, timeout=60_000)
            page.wait_for_timeout(CALM)
        toasts = page.evaluate('window.toasts')
        context.close()
        browser.close()
        notices = connection.execute(NOTICES).fetchall()
    started = [float(start - made) for _, _, made, start in jobs]
    assert len(started) == files
    return [
        *spread('job recorded → started', started, goal=50),
        *spread('notice recorded → toast on an open page', shown(notices, toasts), goal=300),
        Figure(figure='jobs and notices measured', value=len(started)),
    ]


def drop(client: httpx.Client, name: str, content: bytes) -> None:
    """Upload a file."""
    send(client, begin(client, name, len(content)), content, 0)


def sign_in(page: Page, server: Server) -> None:
    """Open a page of the user and wait until it listens."""
    page.goto(f'{server.url}/sign-in')
    page.get_by_label('Email').fill(EMAIL)
    page.get_by_label('Password').fill(PASSWORD)
    page.get_by_role('button', name='Sign in', exact=True).click()
    page.wait_for_url(re.compile(r'/$'))
    page.goto(f'{server.url}/jobs')
    page.wait_for_load_state('networkidle')


def shown(notices: Sequence[Any], toasts: Sequence[Any]) -> list[float]:
    """Return the seconds from each notice to the first sight of its toast."""
    found = []
    for title, made in notices:
        seen = [at / 1000 for at, text in toasts if title in text]
        if seen:
            found.append(min(seen) - float(made))
    assert len(found) == len(notices) > 0, 'every notice has its toast'
    return found


def spread(name: str, times: Sequence[float], *, goal: float) -> list[Figure]:
    """Return p95 with its goal and the median, in milliseconds."""
    p95 = statistics.quantiles(times, n=20, method='inclusive')[-1] * 1000
    return [
        Figure(figure=f'{name}, p95 (ms)', value=p95, goal=goal),
        Figure(figure=f'{name}, p50 (ms)', value=statistics.median(times) * 1000),
    ]


if __name__ == '__main__':
    sys.exit(main())
