from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.analysis import evaluate
from core.analysis.forecasting import Request, conformal, forecast, repair
from core.analysis.forecasting.base import Origin, Raw
from tests.unit.analysis.forecasting.frames import frame, wave

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group('forecasting')]

QUANTILES = (0.025, 0.1, 0.5, 0.9, 0.975)


def test_many_residuals_give_their_own_quantiles_by_block_of_the_horizon():
    rng = np.random.default_rng(1)
    table = rng.standard_normal((4000, 6)) * np.arange(1, 7)
    found = conformal.shape(table, QUANTILES, h=6)
    np.testing.assert_allclose(found[0], [-1.96, -1.28, 0, 1.28, 1.96], atol=0.15)
    np.testing.assert_allclose(found[5, [0, 1, 3, 4]] / found[0, [0, 1, 3, 4]], 6, rtol=0.15)


def test_without_held_out_windows_students_shape_is_widened():
    found = conformal.shape(np.full((3, 4), np.nan), QUANTILES, h=4)
    assert found[0, 3] == pytest.approx(1.533 * conformal.UNMEASURED, rel=5e-3)
    assert found[0, 4] == pytest.approx(2.776 * conformal.UNMEASURED, rel=1e-2)
    assert found[0, 2] == pytest.approx(0.0)


def test_lasting_asymmetry_is_kept_and_a_passing_one_is_not():
    rng = np.random.default_rng(3)
    lasting = rng.exponential(size=(400, 4)) - 0.7
    old = np.arange(400) < 200
    passing = np.where(old[:, None], lasting, -lasting)
    low, high = conformal.shape(lasting, (0.1, 0.9), h=4, old=old)[0]
    assert high > 1.5 * -low
    low, high = conformal.shape(passing, (0.1, 0.9), h=4, old=old)[0]
    assert high == pytest.approx(-low)


def test_windows_that_overlap_count_as_less():
    apart = [conformal.Origin(0, size) for size in (100, 90, 80)]
    near = [conformal.Origin(0, size) for size in (100, 98, 95)]
    assert conformal.independent(apart, h=10) == 3
    assert conformal.independent(near, h=10) == 1.5
    assert conformal.independent([*apart, conformal.Origin(1, 50)], h=10) == 4


def test_levels_that_were_adapted_are_drawn_under_the_promised_name():
    assert conformal.drawn(QUANTILES, {}) == pytest.approx(QUANTILES)
    assert conformal.drawn(QUANTILES, {80: 90.0}) == pytest.approx((0.025, 0.05, 0.5, 0.95, 0.975))
    usual, wide = (
        forecast(frame(wave(60)), Request(h=3, models=('theta',), adapted=adapted))
        for adapted in ({}, {'theta': {80: 94.0}})
    )
    assert wide.columns == usual.columns
    assert (wide['q0.9'] > usual['q0.9']).all()
    assert wide['q0.975'].to_list() == usual['q0.975'].to_list()
    assert (wide['q0.9'] < wide['q0.975']).all()


def test_bands_that_drift_are_brought_back_to_their_promise():
    rng = np.random.default_rng(8)
    record, late, unadapted = [], [], []
    for turn in range(120):
        noise = 1.0 if turn < 40 else 1.6
        values = np.abs(noise * rng.standard_normal(24))
        level = conformal.adapt(record).get(80, 80.0)
        held = float(np.mean(values <= NormalDist().inv_cdf(0.5 + level / 200)))
        record.append((80, held, 24))
        if turn >= 70:
            late.append(held)
            unadapted.append(float(np.mean(values <= NormalDist().inv_cdf(0.9))))
    assert np.mean(unadapted) < 0.65
    assert 0.77 < np.mean(late) < 0.83


def test_adapting_moves_by_what_was_missed_and_never_off_the_scale():
    assert conformal.adapt([]) == {}
    assert conformal.adapt([(80, 0.8, 100), (95, 0.95, 100)]) == pytest.approx({80: 80, 95: 95})
    found = conformal.adapt([(80, 0.5, 10**6), (95, 1.0, 10**6)])
    assert found[80] == pytest.approx(95)
    assert found[95] == pytest.approx(92.5)
    worst = conformal.adapt([(80, 0.0, 1000)] * 50)
    assert worst[80] == pytest.approx(98)
    assert conformal.adapt([(80, 1.0, 1000)] * 500)[80] >= 40
    assert conformal.adapt([(80, float('nan'), 0)]) == pytest.approx({80: 80})


