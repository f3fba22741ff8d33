"""Windows of series as batches for the network: normalised one by one, anchored at the seasonal naive forecast.

A window is a series up to an origin. It is centred and scaled by its own context alone, so that nothing after the
origin is seen and series of any size are alike; the network learns the scaled difference from the anchor.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch

from core.analysis.forecasting import calendars
from core.analysis.forecasting.base import Run
from core.analysis.forecasting.frequency import DAY, Array, Step
from core.analysis.forecasting.repair import Series
from core.analysis.forecasting.tft.module import Batch, Sizes

SEASONS = 3
"""So many last seasons are averaged for an input of each step ahead."""
LEAST_CONTEXT, MOST_CONTEXT = 12, 336
LEAST_SCALE = 1e-3
PAST = ('value', 'value a season before', 'has a value', 'distance')
FUTURE = ('last season', 'mean of seasons', 'distance')
SINE, COSINE = ' (sine)', ' (cosine)'
WEEKDAY = f'weekday{SINE}'
NUMBERS = ('level', 'length', 'last value', 'last season', 'trend')


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a window holds: all that must be known to read series as the network was trained to.

    `calendar` names what is known of every date, `holidays` is the country whose holidays are among it.
    `vocabularies` are the categories of each static column, in the order of their numbers from 1 on (0: any other).
    """

    h: int
    season: int
    long_season: int
    context: int
    calendar: tuple[str, ...] = ()
    holidays: str | None = None
    regressors: tuple[str, ...] = ()
    vocabularies: tuple[tuple[str, ...], ...] = ()

    @property
    def past(self) -> tuple[str, ...]:
        """The variables of each step of the context."""
        return (*PAST, *self._ahead)

    @property
    def future(self) -> tuple[str, ...]:
        """The variables of each step ahead."""
        return (*FUTURE, *(('last week',) if self.long_season else ()), *self._ahead)

    @property
    def static(self) -> tuple[str, ...]:
        """The variables of a whole window: numbers, then categories."""
        return (*NUMBERS, *(f'category {place}' for place in range(1, len(self.vocabularies) + 1)))

    @property
    def least(self) -> int:
        """How many points a series needs before an origin."""
        return self.season + 3

    @property
    def _ahead(self) -> tuple[str, ...]:
        return (*self.calendar, *self.regressors)

    def sizes(self, *, hidden: int, quantiles: int, dropout: float) -> Sizes:
        """Return what a network for such windows is built from."""
        return Sizes(
            past=len(self.past),
            future=len(self.future),
            numbers=len(NUMBERS),
            categories=tuple(len(values) + 1 for values in self.vocabularies),
            hidden=hidden,
            quantiles=quantiles,
            dropout=dropout,
        )


def layout_of(panel: Sequence[Series], ends: Sequence[int], *, h: int, run: Run, context: int | None) -> Layout:
    """Return the layout that suits the first `ends` points of a panel, with so many steps of context if it is named.

    Raise UsageError for a country whose holidays are not known.
    """
    step = panel[0].step
    season = step.season_length
    median = float(np.median(ends))
    if median < 2 * season + 4:
        season = 1
    known = [
        column
        for column in range(len(run.regressors))
        if any(np.isfinite(series.regressors[:, column]).all() for series in panel)
    ]
    dates = calendars.usable(panel, ends)
    columns = zip(*(series.static for series in panel), strict=True)
    return Layout(
        h=h,
        season=season,
        long_season=step.long_season if season > 1 else 0,
        context=context or _context(step, season, median),
        calendar=tuple(_of_dates(panel[0].stamps[-1:], step, dates=dates, holidays=run.holidays)),
        holidays=run.holidays,
        regressors=tuple(run.regressors[column] for column in known),
        vocabularies=tuple(tuple(sorted(set(values))) for values in columns),
    )


def _context(step: Step, season: int, median: float) -> int:
    if step.long_season and season > 1:
        length = step.long_season
    elif step.unit == 'month' or season > 24:
        length = (3 if median >= 10 * season else 2) * season
    else:
        length = 8 * season
    return int(np.clip(length, LEAST_CONTEXT, MOST_CONTEXT))


@dataclass(frozen=True, slots=True)
class Drawn:
    """A batch with what puts its answers back into units of y: `anchor` (b, h), `level` and `scale` (b, 1).

    `target` (b, h) is scaled, NaN where nothing was observed or may not be known.
    """

    batch: Batch
    anchor: torch.Tensor
    level: Array
    scale: Array
    target: torch.Tensor

    def to(self, device: torch.device) -> 'Drawn':
        """Return the batch on a device."""
        if device.type == 'cpu':
            return self
        parts = (getattr(self.batch, field.name).to(device) for field in fields(Batch))
        return Drawn(Batch(*parts), self.anchor.to(device), self.level, self.scale, self.target.to(device))


