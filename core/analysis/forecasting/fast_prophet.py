"""Prophet's default model without Stan: the same posterior mode by linear algebra, many times faster.

Model (Taylor & Letham 2018, doi:10.1080/00031305.2017.1380080), with y divided by its largest absolute value and time
running from 0 to 1 over the history: y(t) = k t + m + Σ δ_j max(t - s_j, 0) + β·x(t) + ε. The s_j are up to 25 points
spread evenly over the first 80% of the values, x(t) are Fourier terms of the year, the week and the day where the
history shows them. Priors: k, m ~ Normal(0, 5), δ ~ Laplace(0, 0.05), β ~ Normal(0, 10), σ ~ half-Normal(0, 0.5).

The mode is found by iteratively reweighted least squares: |δ| is bounded above by a parabola that touches it at the
last δ (a majorisation; Hunter & Lange 2004, doi:10.1198/0003130042836), so each round solves one linear system made of
the Gram matrix, whose size does not grow with the history. Every third round starts from where the sizes of δ would end
if each went on shrinking at its pace (Aitken's extrapolation), when that lowers the cost. Unlike Stan's optimisers it
cannot hang on a series without noise, and it ends nearer to the mode.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from core.analysis.forecasting.base import NORMAL_80
from core.analysis.forecasting.frequency import DAY, Array

CHANGEPOINTS = 25
CHANGEPOINT_RANGE = 0.8
TREND_SCALE = 5.0
CHANGEPOINT_SCALE = 0.05
SEASON_SCALE = 10.0
NOISE_SCALE = 0.5
LEAST_NOISE = 1e-4
"""The smallest noise (share of the largest value) to fit: the posterior of a series without noise has no mode."""
MOST_ROUNDS = 50
"""Three linear systems are solved in each."""
CLOSE = 2e-5
"""The fit is done when solving again moves fitted values by no more than this share of the noise (quadratic mean)."""
FASTEST_PACE = 0.97
SMALLEST = 1e-14
SAMPLES = 1000
MOST_DRAWS = 400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Season:
    """A Fourier seasonality: `period` in days and `order`, the number of its harmonics."""

    name: str
    period: float
    order: int


YEARLY = Season(name='yearly', period=365.25, order=10)
WEEKLY = Season(name='weekly', period=7.0, order=3)
DAILY = Season(name='daily', period=1.0, order=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The posterior mode: everything in shares of `size`, times from 0 at `start` to 1 a `span` (µs) later.

    `slopes` holds k, m and a change at each of `changepoints`, `waves` the Fourier terms of `seasons` in their order;
    `pace` is the mean distance between values (in spans).
    """

    start: np.datetime64
    span: float
    size: float
    pace: float
    seasons: tuple[Season, ...]
    changepoints: Array
    slopes: Array
    waves: Array
    noise: float


def forecast(stamps: Array, y: Array, future: Array, *, seed: int = 1) -> tuple[Array, Array]:
    """Return Prophet's forecast at `future` (h) and its spread: half the width of the 80% band in normal deviates.

    Args:
        stamps: datetime64 (n), ascending and distinct; `y`: floats (n), NaN where missing, at least two values.
    """
    fitted = fit(stamps, y)
    return predict(fitted, future), spread(fitted, future, seed=seed)


def fit(stamps: Array, y: Array) -> Fitted:
    """Return the posterior mode for `y` (n, NaN where missing, at least two values) at `stamps` (n, ascending)."""
    known = np.isfinite(y)
    stamps, y = stamps[known].astype('datetime64[us]'), y[known].astype(np.float64)
    size = float(np.abs(y).max()) or 1.0
    span = float((stamps[-1] - stamps[0]).astype(np.int64))
    times = (stamps - stamps[0]).astype(np.int64) / span
    seasons = seasonalities(stamps)
    points = _changepoints(times)
    if np.ptp(y) == 0:
        slopes, waves, noise = np.zeros(2 + len(points)), np.zeros(_columns(seasons)), 1e-9
        slopes[1] = y[0] / size
    else:
        design = _design(stamps, times, points, seasons)
        found, noise = _mode(design, y / size, changes=len(points))
        slopes, waves = np.split(found, [2 + len(points)])
    return Fitted(
        start=stamps[0], span=span, size=size, pace=1 / (len(y) - 1), seasons=seasons, changepoints=points,
        slopes=slopes, waves=waves, noise=noise,
    )  # fmt: skip


