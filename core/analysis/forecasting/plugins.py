"""Models of other packages: an entry point of the group `variosync.models` brings one, and ours are given the same way.

Both sides speak `fit_predict(frame, h, freq, season_length, quantiles) -> frame`.
`docs/how-to/models-of-your-own.md` shows how.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Protocol

from core.analysis.forecasting.base import NORMAL_80, Member, Origin, Raw, Run
from core.errors import UsageError

if TYPE_CHECKING:
    import polars

    from core.analysis.forecasting.repair import Series

GROUP = 'variosync.models'
QUANTILES = (0.1, 0.5, 0.9)
"""What a plug-in is asked for: its median, and the two that its spread is read from."""
MOST_TIMES = 1e6
"""Values beyond so many times the largest of a history, or of 1, are no forecast."""


class FitPredict(Protocol):
    """A model by one call."""

    def __call__(
        self, frame: 'polars.DataFrame', h: int, freq: str, season_length: int, quantiles: Sequence[float]
    ) -> 'polars.DataFrame':
        """Return the `h` steps after each series of `frame`.

        Args:
            frame: `unique_id` (text), `ds` (naive datetime), `y` (float), sorted by both; a regular grid without gaps
                where a plug-in is called.
            freq: a pandas offset alias such as `MS`. season_length: steps, 1 for none.
            quantiles: between 0 and 1.

        Returns:
            `unique_id, ds`, and a column `q…` for each quantile, such as `q0.5`: h rows a series.
        """


def installed() -> Mapping[str, str]:
    """Return the plug-ins by name, sorted, each with the package it comes from. None of them is imported."""
    return {name: point.dist.name if point.dist else point.module for name, point in sorted(_points().items())}


def member(name: str) -> Member:
    """Return the plug-in `name` as a member. Raise UsageError when there is none."""
    point = _points().get(name)
    if point is None:
        raise UsageError(f'There is no model "{name}".')
    return Plugin(name, lambda: _callable(point.load()))


def fit_predict(name: str) -> FitPredict:
    """Return the model `name` (any of MODELS, also `auto`) as one call; a failed series has nulls."""
    from core.analysis import forecasting

    def call(
        frame: 'polars.DataFrame', h: int, freq: str, season_length: int, quantiles: Sequence[float]
    ) -> 'polars.DataFrame':
        levels = dict.fromkeys(round(abs(1 - 2 * q) * 100, 6) for q in quantiles if q != 0.5)
        request = forecasting.Request(h=h, freq=freq, season_length=season_length, models=(name,), levels=tuple(levels))
        return forecasting.forecast(frame, request).select('unique_id', 'ds', *_columns(quantiles))

    return call


class Plugin:
    """A member that asks foreign code: whatever that does, its series get a forecast or the reason why they have none.

    It is called once for all series, and once for all held-out origins that lie as far before the end of their series,
    on histories that end there: no series shows it the future of another.
    """

    held_series = 400

    def __init__(self, name: str, load: Callable[[], FitPredict]) -> None:
        self.name = name
        self._load = load

    def predict(self, panel: Sequence['Series'], *, h: int, run: Run) -> list[Raw]:
        """Return each series' forecast; seasonal naive with the reason where the plug-in gave none."""
        return self._ask(panel, [Origin(place, len(one.filled)) for place, one in enumerate(panel)], h)

    def hold_out(self, panel: Sequence['Series'], origins: Sequence[Origin], *, h: int, run: Run) -> list[Raw]:
        """Return the forecasts from the origins; no call sees what came after them, of any series."""
        rounds: dict[int, list[int]] = {}
        for index, at in enumerate(origins):
            rounds.setdefault(len(panel[at.place].filled) - at.size, []).append(index)
        found: dict[int, Raw] = {}
        for count, (_, indexes) in enumerate(sorted(rounds.items()), 1):
            found |= zip(indexes, self._ask(panel, [origins[index] for index in indexes], h), strict=True)
            run.progress(count / len(rounds), '')
        return [found[index] for index in range(len(origins))]

    def _ask(self, panel: Sequence['Series'], origins: Sequence[Origin], h: int) -> list[Raw]:
        from core.analysis.forecasting.naive import stand_in

        if not origins:
            return []
        step = panel[0].step
        try:
            answer = self._load()(_frame(panel, origins), h, step.name, step.season_length, QUANTILES)
            tables = _tables(answer)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code may raise anything
            reason = f'{self.name} failed ({type(error).__name__}: {str(error)[:200]}).'
            return [stand_in(panel[at.place], at.size, h=h, reason=reason) for at in origins]
        return [self._raw(panel[at.place], at, h, tables) for at in origins]

    def _raw(self, series: 'Series', at: Origin, h: int, tables: Mapping[str, 'polars.DataFrame']) -> Raw:
        import numpy as np

        from core.analysis.forecasting.naive import stand_in

        table = tables.get(series.unique_id)
        if table is None or table.height != h:
            given = 0 if table is None else table.height
            return stand_in(series, at.size, h=h, reason=f'{self.name} gave {given} of {h} steps.')
        wanted = series.step.after(series.cutoff, np.arange(1, h + 1) + at.size - len(series.filled))
        if (table['ds'].to_numpy().astype('datetime64[us]') != wanted.astype('datetime64[us]')).any():
            return stand_in(series, at.size, h=h, reason=f'{self.name} gave other times than those asked for.')
        low, center, high = table.select(_columns(QUANTILES)).to_numpy().astype(float).T
        if not np.isfinite([low, center, high]).all():
            return stand_in(series, at.size, h=h, reason=f'{self.name} gave no finite forecast.')
        most = MOST_TIMES * max(1.0, float(np.abs(series.past(at.size)).max()))
        if np.abs([low, center, high]).max() > most:
            return stand_in(series, at.size, h=h, reason=f'{self.name} gave values beyond {most:g}, far from any seen.')
        if (low > center).any() or (center > high).any():
            return stand_in(series, at.size, h=h, reason=f'{self.name} gave quantiles that cross.')
        return Raw(center=center, spread=(high - low) / (2 * NORMAL_80), used=self.name)


