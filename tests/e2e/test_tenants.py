"""Two tenants: nothing of one exists for the other, on any page, route or upload."""

import base64
import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from playwright.sync_api import Browser, Page

from storage.embedded.server import EmbeddedPostgres
from tests.e2e.conftest import WIDE
from tests.e2e.recorder import KEYS, ROUTES
from tests.e2e.server import RECORDED, Server
from tests.e2e.test_faults import ask_for_forecast, begin, ended, send
from tests.e2e.test_main_job import AIRLINE

pytestmark = pytest.mark.xdist_group('faults')


def test_strangers_get_404_everywhere(server: Server):
    anna, boris = server.client('anna@example.com'), server.client('boris@example.com')
    data = AIRLINE.read_bytes()
    waiting = begin(anna, 'waiting.csv', len(data) + 1)
    send(anna, waiting, data, 0)
    dataset = send(anna, begin(anna, AIRLINE.name, len(data)), data, 0).headers['variosync-dataset']
    ended(server, 'anna@example.com', within=60)
    ask_for_forecast(server, 'anna@example.com', dataset, models=('seasonal_naive',))
    forecast = next(job.forecast_id for job in ended(server, 'anna@example.com', within=60) if job.forecast_id)

    api = f'/api/v1/datasets/{dataset}/versions/1'
    addresses = [
        f'/datasets/{dataset}',
        f'/forecasts/{forecast}',
        f'/forecasts/new?dataset={dataset}',
        f'{api}/series?width=500',
        f'{api}/rows.csv',
        f'{api}/rows.parquet',
        f'{api}/faults.csv',
        f'{api}/query?kind=buckets&every=P1Y',
        f'{api}/query?format=csv',
        f'/explore?dataset={dataset}',
        *of_dashboard(anna, dataset),
        *of_forecast(anna, forecast),
    ]
    for address in addresses:
        mine, theirs = anna.get(address), boris.get(address)
        assert mine.status_code == 200, (address, mine.text)
        assert theirs.status_code == 404, address
        assert 'air' not in theirs.text.lower().replace('pair', ''), address
    for change in ({'changes': {'x': {'how': 'set', 'value': 1}}},):
        assert boris.post(f'/api/v1/forecasts/{forecast}/what-if', json=change).status_code == 404
    assert boris.get('/api/v1/track', params={'dataset': dataset}).json()['issued'] == 0
    tag = anna.get(addresses[3]).headers['etag']
    assert anna.get(addresses[3], headers={'If-None-Match': tag}).status_code == 304
    assert boris.get(addresses[3], headers={'If-None-Match': tag}).status_code == 404

    tus = {'Tus-Resumable': '1.0.0'}
    part = tus | {'Upload-Offset': str(len(data)), 'Content-Type': 'application/offset+octet-stream'}
    assert boris.head(waiting, headers=tus).status_code == 404
    assert boris.patch(waiting, content=b'x', headers=part).status_code == 404
    assert boris.delete(waiting, headers=tus).status_code in (404, 409)
    metadata = {'Upload-Length': '5', 'Upload-Metadata': f'dataset {_encoded(dataset)}'}
    assert boris.post('/api/v1/uploads', headers=tus | metadata).status_code == 404
    assert anna.head(waiting, headers=tus).headers['upload-offset'] == str(len(data))

    for page in ('/', '/datasets', '/dashboards', '/explore', '/forecasts', '/jobs'):
        assert 'air passengers' not in boris.get(page).text


def of_dashboard(client: httpx.Client, dataset: str) -> list[str]:
    """Every address that tells of a dashboard, of one that is made of a dataset."""
    made = client.post('/api/v1/dashboards', json={'dataset': dataset}).json()['id']
    described = client.get('/api/v1/openapi.json').json()['paths']
    found = [path for path, methods in described.items() if '/dashboards/{dashboard_id}' in path and 'get' in methods]
    assert len(found) > 1, found
    return [f'/dashboards/{made}', f'/explore?dashboard={made}', *(path.format(dashboard_id=made) for path in found)]


def of_forecast(client: httpx.Client, forecast: str) -> list[str]:
    """Every address that tells of a forecast, from the description of the program."""
    described = client.get('/api/v1/openapi.json').json()['paths']
    found = [path for path, methods in described.items() if '/forecasts/{forecast_id}' in path and 'get' in methods]
    assert len(found) > 10, found
    return [path.format(forecast_id=forecast, form='csv') for path in found]


