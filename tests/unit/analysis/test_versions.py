"""What a later version made of an earlier one, and where a point came from."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.analysis.versions import Difference, SeriesChange, Stored, difference, points

START = datetime(2024, 1, 1)


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., Stored]:
    """Store rows (series, day, y), perhaps in several parts and with more columns."""
    count = iter(range(10_000))

    def make(rows: Sequence[tuple[str, int, Any]], *, parts: int = 1, kind: Any = None, **more: Any) -> Stored:
        ordered = sorted(enumerate(rows, 2), key=lambda row: (row[1][0], row[1][1], row[0]))
        table = pl.DataFrame(
            {
                '_series': [row[0] for _, row in ordered],
                '_time': [START + timedelta(days=row[1]) for _, row in ordered],
                '_line': [line for line, _ in ordered],
                'y': [row[2] for _, row in ordered],
            },
            schema_overrides={
                '_series': pl.String,
                '_time': pl.Datetime('us'),
                '_line': pl.Int64,
                **({'y': kind} if kind else {}),
            },
        ).with_columns(**{name: pl.lit(value) for name, value in more.items()})
        size = -(-max(1, table.height) // parts)
        paths = [tmp_path / f'{next(count)}.parquet' for _ in range(parts)]
        for place, path in enumerate(paths):
            table.slice(place * size, size).write_parquet(path)
        return Stored(parts=paths)

    return make


def counts(found: Difference) -> tuple[int, int, int, int]:
    return found.added, found.changed, found.gone, found.same


def test_rows_are_added_changed_and_gone(store: Callable[..., Stored]) -> None:
    before = store([('a', 0, 1), ('a', 1, 2), ('b', 0, 3), ('b', 400, 4)])
    after = store([('a', 0, 1), ('a', 1, 9), ('b', 400, 4), ('c', 0, 5), ('c', 1, 6)], parts=2)
    found = difference(before, after)
    assert counts(found) == (2, 1, 1, 2)
    assert found.series == (
        SeriesChange(series='c', added=2, changed=0, gone=0),
        SeriesChange(series='a', added=0, changed=1, gone=0),
        SeriesChange(series='b', added=0, changed=0, gone=1),
    )
    assert found.n_series == 3
    (changed,) = found.rows['changed']
    assert (changed.series, changed.time) == ('a', START.replace(tzinfo=UTC) + timedelta(days=1))
    assert (changed.before, changed.after) == ({'y': 2}, {'y': 9})
    (gone,) = found.rows['gone']
    assert (gone.series, gone.before, gone.after) == ('b', {'y': 3}, None)
    assert [(row.before, row.after) for row in found.rows['added']] == [(None, {'y': 5}), (None, {'y': 6})]


def test_lists_are_cut_and_counts_are_not(store: Callable[..., Stored]) -> None:
    before, after = store([]), store([(name, day, day) for name in 'abc' for day in range(10)])
    found = difference(before, after, limit=2, series=2)
    assert counts(found) == (30, 0, 0, 0)
    assert [(row.series, row.time.day) for row in found.rows['added']] == [('a', 1), ('a', 2)]
    assert ([one.series for one in found.series], found.n_series) == (['a', 'b'], 3)


def test_versions_that_are_the_same_differ_in_nothing(store: Callable[..., Stored]) -> None:
    rows = [('a', day, day / 3) for day in range(100)]
    found = difference(store(rows), store(rows, parts=3))
    assert counts(found) == (0, 0, 0, 100)
    assert (found.series, found.n_series) == ((), 0)
    assert set(found.rows.values()) == {()}


def test_line_and_source_make_no_row_differ(store: Callable[..., Stored]) -> None:
    before = store([('a', 0, 1), ('a', 1, 2)])
    after = store([('a', 1, 2), ('a', 0, 1)], _source=1)
    assert counts(difference(before, after)) == (0, 0, 0, 2)


def test_rows_that_share_series_and_time_meet_by_their_order(store: Callable[..., Stored]) -> None:
    before = store([('a', 0, 1), ('a', 0, 2), ('a', 0, 3)])
    found = difference(before, store([('a', 0, 1), ('a', 0, 5)]))
    assert counts(found) == (0, 1, 1, 1)
    (changed,) = found.rows['changed']
    assert (changed.before, changed.after) == ({'y': 2}, {'y': 5})
    assert found.rows['gone'][0].before == {'y': 3}


def test_columns_that_one_lacks_are_named_and_make_no_row_differ(store: Callable[..., Stored]) -> None:
    found = difference(store([('a', 0, 1)], old='x'), store([('a', 0, 1)], new=1.5))
    assert (found.columns_added, found.columns_gone) == (('new',), ('old',))
    assert counts(found) == (0, 0, 0, 1)


def test_missing_values_are_values_of_their_own(store: Callable[..., Stored]) -> None:
    found = difference(
        store([('a', 0, None), ('a', 1, 1), ('a', 2, None)]), store([('a', 0, 1), ('a', 1, None), ('a', 2, None)])
    )
    assert counts(found) == (0, 2, 0, 1)


@pytest.mark.parametrize(
    ('before', 'after', 'changed'),
    [
        (1, 1.0, 0),
        (1, 1.5, 1),
        ('1', 1, 0),
        ('01', 1, 1),
        (START.date(), START, 0),
        (START.date(), START + timedelta(hours=1), 1),
    ],
)
def test_values_of_two_types_are_compared_by_what_they_say(
    store: Callable[..., Stored], before: Any, after: Any, changed: int
) -> None:
    assert difference(store([('a', 0, before)]), store([('a', 0, after)])).changed == changed


Rows = st.lists(st.tuples(st.sampled_from('ab'), st.integers(0, 60), st.sampled_from([None, 1, 2])), max_size=25)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(Rows, Rows)
@pytest.mark.slow
def test_any_two_versions_differ_as_they_do_when_compared_row_by_row(
    store: Callable[..., Stored], before: list[tuple[str, int, Any]], after: list[tuple[str, int, Any]]
) -> None:
    def keyed(rows: list[tuple[str, int, Any]]) -> dict[tuple[str, int, int], Any]:
        out: dict[tuple[str, int, int], Any] = {}
        for series, day, y in rows:
            nth = sum(key[:2] == (series, day) for key in out)
            out[series, day, nth] = y
        return out

    old, new = keyed(before), keyed(after)
    changed = sum(old[key] != new[key] for key in old.keys() & new.keys())
    found = difference(store(before, kind=pl.Int64), store(after, kind=pl.Int64))
    shared = len(old.keys() & new.keys()) - changed
    assert counts(found) == (len(new.keys() - old.keys()), changed, len(old.keys() - new.keys()), shared)


def test_a_point_names_its_line_its_file_and_its_cells(store: Callable[..., Stored]) -> None:
    stored = store([('b', 0, 1), ('a', 3, 7), ('a', 3, 8)], _source=4)
    found = points(stored, series='a', time=datetime(2024, 1, 4, tzinfo=UTC))
    assert [(one.line, one.source, one.cells) for one in found] == [(3, 4, {'y': 7}), (4, 4, {'y': 8})]
    assert points(stored, series='a', time=datetime(2024, 1, 4, 1, tzinfo=UTC)) == ()
    assert points(stored, series='z', time=datetime(2024, 1, 4, tzinfo=UTC)) == ()
    zoned = datetime(2024, 1, 4, 2, tzinfo=UTC).astimezone()
    assert points(stored, series='a', time=zoned) == ()
    assert points(store([('a', 0, 1)]), series='a', time=START.replace(tzinfo=UTC))[0].source == 0


@pytest.mark.slow
def test_a_large_difference_keeps_to_its_memory(tmp_path: Path) -> None:
    paths = [tmp_path / 'before.parquet', tmp_path / 'after.parquet']
    for path, factor in zip(paths, (1, 2), strict=True):
        duckdb.sql(
            f"COPY (SELECT 's' || (i // 1000) AS _series, TIMESTAMP '2024-01-01' + to_hours(i % 1000) AS _time, "
            f"i AS _line, i * {factor}.0 AS y FROM range(200_000) t(i) ORDER BY 1, 2) TO '{path}'"
        )
    found = difference(Stored(parts=paths[:1]), Stored(parts=paths[1:]))
    assert counts(found) == (0, 199_999, 0, 1)
    assert found.n_series == 200
