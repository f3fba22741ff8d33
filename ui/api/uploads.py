"""Resumable uploads: tus 1.0.0 (core, creation, termination) at `/api/v1/uploads`. See https://tus.io/protocols/resumable-upload."""

import base64
import binascii
from collections.abc import AsyncIterator
from uuid import UUID

from nicegui import app
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from core.errors import NotSupported, UsageError
from core.services import Services
from core.values import Upload
from ui.session import signed_in

ROOT = '/api/v1/uploads'
VERSION = '1.0.0'


def register(services: Services) -> None:
    """Add the tus routes."""

    @app.options(ROOT)
    async def options() -> Response:
        return _answer(204, {'Tus-Version': VERSION, 'Tus-Extension': 'creation,termination'})

    @app.post(ROOT)
    async def create(request: Request) -> Response:
        user = signed_in(request).user
        _check_version(request)
        told = _metadata(request.headers.get('upload-metadata', ''))
        size = _number(request, 'upload-length')
        dataset = _uuid(told['dataset']) if told.get('dataset') else None
        upload = await services.datasets.begin_upload(
            user.id, name=told.get('filename', 'unnamed'), size=size, dataset_id=dataset
        )
        return _answer(201, {'Location': f'{ROOT}/{upload.id}'})

    @app.head(f'{ROOT}/{{upload_id}}')
    async def head(request: Request, upload_id: str) -> Response:
        upload, offset = await services.datasets.received(signed_in(request).user.id, _uuid(upload_id))
        return _answer(
            200, _progress(upload, offset) | {'Upload-Length': str(upload.size), 'Cache-Control': 'no-store'}
        )

    @app.patch(f'{ROOT}/{{upload_id}}')
    async def append(request: Request, upload_id: str) -> Response:
        user = signed_in(request).user
        _check_version(request)
        if request.headers.get('content-type') != 'application/offset+octet-stream':
            raise NotSupported('A part of an upload is sent as application/offset+octet-stream.')
        offset = _number(request, 'upload-offset')
        upload, arrived = await services.datasets.append(user.id, _uuid(upload_id), offset, _pieces(request))
        return _answer(204, _progress(upload, arrived))

    @app.delete(f'{ROOT}/{{upload_id}}')
    async def terminate(request: Request, upload_id: str) -> Response:
        await services.datasets.discard(signed_in(request).user.id, _uuid(upload_id))
        return _answer(204, {})


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """Yield the body until it ends or the sender breaks off; what came before is kept either way."""
    try:
        async for piece in request.stream():
            if piece:
                yield piece
    except ClientDisconnect:
        return


def _progress(upload: Upload, offset: int) -> dict[str, str]:
    done = {'Variosync-Dataset': str(upload.dataset_id)} if upload.state == 'accepted' else {}
    return {'Upload-Offset': str(offset), **done}


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


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise UsageError(f'"{text[:60]}" is not an id.') from error
