"""The description against the server: thousands of generated requests, and no answer that it does not foresee."""

import os
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

from tests.e2e.server import Server, python
from tests.e2e.test_main_job import AIRLINE
from tests.e2e.test_rest import API, PASSWORD, TUS, bearer, belongings, register, send

pytestmark = pytest.mark.xdist_group('rest')

CASES = int(os.environ.get('VARIOSYNC_FUZZ_CASES', '2000'))
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
# They end the session that asks, and have no input that could vary.
ENDING = ('logout', 'refresh')
PART = 'application/offset+octet-stream'


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
    server = Server(home, command=python('run_nicegui.py', 'serve'), **chosen)
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
    answered = Counter(status for _, status in target.asked.elements())
    assert target.asked.total() >= CASES
    assert not [status for status in answered if status >= 500]
    # The ids were hit, not only missed.
    assert answered[200] > CASES // 20, answered
    for name in (
        'get_series',
        'get_version',
        'get_forecast_chart',
        'export_rows',
        'correct_dataset',
        'request_forecast',
    ):
        assert any(target.asked[name, status] for status in (200, 202)), (name, answered)


def name_of(operation: Any) -> str:
    return str(operation.definition.raw['operationId'])


def takes_something(operation: Any) -> bool:
    return bool(operation.definition.raw.get('parameters') or operation.definition.raw.get('requestBody'))


def ask(target: Target, session: requests.Session, operation: Any, *, examples: int, number: int) -> None:
    """Ask one operation `examples` times, half of them against its own rules."""
    name = name_of(operation)
    who = target.leaving if name == 'delete_account' else target.who
    ids = target.ids | (target.spare if operation.method == 'delete' or name == 'undelete_dataset' else {})
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

        @seed(number)
        @settings(
            max_examples=max(2, examples // 2), deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.as_strategy(generation_mode=mode), real=st.sampled_from([True, True, False]))
        def one(case: Any, real: bool) -> None:
            if real:
                aim(case, ids)
            answer = case.call(session=session, headers=who)
            target.asked[name, answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS)

        one()


def aim(case: Any, ids: dict[str, str]) -> None:
    """Put ids that exist in the place of generated ones."""
    if isinstance(case.path_parameters, dict):
        case.path_parameters.update({name: ids[name] for name in case.path_parameters if name in ids})
    if isinstance(case.body, dict) and 'dataset_id' in case.body:
        case.body['dataset_id'] = ids['dataset_id']
        if isinstance(case.body.get('target'), str):
            case.body['target'] = 'y'
            case.body.pop('version', None)
