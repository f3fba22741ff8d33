"""Where the lines of a pyramid lie, as its footer tells (`core.analysis.ingest.pyramid`)."""

import json
import zlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

KEY: Final = b'lines'
A_RUN: Final = 56  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A level of a line: rows `begin` to `end` of the pyramid; `width` of a bucket and `gap` in µs."""

    level: int
    width: int
    gap: int
    begin: int
    end: int


class Places:
    """Where lines lie. Names are in order, and so are the runs, which are found by searching."""

    def __init__(self, told: bytes) -> None:
        """Read what the footer tells under KEY; ValueError when it is damaged."""
        try:
            known = json.loads(zlib.decompress(told))
            self._measures: Sequence[str] = known['measures']
            self._series: Sequence[str] = known['series']
            measure, series, *rest = (np.array(column, dtype=np.int64) for column in known['runs'])
            self._level, self._width, self._gap, rows = rest
        except (zlib.error, ValueError, KeyError, TypeError) as error:
            raise ValueError('the places of lines are damaged') from error
        self._lines: NDArray[np.int64] = measure * len(self._series) + series
        self._ends: NDArray[np.int64] = np.cumsum(rows)
        self.nbytes = A_RUN * len(rows) + sum(map(len, self._series))

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def runs(self, measure: str, series: str) -> list[Run]:
        """Return the levels of a line upwards, none when it is not there."""
        places = _place(self._measures, measure), _place(self._series, series)
        if places[0] is None or places[1] is None:
            return []
        line = places[0] * len(self._series) + places[1]
        first, stop = np.searchsorted(self._lines, [line, line + 1]).tolist()
        return [
            Run(
                level=int(self._level[at]),
                width=int(self._width[at]),
                gap=int(self._gap[at]),
                begin=int(self._ends[at - 1]) if at else 0,
                end=int(self._ends[at]),
            )
            for at in range(first, stop)
        ]


def _place(names: Sequence[str], name: str) -> int | None:
    at = bisect_left(names, name)
    return at if at < len(names) and names[at] == name else None
