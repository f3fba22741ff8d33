"""What can be asked of a version to be forecast: the request, what is refused, what a form begins with and what it
takes for a verdict on the bands."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from math import isfinite
from typing import Any
from uuid import UUID

from core.analysis import panel
from core.analysis.forecasting import options
from core.analysis.forecasting.registry import MODELS
from core.countries import COUNTRIES
from core.errors import UsageError
from core.values import Forecast, Quote, Version

MOST_STEPS = 5000
FEWEST_WINDOWS, MOST_WINDOWS = 3, 10
ENOUGH = 10  # forecasts of a series, each from a past cutoff, that a verdict on bands takes
LEAST_BUDGET, MOST_BUDGET = 5, 3600
MOST_COLUMNS = 50
MOST_OPTIONS = 50
LONGEST = 200  # characters of an option's name or value
FEW = 2  # distinct values of a flag
CIRCUMSTANCE = re.compile(
    r'(?i)(^|[\W_])(is|has|unit|list|sale|sell)?_?(price|discount|promo(tion)?s?|holidays?|weekend|weekday|flag|day|month|'
    r'year|week|hour|temp(erature)?|rain(fall)?|humidity|wind|cpi|exog\w*|exogenous\d*)([\W_\d]|$)'
)
"""Names of columns that tell under what circumstances something was sold, used or measured."""
HOW = ('scale', 'shift', 'set')
HORIZONS = {'h': 48, 'D': 28, 'B': 20, 'W': 13, 'M': 12, 'Q': 8, 'Y': 5}
DAY = 86_400
MOST_OF_A_DAY, FEWEST_OF_A_DAY = 288, 60  # steps, where they are shorter than an hour
LONGEST_END = 1 / 3  # of the time: a measure without values for longer was given up, not forecast until now
STEP_SECONDS = {'h': 3600, 'D': DAY, 'W-MON': 604_800, 'MS': 2_629_800, 'QS': 7_889_400, 'YS': 31_557_600}
UNITS = {'YS': 'year', 'YE': 'year', 'QS': 'quarter', 'QE': 'quarter', 'MS': 'month', 'ME': 'month', 'W': 'week',
         'D': 'day', 'B': 'business day', 'h': 'hour', 'min': 'minute', 's': 'second'}  # fmt: skip
FREQ = re.compile(r'(\d*)([A-Za-z]+)(?:-[A-Z]{3})?')


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What an analyst wants forecast. `series` empty means all; `step` None means as sampled.

    `regressors` are measures whose rows go on after the last value of the target, `static` columns of categories,
    `holidays` is a country (ISO 3166, such as `DE`), `options` are settings of a model, by its name. `budget` is how
    many seconds `auto` may take: no other model heeds it. `windows` is how many past cutoffs models are measured from;
    None means as many as a verdict on the bands takes, as far as there is room for them (`windows_of`).

    `changes` say how regressors differ on the horizon, by their name: `{'how': 'scale' | 'shift' | 'set', 'value': x}`.
    `base` is the forecast that such a what-if starts from.
    """

    target: str
    h: int
    series: tuple[str, ...] = ()
    models: tuple[str, ...] = ('auto',)
    levels: tuple[int, ...] = (80, 95)
    step: str | None = None
    aggregate: str = 'mean'
    name: str = ''
    regressors: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    holidays: str | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    budget: float | None = None
    windows: int | None = None
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    base: UUID | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what is stored as the request of a forecast and what its task is asked."""
        return {
            'target': self.target,
            'h': self.h,
            'series': list(self.series),
            'models': list(self.models),
            'levels': list(self.levels),
            'step': self.step,
            'aggregate': self.aggregate,
            'regressors': list(self.regressors),
            'static': list(self.static),
            'holidays': self.holidays,
            'options': {model: dict(options) for model, options in self.options.items()},
            'budget': self.budget,
            'windows': self.windows,
            'changes': {name: dict(change) for name, change in self.changes.items()},
            'base': self.base and str(self.base),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a verdict on bands takes, beside what was asked for: `windows` past cutoffs with a horizon of `h` steps.

    It takes `needed` of them, as `series` series are measured from each. Histories have `room` for so many, None where
    that is not known; for `needed` of them they have with a horizon of `shorter` steps (0: with none), or with `rows`
    more rows. `limited` says that its time is. `offered` are the past cutoffs that asking once more would bring, 0
    where it would bring none, at most for `quote`.
    """

    series: int
    h: int
    windows: int
    needed: int
    room: int | None
    shorter: int
    rows: int
    limited: bool
    offered: int = 0
    quote: Quote | None = None


