"""Home: first steps, recent datasets, jobs, how well forecasts held, and the hours of this week."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from nicegui import ui
from nicegui.element import Element

from core.demo import FirstSteps, Story, price
from core.forecasts import Listed
from core.jobs import Standing
from core.services import Services
from core.values import Balance, Dataset, Job, JobState, Session, UsageDay
from ui.components.bars import UsageBars, since_first_use, usage_bars, usage_key, used
from ui.components.formats import counted
from ui.components.hours import Price
from ui.components.jobs import Changes, Running, job_line
from ui.components.parts import badge, button, card, icon, icon_button, page_head, progress, tag
from ui.components.states import empty_state
from ui.components.times import hours
from ui.components.toast import toast
from ui.components.track import Track, figures, track_chart, track_of
from ui.live import follow
from ui.pages.datasets import RAIL, dataset_table, upload_button, upload_zone
from ui.pages.forecast_words import in_words
from ui.preferences import local
from ui.session import current
from ui.theme import PATIENCE, frame

RECENT = 6
LOOKED_AT = 50
WEEK = 7
CHART = 176
OPEN = (JobState.RUNNING, JobState.QUEUED)
FIGURE_OF_JOBS = {JobState.RUNNING: 'running', JobState.QUEUED: 'queued'}


def register(services: Services) -> None:
    """Serve `/`."""

    @ui.page('/', response_timeout=PATIENCE)
    async def home() -> None:
        with frame(services, 'Home', active='/') as session:
            await Home(services, session).draw()


class Home:
    """The page of one user; each card moves itself when what it shows has changed."""

    def __init__(self, services: Services, session: Session) -> None:
        self._services = services
        self._user = session.user
        self._session = session
        self._running = Running(in_words)
        self._changes = {part: Changes() for part in ('layout', 'start', 'datasets', 'jobs', 'track', 'hours')}
        self._bars: UsageBars | None = None
        self._hours: Element | None = None
        self._waits = False

    async def draw(self) -> None:
        """Draw the page and follow what happens to the user's jobs, datasets and hours."""
        today = local(datetime.now(UTC))
        with tag('div', classes='home-head'):
            self._zone = await upload_zone(self._services, self._session)
            with tag('div') as head:
                page_head(
                    'Home',
                    beside=lambda: tag('span', f'{today:%A} {today.day} {today:%B}', 't3 wide-only'),
                    actions=self._actions,
                )
            head.move(target_index=0)
        self._start = tag('div', classes='start-place')
        self._body = tag('div', classes='stack')
        await self.refresh()

        async def changed(message: Mapping[str, Any]) -> None:
            if not self._running.tell(message):
                await self.refresh()

        async def spent(_: Mapping[str, Any]) -> None:
            await self._refresh_hours()

        ours = f'{self._user.id}'
        for channel in ('jobs', 'datasets', 'dashboards', 'forecasts'):
            follow(self._services.events, f'{ours}/{channel}', changed, within=self._body, on_ready=self.refresh)
        follow(self._services.events, f'{ours}/hours', spent, within=self._body, on_ready=self._refresh_hours)

    def _actions(self) -> None:
        with tag('span', classes='wide-only'):
            button('New forecast', icon_name='chart-spline', href='/forecasts/new')
        self._upload = button('Upload data', icon_name='upload', kind='pri', on_click=self._zone.choose)

    async def refresh(self) -> None:
        """Read everything again and draw what is different; one that waits to begin does it for all who come then."""
        if self._waits:
            return
        self._waits = True
        async with self._changes['layout'].alone:
            self._waits = False
            await self._read_and_draw()

    async def _read_and_draw(self) -> None:
        ours, user = self._services, self._user.id
        # More than are shown: the first steps look for what is of the user's own making.
        found = await ours.datasets.list(user, limit=LOOKED_AT)
        jobs = await ours.jobs.list(user, limit=LOOKED_AT)
        states = await ours.jobs.states(user, [data.id for data in found[:RECENT] if data.version is None])
        forecasts = await ours.forecasts.list(user, limit=LOOKED_AT)
        steps = await ours.demo.first_steps(user)
        story = await ours.demo.story(user) if steps.samples and not steps.sample_dismissed else None
        self._show_start(steps, found, forecasts, story)
        empty = not found and not any(job.state in OPEN for job in jobs)
        balance = await ours.hours.balance(user)
        if self._changes['layout'].seen(empty):
            self._lay_out(balance, empty=empty)
        if empty:
            return
        recent = found[:RECENT]
        if self._changes['datasets'].seen([(data.id, data.updated_at) for data in recent], states):
            self._show_datasets(recent, states)
        if self._changes['jobs'].seen([(job.id, job.state) for job in jobs]):
            self._show_jobs(jobs)
            ui.run_javascript(RAIL)  # its numbers are those of these jobs, and of what they have made
        track = track_of(await ours.forecasts.measured(user))
        if self._changes['track'].seen(track):
            self._show_track(track)
        await self._refresh_hours()

    async def _refresh_hours(self) -> None:
        if self._hours is None:
            return
        zone = self._user.preferences.time_zone
        balance = await self._services.hours.balance(self._user.id)
        week = await self._services.hours.usage(self._user.id, days=WEEK, time_zone=zone)
        if self._hours is not None and self._changes['hours'].seen(balance.seconds, week):
            self._show_hours(balance, week)

    # layout

    def _lay_out(self, balance: Balance, *, empty: bool) -> None:
        """Make the cards, or the empty state in their place."""
        for part in ('datasets', 'jobs', 'track', 'hours'):
            self._changes[part] = Changes()
        self._running.clear()
        self._bars = None
        self._hours = None
        # One filled button a view: the empty state has it.
        self._upload.classes(remove='pri' if empty else '', add='' if empty else 'pri')
        self._body.clear()
        with self._body:
            if empty:
                self._nothing_yet(balance)
            else:
                self._cards()

    def _cards(self) -> None:
        with tag('div', classes='g12 even'):
            with card('Recent datasets', classes='c8', actions=lambda: _all('/datasets', 'All datasets')):
                self._datasets = tag('div')
            with tag('section', classes='card c4'):
                with tag('header'):
                    tag('h2', 'Jobs')
                    self._job_count = tag('span', '', 't12 t3 cut')
                    with tag('div', classes='acts'):
                        _all('/jobs', 'All jobs')
                self._jobs = tag('div')
        with tag('div', classes='g12 even'):
            with tag('section', classes='card c8'):
                with tag('header', classes='pad'):
                    tag('h2', 'Backtests')
                    tag('span', 'forecasts tried on past data', 't12 t3 cut')
                    with tag('div', classes='acts'):
                        self._scored = tag('span')
                        _all('/track', 'Track record: what came')
                self._track = tag('div')
            with card('Hours this week', classes='c4', actions=lambda: _all('/billing', 'Billing')):
                self._hours = tag('div', classes='vs')

    def _nothing_yet(self, balance: Balance) -> None:
        def ways() -> None:
            upload_button(self._zone)
            self._sample_button(balance)

        with card(classes='nothing'):
            empty_state(
                'No datasets yet',
                'Drop a CSV, Excel, JSON or Parquet file anywhere on this page. '
                'Every row is counted, and each fault is shown at its line.',
                actions=ways,
                hint='The sample is a file of shop sales with its faults, a forecast scored by what came, and a '
                f'dashboard. {self._zone.cost}',
            )

    def _sample_button(self, balance: Balance) -> None:
        def use() -> None:
            cost.guard()
            sample.props['disabled'] = True
            self._services.demo.begin(current().user.id, anew=True)
            toast('The sample is on its way', 'It fills in by itself, within a minute or so. You may leave this page.')

        sample = button('Use the sample', on_click=use)
        cost = Price(balance, price(self._services.hours))
        cost.guard(sample)
        cost.follow(self._services, self._session)

    # cards

    def _show_start(
        self, steps: FirstSteps, found: Sequence[Dataset], forecasts: Sequence[Listed], story: Story | None
    ) -> None:
        own = [dataset for dataset in found if dataset.id not in steps.samples]
        asked = [forecast for forecast in forecasts if forecast.dataset_id not in steps.samples]
        lines = first_steps(steps, own, asked)
        over = steps.dismissed or all(line['done'] for line in lines)
        told = sample_story(story) if story else []
        if not self._changes['start'].seen(over, lines, told):
            return
        self._start.clear()
        with self._start:
            if not over:
                self._show_steps(lines)
            if told:
                _show_story(told, self._dismiss_sample, below=not over)

    def _show_steps(self, lines: Sequence[Mapping[str, Any]]) -> None:
        with tag('section', classes='card start', aria_label='First steps'):
            with tag('div', classes='vs lead-step'):
                with tag('div', classes='hs'):
                    tag('h2', 'Get started', 'grow')
                    icon_button('x', 'Dismiss the first steps', small=True, on_click=self._dismiss)
                with tag('div', classes='hs'):
                    done = sum(line['done'] for line in lines)
                    progress(done / len(lines), label='First steps').classes('grow')
                    tag('span', f'{done} of {len(lines)}', 't12 t2 tn')
            coming = next(line for line in lines if not line['done'])
            for line in lines:
                self._step(line, now=line is coming)

    def _step(self, line: Mapping[str, Any], *, now: bool) -> None:
        classes = 'st done' if line['done'] else 'st now' if now else 'st'
        element = tag('a' if line['href'] else 'button', classes=classes, href=line['href'] or None)
        if not line['href']:
            element.props['type'] = 'button'
            element.on('click', self._zone.choose)
        with element:
            icon('circle-check' if line['done'] else 'circle')
            with tag('span', classes='vs grow'):
                tag('span', line['title'], 'w5 cut')
                tag('span', line['text'], 't12 t3 cut')
                tag('span', ', done' if line['done'] else ', to do', 'vh')

    async def _dismiss(self) -> None:
        await self._services.demo.dismiss(current().user.id)
        await self.refresh()

    async def _dismiss_sample(self) -> None:
        await self._services.demo.dismiss_sample(current().user.id)
        await self.refresh()

    def _show_datasets(self, recent: Sequence[Dataset], states: Mapping[UUID, Standing]) -> None:
        self._datasets.clear()
        with self._datasets:
            if recent:
                dataset_table(recent, states)
            else:
                tag('p', 'The datasets were deleted. Their jobs are still listed.', 't3 quiet')

    def _show_jobs(self, all_jobs: Sequence[Job]) -> None:
        jobs = all_jobs[:RECENT]
        counts = {state: sum(job.state == state for job in jobs) for state in OPEN}
        self._job_count.text = ', '.join(f'{n} {FIGURE_OF_JOBS[state]}' for state, n in counts.items() if n)
        self._running.clear()
        self._jobs.clear()
        with self._jobs:
            if not jobs:
                tag('p', 'Conversions and forecasts show up here while they run.', 't3 quiet')
            for job in sorted(jobs, key=lambda job: job.state not in OPEN):
                job_line(self._services, job, self._running)

    def _show_track(self, track: Track | None) -> None:
        self._scored.clear()
        self._track.clear()
        if track is None:
            with self._track, tag('div', classes='low'):
                empty_state(
                    'No forecast has been measured yet',
                    'Each one is tried on the recent past first; what its bands held there shows up here.',
                )
            return
        with self._scored:
            badge(f'{counted(track.scored, "model")} of {counted(len(track.points), "forecast")}', 'line')
        with self._track:
            figures(track)
            if len(track.points) > 1:
                track_chart(track.points).style(f'height: {CHART}px')
            else:
                tag('p', 'A chart over time follows with the second forecast.', 't12 t3 quiet')

    def _show_hours(self, balance: Balance, week: Sequence[UsageDay]) -> None:
        assert self._hours is not None
        spent = sum(map(used, week))
        if self._bars is None:
            self._hours.clear()
            with self._hours:
                with tag('div', classes='stats'):
                    with tag('div', classes='s'):
                        self._spent = tag('span', '', 'metric small')
                        tag('span', 'used', 't12 t3')
                    with tag('div', classes='s'):
                        self._left = tag('span', '', 'metric small', data_hours='short')
                        self._pace = tag('span', '', 't12 t3')
                usage_key()
                self._bars = usage_bars(week, height=CHART - 24)
        self._bars.show(week)
        self._spent.text = hours(spent)
        self._left.text = hours(balance.seconds)
        self._pace.text = left(balance.seconds, week)


