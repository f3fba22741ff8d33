"""Indicators over bars: each answers one value a bar, NaN before it has what it needs.

`warm_up` tells how many bars before the first one drawn make that one right: exactly for windows, to nine digits for
what forgets exponentially.

Sources: J. Bollinger, Bollinger on Bollinger Bands (2001); J. W. Wilder, New Concepts in Technical Trading Systems
(1978); G. Appel, The Moving Average Convergence-Divergence Trading Method (1985).
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from core.analysis.arrays import Floats
from core.analysis.query.request import INDICATORS

FORGOTTEN = 1e-9


def indicator(name: str, v: Floats, numbers: Sequence[float] = ()) -> dict[str, Floats]:
    """Return the lines of an indicator of INDICATORS over values without NaN."""
    used = tuple(numbers) or INDICATORS[name]
    if name == 'mean':
        return {'mean': rolling_mean(v, int(used[0]))}
    if name == 'bollinger':
        middle, spread = rolling_mean(v, int(used[0])), used[1] * rolling_spread(v, int(used[0]))
        return {'middle': middle, 'upper': middle + spread, 'lower': middle - spread}
    if name == 'ema':
        return {'ema': ema(v, int(used[0]))}
    if name == 'rsi':
        return {'rsi': rsi(v, int(used[0]))}
    return macd(v, *(int(number) for number in used))


def warm_up(name: str, numbers: Sequence[float] = ()) -> int:
    """Return how many bars an indicator needs before the first one that is drawn."""
    used = tuple(numbers) or INDICATORS[name]
    if name in ('mean', 'bollinger'):
        return int(used[0]) - 1
    if name == 'rsi':
        return int(used[0]) + _forgotten(1 / used[0])
    return int(sum(used)) + max(_forgotten(2 / (length + 1)) for length in used)


def rolling_mean(v: Floats, length: int) -> Floats:
    """Return the mean of the last `length` values."""
    return _windows(v, length, lambda windows: np.asarray(windows.mean(axis=1)))


def rolling_spread(v: Floats, length: int) -> Floats:
    """Return the standard deviation of the last `length` values, as of a population."""
    return _windows(v, length, lambda windows: np.asarray(windows.std(axis=1)))


def ema(v: Floats, length: int) -> Floats:
    """Return the exponential mean with α = 2 / (length + 1), which starts as the mean of the first `length` values."""
    return _smoothed(v, length, 2 / (length + 1))


def rsi(v: Floats, length: int) -> Floats:
    """Return Wilder's relative strength index, 0 to 100; 50 where nothing has moved."""
    steps = np.diff(v)
    gain, loss = (_smoothed(np.maximum(side, 0), length, 1 / length) for side in (steps, -steps))
    both = gain + loss
    with np.errstate(invalid='ignore', divide='ignore'):
        found = np.where(both > 0, 100 * gain / both, np.where(np.isnan(both), np.nan, 50.0))
    return np.concatenate([np.full(min(1, len(v)), np.nan), found])


def macd(v: Floats, fast: int, slow: int, signal: int) -> dict[str, Floats]:
    """Return the difference of two exponential means, its own exponential mean, and what lies between these."""
    difference = ema(v, fast) - ema(v, slow)
    known = ~np.isnan(difference)
    line = np.full(len(v), np.nan)
    line[known] = ema(difference[known], signal)
    return {'macd': difference, 'signal': line, 'histogram': difference - line}


def _forgotten(alpha: float) -> int:
    return 0 if alpha >= 1 else math.ceil(math.log(FORGOTTEN) / math.log(1 - alpha))


def _windows(v: Floats, length: int, figure: Callable[[Floats], Floats]) -> Floats:
    found = np.full(len(v), np.nan)
    if len(v) >= length:
        windows = np.lib.stride_tricks.sliding_window_view(v, length)
        block = max(1, 2**21 // length)
        for begin in range(0, len(windows), block):
            part = windows[begin : begin + block]
            found[length - 1 + begin : length - 1 + begin + len(part)] = figure(part)
    return found


def _smoothed(v: Floats, length: int, alpha: float) -> Floats:
    found = np.full(len(v), np.nan)
    if len(v) < length:
        return found
    last = float(v[:length].mean())
    smoothed = [last]
    for value in v[length:].tolist():
        last += alpha * (value - last)
        smoothed.append(last)
    found[length - 1 :] = smoothed
    return found
