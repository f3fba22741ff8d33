"""A socket speaks only for the page that its own session fetched, from our own origin, while the session lives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import socketio
from nicegui import Client, app
from starlette.responses import PlainTextResponse

from tests.ui.site import Site, open_site, press, until
from ui.sockets import REFUSAL, SocketGuard

ANN, BOB = 'ann@example.com', 'bob@example.com'


@pytest.fixture(scope='module')
async def started() -> AsyncIterator[Site]:
    async with open_site() as site:
        yield site


@pytest.fixture
def site(started: Site) -> Site:
    started.forget()
    return started


async def refused(site: Site, client_id: str, token: str | None, **options: Any) -> bool:
    try:
        async with site.socket(client_id, token, **options):
            return False
    except socketio.exceptions.ConnectionError:
        return True


async def test_the_session_that_fetched_a_page_uses_it(site: Site) -> None:
    token, _ = site.services.accounts.open(ANN)
    page = await site.open_probe(token)
    async with site.socket(page.id, token) as connection:
        await connection.emit('event', press(page))
        await until(lambda: site.pressed == [ANN])


async def test_another_session_cannot_use_a_stolen_client_id(site: Site) -> None:
    ann, _ = site.services.accounts.open(ANN)
    bob, _ = site.services.accounts.open(BOB)
    page = await site.open_probe(ann)
    assert await refused(site, page.id, bob)
    assert not page.has_socket_connection


async def test_another_session_of_the_same_user_is_another_session(site: Site) -> None:
    first, _ = site.services.accounts.open(ANN)
    second, _ = site.services.accounts.open(ANN)
    page = await site.open_probe(first)
    assert await refused(site, page.id, second)


@pytest.mark.parametrize('token', [None, '', 'forged-token-of-a-plausible-length'])
async def test_without_a_live_session_there_is_no_socket(site: Site, token: str | None) -> None:
    ann, _ = site.services.accounts.open(ANN)
    page = await site.open_probe(ann)
    assert await refused(site, page.id, token)


async def test_a_page_whose_session_is_gone_is_told_to_reload(site: Site) -> None:
    """Else it would try to reconnect for ever; NiceGUI's script reloads at these words."""
    ann, _ = site.services.accounts.open(ANN)
    page = await site.open_probe(ann)
    await site.services.accounts.sign_out(ann)
    assert await refused(site, page.id, ann)
    assert [refusal['message'] for refusal in site.refusals] == [REFUSAL]


@pytest.mark.parametrize('origin', ['https://evil.example', 'http://127.0.0.1:1', 'http://localhost', 'null'])
async def test_a_foreign_origin_is_refused_even_with_the_right_cookie(site: Site, origin: str) -> None:
    token, _ = site.services.accounts.open(ANN)
    page = await site.open_probe(token)
    assert await refused(site, page.id, token, origin=origin)


async def test_a_socket_cannot_speak_for_a_second_page(site: Site) -> None:
    ann, _ = site.services.accounts.open(ANN)
    bob, _ = site.services.accounts.open(BOB)
    page_of_ann, page_of_bob = await site.open_probe(ann), await site.open_probe(bob)
    # Ann's own socket is open: NiceGUI drops events of pages that nobody has open, which would prove nothing.
    async with site.socket(page_of_ann.id, ann) as own, site.socket(page_of_bob.id, bob) as connection:
        await connection.emit('event', press(page_of_ann))
        for name in ('javascript_response', 'ack', 'log'):
            await connection.emit(name, {'client_id': page_of_ann.id, 'request_id': 'x', 'next_message_id': 99})
        assert await connection.call('handshake', _handshake(page_of_ann)) is False
        await connection.emit('event', press(page_of_bob))
        await until(lambda: site.pressed)
        assert site.pressed == [BOB]
        await own.emit('event', press(page_of_ann))
        await until(lambda: site.pressed == [BOB, ANN])


async def test_a_late_handshake_is_checked_like_an_early_one(site: Site) -> None:
    ann, _ = site.services.accounts.open(ANN)
    bob, _ = site.services.accounts.open(BOB)
    page = await site.open_probe(ann)
    async with site.socket(page.id, bob, implicit=False) as connection:
        await connection.emit('event', press(page))
        assert await connection.call('handshake', _handshake(page)) is False
    assert await refused(site, page.id, None, implicit=False)
    async with site.socket(page.id, ann, implicit=False) as connection:
        assert await connection.call('handshake', _handshake(page)) is True
        await connection.emit('event', press(page))
        await until(lambda: site.pressed)
    assert site.pressed == [ANN]


@pytest.mark.parametrize('message', [None, 'text', [], {}, {'client_id': 7}, {'client_id': None, 'id': 1}])
async def test_a_message_of_no_shape_changes_nothing(site: Site, message: object) -> None:
    token, _ = site.services.accounts.open(ANN)
    page = await site.open_probe(token)
    async with site.socket(page.id, token) as connection:
        for name in ('event', 'javascript_response', 'ack', 'log'):
            await connection.emit(name, message)
        assert await connection.call('handshake', message) is False
        await connection.emit('event', press(page))
        await until(lambda: site.pressed == [ANN])


