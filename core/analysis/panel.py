"""Panels: a stored version's series as the frame that models take."""

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
MOST_REPEATS = 0.1
"""A file without an id may repeat the times of so many rows: beyond, its series would be mixed into one."""
STEPS = {'h': 'hour', 'D': 'day', 'W-MON': 'week', 'MS': 'month', 'QS': 'quarter', 'YS': 'year'}
AGGREGATES = {'mean': 'avg', 'sum': 'sum', 'min': 'min', 'max': 'max', 'last': 'last'}

NUMERIC = re.compile(r'(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL|BOOLEAN)')
RESERVED = ('unique_id', 'ds', 'y')
"""What a panel's own columns are called."""


def read(
    parts: Sequence[Path],
    *,
    target: str,
    series: Sequence[str] = (),
    step: str | None = None,
    aggregate: str = 'mean',
    regressors: Sequence[str] = (),
    static: Sequence[str] = (),
    chunk: Sequence[int] | None = None,
    draw: Sequence[int] | None = None,
    since: datetime | None = None,
    workdir: Path,
) -> 'polars.DataFrame':
    """Return `unique_id, ds, y`, regressors and static columns (naive UTC, sorted) of the series asked for, or of all.

    With `step` (a key of STEPS), values are aggregated into calendar steps in UTC; an unfinished last step is left out.
    A `sum` of events is 0 where there are none; else steps without rows are not there.
    Regressors are numbers, and go on after the last value of the target where they are known; without them, a series
    ends with its last value. Their mean is taken of a step, of a static column (text) the last. With `chunk` (i, n),
    only the i-th (from 0) of n parts of the sorted series is read; with `draw` (n, seed), n of them that are drawn by
    seed and label; with `since` (naive UTC), only what is not earlier.
    Raise TooLarge beyond five million points, UsageError for an unknown step or aggregate or an unsuitable column.
    """
    distinct(target, *regressors, *static)
    query = rows_of(
        parts,
        target=target,
        series=series,
        step=step,
        aggregate=aggregate,
        regressors=regressors,
        static=static,
        chunk=chunk,
        draw=draw,
        since=since,
    )
    with duck.connect(memory=MEMORY, workdir=workdir, allow=parts) as connection:
        _check(connection, parts, regressors, static)
        (count,) = duck.single(connection, f'select count(*) from ({query})')
        if count > MOST_POINTS:
            raise TooLarge(
                f'{count:,} points are too many for one forecast (at most {MOST_POINTS:,}). '
                'Choose fewer series or a coarser step.'
            )
        frame = _frame(connection, query)
    return frame if regressors else _to_the_last_value(frame)


def rows_of(
    parts: Sequence[Path | str],
    *,
    target: str,
    series: Sequence[str] = (),
    step: str | None = None,
    aggregate: str = 'mean',
    regressors: Sequence[str] = (),
    static: Sequence[str] = (),
    chunk: Sequence[int] | None = None,
    draw: Sequence[int] | None = None,
    since: datetime | None = None,
) -> str:
    """Return the SQL of what `read` reads, for DuckDB; UsageError for an unknown step or aggregate."""
    if step is not None and step not in STEPS:
        raise UsageError(f'"{step}" is no step. Steps are {", ".join(STEPS)}.')
    if aggregate not in AGGREGATES:
        raise UsageError(f'"{aggregate}" is no aggregate. Aggregates are {", ".join(AGGREGATES)}.')
    source = f'from {duck.files(parts)} where {_chosen(parts, series, chunk, draw)}'
    late = '' if since is None else f'>= timestamp {duck.text(str(since))}'
    named = [*(_number(name) for name in regressors), *(_word(name) for name in static)]
    if step is None:
        columns = ', '.join(['_series as unique_id', '_time as ds', f'{duck.identifier(target)}::double as y', *named])
        return f'select {columns} {source} {late and f"and _time {late}"} order by 1, 2, _line'
    columns = ', '.join(['_series', '_time', f'{duck.identifier(target)} as _y', *named])
    return _folded(f'select {columns} {source}', STEPS[step], aggregate, late and f'ds {late} and', regressors, static)


def _to_the_last_value(frame: 'polars.DataFrame') -> 'polars.DataFrame':
    """Return a panel without the rows after each series' last value, which bring what is known of other columns."""
    import polars as pl

    found = frame.join(_ends(frame), on='unique_id', how='left', maintain_order='left')
    return found.filter((pl.col('ds') <= pl.col('_end')).fill_null(True) | pl.col('y').is_finite()).drop('_end')


def _ends(frame: 'polars.DataFrame') -> 'polars.DataFrame':
    """Return the time `_end` of each series' last value, of those that have any; one that is no date is none."""
    import polars as pl

    from core.analysis.forecasting.repair import without_strays

    known = without_strays(frame.filter(pl.col('y').is_finite()))
    return known.group_by('unique_id').agg(pl.col('ds').max().alias('_end'))


