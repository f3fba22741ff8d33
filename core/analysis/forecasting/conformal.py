"""Bands from held-out origins: pooled scaled residuals by block of the horizon (split conformal prediction).

Source: Vovk, Gammerman & Shafer 2005, Algorithmic Learning in a Random World; scaled scores as in Lei et al. 2018,
doi:10.1080/01621459.2017.1307116. Pooling assumes that scaled residuals of a panel's series are alike: `sized` makes
them so, as far as held-out errors tell how. Where few windows could be held out, a Student shape stands behind what
they show.

`adapt` is the online variant: Gibbs & Candès 2021, arXiv:2106.00170.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from core.analysis.forecasting.base import Origin, Raw
from core.analysis.forecasting.frequency import Array
from core.analysis.forecasting.naive import scale
from core.analysis.forecasting.repair import Series

ORIGINS = 6
MOST_ORIGINS = 8
NEWER, NEWEST = 0.4, 0.6
"""No origin lies before the first share of the history: errors from little are not those from all. They are spread
out over what lies after the second, unless they would lie too near to each other."""
FEW, ENOUGH = 10, 40
"""Up to FEW independent windows a Student shape is scaled; from ENOUGH on, residuals alone give the quantiles."""
BLOCKS = 6
BEYOND = 4.0
"""A block's own quantile counts alone when so many independent windows are expected to lie beyond it."""
LEAST_BLOCK = 0.1
"""No block reaches less far than this share of how far all blocks do: errors of zero will not stay so."""
TINY = 1e-9
LEAST_RESIDUALS = 20
"""A step ahead is calibrated by itself when so many origins reached it."""
UNMEASURED = 1.25
"""How far a normal shape is widened when nothing could be held out: bands of short series are too narrow otherwise."""
DOUBT = 0.35
"""How far from UNMEASURED the truth may well lie (logarithm, standard deviation)."""
UNEVEN = 0.2
"""How far mean errors of windows are believed to differ (logarithms, variance) where windows do not tell."""
BELIEF = 4.0
"""How many independent windows prior beliefs in UNEVEN, in no growth and in a shape are worth."""
LEAST_SHARE = 0.1
"""No spread is less than this share of the seasonal scale."""
MOST_SKEW = 1.5
LEAST_ROWS = 10
"""From so many held-out forecasts on, they tell what their errors went with."""
NO_SLOPE = 3.0
"""How many independent windows the prior belief is worth that errors go with the spread alone."""
FEW_SERIES = 5
"""Up to so many series do not tell how much series differ."""
OTHER_SERIES = 10
"""How many series the prior belief is worth that a panel's series do not differ."""
SMALLEST, LARGEST = 0.05, 20.0
"""Mean errors are counted between these, in spreads."""
MOST_LEAN, MOST_APART = 1.0, 1.5
"""A spread is moved by this at most, and no error counts as farther from the others (logarithms)."""
LEAST_APART = 0.05
"""Forecasts of members that lie nearer than this share of the seasonal scale count as so far apart."""
SHOCK = 8.0
"""Degrees of freedom that one horizon's worth of origins has, about what all series do together."""

PACE = 0.005
MOST_PACE = 0.5
FURTHEST = 10.0


