"""Faults stand where they were found: at their row, beside a lost record, at the cell of a melted table."""

import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from core.analysis import duck
from core.analysis.ingest import Options, convert
from core.analysis.query import Answer, decode, encode, plain
from core.analysis.query import marks as module
from core.analysis.query.marks import Faults, Mark, Marks, bounded, files, read
from core.errors import TooLarge

ALWAYS = {'start': -(2**62), 'end': 2**62}
LONG = [
    'time,site,load,value',
    *(f'2026-01-{day:02},{site},{day},{day}.5' for day in range(1, 28) for site in ('Oslo', 'Rome')),
]
COLUMNS = [
    {'role': 'measure', 'name': 'value', 'source': 'value'},
    {'role': 'measure', 'name': 'load', 'source': 'load'},
]


def stored(folder: Path, rows: Sequence[str]) -> tuple[Path, dict[str, Any]]:
    source, made = folder / 'a.csv', folder / 'version'
    source.write_text('\n'.join(rows) + '\n')
    made.mkdir()
    manifest = convert(source, name='a.csv', into=made, options=Options(), progress=lambda part, text: None).to_json()
    assert files(manifest) == [(0, '')]
    return made, manifest


def marks_in(made: Path, manifest: dict[str, Any]) -> tuple[Marks, list[str]]:
    faults = [Faults(place=0, path=made / 'faults.parquet', origin='')]
    labels = set(pq.read_table(made / 'series.parquet')['series'].to_pylist())
    found = read(sorted(made.glob('data-*.parquet')), faults, manifest, holds=labels.__contains__, system=None)
    return found, manifest['measures']


def marks_of(folder: Path, rows: Sequence[str]) -> tuple[Marks, list[str]]:
    return marks_in(*stored(folder, rows))


def day(mark: Mark) -> str:
    return datetime.fromtimestamp(mark.t / 1000, UTC).strftime('%d')


def test_marks_stand_at_their_rows_and_lost_records_beside_theirs(tmp_path: Path) -> None:
    rows = [*LONG]
    rows[5] = '2026-01-03,Oslo,oops,3.5'  # line 6
    rows[10] = '2026-01-05,Rome,5,5.5 kg'  # line 11
    rows[20] = '2026-02-30,Rome,1,2'  # line 21
    rows[31] += ',surplus'  # line 32
    found, measures = marks_of(tmp_path, rows)
    marks, total = found.within({'Oslo': 'all', 'Rome': 'all'}, measures, **ALWAYS)
    assert total == 4
    told = [(day(one), one.series, one.measure, one.line, one.action, one.value, one.y) for one in marks]
    assert told == [
        ('03', 'Oslo', 'load', 6, 'emptied', 'oops', None),
        ('05', 'Rome', 'value', 11, 'repaired', '5.5 kg', 5.5),
        ('10', 'Oslo', '', 21, 'rejected', '2026-02-30', None),  # the line before it is Oslo's
        ('16', 'Oslo', '', 32, 'truncated', 'surplus', None),
    ]
    assert {one.of for one in marks} == {'all'}
    assert found.nbytes == found._table.nbytes
    assert [one.measure for one in found.within({'Rome': 'Rome'}, ['load'], **ALWAYS)[0]] == []
    early = found.within({'Oslo': 'Oslo'}, ['load'], start=ALWAYS['start'], end=int(marks[1].t * 1000))
    assert [one.line for one in early[0]] == [6]


def test_a_cell_of_a_table_of_times_stands_at_its_time(tmp_path: Path) -> None:
    rows = ['shop,' + ','.join(f'2026-01-{at:02}' for at in range(1, 28))]
    rows += [f's{shop},' + ','.join(str(shop * at) for at in range(1, 28)) for shop in range(12)]
    rows[5] = rows[5].replace(',12,', ',oops,')
    rows[9] = rows[9].replace(',40,', ',40 kg,')
    found, measures = marks_of(tmp_path, rows)
    marks, _ = found.within({f's{shop}': f's{shop}' for shop in range(12)}, measures, **ALWAYS)
    told = [(day(one), one.series, one.measure, one.action, one.column, one.y) for one in marks]
    assert told == [
        ('03', 's4', 'value', 'rejected', '2026-01-03', None),
        ('05', 's8', 'value', 'repaired', '2026-01-05', 40),
    ]


def test_a_cell_of_a_table_of_series_stands_at_its_series(tmp_path: Path) -> None:
    sites = [f'site {at}' for at in range(30)]
    rows = ['time,' + ','.join(sites)]
    rows += [f'2026-01-{at:02},' + ','.join(str(place + at) for place in range(30)) for at in range(1, 28)]
    cells = rows[7].split(',')
    cells[4] = 'oops'
    rows[7] = ','.join(cells)
    found, measures = marks_of(tmp_path, rows)
    labels = {label: label for label in (*sites, '')}
    ((mark,), total) = found.within(labels, [*measures], **ALWAYS)
    assert (total, day(mark), mark.line, mark.column, mark.value) == (1, '07', 8, 'site 3', 'oops')
    assert 'site 3' in (mark.series, mark.measure)


