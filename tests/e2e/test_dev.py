"""`make dev`: a change of code is served by another start, a change of a static file by the same."""

import re
import shutil
from pathlib import Path

import httpx
import pytest
from watchfiles import Change

from tests.e2e.server import ROOT, Server, python
from ui.dev import WATCHED, Code

STATIC = Path('ui') / 'static'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what is watched."""
    folder = tmp_path / 'tree'
    folder.mkdir()
    for name in WATCHED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)
        else:
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.mark.parametrize(
    ('path', 'restarts'),
    [
        ('core/jobs.py', True),
        ('storage/queries/jobs.sql', True),
        ('ui/templates/frame.html', True),
        ('ui/static/panels/wire.js', True),
        ('ui/static/file_upload.js', True),
        ('ui/static/app.js', False),
        ('ui/static/tokens.css', False),
        ('core/__pycache__/jobs.cpython-311.pyc', False),
    ],
)
def test_what_is_read_once_needs_another_start(path: str, restarts: bool):
    assert Code()(Change.modified, str(ROOT / path)) is restarts


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_what_is_changed_is_served(tree: Path, home: Path):
    server = Server(home, command=python('-m', 'ui.dev'))
    server.folder = tree
    try:
        server.start()
        with httpx.Client(base_url=server.url) as client:
            assert 'You are signed out.' in client.get('/sign-in?ended=1').text
        change(tree / 'ui' / 'pages' / 'sign_in.py', 'You are signed out.', 'You have left.')
        server.wait_until_ready()
        with httpx.Client(base_url=server.url) as client:
            page = client.get('/sign-in?ended=1').text
            assert 'You have left.' in page
            before = re.search(r'/static/tokens\.css\?v=\w+', page)
            (tree / STATIC / 'tokens.css').write_text(':root { --changed: 1 }')
            after = re.search(r'/static/tokens\.css\?v=\w+', client.get('/sign-in').text)
            assert before
            assert after
            assert before[0] != after[0]
            assert client.get(after[0]).text == ':root { --changed: 1 }'
    finally:
        status = server.stop()
    assert status == 0
    said = ''.join(server.lines)
    assert said.count('VARIOSYNC ready') == 2
    assert 'Changed: ui/pages/sign_in.py.' in said
    assert 'Traceback' not in said
