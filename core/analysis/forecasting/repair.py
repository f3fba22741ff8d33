"""Repair before model: each series on a regular grid, with its gaps marked, its flags, and what is known of the future.

A frame holds `unique_id, ds, y`, and a column for each regressor and each static category. Rows after the last `y` of a
series bring the regressors of the horizon.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.forecasting import frequency
from core.analysis.forecasting.frequency import MOST_STEPS_A_POINT, Array, Step
from core.errors import UnusableData

if TYPE_CHECKING:
    import polars

MOST_FREE_STEPS = 10_000
FLAGS = ('constant', 'short', 'intermittent', 'non_finite', 'irregular', 'duplicates', 'gaps')
"""What is said of a series before any model sees it, in this order."""
REACH = 0.25
"""A regressor may leave the range of its past by this share of it; beyond, no effect was seen."""
INTERMITTENT = 1.32
"""From this mean distance between demands on (steps), demand is intermittent (Syntetos & Boylan 2005)."""
LEAST_SEASONS = 4
"""So many values at each phase of a season tell whether it usually has demand."""
MOST_OF_DEMAND = 0.9
LARGEST = 1e150
"""Values beyond cannot be squared and summed: they are read as infinite."""
OTHER_PACE = 3
"""The frequency of a series changed when its last values come so many times as far apart as its first, or as near."""
LEAST_PACES = 4
FAR = 5
"""A value lies far beyond the others when it is so many widths of nine in ten of them away from those."""
MOST_FAR = 0.02
"""Of more than this share, large ones are the nature of a series, and no faults in it."""
LEAST_TO_TELL = 20
STRAYS = 3
"""At most so many stamps at an end of a series are none of its times, such as 2999-12-31."""
PAUSE = np.timedelta64(3650, 'D')
"""So long there is nothing between them and the others, at least."""
FEW_STAMPS = 4
"""A series of fewer stamps takes the panel's step where they lie on it."""


def _no_stamps() -> Array:
    return np.zeros(0, 'datetime64[us]')


