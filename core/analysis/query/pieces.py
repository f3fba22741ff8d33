"""What is read of a version: rows and buckets, and where in its files they lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from core.analysis.arrays import Floats, Ints

EARLIEST: Final = -(2**62)
LATEST: Final = 2**62


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """Buckets in order of time; a value alone is a bucket of one. Times in µs."""

    first: Ints
    last: Ints
    n: Ints
    total: Floats
    low: Floats
    low_at: Ints
    high: Floats
    high_at: Ints

    @classmethod
    def of(cls, t: Ints, v: Floats) -> 'Buckets':
        """Each value as a bucket."""
        return cls(t, t, np.ones(len(t), np.int64), v, v, t, v, t)

    @classmethod
    def join(cls, several: Sequence['Buckets']) -> 'Buckets':
        """Several in one, those of each after those of the one before."""
        if len(several) == 1:
            return several[0]
        return cls(*(np.concatenate([getattr(part, name) for part in several]) for name in OF_BUCKETS))

    def where(self, choice: Any) -> 'Buckets':
        """Those that are chosen by a slice, a mask or indexes."""
        return Buckets(*(getattr(self, name)[choice] for name in OF_BUCKETS))

    @property
    def plain(self) -> bool:
        """Whether each is a value alone."""
        return int(self.n.sum()) == len(self.n)


OF_BUCKETS: Final = tuple(field.name for field in fields(Buckets))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Rows of one series in order of time: `t` in µs, and columns of numbers in which NaN is a missing value."""

    t: Ints
    columns: Mapping[str, Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Rows `begin` to `end` of a row group."""

    group: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Where one level of a line lies, and the width of its buckets in µs."""

    width: int
    pieces: tuple[Piece, ...]

    @property
    def size(self) -> int:
        """How many buckets it has."""
        return sum(piece.end - piece.begin for piece in self.pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What the pyramid knows of one measure of a series: the gap limit in µs, levels upwards."""

    gap: int
    levels: tuple[Level, ...]


def joined(pieces: Sequence[Rows], columns: Sequence[str]) -> Rows:
    """Return several runs of rows as one."""
    if len(pieces) == 1:
        return pieces[0]
    if not pieces:
        return Rows(t=np.empty(0, np.int64), columns=dict.fromkeys(columns, np.empty(0)))
    return Rows(
        t=np.concatenate([piece.t for piece in pieces]),
        columns={name: np.concatenate([piece.columns[name] for piece in pieces]) for name in columns},
    )
