"""The pyramid holds what a brute-force summary of the same values holds, at every level."""

import json
import zlib
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest

from core.analysis.ingest.pyramid import SMALL
from tests.unit.analysis.ingest.reading import converted
from tests.unit.analysis.stored import Row, store, summarise

SECOND = 1_000_000


def rows_of(out: Path, where: str = 'true') -> list[dict[str, object]]:
    answer = duckdb.sql(f"SELECT * FROM '{out}' WHERE {where} ORDER BY measure, series, level, start")
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.fetchall()]


def build(tmp_path: Path, rows: list[Row], *, parts: int = 1) -> Path:
    out = tmp_path / 'pyramid.parquet'
    summarise(store(tmp_path, rows, parts=parts), ['y', 'a "b"'], out=out)
    return out


def regular(n: int, *, series: str = '', start: int = 0, step: int = SECOND, seed: int = 1) -> list[Row]:
    draw = np.random.default_rng(seed)
    return [(series, start + i * step, float(v), None) for i, v in enumerate(draw.normal(size=n))]


@pytest.mark.parametrize('start', [0, -3_000 * SECOND - 7], ids=['from 1970', 'across 1970'])
@pytest.mark.slow
def test_every_level_equals_brute_force(tmp_path: Path, start: int) -> None:
    values = regular(150_000, start=start)
    values = [row for i, row in enumerate(values) if not 7_000 <= i < 7_900]
    found = rows_of(build(tmp_path, values, parts=3), "measure = 'y'")

    assert {row['level'] for row in found} == {0, 1, 2}
    t, y = np.array([row[1] for row in values]), np.array([row[2] for row in values])
    for level in (0, 1, 2):
        width = 60 * SECOND * 4**level
        buckets = [row for row in found if row['level'] == level]
        home = t // width * width
        assert [row['start'] for row in buckets] == np.unique(home).tolist()
        for row in buckets:
            inside = slice(*np.searchsorted(home, [row['start'], row['start'] + width]))  # times ascend
            assert row['width'] == width
            assert row['n'] == len(t[inside])
            assert row['total'] == pytest.approx(y[inside].sum())
            assert (row['low'], row['high']) == (y[inside].min(), y[inside].max())
            at = (t[inside][y[inside].argmin()], t[inside][y[inside].argmax()])
            assert (row['start'] + row['low_after'], row['start'] + row['high_after']) == at
            ends = (row['start'] + row['first_after'], row['start'] + row['last_after'])
            assert ends == (t[inside].min(), t[inside].max())


def test_each_series_has_the_width_of_its_own_sampling(tmp_path: Path) -> None:
    rows = regular(SMALL, series='a') + regular(SMALL, series='b', step=60 * SECOND)
    found = rows_of(build(tmp_path, rows), 'level = 0')
    widths = {row['series']: row['width'] for row in found}
    gaps = {row['series']: row['gap'] for row in found}
    assert widths == {'a': 60 * SECOND, 'b': 60 * 60 * SECOND}
    assert gaps == {'a': 1.75 * SECOND, 'b': 1.75 * 60 * SECOND}


def test_small_series_and_empty_measures_have_no_rows(tmp_path: Path) -> None:
    assert rows_of(build(tmp_path, regular(SMALL - 1))) == []


def test_nulls_and_infinities_are_left_out(tmp_path: Path) -> None:
    rows = [(s, t, None if i % 3 == 0 else float('inf') if i % 3 == 1 else y, None)
            for i, (s, t, y, _) in enumerate(regular(3 * SMALL))]  # fmt: skip
    found = rows_of(build(tmp_path, rows), 'level = 0')
    assert sum(row['n'] for row in found) == SMALL
    assert {row['width'] for row in found} == {60 * 3 * SECOND}
    assert all(np.isfinite(row['high']) for row in found)


def test_bursts_do_not_make_a_bucket_of_every_value(tmp_path: Path) -> None:
    rows: list[Row] = [('', i * 3600 * SECOND + k, float(i), None) for i in range(SMALL) for k in (0, 1, 2)]
    found = rows_of(build(tmp_path, rows), 'level = 0')
    assert len(found) <= len(rows) / 16 + 2
    assert sum(row['n'] for row in found) == len(rows)


