"""A query to a stored version becomes an answer: what `asked` reads is drawn."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from functools import cache, cached_property
from typing import Final

import numpy as np

from core.analysis.arrays import Floats, Ints
from core.analysis.query import asked, buckets, coarse, gaps, points, statistics
from core.analysis.query.asked import Group
from core.analysis.query.indicators import indicator, warm_up
from core.analysis.query.marks import Mark
from core.analysis.query.pieces import EARLIEST, LATEST, Buckets
from core.analysis.query.points import View
from core.analysis.query.request import MOST_LINES, Overlay, Query
from core.analysis.query.stored import Stored
from core.analysis.query.wire import Answer, Part
from core.errors import TooLarge, UsageError

MOST_CELLS: Final = 20_000_000  # buckets of all series and measures together
MOST_POINTS: Final = 500_000  # of all lines of an answer together
FEW: Final = 100_000  # rows of a series that are soon read
MILLISECOND: Final = 1000  # µs
A_BUCKET: Final = 4  # pixels of a bucket whose step is chosen for the screen
OPEN, HIGH, LOW, CLOSE = range(4)
_NONE: Final = np.empty(0)


def answer(stored: Stored, query: Query) -> Answer:
    """Return what a query finds; UsageError when it asks for what is not there, TooLarge for too many values."""
    query.checked(measures=stored.measures, keys=stored.keys, columns=tuple(stored.kinds()))
    drawing = _Drawing(stored, query)
    stored.warm()
    # What waits for a network keeps no core busy, and what reads very much must not hold up the others.
    if drawing.light and not stored.far:
        return _workers().submit(_answered, drawing, query).result()
    return _answered(drawing, query)


@cache
def _workers() -> ThreadPoolExecutor:
    """A thread a core, for windows that keep one busy for a few milliseconds.

    More of them would share the cores and all end late; one after the other, most end early and none later.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return ThreadPoolExecutor(cores, thread_name_prefix='windows')


def _answered(drawing: '_Drawing', query: Query) -> Answer:
    parts = {
        'line': drawing.lines,
        'envelope': drawing.lines,
        'buckets': drawing.lines,
        'ohlc': drawing.candles,
        'histogram': drawing.histograms,
        'box': drawing.boxes,
        'hours': drawing.hours,
        'top': drawing.bars,
        'marks': drawing.faults,
    }[query.kind]()
    rows = sum(part.n for part in parts if part.role == 'value')
    return Answer(
        kind=query.kind,
        start=drawing.view.start / 1000,
        end=drawing.view.end / 1000,
        width=query.width,
        rows_behind=rows,
        points_per_pixel=rows / query.width,
        exact=drawing.exact,
        span=None if drawing.span is None else (drawing.span[0] / 1000, drawing.span[1] / 1000),
        lines=tuple(parts),
        note=drawing.note,
        gaps=gaps.common(drawing.gaps),
        marked=drawing.marked,
        marks=drawing.marks,
    )


