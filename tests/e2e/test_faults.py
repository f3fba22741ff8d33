"""Kills in the middle: what was accepted is kept, uploads go on, and each job ends once."""

import asyncio
import base64
import csv
import re
import shutil
import signal
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryFile, mkdtemp
from typing import Any, TypeVar
from uuid import UUID

import httpx
import psycopg
import pytest

from core.ask import Ask
from core.services import Services
from core.settings import Settings
from core.values import Job
from storage.adapters import Opened
from tests.e2e.cloud import PLACES, Cloud, Embedded
from tests.e2e.server import FORKED, MAKE, Server
from tests.e2e.server import begin as start

pytestmark = pytest.mark.xdist_group('faults')

EVERYWHERE = pytest.mark.parametrize('place', PLACES, indirect=True, scope='module')
PART = 256 * 1024
T = TypeVar('T')


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run in a thread: a browser of the same test session keeps an event loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def begin(client: httpx.Client, name: str, size: int, **told: str) -> str:
    said = {'filename': name} | told
    metadata = ','.join(f'{key} {base64.b64encode(value.encode()).decode()}' for key, value in said.items())
    headers = {'Tus-Resumable': '1.0.0', 'Upload-Length': str(size), 'Upload-Metadata': metadata}
    answer = client.post('/api/v1/uploads', headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.headers['location']


def offset(client: httpx.Client, address: str) -> int:
    answer = client.head(address, headers={'Tus-Resumable': '1.0.0'})
    assert answer.status_code == 200
    return int(answer.headers['upload-offset'])


def send(client: httpx.Client, address: str, data: bytes, start: int) -> httpx.Response:
    kind = 'application/offset+octet-stream'
    headers = {'Tus-Resumable': '1.0.0', 'Upload-Offset': str(start), 'Content-Type': kind}
    answer = client.patch(address, content=data, headers=headers)
    assert answer.status_code == 204, answer.text
    return answer


def account(opened: Opened, email: str) -> UUID:
    with psycopg.connect(opened.dsn('worker')) as connection:
        row = connection.execute('select id from public.profiles where email = %s', [email]).fetchone()
    assert row is not None
    return UUID(str(row[0]))


def beside(server: Server) -> Settings:
    """The settings of the server, for what this process asks itself."""
    return Settings(VARIOSYNC_HOME=server.home, **server.settings)


def jobs(server: Server, email: str) -> list[Job]:
    """The jobs of an account, read beside the running server."""

    async def read() -> list[Job]:
        async with Opened(beside(server), attach=True) as opened:
            return list(await Services.open(beside(server), opened.ports).jobs.list(account(opened, email)))

    return run(read())


def ended(server: Server, email: str, *, within: float) -> list[Job]:
    """The jobs of an account, once all have ended."""

    async def read() -> list[Job]:
        deadline = time.monotonic() + within
        async with Opened(beside(server), attach=True) as opened:
            services, user = Services.open(beside(server), opened.ports), account(opened, email)
            while not (found := list(await services.jobs.list(user))) or not all(job.state.final for job in found):
                assert time.monotonic() < deadline, [(job.title, job.state, job.message) for job in found]
                await asyncio.sleep(0.1)  # a program may ask so often
        return found

    return run(read())


def series_file(path: Path, *, series: int, rows: int) -> bytes:
    with path.open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['store', 'ds', 'y'])
        for store in range(series):
            for row in range(rows):
                value = 100 + store + row % 12 * 7 + row + row * row * 37 % 11  # what fits perfectly holds up Prophet
                writer.writerow([f's{store}', f'{2000 + row // 12}-{row % 12 + 1:02}-01', value])
    return path.read_bytes()


@pytest.fixture(scope='module')
def kept(place: Embedded | Cloud) -> Iterator[Server]:
    """One server for all tests of a place; what is killed or stopped is started again."""
    home = Path(mkdtemp(prefix='vs-'))
    server = place.server(home)
    yield server
    server.stop()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def running(kept: Server) -> Server:
    return kept.start() if kept.process is None or kept.process.poll() is not None else kept


@EVERYWHERE
def test_upload_goes_on_after_kill_of_the_server(place: Embedded | Cloud, running: Server, tmp_path: Path):
    client = running.client('dora@example.com')
    data = series_file(tmp_path / 'stores.csv', series=100, rows=240)
    address = begin(client, 'stores.csv', len(data))
    send(client, address, data[:PART], 0)
    running.kill()
    running.start()
    arrived = offset(client, address)
    assert arrived == PART
    answer = send(client, address, data[arrived:], arrived)
    assert UUID(answer.headers['variosync-dataset'])
    (job,) = ended(running, 'dora@example.com', within=60)
    assert (job.kind, job.state) == ('convert', 'succeeded')