@dataclass(frozen=True, slots=True)
class Held:
    """Forecasts that were made from past origins."""

    origins: tuple[Origin, ...]
    raws: tuple[Raw, ...]

    def by_origin(self) -> Mapping[Origin, Raw]:
        """Return the forecasts by origin."""
        return dict(zip(self.origins, self.raws, strict=True))


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the sizes of a panel's errors went with: `slope` on signs (k) beside their `middle`, and what is `own` (S).

    All are logarithms of what a spread is multiplied by.
    """

    middle: Array
    slope: Array
    own: Array

    def lean(self, panel: Sequence[Series], raws: Sequence[Raw]) -> list[Raw]:
        """Return the forecasts of series (S) with spreads that follow what errors went with."""
        ends = [Origin(place, len(one.filled)) for place, one in enumerate(panel)]
        signs = np.clip(_signs(panel, ends, raws)[:, : len(self.slope)] - self.middle, -MOST_APART, MOST_APART)
        if not any(raw.apart for raw in raws):
            signs[:, 1:] = 0.0
        return _leant(raws, np.clip(signs @ self.slope, -MOST_LEAN, MOST_LEAN) + self.own)


def origins_a_series(count: int) -> int:
    """Return how many origins a series of a panel of `count` gives at most: the more, the fewer there are of them."""
    return int(np.clip(-(-24 // max(1, count)), ORIGINS, MOST_ORIGINS))


def choose(panel: Sequence[Series], *, h: int, most: int, seed: int) -> tuple[Origin, ...]:
    """Return the past origins of at most `most` series: the same order for every model, so that few are part of many.

    Origins lie a third to two thirds of the horizon apart, as far as the newer part of the history has room, and never
    a whole season, so that a calendar effect does not sit at the same step of each. A short series gives fewer of them,
    of fewer steps.
    """
    order = np.random.default_rng(seed).permutation(len(panel))[:most]
    count = origins_a_series(len(panel))
    found: list[Origin] = []
    for place in order:
        series = panel[place]
        season = series.step.season_length
        size = len(series.filled)
        least = 2 * season + 4 if size >= 2 * season + 4 + max(1, h // 2) else max(4, size // 2)
        first = size - min(h, max(1, size - least))
        room = (first - max(least, int(NEWEST * size))) // (count - 1)
        stride = int(np.clip(room, -(-h // 3), -(-2 * h // 3)))
        stride += 1 if season > 1 and stride % season == 0 else 0
        earliest = max(least, int(NEWER * size))
        sizes = [first - k * stride for k in range(count)]
        found += [Origin(int(place), own) for own in sizes if own == first >= least or own >= earliest]
    return tuple(found)


def scaled(raw: Raw, y: Array, season_length: int) -> Raw:
    """Return the forecast from `y` with the spread that its residuals are measured in.

    It is the geometric mean of what the model says and the series' own mean absolute seasonal difference: each alone
    is wrong on some panels, and their errors differ. The latter grows with the square root of the seasons ahead, evenly
    from step to step.
    """
    own = scale(y, season_length)
    ahead = own * np.sqrt(np.arange(len(raw.center)) / season_length + 1)
    told = np.maximum(np.where(np.isfinite(raw.spread), raw.spread, 0.0), LEAST_SHARE * own)
    return Raw(center=raw.center, spread=np.sqrt(told * ahead), used=raw.used, warning=raw.warning)


def sized(panel: Sequence[Series], held: Held, raws: Sequence[Raw], *, h: int) -> tuple[Held, list[Raw]]:
    """Return held-out forecasts and those of the panel's series with spreads that follow what errors went with.

    The size of held-out errors is regressed (ridge, in logarithms) on how the seasonal scale and the distance between
    the members of a mean compare with the spread. What is left is a series' own, and is drawn to none by how alike
    errors of the same series are in windows that share no value (empirical Bayes, Efron & Morris 1975,
    doi:10.1080/01621459.1975.10479864). A held-out spread knows nothing of its own window's errors.
    """
    found = measured(panel, held, h=h, members=any(raw.apart for raw in raws))
    if found is None:
        return held, list(raws)
    sizes, moved = found
    return moved, sizes.lean(panel, raws)


def measured(panel: Sequence[Series], held: Held, *, h: int, members: bool = True) -> tuple[Sizes, Held] | None:
    """Return what errors went with, and the held-out forecasts moved by it; None when too little was held out.

    `members` tells whether forecasts to come are means of several ones.
    """
    error = _sizes(residuals(panel, held, h=h))
    rows = np.isfinite(error)
    if np.sum(rows) < LEAST_ROWS:
        return None
    signs = 2 if members and any(raw.apart for raw in held.raws) else 1
    past = _signs(panel, held.origins, held.raws)[:, :signs]
    middle = np.median(past[rows], axis=0)
    past = np.clip(past - middle, -MOST_APART, MOST_APART)
    target = np.clip(error - np.median(error[rows]), -MOST_APART, MOST_APART)
    share = independent(held.origins, h=h) / len(error)
    inner = share * past[rows].T @ past[rows] + NO_SLOPE * np.eye(past.shape[1])
    slope = np.linalg.solve(inner, share * past[rows].T @ (target - target[rows].mean())[rows])
    lean_past = np.clip(past @ slope, -MOST_LEAN, MOST_LEAN)
    rest = error - lean_past
    rest = np.clip(rest - np.median(rest[rows]), -MOST_APART, MOST_APART)
    own_past, own_now = _own(rest - rest[rows].mean(), held.origins, count=len(panel), h=h)
    return Sizes(middle, slope, own_now), Held(held.origins, tuple(_leant(held.raws, lean_past + own_past)))


def residuals(panel: Sequence[Series], held: Held, *, h: int) -> Array:
    """Return the scaled residuals (origins × h) of what was held out, NaN where no value was observed."""
    table = np.full((len(held.origins), h), np.nan)
    for row, (at, raw) in enumerate(zip(held.origins, held.raws, strict=True)):
        actual = panel[at.place].y[at.size : at.size + h]
        spread = raw.spread[: len(actual)]
        with np.errstate(invalid='ignore', divide='ignore'):
            table[row, : len(actual)] = np.where(spread > 0, (actual - raw.center[: len(actual)]) / spread, np.nan)
    return table


def independent(origins: Sequence[Origin], *, h: int) -> float:
    """Return how many windows that share no value the origins are worth: those of a series overlap."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for at in origins:
        first[at.place] = min(at.size, first.get(at.place, at.size))
        last[at.place] = max(at.size, last.get(at.place, at.size))
    return sum(1 + (last[place] - first[place]) / h for place in first)


