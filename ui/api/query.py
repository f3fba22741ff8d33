"""REST for what panels draw: lines, buckets, candles, distributions of a version, in the form that Accept prefers."""

import asyncio
import gzip
import json
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi import Query as InQuery
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from core.analysis.query import Query, decode, plain
from core.analysis.query.files import clocked, columns, rows, write_parquet
from core.analysis.query.request import MOST_LINES, MOST_MEASURES, MOST_WIDTH, known_zone
from core.services import Services
from core.values import Version
from ui.api.contract import (
    BINARY,
    CSV,
    LONGEST_NAME,
    PARQUET,
    PRIVATE,
    Answer,
    DatasetId,
    DatasetsRead,
    Number,
    Text,
    csv_text,
    disposition,
    entity_tag,
    files,
    negotiate,
    problems,
    router,
    unchanged,
    within,
)
from ui.api.series import micros, time_of

JSON = 'application/json'
FORMS = (BINARY, JSON, CSV, PARQUET)
LEFT = 499  # nobody reads it; logs tell it from an answer
WORTH_PACKING = 1000  # bytes
SQUEEZE = 4  # as the rest of the site is packed
# An answer of a version never changes: a browser may show it again for a while without asking. Another sign-in there
# has another cookie, and asks.
KEPT = {'Cache-Control': 'private, max-age=300'}
VARY = 'Accept, Accept-Encoding, Authorization, Cookie'


class Asked(BaseModel):
    """A question as an address holds it."""

    kind: Text = Field('line', description='line, envelope, buckets, ohlc, histogram, box, hours, top or marks.')
    measures: list[Text] | None = Field(None, max_length=MOST_MEASURES, description='The first if none.')
    series: list[Text] | None = Field(None, max_length=MOST_LINES, description='Labels; all if none.')
    start: Text | None = Field(None, alias='from', description='Milliseconds since 1970, or ISO 8601.')
    end: Text | None = Field(None, alias='to', description='Milliseconds since 1970, or ISO 8601.')
    width: int = Field(1000, ge=1, le=MOST_WIDTH, description='Pixels.')
    every: Text = Field('', description='Buckets: an ISO 8601 duration or `auto`.')
    aggregation: Text = Field('mean', description='mean, sum, min, max, first, last, count or p0 to p100.')
    zone: Text = Field('', description="Whose days and months count: the dataset's if none; dates have none.")
    group: Text = Field('', description='A key column: one line for each of its values; `*`: one of all series.')
    across: Text = Field('sum', description='How series of a group become one: sum or mean.')
    top: int = Field(0, ge=0, le=MOST_LINES, description='Only the greatest so many.')
    by: Text = Field('sum', description='What makes them great: an aggregation over the range.')
    filters: list[Text] | None = Field(None, max_length=20, description='column~relation~value.')
    bins: int = Field(40, ge=1, le=1000, description='Of a histogram.')
    volume: Text = Field('', description='A measure that is summed beside candles.')
    overlays: list[Text] | None = Field(None, max_length=10, description='Such as bollinger~20~2.')
    compare: Text = Field('', description='How far back an earlier period lies: an ISO 8601 duration.')
    form: Literal['csv', 'parquet', 'json'] | None = Field(None, alias='format', description='Whatever Accept says.')
    name: Text = Field('', description='What a file is called, without its ending; else after what it holds.')

    def of(self, version: Version) -> Query:
        """The question to a version; raise UsageError where it is none."""
        ends = ('start', time_of(self.start)), ('end', time_of(self.end))
        zone = known_zone(self.zone or version.zone or 'UTC').key
        told: list[tuple[str, str]] = [
            *(('measures', name) for name in self.measures or version.manifest['measures'][:1]),
            *(('series', label) for label in self.series or ()),
            *(('filters', one) for one in self.filters or ()),
            *(('overlays', one) for one in self.overlays or ()),
            *((name, str(micros(at))) for name, at in ends if at),
            ('kind', self.kind), ('width', str(self.width)), ('every', self.every), ('aggregation', self.aggregation),
            ('zone', 'UTC' if version.dates else zone), ('group', self.group), ('across', self.across),
            ('top', str(self.top)), ('by', self.by), ('bins', str(self.bins)), ('volume', self.volume),
            ('compare', self.compare),
        ]  # fmt: skip
        return Query.parsed(told)


class Line(Answer):
    """One line: `columns` by name, all numbers; `t` and `until` are milliseconds since 1970 UTC, null is no value.

    `role` is `value`, the name of an indicator's line, or `before` for an earlier period; `of` names the line that it
    belongs to; `n` source values stand behind it.
    """

    name: str
    series: str
    measure: str
    role: str
    of: str
    n: int
    columns: dict[str, list[float | None]]


class Key(Answer):
    """A key column and what it holds, in order; the first thousand."""

    name: str
    labels: list[str]


class Keys(Answer):
    """The key columns of a version."""

    items: list[Key]


class Mark(Answer):
    """A fault or a repair among the points of a line; `t` is milliseconds since 1970 UTC, `y` what is stored there.

    `measure` is '' where it is of the whole record or of another column; `of` names the line. `line` is that of the
    file that the conversion `origin` read, '' for the version's own one. A rejected record stands beside the row whose
    line is nearest. `became` is what is stored of the cell's `value`, '' where that is nothing or not known.
    """

    t: float
    y: float | None
    series: str
    of: str
    measure: str
    line: int
    column: str
    kind: str
    action: str
    value: str
    reason: str
    origin: str
    became: str


