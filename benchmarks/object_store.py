"""What a bucket costs against local files: `python -m benchmarks.object_store [--quick]`, the same dataset in both.

The bucket is on moto in a process of its own: rclone's server answers ranges wrongly. Times are medians of interleaved
rounds, in milliseconds; ratios are medians of those within a round. Charts go through `core.charts` without a cache of
answers, exports through `core.datasets`. Cold is an empty cache of objects, warm a filled one. In parts is how datasets
are read that are too large to be copied first; here they are made to be so. Far is cold with 30 ms before each answer,
as from another place.
"""

import argparse
import asyncio
import csv
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import numpy as np

from benchmarks import Figure, report
from core.analysis import duck
from core.analysis.ingest import Options, convert
from core.analysis.query import Query
from core.charts import Charts
from core.datasets import Datasets
from core.values import Version
from storage import objects as module
from storage.object_cache import ObjectCache
from storage.objects import Objects, ObjectsAt
from tests.counterparts.fault_proxy import Fault, FaultProxy

TENANT = uuid4()
SERIES = 10
BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
STEP = timedelta(minutes=1)
FAR = 0.03
ZOOMS = 5
SERVER = """
import sys
from tests.counterparts.moto import Moto
with Moto() as server:
    print(server.make('bucket').endpoint, flush=True)
    sys.stdin.read()
"""
OPERATIONS = ('first chart', 'zoom', 'whole series', 'export')


