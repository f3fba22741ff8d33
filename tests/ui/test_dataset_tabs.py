"""The tabs of a dataset's page, as their user meets them: a reading overruled, faults by group, versions compared."""

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html import escape, unescape
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from nicegui.testing import user_simulation

from core.analysis import recipes, tables
from core.analysis.ingest import Options, convert
from core.analysis.versions import Difference, Stored, difference, points
from core.datasets import Origin
from core.errors import NotFound
from core.orders import Order
from core.settings import Settings
from core.values import Dataset, Job, JobState, Quote, Session, Version
from tests.ui import doubles
from tests.ui.site import until
from tests.ui.test_forecast_pages import Desk, History
from ui.app import mount
from ui.components import formats
from ui.components.chart import SeriesPanel
from ui.components.upload import Upload
from ui.pages.datasets import has_columns
from ui.session import COOKIE

EVIL = '<img src=x onerror=alert(1)>'
HEAD = f'when;site;temp;{EVIL};said'
FIRST = [f'2024-01-{day:02};Oslo;{day},5;{day};{EVIL}' for day in range(1, 29)]
DIRTY = [f'2024-01-29;Oslo;broken{EVIL};1;', '2024-01-30;Oslo; 4,5;2;', 'never;Oslo;1,0;3;']
LATER = [*FIRST[:10], *[row.replace(',5;', ',7;') for row in FIRST[10:]], '2024-02-01;Oslo;9,5;1;']


def made(folder: Path, name: str, rows: Sequence[str]) -> dict[str, Any]:
    """The manifest of a converted file, whose parts are in `folder`."""
    path = folder / name
    path.write_text('\n'.join([HEAD, *rows]) + '\n')
    (folder / 'out').mkdir()
    return convert(path, name=name, into=folder / 'out', options=Options(), progress=lambda part, text: None).to_json()


@dataclass
class Kept(doubles.Datasets):
    """Versions of one dataset in folders; `ordered` holds what corrections were asked for."""

    folders: Sequence[Path]
    manifests: Sequence[Mapping[str, Any]]

    def __post_init__(self) -> None:
        super().__init__()
        self.ordered: list[Mapping[str, Any]] = []
        self.all: list[Version] = []

    def open(self, owner: UUID) -> Dataset:
        data = self.add(owner, 'weather', 30)
        self.all = [
            Version(
                id=uuid4(), dataset_id=data.id, user_id=owner, number=place + 1, prefix=str(folder / 'out'),
                manifest=manifest, rows=manifest['rows_read'] - manifest['rows_rejected'], upload_id=uuid4(),
                created_at=datetime.now(UTC),
            )
            for place, (folder, manifest) in enumerate(zip(self.folders, self.manifests, strict=True))
        ]  # fmt: skip
        self.kept = [replace(data, version=len(self.all))]
        return self.kept[0]

    async def get(self, user_id: UUID, dataset_id: UUID) -> Dataset:
        return self.kept[0]

    async def version(self, user_id: UUID, dataset_id: UUID, number: int | None = None) -> Version:
        return self.all[(number or len(self.all)) - 1]

    async def versions(self, user_id: UUID, dataset_id: UUID) -> Sequence[Version]:
        return self.all[::-1]

    async def orders(self, user_id: UUID, dataset_id: UUID) -> Mapping[int, Order]:
        told = {'off': ['padding'], 'reading': {'delimiter': ';'}}
        return {1: Order(options=told, onto=None), 2: Order(options={}, onto=1)}

    async def quote(self, user_id: UUID, dataset_id: UUID) -> Quote:
        return Quote(task='convert', seconds=10, basis='one row')

    async def correct(
        self, user_id: UUID, dataset_id: UUID, options: Mapping[str, Any], *, job_id: UUID | None = None
    ) -> None:
        self.ordered.append(dict(options) | ({'job': job_id} if job_id else {}))

    async def faults(
        self, user_id: UUID, version: Version, *, where: Mapping[str, str | None] | None = None, **page: int
    ) -> tables.Page:
        return tables.page([Path(version.prefix) / 'faults.parquet'], order=('line', 'column'), where=where, **page)

    async def fault_groups(self, user_id: UUID, version: Version) -> Sequence[tables.Group]:
        return tables.fault_groups(Path(version.prefix) / 'faults.parquet')

    async def faults_at(self, user_id: UUID, version: Version, lines: Sequence[int]) -> tables.Page:
        return tables.at_lines(Path(version.prefix) / 'faults.parquet', lines)

    async def restore(self, user_id: UUID, dataset_id: UUID, number: int) -> None:
        self.kept[0] = replace(self.kept[0], version=number)

    async def preview(self, user_id: UUID, version: Version, **page: int) -> tables.Page:
        return tables.page([Path(part) for part in version.parts], **page)

    async def diff(self, user_id: UUID, before: Version, after: Version, *, limit: int) -> Difference:
        stored = [Stored(parts=[Path(part) for part in version.parts]) for version in (before, after)]
        return difference(*stored, limit=limit)

    async def provenance(self, user_id: UUID, version: Version, *, series: str, time: datetime) -> Sequence[Origin]:
        found = points(Stored(parts=[Path(part) for part in version.parts]), series=series, time=time)
        if not found:
            raise NotFound('There is no such row.')
        faults = Path(version.prefix) / 'faults.parquet'
        return [
            Origin(line=p.line, source='a.csv', number=1, cells=p.cells, faults=tables.at_lines(faults, [p.line or 0]))
            for p in found
        ]

    async def try_recipe(
        self, user_id: UUID, version: Version, steps: Sequence[Mapping[str, Any]], *, series: str, limit: int
    ) -> recipes.Preview:
        fields = recipes.fields_of(version.manifest)
        recipes.check(steps, fields)
        parts = [Path(part) for part in version.parts]
        return recipes.preview(parts, fields, steps, zone='UTC', series=series, limit=limit)


