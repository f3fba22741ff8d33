"""Answers of charts as bytes to send: in each form, packed where that is worth it, to who is still there."""

import asyncio
import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote
from uuid import uuid4

import numpy as np
import pyarrow.parquet as pq
import pytest
from starlette.requests import Request
from starlette.types import Message

from core.analysis.query import Answer, Part, Query, encode
from core.analysis.query.files import columns, rows, write_parquet
from core.errors import TooLarge, UsageError
from core.values import Version
from ui.api.contract import LONGEST_NAME, disposition
from ui.api.query import WORTH_PACKING, Asked, _called, _json, _sent, _unless_left

LINE = Part(name='a', series='Zürich', measure='y', columns={'t': np.array([1.0, 2]), 'y': np.array([3, np.nan])}, n=1)
ANSWER = Answer(
    kind='line', start=1, end=2, width=1, rows_behind=1, points_per_pixel=1, exact=True, span=(1, 2), lines=(LINE,)
)


def version(*, type: str = 'timestamp', zone: str = 'Europe/Berlin') -> Version:
    columns = [{'name': 'time', 'type': type}]
    return Version(
        **{name: uuid4() for name in ('id', 'dataset_id', 'user_id', 'upload_id')},
        number=1,
        prefix='p',
        manifest={'measures': ['y'], 'time': {'column': 'time', 'zone': zone}, 'columns': columns},
        rows=1,
        created_at=datetime.now(UTC),
    )


def test_days_are_those_of_the_dataset_unless_a_zone_is_named() -> None:
    assert Asked().of(version()).zone == 'Europe/Berlin'
    assert Asked(zone='UTC').of(version()).zone == 'UTC'
    assert Asked().of(version(zone='')).zone == 'UTC'


def test_dates_are_the_same_in_every_zone() -> None:
    assert Asked(zone='America/New_York').of(version(type='date')).zone == 'UTC'
    with pytest.raises(UsageError):
        Asked(zone='Mars/Olympus').of(version(type='date'))


def test_what_is_no_value_is_null() -> None:
    body, headers = _sent(encode(ANSWER), _json, packed=False)
    (line,) = json.loads(body)['lines']
    assert line['columns'] == {'t': [1, 2], 'y': [3, None]}
    assert line['series'] == 'Zürich'
    assert headers == {}


