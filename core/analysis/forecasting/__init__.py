"""Forecasts of many series with calibrated bands: `forecast(frame, request)`; measured by `scores(frame, request)`."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from core.analysis.forecasting.base import Explained, Explainer, Outcome, Run, quiet
from core.analysis.forecasting.plugins import fit_predict
from core.analysis.forecasting.registry import MODELS, hint
from core.errors import UnusableData, UsageError

if TYPE_CHECKING:
    import polars

    from core.analysis.forecasting.clocks import Clock
    from core.analysis.forecasting.ensemble import Bench
    from core.analysis.forecasting.learnt import Store
    from core.analysis.forecasting.repair import Series

__all__ = [
    'MODELS', 'Forecasts', 'Request', 'cross_validation', 'explained', 'fit_predict', 'forecast', 'learn', 'quantiles',
    'run', 'scores',
]  # fmt: skip

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to forecast: `h` steps by `models`, with bands that hold `levels` percent of what comes.

    `freq` (a pandas offset alias) and `season_length` (steps) are read from each series when None. `timeout` is the
    time in seconds that one series may take where a model's optimiser can hang (Prophet).

    `regressors` are numeric columns that are known for the horizon too, in rows after the last value of a series;
    `static` are columns of categories that stay the same within a series; `holidays` is a country (ISO 3166, such as
    `DE`) whose holidays matter. `options` are settings of one model, by its name. `budget` is how many seconds `auto`
    may take in all: it then leaves out what it has no time for. `adapted` are levels to draw in the place of those
    promised, by model and level, where earlier forecasts held more or less than they promised (`conformal.adapt`).
    """

    h: int
    freq: str | None = None
    season_length: int | None = None
    models: tuple[str, ...] = ('auto',)
    levels: tuple[float | int, ...] = (80, 95)
    cores: int = 1
    seed: int = 1
    timeout: float = 60.0
    regressors: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    holidays: str | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    budget: float | None = None
    adapted: Mapping[str, Mapping[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecasts:
    """Forecast rows (see `forecast`), and what is known of how they were made.

    `seconds` is what each model took; what models share counts for the first of them. `weights` are the shares of a
    model's members, `explained` what forecasts rest on, and `noted` the series that each warning is about, by model.
    """

    rows: 'polars.DataFrame'
    seconds: Mapping[str, float]
    weights: Mapping[str, Mapping[str, float]]
    explained: Mapping[str, Sequence[Explained]]
    noted: Mapping[str, Mapping[str, Sequence[str]]]


def forecast(
    frame: 'polars.DataFrame', request: Request, *, whole: bool = True, known: dict[bytes, Any] | None = None,
    progress: Progress = quiet,
) -> 'polars.DataFrame':  # fmt: skip
    """Return the forecasts of every series by every model asked for; a series that fails never fails the others.

    Args:
        frame: `unique_id` (text), `ds` (date or datetime), `y` (number, may hold nulls), in any order.
        whole: whether these are all rows there are. Of some of the series, or of their past, a regressor that none of
            them knows ahead is left out with a warning instead of refused.
        known: what forecasts of other pasts of the frame have fitted, where one is given to all of them.
        progress: told the part done (0 to 1) and what is being done.

    Returns:
        A row per model × series × step: `unique_id, ds, cutoff, horizon, model, model_used, mean`, a column `q…` per
        quantile, `status` (`ok`, `fallback`, `failed`), `warning` and `flags` (of `repair.FLAGS`). `ds` is naive when
        it came naive, else UTC. `mean` is the model's point forecast. Nothing lies below zero where the history does
        not.

    Raises:
        UsageError: the request is wrong. UnusableData: the frame lacks a column or a column has the wrong type.
    """
    return run(frame, request, whole=whole, known=known, progress=progress).rows


def run(
    frame: 'polars.DataFrame', request: Request, *, whole: bool = True, explain: int = 0, store: 'Store | None' = None,
    known: dict[bytes, Any] | None = None, progress: Progress = quiet,
) -> Forecasts:  # fmt: skip
    """Return `forecast`'s rows, what each model took, and the first `explain` series' forecasts explained.

    With a `store`, `auto` forecasts with what `learn` put there.
    """
    from core.analysis.forecasting.ensemble import Bench, still
    from core.analysis.forecasting.repair import groups

    check(request)
    typed, clock, dropped = tidy(frame, request)
    asked = quantiles(request.levels)
    series = prepare(typed, request, whole=whole)
    outcomes: dict[tuple[str, int], Outcome] = {}
    for place, one in enumerate(series):
        if one.observed and one.is_still:
            outcomes |= {(model, place): still(one, request.h, asked) for model in request.models}
    usable = [place for place, one in enumerate(series) if one.observed and not one.is_still]
    shown = set(usable[:explain])
    panels = groups([series[place] for place in usable])
    seconds = dict.fromkeys(request.models, 0.0)
    weighed: list[tuple[int, Mapping[str, Mapping[str, float]]]] = []
    explained: dict[str, list[Explained]] = {model: [] for model in request.models}
    for index, group in enumerate(panels):
        places = [usable[place] for place in group]
        context = _context(request, len(places) / len(usable), _part(progress, index, len(panels)))
        context = context if known is None else replace(context, known=known)
        panel = [series[place] for place in places]
        bench = Bench(panel, h=request.h, quantiles=asked, run=context, adapted=request.adapted, store=store)
        began = perf_counter()
        for model, found in bench.run(request.models):
            outcomes |= {(model, place): outcome for place, outcome in zip(places, found, strict=True)}
            seconds[model] += perf_counter() - began
            if here := [at for at, place in enumerate(places) if place in shown]:
                parts = _explained(bench, model, panel, here, h=request.h, run=context)
                parts += _lifted(parts, [panel[at] for at in here], [found[at] for at in here])
                explained[model] += [replace(one, ds=clock.utc(one.unique_id, one.ds)) for one in parts]
            began = perf_counter()
        weighed.append((len(places), dict(bench.weights)))
    progress(1.0, 'Done')
    return Forecasts(
        rows=clock.back(_rows(series, outcomes, request, asked=asked, dropped=dropped), 'ds', 'cutoff'),
        seconds=seconds,
        weights={model: _shares(model, weighed) for model in request.models if any(model in own for _, own in weighed)},
        explained=explained,
        noted={model: _noted(series, outcomes, model, dropped=dropped) for model in request.models},
    )


def _noted(
    series: Sequence['Series'], outcomes: Mapping[tuple[str, int], Outcome], model: str, *, dropped: int
) -> dict[str, list[str]]:
    """Return the labels of the series that each warning of a model is about; none where it is about no series."""
    found: dict[str, list[str]] = {_left_out(dropped): []} if dropped else {}
    for place, one in enumerate(series):
        outcome = outcomes.get((model, place))
        for text in (*one.notes, outcome.warning if outcome else ''):
            if text:
                found.setdefault(text, []).append(one.unique_id)
    return found


def _left_out(dropped: int) -> str:
    return f'{dropped:,} rows of the table without a time or a series were left out.'


def learn(frame: 'polars.DataFrame', request: Request, store: 'Store', *, of: int, progress: Progress = quiet) -> None:
    """Put into the store what `auto` learns of a frame's series, to forecast `of` series that they were drawn from.

    See `forecast` for what it raises.
    """
    from core.analysis.forecasting.ensemble import Bench
    from core.analysis.forecasting.repair import groups

    check(request)
    typed, _, _ = tidy(frame, request)
    series = prepare(typed, request, whole=False)
    usable = [one for one in series if one.observed and not one.is_still]
    panels = groups(usable)
    for index, group in enumerate(panels):
        context = _context(request, len(group) / len(usable), _part(progress, index, len(panels)))
        panel = [usable[place] for place in group]
        bench = Bench(panel, h=request.h, quantiles=quantiles(request.levels), run=context, adapted=request.adapted)
        bench.learn(store, of=of * len(group) // len(series))
    progress(1.0, 'Done')


def _context(request: Request, share: float, progress: Progress) -> Run:
    """Return how to run a panel that holds a share of all series."""
    return Run(
        cores=request.cores,
        seed=request.seed,
        timeout=request.timeout,
        holidays=request.holidays,
        regressors=request.regressors,
        options=request.options,
        budget=request.budget and request.budget * share,
        progress=progress,
    )


def _shares(model: str, weighed: Sequence[tuple[int, Mapping[str, Mapping[str, float]]]]) -> dict[str, float]:
    """Return the mean of panels' weights, each as much as it has series."""
    total = sum(count for count, own in weighed if model in own)
    names = dict.fromkeys(name for _, own in weighed for name in own.get(model, ()))
    return {
        name: sum(count * own[model].get(name, 0.0) for count, own in weighed if model in own) / total for name in names
    }


def _explained(
    bench: 'Bench', model: str, panel: Sequence['Series'], places: Sequence[int], *, h: int, run: Run
) -> list[Explained]:
    """Return what a model's forecasts of the series at `places` rest on; a mean of members rests on their shares."""
    import numpy as np

    if model in bench.weights:
        return [
            Explained(unique_id='', kind='importance', name=name, ds=None, value=np.array([share]))
            for name, share in bench.weights[model].items()
        ]
    member = bench.member(model)
    return member.explain(panel, places, h=h, run=run) if isinstance(member, Explainer) else []


def _lifted(parts: Sequence[Explained], series: Sequence['Series'], outcomes: Sequence[Outcome]) -> list[Explained]:
    """Return what parts lack of a forecast that was lifted to zero: with it, they sum up to what is told."""
    import numpy as np

    found = []
    for one, outcome in zip(series, outcomes, strict=True):
        own = [part for part in parts if part.unique_id == one.unique_id and part.kind in ('component', 'contribution')]
        if not own or outcome.center is None:
            continue
        h = len(outcome.center)
        total = np.sum([part.value[-h:] for part in own], axis=0)
        lifted = np.where((outcome.center == 0) & (total < 0), -total, 0.0)
        if lifted.any():
            value = np.concatenate([np.zeros(len(own[0].value) - h), lifted])
            found.append(replace(own[0], name='not below zero', value=value))
    return found


def cross_validation(
    frame: 'polars.DataFrame', request: Request, *, n_windows: int = 3, step_size: int | None = None,
    progress: Progress = quiet,
) -> 'polars.DataFrame':  # fmt: skip
    """Return out-of-sample forecasts beside what came: `forecast`'s rows with `y`; see `backtest.cross_validation`."""
    from core.analysis.forecasting import backtest

    return backtest.cross_validation(frame, request, n_windows=n_windows, step_size=step_size, progress=progress)


def scores(
    frame: 'polars.DataFrame', request: Request, *, n_windows: int = 3, progress: Progress = quiet
) -> list[dict[str, Any]]:
    """Return how well each model of the request did on the recent past; see `backtest.scores`."""
    from core.analysis.forecasting import backtest

    return backtest.scores(frame, request, n_windows=n_windows, progress=progress)


def explained(parts: Sequence[Explained]) -> 'polars.DataFrame':
    """Return what forecasts rest on as rows `unique_id, kind, name, ds, value`; `ds` is null where a part has none."""
    import numpy as np
    import polars as pl

    kinds: dict[str, Any] = {
        'unique_id': pl.String, 'kind': pl.String, 'name': pl.String, 'ds': pl.Datetime('us'), 'value': pl.Float64
    }  # fmt: skip
    tables = [pl.DataFrame(schema=kinds)]
    for part in parts:
        size = len(part.value)
        stamps = np.full(size, 'NaT', 'datetime64[us]') if part.ds is None else part.ds.astype('datetime64[us]')
        columns = [[part.unique_id] * size, [part.kind] * size, [part.name] * size, stamps, part.value]
        tables.append(pl.DataFrame(dict(zip(kinds, columns, strict=True)), schema_overrides=kinds))
    return pl.concat(tables)


def quantiles(levels: Sequence[float | int]) -> tuple[float, ...]:
    """Return the quantiles that bands of `levels` percent end at, with the median: 80 gives .1, .5, .9."""
    ends = {0.5}
    for level in levels:
        ends |= {round(0.5 - level / 200, 6), round(0.5 + level / 200, 6)}
    return tuple(sorted(ends))


def check(request: Request) -> None:
    """Raise UsageError for a request that no data can answer, for what its fields hold or how they fit together."""
    from core.analysis.forecasting import frequency

    if not isinstance(request.h, int) or isinstance(request.h, bool) or request.h < 1:
        raise UsageError(f'The horizon h must be a whole number of at least 1, not {request.h}.')
    if not request.models:
        raise UsageError(f'Name at least one model of {", ".join(MODELS)}.')
    if unknown := [name for name in request.models if name not in MODELS]:
        raise UsageError(f'There is no model "{unknown[0]}". Models are {", ".join(MODELS)}.')
    if missing := [hint(name) for name in request.models if hint(name)]:
        raise UsageError(missing[0])
    if len(set(request.models)) != len(request.models):
        raise UsageError('Name each model once.')
    if not all(isinstance(level, int | float) and 0 < level < 100 for level in request.levels):
        raise UsageError('Levels are percentages between 0 and 100, such as 80 and 95.')
    if request.season_length is not None and request.season_length < 1:
        raise UsageError(f'season_length must be at least 1 step, not {request.season_length}.')
    if request.cores < 1:
        raise UsageError(f'cores must be at least 1, not {request.cores}.')
    if not (math.isfinite(request.timeout) and request.timeout > 0):
        raise UsageError('timeout must be a number of seconds above 0.')
    if request.budget is not None and not (math.isfinite(request.budget) and request.budget > 0):
        raise UsageError('budget must be a number of seconds above 0.')
    columns = ['unique_id', 'ds', 'y', *request.regressors, *request.static]
    if twice := next((name for place, name in enumerate(columns) if name in columns[:place]), None):
        raise UsageError(f'The column "{twice}" cannot be used twice. Name each column for one thing.')
    if unasked := [name for name in request.options if name not in MODELS]:
        raise UsageError(f'There are options for "{unasked[0]}", which is no model.')
    if request.freq is not None:
        frequency.parse(request.freq, h=request.h)


def tidy(frame: 'polars.DataFrame', request: Request) -> tuple['polars.DataFrame', 'Clock', int]:
    """Return the frame typed (text, naive stamps, float), the clock of its stamps, and how many rows were left out."""
    import polars as pl

    from core.analysis.forecasting import clocks

    needed = ('unique_id', 'ds', 'y', *request.regressors, *request.static)
    if missing := [name for name in needed if name not in frame.columns]:
        raise UnusableData(f'The table has no column "{missing[0]}"; it needs {", ".join(needed)}.')
    kind = frame.schema['ds']
    if not isinstance(kind, pl.Date | pl.Datetime):
        raise UnusableData(f'The column "ds" must hold dates or times, not {kind}.')
    for name in ('y', *request.regressors):
        if not frame.schema[name].is_numeric() and frame.schema[name] not in (pl.Null, pl.Boolean):
            raise UnusableData(f'The column "{name}" must hold numbers, not {frame.schema[name]}.')
    if frame.is_empty():
        raise UnusableData('The table has no rows.')
    typed = frame.select(
        pl.col('unique_id').cast(pl.String),
        pl.col('ds').cast(pl.Datetime('us', kind.time_zone if isinstance(kind, pl.Datetime) else None)),
        pl.col('y', *request.regressors).cast(pl.Float64),
        *(pl.col(name).cast(pl.String) for name in request.static),
    )
    kept = typed.filter(pl.col('unique_id').is_not_null() & pl.col('ds').is_not_null())
    if kept.is_empty():
        raise UnusableData('No row has both a time and a series.')
    told, clock = clocks.read(kept)
    return told, clock, typed.height - kept.height


def prepare(typed: 'polars.DataFrame', request: Request, *, whole: bool = True) -> list['Series']:
    """Return the repaired series of a tidy frame.

    When it is `whole`, raise UnusableData for a regressor that no series knows ahead.
    """
    import numpy as np

    from core.analysis.forecasting import repair

    found = repair.prepare(
        typed,
        freq=request.freq,
        h=request.h,
        season_length=request.season_length,
        regressors=request.regressors,
        static=request.static,
    )
    tables = [one.regressors for one in found if one.observed]
    for column, name in enumerate(request.regressors):
        if whole and tables and not any(np.isfinite(table[:, column]).all() for table in tables):
            raise UnusableData(
                f'The regressor "{name}" is not known for the {request.h} steps ahead in any series. Add rows with its '
                'values after the last time, or leave it out.'
            )
    return found


def _part(progress: Progress, index: int, count: int) -> Progress:
    return lambda part, text: progress((index + part) / count, text)


def _rows(
    series: Sequence['Series'], outcomes: dict[tuple[str, int], Outcome], request: Request, *,
    asked: Sequence[float], dropped: int,
) -> 'polars.DataFrame':  # fmt: skip
    import numpy as np
    import polars as pl

    h, nothing = request.h, np.full(request.h, np.nan)
    failed = Outcome(center=None, quantiles=None, used='', status='failed')
    parts = []
    for model in request.models:
        for place, one in enumerate(series):
            outcome = outcomes.get((model, place), failed)
            notes = [*one.notes, outcome.warning]
            if dropped:
                notes.append(_left_out(dropped))
            center = nothing if outcome.center is None else outcome.center
            bands = np.tile(nothing[:, None], len(asked)) if outcome.quantiles is None else outcome.quantiles
            columns = {
                'unique_id': [one.unique_id] * h,
                'ds': one.future.astype('datetime64[us]'),
                'cutoff': np.full(h, one.cutoff, dtype='datetime64[us]'),
                'horizon': np.arange(1, h + 1, dtype=np.int32),
                'model': [model] * h,
                'model_used': [outcome.used or model] * h,
                'mean': center,
                **{f'q{q:g}': bands[:, at] for at, q in enumerate(asked)},
                'status': [outcome.status] * h,
                'warning': [' '.join(note for note in notes if note)] * h,
                'flags': [','.join(one.flags)] * h,
            }
            parts.append(pl.DataFrame(columns))
    return pl.concat(parts).with_columns(pl.col(pl.Float64).fill_nan(None))
