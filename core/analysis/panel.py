"""Panels: a stored version's series as the frame that models take, and forecasts as a page reads them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.analysis import duck
from core.errors import TooLarge, UsageError

if TYPE_CHECKING:
    import duckdb
    import polars

MEMORY = 512 * 2**20
MOST_POINTS = 5_000_000
STEPS = {'h': 'hour', 'D': 'day', 'W-MON': 'week', 'MS': 'month', 'QS': 'quarter', 'YS': 'year'}
AGGREGATES = {'mean': 'avg', 'sum': 'sum', 'min': 'min', 'max': 'max', 'last': 'last'}


def read(
    parts: Sequence[Path],
    *,
    target: str,
    series: Sequence[str] = (),
    step: str | None = None,
    aggregate: str = 'mean',
    since: datetime | None = None,
    workdir: Path,
) -> 'polars.DataFrame':
    """Return `unique_id, ds, y` (naive UTC, sorted) of the series asked for, or of all; `since` a time only.

    With `step` (a key of STEPS), values are aggregated into calendar steps in UTC; an unfinished last step is left out.
    Raise TooLarge beyond five million points, UsageError for an unknown step or aggregate.
    """
    if step is not None and step not in STEPS:
        raise UsageError(f'"{step}" is no step. Steps are {", ".join(STEPS)}.')
    if aggregate not in AGGREGATES:
        raise UsageError(f'"{aggregate}" is no aggregate. Aggregates are {", ".join(AGGREGATES)}.')
    value = duck.identifier(target)
    chosen = f'list_contains({duck.texts(series)}, _series)' if series else 'true'
    source = f'from {duck.files(parts)} where {chosen}'
    late = '' if since is None else f'>= timestamp {duck.text(str(since))}'
    if step is None:
        columns = f'_series as unique_id, _time as ds, {value}::double as y'
        query = f'select {columns} {source} {late and f"and _time {late}"} order by 1, 2, _line'
    else:
        query = _folded(value, STEPS[step], aggregate, source, late and f'ds {late} and')
    with duck.connect(memory=MEMORY, workdir=workdir, allow=parts) as connection:
        (count,) = duck.single(connection, f'select count(*) from ({query})')
        if count > MOST_POINTS:
            raise TooLarge(
                f'{count:,} points are too many for one forecast (at most {MOST_POINTS:,}). '
                'Choose fewer series or a coarser step.'
            )
        return _frame(connection, query)


def _folded(value: str, unit: str, aggregate: str, source: str, late: str) -> str:
    """Return SQL that folds values into calendar steps, without a last step that the data has only begun to fill."""
    folded = f'last({value} order by _time)' if aggregate == 'last' else f'{AGGREGATES[aggregate]}({value}::double)'
    length = '3 months' if unit == 'quarter' else f'1 {unit}'
    return f"""
        with folded as (
            select _series, date_trunc('{unit}', _time)::timestamp as ds, ({folded})::double as y {source} group by 1, 2
        ), ends as (
            select _series, max(_time) as last,
                (epoch_us(max(_time)) - epoch_us(min(_time))) / greatest(count(distinct _time) - 1, 1) as step
            {source} group by 1
        )
        select _series as unique_id, ds, y
        from folded join ends using (_series)
        where {late} (last < ds or epoch_us(last) + 1.5 * step >= epoch_us(ds + interval '{length}'))
        order by 1, 2
    """


def read_file(
    path: Path,
    *,
    name: str,
    time: str,
    id_column: str | None,
    target: str,
    day_first: bool | None,
    memory: int,
    workdir: Path,
) -> tuple['polars.DataFrame', int]:
    """Return `unique_id` (text), `ds` (naive as in the file, else UTC) and `y` of a foreign file, in time order.

    Beside it stands how many records had no readable time or series and were left out. Raise UsageError when a column
    is not there or is named twice; what else can go wrong is what `ingest.convert` raises.
    """
    from core.analysis.ingest import Options, convert

    named = [column for column in (time, id_column, target) if column]
    if len(set(named)) < len(named):
        raise UsageError(f'Time, id and target must be different columns, not {", ".join(named)}.')
    roles = {time: 'time', target: 'measure'} | ({id_column: 'series'} if id_column else {})
    folder = workdir / 'panel'
    folder.mkdir()
    options = Options(roles=roles, memory=memory, day_first=day_first, keep_unmeasured=True)
    manifest = convert(path, name=name, into=folder, options=options, progress=lambda part, text: None)
    parts = sorted(folder.glob('data-*.parquet'))
    series = f'{duck.identifier(id_column)}::varchar' if id_column else duck.text(target)
    zone = '' if manifest.time.naive else " at time zone 'UTC'"
    query = (
        f'select {series} as unique_id, _time{zone} as ds, {duck.identifier(target)}::double as y '
        f'from {duck.files(parts)} order by 1, 2, _line'
    )
    with duck.connect(memory=MEMORY, workdir=workdir, allow=parts) as connection:
        return _frame(connection, query), manifest.rows_rejected


def _frame(connection: 'duckdb.DuckDBPyConnection', query: str) -> 'polars.DataFrame':
    import polars

    frame = polars.from_arrow(connection.sql(query).to_arrow_table())
    assert isinstance(frame, polars.DataFrame)
    return frame


def write(rows: 'polars.DataFrame', out: Path) -> None:
    """Write a frame as CSV or Parquet, by `out`'s suffix."""
    if out.suffix == '.csv':
        rows.write_csv(out)
    else:
        rows.write_parquet(out)


def chart(history: Path, forecasts: Mapping[str, Path], *, series: str, points: int = 1500) -> dict[str, Any]:
    """Return what a forecast chart draws for one series: the last `points` actuals and each model's quantiles.

    Times are epoch milliseconds; `q` maps a quantile such as `0.1` to its values, null where a model failed.
    """
    with duck.connect(memory=MEMORY, allow=[history, *forecasts.values()]) as connection:
        actual = connection.execute(
            f'select epoch_ms(ds) as t, y from {duck.files([history])} where unique_id = ? order by ds desc limit ?',
            [series, points],
        ).fetchall()
        models = [_model(connection, name, path, series) for name, path in forecasts.items()]
    actual.reverse()
    cutoffs = [model.pop('cutoff') for model in models]
    return {
        'series': series,
        'history': {'t': [row[0] for row in actual], 'y': [row[1] for row in actual]},
        'cutoff': next((c for c in cutoffs if c is not None), None),
        'models': models,
    }


def _model(connection: Any, name: str, path: Path, series: str) -> dict[str, Any]:
    result = connection.execute(
        f'select * replace (epoch_ms(ds::timestamp) as ds, epoch_ms(cutoff::timestamp) as cutoff) '
        f'from {duck.files([path])} where unique_id = ? order by horizon',
        [series],
    )
    columns = [column[0] for column in result.description]
    values = dict(zip(columns, zip(*result.fetchall(), strict=True), strict=False))
    first = {key: (column[0] if column else None) for key, column in values.items()}
    return {
        'name': name,
        'model_used': first.get('model_used'),
        'status': first.get('status'),
        'warning': first.get('warning') or '',
        'cutoff': first.get('cutoff'),
        't': list(values.get('ds', ())),
        'mean': list(values.get('mean', ())),
        'q': {key[1:]: list(values[key]) for key in columns if key.startswith('q') and key in values},
    }
