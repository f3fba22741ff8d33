"""One gradient-boosted model for all series and all horizons, on windows that are scaled one by one.

Each window (a series up to an origin) is centred on its last season's mean and scaled by its seasonal differences; the
target is the scaled difference from the seasonal naive forecast, so that the model starts from that anchor and learns
across series of any size. Direct multi-horizon as in Taieb et al. 2012, doi:10.1016/j.eswa.2012.01.039; global models
as in Montero-Manso & Hyndman 2021, doi:10.1016/j.ijforecast.2021.03.004; boosting by Ke et al. 2017 (LightGBM).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from core.analysis.forecasting.base import Origin, Raw, Run
from core.analysis.forecasting.frequency import DAY, Array, Step
from core.analysis.forecasting.naive import repeat
from core.analysis.forecasting.repair import Series

MOST_ROWS = 150_000
MOST_WINDOWS = 150
HORIZONS_A_WINDOW = 6
LEAST_ROWS = 60
LONGEST_HISTORY = 2000
ROUNDS = 250
REACH = 15.0
"""Scaled targets are clipped here: beyond lie breaks in level that no window explains."""
RECENT = 14
REAL_CALENDAR = 0.3
"""Dates count as real when weekday profiles of different series agree at least this much (mean correlation)."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """What windows look like in a panel."""

    season: int
    long_season: int
    length: int
    calendar: Callable[[Array], Array] | None


@dataclass(frozen=True, slots=True)
class _Windows:
    """Windows of one series by rows (window × horizon): features, the anchor and the scale, both in units of y."""

    features: Array
    anchor: Array
    scale: Array


class Windowed:
    """The member `lightgbm`."""

    name = 'lightgbm'
    held_series = 1500

    def predict(self, panel: Sequence[Series], *, h: int, run: Run) -> list[Raw]:
        """Return each series' forecast by a model trained on all of them."""
        ends = [Origin(place, len(series.filled)) for place, series in enumerate(panel)]
        return self._fit_predict(panel, [at.size for at in ends], ends, h=h, run=run)

    def hold_out(self, panel: Sequence[Series], origins: Sequence[Origin], *, h: int, run: Run) -> list[Raw]:
        """Return forecasts from the origins by one model that was trained on nothing after the first of each series."""
        sizes = [len(series.filled) for series in panel]
        behind = max((sizes[at.place] - at.size for at in origins), default=0)
        first: dict[int, int] = {}
        for at in origins:
            first[at.place] = min(at.size, first.get(at.place, at.size))
        # a series without an origin may not show the future of those that have one
        ends = [first.get(place, size - behind) for place, size in enumerate(sizes)]
        return self._fit_predict(panel, ends, origins, h=h, run=run)

    def _fit_predict(
        self, panel: Sequence[Series], ends: Sequence[int], origins: Sequence[Origin], *, h: int, run: Run
    ) -> list[Raw]:
        layout = _layout(panel, h)
        features, targets = _training(panel, ends, layout, h=h, seed=run.seed)
        if len(targets) < LEAST_ROWS:
            reason = 'lightgbm needs a longer history or more series.'
            return [
                repeat(
                    panel[at.place].filled[: at.size],
                    h=h,
                    season_length=panel[at.place].step.season_length,
                    warning=reason,
                )
                for at in origins
            ]
        model = _train(features, targets, seed=run.seed, progress=run.progress)
        steps = np.arange(1, h + 1)
        found = [_windows(panel[at.place], np.array([at.size]), steps[None], layout) for at in origins]
        if not found:
            return []
        scaled = model(np.concatenate([one.features for one in found])).reshape(len(found), h)
        return [
            self._raw(panel[at.place], at, w, row, layout, h) for at, w, row in zip(origins, found, scaled, strict=True)
        ]

    def _raw(self, series: Series, at: Origin, windows: _Windows, scaled: Array, layout: _Layout, h: int) -> Raw:
        if at.size < _least(layout.season):
            reason = 'The series is too short for lightgbm.'
            return repeat(series.filled[: at.size], h=h, season_length=series.step.season_length, warning=reason)
        return Raw(center=windows.anchor + windows.scale * scaled, spread=windows.scale, used=self.name)


def _least(season: int) -> int:
    return season + 3


