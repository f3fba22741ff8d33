"""Static files, what npm set up, and how times and amounts are written."""

import json
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.errors import Misconfigured
from tests.ui.site import Site, open_site
from ui import assets, vendor
from ui.assets import asset_url, icon_shapes, panels_url, vendor_url
from ui.components.times import ago, count, duration, size
from ui.theme import PAGES, QUASAR_ICONS

ROOT = Path(vendor.__file__).parent.parent
NOW = datetime(2026, 11, 18, 9, 41, tzinfo=UTC)


@pytest.fixture(scope='module')
async def site() -> AsyncIterator[Site]:
    async with open_site() as site:
        yield site


@pytest.mark.parametrize(
    'url', [vendor_url('uplot.min.js'), vendor_url('inter.woff2'), asset_url('tokens.css'), panels_url()]
)
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
            assert (await browser.get(url, headers=etag)).status_code == 304
            assert (await browser.get(url, headers={'If-None-Match': 'W/"000000000000"'})).content == answer.content


@pytest.mark.parametrize('url', [vendor_url('uplot.min.js'), asset_url('app.js')], ids=['packed', 'ours'])
async def test_what_compresses_is_sent_compressed(site: Site, url: str) -> None:
    async with site.browser() as browser:
        packed = await browser.get(url)
        plain = await browser.get(url, headers={'Accept-Encoding': 'identity'})
    assert packed.headers['content-encoding'] == 'gzip'
    assert int(packed.headers['content-length']) < 0.5 * int(plain.headers['content-length'])
    assert packed.content == plain.content
    assert packed.headers['content-type'].startswith('text/javascript')


@pytest.mark.parametrize(
    'path',
    [
        '../app.py',
        '%2e%2e/app.py',
        'vendor/../../app.py',
        'vendor/manifest.json',
        'vendor/packed.json',
        'vendor',
        '',
        '/etc/passwd',
        '%00',
        'a' * 300,
    ],
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
    assert (vendor.TARGET / 'licences' / 'uplot.txt').read_text()


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


def test_modules_that_were_changed_are_packed_before_they_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = tmp_path / 'panels'
    shutil.copytree(vendor.MODULES, modules)
    monkeypatch.setattr(vendor, 'MODULES', modules)
    monkeypatch.setattr(vendor, 'TARGET', tmp_path)
    vendor.pack()
    first = json.loads((tmp_path / 'packed.json').read_text())
    held = [first['file']]
    for number in range(2):
        (modules / 'index.js').write_text(f'export const fresh = {number};')
        vendor.pack()
        made = json.loads((tmp_path / 'packed.json').read_text())
        assert made['stamp'] == vendor.packed_stamp() != first['stamp']
        assert str(number) in (tmp_path / made['file']).read_text()
        held.append(made['file'])
    # A server that runs still serves the one before.
    left = {path.name for path in tmp_path.glob('panels-*')}
    assert left == {f'{name}{end}' for name in held[1:] for end in ('', '.gz')}


def test_a_module_that_is_no_javascript_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'index.js').write_text('export const = 1;')
    monkeypatch.setattr(vendor, 'MODULES', tmp_path)
    monkeypatch.setattr(vendor, 'TARGET', tmp_path)
    with pytest.raises(SystemExit, match='could not be packed'):
        vendor.pack()
    assert 'index.js:1:13' in capfd.readouterr().err


def test_modules_that_are_not_packed_as_they_are_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, 'packed_stamp', lambda: 'another')
    panels_url.cache_clear()
    with pytest.raises(Misconfigured, match=r'python -m ui\.vendor'):
        panels_url()
