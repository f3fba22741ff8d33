"""Forecasts against published collections: `python -m benchmarks.forecast [--quick] [--models auto …]`.

Every series of each set is forecast by a fresh process with one thread, whose wall time counts from its start, imports
and calibration included; the last block of each series is scored once, as in the M4 competition. The data come from
$VARIOSYNC_BENCH_DATA (Parquet files `unique_id, ds, y, split`), by default `../shared/data` beside the checkout.
`--set NAME --h H --season M` scores any other file of that form there.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import Figure, report

if TYPE_CHECKING:
    import polars

ROOT = Path(__file__).resolve().parent.parent
SEED = 7
QUANTILES = (0.025, 0.1, 0.5, 0.9, 0.975)
LEVELS = (80, 95)
ONE_THREAD = dict.fromkeys(('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS', 'POLARS_MAX_THREADS'), '1')
MANY = 1000
PAIRS = 5
"""How many series of a set are fitted by both Prophets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A set: its horizon, the season its scores are scaled by, and what `auto` shall reach."""

    name: str
    h: int
    season_length: int
    goals: Mapping[str, float] = field(default_factory=dict)


SETS = (
    Collection(name='m3_monthly', h=18, season_length=12, goals={'OWA': 0.789, 'sMAPE': 13.29, 'seconds': 150}),
    Collection(name='tourism_monthly', h=24, season_length=12, goals={'MASE': 1.40, 'seconds': 45}),
    Collection(name='nn5_daily', h=56, season_length=7, goals={'OWA': 0.48, 'seconds': 45}),
    Collection(name='m4_hourly', h=48, season_length=24, goals={'OWA': 0.484, 'seconds': 45}),
)
COVERAGE = {'coverage of 80% band, off by': 0.03, 'coverage of 95% band, off by': 0.02}
QUICK = {'m3_monthly': 150, 'nn5_daily': 12}
"""How many series of which sets the quick run takes: a sample, so that no goal is put to it."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and return the exit status: 1 when a figure does not hold, 2 without the data."""
    asked = _parser().parse_args(arguments)
    folder = Path(os.environ.get('VARIOSYNC_BENCH_DATA', ROOT.parent / 'shared' / 'data'))
    chosen = [_named(name, asked.h, asked.season) for name in asked.sets] if asked.sets else list(SETS)
    if asked.quick:
        chosen = [one for one in chosen if one.name in QUICK or asked.sets]
    if missing := [one.name for one in chosen if not (folder / f'{one.name}.parquet').exists()]:
        print(f'No {missing[0]}.parquet in {folder}. Set VARIOSYNC_BENCH_DATA to the folder of the collections.')
        return 2
    figures = [] if asked.sets else [one for model in asked.models for one in airline(model)]
    for one in chosen:
        sample = QUICK.get(one.name, max(QUICK.values())) if asked.quick else None
        for model in asked.models:
            figures += measure(folder, one, (model,), cores=asked.cores, sample=sample)
    if not asked.sets:
        figures += [prophets(folder, rounds=1 if asked.quick else PAIRS)]
    if not asked.sets and not asked.quick:
        figures += [*many(folder), *deep(folder)]
    return report(figures)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='python -m benchmarks.forecast', description=__doc__)
    parser.add_argument('--quick', action='store_true', help='samples of two sets, airline passengers and Prophet')
    parser.add_argument('--models', nargs='+', default=['auto'])
    parser.add_argument('--cores', type=int, default=1)
    parser.add_argument(
        '--set', dest='sets', action='append', metavar='NAME', help='only NAME.parquet; may be repeated'
    )
    parser.add_argument('--h', type=int, help='the horizon of the sets named')
    parser.add_argument('--season', type=int, help='the season that their scores are scaled by (1 for weekly, yearly)')
    return parser


def _named(name: str, h: int | None, season_length: int | None) -> Collection:
    known = next((one for one in SETS if one.name == name), None)
    if known is not None:
        return known
    if not h or not season_length:
        raise SystemExit(f'Tell --h and --season of the set "{name}".')
    return Collection(name=name, h=h, season_length=season_length)


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


