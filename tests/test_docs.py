"""The docs say what the code does. What they tell to run is run by `tests/e2e/test_examples.py`."""

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs import reference
from tests.examples import INLINE, KINDS, ROOT, blocks, pages, prose

DOCS = ROOT / 'docs'
COMMANDS = dict(reference.command_tree())
TARGETS = set(re.findall(r'^(\w+):', (ROOT / 'Makefile').read_text(), re.M))


@pytest.mark.parametrize('name', reference.PAGES)
def test_the_reference_is_what_the_code_says(name: str):
    text = (DOCS / name).read_text(encoding='utf-8')
    assert '<!-- made: ' in text
    assert text == reference.filled(text), 'run `make docs`'


def test_every_page_is_in_the_index():
    linked = set(re.findall(r'\]\(([^)#:]+)', (DOCS / 'README.md').read_text(encoding='utf-8')))
    found = {str(path.relative_to(DOCS)) for path in DOCS.rglob('*.md')} - {'README.md'}
    assert found - linked == set()


def test_every_block_is_run_or_says_why_not():
    for page in pages():
        for block in blocks(page):
            assert block.kind in KINDS, f'{block.page}: ```{block.kind}'
        text = page.read_text(encoding='utf-8')
        assert text.count('```') == 2 * sum(1 for _ in blocks(page)), page


@pytest.mark.parametrize('page', pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_and_options_exist(page: Path):
    for words in _commands(page):
        if words[0] == 'variosync':
            _check_command(words)
        elif words[0] == 'make':
            assert {word for word in words[1:] if '=' not in word} <= TARGETS, words
        elif words[:2] == ['python', '-m'] and words[2:3] and words[2].startswith(('benchmarks.', 'ui.', 'docs.')):
            name = words[2].replace('.', '/')
            assert words[2].endswith('.NAME') or list(ROOT.glob(f'{name}.py')) or (ROOT / name).is_dir(), words


def _commands(page: Path) -> Iterator[list[str]]:
    """What a page tells to run, in blocks and in its text, as words without a path before the program."""
    lines = [
        line for block in blocks(page) if block.kind == 'sh' for line in block.body.replace('\\\n', ' ').splitlines()
    ]
    lines += [text for text in INLINE.findall(prose(page)) if text.startswith(('variosync ', 'make ', 'python -m '))]
    for line in lines:
        for part in re.split(r'\|\|?|&&|;|\bif\b|!', re.sub(r'\s#.*|\'[^\']*\'', ' ', line)):
            words = [word.rpartition('/')[2] if '/bin/' in word else word for word in part.split()]
            words = words[next((n for n, word in enumerate(words) if not re.match(r'\w+=', word)), 0) :]
            if words and words[0] in ('variosync', 'make', 'python'):
                yield words


def _check_command(words: list[str]) -> None:
    name = next((name for name in COMMANDS if words[: len(name.split())] == name.split()), None)
    groups = {name.rpartition(' ')[0] for name in COMMANDS}
    assert name or ' '.join(words[:2]) in groups or words[1:] in (['--help'], []), shlex.join(words)
    if name:
        known = {option for one in COMMANDS[name].params for option in (*one.opts, *one.secondary_opts)}
        told = {re.split(r'[=…]', word)[0] for word in words if re.match(r'--?[a-z]', word)}
        assert told - known - {'--help', ''} == set(), shlex.join(words)


def test_readme_begins_with_the_two_commands():
    commands = re.findall(r'^make (\w+)', (ROOT / 'README.md').read_text(), re.M)
    assert commands[:2] == ['run', 'test']


def test_links_between_docs_hold():
    broken = []
    for path in [*ROOT.glob('*.md'), *DOCS.rglob('*.md')]:
        for target, anchor in re.findall(r'\]\(([^)#:]*)(#[^)]*)?\)', path.read_text()):
            found = path.parent / target if target else path
            if not found.exists() or (anchor and anchor[1:] not in _anchors(found)):
                broken.append(f'{path.name}: {target}{anchor}')
    assert broken == []


def _anchors(page: Path) -> set[str]:
    heads = re.findall(r'^#+ (.*)$', page.read_text(), re.M)
    return {re.sub(r'[^\w\- ]', '', head.lower()).replace(' ', '-') for head in heads}


def test_short_docs_stay_short():
    assert len((ROOT / 'ARCHITECTURE.md').read_text().splitlines()) <= 150
    for decision in (DOCS / 'decisions').glob('*.md'):
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


def test_architecture_names_every_module_and_the_layers():
    text = (ROOT / 'ARCHITECTURE.md').read_text()
    named = set(re.findall(r'(\w+)\.py\b', text))
    for folder in ('core', 'core/analysis', 'storage', 'ui'):
        stems = {path.stem for path in (ROOT / folder).glob('*.py')} - {'__init__'}
        assert stems - named == set(), folder
    there = {path.stem for top in ('core', 'storage', 'ui') for path in (ROOT / top).rglob('*.py')}
    assert named - there - {'run_nicegui'} == set()
    contracts = tomllib.loads((ROOT / 'pyproject.toml').read_text())['tool']['importlinter']['contracts']
    layers = next(one['layers'] for one in contracts if one['name'] == 'inside core')
    told = re.search(r'inside core `([^`]+)`', text)
    assert told
    assert ' '.join(told[1].split()).split(' → ') == layers
