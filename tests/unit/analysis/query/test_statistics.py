"""Histograms and boxes of values, and of summaries in their place."""

import numpy as np
import pytest

from core.analysis.query.pieces import Buckets
from core.analysis.query.statistics import box, counted, histogram, spread_box, spread_histogram


def summarised(v: np.ndarray, size: int) -> Buckets:
    """Summaries of runs of values."""
    runs = v.reshape(-1, size)
    t = np.arange(len(runs))
    return Buckets(t, t, np.full(len(runs), size), runs.sum(axis=1), runs.min(axis=1), t, runs.max(axis=1), t)


def test_every_value_is_in_a_bin() -> None:
    v = np.random.default_rng(1).normal(size=1000)
    edges, counts = histogram(v, 7)
    assert (edges[0], edges[-1], counts.sum()) == (v.min(), v.max(), 1000)
    assert counts.tolist() == np.histogram(v, edges)[0].tolist()
    assert histogram(np.empty(0), 7)[1].tolist() == []
    assert histogram(np.full(5, 2.0), 7)[1].tolist() == [5]


def test_whole_numbers_stand_in_the_middle_of_their_bins() -> None:
    v = np.random.default_rng(4).integers(-4, 5, 500).astype(float)
    edges, counts = histogram(np.append(v, [-4, 4]), 40)
    assert edges.tolist() == [-4.5, -3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 4.5]
    assert counts.sum() == 502
    edges, counts = histogram(np.arange(60.0), 40)
    assert set(counts.tolist()) == {2}, 'none holds more of them than its neighbours'
    assert set(np.diff(edges).tolist()) == {2}
    assert histogram(np.array([0, 1, 2.5]), 5)[0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert len(histogram(np.array([0.0, 1e6]), 40)[1]) == 40


def test_runs_of_values_are_counted_as_one_is() -> None:
    draw = np.random.default_rng(6)
    v = np.append(draw.integers(0, 41, 3000) / 4, np.linspace(0, 10, 8))  # many lie on an edge
    runs = [np.sort(one) for one in np.split(v, [5, 5, 900, 2999])]
    for bins in (1, 7, 40):
        edges, counts = counted(runs, bins)
        assert edges.tolist() == histogram(v, bins)[0].tolist()
        places = np.clip(np.searchsorted(edges, v, side='right') - 1, 0, bins - 1)
        assert counts.tolist() == np.bincount(places, minlength=bins).tolist()
    assert counted([np.empty(0)], 5)[1].tolist() == counted([], 5)[1].tolist() == []


def test_a_box_is_that_of_tukey() -> None:
    found = box(np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 100]))
    assert found is not None
    assert (found.lower, found.median, found.upper) == (3, 5, 7)
    assert (found.whisker_low, found.whisker_high, found.outside, found.greatest) == (1, 8, 1, 100)
    assert box(np.empty(0)) is None


def test_summaries_of_one_value_are_the_values() -> None:
    v = np.random.default_rng(2).normal(size=5000)
    edges, counts = spread_histogram(summarised(v, 1), 40)
    exact_edges, exact = histogram(v, 40)
    assert edges.tolist() == exact_edges.tolist()
    assert np.abs(counts - exact).max() <= 3  # a value beside an edge may fall on its other side
    near, whole = spread_box(summarised(v, 1)), box(v)
    assert whole is not None
    assert (near.n, near.least, near.greatest) == (whole.n, whole.least, whole.greatest)
    assert near.median == pytest.approx(whole.median, abs=0.002)


def test_an_outlier_moves_none_of_its_neighbours() -> None:
    v = np.random.default_rng(3).uniform(0, 1, 6000)
    v[777] = 1000
    _, counts = spread_histogram(summarised(v, 60), 1000)
    assert counts.sum() == 6000
    assert counts[1:].sum() < 60
    found = spread_box(summarised(v, 60))
    assert found.upper == pytest.approx(0.75, abs=0.05)
    assert found.greatest == 1000


@pytest.mark.parametrize('scale', [1e-300, 1e-9, 1, 1e9, 1e300])
def test_any_numbers_are_told(scale: float) -> None:
    v = scale * (np.random.default_rng(4).normal(size=600) - 3)
    _, counts = spread_histogram(summarised(v, 60), 10)
    assert counts.sum() == 600
    assert (counts >= 0).all()
    found = spread_box(summarised(v, 60))
    assert found.least <= found.whisker_low <= found.lower <= found.median <= found.upper <= found.greatest


def test_equal_values_have_one_bin() -> None:
    edges, counts = spread_histogram(summarised(np.full(120, 5.0), 60), 10)
    assert (edges.tolist(), counts.tolist()) == ([5, 5], [120])
    found = spread_box(summarised(np.full(120, 5.0), 60))
    assert (found.lower, found.upper, found.outside) == (5, 5, 0)