class Source:
    """Windows of a panel, of whose series only the first `ends` points count: regressors are scaled by them.

    No target shows a value after the first `shown` points of a series, which are `ends` by default.
    """

    def __init__(
        self, panel: Sequence[Series], ends: Sequence[int], layout: Layout, *, run: Run,
        shown: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        self._layout = layout
        self._pad = max(layout.context + layout.season, SEASONS * layout.season, layout.long_season)
        sizes = np.array([len(series.filled) for series in panel])
        self._starts = np.cumsum(np.concatenate([[0], sizes[:-1] + layout.h + self._pad])) + self._pad
        total = int(sizes.sum()) + len(panel) * (layout.h + self._pad)
        self._values = np.zeros(total)
        self._exists = np.zeros(total, bool)
        self._observed = np.full(total, np.nan)
        self._ahead = np.zeros((total, len(layout._ahead)), np.float32)
        self._has_value = np.zeros(total, bool)
        for series, start, size, end, last in zip(panel, self._starts, sizes, ends, shown or ends, strict=True):
            whole = slice(start, start + size)
            self._values[whole] = series.learnt(end)
            self._exists[whole] = True
            self._has_value[whole] = np.isfinite(series.y)
            self._observed[start : start + last] = series.y[:last]
            self._ahead[start : start + size + layout.h] = _known_ahead(series, end, layout, run)
        numbers = [{value: number for number, value in enumerate(values, 1)} for values in layout.vocabularies]
        self._categories = np.array(
            [[own.get(value, 0) for value, own in zip(one.static, numbers, strict=True)] for one in panel], np.int64
        ).reshape(len(panel), len(numbers))

    def draw(self, places: Array, sizes: Array) -> Drawn:
        """Return the windows of the series at `places` (b) that end after `sizes` (b) points."""
        layout = self._layout
        starts = self._starts[places][:, None]
        ends = starts + sizes[:, None]
        before, ahead = ends + np.arange(-layout.context, 0), ends + np.arange(layout.h)
        exists = self._exists[before]
        level, scale = _level_and_scale(self._values, before, exists)

        def scaled(at: Array, default: Array | float = 0.0) -> Array:
            return np.where(at >= starts, (self._values[at] - level) / scale, default)

        value = scaled(before)
        seasonal = ends - layout.season + np.arange(layout.h) % layout.season
        anchor = scaled(seasonal)
        back = [seasonal - layout.season * k for k in range(SEASONS)]
        counts = np.sum([at >= starts for at in back], axis=0)
        mean = np.sum([scaled(at) for at in back], axis=0) / np.maximum(counts, 1)
        distance = np.broadcast_to(
            np.arange(-layout.context, layout.h) / layout.context, (len(places), layout.context + layout.h)
        )
        past = [value, scaled(before - layout.season), self._has_value[before], distance[:, : layout.context]]
        future = [anchor, mean, distance[:, layout.context :]]
        if layout.long_season:
            weekly = ends - layout.long_season + np.arange(layout.h) % layout.long_season
            future.append(scaled(weekly, anchor))
        last, one_before = (scaled(ends - 1 - np.arange(layout.season) - k * layout.season) for k in range(2))
        numbers = [
            np.sign(level) * np.log1p(np.abs(level) / scale),
            exists.mean(axis=1, keepdims=True),
            value[:, -1:],
            last.mean(axis=1, keepdims=True),
            (last - one_before).mean(axis=1, keepdims=True),
        ]
        batch = Batch(
            _tensor(np.concatenate([np.stack(past, -1), self._ahead[before]], -1)),
            _tensor(np.concatenate([np.stack(future, -1), self._ahead[ahead]], -1)),
            _tensor(np.concatenate(numbers, 1)),
            torch.from_numpy(self._categories[places]),
            torch.from_numpy(exists),
        )
        target = (self._observed[ahead] - level) / scale
        return Drawn(batch, _tensor(anchor), level, scale, _tensor(target))


def _level_and_scale(values: Array, before: Array, exists: Array) -> tuple[Array, Array]:
    """Return the mean and the standard deviation of each context (b, 1)."""
    count = np.maximum(exists.sum(axis=1, keepdims=True), 1)
    window = values[before]
    level = np.where(exists, window, 0.0).sum(axis=1, keepdims=True) / count
    apart = np.where(exists, window - level, 0.0)
    scale = np.sqrt((apart**2).sum(axis=1, keepdims=True) / count)
    scale = np.maximum(scale, LEAST_SCALE * np.abs(level))
    return level, np.where(scale > 0, scale, 1.0)


def _known_ahead(series: Series, end: int, layout: Layout, run: Run) -> Array:
    """Return what is known of each step of history and horizon (n + h × variables), regressors scaled by history."""
    parts = []
    size = len(series.filled)
    if layout.calendar:
        stamps = series.step.after(series.cutoff, np.arange(1 - size, layout.h + 1))
        found = _of_dates(stamps, series.step, dates=WEEKDAY in layout.calendar, holidays=layout.holidays)
        parts.append(np.stack([found[name] for name in layout.calendar], axis=1))
    for name in layout.regressors:
        column = series.regressors[: size + layout.h, run.regressors.index(name)]
        past = column[: max(end, 1)]
        spread = float(past.std())
        scaled = (column - past.mean()) / (spread if spread > 0 else 1.0)
        parts.append(np.where(np.isfinite(scaled), np.clip(scaled, -10, 10), 0.0)[:, None])
    return np.concatenate(parts, axis=1) if parts else np.zeros((size + layout.h, 0))


def _of_dates(stamps: Array, step: Step, *, dates: bool, holidays: str | None) -> dict[str, Array]:
    """Return what is known of stamps (n) by its name: places in week, month, year and day if `dates` mean anything."""
    found: dict[str, Array] = {}
    if dates:
        read = calendars.columns(stamps)
        year = (read['month'] - 1 + (read['day of month'] - 1) / 31) / 12
        circles = {'weekday': read['weekday'] / 7, 'time of year': year}
        if step.unit == 'fixed' and step.size < DAY:
            circles['time of day'] = (stamps - stamps.astype('datetime64[D]')).astype(np.int64) / DAY
        for name, part in circles.items():
            found[f'{name}{SINE}'], found[f'{name}{COSINE}'] = np.sin(2 * np.pi * part), np.cos(2 * np.pi * part)
        found['day of month'] = (read['day of month'] - 16) / 15
    if holidays:
        found |= calendars.holiday_columns(stamps, holidays, step=step)
    return found


def _tensor(values: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
