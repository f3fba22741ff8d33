"""The main job through REST alone, by an API key; what each error answers; and two tenants on every route."""

import base64
import csv
import io
import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pyarrow as pa
import pytest

from tests.e2e.server import Server
from tests.e2e.test_main_job import AIRLINE

pytestmark = pytest.mark.xdist_group('rest')

API = '/api/v1'
TUS = {'Tus-Resumable': '1.0.0'}
PASSWORD = 'correct horse battery'
SCOPES = [
    *('datasets:read', 'datasets:write', 'dashboards:read', 'dashboards:write'),
    *('forecasts:read', 'forecasts:write', 'jobs:read', 'jobs:write'),
]
PROBLEM = 'application/problem+json'


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    """A program without a session."""
    with httpx.Client(base_url=f'{server.url}{API}', timeout=60) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {'Authorization': f'Bearer {token}'}


def register(api: httpx.Client, email: str) -> dict[str, str]:
    """Headers of a new account."""
    answer = api.post('/auth/register', json={'email': email, 'password': PASSWORD})
    assert answer.status_code == 201, answer.text
    return bearer(answer.json()['token'])


def send(api: httpx.Client, who: dict[str, str], data: bytes, name: str, *, waiting: int = 0) -> str:
    """Upload a file in two parts beside `waiting` others and return its dataset."""
    told = f'filename {base64.b64encode(name.encode()).decode()}'
    begun = api.post('/uploads', headers=who | TUS | {'Upload-Length': str(len(data)), 'Upload-Metadata': told})
    assert begun.status_code == 201, begun.text
    address = begun.headers['location'].removeprefix(API)
    part = who | TUS | {'Content-Type': 'application/offset+octet-stream'}
    half = len(data) // 2
    assert api.patch(address, content=data[:half], headers=part | {'Upload-Offset': '0'}).status_code == 204
    first, *others = api.get('/uploads', headers=who).json()['items']
    assert (first['name'], first['received'], first['location']) == (name, half, f'{API}{address}')
    assert len(others) == waiting
    assert api.head(address, headers=who | TUS).headers['upload-offset'] == str(half)
    ended = api.patch(address, content=data[half:], headers=part | {'Upload-Offset': str(half)})
    assert ended.status_code == 204, ended.text
    return ended.headers['variosync-dataset']


def finished(api: httpx.Client, who: dict[str, str], *, within: float = 90) -> list[dict[str, Any]]:
    """The jobs, once all have ended."""
    deadline = time.monotonic() + within
    while True:
        jobs = api.get('/jobs', headers=who).json()['items']
        if jobs and all(job['finished_at'] for job in jobs):
            return jobs
        assert time.monotonic() < deadline, jobs
        time.sleep(0.2)


def refused(answer: httpx.Response, status: int, **told: Any) -> dict[str, Any]:
    """The problem that an answer tells; it must be of this status."""
    assert answer.status_code == status, (answer.request.method, str(answer.request.url), answer.text)
    assert answer.headers['content-type'] == PROBLEM
    body = answer.json()
    assert body['status'] == status
    assert body['request_id'] == answer.headers['x-request-id']
    assert {name: body.get(name) for name in told} == told
    return body


