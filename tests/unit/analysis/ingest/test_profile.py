"""Profiles of series and columns."""

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from core.analysis.ingest import profile
from tests.unit.analysis.ingest.reading import converted

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    'freq',
    [
        'MS',
        'ME',
        'QS',
        'QE',
        'YS',
        '2MS',
        'D',
        '7D',
        'W-MON',
        'W-SUN',
        '2W-TUE',
        'B',
        'h',
        '6h',
        '5min',
        '15min',
        '10s',
    ],
)
def test_a_regular_series_has_its_frequency(tmp_path: Path, freq: str) -> None:
    times = pd.date_range('2021-01-01', periods=60 if 'Y' not in freq else 12, freq=freq)
    manifest, _ = converted(tmp_path, 'ds,y\n' + ''.join(f'{time},{i}\n' for i, time in enumerate(times)))
    expected = {'7D': 'W-FRI'}.get(freq, freq)
    assert manifest.time.freq == expected
    assert (manifest.time.gaps, manifest.time.duplicates) == (0, 0)


@pytest.mark.parametrize(
    ('kept', 'freq', 'gaps'),
    [('0123', 'B', 29), ('012345', 'D', 29), ('024', None, 0), ('56', 'D', 29), ('01', 'B', 29)],
)
def test_days_of_the_week_are_daily_where_most_follow_one_another(
    tmp_path: Path, kept: str, freq: str | None, gaps: int
) -> None:
    days = [day for day in pd.date_range('2024-01-01', periods=210) if str(day.weekday()) in kept]
    manifest, _ = converted(tmp_path, 'ds,y\n' + ''.join(f'{day:%Y-%m-%d},{i}\n' for i, day in enumerate(days)))
    assert (manifest.time.freq, manifest.time.gaps) == (freq, gaps)


def test_days_of_which_most_are_missing_are_irregular(tmp_path: Path) -> None:
    days = np.flatnonzero(np.random.default_rng(0).random(400) < 0.3)
    stamps = pd.Timestamp('2024-01-01') + pd.to_timedelta(days, 'D')
    manifest, _ = converted(tmp_path, 'ds,y\n' + ''.join(f'{day:%Y-%m-%d},{i}\n' for i, day in enumerate(stamps)))
    assert (manifest.time.freq, manifest.time.gaps) == (None, 0)


def test_gaps_and_duplicates_are_counted(tmp_path: Path) -> None:
    times = list(pd.date_range('2024-01-01', periods=100, freq='h'))
    del times[50:53]
    times.insert(10, times[10])
    text = 'ds,y\n' + ''.join(f'{time},{i}\n' for i, time in enumerate(times))
    manifest, into = converted(tmp_path, text, off=['duplicate'])
    assert (manifest.time.freq, manifest.time.step_seconds) == ('h', 3600)
    assert (manifest.time.gaps, manifest.time.longest_gap_seconds) == (1, 4 * 3600)
    assert manifest.time.duplicates == 1
    assert duckdb.sql(f"SELECT rows, gaps, duplicates FROM '{into}/series.parquet'").fetchall() == [(98, 1, 1)]


def test_pages_begin_with_the_first_series_of_those_with_the_most_rows(tmp_path: Path) -> None:
    rows = [('a', 1), *[(name, day) for name in ('c', 'b') for day in range(1, 6)]]
    manifest, _ = converted(tmp_path, 'shop,ds,y\n' + ''.join(f'{name},2024-01-0{day},{day}\n' for name, day in rows))
    assert (manifest.series.first, manifest.series.opens) == (('a', 'b', 'c'), 'b')


def test_pages_begin_with_the_first_series_though_another_has_a_row_more(tmp_path: Path) -> None:
    days = [f'{day:%Y-%m-%d}' for day in pd.date_range('2024-01-01', periods=101)]
    text = 'shop,ds,y\n' + ''.join(f'{n},{day},1\n' for n in 'abc' for day in days[: 90 if n == 'a' else -1])
    assert converted(tmp_path, text + f'c,{days[-1]},2\n')[0].series.opens == 'b'


def test_a_missing_month_is_a_gap(tmp_path: Path) -> None:
    months = [
        f'{year}-{month:02}' for year in range(2000, 2005) for month in range(1, 13) if (year, month) != (2002, 6)
    ]
    manifest, _ = converted(tmp_path, 'ds,y\n' + ''.join(f'{month},1\n' for month in months))
    assert (manifest.time.freq, manifest.time.gaps) == ('MS', 1)


