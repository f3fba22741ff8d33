from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.analysis.query.buckets import edges
from core.analysis.recipes import Field, check, cook, preview, with_step
from core.errors import TooLarge, UsageError

FIELDS = (
    Field(name='when', type='timestamp', role='time'),
    Field(name='site', type='text', role='series'),
    Field(name='temp', type='decimal', role='measure'),
    Field(name='rain', type='integer', role='measure'),
    Field(name='note', type='text', role='attribute'),
)
HOURS = [
    ('a', '2024-01-01 00:00', 1, 1.0, 1, 'x'),
    ('a', '2024-01-01 00:30', 2, 3.0, 2, None),
    ('a', '2024-01-01 01:00', 3, None, 3, 'y'),
    ('a', '2024-01-01 04:00', 4, 9.0, None, 'z'),
    ('b', '2024-01-01 00:00', 5, 100.0, 0, '12'),
]


def stored(folder: Path, rows: Sequence[tuple[Any, ...]] = HOURS) -> Path:
    path = folder / 'data-00000.parquet'
    series, times, lines, temps, rains, notes = zip(*sorted(rows, key=lambda row: row[:3]), strict=True)
    instants = pa.array(np.array(times, dtype='datetime64[us]'))
    table = {
        '_series': pa.array(series, pa.string()),
        '_time': instants,
        '_line': pa.array(lines, pa.int64()),
        'when': instants,
        'site': pa.array(series, pa.string()),
        'temp': pa.array(temps, pa.float64()).cast(pa.decimal128(18, 1)),
        'rain': pa.array(rains, pa.int64()),
        'note': pa.array(notes, pa.string()),
    }
    pq.write_table(pa.table(table), path, store_decimal_as_integer=True)
    return path


def cooked(
    tmp_path: Path,
    *steps: Mapping[str, Any],
    rows: Sequence[tuple[Any, ...]] = HOURS,
    zone: str = 'UTC',
    show: str = '*',
) -> list[tuple[Any, ...]]:
    done = cook(
        [stored(tmp_path, rows)],
        FIELDS,
        steps,
        zone=zone,
        out=tmp_path / 'out.parquet',
        memory=256 * 2**20,
        workdir=tmp_path,
    )
    described = duckdb.sql(f"DESCRIBE SELECT * FROM '{done.path}'").fetchall()
    assert [row[0] for row in described] == ['_series', '_time', '_line', *(field.name for field in done.fields)]
    return duckdb.sql(f"SELECT {show} FROM '{done.path}'").fetchall()


def test_a_filter_keeps_what_meets_it(tmp_path: Path) -> None:
    found = cooked(tmp_path, {'do': 'filter', 'where': "temp > 2 and when < '2024-01-02'"}, show='_line')
    assert found == [(2,), (4,), (5,)]


def test_a_derived_column_is_a_measure_and_never_infinite(tmp_path: Path) -> None:
    step = {'do': 'derive', 'column': 'share', 'as': 'temp / rain'}
    assert cooked(tmp_path, step, show='share') == [(1.0,), (1.5,), (None,), (None,), (None,)]
    assert check([step], FIELDS)[-1] == Field(name='share', type='double', role='measure')


def test_a_column_derived_under_its_own_name_replaces_it(tmp_path: Path) -> None:
    found = cooked(tmp_path, {'do': 'derive', 'column': 'temp', 'as': 'temp * 9 / 5 + 32'}, show='temp')
    assert found[:2] == [(33.8,), (37.4,)]


def test_resampling_makes_every_step_and_empty_ones_are_empty(tmp_path: Path) -> None:
    step = {'do': 'resample', 'every': 'h', 'how': 'mean', 'columns': {'rain': 'sum'}}
    found = cooked(tmp_path, step, show='_series, hour(_time), hour("when"), temp, rain, site, note, _line')
    assert found == [
        ('a', 0, 0, 2.0, 3.0, 'a', 'x', 1),
        ('a', 1, 1, None, 3.0, 'a', 'y', 3),
        ('a', 2, 2, None, None, 'a', None, None),
        ('a', 3, 3, None, None, 'a', None, None),
        ('a', 4, 4, 9.0, None, 'a', 'z', 4),
        ('b', 0, 0, 100.0, 0.0, 'b', '12', 5),
    ]


