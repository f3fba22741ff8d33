"""What panels ask over REST: every form of an answer, times in both writings, and what is refused with its place."""

import csv
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pyarrow.parquet as pq
import pytest

from core.analysis.query import decode
from core.analysis.query.engine import MOST_SERIES
from tests.e2e.server import Server, python
from tests.e2e.test_rest import API, finished, refused, register, send

pytestmark = pytest.mark.xdist_group('rest')

FORMULA = '=HYPERLINK("http://evil.example")'
DAYS = 20
LOADS = [float(day * day % 17) for day in range(1, DAYS + 1)]
JSON = {'Accept': 'application/json'}


def table() -> bytes:
    """One series whose name is a formula, and with three rows each more series than are read at once."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(['time', 'site', 'load'])
    writer.writerows((f'2026-01-{day:02}', FORMULA, load) for day, load in enumerate(LOADS, 1))
    writer.writerows(
        (f'2026-01-0{day}', f'site {number:05}', number) for number in range(MOST_SERIES) for day in (1, 2, 3)
    )
    return out.getvalue().encode()


@pytest.fixture(scope='module')
def asked() -> Iterator[tuple[httpx.Client, dict[str, str], str]]:
    """A client, the headers of who owns a version, and the version's address."""
    home = Path(mkdtemp(prefix='vs-'))
    chosen = {'VARIOSYNC_RATE_LIMIT': '1000000', 'VARIOSYNC_TRIAL_HOURS': '100', 'VARIOSYNC_DEMO': '0'}
    server = Server(home, command=python('run_nicegui.py', 'serve'), **chosen)
    try:
        server.start()
        with httpx.Client(base_url=f'{server.url}{API}', timeout=60) as api:
            who = register(api, 'ada@example.com')
            dataset = send(api, who, table(), 'load.csv')
            assert [job['state'] for job in finished(api, who)] == ['succeeded']
            yield api, who, f'/datasets/{dataset}/versions/1'
    finally:
        server.stop()
        rmtree(home, ignore_errors=True)


Asked = tuple[httpx.Client, dict[str, str], str]


def query(asked: Asked, *, headers: dict[str, str] | None = None, **parts: Any) -> httpx.Response:
    api, who, version = asked
    named = {'measures': 'load', 'series': FORMULA} | parts
    told = {name.rstrip('_'): value for name, value in named.items() if value is not None}
    return api.get(f'{version}/query?{urlencode(told, doseq=True)}', headers=who | (headers or {}))


def test_an_answer_is_the_same_in_every_form(asked: Asked) -> None:
    binary = query(asked)
    assert binary.headers['content-type'] == 'application/octet-stream'
    (line,) = decode(binary.content).lines
    assert line.columns['y'].tolist() == LOADS
    plain = query(asked, headers=JSON).json()
    assert (plain['exact'], plain['note'], plain['rows_behind']) == (True, '', DAYS)
    assert plain['lines'][0]['columns'] == {name: column.tolist() for name, column in line.columns.items()}
    table = pq.read_table(io.BytesIO(query(asked, format='parquet').content))
    assert table.column_names == ['series', 'measure', 'what', 'time', 'value']
    assert table['value'].to_pylist() == LOADS
    assert table['series'].to_pylist() == [FORMULA] * DAYS
    assert [round(one.timestamp() * 1000) for one in table['time'].to_pylist()] == line.columns['t'].tolist()


def test_answers_are_squeezed_without_taking_long(asked: Asked) -> None:
    api, who, version = asked
    url = f'{version}/query?measures=load&series={quote(FORMULA)}'
    with api.stream('GET', url, headers=who | {'Accept-Encoding': 'gzip'}) as answer:
        squeezed = b''.join(answer.iter_raw())
    assert answer.headers['content-encoding'] == 'gzip'
    assert squeezed[:3] == b'\x1f\x8b\x08'
    assert squeezed[8] != 2, 'as small as can be takes ten times as long'
    assert gzip.decompress(squeezed) == query(asked).content


def test_no_cell_of_a_download_is_a_formula(asked: Asked) -> None:
    answer = query(asked, headers={'Accept': 'text/csv'})
    assert answer.headers['content-disposition'].endswith('.csv"')
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {row['series'] for row in rows} == {f"'{FORMULA}"}
    assert [float(row['value']) for row in rows] == LOADS
    assert rows[0]['time'] == '2026-01-01T00:00:00+00:00'
    assert query(asked, format='csv').text == answer.text


