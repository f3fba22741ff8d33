"""What the forecast task leaves under its prefix, and what its manifest says of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
import pytest

from core import tasks
from core.analysis.forecasting import backtest, ensemble, registry
from core.analysis.forecasting.base import Explained, Origin, Raw, Run
from core.analysis.forecasting.naive import repeat
from core.analysis.forecasting.repair import Series
from core.errors import TaskFailed, UnusableData, UsageError
from storage.objects import LocalTaskObjects
from tests.unit.analysis.forecasting.frames import frame, wave

pytestmark = pytest.mark.xdist_group('forecasting')  # whose worker has imported the libraries of models

DAYS, AHEAD, H = 84, 7, 7
FEW_ROUNDS = {'lightgbm': {'rounds': 10}}
VERSION, PREFIX = f't/{UUID(int=1)}/version/data.parquet', f't/{UUID(int=1)}/forecast/j-1'


@pytest.fixture
def objects(tmp_path: Path) -> LocalTaskObjects:
    """A store that holds daily sales of two regions as a version; promotions are known a week more."""
    parts = []
    for place, name in enumerate(['south', 'north']):
        on = (np.random.default_rng(place).random(DAYS + AHEAD) < 0.3).astype(float)
        rows = frame(wave(DAYS + AHEAD, seed=place, level=200) + 60 * on, name=name)
        own = rows.with_columns(
            pl.when(pl.int_range(pl.len()) < DAYS).then(pl.col('y')).alias('y'), promo=pl.Series(on)
        )
        parts.append(own.with_columns(region=pl.lit(name[:1])))
    table = pl.concat(parts).sort('unique_id', 'ds').rename({'unique_id': '_series', 'ds': '_time', 'y': 'sales'})
    table.with_row_index('_line').write_parquet(tmp_path / 'data.parquet')
    store = LocalTaskObjects(tmp_path / 'objects')
    store.put_file(VERSION, tmp_path / 'data.parquet')
    return store


def run(objects: LocalTaskObjects, folder: Path, *, about: Mapping[str, Any] | None = None, **request: Any) -> Any:
    """Run the task and return its answer; what it stores lies below PREFIX."""
    folder.mkdir()
    asked = {'target': 'sales', 'h': H, 'series': [], 'models': ['seasonal_naive'], 'levels': [80, 95]}
    asked |= {'step': None, 'aggregate': 'mean', **request}
    payload = {'prefix': PREFIX, 'parts': [VERSION], 'request': asked, **(about or {})}
    told: list[float] = []
    answer = tasks.forecast(payload, objects, folder, lambda part, text: told.append(part))
    assert told == sorted(told)
    return answer


def stored(objects: LocalTaskObjects, folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(objects.fetch(f'{PREFIX}/{name}', folder))


def test_a_result_holds_rows_backtests_notes_and_scores(objects: LocalTaskObjects, tmp_path: Path) -> None:
    answer = run(objects, tmp_path / 'one', models=['seasonal_naive', 'theta'])
    manifest = answer['manifest']
    assert {key: manifest[key] for key in ('series', 'n_series', 'history', 'notes')} == {
        'series': ['north', 'south'],
        'n_series': 2,
        'history': ['history.parquet'],
        'notes': ['notes.parquet'],
    }
    naive, theta = manifest['models']
    assert (theta['name'], theta['files'], theta['backtests'], theta['explained']) == (
        'theta',
        ['forecast-theta.parquet'],
        ['backtest-theta.parquet'],
        [],
    )
    assert (naive['rows'], naive['series'], naive['weights']) == (2 * H, {'ok': 2}, None)
    assert naive['seconds'] >= 0
    assert {item['key'] for item in answer['objects']} == {
        f'{PREFIX}/{name}'
        for name in (
            *('history.parquet', 'notes.parquet', 'forecast-theta.parquet', 'forecast-seasonal_naive.parquet'),
            *('backtest-theta.parquet', 'backtest-seasonal_naive.parquet'),
        )
    }
    rows = stored(objects, tmp_path, 'backtest-theta.parquet')
    (again,) = backtest.leaderboard(rows, (80, 95), seconds={'theta': manifest['scores'][1]['seconds']})
    assert again == manifest['scores'][1]
    assert (again['n_series'], again['n_windows'], again['points']) == (2, 6, 6 * H)
    assert stored(objects, tmp_path, 'history.parquet').columns == ['unique_id', 'ds', 'y']
    assert 'kind' in stored(objects, tmp_path, 'notes.parquet').columns


def test_series_that_end_apart_and_warnings_of_some_are_told_so(objects: LocalTaskObjects, tmp_path: Path) -> None:
    known = pl.read_parquet(objects.fetch(VERSION, tmp_path))
    south = pl.col('_series') == 'south'
    known = known.filter(~south | (pl.col('_time') < pl.col('_time').max().over('_series') - pl.duration(days=9)))
    known = known.filter(~south | (pl.int_range(pl.len()).over('_series') != 5))
    known.write_parquet(tmp_path / 'known.parquet')
    objects.put_file(VERSION, tmp_path / 'known.parquet')
    (naive,) = run(objects, tmp_path / 'one')['manifest']['models']
    ends = stored(objects, tmp_path, 'forecast-seasonal_naive.parquet')['cutoff']
    assert [naive['first_cutoff'], naive['cutoff']] == [str(ends.min()), str(ends.max())]
    assert ends.min() < ends.max()
    assert naive['warnings'] == ['No value at 1 of 81 steps: filled in from their neighbours.']
    assert naive['about'] == {
        'No value at # of 81 steps: filled in from their neighbours.': {'series': 1, 'first': ['south']}
    }


@pytest.mark.slow
def test_a_time_that_stands_for_no_date_is_no_history(objects: LocalTaskObjects, tmp_path: Path) -> None:
    run(objects, tmp_path / 'one')
    plain = stored(objects, tmp_path, 'history.parquet')
    table = pl.read_parquet(objects.fetch(VERSION, tmp_path))
    stray = table.head(1).with_columns(_time=pl.lit(datetime(2999, 12, 31)).cast(table.schema['_time']), sales=7.0)
    pl.concat([table, stray]).sort('_series', '_time').write_parquet(tmp_path / 'stray.parquet')
    objects.put_file(VERSION, tmp_path / 'stray.parquet')
    (model,) = run(objects, tmp_path / 'two')['manifest']['models']
    assert stored(objects, tmp_path / 'two', 'history.parquet').equals(plain)
    assert [text for text in model['warnings'] if 'at 2999-12-31' in text]


@pytest.mark.slow
def test_a_task_that_runs_again_leaves_the_same_objects(objects: LocalTaskObjects, tmp_path: Path) -> None:
    models = ['theta', 'lightgbm']
    asked = {'models': models, 'windows': 1, 'options': FEW_ROUNDS}
    first, second = (run(objects, tmp_path / name, **asked)['objects'] for name in ('one', 'two'))
    assert first == second


@pytest.mark.slow
def test_auto_is_explained_by_the_shares_of_its_members(
    objects: LocalTaskObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ensemble, 'pool', lambda step: ('lightgbm', 'linear', 'theta'))
    asked = {'models': ['auto'], 'windows': 1, 'options': FEW_ROUNDS}
    (auto,) = run(objects, tmp_path / 'one', **asked)['manifest']['models']
    assert sum(auto['weights'].values()) == pytest.approx(1)
    rows = stored(objects, tmp_path, 'explained-auto.parquet')
    assert rows.columns == ['unique_id', 'kind', 'name', 'ds', 'value']
    assert set(rows['kind']) == {'importance'}
    assert dict(zip(rows['name'], rows['value'], strict=True)) == auto['weights']


class Follower:
    """A model that adds a regressor to the last season, and says so."""

    name = 'theta'
    held_series = 10

    def predict(self, panel: Sequence[Series], *, h: int, run: Run) -> list[Raw]:
        return [self._ahead(one, len(one.y), h) for one in panel]

    def hold_out(self, panel: Sequence[Series], origins: Sequence[Origin], *, h: int, run: Run) -> list[Raw]:
        return [self._ahead(panel[at.place], at.size, h) for at in origins]

    def explain(self, panel: Sequence[Series], places: Sequence[int], *, h: int, run: Run) -> list[Explained]:
        return [
            Explained(unique_id=one.unique_id, kind='contribution', name=name, ds=one.future, value=column)
            for one in (panel[place] for place in places)
            for name, column in zip(run.regressors, one.regressors[-h:].T, strict=True)
        ]

    def _ahead(self, series: Series, size: int, h: int) -> Raw:
        raw = repeat(series.filled[:size], h=h, season_length=7)
        return replace(raw, center=raw.center + series.regressors[size : size + h, 0], used=self.name)


def test_a_regressor_that_goes_on_moves_the_forecast_and_a_what_if_moves_it_again(
    objects: LocalTaskObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, 'member', lambda name: Follower())
    asked = {'models': ['theta'], 'regressors': ['promo'], 'static': ['region'], 'series': ['north']}
    answer = run(objects, tmp_path / 'one', **asked)
    history = stored(objects, tmp_path, 'history.parquet')
    assert history.columns == ['unique_id', 'ds', 'y', 'promo']
    assert (history.height, history['y'].null_count()) == (DAYS + AHEAD, AHEAD)
    promo = history['promo'].to_numpy()[-AHEAD:]
    assert {0.0, 1.0} == set(promo)
    rows = stored(objects, tmp_path, 'forecast-theta.parquet')
    np.testing.assert_allclose(rows['mean'], history['y'].to_numpy()[DAYS - 7 : DAYS] + promo)
    assert rows['ds'].to_list() == history['ds'].to_list()[-AHEAD:]
    assert answer['manifest']['models'][0]['explained'] == ['explained-theta.parquet']
    told = stored(objects, tmp_path, 'explained-theta.parquet')
    assert told['value'].to_list() == promo.tolist()
    assert told.row(0)[:4] == ('north', 'contribution', 'promo', rows['ds'][0])

    changed = run(objects, tmp_path / 'two', **asked, changes={'promo': {'how': 'shift', 'value': 0.25}})
    moved = stored(objects, tmp_path, 'forecast-theta.parquet')['mean'] - rows['mean']
    np.testing.assert_allclose(moved, 0.25)
    assert stored(objects, tmp_path, 'history.parquet')[:DAYS].equals(history[:DAYS])
    figures = [{**one['manifest']['scores'][0], 'seconds': None} for one in (answer, changed)]
    assert figures[0] == figures[1]
    assert figures[0]['n_windows'] == 3


def test_only_a_chunk_of_the_series_is_forecast(objects: LocalTaskObjects, tmp_path: Path) -> None:
    answer = run(objects, tmp_path / 'one', about={'chunk': [1, 2], 'n_series': 2})
    assert answer['manifest']['series'] == ['south']
    assert set(stored(objects, tmp_path, 'forecast-seasonal_naive.parquet')['unique_id']) == {'south'}


@pytest.mark.slow
def test_a_chunk_is_forecast_by_auto_with_what_was_learnt_before(
    objects: LocalTaskObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ensemble, 'LEAST_SERIES', 2)
    monkeypatch.setattr(ensemble, 'pool', lambda step: ('lightgbm', 'theta'))
    about, asked = {'n_series': 2, 'notes': False}, {'models': ['auto'], 'options': FEW_ROUNDS}
    first = run(objects, tmp_path / 'one', about={**about, 'learn': 2}, **asked)
    (auto,) = first['manifest']['models']
    assert (auto['files'], auto['rows'], auto['backtests']) == ([], 0, ['backtest-auto.parquet'])
    assert (first['manifest']['history'], first['manifest']['learnt']) == ([], ['learnt.zip'])
    (score,) = first['manifest']['scores']
    assert (score['n_series'], score['n_windows']) == (2, 6)
    learnt = [item for item in first['objects'] if item['key'].endswith('learnt.zip')]
    whole = run(objects, tmp_path / 'two', about=about, **asked)
    rows = stored(objects, tmp_path, 'forecast-auto.parquet').filter(pl.col('unique_id') == 'south')
    second = run(objects, tmp_path / 'three', about={**about, 'chunk': [1, 2], 'learnt': learnt}, **asked)
    (auto,) = second['manifest']['models']
    assert (auto['series'], auto['backtests'], 'windows' in auto) == ({'ok': 1}, [], False)
    assert (second['manifest']['scores'], second['manifest']['sums']) == ([], {})
    assert auto['weights'] == whole['manifest']['models'][0]['weights']
    again = stored(objects, tmp_path, 'forecast-auto.parquet')
    np.testing.assert_allclose(again.select('mean', '^q.*$'), rows.select('mean', '^q.*$'), rtol=1e-9)


@pytest.mark.slow
def test_a_chunk_that_does_not_know_a_regressor_is_forecast_without_it(
    objects: LocalTaskObjects, tmp_path: Path
) -> None:
    known = pl.read_parquet(objects.fetch(VERSION, tmp_path))
    known = known.with_columns(promo=pl.when(pl.col('_series') == 'south').then(pl.col('promo')))
    known.write_parquet(tmp_path / 'known.parquet')
    objects.put_file(VERSION, tmp_path / 'known.parquet')
    asked = {'models': ['seasonal_naive', 'lightgbm'], 'regressors': ['promo'], 'options': FEW_ROUNDS}
    answer = run(objects, tmp_path / 'a', about={'chunk': [0, 2]}, **asked)
    assert answer['manifest']['series'] == ['north']
    for model in answer['manifest']['models']:
        assert model['series'] == {'ok': 1}
        assert any('Regressor "promo" is not known' in text for text in model['warnings'])
    with pytest.raises(UnusableData, match='"promo" is not known'):
        run(objects, tmp_path / 'b', series=['north'], **asked)


def test_zero_is_taken_at_its_word(objects: LocalTaskObjects, tmp_path: Path) -> None:
    answer = run(objects, tmp_path / 'a', seed=0)
    assert answer['manifest']['models'][0]['seed'] == 0
    with pytest.raises(UsageError, match='budget must be'):
        run(objects, tmp_path / 'b', models=['auto'], budget=0)
    with pytest.raises(UsageError, match='cores must be'):
        run(objects, tmp_path / 'c', cores=0)


def test_windows_that_a_budget_leaves_no_time_for_are_left_out(objects: LocalTaskObjects, tmp_path: Path) -> None:
    answer = run(objects, tmp_path / 'one', models=['auto'], budget=1e-6)
    (score,) = answer['manifest']['scores']
    assert (score['model'], score['n_windows'], score['mase']) == ('auto', 0, None)
    assert answer['manifest']['models'][0]['backtests'] == []


def test_series_with_fewer_windows_are_told(objects: LocalTaskObjects, tmp_path: Path) -> None:
    (model,) = run(objects, tmp_path / 'one', windows=10)['manifest']['models']
    assert model['windows'] == {'asked': 10, 'series': {'8': 2}}
    assert model['warnings'][0].startswith('Measured from 8 of 10 past cutoffs: ')
    (model,) = run(objects, tmp_path / 'two')['manifest']['models']
    assert (model['windows'], model['warnings']) == ({'asked': 3, 'series': {'3': 2}}, [])


def test_a_budget_takes_nothing_from_models_other_than_auto(objects: LocalTaskObjects, tmp_path: Path) -> None:
    (score,) = run(objects, tmp_path / 'one', budget=1e-6)['manifest']['scores']
    assert (score['model'], score['n_windows']) == ('seasonal_naive', 6)


def test_levels_learnt_from_the_record_come_as_text(objects: LocalTaskObjects, tmp_path: Path) -> None:
    run(objects, tmp_path / 'one')
    plain = stored(objects, tmp_path, 'forecast-seasonal_naive.parquet')
    run(objects, tmp_path / 'two', adapted={'seasonal_naive': {'80': 95.0}})
    wider = stored(objects, tmp_path, 'forecast-seasonal_naive.parquet')
    assert (wider['q0.9'] > plain['q0.9']).all()
    assert wider['q0.9'].to_list() == pytest.approx(plain['q0.975'].to_list())


@pytest.mark.parametrize(
    ('request_', 'error', 'told'),
    [
        ({'regressors': ['weather']}, UsageError, 'weather'),
        ({'changes': {'promo': {'how': 'set', 'value': 1}}}, UsageError, 'promo'),
        ({'models': ['magic']}, UsageError, 'magic'),
        ({'target': 'nothing'}, TaskFailed, 'No series could be forecast'),
    ],
)
def test_what_cannot_be_forecast_is_told(
    objects: LocalTaskObjects, tmp_path: Path, request_: dict[str, Any], error: type[Exception], told: str
) -> None:
    rows = pl.read_parquet(objects.fetch(VERSION, tmp_path)).with_columns(nothing=pl.lit(None, pl.Float64))
    rows.write_parquet(tmp_path / 'more.parquet')
    objects.put_file(VERSION, tmp_path / 'more.parquet')
    with pytest.raises(error, match=told):
        run(objects, tmp_path / 'one', **request_)
