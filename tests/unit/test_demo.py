"""The files of the sample workspace: the same for a seed, and with exactly the defects that they are said to have."""

import json
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.analysis import demo
from core.analysis.ingest import Options, convert, inspect
from core.demo import FROM, PROMOTIONS, SAMPLES, SHOP, SHOPS, TO, File

PLANTED = demo.PLANTED['shop_sales']
REPAIRED = ('decimal comma', 'unit suffix', 'padding', 'not available', 'short line', 'long line')
EASTER = {1818: (3, 22), 1943: (4, 25), 2000: (4, 23), 2024: (3, 31), 2025: (4, 20), 2026: (4, 5), 2038: (4, 25)}


@pytest.fixture(scope='module')
def shops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp('demo') / 'Shop sales.csv'
    path.write_bytes(demo.shop_sales())
    return path


@pytest.fixture(scope='module')
def stored(shops: Path) -> tuple[dict[str, Any], pl.DataFrame]:
    """The manifest and the rows of the converted shops."""
    return converted(shops)


def converted(path: Path) -> tuple[dict[str, Any], pl.DataFrame]:
    into = path.parent / path.stem
    into.mkdir()
    convert(path, name=path.name, into=into, options=Options(), progress=lambda part, text: None)
    manifest: dict[str, Any] = json.loads((into / 'manifest.json').read_text())
    return manifest, pl.read_parquet(into / 'data-00000.parquet')


@pytest.mark.parametrize('make', [demo.shop_sales, demo.grid_load])
@pytest.mark.slow
def test_a_seed_always_makes_the_same_bytes(make: Any) -> None:
    made = make(5)
    assert made == make(5)
    assert made != make(6)
    assert make() == make(1)


@pytest.mark.parametrize('file', [*SAMPLES, SHOPS.news], ids=lambda file: file.key)
def test_samples_are_as_large_as_they_say(file: File) -> None:
    assert len(file.make()) == file.size


@pytest.mark.parametrize('seed', [1, 2])
def test_the_shops_come_whole_or_in_two_parts(seed: int) -> None:
    before = demo.shop_sales_before(seed)
    head, _, news = demo.shop_sales_news(seed).partition(b'\n')
    assert before + news == demo.shop_sales(seed)
    assert before.startswith(head + b'\n')
    assert news.startswith(b'2026-09-01,')
    assert b'2026-09-' not in before


def test_the_dashboard_of_the_story_tells_of_the_days_on_which_there_was_an_offer() -> None:
    rows = pl.read_csv(demo.shop_sales(), infer_schema=False, truncate_ragged_lines=True)
    shop, group = SHOP.split(' · ')
    ours = rows.filter((pl.col('shop') == shop) & (pl.col('group') == group) & (pl.col('promotion') == '1'))
    days = ours['date'].str.to_date(strict=False).drop_nulls()
    offered = sorted(day for day in days if FROM <= day < TO)
    assert offered == [first + timedelta(n) for first, last in PROMOTIONS for n in range((last - first).days + 1)]


@pytest.mark.parametrize(('year', 'day'), EASTER.items())
def test_easter_falls_where_it_fell(year: int, day: tuple[int, int]) -> None:
    assert demo.easter(year) == date(year, *day)


def test_holidays_are_those_of_the_country() -> None:
    assert demo.holidays(2025)[date(2025, 4, 26)] == 'King’s Day'  # the 27th was a Sunday
    assert demo.holidays(2026)[date(2026, 4, 27)] == 'King’s Day'
    assert demo.holidays(2025)[date(2025, 5, 5)] == 'Liberation Day'
    assert 'Liberation Day' not in demo.holidays(2026).values()
    assert demo.holidays(2026)[date(2026, 5, 14)] == 'Ascension Day'
    assert demo.holidays(2026)[date(2026, 5, 25)] == 'Whit Monday'


@pytest.mark.parametrize('seed', [1, 2])
@pytest.mark.slow
def test_every_planted_defect_is_found_at_its_line(seed: int, tmp_path: Path) -> None:
    path = tmp_path / 'shops.csv'
    path.write_bytes(demo.shop_sales(seed))
    lines = demo.planted_lines(seed)
    report = inspect(path, name=path.name, options=Options())
    found: dict[tuple[str, str | None], list[int]] = {}
    for fault in report['faults']:
        found.setdefault((fault['kind'], fault['column']), []).append(fault['line'])

    assert found == {
        ('number_format', 'price'): lines['decimal comma'],
        ('unit', 'units'): lines['unit suffix'],
        ('padding', 'units'): lines['padding'],
        ('null_spelling', 'units'): lines['not available'],
        ('not_a_time', 'date'): lines['no such date'],
        ('duplicate', None): lines['duplicate'],
        ('short_row', 'price'): lines['short line'],
        ('long_row', None): lines['long line'],
    }
    assert {name: len(at) for name, at in lines.items()} == {n: c for n, c in PLANTED.items() if n != 'gap'}


