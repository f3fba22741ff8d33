"""The composition root: the one place that knows the pages, the services and the adapters."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ui.loading import loading

with loading():
    from core import logs
    from core.services import Services
    from core.settings import Settings
    from storage.adapters import Opened, bucket_init, migrate, read_outbox, run_local
    from storage.doctor import doctor


class Root:
    """What the `variosync` command is lent."""

    run_local, outbox, bucket_init = staticmethod(run_local), staticmethod(read_outbox), staticmethod(bucket_init)
    migrate, doctor = staticmethod(migrate), staticmethod(doctor)

    def serve(self, settings: Settings) -> None:
        """Run the web server until it is stopped."""
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
    async def services(self, settings: Settings, *, own: bool = True) -> AsyncIterator[Services]:
        """The services, on the database of a running server or, with `own`, on one that is started for this."""
        logs.configure(settings)
        async with Opened(settings, attach=True, own=own) as opened:
            yield Services.open(settings, opened.ports)

    async def worker(self, settings: Settings) -> None:
        """Work on jobs until stopped."""
        async with self.services(settings, own=False) as services:
            await services.work(concurrency=max(1, settings.workers))


def main() -> None:
    """The console script `variosync`."""
    with loading():
        from ui.cli import run

    run(Root())


if __name__ == '__main__':
    main()
