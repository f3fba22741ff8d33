"""The Temporal Fusion Transformer: small networks, few steps.

What needs PyTorch is imported by whoever uses it: every worker of a test run collects this file, and one runs it.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from core.analysis.forecasting import Request, forecast, prepare, registry, repair, tidy
from core.analysis.forecasting.base import Origin, Run
from core.analysis.forecasting.repair import Series
from core.errors import UnusableData, UsageError
from tests.unit.analysis.forecasting.frames import frame, wave

if TYPE_CHECKING:
    from core.analysis.forecasting.tft.member import Tft
    from core.analysis.forecasting.tft.module import Batch, TemporalFusion
    from core.analysis.forecasting.tft.training import Fitted

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group('forecasting')]

SMALL = {'hidden': 8, 'steps': 4, 'context': 14}
H = 5


def panel(count: int = 8, *, size: int = 70, columns: dict[str, Any] | None = None, **asked: Any) -> list[Series]:
    """Seasonal series on a trend, repaired; `columns` are added to every frame, which then goes on for the horizon."""
    frames = []
    for place in range(count):
        values = wave(size, level=50 + 20 * place, seed=place) + 2.0 * np.arange(size)
        known = np.concatenate([values, np.full(H, np.nan)]) if columns else values
        extra = {name: values_of(place) for name, values_of in (columns or {}).items()}
        frames.append(frame(known, name=f's{place}').with_columns(**extra))
    request = Request(h=H, season_length=7, **asked)
    return prepare(tidy(pl.concat(frames), request)[0], request)


def run(**options: Any) -> Run:
    """How the tests run it."""
    return Run(options={'tft': {**SMALL, **options}})


def tft() -> 'Tft':
    """A model that has learnt nothing."""
    from core.analysis.forecasting.tft.member import Tft

    return Tft()


def at_back(series: Series, first: int, after: int) -> np.ndarray:
    """Return which places of a series lie from `first` steps before its end to less than `after`."""
    back = len(series.y) - np.arange(len(series.y))
    return (back <= first) & (back > after)


def centers(found: Sequence[Any]) -> np.ndarray:
    return np.stack([raw.center for raw in found])


def test_training_loads_no_compiler(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, 'torch._dynamo', None)
    assert {raw.used for raw in tft().predict(panel(), h=H, run=run())} == {'tft'}


def test_it_learns_what_the_seasonal_naive_forecast_misses():
    series = panel(12, size=90)
    truth = np.stack([one.y[-H:] for one in series])
    found = tft().hold_out(series, [Origin(place, 90 - H) for place in range(12)], h=H, run=run(steps=40, rate=0.03))
    naive = np.stack([one.y[-H - 7 : -7][:H] for one in series])
    assert {raw.used for raw in found} == {'tft'}
    assert np.abs(centers(found) - truth).mean() < 0.5 * np.abs(naive - truth).mean()
    assert all((raw.spread > 0).all() for raw in found)


def test_a_seed_gives_the_same_numbers_again_and_another_seed_others():
    import torch

    series = panel()
    threads = torch.get_num_threads()
    state = torch.random.get_rng_state()
    first, again = (tft().predict(series, h=H, run=run()) for _ in range(2))
    other = tft().predict(series, h=H, run=replace(run(), seed=2))
    assert (centers(first) == centers(again)).all()
    assert all((a.spread == b.spread).all() for a, b in zip(first, again, strict=True))
    assert (centers(first) != centers(other)).any()
    assert torch.get_num_threads() == threads, 'nobody else is slowed down'
    assert (torch.random.get_rng_state() == state).all(), 'nobody else is made predictable'


def test_what_is_held_out_is_never_seen():

    series = panel()
    origins = [Origin(place, 70 - back) for place in range(7) for back in (8, 6)]
    changed = []
    for one in series:
        y = one.y.copy()
        y[62:] *= -3.0
        changed.append(replace(one, y=y, filled=y))
    before = tft().hold_out(series, origins[::2], h=H, run=run())
    after = tft().hold_out(changed, origins[::2], h=H, run=run())
    assert (centers(before) == centers(after)).all()
    both = tft().hold_out(series, origins, h=H, run=run())
    np.testing.assert_allclose(
        centers(both)[::2], centers(before), rtol=1e-4, err_msg='one training, to the first origin'
    )


def test_gaps_are_filled_from_nothing_after_an_origin():
    series = panel()
    missing = np.random.default_rng(2).random((len(series), 70)) < 0.3
    missing[:, 0] = False

    def changed(by: float) -> list[Series]:
        values = [np.where(gone, np.nan, one.y) for one, gone in zip(series, missing, strict=True)]
        values = [np.where(np.arange(70) < 60, y, y + by) for y in values]
        filled = [repair.fill(y, 7) for y in values]
        return [replace(one, y=y, filled=whole) for one, y, whole in zip(series, values, filled, strict=True)]

    origins = [Origin(place, size) for size in (56, 60) for place in range(len(series))]
    before, after = (tft().hold_out(changed(by), origins, h=H, run=run()) for by in (0.0, 500.0))
    assert (centers(before) == centers(after)).all()


def test_a_short_series_does_not_show_what_came_after_the_origin_of_a_long_one():
    series = panel(size=90)
    short = [replace(one, stamps=one.stamps[40:], y=one.y[40:], filled=one.filled[40:]) for one in series[4:]]
    changed = [replace(one, y=y, filled=y) for one in short for y in [np.where(at_back(one, 24, 19), 900.0, one.y)]]
    origins = [Origin(place, 90 - 24) for place in range(4)] + [Origin(place, 50 - 18) for place in range(4, 8)]
    before, after = (tft().hold_out([*series[:4], *one], origins, h=H, run=run()) for one in (short, changed))
    assert (centers(before)[:4] == centers(after)[:4]).all()


def test_size_and_unit_of_a_series_do_not_matter():
    small = panel()
    large = [replace(one, y=one.y * 1e12, filled=one.filled * 1e12) for one in small]
    found = [tft().predict(series, h=H, run=run()) for series in (small, large)]
    np.testing.assert_allclose(centers(found[1]), centers(found[0]) * 1e12, rtol=1e-4)


def test_gaps_cost_nothing_but_their_values():
    series = panel()
    y = series[0].y.copy()
    y[20:40] = np.nan
    series[0] = replace(series[0], y=y)
    assert np.isfinite(centers(tft().predict(series, h=H, run=run()))).all()


def test_a_regressor_known_ahead_moves_the_forecast():
    rng = np.random.default_rng(5)
    promo = rng.integers(0, 2, (8, 70 + H)).astype(float)
    series = panel(columns={'promo': lambda place: pl.Series(promo[place])}, regressors=('promo',))
    lifted = [
        replace(one, y=one.y + 40 * one.regressors[:70, 0], filled=one.filled + 40 * one.regressors[:70, 0])
        for one in series
    ]
    asked = replace(run(steps=40, rate=0.03), regressors=('promo',))
    told = []
    for value in (0.0, 1.0):
        for one in lifted:
            table = one.regressors.copy()
            table[70:] = value
            told.append(replace(one, unique_id=f'{one.unique_id} {value}', regressors=table))
    without, promoted = np.split(centers(tft().predict(told, h=H, run=asked)), 2)
    assert 20 < np.mean(promoted - without) < 60


def test_a_regressor_that_a_series_does_not_know_ahead_is_left_out_for_it():
    series = panel(columns={'promo': lambda place: pl.Series(np.arange(75.0))}, regressors=('promo',))
    series[3] = replace(series[3], regressors=np.full_like(series[3].regressors, np.nan))
    found = tft().predict(series, h=H, run=replace(run(), regressors=('promo',)))
    assert np.isfinite(centers(found)).all()


def test_weights_and_looks_are_told():
    series = panel(
        columns={'promo': lambda place: pl.Series(np.arange(75.0)), 'shop': lambda place: pl.lit('ab'[place % 2])},
        regressors=('promo',),
        static=('shop',),
    )
    member = tft()
    asked = replace(run(), regressors=('promo',))
    member.predict(series, h=H, run=asked)
    told = member.explain(series, [2, 0], h=H, run=asked)
    importance = {one.name: float(one.value[0]) for one in told if one.kind == 'importance'}
    for group in ('static', 'past', 'future'):
        assert sum(share for name, share in importance.items() if name.startswith(group)) == pytest.approx(1, abs=1e-5)
    assert {'past: promo', 'future: promo', 'static: category 1', 'past: value'} <= set(importance)
    looks = [one for one in told if one.kind == 'attention']
    assert [one.unique_id for one in looks] == ['s2', 's0']
    assert looks[0].ds is not None
    assert len(looks[0].ds) == len(looks[0].value) == 14
    assert looks[0].ds[-1] == series[2].cutoff
    assert 0 < looks[0].value.sum() <= 1


def test_explaining_alone_fits_first():
    series = panel()
    assert {one.kind for one in tft().explain(series, [0], h=H, run=run())} == {'importance', 'attention'}
    assert tft().explain(panel(1, size=12), [0], h=H, run=run()) == []


def test_a_category_that_training_did_not_have_is_forecast_all_the_same():
    from core.analysis.forecasting.tft.windows import Source

    columns = {'shop': lambda place: pl.lit('ab'[place % 2])}
    series = panel(columns=columns, static=('shop',))
    fitted = fitted_to(series)
    stranger = [replace(one, static=('z',)) for one in series]
    ends = [70] * len(series)
    found = fitted.forecast(Source(stranger, ends, fitted.layout, run=run()), np.arange(8), np.array(ends))
    assert np.isfinite(found).all()


def fitted_to(series: Sequence[Series], **given: Any) -> 'Fitted':
    from core.analysis.forecasting.tft import training
    from core.analysis.forecasting.tft.windows import layout_of

    options = training.Options.of({**SMALL, **given})
    layout = layout_of(series, [len(one.y) for one in series], h=H, run=run(), context=options.context)
    fitted = training.fit(series, [len(one.y) for one in series], layout, options=options, run=run())
    assert fitted is not None
    return fitted


def test_a_saved_network_gives_the_same_numbers_bit_for_bit(tmp_path: Path):
    from core.analysis.forecasting.tft import saved
    from core.analysis.forecasting.tft.windows import Source

    series = panel(columns={'shop': lambda place: pl.lit('ab'[place % 2])}, static=('shop',))
    fitted = fitted_to(series)
    saved.save(fitted, tmp_path / 'model')
    loaded = saved.load(tmp_path / 'model')
    assert loaded.layout == fitted.layout
    assert json.loads((tmp_path / 'model' / 'config.json').read_text())['layout']['vocabularies'] == [['a', 'b']]
    ends = [70] * len(series)
    both = [
        one.forecast(Source(series, ends, one.layout, run=run()), np.arange(8), np.array(ends))
        for one in (fitted, loaded)
    ]
    assert (both[0] == both[1]).all()


@pytest.mark.parametrize(
    ('name', 'text'),
    [('config.json', '{'), ('config.json', '{"form": 2}'), ('config.json', '{}'), ('weights.safetensors', 'broken')],
)
def test_a_folder_without_a_network_is_refused(tmp_path: Path, name: str, text: str):
    from core.analysis.forecasting.tft import saved

    saved.save(fitted_to(panel()), tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(UnusableData, match='form' if 'form' in text else 'no model of tft'):
        saved.load(tmp_path)


def network(**sizes: Any) -> 'TemporalFusion':
    import torch

    from core.analysis.forecasting.tft.module import Sizes, TemporalFusion

    with torch.random.fork_rng():
        torch.manual_seed(1)
        return TemporalFusion(Sizes(past=3, future=2, numbers=2, hidden=8, **sizes)).eval()


def batch(count: int = 4, length: int = 10) -> 'Batch':
    import torch

    from core.analysis.forecasting.tft.module import Batch

    numbers = torch.Generator().manual_seed(1)
    known = torch.ones(count, length, dtype=torch.bool)
    known[0, :4] = False
    return Batch(
        torch.randn(count, length, 3, generator=numbers),
        torch.randn(count, H, 2, generator=numbers),
        torch.randn(count, 2, generator=numbers),
        torch.zeros(count, 0, dtype=torch.int64),
        known,
    )


def test_no_step_sees_a_later_one_and_nobody_looks_before_the_start():
    import torch

    asked = batch()
    net = network()
    with torch.inference_mode():
        answer = net(asked)
        later = replace(asked, future=torch.cat([asked.future[:, :3], asked.future[:, 3:] + 5], 1))
        changed = net(later)
    assert torch.equal(changed.quantiles[:, :3], answer.quantiles[:, :3])
    assert not torch.equal(changed.quantiles[:, 3:], answer.quantiles[:, 3:])
    assert (answer.attention[0, :, :4] == 0).all()
    assert (answer.attention[:, :, 10:].triu(1) == 0).all()
    torch.testing.assert_close(answer.attention.sum(-1), torch.ones(4, H))
    for weights in (answer.past, answer.future, answer.static):
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


def test_half_the_precision_gives_about_the_same():
    import torch

    asked = batch()
    net = network()
    with torch.inference_mode():
        exact = net(asked).quantiles
        with torch.autocast('cpu', dtype=torch.bfloat16):
            rough = net(asked).quantiles.float()
    torch.testing.assert_close(rough, exact, atol=0.1, rtol=0.1)


def test_a_network_that_gets_no_better_stops_early_and_keeps_its_best(monkeypatch: pytest.MonkeyPatch):
    import torch

    from core.analysis.forecasting.tft import training

    losses = iter([5.0, 3.0, *range(4, 20)])
    kept: list[dict[str, Any]] = []

    def judged(network: 'TemporalFusion', *_: Any) -> float:
        kept.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return next(losses)

    monkeypatch.setattr(training, '_judged', judged)
    fitted = fitted_to(panel(), steps=24)
    assert len(kept) == 2 + training.PATIENCE
    assert all(torch.equal(tensor, kept[1][name]) for name, tensor in fitted.network.state_dict().items())


def test_a_limit_of_seconds_ends_the_training(monkeypatch: pytest.MonkeyPatch):
    from core.analysis.forecasting.tft import training

    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(training.time, 'monotonic', lambda: next(clock))
    told: list[float] = []
    asked = replace(run(steps=240, seconds=15), progress=lambda part, text: told.append(part))
    tft().predict(panel(), h=H, run=asked)
    assert len(told) == 2


def test_many_series_are_held_out_whole():
    found = tft().predict(panel(60), h=H, run=run())
    assert {raw.used for raw in found} == {'tft'}


def test_too_little_history_gives_the_seasonal_naive_forecast_and_says_why():
    found = tft().predict(panel(1, size=15), h=H, run=run())
    assert found[0].used == 'seasonal_naive'
    assert 'more series' in found[0].warning
    series = [*panel(), *panel(1, size=9)]
    assert [raw.used for raw in tft().predict(series, h=H, run=run())] == ['tft'] * 8 + ['seasonal_naive']
    assert tft().hold_out(panel(), [], h=H, run=run()) == []


def test_a_horizon_that_would_not_fit_into_memory_is_left_to_the_seasonal_naive_forecast():
    found = tft().predict(panel(), h=501, run=run())
    assert {raw.used for raw in found} == {'seasonal_naive'}
    assert 'at most 500 steps' in found[0].warning


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'width': 3}, 'no option "width"'),
        ({'steps': 0}, 'from 1 to'),
        ({'steps': 2.5}, 'whole number'),
        ({'hidden': 10}, 'divisible by 4'),
        ({'rate': 'fast'}, 'must be a number'),
        ({'seconds': True}, 'must be a number'),
    ],
)
def test_wrong_options_are_refused_by_name(options: dict[str, Any], words: str):
    with pytest.raises(UsageError, match=words):
        tft().predict(panel(1), h=H, run=Run(options={'tft': options}))


def test_hours_have_a_day_and_a_week():
    from core.analysis.forecasting.tft.windows import layout_of

    stamps = frame(wave(24 * 21, season=24), every='1h', start=datetime(2024, 1, 1))
    request = Request(h=H)
    series = prepare(tidy(stamps, request)[0], request)
    layout = layout_of(series, [24 * 21], h=H, run=run(), context=None)
    assert (layout.season, layout.long_season, layout.context) == (24, 168, 168)
    assert 'last week' in layout.future
    assert np.isfinite(centers(tft().predict(series, h=H, run=run(steps=3, context=None)))).all()


def test_real_dates_and_holidays_are_known_ahead():
    series = panel()
    member = tft()
    asked = replace(run(), holidays='DE')
    assert np.isfinite(centers(member.predict(series, h=H, run=asked))).all()
    told = {one.name for one in member.explain(series, [], h=H, run=asked)}
    assert {f'{part}: {name}' for part in ('past', 'future') for name in ('weekday', 'time of year', 'holiday')} <= told
    plain = {one.name for one in member.explain(series, [], h=H, run=run())}
    assert not any('holiday' in name for name in plain), 'another run is another fit'
    with pytest.raises(UsageError, match='"XX"'):
        member.predict(series, h=H, run=replace(run(), holidays='XX'))


def test_months_have_no_days_but_holidays():
    from core.analysis.forecasting.tft.windows import layout_of

    rows = frame(wave(80, season=12), every='1mo')
    request = Request(h=H)
    series = prepare(tidy(rows, request)[0], request)
    assert layout_of(series, [80], h=H, run=run(), context=None).calendar == ()
    assert layout_of(series, [80], h=H, run=replace(run(), holidays='DE'), context=None).calendar == ('holidays',)
    assert np.isfinite(centers(tft().predict(series, h=H, run=replace(run(), holidays='DE')))).all()


def test_it_is_a_model_like_the_others():
    frames = pl.concat([frame(wave(60, seed=place), name=f's{place}') for place in range(6)])
    rows = forecast(frames, Request(h=H, models=('tft',), levels=(80,), options={'tft': {'hidden': 8, 'steps': 6}}))
    assert set(rows['model_used']) == {'tft'}
    assert (rows['q0.1'] < rows['q0.9']).all()


def test_without_its_extra_it_says_how_to_add_it(monkeypatch: pytest.MonkeyPatch):
    assert registry.hint('tft') == ''
    monkeypatch.setitem(sys.modules, 'torch', None)
    assert 'make run WITH=tft' in registry.hint('tft')
    assert 'tft' in registry.MODELS
    with pytest.raises(UsageError, match='make run WITH=tft'):
        forecast(frame(wave(60)), Request(h=H, models=('tft',)))
