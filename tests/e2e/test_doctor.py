"""`variosync doctor` against the counterparts of every service: one command, one plain answer a service."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cloud import Cloud
from tests.e2e.forked import run

pytestmark = [pytest.mark.xdist_group('faults'), pytest.mark.parametrize('place', ['cloud'], indirect=True)]


def variosync(place: Cloud, home: Path, *verb: str, **settings: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith('PYTEST')}
    environment = clean | dict(place.settings) | {'VARIOSYNC_HOME': str(home)} | settings
    kind, *program = place.program(verb[0])
    return run(*program, *verb[1:], kind=kind, environment=environment)


def doctor(place: Cloud, home: Path, **settings: str) -> tuple[int, dict[str, Any]]:
    said = variosync(place, home, 'doctor', '--json', **settings)
    assert said.stdout, said.stderr
    found: dict[str, Any] = json.loads(said.stdout)
    return said.returncode, found


def test_every_service_answers_for_itself(place: Cloud, home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(place.supabase.project, 'autoconfirm', False)  # as doctor wants it
    assert variosync(place, home, 'migrate').returncode == 0
    status, found = doctor(place, home)
    assert {name: service['said'] for name, service in found.items() if not service['ok']} == {}
    assert status == 0
    adapters = ' '.join(service['adapter'] for service in found.values())
    assert all(name in adapters for name in ('pooled at', 'Supabase', 'bucket', 'Redis', 'Modal'))


def test_what_is_wrong_is_told_beside_what_works(place: Cloud, home: Path):
    nobody = place.settings['DATABASE_URL'].replace(f':{place.postgres.port}/', ':1/')
    wrong = {'SUPABASE_SECRET_KEY': 'sb_secret_of_another_project', 'AWS_BUCKET_NAME': 'nobody-made-this'}
    away = {'DATABASE_URL': nobody, 'DATABASE_POOL_URL': nobody, 'REDIS_URL': 'redis://127.0.0.1:1'}
    status, found = doctor(place, home, **away, **wrong)
    assert status == 1
    failed = {name for name, service in found.items() if not service['ok']}
    assert failed == {'database', 'identity', 'staging', 'objects', 'cache', 'events'}
    assert 'Connection refused' in found['database']['said']
    assert found['compute']['ok']
    assert all(secret not in json.dumps(found) for secret in wrong.values() if secret.startswith('sb_'))
