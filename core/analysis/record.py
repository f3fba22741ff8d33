"""The record of issued forecasts: what came beside what they said, in sums that add up over series and forecasts.

Scores are those of `core.analysis.evaluate`, taken point by point: MASE is the mean of |error| / scale over points, and
so are the others. Sums are exact (`math.fsum`), so that scoring the same files again gives the same numbers.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis import duck, evaluate, panel
from core.errors import NotFound, TaskFailed, TooLarge, UnusableData

if TYPE_CHECKING:
    import polars

    from core.analysis.forecasting import Progress
    from core.analysis.forecasting.frequency import Array
    from core.analysis.forecasting.repair import Series

    Panel = Mapping[str, Series]

BLOCKS = (1, 2, 3, 4, 7, 13, 25, 49, 97, 193, 385, 769, 1537, 3073, 6145)
"""First steps of the blocks of the horizon; the last one is where the block before it ends."""
MOST_RANGES = 200
CODE = Path(__file__).parent / 'forecasting'


@lru_cache(maxsize=1)
def code_version() -> str:
    """Return what tells states of the forecasting code apart: the program's version, and a hash of the code."""
    digest = hashlib.sha256()
    for path in sorted([*CODE.rglob('*.py'), CODE.parent / 'panel.py', CODE.parent / 'record.py']):
        digest.update(f'{path.relative_to(CODE.parent).as_posix()}\0'.encode() + path.read_bytes())
    try:
        program = version('variosync')
    except PackageNotFoundError:  # a function at Modal is given the code, and not the package
        program = 'source'
    return f'{program}+{digest.hexdigest()[:12]}'


