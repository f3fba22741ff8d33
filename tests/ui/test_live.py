"""Messages from the core to a page whose browser comes and goes."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from nicegui import Client, ui
from nicegui.testing import User, user_simulation

from core.settings import Settings
from tests.ui.doubles import Services
from tests.ui.site import until
from ui.app import mount
from ui.components.parts import tag
from ui.live import follow
from ui.session import COOKIE
from ui.theme import frame


@dataclass
class Hall:
    """A page that follows two channels, and what it was told."""

    user: User
    services: Services
    told: list[str] = field(default_factory=list)

    async def say(self, *words: str, channel: str = 'jobs') -> None:
        for word in words:
            await self.services.events.publish(channel, {'word': word})

    async def begun(self) -> None:
        """Return when a page listens."""
        await until(lambda: all(self.services.events.queues.get(one) for one in ('jobs', 'notes')))

    async def heard(self) -> None:
        """Return when what was said last, on the channel that does not keep it, was taken."""
        await until(lambda: all(queue.empty() for queue in self.services.events.queues['notes']))


@pytest.fixture
async def hall() -> AsyncIterator[Hall]:
    async with user_simulation() as user:
        services = Services(Settings(VARIOSYNC_PUBLIC_URL='http://test'))
        token, _ = services.accounts.open('maria.keller@example.com')
        mount(services)
        user.http_client.cookies.set(COOKIE, token)
        made = Hall(user, services)

        def noted(prefix: str = '') -> Callable[..., None]:
            return lambda message=None: made.told.append(prefix + (message['word'] if message else 'ready'))

        @ui.page('/x')
        def page() -> None:
            with frame(services, 'Home', active='/'):
                box = tag('div')
                follow(services.events, 'jobs', noted(), within=box, on_ready=noted())
                follow(services.events, 'notes', noted('note '), within=box, keeps=False)

        yield made


def leave(client: Client) -> tuple[str | None, str]:
    """Cut the only socket of a page."""
    ((socket, document),) = client._socket_to_document_id.items()
    tab = client.tab_id
    client.handle_disconnect(socket)
    return tab, document


async def test_what_is_said_while_the_browser_is_away_waits_for_it_in_order_after_what_stands_then(hall: Hall) -> None:
    client = await hall.user.open('/x')
    await hall.begun()
    await hall.say('one')
    await until(lambda: hall.told == ['ready', 'one'])
    tab, document = leave(client)
    await hall.say('two', 'three')
    await hall.say('dropped', channel='notes')
    await hall.heard()
    assert hall.told == ['ready', 'one']
    assert tab
    await client.handle_handshake(str(uuid4()), tab, None, document, None)
    await until(lambda: len(hall.told) == 5)
    await hall.say('heard', channel='notes')
    await until(lambda: len(hall.told) == 6)
    assert hall.told == ['ready', 'one', 'ready', 'two', 'three', 'note heard'], 'more may be said than is kept'
