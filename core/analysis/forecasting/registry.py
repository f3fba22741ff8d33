"""The models by name. Nothing here imports a model library: a model is loaded when it runs."""

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from core.analysis.forecasting.base import Member

MODELS: Mapping[str, str] = {
    'auto': 'The mean of models that suit the frequency',
    'seasonal_naive': 'The last season again',
    'ets': 'Exponential smoothing',
    'theta': 'Dynamic optimised Theta',
    'mstl': 'Seasonal-trend decomposition with exponential smoothing',
    'prophet': 'Prophet',
    'lightgbm': 'Gradient boosting over all series',
}
"""Each model that a request may name, with its description."""

_WHERE = {
    'seasonal_naive': ('naive', 'SeasonalNaive', ()),
    'ets': ('statistical', 'Statistical', ('ets',)),
    'theta': ('statistical', 'Statistical', ('theta',)),
    'mstl': ('statistical', 'Statistical', ('mstl',)),
    'prophet': ('prophet', 'ProphetModel', ()),
    'lightgbm': ('lightgbm', 'Windowed', ()),
}


def member(name: str) -> Member:
    """Return the model `name` (any but `auto`) by its uncalibrated forecasts."""
    module, kind, arguments = _WHERE[name]
    return cast(Member, getattr(import_module(f'core.analysis.forecasting.{module}'), kind)(*arguments))
