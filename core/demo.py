"""The sample workspace: files of our own making, brought as anybody brings a file, and a forecast of each.

It tells a story: shops keep a dirty file; a forecast of their September is made; September comes as a second file, by
which the forecast is scored; and a dashboard of it all lays what came over what was foreseen.

What was done is read from the database at every step: filling goes on where a crash left it, in whatever process, and
what the user has deleted or cancelled stays away.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import structlog

from core import suggest
from core.analysis import demo
from core.ask import Ask, needed_windows
from core.dashboards import Dashboards
from core.datasets import Datasets
from core.errors import Conflict, NotFound, VariosyncError
from core.forecasts import Forecasts, Listed
from core.hours import Hours
from core.jobs import Jobs
from core.notices import Notices
from core.ports import Database, Events, Row
from core.uploads import Uploads
from core.values import Dataset, JobState, Quote

log = structlog.get_logger()

POLL = 3.0
PIECE = 2**18
ENDED = {state.value for state in JobState if state.final}


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of the workspace and what makes its bytes; `size` is in bytes."""

    key: str
    file: str
    make: Callable[[], bytes] = field(repr=False)
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample(File):
    """A file, the forecast that is asked for once it is converted, and the file that comes when that is issued.

    The forecast is of `series` series with `points` points in all. With `news` a dashboard is the end of it.
    """

    series: int
    points: int
    ask: Ask
    news: File | None = None


SHOP = f'{next(iter(demo.SHOPS))} · Bakery'
"""The series that the dashboard tells of."""
SHOPS = Sample(
    key='shop_sales',
    file='Shop sales.csv',
    make=demo.shop_sales_before,
    size=530_075,
    series=6,
    points=6_389,
    # Theta is quick, and good at what has one season.
    ask=Ask(
        target='units',
        h=30,
        series=tuple(f'{shop} · Bakery' for shop in demo.SHOPS),
        models=('theta', 'seasonal_naive'),
        name='Bakery units in September',
    ),
    news=File(key='shop_sales_news', file='Shop sales September.csv', make=demo.shop_sales_news, size=14_922),
)
SAMPLES = (
    SHOPS,
    Sample(
        key='grid_load',
        file='Grid load.csv',
        make=demo.grid_load,
        size=1_020_190,
        series=3,
        points=26_269,
        ask=Ask(target='load_mw', h=48, models=('theta', 'seasonal_naive'), name='Load, 48 hours'),
    ),
)
STORY = 'story'  # id of the panel by which the sample's dashboard is known
DASHBOARD = 'Shop sales: September, foreseen and come'


def price(hours: Hours) -> Quote:
    """Return what filling a workspace costs at most: the conversions and the forecasts. All else is free."""
    files = [*SAMPLES, *(sample.news for sample in SAMPLES if sample.news)]
    quotes = [hours.quote_convert(one.size, one.file) for one in files]
    for sample in SAMPLES:
        windows = needed_windows(sample.series)
        quotes.append(
            hours.quote_forecast(series=sample.series, models=sample.ask.models, rows=sample.points, windows=windows)
        )
    basis = f'{len(files)} files and {len(SAMPLES)} forecasts'
    return Quote(task='demo', seconds=sum(one.seconds for one in quotes), basis=basis)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """How far the sample of shops has come; None is what is not there yet, or was taken away.

    `faults` are those of its first file. It is `over` when nothing more will come by itself.
    """

    dataset_id: UUID
    faults: int | None
    forecast_id: UUID | None
    issued: bool
    scored: bool
    dashboard_id: UUID | None
    over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSteps:
    """What a newcomer has done that no other table tells. `samples` are datasets that are not of the user's making."""

    faults_seen: bool = False
    dismissed: bool = False
    sample_dismissed: bool = False
    samples: frozenset[UUID] = frozenset()