class Jobs:
    def __init__(self) -> None:
        self.job: Job | None = None

    async def last(self, user_id: UUID, dataset_id: UUID, kind: str) -> Job | None:
        return self.job


class Demo:
    async def saw_faults(self, user_id: UUID, dataset_id: UUID) -> None:
        return


class Tabs(Desk):
    """A dataset of two versions."""

    async def open(self, **query: str) -> None:
        await self.user.open(
            f'/datasets/{self.dataset}?' + '&'.join(f'{name}={value}' for name, value in query.items())
        )
        await self.user.should_see('weather')

    async def say(self, part: str) -> None:
        """Wait until a text is on the page."""
        await until(lambda: any(part in text for text in self.texts()))


@pytest.fixture(scope='module')
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[dict[str, Any]]]:
    folders = [tmp_path_factory.mktemp(name) for name in ('one', 'two')]
    return folders, [made(folders[0], 'a.csv', [*FIRST, *DIRTY]), made(folders[1], 'b.csv', LATER)]


@pytest.fixture
async def desk(converted: tuple[list[Path], list[dict[str, Any]]]) -> AsyncIterator[Tabs]:
    async with user_simulation() as user:
        services: Any = doubles.Services(Settings(VARIOSYNC_PUBLIC_URL='http://test'))
        services.datasets, services.jobs, services.demo = Kept(*converted), Jobs(), Demo()
        token, session = services.accounts.open('maria.keller@example.com')
        data = services.datasets.open(session.user.id)
        mount(services)
        user.http_client.cookies.set(COOKIE, token)
        desk = Tabs(user, services, session, data.id)
        user.navigate.history = History(desk.addresses)  # type: ignore[assignment]
        yield desk