def test_a_gap_of_thirty_days_within_one_month_is_a_gap_of_days(tmp_path: Path) -> None:
    days = [*pd.date_range('2024-02-01', '2024-03-01'), *pd.date_range('2024-03-31', '2024-05-01')]
    manifest, _ = converted(tmp_path, 'ds,y\n' + ''.join(f'{day:%Y-%m-%d},{day.day}\n' for day in days))
    assert (manifest.time.freq, manifest.time.gaps, manifest.time.longest_gap_seconds) == ('D', 1, 30 * 86_400)


def test_irregular_times_have_no_frequency(tmp_path: Path) -> None:
    times = [pd.Timestamp('2024-01-01') + pd.Timedelta(seconds=(i * i * 37) % 999_983) for i in range(200)]
    manifest, _ = converted(tmp_path, 'ds,y\n' + ''.join(f'{time},1\n' for time in sorted(times)))
    assert manifest.time.freq is None


def test_irregular_times_tell_their_median_gap(tmp_path: Path) -> None:
    # Of each series the commonest gap is of 3 minutes, as few are alike.
    gaps = {'a': [3, 3, 40, 97, 101, 111, 120], 'b': [3, 3, 50, 99, 103, 112, 131], 'c': [3, 3, 60, 105, 117, 125, 131]}
    rows = [
        f'{pd.Timestamp("2024-01-01") + pd.Timedelta(minutes=sum(own[:n]))},{name},1'
        for name, own in gaps.items()
        for n in range(len(own) + 1)
    ]
    manifest, _ = converted(tmp_path, '\n'.join(['ds,shop,y', *rows, '']))
    assert (manifest.time.freq, manifest.time.step_seconds) == (None, 99 * 60)


def test_days_stay_days_when_clocks_change(tmp_path: Path) -> None:
    times = pd.date_range('2024-03-01', periods=60, freq='D')
    text = 'ds,y\n' + ''.join(f'{time:%Y-%m-%d %H:%M},1\n' for time in times)
    manifest, _ = converted(tmp_path, text, time_zone='Europe/Paris')
    assert (manifest.time.freq, manifest.time.gaps) == ('D', 0)


def test_figures_of_a_measure(tmp_path: Path) -> None:
    values = [str(i) for i in range(1, 101)]
    values[9] = ''
    text = 'ds,y,z\n' + ''.join(
        f'{time},{value},1\n' for time, value in zip(pd.date_range('2024-01-01', periods=100), values, strict=True)
    )
    manifest, _ = converted(tmp_path, text)
    y = manifest.columns[1]
    assert (y.missing, y.distinct, y.min, y.max) == (1, 99, 1, 100)
    assert y.mean == pytest.approx(5040 / 99)
    assert y.median == 51
    assert y.p99 == pytest.approx(99.02)
    assert len(y.sparkline) == 60
    assert y.sparkline[0] == pytest.approx(1.5)
    assert y.histogram is not None
    assert sum(y.histogram.counts) == 99
    assert len(y.histogram.edges) == len(y.histogram.counts) + 1
    constant = manifest.columns[2]
    assert constant.histogram is not None
    assert constant.histogram.counts == (100,)


def test_extremes_of_texts_come_from_row_groups_or_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many rows, groups tell the extremes of short texts; long ones, of which they tell the start, are read."""
    header = 'ds,key,short,mixed,y\n'
    texts = [
        ('b', 'Zürich', 'x' * 300 + 'b'),
        ('a', '\u1e9e', 'x' * 300 + 'a'),
        ('c', '', 'a'),
        ('a b', 'aa', 'w' * 255),
    ]
    lines = [
        f'2024-01-{i + 1:02},{texts[i % 4][0]},{texts[i % 4][1]},{texts[i % 4][2]},{i}\n' for i in range(24)
    ]  # fmt: skip
    own = {'roles': {'key': 'series', 'short': 'attribute', 'mixed': 'attribute'}, 'off': ['duplicate']}
    (tmp_path / 'exact').mkdir()
    (tmp_path / 'many').mkdir()
    exact, _ = converted(tmp_path / 'exact', header + ''.join(lines), **own)
    monkeypatch.setattr(profile, 'EXACT_ROWS', 10)
    asked: list[str] = []
    extremes = profile._extremes
    monkeypatch.setattr(profile, '_extremes', lambda *given: asked.extend(found := extremes(*given)) or found)
    many, _ = converted(tmp_path / 'many', header + ''.join(lines), **own)
    assert [(c.name, c.min, c.max, c.mean) for c in many.columns] == [
        (c.name, c.min, c.max, c.mean) for c in exact.columns
    ]
    assert {c.name: (c.min, c.max) for c in many.columns if c.name in ('key', 'short')} == {
        'key': ('a', 'c'),
        'short': ('Zürich', '\u1e9e'),
    }
    assert sorted(asked) == ['key', 'short']
