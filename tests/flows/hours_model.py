"""The rules of hours in plain Python, and how to compare them with the database: one user, one history.

Times are whole microseconds since the history began, so that nothing is rounded on the way. Every method of the model
does what the function of the same name in the schema `hours` does, and returns what that returns.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

SECOND = 1_000_000
GAP = 75 * SECOND
IDLE = 300 * SECOND
WEEK = 7 * 24 * 3600 * SECOND
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)

CALLS = {
    'give': "select hours.give(%(user)s, %(seconds)s, 'gift', 'Gift', %(key)s, %(priority)s, %(expires)s, %(at)s)",
    'lapse': 'select hours.lapse(%(user)s, %(at)s)',
    'beat': 'select hours.beat(%(user)s, %(idle)s, %(at)s)',
    'pause': 'select hours.pause(%(user)s, %(at)s)',
    'resume': 'select hours.resume(%(user)s, %(at)s)',
    'reserve': 'select hours.reserve(%(job)s, %(seconds)s, %(at)s)',
    'settle': 'select hours.settle(%(job)s, %(measured)s, %(at)s)',
}
NEW_JOB = (
    "insert into public.jobs (id, user_id, kind, title, payload) values (%(job)s, %(user)s, 'forecast', 'x', '{}')"
)
SNAPSHOT = """
select jsonb_build_object(
    'balance', (select coalesce(sum(remaining), 0) from public.hour_grants where user_id = %(user)s),
    'ledger', (select coalesce(sum(seconds), 0) from public.hour_ledger where user_id = %(user)s),
    'kinds', (select coalesce(jsonb_object_agg(kind, seconds), '{}')
              from (select kind, sum(seconds) as seconds from public.hour_ledger where user_id = %(user)s
                    group by kind)),
    'grants', (select coalesce(jsonb_object_agg(key, remaining), '{}')
               from public.hour_grants where user_id = %(user)s and source <> 'refund'),
    'refunds', (select coalesce(sum(remaining), 0) from public.hour_grants
                where user_id = %(user)s and source = 'refund'),
    'sessions', (select coalesce(jsonb_agg(state), '[]') from public.usage_sessions
                 where user_id = %(user)s and ended_at is null),
    'viewed', (select coalesce(sum(seconds), 0) from public.usage_sessions where user_id = %(user)s),
    'held', (select coalesce(sum(seconds), 0) from public.hour_reservations
             where user_id = %(user)s and settled_at is null),
    'charged', (select coalesce(sum(charged), 0) from public.hour_reservations where user_id = %(user)s),
    'wrong', (select count(*)
              from (select balance, sum(seconds) over (order by id) as total
                    from public.hour_ledger where user_id = %(user)s)
              where balance <> total or total < 0))
"""


def arguments(user: UUID, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a call as the database takes them."""
    times = {
        name: BEGIN + timedelta(microseconds=values[name]) for name in ('at', 'expires') if values.get(name) is not None
    }
    return {'user': user, **values, **times}


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
    kept: int = 0
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
        active = at - int(min(max(idle, 0), 86_400) * SECOND)
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
        self.kept += kept
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
            'charged': self.kept,
            'wrong': 0,
        }


@dataclass(frozen=True)
class Step:
    """A call, what the model returns for it, how the model stands afterwards, and its largest error so far (s)."""

    name: str
    values: Mapping[str, Any]
    result: Any
    state: Mapping[str, Any]
    error: float


def history(random: Random, user: UUID, *, steps: int) -> Iterator[Step]:
    """A random life: pages of several tabs that beat, twice, late or no more; grants, expiry, pauses and jobs.

    A late beat is one that waited for a lock, so it is late within an open stretch only.
    """
    model = Model()
    at = random.randrange(1, 10 * SECOND)
    tabs = [0.0] * random.randint(1, 3)  # when each tab's user was last active
    jobs: list[UUID] = []
    grants = beats = 0
    last: dict[str, Any] = {'idle': 0.0, 'at': at}

    def call(name: str, **values: Any) -> Step:
        return Step(name, values, getattr(model, name)(**values), model.state(), model.error)

    while beats < steps:
        beats += 1
        at += random.choice((30, 30, 30, 30, 15, 5, 1, 76, 200, 400)) * SECOND - random.randrange(SECOND)
        choice = random.random()
        if grants == 0 or choice < 0.1:
            grants += 1
            expires = random.choice((None, None, at + random.randrange(-60, 900) * SECOND))
            yield call(
                'give',
                key=f'{user}:{random.randint(max(1, grants - 3), grants)}',
                seconds=random.choice((1, 20, 90, 400, 3600)),
                priority=random.choice((10, 50, 50, 90)),
                expires=expires,
                at=at,
            )
        elif choice < 0.62:
            tab = random.randrange(len(tabs))
            if random.random() < 0.75:
                tabs[tab] = at - random.randrange(30 * SECOND)
            late = random.randrange(20 * SECOND) if model.viewing and random.random() < 0.15 else 0
            last = {'idle': max(0, at - tabs[tab]) // SECOND, 'at': at - late}
            yield call('beat', **last)
        elif choice < 0.67:
            if model.viewing:
                yield call('beat', **last)
        elif choice < 0.72:
            yield call('pause', at=at)
        elif choice < 0.77:
            yield call('resume', at=at)
        elif choice < 0.87:
            again = [job for job in jobs if job not in model.held]
            job = (
                random.choice(again)
                if again and random.random() < 0.3
                else UUID(int=random.getrandbits(128), version=4)
            )
            if job not in jobs:
                jobs.append(job)
                yield Step('job', {'job': job}, None, model.state(), model.error)
            yield call('reserve', job=job, seconds=random.choice((0, 1, 30, 100, 500)), at=at)
        elif choice < 0.96 and jobs:
            yield call('settle', job=random.choice(jobs), measured=random.choice((0, 0, 7, 60, 1000)), at=at)
        else:
            yield call('lapse', at=at)
