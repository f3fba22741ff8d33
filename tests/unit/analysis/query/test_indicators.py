"""Indicators are right from the first point that is drawn on."""

import numpy as np
import pytest

from core.analysis.query import Query, answer, decode, encode, plain
from core.analysis.query.indicators import ema, indicator, macd, rolling_mean, rolling_spread, rsi, warm_up
from core.analysis.query.request import INDICATORS
from core.analysis.query.statistics import box, histogram
from core.errors import UsageError
from tests.unit.analysis.query.versions import BEGUN, DAY, HOUR, Version, version, walk

V = np.cumsum(np.random.default_rng(1).normal(size=600)) + 50


@pytest.fixture(scope='module')
def made(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return version(tmp_path_factory.mktemp('query'), {'a': walk(20_000, seed=4)}, keys=('place',))


def test_rolling_figures_are_those_of_their_windows() -> None:
    assert np.isnan(rolling_mean(V, 7)[:6]).all()
    for at in (6, 7, 300, 599):
        assert rolling_mean(V, 7)[at] == pytest.approx(V[at - 6 : at + 1].mean())
        assert rolling_spread(V, 7)[at] == pytest.approx(V[at - 6 : at + 1].std())
    assert np.isnan(rolling_mean(V[:3], 7)).all()


def test_bollinger_bands_lie_two_deviations_from_the_mean() -> None:
    found = indicator('bollinger', V)
    assert found['upper'][100] == pytest.approx(V[81:101].mean() + 2 * V[81:101].std())
    assert found['lower'][100] == pytest.approx(V[81:101].mean() - 2 * V[81:101].std())


def test_rsi_of_a_worked_example() -> None:
    # J. W. Wilder's steps on the closes of a common worked example (14 days).
    closes = [
        44.34,
        44.09,
        44.15,
        43.61,
        44.33,
        44.83,
        45.10,
        45.42,
        45.84,
        46.08,
        45.89,
        46.03,
        45.61,
        46.28,
        46.28,
        46.00,
    ]
    found = rsi(np.array(closes), 14)
    assert np.isnan(found[:14]).all()
    assert found[14] == pytest.approx(70.46, abs=0.01)
    assert found[15] == pytest.approx(66.25, abs=0.01)
    assert rsi(np.full(30, 5.0), 14)[20] == 50


def test_macd_is_a_difference_of_exponential_means() -> None:
    found = macd(V, 12, 26, 9)
    assert found['macd'][25:] == pytest.approx((ema(V, 12) - ema(V, 26))[25:])
    assert found['signal'][33] == pytest.approx(found['macd'][25:34].mean())
    assert found['histogram'][40] == pytest.approx(found['macd'][40] - found['signal'][40])


@pytest.mark.parametrize('name', INDICATORS)
def test_what_lies_before_the_range_makes_the_left_edge_right(name: str) -> None:
    warm = warm_up(name)
    whole = indicator(name, V)
    for label, line in indicator(name, V[500 - warm :]).items():
        assert line[warm] == pytest.approx(whole[label][500], rel=1e-6)


@pytest.mark.parametrize('name', INDICATORS)
def test_overlays_of_values_begin_at_the_left_edge(made: Version, name: str) -> None:
    start, end = BEGUN + 100 * HOUR, BEGUN + 104 * HOUR
    asked = Query.parsed(
        [('measures', 'y'), ('start', str(start)), ('end', str(end)), ('overlays', name), ('width', '900')]
    )
    line, *overlays = answer(made.stored, asked).lines
    _, earlier = made.values('a', 'y', -(2**60), start - 1)
    _, inside = made.values('a', 'y', start, end)
    whole = indicator(name, np.concatenate([earlier, inside]))
    assert len(overlays) == len(whole)
    for overlay, expected in zip(overlays, whole.values(), strict=True):
        assert overlay.of == line.name
        assert overlay.columns['y'] == pytest.approx(expected[len(earlier) :], rel=1e-6, abs=1e-6)


def test_overlays_of_buckets_begin_at_the_left_edge(made: Version) -> None:
    # Ten hours of the middle are missing: these buckets are no bars.
    common = [('kind', 'buckets'), ('measures', 'other'), ('every', 'PT1H'), ('overlays', 'mean~24')]
    whole = answer(made.stored, Query.parsed(common)).lines
    start = int(whole[0].columns['t'][150] * 1000)
    value, mean = answer(made.stored, Query.parsed([*common, ('start', str(start))])).lines
    assert value.columns['t'].tolist() == mean.columns['t'].tolist() == whole[0].columns['t'][150:].tolist()
    assert mean.columns['y'] == pytest.approx(whole[1].columns['y'][150:], nan_ok=True)
    assert not np.isnan(mean.columns['y'][0])
    assert value.n == whole[0].columns['n'][150:].sum()


def test_histograms_count_every_value_once() -> None:
    edges, count = histogram(V, 20)
    assert count.sum() == len(V)
    assert (edges[0], edges[-1]) == (V.min(), V.max())
    assert count[3] == ((edges[3] <= V) & (edges[4] > V)).sum()
    assert histogram(np.full(9, 2.0), 20)[1].tolist() == [9]
    assert len(histogram(np.empty(0), 20)[1]) == 0
    huge, _ = histogram(np.array([-1.7e308, 1.7e308]), 4)
    assert np.isfinite(huge).all()


def test_boxes_hold_quartiles_and_whiskers() -> None:
    found = box(np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 100]))
    assert found is not None
    assert (found.lower, found.median, found.upper) == (3.25, 5.5, 7.75)
    assert (found.whisker_low, found.whisker_high, found.greatest, found.outside) == (1, 9, 100, 1)
    assert box(np.empty(0)) is None


@pytest.mark.parametrize('kind', ['line', 'envelope', 'buckets', 'ohlc', 'histogram', 'box', 'hours', 'top'])
def test_answers_come_back_from_their_bytes(made: Version, kind: str) -> None:
    told = [('kind', kind), ('measures', 'y'), ('start', str(BEGUN)), ('end', str(BEGUN + 3 * DAY))]
    found = answer(made.stored, Query.parsed(told))
    data = encode(found)
    again = decode(data)
    assert encode(again) == data
    assert plain(again)['rows_behind'] == found.rows_behind == len(made.values('a', 'y', BEGUN, BEGUN + 3 * DAY)[0])
    for damaged in (data[:-1], data + b' ', b'VSP1' + data[4:]):
        with pytest.raises(UsageError):
            decode(damaged)
