"""Forecasts against published collections: `python -m benchmarks.forecast [--quick] [--models auto …]`.

Scores as in the M4 competition, each set's last block scored once. The data come from $VARIOSYNC_BENCH_DATA (Parquet
files `unique_id, ds, y, split`), by default `../shared/data` beside the checkout.
"""

import argparse
import csv
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import Figure, report

if TYPE_CHECKING:
    import polars

ROOT = Path(__file__).resolve().parent.parent
SEED = 7
QUANTILES = (0.025, 0.1, 0.5, 0.9, 0.975)


@dataclass(frozen=True, slots=True)
class Collection:
    """A published set: its horizon, the season its scores are scaled by, and how many series to draw."""

    name: str
    h: int
    season_length: int
    sample: int
    most_owa: float | None = None


QUICK = (Collection('m3_monthly', 18, 12, 150, 0.83),)
REST = (
    Collection('tourism_monthly', 24, 12, 100),
    Collection('nn5_daily', 56, 7, 20),
    Collection('m4_hourly', 48, 24, 60),
)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and return the exit status: 1 when a figure does not hold, 2 without the data."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.forecast', description=__doc__)
    parser.add_argument('--quick', action='store_true', help='M3 monthly and airline passengers only')
    parser.add_argument('--models', nargs='+', default=['auto'])
    parser.add_argument('--cores', type=int, default=1)
    asked = parser.parse_args(arguments)
    folder = Path(os.environ.get('VARIOSYNC_BENCH_DATA', ROOT.parent / 'shared' / 'data'))
    chosen = QUICK if asked.quick else QUICK + REST
    if missing := [one.name for one in chosen if not (folder / f'{one.name}.parquet').exists()]:
        print(f'No {missing[0]}.parquet in {folder}. Set VARIOSYNC_BENCH_DATA to the folder of the collections.')
        return 2
    figures = [one for model in asked.models for one in airline(model)]
    for collection in chosen:
        figures += measure(folder, collection, asked.models, asked.cores)
    return report(figures)


def airline(model: str) -> list[Figure]:
    """Return the MAPE (percent) of the last year of the monthly airline passengers (Box & Jenkins 1976)."""
    import polars as pl

    from core.analysis.forecasting import Request, forecast

    with (ROOT / 'tests' / 'data' / 'air_passengers.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    frame = pl.DataFrame(
        {'unique_id': 'air', 'ds': [row['ds'] for row in rows], 'y': [float(row['y']) for row in rows]}
    )
    frame = frame.with_columns(pl.col('ds').str.to_date())
    found = forecast(frame[:-12], Request(h=12, models=(model,)))
    actual = frame['y'][-12:].to_numpy()
    error = 100 * float(np.mean(np.abs(found['mean'].to_numpy() - actual) / actual))
    return [Figure(figure=f'airline passengers {model} MAPE %', value=error, goal=6.0 if model == 'auto' else None)]


def measure(folder: Path, collection: Collection, models: list[str], cores: int) -> list[Figure]:
    """Return OWA, coverage and seconds of each model on a sample of a collection."""
    import polars as pl

    from core.analysis.forecasting import Request, forecast

    rows = pl.read_parquet(folder / f'{collection.name}.parquet').sort('unique_id', 'ds')
    names = np.array(sorted(rows['unique_id'].unique()))
    drawn = np.random.default_rng(SEED).choice(names, min(collection.sample, len(names)), replace=False)
    rows = rows.filter(pl.col('unique_id').is_in(list(drawn)))
    train, test = (rows.filter(pl.col('split') == split).select('unique_id', 'ds', 'y') for split in ('train', 'test'))
    figures = []
    for model in models:
        start = time.perf_counter()
        found = forecast(train, Request(h=collection.h, models=(model,), cores=cores))
        seconds = time.perf_counter() - start
        figures += _figures(collection, model, train, test, found)
        figures.append(Figure(figure=f'{collection.name} {model} seconds', value=seconds))
    return figures


def _figures(
    collection: Collection, model: str, train: 'polars.DataFrame', test: 'polars.DataFrame', found: 'polars.DataFrame'
) -> list[Figure]:
    from core.analysis import evaluate

    past, came = train.partition_by('unique_id', as_dict=True), test.partition_by('unique_id', as_dict=True)
    table, inside, missing = [], [], 0
    for key, own in found.partition_by('unique_id', as_dict=True).items():
        history, actual = past[key]['y'].to_numpy(), came[key]['y'].to_numpy()
        bands = own.select([f'q{q:g}' for q in QUANTILES]).to_numpy().astype(float)
        known = history[np.isfinite(history)]
        floor = evaluate.naive2(known, collection.h, collection.season_length)
        if not np.isfinite(bands).all():
            missing += 1
            bands = np.repeat(floor[:, None], len(QUANTILES), axis=1)
        season = collection.season_length
        point = bands[:, 2]
        table.append(
            [
                evaluate.mase(actual, point, history, season),
                evaluate.smape(actual, point),
                evaluate.mase(actual, floor, history, season),
                evaluate.smape(actual, floor),
                evaluate.sql(actual, bands, QUANTILES, history, season),
            ]
        )
        inside.append([(actual, bands[:, 1], bands[:, 3]), (actual, bands[:, 0], bands[:, 4])])
    mase, smape, mase2, smape2, sql = np.nanmean(np.array(table), axis=0)
    share = [
        evaluate.coverage(*(np.concatenate(part) for part in zip(*band, strict=True)))
        for band in zip(*inside, strict=True)
    ]
    name = f'{collection.name}[{len(table)}] {model}'
    owa = evaluate.owa(mase, smape, naive2_mase=mase2, naive2_smape=smape2)
    return [
        Figure(figure=f'{name} OWA', value=owa, goal=collection.most_owa if model == 'auto' else None),
        Figure(figure=f'{name} MASE', value=float(mase)),
        Figure(figure=f'{name} sMAPE', value=float(smape)),
        Figure(figure=f'{name} SQL', value=float(sql)),
        Figure(figure=f'{name} coverage of 80%', value=share[0]),
        Figure(figure=f'{name} coverage of 95%', value=share[1]),
        Figure(figure=f'{name} series without a forecast', value=missing),
    ]


if __name__ == '__main__':
    sys.exit(main())
