"""REST for forecasts: ask, list, draw, read and export."""

from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field, Strict
from starlette.responses import JSONResponse, Response

from core.analysis.forecasting.registry import MODELS
from core.analysis.panel import AGGREGATES, STEPS
from core.datasets import EXPORTS
from core.forecasts import MOST_STEPS, Ask
from core.services import Services
from core.values import Forecast as StoredForecast
from core.values import JobState
from ui.api.contract import (
    CSV,
    PARQUET,
    PRIVATE,
    Answer,
    Body,
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

Form = Literal['csv', 'parquet']
Model = Literal[*MODELS]
Step = Literal['h', 'D', 'W-MON', 'MS', 'QS', 'YS']
Aggregate = Literal['mean', 'sum', 'min', 'max', 'last']
assert (*Step.__args__,) == tuple(STEPS)
assert (*Aggregate.__args__,) == tuple(AGGREGATES)


class ForecastRequest(Body):
    """What to forecast: `h` steps of the measure `target`, for the named series or for all."""

    dataset_id: Annotated[UUID, Strict(False)]
    version: Annotated[int, Field(ge=1, le=2**31 - 1, description='The shown version if null.')] | None = None
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
        )


class Asked(Answer):
    """What was asked for."""

    target: str
    h: int
    series: list[str]
    models: list[str]
    levels: list[int]
    step: str | None
    aggregate: str


class ModelOutcome(Answer):
    """What came of one model: how many series ended in which way, and what to know."""

    name: str
    rows: int
    cutoff: str | None
    series: dict[str, int]
    warnings: list[str]


class Score(Answer):
    """How a model did on the recent past; null is a figure that cannot be measured. `coverage` is a share by level."""

    model: str
    mase: float | None
    smape: float | None
    sql: float | None
    wql: float | None
    coverage: dict[str, float | None]
    points: int
    n_series: int
    n_windows: int


class Outcome(Answer):
    """What came of a forecast; `series` are the first 1,000 labels."""

    models: list[ModelOutcome]
    scores: list[Score]
    series: list[str]


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
    """Forecasts, the newest first; at most 500."""

    items: list[ForecastSummary]


class Actuals(Answer):
    """The last values before the forecast; times in milliseconds since 1970 UTC."""

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


class ForecastChart(Answer):
    """What a chart draws for one series; times in milliseconds since 1970 UTC."""

    series: str
    history: Actuals
    cutoff: float | None
    models: list[ModelChart]


class Issued(Answer):
    """A file of one model's forecast as it was issued: never changed. `sha256` is of its rows as stored.

    `code` is the state of the code that made it, `seed` what its random numbers began with; null where that was not
    kept yet.
    """

    id: UUID
    model: str
    cutoff: datetime
    rows: int
    sha256: str
    issued_at: datetime
    code: str | None
    seed: int | None


class IssuedForecasts(Answer):
    """The ledger of a forecast, one row a model."""

    items: list[Issued]


def routes(services: Services) -> APIRouter:
    """The routes of forecasts."""
    api = router('forecasts')
    forecasts = services.forecasts

    @api.get('/forecasts', summary='List forecasts')
    async def list_forecasts(
        session: ForecastsRead, dataset: Annotated[UUID | None, Query(description='Of one dataset only.')] = None
    ) -> Forecasts:
        found = await forecasts.list(session.user.id, dataset_id=dataset)
        return Forecasts(items=[ForecastSummary.model_validate(forecast) for forecast in found])

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

    @api.get('/forecasts/{forecast_id}', summary='One forecast', responses=problems(404))
    async def get_forecast(session: ForecastsRead, forecast_id: UUID) -> Forecast:
        return _told(await forecasts.get(session.user.id, forecast_id))

    @api.get('/forecasts/{forecast_id}/issued', summary='What was issued', responses=problems(404))
    async def list_issued(session: ForecastsRead, forecast_id: UUID) -> IssuedForecasts:
        await forecasts.get(session.user.id, forecast_id)
        found = await forecasts.issued(session.user.id, forecast_id)
        return IssuedForecasts(items=[Issued.model_validate(row) for row in found])

    @api.get(
        '/forecasts/{forecast_id}/chart',
        summary='What a chart draws for one series',
        responses={200: {'model': ForecastChart, 'description': 'The figure.'}} | problems(404),
        response_class=JSONResponse,
        response_model=None,
    )
    async def get_forecast_chart(
        session: ForecastsRead,
        forecast_id: UUID,
        series: Annotated[Text | None, Query(description='A label; the first series if none.')] = None,
    ) -> Response:
        figure = await forecasts.chart(session.user.id, forecast_id, series=series)
        return JSONResponse(plain(figure), headers=PRIVATE)

    @api.get('/forecasts/{forecast_id}/rows', summary='Rows as JSON', responses=problems(404))
    async def list_forecast_rows(
        session: ForecastsRead, forecast_id: UUID, offset: Offset = 0, limit: Limit = 100
    ) -> Rows:
        return rows_of(await forecasts.rows(session.user.id, forecast_id, offset=offset, limit=limit))

    @api.get(
        '/forecasts/{forecast_id}/rows.{form}',
        summary='Rows as a file',
        response_class=Response,
        responses=files(CSV, PARQUET) | problems(404),
    )
    async def export_forecast_rows(session: ForecastsRead, forecast_id: UUID, form: Form) -> Response:
        forecast = await forecasts.get(session.user.id, forecast_id)
        folder = TemporaryDirectory(prefix='variosync-export-')
        out = Path(folder.name) / f'export.{form}'
        await forecasts.export(session.user.id, forecast_id, out)
        return download(folder, out, EXPORTS[form], f'{forecast.name}.{form}')

    return api


def _told(forecast: StoredForecast) -> Forecast:
    return Forecast.model_validate(forecast)
