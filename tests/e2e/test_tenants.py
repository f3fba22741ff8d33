"""Two tenants: nothing of one exists for the other, on any page, route or upload."""

import base64

import httpx
import pytest

from tests.e2e.server import Server
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
        f'/api/v1/forecasts/{forecast}/chart',
        f'/api/v1/forecasts/{forecast}/rows.csv',
    ]
    for address in addresses:
        mine, theirs = anna.get(address), boris.get(address)
        assert mine.status_code == 200, (address, mine.text)
        assert theirs.status_code == 404, address
        assert 'air' not in theirs.text.lower().replace('pair', ''), address
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

    for page in ('/', '/datasets', '/forecasts', '/jobs'):
        assert 'air passengers' not in boris.get(page).text


def test_nobody_sees_anything_without_a_session(server: Server):
    with httpx.Client(base_url=server.url) as stranger:
        for address in ('/api/v1/uploads', '/api/v1/datasets/x/versions/1/series', '/api/v1/forecasts/x/chart'):
            assert stranger.get(address).status_code == 401
        for page in ('/', '/datasets', '/jobs', '/forecasts'):
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
