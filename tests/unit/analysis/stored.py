"""A stored version in miniature, as conversion writes it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.analysis import duck
from core.analysis.ingest.pyramid import build_pyramid

MEMORY = 256 * 2**20
Row = tuple[str, int, float | None, float | None]  # series, µs, y, a "b"


def store(folder: Path, rows: Sequence[Row], *, parts: int = 1) -> list[Path]:
    """Write rows, sorted as they come, to `parts` Parquet files."""
    series, times, y, other = zip(*rows, strict=True) if rows else ((), (), (), ())
    table = pa.table(
        {
            '_series': pa.array(series, pa.string()),
            '_time': pa.array(np.array(times, dtype='datetime64[us]')),
            '_line': pa.array(range(len(rows)), pa.int64()),
            'y': pa.array(y, pa.float64()),
            'a "b"': pa.array(other, pa.float64()),
        }
    )
    paths = []
    for part in range(parts):
        begin, end = len(rows) * part // parts, len(rows) * (part + 1) // parts
        paths.append(folder / f'data-{part:05}.parquet')
        pq.write_table(table.slice(begin, end - begin), paths[-1], row_group_size=4096)
    return paths


def summarise(paths: Sequence[Path], measures: Sequence[str], *, out: Path) -> None:
    """Write the pyramid of such parts."""
    with duck.connect(memory=MEMORY, workdir=out.parent, allow=[out.parent]) as connection:
        build_pyramid(connection, paths, measures=measures, out=out)