@pytest.mark.parametrize(
    ('year', 'zone', 'day'),
    [
        (1, 'America/New_York', '0001-01-01'),
        (1, 'Asia/Tokyo', '0001-01-01'),
        (9999, 'Asia/Tokyo', '9999-12-31'),
        (9999, 'America/New_York', '9999-12-31'),
        (2026, 'Asia/Tokyo', '2027-01-01'),
    ],
)
def test_a_file_is_called_by_days_to_both_ends_of_the_calendar(year: int, zone: str, day: str) -> None:
    at = datetime(year, *((1, 1, 0) if year == 1 else (12, 31, 23)), tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    ends = at / timedelta(milliseconds=1)
    found = encode(replace(ANSWER, start=ends, end=ends))
    assert _called('Shops', Query(measures=('y',), zone=zone), found) == f'Shops, y, {day}'
    last = replace(LINE, columns={'t': np.array([ends]), 'y': np.array([1.0])})
    ((*_, time, value),) = rows(replace(ANSWER, lines=(last,)), zone)
    assert str(time).startswith(day)
    assert value == 1


@pytest.mark.parametrize('letter', ['a', 'ä', '語', '🙂'])
def test_a_name_of_a_file_fits_file_systems_and_keeps_its_ending(letter: str) -> None:
    for name in (f'{letter * 300}.csv', f'x{letter * 300}.parquet', f'{letter * 300}'):
        kept = unquote(disposition(name).split(';')[1].removeprefix(" filename*=UTF-8''"))
        assert LONGEST_NAME - 4 < len(kept.encode()) <= LONGEST_NAME
        stem, _, ending = kept.partition('.')
        assert name.startswith(stem)
        assert ending == name.partition('.')[2]
    assert disposition('v1.2, y.csv').endswith('filename="v1.2, y.csv"')


def test_a_file_of_a_long_dataset_still_tells_its_days() -> None:
    called = _called('語' * 200, Query(measures=('y',) * 3, zone='UTC'), encode(ANSWER))
    assert called.startswith('語語')
    assert called.endswith(', 1970-01-01')
    assert unquote(disposition(f'{called}.parquet')).count(f'{called}.parquet') == 1


@pytest.mark.parametrize('made', [None, _json], ids=['binary', 'JSON'])
def test_great_answers_are_packed_and_small_ones_are_not(made: object) -> None:
    small = encode(ANSWER)
    great = encode(replace(ANSWER, lines=(LINE,) * 99))
    assert len(small) < WORTH_PACKING < len(great)
    assert _sent(small, made, packed=True) == _sent(small, made, packed=False)
    body, headers = _sent(great, made, packed=True)
    assert headers == {'Content-Encoding': 'gzip'}
    assert gzip.decompress(body) == _sent(great, made, packed=False)[0]


def test_a_parquet_file_holds_the_rows_of_the_table(tmp_path: Path) -> None:
    bins = Part(name='b', series='', measure='', columns={'edges': np.arange(4.0), 'count': np.ones(3)}, n=3)
    gaps = replace(LINE, columns={'t': np.array([1e12, 1e12 + 1, 1e12 + 2]), 'y': np.array([np.nan, 1, 2])}, role='ema')
    for lines in ((LINE, bins, gaps), (bins,), ()):
        answer = replace(ANSWER, lines=lines)
        write_parquet(answer, out := tmp_path / 'answer.parquet')
        found = pq.read_table(out)
        assert found.column_names == columns(answer)
        assert [tuple(row.values()) for row in found.to_pylist()] == list(map(tuple, rows(answer)))


@pytest.mark.parametrize(
    ('zone', 'hours', 'written'),
    [
        ('UTC', [0, 24], ['2026-03-28', '2026-03-29']),
        ('UTC', [0, 23], ['2026-03-28T00:00:00+00:00', '2026-03-28T23:00:00+00:00']),
        # Clocks go forward on the 29th: each is a midnight there, and an hour apart from a day before.
        ('Europe/Berlin', [23, 46, 70], ['2026-03-29', '2026-03-30', '2026-03-31']),
        ('Europe/Berlin', [24], ['2026-03-29T01:00:00+01:00']),
    ],
)
def test_times_of_a_table_are_by_the_clock_of_the_question(zone: str, hours: list[int], written: list[str]) -> None:
    t = np.array([1774656000000 + 3_600_000.0 * hour for hour in hours])
    answer = replace(ANSWER, lines=(replace(LINE, columns={'t': t, 'y': np.ones(len(t))}),))
    assert [row[3].isoformat() for row in rows(answer, zone)] == written


def asked_until(gone: asyncio.Event) -> Request:
    """A request whose reader leaves at an event."""
    messages: list[Message] = [{'type': 'http.request', 'body': b'', 'more_body': False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await gone.wait()
        return {'type': 'http.disconnect'}

    return Request({'type': 'http', 'method': 'GET', 'headers': []}, receive)


async def test_what_a_reader_left_is_not_sought_further() -> None:
    gone, ended = asyncio.Event(), asyncio.Event()

    async def seeking() -> bytes:
        gone.set()
        try:
            return await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    assert await _unless_left(asked_until(gone), seeking()) is None
    await asyncio.wait_for(ended.wait(), 30)


async def test_who_stays_is_told_what_is_found_or_wrong() -> None:
    async def found() -> bytes:
        return b'found'

    async def wrong() -> bytes:
        raise TooLarge('Choose fewer.')

    assert await _unless_left(asked_until(asyncio.Event()), found()) == b'found'
    with pytest.raises(TooLarge, match='Choose fewer'):
        await _unless_left(asked_until(asyncio.Event()), wrong())
