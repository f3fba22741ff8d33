"""Models that learn across series, `lightgbm` and `linear`, and the windows they are made of."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.analysis.forecasting import calendars, frequency, known, repair, windows
from core.analysis.forecasting.base import Explainer, Member, Origin, Run
from core.analysis.forecasting.lightgbm import Windowed
from core.analysis.forecasting.linear import Ridge
from core.errors import UsageError
from tests.unit.analysis.forecasting.frames import frame, wave

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group('forecasting')]

FEW_ROUNDS = {'lightgbm': {'rounds': 40, 'learning_rate': 0.15}}
RUN = Run(options=FEW_ROUNDS)
MEMBERS = pytest.mark.parametrize('member', [Windowed(), Ridge()], ids=lambda member: member.name)


def prepared(rows: pl.DataFrame, h: int, *, regressors: tuple[str, ...] = (), static: tuple[str, ...] = ()) -> Any:
    typed = rows.with_columns(pl.col('ds').cast(pl.Datetime('us')))
    return repair.prepare(typed, freq=None, h=h, season_length=None, regressors=regressors, static=static)


def waves(count: int = 8, size: int = 120, **rest: Any) -> pl.DataFrame:
    return pl.concat(
        [frame(wave(size, seed=one, level=10.0 ** (one % 4 + 1), **rest), name=f's{one}') for one in range(count)]
    )


def promoted(size: int, h: int, *, seed: int, strength: float = 30.0) -> pl.DataFrame:
    """Return a daily series that promotions lift, at random days that are known ahead."""
    offers = np.random.default_rng(seed).random(size + h) < 0.2
    values = wave(size + h, seed=seed) + strength * offers
    values[size:] = np.nan
    return frame(values, name=f's{seed}').with_columns(offer=pl.Series(offers.astype(float)))


def errors(member: Member, panel: Any, truth: list[np.ndarray], *, h: int, run: Run) -> float:
    raws = member.predict(panel, h=h, run=run)
    return float(np.mean([np.abs(raw.center - came).mean() for raw, came in zip(raws, truth, strict=True)]))


@MEMBERS
def test_a_season_is_carried_on_at_any_size(member: Member):
    rows = waves(noise=0.3)
    for name, scale in (('huge', 1e12), ('tiny', 1e-9)):
        rows = pl.concat([rows, frame(wave(120, noise=0.3) * scale, name=name)])
    panel = prepared(rows, 14)
    for series, raw in zip(panel, member.predict(panel, h=14, run=RUN), strict=True):
        size = np.ptp(series.filled)
        assert raw.used == member.name
        assert np.abs(raw.center - series.filled[-14:]).mean() < 0.25 * size
        assert (raw.spread > 0).all()


@MEMBERS
def test_nothing_after_an_origin_moves_its_forecast(member: Member):
    rows = waves(6, noise=2.0).with_columns(offer=pl.col('y') * 0.5)
    panel = prepared(rows, 7, regressors=('offer',), static=())
    run = replace(RUN, regressors=('offer',), holidays='DE')
    origins = [Origin(place, size) for place in (0, 2, 3) for size in (90, 100)]
    altered = []
    for series in panel:
        y, filled, regressors = series.y.copy(), series.filled.copy(), series.regressors.copy()
        y[90:] = filled[90:] = -1e6 * np.arange(len(y) - 90)
        regressors[107:] = 1e9
        altered.append(replace(series, y=y, filled=filled, regressors=regressors))
    for at in (origins[0::2], origins[2:3]):
        before, after = (member.hold_out(one, at, h=7, run=run) for one in (panel, altered))
        for one, other in zip(before, after, strict=True):
            assert (one.center == other.center).all()
            assert (one.spread == other.spread).all()


@MEMBERS
def test_gaps_are_filled_from_nothing_after_an_origin(member: Member):
    rows = waves(6, noise=2.0).with_columns(at=pl.int_range(pl.len()).over('unique_id'))
    missing = pl.Series(np.random.default_rng(2).random(len(rows)) < 0.3) & (rows['at'] > 0)
    rows = rows.with_columns(y=pl.when(~missing).then('y'))
    altered = rows.with_columns(pl.when(pl.col('at') < 100).then('y').otherwise(pl.col('y') + 500))
    origins = [Origin(place, size) for size in (90, 100) for place in range(6)]
    before, after = (member.hold_out(prepared(one, 7), origins, h=7, run=RUN) for one in (rows, altered))
    for one, other in zip(before, after, strict=True):
        assert (one.center == other.center).all()
        assert (one.spread == other.spread).all()


@MEMBERS
def test_a_short_series_does_not_show_what_came_after_the_origin_of_a_long_one(member: Member):
    panel = prepared(pl.concat([waves(4), frame(wave(50), name='short')]), 5)
    back = 50 - np.arange(50)
    y = np.where((back <= 24) & (back > 19), 900.0, panel[4].y)
    changed = [*panel[:4], replace(panel[4], y=y, filled=y)]
    origins = [*(Origin(place, 120 - 24) for place in range(4)), Origin(4, 50 - 18)]
    before, after = (member.hold_out(one, origins, h=5, run=RUN) for one in (panel, changed))
    for one, other in zip(before[:4], after[:4], strict=True):
        assert (one.center == other.center).all()
        assert (one.spread == other.spread).all()


def test_series_are_learnt_to_the_farthest_origin_or_not_at_all():
    panel = prepared(pl.concat([waves(2, size=50), frame(wave(20), name='short')]), 5)
    assert windows.ends_before(panel, [Origin(0, 26), Origin(2, 18)]) == [26, 26, 0]
    assert windows.ends_before(panel, [Origin(0, 45), Origin(0, 40), Origin(1, 48)]) == [40, 40, 10]


@MEMBERS
def test_a_later_origin_uses_what_came_before_it(member: Member):
    values = np.append(wave(90), wave(30) + 500)
    panel = prepared(pl.concat([waves(), frame(values, name='jump')]), 5)
    place = [one.unique_id for one in panel].index('jump')
    early, late = member.hold_out(panel, [Origin(place, 90), Origin(place, 110)], h=5, run=RUN)
    assert early.center.max() < 200
    assert late.center.min() > 400


@MEMBERS
def test_the_seed_decides(member: Member):
    panel = prepared(waves(), 5)
    first, again = (member.predict(panel, h=5, run=RUN) for _ in range(2))
    assert all((one.center == other.center).all() for one, other in zip(first, again, strict=True))


@MEMBERS
def test_a_known_regressor_helps(member: Member):
    h, size = 14, 150
    rows = pl.concat([promoted(size, h, seed=seed) for seed in range(6)])
    truth = []
    for seed in range(6):
        offers = np.random.default_rng(seed).random(size + h) < 0.2
        truth.append((wave(size + h, seed=seed) + 30 * offers)[size:])
    panel = prepared(rows, h, regressors=('offer',))
    with_offers = errors(member, panel, truth, h=h, run=replace(RUN, regressors=('offer',)))
    without = errors(member, prepared(rows.drop('offer').filter(pl.col('y').is_not_nan()), h), truth, h=h, run=RUN)
    assert with_offers < 0.5 * without
    assert with_offers < 3


@MEMBERS
def test_a_regressor_that_one_series_does_not_know_ahead_counts_for_the_others(member: Member):
    rows = pl.concat([promoted(100, 7, seed=seed) for seed in range(6)])
    rows = rows.filter((pl.col('unique_id') != 's2') | pl.col('y').is_not_nan())
    panel = prepared(rows, 7, regressors=('offer',))
    assert np.isnan(panel[2].regressors).all()
    raws = member.predict(panel, h=7, run=replace(RUN, regressors=('offer',)))
    assert all(np.isfinite(raw.center).all() for raw in raws)


def test_what_if_a_promotion_is_added_moves_the_forecast_by_about_its_effect():
    panel = prepared(pl.concat([promoted(150, 7, seed=seed) for seed in range(6)]), 7, regressors=('offer',))
    run = replace(RUN, regressors=('offer',))
    found = []
    for offer in (0.0, 1.0):
        table = panel[0].regressors.copy()
        table[-7:] = offer
        found.append(Windowed().predict([replace(panel[0], regressors=table), *panel[1:]], h=7, run=run)[0].center)
    assert 22 < (found[1] - found[0]).mean() < 38


def test_categories_help_where_a_series_alone_has_seen_nothing_yet():
    """Events lift one kind of series and press the other down; the first ten series have seen none so far."""
    h, size, parts, truth = 7, 45, [], []
    for one in range(40):
        rng = np.random.default_rng(one)
        events = rng.random(size + h) < (0.1 if one >= 10 else 0)
        events[-2] = True
        values = 100 + rng.standard_normal(size + h) + events * (40 if one % 2 else -40)
        truth.append(values[size:].copy())
        values[size:] = np.nan
        kind = 'up' if one % 2 else 'down'
        parts.append(frame(values, name=f's{one:02}').with_columns(event=pl.Series(events * 1.0), kind=pl.lit(kind)))
    missed = []
    for static in (('kind',), ()):
        panel = prepared(pl.concat(parts), h, regressors=('event',), static=static)
        raws = Windowed().predict(panel, h=h, run=replace(RUN, regressors=('event',)))
        missed.append(np.mean([np.abs(raws[one].center - truth[one])[-2] for one in range(10)]))
    assert missed[0] < 10
    assert missed[1] > 25


def test_holidays_help_a_series_that_follows_them():
    h, size = 14, 2 * 365 + 351
    stamps = np.datetime64('2018-01-01') + np.arange(size + h)
    free = np.array(sorted(calendars.named('DE', stamps)), dtype='datetime64[D]')
    parts, truth = [], []
    for seed in range(3):
        values = wave(size + h, seed=seed) - 40 * np.isin(stamps, free)
        parts.append(frame(values[:size], start=datetime(2018, 1, 1), name=f's{seed}'))
        truth.append(values[size:])
    panel = prepared(pl.concat(parts), h)
    assert np.isin(stamps[size:], free).sum() == 2
    for member in (Windowed(), Ridge()):
        told = errors(member, panel, truth, h=h, run=replace(RUN, holidays='DE'))
        assert told < 0.3 * errors(member, panel, truth, h=h, run=RUN)


def test_holidays_are_counted_in_longer_steps_and_marked_in_shorter_ones():
    months = np.array(['2024-03-01', '2024-05-01', '2024-06-01'], 'datetime64[us]')
    counted = calendars.holiday_columns(months, 'DE', step=frequency.parse('MS'))
    assert counted['holidays'].tolist() == [1, 3, 0]
    weeks = np.array(['2024-12-23', '2024-12-29'], 'datetime64[us]')
    counted = calendars.holiday_columns(weeks, 'DE', step=frequency.parse('W'))
    assert counted['holidays from here'].tolist() == [2, 1]
    assert counted['holidays up to here'].tolist() == [0, 2]
    hours = np.array(['2024-12-24T23:00', '2024-12-25T00:00', '2024-12-27T05:00'], 'datetime64[us]')
    marked = calendars.holiday_columns(hours, 'DE', step=frequency.parse('h'))
    assert [column.tolist() for column in marked.values()] == [[0, 1, 0], [1, 1, 0], [0, 0, 1]]
    codes = calendars.holiday_codes(hours, 'DE')
    assert codes[1] > 0
    assert codes[[0, 2]].tolist() == [0, 0]
    with pytest.raises(UsageError, match='There are no holidays of "XX"'):
        calendars.holiday_columns(hours, 'XX', step=frequency.parse('h'))


@pytest.mark.parametrize('shift', [0, 1])
def test_a_calendar_counts_when_weekdays_of_series_agree(shift: int):
    profile = np.tile([5.0, 5, 5, 5, 5, 0, 0], 12)
    parts = [
        frame(np.roll(profile, shift * one) + wave(84, level=20, seed=one) * 0.01, name=f's{one}') for one in range(7)
    ]
    panel = prepared(pl.concat(parts), 3)
    assert calendars.usable(panel, [84] * 7) is (shift == 0)


@MEMBERS
def test_series_too_short_for_a_season_get_what_can_be_said(member: Member):
    rows = pl.concat([frame(wave(size, seed=size), name=f'of {size}') for size in (2, 3, 5, 9, 12)])
    for series, raw in zip(panel := prepared(rows, 4), member.predict(panel, h=4, run=RUN), strict=True):
        assert np.isfinite(raw.center).all()
        assert (raw.used == member.name) or raw.warning or len(series.y) <= 3
    mixed = prepared(pl.concat([rows, waves()]), 4)
    used = {series.unique_id: raw.used for series, raw in zip(mixed, member.predict(mixed, h=4, run=RUN), strict=True)}
    assert used['s0'] == member.name
    assert used['of 3'] == 'naive'


@MEMBERS
def test_no_origins_give_no_forecasts(member: Member):
    assert member.hold_out(prepared(waves(), 3), [], h=3, run=RUN) == []


@MEMBERS
def test_hours_follow_the_week(member: Member):
    hours = np.arange(24 * 7 * 5)
    day, week = np.sin(2 * np.pi * hours / 24), (hours // 24 % 7 >= 5) * 5.0
    parts = []
    for seed in range(4):
        noise = 0.1 * np.random.default_rng(seed).standard_normal(len(hours))
        parts.append(frame((20 + day + week + noise)[:-48] * 10**seed, every='1h', name=f's{seed}'))
    panel = prepared(pl.concat(parts), 48)
    truth = [(20 + day + week)[-48:] * 10**seed for seed in range(4)]
    for raw, came in zip(member.predict(panel, h=48, run=RUN), truth, strict=True):
        assert np.abs(raw.center / came - 1).mean() < 0.03


def test_contributions_sum_up_to_the_forecast():
    parts = [promoted(100, 7, seed=seed) for seed in range(6)]
    parts.append(promoted(100, 7, seed=9).with_columns(pl.col('y') - 100, unique_id=pl.lit('below zero')))
    rows = pl.concat(parts).with_columns(kind=pl.col('unique_id').str.slice(0, 1))
    panel = prepared(rows, 7, regressors=('offer',), static=('kind',))
    run = replace(RUN, regressors=('offer',), holidays='DE')
    member = Windowed()
    assert isinstance(member, Explainer)
    raws = member.predict(panel, h=7, run=run)
    found = member.explain(panel, [1, 0, 6], h=7, run=run)
    assert {part.kind for part in found} == {'contribution'}
    assert {'last season', 'offer', 'holidays', 'trend', 'level', 'calendar', 'categories'} <= {p.name for p in found}
    for place in (0, 1, 6):
        own = [part for part in found if part.unique_id == panel[place].unique_id]
        assert all((part.ds == panel[place].future).all() for part in own)
        np.testing.assert_allclose(np.sum([part.value for part in own], axis=0), raws[place].center, rtol=1e-5)
        start = next(part.value for part in own if part.name == 'last season')
        np.testing.assert_allclose(start, panel[place].filled[-7:], rtol=1e-9)
    offers = np.stack([part.value for part in found if part.name == 'offer'])
    assert np.abs(offers).max() > 15


def test_explaining_needs_no_forecast_before_and_leaves_out_what_was_not_forecast():
    panel = prepared(pl.concat([waves(), frame(wave(4), name='short')]), 3)
    found = Windowed().explain(panel, range(len(panel)), h=3, run=RUN)
    assert {part.unique_id for part in found} == {f's{one}' for one in range(8)}


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        ({'leaves': 3}, 'lightgbm has no option "leaves". It has rounds'),
        ({'num_leaves': 1}, 'The option num_leaves of lightgbm must be a whole number from 2 to 1024.'),
        ({'rounds': 1.5}, 'The option rounds of lightgbm must be a whole number from 1 to 5000.'),
        ({'learning_rate': 'fast'}, 'The option learning_rate of lightgbm must be a number from 0.001 to 1.0.'),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], said: str):
    with pytest.raises(UsageError, match=said):
        Windowed().predict(prepared(waves(), 3), h=3, run=Run(options={'lightgbm': options}))


def test_options_change_the_model():
    panel = prepared(waves(noise=3.0), 3)
    found = [Windowed().predict(panel, h=3, run=Run(options={'lightgbm': {'rounds': rounds}})) for rounds in (2, 30)]
    assert (found[0][0].center != found[1][0].center).any()


def test_a_pool_turns_logarithms_and_effects_back():
    rows = pl.concat([promoted(60, 5, seed=1), promoted(60, 5, seed=2).with_columns(pl.col('y') - 100)])
    panel = prepared(rows, 5, regressors=('offer',))
    pool = windows.pool(panel, [60, 60], h=5, run=Run(regressors=('offer',)), logged=True)
    assert pool.logged.tolist() == [True, False]
    places, sizes = np.array([0, 1]), np.array([20, 50])
    steps = sizes[:, None] + np.arange(5)
    back = pool.in_units(pool.at(pool.filled, places, steps), places, sizes)
    np.testing.assert_allclose(back, [panel[0].filled[20:25], panel[1].filled[50:55]])
    assert np.isnan(pool.past(places, np.array([3, 4]), 5)[:, 0]).all()
    assert np.isnan(pool.came(places, np.array([58, 59]), np.array([[1, 3], [1, 2]]))).tolist() == [
        [False, True],
        [False, True],
    ]


def test_windows_are_drawn_from_every_series_and_never_beyond_its_end():
    ends = np.array([10, 30, 5000])
    drawn = windows.draw(ends, least=8, most=300, a_series=150, rng=np.random.default_rng(1))
    assert set(drawn.places) == {0, 1, 2}
    assert (drawn.sizes < ends[drawn.places]).all()
    assert (drawn.sizes >= 8).all()
    assert drawn.sizes[drawn.places == 2].min() >= 5000 - windows.LONGEST_HISTORY
    assert len(windows.draw(ends, least=9000, most=300, a_series=150, rng=np.random.default_rng(1))) == 0


def test_effects_are_read_from_the_past_and_lean_on_the_panel():
    rng = np.random.default_rng(4)
    values = rng.standard_normal((3 * 100, 1))
    y = 50 + 2 * values[:, 0] + 0.1 * rng.standard_normal(300)
    starts, plain = np.array([0, 100, 200]), np.zeros(3, bool)

    def read(*ends: int) -> np.ndarray:
        return known.effects(y, values, starts, ends, season=7, logged=plain, kinds=np.zeros((3, 0)))

    found = read(100, 100, 3)
    np.testing.assert_allclose(found[:200, 0], 2 * values[:200, 0], atol=0.3)
    assert np.sign(found[203, 0]) == np.sign(values[203, 0])
    first = read(100, 50, 3)
    y[150:200] = 1e9
    assert (read(100, 50, 3) == first).all()
    assert (read(100, 100, 3) != first).any()


@MEMBERS
def test_a_first_zero_after_an_origin_does_not_blow_up_what_is_held_out_later(member: Member):
    values = [wave(120, seed=one, level=60.0) for one in range(8)]
    values[0][85:88] = 0.0
    panel = prepared(pl.concat([frame(own, name=f's{one}') for one, own in enumerate(values)]), 14)
    raws = member.hold_out(panel, [Origin(0, 80), Origin(0, 90), Origin(0, 100)], h=14, run=RUN)
    for raw in raws:
        assert np.abs(raw.center).max() < 200
        assert raw.spread.max() < 1000


def test_many_series_are_forecast_by_the_mean_of_several_draws(monkeypatch: pytest.MonkeyPatch):
    panel, run = prepared(waves(6, noise=2.0), 7), Run(options={'lightgbm': {'rounds': 5}})
    alone = [Windowed().predict(panel, h=7, run=replace(run, seed=seed)) for seed in (1, 3, 5)]
    monkeypatch.setattr('core.analysis.forecasting.lightgbm.MANY_SERIES', 6)
    for raw, *own in zip(Windowed().predict(panel, h=7, run=run), *alone, strict=True):
        np.testing.assert_allclose(raw.center, np.mean([one.center for one in own], axis=0))
