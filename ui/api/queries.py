"""REST for the questions of one moment, in one request: what a request costs beside its answer is paid once.

A dashboard that is moved asks a question for each of its panels. Answers are sent as they are found, each as three
little-endian numbers of 32 bits and its bytes: the place of its question, its status, how many bytes follow. They are
the binary form of `/query`, or the problem that tells why there is none.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from struct import pack
from typing import Annotated, Any
from urllib.parse import parse_qs
from uuid import UUID

import structlog
from fastapi import APIRouter
from fastapi import Query as InQuery
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from core.errors import NotFound, UsageError, VariosyncError
from core.services import Services
from core.values import Version
from ui.api.contract import BINARY, PRIVATE, DatasetsRead, Number, files, problems, router
from ui.api.query import SQUEEZE, Asked
from ui.errors import FAULT, problem, respond, wrong_value

log = structlog.get_logger()

MOST = 24
LENGTH = 8000  # of an address
VARY = 'Accept-Encoding, Authorization, Cookie'
GZIP = 31  # zlib's name for the form of a .gz with the largest window
_NUMBER = TypeAdapter(Number)
SEVERAL = {name for name, field in Asked.model_fields.items() if 'list' in str(field.annotation)}


def routes(services: Services) -> APIRouter:
    """The route of several questions."""
    api = router('datasets')

    @api.get(
        '/queries',
        summary='Ask several questions at once',
        description='Answers come as they are found, in any order. Each is three little-endian numbers of 32 bits (the '
        'place of its question, its status, the number of bytes) and its bytes: the binary form of `/query`, or a '
        'problem as JSON.',
        response_class=Response,
        responses=files(BINARY, description='The answers.') | problems(),
    )
    async def query_versions(
        request: Request,
        session: DatasetsRead,
        q: Annotated[
            list[Annotated[str, InQuery(max_length=LENGTH)]],
            InQuery(
                min_length=1,
                max_length=MOST,
                description='`{dataset}/{version}?` and what `/query` takes; its forms are not.',
            ),
        ],
    ) -> Response:
        user_id = session.user.id
        versions: dict[tuple[UUID, int], asyncio.Task[Version]] = {}

        async def answered(text: str) -> bytes:
            place, asked = _read(text)
            if place not in versions:
                versions[place] = asyncio.create_task(services.datasets.version(user_id, *place))
            version = await versions[place]
            return await services.charts.answer(user_id, version, asked.of(version))

        def framed(at: int, task: asyncio.Task[bytes]) -> bytes:
            error = task.exception()
            if error is None:
                return _frame(at, 200, task.result())
            if isinstance(error, VariosyncError):
                told = respond(request.scope, error)
            else:  # a fault of ours in one question takes no other one along
                log.error('question failed', error=type(error).__name__, exc_info=error)
                told = problem(500, FAULT, code='internal_error', request_id=request.state.request_id)
            return _frame(at, told.status_code, bytes(told.body))

        squeezed = 'gzip' in request.headers.get('accept-encoding', '')
        headers = PRIVATE | {'Vary': VARY} | ({'Content-Encoding': 'gzip'} if squeezed else {})
        return StreamingResponse(_sent(q, answered, framed, squeezed=squeezed), media_type=BINARY, headers=headers)

    return api


def _read(text: str) -> tuple[tuple[UUID, int], Asked]:
    """A question of an address: its dataset and the number of the version, and what is asked."""
    place, _, query = text.partition('?')
    dataset, _, digits = place.partition('/')
    given = {
        name: values if name in SEVERAL else values[-1]
        for name, values in parse_qs(query, keep_blank_values=True).items()
    }
    try:
        which = UUID(dataset), _NUMBER.validate_python(digits)
    except ValueError as error:
        raise NotFound() from error
    try:
        return which, Asked.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = '.'.join(str(part) for part in first['loc'])[:60]
        raise UsageError(wrong_value(name, first), place=f'query.{name}') from error


def _frame(at: int, status: int, body: bytes) -> bytes:
    return pack('<III', at, status, len(body)) + body


async def _sent(
    questions: Sequence[str],
    answered: Callable[[str], Coroutine[Any, Any, bytes]],
    framed: Callable[[int, asyncio.Task[bytes]], bytes],
    *,
    squeezed: bool,
) -> AsyncIterator[bytes]:
    """Answers as they are found; whoever leaves lets go of those that are not."""
    open_ = {asyncio.create_task(answered(text)): at for at, text in enumerate(questions)}
    packer = zlib.compressobj(SQUEEZE, zlib.DEFLATED, GZIP)

    def squeeze(answer: bytes) -> bytes:
        return packer.compress(answer) + packer.flush(zlib.Z_SYNC_FLUSH)

    try:
        while open_:
            done, _ = await asyncio.wait(open_, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                answer = framed(open_.pop(task), task)
                yield await asyncio.to_thread(squeeze, answer) if squeezed else answer
        if squeezed:
            yield packer.flush()
    finally:
        for task in open_:
            task.cancel()