async def test_each_choice_of_the_reader_is_told_and_can_be_overruled(desk: Tabs) -> None:
    await desk.open(tab='columns', v='1')
    assert any(text.startswith('semicolon') and 'sure' in text for text in desk.texts())
    assert desk.field('Delimiter').value == ';'
    assert desk.button('Padding').props['aria-pressed'] == 'false'
    assert desk.button('Units').props['aria-pressed'] == 'true'

    desk.press('Make a new version')
    await until(lambda: desk.wrong('reading'))
    assert desk.services.datasets.ordered == []

    desk.field('Delimiter').value = 'own'
    desk.field('Delimiter, as it is written').value = '::'
    desk.field('Start of comments').value = '#'
    desk.field('Lines above the table').value = 2
    desk.field('Of records of one series and time, store').value = 'mean'
    desk.press('Padding')
    desk.press('Units')
    desk.press('Make a new version')
    await until(lambda: desk.services.datasets.ordered)
    assert desk.services.datasets.ordered == [
        {'reading': {'delimiter': '::', 'comment': '#', 'skip': 2}, 'off': ['unit'], 'duplicates': 'mean', 'roles': {}}
    ]


async def test_a_role_that_changes_keeps_the_others(desk: Tabs) -> None:
    await desk.open(tab='columns')
    desk.field('Role of column 4').value = 'attribute'
    desk.press('Make a new version')
    await until(lambda: desk.services.datasets.ordered)
    roles = {'when': 'time', 'site': 'series', 'temp': 'measure', EVIL: 'attribute', 'said': 'attribute'}
    assert desk.services.datasets.ordered == [{'roles': roles}]


async def test_a_group_of_faults_is_seen_alone(desk: Tabs) -> None:
    await desk.open(tab='faults', v='1')
    (group,) = desk.hrefs('Not a number')
    assert group.endswith('?tab=faults&v=1&kind=not_a_number&column=temp&action=emptied')
    assert '"never"' in desk.texts()
    await desk.user.open(group)
    await desk.say('1 of 3')
    lines = [
        e.text for e in desk.elements if e.tag == 'span' and e.parent_slot.parent.props.get('data-label') == 'Line'
    ]
    assert lines == ['30']
    (export,) = desk.hrefs('CSV of these')
    assert export.endswith('/versions/1/faults.csv?kind=not_a_number&column=temp&action=emptied')
    assert desk.run_by_the_browser() == []


async def test_versions_are_compared_and_tell_what_made_them(desk: Tabs) -> None:
    await desk.open(tab='versions')
    assert {'an upload', 'an upload, added to v1'} <= set(desk.texts())
    assert desk.hrefs('Compare') == [f'/datasets/{desk.dataset}?tab=versions&before=1&after=2']
    await desk.open(tab='versions', before='1', after='2')
    figures = {e.text for e in desk.elements if 'metric' in e.classes}
    assert figures == {'1', '18', '2', '10'}
    assert any('temp 11.5 → 11.7' in text for text in desk.texts())


async def test_the_next_file_joins_as_it_is_said(desk: Tabs) -> None:
    await desk.open(tab='versions')
    (zone,) = [e for e in desk.elements if isinstance(e, Upload)]
    assert zone.props['how'] == 'append'
    desk.press('Replace the rows')
    desk.field('Dates such as 03/04/2025').value = 'day'
    assert (zone.props['how'], zone.props['choices']) == ('replace', {'day_first': True})


async def test_a_point_and_a_row_tell_their_line_and_its_faults(desk: Tabs) -> None:
    await desk.open(tab='rows', v='1')
    (body,) = [e.props['innerHTML'] for e in desk.elements if e.tag == 'tbody']
    (told,) = re.findall(r'data-raw="([^"]*broken[^"]*)"', body)
    assert unescape(told) == f'emptied from "broken{EVIL}" (not a number)'
    (row,) = re.findall(r'<a class="whole" href="([^"]*)">30</a>', body)
    assert body.count(f'>{escape(EVIL)}<') == len(FIRST), 'what a cell says is text'
    assert '<img' not in body
    await desk.user.open(unescape(row))
    await desk.say('1 fault on this line')
    assert 'In the file' in desk.texts()
    assert f'"broken{EVIL}"' in desk.texts()

    await desk.open(tab='overview', v='1')
    (chart,) = [e for e in desk.elements if isinstance(e, SeriesPanel)]
    at = datetime(2024, 1, 5, tzinfo=UTC).timestamp() * 1000
    tell = next(one for one in chart._event_listeners.values() if one.type == 'point')
    chart._handle_event({'listener_id': tell.id, 'args': {'t': at, 'series': 'Oslo', 'measure': 'temp'}})
    await desk.say('Stored as it stands in the file.')
    assert (chart.props['known']['version'], chart.props['faulty']) == (1, True)


