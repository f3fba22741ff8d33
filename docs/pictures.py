"""The pictures of the README, taken anew from the real product by Chromium: `python -m docs.pictures`.

A server of its own gets the sample of shops up to August, dropped on the page, and one of other sales, forecast, and
followed by September, so that the forecast has a track record. `dataset.png` and `dashboard.png`
are pages as they are, `tour.gif` a tour of them in 20 seconds at most.
"""

import io
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from PIL import Image, ImageDraw
from playwright.sync_api import Locator, Page, sync_playwright

from core.accounts import SCOPES
from core.analysis.demo import SHOPS, shop_sales_before, shop_sales_news
from tests.browsers import chromium
from tests.e2e.server import ROOT, Server, python

DOCS = Path(__file__).parent
WIDE = {'width': 1440, 'height': 900}
GIF = (960, 600)
COLOURS = 192
LONGEST = 20_000  # ms
LARGEST = 2 * 2**20  # bytes of the GIF
PATIENCE = 300.0  # seconds that all jobs may take


def main() -> None:
    """Take all pictures."""
    with TemporaryDirectory(prefix='vs-') as home, TemporaryDirectory(prefix='vs-') as folder:
        server = Server(Path(home), command=python('run_nicegui.py', 'serve')).start()
        try:
            files = _files(Path(folder))
            record = _record(server, files)
            with _browser() as page:
                page.goto(_link(server))
                _tour(page, server.url, files['all'], record)
        finally:
            server.stop()


def _files(folder: Path) -> Mapping[str, Path]:
    """The sample up to August, and one of other sales with its September."""
    files = {
        'all': ('Shop sales.csv', shop_sales_before(1)),
        'past': ('Shops.csv', shop_sales_before(2)),
        'news': ('September.csv', shop_sales_news(2)),
    }
    for name, content in files.values():
        (folder / name).write_bytes(content)
    return {key: folder / name for key, (name, _) in files.items()}


def _record(server: Server, files: Mapping[str, Path]) -> str:
    """Order a forecast of what was still to come, let that come, and return the forecast once it is scored."""
    api = server.client()
    made = api.post(
        '/api/v1/keys', json={'name': 'pictures', 'scopes': sorted(SCOPES), 'expires_at': '2099-01-01T00:00:00Z'}
    )
    own = {'VARIOSYNC_SERVER': server.url, 'VARIOSYNC_API_KEY': made.json()['key']}

    def upload(*arguments: object) -> str:
        command = [*python(str(ROOT / 'run_nicegui.py')), 'upload', *map(str, arguments)]
        said = subprocess.run(command, env=server.environment | own, capture_output=True, text=True, check=True)
        return said.stdout.strip().rpartition('/')[2]

    dataset = upload(files['past'])
    ask = {
        'dataset_id': dataset, 'target': 'units', 'h': 30, 'models': ['auto', 'seasonal_naive'],
        'series': [f'{shop} · Bakery' for shop in SHOPS], 'name': 'Bakery units in September',
    }  # fmt: skip
    forecast = str(api.post('/api/v1/forecasts', json=ask).raise_for_status().json()['id'])
    _wait(api)
    upload(files['news'], '--dataset', dataset)
    _wait(api)
    return forecast


def _wait(api: httpx.Client) -> None:
    deadline = time.monotonic() + PATIENCE
    while any(job['finished_at'] is None for job in api.get('/api/v1/jobs').json()['items']):
        if time.monotonic() > deadline:
            raise TimeoutError('the jobs did not end')
        time.sleep(1)


def _link(server: Server) -> str:
    """A link that signs the owner in, as the browser is not the client that used the first one."""
    command = [*python(str(ROOT / 'run_nicegui.py')), 'link']
    return subprocess.run(command, env=server.environment, capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def _browser() -> Iterator[Page]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=['--no-sandbox', '--disable-gpu'])
        context = running.new_context(viewport=WIDE, color_scheme='dark', reduced_motion='reduce')
        context.set_default_timeout(60_000)
        yield context.new_page()
        running.close()


