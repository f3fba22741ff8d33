"""REST for forecasts: ask, list, draw, read and export."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field, Strict
from starlette.responses import JSONResponse, Response

from core.analysis.forecasting.registry import MODELS
from core.analysis.panel import AGGREGATES, STEPS
from core.analysis.results import called
from core.ask import LEAST_BUDGET, MOST_BUDGET, MOST_COLUMNS, MOST_OPTIONS, MOST_STEPS, Ask
from core.datasets import EXPORTS
from core.services import Services
from core.values import Forecast as StoredForecast
from core.values import JobState, Session
from ui.api.contract import (
    CSV,
    PARQUET,
    PRIVATE,
    Answer,
    Body,
    By,
    ForecastsRead,
    ForecastsWrite,
    Limit,
    Offset,
    Text,
    download,
    files,
    problems,
    router,
)
from ui.api.models import Rows, plain, rows_of
from ui.components.formats import local

MOST_NAMED = 3  # models that the name of a file names
LONGEST = 60  # characters of a name within another
Form = Literal['csv', 'parquet']
Model = Literal[*MODELS]  # type: ignore[valid-type]
Step = Literal['h', 'D', 'W-MON', 'MS', 'QS', 'YS']
Aggregate = Literal['mean', 'sum', 'min', 'max', 'last']
assert get_args(Step) == tuple(STEPS)
assert get_args(Aggregate) == tuple(AGGREGATES)

Along = Literal['horizon', 'series']
Value = bool | int | Annotated[float, Field(allow_inf_nan=False)] | Annotated[Text, Field(max_length=200)] | None
Options = Annotated[dict[Text, Value], Field(max_length=MOST_OPTIONS)]


class Change(Body):
    """How a regressor differs on the horizon: times `value`, plus `value`, or `value` itself."""

    how: Literal['scale', 'shift', 'set']
    value: Annotated[float, Field(allow_inf_nan=False)]


Changes = Annotated[dict[Text, Change], Field(max_length=MOST_COLUMNS)]


class ForecastRequest(Body):
    """What to forecast: `h` steps of the measure `target`, for the named series or for all."""

    dataset_id: Annotated[UUID, Strict(False)]
    version: Annotated[int, Field(ge=1, le=2**31 - 1, description='The version in use if null.')] | None = None
    target: Text
    h: Annotated[int, Field(ge=1, le=MOST_STEPS)]
    series: Annotated[list[Text], Field(max_length=10_000, description='Labels; empty means all.')] = []
    models: Annotated[list[Model], Field(min_length=1, max_length=len(MODELS))] = ['auto']
    levels: Annotated[
        list[Annotated[int, Field(ge=1, le=99)]],
        Field(min_length=1, max_length=10, description='Bands in percent.'),
    ] = [80, 95]
    step: Annotated[Step | None, Field(description='Fold into calendar steps first; null: as sampled.')] = None
    aggregate: Annotated[Aggregate, Field(description='How values are folded into a step.')] = 'mean'
    name: Annotated[Text, Field(max_length=255)] = ''
    regressors: Annotated[
        list[Text],
        Field(max_length=MOST_COLUMNS, description='Measures whose rows go on after the last value of the target.'),
    ] = []
    static: Annotated[list[Text], Field(max_length=MOST_COLUMNS, description='Columns of categories.')] = []
    holidays: Annotated[
        str | None, Field(pattern='^[A-Z]{2}$', description='A country (ISO 3166) whose holidays matter.')
    ] = None
    options: Annotated[
        dict[Text, Options], Field(max_length=len(MODELS), description='Settings of a model, by its name.')
    ] = {}
    budget: Annotated[
        float | None,
        Field(ge=LEAST_BUDGET, le=MOST_BUDGET, allow_inf_nan=False, description='Seconds that `auto` may take.'),
    ] = None
    windows: Annotated[
        int | None,
        Field(
            ge=3, le=10, description='Past cutoffs to measure models from; null: as many as a verdict on bands takes.'
        ),
    ] = None
    changes: Annotated[Changes, Field(description='How regressors differ on the horizon.')] = {}

    def ask(self) -> Ask:
        """The core's form of it."""
        return Ask(
            target=self.target,
            h=self.h,
            series=tuple(self.series),
            models=tuple(self.models),
            levels=tuple(self.levels),
            step=self.step,
            aggregate=self.aggregate,
            name=self.name,
            regressors=tuple(self.regressors),
            static=tuple(self.static),
            holidays=self.holidays,
            options=self.options,
            budget=self.budget,
            windows=self.windows,
            changes=_plain_changes(self.changes),
        )