def distinct(*names: str) -> None:
    """Raise UsageError when a column is named twice, or one beside the first (the target) like a panel's own."""
    if twice := next((name for place, name in enumerate(names) if name in names[:place]), None):
        raise UsageError(f'The column "{twice}" is named twice. Name each column for one thing.')
    if taken := next((name for name in names[1:] if name in RESERVED), None):
        raise UsageError(f'A forecast has a column "{taken}" of its own. Give your column "{taken}" another name.')


def _number(name: str) -> str:
    return f'{duck.identifier(name)}::double as {duck.identifier(name)}'


def _word(name: str) -> str:
    return f'{duck.identifier(name)}::varchar as {duck.identifier(name)}'


def _chosen(
    parts: Sequence[Path | str], series: Sequence[str], chunk: Sequence[int] | None, draw: Sequence[int] | None
) -> str:
    """Return the SQL condition for rows of the series asked for."""
    chosen = f'list_contains({duck.texts(series)}, _series)' if series else 'true'
    if draw is not None:
        most, seed = (int(value) for value in draw)
        return f"""_series in (
            select _series from (select distinct _series from {duck.files(parts)} where {chosen})
            order by md5('{seed} ' || _series), _series limit {most}
        )"""
    if chunk is None:
        return chosen
    number, count = (int(value) for value in chunk)
    if not 0 <= number < count:
        raise UsageError(f'There is no chunk {number} of {count}: chunks are counted from 0.')
    return f"""_series in (
        select _series from (
            select _series, row_number() over (order by _series) - 1 as place, count(*) over () as size
            from (select distinct _series from {duck.files(parts)} where {chosen})
        ) where place >= {number} * size // {count} and place < {number + 1} * size // {count}
    )"""


def _check(
    connection: 'duckdb.DuckDBPyConnection', parts: Sequence[Path], regressors: Sequence[str], static: Sequence[str]
) -> None:
    if not (regressors or static):
        return
    kinds = {row[0]: row[1] for row in connection.execute(f'describe select * from {duck.files(parts)}').fetchall()}
    if unknown := next((name for name in (*regressors, *static) if name not in kinds), None):
        raise UsageError(f'There is no column "{unknown}".')
    if wordy := next((name for name in regressors if not NUMERIC.match(kinds[name])), None):
        raise UsageError(f'The column "{wordy}" holds no numbers, so it cannot be a regressor.')


def _folded(rows: str, unit: str, aggregate: str, late: str, regressors: Sequence[str], static: Sequence[str]) -> str:
    """Return SQL that folds values into calendar steps, without a last step that the data has only begun to fill.

    Where regressors go on, a step that the target has only begun to fill has no value. Events add up to 0 in a step
    between their first and last that has none.
    """
    folded = 'last(_y order by _time)' if aggregate == 'last' else f'{AGGREGATES[aggregate]}(_y::double)'
    length = '3 months' if unit == 'quarter' else f'1 {unit}'
    means = [f'avg({duck.identifier(name)}) as {duck.identifier(name)}' for name in regressors]
    lasts = [
        f'last({name} order by _time) filter (where {name} is not null) as {name}'
        for name in map(duck.identifier, static)
    ]
    columns = ', '.join(
        ["date_trunc('" + unit + "', _time)::timestamp as ds", f'({folded})::double as y', *means, *lasts]
    )
    others = ''.join(f', {duck.identifier(name)}' for name in (*regressors, *static))
    value = f'case when {_full("_valued", length)} then y end as y' if regressors else 'y'
    end = '_last' if regressors else 'coalesce(_valued, _last)'
    empty = f'union all by name ({_empty(length)})' if aggregate == 'sum' else ''
    return f"""
        with rows as ({rows}), folded as (select _series, {columns} from rows group by _series, 2),
        bodies as ({_bodies(length)}), ends as (
            select _series, any_value(_high) as _high, max(_time) as _last,
                max(_time) filter (where _y is not null) as _valued,
                (epoch_us(max(_time)) - epoch_us(min(_time))) / greatest(count(distinct _time) - 1, 1) as _step
            from rows left join bodies using (_series)
            where _high is null or _time >= _low and _time < _high + interval '{length}' group by 1
        )
        select _series as unique_id, ds, {value}{others}
        from (select * from folded {empty}) join ends using (_series)
        where {late} (ds > _high or {_full(end, length)})
        order by 1, 2
    """


