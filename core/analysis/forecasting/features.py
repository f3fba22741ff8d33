"""What a model of trees sees of a window at each step ahead: simple forecasts beside its shape, all scaled alike.

Trees cannot add two features, so the forecasts that a season, a profile, a level or a drift alone would make are
features themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from core.analysis.forecasting import calendars
from core.analysis.forecasting.base import Run
from core.analysis.forecasting.frequency import Array
from core.analysis.forecasting.repair import Series
from core.analysis.forecasting.windows import Layout, Pool, Windows, level_and_scale, mean

SEASONS_BACK = 3
PROFILE_SEASONS = 4
QUICK, SLOW = 0.5, 0.2
"""Rates at which the level of the seasonally adjusted past forgets."""
DAMPED = 0.5
RECENT = 14
MOST_VALUES, COLUMNS = 4_000_000, 50
"""Windows are read in parts of about so many numbers, so that long ones fit into memory."""
PARTS = ('values', 'anchor', 'scale')


@dataclass(frozen=True, slots=True)
class Context:
    """What else is known of a pool's series: calendar columns (N each, by group and name)."""

    calendar: Mapping[tuple[str, str], Array]


@dataclass(frozen=True, slots=True)
class Table:
    """Features by rows (k·r × f, window by window), the group of each column, and which columns are categories.

    `anchor` (k × r) is the last season's value at the same phase and `scale` (k) the unit of the target.
    """

    values: Array
    groups: tuple[str, ...]
    categories: tuple[int, ...]
    anchor: Array
    scale: Array


@dataclass(slots=True)
class _Columns:
    """Columns as they are gathered: each of a window (k), or of a window and a step (k × r)."""

    count: int
    ahead: int
    found: list[Array] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    categories: list[int] = field(default_factory=list)

    def add(self, group: str, *columns: Array, category: bool = False) -> None:
        for column in columns:
            if category:
                self.categories.append(len(self.found))
            wide = column if column.ndim == 2 else column[:, None]
            self.found.append(np.broadcast_to(wide, (self.count, self.ahead)))
            self.groups.append(group)

    def table(self) -> Array:
        values = np.empty((self.count, self.ahead, len(self.found)), np.float32)
        for place, column in enumerate(self.found):
            values[:, :, place] = column
        return values.reshape(self.count * self.ahead, len(self.found))


def context(
    panel: Sequence[Series], ends: Sequence[int], pool: Pool, run: Run, *, calendar: bool | None = None,
    holidays: Sequence[str] | None = None,
) -> Context:  # fmt: skip
    """Return the calendar, where dates are real (or as `calendar` says), and the holidays asked for.

    Names of holidays are numbered by `holidays`, where they are given.
    """
    found: dict[tuple[str, str], Array] = {}
    if calendars.usable(panel, ends) if calendar is None else calendar:
        found |= {('calendar', name): column for name, column in calendars.columns(pool.stamps).items()}
    if run.holidays and any('day' in name for name in pool.names):
        found['holidays', 'name'] = calendars.holiday_codes(pool.stamps, run.holidays, holidays)
    return Context(found)


