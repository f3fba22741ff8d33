"""Numbers with more digits than a float64 holds: what is stored of them, and that none is rounded unseen."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.analysis.ingest import Manifest, Options, convert
from tests.unit.analysis.ingest.reading import converted, inspected, stored

ROUNDED = 'more digits than are stored (about 16)'
SHOWN_ROUNDED = 'stored as written, but charts, statistics and forecasts round'


def table(cells: Sequence[object], *, name: str = 'v') -> str:
    return '\n'.join([f'day,{name}', *(f'2024-01-{day:02},{cell}' for day, cell in enumerate(cells, 1)), ''])


def notes_of(manifest: Manifest) -> list[str]:
    return [note for note in manifest.source.notes if 'digits' in note]


def from_parquet(folder: Path, values: pa.Array, *, name: str = 'v', **options: Any) -> tuple[Manifest, Path]:
    days = [f'2024-01-{day:02}' for day in range(1, len(values) + 1)]
    pq.write_table(pa.table({'day': days, name: values}), folder / 'file.parquet')
    into = folder / 'version'
    into.mkdir()
    given = Options(**options)
    path = folder / 'file.parquet'
    return convert(path, name=path.name, into=into, options=given, progress=lambda *_: None), into


def kinds(manifest: Manifest) -> tuple[str, str]:
    (column,) = [c for c in manifest.columns if c.name != 'day']
    return column.type, column.role


def test_decimals_that_are_rounded_are_counted(tmp_path: Path) -> None:
    cells = ['1.5', '1234567890123456.017', '2.5', '1234567890123457.017', '0.1']
    manifest, into = converted(tmp_path, table(cells))
    assert kinds(manifest) == ('double', 'measure')
    (note,) = notes_of(manifest)
    assert note == (
        '2 numbers of column "v" have more digits than are stored (about 16): they were rounded, the first in line 3. '
        'The role attribute or series keeps the column as text, as it is written.'
    )
    assert stored(into, 'v')[1] == (1234567890123456.0,)
    assert note in inspected(tmp_path, table(cells))['notes']


@pytest.mark.parametrize(
    'cells',
    [
        [repr(1 / number) for number in range(3, 12)],
        [f'{1 / number:.18e}' for number in range(3, 12)],
        [f'{1e5 / number:.20f}' for number in range(3, 12)],
        [f'{-1 / number:.16e}' for number in range(3, 12)],
        ['0.10000000000000000000', '1000000000000000000000.5e0'.replace('.5e0', '.0'), '1.50000000000000000'],
        ['12345678901234.5', '9007199254740992.0000', '1e300', '-.5', '0.00000000000000000', '-0.000000000000000'],
    ],
)
def test_what_a_program_wrote_out_of_its_numbers_loses_nothing(tmp_path: Path, cells: list[str]) -> None:
    manifest, into = converted(tmp_path, table(cells))
    assert kinds(manifest) == ('double', 'measure')
    assert notes_of(manifest) == []
    assert [row[0] for row in stored(into, 'v')] == [float(cell) for cell in cells]


@pytest.mark.parametrize('role', ['attribute', 'series'])
def test_by_another_role_numbers_are_kept_as_they_are_written(tmp_path: Path, role: str) -> None:
    cells = ['1234567890123456.017', '1234567890123456.018', '2.5']
    text = '\n'.join(['day,v,w', *(f'2024-01-01,{cell},1' for cell in cells), ''])
    manifest, into = converted(tmp_path, text, roles={'v': role}, duplicates='last', off=['duplicate'])
    column = next(c for c in manifest.columns if c.name == 'v')
    assert (column.type, column.role) == ('text', role)
    assert sorted(row[0] for row in stored(into, 'v')) == sorted(cells)
    assert notes_of(manifest) == []


@pytest.mark.parametrize('name', ['v', 'load'])
def test_whole_numbers_beyond_2_to_53_are_stored_and_told(tmp_path: Path, name: str) -> None:
    cells = [2**53 + 1, 2**53 + 2, 2**53 + 3, 5]
    manifest, into = converted(tmp_path, table(cells, name=name))
    assert kinds(manifest) == ('integer', 'measure')
    assert [row[0] for row in stored(into, name)] == cells
    (note,) = notes_of(manifest)
    assert note.startswith(f'2 numbers of column "{name}" are {SHOWN_ROUNDED} to about 16 digits.')
    assert note in inspected(tmp_path, table(cells, name=name))['notes']


def test_decimals_of_18_digits_are_stored_and_told(tmp_path: Path) -> None:
    cells = ['123456789012.345678', '0.5', '123456789012.000000']
    manifest, into = converted(tmp_path, table(cells))
    assert kinds(manifest) == ('decimal', 'measure')
    assert stored(into, 'v')[0] == (Decimal('123456789012.345678'),)
    (note,) = notes_of(manifest)
    assert note.startswith(f'1 number of column "v" is {SHOWN_ROUNDED}')


@pytest.mark.parametrize(('name', 'told'), [('v', True), ('trade_id', False)])
def test_numbers_of_more_than_18_digits_are_text_and_told_unless_they_are_an_id(
    tmp_path: Path, name: str, told: bool
) -> None:
    cells = [10**20 + number for number in range(5)]
    manifest, into = converted(tmp_path, table(cells, name=name))
    assert kinds(manifest)[0] == 'text'
    assert [row[0] for row in stored(into, name)] == [str(cell) for cell in cells]
    assert [note.split('. ')[0] for note in notes_of(manifest)] == (
        ['Column "v" is text, as its numbers have more than 18 digits'] if told else []
    )


def test_as_a_measure_they_are_numbers_and_none_is_lost(tmp_path: Path) -> None:
    cells = [2**63 + 2**number for number in range(5)] + [5, 6, 7]
    manifest, into = converted(tmp_path, table(cells), roles={'v': 'measure'})
    assert kinds(manifest) == ('double', 'measure')
    assert [row[0] for row in stored(into, 'v')] == [float(cell) for cell in cells]
    assert len(notes_of(manifest)) == 1
    assert ROUNDED in notes_of(manifest)[0]


def test_unsigned_whole_numbers_of_parquet_are_no_other_ones(tmp_path: Path) -> None:
    cells = [2**63 + number for number in range(5)]
    manifest, into = from_parquet(tmp_path, pa.array(cells, pa.uint64()))
    assert kinds(manifest)[0] == 'text'
    assert [row[0] for row in stored(into, 'v')] == [str(cell) for cell in cells]
    assert len(notes_of(manifest)) == 1


def test_few_of_them_make_a_column_of_parquet_one_of_rounded_numbers(tmp_path: Path) -> None:
    cells = [*range(20), 2**63 + 1]
    manifest, into = from_parquet(tmp_path, pa.array(cells, pa.uint64()))
    assert (kinds(manifest), manifest.rows_rejected) == (('double', 'measure'), 0)
    assert [row[0] for row in stored(into, 'v')] == [float(cell) for cell in cells]
    assert notes_of(manifest)[0].startswith('1 number of column "v" has more digits')


def test_wide_decimals_of_parquet_are_told(tmp_path: Path) -> None:
    values = pa.array([Decimal('12345678901234567890.125'), Decimal('1.5'), Decimal('2.5')], pa.decimal128(38, 3))
    manifest, _ = from_parquet(tmp_path, values)
    assert kinds(manifest) == ('double', 'measure')
    assert notes_of(manifest)[0].startswith('1 number of column "v" has more digits')


def test_doubles_of_parquet_lose_nothing(tmp_path: Path) -> None:
    manifest, _ = from_parquet(tmp_path, pa.array([1 / 3, 1e22, 2**70 + 0.0], pa.float64()))
    assert (kinds(manifest), notes_of(manifest)) == (('double', 'measure'), [])


@pytest.mark.parametrize(('late', 'told'), [('1234567890123456.017', 1), ('0.12345678901234566', 0)])
def test_a_large_file_that_is_clean_but_for_its_digits_tells_them_too(tmp_path: Path, late: str, told: int) -> None:
    """The samples that settle its types have no number so long."""
    rows = [f'2024-01-01T{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02},{at / 7:.9f}' for at in range(32_000)]
    rows[12_345] = rows[12_345].split(',')[0] + ',' + late
    text = '\n'.join(['ts,v', *rows, ''])
    manifest, into = converted(tmp_path, text)
    assert (manifest.rows_accepted, manifest.columns[1].type) == (32_000, 'double')
    assert len(notes_of(manifest)) == told
    assert stored(into, 'v')[12_345] == (float(late),)
