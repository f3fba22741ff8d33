"""Whether a dashboard feels fast in a real browser: `python -m benchmarks.browser [--quick] [--no-peers]`.

A server of its own takes 10M rows (`--quick`: 1M) as a CSV by tus, and a dashboard of six panels is opened over them in
Chromium: cold in a fresh profile and over a range that nobody has asked for, then warm by the same profile again. What
a browser does for a window of its own takes a quarter of a second of both cores and is over by then, for all sites.
Keys and drags move the page: the time is from the key (or the release) to the first frame after all six panels have
drawn answers for the new range, taken inside the page. Meanwhile a timer on the server's event loop notes how late it
is; how long its thread waited for a core of the machine is counted apart. A file is appended to the dataset while the
page is open: the time is from the end of its job to the first frame after all six have drawn the new version. Last, 20
pages are opened beside each other, and what the server's memory grows by is divided by them.

The same six charts over the same rows are drawn by Streamlit with pandas and by Dash with plotly-resampler
(browser_peers), in turns with ours. They are installed into a venv of their own, in `variosync-bench/peers` beside
temporary files (TMPDIR). They have read the rows before they are measured, and a move of theirs is the shortest that
they offer: a press on a button of Streamlit's, a drag over Dash's lines.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx
import psutil
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from benchmarks import Figure, report
from core.analysis import duck
from tests.browsers import ARGUMENTS, chromium
from tests.e2e.conftest import WIDE
from tests.e2e.server import ROOT, Server, free_port, python
from tests.e2e.test_faults import begin, send

MB = 2**20
PART = 8 * MB
ROWS, QUICK = 10_000_000, 1_000_000
SERIES = 20
BEGUN = 1_672_531_200_000  # ms
MINUTE = 60_000  # ms
PAGES = 20
PAUSE = 500  # ms between two moves of a hand, in which a page may fetch ahead, and until a new tab's browser rests
HELD = 50  # ms
PATIENCE = 120_000  # ms
EMAIL = 'bench@example.com'
INSTALLED = ('streamlit>=1.60', 'dash>=4', 'plotly-resampler>=0.11', 'pandas>=3', 'pyarrow>=26')
PEERS = ('streamlit', 'dash')
TABLE = f"""
    SELECT printf('meter-%03d', i % {SERIES}) AS meter, TIMESTAMP '2023-01-01' + to_minutes(i // {SERIES}) AS ts,
        round(500 + 300 * sin((i // {SERIES}) / 1440.0 * 6.283) + (hash(i * 4) % 10007) / 100.0
            + CASE WHEN hash(i * 4) % 20011 = 0 THEN 900 ELSE 0 END, 2) AS load,
        round(40 + 2 * sin((i // {SERIES}) / 10080.0) + (hash(i * 4 + 1) % 101) / 100.0, 2) AS price,
        (hash(i * 4 + 2) % 1000)::INTEGER AS volume
    FROM range({{rows}}) t(i)"""

# What a page has drawn is six marks, one a chart; a repaint is over when all of them are others than before. A chart is
# drawn first when `%(chart)s` is found.
WATCH = """
window.bench = (() => {
    const marks = () => { %(marks)s };
    let before = [], begun = 0, armed = false, settle = null, first = 0, last = 0;
    const look = () => {
        if (!first && document.querySelector('%(chart)s'))
            first = requestAnimationFrame(() => { bench.first = performance.now(); });
        if (last && !(armed && begun)) return;
        const now = marks();
        if (now.length !== 6) return;
        if (!last) last = requestAnimationFrame(() => { bench.last = performance.now(); });
        else if (now.every((mark, at) => mark !== before[at])) {
            const from = begun;
            armed = false;
            requestAnimationFrame(() => settle(performance.now() - from));
        }
    };
    const all = {subtree: true, childList: true, attributes: true, characterData: true};
    new MutationObserver(look).observe(document, all);
    for (const name of ['keydown', 'mouseup'])
        addEventListener(name, (event) => { if (armed && !begun) begun = event.timeStamp; }, {capture: true});
    return {
        first: 0, last: 0,
        arm() {
            before = marks(); begun = 0; armed = true;
            bench.moved = new Promise((resolve, reject) => {
                settle = resolve;
                setTimeout(() => reject(`Six were to be drawn anew: ${before} → ${marks()}`), 60_000);
            });
        },
    };
})();
"""
# When all six were drawn anew, by the clock.
REPAINTED = """() => {
    const drawn = () => [...document.querySelectorAll('.board [data-panel]')].map((one) => one.dataset.fetches);
    const ready = () => document.querySelector('.board').dataset.ready === '1', before = drawn();
    window.repainted = new Promise((resolve) => new MutationObserver((_, watch) => {
        if (!ready() || !drawn().every((mark, at) => mark !== before[at])) return;
        watch.disconnect();
        requestAnimationFrame(() => resolve(Date.now()));
    }).observe(document.querySelector('.board'), {subtree: true, attributes: true}));
}"""
OURS = {
    'chart': '.board [data-panel][data-ready="1"]:not([data-panel="figure"])',
    'marks': """
        const board = document.querySelector('.board[data-ready="1"]');
        return [...(board?.querySelectorAll('[data-panel][data-ready="1"]') ?? [])].map((one) => one.dataset.fetches);
    """,
}
THEIRS = {
    'chart': '.gtitle',
    'marks': """
        const titles = [...document.querySelectorAll('.gtitle, #label, [data-testid="stMetricLabel"]')];
        const drawn = titles.flatMap((one) => one.textContent.match(/«\\d+»/g) ?? []);
        return new Set(drawn).size === 1 ? drawn : [];
    """,
}


@dataclass(slots=True, kw_only=True)
class Site:
    """A page that draws the six charts, and what it took: seconds to the first and the last chart, ms of moves."""

    name: str
    address: Callable[[int, int], str]  # of the range from and to (ms)
    context: Callable[[], BrowserContext]
    moves: Sequence[str]
    move: Callable[[Page, str], None]
    first: list[float] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    moved: list[tuple[str, float]] = field(default_factory=list)

    @property
    def zooms(self) -> list[float]:
        """Milliseconds of the moves that go nearer or further, not aside."""
        return [took for how, took in self.moved if not how.startswith('Arrow')]


def main() -> int:
    """Measure and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='1M rows, fewer rounds')
    parser.add_argument('--no-peers', action='store_true', help='our page alone')
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix='vs-bench-'))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what runs is stopped
    try:
        return report(measure(folder, rows=QUICK if asked.quick else ROWS, quick=asked.quick, peers=not asked.no_peers))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(folder: Path, *, rows: int, quick: bool, peers: bool) -> list[Figure]:
    """Return all figures of tables of so many rows."""
    told = f'{rows // 1_000_000}M rows'
    write(folder, rows)
    interpreter = installed() if peers else None
    late = folder / 'late'
    spans: list[tuple[float, float]] = []  # in which our server is at work
    settings = {'VARIOSYNC_TRIAL_HOURS': '1000', 'VARIOSYNC_RATE_LIMIT': '1000000'}
    server = Server(folder / 'home', command=python('-m', 'benchmarks.browser_peers', 'ours', str(late)), **settings)
    try:
        client = server.start().client(EMAIL)
        begun = time.perf_counter()
        dataset = uploaded(client, folder / 'rows.csv')
        converted = time.perf_counter() - begun
        dashboard = dashboard_of(client, dataset)
        with started(interpreter, folder) as ports, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
            ours = our_site(browser, server, client, dashboard)
            theirs = [their_site(browser, name, port) for name, port in ports.items()]
            for site in theirs:  # they read their rows
                opened(site, 0, rows).context.close()
            for turn in range(1, 4 if quick else 6):
                with noted(spans):
                    visit(ours, turn, rows)
                for site in theirs:
                    visit(site, turn, rows)
            seen = [live(ours, client, dataset, rows, turn) for turn in range(3)]
            with noted(spans):
                growth = memory(ours, server, rows)
            browser.close()
    finally:
        server.stop()
    return [
        Figure(figure=f'{told}: upload and conversion (s)', value=converted),
        *our_figures(ours, told),
        Figure(figure=f'{told}: a new version to its repaint (s)', value=statistics.median(seen), goal=1.0),
        *lateness(late, spans, told),
        Figure(figure=f'{told}: memory of the server for an open dashboard (MB)', value=growth / MB, goal=1),
        *(one for site in theirs for one in compared(ours, site, told)),
    ]


def our_figures(ours: Site, told: str) -> list[Figure]:
    """What our page took, with the issue's goals."""
    all_moves = [took for _, took in ours.moved]
    return [
        Figure(figure=f'{told}: first chart, cold (s)', value=statistics.median(ours.first)),
        Figure(figure=f'{told}: last of six panels, cold (s)', value=statistics.median(ours.cold), goal=2.0),
        Figure(figure=f'{told}: last of six panels, warm (s)', value=statistics.median(ours.warm), goal=0.8),
        Figure(figure=f'{told}: moves measured', value=len(all_moves)),
        Figure(figure=f'{told}: a move to its repaint, p50 (ms)', value=statistics.median(all_moves)),
        Figure(figure=f'{told}: a zoom to its repaint, p50 (ms)', value=statistics.median(ours.zooms)),
        Figure(figure=f'{told}: a move to its repaint, p95 (ms)', value=p95(all_moves), goal=150),
    ]


def compared(ours: Site, site: Site, told: str) -> list[Figure]:
    """What a peer took, and how many times as long that is as ours."""
    name, median = f'{told}, {site.name}', statistics.median
    return [
        Figure(figure=f'{name}: first chart, cold (s)', value=median(site.first)),
        Figure(figure=f'{name}: last chart, cold (s)', value=median(site.cold)),
        Figure(figure=f'{name}: last chart, warm (s)', value=median(site.warm)),
        Figure(figure=f'{name}: a zoom to its repaint, p50 (ms)', value=median(site.zooms)),
        Figure(
            figure=f'{name}: first chart, times ours',
            value=median(site.first) / median(ours.first),
            goal=5,
            better='more',
        ),
        Figure(figure=f'{name}: last chart, times ours', value=median(site.cold) / median(ours.cold)),
        Figure(
            figure=f'{name}: zoom, times ours', value=median(site.zooms) / median(ours.zooms), goal=3, better='more'
        ),
    ]


# Our server


@contextmanager
def noted(spans: list[tuple[float, float]]) -> Iterator[None]:
    """Note from when to when this goes on."""
    begun = time.time()
    yield
    spans.append((begun, time.time()))


def lateness(file: Path, spans: Sequence[tuple[float, float]], told: str) -> list[Figure]:
    """How long the loop was held within these spans; where it was held for too long is printed."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines = [line for line in lines if any(begun <= line['at'] <= ended for begun, ended in spans)]
    late = [line for line in lines if 'late' in line]
    for one in late:
        if one['late'] - one['queued'] > HELD:
            within = [
                line['within']
                for line in lines
                if 'within' in line and 0 <= one['at'] - line['at'] < one['late'] / 1000
            ]
            print(f'event loop held {one["late"] - one["queued"]:.0f} ms:', *within, file=sys.stderr)
    held = [max(0.0, one['late'] - one['queued']) for one in late]
    return [
        Figure(figure=f'{told}: event loop held, longest (ms)', value=max(held, default=0), goal=HELD),
        Figure(
            figure=f'{told}: event loop held for more than {HELD} ms (times)', value=sum(one > HELD for one in held)
        ),
        Figure(
            figure=f'{told}: event loop late, waits for a core included, longest (ms)',
            value=max((one['late'] for one in late), default=0),
        ),
    ]


def write(folder: Path, rows: int) -> None:
    """Write the rows as CSV for us and as Parquet for the peers."""
    with duck.connect(memory=1024 * MB, workdir=folder) as connection:
        kept = folder / 'rows.parquet'
        connection.execute(f"COPY ({TABLE.format(rows=rows)}) TO '{kept}' (FORMAT parquet)")
        connection.execute(f"COPY (SELECT * FROM '{kept}') TO '{folder / 'rows.csv'}' (FORMAT csv, HEADER)")


def uploaded(client: httpx.Client, file: Path) -> str:
    """Send a file by tus, wait until it is converted, and return the id of its dataset."""
    address = begin(client, file.name, file.stat().st_size)
    with file.open('rb') as data:
        place = 0
        while part := data.read(PART):
            sent = send(client, address, part, place)
            place += len(part)
    deadline = time.monotonic() + 1200
    while True:
        jobs = client.get('/api/v1/jobs').json()['items']
        if jobs and all(job['finished_at'] for job in jobs):
            assert all(job['state'] == 'succeeded' for job in jobs), jobs
            return str(sent.headers['variosync-dataset'])
        assert time.monotonic() < deadline, 'the conversion takes longer than 20 minutes'
        time.sleep(0.5)


def dashboard_of(client: httpx.Client, dataset: str) -> str:
    """Make the dashboard of six panels and return its id."""
    labels = [f'meter-{number:03}' for number in range(4)]
    every = {'measures': ['load'], 'group': '*'}
    one = {'series': labels[:1]}
    panels = [
        ('line', 'Load', {'measures': ['load'], 'series': labels}),
        ('figure', 'Load', {**every, 'across': 'mean'}),
        ('bar', 'Load by day', {**every, 'every': 'P1D', 'aggregation': 'sum'}),
        ('heat', 'Hours of a week', {'measures': ['load'], **one}),
        ('histogram', 'How often', {'measures': ['load'], **one}),
        ('candles', 'Price', {'measures': ['price'], 'volume': 'volume', 'every': 'P1D', **one}),
    ]
    spec = [
        {
            'id': kind, 'kind': kind, 'title': title, 'dataset': dataset, 'query': query,
            'x': at % 3 * 4, 'y': at // 3 * 4, 'w': 4, 'h': 4,
        }
        for at, (kind, title, query) in enumerate(panels)
    ]  # fmt: skip
    made = client.post('/api/v1/dashboards', json={'name': 'Grid', 'spec': {'panels': spec}})
    assert made.status_code == 201, made.text
    return str(made.json()['id'])


# The browser


def our_site(browser: Browser, server: Server, client: httpx.Client, dashboard: str) -> Site:
    """Our dashboard, moved by keys and by drags over its lines."""

    def context() -> BrowserContext:
        made = browser.new_context(viewport=WIDE)
        made.add_cookies(
            [{'name': one.name, 'value': one.value or '', 'url': server.url} for one in client.cookies.jar]
        )
        made.add_init_script(WATCH % OURS)
        return made

    def move(page: Page, how: str) -> None:
        if how == 'drag':
            drag(page, '[data-panel="line"] .u-over')
        else:
            page.locator('[data-panel="line"] .panel-stage').focus()
            page.evaluate('bench.arm()')
            page.keyboard.press(how)

    steps = ['+', '+', 'ArrowRight', 'ArrowRight', 'drag', 'ArrowLeft', 'ArrowLeft', '-', '-', '-']
    return Site(
        name='ours',
        address=lambda start, end: f'{server.url}/dashboards/{dashboard}?from={start}&to={end}',
        context=context,
        moves=steps,
        move=move,
    )


def their_site(browser: Browser, name: str, port: int) -> Site:
    """A peer's page: Streamlit has buttons, Dash is dragged."""

    def context() -> BrowserContext:
        made = browser.new_context(viewport=WIDE)
        made.add_init_script(WATCH % THEIRS)
        return made

    def move(page: Page, how: str) -> None:
        if how == 'drag':
            drag(page, '#lines .nsewdrag')
        else:
            button = page.get_by_role('button', name=how, exact=True)
            button.hover()
            page.evaluate('bench.arm()')
            button.click()

    return Site(
        name=name,
        address=lambda start, end: f'http://127.0.0.1:{port}/?from={start}&to={end}',
        context=context,
        moves={'streamlit': ['In'] * 3, 'dash': ['drag'] * 3}[name],
        move=move,
    )


def drag(page: Page, place: str) -> None:
    """Drag over the middle half of a chart."""
    box = page.locator(place).first.bounding_box()
    assert box
    middle = box['y'] + box['height'] / 2
    page.mouse.move(box['x'] + 0.25 * box['width'], middle)
    page.mouse.down()
    page.mouse.move(box['x'] + 0.75 * box['width'], middle, steps=5)
    page.evaluate('bench.arm()')
    page.mouse.up()


def opened(site: Site, turn: int, rows: int, context: BrowserContext | None = None, *, rest: int = 0) -> Page:
    """Open the page over a range that no other turn asks for, in a fresh profile unless one is given.

    A new tab rests for `rest` ms before it goes there.
    """
    context = context or site.context()
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.wait_for_timeout(rest)
    page.goto(site.address(BEGUN + turn * MINUTE, BEGUN + rows // SERIES * MINUTE), wait_until='commit')
    page.wait_for_function('bench.last > 0')
    return page


def visit(site: Site, turn: int, rows: int) -> None:
    """Open the page cold, then warm, then move it, and note what it takes."""
    page = opened(site, turn, rows, rest=PAUSE)
    site.first.append(page.evaluate('bench.first') / 1000)
    site.cold.append(page.evaluate('bench.last') / 1000)
    context = page.context
    page.wait_for_timeout(PAUSE)
    page.close()
    page = opened(site, turn, rows, context, rest=PAUSE)
    site.warm.append(page.evaluate('bench.last') / 1000)
    for how in site.moves:
        page.wait_for_timeout(PAUSE)
        site.move(page, how)
        site.moved.append((how, page.evaluate('bench.moved')))
    context.close()


def live(ours: Site, client: httpx.Client, dataset: str, rows: int, turn: int) -> float:
    """Append a file to the dataset, and return the seconds from the end of its job until the page has drawn it."""
    page = opened(ours, 0, rows)
    page.wait_for_selector('[data-live="1"]')
    page.wait_for_function('window.socket?.connected && window.did_handshake')
    page.wait_for_timeout(PAUSE)
    page.evaluate(REPAINTED)
    at = (BEGUN + (rows // SERIES + 1 + turn) * MINUTE) / 1000
    stamp = time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(at))
    data = ''.join(
        ['meter,ts,load,price,volume\n', *(f'meter-{one:03},{stamp},500.5,40.5,5\n' for one in range(SERIES))]
    )
    address = begin(client, f'more {turn}.csv', len(data), dataset=dataset, how='append')
    send(client, address, data.encode(), 0)
    painted = page.evaluate('window.repainted') / 1000
    job = max(client.get('/api/v1/jobs').json()['items'], key=lambda one: one['created_at'])
    page.context.close()
    return painted - datetime.fromisoformat(job['finished_at']).timestamp()


def memory(ours: Site, server: Server, rows: int) -> float:
    """Return the bytes by which the server's memory grows with each open page."""
    process, context = psutil.Process(server.pid), ours.context()

    def more(pages: int) -> int:
        for _ in range(pages):
            opened(ours, 0, rows, context).wait_for_function('window.socket?.connected && window.did_handshake')
        return int(process.memory_info().rss)

    before = more(5)  # what the first pages bring is no page's own
    after = more(PAGES)
    context.close()
    return (after - before) / PAGES


# The peers


def installed() -> Path:
    """The Python of the peers' venv, which is made when there is none."""
    home = Path(tempfile.gettempdir()) / 'variosync-bench' / 'peers'
    interpreter, done, wanted = home / 'bin' / 'python', home / 'done', '\n'.join(INSTALLED)
    if not done.exists() or done.read_text() != wanted:
        print(f'Installing {", ".join(INSTALLED)} into {home}', file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([interpreter, '-m', 'pip', 'install', '-q', *INSTALLED], check=True, stdout=sys.stderr)
        done.write_text(wanted)
    return interpreter


@contextmanager
def started(interpreter: Path | None, folder: Path) -> Iterator[dict[str, int]]:
    """Run the peers' servers by this Python, none without one, and say where they listen."""
    ports = {name: free_port() for name in PEERS} if interpreter else {}
    running: list[subprocess.Popen[bytes]] = []
    script, data = str(ROOT / 'benchmarks' / 'browser_peers.py'), str(folder / 'rows.parquet')
    options = [
        '--server.address=127.0.0.1',
        '--server.headless=true',
        '--browser.gatherUsageStats=false',
        '--server.fileWatcherType=none',
    ]
    try:
        for name, port in ports.items():
            command = {
                'streamlit': ['-m', 'streamlit', 'run', script, f'--server.port={port}', *options, '--', data],
                'dash': [script, 'dash', data, str(port)],
            }[name]
            with (folder / f'{name}.log').open('wb') as log:
                running.append(
                    subprocess.Popen(
                        [str(interpreter), *command],
                        cwd=folder,
                        env=os.environ | {'HOME': str(folder)},
                        stdout=log,
                        stderr=log,
                    )
                )
        for name, port in ports.items():
            answers(f'http://127.0.0.1:{port}/', folder / f'{name}.log')
        yield ports
    finally:
        for one in running:
            one.terminate()
            try:
                one.wait(10)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()


def answers(address: str, log: Path) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + 180
    while True:
        try:
            if httpx.get(address).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.2)


def p95(took: Sequence[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(took, n=20, method='inclusive')[-1]


if __name__ == '__main__':
    sys.exit(main())