def test_few_windows_widen_bands_that_missed():
    narrow = conformal.shape(np.full((5, 3), 0.5), QUANTILES, h=3)
    wide = conformal.shape(np.full((5, 3), 4.0), QUANTILES, h=3)
    assert wide[0, 4] > 1.5 * narrow[0, 4]


def test_few_windows_are_trusted_more_when_their_errors_are_alike():
    rng = np.random.default_rng(6)
    steady = 0.3 * rng.standard_normal((5, 40))
    uneven = steady * np.array([0.2, 0.4, 1.0, 2.5, 6.0])[:, None]
    uneven *= np.quantile(np.abs(steady), 0.8) / np.quantile(np.abs(uneven), 0.8)
    narrow, wide = (conformal.shape(table, QUANTILES, h=40).mean(axis=0) for table in (steady, uneven))
    assert 0.3 * 1.28 < narrow[3] < 0.3 * 1.28 * 1.6
    assert wide[3] > 1.3 * narrow[3]


def test_few_windows_still_show_that_errors_grow_along_the_horizon():
    table = np.random.default_rng(4).standard_normal((8, 30)) * np.linspace(0.5, 2, 30)
    found = conformal.shape(table, QUANTILES, h=30)
    assert found[29, 3] > 1.5 * found[0, 3]


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
    assert long[0] == 200 - 21
    assert len(long) == conformal.MOST_ORIGINS
    assert min(long) >= 100
    assert all(apart % 7 for apart in np.diff(long))
    assert all(at.size >= 4 and at.size < len(panel[at.place].y) for at in origins)


@pytest.mark.usefixtures('few_members')
def test_bands_of_many_series_hold_about_what_they_promise():
    rng = np.random.default_rng(9)
    full = [wave(110, season=12, noise=3.0, seed=int(seed)) for seed in rng.integers(0, 10**6, 20)]
    past = pl.concat([frame(values[:100], name=f'{n:02}', every='1mo') for n, values in enumerate(full)])
    models, few_rounds = ('theta', 'lightgbm', 'auto', 'seasonal_naive'), {'rounds': 40, 'learning_rate': 0.15}
    rows = forecast(past, Request(h=10, models=models, options={'lightgbm': few_rounds}))
    actual = np.concatenate([values[100:] for values in full])
    for (model,), own in rows.group_by('model'):
        held = evaluate.coverage(actual, own['q0.1'].to_numpy(), own['q0.9'].to_numpy())
        assert (model, 0.72 < held < 0.88) == (model, True)


def held_out(errors: np.ndarray, *, apart: np.ndarray | None = None, h: int = 6) -> tuple[Any, conformal.Held]:
    """Return series and forecasts from four origins of each (h apart) that are wrong by about `errors` (S × 4)."""
    rng = np.random.default_rng(7)
    count = len(errors)
    rows = pl.concat([frame(wave(80, seed=place), name=f'{place:02}') for place in range(count)])
    panel = repair.prepare(rows.with_columns(pl.col('ds').cast(pl.Datetime('us'))), freq='D', h=h, season_length=None)
    origins = tuple(Origin(place, 80 - h * back) for place in range(count) for back in (1, 2, 3, 4))
    raws = tuple(
        Raw(
            center=panel[at.place].y[at.size : at.size + h] + rng.standard_normal(h) * error,
            spread=np.full(h, 2.0),
            used='theta',
            apart=own,
        )
        for at, error, own in zip(
            origins, errors.ravel(), np.zeros(errors.size) if apart is None else apart.ravel(), strict=True
        )
    )
    return panel, conformal.Held(origins, raws)


def at_the_end(count: int, *, apart: Any = 0.0, h: int = 6) -> list[Raw]:
    return [
        Raw(center=np.zeros(h), spread=np.full(h, 2.0), used='theta', apart=float(own))
        for own in np.broadcast_to(apart, count)
    ]