def _empty(length: str) -> str:
    """Return SQL of `_series, ds, y`: the steps that `folded` lacks in series of events, each with the sum 0.

    Rows are events, and not readings of which some are missing, where no distance in time is that of half of them; a
    twentieth more or less is alike, as months are.
    """
    return f"""
        with gaps as (
            select _series, epoch_us(_time) - lag(epoch_us(_time)) over (partition by _series order by _time) as gap
            from (select distinct _series, _time from rows)
        ), events as (
            select _series from gaps join (select _series, median(gap) as usual from gaps group by 1) using (_series)
            where gap is not null group by 1 having 2 * count_if(abs(gap - usual) <= usual / 20) < count(*)
        ), spans as (
            select _series, coalesce(any_value(_low), min(ds)) as low, coalesce(any_value(_high), max(ds)) as high
            from folded semi join events using (_series) left join bodies using (_series) group by 1
        ), steps as (
            select _series, unnest(generate_series(low, high, interval '{length}')) as ds from spans
        )
        select _series, ds, 0.0::double as y from steps anti join folded using (_series, ds)
    """


def _full(end: str, length: str) -> str:
    return f"epoch_us({end}) + 1.5 * _step >= epoch_us(ds + interval '{length}')"


def _bodies(length: str) -> str:
    """Return SQL of `_series, _low, _high`: between what steps `folded` has no strays (`repair.strays`).

    It does so of series alone that are long and empty enough to have any.
    """
    from core.analysis.forecasting.repair import LEAST_TO_TELL, PAUSE, STRAYS

    pause = f'interval {PAUSE.item().days} days'
    least = f'greatest({pause}, b.ds - a.ds)'
    return f"""
        with places as (
            select _series, ds, row_number() over own as _place, count(*) over (partition by _series) as _size,
                ds - lag(ds) over own as _before, lead(ds) over own - ds as _after
            from folded where _series in (
                select _series from folded group by 1
                having max(ds) - min(ds) >= greatest({pause}, 2 * (count(*)::int - {STRAYS + 1}) * interval '{length}')
            ) window own as (partition by _series order by ds)
        )
        select a._series, a.ds as _low, b.ds as _high from places a join places b using (_series)
        where a._place <= {STRAYS} + 1 and b._place >= b._size - {STRAYS}
            and b._place - a._place + 1 >= least({LEAST_TO_TELL}, a._size)
            and coalesce(a._before >= {least}, a._place = 1) and coalesce(b._after >= {least}, b._place = b._size)
        qualify row_number() over (partition by _series order by b._place - a._place, a._place desc) = 1
    """


def changed(frame: 'polars.DataFrame', changes: Mapping[str, Mapping[str, Any]]) -> 'polars.DataFrame':
    """Return a panel whose regressors are other than thought after the last value of each series; nothing before is.

    `changes` maps a regressor to `how` (`scale`, `shift` or `set`) and `value`. Raise UsageError for anything else.
    """
    import polars as pl

    ahead = pl.col('ds') > pl.col('_end')
    columns = []
    for name, change in changes.items():
        if name not in frame.columns or name in RESERVED:
            raise UsageError(f'"{name}" is no regressor of this forecast, so it cannot be changed.')
        how, value = change.get('how'), change.get('value')
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise UsageError(f'The change of "{name}" needs a number, not {value!r}.')
        number = pl.lit(float(value))
        after = {'scale': pl.col(name) * number, 'shift': pl.col(name) + number, 'set': number}.get(str(how))
        if after is None:
            raise UsageError(f'A regressor can be changed by scale, shift or set, not by "{how}".')
        columns.append(pl.when(ahead).then(after).otherwise(pl.col(name)).alias(name))
    whole = frame.join(_ends(frame), on='unique_id', how='left', maintain_order='left')
    return whole.with_columns(columns).drop('_end')


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
    regressors: Sequence[str] = (),
    static: Sequence[str] = (),
    future: Path | None = None,
    zone: str = 'UTC',
) -> tuple['polars.DataFrame', int]:
    """Return `unique_id` (text), `ds` and `y` of a foreign file, in time order.

    `ds` is naive as in the file; where its times name an offset, or are of another `zone` than UTC, it has that zone.

    Regressors and static columns stand beside them; `future` is another file, of time, id and regressors after the
    last value of each series. Beside the frame stands how many records had no readable time or series and were left
    out. Raise UsageError when a column is not there or is named twice, or when several series have no id; what else can
    go wrong is what `ingest.convert` raises.
    """
    import polars as pl

    distinct(target, *regressors, *static)
    own = _Columns(time=time, id=id_column, target=target, regressors=tuple(regressors), static=tuple(static))

    def foreign(path: Path, name: str, columns: _Columns, folder: str) -> tuple['polars.DataFrame', int]:
        return _foreign(path, name, columns, day_first=day_first, zone=zone, memory=memory, workdir=workdir / folder)

    frame, left_out = foreign(path, name, own, 'panel')
    if future is None:
        return frame, left_out
    if not regressors:
        raise UsageError('A file of the future tells of regressors. Name them.')
    ahead, lost = foreign(future, future.name, replace(own, static=(), ahead=True), 'future')
    if ahead.schema['ds'] != frame.schema['ds']:
        raise UsageError(f'The times of {name} and {future.name} must both have a zone, or neither.')
    ahead = ahead.join(_ends(frame), on='unique_id').filter(pl.col('ds') > pl.col('_end')).drop('_end')
    if ahead.is_empty():
        raise UsageError(f'{future.name} has no row after the last value of a series of {name}.')
    before = frame.join(ahead.select('unique_id', 'ds'), on=['unique_id', 'ds'], how='anti')
    return pl.concat([before, ahead], how='diagonal').sort('unique_id', 'ds', maintain_order=True), left_out + lost


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """Which columns of a file to read; in a file of the time `ahead` there is no target."""

    time: str
    id: str | None
    target: str
    regressors: tuple[str, ...]
    static: tuple[str, ...]
    ahead: bool = False

    def roles(self) -> dict[str, str]:
        """Return the role of each column. Raise UsageError when one has two."""
        keys = [self.time, *([self.id] if self.id else [])]
        measures = [*([] if self.ahead else [self.target]), *self.regressors]
        if len({*keys, *measures}) < len(keys) + len(measures) or self.time in self.static:
            raise UsageError(
                f'Time, id, target and regressors must be different columns, not {", ".join(keys + measures)}.'
            )
        roles = dict.fromkeys(self.static, 'attribute') | dict.fromkeys(measures, 'measure') | {self.time: 'time'}
        return roles | ({self.id: 'series'} if self.id else {})