def test_nobody_sees_anything_without_a_session(server: Server):
    with httpx.Client(base_url=server.url) as stranger:
        for address in ('/api/v1/uploads', '/api/v1/datasets/x/versions/1/series', '/api/v1/forecasts/x/chart'):
            assert stranger.get(address).status_code == 401
        for page in ('/', '/datasets', '/dashboards', '/explore', '/jobs', '/forecasts'):
            assert stranger.get(page, headers={'Accept': 'text/html'}).headers['location'].startswith('/sign-in')


def test_foreign_origins_change_nothing(server: Server):
    client = server.client('carla@example.com')
    for method, address in (
        ('POST', '/api/v1/uploads'),
        ('PATCH', '/api/v1/uploads/00000000-0000-0000-0000-000000000000'),
        ('DELETE', '/api/v1/uploads/00000000-0000-0000-0000-000000000000'),
        ('POST', '/auth/sign-in'),
        ('POST', '/auth/sign-up'),
        ('POST', '/auth/sign-out'),
    ):
        for origin in ('http://evil.example', 'null', f'{server.url}.evil.example'):
            assert client.request(method, address, headers={'Origin': origin}).status_code == 403, (method, address)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


CANARY = 'quokkaword'
SCREENS = (
    '/',
    '/datasets',
    '/dashboards',
    '/explore',
    '/forecasts',
    '/forecasts/new',
    '/track',
    '/jobs',
    '/notices',
    '/billing',
    '/settings',
    '/audit',
)
FREE_KEYS = re.compile(r'health$|limit/(api|finish|link|mail|password|provider|sign-in|sign-up)/')
UUIDS = re.compile(r'[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}')
TEXTS = ('text/', 'application/json', 'application/problem+json')


@pytest.fixture
def recorded(home: Path) -> Iterator[Server]:
    """A server that writes down its addresses and the keys of its cache."""
    settings = {'VARIOSYNC_DEMO': '0', 'VARIOSYNC_RATE_LIMIT': '1000000', 'VARIOSYNC_TRIAL_HOURS': '100'}
    running = Server(home, command=RECORDED, **settings)
    try:
        yield running.start()
    finally:
        running.stop()


class Tenant:
    """Somebody whose every name holds the canary, and the ids of everything they have."""

    def __init__(self, server: Server, email: str) -> None:
        self.server = server
        self.client = server.client(email)
        self.id = self.get('/auth/verify')['user']['id']
        self.places: dict[str, str] = {}

    def get(self, path: str) -> Any:
        answer = self.client.get(f'/api/v1{path}')
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    def upload(self, name: str, data: bytes) -> str:
        return send(self.client, begin(self.client, name, len(data)), data, 0).headers['variosync-dataset']

    def finished(self) -> list[dict[str, Any]]:
        deadline = time.monotonic() + 90
        while any(not job['finished_at'] for job in self.get('/jobs')['items']):
            assert time.monotonic() < deadline
            time.sleep(0.2)  # as often as a program would ask
        return self.get('/jobs')['items']

    def fill(self) -> None:
        """Have one of everything."""
        rows = ''.join(
            f'{CANARY} shop {shop},2024-01-{day:02},{day + shop}\n' for shop in (1, 2) for day in range(1, 29)
        )
        data = f'{CANARY}_shop,day,{CANARY}_sold\n{rows}not a shop,nor a day,oops\n'.encode()
        dataset = self.upload(f'{CANARY} file.csv', data)
        self.upload(f'{CANARY} picture.csv', bytes(range(256)) * 8)
        waiting = begin(self.client, f'{CANARY} waiting.csv', 10)
        self.finished()
        renamed = self.client.patch(f'/api/v1/datasets/{dataset}', json={'name': f'{CANARY} dataset'})
        assert renamed.status_code == 200, renamed.text
        wanted = {'dataset_id': dataset, 'target': f'{CANARY}_sold', 'h': 5, 'models': ['seasonal_naive']}
        asked = self.client.post('/api/v1/forecasts', json=wanted | {'name': f'{CANARY} outlook'})
        assert asked.status_code == 202, asked.text
        key = self.client.post('/api/v1/keys', json={'name': f'{CANARY} key', 'scopes': ['datasets:read']}).json()
        board = self.client.post('/api/v1/dashboards', json={'dataset': dataset, 'name': f'{CANARY} board'})
        assert board.status_code == 201, board.text
        assert self.client.patch('/api/v1/settings', json={'name': f'{CANARY} person'}).status_code == 200
        jobs = self.finished()
        assert {job['state'] for job in jobs} == {'succeeded', 'failed'}
        self.places = {
            'dataset_id': dataset,
            'forecast_id': asked.json()['id'],
            'upload_id': waiting.rsplit('/', 1)[1],
            'job_id': jobs[0]['id'],
            'notice_id': self.get('/notices')['items'][0]['id'],
            'key_id': key['id'],
            'session_id': self.get('/sessions')['items'][0]['id'],
            'number': '1',
            'dashboard_id': board.json()['id'],
            'revision': '1',
            'what': 'rows',
            'form': 'csv',
        }

    def ids(self) -> set[str]:
        """Every id that this tenant is told anywhere."""
        d, f = self.places['dataset_id'], self.places['forecast_id']
        told = [
            f'/datasets/{d}/versions',
            f'/forecasts/{f}',
            f'/forecasts/{f}/issued',
            '/hours/ledger',
            '/hours/grants',
        ]
        told += ['/dashboards', f'/dashboards/{self.places["dashboard_id"]}']
        told += ['/datasets', '/forecasts', '/jobs', '/uploads', '/notices', '/keys', '/sessions', '/audit']
        return {self.id, *(found for path in told for found in UUIDS.findall(json.dumps(self.get(path))))}


