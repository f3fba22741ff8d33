"""Seasonal naive: the last season again. The floor under every other model, and what stands in when one fails."""

from collections.abc import Sequence

import numpy as np

from core.analysis.forecasting.base import Origin, Raw, Run
from core.analysis.forecasting.frequency import Array
from core.analysis.forecasting.repair import Series


def repeat(y: Array, *, h: int, season_length: int, warning: str = '') -> Raw:
    """Return the last season (or, of a shorter series, the last value) repeated, for `y` (n ≥ 1) without NaN.

    The spread grows with the square root of the seasons ahead (Hyndman & Athanasopoulos, Forecasting: Principles and
    Practice, 3rd ed., 5.5).
    """
    season = season_length if len(y) > season_length else 1
    steps = np.arange(h)
    center = y[len(y) - season + steps % season]
    errors = y[season:] - y[:-season]
    scale = float(np.sqrt(np.mean(errors**2))) if len(errors) else np.nan
    short = season != season_length
    return Raw(
        center=center,
        spread=scale * np.sqrt(steps // season + 1),
        used='naive' if short else 'seasonal_naive',
        warning=warning
        or (f'Shorter than a season of {season_length} steps: the last value was repeated.' if short else ''),
    )


def stand_in(series: Series, size: int, *, h: int, reason: str) -> Raw:
    """Return the last season before the first `size` points of a series end, where a model failed for `reason`."""
    return repeat(series.past(size), h=h, season_length=series.step.season_length, warning=reason)


def scale(y: Array, season_length: int) -> float:
    """Return the mean absolute seasonal difference of `y`, or its mean absolute step when it is shorter."""
    season = season_length if len(y) > season_length + 1 else 1
    return float(np.mean(np.abs(y[season:] - y[:-season]))) if len(y) > 1 else 0.0


class SeasonalNaive:
    """The member `seasonal_naive`."""

    name = 'seasonal_naive'
    held_series = 400

    def predict(self, panel: Sequence[Series], *, h: int, run: Run) -> list[Raw]:
        """Return the last season of each series."""
        return [repeat(one.filled, h=h, season_length=one.step.season_length) for one in panel]

    def hold_out(self, panel: Sequence[Series], origins: Sequence[Origin], *, h: int, run: Run) -> list[Raw]:
        """Return the last season before each origin."""
        return [
            repeat(panel[at.place].past(at.size), h=h, season_length=panel[at.place].step.season_length)
            for at in origins
        ]