def measure(
    folder: Path, one: Collection, models: tuple[str, ...], *, cores: int = 1, sample: int | None = None,
    goals: Mapping[str, float] | None = None,
) -> list[Figure]:  # fmt: skip
    """Return the scores, the coverage and the seconds of a model on a set, or on a sample of its series."""
    rows = load(folder, one.name, sample=sample)
    train, test = (_part(rows, split) for split in ('train', 'test'))
    found, weights, seconds = apart(train, h=one.h, models=models, levels=LEVELS, cores=cores)
    values = scored(one, train, test, found) | {'seconds': seconds}
    if goals is None:
        goals = {**one.goals, **COVERAGE} if models == ('auto',) and sample is None else {}
    name = f'{one.name}[{train["unique_id"].n_unique()}] {models[0]}'
    for model, shares in weights.items():
        told = ', '.join(f'{member} {share:.2f}' for member, share in shares.items())
        print(f'{one.name}: {model} is {told}')
    return [Figure(figure=f'{name} {figure}', value=value, goal=goals.get(figure)) for figure, value in values.items()]


def load(folder: Path, name: str, *, sample: int | None = None) -> 'polars.DataFrame':
    """Return a set's rows, or those of `sample` series drawn from it."""
    import polars as pl

    rows = pl.read_parquet(folder / f'{name}.parquet').sort('unique_id', 'ds')
    if sample is None:
        return rows
    names = np.array(sorted(rows['unique_id'].unique()))
    drawn = np.random.default_rng(SEED).choice(names, min(sample, len(names)), replace=False)
    return rows.filter(pl.col('unique_id').is_in(list(drawn)))


def apart(
    train: 'polars.DataFrame', *, h: int, models: tuple[str, ...], levels: Sequence[int], cores: int
) -> tuple['polars.DataFrame', dict[str, dict[str, float]], float]:
    """Return forecasts by a fresh process with one thread, members' weights, and its seconds from start to end."""
    import polars as pl

    with tempfile.TemporaryDirectory(prefix='vs-bench-') as place:
        source, result, told = (Path(place) / name for name in ('train.parquet', 'found.parquet', 'weights.json'))
        train.write_parquet(source)
        asked = {'h': h, 'models': models, 'levels': levels, 'cores': cores}
        program = 'import sys; from benchmarks.forecast import issue; issue(*sys.argv[1:])'
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, '-c', program, str(source), str(result), str(told), json.dumps(asked)],
            cwd=ROOT, env={**os.environ, **ONE_THREAD}, check=True,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        return pl.read_parquet(result), json.loads(told.read_text()), seconds


def issue(source: str, result: str, told: str, asked: str) -> None:
    """Forecast a file's rows into another: what the fresh process does."""
    import polars as pl

    from core.analysis.forecasting import Request, run

    request = json.loads(asked)
    found = run(pl.read_parquet(source), Request(**{**request, 'models': tuple(request['models'])}))
    found.rows.write_parquet(result)
    Path(told).write_text(json.dumps({model: dict(shares) for model, shares in found.weights.items()}))


