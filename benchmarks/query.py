"""How fast charts of stored data are answered: `python -m benchmarks.query [--quick]`.

Data sets of 10M and 100M rows with eight measures are made as CSV and read by the real ingest, once: they stay in the
folder `variosync-bench` beside temporary files (TMPDIR). `--rows` asks one of another size, `--quick` one of 2M rows,
less often. On one core, 500 random windows are asked (a random series, one to eight measures, ranges from minutes to
everything, 300 to 2,000 pixels wide), then by eight viewers at once, then from a `redis-server`; extremes and counts of
1,000 more are compared with DuckDB's. Then six panels over everything are asked, whose goals are our own, and all of
them after zooms.
"""

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np

from benchmarks import Figure, report
from core.analysis import duck
from core.analysis.query.engine import answer
from core.analysis.query.request import Query
from core.analysis.query.row_groups import Blocks
from core.analysis.query.stored import Stored
from core.analysis.query.wire import decode, encode
from storage.redis import Redis, RedisCache
from tests.counterparts.redis import RedisServer

MB = 2**20
SERIES = 100
QUICK, SIZES = 2_000_000, (10_000_000, 100_000_000)
WINDOWS, VIEWERS, VIEWS = 500, 8, 1000
PANEL = 100  # ms for each of six panels over everything
BEGUN = 1_672_531_200_000_000
MINUTE = 60_000_000
STEP = f'(i // {SERIES})'
TABLE = f"""
    SELECT printf('meter-%03d', i % {SERIES}) AS meter,
        strftime(TIMESTAMP '2023-01-01' + to_minutes({STEP}), '%Y-%m-%d %H:%M:%S') AS ts,
        printf('%.2f', 500 + 300 * sin({STEP} / 1440.0 * 6.283) + (hash(i * 8) % 10007) / 100.0
            + CASE WHEN hash(i * 8 + 1) % 20011 = 0 THEN 900 ELSE 0 END) AS load,
        printf('%.1f', 230 + 3 * sin({STEP} / 525600.0 * 6.283) + (hash(i * 8 + 1) % 101) / 10.0) AS voltage,
        printf('%.1f', 12 + 9 * sin({STEP} / 525600.0 * 6.283) + (hash(i * 8 + 2) % 400) / 100.0) AS temperature,
        printf('%.2f', 50 + (hash(i * 8 + 3) % 41) / 100.0) AS frequency,
        printf('%.2f', 40 + 2 * sin({STEP} / 10080.0) + (hash(i * 8 + 4) % 101) / 100.0) AS price,
        hash(i * 8 + 5) % 1000 AS volume,
        100 + hash(i * 8 + 6) % 50 AS pressure,
        CASE WHEN hash(i * 8 + 7) % 50 <> 0
            THEN printf('%.3f', sin({STEP} / 97.0) + (hash(i * 8 + 7) % 101) / 1000.0) END AS flow
    FROM range({{rows}}) t(i) WHERE {STEP} % 50021 > 400 OR i % 3 > 0"""


