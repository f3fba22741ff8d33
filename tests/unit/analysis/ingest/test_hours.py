"""Hours in a column of their own: whether 1 to 24 begin or end, told by a 0, a 24, a name or the files before."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from core.analysis.ingest import Manifest, Options, convert
from tests.unit.analysis.ingest.reading import converted

Version = tuple[Manifest, Path]


@pytest.fixture
def version(tmp_path: Path) -> Callable[..., Version]:
    """Convert a file, perhaps onto an earlier version."""

    def make(text: str, onto: Version | None = None) -> Version:
        into = tmp_path / f'v{len(list(tmp_path.iterdir()))}'
        source = into.with_suffix('.csv')
        into.mkdir()
        source.write_text(text)
        before = sorted([*onto[1].glob('data-*'), onto[1] / 'manifest.json']) if onto else ()
        given = Options(before=before, origin=into.name)
        return convert(source, name=source.name, into=into, options=given, progress=lambda *_: None), into

    return make


@pytest.mark.parametrize('name', ['HE', 'Hour Ending', 'hour_ending', 'HourEnding', 'hr end'])
@pytest.mark.parametrize('day', ['Date', 'Year,Month,Day'])
def test_hours_whose_name_says_that_they_end_need_no_24(tmp_path: Path, name: str, day: str) -> None:
    """A file of a part of a day has none."""
    stamp = '2024-01-03' if day == 'Date' else '2024,1,3'
    rows = [f'{stamp},{hour},{hour}.5' for hour in range(1, 11)]
    manifest, _ = converted(tmp_path, '\n'.join([f'{day},{name},Load', *rows, '']))
    assert (manifest.time.start, manifest.time.end) == ('2024-01-03T00:00:00Z', '2024-01-03T09:00:00Z')
    assert manifest.time.hours_end is True


@pytest.mark.parametrize('name', ['HE', 'Hour'])
def test_hours_with_a_0_begin_whatever_they_are_called(tmp_path: Path, name: str) -> None:
    rows = [f'2024-01-03,{hour},{hour}.5' for hour in range(10)]
    manifest, _ = converted(tmp_path, '\n'.join([f'Date,{name},Load', *rows, '']))
    assert (manifest.time.start, manifest.time.hours_end) == ('2024-01-03T00:00:00Z', False)


def test_hours_that_nothing_tells_of_are_said_to_begin(tmp_path: Path) -> None:
    rows = [f'2024-01-03,{hour},{hour}.5' for hour in range(1, 11)]
    manifest, _ = converted(tmp_path, '\n'.join(['Date,Hour,Load', *rows, '']))
    assert manifest.time.start == '2024-01-03T01:00:00Z'
    assert any('without a 0 and a 24, they are read as the hours that begin' in n for n in manifest.source.notes)


def hourly(name: str, *days: tuple[str, range]) -> str:
    rows = [f'{day},{hour},{100 * int(day[-2:]) + hour}' for day, hours in days for hour in hours]
    return '\n'.join([f'{name},y', *rows, ''])


@pytest.mark.slow
@pytest.mark.parametrize('head', ['date,HE', 'date,hour', 'year,month,day,hour'])
def test_hours_of_a_part_of_a_day_end_as_those_before(version: Callable[..., Version], head: str) -> None:
    day = ','.join if head.startswith('year') else '-'.join
    first, second = (day(['2024', '01', number]) for number in ('02', '03'))
    whole = version(hourly(head, (first, range(1, 25))))
    part = version(hourly(head, (second, range(1, 11))), whole)
    rest = version(hourly(head, (second, range(11, 21))), part)
    end = version(hourly(head, (second, range(21, 25))), rest)
    stamps = [datetime(2024, 1, number, hour) for number in (2, 3) for hour in range(24)]
    values = [100 * number + hour for number in (2, 3) for hour in range(1, 25)]
    stored = duckdb.sql(f"SELECT _time, y FROM '{end[1]}/data-*.parquet'").fetchall()
    assert stored == list(zip(stamps, values, strict=True))
    assert all(made[0].time.hours_end for made in (whole, part, rest, end))


def test_a_file_without_hours_of_its_own_leaves_what_they_are(version: Callable[..., Version]) -> None:
    whole = version(hourly('date,hour', ('2024-01-02', range(1, 25))))
    other = version('date hour,y\n2024-01-03 00:00,301\n2024-01-03 01:00,302\n', whole)
    part = version(hourly('date,hour', ('2024-01-03', range(3, 9))), other)
    assert (part[0].time.end, part[0].time.gaps) == ('2024-01-03T07:00:00Z', 0)


def test_hours_that_turn_out_to_end_say_how_those_before_were_read(version: Callable[..., Version]) -> None:
    part = version(hourly('date,hour', ('2024-01-03', range(1, 11))))
    rest = version(hourly('date,hour', ('2024-01-03', range(11, 25))), part)
    told = [note for note in rest[0].source.notes if 'though hours of earlier files' in note]
    assert len(told) == 1
    assert rest[0].time.hours_end is True
