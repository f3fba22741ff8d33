"""What a chart asks of a version, checked, and in one form for its URL, its cache key and its ETag."""

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.errors import UsageError

KINDS: Final = ('line', 'envelope', 'buckets', 'ohlc', 'histogram', 'box', 'hours', 'top', 'marks')
AGGREGATES: Final = ('mean', 'sum', 'min', 'max', 'first', 'last', 'count')
ACROSS: Final = ('sum', 'mean')
OPERATORS: Final = ('eq', 'ne', 'lt', 'le', 'gt', 'ge', 'in')
INDICATORS: Final = {
    'mean': (20.0,),
    'bollinger': (20.0, 2.0),
    'ema': (20.0,),
    'rsi': (14.0,),
    'macd': (12.0, 26.0, 9.0),
}
DURATION: Final = re.compile(
    r'P(?=\d|T\d)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?'
)
PERCENTILE: Final = re.compile(r'p(\d{1,2}(?:\.\d{1,3})?|100)')
MOST_LINES: Final = 50
MOST_MEASURES: Final = 50
MOST_WIDTH: Final = 10_000
MOST_FILTERS: Final = 20
DIVIDER: Final = '~'
EVERY_SERIES: Final = '*'


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Rows or series that count: those whose `column` is related to `values` by `relation` (see OPERATORS)."""

    column: str
    relation: str
    values: tuple[str, ...]

    @property
    def text(self) -> str:
        """Its form in a URL."""
        return DIVIDER.join(_escaped(part) for part in (self.column, self.relation, *self.values))

    @classmethod
    def parsed(cls, text: str) -> 'Filter':
        """Read the form in a URL; UsageError when it is none."""
        column, relation, *values = [*_parts(text), '', ''][: max(2, len(_parts(text)))]
        return cls(column=column, relation=relation, values=tuple(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """An indicator over each line: a name of INDICATORS and its numbers, of which bars are whole."""

    name: str
    numbers: tuple[float, ...] = ()

    @property
    def text(self) -> str:
        """Its form in a URL."""
        return DIVIDER.join((self.name, *(f'{number:g}' for number in self.numbers)))

    @classmethod
    def parsed(cls, text: str) -> 'Overlay':
        """Read the form in a URL; UsageError when it is none."""
        name, *numbers = text.split(DIVIDER)
        try:
            return cls(name=name, numbers=tuple(float(number) for number in numbers))
        except ValueError as error:
            raise UsageError(f'"{text[:40]}" is no indicator.', place='query.overlay') from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question to one version. Times are µs since 1970 UTC, both included, None = as far as the data goes.

    `kind` is one of KINDS; `series` are labels, none for all of them. `every` is an ISO 8601 duration of calendar
    buckets in `zone`, or `auto` (as many as `width` pixels bear). `aggregation` is one of AGGREGATES or a percentile
    such as p95; `group` a key column whose series become one line each by `across`, `*` makes one line of all series;
    `top` leaves the greatest lines by `by` over the range. `measures` of `ohlc` are open, high, low and close (a single
    one serves as all four), `volume` is what is summed beside them. `compare` is the duration by which an earlier
    period is drawn along.
    """

    kind: str = 'line'
    measures: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    start: int | None = None
    end: int | None = None
    width: int = 1000
    every: str = ''
    aggregation: str = 'mean'
    zone: str = 'UTC'
    group: str = ''
    across: str = 'sum'
    top: int = 0
    by: str = 'sum'
    filters: tuple[Filter, ...] = ()
    bins: int = 40
    volume: str = ''
    overlays: tuple[Overlay, ...] = ()
    compare: str = ''

    def canonical(self) -> list[tuple[str, str]]:
        """Return the parameters that differ from the usual ones, in a fixed order: the same question, the same form."""
        usual, told = Query(), []
        for field in fields(self):
            value = getattr(self, field.name)
            if value == getattr(usual, field.name):
                continue
            values = value if isinstance(value, tuple) else (value,)
            told += [(field.name, one.text if isinstance(one, Filter | Overlay) else str(one)) for one in values]
        return told

    @property
    def key(self) -> str:
        """The same for the same question: for cache keys and entity tags, beside the version's id."""
        return hashlib.sha256(repr(self.canonical()).encode('utf-8', 'surrogatepass')).hexdigest()

    @classmethod
    def parsed(cls, told: Iterable[tuple[str, str]]) -> 'Query':
        """Read the canonical form; UsageError for a parameter that is not known or no number where one is needed."""
        given: dict[str, list[str]] = {}
        for name, value in told:
            given.setdefault(name, []).append(value)
        usual = cls()
        if unknown := sorted(set(given) - {field.name for field in fields(cls)}):
            raise UsageError(f'"{unknown[0][:40]}" is no part of a query.', place=f'query.{unknown[0][:40]}')
        made: dict[str, object] = {}
        for name, values in given.items():
            if name == 'measures':  # of candles open, high, low and close, which may be the same one
                made[name] = tuple(values)
            elif name == 'series':
                made[name] = tuple(dict.fromkeys(values))  # one that is named twice would be counted twice
            elif name == 'filters':
                made[name] = tuple(Filter.parsed(value) for value in values)
            elif name == 'overlays':
                made[name] = tuple(Overlay.parsed(value) for value in values)
            elif name in ('start', 'end', 'width', 'top', 'bins'):
                made[name] = _whole(name, values[-1])
            else:
                made[name] = values[-1]
        if made.get('kind') != 'ohlc' and 'measures' in made:
            made['measures'] = tuple(dict.fromkeys(given['measures']))
        return replace(usual, **made)  # type: ignore[arg-type]

    def checked(self, *, measures: Sequence[str], keys: Sequence[str], columns: Sequence[str]) -> 'Query':
        """Return the query when a version with these names can answer it; UsageError says what it cannot."""
        if not self.measures:
            raise UsageError('A chart needs at least one measure.', place='query.measures')
        if len(self.measures) > MOST_MEASURES:
            raise UsageError(f'At most {MOST_MEASURES} measures are drawn.', place='query.measures')
        _one_of(self.kind, KINDS, 'kind')
        for name in (*self.measures, *([self.volume] if self.volume else [])):
            if name not in measures:
                raise UsageError(f'"{name}" is no measure of this dataset.', place='query.measures')
        if not 1 <= self.width <= MOST_WIDTH:
            raise UsageError(f'A chart is between 1 and {MOST_WIDTH} pixels wide.', place='query.width')
        if self.start is not None and self.end is not None and self.start > self.end:
            raise UsageError('The start of the range lies after its end.', place='query.start')
        if not PERCENTILE.fullmatch(self.aggregation):
            _one_of(self.aggregation, AGGREGATES, 'aggregation')
        if not PERCENTILE.fullmatch(self.by):
            _one_of(self.by, AGGREGATES, 'by')
        _one_of(self.across, ACROSS, 'across')
        if self.every not in ('', 'auto') and not lasts(self.every):
            raise UsageError('Buckets are a duration such as PT15M, P1D or P1M.', place='query.every')
        if self.compare and not lasts(self.compare):
            raise UsageError('An earlier period is a duration such as P7D or P1Y.', place='query.compare')
        if self.group and self.group not in (*keys, EVERY_SERIES):
            raise UsageError(f'"{self.group}" is no key of this dataset.', place='query.group')
        if self.kind == 'ohlc' and len(self.measures) not in (1, 4):
            raise UsageError(
                'Candles are made of one measure, or of open, high, low and close.', place='query.measures'
            )
        if not 0 <= self.top <= MOST_LINES or not 1 <= self.bins <= 1000:
            raise UsageError(f'At most {MOST_LINES} series and 1,000 bins are drawn.', place='query.top')
        if len(self.filters) > MOST_FILTERS:
            raise UsageError(f'At most {MOST_FILTERS} filters fit.', place='query.filters')
        for one in self.filters:
            _one_of(one.relation, OPERATORS, 'filters')
            if one.column not in columns or not one.values:
                raise UsageError(f'"{one.column}" cannot be filtered by.', place='query.filters')
        for overlay in self.overlays:
            _check_overlay(overlay)
        known_zone(self.zone)
        return self


