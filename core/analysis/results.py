"""Results of forecasts as pages and programs read them: charts, figures and lists from the files of a result.

A model has one file of a kind, or one a chunk of series. Times are milliseconds since 1970 UTC.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.analysis import duck, panel, tables

if TYPE_CHECKING:
    import duckdb
    import polars

    from core.analysis.forecasting.frequency import Array

MEMORY = 512 * 2**20
SPARKLINE = 60
KNOWN = 'y is not null and not isnan(y)'
FIGURES = ('mase', 'rmsse', 'smape', 'sql', 'coverage', 'points')
NOTE = ('kind', 't', 'y', 'expected', 'low', 'high', 'score')
IMPORTANCE = 'importance'
UNTOLD: Mapping[str, Any] = {
    'status': 'failed', 'model_used': None, 'warning': 'There is no forecast of this series.', 'flags': [],
    'cutoff': None, 'forecast': [], 'low': [], 'high': [],
}  # fmt: skip

SAID = {'unique_id': 'series', 'ds': 'time', 'horizon': 'step', 'y': 'actual', 'q0.5': 'median'}
UNSAID = ('mean', 'warning')
"""Columns that a file of rows does without: the mean is the median, and a warning would stand in each row."""


def called(column: str) -> str:
    """What a column of forecasts or of a backtest is called outside: ends of bands by their level, as `lower_80`."""
    if column in SAID or not column.startswith('q0.'):
        return SAID.get(column, column)
    quantile = float(column[1:])
    level = f'{round(100 * abs(1 - 2 * quantile), 4):g}'
    return f'{"lower" if quantile < 0.5 else "upper"}_{level}'


def export(paths: Sequence[Path], out: Path, *, clock: tables.Clock) -> None:
    """Write rows of forecasts or of a backtest as CSV or Parquet, by suffix, with columns that say what they hold."""
    named = out.with_name('named.parquet')
    with duck.told(), duck.connect(memory=MEMORY, workdir=out.parent, allow=[*paths, out.parent]) as connection:
        known = [name for name, *_ in connection.execute(f'describe select * from {duck.files(paths)}').fetchall()]
        chosen = ', '.join(
            f'{duck.identifier(name)} as {duck.identifier(called(name))}' for name in known if name not in UNSAID
        )
        form = '(format parquet, compression zstd)'
        connection.execute(f'copy (select {chosen} from {duck.files(paths)}) to {duck.text(str(named))} {form}')
    tables.export([named], out, clock=clock)
    named.unlink()


def write(rows: 'polars.DataFrame', out: Path, *, zone: str) -> None:
    """Write a frame of such rows with the columns that `export` gives, its instants by the clock of `zone`."""
    told = panel.by_clock(rows, zone, 'ds', 'cutoff')
    panel.write(told.drop(UNSAID, strict=False).rename(called, strict=False), out)


def warned(rows: 'polars.DataFrame') -> dict[str, list[str]]:
    """Return the series that each warning of a forecast is about, both in order."""
    import polars as pl

    told = rows.filter(pl.col('warning') != '').group_by('warning').agg(pl.col('unique_id').unique().sort())
    return dict(sorted(told.iter_rows()))


def chart(
    history: Sequence[Path],
    forecasts: Mapping[str, Sequence[Path]],
    *,
    series: str,
    notes: Sequence[Path] = (),
    points: int = 1500,
) -> dict[str, Any]:
    """Return what a forecast chart draws for one series: the last `points` actuals and each model's quantiles.

    `q` maps a quantile such as `0.1` to its values, null where a model failed; `notes` are as from `noted`. Where rows
    are missing, a null interrupts the actuals, by the rule of charts of series.
    """
    paths = [*history, *(path for own in forecasts.values() for path in own), *notes]
    with duck.told(), duck.connect(memory=MEMORY, allow=paths) as connection:
        past = _past(history, 'unique_id = ?', points) if history else None
        actual = [] if past is None else connection.execute(past, [series]).fetchall()
        models = [_model(connection, name, own, series) for name, own in forecasts.items()]
        found = _noted(connection, notes, series)
    cutoffs = [model.pop('cutoff') for model in models]
    return {
        'series': series,
        'history': _interrupted([(row[1], row[2]) for row in actual]),
        'cutoff': next((c for c in cutoffs if c is not None), None),
        'models': models,
        'notes': found,
    }


def lines(forecasts: Mapping[str, Sequence[Path]], *, series: str) -> list[dict[str, Any]]:
    """Return each model's forecast of one series, as a chart draws it."""
    paths = [path for own in forecasts.values() for path in own]
    with duck.told(), duck.connect(memory=MEMORY, allow=paths) as connection:
        drawn = [_model(connection, name, own, series) for name, own in forecasts.items()]
    for one in drawn:
        del one['cutoff']
    return drawn


