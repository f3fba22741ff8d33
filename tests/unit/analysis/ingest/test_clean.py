"""A text that is read in one pass gives what careful reading gives, and a text that is not clean is read carefully."""

import importlib
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from core.analysis.ingest import Manifest, Options, convert, inspect

pytestmark = pytest.mark.slow

CLEAN_TEXTS = importlib.import_module('core.analysis.ingest.clean')
DELIMITED = importlib.import_module('core.analysis.ingest.delimited')
CONVERT = importlib.import_module('core.analysis.ingest.convert')
ROWS = 600
MIDDLE, LAST = ROWS // 2 + 7, ROWS - 1


def version(folder: Path, text: str, **options: Any) -> tuple[Manifest, list[Any], list[Any]]:
    """Convert and return the manifest, the stored rows with their types, and the faults."""
    folder.mkdir()
    path, into = folder / 'file.csv', folder / 'version'
    path.write_bytes(text.encode())
    into.mkdir()
    manifest = convert(path, name='file.csv', into=into, options=Options(**options), progress=lambda share, text: None)
    data = duckdb.sql(f"FROM '{into}/data-*.parquet'")
    faults = duckdb.sql(f'SELECT line, "column", kind, value, action FROM \'{into}/faults.parquet\'').fetchall()
    return manifest, [data.columns, data.types, data.fetchall()], faults


