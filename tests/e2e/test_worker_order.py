"""A worker that comes back before its server leaves the home to it."""

import os
import signal
import socket
from pathlib import Path

import pytest

from storage.embedded.server import EmbeddedPostgres
from tests.e2e.forked import FORKS
from tests.e2e.server import FORKED, Server
from tests.e2e.test_faults import begin, ended, send
from tests.e2e.test_main_job import AIRLINE
from tests.e2e.test_settings import until

pytestmark = pytest.mark.xdist_group('faults')


def is_asked_for(database: EmbeddedPostgres) -> None:
    """Return once somebody has asked for a database whose server was killed: what they find is a socket of ours."""
    until(lambda: not (database.data / 'postmaster.pid').exists())
    path = database.socket_folder / '.s.PGSQL.5432'
    with socket.socket(socket.AF_UNIX) as ours:
        ours.bind(str(path))
        ours.listen()
        ours.settimeout(60)
        ours.accept()[0].close()
    path.unlink()


def test_a_worker_that_starts_before_the_server_waits_for_it(home: Path, tmp_path: Path):
    server = Server(home, command=FORKED, VARIOSYNC_WORKERS='0').start()
    client = server.client('gina@example.com')
    data = AIRLINE.read_bytes()
    send(client, begin(client, AIRLINE.name, len(data)), data, 0)
    server.kill()
    environment = {name: value for name, value in os.environ.items() if not name.startswith('PYTEST')}
    log = (tmp_path / 'worker.log').open('w+b')
    worker = FORKS['forked'].start(
        ['worker'],
        environment=environment | {'VARIOSYNC_HOME': str(home)},
        output=log.fileno(),
        errors=log.fileno(),
    )
    try:
        # It has tried by then: either it waits, or it has taken the database for itself, and no server gets it.
        is_asked_for(EmbeddedPostgres(home))
        server.start()
        assert [job.state for job in ended(server, 'gina@example.com', within=60)] == ['succeeded']
    finally:
        worker.send_signal(signal.SIGTERM)
        status = worker.wait(40)
        server.stop()
    with log:
        log.seek(0)
        assert status == 0, log.read().decode()
