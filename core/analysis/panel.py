"""Panels: a stored version's series as the frame that models take, and forecasts as a page reads them."""

from collections.abc import Mapping, Sequence
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
    workdir: Path,
) -> 'polars.DataFrame':
    """Return `unique_id, ds, y` (naive UTC, sorted) of the series asked for, or of all.

    With `step` (a key of STEPS), values are aggregated into calendar steps in UTC, and an unfinished last step is kept.
    Raise TooLarge beyond five million points, UsageError for an unknown step or aggregate.
    """
    if step is not None and step not in STEPS:
        raise UsageError(f'"{step}" is no step. Steps are {", ".join(STEPS)}.')
    if aggregate not in AGGREGATES:
        raise UsageError(f'"{aggregate}" is no aggregate. Aggregates are {", ".join(AGGREGATES)}.')
    value = duck.identifier(target)
    chosen = 'where list_contains(?, _series)' if series else ''
    bound = [list(series)] if series else []
    source = f'from {duck.files(parts)} {chosen}'
    if step is None:
        query = f'select _series as unique_id, _time as ds, {value}::double as y {source} order by 1, 2, _line'
    else:
        last = f'last({value} order by _time)'
        folded = last if aggregate == 'last' else f'{AGGREGATES[aggregate]}({value}::double)'
        stamp = f"date_trunc('{STEPS[step]}', _time)::timestamp"
        query = (
            f'select _series as unique_id, {stamp} as ds, ({folded})::double as y {source} group by 1, 2 order by 1, 2'
        )
    with duck.connect(memory=MEMORY, workdir=workdir, allow=parts) as connection:
        (count,) = duck.single(connection, f'select count(*) from ({query})', bound)
        if count > MOST_POINTS:
            raise TooLarge(
                f'{count:,} points are too many for one forecast (at most {MOST_POINTS:,}). '
                'Choose fewer series or a coarser step.'
            )
        return _frame(connection, query, bound)


def read_file(
    path: Path, *, name: str, time: str, id_column: str | None, target: str, memory: int, workdir: Path
) -> 'polars.DataFrame':
    """Return `unique_id` (text), `ds` (naive as in the file, else UTC) and `y` of a foreign file, in time order.

    Raise UsageError when a column is not there; what else can go wrong is what `ingest.convert` raises.
    """
    from core.analysis.ingest import Options, convert

    roles = {time: 'time', target: 'measure'} | ({id_column: 'series'} if id_column else {})
    folder = workdir / 'panel'
    folder.mkdir()
    options = Options(roles=roles, memory=memory)
    manifest = convert(path, name=name, into=folder, options=options, progress=lambda part, text: None)
    parts = sorted(folder.glob('data-*.parquet'))
    series = f'{duck.identifier(id_column)}::varchar' if id_column else duck.text(target)
    zone = '' if manifest.time.naive else " at time zone 'UTC'"
    query = (
        f'select {series} as unique_id, _time{zone} as ds, {duck.identifier(target)}::double as y '
        f'from {duck.files(parts)} order by 1, 2, _line'
    )
    with duck.connect(memory=MEMORY, workdir=workdir, allow=parts) as connection:
        return _frame(connection, query)


def _frame(connection: 'duckdb.DuckDBPyConnection', query: str, bound: Sequence[Any] = ()) -> 'polars.DataFrame':
    import polars

    frame = polars.from_arrow(connection.sql(query, params=list(bound)).to_arrow_table())
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
