"""The sample workspace: two files of our own making, brought as anybody brings a file, and a forecast of each.

What was done is read from the database at every step: filling goes on where a crash left it, in whatever process, and
what the user has deleted or cancelled stays away.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from core.analysis import demo
from core.datasets import Datasets
from core.errors import Conflict, VariosyncError
from core.forecasts import Ask, Forecasts
from core.hours import Hours
from core.jobs import Jobs
from core.notices import Notices
from core.ports import Database, Events, Row
from core.values import Dataset, Forecast, JobState, Quote, Upload

log = structlog.get_logger()

POLL = 3.0
PIECE = 2**18
ENDED = {state.value for state in JobState if state.final}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A file of the workspace, what makes its bytes, and the forecast that is asked for once it is converted.

    `size` is in bytes; the forecast is of `series` series with `points` points in all.
    """

    key: str
    file: str
    make: Callable[[], bytes] = field(repr=False)
    size: int
    series: int
    points: int
    ask: Ask


SAMPLES = (
    Sample(
        key='shop_sales',
        file='Shop sales.csv',
        make=demo.shop_sales,
        size=544_951,
        series=6,
        points=6_569,
        ask=Ask(
            target='units',
            h=28,
            series=tuple(f'{shop} · Bakery' for shop in demo.SHOPS),
            models=('auto', 'seasonal_naive'),
            name='Bakery units, 28 days',
        ),
    ),
    Sample(
        key='grid_load',
        file='Grid load.csv',
        make=demo.grid_load,
        size=1_020_190,
        series=3,
        points=26_269,
        ask=Ask(target='load_mw', h=48, models=('lightgbm', 'seasonal_naive'), name='Load, 48 hours'),
    ),
)


def price(hours: Hours) -> Quote:
    """Return what filling a workspace costs at most: the conversions and the forecasts."""
    quotes = [hours.quote_convert(sample.size, sample.file) for sample in SAMPLES]
    for sample in SAMPLES:
        quotes.append(hours.quote_forecast(series=sample.series, models=sample.ask.models, rows=sample.points))
    number = len(SAMPLES)
    basis = f'{number} files and {number} forecasts'
    return Quote(task='demo', seconds=sum(one.seconds for one in quotes), basis=basis)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSteps:
    """What a newcomer has done that no other table tells. `samples` are datasets that are not of the user's making."""

    faults_seen: bool = False
    dismissed: bool = False
    samples: frozenset[UUID] = frozenset()


