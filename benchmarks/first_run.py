"""How long a newcomer's first run takes: clone → set-up → ready line → the sample's chart → the chart of an own file.

`python -m benchmarks.first_run [--quick]` clones the commit of this folder, gives it an empty home and empty caches,
does what the README says, and follows it in Chromium. `--quick` takes the caches of packages that are there.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks import Figure, report
from benchmarks.first_chart import AIRLINE, DRAWN, drop, timed
from tests.browsers import ARGUMENTS, chromium
from tests.e2e.conftest import WIDE
from tests.e2e.server import READY, ROOT, free_port

# What `make run` prints when a step begins, and what the step is.
STEPS = {
    'Setting up': 'the environment, and uv into it (s)',
    'Python packages': 'Python packages (s)',
    'Scripts': 'scripts, fonts and icons (s)',
    'First start': 'a new database, start, ready line (s)',
}


def main() -> int:
    """Measure and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='with the caches of packages that are there')
    quick = parser.parse_args().quick
    folder = Path(tempfile.mkdtemp(prefix='vs-first-'))
    try:
        return report([*measure(folder, quick=quick)])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """Do what the README says in `folder`, and yield the seconds of each step."""
    begun, clone = time.perf_counter(), folder / 'variosync'
    yield Figure(figure='git clone (s)', value=timed(lambda: _clone(clone)))
    making = subprocess.Popen(
        ('make', 'run'),
        cwd=clone,
        env=_environment(folder, quick=quick),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        link = yield from _made(making)
        yield from _followed(link)
        yield Figure(figure='from the clone to the chart of an own file (s)', value=time.perf_counter() - begun)
    finally:
        making.terminate()
        making.communicate(timeout=60)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    yield Figure(figure='CPU of all this, the browser too (s)', value=used.ru_utime + used.ru_stime)


def _clone(into: Path) -> None:
    subprocess.run(('git', 'clone', '--quiet', '--no-local', str(ROOT), str(into)), check=True)


def _environment(folder: Path, *, quick: bool) -> Mapping[str, str]:
    """That of somebody who never had this program, and never any other where caches are to be empty."""
    own = {'VARIOSYNC_HOME': str(folder / 'home'), 'VARIOSYNC_PORT': str(free_port())}
    if not quick:
        caches = ('HOME', 'UV_CACHE_DIR', 'PIP_CACHE_DIR', 'npm_config_cache', 'XDG_CACHE_HOME')
        own |= {name: str(folder / 'caches' / name) for name in caches}
    given = {name: value for name, value in os.environ.items() if not name.startswith(('VARIOSYNC_', 'PYTHON'))}
    return given | own


def _made(making: subprocess.Popen[str]) -> Generator[Figure, None, str]:
    """Yield how long each step of `make run` took, and return the link that it ends with."""
    assert making.stdout is not None
    said, step, since = [], '', time.perf_counter()
    for line in making.stdout:
        said.append(line)
        now, ready = time.perf_counter(), READY.search(line)
        begins = next((name for words, name in STEPS.items() if line.startswith(words)), '')
        if step and (begins or ready):
            yield Figure(figure=step, value=now - since)
        if ready:
            return ready['link']
        if begins:
            step, since = begins, now
    raise RuntimeError('no server came of it:\n' + ''.join(said))


def _followed(link: str) -> Iterator[Figure]:
    """Open the link, the chart of the sample's file, and that of a file of one's own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        page = browser.new_page(viewport=WIDE)
        page.set_default_timeout(300_000)
        yield Figure(figure='link to Home (s)', value=timed(lambda: page.goto(link)))

        def sample() -> None:
            page.get_by_role('link', name='A dirty file').click()
            page.get_by_role('link', name='Overview').click()
            page.wait_for_selector(DRAWN)

        yield Figure(figure='Home to the chart of the sample (s)', value=timed(sample))
        page.get_by_role('link', name='Datasets').first.click()
        yield Figure(figure='own file dropped to its chart (s)', value=timed(lambda: drop(page, AIRLINE)))
        browser.close()


if __name__ == '__main__':
    sys.exit(main())