def scored(
    one: Collection, train: 'polars.DataFrame', test: 'polars.DataFrame', found: 'polars.DataFrame'
) -> dict[str, float]:
    """Return the figures of a set's forecasts; a missing one is scored as Naive2 and counted."""
    from core.analysis import evaluate

    past, came = train.partition_by('unique_id', as_dict=True), test.partition_by('unique_id', as_dict=True)
    table, inside, missing = [], [], 0
    season = one.season_length
    for key, own in found.partition_by('unique_id', as_dict=True).items():
        history, actual = past[key]['y'].to_numpy(), came[key]['y'].to_numpy()
        bands = own.select([f'q{q:g}' for q in QUANTILES]).to_numpy().astype(float)
        floor = evaluate.naive2(history[np.isfinite(history)], one.h, season)
        if not np.isfinite(bands).all():
            missing += 1
            bands = np.repeat(floor[:, None], len(QUANTILES), axis=1)
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
    at_80, at_95 = (
        evaluate.coverage(*(np.concatenate(part) for part in zip(*band, strict=True)))
        for band in zip(*inside, strict=True)
    )
    return {
        'OWA': evaluate.owa(mase, smape, naive2_mase=mase2, naive2_smape=smape2),
        'MASE': float(mase),
        'sMAPE': float(smape),
        'SQL': float(sql),
        'coverage of 80% band': at_80,
        'coverage of 80% band, off by': abs(at_80 - 0.80),
        'coverage of 95% band': at_95,
        'coverage of 95% band, off by': abs(at_95 - 0.95),
        'series without a forecast': missing,
    }


def many(folder: Path) -> list[Figure]:
    """Return the seconds of three models with two quantile levels on a thousand monthly series."""
    train = _part(load(folder, 'm3_monthly', sample=MANY), 'train')
    models = ('prophet', 'lightgbm', 'theta')
    found, _, seconds = apart(train, h=18, models=models, levels=(80,), cores=1)
    fallen = found.filter(found['status'] != 'ok')['unique_id'].n_unique()
    name = f'm3_monthly[{MANY}] {" + ".join(models)}'
    return [
        Figure(figure=f'{name} seconds', value=seconds, goal=60),
        Figure(figure=f'{name} series with a fallback', value=fallen),
    ]


def deep(folder: Path) -> list[Figure]:
    """Return the scores of the deep model on the monthly tourism series, where the extra `tft` is installed."""
    from core.analysis.forecasting import registry

    if 'tft' not in registry.MODELS or registry.hint('tft'):
        print('The model tft is not installed and was not measured.')
        return []
    one = next(one for one in SETS if one.name == 'tourism_monthly')
    return measure(folder, one, ('tft',), goals={'OWA': 0.79, 'seconds': 60})


def prophets(folder: Path, *, rounds: int) -> Figure:
    """Return how many times faster the fast Prophet is than the package by default settings: median over series."""
    ratios = []
    for name in ('m3_monthly', 'nn5_daily'):
        one = next(one for one in SETS if one.name == name)
        rows = _part(load(folder, name, sample=rounds + 1), 'train')
        series = [own for _, own in rows.group_by('unique_id', maintain_order=True)]
        _both(series[0], one.h)  # imports, and what each sets up once
        ratios += [_both(own, one.h) for own in series[1:]]
    return Figure(
        figure='Prophet, the package against the fast path (ratio of seconds)', value=statistics.median(ratios),
        goal=15, better='more',
    )  # fmt: skip


def _both(series: 'polars.DataFrame', h: int) -> float:
    """Return what the package takes to fit and forecast one series, against the fast path's seconds."""
    import logging
    import warnings

    from core.analysis.forecasting import fast_prophet, repair

    (one,) = repair.prepare(series, freq=None, h=h, season_length=None)
    start = time.perf_counter()
    fast_prophet.forecast(one.stamps, one.y, one.future, seed=SEED)
    fast = time.perf_counter() - start
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        import pandas
        from prophet import Prophet

        logging.getLogger('cmdstanpy').disabled = True
        frame = pandas.DataFrame({'ds': one.stamps.astype('datetime64[ns]'), 'y': one.y})
        future = pandas.DataFrame({'ds': one.future.astype('datetime64[ns]')})
        start = time.perf_counter()
        Prophet().fit(frame).predict(future)
        real = time.perf_counter() - start
    return real / fast


def _part(rows: 'polars.DataFrame', split: str) -> 'polars.DataFrame':
    import polars as pl

    return rows.filter(pl.col('split') == split).select('unique_id', pl.col('ds').cast(pl.Datetime('us')), 'y')


if __name__ == '__main__':
    sys.exit(main())