def test_a_crawl_of_everything_finds_nothing_of_another_tenant(recorded: Server):
    with Overheard(recorded) as overheard:
        anna, boris = Tenant(recorded, 'anna@example.com'), Tenant(recorded, 'boris@example.com')
        anna.fill()
        ids = anna.ids()
        assert len(ids) > 12
        addresses = every_address(recorded, boris, anna.places)
        own = [address for method, address in addresses if method == 'GET' and shows(anna, address)]
        assert len(own) > 25, own
        with httpx.Client(base_url=recorded.url, headers={'Origin': recorded.url}) as stranger:
            for asker in (boris.client, stranger):
                assert [leak for one in addresses if (leak := leaked(asker, *one, ids))] == []
        # What strangers tried to change is as it was.
        assert anna.get(f'/datasets/{anna.places["dataset_id"]}')['name'] == f'{CANARY} dataset'
        board = anna.get(f'/dashboards/{anna.places["dashboard_id"]}')
        assert (board['name'], board['revision']) == (f'{CANARY} board', 1)
        assert anna.get('/uploads')['items'][0]['id'] == anna.places['upload_id']
        assert anna.ids() >= ids
        lists = ('/datasets', '/datasets/deleted', '/dashboards', '/dashboards/deleted', '/forecasts', '/jobs')
        assert [boris.get(one)['items'] for one in lists] == [[]] * len(lists)
        channels = overheard.until(f'{anna.id}/jobs')
    assert {channel.split('/')[0] for channel in channels} <= {anna.id, boris.id, 'health'}
    assert not [said for channel, said in channels.items() if channel.startswith(boris.id) and CANARY in said]
    check_keys(recorded, tenants={anna.id, boris.id})


def every_address(server: Server, asker: Tenant, places: Mapping[str, str]) -> list[tuple[str, str]]:
    """Every address of the program, with the ids of a tenant in it, from its own list and from its description."""
    described = asker.get('/openapi.json')['paths']
    found = {(method.upper(), path) for path, methods in described.items() for method in methods}
    for path, methods in json.loads((server.home / ROUTES).read_text()):
        found |= {(method, re.sub(r':\w+}', '}', path)) for method in methods}
    assert {path for _, path in found} >= {
        *(*SCREENS, '/datasets/{dataset_id}', '/dashboards/{dashboard_id}', '/forecasts/{forecast_id}'),
    }
    # Without an id of the other tenant, a change would be the asker's own affair.
    asked = sorted(
        (method, path)
        for method, path in found
        if (method in ('GET', 'HEAD') or '_id}' in path) and not path.startswith(('/_nicegui', '/static/'))
    )
    names = {**places, 'name': 'glossary'}  # of a page of help, which is the same for all
    assert {name for _, path in asked for name in re.findall(r'{(\w+)}', path)} <= names.keys()
    filled = [(method, path.format_map(names)) for method, path in asked]
    dataset, board, forecast = (places[name] for name in ('dataset_id', 'dashboard_id', 'forecast_id'))
    version = f'/api/v1/datasets/{dataset}/versions/1'
    return [
        *filled,
        ('GET', f'/explore?dataset={dataset}'),
        ('GET', f'/explore?dashboard={board}&panel=p1'),
        ('GET', f'{version}/query?kind=top&format=csv'),
        ('GET', f'{version}/query?series={CANARY}+shop+1&format=json'),
        ('GET', f'/forecasts/new?dataset={dataset}'),
        ('GET', f'/jobs?dataset={dataset}'),
        ('GET', f'/api/v1/forecasts?dataset={dataset}'),
        ('GET', f'/api/v1/palette?q={CANARY}'),
        ('GET', f'{version}/series?width=500&format=csv'),
        ('GET', f'/api/v1/forecasts/{forecast}/chart?series={CANARY}+shop+1'),
        ('GET', f'/out-of-hours?next=/datasets/{dataset}'),
    ]


