"""Panels: what models are given."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.analysis import panel
from core.errors import AmbiguousDates, TooLarge, UsageError
from tests.unit.analysis.stored import Row, store

START = datetime(2024, 1, 1)
MEMORY = 512 * 2**20


def at(**later: float) -> int:
    """Microseconds since 1970 of a stamp after 2024-01-01 (a Monday)."""
    return int((START + timedelta(**later)).replace(tzinfo=UTC).timestamp() * 1e6)


ROWS: list[Row] = [
    ('a', at(days=0), 1.0, 10.0),
    ('a', at(days=1), 2.0, 20.0),
    ('a', at(days=2), None, 30.0),
    ('a', at(days=31), 7.0, 40.0),
    ('b', at(hours=1), 5.0, 50.0),
    ('b', at(hours=2), 3.0, 60.0),
]


def read(parts: list[Path], folder: Path, **options: object) -> list[tuple[object, ...]]:
    return panel.read(parts, **{'target': 'y', 'workdir': folder, **options}).rows()


def test_all_series_are_read_as_sampled_in_order_with_their_gaps(tmp_path: Path) -> None:
    frame = panel.read(store(tmp_path, ROWS, parts=2), target='y', workdir=tmp_path)
    assert frame.schema == {'unique_id': pl.String, 'ds': pl.Datetime('us'), 'y': pl.Float64}
    assert frame['unique_id'].to_list() == ['a'] * 4 + ['b'] * 2
    assert frame['y'].to_list() == [1.0, 2.0, None, 7.0, 5.0, 3.0]
    assert frame['ds'][0] == START


def test_only_the_series_asked_for_are_read(tmp_path: Path) -> None:
    parts = store(tmp_path, ROWS)
    assert {row[0] for row in read(parts, tmp_path, series=['b'])} == {'b'}
    assert read(parts, tmp_path, series=["b' or true --"]) == []


def test_target_may_have_any_name(tmp_path: Path) -> None:
    frame = panel.read(store(tmp_path, ROWS), target='a "b"', series=['a'], workdir=tmp_path)
    assert frame['y'].to_list() == [10.0, 20.0, 30.0, 40.0]


def test_values_since_a_time_are_those_of_the_whole_from_there_on(tmp_path: Path) -> None:
    parts = store(tmp_path, [*daily(40), *ROWS[4:]])
    since = START + timedelta(days=30)
    assert len(read(parts, tmp_path, since=since)) == 10
    for options in ({}, {'step': 'D'}, {'step': 'W-MON', 'aggregate': 'sum'}):
        whole = read(parts, tmp_path, **options)
        assert read(parts, tmp_path, since=since, **options) == [row for row in whole if row[1] >= since]


def daily(days: int) -> list[Row]:
    """One row a day from January 2024 on; the value is the day of the month."""
    return [('a', at(days=day), float((START + timedelta(days=day)).day), None) for day in range(days)]


@pytest.mark.parametrize(
    ('aggregate', 'january', 'february'),
    [('mean', 16, 15), ('sum', 496, 435), ('min', 1, 1), ('max', 31, 29), ('last', 31, 29)],
)
def test_values_are_folded_into_calendar_steps(tmp_path: Path, aggregate: str, january: float, february: float) -> None:
    found = read(store(tmp_path, daily(60)), tmp_path, step='MS', aggregate=aggregate)
    assert found == [('a', START, january), ('a', datetime(2024, 2, 1), february)]


def sold(*hours: float) -> list[Row]:
    """An order of 10 at each of some hours of January 2024."""
    return [('shop', at(hours=hour), 10.0, 1.0) for hour in hours]


@pytest.mark.parametrize(
    ('rows', 'options', 'sums'),
    [
        # Two orders, none for two days, one, none, and two: what was not sold adds up to nothing.
        (sold(9, 11.5, 81, 130, 134.2, 143), {}, [20.0, 0.0, 0.0, 10.0, 0.0, 30.0]),
        (sold(9, 11.5, 81, 130, 134.2, 143), {'aggregate': 'mean'}, [10.0, 10.0, 10.0]),
        # Readings of every eight hours are missing for a day.
        (sold(0, 8, 16, 24, 32, 40, 72, 80, 88), {}, [30.0, 30.0, 30.0]),
        # Days are not filled up to one that is none.
        (
            [*sold(*(24 * day + 8 + day * 7 % 12 for day in range(30))), ('shop', at(days=4000), 1.0, 1.0)],
            {},
            [*30 * [10.0], 1.0],
        ),
    ],
)
def test_a_step_without_events_adds_up_to_nothing(
    tmp_path: Path, rows: list[Row], options: dict[str, Any], sums: list[float]
) -> None:
    found = read(store(tmp_path, rows), tmp_path, **{'step': 'D', 'aggregate': 'sum', **options})
    assert [row[2] for row in found] == sums


@pytest.mark.parametrize(('days', 'months'), [(20, 0), (31, 1), (32, 1), (59, 1), (60, 2), (63, 2)])
def test_last_step_counts_once_the_data_fill_it(tmp_path: Path, days: int, months: int) -> None:
    assert len(read(store(tmp_path, daily(days)), tmp_path, step='MS', aggregate='sum')) == months


STRAYS = [datetime(1900, 1, 1), datetime(1900, 1, 2), datetime(2999, 12, 31)]


@pytest.mark.parametrize('far', [STRAYS[:1], STRAYS[2:], STRAYS])
@pytest.mark.parametrize('of', ['y', 'a "b"'])
def test_times_that_are_no_dates_make_no_last_step_full(tmp_path: Path, far: list[datetime], of: str) -> None:
    stray = [('a', int(day.replace(tzinfo=UTC).timestamp() * 1e6), 9.0, 9.0) for day in far]
    rows = sorted([*daily(640), *stray, *[('b', *row[1:]) for row in daily(640)]])
    asked: dict[str, Any] = {'step': 'MS', 'aggregate': 'sum', 'regressors': ['a "b"'] if of != 'y' else []}
    known = read(store(tmp_path, rows), tmp_path, series=['a'], **asked)
    plain = read(store(tmp_path, rows), tmp_path, series=['b'], **asked)
    assert [row[1:3] for row in known if row[1].year in (2024, 2025)] == [row[1:3] for row in plain]
    assert {row[1].replace(day=1) for row in known} >= {day.replace(day=1) for day in far}
    assert sum(row[2] is not None for row in plain) == 21


@pytest.mark.parametrize(
    ('step', 'stamp'),
    [
        ('h', datetime(2024, 5, 15, 13)),
        ('D', datetime(2024, 5, 15)),
        ('W-MON', datetime(2024, 5, 13)),
        ('MS', datetime(2024, 5, 1)),
        ('QS', datetime(2024, 4, 1)),
        ('YS', datetime(2024, 1, 1)),
    ],
)
def test_step_is_named_by_its_start(tmp_path: Path, step: str, stamp: datetime) -> None:
    moments = [int(datetime(year, 5, 15, 13, 45, tzinfo=UTC).timestamp() * 1e6) for year in (2024, 2026)]
    found = read(store(tmp_path, [('a', moment, 4.0, None) for moment in moments]), tmp_path, step=step)
    assert found[0] == ('a', stamp, 4.0)


def test_step_without_any_value_stays_empty(tmp_path: Path) -> None:
    rows: list[Row] = [('a', at(days=day), None, None) for day in range(31)]
    assert read(store(tmp_path, rows), tmp_path, step='MS', aggregate='sum') == [('a', START, None)]


def test_unknown_step_and_aggregate_are_refused(tmp_path: Path) -> None:
    parts = store(tmp_path, ROWS)
    with pytest.raises(UsageError, match='"fortnight" is no step'):
        read(parts, tmp_path, step='fortnight')
    with pytest.raises(UsageError, match='"median" is no aggregate'):
        read(parts, tmp_path, step='D', aggregate='median')


def test_too_many_points_are_refused_unless_a_step_makes_them_fewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panel, 'MOST_POINTS', 10)
    parts = store(tmp_path, daily(63))
    with pytest.raises(TooLarge, match='63 points are too many'):
        read(parts, tmp_path)
    assert len(read(parts, tmp_path, step='MS')) == 2


def ahead(days: int, known: int) -> list[Row]:
    """One row a day from January 2024 on; the target is the day of the month for `days`, a regressor goes on."""
    stamps = [START + timedelta(days=day) for day in range(days + known)]
    return [
        ('a', at(days=day), float(stamp.day) if day < days else None, float(stamp.month))
        for day, stamp in enumerate(stamps)
    ]


def with_kinds(parts: list[Path]) -> list[Path]:
    """Add a column of text, `kind`: the series and the row's place in its file; none in every other row."""
    for path in parts:
        rows = pl.read_parquet(path).with_row_index()
        told = pl.when(pl.col('index') % 2 == 0).then(pl.col('_series') + '-kind')
        rows.with_columns(kind=told).drop('index').write_parquet(path)
    return parts


