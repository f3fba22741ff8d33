"""Supabase Storage as it is documented: buckets, objects, signed uploads and tus. All of it lies below a folder.

Answers follow https://supabase.com/docs/reference/self-hosting-storage and
https://supabase.com/docs/guides/storage/debugging/error-codes; resumable uploads
https://supabase.com/docs/guides/storage/uploads/resumable-uploads and https://tus.io/protocols/resumable-upload.
An error other than 500 is HTTP 400 with the meant status in its body, except at tus, which speaks HTTP.
"""

import asyncio
import base64
import binascii
import hashlib
import json
import secrets
import shutil
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from uuid import uuid4

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from tests.fakes.supabase.project import Project, no_key

ROOT = '/storage/v1'
CHUNK = 6 * 2**20  # of every piece of a resumable upload but the last
MOST_AT_ONCE = 1000  # objects in one deletion
PART = 5 * 2**20  # larger objects are brought to S3 in parts
EXPOSED = (
    'Location, Tus-Complete, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, Upload-Expires, '
    'Upload-Length, Upload-Metadata, Upload-Offset'
)
ALLOWED = (
    'Authorization, ApiKey, Content-Type, Tus-Resumable, Upload-Length, Upload-Metadata, Upload-Offset, x-signature, '
    'X-Upsert, X-Requested-With'
)

Handler = Callable[[Request], Awaitable[Response]]


