"""What the form for a forecast holds: read from an address, written into one, checked, and turned into a request."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import urlencode

from core.analysis.ahead import Ahead
from core.analysis.forecasting.registry import MODELS
from core.analysis.panel import AGGREGATES, STEPS
from core.countries import COUNTRIES
from core.forecasts import FEWEST_WINDOWS, LEAST_BUDGET, MOST_BUDGET, MOST_STEPS, MOST_WINDOWS, Ask, ask_of, defaults
from core.values import Forecast, Version

LEVELS = (50, 80, 90, 95)
SEASONALITIES = ('additive', 'multiplicative', 'auto')
SCALE = 0.05
MINUTE = 60
LEAST_MINUTES, MOST_MINUTES = -(-LEAST_BUDGET // MINUTE), MOST_BUDGET // MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """Everything that the form holds. `budget` is in minutes; `step` None means as sampled."""

    target: str
    h: int | None
    step: str | None = None
    aggregate: str = 'mean'
    series: tuple[str, ...] = ()
    regressors: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    holidays: str | None = None
    models: tuple[str, ...] = ('auto',)
    levels: tuple[int, ...] = (80, 95)
    windows: int | None = 3
    budget: int | None = None
    seasonality: str = 'additive'
    changes: float | None = SCALE
    name: str = ''

    def ask(self) -> Ask:
        """The core's form of it, for choices without `problems`."""
        return Ask(
            target=self.target,
            h=self.h or 0,
            series=self.series,
            models=self.models,
            levels=self.levels,
            step=self.step,
            aggregate=self.aggregate,
            name=self.name,
            regressors=self.regressors,
            static=self.static,
            holidays=self.holidays,
            options=self._options(),
            budget=None if self.budget is None else float(MINUTE * self.budget),
            windows=self.windows or 0,
        )

    def _options(self) -> dict[str, dict[str, Any]]:
        if 'prophet' not in self.models:
            return {}
        chosen: dict[str, Any] = {}
        if self.seasonality != SEASONALITIES[0]:
            chosen['seasonality_mode'] = self.seasonality
        if self.changes != SCALE:
            chosen['changepoint_prior_scale'] = self.changes
        return {'prophet': chosen} if chosen else {}


def start(version: Version, *, beside: Sequence[str] = ()) -> Choices:
    """The choices of a form that nobody has touched; `beside` are columns that are not to be forecast."""
    ask = defaults(version, beside=beside)
    return Choices(target=ask.target, h=ask.h)


def read(query: Mapping[str, Sequence[str]], version: Version) -> Choices:
    """Choices from an address; what does not fit the version is left out.

    What is not a number stays to be mended, and so do series that do not exist: without them all would be forecast.
    """
    given = start(version, beside=query.get('regressors', ()))
    one = {name: values[-1] for name, values in query.items() if values}
    target = one.get('target', '')
    if target in version.manifest['measures']:
        given = replace(given, target=target)
    return replace(
        given,
        h=_whole(one['h']) if 'h' in one else given.h,
        step=_among(one.get('step'), STEPS, None),
        aggregate=_among(one.get('aggregate'), AGGREGATES, 'mean') or 'mean',
        series=_several(query, 'series', bool) if version.manifest['series']['count'] > 1 else (),
        regressors=_several(query, 'regressors', lambda name: name in possible_regressors(version, given.target)),
        static=_several(query, 'static', lambda name: name in possible_static(version)),
        holidays=_among(one.get('holidays'), COUNTRIES, None),
        models=_several(query, 'models', lambda name: name in MODELS) if 'models' in query else given.models,
        levels=tuple(sorted(map(int, _several(query, 'levels', _is_level)))) if 'levels' in query else given.levels,
        windows=_whole(one['windows']) if 'windows' in one else given.windows,
        budget=_whole(one.get('budget', '')),
        seasonality=_among(one.get('seasonality'), SEASONALITIES, SEASONALITIES[0]) or SEASONALITIES[0],
        changes=_number(one['changes']) if 'changes' in one else given.changes,
        name=one.get('name', '')[:255],
    )