def seasonalities(stamps: Array) -> tuple[Season, ...]:
    """Return the seasons that Prophet finds in ascending stamps: two of their periods, and steps shorter than one.

    A year needs 730 days, whatever the step.
    """
    span = int((stamps[-1] - stamps[0]).astype('timedelta64[us]').astype(np.int64))
    step = int(np.diff(stamps).min().astype('timedelta64[us]').astype(np.int64))
    found = [YEARLY] if span >= 730 * DAY else []
    found += [one for one in (WEEKLY, DAILY) if span >= 2 * one.period * DAY and step < one.period * DAY]
    return tuple(found)


def components(fitted: Fitted, stamps: Array) -> dict[str, Array]:
    """Return the trend and each season at `stamps` (k), in units of y: they sum to the forecast."""
    stamps = stamps.astype('datetime64[us]')
    times = (stamps - fitted.start).astype(np.int64) / fitted.span
    parts = {'trend': fitted.size * (_trend(times, fitted.changepoints) @ fitted.slopes)}
    place = 0
    for season in fitted.seasons:
        own = fitted.waves[place : place + 2 * season.order]
        parts[season.name] = fitted.size * (_fourier(stamps, season) @ own)
        place += 2 * season.order
    return parts


def predict(fitted: Fitted, stamps: Array) -> Array:
    """Return the forecast (or the fit) at `stamps` (k)."""
    return np.asarray(sum(components(fitted, stamps).values()))


def spread(fitted: Fitted, future: Array, *, seed: int) -> Array:
    """Return half the width of the 80% band at `future` (h) in normal deviates: noise, and changes of trend to come.

    Changes come as often as changepoints did and are Laplace distributed, as large as those found on average. Their
    futures are drawn once for a seed and a horizon, and shared by all series.
    """
    h = len(future)
    pace = float(np.diff(future).mean() / np.timedelta64(1, 'us')) / fitted.span if h > 1 else fitted.pace
    changes, chances, noise = _draws(h, seed)
    size = float(np.abs(fitted.slopes[2:]).sum()) / max(1, len(fitted.changepoints)) + 1e-8
    jumps = np.where(chances < len(fitted.changepoints) * pace, changes * size, 0.0)
    slope = jumps.cumsum(axis=0) - jumps / 2  # a change falls in the middle of its step
    paths = pace * slope.cumsum(axis=0) + fitted.noise * noise
    return np.asarray(fitted.size * np.quantile(np.abs(paths), 0.8, axis=1) / NORMAL_80)


