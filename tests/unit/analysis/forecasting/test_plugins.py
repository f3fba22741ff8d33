"""Models of other packages, and ours by the same call."""

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.analysis.forecasting import Request, conformal, fit_predict, forecast, plugins, prepare, registry, tidy
from core.analysis.forecasting.base import Origin, Run
from core.analysis.forecasting.plugins import Plugin
from core.analysis.forecasting.repair import Series
from core.errors import UsageError
from tests.unit.analysis.forecasting.frames import frame, wave

pytestmark = pytest.mark.xdist_group('forecasting')

H = 4
ROOT = Path(__file__).parents[4]
DOCUMENTED = re.findall(r'```python\n(.*?)```', (ROOT / 'docs' / 'how-to' / 'models-of-your-own.md').read_text(), re.S)
TOY = f"""
{DOCUMENTED[0]}

def broken(frame, h, freq, season_length, quantiles):
    raise RuntimeError('no weights here')
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an installed package of two plug-ins, one of them under the name of a model of ours."""
    (tmp_path / 'toy_models.py').write_text(TOY)
    about = tmp_path / 'toy_models-1.0.dist-info'
    about.mkdir()
    (about / 'METADATA').write_text('Metadata-Version: 2.1\nName: toy-models\nVersion: 1.0\n')
    (about / 'entry_points.txt').write_text(
        '[variosync.models]\nmean = toy_models:Mean\nbroken = toy_models:broken\ntheta = toy_models:broken\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def panel(*sizes: int) -> list[Series]:
    frames = pl.concat([frame(wave(size, seed=size), name=f's{place}') for place, size in enumerate(sizes)])
    request = Request(h=H)
    return prepare(tidy(frames, request)[0], request)


def test_installed_plugins_are_models_behind_ours(toy: Path):
    program = (
        'import sys\n'
        'from core.analysis.forecasting import MODELS, Request, forecast\n'
        'assert list(MODELS)[0] == "auto" and list(MODELS)[-2:] == ["broken", "mean"], list(MODELS)\n'
        'assert "toy-models" in MODELS["mean"] and "toy-models" not in MODELS["theta"]\n'
        'assert "toy_models" not in sys.modules\n'
        'from tests.unit.analysis.forecasting.frames import frame, wave\n'
        'rows = forecast(frame(wave(60)), Request(h=4, models=("mean", "broken"), levels=(80,)))\n'
        'mean, broken = rows.partition_by("model", maintain_order=True)\n'
        'assert set(mean["model_used"]) == {"mean"} and set(mean["status"]) == {"ok"}, mean\n'
        'assert 90 < mean["mean"][0] < 110 and (mean["q0.1"] < mean["q0.9"]).all()\n'
        'assert set(broken["status"]) == {"fallback"} and "no weights here" in broken["warning"][0]\n'
    )
    path = [str(toy), str(ROOT)]
    done = subprocess.run(
        [sys.executable, '-c', f'import sys; sys.path[:0] = {path!r}\n{program}'], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_an_entry_point_may_be_a_class_or_a_function(toy: Path):
    assert dict(plugins.installed()) == {'broken': 'toy-models', 'mean': 'toy-models', 'theta': 'toy-models'}
    series = panel(50, 60)
    found = plugins.member('mean').predict(series, h=H, run=Run())
    assert [raw.used for raw in found] == ['mean', 'mean']
    np.testing.assert_allclose(found[0].center, np.median(series[0].filled))
    assert all((raw.spread > 0).all() for raw in found)
    assert 'no weights here' in plugins.member('broken').predict(series, h=H, run=Run())[0].warning
    with pytest.raises(UsageError, match='no model "other"'):
        plugins.member('other')


def asked(answer: Callable[[pl.DataFrame], Any]) -> tuple[Plugin, list[pl.DataFrame]]:
    """A plug-in that answers so, and the frames that it was asked about."""
    frames: list[pl.DataFrame] = []

    def call(frame: pl.DataFrame, h: int, freq: str, season_length: int, quantiles: Sequence[float]) -> Any:
        frames.append(frame)
        return answer(ahead(frame, h))

    return Plugin('toy', lambda: call), frames


def ahead(frame: pl.DataFrame, h: int) -> pl.DataFrame:
    """The last value of each series on the days after it."""
    parts = []
    for (name,), own in frame.group_by(['unique_id'], maintain_order=True):
        last, value = own['ds'][-1], own['y'][-1]
        stamps = [last + timedelta(days=step) for step in range(1, h + 1)]
        columns = {'unique_id': name, 'ds': stamps, 'q0.1': value - 1.0, 'q0.5': value, 'q0.9': value + 1.0}
        parts.append(pl.DataFrame(columns, schema_overrides={'ds': pl.Datetime('us')}))
    return pl.concat(parts)


def test_held_out_origins_come_in_rounds_that_end_as_far_before_the_end():
    series = panel(50, 60)
    member, frames = asked(lambda table: table)
    origins = [Origin(0, 40), Origin(1, 52), Origin(1, 50), Origin(1, 45)]
    found = member.hold_out(series, origins, h=H, run=Run())
    assert [raw.center[0] for raw in found] == [series[at.place].filled[at.size - 1] for at in origins]
    counts = [dict(table.group_by('unique_id').len().iter_rows()) for table in frames]
    assert counts == [{'s1': 52}, {'s0': 40, 's1': 50}, {'s1': 45}]


def level_of_all(table: pl.DataFrame) -> pl.DataFrame:
    """A forecast of each series that rests on all of them."""
    return table.with_columns(
        pl.col('q0.5').mean(), (pl.col('q0.5') - 1.0).min().alias('q0.1'), (pl.col('q0.5') + 1.0).max().alias('q0.9')
    )


@pytest.mark.slow
def test_no_series_shows_a_plugin_the_future_of_another():
    h, series = 12, panel(50, 60, 90, 200)
    origins = conformal.choose(series, h=h, most=4, seed=1)
    behind = {at: len(series[at.place].y) - at.size for at in origins}
    found = dict(zip(origins, asked(level_of_all)[0].hold_out(series, origins, h=h, run=Run()), strict=True))
    assert len(set(behind.values())) > 6
    for cut in set(behind.values()):
        later = []
        for one in series:
            y = one.y.copy()
            y[len(y) - cut :] += 1000.0
            later.append(replace(one, y=y, filled=y))
        again = dict(zip(origins, asked(level_of_all)[0].hold_out(later, origins, h=h, run=Run()), strict=True))
        earlier = [at for at in origins if behind[at] >= cut]
        assert earlier
        for at in earlier:
            assert again[at].center.tolist() == found[at].center.tolist()
            assert again[at].spread.tolist() == found[at].spread.tolist()


@pytest.mark.parametrize(
    ('answer', 'reason'),
    [
        (lambda table: table.to_dicts(), 'returned list instead of a polars frame'),
        (lambda table: table.drop('q0.5'), 'no column "q0.5"'),
        (lambda table: table.with_columns(pl.lit('x').alias('q0.5')), 'toy failed'),
        (lambda table: table.filter(pl.col('unique_id') != 's1'), 'gave 0 of 4 steps'),
        (lambda table: table.filter(pl.col('ds') != pl.col('ds').max().over('unique_id')), 'gave 3 of 4 steps'),
        (lambda table: table.with_columns(pl.col('ds') + pl.duration(days=1)), 'other times'),
        (lambda table: table.with_columns(pl.lit(float('nan')).alias('q0.9')), 'no finite forecast'),
        (lambda table: table.with_columns(pl.lit(None, pl.Float64).alias('q0.9')), 'no finite forecast'),
        (lambda table: table.with_columns(pl.col('q0.9') + 1e200), 'far from any seen'),
        (lambda table: table.with_columns(pl.col('q0.9') - 8.0), 'quantiles that cross'),
        (lambda table: sys.exit('bye'), 'SystemExit: bye'),
    ],
)
def test_whatever_a_plugin_does_its_series_get_a_forecast(answer: Callable[[pl.DataFrame], Any], reason: str):
    series = panel(50, 60)
    found = asked(answer)[0].predict(series, h=H, run=Run())
    assert found[1].used == 'seasonal_naive'
    assert reason in found[1].warning
    assert np.isfinite(found[1].center).all()


def test_an_answer_in_any_order_counts():
    series = panel(50, 60)
    member, _ = asked(lambda table: table.reverse().select(reversed(table.columns)))
    assert {raw.used for raw in member.predict(series, h=H, run=Run())} == {'toy'}


def test_a_wider_answer_gives_a_wider_band():
    series = panel(50)
    narrow, _ = asked(lambda table: table)
    wide, _ = asked(lambda table: table.with_columns(pl.col('q0.9') + 8.0))
    spreads = [member.predict(series, h=H, run=Run())[0].spread[0] for member in (narrow, wide)]
    assert spreads[0] == pytest.approx(1 / 1.2816, rel=1e-3)
    assert spreads[1] == pytest.approx(5 * spreads[0])


@pytest.mark.slow
def test_our_models_answer_the_same_call():
    table = pl.concat([frame(wave(60, seed=place), name=f's{place}') for place in range(2)])
    found = fit_predict('theta')(table, h=H, freq='D', season_length=7, quantiles=(0.05, 0.5, 0.9))
    assert found.columns == ['unique_id', 'ds', 'q0.05', 'q0.5', 'q0.9']
    assert found.height == 2 * H
    assert (found['q0.05'] < found['q0.9']).all()
    same = forecast(table, Request(h=H, models=('theta',), levels=(90, 80), season_length=7))
    assert found['q0.05'].to_list() == same['q0.05'].to_list()


@pytest.mark.slow
def test_the_documented_call_of_our_models_runs():
    table = frame(wave(40, season=12), every='1mo')
    told: dict[str, Any] = {'frame': table}
    exec(DOCUMENTED[1], told)
    assert told['rows'].height == 12


def test_our_own_call_can_be_a_plugin_of_itself():
    series = panel(50, 60)
    found = Plugin('again', lambda: fit_predict('seasonal_naive')).predict(series, h=H, run=Run())
    straight = registry.member('seasonal_naive').predict(series, h=H, run=Run())
    for ours, theirs in zip(straight, found, strict=True):
        np.testing.assert_allclose(theirs.center, ours.center)
        assert theirs.used == 'again'


def test_a_plugin_gets_a_repaired_history():
    series = panel(50)
    y = series[0].y.copy()
    y[10:12] = np.nan
    member, frames = asked(lambda table: table)
    member.predict([replace(series[0], y=y)], h=H, run=Run())
    assert frames[0]['y'].is_finite().all()
    assert frames[0]['ds'].diff().drop_nulls().unique().to_list() == [timedelta(days=1)]
