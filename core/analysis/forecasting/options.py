"""What a request may set of each model, checked without the libraries that models need."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number from `low` to `high`, `whole` or not; None stands for the model's own choice where it is `optional`."""

    low: float
    high: float
    whole: bool = False
    multiple: int = 1
    optional: bool = False

    def wrong(self, value: Any) -> str:
        """Return what the value must be, empty when it is that."""
        if value is None and self.optional:
            return ''
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return self._told()
        if not self.low <= value <= self.high:
            return self._told()
        return f'divisible by {self.multiple}' if value % self.multiple and self.multiple > 1 else ''

    def _told(self) -> str:
        return f'a {"whole " * self.whole}number from {self.low} to {self.high}'


@dataclass(frozen=True, slots=True)
class Positive:
    """A number above 0."""

    def wrong(self, value: Any) -> str:
        """Return what the value must be, empty when it is that."""
        fits = not isinstance(value, bool) and isinstance(value, int | float) and value > 0 and math.isfinite(value)
        return '' if fits else 'a number above 0, such as 0.05'


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]

    def wrong(self, value: Any) -> str:
        """Return what the value must be, empty when it is that."""
        return '' if value in self.words else f'one of {", ".join(self.words)}'


OPTIONS: Mapping[str, Mapping[str, Number | Positive | Choice]] = {
    'prophet': {
        'seasonality_mode': Choice(('additive', 'multiplicative', 'auto')),
        'changepoint_prior_scale': Positive(),
        'n_changepoints': Number(low=0, high=200, whole=True),
        'growth': Choice(('linear', 'flat')),
    },
    'lightgbm': {
        'rounds': Number(low=1, high=5000, whole=True),
        'learning_rate': Number(low=0.001, high=1.0),
        'num_leaves': Number(low=2, high=1024, whole=True),
        'min_data_in_leaf': Number(low=1, high=100_000, whole=True),
    },
    'tft': {
        'hidden': Number(low=4, high=512, whole=True, multiple=4),
        'dropout': Number(low=0.0, high=0.9),
        'steps': Number(low=1, high=20_000, whole=True),
        'rate': Number(low=1e-6, high=1.0),
        'context': Number(low=2, high=2000, whole=True, optional=True),
        'seconds': Number(low=1.0, high=86_400.0, optional=True),
    },
}
"""By model and name; models that are not here have none. A width of `tft` is shared by its four attention heads."""


def check(model: str, given: Mapping[str, Any]) -> None:
    """Raise UsageError for an option that the model has not, or that has a wrong value."""
    known = OPTIONS.get(model, {})
    if given and not known:
        raise UsageError(f'The model "{model}" has no options.')
    for name, value in given.items():
        if name not in known:
            raise UsageError(f'{model} has no option "{name}". It has {", ".join(known)}.')
        if wrong := known[name].wrong(value):
            raise UsageError(f'The option {name} of {model} must be {wrong}, not "{value}".')
