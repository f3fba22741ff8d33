"""Help shows the pages of docs/, and its links lead within it."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from nicegui import ui
from nicegui.testing import User, user_simulation

from core.errors import NotFound
from core.settings import Settings
from tests.ui import doubles
from ui.app import mount
from ui.meter import is_metered
from ui.pages.help import DOCS, HELP, INDEX, found
from ui.session import COOKIE

NAMES = sorted(path.relative_to(DOCS).with_suffix('').as_posix() for path in DOCS.rglob('*.md'))
LED = re.compile(r'\]\(([^)]+)\)')


@pytest.fixture
async def reader() -> AsyncIterator[User]:
    async with user_simulation() as user:
        services: Any = doubles.Services(Settings(VARIOSYNC_PUBLIC_URL='http://test'))
        token, _ = services.accounts.open('maria.keller@example.com')
        mount(services)
        user.http_client.cookies.set(COOKIE, token)
        yield user


@pytest.mark.parametrize('name', NAMES)
def test_each_page_has_a_title_and_leads_only_to_what_there_is(name: str) -> None:
    title, text = found(name)
    assert title
    assert '<!--' not in text
    for to in LED.findall(text):
        if '://' not in to:
            there = to.partition('#')[0]
            assert there == HELP or there.removeprefix(f'{HELP}/') in NAMES, f'{name} leads to {to}'


def test_links_lead_from_a_folder_to_the_pages_beside_and_above_it() -> None:
    _, index = found(INDEX)
    assert f'[delete, and bring back]({HELP}/how-to/deleted)' in index
    assert '[architecture]' not in index, 'what does not lie in docs/ is no link'
    _, deleted = found('how-to/deleted')
    assert f'[scripts]({HELP}/how-to/scripts)' in deleted
    assert f'[reference]({HELP}/rest)' in deleted
    _, tutorial = found('tutorial')
    assert f'{HELP}/how-to/develop#how-long-a-first-run-takes)' in tutorial
    assert '.png' not in tutorial


@pytest.mark.parametrize('name', ['', 'nope', '../README', 'how-to/../glossary', '/etc/passwd', 'glossary.md'])
def test_nothing_but_the_pages_is_shown(name: str) -> None:
    with pytest.raises(NotFound, match='no such page'):
        found(name)


async def test_help_is_in_the_rail_and_costs_no_hours(reader: User) -> None:
    await reader.open('/help/glossary')
    await reader.should_see('Glossary')
    (text,) = reader.find(kind=ui.markdown).elements
    assert 'One word for one thing' in text.content
    shown = (await reader.http_client.get('/help')).text
    assert re.search(r'<a href="/help" title="Help" aria-current="page">', shown)
    assert not any(map(is_metered, ('/help', '/help/how-to/append')))
    assert (await reader.http_client.get('/help/nope')).status_code == 404
