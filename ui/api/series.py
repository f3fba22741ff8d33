"""REST for points: a window of a version's series, in the form that Accept prefers."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Query as InQuery
from starlette.requests import Request
from starlette.responses import Response

from core.analysis.query import Query, decode
from core.analysis.query.request import MOST_WIDTH
from core.analysis.series import Points, arrow, encode, plain, points
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
MOST_LINES = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
        'maximum a pixel. Choose the form by Accept; without one it is binary: the letters `VSP1`, the length of a '
        'header (4 bytes, little-endian), the header as JSON, then 64-bit floats: of each line all `t`, all `y` and, '
        'where it has an envelope, all `lo` and all `hi`. Panels ask `…/query`.',
        response_class=Response,
        responses=answers | problems(404, 406, 413),
    )
    async def get_series(
        request: Request,
        session: DatasetsRead,
        dataset_id: DatasetId,
        number: Number,
        measure: Annotated[
            list[Text] | None, InQuery(max_length=MOST_LINES, description='The first one if none.')
        ] = None,
        series: Annotated[
            list[Text] | None, InQuery(max_length=MOST_LINES, description='Labels of series; the first ones if none.')
        ] = None,
        start: Annotated[
            Text | None, InQuery(alias='from', description='Milliseconds since 1970, or ISO 8601.')
        ] = None,
        end: Annotated[Text | None, InQuery(alias='to', description='Milliseconds since 1970, or ISO 8601.')] = None,
        width: Annotated[int, InQuery(ge=1, le=MOST_WIDTH, description='Pixels.')] = 1000,
        form: Annotated[
            Text | None, InQuery(alias='format', description='`csv` asks for CSV whatever Accept says.')
        ] = None,
    ) -> Response:
        user_id = session.user.id
        version = await services.datasets.version(user_id, dataset_id, number)
        kind = CSV if form == 'csv' else negotiate(request.headers.get('accept', ''), FORMS)
        tag = entity_tag(version.id, request.url.query, kind)
        headers = PRIVATE | {'ETag': tag, 'Vary': 'Accept'}
        if unchanged(request, tag):
            return Response(status_code=304, headers=headers)
        measures = _known(measure, version.manifest['measures'])
        first = version.manifest['series']['first'][: max(1, MOST_LINES // max(1, len(measures)))]
        query = Query(
            kind='envelope',
            measures=measures,
            series=tuple(series or first),
            start=micros(time_of(start)),
            end=micros(time_of(end)),
            width=width,
        )
        found = await services.charts.answer(user_id, version, query)
        made: dict[str, Callable[[Points], bytes]] = {BINARY: encode, JSON: _json, CSV: _csv, ARROW: arrow}
        # It takes as long as the answer is great: nobody else waits for it.
        body = await asyncio.to_thread(lambda: made[kind](points(decode(found))))
        if kind == CSV:
            name = f'{(await services.datasets.get(user_id, dataset_id)).name} v{number} view.csv'
            return attachment(body, f'{CSV}; charset=utf-8', name, headers)
        return Response(body, media_type=kind, headers=headers)

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


def micros(moment: datetime | None) -> int | None:
    """Return a moment as µs since 1970 UTC."""
    return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)


def _json(found: Points) -> bytes:
    return json.dumps(plain(found), ensure_ascii=False, allow_nan=False, separators=(',', ':')).encode()


def _csv(found: Points) -> bytes:
    return csv_text(_rows(found))


def _rows(found: Points) -> Iterator[Sequence[object]]:
    yield 'time', 'series', 'measure', 'value', 'min', 'max'
    for line in found.lines:
        low = line.y if line.lo is None else line.lo
        high = line.y if line.hi is None else line.hi
        for t, y, lo, hi in zip(line.t, line.y, low, high, strict=True):
            if y == y:
                yield datetime.fromtimestamp(t / 1000, UTC), line.series, line.measure, y, lo, hi