class WhatIf(Body):
    """The same forecast, with other values of its regressors on the horizon."""

    changes: Annotated[Changes, Field(min_length=1)]


class Asked(Answer):
    """What was asked for. `adapted` are levels that bands are drawn at in the place of those promised, by model."""

    target: str
    h: int
    series: list[str]
    models: list[str]
    levels: list[int]
    step: str | None
    aggregate: str
    regressors: list[str] = []
    static: list[str] = []
    holidays: str | None = None
    options: dict[str, dict[str, Any]] = {}
    budget: float | None = None
    windows: int | None = None
    changes: dict[str, dict[str, Any]] = {}
    base: UUID | None = None
    adapted: dict[str, dict[str, float]] = {}


class ModelOutcome(Answer):
    """What came of one model: how many series ended in which way, and what to know.

    `weights` are the shares of the members of `auto`.
    """

    name: str
    rows: int
    cutoff: str | None
    series: dict[str, int]
    warnings: list[str]
    weights: dict[str, float] | None = None
    seconds: float | None = None


class Score(Answer):
    """How a model did on the recent past; null is a figure that cannot be measured.

    By level, `coverage` is the share of points that a band held and `width` how wide it is, in units of the MASE scale.
    """

    model: str
    mase: float | None
    rmsse: float | None = None
    smape: float | None
    sql: float | None
    wql: float | None
    coverage: dict[str, float | None]
    width: dict[str, float | None] = {}
    points: int
    n_series: int
    n_windows: int
    seconds: float | None = None


class Place(Score):
    """A line of a leaderboard, of a step ahead or of a series when it is by one of them."""

    horizon: int | None = None
    unique_id: str | None = None


class Leaderboard(Answer):
    """Scores of models on the recent past."""

    items: list[Place]


class Outcome(Answer):
    """What came of a forecast; `series` are the first 1,000 labels of `n_series`."""

    models: list[ModelOutcome]
    scores: list[Score]
    series: list[str]
    n_series: int | None = None


class Forecast(Answer):
    """A forecast that was asked for; `result` is null until it is issued."""

    id: UUID
    dataset_id: UUID
    dataset_name: str
    version: int
    name: str
    state: JobState
    job_id: UUID | None
    request: Asked
    result: Outcome | None
    created_at: datetime
    issued_at: datetime | None


class ForecastSummary(Answer):
    """A forecast in a list."""

    id: UUID
    dataset_id: UUID
    dataset_name: str
    version: int
    name: str
    state: JobState
    job_id: UUID | None
    created_at: datetime
    issued_at: datetime | None


class Forecasts(Answer):
    """Forecasts, the newest first; `total` counts all that were asked for, on this page or not."""

    items: list[ForecastSummary]
    total: int


class DeletedForecast(Answer):
    """A deleted forecast of the dataset named `of`: it can be brought back `until` then, and goes on counting in the
    track record also after that if it was issued. `by` is the API key that acted, if any.
    """

    id: UUID
    name: str
    of: str
    deleted_at: datetime
    until: datetime
    by: str


class DeletedForecasts(Answer):
    """Forecasts that can be brought back, the latest deletion first; `total` counts all of them."""

    items: list[DeletedForecast]
    total: int


class Actuals(Answer):
    """The last values before the forecast, null where there is none or a gap; times in milliseconds since 1970 UTC."""

    t: list[float]
    y: list[float | None]


class ModelChart(Answer):
    """One model's forecast of a series; `q` holds quantiles, such as `0.1`, null where the model failed."""

    name: str
    model_used: str | None
    status: str | None
    warning: str
    t: list[float]
    mean: list[float | None]
    q: dict[str, list[float | None]]


class Note(Answer):
    """Something odd about the history of a series, at `t` in milliseconds since 1970 UTC.

    Of an `anomaly`, `expected` lay between `low` and `high`, and `score` is −log10 of its probability; of a
    `changepoint`, `low` and `high` are the levels before and after it.
    """

    kind: Literal['anomaly', 'changepoint']
    t: float
    y: float | None
    expected: float | None
    low: float | None
    high: float | None
    score: float | None


class Notes(Answer):
    """What is odd about the history of a series, in order of time."""

    items: list[Note]


class Held(Answer):
    """How many of `points` with a band lie `inside` it."""

    inside: int
    points: int


class Came(Answer):
    """What a newer `version` knows of the steps that were forecast, up to the last one that came; null where none did.

    `held` tells by model and level, in percent, how many of the values its bands held.
    """

    version: int
    t: list[float]
    y: list[float | None]
    held: dict[str, dict[str, Held]]