def main() -> int:
    """Measure and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='2M rows alone, less often')
    parser.add_argument('--rows', type=int, help='so many rows alone')
    parser.add_argument('--make', type=int, metavar='ROWS', help='make the data set of so many rows, and no more')
    asked = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if asked.make:
        made(asked.make)
        return 0
    sizes = (QUICK,) if asked.quick else (asked.rows,) if asked.rows else SIZES
    count, views = (100, 200) if asked.quick else (WINDOWS, VIEWS)
    return report([one for rows in sizes for one in measured(made(rows), rows, count=count, views=views)])


def made(rows: int) -> Path:
    """Return the folder of a converted data set; make it when what writes rows and summaries has not yet made it."""
    from core.analysis.ingest import Options, convert, parts, pyramid

    form = crc32(b''.join(Path(module.__file__).read_bytes() for module in (parts, pyramid)))
    beside = Path(tempfile.gettempdir()) / 'variosync-bench'
    folder, making = beside / f'query-{rows}-{form:08x}', beside / f'query-{rows}-{os.getpid()}'
    if (folder / 'manifest.json').exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    making.mkdir(parents=True)
    source = beside / f'query-{rows}-{os.getpid()}.csv'
    try:
        with duck.connect(memory=1024 * MB, workdir=making) as connection:
            connection.execute(f"COPY ({TABLE.format(rows=rows)}) TO '{source}' (FORMAT csv, HEADER)")
        manifest = convert(
            source,
            name='readings.csv',
            into=making,
            options=Options(memory=1536 * MB),
            progress=lambda share, text: None,
        )
        assert manifest.rows_accepted == manifest.rows_read, 'the table is clean'
        making.rename(folder)
    finally:
        source.unlink(missing_ok=True)
        shutil.rmtree(making, ignore_errors=True)
    return folder


def opened(folder: Path, blocks: Blocks) -> Stored:
    """Return a data set for reading."""
    manifest = json.loads((folder / 'manifest.json').read_text())
    keys = [column['name'] for column in manifest['columns'] if column['role'] == 'series']
    return Stored(
        sorted(folder.glob('data-*')),
        folder / 'pyramid.parquet',
        folder / 'series.parquet',
        measures=manifest['measures'],
        keys=keys,
        blocks=blocks,
    )


def windows(stored: Stored, rows: int, count: int, *, seed: int) -> list[Query]:
    """Return random windows: of a random series, minutes to everything long, the length even on a scale of ratios."""
    draw = np.random.default_rng(seed)
    whole = rows // SERIES * MINUTE
    found = []
    for _ in range(count):
        size = int(np.exp(draw.uniform(np.log(5 * MINUTE), np.log(whole))))
        start = BEGUN + int(draw.integers(0, whole - size + 1))
        measures = draw.choice(stored.measures, draw.integers(1, 9), replace=False)
        found.append(
            Query(
                measures=tuple(str(name) for name in measures),
                series=(stored.labels[draw.integers(len(stored.labels))],),
                start=start,
                end=start + size,
                width=int(draw.integers(300, 2001)),
            )
        )
    return found


def measured(folder: Path, rows: int, *, count: int, views: int) -> list[Figure]:
    """Ask the data set and return what it took."""
    name = f'{rows // 1_000_000}M'
    begun = time.perf_counter()
    stored = opened(folder, Blocks())
    opening = time.perf_counter() - begun
    for query in windows(stored, rows, 50, seed=1):  # files become warm
        encode(answer(stored, query))
    queries = windows(stored, rows, count, seed=2)
    busy: list[float] = []
    alone = [timed(lambda query=query: busy.append(spent(stored, query))) for query in queries]
    together, alike = viewed(stored, queries)
    answers = [encode(answer(stored, query)) for query in queries]
    hot = asyncio.run(lent(answers))
    zooms = zoomed(stored, rows)
    shown = extremes_shown(folder, stored, windows(stored, rows, views, seed=3))
    return [
        Figure(figure=f'{name}: to open (ms)', value=1000 * opening),
        Figure(figure=f'{name}: a window, p50 (ms)', value=percentile(alone, 50), goal=10),
        Figure(figure=f'{name}: a window, p95 (ms)', value=percentile(alone, 95), goal=30),
        *(
            Figure(figure=f'{name}: a window, {what} of CPU (ms)', value=1000 * value)
            for what, value in (('mean', np.mean(busy)), ('p50', np.median(busy)), ('p95', np.percentile(busy, 95)))
        ),
        Figure(figure=f'{name}: a window with {VIEWERS} viewers, p95 (ms)', value=percentile(together, 95), goal=60),
        Figure(figure=f'{name}: the same by the CPU clock, p50 (ms)', value=percentile(alike, 50)),
        Figure(figure=f'{name}: the same by the CPU clock, p95 (ms)', value=percentile(alike, 95)),
        Figure(figure=f'{name}: a hot window from Redis, p95 (ms)', value=percentile(hot, 95), goal=3),
        Figure(figure=f'{name}: an answer, mean (kB)', value=sum(map(len, answers)) / len(answers) / 1000),
        Figure(figure=f'{name}: views that show their extremes (%)', value=100 * shown, goal=100, better='more'),
        *others(stored, name),
        *(
            Figure(figure=f'{name}: six panels after a zoom, {what} of CPU (ms)', value=percentile(zooms, share))
            for what, share in (('p50', 50), ('p95', 95))
        ),
        Figure(
            figure=f'{name}: sums of days and months that are those of all rows (%)',
            value=100 * sums_equal(folder, stored),
            goal=100,
            better='more',
        ),
    ]


def viewed(stored: Stored, queries: Sequence[Query]) -> tuple[list[float], list[float]]:
    """Return the seconds that windows took when several viewers ask at once, each again when it has an answer.

    They meet the engine's own gate, which charts of the product pass as well: it reads one window a core at a time.
    Seconds are those of the wall, then those by the CPU clock of this process: as viewers leave the core no rest, it
    tells what they wait for one another, and not what others of this machine take.
    """

    def view(own: Sequence[Query]) -> list[tuple[float, float]]:
        took = []
        for query in own:
            wall, busy = time.perf_counter(), time.process_time()
            encode(answer(stored, query))
            took.append((time.perf_counter() - wall, time.process_time() - busy))
        return took

    with ThreadPoolExecutor(VIEWERS) as viewers:
        list(viewers.map(view, [queries[at : at + 5] for at in range(VIEWERS)]))  # threads have their memory
        found = viewers.map(view, [queries[at::VIEWERS] for at in range(VIEWERS)])
        walls, cpus = zip(*(took for one in found for took in one), strict=True)
    return list(walls), list(cpus)


async def lent(answers: Sequence[bytes]) -> list[float]:
    """Return the seconds that it takes to get answers from Redis as the product does."""
    took = []
    with RedisServer() as server:
        redis = Redis(server.url)
        cache = RedisCache(redis)
        try:
            for at, data in enumerate(answers):
                await cache.set(f'bench/{at}', data, ttl=600)
            for at, data in enumerate(answers):
                begun = time.perf_counter()
                kept = await cache.get(f'bench/{at}')
                took.append(time.perf_counter() - begun)
                assert kept == data
        finally:
            await redis.close()
    return took


def extremes_shown(folder: Path, stored: Stored, queries: Sequence[Query]) -> float:
    """Return the share of views whose every line draws its least and its greatest value, and counts what is there."""
    held = 0
    with duck.connect(memory=512 * MB, allow=sorted(folder.glob('data-*'))) as connection:
        source = duck.files(sorted(folder.glob('data-*')))
        for query in queries:
            told = ', '.join(
                f'min({value}), max({value}), count({value})'
                for value in (f'CAST({duck.identifier(measure)} AS DOUBLE)' for measure in query.measures)
            )
            brute = duck.single(
                connection,
                f'SELECT {told} FROM {source} WHERE _series = ? '
                'AND _time BETWEEN make_timestamp(?::BIGINT) AND make_timestamp(?::BIGINT)',
                [query.series[0], query.start, query.end],
            )
            lines = decode(encode(answer(stored, query))).lines
            held += all(
                found(line.columns['y']) == (low, high) and line.n == n
                for line, low, high, n in zip(lines, brute[::3], brute[1::3], brute[2::3], strict=True)
            )
    return held / len(queries)


def found(y: np.ndarray) -> tuple[float | None, float | None]:
    """Return the least and the greatest value that are drawn."""
    known = y[~np.isnan(y)]
    return (float(known.min()), float(known.max())) if len(known) else (None, None)


def panels_of(stored: Stored) -> dict[str, Query]:
    """Panels of a dashboard."""
    one = {'measures': ('load',), 'series': (stored.labels[7],)}
    berlin = {'zone': 'Europe/Berlin'}
    return {
        'daily means of 8 series': Query(
            kind='buckets', every='P1D', measures=('load',), series=stored.labels[:8], **berlin
        ),
        'hours of a week': Query(kind='hours', **one, **berlin),
        'monthly sums of all series': Query(
            kind='buckets', every='P1M', aggregation='sum', measures=('load',), group='*', **berlin
        ),
        'a figure of all series': Query(kind='top', measures=('load',), group='*', by='mean'),
        'a histogram': Query(kind='histogram', **one),
        'candles a day': Query(kind='ohlc', every='P1D', volume='volume', **one, **berlin),
    }


def zoomed(stored: Stored, rows: int) -> list[float]:
    """Return the seconds of CPU that the panels take together after each of some zooms."""
    draw, whole, took = np.random.default_rng(4), rows // SERIES * MINUTE, []
    for share in np.repeat([0.97, 0.5, 0.25, 0.1, 0.03], 8):
        start = BEGUN + int(draw.integers(0, whole - int(share * whole)))
        moved = [replace(one, start=start, end=start + int(share * whole)) for one in panels_of(stored).values()]
        took.append(sum(spent(stored, one) for one in moved))
    return took


def others(stored: Stored, name: str) -> list[Figure]:
    """Panels and other questions over the whole range. The goals of panels are ours, not the issue's."""
    panels, one = panels_of(stored), {'measures': ('load',), 'series': (stored.labels[7],)}
    more = {
        'p95 an hour': Query(kind='buckets', every='PT1H', aggregation='p95', **one),
        'a box': Query(kind='box', **one),
        'a histogram of all series': Query(kind='histogram', measures=('load',), group='*'),
        'the greatest of all series': Query(kind='top', measures=('load',), top=10),
    }
    figures = []
    for what, query in (panels | more).items():
        first, *again = [timed(lambda query=query: encode(answer(stored, query))) for _ in range(6)]
        goal = {'goal': PANEL} if what in panels else {}
        figures += [
            Figure(figure=f'{name}: {what}, first (ms)', value=1000 * first),
            Figure(figure=f'{name}: {what}, again (ms)', value=percentile(again, 50), **goal),
        ]
    return figures