def scores(
    parts: Sequence[Path], issued: Sequence[Mapping[str, Any]], *, fetch: Callable[[str], Path], workdir: Path,
    progress: 'Progress',
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the score of each issued file on the values of a version; one that cannot be scored stops no other.

    Args:
        parts: the rows of the version.
        issued: `id`, `key` and `sha256` of a file of one model's rows of `forecasting.forecast`, `history` (the keys
            of what it was made from), and `target`, `series`, `step`, `aggregate` of its request.
        fetch: returns the file under a key.

    Returns:
        For each, `id`, `points` (how many of its values have come), `reaches` (whether the version reaches back to its
        first step) and `blocks`, as `score` gives them; or no points and a `problem`.
    """
    files = _Files(parts, issued, fetch=fetch, workdir=workdir)
    found = []
    for place, one in enumerate(issued):
        progress(place / len(issued), f'Scoring forecast {place + 1:,} of {len(issued):,}')
        try:
            found.append({'id': one['id'], **score(files.rows(one), files.panel(one), files.actual(one))})
        except (NotFound, TaskFailed, TooLarge, UnusableData) as error:
            found.append({'id': one['id'], 'points': 0, 'reaches': False, 'blocks': [], 'problem': error.message})
    return found


class _Files:
    """What was issued and what came, read when it is first needed."""

    def __init__(
        self, parts: Sequence[Path], issued: Sequence[Mapping[str, Any]], *, fetch: Callable[[str], Path], workdir: Path
    ) -> None:
        self._parts, self._issued, self._fetch, self._workdir = parts, issued, fetch, workdir
        self._panels: dict[tuple[Any, ...], Panel] = {}
        self._actuals: dict[tuple[Any, ...], polars.DataFrame] = {}

    def rows(self, one: Mapping[str, Any]) -> 'polars.DataFrame':
        """Return the rows that were issued. Raise TaskFailed when the file is another one by now."""
        import polars as pl

        return pl.read_parquet(self._path(one))

    def panel(self, one: Mapping[str, Any]) -> 'Panel':
        """Return the series that it was made from. Raise TaskFailed when they cannot be read."""
        import polars as pl

        key = (*one['history'], one['step'])
        if key not in self._panels:
            paths = [self._fetch(name) for name in one['history']]
            try:
                self._panels[key] = read_panel(paths, freq=one['step'])
            except pl.exceptions.PolarsError as error:
                raise TaskFailed('What the forecast was made from cannot be read.') from error
        return self._panels[key]

    def actual(self, one: Mapping[str, Any]) -> 'polars.DataFrame':
        """Return what the version knows of them, from the first cutoff of all that ask for the same values on."""
        key = _values(one)
        if key not in self._actuals:
            same = (other for other in self._issued if _values(other) == key)
            since = min(filter(None, map(self._cutoff, same)), default=None)
            self._actuals[key] = panel.read(
                self._parts,
                target=one['target'],
                series=one['series'],
                step=one['step'],
                aggregate=one['aggregate'],
                since=since,
                workdir=self._workdir,
            )
        return self._actuals[key]

    def _cutoff(self, one: Mapping[str, Any]) -> datetime | None:
        """Return the first cutoff of a file, None when it is gone or another one by now."""
        import polars as pl

        try:
            path = self._path(one)
        except (NotFound, TaskFailed):
            return None
        cutoff: datetime = pl.scan_parquet(path).select(pl.col('cutoff').min()).collect().item()
        return cutoff

    def _path(self, one: Mapping[str, Any]) -> Path:
        path = self._fetch(one['key'])
        if hashlib.sha256(path.read_bytes()).hexdigest() != one['sha256']:
            raise TaskFailed('The stored forecast is not what was issued.')
        return path


def read_panel(histories: Sequence[Path], *, freq: str | None) -> 'Panel':
    """Return the repaired series that forecasts were made from, by id; each file was a panel of its own."""
    import polars as pl

    from core.analysis.forecasting import repair

    found: dict[str, Series] = {}
    for path in histories:
        frame = pl.read_parquet(path, columns=['unique_id', 'ds', 'y']).with_columns(
            pl.col('ds').cast(pl.Datetime('us'))
        )
        found |= {one.unique_id: one for one in repair.prepare(frame, freq=freq, h=1, season_length=None)}
    return found


def score(rows: 'polars.DataFrame', known: 'Panel', actual: 'polars.DataFrame') -> dict[str, Any]:
    """Return `points`, `reaches` and `blocks` of one model's forecast (rows of `forecasting.forecast`).

    Args:
        known: the series that it was made from; they give the step, and the scale before the cutoff.
        actual: `unique_id, ds, y` (naive UTC). A value counts for the step that it lies nearest to, as in
            `repair.regular`; of several the last one does.

    Returns:
        Beside them, `complete` (whether it reaches back and goes on after the last step, so that the score stays as it
        is while no value from `since` until `until` changes) and these two times, None without points. A block has its
        `first` and `last` step; `points`; `smape` (a sum); `scaled` points with the sums `abs` and `square` of the
        errors over their scales; `drawn` points with the sum `pinball` of the mean quantile losses over the scale; and
        by level (percent as text) `points` with a band, `inside`, and the sum `width` over the `scaled` ones of them.
    """
    import polars as pl

    given = rows.filter(pl.col('mean').is_not_null() & pl.col('unique_id').is_in(list(known)))
    given = given.sort(['unique_id', 'horizon']).with_columns(pl.col('ds', 'cutoff').cast(pl.Datetime('us')))
    came = actual.drop_nulls().partition_by('unique_id', as_dict=True)
    y, scale, square = (np.full(given.height, np.nan) for _ in range(3))
    reaches, start = True, 0
    since: Any = given['cutoff'].min()
    until = np.datetime64(0, 'us')
    for (name,), own in given.group_by('unique_id', maintain_order=True):
        place = slice(start, start + own.height)
        start += own.height
        values = came.get((name,))
        if values is None:
            reaches = False
            continue
        series, cutoff = known[name], own['cutoff'].to_numpy()[0]
        y[place], reached = _beside(values, series, cutoff, own['horizon'].to_numpy())
        reaches = reaches and reached
        until = max(until, series.step.after(cutoff, own['horizon'].to_numpy()[-1:].astype(np.int64) + 1)[0])
        history = series.y[: int(np.searchsorted(series.stamps, cutoff, side='right'))]
        scale[place] = evaluate.scale(history, series.step.season_length)
        square[place] = evaluate.scale2(history, series.step.season_length)
    measured = np.isfinite(y)
    horizon = given['horizon'].to_numpy()
    blocks, h = np.digitize(horizon, BLOCKS), int(horizon.max(initial=0))
    table = _Table(given, y, np.where(scale > 0, scale, np.nan), np.where(square > 0, square, np.nan))
    reaches = bool(reaches and measured.any())
    return {
        'points': int(measured.sum()),
        'reaches': reaches,
        'complete': bool(reaches and (measured.all() or actual['ds'].max() >= until.astype(datetime))),
        'since': f'{since}+00:00' if measured.any() else None,
        'until': f'{until}+00:00' if measured.any() else None,
        'blocks': [
            {'first': BLOCKS[block - 1], 'last': min(BLOCKS[block] - 1, h), **table.sums(measured & (blocks == block))}
            for block in sorted(set(blocks[measured].tolist()))
        ],
    }


def changes(before: Sequence[Path], after: Sequence[Path], *, target: str, workdir: Path) -> list[list[str]]:
    """Return where the values of two versions' rows differ: ranges of whole days (UTC, end exclusive), in order.

    Of more than MOST_RANGES, one that holds them all is returned.
    """
    column = duck.identifier(target)
    old, new = (
        f'select _series, _time, list({column}::double order by _line) from {duck.files(paths)} group by all'
        for paths in (before, after)
    )
    query = f"""
        select distinct date_trunc('day', _time)::date as day
        from (({old} except {new}) union all ({new} except {old}))
        order by day
    """
    with duck.connect(memory=panel.MEMORY, workdir=workdir, allow=[*before, *after]) as connection:
        days = [day for (day,) in connection.execute(query).fetchall()]
    ranges: list[tuple[date, date]] = []
    for day in days:
        follows = bool(ranges) and ranges[-1][1] == day
        first = ranges.pop()[0] if follows else day
        ranges.append((first, day + timedelta(days=1)))
    if len(ranges) > MOST_RANGES:
        ranges = [(ranges[0][0], ranges[-1][1])]
    return [[f'{first}T00:00+00:00', f'{end}T00:00+00:00'] for first, end in ranges]


def _values(one: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells the values of one forecast from those of another."""
    return one['target'], tuple(one['series']), one['step'], one['aggregate']


