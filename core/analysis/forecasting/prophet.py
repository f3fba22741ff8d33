"""Prophet: its default model by the fast path, every other by the real package in a process that can be killed.

The real package's optimiser hangs now and then. Source: Taylor & Letham 2018, doi:10.1080/00031305.2017.1380080.
"""

import logging
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from core.analysis.forecasting import fast_prophet, statistical, workers
from core.analysis.forecasting.base import NORMAL_80, Explained, Origin, Raw, Run
from core.analysis.forecasting.frequency import DAY, Array, Step
from core.analysis.forecasting.options import check
from core.analysis.forecasting.repair import Series
from core.errors import UsageError

LONGEST_HISTORY = 20_000
LONGEST_REAL_HISTORY = 5_000
"""How many of the last steps are fitted, by the fast path (over two years of hours) and by the real package."""
LEAST_VALUES = 5
SAMPLES = 300
STEADIER = 0.8
"""Seasons multiply when their size varies, relative to the level, by less than this share of how it varies alone."""
LEAST_CYCLES = 3
FAILURES = (ValueError, RuntimeError, ArithmeticError, np.linalg.LinAlgError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings of the model, by the names that Prophet gives them; with `auto`, each series finds its own mode."""

    seasonality_mode: str = 'additive'
    changepoint_prior_scale: float = fast_prophet.CHANGEPOINT_SCALE
    n_changepoints: int = fast_prophet.CHANGEPOINTS
    growth: str = 'linear'


def checked(options: Mapping[str, Any]) -> Options:
    """Return the options that a request gives. Raise UsageError for one that does not exist or has a wrong value."""
    check('prophet', options)
    return Options(**options)


class ProphetModel:
    """The member `prophet`."""

    name = 'prophet'
    held_series = 60

    def predict(self, panel: Sequence[Series], *, h: int, run: Run) -> list[Raw]:
        """Return each series' forecast; a simpler model stands in where Prophet fails or takes too long."""
        return _each('fit', _tasks(panel, [Origin(at, len(one.filled)) for at, one in enumerate(panel)], h, run), run)

    def hold_out(self, panel: Sequence[Series], origins: Sequence[Origin], *, h: int, run: Run) -> list[Raw]:
        """Return the forecasts from each origin, refitted on what lies before it."""
        return _each('fit', _tasks(panel, origins, h, run), run)

    def explain(self, panel: Sequence[Series], places: Sequence[int], *, h: int, run: Run) -> list[Explained]:
        """Return the components over history and horizon, in units of y; at each stamp they sum to Prophet's forecast.

        They are `trend`, `yearly`, `weekly` and `daily` as far as the series has them, `holidays` and each regressor.
        """
        tasks = _tasks(panel, [Origin(place, len(panel[place].filled)) for place in places], h, run)
        found: list[Explained] = []
        for place, task, parts in zip(places, tasks, _each('explain', tasks, run), strict=True):
            stamps = np.concatenate([task['stamps'], task['future']])
            found += [
                Explained(unique_id=panel[place].unique_id, kind='component', name=name, ds=stamps, value=value)
                for name, value in parts.items()
            ]
        return found


def _tasks(panel: Sequence[Series], origins: Iterable[Origin], h: int, run: Run) -> list[dict[str, Any]]:
    options = checked(run.options.get('prophet', {}))
    if run.holidays:
        _check_country(run.holidays)
    return [_task(panel[at.place], at.size, h, run, options) for at in origins]


def _task(series: Series, size: int, h: int, run: Run, options: Options) -> dict[str, Any]:
    """Return what a worker needs to know of a series' first `size` points and of the `h` steps after them."""
    if options.seasonality_mode == 'auto':
        options = replace(options, seasonality_mode=mode(series.past(size), series.step.season_length))
    table = series.regressors[: size + h]
    usable = [at for at, _ in enumerate(run.regressors) if np.isfinite(table[:, at]).all()]
    holidays = run.holidays if _has_days(series.step) else None
    real = options != Options() or bool(usable) or holidays is not None
    start = max(0, size - (LONGEST_REAL_HISTORY if real else LONGEST_HISTORY))
    return {
        'name': 'prophet',
        'real': real,
        'y': series.y[start:size],
        'filled': series.past(size)[start:],
        'stamps': series.stamps[start:size],
        'future': series.step.after(series.cutoff, np.arange(1, h + 1) + size - len(series.y)),
        'h': h,
        'seed': run.seed,
        'season_length': series.step.season_length,
        'long_season': series.step.long_season,
        'options': asdict(options),
        'holidays': holidays,
        'regressors': {run.regressors[at]: table[start:, at] for at in usable},
        'note': '' if holidays == run.holidays else 'Prophet left out holidays: a step is longer than a day.',
    }


def mode(y: Array, season_length: int) -> str:
    """Return whether the seasons of `y` (n, without NaN) add to the level or multiply it.

    They multiply when the spread within a season grows with its mean: when it varies clearly less relative to the mean.
    """
    cycles = len(y) // season_length
    if season_length < 3 or cycles < LEAST_CYCLES or y.min() <= 0:
        return 'additive'
    table = y[len(y) - cycles * season_length :].reshape(cycles, season_length)
    spreads, levels = table.std(axis=1), table.mean(axis=1)
    relative = spreads / levels
    if spreads.mean() == 0:
        return 'additive'
    steady = relative.std() / relative.mean() < STEADIER * spreads.std() / spreads.mean()
    return 'multiplicative' if steady else 'additive'


def _each(what: str, tasks: Sequence[dict[str, Any]], run: Run) -> list[Any]:
    """Return `fit` or `explain` of every task: first those of the fast path here, then the others apart."""
    results: dict[int, Any] = {}
    done = 0
    for real in (False, True):
        places = [place for place, task in enumerate(tasks) if task['real'] is real]
        told = replace(run, progress=_part(run, done, len(places), len(tasks)))
        found = workers.each(
            f'{__name__}:{what}', [tasks[place] for place in places], run=told, apart=real,
            stand_in=_stand_in if what == 'fit' else lambda task, reason: {},
        )  # fmt: skip
        results |= dict(zip(places, found, strict=True))
        done += len(places)
    return [results[place] for place in range(len(tasks))]


def _part(run: Run, done: int, own: int, count: int) -> Any:
    return lambda part, text: run.progress((done + part * own) / max(1, count), text)


def fit(task: dict[str, Any]) -> Raw:
    """Return Prophet's forecast of one series; gaps stay missing, stamps are naive."""
    values = task['y']
    if np.isfinite(values).sum() < LEAST_VALUES:
        return _stand_in(task, f'It needs at least {LEAST_VALUES} values.')
    size = float(np.nanmax(np.abs(values))) or 1.0
    try:
        if task['real']:
            found = _real(task, values / size, task['future'])
            center = found['yhat'].to_numpy()
            spread = (found['yhat_upper'] - found['yhat_lower']).to_numpy() / (2 * NORMAL_80)
        else:
            center, spread = fast_prophet.forecast(task['stamps'], values / size, task['future'], seed=task['seed'])
    except FAILURES as error:
        return _stand_in(task, f'It could not be fitted ({error}).')
    if not (np.isfinite(center).all() and np.abs(center).max() <= 100):
        return _stand_in(task, 'It gave no finite forecast.')
    return Raw(center=center * size, spread=spread * size, used='prophet', warning=task['note'])


def explain(task: dict[str, Any]) -> dict[str, Array]:
    """Return the components of one series' forecast over history and horizon by name; none where Prophet failed."""
    values = task['y']
    if np.isfinite(values).sum() < LEAST_VALUES:
        return {}
    size = float(np.nanmax(np.abs(values))) or 1.0
    stamps = np.concatenate([task['stamps'], task['future']])
    try:
        if not task['real']:
            return fast_prophet.components(fast_prophet.fit(task['stamps'], values), stamps)
        return {name: size * value for name, value in _parts(task, _real(task, values / size, stamps)).items()}
    except FAILURES:
        return {}


def _parts(task: dict[str, Any], found: Any) -> dict[str, Array]:
    """Return the columns of Prophet's frame that sum to its `yhat`: those that multiply the trend, multiplied by it."""
    trend = found['trend'].to_numpy()
    times = trend if task['options']['seasonality_mode'] == 'multiplicative' else 1.0
    names = {name: name for name in ('yearly', 'weekly', 'daily', 'holidays') if name in found}
    names |= {_column(at): name for at, name in enumerate(task['regressors'])}
    return {'trend': trend} | {name: times * found[column].to_numpy() for column, name in names.items()}


@contextmanager
def _without(library: str) -> Iterator[None]:
    """Let imports of a library that is not loaded yet fail, as if it were not installed."""
    if library in sys.modules:
        yield
        return
    sys.modules[library] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[library]


def _real(task: dict[str, Any], values: Array, stamps: Array) -> Any:
    """Return the real package's frame for `stamps`: the future, or history and future."""
    for name in ('prophet', 'prophet.plot', 'cmdstanpy'):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    import pandas

    with _without('matplotlib'):  # it draws what nobody asks for, and takes nearly half of the time to start
        from prophet import Prophet

    np.random.seed(task['seed'])  # Prophet draws its band from NumPy's global state
    known = {_column(at): column for at, column in enumerate(task['regressors'].values())}
    n = len(values)
    with warnings.catch_warnings(), np.errstate(all='ignore'):
        for category in (FutureWarning, DeprecationWarning, RuntimeWarning, UserWarning):
            warnings.simplefilter('ignore', category)
        model = Prophet(uncertainty_samples=SAMPLES, **task['options'])
        for column in known:
            model.add_regressor(column)
        if task['holidays']:
            model.add_country_holidays(task['holidays'])
        past = {column: values[:n] for column, values in known.items()}
        model.fit(
            pandas.DataFrame({'ds': task['stamps'].astype('datetime64[ns]'), 'y': values, **past}), seed=task['seed']
        )
        ahead = {column: values[len(values) - len(stamps) :] for column, values in known.items()}
        return model.predict(pandas.DataFrame({'ds': stamps.astype('datetime64[ns]'), **ahead}))


def _column(place: int) -> str:
    """Return the name that a regressor has within Prophet, which keeps some names for itself."""
    return f'regressor {place}'


def _has_days(step: Step) -> bool:
    """Whether a step is a day or less, so that a holiday falls on steps of its own."""
    return step.unit == 'business' or (step.unit == 'fixed' and step.size <= DAY)


def _check_country(country: str) -> None:
    import holidays

    if country not in (known := holidays.list_supported_countries()):
        raise UsageError(
            f'There are no holidays of "{country}". Name a country by its code: {", ".join(sorted(known))}.'
        )


def _stand_in(task: dict[str, Any], reason: str) -> Raw:
    return statistical.stand_in({**task, 'y': task['filled'], 'regressors': None}, reason)
