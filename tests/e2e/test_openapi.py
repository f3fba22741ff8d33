"""The description against the server: generated requests (`make fuzz`: more) get only answers that it foresees."""

import os
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.e2e.server import FORKED, Server
from tests.e2e.test_main_job import AIRLINE
from tests.e2e.test_rest import API, PASSWORD, TUS, bearer, belongings, register, send

pytestmark = pytest.mark.xdist_group('rest')

CASES = int(os.environ.get('VARIOSYNC_FUZZ_CASES', '500'))
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
# They end the session that asks, and have no input that could vary.
ENDING = ('logout', 'refresh')
PART = 'application/offset+octet-stream'
# Beyond 64 KiB of address and headers the HTTP server itself refuses, before anything of ours is asked.
MOST_HEAD = 60_000


@schemathesis.serializer(PART)
def send_as_it_is(context: schemathesis.SerializationContext, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors='replace')


@dataclass
class Target:
    """A server with something of everything, and what was asked of it."""

    url: str
    who: dict[str, str]
    ids: dict[str, str]
    spare: dict[str, str]
    leaving: dict[str, str]
    asked: Counter[tuple[str, int]] = field(default_factory=Counter)


@pytest.fixture(scope='module')
def target() -> Iterator[Target]:
    home = Path(mkdtemp(prefix='vs-'))
    chosen = {'VARIOSYNC_RATE_LIMIT': '1000000', 'VARIOSYNC_TRIAL_HOURS': '10000', 'VARIOSYNC_DEMO': '0'}
    server = Server(home, command=FORKED, **chosen)
    try:
        server.start()
        with httpx.Client(base_url=f'{server.url}{API}', timeout=60) as api:
            found = prepare(api, server.url)
        # Whatever is ordered from now on waits: what is asked for is on trial here, not the work.
        server.stop()
        server.settings['VARIOSYNC_WORKERS'] = '0'
        server.start()
        yield found
    finally:
        server.stop()
        rmtree(home, ignore_errors=True)


def prepare(api: httpx.Client, url: str) -> Target:
    """Two accounts: one that has everything, and one that may be deleted."""
    who = register(api, 'ada@example.com')
    ids = belongings(api, who)
    second = api.post('/auth/login', json={'email': 'ada@example.com', 'password': PASSWORD}).json()['token']
    sessions = api.get('/sessions', headers=bearer(second)).json()['items']
    waiting = api.post('/uploads', headers=who | TUS | {'Upload-Length': '9'}).headers['location']
    spare = {
        'dataset_id': send(api, who, AIRLINE.read_bytes(), 'spare.csv', waiting=2),
        'session_id': next(one['id'] for one in sessions if one['current']),
        'upload_id': waiting.rpartition('/')[2],
    }
    board = api.post('/dashboards', headers=who, json={'name': 'Spare'}).json()
    spare['dashboard_id'] = board['id']
    return Target(url=url, who=who, ids=ids, spare=spare, leaving=register(api, 'bea@example.com'))


