"""A dataset: chart, profile, faults, rows, the roles of its columns and its versions."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Query
from nicegui import ui
from nicegui.element import Element

from core.analysis.tables import Page
from core.datasets import ROLES
from core.errors import NotFound, Unavailable, UsageError
from core.services import Services
from core.values import Balance, Dataset, Job, JobState, Quote, Session, Version
from ui.components import formats
from ui.components.chart import series_chart
from ui.components.hours import Price
from ui.components.jobs import Running, cancel_button
from ui.components.parts import Tag, badge, button, card, field, icon, icon_button, page_head, tabs, tag
from ui.components.spark import bars, spark
from ui.components.states import empty_state, error_state, out_of_reach, skeleton_rows
from ui.components.table import Column, last_or, table
from ui.components.times import count, when
from ui.components.toast import toast
from ui.components.upload import Upload
from ui.live import follow
from ui.session import current
from ui.theme import PATIENCE, frame

ROWS = 100
MOST_LABELS = 1000
TABS = ('overview', 'faults', 'rows', 'columns', 'versions')
PRESETS = ('1D', '1W', '1M', '1Y', 'All')
COLOURS = [f'series-{place}' for place in range(1, 9)]
ZONES = ('UTC', 'Europe/London', 'Europe/Paris', 'Europe/Berlin', 'America/New_York', 'America/Chicago',
         'America/Los_Angeles', 'Asia/Tokyo', 'Asia/Kolkata', 'Australia/Sydney')  # fmt: skip
GUESS = 'as read'
KEPT = 'Every version of the dataset.'
TO_DO = {
    'ambiguous_dates': 'Say how dates are written.',
    'no_time_column': 'Name the column that holds the time, or discard the file.',
    'task_killed': 'Try again. If it happens again, tell the operator.',
    'task_over_limit': 'Split the file, or raise VARIOSYNC_TASK_MEMORY.',
}


def register(services: Services) -> None:
    """Serve `/datasets/{id}`."""

    @ui.page('/datasets/{dataset_id}', response_timeout=PATIENCE)
    async def dataset(
        dataset_id: str,
        tab: str = 'overview',
        v: int | None = None,
        page: int = 1,
        measure: list[str] | None = Query(None),  # noqa: B008 - how the framework is told that a parameter repeats
        series: list[str] | None = Query(None),  # noqa: B008
    ) -> None:
        user = current().user
        found = await services.datasets.get(user.id, _uuid(dataset_id))
        chosen = tab if tab in TABS else 'overview'
        if chosen == 'faults' and found.version is not None:
            await services.demo.saw_faults(user.id, found.id)
        with frame(services, ('Datasets', '/datasets'), found.name, active='/datasets') as session:
            box = tag('div', classes='stack')

            shown: list[View] = []
            running = Running()

            async def draw() -> None:
                shown.clear()
                running.clear()
                data = await services.datasets.get(session.user.id, found.id)
                job = await services.jobs.last(session.user.id, found.id, 'convert')
                if data.version is None:
                    cost = await _cost(services, session, data)
                    box.clear()
                    with box:
                        _without_version(services, session, data, job, running, cost)
                    return
                version = await services.datasets.version(session.user.id, found.id, v)
                view = View(services, session, data, version, job)
                await view.load(chosen, page, measure or [], series or [])
                shown.append(view)
                box.clear()
                with box:
                    view.draw(chosen)

            await draw()

            async def changed(message: Mapping[str, Any]) -> None:
                if message.get('dataset') != str(found.id) or message.get('kind', 'convert') != 'convert':
                    return
                # A page with a chart is drawn again only when something has ended or begun.
                if not (running.tell(message) or (shown and shown[0].tell(message))):
                    await draw()

            async def catch_up() -> None:
                """Whatever ended before this page listened would not be told again."""
                if shown and not shown[0].unsettled:
                    return
                if not running.catch_up(await services.jobs.last(session.user.id, found.id, 'convert')):
                    await draw()

            for channel in ('jobs', 'datasets'):
                follow(services.events, f'{session.user.id}/{channel}', changed, within=box, on_ready=catch_up)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound('There is no such dataset.') from error


async def _cost(services: Services, session: Session, data: Dataset) -> tuple[Quote, Balance]:
    """What reading the file again may cost, and what there is."""
    quote = await services.datasets.quote(session.user.id, data.id)
    return quote, await services.hours.balance(session.user.id)


def _without_version(
    services: Services,
    session: Session,
    data: Dataset,
    job: Job | None,
    running: Running,
    cost: tuple[Quote, Balance],
) -> None:
    page_head(data.name, data.source_name if data.source_name != data.name else '')
    if job is not None and job.state in (JobState.FAILED, JobState.CANCELLED):
        _conversion_failed(services, session, data, job, cost)
        return
    with card():
        if job is not None:
            running.draw(services, job, f'Converting {data.source_name}')
        skeleton_rows(5)
    tag('p', 'You can close this tab; the work goes on.', 't12 t3')


def _conversion_failed(
    services: Services, session: Session, data: Dataset, job: Job, cost: tuple[Quote, Balance]
) -> None:
    code = (job.error or {}).get('code', '')

    async def again() -> None:
        await services.jobs.retry(current().user.id, job.id)

    async def read_as(day_first: bool) -> None:
        await services.datasets.correct(current().user.id, data.id, {'day_first': day_first})

    async def take_as_time(column: str) -> None:
        if not column.strip():
            raise UsageError('Write the name of the column that holds the time.')
        options = {'roles': {column.strip(): 'time'}}
        await services.datasets.correct(current().user.id, data.id, options)

    async def remove() -> None:
        await services.datasets.delete(current().user.id, data.id)
        ui.navigate.to(f'/datasets?deleted={data.id}')

    def actions() -> None:
        if code == 'ambiguous_dates':
            spending = [button('Day comes first', kind='pri', on_click=lambda: read_as(True))]
            spending.append(button('Month comes first', on_click=lambda: read_as(False)))
        elif code in ('no_time_column', 'usage_error'):
            column = ui.input(placeholder='Name of the time column').props('aria-label="Name of the time column"')
            spending = [button('Read it as time', kind='pri', on_click=lambda: take_as_time(column.value or ''))]
        else:
            spending = [button('Try again', kind='pri', icon_name='rotate-ccw', on_click=again)]
        button('Discard', icon_name='trash-2', on_click=remove)
        quote, balance = cost
        price = Price(balance, quote)
        price.guard(*spending)
        price.follow(services, session)

    cancelled = job.state == JobState.CANCELLED
    with card():
        error_state(
            'The conversion was cancelled' if cancelled else f'{data.source_name} could not be converted',
            (job.error or {}).get('message', job.message),
            rows={
                'What is kept': 'The file as you uploaded it.',
                'Hours': 'Not charged. What was held for it is back.',
                'What to do': TO_DO.get(code, 'Mend the file and upload it again, or discard this one.'),
            },
            actions=actions,
            number='' if cancelled else str(job.id)[:8],
        )


class View:
    """One version of a dataset as its page shows it."""

    def __init__(self, services: Services, session: Session, data: Dataset, version: Version, job: Job | None) -> None:
        self.services = services
        self.session = session
        self.user = session.user
        self.data = data
        self.version = version
        self.job = job
        self.manifest: Mapping[str, Any] = version.manifest
        self.address = f'/datasets/{data.id}'
        self.api = f'/api/v1/datasets/{data.id}/versions/{version.number}'
        self.measures: list[str] = []
        self.series: list[str] = []
        self.labels: Sequence[str] = ()
        self.page: Page | None = None
        self.away = ''
        """Why what is stored cannot be read now."""
        self.number = 1
        self.versions: Sequence[Version] = ()
        self.note: Tag | None = None
        self.cost: tuple[Quote, Balance] | None = None

    @property
    def unsettled(self) -> bool:
        """Whether a conversion was under way when this was read."""
        return self.job is not None and not self.job.state.final

    def tell(self, message: Mapping[str, Any]) -> bool:
        """Show the progress of a new version in place; False when the page has no place for it yet."""
        if self.note is None or message.get('state') != JobState.RUNNING:
            return False
        self.note.text = _making(message.get('message', ''), message.get('progress', 0.0))
        return True

    async def load(self, tab: str, page: int, measures: Sequence[str], series: Sequence[str]) -> None:
        """Read what the open tab shows."""
        datasets, user = self.services.datasets, self.user.id
        known = self.manifest['measures']
        self.measures = [name for name in measures if name in known] or list(known[:1])
        self.labels = self.manifest['series']['first']
        self.number = max(1, page)
        self.versions = await datasets.versions(user, self.data.id)
        if tab == 'columns':
            self.cost = await _cost(self.services, self.session, self.data)
        try:
            await self._read(tab)
        except Unavailable as error:
            self.away = error.message
        self.series = [name for name in series if name in self.labels] or list(self.labels[:1])

    async def _read(self, tab: str) -> None:
        """Read what is stored. Raise Unavailable while it is out of reach."""
        datasets, user = self.services.datasets, self.user.id
        if self.manifest['series']['count'] > len(self.labels):
            self.labels = await datasets.labels(user, self.version, limit=MOST_LABELS)
        if tab == 'overview':
            self.page = await datasets.faults(user, self.version, offset=0, limit=5)
        elif tab in ('rows', 'faults'):
            self.page = await self._read_page(tab)
            last = last_or(self.number, count=ROWS, total=self.page.total)
            if last != self.number:
                self.number = last
                self.page = await self._read_page(tab)

    async def _read_page(self, tab: str) -> Page:
        read = self.services.datasets.preview if tab == 'rows' else self.services.datasets.faults
        return await read(self.user.id, self.version, offset=(self.number - 1) * ROWS, limit=ROWS)

    def draw(self, tab: str) -> None:
        """Draw the head, the tabs and the open tab."""
        page_head(self.data.name, self._facts(), beside=self._version_badge, actions=self._actions)
        self._newer()
        tabs(
            [
                ('Overview', '', self._tab('overview')),
                ('Faults', count(self.manifest['faults_total']), self._tab('faults')),
                ('Rows', '', self._tab('rows')),
                ('Columns', str(len(self.manifest['columns'])), self._tab('columns')),
                ('Versions', str(len(self.versions)), self._tab('versions')),
            ],
            tab.capitalize(),
        )
        getattr(self, f'_{tab}')()

    def _tab(self, name: str, **more: Any) -> str:
        query = {} if name == 'overview' else {'tab': name}
        if self.version.number != self.data.version:
            query['v'] = str(self.version.number)
        query |= {key: str(value) for key, value in more.items()}
        return self.address + (f'?{urlencode(query)}' if query else '')

    def _facts(self) -> str:
        span, series = self.manifest['time'], self.manifest['series']
        parts = [
            f'{self.version.rows:,} rows',
            formats.counted(series['count'], 'series', 'series'),
            formats.step(span['freq'], span['step_seconds']),
            f'{formats.day(span["start"])} to {formats.day(span["end"])}',
        ]
        return ' · '.join(parts)

    def _version_badge(self) -> None:
        badge(f'v{self.version.number}', 'line', icon_name='git-commit-horizontal')
        if self.version.number != self.data.version:
            badge(f'v{self.data.version} is shown to others', 'warn')

    def _actions(self) -> None:
        with tag('button', 'Export', 'b', type='button', popovertarget='export'):
            icon('download', classes='lead')
        with tag('div', classes='menu', id='export', popover='auto', role='menu', aria_label='Export'):
            for form, label in (('csv', 'Rows as CSV'), ('parquet', 'Rows as Parquet')):
                tag('a', label, 'mi', href=f'{self.api}/rows.{form}', role='menuitem')
        button('Forecast', kind='pri', icon_name='chart-spline', href=f'/forecasts/new?dataset={self.data.id}')
        self._more()

    def _more(self) -> None:
        """What is needed less often: another name, and taking the dataset away."""

        async def rename() -> None:
            await self.services.datasets.rename(current().user.id, self.data.id, name.value or '')
            dialog.close()

        async def delete() -> None:
            await self.services.datasets.delete(current().user.id, self.data.id)
            ui.navigate.to(f'/datasets?deleted={self.data.id}')

        with ui.dialog() as dialog, ui.card(), tag('div', classes='vs body form'):
            tag('h2', 'Rename dataset')
            with field('Name'):
                name = ui.input(value=self.data.name).props('maxlength=255')
            with tag('div', classes='hs'):
                button('Rename', kind='pri', on_click=rename)
                button('Cancel', on_click=dialog.close)
        icon_button('ellipsis', 'More', popovertarget='more')
        with tag('div', classes='menu', id='more', popover='auto', role='menu', aria_label='More'):
            for label, symbol, act in (('Rename', 'pencil', dialog.open), ('Delete', 'trash-2', delete)):
                with tag('button', classes='mi', type='button', role='menuitem').on('click', act):
                    icon(symbol)
                    tag('span', label)

    def _newer(self) -> None:
        """Say what becomes of a correction that is under way or has failed."""
        if self.job is None or self.job.state == JobState.SUCCEEDED:
            return
        if not self.job.state.final:
            with tag('div', classes='note', role='status'):
                icon('loader-circle')
                self.note = tag('span', _making(self.job.message, self.job.progress), 'grow')
                cancel_button(self.services, self.job)
        elif self.job.state == JobState.FAILED and self.job.error:
            with tag('div', classes='note bad', role='alert'):
                icon('circle-alert')
                tag('span', f'The last change was not kept: {self.job.error["message"]}')

    # overview

    def _overview(self) -> None:
        if notes := self.manifest['source']['notes']:
            with tag('div', classes='note', role='note'):
                icon('info')
                tag('span', ' '.join(notes))
        self._chart()
        with tag('div', classes='g12 prof-row', tabindex='0', role='group', aria_label='Column profiles'):
            for place, column in enumerate(c for c in self.manifest['columns'] if c['role'] == 'measure'):
                self._measure_card(column, COLOURS[place % len(COLOURS)])
            self._time_card()
        self._faults_card(short=True)

    def _chart(self) -> None:
        if not self.manifest['measures']:
            with card():
                empty_state('No measure to draw', 'Make a numeric column a measure on the Columns tab.')
            return
        with tag('section', classes='card'):
            series_chart(
                f'{self.api}/series',
                measures=self.manifest['measures'],
                chosen=self.measures,
                series=self.series,
                labels=self.labels,
                name=self.data.name,
            )

    def _measure_card(self, column: Mapping[str, Any], colour: str) -> None:
        rows = max(1, self.version.rows)
        with tag('section', classes='card prof c3'):
            with tag('div', classes='hs'):
                tag('span', column['name'], 'mono w6 cut', title=column['name'])
                badge(column['type'])
                tag('span', f'{formats.percent(column["missing"] / rows, 2)} missing', 't12 t3').style(
                    'margin-left:auto; white-space:nowrap'
                )
            if any(value is not None for value in column.get('sparkline') or ()):
                spark(column['sparkline'], height=32, colour=colour)
            elif column.get('histogram'):
                bars(column['histogram']['counts'], colour=colour)
            _figures({name: formats.number(column.get(name)) for name in ('min', 'median', 'p99', 'max')})

    def _time_card(self) -> None:
        span = self.manifest['time']
        with tag('section', classes='card prof c3'):
            with tag('div', classes='hs'):
                tag('span', span['column'], 'mono w6 cut', title=span['column'])
                badge('time')
                tag('span', formats.counted(span['duplicates'], 'duplicate'), 't12 t3').style('margin-left:auto')
            _figures(
                {
                    'step': formats.length(span['step_seconds']),
                    'zone': span['zone'],
                    'gaps': count(span['gaps']),
                    'longest': formats.length(span['longest_gap_seconds']),
                }
            )

    # faults

    def _faults(self) -> None:
        self._faults_card(short=False)
        self._pager('faults')

    def _faults_card(self, *, short: bool) -> None:
        total = self.manifest['faults_total']

        def actions() -> None:
            if total:
                button('CSV', kind='ghost small', icon_name='download', href=f'{self.api}/faults.csv')
            if short and total > 5:
                button(f'All {total:,}', kind='ghost small', href=self._tab('faults'))

        with card(rule=True) as box:
            with tag('header', classes='rule'):
                tag('h2', 'Faults')
                self._reconciliation()
                with tag('div', classes='acts'):
                    actions()
            if self.page and self.page.total:
                _fault_table(self.page)
            elif self.away:
                out_of_reach(self.away, kept=KEPT)
            else:
                with tag('p', 'Every record was stored as it was read.', 't2').style('padding: 12px 16px'):
                    pass
        box.props['aria-label'] = 'Faults'

    def _reconciliation(self) -> None:
        read, accepted = self.manifest['rows_read'], self.manifest['rows_accepted']
        repaired, rejected = self.manifest['rows_repaired'], self.manifest['rows_rejected']
        counted = {'read': read, 'accepted': accepted, 'repaired': repaired, 'rejected': rejected}
        with tag('span', classes='t12 t3 recon', **{f'data_{name}': number for name, number in counted.items()}):
            for value, word, colour in (
                (read, ' read = ', ''),
                (accepted, ' accepted + ', ''),
                (repaired, ' repaired + ', 'amber' if repaired else ''),
                (rejected, ' rejected', 'red' if rejected else ''),
            ):
                tag('b', count(value), colour)
                tag('span', word)

    # rows

    def _rows(self) -> None:
        if self.page is None:
            with card():
                out_of_reach(self.away, kept=KEPT)
            return
        shown = [(place, name) for place, name in enumerate(self.page.columns) if name not in ('_series', '_time')]
        kinds = {column['name']: column['type'] for column in self.manifest['columns']}
        columns = [
            Column[Any](
                label='Line' if name == '_line' else name,
                cell=lambda row, place=place: _cell(row[place]),
                num=name == '_line' or kinds.get(name) in ('integer', 'decimal', 'double'),
                classes='mono' if name == '_line' else '',
            )
            for place, name in shown
        ]
        with tag('section', classes='card'):
            table(columns, self.page.rows, classes='tight', label='Rows', height=640)
        self._pager('rows')

    def _pager(self, tab: str) -> None:
        if self.page is None or self.page.total <= ROWS:
            return
        first = self.page.offset + 1
        last = min(self.page.offset + ROWS, self.page.total)
        with tag('nav', classes='hs', aria_label='Pages'):
            tag('span', f'{first:,} to {last:,} of {self.page.total:,}', 't12 t3')
            if self.number > 1:
                button('Back', kind='small', icon_name='chevron-left', href=self._tab(tab, page=self.number - 1))
            if last < self.page.total:
                button('Next', kind='small', icon_name='chevron-right', href=self._tab(tab, page=self.number + 1))

    # columns

    def _columns(self) -> None:
        roles = {column['name']: column['role'] for column in self.manifest['columns']}
        choices: dict[str, str] = {}
        reading: dict[str, str] = {'time_zone': self.manifest['time']['zone'], 'dates': GUESS, 'decimal': GUESS}

        async def apply() -> None:
            options: dict[str, Any] = {'time_zone': reading['time_zone'], 'roles': roles | choices}
            if reading['dates'] != GUESS:
                options['day_first'] = reading['dates'] == 'day first'
            if reading['decimal'] != GUESS:
                options['decimal'] = reading['decimal']
            await self.services.datasets.correct(current().user.id, self.data.id, options)
            toast('A new version is being made', 'The version you see stays until it is ready.', level='info')

        def choose(name: str) -> Element:
            select = ui.select(list(ROLES), value=roles[name], on_change=lambda e: choices.update({name: e.value}))
            select.props['aria-label'] = f'Role of column {list(roles).index(name) + 1}'
            return select.classes('role-select')

        with card('Columns', 'What each is for; a change makes a new version'):
            table(
                [
                    Column[Any](label='Column', cell=lambda c: c['name'], classes='mono', width='26%'),
                    Column[Any](label='Type', cell=lambda c: badge(c['type']) and None, width='12%', phone=False),
                    Column[Any](label='Role', cell=lambda c: choose(c['name']) and None, width='18%'),
                    Column[Any](label='Why', cell=lambda c: c.get('reason', ''), classes='t2 sub full'),
                    Column[Any](label='Missing', cell=lambda c: count(c['missing']), num=True, phone=False),
                ],
                self.manifest['columns'],
                label='Columns',
            )
            with tag('div', classes='hs body form-row'):
                zone = self.manifest['time']['zone']
                with field('Zone of stamps that name none'):
                    zones = list(dict.fromkeys([zone, *ZONES]))
                    ui.select(zones, value=zone, with_input=True).bind_value_to(reading, 'time_zone').props(
                        'aria-label="Zone of stamps that name none"'
                    )
                with field('Dates such as 03/04/2025'):
                    ui.select([GUESS, 'day first', 'month first'], value=GUESS).bind_value_to(reading, 'dates')
                with field('Decimal mark'):
                    ui.select([GUESS, '.', ','], value=GUESS).bind_value_to(reading, 'decimal')
                with tag('div', classes='hs spend'):
                    place = tag('div')
                    make = button('Make a new version', kind='pri', on_click=apply)
                if self.cost is not None:
                    with place:
                        quote, balance = self.cost
                        price = Price(balance, quote)
                    price.guard(make)
                    price.follow(self.services, self.session)
        self._source()

    def _source(self) -> None:
        source = self.manifest['source']
        dialect = source.get('dialect') or {}
        rows = {
            'File': f'{source["name"]}, {source["format"]}'
            + (f', {source["compression"]}' if source.get('compression') else ''),
            'Encoding': source.get('encoding') or 'none',
            'Delimiter': repr(dialect['delimiter']) if dialect.get('delimiter') else 'none',
            'Header': f'line {source["header_line"]}' if source.get('header_line') else 'none',
            'Notes': ' '.join(source.get('notes') or ()) or 'none',
        }
        with card('How the file was read'), tag('dl', classes='facts body'):
            for name, value in rows.items():
                tag('dt', name)
                tag('dd', value)

    # versions

    def _versions(self) -> None:
        async def restore(number: int) -> None:
            before = self.data.version
            await self.services.datasets.restore(current().user.id, self.data.id, number)
            toast(f'Version {number} is shown', f'Version {before} is kept and can be shown again.')

        def act(version: Version) -> None:
            if version.number == self.data.version:
                badge('shown', 'ok')
            else:
                button('Show this one', kind='small', icon_name='undo-2', on_click=lambda: restore(version.number))

        zone = Upload(
            dataset=str(self.data.id),
            direct=bool(self.services.datasets.origins),
            quote=self.services.hours.quote_convert,
        )

        def more() -> None:
            button('Upload the next one', kind='small', icon_name='upload', on_click=zone.choose)

        with card('Versions', 'Each upload or correction makes one; none is ever changed', actions=more):
            table(
                [
                    Column[Version](label='Version', cell=lambda v: f'v{v.number}', width='14%'),
                    Column[Version](label='Rows', cell=lambda v: count(v.rows), num=True, width='16%'),
                    Column[Version](
                        label='Faults', cell=lambda v: count(v.manifest['faults_total']), num=True, phone=False
                    ),
                    Column[Version](
                        label='From', cell=lambda v: v.manifest['source']['name'], classes='pad-l t2', phone=False
                    ),
                    Column[Version](label='Made', cell=lambda v: when(v.created_at) and None, num=True),
                    Column[Version](label='', cell=act, num=True),
                ],
                self.versions,
                label='Versions',
            )


def _making(message: str, progress: float) -> str:
    return f'A new version is being made. {message} {100 * progress:.0f}%'


def _figures(values: Mapping[str, str]) -> None:
    with tag('dl'):
        for name, value in values.items():
            with tag('div'):
                tag('dt', name)
                tag('dd', value)


def _fault_table(page: Page) -> None:
    rows = [dict(zip(page.columns, row, strict=True)) for row in page.rows]

    def outcome(row: Mapping[str, Any]) -> None:
        badge(row['action'], 'bad' if row['action'] == 'rejected' else 'warn')

    table(
        [
            Column[Any](label='Line', cell=lambda r: count(r['line']), num=True, width='12%', classes='mono ln'),
            Column[Any](label='Column', cell=lambda r: r['column'] or 'record', width='14%', classes='mono pad-l'),
            Column[Any](label='Value', cell=lambda r: f'"{(r["value"] or "")[:80]}"', width='24%', classes='mono'),
            Column[Any](label='Outcome', cell=outcome, width='14%'),
            Column[Any](label='Reason', cell=lambda r: r['reason'], classes='t2 sub full'),
        ],
        rows,
        classes='tight cards',
        label='Faults',
    )


def _cell(value: Any) -> str:
    if value is None:
        return ''
    return str(value)
