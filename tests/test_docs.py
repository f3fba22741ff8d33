"""The docs say what the code does."""

import json
import re
import subprocess
from pathlib import Path

from pydantic import BaseModel

from core.settings import Settings

ROOT = Path(__file__).parent.parent


def test_every_setting_is_documented():
    rows = re.findall(r'^\| `([A-Z_]+)` \| (.*?) \| (.*?) \|$', (ROOT / 'docs/ENV_VARS.md').read_text(), re.M)
    told = {name: (default.strip('`'), text) for name, default, text in rows}
    known = {field.alias: (_written(field.default), field.description) for field in Settings.model_fields.values()}
    assert told == known


def _written(default: object) -> str:
    if isinstance(default, BaseModel):
        return default.model_dump_json()
    if isinstance(default, (tuple, dict)):
        return json.dumps(default)
    return '' if default is None else str(default)


def test_readme_begins_with_the_two_commands():
    commands = re.findall(r'^make (\w+)', (ROOT / 'README.md').read_text(), re.M)
    assert commands[:2] == ['run', 'test']


def test_links_between_docs_hold():
    broken = []
    for path in [*ROOT.glob('*.md'), *(ROOT / 'docs').rglob('*.md')]:
        for target in re.findall(r'\]\(([^)#:]+)\)', path.read_text()):
            if not (path.parent / target).exists():
                broken.append(f'{path.name}: {target}')
    assert broken == []


def test_short_docs_stay_short():
    assert len((ROOT / 'ARCHITECTURE.md').read_text().splitlines()) <= 150
    for decision in (ROOT / 'docs/decisions').glob('*.md'):
        assert len(decision.read_text().splitlines()) <= 40, decision.name


def test_no_registry_address_and_no_machine_path_is_committed():
    listed = subprocess.run(['git', 'ls-files', '-z'], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    pattern = re.compile(r'registry\.npmjs|files\.pythonhosted|pypi\.org/simple|(?<![\w.])/(?:work|root)/')
    found = [
        name
        for name in filter(None, listed.split('\0'))
        if name != 'tests/test_docs.py'
        and (ROOT / name).is_file()
        and pattern.search((ROOT / name).read_text(errors='ignore'))
    ]
    assert found == []
