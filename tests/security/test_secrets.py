"""A canary in every secret that the settings hold: it is in no log line and on no error page."""

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from core.logs import configure
from core.settings import Settings
from tests.ui.site import open_site, press

CANARY = 'canary-7f3e9a21'
SECRETS = {
    'DATABASE_URL': f'postgresql://app:{CANARY}-db@127.0.0.1:5432/variosync',
    'SUPABASE_URL': 'https://project.supabase.co',
    'SUPABASE_PUBLISHABLE_KEY': f'{CANARY}-publishable',
    'SUPABASE_SECRET_KEY': f'{CANARY}-secret',
    'REDIS_URL': f'rediss://default:{CANARY}%2Fredis@127.0.0.1:6379',
    'AWS_BUCKET_NAME': 'bucket',
    'AWS_ACCESS_KEY_ID': f'{CANARY}-aws',
    'AWS_SECRET_ACCESS_KEY': f'{CANARY}-aws+secret/x',
    'MODAL_TOKEN_ID': f'{CANARY}-modal',
    'MODAL_TOKEN_SECRET': f'{CANARY}-modal-secret',
    'VARIOSYNC_SMTP_URL': f'smtp://us:{CANARY}-smtp@mail.example.com:587',
    'VARIOSYNC_METRICS_TOKEN': f'{CANARY}-metrics',
    'VARIOSYNC_OIDC': {
        'own': {'issuer': 'https://id.example.com', 'client_id': 'us', 'client_secret': f'{CANARY}-own'}
    },
}
FORMS = ('text', 'json')


@pytest.mark.parametrize('form', FORMS)
def test_no_secret_of_the_settings_is_in_any_line(
    form: str, capsys: pytest.CaptureFixture[str], logging_kept: None
) -> None:
    configure(Settings(VARIOSYNC_LOG_FORMAT=form, VARIOSYNC_LOG_LEVEL='DEBUG', **SECRETS))
    log = structlog.get_logger('ours')
    for secret in _texts(SECRETS):
        log.info('told', values=[secret], inner={'a': {'b': secret}})
        log.info(f'in the middle of<{secret}>words')
        local = f'{CANARY} in a local variable'
        try:
            raise ConnectionError(f'no answer from {secret}')
        except ConnectionError as error:
            log.error('broke', error=repr(error), length=len(local), exc_info=error)
            logging.getLogger('theirs').exception('broke: %s', secret)
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert said.count('no answer from') >= 3 * 12
    assert CANARY not in said


@pytest.mark.parametrize('odd', ['"', '\\', 'ü', "'", '\'"', 'ñ"\\', ' '])
@pytest.mark.parametrize('form', FORMS)
def test_a_secret_is_hidden_however_a_line_spells_it(
    form: str, odd: str, capsys: pytest.CaptureFixture[str], logging_kept: None
) -> None:
    secret = f'a{odd}{CANARY}{odd}z'
    configure(Settings(VARIOSYNC_LOG_FORMAT=form, VARIOSYNC_OIDC=_own(secret)))
    log = structlog.get_logger('ours')
    log.info('told', values=[secret], inner={'a': {'b': secret}}, twice=str({'a': secret}), text=f'before {secret}')
    log.info('as JSON', body=json.dumps({'a': secret}), bare=json.dumps([secret], ensure_ascii=False))
    log.info(f'in the middle of <{secret}> words')
    logging.getLogger('theirs').error('broke: %s', secret, exc_info=ConnectionError(secret))
    said = capsys.readouterr().err
    assert said.count('***') >= 8
    assert CANARY not in said


def test_a_short_secret_is_hidden_where_it_stands_alone(capsys: pytest.CaptureFixture[str], logging_kept: None) -> None:
    configure(Settings(VARIOSYNC_LOG_FORMAT='json', VARIOSYNC_OIDC=_own('dev')))
    structlog.get_logger('ours').info('said dev to a developer', answer='dev', list=['dev-1'])
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert (line['event'], line['answer'], line['list']) == ('said *** to a developer', '***', ['***-1'])


async def test_no_secret_is_on_an_error_page_and_its_log_lines_name_request_and_tenant(
    capsys: pytest.CaptureFixture[str], logging_kept: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(Settings(VARIOSYNC_LOG_FORMAT='json', **SECRETS))
    async with open_site(**SECRETS) as site:

        async def broken(*values: Any, **options: Any) -> None:
            raise RuntimeError(f'no answer from {", ".join(_texts(SECRETS))}')

        monkeypatch.setattr(site.services.health, 'check', broken)
        monkeypatch.setattr(site.services.datasets, 'list', broken)
        token, session = site.services.accounts.open('ann@example.com')
        async with site.browser(token) as browser:
            answers = [await browser.get(path) for path in ('/health', '/api/v1/datasets')]
    said = capsys.readouterr().err
    lines = [json.loads(line) for line in said.splitlines()]
    for answer in answers:
        assert answer.status_code == 500
        assert CANARY not in answer.text
        mine = [line for line in lines if line.get('request_id') == answer.headers['x-request-id']]
        assert {'request failed', 'Exception in ASGI application\n'} <= {line['event'] for line in mine}
        assert {line['tenant'] for line in mine} == {str(session.user.id)}
    assert 'no answer from' in said
    assert CANARY not in said


async def test_what_a_page_is_asked_by_its_socket_names_the_tenant(
    capsys: pytest.CaptureFixture[str], logging_kept: None
) -> None:
    configure(Settings(VARIOSYNC_LOG_FORMAT='json'))
    async with open_site() as site:
        token, session = site.services.accounts.open('ann@example.com')
        client = await site.open_probe(token)
        button = next(one for one in client.elements.values() if getattr(one, 'text', None) == 'Press')
        next(iter(button._event_listeners.values())).handler = lambda _: structlog.get_logger('ours').info('pressed')
        async with site.socket(client.id, token) as socket:
            await socket.emit('event', press(client))
            said = ''
            async with asyncio.timeout(5):
                while 'pressed' not in (said := said + capsys.readouterr().err):
                    await asyncio.sleep(0.01)
    (line,) = [one for one in map(json.loads, said.splitlines()) if one['event'] == 'pressed']
    assert line['tenant'] == str(session.user.id)


def _own(secret: str) -> dict[str, dict[str, str]]:
    return {'own': {'issuer': 'https://id.example.com', 'client_id': 'us', 'client_secret': secret}}


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif CANARY in str(value):
        yield str(value)