def came(
    parts: Sequence[Path | str],
    forecasts: Mapping[str, Sequence[Path]],
    *,
    target: str,
    series: str,
    step: str | None,
    aggregate: str,
    system: Any = None,
) -> dict[str, Any] | None:
    """Return what a newer version's `parts` know of the steps that were forecast of a series, None when it is nothing.

    A value counts for the step that it lies nearest to, of several the last one does. `t` are the steps up to the last
    one that came, `y` its values (null where none came); `held` tells by model and level (percent as text) how many
    of the `points` with a band lie `inside` it. Parts that are addresses are opened by the fsspec file system `system`.
    """
    paths = [path for own in forecasts.values() for path in own]
    with duck.told(), duck.connect(memory=MEMORY, allow=[*parts, *paths], system=system) as connection:
        models = [_model(connection, name, own, series) for name, own in forecasts.items()]
        known = [model for model in models if model['cutoff'] is not None]
        if not known:
            return None
        longest = max(known, key=lambda model: len(model['t']))
        since = datetime.fromtimestamp(longest['cutoff'] / 1000, UTC).replace(tzinfo=None)
        rows = panel.rows_of(parts, target=target, series=[series], step=step, aggregate=aggregate, since=since)
        found = connection.execute(f'select epoch_ms(ds::timestamp), y from ({rows}) where {KNOWN}').fetchall()
    values = _nearest(found, longest['cutoff'], longest['t'])
    if not values:
        return None
    t = longest['t'][: max(values) + 1]
    y = [values.get(place) for place in range(len(t))]
    return {'t': t, 'y': y, 'held': {model['name']: _held(model, dict(zip(t, y, strict=True))) for model in known}}


def _nearest(rows: Sequence[tuple[float, float]], cutoff: float, t: Sequence[float]) -> dict[int, float]:
    """Return values by the place in `t` of the step that they lie nearest to; those beyond half a step lie at none."""
    stamps = [cutoff, *t]
    edges = [(before + after) / 2 for before, after in pairwise(stamps)]
    edges.append(stamps[-1] + (stamps[-1] - stamps[-2]) / 2)
    places = ((bisect_right(edges, at) - 1, value) for at, value in rows)
    return {place: value for place, value in places if 0 <= place < len(t)}


def _held(model: Mapping[str, Any], values: Mapping[float, float | None]) -> dict[str, dict[str, int]]:
    """Return how many values have a band of a model, and how many lie inside it, by level."""
    quantiles = {float(name): drawn for name, drawn in model['q'].items()}
    held = {}
    for low in sorted(quantiles, reverse=True):
        high = round(1 - low, 6)
        if low >= 0.5 or high not in quantiles:
            continue
        bands = zip(model['t'], quantiles[low], quantiles[high], strict=True)
        inside = [
            under <= value <= over
            for at, under, over in bands
            if under is not None and over is not None and (value := values.get(at)) is not None
        ]
        held[f'{100 - 200 * low:g}'] = {'inside': sum(inside), 'points': len(inside)}
    return held


def _interrupted(rows: Sequence[tuple[float, float | None]]) -> dict[str, list[Any]]:
    """Return `t` and `y` of rows in order, with a null wherever they are too far apart to be neighbours."""
    import numpy as np

    from core.analysis.query.gaps import interruption

    widest = interruption(np.array([at * 1000 for at, _ in rows], np.int64)) / 1000
    t: list[float] = []
    y: list[float | None] = []
    for at, value in rows:
        if t and at - t[-1] > widest:
            t.append((t[-1] + at) / 2)
            y.append(None)
        t.append(at)
        y.append(value)
    return {'t': t, 'y': y}


