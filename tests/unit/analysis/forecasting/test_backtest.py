import json
from dataclasses import replace
from datetime import datetime, timedelta

import duckdb
import numpy as np
import polars as pl
import pytest

from core.analysis import evaluate, forecasting
from core.analysis.forecasting import Request, backtest, cross_validation, scores, statistical
from core.errors import UsageError
from tests.unit.analysis.forecasting.frames import air, frame, wave

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group('forecasting')]


def test_windows_end_step_size_apart_and_show_what_came():
    rows = cross_validation(air(), Request(h=6, models=('theta',)), n_windows=3, step_size=4)
    assert rows.height == 18
    assert rows['cutoff'].n_unique() == 3
    last = rows.filter(pl.col('cutoff') == rows['cutoff'].max())
    assert last['y'].to_list() == air()['y'][-6:].to_list()
    middle = rows.filter(pl.col('cutoff') == rows['cutoff'].unique().sort()[1])
    assert middle['y'].to_list() == air()['y'][-10:-4].to_list()


def test_windows_of_a_model_share_their_fits_and_give_what_each_gives_alone(monkeypatch):
    fitted: list[bytes] = []
    fit = statistical.fit
    monkeypatch.setattr(statistical, 'fit', lambda task: fitted.append(task['y'].tobytes()) or fit(task))
    asked = Request(h=6, models=('theta',))
    rows = cross_validation(air(), asked, n_windows=2)
    assert len(set(fitted)) == len(fitted) > 2
    for size in (138, 132):
        alone = forecasting.forecast(air()[:size], asked)
        shared = rows.filter(pl.col('cutoff') == air()['ds'][size - 1])
        assert shared.select(alone.columns).equals(alone)


FEW_ROUNDS = {'lightgbm': {'rounds': 20}}
QUICK = ('seasonal_naive', 'ets', 'theta', 'mstl', 'croston', 'prophet', 'lightgbm', 'linear', 'auto')


@pytest.mark.parametrize('model', QUICK)
@pytest.mark.usefixtures('few_members')
def test_what_comes_later_changes_no_forecast(model):
    panel = pl.concat([air().tail(54), air().tail(50).with_columns(unique_id=pl.lit('b'), y=pl.col('y') * 2)])
    cutoff = panel['ds'].unique().sort()[-7]
    changed = panel.with_columns(pl.when(pl.col('ds') > cutoff).then(9e6).otherwise(pl.col('y')).alias('y'))
    asked = Request(h=6, models=(model,), options=FEW_ROUNDS)
    first, second = (cross_validation(panel, asked, n_windows=2) for panel in (panel, changed))
    assert first['cutoff'].n_unique() == 2
    assert first.drop('y').equals(second.drop('y'))
    assert not first['y'].equals(second['y'])


@pytest.mark.parametrize('model', ['lightgbm', 'linear', 'auto'])
@pytest.mark.usefixtures('few_members')
def test_what_comes_later_changes_no_forecast_where_there_are_gaps_and_regressors(model):
    rows = promoted(days=63)
    places = pl.int_range(pl.len())
    panel = rows.with_columns(pl.when(places % 9 != 4).then(pl.col('y')).alias('y'))
    cutoff = panel['ds'].max() - timedelta(days=10)
    changed = panel.with_columns(
        pl.when(pl.col('ds') > cutoff).then(pl.col('y') * 9e3).otherwise(pl.col('y')).alias('y')
    )
    asked = Request(h=5, models=(model,), regressors=('promo',), options=FEW_ROUNDS)
    past = [
        cross_validation(one, asked, n_windows=3).filter(pl.col('cutoff') <= cutoff).drop('y')
        for one in (panel, changed)
    ]
    assert past[0].height > 0
    assert past[0].equals(past[1])


def promoted(*, days: int = 140, ahead: int = 0, name: str = 'a') -> pl.DataFrame:
    """Sales that follow a promotion, which is known `ahead` days more."""
    on = np.random.default_rng(7).random(days + ahead) < 0.3
    rows = frame(wave(days + ahead) + 80 * on, name=name)
    return rows.with_columns(
        y=pl.when(pl.int_range(pl.len()) < days).then(pl.col('y')), promo=pl.Series(on.astype(float))
    )


