"""What the command says before a new installation is ready."""

import socket
from pathlib import Path
from typing import Any, cast

import pytest

from core.settings import Settings
from ui.cli import run
from ui.cli.server import first_words


def test_a_new_home_is_named_while_its_database_is_made(tmp_path: Path) -> None:
    home = tmp_path / 'home'
    said = first_words(Settings(VARIOSYNC_HOME=home))
    assert said.startswith('First start: ')
    assert str(home) in said
    home.mkdir()
    assert first_words(Settings(VARIOSYNC_HOME=home)) == said


def test_nothing_is_said_where_nothing_is_made(tmp_path: Path) -> None:
    elsewhere = Settings(VARIOSYNC_HOME=tmp_path / 'new', DATABASE_URL='postgresql://localhost/variosync')
    assert first_words(elsewhere) == ''
    (tmp_path / 'lock').touch()
    assert first_words(Settings(VARIOSYNC_HOME=tmp_path)) == ''


def test_where_the_port_is_taken_nothing_is_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Root:
        def serve(self, settings: Settings) -> None:
            raise AssertionError('nothing is loaded for a port that cannot be had')

    with socket.create_server(('127.0.0.1', 0)) as taken:
        monkeypatch.setenv('VARIOSYNC_PORT', str(taken.getsockname()[1]))
        monkeypatch.setenv('VARIOSYNC_HOME', str(tmp_path / 'home'))
        monkeypatch.setattr('sys.argv', ['variosync', 'serve'])
        with pytest.raises(SystemExit, match='2'):
            run(cast(Any, Root()))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('variosync: Port ')
    assert 'VARIOSYNC_PORT' in line