class _Drawing:
    """One query on its way to an answer."""

    def __init__(self, stored: Stored, query: Query) -> None:
        self._asked, self._stored, self._query = asked.Asked(stored, query), stored, query
        self.view, self.span = self._asked.view, self._asked.span
        self.exact, self.note = True, ''
        self.marks: tuple[Mark, ...] = ()
        self.marked = 0
        self.gaps: list[list[gaps.Interval]] = []
        self._known_cuts: dict[tuple[View, int], tuple[Ints, slice]] = {}

    @property
    def light(self) -> bool:
        """Whether this takes as long as a screen is wide, and not as long as the data are."""
        return (
            not (self._stepped or self._asked.masks or self._query.overlays or self._query.top)
            and self._query.kind == 'line'
        )

    # What is drawn

    def lines(self) -> list[Part]:
        """Points, envelopes or buckets, each line with its indicators and what was before."""
        groups = self._asked.groups(MOST_LINES // len(self._query.measures) or 1)
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

    def _weigh(self, groups: Sequence[Group]) -> None:
        """Raise TooLarge when series, buckets and measures are more together than each of them may be alone."""
        series, buckets_ = sum(len(group.labels) for group in groups), len(self._cuts(self.view, 0)[0]) - 1
        if (cells := series * buckets_ * len(self._query.measures)) > MOST_CELLS:
            raise TooLarge(
                f'{series:,} series in {buckets_:,} buckets are {cells:,} figures, more than {MOST_CELLS:,}. '
                'Choose longer buckets, a shorter range or fewer series.'
            )

    def candles(self) -> list[Part]:
        """Open, high, low and close of each bucket, with the sum of the volume."""
        measures = self._query.measures * (1 if len(self._query.measures) == 4 else 4)
        parts = []
        for group in self._asked.groups(MOST_LINES):
            if len(group.labels) > 1:
                raise UsageError('Candles are drawn of a series, not of a group.', place='query.group')
            warm = max((warm_up(one.name, one.numbers) for one in self._query.overlays), default=0)
            cuts, shown = self._cuts(self.view, warm)
            found = self._candles(group.labels[0], measures, cuts)
            columns = {'t': cuts[:-1][shown] / 1000, 'until': cuts[1:][shown] / 1000}
            columns |= {name: one.value[shown] for name, one in found.items()}
            if self._query.volume:
                columns['volume'] = self._asked.counted(group.labels[0], self._query.volume, cuts, 'sum').value[shown]
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
            measure: self._asked.read(label, measure, cuts, [how for name, how in wanted.values() if name == measure])
            for measure in dict.fromkeys((measures[OPEN], measures[CLOSE]))
        }
        return {
            name: read[measure][how] if measure in read else self._asked.counted(label, measure, cuts, how)
            for name, (measure, how) in wanted.items()
        }

    def histograms(self) -> list[Part]:
        """Edges of bins and how many values lie in each."""
        bins = self._query.bins
        return self._of_values(
            lambda several: _named_columns(('edges', 'count'), statistics.counted(several, bins)),
            lambda summaries: _named_columns(('edges', 'count'), statistics.spread_histogram(summaries, bins)),
            self._asked.ordered,
        )

    def boxes(self) -> list[Part]:
        """Quartiles, whiskers and mean, a column of one number each."""

        def columns(box: statistics.Box | None) -> dict[str, Floats]:
            names = [field.name for field in fields(statistics.Box)]
            return {name: np.array([] if box is None else [getattr(box, name)], dtype=np.float64) for name in names}

        return self._of_values(
            lambda several: columns(statistics.box(np.concatenate([_NONE, *several]))),
            lambda summaries: columns(statistics.spread_box(summaries)),
            lambda group, measure: [values.total for values in self._asked.values(group, measure)],
        )

    def hours(self) -> list[Part]:
        """One figure for each of the 168 hours of a week."""
        parts = []
        for group in self._asked.groups(MOST_LINES):
            for measure in self._query.measures:
                n, value = self._weekly(group, measure)
                columns = {'value': value, 'n': n.astype(np.float64)}
                name = _named(group.name, measure)
                parts.append(Part(name=name, series=group.name, measure=measure, columns=columns, n=int(n.sum())))
        self.exact = False
        return parts

    def _weekly(self, group: Group, measure: str) -> tuple[Ints, Floats]:
        """The hours of a week of a group: those of its series, as one by `across`."""
        several = (self._weekly_alone(label, measure) for label in group.labels)
        one = next(several) if len(group.labels) == 1 else buckets.across(several, self._query.across)
        return one.n, one.value

    def _weekly_alone(self, label: str, measure: str) -> buckets.Counted:
        aggregation = self._query.aggregation
        if aggregation in coarse.AGGREGATES and not self._asked.masks:
            parts = self._asked.hourly(label, measure)
            n, value = coarse.folded(replace(parts, place=buckets.of_week(parts.place)), 168, aggregation)
            return buckets.Counted(n=n[0], value=value[0])
        values = self._asked.rows(label, measure, self.view.start, self.view.end)
        n_, value_ = buckets.weekly(values.first, values.total, self._asked.zone, aggregation)
        return buckets.Counted(n=n_, value=value_)

    def bars(self) -> list[Part]:
        """The greatest series or groups by one figure over the range, the greatest first."""
        parts = []
        for measure in self._query.measures:
            for value, n, group in self._asked.ranked(measure)[: self._query.top or 10]:
                columns = {'value': np.array([value])}
                name = _named(group.name, measure)
                parts.append(Part(name=name, series=group.name, measure=measure, columns=columns, n=n))
        self.exact = False
        return parts

    def faults(self) -> list[Part]:
        """No line: what was wrong with what the lines of the same question show is told in `marks`."""
        groups = self._asked.groups(MOST_LINES // len(self._query.measures) or 1)
        if (known := self._stored.marks) is not None:
            lines = {label: group.name for group in groups for label in group.labels}
            self.marks, self.marked = known.within(
                lines, self._query.measures, start=self.view.start, end=self.view.end
            )
            self.note = known.note
        return []

    # Spreads

    def _of_values(
        self,
        columns: Callable[[Sequence[Floats]], Mapping[str, Floats]],
        near: Callable[[Buckets], Mapping[str, Floats]],
        values: Callable[[Group, str], Sequence[Floats]],
    ) -> list[Part]:
        """What the `values` of each group amount to by `columns`.

        It is told by summaries and `near` when they are very many and none is left out.
        """
        parts, groups = [], self._asked.groups(MOST_LINES)
        many = self._asked.masks == [] and self._asked.many(groups)
        for group in groups:
            for measure in self._query.measures:
                name = _named(group.name, measure)
                if many and (summaries := self._asked.summaries(group, measure)).n.sum() > len(summaries.n):
                    found, n = near(summaries), int(summaries.n.sum())
                    self.note = (
                        f'{int(n):,} values are told by {len(summaries.n):,} summaries: their number, mean, least and '
                        'greatest are exact, what lies between is near.'
                    )
                else:
                    several = values(group, measure)
                    found, n = columns(several), sum(map(len, several))
                parts.append(Part(name=name, series=group.name, measure=measure, columns=found, n=n))
        self.exact = False
        return parts

    # Lines

    @property
    def _stepped(self) -> bool:
        return bool(self._query.every or self._query.group or self._query.kind == 'buckets')

    def _pointed(self, group: Group, view: View) -> list[Part]:
        label, parts = group.labels[0], []
        self._asked.go_on()
        if self._asked.masks or self._query.overlays or self._query.kind == 'envelope' or self._sparse(label):
            for measure in self._query.measures:
                parts += self._pointed_by_rows(label, measure, view)
            return parts
        found = points.lines(self._stored, self._query.measures, label, view)
        return [self._part(one, label, measure) for one, measure in zip(found, self._query.measures, strict=True)]

    def _sparse(self, label: str) -> bool:
        """Whether measures are so few values among so many rows that these are not read beyond the range."""
        rows, measures = self._stored.count(label), self._query.measures
        if rows * len(measures) <= asked.MOST_VALUES:
            return False
        return rows * sum(self._stored.pyramid.line(measure, label) is None for measure in measures) > asked.MOST_VALUES

    def _pointed_by_rows(self, label: str, measure: str, view: View) -> list[Part]:
        known = None if self._asked.masks or self._query.overlays else self._stored.pyramid.line(measure, label)
        if known is not None:
            values, gap = points.within(self._stored, known, measure, label, view), known.gap
            span: tuple[int, int] | None = self._stored.pyramid.ends(known)
        else:
            # What is no gap is told by the whole line, where that is soon read.
            share = 10 if self._query.overlays else 1
            few = not self._asked.masks and self._stored.count(label) <= min(FEW, asked.MOST_VALUES // share)
            bounds = (EARLIEST, LATEST) if few else (view.start, view.end)
            values = self._asked.rows(label, measure, *bounds, share=share)
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

    def _bucketed(self, group: Group, view: View) -> list[Part]:
        parts = []
        warm = max((warm_up(one.name, one.numbers) for one in self._query.overlays), default=0)
        cuts, shown = self._cuts(view, warm)
        for measure in self._query.measures:
            several = self._asked.each(group.labels, measure, cuts, self._query.aggregation)
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
        if (view, warm) not in self._known_cuts:
            self._known_cuts[view, warm] = self._cut(view, warm)
        return self._known_cuts[view, warm]

    def _cut(self, view: View, warm: int) -> tuple[Ints, slice]:
        every = self._every
        first = self._stored.span(self._asked.labels)
        reach = view.start - warm * buckets.length(every) * 2
        start = view.start if not warm or first is None else min(view.start, max(reach, first[0]))
        cuts = buckets.edges(start, view.end, every, self._asked.zone)
        shown = max(0, int(np.searchsorted(cuts, view.start, side='right')) - 1)
        # The first and the last bucket hold what the range leaves of them; where the data ends they are whole ones.
        # With indicators the first one is whole, as those before it are: they are told over bars of one kind.
        begun, ended = self._query.start is not None, self._query.end is not None
        if view is not self.view:
            # Weeks of a year before begin on other days: what stands beside a whole bucket is a whole one.
            begun, ended = self._cut_by_range
        if not warm and begun:
            cuts[0] = max(cuts[0], view.start)
        if ended:
            cuts[-1] = min(cuts[-1], view.end + 1)
        return cuts, slice(shown, None)

    @cached_property
    def _every(self) -> str:
        """How long buckets last: as asked, else as long as the screen bears, for an earlier period too."""
        if self._query.every not in ('', 'auto'):
            return self._query.every
        # Buckets shorter than the step of the data would stand empty beside full ones; months differ by a tenth.
        step = self._stored.step(self._asked.labels) * 9 // 10
        return buckets.fitting(self.view.start, self.view.end, max(1, self.view.width // A_BUCKET), step=step)

    @cached_property
    def _cut_by_range(self) -> tuple[bool, bool]:
        """Whether the first and the last bucket of the view are less than whole ones, by its range or by its values."""
        edges = buckets.edges(self.view.start, self.view.end, self._every, self._asked.zone)
        # The last value stands for its step; months differ by a tenth. Ranges are told in whole ms.
        beyond = MILLISECOND if self._query.end is not None else self._stored.step(self._asked.labels) * 11 // 10
        return bool(edges[0] < self.view.start), bool(self.view.end + max(beyond, 1) < edges[-1])

    def _earlier(self, groups: Sequence[Group], made: Callable[[Group, View], list[Part]]) -> list[Part]:
        start, end = (
            buckets.shifted(at, self._query.compare, self._asked.zone) for at in (self.view.start, self.view.end)
        )
        view = View(start=start, end=end, width=self.view.width)
        parts = []
        for group in groups:
            for part in made(group, view):
                if part.role == 'value':
                    moved = self._moved(part.columns)
                    parts.append(
                        Part(
                            name=f'{part.name} {self._query.compare} before',
                            series=part.series,
                            measure=part.measure,
                            columns=moved,
                            n=_left(part, moved),
                            role='before',
                            of=part.name,
                        )
                    )
        return parts

    def _moved(self, columns: Mapping[str, Floats]) -> dict[str, Floats]:
        """Columns of an earlier period at the times of now, without what has no place there; buckets keep their length.

        The month before 31 March ends on 28 February, and the 29th of a leap year is no day of the year after.
        """
        t, *ends = (np.rint(columns[name] * 1000).astype(np.int64) for name in ('t', 'until') if name in columns)
        begun, there = buckets.later(t, self._query.compare, self._asked.zone)
        last, times = begun, {'t': begun / 1000}
        for until in ends:
            there |= buckets.later(until - 1, self._query.compare, self._asked.zone)[1]
            last, times['until'] = begun + until - t - 1, (begun + until - t) / 1000
        there &= last >= self.view.start
        return {name: column[there] for name, column in {**columns, **times}.items()}

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
            if len(values.n) + warm > asked.MOST_VALUES // 10:
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
        if self._asked.masks:
            return self._asked.rows(label, measure, -(2**62), start - 1).total[-count:] if count else np.empty(0)
        most = count
        while True:
            rows = self._stored.before(label, [measure], start=start, count=most)
            values = points.finite(rows, measure).total
            if len(values) >= count or len(rows.t) < most or most > asked.MOST_VALUES // 10:
                return values[len(values) - min(count, len(values)) :]
            most *= 2


def _left(part: Part, moved: Mapping[str, Floats]) -> int:
    """How many of a part's values stand behind the columns that were `moved`: their share of its points, if need be."""
    if 'n' in moved:
        return int(moved['n'].sum())
    left, every = (int(np.count_nonzero(~np.isnan(columns['y']))) for columns in (moved, part.columns))
    return -(-part.n * left // max(1, every))


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