@pytest.mark.parametrize(
    ('start', 'end'),
    [
        ('2026-01-03T00:00:00Z', '2026-01-05'),
        ('2026-01-03T01:00:00+01:00', '2026-01-05T00:00:00+00:00'),
        ('1767398400000', '1767571200000'),
    ],
)
def test_ranges_are_told_in_both_writings(asked: Asked, start: str, end: str) -> None:
    found = query(asked, headers=JSON, from_=start, to=end).json()
    assert found['lines'][0]['columns']['y'] == LOADS[2:5]
    assert (found['start'], found['end']) == (1767398400000, 1767571200000)


def test_who_holds_an_answer_gets_it_no_more_unless_it_is_theirs(asked: Asked) -> None:
    api, _, version = asked
    first = query(asked)
    tag = first.headers['etag']
    assert first.headers['cache-control'] == 'private, max-age=300'
    assert {'Authorization', 'Cookie'} <= set(first.headers['vary'].split(', ')), 'of one session alone'
    assert query(asked, headers=JSON).headers['cache-control'] == 'private, no-cache'
    again = query(asked, headers={'If-None-Match': tag})
    assert (again.status_code, again.content, again.headers['etag']) == (304, b'', tag)
    assert query(asked, headers={'If-None-Match': tag}, width=999).status_code == 200
    assert query(asked, headers={'If-None-Match': tag} | JSON).status_code == 200
    stranger = register(api, 'eve@example.com') | {'If-None-Match': tag}
    refused(api.get(f'{version}/query?measures=load', headers=stranger), 404)
    refused(api.get(f'{version}/keys', headers=stranger), 404)
    refused(api.get(f'{version}/query?measures=load', headers={'If-None-Match': tag}), 401)


@pytest.mark.parametrize(
    ('parts', 'place'),
    [
        ({'kind': 'cake'}, 'query.kind'),
        ({'measures': 'nothing'}, 'query.measures'),
        ({'series': 'nobody'}, 'query.series'),
        ({'every': 'often'}, 'query.every'),
        ({'zone': 'Mars/Olympus'}, 'query.zone'),
        ({'group': 'colour'}, 'query.group'),
        ({'filters': 'colour~eq~red'}, 'query.filters'),
        ({'overlays': 'astrology'}, 'query.overlays'),
        ({'aggregation': 'p101', 'every': 'P1D'}, 'query.aggregation'),
        ({'compare': 'long ago'}, 'query.compare'),
        ({'width': 0}, 'query.width'),
        ({'from_': 'yesterday'}, None),
        ({'from_': '2026-01-05', 'to': '2026-01-03'}, 'query.start'),
        ({'kind': 'buckets', 'every': 'PT1S', 'to': '2027-01-01'}, 'query.every'),
    ],
)
def test_what_is_asked_wrongly_is_named(asked: Asked, parts: dict[str, Any], place: str | None) -> None:
    told = refused(query(asked, **parts), 400)
    assert place is None or told['place'] == place


def test_too_many_series_and_lines_are_refused(asked: Asked) -> None:
    assert 'Filter them by a key' in refused(query(asked, series=None, group='*', kind='buckets'), 413)['detail']
    few = query(
        asked, series=None, group='*', kind='buckets', every='P1Y', filters=f'site~ne~{FORMULA}', aggregation='sum'
    )
    assert few.status_code == 200
    (line,) = decode(few.content).lines
    assert line.columns['y'].tolist() == [3 * sum(range(MOST_SERIES))]
    many = refused(query(asked, series=None, filters='site~lt~site 00100'), 400, place='query.series')
    assert 'at most 50 lines' in many['detail']
    refused(query(asked, headers={'Accept': 'image/png'}), 406)


def test_keys_tell_the_first_thousand(asked: Asked) -> None:
    api, who, version = asked
    (key,) = api.get(f'{version}/keys', headers=who).json()['items']
    assert (key['name'], key['labels'][0], len(key['labels'])) == ('site', FORMULA, 1000)
    refused(api.get(version.replace('/1', '/7') + '/keys', headers=who), 404)
