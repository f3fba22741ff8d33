"""What is deployed fits the program: every variable, command and file that `render.yaml` and the docs name exists."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from core.settings import Settings
from ui.cli import commands as all_commands

ROOT = Path(__file__).parent.parent
BLUEPRINT = yaml.safe_load((ROOT / 'render.yaml').read_text())
SERVICES = {service['name']: service for service in BLUEPRINT['services']}
GROUPS = {group['name']: group['envVars'] for group in BLUEPRINT['envVarGroups']}
WEB, WORKER, BALANCER = SERVICES['variosync-web'], SERVICES['variosync-worker'], SERVICES['variosync-balancer']
ALIASES = {field.alias for field in Settings.model_fields.values()}
# What the cloud's adapters are chosen by; the rest has a default that serves.
CLOUD = {
    alias
    for alias in ALIASES
    if alias and alias.startswith(('DATABASE_', 'SUPABASE_', 'AWS_', 'REDIS_', 'MODAL_', 'VARIOSYNC_MODAL_'))
}
FILLED = {
    'VARIOSYNC_PUBLIC_URL': 'https://app.example.com',
    'VARIOSYNC_OWNER_EMAIL': 'owner@example.com',
    'VARIOSYNC_METRICS_TOKEN': 'x' * 44,
    'DATABASE_URL': 'postgresql://postgres.ref:secret@127.0.0.1:5432/postgres',
    'DATABASE_POOL_URL': 'postgresql://postgres.ref:secret@127.0.0.1:6543/postgres',
    'SUPABASE_URL': 'https://ref.supabase.co',
    'SUPABASE_PUBLISHABLE_KEY': 'sb_publishable_x',
    'SUPABASE_SECRET_KEY': 'sb_secret_x',
    'AWS_BUCKET_NAME': 'variosync',
    'AWS_ENDPOINT_URL': 'https://s3.eu-central-1.wasabisys.com',
    'AWS_REGION': 'eu-central-1',
    'AWS_ACCESS_KEY_ID': 'key',
    'AWS_SECRET_ACCESS_KEY': 'secret',
    'REDIS_URL': 'redis://127.0.0.1:6379',
    'MODAL_TOKEN_ID': 'ak-x',
    'MODAL_TOKEN_SECRET': 'as-x',
}


def known(commands: typer.Typer, before: str = '') -> Iterator[str]:
    """Every command, with the words that lead to it."""
    for command in commands.registered_commands:
        yield f'{before}{command.name or getattr(command.callback, "__name__", "")}'
    for group in commands.registered_groups:
        assert group.typer_instance is not None
        yield from known(group.typer_instance, f'{before}{group.name} ')


COMMANDS = set(known(all_commands(object())))  # type: ignore[arg-type] - none is run


def variables(service: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A service's variables by name, those of its groups included."""
    own = [entry for entry in service['envVars'] if 'key' in entry]
    shared = [entry for given in service['envVars'] if 'fromGroup' in given for entry in GROUPS[given['fromGroup']]]
    return {entry['key']: entry for entry in shared + own}


def environment(service: dict[str, Any]) -> dict[str, str]:
    """What the process would find in its environment, made-up values where somebody is asked for them."""
    return {name: str(entry.get('value', FILLED.get(name))) for name, entry in variables(service).items()}


@pytest.mark.parametrize('service', [WEB, WORKER], ids=['web', 'worker'])
def test_every_variable_is_a_setting_and_all_of_the_cloud_are_there(service: dict[str, Any]):
    given = set(variables(service))
    assert given - ALIASES - {'PYTHON_VERSION', 'PORT'} == set()
    assert CLOUD - given <= ({'DATABASE_POOL_URL'} if service is WORKER else set())


@pytest.mark.parametrize('service', [WEB, WORKER], ids=['web', 'worker'])
def test_the_variables_make_settings_that_production_accepts(service: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    for name, value in environment(service).items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.environment == 'production'
    assert settings.shutdown_delay < service['maxShutdownDelaySeconds']
    assert settings.workers == (0 if service is WEB else 8)


def test_secrets_are_asked_for_or_made_up_never_written_down():
    secret = {field.alias for field in Settings.model_fields.values() if 'SecretStr' in str(field.annotation)}
    for service in (WEB, WORKER):
        for name, entry in variables(service).items():
            assert name not in secret or 'value' not in entry, name
    assert all('sync' not in entry for entries in GROUPS.values() for entry in entries), 'Render ignores these'


def test_what_is_referred_to_exists():
    for service in (BALANCER, WEB, WORKER):
        for entry in variables(service).values():
            if source := entry.get('fromService'):
                assert SERVICES[source['name']]['type'] == source['type']
                named = source.get('envVarKey')
                assert named in (None, 'RENDER_DISCOVERY_SERVICE') or named in variables(WEB)


def test_commands_and_files_exist():
    for command in (WEB['preDeployCommand'], WEB['startCommand'], WORKER['startCommand']):
        program, verb = shlex.split(command)
        assert program == 'variosync'
        assert verb in COMMANDS
    for service in (WEB, WORKER):
        for path in re.findall(r'-r (\S+)', service['buildCommand']):
            assert (ROOT / path).is_file()
    assert (ROOT / BALANCER['dockerfilePath']).is_file()


def test_the_balancer_s_configuration_is_valid_and_knows_every_variable():
    config = ROOT / 'deploy/haproxy/haproxy.cfg'
    assert set(re.findall(r'\$\{(\w+)\}', config.read_text())) == set(variables(BALANCER))
    environment = {'PATH': f'{os.environ["PATH"]}:/usr/sbin', 'PORT': '8080', 'VARIOSYNC_PORT': '8080'}
    checked = subprocess.run(
        ['haproxy', '-c', '-f', config],
        env=environment | {'VARIOSYNC_INSTANCES': 'localhost'},
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr
    assert f'monitor-uri {BALANCER["healthCheckPath"]}\n' in config.read_text()


@pytest.mark.parametrize('name', ['DEPLOYMENT.md', 'RUNBOOK.md'])
def test_commands_and_variables_of_the_docs_exist(name: str):
    text = (ROOT / 'docs' / name).read_text()
    for words in re.findall(r'(?:^|`)variosync ([a-z]+(?: [a-z]+)?)', text, re.M):
        assert words in COMMANDS or words.split()[0] in COMMANDS, words
    named = set(re.findall(r'\b((?:VARIOSYNC|SUPABASE|DATABASE|AWS|REDIS|MODAL)_[A-Z_]+)\b', text))
    pushed = set(re.findall(r'env\((\w+)\)', (ROOT / 'supabase/config.toml').read_text()))
    assert named - ALIASES - pushed == set()
    if name == 'DEPLOYMENT.md':
        asked = {variable for variable, entry in variables(WEB).items() if entry.get('sync') is False}
        assert asked - named == set(), 'it is not said where these come from'
        secret = re.search(r'modal secret create ([a-z-]+)', text)
        assert secret
        assert f"'{secret[1]}'" in (ROOT / 'modal_functions/run.py').read_text()
