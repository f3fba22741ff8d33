"""`variosync` as it is, but it writes down its addresses and the keys of its cache.

Forked as `recorded serve` (`forked.py`).
"""

import json
import os
from pathlib import Path
from typing import Any

from nicegui import app

import ui.serve
from core.settings import Settings
from storage.cache import MemoryCache

HOME = 'VARIOSYNC_HOME'
ROUTES, KEYS = 'routes.json', 'keys.txt'


def record() -> None:
    """Wrap the methods of the cache and the start of the server."""
    keys = (Path(os.environ[HOME]) / KEYS).open('a', buffering=1)
    for name in ('get', 'set', 'hit', 'delete'):
        setattr(MemoryCache, name, _noted(getattr(MemoryCache, name), keys))
    begin = ui.serve.run

    def run(settings: Settings, **options: Any) -> None:
        found = [(route.path, sorted(route.methods or ())) for route in app.routes if getattr(route, 'methods', None)]
        (settings.home_path / ROUTES).write_text(json.dumps(found))
        begin(settings, **options)

    ui.serve.run = run  # type: ignore[assignment]


def _noted(method: Any, keys: Any) -> Any:
    async def noted(self: MemoryCache, key: str, *arguments: Any, **named: Any) -> Any:
        keys.write(f'{key}\n')
        return await method(self, key, *arguments, **named)

    return noted
