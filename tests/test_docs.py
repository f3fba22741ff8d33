"""The docs say what the code does. What they tell to run is run by `tests/e2e/test_examples.py`."""

import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from core import panels
from core.settings import Settings
from docs import reference
from tests.e2e import test_examples
from tests.examples import KINDS, ROOT, Block, blocks, named_in_text, pages, prose
from tests.examples import RUN as EXAMPLES

DOCS = ROOT / 'docs'
COMMANDS = dict(reference.command_tree())
# A line that somebody would type, and where such a line stands in Markdown beside fenced blocks.
TYPED = re.compile(r'\s*(?:[$%>]+ |(?:\S*/)?(?:variosync|make|curl|git|pip|uv|python3?|modal)(?: |$))')
HIDDEN = re.compile(rf'(?: {{4}}|\t|(?=\$ )){TYPED.pattern}|\s*~~~|.*<(?:pre|code)\b')
# What stands in italics: a label of a page when it begins with a capital, but for what is said of data.
LABEL = re.compile(r'(?<![*\w])\*([A-Z][^*\n]*)\*(?![*\w])')
DATA = {'Amsterdam', 'Umsatz'}
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


def test_every_block_is_run_or_says_where_else_or_why_not():
    for page in pages():
        text = page.read_text(encoding='utf-8')
        assert text.count('```') == 2 * sum(1 for _ in blocks(page)), page
        for block in blocks(page):
            assert block.kind in KINDS, f'{block.page}:{block.line}: ```{block.kind}'
            assert block.why is None or block.kind in EXAMPLES, f'{block.page}:{block.line}: says why without a need'
            if block.why:
                _check_reason(block)


def _check_reason(block: Block) -> None:
    """Some file of ours runs each command of ours: it holds its words, or the page's name where it runs the block."""
    named = [ROOT / name for name in re.findall(r'[\w.]+/[\w./]+', block.why or '')]
    assert named or block.why == 'needs an account at Modal', f'{block.page}:{block.line}: who runs it?'
    held = ''.join(path.read_text(encoding='utf-8') for path in named)
    if block.kind == 'python':
        assert Path(block.page).name in held, f'{block.page}:{block.line}: {block.why}'
    for _, *words in (words for words in block.commands if words[0] == 'variosync'):
        assert all(f"'{word}'" in held for word in words), f'{block.page}:{block.line}: {shlex.join(words)}'


def test_no_command_is_hidden():
    """Nothing that a reader would type stands where the list of examples does not look."""
    found = []
    for page in pages():
        found += [f'{page.name}: {line}' for line in prose(page).splitlines() if HIDDEN.match(line)]
        for block in blocks(page):
            if block.kind not in EXAMPLES and not block.below:
                found += [f'{page.name}: {line}' for line in block.body.splitlines() if TYPED.match(line)]
    assert found == []


def test_every_page_with_an_example_is_followed():
    shown = {page for page in pages() if any(block.runs for block in blocks(page))}
    assert shown == set(test_examples.RUN)
    assert any(block.shown for page in shown for block in blocks(page))


@pytest.mark.parametrize(
    ('text', 'escapes'),
    [
        ('    make run', True),
        ('\tvariosync serve', True),
        ('$ .venv/bin/variosync link', True),
        ('~~~sh', True),
        ('<pre>make run</pre>', True),
        ('    `variosync link` prints another', False),
        ('make your data clean', False),
    ],
)
def test_what_hides_a_command(text: str, escapes: bool):
    assert bool(HIDDEN.match(text)) is escapes


def test_settings_and_data_in_blocks_are_what_they_say():
    known = {field.alias for field in Settings.model_fields.values()}
    for block in (block for page in pages() for block in blocks(page)):
        if block.kind == 'env':
            names = set(re.findall(r'^(\w+)=', block.body, re.M))
            assert names
            assert names <= known, block.page
        elif block.kind == 'json':
            assert panels.parsed(json.loads(block.body)), block.page
        elif block.kind == 'toml':
            assert tomllib.loads(block.body), block.page


@pytest.mark.parametrize('page', pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_and_options_exist(page: Path):
    for words in _commands(page):
        if words[0] == 'variosync':
            _check_command(words)
        elif words[0] == 'make':
            assert {word for word in words[1:] if '=' not in word} <= TARGETS, words
        elif [*words[:2]] == ['python', '-m'] and re.match(r'(benchmarks|ui|docs|tests)\.', ' '.join(words[2:])):
            name = words[2].replace('.', '/')
            assert words[2].endswith('.NAME') or list(ROOT.glob(f'{name}.py')) or (ROOT / name).is_dir(), words


def _commands(page: Path) -> Iterator[Sequence[str]]:
    """What a page tells to run, in blocks and in its text."""
    for block in blocks(page):
        yield from block.commands
    yield from named_in_text(page)


def _check_command(words: Sequence[str]) -> None:
    name = next((name for name in COMMANDS if [*words[: len(name.split())]] == name.split()), None)
    groups = {name.rpartition(' ')[0] for name in COMMANDS}
    assert name or ' '.join(words[:2]) in groups or [*words[1:]] in (['--help'], []), shlex.join(words)
    if name:
        known = {option for one in COMMANDS[name].params for option in (*one.opts, *one.secondary_opts)}
        told = {re.split(r'[=…]', word)[0] for word in words if re.match(r'--?[a-z]', word)}
        assert told - known - {'--help', ''} == set(), shlex.join(words)


def test_labels_that_guides_name_are_those_of_pages():
    """Of our own pages: what other services call theirs cannot be known here."""
    sources = [path for path in (ROOT / 'ui').rglob('*') if path.suffix in ('.py', '.js', '.html')]
    said = ''.join(path.read_text(encoding='utf-8') for path in sources if 'vendor' not in path.parts)
    told = [DOCS / 'tutorial.md', DOCS / 'dashboards.md', *(DOCS / 'how-to').glob('*.md')]
    named = {(path.name, label) for path in told for label in LABEL.findall(prose(path))}
    assert len(named) > 50
    # Looked for by what it begins with, and only then by the border of a word before it: the other way takes a second.
    assert {
        (page, label) for page, label in named if label not in DATA and not re.search(rf'{label}\b(?<=\b{label})', said)
    } == set()


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
