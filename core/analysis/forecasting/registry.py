"""The models by name, built in and installed. Nothing here imports a model library: a model is loaded when it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import cast

from core.analysis.forecasting import plugins
from core.analysis.forecasting.base import Member
from core.errors import UsageError


@dataclass(frozen=True, slots=True)
class _Built:
    """Where a model of ours is: its module here, its class and the arguments of that; and the package it needs."""

    about: str
    module: str = ''
    kind: str = ''
    arguments: tuple[str, ...] = ()
    package: str = ''
    extra: str = ''


_BUILT = {
    'auto': _Built('Members that suit the frequency, weighted by how they did on the past'),
    'seasonal_naive': _Built('The last season again: the floor for all others', 'naive', 'SeasonalNaive'),
    'ets': _Built('Level, trend and season by exponential smoothing', 'statistical', 'Statistical', ('ets',)),
    'theta': _Built(
        'Dynamic optimised Theta: strong on monthly, quarterly and yearly series',
        'statistical',
        'Statistical',
        ('theta',),
    ),
    'mstl': _Built(
        'Several seasons taken apart, the rest by exponential smoothing', 'statistical', 'Statistical', ('mstl',)
    ),
    'arima': _Built(
        'Autoregression and moving averages, their orders chosen by series', 'statistical', 'Statistical', ('arima',)
    ),
    'croston': _Built('For demand that is zero most of the time', 'statistical', 'Statistical', ('croston',)),
    'prophet': _Built('Trend, seasons, holidays and numbers known ahead, by series', 'prophet', 'ProphetModel'),
    'lightgbm': _Built('Gradient boosting that learns from all series at once', 'lightgbm', 'Windowed'),
    'linear': _Built('Ridge regression that learns from all series at once', 'linear', 'Ridge'),
    'tft': _Built(
        'Temporal Fusion Transformer: a network for many series', 'tft.member', 'Tft', package='torch', extra='tft'
    ),
}

MODELS: Mapping[str, str] = {
    **{name: built.about for name, built in _BUILT.items()},
    **{name: f'Plug-in of {origin}' for name, origin in plugins.installed().items() if name not in _BUILT},
}
"""Each model that a request may name, with its description: ours in a fixed order, then plug-ins by name."""

ALONE = frozenset({'seasonal_naive', 'ets', 'theta', 'mstl', 'arima', 'croston', 'prophet'})
"""Models that take each series by itself; the others learn from all of them."""


def hint(name: str) -> str:
    """Return what to do before the model `name` can run in this installation; empty when it can."""
    built = _BUILT.get(name)
    if built is None or not built.package or find_spec(built.package) is not None:
        return ''
    return f'The model "{name}" is not installed. Add it with: make run WITH={built.extra}'


def member(name: str) -> Member:
    """Return the model `name` (any but `auto`) by its uncalibrated forecasts. Raise UsageError when it cannot run."""
    if missing := hint(name):
        raise UsageError(missing)
    if name not in _BUILT:
        return plugins.member(name)
    built = _BUILT[name]
    module = import_module(f'core.analysis.forecasting.{built.module}')
    return cast(Member, getattr(module, built.kind)(*built.arguments))