def test_main_job_by_an_api_key(api: httpx.Client):
    register(api, 'ada@api.example')
    entered = api.post('/auth/login', json={'email': 'Ada@api.example', 'password': PASSWORD}).json()
    person = bearer(entered['token'])
    assert entered['token_type'] == 'bearer'
    assert entered['user']['email'] == 'ada@api.example'
    wanted = {'name': 'nightly', 'scopes': [*SCOPES, 'hours:read', 'notices:read', 'notices:write']}
    made = api.post('/keys', headers=person, json=wanted)
    assert made.status_code == 201, made.text
    key = bearer(made.json()['key'])
    assert api.get('/auth/verify', headers=key).json()['kind'] == 'api_key'

    data = AIRLINE.read_bytes()
    quote = api.post('/quotes', headers=key, json={'task': 'convert', 'bytes': len(data), 'name': AIRLINE.name}).json()
    assert quote['shortfall'] == 0
    assert 0 < quote['seconds'] <= quote['balance']
    dataset = send(api, key, data, AIRLINE.name)
    (job,) = finished(api, key)
    assert (job['kind'], job['state'], job['quote']) == ('convert', 'succeeded', quote['seconds'])
    assert 0 <= job['charged'] <= job['quote']

    assert api.get('/datasets', headers=key).json()['items'][0]['id'] == dataset
    named = api.patch(f'/datasets/{dataset}', headers=key, json={'name': 'Passengers'}).json()
    assert (named['name'], named['version'], named['rows']) == ('Passengers', 1, 144)
    version = f'/datasets/{dataset}/versions/1'
    measure = api.get(version, headers=key).json()['manifest']['measures'][0]
    read_points(api, key, version, measure)
    rows = api.get(f'{version}/rows', headers=key, params={'offset': 140, 'limit': 10}).json()
    assert (len(rows['rows']), rows['total'], len(rows['rows'][0])) == (4, 144, len(rows['columns']))
    assert api.get(f'{version}/faults', headers=key).json()['total'] == 0
    assert len(api.get(f'{version}/rows.csv', headers=key).text.splitlines()) == 145
    ask_questions(api, key, version, measure)
    keep_dashboards(api, key, dataset)

    before = api.get('/hours', headers=key).json()
    ask = {'dataset_id': dataset, 'target': measure, 'h': 12, 'models': ['seasonal_naive'], 'levels': [80]}
    quote = api.post('/quotes', headers=key, json={'task': 'forecast', **ask}).json()
    ordered = api.post('/forecasts', headers=key, json=ask)
    assert ordered.status_code == 202, ordered.text
    held = api.get('/hours', headers=key).json()
    assert held['seconds'] <= before['seconds']
    charged = next(job['charged'] for job in finished(api, key) if job['kind'] == 'forecast')
    assert 0 <= charged <= quote['seconds'], 'one that took less than half a second is for nothing'
    after = api.get('/hours', headers=key).json()
    assert (after['seconds'], after['reserved']) == (before['seconds'] - charged, 0)
    read_forecast(api, key, ordered.json()['id'])
    read_ledger(api, key, after['seconds'], charged)

    notices = api.get('/notices', headers=key).json()
    assert notices['unread'] == len([notice for notice in notices['items'] if notice['read_at'] is None]) >= 2
    assert any(notice['title'].endswith(': done') for notice in notices['items'])
    assert api.post(f'/notices/{notices["items"][0]["id"]}/read', headers=key).status_code == 204
    assert api.get('/notices', headers=key).json()['unread'] == notices['unread'] - 1
    assert api.post('/notices/read', headers=key).status_code == 204
    assert api.get('/notices', headers=key).json()['unread'] == 0

    corrected = api.post(f'/datasets/{dataset}/corrections', headers=key, json={'day_first': False})
    assert corrected.status_code == 202, corrected.text
    assert finished(api, key)[0]['state'] == 'succeeded'
    versions = api.get(f'/datasets/{dataset}/versions', headers=key).json()['items']
    assert [(item['number'], item['shown']) for item in versions] == [(2, True), (1, False)]
    page = api.get(f'/datasets/{dataset}/versions', headers=key, params={'limit': 1}).json()
    assert (page['items'], page['next']) == (versions[:1], 2)
    page = api.get(f'/datasets/{dataset}/versions', headers=key, params={'limit': 1, 'before': 2}).json()
    assert (page['items'], page['next']) == (versions[1:], None)
    read_track(api, key, ordered.json()['id'], dataset)
    assert api.post(f'{version}/restore', headers=key).json()['version'] == 1
    assert api.delete(f'/datasets/{dataset}', headers=key).status_code == 204
    refused(api.get(f'/datasets/{dataset}', headers=key), 404)
    for path in ('rows', f'series?measure={measure}', f'query?measure={measure}', 'keys', 'labels'):
        refused(api.get(f'{version}/{path}', headers=key), 404)
    refused(api.post('/quotes', headers=key, json={'task': 'forecast', 'version': 1, **ask}), 404)
    refused(api.post('/forecasts', headers=key, json={'version': 1, **ask}), 404)
    assert api.post(f'/datasets/{dataset}/undelete', headers=key).json()['id'] == dataset


def read_points(api: httpx.Client, who: dict[str, str], version: str, measure: str) -> None:
    """Points are the same in every form, and each form has its own ETag."""
    url = f'{version}/series?measure={measure}'
    plain = api.get(url, headers=who | {'Accept': 'application/json'})
    line = plain.json()['lines'][0]
    assert (plain.json()['exact'], plain.json()['rows_behind'], line['lo']) == (True, 144, None)
    assert plain.headers['vary'].startswith('Accept')
    assert (line['y'][0], line['y'][-1]) == (112, 432)
    again = who | {'Accept': 'application/json', 'If-None-Match': plain.headers['etag']}
    assert api.get(url, headers=again).status_code == 304
    assert api.get(url, headers=again | {'Accept': 'text/csv'}).status_code == 200

    text = api.get(url, headers=who | {'Accept': 'text/csv'})
    assert text.headers['content-type'].startswith('text/csv')
    assert [float(row['value']) for row in csv.DictReader(io.StringIO(text.text))] == line['y']

    stream = api.get(url, headers=who | {'Accept': 'application/vnd.apache.arrow.stream;q=0.9, */*;q=0.1'})
    table = pa.ipc.open_stream(stream.content).read_all()
    assert table.column_names == ['time', 'series', 'measure', 'value', 'min', 'max']
    assert table['value'].to_pylist() == line['y']
    assert [round(stamp.timestamp() * 1000) for stamp in table['time'].to_pylist()] == line['t']

    binary = api.get(url, headers=who)
    assert binary.headers['content-type'] == 'application/octet-stream'
    assert binary.content[:4] == b'VSP1'
    refused(api.get(url, headers=who | {'Accept': 'image/png'}), 406)
    refused(api.get(f'{version}/series?measure=nothing', headers=who), 400, place='query.measure')
    refused(api.get(f'{url}&width=0', headers=who), 400, place='query.width')
    refused(api.get(f'{url}&from=yesterday', headers=who), 400)


