"""`variosync demo`: the sample workspace, whether a server runs or not."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from core.errors import NotFound
from core.settings import Settings
from ui.cli.root import Root
from ui.cli.terminal import progress_line

if TYPE_CHECKING:
    from core.services import Services


def demo_command(app: typer.Typer, root: Root) -> None:
    @app.command()
    def demo(
        reset: Annotated[bool, typer.Option('--reset', help='Delete the samples that are there first.')] = False,
    ) -> None:
        """Fill the owner's workspace with the sample. It is two datasets, a forecast of each, and a dashboard."""
        made = asyncio.run(_fill_demo(root, Settings(), reset=reset))
        print('\n'.join(made) or 'The samples were deleted; `variosync demo --reset` makes them anew.')


async def _fill_demo(root: Root, settings: Settings, *, reset: bool) -> list[str]:
    """Fill the owner's sample workspace, wait for its jobs, and return a line for each thing that was made."""
    async with root.services(settings) as services:
        try:
            owner = await services.hours.account(settings.owner_email)
        except NotFound:
            await services.accounts.owner_link(settings.owner_email)
            owner = await services.hours.account(settings.owner_email)
        filling = asyncio.create_task(services.demo.reset(owner) if reset else services.demo.fill(owner))
        try:
            with progress_line() as progress:
                await _see_through(services, settings, owner, filling, progress)
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)
            await services.stop()
        return [
            line
            for dataset, forecasts in await services.demo.made(owner)
            for line in (
                f'{dataset.name}: {dataset.rows or 0:,} rows, {dataset.faults or 0:,} faults',
                *(f'  {forecast.name}: {forecast.state}' for forecast in forecasts),
            )
        ]


async def _see_through(
    services: 'Services',
    settings: Settings,
    owner: UUID,
    filling: 'asyncio.Task[None]',
    progress: Callable[[float, str], None],
) -> None:
    """Show progress until the samples' jobs have ended; when nobody works on them, do it here."""
    seen, waited, helping = None, 0.0, False
    while True:
        done = filling.done()
        samples = {dataset.id for dataset, _ in await services.demo.made(owner)}
        jobs = [job for job in await services.jobs.running(owner) if job.dataset_id in samples]
        if done and not jobs:
            return await filling
        running = next((job for job in jobs if job.state == 'running'), None)
        now = [(job.id, job.state, job.progress, job.message) for job in jobs]
        waited, seen = (waited + PAUSE if now and now == seen else 0.0), now
        # What a killed server left looks as if it ran.
        if waited > (PATIENCE if running is None else SILENCE) and not helping:
            helping = True
            await services.start(workers=max(1, settings.workers))
        if running is not None:
            progress(running.progress, f'{running.title}. {running.message}')
        await asyncio.sleep(PAUSE)


PAUSE = 0.25
PATIENCE = 2.0  # for a server to take a job before we work on it ourselves
SILENCE = 10.0  # of a job that runs, before we look whether anybody works on it
