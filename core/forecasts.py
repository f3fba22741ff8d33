"""Forecasts: request, result and the ledger of issued forecasts."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from core.analysis import panel, results, tables
from core.analysis.forecasting.registry import MODELS
from core.errors import NotFound, UsageError
from core.hours import Hours
from core.parts import listed
from core.ports import Database, Events, JobQueue, ObjectStore, Row, Transaction
from core.values import Forecast, IssuedForecast, Job, JobState, Quote, Version

MOST_STEPS = 5000
HORIZONS = {'h': 48, 'D': 28, 'W': 13, 'M': 12, 'Q': 8, 'Y': 5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What an analyst wants forecast. `series` empty means all; `step` None means as sampled.

    `regressors` are measures whose rows go on after the last value of the target, `static` columns of categories,
    `holidays` is a country (ISO 3166, such as `DE`), `options` are settings of a model, by its name. `budget` is how
    many seconds it may take, `windows` how many past cutoffs the models are measured from.

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
    """Forecasts of a user's datasets. An issued forecast is never changed."""

    def __init__(
        self, database: Database, *, queue: JobQueue, objects: ObjectStore, events: Events, hours: Hours
    ) -> None:
        self._database = database
        self._queue = queue
        self._objects = objects
        self._events = events
        self._hours = hours

    def quote(self, version: Version, ask: Ask) -> Quote:
        """Return what a forecast costs at most."""
        series = _counted(version, ask)
        rows = version.rows * series // max(1, version.manifest['series']['count'])
        return self._hours.quote_forecast(series=series, models=ask.models, rows=rows)

    async def request(self, user_id: UUID, version: Version, ask: Ask) -> Forecast:
        """Record a forecast, hold its quote and order its job in one transaction.

        Raise UsageError for what cannot be forecast, NotEnoughHours when the balance is short of the quote.
        """
        if version.user_id != user_id:
            raise NotFound('There is no such dataset.')
        _check(version, ask)
        asked = ask.to_json()
        name = ask.name.strip()[:255] or f'{ask.target}, {ask.h} step{"" if ask.h == 1 else "s"}'
        job_id = uuid4()
        async with self._database.transaction(user_id) as tx:
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
                )
        await tx.run('forecast_issue', id=job.forecast_id, result={'prefix': result['prefix'], **result['manifest']})

    async def chart(self, user_id: UUID, forecast_id: UUID, *, series: str | None = None) -> dict[str, Any]:
        """Return what the chart of one series draws (`results.chart`); the first series when none is named."""
        forecast = await self.get(user_id, forecast_id)
        history, files = await self._files(user_id, forecast)
        return await asyncio.to_thread(results.chart, history, files, series=_named(forecast, series))

    async def rows(self, user_id: UUID, forecast_id: UUID, *, offset: int = 0, limit: int = 100) -> tables.Page:
        """Return rows of every model, in the order of the request."""
        _, files = await self._files(user_id, await self.get(user_id, forecast_id))
        return await asyncio.to_thread(tables.page, _flat(files), offset=offset, limit=limit)

    async def export(self, user_id: UUID, forecast_id: UUID, out: Path) -> None:
        """Write the rows of every model as CSV or Parquet, by `out`'s suffix."""
        _, files = await self._files(user_id, await self.get(user_id, forecast_id))
        await asyncio.to_thread(tables.export, _flat(files), out)

    async def _files(self, user_id: UUID, forecast: Forecast) -> tuple[Sequence[Path], Mapping[str, Sequence[Path]]]:
        """Return the files of the history and, by model in the order of the request, those that were issued."""
        result = _result(forecast)
        ledger = await self.issued(user_id, forecast.id)
        keys: dict[str, list[str]] = {model['name']: [] for model in result['models']}
        for row in ledger:
            keys[row.model].append(row.object_key)
        history = await self._fetched(f'{result["prefix"]}/{name}' for name in listed(result, 'history'))
        return history, {model: await self._fetched(own) for model, own in keys.items() if own}

    async def _fetched(self, keys: Iterable[str]) -> Sequence[Path]:
        return [await self._objects.fetch(key) for key in keys]


def defaults(version: Version) -> Ask:
    """Return a sensible request for a version: its first measure, a horizon that fits its step, `auto`."""
    measures = version.manifest['measures']
    freq = version.manifest['time']['freq'] or ''
    letter = 'h' if freq.endswith('h') else next((c for c in freq if c in 'DWMQY'), 'h')
    rows = version.rows // max(1, version.manifest['series']['count'])
    return Ask(target=measures[0] if measures else '', h=max(1, min(HORIZONS[letter], rows // 4)))


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
