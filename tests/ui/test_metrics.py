"""`/metrics`: who may read it, and what it tells."""

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from nicegui import app
from prometheus_client.parser import text_string_to_metric_families

from core.errors import Unavailable
from core.metrics import Figures
from core.settings import Settings
from tests.ui.site import Site, open_site
from ui.metrics import Counters, Counting

TOKEN = 'a-token-for-the-scraper'
FIGURES = Figures(
    jobs={('queued', 'convert'): 3, ('running', 'forecast'): 1},
    oldest={'queued': 12.5, 'running': 0.0},
    ended={('convert', 'succeeded'): 7, ('forecast', 'failed'): 2},
    rows_converted=1_000_000,
    forecast_seconds=61.5,
    charged={'viewing': 300, 'convert': 4, 'forecast': 50},
    cache={'hit': 9, 'miss': 1},
)
Samples = dict[str, float]


class Metrics:
    """Figures of a database that may be away."""

    def __init__(self) -> None:
        self.away = False

    async def read(self) -> Figures:
        if self.away:
            raise Unavailable('The database does not answer.')
        return FIGURES


@pytest.fixture(scope='module')
async def started() -> AsyncIterator[Site]:
    async with open_site(VARIOSYNC_METRICS_TOKEN=TOKEN) as site:

        @app.get('/probe-items/{item}/{part}')
        async def item(item: str, part: int) -> str:
            return item

        @app.get('/probe-fault')
        async def fault() -> None:
            raise RuntimeError('A fault of ours.')

        yield site


@pytest.fixture
def site(started: Site) -> Site:
    started.forget()
    started.services.metrics = Metrics()
    return started


async def scrape(site: Site) -> Samples:
    """Every sample by `name{label="value",…}`."""
    async with httpx.AsyncClient(base_url=site.url, headers={'Authorization': f'Bearer {TOKEN}'}) as client:
        answer = await client.get('/metrics')
    assert answer.status_code == 200
    return parsed(answer.text)


def parsed(text: str) -> Samples:
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {f'{s.name}{labels(s.labels)}': s.value for s in found}


def labels(given: dict[str, str]) -> str:
    inside = ','.join(f'{name}="{value}"' for name, value in sorted(given.items()))
    return f'{{{inside}}}' if inside else ''


def requests(route: str, *, status: int = 200, method: str = 'GET') -> str:
    return f'variosync_http_requests_total{{method="{method}",route="{route}",status="{status}"}}'


@pytest.mark.parametrize('given', ['', 'Bearer', f'Bearer {TOKEN}x', f'Basic {TOKEN}', TOKEN, 'Bearer ä'])
async def test_only_who_knows_the_token_reads(site: Site, given: str) -> None:
    async with httpx.AsyncClient(base_url=site.url) as client:
        answer = await client.get('/metrics', headers={'Authorization': given.encode()})
    assert answer.status_code == 401
    assert answer.headers['www-authenticate'] == 'Bearer'
    assert answer.headers['content-type'] == 'application/problem+json'
    assert 'variosync_' not in answer.text


async def test_a_session_is_no_token(site: Site) -> None:
    token, _ = site.services.accounts.open('ann@example.com')
    async with site.browser(token) as browser:
        assert (await browser.get('/metrics')).status_code == 401


async def test_it_is_served_by_whatever_name_the_scraper_knows_us(site: Site) -> None:
    headers = {'Authorization': f'bearer {TOKEN}', 'Host': '10.1.2.3:8080'}
    async with httpx.AsyncClient(base_url=site.url, headers=headers) as client:
        answer = await client.get('/metrics')
    assert answer.status_code == 200
    assert answer.headers['content-type'] == 'text/plain; version=0.0.4; charset=utf-8'
    assert answer.headers['cache-control'] == 'no-store'


async def test_open_metrics_are_served_to_who_asks(site: Site) -> None:
    headers = {'Authorization': f'Bearer {TOKEN}', 'Accept': 'application/openmetrics-text;version=1.0.0'}
    async with httpx.AsyncClient(base_url=site.url, headers=headers) as client:
        answer = await client.get('/metrics')
    assert answer.headers['content-type'].startswith('application/openmetrics-text; version=1.0.0')
    assert answer.text.endswith('# EOF\n')


async def test_without_a_token_there_is_nothing_here(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.services, 'settings', Settings())
    async with httpx.AsyncClient(base_url=site.url) as client:
        for headers in ({}, {'Authorization': 'Bearer'}, {'Authorization': f'Bearer {TOKEN}'}):
            assert (await client.get('/metrics', headers=headers)).status_code == 404


async def test_what_the_database_knows(site: Site) -> None:
    samples = await scrape(site)
    assert samples['variosync_database_up'] == 1
    assert samples['variosync_jobs{kind="convert",state="queued"}'] == 3
    assert samples['variosync_jobs{kind="forecast",state="running"}'] == 1
    assert samples['variosync_job_oldest_seconds{state="queued"}'] == 12.5
    assert samples['variosync_jobs_ended_total{kind="forecast",state="failed"}'] == 2
    assert samples['variosync_rows_converted_total'] == 1_000_000
    assert samples['variosync_forecast_seconds_total'] == 61.5
    assert samples['variosync_hours_charged_seconds_total{kind="viewing"}'] == 300
    assert samples['variosync_cache_requests_total{result="hit"}'] == 9
    assert samples['process_resident_memory_bytes'] > 1e6


