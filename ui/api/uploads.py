"""Resumable uploads: tus 1.0.0 (core, creation, termination) at `/api/v1/uploads`. See https://tus.io/protocols/resumable-upload."""

import base64
import binascii
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from core.errors import Conflict, NotSupported, UsageError
from core.services import Services
from core.uploads import Twin
from core.values import Upload
from ui.api.contract import ROOT as API
from ui.api.contract import Answer, Anybody, By, DatasetsRead, DatasetsWrite, problems, router
from ui.api.datasets import Choices

ROOT = f'{API}/uploads'
VERSION = '1.0.0'
PART = 'application/offset+octet-stream'


class UnfinishedUpload(Answer):
    """An upload that waits for more bytes: PATCH `location` from `received` on."""

    id: UUID
    name: str
    size: int
    received: int
    location: str
    created_at: datetime


class UnfinishedUploads(Answer):
    """Uploads, the newest first."""

    items: list[UnfinishedUpload]


class DirectUpload(Answer):
    """Where the bytes may be sent by tus 1.0.0 without passing this server.

    POST the whole size to `url` with these headers and, as Upload-Metadata, this metadata; then PATCH pieces of `chunk`
    bytes to where it says. Ask again when the headers have expired, and HEAD this upload after the last byte.
    """

    url: str
    headers: dict[str, str]
    metadata: dict[str, str]
    chunk: int
    expires_in: int


