"""How long a newcomer waits: start → ready, link → first chart, a dropped 100 MB file → first chart.

`python -m benchmarks.first_chart [--quick] [--on counterparts]` needs Chromium on the PATH; `--quick` drops 10 MB, a
figure without a goal. On counterparts of the cloud's services the web process imports no model library.
"""

import argparse
import csv
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks import Figure, report
from tests.browsers import ARGUMENTS, chromium
from tests.e2e.cloud import Cloud, Embedded
from tests.e2e.conftest import WIDE
from tests.e2e.server import ROOT, Server

ROWS_A_MEGABYTE = 20_700
SERIES = 20
AIRLINE = ROOT / 'tests' / 'data' / 'air_passengers.csv'
DRAWN = '[data-ready="1"]'
T = TypeVar('T')


def main() -> int:
    """Measure and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='a 10 MB file instead of 100 MB, one round')
    parser.add_argument('--on', choices=('counterparts',), help='in the settings of the cloud, instead of embedded')
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix='vs-bench-'))
    try:
        with Cloud() if asked.on else Embedded() as place:
            megabytes, rounds = (10, 1) if asked.quick else (100, 3)
            return report(measure(folder, place, megabytes=megabytes, rounds=rounds))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(folder: Path, place: Embedded | Cloud, *, megabytes: int, rounds: int) -> list[Figure]:
    """Start servers over homes in `folder`, drive a real browser, and return the figures in seconds."""
    file = write_csv(folder / 'orders.csv', rows=megabytes * ROWS_A_MEGABYTE)
    size = file.stat().st_size / 1e6
    first, again, link, dropped = [], [], [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        for number in range(rounds):
            server = place.server(folder / f'home-{number}')
            first.append(timed(server.start))
            with_page(browser, lambda page, server=server: (page.goto(server.link), drop(page, AIRLINE)))
            server.stop()
            again.append(timed(server.start))
            link.append(with_page(browser, lambda page, server=server: timed(lambda: open_chart(page, server))))
            server.stop()
            server.start()  # for a link of its own: each serves once
            dropped.append(
                with_page(
                    browser, lambda page, server=server: (page.goto(server.link), timed(lambda: drop(page, file)))[1]
                )
            )
            server.stop()
        browser.close()
    full = megabytes >= 100
    return [
        Figure(figure='start to ready, new home (s)', value=statistics.median(first), goal=5),
        Figure(figure='start to ready, known home (s)', value=statistics.median(again), goal=5),
        Figure(figure='link to first chart drawn (s)', value=statistics.median(link), goal=3),
        Figure(
            figure=f'{size:.0f} MB CSV dropped to first chart (s)',
            value=statistics.median(dropped),
            goal=25 if full else None,
        ),
    ]


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds work took."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def with_page(browser: Browser, use: Callable[[Page], T]) -> T:
    """Use a page of a new browser profile."""
    context = browser.new_context(viewport=WIDE)
    context.set_default_timeout(180_000)
    try:
        return use(context.new_page())
    finally:
        context.close()


def open_chart(page: Page, server: Server) -> None:
    """Open the owner's link and go on to the only dataset."""
    page.goto(server.link)
    page.locator('a.whole').first.click()
    page.wait_for_selector(DRAWN)


def drop(page: Page, file: Path) -> None:
    """Give the page a file and wait for its chart."""
    page.locator('input[type=file]').set_input_files(file)
    page.wait_for_url(re.compile('/datasets/[0-9a-f-]{36}'))
    page.wait_for_selector(DRAWN)


def write_csv(path: Path, *, rows: int) -> Path:
    """Write an hourly table of a few sites, about 50 bytes a row."""
    rng = np.random.default_rng(7)
    steps = rows // SERIES
    stamps = np.datetime_as_string(
        np.datetime64('2015-01-01T00:00') + np.arange(steps) * np.timedelta64(30, 'm'), unit='s'
    )
    with path.open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['site', 'ds', 'qty', 'price', 'temp_c'])
        for site in range(SERIES):
            qty, price = rng.gamma(4, 25, steps).round(2), rng.uniform(5, 900, steps).round(2)
            cold = (10 - 12 * np.cos(np.arange(steps) / 17_520 * 2 * np.pi) + rng.normal(0, 2, steps)).round(2)
            writer.writerows(zip([f'site {site:03}'] * steps, stamps, qty, price, cold, strict=True))
    return path


if __name__ == '__main__':
    sys.exit(main())
