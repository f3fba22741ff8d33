"""What the form for a forecast holds: read from an address, written into one, checked, and turned into a request."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from core import suggest
from core.analysis.ahead import Ahead
from core.analysis.forecasting.registry import MODELS
from core.analysis.panel import AGGREGATES, STEPS
from core.ask import (
    FEWEST_WINDOWS,
    HORIZONS,
    LEAST_BUDGET,
    MOST_BUDGET,
    MOST_STEPS,
    MOST_WINDOWS,
    STEP_SECONDS,
    UNITS,
    Ask,
    Reach,
    ask_of,
    defaults,
    windows_of,
)
from core.ask import reach as reach_of
from core.ask import room as room_of
from core.countries import COUNTRIES
from core.values import Forecast, Version
from ui.components.times import count
from ui.pages.forecast_words import model_name

LEVELS = (50, 80, 90, 95)
SEASONALITIES = ('additive', 'multiplicative', 'auto')
SCALE = 0.05
MINUTE = 60
MADE = rf'({"|".join(("step", *sorted(set(UNITS.values()))))})s?( of [\d,]+ \w+)?'
"""What follows the number in a name that was made of a request (`in_steps`)."""
DEAF = frozenset({'seasonal_naive', 'ets', 'theta', 'mstl', 'croston'})
"""Models that heed neither numbers known ahead nor holidays; `arima` heeds no holidays."""
HEARING = 'Auto, Prophet, LightGBM or Linear'
LEAST_MINUTES, MOST_MINUTES = -(-LEAST_BUDGET // MINUTE), MOST_BUDGET // MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """Everything that the form holds. `budget` is in minutes; `step` None means as sampled.

    `windows` None are as many past cutoffs as a verdict on the bands takes.
    """

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
    windows: int | None = None
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
            windows=self.windows,
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


# Of a version that is not at hand nobody knows in which steps its form begins.
UNKNOWN = Choices(target='', h=None, step='?', aggregate='?')


def start(version: Version, *, beside: Sequence[str] = ()) -> Choices:
    """The choices of a form that nobody has touched; `beside` are columns that are not to be forecast.

    Rows at uneven times go into even steps. The horizon is one that the bands can be judged for, if that is not much
    shorter than is usual.
    """
    ask = defaults(version, beside=beside)
    step = usual_step(version)
    chosen = of_target(Choices(target='', h=HORIZONS[step[0]] if step else ask.h, step=step), version, ask.target)
    found = reach(version, chosen) if chosen.target else None
    if found and found.room is not None and found.room < found.needed and found.h <= 2 * found.shorter:
        return replace(chosen, h=found.shorter)
    return chosen


def usual_step(version: Version) -> str | None:
    """The shortest step that usually holds a row of each series, where rows come at uneven times; else None."""
    time = version.manifest['time']
    if time['freq'] is not None or not time.get('start') or not time.get('end'):
        return None
    seconds = (datetime.fromisoformat(time['end']) - datetime.fromisoformat(time['start'])).total_seconds()
    rows = version.rows / max(1, version.manifest['series']['count'])
    return next((step for step, length in STEP_SECONDS.items() if rows > 1 and seconds <= rows * length), None)


def of_target(choices: Choices, version: Version, target: str) -> Choices:
    """The choices with another measure; in steps of their own its values are added up where that means something."""
    return replace(choices, target=target, aggregate=usual_aggregate(version, target) if choices.step else 'mean')


def usual_aggregate(version: Version, target: str) -> str:
    """How the values of a measure within a step are best told: orders are added up, temperatures are not."""
    return 'sum' if target in suggest.summed(version.manifest) else 'mean'


def read(query: Mapping[str, Sequence[str]], version: Version) -> Choices:
    """Choices from an address; what does not fit the version is left out.

    What is not a number stays to be mended, and so do series that do not exist: without them all would be forecast.
    """
    given = start(version, beside=query.get('regressors', ()))
    one = {name: values[-1] for name, values in query.items() if values}
    target = one.get('target', '')
    if target in version.manifest['measures']:
        given = of_target(given, version, target)
    return replace(
        given,
        h=_whole(one['h']) if 'h' in one else given.h,
        step=_among(one['step'], STEPS, None) if 'step' in one else given.step,
        aggregate=_among(one.get('aggregate'), AGGREGATES, given.aggregate) or given.aggregate,
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


def again(forecast: Forecast, **changed: Any) -> Choices:
    """The choices that a forecast was asked for by, some of them `changed`, but for what a what-if changes.

    A name that was made of its request is left out, since the next one's may differ.
    """
    ask = ask_of(forecast)
    prophet = ask.options.get('prophet', {})
    made = re.fullmatch(rf'{re.escape(ask.target)}, {ask.h:,} {MADE}', ask.name)
    chosen = Choices(
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
        name='' if ask.changes or made else ask.name,
    )
    return replace(chosen, **changed)


def write(choices: Choices, version: Version | None = None, *, dataset: str) -> str:
    """The address of the form with these choices; what stands there anyhow is left out, as far as that is known."""
    untouched = UNKNOWN
    if version:
        begun = start(version, beside=choices.regressors)
        untouched = replace(of_target(begun, version, choices.target), target=begun.target)
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


def room(version: Version, choices: Choices) -> int | None:
    """How many of the past cutoffs the usual history has room for; None where that is not known."""
    ask = choices.ask()
    found = room_of(version, ask)
    return None if found is None else min(windows_of(version, ask), found)


def reach(version: Version, choices: Choices) -> Reach | None:
    """What a verdict on the bands takes, None where these choices bring it or are to be mended first."""
    if not choices.h:
        return None
    found = reach_of(version, choices.ask())
    enough = found.windows >= found.needed and (found.room is None or found.room >= found.needed)
    return None if enough else found


def remarks(version: Version, choices: Choices) -> list[str]:
    """What to know of the rows before a forecast is asked for: nothing that forbids one."""
    columns = {column['name']: column for column in version.manifest['columns']}
    found = []
    if columns.get(choices.target, {}).get('distinct') == 1:
        found.append(f'{choices.target} never changes: its value goes on, in bands of no width.')
    if choices.step is None and version.manifest['time']['freq'] is None:
        found.append(
            'Rows come at uneven times, a forecast goes in even steps: choose what each step is, such as hours.'
        )
    if choices.models and choices.regressors and set(choices.models) <= DEAF:
        found.append(f'{told_models(choices.models)} no numbers known ahead: add {HEARING}.')
    if choices.models and choices.holidays and set(choices.models) <= DEAF | {'arima'}:
        found.append(f'{told_models(choices.models)} no holidays: add {HEARING}.')
    if room(version, choices) == 0:
        found.append('The history is too short to measure models on the past: ask for fewer steps, or bring more rows.')
    return found


def told_models(models: Sequence[str]) -> str:
    """Models as the subject of what they heed: `Theta heeds`, `Theta and ETS heed`."""
    *most, last = map(model_name, models)
    return f'{", ".join(most)} and {last} heed' if most else f'{last} heeds'


def problems(choices: Choices, ahead: Mapping[str, Ahead], *, labels: Sequence[str] | None = None) -> dict[str, str]:
    """What has to be mended, by field. `labels` are the series where all of them are known."""
    found = {}
    if labels is not None and (strange := [name for name in choices.series if name not in set(labels)]):
        found['series'] = f'There is no series {" and no ".join(strange[:3])}. Take it out, or choose others.'
    if choices.h is None or not 1 <= choices.h <= MOST_STEPS:
        found['h'] = f'A whole number from 1 to {count(MOST_STEPS)}.'
    if not choices.models:
        found['models'] = 'Choose a model.'
    if not choices.levels:
        found['levels'] = 'Choose at least one band.'
    if choices.windows is not None and not FEWEST_WINDOWS <= choices.windows <= MOST_WINDOWS:
        found['windows'] = f'A whole number from {FEWEST_WINDOWS} to {MOST_WINDOWS}, or nothing.'
    if choices.budget is not None and not LEAST_MINUTES <= choices.budget <= MOST_MINUTES:
        found['budget'] = f'From {LEAST_MINUTES} to {count(MOST_MINUTES)} minutes, or nothing.'
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
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
