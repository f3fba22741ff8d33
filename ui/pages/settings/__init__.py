"""Settings: who you are, how pages look, API keys, sessions, and the account itself."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from core.services import Services
from core.values import Session
from ui.components.parts import page_head, tabs
from ui.pages.settings.account import Account
from ui.pages.settings.display import Display
from ui.pages.settings.keys import Keys
from ui.pages.settings.profile import Profile
from ui.pages.settings.sessions import Sessions
from ui.theme import PATIENCE, frame

TABS = {
    'profile': 'Profile',
    'display': 'Display',
    'keys': 'API keys',
    'sessions': 'Sessions',
    'account': 'Account',
}
DRAWN: dict[str, Callable[[Services, Session], Any]] = {
    'profile': Profile,
    'display': Display,
    'keys': Keys,
    'sessions': Sessions,
    'account': Account,
}


def register(services: Services) -> None:
    """Serve `/settings`."""

    @ui.page('/settings', response_timeout=PATIENCE)
    async def settings(tab: str = 'profile') -> None:
        chosen = tab if tab in TABS else 'profile'
        with frame(services, 'Settings', TABS[chosen], active='/settings') as session:
            page_head('Settings')
            tabs([(label, '', f'/settings?tab={name}') for name, label in TABS.items()], TABS[chosen])
            page = DRAWN[chosen](services, session)
            await page.draw()
