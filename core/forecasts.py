"""Forecasts: request, result and the ledger of issued forecasts."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from uuid import UUID, uuid4

from core import audit
from core.analysis import results, tables
from core.analysis.forecasting.registry import hint
from core.ask import DAY, Ask, Reach, ask_of, check, freq_of, in_steps, n_series, reach, utc, windows_of
from core.errors import Conflict, NotFound, UsageError
from core.hours import Hours
from core.parts import holding, listed
from core.ports import Database, Events, JobQueue, ObjectStore, Row, Transaction
from core.track import adapted
from core.values import KEPT, NOBODY, Actor, Deleted, Forecast, IssuedForecast, Job, JobState, Quote, Version

P = ParamSpec('P')
T = TypeVar('T')
READING_AT_ONCE = 4
AT_ONCE = 8  # objects that one question fetches side by side
MOST_OFFERED = 100  # forecasts of a dataset that its charts offer
MOST_MEASURED = 500  # forecasts that a track record is about
BY = ('horizon', 'series')


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A forecast as lists show it: who asked for what, without what came of it."""

    id: UUID
    dataset_id: UUID
    dataset_name: str
    version: int
    name: str
    h: int
    models: Sequence[str]
    job_id: UUID | None
    state: JobState
    created_at: datetime
    issued_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many forecasts were `found`, of how many in `total`, and how many were `deleted`."""

    found: int
    total: int
    deleted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The `scores` of the models of a forecast that was issued `at` a time, as its result holds them."""

    at: datetime
    scores: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How times of a forecast are told: by the clock of `zone`, by `days` alone where its steps are no shorter.

    `said` is the zone where that has to be said: not of dates, nor of times that a file names none for.
    """

    zone: str
    days: bool = False
    said: str = ''


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
        self._threads = ThreadPoolExecutor(READING_AT_ONCE, thread_name_prefix='forecasts')

    def quote(self, version: Version, ask: Ask) -> Quote:
        """Return what a forecast costs at most."""
        series = n_series(version, ask)
        rows = version.rows * series // max(1, version.manifest['series']['count'])
        return self._hours.quote_forecast(
            series=series, models=ask.models, rows=rows, windows=windows_of(version, ask), budget=ask.budget
        )

    async def request(self, user_id: UUID, version: Version, ask: Ask) -> Forecast:
        """Record a forecast, hold its quote and order its job in one transaction.

        Raise UsageError for what cannot be forecast, NotEnoughHours when the balance is short of the quote.
        """
        if version.user_id != user_id:
            raise NotFound('There is no such dataset.')
        check(version, ask)
        if not self._elsewhere and (missing := next(filter(None, map(hint, ask.models)), '')):
            raise UsageError(missing)
        asked = replace(ask, windows=windows_of(version, ask)).to_json()
        name = ask.name.strip()[:255] or f'{ask.target}, {in_steps(ask.h, ask.step or freq_of(version))}'
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
            data = await tx.one('dataset_by_id', id=version.dataset_id)
            await self._queue.enqueue(
                tx,
                user_id=user_id,
                kind='forecast',
                title=f'Forecast {name} ({data["name"]})',
                payload={'parts': version.parts, 'request': asked, 'n_series': n_series(version, ask)},
                dataset_id=version.dataset_id,
                forecast_id=made['id'],
                job_id=job_id,
                quote=self.quote(version, ask).seconds,
            )
            await tx.run('forecast_job', id=made['id'], job_id=job_id)
            row = await tx.one('forecast_by_id', id=made['id'], deleted=False)
        await self._events.publish(f'{user_id}/jobs', {'job': str(job_id), 'forecast': str(made['id'])})
        await self._hours.tell(user_id)
        return _forecast(row)

    async def list(
        self,
        user_id: UUID,
        *,
        query: str = '',
        dataset_id: UUID | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> Sequence[Listed]:
        """Return the forecasts, or those of a dataset, the newest first.

        With `query` those that have it in their name or their dataset's, whatever its case.
        """
        asked = {'query': query.strip(), 'dataset_id': dataset_id, 'offset': offset, 'limit': limit}
        async with self._database.transaction(user_id) as tx:
            return [_listed(row) for row in await tx.all('forecasts_list', **asked)]

    async def count(self, user_id: UUID, *, query: str = '', dataset_id: UUID | None = None) -> Counts:
        """Return how many forecasts `list` would return, how many there are, and how many are deleted."""
        async with self._database.transaction(user_id) as tx:
            return Counts(**await tx.one('forecasts_count', query=query.strip(), dataset_id=dataset_id, kept=KEPT))

    async def issued_of(self, user_id: UUID, dataset_id: UUID) -> Sequence[Forecast]:
        """Return the forecasts of a dataset that were issued last, 100 at most, with what came of them."""
        async with self._database.transaction(user_id) as tx:
            rows = await tx.all('forecasts_issued', dataset_id=dataset_id, limit=MOST_OFFERED)
            return [_forecast(row) for row in rows]

    async def measured(self, user_id: UUID) -> Sequence[Measured]:
        """Return how the models of the forecasts that were issued last did on the past, 500 at most."""
        async with self._database.transaction(user_id) as tx:
            return [Measured(**row) for row in await tx.all('forecasts_measured', limit=MOST_MEASURED)]

    async def get(self, user_id: UUID, forecast_id: UUID, *, deleted: bool = False) -> Forecast:
        """Return a forecast, also one that was `deleted` where that is asked for.

        Raise NotFound when it is not this user's, and say so when it was deleted.
        """
        async with self._database.transaction(user_id) as tx:
            row = await tx.first('forecast_by_id', id=forecast_id, deleted=deleted)
            if row is None:
                raise NotFound(await _gone(tx, forecast_id))
        return _forecast(row)

    async def delete(self, user_id: UUID, forecast_id: UUID, *, by: Actor = NOBODY) -> None:
        """Take the forecast away; `undelete` brings it back until `KEPT` has gone by.

        What was issued goes on being scored, and counts in the track record as long as its dataset is there; a forecast
        that was never issued is removed for good then. Raise Conflict while the forecast is being made.
        """
        await self._change('forecast_delete', user_id, forecast_id, 'forecast deleted', by=by)

    async def undelete(self, user_id: UUID, forecast_id: UUID, *, by: Actor = NOBODY) -> None:
        """Bring a deleted forecast back. Raise NotFound when that is over: `KEPT` has gone by, or its dataset goes."""
        await self._change('forecast_undelete', user_id, forecast_id, 'forecast restored', by=by)

    async def deleted(self, user_id: UUID, *, offset: int = 0, limit: int | None = None) -> Sequence[Deleted]:
        """Return the forecasts that were deleted and can be brought back, the latest deletion first."""
        async with self._database.transaction(user_id) as tx:
            return [Deleted(**row) for row in await tx.all('forecasts_deleted', offset=offset, limit=limit, kept=KEPT)]

    async def kept_until(self, user_id: UUID, forecast_id: UUID) -> datetime | None:
        """Return until when a forecast that was taken away can be brought back; None when it cannot."""
        async with self._database.transaction(user_id) as tx:
            row = await tx.first('forecast_deleted', id=forecast_id, kept=KEPT)
        return None if row is None else Deleted(**row).until

    async def _change(self, statement: str, user_id: UUID, forecast_id: UUID, action: str, *, by: Actor) -> None:
        """Run a statement that returns the forecast's name; the audit log tells of it, and open pages."""
        async with self._database.transaction(user_id) as tx:
            await tx.first('forecast_lock', id=forecast_id, job_id=None)
            row = await tx.first(statement, id=forecast_id, kept=KEPT)
            if row is None:
                there = await tx.first('forecast_by_id', id=forecast_id, deleted=False)
                if there is None or statement != 'forecast_delete':
                    raise NotFound('There is no such forecast.')
                raise Conflict('This forecast is being made. Cancel its job first.')
            await audit.record(tx, user_id, action, row['name'], about=forecast_id, by=by)
        await self._events.publish(f'{user_id}/forecasts', {'forecast': str(forecast_id)})

    async def zone(self, user_id: UUID, forecast_id: UUID) -> str:
        """Return the zone by whose clock the times of a forecast are told, of a deleted dataset too."""
        return (await self._forecast_of(user_id, await self.get(user_id, forecast_id))).zone

    async def times(self, user_id: UUID, forecast_id: UUID) -> Times:
        """Return how the times of a forecast are told, of a deleted dataset too."""
        forecast = await self.get(user_id, forecast_id)
        return times_of(await self._forecast_of(user_id, forecast), forecast.request.get('step'))

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
                    cutoff=utc(part['cutoff']),
                    object_key=key,
                    sha256=stored[key]['sha256'],
                    rows=part['rows'],
                    code=model.get('code'),
                    seed=model.get('seed'),
                )
        await tx.run('forecast_issue', id=job.forecast_id, result={'prefix': result['prefix'], **result['manifest']})

    async def chart(self, user_id: UUID, forecast_id: UUID, *, series: str | None = None) -> dict[str, Any]:
        """Return what the chart of one series draws (`results.chart`); the first series when none is named.

        `measure` is what was forecast. Of a what-if, `base` holds the lines of the forecast that it started from, by
        the models of both. `came` is as from the method `came`.
        """
        forecast = await self.get(user_id, forecast_id)
        result, name = _result(forecast), _named(forecast, series)
        history, files = await self._files(user_id, forecast, series=name)
        notes = await self._named_files(result, listed(result, 'notes'), series=name)
        drawn = await self._read(results.chart, history, files, series=name, notes=notes)
        base = await self._base(user_id, forecast, files, name)
        came = await self._came(user_id, forecast, files, name)
        return {**drawn, 'measure': forecast.request['target'], 'base': base, 'came': came}

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
        return await self._read(results.leaderboard, files, levels, by=by)

    async def explained(
        self, user_id: UUID, forecast_id: UUID, *, model: str | None = None, series: str | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """Return what a model's forecast of a series rests on (`results.explained`); nothing where it tells nothing.

        When none is named, it is the model that was best on the past.
        """
        forecast = await self.get(user_id, forecast_id)
        result, name = _result(forecast), _named(forecast, series)
        files = await self._named_files(result, listed(_model(result, model), 'explained'), series=name)
        return await self._read(results.explained, files, series=name)

    async def notes(
        self, user_id: UUID, forecast_id: UUID, *, series: str | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """Return anomalies and changepoints of a series' history (`results.noted`)."""
        forecast = await self.get(user_id, forecast_id)
        result, name = _result(forecast), _named(forecast, series)
        files = await self._named_files(result, listed(result, 'notes'), series=name)
        return await self._read(results.noted, files, series=name)

    async def residuals(
        self, user_id: UUID, forecast_id: UUID, *, model: str | None = None, series: str | None = None
    ) -> Mapping[str, Any]:
        """Return what the errors of a model's backtest look like (`diagnose.residuals`), of one series or of all.

        When none is named, it is the model that was best on the past.
        """
        result = _result(await self.get(user_id, forecast_id))
        files = await self._named_files(result, listed(_model(result, model), 'backtests'), series=series)
        return await self._read(results.residuals, files, series=series)

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
        found = await self._read(
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

        Raise UsageError for a change of anything else, NotEnoughHours when the balance is short of the quote, NotFound
        when the dataset was deleted.
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

    async def reach(self, user_id: UUID, forecast_id: UUID, model: str) -> Reach:
        """Return what a verdict on the bands of a model takes, and what asking once more would bring and cost.

        Nothing is offered of a deleted dataset.
        """
        forecast = await self.get(user_id, forecast_id)
        version = await self._forecast_of(user_id, forecast)
        counts = (_model(_result(forecast), model).get('windows') or {}).get('series', {})
        measured = sum(number for windows, number in counts.items() if int(windows))
        ask = ask_of(forecast)
        found = reach(version, ask, series=measured or None)
        if not found.offered:
            return found
        try:
            await self._version(user_id, forecast)
        except NotFound:
            return replace(found, offered=0)
        return replace(found, quote=self.quote(version, replace(ask, windows=found.offered, budget=None)))

    async def measure(self, user_id: UUID, forecast_id: UUID, windows: int) -> Forecast:
        """Ask for the same forecast of the same version, measured from so many past cutoffs, without a limit of time.

        Raise UsageError for a number that cannot be asked for, NotEnoughHours when the balance is short of the quote,
        NotFound when the dataset was deleted.
        """
        forecast = await self.get(user_id, forecast_id)
        ask = replace(ask_of(forecast), windows=windows, budget=None)
        return await self.request(user_id, await self._version(user_id, forecast), ask)

    async def quote_again(self, user_id: UUID, forecast_id: UUID) -> Quote:
        """Return what a forecast costs at most when it is asked for once more.

        Raise NotFound when its dataset was deleted.
        """
        forecast = await self.get(user_id, forecast_id)
        return self.quote(await self._version(user_id, forecast), ask_of(forecast))

    async def rows(self, user_id: UUID, forecast_id: UUID, *, offset: int = 0, limit: int = 100) -> tables.Page:
        """Return rows of every model, in the order of the request."""
        files = await self._issued_files(user_id, await self.get(user_id, forecast_id))
        return await self._read(tables.page, _flat(files), offset=offset, limit=limit)

    async def export(self, user_id: UUID, forecast_id: UUID, out: Path, *, deleted: bool = False) -> None:
        """Write the rows of every model as CSV or Parquet, by `out`'s suffix; times as those of the dataset."""
        forecast = await self.get(user_id, forecast_id, deleted=deleted)
        files, version = await self._issued_files(user_id, forecast), await self._forecast_of(user_id, forecast)
        await self._read(results.export, _flat(files), out, clock=_clock(version, forecast))

    async def export_backtest(self, user_id: UUID, forecast_id: UUID, out: Path) -> None:
        """Write the backtest rows of every model as CSV or Parquet, by `out`'s suffix.

        Raise NotFound when none were kept: the series were too short, or the result was stored before they were.
        """
        forecast = await self.get(user_id, forecast_id)
        result = _result(forecast)
        files = await self._named_files(result, (name for one in result['models'] for name in listed(one, 'backtests')))
        if not files:
            raise NotFound('This forecast keeps no backtest.')
        version = await self._forecast_of(user_id, forecast)
        await self._read(results.export, files, out, clock=_clock(version, forecast))

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
            return await self._read(results.lines, both, series=series)
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
        found = await self._read(
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

    async def _forecast_of(self, user_id: UUID, forecast: Forecast) -> Version:
        """Return the version that was forecast: what was issued of it stays when its dataset is deleted."""
        async with self._database.transaction(user_id) as tx:
            return Version(**await tx.one('version_by_id', id=forecast.version_id))

    async def _version(self, user_id: UUID, forecast: Forecast) -> Version:
        """Return the version to forecast again. Raise NotFound when its dataset was deleted."""
        async with self._database.transaction(user_id) as tx:
            row = await tx.one('version_by_number', dataset_id=forecast.dataset_id, number=forecast.version)
        return Version(**row)

    async def _named_files(
        self, result: Mapping[str, Any], names: Iterable[str], *, series: str | None = None
    ) -> Sequence[Path]:
        chosen = names if series is None else holding(result, names, series)
        return await self._fetched(f'{result["prefix"]}/{name}' for name in chosen)

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _read(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read on a thread of our own: it may wait for a bucket, and what else runs on threads must not."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(read, *args, **kwargs))

    async def _fetched(self, keys: Iterable[str]) -> Sequence[Path]:
        """Return local files, fetched side by side: a model of many series has one a chunk."""
        places = asyncio.Semaphore(AT_ONCE)

        async def one(key: str) -> Path:
            async with places:
                return await self._objects.fetch(key)

        return await asyncio.gather(*map(one, keys))


def times_of(version: Version, step: str | None = None) -> Times:
    """Return how the times of a version are told, in its own steps or in others."""
    kind = _kind(version)
    days = step != 'h' if step else (version.manifest['time']['step_seconds'] or 0) >= DAY
    named = kind == 'timestamptz' or (kind == 'timestamp' and version.zone != 'UTC')
    return Times(zone=version.zone, days=days, said=version.zone if named else '')


def _clock(version: Version, forecast: Forecast) -> tables.Clock:
    """How the dataset's times are written; hours of what had dates are no dates."""
    kind, by_hour = _kind(version), forecast.request.get('step') == 'h'
    zone = version.manifest['time']['zone']
    return tables.Clock(kind='timestamp' if kind == 'date' and by_hour else kind, zone=zone)


def _kind(version: Version) -> str:
    """Return the type of a version's time column."""
    kinds = {column['name']: column['type'] for column in version.manifest['columns']}
    found: str = kinds.get(version.manifest['time'].get('column'), 'timestamp')
    return found


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


async def _gone(tx: Transaction, forecast_id: UUID) -> str:
    """Say why a forecast cannot be opened."""
    if await tx.first('forecast_deleted', id=forecast_id, kept=KEPT):
        return 'This forecast was deleted. Bring it back under Forecasts, Deleted.'
    row = await tx.first('forecast_by_id', id=forecast_id, deleted=True)
    if row is not None and row['issued_at'] is not None:
        return 'This forecast was deleted, too long ago to be brought back. It goes on counting in the track record.'
    return 'There is no such forecast.'


def _forecast(row: Row) -> Forecast:
    return Forecast(**{**row, 'state': JobState(row['state'])})


def _listed(row: Row) -> Listed:
    return Listed(**{**row, 'state': JobState(row['state'])})
