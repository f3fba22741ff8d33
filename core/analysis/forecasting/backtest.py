"""Rolling origins: what the models would have forecast, beside what came."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis import evaluate
from core.analysis.forecasting.base import quiet
from core.errors import UsageError

if TYPE_CHECKING:
    import polars

    from core.analysis.forecasting import Progress, Request
    from core.analysis.forecasting.frequency import Array
    from core.analysis.forecasting.repair import Series

WINDOWS = 2
MOST_SERIES = 20
"""`scores` measures on at most this many series: it costs about as much as WINDOWS forecasts of them."""


def cross_validation(
    frame: 'polars.DataFrame', request: 'Request', *, n_windows: int = 3, step_size: int | None = None,
    progress: 'Progress' = quiet,
) -> 'polars.DataFrame':  # fmt: skip
    """Return `forecast`'s rows from `n_windows` past cutoffs, `step_size` (default h) steps apart, with `y` as it came.

    Each window is forecast from the rows up to its cutoff alone, everything refitted. A window that would leave a
    series with less than a third of its points, or fewer than h + 4, is left out for that series.
    """
    import polars as pl

    from core.analysis import forecasting

    series, tidy = _series(frame, request)
    if n_windows < 1 or (step_size is not None and step_size < 1):
        raise UsageError('n_windows and step_size must be at least 1.')
    parts = []
    for window in range(n_windows):
        cut = [_cut(one, request.h, window * (step_size or request.h)) for one in series]
        known = [(one, at) for one, at in zip(series, cut, strict=True) if at]
        if not known:
            continue
        cutoffs = pl.DataFrame(
            {
                'unique_id': [one.unique_id for one, _ in known],
                '_cutoff': np.array([one.stamps[at - 1] for one, at in known], 'datetime64[us]'),
            }
        )
        past = tidy.join(cutoffs, on='unique_id').filter(pl.col('ds') <= pl.col('_cutoff')).drop('_cutoff')
        actual = pl.concat([_actual(one, at, request.h) for one, at in known])
        rows = forecasting.forecast(past, request, progress=_part(progress, window, n_windows))
        parts.append(rows.join(actual, on=['unique_id', 'horizon'], how='left'))
    progress(1.0, 'Done')
    if parts:
        return pl.concat(parts)
    return (
        forecasting.forecast(tidy, replace(request, models=('seasonal_naive',)))
        .clear()
        .with_columns(pl.lit(None, pl.Float64).alias('y'))
    )


def scores(frame: 'polars.DataFrame', request: 'Request', *, progress: 'Progress' = quiet) -> list[dict[str, Any]]:
    """Return how each model did on the last two horizons of at most twenty series, bands calibrated before each.

    Returns:
        A dict per model: `model`, `mase`, `smape`, `sql` (means over series and windows), `wql`, `coverage` (from the
        level as text, such as `'80'`, to the share from 0 to 1 that its band held), `points` measured, `n_series` and
        `n_windows` (series × cutoffs). A figure that cannot be measured is None.
    """
    import polars as pl

    names = frame['unique_id'].cast(pl.String).unique().sort()
    chosen = frame.filter(pl.col('unique_id').cast(pl.String).is_in(names.gather_every(_every(len(names))).implode()))
    rows = cross_validation(chosen, request, n_windows=WINDOWS, progress=progress)
    series = {one.unique_id: one for one in _series(chosen, request)[0]}
    return [_score(model, rows.filter(pl.col('model') == model), series, request) for model in request.models]


def _score(model: str, rows: 'polars.DataFrame', series: dict[str, 'Series'], request: 'Request') -> dict[str, Any]:
    from core.analysis.forecasting import quantiles

    asked = quantiles(request.levels)
    names = [f'q{q:g}' for q in asked]
    measured = rows.filter(rows['y'].is_not_null() & rows['mean'].is_not_null())
    by_window = []
    for (name, cutoff), own in measured.group_by(['unique_id', 'cutoff'], maintain_order=True):
        one = series[str(name)]
        stamp = np.datetime64(cutoff.replace(tzinfo=None), 'us')
        history, season = one.y[: int(np.searchsorted(one.stamps, stamp, side='right'))], one.step.season_length
        actual, mean = own['y'].to_numpy(), own['mean'].to_numpy()
        lost = evaluate.sql(actual, own.select(names).to_numpy(), asked, history, season)
        by_window.append((evaluate.mase(actual, mean, history, season), evaluate.smape(actual, mean), lost))
    table = np.array(by_window, dtype=np.float64).reshape(-1, 3)
    actual = measured['y'].to_numpy()
    return {
        'model': model,
        'mase': _mean(table[:, 0]),
        'smape': _mean(table[:, 1]),
        'sql': _mean(table[:, 2]),
        'wql': _figure(evaluate.wql(actual, measured.select(names).to_numpy(), asked)),
        'coverage': {f'{level:g}': _held(measured, level) for level in request.levels},
        'points': measured.height,
        'n_series': measured['unique_id'].n_unique(),
        'n_windows': len(by_window),
    }


def _held(rows: 'polars.DataFrame', level: float) -> float | None:
    from core.analysis.forecasting import quantiles

    low, _, high = quantiles((level,))
    share = evaluate.coverage(rows['y'].to_numpy(), rows[f'q{low:g}'].to_numpy(), rows[f'q{high:g}'].to_numpy())
    return _figure(share)


def _series(frame: 'polars.DataFrame', request: 'Request') -> tuple[list['Series'], 'polars.DataFrame']:
    from core.analysis import forecasting

    forecasting.check(request)
    tidy, _, _ = forecasting.tidy(frame, request)
    found = forecasting.prepare(tidy, request)
    return found, tidy


def _cut(series: 'Series', h: int, back: int) -> int:
    """Return how many steps of a series lie before the window that ends `back` steps before its end; 0 for too few."""
    size = len(series.y) - h - back
    least = max(h + 4, len(series.y) // 3)
    return size if size >= least and np.isfinite(series.y[:size]).any() else 0


def _actual(series: 'Series', at: int, h: int) -> 'polars.DataFrame':
    import polars as pl

    came: Array = series.y[at : at + h]
    frame = pl.DataFrame(
        {'unique_id': [series.unique_id] * len(came), 'horizon': np.arange(1, len(came) + 1), 'y': came}
    )
    return frame.with_columns(pl.col('horizon').cast(pl.Int32), pl.col('y').fill_nan(None))


def _part(progress: 'Progress', window: int, windows: int) -> 'Progress':
    return lambda part, text: progress((window + part) / windows, text)


def _every(count: int) -> int:
    return max(1, -(-count // MOST_SERIES))


def _mean(values: 'Array | Sequence[float]') -> float | None:
    known = np.asarray(values)[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def _figure(value: float) -> float | None:
    return value if math.isfinite(value) else None