def shows(owner: Tenant, address: str) -> bool:
    """Whether an address tells its owner something that nobody else may know."""
    answer = owner.client.get(address, headers={'Accept': 'text/html, */*;q=0.5'})
    assert answer.status_code < 500, (address, answer.text)
    return CANARY in answer.text or bool(set(UUIDS.findall(answer.text)) & set(owner.places.values()))


def leaked(client: httpx.Client, method: str, address: str, ids: set[str]) -> str:
    """What an answer tells of another tenant beyond what the address itself said; empty when nothing."""
    answer = client.request(method, address, headers={'Tus-Resumable': '1.0.0', 'Accept': 'text/html, */*;q=0.5'})
    asked = set(UUIDS.findall(address))
    refused = method not in ('GET', 'HEAD') and answer.status_code < 400
    told = answer.text + str(answer.headers) if CANARY not in address else answer.text.replace(address, '')
    if answer.status_code >= 500 or refused or CANARY in told or (set(UUIDS.findall(told)) & ids) - asked:
        return f'{method} {address}: {answer.status_code}'
    return ''


class Overheard:
    """Listens to every message between the processes."""

    def __init__(self, server: Server) -> None:
        self._connection = psycopg.connect(EmbeddedPostgres(server.home).dsn('superuser'), autocommit=True)
        self._said: dict[str, str] = {}

    def __enter__(self) -> 'Overheard':
        self._connection.execute('listen variosync_events')
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def until(self, channel: str) -> dict[str, str]:
        """What was said on each channel so far; something must have been on this one."""
        for notification in self._connection.notifies(timeout=2):
            content = json.loads(notification.payload)
            if 'channel' in content:
                self._said.setdefault(content['channel'], '')
                self._said[content['channel']] += notification.payload
        assert channel in self._said
        return self._said


def check_keys(server: Server, *, tenants: set[str]) -> None:
    """Objects lie under their tenant, and so do keys of the cache, but for counters of attempts."""
    keys = set((server.home / KEYS).read_text().splitlines())
    assert keys
    assert [key for key in keys if key.split('/')[0] not in tenants and not FREE_KEYS.match(key)] == []
    store = server.home / 'objects'
    objects = [path.relative_to(store).parts for path in store.rglob('*') if path.is_file()]
    assert objects
    assert {parts[:2] for parts in objects} <= {('t', tenant) for tenant in tenants}
    with psycopg.connect(EmbeddedPostgres(server.home).dsn('superuser')) as connection:
        named = connection.execute(OBJECT_KEYS).fetchall()
    assert named
    assert [key for user_id, key in named if not key.startswith(f't/{user_id}/')] == []


OBJECT_KEYS = """
select user_id, object_key from public.uploads where object_key is not null
union all select user_id, prefix from public.dataset_versions
union all select user_id, object_key from public.issued_forecasts
"""


def test_open_pages_are_told_nothing_of_another_tenant(recorded: Server, browser: Browser):
    anna, boris = Tenant(recorded, 'carol@example.com'), Tenant(recorded, 'boris@example.com')
    told: list[str] = []
    context = browser.new_context(viewport=WIDE)
    context.set_default_timeout(30_000)
    cookie = next(iter(boris.client.cookies.jar))
    context.add_cookies([{'name': cookie.name, 'value': str(cookie.value), 'url': recorded.url}])

    def listen(page: Page) -> None:
        page.on('websocket', lambda socket: socket.on('framereceived', lambda frame: told.append(str(frame))))

    pages = []
    try:
        for screen in SCREENS:
            pages.append(context.new_page())
            listen(pages[-1])
            pages[-1].goto(recorded.url + screen)
        anna.fill()
        ids = anna.ids()
        # When his own file is told to his own pages, everything said before has been told, too.
        boris.upload('wombat.csv', AIRLINE.read_bytes())
        boris.finished()
        jobs = pages[SCREENS.index('/jobs')]
        jobs.get_by_text('wombat.csv').first.wait_for()
        pages[SCREENS.index('/datasets')].get_by_text('wombat').first.wait_for()
        told += [page.content() for page in pages]
    finally:
        context.close()
    everything = '\n'.join(told)
    assert 'wombat' in everything
    assert CANARY not in everything
    assert set(UUIDS.findall(everything)) & ids == set()
