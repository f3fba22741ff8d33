"""What history and errors say: anomalies, changepoints, and residuals of a backtest.

Every past value is expected from the values around it and from its neighbours' season. Residuals are calibrated by
their own bulk, and the share of false anomalies is bounded (Benjamini & Hochberg 1995). Changepoints part a series into
straight pieces, by the best of all partitions (Jackson et al. 2005, doi:10.1109/LSP.2001.838216). PELT (Killick,
Fearnhead & Eckley 2012, doi:10.1080/01621459.2012.737745) in `ruptures`, which finds the same, takes 20 times as
long on so few values: too long for thousands of series.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import erfc, isfinite
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.forecasting.frequency import Array
from core.analysis.forecasting.repair import Series

if TYPE_CHECKING:
    import polars

    from core.analysis.forecasting import Request

MOST_SERIES = 20_000
MOST_POINTS = 5000
"""Of longer series the end is looked at."""
LEAST_POINTS = 16
SHORTEST_TREND = 7
ROUNDS = 2
NEIGHBOURS = 4
"""Seasons to either side that say what a value's season is."""
FALSE_SHARE = 0.02
"""At most this share of the anomalies is expected to be false."""
MOST_PIECES_POINTS = 240
LEAST_PIECE = 8
MOST_INFLATION = 25.0
BULK = (0.5, 0.8, 0.9)
"""Of absolute residuals: their quantiles here tell the scale."""
LAGS = 24
BINS = 31
MOST_SHOWN = 2000


@dataclass(frozen=True, slots=True)
class History:
    """What is expected of each past value (n), between which bounds (n), and how sure a departure is (−log10 p)."""

    expected: Array
    low: Array
    high: Array
    score: Array
    anomalies: Array
    changepoints: Array


def notes(frame: 'polars.DataFrame', request: 'Request') -> 'polars.DataFrame':
    """Return anomalies and changepoints of a frame `unique_id, ds, y`, of its first 20,000 series.

    Returns:
        `unique_id`, `kind` (`anomaly`, `changepoint`), `ds`, `y`, `expected`, `low`, `high` and `score` (−log10 of the
        probability of an anomaly). A changepoint is the first point of a new piece; `low` and `high` are then the
        values that the pieces before and after it have there, in that order, and `score` is null.
    """
    import polars as pl

    from core.analysis import forecasting

    typed, clock, _ = forecasting.tidy(frame, request)
    names = typed['unique_id'].unique().sort()[:MOST_SERIES]
    ends = pl.col('ds').filter(pl.col('y').is_finite()).max().over('unique_id')
    past = typed.filter(pl.col('unique_id').is_in(names.implode())).filter((pl.col('ds') <= ends).fill_null(True))
    series = forecasting.prepare(past, replace(request, regressors=(), static=()))
    parts = [_told(one, look(one)) for one in series if one.observed >= LEAST_POINTS and not one.is_still]
    figures = ('y', 'expected', 'low', 'high', 'score')
    schema: dict[str, pl.DataType] = {'unique_id': pl.String(), 'kind': pl.String(), 'ds': pl.Datetime('us')}
    schema |= {name: pl.Float64() for name in figures}
    rows = [row for part in parts for row in part]
    found = pl.DataFrame(rows, schema=schema, orient='row')
    return clock.back(found, 'ds')


def look(series: Series) -> History:
    """Return what the end of a series (at most 5,000 points) shows, anomalies and changepoints as places in it."""
    start = max(0, len(series.y) - MOST_POINTS)
    y, filled = series.y[start:], series.filled[start:]
    season = _season(series, len(filled))
    logs = bool(filled.min() > 0) and _grows(filled, season)
    values = np.log(filled) if logs else filled
    trend, around = expected(values, season)
    residual = np.where(np.isfinite(y), values - around, np.nan)
    found = _calibrated(residual)
    calm = np.where(np.isin(np.arange(len(values)), found.places), trend, values - (around - trend))
    changes = changepoints(calm)
    back = np.exp if logs else np.asarray
    return History(
        expected=back(around),
        low=back(around - found.reach),
        high=back(around + found.reach),
        score=found.score,
        anomalies=found.places + start,
        changepoints=changes + start,
    )


