"""How a server starts and ends in production, behind a proxy that ends TLS."""

import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.e2e.server import ROOT, Server, python

pytestmark = pytest.mark.xdist_group('faults')

PUBLIC = 'https://app.example.com'
SETTINGS = {
    'VARIOSYNC_ENV': 'production',
    'VARIOSYNC_PUBLIC_URL': PUBLIC,
    'VARIOSYNC_OWNER_EMAIL': 'owner@example.com',
    'VARIOSYNC_SHUTDOWN_DELAY': '5',
}


def test_no_link_is_printed_at_start_but_on_demand_and_sigterm_ends_in_order(home: Path):
    server = Server(home, command=python('run_nicegui.py', 'serve'), fresh=True, **SETTINGS).start()
    try:
        assert server.link == PUBLIC
        told = subprocess.run(
            python('run_nicegui.py', 'link'),
            cwd=ROOT,
            env=server.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        link = told.stdout.strip()
        assert link.startswith(f'{PUBLIC}/auth/link?token=')
        with httpx.Client(base_url=server.url, headers={'Host': 'app.example.com'}) as browser:
            answers = [browser.get(link.removeprefix(PUBLIC)) for _ in range(2)]
        assert answers[0].headers['location'] == '/'
        assert 'Secure' in answers[0].headers['set-cookie']
        assert answers[1].status_code == 401
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        assert 'token' not in ''.join(server.lines)
    finally:
        server.stop()
