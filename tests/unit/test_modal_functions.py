"""The functions that Modal runs: what the app deploys, and each of them run here, with a bucket and nothing else."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from core import errors
from core.analysis.forecasting.registry import MODELS
from modal_functions.data_processing import convert, ping
from modal_functions.images import TORCH
from modal_functions.ml_inference import forecast, forecast_gpu
from modal_functions.run import pause, run
from storage.cloud.compute import GPU_FUNCTIONS
from storage.objects import Objects, ObjectsAt
from tests.counterparts.moto import Moto

ROOT = Path(__file__).resolve().parents[2]
TASKS = 'tests.contracts.tasks_for_tests'
AIR = ROOT / 'tests' / 'data' / 'air_passengers.csv'
LOAD = """
import json, sys
from modal._utils.async_utils import synchronizer
from modal.cli.import_refs import import_app_from_ref, parse_import_ref

app = import_app_from_ref(parse_import_ref('modal_functions.app', use_module_mode=True))
told = {}
for name, function in app._local_state.functions.items():
    spec = synchronizer._translate_out(function)._spec_
    told[name] = [spec.gpus, spec.cpu, spec.memory, [str(secret) for secret in spec.secrets]]
print(json.dumps({'app': app.name, 'functions': told, 'modules': sorted(sys.modules)}))
"""


@pytest.fixture(scope='module')
def loaded() -> dict[str, Any]:
    """The app as `modal deploy` loads it, in a process of its own without an account."""
    ended = subprocess.run([sys.executable, '-c', LOAD], cwd=ROOT, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


@pytest.mark.slow
def test_modals_own_loader_finds_every_function(loaded: dict[str, Any]) -> None:
    secrets = ["modal.Secret.from_name('variosync-objects')", 'Secret.from_dict([VARIOSYNC_TASK_MEMORY])']
    cpu = [None, [1.0, 2.0], [1024, 2560], secrets]
    assert loaded['app'] == 'variosync'
    assert loaded['functions'] == {
        'convert': cpu,
        'score': cpu,
        'ping': cpu,
        'forecast': cpu,
        'forecast_gpu': ['L4', [1.0, 2.0], [1024, 4608], secrets],
    }


def test_the_image_with_a_gpu_has_the_pytorch_of_the_makefile() -> None:
    assert f'TORCH := {TORCH}\n' in (ROOT / 'Makefile').read_text()


def test_every_function_for_a_gpu_is_deployed(loaded: dict[str, Any]) -> None:
    assert set(GPU_FUNCTIONS.values()) <= set(loaded['functions'])
    assert set(GPU_FUNCTIONS) <= set(MODELS)


def test_functions_need_neither_a_web_framework_nor_a_database(loaded: dict[str, Any]) -> None:
    assert {'nicegui', 'fastapi', 'psycopg', 'procrastinate', 'polars', 'torch'} & set(loaded['modules']) == set()


@pytest.fixture(scope='module')
def bucket() -> Iterator[ObjectsAt]:
    """A bucket of a server that lives as long as these tests."""
    with Moto() as server:
        yield server.make('functions')


@pytest.fixture
def objects(bucket: ObjectsAt, monkeypatch: pytest.MonkeyPatch) -> Objects:
    """What a container is given: the variables of the secret."""
    for name, value in {
        'AWS_BUCKET_NAME': bucket.bucket,
        'AWS_ENDPOINT_URL': bucket.endpoint,
        'AWS_ACCESS_KEY_ID': bucket.key,
        'AWS_SECRET_ACCESS_KEY': bucket.secret,
    }.items():
        monkeypatch.setenv(name, str(value))
    return Objects.s3(bucket)


def asked(**payload: Any) -> dict[str, Any]:
    """A request as `storage.cloud.compute` makes it."""
    return {'payload': {'memory': 2**29, **payload}, 'memory': 2**30, 'timeout': 60.0}


def test_ping(objects: Objects) -> None:
    answer = ping.local(asked())
    assert answer['result'] == {}
    assert answer['seconds'] > 0


@pytest.mark.slow
def test_a_file_becomes_a_dataset_and_the_dataset_a_forecast(objects: Objects) -> None:
    tenant = f't/{uuid4()}'
    asyncio.run(objects.put_file(f'{tenant}/u/source', AIR))
    answer = convert.local(
        asked(source=f'{tenant}/u/source', name=AIR.name, options={}, prefix=f'{tenant}/convert/job-1')
    )
    version = answer['result']
    parts = [item['key'] for item in version['objects'] if '/data-' in item['key']]
    wanted = {
        'target': version['manifest']['measures'][0],
        'h': 3,
        'series': [],
        'models': ['seasonal_naive'],
        'levels': [80],
        'step': None,
        'aggregate': 'mean',
    }
    for function in (forecast, forecast_gpu):
        prefix = f'{tenant}/forecast/{uuid4()}-1'
        issued = function.local(asked(parts=parts, request=wanted, prefix=prefix))['result']
        assert [(model['name'], model['rows']) for model in issued['manifest']['models']] == [('seasonal_naive', 3)]
        for item in issued['objects']:
            assert asyncio.run(objects.size(item['key'])) == item['size']
        assert json.loads(json.dumps(issued)) == issued, 'plain values only'


def error_of(answer: Mapping[str, Any]) -> errors.VariosyncError:
    return errors.from_words(*json.loads(json.dumps(answer))['error'])


@pytest.mark.slow
def test_an_error_of_ours_comes_back_as_itself(objects: Objects) -> None:
    tenant = f't/{uuid4()}'
    asyncio.run(objects.put(f'{tenant}/u/source', b'\x00\x01'))
    payload = asked(source=f'{tenant}/u/source', name='a.csv', options={}, prefix=f'{tenant}/convert/job-1')
    error = error_of(convert.local(payload))
    assert isinstance(error, errors.UnusableData)
    assert error.message


def test_a_bucket_that_does_not_answer_is_a_reason_to_try_again(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('AWS_ENDPOINT_URL', 'http://127.0.0.1:9')
    tenant = f't/{uuid4()}'
    payload = asked(source=f'{tenant}/u/source', name='a.csv', options={}, prefix=f'{tenant}/convert/job-1')
    error = error_of(convert.local({**payload, 'timeout': 2.0}))
    assert isinstance(error, errors.TaskKilled)


def test_a_task_gets_no_more_memory_than_its_container(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('VARIOSYNC_TASK_MEMORY', '1MB')
    error = error_of(ping.local(asked()))
    assert isinstance(error, errors.TaskOverLimit)


def test_a_disk_that_fails_is_a_reason_to_try_again(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('tempfile.tempdir', '/nonexistent')
    error = error_of(ping.local(asked(prefix=f't/{uuid4()}/x')))
    assert isinstance(error, errors.TaskKilled)
    assert error.retryable


def test_a_task_that_ends_soon_leaves_no_progress_behind(objects: Objects) -> None:
    prefix = f't/{uuid4()}/x-1'
    run('tell', asked(prefix=prefix, words=['begun']), tasks=TASKS)
    assert asyncio.run(objects.list(prefix)) == []


def test_progress_is_told_seldom_and_at_once_when_it_is_new(objects: Objects) -> None:
    prefix, ran = f't/{uuid4()}/x-1', []
    run('tell', asked(prefix=prefix, words=['begun', 'done']), tasks=TASKS, pause=lambda s: ran.append(s) or 0.001)
    assert asyncio.run(objects.list(prefix)) == [f'{prefix}/progress.json']
    assert len(ran) > 1


@pytest.mark.parametrize(('ran', 'expected'), [(0.0, 10.0), (10.0, 15.0), (150.0, 15.0), (3600.0, 360.0)])
def test_the_longer_a_task_runs_the_less_often_it_tells(ran: float, expected: float) -> None:
    assert pause(ran) == expected


def test_an_hour_of_progress_is_few_objects() -> None:
    said, ran = 0, 0.0
    while (ran := ran + pause(ran)) < 3600:
        said += 1
    assert said < 50