def test_no_generated_request_gets_an_answer_that_is_not_described(target: Target):
    schema = schemathesis.openapi.from_url(f'{target.url}{API}/openapi.json')
    operations = [found.ok() for found in schema.get_all_operations()]
    varied = [one for one in operations if takes_something(one)]
    with requests.Session() as session:
        for operation in operations:
            if operation not in varied and name_of(operation) not in ENDING:
                ask(target, session, operation, examples=4, number=0)
        for number in range(100):
            missing = CASES - target.asked.total()
            if missing <= 0:
                break
            for operation in varied:
                ask(target, session, operation, examples=max(4, missing // len(varied) + 1), number=number)
    assert target.asked.total() >= CASES
    answered = Counter(code for _, code in target.asked.elements())
    assert not [code for code in answered if code >= 500]
    # The ids were hit, not only missed.
    assert answered[200] > CASES // 20, answered
    for name in (
        'get_series',
        'get_version',
        'get_forecast_chart',
        'get_leaderboard',
        'export_rows',
        'correct_dataset',
        'diff_versions',
        'find_provenance',
        'group_faults',
        'request_forecast',
        'query_version',
        'get_dashboard',
        'list_revisions',
    ):
        assert any(target.asked[name, code] for code in (200, 202)), (name, answered)


# What exists and no generator would find.
QUERIES = {'diff_versions': {'from': 1, 'to': 1}, 'find_provenance': {'time': '1949-01-01T00:00:00Z', 'series': ''}}


def name_of(operation: Any) -> str:
    return str(operation.definition.raw['operationId'])


def kinds(operation: Any) -> list[str]:
    """The media types that an operation can answer with when all is well."""
    answers = operation.definition.raw['responses']
    return [kind for status, said in answers.items() if status < '300' for kind in said.get('content', ())]


def takes_something(operation: Any) -> bool:
    return bool(operation.definition.raw.get('parameters') or operation.definition.raw.get('requestBody'))


def ask(target: Target, session: requests.Session, operation: Any, *, examples: int, number: int) -> None:
    """Ask one operation `examples` times, half of them against its own rules."""
    name = name_of(operation)
    who = target.leaving if name == 'delete_account' else target.who
    ids = target.ids | (target.spare if operation.method == 'delete' or name.startswith('undelete_') else {})
    accepted = st.sampled_from([{}, {}, *({'Accept': kind} for kind in (*kinds(operation), 'image/png'))])
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

        @seed(number)
        @settings(
            max_examples=max(2, examples // 2), deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(
            case=operation.as_strategy(generation_mode=mode), real=st.sampled_from([True, True, False]), accept=accepted
        )
        def one(case: Any, real: bool, accept: dict[str, str]) -> None:
            if real:
                aim(case, ids)
                if isinstance(case.query, dict):
                    case.query.update(QUERIES.get(name, {}))
            answer = case.call(session=session, headers=who | accept)
            if head_of(answer.request) > MOST_HEAD:
                return
            target.asked[name, answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS)

        one()


def head_of(request: requests.PreparedRequest) -> int:
    """The bytes of a request before its body."""
    return len(request.url or '') + sum(len(name) + len(value) for name, value in request.headers.items())


def aim(case: Any, ids: dict[str, str]) -> None:
    """Put ids that exist in the place of generated ones."""
    if isinstance(case.path_parameters, dict):
        case.path_parameters.update({name: ids[name] for name in case.path_parameters if name in ids})
    if isinstance(case.body, dict) and case.body.get('dataset'):
        case.body['dataset'] = ids['dataset_id']
    if isinstance(case.body, dict) and 'dataset_id' in case.body:
        case.body['dataset_id'] = ids['dataset_id']
        if isinstance(case.body.get('target'), str):
            case.body['target'] = 'y'
            case.body.pop('version', None)


ODD = (
    *(b'%00', b'%ff', b'%ED%A0%80', b'%F0%9F%92%A9', b'%C2%B2', b'9' * 400, b'-1', b'1e400', b'NaN', b'inf'),
    *(b'0001-01-01T00:00:00%2B23:00', b'9999-12-31T23:59:59-23:00', b'-62135596800000', b'253402300799999', b'..%2f..'),
)
BODIES = (
    *(
        b'null',
        b'[]',
        b'"x"',
        b'{"name":',
        b'\xff\xfe{}',
        b'{"\\ud800":1}',
        b'{"name":"\\u0000"}',
        b'{"name":"\\ud800"}',
    ),
    *(b'{"idle":NaN}', b'{"idle":1e999}', b'{"idle":' + b'9' * 5000 + b'}', b'[' * 50_000, b'{"time_zone":"../.."}'),
    b'{"name":"k","scopes":["jobs:read"],"expires_at":"9999-12-31T23:59:59-23:59"}',
    b'{"email":"\xf0\x9f\x92\xa9@x.y","password":"correct horse battery"}',
)


def test_odd_bytes_are_refused_and_break_nothing(target: Target):
    """What no client library would send: bytes that are no UTF-8, halves of characters, numbers without end."""
    version = f'{API}/datasets/{target.ids["dataset_id"]}/versions/1'.encode()
    forecast = f'{API}/forecasts/{target.ids["forecast_id"]}'.encode()
    upload = f'{API}/uploads/{target.ids["upload_id"]}'.encode()
    board = f'{API}/dashboards/{target.ids["dashboard_id"]}'.encode()
    root = API.encode()
    asked: list[tuple[bytes, bytes, tuple[bytes, ...], bytes]] = []
    for odd in ODD:
        places = (b'/series?from=', b'/series?to=', b'/series?series=', b'/labels?query=', b'/rows?offset=', b'/rows.')
        asked += [(b'GET', version + place + odd, (), b'') for place in places]
        places = (
            b'/chart?series=',
            b'/rows?limit=',
            b'/series?search=',
            b'/leaderboard?by=series&model=',
            b'/backtest.',
        )
        asked += [(b'GET', forecast + place + odd, (), b'') for place in places]
        places = (b'/query?from=', b'/query?kind=', b'/query?every=', b'/query?overlays=', b'/query?filters=')
        places += (b'/query?zone=', b'/query?top=', b'/query?compare=', b'/query?width=')
        asked += [(b'GET', version + place + odd, (), b'') for place in places]
        asked.append((b'GET', root + b'/dashboards/' + odd, (), b''))
        place = version.removeprefix(root + b'/datasets/').replace(b'/versions', b'')
        asked += [(b'GET', root + b'/queries?q=' + before + odd, (), b'') for before in (b'', place + b'%3Fkind=')]
        asked += [
            (b'GET', root + place + odd, (), b'') for place in (b'/datasets/', b'/jobs?state=', b'/audit?before=')
        ]
        names = (b'Accept', b'If-None-Match', b'User-Agent', b'Cookie', b'Range')
        asked += [(b'GET', version + b'/series', (name + b': \xff' + odd,), b'') for name in names]
        tus = (b'Tus-Resumable: 1.0.0', b'Content-Type: application/offset+octet-stream')
        asked.append((b'POST', root + b'/uploads', (*tus, b'Upload-Length: ' + odd), b''))
        asked.append(
            (b'POST', root + b'/uploads', (*tus, b'Upload-Length: 9', b'Upload-Metadata: filename ' + odd), b'')
        )
        asked.append((b'PATCH', upload, (*tus, b'Upload-Offset: ' + odd), b'x'))
    for body in BODIES:
        kind = (b'Content-Type: application/json',)
        dataset = version.removesuffix(b'/versions/1')
        asked += [(b'POST', root + place, kind, body) for place in (b'/keys', b'/hours/heartbeat', b'/auth/login')]
        asked += [(b'POST', root + place, kind, body) for place in (b'/quotes', b'/forecasts', b'/auth/register')]
        asked += [(b'PATCH', root + b'/settings', kind, body), (b'PATCH', dataset, kind, body)]
        asked.append((b'POST', dataset + b'/corrections', kind, body))
        asked.append((b'POST', forecast + b'/what-if', kind, body))
        asked += [
            (b'POST', root + b'/dashboards', kind, body),
            (b'PUT', board, kind, body),
            (b'PATCH', board, kind, body),
        ]
    answers = Counter(answer_to(target, *one) for one in asked)
    assert not [code for code in answers if not 200 <= code < 500], answers
    assert answers[400] > len(asked) // 4


def answer_to(target: Target, method: bytes, address: bytes, headers: tuple[bytes, ...], body: bytes) -> int:
    """Send these very bytes and return the status of the answer, 0 when there is none."""
    host = target.url.removeprefix('http://')
    name, _, port = host.partition(':')
    token = f'Authorization: {target.who["Authorization"]}'.encode()
    lines = [method + b' ' + address + b' HTTP/1.1', f'Host: {host}'.encode(), token, b'Connection: close', *headers]
    lines += [f'Content-Length: {len(body)}'.encode()] if body else []
    with socket.create_connection((name, int(port)), timeout=60) as connection:
        connection.sendall(b'\r\n'.join([*lines, b'', body]))
        answer = connection.makefile('rb').readline().split()
    return int(answer[1]) if len(answer) > 1 else 0