def table(pool: Pool, windows: Windows, steps: Array, layout: Layout, known: Context, holidays: int) -> Table:
    """Return the features of `windows` (k) for `steps` ahead (k × r); the last `holidays` pool columns are holidays."""
    size = max(1, MOST_VALUES // (layout.length + COLUMNS * steps.shape[1]))
    parts = [
        _table(pool, windows.part(at, at + size), steps[at : at + size], layout, known, holidays)
        for at in range(0, max(1, len(windows)), size)
    ]
    if len(parts) == 1:
        return parts[0]
    values, anchor, scale = (np.concatenate([getattr(part, name) for part in parts]) for name in PARTS)
    return Table(values, parts[0].groups, parts[0].categories, anchor, scale)


def _table(pool: Pool, windows: Windows, steps: Array, layout: Layout, known: Context, holidays: int) -> Table:
    m = layout.season
    past = pool.past(windows.places, windows.sizes, layout.length)
    logged = pool.logged[windows.places]
    level, scale = level_and_scale(past, m, logged)
    z = (past - level[:, None]) / scale[:, None]
    columns = _Columns(*steps.shape)
    columns.add('horizon', steps)
    last = _seasons(columns, z, steps, m)
    _levels(columns, z, steps, m)
    if layout.long_season:
        _long_season(columns, z, steps, layout)
    _shape(columns, z, level, scale, logged, m)
    _ahead(columns, pool, windows, steps, layout, known, holidays)
    anchor = last * scale[:, None] + level[:, None]
    return Table(columns.table(), tuple(columns.groups), tuple(columns.categories), anchor, scale)


def _seasons(columns: _Columns, z: Array, steps: Array, m: int) -> Array:
    """Add the values at the same phase of the last seasons and their mean; return the last season's."""
    back = [_back(z, steps, m, times) for times in range(1, SEASONS_BACK + 1)]
    columns.add('same phase of past seasons', *back, mean(np.stack(back), axis=0))
    if m >= 4:
        around = [_take(z, z.shape[1] - m + (steps - 1 + aside) % m) for aside in (-1, 1)]
        columns.add('same phase of past seasons', *around)
    return back[0]


def _levels(columns: _Columns, z: Array, steps: Array, m: int) -> None:
    """Add forecasts by the mean season on a quick and on a slow level, with a drift, and by the last year's change."""
    count, length = z.shape
    profile = _profile(z, m)
    width = min(length, max(m, 8) if m > 1 else 12)
    adjusted = z[:, -width:] - np.tile(profile, (1, -(-width // m)))[:, -width:]
    shape = _take(profile, (steps - 1) % m)
    quick, slow = (_smoothed(adjusted, rate)[:, None] for rate in (QUICK, SLOW))
    drift = _drift(z, m)
    columns.add('level', shape + quick, shape + slow)
    columns.add('trend', shape + slow + DAMPED * drift[:, None] * np.minimum(steps, 2 * m if m > 1 else 6), drift)
    change = np.zeros(count)
    if length >= m + 3:
        grown = mean(z[:, -3:], axis=1) - mean(z[:, -m - 3 : length - m], axis=1)
        change = np.where(np.isfinite(z[:, -m - 3]), grown, 0.0)
    columns.add('trend', _back(z, steps, m, 1) + change[:, None])


def _long_season(columns: _Columns, z: Array, steps: Array, layout: Layout) -> None:
    """Add what a week before and the mean week say, and how well a week before told the last day."""
    m, week, length = layout.season, layout.long_season, z.shape[1]
    back = [_back(z, steps, week, times) for times in range(1, length // week + 1)]
    profile = _profile(z, week)
    adjusted = z[:, -2 * m :] - profile[:, -2 * m :]
    columns.add('same phase of past weeks', back[0], mean(np.stack(back), axis=0))
    columns.add(
        'same phase of past weeks',
        _take(profile, (steps - 1) % week) + _smoothed(adjusted, QUICK / SLOW / m)[:, None],
    )
    if length >= week + m:
        apart = z[:, -m:] - z[:, -week - m : -week]
        columns.add('same phase of past weeks', back[0] + mean(apart, axis=1)[:, None])
        columns.add('variability', mean(np.abs(apart), 1), mean(np.abs(apart - mean(apart, axis=1)[:, None]), axis=1))


def _shape(columns: _Columns, z: Array, level: Array, scale: Array, logged: Array, m: int) -> None:
    """Add what is alike for all steps of a window: its size, spread, slopes and last values."""
    length = z.shape[1]
    recent = mean(z[:, -3:], axis=1)
    columns.add('level', np.where(logged, scale, level / scale), recent)
    columns.add('variability', np.isfinite(z).mean(axis=1), _spread(z))
    columns.add('variability', mean(np.abs(np.diff(z[:, -m - 1 :], axis=1)), axis=1))
    if length >= 2 * m:
        columns.add('trend', -mean(z[:, -2 * m : -m], axis=1))
        columns.add('variability', mean(np.abs(z[:, -m:] - z[:, -2 * m : -m]), axis=1))
    if length >= m + 3:
        columns.add('trend', recent - mean(z[:, -m - 3 : length - m], axis=1))
    columns.add('recent values', *z[:, -min(max(m, 4), RECENT) :].T)


def _ahead(
    columns: _Columns, pool: Pool, windows: Windows, steps: Array, layout: Layout, known: Context, holidays: int
) -> None:
    """Add what is known of the target's moment: calendar, holidays, regressors (and their change), categories."""
    at = windows.sizes[:, None] + steps - 1
    before = windows.sizes[:, None] - layout.season + (steps - 1) % layout.season
    for (group, _), column in known.calendar.items():
        columns.add(group, pool.at(column, windows.places, at), category=group == 'holidays')
    regressors = len(pool.names) - holidays
    for place, name in enumerate(pool.names):
        target = pool.at(pool.columns[:, place], windows.places, at)
        then = pool.at(pool.columns[:, place], windows.places, before)
        columns.add(name if place < regressors else 'holidays', target, target - then)
    for column in pool.kinds.T:
        columns.add('categories', column[windows.places], category=True)


def _back(z: Array, steps: Array, season: int, times: int) -> Array:
    """Return the values `times` seasons before the steps ahead (k × r), NaN where windows do not reach."""
    return _take(z, z.shape[1] - times * season + (steps - 1) % season)


def _take(values: Array, at: Array) -> Array:
    return np.where(at >= 0, np.take_along_axis(values, np.maximum(at, 0), axis=1), np.nan)


def _profile(z: Array, season: int) -> Array:
    """Return the mean season (k × season) of the last seasons that are whole, each less its own mean."""
    whole = min(PROFILE_SEASONS, z.shape[1] // season)
    if season == 1 or whole == 0:
        return np.zeros((len(z), season))
    blocks = z[:, -whole * season :].reshape(len(z), whole, season)
    complete = np.isfinite(blocks).all(axis=2, keepdims=True)
    blocks = np.where(complete, blocks, np.nan)
    return mean(blocks - mean(blocks, axis=2)[:, :, None], axis=1)


def _smoothed(values: Array, rate: float) -> Array:
    """Return the exponentially weighted mean of each row (k), the last value weighing most."""
    weights = (1 - rate) ** np.arange(values.shape[1])[::-1]
    finite = np.isfinite(values)
    found: Array = (np.where(finite, values, 0.0) * weights).sum(axis=1) / np.maximum(finite @ weights, 1e-12)
    return found


def _drift(z: Array, m: int) -> Array:
    """Return the mean change a step between the last two seasons (or over windows without a season); 0 if unknown."""
    length = z.shape[1]
    if m == 1:
        return np.where(np.isfinite(z[:, 0]), (z[:, -1] - mean(z[:, :4], axis=1)) / (length - 2.5), 0.0)
    if length < 2 * m:
        return np.zeros(len(z))
    before = z[:, -2 * m : -m]
    return np.where(np.isfinite(before).all(axis=1), (mean(z[:, -m:], axis=1) - mean(before, axis=1)) / m, 0.0)


def _spread(z: Array) -> Array:
    middle = mean(z, axis=1)
    return np.sqrt(mean((z - middle[:, None]) ** 2, axis=1))
