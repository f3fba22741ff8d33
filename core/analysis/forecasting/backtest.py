"""Rolling origins: what the models would have forecast, beside what came."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis import evaluate
from core.analysis.forecasting.base import quiet
from core.analysis.forecasting.frequency import Array
from core.analysis.forecasting.registry import ALONE
from core.errors import UsageError

if TYPE_CHECKING:
    import polars

    from core.analysis.forecasting import Progress, Request
    from core.analysis.forecasting.repair import Series

    Rows = Mapping[str, Any] | polars.DataFrame

WINDOWS = 3
MEASURED = 60
"""`scores` measures on about this many series."""
COMPANY = 150
"""About as many, those that are measured among them, a model sees that learns from all series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """Backtest rows (see `cross_validation`) and the seconds that each model took for them.

    `windows` tells by model from how many past cutoffs each series was forecast, 0 where its history was too short.
    """

    rows: 'polars.DataFrame'
    seconds: Mapping[str, float]
    windows: Mapping[str, Mapping[str, int]]


def cross_validation(
    frame: 'polars.DataFrame', request: 'Request', *, n_windows: int = WINDOWS, step_size: int | None = None,
    progress: 'Progress' = quiet,
) -> 'polars.DataFrame':  # fmt: skip
    """Return `forecast`'s rows from `n_windows` past cutoffs, `step_size` (default h) steps apart, with `y` as it came.

    Each window is forecast from the rows up to its cutoff alone, everything refitted and its bands calibrated anew;
    after the cutoff, regressors stay known. `adapted` levels are not used: they were learnt from what came. A window
    that would leave a series with less than a third of its points, or fewer than h + 4, is left out for that series.

    `scale` and `scale2` are the mean absolute and the mean squared seasonal difference up to the cutoff (those of MASE
    and RMSSE): every score can be told from the rows alone (`leaderboard`).
    """
    return run(frame, request, n_windows=n_windows, step_size=step_size, progress=progress).rows


def run(
    frame: 'polars.DataFrame', request: 'Request', *, n_windows: int = WINDOWS, step_size: int | None = None,
    budget: float | None = None, progress: 'Progress' = quiet,
) -> Backtest:  # fmt: skip
    """Return `cross_validation`'s rows, and how long each model took by itself: models share nothing here.

    Windows of a model do: one ends where another is held out, and that fit is made once. The latest window comes first.
    With a `budget` in seconds, no window is begun that would probably not end within it.
    """
    import polars as pl

    from core.analysis import forecasting

    forecasting.check(request)
    if n_windows < 1 or (step_size is not None and step_size < 1):
        raise UsageError('n_windows and step_size must be at least 1.')
    typed, clock, _ = forecasting.tidy(frame, request)
    history = _history(typed, request)
    asked = replace(request, adapted={}, budget=request.budget and request.budget / n_windows)
    started, longest = perf_counter(), 0.0
    parts, seconds, counts = [], dict.fromkeys(request.models, 0.0), Counter(dict.fromkeys(history.series, 0))
    known: dict[str, dict[bytes, Any]] = {model: {} for model in request.models}
    for window in range(n_windows):
        began = perf_counter()
        if budget is not None and began - started + longest >= budget:
            break
        past = history.fold(window * (step_size or request.h))
        if past is None:
            continue
        counts.update(past['unique_id'].unique())
        for place, model in enumerate(request.models):
            told = _part(progress, window * len(request.models) + place, n_windows * len(request.models))
            begun = perf_counter()
            own = replace(asked, models=(model,))
            made = forecasting.forecast(past, own, whole=False, known=known[model], progress=told)
            parts.append(history.beside(made))
            seconds[model] += perf_counter() - begun
        longest = max(longest, perf_counter() - began)
    progress(1.0, 'Done')
    rows = pl.concat(parts) if parts else history.beside(_no_rows(typed, request))
    windows = {model: dict(counts) for model in request.models}
    return Backtest(rows=clock.back(rows, 'ds', 'cutoff'), seconds=seconds, windows=windows)