def test_regressors_go_on_after_the_last_value(tmp_path: Path) -> None:
    parts = with_kinds(store(tmp_path, ahead(30, 5), parts=2))
    frame = panel.read(parts, target='y', regressors=['a "b"'], static=['kind'], workdir=tmp_path)
    assert frame.columns == ['unique_id', 'ds', 'y', 'a "b"', 'kind']
    assert frame.schema['a "b"'] == pl.Float64
    assert frame['y'].null_count() == 5
    assert frame['ds'][-1] == START + timedelta(days=34)
    assert frame['a "b"'].to_list() == [1.0] * 31 + [2.0] * 4
    assert frame['kind'][:2].to_list() == ['a-kind', None]


def test_without_regressors_a_series_ends_with_its_last_value(tmp_path: Path) -> None:
    parts = store(tmp_path, [*ahead(30, 5), ('b', at(days=0), None, 1.0)])
    frame = panel.read(parts, target='y', workdir=tmp_path)
    assert frame['unique_id'].to_list() == ['a'] * 30 + ['b']
    assert panel.read(parts, target='y', step='D', series=['a'], workdir=tmp_path).height == 30
    assert panel.read(parts, target='y', step='MS', series=['a'], workdir=tmp_path).is_empty()


@pytest.mark.parametrize(('days', 'months'), [(59, 1), (60, 2), (61, 2)])
def test_regressors_are_folded_and_a_step_that_the_target_only_began_has_no_value(
    tmp_path: Path, days: int, months: int
) -> None:
    parts = with_kinds(store(tmp_path, ahead(days, 91 + 30 - days)))
    frame = panel.read(parts, target='y', step='MS', regressors=['a "b"'], static=['kind'], workdir=tmp_path)
    assert frame['ds'].to_list() == [datetime(2024, month, 1) for month in (1, 2, 3, 4)]
    assert frame['y'].drop_nulls().to_list() == [16.0, 15.0][:months]
    assert frame['a "b"'].to_list() == [1.0, 2.0, 3.0, 4.0]
    assert frame['kind'].to_list() == ['a-kind'] * 4


