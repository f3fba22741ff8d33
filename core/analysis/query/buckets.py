"""Calendar buckets: where they begin in a zone, and what lies in each."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from core.analysis.arrays import Floats, Ints
from core.analysis.query.pieces import LATEST
from core.analysis.query.request import PERCENTILE, duration
from core.errors import UsageError

MOST: Final = 50_000
DAY: Final = 86_400_000_000
HOUR: Final = 3_600_000_000
STEPS: Final = (
    *('PT1S', 'PT5S', 'PT15S', 'PT30S', 'PT1M', 'PT5M', 'PT15M', 'PT30M', 'PT1H', 'PT3H', 'PT6H', 'PT12H'),
    *('P1D', 'P7D', 'P1M', 'P3M', 'P1Y', 'P5Y', 'P10Y', 'P100Y'),
)
MONTH: Final = 2_629_746_000_000
BLOCK: Final = 512 * DAY  # of time, whose changes of clocks are looked up at once
SPARSE: Final = 20  # days apart, of which it is not worth looking up what lies between
A_THURSDAY: Final = date(1970, 1, 1)  # days count from it
A_MONDAY: Final = 4
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = (date(1, 1, 2) - A_THURSDAY).days
_LAST: Final = (date(9999, 12, 30) - A_THURSDAY).days


@lru_cache(256)
def length(every: str) -> int:
    """Return how long a bucket lasts in µs, months by their mean."""
    months, elapsed = duration(every)
    return months * MONTH + elapsed


def fitting(start: int, end: int, width: int, *, step: int = 0) -> str:
    """Return the shortest usual step of which at most `width` fit in a range (µs), none shorter than `step`."""
    span = end - start + 1
    return next((one for one in STEPS if span / length(one) <= width and length(one) >= step), STEPS[-1])


def edges(start: int, end: int, every: str, zone: ZoneInfo) -> Ints:
    """Return where the buckets begin that hold times from start to end (µs, both included), and where the last ends.

    Steps of days and longer begin at midnight in the zone, weeks on Monday, months and years on their first day;
    shorter ones count from midnight, so that a day of 25 hours has 25 of `PT1H`. UsageError beyond 50,000 buckets.
    """
    months, elapsed = duration(every)
    if (end - start) / length(every) > MOST:
        raise UsageError(
            f'At most {MOST:,} buckets are drawn. Choose longer ones or a shorter range.', place='query.every'
        )
    first, last = _number(_day(start, zone)), _number(_day(end, zone))
    if months:
        days = _months(first, last, months)
    elif elapsed % (7 * DAY) == 0:
        days = _days(first, last, elapsed // DAY, from_=A_MONDAY)
    else:
        days = _days(first, last, max(1, elapsed // DAY))
    midnights = _midnights(days, zone)
    if months or elapsed % DAY == 0:
        return midnights
    found = np.concatenate([np.arange(begin, until, elapsed) for begin, until in pairwise(midnights.tolist())])
    found = np.append(found, midnights[-1])
    begin = max(0, int(np.searchsorted(found, start, side='right')) - 1)
    stop = int(np.searchsorted(found, end, side='right')) + 1
    return found[begin:stop]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counted:
    """What lies in each bucket: `n` values and one figure, NaN where there is none."""

    n: Ints
    value: Floats


def aggregated(t: Ints, v: Floats, cuts: Ints, aggregation: str) -> Counted:
    """Return one figure a bucket of the values `v` (finite) at the sorted times `t`; `cuts` are edges.

    Percentiles interpolate linearly (Hyndman and Fan's type 7).
    """
    places = np.searchsorted(t, cuts)
    n = np.diff(places)
    full = np.flatnonzero(n)
    value = np.full(len(n), np.nan)
    if aggregation == 'count':
        return Counted(n=n, value=n.astype(np.float64))
    if not len(full):
        return Counted(n=n, value=value)
    begins, stop = places[:-1][full], int(places[-1])
    if aggregation == 'first':
        value[full] = v[begins]
    elif aggregation == 'last':
        value[full] = v[places[1:][full] - 1]
    elif aggregation in ('min', 'max'):
        value[full] = (np.minimum if aggregation == 'min' else np.maximum).reduceat(v[:stop], begins)
    elif aggregation in ('sum', 'mean'):
        with np.errstate(over='ignore', invalid='ignore'):
            total = np.add.reduceat(v[:stop], begins)
        value[full] = total if aggregation == 'sum' else total / n[full]
        value[~np.isfinite(value)] = np.nan
    else:
        value[full] = _percentiles(v[places[0] : stop], begins - places[0], n[full], share(aggregation))
    return Counted(n=n, value=value)


def share(aggregation: str) -> float:
    """Return the share below a percentile such as p95; UsageError when it is none."""
    if not PERCENTILE.fullmatch(aggregation):
        raise UsageError(f'"{aggregation[:40]}" is no aggregation.', place='query.aggregation')
    return float(aggregation[1:]) / 100


class Folded:
    """Figures of `count` buckets of values that come in order of time, some at a time; no percentiles."""

    def __init__(self, count: int, aggregation: str) -> None:
        self._aggregation = aggregation
        self._n = np.zeros(count, np.int64)
        self._value = np.full(count, {'min': np.inf, 'max': -np.inf}.get(aggregation, 0.0))

    def add(self, t: Ints, v: Floats, cuts: Ints) -> None:
        """Count values (finite) at sorted times, none of which lies before those of the last call."""
        how = self._aggregation
        one = aggregated(t, v, cuts, 'sum' if how == 'mean' else how)
        full = one.n > 0
        if how == 'first':
            full &= self._n == 0
        if how in ('first', 'last'):
            self._value[full] = one.value[full]
        elif how in ('min', 'max'):
            (np.minimum if how == 'min' else np.maximum)(self._value, one.value, out=self._value, where=full)
        else:
            with np.errstate(over='ignore', invalid='ignore'):
                np.add(self._value, one.value, out=self._value, where=full)
        self._n += one.n

    @property
    def counted(self) -> Counted:
        """What there is of each bucket by now."""
        if self._aggregation == 'count':
            return Counted(n=self._n, value=self._value)
        value = self._value / np.maximum(self._n, 1) if self._aggregation == 'mean' else self._value
        return Counted(n=self._n, value=np.where((self._n > 0) & np.isfinite(value), value, np.nan))


def across(several: Iterable[Counted], how: str) -> Counted:
    """Return the sum or the mean of several series in each bucket, over those that have a value there.

    Series are taken one after the other: no more than one is held beside the sums.
    """
    total, known, n = np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64)
    for at, one in enumerate(several):
        there = ~np.isnan(one.value)
        if at == 0:
            total, known, n = np.zeros(len(there)), np.zeros(len(there), np.int64), np.zeros(len(there), np.int64)
        with np.errstate(over='ignore', invalid='ignore'):
            total += np.where(there, one.value, 0)
        known += there
        n += one.n
    value = total if how == 'sum' else total / np.maximum(known, 1)
    return Counted(n=n, value=np.where((known > 0) & np.isfinite(value), value, np.nan))


def hours(t: Ints, zone: ZoneInfo) -> Ints:
    """Return the hours on the clock of a zone that sorted times lie in, numbered through."""
    return (t + offsets(t, zone)) // HOUR


def weekly(t: Ints, v: Floats, zone: ZoneInfo, aggregation: str) -> tuple[Ints, Floats]:
    """Return counts and one figure for each of the 168 hours of a week in a zone, from Monday 0:00 on."""
    hour = of_week(hours(t, zone)).astype(np.uint8)  # few numbers are sorted by counting
    order = np.argsort(hour, kind='stable')
    found = aggregated(hour[order].astype(np.int64), v[order], np.arange(169), aggregation)
    return found.n, found.value


def of_week(hour: Ints) -> Ints:
    """Return which of the 168 hours of a week an hour of `hours` is; 1970 began on a Thursday."""
    return (hour + 72) % 168


def offsets(t: Ints, zone: ZoneInfo) -> Ints:
    """Return by how many µs clocks in a zone are ahead of UTC at each of the sorted times."""
    if not len(t):
        return np.empty(0, np.int64)
    cuts, known = _changes(int(t[0]), int(t[-1]), zone)
    found: Ints = known[np.searchsorted(cuts, t, side='right') - 1]
    return found


def _changes(start: int, end: int, zone: ZoneInfo) -> tuple[Ints, Ints]:
    """Return when clocks change between two times, one time before them, and how far they are ahead from then on."""
    blocks = [_block(at, zone) for at in range(start // BLOCK, end // BLOCK + 1)]
    cuts, known = (np.concatenate(one) for one in zip(*blocks, strict=True))
    other = np.append(True, np.diff(known) != 0)
    return cuts[other], known[other]


@lru_cache(1024)
def _block(at: int, zone: ZoneInfo) -> tuple[Ints, Ints]:
    """Return the changes of clocks in a stretch of time, whose beginning goes before."""
    days = np.clip(np.arange(at * BLOCK, (at + 1) * BLOCK + 1, DAY), _FIRST * DAY, _LAST * DAY).tolist()
    ahead = [_ahead(day, zone) for day in days]
    cuts, known = [at * BLOCK], [ahead[0]]
    for day, until, before, after in zip(days, days[1:], ahead, ahead[1:], strict=False):
        if before != after:
            low, high = day, until
            while high - low > 1_000_000:
                middle = (low + high) // 2_000_000 * 1_000_000
                low, high = (middle, high) if _ahead(middle, zone) == before else (low, middle)
            cuts.append(high)
            known.append(after)
    return np.array(cuts, dtype=np.int64), np.array(known, dtype=np.int64)


def shifted(at: int, by: str, zone: ZoneInfo) -> int:
    """Return a time (µs) moved back by a duration: months by the calendar, days by the clock of the zone.

    UsageError when that lies before the year 1.
    """
    try:
        return _shifted(at, by, zone)
    except OverflowError as error:
        raise UsageError('The earlier period lies before the year 1.', place='query.compare') from error


def _shifted(at: int, by: str, zone: ZoneInfo) -> int:
    months, elapsed = duration(by)
    wall = (_EPOCH + timedelta(microseconds=at)).astimezone(zone).replace(tzinfo=None)
    if months:
        total = wall.year * 12 + wall.month - 1 - months
        year, month = divmod(total, 12)
        if year < 1:
            raise OverflowError
        wall = wall.replace(year=year, month=month + 1, day=min(wall.day, _days_in(year, month + 1)))
    if elapsed % DAY == 0:
        return _micros((wall - timedelta(microseconds=elapsed)).replace(tzinfo=zone))
    return at - elapsed


def later(t: Ints, by: str, zone: ZoneInfo) -> tuple[Ints, NDArray[np.bool_]]:
    """Return sorted times (µs) moved ahead by a duration, as `shifted` moves one back, and which have a place there.

    None has a day that its month lacks, an hour that clocks leap over, or the second of two that they go through: such
    times go to the next one that has.
    """
    months, elapsed = duration(by)
    if not len(t) or elapsed % DAY:
        return t + elapsed, np.ones(len(t), bool)
    cuts, known = _changes(int(t[0]) - DAY, int(t[-1]), zone)
    place = np.searchsorted(cuts, t, side='right') - 1
    twice = cuts + np.maximum(-np.diff(known, prepend=known[:1]), 0)  # until then
    once = t >= twice[place]
    day, clock = np.divmod(np.maximum(t, twice[place]) + known[place], DAY)
    day, there = day + elapsed // DAY, np.ones(len(t), bool)
    if months:
        month = day.astype('datetime64[D]').astype('datetime64[M]')
        begun, moved, ended = (one.astype('datetime64[D]').view(np.int64) for one in
                               (month, month + months, month + months + 1))  # fmt: skip
        day = moved + (day - begun)
        there = day < ended
        day, clock = np.minimum(day, ended), np.where(there, clock, 0)
    wall = day * DAY + clock
    cuts, known = _changes(int(wall.min()) - 2 * DAY, int(wall.max()) + 2 * DAY, zone)
    place = np.searchsorted(cuts[1:] + np.maximum(known[1:], known[:-1]), wall, side='right')
    found, until = wall - known[place], np.append(cuts[1:], LATEST)[place]
    return np.minimum(found, until), once & there & (found < until)


def _ahead(at: int, zone: ZoneInfo) -> int:
    ahead = (_EPOCH + timedelta(microseconds=at)).astimezone(zone).utcoffset() or timedelta()
    return ahead // timedelta(microseconds=1)


def _percentiles(v: Floats, begins: Ints, n: Ints, at: float) -> Floats:
    run = np.repeat(np.arange(len(begins)), n)
    ordered = v[np.lexsort((v, run))]
    place = begins + at * (n - 1)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, begins + n - 1)
    found: Floats = ordered[low] + (place - low) * (ordered[high] - ordered[low])
    return found


def _day(at: int, zone: ZoneInfo) -> date:
    try:
        return (_EPOCH + timedelta(microseconds=at)).astimezone(zone).date()
    except OverflowError as error:
        raise UsageError('The range reaches beyond the years 1 to 9999.', place='query.start') from error


def _midnights(days: Ints, zone: ZoneInfo) -> Ints:
    """Return when days (counted from 1970) begin in a zone (µs)."""
    if days[-1] - days[0] > SPARSE * len(days):
        return np.array([_midnight(day, zone) for day in days.tolist()], dtype=np.int64)
    noon = days * DAY
    cuts, known = _changes(int(noon[0]) - 2 * DAY, int(noon[-1]) + 2 * DAY, zone)
    before, after = (np.searchsorted(cuts, noon + by, side='right') - 1 for by in (-2 * DAY, 2 * DAY))
    found: Ints = noon - known[before]
    for at in np.flatnonzero(before != after).tolist():
        found[at] = _midnight(int(days[at]), zone)
    return found


def _midnight(day: int, zone: ZoneInfo) -> int:
    return _micros(datetime.combine(A_THURSDAY + timedelta(days=day), time(), tzinfo=zone))


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _number(day: date) -> int:
    return (day - A_THURSDAY).days


def _days(first: int, last: int, step: int, *, from_: int = 0) -> Ints:
    """Return every so many days, counted from 1970, from the one at or before the first to the one after the last."""
    days = from_ + step * np.arange((first - from_) // step, (last - from_) // step + 2)
    return _bounded(days)


def _bounded(days: Ints) -> Ints:
    """Return days within the calendar: what lies outside is its first or its last one, which is told once."""
    days = np.clip(days, _FIRST, _LAST)
    return days[: int(np.searchsorted(days, _LAST)) + 1]


def _months(first: int, last: int, step: int) -> Ints:
    begin, end = (A_THURSDAY + timedelta(days=day) for day in (first, last))
    numbers = range((begin.year * 12 + begin.month - 1) // step, (end.year * 12 + end.month - 1) // step + 2)
    return _bounded(np.array([_month(number * step) for number in numbers]))


def _month(number: int) -> int:
    """Return the first day of a month, which are counted from the year 0."""
    year, month = divmod(number, 12)
    return _FIRST if year < 1 else _LAST if year > 9999 else _number(date(year, month + 1, 1))


def _days_in(year: int, month: int) -> int:
    return (date(year + month // 12, month % 12 + 1, 1) - date(year, month, 1)).days
