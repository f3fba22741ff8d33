from datetime import datetime

import numpy as np
import polars as pl
import pytest

from core.analysis.forecasting import Request, ensemble, forecast, frequency, registry, repair, run, statistical
from core.analysis.forecasting.base import Origin, Raw, Run
from core.analysis.forecasting.conformal import Held
from tests.unit.analysis.forecasting.frames import air, frame, wave

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group('forecasting')]


def panel(*values: np.ndarray, every: str = '1mo', h: int = 6) -> list[repair.Series]:
    frames = [frame(own, every=every, name=f'{at:03}') for at, own in enumerate(values)]
    rows = pl.concat(frames).with_columns(pl.col('ds').cast(pl.Datetime('us')))
    return repair.prepare(rows, freq=None, h=h, season_length=None)


def raw(center: np.ndarray, used: str) -> Raw:
    return Raw(center=center, spread=np.ones(len(center)), used=used)


def held(series: list[repair.Series], errors: dict[str, float], *, seed: int = 1) -> dict[str, Held]:
    """Held-out forecasts whose errors have these sizes, four origins a series."""
    rng = np.random.default_rng(seed)
    origins = tuple(Origin(place, size) for place in range(len(series)) for size in (60, 50, 40, 30))
    found = {}
    for name, size in errors.items():
        came = [series[at.place].y[at.size : at.size + 6] for at in origins]
        found[name] = Held(origins, tuple(raw(own + size * rng.standard_normal(6), name) for own in came))
    return found


def weights(series: list[repair.Series], errors: dict[str, float], **options: bool) -> dict[str, float]:
    table = ensemble.Table.of(series, held(series, errors), h=6, squared=options.get('squared', False))
    return table.weigh(keep=None).final


def test_weights_lie_between_what_was_measured_and_equal_ones():
    series = panel(*(wave(66, season=12, seed=seed) for seed in range(20)))
    found = weights(series, {'good': 1.0, 'fair': 1.15, 'bad': 9.0, 'seasonal_naive': 6.0})
    assert set(found) == {'good', 'fair'}
    assert sum(found.values()) == pytest.approx(1)
    assert 0.5 < found['good'] < 0.9


def test_seasonal_naive_is_the_floor():
    series = panel(*(wave(66, season=12, seed=seed) for seed in range(20)))
    assert weights(series, {'bad': 5.0, 'worse': 9.0, 'seasonal_naive': 0.5}) == {'seasonal_naive': 1.0}


def test_the_floor_is_chosen_alone_or_not_at_all():
    series = panel(*(wave(66, season=12, seed=seed) for seed in range(20)))
    found = weights(series, {'good': 1.0, 'fair': 1.1, 'seasonal_naive': 1.02})
    assert set(found) == {'good', 'fair'}


def test_few_windows_weigh_nearly_equally():
    series = panel(wave(66, season=12))
    found = weights(series, {'good': 1.0, 'fair': 1.1, 'seasonal_naive': 6.0})
    assert found['fair'] > 0.25


def test_forecasts_that_another_model_stood_in_for_have_no_part():
    one, other = raw(np.array([1.0]), 'theta'), raw(np.array([5.0]), 'naive')
    assert ensemble._average([one, other], {'theta': 0.5, 'ets': 0.5}).center == 1.0
    assert ensemble._average([other, other], {'theta': 0.5, 'ets': 0.5}).used == 'naive'


def test_residuals_come_from_weights_that_did_not_see_their_series():
    series = panel(*(wave(66, season=12, seed=seed) for seed in range(20)))
    table = ensemble.Table.of(series, held(series, {'a': 1.0, 'b': 1.0, 'seasonal_naive': 9.0}), h=6, squared=False)
    of_series = {at.place: fold for at, fold in zip(table.origins, table.folds, strict=True)}
    assert all(of_series[at.place] == fold for at, fold in zip(table.origins, table.folds, strict=True))
    assert set(of_series.values()) == {0, 1}
    alone = panel(wave(66, season=12))
    folds = ensemble.Table.of(alone, held(alone, {'a': 1.0}), h=6, squared=False).folds
    assert folds.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ('name', 'among'), [('h', 'mstl'), ('D', 'prophet'), ('MS', 'theta'), ('QS', 'theta'), ('W-SUN', 'theta')]
)
def test_members_suit_the_frequency(name: str, among: str):
    assert among in ensemble.pool(frequency.parse(name))
    assert 'lightgbm' in ensemble.pool(frequency.parse(name))


