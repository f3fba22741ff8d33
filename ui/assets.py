"""Where our own static files and those of `ui.vendor` are found, and how they are served."""

import functools
import gzip
import hashlib
import html
import json
import mimetypes
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from core.errors import Misconfigured, NotFound
from ui.vendor import packed_stamp

STATIC = Path(__file__).resolve().parent / 'static'
SQUEEZED = frozenset(('.css', '.js', '.svg', '.txt'))
FOR_EVER = 'public, max-age=31536000, immutable'


def vendor_url(name: str) -> str:
    """The address of a front-end package's file, such as `uplot.min.js`; it changes with the content."""
    files = _manifest()['files']
    if name not in files:
        raise Misconfigured(f'"{name}" is not among the front-end packages: add it to ui/vendor.py.')
    return f'/static/vendor/{files[name]}'


def asset_url(name: str) -> str:
    """The address of one of our own files under `ui/static`, such as `app.js`; it changes with the content."""
    return f'/static/{name}?v={_digest(STATIC / name, (STATIC / name).stat().st_mtime_ns)}'


@functools.cache
def panels_url() -> str:
    """The address of our modules of `static/panels`, packed as one by `ui.vendor`; it changes with the content."""
    path = STATIC / 'vendor' / 'packed.json'
    known = json.loads(path.read_text(encoding='utf-8')) if path.exists() else {}
    if known.get('stamp') != packed_stamp():
        raise Misconfigured('The modules of ui/static/panels are not packed as they are: run `python -m ui.vendor`.')
    return f'/static/vendor/{known["file"]}'


def icon_shapes(name: str) -> str:
    """What stands inside the `<svg>` of a Lucide icon."""
    icons: dict[str, str] = _manifest()['icons']
    if name not in icons:
        raise Misconfigured(f'Icon "{name}" was not set up: add it to ICONS in ui/vendor.py.')
    return icons[name]


def icon_markup(name: str, size: int = 16, *, classes: str = '') -> str:
    """A Lucide icon as markup, for pages that are plain HTML."""
    kind = html.escape(icon_classes(name, size, classes))
    shapes = icon_shapes(name)
    return (
        f'<svg class="{kind}" viewBox="0 0 24 24" fill="none" stroke="currentColor" '
        f'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">{shapes}</svg>'
    )


def icon_classes(name: str, size: int, classes: str = '') -> str:
    """The classes that give an icon of 12, 14 or 16 px its stroke."""
    return ' '.join(filter(None, ({12: 'i12', 14: 'i14'}.get(size, 'i'), f'lucide-{name}', classes)))


async def serve(request: Request) -> Response:
    """Answer `/static/…`: hashed names for ever, ours for ever when asked for by their current hash."""
    name = request.path_params['path']
    try:
        path = (STATIC / name).resolve()
        found = path.is_relative_to(STATIC) and path.is_file() and path.suffix != '.json'
    except (ValueError, OSError) as error:  # no file can have such a name
        raise NotFound() from error
    if not found:
        raise NotFound()
    changed = path.stat().st_mtime_ns
    digest = _digest(path, changed)
    headers = {'Cache-Control': 'no-cache', 'Vary': 'Accept-Encoding', 'ETag': f'W/"{digest}"'}
    if name.startswith('vendor/') or request.query_params.get('v') == digest:
        headers['Cache-Control'] = FOR_EVER
    if headers['ETag'] in request.headers.get('if-none-match', ''):
        return Response(status_code=304, headers=headers)
    media_type = mimetypes.guess_type(path.name)[0] or 'application/octet-stream'
    if 'gzip' in request.headers.get('accept-encoding', '') and path.suffix in SQUEEZED:
        return Response(_squeezed(path, changed), headers=headers | {'Content-Encoding': 'gzip'}, media_type=media_type)
    return Response(_read(path, changed), headers=headers, media_type=media_type)


@functools.lru_cache(maxsize=64)
def _read(path: Path, _changed: int) -> bytes:
    return path.read_bytes()


@functools.lru_cache(maxsize=64)
def _squeezed(path: Path, changed: int) -> bytes:
    """A file as gzip: as `ui.vendor` has packed it, else packed here, once."""
    packed = path.with_name(f'{path.name}.gz')
    return packed.read_bytes() if packed.is_file() else gzip.compress(_read(path, changed), 9, mtime=0)


def head(*, scripts: bool = True, theme: str = '') -> str:
    """What every page needs in its head: fonts, tokens and the script that sets the theme before the first paint.

    That one stands in the page itself, so that nothing waits for it, unless the page may run no such `scripts`. It
    takes the account's `theme` at once: a script behind the sheet would hold back all that is read of the page.
    """
    inter, mono = vendor_url('inter.woff2'), vendor_url('jetbrains-mono.woff2')
    face = '@font-face {{ font-family: "{}"; src: url({}) format("woff2"); font-weight: {}; font-display: swap; {}}}'
    # The extended alphabet is only fetched by a page that shows one of its letters.
    extended = 'unicode-range: U+0100-02FF, U+1E00-1EFF, U+2C60-2C7F, U+A720-A7FF; '
    faces = ' '.join(
        (
            face.format('Inter Variable', vendor_url('inter-ext.woff2'), '100 900', extended),
            face.format(
                'Inter Variable', inter, '100 900', 'unicode-range: U+0000-00FF, U+2000-2BFF, U+FEFF, U+FFFD; '
            ),
            face.format('JetBrains Mono Variable', mono, '100 800', ''),
        )
    )
    inline = _script('theme.js', (STATIC / 'theme.js').stat().st_mtime_ns) if scripts else ''
    told = f"variosyncTheme('{theme}')" if theme else ''
    source = '' if scripts else f' src="{asset_url("theme.js")}"'
    return (
        f'<script{source}>{inline}{told}</script>'
        f'<link rel="preload" href="{inter}" as="font" type="font/woff2" crossorigin>'
        f'<style>{faces}</style>'
        f'<link rel="stylesheet" href="{asset_url("tokens.css")}">'
        f'<script defer src="{asset_url("app.js")}"></script>'
        f'<script defer src="{asset_url("terms.js")}"></script>'
    )


@functools.cache
def _script(name: str, _changed: int) -> str:
    return (STATIC / name).read_text(encoding='utf-8')


@functools.cache
def _manifest() -> dict[str, Any]:
    path = STATIC / 'vendor' / 'manifest.json'
    if not path.exists():
        raise Misconfigured('The front-end packages are not set up: run `python -m ui.vendor`.')
    manifest: dict[str, Any] = json.loads(path.read_text(encoding='utf-8'))
    return manifest


@functools.cache
def _digest(path: Path, _changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