def _beside(
    values: 'polars.DataFrame', series: 'Series', cutoff: np.datetime64, horizon: 'Array'
) -> tuple['Array', bool]:
    """Return the values at the steps `horizon` after `cutoff`, NaN where none came, and whether they reach back."""
    stamps, y = values['ds'].to_numpy().astype('datetime64[us]'), values['y'].to_numpy()
    places, _ = series.step.positions(stamps, cutoff)
    table = np.full(int(horizon.max()) + 1, np.nan)
    inside = (places >= 1) & (places < len(table)) & np.isfinite(y)
    table[places[inside]] = y[inside]
    return table[horizon], bool(places.min() <= 1)


class _Table:
    """Points of a forecast beside what came; `sums` adds up those of a mask (points)."""

    def __init__(self, rows: 'polars.DataFrame', y: 'Array', scale: 'Array', square: 'Array') -> None:
        quantiles = {float(name[1:]): rows[name].to_numpy() for name in rows.columns if name[0] == 'q'}
        mean = rows['mean'].to_numpy()
        both = np.abs(y) + np.abs(mean)
        self._smape = 200 * np.abs(y - mean) / np.where(both == 0, 1.0, both)
        self._abs = np.abs(y - mean) / scale
        self._square = np.square(y - mean) / square
        asked = sorted(quantiles)
        self._pinball = evaluate.pinball(y, np.stack([quantiles[q] for q in asked], axis=1), asked).mean(axis=1) / scale
        self._bands = {
            f'{100 - 200 * q:g}': (quantiles[q], quantiles[round(1 - q, 6)])
            for q in asked
            if q < 0.5 and round(1 - q, 6) in quantiles
        }
        self._y, self._scale = y, scale

    def sums(self, mask: 'Array') -> dict[str, Any]:
        """Return the sums of the points of a mask."""
        levels = {}
        for level, (low, high) in self._bands.items():
            drawn = mask & np.isfinite(low) & np.isfinite(high)
            inside = drawn & (self._y >= low) & (self._y <= high)
            width = ((high - low) / self._scale)[drawn]
            held = {'points': int(drawn.sum()), 'inside': int(inside.sum())}
            levels[level] = {**held, 'scaled': _count(width), 'width': _sum(width)}
        return {
            'points': int(mask.sum()),
            'smape': _sum(self._smape[mask]),
            'scaled': _count(self._abs[mask]),
            'abs': _sum(self._abs[mask]),
            'square': _sum(self._square[mask]),
            'drawn': _count(self._pinball[mask]),
            'pinball': _sum(self._pinball[mask]),
            'levels': levels,
        }


def _sum(values: 'Array') -> float:
    return math.fsum(values[np.isfinite(values)].tolist())


def _count(values: 'Array') -> int:
    return int(np.isfinite(values).sum())
