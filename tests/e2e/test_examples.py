"""Every command of README and docs does what stands there: all of them are run, in one server."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import pytest

from core.accounts import SCOPES
from core.analysis.demo import shop_sales
from tests.e2e.forked import Desk
from tests.e2e.server import FORKED, Server
from tests.examples import ROOT, Block, blocks, named_in_text, pages

pytestmark = pytest.mark.xdist_group('examples')

ADDRESS, KEY = 'http://127.0.0.1:8080', 'vsk_…'
MARK = '::: next :::'
RUN = [page for page in pages() if any(block.runs for block in blocks(page))]
SAMPLE = 'Shop sales v2 rows.csv'
# Each module of the command line, with `--help` as its only word.
HELP = """
import contextlib, runpy, sys

named, sys.argv[1:] = sys.argv[1:], ['--help']
for name in named:
    with contextlib.suppress(SystemExit):
        runpy.run_module(name, run_name='__main__')
"""


class Reader:
    """Somebody who follows the docs on their own machine, in a clone that was set up."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        (folder / '.venv').symlink_to(sys.prefix)
        (folder / 'tests').symlink_to(ROOT / 'tests')
        self.home = folder / 'home'
        (self.home / 'Downloads').mkdir(parents=True)
        self.desk = Desk(folder)
        self.key = self._key()

    def follow(self, kind: str, bodies: Sequence[str]) -> list[str]:
        """Run blocks of one page one after the other, as in one shell or program, and return what each printed."""
        between = f"\necho '{MARK}'\n" if kind == 'sh' else f"\nprint('{MARK}')\n"
        text = between.join(bodies).replace(ADDRESS, self.server.url).replace(KEY, self.key)
        options = (
            ('bash', '-euo', 'pipefail', '-c')
            if kind == 'sh'
            else (sys.executable, '-W', 'ignore::ResourceWarning', '-c')
        )
        ran = subprocess.run(
            [*options, text], cwd=self.folder, env=self._environment(), capture_output=True, text=True, timeout=180
        )
        assert ran.returncode == 0, f'{text}\n{ran.stdout}\n{ran.stderr}'
        return ran.stdout.split(f'{MARK}\n')

    def download(self, file: str) -> None:
        """Save the rows of the sample, as the tutorial does on a page."""
        (self.folder / 'sample.csv').write_bytes(shop_sales())
        self.follow('sh', [f'variosync convert sample.csv -o "$HOME/Downloads/{file}"'])

    def _key(self) -> str:
        wanted = {'name': 'docs', 'scopes': sorted(SCOPES), 'expires_at': '2099-01-01T00:00:00Z'}
        answer = self.server.client().post('/api/v1/keys', json=wanted)
        assert answer.status_code == 201, answer.text
        return str(answer.json()['key'])

    def _environment(self) -> dict[str, str]:
        own = {'HOME': str(self.home), 'VARIOSYNC_SERVER': self.server.url, 'VARIOSYNC_API_KEY': self.key}
        # What pages call by its place in the clone is a process of its own.
        path = os.pathsep.join([str(self.desk.bin), str(Path(sys.executable).parent), os.environ['PATH']])
        return self.server.environment | own | {'PATH': path, 'OMP_NUM_THREADS': '1'}


@pytest.fixture(scope='module')
def reader() -> Iterator[Reader]:
    home, folder = Path(mkdtemp(prefix='vs-')), Path(mkdtemp(prefix='vs-docs-'))
    server = Server(home, command=FORKED).start()
    try:
        reader = Reader(server, folder)
        reader.download(SAMPLE)
        yield reader
        reader.desk.close()
    finally:
        server.stop()
        rmtree(home, ignore_errors=True)
        rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize('page', RUN, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_does_what_it_says(reader: Reader, page: Path):
    if page.stem == 'backup':
        reader.server.stop()
    for kind in ('sh', 'python'):
        run = [block for block in blocks(page) if block.kind == kind and block.runs]
        for block, printed in zip(run, reader.follow(kind, [one.body for one in run]) if run else [], strict=True):
            _compare(block, printed)


def _compare(block: Block, printed: str) -> None:
    """What is shown is what was printed, where `…` stands for anything on a line."""
    if block.shown is None:
        return
    pattern = re.escape(block.shown).replace(re.escape('…'), '[^\n]*')
    assert re.fullmatch(pattern, printed), f'{block.page} shows\n{block.shown}\nbut this was printed:\n{printed}'


def test_every_benchmark_that_is_named_begins_and_has_a_smaller_run():
    named = sorted(
        {words[2] for page in pages() for words in named_in_text(page) if words[2:] and 'benchmarks.' in words[2]}
    )
    told = subprocess.run([sys.executable, '-c', HELP, *named], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stderr
    assert len(named) >= 7
    assert told.stdout.count('usage: ') == len(named)
    assert told.stdout.count('--quick ') >= len(named), told.stdout
