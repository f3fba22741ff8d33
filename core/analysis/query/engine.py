"""A query to a stored version becomes an answer: which series, which rows, drawn how."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cache
from time import monotonic
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from core.analysis.query import buckets, coarse, gaps, points, statistics
from core.analysis.query.indicators import indicator, warm_up
from core.analysis.query.marks import Mark
from core.analysis.query.points import View
from core.analysis.query.request import AGGREGATES, EVERY_SERIES, MOST_LINES, Filter, Overlay, Query, known_zone
from core.analysis.query.stored import EARLIEST, LATEST, Buckets, Floats, Ints, Rows, Stored, fixed, there
from core.analysis.query.wire import Answer, Part
from core.errors import TooLarge, UsageError

MOST_VALUES: Final = 20_000_000
MOST_READ: Final = 4_000_000  # values of which a spread is told exactly
MOST_SUMMARIES: Final = 2_000_000
MOST_SERIES: Final = 5000
MOST_CELLS: Final = 20_000_000  # buckets of all series and measures together
MOST_POINTS: Final = 500_000  # of all lines of an answer together
FEW: Final = 100_000  # rows of a series that are soon read
PATIENCE: Final = 20.0  # seconds that one answer may keep a thread
A_BUCKET: Final = 4  # pixels of a bucket whose step is chosen for the screen
OPEN, HIGH, LOW, CLOSE = range(4)
NUMERIC: Final = ('int', 'uint', 'decimal', 'double', 'float', 'half')
_NONE: Final = np.empty(0)


def answer(stored: Stored, query: Query) -> Answer:
    """Return what a query finds; UsageError when it asks for what is not there, TooLarge for too many values."""
    query.checked(measures=stored.measures, keys=stored.keys, columns=tuple(stored.kinds()))
    asked = _Asked(stored, query)
    stored.warm()
    # What waits for a network keeps no core busy, and what reads very much must not hold up the others.
    if asked.light and not stored.far:
        return _workers().submit(_answered, asked, query).result()
    return _answered(asked, query)


@cache
def _workers() -> ThreadPoolExecutor:
    """A thread a core, for windows that keep one busy for a few milliseconds.

    More of them would share the cores and all end late; one after the other, most end early and none later.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return ThreadPoolExecutor(cores, thread_name_prefix='windows')


