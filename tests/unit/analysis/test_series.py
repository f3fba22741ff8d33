"""Points of windows: nothing outside, no extreme missing, gaps seen, and a binary form that comes back whole."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analysis.query import Query, Stored, answer
from core.analysis.query.row_groups import Blocks
from core.analysis.series import Line, Points, encode, points
from tests.unit.analysis.stored import Row, store, summarise

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
MEASURES = ('y', 'a "b"')
Open = Callable[[list[Row]], Stored]


def open_rows(folder: Path, rows: Sequence[Row]) -> Stored:
    parts, out, listed = store(folder, rows, parts=2), folder / 'pyramid.parquet', folder / 'series.parquet'
    summarise(parts, MEASURES, out=out)
    labels = sorted({row[0] for row in rows})
    times = [[row[1] for row in rows if row[0] == label] for label in labels]
    table = {'series': pa.array(labels, pa.string()), 'rows': pa.array(map(len, times), pa.int64())}
    for name, pick in (('start', min), ('end', max)):
        table[name] = pa.array(np.array([pick(one) for one in times], dtype='datetime64[us]'))
    pq.write_table(pa.table(table), listed)
    return Stored(parts, out, listed, measures=MEASURES, blocks=Blocks())


def window(stored: Stored, **asked: Any) -> Points:
    """The points of a question."""
    return points(answer(stored, Query(kind='envelope', **asked)))


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    return lambda rows: open_rows(tmp_path, rows)


def walk(n: int, *, seed: int = 3, series: str = '', start: int = -10_000 * SECOND) -> list[Row]:
    """Irregular by a little, with repeated times, NULLs and one gap of ten minutes."""
    draw = np.random.default_rng(seed)
    steps = draw.choice([0, SECOND, SECOND, SECOND, SECOND + 3], size=n)
    steps[n // 2] = 600 * SECOND
    times = start + np.cumsum(steps)
    values = np.cumsum(draw.normal(size=n))
    values[draw.integers(0, n, 20)] += 500
    hidden = draw.random(n) < 0.01
    return [
        (series, int(t), None if gone else float(y), None) for t, y, gone in zip(times, values, hidden, strict=True)
    ]


ROWS = walk(60_000)
T = np.array([row[1] for row in ROWS if row[2] is not None])
Y = np.array([row[2] for row in ROWS if row[2] is not None])


@pytest.fixture(scope='module')
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return open_rows(tmp_path_factory.mktemp('series'), ROWS)


def only(found: Points) -> Line:
    (line,) = found.lines
    return line


@settings(max_examples=120, deadline=None)
@given(
    a=st.integers(int(T[0]) - 50 * SECOND, int(T[-1]) + 50 * SECOND),
    size=st.one_of(st.integers(0, 5000), st.integers(0, 70_000)).map(lambda s: s * SECOND // 3),
    width=st.integers(1, 1500),
)
@pytest.mark.slow
def test_any_view_shows_its_extremes_and_nothing_outside(stored: Stored, a: int, size: int, width: int) -> None:
    found = window(stored, measures=('y',), start=a, end=a + size, width=width)
    line, inside = only(found), (a <= T) & (a + size >= T)

    assert found.rows_behind == inside.sum()
    assert found.points_per_pixel == inside.sum() / width
    assert np.all((line.t >= a / 1000 - 1e-3) & (line.t <= (a + size) / 1000 + 1e-3))
    assert np.all(np.diff(line.t) >= 0)
    drawn = ~np.isnan(line.y)
    assert found.exact == (inside.sum() <= 2 * width)
    if not inside.any():
        assert not drawn.any()
    elif line.lo is None or line.hi is None:
        assert line.t[drawn].tolist() == (T[inside] / 1000).tolist()
        assert line.y[drawn].tolist() == Y[inside].tolist()
    else:
        assert np.nanmin(line.lo) == Y[inside].min()
        assert np.nanmax(line.hi) == Y[inside].max()
        assert drawn.sum() <= width
        assert np.all((line.lo <= line.y) & (line.y <= line.hi) | ~drawn)


def test_pixels_hold_the_mean_and_extremes_of_their_values(stored: Stored) -> None:
    start, end, width = int(T[100]), int(T[50_000]), 100
    line = only(window(stored, measures=('y',), start=start, end=end, width=width))
    pixel, drawn = (end - start + 1) / width, ~np.isnan(line.y)
    assert line.hi is not None
    assert line.lo is not None
    near = [(start + (int((t * 1000 - start) / pixel) + np.array([-0.5, 1.5])) * pixel) for t in line.t[drawn]]
    for (low, high), top, bottom, mean in zip(near, line.hi[drawn], line.lo[drawn], line.y[drawn], strict=True):
        around = Y[(low <= T) & (high >= T)]
        assert around.min() <= bottom <= mean <= top <= around.max()


def test_all_of_it_when_no_limits_are_given(stored: Stored) -> None:
    found = window(stored, measures=('y',), width=800)
    assert found.span == (T[0] / 1000, T[-1] / 1000) == (found.start, found.end)
    assert found.rows_behind == len(T)
    assert found.gaps == ((T[np.diff(T).argmax()] / 1000, T[np.diff(T).argmax() + 1] / 1000),)


def test_a_gap_interrupts_the_line_at_every_resolution(stored: Stored) -> None:
    before = int(np.diff(T).argmax())
    gap = (T[before] / 1000, T[before + 1] / 1000)
    for reach in (5, 500, 5_000, 25_000):
        found = window(stored, measures=('y',), start=int(T[before - reach]), end=int(T[before + reach]), width=300)
        broken = only(found).t[np.isnan(only(found).y)]
        assert gap in found.gaps
        assert ((gap[0] < broken) & (broken < gap[1])).sum() == 1


def test_a_view_inside_a_gap_is_all_gap(stored: Stored) -> None:
    before = int(np.diff(T).argmax())
    start, end = int(T[before]) + 60 * SECOND, int(T[before]) + 120 * SECOND
    found = window(stored, measures=('y',), start=start, end=end, width=300)
    assert found.gaps == ((start / 1000, end / 1000),)
    assert len(only(found).t) == 0


def test_an_edge_cuts_a_gap(stored: Stored) -> None:
    before = int(np.diff(T).argmax())
    start = int(T[before]) + 60 * SECOND
    found = window(stored, measures=('y',), start=start, end=int(T[before + 200]), width=300)
    assert found.gaps[0] == (start / 1000, T[before + 1] / 1000)


def test_a_missing_month_is_a_gap_and_a_long_month_is_none(opened: Open) -> None:
    months = [datetime(2020 + i // 12, i % 12 + 1, 1, tzinfo=UTC) for i in range(36)]
    rows: list[Row] = [
        ('', (m - EPOCH) // timedelta(microseconds=1), float(i), None) for i, m in enumerate(months) if i != 14
    ]
    found = window(opened(rows), measures=('y',), width=500)
    assert found.gaps == ((months[13].timestamp() * 1000, months[15].timestamp() * 1000),)
    assert np.isnan(only(found).y).sum() == 1


def test_weekends_are_no_gaps(opened: Open) -> None:
    days = [i for i in range(365) if i % 7 < 5]
    found = window(opened([('', i * 86_400 * SECOND, 1.0, None) for i in days]), measures=('y',), width=900)
    assert found.gaps == ()
    assert not np.isnan(only(found).y).any()


def test_an_empty_cell_interrupts_the_line(opened: Open) -> None:
    rows: list[Row] = [('', i * SECOND, None if i == 5 else float(i), None) for i in range(20)]
    line = only(window(opened(rows), measures=('y',), width=500))
    assert np.isnan(line.y).sum() == 1
    assert line.y[~np.isnan(line.y)].tolist() == [i for i in range(20) if i != 5]


def test_gaps_of_several_lines_are_those_they_share(opened: Open) -> None:
    rows: list[Row] = [
        (s, i * SECOND, 1.0, None)
        for s, gap in (('a', range(20, 60)), ('b', range(40, 80)))
        for i in range(100)
        if i not in gap
    ]
    found = window(opened(rows), measures=('y',), series=('a', 'b'), width=500)
    assert found.gaps == ((39_000.0, 60_000.0),)
    assert [line.name for line in found.lines] == ['a · y', 'b · y']


def test_values_at_one_time_are_all_drawn_in_their_order(opened: Open) -> None:
    line = only(window(opened([('', SECOND, float(v), None) for v in (3, 1, 2)]), measures=('y',), width=10))
    assert line.y.tolist() == [3, 1, 2]
    assert line.t.tolist() == [1000, 1000, 1000]


def test_very_many_values_at_few_times_are_counted_exactly(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('core.analysis.query.points.MOST_ROWS', 500)
    rows: list[Row] = [('', i // 1000 * SECOND, float(i), None) for i in range(10_000)]
    found = window(opened(rows), measures=('y',), start=2 * SECOND, end=7 * SECOND, width=100)
    line = only(found)
    assert found.rows_behind == 6000
    assert line.lo is not None
    assert (np.nanmin(line.lo), np.nanmax(line.hi if line.hi is not None else 0)) == (2000, 7999)


def test_sums_that_overflow_still_give_a_mean_inside(opened: Open) -> None:
    line = only(window(opened([('', i, 1.7e308, None) for i in range(100)]), measures=('y',), width=4))
    assert line.y.tolist() == [1.7e308] * 4


def test_few_rows(opened: Open) -> None:
    one = window(opened([('', 5 * SECOND, 2.5, None)]), measures=MEASURES, width=100)
    assert [line.y.tolist() for line in one.lines] == [[2.5], []]
    assert (one.span, one.gaps, one.exact) == ((5000.0, 5000.0), (), True)
    none = window(opened([]), measures=MEASURES, width=100)
    assert (none.lines, none.span, none.gaps) == ((), None, ())


def test_windows_beside_the_data_are_empty(stored: Stored) -> None:
    for start in (T[0] - 100 * SECOND, T[-1] + 50 * SECOND):
        found = window(stored, measures=('y',), start=int(start), end=int(start) + SECOND, width=100)
        assert len(only(found).t) == found.rows_behind == len(found.gaps) == 0


def test_the_binary_form_holds_all_there_is(stored: Stored) -> None:
    for asked in ({'measures': MEASURES, 'width': 333}, {'measures': ('y',), 'end': int(T[50]), 'width': 300}):
        made = window(stored, **asked)
        data = encode(made)
        length = int.from_bytes(data[4:8], 'little')
        assert (data[:4], length % 8) == (b'VSP1', 0)
        header = json.loads(data[8 : 8 + length])
        for name in ('start', 'end', 'width', 'rows_behind', 'points_per_pixel'):
            assert header[name] == getattr(made, name)
        assert (tuple(header['span']), tuple(map(tuple, header['gaps']))) == (made.span, made.gaps)
        numbers, at = np.frombuffer(data, dtype='<f8', offset=8 + length), 0
        for told, line in zip(header['lines'], made.lines, strict=True):
            assert (told['name'], told['envelope']) == (line.name, line.lo is not None)
            for block in (line.t, line.y, *(one for one in (line.lo, line.hi) if one is not None)):
                np.testing.assert_array_equal(numbers[at : at + told['points']], block)
                at += told['points']
        assert at == len(numbers)