def sample(
    frame: 'polars.DataFrame', request: 'Request', *, n_windows: int = WINDOWS, budget: float | None = None,
    of: int | None = None, progress: 'Progress' = quiet,
) -> Backtest:  # fmt: skip
    """Return `run`'s rows of about MEASURED series, drawn by seed and label: the same for every model.

    A model that learns from all series is fitted on about COMPANY of them: fewer than there are, so it does no better
    than it would on all. `of` is how many series there are in all, where the frame holds a chunk of them.
    """
    import polars as pl

    ids = frame['unique_id'].cast(pl.String)
    names = ids.drop_nulls().unique().to_list()
    total = max(of or 0, len(names))
    drawn = {name: total * _lot(request.seed, name) for name in names}
    widely = [name for name in request.models if name not in ALONE]
    alone = [name for name in request.models if name in ALONE]
    asked = [(models, count) for models, count in ((widely, COMPANY), (alone, MEASURED)) if models]
    found: list[Backtest] = []
    for place, (models, count) in enumerate(asked):
        panel = frame.filter(ids.is_in([name for name in names if drawn[name] < count]))
        if panel.is_empty():
            continue
        share = None if budget is None else budget * len(models) / len(request.models)
        own = replace(request, models=tuple(models), budget=share or request.budget)
        told = _part(progress, place, len(asked))
        found.append(run(panel, own, n_windows=n_windows, budget=share, progress=told))
    measured = [name for name in names if drawn[name] < MEASURED]
    found = found or [run(frame, request, budget=0)]
    rows = pl.concat([one.rows for one in found]).filter(pl.col('unique_id').is_in(measured))
    return Backtest(
        rows=rows,
        seconds={model: took for one in found for model, took in one.seconds.items()},
        windows={
            model: {name: own[name] for name in sorted(measured) if name in own}
            for one in found
            for model, own in one.windows.items()
        },
    )


def counted(windows: Mapping[str, int]) -> dict[str, int]:
    """Return how many series were forecast from each number of past cutoffs (as text), the most first."""
    counts = Counter(windows.values())
    return {str(number): counts[number] for number in sorted(counts, reverse=True)}


def shortfall(counts: Mapping[str, int], n_windows: int) -> str:
    """Say how many series were measured from fewer than `n_windows` past cutoffs (`counted`); '' when none was."""
    fewer = sorted(int(number) for number in counts if 0 < int(number) < n_windows and counts[number])
    none, total = counts.get('0', 0), sum(counts.values())
    if not fewer and not none:
        return ''
    why = 'the history is too short for more, or the time was up.'
    if none == total:
        return f'Not measured on the past: {why.replace(" for more", "")}'
    if counts.get(str(fewer[0]) if fewer else '') == total:
        return f'Measured from {fewer[0]} of {n_windows} past cutoffs: {why}'
    said = [f'{counts.get(str(n_windows), 0):,} of {total:,} series measured from all {n_windows} past cutoffs']
    if fewer:
        span = f'{fewer[0]}' if len(fewer) == 1 else f'{fewer[0]} to {fewer[-1]}'
        said.append(f'{sum(counts[str(number)] for number in fewer):,} from {span}')
    if none:
        said.append(f'{none:,} from none')
    return f'{", ".join(said)}: {why}'


def share_of_forecast(n_series: int, n_windows: int) -> float:
    """Return the share of a time budget that a forecast may take when a `sample` of its past is measured as well."""
    return n_series / (n_series + n_windows * min(n_series, COMPANY)) if n_series else 1.0


