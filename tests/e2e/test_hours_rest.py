"""The story of hours by REST: trial hours, what viewing and jobs cost, the stop at zero, and going on after it."""

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import httpx
import psycopg
import pytest

from storage.embedded.server import EmbeddedPostgres
from tests.e2e.forked import run
from tests.e2e.server import FORKED, Server
from tests.e2e.test_faults import begin
from tests.e2e.test_main_job import AIRLINE

pytestmark = pytest.mark.xdist_group('rest')

TRIAL = 180
BINARY = bytes(range(256)) * 8
PAGES = ('/', '/datasets', '/forecasts', '/forecasts/new', '/jobs')
PASSED = """
update public.usage_sessions s
set started_at = started_at - t.passed, billed_through = billed_through - t.passed, seen_at = seen_at - t.passed,
    active_at = active_at - t.passed
from public.profiles p, (select make_interval(secs => %(seconds)s) as passed) t
where p.id = s.user_id and p.email = %(email)s and s.ended_at is null
"""


@pytest.fixture(scope='module')
def server() -> Iterator[Server]:
    home = Path(mkdtemp(prefix='vs-'))
    settings = {'VARIOSYNC_TRIAL_HOURS': str(TRIAL / 3600), 'VARIOSYNC_DEMO': '0', 'VARIOSYNC_RATE_LIMIT': '1000000'}
    running = Server(home, command=FORKED, **settings)
    try:
        yield running.start()
    finally:
        running.stop()
        rmtree(home, ignore_errors=True)


def pass_time(server: Server, email: str, seconds: int) -> None:
    """Let the user's open session look as if everything in it had happened `seconds` earlier."""
    with psycopg.connect(EmbeddedPostgres(server.home).dsn('superuser')) as connection:
        done = connection.execute(PASSED, {'seconds': seconds, 'email': email})
        assert done.rowcount == 1


def hours(client: httpx.Client) -> dict[str, Any]:
    answer = client.get('/api/v1/hours')
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def beat(client: httpx.Client, idle: float = 0.0) -> dict[str, Any]:
    answer = client.post('/api/v1/hours/heartbeat', json={'idle': idle})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def ledger(client: httpx.Client) -> list[dict[str, Any]]:
    """Every entry, the newest first; their sum is the balance."""
    entries: list[dict[str, Any]] = client.get('/api/v1/hours/ledger', params={'grouped': False}).json()['items']
    assert sum(entry['seconds'] for entry in entries) == entries[0]['balance'] == hours(client)['seconds']
    return entries


def patch(client: httpx.Client, address: str, data: bytes) -> httpx.Response:
    headers = {'Tus-Resumable': '1.0.0', 'Upload-Offset': '0', 'Content-Type': 'application/offset+octet-stream'}
    return client.patch(address, content=data, headers=headers)


def upload(client: httpx.Client, name: str, data: bytes) -> str:
    answer = patch(client, begin(client, name, len(data)), data)
    assert answer.status_code == 204, answer.text
    return answer.headers['variosync-dataset']


def finished(client: httpx.Client, *, within: float = 90) -> list[dict[str, Any]]:
    """The jobs, the newest first, once all have ended."""
    deadline = time.monotonic() + within
    while True:
        jobs: list[dict[str, Any]] = client.get('/api/v1/jobs').json()['items']
        if jobs and all(job['finished_at'] for job in jobs):
            return jobs
        assert time.monotonic() < deadline, jobs
        time.sleep(0.2)  # as often as a program would ask


def ask(client: httpx.Client, dataset: str, model: str = 'seasonal_naive') -> httpx.Response:
    wanted = {'dataset_id': dataset, 'target': 'y', 'h': 6, 'models': [model]}
    return client.post('/api/v1/forecasts', json=wanted)


def short(answer: httpx.Response) -> dict[str, Any]:
    """The 402 of a job: quote = balance + shortfall."""
    assert answer.status_code == 402, answer.text
    told: dict[str, Any] = answer.json()
    assert told['code'] == 'not_enough_hours'
    assert told['quote'] == told['balance'] + told['shortfall']
    assert told['shortfall'] > 0
    return told