def ask_questions(api: httpx.Client, who: dict[str, str], version: str, measure: str) -> None:
    """What panels draw is the same in every form, and what is asked wrongly is named."""
    url = f'{version}/query?kind=buckets&every=P1Y&aggregation=sum&measures={measure}'
    found = api.get(url, headers=who | {'Accept': 'application/json'})
    assert found.status_code == 200, found.text
    (line,) = found.json()['lines']
    years = line['columns']['y']
    assert (found.json()['kind'], line['measure'], years[0], len(years)) == ('buckets', measure, 1520, 12)
    again = who | {'Accept': 'application/json', 'If-None-Match': found.headers['etag']}
    assert api.get(url, headers=again).status_code == 304
    rows = list(csv.DictReader(io.StringIO(api.get(f'{url}&format=csv', headers=who).text)))
    assert len(rows) == 12
    parquet = api.get(f'{url}&format=parquet', headers=who)
    assert (parquet.headers['content-type'], parquet.content[:4]) == ('application/vnd.apache.parquet', b'PAR1')
    assert api.get(url, headers=who).headers['content-type'] == 'application/octet-stream'
    for wrong in ('kind=cake', 'kind=buckets&every=often', 'measures=nothing', 'width=0', 'from=yesterday'):
        refused(api.get(f'{version}/query?{wrong}', headers=who), 400)
    refused(api.get(url, headers=who | {'Accept': 'image/png'}), 406)
    refused(api.get(url.replace('versions/1', 'versions/9'), headers=who), 404)


def keep_dashboards(api: httpx.Client, who: dict[str, str], dataset: str) -> None:
    """A dashboard is built, saved, never overwritten unseen, brought back, and copied."""
    built = api.post('/dashboards', headers=who, json={'dataset': dataset})
    assert built.status_code == 201, built.text
    board, url = built.json(), f'/dashboards/{built.json()["id"]}'
    assert (board['name'], board['revision'], board['pinned']) == ('Passengers', 1, False)
    assert {panel['dataset'] for panel in board['spec']['panels'] if panel['dataset']} == {dataset}
    fewer = {'spec': {**board['spec'], 'panels': board['spec']['panels'][:1]}, 'revision': 1}
    assert api.put(url, headers=who, json=fewer).json()['revision'] == 2
    refused(api.put(url, headers=who, json=fewer), 409)
    wrong = {'spec': {'panels': [{'id': 'x', 'kind': 'cake'}]}, 'revision': 2}
    refused(api.put(url, headers=who, json=wrong), 400, place='spec.panels[0].kind')
    assert api.post(f'{url}/revisions/1/restore', headers=who).json()['spec'] == board['spec']
    states = api.get(f'{url}/revisions', headers=who).json()['items']
    assert [one['revision'] for one in states] == [3, 2, 1]
    changed = api.patch(url, headers=who, json={'name': 'Flights', 'pinned': True}).json()
    assert (changed['name'], changed['pinned']) == ('Flights', True)
    assert api.post(f'{url}/duplicate', headers=who).json()['name'] == 'Flights (copy)'
    assert api.delete(url, headers=who).status_code == 204
    refused(api.get(url, headers=who), 404)
    assert api.post(f'{url}/undelete', headers=who).status_code == 204
    assert [one['name'] for one in api.get('/dashboards', headers=who).json()['items']] == ['Flights', 'Flights (copy)']
    refused(api.post('/dashboards', headers=who, json={'dataset': str(uuid4())}), 404)


def read_forecast(api: httpx.Client, who: dict[str, str], forecast: str) -> None:
    told = api.get(f'/forecasts/{forecast}', headers=who).json()
    assert told['state'] == 'succeeded'
    assert told['result']['models'][0]['rows'] == 12
    assert told['request']['levels'] == [80]
    assert api.get('/forecasts', headers=who).json()['items'][0]['id'] == forecast
    (issued,) = api.get(f'/forecasts/{forecast}/issued', headers=who).json()['items']
    assert (issued['model'], issued['rows'], len(issued['sha256'])) == ('seasonal_naive', 12, 64)
    chart = api.get(f'/forecasts/{forecast}/chart', headers=who).json()
    assert len(chart['models'][0]['mean']) == 12
    rows = api.get(f'/forecasts/{forecast}/rows.csv', headers=who).text.splitlines()
    assert len(rows) == 13
    page = api.get(f'/forecasts/{forecast}/rows', headers=who, params={'limit': 5}).json()
    assert (len(page['rows']), page['total']) == (5, 12)
    for table in ('rows', 'backtest'):
        parquet = api.get(f'/forecasts/{forecast}/{table}.parquet', headers=who)
        assert parquet.content[:4] == b'PAR1'
    read_what_it_rests_on(api, who, f'/forecasts/{forecast}')