def again(forecast: Forecast) -> Choices:
    """The choices that a forecast was asked for by, but for what a what-if changes.

    A name that was made of its request is left out, since the next one's may differ.
    """
    ask = ask_of(forecast)
    prophet = ask.options.get('prophet', {})
    made = f'{ask.target}, {ask.h} step{"" if ask.h == 1 else "s"}'
    return Choices(
        target=ask.target,
        h=ask.h,
        step=ask.step,
        aggregate=ask.aggregate,
        series=ask.series,
        regressors=ask.regressors,
        static=ask.static,
        holidays=ask.holidays,
        models=ask.models,
        levels=ask.levels,
        windows=ask.windows,
        budget=None if ask.budget is None else math.ceil(ask.budget / MINUTE),
        seasonality=prophet.get('seasonality_mode', SEASONALITIES[0]),
        changes=prophet.get('changepoint_prior_scale', SCALE),
        name='' if ask.changes or ask.name == made else ask.name,
    )


def write(choices: Choices, version: Version | None = None, *, dataset: str) -> str:
    """The address of the form with these choices; what stands there anyhow is left out, as far as that is known."""
    untouched = start(version, beside=choices.regressors) if version else Choices(target='', h=None)
    pairs: list[tuple[str, str]] = [('dataset', dataset)]
    for field in fields(Choices):
        value = getattr(choices, field.name)
        if value == getattr(untouched, field.name):
            continue
        # An empty list that differs from the start must be told too: `models=` says that none is chosen.
        values = (value or ('',)) if isinstance(value, tuple) else ('' if value is None else value,)
        pairs += [(field.name, f'{item:g}' if isinstance(item, float) else str(item)) for item in values]
    return f'/forecasts/new?{urlencode(pairs)}'


def possible_regressors(version: Version, target: str) -> list[str]:
    """The numeric columns that may help to forecast `target`."""
    return [name for name in version.manifest['measures'] if name != target]


def possible_static(version: Version) -> list[str]:
    """The columns that may hold one category a series: attributes, and parts of the label where it has several."""
    roles = {column['name']: column['role'] for column in version.manifest['columns']}
    parts = [name for name, role in roles.items() if role == 'series']
    return (parts if len(parts) > 1 else []) + [name for name, role in roles.items() if role == 'attribute']


def problems(choices: Choices, ahead: Mapping[str, Ahead], *, labels: Sequence[str] | None = None) -> dict[str, str]:
    """What has to be mended, by field. `labels` are the series where all of them are known."""
    found = {}
    if labels is not None and (strange := [name for name in choices.series if name not in set(labels)]):
        found['series'] = f'There is no series {" and no ".join(strange[:3])}. Take it out, or choose others.'
    if choices.h is None or not 1 <= choices.h <= MOST_STEPS:
        found['h'] = f'A whole number from 1 to {MOST_STEPS:,}.'
    if not choices.models:
        found['models'] = 'Choose a model.'
    if not choices.levels:
        found['levels'] = 'Choose at least one band.'
    if choices.windows is None or not FEWEST_WINDOWS <= choices.windows <= MOST_WINDOWS:
        found['windows'] = f'A whole number from {FEWEST_WINDOWS} to {MOST_WINDOWS}.'
    if choices.budget is not None and not LEAST_MINUTES <= choices.budget <= MOST_MINUTES:
        found['budget'] = f'From {LEAST_MINUTES} to {MOST_MINUTES:,} minutes, or nothing.'
    if choices.changes is None or not 0.0005 <= choices.changes <= 10:
        found['changes'] = 'A number from 0.0005 to 10.'
    unknown = [name for name in choices.regressors if name in ahead and not ahead[name].steps]
    if unknown:
        names = ' and '.join(unknown)
        found['regressors'] = (
            f'{names} {"has" if len(unknown) == 1 else "have"} no values after the last {choices.target}. '
            'Add rows with what will be, or leave it out.'
        )
    return found


def _several(query: Mapping[str, Sequence[str]], name: str, fits: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in query.get(name, ()) if fits(value)))


def _among(value: str | None, known: Any, otherwise: str | None) -> str | None:
    return value if value in known else otherwise


def _is_level(text: str) -> bool:
    return text.isdecimal() and len(text) < 3 and 1 <= int(text) <= 99


def _whole(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.lstrip('-').isdecimal() and len(text) < 10 else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
