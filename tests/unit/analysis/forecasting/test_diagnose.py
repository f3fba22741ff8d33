"""What history and errors say of a series."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from core.analysis.forecasting import Request, diagnose
from tests.unit.analysis.forecasting.frames import air, frame, wave

pytestmark = pytest.mark.xdist_group('forecasting')

ASKED = Request(h=4)


def of(rows: pl.DataFrame, kind: str) -> list[datetime]:
    return rows.filter(pl.col('kind') == kind)['ds'].to_list()


def test_spikes_are_anomalies_with_what_was_expected():
    values = wave(200)
    values[60] += 12
    values[120] -= 12
    history = frame(values)
    found = diagnose.notes(history, ASKED)
    assert of(found, 'anomaly') == [history['ds'][60], history['ds'][120]]
    assert of(found, 'changepoint') == []
    first = found.row(0, named=True)
    assert first['y'] == values[60]
    assert abs(first['expected'] - (values[60] - 12)) < 3
    assert first['low'] < first['expected'] < first['high'] < first['y']
    assert first['score'] > 6


def test_noise_alone_is_rarely_called_an_anomaly():
    said = [diagnose.notes(frame(wave(200, seed=seed)), ASKED).height for seed in range(20)]
    assert sum(1 for count in said if count) <= 3


def test_a_shift_and_a_new_slope_are_changepoints_and_no_anomalies():
    shifted = wave(200)
    shifted[90:] += 8
    history = frame(shifted)
    found = diagnose.notes(history, ASKED)
    assert of(found, 'changepoint') == [history['ds'][90]]
    row = found.row(0, named=True)
    assert 6 < row['high'] - row['low'] < 10, 'the size of the shift'

    bent = wave(200)
    bent[120:] += 0.8 * np.arange(80)
    (at,) = of(diagnose.notes(frame(bent), ASKED), 'changepoint')
    assert abs((at - frame(bent)['ds'][120]).days) <= 5


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(6))
def test_pieces_are_those_that_ruptures_finds(seed: int):
    import ruptures  # brings half of SciPy, which no other test of this process may need
    from ruptures.base import BaseCost

    class StraightPieces(BaseCost):
        """The squared distance of each piece from its own straight line."""

        model = 'straight'
        min_size = diagnose.LEAST_PIECE

        def fit(self, signal: np.ndarray) -> 'StraightPieces':
            self.signal = signal
            return self

        def error(self, start: int, end: int) -> float:
            t, y = np.arange(end - start), self.signal[start:end].ravel()
            return float(np.sum((y - np.polyval(np.polyfit(t, y, 1), t)) ** 2))

    rng = np.random.default_rng(seed)
    t = np.arange(int(rng.integers(30, 80)))
    y = rng.normal(size=len(t))
    for start in rng.integers(0, len(t), size=2):
        y[start:] += 8 * rng.normal() + 0.2 * rng.normal() * (t[start:] - start)
    search = ruptures.Pelt(custom_cost=StraightPieces(), min_size=diagnose.LEAST_PIECE, jump=1)
    expected = search.fit(y[:, None]).predict(pen=12.0)[:-1]
    assert diagnose._best_cut(diagnose._costs(y), 12.0) == expected


def test_every_series_is_looked_at():
    values = wave(60)
    values[50] += 30
    rows = pl.concat([frame(values, name=f's{place:03}') for place in range(150)])
    assert diagnose.notes(rows, ASKED).filter(kind='anomaly')['unique_id'].n_unique() == 150


def test_a_straight_trend_and_a_random_walk_have_few_changepoints():
    trend = 3.0 * np.arange(300) + wave(300)
    walk = 100 + np.cumsum(np.random.default_rng(2).normal(size=300))
    assert of(diagnose.notes(frame(trend), ASKED), 'changepoint') == []
    assert len(of(diagnose.notes(frame(walk), ASKED), 'changepoint')) <= 4


def test_a_season_that_grows_with_its_level_is_no_anomaly():
    assert of(diagnose.notes(air(), ASKED), 'anomaly') == []


def test_gaps_short_and_still_series_say_nothing():
    holed = wave(100)
    holed[40:50] = np.nan
    panel = pl.concat(
        [frame(holed, name='holed'), frame([1.0, 2.0, 3.0], name='short'), frame([5.0] * 50, name='still')]
    )
    assert diagnose.notes(panel, ASKED).is_empty()


def test_notes_need_no_regressors_and_end_with_the_last_value():
    rows = frame(wave(60)).with_columns(
        y=pl.when(pl.int_range(pl.len()) == 40).then(900.0).when(pl.int_range(pl.len()) < 50).then(pl.col('y')),
        promo=pl.lit(None, pl.Float64),
    )
    found = diagnose.notes(rows, Request(h=7, regressors=('promo',)))
    assert of(found, 'anomaly') == [rows['ds'][40]]
    assert found['ds'].max() <= rows['ds'][49]


def test_times_keep_their_zone():
    values = wave(200)
    values[60] += 12
    aware = frame(values).with_columns(pl.col('ds').dt.replace_time_zone('UTC'))
    assert of(diagnose.notes(aware, ASKED), 'anomaly') == [datetime(2020, 3, 1, tzinfo=UTC)]


def test_residuals_tell_bias_spread_and_what_neighbouring_steps_share():
    rng = np.random.default_rng(4)
    windows, h = 60, 12
    errors = np.zeros((windows, h))
    errors[:, 0] = rng.normal(size=windows)
    for step in range(1, h):
        errors[:, step] = 0.8 * errors[:, step - 1] + 0.6 * rng.normal(size=windows)
    stamps = np.datetime64('2024-01-01', 'us') + np.arange(windows * h) * np.timedelta64(1, 'D')
    rows = {
        'unique_id': np.repeat([f'series {n}' for n in range(windows)], h),
        'cutoff': np.full(windows * h, np.datetime64('2024-01-01', 'us')),
        'horizon': np.tile(np.arange(1, h + 1), windows),
        'ds': stamps,
        'y': 2 * (errors.ravel() + 0.5),
        'mean': np.zeros(windows * h),
        'scale': np.full(windows * h, 2.0),
    }
    found = diagnose.residuals(rows)
    assert found['points'] == windows * h
    assert abs(found['bias'] - (0.5 + errors.mean())) < 1e-9
    assert [row['horizon'] for row in found['by_horizon']] == list(range(1, h + 1))
    assert sum(found['histogram']['counts']) == windows * h
    assert found['autocorrelation']['lag'][:2] == [1, 2]
    assert 0.65 < found['autocorrelation']['value'][0] < 0.95
    assert found['shown']['t'][0] == 1_704_067_200_000

    rows['scale'] = np.zeros(windows * h)
    assert diagnose.residuals(rows)['points'] == 0