class Demo:
    """Fills sample workspaces, at most one at a time for each user."""

    def __init__(
        self,
        database: Database,
        *,
        datasets: Datasets,
        forecasts: Forecasts,
        jobs: Jobs,
        notices: Notices,
        events: Events,
    ) -> None:
        self._database = database
        self._datasets = datasets
        self._forecasts = forecasts
        self._jobs = jobs
        self._notices = notices
        self._events = events
        self._lock = asyncio.Lock()
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    # in the background

    async def resume(self, *, owner: bool) -> None:
        """Go on with every workspace that was begun and not filled; with `owner` begin the owner's on a first start."""
        async with self._database.system() as tx:
            waiting = [row['id'] for row in await tx.all('demo_waiting', owner=owner)]
        for user_id in waiting:
            self.begin(user_id)

    def begin(self, user_id: UUID, *, anew: bool = False) -> None:
        """Fill a user's workspace in the background, with `anew` after a reset, unless that goes on already."""
        if user_id in self._tasks:
            return
        task = asyncio.create_task(self._keep_filling(user_id, anew=anew), name=f'demo of {user_id}')
        self._tasks[user_id] = task
        task.add_done_callback(lambda ended: self._ended(user_id, ended))

    async def stop(self) -> None:
        """Stop filling; it goes on at the next `resume`."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, user_id: UUID, task: 'asyncio.Task[None]') -> None:
        self._tasks.pop(user_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error('filling a sample workspace broke', user=str(user_id), exc_info=error)

    async def _keep_filling(self, user_id: UUID, *, anew: bool) -> None:
        """Fill until it is done; a service that is away is waited for, anything else is told to the user."""
        while True:
            try:
                if anew:
                    await self._clear(user_id)
                    anew = False
                await self.fill(user_id)
            except VariosyncError as error:
                log.warning('the sample workspace is not filled', user=str(user_id), error=error.message)
                if error.retryable:
                    await asyncio.sleep(POLL)
                    continue
                with suppress(VariosyncError):
                    await self._give_up(user_id, error)
            return

    async def _give_up(self, user_id: UUID, error: VariosyncError) -> None:
        async with self._database.system() as tx:
            await tx.run('demo_filled', user_id=user_id, filled=True)
            notice = await self._notices.add(
                tx, user_id, level='warn', title='The sample was not filled', text=error.message, link='/datasets'
            )
        await self._notices.tell(notice)

    # the work

    async def fill(self, user_id: UUID) -> None:
        """Upload the samples, and ask for a forecast of each as soon as it is converted. Filling twice changes nothing.

        A sample whose dataset was deleted, or whose conversion did not succeed, is left alone. Raise what uploads and
        forecasts raise, such as NotEnoughHours.
        """
        async with self._awakened(user_id) as woken:
            while not await self._advance(user_id):
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL):
                        await woken.wait()
                woken.clear()
        async with self._database.system() as tx:
            await tx.run('demo_filled', user_id=user_id, filled=True)

    async def reset(self, user_id: UUID) -> None:
        """Delete the sample datasets, cancel what runs on them, and fill the workspace anew."""
        await self._clear(user_id)
        await self.fill(user_id)

    async def made(self, user_id: UUID) -> Sequence[tuple[Dataset, Sequence[Forecast]]]:
        """Return the sample datasets that are there, in the order of `SAMPLES`, each with its forecasts."""
        found = await self._samples(user_id)
        order = [found[sample.key]['dataset_id'] for sample in SAMPLES if sample.key in found]
        there = [dataset for dataset in await self._datasets.list(user_id) if dataset.id in order]
        there.sort(key=lambda dataset: order.index(dataset.id))
        return [(one, await self._forecasts.list(user_id, dataset_id=one.id)) for one in there]

    async def _clear(self, user_id: UUID) -> None:
        async with self._alone(user_id):
            for row in (await self._samples(user_id)).values():
                if row['state'] == 'receiving':
                    await self._datasets.discard(user_id, row['upload_id'])
                if not _is_there(row):
                    continue
                for job in await self._jobs.running(user_id, dataset_id=row['dataset_id']):
                    with suppress(Conflict):
                        await self._jobs.cancel(user_id, job.id)
                await self._datasets.delete(user_id, row['dataset_id'])
            async with self._database.transaction(user_id) as tx:
                await tx.run('demo_replace')
            async with self._database.system() as tx:
                await tx.run('demo_filled', user_id=user_id, filled=False)

    async def _advance(self, user_id: UUID) -> bool:
        """Do what can be done now; True when nothing remains."""
        async with self._alone(user_id):
            found = await self._samples(user_id)
            return all([await self._advance_one(user_id, sample, found.get(sample.key)) for sample in SAMPLES])

    async def _advance_one(self, user_id: UUID, sample: Sample, row: Row | None) -> bool:
        if row is None or row['state'] == 'receiving':
            await self._send(user_id, sample, row)
            return False
        if not _is_there(row) or row['asked']:
            return True
        if not row['converted']:
            return not row['converting']
        version = await self._datasets.version(user_id, row['dataset_id'])
        await self._forecasts.request(user_id, version, sample.ask)
        return True

    async def _send(self, user_id: UUID, sample: Sample, row: Row | None) -> None:
        content = await asyncio.to_thread(sample.make)
        upload_id = row['upload_id'] if row else await self._announce(user_id, sample, len(content))
        upload, offset = await self._datasets.received(user_id, upload_id)
        if upload.state == 'receiving':
            await self._datasets.append(user_id, upload_id, offset, _pieces(content[offset:]))

    async def _announce(self, user_id: UUID, sample: Sample, size: int) -> UUID:
        """Begin a sample's upload, or take the one that a crash left between its beginning and its mark."""
        upload = await self._left_behind(user_id, sample, size)
        if upload is None:
            upload = await self._datasets.begin_upload(user_id, name=sample.file, size=size)
        async with self._database.transaction(user_id) as tx:
            await tx.run('demo_mark', id=upload.id, sample=sample.key)
        return upload.id

    async def _left_behind(self, user_id: UUID, sample: Sample, size: int) -> Upload | None:
        waiting = await self._datasets.unfinished(user_id)
        alike = [
            upload for upload, offset in waiting if not offset and (upload.name, upload.size) == (sample.file, size)
        ]
        return alike[0] if alike else None

    async def _samples(self, user_id: UUID) -> Mapping[str, Row]:
        async with self._database.transaction(user_id) as tx:
            return {row['sample']: row for row in await tx.all('demo_samples')}

    @asynccontextmanager
    async def _alone(self, user_id: UUID) -> AsyncIterator[None]:
        """Keep others away from this user's workspace: tasks by the first lock, other processes by the second.

        At most one transaction of this process stands open here, so that filling cannot use up the connections.
        """
        async with self._lock, self._database.system() as tx:
            await tx.first('demo_lock', user_id=user_id)
            yield

    @asynccontextmanager
    async def _awakened(self, user_id: UUID) -> AsyncIterator[asyncio.Event]:
        """An event that is set when a job of the user ends; when events fail, whoever waits has to look by itself."""
        woken = asyncio.Event()

        async def listen() -> None:
            with suppress(VariosyncError):
                async with self._events.subscribe(f'{user_id}/jobs') as messages:
                    async for message in messages:
                        if message.get('state') in ENDED:
                            woken.set()

        task = asyncio.create_task(listen())
        try:
            yield woken
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # first steps

    async def first_steps(self, user_id: UUID) -> FirstSteps:
        """Return what a newcomer has done, and which datasets are samples."""
        async with self._database.transaction(user_id) as tx:
            row = await tx.one('first_steps', user_id=user_id)
        return FirstSteps(faults_seen=row['faults_seen'], dismissed=row['dismissed'], samples=frozenset(row['samples']))

    async def saw_faults(self, user_id: UUID, dataset_id: UUID) -> None:
        """Note that the user has looked at the faults of a dataset; a sample's do not count."""
        async with self._database.transaction(user_id) as tx:
            await tx.run('first_steps_faults_seen', user_id=user_id, dataset_id=dataset_id)

    async def dismiss(self, user_id: UUID) -> None:
        """Note that the user wants to see the first steps no more."""
        async with self._database.transaction(user_id) as tx:
            await tx.run('first_steps_dismiss', user_id=user_id)


def _is_there(row: Row) -> bool:
    return row['dataset_id'] is not None and not row['deleted']


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), PIECE):
        yield content[start : start + PIECE]
