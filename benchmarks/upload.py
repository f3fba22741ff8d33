"""What a large upload costs the server: `python -m benchmarks.upload [--quick]` sends 2 GB (200 MB) by tus on loopback.

The figure is how much the web process's resident memory grows while the file arrives and is accepted.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks import Figure, report
from tests.e2e.server import Server, python
from tests.e2e.test_faults import begin, send

PART = 8 * 2**20


def main() -> int:
    """Measure and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='200 MB instead of 2 GB')
    parts = 25 if parser.parse_args().quick else 256
    folder = Path(tempfile.mkdtemp(prefix='vs-bench-'))
    try:
        return report(measure(folder, parts=parts))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(folder: Path, *, parts: int) -> list[Figure]:
    """Send `parts` pieces of 8 MB and return the growth of memory (MB) and the rate (MB/s, for the record)."""
    row = b'2024-01-01T00:00:00,1.25,17.5\n'
    part = (row * (PART // len(row) + 1))[:PART]
    # No workers: the conversion that follows is another process and another figure.
    server = Server(folder / 'home', command=python('run_nicegui.py', 'serve'), VARIOSYNC_WORKERS='0').start()
    try:
        client = server.client()
        process = psutil.Process(server.pid)
        send(client, begin(client, 'small.csv', PART), part, 0)
        before = most = process.memory_info().rss
        address = begin(client, 'large.csv', parts * PART)
        started = time.perf_counter()
        for place in range(parts):
            send(client, address, part, place * PART)
            most = max(most, process.memory_info().rss)
        seconds = time.perf_counter() - started
    finally:
        server.stop()
    size = parts * PART / 1e6
    return [
        Figure(figure=f'memory growth of the server, {size:.0f} MB upload (MB)', value=(most - before) / 1e6, goal=100),
        Figure(figure='rate on loopback (MB/s)', value=size / seconds),
    ]


if __name__ == '__main__':
    sys.exit(main())