class Found(Answer):
    """What a question found; times are milliseconds since 1970 UTC. `rows_behind` values stand behind what is drawn.

    `note` says in words what is only near, '' where nothing is. `gaps` are interruptions of all lines of an envelope
    together, `marks` at most 300 of `marked` faults and repairs.
    """

    kind: str
    start: float
    end: float
    width: int
    rows_behind: int
    points_per_pixel: float
    exact: bool
    span: tuple[float, float] | None
    lines: list[Line]
    note: str
    gaps: list[tuple[float, float]]
    marked: int
    marks: list[Mark]


def routes(services: Services) -> APIRouter:
    """The route of questions."""
    api = router('datasets')
    answers: dict[int | str, dict[str, Any]] = files(BINARY, CSV, PARQUET, description='What was found.')
    answers[200]['model'] = Found
    answers[200]['headers'] = {'ETag': {'schema': {'type': 'string'}}}
    answers[304] = {'description': 'You hold this answer already.'}

    @api.get('/datasets/{dataset_id}/versions/{number}/keys', summary='What its keys hold', responses=problems(404))
    async def list_series_keys(session: DatasetsRead, dataset_id: DatasetId, number: Number) -> Keys:
        version = await services.datasets.version(session.user.id, dataset_id, number)
        found = await services.charts.keys(session.user.id, version)
        return Keys(items=[Key(name=name, labels=list(labels)) for name, labels in found.items()])

    @api.get(
        '/datasets/{dataset_id}/versions/{number}/query',
        summary='Ask for lines, buckets, candles or distributions',
        description='What panels draw: see docs/dashboards.md. Choose the form by Accept or `format`; without either '
        'it is the binary form that panels read.',
        response_class=Response,
        responses=answers | problems(404, 406, 413),
    )
    async def query_version(
        request: Request,
        session: DatasetsRead,
        dataset_id: DatasetId,
        number: Number,
        asked: Annotated[Asked, InQuery()],
    ) -> Response:
        user_id = session.user.id
        version = await services.datasets.version(user_id, dataset_id, number)
        query = asked.of(version)
        wanted = {'csv': CSV, 'parquet': PARQUET, 'json': JSON}.get(asked.form or '') or negotiate(
            request.headers.get('accept', ''), FORMS
        )
        tag = entity_tag(version.id, query.key, wanted)
        headers = (KEPT if wanted == BINARY else PRIVATE) | {'ETag': tag, 'Vary': VARY}
        if unchanged(request, tag):
            return Response(status_code=304, headers=headers)
        found = await _unless_left(request, services.charts.answer(user_id, version, query))
        if found is None:
            return Response(status_code=LEFT)
        made: dict[str, Callable[[bytes], bytes]] = {
            JSON: _json,
            CSV: partial(_csv, zone=query.zone),
            PARQUET: _parquet,
        }
        if wanted in (CSV, PARQUET):
            ending = 'csv' if wanted == CSV else 'parquet'
            name = asked.name or _called((await services.datasets.get(user_id, dataset_id)).name, query, found)
            headers = headers | {'Content-Disposition': disposition(f'{name}.{ending}')}
        packed = 'gzip' in request.headers.get('accept-encoding', '')
        # Both take as long as the answer is great: nobody else waits for them.
        body, coded = await asyncio.to_thread(_sent, found, made.get(wanted), packed=packed)
        media_type = f'{CSV}; charset=utf-8' if wanted == CSV else wanted
        return Response(body, media_type=media_type, headers=headers | coded)

    return api


async def _unless_left(request: Request, seeking: Coroutine[Any, Any, bytes]) -> bytes | None:
    """What is sought, None once the reader has left: zooming on, a page lets go of what it asked for."""
    sought, left = asyncio.create_task(seeking), asyncio.create_task(_left(request))
    try:
        await asyncio.wait({sought, left}, return_when=asyncio.FIRST_COMPLETED)
        return sought.result() if sought.done() else None
    finally:
        sought.cancel()
        left.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())['type'] != 'http.disconnect':
        pass


def _called(dataset: str, query: Query, found: bytes) -> str:
    """What the file of an answer is called, as panels call it: its dataset, what it is of, from when to when."""
    answer, clock = decode(found), known_zone(query.zone)
    ends = ' to '.join(dict.fromkeys(clocked(ms, clock).date().isoformat() for ms in (answer.start, answer.end)))
    of = ', '.join([*query.measures, *(query.series if len(query.series) == 1 else ())])
    left = LONGEST_NAME - len(f', , {ends}.parquet')
    called = within(dataset, left // 2)
    return f'{called}, {within(of, left - len(called.encode()))}, {ends}'


def _sent(found: bytes, made: Callable[[bytes], bytes] | None, *, packed: bool) -> tuple[bytes, dict[str, str]]:
    """An answer in the form that was asked for, packed where that is worth it, with the headers that say so."""
    body = made(found) if made else found
    if not packed or len(body) < WORTH_PACKING:
        return body, {}
    return gzip.compress(body, SQUEEZE, mtime=0), {'Content-Encoding': 'gzip'}


def _json(found: bytes) -> bytes:
    return json.dumps(plain(decode(found)), ensure_ascii=False, allow_nan=False, separators=(',', ':')).encode()


def _csv(found: bytes, zone: str) -> bytes:
    answer = decode(found)
    return csv_text([columns(answer), *rows(answer, zone)])


def _parquet(found: bytes) -> bytes:
    with TemporaryDirectory() as folder:
        out = Path(folder) / 'answer.parquet'
        write_parquet(decode(found), out)
        return out.read_bytes()