@pytest.mark.slow
def test_every_row_of_the_shops_is_accounted_for(stored: tuple[dict[str, Any], pl.DataFrame]) -> None:
    manifest, rows = stored
    repaired = sum(PLANTED[name] for name in REPAIRED)
    rejected = PLANTED['no such date'] + PLANTED['duplicate']
    assert manifest['rows_read'] == 2 * len(demo.SHOPS) * demo.DAYS - PLANTED['gap'] + PLANTED['duplicate']
    assert manifest['rows_repaired'] == repaired
    assert manifest['rows_rejected'] == rejected
    assert manifest['rows_accepted'] == manifest['rows_read'] - repaired - rejected
    assert manifest['faults_total'] == repaired + rejected
    assert rows.height == manifest['rows_read'] - manifest['rows_rejected']


def test_what_is_repaired_is_stored(stored: tuple[dict[str, Any], pl.DataFrame]) -> None:
    manifest, rows = stored
    lines = demo.planted_lines()
    at = dict(zip(rows['_line'], rows['units'], strict=True))
    assert all(at[line] is not None for line in lines['padding'])
    assert all(at[line] is None for line in lines['not available'])
    assert manifest['time']['duplicates'] == PLANTED['duplicate']
    shop, first, length = demo.GAP
    days = rows.filter(pl.col('shop') == shop)['date'].to_list()
    assert not {first + timedelta(n) for n in range(length)} & set(days)
    assert manifest['time']['longest_gap_seconds'] == (length + 1) * 86400


def test_the_shops_have_a_week_holidays_and_a_summer(stored: tuple[dict[str, Any], pl.DataFrame]) -> None:
    _, rows = stored
    assert rows.filter(pl.col('holiday').is_in(demo.CLOSED))['units'].max() == 0
    ice = rows.filter(pl.col('group') == 'Ice cream')
    by_month = dict(ice.group_by(pl.col('date').dt.month()).agg(pl.col('units').mean()).iter_rows())
    assert by_month[7] > 3 * by_month[1]
    bread = rows.filter((pl.col('group') == 'Bakery') & pl.col('holiday').is_null())
    by_day = dict(bread.group_by(pl.col('date').dt.weekday()).agg(pl.col('units').mean()).iter_rows())
    assert max(by_day, key=lambda day: by_day[day]) == 6
    sold = dict(bread.group_by('promotion').agg(pl.col('units').mean()).drop_nulls().iter_rows())
    assert sold[1] > 1.15 * sold[0]


@pytest.mark.slow
def test_the_grid_has_nothing_wrong_but_its_outage(tmp_path: Path) -> None:
    path = tmp_path / 'Grid load.csv'
    path.write_bytes(demo.grid_load())
    manifest, rows = converted(path)
    region, start, length = demo.OUTAGE
    assert manifest['rows_accepted'] == manifest['rows_read'] == 3 * demo.HOURS - length
    assert demo.PLANTED['grid_load'] == {'gap': length}
    assert manifest['faults_total'] == 0
    assert manifest['time']['freq'] == 'h'
    assert (manifest['time']['gaps'], manifest['time']['duplicates']) == (1, 0)
    silent = rows.filter((pl.col('region') == region) & (pl.col('_time') >= start.replace(tzinfo=None)))
    assert silent['_time'].min() == start.replace(tzinfo=None) + timedelta(hours=length)
    assert Counter(rows['region']) == {name: demo.HOURS - length * (name == region) for name in demo.REGIONS}


def test_load_rises_with_the_cold_and_the_heat_and_falls_at_weekends(tmp_path: Path) -> None:
    path = tmp_path / 'grid.csv'
    path.write_bytes(demo.grid_load())
    rows = pl.read_csv(path, try_parse_dates=True).filter(pl.col('region') == 'Middle')
    noon = rows.filter(pl.col('time_utc').dt.hour() == 12)
    mild = noon.filter(pl.col('temperature_c').is_between(16, 21))['load_mw'].mean()
    assert noon.filter(pl.col('temperature_c') < 4)['load_mw'].mean() > 1.05 * mild
    assert noon.filter(pl.col('temperature_c') > 25)['load_mw'].mean() > 1.03 * mild
    weekend = pl.col('time_utc').dt.weekday() > 5
    assert noon.filter(weekend)['load_mw'].mean() < 0.93 * noon.filter(~weekend)['load_mw'].mean()
