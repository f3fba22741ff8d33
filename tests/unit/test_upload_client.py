"""`variosync upload` keeps its key to itself and tells what it does not understand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.errors import NotFound, UsageError, VariosyncError
from core.settings import Settings
from ui.cli import client as client_module
from ui.cli.client import Client
from ui.cli.remote import access
from ui.cli.upload import _line

Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the client would have slept."""
    seconds: list[float] = []
    monkeypatch.setattr(client_module.time, 'sleep', seconds.append)
    return seconds


def talking(folder: Path, answer: Answer) -> Client:
    transport = httpx.MockTransport(answer)
    return Client('https://example.com', 'k', unfinished=folder / 'uploads.json', transport=transport)


def send(folder: Path, answer: Answer) -> VariosyncError:
    """Send a file of four bytes and return what is wrong."""
    file = folder / 'a.csv'
    file.write_bytes(b'a\n1\n')
    with talking(folder, answer) as client, pytest.raises(VariosyncError) as told:
        client.send(file, dataset=None, how='append', progress=lambda share, text: None)
    return told.value


@pytest.mark.parametrize('server', ['http://example.com', 'http://10.0.0.1:8080', 'http://127.0.0.1.example.com'])
def test_a_key_is_not_sent_unencrypted_to_another_machine(server: str) -> None:
    with pytest.raises(UsageError, match=r'not encrypted.*https://.*--insecure'):
        access(Settings(), server, 'k', insecure=False)
    assert access(Settings(), server, 'k', insecure=True) == (server, 'k')


@pytest.mark.parametrize(
    'server', ['http://127.0.0.1:8080', 'http://localhost', 'http://[::1]:8080', 'https://example.com']
)
def test_a_key_is_sent_to_this_machine_or_encrypted(server: str) -> None:
    assert access(Settings(), server, 'k', insecure=False) == (server, 'k')


def test_a_server_does_not_make_one_wait_for_longer_than_a_minute(tmp_path: Path, slept: list[float]) -> None:
    def busy(_: httpx.Request) -> httpx.Response:
        return httpx.Response(503, headers={'Retry-After': '999999'})

    assert 'answered 503' in send(tmp_path, busy).message
    assert slept == [60.0] * len(client_module.PAUSES)


@pytest.mark.parametrize('offset', [None, 'x', '5', '-1'])
def test_an_answer_that_does_not_tell_what_has_arrived_is_told(tmp_path: Path, offset: str | None) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == 'POST':
            return httpx.Response(201, headers={'Location': '/api/v1/uploads/1'})
        return httpx.Response(204, headers={'Upload-Offset': offset} if offset else {})

    assert 'is not understood. Check the address' in send(tmp_path, answer).message


def test_an_answer_without_a_place_to_send_to_is_told(tmp_path: Path) -> None:
    assert 'is not understood' in send(tmp_path, lambda request: httpx.Response(201)).message


def test_a_server_that_takes_no_bytes_is_given_up(tmp_path: Path, slept: list[float]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == 'POST':
            return httpx.Response(201, headers={'Location': '/api/v1/uploads/1'})
        return httpx.Response(204, headers={'Upload-Offset': '0'})

    assert 'takes no more of a.csv' in send(tmp_path, answer).message
    assert slept == list(client_module.PAUSES)


@pytest.mark.parametrize(
    ('body', 'kind', 'words'),
    [({'items': []}, NotFound, 'has arrived: look at'), ({}, VariosyncError, 'not understood')],
)
def test_a_conversion_that_is_not_there_is_told(
    tmp_path: Path, body: dict[str, Any], kind: type[VariosyncError], words: str
) -> None:
    with (
        talking(tmp_path, lambda request: httpx.Response(200, json=body)) as client,
        pytest.raises(kind, match=words),
    ):
        client.converted('d', progress=lambda share, text: None)


def test_a_dataset_that_shows_no_version_is_told(tmp_path: Path) -> None:
    body = {'name': 'a', 'items': [{'shown': False}]}
    with (
        talking(tmp_path, lambda request: httpx.Response(200, json=body)) as client,
        pytest.raises(VariosyncError, match='not understood'),
    ):
        client.shown('d')


@pytest.mark.parametrize('more', [{'error': 'It is not clear.'}, {'state': 'sent', 'url': 'https://example.com/d'}])
def test_that_bytes_are_there_already_is_told_also_when_they_cannot_be_read(
    more: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    _line({'file': 'a.csv', 'same_as': 'https://example.com/datasets/1', **more}, as_json=False)
    told = capsys.readouterr()
    assert 'note: a.csv: these bytes are already in https://example.com/datasets/1\n' in told.out + told.err
