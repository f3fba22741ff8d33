"""Answers of charts as bytes to send: in each form, packed where that is worth it, to who is still there."""

import asyncio
import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from starlette.requests import Request
from starlette.types import Message

from core.analysis.query import Answer, Part, encode
from core.analysis.query.files import columns, rows, write_parquet
from core.errors import TooLarge
from ui.api.query import WORTH_PACKING, _json, _sent, _unless_left

LINE = Part(name='a', series='Zürich', measure='y', columns={'t': np.array([1.0, 2]), 'y': np.array([3, np.nan])}, n=1)
ANSWER = Answer(
    kind='line', start=1, end=2, width=1, rows_behind=1, points_per_pixel=1, exact=True, span=(1, 2), lines=(LINE,)
)


def test_what_is_no_value_is_null() -> None:
    body, headers = _sent(encode(ANSWER), _json, packed=False)
    (line,) = json.loads(body)['lines']
    assert line['columns'] == {'t': [1, 2], 'y': [3, None]}
    assert line['series'] == 'Zürich'
    assert headers == {}


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