def in_time(panel: Sequence[Series], origins: Sequence[Origin], *, h: int) -> float:
    """Return over how many horizons the origins are spread, counted back from the end of their series."""
    behind = [len(panel[at.place].filled) - at.size for at in origins]
    return 1 + (max(behind) - min(behind)) / h if behind else 1.0


def older(panel: Sequence[Series], origins: Sequence[Origin]) -> Array:
    """Return which origins lie in the older half, counted back from the end of their series."""
    behind = np.array([len(panel[at.place].filled) - at.size for at in origins])
    return np.asarray(behind > np.median(behind)) if len(behind) else np.zeros(0, bool)


def calibrate(panel: Sequence[Series], held: Held, quantiles: Sequence[float], *, h: int) -> Array:
    """Return how many spreads each quantile lies from the centre (h × quantiles), learnt from held-out forecasts.

    What strikes all series at once in a stretch of time is seen once, however many series there are: bands are widened
    as a Student shape is, the more the fewer horizons the origins are spread over, and the fewer values lie before
    them.
    """
    table = residuals(panel, held, h=h)
    found = shape(table, quantiles, h=h, windows=independent(held.origins, h=h), old=older(panel, held.origins))
    if not held.origins:
        return found
    known = float(np.median([at.size for at in held.origins]))
    freedom = min(known, SHOCK * in_time(panel, held.origins, h=h) ** 2)
    normal = np.array([NormalDist().inv_cdf(q) for q in quantiles])
    wider = _student(quantiles, freedom) / np.where(normal == 0, 1.0, normal)
    return np.asarray(found * np.where(normal == 0, 1.0, wider))


def shape(
    table: Array, quantiles: Sequence[float], *, h: int, windows: float | None = None, old: Array | None = None
) -> Array:
    """Return how many spreads each quantile lies from the centre (h × quantiles), learnt from scaled residuals.

    Args:
        table: residuals (origins × h), NaN where unknown.
        windows: how many independent windows the rows are worth (all, when None).
        old: which rows are of the older half, to tell lasting asymmetry from a passing one.
    """
    rows = np.isfinite(table).any(axis=1)
    count = float(rows.sum()) if windows is None else min(windows, float(rows.sum()))
    if count == 0:
        return np.tile(_student(quantiles, BELIEF) * UNMEASURED, (h, 1))
    weight = float(np.clip((count - FEW) / (ENOUGH - FEW), 0.0, 1.0))
    found = np.zeros((h, len(quantiles)))
    if weight < 1:
        growth = _growth(table, count)
        found += (1 - weight) * np.outer(growth, _student(quantiles, count + BELIEF) * _widening(table / growth, count))
    if weight > 0:
        found += weight * _measured(
            table, quantiles, h=h, windows=count, old=np.zeros(len(table), bool) if old is None else old
        )
    return found


