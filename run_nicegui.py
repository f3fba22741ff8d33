"""The composition root: the one place that knows the pages, the services and the adapters."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ui.loading import loading

with loading():
    from core.settings import Settings
    from storage.verbs import Verbs

if TYPE_CHECKING:
    from core.services import Services


class Root(Verbs):
    """What the `variosync` command is lent; only who opens services waits for all that they consist of."""

    def serve(self, settings: Settings) -> None:
        """Run the web server until it is stopped."""
        with loading():
            from core import logs
            from core.services import Services
            from storage.adapters import Opened
            from ui.serve import serve
            from ui.stops import Stops

        stops = Stops()
        logs.configure(settings)
        opened = Opened(settings)
        try:
            opened.start()
            services = Services.open(settings, opened.ports)
            serve(settings, services, opening=opened.connect, closing=opened.close, stops=stops)
        finally:
            opened.stop()

    @asynccontextmanager
    async def services(self, settings: Settings, *, own: bool = True) -> AsyncIterator['Services']:
        """The services, on the database of a running server or, with `own`, on one that is started for this."""
        with loading():
            from core import logs
            from core.services import Services
            from storage.adapters import Opened
        logs.configure(settings)
        async with Opened(settings, attach=True, own=own) as opened:
            yield Services.open(settings, opened.ports)


def main() -> None:
    """The console script `variosync`."""
    with loading():
        from ui.cli import run

    run(Root())


if __name__ == '__main__':
    main()
