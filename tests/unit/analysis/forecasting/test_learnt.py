"""What is learnt of some series, stored, and used to forecast others."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import polars as pl
import pytest

from core.analysis.forecasting import Request, calendars, ensemble, learn, registry, run, windows
from core.analysis.forecasting.base import Learner, Run
from core.analysis.forecasting.learnt import Store
from core.analysis.forecasting.repair import Series, prepare
from core.errors import UnusableData
from tests.unit.analysis.forecasting.frames import frame, wave

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group('forecasting')]

H, POINTS = 6, 54
REQUEST = Request(h=H, freq='MS', options={'lightgbm': {'rounds': 10}})
TINY = {'tft': {'hidden': 4, 'steps': 3}, 'lightgbm': {'rounds': 10}}


def many(count: int, *, first: int = 0, lumpy: bool = False) -> pl.DataFrame:
    """Monthly series of different sizes; some of them with zeros between few values."""
    found = []
    for number in range(first, first + count):
        values = wave(POINTS, season=12, level=60 + 15 * number, noise=4.0, seed=number)
        if lumpy:
            values = np.where(np.random.default_rng(number).random(POINTS) < 0.3, values.round(), 0.0)
        found.append(frame(values, every='1mo', name=f's{number:03}'))
    return pl.concat(found)


def panel(rows: pl.DataFrame) -> list[Series]:
    return prepare(rows, freq='MS', h=H, season_length=None, regressors=(), static=())


@pytest.fixture(autouse=True)
def few_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few members with small models, and few series that speak for others."""
    monkeypatch.setattr(ensemble, 'pool', lambda step: ('lightgbm', 'linear', 'theta'))
    monkeypatch.setattr(ensemble, 'LEAST_PAIRS', 10)
    monkeypatch.setattr(ensemble, 'MOST_PAIRS', 40)
    monkeypatch.setattr(ensemble, 'LEAST_SERIES', 10)


def taught(rows: pl.DataFrame, folder: Path, request: Request = REQUEST, *, of: int = 0) -> Path:
    """Return the file of what is learnt of series."""
    store = Store(folder / 'learning')
    learn(rows, request, store, of=of)
    store.pack(folder / 'learnt.zip')
    return folder / 'learnt.zip'


@pytest.mark.parametrize('name', ['lightgbm', 'linear', 'tft'])
def test_what_a_member_learnt_forecasts_as_if_it_had_just_been_learnt(name: str, tmp_path: Path) -> None:
    if name == 'tft' and find_spec('torch') is None:
        pytest.skip('the extra tft is not installed')
    known, context = panel(many(24)), Run(options=TINY)
    member = registry.member(name)
    assert isinstance(member, Learner)
    member.learn(known, h=H, run=context, folder=tmp_path / name)
    again = registry.member(name)
    assert isinstance(again, Learner)
    for fresh, recalled in zip(
        member.predict(known, h=H, run=context),
        again.recall(known, h=H, run=context, folder=tmp_path / name),
        strict=True,
    ):
        assert recalled.used == fresh.used == name
        np.testing.assert_allclose(recalled.center, fresh.center, rtol=1e-9)
        np.testing.assert_allclose(recalled.spread, fresh.spread, rtol=1e-9)


@pytest.mark.parametrize('name', ['lightgbm', 'linear'])
def test_a_series_is_forecast_alike_whichever_others_it_is_forecast_with(name: str, tmp_path: Path) -> None:
    member, context = registry.member(name), Run(options=TINY)
    assert isinstance(member, Learner)
    member.learn(panel(many(24)), h=H, run=context, folder=tmp_path / name)
    others = panel(many(6, first=50))
    together = member.recall(others, h=H, run=context, folder=tmp_path / name)
    (alone,) = member.recall(others[3:4], h=H, run=context, folder=tmp_path / name)
    assert together[3].used == name
    np.testing.assert_allclose(alone.center, together[3].center, rtol=1e-9)


@pytest.mark.parametrize('name', ['lightgbm', 'linear', 'tft'])
def test_holidays_and_categories_mean_the_same_to_other_series(name: str, tmp_path: Path) -> None:
    if name == 'tft' and find_spec('torch') is None:
        pytest.skip('the extra tft is not installed')
    context = Run(options=TINY, holidays='DE')
    rows = pl.concat(
        frame(wave(120, level=80 + 20 * number, seed=number), name=f's{number}').with_columns(
            shop=pl.lit('abc'[number % 3])
        )
        for number in range(9)
    )
    known = prepare(rows, freq='D', h=H, season_length=None, regressors=(), static=('shop',))
    member = registry.member(name)
    assert isinstance(member, Learner)
    member.learn(known, h=H, run=context, folder=tmp_path / name)
    for fresh, recalled in zip(
        member.predict(known, h=H, run=context),
        member.recall(known, h=H, run=context, folder=tmp_path / name),
        strict=True,
    ):
        np.testing.assert_allclose(recalled.center, fresh.center, rtol=1e-9)
    other = [replace(one, static=('new',)) for one in known[1:3]]
    assert {raw.used for raw in member.recall(other, h=H, run=context, folder=tmp_path / name)} == {name}


def test_categories_keep_their_numbers() -> None:
    shops = ('b', 'c', 'a')
    known = [replace(one, static=(shop,)) for one, shop in zip(panel(many(3)), shops, strict=True)]
    assert windows.categories(known).tolist() == [[1], [2], [0]]
    told = windows.vocabularies(known)
    assert windows.categories(known[1:2], told).tolist() == [[2]], 'its number in the panel that was learnt of'
    assert windows.categories([replace(known[0], static=('d',))], told).tolist() == [[3]]