def test_days_are_days_of_the_zone_across_a_clock_change(tmp_path: Path) -> None:
    rows = [('a', f'2024-03-{day} {hour:02}:00', hour, 1.0, 1, '') for day in (30, 31) for hour in range(24)]
    found = cooked(
        tmp_path, {'do': 'resample', 'every': 'D', 'how': 'sum'}, rows=rows, zone='Europe/Berlin', show='_time, temp'
    )
    assert [(str(time), total) for time, total in found] == [
        ('2024-03-29 23:00:00', 23.0),
        ('2024-03-30 23:00:00', 23.0),
        ('2024-03-31 22:00:00', 2.0),
    ]


@pytest.mark.parametrize(
    ('every', 'step'),
    [
        ('2h', 'PT2H'),
        ('12h', 'PT12H'),
        ('7h', 'PT7H'),
        ('45min', 'PT45M'),
        ('24h', 'P1D'),
        ('48h', 'P2D'),
        ('W', 'P7D'),
    ],
)
@pytest.mark.parametrize(
    ('zone', 'day'),
    [
        ('UTC', '2024-03-31'),
        ('Europe/Berlin', '2024-03-31'),
        ('Europe/Berlin', '2024-10-27'),
        ('Asia/Kathmandu', '2024-03-31'),
        ('Australia/Lord_Howe', '2024-04-07'),  # by half an hour
        ('America/Havana', '2024-11-03'),  # midnight comes twice
        ('America/Sao_Paulo', '2018-11-04'),  # and here it does not
        ('Pacific/Apia', '2011-12-31'),  # no day was before
    ],
)
def test_steps_are_those_of_charts(tmp_path: Path, zone: str, day: str, every: str, step: str) -> None:
    begun, known = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(days=3), ZoneInfo(zone)
    times = [begun + timedelta(minutes=47 * number) for number in range(180)]
    rows = [('a', f'{at:%Y-%m-%d %H:%M}', 1, 1.0, 1, '') for at in times if at.hour != 5]
    found = cooked(
        tmp_path, {'do': 'resample', 'every': every, 'how': 'count'},
        rows=rows, zone=zone, show='epoch_us(_time), coalesce(temp, 0)',
    )  # fmt: skip
    t = np.array([int(at.timestamp()) * 1_000_000 for at in times if at.hour != 5])
    cuts = edges(int(t[0]), int(t[-1]), step, known)
    assert dict(found) == dict(zip(cuts[:-1].tolist(), np.histogram(t, cuts)[0].tolist(), strict=True))


@pytest.mark.parametrize('every', ['36h', '25h', '1500min'])
def test_a_step_over_a_day_that_is_no_whole_days_counts_by_its_span(tmp_path: Path, every: str) -> None:
    """As it always did: a recipe that is stored goes on for further files, also where clocks change."""
    rows = [('a', f'2024-03-{day} {hour:02}:00', hour, 1.0, 1, '') for day in (29, 30, 31) for hour in range(24)]
    found = cooked(
        tmp_path,
        {'do': 'resample', 'every': every, 'how': 'count'},
        rows=rows,
        zone='Europe/Berlin',
        show='_time, temp',
    )
    step, begun = timedelta(hours=36 if every == '36h' else 25), datetime(2000, 1, 1)
    held: dict[datetime, int] = {}
    for _, at, *_ in rows:
        bucket = begun + (datetime.fromisoformat(at) - begun) // step * step
        held[bucket] = held.get(bucket, 0) + 1
    assert dict(found) == held


def test_resampling_into_far_too_many_rows_is_refused(tmp_path: Path) -> None:
    rows = [('a', '1990-01-01 00:00', 1, 1.0, 1, ''), ('a', '2024-01-01 00:00', 2, 1.0, 1, '')]
    with pytest.raises(TooLarge, match=r'Step 1 would make .* longer step'):
        cooked(tmp_path, {'do': 'resample', 'every': 's'}, rows=rows)