class Refused(Exception):
    """An error as Storage words it."""

    def __init__(self, status: int, code: str, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {'statusCode': str(status), 'code': code, 'error': error, 'message': message}


def no_object() -> Refused:
    return Refused(404, 'NoSuchKey', 'not_found', 'Object not found')


def no_bucket() -> Refused:
    return Refused(404, 'NoSuchBucket', 'Bucket not found', 'Bucket not found')


def taken() -> Refused:
    return Refused(409, 'KeyAlreadyExists', 'Duplicate', 'The resource already exists')


def too_large() -> Refused:
    return Refused(413, 'EntityTooLarge', 'Payload too large', 'The object exceeded the maximum allowed size')


class Storage:
    """The state of the fake. Tests may change the attributes at any time.

    `before` sees every request first and may answer it, or raise, in place of the fake. `seen` holds (method, path).
    `etag` is what is said of a file.
    """

    def __init__(self, project: Project, folder: Path) -> None:
        self.project = project
        self._folder = folder
        self._knobs()
        self._fill()

    def begin(self) -> None:
        """Become the Storage of a new project: one private bucket, nothing in it."""
        shutil.rmtree(self._folder)
        self._knobs()
        self._fill()

    def _knobs(self) -> None:
        self.ticket_seconds = 2 * 3600
        self.tus_seconds = 24 * 3600.0
        self.largest = 50 * 10**9  # what the project takes, whatever its buckets say
        self.before: Callable[[Request], Awaitable[Response | None]] | None = None
        self.seen: list[tuple[str, str]] = []
        self.etag: Callable[[Path], str] = etag_of_s3

    def _fill(self) -> None:
        self._sending: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        for part in ('buckets', 'objects', 'tus', 'incoming'):
            (self._folder / part).mkdir(parents=True, exist_ok=True)
        self._key = OctKey.import_key(self._kept('signing.key', lambda: secrets.token_hex(32)))
        if not self._bucket_path('uploads').exists():
            self.make_bucket('uploads')

    @property
    def routes(self) -> list[Route]:
        """Every route below `/storage/v1`; of two that match, the first one answers."""
        named = [
            ('GET', '/bucket/{bucket}', self.get_bucket),
            ('POST', '/bucket', self.create_bucket),
            ('POST', '/object/list/{bucket}', self.list_objects),
            ('GET', '/object/info/{bucket}/{name:path}', self.info),
            ('GET', '/object/authenticated/{bucket}/{name:path}', self.download),
            ('POST', '/object/upload/sign/{bucket}/{name:path}', self.sign_upload),
            ('POST', '/object/{bucket}/{name:path}', self.create_object),
            ('DELETE', '/object/{bucket}', self.delete_objects),
        ]
        plain = [Route(ROOT + path, self._plain(handler), methods=[method]) for method, path, handler in named]
        return plain + [
            Route(f'{ROOT}/upload/resumable{signed}{rest}', self._tus(handler), methods=[method])
            for signed in ('/sign', '')
            for method, rest, handler in (
                ('OPTIONS', '', self.tus_options),
                ('OPTIONS', '/{id}', self.tus_options),
                ('POST', '', self.tus_create),
                ('HEAD', '/{id}', self.tus_offset),
                ('PATCH', '/{id}', self.tus_append),
                ('DELETE', '/{id}', self.tus_delete),
            )
        ]

    # for tests

    def make_bucket(self, name: str, *, public: bool = False, file_size_limit: int | None = None) -> None:
        """Make or change a bucket."""
        bucket = {'id': name, 'name': name, 'public': public, 'file_size_limit': file_size_limit}
        self._write(self._bucket_path(name), json.dumps(bucket).encode())
        (self._folder / 'objects' / quote(name, safe='')).mkdir(exist_ok=True)

    def remove_bucket(self, name: str) -> None:
        """Take a bucket away, with nothing said about its objects."""
        self._bucket_path(name).unlink()

    def names(self, bucket: str = 'uploads') -> list[str]:
        """The names of all objects, sorted."""
        return sorted(unquote(path.name) for path in (self._folder / 'objects' / quote(bucket, safe='')).iterdir())

    # buckets and objects

    async def get_bucket(self, request: Request) -> Response:
        """https://supabase.com/docs/reference/self-hosting-storage/retrieve-a-bucket"""
        if self._role(request) != 'service_role':
            raise no_bucket()
        return JSONResponse(self._bucket(request))

    async def create_bucket(self, request: Request) -> Response:
        """https://supabase.com/docs/reference/self-hosting-storage/create-a-bucket"""
        self._only_service(request)
        asked = await request.json()
        if self._bucket_path(asked['name']).exists():
            raise Refused(409, 'BucketAlreadyExists', 'Duplicate', 'The resource already exists')
        self.make_bucket(asked['name'], public=asked.get('public', False), file_size_limit=asked.get('file_size_limit'))
        return JSONResponse({'name': asked['name']})

    async def list_objects(self, request: Request) -> Response:
        """https://supabase.com/docs/reference/self-hosting-storage/search-for-objects-under-a-prefix"""
        bucket, asked = self._bucket(request)['id'], await request.json()
        prefix = asked['prefix'] and asked['prefix'].rstrip('/') + '/'
        inside: dict[str, dict[str, Any]] = {}
        for name in self.names(bucket) if self._role(request) == 'service_role' else []:
            if name.startswith(prefix):
                child, folder, _ = name.removeprefix(prefix).partition('/')
                inside[child] = {'name': child, 'id': None, 'metadata': None} if folder else self._about(bucket, name)
        backwards = asked.get('sortBy', {}).get('order') == 'desc'
        ordered = [inside[child] | {'name': child} for child in sorted(inside, reverse=backwards)]
        start = asked.get('offset', 0)
        return JSONResponse(ordered[start : start + asked.get('limit', 100)])

    async def info(self, request: Request) -> Response:
        """https://supabase.com/docs/reference/self-hosting-storage/get-object-info"""
        bucket, name = self._bucket(request)['id'], request.path_params['name']
        if self._role(request) != 'service_role' or not self._path(bucket, name).exists():
            raise no_object()
        about = self._about(bucket, name)
        return JSONResponse(about | {'size': about['metadata']['size'], 'content_type': about['metadata']['mimetype']})

    async def download(self, request: Request) -> Response:
        """https://supabase.com/docs/reference/self-hosting-storage/retrieve-an-object"""
        path = self._path(self._bucket(request)['id'], request.path_params['name'])
        if self._role(request) != 'service_role' or not path.exists():
            raise no_object()
        return FileResponse(path, media_type='application/octet-stream')

    async def sign_upload(self, request: Request) -> Response:
        """https://supabase.com/docs/reference/javascript/storage-from-createsigneduploadurl"""
        self._only_service(request)
        bucket, name = self._bucket(request)['id'], request.path_params['name']
        upsert = request.headers.get('x-upsert') == 'true'
        if not upsert and self._path(bucket, name).exists():
            raise taken()
        url = f'{bucket}/{name}'
        claims = {'url': url, 'upsert': upsert, 'scope': 'upload', 'exp': int(self.project.now) + self.ticket_seconds}
        token = jwt.encode({'alg': 'HS256'}, claims, self._key)
        return JSONResponse({'url': f'/object/upload/sign/{url}?token={token}', 'token': token})

    async def create_object(self, request: Request) -> Response:
        """https://supabase.com/docs/reference/self-hosting-storage/upload-a-new-object

        Whether the name is taken is looked up before the body is read and not again: of two that come at the same time
        the later one stays, as in the real thing.
        """
        self._only_service(request)
        bucket, name = self._bucket(request), request.path_params['name']
        path = self._path(bucket['id'], name)
        if request.headers.get('x-upsert') != 'true' and path.exists():
            raise taken()
        body = await request.body()
        if len(body) > min(bucket['file_size_limit'] or self.largest, self.largest):
            raise too_large()
        self._write(path, body)
        return JSONResponse({'Id': str(uuid4()), 'Key': f'{bucket["id"]}/{name}'})

    async def delete_objects(self, request: Request) -> Response:
        """https://supabase.com/docs/reference/self-hosting-storage/delete-multiple-objects"""
        bucket, names = self._bucket(request)['id'], (await request.json())['prefixes']
        if not 0 < len(names) <= MOST_AT_ONCE:
            raise Refused(400, 'InvalidRequest', 'InvalidRequest', f'At most {MOST_AT_ONCE} objects can be deleted.')
        gone = []
        for name in names if self._role(request) == 'service_role' else []:
            if (path := self._path(bucket, name)).exists():
                gone.append(self._about(bucket, name))
                path.unlink()
        return JSONResponse(gone)

    # tus 1.0.0

    async def tus_options(self, request: Request) -> Response:
        """https://tus.io/protocols/resumable-upload#options, and what a browser asks before it sends (CORS)."""
        return Response(
            status_code=204,
            headers={
                'Access-Control-Allow-Headers': ALLOWED,
                'Access-Control-Allow-Methods': 'POST, GET, HEAD, PATCH, DELETE, OPTIONS',
                'Access-Control-Max-Age': '86400',
                'Tus-Extension': 'creation,creation-with-upload,creation-defer-length,termination,expiration',
                'Tus-Max-Size': str(self.largest),
                'Tus-Version': '1.0.0',
            },
        )

    async def tus_create(self, request: Request) -> Response:
        """https://tus.io/protocols/resumable-upload#creation; `bucketName` and `objectName` come as metadata."""
        try:
            told = _metadata(request.headers.get('upload-metadata', ''))
        except ValueError:
            raise Refused(400, 'TusError', '', 'Invalid Upload-Metadata header') from None
        bucket, name, size = told.get('bucketName', ''), told.get('objectName', ''), _number(request, 'upload-length')
        upsert = self._may(request, bucket, name)
        if size is None:
            raise Refused(400, 'TusError', '', 'Upload-Length or Upload-Defer-Length header required\n')
        if not self._bucket_path(bucket).exists():
            raise no_bucket()
        limit = json.loads(self._bucket_path(bucket).read_bytes())['file_size_limit'] or self.largest
        if size > min(limit, self.largest):
            raise Refused(413, 'TusError', '', 'Maximum size exceeded\n')
        if not upsert and self._path(bucket, name).exists():
            raise taken()
        upload = _coded(f'{bucket}/{name}/{uuid4()}')
        info = {'bucket': bucket, 'name': name, 'size': size, 'expires': self.project.now + self.tus_seconds}
        (self._folder / 'tus' / f'{upload}.data').touch()
        self._write(self._folder / 'tus' / f'{upload}.json', json.dumps(info).encode())
        return Response(status_code=201, headers={'Location': f'{request.url.replace(query="")}/{upload}'})

    async def tus_offset(self, request: Request) -> Response:
        """https://tus.io/protocols/resumable-upload#head"""
        info = self._tus_info(request)
        headers = {'Upload-Offset': str(self._arrived(info)), 'Upload-Length': str(info['size'])}
        return Response(headers=headers | {'Cache-Control': 'no-store'})

    async def tus_append(self, request: Request) -> Response:
        """https://tus.io/protocols/resumable-upload#patch; what arrived before the sender broke off is kept."""
        info = self._tus_info(request)
        if request.headers.get('content-type') != 'application/offset+octet-stream':
            raise Refused(403, 'TusError', '', 'Content-Type header required\n')
        async with self._sending[info['id']]:
            offset, length = _number(request, 'upload-offset'), _number(request, 'content-length')
            if offset is None:
                raise Refused(403, 'TusError', '', 'Upload-Offset header required\n')
            if offset != self._arrived(info):
                raise Refused(409, 'TusError', '', 'Upload-Offset conflict\n')
            if length is None or offset + length > info['size']:
                raise Refused(413, 'TusError', '', "upload's size exceeded\n")
            if length != CHUNK and offset + length != info['size']:
                raise Refused(400, 'TusError', '', f'A piece has {CHUNK} bytes, not {length}\n')
            complete = await self._receive(request, info)
        return Response(
            status_code=204,
            headers={'Upload-Offset': str(self._arrived(info)), **({'Tus-Complete': '1'} if complete else {})},
        )

    async def tus_delete(self, request: Request) -> Response:
        """https://tus.io/protocols/resumable-upload#termination; a finished upload is not ended."""
        info = self._tus_info(request)
        if self._arrived(info) == info['size']:
            raise Refused(400, 'TusError', '', 'Cannot terminate an already completed upload')
        for kind in ('data', 'json'):
            (self._folder / 'tus' / f'{info["id"]}.{kind}').unlink(missing_ok=True)
        return Response(status_code=204)

    async def _receive(self, request: Request, info: dict[str, Any]) -> bool:
        data = self._folder / 'tus' / f'{info["id"]}.data'
        try:
            with data.open('ab', buffering=0) as file:
                async for piece in request.stream():
                    file.write(piece)
        except ClientDisconnect:
            return False
        if data.stat().st_size < info['size']:
            return False
        data.replace(self._path(info['bucket'], info['name']))
        return True

    def _arrived(self, info: dict[str, Any]) -> int:
        data = self._folder / 'tus' / f'{info["id"]}.data'
        return data.stat().st_size if data.exists() else info['size']

    def _tus_info(self, request: Request) -> dict[str, Any]:
        upload = request.path_params['id']
        path = self._folder / 'tus' / f'{upload}.json'
        try:
            bucket, _, rest = _decoded(upload).partition('/')
        except ValueError:
            raise Refused(404, 'TusError', '', 'The file for this url was not found\n') from None
        self._may(request, bucket, rest.rpartition('/')[0])
        if not path.exists():
            raise Refused(404, 'TusError', '', 'The file for this url was not found\n')
        info: dict[str, Any] = json.loads(path.read_bytes()) | {'id': upload}
        if info['expires'] < self.project.now:
            raise Refused(410, 'TusError', '', 'The file for this url no longer exists\n')
        return info

    def _may(self, request: Request, bucket: str, name: str) -> bool:
        """Return whether an object may be replaced. Raise Refused unless the signature or the key allows to upload."""
        if not request.url.path.startswith(f'{ROOT}/upload/resumable/sign'):
            self._only_service(request)
            return request.headers.get('x-upsert') == 'true'
        if not (token := request.headers.get('x-signature')):
            raise Refused(400, 'InvalidSignature', '', 'Missing x-signature header')
        try:
            claims = jwt.decode(token, self._key, algorithms=['HS256']).claims
        except (JoseError, ValueError):
            raise Refused(400, 'InvalidJWT', '', 'Invalid Compact JWS') from None
        if claims['exp'] <= self.project.now:
            raise Refused(400, 'InvalidJWT', '', '"exp" claim timestamp check failed')
        if claims['scope'] != 'upload' or claims['url'] != f'{bucket}/{name}':
            raise Refused(400, 'InvalidSignature', '', 'Invalid signature')
        return bool(claims['upsert'])

    # who asks, and what lies on disk

    def _role(self, request: Request) -> str:
        """Return the role of the caller. Raise Refused for a request without a key."""
        if (role := self.project.role_of(request)) is None:
            raise Refused(403, 'AccessDenied', 'Unauthorized', 'Invalid Compact JWS')
        return role

    def _only_service(self, request: Request) -> None:
        if self._role(request) != 'service_role':
            message = 'new row violates row-level security policy'
            raise Refused(403, 'AccessDenied', 'Unauthorized', message)

    def _bucket(self, request: Request) -> dict[str, Any]:
        path = self._bucket_path(request.path_params['bucket'])
        self._role(request)
        if not path.exists():
            raise no_bucket()
        bucket: dict[str, Any] = json.loads(path.read_bytes())
        return bucket

    def _about(self, bucket: str, name: str) -> dict[str, Any]:
        path = self._path(bucket, name)
        size = path.stat().st_size
        about = {'eTag': self.etag(path), 'size': size, 'contentLength': size, 'mimetype': 'application/octet-stream'}
        return {
            'id': str(uuid4()),
            'name': name,
            'bucket_id': bucket,
            'metadata': about,
        }

    def _bucket_path(self, name: str) -> Path:
        return self._folder / 'buckets' / f'{quote(name, safe="")}.json'

    def _path(self, bucket: str, name: str) -> Path:
        return self._folder / 'objects' / quote(bucket, safe='') / quote(name, safe='')

    def _write(self, path: Path, data: bytes) -> None:
        part = self._folder / 'incoming' / uuid4().hex
        part.write_bytes(data)
        part.replace(path)

    def _kept(self, name: str, make: Callable[[], str]) -> str:
        path = self._folder / name
        if not path.exists():
            self._write(path, make().encode())
        return path.read_text()

    def _plain(self, handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            self.seen.append((request.method, request.url.path))
            if self.before and (answered := await self.before(request)):
                return answered
            if request.headers.get('apikey') and self.project.role_of(request) is None:
                return no_key(request)
            try:
                return await handler(request)
            except Refused as error:
                return JSONResponse(error.body, 500 if error.status == 500 else 400)

        return answer

    def _tus(self, handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            self.seen.append((request.method, request.url.path))
            try:
                answer = await self.before(request) if self.before else None
                if request.method != 'OPTIONS' and request.headers.get('tus-resumable') != '1.0.0':
                    raise Refused(412, 'TusError', '', 'Tus-Resumable Required\n')
                answer = answer or await handler(request)
            except Refused as error:
                answer = Response(str(error), error.status)
            answer.headers['Tus-Resumable'] = '1.0.0'
            answer.headers['Access-Control-Allow-Origin'] = request.headers.get('origin', '*')
            answer.headers['Access-Control-Expose-Headers'] = EXPOSED
            return answer

        return answer


def etag_of_s3(path: Path) -> str:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html: the MD5 of what came at once."""
    parts = -(-path.stat().st_size // PART)
    if parts > 1:
        return f'"{hashlib.md5(str(path).encode()).hexdigest()}-{parts}"'
    return f'"{hashlib.md5(path.read_bytes()).hexdigest()}"'


def _number(request: Request, header: str) -> int | None:
    text = request.headers.get(header, '')
    return int(text) if text.isdigit() else None


def _metadata(header: str) -> dict[str, str]:
    pairs = (pair.strip().partition(' ') for pair in header.split(',') if pair.strip())
    return {key: base64.b64decode(value, validate=True).decode() for key, _, value in pairs}


def _coded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip('=')


def _decoded(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + '=' * (-len(text) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(text) from error