class ForecastChart(Answer):
    """What a chart draws for one series; times in milliseconds since 1970 UTC.

    `measure` is what was forecast. `base` is the forecast that a what-if started from, by the models of both; else it
    is empty. `came` is null until a newer version brings values of the steps that were forecast.
    """

    series: str
    measure: str
    history: Actuals
    cutoff: float | None
    models: list[ModelChart]
    notes: list[Note]
    base: list[ModelChart]
    came: Came | None


class Explanation(Answer):
    """A part of what a forecast rests on: its `value` at each `t`, in milliseconds since 1970 UTC.

    A component over history and horizon or a contribution to each step ahead, both in units of the target; the
    attention that past steps got; or an importance: one value, without a time.
    """

    kind: Literal['component', 'contribution', 'importance', 'attention']
    name: str
    t: list[float | None]
    value: list[float | None]


class Explanations(Answer):
    """What one model's forecast of one series rests on; empty when it tells nothing."""

    items: list[Explanation]


class OfHorizon(Answer):
    """Residuals of a step ahead."""

    horizon: int
    bias: float
    spread: float
    points: int


class Histogram(Answer):
    """`counts[i]` residuals lie from `edges[i]` to `edges[i + 1]`."""

    edges: list[float]
    counts: list[int]


class Autocorrelation(Answer):
    """How much errors of neighbouring steps are alike, by their distance, with its 95% `limit`."""

    lag: list[int]
    value: list[float]
    limit: float | None


class Residual(Answer):
    """Residuals one by one, at most 2,000; times in milliseconds since 1970 UTC."""

    t: list[float]
    horizon: list[int]
    value: list[float]


class Residuals(Answer):
    """What the errors of a model's backtest look like, in units of each series' MASE scale."""

    points: int
    bias: float | None
    spread: float | None
    by_horizon: list[OfHorizon]
    histogram: Histogram
    autocorrelation: Autocorrelation
    shown: Residual


class SeriesOutcome(Answer):
    """A series and its forecast by `model`: the last values, the first medians, the ends of the widest band."""

    unique_id: str
    model: str
    status: str
    model_used: str | None
    warning: str
    flags: list[str]
    history: list[float | None]
    forecast: list[float | None]
    low: list[float | None]
    high: list[float | None]
    mase: float | None
    rmsse: float | None
    smape: float | None
    sql: float | None
    coverage: dict[str, float | None] | None
    points: int | None


class SeriesOutcomes(Answer):
    """Series `offset` … of `total`, in the order of their labels."""

    items: list[SeriesOutcome]
    offset: int
    total: int


class Issued(Answer):
    """A file of one model's forecast as it was issued: never changed. `sha256` is of its rows as stored.

    A model of many series has several, told apart by `part`. `code` is the state of the code that made it, `seed` what
    its random numbers began with; null where that was not kept yet.
    """

    id: UUID
    model: str
    part: int
    cutoff: datetime
    rows: int
    sha256: str
    issued_at: datetime
    code: str | None
    seed: int | None


class IssuedForecasts(Answer):
    """The ledger of a forecast."""

    items: list[Issued]


OfModel = Annotated[Text | None, Query(description='A model; the best on the past if none.')]
OfSeries = Annotated[Text | None, Query(description='A label; the first series if none.')]


