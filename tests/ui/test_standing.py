"""Pages that stand before NiceGUI, and all others."""

import re
from pathlib import Path

import nicegui
import pytest
from nicegui import ui
from nicegui.testing import user_simulation

from core.errors import Misconfigured
from core.settings import Settings
from tests.ui.doubles import Services
from ui.app import mount
from ui.session import COOKIE
from ui.standing import HOLDS, held

PAGE = (Path(nicegui.__file__).parent / 'templates' / 'index.html').read_text(encoding='utf-8')
RUNS = re.compile(
    r'<script defer src="[^"]*/_nicegui/|<script type="module">\s*import|@import url\([^)]*\)[^;]*;(?=[^<]*</style>)'
)


@pytest.mark.parametrize('holds', [True, False])
async def test_the_framework_waits_where_the_page_says_so(holds: bool) -> None:
    async with user_simulation() as user:

        @ui.page('/probe-standing')
        def page() -> None:
            if holds:
                ui.add_head_html(HOLDS)
            ui.label('Seen')

        services = Services(Settings(VARIOSYNC_PUBLIC_URL='http://test'))
        mount(services)
        user.http_client.cookies.set(COOKIE, services.accounts.open('maria.keller@example.com')[0])
        text = (await user.http_client.get('/probe-standing')).text
        await user.open('/probe-standing')
        await user.should_see('Seen')
    assert ('rel="modulepreload"' in text) is not holds
    assert bool(RUNS.search(text)) is not holds
    assert ('<script type=later src=' in text) is holds
    assert text.count('"later-module"') == (2 if holds else 0)
    sheet = re.search(r'<script type=later-style>(.*?)</script>', text, re.DOTALL)
    assert ('quasar' in sheet[1] if sheet else False) is holds
    assert '@layer theme, base, quasar' in text.partition('</style>')[0]


@pytest.mark.parametrize('missing', ['<script defer src=', '@layer theme, base', '<script type="importmap">'])
def test_another_page_of_the_framework_is_not_held_half(missing: str) -> None:
    with pytest.raises(Misconfigured, match='NiceGUI writes its page in another way'):
        held(PAGE.replace(missing, '<other '))