async def test_what_rows_there_are_and_what_is_not_among_them(desk: Tabs) -> None:
    await desk.open(tab='rows', v='1')
    assert desk.hrefs('1 record not stored') == [f'/datasets/{desk.dataset}?tab=faults&v=1&action=rejected']
    await desk.say('3 faults')


async def test_a_filter_of_faults_is_an_address(desk: Tabs) -> None:
    await desk.open(tab='faults', v='1')
    assert desk.field('Outcome').options == {
        '': 'All outcomes', 'emptied': 'emptied (1)', 'repaired': 'repaired (1)', 'rejected': 'rejected (1)'
    }  # fmt: skip
    desk.field('Outcome').value = 'rejected'
    await desk.say('1 of 3')
    assert desk.field('Outcome').value == 'rejected'


async def test_a_line_of_the_file_has_its_faults_alone(desk: Tabs) -> None:
    await desk.open(tab='faults', v='1', line='31')
    await desk.say('1 of 3, line 31')
    (export,) = desk.hrefs('CSV of these')
    assert export.endswith('/versions/1/faults.csv?first_line=31&last_line=31')


async def test_a_line_of_a_file_that_is_gone_is_not_looked_for_in_another_one(desk: Tabs) -> None:
    await desk.open(tab='faults', v='2', line='31', origin='gone')
    await desk.say('This file is no longer kept')
    assert any(text.startswith('Line 31 is of a file whose version is gone.') for text in desk.texts())
    assert not any(e.props.get('aria-label') == 'Faults' for e in desk.elements)
    await desk.open(tab='faults', v='1', line='31')
    assert 'This file is no longer kept' not in desk.texts()


async def test_an_earlier_version_says_so_and_is_shown_again(desk: Tabs) -> None:
    await desk.open(v='1')
    await desk.say('You look at v1.')
    desk.press('Show v1')
    await until(lambda: desk.services.datasets.kept[0].version == 1)


def test_a_span_within_a_day_tells_its_hours() -> None:
    assert formats.span('2024-01-01T00:00:00', '2024-01-01T23:00:00') == '1 Jan 2024, 00:00 to 23:00'
    assert formats.span('2024-01-01T00:00:00', '2024-01-02T00:00:00') == '1 Jan 2024 to 2 Jan 2024'
    assert formats.span('2024-01-01T06:00:00', '2024-01-01T06:00:00') == '1 Jan 2024, 06:00'


@pytest.mark.parametrize(
    ('text', 'fits'),
    [
        (f'# report\nqty\n{HEAD}\n1;2;3;4\n', True),
        (f'\ufeff"Temp";"said";"site";"when";"{EVIL}"\n', True),
        (f'{HEAD};more\n', False),
        ('when;site;temp\n', False),
        ('', False),
    ],
)
def test_a_file_with_the_columns_of_a_dataset_is_known_by_its_header(
    converted: tuple[list[Path], list[dict[str, Any]]], text: str, fits: bool
) -> None:
    assert has_columns(text, converted[1][0]) is fits