def test_costly_members_are_left_out_of_long_histories_and_of_small_budgets():
    short, long = panel(wave(100, season=12)), panel(wave(3000), every='1d')
    assert 'ets' in ensemble.plan(short, run=Run()).names
    assert 'ets' not in ensemble.plan(long, run=Run()).names
    assert 'ets' in ensemble.plan(long, run=Run(budget=60)).names
    small = ensemble.plan(long, run=Run(budget=3))
    assert small.names == ('seasonal_naive',)
    assert {'lightgbm', 'ets'} <= set(small.left_out)


def test_members_are_held_out_on_fewer_series_the_more_they_cost():
    many = panel(*[wave(100, season=12)] * 400)
    quick, slow = ensemble.plan(many, run=Run(budget=200)), ensemble.plan(many, run=Run(budget=60))
    assert slow.held_series < quick.held_series <= 400


def test_a_budget_that_is_too_small_is_told_and_still_gives_a_forecast():
    found = run(air(), Request(h=6, budget=0.001))
    assert found.rows['status'].unique().to_list() == ['ok']
    assert found.rows['model_used'].unique().to_list() == ['seasonal_naive']
    assert 'budget of 0.001 s left no time for lightgbm' in found.rows['warning'][0]
    assert found.weights == {'auto': {'seasonal_naive': 1.0}}


@pytest.mark.usefixtures('few_members')
def test_intermittent_series_get_the_intermittent_model_and_the_others_do_not():
    rng = np.random.default_rng(4)
    demand = [rng.poisson(0.3, 70) * rng.integers(1, 9, 70) for _ in range(3)]
    parts = [frame(own, name=f'demand {at}') for at, own in enumerate(demand)]
    parts += [frame(wave(70, seed=at), name=f'wave {at}') for at in range(3)]
    found = run(pl.concat(parts), Request(h=7, options={'lightgbm': {'rounds': 20}}))
    used = {name: own['model_used'][0] for (name,), own in found.rows.group_by('unique_id')}
    assert all(('croston' in model) == name.startswith('demand') for name, model in used.items())
    assert sum(found.weights['auto'].values()) == pytest.approx(1)
    assert found.rows.filter(pl.col('unique_id').str.starts_with('demand'))['q0.025'].min() >= 0


@pytest.mark.usefixtures('few_members')
def test_weights_of_auto_are_told():
    found = run(frame(wave(80, season=12), every='1mo', start=datetime(2010, 1, 1)), Request(h=6))
    assert sum(found.weights['auto'].values()) == pytest.approx(1)
    assert '+'.join(found.weights['auto']) == found.rows['model_used'][0]


def test_models_of_all_series_are_trained_anew_for_newer_origins():
    series = panel(*(wave(90, season=12, seed=seed) for seed in range(8)))
    bench = ensemble.Bench(series, h=6, quantiles=(0.1, 0.9), run=Run())
    origins = bench._hold_out('seasonal_naive').origins
    (whole,) = bench._stages_of('theta', origins)
    old, new = bench._stages_of('lightgbm', origins)
    assert whole == origins
    assert sorted([*old, *new], key=origins.index) == list(origins)
    assert max(at.size for at in old) < min(at.size for at in new)


class Broken:
    """A model whose library raises."""

    name = 'lightgbm'
    held_series = 10

    def predict(self, panel: object, *, h: int, run: Run) -> list[Raw]:
        raise TypeError('no such luck')

    def hold_out(self, panel: object, origins: object, *, h: int, run: Run) -> list[Raw]:
        raise TypeError('no such luck')


@pytest.mark.usefixtures('few_members')
def test_a_member_that_is_asked_for_by_itself_is_fitted_once(monkeypatch: pytest.MonkeyPatch):
    fitted: list[tuple[str, bytes]] = []
    fit = statistical.fit
    monkeypatch.setattr(
        statistical, 'fit', lambda task: fitted.append((task['name'], task['y'].tobytes())) or fit(task)
    )
    lumpy = np.where(np.random.default_rng(4).random(60) < 0.3, 4.0, 0.0)
    rows = pl.concat([frame(wave(60), name='wave'), frame(lumpy, name='lumpy')])
    found = run(rows, Request(h=7, models=('theta', 'auto'), options={'lightgbm': {'rounds': 5}}))
    assert {'croston', 'theta'} <= set(found.weights['auto'])
    assert len(fitted) == len(set(fitted))


