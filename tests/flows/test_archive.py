"""Download everything: all of one account and nothing of another, in files that open, in little memory."""

import csv
import io
import json
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import polars as pl
import psycopg
import pytest

from core import audit
from core.archive import Archive, safe_name
from core.errors import NotFound
from core.values import Actor, User
from storage.embedded.server import EmbeddedPostgres
from storage.postgres import Postgres
from tests import factories
from tests.flows.conftest import Product
from tests.flows.doubles import ScriptedCompute
from tests.flows.test_forecasts import DATA, Models, issue

DIRTY = b'day,shop,units\n2026-01-01,north,12\nlater,north,13\n2026-01-03,north,14\n2026-01-04,north,15\n'
LARGE = 24 * 2**20
LEAST = 10 * 2**20
MANY = 503  # rows of a table, more than a page of it


@pytest.fixture
def scripted(open_product: Callable[..., Product], tmp_path: Path) -> Product:
    """The product whose forecasts follow a script."""
    return open_product(ScriptedCompute(Models(tmp_path)))


def archive_of(product: Product) -> Archive:
    return Archive(product.database, product.forecasts, product.objects)


async def unpacked(product: Product, user: User) -> dict[str, bytes]:
    """The user's archive as files."""
    data = b''.join([piece async for piece in archive_of(product).stream(user.id)])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert len(set(archive.namelist())) == len(archive.namelist())
        return {name: archive.read(name) for name in archive.namelist()}


async def fill(product: Product, scripted: Product, user: User) -> None:
    """Two datasets of one name, a forecast, and something in every table."""
    dataset = await product.bring(user, 'air_passengers.csv', DATA.read_bytes())
    second = await product.bring(user, 'air_passengers.csv', DIRTY)
    await product.datasets.rename(user.id, second.id, dataset.name)
    version = await product.datasets.version(user.id, dataset.id)
    await issue(scripted, user, version, name=f'Passengers of {user.email}')
    async with product.database.system() as tx:
        await audit.record(tx, user.id, 'sign-in', '=HYPERLINK("x")', by=Actor(address='127.0.0.1'))


async def test_everything_of_a_user_is_there_and_every_file_opens(
    product: Product, scripted: Product, user: User
) -> None:
    await fill(product, scripted, user)
    files = await unpacked(product, user)

    assert 'ledger.csv' in files['README.txt'].decode()
    account = json.loads(files['account.json'])
    assert (account['email'], account['api_keys'], account['sessions']) == (user.email, [], [])
    jobs = json.loads(files['jobs.json'])
    assert sorted(job['kind'] for job in jobs) == ['convert', 'convert', 'forecast']
    assert {notice['level'] for notice in json.loads(files['notices.json'])} == {'good', 'warn'} or files[
        'notices.json'
    ]

    issued = json.loads(files['issued.json'])
    assert sorted(row['model'] for row in issued) == ['ets', 'theta']
    assert json.loads(files['scores.json']) == []

    ledger = list(csv.DictReader(io.StringIO(files['ledger.csv'].decode())))
    balance = (await product.hours.balance(user.id)).seconds
    assert sum(int(row['seconds']) for row in ledger) == int(ledger[-1]['balance']) == balance
    grants = list(csv.DictReader(io.StringIO(files['grants.csv'].decode())))
    assert sum(int(row['remaining']) for row in grants) == balance

    first, second = 'datasets/air passengers', 'datasets/air passengers (2)'
    assert files[f'{first}/original/air_passengers.csv'] == DATA.read_bytes()
    assert files[f'{second}/original/air_passengers.csv'] == DIRTY
    about = json.loads(files[f'{first}/dataset.json'])
    assert (about['name'], about['uploads'][0]['file']) == ('air passengers', 'original/air_passengers.csv')
    for folder, rows in ((first, 144), (second, 3)):
        manifest = json.loads(files[f'{folder}/manifest.json'])
        parts = [pl.read_parquet(data) for name, data in files.items() if name.startswith(f'{folder}/rows/')]
        assert sum(part.height for part in parts) == rows == manifest['rows_read'] - manifest['rows_rejected']
        assert pl.read_parquet(files[f'{folder}/faults.parquet']).height == manifest['faults_total']

    (asked,) = [name for name in files if name.endswith('request.json')]
    folder = asked.removesuffix('/request.json')
    assert json.loads(files[asked])['request']['models'] == ['theta', 'ets', 'mstl']
    assert json.loads(files[f'{folder}/result.json'])['series'] == ['air']
    assert pl.read_parquet(files[f'{folder}/rows.parquet'])['model'].to_list() == ['theta', 'theta', 'ets', 'ets']
    assert 'missing.txt' not in files


async def test_nothing_of_another_user_is_there(
    product: Product, scripted: Product, user: User, database: Postgres
) -> None:
    stranger = await factories.user(database)
    await fill(product, scripted, user)
    before = await unpacked(product, stranger)
    assert sorted(before) == [
        'README.txt', 'account.json', 'audit.csv', 'dashboard_states.json', 'dashboards.json', 'grants.csv',
        'issued.json', 'jobs.json', 'ledger.csv', 'notices.json', 'scores.json',
    ]  # fmt: skip
    await fill(product, scripted, stranger)
    mine, theirs = await unpacked(product, user), await unpacked(product, stranger)
    for files, other in ((mine, stranger), (theirs, user)):
        everything = b'\n'.join([*files.values(), *(name.encode() for name in files)])
        assert other.email.encode() not in everything
        assert str(other.id).encode() not in everything
    ids = [{job['id'] for job in json.loads(files['jobs.json'])} for files in (mine, theirs)]
    assert not ids[0] & ids[1]