def expected(values: Array, season: int) -> tuple[Array, Array]:
    """Return the trend of `values` (n, no NaN) and what is expected of each (n) without looking at itself."""
    width = max(SHORTEST_TREND, season) | 1
    trend = _running_median(values, width)
    if season < 2 or len(values) < 3 * season:
        return trend, trend
    for _ in range(ROUNDS):  # a trend is read better without the season, and a season without the trend
        around = _of_neighbours(values - trend, season)
        trend = _running_median(values - around, width)
    return trend, trend + _of_neighbours(values - trend, season)


def _of_neighbours(apart: Array, season: int) -> Array:
    """Return the median of the same phase in the seasons to either side of each value (n), without the value."""
    shifts = np.array([k * season for k in range(-NEIGHBOURS, NEIGHBOURS + 1) if k])
    places = np.arange(len(apart))[:, None] + shifts
    inside = (places >= 0) & (places < len(apart))
    found: Array = np.nanmedian(np.where(inside, apart[np.clip(places, 0, len(apart) - 1)], np.nan), axis=1)
    return found


def changepoints(values: Array) -> Array:
    """Return the places where `values` (n, no NaN) begin a new straight piece: another level or another slope.

    More than 240 values are looked at as means of as many blocks, so places are then exact to a block.
    """
    block = -(-len(values) // MOST_PIECES_POINTS)
    usable = len(values) // block * block
    folded = values[len(values) - usable :].reshape(-1, block).mean(axis=1)
    n = len(folded)
    if n < 2 * LEAST_PIECE:
        return np.zeros(0, np.int64)
    rough = folded - _running_median(folded, max(2 * LEAST_PIECE, n // 4) | 1)
    noise = float(np.median(np.abs(rough - np.median(rough)))) / 0.6745
    if noise <= 1e-9 * (float(np.ptp(folded)) or 1.0):
        noise = 1e-3 * (float(np.ptp(folded)) or 1.0)
    penalty = 4 * np.log(n) * _inflation(rough)
    ends = _best_cut(_costs(folded / noise), penalty)
    return np.array([len(values) - usable + block * end for end in ends], np.int64)


def residuals(rows: Mapping[str, Array]) -> dict[str, Any]:
    """Return what the errors of a backtest look like, in units of each series' MASE scale.

    Args:
        rows: columns (n) `unique_id, cutoff, horizon, ds, y, mean, scale` of backtest rows; `ds` and `cutoff` are
            datetime64. Rows without a value, a forecast or a positive scale are left out.

    Returns:
        `points`, `bias` (mean), `spread` (standard deviation), `by_horizon` (`horizon, bias, spread, points`),
        `histogram` (`edges`, `counts`), `autocorrelation` (`lag`, `value`) of neighbouring steps of one forecast with
        its 95% `limit`, and `shown`: at most 2,000 of the residuals (`t` in epoch ms, `horizon`, `value`).
    """
    scale = np.asarray(rows['scale'], float)
    with np.errstate(invalid='ignore', divide='ignore'):
        value = (np.asarray(rows['y'], float) - np.asarray(rows['mean'], float)) / np.where(scale > 0, scale, np.nan)
    known = np.isfinite(value)
    value, horizon = value[known], np.asarray(rows['horizon'], np.int64)[known]
    if not len(value):
        return {
            'points': 0, 'bias': None, 'spread': None, 'by_horizon': [], 'histogram': {'edges': [], 'counts': []},
            'autocorrelation': {'lag': [], 'value': [], 'limit': None}, 'shown': {'t': [], 'horizon': [], 'value': []},
        }  # fmt: skip
    stamps = np.asarray(rows['ds'])[known].astype('datetime64[ms]').astype(np.int64)
    reach = float(np.quantile(np.abs(value), 0.995)) or 1.0
    counts, edges = np.histogram(np.clip(value, -reach, reach), BINS, (-reach, reach))
    whose = [f'{name} {at}' for name, at in zip(rows['unique_id'], rows['cutoff'], strict=True)]
    lags, correlation, limit = _autocorrelation(np.array(whose)[known], horizon, value)
    chosen = np.sort(np.random.default_rng(1).permutation(len(value))[:MOST_SHOWN])
    return {
        'points': len(value),
        'bias': float(value.mean()),
        'spread': float(value.std()),
        'by_horizon': [
            {
                'horizon': int(step),
                'bias': float(value[horizon == step].mean()),
                'spread': float(value[horizon == step].std()),
                'points': int((horizon == step).sum()),
            }
            for step in np.unique(horizon)
        ],
        'histogram': {'edges': edges.tolist(), 'counts': counts.tolist()},
        'autocorrelation': {'lag': lags, 'value': correlation, 'limit': limit},
        'shown': {
            't': stamps[chosen].tolist(),
            'horizon': horizon[chosen].tolist(),
            'value': value[chosen].tolist(),
        },
    }


@dataclass(frozen=True, slots=True)
class _Calibrated:
    """How far (n) a residual may lie, its score (n) and the places of those beyond."""

    reach: Array
    score: Array
    places: Array


def _calibrated(residual: Array) -> _Calibrated:
    sizes = np.abs(residual)
    scale = _scale(sizes[np.isfinite(sizes)])
    chance = np.array([erfc(size / scale / 2**0.5) if isfinite(size) else 1.0 for size in sizes])
    order = np.argsort(chance)
    allowed = FALSE_SHARE * np.arange(1, len(chance) + 1) / len(chance)
    below = np.flatnonzero(chance[order] <= allowed)
    count = int(below[-1]) + 1 if len(below) else 0
    limit = float(allowed[max(0, count - 1)])
    reach = np.full(len(residual), scale * NormalDist().inv_cdf(1 - limit / 2))
    return _Calibrated(reach, -np.log10(np.maximum(chance, 1e-300)), np.sort(order[:count]))


def _scale(sizes: Array) -> float:
    """Return the standard deviation of a normal distribution whose bulk is no narrower than that of absolute residuals.

    It is read out of the reach of anomalies, and a little widened because few residuals tell it inexactly.
    """
    read = [float(np.quantile(sizes, share)) / NormalDist().inv_cdf(0.5 + share / 2) for share in BULK]
    scale = max(read) or float(sizes.mean())
    return float(scale * (1 + 1 / len(sizes) ** 0.5))


def _season(series: Series, size: int) -> int:
    """Return the longest season that shows often enough."""
    seasons = (series.step.long_season, series.step.season_length)
    return next((season for season in seasons if season > 1 and size >= 3 * season), 1)


def _grows(values: Array, season: int) -> bool:
    """Return whether values (all above zero) vary in proportion to their level."""
    trend = _running_median(values, max(SHORTEST_TREND, season) | 1)
    apart = np.abs(values - trend)
    halves = trend >= np.median(trend)
    if halves.all() or trend.min() <= 0:
        return False
    level = np.log(trend[halves].mean() / trend[~halves].mean())
    low, high = apart[~halves].mean(), apart[halves].mean()
    return bool(level > 0.1 and low > 0 and high > 0 and np.log(high / low) > 0.5 * level)


def _running_median(values: Array, width: int) -> Array:
    """Return the median of the `width` (odd) values about each; towards the ends, the straight line goes on."""
    if len(values) < 2 * width:
        width = max(3, len(values) // 2) | 1
    half = width // 2
    inner = np.median(np.lib.stride_tricks.sliding_window_view(values, width), axis=1)
    reach = min(width, len(inner) - 1)
    steps = np.arange(1, half + 1)
    first = inner[0] - (inner[reach] - inner[0]) / reach * steps[::-1]
    last = inner[-1] + (inner[-1] - inner[-1 - reach]) / reach * steps
    return np.concatenate([first, inner, last])


def _inflation(rough: Array) -> float:
    """Return by how much autocorrelation makes noise look like change: (1 + ρ) / (1 − ρ), between 1 and 25."""
    power = float(rough @ rough)
    rho = float(rough[1:] @ rough[:-1]) / power if power > 0 else 0.0
    return float(np.clip((1 + rho) / max(1e-3, 1 - rho), 1.0, MOST_INFLATION))


def _costs(values: Array) -> Array:
    """Return the squared distance of `values` (n) from a straight line, from place i to before j (n + 1 × n + 1).

    It is infinite for pieces of less than LEAST_PIECE.
    """
    t = np.arange(len(values), dtype=float)
    columns = np.stack([np.ones_like(values), t, t * t, values, t * values, values * values])
    sums = np.concatenate([np.zeros((6, 1)), np.cumsum(columns, axis=1)], axis=1)
    n, time, square, y, product, y2 = sums[:, None, :] - sums[:, :, None]
    with np.errstate(divide='ignore', invalid='ignore'):
        across = np.maximum(square - time * time / n, 0.0)
        left = y2 - y * y / n - (product - time * y / n) ** 2 / across
    return np.where(n >= LEAST_PIECE, np.maximum(left, 0.0), np.inf)


def _best_cut(costs: Array, penalty: float) -> list[int]:
    """Return where pieces begin, but the first, so that their `costs` and a `penalty` a piece are least."""
    size = len(costs)
    least, before = np.full(size, np.inf), np.zeros(size, np.int64)
    least[0] = -penalty
    for end in range(LEAST_PIECE, size):
        sums = least[:end] + costs[:end, end]
        before[end] = int(sums.argmin())
        least[end] = sums[before[end]] + penalty
    found: list[int] = []
    at = int(before[-1])
    while at:
        found.append(at)
        at = int(before[at])
    return found[::-1]


def _autocorrelation(whose: Array, horizon: Array, value: Array) -> tuple[list[int], list[float], float | None]:
    order = np.lexsort((horizon, whose))
    whose, horizon, value = whose[order], horizon[order], value[order] - value.mean()
    power = float(np.mean(value**2))
    lags, found = [], []
    for lag in range(1, min(LAGS, int(horizon.max()) - 1) + 1):
        together = (whose[lag:] == whose[:-lag]) & (horizon[lag:] - horizon[:-lag] == lag)
        if together.sum() >= 3 and power > 0:
            lags.append(lag)
            found.append(float(np.mean((value[lag:] * value[:-lag])[together]) / power))
    return lags, found, 1.96 / len(value) ** 0.5


def _told(series: Series, found: History) -> list[Sequence[Any]]:
    offset = len(series.y) - len(found.expected)
    rows: list[Sequence[Any]] = []
    for place in found.anomalies:
        at = place - offset
        rows.append(
            (
                series.unique_id,
                'anomaly',
                series.stamps[place].item(),
                float(series.y[place]),
                float(found.expected[at]),
                float(found.low[at]),
                float(found.high[at]),
                float(found.score[at]),
            )
        )
    edges = [offset, *found.changepoints, len(series.y)]
    for before, place, after in zip(edges, edges[1:], edges[2:], strict=False):
        low, high = _line(series.filled[before:place], place - before), _line(series.filled[place:after], 0)
        rows.append(
            (
                series.unique_id,
                'changepoint',
                series.stamps[place].item(),
                float(series.filled[place]),
                None,
                low,
                high,
                None,
            )
        )
    return rows


def _line(values: Array, at: int) -> float:
    """Return the value of the straight line through values (n) at the place `at`."""
    if len(values) < 2:
        return float(values[0])
    slope, level = np.polyfit(np.arange(len(values)), values, 1)
    return float(level + slope * at)
