"""REST for the track record: how issued forecasts did on what came after them."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query

from core.analysis.forecasting.registry import MODELS
from core.errors import NotFound
from core.services import Services
from ui.api.contract import Answer, ForecastsRead, Text, problems, router


class Figures(Answer):
    """How issued forecasts did; null is a figure that cannot be measured, `model` null is all of them.

    `first` and `last` are steps ahead, null for the whole horizon. `coverage` is the share that a band held, `width`
    its mean width in MASE scales, each by its level in percent.
    """

    model: str | None
    first: int | None
    last: int | None
    forecasts: int
    points: int
    mase: float | None
    rmsse: float | None
    smape: float | None
    sql: float | None
    coverage: dict[str, float]
    width: dict[str, float]


class Track(Answer):
    """What became of issued forecasts: `overall` is null as long as none of their values has come.

    `issued` is how many forecasts there are, scored or not, without what-ifs; `waiting` is how many of them count
    later, as none of their values has come.
    """

    issued: int
    waiting: int
    overall: Figures | None
    items: list[Figures]


class Scoring(Answer):
    """One time that a model of a forecast was scored, on a version; `problem` says why it could not be."""

    model: str
    version: int
    points: int
    scored_at: datetime
    problem: str | None


class ForecastTrack(Answer):
    """What became of one forecast: by model, and by model and steps ahead; the newest scoring comes first."""

    models: list[Figures]
    horizons: list[Figures]
    scorings: list[Scoring]


def routes(services: Services) -> APIRouter:
    """The routes of the track record."""
    api = router('forecasts')

    @api.get('/track', summary='How issued forecasts did, by model or by steps ahead', responses=problems(404))
    async def get_track(
        session: ForecastsRead,
        dataset: Annotated[UUID | None, Query(description='Of one dataset only.')] = None,
        model: Annotated[Text | None, Query(description='Of one model only.')] = None,
        by: Literal['model', 'horizon'] = 'model',
    ) -> Track:
        found = await services.track.track(session.user.id, dataset_id=dataset, model=model)
        if model is not None and model not in MODELS and not found.issued:
            raise NotFound(f'There is no model "{model}". Models are {", ".join(MODELS)}.')
        rows = found.models if by == 'model' else found.horizons
        _, waiting = await services.track.waiting(session.user.id, dataset_id=dataset, model=model, limit=1)
        overall = found.overall and Figures.model_validate(found.overall)
        items = [Figures.model_validate(row) for row in rows]
        return Track(issued=found.issued, waiting=waiting, overall=overall, items=items)

    @api.get('/forecasts/{forecast_id}/track', summary='What became of a forecast', responses=problems(404))
    async def get_forecast_track(session: ForecastsRead, forecast_id: UUID) -> ForecastTrack:
        found, scorings = await services.track.of_forecast(session.user.id, forecast_id)
        return ForecastTrack(
            models=[Figures.model_validate(row) for row in found.models],
            horizons=[Figures.model_validate(row) for row in found.parts],
            scorings=[Scoring.model_validate(row) for row in scorings],
        )

    return api
