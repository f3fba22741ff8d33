"""Faults stand where they were found: at their row, beside a lost record, at the cell of a melted table."""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.analysis.ingest import Options, convert
from core.analysis.query import Answer, decode, encode, plain
from core.analysis.query import marks as module
from core.analysis.query.marks import Faults, Mark, Marks, files, read

ALWAYS = {'start': -(2**62), 'end': 2**62}
LONG = [
    'time,site,load,value',
    *(f'2026-01-{day:02},{site},{day},{day}.5' for day in range(1, 28) for site in ('Oslo', 'Rome')),
]


def marks_of(folder: Path, rows: Sequence[str]) -> tuple[Marks, list[str]]:
    source, made = folder / 'a.csv', folder / 'version'
    source.write_text('\n'.join(rows) + '\n')
    made.mkdir()
    manifest = convert(source, name='a.csv', into=made, options=Options(), progress=lambda part, text: None).to_json()
    assert files(manifest) == [(0, '')]
    faults = [Faults(place=0, path=made / 'faults.parquet', origin='')]
    found = read(sorted(made.glob('data-*.parquet')), faults, manifest, system=None)
    return found, manifest['measures']


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


def test_of_many_some_are_kept_evenly_and_all_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [*LONG[:1], *(row if at % 3 else f'{row} kg' for at, row in enumerate(LONG[1:]))]
    found, measures = marks_of(tmp_path, rows)
    both = {'Oslo': 'Oslo', 'Rome': 'Rome'}
    every, total = found.within(both, measures, **ALWAYS)
    assert (len(every), total) == (18, 18)
    some, total = found.within(both, measures, **ALWAYS, most=4)
    assert total == 18
    assert [every.index(one) for one in some] == [0, 6, 11, 17]

    monkeypatch.setattr(module, 'MOST', 9)
    (tmp_path / 'again').mkdir()
    half, _ = marks_of(tmp_path / 'again', rows)
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
