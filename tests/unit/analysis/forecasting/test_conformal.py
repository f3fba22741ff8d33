import numpy as np
import polars as pl
import pytest

from core.analysis import evaluate
from core.analysis.forecasting import Request, conformal, forecast, repair
from tests.unit.analysis.forecasting.frames import frame, wave

QUANTILES = (0.025, 0.1, 0.5, 0.9, 0.975)


def test_many_residuals_give_their_own_quantiles_by_block_of_the_horizon():
    rng = np.random.default_rng(1)
    table = rng.standard_normal((4000, 6)) * np.arange(1, 7)
    found = conformal.shape(table, QUANTILES, h=6)
    np.testing.assert_allclose(found[0], [-1.96, -1.28, 0, 1.28, 1.96], atol=0.15)
    np.testing.assert_allclose(found[5, [0, 1, 3, 4]] / found[0, [0, 1, 3, 4]], 6, rtol=0.15)


def test_without_held_out_windows_a_normal_shape_is_widened():
    found = conformal.shape(np.full((3, 4), np.nan), QUANTILES, h=4)
    assert found[0, 4] == pytest.approx(1.96 * conformal.UNMEASURED, rel=1e-3)
    assert found[0, 2] == pytest.approx(0.0)


def test_few_windows_widen_bands_that_missed():
    narrow = conformal.shape(np.full((5, 3), 0.5), QUANTILES, h=3)
    wide = conformal.shape(np.full((5, 3), 4.0), QUANTILES, h=3)
    assert wide[0, 4] > 1.5 * narrow[0, 4]


def test_few_windows_still_show_that_errors_grow_along_the_horizon():
    table = np.random.default_rng(4).standard_normal((8, 30)) * np.linspace(0.5, 2, 30)
    found = conformal.shape(table, QUANTILES, h=30)
    assert found[29, 3] > 1.5 * found[0, 3]
    assert (np.diff(found[:, 3]) >= 0).all()


def test_steps_beyond_what_was_measured_take_the_last_block():
    table = np.full((60, 5), np.nan)
    table[:, :2] = np.random.default_rng(2).standard_normal((60, 2))
    found = conformal.shape(table, QUANTILES, h=5)
    np.testing.assert_array_equal(found[4], found[1])


def test_origins_leave_enough_before_and_never_sit_a_season_apart():
    tidy = pl.concat([frame(wave(n), name=str(n)) for n in (5, 30, 200)]).with_columns(
        pl.col('ds').cast(pl.Datetime('us'))
    )
    panel = repair.prepare(tidy, freq='D', h=21, season_length=None)
    origins = conformal.choose(panel, h=21, most=10, seed=1)
    long = [at.size for at in origins if len(panel[at.place].y) == 200]
    assert len(long) >= conformal.ORIGINS
    assert long[0] == 200 - 21
    assert all(apart % 7 for apart in np.diff(long))
    assert all(at.size >= 4 and at.size < len(panel[at.place].y) for at in origins)


def test_bands_of_many_series_hold_about_what_they_promise():
    rng = np.random.default_rng(9)
    full = [wave(110, season=12, noise=3.0, seed=int(seed)) for seed in rng.integers(0, 10**6, 40)]
    past = pl.concat([frame(values[:100], name=f'{n:02}', every='1mo') for n, values in enumerate(full)])
    rows = forecast(past, Request(h=10, models=('theta', 'lightgbm', 'auto', 'seasonal_naive')))
    actual = np.concatenate([values[100:] for values in full])
    for (model,), own in rows.group_by('model'):
        held = evaluate.coverage(actual, own['q0.1'].to_numpy(), own['q0.9'].to_numpy())
        assert (model, 0.72 < held < 0.88) == (model, True)
