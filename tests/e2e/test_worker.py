"""A worker as a process of its own beside a server that only accepts."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.server import FORKED, ROOT, Server, python
from tests.e2e.test_faults import begin, ended, jobs, send
from tests.e2e.test_main_job import AIRLINE

pytestmark = pytest.mark.xdist_group('faults')


def test_separate_worker_does_what_the_server_accepted(home: Path):
    server = Server(home, command=FORKED, VARIOSYNC_WORKERS='0').start()
    environment = {name: value for name, value in os.environ.items() if not name.startswith('PYTEST')}
    try:
        client = server.client('fred@example.com')
        data = AIRLINE.read_bytes()
        send(client, begin(client, AIRLINE.name, len(data)), data, 0)
        assert [job.state for job in jobs(server, 'fred@example.com')] == ['queued']
        worker = subprocess.Popen(
            python('run_nicegui.py', 'worker'), cwd=ROOT, env=environment | {'VARIOSYNC_HOME': str(home)}
        )
        try:
            assert [job.state for job in ended(server, 'fred@example.com', within=60)] == ['succeeded']
        finally:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(30) == 0
    finally:
        server.stop()