def _layout(panel: Sequence[Series], h: int) -> _Layout:
    step = panel[0].step
    season = step.season_length
    sizes = np.array([len(series.filled) for series in panel])
    if np.median(sizes) < 2 * season + 4:
        season = 1
    if step.long_season and season > 1:
        length = step.long_season
    elif step.unit == 'month' or season > 24:
        length = (3 if np.median(sizes) >= 10 * season else 2) * season
    else:
        length = 8 * season
    return _Layout(season, step.long_season, max(length, 12), _calendar(panel, step))


def _calendar(panel: Sequence[Series], step: Step) -> Callable[[Array], Array] | None:
    """Return what turns stamps into calendar features, where a step is a day or less and dates are real."""
    if step.unit == 'month' or (step.unit == 'fixed' and step.size > DAY):
        return None
    if not _dates_are_real(panel, max(1, DAY // step.size if step.unit == 'fixed' else 1)):
        return None

    def features(stamps: Array) -> Array:
        days = stamps.astype('datetime64[D]')
        months = days.astype('datetime64[M]')
        return np.stack(
            [
                (days.astype(np.int64) + 3) % 7,
                (days - months.astype('datetime64[D]')).astype(np.int64) + 1,
                months.astype(np.int64) % 12 + 1,
                (stamps - days).astype('timedelta64[m]').astype(np.int64) // 60,
            ],
            axis=-1,
        ).astype(np.float32)

    return features


def _dates_are_real(panel: Sequence[Series], per_day: int) -> bool:
    """Return whether the weekday profiles of series agree: start dates of published collections may be made up."""
    profiles = []
    for series in panel[:200]:
        days = series.filled[-per_day * 140 :]
        whole = len(days) // per_day
        if whole < 21:
            continue
        daily = days[-whole * per_day :].reshape(whole, per_day).mean(axis=1)
        weekday = (series.stamps[-whole * per_day :: per_day].astype('datetime64[D]').astype(np.int64) + 3) % 7
        sums, counts = np.bincount(weekday, daily, 7), np.bincount(weekday, minlength=7)
        profile = (sums / np.maximum(counts, 1))[counts > 0]
        if len(profile) >= 5 and np.std(profile) > 0:
            full = np.zeros(7)
            full[counts > 0] = (profile - profile.mean()) / np.std(profile)
            profiles.append(full)
    if len(profiles) < 5:
        return True
    table = np.stack(profiles)
    agreement = (np.linalg.norm(table.sum(axis=0)) ** 2 - len(table) * 7) / (len(table) * (len(table) - 1) * 7)
    return bool(agreement > REAL_CALENDAR)


def _training(
    panel: Sequence[Series], ends: Sequence[int], layout: _Layout, *, h: int, seed: int
) -> tuple[Array, Array]:
    """Return features and scaled targets of windows drawn from each series before its end."""
    rng = np.random.default_rng(seed)
    least = _least(layout.season)
    room = sum(max(0, end - max(least, end - LONGEST_HISTORY)) for end in ends)
    share = MOST_ROWS / HORIZONS_A_WINDOW / max(1, room)
    features, targets = [], []
    for series, end in zip(panel, ends, strict=True):
        candidates = np.arange(max(least, end - LONGEST_HISTORY), end)
        if len(candidates) == 0:
            continue
        count = int(np.clip(len(candidates) * share, 4, MOST_WINDOWS if len(panel) > 5 else 5 * MOST_WINDOWS))
        drawn = np.sort(rng.choice(candidates, min(count, len(candidates)), replace=False))
        steps = rng.integers(1, np.minimum(h, end - drawn)[:, None] + 1, size=(len(drawn), min(HORIZONS_A_WINDOW, h)))
        windows = _windows(series, drawn, steps, layout)
        actual = series.y[(drawn[:, None] + steps - 1).ravel()]
        scaled = np.clip((actual - windows.anchor) / windows.scale, -REACH, REACH)
        known = np.isfinite(scaled)
        features.append(windows.features[known])
        targets.append(scaled[known])
    if not features:
        return np.zeros((0, 1), np.float32), np.zeros(0)
    return np.concatenate(features), np.concatenate(targets)


def _windows(series: Series, sizes: Array, steps: Array, layout: _Layout) -> _Windows:
    """Return the features of the windows that end before `sizes` (k) for `steps` ahead (k × r), as k·r rows."""
    y, m = series.filled, layout.season
    past = _past(y, sizes, layout.length)
    level, scale = _level_and_scale(past, m)
    z = (past - level[:, None]) / scale[:, None]
    count, ahead = steps.shape
    places = sizes[:, None] - m + (steps - 1) % m
    anchor = y[np.maximum(places, 0)]
    averaged = _mean_of_seasons(y, places, m)
    per_step = [steps, (anchor - level[:, None]) / scale[:, None], (averaged - level[:, None]) / scale[:, None]]
    if layout.long_season:
        weekly = sizes[:, None] - layout.long_season + (steps - 1) % layout.long_season
        value = np.where(weekly >= 0, y[np.maximum(weekly, 0)], np.nan)
        per_step.append((value - level[:, None]) / scale[:, None])
    rows = np.stack(per_step, axis=-1).reshape(count * ahead, -1)
    parts = [rows, np.repeat(_summary(past, z, level, scale, m), ahead, axis=0)]
    if layout.calendar is not None:
        target = series.step.after(series.cutoff, (sizes[:, None] + steps - len(y)).ravel())
        parts.append(layout.calendar(target))
    return _Windows(np.concatenate(parts, axis=1).astype(np.float32), anchor.ravel(), np.repeat(scale, ahead))


def _past(y: Array, sizes: Array, length: int) -> Array:
    """Return the `length` values before each size (k × length), NaN before the series starts."""
    places = sizes[:, None] - length + np.arange(length)
    return np.where(places >= 0, y[np.maximum(places, 0)], np.nan)


def _level_and_scale(past: Array, season: int) -> tuple[Array, Array]:
    """Return each window's last season's mean and its mean absolute seasonal difference."""
    level = past[:, -season:].mean(axis=1)
    apart = np.abs(past[:, season:] - past[:, :-season])
    known = np.isfinite(apart)
    mean = np.where(known, apart, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    size = mean + 1e-3 * np.abs(level)
    return level, np.where(size > 0, size, 1.0)


def _mean_of_seasons(y: Array, places: Array, season: int) -> Array:
    """Return the mean of the values at `places` and one and two seasons before, as far as they exist."""
    back = places[..., None] - season * np.arange(3)
    exists = back >= 0
    values = np.where(exists, y[np.maximum(back, 0)], 0.0)
    mean: Array = values.sum(axis=-1) / np.maximum(exists.sum(axis=-1), 1)
    return mean


def _summary(past: Array, z: Array, level: Array, scale: Array, season: int) -> Array:
    """Return what is alike for all horizons of a window: slopes, spread, length, last values."""
    length = past.shape[1]
    columns = [level / scale, np.isfinite(past).mean(axis=1), _spread(z)]
    recent = z[:, -3:].mean(axis=1)
    columns.append(recent)
    if length >= 2 * season:
        columns.append(-z[:, -2 * season : -season].mean(axis=1))
    if length >= season + 3:
        columns.append(recent - z[:, -season - 3 : -season].mean(axis=1))
    lags = z[:, -min(max(season, 4), RECENT) :]
    return np.concatenate([np.stack(columns, axis=1), lags], axis=1)


def _spread(z: Array) -> Array:
    known = np.isfinite(z)
    count = np.maximum(known.sum(axis=1), 1)
    mean = np.where(known, z, 0.0).sum(axis=1) / count
    variance: Array = np.where(known, (z - mean[:, None]) ** 2, 0.0).sum(axis=1) / count
    return np.sqrt(variance)


def _train(
    features: Array, targets: Array, *, seed: int, progress: Callable[[float, str], None]
) -> Callable[[Array], Array]:
    """Return a function of features that gives the conditional median of the scaled target."""
    import lightgbm

    parameters = {
        'objective': 'l1',
        'learning_rate': 0.05,
        'num_leaves': 31,
        'min_data_in_leaf': int(np.clip(len(targets) // 40, 10, 40)),
        'bagging_fraction': 0.7,
        'bagging_freq': 1,
        'feature_fraction': 0.7,
        'lambda_l2': 1.0,
        'max_bin': 127,
        'num_threads': 1,
        'seed': seed,
        'deterministic': True,
        'force_row_wise': True,
        'verbosity': -1,
    }
    rounds = ROUNDS if len(targets) > 5000 else ROUNDS // 2
    told = lambda state: progress((state.iteration + 1) / rounds, '')  # noqa: E731
    booster = lightgbm.train(parameters, lightgbm.Dataset(features, targets), rounds, callbacks=[told])

    def predict(rows: Array) -> Array:
        found: Array = booster.predict(rows, num_threads=1)
        return found

    return predict
