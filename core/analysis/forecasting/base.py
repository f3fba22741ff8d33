"""What every forecasting model gives and gets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from core.analysis.forecasting.frequency import Array
    from core.analysis.forecasting.repair import Series

NORMAL_80 = NormalDist().inv_cdf(0.9)
"""Half the width of an 80% band in standard deviations."""


def quiet(part: float, text: str) -> None:
    """Take a progress report and do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How to run: processes to use, the seed, the seconds one series may take, and whom to tell of progress.

    The rest is as in `forecasting.Request`; `regressors` names the columns of `Series.regressors`. `known` keeps what
    `workers.each` was asked, so that the same fit is not made twice.
    """

    cores: int = 1
    seed: int = 1
    timeout: float = 60.0
    holidays: str | None = None
    regressors: tuple[str, ...] = ()
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    budget: float | None = None
    progress: Callable[[float, str], None] = quiet
    known: dict[bytes, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """One series' forecast before calibration: `center` (h) and `spread` (h, about one standard deviation).

    `used` names the model that really gave it, `warning` says why when that is not the one asked for. `apart` is how
    far the members of a mean lie from theirs (standard deviation, mean over the steps), 0 for a single model.
    """

    center: 'Array'
    spread: 'Array'
    used: str
    warning: str = ''
    apart: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One series' forecast: `center` (h) and its `quantiles` (h × quantiles asked); None when it failed."""

    center: 'Array | None'
    quantiles: 'Array | None'
    used: str
    status: str
    warning: str = ''


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A named part of what a forecast rests on: `value` (k), at the stamps `ds` (k, datetime64) if it has any.

    `kind` is one of KINDS. An importance has one value and no stamps; of a whole model, its `unique_id` is empty.
    """

    unique_id: str
    kind: str
    name: str
    ds: 'Array | None'
    value: 'Array'


KINDS = ('component', 'contribution', 'importance', 'attention')
"""A component's values over history and horizon, a group of features' share in each step ahead (both in units of y), a
share in the whole model (from 0 to 1), and how much each past step was looked at."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A past moment to forecast from: the first `size` points of the panel's series at `place`."""

    place: int
    size: int


class Member(Protocol):
    """A model by its uncalibrated forecasts of a panel: series of one frequency, none empty.

    A member that can tell what its forecasts rest on is an `Explainer` too. An instance may keep what it fitted last,
    so that explaining after predicting is cheap.
    """

    name: str
    held_series: int
    """On how many series its held-out origins may cost their time."""

    def predict(self, panel: Sequence['Series'], *, h: int, run: Run) -> list[Raw]:
        """Return a forecast of the `h` steps after each series."""

    def hold_out(self, panel: Sequence['Series'], origins: Sequence[Origin], *, h: int, run: Run) -> list[Raw]:
        """Return, for each origin, the forecast made without anything after it."""


@runtime_checkable
class Explainer(Protocol):
    """A member that tells what its forecasts rest on."""

    def explain(self, panel: Sequence['Series'], places: Sequence[int], *, h: int, run: Run) -> list[Explained]:
        """Return the parts of what was forecast for the series at `places`; none for a series it did not forecast."""


@runtime_checkable
class Learner(Protocol):
    """A member that learns from all series at once: it can learn of some, and forecast others of their step with it."""

    def learn(self, panel: Sequence['Series'], *, h: int, run: Run, folder: Path) -> None:
        """Write into a new folder what forecasts of `h` steps take; nothing where there is too little to learn from."""

    def recall(self, panel: Sequence['Series'], *, h: int, run: Run, folder: Path) -> list[Raw]:
        """Return the forecasts of other series with what `learn` wrote into `folder`, asked the same."""
