"""What hostile files do to a server: `python -m benchmarks.hostile [--quick]`; `--quick` brings a dozen of them.

Each file of `tests/security/test_hostile_files.py` (bombs, lying headers, nesting, torn and random bytes) is brought to
a real server whose tasks may use 512 MB, one after the other, while `/health` is asked ten times a second and the
resident memory of the server and of its children is read. An answer is a failed job, or a stored version, or that its
file is accepted and read on, with the time that is left: a large file may take long, a refusal may not. A message
says what to do when one of its sentences begins with a verb that tells somebody to do something. The CPU time of the
processes that read a file is told beside, as the time to an answer is that of everything that the machine does.
"""

import argparse
import re
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks import Figure, report
from tests.e2e.server import Server, python
from tests.e2e.test_faults import begin
from tests.security.test_hostile_files import CASES

MB = 2**20
LIMIT = 512 * MB
SPARE = 150 * MB
PATIENCE = 60.0
PIECE = 8 * MB
READ = 'read'
LEFT = re.compile(r'\d+ (s|min) left')
EMAIL, PASSWORD = 'bench@example.com', 'correct horse battery'
TELLS = re.compile(
    r'(^|[.:;,] )(Upload|Split|Pack|Unpack|Save|Write|Name|Choose|Say|Look|Allow|Open|Export|Remove|Give|Convert|Check|'
    r'Try|Ask|Use)\b'
)
QUICK = (
    'zip_bomb', 'workbook_with_a_billion_laughs', 'workbook_whose_strings_are_a_bomb', 'parquet_bomb', 'truncated_gzip',
    'json_nested_a_hundred_thousand_deep', 'twenty_thousand_columns_of_one_name', 'one_line_of_fifty_megabytes',
    'quotes_that_never_end', 'random_bytes_called_csv', 'an_empty_file', 'zip_of_zips',
)  # fmt: skip


@dataclass(slots=True)
class Watched:
    """What was seen of the server while files came."""

    children: int = 0
    idle: dict[int, float] = field(default_factory=dict)
    busy: dict[int, float] = field(default_factory=dict)
    web: list[int] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """How one file ended."""

    name: str
    seconds: float
    told: float
    busy: float
    peak: int
    text: str

    @property
    def first(self) -> float:
        """Seconds until the owner knew how it would go on."""
        return min(self.seconds, self.told) if self.text == READ else self.seconds

    @property
    def helps(self) -> bool:
        """Whether it is a report, or an error that says what to do."""
        return self.text == READ or (bool(TELLS.search(self.text)) and len(self.text) < 500)