def sums_equal(folder: Path, stored: Stored) -> float:
    """Return the share of daily and monthly sums and counts over all series that are DuckDB's of the rows."""
    held = total = 0
    with duck.connect(memory=512 * MB, allow=sorted(folder.glob('data-*'))) as connection:
        for every, unit in (('P1D', 'day'), ('P1M', 'month')):
            brute = connection.execute(
                f"SELECT epoch_ms(date_trunc('{unit}', _time)), sum(CAST(load AS DOUBLE)), count(load) "
                f'FROM {duck.files(sorted(folder.glob("data-*")))} GROUP BY 1 ORDER BY 1'
            ).fetchall()
            asked = Query(kind='buckets', every=every, aggregation='sum', measures=('load',), group='*')
            (line,) = decode(encode(answer(stored, asked))).lines
            y, n = line.columns['y'].tolist(), line.columns['n'].tolist()
            total += len(brute)
            held += sum(
                abs(value - expected) <= 1e-9 * abs(expected) and counted == count
                for value, counted, (_, expected, count) in zip(y, n, brute, strict=True)
            )
    return held / total


def spent(stored: Stored, query: Query) -> float:
    """Answer, and return the seconds of CPU it took: what others of this machine leave us does not count."""
    begun = time.process_time()
    encode(answer(stored, query))
    return time.process_time() - begun


def timed(ask: Callable[[], object]) -> float:
    """Return the seconds that something took."""
    begun = time.perf_counter()
    ask()
    return time.perf_counter() - begun


def percentile(took: Sequence[float], share: float) -> float:
    """Return a percentile of seconds in milliseconds."""
    return 1000 * float(np.percentile(took, share))


if __name__ == '__main__':
    sys.exit(main())
