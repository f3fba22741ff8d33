"""The tabs of a dataset's page, as their user meets them: a reading overruled, faults by group, versions compared."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html import escape, unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from uuid import UUID, uuid4

import pytest
from nicegui import Client
from nicegui.testing import UserInteraction, user_simulation

from core.analysis import recipes, tables
from core.analysis.ingest import Options, convert
from core.analysis.versions import Difference, Stored, difference, points
from core.datasets import Origin
from core.errors import NotFound, UsageError
from core.orders import Order
from core.settings import Settings
from core.uploads import Twin
from core.values import Actor, Dataset, Job, JobState, Quote, Session, Version, VersionSummary
from tests.ui import doubles
from tests.ui.doubles import summary
from tests.ui.site import until
from tests.ui.test_forecast_pages import Desk, History
from ui.app import mount
from ui.components import formats
from ui.components.chart import SeriesPanel
from ui.components.terms import says
from ui.components.upload import Upload
from ui.pages.dataset.failed import AS_FOUND, why
from ui.pages.dataset.overview_tab import MOST_CARDS, missing
from ui.pages.dataset.recipe_preview import _both, _width
from ui.pages.dataset.recipe_steps import in_the_form
from ui.pages.dataset.recipe_tab import RecipeTab
from ui.pages.dataset.rows_tab import grouped
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


class Uploads(doubles.Uploads):
    """`ordered` holds what corrections were asked for, `versions` of which version each."""

    def __init__(self) -> None:
        self.versions: list[int | None] = []
        self.ordered: list[Mapping[str, Any]] = []
        self.same: Twin | None = None

    async def twin(self, user_id: UUID, *, dataset_id: UUID) -> Twin | None:
        return self.same

    async def quote(self, user_id: UUID, dataset_id: UUID, *, version: int | None = None) -> Quote:
        return Quote(task='convert', seconds=10, basis='one row')

    async def correct(
        self,
        user_id: UUID,
        dataset_id: UUID,
        options: Mapping[str, Any],
        *,
        job_id: UUID | None = None,
        version: int | None = None,
        by: Actor,
    ) -> None:
        self.versions.append(version)
        self.ordered.append(dict(options) | ({'job': job_id} if job_id else {}))


@dataclass
class Kept(doubles.Datasets):
    """Versions of one dataset in folders."""

    folders: Sequence[Path]
    manifests: Sequence[Mapping[str, Any]]

    def __post_init__(self) -> None:
        super().__init__()
        self.all: list[Version] = []
        self.dismissed: list[str] = []
        self.most = 50

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

    async def versions(self, user_id: UUID, dataset_id: UUID, *, before: int | None = None) -> Sequence[VersionSummary]:
        listed = [summary(one, reads=self.reads(one)) for one in self.all[::-1] if one.number < (before or 10**6)]
        return listed[: self.most]

    def reads(self, version: Version) -> int | None:
        """The last version before this one that read the same upload."""
        same = [one.number for one in self.all if one.upload_id == version.upload_id and one.number < version.number]
        return max(same, default=None)

    async def made_by(self, user_id: UUID, dataset_id: UUID, origins: Sequence[str]) -> Mapping[str, tuple[int, str]]:
        made = {one.prefix.rpartition('/')[2]: (one.number, one.prefix) for one in self.all}
        return {origin: made[origin] for origin in origins if origin in made}

    async def first_told(self, user_id: UUID, version: Version) -> int | None:
        notes = version.manifest['source']['notes']
        same = [
            one.number
            for one in self.all
            if one.upload_id == version.upload_id and one.manifest['source']['notes'] == notes
        ]
        return first if (first := min(same)) < version.number else None

    async def orders(self, user_id: UUID, dataset_id: UUID, numbers: Collection[int]) -> Mapping[int, Order]:
        told = {'off': ['padding'], 'reading': {'delimiter': ';'}}
        return {1: Order(options=told, onto=None), 2: Order(options={}, onto=1)}

    async def faults(
        self, user_id: UUID, version: Version, *, where: Mapping[str, str | None] | None = None, **page: int
    ) -> tables.Page:
        return tables.page([Path(version.prefix) / 'faults.parquet'], order=('line', 'column'), where=where, **page)

    async def fault_groups(self, user_id: UUID, version: Version) -> Sequence[tables.Group]:
        return tables.fault_groups(Path(version.prefix) / 'faults.parquet')

    async def faults_at(self, user_id: UUID, version: Version, lines: Sequence[int]) -> tables.Page:
        return tables.at_lines(Path(version.prefix) / 'faults.parquet', lines)

    async def restore(self, user_id: UUID, dataset_id: UUID, number: int, *, by: Actor) -> None:
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

    async def dismissed_hints(self, user_id: UUID, dataset_id: UUID) -> Sequence[str]:
        return tuple(self.dismissed)

    async def dismiss_hint(self, user_id: UUID, dataset_id: UUID, key: str, *, dismissed: bool = True) -> Sequence[str]:
        self.dismissed = [one for one in self.dismissed if one != key] + [key] * dismissed
        return tuple(self.dismissed)

    async def spellings(self, user_id: UUID, version: Version, column: str) -> Mapping[str, int]:
        return tables.values([Path(part) for part in version.parts], column=column, limit=500)


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
        services.uploads = Uploads()
        token, session = services.accounts.open('maria.keller@example.com')
        data = services.datasets.open(session.user.id)
        mount(services)
        user.http_client.cookies.set(COOKIE, token)
        desk = Tabs(user, services, session, data.id)
        user.navigate.history = History(desk.addresses)  # type: ignore[assignment]
        yield desk


async def test_who_uploads_the_same_bytes_again_is_led_to_them(desk: Tabs) -> None:
    there = uuid4()
    desk.services.uploads.same = Twin(dataset_id=there, name='Weather of 2024', version=2)
    await desk.open()
    assert not desk.hrefs('Open it')
    await desk.open(same='1')
    await desk.say('These bytes are already in Weather of 2024 (version 2).')
    assert desk.hrefs('Open it') == [f'/datasets/{there}']


async def test_each_choice_of_the_reader_is_told_and_can_be_overruled(desk: Tabs) -> None:
    await desk.open(tab='columns', v='1')
    assert any(text.startswith('semicolon') and 'sure' in text for text in desk.texts())
    assert desk.field('Delimiter').value == ';'
    assert desk.button('Padding').props['aria-pressed'] == 'false'
    assert desk.button('Units').props['aria-pressed'] == 'true'

    desk.press('Make a new version')
    await until(lambda: desk.wrong('reading'))
    assert desk.services.uploads.ordered == []

    desk.field('Delimiter').value = 'own'
    desk.field('Delimiter, as it is written').value = '::'
    desk.field('Start of comments').value = '#'
    desk.field('Lines above the table').value = 2
    desk.field('Of records of one series and time, store').value = 'mean'
    desk.press('Padding')
    desk.press('Units')
    desk.press('Make a new version')
    await until(lambda: desk.services.uploads.ordered)
    assert desk.services.uploads.ordered == [
        {'reading': {'delimiter': '::', 'comment': '#', 'skip': 2}, 'off': ['unit'], 'duplicates': 'mean', 'roles': {}}
    ]
    assert desk.services.uploads.versions == [1], 'the file of the version that is seen'


async def test_a_role_that_changes_keeps_the_others(desk: Tabs) -> None:
    await desk.open(tab='columns')
    desk.field('Role of column 4').value = 'attribute'
    desk.press('Make a new version')
    await until(lambda: desk.services.uploads.ordered)
    roles = {'when': 'time', 'site': 'series', 'temp': 'measure', EVIL: 'attribute', 'said': 'attribute'}
    assert desk.services.uploads.ordered == [{'roles': roles}]


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


async def test_older_versions_are_a_page_away(desk: Tabs) -> None:
    desk.services.datasets.most = 1
    await desk.open(tab='versions')
    (older,) = desk.hrefs('Older versions')
    assert older == f'/datasets/{desk.dataset}?tab=versions&older=2'
    assert desk.hrefs('Newest') == []
    assert 'Once there are two versions, they can be compared row by row.' not in desk.texts()
    await desk.open(tab='versions', older='2')
    assert desk.hrefs('Newest') == [f'/datasets/{desk.dataset}?tab=versions']
    assert (desk.hrefs('Older versions'), desk.hrefs('Compare')) == ([], [])
    assert {'an upload', 'v1'} <= set(desk.texts())


async def test_the_next_file_joins_as_it_is_said(desk: Tabs) -> None:
    await desk.open(tab='versions')
    (zone,) = [e for e in desk.elements if isinstance(e, Upload)]
    assert zone.props['how'] == 'append'
    desk.press('Replace the rows')
    desk.field('Dates such as 03/04/2025').value = 'day'
    assert (zone.props['how'], zone.props['choices']) == ('replace', {'day_first': True})
    assert desk.query['how'] == ['replace']


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


async def test_a_page_of_many_measures_opens_with_one_that_varies_and_profiles_the_first_of_them(desk: Tabs) -> None:
    versions = desk.services.datasets.all
    manifest = versions[0].manifest
    temp = next(column for column in manifest['columns'] if column['name'] == 'temp')
    wide = [{**temp, 'name': 'lat', 'distinct': 1}, *({**temp, 'name': f's{place}'} for place in range(40))]
    measures = [column['name'] for column in wide]
    versions[0] = replace(versions[0], manifest={**manifest, 'measures': measures, 'columns': wide})
    await desk.open(tab='overview', v='1')
    (chart,) = [e for e in desk.elements if isinstance(e, SeriesPanel)]
    assert chart.props['known']['opening'] == 's0'
    named = {text for text in desk.texts() if text in measures}
    assert named == set(measures[:MOST_CARDS])
    await desk.say(f'{MOST_CARDS} of 41 measures are shown here')


async def test_what_rows_there_are_and_what_is_not_among_them(desk: Tabs) -> None:
    await desk.open(tab='rows', v='1')
    assert desk.hrefs('1 record not stored') == [f'/datasets/{desk.dataset}?tab=faults&v=1&action=rejected']
    await desk.say('3 faults')


async def test_rows_of_several_files_tell_the_file_of_each_line(desk: Tabs) -> None:
    every = desk.services.datasets.all
    sources = [{'name': name, 'bytes': 9, 'rows': 1, 'origin': name, 'faults': 0} for name in ('jan.csv', 'feb.csv')]
    every[1] = replace(every[1], manifest={**every[1].manifest, 'sources': sources})
    columns = ('_series', '_time', '_line', '_source', 'temp')
    at = datetime(2024, 1, 5)
    rows = [('a', at, 2, 0, 1.5), ('a', at, 7, 1, 2.5), ('a', at, None, None, 3.5)]

    async def preview(*_: Any, **__: Any) -> tables.Page:
        return tables.Page(columns=columns, rows=rows, offset=0, total=3)

    desk.services.datasets.preview = preview
    await desk.open(tab='rows')
    (body,) = [e for e in desk.elements if e.tag == 'tbody' and 'innerHTML' in e.props]
    cells = re.findall(r'<td[^>]*>(?:<a[^>]*>)?([^<]*)', body.props['innerHTML'])
    assert [cells[place : place + 3] for place in (0, 3, 6)] == [
        ['2', 'jan.csv', '1.5'], ['7', 'feb.csv', '2.5'], ['made', '', '3.5'],
    ]  # fmt: skip


async def test_a_gap_is_explained_where_gaps_are_counted(desk: Tabs) -> None:
    await desk.open(tab='overview', v='1')
    assert [e.props['data-says'] for e in desk.elements if getattr(e, 'text', '') == 'gaps'] == [says('gap')]


def test_a_preview_shows_every_digit_that_is_stored_and_whole_times() -> None:
    assert _both(Decimal('3.20'), Decimal('3.20')) == '3.20'
    assert _both(Decimal('3.20'), 3.2) == '3.2', 'the same figure'
    assert _both(Decimal('3.20'), Decimal('3.30')) == '3.20 → 3.30'
    assert _both(12274.29, 12274.29) == '12,274.29', 'as it is stored'
    assert _both(0.1, 0.1 + 0.2) == '0.1 → 0.3'
    assert _both(-5813, -5813.31) == '−5,813 → −5,813.31'
    assert _width([date(2024, 1, 31), None]) == 'calc(10ch + 24px)'
    assert _width([datetime(2024, 1, 31, 12)]) == 'calc(16ch + 24px)'
    assert _width(['Amsterdam', 4]) == ''


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


async def test_a_duplicate_leads_to_its_own_line_and_to_the_one_that_is_stored(desk: Tabs, tmp_path: Path) -> None:
    manifest = made(tmp_path, 'c.csv', [*FIRST, f'2024-01-05;Oslo;7,5;5;{EVIL}'])
    every = desk.services.datasets.all
    every[1] = replace(every[1], manifest=manifest, prefix=str(tmp_path / 'out'))
    await desk.open(tab='faults')
    await desk.say('"temp 5.5"')
    assert desk.hrefs('line 6') == [f'/datasets/{desk.dataset}?tab=faults&line=6']
    (kept,) = desk.hrefs('line 30')
    assert kept == f'/datasets/{desk.dataset}?tab=rows&line=30'
    await desk.user.open(kept)
    await desk.say('Line 30')
    (body,) = [e.props['innerHTML'] for e in desk.elements if e.tag == 'tbody']
    assert (body.count('<tr'), '7.5' in body) == (1, True)
    assert desk.hrefs('Show all') == [f'/datasets/{desk.dataset}?tab=rows']
    await desk.open(tab='rows', line='6')
    await desk.say('No row of line 6 is stored')


async def test_a_cell_that_is_read_is_not_told_to_be_rejected_for_its_record_is(desk: Tabs, tmp_path: Path) -> None:
    manifest = made(tmp_path, 'd.csv', [*FIRST[:4], f'2024-01-05;Oslo; 4,5;5;{EVIL}', *FIRST[4:]])
    every = desk.services.datasets.all
    every[1] = replace(every[1], manifest=manifest, prefix=str(tmp_path / 'out'))
    await desk.open(tab='faults')
    await desk.say('blanks around it')
    outcomes = {e.text for e in desk.elements if 'badge' in e.classes and e.text.endswith('rejected')}
    assert outcomes == {'rejected', 'record rejected'}
    reasons = [text for text in desk.texts() if 'blanks around it' in text]
    assert reasons == ['its record is not stored for another reason; blanks around it were taken off']


async def test_a_line_of_a_file_that_is_gone_is_not_looked_for_in_another_one(desk: Tabs) -> None:
    await desk.open(tab='faults', v='2', line='31', origin='gone')
    await desk.say('This file is no longer kept')
    assert any(text.startswith('Line 31 is of a file whose version is gone.') for text in desk.texts())
    assert not any(e.props.get('aria-label') == 'Faults' for e in desk.elements)
    await desk.open(tab='faults', v='1', line='31')
    assert 'This file is no longer kept' not in desk.texts()


async def test_faults_of_earlier_files_are_counted_where_lists_count_them(desk: Tabs) -> None:
    every = desk.services.datasets.all
    told = [{**source, 'rows': 5} for source in [{}, {}]]
    every[1] = replace(every[1], manifest={**every[1].manifest, 'sources': told, 'faults_of_all': 1_166})
    await desk.open(tab='faults')
    own = every[1].manifest['faults_total']
    assert f'{own} of 1,166' in desk.texts()
    (earlier,) = desk.hrefs(f'the earlier file has {1_166 - own:,} more faults, listed at its version')
    assert earlier.endswith('?tab=versions')
    every[1] = replace(every[1], manifest={**every[1].manifest, 'sources': [*told, *told], 'faults_of_all': own})
    await desk.open(tab='faults')
    assert desk.hrefs('the earlier files have no faults')


async def test_emptied_cells_are_counted_beside_the_records(desk: Tabs) -> None:
    await desk.open(tab='faults', v='1')
    assert '; 1 cell emptied' in desk.texts()


def test_a_share_that_is_missing_is_told_as_none_only_when_it_is_none() -> None:
    shares = (0, 0.00001, 0.0066, 0.4066, 0.99999, 1)
    assert (missing(0, lost=1035), missing(0.407, lost=3)) == ('1,035 missing, rejected', '40.7% missing')
    assert [missing(share) for share in shares] == [
        'none missing', '0.01% missing', '0.66% missing', '40.7% missing', '99.99% missing', 'all missing',
    ]  # fmt: skip


def test_numbers_of_rows_keep_every_digit() -> None:
    numbers = (1234567, Decimal('27.00'), -4042.513, 0.1 + 0.2, True)
    assert [grouped(number) for number in numbers] == [
        '1,234,567', '27.00', '\u22124,042.513', '0.30000000000000004', 'True',
    ]  # fmt: skip


@pytest.mark.parametrize('place', [{'v': '1'}, {'tab': 'versions'}])
async def test_an_earlier_version_is_used_again_once_that_is_confirmed(desk: Tabs, place: dict[str, str]) -> None:
    await desk.open(**place)
    said = 'You look at version 1. Version 2 is in use: charts, forecasts and programs read it.'
    assert (said in desk.texts()) is ('v' in place)
    desk.press('Use version 1')
    await desk.say('Use version 1?')
    assert desk.services.datasets.kept[0].version == 2
    desk.press('Use it')
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
    desk.press('Empty outliers')
    await desk.say('Empty outliers')
    await until(lambda: desk.addresses)
    assert json.loads(desk.query['recipe'][0]) == [{'do': 'clip', 'how': 'iqr', 'k': 3.0, 'action': 'empty'}]
    await desk.say('1. Empty outliers')
    await until(lambda: any(e.props.get('aria-label') == 'What each step does to Oslo' for e in desk.elements))
    assert desk.run_by_the_browser() == []

    # Whoever looks at another tab and comes back finds the draft.
    (rows,) = desk.hrefs('Rows')
    await desk.user.open(rows)
    (back,) = desk.hrefs('Recipe')
    await desk.user.open(back)
    await desk.say('1. Empty outliers')
    desk.press('Make a new version')
    await until(lambda: desk.services.uploads.ordered)
    assert desk.services.uploads.ordered == [{'recipe': [{'do': 'clip', 'how': 'iqr', 'k': 3.0, 'action': 'empty'}]}]
    assert desk.services.uploads.versions == [2]


async def test_a_recipe_as_it_is_stored_makes_no_version_and_says_why(desk: Tabs) -> None:
    why = 'A new version takes another step, or a change to one.'
    await desk.open(tab='recipe')
    make = desk.button('Make a new version')
    assert make.props['disabled']
    assert why in desk.texts()
    desk.press('Empty outliers')
    await until(lambda: not make.props['disabled'])
    assert why not in desk.texts()
    desk.press('Remove step')
    await until(lambda: make.props['disabled'])


async def test_what_is_wrong_with_a_step_is_told_at_that_step(desk: Tabs, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(Client, 'run_javascript', lambda self, code, **_: ran.append(code))
    clip = {'do': 'clip', 'how': 'iqr', 'k': 3.0}
    await desk.open(tab='recipe', recipe=quote(json.dumps([clip, {'do': 'filter', 'where': ''}, clip])))
    await until(lambda: any(e.props.get('aria-label') == 'What each step does to Oslo' for e in desk.elements))
    desk.press('Make a new version')
    await until(lambda: desk.wrong('step-2'))
    assert desk.wrong('step-2') == 'Step 2: Fill in "Keep rows where".'
    assert [desk.wrong(name) for name in ('recipe', 'step-1', 'step-3')] == ['', '', '']
    assert any('wrong-step-2' in code for code in ran)

    desk.field('Keep rows where').value = 'temp > 0'
    await until(lambda: not desk.wrong('step-2'))


async def test_the_tried_steps_are_counted_as_the_page_counts_them(desk: Tabs) -> None:
    steps = [{'do': 'filter', 'where': ''}, {'do': 'clip', 'how': 'fixed', 'low': 3, 'high': 2}]
    await desk.open(tab='recipe', recipe=quote(json.dumps(steps)))
    await until(lambda: desk.wrong('step-2'))
    assert desk.wrong('step-2') == 'Step 2: The lower bound 3 is above the upper bound 2.'
    desk.field('Bounds by').value = 'mad'
    await until(lambda: not desk.wrong('step-2'))
    assert [e.props['aria-label'] for e in desk.elements if e.props.get('aria-label') in ('Bounds by', 'Columns')] == [
        'Bounds by', 'Columns'
    ]  # fmt: skip


async def test_what_may_be_wrong_is_told_with_what_would_help(desk: Tabs) -> None:
    every = desk.services.datasets.all
    step = {'do': 'clip', 'how': 'fixed', 'columns': ['temp'], 'high': 40, 'action': 'empty'}
    far = {'kind': 'far_out', 'text': '1 value lies far out in temp: 99 (line 1,012).', 'lines': [1012], 'step': step}
    alike = {
        'kind': 'alike', 'text': '"Oslo" and "oslo" may be one series.', 'series': ['Oslo', 'oslo'], 'step': None
    }  # fmt: skip
    every[1] = replace(every[1], manifest={**every[1].manifest, 'hints': [far, alike]})
    await desk.open(tab='overview')
    assert desk.hrefs('line 1,012') == [f'/datasets/{desk.dataset}?tab=rows&line=1012']
    (place,) = desk.hrefs('Replace the rows')
    assert place == f'/datasets/{desk.dataset}?tab=versions&how=replace'
    (prepared,) = desk.hrefs('Empty outliers')
    await desk.user.open(prepared)
    await desk.say('1. Empty outliers')
    assert (desk.field('Upper').value, desk.field('Values beyond').value) == (40, 'empty')
    desk.field('Values beyond').value = 'clip'
    await desk.say('1. Clip outliers')

    await desk.user.open(place)
    await desk.say('"Oslo" and "oslo" may be one series: write them alike in the file first.')
    (zone,) = [e for e in desk.elements if isinstance(e, Upload)]
    assert (zone.props['how'], desk.button('Replace the rows').props['aria-pressed']) == ('replace', 'true')
    (reason,) = [e for e in desk.elements if 'write them alike in the file first' in getattr(e, 'text', '')]
    desk.press('Add to the rows')
    assert not reason.visible


async def test_series_that_are_spelled_alike_are_merged_by_a_step_that_is_prepared(desk: Tabs) -> None:
    every = desk.services.datasets.all
    merge = {'do': 'merge', 'column': 'site', 'values': ['oslo'], 'to': 'Oslo'}
    alike = {'kind': 'alike', 'text': '"Oslo" and "oslo" may be one.', 'series': ['Oslo', 'oslo'], 'step': merge}
    clip = {'do': 'clip', 'how': 'fixed', 'high': 40}
    did = {**clip, 'step': 1, 'rows_before': 29, 'rows_after': 29, 'cells_changed': 0, 'cells': 29}
    every[1] = replace(every[1], manifest={**every[1].manifest, 'hints': [alike], 'recipe': [did]})
    await desk.open(tab='overview')
    (prepared,) = desk.hrefs('Merge into Oslo')
    await desk.user.open(prepared)
    await desk.say('1. Merge series')
    await desk.say('2. Clip outliers')
    assert (desk.field('Spellings').value, desk.field('Become').value) == (['oslo'], 'Oslo')
    assert {'Oslo', 'oslo'} <= set(desk.field('Spellings').options)
    await until(lambda: any(e.props.get('aria-label') == 'What each step does to Oslo' for e in desk.elements))
    desk.press('Make a new version')
    await until(lambda: desk.services.uploads.ordered)
    assert desk.services.uploads.ordered == [{'recipe': [merge, clip]}]


def _fields(desk: Tabs, label: str) -> list[Any]:
    return [e for e in desk.elements if e.props.get('aria-label') == label]


async def test_all_names_that_are_spelled_in_several_ways_are_merged_by_one_button(desk: Tabs) -> None:
    every = desk.services.datasets.all
    wide = 'b' * 400

    def pairs(count: int, word: str) -> list[dict[str, Any]]:
        steps = [
            {'do': 'merge', 'column': 'site', 'values': [f'{word}{at}  '], 'to': f'{word}  {at}'} for at in range(count)
        ]
        return [
            {'kind': 'alike', 'key': step['to'], 'text': f'{step["to"]} twice.', 'series': [], 'step': step}
            for step in steps
        ]

    every[1] = replace(every[1], manifest={**every[1].manifest, 'hints': pairs(6, 'a')})
    await desk.open(tab='overview')
    (all_of_them,) = desk.hrefs('Merge all 6 pairs')
    assert json.loads(parse_qs(urlsplit(all_of_them).query)['recipe'][0]) == [
        hint['step'] for hint in every[1].manifest['hints']
    ]
    assert len(desk.hrefs('Merge into a␣␣0')) == 1
    await desk.user.open(all_of_them)
    await desk.say('6. Merge series')
    assert _fields(desk, 'Spellings')[0].options['a0  '] == 'a0␣␣'

    every[1] = replace(every[1], manifest={**every[1].manifest, 'hints': pairs(6, wide)})
    await desk.open(tab='overview')
    assert desk.hrefs('Merge the first 3 of 6 pairs')


async def test_the_spelling_of_most_rows_is_what_spellings_become_until_another_is_written(desk: Tabs) -> None:
    async def spellings(*_: Any) -> Mapping[str, int]:
        return {'OSLO': 3, 'Oslo': 28}

    desk.services.datasets.spellings = spellings  # type: ignore[method-assign]
    names = ['OSLO', 'Oslo']
    await desk.open(tab='recipe', recipe=quote(json.dumps([{'do': 'merge', 'column': 'site'}])))
    desk.field('Spellings').value = names
    await until(lambda: desk.field('Become').value)
    assert desk.field('Become').value == 'Oslo'
    desk.field('Become').value = 'Greater Oslo'
    desk.field('Spellings').value = names[::-1]
    await until(lambda: json.loads(desk.query['recipe'][0])[0].get('values') == names[::-1])
    assert desk.field('Become').value == 'Greater Oslo'


@pytest.mark.parametrize(
    ('step', 'said'),
    [
        ({'do': 'merge', 'column': 'site', 'values': ['a', 'b']}, 'Fill in "Become".'),
        ({'do': 'merge', 'column': 'site', 'to': 'a'}, 'Fill in "Spellings".'),
        ({'do': 'filter'}, 'Fill in "Keep rows where".'),
        ({'do': 'rename', 'column': 'temp'}, 'Fill in "New name".'),
        ({'do': 'drop'}, 'Fill in "Column".'),
        ({'do': 'clip', 'how': 'fixed'}, 'Fill in "Lower", "Upper" or both.'),
        ({'do': 'fill', 'how': 'seasonal'}, 'Fill in "Rows in a season": the number of rows in one, such as 24'),
    ],
)
def test_what_a_step_lacks_is_told_in_the_words_of_the_form(
    converted: tuple[list[Path], list[dict[str, Any]]], step: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError) as wrong:
        recipes.check([step], recipes.fields_of(converted[1][0]))
    assert in_the_form(wrong.value.message).startswith(f'Step 1: {said}')


async def test_a_table_whose_series_are_columns_says_how_to_merge_them(desk: Tabs) -> None:
    every = desk.services.datasets.all
    columns = [
        {**column, 'role': 'attribute' if column['role'] == 'series' else column['role']}
        for column in every[1].manifest['columns']
    ]
    every[1] = replace(every[1], manifest={**every[1].manifest, 'columns': columns, 'measures': ['temp', 'other']})
    await desk.open(tab='recipe')
    await desk.say('choose "Columns of a wide table are: series"')
    assert not [e for e in desk.elements if getattr(e, 'text', '') == 'Merge series']
    (columns_tab,) = desk.hrefs('on the tab Columns')
    assert columns_tab.endswith('?tab=columns')


async def test_a_version_before_a_file_was_added_says_which_one(desk: Tabs) -> None:
    datasets = desk.services.datasets
    listed = datasets.versions

    async def versions(*args: Any, **kwargs: Any) -> Any:
        first, *others = await listed(*args, **kwargs)
        return [replace(first, earlier_files=1, source='September.csv'), *others]

    datasets.versions = versions  # type: ignore[method-assign]
    await desk.open(tab='faults', v='1')
    await desk.say('You look at version 1, as it was before September.csv was added. Version 2 is in use')


async def test_a_step_that_merges_is_added_before_the_others_and_waits_for_spellings(desk: Tabs) -> None:
    await desk.open(tab='recipe')
    desk.press('Empty outliers')
    await desk.say('1. Empty outliers')
    desk.press('Merge series')
    await desk.say('1. Merge series')
    await desk.say('2. Empty outliers')
    assert desk.wrong('step-1') == ''
    desk.field('Spellings').value = ['Oslo']
    desk.field('Become').value = 'Greater Oslo'
    await desk.say('Oslo → Greater Oslo')


async def test_a_hint_is_dismissed_and_brought_back(desk: Tabs) -> None:
    every = desk.services.datasets.all
    hints = [{'kind': 'alike', 'key': name, 'text': f'{name} may be one.', 'step': None} for name in ('these', 'those')]
    every[1] = replace(every[1], manifest={**every[1].manifest, 'hints': hints})
    await desk.open(tab='overview')
    first, _ = [e for e in desk.elements if e.props.get('aria-label') == 'Dismiss hint']
    UserInteraction(desk.user, {first}, None).click()
    await desk.say('Show 1 dismissed hint')
    assert desk.services.datasets.dismissed == ['these']
    assert 'these may be one.' not in desk.texts()
    await desk.open(tab='overview')
    await desk.say('those may be one.')
    assert 'these may be one.' not in desk.texts()
    desk.press('Show 1 dismissed hint')
    await desk.say('these may be one.')
    desk.press('Bring back')
    await until(lambda: desk.services.datasets.dismissed == [])
    await until(lambda: 'Hide 1 dismissed hint' not in desk.texts())
    assert {'these may be one.', 'those may be one.'} <= set(desk.texts())


async def test_what_each_step_did_is_told_where_the_version_is(desk: Tabs) -> None:
    every = desk.services.datasets.all
    names = ('step', 'rows_before', 'rows_after', 'cells_changed', 'cells')
    figures = [(1, 10482, 10482, 14, 10482), (2, 10482, 9000, 0, 0), (3, 9000, 9000, 3, 4), (4, 9000, 9000, 0, 0)]
    kinds = ('clip', 'filter', 'fill', 'drop')
    steps = [{'do': do, **dict(zip(names, row, strict=True))} for do, row in zip(kinds, figures, strict=True)]
    every[1] = replace(every[1], manifest={**every[1].manifest, 'recipe': steps})
    told = [
        'Clip outliers: 14 of 10,482 values', 'Filter rows: 10,482 → 9,000 rows', 'Fill gaps: 3 of 4 empty cells',
        'Remove a column',
    ]  # fmt: skip
    await desk.open(tab='versions')
    assert set(told) <= set(desk.texts())
    await desk.open(tab='overview')
    await desk.say(f'The recipe did: {"; ".join(told)}.')
    await desk.open(tab='recipe')
    await desk.say('In v2: 14 of 10,482 values')


async def test_a_preview_lists_the_rows_that_change_with_both_values(desk: Tabs) -> None:
    await desk.open(tab='recipe', recipe=quote('[{"do":"clip","how":"fixed","columns":["temp"],"high":21.6}]'))
    await desk.say('Rows in which cells change:')
    assert {'21.7 → 21.6', '28.7 → 21.6'} <= set(desk.texts())
    await desk.open(tab='recipe', recipe=quote('[{"do":"clip","how":"fixed","columns":["temp"],"high":900}]'))
    await until(lambda: any(e.props.get('aria-label') == 'First rows after the recipe' for e in desk.elements))


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
    await until(lambda: desk.services.uploads.ordered)
    assert desk.services.uploads.ordered == [options]


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
    await until(lambda: desk.services.uploads.ordered)
    assert desk.services.uploads.ordered == [{'day_first': False, 'job': job.id}]


async def test_columns_are_offered_after_a_conversion_that_failed(desk: Tabs) -> None:
    datasets = desk.services.datasets
    datasets.kept = [replace(datasets.kept[0], version=None)]
    job = failed_job(desk.session, datasets.kept[0], 'no_time_column')
    columns = [{'name': name, 'examples': [f'{name} 1']} for name in ('period', 'shop', 'sales')]
    desk.services.jobs.job = replace(job, error={**(job.error or {}), 'details': {'columns': columns}})
    await desk.open()
    assert list(desk.field('Column of the time').options) == ['', 'period', 'shop', 'sales']
    (told,) = (text for text in desk.texts() if 'can be read as time' in text)
    assert told.endswith(': period, shop, sales hold no dates.'), (
        'no option to be written is told where there are fields'
    )
    assert '"shop 1"' in desk.texts()
    desk.field('Column of the time').value = 'period'
    desk.field('Role of column 2').value = 'series'
    desk.press('Read it as time')
    await until(lambda: desk.services.uploads.ordered)
    assert desk.services.uploads.ordered == [{'roles': {'shop': 'series', 'period': 'time'}}]


async def test_why_rows_were_not_counted_goes_once_they_are(desk: Tabs) -> None:
    datasets = desk.services.datasets
    datasets.kept = [replace(datasets.kept[0], version=None)]
    desk.services.jobs.job = failed_job(desk.session, datasets.kept[0], 'no_time_column')
    await desk.open()
    desk.press('Count the rows')
    await desk.say('Say first which time the first row is of')
    desk.field('Time of the first row').value = 'Q1 1998'
    desk.press('Count the rows')
    await until(lambda: desk.services.uploads.ordered)
    assert desk.services.uploads.ordered == [{'melt': {'into': 'rows', 'start': 'Q1 1998', 'step': 'month'}}]
    await until(lambda: 'That did not work' not in desk.texts())


async def test_that_fields_are_found_out_is_said_once(desk: Tabs) -> None:
    datasets = desk.services.datasets
    datasets.kept = [replace(datasets.kept[0], version=None)]
    desk.services.jobs.job = failed_job(desk.session, datasets.kept[0], 'no_time_column')
    await desk.open()
    assert [text for text in desk.texts() if 'from the file' in text] == [AS_FOUND]


@pytest.mark.parametrize(('names', 'told'), [(['v'], ': v holds no dates.'), (['v', 'w'], ': v, w hold no dates.')])
async def test_one_column_holds_no_dates_and_two_hold_none(desk: Tabs, names: list[str], told: str) -> None:
    job = failed_job(desk.session, desk.services.datasets.kept[0], 'no_time_column')
    columns = [{'name': name, 'examples': ['1']} for name in names]
    error = {**(job.error or {}), 'details': {'columns': columns}}
    assert why(replace(job, error=error)).endswith(told)


async def test_rows_of_a_file_without_times_are_counted_from_a_start(desk: Tabs) -> None:
    datasets = desk.services.datasets
    datasets.kept = [replace(datasets.kept[0], version=None)]
    job = failed_job(desk.session, datasets.kept[0], 'no_time_column')
    columns = [{'name': f'c{place}', 'examples': ['1']} for place in range(10)]
    desk.services.jobs.job = replace(job, error={**(job.error or {}), 'details': {'columns': columns}})
    await desk.open()
    assert any(text.endswith('c6, c7 and 2 others hold no dates.') for text in desk.texts())
    desk.field('Time of the first row').value = ' 1998-01-01 '
    desk.field('What a row is').value = 'quarter'
    desk.press('Count the rows')
    await until(lambda: desk.services.uploads.ordered)
    assert desk.services.uploads.ordered == [{'melt': {'into': 'rows', 'start': '1998-01-01', 'step': 'quarter'}}]


async def test_a_cancelled_conversion_is_tried_again(desk: Tabs) -> None:
    datasets = desk.services.datasets
    datasets.kept = [replace(datasets.kept[0], version=None)]
    job = failed_job(desk.session, datasets.kept[0], '')
    desk.services.jobs.job = replace(job, state=JobState.CANCELLED, error=None)
    await desk.open()
    assert 'Try again, or discard the file.' in desk.texts()


@pytest.mark.parametrize(
    ('draft', 'steps'),
    [
        ('[]', 0),
        ('[{"do":["x"]}]', 0),
        ('[{"do":"clip","columns":5},{"do":"resample","columns":["temp"]},{"do":"fill","how":["x"]}]', 0),
        ('[{"do":"clip","columns":["temp"],"k":null},{"do":"resample","every":"1d","columns":{"temp":"max"}}]', 2),
        ('{', 1),
    ],
)
async def test_a_draft_in_an_address_is_read_with_care(desk: Tabs, draft: str, steps: int) -> None:
    every = desk.services.datasets.all
    stored = [{'do': 'drop', 'columns': ['said']}]
    every[1] = replace(every[1], manifest={**every[1].manifest, 'recipe': stored})
    await desk.open(tab='recipe', recipe=quote(draft))
    assert sum(e.props.get('aria-label') == 'Remove step' for e in desk.elements) == steps


async def test_the_preview_of_an_older_draft_is_not_drawn_over_a_newer_one(
    desk: Tabs, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    asked: list[asyncio.Future[None]] = []

    async def slow(*_: Any, **__: Any) -> int:
        asked.append(asyncio.get_running_loop().create_future())
        place = len(asked)
        await asked[place - 1]
        return place

    monkeypatch.setattr(desk.services.datasets, 'try_recipe', slow)
    monkeypatch.setattr(RecipeTab, '_draw_preview', lambda self, found, steps: drawn.append(found))
    await desk.open(tab='recipe')
    await until(lambda: len(asked) == 1)
    desk.press('Empty outliers')
    await until(lambda: len(asked) == 2)
    for one in (asked[1], asked[0]):
        one.set_result(None)
        await until(lambda: drawn)
    for _ in range(5):
        await asyncio.sleep(0)
    assert drawn == [2]


async def test_messages_of_one_end_draw_the_page_one_after_the_other(
    desk: Tabs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.open()
    listed, reading, drawn = desk.services.datasets.versions, [], []

    async def slow(*asked: Any, **how: Any) -> Sequence[VersionSummary]:
        reading.append(1)
        drawn.append(len(reading))
        for _ in range(5):
            await asyncio.sleep(0)
        reading.pop()
        return await listed(*asked, **how)

    monkeypatch.setattr(desk.services.datasets, 'versions', slow)
    for channel in ('datasets', 'jobs'):
        await desk.services.events.publish(f'{desk.session.user.id}/{channel}', {'dataset': str(desk.dataset)})
    await until(lambda: len(drawn) == 2 and not reading)
    assert drawn == [1, 1]


def failed_job(session: Session, data: Dataset, code: str) -> Job:
    """A conversion that ended without a version."""
    now = datetime.now(UTC)
    return Job(
        id=uuid4(), user_id=session.user.id, kind='convert', title='Convert', state=JobState.FAILED, payload={},
        progress=0.4, message='', attempt=1, max_attempts=3, error={'code': code, 'message': 'It is not clear.'},
        cancel_requested=False, dataset_id=data.id, forecast_id=None, created_at=now, started_at=now, finished_at=now,
    )  # fmt: skip


async def test_a_note_that_a_version_is_being_made_goes_when_it_is_there(desk: Tabs) -> None:
    making = 'The version you see stays until it is ready.'
    await desk.open(tab='recipe', recipe=quote(json.dumps([{'do': 'clip', 'how': 'fixed', 'high': 20}])))
    desk.press('Make a new version')
    await desk.say(making)
    ended = replace(failed_job(desk.session, desk.services.datasets.kept[0], ''), state=JobState.SUCCEEDED, error=None)
    desk.services.jobs.job = ended
    await desk.services.events.publish(f'{desk.session.user.id}/jobs', {'dataset': str(desk.dataset)})
    await until(lambda: making not in desk.texts())
