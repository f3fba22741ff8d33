"""Ridge regression over all series: each step ahead is one linear function of the last seasons, alike for all series.

Windows are centred and scaled one by one; what is regressed is the difference from the last season's value, so that a
strong penalty gives seasonal naive. Each series may then lean away from the common function as far as the held-out
past says (a common prior mean, as in Efron & Morris 1975, doi:10.1080/01621459.1975.10479864). Global linear models of
many lags: Montero-Manso & Hyndman 2021, doi:10.1016/j.ijforecast.2021.03.004; ridge: Hoerl & Kennard 1970,
doi:10.1080/00401706.1970.10488634. Of the many lags of short steps, neighbours share a coefficient, as in the
heterogeneous autoregression of Corsi 2009, doi:10.1093/jjfinec/nbp001.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.analysis.forecasting import windows
from core.analysis.forecasting.base import Origin, Raw, Run
from core.analysis.forecasting.frequency import Array
from core.analysis.forecasting.naive import stand_in
from core.analysis.forecasting.repair import Series

MOST_WINDOWS = 15_000
MOST_SQUARES = 2e9
"""Long windows are fewer: what they cost grows with the square of their length."""
MOST_LAGS = 400
"""Of longer windows, as many neighbouring lags share a coefficient as make about so many of them."""
MOST_LEARNT = 1000
"""The last so many windows of a series are enough for what is its own."""
LEAST_WINDOWS = 30
PENALTIES = (0.001, 0.01, 0.1, 1.0)
LEANINGS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""How much (a window) a series' own function is drawn to the common one."""
MOST_WORK = 2e10
"""Multiplications that what is a series' own may cost."""
REACH, FAR = 10.0, 20.0
"""Scaled targets and inputs are clipped here."""
PASSES = 2
BLOCKS = 8
FREE = 0.01
"""The intercept is penalised by this share."""
LEAST_OWN = 8
TRIED = 60
"""So many series decide how far series lean away."""
ABOUT = 4
"""How many numbers are written beside a function: its season, length and leaning, and whether it is of logarithms."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """Windows as rows: inputs (k × lags + 1), the anchor (k × h, the pool's units) and the scale (k)."""

    inputs: Array
    anchor: Array
    scale: Array


@dataclass(frozen=True, slots=True)
class _Learnt:
    """The common function (lags + 1 × h) of windows of one length, and how strongly series are drawn to it."""

    pool: windows.Pool
    season: int
    length: int
    common: Array
    leaning: float


class Ridge:
    """The member `linear`."""

    name = 'linear'
    held_series = 1500

    def predict(self, panel: Sequence[Series], *, h: int, run: Run) -> list[Raw]:
        """Return each series' forecast by functions learnt from all of them."""
        ends = [Origin(place, len(series.filled)) for place, series in enumerate(panel)]
        return self._forecast(panel, [at.size for at in ends], ends, h=h, run=run)

    def hold_out(self, panel: Sequence[Series], origins: Sequence[Origin], *, h: int, run: Run) -> list[Raw]:
        """Return forecasts from the origins by functions learnt from nothing after the one farthest back."""
        return self._forecast(panel, windows.ends_before(panel, origins), origins, h=h, run=run) if origins else []

    def learn(self, panel: Sequence[Series], *, h: int, run: Run, folder: Path) -> None:
        """Write the functions learnt from all series, as arrays of numpy, each with what it is about."""
        folder.mkdir()
        for number, one in enumerate(_learn_all(panel, [len(one.filled) for one in panel], h=h, run=run)):
            logged = bool(one.pool.logged.any())
            np.savez(
                folder / f'{number}.npz', common=one.common, about=[one.season, one.length, one.leaning, float(logged)]
            )

    def recall(self, panel: Sequence[Series], *, h: int, run: Run, folder: Path) -> list[Raw]:
        """Return each series' forecast by the functions that `learn` wrote; what is a series' own is its past's.

        A function that an older version wrote about otherwise counts as not learnt: `stand_in` forecasts.
        """
        ends = [Origin(place, len(series.filled)) for place, series in enumerate(panel)]
        pools: dict[bool, windows.Pool] = {}
        learnt = []
        for path in sorted(folder.glob('*.npz')):
            with np.load(path, allow_pickle=False) as told:
                common, about = told['common'], told['about'].tolist()
            if len(about) != ABOUT:
                continue
            season, length, leaning, mark = about
            logged = bool(mark)
            if logged not in pools:
                pools[logged] = windows.pool(panel, [at.size for at in ends], h=h, run=run, logged=logged)
            learnt.append(_Learnt(pools[logged], int(season), int(length), common, leaning))
        return self._raws(panel, learnt, ends, h=h)

    def _forecast(
        self, panel: Sequence[Series], ends: Sequence[int], origins: Sequence[Origin], *, h: int, run: Run
    ) -> list[Raw]:
        return self._raws(panel, _learn_all(panel, ends, h=h, run=run), origins, h=h)

    def _raws(
        self, panel: Sequence[Series], learnt: Sequence[_Learnt], origins: Sequence[Origin], *, h: int
    ) -> list[Raw]:
        at = windows.Windows(
            places=np.array([one.place for one in origins]), sizes=np.array([one.size for one in origins])
        )
        nothing = np.full((len(origins), h), np.nan)
        found = [(nothing, nothing), *(_forecast(one, at) for one in learnt)]
        centers, spreads = (windows.mean(np.stack([part[side] for part in found]), axis=0) for side in (0, 1))
        used = np.isfinite(np.stack([part[0] for part in found])).any(axis=(0, 2))
        return [
            Raw(center=center, spread=spread, used=self.name)
            if good
            else stand_in(panel[one.place], one.size, h=h, reason='linear needs a longer history or more series.')
            for one, center, spread, good in zip(origins, centers, spreads, used, strict=True)
        ]


def _learn_all(panel: Sequence[Series], ends: Sequence[int], *, h: int, run: Run) -> list[_Learnt]:
    """Return what windows of each length teach, in units of y and in logarithms where any series is read in them."""
    layout = windows.layout(panel, ends)
    pools = [windows.pool(panel, ends, h=h, run=run, logged=logged) for logged in (False, True)]
    asked = [(pool, length) for pool in (pools if pools[1].logged.any() else pools[:1]) for length in _lengths(layout)]
    found = [
        _learn(pool, layout.season, length, seed=run.seed, tell=_part(run, number, len(asked)))
        for number, (pool, length) in enumerate(asked)
    ]
    return [learnt for learnt in found if learnt is not None]


def _part(run: Run, number: int, count: int) -> Callable[[float], None]:
    """Tell of one of `count` parts as of a part of the whole."""
    return lambda done: run.progress((number + done) / count, '')


def _lengths(layout: windows.Layout) -> tuple[int, ...]:
    if layout.long_season:
        return (layout.long_season + layout.season,)
    if layout.season == 1:
        return 4, 8
    return 2 * layout.season + 1, 3 * layout.season + 1


def _learn(pool: windows.Pool, season: int, length: int, *, seed: int, tell: Callable[[float], None]) -> _Learnt | None:
    """Return what windows of one length teach, None when there are too few; `tell` hears of each fit."""
    season = season if length >= season else 1
    rng = np.random.default_rng(seed)
    most = int(np.clip(MOST_SQUARES / length**2, MOST_WINDOWS // 5, MOST_WINDOWS))
    drawn = windows.draw(pool.ends, least=length, most=most, a_series=most, rng=rng)
    if len(drawn) < LEAST_WINDOWS:
        return None
    rows = _rows(pool, drawn, season, length)
    target, seen = _targets(pool, drawn, rows, pool.ends)
    # penalty and leaning are chosen on the last targets, with functions that have not seen them
    earlier, before = _targets(pool, drawn, rows, pool.ends - pool.h)
    if (before > 0).sum() < LEAST_WINDOWS:
        return _Learnt(pool, season, length, _fit(rows.inputs, target, seen, PENALTIES[-1]), 0.0)
    tried = (drawn.sizes >= (pool.ends - pool.h)[drawn.places]) & (seen > 0)
    fits = []
    for number, penalty in enumerate(PENALTIES):
        tell(number / (len(PENALTIES) + 1))
        fits.append(_fit(rows.inputs, earlier, before, penalty))
    tell(len(PENALTIES) / (len(PENALTIES) + 1))
    losses = [_loss(rows.inputs[tried] @ fit, target[tried], seen[tried]) for fit in fits]
    best = int(np.argmin(losses))
    leaning = _leaning(_Learnt(pool, season, length, fits[best], 0.0), rng)
    return _Learnt(pool, season, length, _fit(rows.inputs, target, seen, PENALTIES[best]), leaning)


def _forecast(learnt: _Learnt, at: windows.Windows) -> tuple[Array, Array]:
    """Return forecasts and spreads (k × h each, in units of y), NaN where a window is shorter than the function's."""
    pool = learnt.pool
    center = np.full((len(at), pool.h), np.nan)
    spread = center.copy()
    fits = np.flatnonzero(at.sizes >= learnt.length)
    asked = windows.Windows(places=at.places[fits], sizes=at.sizes[fits])
    rows = _rows(pool, asked, learnt.season, learnt.length)
    scaled = rows.inputs @ learnt.common
    if learnt.leaning:
        for place in np.unique(asked.places):
            own = _own(learnt, int(place), learnt.leaning, pool.ends)
            scaled[asked.places == place] += rows.inputs[asked.places == place] @ own
    center[fits] = pool.in_units(rows.anchor + rows.scale[:, None] * scaled, asked.places, asked.sizes)
    logged = pool.logged[asked.places][:, None]
    spread[fits] = rows.scale[:, None] * np.where(logged, np.abs(center[fits]), 1.0)
    return center, spread


def _rows(pool: windows.Pool, at: windows.Windows, season: int, length: int) -> _Rows:
    """Return windows scaled by the geometric mean of their seasonal differences and of their size.

    Seasonal differences alone let quiet series weigh too much.
    """
    past = pool.past(at.places, at.sizes, length)
    logged = pool.logged[at.places]
    level, apart = windows.level_and_scale(past, season, logged)
    scale = np.sqrt(apart * (apart + np.where(logged, 1.0, np.abs(level))))
    inputs = np.clip((past - level[:, None]) / scale[:, None], -FAR, FAR)
    anchor = past[:, length - season + np.arange(pool.h) % season]
    return _Rows(np.concatenate([_shared(inputs), np.ones((len(at), 1))], axis=1), anchor, scale)


def _shared(inputs: Array) -> Array:
    """Return lags (k × length) of which neighbours share a coefficient where they are many, the latest ones each alone.

    Sums are divided so that a penalty is as if each lag had its coefficient, and those of neighbours were equal.
    """
    wide = -(-inputs.shape[1] // MOST_LAGS)
    if wide == 1:
        return inputs
    starts = np.arange(0, inputs.shape[1] - wide, wide)
    counts = np.diff(np.append(starts, inputs.shape[1] - wide))
    sums = np.add.reduceat(inputs[:, :-wide], starts, axis=1) / np.sqrt(counts)
    return np.concatenate([sums, inputs[:, -wide:]], axis=1)


def _targets(pool: windows.Pool, at: windows.Windows, rows: _Rows, ends: Array) -> tuple[Array, Array]:
    """Return the scaled targets before `ends` (k × h, 0 beyond) and how many steps of each are known (k)."""
    ahead = at.sizes[:, None] + np.arange(pool.h)
    seen = np.clip(ends[at.places] - at.sizes, 0, pool.h)
    came = pool.at(pool.filled, at.places, np.minimum(ahead, pool.sizes[at.places][:, None] - 1))
    scaled = np.clip((came - rows.anchor) / rows.scale[:, None], -REACH, REACH)
    return np.where(_known(seen, pool.h), scaled, 0.0), seen


def _fit(inputs: Array, target: Array, seen: Array, penalty: float) -> Array:
    """Return the function (lags + 1 × h) that fits best, windows that no function fits weighing less."""
    weights = np.ones(len(inputs))
    found = _solve(inputs, target, seen, weights, penalty)
    for _ in range(PASSES - 1):
        missed = (np.abs(target - inputs @ found) * _known(seen, target.shape[1])).sum(axis=1) / np.maximum(seen, 1)
        usual = float(np.median(missed[seen > 0]))
        weights = usual / np.maximum(missed, 0.25 * usual) if usual > 0 else weights
        found = _solve(inputs, target, seen, weights, penalty)
    return found


def _solve(inputs: Array, target: Array, seen: Array, weights: Array, penalty: float) -> Array:
    """Return ridge regressions of each step (columns of target), by blocks of steps on the windows that know them."""
    width, h = inputs.shape[1], target.shape[1]
    found = np.zeros((width, h))
    shrink = penalty * np.diag(np.append(np.ones(width - 1), FREE))
    gram, total, before = np.zeros((width, width)), 0.0, h + 1
    for block in reversed(np.array_split(np.arange(h), min(h, BLOCKS))):
        last = int(block[-1]) + 1
        new = (seen >= last) & (seen < before)
        rows = inputs[new]
        gram += rows.T @ (rows * weights[new][:, None])
        total, before = total + float(weights[new].sum()), last
        if total > 0:
            known = seen >= last
            product = inputs[known].T @ (target[known][:, block] * weights[known][:, None])
            found[:, block] = np.linalg.solve(gram + total * shrink, product)
    return found


def _leaning(learnt: _Learnt, rng: np.random.Generator) -> float:
    """Return how strongly series are drawn to the common function, as some did best before the end; 0: altogether."""
    pool, length = learnt.pool, learnt.length
    usual = float(np.median(pool.ends))
    work = len(pool.sizes) * min(usual, MOST_LEARNT) * min(len(learnt.common), usual) ** 2
    long = np.flatnonzero(pool.ends >= 2 * length + pool.h)
    if usual < 2 * length or work > MOST_WORK or len(long) == 0:
        return 0.0
    losses = np.zeros(len(LEANINGS) + 1)
    for place in rng.permutation(long)[:TRIED]:
        sizes = np.arange(pool.ends[place] - pool.h, pool.ends[place] - pool.h // 2, max(1, pool.h // 8))
        at = windows.Windows(places=np.full(len(sizes), place), sizes=sizes)
        rows = _rows(pool, at, learnt.season, length)
        target, seen = _targets(pool, at, rows, pool.ends)
        losses[0] += _loss(rows.inputs @ learnt.common, target, seen)
        for number, leaning in enumerate(LEANINGS):
            own = _own(learnt, int(place), leaning, pool.ends - pool.h)
            losses[number + 1] += _loss(rows.inputs @ (learnt.common + own), target, seen)
    return (0.0, *LEANINGS)[int(np.argmin(losses))]


def _own(learnt: _Learnt, place: int, leaning: float, ends: Array) -> Array:
    """Return what the series at `place` adds to the common function (lags + 1 × h), from its points before `ends`."""
    pool, end = learnt.pool, int(ends[place])
    sizes = np.arange(max(learnt.length, end - MOST_LEARNT), end - pool.h // 2)
    if len(sizes) < LEAST_OWN:
        return np.zeros_like(learnt.common)
    at = windows.Windows(places=np.full(len(sizes), place), sizes=sizes)
    rows = _rows(pool, at, learnt.season, learnt.length)
    target, seen = _targets(pool, at, rows, ends)
    x = rows.inputs
    apart = (target - x @ learnt.common) * _known(seen, pool.h)
    penalty = leaning * len(sizes)
    if len(sizes) < x.shape[1]:
        return np.asarray(x.T @ np.linalg.solve(x @ x.T + penalty * np.eye(len(x)), apart))
    return np.asarray(np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ apart))


def _loss(predicted: Array, target: Array, seen: Array) -> float:
    known = _known(seen, target.shape[1])
    return float(np.abs(predicted - target)[known].mean()) if known.any() else 0.0


def _known(seen: Array, h: int) -> Array:
    """Return which steps of each window are known (k × h)."""
    return np.asarray(np.arange(h) < seen[:, None])