def duration(text: str) -> tuple[int, int]:
    """Return an ISO 8601 duration as calendar months and µs; UsageError when it is none."""
    found = DURATION.fullmatch(text)
    if not found:
        raise UsageError(f'"{text[:40]}" is no duration such as PT15M, P1D or P1Y.')
    years, months, weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    elapsed = ((((weeks * 7 + days) * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000_000
    if years > 1000 or months > 12_000 or elapsed > 2**58:
        raise UsageError(f'"{text[:40]}" is longer than a thousand years.')
    return years * 12 + months, elapsed


def lasts(text: str) -> bool:
    """Whether a text is a duration that buckets can last: calendar months or elapsed time, not both, and not none."""
    try:
        months, elapsed = duration(text)
    except UsageError:
        return False
    return bool(months) != bool(elapsed)


def known_zone(name: str) -> ZoneInfo:
    """Return a time zone by its name; UsageError when there is none of that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(
            f'"{name[:40]}" is no time zone. Choose one such as Europe/Berlin.', place='query.zone'
        ) from error


def _check_overlay(overlay: Overlay) -> None:
    _one_of(overlay.name, tuple(INDICATORS), 'overlays')
    usual = INDICATORS[overlay.name]
    if len(overlay.numbers) not in (0, len(usual)):
        raise UsageError(f'"{overlay.name}" takes {len(usual)} numbers.', place='query.overlays')
    for at, number in enumerate(overlay.numbers):
        whole = not (overlay.name == 'bollinger' and at == 1)
        if not math.isfinite(number) or number <= 0 or number > 5000 or (whole and number != int(number)):
            raise UsageError('Indicators reach over 1 to 5,000 bars.', place='query.overlays')


def _one_of(value: str, known: Sequence[str], name: str) -> None:
    if value not in known:
        raise UsageError(f'"{value[:40]}" is not among {", ".join(known)}.', place=f'query.{name}')


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f'"{text[:40]}" is no whole number.', place=f'query.{name}') from error


def _escaped(text: str) -> str:
    return text.replace('\\', '\\\\').replace(DIVIDER, '\\' + DIVIDER)


def _parts(text: str) -> list[str]:
    parts, escaped = [''], False
    for letter in text:
        if escaped:
            parts[-1] += letter
            escaped = False
        elif letter == '\\':
            escaped = True
        elif letter == DIVIDER:
            parts.append('')
        else:
            parts[-1] += letter
    return parts