def apply(raw: Raw, factors: Array) -> Array:
    """Return the quantiles (h × quantiles) of a forecast, never crossing."""
    return np.asarray(np.sort(raw.center[:, None] + raw.spread[:, None] * factors, axis=1))


def drawn(quantiles: Sequence[float], adapted: Mapping[float, float]) -> tuple[float, ...]:
    """Return the quantiles to draw in the place of those named, where `adapted` gives other levels (percent)."""
    levels = [round(abs(2 * q - 1) * 100, 4) for q in quantiles]
    drawn_at: dict[float, float] = {}
    widest = 0.0
    for level in sorted(set(levels)):  # a band is never drawn narrower than one that promises less
        widest = max(widest, next((to for of, to in adapted.items() if abs(of - level) < 1e-3), level))
        drawn_at[level] = widest
    signs = [float(np.sign(q - 0.5)) for q in quantiles]
    return tuple(0.5 + sign * drawn_at[level] / 200 for sign, level in zip(signs, levels, strict=True))


def adapt(record: Iterable[tuple[float, float, int]]) -> dict[float, float]:
    """Return the level (percent) to draw in the place of each promised one, from how its bands held so far.

    Adaptive conformal inference: after each issued forecast the share that may be missed moves by what was missed too
    much or too little, so that in the long run bands hold what they promise however the data drift.

    Args:
        record: for each issued forecast, oldest first: the promised level (percent), the share of its points (0 to 1)
            that the band held as it was drawn, and how many points came. Points of one forecast are not independent:
            many of them move the level by no more than MOST_PACE of the difference.
    """
    missed: dict[float, float] = {}
    for level, held, points in record:
        promised = 1 - level / 100
        now = missed.get(level, promised)
        if points > 0 and np.isfinite(held):
            now += min(MOST_PACE, PACE * points) * (promised - (1 - held))
        missed[level] = float(np.clip(now, promised / FURTHEST, 1 - (1 - promised) / 2))
    return {level: 100 * (1 - share) for level, share in missed.items()}


def _sizes(table: Array) -> Array:
    """Return the logarithm of each row's mean error (n) of scaled residuals (n × h), NaN where none is known."""
    known = np.isfinite(table)
    total = np.where(known, np.minimum(np.abs(table), LARGEST), 0.0).sum(axis=1)
    return np.asarray(np.where(known.any(axis=1), np.log(total / np.maximum(known.sum(axis=1), 1) + SMALLEST), np.nan))


def _signs(panel: Sequence[Series], origins: Sequence[Origin], raws: Sequence[Raw]) -> Array:
    """Return what errors may go with (origins × signs): logarithms of sizes beside the mean spread."""
    found = np.zeros((len(origins), 2))
    for row, (at, raw) in enumerate(zip(origins, raws, strict=True)):
        series = panel[at.place]
        own, spread = scale(series.past(at.size), series.step.season_length), float(raw.spread.mean())
        if own > 0 and 0 < spread < np.inf:
            found[row] = np.log(own / spread), np.log((raw.apart + LEAST_APART * own) / spread)
    return found