class Film:
    """Pictures of a page, each shown for some time, with a mark where the mouse is."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._at: tuple[float, float] | None = None
        self.frames: list[tuple[Image.Image, int]] = []

    def hold(self, seconds: float) -> None:
        """Show the page as it is now."""
        frame = Image.open(io.BytesIO(self._page.screenshot())).convert('RGB')
        if self._at is not None:
            x, y = self._at
            ring = ImageDraw.Draw(frame)
            ring.ellipse((x - 14, y - 14, x + 14, y + 14), outline=(255, 255, 255), width=4)
            ring.ellipse((x - 10, y - 10, x + 10, y + 10), outline=(40, 120, 255), width=4)
        self.frames.append((frame.resize(GIF, Image.Resampling.LANCZOS), round(seconds * 1000)))

    def press(self, what: Locator, *, before: float = 0.7) -> None:
        """Show where the mouse goes, and press there."""
        box = _box(what)
        self._at = (box['x'] + box['width'] / 2, box['y'] + box['height'] / 2)
        self.hold(before)
        self._page.mouse.click(*self._at)
        self._at = None

    def drag(self, what: Locator, start: float, end: float) -> None:
        """Drag over a chart from one part of its width to another."""
        box = _box(what)
        y = box['y'] + box['height'] * 0.45
        self._page.mouse.move(box['x'] + box['width'] * start, y)
        self._page.mouse.down()
        for step in (0.5, 1.0):
            x = box['x'] + box['width'] * (start + (end - start) * step)
            self._page.mouse.move(x, y, steps=5)
            self._at = (x, y)
            self.hold(0.35)
        self._page.mouse.up()
        self._at = None

    def save(self, path: Path) -> None:
        """Write the GIF. Raise ValueError when it is too long or too large."""
        length = sum(duration for _, duration in self.frames)
        # One palette for all, so that what stays on the screen costs nothing in the next picture.
        columns = Image.new('RGB', (GIF[0], GIF[1] * len(self.frames)))
        for place, (frame, _) in enumerate(self.frames):
            columns.paste(frame, (0, GIF[1] * place))
        palette = columns.quantize(COLOURS, dither=Image.Dither.NONE)
        first, *others = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame, _ in self.frames]
        durations = [duration for _, duration in self.frames]
        first.save(path, save_all=True, append_images=others, duration=durations, loop=0, optimize=True)
        if length > LONGEST or path.stat().st_size > LARGEST:
            raise ValueError(f'{path.name}: {length / 1000:g} s and {path.stat().st_size:,} bytes are too much')
        sys.stdout.write(
            f'{path.name}: {length / 1000:g} s, {path.stat().st_size:,} bytes, {len(durations)} pictures\n'
        )


def _box(what: Locator) -> Mapping[str, float]:
    what.wait_for()
    box = what.bounding_box()
    if box is None:
        raise LookupError(f'{what} is not to be seen')
    return box


def _tour(page: Page, url: str, file: Path, forecast: str) -> None:
    film = Film(page)
    page.goto(f'{url}/datasets')
    page.get_by_role('heading', name='Datasets').wait_for()
    film.hold(1.2)
    page.locator('input[type=file]').set_input_files(file)
    # There is one with the same columns, so the page asks whether the file joins it.
    film.press(page.get_by_role('button', name='New dataset'), before=1.4)
    page.wait_for_url(re.compile(r'/datasets/[0-9a-f-]{36}'))
    page.locator('[data-ready="1"]').first.wait_for()
    page.get_by_text('12,786 read').first.wait_for()
    page.get_by_text('faults marked').first.wait_for()
    page.get_by_role('button', name='Dismiss').first.click()  # what tells that the job is done
    _settle(page)
    page.screenshot(path=DOCS / 'dataset.png')
    film.hold(2.2)
    film.press(page.get_by_role('link', name=re.compile('^Faults')).first)
    page.get_by_role('table').first.wait_for()
    _settle(page)
    film.hold(1.8)
    film.press(page.get_by_role('button', name='Dashboard', exact=True))
    page.locator('.board[data-ready="1"]').wait_for()
    _settle(page)
    page.screenshot(path=DOCS / 'dashboard.png')
    film.hold(2)
    bar = page.get_by_role('toolbar', name='Variables')
    film.press(bar.get_by_role('button', name=re.compile('^shop')))
    picker = page.get_by_role('dialog', name='shop')
    picker.get_by_role('checkbox').first.check()
    _settle(page)
    film.hold(0.9)
    page.keyboard.press('Escape')
    _settle(page)
    film.hold(1)
    film.drag(page.locator('.panel-stage').nth(2), 0.45, 0.8)
    _settle(page)
    film.hold(1.8)
    page.goto(f'{url}/forecasts/{forecast}')
    page.locator('[data-ready="1"]').first.wait_for()
    page.get_by_text('Coverage receipt').wait_for()
    _settle(page)
    film.hold(2.4)
    page.goto(f'{url}/track')
    page.get_by_role('heading', name='Track record').wait_for()
    _settle(page)
    film.hold(2.4)
    film.save(DOCS / 'tour.gif')


def _settle(page: Page) -> None:
    """Let what is being fetched and drawn come to rest."""
    page.wait_for_load_state('networkidle')
    page.wait_for_timeout(700)


if __name__ == '__main__':
    main()
