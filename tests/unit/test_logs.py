"""Logs hold no secret."""

import json
import logging

import pytest
import structlog

from core.logs import configure, redact
from core.settings import Settings


@pytest.mark.parametrize(
    'text',
    [
        'GET /auth/link?token=canary-7',
        'postgresql://app:canary-7@db/variosync',
        'Authorization: Bearer canary-7',
        'the key "vsk_canary-7" opens nothing',
        'host=x password=canary-7 dbname=y',
        '/_nicegui_ws/?client_id=canary-7&x=1',
    ],
)
def test_secrets_inside_texts_are_hidden(text):
    assert 'canary-7' not in redact(None, 'info', {'event': text})['event']


def test_values_under_secret_names_are_hidden():
    event = redact(None, 'info', {'event': 'x', 'api_key': 'canary-7', 'session_token': 'canary-7', 'path': '/jobs'})
    assert 'canary-7' not in json.dumps(event)
    assert event['path'] == '/jobs'


def test_json_logs_are_one_object_a_line_and_redacted(capsys, monkeypatch):
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        configure(Settings(VARIOSYNC_LOG_FORMAT='json'))
        structlog.get_logger('ours').info('began', token='canary-7', job='a')
        logging.getLogger('theirs').warning('connect password=%s', 'canary-7')
    finally:
        root.handlers[:], _ = before
        root.setLevel(before[1])
        structlog.reset_defaults()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line['event'] for line in lines] == ['began', 'connect password=***']
    assert lines[0]['token'] == '***'
