"""Points of lines: the extremes of any view are drawn, every value is counted, and LTTB chooses as its author does."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analysis.query import Query, answer, encode
from core.analysis.query.points import _lttb, reduced
from core.analysis.query.row_groups import Blocks
from core.errors import Unavailable
from tests.unit.analysis.query.versions import BEGUN, HOUR, MINUTE, Version, version, walk

SIZES = {'a · x': 30_000, 'a · y': 12_000, 'b · x': 500, 'c · x': 1}


@pytest.fixture(scope='module')
def made(tmp_path_factory: pytest.TempPathFactory) -> Version:
    held = {label: walk(n, seed=n) for label, n in SIZES.items()}
    return version(tmp_path_factory.mktemp('query'), held)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    label=st.sampled_from(sorted(SIZES)),
    a=st.integers(-200, 22_000).map(lambda m: BEGUN + m * MINUTE // 2 * 2),
    size=st.one_of(st.integers(0, 3000), st.integers(0, 40_000)).map(lambda m: m * MINUTE),
    width=st.integers(1, 1200),
    measures=st.sampled_from([('y',), ('other', 'y'), ('y', 'cents', 'other')]),
)
def test_any_view_draws_its_extremes_and_counts_what_is_there(
    made: Version, label: str, a: int, size: int, width: int, measures: tuple[str, ...]
) -> None:
    found = answer(made.stored, Query(measures=measures, series=(label,), start=a, end=a + size, width=width))

    for line in found.lines:
        t, v = made.values(label, 'y' if line.measure == 'cents' else line.measure, a, a + size)
        if line.measure == 'cents':
            v = np.round(v * 100) / 100
        drawn = ~np.isnan(line.columns['y'])
        x, y = line.columns['t'][drawn], line.columns['y'][drawn]
        assert line.n == len(t)
        assert np.all(np.diff(line.columns['t']) >= 0)
        assert np.all((x >= a / 1000) & (x <= (a + size) / 1000))
        assert len(y) <= max(3, 2 * width + 2)
        if len(t):
            assert (y.min(), y.max()) == (v.min(), v.max())
        if len(t) <= 2 * width:
            assert x.tolist() == (t / 1000).tolist()
            assert y.tolist() == v.tolist()
        assert set(zip(x.tolist(), y.tolist(), strict=True)) <= set(zip((t / 1000).tolist(), v.tolist(), strict=True))
    assert found.rows_behind == sum(line.n for line in found.lines)
    assert found.exact == all(line.n <= 2 * width for line in found.lines)


def test_a_gap_interrupts_the_line_once(made: Version) -> None:
    t = made.held['a · x']['t']
    before = int(np.diff(t).argmax())
    for reach in (20, 2_000, 14_000):
        start, end = int(t[before - reach]), int(t[before + reach])
        (line,) = answer(
            made.stored, Query(measures=('other',), series=('a · x',), start=start, end=end, width=300)
        ).lines
        broken = line.columns['t'][np.isnan(line.columns['y'])]
        assert len(broken) == 1
        assert t[before] / 1000 < broken[0] < t[before + 1] / 1000


def test_an_envelope_holds_every_value_of_its_pixels(made: Version) -> None:
    start, end, width = BEGUN, BEGUN + 15_000 * MINUTE, 120
    query = Query(kind='envelope', measures=('y',), series=('a · x',), start=start, end=end, width=width)
    (line,) = answer(made.stored, query).lines
    drawn = ~np.isnan(line.columns['y'])
    low, mean, high = (line.columns[name][drawn] for name in ('low', 'y', 'high'))
    _, v = made.values('a · x', 'y', start, end)
    assert (low.min(), high.max()) == (v.min(), v.max())
    assert np.all((low <= mean) & (mean <= high))
    assert drawn.sum() <= width
    assert line.n == len(v)


def test_filters_leave_the_rows_that_meet_them(made: Version) -> None:
    asked = [('measures', 'y'), ('series', 'a · y'), ('filters', 'other~gt~0.5'), ('filters', 'word~eq~odd')]
    (line,) = answer(made.stored, Query.parsed([*asked, ('width', '10000')])).lines
    held = made.held['a · y']
    odd = (SIZES['a · x'] + np.arange(SIZES['a · y'])) % 2 == 1
    kept = (held['other'] > 0.5) & odd & ~np.isnan(held['y'])
    assert line.columns['y'][~np.isnan(line.columns['y'])].tolist() == held['y'][kept].tolist()


def test_filters_on_keys_choose_series(made: Version) -> None:
    found = answer(made.stored, Query.parsed([('measures', 'y'), ('filters', 'place~in~b~c'), ('width', '100')]))
    assert [line.series for line in found.lines] == ['b · x', 'c · x']


def test_what_was_a_period_before_is_drawn_at_the_times_of_now(made: Version) -> None:
    start, end = BEGUN + 48 * HOUR, BEGUN + 72 * HOUR
    asked = Query(measures=('y',), series=('a · x',), start=start, end=end, width=2000, compare='P1D')
    now, before = answer(made.stored, asked).lines
    t, v = made.values('a · x', 'y', start - 24 * HOUR, end - 24 * HOUR)
    assert (before.role, before.of) == ('before', now.name)
    drawn = ~np.isnan(before.columns['y'])
    assert before.columns['t'][drawn].tolist() == (t / 1000 + 86_400_000).tolist()
    assert before.columns['y'][drawn].tolist() == v.tolist()


def test_lttb_chooses_as_its_author_describes() -> None:
    draw = np.random.default_rng(5)
    for n, count in ((90, 30), (1000, 251), (64, 63), (10, 3)):
        t = np.cumsum(draw.integers(1, 9, n))
        v = draw.normal(size=n)
        assert _lttb(t, v, count).tolist() == slow_lttb(t, v, count)
    assert _lttb(t, v, 2).tolist() == [0, 9]


def test_numbers_of_any_size_are_reduced_as_others_are() -> None:
    t, v = np.arange(500), np.random.default_rng(7).normal(size=500)
    assert reduced(t, v * 2.0**900, 40).tolist() == reduced(t, v * 2.0**30, 40).tolist()
    assert len(reduced(t, v * 2.0**-900, 40)) >= 40


def slow_lttb(t: np.ndarray, v: np.ndarray, count: int) -> list[int]:
    """Steinarsson's algorithm 4.2, a point after the other; the time of a mean is the middle of its bucket."""
    size = (len(t) - 2) / (count - 2)
    cuts = [0, *(int(size * at) + 1 for at in range(count - 1)), len(t)]
    chosen = [0]
    for begin, end, after in zip(cuts[1:], cuts[2:], cuts[3:], strict=False):
        a, cx, cy = chosen[-1], (t[end] + t[after - 1]) / 2, v[end:after].mean()
        areas = [abs((t[a] - cx) * (v[b] - v[a]) - (t[a] - t[b]) * (cy - v[a])) for b in range(begin, end)]
        chosen.append(begin + int(np.argmax(areas)))
    return [*chosen, len(t) - 1]