def first_steps(steps: FirstSteps, own: Sequence[Dataset], asked: Sequence[Listed]) -> Sequence[Mapping[str, Any]]:
    """The three steps, each `done` by what the user has: their datasets (newest first) and forecasts, no samples."""
    ready = next((dataset for dataset in own if dataset.version is not None), None)
    faults = sum(dataset.faults or 0 for dataset in own)
    clean = ready is not None and not faults
    checked = 'Nothing was wrong' if clean else counted(faults, 'fault') if ready else 'Each at its line'
    return [
        {
            'title': 'Upload a file',
            'text': own[0].name if own else 'CSV, Excel, JSON, Parquet',
            'done': bool(own),
            'href': f'/datasets/{own[0].id}' if own else '',
        },
        {
            'title': 'Check its faults',
            'text': checked,
            'done': clean or (ready is not None and steps.faults_seen),
            'href': f'/datasets/{_faulty(own).id}?tab=faults' if ready else '/datasets',
        },
        {
            'title': 'Ask for a forecast',
            'text': asked[0].name if asked else 'With bands that hold',
            'done': bool(asked),
            'href': f'/forecasts/{asked[0].id}' if asked else _new_forecast(ready),
        },
    ]


def sample_story(story: Story) -> Sequence[Mapping[str, Any]]:
    """What there is to see in the sample, each `ready` or still on its way; once all is over, only what is there."""
    lines: Sequence[Mapping[str, Any]] = [
        {
            'title': 'A dirty file',
            'text': 'Being read' if story.faults is None else f'{counted(story.faults, "fault")} in its first file',
            'ready': story.faults is not None,
            'href': f'/datasets/{story.dataset_id}' + ('' if story.faults is None else '?tab=faults&v=1'),
        },
        {
            'title': 'A forecast that was kept',
            'text': _forecast_of(story),
            'ready': story.scored,
            'href': f'/forecasts/{story.forecast_id}' if story.forecast_id else '',
        },
        {
            'title': 'A dashboard to share',
            'text': _board_of(story),
            'ready': story.dashboard_id is not None,
            'href': f'/dashboards/{story.dashboard_id}' if story.dashboard_id else '',
        },
    ]
    return [line for line in lines if line['ready'] or not story.over]