def test_one_time_for_all_values_is_one_bucket(tmp_path: Path) -> None:
    found = rows_of(build(tmp_path, [('', 5, float(i), None) for i in range(SMALL)]))
    assert [(row['n'], row['low'], row['high']) for row in found] == [(SMALL, 0.0, SMALL - 1.0)]


def test_of_equal_extremes_the_first_is_told_at_every_level(tmp_path: Path) -> None:
    found = rows_of(build(tmp_path, [('', i * SECOND, float(i % 100), None) for i in range(40_000)]), 'n = 240')
    assert found
    for row in found:
        start = row['start'] // SECOND
        assert (row['low_after'], row['high_after']) == (-start % 100 * SECOND, (99 - start) % 100 * SECOND)


def test_the_same_parts_give_the_same_rows(tmp_path: Path) -> None:
    rows: list[Row] = [('', i * SECOND, float(i % 5), float(i % 2)) for i in range(2 * SMALL)]
    first = rows_of(build(tmp_path, rows))
    assert rows_of(build(tmp_path, rows)) == first
    assert {row['measure'] for row in first} == {'y', 'a "b"'}
    assert first[0]['start'] + first[0]['low_after'] == 0


def told(out: Path) -> dict[str, list]:
    found = duckdb.sql(f"SELECT value FROM parquet_kv_metadata('{out}') WHERE key = 'lines'").fetchall()
    return json.loads(zlib.decompress(found[0][0])) if found else {}


@pytest.mark.slow
def test_the_footer_tells_where_lines_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = regular(125_000, series='Zürich "2"') + [(*row[:3], 1.0) for row in regular(SMALL, series='Öd · b', seed=2)]
    paths, out, again = store(tmp_path, rows), tmp_path / 'pyramid.parquet', tmp_path / 'again.parquet'
    summarise(paths, ['y', 'a "b"'], out=out)
    known = told(out)
    assert known['measures'] == ['a "b"', 'y']
    assert known['series'] == ['Zürich "2"', 'Öd · b']
    stored, begin = rows_of(out), 0
    for measure, series, level, width, gap, count in zip(*known['runs'], strict=True):
        words = (known['measures'][measure], known['series'][series])
        for row in stored[begin : begin + count]:
            assert (row['measure'], row['series'], row['level'], row['width'], row['gap']) == (
                *words,
                level,
                width,
                gap,
            )
        begin += count
    assert begin == len(stored)
    monkeypatch.setattr('core.analysis.ingest.pyramid.MOST_RUNS', 4)
    summarise(paths, ['y', 'a "b"'], out=again)
    assert told(again) == {}
    assert rows_of(again) == stored


def test_a_pyramid_without_lines_says_so(tmp_path: Path) -> None:
    assert told(build(tmp_path, regular(5))) == {'measures': [], 'series': [], 'runs': [[], [], [], [], [], []]}


@pytest.mark.slow
def test_what_the_profile_tells_gives_the_pyramid_that_the_rows_alone_give(tmp_path: Path) -> None:
    """Steps and whole measures are taken from the profile: also with repeated times, bursts, and a short series."""
    start = datetime(2024, 1, 1)
    times = {
        'even': [start + timedelta(minutes=15 * i) for i in range(SMALL + 900)],
        'bursts': [start + timedelta(seconds=3600 * (i // 20) + i % 20 // 2 * 7) for i in range(SMALL + 400)],
        'short': [start + timedelta(days=i) for i in range(50)],
    }
    rows = [(key, time, i) for key, own in times.items() for i, time in enumerate(own)]
    text = 'key,ds,y,z\n' + ''.join(f'{k},{t},{i % 97 / 7},{i if i % 50 else ""}\n' for k, t, i in rows)
    manifest, into = converted(tmp_path, text, off=['duplicate'])
    assert manifest.time.duplicates
    assert manifest.measures == ('y', 'z')
    alone = tmp_path / 'alone.parquet'
    summarise(sorted(into.glob('data-*.parquet')), manifest.measures, out=alone)
    found = rows_of(into / 'pyramid.parquet')
    assert {row['measure'] for row in found} == {'y', 'z'}
    assert {row['series'] for row in found} == {'even', 'bursts'}
    assert found == rows_of(alone)