def test_a_series_that_is_always_harder_to_forecast_gets_wider_bands():
    errors = np.ones((20, 4))
    errors[:5] = 4.0
    panel, held = held_out(errors)
    _, raws = conformal.sized(panel, held, at_the_end(20), h=6)
    spreads = np.array([raw.spread[0] for raw in raws])
    assert spreads[:5].min() > 1.5 * spreads[5:].max()


def test_a_series_that_was_hard_once_is_not_taken_for_a_hard_one():
    errors = np.ones((20, 4))
    errors[np.arange(20), np.arange(20) % 4] = 4.0
    panel, held = held_out(errors)
    _, raws = conformal.sized(panel, held, at_the_end(20), h=6)
    spreads = np.array([raw.spread[0] for raw in raws])
    assert spreads.max() < 1.15 * spreads.min()


def test_a_held_out_spread_knows_nothing_of_the_errors_of_its_own_window():
    errors = np.ones((20, 4))
    errors[:5] = 4.0
    found = []
    for last in (4.0, 40.0):
        errors[0, 3] = last
        panel, held = held_out(errors)
        leant, _ = conformal.sized(panel, held, at_the_end(20), h=6)
        found.append(leant.raws[3].spread[0] / leant.raws[7].spread[0])
    assert found[1] == pytest.approx(found[0], rel=0.1)


def test_where_members_lie_apart_bands_are_wider_if_errors_were_too():
    rng = np.random.default_rng(5)
    apart = np.exp(rng.uniform(-1.5, 1.5, (20, 4)))
    now = np.array([0.25, 4.0] * 10)
    panel, held = held_out(2 * apart, apart=apart)
    _, raws = conformal.sized(panel, held, at_the_end(20, apart=now), h=6)
    assert np.mean([raw.spread[0] for raw in raws[1::2]]) > 3 * np.mean([raw.spread[0] for raw in raws[::2]])
    panel, held = held_out(np.full((20, 4), 2.0), apart=apart)
    _, raws = conformal.sized(panel, held, at_the_end(20, apart=now), h=6)
    assert np.mean([raw.spread[0] for raw in raws[1::2]]) == pytest.approx(
        np.mean([raw.spread[0] for raw in raws[::2]]), rel=0.3
    )


def test_few_held_out_forecasts_leave_spreads_as_they_are():
    panel, held = held_out(np.array([[1.0, 2.0, 3.0, 4.0], [4.0, 4.0, 4.0, 4.0]]))
    same, raws = conformal.sized(panel, held, at_the_end(2), h=6)
    assert same == held
    assert all((raw.spread == 2.0).all() for raw in raws)


def test_a_band_is_never_drawn_narrower_than_one_that_promises_less():
    drawn = conformal.drawn((0.025, 0.1, 0.5, 0.9, 0.975), {80: 97, 95: 92.5})
    np.testing.assert_allclose(drawn, (0.015, 0.015, 0.5, 0.985, 0.985))


def test_one_error_of_few_windows_does_not_make_bands_jump_where_it_lies():
    """A band reaches evenly from block to block, and blocks of few windows have one shape; it was a step of 2."""
    table = np.random.default_rng(4).standard_normal((30, 30))
    table[3, 10:15] = 25.0
    found = conformal.shape(table, (0.025, 0.975), h=30, windows=40.0)
    steps = np.abs(np.diff(np.log(found[:, 1] - found[:, 0])))
    assert steps.max() < 0.25
    quiet = np.random.default_rng(4).standard_normal((4000, 30)) * np.linspace(1, 4, 30)
    wide = conformal.shape(quiet, (0.025, 0.975), h=30)[:, 1]
    np.testing.assert_allclose(
        wide[[2, 12, 22]] / wide[7], np.linspace(1, 4, 30)[[2, 12, 22]] / np.linspace(1, 4, 30)[7], rtol=0.12
    )


def test_what_a_series_own_scale_adds_grows_evenly_with_the_seasons_ahead():
    y = np.resize([1.0, 4.0, 2.0, 8.0, 5.0, 7.0, 1.0], 70) + np.repeat([0.0, 1.0], 35)
    raw = conformal.scaled(Raw(center=np.zeros(21), spread=np.ones(21), used='theta'), y, 7)
    assert np.diff(np.log(raw.spread)).max() < 0.04
    np.testing.assert_allclose(raw.spread[14] / raw.spread[0], 3**0.25)
