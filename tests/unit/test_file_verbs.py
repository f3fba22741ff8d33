"""What the file verbs of the command line write: tables, whole datasets, and datasets that go on."""

import csv
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core import file_verbs
from core.errors import UnusableData, UsageError
from ui.cli.files import _converted, _found, _report

FIRST = 'day,shop,units\n' + ''.join(
    f'2024-01-{day:02},{shop},{day}\n' for shop in ('north', 'south') for day in range(1, 29)
)
NEXT = 'day,shop,units\n2024-01-28,north,99\n2024-01-29,north,29\n2024-01-29,west,7\n'
DOUBLE = {'do': 'derive', 'column': 'double', 'as': 'units * 2'}
Convert = Callable[..., dict[str, Any]]


@pytest.fixture
def convert(tmp_path: Path) -> Convert:
    """Convert a text to `out`, a name below the test's folder."""

    def run(text: str, out: str, *, name: str = 'a.csv', **told: Any) -> dict[str, Any]:
        source, work = tmp_path / name, tmp_path / 'work'
        source.write_text(text)
        work.mkdir(exist_ok=True)
        asked = {'path': str(source), 'name': name, 'memory': 512 * 2**20, 'out': str(tmp_path / out), 'raw': False}
        onto = told.pop('onto', None)
        asked |= {'options': {}, 'onto': onto and str(tmp_path / onto), **told}
        return file_verbs.convert_file(asked, work, lambda part, text: None)

    return run


def rows(folder: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(part) for part in sorted(folder.glob('data-*.parquet'))])


def manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / 'manifest.json').read_text()))


def test_a_folder_holds_the_dataset_that_an_upload_would_make(convert: Convert, tmp_path: Path) -> None:
    report = convert(FIRST, 'sales')
    assert (report['rows_read'], report['rows'], report['warnings'], report['recipe']) == (56, 56, [], [])
    assert rows(tmp_path / 'sales')['units'].to_list() == [*range(1, 29), *range(1, 29)]
    named = {file['name'] for file in manifest(tmp_path / 'sales')['files']}
    assert {path.name for path in (tmp_path / 'sales').iterdir()} == named | {'manifest.json'}
    assert [path for path in tmp_path.iterdir() if path.name.startswith('.')] == []


@pytest.mark.slow
def test_a_file_joins_the_dataset_of_a_folder_in_place_or_elsewhere(convert: Convert, tmp_path: Path) -> None:
    convert(FIRST, 'sales')
    (tmp_path / 'sales' / 'notes.txt').write_text('mine')
    report = convert(NEXT, 'more', name='b.csv', onto='sales')
    assert (report['rows_read'], report['rows']) == (3, 58)
    assert rows(tmp_path / 'sales').height == 56
    convert(NEXT, 'more.csv', name='b.csv', onto='sales')
    table = list(csv.DictReader((tmp_path / 'more.csv').read_text().splitlines()))
    assert [row['units'] for row in table if row['shop'] != 'south'][-3:] == ['99', '29', '7']
    convert(NEXT, 'sales', name='b.csv', onto='sales')
    assert rows(tmp_path / 'sales').equals(rows(tmp_path / 'more'))
    assert (tmp_path / 'sales' / 'notes.txt').read_text() == 'mine'
    assert [one['name'] for one in manifest(tmp_path / 'sales')['sources']] == ['a.csv', 'b.csv']


@pytest.mark.slow
def test_a_recipe_cleans_the_rows_and_goes_on_with_the_next_file(convert: Convert, tmp_path: Path) -> None:
    (step,) = convert(FIRST, 'sales', recipe=[DOUBLE])['recipe']
    assert (step['do'], step['rows_after']) == ('derive', 56)
    assert rows(tmp_path / 'sales')['double'].to_list()[:3] == [2, 4, 6]
    convert(NEXT, 'sales', name='b.csv', onto='sales')
    assert rows(tmp_path / 'sales').filter(pl.col('shop') == 'west')['double'].to_list() == [14]
    convert(NEXT, 'sales', name='b.csv', onto='sales', recipe=[])
    assert 'double' not in rows(tmp_path / 'sales').columns
    convert(FIRST, 'table.parquet', recipe=[DOUBLE])
    assert pl.read_parquet(tmp_path / 'table.parquet').columns == ['day', 'shop', 'units', 'double']
    with pytest.raises(UsageError, match='nowhere'):
        convert(FIRST, 'other', recipe=[{'do': 'drop', 'column': 'nowhere'}])
    assert not (tmp_path / 'other').exists()


