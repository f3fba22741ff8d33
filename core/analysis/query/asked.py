"""What a query is about: series in groups, their values and figures, told by summaries or by rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from core.analysis.arrays import Floats, Ints
from core.analysis.query import buckets, coarse, points
from core.analysis.query.filters import compared, related, said
from core.analysis.query.pieces import Buckets, Rows
from core.analysis.query.points import View
from core.analysis.query.request import AGGREGATES, EVERY_SERIES, MOST_LINES, Filter, Query, known_zone
from core.analysis.query.stored import Stored
from core.errors import TooLarge, UsageError

MOST_VALUES: Final = 20_000_000
MOST_READ: Final = 4_000_000  # values of which a spread is told exactly
MOST_SUMMARIES: Final = 2_000_000
MOST_SERIES: Final = 5000
TOGETHER: Final = 64  # series whose figures are found at once
CELLS_TOGETHER: Final = 100_000  # and buckets of them: with what is summed on the way some megabytes
PATIENCE: Final = 20.0  # seconds that one answer may keep a thread
NUMERIC: Final = ('int', 'uint', 'decimal', 'double', 'float', 'half')
_NONE: Final = np.empty(0)
_NOTHING: Final = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A line to draw: a name and the series that make it."""

    name: str
    labels: tuple[str, ...]


