"""Tallies: cells that are hoped to be in the commonest form are counted as those that are read with all care."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from core.analysis.ingest import readings, tallies
from core.analysis.ingest.types import choose_types
from core.analysis.ingest.values import typed_rows
from tests.unit.analysis.ingest.cells import instance, raw_table

SLASHED = next(reading for reading in readings.TIMES if reading.name.startswith('DD/MM/YYYY'))
TIMES = [f'2024-01-{day:02}' for day in range(1, 29)]
COLUMNS = {
    'date': (readings.ISO, TIMES),
    'clock': (readings.ISO, [f'{day} 10:30' for day in TIMES]),
    'instant': (readings.ISO, [f'{day}T10:30:00Z' for day in TIMES]),
    'ahead': (readings.ISO, [f'{day}T10:30:00+05:30' for day in TIMES]),
    'slashed': (SLASHED, [f'{day}/02/2024' for day in (*range(10, 29), *range(10, 19))]),
    'number': (readings.PLAIN, [str(place / 4) for place in range(-14, 14)]),
    'whole': (readings.PLAIN, [f'{place:03}' for place in range(28)]),
    'exponent': (readings.PLAIN, [f'{place}e{place}' for place in range(28)]),
}
ODD = (
    '',
    ' ',
    'n/a',
    '-',
    ' 1',
    '1_000',
    'inf',
    '1e999',
    '2024-13-45',
    '2024-1-2',
    '2024-01-02T03:04:05.1234567Z',
    'x',
)


@pytest.mark.parametrize('seed', range(6))
def test_what_is_hoped_for_is_counted_as_what_is_looked_at_closely(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    cells = {name: list[str | None](column) for name, (_, column) in COLUMNS.items()}
    for column in cells.values() if seed else ():
        for _ in range(chance.choice([0, 0, 1, 5])):
            column[chance.randrange(28)] = chance.choice([None, *ODD])
    raw = raw_table(tmp_path, {**cells})
    asked = {
        place: [reading.quickened(column), readings.PLAIN] if reading.family == 'time' else [reading]
        for place, (reading, column) in enumerate(COLUMNS.values())
    }
    hoped = tallies.tallied(instance(), raw, asked, hopeful={*asked})
    assert hoped == tallies.tallied(instance(), raw, asked)
    if not seed:
        assert all(tally.figures['quick'] == 28 for (tally, *_) in (list(found.values()) for found in hoped.values()))


def test_rows_in_the_commonest_form_are_typed_as_where_some_are_rejected(tmp_path: Path) -> None:
    raw = raw_table(tmp_path, {name: [*column, None, '', ' '] for name, (_, column) in COLUMNS.items()})
    columns = choose_types(instance(), raw, roles={})
    assert {column.name for column in columns if not column.is_quick} == {'whole'}  # codes are text
    swift, careful = (typed_rows(raw, columns, zone='Asia/Tokyo') for raw in (raw, replace(raw, faults_path=raw.path)))
    assert len(swift) < len(careful)
    assert instance().execute(swift).fetchall() == instance().execute(careful).fetchall()
