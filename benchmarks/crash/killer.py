"""Carries out a plan and watches what recovers."""

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.crash.load import Load
from benchmarks.crash.plan import Kill
from benchmarks.crash.site import Ledger, Site

OVERHEAD = 4.0  # seconds of a kill besides: until its moment comes, and until what was killed is up again
HELD = 2.0  # a recovery counts when it lasts
STANDING = """
select j.id, j.kind, j.state, j.attempt, extract(epoch from w.last_heartbeat)::float8 as heard
from public.jobs j
left join procrastinate.procrastinate_jobs d on d.lock = j.id::text and d.status = 'doing'
left join procrastinate.procrastinate_workers w on w.id = d.worker_id
where case when %(ids)s::uuid[] is null then j.state in ('queued', 'running') else j.id = any(%(ids)s) end
"""


@dataclass(slots=True)
class Recovery:
    """Watches what was open at a kill until all of it has ended or runs again and the server is well."""

    site: Site
    ledger: Ledger
    kill: Kill
    open: Mapping[UUID, tuple[str, int]]
    at: float  # by the clock that the database reads, too
    seconds: float = float('inf')
    missing: str = ''

    def watch(self, *, limit: float = 120) -> None:
        """Return when everything has recovered, or after `limit` seconds."""
        since: float | None = None
        while time.time() - self.at < limit:
            now = time.time()
            if not self._recovered():
                since = None
            elif since is None:
                since = now
            elif now - since >= HELD:
                self.seconds = since - self.at
                return
            time.sleep(0.2)

    def _recovered(self) -> bool:
        self.missing = 'health' if not self.site.healthy() else ''
        if not self.missing and self.open:
            try:
                rows = self.ledger.all(STANDING, ids=list(self.open))
            except psycopg.OperationalError:
                self.missing = 'database'
            else:
                self.missing = ', '.join(f'{row["kind"]} {row["id"]}' for row in rows if not self._goes_on(row))
        return not self.missing

    def _goes_on(self, row: Mapping[str, Any]) -> bool:
        if row['state'] != 'running':
            return row['state'] != 'queued'
        if row['attempt'] > self.open[row['id']][1]:
            return True
        # The same attempt runs on only in a process that was heard of since; a dead one leaves its jobs "running".
        return self.kill.victim not in ('web', 'worker') or (row['heard'] or 0) > self.at + 0.5


@dataclass(slots=True)
class Killer:
    """Carries out a plan."""

    site: Site
    ledger: Ledger
    load: Load
    rng: random.Random
    recoveries: list[Recovery] = field(default_factory=list)
    _before: list[dict[str, Any]] = field(default_factory=list)

    def run(self, kills: Sequence[Kill], *, until: float, pause: float) -> None:
        """Kill one after another; the next waits for the recovery from the last, but at most `pause` seconds.

        It waits less when the time is short, and nobody is killed after `until`.
        """
        threads: list[threading.Thread] = []
        for number, kill in enumerate(kills, 1):
            if time.monotonic() > until:
                break
            self.load.wanted = kill.moment
            recovery = self._strike(kill)
            self.recoveries.append(recovery)
            threads.append(threading.Thread(target=self._follow, args=(number, recovery), daemon=True))
            threads[-1].start()
            share = (until - time.monotonic()) / max(1, len(kills) - number)
            threads[-1].join(max(1.0, min(pause, share - OVERHEAD)))
        for thread in threads:
            thread.join(120)
        self.site.watch()

    def _follow(self, number: int, recovery: Recovery) -> None:
        recovery.watch()
        kill, told = recovery.kill, f'recovered in {recovery.seconds:.1f} s'
        if recovery.missing:
            told = f'NOT RECOVERED: {recovery.missing}'
        print(f'{number:>3} {kill.victim:<8} {kill.moment:<8} {len(recovery.open)} open, {told}', flush=True)

    def _strike(self, kill: Kill) -> Recovery:
        self.site.watch()
        self._await_moment(kill, patience=25)
        if kill.victim == 'child' and not _wait(lambda: bool(self.site.tasks('web', 'worker')), 25):
            kill = replace(kill, victim='worker')  # nothing runs, perhaps because it still comes back
        if kill.moment != 'settle':
            time.sleep(kill.delay)
        rows = self.ledger.patiently(STANDING, ids=None) if kill.moment != 'settle' else self._before
        was_open = {row['id']: (row['state'], row['attempt']) for row in rows}
        recovery = Recovery(self.site, self.ledger, kill, was_open, time.time())
        if not self.site.kill(kill.victim, rng=self.rng):
            recovery.kill = replace(kill, victim='worker')  # the task has ended meanwhile
            self.site.kill('worker', rng=self.rng)
        return recovery

    def _await_moment(self, kill: Kill, *, patience: float) -> None:
        """Wait until what the kill is to interrupt is under way; a moment that does not come is passed over."""
        owners = (kill.victim,) if kill.victim in ('web', 'worker') else ('web', 'worker')
        match kill.moment:
            case 'upload':
                _wait(lambda: self.load.sending > 0, patience, step=0.02)
            case 'beat':
                _wait(lambda: self.load.beating > 0, patience, step=0.003)
            case 'settle':
                _wait(lambda: bool(self.site.tasks(*owners)), patience)
                self._before = self.ledger.patiently(STANDING, ids=None)
                # The end of a task's process is followed by the end of its job: strike there.
                working = self.site.tasks(*owners)
                _wait(lambda: any(not child.is_running() for child in working) or not working, patience, step=0.003)
            case kind:
                _wait(lambda: self._runs(kind) and bool(self.site.tasks(*owners)), patience)

    def _runs(self, kind: str) -> bool:
        rows = self.ledger.patiently(STANDING, ids=None)
        return any((row['kind'], row['state']) == (kind, 'running') for row in rows)


def _wait(true: Callable[[], bool], patience: float, *, step: float = 0.1) -> bool:
    until = time.monotonic() + patience
    while not (holds := true()) and time.monotonic() < until:
        time.sleep(step)
    return holds