class Asked:
    """The series and the values of one query, whose reading ends when it has taken too long."""

    def __init__(self, stored: Stored, query: Query) -> None:
        self.stored, self.query, self._until = stored, query, monotonic() + PATIENCE
        self.zone: ZoneInfo = known_zone(query.zone)
        self.labels = self._chosen_labels()
        self.masks = [one for one in query.filters if one.column not in stored.keys]
        self._kinds = stored.kinds()
        self.span = stored.span(self.labels)
        first, last = self.span or (0, 0)
        start = first if query.start is None else query.start
        end = max(start, last) if query.end is None else query.end
        self.view = View(start=min(start, end), end=end, width=query.width)

    def go_on(self) -> None:
        """Raise TooLarge when this has taken so long that others must have their turn."""
        if monotonic() > self._until:
            raise TooLarge(
                f'This takes longer than {PATIENCE:g} seconds and was stopped. '
                'Choose a shorter range, fewer series or fewer filters.'
            )

    # Which series

    def _chosen_labels(self) -> tuple[str, ...]:
        stored, query = self.stored, self.query
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
        self.go_on()
        return related(self.stored.key_values(label)[one.column], one)

    def _all_groups(self) -> list[Group]:
        if not self.query.group:
            return [Group(name=label, labels=(label,)) for label in self.labels]
        if self.query.group == EVERY_SERIES:
            return [Group(name='all series', labels=self.labels)] if self.labels else []
        found: dict[str, list[str]] = {}
        for label in self.labels:
            found.setdefault(self.stored.key_values(label)[self.query.group], []).append(label)
        return [Group(name=name, labels=tuple(found[name])) for name in sorted(found)]

    def groups(self, most: int) -> list[Group]:
        """The lines to draw, the greatest where so many are asked for; UsageError when they are more than `most`."""
        if self.query.top:
            ranked = self.ranked(self.query.measures[0])[: min(self.query.top, most)]
            return [group for _, _, group in ranked]
        groups = self._all_groups()
        if len(groups) > most:
            raise UsageError(
                f'A chart shows at most {MOST_LINES} lines, not {len(groups) * len(self.query.measures)}. '
                'Choose fewer, group them or show the greatest.',
                place='query.series',
            )
        return groups

    def ranked(self, measure: str) -> list[tuple[float, int, Group]]:
        """Groups that have values, by one figure over the range, the greatest first."""
        found, groups = [], self._all_groups()
        cuts = np.array([self.view.start, self.view.end + 1])
        figures = self.each([label for group in groups for label in group.labels], measure, cuts, self.query.by)
        for group in groups:
            one = buckets.across(islice(figures, len(group.labels)), self.query.across)
            if one.n[0]:
                found.append((float(one.value[0]), int(one.n[0]), group))
        return sorted(found, key=lambda one: (-one[0], one[2].name))

    # Which rows

    def rows(self, label: str, measure: str, start: int, end: int, *, share: int = 1) -> Buckets:
        """The values of a series that the filters leave; TooLarge before very many are read."""
        columns, rows, most = len(self._columns(measure)), self.stored.count(label), MOST_VALUES // share
        if rows * columns > most:
            rows = self.stored.size(label, start=start, end=end)
        if rows * columns > most:
            raise TooLarge(
                f'{rows * columns:,} values of one series are more than the {most:,} that are read at once. '
                'Choose a shorter range, or a figure of buckets such as the mean.'
            )
        return Buckets.join([*self._pieces(label, measure, start, end)] or [Buckets.of(np.empty(0, np.int64), _NONE)])

    def _columns(self, measure: str) -> list[str]:
        return list(dict.fromkeys([measure, *(one.column for one in self.masks if self._is_number(one.column))]))

    def _pieces(self, label: str, measure: str, start: int, end: int) -> Iterator[Buckets]:
        """Yield the values of a series that the filters leave, one row group after the other."""
        words = [
            None if self._is_number(one.column) else self.stored.words(label, one.column, start=start, end=end)
            for one in self.masks
        ]
        for rows in self.stored.pieces(label, self._columns(measure), start=start, end=end):
            self.go_on()
            if not self.masks:
                yield points.finite(rows, measure)
                continue
            keep = np.ones(len(rows.t), bool)
            for one, texts in zip(self.masks, words, strict=True):
                keep &= compared(rows.columns[one.column], one) if texts is None else said(next(texts), one)
            yield points.finite(Rows(t=rows.t[keep], columns={measure: rows.columns[measure][keep]}), measure)

    def _is_number(self, column: str) -> bool:
        return self._kinds[column].startswith(NUMERIC)

    def counted(self, label: str, measure: str, cuts: Ints, aggregation: str) -> buckets.Counted:
        """The figures of one series between cuts."""
        return next(self.each([label], measure, cuts, aggregation))

    def each(self, labels: Sequence[str], measure: str, cuts: Ints, aggregation: str) -> Iterator[buckets.Counted]:
        """Yield figures of series, one after the other; some are found together, as many as take little memory."""
        few = max(1, min(TOGETHER, CELLS_TOGETHER // max(1, len(cuts) - 1)))
        for first in range(0, len(labels), few):
            several = labels[first : first + few]
            self.go_on()
            n, value, left = self._by_summaries(several, measure, cuts, aggregation)
            for at, label in enumerate(several):
                if at not in left:
                    yield buckets.Counted(n=n[at], value=value[at])
                    continue
                self.go_on()
                yield self._by_rows(label, measure, cuts, aggregation)

    def _by_summaries(
        self, labels: Sequence[str], measure: str, cuts: Ints, aggregation: str
    ) -> tuple[Ints, Floats, set[int]]:
        """Counts and figures of series, a row each, and which of the series rows must tell of."""
        if aggregation not in coarse.AGGREGATES or self.masks or len(cuts) < 2:
            return _NOTHING, _NONE, set(range(len(labels)))
        found, left = coarse.gathered(
            self.stored, measure, labels, lambda t: np.searchsorted(cuts, t, side='right') - 1,
            start=int(cuts[0]), end=int(cuts[-1]) - 1, length=int(np.diff(cuts).max()), aggregation=aggregation,
        )  # fmt: skip
        return *coarse.folded(found, len(cuts) - 1, aggregation, lines=len(labels)), set(left)

    def _by_rows(self, label: str, measure: str, cuts: Ints, aggregation: str) -> buckets.Counted:
        if aggregation in AGGREGATES:
            return self.read(label, measure, cuts, [aggregation])[aggregation]
        values = self.rows(label, measure, int(cuts[0]), int(cuts[-1]) - 1)
        return buckets.aggregated(values.first, values.total, cuts, aggregation)

    def read(self, label: str, measure: str, cuts: Ints, aggregations: Sequence[str]) -> Mapping[str, buckets.Counted]:
        """Figures of a series by its rows, one row group in memory at a time."""
        found = {one: buckets.Folded(len(cuts) - 1, one) for one in aggregations}
        for values in self._pieces(label, measure, int(cuts[0]), int(cuts[-1]) - 1):
            for one in found.values():
                one.add(values.first, values.total, cuts)
        return {name: one.counted for name, one in found.items()}

    def values(self, group: Group, measure: str) -> list[Buckets]:
        """The values of a group in the range, series by series."""
        self._bear(group)
        return [self.rows(label, measure, self.view.start, self.view.end) for label in group.labels]

    def _bear(self, group: Group) -> None:
        """Raise TooLarge for a group of very many rows."""
        if (rows := sum(self.stored.count(label) for label in group.labels)) > MOST_VALUES:
            raise TooLarge(f'{rows:,} rows are more than {MOST_VALUES:,}. Choose fewer series.')

    def ordered(self, group: Group, measure: str) -> list[Floats]:
        """The values of a group in the range, in runs that are in order."""
        if self.masks:
            return [np.sort(values.total) for values in self.values(group, measure)]
        self._bear(group)
        found = []
        for label in group.labels:
            for values in self.stored.ordered(label, measure, start=self.view.start, end=self.view.end):
                self.go_on()
                found.append(values)
        return found

    def many(self, groups: Sequence[Group]) -> bool:
        """Whether the range holds so many values that reading them takes longer than one waits for a chart."""
        labels, measures = [label for group in groups for label in group.labels], len(self.query.measures)
        if sum(self.stored.count(label) for label in labels) * measures <= MOST_READ:
            return False
        view = self.view
        return sum(self.stored.size(label, start=view.start, end=view.end) for label in labels) * measures > MOST_READ

    def summaries(self, group: Group, measure: str) -> Buckets:
        """Summaries of a group's values in the range, by the finest level that is not too many of them."""
        known = {label: self.stored.pyramid.line(measure, label) for label in group.labels}
        most = MOST_SUMMARIES // len(group.labels)
        found = [
            self.rows(label, measure, self.view.start, self.view.end)
            if line is None
            else points.of_level(self.stored, coarse.finest(line, most), measure, label, self.view)
            for label, line in known.items()
        ]
        return Buckets.join(found)

    def hourly(self, label: str, measure: str) -> coarse.Gathered:
        """The values of a series by the hour of the clock, as much of them as summaries tell together."""
        self.go_on()
        known, left = coarse.gathered(
            self.stored, measure, [label], lambda t: buckets.hours(t, self.zone),
            start=self.view.start, end=self.view.end, length=buckets.HOUR, aggregation=self.query.aggregation,
        )  # fmt: skip
        if not left:
            return known
        values = self.rows(label, measure, self.view.start, self.view.end)
        hours = buckets.hours(values.first, self.zone)
        return coarse.Gathered(line=np.zeros(len(hours), np.int64), place=hours, n=values.n, value=values.total)
