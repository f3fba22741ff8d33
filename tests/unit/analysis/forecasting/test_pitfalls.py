"""Every way that data was seen to break a forecast, silently or not: what is said of it, and that others bear no cost.

One panel holds them all beside sound series, and every model forecasts it once.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.analysis.forecasting import MODELS, Request, forecast, frequency, repair
from core.analysis.forecasting.base import Member, Origin, Run
from core.analysis.forecasting.naive import SeasonalNaive
from core.analysis.forecasting.prophet import ProphetModel
from core.analysis.forecasting.statistical import Statistical
from core.errors import UnusableData, UsageError
from tests.unit.analysis.forecasting.frames import frame, wave

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group('forecasting')]
SIZE, H = 60, 7
LOCAL = ('seasonal_naive', 'ets', 'theta', 'mstl', 'arima', 'croston', 'prophet')
"""Models of one series at a time: what they forecast depends on no other series."""
QUICK = tuple(name for name in LOCAL if name != 'arima')
ALL = tuple(name for name in (*QUICK, 'lightgbm', 'linear', 'auto') if name in MODELS)
FEW_ROUNDS = {'lightgbm': {'rounds': 40, 'learning_rate': 0.15}}
BANDS = ['q0.025', 'q0.1', 'q0.5', 'q0.9', 'q0.975']
RNG = np.random.default_rng(6)
COUNTS = np.where(RNG.random(SIZE) < 0.4, RNG.poisson(3.0, SIZE), 0).astype(float)
AT = np.arange(SIZE)
SOUND = wave(SIZE)

BROKEN: dict[str, np.ndarray] = {
    'sound': SOUND,
    'one missing': np.where(AT == 30, np.nan, SOUND),
    'last missing': np.where(AT == SIZE - 1, np.nan, SOUND),
    'infinite': np.where(AT % 17 == 3, np.inf, SOUND),
    'minus infinite': np.where(AT == SIZE - 1, -np.inf, SOUND),
    'beyond squares': np.where(AT == 20, 1e300, SOUND),
    'a third missing': np.where(np.random.default_rng(5).random(SIZE) < 0.3, np.nan, SOUND),
    'huge': 1e12 * SOUND,
    'tiny': 1e-12 * SOUND,
    'below zero': SOUND - 130,
    'counts': COUNTS,
    'pair': np.array([5.0, 7.0]),
    'three': np.array([5.0, 7.0, 6.0]),
    'short': SOUND[:9],
    'thirty': SOUND[:30],
    'single': np.array([5.0]),
    'constant': np.full(SIZE, 3.25),
    'all zero': np.zeros(SIZE),
    'empty': np.full(SIZE, np.nan),
}
WRONG_FIRST = frame(SOUND, name='duplicated').head(5).with_columns(pl.col('y') * 100)
DUPLICATED = pl.concat([WRONG_FIRST, frame(SOUND, name='duplicated')])
SHUFFLED = frame(SOUND, name='shuffled').sample(fraction=1.0, shuffle=True, seed=1)
LIKE_SOUND = (
    'one missing',
    'last missing',
    'infinite',
    'minus infinite',
    'beyond squares',
    'a third missing',
    'thirty',
)


@pytest.fixture(scope='module')
def rows() -> pl.DataFrame:
    series = [frame(values, name=name) for name, values in BROKEN.items()]
    return forecast(pl.concat([*series, DUPLICATED, SHUFFLED]), Request(h=H, models=ALL, options=FEW_ROUNDS))


def own(rows: pl.DataFrame, name: str, model: str) -> pl.DataFrame:
    return rows.filter((pl.col('unique_id') == name) & (pl.col('model') == model))


@pytest.mark.parametrize('model', ALL)
def test_every_series_gets_finite_ordered_bands_and_the_truth_of_who_made_them(rows: pl.DataFrame, model: str):
    for name in (*BROKEN, 'duplicated', 'shuffled'):
        found = own(rows, name, model)
        assert found.height == H
        if name == 'empty':
            assert set(found['status']) == {'failed'}
            assert found.select('mean', *BANDS).null_count().sum_horizontal()[0] == 6 * H
            continue
        assert np.isfinite(found['mean'].to_numpy()).all(), name
        if name != 'single':
            bands = found.select(BANDS).to_numpy()
            assert np.isfinite(bands).all(), name
            assert (np.diff(bands, axis=1) >= 0).all(), name
        used = set(found['model_used'])
        stood_in = used == {'naive'} if model == 'auto' else used != {model}
        still = name in ('single', 'constant', 'all zero')
        assert set(found['status']) == {'fallback' if stood_in or still else 'ok'}, name
        if stood_in:
            assert found['warning'][0], name


@pytest.mark.parametrize('model', ['seasonal_naive', 'ets', 'theta', 'mstl', 'lightgbm'])
def test_broken_series_fail_alone(rows: pl.DataFrame, model: str):
    for name in ('single', 'constant', 'all zero'):
        assert set(own(rows, name, model)['status']) == {'fallback'}
    for name in ('sound', 'one missing', 'last missing', 'infinite', 'minus infinite', 'huge', 'tiny'):
        found, size = own(rows, name, model), {'huge': 1e12, 'tiny': 1e-12}.get(name, 1.0)
        assert set(found['status']) == {'ok'}, name
        assert found.select('mean', *BANDS).null_count().sum_horizontal()[0] == 0, name
        assert found['q0.025'].min() > 40 * size, name
        assert found['q0.975'].max() < 160 * size, name
    assert own(rows, 'constant', model)['q0.025'].to_list() == [3.25] * H
    assert own(rows, 'single', model)['mean'].to_list() == [5.0] * H
    assert own(rows, 'single', model)['q0.1'].null_count() == H
    for name in ('empty', 'single', 'pair', 'constant', 'infinite'):
        assert own(rows, name, model)['warning'][0] != '', name
    assert own(rows, 'pair', model)['ds'][0] == datetime(2020, 1, 3)


@pytest.mark.parametrize('model', ALL)
@pytest.mark.parametrize('name', LIKE_SOUND)
def test_repaired_series_are_forecast_about_as_well_as_the_sound_one(rows: pl.DataFrame, model: str, name: str):
    truth = wave(SIZE + 2 * H, noise=0.0)[30 if name == 'thirty' else SIZE :][:H]
    most = {'croston': 15, 'seasonal_naive': 8}.get(model, 6.5)
    assert np.abs(own(rows, name, model)['mean'].to_numpy() - truth).max() < most


@pytest.mark.parametrize('model', QUICK)
def test_the_company_of_broken_series_changes_nothing(rows: pl.DataFrame, model: str):
    alone = forecast(frame(SOUND, name='sound'), Request(h=H, models=(model,)))
    assert own(rows, 'sound', model)['mean'].to_list() == pytest.approx(alone['mean'].to_list())


@pytest.mark.parametrize('model', QUICK)
def test_duplicates_and_disorder_move_nothing(rows: pl.DataFrame, model: str):
    sound = own(rows, 'sound', model)['mean'].to_list()
    for name in ('duplicated', 'shuffled'):
        assert own(rows, name, model)['mean'].to_list() == pytest.approx(sound)
    assert '5 values shared a step' in own(rows, 'duplicated', model)['warning'][0]


@pytest.mark.parametrize('model', QUICK)
@pytest.mark.parametrize(('name', 'size'), [('huge', 1e12), ('tiny', 1e-12)])
def test_the_unit_of_the_values_does_not_matter(rows: pl.DataFrame, model: str, name: str, size: float):
    sound, scaled = own(rows, 'sound', model)['mean'].to_numpy(), own(rows, name, model)['mean'].to_numpy()
    assert scaled / size == pytest.approx(sound, rel=1e-3)


@pytest.mark.parametrize('model', ALL)
def test_what_was_never_negative_is_not_forecast_so_and_what_was_is(rows: pl.DataFrame, model: str):
    assert own(rows, 'counts', model).select('mean', *BANDS).to_numpy().min() >= 0
    assert own(rows, 'below zero', model)['q0.025'].min() < -30


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('one missing', 'No value at 1 of 60 steps: filled in from their neighbours.'),
        ('last missing', 'No value at 1 of 60 steps: filled in from their neighbours.'),
        ('infinite', '4 infinite values read as missing'),
        ('minus infinite', '1 infinite value read as missing'),
        ('beyond squares', '1 infinite value read as missing'),
        ('a third missing', ' of 60 steps: filled in from their neighbours.'),
        ('single', 'One value only'),
        ('constant', 'constant'),
        ('all zero', 'constant'),
        ('empty', 'holds no values'),
    ],
)
def test_what_was_repaired_is_told(rows: pl.DataFrame, name: str, words: str):
    assert words in own(rows, name, 'theta')['warning'][0]
    assert own(rows, 'sound', 'theta')['warning'][0] == ''


@pytest.mark.parametrize(
    ('name', 'flags'),
    [
        ('sound', ''), ('infinite', 'non_finite,gaps'), ('beyond squares', 'non_finite,gaps'), ('one missing', 'gaps'),
        ('duplicated', 'duplicates'), ('shuffled', ''), ('constant', 'constant'), ('all zero', 'constant'),
        ('counts', 'intermittent'), ('pair', 'short'), ('single', 'constant,short'), ('short', 'short'), ('empty', ''),
    ],
)  # fmt: skip
def test_flags_stand_beside_the_forecast(rows: pl.DataFrame, name: str, flags: str):
    assert set(own(rows, name, 'theta')['flags']) == {flags}


@pytest.mark.parametrize('season', [None, 7, 24])
def test_hours_and_days_that_are_always_zero_are_no_intermittent_demand(season: int | None):
    rng = np.random.default_rng(1)
    hours = np.arange(24 * 7 * 6)
    open_hour = (hours % 24 >= 8) & (hours % 24 < 20)
    sun = np.maximum(0.0, np.sin(2 * np.pi * (hours % 24 - 6) / 24)) * rng.uniform(0.1, 1.0, len(hours))
    shop = np.where(open_hour & (hours // 24 % 7 < 5), rng.poisson(5.0, len(hours)), 0)
    closed = np.where(np.arange(84) % 7 < 5, 10 + rng.poisson(5.0, 84), 0)
    some_zeros = np.where(rng.random(84) < 0.1, 0, closed)
    cases = {'1h': [sun, shop] if season != 7 else [], '1d': [closed, some_zeros] if season != 24 else []}
    for every, all_values in cases.items():
        for values in all_values:
            found = regular(frame(values, every=every), season_length=season)
            assert 'intermittent' not in found.flags


def test_rare_demand_stays_intermittent_whatever_its_phase():
    rng = np.random.default_rng(2)
    for share in (0.1, 0.2, 0.4, 0.6):
        for size, every in ((30, '1d'), (60, '1d'), (24, '1mo'), (300, '1h'), (700, '1h')):
            demand = np.where(rng.random(size) < share, 1 + rng.poisson(3.0, size), 0)
            demand[:2] = 1, 0
            found = regular(frame(demand, every=every))
            assert 'intermittent' in found.flags, (share, size, every)
    rare_mondays = np.where((np.arange(140) % 7 == 0) & (rng.random(140) < 0.5), 4.0, 0.0)
    assert 'intermittent' in regular(frame(rare_mondays)).flags


def test_interpolated_steps_of_lumpy_demand_are_no_demand():
    holed = np.where(np.arange(SIZE) % 4 == 1, np.nan, COUNTS)
    found = regular(frame(holed))
    assert found.flags == ('intermittent', 'gaps')


def test_the_ladder_goes_from_the_model_asked_to_theta_to_the_last_season_and_value(rows: pl.DataFrame):
    lumpy = own(rows, 'below zero', 'croston')
    assert set(lumpy['model_used']) == {'theta'}
    assert 'croston: It could not be fitted (demand is never below zero).' in lumpy['warning'][0]
    pair = own(rows, 'pair', 'ets')
    assert set(pair['model_used']) == {'naive'}
    assert 'ets: ' in pair['warning'][0]
    assert 'theta: ' in pair['warning'][0]
    assert own(rows, 'pair', 'seasonal_naive')['mean'].to_list() == [7.0] * H


def test_a_fitted_model_never_passes_for_another(rows: pl.DataFrame):
    for model in QUICK:
        assert set(own(rows, 'sound', model)['model_used']) == {model}


@pytest.mark.parametrize('model', ['seasonal_naive', 'theta', 'prophet'])
def test_local_hours_over_both_changes_of_the_clock(model: str):
    for start in (datetime(2024, 3, 20, tzinfo=UTC), datetime(2024, 10, 16, tzinfo=UTC)):
        stamps = [start + timedelta(hours=n) for n in range(24 * 14)]
        hours = pl.DataFrame({'unique_id': 'a', 'ds': stamps, 'y': wave(24 * 14, season=24)})
        local = hours.with_columns(pl.col('ds').dt.convert_time_zone('Europe/Paris'))
        aware = forecast(local, Request(h=24, models=(model,)))
        assert aware['ds'].to_list() == [stamps[-1] + timedelta(hours=n) for n in range(1, 25)]
        assert set(aware['warning']) == {''}
        naive = forecast(local.with_columns(pl.col('ds').dt.replace_time_zone(None)), Request(h=24, models=(model,)))
        assert naive['ds'].dtype == pl.Datetime('us')
        skipped, twice = 'No value at 1 of ', '1 value shared a step'
        assert naive['warning'][0].startswith((skipped, twice))
        assert set(naive['status']) == {'ok'}
        assert naive['mean'].to_numpy() == pytest.approx(aware['mean'].to_numpy(), abs=6)


def test_local_days_over_a_change_of_the_clock_are_regular():
    days = frame(wave(40), start=datetime(2024, 3, 1))
    aware = days.with_columns(pl.col('ds').dt.replace_time_zone('Europe/Paris'))
    found = regular(aware.with_columns(pl.col('ds').dt.convert_time_zone('UTC').dt.replace_time_zone(None)))
    assert found.step.size == frequency.DAY
    assert len(found.y) == 40
    assert found.flags == ()


@pytest.mark.parametrize('model', ['theta', 'prophet', 'seasonal_naive'])
def test_a_frequency_that_changes_is_flagged_and_told(model: str):
    both = pl.concat([frame(wave(60)), frame(wave(20), start=datetime(2020, 3, 7), every='1w')])
    found = forecast(both, Request(h=3, models=(model,)))
    assert set(found['status']) == {'ok'}
    assert 'came every step at first, every 7 steps at the end (steps of D)' in found['warning'][0]
    assert set(found['flags']) == {'irregular,gaps'}


def test_stamps_off_the_grid_are_moved_and_told():
    shifted = frame(SOUND, every='1h').with_columns(
        ds=pl.when(pl.int_range(SIZE) % 10 == 4).then(pl.col('ds') + timedelta(minutes=20)).otherwise(pl.col('ds'))
    )
    found = regular(shifted)
    assert found.flags == ('irregular',)
    assert '6 of 60 were moved to the nearest h step' in found.notes[0]
    assert len(found.y) == SIZE


def test_a_pair_takes_the_step_of_the_panel_it_lies_on_and_else_its_own():
    apart = pl.DataFrame({'unique_id': 'pair', 'ds': [datetime(2020, 1, 1), datetime(2020, 1, 15)], 'y': [1.0, 2.0]})
    off = pl.DataFrame({'unique_id': 'off', 'ds': [datetime(2020, 1, 1), datetime(2020, 1, 1, 7)], 'y': [1.0, 2.0]})
    series = {one.unique_id: one for one in panel(pl.concat([frame(SOUND, name='days'), apart, off]), H)}
    assert series['pair'].step.name == 'D'
    assert series['pair'].future[0] == np.datetime64('2020-01-16')
    assert len(series['pair'].y) == 15
    assert series['off'].step.name == '7h'


@pytest.mark.parametrize('model', [*QUICK, 'lightgbm'])
@pytest.mark.usefixtures('prophet_here')
def test_a_regressor_missing_ahead_is_left_out_of_that_series_and_told(model: str):
    known = with_load(SIZE, H)
    unknown = with_load(SIZE, H)[: SIZE + 2].with_columns(unique_id=pl.lit('b'))
    unseen = known.with_columns(
        unique_id=pl.lit('c'), load=pl.when(pl.int_range(SIZE + H) < SIZE).then(None).otherwise(pl.col('load'))
    )
    asked = Request(h=H, models=(model,), regressors=('load',), options=FEW_ROUNDS)
    found = forecast(pl.concat([known, unknown, unseen]), asked)
    assert set(found['status']) == {'ok'}
    warnings = {name: part['warning'][0] for (name,), part in found.group_by('unique_id')}
    assert warnings['a'] == ''
    assert warnings['b'] == 'Regressor "load" is not known for 5 of 7 steps ahead and was left out.'
    assert warnings['c'] == 'Regressor "load" is not known in the past and was left out.'
    with pytest.raises(UnusableData, match='"load" is not known for the 7 steps ahead in any series'):
        forecast(unknown, asked)


def test_arima_bears_broken_series_too():
    series = panel(pl.concat([frame(values, name=name) for name, values in BROKEN.items()]), H)
    series = [one for one in series if one.observed and not one.is_still]
    found = Statistical('arima').predict(series, h=H, run=Run())
    by_name = {one.unique_id: raw for one, raw in zip(series, found, strict=True)}
    assert all(np.isfinite(raw.center).all() for raw in found)
    assert {name for name, raw in by_name.items() if raw.used != 'arima'} <= {'pair', 'three', 'short'}
    assert all(raw.warning.startswith('arima: ') for raw in found if raw.used != 'arima')
    assert by_name['huge'].center / 1e12 == pytest.approx(by_name['sound'].center, rel=1e-3)
    for name in LIKE_SOUND[:-1]:
        assert np.abs(by_name[name].center - wave(SIZE + H, noise=0.0)[-H:]).max() < 7


def test_arima_uses_regressors_and_bears_useless_ones():
    rows = with_load(120, H)
    load = pl.col('load')
    rows = rows.with_columns(twice=2 * load, still=pl.lit(1.0), holed=pl.when(load > 1.5).then(None).otherwise(load))
    truth = wave(120 + H, noise=0.0)[120:] + 20 * rows['load'].to_numpy()[120:]
    for names in (('load',), ('load', 'twice', 'still', 'holed')):
        [raw] = Statistical('arima').predict(panel(rows, H, *names), h=H, run=Run(regressors=names))
        assert raw.used == 'arima'
        assert np.abs(raw.center - truth).max() < 6


def test_arima_carries_a_long_season():
    weeks = frame(wave(52 * 4, season=52), every='1w')
    [raw] = Statistical('arima').predict(panel(weeks, 20), h=20, run=Run())
    assert raw.used == 'arima'
    assert np.abs(raw.center - wave(52 * 4 + 20, season=52, noise=0.0)[-20:]).max() < 5


def test_croston_gives_the_rate_of_demand_and_its_spread():
    demand = np.tile([0.0, 0.0, 6.0, 0.0], 30)
    [raw] = Statistical('croston').predict(panel(frame(demand), H), h=H, run=Run())
    assert raw.used == 'croston'
    assert raw.center == pytest.approx(np.full(H, 1.5), abs=0.15)
    assert raw.spread == pytest.approx(np.full(H, demand.std()), rel=0.05)


@pytest.mark.parametrize('missing', [False, True])
@pytest.mark.parametrize('name', LOCAL)
def test_held_out_is_what_would_have_been_forecast(name: str, missing: bool):
    member = of(name)
    values = gapped(SOUND) if missing else SOUND
    whole, past = panel(frame(np.where(AT < 45, values, values + 500)), 5), panel(frame(values[:45]), 5)
    [held] = member.hold_out(whole, [Origin(0, 45)], h=5, run=Run())
    [then] = member.predict(past, h=5, run=Run())
    assert held.center == pytest.approx(then.center)
    assert held.spread == pytest.approx(then.spread, nan_ok=True)


def test_the_past_of_a_series_is_filled_from_nothing_after_it() -> None:
    y = gapped(wave(120))
    one, other = regular(frame(y)), regular(frame(np.where(np.arange(120) < 80, y, y + 500)))
    assert np.isfinite(one.past(80)).all()
    assert one.past(80).tolist() == other.past(80).tolist()
    assert one.past(120).tolist() == one.filled.tolist()


def test_what_is_learnt_to_an_end_is_filled_later_from_what_came_before():
    y = gapped(wave(120))
    one, other = regular(frame(y)), regular(frame(np.where(np.arange(120) < 100, y, y + 500)))
    found = one.learnt(80)
    assert found[:80].tolist() == one.past(80).tolist()
    assert found[:100].tolist() == other.learnt(80)[:100].tolist()
    assert np.abs(found - wave(120, noise=0.0)).max() < 8
    assert (found[np.isfinite(y)] == y[np.isfinite(y)]).all()
    assert one.learnt(120).tolist() == one.filled.tolist()
    assert np.isfinite(one.learnt(0)).all()


@pytest.mark.parametrize('name', ['ets', 'arima'])
def test_options_of_a_model_without_any_are_refused(name: str):
    with pytest.raises(UsageError, match=f'"{name}" has no options'):
        of(name).predict(panel(frame(SOUND), 2), h=2, run=Run(options={name: {'growth': 'flat'}}))


def of(name: str) -> Member:
    if name == 'prophet':
        return ProphetModel()
    return SeasonalNaive() if name == 'seasonal_naive' else Statistical(name)


def gapped(values: np.ndarray) -> np.ndarray:
    """Return values of which nearly a third is missing, but not the first."""
    missing = np.random.default_rng(7).random(len(values)) < 0.3
    return np.where(missing & (np.arange(len(values)) > 0), np.nan, values)


def panel(rows: pl.DataFrame, h: int, *regressors: str, season_length: int | None = None) -> list[repair.Series]:
    typed = rows.with_columns(pl.col('ds').cast(pl.Datetime('us')))
    return repair.prepare(typed, freq=None, h=h, season_length=season_length, regressors=regressors)


def regular(rows: pl.DataFrame, **more: Any) -> repair.Series:
    [found] = panel(rows, H, **more)
    return found


def with_load(size: int, h: int) -> pl.DataFrame:
    """Return a daily series that follows a load, known for the `h` steps ahead too."""
    load = np.random.default_rng(8).standard_normal(size + h)
    values = np.append(wave(size, noise=0.3) + 20 * load[:size], np.full(h, np.nan))
    return frame(values).with_columns(load=pl.Series(load))


def test_a_regressor_far_outside_what_was_seen_is_held_near_it_and_told():
    price = np.tile([4.0, 5.0, 6.0], 40)
    history = frame(np.append(100 - 10 * price[:110], [np.nan] * 10)).with_columns(pl.Series('price', price))
    wild = history.with_columns(
        pl.when(pl.col('y').is_nan()).then(-20 * pl.col('price')).otherwise('price').alias('price')
    )
    asked = Request(h=10, models=('lightgbm', 'linear'), regressors=('price',), options=FEW_ROUNDS)
    found = forecast(wild.with_columns(pl.col('y').fill_nan(None)), asked)
    assert 0 <= found['mean'].min() <= found['mean'].max() < 200
    assert 'far outside what was seen (4 to 6) at 10 of 10 steps ahead' in found['warning'][0]
    near = forecast(history.with_columns(pl.col('y').fill_nan(None)), asked)
    assert near['warning'].unique().to_list() == ['']