def noted(paths: Sequence[Path], *, series: str) -> list[dict[str, Any]]:
    """Return what is odd about the history of a series, in order of time.

    Each has its `kind`, `t` and `y`. Of an `anomaly`, `expected` lay between `low` and `high`, and `score` is −log10 of
    its probability; of a `changepoint`, `low` and `high` are the levels before and after it.
    """
    with duck.told(), duck.connect(memory=MEMORY, allow=paths) as connection:
        return _noted(connection, paths, series)


def explained(paths: Sequence[Path], *, series: str) -> list[dict[str, Any]]:
    """Return what one model's forecast of a series rests on: a `kind` (`base.KINDS`), a `name`, its `t` and `value`.

    Importances have one value each, the largest first, and no `t`: of the series, or of the whole model (then their
    mean over chunks).
    """
    if not paths:
        return []
    query = f"""
        select kind, name, list(epoch_ms(ds::timestamp) order by ds), list(value order by ds), avg(value)
        from {duck.files(paths)} where coalesce(unique_id, '') in (?, '')
        group by kind, name order by kind, name
    """
    with duck.told(), duck.connect(memory=MEMORY, allow=paths) as connection:
        rows = connection.execute(query, [series]).fetchall()
    lines = [
        {'kind': kind, 'name': name, 't': t, 'value': value} for kind, name, t, value, _ in rows if kind != IMPORTANCE
    ]
    means = sorted(((mean or 0.0, name) for kind, name, _, _, mean in rows if kind == IMPORTANCE), reverse=True)
    return [*lines, *({'kind': IMPORTANCE, 'name': name, 't': [], 'value': [mean]} for mean, name in means)]


