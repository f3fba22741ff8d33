"""Where our own static files and those of `ui.vendor` are found, and how they are served."""

import functools
import hashlib
import html
import json
import mimetypes
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from core.errors import Misconfigured, NotFound

STATIC = Path(__file__).resolve().parent / 'static'
FOR_EVER = 'public, max-age=31536000, immutable'


def vendor_url(name: str) -> str:
    """The address of a front-end package's file, such as `plotly.min.js`; it changes with the content."""
    files = _manifest()['files']
    if name not in files:
        raise Misconfigured(f'"{name}" is not among the front-end packages: add it to ui/vendor.py.')
    return f'/static/vendor/{files[name]}'


def asset_url(name: str) -> str:
    """The address of one of our own files under `ui/static`, such as `app.js`; it changes with the content."""
    return f'/static/{name}?v={_digest(STATIC / name, (STATIC / name).stat().st_mtime_ns)}'


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
    path = (STATIC / name).resolve()
    if not path.is_relative_to(STATIC) or not path.is_file() or path.name == 'manifest.json':
        raise NotFound()
    headers = {'Cache-Control': 'no-cache', 'Vary': 'Accept-Encoding'}
    if name.startswith('vendor/') or request.query_params.get('v') == _digest(path, path.stat().st_mtime_ns):
        headers['Cache-Control'] = FOR_EVER
    media_type = mimetypes.guess_type(path.name)[0] or 'application/octet-stream'
    packed = path.with_name(f'{path.name}.gz')
    if 'gzip' in request.headers.get('accept-encoding', '') and packed.is_file():
        return FileResponse(packed, headers=headers | {'Content-Encoding': 'gzip'}, media_type=media_type)
    return FileResponse(path, headers=headers, media_type=media_type)


def head() -> str:
    """What every page needs in its head: fonts, tokens and the script that sets the theme before the first paint."""
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
    return (
        f'<link rel="preload" href="{inter}" as="font" type="font/woff2" crossorigin>'
        f'<style>{faces}</style>'
        f'<link rel="stylesheet" href="{asset_url("tokens.css")}">'
        f'<script src="{asset_url("app.js")}"></script>'
    )


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