@lru_cache(maxsize=2)
def _draws(h: int, seed: int) -> tuple[Array, Array, Array]:
    """Return changes of slope, when they come, and noise, for `h` steps (h × samples)."""
    rng = np.random.default_rng(seed)
    shape = (h, max(100, min(SAMPLES, MOST_DRAWS // h)))
    return rng.laplace(size=shape), rng.random(shape), rng.standard_normal(shape)


@dataclass(frozen=True, slots=True)
class _Point:
    """Coefficients, what the Gram matrix makes of them, the noise, log |δ|, and the cost: minus the log posterior."""

    found: Array
    fitted: Array
    noise: float
    sizes: Array
    cost: float


class _Problem:
    """The posterior of a design (n × columns), whose changes of slope stand at 2 … 2 + `changes`."""

    def __init__(self, design: Array, y: Array, *, changes: int) -> None:
        self._n, columns = design.shape
        self._gram, self._moments, self._power = design.T @ design, design.T @ y, float(y @ y)
        self._changed = slice(2, 2 + changes)
        self._scales = np.full(columns, SEASON_SCALE)
        self._scales[:2] = TREND_SCALE
        self._diagonal = np.diag_indices(columns)

    def solve(self, sizes: Array, noise: float) -> _Point:
        """Return the least squares solution where each |δ| is bounded by the parabola that touches it at `sizes`."""
        scales = self._scales.copy()
        scales[self._changed] = np.sqrt(CHANGEPOINT_SCALE * np.exp(sizes))
        system = self._gram * np.outer(scales, scales)
        system[self._diagonal] += noise**2
        found = scales * np.linalg.solve(system, scales * self._moments)
        fitted = self._gram @ found
        rest = max(0.0, self._power - 2 * float(found @ self._moments) + float(found @ fitted))
        noise = max(LEAST_NOISE, _noise(rest, self._n))
        changes = np.abs(found[self._changed])
        normal = found / self._scales
        normal[self._changed] = 0.0
        cost = (
            self._n * np.log(noise)
            + (rest / noise**2 + (noise / NOISE_SCALE) ** 2 + normal @ normal) / 2
            + changes.sum() / CHANGEPOINT_SCALE
        )
        return _Point(found, fitted, noise, np.log(changes + SMALLEST), float(cost))

    def is_close(self, one: _Point, two: _Point) -> bool:
        """Whether the fitted values of two points are alike."""
        moved = float((two.found - one.found) @ (two.fitted - one.fitted))
        return bool(moved <= self._n * (CLOSE * two.noise) ** 2)


def _mode(design: Array, y: Array, *, changes: int) -> tuple[Array, float]:
    """Return the coefficients and the noise of the posterior mode."""
    problem = _Problem(design, y, changes=changes)
    point = problem.solve(np.full(changes, np.log(CHANGEPOINT_SCALE)), 0.1)
    for _ in range(MOST_ROUNDS):
        first = problem.solve(point.sizes, point.noise)
        second = problem.solve(first.sizes, first.noise)
        if problem.is_close(first, second):
            return second.found, second.noise
        bold = problem.solve(_ahead(point.sizes, first.sizes, second.sizes), second.noise)
        point = bold if bold.cost <= second.cost else second
    return point.found, point.noise


def _ahead(before: Array, first: Array, second: Array) -> Array:
    """Return where three steps of each value lead if its moves go on shrinking by the same factor."""
    earlier, later = first - before, second - first
    pace = np.divide(later, earlier, out=np.zeros_like(later), where=earlier != 0)
    pace = np.clip(pace, 0.0, FASTEST_PACE)
    return np.asarray(np.clip(second + later * pace / (1 - pace), np.log(SMALLEST), np.log(1 / CHANGEPOINT_SCALE)))


def _noise(rest: float, n: int) -> float:
    """Return the mode of σ for a sum of squares: where n/σ - rest/σ³ + σ/NOISE_SCALE² is 0."""
    prior = 1 / NOISE_SCALE**2
    return float(np.sqrt(2 * rest / (n + np.sqrt(n**2 + 4 * prior * rest))))


def _changepoints(times: Array) -> Array:
    size = int(np.floor(len(times) * CHANGEPOINT_RANGE))
    count = min(CHANGEPOINTS, size - 1)
    if count < 1:
        return np.zeros(0)
    return np.asarray(times[np.linspace(0, size - 1, count + 1).round().astype(int)[1:]])


def _design(stamps: Array, times: Array, points: Array, seasons: Sequence[Season]) -> Array:
    return np.hstack([_trend(times, points), *(_fourier(stamps, season) for season in seasons)])


def _trend(times: Array, points: Array) -> Array:
    """Return the columns (k × 2 + changepoints) that the slopes multiply."""
    return np.hstack([times[:, None], np.ones((len(times), 1)), np.maximum(times[:, None] - points, 0.0)])


def _fourier(stamps: Array, season: Season) -> Array:
    """Return the sine and cosine of each harmonic (k × 2 order), counted from 1970."""
    turns = stamps.astype(np.int64) / (season.period * DAY) % 1.0
    first = np.exp(2j * np.pi * turns)
    powers = np.cumprod(np.repeat(first[:, None], season.order, axis=1), axis=1)
    return np.stack([powers.imag, powers.real], axis=2).reshape(len(stamps), -1)


def _columns(seasons: Sequence[Season]) -> int:
    return sum(2 * season.order for season in seasons)
