"""One of two instances is told to stop under load: nobody is refused, no job is lost, its pages come back elsewhere."""

import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.counterparts.haproxy import Haproxy
from tests.counterparts.postgres import PASSWORD
from tests.e2e.cloud import REDIS_PASSWORD, Cloud
from tests.e2e.server import Server, free_port
from tests.e2e.test_faults import begin, offset
from tests.e2e.test_main_job import AIRLINE, sign_up

pytestmark = pytest.mark.xdist_group('drain')

USERS = 3
DELAY = 25.0  # seconds: VARIOSYNC_SHUTDOWN_DELAY as it is by default
PIECES = 3
PAUSE = 1.5
SETTINGS = {
    'VARIOSYNC_WORKERS': '1',
    'VARIOSYNC_RATE_LIMIT': '1000000',
    'VARIOSYNC_LOG_FORMAT': 'json',
    'VARIOSYNC_LOG_LEVEL': 'DEBUG',
}
SECRETS = ('SUPABASE_SECRET_KEY', 'AWS_SECRET_ACCESS_KEY', 'MODAL_TOKEN_ID', 'MODAL_TOKEN_SECRET')


@dataclass
class Site:
    """Two instances behind one address."""

    cloud: Cloud
    balancer: Haproxy
    instances: list[Server]

    def serves(self, page: Page) -> Server:
        """The instance that a page was last fetched from."""
        path = page.url.removeprefix(self.balancer.url).partition('?')[0]
        served: list[str] = []

        def logged() -> bool:
            served.extend(line for line in self.balancer.lines if f' GET {path} 200 ' in line)
            return bool(served)

        _until(logged)  # it writes of an answer when that is through
        return self.instances[int(served[-1].split(' instance')[1][0]) - 1]


@pytest.fixture(scope='module')
def site() -> Iterator[Site]:
    ports, home = [free_port(), free_port()], Path(mkdtemp(prefix='vs-'))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        cloud = stack.enter_context(Cloud())
        balancer = stack.enter_context(Haproxy(ports))
        instances = []
        for port in ports:
            (folder := home / str(port)).mkdir()
            instance = cloud.server(folder, VARIOSYNC_PUBLIC_URL=balancer.url, **SETTINGS)
            instance.port = port
            stack.callback(instance.stop)
            instances.append(instance.start())
        _until(lambda: httpx.get(f'{balancer.url}/health').status_code == 200)
        yield Site(cloud, balancer, instances)


@dataclass
class User:
    """Somebody whose every request must be answered, one after another."""

    url: str
    email: str
    stopping: threading.Event
    failures: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    dataset: str = ''

    def __post_init__(self) -> None:
        self._client = httpx.Client(base_url=self.url, headers={'Origin': self.url}, timeout=30)
        answer = self._client.post('/auth/sign-up', data={'email': self.email, 'password': 'correct horse battery'})
        assert answer.status_code == 303, answer.text
        self.dataset = self._upload()
        _until(lambda: self.states() == {'succeeded'})

    def work(self) -> None:
        """Upload in pieces, read series and order forecasts until told to stop."""
        while not self.stopping.wait(PAUSE):
            for what in (self._upload, self._read, self._forecast, self._read):
                try:
                    what()
                except (httpx.TransportError, AssertionError) as error:
                    self.failures.append(f'{what.__name__}: {type(error).__name__}: {error}')
                else:
                    self.done[what.__name__] += 1

    def states(self) -> set[str]:
        """The states in which this user's jobs are."""
        return {job['state'] for job in self.listed()}

    def listed(self) -> list[dict[str, str]]:
        """All jobs of this user."""
        answer = self._client.get('/api/v1/jobs', params={'limit': 200})
        assert answer.status_code == 200, answer.text
        return answer.json()['items']

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _upload(self) -> str:
        data = AIRLINE.read_bytes()
        address = begin(self._client, 'air.csv', len(data))
        step = len(data) // PIECES + 1
        for start in range(0, len(data), step):
            assert offset(self._client, address) == start
            answer = self._client.patch(
                address,
                content=_slowly(data[start : start + step]),
                headers={
                    'Tus-Resumable': '1.0.0',
                    'Upload-Offset': str(start),
                    'Content-Type': 'application/offset+octet-stream',
                },
            )
            assert answer.status_code == 204, answer.text
        self.jobs += 1
        return answer.headers['variosync-dataset']

    def _read(self) -> None:
        answer = self._client.get(f'/api/v1/datasets/{self.dataset}/versions/1/series?width=300')
        assert answer.status_code == 200, answer.text

    def _forecast(self) -> None:
        asked = {'dataset_id': self.dataset, 'target': 'y', 'h': 6, 'models': ['seasonal_naive']}
        answer = self._client.post('/api/v1/forecasts', json=asked)
        assert answer.status_code in (201, 202), answer.text
        self.jobs += 1


def _slowly(data: bytes) -> Iterator[bytes]:
    """A body that is on its way for a while: whenever an instance stops, somebody is sending."""
    for place in range(0, len(data), 200):
        yield data[place : place + 200]
        time.sleep(0.2)


def _until(true: Callable[[], bool], *, within: float = 60) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, 'it did not come true in time'
        time.sleep(0.05)


def test_an_instance_that_stops_under_load_is_not_missed(site: Site, page: Page):
    stopping = threading.Event()
    users = [User(site.balancer.url, f'user{place}@example.com', stopping) for place in range(USERS)]
    sign_up(page, site.balancer, 'ada@example.com')
    page.goto(f'{site.balancer.url}/datasets')
    expect(page.get_by_role('heading', name='Datasets', exact=True)).to_be_visible()
    leaving = site.serves(page)
    assert leaving.process is not None
    threads = [threading.Thread(target=user.work) for user in users]
    for thread in threads:
        thread.start()
    try:
        _until(lambda: all(user.done['_forecast'] for user in users))
        page.evaluate('window.before = true')
        leaving.process.send_signal(signal.SIGTERM)
        page.wait_for_function('window.before === undefined && window.did_handshake')
        status = leaving.process.wait(2 * DELAY)
        # And with what is left, everybody goes on.
        before = [user.done['_upload'] for user in users]
        _until(lambda: all(user.done['_upload'] > had for user, had in zip(users, before, strict=True)))
    finally:
        stopping.set()
        for thread in threads:
            thread.join(30)
    assert [failure for user in users for failure in user.failures] == []
    assert site.serves(page) is not leaving
    expect(page.get_by_role('heading', name='Datasets', exact=True)).to_be_visible()
    assert status == 0
    for user in users:
        _until(lambda user=user: user.states() <= {'succeeded', 'failed', 'cancelled'})
        assert Counter(job['state'] for job in user.listed()) == {'succeeded': user.jobs}
        user.close()
    secrets = {*(site.cloud.settings[name] for name in SECRETS), REDIS_PASSWORD, PASSWORD, quote(PASSWORD, safe='')}
    lines = [line for instance in site.instances for line in instance.lines]
    assert [secret for secret in secrets if any(secret in line for line in lines)] == []
    assert any('"job"' in line and '"tenant"' in line for line in lines)