def seen(monkeypatch: pytest.MonkeyPatch) -> list[pl.DataFrame]:
    """Return the frames that are forecast from now on."""
    frames: list[pl.DataFrame] = []
    made = forecasting.forecast
    monkeypatch.setattr(
        forecasting, 'forecast', lambda rows, *given, **named: frames.append(rows) or made(rows, *given, **named)
    )
    return frames


@pytest.mark.parametrize('ahead', [0, 5])
def test_regressors_stay_known_after_a_cutoff_and_the_target_does_not(monkeypatch, ahead):
    frames = seen(monkeypatch)
    rows = promoted(ahead=ahead)
    asked = Request(h=5, models=('seasonal_naive',), regressors=('promo',))
    found = cross_validation(rows, asked, n_windows=2)
    assert found['y'].to_list() == [*rows['y'][135:140], *rows['y'][130:135]]
    for size, past in zip((135, 130), frames, strict=True):
        assert past['y'].drop_nulls().to_list() == rows['y'][:size].to_list()
        assert past['ds'].to_list() == rows['ds'][: size + 5].to_list()
        assert past['promo'].to_list() == rows['promo'][: size + 5].to_list()


def test_a_window_ends_with_the_last_value():
    rows = air().with_columns(pl.when(pl.int_range(pl.len()) < 140).then(pl.col('y')).alias('y'))
    found = cross_validation(rows, Request(h=6, models=('seasonal_naive',)), n_windows=1)
    assert found['y'].to_list() == air()['y'][134:140].to_list()
    nothing = rows.with_columns(pl.lit(None, pl.Float64).alias('y'))
    assert cross_validation(nothing, Request(h=6, models=('seasonal_naive',))).is_empty()


def test_a_gap_of_a_regressor_costs_no_window(monkeypatch):
    frames = seen(monkeypatch)
    rows = promoted().filter(pl.int_range(pl.len()) != 137)
    cross_validation(rows, Request(h=5, models=('seasonal_naive',), regressors=('promo',)), n_windows=1)
    assert frames[0].height == 140
    assert frames[0]['promo'].null_count() == 0


def test_a_regressor_that_ends_early_is_not_made_up(monkeypatch):
    rows = pl.concat([promoted(), promoted(name='b')])
    late = (pl.col('unique_id') == 'b') & (pl.col('ds') > rows['ds'][100])
    rows = rows.with_columns(promo=pl.when(~late).then(pl.col('promo')))
    frames = seen(monkeypatch)
    found = cross_validation(rows, Request(h=5, models=('seasonal_naive',), regressors=('promo',)), n_windows=1)
    assert frames[0].filter(pl.col('unique_id') == 'b')['promo'][-5:].is_nan().all()
    assert 'promo' in found.filter(pl.col('unique_id') == 'b')['warning'][0]
    assert 'promo' not in found.filter(pl.col('unique_id') == 'a')['warning'][0]


def test_a_regressor_that_begins_late_is_left_out_of_windows_that_do_not_know_it():
    rows = promoted(days=200, ahead=12).with_columns(promo=pl.when(pl.int_range(pl.len()) >= 180).then(pl.col('promo')))
    models = ('seasonal_naive', 'lightgbm', 'linear')
    asked = Request(h=12, models=models, regressors=('promo',), options=FEW_ROUNDS)
    found = cross_validation(rows, asked, n_windows=3)
    assert found['cutoff'].n_unique() == 3
    assert found['mean'].is_finite().all()
    earliest = found.filter(pl.col('cutoff') == pl.col('cutoff').min())
    assert set(earliest['status']) == {'ok'}
    assert earliest['warning'].str.contains('Regressor "promo" is not known').all()