def variosync(server: Server, *arguments: str) -> str:
    """A command beside the running server."""
    said = run(*arguments, environment={'VARIOSYNC_HOME': str(server.home)})
    assert said.returncode == 0, said.stderr
    return said.stdout


def test_viewing_is_charged_once_for_all_tabs_and_devices(server: Server):
    email = 'anna@example.com'
    desk, phone = server.client(email), server.client(email)
    assert (hours(desk)['seconds'], hours(desk)['reserved']) == (TRIAL, 0)
    (grant,) = desk.get('/api/v1/hours/grants').json()['items']
    assert (grant['source'], grant['seconds'], grant['remaining']) == ('trial', TRIAL, TRIAL)
    assert beat(desk)['state'] == beat(phone)['state'] == 'running'
    pass_time(server, email, 60)
    begun = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(beat, [desk, phone] * 8))
    took = math.ceil(time.monotonic() - begun) + 2
    assert TRIAL - 60 - took <= hours(phone)['seconds'] <= TRIAL - 60
    assert {entry['kind'] for entry in ledger(desk)} == {'grant', 'viewing'}

    assert desk.post('/api/v1/hours/pause').json()['state'] == 'paused'
    before = hours(desk)['seconds']
    pass_time(server, email, 50)
    assert beat(phone)['state'] == 'paused'
    assert hours(desk)['seconds'] == before
    assert phone.post('/api/v1/hours/resume').json()['state'] == 'running'
    assert hours(desk)['seconds'] == before
    assert beat(desk, idle=600)['state'] == 'running'  # the phone was touched just now
    usage = desk.get('/api/v1/hours/usage', params={'days': 2}).json()['items']
    assert usage[-1]['viewing'] + usage[-2]['viewing'] == TRIAL - hours(desk)['seconds']


def test_reading_by_rest_costs_nothing(server: Server):
    client = server.client('bert@example.com')
    for path in ('/datasets', '/jobs', '/forecasts', '/hours', '/hours/ledger', '/notices', '/settings'):
        assert client.get(f'/api/v1{path}').status_code == 200
    assert hours(client)['state'] == 'off'
    assert [entry['kind'] for entry in ledger(client)] == ['grant']


def test_jobs_cost_the_lesser_of_quote_and_what_was_measured(server: Server):
    client = server.client('cleo@example.com')
    dataset = upload(client, AIRLINE.name, AIRLINE.read_bytes())
    (job,) = finished(client)
    assert job['state'] == 'succeeded'
    assert 0 <= job['charged'] <= job['quote']
    before = hours(client)['seconds']
    assert before == TRIAL - job['charged']

    begun = time.monotonic()
    # A model whose library alone takes more than the half second that is rounded off.
    assert ask(client, dataset, 'theta').status_code == 202
    forecast = finished(client)[0]
    took = math.ceil(time.monotonic() - begun) + 1
    assert (forecast['kind'], forecast['state']) == ('forecast', 'succeeded')
    assert 0 < forecast['charged'] <= min(forecast['quote'], took)
    assert (hours(client)['seconds'], hours(client)['reserved']) == (before - forecast['charged'], 0)
    entries = [entry for entry in ledger(client) if entry['job_id'] == forecast['id']]
    assert sum(entry['seconds'] for entry in entries) == -forecast['charged']
    usage = client.get('/api/v1/hours/usage', params={'days': 2}).json()['items']
    assert sum(day['convert'] for day in usage) == job['charged']
    assert sum(day['forecast'] for day in usage) == forecast['charged']