def test_text_of_a_table_after_a_recipe_is_as_it_was_written(convert: Convert, tmp_path: Path) -> None:
    text = 'day,note,units\n' + ''.join(f'2024-01-{day:02},=1+{day} is a sum,{day}\n' for day in range(1, 29))
    convert(text, 'out.csv', recipe=[DOUBLE])
    assert '2024-01-01,=1+1 is a sum,1,2.0' in (tmp_path / 'out.csv').read_text().splitlines()


def test_times_of_a_next_file_are_read_in_the_zone_of_the_dataset(convert: Convert, tmp_path: Path) -> None:
    stamps = 'at,y\n' + ''.join(f'2024-01-01 {hour:02}:00,{hour}\n' for hour in range(20))
    convert(stamps, 'load', options={'time_zone': 'Asia/Tokyo'})
    convert('at,y\n2024-01-01 20:00,20\n', 'load', name='b.csv', onto='load')
    assert rows(tmp_path / 'load')['_time'].diff().drop_nulls().unique().dt.total_hours().to_list() == [1]


@pytest.mark.slow
def test_a_table_of_local_times_names_the_offset_of_each_and_is_read_as_it_was(
    convert: Convert, tmp_path: Path
) -> None:
    zone = {'time_zone': 'Europe/Berlin'}
    stamps = 'at,y\n2024-10-27 01:00,1\n2024-10-27 02:00+01:00,2\n2024-10-27 03:00,3\n'
    told = 'at,y\n2024-10-27T01:00:00+02:00,1\n2024-10-27T02:00:00+01:00,2\n2024-10-27T03:00:00+01:00,3\n'
    convert(stamps, 'out.csv', options=zone)
    assert (tmp_path / 'out.csv').read_text() == told
    convert(told, 'out.csv', options=zone)
    assert (tmp_path / 'out.csv').read_text() == told
    convert(stamps, 'load', options=zone)
    convert('at,y\n2024-10-27 04:00,4\n', 'more.csv', name='b.csv', onto='load')
    assert (tmp_path / 'more.csv').read_text() == told + '2024-10-27T04:00:00+01:00,4\n'


STEPS = [('1h', 24 * 400, 'h'), ('1d', 400, 'D'), ('1mo', 40, 'MS')]


@pytest.mark.slow
@pytest.mark.parametrize('recipe', [None, [{'do': 'derive', 'column': 'double', 'as': 'y * 2'}]])
@pytest.mark.parametrize(('step', 'count', 'freq'), STEPS)
def test_a_table_by_the_clock_of_a_zone_is_read_as_the_same_hours_days_and_months_without_one(
    convert: Convert, tmp_path: Path, step: str, count: int, freq: str, recipe: list[dict[str, str]] | None
) -> None:
    begin = datetime(2020, 1, 1)
    wall = pl.datetime_range(begin, begin + timedelta(days=2000), step, eager=True)[:count]
    zoned = wall.dt.replace_time_zone('Europe/Berlin', non_existent='null', ambiguous='earliest').drop_nulls().unique()
    local = zoned.dt.replace_time_zone(None).sort()
    text = 'at,y\n' + ''.join(f'{at:%Y-%m-%d %H:%M:%S},{place % 7}\n' for place, at in enumerate(local))
    convert(text, 'out.csv', recipe=recipe, options={'time_zone': 'Europe/Berlin'})
    back = (tmp_path / 'out.csv').read_text()
    convert(back, 'back')
    assert manifest(tmp_path / 'back')['time']['freq'] == freq
    instants = zoned.dt.convert_time_zone('UTC').dt.replace_time_zone(None).sort()
    assert rows(tmp_path / 'back')['_time'].to_list() == (instants if freq == 'h' else local).to_list()
    assert ('+01:00' in back) == (freq == 'h')