def _lot(seed: int, name: str) -> float:
    """Return a number from 0 to 1 that is drawn for a label: the same in whichever chunk it is."""
    digest = blake2b(f'{seed} {name}'.encode(errors='surrogatepass'), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def scores(
    frame: 'polars.DataFrame', request: 'Request', *, n_windows: int = WINDOWS, progress: 'Progress' = quiet
) -> list[dict[str, Any]]:
    """Return how each model did on the recent past: `leaderboard` of a `sample`, bands calibrated before each window.

    A model that could not be measured is there with None for its figures.
    """
    found = sample(frame, request, n_windows=n_windows, budget=request.budget, progress=progress)
    return leaderboard(found.rows, request.levels, models=request.models, seconds=found.seconds)


def leaderboard(
    rows: 'Rows', levels: Sequence[float | int], by: str | None = None, *,
    models: Sequence[str] = (), seconds: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return how well each model did, from the rows of `cross_validation` alone.

    Args:
        rows: the columns by name, as a frame of polars or arrays of numpy (as DuckDB's `fetchnumpy` gives them).
        levels: the bands to measure, in percent; the rows need a quantile for both ends of each.
        by: `horizon` or `series` for a score of each, which then stands under `horizon` or `unique_id`.
        models: those to tell of, in this order; those of the rows, as they appear, when none is named.
        seconds: how long each model took.

    Returns:
        A dict per score: `model`; `mase`, `rmsse`, `smape`, `sql` and `width` (by level) are means over windows (a
        series at a cutoff), `width` in units of the MASE scale; `wql` and `coverage` (from the level as text, such as
        `'80'`, to the share from 0 to 1 that its band held) are of all points; `points`, `n_series` and `n_windows` say
        how many were measured. A figure that cannot be measured is None.
    """
    table = _Table.read(rows, levels)
    found = []
    for model in models or table.models:
        place = table.models.index(model) if model in table.models else -1
        own = np.flatnonzero((table.model == place) & table.measured)
        if by is None:
            parts: list[tuple[dict[str, Any], Array]] = [({}, own)]
        elif by == 'horizon':
            steps = np.unique(table.horizon)
            parts = [({'horizon': int(step)}, here) for step, here in _parted(own, table.horizon, steps)]
        elif by == 'series':
            places = np.arange(len(table.ids))
            parts = [({'unique_id': table.ids[at]}, here) for at, here in _parted(own, table.series, places)]
        else:
            raise UsageError(f'A leaderboard is by horizon or series, not by "{by}".')
        took = None if by else (seconds or {}).get(model)
        found += [{'model': model, **head, **_score(table, here, levels), 'seconds': took} for head, here in parts]
    return found


def flat(scores: Sequence[Mapping[str, Any]]) -> 'polars.DataFrame':
    """Return a leaderboard as a table: coverage and width of a level in columns of their own, such as `coverage_80`."""
    import polars as pl

    rows = []
    for score in scores:
        row = {name: value for name, value in score.items() if name not in ('coverage', 'width')}
        for kind in ('coverage', 'width'):
            row |= {f'{kind}_{level}': value for level, value in score[kind].items()}
        rows.append(row)
    floats = {name: pl.Float64 for row in rows for name in row if name not in WORDS | COUNTS}
    return pl.DataFrame(rows, infer_schema_length=None, schema_overrides=floats)


WORDS = {'model', 'unique_id'}
COUNTS = {'horizon', 'points', 'n_series', 'n_windows'}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """Backtest rows (n) as arrays: numbers for what is text, NaN for what is missing."""

    models: list[str]
    ids: list[str]
    model: Array
    series: Array
    window: Array
    horizon: Array
    y: Array
    mean: Array
    scale: Array
    scale2: Array
    asked: tuple[float, ...]
    bands: Array

    @property
    def measured(self) -> Array:
        return np.asarray(np.isfinite(self.y) & np.isfinite(self.mean))

    @classmethod
    def read(cls, rows: 'Rows', levels: Sequence[float | int]) -> '_Table':
        from core.analysis.forecasting import quantiles

        asked = quantiles(levels)
        numbers = {name: _numbers(rows[name]) for name in ('y', 'mean', 'scale', 'scale2')}
        models, model = _codes(_texts(rows['model']))
        ids, series = _codes(_texts(rows['unique_id']), ordered=True)
        _, cutoff = np.unique(np.asarray(rows['cutoff']).astype('datetime64[us]'), return_inverse=True)
        return cls(
            models=models, ids=ids, model=model, series=series,
            window=series * (int(cutoff.max(initial=0)) + 1) + cutoff,
            horizon=np.asarray(rows['horizon']).astype(np.int64),
            asked=asked, bands=np.stack([_numbers(rows[f'q{q:g}']) for q in asked], axis=1), **numbers,
        )  # fmt: skip


def _parted(places: Array, key: Array, values: Array) -> Iterator[tuple[int, Array]]:
    """Yield each of the sorted `values` with those of `places` where `key` has it."""
    if not len(values):
        return
    order = places[np.argsort(key[places], kind='stable')]
    ends = np.searchsorted(key[order], values, side='right')
    yield from zip(values.tolist(), np.split(order, ends[:-1]), strict=True)


def _texts(column: Any) -> Array:
    return np.asarray([str(value) for value in np.asarray(column)], dtype=object)


def _numbers(column: Any) -> Array:
    """Return a column as floats with NaN for null; DuckDB masks nulls, polars gives None or NaN."""
    values = column if isinstance(column, np.ma.MaskedArray) else np.asarray(column)
    found: Array = np.ma.filled(np.ma.asarray(values.astype(np.float64)), np.nan)
    return found


def _codes(texts: Array, *, ordered: bool = False) -> tuple[list[str], Array]:
    """Return the distinct texts, as they first appear or sorted, and each text's place among them."""
    seen = list(dict.fromkeys(texts.tolist()))
    names = sorted(seen) if ordered else seen
    places = {name: place for place, name in enumerate(names)}
    return names, np.array([places[text] for text in texts.tolist()], dtype=np.int64)


def sums(
    rows: 'Rows',
    levels: Sequence[float | int],
    *,
    models: Sequence[str] = (),
    seconds: Mapping[str, float] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return what `leaderboard`'s scores of models are made of, so that those of several chunks make one exactly.

    By model: `figures` by name, and `coverage` and `width` by level, each a sum and what it is divided by; the counts
    `points`, `n_series` and `n_windows`; `seconds`. See `score_of`.
    """
    table = _Table.read(rows, levels)
    found = {}
    for model in models or table.models:
        place = table.models.index(model) if model in table.models else -1
        here = np.flatnonzero((table.model == place) & table.measured)
        found[model] = {**_sums(table, here, levels), 'seconds': (seconds or {}).get(model)}
    return found


def score_of(model: str, parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the score of a model from its `sums` over chunks of series that share none."""
    took = [part['seconds'] for part in parts if part['seconds'] is not None]
    return {'model': model, **_divided(parts), 'seconds': sum(took) if took else None}


def _score(table: _Table, here: Array, levels: Sequence[float | int]) -> dict[str, Any]:
    """Return the figures of the points at `here`."""
    return _divided([_sums(table, here, levels)])


def _divided(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return figures from their sums, added."""

    def share(pairs: Sequence[Sequence[float]]) -> float | None:
        count = sum(pair[1] for pair in pairs)
        return sum(pair[0] for pair in pairs) / count if count > 0 else None

    def shares(kind: str) -> dict[str, float | None]:
        names = dict.fromkeys(name for part in parts for name in part[kind])
        return {name: share([part[kind][name] for part in parts if name in part[kind]]) for name in names}

    figures = shares('figures')
    counts = {name: sum(part[name] for part in parts) for name in ('points', 'n_series', 'n_windows')}
    return {**figures, 'coverage': shares('coverage'), 'width': shares('width'), **counts}


def _sums(table: _Table, here: Array, levels: Sequence[float | int]) -> dict[str, Any]:
    """Return the sums of the points at `here`."""
    from core.analysis.forecasting import quantiles

    y, mean, bands = table.y[here], table.mean[here], table.bands[here]
    _, first, window = np.unique(table.window[here], return_index=True, return_inverse=True)
    scale, scale2 = table.scale[here], table.scale2[here]
    ends = [quantiles((level,)) for level in levels]
    low = {level: bands[:, table.asked.index(end[0])] for level, end in zip(levels, ends, strict=True)}
    high = {level: bands[:, table.asked.index(end[-1])] for level, end in zip(levels, ends, strict=True)}
    lost = evaluate.pinball(y, bands, table.asked)
    both = np.abs(y) + np.abs(mean)
    with np.errstate(divide='ignore', invalid='ignore'):
        squares = _by_window(np.square(y - mean), window) / scale2[first]
        return {
            'figures': {
                'mase': _summed(_by_window(np.abs(y - mean), window) / scale[first]),
                'rmsse': _summed(np.sqrt(squares)),
                'smape': _summed(_by_window(200 * np.abs(y - mean) / np.where(both == 0, 1.0, both), window)),
                'sql': _summed(_by_window(lost.mean(axis=1), window) / scale[first]),
                'wql': (float(np.nansum(lost)) / len(table.asked), float(np.nansum(np.abs(y)))),
            },
            'coverage': {f'{level:g}': _held(y, low[level], high[level]) for level in levels},
            'width': {
                f'{level:g}': _summed(_by_window(high[level] - low[level], window) / scale[first]) for level in levels
            },
            'points': len(here),
            'n_series': len(np.unique(table.series[here])),
            'n_windows': len(first),
        }


def _summed(values: Array) -> tuple[float, int]:
    """Return the sum of the finite values, and how many they are."""
    known = values[np.isfinite(values)]
    return float(known.sum()), int(known.size)


def _held(y: Array, low: Array, high: Array) -> tuple[int, int]:
    """Return how many of the values lie between both bounds, of how many that have them."""
    known = np.isfinite(y) & np.isfinite(low) & np.isfinite(high)
    return int(((y >= low) & (y <= high))[known].sum()), int(known.sum())


def _by_window(values: Array, window: Array) -> Array:
    """Return the mean of the finite values of each window."""
    known = np.isfinite(values)
    sums, counts = np.bincount(window, np.where(known, values, 0.0)), np.bincount(window, known)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class _History:
    """What is known: the rows (naive UTC) with their `_place` on the grid of their series, and the series by label.

    `ends` are the last stamps of each regressor's values, by series.
    """

    typed: 'polars.DataFrame'
    series: Mapping[str, 'Series']
    ends: Mapping[str, Array]
    request: 'Request'

    def fold(self, back: int) -> 'polars.DataFrame | None':
        """Return the rows before the window that ends `back` steps before each series' end, with its regressors.

        None when no series is long enough.
        """
        import polars as pl

        known = [(one, at) for one in self.series.values() if (at := self._cut(one, back))]
        if not known:
            return None
        ends = pl.DataFrame({'unique_id': [one.unique_id for one, _ in known], '_end': [at for _, at in known]})
        past = self.typed.join(ends, on='unique_id').filter(pl.col('_place') < pl.col('_end')).drop('_place', '_end')
        if not self.request.regressors:
            return past
        return pl.concat([past, *(self._ahead(one, at) for one, at in known)], how='diagonal')

    def _cut(self, series: 'Series', back: int) -> int:
        """Return how many steps lie before a window; 0 for too few. Where regressors go on, a value tells the end."""
        at = _cut(series, self.request.h, back)
        if at and self.request.regressors:
            at = int(np.flatnonzero(np.isfinite(series.y[:at]))[-1]) + 1
        return at

    def _ahead(self, series: 'Series', at: int) -> 'polars.DataFrame':
        """Return the rows of a window's regressors. A gap within them was filled, because they do not depend on `y`."""
        import polars as pl

        window = slice(at, at + self.request.h)
        stamps = series.stamps[window].astype('datetime64[us]')
        table = np.where(stamps[:, None] <= self.ends[series.unique_id], series.regressors[window], np.nan)
        named = {name: table[:, column] for column, name in enumerate(self.request.regressors)}
        return pl.DataFrame({'unique_id': [series.unique_id] * len(stamps), 'ds': stamps, **named})

    def beside(self, rows: 'polars.DataFrame') -> 'polars.DataFrame':
        """Return forecast rows with `y` as it came, `scale` and `scale2`. A row stands where its stamp does."""
        import polars as pl

        keys = rows.select('unique_id', 'ds', 'cutoff').unique(maintain_order=True)
        kinds = {'y': pl.Float64, 'scale': pl.Float64, 'scale2': pl.Float64}
        found = [keys.clear().with_columns(pl.lit(None, kind).alias(name) for name, kind in kinds.items())]
        for (name,), own in keys.group_by(['unique_id'], maintain_order=True):
            found.append(own.with_columns(_as_it_came(self.series[str(name)], own['ds'], own['cutoff'])))
        actual = pl.concat(found).with_columns(pl.col(*kinds).fill_nan(None))
        return rows.join(actual, on=['unique_id', 'ds', 'cutoff'], how='left', nulls_equal=True, maintain_order='left')


def _as_it_came(series: 'Series', ds: 'polars.Series', cutoff: 'polars.Series') -> list['polars.Series']:
    import polars as pl

    size = len(series.y)
    places = size - 1 + series.step.positions(ds.to_numpy().astype('datetime64[us]'), series.cutoff)[0]
    inside = (places >= 0) & (places < size)
    came = np.where(inside, series.y[np.clip(places, 0, size - 1)], np.nan)
    ends = size + series.step.positions(cutoff.to_numpy().astype('datetime64[us]'), series.cutoff)[0]
    scales = {end: _scales(series, int(end)) for end in np.unique(ends)}
    table = np.array([scales[end] for end in ends])
    return [pl.Series('y', came), pl.Series('scale', table[:, 0]), pl.Series('scale2', table[:, 1])]


def _scales(series: 'Series', end: int) -> tuple[float, float]:
    past, season = series.y[: max(0, end)], series.step.season_length
    return evaluate.scale(past, season), evaluate.scale2(past, season)


def _history(typed: 'polars.DataFrame', request: 'Request') -> _History:
    import polars as pl

    from core.analysis.forecasting import repair

    last = typed.filter(pl.col('y').is_finite()).group_by('unique_id').agg(pl.col('ds').max().alias('_last'))
    typed = typed.join(last, on='unique_id', maintain_order='left').filter(pl.col('ds') <= pl.col('_last'))
    typed = typed.drop('_last')
    found = repair.prepare(
        typed,
        freq=request.freq,
        h=0,
        season_length=request.season_length,
        regressors=request.regressors,
        static=request.static,
    )
    series = {one.unique_id: one for one in found}
    placed, ends = [], {}
    for (name,), own in typed.group_by(['unique_id'], maintain_order=True):
        one = series[str(name)]
        places, _ = one.step.positions(own['ds'].to_numpy().astype('datetime64[us]'), one.cutoff)
        own = own.with_columns(pl.Series('_place', len(one.y) - 1 + places))
        own = own.filter(pl.col('_place').is_between(0, len(one.y) - 1))
        placed.append(own)
        known = [own.filter(pl.col(column).is_finite())['ds'].max() for column in request.regressors]
        ends[one.unique_id] = np.array(known, 'datetime64[us]')
    return _History(typed=pl.concat(placed) if placed else typed, series=series, ends=ends, request=request)


def _no_rows(typed: 'polars.DataFrame', request: 'Request') -> 'polars.DataFrame':
    from core.analysis import forecasting

    plain = replace(request, models=('seasonal_naive',), regressors=(), static=())
    return forecasting.forecast(typed, plain).clear()


def _cut(series: 'Series', h: int, back: int) -> int:
    """Return how many steps of a series lie before the window that ends `back` steps before its end; 0 for too few."""
    size = len(series.y) - h - back
    least = max(h + 4, len(series.y) // 3)
    return size if size >= least and np.isfinite(series.y[:size]).any() else 0


def _part(progress: 'Progress', window: int, windows: int) -> 'Progress':
    return lambda part, text: progress((window + part) / windows, text)
