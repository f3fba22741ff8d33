"""What all routes of the REST interface share: who may ask, what they answer, and the values they take."""

import csv
import hashlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Security
from fastapi import Path as InPath
from fastapi.openapi.models import HTTPBearer
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Strict, StringConstraints
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive

from core.analysis.tables import FORMULA_STARTS
from core.values import Actor, Session
from ui.session import actor, live, signed_in

ROOT = '/api/v1'
MOST_BODY = 256 * 1024  # bytes of a JSON body
PIECE = 256 * 1024
LONGEST_NAME = 200  # bytes of a file's name, where file systems take 255 and browsers put a number behind
PRIVATE = {'Cache-Control': 'private, no-cache'}

PROBLEMS = {
    400: 'The request is not valid; `place` names the first wrong value.',
    401: 'There is no session, or it has ended.',
    402: 'The hours do not cover the quote; `shortfall`, `balance` and `quote` are in seconds.',
    403: 'The API key lacks the scope, or only a person may do this.',
    404: 'There is nothing under this id, or it is not yours.',
    406: 'None of the media types that Accept names can be sent.',
    409: 'The state forbids it, or somebody else was first.',
    413: 'It is larger than allowed.',
    415: 'The body has a media type that is not read here.',
    422: 'The data cannot be used for this.',
    429: 'A limit was reached; `Retry-After` says for how many seconds.',
    503: 'A service behind this one does not answer; try again.',
}


class Problem(BaseModel):
    """An error (RFC 9457). `code` is its stable name; quote `request_id` when you ask for help."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    place: str | None = None
    shortfall: int | None = None
    balance: int | None = None
    quote: int | None = None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documented errors of a route."""
    body = {'application/problem+json': {'schema': {'$ref': '#/components/schemas/Problem'}}}
    return {status: {'description': PROBLEMS[status], 'content': body} for status in statuses}


def files(*kinds: str, description: str = 'The file.') -> dict[int | str, dict[str, Any]]:
    """The documented answer of a route that sends bytes."""
    return {200: {'description': description, 'content': {kind: {'schema': _BYTES[kind]} for kind in kinds}}}


CSV = 'text/csv'
PARQUET = 'application/vnd.apache.parquet'
ARROW = 'application/vnd.apache.arrow.stream'
BINARY = 'application/octet-stream'
ZIP = 'application/zip'
_BYTES: dict[str, dict[str, str]] = {
    CSV: {'type': 'string'},
    **{kind: {'type': 'string', 'format': 'binary'} for kind in (PARQUET, ARROW, BINARY, ZIP)},
}


class Access(SecurityBase):
    """A live session or API key that has the scopes; `person` is a scope that no key has."""

    PERSON = 'person'

    def __init__(self) -> None:
        self.model = HTTPBearer(description='A session token of `POST /auth/login`, or an API key.')
        self.scheme_name = 'bearer'

    async def __call__(self, request: Request, scopes: SecurityScopes) -> Session:
        for scope in scopes.scopes:
            signed_in(request, None if scope == self.PERSON else scope)
        return live(request.scope)


_access = Access()


def _scoped(*scopes: str) -> Any:
    return Annotated[Session, Security(_access, scopes=list(scopes))]


Anybody = _scoped()
Person = _scoped(Access.PERSON)
DatasetsRead, DatasetsWrite = _scoped('datasets:read'), _scoped('datasets:write')
DashboardsRead, DashboardsWrite = _scoped('dashboards:read'), _scoped('dashboards:write')
ForecastsRead, ForecastsWrite = _scoped('forecasts:read'), _scoped('forecasts:write')
JobsRead, JobsWrite = _scoped('jobs:read'), _scoped('jobs:write')
NoticesRead, NoticesWrite = _scoped('notices:read'), _scoped('notices:write')
HoursRead = _scoped('hours:read')
QuotesRead = _scoped('hours:read', 'datasets:read')


def _actor(request: Request) -> Actor:
    return actor(request)


