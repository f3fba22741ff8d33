"""Behind a public https address, and by the names under which a machine is asked directly."""

import pytest

from core.settings import Settings
from tests.ui.site import open_site
from ui.origins import Origins


async def test_behind_https_the_cookie_is_secure_and_plain_origins_are_strangers() -> None:
    async with open_site(VARIOSYNC_PUBLIC_URL='https://app.example.com') as site:
        public = {'Host': 'app.example.com', 'Origin': 'https://app.example.com'}
        site.services.accounts.passwords['ann@example.com'] = 'a long password'
        form = {'email': 'ann@example.com', 'password': 'a long password'}
        async with site.browser(**public) as browser:
            answer = await browser.post('/auth/sign-in', data=form)
            assert answer.status_code == 303
            assert 'secure' in answer.headers['set-cookie'].lower()
            assert answer.headers['strict-transport-security'].startswith('max-age=31536000')
            plain = {'Origin': 'http://app.example.com'}
            assert (await browser.post('/auth/sign-in', data=form, headers=plain)).status_code == 403


@pytest.mark.parametrize(
    ('settings', 'host', 'known'),
    [
        ({}, '127.0.0.1:8080', True),
        ({}, 'localhost:9000', True),
        ({}, '[::1]:8080', True),
        ({}, '192.168.1.7:8080', False),
        ({}, 'evil.example', False),
        ({}, '', False),
        ({}, '127.0.0.1:x@[', False),
        ({'VARIOSYNC_HOST': '0.0.0.0'}, '192.168.1.7:8080', True),
        ({'VARIOSYNC_HOST': '0.0.0.0'}, 'rebound.example:8080', False),
        ({'VARIOSYNC_HOST': '10.0.0.5'}, '10.0.0.5:8080', True),
        ({'VARIOSYNC_HOST': '10.0.0.5'}, 'localhost:8080', False),
        ({'VARIOSYNC_PUBLIC_URL': 'https://app.example.com'}, 'app.example.com', True),
        ({'VARIOSYNC_PUBLIC_URL': 'https://app.example.com'}, 'app.example.com.evil.example', False),
    ],
)
def test_which_hosts_are_ours(settings: dict[str, str], host: str, known: bool) -> None:
    assert Origins(Settings(**settings)).knows(host) == known


@pytest.mark.parametrize(
    ('settings', 'origin', 'host', 'allowed'),
    [
        ({}, 'http://127.0.0.1:8080', '127.0.0.1:8080', True),
        ({}, 'http://localhost:8080', '127.0.0.1:8080', False),
        ({}, 'http://localhost:3000', 'localhost:8080', False),
        ({}, 'https://localhost:8080', 'localhost:8080', False),
        ({}, 'http://evil.example', 'evil.example', False),
        ({}, '', '127.0.0.1:8080', False),
        ({'VARIOSYNC_PUBLIC_URL': 'https://app.example.com'}, 'https://app.example.com', 'inner:10000', True),
        ({'VARIOSYNC_PUBLIC_URL': 'https://app.example.com'}, 'http://app.example.com', 'app.example.com', False),
        ({'VARIOSYNC_PUBLIC_URL': 'https://app.example.com'}, 'http://127.0.0.1:8080', '127.0.0.1:8080', False),
        ({'VARIOSYNC_PUBLIC_URL': 'http://127.0.0.1:8080'}, 'http://localhost:8080', 'localhost:8080', True),
    ],
)
def test_which_origins_are_ours(settings: dict[str, str], origin: str, host: str, allowed: bool) -> None:
    assert Origins(Settings(**settings)).allows(origin, host) == allowed
