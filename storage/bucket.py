"""The bucket itself: made and set up by `variosync bucket init`, tried for real by `variosync doctor`."""

import asyncio
import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import boto3
import httpx
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from core.errors import Misconfigured, Unavailable
from core.settings import Settings
from storage.object_faults import Patience
from storage.objects import Objects, ObjectsAt

RULE = 'variosync'  # names of our rules begin with this, so that rules of others stay
DELETED_KEPT = 30  # days
NOBODY = UUID(int=0)
PROBE = b'0123456789'
LINK_LASTS = 60.0  # seconds
REQUEST = 20.0  # seconds
RETRIES = {'mode': 'standard', 'max_attempts': 4}
PATIENCE = Patience(tries=4, timeout=REQUEST, total=REQUEST)
NOT_OFFERED = {
    'NotImplemented',
    'MethodNotAllowed',
    'NotSupported',
    'UnsupportedOperation',
    'AccessDenied',
    'BucketAlreadyExists',  # says a store that takes what it does not know for the wish to make the bucket
}
ABSENT = {'404', 'NoSuchBucket', 'NotFound'}
BLOCK = {
    'BlockPublicAcls': True,
    'IgnorePublicAcls': True,
    'BlockPublicPolicy': True,
    'RestrictPublicBuckets': True,
}


def init(settings: Settings) -> list[str]:
    """Make the bucket that the settings name, set it up, and return a line for each thing that was done.

    Doing it again changes nothing, and rules of others are kept. What the store does not offer is told by its line.
    Raise Misconfigured when no bucket is named or it is not ours, Unavailable when the store does not answer.
    """
    at = _bucket_of(settings)
    steps: Sequence[tuple[str, Callable[[Any, str, Settings], None]]] = (
        ('public access blocked', _block_public),
        ('versions kept', _keep_versions),
        (f'what was deleted can be brought back for {DELETED_KEPT} days and is gone then', _remove_deleted),
        ('uploads given up after two days are removed', _remove_unfinished),
        (f'pages of {_origin(settings)} may read by signed addresses', _let_pages_read),
    )
    with _told():
        client = _client(at)
        made = _make(client, at)
        return [made, *(_done(what, partial(step, client, str(at.bucket), settings)) for what, step in steps)]


async def check(settings: Settings) -> list[str]:
    """Try what the program does with the bucket, and return what is worth knowing about it; nothing is left behind.

    Raise Misconfigured or Unavailable, whose message says what is wrong, when the bucket cannot be used.
    """
    at = _bucket_of(settings)
    objects = Objects.s3(at, patience=PATIENCE)
    key = f't/{NOBODY}/{uuid4()}/probe'
    with _told():
        client = _client(at)
        await objects.put(key, PROBE)
        try:
            await _read_by_link(objects, key)
            return await asyncio.to_thread(_look, client, str(at.bucket), key)
        finally:
            await objects.delete(key)
            await asyncio.to_thread(_forget_versions, client, str(at.bucket), key)


async def _read_by_link(objects: Objects, key: str) -> None:
    """See that a signed address can be read, and that the object cannot be read without a signature."""
    link = await objects.presigned(key, seconds=LINK_LASTS)
    try:
        async with httpx.AsyncClient(timeout=REQUEST) as client:
            signed, unsigned = await client.get(link), await client.get(link.partition('?')[0])
    except httpx.HTTPError as error:
        raise Unavailable('The object store does not answer to signed addresses. Try again in a moment.') from error
    if signed.content != PROBE:
        raise Misconfigured(f'The object store refuses our signature (status {signed.status_code}). Look at the clock.')
    if unsigned.is_success:
        raise Misconfigured('Everybody can read this bucket. Run `variosync bucket init`, and look at its policy.')


def _look(client: Any, bucket: str, key: str) -> list[str]:
    part = client.get_object(Bucket=bucket, Key=key, Range='bytes=2-4')['Body'].read()
    if part != b'234':
        raise Misconfigured('The object store does not return the part of an object that it was asked for.')
    notes = []
    if not _refuses_to_replace(client, bucket, key):
        notes.append('it ignores conditional puts, so objects are guarded by a look before they are stored')
    if _ask(lambda: client.get_bucket_versioning(Bucket=bucket).get('Status')) != 'Enabled':
        notes.append('it keeps no versions')
    elif not _removes_deleted(client, bucket):
        notes.append('what is deleted stays as an old version: run `variosync bucket init`')
    if not _private(client, bucket):
        notes.append('public access is not blocked')
    return notes


def _refuses_to_replace(client: Any, bucket: str, key: str) -> bool:
    try:
        client.put_object(Bucket=bucket, Key=key, Body=PROBE, IfNoneMatch='*')
    except ClientError as error:
        if _code(error) not in {'PreconditionFailed', '412', *NOT_OFFERED}:
            raise
        return _code(error) not in NOT_OFFERED
    return False


def _forget_versions(client: Any, bucket: str, key: str) -> None:
    found = _ask(lambda: client.list_object_versions(Bucket=bucket, Prefix=key)) or {}
    for version in [*found.get('Versions', []), *found.get('DeleteMarkers', [])]:
        client.delete_object(Bucket=bucket, Key=key, VersionId=version['VersionId'])


def _removes_deleted(client: Any, bucket: str) -> bool:
    rules = _lifecycle(client, bucket)
    return any(rule['Status'] == 'Enabled' and 'NoncurrentVersionExpiration' in rule for rule in rules)


def _private(client: Any, bucket: str) -> bool:
    """Whether public access is blocked, or the store has no such setting: that it is refused was seen already."""
    try:
        blocked = client.get_public_access_block(Bucket=bucket)['PublicAccessBlockConfiguration']
    except ClientError as error:
        if _code(error) not in {'NoSuchPublicAccessBlockConfiguration', *NOT_OFFERED}:
            raise
        return _code(error) in NOT_OFFERED
    return all(blocked.get(name) for name in BLOCK)