def test_a_regressor_that_no_series_of_a_sample_ever_knows_is_left_out():
    stranger = promoted(days=80, name='b').with_columns(promo=pl.lit(None, pl.Float64))
    asked = Request(h=5, models=('seasonal_naive',), regressors=('promo',))
    assert cross_validation(stranger, asked, n_windows=2)['mean'].is_finite().all()


def test_scores_can_be_recomputed_from_stored_rows_alone(tmp_path):
    panel = pl.concat([air(), air().with_columns(unique_id=pl.lit('b'), y=pl.col('y').reverse())])
    asked = Request(h=6, models=('theta', 'seasonal_naive'), levels=(80,))
    found = scores(panel, asked)
    path = tmp_path / 'rows.parquet'
    backtest.sample(panel, asked).rows.write_parquet(path)
    arrays = duckdb.sql(f"select * from read_parquet('{path}')").fetchnumpy()
    for rows in (pl.read_parquet(path), arrays):
        again = backtest.leaderboard(rows, asked.levels, models=asked.models)
        for score, other in zip(found, again, strict=True):
            assert {**score, 'seconds': None} == {**other, 'coverage': pytest.approx(other['coverage'])}
            assert other['points'] == 36

    rows, history = pl.read_parquet(path).filter(model='theta'), panel.filter(unique_id='air')['y'].to_numpy()
    window = rows.filter(pl.col('unique_id') == 'air').head(6)
    assert window['scale'][0] == pytest.approx(evaluate.scale(history[:138], 12))
    one = backtest.leaderboard(window, asked.levels)[0]
    assert one['mase'] == pytest.approx(evaluate.mase(history[138:], window['mean'].to_numpy(), history[:138], 12))
    assert one['rmsse'] == pytest.approx(evaluate.rmsse(history[138:], window['mean'].to_numpy(), history[:138], 12))
    bands = window.select('q0.1', 'q0.5', 'q0.9').to_numpy()
    assert one['sql'] == pytest.approx(evaluate.sql(history[138:], bands, (0.1, 0.5, 0.9), history[:138], 12))
    assert one['width']['80'] == pytest.approx(np.mean(bands[:, 2] - bands[:, 0]) / window['scale'][0])


BOARD = pl.DataFrame(
    {
        'unique_id': ['b', 'b', 'a', 'a'], 'cutoff': [datetime(2024, 1, 1)] * 4, 'horizon': [1, 2, 1, 2], 'model': 'm',
        'y': [None, 4.0, 1.0, 2.0], 'mean': [2.0, 4.0, 1.0, 3.0],
        'q0.1': [0.0] * 4, 'q0.5': [2.0, 4.0, 1.0, 3.0], 'q0.9': [3.0, 3.0, 2.0, 4.0],
        'scale': [2.0, 2.0, 1.0, 1.0], 'scale2': [4.0, 4.0, 1.0, 1.0],
    }
)  # fmt: skip


def test_scores_of_chunks_make_the_score_of_all_exactly():
    rng = np.random.default_rng(1)
    n, size = 9, np.repeat([1.0, 50.0, 3000.0], 3 * 6)
    rows = pl.DataFrame(
        {
            'unique_id': np.repeat([f's{place}' for place in range(n)], 6), 'cutoff': [datetime(2024, 1, 1)] * 6 * n,
            'horizon': [1, 2, 3, 4, 5, 6] * n, 'model': 'm', 'y': size * rng.normal(1, 1, 6 * n),
            'mean': size * rng.normal(1, 1, 6 * n), 'scale': size, 'scale2': 3 * size**2,
            **{f'q{q}': size * (q + rng.normal(1, 0.1, 6 * n)) for q in (0.1, 0.5, 0.9)},
        }
    ).with_columns(  # some values are missing, and one series has no scale
        y=pl.when(pl.col('unique_id') == 's1', pl.col('horizon') > 2).then(None).otherwise('y'),
        scale=pl.when(pl.col('unique_id') == 's7').then(None).otherwise('scale'),
    )  # fmt: skip
    (whole,) = backtest.leaderboard(rows, (80,), seconds={'m': 3.0})
    labels = rows['unique_id'].unique(maintain_order=True)
    parts = [
        rows.filter(pl.col('unique_id').is_in(labels[cut].implode())) for cut in (slice(2), slice(2, 3), slice(3, n))
    ]
    sums = [backtest.sums(part, (80,), seconds={'m': 1.0})['m'] for part in parts]
    merged = backtest.score_of('m', [json.loads(json.dumps(one)) for one in sums])
    assert merged['width'] == pytest.approx(whole['width'])
    assert merged['coverage'] == pytest.approx(whole['coverage'])
    plain = [
        {name: value for name, value in one.items() if name not in ('width', 'coverage')} for one in (merged, whole)
    ]
    assert plain[0] == pytest.approx(plain[1])