def main() -> int:
    """Measure and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='a dozen files instead of all')
    quick = parser.parse_args().quick
    files = [(case.id, case.values[0], case.values[1]) for case in CASES if not quick or case.id in QUICK]
    folder = Path(tempfile.mkdtemp(prefix='vs-bench-'))
    server = Server(
        folder / 'home',
        command=python('run_nicegui.py', 'serve'),
        VARIOSYNC_TASK_MEMORY='512MB',
        VARIOSYNC_RATE_LIMIT='1000000',
    ).start()
    try:
        return report(measure(server, files))
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def measure(server: Server, files: Sequence[tuple[str, str, Callable[[], bytes]]]) -> list[Figure]:
    """Bring the files, and return the figures."""
    client = server.client(EMAIL, PASSWORD)
    pid = server.pid
    bring(client, 'warm-up.csv', b'ds,y\n2024-01-01,1\n2024-01-02,2\n')
    answers = []
    with watching(server, pid) as seen:
        for kind, name, make in files:
            data = make()
            seen.idle = {child.pid: busy(child) for child in psutil.Process(pid).children(recursive=True)}
            seen.children, seen.busy = 0, {}
            seconds, told, text = bring(client, name, data)
            used = sum(most - seen.idle.get(child, 0.0) for child, most in seen.busy.items())
            answers.append(Answer(kind, seconds, told, used, seen.children, text))
            print(
                f'{kind:<56} {seconds:>5.1f} s {used:>5.1f} s CPU {seen.children / MB:>5.0f} MB  {text[:150]}',
                flush=True,
            )
    print()
    alive = psutil.pid_exists(pid) and server.pid == pid
    return [
        Figure(figure='hostile files', value=len(answers), goal=12 if len(files) == len(QUICK) else 30, better='more'),
        Figure(figure='web process the same at the end', value=float(alive), goal=1, better='more'),
        Figure(figure='asks of /health that failed', value=seen.failed, goal=0),
        Figure(figure='longest answer of /health (s)', value=max(seen.health), goal=2),
        Figure(figure='median answer of /health (ms)', value=1000 * statistics.median(seen.health)),
        Figure(figure='web process RSS growth (MB)', value=(seen.web[-1] - seen.web[0]) / MB, goal=100),
        Figure(figure='child RSS, largest (MB)', value=max(a.peak for a in answers) / MB, goal=(LIMIT + SPARE) / MB),
        Figure(figure='longest time to an answer (s)', value=max(answer.first for answer in answers), goal=10),
        Figure(figure='longest time to the end (s)', value=max(answer.seconds for answer in answers)),
        Figure(figure='most CPU time for an answer (s)', value=max(answer.busy for answer in answers)),
        Figure(figure='answers that do not say what to do', value=sum(not a.helps for a in answers), goal=0),
    ]


def bring(client: httpx.Client, name: str, data: bytes) -> tuple[float, float, str]:
    """Upload a file and wait for its end.

    Return the seconds from its last byte to the end, those to the first word of the time left, and the end in words.
    """
    address = begin(client, name, len(data)) if data else ''
    if not data:
        began = time.perf_counter()
        answer = client.post('/api/v1/uploads', headers={'Tus-Resumable': '1.0.0', 'Upload-Length': '0'})
        return time.perf_counter() - began, PATIENCE, str(answer.json().get('detail', answer.text))
    kind = 'application/offset+octet-stream'
    for start in range(0, len(data), PIECE):
        headers = {'Tus-Resumable': '1.0.0', 'Upload-Offset': str(start), 'Content-Type': kind}
        answer = client.patch(address, content=data[start : start + PIECE], headers=headers)
        if answer.status_code != 204:
            return 0.0, PATIENCE, str(answer.json().get('detail', answer.text))
    began, told = time.perf_counter(), PATIENCE
    while time.perf_counter() < began + PATIENCE:
        jobs: Sequence[dict[str, Any]] = client.get('/api/v1/jobs').raise_for_status().json()['items']
        if jobs and jobs[0]['finished_at'] is not None and not any(job['finished_at'] is None for job in jobs):
            seconds = time.perf_counter() - began
            return seconds, told, jobs[0]['error']['message'] if jobs[0]['error'] else READ
        if jobs and LEFT.search(jobs[0]['message'] or ''):
            told = min(told, time.perf_counter() - began)
        time.sleep(0.05)
    return PATIENCE, told, 'no answer'


@contextmanager
def watching(server: Server, pid: int) -> Iterator[Watched]:
    """Read memory and ask /health until the block ends."""
    seen, over = Watched(), threading.Event()
    web = psutil.Process(pid)
    seen.web.append(web.memory_info().rss)

    def look() -> None:
        while not over.wait(0.05):
            children = web.children(recursive=True)
            seen.children = max(seen.children, sum(resident(child) for child in children))
            for child in children:
                seen.busy[child.pid] = max(seen.busy.get(child.pid, 0.0), busy(child))

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            while not over.wait(0.1):
                began = time.perf_counter()
                try:
                    seen.failed += not client.get('/health').is_success
                except httpx.HTTPError:
                    seen.failed += 1
                seen.health.append(time.perf_counter() - began)

    threads = [threading.Thread(target=target) for target in (look, ask)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()
        seen.web.append(resident(web))


def resident(process: psutil.Process) -> int:
    """The resident bytes of a process that runs tasks or serves; Postgres is not counted."""
    try:
        return 0 if process.name().startswith('postgres') else process.memory_info().rss
    except psutil.Error:
        return 0


def busy(process: psutil.Process) -> float:
    """The CPU seconds of a process that runs tasks."""
    try:
        times = process.cpu_times()
        return 0.0 if process.name().startswith('postgres') else times.user + times.system
    except psutil.Error:
        return 0.0


if __name__ == '__main__':
    sys.exit(main())