def _foreign(
    path: Path, name: str, columns: _Columns, *, day_first: bool | None, zone: str, memory: int, workdir: Path
) -> tuple['polars.DataFrame', int]:
    """Return a file's panel, and how many records were left out; without an id, the target names its one series."""
    from core.analysis.ingest import Options, convert

    roles = columns.roles()
    workdir.mkdir()
    options = Options(roles=roles, memory=memory, day_first=day_first, time_zone=zone, keep_unmeasured=True)
    manifest = convert(path, name=name, into=workdir, options=options, progress=lambda part, text: None)
    parts = sorted(workdir.glob('data-*.parquet'))
    series = f'{duck.identifier(columns.id)}::varchar' if columns.id else duck.text(columns.target)
    kind = next(column.type for column in manifest.columns if column.role == 'time')
    instants = kind == 'timestamptz' or (kind == 'timestamp' and zone != 'UTC')
    when = "_time at time zone 'UTC'" if instants else '_time'
    value = [] if columns.ahead else [f'{duck.identifier(columns.target)}::double as y']
    named = [*value, *map(_number, columns.regressors), *map(_word, columns.static)]
    listed = ', '.join([f'{series} as unique_id', f'{when} as ds', *named])
    with duck.connect(memory=MEMORY, workdir=workdir, allow=parts) as connection:
        frame = _frame(connection, f'select {listed} from {duck.files(parts)} order by 1, 2, _line')
    frame = by_clock(frame, zone, 'ds') if instants else frame
    keys = manifest.series.columns
    if not columns.id and keys and frame['ds'].n_unique() < (1 - MOST_REPEATS) * frame.height:
        raise UsageError(
            f'{name} holds {manifest.series.count:,} series, told apart by "{keys[0]}". '
            f'Name it as the id of series: --id {shlex.quote(keys[0])}'
        )
    return frame, manifest.rows_rejected


def _frame(connection: 'duckdb.DuckDBPyConnection', query: str) -> 'polars.DataFrame':
    import polars

    frame = polars.from_arrow(connection.sql(query).to_arrow_table())
    assert isinstance(frame, polars.DataFrame)
    return frame


def by_clock(frame: 'polars.DataFrame', zone: str, *columns: str) -> 'polars.DataFrame':
    """Return a frame whose `columns`, where they are instants, are told by the clock of `zone`."""
    import polars as pl

    kinds = [frame.schema[name] for name in columns]
    instants = [
        name for name, kind in zip(columns, kinds, strict=True) if isinstance(kind, pl.Datetime) and kind.time_zone
    ]
    return frame.with_columns(pl.col(name).dt.convert_time_zone(zone) for name in instants)


def write(rows: 'polars.DataFrame', out: Path) -> None:
    """Write a frame as CSV or Parquet, by `out`'s suffix; instants stand in CSV as in other downloads, by ISO 8601."""
    import polars as pl

    if out.suffix == '.csv':
        aware = [name for name, kind in rows.schema.items() if isinstance(kind, pl.Datetime) and kind.time_zone]
        rows.with_columns(pl.col(aware).dt.to_string('%Y-%m-%dT%H:%M:%S%.f%:z')).write_csv(out)
    else:
        rows.write_parquet(out)
