"""Calendar and holiday features, for steps of a day or less whose dates are real; holidays for any step."""

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np

from core.analysis.forecasting.frequency import DAY, Array, Step
from core.analysis.forecasting.repair import Series
from core.errors import UsageError

REAL = 0.3
"""Dates count as real when weekday profiles of different series agree at least this much (mean correlation)."""
MOST_PROFILES = 200
PROFILE_WEEKS = 20
FEW_SERIES = 5
WEEK = 7


def usable(panel: Sequence[Series], ends: Sequence[int]) -> bool:
    """Return whether calendar features mean anything here, judged by the first `ends` points of each series."""
    step = panel[0].step
    if step.unit == 'month' or (step.unit == 'fixed' and step.size > DAY):
        return False
    return _dates_are_real(panel, ends, max(1, DAY // step.size if step.unit == 'fixed' else 1))


def columns(stamps: Array) -> Mapping[str, Array]:
    """Return weekday (0 is Monday), day of the month, month and hour of stamps (any shape)."""
    days = stamps.astype('datetime64[D]')
    months = days.astype('datetime64[M]')
    return {
        'weekday': _weekday(days),
        'day of month': (days - months.astype('datetime64[D]')).astype(np.int64) + 1,
        'month': months.astype(np.int64) % 12 + 1,
        'hour': (stamps - days).astype('timedelta64[m]').astype(np.int64) // 60,
    }


def holiday_columns(stamps: Array, country: str, *, step: Step) -> Mapping[str, Array]:
    """Return columns of a country's holidays at stamps (N).

    For steps of a day or less: whether the day is a holiday, is before one, is after one. For longer steps: how many
    holidays lie within it, from its stamp on and up to its stamp (weeks may be named by either end).

    Raises:
        UsageError: no holidays are known of the country.
    """
    days = stamps.astype('datetime64[D]')
    free = np.array(sorted(named(country, days)), dtype='datetime64[D]')
    if step.unit == 'month':
        months = days.astype('datetime64[M]')
        first, after = months.astype('datetime64[D]'), (months + step.size).astype('datetime64[D]')
        return {'holidays': _between(free, first, after)}
    if step.unit == 'fixed' and step.size > DAY:
        length = np.timedelta64(step.size // DAY, 'D')
        one = np.timedelta64(1, 'D')
        return {
            'holidays from here': _between(free, days, days + length),
            'holidays up to here': _between(free, days - length + one, days + one),
        }
    return {
        'holiday': np.isin(days, free).astype(float),
        'day before a holiday': np.isin(days + 1, free).astype(float),
        'day after a holiday': np.isin(days - 1, free).astype(float),
    }


def holiday_names(stamps: Array, country: str) -> list[str]:
    """Return the names of holidays in the years of stamps (N), in the order of their codes."""
    return sorted(set(named(country, stamps.astype('datetime64[D]')).values()))


def holiday_codes(stamps: Array, country: str, names: Sequence[str] | None = None) -> Array:
    """Return a number for each holiday's name at stamps (N), alike in all years; 0 on other days.

    Names are those of the stamps' years, or the `names` given: other holidays have 0 then.
    """
    days = stamps.astype('datetime64[D]')
    found = named(country, days)
    codes = {name: place + 1 for place, name in enumerate(holiday_names(stamps, country) if names is None else names)}
    unique, back = np.unique(days, return_inverse=True)
    table = np.array([codes.get(found.get(day, ''), 0) for day in unique.tolist()], dtype=float)
    return table[back]


def named(country: str, days: Array) -> Mapping[date, str]:
    """Return the holidays of a country by date, in the years of `days`. Raise UsageError for an unknown country."""
    import holidays

    years = np.unique(days.astype('datetime64[Y]')).astype(np.int64) + 1970
    try:
        return dict(holidays.country_holidays(country, years=range(int(years[0]), int(years[-1]) + 2)))
    except NotImplementedError as error:
        raise UsageError(f'There are no holidays of "{country}". Name a country by its code, such as DE.') from error


def _between(free: Array, first: Array, after: Array) -> Array:
    return (np.searchsorted(free, after) - np.searchsorted(free, first)).astype(float)


def _weekday(days: Array) -> Array:
    return np.asarray((days.astype(np.int64) + 3) % WEEK)


def _dates_are_real(panel: Sequence[Series], ends: Sequence[int], per_day: int) -> bool:
    """Return whether the weekday profiles of series agree: start dates of published collections may be made up."""
    profiles = []
    for series, end in zip(panel[:MOST_PROFILES], ends, strict=False):
        values, stamps = series.past(end), series.stamps[:end]
        whole = min(len(values) // per_day, PROFILE_WEEKS * WEEK)
        if whole < 3 * WEEK:
            continue
        daily = values[-whole * per_day :].reshape(whole, per_day).mean(axis=1)
        weekday = _weekday(stamps[-whole * per_day :: per_day].astype('datetime64[D]'))
        sums, counts = np.bincount(weekday, daily, WEEK), np.bincount(weekday, minlength=WEEK)
        profile = (sums / np.maximum(counts, 1))[counts > 0]
        if len(profile) >= FEW_SERIES and np.std(profile) > 0:
            full = np.zeros(WEEK)
            full[counts > 0] = (profile - profile.mean()) / np.std(profile)
            profiles.append(full)
    if len(profiles) < FEW_SERIES:
        return True
    table = np.stack(profiles)
    count = len(table)
    agreement = (np.linalg.norm(table.sum(axis=0)) ** 2 - count * WEEK) / (count * (count - 1) * WEEK)
    return bool(agreement > REAL)
