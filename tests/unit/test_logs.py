"""Logs hold no secret and say whose request or job a line belongs to."""

import json
import logging

import pytest
import structlog

from core.logs import censor, configure, leave, redact
from core.settings import Settings


@pytest.mark.parametrize(
    'text',
    [
        'GET /auth/link?token=canary-7',
        'GET /auth/callback?code=canary-7&state=canary-7',
        'PUT https://s3.example.com/k?X-Amz-Credential=a&X-Amz-Signature=canary-7',
        'postgresql://app:canary-7@db/variosync',
        'rediss://:canary-7@cache:6379',
        'Authorization: Bearer canary-7',
        'Authorization: Basic Y2FuYXJ5canary-7',
        'the key "vsk_canary-7" opens nothing',
        'sb_secret_canary-7 and sb_publishable_canary-7',
        'host=x password=canary-7 dbname=y',
        "{'access_token': 'canary-7', 'expires': 3}",
        '{\\"refresh_token\\": \\"canary-7\\"}',
        'x-signature: canary-7',
        '/_nicegui_ws/?client_id=canary-7&x=1',
        'eyJhbGciOiJFUzI1NiJ9.canary-7.canary-7',
        'the token as-0123456789abcdefABCDEFcanary-7',
        'AKIA0123456789ABCDEFcanary-7',
    ],
)
def test_secrets_inside_texts_are_hidden(text: str):
    assert 'canary-7' not in censor(text)


@pytest.mark.parametrize(
    'text', ['state=succeeded code=not_found', 'used as-is', 'a basic forecast', 'http://h:8080/x']
)
def test_what_is_no_secret_stays(text: str):
    assert censor(text) == text


def test_values_under_secret_names_are_hidden():
    event = redact(None, 'info', {'event': 'x', 'api_key': 'canary-7', 'session_token': 'canary-7', 'path': '/jobs'})
    assert 'canary-7' not in json.dumps(event)
    assert event['path'] == '/jobs'


def test_json_logs_are_one_object_a_line_and_redacted(capsys: pytest.CaptureFixture[str], logging_kept: None):
    configure(Settings(VARIOSYNC_LOG_FORMAT='json'))
    with structlog.contextvars.bound_contextvars(request_id='r1', tenant='t1'):
        structlog.get_logger('ours').info('began', token='canary-7', job='a')
        logging.getLogger('theirs').warning('connect password=%s', 'canary-7')
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line['event'] for line in lines] == ['began', 'connect password=***']
    assert [(line['request_id'], line['tenant']) for line in lines] == [('r1', 't1')] * 2
    assert lines[0]['token'] == '***'


def test_who_stops_says_no_more_of_connections_that_it_breaks_off(
    capsys: pytest.CaptureFixture[str], logging_kept: None
):
    configure(Settings())
    libraries = [logging.getLogger('psycopg'), logging.getLogger('psycopg.pool')]
    for stopping in (False, True):
        if stopping:
            leave()
        for library in libraries:
            library.warning('broken off')
            library.error('failed')
        said = [line.split() for line in capsys.readouterr().err.splitlines()]
        assert len(said) == (2 if stopping else 4)
    assert all('failed' in words for words in said)