def _header(name: str, description: str, schema: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    return {'name': name, 'in': 'header', 'required': required, 'description': description, 'schema': schema}


SIZE = {'type': 'integer', 'minimum': 0, 'maximum': 10**18 - 1}
SPEAKS = _header('Tus-Resumable', 'The version of tus.', {'type': 'string', 'const': VERSION})
LENGTH = _header('Upload-Length', 'The size of the whole file in bytes.', SIZE)
START = _header('Upload-Offset', 'How many bytes have arrived.', SIZE)
METADATA = _header(
    'Upload-Metadata',
    'Comma-separated pairs of a key and base64 of UTF-8: `filename`; `dataset` to make a new version of one; `how` it '
    'joins: append (its rows win by series and time, others stay) or replace; `options` to read it by, as JSON.',
    {'type': 'string', 'maxLength': 4096, 'pattern': r'^([A-Za-z0-9_-]+ ([A-Za-z0-9+/]{4})*)?$'},
    required=False,
)


def _sent(*headers: dict[str, Any]) -> dict[str, Any]:
    """Headers as they are documented in an answer."""
    return {header['name']: {'description': header['description'], 'schema': header['schema']} for header in headers}


_DATASET = _header('Variosync-Dataset', 'The dataset, once all bytes are there.', {'type': 'string', 'format': 'uuid'})
_TWIN = _header(
    'Variosync-Same-Dataset',
    'These bytes are already in this dataset; they were taken all the same.',
    {'type': 'string', 'format': 'uuid'},
)
_TWIN_VERSION = _header(
    'Variosync-Same-Version', 'As which version, if there is one.', {'type': 'integer', 'minimum': 1}
)
_UNCHANGED = _header(
    'Variosync-Unchanged', 'The dataset shows this very file already; nothing was ordered.', {'const': 'true'}
)
_ARRIVED = (_DATASET, _UNCHANGED, _TWIN, _TWIN_VERSION)


def routes(services: Services) -> APIRouter:
    """The routes of uploads."""
    api = router('uploads')

    async def progress(upload: Upload, offset: int) -> dict[str, str]:
        twin = await services.uploads.twin(upload.user_id, upload_id=upload.id) if upload.state == 'accepted' else None
        return _progress(upload, offset, twin)

    @api.options('/uploads', status_code=204, summary='What this server speaks', response_class=Response)
    async def upload_options(session: Anybody) -> Response:
        return _answer(204, {'Tus-Version': VERSION, 'Tus-Extension': 'creation,termination'})

    @api.get('/uploads', summary='Uploads that wait for more bytes')
    async def list_uploads(session: DatasetsRead) -> UnfinishedUploads:
        waiting = await services.uploads.unfinished(session.user.id)
        return UnfinishedUploads(
            items=[
                UnfinishedUpload(
                    id=upload.id,
                    name=upload.name,
                    size=upload.size,
                    received=received,
                    location=f'{ROOT}/{upload.id}',
                    created_at=upload.created_at,
                )
                for upload, received in waiting
            ]
        )

    @api.post(
        '/uploads',
        status_code=201,
        summary='Begin an upload',
        response_class=Response,
        responses={
            201: {
                'description': 'PATCH the bytes to Location.',
                'headers': {'Location': {'schema': {'type': 'string'}}, **_sent(SPEAKS)},
            },
            **problems(402, 404, 409, 413),
        },
        openapi_extra={'parameters': [SPEAKS, LENGTH, METADATA]},
    )
    async def begin_upload(request: Request, session: DatasetsWrite) -> Response:
        _check_version(request)
        told = _metadata(request.headers.get('upload-metadata', ''))
        size = _number(request, 'upload-length')
        dataset = _uuid(told['dataset']) if told.get('dataset') else None
        upload = await services.uploads.begin_upload(
            session.user.id,
            name=told.get('filename', 'unnamed'),
            size=size,
            dataset_id=dataset,
            how=told.get('how') or 'append',
            options=_choices(told.get('options') or '{}'),
        )
        return _answer(201, {'Location': f'{ROOT}/{upload.id}'})

    @api.head(
        '/uploads/{upload_id}',
        summary='How much has arrived',
        response_class=Response,
        responses={
            200: {'description': 'Where to go on.', 'headers': _sent(START, LENGTH, *_ARRIVED)},
            **problems(402, 404, 409, 413),
        },
    )
    async def upload_offset(upload_id: UUID, session: DatasetsWrite, by: By) -> Response:
        upload, offset = await services.uploads.received(session.user.id, upload_id, by=by)
        return _answer(
            200, await progress(upload, offset) | {'Upload-Length': str(upload.size), 'Cache-Control': 'no-store'}
        )

    @api.patch(
        '/uploads/{upload_id}',
        status_code=204,
        summary='Send the next bytes',
        response_class=Response,
        responses={
            204: {'description': 'Kept.', 'headers': _sent(START, *_ARRIVED)},
            **problems(402, 404, 409, 413, 415),
        },
        openapi_extra={
            'parameters': [SPEAKS, START],
            'requestBody': {'required': True, 'content': {PART: {'schema': {'type': 'string', 'format': 'binary'}}}},
        },
    )
    async def append_to_upload(request: Request, upload_id: UUID, session: DatasetsWrite, by: By) -> Response:
        _check_version(request)
        if request.headers.get('content-type') != PART:
            raise NotSupported(f'A part of an upload is sent as {PART}.')
        offset = _number(request, 'upload-offset')
        upload, arrived = await services.uploads.append(session.user.id, upload_id, offset, _pieces(request), by=by)
        return _answer(204, await progress(upload, arrived))

    @api.post(
        '/uploads/{upload_id}/direct',
        summary='Send the bytes past this server',
        responses=problems(404, 409, 503),
    )
    async def direct_upload(upload_id: UUID, session: DatasetsWrite) -> DirectUpload:
        ticket = await services.uploads.direct(session.user.id, upload_id)
        if ticket is None:
            raise Conflict('This server takes the bytes itself: PATCH them.')
        return DirectUpload(
            url=ticket.url,
            headers=dict(ticket.headers),
            metadata=dict(ticket.metadata),
            chunk=ticket.chunk,
            expires_in=ticket.expires_in,
        )

    @api.delete(
        '/uploads/{upload_id}',
        status_code=204,
        summary='Give up an upload',
        response_class=Response,
        responses=problems(404, 409),
    )
    async def discard_upload(upload_id: UUID, session: DatasetsWrite) -> Response:
        await services.uploads.upload(session.user.id, upload_id)
        await services.uploads.discard(session.user.id, upload_id)
        return _answer(204, {})

    return api


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """Yield the body until it ends or the sender breaks off; what came before is kept either way."""
    try:
        async for piece in request.stream():
            if piece:
                yield piece
    except ClientDisconnect:
        return


def _progress(upload: Upload, offset: int, twin: Twin | None) -> dict[str, str]:
    ended = upload.state in ('accepted', 'unchanged')
    done = {'Variosync-Dataset': str(upload.dataset_id)} if ended else {}
    same = {'Variosync-Unchanged': 'true'} if upload.state == 'unchanged' else {}
    there = {'Variosync-Same-Dataset': str(twin.dataset_id)} if twin else {}
    known = {'Variosync-Same-Version': str(twin.version)} if twin and twin.version else {}
    return {'Upload-Offset': str(offset), **done, **same, **there, **known}


def _answer(status: int, headers: dict[str, str]) -> Response:
    return Response(status_code=status, headers={'Tus-Resumable': VERSION, **headers})


def _check_version(request: Request) -> None:
    if request.headers.get('tus-resumable') != VERSION:
        raise UsageError(f'This server speaks tus {VERSION}; send the header Tus-Resumable: {VERSION}.')


def _number(request: Request, header: str) -> int:
    text = request.headers.get(header, '')
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise UsageError(f'The header {header} must be a whole number, not "{text[:40]}".')
    return int(text)


def _metadata(header: str) -> dict[str, str]:
    """Return tus metadata: comma-separated `key base64` pairs."""
    told = {}
    for pair in filter(None, (part.strip() for part in header.split(','))):
        key, _, value = pair.partition(' ')
        try:
            told[key] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise UsageError(f'The value of "{key[:40]}" in Upload-Metadata is not base64 of UTF-8 text.') from error
    return told


def _choices(text: str) -> dict[str, Any]:
    try:
        return Choices.model_validate_json(text).said()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = '.'.join(map(str, first['loc'])) or 'it'
        raise UsageError(f'The options in Upload-Metadata are not valid: {place}: {first["msg"][:200]}.') from error


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise UsageError(f'"{text[:60]}" is not an id.') from error
