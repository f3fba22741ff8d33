"""Kills in the middle of everything: see `benchmarks.crash`."""

import argparse
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks import Figure, crash, report
from benchmarks.crash.checks import (
    BALANCES,
    ENDED,
    UPLOADS,
    VERSIONS,
    ended_wrongly,
    ledger_errors,
    lost_uploads,
    partial_datasets,
)
from benchmarks.crash.killer import Killer
from benchmarks.crash.load import LARGE, LINE, OPEN, Load
from benchmarks.crash.plan import plan
from benchmarks.crash.site import SITES, Ledger, Site

SIMPLE = (('seasonal_naive',),)  # models of a quick run
MINUTES = 13.0  # for the kills; what is open then is given time to end


def measure(home: Path, *, where: str, kills: int, seed: int, quick: bool = False) -> list[Figure]:
    """Kill `kills` times over a new home `where` a site says, let everything end, and return the figures.

    `quick` sends smaller files over a slower line at a calmer pace, orders simple models, and hardly waits between
    kills.
    """
    begin = time.monotonic()
    site = SITES[where](home, quick=quick)
    try:
        site.start()
        with closing(Ledger(site.dsn())) as ledger:
            figures, failures = _killed(site, ledger, kills=kills, seed=seed, until=begin + MINUTES * 60, quick=quick)
        for failure in failures:
            print('fault:', failure)
    except BaseException:
        print(site.told(), file=sys.stderr)
        raise
    finally:
        site.stop()
    if not all(figure.holds for figure in figures):
        print(site.told(), file=sys.stderr)
    return [
        *figures,
        Figure(figure='minutes', value=(time.monotonic() - begin) / 60, goal=15),
        Figure(figure='faults of this program', value=len(failures), goal=0),
    ]


def _killed(
    site: Site, ledger: Ledger, *, kills: int, seed: int, until: float, quick: bool
) -> tuple[list[Figure], list[str]]:
    """Carry the plan out under load; return the figures, and what went wrong in this program itself."""
    load = Load(site, ledger, seed)
    if quick:
        load.large, load.line, load.rest, load.models = LARGE // 32, LINE / 16, 3.0, SIMPLE
    load.start()
    killer = Killer(site, ledger, load, random.Random(f'{seed}-victims'))
    planned = plan(kills, seed=seed, victims=site.victims)
    if quick:
        # What takes longest to come back from first, so that the waits overlap.
        planned.sort(key=lambda kill: kill.victim in ('child', 'postgres'))
    killer.run(planned, until=until, pause=1.0 if quick else 14.0)
    load.stop()
    left = _settled(ledger, patience=240)
    return _figures(site, ledger, load, killer, left=left, kills=kills), load.failures


def _settled(ledger: Ledger, *, patience: float) -> int:
    """Wait until every job has ended; return how many have not."""
    until = time.monotonic() + patience
    while (left := ledger.patiently(OPEN)[0]['count']) and time.monotonic() < until:
        time.sleep(0.5)
    return int(left)


def _figures(site: Site, ledger: Ledger, load: Load, killer: Killer, *, left: int, kills: int) -> list[Figure]:
    for sent in load.sent:
        load.users[sent.owner].look(sent)
    jobs, versions = ledger.patiently(ENDED), ledger.patiently(VERSIONS)
    ended = [row for row in jobs if row['state'] not in ('queued', 'running')]
    found = {
        'uploads lost': list(lost_uploads(load, ledger.patiently(UPLOADS))),
        'jobs ended twice or wrongly': list(ended_wrongly(ended)),
        'partial datasets visible': list(partial_datasets(load, site.objects(), versions)),
        'ledger errors': list(ledger_errors(ledger.patiently(BALANCES), ended)),
    }
    for name, wrong in found.items():
        for said in wrong[:20]:
            print(f'{name}: {said}')
    for said, times in load.unexpected.most_common():
        print(f'answered {times}×: {said}')
    for row in ended:
        if row['state'] == 'failed':
            print(f'failed after {row["attempt"]} attempts: {row["title"]}: {row["error"]}')
    seconds = [recovery.seconds for recovery in killer.recoveries] or [0.0]
    share = Counter(recovery.kill.victim for recovery in killer.recoveries)
    print('killed:', ', '.join(f'{victim} {times}' for victim, times in share.most_common()), end='\n\n')
    return [
        *(Figure(figure=name, value=len(wrong), goal=0) for name, wrong in found.items()),
        Figure(figure='times that acknowledged bytes were gone', value=load.shrunk, goal=0),
        Figure(figure='jobs without an end', value=left, goal=0),
        Figure(figure='processes that ended by themselves', value=site.gave_up, goal=0),
        Figure(figure='answers above 499 but 503', value=sum(load.unexpected.values()), goal=0),
        Figure(figure='worst recovery (s)', value=max(seconds), goal=60),
        Figure(figure='median recovery (s)', value=statistics.median(seconds)),
        Figure(figure='kills', value=len(killer.recoveries), goal=kills, better='more'),
        Figure(figure='uploads', value=len(load.sent)),
        Figure(figure='jobs ended', value=len(ended)),
        Figure(figure='jobs that failed', value=sum(row['state'] == 'failed' for row in ended)),
        Figure(figure='heartbeats', value=load.beats),
        Figure(figure='seconds charged for jobs', value=sum(row['charged'] or 0 for row in ended)),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, measure and return the exit status: 1 when a figure does not hold."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.crash', description=crash.__doc__)
    parser.add_argument('--kills', type=int, default=50)
    parser.add_argument('--seed', type=int, help='the plan of a run that is to be repeated')
    parser.add_argument('--on', choices=SITES, default='embedded', help='what the program runs on')
    parser.add_argument('--quick', action='store_true', help='five kills, for tests')
    asked = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    kills = 5 if asked.quick else asked.kills
    how = ('--quick' if asked.quick else f'--kills {kills}') + f' --on {asked.on}'
    print(f'seed {seed}, {kills} kills; repeat by `python -m benchmarks.crash {how} --seed {seed}`', flush=True)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that what was started is stopped
    folder = Path(tempfile.mkdtemp(prefix='vs-crash-'))
    try:
        return report(measure(folder / 'home', where=asked.on, kills=kills, seed=seed, quick=asked.quick))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == '__main__':
    sys.exit(main())
