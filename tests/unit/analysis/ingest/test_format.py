"""A stored version is read without this program: what docs/dataset-format.md says is true of its files.

Below the conversion nothing of ours is used, only DuckDB and JSON.
"""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest

from core.analysis.ingest import Options, convert

HOURS = 4_400
DOCS = Path(__file__).parents[4] / 'docs' / 'dataset-format.md'


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two series of wall-clock hours in Paris, with one bad cell, one bad time and one duplicate."""
    folder = tmp_path_factory.mktemp('format')
    start = datetime(2024, 4, 1)
    rows = [
        f'{start + timedelta(hours=hour)},{name},{hour % 97}.{hour % 10},{hour}'
        for hour in range(HOURS)
        for name in ('a', 'b')
    ]
    rows[10] = rows[10].rsplit(',', 1)[0] + ',broken'
    rows += ['never,a,1.5,1', rows[20]]
    source = folder / 'load.csv'
    source.write_text('\n'.join(['stamp,meter,load,count', *rows, '']), encoding='utf-8')
    into = folder / 'version'
    into.mkdir()
    options = Options(time_zone='Europe/Paris', roles={'meter': 'series', 'stamp': 'time'})
    convert(source, name='load.csv', into=into, options=options, progress=lambda share, text: None)
    return into


@pytest.fixture(scope='module')
def manifest(folder: Path) -> dict:
    return json.loads((folder / 'manifest.json').read_text(encoding='utf-8'))


def test_the_manifest_names_every_file_as_it_is(folder: Path, manifest: dict) -> None:
    assert manifest['format'] == 1
    assert {file['name'] for file in manifest['files']} | {'manifest.json'} == {file.name for file in folder.iterdir()}
    for file in manifest['files']:
        path = folder / file['name']
        assert file['bytes'] == path.stat().st_size
        assert file['sha256'] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert file['rows'] == duckdb.sql(f"SELECT count(*) FROM '{path}'").fetchall()[0][0]


def test_the_counts_add_up(folder: Path, manifest: dict) -> None:
    assert manifest['rows_read'] == 2 * HOURS + 2
    assert manifest['rows_accepted'] + manifest['rows_repaired'] + manifest['rows_rejected'] == manifest['rows_read']
    stored = sum(file['rows'] for file in manifest['files'] if file['name'].startswith('data-'))
    assert stored == manifest['rows_accepted'] + manifest['rows_repaired'] == 2 * HOURS
    kinds = dict(duckdb.sql(f"SELECT kind, count(*) FROM '{folder}/faults.parquet' GROUP BY kind").fetchall())
    assert kinds == manifest['faults_by_kind'] == {'not_a_number': 1, 'not_a_time': 1, 'duplicate': 1}
    assert sum(group['count'] for group in manifest['faults_summary']) == manifest['faults_total'] == 3


def test_rows_are_sorted_and_hold_the_types_named(folder: Path, manifest: dict) -> None:
    data = f"read_parquet('{folder}/data-*.parquet')"
    rows = duckdb.sql(f'SELECT _series, _time, _line FROM {data}').fetchall()
    assert rows == sorted(rows)
    types = {row[0]: row[1] for row in duckdb.sql(f'DESCRIBE SELECT * FROM {data}').fetchall()}
    named = {'text': 'VARCHAR', 'integer': 'BIGINT', 'timestamp': 'TIMESTAMP', 'decimal': 'DECIMAL(18,1)'}
    assert [types[name] for name in ('_series', '_time', '_line')] == ['VARCHAR', 'TIMESTAMP', 'BIGINT']
    assert {name: types[name] for name in types if name[0] != '_'} == {
        column['name']: named[column['type']] for column in manifest['columns']
    }


def test_series_and_zone_are_rebuilt(folder: Path, manifest: dict) -> None:
    time, zone = manifest['time'], ZoneInfo(manifest['time']['zone'])
    assert (time['column'], time['naive'], time['freq'], time['gaps']) == ('stamp', True, 'h', 0)
    assert manifest['series'] == {'columns': ['meter'], 'count': 2, 'first': ['a', 'b'], 'opens': 'a'}
    rows = duckdb.sql(
        f"SELECT stamp, _time, load FROM read_parquet('{folder}/data-*.parquet') WHERE _series = 'a' ORDER BY _time"
    ).fetchall()
    assert [row[0] for row in rows] == [datetime(2024, 4, 1) + timedelta(hours=hour) for hour in range(HOURS)]
    assert all(row[0].replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None) == row[1] for row in rows)
    assert f'{rows[0][1].isoformat()}Z' == time['start']
    listed = duckdb.sql(f"SELECT series, rows, start, freq FROM '{folder}/series.parquet'").fetchall()
    assert listed == [(name, HOURS, rows[0][1], 'h') for name in ('a', 'b')]


def test_the_pyramid_sums_up_the_rows(folder: Path, manifest: dict) -> None:
    pyramid, data = f"'{folder}/pyramid.parquet'", f"read_parquet('{folder}/data-*.parquet')"
    for measure in manifest['measures']:
        asked = f'SELECT count({measure}), sum({measure}::DOUBLE), min({measure}), max({measure}) FROM {data}'
        count, total, low, high = duckdb.sql(asked).fetchall()[0]
        levels = duckdb.sql(
            f"SELECT sum(n), sum(total), min(low), max(high) FROM {pyramid} WHERE measure = '{measure}' GROUP BY level"
        ).fetchall()
        assert levels
        for level in levels:
            assert level == (count, pytest.approx(total), float(low), float(high))
    within = duckdb.sql(
        f"""SELECT count(*) FROM {pyramid} p JOIN {data} d ON p.series = d._series AND p.measure = 'load'
        AND epoch_us(d._time) >= p.start AND epoch_us(d._time) < p.start + p.width WHERE p.level = 0"""
    ).fetchall()
    assert within == [(2 * HOURS,)]


def test_the_documentation_names_every_key_file_and_column(folder: Path, manifest: dict) -> None:
    text = DOCS.read_text(encoding='utf-8')
    columns = [name for file in ('series', 'pyramid') for name in duckdb.sql(f"FROM '{folder}/{file}.parquet'").columns]
    for name in [*manifest, *(file['name'] for file in manifest['files']), *columns]:
        assert name in text
