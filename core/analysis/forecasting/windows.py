"""Windows of many series at once: what the models that learn across series are made of.

A pool lays the series of a panel end to end, so that thousands of windows are cut by one indexing. A window is a series
up to an origin; it is centred and scaled by itself, so that series of any size can share a model (Montero-Manso &
Hyndman 2021, doi:10.1016/j.ijforecast.2021.03.004).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.analysis.forecasting import known
from core.analysis.forecasting.base import Origin, Run
from core.analysis.forecasting.frequency import Array, Step
from core.analysis.forecasting.repair import Series

LONGEST_HISTORY = 2000
LEAST_RATIO = 0.02
"""A series is read in logarithms when its least value is above this share of its median."""
FARTHEST = 700.0
"""Logarithms are cut here, before they overflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The series of a panel end to end, each followed by room for its horizon: N places in all.

    `filled` and `y` (N) are in the pool's units (logarithms where `logged`), less `effect` (N): what regressors and
    holidays add in proportion. Both are NaN in the horizon. `columns` (N × names) hold regressors and holidays, scaled,
    `effects` (N × names) the part of each in `effect`. Of each series (S): where it starts, its `sizes` and `ends`, the
    points that may be learnt from; and `kinds` (S × c), its categories as numbers.
    """

    step: Step
    h: int
    filled: Array
    y: Array
    stamps: Array
    starts: Array
    sizes: Array
    ends: Array
    logged: Array
    kinds: Array
    names: tuple[str, ...]
    columns: Array
    effects: Array
    effect: Array

    def at(self, values: Array, places: Array, steps: Array) -> Array:
        """Return `values` (N …) of the series at `places` (k) at `steps` (k × r) from its start; before it, NaN."""
        found = values[self.starts[places][:, None] + np.maximum(steps, 0)]
        before = (steps < 0).reshape(steps.shape + (1,) * (found.ndim - 2))
        return np.where(before, np.nan, found)

    def past(self, places: Array, sizes: Array, length: int) -> Array:
        """Return the `length` values before each window's end (k × length), NaN before a series starts."""
        return self.at(self.filled, places, sizes[:, None] - length + np.arange(length))

    def came(self, places: Array, sizes: Array, steps: Array) -> Array:
        """Return what was observed `steps` (k × r) after each window, NaN at gaps and beyond what may be learnt."""
        at = sizes[:, None] + steps - 1
        return np.where(at < self.ends[places][:, None], self.at(self.y, places, at), np.nan)

    def in_units(self, values: Array, places: Array, sizes: Array) -> Array:
        """Return forecasts (k × h, the pool's units) from the ends of windows in units of y, with their effects."""
        full = values + self.at(self.effect, places, sizes[:, None] + np.arange(values.shape[1]))
        return self.plain(full, places)

    def plain(self, values: Array, places: Array) -> Array:
        """Return `values` (k × r) out of logarithms, where they are."""
        logged = self.logged[places][:, None]
        return np.where(logged, np.exp(np.clip(np.where(logged, values, 0.0), -FARTHEST, FARTHEST)), values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What windows look like in a panel: `season` and `long_season` (0 for none) in steps, `length` in steps."""

    season: int
    long_season: int
    length: int

    @property
    def least(self) -> int:
        """The shortest history to forecast from."""
        return self.season + 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Windows by the series they are of and the points they hold (k each)."""

    places: Array
    sizes: Array

    def __len__(self) -> int:
        return len(self.places)

    def part(self, first: int, last: int) -> 'Windows':
        """Return the windows from `first` to before `last`."""
        return Windows(places=self.places[first:last], sizes=self.sizes[first:last])


def pool(panel: Sequence[Series], ends: Sequence[int], *, h: int, run: Run, logged: bool) -> Pool:
    """Return the panel's pool, learnt from the first `ends` points of each series alone.

    `logged` asks for logarithms of those series that are well above zero.
    """
    step = panel[0].step
    sizes = np.array([len(series.filled) for series in panel])
    starts = np.concatenate([[0], np.cumsum(sizes + h)[:-1]])
    values = [series.learnt(end) for series, end in zip(panel, ends, strict=True)]
    marks = np.array([logged and positive(one[:end]) for one, end in zip(values, ends, strict=True)])
    rest = np.full(h, np.nan)
    each = np.repeat(marks, sizes + h)
    # what is logged by its past may be zero later, where windows of newer origins read it
    lows = [
        LEAST_RATIO * np.median(one[:end]) if mark else 1.0 for one, end, mark in zip(values, ends, marks, strict=True)
    ]
    least = np.repeat(lows, sizes + h)
    filled = _log(np.concatenate([part for one in values for part in (one, rest)]), each, least)
    y = _log(np.concatenate([part for series in panel for part in (series.y, rest)]), each, least)
    stamps = np.concatenate(
        [series.step.after(series.cutoff, np.arange(1 - len(series.filled), h + 1)) for series in panel]
    )
    names, columns = known.columns(panel, ends, stamps, h=h, run=run)
    kinds = categories(panel)
    season = step.season_length
    effects = known.effects(y, columns, starts, ends, season=season, logged=marks, kinds=kinds)
    effect = effects.sum(axis=1)
    return Pool(
        step=step, h=h, kinds=kinds, filled=filled - effect, y=y - effect, stamps=stamps, starts=starts, sizes=sizes,
        ends=np.asarray(ends), logged=marks, names=names, columns=columns, effects=effects, effect=effect,
    )  # fmt: skip


def categories(panel: Sequence[Series], known: Sequence[Sequence[str]] | None = None) -> Array:
    """Return the series' categories as numbers (S × c): places in `known` (by default `vocabularies`), or after it."""
    named = vocabularies(panel) if known is None else known
    places = [{value: place for place, value in enumerate(own)} for own in named]
    codes = [[own.get(value, len(own)) for value, own in zip(one.static, places, strict=True)] for one in panel]
    return np.array(codes, int).reshape(len(panel), len(places))


def vocabularies(panel: Sequence[Series]) -> list[list[str]]:
    """Return the categories of each static column of a panel, sorted."""
    return [sorted(set(column)) for column in zip(*(series.static for series in panel), strict=True)]


def layout(panel: Sequence[Series], ends: Sequence[int]) -> Layout:
    """Return the windows that suit the step and the usual length of a panel's series."""
    step = panel[0].step
    season, usual = step.season_length, float(np.median(ends))
    if usual < 2 * season + 4:
        season = 1
    if step.long_season and season > 1:
        length = 2 * step.long_season if usual >= 3 * step.long_season else step.long_season
    elif step.unit == 'month' or season > 24:
        length = (3 if usual >= 10 * season else 2) * season
    else:
        length = 8 * season
    return Layout(season=season, long_season=step.long_season if season > 1 else 0, length=max(length, 12))


def ends_before(panel: Sequence[Series], origins: Sequence[Origin]) -> list[int]:
    """Return how much of each series may be learnt from, so that no origin's forecast knows what came after it.

    No series may show the future of another: each ends as far before its end as the farthest origin of any.
    """
    sizes = [len(series.filled) for series in panel]
    behind = max((sizes[at.place] - at.size for at in origins), default=0)
    return [max(0, size - behind) for size in sizes]


def draw(ends: Array, *, least: int, most: int, a_series: int, rng: np.random.Generator) -> Windows:
    """Return about `most` windows, drawn evenly from all series: 4 to `a_series` of each, of `least` points or more."""
    first = np.maximum(least, ends - LONGEST_HISTORY)
    share = most / max(1, int(np.maximum(0, ends - first).sum()))
    places, sizes = [], []
    for place, (low, end) in enumerate(zip(first, ends, strict=True)):
        if end <= low:
            continue
        count = min(end - low, int(np.clip((end - low) * share, 4, a_series)))
        sizes.append(low + np.sort(rng.choice(end - low, count, replace=False)))
        places.append(np.full(count, place))
    if not places:
        return Windows(places=np.zeros(0, int), sizes=np.zeros(0, int))
    return Windows(places=np.concatenate(places), sizes=np.concatenate(sizes))


def level_and_scale(past: Array, season: int, logged: Array) -> tuple[Array, Array]:
    """Return each window's last season's mean and its mean absolute seasonal difference, never zero (k each)."""
    level = mean(past[:, -season:], axis=1)
    apart = mean(np.abs(past[:, season:] - past[:, :-season]), axis=1)
    size = apart + 1e-3 * np.where(logged, 1.0, np.abs(level))
    return level, np.where(size > 0, size, 1.0)


def mean(values: Array, axis: int) -> Array:
    """Return the mean of what is finite along an axis; 0 where nothing is."""
    finite = np.isfinite(values)
    found: Array = np.where(finite, values, 0.0).sum(axis=axis) / np.maximum(finite.sum(axis=axis), 1)
    return found


def positive(values: Array) -> bool:
    """Return whether values are well above zero, so that they may be read in logarithms."""
    return len(values) > 0 and bool(values.min() > LEAST_RATIO * np.median(values) and values.min() > 0)


def _log(values: Array, marks: Array, least: Array) -> Array:
    with np.errstate(invalid='ignore'):
        positive = np.maximum(np.where(marks, values, 1.0), np.maximum(least, np.finfo(float).tiny))
    return np.where(marks, np.log(positive), values)