def _own(rest: Array, origins: Sequence[Origin], *, count: int, h: int) -> tuple[Array, Array]:
    """Return what is each series' own in the errors (logarithms) that are left, for its origins and for its end."""
    places: dict[int, list[int]] = {}
    for row in np.flatnonzero(np.isfinite(rest)).tolist():
        places.setdefault(origins[row].place, []).append(row)
    past, now = np.zeros(len(rest)), np.zeros(count)
    series = [(np.array(rows), np.array([origins[row].size for row in rows])) for rows in places.values()]
    apart = [np.abs(sizes[:, None] - sizes) >= h for _, sizes in series]
    alike = [np.outer(rest[rows], rest[rows])[far] for (rows, _), far in zip(series, apart, strict=True)]
    pairs, several = np.concatenate(alike), sum(bool(own.size) for own in alike)
    common = max(0.0, float(pairs.mean())) * several / (several + OTHER_SERIES) if several > FEW_SERIES else 0.0
    if common == 0:
        return past, now
    doubt = max(0.0, float(np.nanvar(rest)) - common) / common
    for (place, (rows, sizes)), far in zip(zip(places, series, strict=True), apart, strict=True):
        now[place] = _towards(rest[rows], sizes, doubt, h)
        for at, row in enumerate(rows):
            if far[at].any():
                past[row] = _towards(rest[rows[far[at]]], sizes[far[at]], doubt, h)
    return past, now


def _towards(rest: Array, sizes: Array, doubt: float, h: int) -> float:
    windows = 1 + (sizes.max() - sizes.min()) / h
    return float(rest.mean() * windows / (windows + doubt))


def _leant(raws: Sequence[Raw], lean: Array) -> list[Raw]:
    return [replace(raw, spread=raw.spread * np.exp(own)) for raw, own in zip(raws, lean, strict=True)]


def _measured(table: Array, quantiles: Sequence[float], *, h: int, windows: float, old: Array) -> Array:
    """Return the quantiles (h × quantiles) that residuals themselves show by block of the horizon, and between blocks.

    Blocks are calibrated as split conformal prediction calibrates one score (Lei et al. 2018). What goes over from
    block to block, and what few windows share, is ours: it only widens a block's band where enough windows are, so that
    as much as exchangeable windows promise of a block in the mean of its steps is kept. Where they are fewer than
    BEYOND asks for, nothing of this kind is promised. No level reaches less far than one that promises less.
    """
    reached = np.isfinite(table).sum(axis=0)
    known = np.flatnonzero(reached >= min(LEAST_RESIDUALS, reached.max()))
    blocks = np.array_split(known, min(len(known), BLOCKS))
    levels = sorted({round(abs(2 * q - 1), 9) for q in quantiles} - {0.0})
    found = np.zeros((h, len(quantiles)))
    up, down = np.zeros(h), np.zeros(h)
    for level in levels:
        skew = _skew(table, blocks, level, old)
        size = _over_steps(_reaches(table, blocks, level, skew, windows), blocks, h=h)
        up, down = np.maximum(up, size * np.exp(skew)), np.maximum(down, size * np.exp(-skew))
        for at, q in enumerate(quantiles):
            if abs(abs(2 * q - 1) - level) < 1e-8:
                found[:, at] = up if q > 0.5 else -down
    return found


def _over_steps(reaches: Array, blocks: Sequence[Array], *, h: int) -> Array:
    """Return how far a band reaches at each step (h): never less far than its block does.

    From the middle of a block to that of the next it grows or shrinks evenly (in logarithms) as far as that widens it.
    """
    steps = np.arange(h)
    even = np.exp(np.interp(steps, [float(block.mean()) for block in blocks], np.log(reaches)))
    own = reaches[np.searchsorted([int(block[-1]) for block in blocks[:-1]], steps)]
    return np.maximum(even, own)


def _reaches(table: Array, blocks: Sequence[Array], level: float, skew: float, windows: float) -> Array:
    """Return how far a band of a level reaches in each block, above zero, from residuals without their skew.

    An outermost quantile of few windows hangs on one error: the fewer they are, the more it is drawn to that of all
    blocks, in the ratio of their mean errors, of which none counts as larger than the level's quantile.
    """
    signed = [table[:, block] for block in blocks]
    sides = [np.where(values > 0, values * np.exp(-skew), -values * np.exp(skew)) for values in signed]
    scores = [side[np.isfinite(side)] for side in sides]
    counts = [int(np.isfinite(side).any(axis=1).sum()) for side in sides]
    most = np.quantile(np.concatenate(scores), level)
    means = np.array([np.minimum(own, most).mean() for own in scores])
    growth = np.maximum(means / means.mean(), LEAST_BLOCK) if means.mean() > 0 else np.ones(len(means))
    everywhere = np.concatenate([own / by for own, by in zip(scores, growth, strict=True)])
    pooled = max(_reach(everywhere, level, int(np.isfinite(table).any(axis=1).sum())), TINY)
    own = np.array([_reach(score, level, count) for score, count in zip(scores, counts, strict=True)])
    weight = np.minimum(1.0, np.minimum(counts, windows) * (1 - level) / BEYOND) ** 2
    logs = weight * np.log(np.maximum(own, LEAST_BLOCK * pooled)) + (1 - weight) * np.log(pooled * growth)
    return np.asarray(np.exp(logs))