def test_chunks_part_the_sorted_series(tmp_path: Path) -> None:
    names = ['b', 'a', 'ä', 'B', 'c', '10', '9']
    rows: list[Row] = [(name, at(days=day), 1.0, None) for name in names for day in range(2)]
    parts = store(tmp_path, rows, parts=3)
    found = [panel.read(parts, target='y', chunk=[i, 3], workdir=tmp_path)['unique_id'].to_list() for i in range(3)]
    assert [sorted(set(chunk)) for chunk in found] == [['10', '9'], ['B', 'a'], ['b', 'c', 'ä']]
    some = panel.read(parts, target='y', chunk=[1, 2], series=['9', 'c', 'a', 'b'], workdir=tmp_path)
    assert set(some['unique_id']) == {'b', 'c'}
    with pytest.raises(UsageError, match='chunk'):
        panel.read(parts, target='y', chunk=[3, 3], workdir=tmp_path)


@pytest.mark.parametrize(
    ('named', 'told'),
    [
        ({'regressors': ['price']}, 'no column "price"'),
        ({'static': ['price']}, 'no column "price"'),
        ({'regressors': ['kind']}, 'no numbers'),
        ({'regressors': ['y']}, 'named twice'),
        ({'regressors': ['ds']}, 'another name'),
    ],
)
def test_unsuitable_columns_are_told(tmp_path: Path, named: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        panel.read(with_kinds(store(tmp_path, ROWS)), target='y', workdir=tmp_path, **named)


def test_what_if_changes_the_horizon_alone() -> None:
    stamps = [START + timedelta(days=day) for day in range(4)]
    rows = {
        'unique_id': ['a', 'a', 'a', 'b'],
        'ds': stamps,
        'y': [1.0, None, None, 4.0],
        'price': [1.0, 2.0, None, 4.0],
    }
    frame = pl.DataFrame(rows)
    for how, value, after in (('scale', 2, 4.0), ('shift', -1.5, 0.5), ('set', 0, 0.0)):
        found = panel.changed(frame, {'price': {'how': how, 'value': value}})
        assert found['price'].to_list() == [1.0, after, 0.0 if how == 'set' else None, 4.0]
        assert found.drop('price').equals(frame.drop('price'))
    assert panel.changed(frame, {}).equals(frame)


@pytest.mark.parametrize(
    ('name', 'change', 'told'),
    [
        ('y', {'how': 'set', 'value': 1}, '"y" is no regressor'),
        ('price', {'how': 'double', 'value': 1}, 'scale, shift or set'),
        ('price', {'how': 'set', 'value': 'much'}, 'needs a number'),
        ('price', {'how': 'set', 'value': float('nan')}, 'needs a number'),
    ],
)
def test_a_what_if_that_makes_no_sense_is_told(name: str, change: dict[str, Any], told: str) -> None:
    frame = pl.DataFrame({'unique_id': ['a'], 'ds': [START], 'y': [1.0], 'price': [1.0]})
    with pytest.raises(UsageError, match=told):
        panel.changed(frame, {name: change})


def file(folder: Path, text: str) -> Path:
    path = folder / 'in.csv'
    path.write_text(text)
    return path


def read_file(path: Path, folder: Path, **given: Any) -> pl.DataFrame:
    asked = {'time': 'ds', 'id_column': None, 'target': 'y', 'day_first': None, 'memory': MEMORY, **given}
    frame, left_out = panel.read_file(path, name=path.name, workdir=folder, **asked)
    assert left_out == 0
    return frame


def test_file_of_one_series_is_named_by_its_target_and_sorted(tmp_path: Path) -> None:
    frame = read_file(file(tmp_path, 'ds,y\n1949-02,118\n1949-01,112\n1949-03,132\n'), tmp_path)
    assert frame.rows() == [
        ('y', datetime(1949, 1, 1), 112.0),
        ('y', datetime(1949, 2, 1), 118.0),
        ('y', datetime(1949, 3, 1), 132.0),
    ]


def test_ids_stay_text(tmp_path: Path) -> None:
    text = 'ds,shop,y\n2024-01-01,007,1\n2024-01-02,007,2\n2024-01-01,7,3\n2024-01-02,7,4\n'
    frame = read_file(file(tmp_path, text), tmp_path, id_column='shop')
    assert frame['unique_id'].to_list() == ['007', '007', '7', '7']
    assert frame['y'].to_list() == [1.0, 2.0, 3.0, 4.0]


def test_stamps_with_an_offset_become_utc(tmp_path: Path) -> None:
    rows = ''.join(f'2024-01-{day:02}T00:30:00+02:00,{day}\n' for day in range(1, 6))
    frame = read_file(file(tmp_path, f'ds,y\n{rows}'), tmp_path)
    assert frame.schema['ds'] == pl.Datetime('us', 'UTC')
    assert frame['ds'][0] == datetime(2023, 12, 31, 22, 30, tzinfo=UTC)


def test_stamps_of_a_zone_are_instants_and_dates_stay_dates(tmp_path: Path) -> None:
    rows = ''.join(f'2024-10-27 {hour:02}:00,{hour}\n' for hour in (1, 2, 3, 4))
    (tmp_path / 'hours').mkdir()
    frame = read_file(file(tmp_path, f'ds,y\n{rows}'), tmp_path / 'hours', zone='Europe/Berlin')
    assert frame.schema['ds'] == pl.Datetime('us', 'Europe/Berlin')
    assert frame['ds'].dt.convert_time_zone('UTC').dt.hour().to_list()[-2:] == [2, 3]
    (tmp_path / 'days').mkdir()
    days = read_file(file(tmp_path, 'ds,y\n2024-10-26,1\n2024-10-27,2\n'), tmp_path / 'days', zone='Europe/Berlin')
    assert days['ds'].to_list() == [datetime(2024, 10, 26), datetime(2024, 10, 27)]


@pytest.mark.parametrize(('day_first', 'stamp'), [(True, datetime(2024, 2, 1)), (False, datetime(2024, 1, 2))])
def test_day_and_month_are_told_apart_by_the_user(tmp_path: Path, day_first: bool, stamp: datetime) -> None:
    path = file(tmp_path, 'ds,y\n01/02/2024,1\n02/02/2024,2\n')
    with pytest.raises(AmbiguousDates):
        read_file(path, tmp_path)
    again = tmp_path / 'again'
    again.mkdir()
    assert read_file(path, again, day_first=day_first)['ds'][0] == stamp


def test_column_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = file(tmp_path, 'ds,y\n2024-01-01,1\n2024-01-02,2\n')
    with pytest.raises(UsageError, match='sales'):
        read_file(path, tmp_path, target='sales')


def test_time_that_is_no_time_is_told(tmp_path: Path) -> None:
    path = file(tmp_path, 'ds,y\nsoon,1\nlater,2\n')
    with pytest.raises(UsageError, match='ds'):
        read_file(path, tmp_path)


def shops(folder: Path) -> Path:
    rows = ''.join(f'2024-01-{day:02},{shop},{day},{day % 2},north\n' for shop in ('007', '7') for day in range(1, 11))
    return file(folder, f'ds,shop,sales,promo,region\n{rows}2024-01-11,7,,1,north\n')


def test_regressors_and_static_columns_of_a_file(tmp_path: Path) -> None:
    frame = read_file(
        shops(tmp_path), tmp_path, id_column='shop', target='sales', regressors=['promo'], static=['region']
    )
    assert frame.columns == ['unique_id', 'ds', 'y', 'promo', 'region']
    assert frame.row(-1) == ('7', datetime(2024, 1, 11), None, 1.0, 'north')


def test_a_file_of_the_future_brings_regressors(tmp_path: Path) -> None:
    future = tmp_path / 'future.csv'
    rows = ''.join(f'2024-01-{day:02},{shop},0.5\n' for shop in ('007', '7') for day in range(9, 14))
    future.write_text(f'ds,shop,promo\n{rows}')
    frame = read_file(shops(tmp_path), tmp_path, id_column='shop', target='sales', regressors=['promo'], future=future)
    own = frame.filter(unique_id='7')
    assert own['ds'].to_list() == [datetime(2024, 1, day) for day in range(1, 14)]
    assert own['y'].to_list() == [*range(1, 11), None, None, None]
    assert own['promo'].to_list() == [1.0, 0.0] * 5 + [0.5] * 3


def test_a_value_at_a_time_that_is_no_date_ends_no_series(tmp_path: Path) -> None:
    rows = ''.join(f'2024-01-{day:02},{shop},{day},0.5\n' for shop in 'ab' for day in range(1, 29))
    ahead = ''.join(f'2024-01-{day:02},{shop},,0.5\n' for shop in 'ab' for day in range(29, 32))
    (tmp_path / 'future.csv').write_text('ds,shop,promo\n2024-02-01,a,0.5\n2024-02-01,b,0.5\n')
    path = file(tmp_path, f'ds,shop,sales,promo\n{rows}{ahead}2999-12-31,a,9,0.5\n')
    asked = {'id_column': 'shop', 'target': 'sales', 'regressors': ['promo'], 'future': tmp_path / 'future.csv'}
    frame = read_file(path, tmp_path, **asked)
    assert frame.filter(unique_id='a')['ds'].to_list()[27:33] == [
        *(datetime(2024, 1, day) for day in range(28, 32)), datetime(2024, 2, 1), datetime(2999, 12, 31)
    ]  # fmt: skip
    moved = panel.changed(frame, {'promo': {'how': 'set', 'value': 2}})
    assert moved.filter(unique_id='a', promo=2)['ds'].to_list()[:4] == [
        *(datetime(2024, 1, day) for day in (29, 30, 31)), datetime(2024, 2, 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('text', 'regressors', 'told'),
    [
        ('ds,shop,promo\n2024-01-01,7,1\n2024-01-02,7,1\n', ['promo'], 'no row after'),
        ('ds,shop,promo\n2024-02-01T00:00Z,7,1\n2024-02-02T00:00Z,7,1\n', ['promo'], 'zone'),
        ('ds,shop,promo\n2024-02-01,7,1\n2024-02-02,7,1\n', [], 'Name them'),
        ('ds,shop,price\n2024-02-01,7,1\n2024-02-02,7,1\n', ['promo'], 'promo'),
    ],
)
@pytest.mark.slow
def test_a_file_of_the_future_that_cannot_serve_is_told(
    tmp_path: Path, text: str, regressors: list[str], told: str
) -> None:
    future = tmp_path / 'future.csv'
    future.write_text(text)
    with pytest.raises(UsageError, match=told):
        read_file(shops(tmp_path), tmp_path, id_column='shop', target='sales', regressors=regressors, future=future)


def test_a_regressor_of_words_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='region'):
        read_file(shops(tmp_path), tmp_path, id_column='shop', target='sales', regressors=['region'])


@pytest.mark.parametrize('suffix', ['csv', 'parquet'])
def test_rows_are_written_by_the_suffix(tmp_path: Path, suffix: str) -> None:
    rows = pl.DataFrame({'unique_id': ['007'], 'mean': [1.5]})
    out = tmp_path / f'out.{suffix}'
    panel.write(rows, out)
    types = {'unique_id': pl.String}
    read_back = pl.read_csv(out, schema_overrides=types) if suffix == 'csv' else pl.read_parquet(out)
    assert read_back.equals(rows)


def test_several_series_without_an_id_are_not_mixed_into_one(tmp_path: Path):
    source = tmp_path / 'shops.csv'
    days = [f'2024-01-{day:02}' for day in range(1, 29)]
    source.write_text('date,store,qty\n' + ''.join(f'{day},{store},1\n' for store in 'AB' for day in days))
    for folder in ('one', 'two'):
        (tmp_path / folder).mkdir()
    asked: Any = {'name': 'shops.csv', 'time': 'date', 'target': 'qty', 'day_first': None, 'memory': 2**29}
    with pytest.raises(UsageError, match='holds 2 series, told apart by "store"'):
        panel.read_file(source, id_column=None, workdir=tmp_path / 'one', **asked)
    frame, _ = panel.read_file(source, id_column='store', workdir=tmp_path / 'two', **asked)
    assert frame['unique_id'].n_unique() == 2