async def test_sign_out_cuts_the_open_pages_of_the_session(site: Site) -> None:
    token, _ = site.services.accounts.open(ANN)
    other, _ = site.services.accounts.open(ANN)
    page, kept = await site.open_probe(token), await site.open_probe(other)
    async with site.socket(page.id, token) as connection, site.socket(kept.id, other) as survivor:
        sent_to: list[str] = []
        connection.on('open', lambda message: sent_to.append(message['path']))
        async with site.browser(token) as browser:
            assert (await browser.post('/auth/sign-out')).status_code == 303
        await until(lambda: not connection.connected)
        assert sent_to == ['/sign-in?ended=1']
        assert survivor.connected
    assert await refused(site, page.id, token)


async def test_an_event_after_revocation_is_refused(site: Site) -> None:
    token, _ = site.services.accounts.open(ANN)
    page = await site.open_probe(token)
    async with site.socket(page.id, token) as connection:
        del site.services.accounts.sessions[token]  # as another process would, without a word to this one
        await connection.emit('event', press(page))
        await until(lambda: not connection.connected)
    assert site.pressed == []


async def told_elsewhere(site: Site, *tokens: str) -> None:
    """End sessions as another process does: it tells every process."""
    for token in tokens:
        session = site.services.accounts.sessions.pop(token)
        await site.services.events.publish(f'{session.user.id}/sessions', {'ended': [str(session.id)]})


async def test_sign_out_cuts_the_open_pages_in_every_process(site: Site) -> None:
    here, there = app.state.sockets, SocketGuard(site.services)
    tokens = [site.services.accounts.open(ANN)[0] for _ in range(3)]
    pages = [await site.open_probe(token) for token in tokens]
    sent_to: list[str] = []
    async with site.socket(pages[0].id, tokens[0]) as first, site.socket(pages[1].id, tokens[1]) as kept:
        there.install()
        try:
            async with site.socket(pages[2].id, tokens[2]) as second:
                for connection in (first, second):
                    connection.on('open', lambda message: sent_to.append(message['path']))
                assert (len(here._bound), len(there._bound)) == (2, 1)
                await listened(site, ANN, 2)
                await told_elsewhere(site, tokens[0], tokens[2])
                await until(lambda: not first.connected and not second.connected)
                assert sent_to == ['/sign-in?ended=1'] * 2
                assert kept.connected
        finally:
            here.install()


async def test_a_session_that_ended_before_anybody_listened_is_cut(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, ready = asyncio.Event(), asyncio.Event()
    subscribe = site.services.events.subscribe

    @asynccontextmanager
    async def slow(channel: str) -> AsyncIterator[Any]:
        asked.set()
        await ready.wait()
        async with subscribe(channel) as messages:
            yield messages

    monkeypatch.setattr(site.services.events, 'subscribe', slow)
    token, _ = site.services.accounts.open(ANN)
    page = await site.open_probe(token)
    async with site.socket(page.id, token) as connection:
        await asked.wait()
        await told_elsewhere(site, token)
        ready.set()
        await until(lambda: not connection.connected)


async def test_a_page_is_told_nothing_once_its_session_has_ended(site: Site) -> None:
    """As if the message that it has ended were lost."""
    token, session = site.services.accounts.open(ANN)
    page = await site.open_probe(token)
    heard: list[str] = []
    async with site.socket(page.id, token) as connection:
        connection.on('*', lambda name, *data: heard.append(f'{name} {data}'))
        await site.services.notices.add(session.user.id, 'A first notice')
        await until(lambda: 'A first notice' in str(heard))
        del site.services.accounts.sessions[token]
        await site.services.notices.add(session.user.id, 'Not for a stranger')
        await until(lambda: not connection.connected)
    assert 'Not for a stranger' not in str(heard)


async def test_nobody_listens_for_who_has_left(site: Site) -> None:
    token, session = site.services.accounts.open(ANN)
    page = await site.open_probe(token)
    async with site.socket(page.id, token):
        await listened(site, ANN, 1)
    await until(lambda: not site.services.events.queues[f'{session.user.id}/sessions'])


async def listened(site: Site, email: str, processes: int) -> None:
    channel = f'{site.services.accounts.users[email].id}/sessions'
    await until(lambda: len(site.services.events.queues.get(channel, [])) == processes)


async def test_an_expired_session_fetches_no_page(site: Site) -> None:
    token, _ = site.services.accounts.open(ANN, life=timedelta(seconds=-1))
    async with site.browser(token) as browser:
        answer = await browser.get('/probe')
    assert answer.status_code == 303
    assert answer.headers['location'] == '/sign-in?next=/probe'


async def test_polling_is_not_served(site: Site) -> None:
    token, _ = site.services.accounts.open(ANN)
    async with site.browser(token) as browser:
        answer = await browser.get('/_nicegui_ws/socket.io/?EIO=4&transport=polling')
    assert answer.status_code == 404


async def test_a_page_s_own_routes_answer_to_its_session_alone(site: Site) -> None:
    ann, _ = site.services.accounts.open(ANN)
    bob, _ = site.services.accounts.open(BOB)
    page = await site.open_probe(ann)
    path = f'/_nicegui/client/{page.id}/upload/1'
    app.add_route(path, lambda _: PlainTextResponse('received'), methods=['POST'])
    answers = {}
    for name, token in (('ann', ann), ('bob', bob), ('nobody', None)):
        async with site.browser(token) as browser:
            answers[name] = (await browser.post(path)).status_code
    assert answers == {'ann': 200, 'bob': 404, 'nobody': 401}


def _handshake(page: Client) -> dict[str, str]:
    return {'client_id': page.id, 'tab_id': 'a-tab', 'document_id': 'a-document', 'next_message_id': '0'}
