"""The rules of hours in plain Python, for comparison with the database: one user, one history.

Times are whole microseconds since the history began, so that nothing is rounded on the way. Every method does what the
function of the same name in the schema `hours` does, and returns what it returns.
"""

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

SECOND = 1_000_000
GAP = 75 * SECOND
IDLE = 300 * SECOND
WEEK = 7 * 24 * 3600 * SECOND


@dataclass
class Granted:
    """Seconds that were given, and what remains of them; a refund of lapsed hours has no key of ours."""

    key: str
    remaining: int
    priority: int
    expires: int | None
    created: int
    refund: bool = False

    def lapsed(self, at: int) -> bool:
        """Whether its time has passed."""
        return self.expires is not None and self.expires <= at

    @property
    def order(self) -> tuple[int, float, int]:
        """Its place in the order of use."""
        return self.priority, float('inf') if self.expires is None else self.expires, self.created


@dataclass
class Viewing:
    """The open stretch of viewing: the pages were seen and their user active at these times.

    `began` is where the part that is being charged began; `charged` are its whole seconds that were paid for.
    """

    began: int
    seen: int
    active: int
    charged: int = 0
    state: str = 'running'

    @property
    def billed(self) -> int:
        """The time up to which everything is paid for."""
        return self.began + self.charged * SECOND

    def begin_again(self, at: int) -> None:
        """Nothing is due for the time up to `at`."""
        if at > self.billed:
            self.began, self.charged = at, 0


@dataclass
class Held:
    """What was held for a job: (grant, seconds) in the order of taking."""

    seconds: int
    parts: list[tuple[Granted, int]]


@dataclass
class Model:
    """One user's hours."""

    grants: list[Granted] = field(default_factory=list)
    viewing: Viewing | None = None
    held: dict[UUID, Held] = field(default_factory=dict)
    ended: dict[UUID, int] = field(default_factory=dict)
    ledger: Counter[str] = field(default_factory=Counter)
    error: float = 0.0  # most seconds by which a charge fell short of what was viewed

    @property
    def balance(self) -> int:
        """Seconds that remain, lapsed ones too as long as nobody has written them off."""
        return sum(grant.remaining for grant in self.grants)

    def give(self, key: str, seconds: int, *, priority: int, expires: int | None, at: int) -> bool:
        """Give seconds, once for a key."""
        if any(grant.key == key for grant in self.grants):
            return False
        self.grants.append(Granted(key, seconds, priority, expires, at))
        self.ledger['grant'] += seconds
        self.lapse(at)
        return True

    def lapse(self, at: int) -> int:
        """Write off what has expired."""
        gone = 0
        for grant in self.grants:
            if grant.lapsed(at):
                gone += grant.remaining
                grant.remaining = 0
        self.ledger['expiry'] -= gone
        return gone

    def beat(self, idle: float, at: int) -> str:
        """A page is open; its user was active `idle` seconds ago."""
        active = at - int(idle * SECOND)
        viewing = self.viewing
        if viewing and viewing.state != 'paused' and at - viewing.seen > GAP:
            viewing = self.viewing = None
        if viewing is None:
            if not any(grant.remaining and not grant.lapsed(at) for grant in self.grants):
                return 'exhausted'
            if active + IDLE <= at:
                return 'idle'
            viewing = self.viewing = Viewing(began=at, seen=at, active=active)
        viewing.seen = max(viewing.seen, at)
        if viewing.state == 'paused':
            return 'paused'
        if active > viewing.active + IDLE:
            self._charge(viewing.active + IDLE, at)
            viewing.begin_again(active)
        if self.viewing is None:
            return 'exhausted'
        viewing.active = max(viewing.active, active)
        viewing.state = 'running' if viewing.active + IDLE > viewing.seen else 'idle'
        self._charge(min(viewing.seen, viewing.active + IDLE), at)
        return viewing.state

    def pause(self, at: int) -> str:
        """Stop by hand."""
        viewing = self.viewing
        if viewing is None:
            viewing = self.viewing = Viewing(began=at, seen=at, active=at, state='paused')
        if viewing.state == 'running':
            gone = at - viewing.seen > GAP
            self._charge(min(viewing.seen if gone else max(viewing.seen, at), viewing.active + IDLE), at)
        if viewing.state != 'exhausted':
            viewing.state = 'paused'
            viewing.seen = max(viewing.seen, at)
        return viewing.state

    def resume(self, at: int) -> str:
        """Go on after a pause by hand."""
        viewing = self.viewing
        if viewing and viewing.state == 'paused':
            viewing.state = 'running'
            viewing.begin_again(at)
            viewing.seen, viewing.active = max(viewing.seen, at), max(viewing.active, at)
        return self.beat(0, at)

    def reserve(self, job: UUID, seconds: int, at: int) -> int:
        """Hold seconds for a job; return how many are missing."""
        self.lapse(at)
        if seconds > self.balance:
            return seconds - self.balance
        self.held[job] = Held(seconds, self._take(seconds, 'job'))
        self.ended.pop(job, None)
        return 0

    def settle(self, job: UUID, measured: int, at: int) -> int | None:
        """Keep what was measured of what was held, and return the rest to where it came from, the last part first."""
        held = self.held.pop(job, None)
        if held is None:
            return None
        kept = min(held.seconds, max(0, measured))
        rest = held.seconds - kept
        self.ledger['refund'] += rest
        for grant, taken in reversed(held.parts):
            part = min(rest, taken)
            rest -= part
            if part and grant.lapsed(at):
                self.grants.append(Granted('', part, grant.priority, at + WEEK, at, refund=True))
            else:
                grant.remaining += part
        self.ended[job] = kept
        return kept

    def _charge(self, through: int, at: int) -> None:
        """Take the whole seconds that were viewed since the last charge; the fraction waits."""
        viewing = self.viewing
        assert viewing is not None
        due = (through - viewing.billed) // SECOND
        if due > 0:
            self.lapse(viewing.billed)
            viewing.charged += sum(taken for _, taken in self._take(due, 'viewing'))
        self.lapse(at)
        if self.balance == 0:
            viewing.state = 'exhausted'
            self.viewing = None
        else:
            self.error = max(self.error, (through - viewing.billed) / SECOND)

    def _take(self, seconds: int, kind: str) -> list[tuple[Granted, int]]:
        parts = []
        for grant in sorted(self.grants, key=lambda grant: grant.order):
            part = min(seconds, grant.remaining)
            if part:
                grant.remaining -= part
                seconds -= part
                self.ledger[kind] -= part
                parts.append((grant, part))
        return parts

    def state(self) -> dict[str, Any]:
        """What `SNAPSHOT` finds in the database."""
        return {
            'balance': self.balance,
            'ledger': sum(self.ledger.values()),
            'kinds': {kind: seconds for kind, seconds in self.ledger.items() if seconds},
            'grants': {grant.key: grant.remaining for grant in self.grants if not grant.refund},
            'refunds': sum(grant.remaining for grant in self.grants if grant.refund),
            'sessions': [self.viewing.state] if self.viewing else [],
            'viewed': -self.ledger['viewing'],
            'held': sum(held.seconds for held in self.held.values()),
            'charged': sum(self.ended.values()),
            'wrong': 0,
        }
