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
    assert [one['cells'] for one in made.recipe] == [0, 0, 1, 0, 0]
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


SPELLED = (
    'when,site,temp\n2024-01-01,Oslo,1\n2024-01-01,oslo,2\n2024-01-02,oslo,3\n2024-01-02,Oslo,3\n2024-01-03,Oslo,1 C\n'
    '2024-01-03,oslo,4\n2024-01-04,Oslo,5\n2024-01-05,Oslo,x\n2024-01-06,Oslo,7\n2024-01-07,Oslo,8\n'
)
MERGE = {'do': 'merge', 'column': 'site', 'values': ['oslo'], 'to': 'Oslo'}


def account(made: Manifest) -> tuple[int, int, int, int]:
    assert made.rows_accepted + made.rows_repaired + made.rows_rejected == made.rows_read
    return made.rows_read, made.rows_accepted, made.rows_repaired, made.rows_rejected


def faults(folder: Path, show: str) -> list[tuple[object, ...]]:
    return duckdb.sql(f"SELECT {show} FROM '{folder}/faults.parquet' ORDER BY line, kind").fetchall()


def test_merged_series_leave_out_duplicates_that_are_accounted_for(tmp_path: Path) -> None:
    made = converted(tmp_path / 'one', SPELLED, Options(recipe=[MERGE]))
    assert account(made) == (10, 6, 0, 4)
    assert (made.rows_rejected, made.faults_total, made.time.duplicates) == (4, 5, 3)
    assert made.faults_by_kind == {'duplicate': 3, 'unit': 1, 'not_a_number': 1}
    assert faults(tmp_path / 'one', 'line, kind, value, action, other_line, reason')[:2] == [
        (2, 'duplicate', '1', 'rejected', 3,
         'line 2 says 1; line 3 says 2: the last is stored, for series were merged into "Oslo"'),
        (4, 'duplicate', None, 'rejected', 5,
         'an equal copy of line 5: the last is stored, for series were merged into "Oslo"'),
    ]  # fmt: skip
    assert (made.series.count, made.series.first) == (1, ('Oslo',))
    assert [(one['rows_before'], one['rows_after'], one['cells_changed'], one['cells']) for one in made.recipe] == [
        (9, 6, 3, 9)
    ]
    assert duckdb.sql(f"SELECT count(DISTINCT site) FROM '{tmp_path}/one/base-*.parquet'").fetchall() == [(2,)]


@pytest.mark.parametrize(
    ('how', 'stored', 'reasons'),
    [
        ('last', [1, 5, 3], ['line 2 says 11 of "Oslo_2" and 1 of "oslo": the last by its name is stored',
                             'line 3 says the same of "Oslo_2" and of "oslo": the last by its name is stored']),
        ('first', [11, 5, 3], ['line 2 says 1 of "oslo" and 11 of "Oslo_2": the first by its name is stored',
                               'line 3 says the same of "oslo" and of "Oslo_2": the first by its name is stored']),
        ('mean', [6, 5, 3], ['line 2 says 11 of "Oslo_2" and 1 of "oslo": their mean is stored',
                             'line 3 says the same of "Oslo_2" and of "oslo": their mean is stored']),
    ],
)  # fmt: skip
def test_merged_columns_of_one_line_are_told_apart_by_name(
    tmp_path: Path, how: str, stored: list[float], reasons: list[str]
) -> None:
    text = 'when,oslo,Oslo,Rome\n2024-01-01,1,11,7\n2024-01-02,5,5,8\n2024-01-03,3,,9\n'
    step = {'do': 'merge', 'column': 'series', 'values': ['oslo', 'Oslo_2'], 'to': 'Oslo', 'how': how}
    made = converted(tmp_path / 'one', text, Options(shape='wide', recipe=[step]))
    assert account(made) == (3, 1, 2, 0)
    rows = duckdb.sql(
        f"SELECT value FROM '{tmp_path}/one/data-*.parquet' WHERE series = 'Oslo' ORDER BY _time"
    ).fetchall()
    assert [value for (value,) in rows] == stored
    told = duckdb.sql(
        f"SELECT reason FROM '{tmp_path}/one/faults.parquet' WHERE action = 'rejected' ORDER BY line"
    ).fetchall()
    assert [reason for (reason,) in told] == [f'{one}, for series were merged into "Oslo"' for one in reasons]


def test_the_mean_of_merged_series_repairs_the_record_that_holds_it(tmp_path: Path) -> None:
    text = 'when,site,temp\n2024-01-01,Oslo,1\n2024-01-01,oslo,2\n2024-01-02,oslo,3\n'
    made = converted(tmp_path / 'one', text, Options(recipe=[{**MERGE, 'how': 'mean'}]))
    assert account(made) == (3, 1, 1, 1)
    assert duckdb.sql(f"SELECT temp FROM '{tmp_path}/one/data-*.parquet'").fetchall() == [(1.5,), (3.0,)]
    assert faults(tmp_path / 'one', 'line, action') == [(2, 'rejected'), (3, 'repaired')]