class Demo:
    """Fills sample workspaces, at most one at a time for each user."""

    def __init__(
        self,
        database: Database,
        *,
        datasets: Datasets,
        uploads: Uploads,
        forecasts: Forecasts,
        dashboards: Dashboards,
        jobs: Jobs,
        notices: Notices,
        events: Events,
    ) -> None:
        self._database = database
        self._datasets = datasets
        self._uploads = uploads
        self._forecasts = forecasts
        self._dashboards = dashboards
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
        """Upload the samples, ask for a forecast of each in turn, and so on to the end of the story.

        Filling twice changes nothing. A sample whose dataset was deleted, or whose conversion did not succeed, is left
        alone; so is what would follow on a forecast that did not. Raise what uploads and forecasts raise, such as
        NotEnoughHours.
        """
        async with self._database.system() as tx:
            if (await tx.one('demo_was_filled', user_id=user_id))['filled']:
                return
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

    async def made(self, user_id: UUID) -> Sequence[tuple[Dataset, Sequence[Listed]]]:
        """Return the sample datasets that are there, in the order of `SAMPLES`, each with its forecasts."""
        found = await self._samples(user_id)
        order = [found[sample.key]['dataset_id'] for sample in SAMPLES if sample.key in found]
        there = []
        for dataset_id in order:
            with suppress(NotFound):  # it was deleted
                there.append(await self._datasets.get(user_id, dataset_id))
        return [(one, await self._forecasts.list(user_id, dataset_id=one.id)) for one in there]

    async def story(self, user_id: UUID) -> Story | None:
        """Return how far the sample of shops has come; None when it is not there."""
        async with self._database.transaction(user_id) as tx:
            row = await tx.first('demo_story', sample=SHOPS.key, panel=STORY, deleted=False)
        return None if row is None else Story(**row)

    async def _clear(self, user_id: UUID) -> None:
        async with self._alone(user_id):
            await self._clear_dashboard(user_id)
            there = {}
            for row in (await self._samples(user_id)).values():
                if row['state'] == 'receiving':
                    await self._uploads.discard(user_id, row['upload_id'])
                if _is_there(row):
                    there[row['dataset_id']] = row
            for dataset_id in there:
                for job in await self._jobs.running(user_id, dataset_id=dataset_id):
                    with suppress(Conflict):
                        await self._jobs.cancel(user_id, job.id)
                await self._datasets.delete(user_id, dataset_id)
            # At once, so that whatever process comes next fills what was cleared.
            async with self._database.system() as tx:
                await tx.run('demo_replace', user_id=user_id)
                await tx.run('demo_filled', user_id=user_id, filled=False)

    async def _clear_dashboard(self, user_id: UUID) -> None:
        story = await self.story(user_id)
        if story is not None and story.dashboard_id is not None:
            with suppress(NotFound):
                await self._dashboards.delete(user_id, story.dashboard_id)

    async def _advance(self, user_id: UUID) -> bool:
        """Do what can be done now; True when nothing remains."""
        async with self._alone(user_id):
            found = dict(await self._samples(user_id))
            return all([await self._advance_one(user_id, sample, found) for sample in SAMPLES])

    async def _advance_one(self, user_id: UUID, sample: Sample, found: dict[str, Row]) -> bool:
        row = found.get(sample.key)
        if row is None or row['state'] == 'receiving':
            await self._send(user_id, sample, row)
            return False
        if not _is_there(row):
            return True
        if not row['asked']:
            if not row['converted']:
                return not row['converting']
            # One after the other, the story first: a file that the user brings meanwhile does not wait for both.
            before = [found[other.key] for other in SAMPLES[: SAMPLES.index(sample)] if other.key in found]
            if any(one['awaited'] for one in found.values()) or any(one['converting'] for one in before):
                return False
            found[sample.key] = {**row, 'awaited': True}
            version = await self._datasets.version(user_id, row['dataset_id'])
            await self._forecasts.request(user_id, version, sample.ask)
            return sample.news is None
        return sample.news is None or await self._tell(user_id, sample.news, row, found.get(sample.news.key))

    async def _tell(self, user_id: UUID, news: File, row: Row, sent: Row | None) -> bool:
        """Go on with the story of a sample of which a forecast was asked for; True when nothing remains."""
        if row['awaited'] or row['converting']:
            return False
        if row['issued'] and (sent is None or sent['state'] == 'receiving'):
            await self._send(user_id, news, sent, dataset_id=row['dataset_id'])
            return False
        await self._build(user_id, row['dataset_id'])
        return True

    async def _build(self, user_id: UUID, dataset_id: UUID) -> None:
        """Make the dashboard of the story, once."""
        async with self._database.transaction(user_id) as tx:
            story = await tx.one('demo_story', sample=SHOPS.key, panel=STORY, deleted=True)
        if story['dashboard_id'] is not None:
            return
        dataset = await self._datasets.get(user_id, dataset_id)
        version = await self._datasets.version(user_id, dataset_id)
        spec = suggest.dashboard(str(dataset_id), version.manifest, name=dataset.name)
        forecast = story['forecast_id'] if story['issued'] else None
        await self._dashboards.create(user_id, DASHBOARD, told(spec, dataset_id, forecast, faults=story['faults'] or 0))

    async def _send(self, user_id: UUID, file: File, row: Row | None, *, dataset_id: UUID | None = None) -> None:
        content = await asyncio.to_thread(file.make)
        if row is None:
            begun = await self._uploads.begin_upload(
                user_id, name=file.file, size=len(content), dataset_id=dataset_id, sample=file.key
            )
        upload, offset = await self._uploads.resumed(user_id, begun.id if row is None else row['upload_id'])
        if upload.state == 'receiving':
            await self._uploads.append(user_id, upload.id, offset, _pieces(content[offset:]))

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
        return FirstSteps(**{**row, 'samples': frozenset(row['samples'])})

    async def saw_faults(self, user_id: UUID, dataset_id: UUID) -> None:
        """Note that the user has looked at the faults of a dataset; a sample's do not count."""
        async with self._database.transaction(user_id) as tx:
            await tx.run('first_steps_faults_seen', user_id=user_id, dataset_id=dataset_id)

    async def dismiss(self, user_id: UUID) -> None:
        """Note that the user wants to see the first steps no more."""
        async with self._database.transaction(user_id) as tx:
            await tx.run('first_steps_dismiss', user_id=user_id)

    async def dismiss_sample(self, user_id: UUID) -> None:
        """Note that the user has seen enough of the way through the sample; the sample itself stays."""
        async with self._database.transaction(user_id) as tx:
            await tx.run('sample_dismiss', user_id=user_id)