def _reach(scores: Array, level: float, windows: int) -> float:
    """Return the quantile that holds a level of one more window, of scores of so many (Lei et al. 2018)."""
    return float(np.quantile(scores, min(1.0, level * (1 + 1 / windows))))


def _skew(table: Array, blocks: Sequence[Array], level: float, old: Array) -> float:
    """Return half the log ratio of the upper to the lower end of a band, as far as older and newer windows agree.

    Ends are counted from the median of all, since what all series missed together in a window will not come again.
    """
    sizes = [np.nanquantile(np.abs(table[:, block]), level) for block in blocks]
    level_table = np.concatenate(
        [table[:, block] / (size or 1.0) for block, size in zip(blocks, sizes, strict=True)], axis=1
    )
    halves = [level_table[old], level_table[~old]] if old.any() and not old.all() else [level_table]
    skews = []
    for half in halves:
        values = half[np.isfinite(half)]
        if len(values) < LEAST_RESIDUALS:
            return 0.0
        low, middle, high = np.quantile(values, [0.5 - level / 2, 0.5, 0.5 + level / 2])
        if high - middle <= 0 or middle - low <= 0:
            return 0.0
        skews.append(float(np.log((high - middle) / (middle - low)) / 2))
    if len(skews) == 2 and skews[0] * skews[1] <= 0:
        return 0.0
    return float(np.clip(min(skews, key=abs), -MOST_SKEW, MOST_SKEW)) * (1.0 if len(skews) == 2 else 0.5)


def _student(quantiles: Sequence[float], freedom: float) -> Array:
    """Return Student's quantiles, by the expansion of Cornish & Fisher about the normal ones (freedom ≥ 4).

    Source: Abramowitz & Stegun 1964, 26.7.5.
    """
    z = np.array([NormalDist().inv_cdf(q) for q in quantiles])
    n = max(freedom, 4.0)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return np.asarray(z + first / n + second / n**2 + third / n**3)


def _growth(table: Array, windows: float) -> Array:
    """Return how residuals grow along the horizon (h), about 1: by thirds, leaning towards none."""
    h = table.shape[1]
    parts = np.array_split(np.arange(h), min(3, h))
    sizes = [np.abs(table[:, part][np.isfinite(table[:, part])]) for part in parts]
    whole = float(np.median(np.concatenate(sizes)))
    if whole <= 0 or any(len(part) < 2 for part in sizes):
        return np.ones(h)
    measured = np.clip([np.median(part) / whole for part in sizes], 0.25, 4.0) ** (windows / (windows + BELIEF))
    middles = [float(part.mean()) for part in parts]
    return np.asarray(np.interp(np.arange(h), middles, measured))


def _widening(table: Array, windows: float) -> float:
    """Return the factor of a normal shape that the residuals of few windows show, leaning towards UNMEASURED.

    The more alike the errors of different windows are, the less it leans.
    """
    values = np.abs(table[np.isfinite(table)])
    sizes = _sizes(table)
    sizes = sizes[np.isfinite(sizes)]
    freedom = min(windows, len(sizes)) - 1
    uneven = UNEVEN
    if freedom > 0:
        uneven = (freedom * float(np.var(sizes, ddof=1)) + BELIEF * UNEVEN) / (freedom + BELIEF)
    weight = windows / (windows + uneven / DOUBT**2)
    measured = max(0.3, float(np.quantile(values, 0.8)) / NormalDist().inv_cdf(0.9))
    return float(measured**weight * UNMEASURED ** (1 - weight))