@pytest.mark.parametrize(
    ('step', 'temps'),
    [
        ({'do': 'fill', 'how': 'none'}, [2.0, None, None, None, 9.0]),
        ({'do': 'fill', 'how': 'forward'}, [2.0, 2.0, 2.0, 2.0, 9.0]),
        ({'do': 'fill', 'how': 'forward', 'limit': 1}, [2.0, 2.0, None, None, 9.0]),
        ({'do': 'fill', 'how': 'linear'}, [2.0, 3.75, 5.5, 7.25, 9.0]),
        ({'do': 'fill', 'how': 'linear', 'limit': 2}, [2.0, None, None, None, 9.0]),
        ({'do': 'fill', 'how': 'linear', 'limit': 3}, [2.0, 3.75, 5.5, 7.25, 9.0]),
        ({'do': 'fill', 'how': 'seasonal', 'season': 2}, [2.0, None, 5.5, None, 9.0]),
    ],
)
def test_empty_cells_are_filled(tmp_path: Path, step: Mapping[str, Any], temps: list[float | None]) -> None:
    hourly = {'do': 'resample', 'every': '1h'}
    found = cooked(tmp_path, hourly, {**step, 'columns': ['temp']} if step['how'] != 'none' else step, show='temp')
    assert [row[0] for row in found][:5] == temps


@pytest.mark.parametrize(
    ('step', 'temps'),
    [
        ({'low': 2, 'high': 50}, [2.0, 3.0, None, 9.0, 50.0]),
        ({'high': 50, 'action': 'empty'}, [1.0, 3.0, None, 9.0, None]),
        ({'low': 2}, [2.0, 3.0, None, 9.0, 100.0]),
        ({'how': 'iqr', 'k': 0}, [2.0, 3.0, None, 6.0, 100.0]),
        ({'how': 'mad', 'k': 0}, [3.0, 3.0, None, 3.0, 100.0]),
        ({'how': 'quantile', 'low': 0.5, 'high': 1}, [3.0, 3.0, None, 9.0, 100.0]),
    ],
)
def test_outliers_are_clipped_series_by_series(tmp_path: Path, step: Mapping[str, Any], temps: list[float]) -> None:
    found = cooked(tmp_path, {'do': 'clip', 'columns': ['temp'], **step}, show='temp')
    assert [row[0] for row in found] == temps


@pytest.mark.parametrize(
    ('step', 'rains'),
    [
        ({'low': 1.5, 'high': 2.5}, [2, 2, 2, None, 2]),  # inward
        ({'low': 0.5}, [1, 2, 3, None, 1]),
        ({'high': 1.5, 'action': 'empty'}, [1, None, None, None, 0]),
        ({'low': 1.2, 'high': 1.8}, [1, 2, 2, None, 1]),  # no whole number lies between
        ({'how': 'iqr', 'k': 0}, [2, 2, 2, None, 0]),
        ({'how': 'quantile', 'low': 0.2, 'high': 1}, [2, 2, 3, None, 0]),
    ],
)
def test_whole_numbers_that_are_clipped_stay_whole(
    tmp_path: Path, step: Mapping[str, Any], rains: list[int | None]
) -> None:
    step = {'do': 'clip', 'columns': ['rain'], **step}
    found = cooked(tmp_path, step, show='rain, typeof(rain)')
    assert found == [(rain, 'BIGINT') for rain in rains]
    assert check([step], FIELDS)[3].type == 'integer'


def test_whole_numbers_at_the_end_of_their_range_are_not_emptied(tmp_path: Path) -> None:
    """The bound, which is a double, lies past every BIGINT; the cells stay as they are."""
    end = 2**63 - 1
    rains = [end - 10_000, end, end]
    step = {'do': 'clip', 'columns': ['rain'], 'how': 'quantile', 'low': 0.5, 'high': 1}
    rows = [('a', f'2024-01-01 0{place}:00', place, 1.0, rain, '') for place, rain in enumerate(rains)]
    found = cooked(tmp_path, step, rows=rows, show='rain')
    assert [rain for (rain,) in found] == rains