def _is_there(row: Row) -> bool:
    return row['dataset_id'] is not None and not row['deleted']


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), PIECE):
        yield content[start : start + PIECE]


# the dashboard

FROM, TO = date(2026, 7, 1), date(2026, 10, 1)
HEIGHT = 5
PROMOTIONS = ((date(2026, 7, 5), date(2026, 7, 11)), (date(2026, 9, 6), date(2026, 9, 12)))
"""Days on which `SHOP` had an offer between `FROM` and `TO`: the first and the last one of each."""
DIRTY = (
    'Six shops write their sales down by hand. The first file had {faults} faults: prices with a decimal comma, units '
    'such as "130 pcs", days that do not exist. What could be read was repaired, the rest was rejected, and each is '
    'listed at its line.'
)
FORESEEN = (
    'At the end of August a forecast of September was made, with a band that promises to hold 80 of 100 days and one '
    'that promises 95. Then September came, as a second file, and is drawn over what had been foreseen. A week of an '
    'offer lies high in the bands, or above them: nobody had told the forecast.'
)
YOURS = 'All of it is made up, and yours to change: choose a shop above, drag over a chart, move a panel.'


def told(spec: Mapping[str, Any], dataset_id: UUID, forecast_id: UUID | None, *, faults: int) -> dict[str, Any]:
    """Return a dashboard of the shops with the story put below its figures, as a chart and in words.

    Without a forecast it tells of the file alone.
    """
    figures, rest = _parted(spec['panels'])
    top = max((panel['y'] + panel['h'] for panel in figures), default=0)
    foreseen = forecast_id is not None
    line = {
        'id': STORY, 'x': 0, 'y': top, 'w': 8, 'h': HEIGHT, 'kind': 'line', 'dataset': str(dataset_id),
        'title': 'September as foreseen in August, and as it came' if foreseen else 'Units of a day',
        'query': {'measures': [SHOPS.ask.target], 'series': [SHOP]},
        'show': {
            'own': {'from': _moment(FROM), 'to': _moment(TO)},
            'forecast': str(forecast_id) if foreseen else '',
            'thresholds': [{'value': 900, 'label': 'what the ovens bake', 'colour': 'red'}],
            'annotations': [
                {'at': _moment(first), 'until': _moment(last), 'text': 'Offer'} for first, last in PROMOTIONS
            ],
        },
    }  # fmt: skip
    words = [DIRTY.format(faults=faults), *([FORESEEN] if foreseen else []), YOURS]
    note = {'id': 'note', 'x': 8, 'y': top, 'w': 4, 'h': HEIGHT, 'kind': 'note', 'title': 'What this tells'}
    note['show'] = {'text': '\n\n'.join(words)}
    return {**spec, 'panels': [*figures, line, note, *({**panel, 'y': panel['y'] + HEIGHT} for panel in rest)]}


def _parted(panels: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """The figures in the first row, and the rest."""
    figures = [panel for panel in panels if panel['y'] == 0 and panel['kind'] == 'figure']
    return figures, [panel for panel in panels if panel not in figures]


def _moment(day: date) -> int:
    """The begin of a day in ms since 1970."""
    return round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
