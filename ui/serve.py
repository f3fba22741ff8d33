"""Runs the web server over services that are opened when it starts and closed when it stops."""

import asyncio
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from types import FrameType

import structlog
from nicegui import app

from core.errors import Misconfigured, VariosyncError
from core.services import Services
from core.settings import Settings
from ui.app import mount, run

log = structlog.get_logger()


def serve(
    settings: Settings,
    services: Services,
    *,
    opening: Callable[[], Awaitable[None]],
    closing: Callable[[], Awaitable[None]],
) -> None:
    """Serve until SIGINT or SIGTERM; `opening` and `closing` bracket the server's life inside its event loop."""

    async def start() -> None:
        await opening()
        await services.start(workers=settings.workers)
        token = await services.accounts.owner_link(settings.owner_email)
        app.state.announcing = asyncio.create_task(ready(f'auth/link?token={token}'))

    async def ready(path: str) -> None:
        await _announce(settings, path)
        try:
            await services.demo.resume(owner=settings.demo)
        except VariosyncError as error:
            log.warning('the sample workspace waits for the next start', error=error.message)

    async def stop() -> None:
        app.state.announcing.cancel()
        await services.stop()
        await closing()

    mount(services)
    app.on_startup(start)
    app.on_shutdown(stop)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        run(settings)
    except KeyboardInterrupt:
        log.info('stopped')


def check_port(settings: Settings) -> None:
    """Raise Misconfigured when the address cannot be listened on."""
    with socket.socket(socket.AF_INET6 if ':' in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise Misconfigured(
                f'Port {settings.port} on {settings.host} cannot be used ({error.strerror}). '
                'Stop what uses it, or set VARIOSYNC_PORT to another.'
            ) from error


async def _announce(settings: Settings, path: str) -> None:
    """Print the one line that people and programs wait for, once connections are answered."""
    while True:
        try:
            _, writer = await asyncio.open_connection(_reachable(settings.host), settings.port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        break
    address = settings.public_url or f'http://{_reachable(settings.host)}:{settings.port}'
    sys.stdout.write(f'VARIOSYNC ready: {address.rstrip("/")}/{path}\n')
    sys.stdout.flush()


def _reachable(host: str) -> str:
    return {'0.0.0.0': '127.0.0.1', '::': '[::1]'}.get(host, host)  # noqa: S104 - compared, not bound


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
