"""Every way to write a time that docs/times-and-shapes.md tells is read as one."""

import csv
import re
from pathlib import Path

import pytest

from core.analysis.ingest import Manifest, Options, convert

PAGE = Path(__file__).parents[4] / 'docs' / 'times-and-shapes.md'
# What may as well be a number is a time by its place and its column's name; clocks and several columns are parts.
BY_PLACE = ('2024', '202402', '2024-031')
ELSEWHERE = ('the clock of computers', 'the clock of Excel', 'several columns')


def written() -> list[str]:
    table = re.search(r'## Times\n\n(\| written as .*?)\n\n', PAGE.read_text(encoding='utf-8'), re.S)
    assert table
    rows = [row.strip('|').split('|') for row in table[1].splitlines()[2:]]
    return [one for what, told in rows if what.strip() not in ELSEWHERE for one in re.findall(r'`([^`]+)`', told)]


def stored(folder: Path, table: list[list[str]]) -> Manifest:
    source, into = folder / 'table.csv', folder / 'stored'
    into.mkdir()
    with source.open('w', newline='') as file:
        csv.writer(file).writerows(table)
    return convert(source, name='table.csv', into=into, options=Options(), progress=lambda share, text: None)


@pytest.mark.slow
def test_each_is_read_in_a_column_of_its_own(tmp_path: Path) -> None:
    examples = [one for one in written() if one not in BY_PLACE]
    assert len(examples) > 25
    names = [f'c{chr(97 + place // 26)}{chr(97 + place % 26)}' for place in range(len(examples))]
    manifest = stored(tmp_path, [['day', 'y', *names], ['2024-01-31', '1.5', *examples]])
    read = {column.name: column.type for column in manifest.columns}
    assert [one for name, one in zip(names, examples, strict=True) if read[name][:4] not in ('date', 'time')] == []


@pytest.mark.parametrize('example', BY_PLACE)
def test_what_may_be_a_number_is_read_as_the_time_of_its_table(example: str, tmp_path: Path) -> None:
    assert example in written()
    manifest = stored(tmp_path, [['date', 'y'], [example, '1.5']])
    assert manifest.time.column == 'date'
    assert (manifest.time.start or '').startswith('2024-0')