def leaderboard(
    paths: Sequence[Path],
    levels: Sequence[float | int],
    *,
    by: str | None = None,
    models: Sequence[str] = (),
    labels: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Return the scores of models from their backtest files (`backtest.leaderboard`), of some series when `labels` are.

    Raise UsageError for another `by` than `horizon` or `series`.
    """
    from core.analysis.forecasting import quantiles
    from core.analysis.forecasting.backtest import leaderboard as score

    if not paths:
        return []
    columns = ['unique_id', 'cutoff', 'horizon', 'model', *(_number(name) for name in ('y', 'mean', 'scale', 'scale2'))]
    columns += [_number(f'q{q:g}') for q in quantiles(levels)]
    found = score(_columns(paths, columns, labels), levels, by, models=models)
    return [one for one in found if one['points']] if by else found


def residuals(paths: Sequence[Path], *, series: str | None = None) -> dict[str, Any]:
    """Return what the errors of one model's backtest look like (`diagnose.residuals`), of one series or of all."""
    import numpy as np

    from core.analysis.forecasting import diagnose

    names = ('y', 'mean', 'scale')
    if not paths:
        return diagnose.residuals(dict.fromkeys(('unique_id', 'cutoff', 'horizon', 'ds', *names), np.zeros(0)))
    columns = ['unique_id', 'cutoff', 'horizon', 'ds', *map(_number, names)]
    return diagnose.residuals(_columns(paths, columns, None if series is None else [series]))


def grid(
    history: Sequence[Path],
    forecast: Sequence[Path],
    backtests: Sequence[Path],
    *,
    levels: Sequence[float | int],
    search: str = '',
    offset: int = 0,
    limit: int = 50,
) -> dict[str, Any]:
    """Return series whose label contains `search`, whatever their case: the `total`, and `items` from `offset` on.

    An item has its `unique_id`; `status`, `model_used`, `warning`, `flags` and `cutoff` of one model's forecast; the
    last 60 values (`history`), the first 60 medians (`forecast`) and the ends of the widest band (`low`, `high`); and
    how that model did on it where it was measured: `mase`, `rmsse`, `smape`, `sql`, `coverage` by level, `points`.
    """
    with duck.told(), duck.connect(memory=MEMORY, allow=[*history, *forecast]) as connection:
        names = f'select distinct unique_id from {duck.files(history)} where contains(lower(unique_id), lower(?))'
        (total,) = duck.single(connection, f'select count(*) from ({names})', [search])
        found = connection.execute(f'{names} order by 1 limit ? offset ?', [search, max(0, limit), max(0, offset)])
        labels = [row[0] for row in found.fetchall()]
        past: dict[str, list[Any]] = {label: [] for label in labels}
        query = _past(history, 'unique_id in (select unnest(?))', SPARKLINE)
        for label, _, value in connection.execute(query, [labels]).fetchall():
            past[label].append(value)
        told = _told(connection, forecast, labels) if forecast else {}
    scored = leaderboard(backtests, levels, by='series', labels=labels) if labels else []
    scores = {score['unique_id']: {name: score[name] for name in FIGURES} for score in scored}
    items = [
        {
            'unique_id': label,
            **(told.get(label) or UNTOLD),
            'history': past[label],
            **(scores.get(label) or dict.fromkeys(FIGURES)),
        }
        for label in labels
    ]
    return {'items': items, 'offset': offset, 'total': total}


def _past(history: Sequence[Path], which: str, points: int) -> str:
    """Return SQL for `unique_id, t, y` of series, in order: the last `points` up to their last value."""
    return f"""
        with rows as (select unique_id, ds, y from {duck.files(history)} where {which}),
        ends as (select unique_id, max(ds) as last from rows where {KNOWN} group by 1)
        select unique_id, epoch_ms(ds::timestamp) as t, case when {KNOWN} then y end as y
        from rows join ends using (unique_id)
        where ds <= last
        qualify row_number() over (partition by unique_id order by ds desc) <= {points:d}
        order by unique_id, ds
    """


def _told(
    connection: 'duckdb.DuckDBPyConnection', paths: Sequence[Path], labels: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return how a model's forecast of each of some series ended, with its medians and its widest band."""
    source = duck.files(paths)
    columns = [row[0] for row in connection.execute(f'describe select * from {source}').fetchall()]
    flags = 'any_value(flags)' if 'flags' in columns else "''"
    quantiles = sorted((name for name in columns if name[:1] == 'q'), key=lambda name: float(name[1:]))
    low, median, high = (
        f'list({duck.identifier(name)} order by horizon)[:{SPARKLINE}]'
        for name in (quantiles[0], 'q0.5', quantiles[-1])
    )
    rows = connection.execute(
        f'select unique_id, any_value(status), any_value(model_used), any_value(warning), {flags}, {median}, {low}, '
        f'{high}, epoch_ms(any_value(cutoff)::timestamp) '
        f'from {source} where unique_id in (select unnest(?)) group by 1',
        [labels],
    ).fetchall()
    return {
        label: {
            'status': status,
            'model_used': used,
            'warning': warning or '',
            'flags': [flag for flag in (said or '').split(',') if flag],
            'forecast': values,
            'low': lows,
            'high': highs,
            'cutoff': cutoff,
        }
        for label, status, used, warning, said, values, lows, highs, cutoff in rows
    }


def _columns(paths: Sequence[Path], columns: Sequence[str], labels: Sequence[str] | None) -> 'dict[str, Array]':
    """Return columns of files as arrays, of some series or of all."""
    chosen = '' if labels is None else 'where unique_id in (select unnest(?))'
    query = f'select {", ".join(columns)} from {duck.files(paths)} {chosen} order by model, unique_id, cutoff, horizon'
    with duck.told(), duck.connect(memory=MEMORY, allow=paths) as connection:
        found: dict[str, Array] = connection.execute(query, [] if labels is None else [list(labels)]).fetchnumpy()
        return found


def _number(name: str) -> str:
    """Return a column of numbers in which null is NaN."""
    column = duck.identifier(name)
    return f"coalesce({column}::double, 'nan'::double) as {column}"


def _noted(connection: 'duckdb.DuckDBPyConnection', paths: Sequence[Path], series: str) -> list[dict[str, Any]]:
    if not paths:
        return []
    rows = connection.execute(
        'select kind, epoch_ms(ds::timestamp), y, expected, low, high, score '
        f'from {duck.files(paths)} where unique_id = ? order by ds, kind',
        [series],
    ).fetchall()
    return [dict(zip(NOTE, row, strict=True)) for row in rows]


def _model(connection: 'duckdb.DuckDBPyConnection', name: str, paths: Sequence[Path], series: str) -> dict[str, Any]:
    if not paths:  # none of its files may hold the series
        nothing: dict[str, Any] = {
            'model_used': None,
            'status': None,
            'warning': '',
            'cutoff': None,
            't': [],
            'mean': [],
            'q': {},
        }
        return {'name': name, **nothing}
    result = connection.execute(
        f'select * replace (epoch_ms(ds::timestamp) as ds, epoch_ms(cutoff::timestamp) as cutoff) '
        f'from {duck.files(paths)} where unique_id = ? order by horizon',
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
