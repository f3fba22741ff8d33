"""Settings and sizes."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from core.settings import Settings, parse_bytes


@pytest.mark.parametrize(
    ('text', 'expected'),
    [('512MB', 512 * 2**20), ('1.5 GB', 3 * 2**29), ('2gib', 2 * 2**30), ('7', 7), ('10kb', 10240), ('3B', 3)],
)
def test_sizes(text, expected):
    assert parse_bytes(text) == expected


@pytest.mark.parametrize('text', ['', 'much', '-1MB', '0', 'nan', 'inf', '1e40GB'])
def test_what_is_no_size(text):
    with pytest.raises(ValueError):
        parse_bytes(text)


def test_settings_are_frozen_and_expand_the_home(monkeypatch):
    monkeypatch.setenv('VARIOSYNC_HOME', '~/somewhere')
    settings = Settings()
    assert settings.home_path == Path('~/somewhere').expanduser()
    with pytest.raises(ValidationError):
        settings.port = 1


def test_bad_port_is_refused(monkeypatch):
    monkeypatch.setenv('VARIOSYNC_PORT', '99999')
    with pytest.raises(ValidationError):
        Settings()