@pytest.mark.slow
def test_a_line_that_holds_the_mean_of_some_and_gives_way_is_told_once(tmp_path: Path) -> None:
    day = '2024-01-01'
    text = f'when,site,temp\n{day},a,0\n{day},A,0\n{day},AA,9\n{day},b,1\n2024-01-02,b,1\n'
    named = {'site': 'series'}
    mean = {'do': 'merge', 'column': 'site', 'to': 'A', 'how': 'mean'}
    once = converted(tmp_path / 'one', text, Options(roles=named, recipe=[{**mean, 'values': ['a', 'AA']}]))
    cut = converted(
        tmp_path / 'two', text, Options(roles=named, recipe=[{**mean, 'values': ['a']}, {**mean, 'values': ['AA']}])
    )
    assert account(once) == account(cut) == (5, 2, 1, 2)
    rows = [
        duckdb.sql(f"SELECT site, temp FROM '{tmp_path}/{one}/data-*.parquet'").fetchall() for one in ('one', 'two')
    ]
    assert rows[0] == rows[1] == [('A', 3.0), ('b', 1.0), ('b', 1.0)]
    assert faults(tmp_path / 'two', 'line, action, value') == [
        (2, 'rejected', None), (3, 'rejected', '0'), (4, 'repaired', None),
    ]  # fmt: skip
    back = converted(
        tmp_path / 'three', text, Options(roles=named, recipe=[{**mean, 'values': ['AA']}, {**mean, 'values': ['a']}])
    )
    assert account(back) == (5, 2, 1, 2)
    assert faults(tmp_path / 'three', 'line, action') == [(2, 'rejected'), (3, 'rejected'), (4, 'repaired')]


def test_of_a_record_that_gives_way_nothing_is_told_as_stored(tmp_path: Path) -> None:
    rows = [f'2024-01-{day:02},{site},{day},{day}' for day in range(2, 12) for site in ('Oslo', 'oslo')]
    rows += ['2024-01-01,Oslo, 7 €,x', '2024-01-01,oslo,5,5', '2024-01-12,oslo, 8 €,x']
    made = converted(tmp_path / 'one', '\n'.join(['when,site,temp,rain', *rows, '']), Options(recipe=[MERGE]))
    assert account(made) == (23, 11, 1, 11)
    assert faults(tmp_path / 'one', 'line, kind, action, became')[-5:] == [
        (22, 'duplicate', 'rejected', None),
        (22, 'not_a_number', 'left_out', None),
        (22, 'number_format', 'left_out', None),
        (24, 'not_a_number', 'emptied', None),
        (24, 'number_format', 'repaired', '8'),
    ]


def test_rows_of_earlier_files_that_give_way_are_a_note(tmp_path: Path) -> None:
    converted(tmp_path / 'one', 'when,site,temp\n2024-01-01,Oslo,1\n2024-01-02,Oslo,2\n', Options())
    before = [tmp_path / 'one' / 'manifest.json', tmp_path / 'one' / 'data-00000.parquet']
    later = 'when,site,temp\n2024-01-02,oslo,3\n2024-01-03,oslo,4\n'
    made = converted(tmp_path / 'two', later, Options(recipe=[MERGE], before=before))
    assert account(made) == (2, 2, 0, 0)
    assert '1 row of earlier files gave way as series were merged.' in made.source.notes
    kept = converted(tmp_path / 'three', later, Options(recipe=[{**MERGE, 'how': 'first'}], before=before))
    assert account(kept) == (2, 1, 0, 1)
    assert faults(tmp_path / 'three', 'line, other_line, reason') == [
        (2, None, 'line 2 says 3; line 3 of t.csv says 2: the first is stored, for series were merged into "Oslo"')
    ]


@pytest.mark.slow
def test_rows_that_gave_way_in_earlier_files_are_told_once(tmp_path: Path) -> None:
    """The recipe runs over all rows again with every file."""
    first = 'when,site,temp\n2024-01-01,Oslo,1\n2024-01-01,oslo,2\n2024-01-02,Oslo,3\n'
    converted(tmp_path / 'one', first, Options(recipe=[MERGE]))
    before = [tmp_path / 'one' / 'manifest.json', tmp_path / 'one' / 'base-00000.parquet']
    alone = converted(tmp_path / 'two', 'when,site,temp\n2024-01-03,oslo,4\n', Options(recipe=[MERGE], before=before))
    assert (account(alone), alone.source.notes) == ((1, 1, 0, 0), ('All 3 rows of earlier files stay.',))
    later = 'when,site,temp\n2024-01-02,oslo,4\n'
    made = converted(tmp_path / 'three', later, Options(recipe=[MERGE], before=before))
    assert made.source.notes[1:] == ('1 row of earlier files gave way as series were merged.',)


def test_a_wide_table_loses_points_of_its_records(tmp_path: Path) -> None:
    head = ','.join(['when', 'Oslo', 'oslo', *(f'City {place}' for place in range(60))])
    rows = [f'2024-01-{day:02},{day},{day + 1}' + ',1' * 60 for day in (1, 2, 3)]
    made = converted(
        tmp_path / 'one',
        '\n'.join([head, *rows, '']),
        Options(recipe=[{**MERGE, 'column': 'series', 'values': ['oslo_2']}]),
    )
    assert account(made) == (3, 0, 3, 0)
    assert made.series.count == 61
    assert faults(tmp_path / 'one', 'line, "column", other_line') == [(2, 'Oslo', 2), (3, 'Oslo', 3), (4, 'Oslo', 4)]


def test_of_a_point_that_gives_way_nothing_is_told_as_stored(tmp_path: Path) -> None:
    head = ','.join(['when', 'Oslo', 'oslo', *(f'City {place}' for place in range(60))])
    rows = [f'2024-01-{day:02},{day},{day + 1}' + ',1' * 60 for day in (1, 2, 3, 4, 5, 6, 7, 8)]
    rows[1] = '2024-01-02, 2 €, 3 €' + ',1' * 60
    recipe = [{**MERGE, 'column': 'series', 'values': ['oslo_2']}]
    converted(tmp_path / 'one', '\n'.join([head, *rows, '']), Options(recipe=recipe))
    assert faults(tmp_path / 'one', 'line, "column", kind, action, became')[1:4] == [
        (3, 'Oslo', 'duplicate', 'rejected', None),
        (3, 'Oslo', 'number_format', 'left_out', None),
        (3, 'oslo_2', 'number_format', 'repaired', '3'),
    ]