def routes(services: Services) -> APIRouter:
    """The routes of forecasts."""
    api = router('forecasts')
    forecasts = services.forecasts

    @api.get('/forecasts', summary='List forecasts')
    async def list_forecasts(
        session: ForecastsRead,
        dataset: Annotated[UUID | None, Query(description='Of one dataset only.')] = None,
        query: Annotated[
            Text, Query(description='Part of a name, of the forecast or its dataset, whatever its case.')
        ] = '',
        offset: Offset = 0,
        limit: Limit = 500,
    ) -> Forecasts:
        user_id = session.user.id
        found = await forecasts.list(user_id, query=query, dataset_id=dataset, offset=offset, limit=limit)
        total = (await forecasts.count(user_id, query=query, dataset_id=dataset)).found
        return Forecasts(items=[ForecastSummary.model_validate(forecast) for forecast in found], total=total)

    @api.post(
        '/forecasts',
        status_code=202,
        summary='Ask for a forecast',
        description='Orders a job; follow it at `/jobs/{job_id}`.',
        responses=problems(402, 404, 409, 413, 415),
    )
    async def request_forecast(session: ForecastsWrite, wanted: ForecastRequest) -> Forecast:
        version = await services.datasets.version(session.user.id, wanted.dataset_id, wanted.version)
        return _told(await forecasts.request(session.user.id, version, wanted.ask()))

    @api.get('/forecasts/deleted', summary='Forecasts that can be brought back')
    async def list_deleted_forecasts(
        session: ForecastsRead, offset: Offset = 0, limit: Limit = 500
    ) -> DeletedForecasts:
        found = await forecasts.deleted(session.user.id, offset=offset, limit=limit)
        total = (await forecasts.count(session.user.id)).deleted
        return DeletedForecasts(items=[DeletedForecast.model_validate(one) for one in found], total=total)

    @api.get('/forecasts/{forecast_id}', summary='One forecast', responses=problems(404))
    async def get_forecast(session: ForecastsRead, forecast_id: UUID) -> Forecast:
        return _told(await forecasts.get(session.user.id, forecast_id))

    @api.delete(
        '/forecasts/{forecast_id}',
        status_code=204,
        summary='Delete a forecast',
        description='It can be brought back for 30 days. What was issued goes on counting in the track record, also '
        'after that; a forecast that was never issued is removed for good then.',
        responses=problems(404, 409),
    )
    async def delete_forecast(session: ForecastsWrite, forecast_id: UUID, by: By) -> None:
        await forecasts.delete(session.user.id, forecast_id, by=by)

    @api.post('/forecasts/{forecast_id}/undelete', summary='Bring a deleted forecast back', responses=problems(404))
    async def undelete_forecast(session: ForecastsWrite, forecast_id: UUID, by: By) -> Forecast:
        await forecasts.undelete(session.user.id, forecast_id, by=by)
        return _told(await forecasts.get(session.user.id, forecast_id))

    @api.get('/forecasts/{forecast_id}/issued', summary='What was issued', responses=problems(404))
    async def list_issued(session: ForecastsRead, forecast_id: UUID) -> IssuedForecasts:
        await forecasts.get(session.user.id, forecast_id)
        found = await forecasts.issued(session.user.id, forecast_id)
        return IssuedForecasts(items=[Issued.model_validate(row) for row in found])

    @api.get(
        '/forecasts/{forecast_id}/chart',
        summary='What a chart draws for one series',
        responses={200: {'model': ForecastChart, 'description': 'The figure.'}, **problems(404)},
        response_class=JSONResponse,
        response_model=None,
    )
    async def get_forecast_chart(
        session: ForecastsRead,
        forecast_id: UUID,
        series: OfSeries = None,
    ) -> Response:
        figure = await forecasts.chart(session.user.id, forecast_id, series=series)
        return JSONResponse(plain(figure), headers=PRIVATE)

    @api.get('/forecasts/{forecast_id}/rows', summary='Rows as JSON', responses=problems(404))
    async def list_forecast_rows(
        session: ForecastsRead, forecast_id: UUID, offset: Offset = 0, limit: Limit = 100
    ) -> Rows:
        page = await forecasts.rows(session.user.id, forecast_id, offset=offset, limit=limit)
        return rows_of(replace(page, columns=tuple(map(called, page.columns))))

    @api.get(
        '/forecasts/{forecast_id}/rows.{form}',
        summary='Rows as a file',
        response_class=Response,
        responses=files(CSV, PARQUET) | problems(404),
    )
    async def export_forecast_rows(session: ForecastsRead, forecast_id: UUID, form: Form) -> Response:
        return await _exported(session, forecast_id, form, forecasts.export, 'rows')

    @api.get(
        '/forecasts/{forecast_id}/leaderboard',
        summary='How the models did on the past',
        description='The best come first, by MASE: in all, of each step ahead or of each series.',
        responses=problems(404),
    )
    async def get_leaderboard(
        session: ForecastsRead,
        forecast_id: UUID,
        by: Annotated[Along | None, Query(description='A line for each step ahead or each series.')] = None,
        model: Annotated[Text | None, Query(description='Of one model only.')] = None,
    ) -> Leaderboard:
        found = await forecasts.leaderboard(session.user.id, forecast_id, by=by, model=model)
        return Leaderboard.model_validate({'items': plain(sorted(found, key=_place))})

    @api.get(
        '/forecasts/{forecast_id}/backtest.{form}',
        summary='Backtest rows as a file',
        description='What each model would have forecast from past cutoffs, beside what came.',
        response_class=Response,
        responses=files(CSV, PARQUET) | problems(404),
    )
    async def export_backtest(session: ForecastsRead, forecast_id: UUID, form: Form) -> Response:
        return await _exported(session, forecast_id, form, forecasts.export_backtest, 'backtest')

    @api.get('/forecasts/{forecast_id}/series', summary='Find series', responses=problems(404))
    async def list_forecast_series(
        session: ForecastsRead,
        forecast_id: UUID,
        search: Annotated[Text, Query(description='A part of the label.')] = '',
        offset: Offset = 0,
        limit: Annotated[int, Query(ge=1, le=200, description='How many at most.')] = 50,
    ) -> SeriesOutcomes:
        found = await forecasts.series_page(session.user.id, forecast_id, search=search, offset=offset, limit=limit)
        return SeriesOutcomes.model_validate(plain(found))

    @api.get('/forecasts/{forecast_id}/residuals', summary='Errors of the backtest', responses=problems(404))
    async def get_residuals(
        session: ForecastsRead,
        forecast_id: UUID,
        model: OfModel = None,
        series: Annotated[Text | None, Query(description='A label; all series if none.')] = None,
    ) -> Residuals:
        found = await forecasts.residuals(session.user.id, forecast_id, model=model, series=series)
        return Residuals.model_validate(plain(found))

    @api.get('/forecasts/{forecast_id}/explained', summary='What a forecast rests on', responses=problems(404))
    async def get_explained(
        session: ForecastsRead, forecast_id: UUID, model: OfModel = None, series: OfSeries = None
    ) -> Explanations:
        found = await forecasts.explained(session.user.id, forecast_id, model=model, series=series)
        return Explanations.model_validate({'items': plain(found)})

    @api.get('/forecasts/{forecast_id}/notes', summary='Anomalies and changepoints', responses=problems(404))
    async def get_notes(session: ForecastsRead, forecast_id: UUID, series: OfSeries = None) -> Notes:
        found = await forecasts.notes(session.user.id, forecast_id, series=series)
        return Notes.model_validate({'items': plain(found)})

    @api.post(
        '/forecasts/{forecast_id}/what-if',
        status_code=202,
        summary='Ask again, with other regressors',
        description='Orders a job for the same version and models; follow it at `/jobs/{job_id}`.',
        responses=problems(402, 404, 409, 413, 415),
    )
    async def ask_what_if(session: ForecastsWrite, forecast_id: UUID, wanted: WhatIf) -> Forecast:
        return _told(await forecasts.what_if(session.user.id, forecast_id, _plain_changes(wanted.changes)))

    async def _exported(
        session: Session, forecast_id: UUID, form: Form, export: Callable[..., Awaitable[None]], what: str
    ) -> Response:
        forecast = await forecasts.get(session.user.id, forecast_id)
        folder = TemporaryDirectory(prefix='variosync-export-')
        out = Path(folder.name) / f'export.{form}'
        await export(session.user.id, forecast_id, out)
        zone = await forecasts.zone(session.user.id, forecast_id)
        return download(folder, out, EXPORTS[form], f'{file_name(forecast, what, zone=zone)}.{form}')

    return api