def test_what_is_no_dataset_is_not_gone_on_from(convert: Convert, tmp_path: Path) -> None:
    convert(FIRST, 'sales')
    kept = rows(tmp_path / 'sales')
    with pytest.raises(UsageError, match='holds no dataset'):
        convert(NEXT, 'out', onto='nowhere')
    with pytest.raises(UnusableData, match='a key of the series'):
        convert('day,units\n2024-02-01,1\n2024-02-02,1\n', 'sales', name='b.csv', onto='sales')
    assert rows(tmp_path / 'sales').equals(kept)
    part = tmp_path / 'sales' / 'data-00000.parquet'
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(UsageError, match='not as its manifest says'):
        convert(NEXT, 'sales', onto='sales')
    for wrong in ('[]', '{"files": 1}', 'no JSON', '{}'):
        (tmp_path / 'sales' / 'manifest.json').write_text(wrong)
        with pytest.raises(UsageError, match='not the manifest'):
            convert(NEXT, 'sales', onto='sales')


@pytest.mark.parametrize('failing', ['before', 'first', 'manifest'])
@pytest.mark.slow
def test_a_dataset_is_as_it_was_when_its_next_files_cannot_be_put_in_place(
    convert: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    convert(FIRST, 'sales')
    held = {path.name: path.read_bytes() for path in (tmp_path / 'sales').iterdir()}
    rename = Path.rename

    def broken(self: Path, target: Path) -> Path:
        new = self.parent.name == 'new'
        if {'before': not new and Path(target).parent.name == 'sales.before', 'first': new,
            'manifest': new and self.name == 'manifest.json'}[failing]:  # fmt: skip
            raise OSError('no space is left')
        return rename(self, target)

    monkeypatch.setattr(Path, 'rename', broken)
    with pytest.raises(OSError, match='no space is left'):
        convert(NEXT, 'sales', name='b.csv', onto='sales')
    assert {path.name: path.read_bytes() for path in (tmp_path / 'sales').iterdir()} == held
    assert not (tmp_path / 'sales.before').exists()


@pytest.mark.slow
def test_files_in_a_folder_that_are_not_of_its_dataset_stay(convert: Convert, tmp_path: Path) -> None:
    convert(FIRST, 'sales')
    mine = tmp_path / 'sales' / 'mine.parquet'
    mine.write_bytes(b'mine')
    convert(NEXT, 'sales', name='b.csv', onto='sales')
    assert mine.read_bytes() == b'mine'
    assert rows(tmp_path / 'sales').height == 58
    convert(FIRST, 'other')
    told = tmp_path / 'other' / 'manifest.json'
    told.unlink()
    with pytest.raises(UsageError, match='is in the way and is not of the dataset'):
        convert(NEXT, 'other', name='b.csv', onto='sales')
    assert rows(tmp_path / 'other').height == 56


def test_a_dataset_behind_a_relative_link_goes_on_where_it_lies(convert: Convert, tmp_path: Path) -> None:
    (tmp_path / 'store').mkdir()
    convert(FIRST, 'store/sales')
    (tmp_path / 'link').symlink_to(Path('store') / 'sales')
    convert(NEXT, 'link', name='b.csv', onto='link')
    assert (tmp_path / 'link').is_symlink()
    assert rows(tmp_path / 'store' / 'sales').height == 58


def test_what_a_broken_run_left_is_told_before_anything_is_moved(convert: Convert, tmp_path: Path) -> None:
    convert(FIRST, 'sales')
    (tmp_path / 'sales').rename(tmp_path / 'sales.before')
    with pytest.raises(UsageError, match=r'sales\.before keeps the files of an earlier run'):
        convert(NEXT, 'sales', name='b.csv')
    assert rows(tmp_path / 'sales.before').height == 56


def test_inspect_says_how_many_faults_it_does_not_print():
    fault = {'line': 2, 'column': 'v', 'kind': 'not_a_number', 'value': 'x', 'action': 'emptied'}
    counts = {'rows_read': 30, 'rows_accepted': 0, 'rows_repaired': 30, 'rows_rejected': 0}
    told = _report({**counts, 'notes': [], 'columns': [], 'faults': [fault] * 30, 'faults_total': 189})
    assert told.count('not_a_number') == 20
    assert '169 more faults' in told
    few = _report({**counts, 'notes': [], 'columns': [], 'faults': [fault], 'faults_total': 1})
    assert 'more faults' not in few


def test_inspect_says_what_both_lines_of_a_duplicate_say():
    fault = {
        'line': 812, 'column': None, 'kind': 'duplicate', 'value': '4.2', 'action': 'rejected', 'other_line': 905,
        'reason': 'line 812 says 4.2, line 905 says 4.7: the last is stored',
    }  # fmt: skip
    counts = {'rows_read': 2, 'rows_accepted': 1, 'rows_repaired': 0, 'rows_rejected': 1}
    told = _report({**counts, 'notes': [], 'columns': [], 'faults': [fault], 'faults_total': 1})
    assert told.endswith('record duplicate rejected: line 812 says 4.2, line 905 says 4.7: the last is stored')


def test_forecasts_of_local_times_go_on_by_the_clock_of_their_zone(tmp_path: Path) -> None:
    days = pl.datetime_range(datetime(2024, 10, 1), datetime(2024, 10, 26), '1d', eager=True)
    source, out, work = tmp_path / 'a.csv', tmp_path / 'out.csv', tmp_path / 'work'
    work.mkdir()
    source.write_text('at,y\n' + ''.join(f'{day:%Y-%m-%d} 06:00,{day.day % 7}\n' for day in days))
    asked = {'path': str(source), 'name': 'a.csv', 'memory': 512 * 2**20, 'out': str(out), 'time': 'at', 'target': 'y'}
    asked |= {'id': None, 'h': 2, 'freq': None, 'models': ['seasonal_naive'], 'levels': [80], 'cores': 1, 'seed': 1}
    asked |= {'holidays': None, 'budget': None, 'day_first': None, 'time_zone': 'Europe/Berlin'}
    file_verbs.forecast_file(asked, work, lambda part, text: None)
    found = list(csv.DictReader(out.read_text().splitlines()))
    assert [row['time'] for row in found] == ['2024-10-27T06:00:00+01:00', '2024-10-28T06:00:00+01:00']
    assert found[0]['cutoff'] == '2024-10-26T06:00:00+02:00'
    said = 'series,time,cutoff,step,model,model_used,lower_80,median,upper_80,status,flags'
    assert list(found[0]) == said.split(','), 'as in downloads of forecasts'


SHOPS = [('day', 'time'), ('shop', 'series'), ('sales', 'measure'), ('note', 'attribute')]


@pytest.mark.parametrize(
    ('roles', 'given', 'found'),
    [
        (SHOPS, {}, {'time': 'day', 'target': 'sales', 'id': 'shop'}),
        (SHOPS[::2], {}, {'time': 'day', 'target': 'sales', 'id': None}),
        ([*SHOPS, ('visits', 'measure')], {'target': 'visits'}, {'time': 'day', 'target': 'visits', 'id': 'shop'}),
        ([*SHOPS, ('visits', 'measure')], {}, 'In a.csv sales, visits could be forecast. Say which one by --target.'),
        ([*SHOPS, ('kind', 'series')], {}, 'In a.csv shop, kind tell its series apart. Say which one by --id.'),
        (SHOPS[1:], {}, 'In a.csv no column could be the time. Say which one by --time.'),
    ],
)
def test_columns_to_forecast_by_are_found_out(
    roles: list[tuple[str, str]], given: dict[str, str], found: dict[str, str | None] | str
) -> None:
    columns = [{'name': name, 'role': role} for name, role in roles]
    given_or_not = {what: given.get(what) for what in ('time', 'target', 'id')}
    if isinstance(found, dict):
        assert _found(columns, given_or_not, 'a.csv') == found
    else:
        with pytest.raises(UsageError, match=f'^{re.escape(found)}$'):
            _found(columns, given_or_not, 'a.csv')


def test_convert_tells_the_notes_of_its_file() -> None:
    counts = {'rows_read': 2, 'rows_accepted': 2, 'rows_repaired': 0, 'rows_rejected': 0}
    assert _converted({**counts, 'notes': ['Two orders.']}, Path('o.csv')).startswith('note: Two orders.\n')