By = Annotated[Actor, Depends(_actor)]
"""Who acts, for the audit log."""


def sender(request: Request) -> dict[str, str]:
    """Who asks: the peer of the socket, or whom our own proxies name (`ui.edge`)."""
    return {
        'address': request.client.host if request.client else '',
        'user_agent': request.headers.get('user-agent', '')[:300].replace('\x00', ''),
    }


# values that come in


def clean(text: str) -> str:
    """Refuse what Postgres cannot keep in a text."""
    if '\x00' in text:
        raise ValueError('it holds a NUL character')
    return text


def _stamp(value: Any) -> Any:
    if not isinstance(value, str | datetime):
        raise ValueError('write a time as ISO 8601 with an offset')
    return value


def _utc(stamp: datetime) -> datetime:
    """Refuse a time that lies beyond the calendar in UTC."""
    try:
        return stamp.astimezone(UTC)
    except OverflowError as error:
        raise ValueError('it lies beyond the years 1 to 9999') from error


class Body(BaseModel):
    """A JSON body: no unknown members, no conversions."""

    model_config = ConfigDict(extra='forbid', strict=True, frozen=True)


class Answer(BaseModel):
    """A JSON answer, read off a value of the core."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r'\S'), AfterValidator(clean)]
Text = Annotated[str, StringConstraints(max_length=1000), AfterValidator(clean)]
Stamp = Annotated[
    AwareDatetime,
    Strict(False),
    BeforeValidator(_stamp, json_schema_input_type=AwareDatetime),
    AfterValidator(_utc),
]
Password = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(clean)]
Limit = Annotated[int, Query(ge=1, le=1000, description='How many at most.')]
Most = Annotated[int | None, Query(ge=1, le=1000, description='How many at most; all, if left out.')]
Offset = Annotated[int, Query(ge=0, le=2**53, description='How many to skip.')]
Number = Annotated[int, InPath(ge=1, le=2**31 - 1, description='The number of a version.')]
RowId = Annotated[int | None, Query(ge=1, le=2**63 - 1, description='Answer entries older than this one.')]
DatasetId = Annotated[UUID, InPath(description='A dataset.')]


# routers


def _operation_id(route: APIRoute) -> str:
    return route.name


class _Route(APIRoute):
    """A route whose JSON body ends at `MOST_BODY`; the framework's own limit answers in plain text."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler

        async def limited(request: Request) -> Response:
            return await handler(Request(request.scope, _up_to(MOST_BODY, request.receive)))

        return limited


def _up_to(most: int, receive: Receive) -> Receive:
    arrived = 0

    async def limited() -> Message:
        nonlocal arrived
        message = await receive()
        arrived += len(message.get('body', b''))
        if arrived > most:
            raise HTTPException(413)
        return message

    return limited


def router(tag: str) -> APIRouter:
    """A router for one part of the interface, with the errors that any route may answer."""
    return APIRouter(
        prefix=ROOT,
        tags=[tag],
        responses=problems(400, 401, 403, 429, 503),
        generate_unique_id_function=_operation_id,
        route_class=_Route,
    )


# answers


def negotiate(accept: str, offered: Sequence[str]) -> str:
    """The media type of `offered` that an Accept header prefers; the first one for `*/*` or no header.

    Raise 406 when it accepts none.
    """
    wishes = [_wish(part) for part in accept.split(',') if part.strip()] or [('*/*', 1.0)]
    best = max(offered, key=lambda kind: (_quality(kind, wishes), -offered.index(kind)))
    if _quality(best, wishes) <= 0:
        raise HTTPException(406, f'Accept one of {", ".join(offered)}.')
    return best


def _wish(part: str) -> tuple[str, float]:
    kind, *parameters = (piece.strip().lower() for piece in part.split(';'))
    quality = next((value[2:] for value in parameters if value.startswith('q=')), '1')
    try:
        return kind, min(1.0, max(0.0, float(quality)))
    except ValueError:
        return kind, 0.0


