from datetime import datetime

import numpy as np
import polars as pl
import pytest

from core.analysis.forecasting import Request, forecast, workers
from tests.unit.analysis.forecasting.frames import frame, wave


def test_prophet_keeps_the_week_with_gaps_and_a_zone_and_daily_auto_takes_its_mean():
    values = np.where(np.random.default_rng(1).random(150) < 0.2, np.nan, wave(150, level=1e6))
    series = frame(values).with_columns(pl.col('ds').dt.replace_time_zone('UTC'))
    rows = forecast(series, Request(h=7, models=('prophet', 'auto')))
    assert set(rows['status']) == {'ok'}
    truth = wave(157, level=1e6, noise=0.0)[150:]
    for model, used in (('prophet', 'prophet'), ('auto', 'prophet+lightgbm+theta+ets')):
        own = rows.filter(pl.col('model') == model)
        assert set(own['model_used']) == {used}
        assert np.abs(own['mean'].to_numpy() - truth).max() < 6
        assert (own['q0.975'] > own['q0.025']).all()


def test_a_prophet_that_takes_too_long_is_stopped_and_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workers, 'START_TIME', 0.0)
    rows = forecast(frame(wave(30), start=datetime(2021, 1, 1)), Request(h=2, models=('prophet',), timeout=0.001))
    assert set(rows['status']) == {'fallback'}
    assert set(rows['model_used']) == {'seasonal_naive'}
    assert 'longer than 0.001 s' in rows['warning'][0]
