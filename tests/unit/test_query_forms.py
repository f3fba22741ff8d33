"""Answers of charts as bytes to send: in each form, packed where that is worth it."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.analysis.query import Answer, Part, encode
from core.analysis.query.files import columns, rows, write_parquet
from ui.api.query import WORTH_PACKING, _json, _sent

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