async def test_a_database_that_is_away_hides_nothing_else(site: Site) -> None:
    site.services.metrics.away = True
    samples = await scrape(site)
    assert samples['variosync_database_up'] == 0
    assert not [name for name in samples if name.startswith('variosync_jobs')]
    assert 'variosync_sockets' in samples


async def test_requests_are_counted_by_template(site: Site) -> None:
    token, _ = site.services.accounts.open('ann@example.com')
    before = await scrape(site)
    secrets = [uuid4().hex for _ in range(3)]
    async with site.browser(token) as browser:
        for secret in secrets:
            await browser.get(f'/probe-items/{secret}/1')
            await browser.get(f'/nowhere/{secret}')
            await browser.get(f'/static/{secret}.js')
        await browser.get(f'/probe-items/{secrets[0]}/x')
        await browser.request('PROPFIND', f'/probe-items/{secrets[0]}/1')
        await browser.get('/probe')
    async with site.browser() as stranger:
        await stranger.get(f'/probe-items/{secrets[0]}/1')
    after = await scrape(site)
    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    assert grown[requests('/probe-items/{item}/{part}')] == 3
    assert grown[requests('/probe-items/{item}/{part}', status=404)] == 1
    assert grown[requests('other', status=404)] == 3
    assert grown[requests('/static', status=404)] == 3
    assert grown[requests('/probe')] == 1
    assert grown[requests('other', status=303)] == 1, 'who is refused by the guard reaches no route'
    assert grown['variosync_http_request_seconds_count{route="/probe-items/{item}/{part}"}'] >= 4
    assert [name for name in grown if 'method="other"' in name]
    assert not [name for name in grown if any(secret in name for secret in secrets)]


async def test_scrapes_are_requests_too(site: Site) -> None:
    before = (await scrape(site)).get(requests('/metrics'), 0)
    assert (await scrape(site))[requests('/metrics')] == before + 1


@pytest.mark.filterwarnings('ignore')
async def test_a_fault_of_ours_counts_as_one(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    token, _ = site.services.accounts.open('ann@example.com')
    async with site.browser(token) as browser:
        assert (await browser.get('/probe-fault')).status_code == 500
    assert (await scrape(site))[requests('/probe-fault', status=500)] == 1


async def test_open_sockets_are_counted(site: Site) -> None:
    token, _ = site.services.accounts.open('ann@example.com')
    page = await site.open_probe(token)
    before = (await scrape(site))['variosync_sockets']
    async with site.socket(page.id, token):
        assert (await scrape(site))['variosync_sockets'] == before + 1
    counted: list[float] = []
    async with httpx.AsyncClient(base_url=site.url, headers={'Authorization': f'Bearer {TOKEN}'}) as client:
        for _ in range(200):
            counted.append(parsed((await client.get('/metrics')).text)['variosync_sockets'])
            if counted[-1] == before:
                break
    assert counted[-1] == before


async def test_a_route_of_an_included_router_has_its_whole_template() -> None:
    """The framework keeps the whole template in a place of its own."""
    inner, outer, counters = APIRouter(prefix='/things'), APIRouter(prefix='/api'), Counters()
    inner.add_api_route('/{thing}', lambda thing: thing)
    outer.include_router(inner)
    site = FastAPI()
    site.include_router(outer)
    site.add_middleware(Counting, counters=counters)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(site), base_url='http://test') as client:
        assert (await client.get('/api/things/7')).status_code == 200
    assert parsed(counters.text(FIGURES)[0].decode())[requests('/api/things/{thing}')] == 1


async def test_pieces_pass_as_they_come() -> None:
    """A stream is not held back, and its time ends with its last piece."""
    counters, sent = Counters(), []

    async def stream(scope, receive, send) -> None:
        await send({'type': 'http.response.start', 'status': 200, 'headers': []})
        for piece in (b'a', b'b'):
            await send({'type': 'http.response.body', 'body': piece, 'more_body': True})
            assert sent[-1]['body'] == piece
            assert requests('other') not in parsed(counters.text(None)[0].decode())
        await send({'type': 'http.response.body'})

    async def send(message) -> None:
        sent.append(message)

    await Counting(stream, counters=counters)({'type': 'http', 'method': 'GET', 'path': '/x'}, None, send)
    assert parsed(counters.text(None)[0].decode())[requests('other')] == 1


@pytest.mark.parametrize('begun', [False, True])
async def test_who_leaves_before_the_answer_is_no_fault_of_ours(begun: bool) -> None:
    counters, sent = Counters(), []

    async def left(scope, receive, send) -> None:
        """Whoever asked is gone: nothing is sent, or no more than the beginning."""
        if begun:
            await send({'type': 'http.response.start', 'status': 200, 'headers': []})

    async def send(message) -> None:
        sent.append(message)

    await Counting(left, counters=counters)({'type': 'http', 'method': 'GET', 'path': '/x'}, None, send)
    assert [message.get('status') for message in sent] == [200 if begun else 499, None]
    assert '"500"' not in counters.text(None)[0].decode()