@EVERYWHERE
def test_forecast_ends_once_after_kill_of_the_server(place: Embedded | Cloud, running: Server, tmp_path: Path):
    client = running.client('emil@example.com')
    data = series_file(tmp_path / 'stores.csv', series=6, rows=60)
    address = begin(client, 'stores.csv', len(data))
    dataset = UUID(send(client, address, data, 0).headers['variosync-dataset'])
    ended(running, 'emil@example.com', within=60)
    ask_for_forecast(running, 'emil@example.com', dataset)
    deadline = time.monotonic() + 60
    while client.get('/api/v1/jobs').json()['items'][0]['state'] != 'running':
        assert time.monotonic() < deadline
        time.sleep(0.05)  # a program may ask so often
    running.kill()
    running.start()
    job = next(job for job in ended(running, 'emil@example.com', within=150) if job.kind == 'forecast')
    assert job.state == 'succeeded', job.error
    # What runs at Modal goes on without us; a child of ours dies with us and is run again.
    assert job.attempt == 1 if isinstance(place, Cloud) else job.attempt >= 2
    page = client.get(f'/forecasts/{job.forecast_id}')
    assert page.status_code == 200
    assert client.get(f'/api/v1/forecasts/{job.forecast_id}/rows.csv').text.count('\n') == 1 + 6 * 12


def ask_for_forecast(
    server: Server, email: str, dataset: UUID | str, *, models: tuple[str, ...] = ('prophet',)
) -> None:
    async def ask() -> None:
        settings = beside(server)
        async with Opened(settings, attach=True) as opened:
            services = Services.open(settings, opened.ports)
            user = account(opened, email)
            version = await services.datasets.version(user, UUID(str(dataset)))
            await services.forecasts.request(user, version, Ask(target='y', h=12, models=models))

    run(ask())


@EVERYWHERE
def test_ctrl_c_stops_everything(place: Embedded | Cloud, kept: Server):
    kept.stop()
    if isinstance(place, Embedded):
        kept.command = MAKE  # as a newcomer starts it
    pid = kept.start().pid
    kept.stop()
    left = [line for line in Path('/proc').iterdir() if line.name.isdigit() and _works_in(line, kept.home)]
    assert left == []
    assert not Path(f'/proc/{pid}').exists()


def test_signals_after_the_first_break_nothing_off(home: Path):
    server = Server(home, command=FORKED)
    for signals in ((signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)):
        server.start()
        assert server.process is not None
        del server.lines[:]
        for number in signals:
            server.process.send_signal(number)
        assert server.stop() == 0
        said = [line for line in server.lines if ' stopped ' not in line and ' stopping ' not in line]
        assert said == [], ''.join(said)
        assert (home / 'postgres.log').read_text().rstrip().endswith('database system is shut down')


def test_a_start_that_is_broken_off_says_nothing(home: Path):
    with TemporaryFile() as output:
        starting = start(FORKED, environment=Server(home).environment, output=output.fileno())
        while not (home / 'postgres').exists():
            assert starting.poll() is None
            time.sleep(0.01)
        starting.send_signal(signal.SIGINT)
        starting.send_signal(signal.SIGINT)
        status = starting.wait(30)
        output.seek(0)
        said = output.read().decode().splitlines()
    assert status == 130, said
    assert [line.partition(':')[0] for line in said] == ['First start'], 'nothing beside what it had said before'
    assert not (home / 'run').exists()


def _works_in(process: Path, home: Path) -> bool:
    try:
        return str(home) in (process / 'cmdline').read_text()
    except OSError:
        return False


def test_home_in_use_and_port_in_use_give_one_clear_line(server: Server):
    same_home = Server(server.home, command=FORKED)
    with pytest.raises(AssertionError):
        same_home.start(patience=30)
    assert any('in use by process' in line for line in same_home.lines)
    same_port = Server(server.home / 'another', command=FORKED)
    same_port.port = server.port
    with pytest.raises(AssertionError):
        same_port.start(patience=30)
    assert any(re.search(rf'Port {server.port} .* cannot be used', line) for line in same_port.lines)
    assert not any('Traceback' in line for line in same_home.lines + same_port.lines)