def main() -> int:
    """Measure and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='1 million rows instead of 5, fewer rounds')
    quick = parser.parse_args().quick
    folder = Path(tempfile.mkdtemp(prefix='vs-bench-'))
    try:
        return report(asyncio.run(measure(folder, rows=10**6 if quick else 5 * 10**6, rounds=3 if quick else 9)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def measure(folder: Path, *, rows: int, rounds: int) -> list[Figure]:
    """Store one dataset in both worlds, read it in turn, print the table and return the figures."""
    local = Objects.local(folder / 'objects')
    with bucket() as at, FaultProxy(str(at.endpoint)) as proxy:
        proxy.fail(Fault(kind='slow', seconds=FAR), times=None)
        far = replace(at, endpoint=proxy.url)
        version = await store(folder, rows, [local, Objects.s3(at)])
        sides = [
            Side('local', lambda: local),
            Side('cold', lambda: fresh(at, folder)),
            Side('warm', always(fresh(at, folder))),
            Side('parts cold', lambda: fresh(at, folder), parts=True),
            Side('parts warm', always(fresh(at, folder)), parts=True),
            Side('far', lambda: fresh(far, folder)),
            Side('parts far', lambda: fresh(far, folder), parts=True),
        ]
        times: dict[tuple[str, str], list[float]] = defaultdict(list)
        for operation in OPERATIONS:
            turns = rounds if operation == 'export' else 3 * rounds
            for number in range(turns + 1):
                for side in sides[number % len(sides) :] + sides[: number % len(sides)]:
                    seconds = await side.time(operation, version, folder, number)
                    if number:  # the first round fills what is to be warm
                        times[operation, side.name].append(seconds)
    show(times, [side.name for side in sides], version)
    return [
        Figure(figure=f'{operation}, warm bucket against local files', value=ratio(times, operation, 'warm'), goal=1.2)
        for operation in OPERATIONS
    ]


@dataclass(frozen=True)
class Side:
    """One way to hold the dataset; with `parts` nothing is copied whole."""

    name: str
    open: Callable[[], Objects]
    parts: bool = False

    async def time(self, operation: str, version: Version, folder: Path, number: int) -> float:
        """Return the seconds that an operation takes on its own, after what comes before it in practice."""
        objects = self.open()
        charts = Charts(objects, cache=Forgetful())
        prepare, act = operations(charts, objects, version, folder, number)[operation]
        with patch.object(module, 'COPIED', 0 if self.parts else module.COPIED):
            await prepare()
            started = time.perf_counter()
            await act()
            seconds = time.perf_counter() - started
        charts.close()
        return seconds / (ZOOMS if operation == 'zoom' else 1)


Step = Callable[[], Awaitable[Any]]


def operations(
    charts: Charts, objects: Objects, version: Version, folder: Path, number: int
) -> dict[str, tuple[Step, Step]]:
    """What is timed: for each, what comes before it and what it does."""
    series = f's{number % SERIES}'
    whole = Query(measures=('value',), series=(series,))
    step, begin = STEP // timedelta(microseconds=1), int(BEGIN.timestamp()) * 1_000_000
    starts = [begin + place * 1000 * step for place in range(number, number + ZOOMS)]
    zoomed = [replace(whole, start=start, end=start + 2000 * step) for start in starts]

    async def nothing() -> None:
        pass

    async def chart(*queries: Query) -> None:
        for query in queries:
            await charts.answer(TENANT, version, query)

    async def read() -> None:
        opened = await objects.open(version.parts)
        await asyncio.to_thread(read_series, opened.paths, opened.files, series)

    async def export() -> None:
        await unkept(objects).export(TENANT, version, 'rows', folder / 'out.csv')

    return {
        'first chart': (nothing, lambda: chart(whole)),
        'zoom': (lambda: chart(whole), lambda: chart(*zoomed)),
        'whole series': (nothing, read),
        'export': (nothing, export),
    }


def read_series(paths: tuple[str, ...], system: Any, series: str) -> None:
    """Read every value of one series."""
    query = f'select _time, value from {duck.files(paths)} where _series = ?'
    with duck.connect(memory=2**28, allow=paths, system=system) as connection:
        connection.execute(query, [series]).fetchnumpy()


@contextmanager
def bucket() -> Iterator[ObjectsAt]:
    """An empty bucket on moto in a process of its own."""
    process = subprocess.Popen([sys.executable, '-c', SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield ObjectsAt(bucket='bucket', endpoint=process.stdout.readline().strip(), key='key', secret='secret')
    finally:
        process.communicate('')


async def store(folder: Path, rows: int, stores: list[Objects]) -> Version:
    """Convert made-up rows and put the version into each store."""
    source, made = folder / 'source.csv', folder / 'version'
    write_csv(source, rows)
    made.mkdir()
    manifest = convert(
        source, name='source.csv', into=made, options=Options(memory=2**30), progress=lambda part, text: None
    ).to_json()
    prefix = f't/{TENANT}/v/{uuid4()}'
    for objects in stores:
        for path in sorted(made.iterdir()):
            await objects.put_file(f'{prefix}/{path.name}', path)
    now = datetime.now(UTC)
    ids = {name: UUID(int=0) for name in ('id', 'dataset_id', 'upload_id')}
    return Version(user_id=TENANT, number=1, prefix=prefix, manifest=manifest, rows=rows, created_at=now, **ids)


def write_csv(path: Path, rows: int) -> None:
    """Write random walks of `SERIES` series, a value a minute."""
    walks = np.random.default_rng(0).normal(size=(rows // SERIES, SERIES)).cumsum(axis=0).round(3)
    with path.open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['time', 'name', 'value'])
        for place, walk in enumerate(walks.tolist()):
            stamp = (BEGIN + place * STEP).isoformat()
            writer.writerows([stamp, f's{number}', value] for number, value in enumerate(walk))


def fresh(at: ObjectsAt, folder: Path) -> Objects:
    """The bucket behind an empty cache."""
    return Objects.s3(at, cache=ObjectCache(folder / 'caches' / uuid4().hex, limit=2**31))


def always(objects: Objects) -> Callable[[], Objects]:
    """The same store every time."""
    return lambda: objects


def unkept(objects: Objects) -> Datasets:
    """Datasets over a store; of the other ports reading needs none."""
    none: Any = None
    return Datasets(none, objects=objects, events=none)


class Forgetful:
    """A cache that keeps nothing."""

    async def get(self, key: str) -> None:
        """Return nothing."""

    async def set(self, key: str, value: bytes, *, ttl: float) -> None:
        """Keep nothing."""


def ratio(times: dict[tuple[str, str], list[float]], operation: str, side: str) -> float:
    """Return the median of a side's times against the local ones of the same round: others share this machine."""
    pairs = zip(times[operation, side], times[operation, 'local'], strict=True)
    return statistics.median(one / local for one, local in pairs)


def show(times: dict[tuple[str, str], list[float]], names: list[str], version: Version) -> None:
    """Print the table."""
    print(f'{version.rows:,} rows in {len(version.parts)} parts; medians in ms')
    print(f'{"":<14}' + ''.join(f'{name:>12}' for name in names))
    for operation in OPERATIONS:
        medians = [statistics.median(times[operation, name]) * 1000 for name in names]
        print(f'{operation:<14}' + ''.join(f'{median:>12.1f}' for median in medians))
    print()


if __name__ == '__main__':
    sys.exit(main())
