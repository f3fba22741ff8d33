"""The bucket that `variosync bucket init` makes, and what `variosync doctor` finds out about it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

from core.errors import Misconfigured, Unavailable
from core.settings import Settings
from storage import bucket
from storage.object_faults import Patience
from storage.objects import Objects, ObjectsAt
from tests.counterparts.fault_proxy import Fault, FaultProxy
from tests.counterparts.moto import Moto
from tests.counterparts.rclone import Rclone

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def name() -> str:
    return f'bucket-{uuid4().hex}'


@pytest.fixture
def proxy(broken_moto: FaultProxy) -> Iterator[FaultProxy]:
    broken_moto.heal()
    yield broken_moto
    broken_moto.heal()


def settings(at: ObjectsAt, **changed: str) -> Settings:
    values = {
        'AWS_BUCKET_NAME': at.bucket,
        'AWS_ENDPOINT_URL': at.endpoint,
        'AWS_ACCESS_KEY_ID': at.key,
        'AWS_SECRET_ACCESS_KEY': at.secret,
        'VARIOSYNC_PUBLIC_URL': 'https://app.example.com',
    }
    return Settings(**(values | changed))


@pytest.fixture
def client(moto: Moto) -> Any:
    at = moto.at('any')
    return boto3.client('s3', endpoint_url=at.endpoint, aws_access_key_id=at.key, aws_secret_access_key=at.secret)


def test_init_makes_the_bucket_and_says_so(moto: Moto, client: Any, name: str) -> None:
    assert bucket.init(settings(moto.at(name))) == [
        f'{name}: made in us-east-1',
        'public access blocked',
        'versions kept',
        'what was deleted can be brought back for 30 days and is gone then',
        'uploads given up after two days are removed',
        'pages of https://app.example.com may read by signed addresses',
    ]
    assert all(client.get_public_access_block(Bucket=name)['PublicAccessBlockConfiguration'].values())
    assert client.get_bucket_versioning(Bucket=name)['Status'] == 'Enabled'
    rules = client.get_bucket_lifecycle_configuration(Bucket=name)['Rules']
    deleted, unfinished = sorted(rules, key=lambda rule: 'AbortIncompleteMultipartUpload' in rule)
    assert deleted['NoncurrentVersionExpiration'] == {'NoncurrentDays': 30}
    assert deleted['Expiration'] == {'ExpiredObjectDeleteMarker': True}, 'nothing removes what was not deleted'
    assert unfinished['AbortIncompleteMultipartUpload'] == {'DaysAfterInitiation': 2}
    assert not [word for rule in rules for word in rule if 'Transition' in word]
    assert not [word for word in unfinished if 'Expiration' in word]
    [cors] = client.get_bucket_cors(Bucket=name)['CORSRules']
    assert (cors['AllowedOrigins'], cors['AllowedMethods']) == (['https://app.example.com'], ['GET', 'HEAD'])


def test_init_in_another_region_names_it(moto: Moto, client: Any, name: str) -> None:
    at = moto.at(name)
    assert bucket.init(settings(at, AWS_REGION='eu-central-1'))[0] == f'{name}: made in eu-central-1'
    assert client.get_bucket_location(Bucket=name)['LocationConstraint'] == 'eu-central-1'


def test_init_again_changes_nothing_and_keeps_the_rules_of_others(moto: Moto, client: Any, name: str) -> None:
    bucket.init(settings(moto.at(name)))
    theirs = {'ID': 'theirs', 'Status': 'Enabled', 'Filter': {'Prefix': 'x/'}, 'Expiration': {'Days': 9}}
    rules = client.get_bucket_lifecycle_configuration(Bucket=name)['Rules']
    client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={'Rules': [*rules, theirs]})
    client.put_object(Bucket=name, Key='kept', Body=b'data')
    assert bucket.init(settings(moto.at(name)))[0] == f'{name}: there already'
    names = [rule['ID'] for rule in client.get_bucket_lifecycle_configuration(Bucket=name)['Rules']]
    assert sorted(names) == ['theirs', 'variosync', 'variosync-deleted']
    assert len(client.get_bucket_cors(Bucket=name)['CORSRules']) == 1
    assert client.get_object(Bucket=name, Key='kept')['Body'].read() == b'data'


def test_init_tells_what_a_store_does_not_offer(rclone: Rclone, name: str) -> None:
    made, *lines = bucket.init(settings(rclone.at(name)))
    assert made == f'{name}: made in us-east-1'
    assert len(lines) == 5
    assert 'not offered by this store' in ' '.join(lines)


@pytest.mark.parametrize(
    ('fault', 'error'),
    [
        (Fault(kind='answer', status=403, code='AccessDenied'), Misconfigured),
        (Fault(kind='answer', status=400, code='InvalidBucketName'), Misconfigured),
        (Fault(kind='answer', status=503), Unavailable),
        (Fault(kind='answer', status=400, code='RequestRateLimitExceeded'), Unavailable),
        (Fault(kind='reset'), Unavailable),
    ],
)
async def test_no_error_of_the_store_comes_through(
    moto: Moto, proxy: FaultProxy, name: str, fault: Fault, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, 'RETRIES', {'mode': 'standard', 'max_attempts': 1})
    monkeypatch.setattr(bucket, 'PATIENCE', Patience(tries=1))
    chosen = settings(moto.at(name), AWS_ENDPOINT_URL=proxy.url)
    proxy.fail(Fault(method='HEAD'))
    proxy.fail(fault, times=None)
    with pytest.raises(error):
        bucket.init(chosen)
    with pytest.raises((Misconfigured, Unavailable)):
        await bucket.check(chosen)


async def test_a_good_bucket_has_no_notes(moto: Moto, client: Any, name: str) -> None:
    chosen = settings(moto.at(name))
    bucket.init(chosen)
    assert await bucket.check(chosen) == []
    left = client.list_object_versions(Bucket=name)
    assert not left.get('Versions')
    assert not left.get('DeleteMarkers')


async def test_what_is_worth_knowing_is_told(moto: Moto, client: Any, name: str) -> None:
    chosen = settings(moto.make(name))
    assert await bucket.check(chosen) == ['it keeps no versions', 'public access is not blocked']
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={'Status': 'Enabled'})
    assert (await bucket.check(chosen))[0] == 'what is deleted stays as an old version: run `variosync bucket init`'
    bucket.init(chosen)
    client.put_public_access_block(
        Bucket=name, PublicAccessBlockConfiguration=bucket.BLOCK | {'BlockPublicAcls': False}
    )
    assert await bucket.check(chosen) == ['public access is not blocked']


async def test_a_bucket_that_everybody_can_read_is_refused(moto: Moto, proxy: FaultProxy, name: str) -> None:
    moto.make(name)
    # The read-back and the signed address pass; the bare address is answered as if it were public.
    proxy.fail(Fault(method='GET'), times=2)
    proxy.fail(Fault(kind='answer', method='GET', status=200))
    with pytest.raises(Misconfigured, match='Everybody'):
        await bucket.check(settings(moto.at(name), AWS_ENDPOINT_URL=proxy.url))


async def test_a_store_that_signs_is_proven(rclone: Rclone, name: str) -> None:
    at = rclone.make(name)
    notes = await bucket.check(settings(at))
    assert any('conditional' in note for note in notes)
    with pytest.raises(Misconfigured, match='AWS_ACCESS_KEY_ID'):
        await bucket.check(settings(at, AWS_SECRET_ACCESS_KEY='wrong'))
    assert await Objects.s3(at).list('t/00000000-0000-0000-0000-000000000000/') == []


def test_the_command_makes_the_bucket(moto: Moto, name: str) -> None:
    at = moto.at(name)
    environment = {'AWS_BUCKET_NAME': name, 'AWS_ENDPOINT_URL': str(at.endpoint)}
    environment |= {'AWS_ACCESS_KEY_ID': str(at.key), 'AWS_SECRET_ACCESS_KEY': str(at.secret)}
    command = [sys.executable, 'run_nicegui.py', 'bucket', 'init']
    done = subprocess.run(command, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.startswith(f'{name}: made in us-east-1\n')


@pytest.mark.parametrize('address', ['nonsense', 'http://', 'http://a:b', 'http://[::1', 'http://_.example.com'])
async def test_an_address_that_is_none_is_told(moto: Moto, name: str, address: str) -> None:
    with pytest.raises(Misconfigured, match='AWS_ENDPOINT_URL'):
        bucket.init(settings(moto.at(name), AWS_ENDPOINT_URL=address))
    with pytest.raises(Misconfigured, match='AWS_ENDPOINT_URL'):
        await bucket.check(settings(moto.at(name), AWS_ENDPOINT_URL=address))


async def test_no_bucket_is_told(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match='AWS_BUCKET_NAME'):
        bucket.init(Settings(VARIOSYNC_HOME=tmp_path))
    with pytest.raises(Misconfigured, match='AWS_BUCKET_NAME'):
        await bucket.check(Settings(VARIOSYNC_HOME=tmp_path))
