"""The pyramid of a stored version: where its lines lie, and summaries of them at falling resolutions."""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from threading import Lock
from typing import Any, Final

import numpy as np

from core.analysis.arrays import Ints
from core.analysis.query.pieces import EARLIEST, LATEST, OF_BUCKETS, Buckets, Level, Line, Piece
from core.analysis.query.places import KEY, Places
from core.analysis.query.row_groups import File, told, words_of
from core.errors import Unavailable

KEPT_LINES: Final = 8192
KEPT_RUNS: Final = 20_000
KEPT_LATEST: Final = 10_000  # pieces of levels, some 250 bytes each
# Times of buckets, which older versions tell as they are, and what tells them as what has passed since `start`.
SINCE: Final = {'low_at': 'low_after', 'high_at': 'high_after', 'first': 'first_after', 'last': 'last_after'}


class Pyramid:
    """The summaries of one version for reading. Threads may share it."""

    def __init__(self, file: File, *, far: bool) -> None:
        """Read where lines lie from the footer of `file`, which may be `far` away; Unavailable when that cannot be."""
        self.file, self._far = file, far
        self._since = {name: since for name, since in SINCE.items() if since in file.kinds}
        self._buckets = [0, *accumulate(file.sizes)]
        self._placed = self._places()
        # Older pyramids do not tell where lines lie: their groups tell which words they hold.
        self._words = [
            tuple(file.reach(name, at) for name in ('measure', 'series'))
            for at in range(len(file.sizes) if self._placed is None else 0)
        ]
        self._known_latest: dict[tuple[int, int], int] = {}
        self._known_runs: OrderedDict[int, dict[tuple[str, str], list[_Run]]] = OrderedDict()
        self._kept_runs = 0
        self._lines: OrderedDict[tuple[str, str], Line | None] = OrderedDict()
        self._lock = Lock()

    @property
    def nbytes(self) -> int:
        """About how many bytes of memory it takes to know where lines lie."""
        return 0 if self._placed is None else self._placed.nbytes

    def line(self, measure: str, series: str) -> Line | None:
        """Return where the pyramid holds a line, None when it has too few values to be there."""
        key = measure, series
        with self._lock:
            if key in self._lines:
                self._lines.move_to_end(key)
                return self._lines[key]
        with told():
            line = self._look_up(measure, series)
        with self._lock:
            self._lines[key] = line
            while len(self._lines) > KEPT_LINES:
                self._lines.popitem(last=False)
        return line

    def level(self, level: Level, *, start: int, end: int, totals: bool = True) -> tuple[Ints, Buckets]:
        """Return the buckets of a level that hold times from `start` to `end`, with where each begins.

        Without `totals`, whose reading takes longest, the column `total` tells the least values once more.
        """
        names = [name for name in OF_BUCKETS if totals or name != 'total']
        found = self.figures(level, ['start', *names], start=start, end=end)
        starts = found.pop('start')
        return starts, Buckets(**{'total': found['low'], **found})

    def figures(self, level: Level, names: Sequence[str], *, start: int, end: int) -> dict[str, Any]:
        """Return some columns of a level's buckets that hold times from `start` to `end`.

        They are called as in `Buckets`, and `start` is where buckets begin.
        """
        told, _ = self.beginning([level], names, [[start - level.width + 1]], [[end + 1]])
        return told

    def beginning(
        self, levels: Sequence[Level], names: Sequence[str], begins: Sequence[Any], ends: Sequence[Any]
    ) -> tuple[dict[str, Any], Ints]:
        """Return some columns (see `figures`) of the buckets of several lines' levels, one line after the other.

        Of each level come the buckets that begin in one of its ranges, which are in order and apart: from `begins`
        until before `ends` (µs). How many there are of each level is told beside them.
        """
        since = [name in self._since for name in names]
        read = [self._since.get(name, name) for name in names]
        found: list[list[Any]] = [[] for _ in names]
        counts = []
        with told():
            for level, begin, end in zip(levels, begins, ends, strict=True):
                count = 0
                for blocks, choice, size in self._beginning(level, list(dict.fromkeys(['start', *read])), begin, end):
                    starts = blocks['start'][choice]
                    for columns, name, passed in zip(found, read, since, strict=True):
                        column = starts if name == 'start' else blocks[name][choice]
                        columns.append(starts + column if passed else column)
                    count += size
                counts.append(count)
        joint = [columns[0] if len(columns) == 1 else np.concatenate(columns) for columns in found]
        return dict(zip(names, joint, strict=True)), np.array(counts, dtype=np.int64)

    def _beginning(
        self, level: Level, columns: Sequence[str], begins: Any, ends: Any
    ) -> list[tuple[Mapping[str, Any], Any, int]]:
        """Return where the buckets of a level are that begin in some ranges: a row group, rows of it, how many.

        There is one at least, of no rows when there are none.
        """
        pieces: Sequence[Piece] = level.pieces
        found: list[tuple[Mapping[str, Any], Any, int]] = []
        if not self._far:  # what lies near is not read for nothing, and what lies far is not waited for
            pieces = self._near(pieces, int(begins[0]), int(ends[-1]))
        for piece in pieces:
            blocks = self.file.blocks(piece.group, columns)
            starts = blocks['start'][piece.begin : piece.end]
            lows, highs = starts.searchsorted(begins), starts.searchsorted(ends)
            low, high = int(lows[0]), max(int(lows[0]), int(highs[-1]))
            if len(lows) == 1 or high - low == (size := int((highs - lows).sum())):
                found.append((blocks, slice(piece.begin + low, piece.begin + high), high - low))
            else:
                found.append((blocks, piece.begin + _ranges(lows, highs), size))
        return found

    def _near(self, pieces: Sequence[Piece], begin: int, end: int) -> Sequence[Piece]:
        """Return the pieces of a level in which buckets may begin from a time until before another, one at least."""
        last = len(pieces) - 1
        first = bisect_left(pieces, begin, hi=last, key=self._latest)
        return pieces[first : bisect_left(pieces, end, lo=first, hi=last, key=self._latest) + 1]

    def _latest(self, piece: Piece) -> int:
        """Return when the last bucket of a piece begins; what is that little is not read again."""
        key = piece.group, piece.begin
        if (known := self._known_latest.get(key)) is None:
            known = int(self.file.blocks(piece.group, ['start'])['start'][piece.end - 1])
            if len(self._known_latest) >= KEPT_LATEST:
                self._known_latest.clear()
            self._known_latest[key] = known
        return known

    def ends(self, line: Line) -> tuple[int, int]:
        """Return the times of the first and the last value of a line."""
        told = self.figures(line.levels[-1], ('start', 'first', 'last'), start=EARLIEST, end=LATEST)
        return int(told['first'][0]), int(told['last'][-1])

    def _places(self) -> Places | None:
        if (text := self.file.told.get(KEY)) is None:
            return None
        try:
            placed = Places(text)
        except ValueError as error:
            raise Unavailable('The stored data could not be read. Convert the file again.') from error
        if placed.rows != self._buckets[-1]:
            raise Unavailable('The stored data could not be read: a summary is incomplete. Convert the file again.')
        return placed

    def _look_up(self, measure: str, series: str) -> Line | None:
        if self._placed is not None:
            placed = self._placed.runs(measure, series)
            levels = tuple(Level(width=run.width, pieces=self._pieces_of(run.begin, run.end)) for run in placed)
            return Line(gap=placed[0].gap, levels=levels) if placed else None
        return self._looked_up(measure, series)

    def _pieces_of(self, begin: int, end: int) -> tuple[Piece, ...]:
        """Rows of the pyramid, row group by row group."""
        first, last = (bisect_right(self._buckets, at) - 1 for at in (begin, end - 1))
        starts = self._buckets[first : last + 2]
        return tuple(
            Piece(group=first + at, begin=max(begin - low, 0), end=min(end, high) - low)
            for at, (low, high) in enumerate(pairwise(starts))
        )

    def _looked_up(self, measure: str, series: str) -> Line | None:
        """Where a line lies by the rows of the pyramid themselves."""
        runs: list[_Run] = []
        for at, (measures, labels) in enumerate(self._words):
            if _may_hold(measures, measure) and _may_hold(labels, series):
                runs += self._runs(at).get((measure, series), [])
        if not runs:
            return None
        levels = {
            level: Level(
                width=next(run.width for run in runs if run.level == level),
                pieces=tuple(run.piece for run in runs if run.level == level),
            )
            for level in sorted({run.level for run in runs})
        }
        return Line(gap=runs[0].gap, levels=tuple(levels.values()))

    def _runs(self, at: int) -> dict[tuple[str, str], list['_Run']]:
        """Return the levels of all lines in a row group of the pyramid: who asks for one soon asks for others."""
        with self._lock:
            if at in self._known_runs:
                return self._known_runs[at]
        blocks = self.file.blocks(at, ['measure', 'series', 'level', 'width', 'gap'])
        words = [blocks[words_of(name)] for name in ('measure', 'series')]
        changes = np.zeros(len(blocks['level']), bool)
        changes[0] = True
        for name in ('measure', 'series', 'level'):
            changes[1:] |= np.diff(blocks[name]) != 0
        begins = np.flatnonzero(changes)
        ends = np.append(begins[1:], len(changes))
        found: dict[tuple[str, str], list[_Run]] = {}
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            key = words[0][blocks['measure'][begin]], words[1][blocks['series'][begin]]
            run = _Run(
                level=int(blocks['level'][begin]),
                piece=Piece(group=at, begin=begin, end=end),
                width=int(blocks['width'][begin]),
                gap=int(blocks['gap'][begin]),
            )
            found.setdefault(key, []).append(run)
        with self._lock:
            if at in self._known_runs:
                return self._known_runs[at]
            self._known_runs[at] = found
            self._kept_runs += sum(map(len, found.values()))
            while self._kept_runs > KEPT_RUNS and len(self._known_runs) > 1:
                self._kept_runs -= sum(map(len, self._known_runs.popitem(last=False)[1].values()))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One level of a line in one row group of the pyramid."""

    level: int
    piece: Piece
    width: int
    gap: int


def _ranges(begins: Ints, ends: Ints) -> Ints:
    """Return the whole numbers of several ranges, one range after the other."""
    sizes = ends - begins
    return np.repeat(begins - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())


def _may_hold(reach: tuple[Any, Any] | None, text: str) -> bool:
    return reach is None or reach[0] <= text <= reach[1]