def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _callable(loaded: object) -> FitPredict:
    """Return the call that an entry point means: a function, or the method `fit_predict` of an object or a class."""
    if inspect.isclass(loaded):
        loaded = loaded()
    call = getattr(loaded, 'fit_predict', loaded)
    if not callable(call):
        raise TypeError('it is neither a function nor has it a method fit_predict')
    return call


def _columns(quantiles: Sequence[float]) -> list[str]:
    return [f'q{q:g}' for q in quantiles]


def _frame(panel: Sequence['Series'], origins: Sequence[Origin]) -> 'polars.DataFrame':
    """Return the histories up to the origins, each series once."""
    import polars as pl

    parts = [
        pl.DataFrame(
            {
                'unique_id': [panel[at.place].unique_id] * at.size,
                'ds': panel[at.place].stamps[: at.size].astype('datetime64[us]'),
                'y': panel[at.place].past(at.size),
            }
        )
        for at in sorted(origins, key=lambda at: panel[at.place].unique_id)
    ]
    return pl.concat(parts)


def _tables(answer: object) -> dict[str, 'polars.DataFrame']:
    """Return what a plug-in answered by series, sorted by time. Raise TypeError or ValueError for anything else."""
    import polars as pl

    if not isinstance(answer, pl.DataFrame):
        raise TypeError(f'it returned {type(answer).__name__} instead of a polars frame')
    needed = ('unique_id', 'ds', *_columns(QUANTILES))
    if missing := [name for name in needed if name not in answer.columns]:
        raise ValueError(f'its frame has no column "{missing[0]}"')
    typed = answer.select(
        pl.col('unique_id').cast(pl.String), pl.col('ds').cast(pl.Datetime('us')), pl.col(needed[2:]).cast(pl.Float64)
    ).sort('unique_id', 'ds')
    return {str(name): table for (name,), table in typed.group_by(['unique_id'], maintain_order=True)}