def ask_of(forecast: Forecast) -> Ask:
    """Return what was asked for; what a forecast could not be asked when it was stands as it would be by default."""
    asked = forecast.request
    known = {one.name for one in fields(Ask)} & set(asked) - {'base'}
    given: dict[str, Any] = {
        name: tuple(asked[name]) if isinstance(asked[name], list) else asked[name] for name in known
    }
    base = asked.get('base')
    return Ask(**given | {'name': forecast.name, 'base': base and UUID(base)})


def defaults(version: Version, *, beside: Sequence[str] = ()) -> Ask:
    """Return a sensible request for a version: a target, a horizon that fits its step, `auto`.

    The target is none of those `beside` it where there is another; never a constant or a flag beside a real quantity,
    nor a measure that was given up long ago; rather one that ends before the others, which are then known ahead of it;
    rather a quantity than a price or what its name tells to be a circumstance; and of equals the first.
    """
    measures = likeliest(version, beside=beside)
    rows = version.rows // max(1, version.manifest['series']['count'])
    return Ask(target=measures[0] if measures else '', h=max(1, min(_horizon(version), rows // 4)))


def likeliest(version: Version, *, beside: Sequence[str] = ()) -> list[str]:
    """Return the measures of a version, the likeliest to be forecast first (`defaults`)."""
    measures: list[str] = version.manifest['measures']
    columns = {column['name']: column for column in version.manifest['columns']}
    flags = {name for name in measures if columns.get(name, {}).get('distinct', FEW + 1) <= FEW}
    ends = {name: columns.get(name, {}).get('sparkline') or () for name in measures}
    empty = {name: _empty_end(sparkline) for name, sparkline in ends.items()}
    given_up = {name for name in measures if empty[name] > LONGEST_END * len(ends[name])}
    least = min((empty[name] for name in measures if name not in flags | given_up), default=0)

    def place(name: str) -> tuple[bool, bool, bool, bool, bool]:
        circumstance = bool(CIRCUMSTANCE.search(name))
        return name in beside, name in flags, name in given_up, empty[name] <= least, circumstance

    return sorted(measures, key=place)


def _empty_end(sparkline: Sequence[float | None]) -> int:
    """Return how many of the last slices of a column's sparkline hold no value."""
    known = [place for place, value in enumerate(sparkline) if value is not None]
    return len(sparkline) - 1 - known[-1] if known else 0


def _horizon(version: Version) -> int:
    """Return how many steps are usual for a version; where they are minutes or seconds, about a day of them."""
    seconds = version.manifest['time']['step_seconds'] or 0
    if 0 < seconds < DAY / HORIZONS['h']:
        return int(max(FEWEST_OF_A_DAY, min(MOST_OF_A_DAY, DAY // seconds)))
    freq = freq_of(version) or ''
    return HORIZONS['h' if freq.endswith('h') else next((c for c in freq if c in HORIZONS), 'h')]


def windows_of(version: Version, ask: Ask) -> int:
    """Return from how many past cutoffs models are measured: as asked, else as many as a verdict on bands takes.

    They are no more than the history has room for. With a budget they stay few: what they take, the forecast lacks.
    """
    if ask.windows is not None:
        return ask.windows
    if ask.budget is not None:
        return FEWEST_WINDOWS
    needed, found = needed_windows(n_series(version, ask)), room(version, ask)
    return needed if found is None else max(FEWEST_WINDOWS, min(needed, found))


def needed_windows(series: int) -> int:
    """Return how many past cutoffs bring a verdict on the bands of so many series, as far as can be asked for."""
    return min(MOST_WINDOWS, max(FEWEST_WINDOWS, -(-ENOUGH // max(1, series))))


def room(version: Version, ask: Ask) -> int | None:
    """Return how many past cutoffs the usual history has room for (`backtest.cross_validation`), None where not known.

    A cutoff leaves a third of the history before it, and four values more than the horizon; h steps lie between two.
    """
    size = _length(version, ask)
    return None if size is None or ask.h < 1 else max(0, (size - max(size // 3, ask.h + 4)) // ask.h)


def reach(version: Version, ask: Ask, *, series: int | None = None) -> Reach:
    """Return what a verdict on the bands takes; `series` are measured from each cutoff, else all that are asked for."""
    measured = series or n_series(version, ask)
    windows, needed, found = windows_of(version, ask), needed_windows(measured), room(version, ask)
    size = _length(version, ask) or 0
    within = needed if found is None else min(needed, found)
    return Reach(
        series=measured,
        h=ask.h,
        windows=windows,
        needed=needed,
        room=found,
        shorter=max(0, min((size - size // 3) // needed, (size - 4) // (needed + 1))),
        rows=max(0, -(-3 * needed * ask.h // 2) - size, (needed + 1) * ask.h + 4 - size),
        limited=ask.budget is not None,
        offered=within if within > (windows if ask.budget is None else FEWEST_WINDOWS) else 0,
    )


def _length(version: Version, ask: Ask) -> int | None:
    """Return how many steps the history of a series usually has; what is known ahead of the target is none of it, nor
    what lies between its times and one that is no date, such as 2999-12-31."""
    span, columns = version.manifest['time'], version.manifest['columns']
    line = next((one.get('sparkline') or () for one in columns if one['name'] == ask.target), ())
    known = 1 - _empty_end(line) / len(line) if line else 1.0
    if ask.step is None:
        return int(known * (version.rows // max(1, version.manifest['series']['count'])))
    if not span.get('start') or not span.get('end'):
        return None
    low, high = next(
        ((one['low'], one['high']) for one in version.manifest.get('hints') or () if one['kind'] == 'far_times'),
        (span['start'], span['end']),
    )
    seconds = (utc(high) - utc(low)).total_seconds()
    return int(known * seconds / STEP_SECONDS[ask.step])


def in_steps(h: int, freq: str | None) -> str:
    """Return a horizon in words: `13 weeks`, `288 steps of 5 minutes`, or `12 steps` where `freq` is not known."""
    parts = FREQ.fullmatch(freq or '')
    steps = f'{h:,} step{"" if h == 1 else "s"}'
    if parts is None or (unit := UNITS.get(parts[2])) is None:
        return steps
    if not parts[1]:
        return f'{h:,} {unit}{"" if h == 1 else "s"}'
    return f'{steps} of {int(parts[1]):,} {unit}s'


def check(version: Version, ask: Ask) -> None:
    """Raise UsageError, which says what to choose instead, for what cannot be forecast of a version."""
    if ask.target not in version.manifest['measures']:
        raise UsageError(f'"{ask.target}" is no measure of this dataset. Choose one of its numeric columns.')
    if not 1 <= ask.h <= MOST_STEPS:
        raise UsageError(f'The horizon must lie between 1 and {MOST_STEPS:,} steps, not {ask.h}.')
    if unknown := [name for name in ask.models if name not in MODELS]:
        raise UsageError(f'There is no model "{unknown[0]}". Models are {", ".join(MODELS)}.')
    if not ask.models or len(set(ask.models)) != len(ask.models):
        raise UsageError('Choose at least one model, each once.')
    if not ask.levels or any(not 1 <= level <= 99 for level in ask.levels):
        raise UsageError('Band levels are whole percentages between 1 and 99, such as 80 and 95.')
    if ask.step is not None and ask.step not in panel.STEPS:
        raise UsageError(f'"{ask.step}" is no step. Steps are {", ".join(panel.STEPS)}.')
    if ask.aggregate not in panel.AGGREGATES:
        raise UsageError(f'"{ask.aggregate}" is no aggregate. Aggregates are {", ".join(panel.AGGREGATES)}.')
    if ask.windows is not None and not FEWEST_WINDOWS <= ask.windows <= MOST_WINDOWS:
        raise UsageError(
            f'Models are measured from {FEWEST_WINDOWS} to {MOST_WINDOWS} past cutoffs, not {ask.windows}.'
        )
    if ask.budget is not None and not LEAST_BUDGET <= ask.budget <= MOST_BUDGET:
        raise UsageError(f'A budget is {LEAST_BUDGET} to {MOST_BUDGET:,} seconds, not {ask.budget:g}.')
    if ask.holidays is not None and ask.holidays not in COUNTRIES:
        raise UsageError(
            f'"{ask.holidays}" is no country whose holidays are known. '
            'Write its two capital letters (ISO 3166), such as DE.'
        )
    _check_series(version, ask)
    _check_columns(version, ask)
    _check_options(ask)
    _check_changes(ask)


def _check_series(version: Version, ask: Ask) -> None:
    """Refuse series that the version has not, as far as its manifest names them all: fewer would be forecast."""
    known = version.manifest['series']
    named = set(known.get('first') or ())
    if len(named) < known['count']:
        return
    if strange := [label for label in ask.series if label not in named]:
        told = ' and no '.join(f'"{label[:LONGEST]}"' for label in strange[:3])
        raise UsageError(f'This dataset has no series {told}. Take it out, or name none to forecast all of them.')


def _check_columns(version: Version, ask: Ask) -> None:
    """Refuse regressors and static columns that the version has not, or that cannot be used as such."""
    for kind, names in (('regressor', ask.regressors), ('static column', ask.static)):
        if len(set(names)) != len(names):
            raise UsageError(f'Name each {kind} once.')
        if len(names) > MOST_COLUMNS:
            raise UsageError(f'At most {MOST_COLUMNS} {kind}s can be used.')
    for name in ask.regressors:
        if name == ask.target:
            raise UsageError(f'"{name}" is what is forecast, so it is not known ahead. Leave it out of the regressors.')
        if name not in version.manifest['measures']:
            raise UsageError(f'"{name}" is no measure of this dataset, so it cannot be a regressor.')
    columns = {column['name']: column['role'] for column in version.manifest['columns']}
    for name in ask.static:
        if columns.get(name) not in ('series', 'attribute'):
            raise UsageError(f'"{name}" is no text column of this dataset. Choose a column of categories.')
    panel.distinct(ask.target, *ask.regressors, *ask.static)


def _check_options(ask: Ask) -> None:
    """Refuse options of a model that is not asked for, and those that it has not or whose values are wrong."""
    for model, given in ask.options.items():
        if model not in ask.models:
            raise UsageError(f'There are options of "{model}", which is not among the models asked for.')
        if not isinstance(given, Mapping) or len(given) > MOST_OPTIONS:
            raise UsageError(f'Options of "{model}" are at most {MOST_OPTIONS} names, each with a value.')
        for name, value in given.items():
            plain = value is None or isinstance(value, bool | int | str) or (type(value) is float and isfinite(value))
            if not plain or not isinstance(name, str) or len(name) > LONGEST or len(str(value)) > LONGEST:
                raise UsageError(
                    f'The option "{str(name)[:LONGEST]}" of "{model}" must be a number, a text or a switch.'
                )
        options.check(model, given)


def _check_changes(ask: Ask) -> None:
    for name, change in ask.changes.items():
        if name not in ask.regressors:
            raise UsageError(f'"{name}" is no regressor of this forecast, so it cannot be changed.')
        if not isinstance(change, Mapping) or set(change) != {'how', 'value'} or change['how'] not in HOW:
            raise UsageError(f'Say how "{name}" changes: {", ".join(HOW)}, with a value.')
        value = change['value']
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise UsageError(f'The change of "{name}" needs a number.')


def n_series(version: Version, ask: Ask) -> int:
    """Return how many series a request is about at most."""
    known: int = version.manifest['series']['count']
    return min(len(set(ask.series)), known) or known


def freq_of(version: Version) -> str | None:
    """Return the usual step of a version as a pandas alias, None where it has none."""
    freq: str | None = version.manifest['time']['freq']
    return freq


def utc(text: str) -> datetime:
    """Return a time or a year of a manifest, which is of UTC where it says nothing else."""
    stamp = datetime.fromisoformat(f'{text}-01-01' if len(text) == 4 else text)
    return stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)
