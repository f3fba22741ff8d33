"""Whatever csv.writer writes in a usual dialect and encoding reads back exactly."""

import csv
import io
import string
import tempfile
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from core.analysis.ingest.reader import read, write_raw_csv

WORDS = st.text(string.ascii_letters + 'äéß', min_size=1, max_size=8)
TEXT = st.one_of(
    WORDS,
    st.builds('{} {}'.format, WORDS, WORDS),
    st.builds('{}, {}; {}'.format, WORDS, WORDS, WORDS),
    st.builds('{} "{}"'.format, WORDS, WORDS),
    st.builds("{}'s {}".format, WORDS, WORDS),
    st.builds('{}\n{}'.format, WORDS, WORDS),
    st.builds('{}\r\n{}'.format, WORDS, WORDS),
    st.just(''),
)


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    names = draw(st.lists(st.text(string.ascii_lowercase, min_size=2, max_size=8), min_size=1, max_size=4, unique=True))
    names = ['ds', 'value_1', *(f'{name}_n' for name in names)]
    count = draw(st.integers(5, 12))
    rows = []
    for day in range(count):
        number = draw(st.decimals(-1000, 1000, places=2))
        rows.append([f'2021-03-{day + 1:02d}', str(number), *(draw(TEXT) for _ in names[2:])])
    return [names, *rows]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    table=tables(),
    delimiter=st.sampled_from(',;\t|'),
    quote=st.sampled_from('"\''),
    newline=st.sampled_from(['\n', '\r\n']),
    encoding=st.sampled_from(['utf-8', 'utf-8-sig', 'utf-16', 'cp1252']),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
@pytest.mark.slow
def test_written_table_reads_back(
    table: list[list[str]], delimiter: str, quote: str, newline: str, encoding: str, quoting: int
) -> None:
    # Apostrophes around nothing but cells of several lines may as well be words that were cut off: nobody can tell.
    broken = {'\n' in cell for row in table for cell in row if {*cell} & {delimiter, quote, '\n'}}
    assume(quote == '"' or quoting == csv.QUOTE_ALL or broken != {True})
    buffer = io.StringIO(newline='')
    csv.writer(buffer, delimiter=delimiter, quotechar=quote, lineterminator=newline, quoting=quoting).writerows(table)
    text = buffer.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / 'in', Path(folder) / 'out.csv'
        path.write_bytes(text.encode(encoding))
        found = read(path, name='in.csv', workdir=Path(folder) / 'work')
        write_raw_csv(found, out)
        assert list(csv.reader(io.StringIO(out.read_bytes().decode(), newline=''))) == table
        assert (found.rows_read, found.rejected, found.faults_path) == (len(table) - 1, 0, None)
        starts = [row[0] for row in duckdb.execute('SELECT _line FROM read_parquet(?)', [str(found.path)]).fetchall()]
    physical = text.split('\n')
    assert [physical[line - 1].lstrip(quote)[:10] for line in starts] == [row[0] for row in table[1:]]
