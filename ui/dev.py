"""`make dev`: the server, started again when what it has read changes. Other files are read with every request."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

from watchfiles import Change, DefaultFilter, watch

from ui.vendor import MODULES

ROOT = Path(__file__).resolve().parent.parent
WATCHED = ('core', 'modal_functions', 'storage', 'supabase', 'ui', 'run_nicegui.py')
READ = ('.html', '.py', '.sql')
LOOSE = 'app.js'  # read with every request; the scripts beside it are read once
PATIENCE = 30  # seconds that the server may take to stop
PACK = (sys.executable, '-m', 'ui.vendor')
SERVE = (sys.executable, '-X', 'faulthandler', str(ROOT / 'run_nicegui.py'), 'serve')


class Code(DefaultFilter):
    """What a server has read when it runs, by the name of the file; our modules are packed for it.

    The address of a component's script is made once, when the component is imported, and browsers keep it for ever.
    """

    def __call__(self, change: Change, path: str) -> bool:
        return (path.endswith(READ) or _packed(path) or _component(path)) and super().__call__(change, path)


def main() -> None:
    """Serve until Ctrl-C; a server that ends by itself, because of a mistake in its code, waits for the next change."""
    stop = threading.Event()
    # Nothing is raised, so that no moment is there at which an interrupt would be lost.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    server = subprocess.Popen(SERVE)
    for changes in watch(*(ROOT / name for name in WATCHED), watch_filter=Code(), stop_event=stop):
        _prepare(changes)
        _end(server)
        server = subprocess.Popen(SERVE)
    _end(server)


def _end(server: subprocess.Popen[bytes]) -> None:
    """Stop it as Ctrl-C does, which a terminal has told it already; kill it after `PATIENCE`."""
    server.send_signal(signal.SIGINT)
    try:
        server.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _prepare(changes: set[tuple[Change, str]]) -> None:
    names = sorted({str(Path(path).relative_to(ROOT)) for _, path in changes})
    sys.stdout.write(f'Changed: {", ".join(names)}. The server is started again.\n')
    sys.stdout.flush()
    if any(_packed(path) for _, path in changes):
        subprocess.run(PACK, cwd=ROOT, check=False)


def _packed(path: str) -> bool:
    return path.endswith('.js') and Path(path).parent == MODULES


def _component(path: str) -> bool:
    return path.endswith('.js') and Path(path).parent == MODULES.parent and Path(path).name != LOOSE


if __name__ == '__main__':
    main()
