"""Stored versions for queries, with their rows beside them for a brute answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.analysis.query.row_groups import Blocks
from core.analysis.query.stored import Stored
from tests.unit.analysis.stored import summarise

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
BEGUN = 1_700_000_000 * SECOND // DAY * DAY  # 14 November 2023


@dataclass(frozen=True, kw_only=True)
class Version:
    """A stored version and what it holds: of each series its times and its columns."""

    stored: Stored
    held: dict[str, dict[str, np.ndarray]]

    def values(self, series: str, measure: str, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Times and values of a measure from start to end, both included, without those that are missing."""
        t, v = self.held[series]['t'], self.held[series][measure]
        inside = (start <= t) & (t <= end) & ~np.isnan(v)
        return t[inside], v[inside]


def version(
    folder: Path, held: dict[str, dict[str, np.ndarray]], *, keys: Sequence[str] = ('place', 'kind')
) -> Version:
    """Store series (label → `t` and measures) as conversion does, in two parts."""
    labels = sorted(held)
    measures = [name for name in held[labels[0]] if name != 't']
    sizes = [len(held[label]['t']) for label in labels]
    columns: dict[str, pa.Array] = {
        '_series': repeated(labels, sizes),
        '_time': pa.array(np.concatenate([held[label]['t'] for label in labels]).view('datetime64[us]')),
    }
    for at, key in enumerate(keys):
        columns[key] = repeated([label.split(' · ')[at] if ' · ' in label else label for label in labels], sizes)
    for name in measures:
        values = np.concatenate([held[label][name] for label in labels])
        columns[name] = pa.array(values, pa.float64(), mask=np.isnan(values))
    # As conversion stores numbers that were written with two places.
    columns['cents'] = pc_decimal(np.concatenate([held[label][measures[0]] for label in labels]))
    columns['word'] = pa.array(np.where(np.arange(sum(sizes)) % 2, 'odd', 'even'))
    table = pa.table(columns)
    paths = [folder / f'data-{part:05}.parquet' for part in range(2)]
    half = table.num_rows // 2
    pq.write_table(table.slice(0, half), paths[0], row_group_size=5000)
    pq.write_table(table.slice(half), paths[1], row_group_size=5000)
    spans = [(held[label]['t'][0], held[label]['t'][-1]) for label in labels]
    listed = {
        'series': pa.array(labels, pa.string()),
        'rows': pa.array(sizes, pa.int64()),
        'start': pa.array(np.array([first for first, _ in spans]).view('datetime64[us]')),
        'end': pa.array(np.array([last for _, last in spans]).view('datetime64[us]')),
    }
    pq.write_table(pa.table(listed), folder / 'series.parquet')
    every = [*measures, 'cents']
    pyramid = folder / 'pyramid.parquet'
    summarise(paths, every, out=pyramid)
    stored = Stored(paths, pyramid, folder / 'series.parquet', measures=every, keys=keys, blocks=Blocks())
    return Version(stored=stored, held=held)


def repeated(texts: Sequence[str], sizes: Sequence[int]) -> pa.Array:
    """The first text so many times as the first size says, and so on."""
    return pa.array(texts, pa.string()).take(pa.array(np.repeat(np.arange(len(texts)), sizes)))


def pc_decimal(values: np.ndarray) -> pa.Array:
    """Hundredths as decimals."""
    return pa.array(np.rint(values * 100) / 100, mask=np.isnan(values)).cast(pa.decimal128(18, 2))


def walk(n: int, *, seed: int, step: int = MINUTE, begun: int = BEGUN) -> dict[str, np.ndarray]:
    """A walk with spikes, missing values, repeated times and one gap of ten hours."""
    draw = np.random.default_rng(seed)
    steps = draw.choice([0, step, step, step, step + 3], size=n)
    steps[0], steps[n // 2] = 0, 10 * HOUR
    y = np.cumsum(draw.normal(size=n)) + 100
    y[draw.integers(0, n, 9)] += 300
    other = draw.normal(size=n)
    y[draw.random(n) < 0.01] = np.nan
    return {'t': begun + np.cumsum(steps), 'y': y, 'other': other}
