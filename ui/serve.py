"""Runs the web server over services that are opened when it starts and closed when it stops."""

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable

import structlog
from nicegui import app
from nicegui.server import Server

from core import logs
from core.errors import VariosyncError
from core.services import Services
from core.settings import Settings
from ui.app import mount, run
from ui.origins import address, reachable
from ui.stops import Stops

log = structlog.get_logger()

NOTICE = 5.0  # seconds in which a balancer sees at /health that we stop
CLOSING = 5.0  # seconds kept of the shutdown delay for giving back what is open


def serve(
    settings: Settings,
    services: Services,
    *,
    opening: Callable[[], Awaitable[None]],
    closing: Callable[[], Awaitable[None]],
    stops: Stops,
) -> None:
    """Serve until SIGINT or SIGTERM; `opening` and `closing` bracket the server's life inside its event loop.

    SIGINT stops at once. SIGTERM gives jobs back and, where a balancer stands before us (VARIOSYNC_PUBLIC_URL), sends
    requests and open pages elsewhere first. Requests on their way may end, within VARIOSYNC_SHUTDOWN_DELAY in all and
    before a second SIGINT.
    Raise what went wrong at the start, once the server has stopped because of it.
    """
    notice = min(NOTICE, settings.shutdown_delay / 5) if settings.public_url else 0.0
    background: set[asyncio.Task[None]] = set()
    refused: list[VariosyncError] = []
    begun = asyncio.Event()

    def listen() -> None:
        stops.listen(interrupt, terminate)

    async def start() -> None:
        if (task := asyncio.current_task()) is not None:
            background.add(task)
        try:
            await begin()
        except VariosyncError as error:
            refused.append(error)
            app.shutdown()

    async def begin() -> None:
        await opening()
        await services.start(workers=settings.workers)
        # What lives as long as the server is never garbage; to look through it once more holds the loop for 0.1 s.
        gc.collect()
        gc.freeze()
        # All the rest is looked through more rarely: that holds the loop, too.
        gc.set_threshold(700, 10, 100)
        background.add(asyncio.create_task(ready(await owner_path())))
        begun.set()

    async def owner_path() -> str:
        """Where the owner signs in, whose account is made before anybody else can take its address."""
        production = settings.environment == 'production'
        if production and settings.supabase_url:  # there an address is confirmed, and its service may be away now
            return ''
        token = await services.accounts.owner_link(settings.owner_email)
        # A log is no place for a secret: in production `variosync link` prints one.
        return '' if production else f'/auth/link?token={token}'

    async def ready(path: str) -> None:
        await _announce(settings, path)
        try:
            await services.demo.resume(owner=settings.demo)
        except VariosyncError as error:
            log.warning('the sample workspace waits for the next start', error=error.message)

    def interrupt() -> None:
        logs.leave()
        if stops.asked:
            for task in Server.instance.server_state.tasks:
                task.cancel()
        stops.asked = True
        app.shutdown()

    def terminate() -> None:
        if not begun.is_set():
            interrupt()
        elif not services.health.stopping:
            services.health.stopping = True
            background.add(asyncio.create_task(leave()))

    async def leave() -> None:
        log.info('stopping', notice=notice)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(services.drain())
                if notice:
                    group.create_task(app.state.sockets.move())
                    group.create_task(asyncio.sleep(notice))
        finally:
            app.shutdown()

    async def stop() -> None:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await services.stop()
        await closing()
        stops.close()
        log.info('stopped')

    mount(services)
    app.on_startup(listen)
    app.on_startup(start)
    app.on_shutdown(stop)
    run(settings, patience=max(0.0, settings.shutdown_delay - notice - CLOSING))
    if refused:
        raise refused[0]


async def _announce(settings: Settings, path: str) -> None:
    """Print the one line that people and programs wait for, once connections are answered."""
    while True:
        try:
            _, writer = await asyncio.open_connection(reachable(settings.host), settings.port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        break
    sys.stdout.write(f'VARIOSYNC ready: {address(settings)}{path}\n')
    sys.stdout.flush()
