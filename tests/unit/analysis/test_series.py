"""Windows of series: nothing outside, no extreme missing, gaps seen, and a binary form that comes back whole."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analysis.ingest.pyramid import build_pyramid
from core.analysis.series import Line, Points, SeriesReader, Window, decode, encode
from core.errors import Unavailable, UsageError
from tests.unit.analysis.stored import Row, store

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
MEASURES = ('y', 'a "b"')
Open = Callable[[list[Row]], SeriesReader]


def at(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def open_rows(folder: Path, rows: list[Row]) -> SeriesReader:
    parts = store(folder, rows, parts=2)
    out = folder / 'pyramid.parquet'
    build_pyramid(parts, measures=MEASURES, out=out, memory=256 * 2**20, workdir=folder)
    return SeriesReader(parts, out, measures=MEASURES)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as stack:
        yield lambda rows: stack.enter_context(closing(open_rows(tmp_path, rows)))


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
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeriesReader]:
    with closing(open_rows(tmp_path_factory.mktemp('series'), ROWS)) as reader:
        yield reader


def only(points: Points) -> Line:
    (line,) = points.lines
    return line


@settings(max_examples=120, deadline=None)
@given(
    a=st.integers(int(T[0]) - 50 * SECOND, int(T[-1]) + 50 * SECOND),
    size=st.one_of(st.integers(0, 5000), st.integers(0, 70_000)).map(lambda s: s * SECOND // 3),
    width=st.integers(1, 1500),
)
def test_any_view_shows_its_extremes_and_nothing_outside(reader: SeriesReader, a: int, size: int, width: int) -> None:
    points = reader.window(Window(measures=('y',), start=at(a), end=at(a + size), width=width))
    line, inside = only(points), (a <= T) & (a + size >= T)

    assert points.rows_behind == inside.sum()
    assert points.points_per_pixel == inside.sum() / width
    assert np.all((line.t >= a / 1000 - 1e-3) & (line.t <= (a + size) / 1000 + 1e-3))
    assert np.all(np.diff(line.t) >= 0)
    drawn = ~np.isnan(line.y)
    assert points.exact == (inside.sum() <= 2 * width)
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


def test_pixels_hold_the_mean_and_extremes_of_their_values(reader: SeriesReader) -> None:
    start, end, width = int(T[100]), int(T[50_000]), 100
    line = only(reader.window(Window(measures=('y',), start=at(start), end=at(end), width=width)))
    pixel, drawn = (end - start + 1) / width, ~np.isnan(line.y)
    assert line.hi is not None
    assert line.lo is not None
    near = [(start + (int((t * 1000 - start) / pixel) + np.array([-0.5, 1.5])) * pixel) for t in line.t[drawn]]
    for (low, high), top, bottom, mean in zip(near, line.hi[drawn], line.lo[drawn], line.y[drawn], strict=True):
        around = Y[(low <= T) & (high >= T)]
        assert around.min() <= bottom <= mean <= top <= around.max()


def test_all_of_it_when_no_limits_are_given(reader: SeriesReader) -> None:
    points = reader.window(Window(measures=('y',), width=800))
    assert points.span == (T[0] / 1000, T[-1] / 1000) == (points.start, points.end)
    assert points.rows_behind == len(T)
    assert points.gaps == ((T[np.diff(T).argmax()] / 1000, T[np.diff(T).argmax() + 1] / 1000),)


def test_a_gap_interrupts_the_line_at_every_resolution(reader: SeriesReader) -> None:
    before = int(np.diff(T).argmax())
    gap = (T[before] / 1000, T[before + 1] / 1000)
    for reach in (5, 500, 5_000, 25_000):
        window = Window(measures=('y',), start=at(int(T[before - reach])), end=at(int(T[before + reach])), width=300)
        points = reader.window(window)
        broken = only(points).t[np.isnan(only(points).y)]
        assert gap in points.gaps
        assert ((gap[0] < broken) & (broken < gap[1])).sum() == 1


def test_a_view_inside_a_gap_is_all_gap(reader: SeriesReader) -> None:
    before = int(np.diff(T).argmax())
    start, end = int(T[before]) + 60 * SECOND, int(T[before]) + 120 * SECOND
    points = reader.window(Window(measures=('y',), start=at(start), end=at(end), width=300))
    assert points.gaps == ((start / 1000, end / 1000),)
    assert len(only(points).t) == 0


def test_an_edge_cuts_a_gap(reader: SeriesReader) -> None:
    before = int(np.diff(T).argmax())
    start = int(T[before]) + 60 * SECOND
    points = reader.window(Window(measures=('y',), start=at(start), end=at(int(T[before + 200])), width=300))
    assert points.gaps[0] == (start / 1000, T[before + 1] / 1000)


def test_a_missing_month_is_a_gap_and_a_long_month_is_none(opened: Open) -> None:
    months = [datetime(2020 + i // 12, i % 12 + 1, 1, tzinfo=UTC) for i in range(36)]
    rows: list[Row] = [
        ('', (m - EPOCH) // timedelta(microseconds=1), float(i), None) for i, m in enumerate(months) if i != 14
    ]
    points = opened(rows).window(Window(measures=('y',), width=500))
    assert points.gaps == ((months[13].timestamp() * 1000, months[15].timestamp() * 1000),)
    assert np.isnan(only(points).y).sum() == 1


def test_weekends_are_no_gaps(opened: Open) -> None:
    days = [i for i in range(365) if i % 7 < 5]
    points = opened([('', i * 86_400 * SECOND, 1.0, None) for i in days]).window(Window(measures=('y',), width=900))
    assert points.gaps == ()
    assert not np.isnan(only(points).y).any()


def test_an_empty_cell_interrupts_the_line(opened: Open) -> None:
    rows: list[Row] = [('', i * SECOND, None if i == 5 else float(i), None) for i in range(20)]
    line = only(opened(rows).window(Window(measures=('y',), width=500)))
    assert np.isnan(line.y).sum() == 1
    assert line.y[~np.isnan(line.y)].tolist() == [i for i in range(20) if i != 5]


def test_gaps_of_several_lines_are_those_they_share(opened: Open) -> None:
    rows: list[Row] = [
        (s, i * SECOND, 1.0, None)
        for s, gap in (('a', range(20, 60)), ('b', range(40, 80)))
        for i in range(100)
        if i not in gap
    ]
    points = opened(rows).window(Window(measures=('y',), series=('a', 'b'), width=500))
    assert points.gaps == ((39_000.0, 60_000.0),)
    assert [line.name for line in points.lines] == ['a · y', 'b · y']


def test_values_at_one_time_are_all_drawn_in_their_order(opened: Open) -> None:
    line = only(opened([('', SECOND, float(v), None) for v in (3, 1, 2)]).window(Window(measures=('y',), width=10)))
    assert line.y.tolist() == [3, 1, 2]
    assert line.t.tolist() == [1000, 1000, 1000]


def test_very_many_values_at_few_times_are_counted_exactly(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('core.analysis.series.RAW_ROWS', 500)
    rows: list[Row] = [('', i // 1000 * SECOND, float(i), None) for i in range(10_000)]
    points = opened(rows).window(Window(measures=('y',), start=at(2 * SECOND), end=at(7 * SECOND), width=100))
    line = only(points)
    assert points.rows_behind == 6000
    assert line.lo is not None
    assert (np.nanmin(line.lo), np.nanmax(line.hi if line.hi is not None else 0)) == (2000, 7999)


def test_sums_that_overflow_still_give_a_mean_inside(opened: Open) -> None:
    line = only(opened([('', i, 1.7e308, None) for i in range(100)]).window(Window(measures=('y',), width=4)))
    assert line.y.tolist() == [1.7e308] * 4


@pytest.mark.parametrize('rows', [[], [('', 5 * SECOND, 2.5, None)], [('', 5 * SECOND, None, None)]])
def test_few_rows(opened: Open, rows: list[Row]) -> None:
    points = opened(rows).window(Window(measures=MEASURES, width=100))
    assert [line.y.tolist() for line in points.lines] == ([[2.5], []] if rows and rows[0][2] else [[], []])
    assert points.span == ((5000.0, 5000.0) if rows and rows[0][2] else None)
    assert points.gaps == ()


def test_windows_beside_the_data_are_empty(reader: SeriesReader) -> None:
    for start in (T[0] - 100 * SECOND, T[-1] + 50 * SECOND):
        points = reader.window(Window(measures=('y',), start=at(int(start)), end=at(int(start) + SECOND), width=100))
        assert len(only(points).t) == points.rows_behind == len(points.gaps) == 0
    assert only(reader.window(Window(measures=('y',), series=('nobody',)))).y.tolist() == []


@pytest.mark.parametrize(
    ('window', 'word'),
    [
        (Window(measures=('z',)), '"z" is no measure'),
        (Window(measures=()), 'at least one'),
        (Window(measures=('y',), series=tuple(map(str, range(21)))), 'at most 20 lines, not 21'),
        (Window(measures=('y',), width=0), 'pixels wide'),
        (Window(measures=('y',), start=at(5), end=at(4)), 'after its end'),
    ],
)
def test_requests_that_cannot_be_served_are_refused(reader: SeriesReader, window: Window, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        reader.window(window)


def test_threads_share_a_reader(reader: SeriesReader) -> None:
    found: list[int] = []
    threads = [
        Thread(target=lambda: found.append(reader.window(Window(measures=('y',), end=at(0))).rows_behind))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(T <= 0).sum()] * 4


def test_a_file_that_went_away_is_our_error(tmp_path: Path) -> None:
    with closing(open_rows(tmp_path, [('', 1, 1.0, None)])) as reader:
        (tmp_path / 'pyramid.parquet').unlink()
        with pytest.raises(Unavailable):
            reader.window(Window(measures=('y',)))


def test_points_come_back_whole(reader: SeriesReader) -> None:
    for window in (Window(measures=MEASURES, width=333), Window(measures=('y',), end=at(int(T[50])), width=300)):
        points = reader.window(window)
        data = encode(points)
        again = decode(data)
        assert data[:4] == b'VSP1'
        assert int.from_bytes(data[4:8], 'little') % 8 == 0
        for name in ('start', 'end', 'width', 'gaps', 'rows_behind', 'points_per_pixel', 'span'):
            assert getattr(again, name) == getattr(points, name)
        for one, other in zip(points.lines, again.lines, strict=True):
            assert (one.name, one.series, one.measure) == (other.name, other.series, other.measure)
            np.testing.assert_array_equal(one.t, other.t)
            np.testing.assert_array_equal(one.y, other.y)
            assert (one.lo is None) == (other.lo is None)
            if one.lo is not None and other.lo is not None:
                np.testing.assert_array_equal(one.lo, other.lo)


def test_damaged_bytes_are_refused(reader: SeriesReader) -> None:
    data = encode(reader.window(Window(measures=('y',), width=50)))
    for damaged in (b'', data[:6], b'XXXX' + data[4:], data[:-8], data + b'\0' * 8, data[:20]):
        with pytest.raises(UsageError, match='no points'):
            decode(damaged)