def test_a_leaderboard_is_of_models_or_of_each_step_or_of_each_series():
    (whole,) = backtest.leaderboard(BOARD, (80,))
    assert (whole['mase'], whole['rmsse'], whole['points']) == (0.25, pytest.approx(0.5**0.5 / 2), 3)
    assert whole['coverage'] == {'80': pytest.approx(2 / 3)}
    assert whole['width'] == {'80': pytest.approx((3 / 2 + 3) / 2)}
    by_step = backtest.leaderboard(BOARD, (80,), 'horizon')
    assert [(one['horizon'], one['mase'], one['points']) for one in by_step] == [(1, 0.0, 1), (2, 0.5, 2)]
    by_series = backtest.leaderboard(BOARD, (80,), by='series')
    assert [(one['unique_id'], one['mase'], one['points']) for one in by_series] == [('a', 0.5, 2), ('b', 0.0, 1)]
    for by in ('horizon', 'series'):
        assert backtest.leaderboard(BOARD.clear(), (80,), by, models=('m',)) == []
    with pytest.raises(UsageError, match='weekday'):
        backtest.leaderboard(BOARD, (80,), by='weekday')


def test_stamps_with_a_zone_stay_in_utc():
    rows = cross_validation(
        air().with_columns(pl.col('ds').dt.replace_time_zone('UTC')), Request(h=6, models=('seasonal_naive',))
    )
    assert rows.schema['ds'] == rows.schema['cutoff'] == pl.Datetime('us', 'UTC')
    assert rows['y'].null_count() == 0


def test_jittered_stamps_are_compared_with_what_came_at_their_step():
    rows = frame(wave(120))
    jitter = pl.Series(np.random.default_rng(1).integers(-1200, 1200, 120)).cast(pl.Duration('ms')) * 1000
    found = cross_validation(rows.with_columns(pl.col('ds') + jitter), Request(h=7, models=('seasonal_naive',)))
    plain = cross_validation(rows, Request(h=7, models=('seasonal_naive',)))
    assert found['y'].to_list() == plain['y'].to_list()


def test_no_window_is_begun_that_would_not_end_in_time(monkeypatch):
    clock = iter(np.arange(0.0, 1e6, 10.0))
    monkeypatch.setattr(backtest, 'perf_counter', lambda: float(next(clock)))
    asked = Request(h=6, models=('seasonal_naive',))
    assert backtest.run(air(), asked, budget=90).rows['cutoff'].n_unique() == 2
    assert backtest.run(air(), asked, budget=1).rows.is_empty()
    assert backtest.sample(air(), replace(asked, budget=60), budget=0).rows.is_empty()


def test_levels_that_were_learnt_from_what_came_are_not_used():
    asked = Request(h=6, models=('seasonal_naive',), adapted={'seasonal_naive': {80: 99.0}})
    assert cross_validation(air(), asked).equals(cross_validation(air(), replace(asked, adapted={})))


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
    assert (theta['points'], theta['n_windows'], theta['n_series']) == (36, 3, 1)
    assert theta['width']['80'] < theta['width']['95']
    assert theta['rmsse'] < naive['rmsse']
    assert theta['seconds'] > 0
    assert told == sorted(told)