def test_reduced_points_hold_both_extremes() -> None:
    draw = np.random.default_rng(6)
    for n in (3, 100, 5_000, 20_001):
        v = draw.normal(size=n)
        places = reduced(np.arange(n), v, 50)
        assert len(places) <= 52
        assert {int(v.argmin()), int(v.argmax())} <= set(places.tolist())
        assert np.all(np.diff(places) > 0)


def test_kept_blocks_stay_within_their_limit() -> None:
    blocks = Blocks(limit=1000)
    for at in range(10):
        blocks.put((at,), {'t': np.zeros(50)})
    assert blocks.size == 800
    assert blocks.get((0,)) == {}
    assert list(blocks.get((9,))) == ['t']
    blocks.put((9,), {'t': np.zeros(10)})
    assert blocks.size == 480
    assert list(blocks.put((9,), {'y': np.zeros(5)})) == ['t', 'y']
    assert blocks.size == 520
    assert list(blocks.get((9,))) == ['t', 'y']


def test_many_viewers_are_answered_as_one_is(made: Version) -> None:
    asked = [
        Query(measures=('y', 'other'), series=('a · x',), start=BEGUN + at * HOUR, end=BEGUN + 9 * at * HOUR, width=200)
        for at in range(1, 25)
    ]
    alone = [encode(answer(made.stored, query)) for query in asked]
    with ThreadPoolExecutor(8) as viewers:
        assert list(viewers.map(lambda query: encode(answer(made.stored, query)), asked)) == alone


def test_files_that_are_gone_are_told_of(tmp_path: Path) -> None:
    gone = version(tmp_path, {'': walk(9000, seed=1)}, keys=())
    for part in tmp_path.glob('data-*'):
        part.unlink()
    with pytest.raises(Unavailable):
        answer(gone.stored, Query(measures=('y',), width=5000))


def test_a_pyramid_of_few_buckets_stores_names_otherwise_and_is_read(tmp_path: Path) -> None:
    held = {'t': BEGUN + HOUR * np.repeat([0, 900], [4990, 10]), 'y': np.arange(5000.0)}
    made = version(tmp_path, {'': held}, keys=())
    (line,) = answer(made.stored, Query(measures=('y',), width=50)).lines
    assert (line.n, line.columns['y'].min(), line.columns['y'].max()) == (5000, 0, 4999)


@pytest.mark.parametrize(('length', 'width'), [(8760, 3000), (8760, 1600), (8760, 1460), (4001, 1000), (17_519, 2000)])
def test_points_are_spread_over_the_whole_range(length: int, width: int) -> None:
    """The last values are not left to one pair of points, however badly the length divides."""
    t = np.arange(length, dtype=np.int64) * 3_600_000_000
    v = np.sin(np.arange(length) * 2.399) * 100
    places = reduced(t, v, width)
    assert np.diff(places).max() <= 4 * max(1, length // width) + 4
