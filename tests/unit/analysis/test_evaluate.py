import numpy as np
import pytest

from core.analysis import evaluate


def test_mase_is_the_error_over_the_seasonal_difference():
    history = np.array([1.0, 2, 3, 5])
    assert evaluate.mase(np.array([6.0, 8]), np.array([5.0, 5]), history, 1) == pytest.approx(2 / (4 / 3))
    assert np.isnan(evaluate.mase(np.ones(2), np.ones(2), np.ones(9), 1))
    assert np.isnan(evaluate.mase(np.ones(2), np.ones(2), np.ones(3), 12))


def test_smape_lies_between_nought_and_two_hundred():
    assert evaluate.smape(np.array([100.0]), np.array([50.0])) == pytest.approx(200 * 50 / 150)
    assert evaluate.smape(np.array([0.0, 1.0]), np.array([0.0, -1.0])) == pytest.approx(100)


def test_missing_actuals_are_left_out():
    actual = np.array([np.nan, 2.0])
    assert evaluate.smape(actual, np.array([9.0, 2.0])) == 0
    assert evaluate.coverage(actual, np.zeros(2), np.full(2, 3.0)) == 1
    assert np.isnan(evaluate.coverage(np.array([np.nan]), np.zeros(1), np.ones(1)))


def test_owa_of_the_benchmark_is_one():
    assert evaluate.owa(2.0, 15.0, naive2_mase=2.0, naive2_smape=15.0) == 1
    assert evaluate.owa(1.0, 15.0, naive2_mase=2.0, naive2_smape=15.0) == 0.75


def test_naive2_repeats_the_season_it_finds_and_else_the_last_value():
    season = np.array([1.0, 2, 3, 2])
    history = np.tile(season, 8) * 10
    np.testing.assert_allclose(evaluate.naive2(history, 6, 4), [10, 20, 30, 20, 10, 20])
    noise = 50 + np.random.default_rng(0).standard_normal(40)
    np.testing.assert_allclose(evaluate.naive2(noise, 3, 4), noise[-1])
    np.testing.assert_allclose(evaluate.naive2(np.array([-1.0, 4]), 2, 12), [4, 4])


def test_quantile_losses_weigh_both_sides():
    actual, predicted = np.array([10.0]), np.array([[8.0, 10.0, 11.0]])
    np.testing.assert_allclose(evaluate.pinball(actual, predicted, (0.1, 0.5, 0.9)), [[0.4, 0, 0.2]])
    assert evaluate.wql(actual, predicted, (0.1, 0.5, 0.9)) == pytest.approx(0.6 / 30)
    assert evaluate.sql(actual, predicted, (0.1, 0.5, 0.9), np.array([1.0, 3]), 1) == pytest.approx(0.1)


def test_coverage_counts_the_ends():
    assert evaluate.coverage(np.array([1.0, 2, 5]), np.ones(3), np.full(3, 2.0)) == pytest.approx(2 / 3)


def test_rmsse_is_the_root_of_squares_over_squared_seasonal_differences():
    history = np.array([1.0, 2, 3, 5])
    assert evaluate.rmsse(np.array([6.0, 8]), np.array([5.0, 5]), history, 1) == pytest.approx(np.sqrt(5 / 2))
    assert np.isnan(evaluate.rmsse(np.ones(2), np.ones(2), np.ones(9), 1))
    assert np.isnan(evaluate.rmsse(np.ones(2), np.ones(2), np.ones(3), 12))