def _quality(kind: str, wishes: Iterable[tuple[str, float]]) -> float:
    """The weight that the most exact wish gives a media type (RFC 9110, 12.5.1)."""
    ranges = (kind, f'{kind.partition("/")[0]}/*', '*/*')
    exact = [(-ranges.index(wish), quality) for wish, quality in wishes if wish in ranges]
    return max(exact)[1] if exact else 0.0


def entity_tag(*parts: object) -> str:
    """A strong ETag of what an answer depends on."""
    return f'"{hashlib.sha256(repr(parts).encode(errors="replace")).hexdigest()[:32]}"'


def unchanged(request: Request, tag: str) -> bool:
    """Whether the asker holds this entity already (If-None-Match)."""
    held = request.headers.get('if-none-match', '')
    return held.strip() == '*' or tag in (part.strip().removeprefix('W/') for part in held.split(','))


def csv_text(rows: Iterable[Sequence[object]]) -> bytes:
    """Rows as CSV in which no text cell starts like a formula."""
    out = io.StringIO()
    csv.writer(out, lineterminator='\n').writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue().encode()


def _cell(value: object) -> object:
    """Keep a spreadsheet from running a text as a formula."""
    if isinstance(value, datetime):
        return value.isoformat()
    return f"'{value}" if isinstance(value, str) and value[:1] in FORMULA_STARTS else value


def attachment(body: bytes, kind: str, name: str, headers: Mapping[str, str] | None = None) -> Response:
    """Bytes as a file to keep."""
    return Response(
        body, media_type=kind, headers=PRIVATE | {'Content-Disposition': disposition(name)} | dict(headers or {})
    )


async def csv_log(
    names: Sequence[str], page: Callable[[int | None], Awaitable[Sequence[Any]]], file_name: str
) -> Response:
    """Every entry of a log as a CSV file, page by page; `page(before)` returns entries with an `id`, newest first."""
    first = await page(None)

    async def pieces() -> AsyncIterator[bytes]:
        entries = first
        yield csv_text([names])
        while entries:
            yield csv_text([getattr(entry, name) for name in names] for entry in entries)
            entries = await page(entries[-1].id)

    headers = PRIVATE | {'Content-Disposition': disposition(file_name)}
    return StreamingResponse(pieces(), media_type=f'{CSV}; charset=utf-8', headers=headers)


def within(text: str, most: int) -> str:
    """The begin of a text that takes `most` bytes of UTF-8 at most."""
    return text.encode()[: max(0, most)].decode(errors='ignore')


def _ended(name: str) -> tuple[str, str]:
    """A file's name without its ending, and that with its dot; '' where what follows the last dot is none."""
    stem, dot, ending = name.rpartition('.')
    return (stem, dot + ending) if stem and ending.isascii() and ending.isalnum() and len(ending) < 10 else (name, '')


def disposition(name: str) -> str:
    """The header that makes a browser keep an answer under a name, also in ASCII for older ones (RFC 6266)."""
    stem, ending = _ended(''.join('-' if c in '\\/:*?"<>|' or not c.isprintable() else c for c in name))
    kept = within(stem, LONGEST_NAME - len(ending.encode())) + ending
    plain = ''.join(c if c.isascii() and (c.isalnum() or c in ' .-_,') else '_' for c in kept)
    return f'attachment; filename*=UTF-8\'\'{quote(kept, safe="")}; filename="{plain}"'


def download(folder: 'TemporaryDirectory[str]', path: Path, kind: str, name: str) -> Response:
    """Stream a file to keep; its folder goes with it."""

    async def pieces() -> AsyncIterator[bytes]:
        with folder, path.open('rb') as file:
            while piece := file.read(PIECE):
                yield piece

    headers = PRIVATE | {'Content-Disposition': disposition(name), 'Content-Length': str(path.stat().st_size)}
    return StreamingResponse(pieces(), media_type=kind, headers=headers)