def _no_regressors() -> Array:
    return np.zeros((0, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series on a regular grid: `y` (n) with NaN at gaps, `filled` (n) without; empty when nothing was observed.

    `regressors` (n + h × names) are known for the horizon too: all NaN where that is not so. `static` are categories.
    """

    unique_id: str
    step: Step
    stamps: Array
    y: Array
    filled: Array
    cutoff: np.datetime64
    observed: int
    notes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    future: Array = field(default_factory=_no_stamps)
    regressors: Array = field(default_factory=_no_regressors)
    static: tuple[str, ...] = ()

    @property
    def is_still(self) -> bool:
        """Whether nothing can be learnt from it: one value, or the same one throughout."""
        return self.observed == 1 or bool(np.ptp(self.filled) == 0)

    def past(self, size: int) -> Array:
        """Return the first `size` values without gaps, filled from nothing that came after them."""
        if size >= len(self.y) or not np.isnan(self.y[:size]).any():
            return self.filled[:size]
        return fill(self.y[:size], self.step.season_length)

    def learnt(self, end: int) -> Array:
        """Return `past(end)` and the rest of the series (n in all), each later gap filled from what came before it.

        So what stands before any origin from `end` on was filled from nothing after that origin.
        """
        gaps = np.isnan(self.y)
        if end >= len(self.y) or not gaps.any():
            return self.filled
        profile = np.resize(_profile(self.y[:end], self.step.season_length), len(self.y))
        last = np.maximum.accumulate(np.where(gaps, 0, np.arange(len(self.y))))
        carried = (self.y - profile)[last] + profile
        if end and np.nanmin(self.y[:end]) >= 0:
            carried = np.maximum(carried, np.minimum(self.y[last], 0.0))
        return np.concatenate([self.past(end), np.where(gaps, carried, self.y)[end:]])


def regular(
    unique_id: str,
    stamps: Array,
    values: Array,
    *,
    step: Step,
    h: int,
    season_length: int | None,
    regressors: Mapping[str, Array] | None = None,
    static: tuple[str, ...] = (),
    noted: tuple[str, ...] = (),
) -> Series:
    """Return the series on its grid: sorted, one value a step (the last read wins), gaps and infinities as NaN.

    Args:
        stamps: datetime64[us] (n) in any order; `values`: float (n), may hold NaN and infinities.
        step: the distance of the grid, which is laid through the last stamp (with regressors: the last that has a
            value, because those after it are the horizon).
        regressors: floats (n) by name.
        noted: what is to be said of it already.
    """
    notes = [*noted]
    flags: set[str] = set()
    named = regressors or {}
    values = np.array(values, dtype=np.float64)
    with np.errstate(invalid='ignore'):
        infinite = np.abs(values) > LARGEST
    if infinite.any():
        flags.add('non_finite')
        notes.append(f'{_count(infinite.sum(), "infinite value")} read as missing.')
        values[infinite] = np.nan
    order = np.argsort(stamps, kind='stable')
    stamps, values = stamps[order], values[order]
    columns = np.stack([np.asarray(column, float)[order] for column in named.values()], axis=1) if named else None
    step = _with_season(step, season_length or step.season_length)
    finite = np.isfinite(values)
    cutoff = stamps[finite][-1] if named and finite.any() else stamps[-1]
    places, off = step.positions(stamps, cutoff)
    past = stamps <= cutoff
    if (off[past] > 0.1).any():
        flags.add('irregular')
        moved = int((off[past] > 0.1).sum())
        were = 'was' if moved == 1 else 'were'
        notes.append(f'Times are irregular: {moved:,} of {len(stamps):,} {were} moved to the nearest {step.name} step.')
    future = step.after(cutoff, np.arange(1, h + 1))
    all_places = places
    places, values = places[past], values[past]
    last = np.append(places[1:] != places[:-1], True)
    if not last.all():
        flags.add('duplicates')
        notes.append(f'{_count((~last).sum(), "value")} shared a step with a later one; the last was kept.')
    places, values = places[last], values[last]
    known = np.isfinite(values)
    if changed := _change_of_pace(places[known], step):
        flags.add('irregular')
        notes.append(changed)
    if not known.any():
        empty = np.zeros(0)
        return Series(
            unique_id=unique_id, step=step, stamps=future[:0], y=empty, filled=empty, cutoff=cutoff, observed=0,
            notes=(*notes, 'The series holds no values.'), flags=_ordered(flags), future=future, static=static,
        )  # fmt: skip
    start = int(places[known][0])
    if -start > MOST_STEPS_A_POINT * len(places) + MOST_FREE_STEPS:
        raise UnusableData(
            f'Steps of {step.name} make {1 - start:,} points of the {len(places):,} of series "{unique_id}". '
            'Name a coarser frequency.'
        )
    y = np.full(1 - start, np.nan)
    y[places[known] - start] = values[known]
    missing = int(np.isnan(y).sum())
    if missing:
        flags.add('gaps')
        notes.append(f'No value at {missing:,} of {len(y):,} steps: filled in from their neighbours.')
        days = step.unit == 'business' or step.size >= frequency.DAY
        if missing > known.sum() and (days or 'irregular' in flags):
            longer = 'weeks or months' if days else 'hours or days'
            notes.append(f'Most steps have no value: longer ones, such as {longer}, make a surer forecast.')
    if odd := int(far(y).sum()):
        lie = 'lies' if odd == 1 else 'lie'
        notes.append(
            f'{_count(odd, "value")} {lie} far beyond the others and may widen the bands: if they are no real ones, '
            'clip or empty them by a recipe step.'
        )
    table = _no_regressors()
    if columns is not None:
        table, unknown = _on_grid(columns, all_places - start, size=len(y), h=h, names=list(named))
        notes += unknown
    filled = fill(y, step.season_length)
    return Series(
        unique_id=unique_id,
        step=step,
        stamps=step.after(cutoff, np.arange(start, 1)),
        y=y,
        filled=filled,
        cutoff=cutoff,
        observed=int(known.sum()),
        notes=tuple(notes),
        flags=_ordered(flags | _of_values(y, step)),
        future=future,
        regressors=table,
        static=static,
    )


def _of_values(y: Array, step: Step) -> set[str]:
    """Return the flags that follow from the values of `y` (n, NaN at gaps)."""
    found, values = set(), y[np.isfinite(y)]
    if np.ptp(values) == 0:
        found.add('constant')
    if len(y) < 2 * step.season_length + 4:
        found.add('short')
    if values.min() >= 0 and values.max() > 0 and _is_intermittent(y, step):
        found.add('intermittent')
    return found


def _is_intermittent(y: Array, step: Step) -> bool:
    """Whether demand is intermittent, and not just absent at the same places of each day, week or year.

    Where the phases that usually show demand hold most of it, they alone are judged: closed days and nights are known.
    """
    known = np.flatnonzero(np.isfinite(y))
    demand = y[known] > 0
    if len(demand) / demand.sum() < INTERMITTENT:
        return False
    for season in {step.season_length, step.long_season} - {0, 1}:
        counts = np.bincount(known % season, minlength=season)
        if counts.min() < LEAST_SEASONS:
            continue
        demands = np.bincount(known % season, demand, season)
        usual = 2 * demands >= counts
        held = demands[usual].sum()
        if held >= MOST_OF_DEMAND * demand.sum() and counts[usual].sum() / held < INTERMITTENT:
            return False
    return True


def _change_of_pace(places: Array, step: Step) -> str:
    """Return what to say when the last quarter of the values comes at another pace than the first; else nothing."""
    paces = np.diff(places)
    part = max(LEAST_PACES, len(paces) // 4)
    if len(paces) < 2 * part:
        return ''
    first, last = int(np.median(paces[:part])), int(np.median(paces[-part:]))
    if max(first, last) < OTHER_PACE * min(first, last):
        return ''
    return (
        f'The frequency changes: a value came every {_steps(first)} at first, every {_steps(last)} at the end '
        f'(steps of {step.name}).'
    )


def _ordered(flags: set[str]) -> tuple[str, ...]:
    return tuple(flag for flag in FLAGS if flag in flags)


def _on_grid(columns: Array, places: Array, *, size: int, h: int, names: Sequence[str]) -> tuple[Array, list[str]]:
    """Return regressors on the grid (size + h × names), interpolated in the past, and what to say of those left out.

    A regressor that is not known for the whole horizon is all NaN: no model may use it for this series.
    """
    table = np.full((size + h, len(names)), np.nan)
    inside = (places >= 0) & (places < size + h)
    for column in range(len(names)):
        known = inside & np.isfinite(columns[:, column])
        table[places[known], column] = columns[known, column]
    notes = []
    for column, name in enumerate(names):
        missing = int(np.isnan(table[size:, column]).sum())
        at = np.flatnonzero(np.isfinite(table[:, column]))
        if missing:
            notes.append(f'Regressor "{name}" is not known for {missing} of {h} steps ahead and was left out.')
            table[:, column] = np.nan
        elif not len(at) or at[0] >= size:
            notes.append(f'Regressor "{name}" is not known in the past and was left out.')
            table[:, column] = np.nan
        else:
            table[:, column] = np.interp(np.arange(size + h), at, table[at, column])
            notes += _within(table[:, column], size, name)
    return table, notes


def _within(values: Array, size: int, name: str) -> list[str]:
    """Hold the values of the horizon near those of the past (size), and return what to say when some were far off.

    No effect was seen there: models that go on in a straight line would make up any number.
    """
    low, high = float(values[:size].min()), float(values[:size].max())
    # one that never varied here may be switched on or double: other series may show what that does
    room = REACH * (high - low) if high > low else max(1.0, abs(low))
    ahead = values[size:]
    far = int(((ahead < low - room) | (ahead > high + room)).sum())
    values[size:] = np.clip(ahead, low - room, high + room)
    if not far:
        return []
    return [
        f'Regressor "{name}" lies far outside what was seen ({low:g} to {high:g}) at {far} of {len(ahead)} steps '
        'ahead: the nearest known effect was taken.'
    ]


def far(y: Array) -> Array:
    """Return where `y` (n, NaN at gaps) holds values far beyond the others, such as a sentinel of -9999 or a ×100.

    They are told by quantiles, which a few such values do not move. Where many lie far, none does.
    """
    known = y[np.isfinite(y)]
    if len(known) < LEAST_TO_TELL:
        return np.zeros(len(y), bool)
    low, high = np.quantile(known, [0.05, 0.95])
    room = FAR * (high - low)
    with np.errstate(invalid='ignore'):
        found: Array = (y < low - room) | (y > high + room)
    return found if room > 0 and found.sum() <= MOST_FAR * len(known) else np.zeros(len(y), bool)


def strays(stamps: Array) -> Array:
    """Return where `stamps` (datetime64, n) are hardly times of the series: a few at an end, beyond a pause that is
    long and longer than all others last. They stand for no date, such as 2999-12-31 or 1900-01-01, or are misspelled.
    """
    known = np.unique(stamps)
    size = len(known)
    none = np.zeros(len(stamps), bool)
    if size < LEAST_TO_TELL or known[-1] - known[0] < PAUSE:
        return none
    for many, before in sorted(((a + b, a) for a in range(STRAYS + 1) for b in range(STRAYS + 1)), reverse=True):
        body = known[before : size - (many - before)]
        if len(body) < LEAST_TO_TELL:
            continue
        least = max(PAUSE, body[-1] - body[0])
        first, last = known[:before], known[before + len(body) :]
        if (not len(first) or body[0] - first[-1] >= least) and (not len(last) or last[0] - body[-1] >= least):
            found: Array = (stamps < body[0]) | (stamps > body[-1])
            return found
    return none


def without_strays(frame: 'polars.DataFrame') -> 'polars.DataFrame':
    """Return a frame `unique_id, ds, …` without such rows of its series."""
    import polars as pl

    spans = frame.group_by('unique_id').agg((pl.col('ds').max() - pl.col('ds').min()).alias('span'))
    longest: Any = spans['span'].max()
    if longest is None or longest < PAUSE.item():
        return frame
    parts = frame.partition_by('unique_id', maintain_order=True)
    return pl.concat(rows.filter(~strays(rows['ds'].to_numpy().astype('datetime64[us]'))) for rows in parts)


def _left_out(stamps: Array) -> str:
    """Return what is said of such stamps (one at least)."""
    days = np.unique(stamps.astype('datetime64[D]'))
    at = str(days[0]) if len(days) == 1 else f'{days[0]} to {days[-1]}'
    was, stand, them = ('was', 'stands', 'it') if len(stamps) == 1 else ('were', 'stand', 'them')
    return (
        f'{_count(len(stamps), "row")} at {at}, far beyond all other times, {was} left out: if that {stand} for no '
        f'date, filter {them} out by a recipe step.'
    )


def fill(y: Array, season_length: int) -> Array:
    """Return `y` (n) without NaN: linear interpolation of the seasonally adjusted values, with the season put back.

    Values far beyond the others stay in their place and have no say in what gaps are filled with.
    """
    gaps = np.isnan(y)
    if not gaps.any():
        return y.copy()
    usual = np.where(far(y), np.nan, y)
    known = np.flatnonzero(np.isfinite(usual))
    profile = np.resize(_profile(usual, season_length), len(y))
    filled = y.copy()
    between = (np.interp(np.arange(len(y)), known, (y - profile)[known]) + profile)[gaps]
    filled[gaps] = np.maximum(between, 0.0) if y[known].min() >= 0 else between
    return filled


def _profile(y: Array, season_length: int) -> Array:
    """Return how far each phase of a season lies from the trend of `y` (n, NaN at gaps); zeros where too few show."""
    known = np.flatnonzero(np.isfinite(y))
    if season_length == 1 or len(known) < 2 * season_length:
        return np.zeros(season_length)
    phase = known % season_length
    apart = y[known] - _smooth(y[known], season_length)
    counts = np.bincount(phase, minlength=season_length)
    return np.bincount(phase, apart, season_length) / counts if counts.min() >= 2 else np.zeros(season_length)


def prepare(
    frame: 'polars.DataFrame', *, freq: str | None, h: int, season_length: int | None,
    regressors: Sequence[str] = (), static: Sequence[str] = (),
) -> list[Series]:  # fmt: skip
    """Return the regular series of a frame `unique_id, ds, y` (naive UTC, typed) and named columns, ordered by id.

    A series too short to show its own step takes the panel's commonest one, where its stamps lie on that.
    """
    parts: dict[str, polars.DataFrame] = {}
    noted: dict[str, tuple[str, ...]] = {}
    for (name,), rows in frame.group_by(['unique_id'], maintain_order=True):
        own = rows['ds'].to_numpy().astype('datetime64[us]')
        out = strays(own)
        parts[str(name)] = rows.filter(~out) if out.any() else rows
        noted[str(name)] = (_left_out(own[out]),) if out.any() else ()
    stamps = {name: rows['ds'].to_numpy().astype('datetime64[us]') for name, rows in parts.items()}
    if freq is not None:
        steps: dict[str, Step | None] = dict.fromkeys(parts, frequency.parse(freq))
    else:
        steps = {name: frequency.infer(np.unique(own)) for name, own in stamps.items()}
    long = [step for name, step in steps.items() if step is not None and len(np.unique(stamps[name])) >= FEW_STAMPS]
    common = Counter(long or [step for step in steps.values() if step is not None]).most_common(1)
    usual = common[0][0] if common else frequency.parse('D')
    if freq is None:
        few = [name for name, own in stamps.items() if len(np.unique(own)) < FEW_STAMPS]
        steps.update({name: usual for name in few if _lies_on(np.unique(stamps[name]), usual)})
    return [
        regular(
            name,
            stamps[name],
            parts[name]['y'].to_numpy(),
            step=steps[name] or usual,
            h=h,
            season_length=season_length,
            regressors={column: parts[name][column].to_numpy() for column in regressors},
            static=tuple(str(parts[name][column].drop_nulls().last(ignore_nulls=True)) for column in static),
            noted=noted[name],
        )
        for name in sorted(parts)
    ]


def _lies_on(stamps: Array, step: Step) -> bool:
    """Whether sorted, distinct stamps each have a place of their own on the step's grid."""
    places, off = step.positions(stamps, stamps[-1])
    return bool((off <= 0.1).all() and (np.diff(places) > 0).all() and -places[0] <= MOST_STEPS_A_POINT * len(stamps))


def groups(series: Sequence[Series]) -> list[list[int]]:
    """Return the positions of series that share step and season, so that one model may learn from all of them."""
    found: dict[tuple[str, int, int], list[int]] = {}
    for place, one in enumerate(series):
        found.setdefault((one.step.unit, one.step.size, one.step.season_length), []).append(place)
    return list(found.values())


def _with_season(step: Step, season_length: int) -> Step:
    if season_length == step.season_length:
        return step
    return Step(name=step.name, unit=step.unit, size=step.size, season_length=season_length)


def _smooth(values: Array, width: int) -> Array:
    """Return the centred moving average over `width`, of fewer values at the ends."""
    kernel = np.ones(width)
    sums, counts = np.convolve(values, kernel, 'same'), np.convolve(np.ones_like(values), kernel, 'same')
    return np.asarray(sums / counts)


def _steps(number: int) -> str:
    return 'step' if number == 1 else f'{number:,} steps'


def _count(number: int, noun: str) -> str:
    return f'{number:,} {noun}' if number == 1 else f'{number:,} {noun}s'