def test_a_bound_that_no_whole_number_reaches_makes_its_column_decimal(tmp_path: Path) -> None:
    step = {'do': 'clip', 'columns': ['rain'], 'low': 1e300}
    assert cooked(tmp_path, step, show='rain')[0] == (1e300,)
    assert check([step], FIELDS)[3].type == 'double'


def test_columns_are_renamed_cast_and_dropped(tmp_path: Path) -> None:
    steps = [
        {'do': 'rename', 'column': 'note', 'to': 'code'},
        {'do': 'cast', 'column': 'code', 'type': 'number'},
        {'do': 'drop', 'column': 'rain'},
    ]
    assert cooked(tmp_path, *steps, show='code') == [(None,), (None,), (None,), (None,), (12.0,)]
    assert [(field.name, field.role) for field in check(steps, FIELDS)][2:] == [
        ('temp', 'measure'),
        ('code', 'measure'),
    ]


def test_each_step_says_what_it_did(tmp_path: Path) -> None:
    steps = [
        {'do': 'filter', 'where': "site == 'a'"},
        {'do': 'clip', 'columns': ['temp'], 'high': 5},
        {'do': 'resample', 'every': 'h'},
        {'do': 'fill', 'how': 'linear', 'columns': ['temp']},
        {'do': 'cast', 'column': 'note', 'type': 'number'},
    ]
    done = cook(
        [stored(tmp_path)], FIELDS, steps, zone='UTC', out=tmp_path / 'o.parquet', memory=2**28, workdir=tmp_path
    )
    assert [(one.rows_before, one.rows_after, one.cells_changed, one.cells) for one in done.report] == [
        (5, 4, 0, 0), (4, 4, 1, 3), (4, 5, 0, 0), (5, 5, 3, 3), (5, 5, 3, 3),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('derived', 'changed', 'of'),
    [
        ({'column': 'temp', 'as': 'max(temp, 2)'}, 2, 4),
        ({'column': 'note', 'as': 'temp > 2'}, 3, 3),
        ({'column': 'b', 'as': '1'}, 0, 0),
    ],
)
def test_a_column_that_is_derived_anew_tells_how_many_of_its_cells_are_others(
    tmp_path: Path, derived: Mapping[str, str], changed: int, of: int
) -> None:
    steps = [{'do': 'derive', **derived}]
    (told,) = preview([stored(tmp_path)], FIELDS, steps, zone='UTC', series='a').report
    assert (told.cells_changed, told.cells) == (changed, of)


def test_a_preview_shows_one_series_before_and_after(tmp_path: Path) -> None:
    steps = [{'do': 'derive', 'column': 'twice', 'as': 'temp * 2'}, {'do': 'filter', 'where': 'twice > 2'}]
    shown = preview([stored(tmp_path)], FIELDS, steps, zone='UTC', series='a')
    assert (len(shown.before), [row[-1] for row in shown.after]) == (4, [6.0, 18.0])
    assert shown.columns_after[-1] == 'twice'
    assert [one.rows_after for one in shown.report] == [4, 2]


