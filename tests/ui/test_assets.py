"""Static files, what npm set up, and how times and amounts are written."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.errors import Misconfigured
from tests.ui.site import Site, open_site
from ui import vendor
from ui.assets import asset_url, icon_shapes, vendor_url
from ui.components.times import ago, count, duration, size
from ui.theme import PAGES, QUASAR_ICONS

ROOT = Path(vendor.__file__).parent.parent
NOW = datetime(2026, 11, 18, 9, 41, tzinfo=UTC)


@pytest.fixture(scope='module')
async def site() -> AsyncIterator[Site]:
    async with open_site() as site:
        yield site


@pytest.mark.parametrize('url', [vendor_url('plotly.min.js'), vendor_url('inter.woff2'), asset_url('tokens.css')])
async def test_named_by_content_they_are_kept_for_ever(site: Site, url: str) -> None:
    async with site.browser() as browser:
        answer = await browser.get(url)
    assert answer.status_code == 200
    assert answer.headers['cache-control'] == 'public, max-age=31536000, immutable'


async def test_without_the_current_hash_they_are_asked_for_again(site: Site) -> None:
    async with site.browser() as browser:
        for url in ('/static/app.js', '/static/app.js?v=000000000000'):
            answer = await browser.get(url)
            assert answer.headers['cache-control'] == 'no-cache'
            etag = {'If-None-Match': answer.headers['etag']}
            assert answer.headers['etag']
            assert (await browser.get(url, headers=etag)).status_code in (200, 304)


async def test_what_compresses_is_sent_compressed(site: Site) -> None:
    async with site.browser() as browser:
        packed = await browser.get(vendor_url('plotly.min.js'))
        plain = await browser.get(vendor_url('plotly.min.js'), headers={'Accept-Encoding': 'identity'})
    assert packed.headers['content-encoding'] == 'gzip'
    assert int(packed.headers['content-length']) < 0.4 * int(plain.headers['content-length'])
    assert packed.content == plain.content
    assert packed.headers['content-type'].startswith('text/javascript')


@pytest.mark.parametrize(
    'path', ['../app.py', '%2e%2e/app.py', 'vendor/../../app.py', 'vendor/manifest.json', 'vendor', '', '/etc/passwd']
)
async def test_nothing_else_is_served(site: Site, path: str) -> None:
    async with site.browser() as browser:
        assert (await browser.get(f'/static/{path}')).status_code in (303, 404)


def test_the_lock_holds_integrity_and_no_registry() -> None:
    lock = json.loads((ROOT / 'package-lock.json').read_text())
    packages = {name: package for name, package in lock['packages'].items() if name}
    assert len(packages) > 5
    assert all(package['integrity'].startswith('sha512-') for package in packages.values())
    assert not any('resolved' in package for package in packages.values())
    exact = json.loads((ROOT / 'package.json').read_text())['dependencies']
    assert all(version[0].isdigit() for version in exact.values())


def test_set_up_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> Path:
        raise AssertionError('npm was asked again')

    monkeypatch.setattr(vendor, '_install', never)
    vendor.main()
    assert (vendor.TARGET / 'licences' / 'plotly.js-finance-dist-min.txt').read_text()


def test_a_missing_icon_names_its_list() -> None:
    with pytest.raises(Misconfigured, match=r'ui/vendor\.py'):
        icon_shapes('no-such-icon')
    assert all(icon_shapes(icon) for _, _, icon, _ in PAGES)


def test_icons_for_quasar_are_paths_alone() -> None:
    for name in QUASAR_ICONS.values():
        shapes = icon_shapes(name)
        assert shapes.count('<path') == shapes.count('<') > 0


@pytest.mark.parametrize(
    ('past', 'words'),
    [
        (timedelta(seconds=59), 'just now'),
        (timedelta(minutes=4), '4 min ago'),
        (timedelta(hours=3), '3 h ago'),
        (timedelta(hours=25), 'yesterday'),
        (timedelta(days=6), '12 Nov'),
        (timedelta(days=371), '12 Nov 2025'),
    ],
)
def test_how_long_ago(past: timedelta, words: str) -> None:
    assert ago(NOW - past, NOW) == words


def test_amounts() -> None:
    assert [count(None), count(63115157)] == ['–', '63,115,157']
    assert [size(0), size(999), size(1536), size(412 * 2**20), size(2.86 * 2**30)] == [
        '0 B', '999 B', '1.5 KB', '412 MB', '2.86 GB',
    ]  # fmt: skip
    assert [duration(0.2), duration(41), duration(372), duration(7500)] == ['< 1 s', '41 s', '6 min 12 s', '2 h 5 min']