async def test_a_step_is_added_tried_and_kept_in_the_address(desk: Tabs) -> None:
    await desk.open(tab='recipe')
    desk.press('Clip outliers')
    await desk.say('Clip outliers')
    await until(lambda: desk.addresses)
    assert json.loads(desk.query['recipe'][0]) == [{'do': 'clip', 'how': 'iqr', 'k': 3.0}]
    await desk.say('1. Clip outliers')
    await until(lambda: any(e.props.get('aria-label') == 'What each step does to Oslo' for e in desk.elements))
    assert desk.run_by_the_browser() == []

    await desk.user.open(desk.addresses[-1])
    await desk.say('1. Clip outliers')
    desk.press('Make a new version')
    await until(lambda: desk.services.datasets.ordered)
    assert desk.services.datasets.ordered == [{'recipe': [{'do': 'clip', 'how': 'iqr', 'k': 3.0}]}]


@pytest.mark.parametrize(
    ('code', 'press', 'options'),
    [
        ('ambiguous_dates', 'Month comes first', {'day_first': False}),
        ('no_time_column', 'Convert it so', {'reading': {'delimiter': '|'}}),
    ],
)
async def test_a_conversion_that_failed_leads_to_an_answer(
    desk: Tabs, code: str, press: str, options: dict[str, Any]
) -> None:
    datasets = desk.services.datasets
    datasets.kept = [replace(datasets.kept[0], version=None)]
    desk.services.jobs.job = failed_job(desk.session, datasets.kept[0], code)
    await desk.open()
    desk.field('Delimiter').value = '|'
    desk.press(press)
    await until(lambda: datasets.ordered)
    assert datasets.ordered == [options]


async def test_a_running_conversion_tells_its_pace_and_the_time_left_once(desk: Tabs) -> None:
    datasets = desk.services.datasets
    datasets.kept = [replace(datasets.kept[0], version=None)]
    job = failed_job(desk.session, datasets.kept[0], '')
    begun = datetime.now(UTC) - timedelta(seconds=60)
    pace = 'Reading, 12,000 rows/s, 4 s left'
    desk.services.jobs.job = replace(job, state=JobState.RUNNING, message=pace, started_at=begun, finished_at=None)
    await desk.open()
    await desk.say(pace)
    assert [text for text in desk.texts() if text.endswith('left')] == [pace]
    assert desk.button('Cancel Convert')

    desk.services.jobs.job = replace(desk.services.jobs.job, message='Reading')
    await desk.open()
    await desk.say('left')


async def test_a_further_file_with_dates_that_are_not_clear_is_answered_where_it_is_told(desk: Tabs) -> None:
    datasets = desk.services.datasets
    desk.services.jobs.job = job = failed_job(desk.session, datasets.kept[0], 'ambiguous_dates')
    await desk.open()
    desk.press('Month comes first')
    await until(lambda: datasets.ordered)
    assert datasets.ordered == [{'day_first': False, 'job': job.id}]


async def test_columns_are_offered_after_a_conversion_that_failed(desk: Tabs) -> None:
    datasets = desk.services.datasets
    datasets.kept = [replace(datasets.kept[0], version=None)]
    job = failed_job(desk.session, datasets.kept[0], 'no_time_column')
    columns = [{'name': name, 'examples': [f'{name} 1']} for name in ('period', 'shop', 'sales')]
    desk.services.jobs.job = replace(job, error={**(job.error or {}), 'details': {'columns': columns}})
    await desk.open()
    assert desk.field('Column of the time').options == ['period', 'shop', 'sales']
    assert '"shop 1"' in desk.texts()
    desk.field('Column of the time').value = 'period'
    desk.field('Role of column 2').value = 'series'
    desk.press('Read it as time')
    await until(lambda: datasets.ordered)
    assert datasets.ordered == [{'roles': {'shop': 'series', 'period': 'time'}}]


def failed_job(session: Session, data: Dataset, code: str) -> Job:
    """A conversion that ended without a version."""
    now = datetime.now(UTC)
    return Job(
        id=uuid4(), user_id=session.user.id, kind='convert', title='Convert', state=JobState.FAILED, payload={},
        progress=0.4, message='', attempt=1, max_attempts=3, error={'code': code, 'message': 'It is not clear.'},
        cancel_requested=False, dataset_id=data.id, forecast_id=None, created_at=now, started_at=now, finished_at=now,
    )  # fmt: skip
