import numpy as np
import polars as pl
import pytest

from core.analysis.forecasting import Request, cross_validation, scores
from core.errors import UsageError
from tests.unit.analysis.forecasting.frames import air, frame, wave


def test_windows_end_step_size_apart_and_show_what_came():
    rows = cross_validation(air(), Request(h=6, models=('theta',)), n_windows=3, step_size=4)
    assert rows.height == 18
    assert rows['cutoff'].n_unique() == 3
    last = rows.filter(pl.col('cutoff') == rows['cutoff'].max())
    assert last['y'].to_list() == air()['y'][-6:].to_list()
    middle = rows.filter(pl.col('cutoff') == rows['cutoff'].unique().sort()[1])
    assert middle['y'].to_list() == air()['y'][-10:-4].to_list()


def test_what_comes_later_changes_no_window():
    history = air()
    changed = history.with_columns(pl.when(pl.int_range(pl.len()) >= 132).then(9e6).otherwise(pl.col('y')).alias('y'))
    asked = Request(h=6, models=('theta', 'lightgbm'))
    first, second = (cross_validation(f, asked, n_windows=1, step_size=6) for f in (history[:138], changed[:138]))
    assert first.drop('y').equals(second.drop('y'))
    assert not first['y'].equals(second['y'])


def test_series_too_short_for_a_window_are_left_out():
    both = pl.concat([air(), air().head(8).with_columns(pl.lit('short').alias('unique_id'))])
    rows = cross_validation(both, Request(h=6, models=('seasonal_naive',)))
    assert set(rows['unique_id']) == {'air'}
    none = cross_validation(air().head(5), Request(h=6, models=('theta',)))
    assert none.is_empty()
    assert none.columns == rows.columns


def test_scores_give_errors_and_the_share_that_bands_held():
    told: list[float] = []
    asked = Request(h=12, models=('theta', 'seasonal_naive'))
    theta, naive = scores(air(), asked, progress=lambda part, _: told.append(part))
    assert theta['model'] == 'theta'
    assert theta['mase'] < naive['mase']
    assert theta['sql'] < naive['sql']
    assert set(theta['coverage']) == {'80', '95'}
    assert 0 <= theta['coverage']['80'] <= theta['coverage']['95'] <= 1
    assert (theta['points'], theta['n_windows'], theta['n_series']) == (24, 2, 1)
    assert told == sorted(told)


def test_scores_measure_a_few_of_many_series():
    many = pl.concat([frame(wave(60, seed=n), name=f'{n:03}') for n in range(50)])
    (naive,) = scores(many, Request(h=4, models=('seasonal_naive',)))
    assert 10 <= naive['n_series'] <= 20
    assert naive['points'] == naive['n_series'] * 8
    assert np.isfinite(naive['wql'])


def test_what_cannot_be_measured_is_none():
    (score,) = scores(air().head(5), Request(h=6, models=('theta',)))
    assert score['mase'] is None
    assert score['coverage'] == {'80': None, '95': None}
    assert score['points'] == 0


def test_a_wrong_window_is_refused():
    with pytest.raises(UsageError):
        cross_validation(air(), Request(h=6), n_windows=0)