def wide(*, series: int, times: int, bad: range) -> list[str]:
    """A table of series in which all cells of the lines `bad` are no numbers."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    rows = ['time,' + ','.join(f'site {at}' for at in range(series))]
    for at in range(times):
        cells = ['oops' if at + 2 in bad else str(place + at) for place in range(series)]
        rows.append(f'{begin + timedelta(hours=at):%Y-%m-%d %H:%M},' + ','.join(cells))
    return rows


@pytest.fixture(scope='module')
def dense(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A version of such a table with a thousand faults close together, and its manifest."""
    return stored(tmp_path_factory.mktemp('dense'), wide(series=100, times=60, bad=range(20, 30)))


class Counting:
    """A connection that notes how many rows each join gives."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.joined: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, query: str, *bound: Any) -> Any:
        return self._counted('execute', query, *bound)

    def sql(self, query: str) -> Any:
        return self._counted('sql', query)

    def _counted(self, how: str, query: str, *bound: Any) -> Any:
        if 'JOIN' in query:
            ((_, text),) = self._connection.execute(f'EXPLAIN (ANALYZE, FORMAT json) {query}', *bound).fetchall()
            self._note(json.loads(text)['operator'])
        return getattr(self._connection, how)(query, *bound)

    def _note(self, operators: Any) -> None:
        for one in operators:
            if one['type'].endswith('_JOIN'):
                self.joined.append(one['intermediate_rows'])
            self._note(one.get('children', ()))


def test_cells_of_a_wide_table_are_never_joined_to_all_that_is_near(
    dense: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, measures = marks_in(*dense)
    counting: list[Counting] = []

    class Counted(module._Seeking):
        def __init__(self, connection: Any, *rest: Any) -> None:
            counting.append(Counting(connection))
            super().__init__(counting[0], *rest)

    monkeypatch.setattr(module, '_Seeking', Counted)
    found, _ = marks_in(*dense)
    labels = {f'site {at}': f'site {at}' for at in range(100)}
    marks, total = found.within(labels, measures, **ALWAYS, most=9999)
    assert (marks, total) == expected.within(labels, measures, **ALWAYS, most=9999)
    assert total == 1000
    assert all(mark.series == mark.column for mark in marks)
    assert {mark.t for mark in marks if mark.line <= 24} == {datetime(2026, 1, 1, 17, tzinfo=UTC).timestamp() * 1000}
    assert counting[0].joined
    assert max(counting[0].joined) <= 5000 + 1000  # rows and faults


def test_a_record_of_a_wide_table_stands_at_all_its_points_as_far_as_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row + (',,x' if at % 3 == 1 else '') for at, row in enumerate(wide(series=30, times=60, bad=range(0)))]
    labels = {f'site {at}': f'site {at}' for at in range(30)}
    version = stored(tmp_path, rows)
    for most, share in ((600, 1), (599, 2), (90, 7)):
        monkeypatch.setattr(module, 'MOST', most)
        found, measures = marks_in(*version)
        assert (found.share, found.note[:19]) == (share, 'Faults are so many ' if share > 1 else '')
        marks, total = found.within(labels, measures, **ALWAYS, most=9999)
        assert total == len(marks) * share == 20 // share * 30 * share
        assert {mark.action for mark in marks} == {'truncated'}


def test_a_cell_of_a_melted_table_with_keys_stands_in_the_series_of_its_record(tmp_path: Path) -> None:
    rows = ['time,shop,' + ','.join(f'site {at}' for at in range(20))]
    for at in range(60):
        cells = ['oops' if (at, place) == (31, 4) else str(place + at) for place in range(20)]
        rows.append(f'2026-01-{at // 3 + 1:02},{"xyz"[at % 3]},' + ','.join(cells))
    source, made = tmp_path / 'a.csv', tmp_path / 'version'
    source.write_text('\n'.join(rows) + '\n')
    made.mkdir()
    options = Options(shape='wide', melt={'into': 'series', 'columns': [f'site {at}' for at in range(20)]})
    manifest = convert(source, name='a.csv', into=made, options=options, progress=lambda part, text: None).to_json()
    labels = pq.read_table(made / 'series.parquet')['series'].to_pylist()
    faults = [Faults(place=0, path=made / 'faults.parquet', origin='')]
    found = read(sorted(made.glob('data-*.parquet')), faults, manifest, holds=set(labels).__contains__, system=None)
    ((mark,), _) = found.within({label: label for label in labels}, manifest['measures'], **ALWAYS)
    assert sorted(mark.series.split(' · ')) == ['site 4', 'y']
    assert (day(mark), mark.action, mark.line) == ('11', 'rejected', 33)


def test_lost_records_stand_beside_the_nearest_however_far_that_is(tmp_path: Path) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        'time,load',
        *(
            f'2026-02-30 00:00,{at}' if 100 <= at < 220 else f'{begin + timedelta(hours=at):%Y-%m-%d %H:%M},{at}'
            for at in range(600)
        ),
    ]
    found, measures = marks_of(tmp_path, rows)
    marks, total = found.within({'': 'load'}, measures, **ALWAYS)
    assert (total, found.note) == (120, '')
    before, behind = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=at) for at in (99, 220))
    assert {mark.t / 1000 for mark in marks if mark.line < 162} == {before.timestamp()}
    assert {mark.t / 1000 for mark in marks if mark.line >= 162} == {behind.timestamp()}


def test_faults_of_rows_that_are_gone_are_counted(tmp_path: Path) -> None:
    rows = [*LONG]
    rows[10] = '2026-01-05,Rome,5,5.5 kg'  # line 11
    rows[20] = '2026-01-10,Rome,10,10.5 kg'  # line 21
    made, _ = stored(tmp_path, rows)
    manifest = {'columns': [], 'measures': ['value'], 'series': {'columns': ['site']}}
    (part,) = made.glob('data-*.parquet')
    table = pq.read_table(part)
    pq.write_table(table.filter(pc.not_equal(table['_line'], 11)), part)
    faults = [Faults(place=0, path=made / 'faults.parquet', origin='')]
    found = read([part], faults, manifest | {'columns': COLUMNS}, holds=lambda label: True, system=None)
    assert [one.line for one in found.within({'Rome': 'Rome'}, ['value'], **ALWAYS)[0]] == [21]
    assert found.note == '1 more fault is of a row that is not stored.'
    pq.write_table(table.slice(0, 0), part)
    none = read([part], faults, manifest, holds=lambda label: True, system=None)
    assert none.within({'Rome': 'Rome'}, ['value'], **ALWAYS) == ((), 0)
    assert none.note == '2 more faults are of rows that are not stored.'


def test_what_takes_too_long_is_stopped_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, 'PATIENCE', 0.05)
    endless = 'SELECT count(*) FROM range(100_000_000) a, range(100_000_000) b WHERE a.range + b.range = 3'
    with (
        duck.connect(memory=2**27) as connection,
        pytest.raises(TooLarge, match=r'longer than 0\.05 seconds'),
        bounded(connection),
    ):
        connection.execute(endless)
    with (
        duck.connect(memory=2**27) as connection,
        pytest.raises(TooLarge, match='longer than'),
        bounded(connection),
    ):
        for _ in connection.sql('SELECT a.range FROM range(100_000_000) a, range(100_000_000) b').to_arrow_reader(9):
            pass

    rows = [*LONG]
    rows[5] = '2026-01-03,Oslo,oops,3.5'
    monkeypatch.setattr(module._Seeking, 'marks', lambda self: self._connection.execute(endless))
    found, _ = marks_of(tmp_path, rows)
    assert found.within({'Oslo': 'Oslo'}, ['load'], **ALWAYS) == ((), 0)
    assert found.note == 'Faults not marked: looking for them takes longer than 0.05 seconds.'


def test_what_takes_too_much_memory_is_said(
    dense: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'MEMORY', 2**21)
    found, _ = marks_in(*dense)
    assert found.note == 'Faults not marked: looking for them takes more memory than there is for it.'
    assert found.nbytes == 0


def test_of_many_some_are_kept_evenly_and_all_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [*LONG[:1], *(row if at % 3 else f'{row} kg' for at, row in enumerate(LONG[1:]))]
    version = stored(tmp_path, rows)
    found, measures = marks_in(*version)
    both = {'Oslo': 'Oslo', 'Rome': 'Rome'}
    every, total = found.within(both, measures, **ALWAYS)
    assert (len(every), total) == (18, 18)
    some, total = found.within(both, measures, **ALWAYS, most=4)
    assert total == 18
    assert [every.index(one) for one in some] == [0, 6, 11, 17]

    monkeypatch.setattr(module, 'MOST', 9)
    half, _ = marks_in(*version)
    assert (half.share, half.within(both, measures, **ALWAYS)[1]) == (2, 18)


def test_answers_of_before_marks_are_read_and_those_with_them_come_back_whole() -> None:
    mark = Mark(
        t=5.0, y=None, series='Oslo', of='Oslo', measure='', line=7, column='', kind='duplicate', action='rejected',
        value='', reason='twice', origin='a-1',
    )  # fmt: skip
    made = Answer(
        kind='marks', start=0, end=9, width=100, rows_behind=0, points_per_pixel=0, exact=True, span=None, lines=(),
        marked=4100, marks=(mark,),
    )  # fmt: skip
    back = decode(encode(made))
    assert (back.marked, back.marks) == (4100, (mark,))
    assert plain(back)['marks'][0]['line'] == 7
    text = (
        b'{"kind":"line","start":0,"end":1,"width":9,"rows_behind":0,"points_per_pixel":0,"exact":true,"span":null,'
        b'"lines":[],"note":""}'
    )
    text += b' ' * (-len(text) % 8)
    old = decode(b'VSQ1' + struct.pack('<I', len(text)) + text)
    assert (old.kind, old.marked, old.marks) == ('line', 0, ())