def file_name(forecast: StoredForecast, what: str, *, zone: str = '') -> str:
    """What a file of a forecast is called, without its suffix: its dataset, its name, its models and its cutoff.

    The day of the cutoff is that of the clock of `zone`; where series end on several days, the first and the last.
    """
    models = [model for model in (forecast.result or {}).get('models', ()) if model['rows']]
    names = ' '.join(model['name'] for model in models) if len(models) <= MOST_NAMED else f'{len(models)} models'
    told = [model.get(name) for model in models for name in ('first_cutoff', 'cutoff')]
    days = sorted({at.date() for stamp in told if (at := local(stamp, zone))})
    cutoff = f'cutoff {" to ".join(str(day) for day in dict.fromkeys((days[0], days[-1])))}' if days else ''
    of = (name[:LONGEST].replace(',', '').strip() for name in (forecast.dataset_name, forecast.name))
    called = [*of, names, cutoff]
    return ' '.join(part for part in [*called, '' if what == 'rows' else what] if part)


def _place(score: Mapping[str, Any]) -> tuple[int, str, float]:
    """Where a score stands in a leaderboard: what was not measured comes last."""
    mase = score['mase']
    return score.get('horizon') or 0, score.get('unique_id') or '', inf if mase is None or mase != mase else mase


def _plain_changes(changes: Mapping[str, Change]) -> dict[str, dict[str, Any]]:
    return {name: change.model_dump() for name, change in changes.items()}


def _told(forecast: StoredForecast) -> Forecast:
    return Forecast.model_validate(forecast)