def _answered(asked: '_Asked', query: Query) -> Answer:
    parts = {
        'line': asked.lines,
        'envelope': asked.lines,
        'buckets': asked.lines,
        'ohlc': asked.candles,
        'histogram': asked.histograms,
        'box': asked.boxes,
        'hours': asked.hours,
        'top': asked.bars,
        'marks': asked.faults,
    }[query.kind]()
    rows = sum(part.n for part in parts if part.role == 'value')
    return Answer(
        kind=query.kind,
        start=asked.view.start / 1000,
        end=asked.view.end / 1000,
        width=query.width,
        rows_behind=rows,
        points_per_pixel=rows / query.width,
        exact=asked.exact,
        span=None if asked.span is None else (asked.span[0] / 1000, asked.span[1] / 1000),
        lines=tuple(parts),
        note=asked.note,
        gaps=gaps.common(asked.gaps),
        marked=asked.marked,
        marks=asked.marks,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """A line to draw: a name and the series that make it."""

    name: str
    labels: tuple[str, ...]


class _Asked:
    """One query on its way to an answer."""

    def __init__(self, stored: Stored, query: Query) -> None:
        self._stored, self._query, self._until = stored, query, monotonic() + PATIENCE
        self._zone: ZoneInfo = known_zone(query.zone)
        self._labels = self._chosen_labels()
        self._masks = [one for one in query.filters if one.column not in stored.keys]
        self._kinds = stored.kinds()
        self.exact, self.note = True, ''
        self.marks: tuple[Mark, ...] = ()
        self.marked = 0
        self.gaps: list[list[gaps.Interval]] = []
        self.span = stored.span(self._labels)
        first, last = self.span or (0, 0)
        start = first if query.start is None else query.start
        end = max(start, last) if query.end is None else query.end
        self.view = View(start=min(start, end), end=end, width=query.width)

    @property
    def light(self) -> bool:
        """Whether this takes as long as a screen is wide, and not as long as the data are."""
        return (
            not (self._stepped or self._masks or self._query.overlays or self._query.top) and self._query.kind == 'line'
        )

    # What is drawn

    def lines(self) -> list[Part]:
        """Points, envelopes or buckets, each line with its indicators and what was before."""
        groups = self._groups(MOST_LINES // len(self._query.measures) or 1)
        made = self._bucketed if self._stepped else self._pointed
        if self._stepped:
            self._weigh(groups)
        parts: list[Part] = []
        for group in groups:
            parts += made(group, self.view)
            _fits(parts)
        if self._query.compare:
            parts += self._earlier(groups, made)
            _fits(parts)
        return parts

    def _weigh(self, groups: Sequence[_Group]) -> None:
        """Raise TooLarge when series, buckets and measures are more together than each of them may be alone."""
        series, buckets_ = sum(len(group.labels) for group in groups), len(self._cuts(self.view, 0)[0]) - 1
        if (cells := series * buckets_ * len(self._query.measures)) > MOST_CELLS:
            raise TooLarge(
                f'{series:,} series in {buckets_:,} buckets are {cells:,} figures, more than {MOST_CELLS:,}. '
                'Choose longer buckets, a shorter range or fewer series.'
            )

    def _go_on(self) -> None:
        """Raise TooLarge when this has taken so long that others must have their turn."""
        if monotonic() > self._until:
            raise TooLarge(
                f'This takes longer than {PATIENCE:g} seconds and was stopped. '
                'Choose a shorter range, fewer series or fewer filters.'
            )

    def candles(self) -> list[Part]:
        """Open, high, low and close of each bucket, with the sum of the volume."""
        measures = self._query.measures * (1 if len(self._query.measures) == 4 else 4)
        parts = []
        for group in self._groups(MOST_LINES):
            if len(group.labels) > 1:
                raise UsageError('Candles are drawn of a series, not of a group.', place='query.group')
            warm = max((warm_up(one.name, one.numbers) for one in self._query.overlays), default=0)
            cuts, shown = self._cuts(self.view, warm)
            found = self._candles(group.labels[0], measures, cuts)
            columns = {'t': cuts[:-1][shown] / 1000, 'until': cuts[1:][shown] / 1000}
            columns |= {name: one.value[shown] for name, one in found.items()}
            if self._query.volume:
                columns['volume'] = self._counted(group.labels[0], self._query.volume, cuts, 'sum').value[shown]
            columns['n'] = found['close'].n[shown].astype(np.float64)
            title = _named(group.name, measures[CLOSE])
            n = int(found['close'].n[shown].sum())
            parts.append(Part(name=title, series=group.name, measure=measures[CLOSE], columns=columns, n=n))
            parts += self._over(parts[-1], cuts[:-1], found['close'].value, shown)
            _fits(parts)
        self.exact = False
        return parts

    def _candles(self, label: str, measures: Sequence[str], cuts: Ints) -> dict[str, buckets.Counted]:
        """The four figures of candles; rows of a measure are read once, and for the extremes alone not at all."""
        wanted = {
            'open': (measures[OPEN], 'first'),
            'high': (measures[HIGH], 'max'),
            'low': (measures[LOW], 'min'),
            'close': (measures[CLOSE], 'last'),
        }
        read = {
            measure: self._read(label, measure, cuts, [how for name, how in wanted.values() if name == measure])
            for measure in dict.fromkeys((measures[OPEN], measures[CLOSE]))
        }
        return {
            name: read[measure][how] if measure in read else self._counted(label, measure, cuts, how)
            for name, (measure, how) in wanted.items()
        }

    def histograms(self) -> list[Part]:
        """Edges of bins and how many values lie in each."""
        bins = self._query.bins
        return self._of_values(
            lambda v: _named_columns(('edges', 'count'), statistics.histogram(v, bins)),
            lambda summaries: _named_columns(('edges', 'count'), statistics.spread_histogram(summaries, bins)),
        )

    def boxes(self) -> list[Part]:
        """Quartiles, whiskers and mean, a column of one number each."""

        def columns(box: statistics.Box | None) -> dict[str, Floats]:
            names = [field.name for field in fields(statistics.Box)]
            return {name: np.array([] if box is None else [getattr(box, name)], dtype=np.float64) for name in names}

        return self._of_values(
            lambda v: columns(statistics.box(v)), lambda summaries: columns(statistics.spread_box(summaries))
        )

    def hours(self) -> list[Part]:
        """One figure for each of the 168 hours of a week."""
        parts = []
        for group in self._groups(MOST_LINES):
            for measure in self._query.measures:
                n, value = self._weekly(group, measure)
                columns = {'value': value, 'n': n.astype(np.float64)}
                name = _named(group.name, measure)
                parts.append(Part(name=name, series=group.name, measure=measure, columns=columns, n=int(n.sum())))
        self.exact = False
        return parts

    def _weekly(self, group: _Group, measure: str) -> tuple[Ints, Floats]:
        aggregation = self._query.aggregation
        if aggregation in coarse.AGGREGATES and not self._masks:
            found = [self._hourly(label, measure) for label in group.labels]
            parts = coarse.joined(found)
            return coarse.folded(replace(parts, place=buckets.of_week(parts.place)), 168, aggregation)
        pooled = self._pooled(group, measure)
        return buckets.weekly(pooled.first, pooled.total, self._zone, aggregation)

    def _hourly(self, label: str, measure: str) -> coarse.Gathered:
        self._go_on()
        known = coarse.gathered(
            self._stored, measure, label, lambda t: buckets.hours(t, self._zone),
            start=self.view.start, end=self.view.end, length=buckets.HOUR, aggregation=self._query.aggregation,
        )  # fmt: skip
        if known is not None:
            return known
        values = self._rows(label, measure, self.view.start, self.view.end)
        return coarse.Gathered(place=buckets.hours(values.first, self._zone), n=values.n, value=values.total)

    def bars(self) -> list[Part]:
        """The greatest series or groups by one figure over the range, the greatest first."""
        parts = []
        for measure in self._query.measures:
            for value, n, group in self._ranked(measure)[: self._query.top or 10]:
                columns = {'value': np.array([value])}
                name = _named(group.name, measure)
                parts.append(Part(name=name, series=group.name, measure=measure, columns=columns, n=n))
        self.exact = False
        return parts

    def faults(self) -> list[Part]:
        """No line: what was wrong with what the lines of the same question show is told in `marks`."""
        groups = self._groups(MOST_LINES // len(self._query.measures) or 1)
        if (known := self._stored.marks) is not None:
            lines = {label: group.name for group in groups for label in group.labels}
            self.marks, self.marked = known.within(
                lines, self._query.measures, start=self.view.start, end=self.view.end
            )
            self.note = known.note
        return []

    # Which series

    def _chosen_labels(self) -> tuple[str, ...]:
        stored, query = self._stored, self._query
        if unknown := [label for label in query.series if not stored.count(label)]:
            raise UsageError(f'There is no series "{unknown[0][:80]}" in this dataset.', place='query.series')
        labels = query.series or stored.labels
        for one in query.filters:
            if one.column in stored.keys:
                labels = tuple(label for label in labels if self._chosen(label, one))
        if len(labels) > MOST_SERIES:
            raise TooLarge(f'{len(labels):,} series are read at most {MOST_SERIES:,} at once. Filter them by a key.')
        return tuple(labels)

    def _chosen(self, label: str, one: Filter) -> bool:
        self._go_on()
        return _related(self._stored.key_values(label)[one.column], one)

    def _all_groups(self) -> list[_Group]:
        if not self._query.group:
            return [_Group(name=label, labels=(label,)) for label in self._labels]
        if self._query.group == EVERY_SERIES:
            return [_Group(name='all series', labels=self._labels)] if self._labels else []
        found: dict[str, list[str]] = {}
        for label in self._labels:
            found.setdefault(self._stored.key_values(label)[self._query.group], []).append(label)
        return [_Group(name=name, labels=tuple(found[name])) for name in sorted(found)]

    def _groups(self, most: int) -> list[_Group]:
        if self._query.top:
            ranked = self._ranked(self._query.measures[0])[: min(self._query.top, most)]
            return [group for _, _, group in ranked]
        groups = self._all_groups()
        if len(groups) > most:
            raise UsageError(
                f'A chart shows at most {MOST_LINES} lines, not {len(groups) * len(self._query.measures)}. '
                'Choose fewer, group them or show the greatest.',
                place='query.series',
            )
        return groups

    def _ranked(self, measure: str) -> list[tuple[float, int, _Group]]:
        found = []
        for group in self._all_groups():
            one = buckets.across((self._figure(label, measure) for label in group.labels), self._query.across)
            if one.n[0]:
                found.append((float(one.value[0]), int(one.n[0]), group))
        return sorted(found, key=lambda one: (-one[0], one[2].name))

    def _figure(self, label: str, measure: str) -> buckets.Counted:
        """One figure of a series over the range."""
        cuts = np.array([self.view.start, self.view.end + 1])
        return self._counted(label, measure, cuts, self._query.by)

    # Which rows

    def _rows(self, label: str, measure: str, start: int, end: int, *, share: int = 1) -> Buckets:
        """The values of a series that the filters leave; TooLarge before very many are read."""
        columns, rows, most = len(self._columns(measure)), self._stored.count(label), MOST_VALUES // share
        if rows * columns > most:
            rows = self._stored.size(label, start=start, end=end)
        if rows * columns > most:
            raise TooLarge(
                f'{rows * columns:,} values of one series are more than the {most:,} that are read at once. '
                'Choose a shorter range, or a figure of buckets such as the mean.'
            )
        return Buckets.join([*self._pieces(label, measure, start, end)] or [Buckets.of(np.empty(0, np.int64), _NONE)])

    def _columns(self, measure: str) -> list[str]:
        return list(dict.fromkeys([measure, *(one.column for one in self._masks if self._is_number(one.column))]))

    def _pieces(self, label: str, measure: str, start: int, end: int) -> Iterator[Buckets]:
        """Yield the values of a series that the filters leave, one row group after the other."""
        words = [
            None if self._is_number(one.column) else self._stored.words(label, one.column, start=start, end=end)
            for one in self._masks
        ]
        for rows in self._stored.pieces(label, self._columns(measure), start=start, end=end):
            self._go_on()
            if not self._masks:
                yield points.finite(rows, measure)
                continue
            keep = np.ones(len(rows.t), bool)
            for one, texts in zip(self._masks, words, strict=True):
                keep &= _compared(rows.columns[one.column], one) if texts is None else _said(next(texts), one)
            yield points.finite(Rows(t=rows.t[keep], columns={measure: rows.columns[measure][keep]}), measure)

    def _is_number(self, column: str) -> bool:
        return self._kinds[column].startswith(NUMERIC)

    def _counted(self, label: str, measure: str, cuts: Ints, aggregation: str) -> buckets.Counted:
        self._go_on()
        start, end = int(cuts[0]), int(cuts[-1]) - 1
        if aggregation in coarse.AGGREGATES and not self._masks and len(cuts) > 1:
            found = coarse.gathered(
                self._stored, measure, label, lambda t: np.searchsorted(cuts, t, side='right') - 1,
                start=start, end=end, length=int(np.diff(cuts).max()), aggregation=aggregation,
            )  # fmt: skip
            if found is not None:
                n, value = coarse.folded(found, len(cuts) - 1, aggregation)
                return buckets.Counted(n=n, value=value)
        if aggregation in AGGREGATES:
            return self._read(label, measure, cuts, [aggregation])[aggregation]
        values = self._rows(label, measure, start, end)
        return buckets.aggregated(values.first, values.total, cuts, aggregation)

    def _read(self, label: str, measure: str, cuts: Ints, aggregations: Sequence[str]) -> Mapping[str, buckets.Counted]:
        """Figures of a series by its rows, one row group in memory at a time."""
        found = {one: buckets.Folded(len(cuts) - 1, one) for one in aggregations}
        for values in self._pieces(label, measure, int(cuts[0]), int(cuts[-1]) - 1):
            for one in found.values():
                one.add(values.first, values.total, cuts)
        return {name: one.counted for name, one in found.items()}

    def _values(self, group: _Group, measure: str) -> list[Buckets]:
        """The values of a group in the range, series by series."""
        if (rows := sum(self._stored.count(label) for label in group.labels)) > MOST_VALUES:
            raise TooLarge(f'{rows:,} rows are more than {MOST_VALUES:,}. Choose fewer series.')
        return [self._rows(label, measure, self.view.start, self.view.end) for label in group.labels]

    def _pooled(self, group: _Group, measure: str) -> Buckets:
        """All values of a group in the range, in order of time."""
        found = self._values(group, measure)
        pooled = Buckets.join(found)
        return pooled if len(found) == 1 else pooled.where(np.argsort(pooled.first, kind='stable'))

    def _of_values(
        self, columns: Callable[[Floats], Mapping[str, Floats]], near: Callable[[Buckets], Mapping[str, Floats]]
    ) -> list[Part]:
        """What values amount to by `columns`; by summaries and `near` when they are very many and none is left out."""
        parts, groups = [], self._groups(MOST_LINES)
        many = self._masks == [] and self._many(groups)
        for group in groups:
            for measure in self._query.measures:
                name = _named(group.name, measure)
                if many and (summaries := self._summaries(group, measure)).n.sum() > len(summaries.n):
                    found, n = near(summaries), int(summaries.n.sum())
                    self.note = (
                        f'{int(n):,} values are told by {len(summaries.n):,} summaries: their number, mean, least and '
                        'greatest are exact, what lies between is near.'
                    )
                else:
                    v = np.concatenate([values.total for values in self._values(group, measure)])
                    found, n = columns(v), len(v)
                parts.append(Part(name=name, series=group.name, measure=measure, columns=found, n=n))
        self.exact = False
        return parts

    def _many(self, groups: Sequence[_Group]) -> bool:
        """Whether the range holds so many values that reading them takes longer than one waits for a chart."""
        labels, measures = [label for group in groups for label in group.labels], len(self._query.measures)
        if sum(self._stored.count(label) for label in labels) * measures <= MOST_READ:
            return False
        view = self.view
        return sum(self._stored.size(label, start=view.start, end=view.end) for label in labels) * measures > MOST_READ

    def _summaries(self, group: _Group, measure: str) -> Buckets:
        """Summaries of a group's values in the range, by the finest level that is not too many of them."""
        known = {label: self._stored.line(measure, label) for label in group.labels}
        most = MOST_SUMMARIES // len(group.labels)
        found = [
            self._rows(label, measure, self.view.start, self.view.end)
            if line is None
            else points.of_level(self._stored, coarse.finest(line, most), measure, label, self.view)
            for label, line in known.items()
        ]
        return Buckets.join(found)

    # Lines

    @property
    def _stepped(self) -> bool:
        return bool(self._query.every or self._query.group or self._query.kind == 'buckets')

    def _pointed(self, group: _Group, view: View) -> list[Part]:
        label, parts = group.labels[0], []
        self._go_on()
        if self._masks or self._query.overlays or self._query.kind == 'envelope' or self._sparse(label):
            for measure in self._query.measures:
                parts += self._pointed_by_rows(label, measure, view)
            return parts
        found = points.lines(self._stored, self._query.measures, label, view)
        return [self._part(one, label, measure) for one, measure in zip(found, self._query.measures, strict=True)]

    def _sparse(self, label: str) -> bool:
        """Whether measures are so few values among so many rows that these are not read beyond the range."""
        rows, measures = self._stored.count(label), self._query.measures
        if rows * len(measures) <= MOST_VALUES:
            return False
        return rows * sum(self._stored.line(measure, label) is None for measure in measures) > MOST_VALUES

    def _pointed_by_rows(self, label: str, measure: str, view: View) -> list[Part]:
        known = None if self._masks or self._query.overlays else self._stored.line(measure, label)
        if known is not None:
            values, gap = points.within(self._stored, known, measure, label, view), known.gap
            span: tuple[int, int] | None = self._stored.ends(known)
        else:
            # What is no gap is told by the whole line, where that is soon read.
            share = 10 if self._query.overlays else 1
            few = not self._masks and self._stored.count(label) <= min(FEW, MOST_VALUES // share)
            bounds = (EARLIEST, LATEST) if few else (view.start, view.end)
            values = self._rows(label, measure, *bounds, share=share)
            gap = gaps.interruption(values.first) if len(values.n) else 0
            span = (int(values.first[0]), int(values.last[-1])) if len(values.n) else None
            inside = slice(np.searchsorted(values.first, view.start), np.searchsorted(values.first, view.end, 'right'))
            values = values.where(inside)
        if self._query.kind == 'envelope':
            if view is self.view:
                found = gaps.seen(values, start=view.start, end=view.end, pixel=view.pixel, gap=gap, span=span)
                if found or len(values.n):  # a line without values is no reason to see none
                    self.gaps.append(found)
            t, mean, low, high = points.envelope(values, view, gap=gap)
            self.exact &= values.plain and len(values.n) <= points.A_PIXEL * view.width
            columns = {'t': t / 1000, 'y': mean, 'low': low, 'high': high}
            name, n = _named(label, measure), int(values.n.sum())
            part = Part(name=name, series=label, measure=measure, columns=columns, n=n)
        else:
            part = self._part(points.chosen(values, view, gap=gap), label, measure)
        return [part, *self._over_values(part, values, label, measure, view)]

    def _part(self, one: points.Drawn, label: str, measure: str) -> Part:
        self.exact &= one.exact
        columns = {'t': one.t / 1000, 'y': one.y}
        return Part(name=_named(label, measure), series=label, measure=measure, columns=columns, n=one.n)

    def _bucketed(self, group: _Group, view: View) -> list[Part]:
        parts = []
        warm = max((warm_up(one.name, one.numbers) for one in self._query.overlays), default=0)
        cuts, shown = self._cuts(view, warm)
        for measure in self._query.measures:
            several = (self._counted(label, measure, cuts, self._query.aggregation) for label in group.labels)
            one = next(several) if len(group.labels) == 1 else buckets.across(several, self._query.across)
            columns = {
                't': cuts[:-1][shown] / 1000,
                'until': cuts[1:][shown] / 1000,
                'y': one.value[shown],
                'n': one.n[shown].astype(np.float64),
            }
            name, n = _named(group.name, measure), int(one.n[shown].sum())
            parts.append(Part(name=name, series=group.name, measure=measure, columns=columns, n=n))
            parts += self._over(parts[-1], cuts[:-1], one.value, shown)
        self.exact = False
        return parts

    def _cuts(self, view: View, warm: int) -> tuple[Ints, slice]:
        """Edges of the buckets, some before the range for indicators, and which of them are shown."""
        every = self._query.every
        if every in ('', 'auto'):
            # Buckets shorter than the step of the data would stand empty beside full ones; months differ by a tenth.
            step = self._stored.step(self._labels) * 9 // 10
            every = buckets.fitting(view.start, view.end, max(1, view.width // A_BUCKET), step=step)
        first = self._stored.span(self._labels)
        reach = view.start - warm * buckets.length(every) * 2
        start = view.start if not warm or first is None else min(view.start, max(reach, first[0]))
        cuts = buckets.edges(start, view.end, every, self._zone)
        shown = max(0, int(np.searchsorted(cuts, view.start, side='right')) - 1)
        # The first and the last bucket hold what the range leaves of them; where the data ends they are whole ones.
        earlier = view is not self.view
        if not warm and (self._query.start is not None or earlier):
            cuts[0] = max(cuts[0], view.start)
        if self._query.end is not None or earlier:
            cuts[-1] = min(cuts[-1], view.end + 1)
        return cuts, slice(shown, None)

    def _earlier(self, groups: Sequence[_Group], made: Callable[[_Group, View], list[Part]]) -> list[Part]:
        start, end = (buckets.shifted(at, self._query.compare, self._zone) for at in (self.view.start, self.view.end))
        view, later = View(start=start, end=end, width=self.view.width), (self.view.start - start) / 1000
        parts = []
        for group in groups:
            for part in made(group, view):
                if part.role == 'value':
                    moved = {name: part.columns[name] + later for name in ('t', 'until') if name in part.columns}
                    columns = dict(part.columns) | moved
                    parts.append(
                        Part(
                            name=f'{part.name} {self._query.compare} before',
                            series=part.series,
                            measure=part.measure,
                            columns=columns,
                            n=part.n,
                            role='before',
                            of=part.name,
                        )
                    )
        return parts

    # Indicators

    def _over(self, part: Part, t: Ints, v: Floats, shown: slice) -> list[Part]:
        """Indicators over buckets; those without a value do not count as bars."""
        there, parts = ~np.isnan(v), []
        for overlay in self._query.overlays:
            for name, line in indicator(overlay.name, v[there], overlay.numbers).items():
                y = np.full(len(v), np.nan)
                y[there] = line
                parts.append(_indicated(part, overlay, name, {'t': t[shown] / 1000, 'y': y[shown]}))
        return parts

    def _over_values(self, part: Part, values: Buckets, label: str, measure: str, view: View) -> list[Part]:
        """Indicators over the values themselves, whose bars before the range are read along."""
        parts = []
        for overlay in self._query.overlays:
            warm = warm_up(overlay.name, overlay.numbers)
            if len(values.n) + warm > MOST_VALUES // 10:
                raise TooLarge('Indicators over so many values take too long. Choose buckets or a shorter range.')
            earlier = self._before(label, measure, view.start, warm)
            v = np.concatenate([earlier, values.total])
            for name, line in indicator(overlay.name, v, overlay.numbers).items():
                y = line[len(earlier) :]
                known = ~np.isnan(y)
                drawn = points.chosen(Buckets.of(values.first[known], y[known]), view, gap=0)
                parts.append(_indicated(part, overlay, name, {'t': drawn.t / 1000, 'y': drawn.y}))
        return parts

    def _before(self, label: str, measure: str, start: int, count: int) -> Floats:
        """The last values of a series before a time, as many as asked for where there are so many."""
        if self._masks:
            return self._rows(label, measure, -(2**62), start - 1).total[-count:] if count else np.empty(0)
        asked = count
        while True:
            rows = self._stored.before(label, [measure], start=start, count=asked)
            values = points.finite(rows, measure).total
            if len(values) >= count or len(rows.t) < asked or asked > MOST_VALUES // 10:
                return values[len(values) - min(count, len(values)) :]
            asked *= 2


def _fits(parts: Sequence[Part]) -> None:
    """Raise TooLarge when lines hold more points than a browser or a program is sent at once."""
    if sum(max(map(len, part.columns.values()), default=0) for part in parts) > MOST_POINTS:
        raise TooLarge(
            f'An answer holds at most {MOST_POINTS:,} points. Choose fewer lines, longer buckets or a narrower chart.'
        )


def _indicated(part: Part, overlay: Overlay, line: str, columns: Mapping[str, Floats]) -> Part:
    role = overlay.name if line == overlay.name else f'{overlay.name}.{line}'
    return Part(
        name=f'{part.name} {overlay.text}', series=part.series, measure=part.measure, columns=columns, n=part.n,
        role=role, of=part.name,
    )  # fmt: skip


def _named(series: str, measure: str) -> str:
    return ' · '.join(part for part in (series, measure) if part)


def _named_columns(names: Sequence[str], columns: Sequence[np.ndarray]) -> dict[str, Floats]:
    return {name: column.astype(np.float64) for name, column in zip(names, columns, strict=True)}


def _related(text: str, one: Filter) -> bool:
    """Whether a text is related to a filter's values; order is that of the letters."""
    value = one.values[0]
    return {
        'eq': text == value,
        'ne': text != value,
        'in': text in one.values,
        'lt': text < value,
        'le': text <= value,
        'gt': text > value,
        'ge': text >= value,
    }[one.relation]


def _said(words: Any, one: Filter) -> 'np.ndarray[tuple[int], np.dtype[np.bool_]]':
    """Which texts of an Arrow array are related to a filter's; a missing one never is."""
    coded = words.cast('string').dictionary_encode()
    related = [word is not None and _related(word, one) for word in coded.dictionary.to_pylist()]
    codes = np.where(there(coded.indices), fixed(coded.indices), len(related))
    return np.asarray(np.array([*related, False])[codes])


def _compared(v: Floats, one: Filter) -> 'np.ndarray[tuple[int], np.dtype[np.bool_]]':
    """Which numbers are related to a filter's; a missing one never is."""
    try:
        values = [float(value) for value in one.values]
    except ValueError as error:
        raise UsageError(f'"{one.values[0][:40]}" is no number.', place='query.filters') from error
    value = values[0]
    if one.relation == 'in':
        return np.isin(v, values)
    compare = {
        'eq': np.equal,
        'ne': np.not_equal,
        'lt': np.less,
        'le': np.less_equal,
        'gt': np.greater,
        'ge': np.greater_equal,
    }[one.relation]
    return np.asarray(compare(v, value) & ~np.isnan(v))
