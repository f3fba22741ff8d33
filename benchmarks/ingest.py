"""What an ingest costs: `python -m benchmarks.ingest [--quick] [--large]`.

A long table of readings (1,000 meters, a row each quarter of an hour, in order of time) is made as CSV and read by
DuckDB's plain COPY into zstd Parquet and by the whole ingest, each in a process of its own on one core, in turns. The
ratios are medians of CPU seconds of the same run; `--runs` is how many turns there are: 3, or 1 with `--quick`, which
makes 2M rows, else there are 16.7M (1.4 GB); `--large` also reads 10 GB once. What is made goes to a temporary folder
(TMPDIR), which needs twice the size of the CSV. These figures are printed first. Then the generated dirty files are
converted too, and what became of their records and cells is counted (see `benchmarks.dirty`).
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import Figure, report

MB = 2**20
SERIES = 1000
ROWS, QUICK, LARGE = 16_700_000, 2_000_000, 120_700_000
STEP = f'(i // {SERIES})'
TABLE = f"""
    SELECT printf('meter-%04d', i % {SERIES}) AS unique_id,
        strftime(TIMESTAMP '2023-01-01' + to_minutes(15 * {STEP}), '%Y-%m-%d %H:%M:%S') AS ds,
        500 + 300 * sin({STEP} / 96.0 * 6.283) + (hash(i) % 1000003) / 10007.0 AS y,
        230 + 3 * sin({STEP} / 35040.0 * 6.283) + (hash(i + 1) % 1000003) / 100003.0 AS voltage,
        printf('%.2f', 12 + 9 * sin({STEP} / 35040.0 * 6.283) + (hash(i + 2) % 400) / 100.0) AS temperature,
        CASE WHEN hash(i + 4) % 50 = 0 THEN 'estimated' ELSE 'measured' END AS quality
    FROM range({{rows}}) t(i)"""


def main() -> int:
    """Measure and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='2M rows instead of 16.7M')
    parser.add_argument('--large', action='store_true', help='read 10 GB too')
    parser.add_argument('--runs', type=int, help='turns, of which the median counts')
    parser.add_argument('--child', nargs=4, metavar=('WHAT', 'SOURCE', 'OUT', 'MEMORY'), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        what, source, out, memory = asked.child
        return child(what, Path(source), Path(out), int(memory))
    folder = Path(tempfile.mkdtemp(prefix='vs-bench-'))
    try:
        runs = asked.runs or (1 if asked.quick else 3)
        figures = compared(folder, rows=QUICK if asked.quick else ROWS, runs=runs, quick=asked.quick)
        if asked.large:
            figures += large(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    missed = report(figures)
    sys.stdout.flush()
    return max(missed, report(dirty(asked.quick)))


def dirty(quick: bool) -> list[Figure]:
    """Return what became of the generated dirty files."""
    from benchmarks.dirty import figures

    return figures(quick)


def compared(folder: Path, *, rows: int, runs: int, quick: bool) -> list[Figure]:
    """Run DuckDB and the ingest in turns at two limits; return ratios, memory and sizes."""
    source = folder / 'readings.csv'
    run('make', source, source, 2048, rows=rows)
    figures = [Figure(figure='CSV (MB)', value=source.stat().st_size / 1e6), Figure(figure='rows', value=rows)]
    for memory, goal in ((2048, 3.0), (512, 4.5)):
        turns: dict[str, list[dict[str, float]]] = {'copy': [], 'ingest': []}
        for _ in range(runs):
            for what, done in turns.items():
                done.append(run(what, source, folder / what, memory))
        plain, ours = (statistics.median(one['cpu'] for one in turns[what]) for what in ('copy', 'ingest'))
        peak = max(one['rss'] for one in turns['ingest'])
        # A short file costs what starting costs, so that its ratio says nothing of a long one's.
        figures += [
            Figure(figure=f'plain COPY, {memory} MB (CPU s)', value=plain),
            Figure(figure=f'whole ingest, {memory} MB (CPU s)', value=ours),
            Figure(figure=f'whole ingest / COPY, {memory} MB', value=ours / plain, goal=None if quick else goal),
            Figure(figure=f'ingest, {memory} MB: peak RSS (MB)', value=peak, goal=memory + 150),
        ]
    data, pyramid, copied = (sizes(folder / 'ingest', 'data-*'), sizes(folder / 'ingest', 'pyramid*'),
                             sizes(folder, 'copy'))  # fmt: skip
    return [
        *figures,
        Figure(figure='stored rows / zstd Parquet of COPY', value=data / copied, goal=1.1),
        Figure(figure='pyramid / stored rows (%)', value=100 * pyramid / data, goal=None if quick else 6),
    ]


def large(folder: Path) -> list[Figure]:
    """Read 10 GB within 512 MB."""
    (folder / 'readings.csv').unlink(missing_ok=True)
    source = folder / 'large.csv'
    run('make', source, source, 2048, rows=LARGE)
    found = run('ingest', source, folder / 'ingest', 512)
    return [
        Figure(figure='large CSV (MB)', value=source.stat().st_size / 1e6),
        Figure(figure='large: whole ingest, 512 MB (CPU s)', value=found['cpu']),
        Figure(figure='large: peak RSS (MB)', value=found['rss'], goal=512 + 150),
    ]


def sizes(folder: Path, pattern: str) -> int:
    """Return the bytes of the files that fit a pattern."""
    return sum(file.stat().st_size for file in folder.glob(pattern))


def run(what: str, source: Path, out: Path, memory: int, *, rows: int = 0) -> dict[str, float]:
    """Do something in a process of its own; return its CPU seconds and the most memory it had (MB)."""
    if out.is_dir():
        shutil.rmtree(out)
    command = [sys.executable, '-m', 'benchmarks.ingest', '--child', what, str(source), str(out), str(rows or memory)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def child(what: str, source: Path, out: Path, number: int) -> int:
    """Do it, and print what it cost."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    {'make': make, 'copy': copy, 'ingest': ingest}[what](source, out, number)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({'cpu': used.ru_utime + used.ru_stime, 'rss': used.ru_maxrss / 1024}))
    return 0


def make(source: Path, out: Path, rows: int) -> None:
    """Write the table as CSV; it is the same each time."""
    import duckdb

    with duckdb.connect(config={'threads': 1, 'memory_limit': '1GB'}) as connection:
        connection.execute(f"COPY ({TABLE.format(rows=rows)}) TO '{out}' (FORMAT csv, HEADER)")


def copy(source: Path, out: Path, memory: int) -> None:
    """What DuckDB itself does with a file of which it finds out everything."""
    import duckdb

    with duckdb.connect(config={'threads': 1, 'memory_limit': f'{memory}MB'}) as connection:
        connection.execute(f"COPY (FROM read_csv('{source}')) TO '{out}' (FORMAT parquet, COMPRESSION zstd)")


def ingest(source: Path, out: Path, memory: int) -> None:
    """Read, check, type, sort, store, profile and summarise."""
    from core.analysis.ingest import Options, convert

    out.mkdir()
    options = Options(memory=memory * MB)
    manifest = convert(source, name=source.name, into=out, options=options, progress=lambda share, text: None)
    assert manifest.rows_accepted == manifest.rows_read, 'the table is clean'


if __name__ == '__main__':
    sys.exit(main())
