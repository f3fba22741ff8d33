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


DATABASE = {'DATABASE_URL': 'postgresql://postgres:secret@127.0.0.1/postgres'}
KEYS = {'SUPABASE_PUBLISHABLE_KEY': 'sb_publishable_x', 'SUPABASE_SECRET_KEY': 'sb_secret_x'}
BUCKET = {'AWS_BUCKET_NAME': 'b', 'AWS_ACCESS_KEY_ID': 'id', 'AWS_SECRET_ACCESS_KEY': 'secret'}
MODAL = {'MODAL_TOKEN_ID': 'ak-x', 'MODAL_TOKEN_SECRET': 'as-x'}
SAFE = {'VARIOSYNC_PUBLIC_URL': 'https://app.example.com', 'VARIOSYNC_OWNER_EMAIL': 'ada@example.com'}


@pytest.mark.parametrize(
    ('given', 'missing'),
    [
        ({'DATABASE_POOL_URL': 'postgresql://x'}, 'DATABASE_URL'),
        ({'SUPABASE_URL': 'https://x.supabase.co', **KEYS}, 'DATABASE_URL'),
        ({'SUPABASE_URL': 'https://x.supabase.co', **DATABASE}, 'SUPABASE_PUBLISHABLE_KEY and SUPABASE_SECRET_KEY'),
        ({'AWS_BUCKET_NAME': 'b'}, 'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY'),
        (MODAL, 'AWS_BUCKET_NAME'),
        ({'MODAL_TOKEN_ID': 'ak-x', **BUCKET}, 'MODAL_TOKEN_SECRET'),
        ({'VARIOSYNC_EVENTS': 'redis'}, 'REDIS_URL'),
        ({'VARIOSYNC_EVENTS': 'realtime'}, 'SUPABASE_URL'),
        ({'VARIOSYNC_ENV': 'production', **SAFE, 'VARIOSYNC_PUBLIC_URL': 'http://app.example.com'}, 'https://'),
        ({'VARIOSYNC_ENV': 'production', 'VARIOSYNC_PUBLIC_URL': SAFE['VARIOSYNC_PUBLIC_URL']}, 'OWNER_EMAIL'),
    ],
)
def test_what_does_not_work_together_is_refused_by_name(monkeypatch, given, missing):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=missing):
        Settings()


def test_whole_groups_are_taken(monkeypatch):
    for name, value in {
        'SUPABASE_URL': 'https://x.supabase.co',
        'VARIOSYNC_ENV': 'production',
        **DATABASE,
        **KEYS,
        **BUCKET,
        **MODAL,
        **SAFE,
    }.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert not any(secret in repr(settings) for secret in ('as-x', 'sb_secret', ':secret@', "'secret'"))
    assert settings.database_url is not None


@pytest.mark.parametrize(
    ('old', 'field'),
    [('SUPABASE_KEY', 'supabase_key'), ('SUPABASE_SERVICE_ROLE_KEY', 'supabase_secret')],
)
def test_legacy_names_are_read(monkeypatch, old, field):
    monkeypatch.setenv(old, 'legacy')
    assert getattr(Settings(), field).get_secret_value() == 'legacy'


def test_an_empty_variable_is_unset(monkeypatch):
    monkeypatch.setenv('REDIS_URL', '')
    monkeypatch.setenv('VARIOSYNC_PORT', '')
    monkeypatch.setenv('PORT', '10000')
    settings = Settings()
    assert settings.redis_url is None
    assert settings.port == 10000


@pytest.mark.parametrize('name', ['VARIOSYNC_TASK_MEMORY', 'VARIOSYNC_MAX_UPLOAD', 'VARIOSYNC_OBJECT_CACHE'])
def test_what_is_no_size_is_refused_by_name(monkeypatch, name):
    monkeypatch.setenv(name, 'many')
    with pytest.raises(ValidationError, match=f'{name}[^$]*"many" is no size'):
        Settings()


@pytest.mark.parametrize('name', ['SUPABASE_URL', 'VARIOSYNC_PUBLIC_URL'])
@pytest.mark.parametrize('text', ['nonsense', 'app.example.com', 'ftp://app.example.com', 'https://'])
def test_what_is_no_address_is_refused_by_name(monkeypatch, name, text):
    monkeypatch.setenv(name, text)
    with pytest.raises(ValidationError, match=f'{name}[^$]*is no address'):
        Settings()