def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, **options: Any) -> tuple[str, Manifest]:
    """Read a text carefully and as a clean one; return by which way the latter ended: at once, clean or careful."""
    monkeypatch.setattr(DELIMITED, 'LARGE', 2**62)
    careful, rows, faults = version(tmp_path / 'careful', text, **options)
    monkeypatch.setattr(DELIMITED, 'LARGE', 0)
    # Of a text as short as one slice every other would be the whole again.
    monkeypatch.setattr(CLEAN_TEXTS, 'SLICES', min(CLEAN_TEXTS.SLICES, 2 + len(text) // CLEAN_TEXTS.SLICE_BYTES))
    ways = []
    for name in ('_at_once', '_by_steps'):
        monkeypatch.setattr(CONVERT, name, _watched(getattr(CONVERT, name), name, ways))
    fast, fast_rows, fast_faults = version(tmp_path / 'fast', text, **options)
    assert fast_rows == rows
    assert fast_faults == faults
    for field in ('rows_read', 'rows_accepted', 'rows_repaired', 'rows_rejected', 'faults_by_kind', 'repairs', 'time'):
        assert getattr(fast, field) == getattr(careful, field)
    assert [(c.name, c.type, c.role) for c in fast.columns] == [(c.name, c.type, c.role) for c in careful.columns]
    return ways[-1], fast


def _watched(way: Any, name: str, ways: list[str]) -> Any:
    def called(*given: Any, **named: Any) -> Any:
        made = way(*given, **named)
        if made is not None:
            ways.append(name)
        return made

    return called


def table(*, seed: int = 1, **columns: Any) -> str:
    """Two series in order of time, with more columns that are made from a random number."""
    draw = random.Random(seed)
    lines = [','.join(['ds', 'id', *columns])]
    for row in range(ROWS):
        time = datetime(2024, 1, 1) + timedelta(minutes=15 * (row // 2))
        cells = [make(draw, row) for make in columns.values()]
        lines.append(','.join([str(time), 'ab'[row % 2], *cells]))
    return '\n'.join([*lines, ''])


def number(draw: random.Random, row: int) -> str:
    return f'{draw.uniform(-500, 500):.2f}'


CLEAN = {
    'decimals and words': {
        'decimals of one length': number,
        'decimals of any length': lambda draw, row: str(round(draw.uniform(0, 9), draw.randint(1, 4))),
        'empty cells': lambda draw, row: '' if draw.random() < 0.3 else '5',
        'words': lambda draw, row: draw.choice(['été', 'a b', '', 'x-1', '007']),
        'codes': lambda draw, row: f'{draw.randint(0, 99999):05}',
        'truth values': lambda draw, row: draw.choice(['true', 'False']),
    },
    'doubles and times': {
        'doubles': lambda draw, row: repr(draw.uniform(-1e9, 1e9)),
        'exponents': lambda draw, row: f'{draw.uniform(1, 10):.9e}',
        'dates': lambda draw, row: f'2023-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}',
        'times with a T': lambda draw, row: f'2023-01-01T00:{draw.randint(0, 59):02}:00',
        'offsets': lambda draw, row: f'2023-01-01T00:{draw.randint(0, 59):02}:00+02:00',
        'fractions': lambda draw, row: f'2023-01-01 00:00:00.{draw.randint(0, 999):03}',
    },
    'whole numbers': {'y': lambda draw, row: str(draw.randint(-(10**9), 10**9)), 'none': lambda draw, row: ''},
}  # fmt: skip


@pytest.mark.parametrize('name', CLEAN)
def test_a_clean_text_is_stored_at_once_as_carefully(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way, manifest = both(tmp_path, monkeypatch, table(**CLEAN[name]))
    assert way == '_at_once'
    assert manifest.rows_accepted == ROWS


def test_records_that_give_way_as_series_are_merged_are_rejected_at_once_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [{'do': 'merge', 'column': 'id', 'values': ['b'], 'to': 'a'}]
    way, manifest = both(tmp_path, monkeypatch, table(y=number), recipe=steps)
    assert way == '_at_once'
    assert (manifest.rows_accepted, manifest.rows_rejected) == (ROWS // 2, ROWS // 2)


def test_other_line_breaks_and_quotes_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = table(y=number, word=lambda draw, row: '"a, b"').replace('\n', '\r\n')
    way, _ = both(tmp_path, monkeypatch, '\ufeff' + text)
    assert way == '_at_once'


@pytest.mark.parametrize(
    ('cell', 'kind', 'place'),
    [('x', 'not_a_number', MIDDLE), ('x', 'not_a_number', LAST), (' 5', 'padding', MIDDLE), ('5\t', 'padding', LAST),
     ('NA', 'null_spelling', MIDDLE), ('NA', 'null_spelling', LAST), ('1e400', 'out_of_range', MIDDLE),
     ('1_000', 'not_a_number', LAST), ('infinity', 'not_a_number', MIDDLE), ('0x10', 'not_a_number', LAST)],
)  # fmt: skip
def test_one_odd_cell_is_found_and_listed(
    cell: str, kind: str, place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(draw: random.Random, row: int) -> str:
        return cell if row == place else repr(draw.uniform(0, 1))

    way, manifest = both(tmp_path, monkeypatch, table(y=odd, z=number))
    assert way == '_by_steps'
    assert manifest.faults_by_kind == {kind: 1}


@pytest.mark.parametrize(
    ('usual', 'odd', 'way', 'zone'),
    [
        ('+02:00', '+02:00', '_at_once', '+02:00'),
        ('+0200', '+0200', '_at_once', '+02:00'),
        ('Z', '+01:00', '_by_steps', ''),
        ('+02:00', '+01:00', '_by_steps', ''),
    ],
)
def test_a_zone_is_told_of_all_times_or_of_none(
    usual: str, odd: str, way: str, zone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, middle = datetime(2024, 1, 1), ROWS // 2 + 7
    lines = [f'{(start + timedelta(hours=h)).isoformat()}{odd if h == middle else usual},{h}.5' for h in range(ROWS)]
    found, manifest = both(tmp_path, monkeypatch, '\n'.join(['ds,y', *lines, '']))
    assert (found, manifest.time.written_zone) == (way, zone)


LINES = (
    '2024-01-01,a', '2024-01-01,a,1,2,3', '', '2024-01-01,"a,1', ',,', '2024-02-30,a,1', '2024-01-01 00:00:00,a,1',
    'ds,id,y', ',a,1', '2025-01-01,,1', '2025-01-01,a,',
)  # fmt: skip


@pytest.mark.parametrize('line', LINES)
def test_one_odd_line_is_found_and_accounted_for(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = table(y=number).splitlines()
    lines.insert(ROWS // 2 + 11, line)
    both(tmp_path, monkeypatch, '\n'.join([*lines, '']))


def test_a_word_that_no_sample_shows_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CLEAN_TEXTS, 'SLICE_BYTES', 256)
    text = table(y=number, word=lambda draw, row: 'rare' if row == 301 else 'usual')
    way, _ = both(tmp_path, monkeypatch, text)
    assert way == '_by_steps'


@pytest.mark.parametrize('zone', ['Europe/Paris', 'Asia/Kathmandu'])
def test_a_zone_is_heeded(zone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both(tmp_path, monkeypatch, table(y=number), time_zone=zone)


def test_a_recipe_follows_a_text_that_is_stored_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = ({'do': 'resample', 'every': 'h', 'how': 'mean'}, {'do': 'derive', 'column': 'twice', 'as': 'y * 2'})
    way, manifest = both(tmp_path, monkeypatch, table(y=number), recipe=steps)
    assert way == '_at_once'
    assert [step['rows_after'] for step in manifest.recipe] == [ROWS // 4, ROWS // 4]
    kept = duckdb.sql(f"SELECT count(*) FROM '{tmp_path}/fast/version/base-*.parquet'").fetchall()
    assert kept == [(ROWS,)]
    assert manifest.rows_accepted == ROWS


def test_times_in_long_series_take_next_to_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DELIMITED, 'LARGE', 0)
    rows = 20_000
    lines = [f'{datetime(2024, 1, 1) + timedelta(minutes=15 * row)},{row % 7}' for row in range(rows)]
    version(tmp_path / 'one', '\n'.join(['ds,y', *lines, '']))
    [(size,)] = duckdb.sql(
        f"""SELECT sum(total_compressed_size) FROM parquet_metadata('{tmp_path}/one/version/data-00000.parquet')
        WHERE path_in_schema = '_time'"""
    ).fetchall()
    assert size < rows / 10


def test_series_one_after_another_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head, *lines = table(y=number).splitlines()
    text = '\n'.join([head, *sorted(lines, key=lambda line: line.split(',')[1]), ''])
    _, manifest = both(tmp_path, monkeypatch, text)
    assert manifest.series.first == ('a', 'b')


def test_an_inspection_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'file.csv'
    path.write_text(table(y=number, word=lambda draw, row: 'w'))
    reports = []
    for large in (0, 2**62):
        monkeypatch.setattr(DELIMITED, 'LARGE', large)
        reports.append(inspect(path, name='file.csv', options=Options()))
    assert reports[0] == reports[1]