@pytest.mark.usefixtures('few_members')
def test_a_model_that_raises_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch):
    real = registry.member
    monkeypatch.setattr(registry, 'member', lambda name: Broken() if name == 'lightgbm' else real(name))
    found = run(air(), Request(h=6, models=('lightgbm', 'theta', 'auto'))).rows
    by_model = {name: own.row(0, named=True) for (name,), own in found.group_by('model', maintain_order=True)}
    assert (by_model['lightgbm']['status'], by_model['lightgbm']['model_used']) == ('fallback', 'seasonal_naive')
    assert 'no such luck' in by_model['lightgbm']['warning']
    assert (by_model['theta']['status'], by_model['theta']['warning']) == ('ok', '')
    assert by_model['auto']['status'] == 'ok'
    assert {'theta', 'linear'} & set(by_model['auto']['model_used'].split('+'))


def test_auto_tells_when_no_member_could_forecast():
    for values in ([3.0, 5.0], [3.0, 5.0, 4.0], [3.0, 5.0, 4.0, 6.0, 5.0, 7.0]):
        found = run(frame(values, every='1mo'), Request(h=2)).rows
        assert found['status'].unique().to_list() == ['fallback']
        assert found['model_used'].unique().to_list() == ['naive']
        assert found['warning'][0]


def test_bands_belong_to_the_members_that_forecast():
    series = panel(*(wave(66, season=12, seed=seed) for seed in range(20)))
    table = ensemble.Table.of(
        series, held(series, {'good': 1.0, 'fair': 1.15, 'seasonal_naive': 6.0}), h=6, squared=False
    )
    learnt = table.weigh(keep=None).without(['good'])
    assert learnt.final == {'fair': 1.0}
    assert {raw.used for raw in table.mean(learnt)} == {'fair'}
    assert learnt.without(['fair']).final == {'seasonal_naive': 1.0}


@pytest.mark.usefixtures('few_members')
def test_progress_of_auto_never_goes_back():
    told: list[float] = []
    asked = Request(h=6, options={'lightgbm': {'rounds': 20}})
    forecast(air(), asked, progress=lambda part, _: told.append(part))
    assert told == sorted(told)


def test_a_model_is_named_from_its_start_and_tells_how_far_it_is():
    told: list[tuple[float, str]] = []
    values = np.sin(2 * np.pi * np.arange(600) / 12) + np.random.default_rng(3).normal(0, 0.2, 600)
    request = Request(h=6, models=('linear',))
    forecast(frame(values, every='1h'), request, progress=lambda *what: told.append(what))
    assert told[0] == (0.0, 'linear: measuring its bands')
    assert [text for _, text in told if text.startswith('linear')][-1] == 'linear: forecasting'
    parts = [part for part, _ in told]
    assert parts == sorted(parts)
    assert len(set(parts)) >= 8


def test_a_monthly_season_grows_with_its_series():
    steps = np.arange(84)
    values = 1000 * np.exp(0.02 * steps) * (1 + 0.5 * np.sin(2 * np.pi * steps / 12))
    (series,) = panel(values[:72], h=12)
    (found,) = registry.member('mstl').predict([series], h=12, run=Run())
    assert found.used == 'mstl'
    assert found.center.max() / found.center.min() > 2.5
    assert np.abs(found.center / values[72:] - 1).mean() < 0.12


@pytest.mark.parametrize('least', [0.0, -40.0])
def test_a_monthly_series_that_is_not_well_above_zero_keeps_its_units(least: float):
    values = np.maximum(wave(84, season=12, level=5.0, noise=0.1), least)
    (series,) = panel(values[:72], h=12)
    (found,) = registry.member('mstl').predict([series], h=12, run=Run())
    assert found.used == 'mstl'
    assert np.abs(found.center - values[72:]).mean() < 1.0


@pytest.mark.parametrize('size', [8, 12, 13, 25, 26])
def test_a_short_monthly_series_is_taken_apart_as_far_as_it_goes(size: int):
    (series,) = panel(wave(size, season=12), h=6)
    (found,) = registry.member('mstl').predict([series], h=6, run=Run())
    assert found.used == 'mstl'
    assert np.isfinite(found.center).all()
    assert (found.spread > 0).all()