def read_what_it_rests_on(api: httpx.Client, who: dict[str, str], url: str) -> None:
    def got(path: str, **params: Any) -> dict[str, Any]:
        answer = api.get(f'{url}/{path}', headers=who, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    (score,) = got('leaderboard')['items']
    assert (score['model'], score['n_windows'], score['points']) == ('seasonal_naive', 8, 96)
    assert [line['horizon'] for line in got('leaderboard', by='horizon')['items']] == list(range(1, 13))
    (item,) = got('leaderboard', by='series')['items']
    (series,) = got('series')['items']
    assert (item['unique_id'], item['mase']) == (series['unique_id'], series['mase'])
    assert (series['status'], len(series['history']), len(series['forecast'])) == ('ok', 60, 12)
    assert got('series', search='nothing like it') == {'items': [], 'offset': 0, 'total': 0}
    assert got('residuals')['points'] == 96
    assert got('explained') == {'items': []}
    assert isinstance(got('notes')['items'], list)
    lines = api.get(f'{url}/backtest.csv', headers=who).text.splitlines()
    assert len(lines) == 97
    refused(api.get(f'{url}/leaderboard', headers=who, params={'by': 'moon'}), 400, place='query.by')
    refused(api.get(f'{url}/residuals', headers=who, params={'model': 'ets'}), 404)
    change = {'changes': {'price': {'how': 'scale', 'value': 1.1}}}
    assert 'no regressor' in refused(api.post(f'{url}/what-if', headers=who, json=change), 400)['detail']
    refused(api.post(f'{url}/what-if', headers=who, json={'changes': {}}), 400, place='body.changes')


def read_track(api: httpx.Client, who: dict[str, str], forecast: str, dataset: str) -> None:
    """The file was read again, so the forecast is scored on it for nothing, and none of its values has come."""
    score = finished(api, who)[0]
    assert (score['kind'], score['state'], score['quote'], score['charged']) == ('score', 'succeeded', 0, 0)
    assert api.get('/track', headers=who).json() == {'issued': 1, 'waiting': 1, 'overall': None, 'items': []}
    asked = {'dataset': dataset, 'model': 'theta', 'by': 'horizon'}
    assert api.get('/track', headers=who, params=asked).json()['items'] == []
    refused(api.get('/track', headers=who, params={'by': 'colour'}), 400, place='query.by')
    (scoring,) = api.get(f'/forecasts/{forecast}/track', headers=who).json()['scorings']
    assert (scoring['model'], scoring['version'], scoring['points']) == ('seasonal_naive', 2, 0)
    refused(api.get(f'/forecasts/{uuid4()}/track', headers=who), 404)


def read_ledger(api: httpx.Client, who: dict[str, str], balance: int, forecasts: int) -> None:
    """The ledger's sum is the balance, in JSON, in CSV by Accept, and in the file."""
    entries = api.get('/hours/ledger', headers=who, params={'grouped': False}).json()
    assert entries['items'][0]['balance'] == sum(entry['seconds'] for entry in entries['items']) == balance
    assert entries['next'] is None
    first = api.get('/hours/ledger', headers=who, params={'grouped': False, 'limit': 1}).json()
    rest = api.get('/hours/ledger', headers=who, params={'grouped': False, 'before': first['next']}).json()
    assert [*first['items'], *rest['items']] == entries['items']
    whole = {'grouped': False, 'limit': len(entries['items'])}
    assert api.get('/hours/ledger', headers=who, params=whole).json()['next'] is None, 'there are no more'
    for text in (
        api.get('/hours/ledger.csv', headers=who),
        api.get('/hours/ledger', headers=who | {'Accept': 'text/csv'}),
    ):
        assert sum(int(row['seconds']) for row in csv.DictReader(io.StringIO(text.text))) == balance
    (grant,) = api.get('/hours/grants', headers=who).json()['items']
    assert (grant['source'], grant['remaining']) == ('trial', balance)
    usage = api.get('/hours/usage', headers=who, params={'days': 3}).json()['items']
    assert len(usage) == 3
    assert sum(day['forecast'] for day in usage) == forecasts


def test_refusals_say_what_is_wrong_and_where(api: httpx.Client):
    who = register(api, 'bea@api.example')
    refused(api.get('/datasets'), 401, code='not_signed_in')
    refused(api.get('/datasets', headers=bearer('x' * 43)), 401)
    refused(api.get('/auth/verify'), 401)
    refused(api.post('/auth/login', json={'email': 'bea@api.example', 'password': 'wrong'}), 401)
    refused(api.post('/auth/register', json={'email': 'bea@api.example', 'password': PASSWORD}), 409)
    assert api.get('/datasets').headers['www-authenticate'].startswith('Bearer')

    refused(api.get('/nothing', headers=who), 404)
    refused(api.get('/datasets/1', headers=who), 404)
    refused(api.get(f'/datasets/{uuid4()}', headers=who), 404, code='not_found')
    assert 'GET' in api.put('/datasets', headers=who).headers['allow']
    refused(api.put('/datasets', headers=who), 405)
    refused(api.get('/hours/ledger', headers=who | {'Accept': 'image/*'}), 406)
    refused(api.get('/jobs', headers=who, params={'limit': 0}), 400, place='query.limit')

    url = '/quotes'
    refused(api.post(url, headers=who, content=b'{'), 415)
    kind = who | {'Content-Type': 'application/json'}
    refused(api.post(url, headers=kind, content=b'{'), 400, place='body')
    refused(api.post(url, headers=kind, content=b'\xff'), 400)
    refused(api.post(url, headers=kind, content=b'[' * 100_000), 400)
    refused(api.post(url, headers=kind, content=b'{"task":"convert","bytes":' + b'9' * 5000 + b'}'), 400)
    refused(api.post(url, headers=kind, content=b'"' + b'x' * 300_000 + b'"'), 413)
    refused(api.post(url, headers=who, json={'task': 'convert', 'bytes': '5'}), 400, place='body.bytes')
    refused(api.post(url, headers=who, json={'task': 'convert', 'bytes': 5, 'x': 1}), 400, place='body.x')
    refused(api.post(url, headers=kind, content=b'{"task":"convert","bytes":5,"\\ud800":1}'), 400)
    refused(api.post(url, headers=kind, content=b'{"task":"convert","bytes":5,"name":"\\ud800"}'), 400)
    refused(api.post(url, headers=who, json={'task': 'convert', 'bytes': 5, 'name': 'a\x00b'}), 400)

    forecast = {'dataset_id': str(uuid4()), 'target': 'y', 'h': 1}
    refused(api.post('/forecasts', headers=who, json=forecast), 404)
    refused(api.post('/forecasts', headers=who, json=forecast | {'h': True}), 400, place='body.h')
    refused(api.post('/forecasts', headers=who, json=forecast | {'models': ['magic']}), 400, place='body.models.0')
    built = {'dataset': str(uuid4()), 'spec': {'panels': []}}
    refused(api.post('/dashboards', headers=who, json=built), 400, place='body.spec')
    refused(api.delete(f'/uploads/{uuid4()}', headers=who | TUS), 404)
    waiting = api.post('/uploads', headers=who | TUS | {'Upload-Length': '5'}).headers['location'].removeprefix(API)
    part = who | TUS | {'Content-Type': 'application/offset+octet-stream', 'Upload-Offset': '3'}
    refused(api.patch(waiting, headers=part, content=b'x'), 409, code='conflict')
    refused(api.patch(waiting, headers=part | {'Content-Type': 'text/plain'}, content=b'x'), 415)
    refused(api.patch(waiting, headers=part | {'Upload-Offset': '0'}, content=b'day,v\n'), 413)
    assert api.head(waiting, headers=who | TUS).headers['upload-offset'] == '0', (
        'what is too long is not taken for whole'
    )
    refused(api.post('/uploads', headers=who | TUS | {'Upload-Length': 'many'}), 400)
    refused(api.post(f'{waiting}/direct', headers=who), 409, detail='This server takes the bytes itself: PATCH them.')
    refused(api.post(f'/uploads/{uuid4()}/direct', headers=who), 404)


def test_short_balance_is_told_before_anything_is_stored(api: httpx.Client):
    who = register(api, 'cyd@api.example')
    size, name = 4_900_000_000, 'big.csv.gz'
    quote = api.post('/quotes', headers=who, json={'task': 'convert', 'bytes': size, 'name': name}).json()
    assert quote['shortfall'] == quote['seconds'] - quote['balance'] > 0
    told = {'Upload-Length': str(size), 'Upload-Metadata': f'filename {base64.b64encode(name.encode()).decode()}'}
    answer = api.post('/uploads', headers=who | TUS | told)
    refused(answer, 402, quote=quote['seconds'], balance=quote['balance'], shortfall=quote['shortfall'])
    assert api.get('/uploads', headers=who).json() == {'items': []}


def test_api_keys_do_what_their_scopes_say_and_no_more(api: httpx.Client):
    who = register(api, 'dot@api.example')
    made = api.post('/keys', headers=who, json={'name': 'reader', 'scopes': ['datasets:read']}).json()
    key = bearer(made['key'])
    assert made['key'].startswith(made['prefix'])
    assert api.get('/datasets', headers=key).status_code == 200
    told = api.get('/auth/verify', headers=key).json()
    assert (told['kind'], told['scopes'], told['user']['email']) == ('api_key', ['datasets:read'], 'dot@api.example')
    for method, url in (
        ('GET', '/forecasts'),
        ('GET', '/hours'),
        ('DELETE', f'/datasets/{uuid4()}'),
        ('GET', '/keys'),
        ('GET', '/sessions'),
        ('GET', '/settings'),
        ('GET', '/audit'),
        ('GET', '/account/export'),
        ('POST', '/hours/pause'),
        ('POST', '/auth/refresh'),
        ('POST', '/auth/logout'),
    ):
        refused(api.request(method, url, headers=key), 403, code='not_allowed')
    refused(api.request('DELETE', '/account', headers=key, json={'confirmation': 'dot@api.example'}), 403)
    refused(api.put('/account/password', headers=key, json={'password': 'of a program'}), 403)
    assert api.delete(f'/keys/{made["id"]}', headers=who).status_code == 204
    refused(api.get('/datasets', headers=key), 401)
    past = {'name': 'old', 'scopes': ['datasets:read'], 'expires_at': '2020-01-01T00:00:00Z'}
    refused(api.post('/keys', headers=who, json=past), 400)
    refused(api.post('/keys', headers=who, json=past | {'scopes': ['all']}), 400, place='body.scopes.0')


def test_account_from_login_to_deletion(api: httpx.Client):
    first = register(api, 'eva@api.example')
    second = bearer(api.post('/auth/login', json={'email': 'eva@api.example', 'password': PASSWORD}).json()['token'])
    fresh = bearer(api.post('/auth/refresh', headers=second).json()['token'])
    refused(api.get('/settings', headers=second), 401)
    sessions = api.get('/sessions', headers=fresh).json()['items']
    assert [one['current'] for one in sessions].count(True) == 1
    other = next(one['id'] for one in sessions if not one['current'])
    assert api.delete(f'/sessions/{other}', headers=fresh).status_code == 204
    refused(api.get('/settings', headers=first), 401)

    elsewhere = bearer(api.post('/auth/login', json={'email': 'eva@api.example', 'password': PASSWORD}).json()['token'])
    refused(api.put('/account/password', headers=fresh, json={'password': 'short'}), 400)
    assert api.get('/settings', headers=elsewhere).status_code == 200
    assert api.put('/account/password', headers=fresh, json={'password': 'another horse'}).status_code == 204
    refused(api.get('/settings', headers=elsewhere), 401)
    refused(api.post('/auth/login', json={'email': 'eva@api.example', 'password': PASSWORD}), 401)
    assert api.post('/auth/login', json={'email': 'eva@api.example', 'password': 'another horse'}).status_code == 200

    changed = api.patch('/settings', headers=fresh, json={'name': 'Eva', 'time_zone': 'Asia/Tokyo', 'theme': 'dark'})
    assert changed.json() == api.get('/settings', headers=fresh).json()
    assert (changed.json()['name'], changed.json()['time_zone']) == ('Eva', 'Asia/Tokyo')
    assert api.get('/hours/usage', headers=fresh).json()['time_zone'] == 'Asia/Tokyo'
    refused(api.patch('/settings', headers=fresh, json={'time_zone': 'Mars/Base'}), 400)
    refused(api.patch('/settings', headers=fresh, json={'theme': 'pink'}), 400, place='body.theme')
    assert api.post('/hours/heartbeat', headers=fresh, json={'idle': 0}).json()['state'] == 'running'
    assert api.post('/hours/pause', headers=fresh).json()['state'] == 'paused'
    assert api.post('/hours/resume', headers=fresh).json()['state'] != 'paused'

    audit = api.get('/audit', headers=fresh).json()['items']
    assert {'sign-up', 'sign-in', 'settings changed', 'password set'} <= {entry['action'] for entry in audit}
    assert len(api.get('/audit.csv', headers=fresh).text.splitlines()) == len(audit) + 1
    archive = api.get('/account/export', headers=fresh)
    assert (archive.status_code, archive.content[:2]) == (200, b'PK')
    refused(api.request('DELETE', '/account', headers=fresh, json={'confirmation': 'somebody else'}), 400)
    farewell = api.request('DELETE', '/account', headers=fresh, json={'confirmation': 'eva@api.example'})
    assert farewell.status_code == 204, farewell.text
    refused(api.get('/settings', headers=fresh), 401)
    refused(api.post('/auth/login', json={'email': 'eva@api.example', 'password': PASSWORD}), 401)
    who = register(api, 'eva@api.example')
    assert api.get('/datasets', headers=who).json() == {'items': [], 'total': 0}
    assert api.post('/auth/logout', headers=who).status_code == 204
    refused(api.get('/settings', headers=who), 401)


def test_description_is_open_and_names_only_our_errors(api: httpx.Client):
    answer = api.get('/openapi.json')
    document = answer.json()
    assert answer.status_code == 200
    assert api.get('/openapi.json', headers={'If-None-Match': answer.headers['etag']}).status_code == 304
    assert all(path.startswith(f'{API}/') for path in document['paths'])
    assert f'{API}/palette' not in document['paths']
    assert 'HTTPValidationError' not in answer.text
    assert {'bearer', 'cookie'} == set(document['components']['securitySchemes'])
    operations = [operation for path in document['paths'].values() for operation in path.values()]
    assert len({operation['operationId'] for operation in operations}) == len(operations)
    for operation in operations:
        for status, said in operation['responses'].items():
            if status >= '400':
                assert list(said['content']) == [PROBLEM]


def test_a_dataset_from_its_first_file_to_the_next(api: httpx.Client):
    who = register(api, 'zoe@api.example')
    first = b'ds;shop;y\n01/02/2024;north;1,5\n02/02/2024;north;x\n03/02/2024;north;3,5\n04/02/2024;north;4\n'
    options = {'day_first': True, 'reading': {'delimiter': ';', 'encoding': 'cp1252'}, 'roles': {'shop': 'series'}}
    dataset = upload(api, who, first, filename='a.csv', options=json.dumps(options)).headers['variosync-dataset']
    (job,) = finished(api, who)
    assert job['state'] == 'succeeded', job
    version = api.get(f'/datasets/{dataset}/versions/1', headers=who).json()
    assert [column['role'] for column in version['manifest']['columns']] == ['time', 'series', 'measure']
    found = version['manifest']['source']['reading']
    assert (found['delimiter']['value'], found['delimiter']['asked'], found['encoding']['value']) == (
        ';',
        True,
        'cp1252',
    )
    assert found['header_lines']['asked'] is False
    again = upload(api, who, first, filename='copy.csv', options=json.dumps(options)).headers
    assert again['variosync-dataset'] != dataset
    assert (again['variosync-same-dataset'], again['variosync-same-version']) == (dataset, '1')
    assert api.delete(f'/datasets/{again["variosync-dataset"]}', headers=who).status_code == 204
    assert 0 < found['header_lines']['confidence'] <= 1
    groups = api.get(f'/datasets/{dataset}/versions/1/faults/groups', headers=who).json()['items']
    assert [(one['kind'], one['column'], one['count'], one['first_line']) for one in groups] == [
        ('not_a_number', 'y', 1, 3)
    ]

    second = b'ds;shop;y\n03/02/2024;north;9\n05/02/2024;south;5\n'
    sent = upload(api, who, second, filename='b.csv', dataset=dataset)
    assert 'variosync-unchanged' not in sent.headers
    finished(api, who)
    diff = api.get(f'/datasets/{dataset}/diff', headers=who, params={'from': 1, 'to': 2, 'limit': 1}).json()
    assert {name: diff[name] for name in ('added', 'changed', 'gone', 'same', 'n_series')} == {
        'added': 1, 'changed': 1, 'gone': 0, 'same': 2, 'n_series': 2,
    }  # fmt: skip
    (added,) = diff['rows']['added']
    assert (added['series'], added['time'], added['before']) == ('south', '2024-02-05T00:00:00Z', None)
    asked = {'series': 'north', 'time': '2024-02-01T01:00:00+01:00'}
    (origin,) = api.get(f'/datasets/{dataset}/provenance', headers=who, params=asked).json()['items']
    assert (origin['source'], origin['line'], origin['version']) == ('a.csv', 2, 1)
    same = upload(api, who, second, filename='b.csv', dataset=dataset)
    assert (same.headers['variosync-unchanged'], same.headers['variosync-dataset']) == ('true', dataset)
    replaced = upload(api, who, second, filename='b.csv', dataset=dataset, how='replace')
    assert 'variosync-unchanged' not in replaced.headers
    finished(api, who)
    assert api.get(f'/datasets/{dataset}', headers=who).json()['rows'] == 2

    steps = [
        {'do': 'derive', 'column': 'double', 'as': 'y * 2'},
        {'do': 'fill', 'how': 'forward', 'columns': ['y'], 'limit': 2},
    ]
    trial = {'steps': steps, 'series': 'south', 'limit': 1}
    tried = api.post(f'/datasets/{dataset}/versions/3/recipe', headers=who, json=trial).json()
    assert (tried['columns_after'][-1], tried['after'][0][-1]) == ('double', 10)
    assert [step['rows_after'] for step in tried['report']] == [1, 1]
    ordered = api.post(f'/datasets/{dataset}/corrections', headers=who, json={'recipe': steps})
    assert ordered.status_code == 202, ordered.text
    finished(api, who)
    version = api.get(f'/datasets/{dataset}/versions/4', headers=who).json()
    assert [step['do'] for step in version['manifest']['recipe']] == ['derive', 'fill']
    assert version['measures'] == ['y', 'double']
    for wrong in ([{'do': 'dance'}], [{'do': 'derive', 'column': 'x', 'as': 'nowhere'}], [{'do': 'clip', 'low': '1'}]):
        refused(api.post(f'/datasets/{dataset}/corrections', headers=who, json={'recipe': wrong}), 400)
        refused(api.post(f'/datasets/{dataset}/versions/4/recipe', headers=who, json={'steps': wrong}), 400)

    for told in ({'how': 'merge'}, {'options': '{'}, {'options': '{"memory": 1}'}, {'options': '{"shape": "round"}'}):
        refused(begin(api, who, 9, **told), 400)
    for wrong in ({'to': 2}, {'from': 1, 'to': 2, 'limit': 101}, {'from': 0, 'to': 1}):
        refused(api.get(f'/datasets/{dataset}/diff', headers=who, params=wrong), 400)
    refused(api.get(f'/datasets/{dataset}/diff', headers=who, params={'from': 1, 'to': 9}), 404)
    refused(api.get(f'/datasets/{dataset}/provenance', headers=who, params=asked | {'series': 'west'}), 404)
    refused(api.get(f'/datasets/{dataset}/provenance', headers=who, params={'time': '2024-02-01'}), 400)
    for wrong in (
        {'reading': {'skip': -1}},
        {'reading': {'encoding': 'klingon'}},
        {'off': ['all']},
        {'melt': {'x': 1}},
    ):
        refused(api.post(f'/datasets/{dataset}/corrections', headers=who, json=wrong), 400)


def begin(api: httpx.Client, who: dict[str, str], size: int, **told: str) -> httpx.Response:
    """Announce a file, with what is told of it."""
    metadata = ','.join(f'{key} {base64.b64encode(value.encode()).decode()}' for key, value in told.items())
    return api.post('/uploads', headers=who | TUS | {'Upload-Length': str(size), 'Upload-Metadata': metadata})


def upload(api: httpx.Client, who: dict[str, str], data: bytes, **told: str) -> httpx.Response:
    """Send a file in one part and return the answer to its last byte."""
    begun = begin(api, who, len(data), **told)
    assert begun.status_code == 201, begun.text
    part = TUS | {'Content-Type': 'application/offset+octet-stream', 'Upload-Offset': '0'}
    ended = api.patch(begun.headers['location'].removeprefix(API), content=data, headers=who | part)
    assert ended.status_code == 204, ended.text
    return ended


def test_every_route_with_an_id_is_closed_to_strangers(api: httpx.Client):
    """Generated from the description, so that a new route is covered by itself."""
    anna, boris = register(api, 'fay@api.example'), register(api, 'gus@api.example')
    ids = belongings(api, anna)
    asked = 0
    for path, operations in api.get('/openapi.json').json()['paths'].items():
        for method, operation in operations.items():
            names = [parameter['name'] for parameter in operation.get('parameters', ()) if parameter['in'] == 'path']
            if not names:
                continue
            url = path.removeprefix(API).format(**ids)
            body = BODIES.get(operation['operationId'])
            headers = TUS | {'Upload-Offset': '0'} | HEADERS.get(operation['operationId'], {})
            answer = api.request(method.upper(), url, headers=boris | headers, **(body or {}))
            assert answer.status_code == 404, (method, path, answer.status_code, answer.text)
            asked += 1
    assert asked >= 40
    for operation_body in ({'dataset_id': ids['dataset_id'], 'target': 'passengers', 'h': 1},):
        refused(api.post('/forecasts', headers=boris, json=operation_body), 404)
        refused(api.post('/quotes', headers=boris, json={'task': 'forecast', **operation_body}), 404)
    assert api.get('/forecasts', headers=boris, params={'dataset': ids['dataset_id']}).json() == {
        'items': [],
        'total': 0,
    }
    metadata = f'dataset {base64.b64encode(ids["dataset_id"].encode()).decode()}'
    begin = boris | TUS | {'Upload-Length': '5', 'Upload-Metadata': metadata}
    refused(api.post('/uploads', headers=begin), 404)
    refused(api.post('/dashboards', headers=boris, json={'dataset': ids['dataset_id']}), 404)
    panel = {'id': 'p', 'kind': 'line', 'dataset': ids['dataset_id']}
    stolen = api.post('/dashboards', headers=boris, json={'spec': {'panels': [panel]}})
    refused(stolen, 400, place='spec.panels[0].dataset', detail='There is no such dataset.')
    for url in ('/datasets', '/dashboards', '/forecasts', '/jobs', '/uploads', '/keys'):
        assert api.get(url, headers=boris).json()['items'] == []
    assert api.get(f'/dashboards/{ids["dashboard_id"]}', headers=anna).json()['revision'] == 1
    for url in (f'/datasets/{ids["dataset_id"]}', f'/forecasts/{ids["forecast_id"]}', f'/jobs/{ids["job_id"]}'):
        assert api.get(url, headers=anna).status_code == 200
    assert api.get('/auth/verify', headers=anna).status_code == 200
    assert api.get('/uploads', headers=anna).json()['items'][0]['received'] == 0


BODIES: dict[str, dict[str, Any]] = {
    'change_dataset': {'json': {'name': 'Mine'}},
    'correct_dataset': {'json': {}},
    'change_dismissed_hints': {'json': {'key': 'far_out-0'}},
    'try_recipe': {'json': {'steps': []}},
    'diff_versions': {'params': {'from': 1, 'to': 1}},
    'find_provenance': {'params': {'time': '2024-01-01T00:00:00Z'}},
    'find_provenance_in_version': {'params': {'time': '2024-01-01T00:00:00Z'}},
    'append_to_upload': {'content': b'x'},
    'begin_sign_in': {'json': {}},
    'change_dashboard': {'json': {'name': 'Mine'}},
    'save_dashboard': {'json': {'spec': {}, 'revision': 1}},
    'ask_what_if': {'json': {'changes': {'price': {'how': 'scale', 'value': 1.1}}}},
}
HEADERS = {'append_to_upload': {'Content-Type': 'application/offset+octet-stream'}}


def belongings(api: httpx.Client, who: dict[str, str]) -> dict[str, str]:
    """One of everything that has an id, by the name of its parameter."""
    dataset = send(api, who, AIRLINE.read_bytes(), AIRLINE.name)
    finished(api, who)
    measure = api.get(f'/datasets/{dataset}/versions', headers=who).json()['items'][0]['measures'][0]
    ask = {'dataset_id': dataset, 'target': measure, 'h': 2, 'models': ['seasonal_naive'], 'levels': [80]}
    forecast = api.post('/forecasts', headers=who, json=ask).json()['id']
    jobs = finished(api, who)
    begun = api.post('/uploads', headers=who | TUS | {'Upload-Length': '5'})
    key = api.post('/keys', headers=who, json={'name': 'key', 'scopes': ['jobs:read']}).json()['id']
    board = api.post('/dashboards', headers=who, json={'dataset': dataset})
    assert board.status_code == 201, board.text
    return {
        'dataset_id': dataset,
        'number': '1',
        'form': 'csv',
        'dashboard_id': board.json()['id'],
        'revision': '1',
        'forecast_id': forecast,
        'job_id': jobs[0]['id'],
        'notice_id': api.get('/notices', headers=who).json()['items'][0]['id'],
        'upload_id': begun.headers['location'].rpartition('/')[2],
        'key_id': key,
        'provider': 'nobody',
        'session_id': api.get('/sessions', headers=who).json()['items'][0]['id'],
    }
