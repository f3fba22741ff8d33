"""A file goes from a real browser to Supabase Storage and never through our server."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect
from starlette.requests import Request
from starlette.responses import Response

from tests.counterparts.postgres import server_postgres
from tests.e2e.server import FORKED, Server
from tests.fakes.supabase import FakeSupabase

pytestmark = pytest.mark.xdist_group('browser')


@pytest.fixture
def supabase() -> Iterator[FakeSupabase]:
    with FakeSupabase() as fake:
        yield fake


@pytest.fixture
def server(home: Path, supabase: FakeSupabase) -> Iterator[Server]:
    """A server whose uploads arrive in Supabase Storage."""
    with server_postgres(shape='supabase') as postgres:
        settings = {
            'DATABASE_URL': postgres.url,
            'SUPABASE_URL': supabase.url,
            'SUPABASE_PUBLISHABLE_KEY': supabase.project.publishable,
            'SUPABASE_SECRET_KEY': supabase.project.secret,
            'VARIOSYNC_WORKERS': '0',
        }
        running = Server(home, command=FORKED, **settings)
        try:
            yield running.start()
        finally:
            running.stop()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A CSV of three pieces."""
    path = tmp_path / 'long.csv'
    with path.open('w') as out:
        out.write('ds,y,note\n')
        for second in range(15_000):
            stamp = f'2000-01-01T{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}'
            out.write(f'{stamp},{second % 977}.5,{"long" * 220}\n')
    assert path.stat().st_size > 13_000_000
    return path


class Gate:
    """Lets that many pieces through; the others break off, as on a bad line."""

    def __init__(self, page: Page, supabase: FakeSupabase) -> None:
        self.left = 0
        self.offsets: list[int] = []
        page.route(f'{supabase.url}/storage/v1/upload/resumable/**', self._decide)

    def _decide(self, route: Route) -> None:
        if route.request.method != 'PATCH':
            route.continue_()
        elif self.left:
            self.left -= 1
            self.offsets.append(int(route.request.headers['upload-offset']))
            route.continue_()
        else:
            route.abort()


def progress(page: Page, at_least: int) -> None:
    """Wait until so many percent are there."""
    page.wait_for_function(
        'least => parseFloat(document.querySelector(".uploads .bar i")?.style.width ?? "0") >= least', arg=at_least
    )


def test_a_file_goes_past_our_server_over_a_pause_and_a_reload_or_is_discarded(
    server: Server, page: Page, supabase: FakeSupabase, file: Path
):
    ours: list[str] = []
    problems: list[str] = []
    page.on('request', lambda request: ours.append(request.method) if request.url.startswith(server.url) else None)
    page.on('pageerror', lambda error: problems.append(str(error)))
    page.on('dialog', lambda dialog: dialog.accept())
    page.goto(server.link)
    page.goto(f'{server.url}/datasets')
    gate = Gate(page, supabase)

    gate.left = 1
    page.locator('input[type=file]').set_input_files(file)
    progress(page, 30)
    with page.expect_response(lambda answer: answer.request.method == 'DELETE' and answer.url.startswith(server.url)):
        page.get_by_role('button', name='Discard long.csv').click()
    assert supabase.storage.names() == []
    gate.offsets.clear()
    supabase.storage.seen.clear()

    gate.left = 1
    page.locator('input[type=file]').set_input_files(file)
    progress(page, 30)
    page.get_by_role('button', name='Pause long.csv').click()
    expect(page.locator('[data-upload="paused"]')).to_contain_text('paused')

    gate.left = 1
    page.get_by_role('button', name='Continue long.csv').click()
    progress(page, 70)
    page.reload()
    expect(page.locator('[data-upload="broken"]')).to_contain_text('Choose or drop the same file again')

    stale = iter([True])

    async def expired_once(request: Request) -> Response | None:
        late = request.method == 'PATCH' and next(stale, False)
        return Response('"exp" claim timestamp check failed', 400) if late else None

    supabase.storage.before = expired_once
    gate.left = 10
    page.locator('input[type=file]').set_input_files(file)
    page.wait_for_url(re.compile(r'/datasets/[0-9a-f-]{36}'), timeout=60_000)

    piece = 6 * 2**20
    assert gate.offsets == [0, piece, 2 * piece, 2 * piece], 'each piece once, and the one that was refused again'
    seen = [path for method, path in supabase.storage.seen if method == 'POST' and '/resumable/' in path]
    assert len(seen) == 1, 'one upload, over the pause and the reload'
    assert 'PATCH' not in ours
    assert ours.count('HEAD') == 2, 'before going on after the reload, and at the end'
    assert problems == []
    assert supabase.storage.names() == []
    objects = [path for path in (server.home / 'objects').rglob('source') if path.is_file()]
    assert [path.stat().st_size for path in objects] == [file.stat().st_size]
