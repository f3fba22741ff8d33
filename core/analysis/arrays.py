"""Columns of Arrow as arrays of NumPy and back.

Arrow's own ways there import pandas, which the web process has no room for, and a small file's conversion no time.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def fixed(chunk: Any) -> NDArray[Any]:
    """Return an Arrow array of numbers or of times (µs then) as it lies in memory; what is missing is any number."""
    import pyarrow as pa

    if pa.types.is_timestamp(chunk.type):
        if chunk.type.unit != 'us':
            chunk = chunk.cast(pa.timestamp('us', tz=chunk.type.tz), safe=False)
        chunk = chunk.view(pa.int64())
    kind = np.dtype(str(chunk.type).replace('halffloat', 'float16').replace('double', 'float64'))
    if not len(chunk):
        return np.empty(0, kind)
    return np.frombuffer(chunk.buffers()[1], kind)[chunk.offset : chunk.offset + len(chunk)]


def there(chunk: Any) -> NDArray[np.bool_]:
    """Return which values of an Arrow array are not missing."""
    bits, until = chunk.buffers()[0], chunk.offset + len(chunk)
    if bits is None:
        return np.ones(len(chunk), bool)
    return np.unpackbits(np.frombuffer(bits, np.uint8), bitorder='little', count=until)[chunk.offset :].astype(bool)


def arrow(values: NDArray[Any]) -> Any:
    """Return whole numbers (int64) or doubles as an Arrow array, NaN as a missing value."""
    import pyarrow as pa

    kind = pa.int64() if values.dtype == np.int64 else pa.float64()
    missing = np.isnan(values)
    bits = pa.py_buffer(np.packbits(~missing, bitorder='little')) if missing.any() else None
    return pa.Array.from_buffers(kind, len(values), [bits, pa.py_buffer(np.ascontiguousarray(values))])


def texts(values: Iterable[str | None]) -> Any:
    """Return texts as an Arrow array of strings, None as a missing value."""
    import pyarrow as pa

    made = pa.lib.StringBuilder()
    made.append_values(values)
    return made.finish()


@dataclass(frozen=True, slots=True, eq=False)
class Decimals:
    """Decimal numbers as they are stored: a slice of them is an array of doubles, NaN where a value is missing.

    Most who ask want few of the rows that are read together.
    """

    whole: Ints
    scale: int
    known: NDArray[np.bool_] | None

    @property
    def nbytes(self) -> int:
        """How many bytes they take."""
        return self.whole.nbytes + (0 if self.known is None else self.known.nbytes)

    def __getitem__(self, choice: slice) -> Floats:
        # What has at most 53 bits is rounded once, by the quotient.
        values: Floats = self.whole[choice] / 10.0**self.scale
        return values if self.known is None else np.where(self.known[choice], values, np.nan)


def decimals(chunk: Any) -> Decimals | None:
    """Return an Arrow array of decimals of few digits as they are stored; None for any other."""
    import pyarrow as pa

    kind = chunk.type
    if not pa.types.is_decimal128(kind) or kind.precision > 18:
        return None
    # Both halves of 16 bytes lie side by side; the lower one holds all of these.
    halves = np.frombuffer(chunk.buffers()[1], np.int64)[2 * chunk.offset : 2 * (chunk.offset + len(chunk)) : 2]
    return Decimals(np.ascontiguousarray(halves), kind.scale, there(chunk) if chunk.null_count else None)


def numbers(chunk: Any) -> Floats:
    """Return an Arrow array of numbers as doubles, NaN where a value is missing or not finite."""
    import pyarrow as pa

    kind = chunk.type
    if (stored := decimals(chunk)) is not None:
        return stored[:]
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        values: Floats = fixed(chunk).astype(np.float64, copy=False)
    elif pa.types.is_decimal(kind):
        values = fixed(chunk.cast(pa.float64()))
    elif pa.types.is_boolean(kind):
        values = fixed(chunk.cast(pa.uint8())).astype(np.float64)
    else:
        raise UsageError(f'A column of the type {kind} holds no numbers.')
    if chunk.null_count:
        values = np.where(there(chunk), values, np.nan)
    if pa.types.is_floating(kind) and not (finite := np.isfinite(values)).all():
        values = np.where(finite, values, np.nan)
    return values
