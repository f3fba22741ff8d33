"""A small file is converted by shortcuts, which store the same bytes as the long way that large files go."""

import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from core.analysis.ingest import digits, hints, profile, rejects, roles, tallies
from core.analysis.ingest.types import choose_types
from tests.unit.analysis.ingest.cells import instance, raw_table
from tests.unit.analysis.ingest.reading import converted

DAYS = [f'2024-{month:02}-{day:02}' for month in (1, 2) for day in range(1, 29)]
FAULTY = 'ds;store;y;z\n' + ''.join(
    f'{day}T10:00;{store};{place}.5;{place * 3}\n' for store in ('a', 'b-1', 'b 2') for place, day in enumerate(DAYS)
)
FAULTY = (
    FAULTY.replace(';3.5;', ';x;').replace(';4.5;', '; 4.5;').replace(';5.5;15', ';1e400;').replace(';6.5;18', ';;')
)
FAULTY = FAULTY.replace('01-08T', '02-30T').replace('2024-01-10T10:00;a', '2024-01-10T10:00;') + FAULTY[-60:]
FILES: dict[str, tuple[str, dict[str, Any]]] = {
    'clean': ('ds,id,y\n' + ''.join(f'{day},{key},{key}.5\n' for key in '01' for day in DAYS), {}),
    'faulty': (FAULTY, {}),
    'mean in a zone that moves': (FAULTY, {'time_zone': 'America/New_York', 'duplicates': 'mean', 'off': ['padding']}),
    'wide': (f'name,{",".join(DAYS)}\n' + ''.join(f'{key}{",1" * 30},x{",2" * 24},\n' for key in 'abc'), {}),
}


def written(folder: Path, name: str) -> dict[str, bytes]:
    folder.mkdir()
    text, options = FILES[name]
    _, into = converted(folder, text, **options)
    return {file.name: file.read_bytes() for file in into.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize('name', FILES)
def test_shortcuts_store_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    short = written(tmp_path / 'short', name)
    for module in (tallies, rejects):
        monkeypatch.setattr(module, 'FEW_CELLS', -1)
    monkeypatch.setattr(roles, 'FEW_ROWS', -1)
    monkeypatch.setattr(hints, '_are_apart', lambda names: False)
    monkeypatch.setattr(digits, '_is_short', lambda chunk: False)
    monkeypatch.setattr(profile, '_SORTS', profile._SORTS.replace('bool_and(low = high)', 'false'))
    assert short == written(tmp_path / 'long', name)


def test_names_that_are_plainly_apart_are_none_that_may_be_one() -> None:
    chance = random.Random(0)
    for _ in range(60):
        names = {''.join(chance.choices('aB1 -_.\'"é', k=chance.randint(1, 4))) for _ in range(chance.randint(1, 5))}
        listed = ', '.join(f"('{name.replace(chr(39), chr(39) * 2)}', 1, 'l')" for name in names)
        every = f'SELECT * FROM (VALUES {listed}) AS t(series, rows, label)'
        if hints._are_apart(sorted(names)):
            assert hints._spellings(instance(), 'series', every, {}) == []


def test_long_cells_are_compared_without_being_fetched(tmp_path: Path) -> None:
    days = [f'{day}T{hour:02}' for day in DAYS[:8] for hour in range(24)]
    cells = ['xy'[place % 2] * 5000 for place in range(len(days))]
    raw = raw_table(tmp_path, {'ds': days, 'key': cells, 'y': ['1'] * len(days)})
    time, key, _ = choose_types(instance(), raw, roles={})
    tracemalloc.start()
    try:
        check = roles._Repeats(instance(), raw, time, [key])
        assert (check.share([]), check.share([key])) == (0, 0)
        assert tracemalloc.get_traced_memory()[1] < 1000 * len(days)
    finally:
        tracemalloc.stop()