def test_holidays_keep_their_numbers() -> None:
    year = np.arange('2023-01-01', '2024-01-01', dtype='datetime64[D]')
    names = calendars.holiday_names(year, 'DE')
    first = calendars.holiday_codes(year, 'DE', names)
    assert set(first) == set(range(len(names) + 1))
    assert (calendars.holiday_codes(year, 'DE', names[1:]) == np.maximum(first - 1, 0)).all()


def test_too_little_to_learn_from_is_told(tmp_path: Path) -> None:
    short = panel(frame(wave(8, season=12), every='1mo'))
    for name in ('lightgbm', 'linear'):
        member = registry.member(name)
        assert isinstance(member, Learner)
        member.learn(short, h=H, run=Run(), folder=tmp_path / name)
        (raw,) = member.recall(short, h=H, run=Run(), folder=tmp_path / name)
        assert raw.used != name
        assert name in raw.warning


def test_what_an_older_version_learnt_otherwise_counts_as_not_learnt(tmp_path: Path) -> None:
    member, known = registry.member('linear'), panel(many(24))
    assert isinstance(member, Learner)
    member.learn(known, h=H, run=Run(), folder=tmp_path / 'linear')
    for path in (tmp_path / 'linear').glob('*.npz'):
        with np.load(path) as told:
            common, about = told['common'], told['about']
        np.savez(path, common=common, about=about[:3])  # as it was before functions of logarithms
    raws = member.recall(known, h=H, run=Run(), folder=tmp_path / 'linear')
    assert all(np.isfinite(raw.center).all() for raw in raws)
    assert {raw.used for raw in raws}.isdisjoint({'linear'})
    assert all('linear' in raw.warning for raw in raws)


def test_auto_is_the_same_forecast_when_it_was_learnt_of_the_same_series(tmp_path: Path) -> None:
    rows = many(24)
    store = Store.read(taught(rows, tmp_path), tmp_path / 'read')
    now, recalled = run(rows, REQUEST), run(rows, REQUEST, store=store)
    assert recalled.weights == now.weights
    assert recalled.rows.drop('mean', '^q.*$').equals(now.rows.drop('mean', '^q.*$'))
    figures = [one.rows.select('mean', '^q.*$').to_numpy() for one in (now, recalled)]
    np.testing.assert_allclose(*figures, rtol=1e-9)


def test_other_series_are_forecast_with_what_was_learnt_and_nothing_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.read(taught(many(24), tmp_path), tmp_path / 'read')

    def no(*args: object, **kwargs: object) -> None:
        raise AssertionError('nothing is held out')

    for model in {type(registry.member(name)) for name in ('lightgbm', 'linear', 'theta')}:
        monkeypatch.setattr(model, 'hold_out', no)
    monkeypatch.setattr('core.analysis.forecasting.lightgbm._fit', no)
    monkeypatch.setattr('core.analysis.forecasting.linear._learn', no)
    found = run(many(5, first=100), REQUEST, store=store)
    assert found.rows['status'].unique().to_list() == ['ok']
    assert set(found.rows['model_used'][0].split('+')) == set(found.weights['auto'])
    low, middle, high = (found.rows[name].to_numpy() for name in ('q0.1', 'q0.5', 'q0.9'))
    assert ((low < middle) & (middle < high)).all()


def test_series_of_another_kind_learn_by_themselves(tmp_path: Path) -> None:
    store = Store.read(taught(many(24), tmp_path), tmp_path / 'read')
    rows = frame(wave(90), name='daily')
    daily = replace(REQUEST, freq='D')
    assert run(rows, daily, store=store).rows.equals(run(rows, daily).rows)


def test_intermittent_series_are_learnt_of_apart_unless_they_are_few(tmp_path: Path) -> None:
    both = pl.concat([many(12), many(12, first=100, lumpy=True)])
    store = Store.read(taught(both, tmp_path), tmp_path / 'read')
    now, recalled = run(both, REQUEST), run(both, REQUEST, store=store)
    np.testing.assert_allclose(recalled.rows['mean'], now.rows['mean'], rtol=1e-9)
    step = panel(both)[0].step
    assert all(store.of(step, lumpy=lumpy) for lumpy in (False, True))


def test_few_series_of_a_kind_do_not_speak_for_others(tmp_path: Path) -> None:
    few = Store.read(taught(many(9), tmp_path), tmp_path / 'read')
    assert few.of(panel(many(9))[0].step, lumpy=False) is None


def test_learning_again_gives_the_same_bytes(tmp_path: Path) -> None:
    files = []
    for name in ('one', 'two'):
        (tmp_path / name).mkdir()
        files.append(taught(many(12), tmp_path / name).read_bytes())
    assert files[0] == files[1]


def test_members_are_chosen_for_all_series_that_they_are_to_forecast() -> None:
    known = panel(many(24))
    budget = Run(budget=20.0)
    assert 'theta' in ensemble.plan(known, run=budget).names
    assert 'theta' in ensemble.plan(known, run=budget, of=60_000).left_out


def test_a_file_that_holds_nothing_learnt_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'text').write_text('no archive')
    with ZipFile(tmp_path / 'old', 'w') as archive:
        archive.writestr('panels.json', '{"form": 0, "panels": {}}')
    for name, reason in (('text', 'nothing that was learnt'), ('old', 'has form 0')):
        with pytest.raises(UnusableData, match=reason):
            Store.read(tmp_path / name, tmp_path / f'{name}-read')
