"""What panels ask over REST: every form of an answer, times in both writings, and what is refused with its place."""

import asyncio
import csv
import gzip
import io
import json
import re
import struct
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote, urlencode
from uuid import uuid4

import httpx
import pyarrow.parquet as pq
import pytest

from core.analysis.query import decode
from core.analysis.query.asked import MOST_SERIES
from tests.e2e.server import Server
from tests.e2e.test_rest import API, finished, refused, register, send
from ui.api.queries import MOST, _sent

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
def asked(server: Server) -> Iterator[tuple[httpx.Client, dict[str, str], str]]:
    """A client, the headers of who owns a version, and the version's address."""
    with httpx.Client(base_url=f'{server.url}{API}', timeout=60) as api:
        who = register(api, 'ada@ask.example')
        dataset = send(api, who, table(), 'load.csv')
        assert [job['state'] for job in finished(api, who)] == ['succeeded']
        yield api, who, f'/datasets/{dataset}/versions/1'


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
    # The file tells its dataset, what it holds and from when to when; or is called as who asks says.
    called = unquote(answer.headers['content-disposition'])
    assert re.search(r', load, =HYPERLINK.*, 2026-01-01 to 2026-\d\d-\d\d\.csv; filename=', called), called
    named = query(asked, format='parquet', name='Tromsø: a/b').headers['content-disposition']
    assert named == 'attachment; filename*=UTF-8\'\'Troms%C3%B8-%20a-b.parquet; filename="Troms_- a-b.parquet"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {row['series'] for row in rows} == {f"'{FORMULA}"}
    assert [float(row['value']) for row in rows] == LOADS
    assert rows[0]['time'] == '2026-01-01', 'days need no clock'
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
    stranger = register(api, 'eve@ask.example') | {'If-None-Match': tag}
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


def several(asked: Asked, *questions: str, headers: dict[str, str] | None = None) -> dict[int, tuple[int, bytes]]:
    """Ask together; return by the place of the question its status and its answer."""
    api, who, _ = asked
    answer = api.get('/queries', params={'q': list(questions)}, headers=who | (headers or {}))
    assert (answer.status_code, answer.headers['content-type']) == (200, 'application/octet-stream')
    found, left = {}, answer.content
    while left:
        at, status, size = struct.unpack('<III', left[:12])
        found[at] = status, left[12 : 12 + size]
        left = left[12 + size :]
    return found


@pytest.mark.parametrize('coding', ['gzip', 'identity'])
def test_questions_that_are_asked_together_have_the_answers_they_have_alone(asked: Asked, coding: str) -> None:
    place = asked[2].removeprefix('/datasets/').replace('/versions', '')
    ask = [
        {'measures': 'load', 'series': FORMULA},
        {'kind': 'buckets', 'every': 'P1W', 'series': FORMULA, 'from': '2026-01-03', 'aggregation': 'p90'},
        {'kind': 'histogram', 'bins': 7, 'series': [FORMULA, 'site 00001']},
    ]
    together = several(
        asked, *(f'{place}?{urlencode(one, doseq=True)}' for one in ask), headers={'Accept-Encoding': coding}
    )
    alone = [asked[0].get(f'{asked[2]}/query?{urlencode(one, doseq=True)}', headers=asked[1]).content for one in ask]
    assert [together[at] for at in range(len(ask))] == [(200, answer) for answer in alone]


def test_a_question_that_cannot_be_answered_leaves_the_others(asked: Asked) -> None:
    api, _, version = asked
    place = version.removeprefix('/datasets/').replace('/versions', '')
    good = f'{place}?series={quote(FORMULA)}'
    odd = {
        f'{place}?kind=cake': (400, 'query.kind'),
        f'{place}?width=0': (400, 'query.width'),
        f'{place}?series=nobody': (400, 'query.series'),
        place.removesuffix('1') + '2?': (404, None),
        place.removesuffix('1') + '99999999999999?': (404, None),
        f'{uuid4()}/1?': (404, None),
        'nonsense': (404, None),
    }
    found = several(asked, good, *odd, good)
    assert found[0][0] == found[len(odd) + 1][0] == 200
    told = [(found[at][0], json.loads(found[at][1]).get('place')) for at in range(1, len(odd) + 1)]
    assert told == list(odd.values())
    stranger = register(api, 'mallory@ask.example')
    assert {status for status, _ in several((api, stranger, version), good).values()} == {404}
    refused(api.get('/queries', params={'q': [good]}), 401)
    refused(api.get('/queries', headers=asked[1]), 400)
    refused(api.get('/queries', params={'q': [good] * (MOST + 1)}, headers=asked[1]), 400)


def test_answers_of_one_moment_are_not_kept_for_errors_are_among_them(asked: Asked) -> None:
    api, who, _ = asked
    assert api.get('/queries', params={'q': ['nonsense']}, headers=who).headers['cache-control'] == 'private, no-cache'


def by_name(at: int, task: asyncio.Task[bytes]) -> bytes:
    error = task.exception()
    return f'{at} {type(error).__name__ if error else task.result().decode()}'.encode()


async def test_who_leaves_lets_go_of_what_is_not_answered() -> None:
    let_go: list[str] = []

    async def answered(text: str) -> bytes:
        if text == 'one':
            return b'first'
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            let_go.append(text)
            raise
        return b''

    answers = _sent(['one', 'two', 'three'], answered, by_name, squeezed=False)
    assert await anext(answers) == b'0 first'
    await answers.aclose()
    await asyncio.sleep(0)  # a task that was cancelled ends with the loop's next turn
    assert sorted(let_go) == ['three', 'two']


async def test_a_fault_of_ours_in_one_question_leaves_the_others() -> None:
    async def answered(text: str) -> bytes:
        return str(6 // int(text)).encode()

    found = [answer async for answer in _sent(['1', '0', '3'], answered, by_name, squeezed=False)]
    assert sorted(found) == [b'0 6', b'1 ZeroDivisionError', b'2 2']