def test_a_failed_and_a_cancelled_job_return_their_hours(server: Server):
    client = server.client('dina@example.com')
    upload(client, 'picture.csv', BINARY)
    (job,) = finished(client)
    assert (job['state'], job['charged']) == ('failed', 0)
    assert job['quote'] > 0
    assert (hours(client)['seconds'], hours(client)['reserved']) == (TRIAL, 0)
    assert [entry['seconds'] for entry in ledger(client)] == [job['quote'], -job['quote'], TRIAL]
    assert [entry['kind'] for entry in ledger(client)] == ['refund', 'job', 'grant']

    # Running it again holds the quote again, and cancelling gives it back again.
    assert client.post(f'/api/v1/jobs/{job["id"]}/retry').status_code == 202
    assert client.post(f'/api/v1/jobs/{job["id"]}/cancel').status_code in (200, 409)
    (again,) = finished(client)
    assert again['state'] in ('cancelled', 'failed')
    assert again['charged'] == 0
    assert (hours(client)['seconds'], hours(client)['reserved']) == (TRIAL, 0)
    assert len(ledger(client)) == 5


def test_everything_stops_at_zero_and_goes_on_with_a_grant(server: Server):
    email = 'emma@example.com'
    client = server.client(email)
    dataset = upload(client, AIRLINE.name, AIRLINE.read_bytes())
    upload(client, 'picture.csv', BINARY)
    failed, _ = finished(client)
    data = AIRLINE.read_bytes()
    waiting = begin(client, 'waiting.csv', len(data))
    while (told := beat(client))['seconds']:
        assert told['state'] == 'running'
        pass_time(server, email, min(70, told['seconds']))
    assert (told['seconds'], told['state']) == (0, 'exhausted')
    check_that_all_stands_still(client, dataset, failed['id'], waiting, data)

    assert email in variosync(server, 'hours', 'grant', email, '1')
    assert 'Granted hours' in variosync(server, 'hours', 'show', email, '--json')
    assert hours(client)['seconds'] == 3600
    for page in (*PAGES, f'/datasets/{dataset}'):
        assert client.get(page, headers={'Accept': 'text/html'}).status_code == 200, page
    accepted = client.head(waiting, headers={'Tus-Resumable': '1.0.0'})
    assert accepted.status_code == 200
    assert accepted.headers['variosync-dataset'] != dataset
    assert ask(client, dataset).status_code == 202
    jobs = finished(client)
    assert [(job['kind'], job['state']) for job in jobs[:2]] == [('forecast', 'succeeded'), ('convert', 'succeeded')]
    assert ledger(client)[-1]['kind'] == 'grant'
    assert min(entry['balance'] for entry in ledger(client)) == 0


def check_that_all_stands_still(client: httpx.Client, dataset: str, failed: str, waiting: str, data: bytes) -> None:
    """Pages lead to the one that explains, jobs are refused with what is missing, and one's own things stay open."""
    for page in (*PAGES, f'/datasets/{dataset}'):
        answer = client.get(page, headers={'Accept': 'text/html'})
        assert answer.status_code == 303, (page, answer.status_code)
        assert answer.headers['location'].startswith('/out-of-hours')
    short(ask(client, dataset))
    short(client.post(f'/api/v1/datasets/{dataset}/corrections', json={'day_first': True}))
    short(client.post(f'/api/v1/jobs/{failed}/retry'))
    headers = {'Tus-Resumable': '1.0.0', 'Upload-Length': '500'}
    short(client.post('/api/v1/uploads', headers=headers))
    short(patch(client, waiting, data))
    quote = {'task': 'convert', 'bytes': 500}
    told = client.post('/api/v1/quotes', json=quote).json()
    assert (told['balance'], told['shortfall']) == (0, told['seconds'])
    for free in ('/out-of-hours', '/billing', '/settings', '/notices'):
        assert client.get(free, headers={'Accept': 'text/html'}).status_code == 200, free
    archive = client.get('/api/v1/account/export')
    assert (archive.status_code, archive.content[:2]) == (200, b'PK')
    rows = client.get(f'/api/v1/datasets/{dataset}/versions/1/rows.csv')
    assert (rows.status_code, rows.text.count('\n')) == (200, 145)
    assert any('used up' in notice['title'] for notice in client.get('/api/v1/notices').json()['items'])
    assert min(entry['balance'] for entry in ledger(client)) == 0