def _ask(question: Callable[[], Any]) -> Any:
    """Return the answer, or None where there is none."""
    try:
        return question()
    except ClientError as error:
        if _code(error) in NOT_OFFERED or _code(error).startswith('NoSuch'):
            return None
        raise


def _make(client: Any, at: ObjectsAt) -> str:
    try:
        client.head_bucket(Bucket=at.bucket)
    except ClientError as error:
        if _code(error) not in ABSENT:
            raise
    else:
        return f'{at.bucket}: there already'
    # AWS takes every region but the first by name, and refuses the first.
    place = {} if at.region == 'us-east-1' else {'CreateBucketConfiguration': {'LocationConstraint': at.region}}
    client.create_bucket(Bucket=at.bucket, **place)
    return f'{at.bucket}: made in {at.region}'


def _done(what: str, step: Callable[[], None]) -> str:
    try:
        step()
    except ClientError as error:
        if _code(error) not in NOT_OFFERED:
            raise
        return f'{what}: not offered by this store, or not to this key ({_code(error)})'
    return what


def _block_public(client: Any, bucket: str, settings: Settings) -> None:
    client.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=BLOCK)


def _keep_versions(client: Any, bucket: str, settings: Settings) -> None:
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={'Status': 'Enabled'})


def _remove_deleted(client: Any, bucket: str, settings: Settings) -> None:
    gone = {'NoncurrentVersionExpiration': {'NoncurrentDays': DELETED_KEPT}}
    _rule(client, bucket, f'{RULE}-deleted', {**gone, 'Expiration': {'ExpiredObjectDeleteMarker': True}})


def _remove_unfinished(client: Any, bucket: str, settings: Settings) -> None:
    _rule(client, bucket, RULE, {'AbortIncompleteMultipartUpload': {'DaysAfterInitiation': 2}})


def _rule(client: Any, bucket: str, name: str, what: Mapping[str, Any]) -> None:
    rule = {'ID': name, 'Status': 'Enabled', 'Filter': {'Prefix': ''}, **what}
    rules = [*_but(name, _lifecycle(client, bucket)), rule]
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={'Rules': rules})


def _lifecycle(client: Any, bucket: str) -> list[Any]:
    return _ask(lambda: client.get_bucket_lifecycle_configuration(Bucket=bucket).get('Rules')) or []


def _let_pages_read(client: Any, bucket: str, settings: Settings) -> None:
    rule = {
        'ID': RULE,
        'AllowedOrigins': [_origin(settings)],
        'AllowedMethods': ['GET', 'HEAD'],
        'AllowedHeaders': ['*'],
        'ExposeHeaders': ['ETag', 'Content-Length', 'Content-Range'],
        'MaxAgeSeconds': 3600,
    }
    rules = _ask(lambda: client.get_bucket_cors(Bucket=bucket).get('CORSRules')) or []
    client.put_bucket_cors(Bucket=bucket, CORSConfiguration={'CORSRules': [*_but(RULE, rules), rule]})


def _but(name: str, rules: Sequence[Any]) -> list[Any]:
    return [rule for rule in rules if rule.get('ID') != name]


def _origin(settings: Settings) -> str:
    return (settings.public_url or f'http://{settings.host}:{settings.port}').rstrip('/')


def _bucket_of(settings: Settings) -> ObjectsAt:
    if settings.bucket is None:
        raise Misconfigured('No bucket is named. Set AWS_BUCKET_NAME, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.')
    return ObjectsAt.of(settings)


def _client(at: ObjectsAt) -> Any:
    config = Config(
        # Stores that are only compatible with S3 may refuse newer checksums.
        request_checksum_calculation='when_required',
        response_checksum_validation='when_required',
        retries=RETRIES,
        connect_timeout=5,
        read_timeout=REQUEST,
        s3={'addressing_style': 'path'},
    )
    try:
        client = boto3.client(
            's3',
            endpoint_url=at.endpoint,
            region_name=at.region,
            aws_access_key_id=at.key,
            aws_secret_access_key=at.secret,
            config=config,
        )
    except ValueError as error:
        raise Misconfigured(f'AWS_ENDPOINT_URL or AWS_REGION names no object store ({error}).') from error
    for operation in ('PutBucketLifecycleConfiguration', 'PutBucketCors', 'PutPublicAccessBlock'):
        client.meta.events.register(f'before-call.s3.{operation}', _add_digest)
    return client


def _add_digest(params: Any, **_: Any) -> None:
    """Some stores know no newer checksum than Content-MD5, which S3 once required here."""
    digest = hashlib.md5(params['body'], usedforsecurity=False).digest()
    params['headers']['Content-MD5'] = base64.b64encode(digest).decode()


def _code(error: ClientError) -> str:
    return str(error.response.get('Error', {}).get('Code', ''))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        status = error.response.get('ResponseMetadata', {}).get('HTTPStatusCode', 500)
        if status >= 500 or _code(error) in {'SlowDown', 'RequestRateLimitExceeded'}:
            raise Unavailable('The object store does not answer. Try again in a moment.') from error
        raise Misconfigured(f'The object store refuses this ({_code(error)}). Look at the settings AWS_….') from error
    except ParamValidationError as error:
        raise Misconfigured(
            'AWS_BUCKET_NAME is no name of a bucket. Use 3 to 63 small letters, digits and -.'
        ) from error
    except BotoCoreError as error:
        raise Unavailable('The object store cannot be reached. Look at AWS_ENDPOINT_URL, or try again.') from error
