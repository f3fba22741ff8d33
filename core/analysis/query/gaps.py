"""Where lines are interrupted: beyond which step values are no neighbours, and which gaps of a range can be seen."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from core.analysis.arrays import Ints
from core.analysis.ingest.pyramid import GAP_IRREGULAR, GAP_REGULAR
from core.analysis.query.pieces import Buckets

Interval = tuple[float, float]

SEEN: Final = 2.0  # pixels


def interruption(t: Ints) -> int:
    """Return the step (µs) beyond which a line of sorted times is interrupted, by the pyramid's rule."""
    steps = np.diff(t)
    steps = steps[steps > 0]
    if not len(steps):
        return 0
    median, upper = np.quantile(steps, [0.5, 0.9], method='inverted_cdf')
    return int(np.ceil((GAP_IRREGULAR if upper > GAP_REGULAR * median else GAP_REGULAR) * upper))


def seen(
    buckets: Buckets, *, start: int, end: int, pixel: float, gap: int, span: tuple[int, int] | None
) -> list[Interval]:
    """Return the interruptions of a line from start to end in ms, those that its edges cut included.

    `span` is where the line begins and ends, whatever the range, None for one without values; all else is in µs.
    """
    if span is None:
        return []
    begins, ends = buckets.last, buckets.first
    # A line that goes on outside the range, yet has no value near its edge, is interrupted there.
    if span[0] < start:
        begins = np.concatenate([[start], begins])
    else:
        ends = ends[1:]
    if span[1] > end:
        ends = np.concatenate([ends, [end]])
    else:
        begins = begins[: len(ends)]
    wide = (ends - begins > gap) & (ends - begins >= SEEN * pixel)
    return list(zip((begins[wide] / 1000).tolist(), (ends[wide] / 1000).tolist(), strict=True))


def common(several: Sequence[Sequence[Interval]]) -> tuple[Interval, ...]:
    """Return the intervals that all lists share; each list is sorted and free of overlaps."""
    if not several:
        return ()
    shared = [*several[0]]
    for other in several[1:]:
        shared = _shared(shared, other)
    return tuple(shared)


def _shared(some: Sequence[Interval], other: Sequence[Interval]) -> list[Interval]:
    shared, i, j = [], 0, 0
    while i < len(some) and j < len(other):
        start, end = max(some[i][0], other[j][0]), min(some[i][1], other[j][1])
        if start < end:
            shared.append((start, end))
        if some[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return shared
