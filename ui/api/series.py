"""REST for points: a window of a version's series, in the form that Accept prefers."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from core.analysis.series import MAX_LINES, MAX_WIDTH, Points, Window, arrow, decode, plain
from core.errors import UsageError
from core.services import Services
from ui.api.contract import (
    ARROW,
    BINARY,
    CSV,
    PRIVATE,
    Answer,
    DatasetId,
    DatasetsRead,
    Number,
    Text,
    attachment,
    csv_text,
    entity_tag,
    files,
    negotiate,
    problems,
    router,
    unchanged,
)

JSON = 'application/json'
FORMS = (BINARY, JSON, CSV, ARROW)


class Line(Answer):
    """One series of one measure. Times `t` are milliseconds since 1970 UTC; null in `y` interrupts the line.

    With `lo` and `hi`, `y` holds the means of pixels; without them it holds the values themselves.
    """

    name: str
    series: str
    measure: str
    t: list[float]
    y: list[float | None]
    lo: list[float | None] | None
    hi: list[float | None] | None


class Series(Answer):
    """The points of a window; times in milliseconds since 1970 UTC. `rows_behind` values are what they stand for."""

    start: float
    end: float
    width: int
    exact: bool
    rows_behind: int
    points_per_pixel: float
    span: tuple[float, float] | None
    gaps: list[tuple[float, float]]
    lines: list[Line]


def routes(services: Services) -> APIRouter:
    """The route of points."""
    api = router('datasets')
    answers: dict[int | str, dict[str, Any]] = files(BINARY, CSV, ARROW, description='The points.')
    answers[200]['model'] = Series
    answers[200]['headers'] = {'ETag': {'schema': {'type': 'string'}}}
    answers[304] = {'description': 'You hold these points already.'}

    @api.get(
        '/datasets/{dataset_id}/versions/{number}/series',
        summary='Points of a window',
        description='A window that holds few values is answered by the values; otherwise by one mean, minimum and '
        'maximum a pixel. Choose the form by Accept; without one it is the binary form that charts read.',
        response_class=Response,
        responses=answers | problems(404, 406),
    )
    async def get_series(
        request: Request,
        session: DatasetsRead,
        dataset_id: DatasetId,
        number: Number,
        measure: Annotated[list[Text] | None, Query(max_length=MAX_LINES, description='The first one if none.')] = None,
        series: Annotated[list[Text] | None, Query(max_length=MAX_LINES, description='Labels of series.')] = None,
        start: Annotated[Text | None, Query(alias='from', description='Milliseconds since 1970, or ISO 8601.')] = None,
        end: Annotated[Text | None, Query(alias='to', description='Milliseconds since 1970, or ISO 8601.')] = None,
        width: Annotated[int, Query(ge=1, le=MAX_WIDTH, description='Pixels.')] = 1000,
        form: Annotated[
            Text | None, Query(alias='format', description='`csv` asks for CSV whatever Accept says.')
        ] = None,
    ) -> Response:
        user_id = session.user.id
        version = await services.datasets.version(user_id, dataset_id, number)
        kind = CSV if form == 'csv' else negotiate(request.headers.get('accept', ''), FORMS)
        tag = entity_tag(version.id, request.url.query, kind)
        headers = PRIVATE | {'ETag': tag, 'Vary': 'Accept'}
        if unchanged(request, tag):
            return Response(status_code=304, headers=headers)
        measures = version.manifest['measures']
        window = Window(
            measures=_known(measure, measures),
            series=tuple(series or ('',)),
            start=time_of(start),
            end=time_of(end),
            width=width,
        )
        points = await services.datasets.series(user_id, version, window)
        if kind == CSV:
            name = f'{(await services.datasets.get(user_id, dataset_id)).name} v{number} view.csv'
            return attachment(await asyncio.to_thread(_csv, decode(points)), f'{CSV}; charset=utf-8', name, headers)
        if kind == JSON:
            return JSONResponse(await asyncio.to_thread(lambda: plain(decode(points))), headers=headers)
        if kind == ARROW:
            points = await asyncio.to_thread(lambda: arrow(decode(points)))
        return Response(points, media_type=kind, headers=headers)

    return api


def _known(chosen: Sequence[str] | None, measures: Sequence[str]) -> tuple[str, ...]:
    if unknown := [name for name in chosen or () if name not in measures]:
        raise UsageError(f'"{unknown[0]}" is no measure of this dataset.', place='query.measure')
    return tuple(chosen or measures[:1])


def time_of(text: str | None) -> datetime | None:
    """Return a time given in epoch milliseconds or ISO 8601 (UTC unless it says otherwise)."""
    if not text:
        return None
    try:
        if text.lstrip('-').replace('.', '', 1).isdigit():
            return datetime.fromtimestamp(float(text) / 1000, UTC)
        stamp = datetime.fromisoformat(text)
        return stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f'"{text[:40]}" is no time. Send epoch milliseconds or ISO 8601.') from error


def _csv(points: Points) -> bytes:
    return csv_text(_rows(points))


def _rows(points: Points) -> Iterator[Sequence[object]]:
    yield 'time', 'series', 'measure', 'value', 'min', 'max'
    for line in points.lines:
        low = line.y if line.lo is None else line.lo
        high = line.y if line.hi is None else line.hi
        for t, y, lo, hi in zip(line.t, line.y, low, high, strict=True):
            if y == y:
                yield datetime.fromtimestamp(t / 1000, UTC), line.series, line.measure, y, lo, hi