def test_scores_measure_the_same_few_of_many_series_by_every_model_and_chunk(monkeypatch):
    monkeypatch.setattr(backtest, 'MEASURED', 6)
    monkeypatch.setattr(backtest, 'COMPANY', 9)
    frames = seen(monkeypatch)
    many = pl.concat([frame(wave(60, seed=n), name=f'{n:03}') for n in range(12)])
    asked = Request(h=4, models=('seasonal_naive', 'lightgbm'), options=FEW_ROUNDS)
    found = backtest.sample(many, asked)
    company, alone = (set(frames[place]['unique_id']) for place in (0, 3))
    series = {str(model): set(own['unique_id']) for (model,), own in found.rows.group_by(['model'])}
    assert series['lightgbm'] == series['seasonal_naive'] == alone < company < set(many['unique_id'])
    naive, lightgbm = backtest.leaderboard(found.rows, asked.levels, models=asked.models, seconds=found.seconds)
    assert (naive['n_series'], naive['points'], naive['n_windows']) == (len(alone), 12 * len(alone), 3 * len(alone))
    assert lightgbm['model'] == 'lightgbm'
    assert np.isfinite(naive['wql'])
    by_chunk = [
        backtest.sample(
            many.filter(pl.col('unique_id').is_in(labels)), replace(asked, models=('seasonal_naive',)), of=12
        )
        for labels in (['000', '001', '002', '003', '004'], ['005', '006', '007', '008', '009', '010', '011'])
    ]
    assert set().union(*(set(one.rows['unique_id']) for one in by_chunk)) == alone


def test_a_chunk_of_which_no_series_is_measured_is_no_error():
    asked = Request(h=6, models=('seasonal_naive',))
    found = backtest.sample(air(), asked, of=10**9)
    assert found.rows.is_empty()
    (score,) = backtest.leaderboard(found.rows, asked.levels, models=asked.models)
    assert (score['mase'], score['n_series']) == (None, 0)


def test_what_cannot_be_measured_is_none():
    (score,) = scores(air().head(5), Request(h=6, models=('theta',)))
    assert score['mase'] is None
    assert score['coverage'] == {'80': None, '95': None}
    assert score['points'] == 0


def test_a_wrong_window_is_refused():
    with pytest.raises(UsageError):
        cross_validation(air(), Request(h=6), n_windows=0)


def test_how_many_windows_each_series_got_is_told():
    both = pl.concat([frame(wave(size), name=name) for name, size in (('long', 90), ('mid', 40), ('tiny', 12))])
    found = backtest.run(both, Request(h=7, models=('seasonal_naive',)), n_windows=5)
    assert found.windows == {'seasonal_naive': {'long': 5, 'mid': 3, 'tiny': 0}}
    scored = backtest.leaderboard(found.rows, (80, 95), by='series')
    assert {one['unique_id']: one['n_windows'] for one in scored} == {'long': 5, 'mid': 3}
    counts = backtest.counted(found.windows['seasonal_naive'])
    assert counts == {'5': 1, '3': 1, '0': 1}
    assert backtest.shortfall(counts, 5) == (
        '1 of 3 series measured from all 5 past cutoffs, 1 from 3, 1 from none: the history is too short for more, or '
        'the time was up.'
    )
    assert backtest.shortfall({'2': 1}, 3).startswith('Measured from 2 of 3 past cutoffs: the history is too short')
    assert backtest.shortfall({'2': 3}, 3) == backtest.shortfall({'2': 1}, 3)
    assert backtest.shortfall({'0': 7}, 3) == 'Not measured on the past: the history is too short, or the time was up.'
    assert backtest.shortfall({'5': 3}, 5) == ''


def test_windows_of_a_sample_are_told_by_model():
    both = pl.concat([frame(wave(size), name=name) for name, size in (('long', 90), ('tiny', 12))])
    found = backtest.sample(both, Request(h=7, models=('linear', 'seasonal_naive')), n_windows=3)
    assert found.windows == {model: {'long': 3, 'tiny': 0} for model in ('linear', 'seasonal_naive')}
