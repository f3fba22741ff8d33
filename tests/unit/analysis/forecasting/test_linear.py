"""Linear regression of many lags: neighbours share a coefficient, and what is learnt stays."""

import numpy as np
import pytest

from core.analysis.forecasting import Request, linear, prepare, tidy
from core.analysis.forecasting.base import Run
from tests.unit.analysis.forecasting.frames import frame, wave

pytestmark = pytest.mark.xdist_group('forecasting')


def test_few_lags_stay_as_they_are() -> None:
    inputs = np.arange(12.0).reshape(2, 6)
    assert linear._shared(inputs) is inputs


def test_a_shared_coefficient_is_penalised_as_its_lags_would_be(monkeypatch) -> None:
    monkeypatch.setattr(linear, 'MOST_LAGS', 4)
    rng = np.random.default_rng(2)
    inputs, y = rng.standard_normal((60, 9)), rng.standard_normal(60)
    shared = linear._shared(inputs)
    assert shared.shape == (60, 5)
    np.testing.assert_array_equal(shared[:, -3:], inputs[:, -3:])
    # Ridge of all lags, those of a group held equal: each lag has its coefficient, which is penalised.
    groups = np.zeros((9, 5))
    groups[:3, 0] = groups[3:6, 1] = 1
    groups[6:, 2:] = np.eye(3)
    tied = inputs @ groups
    equal = np.linalg.solve(tied.T @ tied + groups.T @ groups, tied.T @ y)
    own = np.linalg.solve(shared.T @ shared + np.eye(5), shared.T @ y)
    np.testing.assert_allclose(shared @ own, tied @ equal)


def test_many_lags_cost_no_more_than_few_and_forecast_as_well(monkeypatch) -> None:
    y, request = wave(720, season=24), Request(h=24)
    typed, _, _ = tidy(frame(y[:-24], every='1h'), request)
    (series,) = prepare(typed, request)
    full = linear.Ridge().predict([series], h=24, run=Run())[0]
    monkeypatch.setattr(linear, 'MOST_LAGS', 60)
    learnt = linear._learn_all([series], [len(series.filled)], h=24, run=Run())
    assert {len(one.common) for one in learnt} == {52}, 'of 192 lags'
    short = linear.Ridge().predict([series], h=24, run=Run())[0]
    errors = [np.abs(raw.center - y[-24:]).mean() for raw in (full, short)]
    assert errors[1] < 1.15 * errors[0]
    assert short.used == 'linear'
