"""Forecasts: request, result and the ledger of issued forecasts."""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from math import inf, isfinite
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from core.analysis import panel, results, tables
from core.analysis.forecasting import options
from core.analysis.forecasting.registry import MODELS, hint
from core.countries import COUNTRIES
from core.errors import NotFound, UsageError
from core.hours import Hours
from core.parts import holding, listed
from core.ports import Database, Events, JobQueue, ObjectStore, Row, Transaction
from core.track import adapted
from core.values import Forecast, IssuedForecast, Job, JobState, Quote, Version

MOST_STEPS = 5000
FEWEST_WINDOWS, MOST_WINDOWS = 3, 10
LEAST_BUDGET, MOST_BUDGET = 5, 3600
MOST_COLUMNS = 50
MOST_OPTIONS = 50
LONGEST = 200  # characters of an option's name or value
AT_ONCE = 8  # objects that one question fetches side by side
FEW = 2  # distinct values of a flag
CIRCUMSTANCE = re.compile(
    r'(?i)(^|[\W_])(is|has|unit|list|sale|sell)?_?(price|discount|promo(tion)?s?|holidays?|weekend|weekday|flag|day|month|'
    r'year|week|hour|temp(erature)?|rain(fall)?|humidity|wind|cpi|exog\w*|exogenous\d*)([\W_\d]|$)'
)
"""Names of columns that tell under what circumstances something was sold, used or measured."""
HOW = ('scale', 'shift', 'set')
BY = ('horizon', 'series')
HORIZONS = {'h': 48, 'D': 28, 'W': 13, 'M': 12, 'Q': 8, 'Y': 5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What an analyst wants forecast. `series` empty means all; `step` None means as sampled.

    `regressors` are measures whose rows go on after the last value of the target, `static` columns of categories,
    `holidays` is a country (ISO 3166, such as `DE`), `options` are settings of a model, by its name. `budget` is how
    many seconds `auto` may take: no other model heeds it. `windows` is how many past cutoffs models are measured from.

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
    windows: int = 3
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


class Forecasts:
    """Forecasts of a user's datasets. An issued forecast is never changed.

    Models run `elsewhere` when Compute has an installation of its own, in which every model is.
    """

    def __init__(
        self,
        database: Database,
        *,
        queue: JobQueue,
        objects: ObjectStore,
        events: Events,
        hours: Hours,
        elsewhere: bool = False,
    ) -> None:
        self._database = database
        self._queue = queue
        self._objects = objects
        self._events = events
        self._hours = hours
        self._elsewhere = elsewhere

    def quote(self, version: Version, ask: Ask) -> Quote:
        """Return what a forecast costs at most."""
        series = _counted(version, ask)
        rows = version.rows * series // max(1, version.manifest['series']['count'])
        return self._hours.quote_forecast(
            series=series, models=ask.models, rows=rows, windows=ask.windows, budget=ask.budget
        )

    async def request(self, user_id: UUID, version: Version, ask: Ask) -> Forecast:
        """Record a forecast, hold its quote and order its job in one transaction.

        Raise UsageError for what cannot be forecast, NotEnoughHours when the balance is short of the quote.
        """
        if version.user_id != user_id:
            raise NotFound('There is no such dataset.')
        _check(version, ask)
        if not self._elsewhere and (missing := next(filter(None, map(hint, ask.models)), '')):
            raise UsageError(missing)
        asked = ask.to_json()
        name = ask.name.strip()[:255] or f'{ask.target}, {ask.h} step{"" if ask.h == 1 else "s"}'
        job_id = uuid4()
        async with self._database.transaction(user_id) as tx:
            asked['adapted'] = await adapted(
                tx,
                dataset_id=version.dataset_id,
                target=ask.target,
                step=ask.step,
                aggregate=ask.aggregate,
                models=ask.models,
                levels=ask.levels,
            )
            made = await tx.one(
                'forecast_insert',
                user_id=user_id,
                dataset_id=version.dataset_id,
                version_id=version.id,
                name=name,
                request=asked,
            )
            await self._queue.enqueue(
                tx,
                user_id=user_id,
                kind='forecast',
                title=f'Forecast {name}',
                payload={'parts': version.parts, 'request': asked, 'n_series': _counted(version, ask)},
                dataset_id=version.dataset_id,
                forecast_id=made['id'],
                job_id=job_id,
                quote=self.quote(version, ask).seconds,
            )
            await tx.run('forecast_job', id=made['id'], job_id=job_id)
            row = await tx.one('forecast_by_id', id=made['id'])
        await self._events.publish(f'{user_id}/jobs', {'job': str(job_id), 'forecast': str(made['id'])})
        await self._hours.tell(user_id)
        return _forecast(row)

    async def list(self, user_id: UUID, *, dataset_id: UUID | None = None) -> Sequence[Forecast]:
        """Return the forecasts, the newest first."""
        async with self._database.transaction(user_id) as tx:
            return [_forecast(row) for row in await tx.all('forecasts_list', dataset_id=dataset_id)]

    async def get(self, user_id: UUID, forecast_id: UUID) -> Forecast:
        """Return a forecast. Raise NotFound when it is not this user's."""
        async with self._database.transaction(user_id) as tx:
            return _forecast(await tx.one('forecast_by_id', id=forecast_id))

    async def issued(self, user_id: UUID, forecast_id: UUID) -> Sequence[IssuedForecast]:
        """Return the ledger rows of a forecast, one a stored file: a model has several when its series were many."""
        async with self._database.transaction(user_id) as tx:
            return [IssuedForecast(**row) for row in await tx.all('issued_by_forecast', forecast_id=forecast_id)]

    async def forecasted(self, tx: Transaction, job: Job, result: Mapping[str, Any]) -> None:
        """Issue what a job has forecast, in the transaction that ends it."""
        stored = {item['key']: item for item in result['objects']}
        for model in result['manifest']['models']:
            for number, part in enumerate(_parts(model)):
                if not part['rows'] or part['cutoff'] is None:
                    continue
                key = f'{result["prefix"]}/{part["file"]}'
                await tx.run(
                    'issued_insert',
                    forecast_id=job.forecast_id,
                    user_id=job.user_id,
                    model=model['name'],
                    part=number,
                    cutoff=_utc(part['cutoff']),
                    object_key=key,
                    sha256=stored[key]['sha256'],
                    rows=part['rows'],
                    code=model.get('code'),
                    seed=model.get('seed'),
                )
        await tx.run('forecast_issue', id=job.forecast_id, result={'prefix': result['prefix'], **result['manifest']})

    async def chart(self, user_id: UUID, forecast_id: UUID, *, series: str | None = None) -> dict[str, Any]:
        """Return what the chart of one series draws (`results.chart`); the first series when none is named.

        Of a what-if, `base` holds the lines of the forecast that it started from, by the models of both. `came` is as
        from the method `came`.
        """
        forecast = await self.get(user_id, forecast_id)
        result, name = _result(forecast), _named(forecast, series)
        history, files = await self._files(user_id, forecast, series=name)
        notes = await self._named_files(result, listed(result, 'notes'), series=name)
        drawn = await asyncio.to_thread(results.chart, history, files, series=name, notes=notes)
        base = await self._base(user_id, forecast, files, name)
        return {**drawn, 'base': base, 'came': await self._came(user_id, forecast, files, name)}

    async def came(self, user_id: UUID, forecast_id: UUID, *, series: str | None = None) -> Mapping[str, Any] | None:
        """Return what a newer `version` of the dataset knows of the steps that were forecast (`results.came`).

        None as long as it is nothing, or the version that is shown is not newer.
        """
        forecast = await self.get(user_id, forecast_id)
        name = _named(forecast, series)
        return await self._came(user_id, forecast, await self._issued_files(user_id, forecast, series=name), name)

    async def leaderboard(
        self, user_id: UUID, forecast_id: UUID, *, by: str | None = None, model: str | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """Return the scores of the models, or of one: in all, by `horizon` or by `series` (`backtest.leaderboard`).

        Results that were stored before backtests were kept have scores in all only.
        """
        forecast = await self.get(user_id, forecast_id)
        result = _result(forecast)
        if model is not None:
            _model(result, model)
        if by is None:
            return [score for score in result['scores'] if model in (None, score['model'])]
        if by not in BY:
            raise UsageError(f'A leaderboard is by {" or ".join(BY)}, not by "{by}".')
        chosen = result['models'] if model is None else [_model(result, model)]
        files = await self._named_files(result, (name for one in chosen for name in listed(one, 'backtests')))
        levels = forecast.request['levels']
        return await asyncio.to_thread(results.leaderboard, files, levels, by=by)

    async def explained(
        self, user_id: UUID, forecast_id: UUID, *, model: str | None = None, series: str | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """Return what a model's forecast of a series rests on (`results.explained`); nothing where it tells nothing.

        When none is named, it is the model that was best on the past.
        """
        forecast = await self.get(user_id, forecast_id)
        result, name = _result(forecast), _named(forecast, series)
        files = await self._named_files(result, listed(_model(result, model), 'explained'), series=name)
        return await asyncio.to_thread(results.explained, files, series=name)

    async def notes(
        self, user_id: UUID, forecast_id: UUID, *, series: str | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """Return anomalies and changepoints of a series' history (`results.noted`)."""
        forecast = await self.get(user_id, forecast_id)
        result, name = _result(forecast), _named(forecast, series)
        files = await self._named_files(result, listed(result, 'notes'), series=name)
        return await asyncio.to_thread(results.noted, files, series=name)

    async def residuals(
        self, user_id: UUID, forecast_id: UUID, *, model: str | None = None, series: str | None = None
    ) -> Mapping[str, Any]:
        """Return what the errors of a model's backtest look like (`diagnose.residuals`), of one series or of all.

        When none is named, it is the model that was best on the past.
        """
        result = _result(await self.get(user_id, forecast_id))
        files = await self._named_files(result, listed(_model(result, model), 'backtests'), series=series)
        return await asyncio.to_thread(results.residuals, files, series=series)

    async def series_page(
        self, user_id: UUID, forecast_id: UUID, *, search: str = '', offset: int = 0, limit: int = 50
    ) -> Mapping[str, Any]:
        """Return series by a part of their label, each with its shape, its state and its scores (`results.grid`).

        They are told by the `model` that was best on the past, which each item names.
        """
        forecast = await self.get(user_id, forecast_id)
        result = _result(forecast)
        name = best(result)
        history, files = await self._files(user_id, forecast)
        measured = await self._named_files(result, listed(_model(result, name), 'backtests'))
        found = await asyncio.to_thread(
            results.grid,
            history,
            files.get(name, ()),
            measured,
            levels=forecast.request['levels'],
            search=search,
            offset=offset,
            limit=limit,
        )
        return {**found, 'items': [{**item, 'model': name} for item in found['items']]}

    async def what_if(self, user_id: UUID, forecast_id: UUID, changes: Mapping[str, Mapping[str, Any]]) -> Forecast:
        """Ask for the same forecast of the same version, with other values of its regressors on the horizon.

        Raise UsageError for a change of anything else, NotEnoughHours when the balance is short of the quote.
        """
        forecast = await self.get(user_id, forecast_id)
        if not changes:
            raise UsageError('Say which regressors change, and how.')
        if forecast.result is None:
            raise UsageError(
                'This forecast has no result to compare with. Wait until it is issued, or ask for a new one.'
            )
        ask = replace(ask_of(forecast), changes=changes, base=forecast.id, name=f'{forecast.name[:245]}, changed')
        return await self.request(user_id, await self._version(user_id, forecast), ask)

    async def quote_again(self, user_id: UUID, forecast_id: UUID) -> Quote:
        """Return what a forecast costs at most when it is asked for once more."""
        forecast = await self.get(user_id, forecast_id)
        return self.quote(await self._version(user_id, forecast), ask_of(forecast))

    async def rows(self, user_id: UUID, forecast_id: UUID, *, offset: int = 0, limit: int = 100) -> tables.Page:
        """Return rows of every model, in the order of the request."""
        files = await self._issued_files(user_id, await self.get(user_id, forecast_id))
        return await asyncio.to_thread(tables.page, _flat(files), offset=offset, limit=limit)

    async def export(self, user_id: UUID, forecast_id: UUID, out: Path) -> None:
        """Write the rows of every model as CSV or Parquet, by `out`'s suffix."""
        files = await self._issued_files(user_id, await self.get(user_id, forecast_id))
        await asyncio.to_thread(tables.export, _flat(files), out)

    async def export_backtest(self, user_id: UUID, forecast_id: UUID, out: Path) -> None:
        """Write the backtest rows of every model as CSV or Parquet, by `out`'s suffix.

        Raise NotFound when none were kept: the series were too short, or the result was stored before they were.
        """
        result = _result(await self.get(user_id, forecast_id))
        files = await self._named_files(result, (name for one in result['models'] for name in listed(one, 'backtests')))
        if not files:
            raise NotFound('This forecast keeps no backtest.')
        await asyncio.to_thread(tables.export, files, out)

    async def _files(
        self, user_id: UUID, forecast: Forecast, *, series: str | None = None
    ) -> tuple[Sequence[Path], Mapping[str, Sequence[Path]]]:
        """Return the files of the history and, by model in the order of the request, those that were issued.

        With `series` it is only those that may hold it.
        """
        result = _result(forecast)
        history = await self._named_files(result, listed(result, 'history'), series=series)
        return history, await self._issued_files(user_id, forecast, series=series)

    async def _issued_files(
        self, user_id: UUID, forecast: Forecast, *, series: str | None = None
    ) -> Mapping[str, Sequence[Path]]:
        result = _result(forecast)
        names: dict[str, list[str]] = {model['name']: [] for model in result['models']}
        for row in await self.issued(user_id, forecast.id):
            names[row.model].append(row.object_key.removeprefix(f'{result["prefix"]}/'))
        return {model: await self._named_files(result, own, series=series) for model, own in names.items() if own}

    async def _base(
        self, user_id: UUID, forecast: Forecast, files: Mapping[str, Sequence[Path]], series: str
    ) -> Sequence[Mapping[str, Any]]:
        """Return the lines of the forecast that a what-if started from, none when there is none or it is gone."""
        if not (base_id := forecast.request.get('base')):
            return []
        with suppress(NotFound):
            before = await self._issued_files(user_id, await self.get(user_id, UUID(base_id)), series=series)
            both = {name: before[name] for name in files if name in before}
            return await asyncio.to_thread(results.lines, both, series=series)
        return []

    async def _came(
        self, user_id: UUID, forecast: Forecast, files: Mapping[str, Sequence[Path]], series: str
    ) -> Mapping[str, Any] | None:
        asked = forecast.request
        async with self._database.transaction(user_id) as tx:
            row = await tx.first('version_current', dataset_id=forecast.dataset_id)
        shown = None if row is None else Version(**row)
        if shown is None or shown.number <= forecast.version or asked['target'] not in shown.manifest['measures']:
            return None
        opened = await self._objects.open(shown.parts)
        found = await asyncio.to_thread(
            results.came,
            opened.paths,
            files,
            target=asked['target'],
            series=series,
            step=asked['step'],
            aggregate=asked['aggregate'],
            system=opened.files,
        )
        return found and {'version': shown.number, **found}

    async def _version(self, user_id: UUID, forecast: Forecast) -> Version:
        async with self._database.transaction(user_id) as tx:
            row = await tx.one('version_by_number', dataset_id=forecast.dataset_id, number=forecast.version)
        return Version(**row)

    async def _named_files(
        self, result: Mapping[str, Any], names: Iterable[str], *, series: str | None = None
    ) -> Sequence[Path]:
        chosen = names if series is None else holding(result, names, series)
        return await self._fetched(f'{result["prefix"]}/{name}' for name in chosen)

    async def _fetched(self, keys: Iterable[str]) -> Sequence[Path]:
        """Return local files, fetched side by side: a model of many series has one a chunk."""
        places = asyncio.Semaphore(AT_ONCE)

        async def one(key: str) -> Path:
            async with places:
                return await self._objects.fetch(key)

        return await asyncio.gather(*map(one, keys))


def defaults(version: Version, *, beside: Sequence[str] = ()) -> Ask:
    """Return a sensible request for a version: a target, a horizon that fits its step, `auto`.

    The target is none of those `beside` it where there is another; never a constant or a flag beside a real quantity;
    rather one that ends before the others, which are then known ahead of it; rather a quantity than a price or what
    its name tells to be a circumstance; and of equals the first.
    """
    measures = likeliest(version, beside=beside)
    freq = version.manifest['time']['freq'] or ''
    letter = 'h' if freq.endswith('h') else next((c for c in freq if c in 'DWMQY'), 'h')
    rows = version.rows // max(1, version.manifest['series']['count'])
    return Ask(target=measures[0] if measures else '', h=max(1, min(HORIZONS[letter], rows // 4)))


def likeliest(version: Version, *, beside: Sequence[str] = ()) -> list[str]:
    """Return the measures of a version, the likeliest to be forecast first (`defaults`)."""
    measures: list[str] = version.manifest['measures']
    columns = {column['name']: column for column in version.manifest['columns']}
    flags = {name for name in measures if columns.get(name, {}).get('distinct', FEW + 1) <= FEW}
    empty = {name: _empty_end(columns.get(name, {}).get('sparkline') or ()) for name in measures}
    least = min((empty[name] for name in measures if name not in flags), default=0)

    def place(name: str) -> tuple[bool, bool, bool, bool]:
        return name in beside, name in flags, empty[name] <= least, bool(CIRCUMSTANCE.search(name))

    return sorted(measures, key=place)


def _empty_end(sparkline: Sequence[float | None]) -> int:
    """Return how many of the last slices of a column's sparkline hold no value."""
    known = [place for place, value in enumerate(sparkline) if value is not None]
    return len(sparkline) - 1 - known[-1] if known else 0


def ask_of(forecast: Forecast) -> Ask:
    """Return what was asked for; what a forecast could not be asked when it was stands as it would be by default."""
    asked = forecast.request
    known = {one.name for one in fields(Ask)} & set(asked) - {'base'}
    given: dict[str, Any] = {
        name: tuple(asked[name]) if isinstance(asked[name], list) else asked[name] for name in known
    }
    base = asked.get('base')
    return Ask(**given | {'name': forecast.name, 'base': base and UUID(base)})


def _check(version: Version, ask: Ask) -> None:
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
    if not FEWEST_WINDOWS <= ask.windows <= MOST_WINDOWS:
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
    _check_columns(version, ask)
    _check_options(ask)
    _check_changes(ask)


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


def _model(result: Mapping[str, Any], name: str | None) -> Mapping[str, Any]:
    """Return what a result says of a model, of the best when none is named. Raise NotFound for any other."""
    for model in result['models']:
        if model['name'] == (best(result) if name is None else name):
            return dict(model)
    raise NotFound(f'This forecast has no model "{name}".')


def best(result: Mapping[str, Any]) -> str:
    """Return the model with rows that has the lowest MASE, else the first one with rows."""
    mase = {score['model']: score['mase'] for score in result['scores'] if score['mase'] is not None}
    names: list[str] = [model['name'] for model in result['models'] if model['rows']]
    names = names or [model['name'] for model in result['models']]
    return min(names, key=lambda name: (mase.get(name, inf), names.index(name)))


def _counted(version: Version, ask: Ask) -> int:
    """Return how many series a request is about at most."""
    known: int = version.manifest['series']['count']
    return min(len(set(ask.series)), known) or known


def _parts(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the files of a model's forecast with the rows and the cutoff of each."""
    files = listed(model, 'files')
    if len(files) > 1:
        return list(model['parts'])
    return [{'file': file, 'rows': model['rows'], 'cutoff': model['cutoff']} for file in files]


def _flat(files: Mapping[str, Sequence[Path]]) -> list[Path]:
    return [path for own in files.values() for path in own]


def _named(forecast: Forecast, series: str | None) -> str:
    """Return the series that is asked for, or the first one."""
    known = _result(forecast)['series']
    return series if series is not None else (known[0] if known else '')


def _result(forecast: Forecast) -> Mapping[str, Any]:
    if forecast.result is None:
        raise NotFound('This forecast has no result yet.')
    return forecast.result


def _forecast(row: Row) -> Forecast:
    return Forecast(**{**row, 'state': JobState(row['state'])})


def _utc(text: str) -> datetime:
    stamp = datetime.fromisoformat(text)
    return stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)