def _forecast_of(story: Story) -> str:
    if story.scored:
        return 'Scored by what came'
    if story.issued:
        return 'Made; what came is on its way'
    return 'Being made' if story.forecast_id else 'Follows on the file'


def _board_of(story: Story) -> str:
    if story.dashboard_id is None:
        return 'Comes last'
    if story.scored:
        return 'What was foreseen, and what came'
    return 'Sales, and what was foreseen' if story.issued else 'Sales of three years'


def _show_story(lines: Sequence[Mapping[str, Any]], on_dismiss: Callable[[], Awaitable[None]], *, below: bool) -> None:
    ready = sum(line['ready'] for line in lines)
    with tag('section', classes='card start', aria_label='The sample') as box:
        if below:
            box.style('margin-top: var(--s4)')
        with tag('div', classes='vs lead-step'):
            with tag('div', classes='hs'):
                tag('h2', 'Look around', 'grow')
                if ready == len(lines):
                    icon_button('x', 'Dismiss “Look around”', small=True, on_click=on_dismiss)
            with tag('div', classes='hs'):
                if ready < len(lines):
                    progress(ready / len(lines), label='The sample is being filled in').classes('grow')
                    tag('span', f'{ready} of {len(lines)}', 't12 t2 tn')
                else:
                    tag('span', 'The sample is ready', 't12 t2')
        for line in lines:
            with tag('a' if line['href'] else 'div', classes='st', href=line['href'] or None):
                icon('arrow-right' if line['ready'] else 'clock')
                with tag('span', classes='vs grow'):
                    tag('span', line['title'], 'w5 cut')
                    tag('span', line['text'], 't12 t3 cut')


def left(seconds: int, week: Sequence[UsageDay]) -> str:
    """How long the hours last when every day takes what one of the days since the first use took."""
    days = since_first_use(week)
    if not seconds or len(days) < 2:
        return 'left'
    lasts = round(seconds * len(days) / sum(map(used, days)))
    return 'left, over a year at this pace' if lasts > 365 else f'left, about {counted(lasts, "day")} at this pace'


def _faulty(own: Sequence[Dataset]) -> Dataset:
    return next((dataset for dataset in own if dataset.faults), own[0])


def _new_forecast(ready: Dataset | None) -> str:
    return f'/forecasts/new?dataset={ready.id}' if ready else '/forecasts/new'


def _all(href: str, label: str) -> None:
    button(label, kind='ghost small', href=href)
