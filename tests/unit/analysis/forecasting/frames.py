"""Series that the tests forecast."""

import csv
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

AIR = Path(__file__).parents[3] / 'data' / 'air_passengers.csv'


def air() -> pl.DataFrame:
    """Return the monthly airline passengers 1949–1960."""
    with AIR.open(newline='') as file:
        rows = list(csv.DictReader(file))
    stamps = [datetime.fromisoformat(row['ds']) for row in rows]
    return pl.DataFrame({'unique_id': 'air', 'ds': stamps, 'y': [float(row['y']) for row in rows]})


def frame(values: Any, *, start: datetime = datetime(2020, 1, 1), every: str = '1d', name: str = 'a') -> pl.DataFrame:
    """Return a series of `values` on a regular grid."""
    stamps = pl.select(
        pl.datetime_range(start, pl.lit(start).dt.offset_by(_times(every, len(values) - 1)), every)
    ).to_series()
    return pl.DataFrame({'unique_id': name, 'ds': stamps, 'y': np.asarray(values, dtype=float)})


def wave(size: int, *, season: int = 7, level: float = 100.0, noise: float = 1.0, seed: int = 3) -> np.ndarray:
    """Return a season on a level with noise."""
    steps = np.arange(size)
    rng = np.random.default_rng(seed)
    return level + 10 * np.sin(2 * np.pi * steps / season) + noise * rng.standard_normal(size)


def _times(every: str, count: int) -> str:
    digits = every.rstrip('abcdefghijklmnopqrstuvwxyz')
    return f'{int(digits) * count}{every[len(digits) :]}'
