"""Recipes in a conversion: rows before and after, and what comes later joins the rows before."""

import json
from pathlib import Path

import duckdb
import pytest

from core.analysis.ingest import Manifest, Options, convert
from core.errors import UsageError

STEPS = (
    {'do': 'filter', 'where': 'temp < 100'},
    {'do': 'resample', 'every': 'h', 'how': 'mean'},
    {'do': 'fill', 'how': 'linear'},
    {'do': 'rename', 'column': 'temp', 'to': 'celsius'},
    {'do': 'derive', 'column': 'fahrenheit', 'as': 'celsius * 9 / 5 + 32'},
)
FIRST = 'when,site,temp\n2024-01-01 00:00,a,1\n2024-01-01 00:30,a,3\n2024-01-01 02:00,a,6\n2024-01-01 02:10,a,999\n'
LATER = 'when,site,temp\n2024-01-01 02:30,a,8\n2024-01-01 03:00,a,1\n'


def converted(folder: Path, text: str, options: Options) -> Manifest:
    folder.mkdir()
    source = folder.with_suffix('.csv')
    source.write_text(text)
    return convert(source, name='t.csv', into=folder, options=options, progress=lambda share, said: None)


def test_a_recipe_makes_the_rows_and_keeps_those_before(tmp_path: Path) -> None:
    made = converted(tmp_path / 'one', FIRST, Options(recipe=STEPS))
    rows = duckdb.sql(f'SELECT hour("when"), celsius, fahrenheit FROM \'{tmp_path}/one/data-*.parquet\'').fetchall()
    assert rows == [(0, 2.0, 35.6), (1, 4.0, 39.2), (2, 6.0, 42.8)]
    assert duckdb.sql(f"SELECT temp FROM '{tmp_path}/one/base-*.parquet'").fetchall() == [(1,), (3,), (6,), (999,)]
    assert (made.rows_read, made.rows_accepted, made.measures) == (4, 4, ('celsius', 'fahrenheit'))
    assert [(one['do'], one['rows_before'], one['rows_after'], one['cells_changed']) for one in made.recipe] == [
        ('filter', 4, 3, 0), ('resample', 3, 3, 0), ('fill', 3, 3, 1), ('rename', 3, 3, 0), ('derive', 3, 3, 0),
    ]  # fmt: skip
    assert [(c.name, c.source) for c in made.columns] == [
        ('when', 'when'), ('site', 'site'), ('celsius', 'temp'), ('fahrenheit', 'fahrenheit'),
    ]  # fmt: skip
    assert made.time.freq == 'h'
    stored = json.loads((tmp_path / 'one' / 'manifest.json').read_text())
    assert Manifest.from_json(stored) == made


def test_what_is_appended_joins_the_rows_before_the_recipe(tmp_path: Path) -> None:
    converted(tmp_path / 'one', FIRST, Options(recipe=STEPS))
    before = [tmp_path / 'one' / 'manifest.json', tmp_path / 'one' / 'base-00000.parquet']
    made = converted(tmp_path / 'two', LATER, Options(recipe=STEPS, before=before))
    rows = duckdb.sql(f'SELECT hour("when"), celsius FROM \'{tmp_path}/two/data-*.parquet\'').fetchall()
    assert rows == [(0, 2.0), (1, 4.5), (2, 7.0), (3, 1.0)]
    assert duckdb.sql(f"SELECT count(*) FROM '{tmp_path}/two/base-*.parquet'").fetchall() == [(6,)]
    assert [source.rows for source in made.sources] == [4, 2]


def test_a_recipe_that_cannot_be_followed_names_its_step(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='Step 1: There is no column "nope"'):
        converted(tmp_path / 'one', FIRST, Options(recipe=[{'do': 'drop', 'column': 'nope'}]))