@pytest.mark.parametrize(
    ('step', 'told'),
    [
        ({'do': 'explode'}, 'Step 1: There is no step "explode"'),
        ({'do': 'filter', 'were': 'x'}, 'takes where, not "were"'),
        ({'do': 'filter', 'where': 'temp'}, 'no condition'),
        ({'do': 'filter'}, 'needs "where"'),
        ({'do': 'rename', 'column': 'note', 'to': 'TEMP'}, 'already'),
        ({'do': 'rename', 'column': 'note', 'to': '_time'}, 'a name of ours'),
        ({'do': 'derive', 'column': 'site', 'as': 'temp'}, 'names the series'),
        ({'do': 'derive', 'column': 'x', 'as': 'None'}, 'holds nothing'),
        ({'do': 'cast', 'column': 'when', 'type': 'text'}, 'names the time'),
        ({'do': 'cast', 'column': 'temp', 'type': 'money'}, 'Choose number'),
        ({'do': 'clip', 'columns': ['note'], 'low': 1}, 'holds no numbers'),
        ({'do': 'clip', 'low': 3, 'high': 1}, 'above the upper'),
        ({'do': 'clip'}, 'needs "low"'),
        ({'do': 'clip', 'low': float('nan')}, 'is a number'),
        ({'do': 'resample', 'every': 'fortnight'}, 'is no step'),
        ({'do': 'resample', 'every': '0h'}, 'is no step'),
        ({'do': 'resample', 'every': 'h', 'columns': {'note': 'sum'}}, 'cannot be taken of "note"'),
        ({'do': 'fill', 'how': 'seasonal'}, 'needs "season"'),
        ({'do': 'fill', 'how': 'magic'}, 'Choose none'),
        ({'do': 'fill', 'how': 'forward', 'columns': ['nope']}, 'There is no column "nope"'),
    ],
)
def test_a_step_that_cannot_be_done_is_named(step: Mapping[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as raised:
        check([step], FIELDS)
    assert told in raised.value.message


def test_the_last_measure_stays() -> None:
    with pytest.raises(UsageError, match='last measure'):
        check([{'do': 'drop', 'column': 'rain'}, {'do': 'drop', 'column': 'temp'}], FIELDS)


def test_a_recipe_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='leaves no row'):
        cooked(tmp_path, {'do': 'filter', 'where': 'temp > 1000'})


SPELLED = [
    ('Oslo', '2024-01-01 00:00', 1, 1.0, 1, None),
    ('oslo', '2024-01-01 00:00', 2, 5.0, 3, None),
    ('oslo', '2024-01-01 01:00', 3, 2.0, 2, None),
    ('b', '2024-01-01 00:00', 4, 9.0, 9, None),
]
MERGE = {'do': 'merge', 'column': 'site', 'values': ['oslo'], 'to': 'Oslo'}


@pytest.mark.parametrize(
    ('how', 'kept'),
    [
        ('last', [('Oslo', 'Oslo', 2, 5.0, 3), ('Oslo', 'Oslo', 3, 2.0, 2)]),
        ('first', [('Oslo', 'Oslo', 1, 1.0, 1), ('Oslo', 'Oslo', 3, 2.0, 2)]),
        ('mean', [('Oslo', 'Oslo', 2, 3.0, 2.0), ('Oslo', 'Oslo', 3, 2.0, 2.0)]),
    ],
)
def test_merged_series_have_one_name_and_one_row_a_time(tmp_path: Path, how: str, kept: list[tuple[Any, ...]]) -> None:
    found = cooked(tmp_path, {**MERGE, 'how': how}, rows=SPELLED, show='_series, site, _line, temp, rain')
    assert found == [*kept, ('b', 'b', 4, 9.0, 9)]


def test_what_gives_way_is_told_with_both_lines(tmp_path: Path) -> None:
    cooked(tmp_path, MERGE, rows=SPELLED)
    told = duckdb.sql(
        f"SELECT was, line, source, other_line, here, there, name, action FROM '{tmp_path}/out-lost.parquet'"
    )
    assert told.fetchall() == [('Oslo', 1, 0, 2, 'temp 1.0, rain 1', 'temp 5.0, rain 3', 'Oslo', 'rejected')]


def test_rows_that_share_a_time_within_one_spelling_are_events_and_all_stay(tmp_path: Path) -> None:
    events = [*SPELLED, ('oslo', '2024-01-01 00:00', 5, 7.0, 7, None)]
    assert cooked(tmp_path, MERGE, rows=events, show='_line') == [(1,), (2,), (5,), (3,), (4,)]


def test_names_are_merged_one_after_the_other(tmp_path: Path) -> None:
    again = {'do': 'merge', 'column': 'site', 'values': ['b'], 'to': 'Oslo', 'how': 'first'}
    assert cooked(tmp_path, MERGE, again, rows=SPELLED, show='_series, _line') == [('Oslo', 2), ('Oslo', 3)]
    told = duckdb.sql(f"SELECT was, line, other_line FROM '{tmp_path}/out-lost.parquet' ORDER BY line").fetchall()
    assert told == [('Oslo', 1, 2), ('b', 4, 2)]


THREE = [
    ('a', '2024-01-01 00:00', 1, 0.0, None, None),
    ('A', '2024-01-01 00:00', 2, 0.0, 4, None),
    ('AA', '2024-01-01 00:00', 3, 9.0, 6, None),
]


@pytest.mark.parametrize('cut', [[['a', 'AA']], [['a'], ['AA']], [['AA'], ['a']]])
def test_the_mean_of_merged_series_does_not_depend_on_how_steps_are_cut(tmp_path: Path, cut: list[list[str]]) -> None:
    steps = [{**MERGE, 'values': values, 'to': 'A', 'how': 'mean'} for values in cut]
    assert cooked(tmp_path, *steps, rows=THREE, show='_line, temp, rain') == [(3, 3.0, 5.0)]
    shown = preview([tmp_path / 'data-00000.parquet'], FIELDS, steps, zone='UTC', series='A')
    assert shown.columns_after == ('_series', '_time', '_line', 'when', 'site', 'temp', 'rain', 'note')
    assert [row[2:] for row in shown.after] == [(3, datetime(2024, 1, 1), 'A', 3.0, 5.0, None)]
    assert [len(row) for row in shown.before] == [8, 8, 8]


def test_a_row_that_holds_a_mean_and_gives_way_says_what_its_line_said(tmp_path: Path) -> None:
    steps = [
        {**MERGE, 'values': ['AA'], 'to': 'A', 'how': 'mean'},
        {**MERGE, 'values': ['A'], 'to': 'b', 'how': 'mean'},
    ]
    cooked(tmp_path, *steps, rows=[*THREE[1:], ('b', '2024-01-01 00:00', 4, 6.0, 2, None)], show='temp')
    told = duckdb.sql(f"SELECT line, here, there FROM '{tmp_path}/out-lost.parquet' WHERE other_line = 4").fetchall()
    assert told == [(3, 'temp 9.0, rain 6', 'temp 6.0, rain 2')]


def test_a_preview_shows_all_series_that_become_one(tmp_path: Path) -> None:
    parts = [stored(tmp_path, SPELLED)]
    found = preview(parts, FIELDS, [MERGE], zone='UTC', series='oslo')
    assert [row[found.columns_before.index('_series')] for row in found.before] == ['Oslo', 'oslo', 'oslo']
    assert (found.report[0].rows_before, found.report[0].rows_after) == (3, 2)
    assert (found.report[0].cells_changed, found.report[0].cells) == (2, 3)
    other = {**MERGE, 'values': ['oslo', 'Oslo'], 'to': 'Greater Oslo'}
    named = preview(parts, FIELDS, [MERGE], zone='UTC', series='Greater Oslo', stored=[other])
    assert len(named.after) == 2


def test_a_step_that_merges_comes_before_all_others(tmp_path: Path) -> None:
    clip = {'do': 'clip', 'how': 'fixed', 'high': 9}
    with pytest.raises(UsageError, match='Step 2: Series are merged before anything else is done'):
        check([clip, MERGE], FIELDS)
    assert with_step([clip], MERGE) == [MERGE, clip]
    assert with_step([MERGE, clip], {**MERGE, 'to': 'b'}) == [MERGE, {**MERGE, 'to': 'b'}, clip]
    assert with_step([MERGE], clip) == [MERGE, clip]


@pytest.mark.parametrize(
    ('step', 'said'),
    [
        ({'column': 'note'}, 'does not name series. Merge values of "site"'),
        ({'values': []}, '"values" of the step merge is a list of texts'),
        ({'values': 'oslo'}, '"values" of the step merge is a list of texts'),
        ({'values': [3]}, 'holds what is no text'),
        ({'to': ' '}, 'needs "to"'),
        ({'how': 'sum'}, '"sum" is no how'),
    ],
)
def test_a_merge_that_cannot_be_done_says_why(step: Mapping[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check([{**MERGE, **step}], FIELDS)