async def test_no_spreadsheet_runs_what_is_in_it(product: Product, scripted: Product, user: User) -> None:
    await fill(product, scripted, user)
    files = await unpacked(product, user)
    rows = csv.DictReader(io.StringIO(files['audit.csv'].decode()))
    assert [row['subject'] for row in rows if row['action'] == 'sign-in'] == ['\'=HYPERLINK("x")']


async def test_it_works_without_hours_and_without_data(product: Product, database: Postgres) -> None:
    poor = await factories.user(database, hours=0)
    files = await unpacked(product, poor)
    assert (await product.hours.balance(poor.id)).seconds == 0
    assert (files['ledger.csv'], json.loads(files['jobs.json']), json.loads(files['notices.json'])) == (b'', [], [])
    with pytest.raises(NotFound):
        await anext(archive_of(product).stream(uuid4()))


async def test_long_tables_come_whole(product: Product, user: User) -> None:
    async with product.database.system() as tx:
        for number in range(MANY):
            await audit.record(tx, user.id, f'act {number}')
            await tx.one('notice_insert', user_id=user.id, level='info', title=f'{number}', text='', link=None)
    files = await unpacked(product, user)
    lines = list(csv.DictReader(io.StringIO(files['audit.csv'].decode())))
    assert [line['action'] for line in lines] == [f'act {number}' for number in range(MANY)]
    notices = json.loads(files['notices.json'])
    assert sorted(int(notice['title']) for notice in notices) == list(range(MANY))


async def test_dashboards_are_there_with_every_state_that_is_kept(product: Product, user: User) -> None:
    made = [await product.dashboards.create(user.id, f'Board {number}') for number in range(21)]
    spec = {'panels': [{'id': 'n', 'kind': 'note', 'show': {'text': 'Mind the gap'}}]}
    saved = await product.dashboards.save(user.id, made[0].id, spec, revision=1)
    await product.dashboards.delete(user.id, made[1].id)
    stranger = await factories.user(product.database)
    await product.dashboards.create(stranger.id, 'Not mine')
    files = await unpacked(product, user)
    boards = json.loads(files['dashboards.json'])
    assert [one['name'] for one in boards] == [f'Board {number}' for number in range(21)]
    assert (boards[0]['spec'], boards[0]['revision']) == (saved.spec, 2)
    assert (boards[0]['updated_at'], boards[0]['deleted_at']) == (saved.updated_at.isoformat(), None)
    assert boards[1]['deleted_at']
    states = json.loads(files['dashboard_states.json'])
    assert [(one['revision'], one['spec']) for one in states if one['dashboard_id'] == str(made[0].id)] == [
        (1, made[0].spec), (2, saved.spec),
    ]  # fmt: skip
    assert len(states) == 22
    assert all(one['saved_at'] for one in states)


async def test_deleted_datasets_are_kept_and_so_they_are_there(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'air_passengers.csv', DATA.read_bytes())
    await product.datasets.delete(user.id, dataset.id)
    files = await unpacked(product, user)
    assert json.loads(files['datasets/air passengers/dataset.json'])['deleted_at']
    assert files['datasets/air passengers/original/air_passengers.csv'] == DATA.read_bytes()


async def test_a_lost_object_is_named_and_the_rest_arrives(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'air_passengers.csv', DATA.read_bytes())
    version = await product.datasets.version(user.id, dataset.id)
    await product.objects.delete(f'{version.prefix}/faults.parquet')
    files = await unpacked(product, user)
    assert files['missing.txt'].decode() == 'datasets/air passengers/faults.parquet\n'
    assert 'datasets/air passengers/manifest.json' in files


async def test_memory_stays_flat(product: Product, user: User, postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    upload = await product.send(user, 'noise.csv', DIRTY)
    key, path = f't/{user.id}/u/{uuid4()}/source', tmp_path / 'noise'
    with path.open('wb') as file:
        for _ in range(LARGE // 2**20):
            file.write(os.urandom(2**20))
    await product.objects.put_file(key, path)
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        connection.execute('update public.uploads set object_key = %s where id = %s', (key, upload.id))
    total = 0
    tracemalloc.start()
    try:
        async for piece in archive_of(product).stream(user.id):
            total += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total > LARGE
    assert peak < LEAST


async def test_a_download_that_is_broken_off_leaves_nothing(product: Product, scripted: Product, user: User) -> None:
    await fill(product, scripted, user)
    stream = archive_of(product).stream(user.id)
    assert (await anext(stream)).startswith(b'PK')
    await stream.aclose()


@pytest.mark.parametrize(
    ('wanted', 'name'),
    [
        ('sales 2026.csv', 'sales 2026.csv'),
        ('../../etc/passwd', '_.._etc_passwd'),
        ('..', '_'),
        ('a\\b:c*d?.csv', 'a_b_c_d_.csv'),
        ('line\nbreak\x00.csv', 'line_break_.csv'),
        ('CON.csv', '_CON.csv'),
        ('nul', '_nul'),
        ('trailing. . ', 'trailing'),
        ('Umsätze ☃.csv', 'Umsätze ☃.csv'),
        ('x' * 300 + '.csv', 'x' * 96 + '.csv'),
        ('', '_'),
    ],
)
def test_names_lead_nowhere(wanted: str, name: str) -> None:
    assert safe_name(wanted) == name
